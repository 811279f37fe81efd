/* streams/rate.h - a call budget that its users wait on.
 *
 * Never more than per_second grants in any second, wherever the second is
 * laid, and never more than burst of them at once; a plain token bucket would
 * let burst + per_second through one second. One for DescribeStream over all
 * streams (5 a second; the service allows 10), one per shard for GetRecords
 * (4 a second; the service is said to allow 5), shared by the shard's readers.
 *
 * Urgent users go first, but one grant in four goes to the others if one of
 * them waits: a leading reader of a hot shard always waits, and must not keep
 * the reader that catches up out for good.
 *
 * Threading: loop thread.
 */
#ifndef STREAMS_RATE_H
#define STREAMS_RATE_H

#include <stdbool.h>

#include "base/loop.h"

struct rate;

struct rate_wait {			/* embedded in the user; zeroed before first use */
	struct rate_wait *next, **prev; /* private */
	void (*fn)(void *arg);
	void *arg;
	bool urgent; /* read when rate_take() is called */
};

/* per_second and burst > 0; a burst above per_second means per_second. */
struct rate *rate_new(struct loop *lp, unsigned per_second, unsigned burst);
void rate_close(struct rate *r); /* NULL allowed; nobody may be waiting */
/* Calls w->fn once from the loop when w's turn has come and the budget allows
 * it (in the next pass at the earliest). Asking while waiting is a bug. fn may
 * ask again, and may close whatever it likes, the budget included. */
void rate_take(struct rate *r, struct rate_wait *w);
/* From inside fn only: the grant is not used after all, and is as if it had
 * never been. */
void rate_return(struct rate *r);
void rate_cancel(struct rate *r, struct rate_wait *w); /* not waiting: no-op */
bool rate_waiting(const struct rate_wait *w);

#endif
