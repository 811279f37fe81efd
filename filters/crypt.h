/* filters/crypt.h - one attribute value sealed, so that only who has the key reads it.
 *
 *   slipring:1:KEYID:BASE64( nonce 12 | AES-256-GCM ciphertext | tag 16 )
 *
 * The value is sealed to its place (table, key of the item, path): put elsewhere it does not
 * open. The nonce is the beginning of an HMAC-SHA-256 over place and value under a key of its
 * own, so the same value at the same place gives the same bytes whenever it is sealed, and no
 * nonce is used for two values but by a chance of 1 in 2^96 a pair. The three keys in use (cipher,
 * nonce, id) are HMACs of the file's, with different words as keys. docs/transforms.md says what
 * this shows and hides.
 *
 * Threading: one thread at a time. Ownership: crypt_new() makes, crypt_close() frees and wipes.
 */
#ifndef FILTERS_CRYPT_H
#define FILTERS_CRYPT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/secret.h"

#define CRYPT_MARK "slipring:1:"
#define CRYPT_ID 16u /* hexadecimal digits */

struct crypt;

struct crypt_place {
	struct slice table, key, path; /* key: canonical (record/key.h), without a schema */
};

/* key: of key_file_read(); it is copied. ERR_NOMEM: libcrypto has no memory, or no AES-256-GCM. */
int crypt_new(struct crypt **out, const struct secret *key, struct err *e) MUST_CHECK;
void crypt_close(struct crypt *c); /* NULL allowed */
const char *crypt_id(const struct crypt *c);

/* Appends the text. false: out is full, or libcrypto failed. */
bool crypt_seal(
    struct crypt *c, const struct crypt_place *at, struct slice plain, struct buf *out) MUST_CHECK;

/* Does a text say that it was sealed by us (whatever is behind the mark)? */
bool crypt_is_sealed(struct slice text);
/* The id of the key that it says; absent: it has none. */
struct slice crypt_key_of(struct slice text);
/* Appends what was sealed. ERR_CORRUPT: it was changed, is of another place, or of another key of
 * that id; nothing is appended then. */
int crypt_open(struct crypt *c, const struct crypt_place *at, struct slice text, struct buf *out,
    struct err *e) MUST_CHECK;

#endif
