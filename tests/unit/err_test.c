/* tests/unit/err_test.c - codes, retriable, prefixes that fit, exit codes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/err.h"

static void
set_and_retry(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, ERR_IO, "store: cannot open %s", "/x"), -1);
	assert_int_equal(e.code, ERR_IO);
	assert_false(e.retriable);
	assert_string_equal(e.text, "store: cannot open /x");
	assert_int_equal(err_retry(&e, ERR_NETWORK, "peer: reset"), -1);
	assert_true(e.retriable);
	assert_int_equal(err_set(NULL, ERR_IO, "nobody asks"), -1);
	assert_int_equal(err_prefix(NULL, "nobody"), -1);
	assert_int_equal(err_errno(NULL, EIO, "nobody"), -1);
}

static void
prefix_keeps_code_and_fits(void **state)
{
	struct err e;
	char big[600];

	(void)state;
	err_retry(&e, ERR_LOCKED, "held by %d", 7);
	err_prefix(&e, "store %s", "a");
	assert_string_equal(e.text, "store a: held by 7");
	assert_int_equal(e.code, ERR_LOCKED);
	assert_true(e.retriable);
	memset(big, 'b', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	err_set(&e, ERR_IO, "%s", big);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	err_prefix(&e, "%s", big);
	assert_true(strlen(e.text) < sizeof e.text);
	assert_non_null(strstr(e.text, "b: b")); /* both parts are there */
}

/* What is not UTF-8 cannot be shown as JSON: a cut in the middle of a letter would take the
 * whole of `slipring status` with it. */
static void
text_is_utf8(void **state)
{
	struct err e;
	char big[600];

	(void)state;
	for (size_t i = 0; i + 2 < sizeof big; i += 2)
		memcpy(big + i, "\xc3\xa9", 3);
	err_set(&e, ERR_IO, "%s", big);
	assert_int_equal(strlen(e.text), sizeof e.text - 1);
	assert_string_equal(e.text + sizeof e.text - 4, "\xc3\xa9?");
	err_prefix(&e, "%s", "x");
	assert_string_equal(e.text + strlen(e.text) - 2, "\xc3\xa9");
	err_prefix(&e, "%s", "xy\xff");
	assert_memory_equal(e.text, "xy?: x: \xc3\xa9", 10);
	assert_int_equal(e.text[strlen(e.text) - 1], '?');
	err_errno(&e, EIO, "%.3s", big);
	assert_memory_equal(e.text, "\xc3\xa9?: ", 5);
}

static void
from_errno(void **state)
{
	static const struct {
		int number;
		enum err_code code;
		bool retriable;
	} t[] = {{ENOSPC, ERR_NOSPACE, true}, {EDQUOT, ERR_NOSPACE, true},
	    {ENOMEM, ERR_NOMEM, true}, {EMFILE, ERR_IO, true}, {ENFILE, ERR_IO, true},
	    {EINTR, ERR_IO, true}, {EAGAIN, ERR_IO, true}, {EACCES, ERR_IO, false},
	    {ENOENT, ERR_IO, false}};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		assert_int_equal(err_errno(&e, t[i].number, "x: %d", 1), -1);
		assert_int_equal(e.code, t[i].code);
		assert_int_equal(e.retriable, t[i].retriable);
		assert_memory_equal(e.text, "x: 1: ", 6);
		assert_string_equal(e.text + 6, strerror(t[i].number));
	}
}

static void
exit_codes(void **state)
{
	(void)state;
	for (int c = ERR_NONE; c <= ERR_CANCELLED; c++) {
		struct err e = {.code = (enum err_code)c};
		int expected = c == ERR_CONFIG ? 78 : c == ERR_USAGE ? 64 : 1;

		assert_int_equal(err_exit_code(&e), expected);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(set_and_retry),
	    cmocka_unit_test(prefix_keeps_code_and_fits),
	    cmocka_unit_test(text_is_utf8),
	    cmocka_unit_test(from_errno),
	    cmocka_unit_test(exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
