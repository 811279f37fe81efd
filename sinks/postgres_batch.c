/* sinks/postgres_batch.c - see postgres_batch.h. */
#include "sinks/postgres_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/key.h"
#include "sinks/route.h"

/* Buffers above this are not kept: a batch of large items is rare. */
#define KEEP_BYTES ((size_t)16 << 20)

/* ---- requests ---- */

static void
arrays_close(struct pg_array *v, size_t n)
{
	for (size_t i = 0; v != NULL && i < n; i++)
		pg_array_close(&v[i]);
	free(v);
}

static void
array_begin(struct pg_array *a, enum column_type t)
{
	if (a->buf.cap > KEEP_BYTES)
		pg_array_close(a);
	pg_array_begin(a, t);
}

static void
part_begin(struct pg_part *p)
{
	const struct rows_layout *l = p->target->layout;

	for (size_t i = 0; i < l->count; i++)
		array_begin(&p->put[i], l->columns[i].type);
	for (size_t i = 0; i <= l->key_count; i++)
		array_begin(&p->gone[i], l->columns[i < l->key_count ? i : l->count - 1].type);
	p->puts = p->dels = 0;
}

void
pg_request_begin(struct pg_request *rq)
{
	rq->n = rq->rows = 0;
	shard_marks_reset(&rq->marks);
	for (size_t i = 0; i < rq->part_count; i++)
		part_begin(&rq->parts[i]);
	array_begin(&rq->arns, COLUMN_TEXT);
	array_begin(&rq->shards, COLUMN_TEXT);
	array_begin(&rq->numbers, COLUMN_TEXT);
}

void
pg_request_add(struct pg_request *rq, struct delivery *d)
{
	if (rq->n == rq->cap) {
		rq->cap = rq->cap == 0 ? 256 : rq->cap * 2;
		rq->d = mem_grow(rq->d, rq->cap, sizeof(struct delivery *));
	}
	rq->d[rq->n++] = d;
}

void
pg_request_close(struct pg_request *rq)
{
	for (size_t i = 0; i < rq->part_count; i++) {
		const struct rows_layout *l = rq->parts[i].target->layout;

		arrays_close(rq->parts[i].put, l->count);
		arrays_close(rq->parts[i].gone, l->key_count + 1);
	}
	pg_array_close(&rq->arns);
	pg_array_close(&rq->shards);
	pg_array_close(&rq->numbers);
	free(rq->parts);
	shard_marks_close(&rq->marks);
	free(rq->d);
	*rq = (struct pg_request){.n = 0};
}

static struct pg_part *
part_of(struct pg_request *rq, const struct pg_target *t)
{
	struct pg_part *p;

	for (size_t i = 0; i < rq->part_count; i++)
		if (rq->parts[i].target == t)
			return &rq->parts[i];
	rq->parts = mem_grow(rq->parts, rq->part_count + 1, sizeof *rq->parts);
	p = &rq->parts[rq->part_count++];
	*p = (struct pg_part){.target = t,
	    .put = mem_array(t->layout->count, sizeof *p->put),
	    .gone = mem_array(t->layout->key_count + 1, sizeof *p->gone)};
	part_begin(p);
	return p;
}

/* ---- targets ---- */

void
pg_builder_init(struct pg_builder *b, const struct pg_conf *conf)
{
	*b = (struct pg_builder){
	    .conf = conf, .arena = BUF_INIT(PG_ARRAY_MAX), .text = BUF_INIT(LIMIT_PAGE_BODY)};
	last_key_init(&b->last);
}

void
pg_builder_close(struct pg_builder *b)
{
	struct pg_target *t;

	while ((t = b->targets) != NULL) {
		b->targets = t->next;
		pg_target_close(t);
	}
	rows_owners_close(&b->owners);
	last_key_close(&b->last);
	buf_close(&b->arena);
	buf_close(&b->text);
	free(b->cells);
	free(b->taken);
	free(b->of);
}

static bool
same_keys(const struct rows_keys *a, const struct rows_keys *b)
{
	if (a->count != b->count || memcmp(a->types, b->types, a->count) != 0)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->names[i], b->names[i]) != 0)
			return false;
	return true;
}

/* Takes keys. */
static struct pg_target *
find_or_make(
    struct pg_builder *b, struct slice name, struct rows_keys *keys, bool routed, struct err *e)
{
	struct pg_target *t;

	for (t = b->targets; t != NULL; t = t->next)
		if (slice_is(name, t->table) && same_keys(&t->keys, keys)) {
			rows_keys_close(keys);
			return t;
		}
	if (pg_target_new(&t, b->conf, b->target_count, name, keys, e) != 0)
		return NULL;
	if (t->layout->count > b->cell_cap) {
		b->cell_cap = t->layout->count;
		b->cells = mem_grow(b->cells, b->cell_cap, sizeof *b->cells);
	}
	b->target_count++;
	t->routed = routed;
	t->next = b->targets;
	b->targets = t;
	return t;
}

static const struct pg_target *
target_of(struct pg_builder *b, const struct delivery *d, struct err *e)
{
	struct rows_keys keys = {.count = 0};
	bool table = b->conf->mode == ROWS_TABLE;
	struct pg_target *t;

	buf_reset(&b->text);
	if (!route_is_set(d))
		pg_table_write(b->conf, d->origin, &b->text);
	else if (route_check_table(d->route, PG_NAME_MAX, e) == 0)
		buf_add_slice(&b->text, d->route);
	else
		return NULL;
	if (table && rows_own(&b->owners, buf_cstr(&b->text), d->origin, false, e) != 0) {
		(void)err_prefix(e, "postgres");
		return NULL;
	}
	if (table && rows_keys_of(d->rec, d->origin, &keys, e) != 0)
		return NULL;
	t = find_or_make(b, buf_slice(&b->text), &keys, route_is_set(d), e);
	if (t != NULL && !route_is_set(d))
		t->routed = false;
	return t;
}

/* ---- building ---- */

static void
reject(struct pg_builder *b, struct pg_request *rq, size_t i, struct err *why)
{
	struct delivery *d = rq->d[i];

	rq->d[i] = NULL;
	(void)err_prefix(why, "postgres");
	b->reject(b->ctx, d, why);
}

static void
close_gaps(struct pg_request *rq)
{
	size_t n = 0;

	for (size_t i = 0; i < rq->n; i++)
		if (rq->d[i] != NULL)
			rq->d[n++] = rq->d[i];
	rq->n = n;
}

static void
reserve(struct pg_builder *b, size_t n)
{
	if (n > b->cap) {
		b->cap = n;
		b->taken = mem_grow(b->taken, n, sizeof *b->taken);
		b->of = mem_grow(b->of, n, sizeof *b->of);
	}
	memset(b->taken, 0, n * sizeof *b->taken);
}

/* The target of each, and in table mode its key: of the table as well, two may share a
 * sink. Records of one origin stand together, mostly. */
static int
sort_out(struct pg_builder *b, struct pg_request *rq, struct err *e)
{
	const struct origin *origin = NULL;
	const struct pg_target *t = NULL;
	struct slice route = SLICE_NONE;

	last_key_begin(&b->last, rq->n);
	for (size_t i = 0; i < rq->n; i++) {
		const struct delivery *d = rq->d[i];

		if (d->origin != origin || t == NULL || !route_same(d->route, route)) {
			origin = d->origin;
			route = d->route;
			t = target_of(b, d, e);
		}
		b->of[i] = t;
		if (t == NULL && e->code != ERR_REFUSED)
			return -1;
		buf_reset(&b->text);
		if (t == NULL)
			reject(b, rq, i, e);
		else
			buf_addf(&b->text, "%u", t->id);
		if (t != NULL && b->conf->mode == ROWS_TABLE)
			key_write(d->rec, d->origin->schema, &b->text);
		if (b->text.failed || last_key_add(&b->last, buf_slice(&b->text), d->key_hash) != 0)
			return err_retry(e, ERR_NOMEM, "postgres: no memory for a batch");
	}
	return 0;
}

static int
add_row(
    struct pg_builder *b, const struct pg_target *t, struct pg_array *v, size_t n, struct err *e)
{
	const struct rows_layout *l = t->layout;

	for (size_t i = 0; i < n; i++) {
		size_t column = i + 1 == n ? l->count - 1 : i;

		if (pg_array_add(&v[i], &b->cells[column], &b->arena))
			continue;
		while (i-- > 0)
			pg_array_undo(&v[i]);
		return err_set(e, ERR_REFUSED, "column %.60s: the number is out of range",
		    l->columns[column].name);
	}
	return 0;
}

static int
add_record(struct pg_builder *b, struct pg_request *rq, size_t i, struct err *e)
{
	const struct pg_target *t = b->of[i];
	const struct delivery *d = rq->d[i];
	struct pg_part *p = part_of(rq, t);
	enum rows_op op;

	buf_reset(&b->arena);
	if (rows_cells(t->layout, d->rec, d->origin, &op, &b->arena, b->cells, e) != 0)
		return -1;
	if (op == ROWS_DELETE) {
		if (add_row(b, t, p->gone, t->layout->key_count + 1, e) != 0)
			return -1;
		p->dels++;
	} else {
		if (add_row(b, t, p->put, t->layout->count, e) != 0)
			return -1;
		p->puts++;
	}
	rq->rows++;
	return 0;
}

/* From the last on, so that the first met of a key is its last write. */
static int
add_records(struct pg_builder *b, struct pg_request *rq, struct err *e)
{
	bool table = b->conf->mode == ROWS_TABLE;

	for (size_t i = rq->n; i-- > 0;) {
		size_t first = b->last.v[i].first;

		if (rq->d[i] == NULL || (table && b->taken[first]))
			continue;
		if (add_record(b, rq, i, e) == 0) {
			b->taken[first] = true;
			continue;
		}
		if (e->code != ERR_REFUSED && e->code != ERR_LIMIT && e->code != ERR_PROTOCOL)
			return err_prefix(e, "postgres");
		reject(b, rq, i, e);
	}
	return 0;
}

static bool
end_arrays(struct pg_array *v, size_t n)
{
	bool ok = true;

	for (size_t i = 0; i < n; i++) {
		pg_array_end(&v[i]);
		ok = ok && !v[i].buf.failed;
	}
	return ok;
}

static bool
end_request(struct pg_request *rq)
{
	bool ok = true;

	for (size_t i = 0; i < rq->n; i++)
		shard_marks_note(&rq->marks, rq->d[i]->origin, &rq->d[i]->rec->seq);
	for (size_t i = 0; i < rq->marks.n; i++) {
		const struct shard_mark *k = &rq->marks.v[i];

		pg_array_text(&rq->arns, slice_of(origin_stream(k->origin)));
		pg_array_text(&rq->shards, slice_of(k->origin->shard));
		pg_array_text(&rq->numbers, seq_text(&k->seq));
	}
	for (size_t i = 0; i < rq->part_count; i++) {
		const struct rows_layout *l = rq->parts[i].target->layout;

		ok = end_arrays(rq->parts[i].put, l->count) && ok;
		ok = end_arrays(rq->parts[i].gone, l->key_count + 1) && ok;
	}
	ok = end_arrays(&rq->arns, 1) && end_arrays(&rq->shards, 1) && ok;
	return end_arrays(&rq->numbers, 1) && ok;
}

int
pg_build(struct pg_builder *b, struct pg_request *rq, struct err *e)
{
	int r;

	if (b->arena.cap > KEEP_BYTES)
		buf_close(&b->arena);
	reserve(b, rq->n);
	r = sort_out(b, rq, e) != 0 || add_records(b, rq, e) != 0 ? -1 : 0;
	close_gaps(rq);
	if (r == 0 && !end_request(rq))
		r = err_retry(e, ERR_NOMEM, "postgres: no memory for a batch");
	return r;
}
