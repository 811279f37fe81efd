/* tests/sim/process.c - see process.h. */
#include "tests/sim/process.h"

#include <inttypes.h>

#include "base/mem.h"
#include "tests/sim/filter_sim.h"
#include "tests/sim/oracle.h"
#include "tests/sim/sink_sim.h"
#include "tests/sim/store_sim.h"

static void
on_ended(void *ctx, enum pipeline_end how, const struct err *why)
{
	struct life *l = ctx;

	if (l->ended)
		oracle_fail(l->w->oracle, T_OTHER, "the pipeline ended twice");
	l->ended = true;
	l->how = how;
	if (why != NULL)
		l->why = *why;
	TRACE(
	    &l->w->trace, 70, how, "pipeline ended: %d %s", (int)how, why != NULL ? why->text : "");
}

static const struct sink_ops *
ops_of(const struct sink_scenario *sc)
{
	if (sc->shard_order)
		return &sink_sim_shard;
	return sc->key_order ? &sink_sim_ordered : &sink_sim_loose;
}

static int
add_all(struct life *l, struct err *e)
{
	static const char *const names[] = {"s0", "s1", "s2", "s3"};
	struct world *w = l->w;

	for (unsigned s = 0; s < w->sc.sinks; s++)
		if (pipeline_add_sink(l->pl, w->target[s].name, ops_of(&w->sc.sink[s]),
			&w->target[s], &w->sc.sink[s].lane, e) != 0)
			return -1;
	for (unsigned s = 0; s < w->sc.sinks; s++)
		if (w->sc.sink[s].filter.on)
			pipeline_set_chain(l->pl, names[s], filter_sim_chain(&w->target[s]));
	for (unsigned t = 0; t < w->sc.tables; t++) {
		const char *fed[SIM_SINKS];
		size_t n = 0;

		for (unsigned s = 0; s < w->sc.sinks; s++)
			if ((w->sc.sink[s].tables >> t & 1) != 0)
				fed[n++] = names[s];
		if (pipeline_add_stream(l->pl, w->hist->table[t].name, w->api[t],
			&w->sc.table[t].feed, fed, n, e) != 0)
			return -1;
	}
	return 0;
}

bool
life_begin(struct life *l, struct world *w)
{
	struct pipeline_host host = {.ctx = l, .ended = on_ended};
	struct err e;

	*l = (struct life){.w = w};
	w->life++;
	w->dead = false;
	oracle_life(w->oracle);
	TRACE(&w->trace, 1, w->life, "---- life %u", w->life);
	l->live_before = loop_sim_live(w->loop);
	l->store = store_sim_open(w->store);
	for (unsigned t = 0; t < w->sc.tables; t++)
		w->api[t] = api_sim_new(w, t, &l->limits);
	for (unsigned s = 0; s < w->sc.sinks; s++)
		w->target[s].halted = false;
	if (pipeline_new(&l->pl, w->loop, l->store, &w->sc.pipeline, &host, &e) == 0 &&
	    add_all(l, &e) == 0 && pipeline_start(l->pl, &e) == 0)
		return true;
	oracle_fail(w->oracle, T_OTHER, "the pipeline does not start: %s", e.text);
	return false;
}

static uint64_t
sum(const json_t *list, const char *member)
{
	uint64_t n = 0;
	const json_t *o;
	size_t i;

	json_array_foreach(list, i, o) n +=
	    (uint64_t)json_integer_value(json_object_get(o, member));
	return n;
}

/* Lanes that let go of what they held, and tracks that were left behind for
 * want of room: both catch up later. */
static void
count_detaches(struct life *l)
{
	json_t *status = pipeline_status(l->pl);

	if (status == NULL)
		oracle_fail(l->w->oracle, T_OTHER, "no status");
	l->w->totals.n[T_DETACHES] += sum(json_object_get(status, "streams"), "detached") +
	    sum(json_object_get(status, "sinks"), "drops");
	json_decref(status);
}

/* Room is asked for by an estimate before a page's size is known, and a lane
 * that holds nothing may always read one page: the budget may be passed by
 * what was under way, in each lane; not by more. */
static void
check_memory(struct life *l)
{
	int64_t peak = 0, held = pipeline_bytes(l->pl, &peak);
	int64_t slack =
	    (int64_t)(l->limits.largest_page * (l->limits.most_flying + 1)) * l->w->sc.sinks;

	for (unsigned s = 0; s < l->w->sc.sinks; s++)
		if (l->w->sc.sink[s].filter.on) /* what they make is as large again, at most */
			slack += (int64_t)(l->limits.largest_page * (l->limits.most_flying + 1));

	if (peak > l->w->sc.pipeline.memory_budget + slack || held > peak)
		oracle_fail(l->w->oracle, T_OTHER,
		    "%" PRId64 " bytes were held under a budget of %" PRId64 " (+ %" PRId64 ")",
		    peak, l->w->sc.pipeline.memory_budget, slack);
}

void
life_end(struct life *l, bool crash)
{
	struct world *w = l->w;

	if (l->pl != NULL) {
		count_detaches(l);
		check_memory(l);
	}
	w->dead = crash;
	pipeline_close(l->pl);
	for (unsigned t = 0; t < w->sc.tables; t++) {
		api_sim_check(w->api[t]);
		api_close(w->api[t]);
		w->api[t] = NULL;
	}
	store_close(l->store);
	if (loop_sim_live(w->loop) != l->live_before)
		oracle_fail(w->oracle, T_OTHER, "the pipeline left %zu timers behind",
		    loop_sim_live(w->loop) - l->live_before);
}

void
world_open(struct world *w, enum trace_level level)
{
	struct err e;

	if (loop_new(&w->loop, w->sc.seed, &e) != 0)
		abort();
	trace_open(&w->trace, loop_sim_clock(w->loop), level);
	rng_seed(&w->rng, w->sc.seed ^ UINT64_C(0x6c696665));
	w->start = world_now(w);
	w->hist = history_new(&w->sc, w->start);
	for (unsigned t = 0; t < w->sc.tables; t++) {
		struct h_table *ta = &w->hist->table[t];

		if (w->sc.table[t].by_arn)
			w->sc.table[t].feed.arn = w->hist->stream[ta->first_stream].arn;
		else
			w->sc.table[t].feed.table = ta->name;
	}
	w->oracle = oracle_new(w);
	w->store = store_sim_new(w);
	w->target = mem_array(w->sc.sinks, sizeof *w->target);
	for (unsigned s = 0; s < w->sc.sinks; s++)
		sink_target_init(&w->target[s], w, s);
}

void
world_close(struct world *w)
{
	store_sim_free(w->store);
	oracle_close(w->oracle);
	history_close(w->hist);
	for (unsigned s = 0; s < w->sc.sinks; s++)
		sink_target_close(&w->target[s]);
	free(w->target);
	trace_close(&w->trace);
	loop_close(w->loop);
}
