/* sinks/sqlite_job.c - see sqlite_job.h. */
#include "sinks/sqlite_job.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/key.h"
#include "sinks/route.h"

/* A batch of ordinary items has less than one MiB. Together with sqlite.c's bound on the queue
 * this is what the sink holds at most. */
#define JOB_BYTES ((size_t)32 << 20)
/* Jobs that wait for use: as many batches (batch.count) as a lane has out (in-flight), and some. A
 * job with larger buffers is not kept. */
#define SPARE_JOBS 16u
#define KEEP_BYTES ((size_t)1 << 20)
#define KEEP_RECORDS 4096u
/* A key is at most as long as its record's page (LIMIT_PAGE_BODY). */
#define TEXT_MAX ((size_t)32 << 20)

/* ---- jobs ---- */

static void
forget_reasons(struct sqlite_job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		free(j->items[i].why);
		j->items[i].why = NULL;
	}
}

static void
job_close(struct sqlite_job *j)
{
	last_key_close(&j->keys);
	shard_marks_close(&j->marks);
	buf_close(&j->arena);
	free(j->items);
	free(j);
}

/* Bytes that grow with the records. */
static size_t
held(const struct sqlite_job *j)
{
	return j->arena.cap + j->keys.keys.cap;
}

static struct sqlite_job *
job_new(void)
{
	struct sqlite_job *j = calloc(1, sizeof *j);

	if (j == NULL)
		return NULL;
	j->arena = BUF_INIT(JOB_BYTES);
	last_key_init(&j->keys);
	return j;
}

static bool
job_begin(struct sqlite_job *j, struct delivery *const *batch, size_t count)
{
	j->failed = false;
	j->bytes = j->count = 0;
	buf_reset(&j->arena);
	shard_marks_reset(&j->marks);
	if (count > j->cap) {
		struct sqlite_item *items = realloc(j->items, count * sizeof *items);

		if (items == NULL)
			return false;
		j->items = items;
		j->cap = count;
	}
	for (size_t i = 0; i < count; i++) {
		j->items[i] = (struct sqlite_item){
		    .d = batch[i], .cells = SQLITE_NO_CELLS, .verdict = SINK_ACK};
		j->bytes += batch[i]->rec->raw.n;
	}
	j->count = count;
	return true;
}

static struct sqlite_job *
job_take(struct sqlite_builder *bd)
{
	struct sqlite_job *j = bd->spare;

	if (j == NULL)
		return job_new();
	bd->spare = j->next;
	bd->spare_count--;
	return j;
}

static void
job_keep(struct sqlite_builder *bd, struct sqlite_job *j)
{
	if (bd->spare_count == SPARE_JOBS || j->cap > KEEP_RECORDS || held(j) > KEEP_BYTES) {
		job_close(j);
		return;
	}
	j->next = bd->spare;
	bd->spare = j;
	bd->spare_count++;
}

void
sqlite_job_give_back(struct sqlite_builder *bd, struct sqlite_job *j)
{
	bd->out -= held(j);
	forget_reasons(j);
	job_keep(bd, j);
}

void
sqlite_job_fail(struct sqlite_job *j, enum sink_verdict v, const struct err *why)
{
	j->failed = true;
	j->why = *why;
	forget_reasons(j);
	for (size_t i = 0; i < j->count; i++)
		j->items[i].verdict = v;
}

static int
out_of_memory(struct err *e)
{
	return err_retry(e, ERR_NOMEM, "sqlite: no memory for a batch");
}

int
sqlite_job_reject(struct sqlite_job *j, size_t i, const struct err *why, struct err *e)
{
	struct sqlite_item *it = &j->items[i];

	it->why = malloc(sizeof *it->why);
	if (it->why == NULL)
		return out_of_memory(e);
	*it->why = *why;
	it->verdict = SINK_REJECT;
	return 0;
}

/* Before the canonical key stands the table: one text for each row of the file. */
struct slice
sqlite_job_key(const struct sqlite_job *j, size_t i)
{
	struct slice text;

	if (j->keys.n == 0)
		return SLICE_NONE;
	text = last_key_text(&j->keys, i);
	return (struct slice){
	    text.p + sizeof(struct sqlite_table *), text.n - sizeof(struct sqlite_table *)};
}

size_t
sqlite_job_before(const struct sqlite_job *j, size_t i)
{
	size_t first = j->keys.n != 0 ? j->keys.v[i].first : i;

	while (i-- > first)
		if (j->keys.v[i].first == first && j->items[i].verdict != SINK_REJECT)
			return i;
	return SIZE_MAX;
}

/* ---- tables ---- */

static struct sqlite_table *
table_named(const struct sqlite_builder *bd, const char *name)
{
	for (struct sqlite_table *t = bd->tables; t != NULL; t = t->next)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

/* The first record of a table tells the types of its key. */
static struct sqlite_table *
table_make(struct sqlite_builder *bd, const struct delivery *d, const char *name, struct err *e)
{
	struct rows_keys keys;
	struct sqlite_table *t;
	int r;

	if (rows_keys_of(d->rec, d->origin, &keys, e) != 0) {
		(void)err_prefix(e, "sqlite: table \"%.60s\"", name);
		return NULL;
	}
	r = sqlite_table_new(&t, bd->conf, name, &keys, e);
	rows_keys_close(&keys);
	if (r != 0)
		return NULL;
	if (t->layout->count > bd->cell_cap) {
		bd->cell_cap = t->layout->count;
		bd->cells = mem_grow(bd->cells, bd->cell_cap, sizeof *bd->cells);
	}
	t->next = bd->tables;
	bd->tables = t;
	return t;
}

static struct sqlite_table *
table_of(struct sqlite_builder *bd, const struct delivery *d, struct err *e)
{
	struct sqlite_table *t;
	const char *name;

	if (route_is_set(d) && sqlite_table_check_route(d->route, e) != 0) {
		(void)err_prefix(e, "sqlite");
		return NULL;
	}
	buf_reset(&bd->text);
	if (route_is_set(d))
		buf_add_slice(&bd->text, d->route);
	else
		sqlite_table_name(bd->conf, d->origin, &bd->text);
	name = buf_cstr(&bd->text);
	if (bd->conf->mode == ROWS_TABLE && rows_own(&bd->owners, name, d->origin, true, e) != 0) {
		(void)err_prefix(e, "sqlite");
		return NULL;
	}
	t = table_named(bd, name);
	if (t == NULL)
		t = table_make(bd, d, name, e);
	/* One that this record alone chose is no reason for the others to stop. */
	if (t == NULL && route_is_set(d) && e->code == ERR_CONFIG)
		e->code = ERR_REFUSED;
	return t;
}

/* ---- building ---- */

/* REJECT is the item's, everything else the job's. */
static int
refuse(struct sqlite_job *j, size_t i, struct err *e)
{
	struct err why = *e;

	return sqlite_verdict_of(e) == SINK_REJECT ? sqlite_job_reject(j, i, &why, e) : -1;
}

/* The table of each. Records of one origin stand together, mostly. */
static int
find_tables(struct sqlite_builder *bd, struct sqlite_job *j, struct err *e)
{
	const struct origin *origin = NULL;
	struct slice route = SLICE_NONE;
	struct sqlite_table *t = NULL;

	for (size_t i = 0; i < j->count; i++) {
		const struct delivery *d = j->items[i].d;

		shard_marks_note(&j->marks, d->origin, &d->rec->seq);
		if (d->origin != origin || t == NULL || !route_same(d->route, route)) {
			origin = d->origin;
			route = d->route;
			t = table_of(bd, d, e);
		}
		j->items[i].table = t;
		if (t == NULL && refuse(j, i, e) != 0)
			return -1;
	}
	return 0;
}

static int
find_keys(struct sqlite_builder *bd, struct sqlite_job *j, struct err *e)
{
	last_key_begin(&j->keys, j->count);
	for (size_t i = 0; i < j->count; i++) {
		struct sqlite_item *it = &j->items[i];

		buf_reset(&bd->text);
		buf_add(&bd->text, &it->table, sizeof it->table);
		key_write(it->d->rec, it->d->origin->schema, &bd->text);
		if (bd->text.failed ||
		    last_key_add(&j->keys, buf_slice(&bd->text), it->d->key_hash) != 0)
			return out_of_memory(e);
		/* Only a MODIFY that is alone says that there was an item before. */
		it->was_deleted = j->keys.v[i].first != i || it->d->rec->event != RECORD_MODIFY;
	}
	return 0;
}

/* Cells are made apart, since the arena moves while it grows. */
static int
make_cells(struct sqlite_builder *bd, struct sqlite_job *j, size_t i, struct err *e)
{
	static const char zeros[_Alignof(struct rows_cell)];
	struct sqlite_item *it = &j->items[i];
	size_t n = it->table->layout->count * sizeof *bd->cells, before = j->arena.n, pad;

	if (sqlite_table_cells(it->table, it->d, &it->op, &j->arena, bd->cells, e) != 0)
		return -1;
	pad = (0 - j->arena.n) % sizeof zeros;
	buf_add(&j->arena, zeros, pad);
	it->cells = j->arena.n;
	buf_add(&j->arena, bd->cells, n);
	if (!j->arena.failed)
		return 0;
	j->arena.n = before;
	it->cells = SQLITE_NO_CELLS;
	return err_set(e, ERR_LIMIT, "sqlite: no room for a row");
}

/* 1: this is the row of its key; 0: rejected. Once the room is used up, all that is behind is left
 * to the thread. */
static int
choose(struct sqlite_builder *bd, struct sqlite_job *j, size_t i, struct err *e)
{
	if (!j->arena.failed && make_cells(bd, j, i, e) != 0) {
		if (e->code != ERR_LIMIT)
			return refuse(j, i, e);
		j->arena.failed = true;
	}
	j->items[i].chosen = true;
	return 1;
}

/* The last record of a key, or if that has no row the one before it. */
static int
make_row(struct sqlite_builder *bd, struct sqlite_job *j, size_t i, struct err *e)
{
	int r = 0;

	if (j->keys.n != 0 && last_key_of(&j->keys, i) != i)
		return 0;
	if (j->items[i].verdict == SINK_REJECT)
		i = sqlite_job_before(j, i);
	for (; r == 0 && i != SIZE_MAX; i = sqlite_job_before(j, i))
		r = choose(bd, j, i, e);
	return r < 0 ? -1 : 0;
}

static int
build(struct sqlite_builder *bd, struct sqlite_job *j, struct err *e)
{
	if (find_tables(bd, j, e) != 0 ||
	    (bd->conf->mode == ROWS_TABLE && find_keys(bd, j, e) != 0))
		return -1;
	for (size_t i = 0; i < j->count; i++)
		if (make_row(bd, j, i, e) != 0)
			return -1;
	return 0;
}

struct sqlite_job *
sqlite_job_build(struct sqlite_builder *bd, struct delivery *const *batch, size_t count)
{
	struct sqlite_job *j = job_take(bd);
	struct err e;

	if (j == NULL)
		return NULL;
	if (!job_begin(j, batch, count)) {
		job_keep(bd, j);
		return NULL;
	}
	if (build(bd, j, &e) != 0)
		sqlite_job_fail(j, sqlite_verdict_of(&e), &e);
	bd->out += held(j);
	return j;
}

/* ---- the life of it ---- */

void
sqlite_builder_init(struct sqlite_builder *bd, const struct sqlite_conf *conf)
{
	*bd = (struct sqlite_builder){.conf = conf, .text = BUF_INIT(TEXT_MAX)};
}

void
sqlite_builder_close(struct sqlite_builder *bd)
{
	struct sqlite_table *t;
	struct sqlite_job *j;

	while ((j = bd->spare) != NULL) {
		bd->spare = j->next;
		job_close(j);
	}
	while ((t = bd->tables) != NULL) {
		bd->tables = t->next;
		sqlite_table_close(t);
	}
	rows_owners_close(&bd->owners);
	buf_close(&bd->text);
	free(bd->cells);
}
