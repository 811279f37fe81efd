/* bench/audit_bench.c - what the audit trail costs beyond the disk's own price.
 *
 *   audit_bench [DIRECTORY]      default: a new directory under /tmp
 *
 * In one run, on the same directory: the sink with batches of 1000 (encode, hash,
 * write, fdatasync, report through the loop); the bare loop of write and
 * fdatasync of the very same bytes in the same portions; encode and hash alone.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "sinks/audit_file.h"
#include "sinks/sink.h"

#define BATCH 1000u
#define BATCHES 200u
#define IN_FLIGHT 4u

struct bench {
	struct loop *loop;
	struct sink *sink;
	struct record *recs;
	struct delivery *d;
	unsigned submitted, reported;
};

static const struct origin origin = {.stream = "orders",
    .table = "orders",
    .arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-21T07:29:37.000",
    .label = "2026-11-21T07:29:37.000",
    .shard = "shardId-00000001795246177000-0a1b2c3d"};

static double
now_s(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
die(const struct err *e)
{
	(void)fprintf(stderr, "audit_bench: %s\n", e->text);
	exit(1);
}

/* About 1 kB on the wire: 12 attributes, both images, one changed. */
static char *
image(unsigned n, unsigned version)
{
	struct buf b = BUF_INIT(8192);
	char *copy;

	buf_addf(
	    &b, "{\"pk\":{\"S\":\"order-%08u\"},\"version\":{\"N\":\"%u\"}", n % 5000, version);
	for (unsigned i = 0; i < 10; i++)
		buf_addf(&b, ",\"attribute%u\":{\"S\":\"value %u of %u\"}", i, i * 7919, n);
	buf_add_char(&b, '}');
	copy = mem_strdup(buf_cstr(&b));
	buf_close(&b);
	return copy;
}

static void
make_records(struct bench *x)
{
	x->recs = mem_array(BATCH * BATCHES, sizeof *x->recs);
	x->d = mem_array(BATCH * BATCHES, sizeof *x->d);
	for (unsigned i = 0; i < BATCH * BATCHES; i++) {
		struct record *r = &x->recs[i];
		char text[64];

		(void)snprintf(text, sizeof text, "{\"pk\":{\"S\":\"order-%08u\"}}", i % 5000);
		r->keys = slice_of(mem_strdup(text));
		(void)snprintf(text, sizeof text, "%032x", i);
		r->event_id = slice_of(mem_strdup(text));
		r->event_name = SLICE_LIT("MODIFY");
		r->view_type = SLICE_LIT("NEW_AND_OLD_IMAGES");
		r->new_image = r->raw = slice_of(image(i, i + 1));
		r->old_image = slice_of(image(i, i));
		r->created_us = INT64_C(1795246177) * USEC_SEC;
		(void)snprintf(text, sizeof text, "%025u", i + 1);
		if (!seq_parse(slice_of(text), &r->seq))
			abort();
		x->d[i] = (struct delivery){.rec = r, .origin = &origin};
	}
}

static void
submit_more(struct bench *x)
{
	struct delivery *batch[BATCH];

	while (x->submitted < BATCH * BATCHES && x->submitted - x->reported < IN_FLIGHT * BATCH) {
		for (unsigned i = 0; i < BATCH; i++)
			batch[i] = &x->d[x->submitted + i];
		if (x->sink == NULL || sink_audit.submit(x->sink, batch, BATCH) != SINK_TAKEN)
			return;
		x->submitted += BATCH;
	}
}

static void
pump(void *arg)
{
	struct bench *x = arg;

	submit_more(x);
	if (x->reported == BATCH * BATCHES)
		loop_stop(x->loop);
}

static struct loop_timer *pump_timer;

static void
on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct bench *x = host;

	(void)d;
	if (v != SINK_ACK)
		die(why);
	if (++x->reported % BATCH == 0)
		loop_timer_arm(pump_timer, 0);
}

static void
on_ready(void *host)
{
	(void)host;
	loop_timer_arm(pump_timer, 0);
}

static double
run_sink(struct bench *x, const struct audit_conf *conf)
{
	struct sink_env env = {
	    .loop = x->loop, .name = "bench", .host = x, .report = on_report, .ready = on_ready};
	struct err e;
	double begun;

	if (sink_audit.open(&x->sink, &env, conf, &e) != 0)
		die(&e);
	pump_timer = loop_timer_new(x->loop, pump, x);
	loop_timer_arm(pump_timer, 0);
	begun = now_s();
	if (loop_run(x->loop, &e) != 0)
		die(&e);
	begun = now_s() - begun;
	loop_timer_close(pump_timer);
	sink_audit.close(x->sink);
	return begun;
}

/* The same bytes in portions of BATCH lines: the disk alone. */
static double
run_bare(const char *dir, const struct buf *all, size_t portion)
{
	char path[512];
	double begun;
	int fd;

	(void)snprintf(path, sizeof path, "%s/bare", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	begun = now_s();
	for (size_t at = 0; at < all->n; at += portion) {
		size_t n = all->n - at < portion ? all->n - at : portion;

		if (write(fd, all->p + at, n) != (ssize_t)n || fdatasync(fd) != 0)
			abort();
	}
	begun = now_s() - begun;
	(void)close(fd);
	return begun;
}

static double
run_encode(const struct bench *x, struct buf *all)
{
	char head[AUDIT_HEX + 1] =
	    "0000000000000000000000000000000000000000000000000000000000000000";
	struct audit_hash h;
	struct err e;
	double begun;

	if (audit_hash_open(&h, &e) != 0)
		die(&e);
	if (!buf_reserve(all, (size_t)BATCH * BATCHES * 2048))
		abort();
	memset(all->p, 0, all->cap); /* the pages' price is not the encoder's */
	begun = now_s();
	for (unsigned i = 0; i < BATCH * BATCHES; i++) {
		size_t start = all->n;

		audit_write_entry(all, i + 1, &x->recs[i], &origin);
		if (audit_seal(&h, all, start, head, &e) != 0)
			die(&e);
	}
	begun = now_s() - begun;
	audit_hash_close(&h);
	return begun;
}

static void
remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *de;

	while (d != NULL && (de = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), de->d_name, 0);
	if (d != NULL)
		(void)closedir(d);
	(void)rmdir(dir);
}

int
main(int argc, char **argv)
{
	char dir[400] = "/tmp/slipring-audit-bench-XXXXXX";
	struct audit_conf conf = {.directory = dir,
	    .rotate_size = INT64_C(256) << 20,
	    .rotate_age_us = INT64_C(24) * 3600 * USEC_SEC};
	struct buf all = BUF_INIT((size_t)1 << 32);
	double n = BATCH * BATCHES, sink, bare, encode;
	struct bench x = {0};
	struct err e;

	if (argc > 1)
		(void)snprintf(dir, sizeof dir, "%s/slipring-audit-bench-XXXXXX", argv[1]);
	if (mkdtemp(dir) == NULL || loop_new(&x.loop, 1, &e) != 0)
		return 1;
	log_set(LOG_WARN, LOG_LOGFMT);
	make_records(&x);
	encode = run_encode(&x, &all);
	sink = run_sink(&x, &conf);
	bare = run_bare(dir, &all, all.n / BATCHES);
	(void)printf("audit: %.0f entries of %.0f bytes, batches of %u, %u in flight, in %s\n", n,
	    (double)all.n / n, BATCH, IN_FLIGHT, dir);
	(void)printf(
	    "  sink (encode, chain, write, fdatasync, report)  %8.0f entries/s  %6.1f MB/s\n",
	    n / sink, (double)all.n / sink / 1e6);
	(void)printf(
	    "  bare write + fdatasync of the same bytes        %8.0f entries/s  %6.1f MB/s\n",
	    n / bare, (double)all.n / bare / 1e6);
	(void)printf(
	    "  encode and chain alone                          %8.0f entries/s  %6.2f us each\n",
	    n / encode, encode / n * 1e6);
	(void)printf("  sink / bare                                     %8.2f\n", bare / sink);
	loop_close(x.loop);
	remove_dir(dir);
	return 0;
}
