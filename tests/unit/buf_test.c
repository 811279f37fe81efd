/* tests/unit/buf_test.c - growth, the hard maximum, escapes and base64. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"

static void
grows_and_keeps_bytes(void **state)
{
	struct buf b = BUF_INIT(100000);

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		buf_add_char(&b, (char)(i * 7));
	assert_false(b.failed);
	assert_int_equal(b.n, 100000);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(b.p[i], (char)(i * 7));
	buf_add_char(&b, 'x');
	assert_true(b.failed);
	assert_int_equal(b.n, 100000);
	buf_close(&b);
}

static void
past_the_maximum_nothing_is_added(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	buf_add_str(&b, "12345");
	buf_add_str(&b, "6789");
	assert_true(b.failed);
	assert_true(slice_is(buf_slice(&b), "12345"));
	buf_add_str(&b, "6");
	assert_true(slice_is(buf_slice(&b), "12345"));
	assert_string_equal(buf_cstr(&b), "");
	buf_reset(&b);
	assert_false(b.failed);
	buf_add_str(&b, "1234567");
	assert_string_equal(buf_cstr(&b), "1234567");
	assert_int_equal(b.n, 7);
	assert_false(buf_reserve(&b, SIZE_MAX));
	buf_close(&b);
	assert_null(b.p);
	assert_true(slice_is(buf_slice(&b), ""));
	assert_non_null(buf_slice(&b).p);
}

static void
formats(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	buf_addf(&b, "%d-%s", 42, "x");
	buf_addf(&b, "%0300d", 7);
	assert_int_equal(b.n, 304);
	assert_memory_equal(b.p, "42-x000", 7);
	assert_int_equal(b.p[303], '7');
	buf_close(&b);
}

static void
expect_json(const char *text, size_t n, const char *expected)
{
	struct buf b = BUF_INIT(1000);

	buf_add_json_string(&b, (struct slice){text, n});
	assert_string_equal(buf_cstr(&b), expected);
	buf_close(&b);
}

static void
json_strings(void **state)
{
	(void)state;
	expect_json("", 0, "\"\"");
	expect_json("a\"b\\c/", 6, "\"a\\\"b\\\\c/\"");
	expect_json("\b\f\n\r\t", 5, "\"\\b\\f\\n\\r\\t\"");
	expect_json("\0\x1f\x0b\x7f", 4, "\"\\u0000\\u001f\\u000b\x7f\"");
	expect_json(
	    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
	expect_json("a\xff"
		    "b\xe2\x82",
	    5,
	    "\"a\xef\xbf\xbd"
	    "b\xef\xbf\xbd\xef\xbf\xbd\"");
}

/* Every byte string comes back through a JSON parser: the oracle is jansson. */
static void
json_strings_read_back(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	for (unsigned c = 1; c < 0x80; c++) {
		char text[4] = {'x', (char)c, 'y', '\0'};
		json_t *j;

		buf_reset(&b);
		buf_add_json_string(&b, slice_of(text));
		j = json_loads(buf_cstr(&b), JSON_DECODE_ANY, NULL);
		assert_non_null(j);
		assert_string_equal(json_string_value(j), text);
		json_decref(j);
	}
	buf_close(&b);
}

static void
visible_text_cannot_drive_a_terminal(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	buf_add_visible(&b,
	    SLICE_LIT("\033[2J\x7f\xc2\x9b"
		      "1m\r\n \xe2\x80\xae\xef\xbb\xbf\xc3\xa9"
		      "\xf0\x9f\x98\x80\""));
	assert_string_equal(buf_cstr(&b),
	    "\\u001b[2J\\u007f\\u009b1m\\r\\n \\u202e\\ufeff\xc3\xa9"
	    "\xf0\x9f\x98\x80\\\"");
	buf_close(&b);
}

static void
base64(void **state)
{
	static const struct {
		const char *in, *out;
	} t[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="},
	    {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe\xfd", "//79"}};
	struct buf b = BUF_INIT(100);
	struct buf small = BUF_INIT(7);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		buf_reset(&b);
		buf_add_base64(&b, t[i].in, strlen(t[i].in));
		assert_string_equal(buf_cstr(&b), t[i].out);
	}
	buf_add_base64(&small, "foob", 4);
	assert_true(small.failed);
	assert_int_equal(small.n, 0);
	buf_close(&small);
	buf_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(grows_and_keeps_bytes),
	    cmocka_unit_test(past_the_maximum_nothing_is_added),
	    cmocka_unit_test(formats),
	    cmocka_unit_test(json_strings),
	    cmocka_unit_test(json_strings_read_back),
	    cmocka_unit_test(visible_text_cannot_drive_a_terminal),
	    cmocka_unit_test(base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
