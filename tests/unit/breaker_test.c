/* tests/unit/breaker_test.c - closed, open, probing, and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pipeline/breaker.h"

static void
opens_after_failures_in_a_row_only(void **state)
{
	struct breaker br;

	(void)state;
	breaker_init(&br, 3, 60);
	assert_false(breaker_failed(&br, 1));
	assert_false(breaker_failed(&br, 2));
	assert_false(breaker_succeeded(&br));
	assert_false(breaker_failed(&br, 3));
	assert_false(breaker_failed(&br, 4));
	assert_true(breaker_failed(&br, 5));
	assert_int_equal(br.state, BREAKER_OPEN);
	/* Reports still on their way when it opened do not open it again. */
	assert_false(breaker_failed(&br, 6));
	assert_int_equal(br.until, 65);
}

static void
one_probe_decides(void **state)
{
	struct breaker br;

	(void)state;
	breaker_init(&br, 1, 60);
	assert_true(breaker_failed(&br, 0));
	assert_false(breaker_due(&br, 59));
	assert_true(breaker_due(&br, 60));
	assert_int_equal(br.state, BREAKER_PROBING);
	assert_false(breaker_due(&br, 61));
	assert_true(breaker_failed(&br, 70));
	assert_false(breaker_due(&br, 129));
	assert_true(breaker_due(&br, 130));
	assert_true(breaker_succeeded(&br));
	assert_int_equal(br.state, BREAKER_CLOSED);
	assert_int_equal(br.failures, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(opens_after_failures_in_a_row_only),
	    cmocka_unit_test(one_probe_decides),
	};

	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
