/* tests/sim/filter_sim.c - see filter_sim.h. */
#include "tests/sim/filter_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "tests/sim/oracle.h"

struct filter {
	struct sink_target *target;
	char image[64];
};

enum act { KEEP, DROP, REWRITE };

static struct rng
rng_of(const struct sink_target *t, const struct h_event *ev)
{
	struct rng r;

	rng_seed(
	    &r, t->w->sc.seed ^ UINT64_C(0x66696c74) << 16 ^ (uint64_t)ev->id << 4 ^ t->number);
	return r;
}

/* What becomes of it where it is not refused. */
static enum act
act_of(const struct sink_target *t, const struct h_event *ev)
{
	struct rng r = rng_of(t, ev);

	(void)rng_next(&r);
	if (chance(&r, t->sc->filter.drop))
		return DROP;
	return chance(&r, t->sc->filter.rewrite) ? REWRITE : KEEP;
}

bool
filter_sim_refuses(const struct sink_target *t, const struct h_event *ev)
{
	struct rng r = rng_of(t, ev);

	if (t->mended[ev->id] || (t->w->calm && sink_sim_needs_people(t)))
		return false;
	return chance(&r, t->sc->filter.refuse);
}

bool
filter_sim_drops(const struct sink_target *t, const struct h_event *ev)
{
	return !filter_sim_refuses(t, ev) && act_of(t, ev) == DROP;
}

static void
made_of(const struct h_event *ev, char *out, size_t n)
{
	(void)snprintf(out, n, "{\"made\":{\"N\":\"%u\"}}", ev->id);
}

bool
filter_sim_right(const struct sink_target *t, const struct h_event *ev, struct slice raw)
{
	char image[64], member[96];

	if (act_of(t, ev) != REWRITE)
		return slice_eq(raw, history_json(t->w->hist, ev));
	made_of(ev, image, sizeof image);
	(void)snprintf(member, sizeof member, "\"NewImage\":%s", image);
	return memmem(raw.p, raw.n, member, strlen(member)) != NULL;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	struct sink_target *t = f->target;
	struct h_shard *sh = history_shard(t->w->hist, o->shard);
	struct h_event *ev = sh != NULL ? history_event(t->w->hist, sh, &r->seq) : NULL;

	if (ev == NULL || !slice_eq(r->raw, history_json(t->w->hist, ev))) {
		oracle_fail(t->w->oracle, T_OTHER,
		    "the filter of %s was given what is not as it was written", t->name);
		return FILTER_KEEP;
	}
	if (filter_sim_refuses(t, ev)) {
		count(t->w, T_FILTER_REFUSED);
		oracle_filter_refused(t->w->oracle, t->number, ev);
		(void)err_set(why, ERR_REFUSED, "sim: no");
		if (ev->id % 2 == 0)
			return FILTER_REJECT;
		(void)snprintf(f->image, sizeof f->image, "{\"half\":");
		r->new_image = slice_of(f->image);
		return FILTER_REWRITE;
	}
	switch (act_of(t, ev)) {
	case KEEP:
		break;
	case DROP:
		count(t->w, T_FILTERED);
		oracle_filtered(t->w->oracle, t->number, ev);
		return FILTER_DROP;
	case REWRITE:
		made_of(ev, f->image, sizeof f->image);
		r->new_image = slice_of(f->image);
		return FILTER_REWRITE;
	}
	return FILTER_KEEP;
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	(void)name;
	(void)e;
	*out = mem_new(sizeof **out);
	(*out)->target = (struct sink_target *)(uintptr_t)conf;
	return 0;
}

static void
close_filter(struct filter *f)
{
	free(f);
}

static const struct filter_ops filter_sim = {
    .api = FILTER_API, .type = "sim", .open = open_filter, .apply = apply, .close = close_filter};

struct chain *
filter_sim_chain(struct sink_target *t)
{
	struct chain *c;
	struct err e;

	if (!t->sc->filter.on)
		return NULL;
	c = chain_new();
	if (chain_add(c, "sim", &filter_sim, t, &e) != 0)
		abort();
	return c;
}
