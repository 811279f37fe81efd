/* tests/unit/kafka_encode_test.c - the Kafka sink without a broker: verdicts, properties
 * that are ours, messages of a record, statistics. */
#include "tests/unit/record_support.h"

#include "record/format.h"
#include "record/key.h"
#include "sinks/kafka_priv.h"

static const struct origin origin = {
    .stream = "orders",
    .table = "Orders",
    .arn = "arn:aws:dynamodb:eu-west-1:111122223333:table/Orders/stream/x",
    .label = "x",
    .shard = "shardId-1",
};

/* ---- verdicts ---- */

static void
verdicts(void **state)
{
	static const struct {
		rd_kafka_resp_err_t code;
		enum sink_verdict want;
	} table[] = {
	    {RD_KAFKA_RESP_ERR_NO_ERROR, SINK_ACK},
	    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SINK_REJECT},
	    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, SINK_REJECT},
	    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, SINK_REJECT},
	    {RD_KAFKA_RESP_ERR_INVALID_RECORD, SINK_REJECT},
	    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, SINK_REJECT},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, SINK_HALT},
	    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, SINK_HALT},
	    {RD_KAFKA_RESP_ERR__AUTHENTICATION, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, SINK_HALT},
	    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, SINK_HALT},
	    {RD_KAFKA_RESP_ERR_INVALID_MSG, SINK_RETRY}, /* a checksum: damaged on the way */
	    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__TRANSPORT, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__FATAL, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR__QUEUE_FULL, SINK_RETRY},
	    {RD_KAFKA_RESP_ERR_UNKNOWN, SINK_RETRY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (kafka_verdict_of(table[i].code) != table[i].want)
			fail_msg("%s", rd_kafka_err2name(table[i].code));
}

static void
the_reason_has_the_brokers_words(void **state)
{
	struct err why;

	(void)state;
	kafka_why(&why, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, "orders");
	assert_string_equal(why.text,
	    "kafka: topic orders: Broker: Topic authorization failed; grant Write and Describe on "
	    "it");
	assert_false(why.retriable);
	kafka_why(&why, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, "orders");
	assert_int_equal(why.code, ERR_NOT_FOUND);
	assert_non_null(strstr(why.text, "create it"));
	kafka_why(&why, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, NULL);
	assert_string_equal(why.text, "kafka: Broker: Not enough in-sync replicas");
	assert_true(why.retriable);
}

/* ---- configuration ---- */

static struct kafka_conf *
conf_of(const char *yaml)
{
	struct kafka_conf *c = calloc(1, sizeof *c);
	struct conf_doc *doc;
	struct err e;

	if (conf_parse(&doc, slice_of(yaml), "test", &e) != 0 ||
	    conf_fill(conf_root(doc), kafka_keys, NULL, c, &e) != 0)
		fail_msg("%s", e.text);
	conf_close(doc);
	return c;
}

static void
conf_free(struct kafka_conf *c)
{
	conf_wipe(kafka_keys, c);
	free(c);
}

static void
assert_refused(const char *yaml, const char *part)
{
	struct kafka_conf *c = conf_of(yaml);
	struct err e;

	assert_int_equal(kafka_check(c, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, part) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", e.text, part);
	conf_free(c);
}

#define BASE "brokers: b:9092\ntopic: t\nproperties:\n  "

static void
properties_that_are_ours(void **state)
{
	static const char *const names[] = {"enable.idempotence", "enable.gapless.guarantee",
	    "queuing.strategy", "retries", "message.send.max.retries", "message.timeout.ms",
	    "delivery.timeout.ms", "acks", "request.required.acks", "delivery.report.only.error",
	    "transactional.id", "transaction.timeout.ms", "bootstrap.servers",
	    "metadata.broker.list", "statistics.interval.ms", "log.queue", "enabled_events"};

	(void)state;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char yaml[160], part[80];

		(void)snprintf(yaml, sizeof yaml, BASE "%s: 1\n", names[i]);
		(void)snprintf(part, sizeof part, "property %s cannot be set: ", names[i]);
		assert_refused(yaml, part);
	}
	assert_refused(BASE "partitioner: random\n", "lose their order");
}

static void
properties_are_judged_by_librdkafka(void **state)
{
	struct kafka_conf *c;
	struct err e;

	(void)state;
	assert_refused(BASE "compression.tpye: lz4\n", "No such configuration property");
	assert_refused(BASE "compression.type: lz5\n", "lz5");
	assert_refused(BASE "linger.ms: never\n", "linger.ms");
	assert_refused("brokers: b:9092\ntopic: a.{tabel}\n", "did you mean {table}?");
	assert_refused("brokers: http://b:9092\ntopic: t\n", "\"http://b:9092\" is a URL");
	assert_refused("brokers: [a:1, kafka://b:2]\ntopic: t\n", "is a URL");
	c = conf_of("brokers: 'PLAINTEXT://a:1, plaintext://b:2'\ntopic: t\n");
	assert_int_equal(kafka_check(c, &e), 0);
	conf_free(c);
}

static void
value_is(rd_kafka_conf_t *rc, const char *name, const char *want)
{
	char value[128];
	size_t n = sizeof value;

	assert_int_equal(rd_kafka_conf_get(rc, name, value, &n), RD_KAFKA_CONF_OK);
	assert_string_equal(value, want);
}

static void
what_is_set(void **state)
{
	struct kafka_conf *c = conf_of("brokers: [a:1, b:2]\ntopic: t\ntimeout: 4s\n"
				       "properties: {linger.ms: 7, sasl.password: secret}\n");
	rd_kafka_conf_t *rc;
	struct err e;

	(void)state;
	assert_int_equal(kafka_check(c, &e), 0);
	assert_int_equal(kafka_conf_make(c, &rc, &e), 0);
	value_is(rc, "bootstrap.servers", "a:1,b:2");
	value_is(rc, "enable.idempotence", "true");
	value_is(rc, "enable.gapless.guarantee", "true");
	value_is(rc, "acks", "-1");
	value_is(rc, "message.timeout.ms", "0");
	value_is(rc, "partitioner", "murmur2_random");
	value_is(rc, "linger.ms", "7");
	value_is(rc, "client.id", "slipring");
	value_is(rc, "topic.metadata.propagation.max.ms", "2000");
	value_is(rc, "statistics.interval.ms", "10000");
	rd_kafka_conf_destroy(rc);
	conf_free(c);
}

/* ---- messages ---- */

static struct page *
page_of_event(const char *event, const char *images)
{
	struct buf b = BUF_INIT(1u << 16);
	struct page *p;

	buf_addf(&b,
	    "{\"Records\":[{\"eventID\":\"e2fd9c34\",\"eventName\":\"%s\",\"dynamodb\":{"
	    "\"ApproximateCreationDateTime\":1795246177.5,\"Keys\":{\"id\":{\"S\":\"o-1\"}},%s"
	    "\"SequenceNumber\":\"300000000000000499659\"}}]}",
	    event, images);
	p = page_of(buf_cstr(&b));
	buf_close(&b);
	return p;
}

#define NEW "\"NewImage\":{\"id\":{\"S\":\"o-1\"}},"
#define OLD "\"OldImage\":{\"id\":{\"S\":\"o-1\"}},"

static unsigned
messages(const char *more, const char *event, const char *images)
{
	char yaml[160];
	struct page *p = page_of_event(event, images);
	struct kafka_conf *c;
	unsigned got;

	(void)snprintf(yaml, sizeof yaml, "brokers: b:9092\ntopic: t\n%s", more);
	c = conf_of(yaml);
	got = kafka_messages_of(c, p->records);
	conf_free(c);
	page_unref(p);
	return got;
}

static void
tombstones(void **state)
{
	(void)state;
	assert_int_equal(messages("", "INSERT", NEW), KAFKA_EVENT);
	assert_int_equal(messages("", "REMOVE", OLD), KAFKA_EVENT);
	assert_int_equal(messages("format: dynamodb", "REMOVE", OLD), KAFKA_EVENT);
	assert_int_equal(messages("format: plain", "MODIFY", NEW), KAFKA_EVENT);
	assert_int_equal(messages("format: plain", "REMOVE", OLD), KAFKA_TOMBSTONE);
	assert_int_equal(
	    messages("format: debezium", "REMOVE", OLD), KAFKA_EVENT | KAFKA_TOMBSTONE);
	assert_int_equal(
	    messages("tombstones: true", "REMOVE", OLD), KAFKA_EVENT | KAFKA_TOMBSTONE);
	assert_int_equal(messages("format: plain\ntombstones: false", "REMOVE", OLD), KAFKA_EVENT);
	assert_int_equal(
	    messages("format: debezium\ntombstones: false", "REMOVE", OLD), KAFKA_EVENT);
	/* An event that we do not know removes nothing. */
	assert_int_equal(messages("format: plain", "RENAME", OLD), KAFKA_EVENT);
}

static void
keys_and_values(void **state)
{
	struct page *p = page_of_event("MODIFY", NEW OLD);
	struct kafka_conf *c = conf_of("brokers: b:9092\ntopic: t\nformat: plain\n");
	struct delivery d = {.rec = p->records, .origin = &origin};
	struct buf bytes = BUF_INIT(1u << 16), want = BUF_INIT(1u << 16);
	struct kafka_text key, value;
	struct err e;

	(void)state;
	buf_add_str(&bytes, "before");
	assert_int_equal(kafka_encode(c, &d, &bytes, &key, &value, &e), 0);
	assert_slice((struct slice){bytes.p + key.at, key.n}, "[\"o-1\"]");
	assert_int_equal(format_write(FORMAT_PLAIN, p->records, &origin, &want, &e), 0);
	assert_slice((struct slice){bytes.p + value.at, value.n}, buf_cstr(&want));
	buf_close(&want);
	buf_close(&bytes);
	conf_free(c);
	page_unref(p);
}

/* What cannot be written leaves nothing behind, and the next one is whole. */
static void
a_record_that_cannot_be_written(void **state)
{
	struct page *bad = page_of_event("INSERT", "\"NewImage\":{\"id\":{\"N\":\"abc\"}},");
	struct kafka_conf *c = conf_of("brokers: b:9092\ntopic: t\n");
	struct page *good = page_of_event("INSERT", NEW OLD);
	struct delivery d = {.rec = good->records, .origin = &origin};
	struct buf bytes = BUF_INIT(16);
	struct kafka_text key, value;
	struct err e;

	(void)state;
	assert_int_equal(kafka_encode(c, &d, &bytes, &key, &value, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_int_equal(bytes.n, 0);
	assert_false(bytes.failed);
	bytes.max = 1u << 16;
	d.rec = bad->records;
	assert_int_equal(kafka_encode(c, &d, &bytes, &key, &value, &e), -1);
	assert_int_equal(e.code, ERR_PROTOCOL);
	assert_int_equal(bytes.n, 0);
	d.rec = good->records;
	assert_int_equal(kafka_encode(c, &d, &bytes, &key, &value, &e), 0);
	buf_close(&bytes);
	conf_free(c);
	page_unref(bad);
	page_unref(good);
}

static void
assert_header(rd_kafka_headers_t *h, const char *name, const char *want)
{
	const void *value = NULL;
	size_t n = 0;

	if (want == NULL) {
		assert_int_equal(
		    rd_kafka_header_get_last(h, name, &value, &n), RD_KAFKA_RESP_ERR__NOENT);
		return;
	}
	assert_int_equal(rd_kafka_header_get_last(h, name, &value, &n), 0);
	assert_slice((struct slice){value, n}, want);
}

static void
headers(void **state)
{
	struct page *p = page_of_event("MODIFY", NEW OLD), *bare;
	struct delivery d = {.rec = p->records, .origin = &origin};
	rd_kafka_headers_t *h = kafka_headers(&d);

	(void)state;
	assert_header(h, "slipring-event-id", "e2fd9c34");
	assert_header(h, "slipring-sequence", "300000000000000499659");
	assert_header(h, "slipring-shard", "shardId-1");
	assert_header(h, "slipring-stream", origin.arn);
	assert_header(h, "slipring-time", "2026-11-21T07:29:37.500Z");
	assert_header(h, "slipring-replayed", NULL);
	rd_kafka_headers_destroy(h);
	bare = page_of("{\"Records\":[{\"dynamodb\":{\"Keys\":{\"a\":{\"N\":\"1\"}},"
		       "\"SequenceNumber\":\"7\"}}]}");
	d = (struct delivery){.rec = bare->records, .origin = &origin, .replayed = true};
	h = kafka_headers(&d);
	assert_header(h, "slipring-event-id", NULL);
	assert_header(h, "slipring-time", NULL);
	assert_header(h, "slipring-replayed", "true");
	rd_kafka_headers_destroy(h);
	page_unref(bare);
	page_unref(p);
}

/* ---- statistics ---- */

static void
statistics(void **state)
{
	static const char json[] =
	    "{ \"name\": \"x\", \"msg_cnt\":12, \"msg_size\":3456, \"brokers\":{ "
	    "\"a:1/bootstrap\": {\"nodeid\":-1, \"state\":\"UP\"}, "
	    "\"a:1/1\": {\"nodeid\":1, \"state\":\"UP\", \"outbuf_cnt\":1, \"waitresp_cnt\":2, "
	    "\"txerrs\":4, \"txretries\":5, \"req_timeouts\":6, \"rtt\": {\"avg\":700, "
	    "\"p99\":900}, \"toppars\":{ } }, "
	    "\"b:1/2\": {\"nodeid\":2, \"state\":\"DOWN\"} } , \"topics\":{ cut here";
	struct kafka_stats s = {.known = false};

	(void)state;
	assert_true(kafka_stats_parse(json, sizeof json - 1, &s));
	assert_true(s.known);
	assert_int_equal(s.messages, 12);
	assert_int_equal(s.bytes, 3456);
	assert_int_equal(s.broker_count, 2);
	for (size_t i = 0; i < 2; i++) {
		const struct kafka_broker_stats *b = &s.brokers[i];
		bool first = strcmp(b->name, "a:1/1") == 0;

		assert_int_equal(b->up, first);
		assert_int_equal(b->rtt_avg_us, first ? 700 : 0);
		assert_int_equal(b->rtt_p99_us, first ? 900 : 0);
		assert_int_equal(b->waiting, first ? 3 : 0);
		assert_int_equal(b->errors, first ? 4 : 0);
		assert_int_equal(b->timeouts, first ? 6 : 0);
	}
	assert_false(kafka_stats_parse("nonsense", 8, &s));
	assert_false(kafka_stats_parse("", 0, &s));
	assert_false(kafka_stats_parse("[1]", 3, &s));
	assert_int_equal(s.messages, 12);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(verdicts),
	    cmocka_unit_test(the_reason_has_the_brokers_words),
	    cmocka_unit_test(properties_that_are_ours),
	    cmocka_unit_test(properties_are_judged_by_librdkafka),
	    cmocka_unit_test(what_is_set),
	    cmocka_unit_test(tombstones),
	    cmocka_unit_test(keys_and_values),
	    cmocka_unit_test(a_record_that_cannot_be_written),
	    cmocka_unit_test(headers),
	    cmocka_unit_test(statistics),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
