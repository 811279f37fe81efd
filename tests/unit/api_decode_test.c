/* tests/unit/api_decode_test.c - streams/api_decode.c: real answers of DynamoDB
 * Local, the sample of AWS's own page, and everything that must be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "streams/api_decode.h"
#include "tests/unit/shared_support.h"

static struct slice
fixture(const char *name)
{
	char file[200];
	size_t n;
	const char *p;

	(void)snprintf(file, sizeof file, "fixtures/dynamodb-local/%s.json", name);
	p = shared_read(file, &n);
	return (struct slice){p, n};
}

static void
expect_seq(const struct seq *s, const char *digits)
{
	assert_true(slice_is(seq_text(s), digits));
}

/* ---- real answers ---- */

static void
test_fixture_table(void **state)
{
	struct api_table t;
	struct err e;

	(void)state;
	SHARED_OR_SKIP("fixtures/dynamodb-local");
	assert_int_equal(decode_table(fixture("describetable"), &t, &e), 0);
	assert_string_equal(t.table, "Orders");
	assert_string_equal(t.arn, "arn:aws:dynamodb:ddblocal:000000000000:table/Orders");
	assert_string_equal(t.latest_stream,
	    "arn:aws:dynamodb:ddblocal:000000000000:table/Orders/stream/2026-11-20T23:19:43.596");
	assert_true(t.stream_enabled);
	assert_int_equal(t.view, VIEW_NEW_AND_OLD);
	assert_string_equal(t.key.hash, "pk");
	assert_int_equal(t.key.hash_type, 'S');
	assert_string_equal(t.key.range, "sk");
	assert_int_equal(t.key.range_type, 'S');
}

static void
test_table_keys(void **state)
{
	static const char head[] = "{\"Table\":{\"TableName\":\"t\",";
	struct api_table t;
	struct err e;
	struct buf b = BUF_INIT(4096);

	(void)state;
	buf_addf(&b,
	    "%s\"KeySchema\":[{\"AttributeName\":\"h\",\"KeyType\":\"HASH\"}],"
	    "\"AttributeDefinitions\":[{\"AttributeName\":\"x\",\"AttributeType\":\"S\"},"
	    "{\"AttributeName\":\"h\",\"AttributeType\":\"B\"}]}}",
	    head);
	assert_int_equal(decode_table(buf_slice(&b), &t, &e), 0);
	assert_string_equal(t.key.hash, "h");
	assert_int_equal(t.key.hash_type, 'B');
	assert_string_equal(t.key.range, "");
	assert_int_equal(t.key.range_type, 0);
	/* A look-alike may leave all of it out, or say what we do not know. */
	buf_reset(&b);
	buf_addf(&b, "%s\"AttributeDefinitions\":null}}", head);
	assert_int_equal(decode_table(buf_slice(&b), &t, &e), 0);
	assert_string_equal(t.key.hash, "");
	buf_reset(&b);
	buf_addf(&b,
	    "%s\"KeySchema\":[{\"AttributeName\":\"h\",\"KeyType\":\"HASH\"}],"
	    "\"AttributeDefinitions\":[7,{\"AttributeName\":\"h\",\"AttributeType\":\"SS\"}]}}",
	    head);
	assert_int_equal(decode_table(buf_slice(&b), &t, &e), 0);
	assert_int_equal(t.key.hash_type, 0);
	buf_reset(&b);
	buf_addf(&b, "%s\"KeySchema\":[{\"AttributeName\":\"h\",\"KeyType\":\"x\"}]}}", head);
	assert_int_equal(decode_table(buf_slice(&b), &t, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	buf_close(&b);
}

static void
test_fixture_streams(void **state)
{
	struct api_stream s;
	struct err e;

	(void)state;
	SHARED_OR_SKIP("fixtures/dynamodb-local");
	assert_int_equal(decode_stream(fixture("describe_limit1"), &s, &e), 0);
	assert_string_equal(s.label, "2026-11-20T23:19:43.596");
	assert_string_equal(s.table, "Orders");
	assert_int_equal(s.status, STREAM_ENABLED);
	assert_int_equal(s.view, VIEW_NEW_AND_OLD);
	assert_string_equal(s.key.hash, "pk");
	assert_string_equal(s.key.range, "sk");
	assert_int_equal(s.shard_count, 1);
	assert_string_equal(s.shards[0].id, "shardId-00000001795216783638-262783a5");
	assert_string_equal(s.shards[0].parent, "");
	expect_seq(&s.shards[0].start, "000000000000000000001");
	assert_false(seq_is_set(&s.shards[0].end));
	assert_string_equal(s.last_shard, "");
	decode_stream_clear(&s);
	assert_int_equal(decode_stream(fixture("ppr_describe_disabled"), &s, &e), 0);
	assert_int_equal(s.status, STREAM_DISABLED);
	assert_string_equal(s.key.range, "");
	expect_seq(&s.shards[0].end, "000000000000000000014");
	decode_stream_clear(&s);
}

static void
test_fixture_lists_and_iterators(void **state)
{
	struct api_stream_ref *v = NULL;
	char last[LIMIT_STREAM_ARN + 1], iterator[LIMIT_ITERATOR + 1];
	size_t n = 0;
	struct err e;

	(void)state;
	SHARED_OR_SKIP("fixtures/dynamodb-local");
	assert_int_equal(decode_stream_refs(fixture("liststreams_limit1"), &v, &n, last, &e), 0);
	assert_int_equal(n, 1);
	assert_string_equal(last, v[0].arn);
	assert_int_equal(decode_stream_refs(fixture("ppr_liststreams"), &v, &n, last, &e), 0);
	assert_int_equal(n, 3); /* appended */
	assert_string_equal(last, "");
	assert_string_equal(v[1].label, "2026-11-20T23:20:27.619");
	assert_int_equal(
	    decode_stream_refs(fixture("err_unknown_table_list"), &v, &n, last, &e), 0);
	assert_int_equal(n, 3);
	free(v);
	assert_int_equal(decode_iterator(fixture("iter_trim"), iterator, &e), 0);
	assert_memory_equal(iterator, "000|arn:aws:dynamodb:", 21);
}

/* ---- the sample of AWS's documentation, grown ---- */

static const char sample[] =
    "{\"StreamDescription\":{"
    "\"StreamArn\":\"arn:aws:dynamodb:us-east-1:111122223333:table/Forum/stream/2015\","
    "\"StreamLabel\":\"2015-05-20T20:51:10.252\",\"StreamStatus\":\"ENABLED\","
    "\"StreamViewType\":\"KEYS_ONLY\",\"CreationRequestDateTime\":1.432155070252E9,"
    "\"TableName\":\"Forum\",\"New\":{\"x\":[1]},"
    "\"KeySchema\":[{\"AttributeName\":\"Sub \\u00e4\",\"KeyType\":\"RANGE\"},"
    "{\"AttributeName\":\"ForumName\",\"KeyType\":\"HASH\"}],"
    "\"Shards\":[{\"ShardId\":\"shardId-00000001414562045508-2bac9cd2\","
    "\"ParentShardId\":\"shardId-00000001414531000000-0a1b2c3d\","
    "\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"20500000000000000910398\","
    "\"EndingSequenceNumber\":\"20500000000000000910399\"}},"
    "{\"ShardId\":\"s\",\"ParentShardId\":null,\"SequenceNumberRange\":null}],"
    "\"LastEvaluatedShardId\":\"s\"}}";

static void
test_sample(void **state)
{
	struct api_stream s;
	struct err e;

	(void)state;
	if (decode_stream(SLICE_LIT(sample), &s, &e) == -1)
		fail_msg("%s", e.text);
	assert_int_equal(s.view, VIEW_KEYS_ONLY);
	assert_string_equal(s.key.hash, "ForumName");
	assert_string_equal(s.key.range, "Sub \xc3\xa4");
	assert_int_equal(s.shard_count, 2);
	assert_string_equal(s.shards[0].parent, "shardId-00000001414531000000-0a1b2c3d");
	expect_seq(&s.shards[0].end, "20500000000000000910399");
	assert_false(seq_is_set(&s.shards[1].start));
	assert_string_equal(s.last_shard, "s");
	decode_stream_clear(&s);
}

static void
test_cut_anywhere(void **state)
{
	struct api_stream s;
	struct err e;

	(void)state;
	for (size_t n = 0; n < sizeof sample - 1; n++) {
		char *copy = mem_slicedup((struct slice){sample, n}); /* for ASan */

		assert_int_equal(decode_stream((struct slice){copy, n}, &s, &e), -1);
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_true(e.retriable);
		assert_null(s.shards);
		free(copy);
	}
}

/* The sample with one piece replaced: must be refused, naming the member. */
static void
test_wrong_types_and_sizes(void **state)
{
	static const struct {
		const char *from, *to, *why;
	} cases[] = {
	    {"\"StreamDescription\":{", "\"StreamDescription\":{\"StreamDescription\":{}},\"x\":{",
		"StreamArn"},
	    {"\"StreamDescription\":{", "\"X\":{", "StreamDescription"},
	    {"\"arn:aws:dynamodb:us-east-1:111122223333:table/Forum/stream/2015\"", "7",
		"StreamArn"},
	    {"\"arn:aws:dynamodb:us-east-1:111122223333:table/Forum/stream/2015\"", "\"\"",
		"StreamArn"},
	    {"\"2015-05-20T20:51:10.252\"", "null", "StreamLabel"},
	    {"\"2015-05-20T20:51:10.252\"", "\"a b\"", "StreamLabel"},
	    {"\"2015-05-20T20:51:10.252\"", "\"a\\nb\"", "StreamLabel"},
	    {"\"ENABLED\"", "true", "StreamStatus"},
	    {"\"TableName\":\"Forum\"", "\"TableName\":{}", "TableName"},
	    {"\"TableName\":\"Forum\"", "\"TableName\":\"a\",\"TableName\":\"b\"", "not JSON"},
	    {"\"KeyType\":\"RANGE\"", "\"KeyType\":\"HASH\"", "KeySchema"},
	    {"\"KeyType\":\"RANGE\"", "\"KeyType\":\"SORT\"", "KeySchema"},
	    {"\"ForumName\"", "\"\"", "AttributeName"},
	    {"\"Shards\":[", "\"Shards\":[1,", "Shards"},
	    {"\"Shards\":[", "\"Shards\":[{\"ShardId\":9},", "ShardId"},
	    {"\"Shards\":[", "\"Shards\":[{},", "ShardId"},
	    {"\"Shards\":[", "\"Shards\":[{\"ShardId\":\"x\",\"ParentShardId\":\"x\"},",
		"ParentShardId"},
	    {"\"Shards\":[", "\"Shards\":[{\"ShardId\":\"x\",\"ParentShardId\":1},",
		"ParentShardId"},
	    {"\"SequenceNumberRange\":{", "\"SequenceNumberRange\":[{}],\"x\":{",
		"SequenceNumberRange"},
	    {"\"20500000000000000910398\"", "20500000000000000910398", "StartingSequenceNumber"},
	    {"\"20500000000000000910398\"", "\"-1\"", "StartingSequenceNumber"},
	    {"\"20500000000000000910398\"", "\"\"", "StartingSequenceNumber"},
	    {"\"20500000000000000910399\"", "\"11111111111111111111111111111111111111111\"",
		"EndingSequenceNumber"},
	    {"\"LastEvaluatedShardId\":\"s\"", "\"LastEvaluatedShardId\":[]",
		"LastEvaluatedShardId"},
	    {"shardId-00000001414562045508-2bac9cd2",
		"shardId-00000001414562045508-2bac9cd2aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"ShardId"},
	    {"\"Forum\"", "\"For\\u0000um\"", "not JSON"},
	};
	struct api_stream s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *at = strstr(sample, cases[i].from);
		struct buf b = BUF_INIT(1 << 16);

		assert_non_null(at);
		buf_add(&b, sample, (size_t)(at - sample));
		buf_add_str(&b, cases[i].to);
		buf_add_str(&b, at + strlen(cases[i].from));
		if (decode_stream(buf_slice(&b), &s, &e) == 0)
			fail_msg("accepted: %s", buf_cstr(&b));
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_true(e.retriable);
		if (strstr(e.text, cases[i].why) == NULL)
			fail_msg("'%s' not in '%s'", cases[i].why, e.text);
		buf_close(&b);
	}
}

static void
test_what_passes(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
	    {"\"ENABLED\"", "\"SOMETHING_NEW\""},
	    {"\"KEYS_ONLY\"", "\"SOMETHING_NEW\""},
	    {"\"KEYS_ONLY\"", "7"},
	    {"1.432155070252E9", "\"Wed May 20 13:51:10 PDT 2015\""},
	    {"\"LastEvaluatedShardId\":\"s\"", "\"LastEvaluatedShardId\":\"\""},
	    {"\"LastEvaluatedShardId\":\"s\"", "\"LastEvaluatedShardId\":null"},
	    {"\"TableName\":\"Forum\",", ""},
	};
	struct api_stream s;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *at = strstr(sample, cases[i].from);
		struct buf b = BUF_INIT(1 << 16);

		buf_add(&b, sample, (size_t)(at - sample));
		buf_add_str(&b, cases[i].to);
		buf_add_str(&b, at + strlen(cases[i].from));
		if (decode_stream(buf_slice(&b), &s, &e) == -1)
			fail_msg("%s: %s", e.text, buf_cstr(&b));
		assert_int_equal(s.shard_count, 2);
		decode_stream_clear(&s);
		buf_close(&b);
	}
}

static void
test_other_answers_are_refused(void **state)
{
	static const char *const none[] = {"", "null", "[]", "7", "\"x\"", "{}", "<html></html>",
	    "{\"__type\":\"x#ThrottlingException\",\"message\":\"\"}", "{\"Table\":[]}",
	    "{\"Streams\":{}}", "{\"Streams\":null}", "{\"Streams\":[7]}", "{\"Streams\":[{}]}",
	    "{\"ShardIterator\":null}", "{\"ShardIterator\":\"\"}", "{\"ShardIterator\":{}}",
	    "{\"StreamDescription\":null}", "{} x", "\xff\xfe"};
	struct api_stream_ref *v = NULL;
	struct api_stream s;
	struct api_table t;
	char last[LIMIT_STREAM_ARN + 1], iterator[LIMIT_ITERATOR + 1];
	size_t n = 0;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		struct slice body = slice_of(none[i]);

		assert_int_equal(decode_table(body, &t, &e), -1);
		assert_int_equal(decode_stream(body, &s, &e), -1);
		assert_int_equal(decode_iterator(body, iterator, &e), -1);
		assert_int_equal(decode_stream_refs(body, &v, &n, last, &e), -1);
		assert_int_equal(e.code, ERR_PROTOCOL);
	}
	assert_int_equal(n, 0);
	free(v);
}

static void
test_bounds(void **state)
{
	struct buf b = BUF_INIT(16u << 20);
	char iterator[LIMIT_ITERATOR + 1];
	struct api_stream s;
	struct err e;

	(void)state;
	buf_add_str(&b, "{\"ShardIterator\":\"");
	for (unsigned i = 0; i < LIMIT_ITERATOR; i++)
		buf_add_char(&b, 'i');
	buf_add_str(&b, "\"}");
	assert_int_equal(decode_iterator(buf_slice(&b), iterator, &e), 0);
	assert_int_equal(strlen(iterator), LIMIT_ITERATOR);
	b.n -= 2;
	buf_add_str(&b, "i\"}");
	assert_int_equal(decode_iterator(buf_slice(&b), iterator, &e), -1);
	buf_reset(&b);
	buf_add_str(&b,
	    "{\"StreamDescription\":{\"StreamArn\":\"a\",\"StreamLabel\":\"l\","
	    "\"StreamStatus\":\"ENABLED\",\"Shards\":[");
	for (int i = 0; i < 10001; i++)
		buf_addf(&b, "%s{\"ShardId\":\"s%d\"}", i != 0 ? "," : "", i);
	buf_add_str(&b, "]}}");
	assert_int_equal(decode_stream(buf_slice(&b), &s, &e), -1);
	assert_non_null(strstr(e.text, "too many"));
	buf_reset(&b);
	for (unsigned i = 0; i < LIMIT_CONTROL_BODY + 1; i++)
		buf_add_char(&b, ' ');
	assert_int_equal(decode_stream(buf_slice(&b), &s, &e), -1);
	assert_non_null(strstr(e.text, "too many"));
	buf_reset(&b);
	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, '['); /* depth */
	assert_int_equal(decode_stream(buf_slice(&b), &s, &e), -1);
	buf_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fixture_table),
	    cmocka_unit_test(test_table_keys),
	    cmocka_unit_test(test_fixture_streams),
	    cmocka_unit_test(test_fixture_lists_and_iterators),
	    cmocka_unit_test(test_sample),
	    cmocka_unit_test(test_cut_anywhere),
	    cmocka_unit_test(test_wrong_types_and_sizes),
	    cmocka_unit_test(test_what_passes),
	    cmocka_unit_test(test_other_answers_are_refused),
	    cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
