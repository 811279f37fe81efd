/* pipeline/loaded.c - the store's rows as they were at start, looked up while
 * streams are opened.
 *
 * Sorted arrays: read once, looked up by binary search, 10,000 shards or more.
 */
#include "pipeline/pipeline_priv.h"

#include <stdlib.h>

#include "base/mem.h"

struct rows {
	void *v; /* owned */
	size_t n, cap, size;
};

struct loaded {
	struct rows streams, subscriptions, shards, positions, gaps;
	uint64_t last_letter;
	void (*letter)(void *arg, const struct dead_letter *d); /* while loading */
	void *arg;
};

static void *
rows_add(struct rows *r, size_t size)
{
	r->size = size;
	if (r->n == r->cap) {
		r->cap = r->cap != 0 ? r->cap * 2 : 64;
		r->v = mem_grow(r->v, r->cap, size);
	}
	return (char *)r->v + size * r->n++;
}

static void
drop(const char *s)
{
	free((void *)(uintptr_t)s);
}

static void
add_stream(void *ctx, const struct stream_row *r)
{
	struct stream_row *row = rows_add(&((struct loaded *)ctx)->streams, sizeof *row);

	*row = *r;
	row->arn = mem_strdup(r->arn);
	row->stream = mem_strdup(r->stream);
	row->table = mem_strdup(r->table);
}

static void
add_subscription(void *ctx, const struct subscription_row *r)
{
	struct subscription_row *row =
	    rows_add(&((struct loaded *)ctx)->subscriptions, sizeof *row);

	*row = *r;
	row->arn = mem_strdup(r->arn);
	row->sink = mem_strdup(r->sink);
}

static void
add_shard(void *ctx, const struct shard_row *r)
{
	struct shard_row *row = rows_add(&((struct loaded *)ctx)->shards, sizeof *row);

	*row = *r;
	row->arn = mem_strdup(r->arn);
	row->shard = mem_strdup(r->shard);
	row->parent = mem_strdup(r->parent);
}

static void
add_position(void *ctx, const struct position_row *r)
{
	struct position_row *row = rows_add(&((struct loaded *)ctx)->positions, sizeof *row);

	*row = *r;
	row->arn = mem_strdup(r->arn);
	row->shard = mem_strdup(r->shard);
	row->sink = mem_strdup(r->sink);
}

static void
add_gap(void *ctx, const struct gap *g)
{
	struct gap *row = rows_add(&((struct loaded *)ctx)->gaps, sizeof *row);

	*row = *g;
	row->arn = mem_strdup(g->arn);
	row->shard = mem_strdup(g->shard);
	row->sink = mem_strdup(g->sink);
}

static void
pass_dead_letter(void *ctx, const struct dead_letter *d)
{
	struct loaded *ld = ctx;

	ld->letter(ld->arg, d);
}

static void
note_last_letter(void *ctx, uint64_t id)
{
	((struct loaded *)ctx)->last_letter = id;
}

static int
cmp_position(const void *a, const void *b)
{
	const struct position_row *x = a, *y = b;
	int r = strcmp(x->arn, y->arn);

	if (r == 0)
		r = strcmp(x->shard, y->shard);
	return r != 0 ? r : strcmp(x->sink, y->sink);
}

static int
cmp_stream(const void *a, const void *b)
{
	const struct stream_row *x = a, *y = b;

	return (x->first_seen_us > y->first_seen_us) - (x->first_seen_us < y->first_seen_us);
}

struct loaded *
loaded_new(void)
{
	return mem_new(sizeof(struct loaded));
}

static void
sort(struct rows *r, int (*cmp)(const void *, const void *))
{
	if (r->n > 1)
		qsort(r->v, r->n, r->size, cmp);
}

int
loaded_read(struct loaded *ld, struct store *store,
    void (*letter)(void *arg, const struct dead_letter *d), void *arg, struct err *e)
{
	struct store_visitor v = {
	    .ctx = ld,
	    .stream = add_stream,
	    .subscription = add_subscription,
	    .shard = add_shard,
	    .position = add_position,
	    .gap = add_gap,
	    .dead_letter = pass_dead_letter,
	    .last_dead_letter = note_last_letter,
	};

	ld->letter = letter;
	ld->arg = arg;
	if (store_load(store, &v, e) != 0)
		return -1;
	sort(&ld->positions, cmp_position);
	sort(&ld->streams, cmp_stream);
	return 0;
}

uint64_t
loaded_last_gap(const struct loaded *ld)
{
	const struct gap *g = ld->gaps.v;
	uint64_t last = 0;

	for (size_t i = 0; i < ld->gaps.n; i++)
		if (g[i].id > last)
			last = g[i].id;
	return last;
}

uint64_t
loaded_last_letter(const struct loaded *ld)
{
	return ld->last_letter;
}

bool
loaded_stream_over(const struct loaded *ld, const char *arn)
{
	const struct gap *g = ld->gaps.v;
	bool over = false;

	for (size_t i = 0; i < ld->gaps.n; i++) {
		if (g[i].shard[0] != '\0' || strcmp(g[i].arn, arn) != 0)
			continue;
		if (g[i].state == GAP_OPEN)
			return false;
		over = true;
	}
	return over;
}

static const struct stream_row *
find_stream(const struct loaded *ld, const char *name, const char *table, bool over)
{
	const struct stream_row *r = ld->streams.v;

	for (size_t i = 0; i < ld->streams.n; i++)
		if (!r[i].ended && strcmp(r[i].stream, name) == 0 &&
		    strcmp(r[i].table, table) == 0 && loaded_stream_over(ld, r[i].arn) == over)
			return &r[i];
	return NULL;
}

const struct stream_row *
loaded_stream(const struct loaded *ld, const char *name, const char *table)
{
	return find_stream(ld, name, table, false);
}

const struct stream_row *
loaded_replaced(const struct loaded *ld, const char *name, const char *table)
{
	return find_stream(ld, name, table, true);
}

/* Labels are creation times, so their order is that of the streams. */
const struct stream_row *
loaded_predecessor(const struct loaded *ld, const char *name, const char *table)
{
	const struct stream_row *r = ld->streams.v, *last = NULL;

	for (size_t i = 0; i < ld->streams.n; i++)
		if ((r[i].ended || loaded_stream_over(ld, r[i].arn)) &&
		    strcmp(r[i].stream, name) == 0 && strcmp(r[i].table, table) == 0 &&
		    (last == NULL || strcmp(r[i].arn, last->arn) > 0))
			last = &r[i];
	return last;
}

const struct subscription_row *
loaded_subscription(const struct loaded *ld, const char *arn, const char *sink)
{
	const struct subscription_row *r = ld->subscriptions.v;

	for (size_t i = 0; i < ld->subscriptions.n; i++)
		if (strcmp(r[i].arn, arn) == 0 && strcmp(r[i].sink, sink) == 0)
			return &r[i];
	return NULL;
}

const struct position_row *
loaded_position(const struct loaded *ld, const char *arn, const char *shard, const char *sink)
{
	struct position_row want = {.arn = arn, .shard = shard, .sink = sink};

	if (ld->positions.n == 0)
		return NULL;
	return bsearch(&want, ld->positions.v, ld->positions.n, sizeof want, cmp_position);
}

void
loaded_set_position(
    struct loaded *ld, const char *arn, const char *shard, const char *sink, const struct pos *pos)
{
	struct position_row row = {.arn = arn, .shard = shard, .sink = sink, .pos = *pos};
	const struct position_row *found = loaded_position(ld, arn, shard, sink);

	if (found != NULL) {
		((struct position_row *)
			ld->positions.v)[found - (struct position_row *)ld->positions.v]
		    .pos = *pos;
		return;
	}
	add_position(ld, &row);
	sort(&ld->positions, cmp_position);
}

void
loaded_each_shard(const struct loaded *ld, const char *arn,
    void (*fn)(void *arg, const struct shard_row *r), void *arg)
{
	const struct shard_row *r = ld->shards.v;

	for (size_t i = 0; i < ld->shards.n; i++)
		if (strcmp(r[i].arn, arn) == 0)
			fn(arg, &r[i]);
}

void
loaded_each_gap(
    const struct loaded *ld, const char *arn, void (*fn)(void *arg, const struct gap *g), void *arg)
{
	const struct gap *g = ld->gaps.v;

	for (size_t i = 0; i < ld->gaps.n; i++)
		if (strcmp(g[i].arn, arn) == 0)
			fn(arg, &g[i]);
}

void
loaded_close(struct loaded *ld)
{
	struct stream_row *st;
	struct subscription_row *su;
	struct shard_row *sh;
	struct position_row *po;
	struct gap *ga;

	if (ld == NULL)
		return;
	for (st = ld->streams.v; ld->streams.n > 0; st++, ld->streams.n--)
		drop(st->arn), drop(st->stream), drop(st->table);
	for (su = ld->subscriptions.v; ld->subscriptions.n > 0; su++, ld->subscriptions.n--)
		drop(su->arn), drop(su->sink);
	for (sh = ld->shards.v; ld->shards.n > 0; sh++, ld->shards.n--)
		drop(sh->arn), drop(sh->shard), drop(sh->parent);
	for (po = ld->positions.v; ld->positions.n > 0; po++, ld->positions.n--)
		drop(po->arn), drop(po->shard), drop(po->sink);
	for (ga = ld->gaps.v; ld->gaps.n > 0; ga++, ld->gaps.n--)
		drop(ga->arn), drop(ga->shard), drop(ga->sink);
	free(ld->streams.v);
	free(ld->subscriptions.v);
	free(ld->shards.v);
	free(ld->positions.v);
	free(ld->gaps.v);
	free(ld);
}
