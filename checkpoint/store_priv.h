/* checkpoint/store_priv.h - what the files of the SQLite store share.
 *
 *   store_file.c     the file: lock, creation, recognition, verification
 *   store_upgrade.c  a file of an older format is brought up to ours
 *   store_tables.c   its tables, in SQL
 *   store_rows.c     rows to and from them
 *   store_letters.c  the dead letters that are asked for
 *   store_sqlite.c   the store: thread, group commit, loading
 *
 * Nobody else includes this.
 */
#ifndef CHECKPOINT_STORE_PRIV_H
#define CHECKPOINT_STORE_PRIV_H

#include <sqlite3.h>

#include "checkpoint/store.h"
#include "checkpoint/store_sqlite.h"

/* store_file.c */

struct store_file {
	sqlite3 *db; /* owned */
	char *path;  /* owned */
	int lock_fd; /* owned; -1: none */
};

int store_file_open(
    struct store_file *f, const char *path, enum store_open how, struct err *e) MUST_CHECK;
void store_file_close(struct store_file *f); /* half-built allowed */
/* ERR_IO if the path no longer leads to the file that is open: what is written
 * now would be lost with it. */
int store_file_check_place(const struct store_file *f, struct err *e) MUST_CHECK;
/* The one place that says what an SQLite result means for us. Returns -1. */
int store_file_err(sqlite3 *db, const char *path, int rc, const char *what, struct err *e);

enum {
	ROWS_STREAM,
	ROWS_SUBSCRIPTION,
	ROWS_SHARD,
	ROWS_POSITION,
	ROWS_GAP,
	ROWS_DEAD_LETTER,
	ROWS_TABLES,
};

enum {					 /* statements, prepared when first needed */
	STMT_UPSERT,			 /* + ROWS_... */
	STMT_DELETE_SHARD = ROWS_TABLES, /* arn, shard */
	STMT_DELETE_SHARD_POSITIONS,	 /* arn, shard */
	STMT_DELETE_POSITION,		 /* arn, shard, sink */
	STMT_DELETE_SUBSCRIPTION,	 /* arn, sink */
	STMT_DROP_LETTER,		 /* id */
	STMT_SUPERSEDE,			 /* id, version */
	STMT_COUNT,
};

/* store_tables.c */

/* Order of columns: those under the crc, those beside it, crc. */
struct store_table {
	const char *select;
	const char *upsert;
	const char *types; /* T text, t text or NULL, I integer; then comes the crc */
	unsigned guarded;  /* the first so many are under the crc; see store_guarded() */
	/* Behind the crc a dead letter has its id, and to be written its record. */
};

extern const struct store_table store_tables[ROWS_TABLES];
extern const char *const store_table_names[ROWS_TABLES];
extern const char *const store_others[STMT_COUNT - ROWS_TABLES];
extern const char store_schema[], store_schema_letters[]; /* both make a store */

/* store_rows.c */

struct store_rows {
	sqlite3 *db;			/* borrowed */
	const char *path;		/* borrowed; for messages */
	sqlite3_stmt *stmt[STMT_COUNT]; /* owned */
};

void store_rows_close(struct store_rows *r);
int store_rows_write(struct store_rows *r, const struct txn_op *op, struct err *e) MUST_CHECK;
int store_rows_load(struct store_rows *r, const struct store_visitor *v, struct err *e) MUST_CHECK;

#define STORE_CELLS 20 /* most columns of a statement */

enum cell_type { CELL_NULL, CELL_INT, CELL_TEXT };

struct cell {
	enum cell_type type;
	int64_t num;
	struct slice text; /* borrowed from the op or the statement */
};

/* Of the first n columns. */
void store_cells_read(sqlite3_stmt *st, struct cell *cells, unsigned n);
int64_t store_cells_crc(const struct cell *cells, unsigned n);
/* How many of a row's first columns are under its crc. */
unsigned store_guarded(unsigned table, const struct cell *cells);
int64_t store_record_crc(struct slice record);
/* A dead letter's head from a row of its select; false: damaged. */
bool store_letter_of(const struct cell *cells, uint64_t id, struct dead_letter *d);
/* ERR_CORRUPT; returns -1. cells as the select of that table gave them. */
int
store_row_damaged(const struct store_rows *r, unsigned table, const struct cell *c, struct err *e);

/* store_letters.c */

struct letter_query;
int store_rows_letters(struct store_rows *r, const struct letter_query *q,
    void (*each)(void *ctx, const struct dead_letter *d), void *ctx, struct err *e) MUST_CHECK;

/* store_upgrade.c */

/* In one transaction; db is open for writing. */
int store_upgrade(sqlite3 *db, const char *path, int64_t version, struct err *e) MUST_CHECK;

#endif
