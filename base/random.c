/* base/random.c - xoshiro256** seeded through splitmix64 (Blackman and Vigna,
 * public domain algorithm descriptions). */
#include "base/random.h"

__extension__ typedef unsigned __int128 u128; /* not in ISO C; gcc and clang have it */

static uint64_t
rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

void
rng_seed(struct rng *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		r->s[i] = z ^ (z >> 31);
	}
}

uint64_t
rng_next(struct rng *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

/* The high half of a 128-bit product (Lemire): the bias is below 2^-64 * bound,
 * far under anything jitter or a test could see. */
uint64_t
rng_below(struct rng *r, uint64_t bound)
{
	return (uint64_t)(((u128)rng_next(r) * bound) >> 64);
}
