/* checkpoint/frontier.h - the end of the longest contiguous acked prefix.
 *
 * One per shard and sink. Records enter in source order and are done in any
 * order; the frontier stands at the last record before the first that is not
 * done. Never a maximum.
 *
 *   push 1 2 3 4 ; done 1 3 4 -> frontier 1 ; done 2 -> frontier 4
 *
 * A ring that grows to the largest window and stays (memory bound: the lane's
 * share of the budget). Threading: loop thread.
 */
#ifndef CHECKPOINT_FRONTIER_H
#define CHECKPOINT_FRONTIER_H

#include <stdbool.h>
#include <stdint.h>

#include "record/sequence.h"

struct frontier {
	struct frontier_slot *ring; /* owned */
	uint64_t head;		    /* ticket of the oldest record that is not past */
	uint64_t tail;		    /* ticket of the next record */
	size_t cap;		    /* power of two */
	struct seq acked;	    /* last of the prefix; unset: nothing yet */
	int64_t acked_us;	    /* when it was created; 0: nothing yet, or never known */
};

void frontier_init(struct frontier *f);
void frontier_close(struct frontier *f);
/* seq must be above every number pushed before (asserted). created_us: of the
 * record, 0 if it does not say. Returns its ticket. */
uint64_t frontier_push(struct frontier *f, const struct seq *seq, int64_t created_us);
/* True if the frontier moved. Done twice is a bug (asserted). */
bool frontier_done(struct frontier *f, uint64_t ticket);
/* Lets go of everything that is not past, without moving: tickets given so
 * far are void. */
void frontier_drop(struct frontier *f);
/* Nothing more will be pushed, or not for long: gives the memory back. Only
 * when empty (asserted); acked stays. */
void frontier_shrink(struct frontier *f);
/* When the oldest record that is not done was created; 0: there is none, or it does not say. */
int64_t frontier_oldest(const struct frontier *f);
static inline bool
frontier_empty(const struct frontier *f)
{
	return f->head == f->tail;
}

#endif
