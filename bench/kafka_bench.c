/* bench/kafka_bench.c - the Kafka sink at full rate beside librdkafka alone.
 *
 *   kafka_bench [HOST:PORT|- [RECORDS]]   default and -: SLIPRING_TEST_KAFKA, or a broker
 *                                         of its own by tests/system/services.py
 *
 * In one run, on the same broker, into the same topic, with the same properties, keys, size
 * of message and headers: the sink behind a lane, fed with pages from memory; and the
 * loop of librdkafka's own performance example: one payload produced again and again,
 * its delivery reports polled after each. That example (rdkafka_performance.c)
 * includes librdkafka's private headers and is built by no package, so its loop is
 * written again here, with keys, which the example has only one of.
 */
#include <librdkafka/rdkafka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/drive.h"
#include "sinks/kafka_priv.h"

#define RECORDS 100000u
#define PARTITIONS 4
#define ROUNDS 5
#define KEYS 20000u

struct bare {
	uint64_t ok, failed;
};

static NORETURN void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "kafka_bench: %s: %s\n", what, why);
	exit(1);
}

/* ---- the broker ---- */

static pid_t server;
static int leash = -1;

/* "export NAME=ADDRESS" among the lines; the plaintext listener comes first. */
static bool
find_address(char *line, char *out, size_t room)
{
	char *at = strstr(line, "SLIPRING_TEST_KAFKA=");

	if (at == NULL)
		return false;
	at = strchr(at, '=') + 1;
	at += strspn(at, "'\"");
	(void)snprintf(out, room, "%.*s", (int)strcspn(at, ",'\"\n"), at);
	return true;
}

static void
start_broker(char *out, size_t room)
{
	int in[2], from[2];
	char line[512];
	FILE *f;

	if (pipe(in) != 0 || pipe(from) != 0)
		die("pipe", "failed");
	server = fork();
	if (server == 0) {
		(void)dup2(in[0], STDIN_FILENO);
		(void)dup2(from[1], STDOUT_FILENO);
		for (int fd = 3; fd < 16; fd++)
			(void)close(fd);
		(void)execlp("python3", "python3", "tests/system/services.py", "--leash", "kafka",
		    (char *)NULL);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(from[1]);
	leash = in[1];
	f = fdopen(from[0], "r");
	while (f != NULL && fgets(line, sizeof line, f) != NULL)
		if (find_address(line, out, room))
			return;
	die("no broker", "give HOST:PORT, or run tests/tools/setup.sh check");
}

static void
stop_broker(void)
{
	if (server == 0)
		return;
	(void)close(leash);
	(void)waitpid(server, NULL, 0);
}

static void
find_broker(char *out, size_t room)
{
	const char *env = getenv("SLIPRING_TEST_KAFKA");

	if (env != NULL)
		(void)snprintf(out, room, "%.*s", (int)strcspn(env, ","), env);
	else
		start_broker(out, room);
}

static void
make_topic(const char *brokers, const char *name)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	rd_kafka_NewTopic_t *topic;
	rd_kafka_queue_t *q;
	rd_kafka_event_t *ev;
	rd_kafka_t *rk;

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
	topic = rd_kafka_NewTopic_new(name, PARTITIONS, 1, why, sizeof why);
	q = rd_kafka_queue_new(rk);
	rd_kafka_CreateTopics(rk, &topic, 1, NULL, q);
	ev = rd_kafka_queue_poll(q, 30000);
	if (ev == NULL || rd_kafka_event_error(ev) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("cannot create a topic",
		    ev != NULL ? rd_kafka_event_error_string(ev) : "no answer");
	rd_kafka_event_destroy(ev);
	rd_kafka_NewTopic_destroy(topic);
	rd_kafka_queue_destroy(q);
	rd_kafka_destroy(rk);
}

/* ---- librdkafka alone ---- */

static void
on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	struct bare *b = opaque;

	(void)rk;
	if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		b->ok++;
	else
		b->failed++;
}

static rd_kafka_t *
bare_producer(const char *brokers, struct bare *b)
{
	static const char *const set[][2] = {{"enable.idempotence", "true"}, {"acks", "all"},
	    {"enable.gapless.guarantee", "true"}, {"message.timeout.ms", "0"},
	    {"partitioner", "murmur2_random"}, {"log_level", "3"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char why[256];
	rd_kafka_t *rk;

	(void)rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
	for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
		if (rd_kafka_conf_set(conf, set[i][0], set[i][1], why, sizeof why) !=
		    RD_KAFKA_CONF_OK)
			die("property", why);
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	rd_kafka_conf_set_opaque(conf, b);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
	if (rk == NULL)
		die("producer", why);
	return rk;
}

struct payload {
	char *value;
	size_t n, headers; /* headers: bytes of all values; 0: none */
	char (*keys)[32];
};

static rd_kafka_headers_t *
bare_headers(const struct payload *pl)
{
	/* As many and as long as ours. */
	static const char *const names[] = {"slipring-event-id", "slipring-sequence",
	    "slipring-shard", "slipring-stream", "slipring-time"};
	rd_kafka_headers_t *h = rd_kafka_headers_new(5);

	for (int i = 0; i < 5; i++)
		(void)rd_kafka_header_add(h, names[i], -1, pl->value, (ssize_t)(pl->headers / 5));
	return h;
}

static rd_kafka_resp_err_t
bare_send(rd_kafka_t *rk, rd_kafka_topic_t *rkt, const struct payload *pl, unsigned i)
{
	rd_kafka_vu_t v[4] = {{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = rkt},
	    {.vtype = RD_KAFKA_VTYPE_VALUE}, {.vtype = RD_KAFKA_VTYPE_KEY},
	    {.vtype = RD_KAFKA_VTYPE_HEADERS}};
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_error_t *e;

	v[1].u.mem.ptr = pl->value;
	v[1].u.mem.size = pl->n;
	v[2].u.mem.ptr = pl->keys[i % KEYS];
	v[2].u.mem.size = strlen(pl->keys[i % KEYS]);
	if (pl->headers > 0)
		v[3].u.headers = bare_headers(pl);
	e = rd_kafka_produceva(rk, v, pl->headers > 0 ? 4 : 3);
	if (e == NULL)
		return code;
	code = rd_kafka_error_code(e);
	rd_kafka_error_destroy(e);
	if (pl->headers > 0)
		rd_kafka_headers_destroy(v[3].u.headers);
	return code;
}

static void
payload_open(struct payload *pl, size_t n, size_t headers)
{
	*pl = (struct payload){.value = mem_new(n), .n = n, .headers = headers};
	memset(pl->value, 'R', n);
	pl->keys = mem_array(KEYS, sizeof *pl->keys);
	for (unsigned i = 0; i < KEYS; i++)
		(void)snprintf(pl->keys[i], sizeof pl->keys[i], "[\"customer-%u\"]", i);
}

struct spent {
	double seconds, cpu; /* cpu: of this process, all threads; the broker's is its own */
};

static double
cpu_now(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

static struct spent
run_bare(const char *brokers, const char *topic, unsigned count, size_t size, size_t headers)
{
	struct bare b = {0, 0};
	rd_kafka_t *rk = bare_producer(brokers, &b);
	rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
	struct payload pl;
	struct spent begun = {0, 0}, all;

	payload_open(&pl, size, headers);
	/* The first 500 connect, as the sink's first page does. */
	for (unsigned i = 0; i < count + 500; i++) {
		if (i == 500) {
			while (b.ok + b.failed < 500)
				(void)rd_kafka_poll(rk, 100);
			begun = (struct spent){drive_now(), cpu_now()};
		}
		while (bare_send(rk, rkt, &pl, i) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
			(void)rd_kafka_poll(rk, 10);
		(void)rd_kafka_poll(rk, 0);
	}
	while (b.ok + b.failed < count + 500)
		(void)rd_kafka_poll(rk, 100);
	all = (struct spent){drive_now() - begun.seconds, cpu_now() - begun.cpu};
	if (b.failed != 0)
		die("librdkafka alone", "messages failed");
	free(pl.value);
	free(pl.keys);
	rd_kafka_topic_destroy(rkt);
	rd_kafka_destroy(rk);
	return all;
}

/* ---- the sink ---- */

static void
run_sink(const char *brokers, const char *topic, unsigned count, const char *more,
    struct drive_result *out)
{
	struct buf yaml = BUF_INIT(4096);
	struct drive d = {.ops = &sink_kafka, .records = count, .keys = KEYS};
	void *conf;

	buf_addf(&yaml, "brokers: %s\ntopic: %s\n%s", brokers, topic, more);
	d.conf = conf = drive_conf(&sink_kafka, buf_cstr(&yaml));
	drive_run(&d, 0, out);
	conf_wipe(kafka_keys, conf);
	free(conf);
	buf_close(&yaml);
}

/* Mean bytes of a message's value, and of its headers. */
static void
measure(const char *yaml, size_t *size, size_t *headers)
{
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY), bytes = BUF_INIT(LIMIT_PAGE_BODY);
	void *conf = drive_conf(&sink_kafka, yaml);
	struct kafka_text key, value;
	size_t keys = 0;
	struct page *page;
	struct err e;

	drive_body(&body, 2 * KEYS, 500, KEYS);
	if (page_parse(&page, &body, &e) != 0)
		die("records", e.text);
	for (size_t i = 0; i < page->count; i++) {
		struct delivery d = {.rec = &page->records[i], .origin = &drive_origin};

		if (kafka_encode(conf, &d, &bytes, &key, &value, &e) != 0)
			die("encode", e.text);
		keys += key.n;
	}
	*size = (bytes.n - keys) / page->count;
	*headers = 32 + 25 + strlen(drive_origin.shard) + strlen(drive_origin.arn) + 20;
	page_unref(page);
	buf_close(&bytes);
	conf_wipe(kafka_keys, conf);
	free(conf);
}

static int
slower(const void *a, const void *b)
{
	double x = ((const struct spent *)a)->seconds, y = ((const struct spent *)b)->seconds;

	return (x > y) - (x < y);
}

static struct spent
median(struct spent *v)
{
	qsort(v, ROUNDS, sizeof *v, slower);
	return v[ROUNDS / 2];
}

static void
compare(const char *brokers, const char *what, const char *more, bool with_headers, unsigned count)
{
	struct spent ours[ROUNDS], bare[ROUNDS], us, them;
	struct buf yaml = BUF_INIT(1024);
	size_t size, headers;

	buf_addf(&yaml, "brokers: x:1\ntopic: t\n%s", more);
	measure(buf_cstr(&yaml), &size, &headers);
	headers = with_headers ? headers : 0;
	/* Two rounds for the broker to get warm, and each side goes first by turns. */
	for (int i = -2; i < ROUNDS; i++) {
		int at = i < 0 ? 0 : i;
		struct drive_result r;
		char topic[80];

		(void)snprintf(
		    topic, sizeof topic, "slipring-bench-%d-%s-%d", (int)getpid(), what, i + 2);
		make_topic(brokers, topic);
		if (i % 2 == 0)
			bare[at] = run_bare(brokers, topic, count, size, headers);
		run_sink(brokers, topic, count, more, &r);
		ours[at] = (struct spent){r.seconds, r.cpu_seconds};
		if (i % 2 != 0)
			bare[at] = run_bare(brokers, topic, count, size, headers);
	}
	us = median(ours);
	them = median(bare);
	(void)printf(
	    "%-20s %4zu B  sink %7.0f/s %4.1f us  librdkafka alone %7.0f/s %4.1f us  ratio "
	    "%.2f\n",
	    what, size, count / us.seconds, us.cpu / count * 1e6, count / them.seconds,
	    them.cpu / count * 1e6, them.seconds / us.seconds);
	buf_close(&yaml);
}

int
main(int argc, char **argv)
{
	unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : RECORDS;
	char brokers[256];

	(void)signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "-") != 0)
		(void)snprintf(brokers, sizeof brokers, "%s", argv[1]);
	else
		find_broker(brokers, sizeof brokers);
	(void)printf("kafka: %u records, median of %d rounds, %d partitions, acks=all, "
		     "idempotent; us: CPU of this process a record\n",
	    count, ROUNDS, PARTITIONS);
	compare(brokers, "dynamodb", "headers: true\nformat: dynamodb\n", true, count);
	compare(brokers, "envelope", "headers: true\n", true, count);
	compare(brokers, "envelope-no-headers", "headers: false\n", false, count);
	compare(brokers, "plain-no-headers", "headers: false\nformat: plain\n", false, count);
	(void)printf("peak resident %.0f MiB\n", (double)drive_peak_resident() / 1048576);
	stop_broker();
	return 0;
}
