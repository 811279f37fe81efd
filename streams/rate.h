/* streams/rate.h - a token bucket that its users wait on.
 *
 * One for DescribeStream over all streams (5 a second; the service allows 10),
 * one per shard for GetRecords (4 a second; the service is said to allow 5),
 * shared by the shard's readers, urgent ones served first.
 * Threading: loop thread.
 */
#ifndef STREAMS_RATE_H
#define STREAMS_RATE_H

#include <stdbool.h>

#include "base/loop.h"

struct rate; /* tokens per second, burst */

struct rate_wait { /* embedded in the user; zeroed before first use */
	struct rate_wait *next, **prev; /* private */
	void (*fn)(void *arg);
	void *arg;
	bool urgent;
};

struct rate *rate_new(struct loop *lp, unsigned per_second, unsigned burst);
void rate_close(struct rate *r); /* nobody may be waiting */
/* Calls w->fn once from the loop when a token was taken for it (in the next
 * pass at the earliest). Asking while waiting is a bug. */
void rate_take(struct rate *r, struct rate_wait *w);
void rate_cancel(struct rate *r, struct rate_wait *w); /* not waiting: no-op */
bool rate_waiting(const struct rate_wait *w);

#endif
