/* pipeline/keeper.c - see keeper.h. */
#include "pipeline/keeper.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

struct items {
	struct keep_item *first, **tail;
};

struct keeper {
	struct loop *loop;
	struct store *store; /* borrowed */
	int64_t interval_us;
	struct items marked;
	struct items under_way;
	bool busy;   /* a transaction is with the store */
	bool urgent; /* something marked since does not wait for the interval */
	bool closed; /* while busy: freed when the store answers */
	struct backoff backoff;
	struct loop_timer *timer;
	int64_t last_start, latency;
	struct histogram latencies;
	uint64_t failures;
	void (*flushed)(void *arg);
	void *flushed_arg;
	char trouble[256];
};

static void
items_init(struct items *l)
{
	l->first = NULL;
	l->tail = &l->first;
}

static void
items_add(struct items *l, struct keep_item *it)
{
	it->next = NULL;
	it->prev = l->tail;
	*l->tail = it;
	l->tail = &it->next;
}

static void
items_remove(struct items *l, struct keep_item *it)
{
	*it->prev = it->next;
	if (it->next != NULL)
		it->next->prev = it->prev;
	else
		l->tail = it->prev;
	it->next = NULL;
	it->prev = NULL;
}

static void
tell_flushed(struct keeper *k)
{
	void (*fn)(void *) = k->flushed;

	if (fn == NULL || k->busy || k->marked.first != NULL)
		return;
	k->flushed = NULL;
	fn(k->flushed_arg);
}

/* What could not be written goes first again; what was marked since follows. */
static void
requeue(struct keeper *k)
{
	struct items later = k->marked;
	struct keep_item *it;

	if (later.first != NULL)
		later.first->prev = &later.first;
	items_init(&k->marked);
	while ((it = k->under_way.first) != NULL) {
		items_remove(&k->under_way, it);
		it->state = KEEP_MARKED;
		items_add(&k->marked, it);
	}
	while ((it = later.first) != NULL) {
		later.first = it->next;
		items_add(&k->marked, it);
	}
}

static void
settle(struct keeper *k)
{
	struct keep_item *it;

	while ((it = k->under_way.first) != NULL) {
		bool again = it->state == KEEP_AGAIN;

		items_remove(&k->under_way, it);
		it->state = KEEP_CLEAN;
		if (again)
			keeper_mark(k, it, false);
		if (it->durable != NULL)
			it->durable(it);
	}
}

static void
on_durable(void *arg, const struct err *e)
{
	struct keeper *k = arg;

	k->busy = false;
	if (k->closed) {
		free(k);
		return;
	}
	if (e != NULL) {
		k->failures++;
		(void)snprintf(k->trouble, sizeof k->trouble, "%.255s", e->text);
		utf8_mend(k->trouble);
		log_error("store", "", "cannot save positions, will try again: %s", e->text);
		requeue(k);
		loop_timer_arm(k->timer, backoff_next(&k->backoff, k->loop));
		return;
	}
	if (k->trouble[0] != '\0')
		log_info("store", "", "positions are saved again");
	k->trouble[0] = '\0';
	k->latency = loop_now(k->loop) - k->last_start;
	histogram_add(&k->latencies, k->latency);
	backoff_reset(&k->backoff);
	settle(k);
	if (k->marked.first != NULL && (k->urgent || !loop_timer_armed(k->timer)))
		loop_timer_arm(k->timer, k->urgent || k->flushed != NULL ? 0 : k->interval_us);
	tell_flushed(k);
}

static void
start(void *arg)
{
	struct keeper *k = arg;
	struct txn *t;

	if (k->busy)
		return;
	if (k->marked.first == NULL) {
		tell_flushed(k);
		return;
	}
	k->urgent = false;
	t = txn_new();
	while (k->marked.first != NULL) {
		struct keep_item *it = k->marked.first;

		items_remove(&k->marked, it);
		it->write(it, t);
		it->state = KEEP_UNDER_WAY;
		items_add(&k->under_way, it);
	}
	k->busy = true;
	k->last_start = loop_now(k->loop);
	store_commit(k->store, t, on_durable, k);
}

void
keeper_mark(struct keeper *k, struct keep_item *it, bool urgent)
{
	switch (it->state) {
	case KEEP_CLEAN:
		it->state = KEEP_MARKED;
		items_add(&k->marked, it);
		break;
	case KEEP_UNDER_WAY:
		it->state = KEEP_AGAIN;
		break;
	case KEEP_MARKED:
	case KEEP_AGAIN:
		break;
	}
	k->urgent = k->urgent || urgent;
	if (k->trouble[0] != '\0')
		return; /* the back-off decides */
	if (urgent || k->flushed != NULL)
		loop_timer_arm(k->timer, 0);
	else if (!loop_timer_armed(k->timer))
		loop_timer_arm(k->timer, k->interval_us);
}

void
keeper_forget(struct keeper *k, struct keep_item *it)
{
	switch (it->state) {
	case KEEP_CLEAN:
		return;
	case KEEP_MARKED:
		items_remove(&k->marked, it);
		break;
	case KEEP_UNDER_WAY:
	case KEEP_AGAIN:
		items_remove(&k->under_way, it);
		break;
	}
	it->state = KEEP_CLEAN;
}

void
keeper_flush(struct keeper *k, void (*fn)(void *arg), void *arg)
{
	k->flushed = fn;
	k->flushed_arg = arg;
	if (k->trouble[0] == '\0')
		loop_timer_arm(k->timer, 0);
}

const char *
keeper_trouble(const struct keeper *k)
{
	return k->trouble;
}

int64_t
keeper_latency(const struct keeper *k)
{
	return k->latency;
}

const struct histogram *
keeper_latencies(const struct keeper *k)
{
	return &k->latencies;
}

uint64_t
keeper_failures(const struct keeper *k)
{
	return k->failures;
}

struct keeper *
keeper_new(struct loop *lp, struct store *store, int64_t interval_us)
{
	struct keeper *k = mem_new(sizeof *k);

	k->loop = lp;
	k->store = store;
	k->interval_us = interval_us;
	k->latencies.shape = &histogram_latency;
	/* 100 ms to 5 s: a full disk is looked at again soon after room was made. */
	k->backoff = (struct backoff){.base_us = 100 * USEC_MS, .cap_us = 5 * USEC_SEC};
	items_init(&k->marked);
	items_init(&k->under_way);
	k->timer = loop_timer_new(lp, start, k);
	return k;
}

void
keeper_close(struct keeper *k)
{
	if (k == NULL)
		return;
	loop_timer_close(k->timer);
	k->closed = true;
	if (!k->busy)
		free(k);
}
