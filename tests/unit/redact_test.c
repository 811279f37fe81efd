/* tests/unit/redact_test.c - what is left of a value, for every type and every way to
 * hide it; keys; what is refused.
 */
#include "tests/unit/record_support.h"

#include <fcntl.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "filters/filter.h"
#include "record/key.h"
#include "record/rewrite.h"
#include "record/value.h"
#include "tests/unit/page_gen.h"

static const struct origin orders = {.stream = "s", .table = "Orders"};

struct setup {
	struct filter *f;
	void *conf; /* owned */
};

static char key_path[64];

static int
write_key(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(key_path, sizeof key_path, "/tmp/slipring-fcrypt-r%ld", (long)getpid());
	fd = open(key_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (int i = 0; i < 32; i++)
		assert_int_equal(write(fd, "\x0b", 1), 1);
	return close(fd);
}

static int
remove_key(void **state)
{
	(void)state;
	return unlink(key_path);
}

static bool
try_setup(struct setup *x, const char *yaml, struct err *e)
{
	struct conf_doc *doc;
	bool ok;

	memset(x, 0, sizeof *x);
	x->conf = mem_new(filter_redact.conf_size);
	if (conf_parse(&doc, slice_of(yaml), "test", e) != 0)
		fail_msg("%s", e->text);
	ok = conf_fill(conf_root(doc), filter_redact.keys, NULL, x->conf, e) == 0 &&
	    filter_redact.check(x->conf, e) == 0 &&
	    filter_redact.open(&x->f, "pii", x->conf, e) == 0;
	conf_close(doc);
	return ok;
}

static void
begin(struct setup *x, const char *yaml)
{
	struct err e;

	if (!try_setup(x, yaml, &e))
		fail_msg("%s", e.text);
}

static void
begin_hmac(struct setup *x, const char *yaml)
{
	char text[300];

	(void)snprintf(text, sizeof text, "%swith: hmac-sha256\nkey-file: %s\n", yaml, key_path);
	begin(x, text);
}

static void
end(struct setup *x)
{
	filter_redact.close(x->f);
	conf_wipe(filter_redact.keys, x->conf);
	free(x->conf);
}

/* Attribute v of both images becomes this. want: NULL: it is gone. */
static void
assert_becomes(struct setup *x, const char *value, const char *want)
{
	char text[2000];
	struct page *p;
	struct record r;
	struct err e;

	(void)snprintf(text, sizeof text,
	    ",\"Keys\":{\"pk\":{\"S\":\"a\"}},\"NewImage\":{\"pk\":{\"S\":\"a\"},\"v\":%s},"
	    "\"OldImage\":{\"v\":%s,\"pk\":{\"S\":\"a\"}}",
	    value, value);
	p = page_with(text, "");
	r = p->records[0];
	if (filter_redact.apply(x->f, &r, &orders, &e) == FILTER_REJECT)
		fail_msg("%s", e.text);
	assert_slice(value_member(r.new_image, "v"), want);
	assert_slice(value_member(r.old_image, "v"), want);
	assert_slice(value_member(r.new_image, "pk"), "{\"S\":\"a\"}");
	assert_slice(value_member(r.old_image, "pk"), "{\"S\":\"a\"}");
	page_unref(p);
}

static void
left_out(void **state)
{
	struct setup x;

	(void)state;
	begin(&x, "attributes: [v, pk]\nwith: drop\n");
	assert_becomes(&x, "{\"S\":\"x\"}", NULL);
	assert_becomes(&x, "{\"M\":{\"a\":{\"L\":[]}}}", NULL);
	assert_becomes(&x, "{\"NULL\":true}", NULL);
	end(&x);
	begin(&x, "attributes: [v.a, 'v.l[*].x']\nwith: drop\n");
	assert_becomes(&x,
	    "{\"M\":{\"a\":{\"S\":\"1\"},\"b\":{\"S\":\"2\"},\"l\":{\"L\":[{\"M\":{\"x\":{\"N\":"
	    "\"1\"}}}]}}}",
	    "{\"M\":{\"b\":{\"S\":\"2\"},\"l\":{\"L\":[{\"M\":{}}]}}}");
	end(&x);
}

static void
masked(void **state)
{
	struct setup x;

	(void)state;
	begin(&x, "attributes: [v, pk]\nwith: mask\nmask: '<\"hidden\">'\n");
#define M "\"<\\\"hidden\\\">\""
	assert_becomes(&x, "{\"S\":\"secret\"}", "{\"S\":" M "}");
	assert_becomes(&x, "{\"N\":\"12.5\"}", "{\"S\":" M "}");
	assert_becomes(&x, "{\"B\":\"AAEC\"}", "{\"S\":" M "}");
	assert_becomes(&x, "{\"BOOL\":false}", "{\"S\":" M "}");
	assert_becomes(&x, "{\"NULL\":true}", "{\"NULL\":true}");
	assert_becomes(&x, "{\"SS\":[\"a\",\"b\"]}", "{\"SS\":[" M "]}");
	assert_becomes(&x, "{\"NS\":[\"1\",\"2\"]}", "{\"SS\":[" M "]}");
	assert_becomes(&x, "{\"BS\":[\"AAEC\"]}", "{\"SS\":[" M "]}");
	assert_becomes(&x, "{\"M\":{\"a\":{\"S\":\"x\"},\"b\":{\"L\":[{\"N\":\"1\"},{\"M\":{}}]}}}",
	    "{\"M\":{\"a\":{\"S\":" M "},\"b\":{\"L\":[{\"S\":" M "},{\"M\":{}}]}}}");
	assert_becomes(&x, "{\"S\":1}", "{\"S\":" M "}");
	assert_becomes(&x, "{\"X\":\"secret\"}", "{\"S\":" M "}");
	assert_becomes(&x, "17", "{\"S\":" M "}");
#undef M
	end(&x);
}

static void
the_last_ones(void **state)
{
	struct setup x;

	(void)state;
	begin(&x, "attributes: [v]\nwith: keep-last\n");
	assert_becomes(&x, "{\"S\":\"4111111111111234\"}", "{\"S\":\"****1234\"}");
	assert_becomes(&x, "{\"S\":\"12345\"}", "{\"S\":\"****2345\"}");
	/* No more than what would be kept: nothing is. */
	assert_becomes(&x, "{\"S\":\"1234\"}", "{\"S\":\"****\"}");
	assert_becomes(&x, "{\"S\":\"\"}", "{\"S\":\"****\"}");
	/* Characters, not bytes; escapes are one. */
	assert_becomes(&x, "{\"S\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xe2\x82\xac\"}",
	    "{\"S\":\"****\xc3\xb6\xc3\xbc\xc3\x9f\xe2\x82\xac\"}");
	assert_becomes(&x, "{\"S\":\"\\u00e4\xc3\xb6\xc3\xbc\xc3\x9f\"}", "{\"S\":\"****\"}");
	assert_becomes(&x, "{\"S\":\"abc\\\"\\n\\\\x\"}", "{\"S\":\"****\\\"\\n\\\\x\"}");
	assert_becomes(&x, "{\"N\":\"0012345.60\"}", "{\"S\":\"****45.6\"}");
	assert_becomes(&x, "{\"B\":\"AAECAAEC\"}", "{\"S\":\"****\"}");
	assert_becomes(&x, "{\"SS\":[\"a-12345\",\"b-12345\",\"x\",\"y\"]}",
	    "{\"SS\":[\"****2345\",\"****\"]}");
	assert_becomes(&x, "{\"NS\":[\"123456\"]}", "{\"SS\":[\"****3456\"]}");
	end(&x);
}

static void
hex_of(const unsigned char *h, char out[65])
{
	for (int i = 0; i < 32; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", h[i]);
}

/* RFC 4231 has no key of 32 bytes; libcrypto's one-shot HMAC, which encrypt_test.c holds against
 * its vectors, says what must come. FIPS 180-2, appendix B.1: "abc". */
static void
hashed(void **state)
{
	unsigned char h[32], key[32];
	char want[200], hex[65];
	struct setup x;

	(void)state;
	begin(&x, "attributes: [v]\nwith: sha256\n");
#define ABC "\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\""
	assert_becomes(&x, "{\"S\":\"abc\"}", "{\"S\":" ABC "}");
	assert_becomes(&x, "{\"S\":\"\\u0061bc\"}", "{\"S\":" ABC "}");
	assert_becomes(&x, "{\"B\":\"YWJj\"}", "{\"S\":" ABC "}");
	assert_becomes(&x, "{\"B\":\"YWJ\\u006a\"}", "{\"S\":" ABC "}");
	assert_becomes(&x, "{\"BS\":[\"YWJj\"]}", "{\"SS\":[" ABC "]}");
	/* Some writers escape a slash, and what base64 is filled up with. */
	assert_becomes(&x, "{\"BS\":[\"YWI\\u003d\",\"\\u0059WI=\"]}",
	    "{\"SS\":[\"fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603\"]}");
	assert_becomes(
	    &x, "{\"M\":{\"a\":{\"SS\":[\"abc\"]}}}", "{\"M\":{\"a\":{\"SS\":[" ABC "]}}}");
#undef ABC
	(void)SHA256((const unsigned char *)"12.5", 4, h);
	hex_of(h, hex);
	(void)snprintf(want, sizeof want, "{\"S\":\"%s\"}", hex);
	assert_becomes(&x, "{\"N\":\"12.5\"}", want);
	assert_becomes(&x, "{\"N\":\"0012.50\"}", want);
	assert_becomes(&x, "{\"N\":\"1.25E1\"}", want);
	assert_becomes(&x, "{\"N\":\"12\\u002e5\"}", want);
	assert_becomes(&x, "{\"NULL\":true}", "{\"NULL\":true}");
	end(&x);
	begin_hmac(&x, "attributes: [v]\n");
	memset(key, 0x0b, sizeof key);
	assert_non_null(HMAC(EVP_sha256(), key, 32, (const unsigned char *)"Hi There", 8, h, NULL));
	hex_of(h, hex);
	(void)snprintf(want, sizeof want, "{\"S\":\"%s\"}", hex);
	for (int i = 0; i < 3; i++)
		assert_becomes(&x, "{\"S\":\"Hi There\"}", want);
	end(&x);
}

/* ---- keys ---- */

static void
apply_keys(struct setup *x, const char *pk, struct page **p, struct record *r)
{
	char text[1000];
	struct err e;

	(void)snprintf(text, sizeof text,
	    ",\"Keys\":{\"pk\":{\"S\":\"%s\"},\"sk\":{\"N\":\"1.0\"}},\"NewImage\":{\"pk\":{\"S\":"
	    "\"%s\"},\"sk\":{\"N\":\"1\"}},\"OldImage\":{\"sk\":{\"N\":\"1\"},\"pk\":{\"S\":\"%s\"}"
	    "}",
	    pk, pk, pk);
	*p = page_with(text, "");
	*r = (*p)->records[0];
	assert_int_equal(filter_redact.apply(x->f, r, &orders, &e), FILTER_REWRITE);
}

static void
keys_when_asked(void **state)
{
	struct buf key = BUF_INIT(1000), again = BUF_INIT(1000);
	struct record r, other;
	struct page *p, *q;
	struct setup x;

	(void)state;
	begin_hmac(&x, "attributes: [pk, sk]\nkeys: true\n");
	apply_keys(&x, "a", &p, &r);
	assert_true(value_eq(value_member(r.keys, "pk"), value_member(r.new_image, "pk")));
	assert_true(value_eq(value_member(r.keys, "pk"), value_member(r.old_image, "pk")));
	assert_true(value_eq(value_member(r.keys, "sk"), value_member(r.new_image, "sk")));
	assert_null(memmem(r.keys.p, r.keys.n, "\"a\"", 3));
	key_write(&r, NULL, &key);
	apply_keys(&x, "b", &q, &other);
	key_write(&other, NULL, &again);
	assert_string_not_equal(buf_cstr(&key), buf_cstr(&again));
	page_unref(q);
	buf_reset(&again);
	apply_keys(&x, "\\u0061", &q, &other);
	key_write(&other, NULL, &again);
	assert_string_equal(buf_cstr(&key), buf_cstr(&again));
	page_unref(q);
	page_unref(p);
	buf_close(&key);
	buf_close(&again);
	end(&x);
}

/* ---- anything ---- */

/* Nothing of random images is left under '*' but names, keys and NULL; and it is a record. */
static void
random_images(void **state)
{
	static const char *const ways[] = {"mask", "keep-last", "sha256", "drop"};
	struct setup x;
	char yaml[100];

	(void)state;
	for (uint64_t seed = 1; seed <= 80; seed++) {
		struct gen g = {
		    .out = BUF_INIT(LIMIT_PAGE_BODY), .escapes = true, .odd_text = true};
		struct page *p, *after;
		struct err e;

		(void)snprintf(
		    yaml, sizeof yaml, "attributes: ['*']\nwith: %s\nmask: M\n", ways[seed % 4]);
		begin(&x, yaml);
		rng_seed(&g.sp, seed);
		gen_page(&g, seed, 8);
		assert_int_equal(page_parse(&p, &g.out, &e), 0);
		for (size_t i = 0; i < p->count; i++) {
			struct record r = p->records[i];
			struct buf raw = BUF_INIT(LIMIT_PAGE_BODY);
			struct slice one;

			assert_int_not_equal(
			    filter_redact.apply(x.f, &r, &orders, &e), FILTER_REJECT);
			record_write(&r, &raw);
			one = buf_slice(&raw);
			if (page_of_records(&after, &one, 1, &e) != 0)
				fail_msg("%s: %s", e.text, buf_cstr(&raw));
			assert_true(slice_eq(after->records[0].keys, p->records[i].keys));
			page_unref(after);
			buf_close(&raw);
		}
		page_unref(p);
		end(&x);
	}
}

/* As many as an item of 400 kB can have, and none twice. */
static void
a_large_set(void **state)
{
	struct buf text = BUF_INIT(4u << 20);
	struct setup x;
	struct record r;
	struct page *p;
	struct err e;

	(void)state;
	begin(&x, "attributes: [v]\nwith: keep-last\nkeep: 5\n");
	buf_add_str(&text, ",\"Keys\":{\"pk\":{\"S\":\"a\"}},\"NewImage\":{\"v\":{\"SS\":[");
	for (int i = 0; i < 60000; i++)
		buf_addf(&text, "%s\"x%d\"", i != 0 ? "," : "", 100000 + i);
	buf_add_str(&text, "]}}");
	p = page_with(buf_cstr(&text), "");
	r = p->records[0];
	assert_int_equal(filter_redact.apply(x.f, &r, &orders, &e), FILTER_REWRITE);
	assert_non_null(memmem(r.new_image.p, r.new_image.n, "\"****59999\"]", 12));
	page_unref(p);
	buf_close(&text);
	end(&x);
}

/* What is named and would stay as it is must not be found out at the target. */
static void
keys_that_would_not_be_redacted(void **state)
{
	static const struct {
		const char *yaml;
		const char *key; /* NULL: it suits */
	} ways[] = {{"attributes: [mail, pk]\nwith: drop\n", "pk is a key attribute"},
	    {"attributes: ['\"sk\"']\nwith: sha256\n", "\"sk\" is a key attribute"},
	    {"attributes: [pk]\nwith: sha256\nkeys: true\n", NULL},
	    {"attributes: ['*', p, pk.x]\nwith: mask\n", NULL}};
	const struct filter_stream s = {
	    .schema = {.names = {(char[]){"pk"}, (char[]){"sk"}}}, .view = "NEW_AND_OLD_IMAGES"};
	const struct filter_stream unknown = {.view = "unknown"};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct setup x;

		begin(&x, ways[i].yaml);
		assert_int_equal(filter_redact.suits(x.conf, &unknown, &e), 0);
		assert_int_equal(filter_redact.suits(x.conf, &s, &e), ways[i].key != NULL ? -1 : 0);
		if (ways[i].key != NULL)
			assert_non_null(strstr(e.text, ways[i].key));
		end(&x);
	}
}

static void
what_it_does_not_take(void **state)
{
	static const char *const bad[][2] = {
	    {"attributes: [a]\n", "with"},
	    {"with: drop\n", "attributes"},
	    {"attributes: [a]\nwith: hmac-sha256\n", "needs a \"key-file\""},
	    {"attributes: [a]\nwith: sha256\nkey-file: /x\n",
		"is for hmac-sha256; sha256 uses none"},
	    {"attributes: [a]\nwith: mask\nkeys: true\n", "items could not be told apart"},
	    {"attributes: ['a[']\nwith: mask\n", "attributes"},
	    {"attributes: [a]\nwith: keep-last\nkeep: 0\n", "keep"},
	    {"attributes: [a]\nwith: hmac-sha256\nkey-file: /nowhere\n",
		"/nowhere: cannot open it"},
	};
	struct setup x;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (try_setup(&x, bad[i][0], &e))
			fail_msg("taken: %s", bad[i][0]);
		assert_int_equal(e.code, ERR_CONFIG);
		if (strstr(e.text, bad[i][1]) == NULL)
			fail_msg("%s does not say %s", e.text, bad[i][1]);
		end(&x);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(left_out),
	    cmocka_unit_test(masked),
	    cmocka_unit_test(the_last_ones),
	    cmocka_unit_test(hashed),
	    cmocka_unit_test(keys_when_asked),
	    cmocka_unit_test(random_images),
	    cmocka_unit_test(a_large_set),
	    cmocka_unit_test(keys_that_would_not_be_redacted),
	    cmocka_unit_test(what_it_does_not_take),
	};

	return cmocka_run_group_tests(tests, write_key, remove_key);
}
