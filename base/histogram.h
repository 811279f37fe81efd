/* base/histogram.h - how often a value fell into which range.
 *
 * Fixed bounds, so that adding costs a short search and nothing is allocated.
 * Embedded; zeroed and given a shape before use. Threading: none.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX 16

struct histogram_shape {
	size_t n;
	int64_t bounds[HISTOGRAM_MAX]; /* rising; the last range has no end */
	double unit;		       /* one of our integers in the unit that is shown */
};

/* Microseconds, shown as seconds: 0.5 ms to 60 s, about three a decade: the
 * fastest local answer to the longest time-out. */
extern const struct histogram_shape histogram_latency;
/* Counts from 1 to 10,000, the largest batch there is. */
extern const struct histogram_shape histogram_count;

struct histogram {
	const struct histogram_shape *shape;
	uint64_t buckets[HISTOGRAM_MAX + 1]; /* each by itself, not cumulative */
	uint64_t count;
	int64_t sum;
};

static inline void
histogram_add(struct histogram *h, int64_t v)
{
	size_t i = 0;

	while (i < h->shape->n && v > h->shape->bounds[i])
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum += v;
}

#endif
