/* pipeline/letters.h - what a running daemon must know of one sink's dead
 * letters, without their records: which items have one, and how old they are.
 *
 *   add -> (lookup by item at every ACK) -> superseded, or delivered: remove
 *
 * About 120 bytes a letter; `dead-letters.max-count` bounds them.
 * Pure but for memory. Threading: loop thread.
 */
#ifndef PIPELINE_LETTERS_H
#define PIPELINE_LETTERS_H

#include "checkpoint/store.h"
#include "record/record.h"

struct letter_source { /* a shard that has letters */
	struct letter_source *chain;
	uint64_t hash;
	char *arn, *shard; /* owned */
	size_t refs;
};

struct letter {
	struct letter *chain;	    /* of its bucket */
	struct letter *next, *prev; /* in the order of ids */
	struct letter_source *source;
	uint64_t id;
	uint64_t key_hash;
	int64_t first_us;
	struct seq seq;
	bool superseded;
};

struct letters {
	struct letter **table; /* owned; a power of two */
	size_t cap, count, superseded;
	struct letter *first, *last;
	struct letter_source *sources[256];
};

void letters_init(struct letters *ls);
void letters_close(struct letters *ls);
/* What is known already (same shard and number) is given back as it is; *known says so. */
struct letter *letters_add(struct letters *ls, const struct dead_letter *d, bool *known);
void letters_remove(struct letters *ls, struct letter *lt);
void letters_supersede(struct letters *ls, struct letter *lt);
struct letter *letters_find(const struct letters *ls, const struct dead_letter *d);
/* The letters of keys with that hash: first, then next of each; NULL ends. */
struct letter *letters_of_key(const struct letters *ls, uint64_t key_hash);
struct letter *letters_next_of_key(const struct letter *lt);
/* Is lt about the item (the table's too) that r changed? *order: below 0 if lt is the
 * older change, 0 if it is this one, above 0 if it is the newer. */
bool letter_same_item(
    const struct letter *lt, const struct record *r, const struct origin *o, int *order);

#endif
