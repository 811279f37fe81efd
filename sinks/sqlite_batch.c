/* sinks/sqlite_batch.c - see sqlite_batch.h. */
#include "sinks/sqlite_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "record/key.h"

/* Of one record: a page has at most 32 MiB (LIMIT_PAGE_BODY), and no value grows when it
 * is decoded or made plain by more than a number that is written out. */
#define ARENA_MAX ((size_t)64 << 20)
/* A key is at most as long as its record's page. */
#define KEY_MAX ((size_t)32 << 20)
/* Tombstones removed in one transaction: some milliseconds. As many as a batch has records,
 * so that they go as fast as they come. */
#define PURGE_ROWS 1000
/* Of an image: what an item of ordinary size has. */
#define PREFETCH_MAX 2048u

/* ---- connection ---- */

static void
forget_tables(struct sqlite_batch *b)
{
	struct sqlite_table *t, *next;

	for (t = b->tables; t != NULL; t = next) {
		next = t->next;
		sqlite_table_close(t);
	}
	b->tables = NULL;
	b->last_origin = NULL;
	(void)sqlite3_finalize(b->begin);
	(void)sqlite3_finalize(b->commit);
	(void)sqlite3_finalize(b->mark);
	b->begin = b->commit = b->mark = NULL;
}

static int
prepare(struct sqlite_batch *b, const char *sql, sqlite3_stmt **out, struct err *e)
{
	int rc;

	if (*out != NULL)
		return 0;
	rc = sqlite3_prepare_v3(b->file.db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
	return rc == SQLITE_OK ? 0 : sqlite_err(b->file.db, b->conf->path, rc, "cannot write", e);
}

static int
begin(struct sqlite_batch *b, struct err *e)
{
	if (sqlite_file_connect(&b->file, e) != 0 || sqlite_file_check_place(&b->file, e) != 0 ||
	    prepare(b, "BEGIN IMMEDIATE", &b->begin, e) != 0 ||
	    prepare(b, "COMMIT", &b->commit, e) != 0)
		return -1;
	return sqlite_step(b->begin, b->conf->path, "cannot begin", e);
}

/* Statements go too: what they were prepared for may have been rolled back. A lock or a
 * full disk say nothing about the connection; everything else may. */
static void
roll_back(struct sqlite_batch *b, const struct err *e)
{
	if (b->file.db != NULL && sqlite3_get_autocommit(b->file.db) == 0)
		(void)sqlite3_exec(b->file.db, "ROLLBACK", NULL, NULL, NULL);
	forget_tables(b);
	if (e->code != ERR_LOCKED && e->code != ERR_NOSPACE && e->code != ERR_NOMEM)
		sqlite_file_drop(&b->file);
}

/* ---- tables ---- */

static struct sqlite_table *
table_named(const struct sqlite_batch *b, const char *name)
{
	for (struct sqlite_table *t = b->tables; t != NULL; t = t->next)
		if (strcmp(t->name, name) == 0)
			return t;
	return NULL;
}

/* The first record of a table tells the types of its key. */
static int
table_make(struct sqlite_batch *b, const struct delivery *d, const char *name,
    struct sqlite_table **out, struct err *e)
{
	struct rows_keys keys;
	int r;

	if (rows_keys_of(d->rec, d->origin, &keys, e) != 0)
		return err_prefix(e, "sqlite: table \"%.60s\"", name);
	r = sqlite_table_new(out, b->conf, name, &keys, e);
	rows_keys_close(&keys);
	if (r != 0)
		return -1;
	if (sqlite_table_prepare(*out, b->conf, b->file.db, e) != 0) {
		sqlite_table_close(*out);
		*out = NULL;
		return -1;
	}
	(*out)->next = b->tables;
	b->tables = *out;
	return 0;
}

static int
table_of(struct sqlite_batch *b, const struct delivery *d, struct sqlite_table **out, struct err *e)
{
	const char *name;

	if (d->origin == b->last_origin) {
		*out = b->last_table;
		return 0;
	}
	buf_reset(&b->table_name);
	sqlite_table_name(b->conf, d->origin, &b->table_name);
	name = buf_cstr(&b->table_name);
	if (b->conf->mode == ROWS_TABLE && rows_own(&b->owners, name, d->origin, true, e) != 0)
		return err_prefix(e, "sqlite");
	*out = table_named(b, name);
	if (*out == NULL && table_make(b, d, name, out, e) != 0)
		return -1;
	b->last_origin = d->origin;
	b->last_table = *out;
	return 0;
}

/* ---- positions ---- */

static struct sqlite_mark *
mark_of(struct sqlite_batch *b, const struct origin *o)
{
	size_t i = b->mark_count;

	/* Nearly always the last. */
	while (i > 0 && b->marks[i - 1].origin != o)
		i--;
	if (i > 0)
		return &b->marks[i - 1];
	if (b->mark_count == b->mark_cap) {
		b->mark_cap = b->mark_cap != 0 ? 2 * b->mark_cap : 16;
		b->marks = mem_grow(b->marks, b->mark_cap, sizeof *b->marks);
	}
	b->marks[b->mark_count] = (struct sqlite_mark){.origin = o};
	return &b->marks[b->mark_count++];
}

static void
note_mark(struct sqlite_batch *b, const struct delivery *d)
{
	struct sqlite_mark *m = mark_of(b, d->origin);

	if (!seq_is_set(&m->seq) || seq_cmp(&m->seq, &d->rec->seq) < 0)
		m->seq = d->rec->seq;
}

static int
write_mark(struct sqlite_batch *b, const struct sqlite_mark *m, const char *now, struct err *e)
{
	const struct origin *o = m->origin;

	(void)sqlite3_bind_text(b->mark, 1, b->name, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(b->mark, 2, o->arn != NULL ? o->arn : o->label, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(b->mark, 3, o->shard, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(
	    b->mark, 4, m->seq.digits, (int)sizeof m->seq.digits, SQLITE_STATIC);
	(void)sqlite3_bind_text(b->mark, 5, now, -1, SQLITE_STATIC);
	return sqlite_step(b->mark, b->conf->path, "slipring_position", e);
}

static int
write_marks(struct sqlite_batch *b, int64_t now_us, struct err *e)
{
	char now[SQLITE_TIME_LENGTH + 1];

	sqlite_time_write(now_us, now);
	if (b->mark_count != 0 &&
	    prepare(b,
		"INSERT INTO \"slipring_position\" VALUES (?1, ?2, ?3, ?4, ?5)"
		" ON CONFLICT DO UPDATE SET \"sequence\" = excluded.\"sequence\","
		" \"written_at\" = excluded.\"written_at\""
		" WHERE \"sequence\" < excluded.\"sequence\"",
		&b->mark, e) != 0)
		return -1;
	for (size_t i = 0; i < b->mark_count; i++)
		if (write_mark(b, &b->marks[i], now, e) != 0)
			return -1;
	return 0;
}

/* ---- rows ---- */

/* The loop's core has the records and their bytes; fetched while SQLite works on those before, they
 * do not keep it waiting (seen in bench/sqlite_bench.c). */
static void
prefetch(const void *p, size_t n)
{
	for (size_t at = 0; at < n && at < PREFETCH_MAX; at += 64)
		__builtin_prefetch((const char *)p + at);
}

static void
prefetch_image(const struct record *r)
{
	prefetch(r->new_image.p, r->new_image.n);
}

static int
reject(struct sqlite_batch *b, struct sqlite_item *it, const struct err *why, struct err *e)
{
	it->why = malloc(sizeof *it->why);
	if (it->why == NULL)
		return err_retry(e, ERR_NOMEM, "sqlite: out of memory");
	*it->why = *why;
	it->verdict = SINK_REJECT;
	it->settled = true;
	b->stats.rejected++;
	return 0;
}

/* 1: written (or known); 0: rejected; -1: the transaction fails. */
static int
write_row(struct sqlite_batch *b, struct sqlite_job *j, size_t i, struct slice key,
    bool was_deleted, struct err *e)
{
	struct sqlite_item *it = &j->items[i];
	struct sqlite_row row = {it->d->rec, it->d->origin, key, j->now_us, was_deleted};
	enum sqlite_put how;
	struct err why;

	if (sqlite_table_put(b->of[i], b->conf->path, &row, &b->arena, &how, &why) != 0) {
		if (sqlite_verdict_of(&why) == SINK_REJECT)
			return reject(b, it, &why, e);
		*e = why;
		return -1;
	}
	if (how == SQLITE_PUT_OLD)
		b->stats.old++;
	else if (it->d->rec->event == RECORD_REMOVE && b->conf->mode == ROWS_TABLE)
		b->stats.deleted++;
	else
		b->stats.written++;
	return 1;
}

static int
write_log(struct sqlite_batch *b, struct sqlite_job *j, struct err *e)
{
	for (size_t i = 0; i < j->count; i++)
		if (!j->items[i].settled && write_row(b, j, i, SLICE_NONE, false, e) < 0)
			return -1;
	return 0;
}

/* The key with the table before it: one text for each row of the file. */
static int
add_key(struct sqlite_batch *b, const struct delivery *d, struct sqlite_table *t, struct err *e)
{
	buf_reset(&b->key);
	buf_add(&b->key, &t, sizeof t);
	key_write(d->rec, d->origin->schema, &b->key);
	if (b->key.failed || last_key_add(&b->keys, buf_slice(&b->key), d->key_hash) != 0)
		return err_retry(e, ERR_NOMEM, "sqlite: out of memory for the keys of a batch");
	return 0;
}

/* The one before i that has the same key and is not settled; SIZE_MAX: none. */
static size_t
one_before(const struct sqlite_batch *b, const struct sqlite_job *j, size_t i)
{
	size_t first = b->keys.v[i].first;

	while (i-- > first)
		if (b->keys.v[i].first == first && !j->items[i].settled)
			return i;
	return SIZE_MAX;
}

/* Only a MODIFY that is alone says that there was an item before. */
static bool
may_be_buried(const struct sqlite_batch *b, const struct sqlite_job *j, size_t i)
{
	return b->keys.v[i].first != i || j->items[i].d->rec->event != RECORD_MODIFY;
}

/* The last record of a key, or if that is refused the one before it. */
static int
write_key(struct sqlite_batch *b, struct sqlite_job *j, size_t i, struct err *e)
{
	struct slice text = last_key_text(&b->keys, i);
	struct slice key = {
	    text.p + sizeof(struct sqlite_table *), text.n - sizeof(struct sqlite_table *)};
	int r = 0;

	if (j->items[i].settled)
		i = one_before(b, j, i);
	for (; r == 0 && i != SIZE_MAX; i = one_before(b, j, i))
		r = write_row(b, j, i, key, may_be_buried(b, j, i), e);
	return r < 0 ? -1 : 0;
}

static int
write_table(struct sqlite_batch *b, struct sqlite_job *j, struct err *e)
{
	for (size_t i = 0; i < j->count; i++) {
		if (i + 8 < j->count)
			prefetch(j->items[i + 8].d->rec->keys.p, 64);
		if (add_key(b, j->items[i].d, b->of[i], e) != 0)
			return -1;
	}
	for (size_t i = 0; i < j->count; i++) {
		if (i + 1 < j->count)
			prefetch_image(j->items[i + 1].d->rec);
		if (last_key_of(&b->keys, i) == i && write_key(b, j, i, e) != 0)
			return -1;
	}
	return 0;
}

static int
find_tables(struct sqlite_batch *b, struct sqlite_job *j, struct err *e)
{
	struct err why;

	if (j->count > b->of_cap) {
		b->of = mem_grow(b->of, j->count, sizeof(struct sqlite_table *));
		b->of_cap = j->count;
	}
	/* Origins are those of records that are held: of this job, not of the last. */
	b->last_origin = NULL;
	for (size_t i = 0; i < j->count; i++) {
		if (i + 8 < j->count)
			prefetch(j->items[i + 8].d->rec, sizeof(struct record));
		b->of[i] = NULL;
		note_mark(b, j->items[i].d);
		if (table_of(b, j->items[i].d, &b->of[i], &why) == 0)
			continue;
		if (sqlite_verdict_of(&why) != SINK_REJECT) {
			*e = why;
			return -1;
		}
		if (reject(b, &j->items[i], &why, e) != 0)
			return -1;
	}
	return 0;
}

static int
write_job(struct sqlite_batch *b, struct sqlite_job *j, struct err *e)
{
	if (find_tables(b, j, e) != 0)
		return -1;
	if (b->conf->mode == ROWS_LOG)
		return write_log(b, j, e);
	last_key_begin(&b->keys, j->count);
	return write_table(b, j, e);
}

/* ---- a transaction ---- */

static int
write_all(struct sqlite_batch *b, struct sqlite_job *jobs, struct err *e)
{
	int64_t now_us = jobs->now_us;

	b->mark_count = 0;
	if (begin(b, e) != 0)
		return -1;
	for (struct sqlite_job *j = jobs; j != NULL; j = j->next) {
		if (write_job(b, j, e) != 0)
			return -1;
		now_us = j->now_us;
	}
	if (write_marks(b, now_us, e) != 0)
		return -1;
	return sqlite_step(b->commit, b->conf->path, "cannot commit", e);
}

static void
unsettle(struct sqlite_job *jobs)
{
	for (struct sqlite_job *j = jobs; j != NULL; j = j->next)
		for (size_t i = 0; i < j->count; i++) {
			j->items[i].settled = false;
			free(j->items[i].why);
			j->items[i].why = NULL;
		}
}

/* ACK is the initial verdict: 0. */
static_assert(SINK_ACK == 0, "what is not settled otherwise is acked");

int
sqlite_batch_write(struct sqlite_batch *b, struct sqlite_job *jobs, struct err *e)
{
	struct sqlite_stats before = b->stats;

	if (write_all(b, jobs, e) != 0) {
		roll_back(b, e);
		unsettle(jobs);
		b->stats = before;
		return -1;
	}
	b->stats.transactions++;
	b->stats.wal_bytes = sqlite_file_wal_bytes(&b->file);
	return 0;
}

/* ---- what is too old ---- */

static int
purge_positions(struct sqlite_batch *b, int64_t before_us, int *count, struct err *e)
{
	char before[SQLITE_TIME_LENGTH + 1];
	sqlite3_stmt *st = NULL;
	int r;

	*count = 0;
	sqlite_time_write(before_us, before);
	if (prepare(b, "DELETE FROM \"slipring_position\" WHERE \"written_at\" < ?1", &st, e) != 0)
		return -1;
	(void)sqlite3_bind_text(st, 1, before, -1, SQLITE_STATIC);
	r = sqlite_step(st, b->conf->path, "slipring_position", e);
	*count = sqlite3_changes(b->file.db);
	(void)sqlite3_finalize(st);
	return r;
}

static int
purge_all(struct sqlite_batch *b, int64_t before_us, bool *more, struct err *e)
{
	int n;

	for (struct sqlite_table *t = b->tables; t != NULL; t = t->next) {
		if (sqlite_table_purge(t, b->conf->path, before_us, PURGE_ROWS, &n, e) != 0)
			return -1;
		b->stats.purged += (uint64_t)n;
		*more = *more || n == PURGE_ROWS;
	}
	return purge_positions(b, before_us, &n, e);
}

/* Tables are known from their first record on; nothing is removed before that. */
int
sqlite_batch_purge(struct sqlite_batch *b, int64_t now_us, bool *more, struct err *e)
{
	struct sqlite_stats before = b->stats;

	*more = false;
	if (b->tables == NULL || b->conf->keep_us == 0)
		return 0;
	if (begin(b, e) == 0 && purge_all(b, now_us - b->conf->keep_us, more, e) == 0 &&
	    sqlite_step(b->commit, b->conf->path, "cannot commit", e) == 0)
		return 0;
	*more = false;
	roll_back(b, e);
	b->stats = before;
	return -1;
}

/* ---- the life of it ---- */

int
sqlite_batch_open(
    struct sqlite_batch *b, const struct sqlite_conf *conf, const char *name, struct err *e)
{
	*b = (struct sqlite_batch){.conf = conf,
	    .name = name,
	    .file.lock_fd = -1,
	    .key = BUF_INIT(KEY_MAX),
	    .arena = BUF_INIT(ARENA_MAX),
	    .table_name = BUF_INIT(4096)};
	last_key_init(&b->keys);
	return sqlite_file_open(&b->file, conf, e);
}

void
sqlite_batch_close(struct sqlite_batch *b)
{
	forget_tables(b);
	sqlite_file_close(&b->file);
	rows_owners_close(&b->owners);
	last_key_close(&b->keys);
	buf_close(&b->key);
	buf_close(&b->arena);
	buf_close(&b->table_name);
	free(b->of);
	free(b->marks);
}
