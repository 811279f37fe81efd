/* tests/unit/key_test.c - one item, one text. */
#include "tests/unit/record_support.h"

#include "record/key.h"

static char pk[] = "pk", sk[] = "sk";
static const struct key_schema hash_and_range = {.names = {pk, sk}};
static const struct key_schema hash_only = {.names = {pk, NULL}};
static const struct key_schema no_names;

static void
assert_key(const char *keys, const struct key_schema *schema, const char *want)
{
	struct record r = {.keys = slice_of(keys)};
	struct buf out = BUF_INIT(1u << 20);

	key_write(&r, schema, &out);
	assert_false(out.failed);
	assert_slice(buf_slice(&out), want);
	buf_close(&out);
}

static void
attributes_in_schema_order(void **state)
{
	static const char forward[] = "{\"pk\":{\"S\":\"o-1\"},\"sk\":{\"N\":\"12.50\"}}";
	static const char backward[] = "{\"sk\":{\"N\":\"12.50\"},\"pk\":{\"S\":\"o-1\"}}";
	static const struct key_schema turned = {.names = {sk, pk}};

	(void)state;
	assert_key(forward, &hash_and_range, "[\"o-1\",12.5]");
	assert_key(backward, &hash_and_range, "[\"o-1\",12.5]");
	assert_key(forward, &turned, "[12.5,\"o-1\"]");
	assert_key("{\"p\\u006b\":{\"S\":\"a\"}}", &hash_only, "[\"a\"]");
}

/* Schema unknown or not that of this item: byte order of the names. */
static void
attributes_in_name_order(void **state)
{
	static const char keys[] = "{\"z\":{\"S\":\"1\"},\"a\":{\"S\":\"2\"}}";

	(void)state;
	assert_key(keys, NULL, "[\"2\",\"1\"]");
	assert_key(keys, &no_names, "[\"2\",\"1\"]");
	assert_key(keys, &hash_and_range, "[\"2\",\"1\"]");
	assert_key("{\"sk\":{\"S\":\"1\"},\"pk\":{\"S\":\"2\"}}", &hash_only, "[\"2\",\"1\"]");
	assert_key("{\"pk\":{\"S\":\"1\"}}", &hash_and_range, "[\"1\"]");
	assert_key("{\"pk\":{\"S\":\"1\"},\"pk\":{\"S\":\"2\"}}", &hash_and_range, "[\"1\",\"2\"]");
	assert_key(
	    "{\"c\":{\"N\":\"3\"},\"\\u0062\":{\"N\":\"2\"},\"a\":{\"N\":\"1\"}}", NULL, "[1,2,3]");
	assert_key("{}", NULL, "[]");
}

static void
equal_values_one_spelling(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
	    {"{\"S\":\"\"}", "[\"\"]"}, {"{\"S\":\"\\u006f\\/1\"}", "[\"o/1\"]"},
	    {"{\"S\":\"\\\"\\\\\\u000A\\u0001\\u001F\\b\"}", "[\"\\\"\\\\\\n\\u0001\\u001f\\b\"]"},
	    {"{\"S\":\"\\u00E9\\ud83d\\ude00\"}", "[\"\xc3\xa9\xf0\x9f\x98\x80\"]"},
	    {"{\"S\":\"\\uD8aB\"}", "[\"\\ud8ab\"]"}, {"{\"S\":\"\\u0000\"}", "[\"\\u0000\"]"},
	    {"{\"S\":\"\x7f\"}", "[\"\x7f\"]"}, {"{\"N\":\"0100.00\"}", "[100]"},
	    {"{\"N\":\"-0.0\"}", "[0]"}, {"{\"N\":\"1\\u0032\"}", "[12]"},
	    {"{\"N\":\"abc\"}", "[\"abc\"]"}, {"{\"B\":\"AQ==\"}", "[\"AQ==\"]"},
	    {"{\"B\":\"AR==\"}", "[\"AQ==\"]"}, {"{\"B\":\"AQJ=\"}", "[\"AQI=\"]"},
	    {"{\"B\":\"A\\/+\\u002f\"}", "[\"A/+/\"]"}, {"{\"B\":\"\"}", "[\"\"]"},
	    {"{\"B\":\"AQ\"}", "[\"AQ\"]"},	      /* not padded: as it came */
	    {"{\"BOOL\":true}", "[{\"BOOL\":true}]"}, /* not a key type: as it came */
	};
	char keys[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(keys, sizeof keys, "{\"pk\":%s}", cases[i].value);
		assert_key(keys, &hash_only, cases[i].want);
		assert_key(keys, NULL, cases[i].want);
	}
}

static void
appends_and_respects_the_maximum(void **state)
{
	struct record r = {.keys = SLICE_LIT("{\"pk\":{\"B\":\"AR==\"}}")};
	struct buf out = BUF_INIT(64);

	(void)state;
	buf_add_str(&out, "before ");
	key_write(&r, &hash_only, &out);
	assert_slice(buf_slice(&out), "before [\"AQ==\"]");
	buf_close(&out);
	for (size_t max = 0; max < 8; max++) {
		out = BUF_INIT(max);
		key_write(&r, &hash_only, &out);
		assert_true(out.failed);
		buf_close(&out);
	}
}

/* Written into stores and relied on across versions: never to change. */
static void
hash_is_stable(void **state)
{
	unsigned ones = 0;

	(void)state;
	assert_int_equal(key_hash(SLICE_LIT("[\"o-1\",12.5]")), UINT64_C(0x2a7513506fd92d77));
	assert_int_equal(key_hash(SLICE_LIT("")), UINT64_C(0xfdbdf6ac4fc52e7f));
	for (unsigned i = 0; i < 1000; i++) {
		char text[16];
		int n = snprintf(text, sizeof text, "[%u]", i);

		ones +=
		    (unsigned)__builtin_popcountll(key_hash((struct slice){text, (size_t)n}) >> 48);
	}
	/* 16,000 bits, half of them set give or take 6 sigma. */
	assert_in_range(ones, 7620, 8380);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(attributes_in_schema_order),
	    cmocka_unit_test(attributes_in_name_order),
	    cmocka_unit_test(equal_values_one_spelling),
	    cmocka_unit_test(appends_and_respects_the_maximum),
	    cmocka_unit_test(hash_is_stable),
	};

	return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}
