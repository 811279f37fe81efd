/* tests/emulator/map.c - see map.h. */
#include "tests/emulator/map.h"

#include <stdlib.h>

#include "base/mem.h"

uint64_t
map_hash(struct slice key)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (unsigned char)key.p[i]) * 0x100000001b3u;
	/* FNV leaves the high bits weak, and shards are chosen by them. */
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	return h ^ h >> 32;
}

static struct map_slot *
slot_for(const struct map *m, struct slice key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].value != NULL &&
	    (m->slots[i].hash != hash || !slice_eq(m->slots[i].key, key)))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

void *
map_get(const struct map *m, struct slice key)
{
	return m->cap == 0 ? NULL : slot_for(m, key, map_hash(key))->value;
}

static void
grow(struct map *m)
{
	struct map old = *m;

	m->cap = old.cap == 0 ? 16 : old.cap * 2;
	m->slots = mem_array(m->cap, sizeof *m->slots);
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value != NULL)
			*slot_for(m, old.slots[i].key, old.slots[i].hash) = old.slots[i];
	free(old.slots);
}

void
map_put(struct map *m, struct slice key, void *value)
{
	uint64_t hash = map_hash(key);

	if ((m->count + 1) * 3 > m->cap * 2)
		grow(m);
	*slot_for(m, key, hash) = (struct map_slot){key, value, hash};
	m->count++;
}

void
map_close(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}
