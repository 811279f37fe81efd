/* tests/emulator/history.h - a past for a table, from a seed.
 *
 * The same options give the same shards, numbers, items and bytes, wherever
 * and whenever it runs.
 */
#ifndef EMULATOR_HISTORY_H
#define EMULATOR_HISTORY_H

#include "tests/emulator/model.h"

struct history_conf {
	uint64_t seed;
	uint64_t records, items;
	uint64_t split_every, rotate_every; /* records; 0: never */
	int64_t span_ms;		    /* from the first record to the last */
	uint32_t pad;			    /* see image.h */
	bool no_nul;			    /* the same */
};

/* From start_ms on; returns the time of the last record. */
int64_t
history_play(struct model *m, struct table *t, const struct history_conf *hc, int64_t start_ms);

#endif
