/* tests/unit/fake_loop.c - see fake_loop.h. A binary heap by time and, within
 * one time, by order of arming. */
#include "tests/unit/fake_loop.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"

#define WALL_START (INT64_C(1766000000) * USEC_SEC)
#define MONOTONIC_START (INT64_C(1000) * USEC_SEC)

struct loop {
	int64_t now;
	uint64_t order;
	uint64_t events;
	struct rng rng;
	struct loop_timer **heap;
	size_t count;
	size_t cap;
};

struct loop_timer {
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	int64_t when;
	uint64_t order;
	size_t at; /* index in the heap + 1; 0: not armed */
};

static bool
before(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void
place(struct loop *lp, struct loop_timer *t, size_t i)
{
	lp->heap[i] = t;
	t->at = i + 1;
}

static void
sift_up(struct loop *lp, struct loop_timer *t, size_t i)
{
	for (; i > 0 && before(t, lp->heap[(i - 1) / 2]); i = (i - 1) / 2)
		place(lp, lp->heap[(i - 1) / 2], i);
	place(lp, t, i);
}

static void
sift_down(struct loop *lp, struct loop_timer *t, size_t i)
{
	for (size_t c; (c = 2 * i + 1) < lp->count; i = c) {
		if (c + 1 < lp->count && before(lp->heap[c + 1], lp->heap[c]))
			c++;
		if (!before(lp->heap[c], t))
			break;
		place(lp, lp->heap[c], i);
	}
	place(lp, t, i);
}

struct loop *
fake_loop_new(uint64_t seed)
{
	struct loop *lp = mem_new(sizeof *lp);

	lp->now = MONOTONIC_START;
	rng_seed(&lp->rng, seed);
	return lp;
}

void
loop_close(struct loop *lp)
{
	if (lp == NULL)
		return;
	assert(lp->count == 0); /* all objects are closed before */
	free(lp->heap);
	free(lp);
}

void
fake_run(struct loop *lp, int64_t us)
{
	int64_t until = lp->now + us;

	while (lp->count > 0 && lp->heap[0]->when <= until) {
		struct loop_timer *t = lp->heap[0];

		if (t->when > lp->now)
			lp->now = t->when;
		loop_timer_disarm(t);
		lp->events++;
		t->fn(t->arg);
	}
	lp->now = until;
}

size_t
fake_armed(const struct loop *lp)
{
	return lp->count;
}

uint64_t
fake_events(const struct loop *lp)
{
	return lp->events;
}

int64_t
loop_now(struct loop *lp)
{
	return lp->now;
}

int64_t
loop_wall(struct loop *lp)
{
	return WALL_START + lp->now - MONOTONIC_START;
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

struct loop_timer *
loop_timer_new(struct loop *lp, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = mem_new(sizeof *t);

	*t = (struct loop_timer){.loop = lp, .fn = fn, .arg = arg};
	return t;
}

void
loop_timer_arm(struct loop_timer *t, int64_t delay_us)
{
	struct loop *lp = t->loop;

	loop_timer_disarm(t);
	if (lp->count == lp->cap) {
		lp->cap = lp->cap * 2 + 16;
		lp->heap = mem_grow(lp->heap, lp->cap, sizeof(struct loop_timer *));
	}
	t->when = lp->now + (delay_us > 0 ? delay_us : 0);
	t->order = lp->order++;
	sift_up(lp, t, lp->count++);
}

void
loop_timer_disarm(struct loop_timer *t)
{
	struct loop *lp = t->loop;
	struct loop_timer *last;
	size_t i = t->at - 1;

	if (t->at == 0)
		return;
	t->at = 0;
	last = lp->heap[--lp->count];
	if (last == t)
		return;
	if (i > 0 && before(last, lp->heap[(i - 1) / 2]))
		sift_up(lp, last, i);
	else
		sift_down(lp, last, i);
}

bool
loop_timer_armed(const struct loop_timer *t)
{
	return t->at != 0;
}

void
loop_timer_close(struct loop_timer *t)
{
	if (t == NULL)
		return;
	loop_timer_disarm(t);
	free(t);
}
