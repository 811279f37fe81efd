/* tests/unit/transform_path_test.c - attribute paths: what is one, what it leads to,
 * which two could lead to one place.
 */
#include "tests/unit/record_support.h"

#include "base/limits.h"
#include "record/path.h"

static struct path *
parse(const char *text, unsigned flags)
{
	struct path *p;
	struct err e;

	if (path_parse(&p, text, flags, &e) != 0)
		fail_msg("%s: %s", text, e.text);
	assert_string_equal(p->text, text);
	return p;
}

static void
assert_refused(const char *text, unsigned flags, const char *why)
{
	struct path *p;
	struct err e;

	if (path_parse(&p, text, flags, &e) == 0)
		fail_msg("%s was taken", text);
	assert_null(p);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, why) == NULL)
		fail_msg("have: %s\nwant: %s", e.text, why);
}

static void
what_no_item_can_have_is_refused(void **state)
{
	struct buf deep = BUF_INIT(1000);

	(void)state;
	assert_refused("", PATH_WILD, "a name is missing");
	assert_refused("a.", PATH_WILD, "a name is missing");
	assert_refused("a..b", PATH_WILD, "a name is missing");
	assert_refused("[0]", PATH_WILD, "a name is missing");
	assert_refused("a.\"\"", PATH_WILD, "empty name");
	assert_refused("\"\"", PATH_WILD, "empty name");
	assert_refused("\"\\u0000\"", PATH_WILD, "U+0000");
	assert_refused("\"a", PATH_WILD, "a quote is open");
	assert_refused("\"\\x\"", PATH_WILD, "JSON string");
	assert_refused("a[x]", PATH_WILD, "number of an element");
	assert_refused("a[400001]", PATH_WILD, "no list has");
	assert_refused("a[99999999999999999999]", PATH_WILD, "no list has");
	assert_refused("a]b", PATH_WILD, "a name is followed by");
	assert_refused("a*b*", PATH_WILD, "at most one star");
	assert_refused("a*", 0, "a star would stand for any name");
	assert_refused("a[*]", 0, "[*] would be");
	assert_refused(".", PATH_WILD, "a name is missing");
	for (int i = 0; i < 32; i++)
		buf_add_str(&deep, i == 0 ? "a" : i % 2 ? "[0]" : ".b");
	path_close(parse(buf_cstr(&deep), 0));
	buf_add_str(&deep, ".c");
	assert_refused(buf_cstr(&deep), 0, "deeper than 32");
	buf_close(&deep);
}

static void
names_are_read_as_written(void **state)
{
	struct path *p = parse("a.\"b.c*\\\"\\u00e9\"[3].x-y z", 0);

	(void)state;
	assert_int_equal(p->count, 4);
	assert_string_equal(p->steps[1].name, "b.c*\"\xc3\xa9");
	assert_int_equal(p->steps[1].kind, PATH_NAME);
	assert_int_equal(p->steps[2].kind, PATH_INDEX);
	assert_int_equal(p->steps[2].index, 3);
	assert_string_equal(p->steps[3].name, "x-y z");
	path_close(p);
	p = parse("a.*.aws:rep:*[*].*_at", PATH_WILD);
	assert_int_equal(p->count, 5);
	assert_int_equal(p->steps[1].kind, PATH_LIKE);
	assert_int_equal(p->steps[1].name_n + p->steps[1].tail_n, 0);
	assert_string_equal(p->steps[2].name, "aws:rep:");
	assert_int_equal(p->steps[3].kind, PATH_EACH);
	assert_string_equal(p->steps[4].tail, "_at");
	path_close(p);
	p = parse(".", PATH_WHOLE);
	assert_int_equal(p->count, 0);
	path_close(p);
	path_close(NULL);
}

static void
assert_leads(const char *text, const char *want)
{
	static const char image[] = "{\"a\":{\"M\":{\"b.c\":{\"L\":[{\"N\":\"1\"},{\"S\":\"x\"}]},"
				    "\"\":{\"S\":\"empty\"}}},\"caf\\u00e9\":{\"S\":\"y\"}}";
	struct path *p = parse(text, PATH_EMPTY);

	assert_slice(path_find(p, slice_of(image)), want);
	path_close(p);
}

static void
they_lead_into_an_item(void **state)
{
	(void)state;
	assert_leads("a.\"b.c\"[1]", "{\"S\":\"x\"}");
	assert_leads("a.\"b.c\"[2]", NULL);
	assert_leads("a.b", NULL);
	assert_leads("a[0]", NULL);
	assert_leads("a.\"b.c\".d", NULL);
	assert_leads("a.\"\"", "{\"S\":\"empty\"}");
	assert_leads("caf\xc3\xa9", "{\"S\":\"y\"}");
	assert_leads("\"caf\\u00e9\"", "{\"S\":\"y\"}");
	assert_leads("none.x", NULL);
}

static void
assert_takes(const char *step, const char *raw, bool want)
{
	struct path *p = parse(step, PATH_WILD);

	if (path_step_takes_name(&p->steps[0], slice_of(raw)) != want)
		fail_msg("%s should%s take %s", step, want ? "" : " not", raw);
	path_close(p);
}

static void
stars_stand_for_part_of_a_name(void **state)
{
	(void)state;
	assert_takes("*", "", true);
	assert_takes("*", "x\\u00e9", true);
	assert_takes("aws:rep:*", "aws:rep:deleting", true);
	assert_takes("aws:rep:*", "aws:rep:", true);
	assert_takes("aws:rep:*", "aws:re", false);
	assert_takes("*_at", "paid_at", true);
	assert_takes("*_at", "paid_at_all", false);
	assert_takes("a*a", "a", false);
	assert_takes("a*a", "aa", true);
	assert_takes("a*a", "a\\u0061", true);
	assert_takes("*\xc3\xa9", "caf\\u00e9", true);
	assert_takes("\"a*\"", "ab", false);
	assert_takes("\"a*\"", "a*", true);
	assert_takes("a", "\\u0061", true);
	assert_takes("\"\\\\\"", "\\\\", true);
}

static void
assert_meet(const char *a, const char *b, bool want)
{
	struct path *p = parse(a, PATH_WILD), *q = parse(b, PATH_WILD);
	size_t n = p->count < q->count ? p->count : q->count;

	if (path_meet(p, q, n) != want || path_meet(q, p, n) != want)
		fail_msg("%s and %s: want %d", a, b, want);
	path_close(p);
	path_close(q);
}

static void
two_that_may_meet(void **state)
{
	(void)state;
	assert_meet("a.b", "a.b.c", true);
	assert_meet("a.b", "a.c", false);
	assert_meet("a.*", "a.c", true);
	assert_meet("*", "x", true);
	assert_meet("x*", "*y", true);
	assert_meet("x*", "y*", false);
	assert_meet("ab*", "a*", true);
	assert_meet("*ab", "*cb", false);
	assert_meet("a[1]", "a[2]", false);
	assert_meet("a[*]", "a[2].b", true);
	assert_meet("a[*]", "a.b", false);
	assert_meet("a.x_*", "a.y", false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_no_item_can_have_is_refused),
	    cmocka_unit_test(names_are_read_as_written),
	    cmocka_unit_test(they_lead_into_an_item),
	    cmocka_unit_test(stars_stand_for_part_of_a_name),
	    cmocka_unit_test(two_that_may_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
