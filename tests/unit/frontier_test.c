/* tests/unit/frontier_test.c - the frontier against a model too simple to be
 * wrong: an array of flags, walked from its start every time.
 */
#include "checkpoint/frontier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"

static struct seq
seq(uint64_t n)
{
	char text[32];
	struct seq s;

	(void)snprintf(text, sizeof text, "%021llu", (unsigned long long)n);
	assert_true(seq_parse(slice_of(text), &s));
	return s;
}

static void
assert_acked(const struct frontier *f, uint64_t n)
{
	struct seq want = seq(n);

	assert_true(seq_is_set(&f->acked));
	assert_int_equal(seq_cmp(&f->acked, &want), 0);
	assert_int_equal(f->acked.n, 21); /* the text as it came */
}

static void
stands_before_the_first_that_is_not_done(void **state)
{
	struct frontier f;
	uint64_t t[5];

	(void)state;
	frontier_init(&f);
	assert_true(frontier_empty(&f));
	for (uint64_t i = 1; i <= 4; i++) {
		struct seq s = seq(i);

		t[i] = frontier_push(&f, &s, 0);
	}
	assert_false(seq_is_set(&f.acked));
	assert_true(frontier_done(&f, t[1]));
	assert_acked(&f, 1);
	assert_false(frontier_done(&f, t[3]));
	assert_false(frontier_done(&f, t[4]));
	assert_acked(&f, 1);
	assert_true(frontier_done(&f, t[2]));
	assert_acked(&f, 4);
	assert_true(frontier_empty(&f));
	frontier_close(&f);
}

static void
drop_keeps_the_frontier_and_takes_the_records_again(void **state)
{
	struct frontier f;
	struct seq s;
	uint64_t old, again;

	(void)state;
	frontier_init(&f);
	for (uint64_t i = 10; i < 20; i++) {
		s = seq(i);
		old = frontier_push(&f, &s, 0);
		if (i == 10 || i == 15)
			(void)frontier_done(&f, old);
	}
	assert_acked(&f, 10);
	frontier_drop(&f);
	assert_true(frontier_empty(&f));
	assert_acked(&f, 10);
	s = seq(11);
	again = frontier_push(&f, &s, 0);
	assert_true(again > old);
	s = seq(12);
	(void)frontier_push(&f, &s, 0);
	assert_true(frontier_done(&f, again));
	assert_acked(&f, 11);
	frontier_close(&f);
}

/* Ages are of what stands at the frontier, whatever was done beyond it. */
static void
tells_when_its_ends_were_created(void **state)
{
	struct frontier f;
	uint64_t t[5];

	(void)state;
	frontier_init(&f);
	assert_int_equal(frontier_oldest(&f), 0);
	for (uint64_t i = 1; i <= 4; i++) {
		struct seq s = seq(i);

		t[i] = frontier_push(&f, &s, i == 4 ? 0 : (int64_t)i * 1000);
	}
	assert_int_equal(frontier_oldest(&f), 1000);
	assert_int_equal(f.acked_us, 0);
	(void)frontier_done(&f, t[3]);
	assert_int_equal(frontier_oldest(&f), 1000);
	assert_int_equal(f.acked_us, 0);
	(void)frontier_done(&f, t[1]);
	assert_int_equal(frontier_oldest(&f), 2000);
	assert_int_equal(f.acked_us, 1000);
	(void)frontier_done(&f, t[2]);
	assert_int_equal(f.acked_us, 3000);
	assert_int_equal(frontier_oldest(&f), 0); /* there is one, and it does not say */
	(void)frontier_done(&f, t[4]);
	assert_int_equal(f.acked_us, 3000); /* what is known stays */
	frontier_close(&f);
}

/* Windows of every size up to 500, acks in random order, drops in between. */
static void
agrees_with_a_naive_model(void **state)
{
	enum { RECORDS = 20000 };
	static bool done[RECORDS + 1];
	static uint64_t ticket[RECORDS + 1];
	struct rng rng;

	(void)state;
	for (uint64_t round = 1; round <= 20; round++) {
		struct frontier f;
		uint64_t pushed = 0, acked = 0, window;
		size_t moves = 0;

		rng_seed(&rng, round);
		frontier_init(&f);
		memset(done, 0, sizeof done);
		window = 1 + rng_below(&rng, 500);
		while (acked < RECORDS) {
			uint64_t i, before = acked;
			bool moved;

			if (pushed < RECORDS && pushed - acked < window &&
			    rng_below(&rng, 2) == 0) {
				struct seq s = seq(++pushed);

				ticket[pushed] = frontier_push(&f, &s, 0);
				continue;
			}
			if (pushed == acked)
				continue;
			if (rng_below(&rng, 5000) == 0) {
				frontier_drop(&f);
				pushed = acked;
				memset(done + acked + 1, 0, RECORDS - acked);
				continue;
			}
			i = acked + 1 + rng_below(&rng, pushed - acked);
			if (done[i])
				continue;
			done[i] = true;
			moved = frontier_done(&f, ticket[i]);
			while (acked < RECORDS && done[acked + 1])
				acked++;
			assert_int_equal(moved, acked != before);
			moves += moved;
			if (acked != 0)
				assert_acked(&f, acked);
			else
				assert_false(seq_is_set(&f.acked));
			assert_int_equal(f.tail - f.head, pushed - acked);
		}
		assert_true(frontier_empty(&f));
		assert_true(moves > 0);
		assert_true(f.cap <= 1024); /* the power of two above the window */
		frontier_close(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stands_before_the_first_that_is_not_done),
	    cmocka_unit_test(drop_keeps_the_frontier_and_takes_the_records_again),
	    cmocka_unit_test(tells_when_its_ends_were_created),
	    cmocka_unit_test(agrees_with_a_naive_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
