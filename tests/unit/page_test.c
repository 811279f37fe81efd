/* tests/unit/page_test.c - the rules at the top of record/scan.c, one by one. */
#include "tests/unit/record_support.h"
#include "tests/unit/shared_support.h"

#include <glob.h>

#define KEYS ",\"Keys\":{\"pk\":{\"S\":\"a\"}}"
#define DDB "\"dynamodb\":{\"SequenceNumber\":\"" SEQ21 "\"" KEYS "}"
#define PAGE(record) "{\"Records\":[{" record "}]}"

static const char aws_sample[] =
    "{\"NextShardIterator\":\"arn:aws:dynamodb:us-west-2:111122223333:table/F/stream/"
    "x|1|AA+ZaQ==\","
    "\"Records\":[{\"awsRegion\":\"us-west-2\",\"dynamodb\":{"
    "\"ApproximateCreationDateTime\":1.46480431E9,"
    "\"Keys\":{\"ForumName\":{\"S\":\"DynamoDB\"},\"Subject\":{\"S\":\"DynamoDB Thread 3\"}},"
    "\"SequenceNumber\":\"300000000000000499659\",\"SizeBytes\":41,"
    "\"StreamViewType\":\"KEYS_ONLY\"},\"eventID\":\"e2fd9c34eff2d779b297b26f5fef4206\","
    "\"eventName\":\"INSERT\",\"eventSource\":\"aws:dynamodb\",\"eventVersion\":\"1.0\"}]}";

static void
every_field_is_where_it_came(void **state)
{
	struct page *p = page_of(aws_sample);
	const struct record *r = p->records;

	(void)state;
	assert_int_equal(p->count, 1);
	assert_true(p->has_next);
	assert_slice(p->next_iterator,
	    "arn:aws:dynamodb:us-west-2:111122223333:table/F/stream/x|1|AA+ZaQ==");
	assert_ptr_equal(r->page, p);
	assert_slice(r->event_id, "e2fd9c34eff2d779b297b26f5fef4206");
	assert_slice(r->event_name, "INSERT");
	assert_int_equal(r->event, RECORD_INSERT);
	assert_slice(r->view_type, "KEYS_ONLY");
	assert_slice(r->keys,
	    "{\"ForumName\":{\"S\":\"DynamoDB\"},\"Subject\":{\"S\":\"DynamoDB Thread 3\"}}");
	assert_slice(r->new_image, NULL);
	assert_slice(r->old_image, NULL);
	assert_slice(r->user_identity, NULL);
	assert_slice(seq_text(&r->seq), "300000000000000499659");
	assert_int_equal(r->created_us, INT64_C(1464804310000000));
	assert_int_equal(r->flags, 0);
	assert_int_equal(r->raw.p[0], '{');
	assert_int_equal(r->raw.p[r->raw.n - 1], '}');
	assert_ptr_equal(r->raw.p, memmem(p->body.p, p->body.n, "{\"awsRegion\"", 12));
	assert_true(p->bytes >= sizeof aws_sample - 1 + sizeof *r);
	page_unref(p);
}

static void
pages_without_records_or_iterator(void **state)
{
	static const struct {
		const char *body;
		const char *iterator; /* NULL: closed */
	} cases[] = {
	    {"{\"Records\":[]}", NULL},
	    {" {\t\"Records\" :\r\n[ ] }\n", NULL},
	    {"{\"Records\":[],\"NextShardIterator\":null}", NULL},
	    {"{\"Records\":[],\"NextShardIterator\":\"\"}", NULL},
	    {"{\"NextShardIterator\":\"x\",\"Records\":[]}", "x"},
	    {"{\"Records\":[],\"NextShardIterator\":\"a\\/b\\u003d\"}", "a/b="},
	    {"{\"\\u0052ecords\":[],\"NextShardIterator\":\"x\"}", "x"},
	    {"{\"Records\":[],\"Unknown\":{\"Records\":[1,2,{}]},\"z\":-0.5e+7}", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page *p = page_of(cases[i].body);

		assert_int_equal(p->count, 0);
		assert_int_equal(p->has_next, cases[i].iterator != NULL);
		assert_slice(p->next_iterator, cases[i].iterator);
		page_unref(p);
	}
}

static void
answers_that_are_refused(void **state)
{
	static const struct {
		const char *body;
		const char *says;
	} cases[] = {
	    {"", "not a GetRecords answer"},
	    {"[]", "not a GetRecords answer"},
	    {"<html></html>", "not a GetRecords answer"},
	    {"{}", "Records is missing"},
	    {"{\"__type\":\"com.amazon.coral.service#InternalServerError\",\"message\":null}",
		"Records is missing"},
	    {"{\"Records\":null}", "Records is not an array"},
	    {"{\"Records\":{}}", "Records is not an array"},
	    {"{\"Records\":[1]}", "holds something that is not an object"},
	    {"{\"Records\":[null]}", "holds something that is not an object"},
	    {"{\"Records\":[],\"Records\":[]}", "Records is given twice"},
	    {"{\"Records\":[],\"\\u0052ecords\":[]}", "Records is given twice"},
	    {"{\"Records\":[],\"NextShardIterator\":1}", "NextShardIterator is of the wrong type"},
	    {"{\"Records\":[],\"NextShardIterator\":\"a\",\"NextShardIterator\":null}",
		"NextShardIterator is given twice"},
	    {"{\"Records\":[]} x", "something follows"},
	    {"{\"Records\":[]}{}", "something follows"},
	    {"{\"Records\":[],}", "expected a member name"},
	    {"{\"Records\":[,]}", ""},
	    {"{\"Records\":[] \"x\":1}", "expected ','"},
	    {"{\"Records\":[],\"x\" 1}", "expected ':'"},
	    {"\xef\xbb\xbf{\"Records\":[]}", "not a GetRecords answer"},
	    {PAGE(""), "dynamodb is missing"},
	    {PAGE("\"dynamodb\":null"), "dynamodb is not an object"},
	    {PAGE("\"dynamodb\":{}"), "Keys is missing"},
	    {PAGE("\"dynamodb\":{\"SequenceNumber\":\"1\"}"), "Keys is missing"},
	    {PAGE("\"dynamodb\":{\"SequenceNumber\":\"1\",\"Keys\":null}"), "Keys is missing"},
	    {PAGE("\"dynamodb\":{\"SequenceNumber\":\"1\",\"Keys\":[]}"), "Keys is of the wrong"},
	    {PAGE("\"dynamodb\":{\"Keys\":{}}"), "SequenceNumber is missing"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":null}"), "not 1 to 40 digits"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":1}"), "of the wrong type"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":\"\"}"), "not 1 to 40 digits"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":\"-1\"}"), "not 1 to 40 digits"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":"
		  "\"12345678901234567890123456789012345678901\"}"),
		"not 1 to 40 digits"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":\"1\",\"SequenceNumber\":\"1\"}"),
		"SequenceNumber is given twice"},
	    {PAGE("\"dynamodb\":{\"Keys\":{},\"Keys\":{},\"SequenceNumber\":\"1\"}"),
		"Keys is given twice"},
	    {PAGE(DDB "," DDB), "dynamodb is given twice"},
	    {PAGE(DDB ",\"eventID\":7"), "eventID is of the wrong type"},
	    {PAGE(DDB ",\"eventName\":{}"), "eventName is of the wrong type"},
	    {PAGE(DDB ",\"userIdentity\":\"x\""), "userIdentity is of the wrong type"},
	    {PAGE(DDB ",\"userIdentity\":{\"type\":\"Service\",\"Type\":\"User\"}"),
		"userIdentity gives the same member twice"},
	    {PAGE("\"dynamodb\":{\"SequenceNumber\":\"1\"" KEYS ",\"NewImage\":[]}"),
		"NewImage is of the wrong type"},
	    {PAGE("\"dynamodb\":{\"SequenceNumber\":\"1\"" KEYS ",\"OldImage\":\"\"}"),
		"OldImage is of the wrong type"},
	    {PAGE("\"dynamodb\":{\"SequenceNumber\":\"1\"" KEYS ",\"StreamViewType\":1}"),
		"StreamViewType is of the wrong type"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page *p = (struct page *)1;
		struct err e = {.code = ERR_NONE};

		if (parse_slice(slice_of(cases[i].body), &p, &e) == 0)
			fail_msg("taken: %s", cases[i].body);
		assert_null(p);
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_true(e.retriable);
		assert_int_equal(strncmp(e.text, "page: byte ", 11), 0);
		if (strstr(e.text, cases[i].says) == NULL)
			fail_msg(
			    "said: %s\nwant: %s\nfor: %s", e.text, cases[i].says, cases[i].body);
	}
}

/* Anywhere in an answer, an unknown member included, JSON is JSON. */
static void
values_that_are_no_json(void **state)
{
	static const char *const bad[] = {"01", "1.", ".5", "+1", "-", "1e", "1e+", "--1", "0x1",
	    "1_0", "nul", "True", "nan", "tru", "\"", "\"\\\"", "\"\\x\"", "\"\\u12\"",
	    "\"\\u12g4\"", "\"\\U0041\"", "\"\t\"", "\"\n\"", "\"\x01\"", "\"\x1f\"", "\"\xff\"",
	    "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xe2\x82\"", "\"\x80\"",
	    "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1",
	    "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" \"b\"}", "{\"a\":1 \"b\":2}",
	    "[1}", "{\"a\":1]", "'a'", "]", "}", "\xc2\xa0\"a\"", "/**/1", "{\"a\":{\"S\":\"x\"]}",
	    "{\"a\":{\"S\":\"x\",}}", "{\"a\":{\"S\":\"x\"", "\f1", "1 1"};
	static const char *const good[] = {"0", "-0", "0.0", "1e5", "1E-5", "1E+400",
	    "123456789012345678901234567890123456789", "true", "false", "null", "\"\"", "\"\x7f\"",
	    "\"\\u0000\"", "\"\\ud800\"", "\"\\udc00 \\uD83D\\ude00\"",
	    "\"\\/\\b\\f\\n\\r\\t\\\\\\\"\"", "\"\xf4\x8f\xbf\xbf\"", "\"\xef\xbb\xbf\"", "[]",
	    "{}", "[[],{},[{}]]", " [ 1 , 2 ] ", "{\"\":0}", "{\"a\":1,\"a\":2}", "{\"\\u0000\":1}",
	    "\"0123456789abcdef\"", "\"0123456789abcde\xc3\xa9\"",
	    "\"0123456789abcdef0123456789abcde\\n\""};
	char body[256];
	struct page *p;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(body, sizeof body, "{\"Records\":[],\"x\":%s}", bad[i]);
		if (parse_slice(slice_of(body), &p, &e) == 0)
			fail_msg("taken: %s", body);
		(void)snprintf(body, sizeof body, PAGE(DDB ",\"x\":%s"), bad[i]);
		if (parse_slice(slice_of(body), &p, &e) == 0)
			fail_msg("taken: %s", body);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		(void)snprintf(body, sizeof body, PAGE(DDB ",\"x\":%s") "\n", good[i]);
		p = page_of(body);
		assert_int_equal(p->count, 1);
		page_unref(p);
	}
}

static void
creation_times(void **state)
{
	static const struct {
		const char *text;
		int64_t us; /* -1: RECORD_NO_TIME */
	} cases[] = {
	    {"1.46480431E9", INT64_C(1464804310000000)},
	    {"1568013979.0", INT64_C(1568013979000000)},
	    {"1568013979", INT64_C(1568013979000000)},
	    {"1795216740.000", INT64_C(1795216740000000)},
	    {"1437677671.062", INT64_C(1437677671062000)},
	    /* As a double this is 1602518560.3140010833740234375. */
	    {"1602518560.314001", INT64_C(1602518560314001)},
	    {"1602518560.3140019999", INT64_C(1602518560314001)},
	    {"1602518560.31400199999999999999999999999999", INT64_C(1602518560314001)},
	    {"0.00000000000000000000001602518560314001999e32", INT64_C(1602518560314001)},
	    {"16025185603140019999999999999e-19", INT64_C(1602518560314001)},
	    {"9007199254740993e-6", INT64_C(9007199254740993)},
	    {"1.602518560314001e+9", INT64_C(1602518560314001)},
	    {"0.001E12", INT64_C(1000000000000000)},
	    {"15680139790000000000e-10", INT64_C(1568013979000000)},
	    {"0", 0},
	    {"-0.0", 0},
	    {"0e999999999999", 0},
	    {"1e-400", 0},
	    {"-1.5", INT64_C(-1500000)},
	    {"253402300799.999999", INT64_C(253402300799999999)},
	    {"253402300800", -1},
	    {"-62135596800", INT64_C(-62135596800000000)},
	    {"-62135596801", -1},
	    {"1568013979000", -1}, /* milliseconds: no date we would believe */
	    {"1e400", -1},
	    {"123456789012345678901234567890", -1},
	    {"\"1568013979\"", -1},
	    {"null", -1},
	    {"{}", -1},
	    {"true", -1},
	};
	char member[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page *p;

		(void)snprintf(member, sizeof member, KEYS ",\"ApproximateCreationDateTime\":%s",
		    cases[i].text);
		p = page_with(member, "");
		if (cases[i].us == -1) {
			assert_int_equal(p->records->flags, RECORD_NO_TIME);
			assert_int_equal(p->records->created_us, 0);
		} else {
			if (p->records->created_us != cases[i].us)
				fail_msg(
				    "%s: %lld", cases[i].text, (long long)p->records->created_us);
			assert_int_equal(p->records->flags, 0);
		}
		page_unref(p);
	}
	{
		struct page *p = page_with(KEYS, "");

		assert_int_equal(p->records->flags, RECORD_NO_TIME);
		page_unref(p);
	}
}

static void
who_deleted_it(void **state)
{
	static const struct {
		const char *identity;
		bool ttl, there;
	} cases[] = {
	    {"{\"principalId\":\"dynamodb.amazonaws.com\",\"type\":\"Service\"}", true, true},
	    {"{\"Type\":\"Service\",\"PrincipalId\":\"dynamodb.amazonaws.com\"}", true, true},
	    {"{\"Type\":\"Ser\\u0076ice\",\"principal\\u0049d\":\"dynamodb\\u002eamazonaws.com\"}",
		true, true},
	    {"{\"type\":\"Service\"}", false, true},
	    {"{\"principalId\":\"dynamodb.amazonaws.com\"}", false, true},
	    {"{\"type\":\"User\",\"principalId\":\"dynamodb.amazonaws.com\"}", false, true},
	    {"{\"type\":1,\"principalId\":[\"dynamodb.amazonaws.com\"]}", false, true},
	    {"{}", false, true},
	    {"null", false, false},
	};
	char outside[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page *p;

		(void)snprintf(outside, sizeof outside, ",\"userIdentity\":%s", cases[i].identity);
		p = page_with(KEYS, outside);
		assert_int_equal((p->records->flags & RECORD_TTL) != 0, cases[i].ttl);
		assert_slice(p->records->user_identity, cases[i].there ? cases[i].identity : NULL);
		page_unref(p);
	}
}

static void
event_names(void **state)
{
	static const struct {
		const char *json;
		enum record_event event;
		const char *raw;
	} cases[] = {
	    {"\"INSERT\"", RECORD_INSERT, "INSERT"},
	    {"\"MODIFY\"", RECORD_MODIFY, "MODIFY"},
	    {"\"REMOVE\"", RECORD_REMOVE, "REMOVE"},
	    {"\"\\u0052EMOVE\"", RECORD_REMOVE, "\\u0052EMOVE"},
	    {"\"ARCHIVE\"", RECORD_UNKNOWN, "ARCHIVE"},
	    {"\"insert\"", RECORD_UNKNOWN, "insert"},
	    {"\"\"", RECORD_UNKNOWN, ""},
	    {"null", RECORD_UNKNOWN, NULL},
	};
	char outside[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct page *p;

		(void)snprintf(outside, sizeof outside, ",\"eventName\":%s", cases[i].json);
		p = page_with(KEYS, outside);
		assert_int_equal(p->records->event, cases[i].event);
		assert_slice(p->records->event_name, cases[i].raw);
		page_unref(p);
	}
}

static void
escaped_names_and_numbers_count(void **state)
{
	struct page *p = page_of("{\"Records\":[{\"d\\u0079namodb\":{\"\\u004beys\":{},"
				 "\"SequenceN\\u0075mber\":\"\\u0030\\u0031\\u0032\"}}]}");

	(void)state;
	assert_slice(seq_text(&p->records->seq), "012");
	assert_slice(p->records->keys, "{}");
	page_unref(p);
}

static struct buf
nested(unsigned depth)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);

	/* The answer itself is the first level. */
	buf_add_str(&b, "{\"Records\":[],\"x\":");
	for (unsigned i = 1; i < depth; i++)
		buf_add_char(&b, i % 3 == 0 ? '{' : '['),
		    buf_add_str(&b, i % 3 == 0 ? "\"a\":" : "");
	buf_add_str(&b, "0");
	for (unsigned i = depth - 1; i >= 1; i--)
		buf_add_char(&b, i % 3 == 0 ? '}' : ']');
	buf_add_str(&b, "}");
	return b;
}

static void
depth_has_a_limit(void **state)
{
	struct buf b = nested(LIMIT_JSON_DEPTH);
	struct page *p;
	struct err e;

	(void)state;
	page_unref(page_of(buf_cstr(&b)));
	buf_close(&b);
	b = nested(LIMIT_JSON_DEPTH + 1);
	assert_int_equal(parse_slice(buf_slice(&b), &p, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_true(e.retriable);
	buf_close(&b);
	/* A megabyte of brackets must not find our stack. */
	b = nested(1000000);
	assert_int_equal(parse_slice(buf_slice(&b), &p, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	buf_close(&b);
}

/* Attribute values 32 levels deep, which the service allows. */
static void
deepest_legal_item(void **state)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);
	struct page *p;

	(void)state;
	buf_add_str(&b, KEYS ",\"NewImage\":{\"d\":");
	for (int i = 0; i < 32; i++)
		buf_add_str(&b, i % 2 ? "{\"L\":[" : "{\"M\":{\"a\":");
	buf_add_str(&b, "{\"S\":\"bottom\"}");
	for (int i = 31; i >= 0; i--)
		buf_add_str(&b, i % 2 ? "]}" : "}}");
	buf_add_str(&b, "}");
	p = page_with(buf_cstr(&b), "");
	assert_non_null(p->records->new_image.p);
	page_unref(p);
	buf_close(&b);
}

static struct buf
many_records(size_t count)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);

	buf_add_str(&b, "{\"Records\":[");
	for (size_t i = 0; i < count; i++)
		buf_addf(&b, "%s{\"dynamodb\":{\"Keys\":{},\"SequenceNumber\":\"%zu\"}}",
		    i ? "," : "", i);
	buf_add_str(&b, "]}");
	return b;
}

static void
record_count_has_a_limit(void **state)
{
	struct buf b = many_records(LIMIT_PAGE_RECORDS);
	struct page *p = page_of(buf_cstr(&b));
	struct err e;

	(void)state;
	assert_int_equal(p->count, LIMIT_PAGE_RECORDS);
	for (size_t i = 0; i < p->count; i++) {
		char text[24];

		(void)snprintf(text, sizeof text, "%zu", i);
		assert_slice(seq_text(&p->records[i].seq), text);
		assert_ptr_equal(p->records[i].page, p);
	}
	page_unref(p);
	buf_close(&b);
	b = many_records(LIMIT_PAGE_RECORDS + 1);
	assert_int_equal(parse_slice(buf_slice(&b), &p, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_true(e.retriable);
	buf_close(&b);
}

static void
errors_say_where_and_nothing_of_the_contents(void **state)
{
	static const char body[] = PAGE(DDB ",\"secret-value\":\"secret\x01text\"");
	struct page *p;
	struct err e;

	(void)state;
	assert_int_equal(parse_slice(slice_of(body), &p, &e), -1);
	assert_null(strstr(e.text, "secret"));
	assert_int_equal(strtol(e.text + 11, NULL, 10), strchr(body, 1) - body);
}

static void
references(void **state)
{
	struct page *p = page_of(aws_sample);

	(void)state;
	assert_int_equal(p->refs, 1);
	assert_ptr_equal(page_ref(p), p);
	page_unref(p);
	assert_int_equal(p->refs, 1);
	assert_slice(p->records->event_name, "INSERT");
	page_unref(p);
	page_unref(NULL);
}

static void
a_body_that_overflowed_is_refused(void **state)
{
	struct buf body = BUF_INIT(16);
	struct page *p;
	struct err e;

	(void)state;
	buf_add_str(&body, "{\"Records\":[]}");
	buf_add_str(&body, "        ");
	assert_true(body.failed);
	assert_int_equal(page_parse(&p, &body, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_null(body.p);
}

static struct buf
read_file(const char *path)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);
	FILE *f = fopen(path, "rb");
	char chunk[4096];
	size_t n;

	assert_non_null(f);
	while ((n = fread(chunk, 1, sizeof chunk, f)) != 0)
		buf_add(&b, chunk, n);
	(void)fclose(f);
	return b;
}

/* What DynamoDB Local answers: a page with status 200, an error otherwise. */
static void
answers_of_dynamodb_local(void **state)
{
	glob_t g;
	size_t pages = 0;

	(void)state;
	SHARED_OR_SKIP("fixtures/dynamodb-local");
	assert_int_equal(
	    glob(shared_path("fixtures/dynamodb-local/*getrecords*.json"), 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		struct buf b = read_file(g.gl_pathv[i]);
		bool is_page = memmem(b.p, b.n, "\"__type\"", 8) == NULL;
		struct page *p;
		struct err e;
		int r = parse_slice(buf_slice(&b), &p, &e);

		if (r != (is_page ? 0 : -1))
			fail_msg("%s: %s", g.gl_pathv[i], r != 0 ? e.text : "taken");
		pages += is_page;
		for (size_t k = 0; r == 0 && k < p->count; k++) {
			assert_int_not_equal(p->records[k].event, RECORD_UNKNOWN);
			assert_int_equal(p->records[k].flags & RECORD_NO_TIME, 0);
			assert_int_equal(p->records[k].seq.n, 21);
		}
		page_unref(r == 0 ? p : NULL);
		buf_close(&b);
	}
	assert_true(pages >= 5);
	globfree(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_field_is_where_it_came),
	    cmocka_unit_test(pages_without_records_or_iterator),
	    cmocka_unit_test(answers_that_are_refused),
	    cmocka_unit_test(values_that_are_no_json),
	    cmocka_unit_test(creation_times),
	    cmocka_unit_test(who_deleted_it),
	    cmocka_unit_test(event_names),
	    cmocka_unit_test(escaped_names_and_numbers_count),
	    cmocka_unit_test(depth_has_a_limit),
	    cmocka_unit_test(deepest_legal_item),
	    cmocka_unit_test(record_count_has_a_limit),
	    cmocka_unit_test(errors_say_where_and_nothing_of_the_contents),
	    cmocka_unit_test(references),
	    cmocka_unit_test(a_body_that_overflowed_is_refused),
	    cmocka_unit_test(answers_of_dynamodb_local),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
