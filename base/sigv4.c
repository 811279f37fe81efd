/* base/sigv4.c - AWS Signature Version 4, in headers (base/sigv4.h).
 *
 *   request -> canonical request -> string to sign -> HMAC with the day key
 *
 * The day key (four HMACs over secret, date, region and service) is kept until
 * one of the four changes, so that a signature costs two hashes and one HMAC.
 * libcrypto's objects are fetched once; looking them up costs more than the
 * hashing does.
 *
 * Where implementations differ, botocore decides: `..` at the end of a path
 * leaves no slash, white space inside header values folds to one blank also
 * between quotes, repeated headers are joined by commas in their order.
 *
 * Does not do: signatures in the query, chunked bodies, SigV4A.
 */
#include "base/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/compiler.h"
#include "base/mem.h"

enum {
	HASH_SIZE = 32,
	DAY_SIZE = 8,		    /* 20260822 */
	FIELDS_MAX = 64,	    /* headers; ours never send a tenth of that */
	PARAMS_MAX = 128,	    /* query parameters */
	CANONICAL_MAX = 256 * 1024, /* path, query and headers of one request */
	SCOPE_NAME_MAX = 63,	    /* region and service names */
};

struct sigv4 {
	EVP_MAC *mac;	      /* owned */
	EVP_MAC_CTX *mac_ctx; /* owned */
	EVP_MD *md;	      /* owned */
	EVP_MD_CTX *md_ctx;   /* owned */
	struct buf scratch;   /* owned; path and query while they are built */

	/* What day_key was made of. */
	struct secret secret;
	char day[DAY_SIZE + 1];
	char region[SCOPE_NAME_MAX + 1];
	char service[SCOPE_NAME_MAX + 1];
	unsigned char day_key[HASH_SIZE];
};

struct field { /* a header */
	const char *name;
	struct slice value;
};

struct param { /* of the query; both already encoded */
	struct slice name, value;
};

struct sigv4 *
sigv4_new(void)
{
	struct sigv4 *s = mem_new(sizeof *s);

	s->scratch = BUF_INIT(CANONICAL_MAX);
	s->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (s->mac != NULL)
		s->mac_ctx = EVP_MAC_CTX_new(s->mac);
	s->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->md_ctx = EVP_MD_CTX_new();
	return s;
}

static void
forget_day_key(struct sigv4 *s)
{
	secret_clear(&s->secret);
	explicit_bzero(s->day_key, sizeof s->day_key);
	s->day[0] = '\0';
}

void
sigv4_close(struct sigv4 *s)
{
	if (s == NULL)
		return;
	forget_day_key(s);
	EVP_MAC_CTX_free(s->mac_ctx);
	EVP_MAC_free(s->mac);
	EVP_MD_CTX_free(s->md_ctx);
	EVP_MD_free(s->md);
	buf_close(&s->scratch);
	free(s);
}

void
sigv4_result_close(struct sigv4_result *r)
{
	buf_close(&r->authorization);
	buf_close(&r->canonical_request);
	buf_close(&r->string_to_sign);
}

/* ---- libcrypto ---- */

static bool
hmac(struct sigv4 *s, struct slice key, struct slice data, unsigned char out[HASH_SIZE])
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end(),
	};
	size_t n;

	return EVP_MAC_init(s->mac_ctx, (const unsigned char *)key.p, key.n, params) == 1 &&
	    EVP_MAC_update(s->mac_ctx, (const unsigned char *)data.p, data.n) == 1 &&
	    EVP_MAC_final(s->mac_ctx, out, &n, HASH_SIZE) == 1 && n == HASH_SIZE;
}

static bool
sha256_hex(struct sigv4 *s, struct slice data, char out[2 * HASH_SIZE + 1])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char sum[HASH_SIZE];
	unsigned n;

	if (EVP_DigestInit_ex2(s->md_ctx, s->md, NULL) != 1 ||
	    EVP_DigestUpdate(s->md_ctx, data.p, data.n) != 1 ||
	    EVP_DigestFinal_ex(s->md_ctx, sum, &n) != 1 || n != HASH_SIZE)
		return false;
	for (size_t i = 0; i < HASH_SIZE; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[2 * HASH_SIZE] = '\0';
	return true;
}

static bool
day_key_fits(const struct sigv4 *s, const struct secret *secret, const struct sigv4_request *rq,
    const char *day)
{
	return s->day[0] != '\0' && memcmp(s->day, day, DAY_SIZE) == 0 &&
	    strcmp(s->region, rq->region) == 0 && strcmp(s->service, rq->service) == 0 &&
	    s->secret.n == secret->n &&
	    CRYPTO_memcmp(s->secret.bytes, secret->bytes, secret->n) == 0;
}

static bool
chain_day_key(struct sigv4 *s, struct slice first, const struct sigv4_request *rq, const char *day)
{
	struct slice key = {(const char *)s->day_key, HASH_SIZE};

	return hmac(s, first, (struct slice){day, DAY_SIZE}, s->day_key) &&
	    hmac(s, key, slice_of(rq->region), s->day_key) &&
	    hmac(s, key, slice_of(rq->service), s->day_key) &&
	    hmac(s, key, SLICE_LIT("aws4_request"), s->day_key);
}

static bool
make_day_key(
    struct sigv4 *s, const struct secret *secret, const struct sigv4_request *rq, const char *day)
{
	struct slice first = {NULL, secret->n + 4};
	char *text;
	bool ok;

	if (day_key_fits(s, secret, rq, day))
		return true;
	forget_day_key(s);
	text = mem_array(first.n, 1);
	memcpy(text, "AWS4", 4);
	if (secret->n != 0)
		memcpy(text + 4, secret->bytes, secret->n);
	first.p = text;
	ok = chain_day_key(s, first, rq, day);
	explicit_bzero(text, first.n);
	free(text);
	if (!ok)
		return false;
	secret_set(&s->secret, (struct slice){secret->bytes, secret->n});
	memcpy(s->day, day, DAY_SIZE);
	/* Whole: check_request() has bounded them. */
	(void)snprintf(s->region, sizeof s->region, "%s", rq->region);
	(void)snprintf(s->service, sizeof s->service, "%s", rq->service);
	return true;
}

/* ---- canonical request: path ---- */

static bool
is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '-' || c == '_' || c == '.' || c == '~';
}

static void
add_encoded(struct buf *b, struct slice s, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (is_unreserved(s.p[i]) || (keep_slash && c == '/')) {
			buf_add_char(b, s.p[i]);
		} else {
			buf_add_char(b, '%');
			buf_add_char(b, digits[c >> 4]);
			buf_add_char(b, digits[c & 15]);
		}
	}
}

/* Up to the next `sep`, which is stepped over; false at the end. */
static bool
next_part(struct slice *rest, char sep, struct slice *part)
{
	const char *end;

	if (rest->p == NULL)
		return false;
	end = rest->n != 0 ? memchr(rest->p, sep, rest->n) : NULL;
	if (end == NULL) {
		*part = *rest;
		*rest = SLICE_NONE;
		return true;
	}
	*part = (struct slice){rest->p, (size_t)(end - rest->p)};
	*rest = (struct slice){end + 1, rest->n - part->n - 1};
	return true;
}

/* Empty and "." segments go, ".." takes the one before with it. */
static void
normalize_path(struct buf *out, struct slice path)
{
	struct slice rest = path;
	struct slice part;

	buf_reset(out);
	while (next_part(&rest, '/', &part)) {
		if (part.n == 0 || slice_is(part, "."))
			continue;
		if (slice_is(part, "..")) {
			while (out->n > 0 && out->p[--out->n] != '/')
				continue;
			continue;
		}
		buf_add_char(out, '/');
		buf_add_slice(out, part);
	}
	if (out->n == 0 || path.p[path.n - 1] == '/')
		buf_add_char(out, '/');
}

static void
add_path(struct sigv4 *s, struct buf *out, const struct sigv4_request *rq)
{
	struct slice path = rq->path.n != 0 ? rq->path : SLICE_LIT("/");

	if (rq->normalize_path) {
		normalize_path(&s->scratch, path);
		out->failed |= s->scratch.failed;
		path = buf_slice(&s->scratch);
	}
	if (rq->double_encode_path)
		add_encoded(out, path, true);
	else
		buf_add_slice(out, path);
}

/* ---- canonical request: query ---- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Encoded once, whether it came encoded or not. Room was reserved: the slice
 * stays valid. */
static struct slice
encode_param(struct buf *b, struct slice raw)
{
	size_t from = b->n;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (c == '%' && i + 2 < raw.n && hex_value(raw.p[i + 1]) >= 0 &&
		    hex_value(raw.p[i + 2]) >= 0) {
			c = (char)(hex_value(raw.p[i + 1]) * 16 + hex_value(raw.p[i + 2]));
			i += 2;
		}
		add_encoded(b, (struct slice){&c, 1}, false);
	}
	return (struct slice){b->p + from, b->n - from};
}

static int
compare_params(const void *a, const void *b)
{
	const struct param *x = a, *y = b;
	int r = slice_cmp(x->name, y->name);

	return r != 0 ? r : slice_cmp(x->value, y->value);
}

static int
add_query(struct sigv4 *s, struct buf *out, struct slice query, struct err *e)
{
	struct param v[PARAMS_MAX];
	struct slice rest = query;
	struct slice part, name;
	size_t n = 0;

	if (query.n == 0)
		return 0;
	buf_reset(&s->scratch);
	if (query.n > CANONICAL_MAX / 3 || !buf_reserve(&s->scratch, 3 * query.n + 1))
		return err_set(e, ERR_LIMIT,
		    "sigv4: the query has %zu bytes, more than can be signed", query.n);
	while (next_part(&rest, '&', &part)) {
		if (part.n == 0)
			continue;
		if (n == PARAMS_MAX)
			return err_set(
			    e, ERR_LIMIT, "sigv4: more than %d query parameters", PARAMS_MAX);
		(void)next_part(&part, '=', &name);
		v[n].name = encode_param(&s->scratch, name);
		v[n].value = encode_param(&s->scratch, part);
		n++;
	}
	qsort(v, n, sizeof v[0], compare_params);
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			buf_add_char(out, '&');
		buf_add_slice(out, v[i].name);
		buf_add_char(out, '=');
		buf_add_slice(out, v[i].value);
	}
	return 0;
}

/* ---- canonical request: headers ---- */

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int
compare_names(const char *a, const char *b)
{
	while (*a != '\0' && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return (unsigned char)lower(*a) - (unsigned char)lower(*b);
}

/* By name; what has the same name keeps its order. */
static void
insert_field(struct field *v, size_t *n, const char *name, struct slice value)
{
	size_t i = (*n)++;

	for (; i > 0 && compare_names(v[i - 1].name, name) > 0; i--)
		v[i] = v[i - 1];
	v[i] = (struct field){name, value};
}

static size_t
collect_fields(struct field *v, const struct sigv4_keys *keys, const struct sigv4_request *rq,
    const struct sigv4_result *r)
{
	size_t n = 0;

	for (size_t i = 0; i < rq->header_count; i++)
		insert_field(v, &n, rq->headers[i].name, slice_of(rq->headers[i].value));
	insert_field(v, &n, "x-amz-date", slice_of(r->date));
	if (rq->sign_body)
		insert_field(v, &n, "x-amz-content-sha256", slice_of(r->content_sha256));
	if (keys->session_token.n != 0 && !rq->omit_session_token)
		insert_field(v, &n, "x-amz-security-token",
		    (struct slice){keys->session_token.bytes, keys->session_token.n});
	return n;
}

static void
add_lower(struct buf *out, const char *name)
{
	for (; *name != '\0'; name++)
		buf_add_char(out, lower(*name));
}

/* Without white space at the ends, and folded to one blank inside. */
static void
add_folded(struct buf *out, struct slice value)
{
	size_t from = out->n;
	bool gap = false;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == ' ' || (c >= '\t' && c <= '\r')) {
			gap = true;
			continue;
		}
		if (gap && out->n != from)
			buf_add_char(out, ' ');
		gap = false;
		buf_add_char(out, c);
	}
}

static void
add_fields(struct buf *out, const struct field *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i != 0 && compare_names(v[i - 1].name, v[i].name) == 0) {
			buf_add_char(out, ',');
		} else {
			if (i != 0)
				buf_add_char(out, '\n');
			add_lower(out, v[i].name);
			buf_add_char(out, ':');
		}
		add_folded(out, v[i].value);
	}
	buf_add_char(out, '\n');
}

static void
add_names(struct buf *out, const struct field *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i != 0 && compare_names(v[i - 1].name, v[i].name) == 0)
			continue;
		if (i != 0)
			buf_add_char(out, ';');
		add_lower(out, v[i].name);
	}
}

/* ---- putting it together ---- */

static int
check_request(const struct sigv4 *s, const struct sigv4_request *rq, struct err *e)
{
	bool host = false;

	if (s->mac_ctx == NULL || s->md == NULL || s->md_ctx == NULL)
		return err_set(e, ERR_IO, "sigv4: libcrypto offers no HMAC or no SHA-256");
	if (rq->header_count > FIELDS_MAX - 3)
		return err_set(e, ERR_LIMIT, "sigv4: %zu headers are too many", rq->header_count);
	if (strlen(rq->region) > SCOPE_NAME_MAX || strlen(rq->service) > SCOPE_NAME_MAX)
		return err_set(e, ERR_CONFIG,
		    "sigv4: region or service name is longer than %d bytes", SCOPE_NAME_MAX);
	for (size_t i = 0; i < rq->header_count && !host; i++)
		host = compare_names(rq->headers[i].name, "host") == 0;
	if (!host)
		return err_set(e, ERR_CONFIG, "sigv4: there is no Host header to sign");
	return 0;
}

static int
set_date(struct sigv4_result *r, int64_t when_us, struct err *e)
{
	time_t t = (time_t)(when_us / USEC_SEC);
	struct tm tm;

	if (when_us < 0 || gmtime_r(&t, &tm) == NULL ||
	    strftime(r->date, sizeof r->date, "%Y%m%dT%H%M%SZ", &tm) != sizeof r->date - 1)
		return err_set(e, ERR_LIMIT, "sigv4: the clock is out of range");
	return 0;
}

static void
start_buf(struct buf *b)
{
	b->max = CANONICAL_MAX;
	buf_reset(b);
}

static int
add_canonical(struct sigv4 *s, const struct sigv4_request *rq, const struct field *v, size_t n,
    struct sigv4_result *r, struct err *e)
{
	struct buf *out = &r->canonical_request;

	start_buf(out);
	buf_add_str(out, rq->method);
	buf_add_char(out, '\n');
	add_path(s, out, rq);
	buf_add_char(out, '\n');
	if (add_query(s, out, rq->query, e) == -1)
		return -1;
	buf_add_char(out, '\n');
	add_fields(out, v, n);
	buf_add_char(out, '\n');
	add_names(out, v, n);
	buf_add_char(out, '\n');
	buf_add_str(out, r->content_sha256);
	if (out->failed)
		return err_set(e, ERR_LIMIT, "sigv4: the request line and headers are too long");
	return 0;
}

static void
add_scope(struct buf *out, const struct sigv4_request *rq, const char *date)
{
	buf_add(out, date, DAY_SIZE);
	buf_addf(out, "/%s/%s/aws4_request", rq->region, rq->service);
}

static bool
sign_text(struct sigv4 *s, const struct sigv4_keys *keys, const struct sigv4_request *rq,
    struct sigv4_result *r)
{
	static const char digits[] = "0123456789abcdef";
	struct buf *out = &r->string_to_sign;
	char hash[2 * HASH_SIZE + 1];
	unsigned char sum[HASH_SIZE];

	start_buf(out);
	if (!sha256_hex(s, buf_slice(&r->canonical_request), hash) ||
	    !make_day_key(s, &keys->secret_access_key, rq, r->date))
		return false;
	buf_addf(out, "AWS4-HMAC-SHA256\n%s\n", r->date);
	add_scope(out, rq, r->date);
	buf_addf(out, "\n%s", hash);
	if (out->failed ||
	    !hmac(s, (struct slice){(const char *)s->day_key, HASH_SIZE}, buf_slice(out), sum))
		return false;
	for (size_t i = 0; i < HASH_SIZE; i++) {
		r->signature[2 * i] = digits[sum[i] >> 4];
		r->signature[2 * i + 1] = digits[sum[i] & 15];
	}
	r->signature[2 * HASH_SIZE] = '\0';
	return true;
}

static void
add_authorization(struct buf *out, const struct sigv4_keys *keys, const struct sigv4_request *rq,
    const struct sigv4_result *r, const struct field *v, size_t n)
{
	start_buf(out);
	buf_add_str(out, "AWS4-HMAC-SHA256 Credential=");
	buf_add(out, keys->access_key_id.bytes, keys->access_key_id.n);
	buf_add_char(out, '/');
	add_scope(out, rq, r->date);
	buf_add_str(out, ", SignedHeaders=");
	add_names(out, v, n);
	buf_addf(out, ", Signature=%s", r->signature);
}

int
sigv4_sign(struct sigv4 *s, const struct sigv4_keys *keys, const struct sigv4_request *rq,
    struct sigv4_result *r, struct err *e)
{
	struct field v[FIELDS_MAX];
	size_t n;

	if (check_request(s, rq, e) == -1 || set_date(r, rq->when_us, e) == -1)
		return -1;
	if (!sha256_hex(s, rq->body, r->content_sha256))
		return err_set(e, ERR_IO, "sigv4: libcrypto failed to hash the body");
	n = collect_fields(v, keys, rq, r);
	if (add_canonical(s, rq, v, n, r, e) == -1)
		return -1;
	if (!sign_text(s, keys, rq, r)) {
		forget_day_key(s);
		return err_set(e, ERR_IO, "sigv4: libcrypto failed to sign");
	}
	add_authorization(&r->authorization, keys, rq, r, v, n);
	if (r->authorization.failed)
		return err_set(e, ERR_LIMIT, "sigv4: the Authorization header is too long");
	return 0;
}
