/* pipeline/sieve.c - what becomes of each record of a page in one lane, before it is queued
 * (see lane_priv.h).
 *
 *   page -> too old? -> chain -> DROP, KEEP, REJECT
 *                          '---> REWRITE -> made -> one page, or record by record if that
 *                                                   cannot be read: REJECT of the bad ones
 *
 * What filters make is parsed as if it had come from the service: a filter that makes
 * nonsense costs its own records and nobody else's.
 */
#include "pipeline/lane_priv.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "record/rewrite.h"

/* A buffer that has grown beyond it is not kept for the next page. */
#define MADE_KEPT (4u << 20)

static void
refuse(struct sifted *s, const char *why)
{
	s->fate = FATE_REFUSED;
	s->why = mem_strdup(why);
}

static void
keep_made(struct lane *ln, const struct record *changed, struct sifted *s)
{
	size_t at = ln->made.n;

	record_write(changed, &ln->made);
	if (ln->made.failed) {
		ln->made.failed = false;
		ln->made.n = at;
		refuse(s, "filters: what they made of its page is too large");
		return;
	}
	*s = (struct sifted){.fate = FATE_REWRITTEN, .at = at, .n = ln->made.n - at};
}

/* What was found out together with other lanes about the chain's first filter. */
enum known { KNOWN_NOTHING, MATCHES, MATCHES_NOT };

static enum known
known_of(const struct window *w, size_t i)
{
	if (w->answers == NULL)
		return KNOWN_NOTHING;
	return pattern_answer(w->answers, i, w->pattern) ? MATCHES : MATCHES_NOT;
}

static void
pass_chain(struct lane *ln, const struct record *r, const struct origin *origin, enum known known,
    struct sifted *s)
{
	struct record changed = *r;
	struct err why;

	s->fate = FATE_KEPT;
	if (ln->chain == NULL)
		return;
	switch (known == KNOWN_NOTHING
		? chain_apply(ln->chain, &changed, origin, &why)
		: chain_apply_known(ln->chain, known == MATCHES, &changed, origin, &why)) {
	case FILTER_KEEP:
		break;
	case FILTER_DROP:
		s->fate = FATE_DROPPED;
		break;
	case FILTER_REWRITE:
		keep_made(ln, &changed, s);
		break;
	case FILTER_REJECT:
		refuse(s, why.text);
		break;
	}
}

/* ---- the page of what was rewritten ---- */

static int
parse_made(const struct lane *ln, size_t count, struct page **out, struct err *e)
{
	struct slice *raw = mem_array(count, sizeof *raw);
	size_t n = 0;
	int ret;

	for (size_t i = 0; n < count; i++) {
		const struct sifted *s = &ln->sifted[i];

		if (s->fate == FATE_REWRITTEN)
			raw[n++] = (struct slice){ln->made.p + s->at, s->n};
	}
	ret = page_of_records(out, raw, count, e);
	free(raw);
	if (ret == 0 && (*out)->count != count) {
		page_unref(*out);
		*out = NULL;
		ret = err_set(e, ERR_PROTOCOL, "page: not one record each");
	}
	return ret;
}

/* Is it one record again? */
static int
check_made(const struct lane *ln, const struct sifted *s, struct err *e)
{
	struct slice raw = {ln->made.p + s->at, s->n};
	struct page *alone;
	size_t count;

	if (page_of_records(&alone, &raw, 1, e) != 0)
		return -1;
	count = alone->count;
	page_unref(alone);
	return count == 1 ? 0 : err_set(e, ERR_PROTOCOL, "page: not one record");
}

/* Returns how many are left. */
static size_t
refuse_bad(struct lane *ln, size_t records)
{
	size_t left = 0;
	struct err e;

	for (size_t i = 0; i < records; i++) {
		struct sifted *s = &ln->sifted[i];

		if (s->fate != FATE_REWRITTEN)
			continue;
		if (check_made(ln, s, &e) == 0) {
			left++;
			continue;
		}
		(void)err_prefix(&e, "filters: what they made of it is no record");
		refuse(s, e.text);
	}
	return left;
}

static struct page *
page_of_made(struct lane *ln, size_t records, size_t count)
{
	struct page *made = NULL;
	struct err e;

	if (count != 0 && parse_made(ln, count, &made, &e) != 0) {
		count = refuse_bad(ln, records);
		if (count != 0 && parse_made(ln, count, &made, &e) != 0)
			abort(); /* each of them can be read alone, and they fit together */
	}
	if (ln->made.cap > MADE_KEPT)
		buf_close(&ln->made);
	buf_reset(&ln->made);
	return made;
}

/* ---- a page passes ---- */

static void
begin(struct lane *ln, const struct page *page)
{
	if (page->count > ln->sifted_cap) {
		ln->sifted = mem_grow(ln->sifted, page->count, sizeof *ln->sifted);
		ln->sifted_cap = page->count;
	}
}

/* Returns how many become entries. */
static size_t
end(struct lane *ln, const struct page *page, struct page **rewritten)
{
	size_t kept = 0, made = 0;

	for (size_t i = 0; i < page->count; i++) {
		enum fate fate = ln->sifted[i].fate;

		kept += fate == FATE_KEPT || fate == FATE_REWRITTEN || fate == FATE_REFUSED;
		made += fate == FATE_REWRITTEN;
	}
	*rewritten = page_of_made(ln, page->count, made);
	return kept;
}

size_t
lane_sieve(struct window *w, const struct page *page, const struct seq *after, int64_t since_us,
    struct page **rewritten)
{
	struct lane *ln = w->lane;
	struct seq last = *after;

	begin(ln, page);
	for (size_t i = 0; i < page->count; i++) {
		const struct record *r = &page->records[i];
		struct sifted *s = &ln->sifted[i];

		if (seq_is_set(&last) && seq_cmp(&r->seq, &last) <= 0) {
			s->fate = FATE_NOT_WANTED;
			continue;
		}
		if (r->created_us < since_us && (r->flags & RECORD_NO_TIME) == 0)
			s->fate = FATE_TOO_OLD;
		else
			pass_chain(ln, r, w->origin, known_of(w, i), s);
		last = r->seq;
	}
	return end(ln, page, rewritten);
}

size_t
lane_sieve_replay(
    struct lane *ln, const struct page *page, const struct replayed *from, struct page **rewritten)
{
	begin(ln, page);
	for (size_t i = 0; i < page->count; i++) {
		if (from[i].unfiltered)
			pass_chain(
			    ln, &page->records[i], from[i].origin, KNOWN_NOTHING, &ln->sifted[i]);
		else
			ln->sifted[i].fate = FATE_KEPT;
	}
	return end(ln, page, rewritten);
}
