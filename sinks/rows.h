/* sinks/rows.h - a change as a row of typed columns, for targets that have tables.
 *
 *   `columns:` + key types -> layout: columns in order, DDL, quoted names
 *   layout + record        -> cells, one for each column
 *
 * Shared by PostgreSQL and SQLite; docs/columns.md is what a user reads. A
 * value that does not fit its column is refused with the column's name and
 * path, never changed to fit and never shown.
 *
 * Columns of a table: the key attributes in the schema's order, then what
 * `columns:` names (without it: "document", the whole new image), then
 * "slipring_version" (record/version.h). Columns of a log: see rows.c; its key is
 * stream, shard, sequence.
 *
 * Threading: pure; a layout is constant once it is made and may be read by any thread.
 */
#ifndef SINKS_ROWS_H
#define SINKS_ROWS_H

#include "base/conf.h"
#include "record/record.h"

enum rows_mode { ROWS_TABLE, ROWS_LOG };
extern const char *const rows_mode_words[]; /* "table", "log", NULL */

enum column_type {
	COLUMN_TEXT,	    /* S; N as its canonical text */
	COLUMN_NUMERIC,	    /* N: canonical decimal text (number_canonical()) */
	COLUMN_BIGINT,	    /* N without a fraction, in 64 bits */
	COLUMN_BOOLEAN,	    /* BOOL */
	COLUMN_TIMESTAMPTZ, /* N: seconds since 1970; S: ISO 8601. Microseconds since 1970 */
	COLUMN_BYTEA,	    /* B, decoded */
	COLUMN_JSONB,	    /* anything, in the plain form (record/format.h) */
	COLUMN_TYPES,
};
extern const char *const column_type_words[]; /* "text", ..., NULL */

enum {
	/* Nothing may hold U+0000, and no JSON half of a surrogate pair: PostgreSQL
	 * takes neither. A text column never takes the latter: UTF-8 has no form for it. */
	ROWS_STRICT_TEXT = 1u << 0,
};

#define ROWS_VERSION "slipring_version"
#define ROWS_DOCUMENT "document"

struct rows_keys {	/* the key attributes of the source table */
	char *names[2]; /* owned; of one attribute: [1] is NULL */
	char types[2];	/* 'S', 'N', 'B' */
	size_t count;
};

struct path; /* what a mapping points at */

struct rows_column {
	char *name; /* owned */
	enum column_type type;
	bool key;     /* of the primary key; these come first */
	bool ordered; /* text whose byte order means something: COLLATE "C" */
	unsigned source;
	struct path *path; /* owned; NULL: not from an attribute */
	size_t next;	   /* of a mapped column: the next of its root; SIZE_MAX: none */
};

struct rows_root {	   /* a top-level attribute that is looked for in an image */
	struct slice name; /* borrowed from a path */
	size_t first;	   /* column */
};

struct rows_layout {
	enum rows_mode mode;
	unsigned flags;
	size_t count, key_count;
	struct rows_column *columns; /* owned */
	size_t root_count;
	struct rows_root *roots; /* owned */
};

struct rows_cell {
	bool null;
	int64_t number; /* BIGINT, TIMESTAMPTZ; BOOLEAN: 0 or 1 */
	const char *p;	/* others: in the record's page, or NULL: in the arena at `at` */
	size_t at, n;
};

enum rows_op {
	ROWS_UPSERT, /* a log: the row to append */
	ROWS_DELETE, /* only the key's cells and the version are set */
};

/* For sink_ops.check: is `columns:` a mapping that could work? ERR_CONFIG. */
int rows_check(const struct conf_map *columns, enum rows_mode mode, struct err *e) MUST_CHECK;

/* Of a record: names in the schema's order (in byte order if there is no schema that fits), types
 * as they are in the record. ERR_REFUSED: it has no such key. */
int rows_keys_of(const struct record *r, const struct origin *o, struct rows_keys *out,
    struct err *e) MUST_CHECK;
/* Of a schema; false if its names or types are not known. */
bool rows_keys_of_schema(const struct key_schema *s, struct rows_keys *out);
void rows_keys_close(struct rows_keys *k);

/* columns has passed rows_check(). keys is not needed for a log. ERR_CONFIG: the mapping does not go
 * together with these keys; ERR_NOMEM. */
int rows_layout_new(struct rows_layout **out, enum rows_mode mode, unsigned flags,
    const struct conf_map *columns, const struct rows_keys *keys, struct err *e) MUST_CHECK;
void rows_layout_close(struct rows_layout *l); /* NULL allowed */

/* Fills cells[0 .. l->count), whose text is in the record's page or is appended
 * to the arena: valid as long as both are. ERR_REFUSED: this record has no such row; ERR_CONFIG: no
 * record of its stream has (no new images); ERR_LIMIT: the arena is full. After an
 * error the arena is as long as it was. */
int rows_cells(const struct rows_layout *l, const struct record *r, const struct origin *o,
    enum rows_op *op, struct buf *arena, struct rows_cell *cells, struct err *e) MUST_CHECK;

static inline struct slice
rows_cell_bytes(const struct rows_cell *c, const struct buf *arena)
{
	if (c->n == 0)
		return SLICE_LIT("");
	return (struct slice){c->p != NULL ? c->p : arena->p + c->at, c->n};
}

/* Which source table's items go to which table, of table mode: the first that comes has
 * it. A list begins as NULL. */
struct rows_owner;
/* fold: names that differ in case only are one table. ERR_CONFIG: it is another's. */
int rows_own(struct rows_owner **list, const char *table, const struct origin *origin, bool fold,
    struct err *e) MUST_CHECK;
void rows_owners_close(struct rows_owner **list);

/* ---- SQL ---- */

/* How a target calls its types. An empty text is no type at all. */
struct rows_dialect {
	const char *types[COLUMN_TYPES];
	const char *ordered; /* of columns that are `ordered` */
};

/* "na""me": an identifier in quotes. */
void rows_add_name(struct buf *out, const char *name);
/* CREATE TABLE IF NOT EXISTS table (...) without the semicolon; table: already quoted. */
void rows_add_create(
    struct buf *out, const struct rows_layout *l, const char *table, const struct rows_dialect *d);
/* "a", "b": the key's columns, or all of them. prefix stands before each ("t."). */
void
rows_add_columns(struct buf *out, const struct rows_layout *l, const char *prefix, bool key_only);
/* "a" = excluded."a", ...: all that are not the key's. */
void rows_add_assignments(struct buf *out, const struct rows_layout *l);
/* TABLE_suffix, not longer than max bytes (0: no bound; at least 40): a table
 * name that is too long is cut and gets its hash. Not quoted. */
void rows_side_name(struct buf *out, const char *table, const char *suffix, size_t max);

#endif
