/* filters/pattern_set.h - many patterns asked of one record for little more than one.
 *
 *   patterns of the sinks of a stream --pattern_set_new()--> one tree of the paths in use,
 *                                                            at each an index of the values
 *   record of a page --> one walk over what the paths name --> yes or no for each pattern
 *
 * The answers are those of pattern_match_record(), always: what no index takes (suffixes,
 * wildcards, addresses, case) is asked leaf by leaf, if the rest of its pattern matches.
 * Patterns that are plain, compare both images or ask sizes, and what goes beyond
 * PATTERN_SET_BITS, a set does not take.
 *
 * Threading: one thread at a time. Nothing is allocated per record; room for the answers of the
 * largest page is kept.
 */
#ifndef FILTERS_PATTERN_SET_H
#define FILTERS_PATTERN_SET_H

#include "filters/pattern.h"

/* Alternatives in one set; $or multiplies them. Bounds what an index of number ranges
 * and a page's answers may take, which grow with its square and with it. */
#define PATTERN_SET_BITS 4096

struct pattern_set;

/* The patterns are borrowed and outlive the set. */
struct pattern_set *pattern_set_new(struct pattern *const *patterns, size_t count);
void pattern_set_close(struct pattern_set *s); /* NULL allowed */

/* Does the set answer for it? If not, it is asked by itself: pattern_match_record(). */
bool pattern_set_takes(const struct pattern_set *s, size_t pattern);

struct pattern_answers { /* borrowed; until the set is asked again */
	const uint64_t *bits;
	size_t words; /* of each record */
};

/* Of each record of the page. A pattern that the set does not take has no bit. */
struct pattern_answers pattern_set_ask(struct pattern_set *s, const struct page *page);

static inline bool
pattern_answer(const struct pattern_answers *a, size_t record, size_t pattern)
{
	return (a->bits[record * a->words + pattern / 64] >> pattern % 64 & 1) != 0;
}

#endif
