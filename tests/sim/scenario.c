/* tests/sim/scenario.c - see scenario.h. Each fault is off in about half of
 * the seeds: a run where everything fails at once hides what one fault does.
 */
#include "tests/sim/scenario.h"

int64_t
log_between(struct rng *r, int64_t low, int64_t high)
{
	int64_t edge = low;

	while (edge < high && rng_below(r, 3) != 0)
		edge *= 2;
	return between(r, low, edge < high ? edge : high);
}

static unsigned
some(struct rng *r, unsigned most)
{
	return rng_below(r, 2) == 0 ? 0 : (unsigned)between(r, 1, most);
}

static struct span
draw_span(struct rng *r, int64_t length, int64_t longest)
{
	int64_t from = between(r, 0, length);

	return (struct span){from, from + between(r, USEC_SEC, longest)};
}

static void
draw_faults(struct scenario *sc, struct rng *r)
{
	struct api_faults *f = &sc->faults;

	f->empty = some(r, 400);
	f->served_twice = some(r, 60);
	f->omitted = some(r, 200);
	f->refused = some(r, 500);
	f->ignored = some(r, 300);
	f->childless = some(r, 500);
	f->late_us = between(r, USEC_SEC, sc->length_us / 20 + 2 * USEC_SEC);
	if (rng_below(r, 4) == 0)
		return;
	f->throttled = some(r, 150);
	f->limited = some(r, 150);
	f->server = some(r, 100);
	f->transport = some(r, 100);
	f->malformed = some(r, 80);
	f->auth = some(r, 20);
	f->not_found = some(r, 20);
	f->late = some(r, 60);
	f->cursor = some(r, 30);
	sc->storm_count = (unsigned)rng_below(r, SIM_STORMS + 1);
	for (unsigned i = 0; i < sc->storm_count; i++)
		sc->storms[i] = draw_span(r, sc->length_us, sc->length_us / 6 + 10 * USEC_SEC);
}

static void
draw_lane(struct lane_conf *l, struct rng *r)
{
	l->batch_count = log_between(r, 1, 100);
	l->batch_bytes = log_between(r, 500, 100000);
	l->linger_us = rng_below(r, 3) == 0 ? 0 : between(r, 1, 500 * USEC_MS);
	l->in_flight = log_between(r, 1, 300);
	l->retry_base_us = between(r, 10 * USEC_MS, 200 * USEC_MS);
	l->retry_cap_us = between(r, USEC_SEC, 20 * USEC_SEC);
	l->breaker_failures = between(r, 1, 6);
	l->breaker_open_us = between(r, USEC_SEC, 60 * USEC_SEC);
	l->on_reject = rng_below(r, 2) == 0 ? LANE_DEAD_LETTER : (int)rng_below(r, 3);
	l->brake = rng_below(r, 2) == 0 ? 0 : log_between(r, 1, 60);
	if (l->on_reject == LANE_DEAD_LETTER && rng_below(r, 4) == 0)
		l->give_up_us = between(r, 10 * USEC_SEC, 600 * USEC_SEC);
}

static void
draw_outages(struct scenario *sc, struct sink_scenario *s, struct rng *r)
{
	int64_t longest = sc->length_us / 3;

	if (sc->retention_us < sc->length_us && rng_below(r, 2) == 0)
		longest = sc->retention_us * 2;
	s->outage_count = (unsigned)rng_below(r, SIM_OUTAGES + 1);
	if (rng_below(r, 3) == 0)
		s->outage_count = 0;
	for (unsigned i = 0; i < s->outage_count; i++) {
		struct outage *o = &s->outages[i];

		o->when = draw_span(r, sc->length_us, longest + 2 * USEC_SEC);
		o->kind = (enum outage_kind)rng_below(r, 3);
		if (rng_below(r, 20) == 0)
			o->kind = OUTAGE_HALT;
		else if (rng_below(r, 8) == 0)
			o->kind = OUTAGE_REJECT;
	}
}

static void
draw_sink(struct scenario *sc, struct sink_scenario *s, struct rng *r)
{
	s->tables = (unsigned)between(r, 1, (1 << sc->tables) - 1);
	s->key_order = rng_below(r, 2) == 0;
	s->shard_order = s->key_order && rng_below(r, 3) == 0;
	s->splits = rng_below(r, 2) == 0;
	s->request_count = rng_below(r, 2) == 0 ? UINT32_MAX : (unsigned)log_between(r, 1, 60);
	s->answer_us = log_between(r, 100, 2 * USEC_SEC);
	s->capacity = (unsigned)log_between(r, 4, 500);
	s->retry = some(r, 120);
	s->reject = some(r, 40);
	s->full = some(r, 200);
	s->ambiguous = some(r, 500);
	draw_outages(sc, s, r);
	draw_lane(&s->lane, r);
}

static void
draw_feed(const struct scenario *sc, struct feed_conf *f, struct rng *r)
{
	f->start = rng_below(r, 4) == 0 ? FEED_LATEST : FEED_TRIM_HORIZON;
	f->on_gap = rng_below(r, 2) == 0 ? FEED_HALT : FEED_CONTINUE;
	f->idle_us = between(r, sc->length_us / 400, sc->length_us / 40);
	if (f->idle_us > 30 * USEC_SEC)
		f->idle_us = 30 * USEC_SEC;
	if (f->idle_us < 250 * USEC_MS)
		f->idle_us = 250 * USEC_MS;
	f->page_limit = log_between(r, 2, 200);
	f->calls_per_second = 4;
	f->readers = rng_below(r, 3) == 0 ? 1 : 2;
	f->list_interval_us = between(r, sc->length_us / 50, sc->length_us / 6);
	f->settle_us = rng_below(r, 2) == 0 ? 0 : between(r, 0, 3 * f->list_interval_us);
	if (f->list_interval_us < USEC_SEC)
		f->list_interval_us = USEC_SEC;
}

static void
draw_table(struct scenario *sc, struct table_scenario *t, struct rng *r)
{
	t->roots = (unsigned)log_between(r, 1, 5);
	t->keys = (unsigned)log_between(r, 2, 64);
	t->writes = (unsigned)log_between(r, 50, 2000);
	t->max_shards = (unsigned)between(r, 4, 30);
	t->shard_life_us = sc->length_us / between(r, 1, 12);
	t->split = (unsigned)rng_below(r, 101);
	t->child_late_us = rng_below(r, 2) == 0 ? 0 : between(r, 1, sc->length_us / 8);
	if (t->child_late_us > 600 * USEC_SEC)
		t->child_late_us = 600 * USEC_SEC;
	t->end_late_us = rng_below(r, 2) == 0 ? 0 : between(r, 1, sc->length_us / 16);
	t->enabling_us = rng_below(r, 4) == 0 ? between(r, 1, 20 * USEC_SEC) : 0;
	t->by_arn = rng_below(r, 2) == 0;
	t->small_numbers = rng_below(r, 6) == 0;
	/* Such an emulator tells a trimmed start from a whole one by nothing. */
	t->refuses_at = rng_below(r, 12) == 0 && sc->retention_us > 2 * sc->length_us;
	t->replaced = !t->by_arn && rng_below(r, 6) == 0 ? (unsigned)between(r, 1, 2) : 0;
	t->disabled_at_end = rng_below(r, 5) == 0;
	draw_feed(sc, &t->feed, r);
}

static void
draw_crashes(struct scenario *sc, struct rng *r)
{
	sc->crash_count = (unsigned)rng_below(r, SIM_CRASHES + 1);
	if (rng_below(r, 4) == 0)
		sc->crash_count = 0;
	for (unsigned i = 0; i < sc->crash_count; i++) {
		sc->crash[i].steps = (uint64_t)log_between(r, 1, 100);
		if (rng_below(r, 3) != 0)
			sc->crash[i].steps = (uint64_t)between(r, 1, 5000);
		sc->crash[i].drain = rng_below(r, 4) == 0;
		sc->crash[i].pause_us = between(r, 0, 5 * USEC_SEC);
		if (rng_below(r, 4) == 0)
			sc->crash[i].pause_us = between(r, 0, sc->length_us / 3);
		if (rng_below(r, 8) == 0 && sc->retention_us < sc->length_us)
			sc->crash[i].pause_us = between(r, 0, sc->retention_us * 2);
	}
}

/* From dice of their own: everything else of a seed is as it would be without them. */
static void
draw_filters(struct scenario *sc)
{
	struct rng r;

	rng_seed(&r, sc->seed ^ UINT64_C(0x66696c746572));
	for (unsigned i = 0; i < sc->sinks; i++) {
		struct sink_scenario *s = &sc->sink[i];

		s->filter.on = rng_below(&r, 2) == 0;
		s->filter.drop = some(&r, 500);
		s->filter.rewrite = some(&r, 1000);
		s->filter.refuse = some(&r, 60);
		if (!s->filter.on)
			s->filter.drop = s->filter.rewrite = s->filter.refuse = 0;
	}
}

void
scenario_draw(struct scenario *sc, uint64_t seed)
{
	struct rng r;

	rng_seed(&r, seed);
	*sc = (struct scenario){.seed = seed};
	sc->length_us = log_between(&r, 60 * USEC_SEC, 40 * 60 * USEC_SEC);
	sc->retention_us = 24 * 3600 * USEC_SEC;
	if (rng_below(&r, 5) < 3)
		sc->retention_us = between(&r, sc->length_us / 6, sc->length_us);
	sc->iterator_us = 15 * 60 * USEC_SEC;
	if (rng_below(&r, 2) == 0)
		sc->iterator_us = between(&r, 5 * USEC_SEC, sc->length_us / 2);
	sc->trim_strict = rng_below(&r, 2) == 0;
	sc->page_end_null = rng_below(&r, 2) == 0;
	sc->list_page = (unsigned)log_between(&r, 1, 100);
	sc->tables = rng_below(&r, 3) == 0 ? 2 : 1;
	sc->sinks = (unsigned)between(&r, 1, SIM_SINKS);
	for (unsigned i = 0; i < sc->tables; i++)
		draw_table(sc, &sc->table[i], &r);
	for (unsigned i = 0; i < sc->sinks; i++)
		draw_sink(sc, &sc->sink[i], &r);
	for (unsigned i = 0; i < sc->tables; i++) /* nobody's stream would be no feed */
		sc->sink[i % sc->sinks].tables |= 1u << i;
	draw_faults(sc, &r);
	sc->pipeline.memory_budget = log_between(&r, 1 << 20, 8 << 20);
	sc->page_weight = rng_below(&r, 2) == 0 ? 1 : (unsigned)log_between(&r, 2, 400);
	sc->pipeline.checkpoint_interval_us = log_between(&r, USEC_MS, 5 * USEC_SEC);
	draw_crashes(sc, &r);
	sc->accept_us = log_between(&r, USEC_SEC, sc->length_us / 10);
	sc->commit_us = log_between(&r, 100, USEC_SEC);
	sc->store_failures = some(&r, 100);
	sc->clock_jumps = rng_below(&r, 3) == 0 ? (unsigned)rng_below(&r, 4) : 0;
	for (unsigned i = 0; i < sc->tables; i++)
		if (sc->table[i].feed.start == FEED_LATEST)
			sc->clock_jumps = 0; /* `since` is by the host's clock */
	sc->aged = rng_below(&r, 4) == 0;
	draw_filters(sc);
}
