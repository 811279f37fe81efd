/* tests/sim/outage.c - see outage.h.
 *
 *   s0 works | s1 says "later" to everything | s2 does not answer | s3 halts, is resumed in vain
 *
 * One shard tree, pages that weigh a lot and a small budget. All the while: who is
 * broken or halted holds nothing, who hangs holds its share, and s0 is as fast as
 * before. Afterwards everybody has everything.
 */
#include "tests/sim/outage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/sim/operator.h"
#include "tests/sim/oracle.h"
#include "tests/sim/process.h"

#define MINUTE (60 * USEC_SEC)
#define LOOK_EVERY (47 * USEC_SEC) /* not in step with breaker.open */
#define WRITES_AN_HOUR 6000u
#define BUDGET (2 << 20)
/* Read within poll.idle, sent after batch.linger, answered within some ms. */
#define DELAY_MAX (10 * USEC_SEC)

struct outage_run {
	struct world w;
	struct life l;
	int64_t peak[SIM_SINKS]; /* held bytes during the outage */
	unsigned looks, nothing_held;
};

static void
outage_sink(struct sink_scenario *s, int64_t from, int64_t to, enum outage_kind kind)
{
	*s = (struct sink_scenario){
	    .tables = 1, .answer_us = USEC_MS, .capacity = 500, .request_count = 500};
	s->lane = (struct lane_conf){.batch_count = 100,
	    .batch_bytes = 1 << 20,
	    .linger_us = 5 * USEC_MS,
	    .in_flight = 500,
	    .retry_base_us = 100 * USEC_MS,
	    .retry_cap_us = 20 * USEC_SEC,
	    .brake = 1000,
	    .breaker_failures = 5,
	    .breaker_open_us = 60 * USEC_SEC};
	if (to > from)
		s->outages[s->outage_count++] = (struct outage){{from, to}, kind};
}

static void
outage_scenario(struct scenario *sc, unsigned hours)
{
	static const enum outage_kind kinds[] = {
	    OUTAGE_RETRY, OUTAGE_RETRY, OUTAGE_SILENT, OUTAGE_HALT};
	struct table_scenario *t = &sc->table[0];
	int64_t length = (int64_t)hours * 60 * MINUTE;

	*sc = (struct scenario){
	    .seed = 1, .tables = 1, .sinks = SIM_SINKS, .list_page = 100, .page_weight = 2};
	sc->length_us = length;
	sc->retention_us = 24 * 60 * MINUTE;
	sc->iterator_us = 15 * MINUTE;
	sc->commit_us = USEC_MS;
	sc->accept_us = 60 * MINUTE;
	sc->pipeline.memory_budget = BUDGET;
	sc->pipeline.checkpoint_interval_us = USEC_SEC;
	t->roots = 4;
	t->keys = 64;
	t->writes = WRITES_AN_HOUR * hours;
	t->shard_life_us = length / 6;
	t->max_shards = 30;
	t->split = 20;
	t->feed = (struct feed_conf){.idle_us = USEC_SEC,
	    .page_limit = 100,
	    .calls_per_second = 4,
	    .readers = 2,
	    .list_interval_us = MINUTE};
	for (unsigned s = 0; s < SIM_SINKS; s++)
		outage_sink(&sc->sink[s], length / 12, s == 0 ? 0 : length - length / 12, kinds[s]);
}

/* Now and then: held bytes by sink, while the outage lasts. */
static void
look_at_lanes(struct outage_run *r)
{
	json_t *status = pipeline_status(r->l.pl), *o;
	int64_t share = BUDGET / SIM_SINKS;
	int64_t page = (int64_t)r->l.limits.largest_page;
	size_t s;

	r->looks++;
	json_array_foreach(json_object_get(status, "sinks"), s, o)
	{
		const char *state = json_string_value(json_object_get(o, "state"));
		int64_t held = json_integer_value(json_object_get(o, "held_bytes"));
		bool down = strcmp(state, "broken") == 0 || strcmp(state, "halted") == 0;

		r->nothing_held += down;
		r->peak[s] = held > r->peak[s] ? held : r->peak[s];
		if (down && held != 0)
			oracle_fail(r->w.oracle, T_OTHER, "s%zu is %s and holds %" PRId64 " bytes",
			    s, state, held);
		if (held > share + (int64_t)(r->l.limits.most_flying + 1) * page)
			oracle_fail(r->w.oracle, T_OTHER, "s%zu holds %" PRId64 " of %" PRId64, s,
			    held, share);
	}
	json_decref(status);
}

static int64_t
worst_delay(struct outage_run *r)
{
	const struct history *h = r->w.hist;
	int64_t worst = 0;

	for (unsigned i = 0; i < h->events; i++) {
		int64_t at = mark_of(r->w.oracle, 0, &h->event[i])->acked_at;

		if (at - h->event[i].at > worst)
			worst = at - h->event[i].at;
	}
	return worst;
}

static void
run(struct outage_run *r, unsigned hours)
{
	struct world *w = &r->w;
	const struct span *down = &w->sc.sink[1].outages[0].when;
	int64_t until = w->start + (int64_t)(hours + 2) * 60 * MINUTE, next = w->start;
	char text[256];

	while (!w->oracle->failed && !r->l.ended && world_now(w) < until) {
		(void)loop_sim_step(w->loop, until);
		if (world_now(w) < next)
			continue;
		next = world_now(w) + LOOK_EVERY;
		if (world_now(w) < w->start + down->to)
			look_at_lanes(r);
		else if (world_now(w) > w->start + w->sc.length_us && pipeline_idle(r->l.pl) &&
		    oracle_missing(w->oracle, text, sizeof text) == 0)
			break;
		operator_look(&r->l);
	}
}

static int
judge(struct outage_run *r, unsigned hours)
{
	struct world *w = &r->w;
	int64_t delay = worst_delay(r), after = world_now(w) - w->start - w->sc.length_us, peak;

	(void)pipeline_bytes(r->l.pl, &peak);
	oracle_end(w->oracle);
	(void)printf(
	    "%u hours, %u records into 4 sinks, 3 of them down: budget %d KiB, peak %" PRId64
	    " KiB; held at most: s0 %" PRId64 ", later %" PRId64 ", silent %" PRId64
	    ", halted %" PRId64 " KiB; worst delay at s0 %.1f s; all caught up %" PRId64
	    " s after the end\n",
	    hours, w->hist->events, BUDGET >> 10, peak >> 10, r->peak[0] >> 10, r->peak[1] >> 10,
	    r->peak[2] >> 10, r->peak[3] >> 10, (double)delay / 1e6, after / USEC_SEC);
	if (r->l.ended)
		(void)printf("violation: the pipeline ended: %s\n", r->l.why.text);
	if (delay > DELAY_MAX)
		(void)printf("violation: s0 waited for the others\n");
	if (peak > BUDGET)
		(void)printf("violation: more was held than memory.budget\n");
	if (r->nothing_held < r->looks)
		(void)printf("violation: nobody let go\n");
	return r->l.ended || delay > DELAY_MAX || peak > BUDGET || r->nothing_held < r->looks;
}

/* That s3 halts is no news. */
static void
swallow(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

int
outage(unsigned hours)
{
	struct outage_run *r = mem_new(sizeof *r);
	int rc = 1;

	log_set(LOG_ERROR, LOG_LOGFMT);
	log_set_sink(swallow, NULL);
	outage_scenario(&r->w.sc, hours);
	world_open(&r->w, TRACE_HASH);
	if (life_begin(&r->l, &r->w)) {
		run(r, hours);
		rc = judge(r, hours);
	}
	life_end(&r->l, true);
	if (r->w.oracle->failed)
		(void)printf("violation: %s\n", r->w.oracle->failure);
	rc = rc != 0 || r->w.oracle->failed;
	log_set_sink(NULL, NULL);
	world_close(&r->w);
	free(r);
	return rc;
}
