/* filters/crypt.c - see crypt.h. */
#include "filters/crypt.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/base64.h"

/* NIST SP 800-38D: 96 bits are the IV that GCM is made for, 128 the full tag. */
#define NONCE 12u
#define TAG 16u
#define MAC 32u
/* An item has 400 KB; EVP counts in int. */
#define PLAIN_MAX ((size_t)64 << 20)

struct crypt {
	EVP_MAC_CTX *mac;	       /* owned; keyed for nonces */
	EVP_CIPHER_CTX *seal, *unseal; /* owned; keyed */
	struct buf place;	       /* the associated data */
	struct buf bytes;	       /* wiped after use when it held plain text */
	char id[CRYPT_ID + 1];
};

/* ---- keys ---- */

/* The word is the HMAC's key and the file's bytes are its message, not the other way round:
 * `redact` with the same file publishes the HMAC of any text that a record holds, and one of
 * these words can be such a text. */
static bool
derive(const struct secret *key, const char *word, unsigned char out[MAC])
{
	size_t n = 0;

	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, word, strlen(word),
		   (const unsigned char *)key->bytes, key->n, out, MAC, &n) != NULL &&
	    n == MAC;
}

static bool
set_nonce_key(struct crypt *c, const struct secret *key)
{
	static char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end()};
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	unsigned char k[MAC];
	bool ok;

	c->mac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	EVP_MAC_free(hmac);
	ok = c->mac != NULL && derive(key, "slipring nonce 1", k) &&
	    EVP_MAC_init(c->mac, k, sizeof k, params) == 1;
	OPENSSL_cleanse(k, sizeof k);
	return ok;
}

static bool
set_cipher_key(struct crypt *c, const struct secret *key)
{
	unsigned char k[MAC];
	bool ok;

	c->seal = EVP_CIPHER_CTX_new();
	c->unseal = EVP_CIPHER_CTX_new();
	ok = c->seal != NULL && c->unseal != NULL && derive(key, "slipring cipher 1", k) &&
	    EVP_EncryptInit_ex(c->seal, EVP_aes_256_gcm(), NULL, k, NULL) == 1 &&
	    EVP_DecryptInit_ex(c->unseal, EVP_aes_256_gcm(), NULL, k, NULL) == 1;
	OPENSSL_cleanse(k, sizeof k);
	return ok;
}

static bool
set_id(struct crypt *c, const struct secret *key)
{
	unsigned char k[MAC];
	bool ok = derive(key, "slipring key id 1", k);

	for (size_t i = 0; ok && i < CRYPT_ID / 2; i++)
		(void)snprintf(c->id + 2 * i, 3, "%02x", k[i]);
	OPENSSL_cleanse(k, sizeof k);
	return ok;
}

int
crypt_new(struct crypt **out, const struct secret *key, struct err *e)
{
	struct crypt *c = mem_new(sizeof *c);

	c->place = BUF_INIT(PLAIN_MAX);
	c->bytes = BUF_INIT(PLAIN_MAX);
	if (set_nonce_key(c, key) && set_cipher_key(c, key) && set_id(c, key)) {
		*out = c;
		return 0;
	}
	crypt_close(c);
	return err_set(e, ERR_NOMEM, "libcrypto does not give AES-256-GCM and HMAC-SHA-256");
}

static void
forget(struct buf *b)
{
	if (b->p != NULL)
		OPENSSL_cleanse(b->p, b->n);
	buf_reset(b);
}

void
crypt_close(struct crypt *c)
{
	if (c == NULL)
		return;
	EVP_MAC_CTX_free(c->mac); /* these wipe their keys */
	EVP_CIPHER_CTX_free(c->seal);
	EVP_CIPHER_CTX_free(c->unseal);
	forget(&c->bytes);
	buf_close(&c->bytes);
	buf_close(&c->place);
	free(c);
}

const char *
crypt_id(const struct crypt *c)
{
	return c->id;
}

/* ---- place and nonce ---- */

/* With their lengths, so that nothing of one can be taken for a part of another. */
static void
add_field(struct buf *out, struct slice s)
{
	unsigned char n[4] = {(unsigned char)(s.n >> 24), (unsigned char)(s.n >> 16),
	    (unsigned char)(s.n >> 8), (unsigned char)s.n};

	buf_add(out, n, sizeof n);
	buf_add_slice(out, s);
}

static bool
write_place(struct crypt *c, const struct crypt_place *at)
{
	buf_reset(&c->place);
	buf_add_str(&c->place, CRYPT_MARK);
	add_field(&c->place, at->table);
	add_field(&c->place, at->key);
	add_field(&c->place, at->path);
	return !c->place.failed;
}

static const unsigned char *
bytes_of(struct slice s)
{
	return (const unsigned char *)s.p;
}

/* The place says its own length, so that place and value have one reading. */
static bool
make_nonce(struct crypt *c, struct slice plain, unsigned char mac[MAC])
{
	struct slice place = buf_slice(&c->place);
	size_t n = 0;

	return EVP_MAC_init(c->mac, NULL, 0, NULL) == 1 &&
	    EVP_MAC_update(c->mac, bytes_of(place), place.n) == 1 &&
	    EVP_MAC_update(c->mac, bytes_of(plain), plain.n) == 1 &&
	    EVP_MAC_final(c->mac, mac, &n, MAC) == 1 && n == MAC;
}

/* ---- sealing ---- */

static bool
encrypt(struct crypt *c, struct slice plain, const unsigned char *nonce, unsigned char *out)
{
	struct slice place = buf_slice(&c->place);
	int n = 0;

	return EVP_EncryptInit_ex(c->seal, NULL, NULL, NULL, nonce) == 1 &&
	    EVP_EncryptUpdate(c->seal, NULL, &n, bytes_of(place), (int)place.n) == 1 &&
	    EVP_EncryptUpdate(c->seal, out, &n, bytes_of(plain), (int)plain.n) == 1 &&
	    EVP_EncryptFinal_ex(c->seal, out + n, &n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c->seal, EVP_CTRL_GCM_GET_TAG, TAG, out + plain.n) == 1;
}

bool
crypt_seal(struct crypt *c, const struct crypt_place *at, struct slice plain, struct buf *out)
{
	unsigned char mac[MAC];

	buf_reset(&c->bytes);
	if (plain.n > PLAIN_MAX / 2 || !write_place(c, at) || !make_nonce(c, plain, mac) ||
	    !buf_reserve(&c->bytes, NONCE + plain.n + TAG))
		return false;
	buf_add(&c->bytes, mac, NONCE);
	if (!encrypt(c, plain, mac, (unsigned char *)c->bytes.p + NONCE))
		return false;
	c->bytes.n += plain.n + TAG;
	buf_add_str(out, CRYPT_MARK);
	buf_add(out, c->id, CRYPT_ID);
	buf_add_char(out, ':');
	buf_add_base64(out, c->bytes.p, c->bytes.n);
	return !out->failed;
}

/* ---- opening ---- */

bool
crypt_is_sealed(struct slice text)
{
	size_t n = sizeof CRYPT_MARK - 1;

	return text.n >= n && memcmp(text.p, CRYPT_MARK, n) == 0;
}

struct slice
crypt_key_of(struct slice text)
{
	size_t n = sizeof CRYPT_MARK - 1;

	if (!crypt_is_sealed(text) || text.n < n + CRYPT_ID + 1 || text.p[n + CRYPT_ID] != ':')
		return SLICE_NONE;
	return (struct slice){text.p + n, CRYPT_ID};
}

/* One text only of what is sealed: no bits in its last digit that mean nothing. */
static bool
is_canonical(struct slice text, size_t digits)
{
	return digits % 4 != 1 && digits > 0 &&
	    base64_last(text, digits) == base64_digit(text.p[digits - 1]);
}

static bool
decrypt(struct crypt *c, const unsigned char *sealed, size_t n, unsigned char *out)
{
	struct slice place = buf_slice(&c->place);
	unsigned char tag[TAG];
	int got = 0;

	memcpy(tag, sealed + NONCE + n, TAG);
	return EVP_DecryptInit_ex(c->unseal, NULL, NULL, NULL, sealed) == 1 &&
	    EVP_DecryptUpdate(c->unseal, NULL, &got, bytes_of(place), (int)place.n) == 1 &&
	    EVP_DecryptUpdate(c->unseal, out, &got, sealed + NONCE, (int)n) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c->unseal, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
	    EVP_DecryptFinal_ex(c->unseal, out + got, &got) == 1;
}

int
crypt_open(struct crypt *c, const struct crypt_place *at, struct slice text, struct buf *out,
    struct err *e)
{
	size_t head = sizeof CRYPT_MARK - 1 + CRYPT_ID + 1, digits, n;
	struct slice body;

	if (crypt_key_of(text).p == NULL || !slice_is(crypt_key_of(text), c->id))
		return err_set(e, ERR_CORRUPT, "it was not sealed with this key");
	body = (struct slice){text.p + head, text.n - head};
	buf_reset(&c->bytes);
	if (!base64_measure(body, &digits) || !is_canonical(body, digits))
		return err_set(e, ERR_CORRUPT, "it is cut or changed: not base64");
	base64_decode(body, digits, &c->bytes);
	if (c->bytes.failed || !write_place(c, at))
		return err_set(e, ERR_LIMIT, "it is too large");
	if (c->bytes.n < NONCE + TAG)
		return err_set(e, ERR_CORRUPT, "it is cut: shorter than an empty value");
	n = c->bytes.n - NONCE - TAG;
	if (!buf_reserve(out, n + 1))
		return err_set(e, ERR_LIMIT, "it is too large");
	if (!decrypt(c, (const unsigned char *)c->bytes.p, n, (unsigned char *)out->p + out->n)) {
		OPENSSL_cleanse(out->p + out->n, n);
		return err_set(
		    e, ERR_CORRUPT, "it was changed, or is not of this table, item and attribute");
	}
	out->n += n;
	return 0;
}
