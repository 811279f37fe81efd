/* The budget holds in every second, urgent users go first, nobody starves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/random.h"
#include "streams/rate.h"
#include "tests/unit/fake_api.h"
#include "tests/unit/fake_loop.h"

#define GRANTS_MAX 4000

struct user {
	struct rate_wait wait;
	struct rate *rate;
	struct log *log;
	unsigned id;
	unsigned granted;
	unsigned again; /* asks so many times more from inside the grant */
};

static struct log {
	struct loop *loop;
	int64_t at[GRANTS_MAX];
	unsigned who[GRANTS_MAX];
	unsigned n;
} seen;

static void
on_grant(void *arg)
{
	struct user *u = arg;

	assert_false(rate_waiting(&u->wait));
	assert_true(seen.n < GRANTS_MAX);
	seen.at[seen.n] = loop_now(seen.loop);
	seen.who[seen.n++] = u->id;
	u->granted++;
	if (u->again > 0) {
		u->again--;
		rate_take(u->rate, &u->wait);
	}
}

static void
user_init(struct user *u, struct rate *r, unsigned id, bool urgent, unsigned again)
{
	*u = (struct user){.rate = r, .id = id, .again = again};
	u->wait = (struct rate_wait){.fn = on_grant, .arg = u, .urgent = urgent};
}

static void
start(void)
{
	seen = (struct log){.loop = fake_loop_new(1)};
}

/* Every rate and burst: bursts are bounded, every window of a second holds at
 * most the rate, and the rate is reached. */
static void
test_window_holds(void **state)
{
	(void)state;
	for (unsigned per = 1; per <= 7; per++) {
		for (unsigned burst = 1; burst <= 8; burst++) {
			struct user u[3];
			struct rate *r;
			unsigned allowed = burst < per ? burst : per;

			start();
			r = rate_new(seen.loop, per, burst);
			for (unsigned i = 0; i < 3; i++) {
				user_init(&u[i], r, i, i == 2, 100);
				rate_take(r, &u[i].wait);
			}
			assert_int_equal(seen.n, 0); /* never from inside */
			fake_run(seen.loop, 0);
			assert_true(seen.n <= allowed);
			if (allowed <= 3)
				assert_int_equal(seen.n, allowed);
			fake_run(seen.loop, 20 * USEC_SEC);
			assert_true(fake_most_in_a_second(seen.at, seen.n) <= per);
			assert_in_range(seen.n, 20 * per - per, 20 * per + per);
			for (unsigned i = 0; i < 3; i++)
				rate_cancel(r, &u[i].wait);
			rate_close(r);
			assert_int_equal(fake_armed(seen.loop), 0);
			loop_close(seen.loop);
		}
	}
}

/* Quiet spells do not save up a second burst within the same second. */
static void
test_window_holds_after_silence(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 7);
	for (unsigned round = 0; round < 300; round++) {
		struct user u[12];
		struct rate *r;

		start();
		r = rate_new(seen.loop, 5, 1 + (unsigned)rng_below(&rng, 5));
		for (unsigned i = 0; i < ARRAY_LEN(u); i++) {
			user_init(
			    &u[i], r, i, rng_below(&rng, 2) != 0, (unsigned)rng_below(&rng, 4));
			rate_take(r, &u[i].wait);
			fake_run(seen.loop, (int64_t)rng_below(&rng, 700) * USEC_MS);
			if (rng_below(&rng, 4) == 0)
				rate_cancel(r, &u[rng_below(&rng, i + 1)].wait);
		}
		fake_run(seen.loop, 60 * USEC_SEC);
		assert_true(fake_most_in_a_second(seen.at, seen.n) <= 5);
		for (unsigned i = 0; i < ARRAY_LEN(u); i++)
			assert_false(rate_waiting(&u[i].wait));
		rate_close(r);
		loop_close(seen.loop);
	}
}

static void
test_urgent_first_but_not_alone(void **state)
{
	struct user hot, slow;
	struct rate *r;

	(void)state;
	start();
	r = rate_new(seen.loop, 4, 1);
	user_init(&slow, r, 0, false, 1000);
	user_init(&hot, r, 1, true, 1000);
	rate_take(r, &slow.wait);
	rate_take(r, &hot.wait);
	fake_run(seen.loop, 100 * USEC_SEC);
	assert_int_equal(seen.who[0], 1);
	assert_in_range(slow.granted, 98, 102); /* one in four of 400 */
	assert_in_range(hot.granted, 296, 303);
	rate_cancel(r, &slow.wait);
	rate_cancel(r, &hot.wait);
	rate_close(r);
	loop_close(seen.loop);
}

static void
test_fair_among_equals(void **state)
{
	struct user u[5];
	struct rate *r;

	(void)state;
	start();
	r = rate_new(seen.loop, 5, 1);
	for (unsigned i = 0; i < 5; i++) {
		user_init(&u[i], r, i, true, 1000);
		rate_take(r, &u[i].wait);
	}
	fake_run(seen.loop, 100 * USEC_SEC);
	for (unsigned i = 0; i < seen.n; i++)
		assert_int_equal(seen.who[i], i % 5);
	for (unsigned i = 0; i < 5; i++)
		rate_cancel(r, &u[i].wait);
	rate_close(r);
	loop_close(seen.loop);
}

static void
test_cancel(void **state)
{
	struct user u[4];
	struct rate *r;

	(void)state;
	start();
	r = rate_new(seen.loop, 1, 1);
	for (unsigned i = 0; i < 4; i++)
		user_init(&u[i], r, i, false, 0);
	rate_cancel(r, &u[0].wait); /* not waiting */
	for (unsigned i = 0; i < 4; i++)
		rate_take(r, &u[i].wait);
	rate_cancel(r, &u[3].wait); /* the last, the first, the middle */
	rate_cancel(r, &u[0].wait);
	rate_take(r, &u[0].wait);
	rate_cancel(r, &u[2].wait);
	fake_run(seen.loop, 10 * USEC_SEC);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.who[0], 1);
	assert_int_equal(seen.who[1], 0);
	rate_take(r, &u[3].wait);
	rate_cancel(r, &u[3].wait);
	assert_int_equal(fake_armed(seen.loop), 0);
	rate_close(r);
	rate_close(NULL);
	loop_close(seen.loop);
}

static void
give_it_back(void *arg)
{
	struct user *u = arg;

	u->granted++;
	rate_return(u->rate);
}

/* A grant that is given back is nobody's: the others lose nothing by it. */
static void
test_return(void **state)
{
	struct user idle, busy;
	struct rate *r;

	(void)state;
	start();
	r = rate_new(seen.loop, 4, 1);
	user_init(&idle, r, 0, true, 0);
	idle.wait.fn = give_it_back;
	user_init(&busy, r, 1, false, 1000);
	rate_take(r, &busy.wait);
	for (unsigned i = 0; i < 1000; i++) {
		if (!rate_waiting(&idle.wait))
			rate_take(r, &idle.wait);
		fake_run(seen.loop, 100 * USEC_MS);
	}
	assert_true(idle.granted > 390);
	assert_in_range(busy.granted, 399, 402);
	assert_true(fake_most_in_a_second(seen.at, seen.n) <= 4);
	rate_cancel(r, &idle.wait);
	rate_cancel(r, &busy.wait);
	rate_close(r);
	loop_close(seen.loop);
}

static void
close_rate(void *arg)
{
	struct user *u = arg;

	rate_close(u->rate);
	u->granted++;
}

static void
test_closed_from_inside(void **state)
{
	struct user u;

	(void)state;
	start();
	user_init(&u, rate_new(seen.loop, 2, 2), 0, false, 0);
	u.wait.fn = close_rate;
	rate_take(u.rate, &u.wait);
	fake_run(seen.loop, USEC_SEC);
	assert_int_equal(u.granted, 1);
	loop_close(seen.loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window_holds),
	    cmocka_unit_test(test_window_holds_after_silence),
	    cmocka_unit_test(test_urgent_first_but_not_alone),
	    cmocka_unit_test(test_fair_among_equals),
	    cmocka_unit_test(test_cancel),
	    cmocka_unit_test(test_return),
	    cmocka_unit_test(test_closed_from_inside),
	};

	return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
