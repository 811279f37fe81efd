/* sinks/last_key.h - of several writes of one item in a batch, only the last.
 *
 *   begin -> add(key) per delivery, in order -> of each: is it the last of its key,
 *                                               and if not, which one is
 *
 * For targets that hold a state, not a history: what a later record of the same
 * batch overwrites need not be sent at all, and a target such as PostgreSQL refuses one
 * row twice in a statement. Keys are compared as bytes, never by hash alone.
 * The fate of one that was left out is that of the last one of its key: ACK
 * when that was acked, RETRY when it must be tried again; when that was
 * REJECTed, RETRY too, since now it is the newest itself.
 *
 * Threading: none. Kept and used again, it stops allocating.
 */
#ifndef SINKS_LAST_KEY_H
#define SINKS_LAST_KEY_H

#include "base/buf.h"
#include "base/slice.h"

struct last_key_entry {
	uint64_t hash;
	size_t at, length; /* of the key, in keys */
	size_t first;	   /* index of the first of this key */
	size_t last;	   /* of a first: index of the last */
	size_t chain;	   /* of a first: the next in its bucket; SIZE_MAX: none */
};

struct last_key {
	struct buf keys;	  /* owned */
	struct last_key_entry *v; /* owned */
	size_t n, cap;
	size_t *table; /* owned; as long as v, a power of two */
};

void last_key_init(struct last_key *lk);
void last_key_close(struct last_key *lk);
/* Forgets the batch before and makes room for one of count deliveries, whose
 * keys together have at most the bytes that the lane's batch has. */
void last_key_begin(struct last_key *lk, size_t count);
/* The next delivery's key (copied) and its hash, as in struct delivery. -1: out of memory. */
int last_key_add(struct last_key *lk, struct slice key, uint64_t hash) MUST_CHECK;

/* After the last add: the index of the last delivery with the key of number i. */
static inline size_t
last_key_of(const struct last_key *lk, size_t i)
{
	return lk->v[lk->v[i].first].last;
}

/* Valid until the next begin. */
static inline struct slice
last_key_text(const struct last_key *lk, size_t i)
{
	return (struct slice){lk->keys.p + lk->v[i].at, lk->v[i].length};
}

#endif
