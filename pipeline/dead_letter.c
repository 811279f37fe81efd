/* pipeline/dead_letter.c - see dead_letter.h. */
#include "pipeline/dead_letter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "pipeline/replay.h"
#include "record/key.h"
#include "record/version.h"

/* How often their age is looked at; the limit is a matter of days. */
#define LOOK_US (300 * USEC_SEC)

enum grave_kind { GRAVE_BURY, GRAVE_DROP, GRAVE_SUPERSEDE };

struct grave { /* something to be made durable */
	struct grave *next;
	enum grave_kind kind;
	struct slot *slot;
	struct reject *reject; /* BURY */
	uint64_t id;
	char *text; /* owned. BURY: the key; SUPERSEDE: the version */
};

struct grave_list {
	struct grave *first, **end;
};

struct graves {
	struct pipeline *pl;
	struct grave_list marked; /* for the next transaction */
	struct grave_list now;	  /* in the one under way */
	struct keep_item keep;
	struct loop_timer *timer;
};

static void
list_init(struct grave_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void
list_move(struct grave_list *to, struct grave_list *from)
{
	if (from->first == NULL)
		return;
	*to->end = from->first;
	to->end = from->end;
	list_init(from);
}

static struct grave *
list_pop(struct grave_list *l)
{
	struct grave *gr = l->first;

	if (gr == NULL)
		return NULL;
	l->first = gr->next;
	if (l->first == NULL)
		l->end = &l->first;
	return gr;
}

static void
mark(struct graves *g, const struct grave *like, bool urgent)
{
	struct grave *gr = mem_new(sizeof *gr);

	*gr = *like;
	gr->next = NULL;
	*g->marked.end = gr;
	g->marked.end = &gr->next;
	keeper_mark(g->pl->keeper, &g->keep, urgent);
}

static void
grave_free(struct grave *gr)
{
	free(gr->text);
	free(gr);
}

/* ---- with the keeper ---- */

static struct dead_letter
letter_of(const struct reject *rj)
{
	const struct key_schema *ks = rj->origin->schema;

	return (struct dead_letter){
	    .arn = rj->origin->arn,
	    .shard = rj->origin->shard,
	    .sink = lane_name(rj->lane),
	    .stream = rj->origin->stream,
	    .seq = rj->rec->seq,
	    .event_id = rj->rec->event_id,
	    .record = rj->rec->raw,
	    .unfiltered = rj->unfiltered,
	    .hash_key = ks != NULL && ks->names[0] != NULL ? ks->names[0] : "",
	    .range_key = ks != NULL && ks->names[1] != NULL ? ks->names[1] : "",
	    .reason = rj->reason,
	    .attempts = rj->attempts,
	    .first_us = rj->first_us,
	    .last_us = rj->last_us,
	};
}

static void
write_grave(const struct grave *gr, struct txn *t)
{
	struct dead_letter d;

	switch (gr->kind) {
	case GRAVE_BURY:
		d = letter_of(gr->reject);
		d.id = gr->id;
		d.key = gr->text;
		d.key_hash = key_hash(slice_of(gr->text));
		txn_dead_letter(t, &d);
		break;
	case GRAVE_DROP:
		txn_drop_letter(t, gr->id);
		break;
	case GRAVE_SUPERSEDE:
		txn_supersede(t, gr->id, gr->text);
		break;
	}
}

static void
on_write(struct keep_item *it, struct txn *t)
{
	struct graves *g = CONTAINER_OF(it, struct graves, keep);

	list_move(&g->now, &g->marked);
	for (const struct grave *gr = g->now.first; gr != NULL; gr = gr->next)
		write_grave(gr, t);
}

static void
on_durable(struct keep_item *it)
{
	struct graves *g = CONTAINER_OF(it, struct graves, keep);
	struct grave_list done = {.first = NULL};
	struct grave *gr;

	list_init(&done);
	list_move(&done, &g->now);
	while ((gr = list_pop(&done)) != NULL) {
		if (gr->kind == GRAVE_BURY)
			lane_buried(gr->reject);
		if (gr->kind == GRAVE_DROP && --gr->slot->drops == 0)
			replay_poke(gr->slot);
		grave_free(gr);
	}
}

/* ---- what lanes say ---- */

static bool
is_full(const struct slot *sl)
{
	return sl->conf->letters_max != 0 && (int64_t)sl->letters.count >= sl->conf->letters_max;
}

static void
halt_if_full(struct slot *sl)
{
	char why[256];

	if (!is_full(sl))
		return;
	(void)snprintf(why, sizeof why,
	    "it has %zu dead letters, and dead-letters.max-count allows no more; mend the cause "
	    "(slipring dlq list), then slipring resume %s and replay them, or drop them and resume",
	    sl->letters.count, lane_name(sl->lane));
	lane_halt(sl->lane, LANE_HALT_HOST, why);
}

void
slot_bury(struct slot *sl, struct reject *rj)
{
	struct graves *g = sl->pl->graves;
	struct buf key = BUF_INIT(LIMIT_PAGE_BODY);
	struct dead_letter d = letter_of(rj);
	struct grave gr = {.kind = GRAVE_BURY, .slot = sl, .reject = rj};
	bool known;

	key_write(rj->rec, rj->origin->schema, &key);
	d.id = sl->pl->last_letter_id + 1;
	d.key_hash = key_hash(slice_of(buf_cstr(&key)));
	gr.id = letters_add(&sl->letters, &d, &known)->id;
	gr.text = mem_strdup(buf_cstr(&key));
	buf_close(&key);
	mark(g, &gr, true);
	if (known)
		return;
	sl->pl->last_letter_id++;
	sl->pl->dead_letters++;
	halt_if_full(sl);
}

static void
supersede(struct slot *sl, struct letter *lt, const struct delivery *d)
{
	struct buf version = BUF_INIT(LIMIT_STREAM_ARN + LIMIT_SEQUENCE_DIGITS + 2);
	struct grave gr = {.kind = GRAVE_SUPERSEDE, .slot = sl, .id = lt->id};

	if (lt->superseded)
		return;
	version_write(d->rec, d->origin, &version);
	gr.text = mem_strdup(buf_cstr(&version));
	buf_close(&version);
	letters_supersede(&sl->letters, lt);
	mark(sl->pl->graves, &gr, false);
}

void
slot_drop_letter(struct slot *sl, struct letter *lt)
{
	sl->drops++;
	mark(sl->pl->graves, &(struct grave){.kind = GRAVE_DROP, .slot = sl, .id = lt->id}, true);
	letters_remove(&sl->letters, lt);
	sl->pl->dead_letters--;
}

void
slot_acked(struct slot *sl, const struct delivery *d)
{
	struct letter *lt = letters_of_key(&sl->letters, d->key_hash), *next;
	int order;

	for (; lt != NULL; lt = next) {
		next = letters_next_of_key(lt);
		if (!letter_same_item(lt, d->rec, d->origin, &order))
			continue;
		if (order < 0)
			supersede(sl, lt, d);
		else if (order == 0)
			slot_drop_letter(sl, lt);
	}
}

bool
slot_guards(const struct slot *sl)
{
	return (lane_ops(sl->lane)->caps & SINK_CAP_OVERWRITES) != 0 || job_wants_fresh(sl);
}

bool
slot_stale(struct slot *sl, const struct delivery *d)
{
	struct letter *lt = letters_of_key(&sl->letters, d->key_hash);
	int order;

	for (; lt != NULL; lt = letters_next_of_key(lt))
		if (letter_same_item(lt, d->rec, d->origin, &order) && order == 0)
			return lt->superseded && slot_guards(sl);
	return true; /* it was delivered meanwhile: read again after a crash, and taken */
}

/* ---- how many and how old ---- */

struct letter_counts
slot_letter_counts(const struct slot *sl)
{
	const struct letters *ls = &sl->letters;
	struct letter_counts c = {.count = ls->count,
	    .superseded = ls->superseded,
	    .oldest_us = ls->first != NULL ? ls->first->first_us : 0};

	c.full = is_full(sl);
	c.old = ls->first != NULL && sl->conf->letters_age_us != 0 &&
	    loop_wall(sl->pl->loop) - ls->first->first_us > sl->conf->letters_age_us;
	return c;
}

static void
look(void *arg)
{
	struct graves *g = arg;

	for (struct slot *sl = g->pl->slots; sl != NULL; sl = sl->next) {
		struct letter_counts c = slot_letter_counts(sl);

		if (c.old && !sl->letters_old)
			log_warn("lane", lane_name(sl->lane),
			    "the oldest dead letter is older than dead-letters.max-age; see "
			    "`slipring dlq list --sink %s` count=%zu",
			    lane_name(sl->lane), c.count);
		sl->letters_old = c.old;
	}
	loop_timer_arm(g->timer, LOOK_US);
}

void
graves_load(struct graves *g, const struct dead_letter *d)
{
	bool known;

	g->pl->dead_letters++;
	for (struct slot *sl = g->pl->slots; sl != NULL; sl = sl->next)
		if (strcmp(lane_name(sl->lane), d->sink) == 0)
			(void)letters_add(&sl->letters, d, &known);
}

void
graves_start(struct graves *g)
{
	loop_timer_arm(g->timer, 0);
}

struct graves *
graves_new(struct pipeline *pl)
{
	struct graves *g = mem_new(sizeof *g);

	g->pl = pl;
	list_init(&g->marked);
	list_init(&g->now);
	g->keep.write = on_write;
	g->keep.durable = on_durable;
	g->timer = loop_timer_new(pl->loop, look, g);
	return g;
}

void
graves_close(struct graves *g)
{
	struct grave *gr;

	if (g == NULL)
		return;
	keeper_forget(g->pl->keeper, &g->keep);
	list_move(&g->now, &g->marked);
	while ((gr = list_pop(&g->now)) != NULL) {
		if (gr->kind == GRAVE_BURY)
			lane_unbury(gr->reject);
		grave_free(gr);
	}
	loop_timer_close(g->timer);
	free(g);
}
