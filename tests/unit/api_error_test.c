/* tests/unit/api_error_test.c - streams/api_error.c: the table of streams.md 1.9,
 * bodies that are none, and what DynamoDB Local really said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "streams/api_http.h"
#include "tests/unit/shared_support.h"

#define AWS "{\"__type\":\"com.amazonaws.dynamodb.v20120810#"

static const struct {
	int status;
	const char *body;
	const char *header;
	enum api_code code;
	const char *name;
	const char *message;
} cases[] = {
    /* every name of streams.md 1.9 */
    {400, AWS "ExpiredIteratorException\",\"message\":\"x\"}", NULL, API_EXPIRED_ITERATOR,
	"ExpiredIteratorException", "x"},
    {400, AWS "TrimmedDataAccessException\"}", NULL, API_TRIMMED, "TrimmedDataAccessException", ""},
    {400, AWS "ResourceNotFoundException\"}", NULL, API_NOT_FOUND, "ResourceNotFoundException", ""},
    {400, AWS "LimitExceededException\"}", NULL, API_LIMIT_EXCEEDED, "LimitExceededException", ""},
    {400, AWS "ThrottlingException\",\"message\":\"Rate exceeded\"}", NULL, API_THROTTLED,
	"ThrottlingException", "Rate exceeded"},
    {400, AWS "ProvisionedThroughputExceededException\"}", NULL, API_THROTTLED,
	"ProvisionedThroughputExceededException", ""},
    {400, AWS "RequestLimitExceeded\"}", NULL, API_THROTTLED, "RequestLimitExceeded", ""},
    {500, AWS "InternalServerError\"}", NULL, API_SERVER, "InternalServerError", ""},
    {400, "{\"__type\":\"com.amazon.coral.validate#ValidationException\",\"message\":\"v\"}", NULL,
	API_VALIDATION, "ValidationException", "v"},
    {400, AWS "UnknownOperationException\"}", NULL, API_VALIDATION, "UnknownOperationException",
	""},
    {400, "{\"__type\":\"com.amazon.coral.service#SerializationException\"}", NULL, API_VALIDATION,
	"SerializationException", ""},
    {400, "{\"__type\":\"com.amazon.coral.service#ExpiredTokenException\"}", NULL, API_AUTH,
	"ExpiredTokenException", ""},
    {400, "{\"__type\":\"com.amazon.coral.service#UnrecognizedClientException\"}", NULL, API_AUTH,
	"UnrecognizedClientException", ""},
    {400, "{\"__type\":\"com.amazon.coral.service#InvalidSignatureException\"}", NULL, API_AUTH,
	"InvalidSignatureException", ""},
    {400, "{\"__type\":\"com.amazon.coral.service#MissingAuthenticationTokenException\"}", NULL,
	API_AUTH, "MissingAuthenticationTokenException", ""},
    {400, AWS "MissingAuthenticationToken\",\"Message\":\"Request must\"}", NULL, API_AUTH,
	"MissingAuthenticationToken", "Request must"},
    {400, "{\"__type\":\"IncompleteSignatureException\"}", NULL, API_AUTH,
	"IncompleteSignatureException", ""},
    {400, "{\"__type\":\"com.amazon.coral.service#AccessDeniedException\",\"Message\":\"no\"}",
	NULL, API_AUTH, "AccessDeniedException", "no"},
    {403, "{\"__type\":\"RequestTimeTooSkewed\"}", NULL, API_AUTH, "RequestTimeTooSkewed", ""},
    /* where the name may come from, and its forms */
    {400, "{\"__type\":\"ThrottlingException:http://internal.amazon.com/coral/\"}", NULL,
	API_THROTTLED, "ThrottlingException", ""},
    {400, "{\"__type\":\"a#b#ThrottlingException:x\"}", NULL, API_THROTTLED, "ThrottlingException",
	""},
    {400, "", "ResourceNotFoundException", API_NOT_FOUND, "ResourceNotFoundException", ""},
    {400, "<html>", "ThrottlingException:http://x/", API_THROTTLED, "ThrottlingException", ""},
    {400, AWS "TrimmedDataAccessException\"}", "ThrottlingException", API_TRIMMED,
	"TrimmedDataAccessException", ""},
    {400, "{\"__type\":7,\"message\":[1]}", "ValidationException", API_VALIDATION,
	"ValidationException", ""},
    {400, AWS "BrandNewException\",\"message\":\"m\"}", NULL, API_OTHER, "BrandNewException", "m"},
    {400, "{\"__type\":\"Exception\"}", NULL, API_OTHER, "Exception", ""},
    {400, "{\"__type\":\"bad name\"}", NULL, API_OTHER, "", ""},
    {400, "{\"__type\":\"\",\"message\":\"a\\nb\\u0007c\"}", NULL, API_OTHER, "", "a b c"},
    /* no name: the status has to do */
    {400, "", NULL, API_OTHER, "", ""},
    {401, "", NULL, API_AUTH, "", ""},
    {403, "<html>denied</html>", NULL, API_AUTH, "", ""},
    {404, "<html>404</html>", NULL, API_OTHER, "", ""}, /* never "the shard is gone" */
    {413, "", NULL, API_OTHER, "", ""},
    {429, "", NULL, API_THROTTLED, "", ""},
    {500, "<html>oops</html>", NULL, API_SERVER, "", ""},
    {502, "", NULL, API_SERVER, "", ""},
    {503, "<html>", NULL, API_SERVER, "", ""},
    {503, AWS "ThrottlingException\"}", NULL, API_THROTTLED, "ThrottlingException", ""},
    {504, "", NULL, API_SERVER, "", ""},
    /* a broken server does not end a shard or open a gap */
    {500, AWS "TrimmedDataAccessException\"}", NULL, API_SERVER, "TrimmedDataAccessException", ""},
    {500, AWS "ResourceNotFoundException\"}", NULL, API_SERVER, "ResourceNotFoundException", ""},
    /* portals and redirects */
    {302, "", NULL, API_MALFORMED, "", ""},
    {204, AWS "ResourceNotFoundException\"}", NULL, API_MALFORMED, "ResourceNotFoundException", ""},
    {200, "{}", NULL, API_MALFORMED, "", ""},
};

static void
test_table(void **state)
{
	char name[80], message[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum api_code code = api_error_code(cases[i].status, slice_of(cases[i].body),
		    slice_of(cases[i].header), name, message);

		if (code != cases[i].code)
			fail_msg("case %zu (%d %s): %s, not %s", i, cases[i].status, cases[i].body,
			    api_code_name(code), api_code_name(cases[i].code));
		assert_string_equal(name, cases[i].name);
		assert_string_equal(message, cases[i].message);
	}
}

static void
test_no_body_at_all(void **state)
{
	char name[80], message[256];

	(void)state;
	assert_int_equal(api_error_code(500, SLICE_NONE, SLICE_NONE, name, message), API_SERVER);
	assert_string_equal(name, "");
	assert_string_equal(message, "");
}

static void
test_long_texts_are_cut(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	char name[80], message[256];

	(void)state;
	buf_add_str(&b, "{\"__type\":\"");
	for (int i = 0; i < 500; i++)
		buf_add_char(&b, 'N');
	buf_add_str(&b, "\",\"message\":\"m");
	for (int i = 0; i < 500; i++)
		buf_add_str(&b, "\xc3\xa4");
	buf_add_str(&b, "\"}");
	assert_int_equal(api_error_code(400, buf_slice(&b), SLICE_NONE, name, message), API_OTHER);
	assert_string_equal(name, "");
	assert_int_equal(strlen(message), 255); /* whole characters: 1 + 127 * 2 */
	assert_memory_equal(message + 253, "\xc3\xa4", 3);
	buf_close(&b);
}

/* Truncated at every byte and with every byte changed: an answer, no crash,
 * and never one of the codes that lose data unless the name is whole. */
static void
test_damaged_bodies(void **state)
{
	static const char whole[] = AWS "TrimmedDataAccessException\",\"message\":\"x\"}";
	char text[sizeof whole], name[80], message[256];

	(void)state;
	for (size_t n = 0; n < sizeof whole - 1; n++)
		assert_int_equal(
		    api_error_code(400, (struct slice){whole, n}, SLICE_NONE, name, message),
		    API_OTHER);
	for (size_t i = 0; i < sizeof whole - 1; i++) {
		memcpy(text, whole, sizeof whole);
		text[i] = (char)(text[i] ^ 0x15);
		if (api_error_code(400, slice_of(text), SLICE_NONE, name, message) == API_TRIMMED)
			assert_string_equal(name, "TrimmedDataAccessException");
	}
}

static void
test_dynamodb_local(void **state)
{
	static const struct {
		const char *file;
		enum api_code code;
	} seen[] = {
	    {"err_bad_arn", API_NOT_FOUND},
	    {"err_bad_json", API_SERVER},
	    {"err_bogus_op", API_VALIDATION},
	    {"err_expired_iter", API_EXPIRED_ITERATOR},
	    {"err_expired_iter_real", API_EXPIRED_ITERATOR},
	    {"err_garbage_iter", API_VALIDATION},
	    {"err_garbled_iter", API_VALIDATION},
	    {"err_no_iter", API_VALIDATION},
	    {"err_unknown_stream", API_NOT_FOUND},
	    {"iter_after_garbageseq", API_VALIDATION},
	    {"iter_badshard", API_NOT_FOUND},
	    {"iter_noseq", API_VALIDATION},
	    {"getrecords_limit0", API_VALIDATION},
	};
	char file[200], name[80], message[256];

	(void)state;
	SHARED_OR_SKIP("fixtures/dynamodb-local");
	for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
		size_t n;
		int status;
		const char *body;

		(void)snprintf(
		    file, sizeof file, "fixtures/dynamodb-local/%s.status", seen[i].file);
		status = atoi(shared_read(file, &n));
		(void)snprintf(file, sizeof file, "fixtures/dynamodb-local/%s.json", seen[i].file);
		body = shared_read(file, &n);
		if (api_error_code(status, (struct slice){body, n}, SLICE_NONE, name, message) !=
		    seen[i].code)
			fail_msg(
			    "%s (%d): not %s", seen[i].file, status, api_code_name(seen[i].code));
		assert_string_not_equal(name, "");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_no_body_at_all),
	    cmocka_unit_test(test_long_texts_are_cut),
	    cmocka_unit_test(test_damaged_bodies),
	    cmocka_unit_test(test_dynamodb_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
