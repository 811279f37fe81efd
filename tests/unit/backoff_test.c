/* Full jitter: spread over the whole range, doubling, capped, for ever. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/backoff.h"
#include "tests/unit/fake_loop.h"

#define DRAWS 2000

static void
test_range_of_each_attempt(void **state)
{
	struct loop *lp = fake_loop_new(3);
	int64_t top = 100 * USEC_MS;

	(void)state;
	for (unsigned attempt = 0; attempt < 20; attempt++) {
		int64_t least = INT64_MAX, most = 0, sum = 0;

		for (int i = 0; i < DRAWS; i++) {
			struct backoff b = {100 * USEC_MS, 10 * USEC_SEC, attempt};
			int64_t d = backoff_next(&b, lp);

			assert_int_equal(b.attempt, attempt + 1);
			assert_true(d >= 1 && d <= top);
			least = d < least ? d : least;
			most = d > most ? d : most;
			sum += d;
		}
		assert_true(least < top / 50 && most > top - top / 50);
		assert_in_range(sum / DRAWS, top * 45 / 100, top * 55 / 100);
		top = top * 2 < 10 * USEC_SEC ? top * 2 : 10 * USEC_SEC;
	}
	loop_close(lp);
}

static void
test_no_last_attempt(void **state)
{
	struct loop *lp = fake_loop_new(4);
	struct backoff b = {USEC_MS, 60 * USEC_SEC, 0};

	(void)state;
	for (int i = 0; i < 100000; i++)
		assert_in_range(backoff_next(&b, lp), 1, 60 * USEC_SEC);
	backoff_reset(&b);
	assert_in_range(backoff_next(&b, lp), 1, USEC_MS);
	b = (struct backoff){90 * USEC_SEC, 60 * USEC_SEC, 0}; /* cap below base */
	assert_in_range(backoff_next(&b, lp), 1, 60 * USEC_SEC);
	loop_close(lp);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_range_of_each_attempt),
	    cmocka_unit_test(test_no_last_attempt),
	};

	return cmocka_run_group_tests_name("backoff", tests, NULL, NULL);
}
