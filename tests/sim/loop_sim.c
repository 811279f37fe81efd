/* tests/sim/loop_sim.c - base/loop.h on virtual time.
 *
 *   arm(delay) -> heap by (due, lot) -> step: clock = due, callback
 *
 * Timers that are due at the same instant run in an order drawn from the
 * seed: the real loop promises none. Every callback costs a few microseconds
 * of virtual time, so that a chain of "next pass" timers still moves the clock
 * and a livelock is a failure, not a hang. File descriptors and signals do not
 * exist here; asking for one aborts.
 *
 * Linked before libslipring.a, it takes the place of base/loop_event.c.
 */
#include "tests/sim/loop_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"

struct loop_timer {
	struct loop *lp;
	void (*fn)(void *arg);
	void *arg;
	int64_t due;
	uint32_t lot;
	size_t place; /* in the heap, from 1; 0: not armed */
};

struct loop_wake {
	struct loop_timer *timer; /* owned */
	void (*fn)(void *arg);
	void *arg;
};

struct loop {
	int64_t now;
	int64_t wall_jump;
	struct rng rng;		  /* what the core draws */
	struct rng lots;	  /* order of ties, cost of callbacks */
	struct loop_timer **heap; /* owned; from 1 */
	size_t count, cap;
	size_t live;
	uint64_t passes;
	bool stop;
};

int
loop_new(struct loop **out, uint64_t seed, struct err *e)
{
	struct loop *lp = mem_new(sizeof *lp);

	(void)e;
	lp->now = LOOP_SIM_EPOCH;
	rng_seed(&lp->rng, seed);
	rng_seed(&lp->lots, seed ^ UINT64_C(0x6c6f6f70));
	lp->cap = 64;
	lp->heap = mem_array(lp->cap, sizeof(struct loop_timer *));
	*out = lp;
	return 0;
}

void
loop_close(struct loop *lp)
{
	if (lp == NULL)
		return;
	free(lp->heap);
	free(lp);
}

static bool
before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->due != b->due ? a->due < b->due : a->lot < b->lot;
}

static void
place(struct loop *lp, size_t i, struct loop_timer *t)
{
	lp->heap[i] = t;
	t->place = i;
}

static void
sift_up(struct loop *lp, size_t i, struct loop_timer *t)
{
	for (; i > 1 && before(t, lp->heap[i / 2]); i /= 2)
		place(lp, i, lp->heap[i / 2]);
	place(lp, i, t);
}

static void
sift_down(struct loop *lp, size_t i, struct loop_timer *t)
{
	for (size_t child = 2 * i; child <= lp->count; i = child, child = 2 * i) {
		if (child < lp->count && before(lp->heap[child + 1], lp->heap[child]))
			child++;
		if (!before(lp->heap[child], t))
			break;
		place(lp, i, lp->heap[child]);
	}
	place(lp, i, t);
}

static void
heap_remove(struct loop *lp, struct loop_timer *t)
{
	struct loop_timer *last = lp->heap[lp->count--];
	size_t i = t->place;

	t->place = 0;
	if (last == t)
		return;
	if (i > 1 && before(last, lp->heap[i / 2]))
		sift_up(lp, i, last);
	else
		sift_down(lp, i, last);
}

bool
loop_sim_step(struct loop *lp, int64_t until)
{
	struct loop_timer *t;

	if (lp->count == 0 || lp->heap[1]->due > until) {
		if (lp->now < until)
			lp->now = until;
		return false;
	}
	t = lp->heap[1];
	heap_remove(lp, t);
	if (lp->now < t->due)
		lp->now = t->due;
	lp->now += (int64_t)rng_below(&lp->lots, 8);
	lp->passes++;
	t->fn(t->arg);
	return true;
}

int
loop_run(struct loop *lp, struct err *e)
{
	(void)e;
	for (lp->stop = false; !lp->stop;)
		if (!loop_sim_step(lp, lp->count != 0 ? lp->heap[1]->due : lp->now))
			break;
	return 0;
}

void
loop_stop(struct loop *lp)
{
	lp->stop = true;
}

uint64_t
loop_passes(const struct loop *lp)
{
	return lp->passes;
}

int64_t
loop_now(struct loop *lp)
{
	return lp->now;
}

int64_t
loop_wall(struct loop *lp)
{
	return loop_sim_true_wall(lp->now) + lp->wall_jump;
}

uint64_t
loop_random(struct loop *lp)
{
	return rng_next(&lp->rng);
}

uint64_t
loop_random_below(struct loop *lp, uint64_t bound)
{
	return rng_below(&lp->rng, bound);
}

void
loop_sim_sleep(struct loop *lp, int64_t us)
{
	lp->now += us;
}

void
loop_sim_jump_wall(struct loop *lp, int64_t us)
{
	lp->wall_jump += us;
}

const int64_t *
loop_sim_clock(const struct loop *lp)
{
	return &lp->now;
}

size_t
loop_sim_live(const struct loop *lp)
{
	return lp->live;
}

struct loop_timer *
loop_timer_new(struct loop *lp, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = mem_new(sizeof *t);

	*t = (struct loop_timer){.lp = lp, .fn = fn, .arg = arg};
	lp->live++;
	return t;
}

void
loop_timer_arm(struct loop_timer *t, int64_t delay_us)
{
	struct loop *lp = t->lp;

	loop_timer_disarm(t);
	t->due = lp->now + (delay_us > 0 ? delay_us : 0);
	t->lot = (uint32_t)rng_next(&lp->lots);
	if (++lp->count == lp->cap)
		lp->heap = mem_grow(lp->heap, lp->cap *= 2, sizeof(struct loop_timer *));
	sift_up(lp, lp->count, t);
}

void
loop_timer_disarm(struct loop_timer *t)
{
	if (t->place != 0)
		heap_remove(t->lp, t);
}

bool
loop_timer_armed(const struct loop_timer *t)
{
	return t->place != 0;
}

void
loop_timer_close(struct loop_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_disarm(t);
	t->lp->live--;
	free(t);
}

static void
woken(void *arg)
{
	struct loop_wake *w = arg;

	w->fn(w->arg);
}

struct loop_wake *
loop_wake_new(struct loop *lp, void (*fn)(void *arg), void *arg)
{
	struct loop_wake *w = mem_new(sizeof *w);

	*w = (struct loop_wake){.timer = loop_timer_new(lp, woken, w), .fn = fn, .arg = arg};
	return w;
}

void
loop_wake_kick(struct loop_wake *w)
{
	if (!loop_timer_armed(w->timer))
		loop_timer_arm(w->timer, 0);
}

void
loop_wake_close(struct loop_wake *w)
{
	if (w == NULL)
		return;
	loop_timer_close(w->timer);
	free(w);
}

NORETURN static void
not_here(const char *what)
{
	(void)fprintf(
	    stderr, "sim: the core asked for %s, which virtual time does not have\n", what);
	abort();
}

struct loop_io *
loop_io_new(struct loop *lp, int fd, unsigned events,
    void (*fn)(void *arg, int fd, unsigned events), void *arg)
{
	(void)lp, (void)fd, (void)events, (void)fn, (void)arg;
	not_here("a file descriptor");
}

void
loop_io_set(struct loop_io *io, unsigned events)
{
	(void)io, (void)events;
	not_here("a file descriptor");
}

void
loop_io_close(struct loop_io *io)
{
	if (io != NULL)
		not_here("a file descriptor");
}

struct loop_signal *
loop_signal_new(struct loop *lp, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	(void)lp, (void)signo, (void)fn, (void)arg;
	not_here("a signal");
}

void
loop_signal_close(struct loop_signal *s)
{
	if (s != NULL)
		not_here("a signal");
}

void *
loop_native(struct loop *lp)
{
	(void)lp;
	return NULL;
}
