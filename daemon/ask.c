/* daemon/ask.c - see ask.h. */
#include "daemon/ask.h"

#include <stdio.h>
#include <string.h>

struct asking { /* one call under way; on the stack of its ask_*() */
	struct loop *lp;
	struct api_result *rs;
	void *out;
	void (*each)(void *arg, const struct api_shard *sh);
	void *arg;
};

static int
wait_for(struct asking *q)
{
	struct err e;

	if (loop_run(q->lp, &e) != 0) {
		q->rs->code = API_OTHER;
		q->rs->err = e;
	}
	return q->rs->code == API_OK ? 0 : -1;
}

/* Ends wait_for(). True if there is an answer to look at. */
static bool
answered(struct asking *q, const struct api_result *rs)
{
	*q->rs = *rs;
	loop_stop(q->lp);
	return rs->code == API_OK;
}

static void
on_table(void *arg, const struct api_result *rs, const struct api_table *t)
{
	struct asking *q = arg;

	if (answered(q, rs))
		*(struct api_table *)q->out = *t;
}

int
ask_table(
    struct loop *lp, struct api *a, const char *table, struct api_table *out, struct api_result *rs)
{
	struct asking q = {.lp = lp, .rs = rs, .out = out};

	(void)api_describe_table(a, table, on_table, &q);
	return wait_for(&q);
}

static void
on_stream(void *arg, const struct api_result *rs, const struct api_stream *s)
{
	struct asking *q = arg;

	if (!answered(q, rs))
		return;
	*(struct api_stream *)q->out = *s;
	for (size_t i = 0; i < s->shard_count && q->each != NULL; i++)
		q->each(q->arg, &s->shards[i]);
}

int
ask_stream(struct loop *lp, struct api *a, const char *arn, struct api_stream *info,
    void (*each)(void *arg, const struct api_shard *sh), void *arg, struct api_result *rs)
{
	struct api_stream page;
	struct asking q = {.lp = lp, .rs = rs, .out = &page, .each = each, .arg = arg};
	char after[LIMIT_SHARD_ID + 1] = "";

	for (unsigned n = 0; n < LIMIT_LIST_PAGES; n++) {
		(void)api_describe_stream(
		    a, arn, after[0] != '\0' ? after : NULL, NULL, on_stream, &q);
		if (wait_for(&q) != 0)
			return -1;
		if (n == 0 && info != NULL) {
			*info = page;
			info->shards = NULL;
			info->shard_count = 0;
		}
		if (page.last_shard[0] == '\0' || each == NULL)
			return 0;
		memcpy(after, page.last_shard, sizeof after);
	}
	rs->code = API_MALFORMED;
	return err_set(&rs->err, ERR_PROTOCOL, "listing of shards does not end");
}

static void
on_list(void *arg, const struct api_result *rs, const struct api_stream_ref *v, size_t n)
{
	struct asking *q = arg;

	(void)v;
	if (answered(q, rs) && q->out != NULL)
		*(size_t *)q->out = n;
}

int
ask_list(struct loop *lp, struct api *a, const char *table, size_t *count, struct api_result *rs)
{
	struct asking q = {.lp = lp, .rs = rs, .out = count};

	(void)api_list_streams(a, table, on_list, &q);
	return wait_for(&q);
}

static void
on_iterator(void *arg, const struct api_result *rs, const char *iterator)
{
	struct asking *q = arg;

	if (answered(q, rs))
		(void)snprintf(q->out, LIMIT_ITERATOR + 1, "%s", iterator);
}

int
ask_iterator(struct loop *lp, struct api *a, const char *arn, const char *shard,
    enum iterator_type type, const struct seq *seq, char out[LIMIT_ITERATOR + 1],
    struct api_result *rs)
{
	struct asking q = {.lp = lp, .rs = rs, .out = out};

	(void)api_get_shard_iterator(a, arn, shard, type, seq, on_iterator, &q);
	return wait_for(&q);
}

static void
on_records(void *arg, const struct api_result *rs, struct page *page)
{
	struct asking *q = arg;

	if (answered(q, rs))
		*(struct page **)q->out = page;
	else
		page_unref(page);
}

int
ask_records(struct loop *lp, struct api *a, const char *iterator, unsigned limit, struct page **out,
    struct api_result *rs)
{
	struct asking q = {.lp = lp, .rs = rs, .out = out};

	(void)api_get_records(a, iterator, limit, on_records, &q);
	return wait_for(&q);
}
