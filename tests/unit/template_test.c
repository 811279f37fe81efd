/* tests/unit/template_test.c - names with placeholders: what is refused, and what
 * comes out. */
#include "tests/unit/record_support.h"

#include "sinks/template.h"

static const struct origin origin = {.stream = "orders", .table = "Orders-1"};

static void
assert_name(const char *text, enum record_event event, const char *want)
{
	const struct record r = {.event = event};
	struct buf out = BUF_INIT(256);
	struct err e;

	if (template_check(text, &e) != 0)
		fail_msg("%s", e.text);
	template_write(text, &r, &origin, &out);
	assert_string_equal(buf_cstr(&out), want);
	buf_close(&out);
}

static void
placeholders(void **state)
{
	(void)state;
	assert_name("fixed", RECORD_INSERT, "fixed");
	assert_name("{table}", RECORD_INSERT, "Orders-1");
	assert_name("cdc.{stream}.{table}", RECORD_INSERT, "cdc.orders.Orders-1");
	assert_name("{table}{table}", RECORD_INSERT, "Orders-1Orders-1");
	assert_name("{event}", RECORD_INSERT, "insert");
	assert_name("{event}", RECORD_MODIFY, "modify");
	assert_name("{event}", RECORD_REMOVE, "remove");
	assert_name("{event}", RECORD_UNKNOWN, "change");
	assert_name("a{event}b", RECORD_REMOVE, "aremoveb");
}

static void
assert_refused(const char *text, const char *part)
{
	struct err e;

	assert_int_equal(template_check(text, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", e.text, part);
}

static void
refusals(void **state)
{
	(void)state;
	assert_refused("", "empty");
	assert_refused("a{tabel}", "did you mean {table}?");
	assert_refused("a{}", "unknown placeholder {}");
	assert_refused("a{zzzzzzzz}", "there are {table}, {stream} and {event}");
	assert_refused("a{table", "without its }");
	assert_refused("a}b", "without its {");
	assert_refused("{{table}}", "unknown placeholder");
}

static void
varies(void **state)
{
	struct buf out = BUF_INIT(64);

	(void)state;
	assert_true(template_varies("x.{event}"));
	assert_false(template_varies("{table}.{stream}"));
	/* No record is needed then. */
	template_write("{table}.{stream}", NULL, &origin, &out);
	assert_string_equal(buf_cstr(&out), "Orders-1.orders");
	buf_close(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(placeholders),
	    cmocka_unit_test(refusals),
	    cmocka_unit_test(varies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
