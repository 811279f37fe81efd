/* pipeline/lane.c - see lane.h: submitting, reports, breaker.
 *
 * Lists are touched in report(), the sink only from pump(), so a sink may
 * report from inside submit().
 */
#include "pipeline/lane_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mem.h"

static void settle_break(struct lane *ln);

const char *
lane_state_name(enum lane_state s)
{
	static const char *const names[] = {"running", "breaking", "broken", "probing", "halted"};

	return names[s];
}

static void
lane_set_state(struct lane *ln, enum lane_state to, const char *why)
{
	if (ln->state == to)
		return;
	assert(ln->state != LANE_HALTED);
	log_debug("lane", ln->name, "%s -> %s (%s)", lane_state_name(ln->state),
	    lane_state_name(to), why);
	ln->state = to;
}

static void
list_add(struct list *l, struct entry *en)
{
	en->next = NULL;
	if (l->last != NULL)
		l->last->next = en;
	else
		l->first = en;
	l->last = en;
}

static void
list_add_front(struct list *l, struct entry *en)
{
	en->next = l->first;
	l->first = en;
	if (l->last == NULL)
		l->last = en;
}

static struct entry *
list_take(struct list *l)
{
	struct entry *en = l->first;

	if (en == NULL)
		return NULL;
	l->first = en->next;
	if (l->first == NULL)
		l->last = NULL;
	en->next = NULL;
	return en;
}

static struct entry *
entry_of_link(struct key_link *l)
{
	return l != NULL ? CONTAINER_OF(l, struct entry, key) : NULL;
}

void
lane_pump_soon(struct lane *ln)
{
	loop_timer_arm(ln->pump_timer, 0);
}

static void
told_room(void *arg)
{
	struct lane *ln = arg;

	ln->host.room(ln->host.ctx, ln);
}

/* ---- done, one way or the other ---- */

static void
make_ready(struct lane *ln, struct entry *en)
{
	if (en == NULL || en->state != ENTRY_BLOCKED)
		return;
	en->state = ENTRY_READY;
	list_add(&ln->ready, en);
	if (ln->queued++ == 0)
		ln->queued_since = loop_now(ln->loop);
	ln->queued_bytes += (int64_t)en->d.rec->raw.n;
}

static void
entry_done(struct lane *ln, struct entry *en)
{
	struct parcel *pc = en->parcel;
	struct window *w = pc->window;
	bool moved;

	en->state = ENTRY_DONE;
	make_ready(ln, entry_of_link(key_order_leave(&ln->keys, &en->key)));
	moved = frontier_done(&w->frontier, en->ticket);
	if (--pc->left == 0) {
		parcel_close(pc);
		lane_gave_back(ln);
	}
	if (moved)
		ln->host.moved(ln->host.ctx, w);
}

static void
entry_acked(struct lane *ln, struct entry *en)
{
	ln->stats.acked++;
	ln->stats.bytes_acked += en->d.rec->raw.n;
	ln->stats.acked_at = loop_now(ln->loop);
	if (en->d.rec->created_us > 0)
		ln->stats.last_created_us = en->d.rec->created_us;
	entry_done(ln, en);
}

static void
entry_retry(struct lane *ln, struct entry *en, struct batch *b)
{
	if (b->due == 0) {
		struct backoff bo = {.base_us = ln->conf.retry_base_us,
		    .cap_us = ln->conf.retry_cap_us,
		    .attempt = en->attempts - 1};

		b->due = loop_now(ln->loop) + backoff_next(&bo, ln->loop);
	}
	b->retried++;
	ln->stats.retried++;
	en->state = ENTRY_WAITING;
	en->due = b->due;
	list_add(&ln->waiting, en);
}

static void
entry_reject(struct lane *ln, struct entry *en, const struct err *why)
{
	struct reject *rj = mem_new(sizeof *rj);

	ln->stats.rejected++;
	ln->rejects++;
	en->state = ENTRY_REJECTED;
	*rj = (struct reject){
	    .lane = ln,
	    .entry = en,
	    .rec = en->d.rec,
	    .origin = en->d.origin,
	    .reason = mem_strdup(why != NULL ? why->text : "no reason given"),
	    .attempts = en->attempts,
	    .first_us = en->first_us,
	    .last_us = loop_wall(ln->loop),
	};
	log_warn("lane", ln->name,
	    "record refused, kept as a dead letter stream=%s shard=%s why=\"%s\"",
	    rj->origin->stream, rj->origin->shard, rj->reason);
	ln->host.bury(ln->host.ctx, ln, rj);
}

static struct lane *
reject_over(struct reject *rj)
{
	struct lane *ln = rj->lane;

	assert(rj->entry->state == ENTRY_REJECTED);
	ln->rejects--;
	free(rj->reason);
	free(rj);
	return ln;
}

void
lane_buried(struct reject *rj)
{
	struct entry *en = rj->entry;
	struct lane *ln = reject_over(rj);

	entry_done(ln, en);
	settle_break(ln);
	lane_pump_soon(ln);
}

void
lane_unbury(struct reject *rj)
{
	struct entry *en = rj->entry;

	(void)reject_over(rj);
	en->state = ENTRY_WAITING;
}

/* ---- breaker and halt: let go of everything once nothing is out ---- */

static void
drop_all(struct lane *ln)
{
	ln->ready = ln->waiting = (struct list){NULL, NULL};
	ln->queued = ln->queued_bytes = 0;
	ln->stats.drops++;
	ln->wanted = false;
	ln->host.dropped(ln->host.ctx, ln);
}
static void
settle_break(struct lane *ln)
{
	if (ln->state != LANE_BREAKING || ln->out != 0 || ln->rejects != 0)
		return;
	if (ln->halting) {
		lane_set_state(ln, LANE_HALTED, "the sink cannot go on");
	} else {
		lane_set_state(ln, LANE_BROKEN, "failures in a row");
		loop_timer_arm(ln->breaker_timer, ln->breaker.until - loop_now(ln->loop));
	}
	drop_all(ln);
}

static void
begin_break(struct lane *ln, const char *why)
{
	if (ln->state == LANE_HALTED || ln->state == LANE_BREAKING)
		return;
	lane_set_state(ln, LANE_BREAKING, why);
	lane_pump_soon(ln); /* settles there, not inside a report */
}

static void
breaker_over(void *arg)
{
	struct lane *ln = arg;

	if (ln->state != LANE_BROKEN)
		return;
	if (!breaker_due(&ln->breaker, loop_now(ln->loop))) {
		loop_timer_arm(ln->breaker_timer, ln->breaker.until - loop_now(ln->loop));
		return;
	}
	lane_set_state(ln, LANE_PROBING, "time for a probe");
	ln->host.room(ln->host.ctx, ln);
}

static void
batch_settled(struct lane *ln, const struct batch *b)
{
	/* What was out when it broke decides nothing any more: the probe will. */
	if (ln->state == LANE_BREAKING)
		return;
	if (b->acked != 0 || b->retried == 0) {
		if (breaker_succeeded(&ln->breaker)) {
			log_info("lane", ln->name, "the sink works again");
			if (ln->state == LANE_PROBING)
				lane_set_state(ln, LANE_RUNNING, "the probe was answered");
			ln->host.room(ln->host.ctx, ln);
		}
		if (b->retried == 0)
			ln->stats.last_error[0] = '\0';
		return;
	}
	if (breaker_failed(&ln->breaker, loop_now(ln->loop))) {
		log_warn("lane", ln->name,
		    "%lld batches failed in a row; nothing is sent for %lld s why=\"%s\"",
		    (long long)ln->breaker.failures, (long long)(ln->breaker.open_us / USEC_SEC),
		    ln->stats.last_error);
		begin_break(ln, "breaker open");
	}
}

/* ---- reports ---- */

static void
note_error(struct lane *ln, const struct err *why)
{
	if (why != NULL)
		(void)snprintf(
		    ln->stats.last_error, sizeof ln->stats.last_error, "%.255s", why->text);
}

static void
on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct lane *ln = host;
	struct entry *en = CONTAINER_OF(d, struct entry, d);
	struct batch *b = en->batch;

	assert(en->state == ENTRY_OUT);
	en->batch = NULL;
	ln->out--;
	b->left--;
	if (v != SINK_ACK || ln->closing)
		key_order_back(&ln->keys, &en->key);
	if (ln->closing) {
		en->state = ENTRY_WAITING;
		if (b->left == 0)
			free(b);
		return;
	}
	switch (v) {
	case SINK_ACK:
		b->acked++;
		entry_acked(ln, en);
		break;
	case SINK_SPLIT:
	case SINK_RETRY:
		note_error(ln, why);
		log_debug("lane", ln->name, "retry attempt=%u why=\"%s\"", en->attempts,
		    ln->stats.last_error);
		entry_retry(ln, en, b);
		break;
	case SINK_REJECT:
		entry_reject(ln, en, why);
		break;
	case SINK_HALT:
		note_error(ln, why);
		entry_retry(ln, en, b);
		if (!ln->halting)
			log_error("lane", ln->name, "stopped: %s", ln->stats.last_error);
		ln->halting = true;
		begin_break(ln, "the sink said halt");
		break;
	}
	if (b->left == 0) {
		if (!ln->halting)
			batch_settled(ln, b);
		free(b);
	}
	lane_pump_soon(ln);
}

static void
on_ready(void *host)
{
	struct lane *ln = host;

	ln->full = false;
	lane_pump_soon(ln);
}

/* ---- submitting ---- */

/* Retries that are due become ready, or blocked behind an earlier one of
 * their key. Returns when the next is due; 0: none waits. */
static int64_t
release_waiting(struct lane *ln)
{
	int64_t now = loop_now(ln->loop), next = 0;
	struct entry *en, *rest = ln->waiting.first;

	ln->waiting = (struct list){NULL, NULL};
	while ((en = rest) != NULL) {
		rest = en->next;
		if (en->due > now) {
			if (next == 0 || en->due < next)
				next = en->due;
			list_add(&ln->waiting, en);
			continue;
		}
		en->state = ENTRY_BLOCKED;
		if (key_order_may(&ln->keys, &en->key))
			make_ready(ln, en);
	}
	return next;
}

static struct entry *
take_queued(struct lane *ln)
{
	struct window *w = ln->ring;
	struct entry *en;

	if (w == NULL)
		return NULL;
	en = w->first;
	w->first = en->next;
	en->next = NULL;
	if (w->first == NULL) {
		w->last = NULL;
		window_unring(w);
	} else {
		ln->ring = w->next;
	}
	return en;
}

static struct entry *
take_candidate(struct lane *ln)
{
	struct entry *en;

	while ((en = list_take(&ln->ready)) != NULL || (en = take_queued(ln)) != NULL) {
		ln->queued--;
		ln->queued_bytes -= (int64_t)en->d.rec->raw.n;
		if (key_order_may(&ln->keys, &en->key))
			return en;
		en->state = ENTRY_BLOCKED;
	}
	return NULL;
}

static size_t
batch_limit(const struct lane *ln)
{
	int64_t n = ln->conf.in_flight - ln->out;

	if (ln->state == LANE_PROBING)
		return ln->out == 0 ? 1 : 0;
	if (n > ln->conf.batch_count)
		n = ln->conf.batch_count;
	return n > 0 ? (size_t)n : 0;
}

static size_t
stage(struct lane *ln, size_t limit, struct batch *b)
{
	int64_t bytes = 0, wall = loop_wall(ln->loop);
	struct entry *en;
	size_t n = 0;

	while (n < limit && bytes < ln->conf.batch_bytes && (en = take_candidate(ln)) != NULL) {
		en->state = ENTRY_OUT;
		en->batch = b;
		en->attempts++;
		if (en->first_us == 0)
			en->first_us = wall;
		make_ready(ln, entry_of_link(key_order_out(&ln->keys, &en->key)));
		bytes += (int64_t)en->d.rec->raw.n;
		ln->staged[n++] = &en->d;
	}
	return n;
}

/* The sink took nothing: back to where they were, in order. */
static void
unstage(struct lane *ln, size_t n)
{
	while (n-- > 0) {
		struct entry *en = CONTAINER_OF(ln->staged[n], struct entry, d);

		key_order_back(&ln->keys, &en->key);
		en->attempts--;
		en->batch = NULL;
		en->state = ENTRY_READY;
		list_add_front(&ln->ready, en);
		ln->queued++;
		ln->queued_bytes += (int64_t)en->d.rec->raw.n;
	}
	ln->full = true;
}

/* How long the batch may still fill; 0: it goes now. */
static int64_t
linger_left(struct lane *ln)
{
	int64_t over = ln->queued_since + ln->conf.linger_us;
	int64_t now = loop_now(ln->loop);

	if (ln->queued >= ln->conf.batch_count || ln->queued_bytes >= ln->conf.batch_bytes ||
	    ln->state == LANE_PROBING)
		return 0;
	return over > now ? over - now : 0;
}

static bool
submit_one(struct lane *ln)
{
	size_t limit = batch_limit(ln), n;
	struct batch *b;

	if (limit == 0)
		return false;
	b = mem_new(sizeof *b);
	n = stage(ln, limit, b);
	if (n == 0) {
		free(b);
		return false;
	}
	b->left = n;
	ln->out += (int64_t)n;
	if (ln->ops->submit(ln->sink, ln->staged, n) == SINK_FULL) {
		ln->out -= (int64_t)n;
		unstage(ln, n);
		free(b);
		return false;
	}
	ln->stats.batches++;
	ln->queued_since = loop_now(ln->loop);
	return true;
}

static void
pump(void *arg)
{
	struct lane *ln = arg;
	int64_t next = 0, linger = 0;

	settle_break(ln);
	if (!lane_usable(ln))
		return;
	next = release_waiting(ln);
	while (!ln->full && ln->queued > 0) {
		linger = linger_left(ln);
		if (linger > 0 || !submit_one(ln))
			break;
		if (ln->state == LANE_BREAKING)
			return;
	}
	if (next != 0)
		next = next > loop_now(ln->loop) ? next - loop_now(ln->loop) : 1;
	if (linger > 0 && (next == 0 || linger < next))
		next = linger;
	/* A report during submit() has armed the timer for the next pass. */
	if (next != 0 && !loop_timer_armed(ln->pump_timer))
		loop_timer_arm(ln->pump_timer, next);
}

/* ---- the rest ---- */

bool
lane_usable(const struct lane *ln)
{
	return (ln->state == LANE_RUNNING || ln->state == LANE_PROBING) && !ln->stopped;
}

void
lane_stop(struct lane *ln)
{
	ln->stopped = true;
	loop_timer_disarm(ln->breaker_timer);
	if (ln->ops->flush != NULL)
		ln->ops->flush(ln->sink);
}

bool
lane_quiet(const struct lane *ln)
{
	return ln->out == 0 && ln->rejects == 0;
}

void
lane_set_share(struct lane *ln, int64_t bytes)
{
	ln->share = bytes;
}

enum lane_state
lane_state_get(const struct lane *ln)
{
	return ln->state;
}

const struct lane_stats *
lane_stats_get(const struct lane *ln)
{
	return &ln->stats;
}

const char *
lane_name(const struct lane *ln)
{
	return ln->name;
}

const struct sink_ops *
lane_ops(const struct lane *ln)
{
	return ln->ops;
}

int64_t
lane_held(const struct lane *ln)
{
	return ln->held;
}

int64_t
lane_out(const struct lane *ln)
{
	return ln->out;
}

struct breaker
lane_breaker(const struct lane *ln)
{
	return ln->breaker;
}

void
lane_sink_status(const struct lane *ln, struct buf *out)
{
	if (ln->ops->status != NULL && ln->sink != NULL)
		ln->ops->status(ln->sink, out);
}

int
lane_new(struct lane **out, struct loop *lp, const char *name, const struct sink_ops *ops,
    const void *sink_conf, const struct lane_conf *conf, const struct lane_host *host,
    struct err *e)
{
	struct lane *ln = mem_new(sizeof *ln);
	struct sink_env env = {
	    .loop = lp, .name = name, .host = ln, .report = on_report, .ready = on_ready};

	ln->loop = lp;
	ln->name = name;
	ln->ops = ops;
	ln->conf = *conf;
	ln->host = *host;
	ln->key = BUF_INIT(LIMIT_PAGE_BODY);
	ln->staged = mem_array((size_t)conf->batch_count, sizeof(struct delivery *));
	ln->by_shard = (ops->caps & SINK_CAP_SHARD_ORDER) != 0;
	key_order_init(&ln->keys, (ops->caps & SINK_CAP_KEY_ORDER) != 0);
	breaker_init(&ln->breaker, conf->breaker_failures, conf->breaker_open_us);
	ln->pump_timer = loop_timer_new(lp, pump, ln);
	ln->room_timer = loop_timer_new(lp, told_room, ln);
	ln->breaker_timer = loop_timer_new(lp, breaker_over, ln);
	if (ops->open(&ln->sink, &env, sink_conf, e) != 0) {
		lane_close(ln);
		return -1;
	}
	*out = ln;
	return 0;
}

void
lane_close_sink(struct lane *ln)
{
	ln->closing = ln->stopped = true;
	if (ln->sink != NULL)
		ln->ops->close(ln->sink);
	ln->sink = NULL;
	assert(ln->out == 0);
}

void
lane_close(struct lane *ln)
{
	if (ln == NULL)
		return;
	if (ln->sink != NULL)
		lane_close_sink(ln);
	loop_timer_close(ln->pump_timer);
	loop_timer_close(ln->room_timer);
	loop_timer_close(ln->breaker_timer);
	key_order_close(&ln->keys);
	buf_close(&ln->key);
	free(ln->staged);
	free(ln);
}
