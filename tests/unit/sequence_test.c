/* tests/unit/sequence_test.c - sequence numbers order as integers, whatever
 * their length (hazard 34). The oracle is big-integer arithmetic: the number is
 * built up digit by digit in limbs of 32 bits, with nothing of its text left. */
#include "tests/unit/record_support.h"

#include "base/random.h"

#define LIMBS 5 /* 160 bits; 40 digits need 133 */

struct big {
	uint32_t limb[LIMBS]; /* the lowest first */
};

static struct big
big_of(const char *digits)
{
	struct big b = {{0}};

	for (; *digits != '\0'; digits++) {
		uint64_t carry = (uint64_t)(*digits - '0');

		for (int i = 0; i < LIMBS; i++) {
			carry += (uint64_t)b.limb[i] * 10;
			b.limb[i] = (uint32_t)carry;
			carry >>= 32;
		}
		assert_int_equal(carry, 0);
	}
	return b;
}

static int
big_cmp(struct big a, struct big b)
{
	for (int i = LIMBS; i-- > 0;)
		if (a.limb[i] != b.limb[i])
			return a.limb[i] < b.limb[i] ? -1 : 1;
	return 0;
}

static int
sign(int x)
{
	return (x > 0) - (x < 0);
}

static void
random_digits(struct rng *r, char *out)
{
	size_t n = 1 + rng_below(r, LIMIT_SEQUENCE_DIGITS);
	size_t zeros = rng_below(r, 4) == 0 ? rng_below(r, n) : 0;

	for (size_t i = 0; i < n; i++)
		out[i] = (char)(i < zeros ? '0' : '0' + rng_below(r, 10));
	out[n] = '\0';
}

/* Often a close neighbour of the other: a digit more, less or different. */
static void
near_digits(struct rng *r, const char *other, char *out)
{
	size_t n = strlen(other);

	memcpy(out, other, n + 1);
	switch (rng_below(r, 4)) {
	case 0:
		out[rng_below(r, n)] = (char)('0' + rng_below(r, 10));
		break;
	case 1:
		if (n < LIMIT_SEQUENCE_DIGITS) {
			memmove(out + 1, out, n + 1);
			out[0] = (char)('0' + rng_below(r, 2));
		}
		break;
	case 2:
		if (n > 1)
			out[n - 1] = '\0';
		break;
	default:
		random_digits(r, out);
	}
}

static void
order_is_integer_order(void **state)
{
	char a[LIMIT_SEQUENCE_DIGITS + 1], b[LIMIT_SEQUENCE_DIGITS + 1];
	unsigned outcomes[3] = {0};
	struct seq x, y;
	struct rng r;

	(void)state;
	rng_seed(&r, 34);
	for (int i = 0; i < 1000000; i++) {
		int want;

		random_digits(&r, a);
		near_digits(&r, a, b);
		assert_true(seq_parse(slice_of(a), &x));
		assert_true(seq_parse(slice_of(b), &y));
		want = big_cmp(big_of(a), big_of(b));
		if (sign(seq_cmp(&x, &y)) != want || sign(seq_cmp(&y, &x)) != -want)
			fail_msg("%s against %s", a, b);
		outcomes[want + 1]++;
		assert_true(slice_is(seq_text(&x), a));
		assert_true(slice_is(seq_text(&y), b));
	}
	for (int i = 0; i < 3; i++)
		assert_true(outcomes[i] > 10000);
}

static void
order_across_lengths(void **state)
{
	static const char *const rising[] = {"0", "1", "9", "10", "99", "100",
	    "20500000000000000910398", "212588000000000008186106757",
	    "820400000000000001192334000000", "9999999999999999999999999999999999999999"};
	struct seq x, y;

	(void)state;
	for (size_t i = 0; i + 1 < ARRAY_LEN(rising); i++) {
		assert_true(seq_parse(slice_of(rising[i]), &x));
		assert_true(seq_parse(slice_of(rising[i + 1]), &y));
		assert_true(seq_cmp(&x, &y) < 0);
	}
	assert_true(seq_parse(SLICE_LIT("000000000000000000007"), &x));
	assert_true(seq_parse(SLICE_LIT("7"), &y));
	assert_int_equal(seq_cmp(&x, &y), 0);
	assert_slice(seq_text(&x), "000000000000000000007");
}

static void
what_is_no_number(void **state)
{
	static const char *const bad[] = {"", " 1", "1 ", "-1", "+1", "1.0", "1e3", "a", "1a",
	    "\xd9\xa1", "12345678901234567890123456789012345678901"};
	struct seq x;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_true(seq_parse(SLICE_LIT("5"), &x));
		assert_false(seq_parse(slice_of(bad[i]), &x));
		assert_false(seq_is_set(&x));
	}
	assert_false(seq_parse(SLICE_NONE, &x));
	assert_false(seq_parse((struct slice){"1\0", 2}, &x));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order_is_integer_order),
	    cmocka_unit_test(order_across_lengths),
	    cmocka_unit_test(what_is_no_number),
	};

	return cmocka_run_group_tests_name("sequence", tests, NULL, NULL);
}
