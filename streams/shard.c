/* streams/shard.c - see shard.h. */
#include "streams/shard.h"

#include "base/compiler.h"
#include "base/log.h"

#define TO(s) (1u << SHARD_##s)

/* Where each state may lead. DRAINING goes back to READING when a sink that was
 * detached must be caught up; a gap that was accepted goes on where it stopped;
 * what is complete for the sinks there were is not so for one that is added. */
static const unsigned edges[] = {
    [SHARD_DISCOVERED] = TO(WAITING_PARENT) | TO(READING) | TO(COMPLETE) | TO(GAP) | TO(FORGOTTEN),
    [SHARD_WAITING_PARENT] = TO(READING) | TO(COMPLETE) | TO(GAP) | TO(FORGOTTEN),
    [SHARD_READING] = TO(DRAINING) | TO(COMPLETE) | TO(GAP),
    [SHARD_DRAINING] = TO(READING) | TO(COMPLETE) | TO(GAP),
    [SHARD_COMPLETE] = TO(WAITING_PARENT) | TO(READING) | TO(FORGOTTEN),
    [SHARD_GAP] = TO(WAITING_PARENT) | TO(READING) | TO(DRAINING) | TO(COMPLETE) | TO(FORGOTTEN),
    [SHARD_FORGOTTEN] = 0,
};

const char *
shard_state_name(enum shard_state s)
{
	switch (s) {
	case SHARD_DISCOVERED:
		return "discovered";
	case SHARD_WAITING_PARENT:
		return "waiting-parent";
	case SHARD_READING:
		return "reading";
	case SHARD_DRAINING:
		return "draining";
	case SHARD_COMPLETE:
		return "complete";
	case SHARD_GAP:
		return "gap";
	case SHARD_FORGOTTEN:
		return "forgotten";
	}
	return "unknown";
}

void
shard_set_state(struct shard *sh, enum shard_state to, const char *why)
{
	if (sh->state == to)
		return;
	assert((size_t)sh->state < ARRAY_LEN(edges) && (edges[sh->state] & 1u << to) != 0);
	log_debug("shard", sh->id, "%s -> %s (%s)", shard_state_name(sh->state),
	    shard_state_name(to), why);
	sh->state = to;
}
