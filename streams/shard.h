/* streams/shard.h - one shard in the graph of its stream.
 *
 * Owned by its lineage; pointers stay valid until the lineage's `forget` of
 * that shard or lineage_close(). Only lineage.c changes a shard's fields, the
 * state through shard_set_state(), which logs "old -> new (why)" and asserts
 * the edge. `user` belongs to the lineage's host.
 */
#ifndef STREAMS_SHARD_H
#define STREAMS_SHARD_H

#include <stdbool.h>

#include "base/limits.h"
#include "record/position.h"

enum shard_state {
	SHARD_DISCOVERED,     /* listed; nobody has decided about it yet */
	SHARD_WAITING_PARENT, /* no sink has finished its parent */
	SHARD_READING,
	SHARD_DRAINING,	 /* null iterator seen, acks outstanding */
	SHARD_COMPLETE,	 /* every sink has all of it */
	SHARD_GAP,	 /* stopped: data was lost and the policy is halt */
	SHARD_FORGOTTEN, /* gone from the listing and from the store */
};
const char *shard_state_name(enum shard_state s);

/* How a shard came to be known; decides where it is begun (design.md 5, rule 3). */
enum shard_birth {
	SHARD_FIRST,  /* in the very first listing of the stream */
	SHARD_KNOWN,  /* from the store */
	SHARD_CHILD,  /* later; its parent is known or listed, or it names none */
	SHARD_ORPHAN, /* later; its parent is neither known nor listed: born and
	               * trimmed while we were away. A gap */
};

struct shard {
	char id[LIMIT_SHARD_ID + 1];
	char parent_id[LIMIT_SHARD_ID + 1]; /* "" if none was named */
	struct shard *parent;		    /* NULL: none, or not known any more */
	struct shard *children;		    /* first; then by sibling */
	struct shard *sibling;
	struct shard *next; /* all shards of the lineage, oldest first */
	struct seq start;   /* bounds from the listing; may be unset */
	struct seq end;
	bool closed; /* the listing gave an end */
	bool listed; /* in the last complete listing */
	enum shard_birth birth;
	enum shard_state state;
	void *user;
};

void shard_set_state(struct shard *sh, enum shard_state to, const char *why);

#endif
