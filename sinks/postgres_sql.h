/* sinks/postgres_sql.h - the tables that the PostgreSQL sink writes to, and its SQL.
 *
 * A target is one table of the user's with a layout (sinks/rows.h), and beside it, in
 * table mode, one for tombstones: the keys of deleted items with the version of the
 * deletion, so that no older write brings one back. A key is in one of the two or
 * in neither. Of a sink there are two tables more: slipring_writer, whose epoch fences
 * off a second daemon, and slipring_position, which says what was written.
 *
 * Threading: pure; targets are constant once they are made.
 */
#ifndef SINKS_POSTGRES_SQL_H
#define SINKS_POSTGRES_SQL_H

#include <libpq-fe.h>

#include "base/secret.h"
#include "sinks/rows.h"

/* Longer identifiers are cut by the server, without an error (NAMEDATALEN). */
#define PG_NAME_MAX 63u
#define PG_SQL_MAX ((size_t)1 << 20)
#define PG_DELETED_AT "slipring_deleted_at"

struct pg_conf {
	struct secret conninfo;
	int mode; /* enum rows_mode */
	char *table;
	struct conf_map columns;
	bool create;
	int64_t connections;
	int64_t statement_timeout_us;
	int64_t tombstones_keep_us;
};

enum pg_statement {
	PG_APPEND, /* log */
	PG_REVIVE, /* table: tombstones go that are older than what is written */
	PG_PUT,
	PG_DELETE,
	PG_BURY, /* tombstones for what was deleted */
	PG_STATEMENTS,
};

struct pg_target {
	unsigned id;		    /* in statement names */
	char *schema;		    /* owned; NULL: the first of search_path */
	char *table;		    /* owned; its name alone */
	char *name;		    /* owned; quoted, with the schema */
	char *tombs;		    /* owned; the same of its tombstones; NULL: a log */
	char *tombs_at;		    /* owned; the name of their index, quoted */
	struct rows_layout *layout; /* owned */
	struct rows_keys keys;	    /* owned; none of a log */
	bool routed;		    /* only records that filters sent there use it */
	struct pg_target *next;
};

/* For check: placeholders, one literal point between schema and table at most. */
int pg_table_check(const char *pattern, struct err *e) MUST_CHECK;
/* Appends the table's name for records of that origin, without the schema. */
void pg_table_write(const struct pg_conf *c, const struct origin *o, struct buf *out);

/* keys is taken over, also on failure; none for a log. ERR_CONFIG: the name is too long, or columns do not go together. */
int pg_target_new(struct pg_target **out, const struct pg_conf *c, unsigned id, struct slice table,
    struct rows_keys *keys, struct err *e) MUST_CHECK;
void pg_target_close(struct pg_target *t); /* NULL allowed */

/* How many parameters a statement has, and the type of each. types: as many as columns. */
size_t pg_target_types(const struct pg_target *t, enum pg_statement st, Oid *types);
void pg_target_sql(const struct pg_target *t, enum pg_statement st, struct buf *out);
/* "put3": the name it is prepared under. */
void pg_target_statement(const struct pg_target *t, enum pg_statement st, char *out, size_t room);
bool pg_target_uses(const struct pg_target *t, enum pg_statement st);

/* CREATE ... IF NOT EXISTS, statement by statement from `at` = 0 on; false behind the last. */
bool pg_target_ddl(const struct pg_target *t, unsigned at, struct buf *out);
bool pg_sink_ddl(const char *schema, unsigned at, struct buf *out);
/* A table of the sink's, quoted, with the schema. */
void pg_add_side(struct buf *out, const char *schema, const char *name);
/* The schema that the pattern names; NULL: none. Caller frees. */
char *pg_schema_dup(const struct pg_conf *c);

/* Columns of a table: $1 is its quoted name. */
extern const char pg_describe_sql[];
/* Does what pg_describe_sql found fit? ERR_NOT_FOUND: there is no such table; ERR_CONFIG:
 * all misfits, by column. tombs: the table of tombstones is meant. */
int pg_target_fits(
    const struct pg_target *t, bool tombs, const PGresult *res, struct err *e) MUST_CHECK;

/* Of a session: what a statement of ours relies on. $1: statement_timeout in ms. */
extern const char pg_session_sql[];
/* Statements of a sink's transactions and of its claim; the schema is put in. */
enum pg_fixed {
	PG_FIX_BEGIN,
	PG_FIX_LOCK,	 /* $1: name of the lock. Shared: writers of our own */
	PG_FIX_FENCE,	 /* $1: sink, $2: epoch. 22012 if it is not ours any more */
	PG_FIX_POSITION, /* $1..$3: sink, worker, epoch; $4..$6: arns, shards, sequences */
	PG_FIX_COMMIT,
	PG_FIXED,
};
extern const char *const pg_fixed_names[PG_FIXED];
void pg_fixed_sql(const char *schema, enum pg_fixed f, struct buf *out);
/* $1: sink, $2: host, $3: pid. Answers with the epoch. */
void pg_claim_sql(const char *schema, struct buf *out);
/* $1: name of the lock, exclusive. */
extern const char pg_claim_lock_sql[];
/* $1: age in seconds. At most PG_PURGE_ROWS. */
#define PG_PURGE_ROWS 1000
void pg_purge_sql(const struct pg_target *t, struct buf *out);
void pg_purge_positions_sql(const char *schema, struct buf *out);

#endif
