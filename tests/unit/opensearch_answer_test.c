/* tests/unit/opensearch_answer_test.c - what an answer of the cluster means: the table
 * of verdicts, reasons without values, answers that are none. The bodies are what
 * OpenSearch 2.19.1 said. */
#include "tests/unit/record_support.h"

#include "sinks/opensearch_priv.h"

static struct os_target target = {.index = (char[]){"orders"}};

struct seen {
	struct os_item items[8];
	size_t n;
};

static void
keep(void *arg, size_t i, const struct os_item *it)
{
	struct seen *s = arg;

	assert_int_equal(i, s->n);
	s->items[s->n++] = *it;
}

static int
read_answer(const char *text, size_t count, struct seen *s, struct err *e)
{
	s->n = 0;
	return os_answer_each(slice_of(text), count, keep, s, e);
}

/* ---- items ---- */

#define ERR(status, type, reason)                                                                  \
	"{\"status\":" #status ",\"error\":{\"type\":\"" type "\",\"reason\":\"" reason "\"}}"

static void
test_verdicts(void **state)
{
	static const struct {
		const char *item;
		bool removal, seen;
		enum sink_verdict want;
		const char *says;
	} cases[] = {
	    {"{\"status\":200}", false, false, SINK_ACK, NULL},
	    {"{\"status\":201}", false, false, SINK_ACK, NULL},
	    {"{\"status\":404}", true, false, SINK_ACK, NULL},
	    {"{\"status\":404}", false, false, SINK_RETRY, "404"},
	    {ERR(404, "index_not_found_exception", "no such index [orders]"), false, false,
		SINK_HALT, "there is no index orders"},
	    {ERR(404, "index_not_found_exception", "no such index [orders]"), true, false, SINK_ACK,
		NULL},
	    {ERR(404, "index_not_found_exception", "no such index [orders]"), true, true, SINK_HALT,
		"slipring resume trail"},
	    {ERR(409, "version_conflict_engine_exception", "[1]: version conflict"), false, false,
		SINK_RETRY, "409"},
	    {ERR(429, "rejected_execution_exception", "busy"), false, false, SINK_RETRY, "429"},
	    {ERR(429, "cluster_block_exception",
		 "index [o] blocked by: [TOO_MANY_REQUESTS/12/disk]"),
		false, false, SINK_RETRY, "index [o] blocked by"},
	    {ERR(403, "cluster_block_exception", "index [o] blocked by: [FORBIDDEN/8/write]"), true,
		false, SINK_RETRY, "blocked"},
	    {ERR(403, "security_exception", "no permissions for [indices:data/write/bulk[s]]"),
		false, false, SINK_HALT, "security_exception"},
	    {ERR(401, "security_exception", "x"), false, false, SINK_HALT, "401"},
	    {ERR(400, "mapper_parsing_exception", "failed to parse"), false, false, SINK_REJECT,
		"mapper_parsing_exception"},
	    {ERR(400, "strict_dynamic_mapping_exception",
		 "mapping set to strict, dynamic introduction of [x] within [_doc] is not allowed"),
		false, false, SINK_REJECT, "introduction of [x] within [_doc]"},
	    {ERR(400, "index_closed_exception", "closed"), false, false, SINK_HALT, "is closed"},
	    {ERR(400, "validation_exception",
		 "Validation Failed: 1: this action would add [2] total shards, but this cluster "
		 "currently has [1000]/[1000] maximum shards open;"),
		false, false, SINK_RETRY, "currently has [1000]/[1000] maximum shards open"},
	    {ERR(400, "invalid_index_name_exception", "x"), false, false, SINK_HALT, "400"},
	    {"{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":"
	     "\"failed "
	     "to execute "
	     "script\",\"caused_by\":{\"type\":\"illegal_argument_exception\",\"reason\":"
	     "\"cannot execute [inline] scripts\"}}}",
		false, false, SINK_HALT, "mode: overwrite"},
	    {ERR(400, "illegal_argument_exception",
		 "no write index is defined for alias [orders]. The write index may be explicitly "
		 "disabled using is_write_index=false or the alias points to multiple indices "
		 "without one being designated as a write index"),
		true, false, SINK_HALT, "alias orders does not say to which index"},
	    {ERR(400, "illegal_argument_exception",
		 "only write ops with an op_type of create are allowed in data streams"),
		false, false, SINK_HALT, "data stream orders takes no changes"},
	    {ERR(400, "illegal_argument_exception",
		 "Limit of total fields [1000] has been exceeded"),
		false, false, SINK_REJECT, "Limit of total fields"},
	    {ERR(500, "x", "y"), false, false, SINK_RETRY, "500"},
	    {ERR(503, "unavailable_shards_exception", "y"), false, false, SINK_RETRY, "503"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[2000];
		struct seen s;
		struct err e = {.text = ""}, why = {.text = ""};
		enum sink_verdict v;

		(void)snprintf(
		    text, sizeof text, "{\"took\":1,\"items\":[{\"index\":%s}]}", cases[i].item);
		if (read_answer(text, 1, &s, &e) != 0)
			fail_msg("%s: %s", text, e.text);
		target.seen = cases[i].seen;
		v = os_item_verdict(&s.items[0], cases[i].removal, &target, "trail", &why);
		if (v != cases[i].want ||
		    (cases[i].says != NULL && strstr(why.text, cases[i].says) == NULL))
			fail_msg("%s: %d %s", cases[i].item, (int)v, why.text);
	}
}

static void
test_whole(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum sink_verdict want;
		const char *says;
	} cases[] = {
	    {401, "Unauthorized", SINK_HALT, "refuses us"},
	    {403, "{\"message\":\"The security token included in the request is expired\"}",
		SINK_HALT, "token included in the request is expired"},
	    {403, "{\"error\":{\"type\":\"cluster_block_exception\",\"reason\":\"blocked\"}}",
		SINK_RETRY, "blocked"},
	    {404, "{\"error\":\"no handler found\"}", SINK_HALT, "url does not name"},
	    {400, "{\"error\":\"no handler found for uri [/x/_bulk] and method [POST]\"}",
		SINK_HALT, "its path is wrong"},
	    {301, "", SINK_HALT, "redirect"},
	    {400,
		"{\"error\":{\"type\":\"json_parse_exception\",\"reason\":\"Unrecognized token "
		"'x'\"}}",
		SINK_SPLIT, "json_parse_exception: Unrecognized token"},
	    {400,
		"{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"explicit index "
		"in bulk is not allowed\"}}",
		SINK_HALT, "rest.action.multi.allow_explicit_index"},
	    {400, "<html>bad</html>", SINK_SPLIT, "400"},
	    {413, "", SINK_SPLIT, "bulk.size"},
	    {429, "", SINK_RETRY, "429"},
	    {408, "", SINK_RETRY, "408"},
	    {500, "", SINK_RETRY, "500"},
	    {502, "<html>", SINK_RETRY, "502"},
	    {503, "", SINK_RETRY, "503"},
	    {407, "", SINK_HALT, "407"},
	    {418, "", SINK_HALT, "418"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err why = {.text = ""};
		enum sink_verdict v =
		    os_whole_verdict(cases[i].status, slice_of(cases[i].body), "trail", &why);

		if (v != cases[i].want || strstr(why.text, cases[i].says) == NULL)
			fail_msg("%d: %d %s", cases[i].status, (int)v, why.text);
		assert_null(strstr(why.text, "<html>"));
	}
}

/* ---- reasons ---- */

static void
test_reasons(void **state)
{
	static const char *const cases[][2] = {
	    {"failed to parse field [n] of type [long] in document with id '[\\\"o-1\\\"]'. "
	     "Preview of "
	     "field's value: 'secret'",
		"failed to parse field [n] of type [long]"},
	    {"For input string: \\\"secret\\\"", "For input string"},
	    {"Numeric value (12345678901234567890) out of range of long", "Numeric value"},
	    {"Limit of total fields [1000] has been exceeded",
		"Limit of total fields [1000] has been exceeded"},
	    {"Validation Failed: 1: id [secret] is too long",
		"Validation Failed: 1: id [...] is too long"},
	    {"object mapping for [a] tried to parse field [b] as object, but found a concrete "
	     "value",
		"object mapping for [a] tried to parse field [b] as object, but found a concrete "
		"value"},
	    {"mapper [x] cannot be changed from type [long] to [text]",
		"mapper [x] cannot be changed from type [long] to [...]"},
	    {"The depth of the field has exceeded the allowed limit of [20]. This limit",
		"The depth of the field has exceeded the allowed limit of [20]. This limit"},
	    {"[secret] is odd [unclosed secret", "[...] is odd"},
	    {"failed to parse date field [secret] with format [epoch_millis]",
		"failed to parse date field [...] with format [...]"},
	    {"Value [40000] is out of range for a short",
		"Value [...] is out of range for a short"},
	    {"Document contains at least one immense term in field=\\\"x\\\" ... '[115, 101]...'",
		"Document contains at least one immense term in field"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT(1000);

		os_reason_write(slice_of(cases[i][0]), &out);
		if (strncmp(buf_cstr(&out), cases[i][1], strlen(cases[i][1])) != 0 ||
		    strstr(buf_cstr(&out), "secret") != NULL)
			fail_msg("%s", buf_cstr(&out));
		buf_close(&out);
	}
}

static void
test_no_value_in_why(void **state)
{
	static const char text[] =
	    "{\"errors\":true,\"items\":[{\"update\":{\"status\":400,\"error\":{\"type\":"
	    "\"mapper_parsing_exception\",\"reason\":\"failed to parse field [n] of type [long] in "
	    "document with id '[\\\"secret\\\"]'. Preview of field's value: 'secret text'\","
	    "\"caused_by\":{\"type\":\"illegal_argument_exception\",\"reason\":\"For input string: "
	    "\\\"secret text\\\"\"}}}}]}";
	struct seen s;
	struct err e, why;

	(void)state;
	assert_int_equal(read_answer(text, 1, &s, &e), 0);
	assert_int_equal(os_item_verdict(&s.items[0], false, &target, "trail", &why), SINK_REJECT);
	assert_string_equal(why.text,
	    "opensearch: status 400 mapper_parsing_exception: failed to parse field [n] of type "
	    "[long]: "
	    "For input string");
}

/* ---- answers that are none ---- */

static void
test_not_an_answer(void **state)
{
	static const char *const cases[] = {"", "<html>", "[]", "{}", "{\"items\":{}}",
	    "{\"items\":[]}", "{\"items\":[{}]}", "{\"items\":[{\"index\":1}]}",
	    "{\"items\":[{\"index\":{}}]}", "{\"items\":[{\"index\":{\"status\":\"x\"}}]}",
	    "{\"items\":[1]}",
	    "{\"items\":[{\"index\":{\"status\":200}},{\"index\":{\"status\":200}}]}",
	    "{\"items\":[{\"index\":{\"status\":200}}"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seen s;
		struct err e;

		if (read_answer(cases[i], 1, &s, &e) == 0)
			fail_msg("taken: %s", cases[i]);
		assert_true(e.retriable);
		assert_int_equal(s.n, 0);
	}
}

static void
test_order(void **state)
{
	struct seen s;
	struct err e;

	(void)state;
	assert_int_equal(
	    read_answer(
		"{\"errors\":true,\"items\":[{\"index\":{\"status\":201,\"_id\":\"x\"}},"
		"{\"delete\":{\"status\":404}},{\"update\":{\"error\":null,\"status\":429}}]}",
		3, &s, &e),
	    0);
	assert_int_equal(s.items[0].status, 201);
	assert_int_equal(s.items[1].status, 404);
	assert_int_equal(s.items[2].status, 429);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_whole),
	    cmocka_unit_test(test_reasons),
	    cmocka_unit_test(test_no_value_in_why),
	    cmocka_unit_test(test_not_an_answer),
	    cmocka_unit_test(test_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
