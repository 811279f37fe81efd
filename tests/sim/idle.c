/* tests/sim/idle.c - see idle.h: shards in which nothing happens, polled at
 * the default intervals. The process's memory is the measure, less what the
 * made-up service itself takes.
 */
#include "tests/sim/idle.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/sim/oracle.h"
#include "tests/sim/process.h"

#define MEMORY_LIMIT_KIB (64L << 10) /* issue 3, "Speed and size" */

static long
peak_kib(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return ru.ru_maxrss;
}

static void
idle_scenario(struct scenario *sc, unsigned shards)
{
	struct table_scenario *t = &sc->table[0];

	*sc = (struct scenario){
	    .seed = 1, .tables = 1, .sinks = 1, .list_page = 100, .page_weight = 1};
	sc->length_us = 24 * 3600 * USEC_SEC;
	sc->retention_us = 24 * 3600 * USEC_SEC;
	sc->iterator_us = 15 * 60 * USEC_SEC;
	sc->commit_us = USEC_MS;
	sc->pipeline.memory_budget = 64 << 20;
	sc->pipeline.checkpoint_interval_us = USEC_SEC;
	t->roots = shards;
	t->keys = 1;
	t->shard_life_us = SIM_FOREVER / 4;
	t->max_shards = 1;
	t->feed = (struct feed_conf){.idle_us = USEC_SEC,
	    .page_limit = 1000,
	    .calls_per_second = 4,
	    .readers = 2,
	    .list_interval_us = 60 * USEC_SEC};
	sc->sink[0] = (struct sink_scenario){
	    .tables = 1, .answer_us = USEC_MS, .capacity = 1000, .request_count = 1000};
	sc->sink[0].lane = (struct lane_conf){.batch_count = 500,
	    .batch_bytes = 1 << 20,
	    .in_flight = 1000,
	    .retry_base_us = 100 * USEC_MS,
	    .retry_cap_us = 20 * USEC_SEC,
	    .breaker_failures = 5,
	    .breaker_open_us = 60 * USEC_SEC};
}

static int
judge(const struct world *w, long grown_kib, unsigned minutes)
{
	double seconds = minutes * 60.0;
	double reads = (double)w->totals.n[T_READS] / seconds;
	double describes = (double)w->totals.n[T_DESCRIBES] / seconds;
	unsigned shards = w->sc.table[0].roots;

	(void)printf(
	    "%u idle shards, %u minutes of virtual time: %.0f GetRecords/s (%.2f a shard), "
	    "%.2f DescribeStream/s, peak memory +%.1f MiB\n",
	    shards, minutes, reads, reads / shards, describes, (double)grown_kib / 1024);
	if (w->oracle->failed)
		(void)printf("violation: %s\n", w->oracle->failure);
	if (reads == 0 || reads > 1.1 * shards || describes > 5 || grown_kib > MEMORY_LIMIT_KIB) {
		(void)printf(
		    "outside the budget: 1 GetRecords/s a shard, 5 DescribeStream/s, 64 MiB\n");
		return 1;
	}
	return w->oracle->failed ? 1 : 0;
}

int
idle(unsigned shards, unsigned minutes)
{
	struct world *w = mem_new(sizeof *w);
	int64_t until;
	struct life l;
	long before;
	int rc;

	log_set(LOG_ERROR, LOG_LOGFMT);
	idle_scenario(&w->sc, shards);
	w->calm = true;
	world_open(w, TRACE_HASH);
	before = peak_kib();
	until = w->start + minutes * 60 * USEC_SEC;
	if (life_begin(&l, w))
		while (!w->oracle->failed && !l.ended && world_now(w) < until)
			(void)loop_sim_step(w->loop, until);
	if (l.ended)
		oracle_fail(w->oracle, T_OTHER, "the pipeline ended: %s", l.why.text);
	rc = judge(w, peak_kib() - before, minutes);
	life_end(&l, true);
	world_close(w);
	free(w);
	return rc;
}
