/* pipeline/keeper.h - gets what has changed into the store, in order.
 *
 * Whoever has something to keep embeds a keep_item and marks it. The keeper
 * gathers marked items into one transaction at a time: at most every interval
 * for positions, in the next pass for what is urgent (gaps, dead letters, new
 * rows). A failed transaction is tried again, whole, with back-off and an
 * alarm; nothing later becomes durable before it.
 *
 * Threading: loop thread. durable() comes from the loop.
 */
#ifndef PIPELINE_KEEPER_H
#define PIPELINE_KEEPER_H

#include "base/histogram.h"
#include "base/loop.h"
#include "checkpoint/store.h"

struct keeper;

enum keep_state { KEEP_CLEAN, KEEP_MARKED, KEEP_UNDER_WAY, KEEP_AGAIN };

struct keep_item { /* zeroed but for write and durable before first use */
	struct keep_item *next, **prev;
	enum keep_state state;
	void (*write)(struct keep_item *it, struct txn *t);
	void (*durable)(struct keep_item *it); /* optional; may mark or forget items, itself too */
};

struct keeper *keeper_new(struct loop *lp, struct store *store, int64_t interval_us);
/* Items still marked are let go of, and none is told anything more. */
void keeper_close(struct keeper *k);
/* Marked again while under way: written once more with its newer content. */
void keeper_mark(struct keeper *k, struct keep_item *it, bool urgent);
/* The item goes away; what is under way is not recalled. */
void keeper_forget(struct keeper *k, struct keep_item *it);
/* Calls fn once when nothing is marked or under way any more. */
void keeper_flush(struct keeper *k, void (*fn)(void *arg), void *arg);
/* Last failure, "" while all is well; for status. */
const char *keeper_trouble(const struct keeper *k);
/* Microseconds the last transaction took to become durable. */
int64_t keeper_latency(const struct keeper *k);
/* The same of all; failures are not in it. */
const struct histogram *keeper_latencies(const struct keeper *k);
/* Transactions that failed and were, or will be, tried again. */
uint64_t keeper_failures(const struct keeper *k);

#endif
