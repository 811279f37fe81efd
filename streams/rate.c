/* streams/rate.c - see rate.h.
 *
 * The times of the last per_second grants are kept in a ring. The next grant
 * waits until the one per_second places back is a second old, and until the
 * one burst places back is old enough for the average to hold:
 *
 *     now >= grant[-per_second] + 1 s
 *     now >= grant[-burst]      + burst/per_second s
 *
 * One grant a loop pass, given as the last thing the timer's callback does, so
 * that the user called may close anything.
 */
#include "streams/rate.h"

#include <stdlib.h>

#include "base/mem.h"

/* Of so many grants in a row, the last is for those who are not urgent. */
#define URGENT_SHARE 4u

/* Before any time the loop may show, and far from overflow. */
#define LONG_AGO (INT64_MIN / 2)

struct rate {
	struct loop *loop; /* borrowed */
	struct loop_timer *timer;
	struct rate_wait *queue[2]; /* [1]: urgent */
	struct rate_wait **tail[2];
	int64_t burst_us; /* what burst grants take on average */
	int64_t replaced; /* what the last grant took the place of in the ring */
	unsigned per_second;
	unsigned burst;
	unsigned urgent_run; /* urgent grants in a row while others waited */
	unsigned next;	     /* the oldest entry of the ring: overwritten by the next grant */
	int64_t granted[];   /* per_second of them */
};

static void
queue_add(struct rate *r, struct rate_wait *w)
{
	struct rate_wait ***tail = &r->tail[w->urgent];

	w->next = NULL;
	w->prev = *tail;
	**tail = w;
	*tail = &w->next;
}

static void
queue_remove(struct rate *r, struct rate_wait *w)
{
	for (int i = 0; i < 2; i++)
		if (r->tail[i] == &w->next)
			r->tail[i] = w->prev;
	*w->prev = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	w->next = NULL;
	w->prev = NULL;
}

static struct rate_wait *
queue_take(struct rate *r)
{
	bool urgent = r->queue[1] != NULL;
	struct rate_wait *w;

	if (urgent && r->queue[0] != NULL && ++r->urgent_run >= URGENT_SHARE)
		urgent = false;
	if (!urgent || r->queue[0] == NULL)
		r->urgent_run = 0;
	w = r->queue[urgent];
	if (w != NULL)
		queue_remove(r, w);
	return w;
}

static int64_t
allowed_at(const struct rate *r)
{
	unsigned back = (r->next + r->per_second - r->burst) % r->per_second;
	int64_t second = r->granted[r->next] + USEC_SEC;
	int64_t burst = r->granted[back] + r->burst_us;

	return second > burst ? second : burst;
}

static void
arm(struct rate *r)
{
	if (r->queue[0] == NULL && r->queue[1] == NULL)
		loop_timer_disarm(r->timer);
	else if (!loop_timer_armed(r->timer))
		loop_timer_arm(r->timer, allowed_at(r) - loop_now(r->loop));
}

static void
on_timer(void *arg)
{
	struct rate *r = arg;
	struct rate_wait *w;

	if (allowed_at(r) > loop_now(r->loop)) {
		arm(r);
		return;
	}
	w = queue_take(r);
	if (w == NULL)
		return;
	r->replaced = r->granted[r->next];
	r->granted[r->next] = loop_now(r->loop);
	r->next = (r->next + 1) % r->per_second;
	arm(r);
	w->fn(w->arg);
}

struct rate *
rate_new(struct loop *lp, unsigned per_second, unsigned burst)
{
	struct rate *r;

	assert(per_second > 0 && burst > 0);
	r = mem_new(sizeof *r + per_second * sizeof r->granted[0]);
	r->loop = lp;
	r->timer = loop_timer_new(lp, on_timer, r);
	r->per_second = per_second;
	r->burst = burst < per_second ? burst : per_second;
	r->burst_us = (USEC_SEC * r->burst + per_second - 1) / per_second;
	for (unsigned i = 0; i < per_second; i++)
		r->granted[i] = LONG_AGO;
	for (int i = 0; i < 2; i++)
		r->tail[i] = &r->queue[i];
	return r;
}

void
rate_close(struct rate *r)
{
	if (r == NULL)
		return;
	assert(r->queue[0] == NULL && r->queue[1] == NULL);
	loop_timer_close(r->timer);
	free(r);
}

void
rate_take(struct rate *r, struct rate_wait *w)
{
	assert(!rate_waiting(w));
	queue_add(r, w);
	arm(r);
}

void
rate_return(struct rate *r)
{
	r->next = (r->next + r->per_second - 1) % r->per_second;
	r->granted[r->next] = r->replaced;
	loop_timer_disarm(r->timer);
	arm(r);
}

void
rate_cancel(struct rate *r, struct rate_wait *w)
{
	if (!rate_waiting(w))
		return;
	queue_remove(r, w);
	arm(r);
}

bool
rate_waiting(const struct rate_wait *w)
{
	return w->prev != NULL;
}
