/* tests/sim/oracle.c - see oracle.h: order of what reaches a sink. */
#include "tests/sim/oracle.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

static void
index_keys(struct oracle *o)
{
	const struct history *h = o->w->hist;
	unsigned *at = mem_array(h->keys + 1, sizeof *at);

	o->key_event = mem_array(h->events, sizeof *o->key_event);
	o->key_first = mem_array(h->keys + 1, sizeof *o->key_first);
	for (unsigned i = 0; i < h->events; i++)
		o->key_first[h->event[i].key + 1]++;
	for (unsigned k = 0; k < h->keys; k++)
		o->key_first[k + 1] += o->key_first[k];
	memcpy(at, o->key_first, (h->keys + 1) * sizeof *at);
	for (unsigned i = 0; i < h->events; i++)
		o->key_event[at[h->event[i].key]++] = i;
	free(at);
}

struct oracle *
oracle_new(struct world *w)
{
	struct oracle *o = mem_new(sizeof *o);
	const struct history *h = w->hist;
	size_t sinks = w->sc.sinks;

	o->w = w;
	o->mark = mem_array(sinks * h->events, sizeof *o->mark);
	o->place = mem_array(sinks * h->shards, sizeof *o->place);
	o->begun = mem_array(sinks * h->streams, sizeof *o->begun);
	o->key_last = mem_array(sinks * h->keys, sizeof *o->key_last);
	o->key_state = mem_array(sinks * h->keys, sizeof *o->key_state);
	o->key_front = mem_array(sinks * h->keys, sizeof *o->key_front);
	o->key_flying = mem_array(sinks * h->keys, sizeof *o->key_flying);
	o->key_hash = mem_array(h->keys, sizeof *o->key_hash);
	o->ended = mem_array(h->streams, sizeof *o->ended);
	o->seen = mem_array(h->shards, sizeof *o->seen);
	o->emptied_at = mem_array(h->shards, sizeof *o->emptied_at);
	o->kept = mem_array(h->shards, sizeof *o->kept);
	o->trims = mem_array(h->shards, sizeof *o->trims);
	for (size_t i = 0; i < sinks * h->keys; i++)
		o->key_last[i] = o->key_state[i] = -1;
	for (size_t i = 0; i < sinks * h->shards; i++)
		o->place[i].last = -1;
	index_keys(o);
	return o;
}

void
oracle_close(struct oracle *o)
{
	if (o == NULL)
		return;
	free(o->mark);
	free(o->place);
	free(o->begun);
	free(o->key_event);
	free(o->key_first);
	free(o->key_last);
	free(o->key_state);
	free(o->key_front);
	free(o->key_flying);
	free(o->key_hash);
	free(o->ended);
	free(o->seen);
	free(o->emptied_at);
	free(o->kept);
	free(o->trims);
	free(o->gaps);
	free(o);
}

void
oracle_fail(struct oracle *o, enum total kind, const char *fmt, ...)
{
	va_list ap;

	if (o->failed)
		return;
	count(o->w, kind);
	o->failed = true;
	va_start(ap, fmt);
	(void)vsnprintf(o->failure, sizeof o->failure, fmt, ap);
	va_end(ap);
	TRACE(&o->w->trace, 90, kind, "VIOLATION: %s", o->failure);
}

void
oracle_life(struct oracle *o)
{
	const struct history *h = o->w->hist;

	memcpy(o->seen, o->kept, h->shards * sizeof *o->seen);
	memset(o->trims, 0, h->shards * sizeof *o->trims);
	o->life_at = world_now(o->w);
	memset(o->key_flying, 0, (size_t)o->w->sc.sinks * h->keys * sizeof *o->key_flying);
	for (size_t i = 0; i < (size_t)o->w->sc.sinks * h->events; i++) {
		o->mark[i].in_flight = 0;
		o->mark[i].retried = false;
		o->mark[i].sent_at = 0;
	}
	for (unsigned s = 0; s < o->w->sc.sinks; s++) {
		o->refusals[s] = (struct refusals){.through_at = world_now(o->w)};
		for (unsigned i = 0; i < h->shards; i++) {
			struct place *p = place_of(o, s, &h->shard[i]);

			p->front = p->pos.kind == POS_AT_START ? 0 : p->saved;
			p->touched = false;
			if (!begun_of(o, s, h->shard[i].stream)->subscribed)
				p->latest_at = p->horizon_at = 0;
		}
		for (unsigned i = 0; i < h->streams; i++) {
			struct beginning *b = begun_of(o, s, &h->stream[i]);

			b->fresh = !b->subscribed;
			if (b->fresh)
				b->listed_at = 0;
		}
	}
}

/* May a later change of the key go out while this one has not? Only if it can
 * never come: trimmed, or left out by the start position. Whether a gap says
 * so is asked when positions are saved, and at the end. */
static bool
passed_over(const struct oracle *o, unsigned sink, const struct h_event *ev)
{
	return history_trimmed(o->w->hist, ev, world_now(o->w)) ||
	    history_gone(o->w->hist, ev->shard, world_now(o->w)) || oracle_excused(o, sink, ev);
}

static void
check_key_order(struct oracle *o, unsigned sink, const struct h_event *ev)
{
	const struct history *h = o->w->hist;
	unsigned *front = &o->key_front[(size_t)sink * h->keys + ev->key];
	const unsigned *events = &o->key_event[o->key_first[ev->key]];
	bool contiguous = true;

	for (unsigned i = *front; i < ev->key_index; i++) {
		const struct h_event *older = &h->event[events[i]];
		const struct mark *m = mark_of(o, sink, older);

		if (mark_done(m) || passed_over(o, sink, older)) {
			if (contiguous)
				*front = i + 1;
			continue;
		}
		contiguous = false;
		if (m->in_flight != 0 && o->w->sc.sink[sink].key_order)
			continue;
		oracle_fail(o, T_REORDERED,
		    "sink s%u was given event %u of key %u before event %u of that key was done "
		    "(number "
		    "%u of %s)",
		    sink, ev->id, ev->key, older->id, older->index, older->shard->id);
		return;
	}
}

/* A sink that needs the order of a shard is given it. */
static void
check_shard_order(struct oracle *o, unsigned sink, const struct h_event *ev)
{
	struct place *p = place_of(o, sink, ev->shard);
	bool contiguous = true;

	for (unsigned i = p->ordered; i < ev->index; i++) {
		const struct h_event *older = history_at(o->w->hist, ev->shard, i);
		const struct mark *m = mark_of(o, sink, older);

		if (mark_done(m) || passed_over(o, sink, older)) {
			if (contiguous)
				p->ordered = i + 1;
			continue;
		}
		contiguous = false;
		if (m->in_flight == 0)
			oracle_fail(o, T_REORDERED,
			    "sink s%u needs the order of a shard and was given event %u of %s "
			    "before event %u",
			    sink, ev->id, ev->shard->id, older->id);
	}
}

/* Everything of the ancestors first (design.md 5, rule 2). */
static void
check_parents(struct oracle *o, unsigned sink, const struct h_event *ev)
{
	const struct history *h = o->w->hist;

	for (const struct h_shard *sh = ev->shard->parent; sh != NULL; sh = sh->parent) {
		struct place *p = place_of(o, sink, sh);

		for (unsigned i = p->swept; i < sh->count && !p->whole; i++) {
			const struct h_event *older = history_at(h, sh, i);

			if (mark_done(mark_of(o, sink, older)) || passed_over(o, sink, older))
				continue;
			oracle_fail(o, T_REORDERED,
			    "sink s%u was given event %u of shard %s before it was done with event "
			    "%u of its ancestor %s",
			    sink, ev->id, ev->shard->id, older->id, sh->id);
			return;
		}
		if (p->whole)
			return;
		p->whole = true;
	}
}

static void
check_open_gap(struct oracle *o, unsigned sink, const struct h_event *ev)
{
	for (size_t i = 0; i < o->gap_count && o->open_gaps != 0; i++) {
		const struct gap_seen *g = &o->gaps[i];

		if (g->state == GAP_OPEN && g->sink == sink && g->shard == ev->shard &&
		    ev->index >= history_horizon(o->w->hist, ev->shard, g->saved_at) &&
		    ev->index >= g->after && !mark_of(o, sink, ev)->durable)
			oracle_fail(o, T_OTHER,
			    "sink s%u was given event %u of %s, which is stopped by open gap %llu",
			    sink, ev->id, ev->shard->id, (unsigned long long)g->id);
	}
}

static void
check_hash(struct oracle *o, const struct h_event *ev, uint64_t hash)
{
	uint64_t *known = &o->key_hash[ev->key];

	if (*known == 0)
		*known = hash;
	if (*known != hash)
		oracle_fail(o, T_REORDERED, "two spellings of key %u have two hashes (event %u)",
		    ev->key, ev->id);
}

void
oracle_submit(struct oracle *o, unsigned sink, struct h_event *ev, uint64_t key_hash)
{
	struct mark *m = mark_of(o, sink, ev);
	struct place *p = place_of(o, sink, ev->shard);
	unsigned *flying = &o->key_flying[(size_t)sink * o->w->hist->keys + ev->key];

	count(o->w, T_DELIVERIES);
	if (!feeds(o, ev->shard->stream->table, sink))
		oracle_fail(
		    o, T_OTHER, "sink s%u was given an event of a table it is not fed from", sink);
	if (ev->at > world_now(o->w))
		oracle_fail(o, T_OTHER, "event %u was delivered before it was written", ev->id);
	if (mark_done(m))
		count(o->w, T_REPEATS);
	if (ev->index < p->front)
		oracle_fail(o, T_OTHER,
		    "sink s%u was given event %u (number %u of %s) again: its frontier is at %u",
		    sink, ev->id, ev->index, ev->shard->id, p->front);
	if (*flying != 0 && !o->w->sc.sink[sink].key_order)
		oracle_fail(o, T_REORDERED,
		    "sink s%u keeps no order and was given event %u while another of key %u is in "
		    "flight",
		    sink, ev->id, ev->key);
	check_hash(o, ev, key_hash);
	check_key_order(o, sink, ev);
	if (o->w->sc.sink[sink].shard_order)
		check_shard_order(o, sink, ev);
	if (!p->touched)
		check_parents(o, sink, ev);
	check_open_gap(o, sink, ev);
	p->touched = true;
	if (m->sent_at == 0)
		m->sent_at = world_now(o->w);
	m->in_flight++;
	(*flying)++;
}

/* What is behind it may have gone before it comes again. After the refusal by a filter only
 * if it was left out: the lane waits for a letter before it goes on. */
static bool
was_refused(const struct oracle *o, unsigned sink, const struct mark *m)
{
	return m->refused || (m->unmade && o->w->sc.sink[sink].lane.on_reject == LANE_SKIP);
}

void
oracle_durable(struct oracle *o, unsigned sink, struct h_event *ev)
{
	struct mark *m = mark_of(o, sink, ev);
	int *last = &o->key_last[(size_t)sink * o->w->hist->keys + ev->key];
	struct place *p = place_of(o, sink, ev->shard);

	o->key_state[(size_t)sink * o->w->hist->keys + ev->key] = (int)ev->key_index;
	if (m->durable)
		return;
	m->durable = true;
	if (o->w->sc.sink[sink].shard_order && p->last > (int)ev->index &&
	    !was_refused(o, sink, m) && !oracle_excused(o, sink, ev))
		oracle_fail(o, T_REORDERED,
		    "sink s%u has event %u of %s after number %d: it looks like a replay", sink,
		    ev->id, ev->shard->id, p->last);
	if (p->last < (int)ev->index)
		p->last = (int)ev->index;
	if (*last > (int)ev->key_index) {
		/* From before the start: it need not have come, and may come with a replay. */
		if (was_refused(o, sink, m) || m->dead || oracle_excused(o, sink, ev))
			return;
		oracle_fail(o, T_REORDERED, "sink s%u has change %u of key %u after change %d",
		    sink, ev->key_index, ev->key, *last);
	}
	*last = (int)ev->key_index;
}

static void
halted(struct oracle *o, unsigned sink)
{
	struct refusals *r = &o->refusals[sink];

	if (!r->halted)
		r->halted_at = world_now(o->w);
	r->halted = true;
}

/* What comes after the brake, or after the refusal that halts, is undone. */
static void
refused(struct oracle *o, unsigned sink, struct h_event *ev)
{
	const struct sink_scenario *sc = &o->w->sc.sink[sink];
	struct refusals *r = &o->refusals[sink];
	struct mark *m = mark_of(o, sink, ev);

	m->refused = true;
	r->event = ev->id;
	if (sc->lane.give_up_us != 0 || sc->filter.on)
		m->rejected = true; /* what is given up, or a filter refuses, nobody sees counted */
	if (r->halted && !sc->shard_order)
		return;
	r->in_row++;
	r->through_at = world_now(o->w);
	if (sc->lane.on_reject != LANE_HALT || sc->shard_order)
		m->rejected = true;
	if (sc->lane.on_reject == LANE_SKIP) {
		count(o->w, T_SKIPPED);
		m->skipped = true;
	}
	if (sc->lane.on_reject != LANE_HALT && (sc->lane.brake == 0 || r->in_row < sc->lane.brake))
		return;
	count(o->w, T_SINK_BRAKES);
	halted(o, sink);
}

void
oracle_filtered(struct oracle *o, unsigned sink, struct h_event *ev)
{
	mark_of(o, sink, ev)->left = true;
}

void
oracle_filter_refused(struct oracle *o, unsigned sink, struct h_event *ev)
{
	struct mark *m = mark_of(o, sink, ev);

	m->unmade = true;
	if (o->w->sc.sink[sink].lane.on_reject == LANE_SKIP)
		m->skipped = m->rejected = true;
}

void
oracle_resumed(struct oracle *o, unsigned sink)
{
	struct refusals *r = &o->refusals[sink];
	int64_t brake = o->w->sc.sink[sink].lane.brake;

	count(o->w, T_RESUMES);
	r->halted = false;
	if (brake != 0 && r->in_row >= brake)
		r->in_row = brake - 1;
}

void
oracle_report(struct oracle *o, unsigned sink, struct h_event *ev, enum sink_verdict v)
{
	struct mark *m = mark_of(o, sink, ev);
	struct place *p = place_of(o, sink, ev->shard);

	m->in_flight--;
	o->key_flying[(size_t)sink * o->w->hist->keys + ev->key]--;
	if (v == SINK_REJECT)
		refused(o, sink, ev);
	if (v == SINK_HALT)
		halted(o, sink);
	m->retried = m->retried || v == SINK_RETRY;
	if (v != SINK_ACK)
		return;
	o->refusals[sink].in_row = 0;
	o->refusals[sink].through_at = world_now(o->w);
	m->acked = true;
	m->acked_at = world_now(o->w);
	/* What was acked ahead of a hole may be let go with it (detach) and come
	 * again; a saved position settles that. */
	if (ev->index == p->front)
		p->front++;
}

void
oracle_seen(struct oracle *o, const struct h_shard *sh)
{
	o->seen[sh->number] = true;
}

void
oracle_listed(struct oracle *o, struct h_stream *st)
{
	for (unsigned s = 0; s < o->w->sc.sinks; s++) {
		struct beginning *b = begun_of(o, s, st);

		if (b->fresh && b->listed_at == 0)
			b->listed_at = world_now(o->w);
	}
}

/* May a sink still begin in the shard as `start` says, or go on behind a gap?
 * Anything else at the horizon, or at the newest record, would step over data
 * without a word. */
static bool
may_begin(struct oracle *o, unsigned sink, struct h_shard *sh, enum iterator_type type)
{
	const struct beginning *b = begun_of(o, sink, sh->stream);
	struct place *p = place_of(o, sink, sh);
	bool first = b->listed_at != 0 && sh->listed_from <= b->listed_at;

	if (type == ITER_LATEST) {
		if (!first || !b->fresh || p->latest_at != 0)
			return false;
		p->latest_at = world_now(o->w);
		return true;
	}
	if (first && p->saved == 0 && !p->touched) {
		p->horizon_at = world_now(o->w);
		return true;
	}
	for (size_t i = 0; i < o->gap_count; i++)
		if (o->gaps[i].sink == sink && o->gaps[i].shard == sh)
			return true;
	return false;
}

void
oracle_iterator(struct oracle *o, struct h_shard *sh, enum iterator_type type)
{
	const struct table_scenario *ts = &o->w->sc.table[sh->stream->table->number];
	bool may = false;

	if (type == ITER_AT || type == ITER_AFTER)
		return;
	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		if (feeds(o, sh->stream->table, s) && may_begin(o, s, sh, type))
			may = true;
	if (!may && !(type == ITER_TRIM_HORIZON && ts->refuses_at))
		oracle_fail(o, T_LOST, "%s is begun at %s, where nobody may", sh->id,
		    type == ITER_LATEST ? "LATEST" : "TRIM_HORIZON");
}

void
oracle_read(struct oracle *o, struct h_shard *sh)
{
	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		if (feeds(o, sh->stream->table, s) && !place_of(o, s, sh)->completed)
			return;
	oracle_fail(
	    o, T_OTHER, "shard %s is read again, though every sink has finished it", sh->id);
}
