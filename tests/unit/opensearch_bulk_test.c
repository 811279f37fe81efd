/* tests/unit/opensearch_bulk_test.c - a record as lines of a _bulk body: ids, indices,
 * both modes, numbers that a script would round. */
#include "tests/unit/record_support.h"

#include <jansson.h>

#include "sinks/opensearch_priv.h"

#define KEYS ",\"Keys\":{\"pk\":{\"S\":\"o-1\"}}"
#define LABEL "2026-11-21T07:29:37.000"
#define VERSION LABEL "/0000000000000000000300000000000000499659"

static const struct key_schema schema = {.names = {(char[]){"pk"}, NULL}};
static const struct origin orders = {.stream = "orders",
    .table = "Orders",
    .arn = "arn:x",
    .label = LABEL,
    .shard = "s-1",
    .schema = &schema};
static const struct origin users = {.stream = "users",
    .table = "Users",
    .arn = "arn:y",
    .label = LABEL,
    .shard = "s-2",
    .schema = &schema};

static struct os_conf conf;
static struct os_bulk bulk;

static int
begin(void **state)
{
	static char index[] = "{table}";

	(void)state;
	conf = (struct os_conf){.index = index};
	os_bulk_init(&bulk, &conf);
	return 0;
}

static int
end(void **state)
{
	(void)state;
	os_bulk_close(&bulk);
	return 0;
}

static enum sink_verdict
add(const char *dynamodb, const char *outside, struct buf *out, struct err *e)
{
	struct page *p = page_with(dynamodb, outside);
	struct os_target *t = os_target_of(&bulk, &orders, SLICE_NONE, e);
	enum sink_verdict v;

	assert_non_null(t);
	*out = BUF_INIT(1u << 20);
	v = os_bulk_add(&bulk, &p->records[0], &orders, t, 0, out, e);
	(void)buf_cstr(out);
	page_unref(p);
	return v;
}

static void
expect(const char *dynamodb, const char *event, const char *want)
{
	char outside[100];
	struct buf out;
	struct err e;

	(void)snprintf(outside, sizeof outside, ",\"eventName\":\"%s\"", event);
	if (add(dynamodb, outside, &out, &e) != SINK_ACK)
		fail_msg("%s", e.text);
	assert_string_equal(buf_cstr(&out), want);
	buf_close(&out);
}

static void
test_overwrite(void **state)
{
	(void)state;
	expect(KEYS ",\"NewImage\":{\"pk\":{\"S\":\"o-1\"},\"n\":{\"N\":\"1.10\"}}", "MODIFY",
	    "{\"index\":{\"_index\":\"orders\",\"_id\":\"[\\\"o-1\\\"]\"}}\n"
	    "{\"pk\":\"o-1\",\"n\":1.10}\n");
	expect(KEYS ",\"OldImage\":{\"pk\":{\"S\":\"o-1\"}}", "REMOVE",
	    "{\"delete\":{\"_index\":\"orders\",\"_id\":\"[\\\"o-1\\\"]\"}}\n");
	/* Every digit stays in _source. */
	expect(KEYS ",\"NewImage\":{\"n\":{\"N\":\"0.12345678901234567890123456789012345678\"}}",
	    "INSERT",
	    "{\"index\":{\"_index\":\"orders\",\"_id\":\"[\\\"o-1\\\"]\"}}\n"
	    "{\"n\":0.12345678901234567890123456789012345678}\n");
}

static json_t *
line_of(const struct buf *out, int n)
{
	const char *p = out->p;
	json_t *v;

	while (n-- > 0)
		p = strchr(p, '\n') + 1;
	v = json_loadb(p, strcspn(p, "\n"), JSON_DECODE_INT_AS_REAL, NULL);
	assert_non_null(v);
	return v;
}

static void
test_guarded(void **state)
{
	struct buf out;
	struct err e;
	json_t *action, *body, *params, *doc;

	(void)state;
	conf.mode = OS_GUARDED;
	assert_int_equal(
	    add(KEYS ",\"NewImage\":{\"a\":{\"N\":\"0.1234567890123456789\"},\"b\":{\"N\":"
		     "\"123456789012345678901234567890\"},\"c\":{\"S\":\"0.1234567890123456789\"}}",
		",\"eventName\":\"INSERT\"", &out, &e),
	    SINK_ACK);
	action = line_of(&out, 0);
	body = line_of(&out, 1);
	assert_true(3 ==
	    json_number_value(
		json_object_get(json_object_get(action, "update"), "retry_on_conflict")));
	assert_true(json_is_true(json_object_get(body, "scripted_upsert")));
	params = json_object_get(json_object_get(body, "script"), "params");
	assert_string_equal(json_string_value(json_object_get(params, "v")), VERSION);
	doc = json_object_get(params, "d");
	/* A fraction of 19 digits does not pass through a script's double. */
	assert_string_equal(json_string_value(json_object_get(doc, "a")), "0.1234567890123456789");
	assert_true(json_is_string(json_object_get(doc, "c")));
	assert_non_null(strstr(out.p, "\"b\":123456789012345678901234567890"));
	json_decref(action);
	json_decref(body);
	buf_close(&out);
}

static void
test_tombstone(void **state)
{
	struct buf out;
	struct err e;

	(void)state;
	conf.mode = OS_GUARDED;
	assert_int_equal(add(KEYS ",\"ApproximateCreationDateTime\":1795246177",
			     ",\"eventName\":\"REMOVE\"", &out, &e),
	    SINK_ACK);
	assert_non_null(strstr(out.p,
	    "\"params\":{\"v\":\"" VERSION "\",\"d\":{\"slipring_deleted\":true,\"slipring_deleted_"
	    "at\":\"2026-11-21T07:29:37Z\"}}}}\n"));
	buf_close(&out);
}

static void
test_numbers(void **state)
{
	static const char *const cases[][2] = {
	    {"[1,-2,1.5,1e5,0.1]", "[1,-2,1.5,1e5,0.1]"},
	    {"[123456789012345.6]", "[\"123456789012345.6\"]"},
	    {"[0.000000000000001234]", "[0.000000000000001234]"},
	    {"[99999999999999999999]", "[99999999999999999999]"},
	    {"{\"a.1234567890123456\":\"1.2345678901234567\\\"\",\"b\":-1.2345678901234567E-10}",
		"{\"a.1234567890123456\":\"1.2345678901234567\\\"\",\"b\":\"-1.2345678901234567E-"
		"10\"}"},
	    {"true", "true"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf out = BUF_INIT(1000), scratch = BUF_INIT(1000);

		buf_add_str(&out, "x");
		buf_add_str(&out, cases[i][0]);
		os_quote_fractions(&out, 1, &scratch);
		assert_string_equal(buf_cstr(&out) + 1, cases[i][1]);
		buf_close(&out);
		buf_close(&scratch);
	}
}

static void
id_of_length(size_t n, struct buf *id)
{
	struct buf members = BUF_INIT(10000);
	struct page *p;

	buf_add_str(&members, ",\"Keys\":{\"pk\":{\"S\":\"");
	for (size_t i = 0; i < n - 4; i++)
		buf_add_char(&members, 'k');
	buf_add_str(&members, "\"}}");
	p = page_with(buf_cstr(&members), ",\"eventName\":\"INSERT\"");
	*id = BUF_INIT(10000);
	os_id_write(&bulk, &p->records[0], &orders, id);
	(void)buf_cstr(id);
	page_unref(p);
	buf_close(&members);
}

static void
test_long_ids(void **state)
{
	struct buf a, b, c;

	(void)state;
	id_of_length(OS_ID_MAX, &a);
	assert_int_equal(a.n, OS_ID_MAX);
	id_of_length(OS_ID_MAX + 1, &b);
	assert_int_equal(b.n, 7 + 64);
	assert_memory_equal(b.p, "sha256:", 7);
	id_of_length(OS_ID_MAX + 2, &c);
	assert_string_not_equal(b.p, c.p);
	buf_close(&a);
	buf_close(&b);
	buf_close(&c);
	conf.id = OS_ID_STREAM_KEY;
	id_of_length(5, &a);
	assert_string_equal(a.p, "orders[\"k\"]");
	buf_close(&a);
}

static void
test_indices(void **state)
{
	static char fixed[] = "all";
	struct os_target *t;
	struct err e;

	(void)state;
	t = os_target_of(&bulk, &orders, SLICE_NONE, &e);
	assert_string_equal(t->index, "orders");
	assert_ptr_equal(os_target_of(&bulk, &orders, SLICE_NONE, &e), t);
	assert_string_equal(os_target_of(&bulk, &users, SLICE_NONE, &e)->index, "users");
	end(NULL);
	begin(NULL);
	conf.index = fixed;
	assert_non_null(os_target_of(&bulk, &orders, SLICE_NONE, &e));
	assert_null(os_target_of(&bulk, &users, SLICE_NONE, &e));
	assert_non_null(strstr(e.text, "id: stream-key"));
	conf.id = OS_ID_STREAM_KEY;
	assert_non_null(os_target_of(&bulk, &users, SLICE_NONE, &e));
}

static void
test_refused(void **state)
{
	struct buf out;
	struct err e;

	(void)state;
	assert_int_equal(add(KEYS, ",\"eventName\":\"MODIFY\"", &out, &e), SINK_HALT);
	assert_non_null(strstr(e.text, "view type"));
	assert_int_equal(out.n, 0);
	buf_close(&out);
	assert_int_equal(add(KEYS, ",\"eventName\":\"ODD\"", &out, &e), SINK_REJECT);
	buf_close(&out);
	assert_int_equal(
	    add(KEYS ",\"NewImage\":{\"a\":{\"X\":1}}", ",\"eventName\":\"INSERT\"", &out, &e),
	    SINK_REJECT);
	assert_int_equal(out.n, 0);
	buf_close(&out);
	conf.documents = OS_ENVELOPE;
	assert_int_equal(add(KEYS, ",\"eventName\":\"MODIFY\"", &out, &e), SINK_ACK);
	buf_close(&out);
}

/* ---- the configuration ---- */

static void
test_check(void **state)
{
	static const struct {
		const char *yaml, *says;
	} cases[] = {
	    {"url: http://127.0.0.1:9200\nindex: orders\n", NULL},
	    {"url: [http://a:9200, https://b/path/]\nindex: \"x-{stream}\"\n", NULL},
	    {"url: ftp://a\nindex: orders\n", "http://"},
	    {"url: http://u:secret@a\nindex: orders\n", "host, a port and a path"},
	    {"url: http://a\nindex: Orders\n", "lower case"},
	    {"url: http://a\nindex: _orders\n", "begin with"},
	    {"url: http://a\nindex: \"a-{event}\"\n", "{event}"},
	    {"url: http://a\nindex: \"a-{tabel}\"\n", "{table}"},
	    {"url: http://a\nindex: a\nauth: basic\nuser: u\n", "both"},
	    {"url: http://a\nindex: a\nuser: u\npassword: p\n", "auth: basic"},
	    {"url: http://a\nindex: a\nauth: basic\nuser: u\npassword: p\n", NULL},
	    {"url: http://a\nindex: a\nregion: eu-west-1\n", "sigv4"},
	    {"url: http://a\nindex: a\nauth: sigv4\nservice: aoss\nregion: eu-west-1\n", NULL},
	    {"url: http://a\nindex: a\nclient-key: k\n", "client-certificate"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct os_conf c;
		struct conf_doc *doc;
		struct err e = {.text = ""};
		int r;

		assert_int_equal(conf_parse(&doc, slice_of(cases[i].yaml), "t", &e), 0);
		if (conf_fill(conf_root(doc), sink_opensearch.keys, NULL, &c, &e) != 0)
			fail_msg("%s", e.text);
		r = sink_opensearch.check(&c, &e);
		if ((r == 0) != (cases[i].says == NULL) ||
		    (r != 0 && strstr(e.text, cases[i].says) == NULL))
			fail_msg("%s: %s", cases[i].yaml, e.text);
		assert_null(strstr(e.text, "secret"));
		conf_wipe(sink_opensearch.keys, &c);
		conf_close(doc);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_overwrite, begin, end),
	    cmocka_unit_test_setup_teardown(test_guarded, begin, end),
	    cmocka_unit_test_setup_teardown(test_tombstone, begin, end),
	    cmocka_unit_test(test_numbers),
	    cmocka_unit_test_setup_teardown(test_long_ids, begin, end),
	    cmocka_unit_test_setup_teardown(test_indices, begin, end),
	    cmocka_unit_test_setup_teardown(test_refused, begin, end),
	    cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
