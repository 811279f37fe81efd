/* tests/unit/dlq_select_test.c - which dead letters are meant, on the way from the command
 * to the daemon: what is lost on it would mean more letters, and drop them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/dlq.h"

static void
all_of_it_arrives(void **state)
{
	uint64_t ids[] = {3, 5};
	struct dlq_select s = {.any = true,
	    .query = {.sink = "search",
		.reason = "mapping",
		.key = "1",
		.hash_key = "k",
		.swapped = "2",
		.ids = ids,
		.id_count = 2,
		.from_us = 1,
		.to_us = 2,
		.limit = 7,
		.fresh = true}};
	struct dlq_select got;
	json_t *doc = dlq_select_json(&s);
	struct err e;

	(void)state;
	assert_non_null(doc);
	json_object_set_new(doc, "rate", json_integer(5));
	if (dlq_select_parse(&got, doc, &e) != 0)
		fail_msg("%s", e.text);
	assert_string_equal(got.query.sink, "search");
	assert_string_equal(got.query.reason, "mapping");
	assert_string_equal(got.query.key, "1");
	assert_string_equal(got.query.hash_key, "k");
	assert_string_equal(got.query.swapped, "2");
	assert_int_equal(got.query.id_count, 2);
	assert_int_equal(got.query.ids[1], 5);
	assert_int_equal(got.query.from_us, 1);
	assert_int_equal(got.query.to_us, 2);
	assert_int_equal(got.query.limit, 7);
	assert_true(got.query.fresh);
	assert_false(got.query.superseded);
	dlq_select_close(&got);
	json_decref(doc);
}

/* As a terminal in Latin-1 gives it. */
static void
what_is_no_utf8_is_not_left_out(void **state)
{
	struct dlq_select s = {.query = {.reason = "Gr\xf6\xdf"
						   "e"}};

	(void)state;
	assert_null(dlq_select_json(&s));
	s.query.reason = NULL;
	s.query.sink = "\xff";
	assert_null(dlq_select_json(&s));
}

static void
refused(const char *text, const char *word)
{
	json_t *doc = json_loads(text, 0, NULL);
	struct dlq_select got;
	struct err e;

	assert_non_null(doc);
	assert_int_equal(dlq_select_parse(&got, doc, &e), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_non_null(strstr(e.text, word));
	json_decref(doc);
}

static void
what_is_not_understood_is_refused(void **state)
{
	(void)state;
	refused("{\"snk\": \"search\"}", "snk");
	refused("{\"sink\": \"search\", \"younger\": 3}", "younger");
	refused("{\"superseded\": 1}", "superseded");
	refused("{\"fresh\": \"yes\"}", "fresh");
	refused("{\"sink\": null}", "sink");
	refused("[]", "object");
}

static void
all_of_them_must_be_said(void **state)
{
	struct dlq_select s = {.any = false}, got;
	json_t *doc = dlq_select_json(&s);
	struct err e;

	(void)state;
	refused("{}", "which letters");
	refused("{\"limit\": 3, \"rate\": 1, \"all\": false}", "which letters");
	assert_int_equal(dlq_select_parse(&got, doc, &e), 0);
	dlq_select_close(&got);
	json_decref(doc);
}

/* The key that is looked for; "": refused. */
static void
key_is(const char *given, const char *wanted)
{
	const struct command *const commands[] = {&cmd_dlq_list, NULL};
	const char *const argv[] = {"slipring", "dlq", "list", "--key", given};
	struct dlq_select s;
	struct args a;
	struct err e;

	assert_int_equal(command_parse(commands, (int)ARRAY_LEN(argv), argv, &a, &e), 0);
	if (wanted[0] == '\0') {
		assert_int_equal(dlq_select_args(&s, &a, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
	} else {
		assert_int_equal(dlq_select_args(&s, &a, &e), 0);
		assert_string_equal(s.query.key, wanted);
		dlq_select_close(&s);
	}
	args_close(&a);
}

static void
a_key_may_be_spelt_otherwise(void **state)
{
	(void)state;
	key_is("[\"o-1\",7]", "[\"o-1\",7]");
	key_is("[\"o-1\", 7.0]", "[\"o-1\",7]");
	key_is("[ \"K\\u00f6ln\" ]", "[\"K\xc3\xb6ln\"]");
	key_is("[1e2]", "[100]");
	key_is("{\"pk\": {\"N\": \"7.0\"}}", "[7]");
	key_is("[]", "");
	key_is("[\"a\",1,2]", "");
	key_is("o-1", "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_of_it_arrives),
	    cmocka_unit_test(a_key_may_be_spelt_otherwise),
	    cmocka_unit_test(what_is_no_utf8_is_not_left_out),
	    cmocka_unit_test(what_is_not_understood_is_refused),
	    cmocka_unit_test(all_of_them_must_be_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
