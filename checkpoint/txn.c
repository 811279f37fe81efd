/* checkpoint/txn.c - a transaction: operations in order, with their own copies.
 *
 *   txn_position(t, row) --> txn_op --> txn_op --> ...   strings in an arena
 *
 * Apart from any store, so that every store carries out the same list. What
 * is copied lives in chunks that only grow and go all at once with
 * txn_close(): nobody has to free a row.
 *
 * A dead letter is as large as a peer makes it, so memory that cannot be had
 * is not fatal: the transaction is marked (txn_failed()), and a store answers
 * its commit with ERR_NOMEM, retriable.
 *
 * Threading: none of its own; a store may hand it to its thread and back.
 */
#include "checkpoint/store.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A transaction of a few positions, the usual case, fits into one. */
#define CHUNK_BYTES 4000u

struct chunk {
	struct chunk *next;
	size_t used, cap;
	alignas(max_align_t) char bytes[];
};

struct txn {
	struct txn_op *first; /* in chunks, as are all strings */
	struct txn_op **end;
	size_t count;
	struct chunk *chunks; /* owned; the one being filled is first */
	bool failed;
};

struct txn *
txn_new(void)
{
	struct txn *t = mem_new(sizeof *t);

	t->end = &t->first;
	return t;
}

void
txn_close(struct txn *t)
{
	struct chunk *c, *next;

	if (t == NULL)
		return;
	for (c = t->chunks; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	free(t);
}

static struct chunk *
chunk_new(struct txn *t, size_t n)
{
	size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;
	struct chunk *c = NULL;
	size_t size;

	if (!__builtin_add_overflow(cap, sizeof *c, &size))
		c = malloc(size);
	if (c == NULL) {
		t->failed = true;
		return NULL;
	}
	*c = (struct chunk){.next = t->chunks, .cap = cap};
	t->chunks = c;
	return c;
}

/* NULL when memory is out; align is a power of two. */
static void *
take(struct txn *t, size_t n, size_t align)
{
	struct chunk *c = t->chunks;
	size_t at = c != NULL ? (c->used + align - 1) & ~(align - 1) : 0;

	if (c == NULL || at > c->cap || n > c->cap - at) {
		c = chunk_new(t, n);
		if (c == NULL)
			return NULL;
		at = 0;
	}
	c->used = at + n;
	return c->bytes + at;
}

static struct slice
copy(struct txn *t, struct slice s)
{
	char *p;

	if (s.p == NULL || t->failed)
		return SLICE_NONE;
	p = take(t, s.n + 1, 1);
	if (p == NULL)
		return SLICE_NONE;
	if (s.n != 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct slice){p, s.n};
}

/* NULL becomes "": rows have no absent text. */
static void
own(struct txn *t, const char **text)
{
	*text = copy(t, slice_of(*text != NULL ? *text : "")).p;
}

/* NULL when memory is out. */
static struct txn_op *
add(struct txn *t, enum txn_kind kind)
{
	struct txn_op *op = t->failed ? NULL : take(t, sizeof *op, alignof(struct txn_op));

	if (op == NULL)
		return NULL;
	memset(op, 0, sizeof *op);
	op->kind = kind;
	*t->end = op;
	t->end = &op->next;
	t->count++;
	return op;
}

void
txn_stream(struct txn *t, const struct stream_row *r)
{
	struct txn_op *op = add(t, TXN_STREAM);

	if (op == NULL)
		return;
	op->u.stream = *r;
	own(t, &op->u.stream.arn);
	own(t, &op->u.stream.stream);
	own(t, &op->u.stream.table);
}

void
txn_subscription(struct txn *t, const struct subscription_row *r)
{
	struct txn_op *op = add(t, TXN_SUBSCRIPTION);

	if (op == NULL)
		return;
	op->u.subscription = *r;
	own(t, &op->u.subscription.arn);
	own(t, &op->u.subscription.sink);
}

void
txn_shard(struct txn *t, const struct shard_row *r)
{
	struct txn_op *op = add(t, TXN_SHARD);

	if (op == NULL)
		return;
	op->u.shard = *r;
	own(t, &op->u.shard.arn);
	own(t, &op->u.shard.shard);
	own(t, &op->u.shard.parent);
}

static void
add_position(struct txn *t, enum txn_kind kind, const struct position_row *r)
{
	struct txn_op *op = add(t, kind);

	if (op == NULL)
		return;
	op->u.position = *r;
	own(t, &op->u.position.arn);
	own(t, &op->u.position.shard);
	own(t, &op->u.position.sink);
}

void
txn_position(struct txn *t, const struct position_row *r)
{
	add_position(t, TXN_POSITION, r);
}

void
txn_gap(struct txn *t, const struct gap *g)
{
	struct txn_op *op = add(t, TXN_GAP);

	if (op == NULL)
		return;
	op->u.gap = *g;
	own(t, &op->u.gap.arn);
	own(t, &op->u.gap.shard);
	own(t, &op->u.gap.sink);
}

void
txn_dead_letter(struct txn *t, const struct dead_letter *d)
{
	struct txn_op *op = add(t, TXN_DEAD_LETTER);
	struct dead_letter *to;

	if (op == NULL)
		return;
	to = &op->u.dead_letter;
	*to = *d;
	own(t, &to->arn);
	own(t, &to->shard);
	own(t, &to->sink);
	own(t, &to->stream);
	own(t, &to->key);
	own(t, &to->hash_key);
	own(t, &to->range_key);
	own(t, &to->reason);
	own(t, &to->superseded);
	to->event_id = copy(t, d->event_id);
	to->record = copy(t, d->record);
}

void
txn_drop_letter(struct txn *t, uint64_t id)
{
	struct txn_op *op = add(t, TXN_DROP_LETTER);

	if (op != NULL)
		op->u.dead_letter.id = id;
}

void
txn_supersede(struct txn *t, uint64_t id, const char *version)
{
	struct txn_op *op = add(t, TXN_SUPERSEDE);

	if (op == NULL)
		return;
	op->u.dead_letter = (struct dead_letter){.id = id, .superseded = version};
	own(t, &op->u.dead_letter.superseded);
}

void
txn_forget_shard(struct txn *t, const char *arn, const char *shard)
{
	struct txn_op *op = add(t, TXN_FORGET_SHARD);

	if (op == NULL)
		return;
	op->u.shard = (struct shard_row){.arn = arn, .shard = shard};
	own(t, &op->u.shard.arn);
	own(t, &op->u.shard.shard);
	own(t, &op->u.shard.parent);
}

void
txn_delete_position(struct txn *t, const char *arn, const char *shard, const char *sink)
{
	add_position(t, TXN_DELETE_POSITION,
	    &(struct position_row){.arn = arn, .shard = shard, .sink = sink});
}

void
txn_delete_subscription(struct txn *t, const char *arn, const char *sink)
{
	add_position(t, TXN_DELETE_SUBSCRIPTION, &(struct position_row){.arn = arn, .sink = sink});
}

size_t
txn_count(const struct txn *t)
{
	return t->count;
}

bool
txn_failed(const struct txn *t)
{
	return t->failed;
}

const struct txn_op *
txn_first(const struct txn *t)
{
	return t->first;
}
