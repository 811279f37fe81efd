/* daemon/store_memory.c - see store_memory.h. */
#include "daemon/store_memory.h"

#include <stdlib.h>

#include "base/mem.h"

struct waiting { /* a commit that has not been answered */
	struct waiting *next;
	void (*done)(void *arg, const struct err *e);
	void *arg;
};

struct store_memory {
	struct store store; /* first: see store.h */
	struct loop_timer *timer;
	struct waiting *first, **last;
};

static int
memory_load(struct store *s, const struct store_visitor *v, struct err *e)
{
	(void)s;
	(void)v;
	(void)e;
	return 0;
}

static void
answer_all(struct store_memory *m)
{
	struct waiting *w = m->first;

	/* A done() may commit again: that one waits for the next pass. */
	m->first = NULL;
	m->last = &m->first;
	while (w != NULL) {
		struct waiting *next = w->next;

		w->done(w->arg, NULL);
		free(w);
		w = next;
	}
}

static void
on_timer(void *arg)
{
	answer_all(arg);
}

static void
memory_commit(
    struct store *s, struct txn *t, void (*done)(void *arg, const struct err *e), void *arg)
{
	struct store_memory *m = CONTAINER_OF(s, struct store_memory, store);
	struct waiting *w = mem_new(sizeof *w);

	txn_close(t);
	w->done = done;
	w->arg = arg;
	*m->last = w;
	m->last = &w->next;
	loop_timer_arm(m->timer, 0);
}

static void
memory_close(struct store *s)
{
	struct store_memory *m = CONTAINER_OF(s, struct store_memory, store);

	answer_all(m);
	loop_timer_close(m->timer);
	free(m);
}

struct store *
store_memory_new(struct loop *lp)
{
	static const struct store_ops ops = {
	    .name = "memory", .load = memory_load, .commit = memory_commit, .close = memory_close};
	struct store_memory *m = mem_new(sizeof *m);

	m->store.ops = &ops;
	m->timer = loop_timer_new(lp, on_timer, m);
	m->last = &m->first;
	return &m->store;
}
