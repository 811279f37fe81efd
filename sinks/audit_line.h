/* sinks/audit_line.h - one line of an audit trail: written, sealed, taken apart.
 *
 * Three kinds of line, told apart by their first member (docs/audit.md):
 *
 *   {"trail":1,...}   header, line 1 of every file
 *   {"entry":17,...}  a change
 *   {"note":"...",..} what happened to the trail itself: cut, pruned
 *
 * Each ends in ,"prev":"<64 hex>","hash":"<64 hex>"}. hash is SHA-256 over the
 * line's bytes before the comma in front of "hash"; prev is the hash of the
 * line before it, over file boundaries. So every byte of a line is either
 * hashed or fixed.
 *
 * Threading: none of its own; a hasher belongs to one thread.
 */
#ifndef SINKS_AUDIT_LINE_H
#define SINKS_AUDIT_LINE_H

#include <openssl/evp.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "record/record.h"

#define AUDIT_FORMAT 1u
#define AUDIT_HEX 64u
/* Two images of 400 KB, the changed values once more, and every byte of it
 * escaped: some 10 MB. Beyond this it is no change of DynamoDB's. */
#define AUDIT_LINE_MAX (128u << 20)
#define AUDIT_NAME_MAX 64u

/* One context for all lines: fetching and allocating costs more than hashing
 * a small line. */
struct audit_hash {
	EVP_MD *md;	 /* owned */
	EVP_MD_CTX *ctx; /* owned */
};
int audit_hash_open(struct audit_hash *h, struct err *e) MUST_CHECK;
void audit_hash_close(struct audit_hash *h);
int audit_hash_hex(
    struct audit_hash *h, struct slice bytes, char out[AUDIT_HEX + 1], struct err *e) MUST_CHECK;

/* The writers append an unsealed line; a buffer that ran over says so in
 * out->failed. */
void
audit_write_entry(struct buf *out, uint64_t entry, const struct record *r, const struct origin *o);
/* Closes the line that begins at out->p + start: prev (in: hash of the line
 * before), hash, newline. head then is this line's hash. */
int audit_seal(struct audit_hash *h, struct buf *out, size_t start, char head[AUDIT_HEX + 1],
    struct err *e) MUST_CHECK;
void audit_write_u64(struct buf *out, uint64_t v);

enum audit_kind { AUDIT_HEADER, AUDIT_ENTRY, AUDIT_NOTE };

struct audit_line { /* slices into the line */
	enum audit_kind kind;
	unsigned format;    /* HEADER */
	uint64_t number;    /* ENTRY: its number; HEADER: number of the first entry to come */
	uint64_t kept_from; /* HEADER, NOTE "pruned": oldest entry that is kept; else 0 */
	struct slice file;  /* HEADER: the name it was created with */
	struct slice whole; /* without the newline */
	struct slice prev, hash;
};
/* False: not a line of a trail. Says nothing about the hash. */
bool audit_line_parse(struct slice line, struct audit_line *out);
/* The bytes that hash is taken over. */
struct slice audit_line_hashed(const struct audit_line *l);
/* Could a crash have left this of the line that was being written next? */
bool audit_line_is_torn(struct slice rest, uint64_t next_entry);

#endif
