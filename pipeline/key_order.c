/* pipeline/key_order.c - see key_order.h.
 *
 * A queue keeps `next`, the first link that is not out: with KEY_ORDER only it
 * may go. It moves on when that link goes out or leaves, and back when one
 * before it comes back.
 */
#include "pipeline/key_order.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

struct key_queue {
	uint64_t hash;
	struct key_link *first, *last;
	struct key_link *next; /* first that is not out; NULL: all are */
	struct key_queue *chain;
};

void
key_order_init(struct key_order *ko, bool pipelined)
{
	*ko = (struct key_order){.pipelined = pipelined, .cap = 64};
	ko->table = mem_array(ko->cap, sizeof *ko->table);
}

void
key_order_close(struct key_order *ko)
{
	assert(ko->count == 0);
	while (ko->spare != NULL) {
		struct key_queue *q = ko->spare;

		ko->spare = q->chain;
		free(q);
	}
	free(ko->table);
	ko->table = NULL;
}

/* The hash is FNV-like: its high bits are the better mixed ones. */
static size_t
bucket_of(size_t cap, uint64_t hash)
{
	return (size_t)((hash ^ hash >> 29) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (cap - 1);
}

static void
grow(struct key_order *ko)
{
	size_t cap = ko->cap * 2;
	struct key_queue **table = mem_array(cap, sizeof *table);

	for (size_t i = 0; i < ko->cap; i++) {
		struct key_queue *q = ko->table[i];

		while (q != NULL) {
			struct key_queue *chain = q->chain;
			size_t at = bucket_of(cap, q->hash);

			q->chain = table[at];
			table[at] = q;
			q = chain;
		}
	}
	free(ko->table);
	ko->table = table;
	ko->cap = cap;
}

static struct key_queue *
queue_get(struct key_order *ko, uint64_t hash)
{
	struct key_queue **at = &ko->table[bucket_of(ko->cap, hash)];
	struct key_queue *q;

	for (q = *at; q != NULL; q = q->chain)
		if (q->hash == hash)
			return q;
	if (ko->count >= ko->cap) {
		grow(ko);
		at = &ko->table[bucket_of(ko->cap, hash)];
	}
	q = ko->spare;
	if (q != NULL)
		ko->spare = q->chain;
	else
		q = mem_new(sizeof *q);
	*q = (struct key_queue){.hash = hash, .chain = *at};
	*at = q;
	ko->count++;
	return q;
}

static void
queue_drop(struct key_order *ko, struct key_queue *q)
{
	struct key_queue **at = &ko->table[bucket_of(ko->cap, q->hash)];

	while (*at != q)
		at = &(*at)->chain;
	*at = q->chain;
	q->chain = ko->spare;
	ko->spare = q;
	ko->count--;
}

void
key_order_enter(struct key_order *ko, struct key_link *l, uint64_t key_hash)
{
	struct key_queue *q = queue_get(ko, key_hash);

	*l = (struct key_link){.queue = q, .prev = q->last, .order = ++ko->last_order};
	if (q->last != NULL)
		q->last->next = l;
	else
		q->first = l;
	q->last = l;
	if (q->next == NULL)
		q->next = l;
}

static struct key_link *
first_idle(struct key_link *l)
{
	while (l != NULL && l->out)
		l = l->next;
	return l;
}

bool
key_order_may(const struct key_order *ko, const struct key_link *l)
{
	if (l->out)
		return false;
	return ko->pipelined ? l->queue->next == l : l->queue->first == l;
}

bool
key_order_first(const struct key_link *l)
{
	return l->prev == NULL;
}

struct key_link *
key_order_out(struct key_order *ko, struct key_link *l)
{
	assert(key_order_may(ko, l));
	l->out = true;
	l->queue->next = first_idle(l->next);
	return ko->pipelined ? l->queue->next : NULL;
}

void
key_order_back(struct key_order *ko, struct key_link *l)
{
	struct key_queue *q = l->queue;

	(void)ko;
	assert(l->out);
	l->out = false;
	if (q->next == NULL || l->order < q->next->order)
		q->next = l;
}

struct key_link *
key_order_leave(struct key_order *ko, struct key_link *l)
{
	struct key_queue *q = l->queue;
	bool was_first = q->first == l;

	if (q->next == l)
		q->next = first_idle(l->next);
	if (l->prev != NULL)
		l->prev->next = l->next;
	else
		q->first = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	else
		q->last = l->prev;
	l->queue = NULL;
	if (q->first == NULL) {
		queue_drop(ko, q);
		return NULL;
	}
	if (ko->pipelined)
		return q->next;
	return was_first && !q->first->out ? q->first : NULL;
}
