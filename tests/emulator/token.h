/* tests/emulator/token.h - shard iterators: <stream arn>|1|<base64>.
 *
 * They say everything the emulator needs (it keeps no iterators) and carry an
 * HMAC, so that an invented or altered one is told from an old one.
 */
#ifndef EMULATOR_TOKEN_H
#define EMULATOR_TOKEN_H

#include "base/buf.h"
#include "tests/emulator/model.h"

struct token {
	uint32_t stream, shard;
	uint64_t position; /* index of the next event */
	int64_t issued_ms;
	uint32_t empty_left; /* empty pages to show before the next data */
};

struct token_key {
	unsigned char bytes[32];
};

void token_key_init(struct token_key *k, uint64_t seed);
void token_write(
    const struct token_key *k, const struct model *m, const struct token *tk, struct buf *out);
/* False: not ours. The stream is there; the shard index is not checked. */
bool
token_read(const struct token_key *k, const struct model *m, struct slice text, struct token *out);

#endif
