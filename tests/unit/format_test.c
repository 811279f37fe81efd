/* tests/unit/format_test.c - the bytes of each output format. docs/formats.md
 * shows the same record. */
#include "tests/unit/record_support.h"

#include <time.h>

#include "base/random.h"
#include "record/format.h"

static const char change[] =
    "{\"awsRegion\":\"eu-west-1\",\"dynamodb\":{\"ApproximateCreationDateTime\":1795246177.5,"
    "\"Keys\":{\"id\":{\"S\":\"o-1\"}},"
    "\"NewImage\":{\"id\":{\"S\":\"o-1\"},\"total\":{\"N\":\"12.50\"},\"tags\":{\"SS\":[\"new\","
    "\"gift\"]},"
    "\"ship\":{\"M\":{\"city\":{\"S\":\"K\\u00f6ln\"},\"express\":{\"BOOL\":true}}}},"
    "\"OldImage\":{\"id\":{\"S\":\"o-1\"},\"total\":{\"N\":\"12.5\"},\"tags\":{\"SS\":[\"new\"]},"
    "\"ship\":{\"M\":{\"city\":{\"S\":\"Bonn\"},\"express\":{\"BOOL\":true}}}},"
    "\"SequenceNumber\":\"300000000000000499659\",\"SizeBytes\":120,"
    "\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"},\"eventID\":\"e2fd9c34\",\"eventName\":\"MODIFY\","
    "\"eventSource\":\"aws:dynamodb\",\"eventVersion\":\"1.1\"}";

static const struct origin origin = {
    .stream = "orders",
    .table = "Orders",
    .arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/Orders/stream/x",
    .label = "x",
    .shard = "shardId-00000001414562045508-2bac9cd2",
};

static struct page *
page_of_change(const char *record)
{
	struct buf b = BUF_INIT(1u << 20);
	struct page *p;

	buf_addf(&b, "{\"Records\":[ %s ]}", record);
	p = page_of(buf_cstr(&b));
	buf_close(&b);
	return p;
}

static void
assert_format(enum format f, const char *record, const struct origin *o, const char *want)
{
	struct page *p = page_of_change(record);
	struct buf out = BUF_INIT(1u << 20);
	struct err e;

	buf_add_str(&out, "kept:");
	if (format_write(f, p->records, o, &out, &e) != 0)
		fail_msg("%s", e.text);
	assert_slice((struct slice){out.p + 5, out.n - 5}, want);
	buf_close(&out);
	page_unref(p);
}

static void
words_match_the_enum(void **state)
{
	(void)state;
	assert_string_equal(format_words[FORMAT_DYNAMODB], "dynamodb");
	assert_string_equal(format_words[FORMAT_PLAIN], "plain");
	assert_string_equal(format_words[FORMAT_ENVELOPE], "envelope");
	assert_string_equal(format_words[FORMAT_DEBEZIUM], "debezium");
	assert_null(format_words[FORMAT_DEBEZIUM + 1]);
}

static const char change_plain[] =
    "{\"key\":{\"id\":\"o-1\"},"
    "\"new\":{\"id\":\"o-1\",\"total\":12.50,\"tags\":[\"gift\",\"new\"],"
    "\"ship\":{\"city\":\"K\\u00f6ln\",\"express\":true}},"
    "\"old\":{\"id\":\"o-1\",\"total\":12.5,\"tags\":[\"new\"],"
    "\"ship\":{\"city\":\"Bonn\",\"express\":true}}}";

static const char change_envelope[] =
    "{\"id\":\"e2fd9c34\",\"event\":\"MODIFY\",\"stream\":\"orders\",\"table\":\"Orders\","
    "\"shard\":\"shardId-00000001414562045508-2bac9cd2\","
    "\"sequence\":\"300000000000000499659\",\"time\":\"2026-11-21T07:29:37.500Z\","
    "\"keys\":{\"id\":\"o-1\"},"
    "\"new\":{\"id\":\"o-1\",\"total\":12.50,\"tags\":[\"gift\",\"new\"],"
    "\"ship\":{\"city\":\"K\\u00f6ln\",\"express\":true}},"
    "\"old\":{\"id\":\"o-1\",\"total\":12.5,\"tags\":[\"new\"],"
    "\"ship\":{\"city\":\"Bonn\",\"express\":true}},"
    "\"changed\":[\"tags\",\"ship.city\"]}";

static void
the_record_of_the_manual(void **state)
{
	(void)state;
	assert_format(FORMAT_DYNAMODB, change, &origin, change);
	assert_format(FORMAT_PLAIN, change, &origin, change_plain);
	assert_format(FORMAT_ENVELOPE, change, &origin, change_envelope);
}

/* Its examples, word for word. */
static void
the_manual_itself(void **state)
{
	struct buf page = BUF_INIT(1u << 20);
	FILE *f = fopen("docs/formats.md", "rb");
	char chunk[4096];
	size_t n;

	(void)state;
	if (f == NULL) {
		print_message("not started from the top of the tree: skipped\n");
		skip();
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) != 0)
		buf_add(&page, chunk, n);
	(void)fclose(f);
	assert_non_null(strstr(buf_cstr(&page), change));
	assert_non_null(strstr(buf_cstr(&page), change_plain));
	assert_non_null(strstr(buf_cstr(&page), change_envelope));
	buf_close(&page);
}

static void
what_is_absent_is_null(void **state)
{
	static const char bare[] =
	    "{\"dynamodb\":{\"Keys\":{\"a\":{\"N\":\"1\"}},\"SequenceNumber\":\"7\"}}";

	(void)state;
	assert_format(FORMAT_PLAIN, bare, NULL, "{\"key\":{\"a\":1},\"new\":null,\"old\":null}");
	assert_format(FORMAT_ENVELOPE, bare, NULL,
	    "{\"id\":null,\"event\":null,\"stream\":null,\"table\":null,\"shard\":null,"
	    "\"sequence\":\"7\",\"time\":null,\"keys\":{\"a\":1},\"new\":null,\"old\":null,"
	    "\"changed\":null}");
}

static void
expired_by_ttl(void **state)
{
	(void)state;
	assert_format(FORMAT_ENVELOPE,
	    "{\"eventID\":\"x\",\"eventName\":\"REMOVE\",\"dynamodb\":{\"SequenceNumber\":\"007\","
	    "\"ApproximateCreationDateTime\":0,\"Keys\":{},\"OldImage\":{}},"
	    "\"userIdentity\":{\"type\":\"Service\",\"principalId\":\"dynamodb.amazonaws.com\"}}",
	    NULL,
	    "{\"id\":\"x\",\"event\":\"REMOVE\",\"stream\":null,\"table\":null,\"shard\":null,"
	    "\"sequence\":\"007\",\"time\":\"1970-01-01T00:00:00Z\",\"ttl\":true,\"keys\":{},"
	    "\"new\":null,\"old\":{},\"changed\":null}");
}

static void
names_of_ours_are_escaped(void **state)
{
	static const struct origin odd = {.stream = "a\"b", .table = "\xff", .shard = "\n"};

	(void)state;
	assert_format(FORMAT_ENVELOPE,
	    "{\"eventID\":\"q\\\"\\u0041\",\"eventName\":\"NEWS\",\"dynamodb\":{\"Keys\":{},"
	    "\"SequenceNumber\":\"1\",\"NewImage\":{\"a.b\":{\"N\":\"1\"}},\"OldImage\":{}}}",
	    &odd,
	    "{\"id\":\"q\\\"\\u0041\",\"event\":\"NEWS\",\"stream\":\"a\\\"b\",\"table\":"
	    "\"\xef\xbf\xbd\","
	    "\"shard\":\"\\n\",\"sequence\":\"1\",\"time\":null,\"keys\":{},\"new\":{\"a.b\":1},"
	    "\"old\":{},\"changed\":[\"\\\"a.b\\\"\"]}");
}

static void
plain_values(void **state)
{
	static const struct {
		const char *value, *want; /* NULL: refused */
	} cases[] = {
	    {"{\"S\":\"\"}", "\"\""},
	    {" { \"S\" : \"a\\n\\u0000\\ud800\" } ", "\"a\\n\\u0000\\ud800\""},
	    {"{\"\\u0053\":\"a\"}", "\"a\""},
	    {"{\"N\":\"-0.00000000000000000000000000000000001\"}",
		"-0.00000000000000000000000000000000001"},
	    {"{\"N\":\"12345678901234567890123456789012345678\"}",
		"12345678901234567890123456789012345678"},
	    {"{\"N\":\"9.9999999999999999999999999999999999999E+125\"}",
		"9.9999999999999999999999999999999999999E+125"},
	    {"{\"N\":\"1.10\"}", "1.10"},
	    {"{\"N\":\"1\\u0030\"}", "10"},
	    {"{\"N\":\"+1\"}", "1"},
	    {"{\"N\":\".5\"}", "0.5"},
	    {"{\"N\":\"007\"}", "7"},
	    {"{\"N\":\"+1e39\"}", "1000000000000000000000000000000000000000"},
	    {"{\"B\":\"dGV4dA==\"}", "\"dGV4dA==\""},
	    {"{\"BOOL\":true}", "true"},
	    {"{\"BOOL\":false}", "false"},
	    {"{\"NULL\":true}", "null"},
	    {"{\"M\":{}}", "{}"},
	    {"{\"M\":{\"a\":{\"S\":\"x\"},\"b\":{\"M\":{}}}}", "{\"a\":\"x\",\"b\":{}}"},
	    {"{\"L\":[]}", "[]"},
	    {"{\"L\":[{\"N\":\"1\"},{\"L\":[{\"NULL\":true}]},{\"S\":\"\"}]}", "[1,[null],\"\"]"},
	    {"{\"L\" : [ {\"N\" : \"1\"} , {\"N\":\"2\"} ] }", "[1,2]"},
	    {"{\"SS\":[\"b\",\"a\",\"\\u0061a\",\"\"]}", "[\"\",\"a\",\"\\u0061a\",\"b\"]"},
	    {"{\"SS\":[\"\\ud83d\\ude00\",\"\\uffff\"]}", "[\"\\uffff\",\"\\ud83d\\ude00\"]"},
	    {"{\"NS\":[\"10\",\"9\",\"-1\",\"0.5\",\"1e1\",\"-20\",\"0\",\"1E-3\"]}",
		"[-20,-1,0,1E-3,0.5,9,10,1e1]"},
	    {"{\"NS\":[\"+2\",\"\\u0031\"]}", "[1,2]"},
	    {"{\"BS\":[\"Ag==\",\"AQE=\",\"AQ==\",\"\",\"\\/w==\",\"+w==\",\"zz==\"]}",
		"[\"\",\"AQ==\",\"AQE=\",\"Ag==\",\"zz==\",\"+w==\",\"\\/w==\"]"},
	    {"{\"SS\":[]}", "[]"},
	    {"{\"N\":\"\"}", NULL},
	    {"{\"N\":\"NaN\"}", NULL},
	    {"{\"N\":\" 1\"}", NULL},
	    {"{\"N\":\"1\\u0000\"}", NULL},
	    {"{\"N\":1}", NULL},
	    {"{\"S\":1}", NULL},
	    {"{\"S\":null}", NULL},
	    {"{\"BOOL\":\"true\"}", NULL},
	    {"{\"BOOL\":null}", NULL},
	    {"{\"NULL\":null}", NULL},
	    {"{\"M\":[]}", NULL},
	    {"{\"M\":{\"a\":1}}", NULL},
	    {"{\"L\":{}}", NULL},
	    {"{\"L\":[1]}", NULL},
	    {"{\"SS\":[1]}", NULL},
	    {"{\"SS\":{}}", NULL},
	    {"{\"NS\":[\"a\"]}", NULL},
	    {"{\"BS\":[\"a\"]}", NULL},
	    {"{\"X\":\"a\"}", NULL},
	    {"{}", NULL},
	    {"{\"S\":\"a\",\"N\":\"1\"}", NULL},
	    {"\"a\"", NULL},
	    {"{\"S\":\"a\"}x", NULL},
	    {"", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf in = exact_body(slice_of(cases[i].value));
		struct buf out = BUF_INIT(1000);
		struct err e;
		int r;

		buf_add_str(&out, "kept");
		r = plain_write_value(buf_slice(&in), &out, &e);
		if (r != (cases[i].want != NULL ? 0 : -1))
			fail_msg("%s: %s", cases[i].value, r != 0 ? e.text : "taken");
		if (r != 0) {
			assert_int_equal(e.code, ERR_PROTOCOL);
			assert_false(e.retriable);
			assert_slice(buf_slice(&out), "kept");
		} else {
			assert_slice((struct slice){out.p + 4, out.n - 4}, cases[i].want);
		}
		buf_close(&out);
		buf_close(&in);
	}
}

/* Larger than what is sorted on the stack. */
static void
large_sets(void **state)
{
	struct buf in = BUF_INIT(1u << 20), out = BUF_INIT(1u << 20), want = BUF_INIT(1u << 20);
	struct err e;

	(void)state;
	buf_add_str(&in, "{\"NS\":[");
	buf_add_char(&want, '[');
	for (int i = 0; i < 5000; i++) {
		buf_addf(&in, "%s\"%d\"", i ? "," : "", (i * 7 + 3) % 5000 - 2500);
		buf_addf(&want, "%s%d", i ? "," : "", i - 2500);
	}
	buf_add_str(&in, "]}");
	buf_add_char(&want, ']');
	assert_int_equal(plain_write_value(buf_slice(&in), &out, &e), 0);
	assert_true(slice_eq(buf_slice(&out), buf_slice(&want)));
	buf_close(&in);
	buf_close(&out);
	buf_close(&want);
}

static void
maximum_of_the_buffer(void **state)
{
	struct page *p = page_of_change(change);
	struct buf out = BUF_INIT(1u << 20);
	struct err e;

	(void)state;
	for (int f = FORMAT_DYNAMODB; f <= FORMAT_DEBEZIUM; f++) {
		size_t full;

		assert_int_equal(format_write((enum format)f, p->records, &origin, &out, &e), 0);
		full = out.n;
		buf_close(&out);
		for (size_t max = 0; max < full; max++) {
			struct buf tight = BUF_INIT(max);

			assert_int_equal(
			    format_write((enum format)f, p->records, &origin, &tight, &e), -1);
			assert_int_equal(e.code, ERR_LIMIT);
			assert_int_equal(tight.n, 0);
			buf_close(&tight);
		}
		out = BUF_INIT(full);
		assert_int_equal(format_write((enum format)f, p->records, &origin, &out, &e), 0);
		assert_int_equal(out.n, full);
		buf_close(&out);
		out = BUF_INIT(1u << 20);
	}
	page_unref(p);
}

static void
bad_values_are_refused_whole(void **state)
{
	struct page *p =
	    page_of_change("{\"dynamodb\":{\"Keys\":{\"a\":{\"S\":\"x\"}},\"SequenceNumber\":\"1\","
			   "\"NewImage\":{\"a\":{\"S\":\"x\"},\"b\":{\"N\":\"secret\"}}}}");
	struct buf out = BUF_INIT(1u << 20);
	struct err e;

	(void)state;
	buf_add_str(&out, "kept");
	for (int f = FORMAT_PLAIN; f <= FORMAT_DEBEZIUM; f++) {
		assert_int_equal(format_write((enum format)f, p->records, &origin, &out, &e), -1);
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_null(strstr(e.text, "secret"));
		assert_slice(buf_slice(&out), "kept");
	}
	assert_int_equal(format_write(FORMAT_DYNAMODB, p->records, &origin, &out, &e), 0);
	buf_close(&out);
	page_unref(p);
}

static void
assert_time(int64_t us, const char *want)
{
	struct buf out = BUF_INIT(64);

	format_time(us, &out);
	assert_slice(buf_slice(&out), want);
	buf_close(&out);
}

static void
times(void **state)
{
	(void)state;
	assert_time(0, "1970-01-01T00:00:00Z");
	assert_time(INT64_C(1795246177000000), "2026-11-21T07:29:37Z");
	assert_time(INT64_C(1795246177123000), "2026-11-21T07:29:37.123Z");
	assert_time(INT64_C(1795246177000001), "2026-11-21T07:29:37.000001Z");
	assert_time(-1, "1969-12-31T23:59:59.999999Z");
	assert_time(INT64_C(951782400000000), "2000-02-29T00:00:00Z");
	assert_time(INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z");
	assert_time(INT64_C(-62135596800000000), "0001-01-01T00:00:00Z");
}

/* Against the C library, over the years 1 to 9999. */
static void
times_agree_with_gmtime(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 1);
	for (int i = 0; i < 200000; i++) {
		int64_t sec =
		    INT64_C(-62135596800) + (int64_t)rng_below(&r, UINT64_C(315537897600));
		time_t t = (time_t)sec;
		char want[80];
		struct tm tm;

		assert_non_null(gmtime_r(&t, &tm));
		(void)snprintf(want, sizeof want, "%04d-%02d-%02dT%02d:%02d:%02dZ",
		    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
		assert_time(sec * 1000000, want);
	}
	/* Nothing a time can hold is too much. */
	for (int64_t us = INT64_MIN; us < INT64_MIN + 3; us++) {
		struct buf out = BUF_INIT(64);

		format_time(us, &out);
		format_time(-(us + 1), &out);
		assert_false(out.failed);
		buf_close(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_match_the_enum),
	    cmocka_unit_test(the_record_of_the_manual),
	    cmocka_unit_test(the_manual_itself),
	    cmocka_unit_test(what_is_absent_is_null),
	    cmocka_unit_test(expired_by_ttl),
	    cmocka_unit_test(names_of_ours_are_escaped),
	    cmocka_unit_test(plain_values),
	    cmocka_unit_test(large_sets),
	    cmocka_unit_test(maximum_of_the_buffer),
	    cmocka_unit_test(bad_values_are_refused_whole),
	    cmocka_unit_test(times),
	    cmocka_unit_test(times_agree_with_gmtime),
	};

	return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
