/* tests/emulator/shard.h - shards from the inside, for model.c only: their
 * birth and end, numbers, and the bytes of their records.
 */
#ifndef EMULATOR_SHARD_H
#define EMULATOR_SHARD_H

#include "tests/emulator/model.h"

struct change {
	struct slice key, before, now; /* JSON; absent images: SLICE_NONE */
	uint32_t data;
	int64_t time_s;
	bool ttl;
};

struct shard *shard_add(struct model *m, struct stream *st, struct shard *parent, uint32_t lo,
    uint32_t hi, int64_t now_ms);
void shard_end(struct model *m, struct shard *sh, int64_t now_ms);
void shard_append(struct model *m, struct shard *sh, const struct change *c);
void shard_close(struct shard *sh);

#endif
