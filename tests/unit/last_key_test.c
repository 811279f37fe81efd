/* tests/unit/last_key_test.c - which delivery of a batch is the last of its key (sinks/last_key.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "sinks/last_key.h"

static void
add(struct last_key *lk, const char *key, uint64_t hash)
{
	assert_int_equal(last_key_add(lk, slice_of(key), hash), 0);
}

static void
the_last_of_each_key(void **state)
{
	struct last_key lk;

	(void)state;
	last_key_init(&lk);
	last_key_begin(&lk, 5);
	add(&lk, "a", 1);
	add(&lk, "b", 2);
	add(&lk, "a", 1);
	add(&lk, "", 3);
	add(&lk, "a", 1);
	assert_int_equal(last_key_of(&lk, 0), 4);
	assert_int_equal(last_key_of(&lk, 1), 1);
	assert_int_equal(last_key_of(&lk, 2), 4);
	assert_int_equal(last_key_of(&lk, 3), 3);
	assert_int_equal(last_key_of(&lk, 4), 4);
	assert_int_equal(lk.v[2].first, 0);
	assert_true(slice_is(last_key_text(&lk, 2), "a"));
	assert_int_equal(last_key_text(&lk, 3).n, 0);
	/* The next batch knows nothing of this one. */
	last_key_begin(&lk, 1);
	add(&lk, "a", 1);
	assert_int_equal(last_key_of(&lk, 0), 0);
	last_key_close(&lk);
}

/* Keys are told apart by their bytes, whatever their hashes. */
static void
equal_hashes_are_not_equal_keys(void **state)
{
	struct last_key lk;
	char key[16];

	(void)state;
	last_key_init(&lk);
	last_key_begin(&lk, 200);
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(key, sizeof key, "%u", i % 100);
		add(&lk, key, 42);
	}
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(last_key_of(&lk, i), i % 100 + 100);
	last_key_close(&lk);
}

static void
as_a_plain_search_says(void **state)
{
	struct last_key lk;
	struct rng r;

	(void)state;
	rng_seed(&r, 3);
	last_key_init(&lk);
	for (int round = 0; round < 200; round++) {
		size_t n = 1 + rng_below(&r, 300), keys = 1 + rng_below(&r, 400);
		uint64_t pick[300];

		last_key_begin(&lk, n);
		for (size_t i = 0; i < n; i++) {
			char key[32];

			pick[i] = rng_below(&r, keys);
			(void)snprintf(key, sizeof key, "key-%u", (unsigned)pick[i]);
			/* Hashes that differ in their high half alone, too. */
			add(&lk, key, pick[i] << (round % 2 != 0 ? 40 : 0));
		}
		for (size_t i = 0; i < n; i++) {
			size_t last = i;

			for (size_t j = i; j < n; j++)
				last = pick[j] == pick[i] ? j : last;
			assert_int_equal(last_key_of(&lk, i), last);
		}
	}
	last_key_close(&lk);
}

static void
too_much_is_said(void **state)
{
	struct last_key lk;

	(void)state;
	last_key_init(&lk);
	last_key_begin(&lk, 2);
	lk.keys.max = 4;
	add(&lk, "abc", 1);
	assert_int_equal(last_key_add(&lk, SLICE_LIT("de"), 2), -1);
	last_key_begin(&lk, 2);
	add(&lk, "abcd", 1);
	last_key_close(&lk);
	last_key_close(&lk);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_last_of_each_key),
	    cmocka_unit_test(equal_hashes_are_not_equal_keys),
	    cmocka_unit_test(as_a_plain_search_says),
	    cmocka_unit_test(too_much_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
