/* filters/unseal.h - what `type: encrypt` has sealed, opened again in lines that sinks wrote.
 *
 *   one JSON line (dynamodb, plain, envelope, debezium, audit trail, or a bare item)
 *        --> table, key, images --> every text with our mark --> opened in its place
 *
 * Threading: one thread. Ownership: unseal_new() makes, unseal_close() frees and wipes.
 */
#ifndef FILTERS_UNSEAL_H
#define FILTERS_UNSEAL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

struct unseal;

struct unseal_count {
	size_t opened, failed;
};

/* table: of lines that do not say theirs, or NULL. keys: names of the key attributes, comma
 * between, for lines that have no keys but in the item; or NULL. ERR_USAGE. */
int unseal_new(struct unseal **out, const char *table, const char *keys, struct err *e) MUST_CHECK;
void unseal_close(struct unseal *u); /* NULL allowed */
/* Several keys may be had; each text says which it wants. */
int unseal_add_key(struct unseal *u, const struct secret *key, struct err *e) MUST_CHECK;

/* Appends the line, without a line end. What cannot be opened stays as it is, and e has the
 * path and why of the first such (-1). line: well-formed JSON. */
int unseal_line(struct unseal *u, struct slice line, struct buf *out, struct unseal_count *count,
    struct err *e) MUST_CHECK;

#endif
