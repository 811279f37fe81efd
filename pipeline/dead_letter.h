/* pipeline/dead_letter.h - dead letters on their way into the store and out of
 * it, in the order in which they came about.
 *
 *   lane: REJECT -> slot_bury() --------.
 *   lane: ACK ----> slot_acked() --------> one list -> keeper -> durable -> lane_buried()
 *   replay, drop -> slot_drop_letter() -'
 *
 * An ACK of a newer change of an item marks its letters `superseded`, one of
 * the very change removes its letter. Both are marked for the keeper before the position that
 * covers that ACK is, so they become durable with it or before.
 *
 * Threading: loop thread.
 */
#ifndef PIPELINE_DEAD_LETTER_H
#define PIPELINE_DEAD_LETTER_H

#include "pipeline/letters.h"
#include "pipeline/pipeline_priv.h"

struct graves;

struct graves *graves_new(struct pipeline *pl);
/* What is not durable never was: its records are read, and letters replayed, again. */
void graves_close(struct graves *g);
/* The store's letters at start; of sinks that are not configured they are only counted. */
void graves_load(struct graves *g, const struct dead_letter *d);
/* Their age is looked at from now on. */
void graves_start(struct graves *g);

void slot_bury(struct slot *sl, struct reject *rj);
void slot_acked(struct slot *sl, const struct delivery *d);
/* Are superseded letters not replayed there? */
bool slot_guards(const struct slot *sl);
/* Must this replay not be submitted? It would overwrite something newer, or its letter is gone. */
bool slot_stale(struct slot *sl, const struct delivery *d);
void slot_drop_letter(struct slot *sl, struct letter *lt);

struct letter_counts {
	size_t count, superseded;
	int64_t oldest_us; /* wall clock of its first submission; 0: none */
	bool full;	   /* as many as dead-letters.max-count */
	bool old;	   /* the oldest is older than dead-letters.max-age */
};
struct letter_counts slot_letter_counts(const struct slot *sl);

/* letter_status.c */
json_t *slot_letters_json(const struct slot *sl); /* new reference; its last job as well */
void slot_letters_metrics(const struct slot *sl, struct metrics *m);

#endif
