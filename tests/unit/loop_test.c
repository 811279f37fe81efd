/* tests/unit/loop_test.c - base/loop_event.c: timers, bridge, descriptors,
 * signals, and the promises of base/loop.h about closing and re-entry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"

struct world {
	struct loop *lp;
	struct loop_timer *guard; /* ends a test that hangs */
	struct loop_timer *t[4];
	struct loop_io *io;
	struct loop_wake *wake;
	struct loop_signal *sig;
	int pipe[2];
	int count;
	int order[8];
	int order_n;
	int64_t at;
	uint64_t pass;
	unsigned events;
	bool hung;
};

static void
on_guard(void *arg)
{
	struct world *w = arg;

	w->hung = true;
	loop_stop(w->lp);
}

static int
setup(void **state)
{
	static struct world w;
	struct err e;

	w = (struct world){.pipe = {-1, -1}};
	if (loop_new(&w.lp, 1, &e) == -1)
		return -1;
	w.guard = loop_timer_new(w.lp, on_guard, &w);
	loop_timer_arm(w.guard, 10 * USEC_SEC);
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 4; i++)
		loop_timer_close(w->t[i]);
	loop_io_close(w->io);
	loop_wake_close(w->wake);
	loop_signal_close(w->sig);
	loop_timer_close(w->guard);
	if (w->pipe[0] != -1) {
		(void)close(w->pipe[0]);
		(void)close(w->pipe[1]);
	}
	loop_close(w->lp);
	return 0;
}

static void
run(struct world *w)
{
	struct err e;

	assert_int_equal(loop_run(w->lp, &e), 0);
	assert_false(w->hung);
}

static void
on_stop(void *arg)
{
	struct world *w = arg;

	w->count++;
	w->at = loop_now(w->lp);
	loop_stop(w->lp);
}

static void
on_count(void *arg)
{
	((struct world *)arg)->count++;
}

static void
test_timer_is_precise_and_never_early(void **state)
{
	struct world *w = *state;
	int64_t start;

	w->t[0] = loop_timer_new(w->lp, on_stop, w);
	assert_false(loop_timer_armed(w->t[0]));
	for (int64_t delay = 1; delay < 6000; delay += 733) {
		start = loop_now(w->lp);
		loop_timer_arm(w->t[0], delay);
		assert_true(loop_timer_armed(w->t[0]));
		run(w);
		assert_false(loop_timer_armed(w->t[0]));
		assert_true(w->at - start >= delay);
		assert_true(w->at - start < delay + USEC_SEC);
	}
}

/* Busy for 20 ms inside a callback, then arms 10 ms: counted from the arming,
 * not from the beginning of the pass. */
static void
on_busy(void *arg)
{
	struct world *w = arg;
	int64_t begin = loop_now(w->lp);

	while (loop_now(w->lp) < begin + 20 * USEC_MS)
		continue;
	w->at = loop_now(w->lp);
	loop_timer_arm(w->t[1], 10 * USEC_MS);
}

static void
on_after_busy(void *arg)
{
	struct world *w = arg;

	assert_true(loop_now(w->lp) - w->at >= 10 * USEC_MS);
	loop_stop(w->lp);
}

static void
test_delay_counts_from_arming(void **state)
{
	struct world *w = *state;

	w->t[0] = loop_timer_new(w->lp, on_busy, w);
	w->t[1] = loop_timer_new(w->lp, on_after_busy, w);
	loop_timer_arm(w->t[0], 0);
	run(w);
}

static void
on_rearm(void *arg)
{
	struct world *w = arg;

	if (w->count != 0)
		assert_true(loop_passes(w->lp) > w->pass);
	w->pass = loop_passes(w->lp);
	if (++w->count == 5)
		loop_stop(w->lp);
	else
		loop_timer_arm(w->t[0], w->count % 2 != 0 ? 0 : -7);
}

static void
test_zero_delay_is_the_next_pass(void **state)
{
	struct world *w = *state;

	w->t[0] = loop_timer_new(w->lp, on_rearm, w);
	loop_timer_arm(w->t[0], 0);
	assert_int_equal(w->count, 0);
	run(w);
	assert_int_equal(w->count, 5);
}

static void
test_arming_again_moves(void **state)
{
	struct world *w = *state;
	int64_t start = loop_now(w->lp);

	w->t[0] = loop_timer_new(w->lp, on_stop, w);
	loop_timer_arm(w->t[0], 0);
	loop_timer_arm(w->t[0], 30 * USEC_MS);
	run(w);
	assert_true(w->at - start >= 30 * USEC_MS);
	assert_int_equal(w->count, 1);
	loop_timer_arm(w->t[0], INT64_MAX);
	loop_timer_arm(w->t[0], 0);
	run(w);
	assert_int_equal(w->count, 2);
}

static void
on_close_own(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_timer_close(w->t[0]);
	w->t[0] = NULL;
	loop_stop(w->lp);
}

static void
test_timer_closed_in_its_own_callback(void **state)
{
	struct world *w = *state;

	w->t[0] = loop_timer_new(w->lp, on_close_own, w);
	loop_timer_arm(w->t[0], 0);
	run(w);
	assert_int_equal(w->count, 1);
}

/* Whichever of the two runs first closes (or moves) the other, which has
 * expired in the same pass and must not run. */
static void
on_first_closes_other(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_timer_close(w->t[0]);
	loop_timer_close(w->t[1]);
	w->t[0] = w->t[1] = NULL;
	loop_timer_arm(w->t[2], 5 * USEC_MS);
}

static void
test_timer_closed_by_another_in_the_same_pass(void **state)
{
	struct world *w = *state;

	w->t[0] = loop_timer_new(w->lp, on_first_closes_other, w);
	w->t[1] = loop_timer_new(w->lp, on_first_closes_other, w);
	w->t[2] = loop_timer_new(w->lp, on_stop, w);
	loop_timer_arm(w->t[0], 0);
	loop_timer_arm(w->t[1], 0);
	run(w);
	assert_int_equal(w->count, 2); /* one of the pair, and the stop */
}

static void
on_first_moves_other(void *arg)
{
	struct world *w = arg;

	if (w->count++ == 0) {
		loop_timer_arm(w->t[0], 60 * USEC_SEC);
		loop_timer_arm(w->t[1], 60 * USEC_SEC);
		loop_timer_arm(w->t[2], 5 * USEC_MS);
	}
}

static void
test_timer_moved_in_the_pass_it_expired_in(void **state)
{
	struct world *w = *state;

	w->t[0] = loop_timer_new(w->lp, on_first_moves_other, w);
	w->t[1] = loop_timer_new(w->lp, on_first_moves_other, w);
	w->t[2] = loop_timer_new(w->lp, on_stop, w);
	loop_timer_arm(w->t[0], 0);
	loop_timer_arm(w->t[1], 0);
	run(w);
	assert_int_equal(w->count, 2);
	assert_true(loop_timer_armed(w->t[0]));
}

static void *
kick_thread(void *arg)
{
	struct world *w = arg;

	for (int i = 0; i < 1000; i++)
		loop_wake_kick(w->wake);
	return NULL;
}

static void
test_many_kicks_are_one_call(void **state)
{
	struct world *w = *state;
	pthread_t th;

	w->wake = loop_wake_new(w->lp, on_stop, w);
	assert_int_equal(pthread_create(&th, NULL, kick_thread, w), 0);
	assert_int_equal(pthread_join(th, NULL), 0);
	assert_int_equal(w->count, 0);
	run(w);
	assert_int_equal(w->count, 1);
	w->t[0] = loop_timer_new(w->lp, on_stop, w);
	loop_timer_arm(w->t[0], 5 * USEC_MS);
	run(w);
	assert_int_equal(w->count, 2); /* the timer's; no left-over kick */
}

static void *
kick_running_loop(void *arg)
{
	struct world *w = arg;

	loop_wake_kick(w->wake);
	return NULL;
}

static void
on_start_thread(void *arg)
{
	struct world *w = arg;
	pthread_t th;

	assert_int_equal(pthread_create(&th, NULL, kick_running_loop, w), 0);
	assert_int_equal(pthread_detach(th), 0);
}

static void
on_wake_close(void *arg)
{
	struct world *w = arg;

	w->count++;
	loop_wake_close(w->wake);
	w->wake = NULL;
	loop_stop(w->lp);
}

static void
test_kick_wakes_a_waiting_loop(void **state)
{
	struct world *w = *state;

	w->wake = loop_wake_new(w->lp, on_wake_close, w);
	w->t[0] = loop_timer_new(w->lp, on_start_thread, w);
	loop_timer_arm(w->t[0], 0);
	run(w);
	assert_int_equal(w->count, 1);
}

static void
on_pipe(void *arg, int fd, unsigned events)
{
	struct world *w = arg;

	w->count++;
	w->events = events;
	assert_int_equal(fd, w->pipe[0]);
	if (w->count == 2) { /* closes itself while readable */
		loop_io_close(w->io);
		w->io = NULL;
	}
	loop_stop(w->lp);
}

static void
test_descriptor(void **state)
{
	struct world *w = *state;

	assert_int_equal(pipe(w->pipe), 0);
	assert_int_equal(write(w->pipe[1], "x", 1), 1);
	w->io = loop_io_new(w->lp, w->pipe[0], LOOP_READ, on_pipe, w);
	run(w);
	assert_int_equal(w->count, 1);
	assert_int_equal(w->events, LOOP_READ);
	loop_io_set(w->io, 0); /* deaf: only the timer comes */
	w->t[0] = loop_timer_new(w->lp, on_stop, w);
	loop_timer_arm(w->t[0], 2 * USEC_MS);
	run(w);
	assert_int_equal(w->count, 2);
	w->count = 1;
	loop_io_set(w->io, LOOP_READ);
	loop_io_set(w->io, LOOP_READ);
	run(w);
	assert_int_equal(w->count, 2);
	assert_null(w->io);
}

static void
on_writable(void *arg, int fd, unsigned events)
{
	struct world *w = arg;

	(void)fd;
	w->events = events;
	loop_stop(w->lp);
}

static void
test_descriptor_changes_interest(void **state)
{
	struct world *w = *state;

	assert_int_equal(pipe(w->pipe), 0);
	w->io = loop_io_new(w->lp, w->pipe[1], LOOP_READ, on_writable, w);
	loop_io_set(w->io, LOOP_WRITE);
	run(w);
	assert_int_equal(w->events, LOOP_WRITE);
}

static void
on_signal(void *arg, int signo)
{
	struct world *w = arg;

	assert_int_equal(signo, SIGUSR1);
	w->count++;
	if (w->count == 2) {
		loop_signal_close(w->sig);
		w->sig = NULL;
	}
	loop_stop(w->lp);
}

static void
test_signal(void **state)
{
	struct world *w = *state;

	w->sig = loop_signal_new(w->lp, SIGUSR1, on_signal, w);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(raise(SIGUSR1), 0);
		run(w);
	}
	assert_int_equal(w->count, 2);
}

static void
test_stop_before_run_is_kept(void **state)
{
	struct world *w = *state;

	w->t[0] = loop_timer_new(w->lp, on_count, w);
	loop_timer_arm(w->t[0], 0);
	loop_stop(w->lp);
	run(w);
	assert_int_equal(w->count, 0);
}

static void
test_nothing_to_wait_for_is_an_error(void **state)
{
	struct world *w = *state;
	struct err e;

	loop_timer_disarm(w->guard);
	assert_false(loop_timer_armed(w->guard));
	assert_int_equal(loop_run(w->lp, &e), -1);
	assert_non_null(strstr(e.text, "nothing is left"));
}

static void
test_random_follows_the_seed(void **state)
{
	struct world *w = *state;
	struct loop *a, *b, *c;
	struct err e;
	uint64_t x;

	assert_int_equal(loop_new(&a, 1, &e), 0);
	assert_int_equal(loop_new(&b, 0, &e), 0);
	assert_int_equal(loop_new(&c, 0, &e), 0);
	x = loop_random(w->lp);
	assert_true(x == loop_random(a));
	x = loop_random(b);
	assert_true(x != loop_random(c));
	for (int i = 0; i < 1000; i++)
		assert_true(loop_random_below(a, 7) < 7);
	loop_close(a);
	loop_close(b);
	loop_close(c);
	loop_close(NULL);
}

static void
test_wall_clock(void **state)
{
	struct world *w = *state;
	/* banned-ok: time: another clock to compare with */
	int64_t now = (int64_t)time(NULL) * USEC_SEC;

	assert_true(loop_wall(w->lp) - now > -2 * USEC_SEC);
	assert_true(loop_wall(w->lp) - now < 5 * USEC_SEC);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_timer_is_precise_and_never_early),
	    T(test_delay_counts_from_arming),
	    T(test_zero_delay_is_the_next_pass),
	    T(test_arming_again_moves),
	    T(test_timer_closed_in_its_own_callback),
	    T(test_timer_closed_by_another_in_the_same_pass),
	    T(test_timer_moved_in_the_pass_it_expired_in),
	    T(test_many_kicks_are_one_call),
	    T(test_kick_wakes_a_waiting_loop),
	    T(test_descriptor),
	    T(test_descriptor_changes_interest),
	    T(test_signal),
	    T(test_stop_before_run_is_kept),
	    T(test_nothing_to_wait_for_is_an_error),
	    T(test_random_follows_the_seed),
	    T(test_wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
