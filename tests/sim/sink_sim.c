/* tests/sim/sink_sim.c - see sink_sim.h.
 *
 *   submit -> item: apply_at (the target decides) ... report_at (we hear of it)
 *
 * What the target decided and what was reported are apart in time, and a
 * timeout may hide a success: RETRY for a record that is durable all the same.
 * A sink that keeps order applies the records of a key one after the other and
 * fails everything of that key behind a failure; one that does not applies and
 * reports in any order. Outages: RETRY for everything, FULL, silence, HALT.
 *
 * Which records are poison is a property of record and sink: such a record is
 * refused until somebody mends it. Some targets refuse the whole request it is in.
 */
#include "tests/sim/sink_sim.h"

#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/filter_sim.h"
#include "tests/sim/oracle.h"

struct item {
	struct delivery *d; /* borrowed until its report */
	struct h_event *ev;
	int64_t apply_at, report_at;
	bool applied;
	bool doomed;  /* an earlier record of the key failed */
	bool tainted; /* its request is refused as a whole */
	bool alone;   /* in its submit */
	bool replayed;
	uint64_t request;
	enum sink_verdict verdict;
};

struct sink {
	struct sink_target *target;
	struct sink_env env;
	struct loop_timer *timer; /* owned */
	struct loop_timer *ready; /* owned */
	struct item *items;	  /* owned; in order of submission */
	size_t count, cap;
	size_t wanted; /* deliveries that were refused for want of room; 0: none */
	uint64_t requests;
};

static const struct outage *
outage(const struct sink_target *t)
{
	if (t->w->calm)
		return NULL;
	for (unsigned i = 0; i < t->sc->outage_count; i++)
		if (span_has(&t->sc->outages[i].when, t->w))
			return &t->sc->outages[i];
	return NULL;
}

static bool
is_out(const struct sink_target *t, enum outage_kind kind)
{
	const struct outage *o = outage(t);

	return o != NULL && o->kind == kind;
}

/* With so tight a brake every poison wants a resume, and the calm has an end. */
bool
sink_sim_needs_people(const struct sink_target *t)
{
	const struct lane_conf *l = &t->sc->lane;

	return l->on_reject == LANE_HALT || (l->brake != 0 && l->brake < 4);
}

static bool
poison(const struct sink_target *t, const struct h_event *ev)
{
	struct rng r;

	if (is_out(t, OUTAGE_REJECT))
		return true;
	if (t->mended[ev->id] || (t->w->calm && sink_sim_needs_people(t)))
		return false;
	rng_seed(&r, t->w->sc.seed ^ (uint64_t)ev->id << 8 ^ t->number);
	return chance(&r, t->sc->reject);
}

/* The event behind a delivery, with everything the core says of it checked. */
static struct h_event *
event_of(struct sink *s, const struct delivery *d)
{
	struct world *w = s->target->w;
	struct h_shard *sh = history_shard(w->hist, d->origin->shard);
	struct h_event *ev = sh != NULL ? history_event(w->hist, sh, &d->rec->seq) : NULL;

	if (ev == NULL) {
		oracle_fail(w->oracle, T_OTHER, "sink %s was given a record that nobody wrote",
		    s->target->name);
		return NULL;
	}
	if (filter_sim_refuses(s->target, ev) || filter_sim_drops(s->target, ev))
		oracle_fail(w->oracle, T_OTHER, "sink %s was given event %u past its filter",
		    s->target->name, ev->id);
	if (!filter_sim_right(s->target, ev, d->rec->raw))
		oracle_fail(
		    w->oracle, T_OTHER, "the bytes of event %u are not what was written", ev->id);
	if (strcmp(d->origin->arn, sh->stream->arn) != 0 ||
	    strcmp(d->origin->label, sh->stream->label) != 0 ||
	    strcmp(d->origin->stream, sh->stream->table->name) != 0)
		oracle_fail(w->oracle, T_OTHER, "event %u came with the origin %s %s", ev->id,
		    d->origin->stream, d->origin->arn);
	return ev;
}

static void
rearm(struct sink *s)
{
	int64_t next = SIM_FOREVER, now = world_now(s->target->w);

	for (size_t i = 0; i < s->count; i++) {
		int64_t due = s->items[i].applied ? s->items[i].report_at : s->items[i].apply_at;

		if (due < next)
			next = due;
	}
	if (next < SIM_FOREVER)
		loop_timer_arm(s->timer, next - now);
	else
		loop_timer_disarm(s->timer);
}

/* Must b be applied after a, if a was given first? */
static bool
in_order(const struct sink *s, const struct h_event *a, const struct h_event *b)
{
	if (s->target->sc->shard_order)
		return a->shard == b->shard;
	return s->target->sc->key_order && a->key == b->key;
}

static bool
failure(enum sink_verdict v)
{
	return v == SINK_RETRY || v == SINK_HALT || v == SINK_SPLIT;
}

/* A request that is refused is refused for all of it. */
static void
doom_followers(struct sink *s, size_t i)
{
	const struct item *it = &s->items[i];

	for (size_t k = i + 1; k < s->count; k++)
		if (in_order(s, it->ev, s->items[k].ev) && !s->items[k].applied &&
		    !(it->verdict == SINK_SPLIT && s->items[k].request == it->request))
			s->items[k].doomed = true;
}

static enum sink_verdict
judge(struct sink *s, const struct item *it)
{
	struct sink_target *t = s->target;

	if (it->doomed || is_out(t, OUTAGE_RETRY))
		return SINK_RETRY;
	if (is_out(t, OUTAGE_HALT))
		return SINK_HALT;
	if (it->tainted)
		return SINK_SPLIT;
	if (poison(t, it->ev) && !t->sc->splits)
		return SINK_REJECT;
	return !t->w->calm && chance(&t->rng, t->sc->retry) ? SINK_RETRY : SINK_ACK;
}

/* A sink of key order keeps a history: a replay is one more entry in it. */
static void
target_has(struct sink_target *t, const struct item *it)
{
	if (!it->replayed || !t->sc->key_order)
		oracle_durable(t->w->oracle, t->number, it->ev);
}

static void
apply(struct sink *s, size_t i)
{
	struct item *it = &s->items[i];
	struct sink_target *t = s->target;

	if (is_out(t, OUTAGE_SILENT)) {
		it->apply_at = t->w->start + outage(t)->when.to;
		return;
	}
	it->applied = true;
	it->verdict = judge(s, it);
	it->report_at = world_now(t->w) + between(&t->rng, 0, t->sc->answer_us);
	if (it->verdict == SINK_ACK ||
	    (it->verdict == SINK_RETRY && !it->doomed && !it->tainted && !poison(t, it->ev) &&
		chance(&t->rng, t->sc->ambiguous)))
		target_has(t, it);
	if (failure(it->verdict))
		doom_followers(s, i);
}

static void
report(struct sink *s, size_t i)
{
	static const enum total counts[] = {
	    T_DELIVERIES, T_SINK_RETRIES, T_SINK_REJECTS, T_SINK_HALTS, T_SINK_SPLITS};
	static const char *const words[] = {"ACK", "RETRY", "REJECT", "HALT", "SPLIT"};
	struct item it = s->items[i];
	struct sink_target *t = s->target;
	struct err why;

	s->count--;
	memmove(s->items + i, s->items + i + 1, (s->count - i) * sizeof *s->items);
	if (!filter_sim_right(t, it.ev, it.d->rec->raw))
		oracle_fail(
		    t->w->oracle, T_OTHER, "event %u changed while it was in flight", it.ev->id);
	if (it.verdict != SINK_ACK)
		count(t->w, counts[it.verdict]);
	if (it.verdict == SINK_HALT)
		t->halted = true;
	TRACE(&t->w->trace, 60 + it.verdict, it.ev->id, "%s: %s event %u (%u of %s)", t->name,
	    words[it.verdict], it.ev->id, it.ev->index, it.ev->shard->id);
	(it.replayed ? oracle_replayed : oracle_report)(t->w->oracle, t->number, it.ev,
	    it.verdict == SINK_SPLIT && it.alone ? SINK_REJECT : it.verdict);
	if (it.verdict == SINK_RETRY)
		(void)err_retry(&why, ERR_NETWORK, "sim: try again");
	else
		(void)err_set(&why, ERR_REFUSED, "sim: no");
	s->env.report(s->env.host, it.d, it.verdict, it.verdict == SINK_ACK ? NULL : &why);
}

static bool
has_room(const struct sink *s, size_t n)
{
	return s->count == 0 || s->count + n <= s->target->sc->capacity;
}

/* Loose sinks answer what is due from a drawn place on, round the list. */
static void
on_timer(void *arg)
{
	struct sink *s = arg;
	int64_t now = world_now(s->target->w);
	size_t from = 0;

	if (!s->target->sc->key_order && s->count != 0)
		from = (size_t)rng_below(&s->target->rng, s->count);
	for (size_t k = 0; k < s->count; k++) {
		size_t i = (from + k) % s->count;

		if (!s->items[i].applied && s->items[i].apply_at <= now)
			apply(s, i);
	}
	for (size_t i = s->count; i-- > 0;)
		if (s->items[i].applied && s->items[i].report_at <= now)
			report(s, i);
	if (s->wanted != 0 && has_room(s, s->wanted)) {
		s->wanted = 0;
		loop_timer_arm(s->ready, 0);
	}
	rearm(s);
}

static void
on_ready(void *arg)
{
	struct sink *s = arg;

	s->env.ready(s->env.host);
}

static int
sink_sim_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	(void)e;
	s->target = (struct sink_target *)(uintptr_t)conf;
	s->env = *env;
	s->timer = loop_timer_new(env->loop, on_timer, s);
	s->ready = loop_timer_new(env->loop, on_ready, s);
	*out = s;
	return 0;
}

static bool
refuses(struct sink *s, size_t n)
{
	struct sink_target *t = s->target;
	int64_t wait = between(&t->rng, 0, t->sc->answer_us * 2);

	if (is_out(t, OUTAGE_FULL))
		wait = t->w->start + outage(t)->when.to - world_now(t->w);
	else if (!has_room(s, n))
		wait = SIM_FOREVER;
	else if (t->w->calm || !chance(&t->rng, t->sc->full))
		return false;
	count(t->w, T_SINK_FULLS);
	if (wait != SIM_FOREVER)
		loop_timer_arm(s->ready, wait);
	else
		s->wanted = n;
	return true;
}

static int64_t
apply_time(struct sink *s, const struct h_event *ev)
{
	struct sink_target *t = s->target;
	int64_t at = world_now(t->w) + between(&t->rng, 0, t->sc->answer_us * 2);

	if (!t->w->calm && rng_below(&t->rng, 100) == 0)
		at += between(&t->rng, 0, t->sc->answer_us * 50);
	for (size_t i = 0; i < s->count && t->sc->key_order; i++)
		if (in_order(s, s->items[i].ev, ev) && s->items[i].apply_at > at)
			at = s->items[i].apply_at;
	return at;
}

/* Is there a failure of this key that the lane has not heard of yet? */
static bool
behind(const struct sink *s, const struct h_event *ev)
{
	for (size_t i = 0; i < s->count && s->target->sc->key_order; i++) {
		const struct item *it = &s->items[i];

		if (in_order(s, it->ev, ev) &&
		    (it->doomed || (it->applied && failure(it->verdict))))
			return true;
	}
	return false;
}

static void
taint_requests(struct sink *s, size_t from)
{
	struct sink_target *t = s->target;

	for (size_t i = from; i < s->count; i++) {
		if ((i - from) % t->sc->request_count == 0)
			s->requests++;
		s->items[i].request = s->requests;
		s->items[i].alone = s->count - from == 1;
		if (!t->sc->splits || !poison(t, s->items[i].ev))
			continue;
		for (size_t k = from; k < s->count; k++)
			if ((k - from) / t->sc->request_count == (i - from) / t->sc->request_count)
				s->items[k].tainted = true;
	}
}

static enum sink_admit
sink_sim_submit(struct sink *s, struct delivery *const *batch, size_t n)
{
	struct sink_target *t = s->target;

	if (n == 0)
		oracle_fail(t->w->oracle, T_OTHER, "sink %s was given an empty batch", t->name);
	if (refuses(s, n))
		return SINK_FULL;
	loop_timer_disarm(s->ready);
	s->wanted = 0;
	for (size_t i = 0; i < n; i++) {
		struct h_event *ev = event_of(s, batch[i]);

		if (ev == NULL) {
			(void)fprintf(stderr, "sim: %s\n", t->w->oracle->failure);
			abort();
		}
		TRACE(&t->w->trace, 65, ev->id, "%s: given event %u (%u of %s), key %u", t->name,
		    ev->id, ev->index, ev->shard->id, ev->key);
		if (batch[i]->replayed)
			oracle_replay(t->w->oracle, t->number, ev);
		else
			oracle_submit(t->w->oracle, t->number, ev, batch[i]->key_hash);
		if (s->count == s->cap)
			s->items = mem_grow(s->items, s->cap = 2 * s->cap + 16, sizeof *s->items);
		s->items[s->count] = (struct item){.d = batch[i],
		    .ev = ev,
		    .replayed = batch[i]->replayed,
		    .apply_at = apply_time(s, ev),
		    .doomed = behind(s, ev)};
		s->count++;
	}
	taint_requests(s, s->count - n);
	/* Some sinks answer before submit() returns. */
	if (s->count == n && rng_below(&t->rng, 16) == 0) {
		for (size_t i = 0; i < n; i++)
			s->items[i].apply_at = world_now(t->w);
		on_timer(s);
	}
	rearm(s);
	return SINK_TAKEN;
}

static void
sink_sim_flush(struct sink *s)
{
	for (size_t i = 0; i < s->count; i++)
		if (!is_out(s->target, OUTAGE_SILENT) && !s->items[i].applied)
			s->items[i].apply_at = world_now(s->target->w);
	rearm(s);
}

/* What was under way when the process died may have arrived all the same. */
static void
last_words(struct sink *s)
{
	struct sink_target *t = s->target;

	for (size_t i = 0; i < s->count; i++) {
		struct item *it = &s->items[i];

		if (it->applied || it->doomed)
			continue;
		if (it->tainted) {
			it->verdict = SINK_SPLIT;
			doom_followers(s, i);
		} else if (poison(t, it->ev)) {
			mark_of(t->w->oracle, t->number, it->ev)->refused = true; /* unheard */
		} else if (rng_below(&t->rng, 2) == 0) {
			target_has(t, it);
		} else {
			doom_followers(s, i);
		}
	}
}

static void
sink_sim_close(struct sink *s)
{
	if (s->target->w->dead)
		last_words(s);
	while (s->count > 0) {
		s->items[s->count - 1].verdict = SINK_RETRY;
		report(s, s->count - 1);
	}
	loop_timer_close(s->timer);
	loop_timer_close(s->ready);
	free(s->items);
	free(s);
}

static const struct conf_key no_keys[] = {{.name = NULL}};

const struct sink_ops sink_sim_shard = {
    .api = SINK_API,
    .type = "sim-shard",
    .help = "a sink that needs and keeps the order of a shard",
    .caps = SINK_CAP_KEY_ORDER | SINK_CAP_SHARD_ORDER,
    .keys = no_keys,
    .open = sink_sim_open,
    .submit = sink_sim_submit,
    .flush = sink_sim_flush,
    .close = sink_sim_close,
};

const struct sink_ops sink_sim_ordered = {
    .api = SINK_API,
    .type = "sim-ordered",
    .help = "a sink that keeps the order of a key",
    .caps = SINK_CAP_KEY_ORDER,
    .keys = no_keys,
    .open = sink_sim_open,
    .submit = sink_sim_submit,
    .flush = sink_sim_flush,
    .close = sink_sim_close,
};

const struct sink_ops sink_sim_loose = {
    .api = SINK_API,
    .type = "sim-loose",
    .help = "a sink that keeps no order",
    .caps = SINK_CAP_OVERWRITES,
    .keys = no_keys,
    .open = sink_sim_open,
    .submit = sink_sim_submit,
    .close = sink_sim_close,
};

void
sink_target_init(struct sink_target *t, struct world *w, unsigned number)
{
	*t = (struct sink_target){.w = w, .number = number, .sc = &w->sc.sink[number]};
	(void)snprintf(t->name, sizeof t->name, "s%u", number);
	rng_seed(&t->rng, w->sc.seed ^ UINT64_C(0x73696e6b) << 8 ^ number);
	t->mended = mem_array(w->hist->events, sizeof *t->mended);
}

void
sink_target_close(struct sink_target *t)
{
	free(t->mended);
}
