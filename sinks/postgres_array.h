/* sinks/postgres_array.h - one-dimensional arrays in PostgreSQL's binary form.
 *
 *   begin -> add or null, once a row -> end -> buf is the parameter
 *
 * The form is that of array_recv() and of each type's own *_recv(): integers in
 * network order, every element with its length before it, -1 for NULL.
 *
 * Threading: none. Errors: buf.failed, at its maximum or out of memory.
 */
#ifndef SINKS_POSTGRES_ARRAY_H
#define SINKS_POSTGRES_ARRAY_H

#include "sinks/rows.h"

/* Object ids of built-in types, fixed in the server's catalogue (pg_type.dat). */
enum {
	PG_BOOL = 16,
	PG_BYTEA = 17,
	PG_INT8 = 20,
	PG_TEXT = 25,
	PG_VARCHAR = 1043,
	PG_TIMESTAMPTZ = 1184,
	PG_NUMERIC = 1700,
	PG_JSONB = 3802,
	PG_TEXT_ARRAY = 1009,
};

/* The server takes no parameter of 1 GB; a batch of 64 MiB of records is far from it. */
#define PG_ARRAY_MAX ((size_t)512 << 20)

struct pg_array {
	struct buf buf; /* owned */
	enum column_type type;
	uint32_t count;
	size_t before; /* bytes, ahead of the last element */
	bool has_null;
};

unsigned pg_type_of(enum column_type t);
unsigned pg_array_type_of(enum column_type t);

void pg_array_begin(struct pg_array *a, enum column_type t);
/* False: it is no value of the type (a number beyond any of DynamoDB's); nothing was added. */
bool pg_array_add(struct pg_array *a, const struct rows_cell *c, const struct buf *arena);
/* Takes the last element back. */
void pg_array_undo(struct pg_array *a);
void pg_array_text(struct pg_array *a, struct slice text);
void pg_array_end(struct pg_array *a);
void pg_array_close(struct pg_array *a);

/* Decimal text ("-12.5", "1E-130") as numeric_recv() wants it. False: no such text, or an
 * exponent beyond 1000. */
bool pg_numeric(struct slice text, struct buf *out);

#endif
