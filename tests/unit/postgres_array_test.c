/* The bytes of parameters. What the server makes of them: tests/system/postgres_test.py. */
#include "tests/unit/record_support.h"

#include <inttypes.h>

#include "base/random.h"
#include "record/value.h"
#include "sinks/postgres_array.h"

static unsigned
get16(const struct buf *b, size_t at)
{
	return (unsigned)(unsigned char)b->p[at] << 8 | (unsigned char)b->p[at + 1];
}

static void
assert_numeric(const char *text, int weight, unsigned sign, unsigned scale, size_t n, ...)
{
	struct buf b = BUF_INIT(4096);
	va_list digits;

	if (!pg_numeric(slice_of(text), &b))
		fail_msg("%s is no number", text);
	assert_int_equal(b.n, 8 + 2 * n);
	assert_int_equal(get16(&b, 0), n);
	assert_int_equal((int16_t)get16(&b, 2), weight);
	assert_int_equal(get16(&b, 4), sign);
	assert_int_equal(get16(&b, 6), scale);
	va_start(digits, n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(get16(&b, 8 + 2 * i), va_arg(digits, unsigned));
	va_end(digits);
	buf_close(&b);
}

static void
numbers_in_base_10000(void **state)
{
	(void)state;
	assert_numeric("0", 0, 0, 0, 0);
	assert_numeric("1", 0, 0, 0, 1, 1u);
	assert_numeric("-1", 0, 0x4000, 0, 1, 1u);
	assert_numeric("10000", 1, 0, 0, 1, 1u);
	assert_numeric("12345", 1, 0, 0, 2, 1u, 2345u);
	assert_numeric("12345.678", 1, 0, 3, 3, 1u, 2345u, 6780u);
	assert_numeric("0.5", -1, 0, 1, 1, 5000u);
	assert_numeric("0.00012", -1, 0, 5, 2, 1u, 2000u);
	assert_numeric("0.00001", -2, 0, 5, 1, 1000u);
	assert_numeric("1.5E+5", 1, 0, 0, 1, 15u);
	assert_numeric("1E-130", -33, 0, 130, 1, 100u);
	assert_numeric("9.9E+125", 31, 0, 0, 1, 99u);
	assert_numeric("-100200300.4005", 2, 0x4000, 4, 4, 1u, 20u, 300u, 4005u);
}

/* The value that a numeric's bytes have, as text again. */
static void
decode(const struct buf *b, struct buf *out)
{
	int weight = (int16_t)get16(b, 2), n = (int)get16(b, 0);

	if (get16(b, 4) != 0)
		buf_add_char(out, '-');
	for (int i = 0; i < n; i++)
		buf_addf(out, "%04u", get16(b, 8 + 2 * (size_t)i));
	buf_addf(out, "%sE%d", n == 0 ? "0" : "", (weight - n + 1) * 4);
}

static void
numbers_keep_their_value(void **state)
{
	struct rng r;

	(void)state;
	rng_seed(&r, 7);
	for (int round = 0; round < 20000; round++) {
		struct buf in = BUF_INIT(256), canon = BUF_INIT(256), bytes = BUF_INIT(512);
		struct buf back = BUF_INIT(512), canon_back = BUF_INIT(512);
		unsigned digits = 1 + (unsigned)rng_below(&r, 38);

		buf_add_str(&in, rng_below(&r, 2) ? "-" : "");
		for (unsigned i = 0; i < digits; i++)
			buf_addf(&in, "%s%u", i == 1 ? "." : "", (unsigned)rng_below(&r, 10));
		buf_addf(&in, "E%d", (int)rng_below(&r, 250) - 125);
		assert_true(number_canonical(buf_slice(&in), &canon));
		assert_true(pg_numeric(buf_slice(&canon), &bytes));
		decode(&bytes, &back);
		assert_true(number_canonical(buf_slice(&back), &canon_back));
		assert_true(slice_eq(buf_slice(&canon), buf_slice(&canon_back)));
		buf_close(&in);
		buf_close(&canon);
		buf_close(&bytes);
		buf_close(&back);
		buf_close(&canon_back);
	}
}

static void
what_is_no_number(void **state)
{
	static const char *const texts[] = {"", "-", "x", "1x", "1.2.3", "1E", "1E+", "1E1001",
	    "1E99999999999999999999", "NaN", "Infinity", "."};
	struct buf b = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		assert_false(pg_numeric(slice_of(texts[i]), &b));
		assert_int_equal(b.n, 0);
	}
	buf_close(&b);
}

static void
array_of_text(void **state)
{
	static const unsigned char want[] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0,
	    0, 1, 0, 0, 0, 2, 'h', 'i', 255, 255, 255, 255};
	static const unsigned char empty[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25};
	const struct rows_cell none = {.null = true}, hi = {.p = "hi", .n = 2},
			       no = {.p = "no", .n = 2};
	struct buf arena = BUF_INIT(16);
	struct pg_array a = {.count = 0};

	(void)state;
	for (int round = 0; round < 2; round++) {
		pg_array_begin(&a, COLUMN_TEXT);
		assert_true(pg_array_add(&a, &hi, &arena));
		assert_true(pg_array_add(&a, &no, &arena));
		pg_array_undo(&a);
		assert_true(pg_array_add(&a, &none, &arena));
		pg_array_end(&a);
		assert_int_equal(a.buf.n, sizeof want);
		assert_memory_equal(a.buf.p, want, sizeof want);
	}
	pg_array_begin(&a, COLUMN_TEXT);
	pg_array_end(&a);
	assert_int_equal(a.buf.n, sizeof empty);
	assert_memory_equal(a.buf.p, empty, sizeof empty);
	pg_array_close(&a);
}

static void
assert_element(enum column_type t, const struct rows_cell *c, const void *want, size_t n)
{
	struct buf arena = BUF_INIT(16);
	struct pg_array a = {.count = 0};

	pg_array_begin(&a, t);
	assert_true(pg_array_add(&a, c, &arena));
	pg_array_end(&a);
	assert_int_equal(a.buf.n, 20 + 4 + n);
	assert_memory_equal(a.buf.p + 24, want, n);
	pg_array_close(&a);
}

static void
elements(void **state)
{
	(void)state;
	assert_element(COLUMN_BOOLEAN, &(struct rows_cell){.number = 1}, "\1", 1);
	assert_element(COLUMN_BIGINT, &(struct rows_cell){.number = -2},
	    "\xff\xff\xff\xff\xff\xff\xff\xfe", 8);
	/* 2000-01-01 00:00:01 */
	assert_element(COLUMN_TIMESTAMPTZ, &(struct rows_cell){.number = INT64_C(946684801000000)},
	    "\0\0\0\0\0\x0f\x42\x40", 8);
	assert_element(COLUMN_JSONB, &(struct rows_cell){.p = "{}", .n = 2}, "\1{}", 3);
	assert_element(COLUMN_BYTEA, &(struct rows_cell){.p = "\0x", .n = 2}, "\0x", 2);
	assert_element(COLUMN_TEXT, &(struct rows_cell){.p = "", .n = 0}, "", 0);
	assert_element(
	    COLUMN_NUMERIC, &(struct rows_cell){.p = "7", .n = 1}, "\0\1\0\0\0\0\0\0\0\7", 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_in_base_10000),
	    cmocka_unit_test(numbers_keep_their_value),
	    cmocka_unit_test(what_is_no_number),
	    cmocka_unit_test(array_of_text),
	    cmocka_unit_test(elements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
