/* sinks/sqlite_table.h - one table of a SQLite copy: what it must look like, its
 * statements, one row at a time.
 *
 * Beside a table in mode `table` is TABLE_slipring_deleted, a tombstone for every deleted item (canonical key,
 * version), so that an older change that comes again does not bring it back. Each file
 * has slipring_position: how far each shard was written, in the same transactions.
 *
 * Threading: name and layout are constant once it is made, and may be read by any
 * thread; all else is for one thread at a time, that of the connection.
 */
#ifndef SINKS_SQLITE_TABLE_H
#define SINKS_SQLITE_TABLE_H

#include "sinks/rows.h"
#include "sinks/sqlite_file.h"

/* A table of DynamoDB has at most 255; twice that, quoted, fits struct sql. */
#define SQLITE_NAME_MAX 290u
#define SQLITE_TOMBSTONES "slipring_deleted" /* TABLE_... */

struct sqlite_table {
	struct sqlite_table *next;  /* the owner's list */
	char *name;		    /* owned, not quoted */
	struct rows_layout *layout; /* owned */

	struct sqlite_table *next_ready; /* the connection's list */
	bool *number_as_text;		 /* owned; per column: it has affinity TEXT */
	bool buried;			 /* there may be tombstones; nobody else makes any */
	sqlite3_stmt *put;		 /* owned: guarded upsert; a log: insert */
	sqlite3_stmt *remove, *bury, *unbury, *purge; /* owned; mode table only */
};

enum sqlite_put {
	SQLITE_PUT_DONE,
	SQLITE_PUT_OLD, /* what is there is as new, or newer: nothing was changed */
};

struct sqlite_row { /* what is written */
	enum rows_op op;
	const struct rows_cell *cells;
	const struct buf *arena; /* of the cells */
	struct slice key;	 /* canonical; mode table */
	int64_t now_us;		 /* wall clock */
	/* A tombstone of this key may be there: the last event alone does not say. */
	bool was_deleted;
};

/* The name for records of this origin, into out. */
void sqlite_table_name(const struct sqlite_conf *conf, const struct origin *o, struct buf *out);
/* For sink_ops.check: could the template give names that SQLite or we keep for ourselves? */
int sqlite_table_check_name(const char *text, struct err *e) MUST_CHECK;
/* May a filter choose this name? ERR_REFUSED. */
int sqlite_table_check_route(struct slice route, struct err *e) MUST_CHECK;
/* Layout by the keys; the table itself is not looked at. */
int sqlite_table_new(struct sqlite_table **out, const struct sqlite_conf *conf, const char *name,
    const struct rows_keys *keys, struct err *e) MUST_CHECK;
void sqlite_table_close(struct sqlite_table *t); /* NULL allowed */
/* The cells of a record (rows_cells()), on any thread. The error's verdict (sqlite_verdict_of) is that
 * of this record alone when it is REJECT; ERR_LIMIT: the arena is full. */
int sqlite_table_cells(const struct sqlite_table *t, const struct delivery *d, enum rows_op *op,
    struct buf *arena, struct rows_cell *cells, struct err *e) MUST_CHECK;

/* CREATE statements for all that the table needs, each with its semicolon. */
void sqlite_table_ddl(const struct sqlite_table *t, struct buf *out);
/* Is a table of that name in the file? */
bool sqlite_table_exists(sqlite3 *db, const char *name);
/* The layout's columns against the table's; HALT with the names of all that do not fit. */
int
sqlite_table_fits(struct sqlite_table *t, sqlite3 *db, const char *path, struct err *e) MUST_CHECK;
/* In a transaction: makes what is missing if it may, checks, prepares. */
int sqlite_table_prepare(
    struct sqlite_table *t, const struct sqlite_conf *conf, sqlite3 *db, struct err *e) MUST_CHECK;
/* The statements go; it may be prepared again. */
void sqlite_table_unprepare(struct sqlite_table *t);

/* In a transaction. The error's verdict (sqlite_verdict_of) is that of this row
 * alone when it is REJECT. */
int sqlite_table_put(struct sqlite_table *t, const char *path, const struct sqlite_row *row,
    enum sqlite_put *how, struct err *e) MUST_CHECK;
/* Removes up to `most` tombstones older than this; how many. */
int sqlite_table_purge(struct sqlite_table *t, const char *path, int64_t before_us, int most,
    int *count, struct err *e) MUST_CHECK;

/* 2026-11-21T07:29:37.000000Z: of one width, so that it sorts. */
#define SQLITE_TIME_LENGTH 27
void sqlite_time_write(int64_t us, char out[SQLITE_TIME_LENGTH + 1]);
/* A number in its canonical text, in the one of SQLite's forms that holds all of it. */
int sqlite_bind_number(sqlite3_stmt *st, int at, struct slice canonical);
/* One step of a statement without rows; reset in any case. Its parameters stay bound, to what may
 * be gone: all are bound anew before the next step. */
int sqlite_step(sqlite3_stmt *st, const char *path, const char *what, struct err *e) MUST_CHECK;

#endif
