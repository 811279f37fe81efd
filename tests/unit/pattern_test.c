/* tests/unit/pattern_test.c - the tables of docs/filters.md as they stand there,
 * patterns that are refused, and patterns and documents made together.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/random.h"
#include "filters/pattern.h"
#include "record/value.h"

static struct err e;

static bool
asked(bool plain, const char *pattern, const char *document)
{
	struct pattern *p;
	bool yes;

	if ((plain ? pattern_compile_plain(&p, slice_of(pattern), &e)
		   : pattern_compile(&p, slice_of(pattern), &e)) != 0)
		fail_msg("%s: %s", pattern, e.text);
	if (!json_check(slice_of(document)))
		fail_msg("no JSON: %s", document);
	yes = pattern_match(p, slice_of(document));
	pattern_close(p);
	return yes;
}

static bool
matches(const char *pattern, const char *document)
{
	return asked(false, pattern, document);
}

/* ---- docs/filters.md ---- */

/* JSON as the attribute value that unmarshals to it. */
static void
marshal(json_t *v, struct buf *out)
{
	char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
	const char *name;
	json_t *item;
	size_t i;

	switch (json_typeof(v)) {
	case JSON_STRING:
		buf_addf(out, "{\"S\": %s}", text);
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		buf_addf(out, "{\"N\": \"%s\"}", text);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		buf_addf(out, "{\"BOOL\": %s}", text);
		break;
	case JSON_NULL:
		buf_add_str(out, "{\"NULL\": true}");
		break;
	case JSON_ARRAY:
		buf_add_str(out, "{\"L\": [");
		json_array_foreach(v, i, item)
		{
			buf_add_str(out, i != 0 ? "," : "");
			marshal(item, out);
		}
		buf_add_str(out, "]}");
		break;
	case JSON_OBJECT:
		buf_add_str(out, "{\"M\": {\"-\": {\"S\": \"noise\"}");
		json_object_foreach(v, name, item)
		{
			buf_addf(out, ", \"%s\": ", name);
			marshal(item, out);
		}
		buf_add_str(out, "}}");
		break;
	}
	free(text);
}

/* The same example as attributes of a new image. */
static void
example_in_plain(const char *pattern, const char *document, bool want)
{
	json_t *tree = json_loads(document, 0, NULL);
	struct buf p = BUF_INIT(8192), d = BUF_INIT(8192);

	if (strstr(document, "\"dynamodb\"") != NULL || strstr(pattern, "size") != NULL) {
		json_decref(tree);
		return;
	}
	buf_addf(&p, "{\"new\": {\"it\": %s}}", pattern);
	buf_add_str(&d, "{\"eventName\": \"MODIFY\", \"dynamodb\": {\"NewImage\": {\"it\": ");
	marshal(tree, &d);
	buf_add_str(&d, "}}}");
	if (asked(true, buf_cstr(&p), buf_cstr(&d)) != want)
		fail_msg("plain: %s should%s match %s", p.p, want ? "" : " not", d.p);
	json_decref(tree);
	buf_close(&p);
	buf_close(&d);
}

/* The text between the next two backquotes; NULL: none in this line. */
static char *
quoted(char **at)
{
	char *from = strchr(*at, '`'), *to;

	if (from == NULL)
		return NULL;
	to = strchr(++from, '`');
	if (to == NULL)
		return NULL;
	*to = '\0';
	*at = to + 1;
	return from;
}

static void
run_row(char *line, bool plain)
{
	char *at = line, *pattern = quoted(&at), *yes = quoted(&at), *no = quoted(&at);

	assert_non_null(no);
	if (!asked(plain, pattern, yes))
		fail_msg("%s should match %s", pattern, yes);
	if (asked(plain, pattern, no))
		fail_msg("%s should not match %s", pattern, no);
	if (plain)
		return;
	example_in_plain(pattern, yes, true);
	example_in_plain(pattern, no, false);
}

static void
every_example_of_the_manual(void **state)
{
	FILE *f = fopen("docs/filters.md", "re");
	unsigned rows = 0, plain_rows = 0;
	bool plain = false;
	char line[2048];

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		if (strncmp(line, "##", 2) == 0)
			plain = strncmp(line, "### Plain:", 10) == 0;
		if (strncmp(line, "| `{", 4) != 0)
			continue;
		/* What one operator means, without examples. */
		if (strncmp(line, "| `{\"dynamodb", 13) != 0 && strstr(line, "` | `{") == NULL)
			continue;
		run_row(line, plain);
		rows += !plain;
		plain_rows += plain;
	}
	(void)fclose(f);
	assert_in_range(rows, 45, 1000);
	assert_in_range(plain_rows, 15, 1000);
}

/* ---- refused ---- */

static void
refused(const char *pattern, const char *why)
{
	struct pattern *p;

	if (pattern_compile(&p, slice_of(pattern), &e) == 0)
		fail_msg("taken: %s", pattern);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, why) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", pattern, why, e.text);
}

static void
what_is_wrong_is_said_with_its_path(void **state)
{
	struct buf deep = BUF_INIT(4096);

	(void)state;
	refused("{\"a\": {\"b\": []}}", "pattern: a.b: the list is empty");
	refused("{\"a\": {}}", "a: the object is empty");
	refused("{}", "the object is empty");
	refused("{\"a\": \"x\"}", "a: a list must be here, as in [\"x\"]");
	refused("[1]", "it must be an object");
	refused("{\"a\": [1]} x", "line 1, column");
	refused("{\"a\": [{\"prefx\": \"x\"}]}",
	    "a: there is no operator \"prefx\"; did you mean \"prefix\"?");
	refused("{\"a\": [{\"prefix\": 1}]}", "\"prefix\" wants a string");
	refused("{\"a\": [{\"prefix\": \"x\", \"suffix\": \"y\"}]}", "an object with one member");
	refused("{\"a\": [[\"x\"]]}", "a list inside a value list");
	refused("{\"a\": [{\"numeric\": [\">\", 5, \"<\", 1]}]}", "must be below");
	refused("{\"a\": [{\"numeric\": [\"~\", 5]}]}", "one of =, <, <=, >, >=");
	refused("{\"a\": [{\"exists\": 1}]}", "true or false");
	refused("{\"a\": [{\"cidr\": \"10.0.0.0/33\"}]}", "\"cidr\" wants");
	refused("{\"a\": [{\"wildcard\": \"a**b\"}]}", "two stars");
	refused("{\"a\": [{\"wildcard\": \"a\\\\b\"}]}", "backslash");
	refused("{\"a\": [{\"anything-but\": [1, \"x\"]}]}", "mixes");
	refused("{\"$or\": [{\"a\": [1]}]}", "at least two");
	refused("{\"$or\": [{\"a\": [1]}, 5]}", "list of objects");
	refused("{\"b\": {\"$or\": [{\"a\": [1]}, {\"prefix\": [\"x\"]}]}}", "is an operator");
	for (unsigned i = 0; i < 100; i++)
		buf_add_str(&deep, "{\"a\":");
	buf_add_str(&deep, "[1]");
	for (unsigned i = 0; i < 100; i++)
		buf_add_char(&deep, '}');
	refused(buf_cstr(&deep), "deep");
	buf_close(&deep);
}

static void
too_many_alternatives(void **state)
{
	struct buf b = BUF_INIT(8192);
	struct pattern *p;

	(void)state;
	buf_add_str(&b, "{\"z\": [1]");
	for (unsigned i = 0; i < 10; i++)
		buf_addf(&b, ",\"f%u\": {\"$or\": [{\"a\": [1]}, {\"b\": [1]}]}", i);
	buf_add_char(&b, '}');
	refused(buf_cstr(&b), "more than 1000 alternatives");
	buf_reset(&b);
	buf_add_str(&b, "{\"z\": [1]");
	for (unsigned i = 0; i < 9; i++)
		buf_addf(&b, ",\"f%u\": {\"$or\": [{\"a\": [1]}, {\"b\": [1]}]}", i);
	buf_add_char(&b, '}');
	assert_int_equal(pattern_compile(&p, buf_slice(&b), &e), 0);
	pattern_close(p);
	buf_close(&b);
}

static size_t
in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* As many as the 4,096 characters of a Lambda filter can name. */
static void
many_names_beside_each_other(void **state)
{
	struct buf b = BUF_INIT(1 << 16);
	struct pattern *p;
	size_t before;

	(void)state;
	buf_add_char(&b, '{');
	for (unsigned i = 0; i < 400; i++)
		buf_addf(&b, "%s\"%x\":[1]", i != 0 ? "," : "", i);
	buf_add_char(&b, '}');
	assert_true(b.n <= 4096);
	before = in_use();
	assert_int_equal(pattern_compile(&p, buf_slice(&b), &e), 0);
	assert_in_range(in_use() - before, 0, 4u << 20);
	pattern_close(p);
	buf_close(&b);
}

/* ---- names, escapes, lists ---- */

static void
names_twice_and_in_other_words(void **state)
{
	const char *two = "{\"d\": {\"N\": {\"a\": [1]}}, \"d\": {\"O\": {\"a\": [2]}}}";

	(void)state;
	assert_true(matches(two, "{\"d\": {\"N\": {\"a\": 1}, \"O\": {\"a\": 2}}}"));
	assert_false(matches(two, "{\"d\": {\"N\": {\"a\": 1}, \"O\": {\"a\": 3}}}"));
	assert_true(matches("{\"a\": [1], \"a\": [2]}", "{\"a\": 2}"));
	assert_false(matches("{\"a\": [1], \"a\": [2]}", "{\"a\": 1}"));
	assert_true(matches("{\"\\u0061\": [\"\\u00e4\"]}", "{\"a\": \"ä\"}"));
	assert_true(matches("{\"a\": [\"x\\ny\"]}", "{\"\\u0061\": \"x\\u000ay\"}"));
	assert_true(matches("{\"a\": [{\"suffix\": \"\\\"\"}]}", "{\"a\": \"say \\\"\"}"));
	assert_true(matches("{\"userIdentity\": {\"type\": [\"Service\"]}}",
	    "{\"userIdentity\": {\"Type\": \"Service\"}}"));
	assert_false(matches("{\"x\": {\"userIdentity\": {\"type\": [1]}}}",
	    "{\"x\": {\"userIdentity\": {\"Type\": 1}}}"));
}

static void
one_element_of_a_list_across_or(void **state)
{
	const char *p = "{\"a\": {\"b\": [1]}, \"$or\": [{\"a\": {\"c\": [2]}}, {\"d\": [3]}]}";

	(void)state;
	assert_true(matches(p, "{\"a\": [{\"b\": 1, \"c\": 2}]}"));
	assert_false(matches(p, "{\"a\": [{\"b\": 1}, {\"c\": 2}]}"));
	assert_true(matches(p, "{\"a\": [{\"b\": 1}, {\"c\": 2}], \"d\": 3}"));
}

static void
text_in_a_list_of_numbers_is_lambdas(void **state)
{
	const char *document = "{\"dynamodb\": {\"NewImage\": {\"n\": {\"N\": \"101\"}}}}";

	(void)state;
	assert_true(matches(
	    "{\"dynamodb\": {\"NewImage\": {\"n\": {\"N\": [{\"numeric\": [\">\", 100]}]}}}}",
	    document));
	assert_false(
	    matches("{\"dynamodb\": {\"NewImage\": {\"n\": {\"N\": [{\"numeric\": [\">\", 100]}, "
		    "{\"anything-but\": \"101\"}]}}}}",
		document));
	assert_false(matches("{\"n\": {\"N\": [101]}}", "{\"n\": {\"N\": \"101\"}}"));
}

static void
why_not(void **state)
{
	struct buf out = BUF_INIT(4096);
	struct pattern *p;

	(void)state;
	assert_int_equal(
	    pattern_compile(&p, SLICE_LIT("{\"a\": [1], \"b\": {\"c\": [\"x\"]}}"), &e), 0);
	pattern_explain(p, SLICE_LIT("{\"a\": 1}"), &out);
	assert_string_equal(buf_cstr(&out), "b.c: nothing is there");
	buf_reset(&out);
	pattern_explain(p, SLICE_LIT("{\"a\": 1, \"b\": {\"c\": \"y\"}}"), &out);
	assert_string_equal(buf_cstr(&out), "b.c: \"y\" does not match");
	buf_reset(&out);
	pattern_explain(p, SLICE_LIT("{\"a\": 2, \"b\": {\"c\": \"y\"}}"), &out);
	assert_string_equal(buf_cstr(&out), "a: 2 does not match");
	pattern_close(p);
	buf_close(&out);
}

/* ---- made together ---- */

/* A leaf's condition and a value that satisfies it, or (flip) does not. */
static void
add_leaf(struct rng *r, struct buf *pattern, struct buf *document, bool flip)
{
	unsigned n = 1 + (unsigned)rng_below(r, 1000);

	switch (rng_below(r, 8)) {
	case 0:
		buf_addf(pattern, "[\"v%u\"]", n);
		buf_addf(document, "\"v%u\"", flip ? n + 1 : n);
		break;
	case 1:
		buf_addf(pattern, "[\"other\", {\"prefix\": \"v%u-\"}]", n);
		buf_addf(document, "\"%sv%u-tail\"", flip ? "x" : "", n);
		break;
	case 2:
		buf_addf(pattern, "[{\"suffix\": \"-%u\"}]", n);
		buf_addf(document, "\"head-%u%s\"", n, flip ? "x" : "");
		break;
	case 3:
		buf_addf(pattern, "[{\"numeric\": [\">=\", %u, \"<\", %u.5]}]", n, n);
		buf_addf(document, "%u.%s", n, flip ? "5" : "499999999999999999999");
		break;
	case 4:
		buf_addf(pattern, "[{\"anything-but\": [\"v%u\", \"w\"]}]", n);
		buf_addf(document, "\"%s%u\"", flip ? "v" : "u", n);
		break;
	case 5:
		buf_addf(pattern, "[{\"wildcard\": \"*a%u*b\"}]", n);
		buf_addf(document, "\"xa%u--%s\"", n, flip ? "bc" : "b");
		break;
	case 6:
		buf_addf(pattern, "[{\"equals-ignore-case\": \"Key%u\"}]", n);
		buf_addf(document, "\"kEY%u%s\"", n, flip ? "s" : "");
		break;
	default:
		buf_addf(pattern, "[%u]", n);
		buf_addf(document, "[\"w\", %u%s]", n, flip ? "1" : "e0");
		break;
	}
}

static void
add_object(struct rng *r, struct buf *pattern, struct buf *document, unsigned depth, unsigned *leaf,
    unsigned flipped)
{
	unsigned fields = 1 + (unsigned)rng_below(r, 3);

	buf_add_char(pattern, '{');
	buf_add_str(document, "{\"noise\": {\"f0\": 1}");
	for (unsigned i = 0; i < fields; i++) {
		bool list = rng_below(r, 4) == 0;

		buf_addf(pattern, "%s\"f%u\": ", i != 0 ? "," : "", i);
		buf_addf(document, ",\"f%u\": %s", i, list ? "[\"w\", {}, " : "");
		if (depth > 0 && rng_below(r, 2) != 0)
			add_object(r, pattern, document, depth - 1, leaf, flipped);
		else
			add_leaf(r, pattern, document, (*leaf)++ == flipped);
		buf_add_str(document, list ? "]" : "");
	}
	buf_add_char(pattern, '}');
	buf_add_char(document, '}');
}

static void
one_flipped_leaf_flips_the_answer(void **state)
{
	struct buf pattern = BUF_INIT(1 << 16), document = BUF_INIT(1 << 16);

	(void)state;
	for (uint64_t seed = 1; seed <= 20000; seed++) {
		unsigned leaves = 0, again = 0, flipped;
		struct rng r;

		rng_seed(&r, seed);
		buf_reset(&pattern);
		buf_reset(&document);
		add_object(&r, &pattern, &document, 3, &leaves, UINT32_MAX);
		if (!matches(buf_cstr(&pattern), buf_cstr(&document)))
			fail_msg("seed %u: %s\n%s", (unsigned)seed, pattern.p, document.p);
		flipped = (unsigned)(seed % leaves);
		rng_seed(&r, seed);
		buf_reset(&pattern);
		buf_reset(&document);
		add_object(&r, &pattern, &document, 3, &again, flipped);
		if (matches(buf_cstr(&pattern), buf_cstr(&document)))
			fail_msg("seed %u, leaf %u: %s\n%s", (unsigned)seed, flipped, pattern.p,
			    document.p);
	}
	buf_close(&pattern);
	buf_close(&document);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_example_of_the_manual),
	    cmocka_unit_test(what_is_wrong_is_said_with_its_path),
	    cmocka_unit_test(too_many_alternatives),
	    cmocka_unit_test(many_names_beside_each_other),
	    cmocka_unit_test(names_twice_and_in_other_words),
	    cmocka_unit_test(one_element_of_a_list_across_or),
	    cmocka_unit_test(text_in_a_list_of_numbers_is_lambdas),
	    cmocka_unit_test(why_not),
	    cmocka_unit_test(one_flipped_leaf_flips_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
