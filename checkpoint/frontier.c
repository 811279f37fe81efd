/* checkpoint/frontier.c - see frontier.h. */
#include "checkpoint/frontier.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

struct frontier_slot {
	struct seq seq;
	bool done;
	int64_t created_us;
};

#define FIRST_CAP 64u

static struct frontier_slot *
slot_of(const struct frontier *f, uint64_t ticket)
{
	return &f->ring[ticket & (f->cap - 1)];
}

/* A slot's place is its ticket modulo cap, so the slots in use move. */
static void
grow(struct frontier *f)
{
	size_t cap = f->cap != 0 ? f->cap * 2 : FIRST_CAP;
	struct frontier_slot *ring = mem_array(cap, sizeof *ring);

	for (uint64_t t = f->head; t != f->tail; t++)
		ring[t & (cap - 1)] = *slot_of(f, t);
	free(f->ring);
	f->ring = ring;
	f->cap = cap;
}

void
frontier_init(struct frontier *f)
{
	*f = (struct frontier){0};
}

void
frontier_close(struct frontier *f)
{
	if (f == NULL)
		return;
	free(f->ring);
	*f = (struct frontier){0};
}

uint64_t
frontier_push(struct frontier *f, const struct seq *seq, int64_t created_us)
{
	const struct seq *last = &f->acked;

	assert(seq_is_set(seq));
	if (!frontier_empty(f))
		last = &slot_of(f, f->tail - 1)->seq;
	assert(!seq_is_set(last) || seq_cmp(last, seq) < 0);
	if (f->tail - f->head == f->cap)
		grow(f);
	*slot_of(f, f->tail) = (struct frontier_slot){.seq = *seq, .created_us = created_us};
	return f->tail++;
}

bool
frontier_done(struct frontier *f, uint64_t ticket)
{
	/* Unsigned: one comparison refuses tickets that are past and tickets
	 * that were never given. */
	assert(ticket - f->head < f->tail - f->head);
	assert(!slot_of(f, ticket)->done);
	slot_of(f, ticket)->done = true;
	if (ticket != f->head)
		return false;
	while (f->head != f->tail && slot_of(f, f->head)->done)
		f->head++;
	f->acked = slot_of(f, f->head - 1)->seq;
	if (slot_of(f, f->head - 1)->created_us != 0)
		f->acked_us = slot_of(f, f->head - 1)->created_us;
	return true;
}

int64_t
frontier_oldest(const struct frontier *f)
{
	return frontier_empty(f) ? 0 : slot_of(f, f->head)->created_us;
}

void
frontier_drop(struct frontier *f)
{
	/* Tickets go on from where they were, so that one from before is
	 * caught by frontier_done() rather than taken for another record. */
	f->head = f->tail;
}

void
frontier_shrink(struct frontier *f)
{
	assert(frontier_empty(f));
	free(f->ring);
	f->ring = NULL;
	f->cap = 0;
}
