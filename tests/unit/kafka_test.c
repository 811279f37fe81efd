/* tests/unit/kafka_test.c - the life of the Kafka sink where no broker is needed: nobody
 * listens at its address. What brokers answer is in tests/system/kafka_test.py.
 *
 * A fatal error is raised by rd_kafka_test_fatal_error(): no real broker can
 * be made to cause one at will.
 */
#include "tests/unit/audit_support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "sinks/kafka_priv.h"

struct fixture {
	struct host host;
	struct kafka_conf *conf;
	struct sink *sink;
};

/* Bound and not listening: refused at once, and nobody else can have it meanwhile. */
static int
dead_port(int *fd)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;

	*fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&a, &n), 0);
	return ntohs(a.sin_port);
}

static int dead_fd;

static void
sink_start(struct fixture *x, const char *more)
{
	struct sink_env env;
	struct conf_doc *doc;
	char yaml[400];
	struct err e;

	memset(x, 0, sizeof *x);
	host_open(&x->host);
	env = host_env(&x->host);
	(void)snprintf(
	    yaml, sizeof yaml, "brokers: 127.0.0.1:%d\ntopic: t\n%s", dead_port(&dead_fd), more);
	x->conf = mem_new(sizeof *x->conf);
	if (conf_parse(&doc, slice_of(yaml), "test", &e) != 0 ||
	    conf_fill(conf_root(doc), kafka_keys, NULL, x->conf, &e) != 0 ||
	    sink_kafka.open(&x->sink, &env, x->conf, &e) != 0)
		fail_msg("%s", e.text);
	conf_close(doc);
}

static void
sink_stop(struct fixture *x)
{
	sink_kafka.close(x->sink);
	conf_wipe(kafka_keys, x->conf);
	free(x->conf);
	host_close(&x->host);
	(void)close(dead_fd);
}

static void
wait_ready(struct host *h)
{
	unsigned before = h->readies;

	h->until_ready = true;
	if (h->readies == before)
		host_run_for(h, 20 * USEC_SEC);
	h->until_ready = false;
	assert_int_not_equal(h->readies, before);
}

static void
nobody_answers(void **state)
{
	struct sample *v = samples_new(1, 50, &sample_origin);
	struct fixture x;

	(void)state;
	sink_start(&x, "timeout: 3s\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 50), SINK_TAKEN);
	host_wait(&x.host, 50);
	assert_int_equal(x.host.verdicts[SINK_RETRY], 50);
	assert_non_null(strstr(x.host.why.text, "no broker can be reached"));
	assert_non_null(strstr(x.host.why.text, "Connection refused"));
	sink_stop(&x);
	free(v);
}

static void
after_silence_a_new_producer(void **state)
{
	struct sample *v = samples_new(1, 20, &sample_origin);
	struct fixture x;
	enum sink_admit a;

	(void)state;
	sink_start(&x, "timeout: 3s\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 10), SINK_TAKEN);
	host_wait(&x.host, 10);
	assert_null(x.sink->p);
	a = host_submit(&sink_kafka, x.sink, v + 10, 10);
	if (a == SINK_FULL) {
		wait_ready(&x.host);
		a = host_submit(&sink_kafka, x.sink, v + 10, 10);
	}
	assert_int_equal(a, SINK_TAKEN);
	host_wait(&x.host, 20);
	assert_int_equal(x.host.verdicts[SINK_RETRY], 20);
	sink_stop(&x);
	free(v);
}

static void
a_fatal_error(void **state)
{
	struct sample *v = samples_new(1, 200, &sample_origin);
	struct kafka_producer *first;
	struct fixture x;

	(void)state;
	sink_start(&x, "timeout: 1h\n");
	first = x.sink->p;
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 100), SINK_TAKEN);
	assert_int_equal(rd_kafka_test_fatal_error(first->rk,
			     RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "as a test"),
	    RD_KAFKA_RESP_ERR_NO_ERROR);
	/* What comes before the loop knows of it goes back, too, in order. */
	assert_int_equal(host_submit(&sink_kafka, x.sink, v + 100, 50), SINK_TAKEN);
	host_wait(&x.host, 150);
	assert_int_equal(x.host.verdicts[SINK_RETRY], 150);
	assert_non_null(strstr(x.host.why.text, "as a test"));
	while (host_submit(&sink_kafka, x.sink, v + 150, 50) == SINK_FULL)
		wait_ready(&x.host);
	assert_non_null(x.sink->p);
	assert_ptr_not_equal(x.sink->p->rk, NULL);
	assert_int_equal(x.sink->counts.rebuilt, 1);
	assert_int_equal(x.sink->p->out, 50);
	assert_int_equal(x.host.reports, 150);
	sink_stop(&x);
	assert_int_equal(x.host.reports, 200);
	free(v);
}

/* A fatal error for want of a permission ends in HALT, not in an endless loop. */
static void
a_fatal_refusal(void **state)
{
	struct sample *v = samples_new(1, 10, &sample_origin);
	struct fixture x;

	(void)state;
	sink_start(&x, "timeout: 1h\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 10), SINK_TAKEN);
	(void)rd_kafka_test_fatal_error(
	    x.sink->p->rk, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, "as a test");
	host_wait(&x.host, 10);
	assert_int_equal(x.host.verdicts[SINK_HALT], 10);
	sink_stop(&x);
	free(v);
}

/* librdkafka's queue takes 10 messages: the rest waits, the lane is told, and
 * what was taken is reported once all the same. */
static void
a_full_queue(void **state)
{
	struct sample *v = samples_new(1, 40, &sample_origin);
	struct fixture x;

	(void)state;
	sink_start(&x, "timeout: 3s\nproperties: {queue.buffering.max.messages: 10}\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 30), SINK_TAKEN);
	assert_int_equal(x.sink->p->out, 10);
	assert_int_equal(host_submit(&sink_kafka, x.sink, v + 30, 10), SINK_FULL);
	assert_int_equal(x.host.reports, 0);
	host_wait(&x.host, 30);
	assert_int_equal(x.host.verdicts[SINK_RETRY], 30);
	if (x.host.readies == 0)
		wait_ready(&x.host);
	sink_stop(&x);
	assert_int_equal(x.host.reports, 30);
	free(v);
}

/* librdkafka counts messages until the event that reported them is destroyed. The last report
 * of an event may be the last that a pass may work through: then it is full with nothing
 * under way, and that is no record's fault. */
static void
a_queue_full_of_what_was_reported(void **state)
{
	struct sample *v = samples_new(1, 15, &sample_origin);
	struct kafka_producer *p;
	struct fixture x;

	(void)state;
	sink_start(&x, "timeout: 1h\nproperties: {queue.buffering.max.messages: 10}\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 15), SINK_TAKEN);
	p = x.sink->p;
	assert_int_equal(p->out, 10);
	p->event = rd_kafka_queue_poll(p->queue, 20000);
	assert_non_null(p->event);
	p->out = 0;
	kafka_send_pending(x.sink);
	assert_int_equal(x.host.reports, 0);
	p->out = 10;
	sink_stop(&x);
	assert_int_equal(x.host.verdicts[SINK_RETRY], 15);
	free(v);
}

static void
refused_before_it_is_sent(void **state)
{
	struct sample *v = samples_new(1, 3, &sample_origin);
	static char image[8000];
	struct fixture x;

	(void)state;
	(void)snprintf(image, sizeof image, "{\"pk\":{\"S\":\"%07000d\"}}", 0);
	v[1].rec.new_image = slice_of(image);
	v[2].rec.new_image = SLICE_LIT("{\"pk\":{\"N\":\"abc\"}}");
	sink_start(&x, "timeout: 1h\nproperties: {message.max.bytes: 4000}\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 3), SINK_TAKEN);
	assert_int_equal(x.host.verdicts[SINK_REJECT], 2);
	assert_int_equal(v[0].reports, 0);
	assert_int_equal(v[1].verdict, SINK_REJECT);
	assert_int_equal(v[2].verdict, SINK_REJECT);
	/* The others are not held back by it. */
	assert_int_equal(x.sink->narrow, 0);
	assert_false(x.sink->p->broken);
	sink_stop(&x);
	assert_int_equal(v[0].verdict, SINK_RETRY);
	free(v);
}

static void
a_name_that_is_none(void **state)
{
	struct sample *v = samples_new(1, 1, &sample_origin);
	struct origin o = sample_origin;
	static char table[800];
	struct fixture x;

	(void)state;
	memset(table, 'x', sizeof table - 1);
	o.table = table;
	v[0].d.origin = &o;
	sink_start(&x, "timeout: 1h\n");
	free(x.conf->topic);
	x.conf->topic = mem_strdup("{table}");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 1), SINK_TAKEN);
	assert_int_equal(x.host.verdicts[SINK_HALT], 1);
	assert_non_null(strstr(x.host.why.text, "kafka: topic xxxx"));
	sink_stop(&x);
	free(v);
}

/* Out of the record, so only that one is refused. */
static void
routes_that_are_no_topics(void **state)
{
	static const char *const routes[] = {
	    "", "a b", "..", "a\\\"b", "\xc3\xbc", "acme.orders-1_x"};
	struct sample *v = samples_new(1, ARRAY_LEN(routes), &sample_origin);
	struct fixture x;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++)
		v[i].d.route = slice_of(routes[i]);
	sink_start(&x, "timeout: 1h\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, ARRAY_LEN(routes)), SINK_TAKEN);
	assert_int_equal(x.host.verdicts[SINK_REJECT], ARRAY_LEN(routes) - 1);
	assert_int_equal(v[ARRAY_LEN(routes) - 1].reports, 0);
	assert_string_equal(x.sink->p->topics[0]->name, "acme.orders-1_x");
	sink_stop(&x);
	free(v);
}

static void
a_file_that_is_not_there(void **state)
{
	struct kafka_conf c = {.brokers = {.v = (char *[]){(char[]){"127.0.0.1:1"}}, .n = 1},
	    .topic = (char[]){"t"},
	    .timeout_us = 30 * USEC_SEC,
	    .properties = {
		.names = (char *[]){(char[]){"security.protocol"}, (char[]){"ssl.ca.location"}},
		.values = (char *[]){(char[]){"ssl"}, (char[]){"/nonexistent/ca.pem"}},
		.n = 2}};
	struct host h;
	struct sink_env env;
	struct sink *s = NULL;
	struct err e;

	(void)state;
	host_open(&h);
	env = host_env(&h);
	assert_int_equal(kafka_check(&c, &e), 0);
	assert_int_equal(sink_kafka.open(&s, &env, &c, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	assert_non_null(strstr(e.text, "ssl.ca.location"));
	assert_null(s);
	host_close(&h);
}

static void
status_and_metrics(void **state)
{
	struct sample *v = samples_new(1, 5, &sample_origin);
	struct buf out = BUF_INIT(1u << 16);
	struct metrics *m = metrics_new();
	struct fixture x;

	(void)state;
	sink_start(&x, "timeout: 1h\n");
	assert_int_equal(host_submit(&sink_kafka, x.sink, v, 5), SINK_TAKEN);
	sink_kafka.status(x.sink, &out);
	assert_non_null(strstr(buf_cstr(&out), "\"messages_waiting\":5"));
	x.sink->stats = (struct kafka_stats){.known = true, .messages = 5, .broker_count = 1};
	(void)snprintf(
	    x.sink->stats.brokers[0].name, sizeof x.sink->stats.brokers[0].name, "b:1/1");
	sink_kafka.metrics(x.sink, m);
	buf_reset(&out);
	metrics_write(m, METRICS_OPEN, &out);
	assert_non_null(strstr(buf_cstr(&out), "slipring_kafka_queue_messages{sink="));
	assert_non_null(strstr(buf_cstr(&out), "broker=\"b:1/1\""));
	metrics_close(m);
	sink_stop(&x);
	buf_close(&out);
	free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nobody_answers),
	    cmocka_unit_test(after_silence_a_new_producer),
	    cmocka_unit_test(a_fatal_error),
	    cmocka_unit_test(a_fatal_refusal),
	    cmocka_unit_test(a_full_queue),
	    cmocka_unit_test(a_queue_full_of_what_was_reported),
	    cmocka_unit_test(refused_before_it_is_sent),
	    cmocka_unit_test(a_name_that_is_none),
	    cmocka_unit_test(routes_that_are_no_topics),
	    cmocka_unit_test(a_file_that_is_not_there),
	    cmocka_unit_test(status_and_metrics),
	};

	log_set(LOG_ERROR, LOG_LOGFMT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
