/* pipeline/key_order.h - which record of a key may be submitted next.
 *
 * Every record that a lane holds and that is not done stands in the queue of
 * its key, in source order. Two rules, by what the sink promises:
 *
 *   without KEY_ORDER   only the first of the queue may be out
 *   with KEY_ORDER      any number may be out, but none behind one that is not
 *
 * so a record never overtakes an earlier one of its key, retries included.
 * Keys are 64-bit hashes: two keys that collide wait for each other, nothing
 * more. For a sink that needs the order of a whole shard, the shard is the key.
 */
#ifndef PIPELINE_KEY_ORDER_H
#define PIPELINE_KEY_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_queue;

struct key_link { /* embedded in the lane's entry */
	struct key_queue *queue;
	struct key_link *next, *prev;
	uint64_t order; /* rises with every enter */
	bool out;	/* submitted and not reported */
};

struct key_order {
	struct key_queue **table; /* owned; open hashing by chain */
	size_t cap, count;
	struct key_queue *spare; /* recycled queues */
	uint64_t last_order;
	bool pipelined; /* the sink keeps key order */
};

void key_order_init(struct key_order *ko, bool pipelined);
void key_order_close(struct key_order *ko); /* all links have left */
void key_order_enter(struct key_order *ko, struct key_link *l, uint64_t key_hash);
/* The record is done (out or not); returns the link that may go now and could not before,
 * or NULL. */
struct key_link *key_order_leave(struct key_order *ko, struct key_link *l);
/* May it be submitted now? */
bool key_order_may(const struct key_order *ko, const struct key_link *l);
/* It was submitted; returns the next of its key that may go too, or NULL. */
struct key_link *key_order_out(struct key_order *ko, struct key_link *l);
/* Has everything of its key that came before it been done? */
bool key_order_first(const struct key_link *l);
/* It came back unfinished. */
void key_order_back(struct key_order *ko, struct key_link *l);

#endif
