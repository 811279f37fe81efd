/* tests/unit/endpoint_test.c - streams/endpoint.c: hosts and ARNs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "streams/api_http.h"

static void
test_endpoints(void **state)
{
	static const struct {
		const char *region, *streams, *table;
	} cases[] = {
	    {"us-east-1", "https://streams.dynamodb.us-east-1.amazonaws.com",
		"https://dynamodb.us-east-1.amazonaws.com"},
	    {"eu-west-1", "https://streams.dynamodb.eu-west-1.amazonaws.com",
		"https://dynamodb.eu-west-1.amazonaws.com"},
	    {"us-gov-west-1", "https://streams.dynamodb.us-gov-west-1.amazonaws.com",
		"https://dynamodb.us-gov-west-1.amazonaws.com"},
	    {"cn-north-1", "https://streams.dynamodb.cn-north-1.amazonaws.com.cn",
		"https://dynamodb.cn-north-1.amazonaws.com.cn"},
	    {"us-iso-east-1", "https://streams.dynamodb.us-iso-east-1.c2s.ic.gov",
		"https://dynamodb.us-iso-east-1.c2s.ic.gov"},
	    {"us-isob-east-1", "https://streams.dynamodb.us-isob-east-1.sc2s.sgov.gov",
		"https://dynamodb.us-isob-east-1.sc2s.sgov.gov"},
	    {"ap-southeast-12", "https://streams.dynamodb.ap-southeast-12.amazonaws.com",
		"https://dynamodb.ap-southeast-12.amazonaws.com"},
	};
	struct buf out = BUF_INIT(512);
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_reset(&out);
		assert_int_equal(api_endpoint(cases[i].region, false, &out, &e), 0);
		assert_string_equal(buf_cstr(&out), cases[i].streams);
		buf_reset(&out);
		assert_int_equal(api_endpoint(cases[i].region, true, &out, &e), 0);
		assert_string_equal(buf_cstr(&out), cases[i].table);
	}
	buf_close(&out);
}

static void
test_what_is_no_region(void **state)
{
	static const char *const bad[] = {"", "local", "ddblocal", "eu-west", "EU-WEST-1",
	    "eu-west-1.evil.example", "eu-west-1/", "eu west-1", "-eu-west-1", "eu-west-1-",
	    "eu-west-1\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1", "1"};
	struct buf out = BUF_INIT(512);
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (api_endpoint(bad[i], false, &out, &e) == 0)
			fail_msg("accepted '%s'", bad[i]);
		assert_int_equal(e.code, ERR_CONFIG);
		assert_int_equal(out.n, 0);
	}
	buf_close(&out);
	out = BUF_INIT(10);
	assert_int_equal(api_endpoint("eu-west-1", false, &out, &e), -1);
	buf_close(&out);
}

static void
test_arn(void **state)
{
	struct arn_parts p;
	struct err e;

	(void)state;
	assert_int_equal(api_arn_parse("arn:aws:dynamodb:us-east-1:111122223333:table/Forum/stream/"
				       "2015-05-20T20:51:10.252",
			     &p, &e),
	    0);
	assert_true(slice_is(p.partition, "aws"));
	assert_true(slice_is(p.region, "us-east-1"));
	assert_true(slice_is(p.account, "111122223333"));
	assert_true(slice_is(p.table, "Forum"));
	assert_true(slice_is(p.label, "2015-05-20T20:51:10.252"));
	assert_int_equal(
	    api_arn_parse("arn:aws-cn:dynamodb:ddblocal:000000000000:table/a.b_c-D", &p, &e), 0);
	assert_true(slice_is(p.partition, "aws-cn"));
	assert_true(slice_is(p.table, "a.b_c-D"));
	assert_non_null(p.label.p);
	assert_int_equal(p.label.n, 0);
}

static void
test_bad_arns_say_which_part(void **state)
{
	static const struct {
		const char *arn, *why;
	} cases[] = {
	    {"", "begin with arn:"},
	    {"orders", "begin with arn:"},
	    {"ARN:aws:dynamodb:us-east-1:1:table/Forum", "begin with arn:"},
	    {"arn::dynamodb:us-east-1:1:table/Forum", "partition"},
	    {"arn:aws:kinesis:us-east-1:1:table/Forum", "service"},
	    {"arn:aws:dynamodb::1:table/Forum", "region"},
	    {"arn:aws:dynamodb:us east:1:table/Forum", "region"},
	    {"arn:aws:dynamodb:us-east-1::table/Forum", "account"},
	    {"arn:aws:dynamodb:us-east-1:x:table/Forum", "account"},
	    {"arn:aws:dynamodb:us-east-1:1:table", "no table"},
	    {"arn:aws:dynamodb:us-east-1:1:stream/Forum", "no table"},
	    {"arn:aws:dynamodb:us-east-1:1:table/", "table name"},
	    {"arn:aws:dynamodb:us-east-1:1:table/ab", "table name"},
	    {"arn:aws:dynamodb:us-east-1:1:table/a b c", "table name"},
	    {"arn:aws:dynamodb:us-east-1:1:table/Forum/", "/stream/LABEL"},
	    {"arn:aws:dynamodb:us-east-1:1:table/Forum/index/x", "/stream/LABEL"},
	    {"arn:aws:dynamodb:us-east-1:1:table/Forum/stream", "/stream/LABEL"},
	    {"arn:aws:dynamodb:us-east-1:1:table/Forum/stream/", "label"},
	    {"arn:aws:dynamodb:us-east-1:1:table/Forum/stream/a/b", "label"},
	    {"arn:aws:dynamodb:us-east-1:1:table/Forum/stream/a b", "label"},
	    {"arn:aws:dynamodb:us-east-1", "region"},
	};
	char big[2000];
	struct arn_parts p;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (api_arn_parse(cases[i].arn, &p, &e) == 0)
			fail_msg("accepted '%s'", cases[i].arn);
		assert_int_equal(e.code, ERR_CONFIG);
		if (strstr(e.text, cases[i].why) == NULL)
			fail_msg("'%s' not in '%s'", cases[i].why, e.text);
	}
	memset(big, 'a', sizeof big);
	big[sizeof big - 1] = '\0';
	assert_int_equal(api_arn_parse(big, &p, &e), -1);
	assert_non_null(strstr(e.text, "too long"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_endpoints),
	    cmocka_unit_test(test_what_is_no_region),
	    cmocka_unit_test(test_arn),
	    cmocka_unit_test(test_bad_arns_say_which_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
