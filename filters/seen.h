/* filters/seen.h - which hashes were met before: a set that only grows, or is emptied.
 *
 * Two values with one hash are taken for one: with key_hash() that is a chance of 1 in 2^63
 * a pair. Threading: none. Ownership: seen_close() frees.
 */
#ifndef FILTERS_SEEN_H
#define FILTERS_SEEN_H

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

#define SEEN_FIRST 64u /* a power of two */

struct seen {
	uint64_t *v; /* owned; open addressing, 0: free */
	size_t cap, count;
};

static inline uint64_t *
seen_at(uint64_t *v, size_t cap, uint64_t hash)
{
	size_t i = (size_t)(hash >> 1) & (cap - 1);

	while (v[i] != 0 && v[i] != hash)
		i = (i + 1) & (cap - 1);
	return &v[i];
}

static inline void
seen_grow(struct seen *s)
{
	size_t cap = s->cap != 0 ? 2 * s->cap : SEEN_FIRST;
	uint64_t *v = mem_array(cap, sizeof *v);

	for (size_t i = 0; i < s->cap; i++)
		if (s->v[i] != 0)
			*seen_at(v, cap, s->v[i]) = s->v[i];
	free(s->v);
	s->v = v;
	s->cap = cap;
}

static inline bool
seen_has(const struct seen *s, uint64_t hash)
{
	return s->cap != 0 && *seen_at(s->v, s->cap, hash | 1) != 0;
}

/* False: it was there. */
static inline bool
seen_add(struct seen *s, uint64_t hash)
{
	uint64_t *at;

	if (2 * s->count >= s->cap)
		seen_grow(s);
	at = seen_at(s->v, s->cap, hash | 1);
	if (*at != 0)
		return false;
	*at = hash | 1;
	s->count++;
	return true;
}

static inline void
seen_close(struct seen *s)
{
	free(s->v);
	*s = (struct seen){.v = NULL};
}

/* Empties it; what a large one held is given back. */
static inline void
seen_reset(struct seen *s)
{
	if (s->cap > SEEN_FIRST)
		seen_close(s);
	else if (s->count != 0)
		memset(s->v, 0, s->cap * sizeof *s->v);
	s->count = 0;
}

#endif
