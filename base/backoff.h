/* base/backoff.h - how long to wait before trying again: full jitter.
 *
 * The n-th delay is uniform in 0 .. min(cap, base * 2^n), so that many who
 * failed together do not come back together. Pure but for the loop's
 * randomness.
 */
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include "base/loop.h"

struct backoff {
	int64_t base_us;
	int64_t cap_us;
	unsigned attempt; /* failures so far */
};

/* The next delay in microseconds, at least 1; counts the attempt. */
int64_t backoff_next(struct backoff *b, struct loop *lp);

static inline void
backoff_reset(struct backoff *b)
{
	b->attempt = 0;
}

#endif
