/* tests/sim/life.c - see life.h: the driver of a seed.
 *
 *   life -> crash or drain -> pause -> life ... -> calm -> idle -> drain -> oracle
 *
 * A life is one run of the process: a pipeline on the durable state. It ends by
 * a crash after a drawn number of steps, by a drain, or by the pipeline's own
 * word (gap, halt). When the writing and the outages are over the calm begins:
 * no more faults, nothing is trimmed, and everything must arrive.
 */
#include "tests/sim/life.h"

#include <inttypes.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/sim/lag_check.h"
#include "tests/sim/operator.h"
#include "tests/sim/oracle.h"
#include "tests/sim/process.h"
#include "tests/sim/sink_sim.h"
#include "tests/sim/store_sim.h"

#define LOOK_EVERY 32u /* steps between two looks at the whole */
#define LAG_EVERY (8 * LOOK_EVERY)
#define PACE_STEPS 50000u
#define LIVES_MAX 150u
#define STEPS_MAX UINT64_C(3000000)

enum end { /* why a life ended */
	END_NOT,
	END_CRASH,
	END_DRAIN,
	END_GAP,
	END_HALT,
	END_DONE,
	END_NOTHING, /* the stream is gone before anybody began with it */
};

struct run {
	struct world w;
	int64_t calm_at;
	int64_t give_up_at; /* the calm must not last longer */
	unsigned crashes;   /* had so far */
	unsigned jumps;
	bool done;
	bool nothing; /* and so nothing to be checked */
};

static bool
any_halted(const struct world *w)
{
	for (unsigned s = 0; s < w->sc.sinks; s++)
		if (w->target[s].halted)
			return true;
	return false;
}

/* A stream that was disabled and is gone, and that no sink ever began. */
static bool
nothing_to_read(const struct world *w)
{
	for (unsigned i = 0; i < w->hist->streams; i++) {
		const struct h_stream *st = &w->hist->stream[i];
		bool begun = false;

		for (unsigned s = 0; s < w->sc.sinks; s++)
			begun = begun || begun_of(w->oracle, s, st)->subscribed;
		if (!begun && st->gone_at <= history_trim_clock(w->hist, world_now(w)))
			return true;
	}
	return false;
}

static enum end
explain_end(struct life *l)
{
	switch (l->how) {
	case PIPELINE_DRAINED:
		oracle_drained(l->w->oracle);
		return END_DRAIN;
	case PIPELINE_GAP:
		if (l->w->oracle->open_gaps == 0)
			oracle_fail(l->w->oracle, T_OTHER, "stopped by a gap, and none is open");
		return END_GAP;
	case PIPELINE_HALTED:
		if (!any_halted(l->w))
			oracle_fail(l->w->oracle, T_OTHER, "halted for no reason: %s", l->why.text);
		return END_HALT;
	case PIPELINE_CONFIG:
		if (nothing_to_read(l->w))
			return END_NOTHING;
		break;
	}
	oracle_fail(l->w->oracle, T_OTHER, "the pipeline gave up: %s", l->why.text);
	return END_HALT;
}

static void
jump_clock(struct run *r)
{
	struct world *w = &r->w;
	int64_t at = w->start + w->sc.length_us * (r->jumps + 1) / (w->sc.clock_jumps + 1);

	if (r->jumps >= w->sc.clock_jumps || world_now(w) < at)
		return;
	r->jumps++;
	count(w, T_CLOCK_JUMPS);
	loop_sim_jump_wall(w->loop, between(&w->rng, -3600 * USEC_SEC, 3600 * USEC_SEC));
}

static bool
all_there(struct life *l)
{
	char text[256];

	return pipeline_idle(l->pl) && oracle_missing(l->w->oracle, text, sizeof text) == 0;
}

/* Every few steps. END_NOT: go on. */
static enum end
look(struct run *r, struct life *l)
{
	struct world *w = l->w;

	operator_look(l);
	if (!w->calm && w->sc.clock_jumps != 0)
		jump_clock(r);
	if (!w->calm && world_now(w) >= r->calm_at) {
		TRACE(&w->trace, 2, 0, "---- calm");
		w->calm = true;
		w->hist->frozen_at = world_now(w);
		r->give_up_at = world_now(w) + 4 * 3600 * USEC_SEC;
		if (any_halted(w))
			return END_HALT;
	}
	if (l->steps % LAG_EVERY == 0)
		lag_check(l);
	if (w->calm && all_there(l)) /* what crashes are left come now */
		return r->crashes >= w->sc.crash_count ? END_DONE : END_CRASH;
	if ((w->calm && world_now(w) >= r->give_up_at) || l->steps > STEPS_MAX) {
		oracle_end(w->oracle);
		oracle_fail(
		    w->oracle, T_OTHER, "everything has arrived and the pipeline is not idle");
	}
	if (any_halted(w) && rng_below(&w->rng, 400) == 0)
		return END_HALT;
	return END_NOT;
}

/* A daemon that turns its loop without end does nothing wrong and burns a core. */
static void
check_pace(struct life *l)
{
	int64_t now = world_now(l->w);

	if (++l->pace_steps < PACE_STEPS)
		return;
	if (now - l->pace_from < USEC_SEC)
		oracle_fail(l->w->oracle, T_OTHER, "%u callbacks within %lld us: it spins",
		    PACE_STEPS, (long long)(now - l->pace_from));
	l->pace_from = now;
	l->pace_steps = 0;
}

/* Until the life's own end, or the drawn one. */
static enum end
life_run(struct run *r, struct life *l, uint64_t most_steps)
{
	struct world *w = l->w;

	while (!w->oracle->failed) {
		if (l->ended)
			return explain_end(l);
		if (l->steps >= most_steps)
			return END_CRASH;
		bool nothing = !loop_sim_step(w->loop, world_now(w) + 600 * USEC_SEC);

		l->steps++;
		check_pace(l);
		count(w, T_STEPS);
		if (nothing || l->steps % LOOK_EVERY == 0) {
			enum end end = look(r, l);

			if (end != END_NOT)
				return end;
		}
	}
	return END_CRASH;
}

/* A drain has a deadline, as the daemon's has. */
static enum end
life_drain(struct life *l, int64_t deadline)
{
	struct world *w = l->w;

	TRACE(&w->trace, 3, 0, "---- drain");
	count(w, T_DRAINS);
	pipeline_drain(l->pl);
	while (!l->ended && !w->oracle->failed && world_now(w) < deadline)
		(void)loop_sim_step(w->loop, deadline);
	return l->ended && !w->oracle->failed ? explain_end(l) : END_CRASH;
}

static void
pause_for(struct world *w, int64_t us)
{
	TRACE(&w->trace, 4, us, "---- down for %.3f s", (double)us / 1e6);
	loop_sim_sleep(w->loop, us);
}

/* All of the events have arrived. What is left: a clean end, after which
 * nothing would be read again. */
static void
last_drain(struct life *l)
{
	struct world *w = l->w;

	if (life_drain(l, world_now(w) + 3600 * USEC_SEC) != END_DRAIN)
		oracle_fail(w->oracle, T_OTHER, "an idle pipeline does not drain");
}

/* After everything that was closed is trimmed: the state must shrink to what
 * the service still has. */
static void
age(struct run *r)
{
	struct world *w = &r->w;
	struct life l;
	int64_t until;

	w->hist->frozen_at = SIM_FOREVER;
	w->sc.trim_strict = false;
	for (unsigned t = 0; t < w->sc.tables; t++)
		w->sc.table[t].feed.idle_us = 60 * USEC_SEC; /* nothing comes any more */
	pause_for(w, 2 * w->sc.retention_us);
	if (life_begin(&l, w)) {
		until = world_now(w) + 12 * 60 * USEC_SEC; /* absence is believed slowly */
		for (unsigned t = 0; t < w->sc.tables; t++)
			until += 6 * w->sc.table[t].feed.list_interval_us;
		while (!w->oracle->failed && !l.ended && world_now(w) < until) {
			if (loop_sim_step(w->loop, until))
				count(w, T_STEPS);
			operator_look(&l);
		}
		if (!w->oracle->failed && !l.ended)
			oracle_pruned(w->oracle);
	}
	life_end(&l, false);
}

static bool
may_age(const struct world *w)
{
	for (unsigned t = 0; t < w->sc.tables; t++)
		if (w->sc.table[t].feed.start == FEED_LATEST)
			return false;
	return w->sc.aged;
}

/* Somebody restarts the daemon after a sink said HALT: at once, in vain, or when
 * the outage is over. */
static int64_t
until_mended(struct world *w)
{
	int64_t now = world_now(w) - w->start, rest = w->sc.accept_us;

	for (unsigned s = 0; s < w->sc.sinks && rng_below(&w->rng, 4) != 0; s++)
		for (unsigned i = 0; i < w->sc.sink[s].outage_count; i++) {
			const struct outage *o = &w->sc.sink[s].outages[i];

			if (o->kind == OUTAGE_HALT && span_has(&o->when, w) &&
			    o->when.to - now > rest)
				rest = o->when.to - now;
		}
	return rest;
}

static void
one_life(struct run *r)
{
	struct world *w = &r->w;
	bool crashes = r->crashes < w->sc.crash_count, drain = false;
	uint64_t most = crashes ? w->sc.crash[r->crashes].steps : UINT64_MAX;
	int64_t rest = between(&w->rng, 0, USEC_SEC);
	struct life l;
	enum end end = END_CRASH;

	if (life_begin(&l, w))
		end = life_run(r, &l, most);
	if (end == END_CRASH && crashes && !w->oracle->failed) {
		drain = w->sc.crash[r->crashes].drain;
		rest = w->sc.crash[r->crashes].pause_us;
		r->crashes++;
		count(w, T_CRASHES);
		TRACE(&w->trace, 5, l.steps, "---- crash after %" PRIu64 " steps", l.steps);
	}
	if (drain)
		end = life_drain(&l, world_now(w) + between(&w->rng, 0, 60 * USEC_SEC));
	if (end == END_DONE && !w->oracle->failed) {
		last_drain(&l);
		r->done = true;
	}
	if (end == END_NOTHING)
		r->done = r->nothing = true;
	life_end(&l, end != END_DRAIN && end != END_DONE);
	if (end == END_GAP) {
		pause_for(w, w->sc.accept_us);
		operator_accepts_offline(w);
	}
	pause_for(w, end == END_HALT ? until_mended(w) : rest);
}

static void
count_history(struct world *w)
{
	const struct history *h = w->hist;

	w->totals.n[T_SEEDS] = 1;
	w->totals.n[T_EVENTS] = h->events;
	w->totals.n[T_SHARDS] = h->shards;
	w->totals.n[T_SPLITS] = h->splits;
	w->totals.n[T_ROTATIONS] = h->rotations;
	w->totals.n[T_REPLACED] = h->streams - w->sc.tables;
	for (unsigned i = 0; i < h->shards; i++) {
		w->totals.n[T_GONE] += history_gone(h, &h->shard[i], world_now(w));
		w->totals.n[T_LISTED_LATE] += h->shard[i].listed_from > h->shard[i].born;
	}
	for (unsigned s = 0; s < w->sc.sinks; s++)
		w->totals.n[T_OUTAGES] += w->sc.sink[s].outage_count;
	w->totals.n[T_VIRTUAL_S] = (uint64_t)((world_now(w) - w->start) / USEC_SEC);
}

/* The history in short, for whoever reads a trace. */
static void
trace_history(struct world *w)
{
	for (unsigned i = 0; i < w->hist->shards && w->trace.ring != NULL; i++) {
		const struct h_shard *sh = &w->hist->shard[i];

		trace_line(&w->trace,
		    "history: %s of %s, parent %.8s, %u records, born %.3f, listed %.3f, closed "
		    "%.3f, "
		    "gone %.3f",
		    sh->id, sh->stream->label, sh->parent != NULL ? sh->parent->id + 29 : "none",
		    sh->count, (double)sh->born / 1e6, (double)sh->listed_from / 1e6,
		    sh->closed < SIM_FOREVER ? (double)sh->closed / 1e6 : 0,
		    sh->gone_at < SIM_FOREVER ? (double)sh->gone_at / 1e6 : 0);
	}
}

static void
run_open(struct run *r, uint64_t seed, enum trace_level level)
{
	struct world *w = &r->w;

	*r = (struct run){.calm_at = 0};
	scenario_draw(&w->sc, seed);
	world_open(w, level);
	r->calm_at = w->start + w->sc.length_us;
	for (unsigned s = 0; s < w->sc.sinks; s++)
		for (unsigned i = 0; i < w->sc.sink[s].outage_count; i++)
			if (w->start + w->sc.sink[s].outages[i].when.to > r->calm_at)
				r->calm_at = w->start + w->sc.sink[s].outages[i].when.to;
}

static void
trace_log(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;

	(void)level;
	if (w->trace.ring != NULL)
		trace_line(&w->trace, "log: %s", line);
}

bool
life_seed(uint64_t seed, enum trace_level level, struct totals *totals, uint64_t *hash)
{
	struct run *r = mem_new(sizeof *r);
	struct world *w = &r->w;
	bool ok;

	run_open(r, seed, level);
	log_set(level != TRACE_HASH ? LOG_DEBUG : LOG_ERROR, LOG_LOGFMT);
	log_set_sink(trace_log, w);
	trace_history(w);
	while (!r->done && !w->oracle->failed) {
		one_life(r);
		if (w->life > LIVES_MAX)
			oracle_fail(
			    w->oracle, T_OTHER, "life %u is over, and nothing moves", w->life);
	}
	if (!w->oracle->failed && !r->nothing)
		oracle_end(w->oracle);
	if (!w->oracle->failed && !r->nothing && may_age(w))
		age(r);
	log_set_sink(NULL, NULL);
	count_history(w);
	ok = !w->oracle->failed;
	if (!ok)
		trace_print(&w->trace, stdout);
	if (!ok)
		(void)printf("seed %" PRIu64 ": %s\n  replay: build/tests/sim/sim --seeds %" PRIu64
			     "..%" PRIu64 " -v\n",
		    seed, w->oracle->failure, seed, seed);
	for (unsigned i = 0; i < T_COUNT; i++)
		totals->n[i] += w->totals.n[i];
	if (hash != NULL)
		*hash = w->trace.hash;
	world_close(w);
	free(r);
	return ok;
}
