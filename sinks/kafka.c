/* sinks/kafka.c - change records into Kafka topics, through librdkafka.
 *
 *   submit() -> a parcel: keys and values encoded into one buffer
 *            -> produce, message by message          librdkafka's threads -> brokers
 *   report() <- delivery reports <- main queue <- eventfd
 *
 * A record is done on its delivery report with acks=all, never when librdkafka has
 * accepted it. Order per key is kept by the idempotent producer with
 * message.timeout.ms=0 and enable.gapless.guarantee: librdkafka retries for ever,
 * and where it cannot go on it stops instead of leaving a hole. Then the
 * producer is replaced and the lane sends again (kafka_settle.c).
 * When librdkafka's queue is full, the rest of the parcel waits and the lane is
 * told FULL.
 *
 * Not here: retry, back-off, breaker, dead letters; they are the lane's.
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "record/format.h"
#include "sinks/kafka_reaper.h"
#include "sinks/route.h"
#include "sinks/template.h"

/* Values of one batch. Like the sinks that write text: four pages as they came. */
#define PARCEL_BYTES (4u * LIMIT_PAGE_BODY)
#define TOPIC_BYTES 1024u
/* Kafka's own limit for a topic's name. */
#define KAFKA_NAME_MAX 249u
/* A producer's connections should be closed before the next one sends, so that
 * nothing old arrives behind something new; but not at the price of standing still. */
#define REAP_US (5 * USEC_SEC)
#define REAP_MOST 4u
#define CLOSE_US (2 * USEC_SEC)

/* ---- sending ---- */

bool
kafka_may_submit(const struct sink *s)
{
	unsigned busy;

	if (s->p != NULL)
		return s->pending == NULL && !s->p->broken &&
		    (s->narrow == 0 || s->p->first == NULL);
	busy = kafka_reaper_busy(s->reaper);
	return busy == 0 || (busy < REAP_MOST && loop_now(s->env.loop) - s->let_go >= REAP_US);
}

/* librdkafka would not take it, and nothing of it is under way. */
static void
refused_here(struct sink *s, struct kafka_item *it, rd_kafka_resp_err_t code)
{
	struct kafka_producer *p = s->p;

	it->err = code;
	it->unsent = 0;
	it->here = true;
	if (kafka_verdict_of(code) == SINK_REJECT) {
		kafka_settle(s, it);
		return;
	}
	kafka_producer_spoil(p, it->topic->rkt, RD_KAFKA_PARTITION_UA);
	kafka_break(s, code, it->topic->name);
	if (it->out == 0)
		kafka_settle(s, it);
}

/* False: librdkafka has no room. */
static bool
send_item(struct sink *s, struct kafka_item *it)
{
	for (unsigned message = KAFKA_EVENT; message <= KAFKA_TOMBSTONE; message <<= 1) {
		rd_kafka_resp_err_t code;

		if ((it->unsent & message) == 0)
			continue;
		code = kafka_producer_send(s->p, it, message, s->conf->headers);
		/* What an event has reported fills it until that event is destroyed. With
		 * nothing under way there will never be room. */
		if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && (s->p->out > 0 || s->p->event != NULL))
			return false;
		if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			code = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
		if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
			refused_here(s, it, code);
			return true;
		}
		it->unsent &= (uint8_t)~message;
	}
	return true;
}

void
kafka_send_pending(struct sink *s)
{
	struct kafka_parcel *pc = s->pending;
	size_t count = pc->count;

	while (pc->sent < count) {
		if (!send_item(s, &pc->items[pc->sent]))
			return;
		/* Its last record may just have been refused, and the parcel gone. */
		if (pc->open == 0)
			break;
		pc->sent++;
		if (s->p->broken)
			return;
	}
	s->pending = NULL;
}

/* ---- taking records ---- */

static struct kafka_parcel *
parcel_take(struct sink *s, size_t count)
{
	struct kafka_parcel *pc = s->spare;

	if (pc != NULL)
		s->spare = pc->next;
	else
		pc = mem_new(sizeof *pc);
	if (pc->cap < count) {
		free(pc->items);
		pc->items = mem_array(count, sizeof *pc->items);
		pc->cap = count;
	}
	pc->next = pc->prev = NULL;
	pc->count = pc->open = pc->sent = 0;
	pc->alone = pc->refused = false;
	if (pc->bytes.p == NULL)
		pc->bytes = BUF_INIT(PARCEL_BYTES);
	buf_reset(&pc->bytes);
	return pc;
}

/* A broker would say so too, but of a whole request (Kafka's Topic.java has the rules). */
static int
check_routed(struct slice name, struct err *why)
{
	if (route_check(name, KAFKA_NAME_MAX, why) != 0)
		return err_prefix(why, "kafka");
	for (size_t i = 0; i < name.n; i++)
		if (!((name.p[i] >= 'a' && name.p[i] <= 'z') ||
			(name.p[i] >= 'A' && name.p[i] <= 'Z') ||
			(name.p[i] >= '0' && name.p[i] <= '9') || strchr("._-", name.p[i]) != NULL))
			return err_set(why, ERR_REFUSED,
			    "kafka: the route of this record holds what no topic's name may: only "
			    "letters, digits, '.', '_' and '-' of ASCII");
	if (slice_is(name, ".") || slice_is(name, ".."))
		return err_set(why, ERR_REFUSED, "kafka: no topic can be called . or ..");
	return 0;
}

static struct kafka_topic *
topic_of(struct sink *s, const struct delivery *d, struct err *why)
{
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__INVALID_ARG;
	struct kafka_topic *t;

	buf_reset(&s->name);
	if (!route_is_set(d))
		template_write(s->conf->topic, d->rec, d->origin, &s->name);
	else if (check_routed(d->route, why) == 0)
		buf_add_slice(&s->name, d->route);
	else
		return NULL;
	t = kafka_producer_topic(s->p, buf_cstr(&s->name), &code);
	if (t == NULL)
		(void)err_set(why, ERR_CONFIG, "kafka: topic %.249s: %s", buf_cstr(&s->name),
		    rd_kafka_err2str(code));
	return t;
}

/* False: there was no memory for it; nothing behind it may be taken. */
static bool
add_item(struct sink *s, struct kafka_parcel *pc, struct delivery *d, struct err *why)
{
	struct kafka_item *it = &pc->items[pc->count];
	struct kafka_topic *t = topic_of(s, d, why);

	*it = (struct kafka_item){.d = d, .parcel = pc, .topic = t};
	if (t == NULL) {
		s->env.report(
		    s->env.host, d, why->code == ERR_REFUSED ? SINK_REJECT : SINK_HALT, why);
		return true;
	}
	if (kafka_encode(s->conf, d, &pc->bytes, &it->key, &it->value, why) == 0) {
		it->unsent = (uint8_t)kafka_messages_of(s->conf, d->rec);
		pc->count++;
		pc->open++;
		return true;
	}
	/* Room was short because of what is before it, and the record perhaps not too large. */
	if (why->code == ERR_NOMEM || (why->code == ERR_LIMIT && pc->bytes.n > 0))
		return false;
	s->env.report(s->env.host, d, SINK_REJECT, why);
	return true;
}

static void
add_items(struct sink *s, struct kafka_parcel *pc, struct delivery *const *batch, size_t count)
{
	struct err why;
	bool room = true;

	for (size_t i = 0; i < count; i++) {
		if (room)
			room = add_item(s, pc, batch[i], &why);
		if (!room)
			s->env.report(s->env.host, batch[i], SINK_RETRY, &why);
	}
}

static int
start_producer(struct sink *s, struct err *e)
{
	if (kafka_producer_new(&s->p, s->rk_conf, e) != 0)
		return -1;
	s->io = loop_io_new(s->env.loop, s->p->fd, LOOP_READ, kafka_on_wake, s);
	/* librdkafka writes to fd when its queue stops being empty. It had something to
	 * say already, before it knew of the fd. */
	loop_timer_arm(s->more, 0);
	return 0;
}

static enum sink_admit
kafka_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	struct kafka_parcel *pc;
	struct err why;

	if (!kafka_may_submit(s)) {
		s->full = true;
		kafka_arm_watch(s);
		return SINK_FULL;
	}
	if (s->p == NULL && start_producer(s, &why) != 0) {
		for (size_t i = 0; i < count; i++)
			s->env.report(s->env.host, batch[i], SINK_RETRY, &why);
		return SINK_TAKEN;
	}
	if (s->p->first == NULL) {
		s->progress = loop_now(s->env.loop);
		s->p->down = s->p->refused = false;
	}
	pc = parcel_take(s, count);
	pc->alone = s->narrow > 0 && count == 1;
	add_items(s, pc, batch, count);
	if (pc->count == 0) {
		pc->next = s->spare;
		s->spare = pc;
		return SINK_TAKEN;
	}
	kafka_producer_add(s->p, pc);
	s->pending = pc;
	kafka_send_pending(s);
	if (s->p->broken)
		kafka_retire(s);
	kafka_arm_watch(s);
	return SINK_TAKEN;
}

/* ---- the life of it ---- */

static void
on_reaped(void *arg)
{
	kafka_maybe_ready(arg);
}

static void
kafka_close(struct sink *s)
{
	struct kafka_parcel *pc;
	struct err why;

	if (s == NULL)
		return;
	(void)err_retry(&why, ERR_CANCELLED, "kafka: closed before the broker had answered");
	s->full = false;
	if (s->p != NULL)
		kafka_abandon(s, SINK_RETRY, &why);
	kafka_reaper_close(s->reaper, CLOSE_US);
	loop_timer_close(s->more);
	loop_timer_close(s->watch);
	if (s->rk_conf != NULL)
		rd_kafka_conf_destroy(s->rk_conf);
	while ((pc = s->spare) != NULL) {
		s->spare = pc->next;
		kafka_parcel_free(pc);
	}
	buf_close(&s->name);
	free(s);
}

static int
kafka_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	s->env = *env;
	s->conf = conf;
	s->name = BUF_INIT(TOPIC_BYTES);
	s->more = loop_timer_new(env->loop, kafka_on_more, s);
	s->watch = loop_timer_new(env->loop, kafka_on_watch, s);
	/* The first producer now: what librdkafka refuses only when all is put
	 * together (certificates, SASL) is a matter of the configuration. */
	if (kafka_conf_make(conf, &s->rk_conf, e) != 0 ||
	    kafka_reaper_open(&s->reaper, env->loop, on_reaped, s, e) != 0 ||
	    start_producer(s, e) != 0) {
		kafka_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

static void
kafka_status(const struct sink *s, struct buf *out)
{
	size_t up = 0;

	for (size_t i = 0; i < s->stats.broker_count; i++)
		up += s->stats.brokers[i].up;
	buf_addf(out, "\"messages_waiting\":%zu", s->p != NULL ? s->p->out : 0);
	if (s->stats.known)
		buf_addf(out, ",\"brokers\":%zu,\"brokers_up\":%zu", s->stats.broker_count, up);
	buf_addf(out, ",\"producers\":%llu",
	    (unsigned long long)s->counts.rebuilt + (unsigned long long)s->counts.given_up + 1);
	if (s->p != NULL && s->p->trouble[0] != '\0') {
		buf_add_str(out, ",\"trouble\":");
		buf_add_json_string(out, slice_of(s->p->trouble));
	}
}

static void
broker_metrics(const struct sink *s, const struct kafka_broker_stats *b, struct metrics *m)
{
	const char *name = s->env.name;

	metrics_gauge(m, "slipring_kafka_broker_up", "Whether there is a connection to the broker.",
	    b->up, "sink", name, "broker", b->name, NULL);
	metrics_gauge(m, "slipring_kafka_broker_round_trip_seconds",
	    "Mean round trip to the broker while it was last measured.",
	    (double)b->rtt_avg_us / 1e6, "sink", name, "broker", b->name, NULL);
	metrics_gauge(m, "slipring_kafka_broker_round_trip_p99_seconds",
	    "99th percentile of the round trip to the broker while it was last measured.",
	    (double)b->rtt_p99_us / 1e6, "sink", name, "broker", b->name, NULL);
	metrics_gauge(m, "slipring_kafka_broker_requests",
	    "Requests the broker has not answered yet.", (double)b->waiting, "sink", name, "broker",
	    b->name, NULL);
	metrics_gauge(m, "slipring_kafka_broker_send_errors",
	    "Requests that could not be sent, since this producer was made.", (double)b->errors,
	    "sink", name, "broker", b->name, NULL);
	metrics_gauge(m, "slipring_kafka_broker_timeouts",
	    "Requests that timed out, since this producer was made.", (double)b->timeouts, "sink",
	    name, "broker", b->name, NULL);
}

static void
kafka_metrics(const struct sink *s, struct metrics *m)
{
	const char *name = s->env.name;

	metrics_gauge(m, "slipring_kafka_messages_waiting",
	    "Messages handed to librdkafka and not answered by a broker.",
	    s->p != NULL ? (double)s->p->out : 0, "sink", name, NULL);
	metrics_counter(m, "slipring_kafka_producers",
	    "Producers that were replaced after something failed.",
	    (double)(s->counts.rebuilt + s->counts.given_up), "sink", name, NULL);
	metrics_counter(m, "slipring_kafka_refused",
	    "Records in requests that a broker or librdkafka refused.", (double)s->counts.refused,
	    "sink", name, NULL);
	if (!s->stats.known)
		return;
	metrics_gauge(m, "slipring_kafka_queue_messages", "Messages in librdkafka's queues.",
	    (double)s->stats.messages, "sink", name, NULL);
	metrics_gauge(m, "slipring_kafka_queue_bytes", "Bytes in librdkafka's queues.",
	    (double)s->stats.bytes, "sink", name, NULL);
	for (size_t i = 0; i < s->stats.broker_count; i++)
		broker_metrics(s, &s->stats.brokers[i], m);
}

const struct sink_ops sink_kafka = {
    .api = SINK_API,
    .type = "kafka",
    .help = "Kafka topics, one message a change",
    .caps = SINK_CAP_KEY_ORDER,
    .conf_size = sizeof(struct kafka_conf),
    .keys = kafka_keys,
    .check = kafka_check,
    .probe = kafka_probe,
    .open = kafka_open,
    .submit = kafka_submit,
    .close = kafka_close,
    .status = kafka_status,
    .metrics = kafka_metrics,
};
