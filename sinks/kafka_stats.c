/* sinks/kafka_stats.c - what librdkafka tells about itself every few seconds.
 *
 * Its JSON has a part for every partition of every topic behind the brokers; with
 * thousands of them that is megabytes, and it would be parsed on the loop. So the
 * text is cut before "topics".
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "sinks/kafka_priv.h"

/* Some 3 kB a broker: 300 of them. */
#define STATS_BYTES (1u << 20)

static int64_t
number(const json_t *o, const char *name)
{
	return (int64_t)json_integer_value(json_object_get(o, name));
}

static void
read_broker(const char *name, const json_t *b, struct kafka_broker_stats *out)
{
	const json_t *rtt = json_object_get(b, "rtt");
	const char *state = json_string_value(json_object_get(b, "state"));

	(void)snprintf(out->name, sizeof out->name, "%s", name);
	out->up = state != NULL && strcmp(state, "UP") == 0;
	out->rtt_avg_us = number(rtt, "avg");
	out->rtt_p99_us = number(rtt, "p99");
	out->waiting = number(b, "outbuf_cnt") + number(b, "waitresp_cnt");
	out->errors = number(b, "txerrs");
	out->retries = number(b, "txretries");
	out->timeouts = number(b, "req_timeouts");
}

/* Those that we were told of in the beginning (host:port/bootstrap) are there a second
 * time by their number once they are known. */
static bool
is_shown(const json_t *b)
{
	return number(b, "nodeid") >= 0;
}

static void
read_brokers(const json_t *brokers, struct kafka_stats *out)
{
	void *at;

	for (at = json_object_iter((json_t *)(uintptr_t)brokers); at != NULL;
	     at = json_object_iter_next((json_t *)(uintptr_t)brokers, at))
		if (out->broker_count < KAFKA_STATS_BROKERS && is_shown(json_object_iter_value(at)))
			read_broker(json_object_iter_key(at), json_object_iter_value(at),
			    &out->brokers[out->broker_count++]);
}

bool
kafka_stats_parse(const char *json, size_t n, struct kafka_stats *out)
{
	static const char behind[] = "\"topics\":";
	struct buf head = BUF_INIT(STATS_BYTES);
	const char *end = memmem(json, n, behind, sizeof behind - 1);
	struct kafka_stats got = {.known = true};
	json_t *root;

	buf_add(&head, json, end != NULL ? (size_t)(end - json) : n);
	while (end != NULL && head.n > 0 && strchr(", \n\t", head.p[head.n - 1]) != NULL)
		head.n--;
	if (end != NULL)
		buf_add_char(&head, '}');
	root = head.failed ? NULL : json_loadb(head.p, head.n, 0, NULL);
	buf_close(&head);
	if (!json_is_object(root)) {
		json_decref(root);
		return false;
	}
	got.messages = number(root, "msg_cnt");
	got.bytes = number(root, "msg_size");
	read_brokers(json_object_get(root, "brokers"), &got);
	json_decref(root);
	*out = got;
	return true;
}
