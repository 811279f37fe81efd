/* tests/unit/encrypt_test.c - key files, sealed values, the filter and the way back.
 *
 * The reference for what a sealed text is made of is written here once more on libcrypto's
 * one-shot calls, and itself checked against published vectors.
 */
#include "tests/unit/record_support.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "filters/crypt.h"
#include "filters/filter.h"
#include "filters/key_file.h"
#include "filters/unseal.h"
#include "record/base64.h"
#include "record/format.h"
#include "record/key.h"
#include "record/rewrite.h"
#include "record/value.h"
#include "tests/unit/page_gen.h"

static const struct key_schema schema = {.names = {(char[]){"pk"}, NULL}};
static const struct origin orders = {.stream = "s",
    .table = "Orders",
    .arn = "arn:x",
    .label = "l",
    .shard = "sh",
    .schema = &schema};

/* ---- bytes ---- */

static size_t
unhex(const char *hex, unsigned char *out)
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
		out[i] = (unsigned char)v;
	}
	return n;
}

static struct secret
key_of(char fill)
{
	char bytes[KEY_BYTES];
	struct secret key = {.bytes = NULL};

	memset(bytes, fill, sizeof bytes);
	secret_set(&key, (struct slice){bytes, sizeof bytes});
	return key;
}

static struct crypt *
crypt_with(char fill)
{
	struct secret key = key_of(fill);
	struct crypt *c;
	struct err e;

	assert_int_equal(crypt_new(&c, &key, &e), 0);
	secret_clear(&key);
	return c;
}

/* ---- key files ---- */

static const char *
key_path(void)
{
	static char path[64];

	(void)snprintf(path, sizeof path, "/tmp/slipring-fcrypt-%ld.key", (long)getpid());
	return path;
}

static const char *
write_key(const void *p, size_t n, mode_t mode)
{
	const char *path = key_path();
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), n);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
	return path;
}

static void
assert_key(const char *text, size_t n, mode_t mode, const char *why)
{
	struct secret key = {.bytes = NULL};
	struct err e = {.code = ERR_NONE};
	const char *path = write_key(text, n, mode);
	int r = key_file_read(path, &key, &e);

	if (why == NULL) {
		if (r != 0)
			fail_msg("%s", e.text);
		assert_int_equal(key.n, KEY_BYTES);
		for (size_t i = 0; i < KEY_BYTES; i++)
			assert_int_equal((unsigned char)key.bytes[i], 0xab);
	} else {
		assert_int_equal(r, -1);
		assert_null(key.bytes);
		assert_int_equal(e.code, ERR_CONFIG);
		assert_non_null(strstr(e.text, path));
		if (strstr(e.text, why) == NULL)
			fail_msg("%s does not say %s", e.text, why);
		assert_null(strstr(e.text, "abab"));
	}
	secret_clear(&key);
	(void)unlink(path);
}

static void
key_files(void **state)
{
	char raw[200], hex[200];
	struct secret key = {.bytes = NULL};
	struct err e;

	(void)state;
	memset(raw, 0xab, sizeof raw);
	for (size_t i = 0; i + 1 < sizeof hex; i += 2)
		memcpy(hex + i, i % 4 != 0 ? "ab" : "AB", 2);
	assert_key(raw, 32, 0600, NULL);
	assert_key(raw, 32, 0640, NULL);
	assert_key(hex, 64, 0400, NULL);
	hex[64] = '\n';
	assert_key(hex, 65, 0600, NULL);
	memcpy(hex + 64, "\r\n", 2);
	assert_key(hex, 66, 0600, NULL);
	assert_key(hex, 65, 0600, "65 bytes");
	assert_key(raw, 0, 0600, ": 0 bytes; it must be 32 bytes, or 64 hexadecimal digits");
	assert_key(raw, 31, 0600, "31 bytes");
	assert_key(raw, 33, 0600, "33 bytes");
	assert_key(raw, 64, 0600, "64 bytes that are not all hexadecimal digits");
	assert_key(raw, 200, 0600, "more than 66 bytes");
	hex[5] = 'g';
	assert_key(hex, 64, 0600, "not all hexadecimal digits");
	assert_key(raw, 32, 0644, "others may read it (mode 644): chmod 600");
	assert_key(raw, 32, 0660, "others may write it (mode 660)");
	assert_int_equal(key_file_read("/tmp/slipring-fcrypt-none", &key, &e), -1);
	assert_non_null(strstr(e.text, "/tmp/slipring-fcrypt-none: cannot open it: No such file"));
	assert_int_equal(key_file_read("/tmp", &key, &e), -1);
	assert_non_null(strstr(e.text, "not a regular file"));
}

/* ---- a reference ---- */

static void
gcm(const unsigned char *key, const unsigned char *nonce, struct slice aad, struct slice plain,
    unsigned char *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n;

	assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce), 1);
	assert_int_equal(
	    EVP_EncryptUpdate(c, NULL, &n, (const unsigned char *)aad.p, (int)aad.n), 1);
	assert_int_equal(
	    EVP_EncryptUpdate(c, out, &n, (const unsigned char *)plain.p, (int)plain.n), 1);
	assert_int_equal(EVP_EncryptFinal_ex(c, out + n, &n), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, out + plain.n), 1);
	EVP_CIPHER_CTX_free(c);
}

static void
hmac(const void *key, size_t n, struct slice text, unsigned char out[32])
{
	assert_non_null(
	    HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)text.p, text.n, out, NULL));
}

/* "The Galois/Counter Mode of Operation", test case 16, which NIST took over; RFC 4231,
 * test case 2. */
static void
published_vectors(void **state)
{
	unsigned char key[32], nonce[12], aad[32], plain[64], want[80], got[80];
	size_t a, p;

	(void)state;
	assert_int_equal(
	    unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key), 32);
	assert_int_equal(unhex("cafebabefacedbaddecaf888", nonce), 12);
	a = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
	p = unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		  "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	    plain);
	assert_int_equal(unhex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
			       "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
			       "76fc6ece0f4e1768cddf8853bb2d551b",
			     want),
	    p + 16);
	gcm(key, nonce, (struct slice){(char *)aad, a}, (struct slice){(char *)plain, p}, got);
	assert_memory_equal(got, want, p + 16);
	(void)unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", want);
	hmac("Jefe", 4, SLICE_LIT("what do ya want for nothing?"), got);
	assert_memory_equal(got, want, 32);
}

#define PLACE                                                                                      \
	{                                                                                          \
		.table = SLICE_LIT("Orders"), .key = SLICE_LIT("[\"o-1\"]"),                       \
		.path = SLICE_LIT("n3:ssn")                                                        \
	}
#define PLACE_BYTES "slipring:1:\0\0\0\6Orders\0\0\0\7[\"o-1\"]\0\0\0\6n3:ssn"

static void
what_it_is_made_of(void **state)
{
	const struct crypt_place at = PLACE;
	struct slice plain = SLICE_LIT("{\"S\":\"123-45-6789\"}");
	struct slice place = {PLACE_BYTES, sizeof PLACE_BYTES - 1};
	struct buf all = BUF_INIT(4096), want = BUF_INIT(4096), got = BUF_INIT(4096);
	unsigned char nonce_key[32], cipher_key[32], id[32], mac[32], sealed[200];
	char key[KEY_BYTES];
	struct crypt *c = crypt_with(7);

	(void)state;
	memset(key, 7, sizeof key);
	hmac("slipring nonce 1", 16, (struct slice){key, sizeof key}, nonce_key);
	hmac("slipring cipher 1", 17, (struct slice){key, sizeof key}, cipher_key);
	hmac("slipring key id 1", 17, (struct slice){key, sizeof key}, id);
	buf_add_slice(&all, place);
	buf_add_slice(&all, plain);
	hmac(nonce_key, 32, buf_slice(&all), mac);
	memcpy(sealed, mac, 12);
	gcm(cipher_key, mac, place, plain, sealed + 12);
	buf_add_str(&want, CRYPT_MARK);
	for (int i = 0; i < 8; i++)
		buf_addf(&want, "%02x", id[i]);
	buf_add_char(&want, ':');
	buf_add_base64(&want, sealed, 12 + plain.n + 16);
	for (int i = 0; i < 2; i++) { /* again, the same bytes */
		buf_reset(&got);
		assert_true(crypt_seal(c, &at, plain, &got));
		assert_string_equal(buf_cstr(&got), buf_cstr(&want));
	}
	crypt_close(c);
	buf_close(&all);
	buf_close(&want);
	buf_close(&got);
}

/* `redact` with the same key file shows HMACs of texts that anybody may have written. */
static void
what_redact_publishes_opens_nothing(void **state)
{
	static const char *const words[] = {
	    "slipring cipher 1", "slipring nonce 1", "slipring key id 1"};
	const struct crypt_place at = PLACE;
	struct slice plain = SLICE_LIT("{\"S\":\"123-45-6789\"}"), body;
	struct slice place = {PLACE_BYTES, sizeof PLACE_BYTES - 1};
	struct buf text = BUF_INIT(4096), bytes = BUF_INIT(4096);
	struct crypt *c = crypt_with(7);
	unsigned char hash[32], again[200];
	size_t digits = 0;
	char key[KEY_BYTES];

	(void)state;
	memset(key, 7, sizeof key);
	assert_true(crypt_seal(c, &at, plain, &text));
	body = (struct slice){
	    text.p + sizeof CRYPT_MARK + CRYPT_ID, text.n - sizeof CRYPT_MARK - CRYPT_ID};
	assert_true(base64_measure(body, &digits));
	base64_decode(body, digits, &bytes);
	assert_int_equal(bytes.n, 12 + plain.n + 16);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		hmac(key, sizeof key, slice_of(words[i]), hash);
		gcm(hash, (const unsigned char *)bytes.p, place, plain, again);
		assert_memory_not_equal(again, bytes.p + 12, plain.n);
	}
	crypt_close(c);
	buf_close(&text);
	buf_close(&bytes);
}

/* ---- tampering ---- */

static void
assert_shut(struct crypt *c, const struct crypt_place *at, const char *text, size_t n)
{
	char *exact = malloc(n != 0 ? n : 1);
	struct buf out = BUF_INIT(4096);
	struct err e;

	memcpy(exact, text, n);
	buf_add_str(&out, "before");
	if (crypt_open(c, at, (struct slice){exact, n}, &out, &e) == 0)
		fail_msg("opened: %.*s", (int)n, text);
	assert_true(slice_is(buf_slice(&out), "before"));
	assert_null(strstr(e.text, "123"));
	buf_close(&out);
	free(exact);
}

static void
every_byte_counts(void **state)
{
	const struct crypt_place at = PLACE;
	struct buf text = BUF_INIT(4096), out = BUF_INIT(4096);
	struct crypt *c = crypt_with(7);
	struct err e;

	(void)state;
	/* Of three lengths, so that base64 ends in each of its ways. */
	for (size_t extra = 0; extra < 3; extra++) {
		struct slice plain = {"{\"S\":\"123-45-6789\"}  ", 19 + extra};

		buf_reset(&text);
		buf_reset(&out);
		assert_true(crypt_seal(c, &at, plain, &text));
		assert_int_equal(crypt_open(c, &at, buf_slice(&text), &out, &e), 0);
		assert_true(slice_eq(buf_slice(&out), plain));
		for (size_t i = 0; i < text.n; i++) {
			char was = text.p[i];

			for (int v = 0; v < 256; v++) {
				if ((char)v == was)
					continue;
				text.p[i] = (char)v;
				assert_shut(c, &at, text.p, text.n);
			}
			text.p[i] = was;
		}
		for (size_t n = 0; n < text.n; n++)
			assert_shut(c, &at, text.p, n);
		buf_add_char(&text, 'A');
		assert_shut(c, &at, text.p, text.n);
	}
	crypt_close(c);
	buf_close(&text);
	buf_close(&out);
}

static void
other_places(void **state)
{
	const struct crypt_place at = PLACE;
	struct crypt_place other[6] = {PLACE, PLACE, PLACE, PLACE, PLACE, PLACE};
	struct buf text = BUF_INIT(4096), again = BUF_INIT(4096);
	struct crypt *c = crypt_with(7), *d = crypt_with(8);

	(void)state;
	assert_true(crypt_seal(c, &at, SLICE_LIT("{\"S\":\"123\"}"), &text));
	other[0].table = SLICE_LIT("orders");
	other[1].key = SLICE_LIT("[\"o-2\"]");
	other[2].path = SLICE_LIT("n3:pin");
	other[3].table = SLICE_LIT("Orders[");
	other[3].key = SLICE_LIT("\"o-1\"]");
	other[4].path = SLICE_LIT("");
	other[5].key = SLICE_LIT("");
	for (size_t i = 0; i < ARRAY_LEN(other); i++) {
		assert_shut(c, &other[i], text.p, text.n);
		/* Nothing is seen to be equal that is at two places. */
		buf_reset(&again);
		assert_true(crypt_seal(c, &other[i], SLICE_LIT("{\"S\":\"123\"}"), &again));
		assert_false(slice_eq(buf_slice(&text), buf_slice(&again)));
	}
	assert_shut(d, &at, text.p, text.n);
	/* Even if it says that it is of that key. */
	memcpy(text.p + sizeof CRYPT_MARK - 1, crypt_id(d), CRYPT_ID);
	assert_shut(d, &at, text.p, text.n);
	crypt_close(c);
	crypt_close(d);
	buf_close(&text);
	buf_close(&again);
}

/* ---- the filter ---- */

struct setup {
	struct filter *f;
	void *conf; /* owned */
};

static bool
try_setup(struct setup *x, const char *yaml, char fill, struct err *e)
{
	char key[KEY_BYTES];
	struct conf_doc *doc;
	struct buf text = BUF_INIT(4096);
	bool ok;

	memset(key, fill, sizeof key);
	memset(x, 0, sizeof *x);
	x->conf = mem_new(filter_encrypt.conf_size);
	buf_addf(&text, "%skey-file: %s\n", yaml, write_key(key, sizeof key, 0600));
	if (conf_parse(&doc, buf_slice(&text), "test", e) != 0)
		fail_msg("%s", e->text);
	ok = conf_fill(conf_root(doc), filter_encrypt.keys, NULL, x->conf, e) == 0 &&
	    filter_encrypt.check(x->conf, e) == 0 &&
	    filter_encrypt.open(&x->f, "pii", x->conf, e) == 0;
	conf_close(doc);
	buf_close(&text);
	(void)unlink(key_path());
	return ok;
}

static void
begin(struct setup *x, const char *yaml, char fill)
{
	struct err e;

	if (!try_setup(x, yaml, fill, &e))
		fail_msg("%s", e.text);
}

static void
end(struct setup *x)
{
	filter_encrypt.close(x->f);
	conf_wipe(filter_encrypt.keys, x->conf);
	free(x->conf);
}

static struct unseal *
opener(const char *table, const char *keys, const char *fills)
{
	struct unseal *u;
	struct err e;

	assert_int_equal(unseal_new(&u, table, keys, &e), 0);
	for (; *fills != '\0'; fills++) {
		struct secret key = key_of(*fills);

		assert_int_equal(unseal_add_key(u, &key, &e), 0);
		secret_clear(&key);
	}
	return u;
}

#define ITEM                                                                                       \
	"\"pk\":{\"S\":\"o-1\"},\"ssn\":{\"S\":\"123-45-6789\"},\"n\":{\"N\":\"12.50\"},"          \
	"\"card\":{\"M\":{\"no\":{\"S\":\"4111\"},\"x\":{\"BOOL\":true}}},"                        \
	"\"l\":{\"L\":[{\"M\":{\"pin\":{\"N\":\"1\"}}},{\"M\":{\"pin\":{\"N\":\"2\"}}}]},"         \
	"\"tags\":{\"SS\":[\"b\",\"a\"]}"
#define BOTH                                                                                       \
	",\"Keys\":{\"pk\":{\"S\":\"o-1\"}},\"NewImage\":{" ITEM "},\"OldImage\":{" ITEM           \
	",\"gone\":{\"NULL\":true}}"
#define SECRETS "attributes: [ssn, n, card.no, 'l[*].pin', tags, pk, 'g*', nowhere.at.all]\n"

/* What the filter makes of it, as a record again. */
static struct page *
filtered(struct setup *x, const struct record *before)
{
	struct record r = *before;
	struct buf raw = BUF_INIT(LIMIT_PAGE_BODY);
	struct slice one;
	struct page *p;
	struct err e;

	if (filter_encrypt.apply(x->f, &r, &orders, &e) == FILTER_REJECT)
		fail_msg("%s", e.text);
	record_write(&r, &raw);
	one = buf_slice(&raw);
	if (page_of_records(&p, &one, 1, &e) != 0)
		fail_msg("%s\n%s", e.text, buf_cstr(&raw));
	buf_close(&raw);
	return p;
}

static void
what_it_seals(void **state)
{
	struct page *p = page_with(BOTH, ",\"eventName\":\"MODIFY\""), *q;
	struct record r = p->records[0];
	struct slice sealed, old, inner;
	struct setup x;
	struct err e;

	(void)state;
	begin(&x, SECRETS, 'a');
	assert_int_equal(filter_encrypt.apply(x.f, &r, &orders, &e), FILTER_REWRITE);
	assert_true(slice_eq(r.keys, p->records[0].keys));
	sealed = value_member(r.new_image, "pk");
	assert_true(slice_is(sealed, "{\"S\":\"o-1\"}"));
	sealed = value_member(r.new_image, "ssn");
	assert_int_equal(value_of(sealed, &inner), VALUE_S);
	assert_true(crypt_is_sealed(inner));
	old = value_member(r.old_image, "ssn");
	assert_true(slice_eq(sealed, old)); /* did not change */
	for (const char *const *word = (const char *const[]){"123-45", "12.50", "4111", "\"SS\"",
		 "pin\":{\"N\"", "NULL", NULL};
	     *word != NULL; word++)
		assert_null(memmem(r.new_image.p, r.new_image.n, *word, strlen(*word)));
	assert_null(memmem(r.old_image.p, r.old_image.n, "NULL", 4));
	assert_non_null(memmem(r.new_image.p, r.new_image.n, "\"x\":{\"BOOL\":true}", 17));
	/* Nothing to do: as it came. */
	q = page_with(",\"Keys\":{\"pk\":{\"S\":\"o-1\"}}", "");
	r = q->records[0];
	assert_int_equal(filter_encrypt.apply(x.f, &r, &orders, &e), FILTER_KEEP);
	page_unref(p);
	page_unref(q);
	end(&x);
}

static void
keys_that_would_not_be_sealed(void **state)
{
	const struct filter_stream s = {
	    .schema = {.names = {(char[]){"pk"}, NULL}}, .view = "NEW_AND_OLD_IMAGES"};
	struct setup x;
	struct err e;

	(void)state;
	begin(&x, "attributes: [ssn, pk]\n", 7);
	assert_int_equal(filter_encrypt.suits(x.conf, &s, &e), -1);
	assert_non_null(strstr(e.text, "pk is a key attribute, which is never encrypted"));
	end(&x);
	begin(&x, "attributes: [ssn, '*']\n", 7);
	assert_int_equal(filter_encrypt.suits(x.conf, &s, &e), 0);
	end(&x);
}

static void
what_it_does_not_take(void **state)
{
	static const char *const bad[][2] = {
	    {"", "attributes"},
	    {"attributes: ['a*.b']\n", "a*.b: a name with a star can only be the last"},
	    {"attributes: ['a..b']\n", "attributes"},
	    {"attributes: [a, a]\n", "twice"},
	};
	struct setup x;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(try_setup(&x, bad[i][0], 'a', &e));
		if (strstr(e.text, bad[i][1]) == NULL)
			fail_msg("%s does not say %s", e.text, bad[i][1]);
		end(&x);
	}
}

/* ---- the way back ---- */

/* The audit trail's members, as sinks/audit_line.c writes them. */
static void
add_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct buf *out = arg;

	buf_add_str(out, out->p[out->n - 1] == '[' ? "{\"path\":" : ",{\"path\":");
	buf_add_json_string(out, path);
	if (old_value.p != NULL) {
		buf_add_str(out, ",\"old\":");
		buf_add_slice(out, old_value);
	}
	if (new_value.p != NULL) {
		buf_add_str(out, ",\"new\":");
		buf_add_slice(out, new_value);
	}
	buf_add_char(out, '}');
}

static void
write_entry(const struct record *r, struct buf *out)
{
	buf_add_str(out, "{\"entry\":1,\"table\":\"Orders\",\"keys\":");
	buf_add_slice(out, r->keys);
	if (r->old_image.p != NULL) {
		buf_add_str(out, ",\"old\":");
		buf_add_slice(out, r->old_image);
	}
	if (r->new_image.p != NULL) {
		buf_add_str(out, ",\"new\":");
		buf_add_slice(out, r->new_image);
	}
	buf_add_str(out, ",\"changed\":[");
	if (r->old_image.p != NULL && r->new_image.p != NULL)
		changes_each(r->old_image, r->new_image, add_change, out);
	buf_add_str(out, "]}");
}

/* format: of enum format; -1: an audit entry; -2: a bare item. False: it has no such form. */
static bool
write_as(int format, const struct record *r, struct buf *out)
{
	struct err e;

	buf_reset(out);
	if (format == -1) {
		write_entry(r, out);
		return true;
	}
	if (format == -2)
		return r->new_image.p != NULL && plain_write_image(r->new_image, out, &e) == 0;
	return format_write((enum format)format, r, &orders, out, &e) == 0;
}

/* In any form that a sink writes, what comes back is what it would have written itself. */
static void
assert_comes_back(const struct record *before, const struct record *after, const char *keys)
{
	struct buf want = BUF_INIT(LIMIT_PAGE_BODY), line = BUF_INIT(LIMIT_PAGE_BODY);
	struct buf got = BUF_INIT(LIMIT_PAGE_BODY);
	struct unseal_count n;
	struct err e;

	for (int format = -2; format <= FORMAT_DEBEZIUM; format++) {
		struct unseal *u =
		    opener("Orders", format == -2 || format == FORMAT_DEBEZIUM ? keys : NULL, "za");

		if ((u == NULL) || !write_as(format, before, &want) ||
		    !write_as(format, after, &line)) {
			unseal_close(u);
			continue;
		}
		buf_reset(&got);
		if (unseal_line(u, buf_slice(&line), &got, &n, &e) != 0)
			fail_msg("%d: %s\n%s", format, e.text, buf_cstr(&line));
		if (!slice_eq(buf_slice(&got), buf_slice(&want)))
			fail_msg("%d: %s\nwant %s", format, buf_cstr(&got), buf_cstr(&want));
		unseal_close(u);
	}
	buf_close(&want);
	buf_close(&line);
	buf_close(&got);
}

static void
it_comes_back(void **state)
{
	struct page *p = page_with(BOTH, ",\"eventName\":\"MODIFY\""), *before, *after;
	struct slice raw = p->records[0].raw;
	struct setup x;
	struct err e;

	(void)state;
	begin(&x, "attributes: [ssn, n, card.no, 'l[*].pin', tags, gone]\n", 'a');
	assert_int_equal(page_of_records(&before, &raw, 1, &e), 0);
	after = filtered(&x, &before->records[0]);
	assert_comes_back(&before->records[0], &after->records[0], "pk");
	page_unref(p);
	page_unref(before);
	page_unref(after);
	end(&x);
}

/* A tag of a map around it may be spelled otherwise. */
static void
assert_same_image(struct slice a, struct slice b)
{
	struct buf one = BUF_INIT(LIMIT_PAGE_BODY), other = BUF_INIT(LIMIT_PAGE_BODY);

	assert_int_equal(a.p == NULL, b.p == NULL);
	buf_add_str(&one, "{\"M\":");
	buf_add_slice(&one, a);
	buf_add_char(&one, '}');
	buf_add_str(&other, "{\"M\":");
	buf_add_slice(&other, b);
	buf_add_char(&other, '}');
	if (a.p != NULL && !slice_eq(a, b) && !value_eq(buf_slice(&one), buf_slice(&other)))
		fail_msg("%s\n%s", buf_cstr(&one), buf_cstr(&other));
	buf_close(&one);
	buf_close(&other);
}

/* Whole attributes of random records: every type, odd text, odd spelling. The keys are not
 * those of a bare item, so that those forms are left out. */
static void
random_images(void **state)
{
	struct setup x;
	size_t sealed = 0;

	(void)state;
	begin(&x, "attributes: ['*']\n", 'a');
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct gen g = {
		    .out = BUF_INIT(LIMIT_PAGE_BODY), .escapes = true, .odd_text = true};
		struct page *p, *after;
		struct err e;

		rng_seed(&g.sp, seed);
		gen_page(&g, seed, 8);
		if (page_parse(&p, &g.out, &e) != 0)
			fail_msg("seed %d: %s", (int)seed, e.text);
		for (size_t i = 0; i < p->count; i++) {
			const struct record *r = &p->records[i];
			struct unseal *u = opener("Orders", NULL, "a");
			struct buf line = BUF_INIT(LIMIT_PAGE_BODY),
				   got = BUF_INIT(LIMIT_PAGE_BODY);
			struct page *back;
			struct unseal_count n;
			struct slice raw;

			after = filtered(&x, r);
			buf_add_slice(&line, after->records[0].raw);
			if (unseal_line(u, buf_slice(&line), &got, &n, &e) != 0)
				fail_msg("seed %d: %s", (int)seed, e.text);
			sealed += n.opened;
			raw = buf_slice(&got);
			assert_int_equal(page_of_records(&back, &raw, 1, &e), 0);
			assert_same_image(r->new_image, back->records[0].new_image);
			assert_same_image(r->old_image, back->records[0].old_image);
			page_unref(back);
			page_unref(after);
			buf_close(&line);
			buf_close(&got);
			unseal_close(u);
		}
		page_unref(p);
	}
	assert_true(sealed > 500);
	end(&x);
}

static void
assert_left(struct unseal *u, const char *line, const char *why)
{
	struct buf out = BUF_INIT(LIMIT_PAGE_BODY);
	struct unseal_count n;
	struct err e;

	assert_int_equal(unseal_line(u, slice_of(line), &out, &n, &e), -1);
	if (strstr(e.text, why) == NULL)
		fail_msg("%s does not say %s", e.text, why);
	assert_string_equal(buf_cstr(&out), line);
	buf_close(&out);
	unseal_close(u);
}

/* From one attribute, item or table to another, and what is said of it. */
static void
what_does_not_open(void **state)
{
	struct page *p = page_with(BOTH, ",\"eventName\":\"MODIFY\""), *after;
	struct slice ssn, pin;
	struct setup x;
	char line[2000];

	(void)state;
	begin(&x, "attributes: [ssn, 'l[*].pin']\n", 'a');
	after = filtered(&x, p->records);
	ssn = value_member(after->records[0].new_image, "ssn");
	ssn = (struct slice){ssn.p + 5, ssn.n - 6};
	(void)snprintf(line, sizeof line, "{\"pk\":\"o-1\",\"ssn\":%.*s}", (int)ssn.n, ssn.p);
	assert_left(opener("Orders", "pk", "b"), line, "ssn: it was encrypted with key ");
	assert_left(opener(NULL, "pk", "a"), line, "ssn: the line does not say which table");
	assert_left(opener("Orders", NULL, "a"), line, "name its key attributes with --keys");
	assert_left(opener("Orders", "sk", "a"), line, "name its key attributes with --keys");
	assert_left(opener("Other", "pk", "a"), line, "ssn: it was changed, or is not of this");
	(void)snprintf(line, sizeof line, "{\"pk\":\"o-2\",\"ssn\":%.*s}", (int)ssn.n, ssn.p);
	assert_left(opener("Orders", "pk", "a"), line, "ssn: it was changed, or is not of this");
	(void)snprintf(
	    line, sizeof line, "{\"pk\":\"o-1\",\"a\":{\"b\":[%.*s]}}", (int)ssn.n, ssn.p);
	assert_left(opener("Orders", "pk", "a"), line, "a.b[]: it was changed");
	assert_left(opener("Orders", "pk", "a"), "{\"pk\":\"o-1\",\"ssn\":\"slipring:1:x\"}",
	    "ssn: it is cut or changed: it names no key");
	/* An element is an element, wherever it stands. */
	pin = value_member(after->records[0].new_image, "l");
	assert_int_equal(memcmp(pin.p, "{\"L\":[{\"M\":{\"pin\":", 18), 0);
	page_unref(p);
	page_unref(after);
	end(&x);
}

static void
several_keys(void **state)
{
	struct page *p = page_with(BOTH, ",\"eventName\":\"MODIFY\""), *one, *two;
	struct buf out = BUF_INIT(LIMIT_PAGE_BODY);
	struct unseal *u = opener("Orders", NULL, "ab");
	struct unseal_count n;
	struct setup x;
	struct err e;

	(void)state;
	begin(&x, "attributes: [ssn]\n", 'a');
	one = filtered(&x, p->records);
	end(&x);
	begin(&x, "attributes: [ssn]\n", 'b');
	two = filtered(&x, p->records);
	end(&x);
	assert_false(slice_eq(one->records[0].new_image, two->records[0].new_image));
	assert_int_equal(unseal_line(u, one->records[0].raw, &out, &n, &e), 0);
	assert_int_equal(n.opened, 2);
	assert_int_equal(unseal_line(u, two->records[0].raw, &out, &n, &e), 0);
	assert_int_equal(n.opened, 2);
	page_unref(p);
	page_unref(one);
	page_unref(two);
	unseal_close(u);
	buf_close(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(key_files),
	    cmocka_unit_test(published_vectors),
	    cmocka_unit_test(what_it_is_made_of),
	    cmocka_unit_test(what_redact_publishes_opens_nothing),
	    cmocka_unit_test(every_byte_counts),
	    cmocka_unit_test(other_places),
	    cmocka_unit_test(what_it_seals),
	    cmocka_unit_test(keys_that_would_not_be_sealed),
	    cmocka_unit_test(what_it_does_not_take),
	    cmocka_unit_test(it_comes_back),
	    cmocka_unit_test(random_images),
	    cmocka_unit_test(what_does_not_open),
	    cmocka_unit_test(several_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
