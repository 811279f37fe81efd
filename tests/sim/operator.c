/* tests/sim/operator.c - see operator.h. */
#include "tests/sim/operator.h"

#include <inttypes.h>

#include "checkpoint/letters.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sink_sim.h"
#include "tests/sim/store_sim.h"

/* An operator's `slipring gaps accept`, some time after the gap was found. */
static void
accept_gaps(struct life *l)
{
	struct oracle *o = l->w->oracle;
	struct err e;

	if (o->open_gaps == 0 && l->gap_seen_at == 0)
		return;
	if (o->open_gaps == 0)
		l->gap_seen_at = 0;
	else if (l->gap_seen_at == 0)
		l->gap_seen_at = world_now(l->w);
	else if (world_now(l->w) - l->gap_seen_at >= l->w->sc.accept_us) {
		for (size_t i = 0; i < o->gap_count; i++) {
			if (o->gaps[i].state != GAP_OPEN)
				continue;
			TRACE(&l->w->trace, 71, o->gaps[i].id, "gap %" PRIu64 " accepted",
			    o->gaps[i].id);
			count(l->w, T_GAPS_ACCEPTED);
			if (pipeline_gap_accept(l->pl, o->gaps[i].id, &e) != 0 &&
			    e.code != ERR_REFUSED)
				oracle_fail(o, T_OTHER, "gap %" PRIu64 " cannot be accepted: %s",
				    o->gaps[i].id, e.text);
		}
		l->gap_seen_at = 0;
	}
}

void
operator_accepts_offline(struct world *w)
{
	for (size_t i = 0; i < w->oracle->gap_count; i++)
		if (w->oracle->gaps[i].state == GAP_OPEN) {
			count(w, T_GAPS_ACCEPTED);
			store_sim_accept(w->store, w->oracle->gaps[i].id);
		}
}

/* In vain, now and then: an operator cannot tell whether it is mended. */
static void
resume_one(struct life *l, unsigned s)
{
	struct world *w = l->w;
	struct refusals *r = &w->oracle->refusals[s];
	const char *state = "";
	struct err e;

	if (pipeline_sink_resume(l->pl, w->target[s].name, &state, &e) != 0) {
		if (e.code != ERR_REFUSED)
			oracle_fail(w->oracle, T_OTHER, "s%u cannot be resumed: %s", s, e.text);
		return;
	}
	if (strcmp(state, "halted") != 0) {
		if (r->halted && strcmp(state, "breaking") != 0)
			oracle_fail(
			    w->oracle, T_OTHER, "s%u is %s, and should be halted", s, state);
		return;
	}
	TRACE(&w->trace, 72, s, "s%u resumed", s);
	if (rng_below(&w->rng, 4) != 0)
		w->target[s].mended[r->event] = true;
	for (unsigned i = 0; i < w->hist->events && w->sc.sink[s].filter.refuse != 0; i++)
		if (mark_of(w->oracle, s, &w->hist->event[i])->unmade && rng_below(&w->rng, 4) != 0)
			w->target[s].mended[i] = true;
	w->target[s].halted = false;
	oracle_resumed(w->oracle, s);
}

/* Some of the causes are mended, or none, and all letters are replayed. */
static void
replay_letters(struct life *l)
{
	struct world *w = l->w;
	const struct letter_query all = {.sink = NULL};
	int64_t rate = rng_below(&w->rng, 2) != 0 ? between(&w->rng, 1, 500) : 0;
	json_t *jobs;
	struct err e;

	for (unsigned s = 0; s < w->sc.sinks; s++)
		for (unsigned i = 0; i < w->hist->events; i++)
			if (mark_of(w->oracle, s, &w->hist->event[i])->dead &&
			    rng_below(&w->rng, 4) != 0)
				w->target[s].mended[i] = true;
	TRACE(&w->trace, 73, rate, "dead letters are replayed, %lld a second", (long long)rate);
	if (pipeline_replay(l->pl, &all, rate, &jobs, &e) == 0)
		json_decref(jobs);
	else
		oracle_fail(w->oracle, T_OTHER, "dead letters cannot be replayed: %s", e.text);
}

void
operator_look(struct life *l)
{
	struct world *w = l->w;

	accept_gaps(l);
	if (!l->ended && rng_below(&w->rng, 200) == 0)
		replay_letters(l);
	for (unsigned s = 0; s < w->sc.sinks; s++) {
		const struct refusals *r = &w->oracle->refusals[s];
		int64_t slow = w->sc.accept_us < 30 * USEC_SEC ? w->sc.accept_us : 30 * USEC_SEC;

		/* Records that are given up or refused by a filter count for the brake, and nobody
		 * hears of it. */
		bool unseen =
		    (w->sc.sink[s].lane.give_up_us != 0 && w->sc.sink[s].lane.brake != 0) ||
		    w->sc.sink[s].filter.refuse != 0;
		bool may_be = unseen && (rng_below(&w->rng, 4) == 0 || w->calm);

		if (!l->ended && (may_be || (r->halted && world_now(w) - r->halted_at >= slow)))
			resume_one(l, s);
	}
}
