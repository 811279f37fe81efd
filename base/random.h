/* base/random.h - seeded random numbers (xoshiro256**), for jitter and tests.
 * Not for secrets. One owner, one thread.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t bound); /* 0..bound-1, bound > 0 */

#endif
