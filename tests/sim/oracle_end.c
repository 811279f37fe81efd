/* tests/sim/oracle_end.c - see oracle.h: excuses, and the end. */
#include <stdio.h>

#include "tests/sim/oracle.h"
#include "tests/sim/store_sim.h"

/* The stream of the table with which the sink began; NULL: none yet. */
static const struct h_stream *
first_stream(const struct oracle *o, unsigned sink, const struct h_table *table)
{
	const struct h_stream *all = &o->w->hist->stream[table->first_stream];

	for (unsigned i = 0; i < table->streams; i++) {
		const struct beginning *b = begun_of(o, sink, &all[i]);

		if (b->subscribed || b->listed_at != 0)
			return &all[i];
	}
	return NULL;
}

/* What the start position leaves out: before `latest`, or trimmed before
 * anybody could have read it. */
static bool
before_start(const struct oracle *o, unsigned sink, const struct h_event *ev)
{
	const struct beginning *b = begun_of(o, sink, ev->shard->stream);
	const struct place *p = place_of(o, sink, ev->shard);
	int64_t trimmed = ev->at + o->w->sc.retention_us;
	const struct h_table *table = ev->shard->stream->table;
	const struct h_stream *first = first_stream(o, sink, table);

	if (first != NULL && ev->shard->stream->turn < first->turn)
		return true;
	if (b->listed_at == 0)
		return false;
	if (trimmed > o->w->hist->frozen_at)
		trimmed = SIM_FOREVER;
	if (trimmed <= b->listed_at || (p->horizon_at != 0 && trimmed <= p->horizon_at))
		return true;
	if (o->w->sc.table[table->number].feed.start != FEED_LATEST || ev->shard->stream != first)
		return false;
	return ev->at <= b->listed_at || (p->latest_at != 0 && ev->at <= p->latest_at);
}

static bool
descends(const struct h_shard *sh, const struct h_shard *from)
{
	for (; sh != NULL; sh = sh->parent)
		if (sh == from)
			return true;
	return false;
}

static bool
gap_covers(const struct oracle *o, const struct gap_seen *g, const struct h_event *ev)
{
	const struct h_shard *sh = ev->shard;
	/* A gap whose end is not known yet is open at that side: what is trimmed
	 * before the next record is read belongs to it. */
	int64_t when = seq_is_set(&g->row.first_available) ? g->saved_at : world_now(o->w);
	bool was_lost = history_trimmed(o->w->hist, ev, when) || history_gone(o->w->hist, sh, when);

	if (g->stream != sh->stream || !was_lost)
		return false;
	if (g->shard == NULL)
		return true;
	if (g->reason == GAP_ORPHAN)
		return descends(g->shard, sh);
	return g->shard == sh && ev->index >= g->after && ev->index < g->until;
}

bool
oracle_excused(const struct oracle *o, unsigned sink, const struct h_event *ev)
{
	if (before_start(o, sink, ev))
		return true;
	for (size_t i = 0; i < o->gap_count; i++)
		if (o->gaps[i].sink == sink && gap_covers(o, &o->gaps[i], ev))
			return true;
	return false;
}

/* Nothing that survived told the daemon that this shard was there: no complete
 * listing of this life, no row of an earlier one, nor anything that descends
 * from it. */
static bool
unseen(const struct oracle *o, const struct h_shard *sh)
{
	if (o->seen[sh->number] || !history_gone(o->w->hist, sh, world_now(o->w)))
		return false;
	for (unsigned i = 0; i < 2; i++)
		if (sh->child[i] != NULL && !unseen(o, sh->child[i]))
			return false;
	return true;
}

size_t
oracle_missing(const struct oracle *o, char *text, size_t n)
{
	const struct history *h = o->w->hist;
	size_t missing = 0;

	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		for (unsigned i = 0; i < h->events; i++) {
			const struct h_event *ev = &h->event[i];
			const struct mark *m = mark_of(o, s, ev);

			if (!feeds(o, ev->shard->stream->table, s) || m->acked || m->dead ||
			    m->skipped || m->left)
				continue;
			if (oracle_excused(o, s, ev) || unseen(o, ev->shard))
				continue;
			if (missing++ == 0)
				(void)snprintf(text, n,
				    "event %u (number %u of %s, written at %.6f) never reached s%u",
				    ev->id, ev->index, ev->shard->id, (double)ev->at / 1e6, s);
		}
	return missing;
}

static void
check_replaced(struct oracle *o)
{
	const struct history *h = o->w->hist;

	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		for (unsigned i = 0; i + 1 < h->streams; i++) {
			const struct h_stream *st = &h->stream[i], *next = st + 1;

			if (next->table != st->table || !begun_of(o, s, next)->subscribed)
				continue;
			if (begun_of(o, s, st)->subscribed && !begun_of(o, s, st)->replaced &&
			    !begun_of(o, s, next)->replaced)
				oracle_fail(o, T_LOST,
				    "s%u went from %s to %s without a gap for what lies between", s,
				    st->label, next->label);
		}
}

static bool
found_again(const struct oracle *o, size_t i)
{
	for (size_t k = i + 1; k < o->gap_count; k++)
		if (o->gaps[k].shard == o->gaps[i].shard && o->gaps[k].sink == o->gaps[i].sink)
			return true;
	return false;
}

/* Records behind a gap were delivered, and saved: then the gap says where they
 * begin. */
static void
check_gap_ends(struct oracle *o)
{
	const struct history *h = o->w->hist;

	for (size_t i = 0; i < o->gap_count; i++) {
		const struct gap_seen *g = &o->gaps[i];

		if (g->reason != GAP_TRIMMED || seq_is_set(&g->row.first_available) ||
		    found_again(o, i))
			continue;
		for (unsigned k = history_horizon(h, g->shard, g->found_at);
		     k < place_of(o, g->sink, g->shard)->after; k++) {
			const struct mark *m = mark_of(o, g->sink, history_at(h, g->shard, k));

			if (m->acked && m->acked_at > g->found_at && k >= g->after)
				oracle_fail(o, T_OTHER,
				    "gap %llu of %s at s%u has no end, and event %u behind it was "
				    "delivered",
				    (unsigned long long)g->id, g->shard->id, g->sink,
				    history_at(h, g->shard, k)->id);
		}
	}
}

/* Repeats may bring back an older state for a while, never for good; unless a gap cuts them
 * off, or the target refuses now what it took before. */
static void
check_states(struct oracle *o)
{
	const struct history *h = o->w->hist;

	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		for (unsigned k = 0; k < h->keys; k++) {
			size_t at = (size_t)s * h->keys + k;
			const struct h_event *newest;
			const struct mark *m;

			if (o->key_state[at] >= o->key_last[at])
				continue;
			newest =
			    &h->event[o->key_event[o->key_first[k] + (unsigned)o->key_last[at]]];
			m = mark_of(o, s, newest);
			if (!m->dead && !m->skipped && !oracle_excused(o, s, newest))
				oracle_fail(o, T_REORDERED,
				    "s%u is left with change %d of key %u, and has had %d", s,
				    o->key_state[at], k, o->key_last[at]);
		}
}

void
oracle_end(struct oracle *o)
{
	char text[256];
	size_t missing = oracle_missing(o, text, sizeof text);

	if (missing != 0)
		oracle_fail(o, T_LOST, "%zu events are missing: %s", missing, text);
	check_states(o);
	check_replaced(o);
	check_gap_ends(o);
	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		for (unsigned i = 0; i < o->w->hist->events; i++) {
			const struct h_event *ev = &o->w->hist->event[i];

			if (!feeds(o, ev->shard->stream->table, s))
				continue;
			if (!mark_of(o, s, ev)->durable && oracle_excused(o, s, ev))
				count(o->w, T_EXCUSED);
			else if (!mark_of(o, s, ev)->durable && unseen(o, ev->shard))
				count(o->w, T_UNSEEN);
		}
}

/* A shard without a child is remembered for long, in case that a late listing
 * shows it once more (hazard 11). */
void
oracle_pruned(struct oracle *o)
{
	for (unsigned i = 0; i < o->w->hist->shards; i++) {
		const struct h_shard *sh = &o->w->hist->shard[i];
		bool child = false;

		/* Rows of a stream that is over are history, and no more come. */
		if (sh->stream->disabled < SIM_FOREVER)
			continue;
		for (unsigned k = 0; k < 2; k++)
			child = child ||
			    (sh->child[k] != NULL &&
				store_sim_has_shard(o->w->store, sh->child[k]));
		if (child && history_gone(o->w->hist, sh, world_now(o->w)) &&
		    store_sim_has_shard(o->w->store, sh))
			oracle_fail(o, T_OTHER, "the store still keeps %s, which is gone", sh->id);
	}
}
