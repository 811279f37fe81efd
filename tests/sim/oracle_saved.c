/* tests/sim/oracle_saved.c - see oracle.h: what the store makes durable.
 *
 * Asked of every transaction, in the order in which they become durable: gaps
 * and dead letters of a transaction count for its positions, since it is all
 * or nothing.
 */
#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/filter_sim.h"
#include "tests/sim/oracle.h"

/* -1 after a failure was recorded. */
static int
sink_number(struct oracle *o, const char *name)
{
	unsigned n = name[0] == 's' ? (unsigned)strtoul(name + 1, NULL, 10) : SIM_SINKS;

	if (n < o->w->sc.sinks)
		return (int)n;
	oracle_fail(o, T_OTHER, "the store was given a row for sink \"%s\"", name);
	return -1;
}

static struct h_shard *
shard_named(struct oracle *o, const char *arn, const char *id)
{
	struct h_shard *sh = history_shard(o->w->hist, id);

	if (sh == NULL || strcmp(sh->stream->arn, arn) != 0) {
		oracle_fail(
		    o, T_OTHER, "the store was given a row for shard \"%s\" of %s", id, arn);
		return NULL;
	}
	return sh;
}

/* Retried for as long as that, or nothing got through for as long. */
static bool
may_give_up(
    const struct oracle *o, unsigned sink, const struct mark *m, const struct dead_letter *d)
{
	int64_t after = o->w->sc.sink[sink].lane.give_up_us, now = world_now(o->w);

	if (after == 0 || !m->retried || strncmp(d->reason, "gave up after ", 14) != 0)
		return false;
	if (now - m->sent_at < after && now - o->refusals[sink].through_at < after)
		return false;
	if (!m->dead)
		count(o->w, T_GIVEN_UP);
	return true;
}

static void
saved_dead_letter(struct oracle *o, const struct dead_letter *d)
{
	struct h_shard *sh = shard_named(o, d->arn, d->shard);
	int sink = sink_number(o, d->sink);
	struct h_event *ev = sh != NULL ? history_event(o->w->hist, sh, &d->seq) : NULL;
	struct mark *m;

	if (ev == NULL || sink < 0) {
		oracle_fail(o, T_OTHER, "a dead letter for no event, in %s", d->shard);
		return;
	}
	m = mark_of(o, (unsigned)sink, ev);
	if (d->unfiltered ? !m->unmade : !m->rejected && !may_give_up(o, (unsigned)sink, m, d))
		oracle_fail(o, T_OTHER, "a dead letter for event %u, which %s never rejected: %s",
		    ev->id, d->sink, d->reason);
	if (o->w->sc.sink[sink].lane.on_reject == LANE_SKIP)
		oracle_fail(o, T_OTHER, "a dead letter for event %u under on-reject: skip", ev->id);
	if (d->unfiltered ? !slice_eq(d->record, history_json(o->w->hist, ev))
			  : !filter_sim_right(&o->w->target[sink], ev, d->record))
		oracle_fail(
		    o, T_LOST, "the dead letter of event %u is not the whole record", ev->id);
	if (!m->dead)
		count(o->w, T_DEAD_LETTERS);
	m->dead = true;
}

/* A gap must be true: something after last_acked is trimmed or gone, or the
 * service itself cannot tell. */
static bool
gap_true(const struct oracle *o, const struct gap_seen *g)
{
	const struct history *h = o->w->hist;
	int64_t now = world_now(o->w);
	unsigned horizon;

	switch (g->reason) {
	case GAP_TRIMMED:
		if (g->shard == NULL)
			return false;
		horizon = history_horizon(h, g->shard, now);
		return horizon > g->after ||
		    (o->w->sc.trim_strict && horizon == g->after &&
			o->trims[g->shard->number] != 0) ||
		    history_gone(h, g->shard, now);
	case GAP_SHARD_GONE:
		return g->shard != NULL ? history_gone(h, g->shard, now)
					: g->stream->gone_at <= history_trim_clock(h, now);
	case GAP_ORPHAN:
		return g->shard != NULL &&
		    (history_gone(h, g->shard, now) ||
			(g->shard->parent != NULL && history_gone(h, g->shard->parent, now)));
	case GAP_STREAM_REPLACED:
		return g->stream->disabled <= now;
	case GAP_REFUSED:
		return false; /* this service refuses no number that it gave */
	}
	return false;
}

static struct gap_seen *
gap_by_id(struct oracle *o, uint64_t id)
{
	for (size_t i = 0; i < o->gap_count; i++)
		if (o->gaps[i].id == id)
			return &o->gaps[i];
	if (o->gap_count == o->gap_cap)
		o->gaps = mem_grow(o->gaps, o->gap_cap = 2 * o->gap_cap + 8, sizeof *o->gaps);
	o->gaps[o->gap_count] = (struct gap_seen){.id = id};
	count(o->w, T_GAPS);
	return &o->gaps[o->gap_count++];
}

static void
recount_open(struct oracle *o)
{
	o->open_gaps = 0;
	for (size_t i = 0; i < o->gap_count; i++)
		o->open_gaps += o->gaps[i].state == GAP_OPEN;
}

static void
gap_bounds(struct oracle *o, struct gap_seen *g, const struct gap *row)
{
	const struct history *h = o->w->hist;

	g->after = 0;
	g->until = g->shard != NULL ? g->shard->count : 0;
	if (g->shard == NULL)
		return;
	if (row->last_acked.kind == POS_AFTER)
		g->after = history_rank(h, g->shard, &row->last_acked.seq);
	if (row->last_acked.kind == POS_COMPLETE)
		g->after = g->shard->count;
	if (seq_is_set(&row->first_available)) {
		g->until = history_rank(h, g->shard, &row->first_available);
		if (g->until > 0)
			g->until--;
	}
}

static void
saved_gap(struct oracle *o, const struct gap *row)
{
	struct h_stream *st = history_stream(o->w->hist, row->arn);
	struct h_shard *sh = row->shard[0] != '\0' ? shard_named(o, row->arn, row->shard) : NULL;
	int sink = sink_number(o, row->sink);
	struct gap_seen *g;
	bool fresh;

	if (st == NULL || sink < 0)
		return;
	g = gap_by_id(o, row->id);
	fresh = g->stream == NULL;
	if (!fresh && (g->shard != sh || g->sink != (unsigned)sink || g->reason != row->reason))
		oracle_fail(o, T_OTHER, "gap %llu was overwritten by another one",
		    (unsigned long long)row->id);
	g->stream = st;
	g->shard = sh;
	g->sink = (unsigned)sink;
	g->reason = row->reason;
	g->state = row->state;
	g->row = *row;
	g->saved_at = world_now(o->w);
	if (fresh)
		g->found_at = g->saved_at;
	gap_bounds(o, g, row);
	recount_open(o);
	TRACE(&o->w->trace, 50, row->id, "gap %llu durable: %s %s s%u after=%u until=%u state=%s",
	    (unsigned long long)row->id, gap_reason_name(row->reason), row->shard, g->sink,
	    g->after, g->until, gap_state_name(row->state));
	if (sh == NULL)
		begun_of(o, g->sink, st)->replaced = true;
	if (fresh && !gap_true(o, g))
		oracle_fail(o, T_OTHER,
		    "gap %llu (%s) of %s at s%u is not true: after %u, horizon %u",
		    (unsigned long long)row->id, gap_reason_name(row->reason), row->shard, g->sink,
		    g->after, sh != NULL ? history_horizon(o->w->hist, sh, world_now(o->w)) : 0);
	if (row->state == GAP_OPEN &&
	    o->w->sc.table[st->table->number].feed.on_gap == FEED_CONTINUE)
		oracle_fail(o, T_OTHER, "gap %llu is open under on-gap: continue",
		    (unsigned long long)row->id);
}

/* Everything up to `rank` is done, or need not be. */
static void
sweep(struct oracle *o, unsigned sink, struct h_shard *sh, unsigned rank)
{
	struct place *p = place_of(o, sink, sh);

	for (; p->swept < rank; p->swept++) {
		struct h_event *ev = history_at(o->w->hist, sh, p->swept);
		const struct mark *m = mark_of(o, sink, ev);

		if (m->acked || m->dead || m->skipped || m->left || oracle_excused(o, sink, ev))
			continue;
		TRACE(&o->w->trace, 53, ev->id,
		    "event %u: written %.6f, shard listed %.6f; s%u began %.6f, latest %.6f, "
		    "horizon %.6f",
		    ev->id, (double)ev->at / 1e6, (double)sh->listed_from / 1e6, sink,
		    (double)begun_of(o, sink, sh->stream)->listed_at / 1e6,
		    (double)p->latest_at / 1e6, (double)p->horizon_at / 1e6);
		oracle_fail(o, T_EARLY,
		    "the position of s%u in %s was saved at %u events, but event %u (number %u) is "
		    "%s",
		    sink, sh->id, rank, ev->id, p->swept,
		    m->rejected ? "rejected without a dead letter" : "not acked");
		return;
	}
}

/* What the sink had acked before the gaps of that shard that it may pass. */
static unsigned
rank_before_gap(const struct oracle *o, const struct h_shard *sh, const struct place *p)
{
	unsigned rank = 0;

	for (size_t i = 0; i < o->gap_count; i++) {
		const struct gap_seen *g = &o->gaps[i];

		if (g->shard != sh || place_of(o, g->sink, sh) != p || g->state == GAP_OPEN)
			continue;
		if (rank < p->saved)
			rank = p->saved;
		if (rank < g->after)
			rank = g->after;
	}
	return rank;
}

/* Events that a position says are done with. -1: a number that no record has. */
static int
rank_of(struct oracle *o, const struct h_shard *sh, const struct place *p, const struct pos *pos)
{
	const struct history *h = o->w->hist;
	bool exact = seq_is_set(&pos->seq) && history_event(o->w->hist, sh, &pos->seq) != NULL;

	switch (pos->kind) {
	case POS_COMPLETE:
		return (int)sh->count;
	case POS_AFTER:
		return exact ? (int)history_rank(h, sh, &pos->seq) : -1;
	case POS_AT_START: /* of the shard, or pinned to the first record that was read */
		return seq_is_set(&pos->seq) ? (int)history_rank(h, sh, &pos->seq) - exact : 0;
	case POS_TRIM_HORIZON: /* after a gap: what was acked before it stays so */
		return (int)rank_before_gap(o, sh, p);
	case POS_LATEST:
	case POS_NONE:
		break;
	}
	return 0;
}

static void
saved_position(struct oracle *o, const struct position_row *row)
{
	struct h_shard *sh = shard_named(o, row->arn, row->shard);
	int sink = sink_number(o, row->sink);
	struct place *p;
	unsigned rank;
	int exact;

	if (sh == NULL || sink < 0)
		return;
	p = place_of(o, (unsigned)sink, sh);
	exact = rank_of(o, sh, p, &row->pos);
	if (exact < 0)
		oracle_fail(
		    o, T_EARLY, "s%d in %s: saved at a number that no record has", sink, sh->id);
	rank = exact > 0 ? (unsigned)exact : 0;
	if (row->pos.kind == POS_COMPLETE && sh->closed > world_now(o->w))
		oracle_fail(o, T_EARLY, "s%d: %s saved as complete while it is open", sink, sh->id);
	if (p->have && rank < p->saved)
		oracle_fail(o, T_OTHER, "the position of s%d in %s went back from %u to %u", sink,
		    sh->id, p->saved, rank);
	if (p->completed && row->pos.kind != POS_COMPLETE)
		oracle_fail(o, T_OTHER, "s%d: %s was complete and is not any more", sink, sh->id);
	TRACE(&o->w->trace, 51, rank, "position durable: s%d %s kind=%d rank=%u", sink, sh->id,
	    (int)row->pos.kind, rank);
	sweep(o, (unsigned)sink, sh, rank);
	p->have = true;
	p->pos = row->pos;
	p->saved = rank;
	if (row->pos.kind == POS_AFTER)
		p->after = rank;
	if (p->front < rank && row->pos.kind != POS_AT_START)
		p->front = rank;
	if (row->pos.kind == POS_COMPLETE)
		p->completed = true;
}

static void
saved_forget(struct oracle *o, const struct shard_row *row)
{
	struct h_shard *sh = shard_named(o, row->arn, row->shard);

	if (sh == NULL)
		return;
	if (!o->ended[sh->stream->number] && !history_gone(o->w->hist, sh, world_now(o->w)))
		oracle_fail(o, T_OTHER, "%s was forgotten while the service still has it", sh->id);
	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		if (feeds(o, sh->stream->table, s)) {
			sweep(o, s, sh, sh->count);
			place_of(o, s, sh)->completed = true;
		}
}

static void
saved_stream(struct oracle *o, const struct stream_row *row)
{
	const struct h_stream *st = history_stream(o->w->hist, row->arn);

	if (st == NULL || strcmp(st->table->name, row->table) != 0) {
		oracle_fail(o, T_OTHER, "the store was given a row for stream %s", row->arn);
		return;
	}
	if (row->ended && st->disabled > world_now(o->w))
		oracle_fail(o, T_LOST, "%s was ended while it is alive", st->arn);
	o->ended[st->number] = row->ended;
}

static void
saved_late(struct oracle *o, const struct txn_op *op)
{
	struct h_stream *st;
	struct h_shard *sh;
	int sink;

	switch (op->kind) {
	case TXN_POSITION:
		saved_position(o, &op->u.position);
		break;
	case TXN_FORGET_SHARD:
		saved_forget(o, &op->u.shard);
		break;
	case TXN_SUBSCRIPTION:
		st = history_stream(o->w->hist, op->u.subscription.arn);
		sink = sink_number(o, op->u.subscription.sink);
		if (st != NULL && sink >= 0)
			begun_of(o, (unsigned)sink, st)->subscribed = true;
		break;
	case TXN_SHARD:
		sh = shard_named(o, op->u.shard.arn, op->u.shard.shard);
		if (sh != NULL)
			o->kept[sh->number] = o->seen[sh->number] = true;
		break;
	case TXN_DELETE_POSITION:
		oracle_fail(o, T_OTHER, "the pipeline deleted a position");
		break;
	case TXN_DELETE_SUBSCRIPTION:
		st = history_stream(o->w->hist, op->u.subscription.arn);
		if (st == NULL || !o->ended[st->number])
			oracle_fail(o, T_OTHER, "a subscription to a living stream was deleted");
		break;
	case TXN_STREAM:
	case TXN_GAP:
	case TXN_DEAD_LETTER:
	case TXN_DROP_LETTER:
	case TXN_SUPERSEDE:
		break;
	}
}

void
oracle_saved(struct oracle *o, const struct txn *t)
{
	for (const struct txn_op *op = txn_first(t); op != NULL; op = op->next) {
		if (op->kind == TXN_STREAM)
			saved_stream(o, &op->u.stream);
		if (op->kind == TXN_GAP)
			saved_gap(o, &op->u.gap);
		if (op->kind == TXN_DEAD_LETTER)
			saved_dead_letter(o, &op->u.dead_letter);
	}
	for (const struct txn_op *op = txn_first(t); op != NULL && !o->failed; op = op->next)
		saved_late(o, op);
}

void
oracle_drained(struct oracle *o)
{
	for (unsigned s = 0; s < o->w->sc.sinks; s++)
		for (unsigned i = 0; i < o->w->hist->shards; i++) {
			const struct h_shard *sh = &o->w->hist->shard[i];
			const struct place *p = place_of(o, s, sh);

			if (p->saved < p->front)
				oracle_fail(o, T_OTHER,
				    "drained, but s%u in %s is saved at %u of %u acked", s, sh->id,
				    p->saved, p->front);
		}
}
