/* tests/emulator/map.h - text -> object, for items, shards and tables.
 *
 * Open addressing, grows, never shrinks and never removes: an item that was
 * deleted stays as an item without an image. Keys are borrowed from the
 * objects and must stay where they are.
 */
#ifndef EMULATOR_MAP_H
#define EMULATOR_MAP_H

#include <stdint.h>

#include "base/slice.h"

struct map_slot {
	struct slice key;
	void *value;
	uint64_t hash;
};

struct map {
	struct map_slot *slots; /* owned */
	size_t count, cap;
};

uint64_t map_hash(struct slice key);
void *map_get(const struct map *m, struct slice key);	    /* NULL: not there */
void map_put(struct map *m, struct slice key, void *value); /* key must be new */
void map_close(struct map *m);				    /* the values are the caller's */

#endif
