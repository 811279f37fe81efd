/* sinks/last_key.c - see last_key.h. */
#include "sinks/last_key.h"

#include <stdlib.h>

#include "base/mem.h"

/* batch.size may be 64 MiB, and one record more; a key is at most as long as
 * its record. */
#define KEYS_MAX ((size_t)96 << 20)

void
last_key_init(struct last_key *lk)
{
	*lk = (struct last_key){.keys = BUF_INIT(KEYS_MAX)};
}

void
last_key_close(struct last_key *lk)
{
	buf_close(&lk->keys);
	free(lk->v);
	free(lk->table);
	*lk = (struct last_key){.n = 0};
}

void
last_key_begin(struct last_key *lk, size_t count)
{
	buf_reset(&lk->keys);
	lk->n = 0;
	if (count > lk->cap) {
		size_t cap = 64;

		while (cap < count)
			cap *= 2;
		lk->v = mem_grow(lk->v, cap, sizeof *lk->v);
		lk->table = mem_grow(lk->table, cap, sizeof *lk->table);
		lk->cap = cap;
	}
	for (size_t i = 0; i < lk->cap; i++)
		lk->table[i] = SIZE_MAX;
}

int
last_key_add(struct last_key *lk, struct slice key, uint64_t hash)
{
	size_t i = lk->n, *at;
	struct last_key_entry *en = &lk->v[i];

	assert(i < lk->cap);
	*en = (struct last_key_entry){
	    .hash = hash, .at = lk->keys.n, .length = key.n, .first = i, .last = i};
	buf_add_slice(&lk->keys, key);
	if (lk->keys.failed)
		return -1;
	lk->n++;
	at = &lk->table[(hash ^ hash >> 32) & (lk->cap - 1)];
	for (size_t j = *at; j != SIZE_MAX; j = lk->v[j].chain) {
		if (lk->v[j].hash != hash || !slice_eq(last_key_text(lk, j), key))
			continue;
		en->first = j;
		lk->v[j].last = i;
		return 0;
	}
	en->chain = *at;
	*at = i;
	return 0;
}
