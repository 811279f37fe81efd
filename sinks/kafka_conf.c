/* sinks/kafka_conf.c - the sink's keys, and librdkafka's properties.
 *
 * Every property of librdkafka may be set, but for those that our guarantee
 * stands on, or that we use ourselves; each of these is refused with the
 * reason. Names and values are judged by librdkafka.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "record/format.h"
#include "sinks/kafka_priv.h"
#include "sinks/template.h"

#define OFS(member) offsetof(struct kafka_conf, member)

static const char *const tombstone_words[] = {"auto", "true", "false", NULL};

const struct conf_key kafka_keys[] = {
    {.name = "brokers",
	.type = CONF_LIST,
	.flags = CONF_REQUIRED,
	.ofs = OFS(brokers),
	.doc = "Brokers to begin with, host:port; the others are learned from them."},
    {.name = "topic",
	.type = CONF_STR,
	.flags = CONF_REQUIRED,
	.ofs = OFS(topic),
	.doc = "The topic; {table}, {stream} and {event} are filled in."},
    {.name = "format",
	.type = CONF_ENUM,
	.ofs = OFS(format),
	.def = "envelope",
	.words = format_words,
	.doc = "How a value is written: as the record came (dynamodb), its plain values, an "
	       "envelope, or as Debezium does."},
    {.name = "tombstones",
	.type = CONF_ENUM,
	.ofs = OFS(tombstones),
	.def = "auto",
	.words = tombstone_words,
	.doc = "A null value when an item was removed, for compacted topics: with plain instead of "
	       "the change, else behind it; auto: with plain and debezium."},
    {.name = "headers",
	.type = CONF_BOOL,
	.ofs = OFS(headers),
	.def = "true",
	.doc = "Puts event id, sequence number, shard, stream and time into headers slipring-..."},
    {.name = "timeout",
	.type = CONF_DURATION,
	.ofs = OFS(timeout_us),
	.def = "30s",
	.min = USEC_SEC,
	.max = 3600 * USEC_SEC,
	.doc = "How long the brokers may be silent before what waits for them is given back; a "
	       "third of it while none can be reached."},
    {.name = "statistics",
	.type = CONF_DURATION,
	.ofs = OFS(statistics_us),
	.def = "10s",
	.min = 0,
	.max = 3600 * USEC_SEC,
	.doc =
	    "How often librdkafka tells its queue lengths and round trips for metrics; 0: never."},
    {.name = "properties",
	.type = CONF_MAP,
	.flags = CONF_HIDE,
	.ofs = OFS(properties),
	.doc = "Any property of librdkafka, such as compression.type or sasl.password."},
    {.name = NULL},
};

#define NO_ORDER "without that a retry could change the order of an item's changes"
#define NO_WORD "records are done only by the word of all in-sync replicas"
#define OURS "it is how this sink works"

static const struct {
	const char *name, *why;
} held[] = {
    {"enable.idempotence", "it is always true: " NO_ORDER},
    {"enable.gapless.guarantee", "it is always true: " NO_ORDER},
    {"queuing.strategy", "it is always fifo: " NO_ORDER},
    {"retries", "there is no limit: " NO_ORDER},
    {"message.send.max.retries", "there is no limit: " NO_ORDER},
    {"message.timeout.ms", "it is always 0: " NO_ORDER "; see the key timeout"},
    {"delivery.timeout.ms", "it is always 0: " NO_ORDER "; see the key timeout"},
    {"acks", "it is always all: " NO_WORD},
    {"request.required.acks", "it is always all: " NO_WORD},
    {"delivery.report.only.error", "it is always false: " NO_WORD},
    {"transactional.id", "this sink does not use transactions"},
    {"transaction.timeout.ms", "this sink does not use transactions"},
    {"bootstrap.servers", "the key brokers says it"},
    {"metadata.broker.list", "the key brokers says it"},
    {"statistics.interval.ms", "the key statistics says it"},
    {"log.queue", OURS},
    {"enabled_events", OURS},
};

/* What we choose differently, unless the operator says otherwise. */
static const struct {
	const char *name, *value;
} chosen[] = {
    {"client.id", "slipring"},
    /* The same partition for the same key as Java's producer takes: consumers join topics on that. */
    {"partitioner", "murmur2_random"},
    {"socket.keepalive.enable", "true"},
};

static int
set(rd_kafka_conf_t *rc, const char *name, const char *value, struct err *e)
{
	char why[256];

	if (rd_kafka_conf_set(rc, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
		return 0;
	/* It names an alias by its other name. */
	return err_set(e, ERR_CONFIG, "kafka: property %.100s: %s", name, why);
}

static int
set_number(rd_kafka_conf_t *rc, const char *name, int64_t value, struct err *e)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%lld", (long long)value);
	return set(rc, name, text, e);
}

static bool
has(const struct conf_map *m, const char *name)
{
	for (size_t i = 0; i < m->n; i++)
		if (strcmp(m->names[i], name) == 0)
			return true;
	return false;
}

static int
set_property(rd_kafka_conf_t *rc, const char *name, const char *value, struct err *e)
{
	for (size_t i = 0; i < sizeof held / sizeof held[0]; i++)
		if (strcmp(held[i].name, name) == 0)
			return err_set(e, ERR_CONFIG, "kafka: property %s cannot be set: %s", name,
			    held[i].why);
	if (strcmp(name, "partitioner") == 0 && strcmp(value, "random") == 0)
		return err_set(e, ERR_CONFIG,
		    "kafka: property partitioner cannot be random: the changes of an item would "
		    "be spread over partitions and lose their order");
	return set(rc, name, value, e);
}

/* librdkafka leaves out, in silence, a broker with a scheme that is no security.protocol. */
static bool
has_strange_scheme(const char *brokers)
{
	static const char *const known[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"};

	for (const char *at; (at = strstr(brokers, "://")) != NULL; brokers = at + 3) {
		const char *begin = at;
		size_t i = 0;

		while (begin > brokers && begin[-1] != ',' && begin[-1] != ' ')
			begin--;
		while (i < ARRAY_LEN(known) &&
		    (strlen(known[i]) != (size_t)(at - begin) ||
			strncasecmp(known[i], begin, (size_t)(at - begin)) != 0))
			i++;
		if (i == ARRAY_LEN(known))
			return true;
	}
	return false;
}

static int
set_brokers(rd_kafka_conf_t *rc, const struct conf_list *brokers, struct err *e)
{
	struct buf b = BUF_INIT(64u << 10);
	int r;

	for (size_t i = 0; i < brokers->n; i++) {
		if (i != 0)
			buf_add_char(&b, ',');
		buf_add_str(&b, brokers->v[i]);
	}
	if (b.n == 0 || b.failed)
		r = err_set(e, ERR_CONFIG, "kafka: brokers names no broker");
	else if (has_strange_scheme(buf_cstr(&b)))
		r = err_set(e, ERR_CONFIG,
		    "kafka: brokers: \"%.100s\" is a URL; a broker is host:port, and what is "
		    "spoken "
		    "there says the property security.protocol",
		    buf_cstr(&b));
	else
		r = set(rc, "bootstrap.servers", buf_cstr(&b), e);
	buf_close(&b);
	return r;
}

/* A broker that creates topics says "unknown" first; this is how long that is not
 * believed. Within the timeout, so that a missing topic is not taken for silence. */
static int64_t
propagation_ms(const struct kafka_conf *c)
{
	int64_t ms = c->timeout_us / 2 / USEC_MS;

	return ms < 10000 ? ms : 10000;
}

static int
set_ours(rd_kafka_conf_t *rc, const struct kafka_conf *c, struct err *e)
{
	if (set_brokers(rc, &c->brokers, e) != 0 || set(rc, "enable.idempotence", "true", e) != 0 ||
	    set(rc, "enable.gapless.guarantee", "true", e) != 0 || set(rc, "acks", "all", e) != 0 ||
	    set(rc, "message.timeout.ms", "0", e) != 0 || set(rc, "log.queue", "true", e) != 0 ||
	    set_number(rc, "statistics.interval.ms", c->statistics_us / USEC_MS, e) != 0)
		return -1;
	if (!has(&c->properties, "topic.metadata.propagation.max.ms") &&
	    set_number(rc, "topic.metadata.propagation.max.ms", propagation_ms(c), e) != 0)
		return -1;
	for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++)
		if (set(rc, chosen[i].name, chosen[i].value, e) != 0)
			return -1;
	return 0;
}

int
kafka_conf_make(const struct kafka_conf *c, rd_kafka_conf_t **out, struct err *e)
{
	rd_kafka_conf_t *rc = rd_kafka_conf_new();
	int r = set_ours(rc, c, e);

	for (size_t i = 0; i < c->properties.n && r == 0; i++)
		r = set_property(rc, c->properties.names[i], c->properties.values[i], e);
	if (r != 0) {
		rd_kafka_conf_destroy(rc);
		return -1;
	}
	rd_kafka_conf_set_events(rc,
	    RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS | RD_KAFKA_EVENT_LOG);
	/* Token refreshes run on librdkafka's own thread. */
	rd_kafka_conf_enable_sasl_queue(rc, 1);
	*out = rc;
	return 0;
}

int
kafka_check(const void *conf, struct err *e)
{
	const struct kafka_conf *c = conf;
	rd_kafka_conf_t *rc;

	if (template_check(c->topic, e) != 0)
		return err_prefix(e, "kafka: topic");
	if (kafka_conf_make(c, &rc, e) != 0)
		return -1;
	rd_kafka_conf_destroy(rc);
	return 0;
}
