/* daemon/check_streams.c - see check_streams.h. */
#include "daemon/check_streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/ask.h"

struct asked { /* a stream under examination */
	struct findings *f;
	struct wiring *w;
	const struct source *s;
	struct checked *c;
	char about[LIMIT_NAME + 16];
	char shard[LIMIT_SHARD_ID + 1]; /* the youngest listed; "": none */
	size_t shards;
};

/* True if the answer was good. Where a permission is missing, that is bad and says which;
 * any other trouble may pass, and only what was found out so far counts. */
static bool
may(struct asked *q, enum api_op op, int answer, const struct api_result *rs)
{
	struct err e;

	if (answer == 0)
		return true;
	(void)find_denied(q->s, rs, op, q->c->what.arn, q->c->what.table, &e);
	if (rs->code == API_AUTH)
		findings_fail(q->f, q->about, &e);
	else
		findings_sayf(q->f, SINK_FOUND_NOTE, q->about, "%s could not be tried: %.400s",
		    api_op_name(op), e.text);
	return false;
}

static void
on_shard(void *arg, const struct api_shard *sh)
{
	struct asked *q = arg;

	q->shards++;
	memcpy(q->shard, sh->id, sizeof q->shard);
}

/* From the oldest record, and one of them is enough. */
static void
try_reading(struct asked *q)
{
	struct loop *lp = q->w->loop;
	char *iterator = mem_new(LIMIT_ITERATOR + 1);
	struct page *page = NULL;
	struct api_result rs;
	int r;

	r = ask_iterator(
	    lp, q->s->api, q->c->what.arn, q->shard, ITER_TRIM_HORIZON, NULL, iterator, &rs);
	if (may(q, API_GET_SHARD_ITERATOR, r, &rs)) {
		r = ask_records(lp, q->s->api, iterator, 1, &page, &rs);
		(void)may(q, API_GET_RECORDS, r, &rs);
		page_unref(page);
	}
	free(iterator);
}

static void
try_calls(struct asked *q)
{
	struct api_result rs;
	int r = ask_list(q->w->loop, q->s->api, q->c->what.table, NULL, &rs);

	(void)may(q, API_LIST_STREAMS, r, &rs);
	r = ask_stream(q->w->loop, q->s->api, q->c->what.arn, NULL, on_shard, q, &rs);
	if (!may(q, API_DESCRIBE_STREAM, r, &rs))
		return;
	if (q->shards == 0)
		findings_say(q->f, SINK_FOUND_NOTE, q->about,
		    "it has no shards, so reading could not be tried");
	else
		try_reading(q);
}

static void
say_found(struct asked *q, size_t bad_before)
{
	const struct found *w = &q->c->what;
	struct findings *f = q->f;

	findings_sayf(f, SINK_FOUND_OK, q->about, "credentials %s, region %s, %s",
	    creds_describe(q->s->creds), q->s->region, q->s->endpoint);
	if (f->count[SINK_FOUND_BAD] == bad_before)
		findings_sayf(f, SINK_FOUND_OK, q->about, "table %s, view %s, %zu shard%s",
		    w->table, view_word(w->view), q->shards, q->shards == 1 ? "" : "s");
	if (!w->enabled)
		findings_say(f, SINK_FOUND_NOTE, q->about,
		    "the stream is disabled: what it holds can be read for a day, and nothing new "
		    "comes");
	if (view_remark(w->view) != NULL)
		findings_say(f, SINK_FOUND_NOTE, q->about, view_remark(w->view));
}

static void
check_one(struct findings *f, struct wiring *w, const struct stream_config *s,
    const struct source *src, struct checked *c)
{
	struct asked q = {.f = f, .w = w, .s = src, .c = c};
	size_t bad = f->count[SINK_FOUND_BAD];
	struct err e;

	(void)snprintf(q.about, sizeof q.about, "stream %s", s->name);
	if (find_stream(w, src, s->feed.table, s->feed.arn, &c->what, &e) != 0) {
		findings_fail(f, q.about, &e);
		if (e.code == ERR_AUTH && s->feed.table != NULL)
			findings_say(f, SINK_FOUND_NOTE, q.about,
			    "without it nothing else was tried; dynamodb:ListStreams, "
			    "DescribeStream, GetShardIterator and GetRecords on .../stream/* are "
			    "needed, too");
		return;
	}
	c->found = true;
	find_key_types(w, src, &c->what);
	try_calls(&q);
	say_found(&q, bad);
	c->schema = (struct key_schema){
	    .names = {c->what.key.hash[0] != '\0' ? c->what.key.hash : NULL,
		c->what.key.range[0] != '\0' ? c->what.key.range : NULL},
	    .types = {c->what.key.hash_type, c->what.key.range_type},
	};
}

void
check_streams(struct findings *f, const struct config *c, struct checked **out)
{
	struct wiring w = {0};
	struct err e;

	*out = mem_array(c->stream_count, sizeof **out);
	if (wiring_open(&w, &e) != 0 || wiring_add_sources(&w, c, &e) != 0)
		findings_fail(f, "streams", &e);
	else
		for (size_t i = 0; i < c->stream_count; i++)
			check_one(f, &w, &c->streams[i], &w.sources[i], &(*out)[i]);
	wiring_close(&w);
}
