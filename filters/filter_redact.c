/* filters/filter_redact.c - `type: redact`: what is not for the target's eyes.
 *
 *   value --with--> nothing | **** | ****6789 | SHA-256 | HMAC-SHA-256 of it
 *
 * Sets element by element, maps and lists leaf by leaf. Keys stay, unless `keys: true`:
 * then Keys and both images get the same hashes, so that items are still told apart.
 * What cannot be done refuses the record; it never passes as it is.
 */
#include "filters/filter.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/image.h"
#include "filters/key_file.h"
#include "filters/seen.h"
#include "record/base64.h"
#include "record/key.h"
#include "record/value.h"

#define HASH 32u
#define KEEP_MOST 64

enum with { WITH_DROP, WITH_MASK, WITH_KEEP_LAST, WITH_SHA256, WITH_HMAC };
static const char *const with_words[] = {
    "drop", "mask", "keep-last", "sha256", "hmac-sha256", NULL};

struct redact_conf {
	struct conf_list attributes;
	int with; /* enum with */
	int64_t keep;
	char *mask, *key_file;
	bool keys;
};

struct filter {
	const struct redact_conf *conf; /* borrowed */
	enum with with;
	struct image *image; /* owned */
	EVP_MD *md;	     /* owned; SHA256 */
	EVP_MD_CTX *digest;  /* owned; SHA256 */
	EVP_MAC_CTX *mac;    /* owned; HMAC, keyed */
	struct buf value;    /* what comes instead */
	struct buf text;     /* one leaf, plain */
	struct buf masked;   /* what is left of it */
	struct buf element;  /* one element of a set, as it becomes */
	struct buf keys, new_image, old_image;
	struct seen seen; /* elements of one set */
	bool failed;
};

#define CONF(member) .ofs = offsetof(struct redact_conf, member)
static const struct conf_key keys[] = {
    {.name = "attributes",
	.type = CONF_LIST,
	.flags = CONF_REQUIRED,
	CONF(attributes),
	.doc = "Paths of what is redacted; of maps and lists everything inside."},
    {.name = "with",
	.type = CONF_ENUM,
	.flags = CONF_REQUIRED,
	CONF(with),
	.words = with_words,
	.doc =
	    "drop: left out. mask: a fixed text. keep-last: that, and the last characters. sha256, "
	    "hmac-sha256: 64 hexadecimal digits, the same for the same value."},
    {.name = "keep",
	.type = CONF_INT,
	CONF(keep),
	.def = "4",
	.min = 1,
	.max = KEEP_MOST,
	.doc = "Characters that keep-last keeps; a value that has no more is masked whole."},
    {.name = "mask",
	.type = CONF_STR,
	CONF(mask),
	.def = "****",
	.doc = "The text that stands for what is hidden."},
    {.name = "key-file",
	.type = CONF_STR,
	CONF(key_file),
	.doc = "For hmac-sha256: a file with a key of 32 bytes, or 64 hexadecimal digits, that "
	       "others cannot read."},
    {.name = "keys",
	.type = CONF_BOOL,
	CONF(keys),
	.def = "false",
	.doc = "Key attributes, too, in the keys and in both images; only with a hash. Items get "
	       "other keys at the target."},
    {.name = NULL},
};

/* ---- one leaf ---- */

static bool
sum(struct filter *f, struct slice plain, unsigned char out[HASH])
{
	unsigned md_size = 0;
	size_t n = 0;

	if (f->with == WITH_HMAC)
		return EVP_MAC_init(f->mac, NULL, 0, NULL) == 1 &&
		    EVP_MAC_update(f->mac, (const unsigned char *)plain.p, plain.n) == 1 &&
		    EVP_MAC_final(f->mac, out, &n, HASH) == 1 && n == HASH;
	return EVP_DigestInit_ex2(f->digest, f->md, NULL) == 1 &&
	    EVP_DigestUpdate(f->digest, plain.p, plain.n) == 1 &&
	    EVP_DigestFinal_ex(f->digest, out, &md_size) == 1 && md_size == HASH;
}

static void
add_hash(struct filter *f, struct slice plain, struct buf *out)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char h[HASH];

	if (!sum(f, plain, h)) {
		f->failed = true;
		return;
	}
	buf_add_char(out, '"');
	for (size_t i = 0; i < HASH; i++) {
		buf_add_char(out, hex[h[i] >> 4]);
		buf_add_char(out, hex[h[i] & 15]);
	}
	buf_add_char(out, '"');
}

/* The last n characters of UTF-8; absent: there are no more than that. */
static struct slice
last_of(struct slice s, int64_t n)
{
	size_t at = s.n;

	while (at > 0 && n > 0)
		if (((unsigned char)s.p[--at] & 0xc0) != 0x80)
			n--;
	return at == 0 ? SLICE_NONE : (struct slice){s.p + at, s.n - at};
}

static void
add_masked(struct filter *f, struct slice last, struct buf *out)
{
	buf_reset(&f->masked);
	buf_add_str(&f->masked, f->conf->mask);
	if (last.p != NULL)
		buf_add_slice(&f->masked, last);
	buf_add_json_string(out, buf_slice(&f->masked));
	f->failed |= f->masked.failed;
}

/* What a leaf's hash is of: the bytes of S, the shortest form of N, the bytes of B. */
static struct slice
plain_of(struct filter *f, enum value_type type, struct slice inner)
{
	struct slice text = inner;
	size_t digits;

	buf_reset(&f->text);
	if ((type == VALUE_N || type == VALUE_B) && memchr(inner.p, '\\', inner.n) != NULL) {
		buf_reset(&f->masked);
		json_unescape(inner, &f->masked);
		f->failed |= f->masked.failed;
		text = buf_slice(&f->masked);
	}
	if (type == VALUE_S)
		json_unescape(text, &f->text);
	else if (type == VALUE_N)
		(void)number_canonical(text, &f->text);
	else if (type == VALUE_B && base64_measure(text, &digits))
		base64_decode(text, digits, &f->text);
	else
		buf_add_slice(&f->text, text);
	f->failed |= f->text.failed;
	return buf_slice(&f->text);
}

/* A JSON string. */
static void
add_leaf(struct filter *f, enum value_type type, struct slice inner, struct buf *out)
{
	struct slice plain = plain_of(f, type, inner);

	if (f->with >= WITH_SHA256)
		add_hash(f, plain, out);
	else if (f->with == WITH_KEEP_LAST && (type == VALUE_S || type == VALUE_N))
		add_masked(f, last_of(plain, f->conf->keep), out);
	else
		add_masked(f, SLICE_NONE, out);
}

/* ---- values of every type ---- */

/* No element twice: two may be the same once they are masked. */
static void
add_set(struct filter *f, enum value_type of, struct slice array, struct buf *out)
{
	struct json_iter it = json_iter(array);
	struct slice name, value;
	bool first = true;

	seen_reset(&f->seen);
	buf_add_str(out, "{\"SS\":[");
	while (json_next(&it, &name, &value)) {
		struct slice inner = value;

		if (value.n >= 2 && value.p[0] == '"')
			inner = (struct slice){value.p + 1, value.n - 2};
		buf_reset(&f->element);
		add_leaf(f, of, inner, &f->element);
		f->failed |= f->element.failed;
		if (!seen_add(&f->seen, key_hash(buf_slice(&f->element))))
			continue;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		buf_add_slice(out, buf_slice(&f->element));
	}
	buf_add_str(out, "]}");
}

static void add_value(struct filter *f, struct slice value, struct buf *out);

/* As deep as JSON that was let in. */
static void
add_inside(struct filter *f, const char *tag, struct slice container, struct buf *out)
{
	struct json_iter it = json_iter(container);
	struct slice name, value;
	bool first = true;

	buf_add_str(out, tag);
	buf_add_char(out, it.object ? '{' : '[');
	while (json_next(&it, &name, &value)) {
		if (!first)
			buf_add_char(out, ',');
		first = false;
		if (name.p != NULL) {
			buf_add_char(out, '"');
			buf_add_slice(out, name);
			buf_add_str(out, "\":");
		}
		add_value(f, value, out);
	}
	buf_add_str(out, it.object ? "}}" : "]}");
}

static void
add_value(struct filter *f, struct slice value, struct buf *out)
{
	struct slice inner;
	enum value_type type = value_of(value, &inner);

	switch (type) {
	case VALUE_M:
		add_inside(f, "{\"M\":", inner, out);
		break;
	case VALUE_L:
		add_inside(f, "{\"L\":", inner, out);
		break;
	case VALUE_SS:
		add_set(f, VALUE_S, inner, out);
		break;
	case VALUE_NS:
		add_set(f, VALUE_N, inner, out);
		break;
	case VALUE_BS:
		add_set(f, VALUE_B, inner, out);
		break;
	case VALUE_NULL:
		buf_add_str(out, "{\"NULL\":true}");
		break;
	case VALUE_INVALID:
		inner = value;
		FALLTHROUGH;
	default:
		buf_add_str(out, "{\"S\":");
		add_leaf(f, type, inner, out);
		buf_add_char(out, '}');
	}
}

static enum image_act
redact(void *arg, struct image_at *at)
{
	struct filter *f = arg;

	if (at->key)
		return IMAGE_KEEP;
	if (f->with == WITH_DROP)
		return IMAGE_DROP;
	buf_reset(&f->value);
	add_value(f, at->value, &f->value);
	if (f->failed || f->value.failed) {
		f->failed = true;
		return IMAGE_DROP;
	}
	at->with = buf_slice(&f->value);
	return IMAGE_REPLACE;
}

/* ---- the filter ---- */

static enum image_result
one(struct filter *f, struct slice *object, struct buf *out)
{
	enum image_result r;

	buf_reset(out);
	r = image_apply(f->image, *object, SLICE_NONE, redact, f, out);
	if (r == IMAGE_CHANGED)
		*object = buf_slice(out);
	return r;
}

/* Keys as any other attributes. */
static enum image_result
all_of(struct filter *f, struct record *r)
{
	enum image_result v[3];
	struct record changed = *r;
	enum image_result all = IMAGE_SAME;

	v[0] = one(f, &changed.keys, &f->keys);
	v[1] = one(f, &changed.new_image, &f->new_image);
	v[2] = one(f, &changed.old_image, &f->old_image);
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		if (v[i] > all)
			all = v[i];
	if (all == IMAGE_CHANGED)
		*r = changed;
	return all;
}

static_assert(IMAGE_SAME < IMAGE_CHANGED && IMAGE_CHANGED < IMAGE_TOO_LARGE, "the worst counts");

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	enum image_result result;

	(void)o;
	f->failed = false;
	result = f->conf->keys ? all_of(f, r) : image_record(f->image, r, redact, f);
	if (f->failed || result == IMAGE_TOO_LARGE) {
		(void)err_set(why, ERR_REFUSED,
		    "its attributes could not be redacted: too large, or out of memory");
		return FILTER_REJECT;
	}
	return result == IMAGE_CHANGED ? FILTER_REWRITE : FILTER_KEEP;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	image_close(f->image);
	EVP_MD_CTX_free(f->digest);
	EVP_MD_free(f->md);
	EVP_MAC_CTX_free(f->mac); /* wipes its key */
	buf_close(&f->value);
	buf_close(&f->text);
	buf_close(&f->masked);
	buf_close(&f->element);
	buf_close(&f->keys);
	buf_close(&f->new_image);
	buf_close(&f->old_image);
	seen_close(&f->seen);
	free(f);
}

static int
no_hash(struct err *e)
{
	return err_set(e, ERR_NOMEM, "libcrypto does not give SHA-256 and HMAC");
}

static int
open_digest(struct filter *f, struct err *e)
{
	f->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	f->digest = EVP_MD_CTX_new();
	return f->md != NULL && f->digest != NULL ? 0 : no_hash(e);
}

static int
open_mac(struct filter *f, struct err *e)
{
	static char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
	    OSSL_PARAM_construct_end()};
	struct secret key = {.bytes = NULL};
	EVP_MAC *hmac;
	int r = 0;

	if (key_file_read(f->conf->key_file, &key, e) != 0)
		return -1;
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	f->mac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	EVP_MAC_free(hmac);
	if (f->mac == NULL ||
	    EVP_MAC_init(f->mac, (const unsigned char *)key.bytes, key.n, params) != 1)
		r = no_hash(e);
	secret_clear(&key);
	return r;
}

static int
make(struct filter *f, const struct redact_conf *conf, struct err *e)
{
	f->conf = conf;
	f->with = (enum with)conf->with;
	f->value = f->text = f->masked = f->element = BUF_INIT(LIMIT_PAGE_BODY);
	f->keys = f->new_image = f->old_image = BUF_INIT(LIMIT_PAGE_BODY);
	f->image = image_new(IMAGE_EDIT);
	return image_add_list(f->image, "attributes", &conf->attributes, e);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);
	int r;

	(void)name;
	r = make(f, conf, e);
	if (r == 0 && f->with == WITH_HMAC)
		r = open_mac(f, e);
	if (r == 0 && f->with == WITH_SHA256)
		r = open_digest(f, e);
	if (r != 0) {
		close_filter(f);
		return -1;
	}
	*out = f;
	return 0;
}

static int
check(const void *conf, struct err *e)
{
	const struct redact_conf *c = conf;
	struct filter *f;
	int r;

	if (c->with == WITH_HMAC && c->key_file == NULL)
		return err_set(e, ERR_CONFIG, "with: hmac-sha256 needs a \"key-file\"");
	if (c->with != WITH_HMAC && c->key_file != NULL)
		return err_set(e, ERR_CONFIG, "\"key-file\" is for hmac-sha256; %s uses none",
		    with_words[c->with]);
	if (c->keys && c->with < WITH_SHA256)
		return err_set(e, ERR_CONFIG,
		    "keys: true goes with sha256 or hmac-sha256 only: with %s, items could not be "
		    "told apart",
		    with_words[c->with]);
	f = mem_new(sizeof *f);
	r = make(f, conf, e);
	close_filter(f);
	return r;
}

static int
suits(const void *conf, const struct filter_stream *s, struct err *e)
{
	const struct redact_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);
	const struct path *key = NULL;
	int r = make(f, conf, e);

	if (r == 0 && !c->keys)
		key = image_key_path(f->image, &s->schema);
	if (key != NULL)
		r = err_set(e, ERR_CONFIG,
		    "%.120s is a key attribute, which is redacted only with keys: true and a hash; "
		    "say so, or leave it out of attributes",
		    key->text);
	close_filter(f);
	return r;
}

const struct filter_ops filter_redact = {
    .api = FILTER_API,
    .type = "redact",
    .help = "Leaves out, masks or hashes attributes.",
    .conf_size = sizeof(struct redact_conf),
    .keys = keys,
    .check = check,
    .suits = suits,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
