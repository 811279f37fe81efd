/* daemon/loop_lag.c - see loop_lag.h. */
#include "daemon/loop_lag.h"

#include <stdlib.h>

#include "base/mem.h"

/* Four wake-ups a second cost nothing that can be measured here. */
#define PERIOD (250 * USEC_MS)

struct loop_lag {
	struct loop *lp;
	struct loop_timer *timer;
	int64_t due;
	struct histogram late;
};

static void
arm(struct loop_lag *l)
{
	l->due = loop_now(l->lp) + PERIOD;
	loop_timer_arm(l->timer, PERIOD);
}

static void
on_timer(void *arg)
{
	struct loop_lag *l = arg;
	int64_t late = loop_now(l->lp) - l->due;

	histogram_add(&l->late, late > 0 ? late : 0);
	arm(l);
}

struct loop_lag *
loop_lag_new(struct loop *lp)
{
	struct loop_lag *l = mem_new(sizeof *l);

	l->lp = lp;
	l->late.shape = &histogram_latency;
	l->timer = loop_timer_new(lp, on_timer, l);
	arm(l);
	return l;
}

void
loop_lag_close(struct loop_lag *l)
{
	if (l == NULL)
		return;
	loop_timer_close(l->timer);
	free(l);
}

const struct histogram *
loop_lag_get(const struct loop_lag *l)
{
	return &l->late;
}
