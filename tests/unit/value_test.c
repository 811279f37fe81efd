/* tests/unit/value_test.c - walkers, strings, numbers and equality of values. */
#include "tests/unit/record_support.h"

#include "record/text.h"
#include "record/value.h"

static void
check_json(void **state)
{
	(void)state;
	assert_true(json_check(SLICE_LIT(" {\"a\":[1,{}]} ")));
	assert_true(json_check(SLICE_LIT("\"\\ud800\"")));
	assert_false(json_check(SLICE_LIT("{} {}")));
	assert_false(json_check(SLICE_LIT("")));
	assert_false(json_check(SLICE_NONE));
	assert_false(json_check(SLICE_LIT("[1,]")));
}

static void
walk_members_and_elements(void **state)
{
	struct json_iter it =
	    json_iter(SLICE_LIT(" { \"a\" : 1 , \"b\\n\":[2, 3],\"\":{\"x\":\"}\"} } "));
	struct slice name, value;

	(void)state;
	assert_true(json_next(&it, &name, &value));
	assert_slice(name, "a");
	assert_slice(value, "1");
	assert_true(json_next(&it, &name, &value));
	assert_slice(name, "b\\n");
	assert_slice(value, "[2, 3]");
	assert_true(json_next(&it, &name, &value));
	assert_slice(name, "");
	assert_slice(value, "{\"x\":\"}\"}");
	assert_false(json_next(&it, &name, &value));
	assert_false(json_next(&it, &name, &value));
	it = json_iter(SLICE_LIT("[[],\"]\",null]"));
	assert_true(json_next(&it, &name, &value));
	assert_slice(name, NULL);
	assert_slice(value, "[]");
	assert_true(json_next(&it, &name, &value));
	assert_slice(value, "\"]\"");
	assert_true(json_next(&it, &name, &value));
	assert_slice(value, "null");
	assert_false(json_next(&it, &name, &value));
}

/* Cut anywhere, in memory that ends there, the walkers stop without a read too far. */
static void
walkers_stop_on_cut_bytes(void **state)
{
	static const char whole[] =
	    "{\"m\":{\"M\":{\"k\\u0041\":{\"SS\":[\"a\\n\",\"b\"]},\"n\":{\"N\":\"1.5\"}}},"
	    "\"b\":{\"B\":\"AQ==\"},\"l\":{\"L\":[{\"NULL\":true}]}}";

	(void)state;
	for (size_t n = 0; n < sizeof whole; n++) {
		struct buf b = exact_body((struct slice){whole, n});
		struct slice cut = {b.p, n};
		struct json_iter it = json_iter(cut);
		struct slice name, value, inner;

		while (json_next(&it, &name, &value)) {
			assert_true(value.p >= b.p && value.p + value.n <= b.p + n);
			(void)value_of(value, &inner);
			(void)value_of((struct slice){value.p, value.n / 2}, &inner);
			(void)value_eq(value, (struct slice){value.p, value.n - 1});
		}
		(void)value_member(cut, "l");
		assert_int_equal(json_check(cut), n == sizeof whole - 1);
		buf_close(&b);
	}
}

static void
unescape(void **state)
{
	static const struct {
		const char *raw, *text;
		size_t n; /* of text; 0: strlen */
	} cases[] = {
	    {"", "", 0},
	    {"plain", "plain", 0},
	    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t", 0},
	    {"a\\u0000b", "a\0b", 3},
	    {"\\u00e9\\u20AC\\uD83D\\ude00", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 0},
	    {"\\ud800", "\xef\xbf\xbd", 0},
	    {"\\ud800\\ud83d\\ude00", "\xef\xbf\xbd\xf0\x9f\x98\x80", 0},
	    {"\\udc00x", "\xef\xbf\xbdx", 0},
	    {"\\ud83d\\n", "\xef\xbf\xbd\n", 0},
	    {"\xc3\xa9\\u007f\\u0080", "\xc3\xa9\x7f\xc2\x80", 0},
	    /* Never from a page; must only stay inside. */
	    {"\\", "\xef\xbf\xbd", 0},
	    {"\\u12", "\xef\xbf\xbd", 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf in = exact_body(slice_of(cases[i].raw));
		struct slice raw = buf_slice(&in);
		struct buf out = BUF_INIT(1000);
		size_t n = cases[i].n != 0 ? cases[i].n : strlen(cases[i].text);

		json_unescape(raw, &out);
		assert_int_equal(out.n, n);
		assert_true(n == 0 || memcmp(out.p, cases[i].text, n) == 0);
		if (n == strlen(cases[i].text) && strstr(cases[i].text, "\xef\xbf\xbd") == NULL)
			assert_true(json_string_is(raw, cases[i].text));
		assert_false(json_string_is(raw, "something else"));
		buf_close(&out);
		buf_close(&in);
	}
}

static void
strings_by_meaning(void **state)
{
	static const struct {
		const char *a, *b;
		int cmp;
	} cases[] = {
	    {"", "", 0},
	    {"a", "b", -1},
	    {"a", "aa", -1},
	    {"\\u0061", "a", 0},
	    {"\\u00E9", "\xc3\xa9", 0},
	    {"\\/", "/", 0},
	    {"\\n", "\\u000a", 0},
	    {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 0},
	    {"\\uffff", "\xf0\x9f\x98\x80", -1}, /* not by UTF-16 units */
	    {"\xc3\xa9", "\\u00ea", -1},
	    {"\\ud800", "\\ud801", -1},
	    {"\\ud800", "\\uD800", 0},
	    {"\\u0000", "", 1},
	    {"a\\u0000", "a", 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);
		int r = text_cmp(a, b);

		if ((r > 0) - (r < 0) != cases[i].cmp)
			fail_msg("%s against %s: %d", cases[i].a, cases[i].b, r);
		assert_true((text_cmp(b, a) > 0) == (r < 0));
		assert_int_equal(json_string_eq(a, b), r == 0);
	}
	assert_true(json_string_is(SLICE_LIT("Re\\u0063ords"), "Records"));
	assert_false(json_string_is(SLICE_LIT("Re\\u0063ord"), "Records"));
	assert_false(json_string_is(SLICE_LIT("Re\\u0063ordss"), "Records"));
	assert_false(json_string_is(SLICE_LIT("a\\u0000"), "a"));
	/* The plain text is no raw one: its backslash is a backslash. */
	assert_true(json_string_is(SLICE_LIT("a\\\\n"), "a\\n"));
	assert_false(json_string_is(SLICE_LIT("a\\n"), "a\\n"));
}

static void
value_types(void **state)
{
	static const struct {
		const char *json;
		enum value_type type;
		const char *inner;
	} cases[] = {
	    {"{\"S\":\"\"}", VALUE_S, ""},
	    {"{\"S\":\"a\\n\"}", VALUE_S, "a\\n"},
	    {"{\"\\u0053\":\"a\"}", VALUE_S, "a"},
	    {" { \"N\" : \"1\" } ", VALUE_N, "1"},
	    {"{\"B\":\"AQ==\"}", VALUE_B, "AQ=="},
	    {"{\"BOOL\":false}", VALUE_BOOL, "false"},
	    {"{\"NULL\":true}", VALUE_NULL, "true"},
	    {"{\"M\":{}}", VALUE_M, "{}"},
	    {"{\"L\":[1]}", VALUE_L, "[1]"},
	    {"{\"SS\":[\"a\"]}", VALUE_SS, "[\"a\"]"},
	    {"{\"NS\":[\"1\"]}", VALUE_NS, "[\"1\"]"},
	    {"{\"BS\":[]}", VALUE_BS, "[]"},
	    {"{}", VALUE_INVALID, NULL},
	    {"{\"S\":1}", VALUE_INVALID, NULL},
	    {"{\"N\":1}", VALUE_INVALID, NULL},
	    {"{\"M\":[]}", VALUE_INVALID, NULL},
	    {"{\"L\":{}}", VALUE_INVALID, NULL},
	    {"{\"BOOL\":\"true\"}", VALUE_INVALID, NULL},
	    {"{\"NULL\":null}", VALUE_INVALID, NULL},
	    {"{\"X\":\"a\"}", VALUE_INVALID, NULL},
	    {"{\"s\":\"a\"}", VALUE_INVALID, NULL},
	    {"{\"S\":\"a\",\"N\":\"1\"}", VALUE_INVALID, NULL},
	    {"\"S\"", VALUE_INVALID, NULL},
	    {"[\"S\"]", VALUE_INVALID, NULL},
	    {"", VALUE_INVALID, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice inner = SLICE_NONE;

		if (value_of(slice_of(cases[i].json), &inner) != cases[i].type)
			fail_msg("%s", cases[i].json);
		if (cases[i].inner != NULL)
			assert_slice(inner, cases[i].inner);
	}
}

static void
member_by_name(void **state)
{
	struct slice o = SLICE_LIT("{\"a\":1,\"a\":2,\"\\u00e9\":3,\"x\":{\"b\":4}}");

	(void)state;
	assert_slice(value_member(o, "a"), "1");
	assert_slice(value_member(o, "\xc3\xa9"), "3");
	assert_slice(value_member(o, "b"), NULL);
	assert_slice(value_member(SLICE_NONE, "b"), NULL);
	assert_slice(value_member(SLICE_LIT("[1]"), ""), NULL);
}

static void
canonical_numbers(void **state)
{
	static const struct {
		const char *text, *want; /* NULL: no number */
	} cases[] = {
	    {"0", "0"},
	    {"-0", "0"},
	    {"0.000", "0"},
	    {"0E10", "0"},
	    {"+0", "0"},
	    {"1", "1"},
	    {"1.0", "1"},
	    {"01", "1"},
	    {"1e0", "1"},
	    {"+1", "1"},
	    {"10E-1", "1"},
	    {"0.1E1", "1"},
	    {"1.", "1"},
	    {"-1.50", "-1.5"},
	    {".5", "0.5"},
	    {"5e-1", "0.5"},
	    {"-.050", "-0.05"},
	    {"12.5", "12.5"},
	    {"0.00125E+4", "12.5"},
	    {"1e3", "1000"},
	    {"100", "100"},
	    {"1.20e2", "120"},
	    {"12345678901234567890123456789012345678", "12345678901234567890123456789012345678"},
	    {"1e39", "1000000000000000000000000000000000000000"},
	    {"1e40", "1E+40"},
	    {"-0.00000000000000000000000000000000001", "-0.00000000000000000000000000000000001"},
	    {"1e-39", "0.000000000000000000000000000000000000001"},
	    {"1e-40", "1E-40"},
	    {"1E-130", "1E-130"},
	    {"9.9999999999999999999999999999999999999E+125",
		"9.9999999999999999999999999999999999999E+125"},
	    {"99999999999999999999999999999999999999e88",
		"9.9999999999999999999999999999999999999E+125"},
	    {"12.5e100", "1.25E+101"},
	    {"1e0000000000000000000005", "100000"},
	    {"", NULL},
	    {"-", NULL},
	    {".", NULL},
	    {"e1", NULL},
	    {"1e", NULL},
	    {"1e+", NULL},
	    {"1x", NULL},
	    {"NaN", NULL},
	    {"Infinity", NULL},
	    {"1.2.3", NULL},
	    {"1 ", NULL},
	    {" 1", NULL},
	    {"0x1", NULL},
	    {"1e9999999999", NULL},
	    {"--1", NULL},
	    {"1e1e1", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT(1000);
		bool ok = number_canonical(slice_of(cases[i].text), &out);

		assert_int_equal(ok, cases[i].want != NULL);
		assert_slice(buf_slice(&out), ok ? cases[i].want : cases[i].text);
		buf_close(&out);
	}
}

static void
equality(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
	    {"{\"S\":\"a\"}", "{ \"S\" : \"\\u0061\" }", true},
	    {"{\"S\":\"1\"}", "{\"N\":\"1\"}", false},
	    {"{\"S\":\"a\"}", "{\"S\":\"A\"}", false},
	    {"{\"N\":\"1.0\"}", "{\"N\":\"1\"}", true},
	    {"{\"N\":\"1e2\"}", "{\"N\":\"100\"}", true},
	    {"{\"N\":\"1\\u0030\"}", "{\"N\":\"1e1\"}", true},
	    {"{\"N\":\"12345678901234567890123456789012345678\"}",
		"{\"N\":\"12345678901234567890123456789012345679\"}", false},
	    {"{\"N\":\"-1\"}", "{\"N\":\"1\"}", false},
	    {"{\"N\":\"x\"}", "{\"N\":\"y\"}", false},
	    {"{\"B\":\"AQ==\"}", "{\"B\":\"AR==\"}", true},
	    {"{\"B\":\"a\\/b+\"}", "{\"B\":\"a/b\\u002b\"}", true},
	    {"{\"B\":\"AQ==\"}", "{\"B\":\"Ag==\"}", false},
	    {"{\"B\":\"\"}", "{\"B\":\"AA==\"}", false},
	    {"{\"BOOL\":true}", "{\"BOOL\": true}", true},
	    {"{\"BOOL\":true}", "{\"BOOL\":false}", false},
	    {"{\"NULL\":true}", "{\"NULL\": true}", true},
	    {"{\"L\":[{\"N\":\"1\"},{\"S\":\"\"}]}", "{\"L\":[{\"N\":\"1.\"},{\"S\":\"\"}]}", true},
	    {"{\"L\":[{\"N\":\"1\"},{\"N\":\"2\"}]}", "{\"L\":[{\"N\":\"2\"},{\"N\":\"1\"}]}",
		false},
	    {"{\"L\":[{\"N\":\"1\"}]}", "{\"L\":[]}", false},
	    {"{\"L\":[]}", "{\"L\":[{\"N\":\"1\"}]}", false},
	    {"{\"M\":{\"a\":{\"N\":\"1\"},\"b\":{\"S\":\"x\"}}}",
		"{\"M\":{\"\\u0062\":{\"S\":\"x\"},\"a\":{\"N\":\"1\"}}}", true},
	    {"{\"M\":{\"a\":{\"N\":\"1\"}}}", "{\"M\":{\"b\":{\"N\":\"1\"}}}", false},
	    {"{\"M\":{\"a\":{\"N\":\"1\"}}}", "{\"M\":{}}", false},
	    {"{\"M\":{}}", "{\"M\":{\"a\":{\"N\":\"1\"}}}", false},
	    {"{\"SS\":[\"a\",\"b\"]}", "{\"SS\":[\"b\",\"\\u0061\"]}", true},
	    {"{\"SS\":[\"a\",\"b\"]}", "{\"SS\":[\"a\",\"c\"]}", false},
	    {"{\"SS\":[\"a\"]}", "{\"SS\":[\"a\",\"b\"]}", false},
	    {"{\"SS\":[\"\\ud800\"]}", "{\"SS\":[\"\\ud801\"]}", false},
	    {"{\"NS\":[\"1\",\"2\"]}", "{\"NS\":[\"2.0\",\"1e0\"]}", true},
	    {"{\"NS\":[\"1\",\"2\"]}", "{\"NS\":[\"1\",\"3\"]}", false},
	    {"{\"NS\":[\"1\",\"x\"]}", "{\"NS\":[\"x\",\"1\"]}", false},
	    {"{\"BS\":[\"AQ==\",\"Ag==\"]}", "{\"BS\":[\"Ag==\",\"AR==\"]}", true},
	    {"{\"BS\":[\"AQ==\"]}", "{\"BS\":[\"Ag==\"]}", false},
	    {"{\"SS\":[\"a\"]}", "{\"BS\":[\"a\"]}", false},
	    {"{\"X\":1}", "{\"X\":1}", true},
	    {"{\"X\":1}", "{\"X\": 1}", false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);

		if (value_eq(a, b) != cases[i].same || value_eq(b, a) != cases[i].same)
			fail_msg("%s against %s", cases[i].a, cases[i].b);
		assert_true(value_eq(a, a));
	}
}

/* n members or elements, in rising or falling order. */
static struct buf
many(const char *head, const char *element, const char *tail, size_t n, bool falling)
{
	struct buf b = BUF_INIT(64u << 20);

	buf_add_str(&b, head);
	for (size_t i = 0; i < n; i++) {
		char number[24];
		const char *at = strchr(element, '#');

		(void)snprintf(number, sizeof number, "%zu", falling ? n - i : i + 1);
		if (i != 0)
			buf_add_char(&b, ',');
		buf_add(&b, element, (size_t)(at - element));
		buf_add_str(&b, number);
		buf_add_str(&b, at + 1);
	}
	buf_add_str(&b, tail);
	return b;
}

/* Order must not make comparison quadratic: 40,000 of everything, back to front,
 * takes well under a second even under sanitizers, where n * n would take hours. */
static void
equality_of_large_values_in_another_order(void **state)
{
	static const struct {
		const char *head, *element, *tail;
	} cases[] = {
	    {"{\"M\":{", "\"name-#\":{\"S\":\"x\"}", "}}"},
	    {"{\"SS\":[", "\"name-#\"", "]}"},
	    {"{\"NS\":[", "\"#\"", "]}"},
	    {"{\"SS\":[", "\"\\u0061#\"", "]}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t n = 10; n <= 40000; n *= 20) {
			struct buf a =
			    many(cases[i].head, cases[i].element, cases[i].tail, n, false);
			struct buf b =
			    many(cases[i].head, cases[i].element, cases[i].tail, n, true);

			assert_true(value_eq(buf_slice(&a), buf_slice(&b)));
			b.p[strlen(cases[i].head) + 2] ^= 1;
			assert_false(value_eq(buf_slice(&a), buf_slice(&b)));
			buf_close(&a);
			buf_close(&b);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(check_json),
	    cmocka_unit_test(walk_members_and_elements),
	    cmocka_unit_test(walkers_stop_on_cut_bytes),
	    cmocka_unit_test(unescape),
	    cmocka_unit_test(strings_by_meaning),
	    cmocka_unit_test(value_types),
	    cmocka_unit_test(member_by_name),
	    cmocka_unit_test(canonical_numbers),
	    cmocka_unit_test(equality),
	    cmocka_unit_test(equality_of_large_values_in_another_order),
	};

	return cmocka_run_group_tests_name("value", tests, NULL, NULL);
}
