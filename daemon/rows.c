/* daemon/rows.c - see rows.h. */
#include "daemon/rows.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "checkpoint/store_sqlite.h"
#include "daemon/config.h"

const char *
pos_word(enum pos_kind k)
{
	switch (k) {
	case POS_NONE:
		return "unknown";
	case POS_TRIM_HORIZON:
		return "trim-horizon";
	case POS_AT_START:
		return "at-start";
	case POS_LATEST:
		return "latest";
	case POS_AFTER:
		return "after";
	case POS_COMPLETE:
		return "complete";
	}
	return "unknown";
}

int64_t
rows_now(void)
{
	struct timespec ts;

	/* banned-ok: clock_gettime: a command on a stopped daemon's store has no loop */
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * USEC_SEC + ts.tv_nsec / 1000;
}

/* Grows by doubling; count is a power of two where it grows. */
static void *
grow(void *v, size_t count, size_t size)
{
	if ((count & (count - 1)) != 0)
		return v;
	return mem_grow(v, count == 0 ? 1 : count * 2, size);
}

static void
on_stream(void *ctx, const struct stream_row *row)
{
	struct rows *r = ctx;

	r->streams = grow(r->streams, r->stream_count, sizeof *r->streams);
	r->streams[r->stream_count++] = (struct rows_of_stream){
	    .arn = mem_strdup(row->arn), .stream = mem_strdup(row->stream), .ended = row->ended};
}

static void
on_shard(void *ctx, const struct shard_row *row)
{
	struct rows *r = ctx;

	r->shards = grow(r->shards, r->shard_count, sizeof *r->shards);
	r->shards[r->shard_count++] = (struct rows_of_shard){
	    .arn = mem_strdup(row->arn), .shard = mem_strdup(row->shard), .start = row->start};
}

static void
on_position(void *ctx, const struct position_row *row)
{
	struct rows *r = ctx;

	r->positions = grow(r->positions, r->position_count, sizeof *r->positions);
	r->positions[r->position_count++] = (struct rows_of_position){.arn = mem_strdup(row->arn),
	    .shard = mem_strdup(row->shard),
	    .sink = mem_strdup(row->sink),
	    .pos = row->pos,
	    .updated_us = row->updated_us};
}

static void
on_subscription(void *ctx, const struct subscription_row *row)
{
	struct rows *r = ctx;

	r->subscriptions = grow(r->subscriptions, r->subscription_count, sizeof *r->subscriptions);
	r->subscriptions[r->subscription_count++] =
	    (struct rows_of_position){.arn = mem_strdup(row->arn), .sink = mem_strdup(row->sink)};
}

static void
on_gap(void *ctx, const struct gap *g)
{
	struct rows *r = ctx;
	struct gap *own;

	r->gaps = grow(r->gaps, r->gap_count, sizeof *r->gaps);
	own = &r->gaps[r->gap_count++];
	*own = *g;
	own->arn = mem_strdup(g->arn);
	own->shard = mem_strdup(g->shard);
	own->sink = mem_strdup(g->sink);
}

static void
on_dead_letter(void *ctx, const struct dead_letter *d)
{
	struct rows *r = ctx;

	(void)d;
	r->dead_letters++;
}

static int
by_place(const void *a, const void *b)
{
	const struct rows_of_position *x = a, *y = b;
	int r = strcmp(x->arn, y->arn);

	if (r == 0)
		r = strcmp(x->shard, y->shard);
	return r != 0 ? r : strcmp(x->sink, y->sink);
}

static int
by_id(const void *a, const void *b)
{
	const struct gap *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

int
rows_load(struct rows *r, struct store *s, struct err *e)
{
	const struct store_visitor v = {.ctx = r,
	    .stream = on_stream,
	    .subscription = on_subscription,
	    .shard = on_shard,
	    .position = on_position,
	    .gap = on_gap,
	    .dead_letter = on_dead_letter};

	memset(r, 0, sizeof *r);
	if (store_load(s, &v, e) != 0) {
		rows_close(r);
		return -1;
	}
	if (r->position_count != 0)
		qsort(r->positions, r->position_count, sizeof *r->positions, by_place);
	if (r->gap_count != 0)
		qsort(r->gaps, r->gap_count, sizeof *r->gaps, by_id);
	return 0;
}

static void
free_positions(struct rows_of_position *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].arn);
		free(v[i].shard);
		free(v[i].sink);
	}
	free(v);
}

/* The gaps' strings are our own copies behind const pointers. */
static void
free_text(const char *s)
{
	union {
		const char *in;
		char *out;
	} u = {s};

	free(u.out);
}

void
rows_close(struct rows *r)
{
	for (size_t i = 0; i < r->stream_count; i++) {
		free(r->streams[i].arn);
		free(r->streams[i].stream);
	}
	for (size_t i = 0; i < r->shard_count; i++) {
		free(r->shards[i].arn);
		free(r->shards[i].shard);
	}
	for (size_t i = 0; i < r->gap_count; i++) {
		free_text(r->gaps[i].arn);
		free_text(r->gaps[i].shard);
		free_text(r->gaps[i].sink);
	}
	free_positions(r->positions, r->position_count);
	free_positions(r->subscriptions, r->subscription_count);
	free(r->streams);
	free(r->shards);
	free(r->gaps);
	memset(r, 0, sizeof *r);
}

const char *
rows_stream(const struct rows *r, const char *arn)
{
	for (size_t i = 0; i < r->stream_count; i++)
		if (strcmp(r->streams[i].arn, arn) == 0)
			return r->streams[i].stream;
	return arn;
}

bool
rows_subscribed(const struct rows *r, const char *arn, const char *sink)
{
	for (size_t i = 0; i < r->subscription_count; i++)
		if (strcmp(r->subscriptions[i].arn, arn) == 0 &&
		    strcmp(r->subscriptions[i].sink, sink) == 0)
			return true;
	return false;
}

const struct rows_of_position *
rows_position(const struct rows *r, const char *arn, const char *shard, const char *sink)
{
	for (size_t i = 0; i < r->position_count; i++) {
		const struct rows_of_position *p = &r->positions[i];

		if (strcmp(p->arn, arn) == 0 && strcmp(p->shard, shard) == 0 &&
		    strcmp(p->sink, sink) == 0)
			return p;
	}
	return NULL;
}

static int
load(const char *path, struct rows *r, struct err *e)
{
	struct store *store;
	int code;

	if (store_sqlite_open(&store, NULL, path, STORE_READ, e) != 0)
		return -1;
	code = rows_load(r, store, e);
	store_close(store);
	return code;
}

int
rows_list(
    const struct args *a, void (*json)(const struct rows *r), void (*text)(const struct rows *r))
{
	struct config *c;
	struct rows r;
	struct err e;
	int code;

	if (config_load(&c, args_get(a, "config"), &e) != 0)
		return command_fail(&e);
	code = load(c->store_path, &r, &e);
	config_close(c);
	if (code != 0)
		return command_fail(&e);
	if (args_get(a, "json") != NULL)
		json(&r);
	else
		text(&r);
	rows_close(&r);
	return EXIT_DONE;
}
