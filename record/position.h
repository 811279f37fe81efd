/* record/position.h - where in a shard a sink stands, or a reader begins.
 *
 * Shared by streams/ (begins there), checkpoint/ (keeps it) and pipeline/.
 */
#ifndef RECORD_POSITION_H
#define RECORD_POSITION_H

#include <stdint.h>

#include "record/sequence.h"

enum pos_kind {
	POS_NONE,	  /* unknown */
	POS_TRIM_HORIZON, /* the oldest record there is; first listing only */
	POS_AT_START,	  /* AT seq, or if that is unset AT the shard's
	                   * StartingSequenceNumber: every later shard, since TRIM_HORIZON
	                   * would step silently over a part that was trimmed unread */
	POS_LATEST,	  /* what comes after `since_us`. Not durable at the
	                   * service: resumed AT_START, leaving out records made
	                   * before since_us */
	POS_AFTER,	  /* after seq */
	POS_COMPLETE,	  /* read to the null iterator and all acked */
};

struct pos {
	enum pos_kind kind;
	struct seq seq;	  /* AFTER; AT_START if known */
	int64_t since_us; /* LATEST: wall clock; also kept with AT_START when it
	                   * came from a LATEST start; 0: no bound */
};

#endif
