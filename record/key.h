/* record/key.h - the canonical key: one text per item, however it was written.
 *
 * A JSON array of the key attributes in KeySchema order: S as a JSON string
 * with minimal escapes, N as its canonical number, B as a string of canonical
 * base64: ["o-1",12.5]. A table's key types are fixed, so two items never
 * share a text. Lanes hash it, Kafka has it as key, OpenSearch as _id.
 */
#ifndef RECORD_KEY_H
#define RECORD_KEY_H

#include "record/record.h"

/* Appends to out (out->failed tells of its maximum). When the schema is NULL, has
 * no names, or does not name exactly the attributes that are there: all of them
 * in byte order of their names. */
void key_write(const struct record *r, const struct key_schema *schema, struct buf *out);
/* 64-bit FNV-1a-like hash, stable over versions and machines. */
uint64_t key_hash(struct slice canonical);

#endif
