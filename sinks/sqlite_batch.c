/* sinks/sqlite_batch.c - see sqlite_batch.h. */
#include "sinks/sqlite_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sinks/route.h"

/* Of one record: a page has at most 32 MiB (LIMIT_PAGE_BODY), and no value grows when it
 * is decoded or made plain by more than a number that is written out. */
#define ARENA_MAX ((size_t)64 << 20)
/* Tombstones removed in one transaction: some milliseconds. As many as a batch has records,
 * so that they go as fast as they come. */
#define PURGE_ROWS 1000

/* ---- connection ---- */

static void
drop_statements(struct sqlite_batch *b)
{
	struct sqlite_table *t;

	while ((t = b->ready) != NULL) {
		b->ready = t->next_ready;
		sqlite_table_unprepare(t);
	}
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
	drop_statements(b);
	if (e->code != ERR_LOCKED && e->code != ERR_NOSPACE && e->code != ERR_NOMEM)
		sqlite_file_drop(&b->file);
}

/* A table's first row on this connection. */
static int
make_ready(struct sqlite_batch *b, struct sqlite_table *t, struct err *e)
{
	if (t->put != NULL)
		return 0;
	if (sqlite_table_prepare(t, b->conf, b->file.db, e) != 0)
		return -1;
	t->next_ready = b->ready;
	b->ready = t;
	return 0;
}

/* A table that this record alone chose, and that cannot be written, is no reason for
 * the others to stop; what passes, or is wrong with the file, is. */
static bool
is_route_at_fault(const struct sqlite_batch *b, const struct delivery *d, const struct err *e)
{
	return route_is_set(d) && !e->retriable && sqlite3_get_autocommit(b->file.db) == 0 &&
	    (e->code == ERR_CONFIG || e->code == ERR_NOT_FOUND);
}

/* ---- positions ---- */

static int
write_mark(struct sqlite_batch *b, const struct shard_mark *m, const char *now, struct err *e)
{
	(void)sqlite3_bind_text(b->mark, 1, b->name, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(b->mark, 2, origin_stream(m->origin), -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(b->mark, 3, m->origin->shard, -1, SQLITE_STATIC);
	(void)sqlite3_bind_text(
	    b->mark, 4, m->seq.digits, (int)sizeof m->seq.digits, SQLITE_STATIC);
	(void)sqlite3_bind_text(b->mark, 5, now, -1, SQLITE_STATIC);
	return sqlite_step(b->mark, b->conf->path, "slipring_position", e);
}

static int
write_marks(struct sqlite_batch *b, int64_t now_us, struct err *e)
{
	char now[SQLITE_TIME_LENGTH + 1];

	/* Their table is made with the first one of items: where every record so far was
	 * refused there may be none, and nothing was written. */
	if (b->marks.n == 0 || b->ready == NULL)
		return 0;
	sqlite_time_write(now_us, now);
	if (prepare(b,
		"INSERT INTO \"slipring_position\" VALUES (?1, ?2, ?3, ?4, ?5)"
		" ON CONFLICT DO UPDATE SET \"sequence\" = excluded.\"sequence\","
		" \"written_at\" = excluded.\"written_at\""
		" WHERE \"sequence\" < excluded.\"sequence\"",
		&b->mark, e) != 0)
		return -1;
	for (size_t i = 0; i < b->marks.n; i++)
		if (write_mark(b, &b->marks.v[i], now, e) != 0)
			return -1;
	return 0;
}

/* ---- rows ---- */

/* What the loop had no room for, and what was not the row of its key until SQLite refused the
 * one behind it. */
static int
make_cells(struct sqlite_batch *b, struct sqlite_item *it, struct err *e)
{
	size_t n = it->table->layout->count;

	if (n > b->cell_cap) {
		b->cells = mem_grow(b->cells, n, sizeof *b->cells);
		b->cell_cap = n;
	}
	buf_reset(&b->arena);
	return sqlite_table_cells(it->table, it->d, &it->op, &b->arena, b->cells, e);
}

static int
put_row(struct sqlite_batch *b, struct sqlite_job *j, size_t i, enum sqlite_put *how, struct err *e)
{
	struct sqlite_item *it = &j->items[i];
	bool here = it->cells == SQLITE_NO_CELLS;
	struct sqlite_row row = {.now_us = j->now_us, .was_deleted = it->was_deleted};

	if (here && make_cells(b, it, e) != 0)
		return -1;
	row.op = it->op;
	row.arena = here ? &b->arena : &j->arena;
	row.cells = here ? b->cells : (const void *)(j->arena.p + it->cells);
	row.key = sqlite_job_key(j, i);
	return sqlite_table_put(it->table, b->conf->path, &row, how, e);
}

/* 1: written (or known); 0: rejected; -1: the transaction fails. */
static int
write_row(struct sqlite_batch *b, struct sqlite_job *j, size_t i, struct err *e)
{
	enum sqlite_put how;
	struct err why;

	if (make_ready(b, j->items[i].table, &why) != 0) {
		*e = why;
		return is_route_at_fault(b, j->items[i].d, &why) ? sqlite_job_reject(j, i, &why, e)
								 : -1;
	}
	if (put_row(b, j, i, &how, &why) != 0) {
		*e = why;
		if (sqlite_verdict_of(&why) != SINK_REJECT)
			return -1;
		return sqlite_job_reject(j, i, &why, e);
	}
	if (how == SQLITE_PUT_OLD)
		b->stats.old++;
	else if (j->items[i].op == ROWS_DELETE)
		b->stats.deleted++;
	else
		b->stats.written++;
	return 1;
}

/* The row of a key, or if that is refused the one before it. */
static int
write_key(struct sqlite_batch *b, struct sqlite_job *j, size_t i, struct err *e)
{
	int r = 0;

	for (; r == 0 && i != SIZE_MAX; i = sqlite_job_before(j, i))
		r = write_row(b, j, i, e);
	return r < 0 ? -1 : 0;
}

static int
write_job(struct sqlite_batch *b, struct sqlite_job *j, struct err *e)
{
	for (size_t i = 0; i < j->count; i++)
		if (j->items[i].chosen && write_key(b, j, i, e) != 0)
			return -1;
	for (size_t i = 0; i < j->count; i++)
		b->stats.rejected += j->items[i].verdict == SINK_REJECT;
	for (size_t i = 0; i < j->marks.n; i++)
		shard_marks_note(&b->marks, j->marks.v[i].origin, &j->marks.v[i].seq);
	return 0;
}

/* ---- a transaction ---- */

static int
write_all(struct sqlite_batch *b, struct sqlite_job *jobs, struct err *e)
{
	int64_t now_us = jobs->now_us;

	shard_marks_reset(&b->marks);
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

int
sqlite_batch_write(struct sqlite_batch *b, struct sqlite_job *jobs, struct err *e)
{
	struct sqlite_stats before = b->stats;

	if (write_all(b, jobs, e) != 0) {
		roll_back(b, e);
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

	for (struct sqlite_table *t = b->ready; t != NULL; t = t->next_ready) {
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
	if (b->ready == NULL || b->conf->keep_us == 0)
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
	*b = (struct sqlite_batch){
	    .conf = conf, .name = name, .file.lock_fd = -1, .arena = BUF_INIT(ARENA_MAX)};
	return sqlite_file_open(&b->file, conf, e);
}

void
sqlite_batch_close(struct sqlite_batch *b)
{
	drop_statements(b);
	sqlite_file_close(&b->file);
	shard_marks_close(&b->marks);
	buf_close(&b->arena);
	free(b->cells);
}
