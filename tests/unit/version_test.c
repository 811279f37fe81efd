/* tests/unit/version_test.c - versions order as changes do (record/version.h). */
#include "tests/unit/record_support.h"

#include "base/random.h"
#include "record/version.h"

static struct buf
version_of(const char *label, const char *sequence)
{
	const struct origin o = {.label = label};
	struct record r = {.page = NULL};
	struct buf b = BUF_INIT(128);

	assert_true(seq_parse(slice_of(sequence), &r.seq));
	version_write(&r, &o, &b);
	assert_false(b.failed);
	return b;
}

static int
compare(const char *label_a, const char *a, const char *label_b, const char *b)
{
	struct buf x = version_of(label_a, a), y = version_of(label_b, b);
	int r = slice_cmp(buf_slice(&x), buf_slice(&y));

	buf_close(&x);
	buf_close(&y);
	return r;
}

#define DAY1 "2026-11-21T07:29:37.000"
#define DAY2 "2026-11-22T07:29:37.000"

static void
label_and_forty_digits(void **state)
{
	struct buf b = version_of(DAY1, "42");

	(void)state;
	assert_slice(buf_slice(&b), DAY1 "/0000000000000000000000000000000000000042");
	buf_close(&b);
}

static void
bytes_order_as_numbers(void **state)
{
	(void)state;
	assert_true(compare(DAY1, "9", DAY1, "10") < 0);
	assert_true(compare(DAY1, "000000000000000000009", DAY1, "10") < 0);
	assert_true(compare(DAY1, "10", DAY1, "000000000000000000010") == 0);
	assert_true(compare(DAY1, "9999999999999999999999999999999999999999", DAY1,
			"10000000000000000000000") > 0);
	/* A later stream is newer, whatever the number. */
	assert_true(compare(DAY1, "9999999999999999999999999999999999999999", DAY2, "1") < 0);
}

static void
random_numbers(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 5);
	for (int i = 0; i < 2000; i++) {
		uint64_t a = rng_next(&r) >> rng_below(&r, 60),
			 b = rng_next(&r) >> rng_below(&r, 60);
		char x[41], y[41];

		(void)snprintf(
		    x, sizeof x, "%0*llu", 21 + (int)rng_below(&r, 20), (unsigned long long)a);
		(void)snprintf(
		    y, sizeof y, "%0*llu", 21 + (int)rng_below(&r, 20), (unsigned long long)b);
		assert_int_equal(compare(DAY1, x, DAY1, y) < 0, a < b);
		assert_int_equal(compare(DAY1, x, DAY1, y) == 0, a == b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(label_and_forty_digits),
	    cmocka_unit_test(bytes_order_as_numbers),
	    cmocka_unit_test(random_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
