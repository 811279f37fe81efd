/* daemon/position_check.c - see position_check.h.
 *
 *   listed? -> within the shard's bounds? -> an iterator AT the number?
 *           -> is the first record from there the one with the number?
 *
 * Only the last step proves it: an iterator is given for a number between two
 * records, and DynamoDB Local gives one for a number in the future.
 */
#include "daemon/position_check.h"

#include <string.h>

#include "daemon/ask.h"
#include "daemon/find.h"
#include "daemon/wiring.h"

/* From AT a number that exists the first page holds it; a few more for a
 * service that answers an empty page first. */
#define PAGES 10

struct looking {
	const char *shard;
	bool listed;
	struct api_shard found;
};

static void
on_shard(void *arg, const struct api_shard *sh)
{
	struct looking *l = arg;

	if (strcmp(sh->id, l->shard) == 0) {
		l->listed = true;
		l->found = *sh;
	}
}

static int
check_bounds(const struct looking *l, const struct seq *seq, struct err *e)
{
	const struct api_shard *sh = &l->found;
	struct slice bound;

	if (!l->listed)
		return err_set(e, ERR_REFUSED,
		    "shard %.70s is not in the stream's listing any more; its records are gone",
		    l->shard);
	if (seq_is_set(&sh->start) && seq_cmp(seq, &sh->start) < 0) {
		bound = seq_text(&sh->start);
		return err_set(e, ERR_REFUSED,
		    "the shard does not have that number: it begins at %.*s", (int)bound.n,
		    bound.p);
	}
	if (seq_is_set(&sh->end) && seq_cmp(seq, &sh->end) > 0) {
		bound = seq_text(&sh->end);
		return err_set(e, ERR_REFUSED,
		    "the shard does not have that number: it ends at %.*s", (int)bound.n, bound.p);
	}
	return 0;
}

/* What the first record from there says: 1 it is the one, 0 none in this
 * page, -1 it is another. */
static int
look_at(const struct page *page, const struct seq *seq, struct err *e)
{
	struct slice next;

	if (page->count == 0)
		return 0;
	if (seq_cmp(&page->records[0].seq, seq) == 0)
		return 1;
	next = seq_text(&page->records[0].seq);
	return err_set(e, ERR_REFUSED,
	    "the shard has no record with that number; the first one behind it is %.*s",
	    (int)next.n, next.p);
}

static int
read_there(struct wiring *w, char *iterator, const struct seq *seq, struct err *e)
{
	const struct source *s = &w->sources[0];
	struct api_result rs;
	bool more = true;

	for (unsigned i = 0; i < PAGES && more; i++) {
		struct page *page;
		int r;

		if (ask_records(w->loop, s->api, iterator, 1, &page, &rs) != 0) {
			if (rs.code == API_TRIMMED)
				return err_set(e, ERR_REFUSED,
				    "the record with that number is not held any more; see "
				    "slipring positions "
				    "reset");
			return find_explain(s, &rs, e);
		}
		r = look_at(page, seq, e);
		more = page->has_next && page->next_iterator.n <= LIMIT_ITERATOR;
		if (r == 0 && more) {
			memcpy(iterator, page->next_iterator.p, page->next_iterator.n);
			iterator[page->next_iterator.n] = '\0';
		}
		page_unref(page);
		if (r != 0)
			return r > 0 ? 0 : -1;
	}
	return err_set(e, ERR_REFUSED,
	    "the shard has no record with that number, and none behind it; if you know better, "
	    "--offline sets it unchecked");
}

static int
check(struct wiring *w, const char *arn, const char *shard, const struct seq *seq, struct err *e)
{
	const struct source *s = &w->sources[0];
	struct looking l = {.shard = shard};
	char iterator[LIMIT_ITERATOR + 1];
	struct api_result rs;

	if (ask_stream(w->loop, s->api, arn, NULL, on_shard, &l, &rs) != 0)
		return find_explain(s, &rs, e);
	if (check_bounds(&l, seq, e) != 0)
		return -1;
	if (ask_iterator(w->loop, s->api, arn, shard, ITER_AT, seq, iterator, &rs) != 0) {
		if (rs.code == API_TRIMMED)
			return err_set(e, ERR_REFUSED,
			    "the record with that number is not held any more; see slipring "
			    "positions reset");
		if (rs.code == API_VALIDATION)
			return err_set(e, ERR_REFUSED,
			    "the shard does not have that number: %.300s", rs.err.text);
		return find_explain(s, &rs, e);
	}
	return read_there(w, iterator, seq, e);
}

int
position_check(const struct stream_config *s, const char *arn, const char *shard,
    const struct seq *seq, struct err *e)
{
	struct source_conf sc;
	struct wiring w = {0};
	int r = -1;

	source_conf_of(&sc, s);
	if (wiring_open(&w, e) == 0 && wiring_add_source(&w, &sc, e) == 0)
		r = check(&w, arn, shard, seq, e);
	if (r != 0 && e->code == ERR_REFUSED)
		err_prefix(e, "number %.*s", (int)seq_text(seq).n, seq_text(seq).p);
	wiring_close(&w);
	return r;
}
