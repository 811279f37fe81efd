/* sinks/kafka_probe.c - would it work? Asked by `slipring check --connect`.
 *
 * All topics are listed instead of asking for ours: a broker that creates topics
 * would create what it is asked for. Blocks for at most some 10 s; never on a loop.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/kafka_priv.h"
#include "sinks/template.h"

#define METADATA_MS 6000
#define CONFIG_MS 3000

struct probing {
	const struct kafka_conf *conf;
	const struct sink_probe *probe;
	rd_kafka_t *rk;
	const struct rd_kafka_metadata *all; /* owned */
	char trouble[256];
};

static void
say(const struct probing *x, enum sink_finding f, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void
say(const struct probing *x, enum sink_finding f, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	x->probe->say(x->probe->ctx, f, text);
}

/* ---- answers of the admin API ---- */

static rd_kafka_event_t *
ask_config(const struct probing *x, rd_kafka_ResourceType_t type, const char *name)
{
	rd_kafka_queue_t *q = rd_kafka_queue_new(x->rk);
	rd_kafka_ConfigResource_t *res = rd_kafka_ConfigResource_new(type, name);
	rd_kafka_AdminOptions_t *options =
	    rd_kafka_AdminOptions_new(x->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_event_t *ev;
	char ignored[64];

	(void)rd_kafka_AdminOptions_set_request_timeout(
	    options, CONFIG_MS, ignored, sizeof ignored);
	rd_kafka_DescribeConfigs(x->rk, &res, 1, options, q);
	ev = rd_kafka_queue_poll(q, CONFIG_MS + 500);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_ConfigResource_destroy(res);
	rd_kafka_queue_destroy(q);
	return ev;
}

/* Copies the value of one entry; false: not told. */
static bool
config_value(rd_kafka_event_t *ev, const char *name, char *out, size_t room)
{
	const rd_kafka_DescribeConfigs_result_t *result =
	    ev != NULL ? rd_kafka_event_DescribeConfigs_result(ev) : NULL;
	const rd_kafka_ConfigResource_t **v;
	const rd_kafka_ConfigEntry_t **entries;
	size_t n = 0, count = 0;

	if (result == NULL || rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	v = rd_kafka_DescribeConfigs_result_resources(result, &n);
	if (n == 0 || rd_kafka_ConfigResource_error(v[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	entries = rd_kafka_ConfigResource_configs(v[0], &count);
	for (size_t i = 0; i < count; i++) {
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);

		if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), name) != 0 || value == NULL)
			continue;
		(void)snprintf(out, room, "%s", value);
		return true;
	}
	return false;
}

static bool
ask_value(const struct probing *x, rd_kafka_ResourceType_t type, const char *resource,
    const char *name, char *out, size_t room)
{
	rd_kafka_event_t *ev = ask_config(x, type, resource);
	bool told = config_value(ev, name, out, room);

	if (ev != NULL)
		rd_kafka_event_destroy(ev);
	return told;
}

/* ---- one topic ---- */

static const rd_kafka_metadata_topic_t *
find_topic(const struct probing *x, const char *name)
{
	for (int i = 0; i < x->all->topic_cnt; i++)
		if (strcmp(x->all->topics[i].topic, name) == 0)
			return &x->all->topics[i];
	return NULL;
}

static void
say_missing(const struct probing *x, const char *name)
{
	char creates[16] = "false", broker[16];

	(void)snprintf(broker, sizeof broker, "%d", x->all->orig_broker_id);
	(void)ask_value(x, RD_KAFKA_RESOURCE_BROKER, broker, "auto.create.topics.enable", creates,
	    sizeof creates);
	if (strcmp(creates, "true") == 0)
		say(x, SINK_FOUND_NOTE,
		    "topic %s does not exist; the broker will create it with its defaults", name);
	else
		say(x, SINK_FOUND_BAD,
		    "topic %s does not exist, or may not be seen with these credentials; create it",
		    name);
}

static void
say_settings(const struct probing *x, const char *name)
{
	char value[64];

	if (!ask_value(x, RD_KAFKA_RESOURCE_TOPIC, name, "cleanup.policy", value, sizeof value)) {
		say(x, SINK_FOUND_NOTE, "topic %s: its settings may not be read", name);
		return;
	}
	if (strstr(value, "compact") != NULL && !kafka_tombstones(x->conf))
		say(x, SINK_FOUND_NOTE,
		    "topic %s is compacted and tombstones are off: items that were removed stay in "
		    "it",
		    name);
	if (ask_value(x, RD_KAFKA_RESOURCE_TOPIC, name, "max.message.bytes", value, sizeof value) &&
	    strtoll(value, NULL, 10) < INT64_C(1000000))
		say(x, SINK_FOUND_NOTE,
		    "topic %s takes requests of %s bytes at most: set batch.size and "
		    "message.max.bytes "
		    "under properties below that, or larger ones are refused and sent again in "
		    "halves",
		    name, value);
}

static void
say_topic(const struct probing *x, const char *name)
{
	const rd_kafka_metadata_topic_t *t = find_topic(x, name);

	if (t == NULL) {
		say_missing(x, name);
		return;
	}
	if (t->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
		say(x, kafka_verdict_of(t->err) == SINK_HALT ? SINK_FOUND_BAD : SINK_FOUND_NOTE,
		    "topic %s: %s", name, rd_kafka_err2str(t->err));
		return;
	}
	say(x, SINK_FOUND_OK, "topic %s: %d partition%s", name, t->partition_cnt,
	    t->partition_cnt == 1 ? "" : "s");
	say_settings(x, name);
}

/* Every topic that this origin's changes can go to. */
static void
say_origin(const struct probing *x, const struct origin *o)
{
	const struct record events[] = {
	    {.event = RECORD_INSERT}, {.event = RECORD_MODIFY}, {.event = RECORD_REMOVE}};
	size_t n = template_varies(x->conf->topic) ? 3 : 1;
	struct buf name = BUF_INIT(1024);

	for (size_t i = 0; i < n; i++) {
		buf_reset(&name);
		template_write(x->conf->topic, &events[i], o, &name);
		say_topic(x, buf_cstr(&name));
	}
	buf_close(&name);
}

static void
say_topics(const struct probing *x)
{
	bool fixed = strchr(x->conf->topic, '{') == NULL;

	if (fixed)
		say_topic(x, x->conf->topic);
	for (size_t i = 0; i < x->probe->origin_count && !fixed; i++)
		say_origin(x, &x->probe->origins[i]);
	if (!fixed && x->probe->origin_count == 0)
		say(x, SINK_FOUND_NOTE, "topic %s was not looked at: its tables are not known",
		    x->conf->topic);
}

/* ---- the brokers ---- */

/* Why nobody answered: the last thing librdkafka complained about. */
static void
gather_trouble(struct probing *x)
{
	rd_kafka_queue_t *q = rd_kafka_queue_get_main(x->rk);
	rd_kafka_event_t *ev;

	while ((ev = rd_kafka_queue_poll(q, 0)) != NULL) {
		rd_kafka_resp_err_t code = rd_kafka_event_error(ev);

		if (rd_kafka_event_type(ev) == RD_KAFKA_EVENT_ERROR &&
		    (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || x->trouble[0] == '\0'))
			(void)snprintf(
			    x->trouble, sizeof x->trouble, "%s", rd_kafka_event_error_string(ev));
		rd_kafka_event_destroy(ev);
	}
	rd_kafka_queue_destroy(q);
}

static int
ask_all(struct probing *x, struct err *e)
{
	rd_kafka_resp_err_t code = rd_kafka_metadata(x->rk, 1, NULL, &x->all, METADATA_MS);

	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return 0;
	gather_trouble(x);
	return err_retry(e, ERR_NETWORK, "kafka: the brokers do not answer: %s",
	    x->trouble[0] != '\0' ? x->trouble : rd_kafka_err2str(code));
}

int
kafka_probe(const void *conf, const struct sink_probe *p, struct err *e)
{
	struct probing x = {.conf = conf, .probe = p};
	rd_kafka_conf_t *rc;
	char why[256];
	int r;

	if (kafka_conf_make(conf, &rc, e) != 0)
		return -1;
	x.rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, why, sizeof why);
	if (x.rk == NULL) {
		rd_kafka_conf_destroy(rc);
		return err_set(e, ERR_CONFIG, "kafka: %s", why);
	}
	(void)rd_kafka_set_log_queue(x.rk, NULL);
	r = ask_all(&x, e);
	if (r == 0) {
		say_topics(&x);
		rd_kafka_metadata_destroy(x.all);
	}
	rd_kafka_destroy(x.rk);
	return r;
}
