/* tests/unit/changes_test.c - which attribute paths differ. */
#include "tests/unit/record_support.h"

#include "record/value.h"

/* "path old new\n" for each; '-' for what is absent. */
static void
note(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct buf *out = arg;

	assert_non_null(path.p);
	buf_add_slice(out, path);
	buf_add_char(out, ' ');
	buf_add_slice(out, old_value.p != NULL ? old_value : SLICE_LIT("-"));
	buf_add_char(out, ' ');
	buf_add_slice(out, new_value.p != NULL ? new_value : SLICE_LIT("-"));
	buf_add_char(out, '\n');
}

static void
assert_changes(const char *old_image, const char *new_image, const char *want)
{
	struct buf out = BUF_INIT(1u << 20);

	changes_each(slice_of(old_image), slice_of(new_image), note, &out);
	assert_slice(buf_slice(&out), want);
	buf_close(&out);
}

static void
nothing_changed(void **state)
{
	(void)state;
	assert_changes("{}", "{}", "");
	assert_changes(NULL, NULL, "");
	assert_changes("{\"a\":{\"S\":\"x\"}}", "{\"a\":{\"S\":\"x\"}}", "");
	assert_changes("{\"a\":{\"S\":\"x\"},\"b\":{\"N\":\"1\"}}",
	    "{\"b\":{\"N\":\"1.0\"},\"a\":{\"S\":\"\\u0078\"}}", "");
	assert_changes("{\"a\":{\"SS\":[\"x\",\"y\"]}}", "{\"a\":{\"SS\":[\"y\",\"x\"]}}", "");
	assert_changes("{\"a\":{\"M\":{\"p\":{\"N\":\"1\"},\"q\":{\"L\":[]}}}}",
	    "{\"a\":{\"M\":{\"q\":{\"L\": []},\"p\":{\"N\":\"1e0\"}}}}", "");
}

static void
inserted_and_removed(void **state)
{
	static const char image[] = "{\"b\":{\"N\":\"1\"},\"a\":{\"M\":{\"x\":{\"N\":\"2\"}}}}";

	(void)state;
	assert_changes(NULL, image, "b - {\"N\":\"1\"}\na - {\"M\":{\"x\":{\"N\":\"2\"}}}\n");
	assert_changes(image, NULL, "b {\"N\":\"1\"} -\na {\"M\":{\"x\":{\"N\":\"2\"}}} -\n");
}

static void
order_is_old_then_new(void **state)
{
	(void)state;
	assert_changes("{\"c\":{\"N\":\"1\"},\"gone\":{\"N\":\"9\"},\"a\":{\"N\":\"1\"},\"same\":{"
		       "\"N\":\"5\"}}",
	    "{\"z\":{\"N\":\"7\"},\"a\":{\"N\":\"2\"},\"same\":{\"N\":\"5\"},\"c\":{\"N\":\"3\"},"
	    "\"y\":{\"N\":\"8\"}}",
	    "c {\"N\":\"1\"} {\"N\":\"3\"}\n"
	    "gone {\"N\":\"9\"} -\n"
	    "a {\"N\":\"1\"} {\"N\":\"2\"}\n"
	    "z - {\"N\":\"7\"}\n"
	    "y - {\"N\":\"8\"}\n");
}

static void
maps_are_walked_and_nothing_else(void **state)
{
	(void)state;
	assert_changes("{\"m\":{\"M\":{\"a\":{\"N\":\"1\"},\"b\":{\"M\":{\"c\":{\"S\":\"x\"}}},"
		       "\"d\":{\"S\":\"\"}}}}",
	    "{\"m\":{\"M\":{\"a\":{\"N\":\"2\"},\"b\":{\"M\":{\"c\":{\"S\":\"y\"},\"e\":{\"NULL\":"
	    "true}}}}}}",
	    "m.a {\"N\":\"1\"} {\"N\":\"2\"}\n"
	    "m.b.c {\"S\":\"x\"} {\"S\":\"y\"}\n"
	    "m.b.e - {\"NULL\":true}\n"
	    "m.d {\"S\":\"\"} -\n");
	assert_changes("{\"l\":{\"L\":[{\"N\":\"1\"},{\"N\":\"2\"}]}}",
	    "{\"l\":{\"L\":[{\"N\":\"1\"},{\"N\":\"3\"}]}}",
	    "l {\"L\":[{\"N\":\"1\"},{\"N\":\"2\"}]} {\"L\":[{\"N\":\"1\"},{\"N\":\"3\"}]}\n");
	assert_changes(
	    "{\"t\":{\"M\":{}}}", "{\"t\":{\"S\":\"m\"}}", "t {\"M\":{}} {\"S\":\"m\"}\n");
	assert_changes("{\"s\":{\"NS\":[\"1\"]}}", "{\"s\":{\"NS\":[\"1\",\"2\"]}}",
	    "s {\"NS\":[\"1\"]} {\"NS\":[\"1\",\"2\"]}\n");
}

static void
names_that_need_quotes(void **state)
{
	static const struct {
		const char *raw, *shown;
	} cases[] = {
	    {"plain", "plain"},
	    {"with space", "with space"},
	    {"caf\\u00e9", "caf\xc3\xa9"},
	    {"\xc3\xa9", "\xc3\xa9"},
	    {"a\\/b", "a/b"},
	    {"", "\"\""},
	    {"a.b", "\"a.b\""},
	    {"a[0]", "\"a[0]\""},
	    {"a\\u002eb", "\"a.b\""},
	    {"q\\\"", "\"q\\\"\""},
	    {"back\\\\slash", "\"back\\\\slash\""},
	    {"\\u0009", "\"\\t\""},
	    {"\\ud800", "\"\\ud800\""},
	};
	char old_image[128], new_image[128], want[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(old_image, sizeof old_image, "{\"%s\":{\"N\":\"1\"}}", cases[i].raw);
		(void)snprintf(new_image, sizeof new_image, "{\"%s\":{\"N\":\"2\"}}", cases[i].raw);
		(void)snprintf(
		    want, sizeof want, "%s {\"N\":\"1\"} {\"N\":\"2\"}\n", cases[i].shown);
		assert_changes(old_image, new_image, want);
		(void)snprintf(old_image, sizeof old_image,
		    "{\"%s\":{\"M\":{\"in\":{\"M\":{\"%s\":{\"N\":\"1\"}}}}}}", cases[i].raw,
		    cases[i].raw);
		(void)snprintf(new_image, sizeof new_image,
		    "{\"%s\":{\"M\":{\"in\":{\"M\":{\"%s\":{\"N\":\"2\"}}}}}}", cases[i].raw,
		    cases[i].raw);
		(void)snprintf(want, sizeof want, "%s.in.%s {\"N\":\"1\"} {\"N\":\"2\"}\n",
		    cases[i].shown, cases[i].shown);
		assert_changes(old_image, new_image, want);
	}
}

static void
values_that_are_no_attribute_values(void **state)
{
	(void)state;
	assert_changes("{\"a\":1,\"b\":{}}", "{\"a\":2,\"b\":{}}", "a 1 2\n");
	assert_changes("[1]", "{\"a\":2}", "a - 2\n");
}

static void
count_only(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	assert_non_null(path.p);
	assert_true(old_value.p != NULL || new_value.p != NULL);
	++*(size_t *)arg;
}

/* Large images in opposite order, some attributes changed, none quadratic. */
static void
large_images(void **state)
{
	struct buf a = BUF_INIT(64u << 20), b = BUF_INIT(64u << 20);
	size_t n = 30000, changed = 0;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		buf_addf(&a, "%c\"attribute-%zu\":{\"N\":\"%zu\"}", i ? ',' : '{', i, i);
		buf_addf(&b, "%c\"attribute-%zu\":{\"N\":\"%zu\"}", i ? ',' : '{', n - 1 - i,
		    (n - 1 - i) % 100 == 7 ? 0 : n - 1 - i);
	}
	buf_add_char(&a, '}');
	buf_add_char(&b, '}');
	changes_each(buf_slice(&a), buf_slice(&b), count_only, &changed);
	assert_int_equal(changed, n / 100);
	buf_close(&a);
	buf_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_changed),
	    cmocka_unit_test(inserted_and_removed),
	    cmocka_unit_test(order_is_old_then_new),
	    cmocka_unit_test(maps_are_walked_and_nothing_else),
	    cmocka_unit_test(names_that_need_quotes),
	    cmocka_unit_test(values_that_are_no_attribute_values),
	    cmocka_unit_test(large_images),
	};

	return cmocka_run_group_tests_name("changes", tests, NULL, NULL);
}
