/* sinks/kafka_settle.c - from librdkafka's events to reports, and what follows
 * from a failure.
 *
 *   delivery reports -> ACK
 *   a message failed -> its partition is spoiled: what was behind it is RETRY even if it
 *                       was delivered, since the one before it comes again later.
 *                       enable.gapless.guarantee makes librdkafka stop there, so next
 *                       to nothing is.
 *                    -> the producer retires: its queue is purged, what is in flight is
 *                       waited for, then the reaper gets it and the next submit makes another
 *   a request was refused for one record's sake -> SPLIT, and from then on one
 *                       submit at a time, so that halving it halves the request
 *   silence          -> everything back (RETRY, or HALT if credentials were refused)
 */
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "sinks/kafka_reaper.h"
#include "sinks/route.h"

/* Reports a pass, so that the loop turns: some 0.3 ms of the lane's work. */
#define REPORTS_A_PASS 1000
/* Submits without a refusal before several are under way again. */
#define NARROW_SUBMITS 32
/* What is in flight when something failed is answered within a round trip; if not,
 * it is worth a repeat, not a wait. */
#define RETIRE_US (5 * USEC_SEC)
#define WATCH_US (200 * USEC_MS)

/* ---- reports ---- */

static void
keep_spare(struct sink *s, struct kafka_parcel *pc)
{
	/* One large record should not hold its memory for ever. */
	if (pc->bytes.cap > (8u << 20))
		buf_close(&pc->bytes);
	pc->next = s->spare;
	s->spare = pc;
}

static void
item_over(struct sink *s, struct kafka_item *it)
{
	struct kafka_parcel *pc = it->parcel;

	it->d = NULL;
	if (--pc->open > 0)
		return;
	if (pc->refused)
		s->narrow = NARROW_SUBMITS;
	else if (s->narrow > 0)
		s->narrow--;
	kafka_producer_remove(s->p, pc);
	keep_spare(s, pc);
}

/* What a failure means here, beyond what its code says by itself. */
static enum sink_verdict
verdict_here(const struct sink *s, const struct kafka_item *it)
{
	enum sink_verdict v = kafka_verdict_of(it->err);

	/* A broker that has just started may not know its topics yet. The next
	 * producer has never seen it either, and gives it time. */
	if (v == SINK_HALT && kafka_is_unknown(it->err) && it->topic->seen)
		return SINK_RETRY;
	/* A name out of the record: the others have their topics. */
	if (v == SINK_HALT && route_is_set(it->d) &&
	    (kafka_is_unknown(it->err) || it->err == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION))
		return SINK_REJECT;
	if (v == SINK_RETRY && s->p->halt)
		return SINK_HALT;
	/* The broker refuses requests, not records: what else was in this one? */
	if (v == SINK_REJECT && !it->here && !it->parcel->alone)
		return it->parcel->count > 1 ? SINK_SPLIT : SINK_RETRY;
	return v;
}

/* librdkafka's own words speak of a broker that has never seen it. */
static void
why_too_large(const struct sink *s, const struct kafka_item *it, struct err *why)
{
	char most[24] = "";
	size_t n = sizeof most;

	(void)rd_kafka_conf_get(s->rk_conf, "message.max.bytes", most, &n);
	(void)err_set(why, ERR_REFUSED,
	    "kafka: topic %.249s: a message of %zu bytes is more than the property "
	    "message.max.bytes allows (%s)",
	    it->topic->name, it->key.n + it->value.n, most);
}

static void
why_of(const struct sink *s, const struct kafka_item *it, struct err *why)
{
	switch (it->err) {
	case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
		if (it->here)
			why_too_large(s, it, why);
		else
			kafka_why(why, it->err, it->topic->name);
		break;
	case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
	case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
	case RD_KAFKA_RESP_ERR__FATAL:
	case RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE:
	case RD_KAFKA_RESP_ERR__RETRY:
		*why = s->p->why;
		break;
	default:
		kafka_why(why, it->err, it->topic->name);
	}
}

void
kafka_break(struct sink *s, rd_kafka_resp_err_t code, const char *topic)
{
	struct kafka_producer *p = s->p;
	char text[400];
	rd_kafka_resp_err_t fatal = rd_kafka_fatal_error(p->rk, text, sizeof text);

	if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR && kafka_verdict_of(fatal) == SINK_HALT)
		p->halt = true;
	if (p->broken)
		return;
	p->broken = true;
	if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR)
		(void)err_retry(&p->why, ERR_NETWORK, "kafka: the producer cannot go on: %s", text);
	else
		kafka_why(&p->why, code, topic);
}

void
kafka_settle(struct sink *s, struct kafka_item *it)
{
	struct delivery *d = it->d;
	enum sink_verdict v;
	struct err why;

	if (it->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		s->counts.acked++;
		item_over(s, it);
		s->env.report(s->env.host, d, SINK_ACK, NULL);
		return;
	}
	v = verdict_here(s, it);
	why_of(s, it, &why);
	if (kafka_verdict_of(it->err) == SINK_REJECT) {
		it->parcel->refused = it->parcel->refused || !it->here;
		s->counts.refused++;
	}
	item_over(s, it);
	s->env.report(s->env.host, d, v, &why);
}

static void
on_message(struct sink *s, const rd_kafka_message_t *m)
{
	struct kafka_producer *p = s->p;
	struct kafka_item *it = m->_private;

	it->out--;
	p->out--;
	if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		if (it->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			it->err = m->err;
		kafka_producer_spoil(p, m->rkt, m->partition);
		kafka_break(s, m->err, it->topic->name);
	} else if (kafka_producer_spoiled(p, m->rkt, m->partition)) {
		it->err = RD_KAFKA_RESP_ERR__RETRY;
	} else {
		it->topic->seen = true;
		p->down = p->refused = false;
		p->trouble[0] = '\0';
		s->silent = 0;
	}
	if (it->out == 0 && it->unsent == 0)
		kafka_settle(s, it);
}

/* ---- the other events ---- */

static void
on_error(struct sink *s, rd_kafka_event_t *ev)
{
	struct kafka_producer *p = s->p;
	rd_kafka_resp_err_t code = rd_kafka_event_error(ev);
	const char *text = rd_kafka_event_error_string(ev);

	log_debug("kafka", s->env.name, "librdkafka: %s", text);
	if (rd_kafka_event_error_is_fatal(ev) || code == RD_KAFKA_RESP_ERR__FATAL) {
		kafka_break(s, code, NULL);
		return;
	}
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
		p->down = true;
	if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION)
		p->refused = true;
	/* "All brokers are down" says less than what was said before it; and a refusal
	 * more than the broken connections that come with it. */
	if (p->trouble[0] == '\0' ||
	    (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN &&
		(!p->refused || code == RD_KAFKA_RESP_ERR__AUTHENTICATION)))
		(void)snprintf(p->trouble, sizeof p->trouble, "%s", text);
}

static void
on_log(const struct sink *s, rd_kafka_event_t *ev)
{
	const char *facility, *text;
	int level;

	/* What matters comes as an error, too. */
	if (rd_kafka_event_log(ev, &facility, &text, &level) == 0)
		log_debug("kafka", s->env.name, "librdkafka: %s: %s", facility, text);
}

static void
on_stats(struct sink *s, rd_kafka_event_t *ev)
{
	const char *json = rd_kafka_event_stats(ev);

	if (json != NULL)
		(void)kafka_stats_parse(json, strlen(json), &s->stats);
}

/* True: the event has been worked through. */
static bool
on_event(struct sink *s, rd_kafka_event_t *ev, unsigned *budget)
{
	const rd_kafka_message_t *m;

	switch (rd_kafka_event_type(ev)) {
	case RD_KAFKA_EVENT_DR:
		while (*budget > 0) {
			m = rd_kafka_event_message_next(ev);
			if (m == NULL)
				return true;
			on_message(s, m);
			(*budget)--;
		}
		s->progress = loop_now(s->env.loop);
		return false;
	case RD_KAFKA_EVENT_ERROR:
		on_error(s, ev);
		break;
	case RD_KAFKA_EVENT_LOG:
		on_log(s, ev);
		break;
	case RD_KAFKA_EVENT_STATS:
		on_stats(s, ev);
		break;
	default:
		break;
	}
	return true;
}

static void
drain(struct sink *s)
{
	unsigned budget = REPORTS_A_PASS;
	struct kafka_producer *p = s->p;

	while (budget > 0) {
		if (p->event == NULL)
			p->event = rd_kafka_queue_poll(p->queue, 0);
		if (p->event == NULL)
			return;
		if (!on_event(s, p->event, &budget))
			break;
		if (rd_kafka_event_type(p->event) == RD_KAFKA_EVENT_DR)
			s->progress = loop_now(s->env.loop);
		rd_kafka_event_destroy(p->event);
		p->event = NULL;
	}
	loop_timer_arm(s->more, 0);
}

static void
give_to_reaper(struct sink *s)
{
	struct kafka_producer *p = s->p;

	s->p = NULL;
	s->pending = NULL;
	s->let_go = loop_now(s->env.loop);
	loop_io_close(s->io);
	s->io = NULL;
	loop_timer_disarm(s->more);
	kafka_reaper_give(s->reaper, p);
	kafka_arm_watch(s);
}

static void
after_events(struct sink *s)
{
	if (s->pending != NULL && !s->p->broken)
		kafka_send_pending(s);
	if (s->p->broken && !s->p->retiring)
		kafka_retire(s);
	else if (s->p->retiring && s->p->first == NULL)
		give_to_reaper(s);
	kafka_maybe_ready(s);
}

void
kafka_on_wake(void *arg, int fd, unsigned events)
{
	struct sink *s = arg;
	uint64_t n;

	(void)events;
	(void)!read(fd, &n, sizeof n);
	drain(s);
	after_events(s);
}

void
kafka_on_more(void *arg)
{
	struct sink *s = arg;

	if (s->p == NULL)
		return;
	drain(s);
	after_events(s);
}

void
kafka_maybe_ready(struct sink *s)
{
	if (!s->full || !kafka_may_submit(s))
		return;
	s->full = false;
	s->env.ready(s->env.host);
}

/* ---- failures ---- */

/* What librdkafka was not given yet comes again behind what failed. */
static void
drop_pending(struct sink *s)
{
	struct kafka_parcel *pc = s->pending;
	size_t left;

	s->pending = NULL;
	if (pc == NULL)
		return;
	left = pc->open;
	for (size_t i = pc->sent; i < pc->count && left > 0; i++) {
		struct kafka_item *it = &pc->items[i];

		if (it->d == NULL)
			continue;
		left--;
		if (it->unsent != 0 && it->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			it->err = RD_KAFKA_RESP_ERR__RETRY;
		it->unsent = 0;
		if (it->out == 0)
			kafka_settle(s, it);
	}
}

void
kafka_retire(struct sink *s)
{
	struct kafka_producer *p = s->p;

	p->retiring = true;
	s->counts.rebuilt++;
	s->let_go = loop_now(s->env.loop);
	log_info("kafka", s->env.name, "a new producer is made why=\"%s\"", p->why.text);
	(void)rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	drop_pending(s);
	kafka_arm_watch(s);
	if (p->first == NULL)
		give_to_reaper(s);
}

void
kafka_abandon(struct sink *s, enum sink_verdict v, const struct err *why)
{
	struct kafka_producer *p = s->p;

	for (struct kafka_parcel *pc = p->first; pc != NULL; pc = pc->next)
		for (size_t i = 0; i < pc->count; i++) {
			struct delivery *d = pc->items[i].d;

			if (d == NULL)
				continue;
			pc->items[i].d = NULL;
			s->env.report(s->env.host, d, v, why);
		}
	give_to_reaper(s);
}

/* ---- silence ---- */

/* What was unreachable a moment ago, and is refused again, need not be waited for
 * as long as what may come back on its own: the lane has its pauses, too. */
static int64_t
patience(const struct sink *s)
{
	int64_t us = s->conf->timeout_us;
	bool away = s->p->down || s->p->refused;

	if (away && s->silent > 0)
		return us / 30;
	return away || s->silent > 0 ? us / 3 : us;
}

static void
give_up(struct sink *s, int64_t waited)
{
	struct kafka_producer *p = s->p;
	enum sink_verdict v = p->refused ? SINK_HALT : SINK_RETRY;
	struct err why;

	if (p->refused)
		(void)err_set(
		    &why, ERR_AUTH, "kafka: the brokers refuse our credentials: %s", p->trouble);
	else if (p->down)
		(void)err_retry(
		    &why, ERR_NETWORK, "kafka: no broker can be reached: %s", p->trouble);
	else
		(void)err_retry(&why, ERR_NETWORK,
		    "kafka: the brokers have not answered for %lld s%s%s",
		    (long long)(waited / USEC_SEC), p->trouble[0] != '\0' ? ": " : "", p->trouble);
	if (s->silent++ == 0)
		log_warn("kafka", s->env.name, "records are given back messages=%zu why=\"%s\"",
		    p->out, why.text);
	s->counts.given_up++;
	kafka_abandon(s, v, &why);
}

void
kafka_arm_watch(struct sink *s)
{
	if (!loop_timer_armed(s->watch))
		loop_timer_arm(s->watch, WATCH_US);
}

void
kafka_on_watch(void *arg)
{
	struct sink *s = arg;
	int64_t now = loop_now(s->env.loop);

	if (s->p != NULL && s->p->retiring) {
		if (now - s->let_go >= RETIRE_US) {
			struct err why = s->p->why;

			kafka_abandon(s, s->p->halt ? SINK_HALT : SINK_RETRY, &why);
		}
	} else if (s->p != NULL && s->p->first != NULL && now - s->progress >= patience(s)) {
		give_up(s, now - s->progress);
	}
	kafka_maybe_ready(s);
	if (s->full || (s->p != NULL && s->p->first != NULL))
		kafka_arm_watch(s);
}
