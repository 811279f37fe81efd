/* tests/sim/selftest.c - see selftest.h: a simulator that is wrong proves
 * nothing, so its clock, its history and its text are looked at first.
 */
#include "tests/sim/selftest.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/sim/history.h"
#include "tests/sim/loop_sim.h"

#define SEEDS 300u

static unsigned failures;

static void
expect(bool ok, const char *what, uint64_t seed)
{
	if (ok)
		return;
	failures++;
	(void)printf("self-test: %s (seed %llu)\n", what, (unsigned long long)seed);
}

struct ticks {
	struct loop *lp;
	struct loop_timer *timer[40];
	int64_t due[40], last;
	unsigned fired;
	bool in_order;
};

struct tick {
	struct ticks *all;
	unsigned n;
};

static void
on_tick(void *arg)
{
	struct tick *t = arg;
	struct ticks *all = t->all;

	all->in_order =
	    all->in_order && all->due[t->n] >= all->last && loop_now(all->lp) >= all->due[t->n];
	all->last = all->due[t->n];
	all->fired++;
	loop_timer_close(all->timer[t->n]);
	all->timer[t->n] = NULL;
}

static void
test_loop(uint64_t seed)
{
	struct ticks all = {.in_order = true};
	struct tick tick[40];
	struct rng r;
	struct err e;

	rng_seed(&r, seed);
	if (loop_new(&all.lp, seed, &e) != 0)
		abort();
	for (unsigned i = 0; i < ARRAY_LEN(tick); i++) {
		tick[i] = (struct tick){&all, i};
		all.timer[i] = loop_timer_new(all.lp, on_tick, &tick[i]);
		loop_timer_arm(all.timer[i], between(&r, 0, 5000));
		all.due[i] = loop_now(all.lp) + between(&r, 0, 5000);
		loop_timer_arm(all.timer[i], all.due[i] - loop_now(all.lp));
	}
	for (unsigned i = 0; i < 5; i++)
		loop_timer_disarm(all.timer[i]);
	while (loop_sim_step(all.lp, loop_now(all.lp) + 10000))
		;
	expect(all.in_order, "timers fire out of order", seed);
	expect(all.fired == ARRAY_LEN(tick) - 5, "timers are lost", seed);
	expect(loop_sim_live(all.lp) == 5, "timers are miscounted", seed);
	for (unsigned i = 0; i < 5; i++)
		loop_timer_close(all.timer[i]);
	loop_close(all.lp);
}

static void
test_shard(struct history *h, const struct h_shard *sh, uint64_t seed)
{
	expect(history_shard(h, sh->id) == sh, "a shard is not found by its id", seed);
	expect(sh->closed >= sh->born && sh->gone_at >= sh->closed, "a shard ends before it begins",
	    seed);
	if (sh->parent != NULL) {
		expect(
		    sh->born >= sh->parent->closed, "a child is older than its parent's end", seed);
		expect(
		    seq_cmp(&sh->start, &sh->parent->end) > 0, "numbers fall in a lineage", seed);
		expect(sh->listed_from >= sh->parent->listed_from, "a child is listed first", seed);
	}
	for (unsigned i = 0; i < sh->count; i++) {
		struct h_event *ev = history_at(h, sh, i);

		expect(ev->index == i && history_event(h, sh, &ev->seq) == ev,
		    "an event is not found by its number", seed);
		expect(ev->at >= sh->born && ev->at < sh->closed, "an event outside of its shard",
		    seed);
		expect(seq_cmp(&ev->seq, &sh->start) > 0, "a number below the start", seed);
		expect(i == 0 || seq_cmp(&ev->seq, &history_at(h, sh, i - 1)->seq) > 0,
		    "numbers fall in a shard", seed);
		expect(i == 0 || ev->at >= history_at(h, sh, i - 1)->at, "times fall in a shard",
		    seed);
	}
}

static bool
descends(const struct h_shard *sh, const struct h_shard *from)
{
	while (sh != NULL && sh != from)
		sh = sh->parent;
	return sh != NULL;
}

/* A key's changes are in one lineage, in order: the ground the oracle stands
 * on. */
static void
test_keys(struct history *h, uint64_t seed)
{
	struct h_event **last = mem_array(h->keys, sizeof *last);

	for (unsigned i = 0; i < h->events; i++) {
		struct h_event *ev = &h->event[i], *before = last[ev->key];

		expect(ev->key_index == (before != NULL ? before->key_index + 1 : 0),
		    "a change of a key is missing", seed);
		expect(before == NULL || before->shard->stream != ev->shard->stream ||
			descends(ev->shard, before->shard),
		    "a key leaves its lineage", seed);
		last[ev->key] = ev;
	}
	free(last);
}

static void
test_history(uint64_t seed)
{
	struct scenario *sc = mem_new(sizeof *sc);
	struct history *h;

	scenario_draw(sc, seed);
	h = history_new(sc, LOOP_SIM_EPOCH);
	for (unsigned i = 0; i < h->shards; i++)
		test_shard(h, &h->shard[i], seed);
	test_keys(h, seed);
	for (unsigned t = 0; t < sc->tables; t++) {
		unsigned fed = 0;

		for (unsigned s = 0; s < sc->sinks; s++)
			fed += sc->sink[s].tables >> t & 1;
		expect(fed != 0, "a table feeds nobody", seed);
	}
	history_close(h);
	free(sc);
}

int
selftest(void)
{
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		test_loop(seed);
		test_history(seed);
	}
	(void)printf("self-test: %u failures\n", failures);
	return failures != 0;
}
