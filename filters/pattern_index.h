/* filters/pattern_index.h - private to pattern_set.c: all value lists that the patterns
 * of a set have at one path, asked at once.
 *
 *   "paid"          hash        -> row of bits: the alternatives with "paid" in their list
 *   {"prefix": ..}  hash of each length in use
 *   numbers, ranges binary search among all bounds -> row of the stretch between two
 *   the rest        one by one, by cond_match()
 *
 * A bit is an alternative of a pattern. Only the words between an index's lowest and
 * highest bit are held.
 */
#ifndef FILTERS_PATTERN_INDEX_H
#define FILTERS_PATTERN_INDEX_H

#include "filters/pattern_priv.h"

struct pattern_index;

/* One alternative's list; at most one a bit. */
struct ask {
	uint32_t bit;
	const struct leaf *leaf;
	struct pattern *pattern;
};

/* Sorts the asks. Everything is in the pool. */
struct pattern_index *index_new(struct pool **pool, struct ask *asks, size_t count);
/* Takes from mask the bits of lists that the value (SLICE_NONE: nothing there) does not
 * satisfy; answers whether it took any. scratch: for strings with escapes. */
bool index_ask(struct pattern_index *ix, struct slice value, uint64_t *mask, struct buf *scratch);

#endif
