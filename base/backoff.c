/* base/backoff.c - see backoff.h. */
#include "base/backoff.h"

int64_t
backoff_next(struct backoff *b, struct loop *lp)
{
	int64_t top = b->base_us;

	for (unsigned i = 0; i < b->attempt && top < b->cap_us; i++)
		top *= 2;
	if (top > b->cap_us)
		top = b->cap_us;
	b->attempt++;
	return 1 + (int64_t)loop_random_below(lp, (uint64_t)top);
}
