/* checkpoint/store_priv.h - what the four files of the SQLite store share.
 *
 *   store_file.c    the file: lock, creation, recognition, verification
 *   store_tables.c  its tables, in SQL
 *   store_rows.c    rows to and from them
 *   store_sqlite.c  the store: thread, group commit, loading
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
	STMT_COUNT,
};

/* store_tables.c */

/* Order of columns: those under the crc, those beside it, crc. */
struct store_table {
	const char *select;
	const char *upsert;
	const char *types; /* T text, t text or NULL, I integer; then comes the crc */
	unsigned guarded;  /* the first so many are under the crc */
};

extern const struct store_table store_tables[ROWS_TABLES];
extern const char *const store_table_names[ROWS_TABLES];
extern const char *const store_deletes[STMT_COUNT - ROWS_TABLES];
extern const char store_schema[];

/* store_rows.c */

struct store_rows {
	sqlite3 *db;			/* borrowed */
	const char *path;		/* borrowed; for messages */
	sqlite3_stmt *stmt[STMT_COUNT]; /* owned */
};

void store_rows_close(struct store_rows *r);
int store_rows_write(struct store_rows *r, const struct txn_op *op, struct err *e) MUST_CHECK;
int store_rows_load(struct store_rows *r, const struct store_visitor *v, struct err *e) MUST_CHECK;

#endif
