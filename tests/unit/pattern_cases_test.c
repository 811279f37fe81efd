/* tests/unit/pattern_cases_test.c - the project's own cases,
 * tests/cases/patterns.ndjson.
 *
 * One case a line: id, mode (typed, plain), and pattern, document and match; or
 * pattern_text and a piece of the message that refuses it. Numbers keep their
 * spelling, because nothing but the walkers of record/value.h reads the lines. A document that is a
 * record is asked as its JSON and as a record of a page.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/pattern.h"
#include "record/record.h"
#include "record/value.h"

static struct err e;

struct counts {
	unsigned cases, matched, refused, records;
};

/* A string member, decoded and NUL-terminated; to be freed. */
static char *
text_of(struct slice line, const char *name)
{
	struct slice v = value_member(line, name);
	struct buf out = BUF_INIT(1 << 16);

	assert_true(v.n >= 2 && v.p[0] == '"');
	json_unescape((struct slice){v.p + 1, v.n - 2}, &out);
	(void)buf_cstr(&out);
	return out.p;
}

static int
compile(bool plain, struct slice text, struct pattern **out)
{
	return plain ? pattern_compile_plain(out, text, &e) : pattern_compile(out, text, &e);
}

static void
refused(const char *id, struct slice line, bool plain)
{
	char *text = text_of(line, "pattern_text"), *why = text_of(line, "refused");
	struct pattern *p;

	if (compile(plain, slice_of(text), &p) == 0)
		fail_msg("%s: taken: %s", id, text);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strncmp(e.text, "pattern: ", 9) != 0 || strstr(e.text, why) == NULL)
		fail_msg("%s: \"%s\" is not in \"%s\"", id, why, e.text);
	free(text);
	free(why);
}

static void
ask(const char *id, struct slice line, bool plain, struct counts *n)
{
	struct slice document = value_member(line, "document");
	bool want = slice_is(value_member(line, "match"), "true");
	struct buf why = BUF_INIT(1 << 16);
	struct pattern *p;
	struct page *page;

	if (compile(plain, value_member(line, "pattern"), &p) != 0)
		fail_msg("%s: %s", id, e.text);
	if (pattern_match(p, document) != want)
		fail_msg("%s: %s", id, want ? "does not match" : "matches");
	pattern_explain(p, document, &why);
	if ((why.n == 0) != want)
		fail_msg("%s: explained as \"%s\"", id, buf_cstr(&why));
	if (page_of_records(&page, &document, 1, &e) == 0) {
		if (pattern_match_record(p, &page->records[0]) != want)
			fail_msg("%s: the record does not answer as its JSON", id);
		page_unref(page);
		n->records++;
	}
	n->matched += want;
	pattern_close(p);
	buf_close(&why);
}

static void
every_case(void **state)
{
	FILE *f = fopen("tests/cases/patterns.ndjson", "re");
	struct counts n = {.cases = 0};
	static char line[1 << 16];

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof line, f) != NULL) {
		struct slice s = slice_of(line);
		bool plain;
		char *id;

		if (!json_check(s))
			fail_msg("line %u is not JSON", n.cases + 1);
		id = text_of(s, "id");
		plain = slice_is(value_member(s, "mode"), "\"plain\"");
		if (value_member(s, "refused").p != NULL) {
			refused(id, s, plain);
			n.refused++;
		} else {
			ask(id, s, plain, &n);
		}
		n.cases++;
		free(id);
	}
	(void)fclose(f);
	print_message("%u cases: %u match, %u refused; %u documents are records\n", n.cases,
	    n.matched, n.refused, n.records);
	assert_in_range(n.cases, 300, 100000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_case)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
