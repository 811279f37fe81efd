/* sinks/sqlite_table.c - see sqlite_table.h: statements and values.
 *
 * A put compares versions inside the statement, so it is right whatever is in the
 * table: a replay changes nothing, an older change that comes after a newer one changes nothing,
 * and one that comes after a newer delete finds the tombstone.
 */
#include "sinks/sqlite_table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "record/format.h"

/* Decimal digits that a double holds exactly in both directions (DBL_DIG). */
#define DOUBLE_DIGITS 15

/* ---- values ---- */

void
sqlite_time_write(int64_t us, char out[SQLITE_TIME_LENGTH + 1])
{
	char bytes[64];
	struct buf b = {.p = bytes, .cap = sizeof bytes, .max = sizeof bytes};

	format_time(us, &b);
	memcpy(out, "0000-00-00T00:00:00.000000Z", SQLITE_TIME_LENGTH + 1);
	/* "...:37Z", "...:37.123Z" or "...:37.123456Z"; what is outside of the years that
	 * a record's time can have is cut. */
	memcpy(out, bytes, b.n - 1 < SQLITE_TIME_LENGTH - 1 ? b.n - 1 : SQLITE_TIME_LENGTH - 1);
}

static bool
as_integer(struct slice s, int64_t *out)
{
	bool negative = s.p[0] == '-';
	int64_t v = 0;

	for (size_t i = negative; i < s.n; i++) {
		int digit = s.p[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, digit, &v))
			return false;
	}
	if (!negative && __builtin_sub_overflow(0, v, &v))
		return false;
	*out = v;
	return true;
}

/* Digits between the first and the last that is not 0. */
static int
significant(struct slice s)
{
	int n = 0, zeros = 0;

	for (size_t i = 0; i < s.n && s.p[i] != 'E'; i++) {
		if (s.p[i] == '0') {
			zeros += n != 0;
		} else if (s.p[i] >= '1' && s.p[i] <= '9') {
			n += zeros + 1;
			zeros = 0;
		}
	}
	return n;
}

int
sqlite_bind_number(sqlite3_stmt *st, int at, struct slice s)
{
	char text[64];
	int64_t v;

	if (as_integer(s, &v))
		return sqlite3_bind_int64(st, at, v);
	/* The service's numbers are within 1E-130 and 1E126, as doubles are; others
	 * (of look-alikes) may not be. */
	if (s.n < sizeof text && significant(s) <= DOUBLE_DIGITS) {
		double d;

		memcpy(text, s.p, s.n);
		text[s.n] = '\0';
		d = strtod(text, NULL);
		if ((d > 1e-300 && d < 1e300) || (d < -1e-300 && d > -1e300))
			return sqlite3_bind_double(st, at, d);
	}
	return sqlite3_bind_text64(st, at, s.p, s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int
bind_text(sqlite3_stmt *st, int at, struct slice s)
{
	return sqlite3_bind_text64(st, at, s.p, s.n, SQLITE_STATIC, SQLITE_UTF8);
}

static int
bind_time(sqlite3_stmt *st, int at, int64_t us)
{
	char text[SQLITE_TIME_LENGTH + 1];

	sqlite_time_write(us, text);
	return sqlite3_bind_text(st, at, text, SQLITE_TIME_LENGTH, SQLITE_TRANSIENT);
}

/* What is static stays where it is until the step: arena and page. */
static int
bind_cell(
    const struct sqlite_table *t, sqlite3_stmt *st, int at, size_t i, const struct sqlite_row *row)
{
	const struct rows_cell *c = &row->cells[i];

	if (c->null)
		return sqlite3_bind_null(st, at);
	switch (t->layout->columns[i].type) {
	case COLUMN_BIGINT:
	case COLUMN_BOOLEAN:
		return sqlite3_bind_int64(st, at, c->number);
	case COLUMN_TIMESTAMPTZ:
		return bind_time(st, at, c->number);
	case COLUMN_BYTEA:
		return sqlite3_bind_blob64(
		    st, at, rows_cell_bytes(c, row->arena).p, c->n, SQLITE_STATIC);
	case COLUMN_NUMERIC:
		if (!t->number_as_text[i])
			return sqlite_bind_number(st, at, rows_cell_bytes(c, row->arena));
		FALLTHROUGH;
	case COLUMN_TEXT:
	case COLUMN_JSONB:
	case COLUMN_TYPES:
		break;
	}
	return bind_text(st, at, rows_cell_bytes(c, row->arena));
}

int
sqlite_step(sqlite3_stmt *st, const char *path, const char *what, struct err *e)
{
	sqlite3 *db = sqlite3_db_handle(st);
	int rc;

	errno = 0;
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		(void)sqlite_err(db, path, rc, what, e);
	/* A trigger that rolls back takes the whole batch with it. */
	if (rc != SQLITE_DONE && sqlite3_get_autocommit(db) != 0 &&
	    sqlite_verdict_of(e) == SINK_REJECT)
		(void)err_set(e, ERR_CONFIG,
		    "sqlite: %.200s: %s: a trigger or constraint rolls the whole transaction back;"
		    " let it use ABORT",
		    path, what);
	(void)sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* ---- statements ---- */

struct sql { /* puts the pieces of one statement together */
	struct buf out;
	const struct sqlite_table *t;
	char table[600], side[640]; /* quoted */
};

static void
quote(char *out, size_t n, const char *name, const char *suffix)
{
	struct buf plain = BUF_INIT(4096), quoted = BUF_INIT(8192);

	if (suffix != NULL)
		rows_side_name(&plain, name, suffix, 0);
	else
		buf_add_str(&plain, name);
	rows_add_name(&quoted, buf_cstr(&plain));
	(void)snprintf(out, n, "%s", buf_cstr(&quoted));
	buf_close(&plain);
	buf_close(&quoted);
}

/* "?1, ?2, ..." */
static void
add_parameters(struct buf *out, size_t from, size_t count)
{
	for (size_t i = 0; i < count; i++)
		buf_addf(out, "%s?%zu", i != 0 ? ", " : "", from + i);
}

/* "a" = ?from AND ... over the key. */
static void
add_key_is(struct buf *out, const struct rows_layout *l, size_t from)
{
	for (size_t i = 0; i < l->key_count; i++) {
		if (i != 0)
			buf_add_str(out, " AND ");
		rows_add_name(out, l->columns[i].name);
		buf_addf(out, " = ?%zu", from + i);
	}
}

static void
add_put(struct sql *q)
{
	const struct rows_layout *l = q->t->layout;

	buf_addf(&q->out, "INSERT INTO %s (", q->table);
	rows_add_columns(&q->out, l, "", false);
	if (l->mode == ROWS_LOG) {
		buf_add_str(&q->out, ") VALUES (");
		add_parameters(&q->out, 1, l->count);
		/* Without a target it would also keep quiet about constraints of the user's. */
		buf_add_str(&q->out, ") ON CONFLICT (");
		rows_add_columns(&q->out, l, "", true);
		buf_add_str(&q->out, ") DO NOTHING");
		return;
	}
	/* The version is the last of the columns, the canonical key comes behind. */
	buf_add_str(&q->out, ") SELECT ");
	add_parameters(&q->out, 1, l->count);
	buf_addf(&q->out,
	    " WHERE NOT EXISTS (SELECT 1 FROM %s WHERE \"key\" = ?%zu AND \"version\" >= ?%zu)"
	    " ON CONFLICT (",
	    q->side, l->count + 1, l->count);
	rows_add_columns(&q->out, l, "", true);
	buf_add_str(&q->out, ") DO UPDATE SET ");
	rows_add_assignments(&q->out, l);
	/* A row that somebody loaded has no version, and is older than any change. */
	buf_addf(&q->out,
	    " WHERE %s.\"" ROWS_VERSION "\" IS NULL OR %s.\"" ROWS_VERSION
	    "\" < excluded.\"" ROWS_VERSION "\"",
	    q->table, q->table);
}

/* ?1.. key, then the version. */
static void
add_remove(struct sql *q)
{
	const struct rows_layout *l = q->t->layout;

	buf_addf(&q->out, "DELETE FROM %s WHERE ", q->table);
	add_key_is(&q->out, l, 1);
	buf_addf(&q->out, " AND (\"" ROWS_VERSION "\" IS NULL OR \"" ROWS_VERSION "\" < ?%zu)",
	    l->key_count + 1);
}

/* ?1 canonical key, ?2 version, ?3 now, ?4.. key: unless a newer row is there. */
static void
add_bury(struct sql *q)
{
	buf_addf(&q->out,
	    "INSERT INTO %s (\"key\", \"version\", \"deleted_at\") SELECT ?1, ?2, ?3"
	    " WHERE NOT EXISTS (SELECT 1 FROM %s WHERE ",
	    q->side, q->table);
	add_key_is(&q->out, q->t->layout, 4);
	buf_addf(&q->out,
	    ") ON CONFLICT (\"key\") DO UPDATE SET \"version\" = excluded.\"version\","
	    " \"deleted_at\" = excluded.\"deleted_at\" WHERE %s.\"version\" < excluded.\"version\"",
	    q->side);
}

static void
add_unbury(struct sql *q)
{
	buf_addf(&q->out, "DELETE FROM %s WHERE \"key\" = ?1 AND \"version\" < ?2", q->side);
}

static void
add_purge(struct sql *q)
{
	buf_addf(&q->out,
	    "DELETE FROM %s WHERE \"key\" IN (SELECT \"key\" FROM %s WHERE \"deleted_at\" < ?1"
	    " LIMIT ?2)",
	    q->side, q->side);
}

static int
prepare_one(struct sql *q, sqlite3 *db, const char *path, void (*add)(struct sql *q),
    sqlite3_stmt **out, struct err *e)
{
	int rc;

	buf_reset(&q->out);
	add(q);
	if (q->out.failed)
		return err_set(e, ERR_CONFIG,
		    "sqlite: %.200s: table \"%.60s\" has too many columns", path, q->t->name);
	rc = sqlite3_prepare_v3(db, q->out.p, (int)q->out.n, SQLITE_PREPARE_PERSISTENT, out, NULL);
	return rc == SQLITE_OK ? 0 : sqlite_err(db, path, rc, q->t->name, e);
}

static void
add_any_buried(struct sql *q)
{
	buf_addf(&q->out, "SELECT 1 FROM %s LIMIT 1", q->side);
}

static int
look_for_tombstones(
    struct sql *q, struct sqlite_table *t, sqlite3 *db, const char *path, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc;

	if (prepare_one(q, db, path, add_any_buried, &st, e) != 0)
		return -1;
	errno = 0;
	rc = sqlite3_step(st);
	t->buried = rc == SQLITE_ROW;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		(void)sqlite_err(db, path, rc, t->name, e);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : -1;
}

static int
prepare_all(struct sqlite_table *t, sqlite3 *db, const char *path, struct err *e)
{
	struct sql q = {.out = BUF_INIT(1u << 20), .t = t};
	int r;

	quote(q.table, sizeof q.table, t->name, NULL);
	quote(q.side, sizeof q.side, t->name, SQLITE_TOMBSTONES);
	r = prepare_one(&q, db, path, add_put, &t->put, e);
	if (r == 0 && t->layout->mode == ROWS_TABLE &&
	    (prepare_one(&q, db, path, add_remove, &t->remove, e) != 0 ||
		prepare_one(&q, db, path, add_bury, &t->bury, e) != 0 ||
		prepare_one(&q, db, path, add_unbury, &t->unbury, e) != 0 ||
		prepare_one(&q, db, path, add_purge, &t->purge, e) != 0 ||
		look_for_tombstones(&q, t, db, path, e) != 0))
		r = -1;
	buf_close(&q.out);
	return r;
}

static int
create(struct sqlite_table *t, sqlite3 *db, const char *path, struct err *e)
{
	struct buf ddl = BUF_INIT(1u << 20);
	int r;

	sqlite_table_ddl(t, &ddl);
	r = sqlite_run(db, path, buf_cstr(&ddl), "cannot create its tables", e);
	buf_close(&ddl);
	return r;
}

int
sqlite_table_prepare(
    struct sqlite_table *t, const struct sqlite_conf *conf, sqlite3 *db, struct err *e)
{
	if (conf->create && create(t, db, conf->path, e) != 0)
		return -1;
	if (!sqlite_table_exists(db, t->name))
		return err_set(e, ERR_NOT_FOUND,
		    "sqlite: %.200s: table \"%.100s\" does not exist, and create is false;"
		    " `slipring check --connect` prints the statements that make it",
		    conf->path, t->name);
	if (sqlite_table_fits(t, db, conf->path, e) == 0 && prepare_all(t, db, conf->path, e) == 0)
		return 0;
	sqlite_table_unprepare(t);
	return -1;
}

/* ---- the life of it ---- */

int
sqlite_table_new(struct sqlite_table **out, const struct sqlite_conf *conf, const char *name,
    const struct rows_keys *keys, struct err *e)
{
	struct sqlite_table *t = mem_new(sizeof *t);

	*out = NULL;
	if (strlen(name) > SQLITE_NAME_MAX || strncasecmp(name, "sqlite_", 7) == 0 ||
	    strncasecmp(name, "slipring_", 9) == 0) {
		free(t);
		return err_set(e, ERR_CONFIG, "sqlite: a table cannot be called \"%.60s\"", name);
	}
	t->name = mem_strdup(name);
	if (rows_layout_new(&t->layout, (enum rows_mode)conf->mode, 0, &conf->columns, keys, e) !=
	    0) {
		sqlite_table_close(t);
		return err_prefix(e, "sqlite");
	}
	t->number_as_text = mem_array(t->layout->count, sizeof *t->number_as_text);
	*out = t;
	return 0;
}

void
sqlite_table_unprepare(struct sqlite_table *t)
{
	(void)sqlite3_finalize(t->put);
	(void)sqlite3_finalize(t->remove);
	(void)sqlite3_finalize(t->bury);
	(void)sqlite3_finalize(t->unbury);
	(void)sqlite3_finalize(t->purge);
	t->put = t->remove = t->bury = t->unbury = t->purge = NULL;
}

void
sqlite_table_close(struct sqlite_table *t)
{
	if (t == NULL)
		return;
	sqlite_table_unprepare(t);
	rows_layout_close(t->layout);
	free(t->number_as_text);
	free(t->name);
	free(t);
}

/* ---- one row ---- */

int
sqlite_table_cells(const struct sqlite_table *t, const struct delivery *d, enum rows_op *op,
    struct buf *arena, struct rows_cell *cells, struct err *e)
{
	if (rows_cells(t->layout, d->rec, d->origin, op, arena, cells, e) == 0)
		return 0;
	/* An arena that is large enough for any record has no memory. */
	e->retriable = e->code == ERR_LIMIT;
	return err_prefix(e, "sqlite: table \"%.60s\"", t->name);
}

static size_t
version_at(const struct sqlite_table *t)
{
	return t->layout->count - 1;
}

static int
unbury(struct sqlite_table *t, const char *path, const struct sqlite_row *row, struct err *e)
{
	(void)bind_text(t->unbury, 1, row->key);
	(void)bind_cell(t, t->unbury, 2, version_at(t), row);
	return sqlite_step(t->unbury, path, t->name, e);
}

static int
put(struct sqlite_table *t, const char *path, const struct sqlite_row *row, enum sqlite_put *how,
    struct err *e)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; rc == SQLITE_OK && i < t->layout->count; i++)
		rc = bind_cell(t, t->put, (int)i + 1, i, row);
	if (rc == SQLITE_OK && t->layout->mode == ROWS_TABLE)
		rc = bind_text(t->put, (int)t->layout->count + 1, row->key);
	if (rc != SQLITE_OK)
		return sqlite_err(NULL, path, rc, t->name, e);
	if (sqlite_step(t->put, path, t->name, e) != 0)
		return -1;
	*how = sqlite3_changes(sqlite3_db_handle(t->put)) != 0 ? SQLITE_PUT_DONE : SQLITE_PUT_OLD;
	if (!t->buried || !row->was_deleted || *how == SQLITE_PUT_OLD)
		return 0;
	return unbury(t, path, row, e);
}

static int
delete_row(struct sqlite_table *t, const char *path, const struct sqlite_row *row,
    enum sqlite_put *how, struct err *e)
{
	size_t keys = t->layout->key_count;

	for (size_t i = 0; i < keys; i++) {
		(void)bind_cell(t, t->remove, (int)i + 1, i, row);
		(void)bind_cell(t, t->bury, (int)i + 4, i, row);
	}
	(void)bind_cell(t, t->remove, (int)keys + 1, version_at(t), row);
	(void)bind_text(t->bury, 1, row->key);
	(void)bind_cell(t, t->bury, 2, version_at(t), row);
	(void)bind_time(t->bury, 3, row->now_us);
	if (sqlite_step(t->remove, path, t->name, e) != 0 ||
	    sqlite_step(t->bury, path, t->name, e) != 0)
		return -1;
	*how = sqlite3_changes(sqlite3_db_handle(t->bury)) != 0 ? SQLITE_PUT_DONE : SQLITE_PUT_OLD;
	t->buried = true;
	return 0;
}

int
sqlite_table_put(struct sqlite_table *t, const char *path, const struct sqlite_row *row,
    enum sqlite_put *how, struct err *e)
{
	return row->op == ROWS_DELETE ? delete_row(t, path, row, how, e)
				      : put(t, path, row, how, e);
}

int
sqlite_table_purge(struct sqlite_table *t, const char *path, int64_t before_us, int most,
    int *count, struct err *e)
{
	*count = 0;
	if (t->purge == NULL)
		return 0;
	(void)bind_time(t->purge, 1, before_us);
	(void)sqlite3_bind_int(t->purge, 2, most);
	if (sqlite_step(t->purge, path, t->name, e) != 0)
		return -1;
	*count = sqlite3_changes(sqlite3_db_handle(t->purge));
	return 0;
}
