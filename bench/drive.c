/* bench/drive.c - see drive.h. */
#include "bench/drive.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "pipeline/lane.h"

#define PAGE 500u /* records of 1 kB: half of the service's 1 MB a page */

struct driving {
	struct loop *loop;
	struct lane *lane;
	struct window window;
	struct buf *bodies;
	unsigned body_count, next;
	uint64_t wanted; /* acked: the warm-up's, then all */
	uint64_t all;
	unsigned limit; /* bodies to be taken so far */
	double begun, cpu;
	struct loop_timer *timer;
};

static const struct key_schema schema = {.names = {(char[]){"pk"}, NULL}, .types = {'S', 0}};

const struct origin drive_origin = {.stream = "bench",
    .table = "bench",
    .arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/bench/stream/2026-11-21T07:29:37.000",
    .label = "2026-11-21T07:29:37.000",
    .shard = "shardId-00000001795246177000-0a1b2c3d",
    .schema = &schema};

static NORETURN void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

double
drive_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double
cpu_now(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
}

int64_t
drive_peak_resident(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (int64_t)ru.ru_maxrss * 1024;
}

static void
fill(const struct conf_key *keys, const char *yaml, void *obj)
{
	struct conf_doc *doc;
	struct err e;

	if (conf_parse(&doc, slice_of(yaml), "bench", &e) != 0 ||
	    conf_fill(conf_root(doc), keys, NULL, obj, &e) != 0)
		die("configuration", e.text);
	conf_close(doc);
}

void *
drive_conf(const struct sink_ops *ops, const char *yaml)
{
	void *conf = mem_new(ops->conf_size);
	struct err e;

	fill(ops->keys, yaml, conf);
	if (ops->check != NULL && ops->check(conf, &e) != 0)
		die("configuration", e.text);
	return conf;
}

void
drive_lane_conf(struct lane_conf *out, const char *yaml)
{
	fill(lane_keys, yaml, out);
}

/* ---- records ---- */

static void
add_text(struct buf *b, struct rng *r)
{
	static const char abc[] = "abcdefghij klmnopqrst uvwxyz-0123456789";
	unsigned n = 7 + (unsigned)rng_below(r, 14);

	for (unsigned i = 0; i < n; i++)
		buf_add_char(b, abc[rng_below(r, sizeof abc - 1)]);
}

/* Attributes 3 and 9 change with every version, as an order's state and sum do. */
static void
add_image(struct buf *b, unsigned item, unsigned version)
{
	buf_addf(b, "{\"pk\":{\"S\":\"customer-%u\"}", item);
	for (unsigned i = 1; i < 12; i++) {
		struct rng r;

		rng_seed(&r, (uint64_t)item * 64 + i + (i % 6 == 3 ? (uint64_t)version << 40 : 0));
		buf_addf(b, ",\"attr_%02u\":", i);
		if (i % 4 == 3)
			buf_addf(b, "{\"N\":\"%u.%02u\"}", (unsigned)rng_below(&r, 1000000),
			    (unsigned)rng_below(&r, 100));
		else if (i == 5)
			buf_addf(b, "{\"BOOL\":%s}", rng_below(&r, 2) ? "true" : "false");
		else if (i == 8)
			buf_addf(b, "{\"SS\":[\"red\",\"green\",\"blue-%u\"]}",
			    (unsigned)rng_below(&r, 10));
		else {
			buf_add_str(b, "{\"S\":\"");
			add_text(b, &r);
			buf_add_str(b, "\"}");
		}
	}
	buf_add_char(b, '}');
}

static void
add_record(struct buf *b, unsigned n, unsigned keys)
{
	unsigned item = n % keys, version = n / keys;

	buf_addf(b,
	    "{\"eventID\":\"%032x\",\"eventName\":\"%s\",\"eventVersion\":\"1.1\","
	    "\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"eu-west-1\",\"dynamodb\":{"
	    "\"ApproximateCreationDateTime\":1.795246177E9,\"Keys\":{\"pk\":{\"S\":\"customer-%u\"}"
	    "},"
	    "\"NewImage\":",
	    n + 1, version == 0 ? "INSERT" : "MODIFY", item);
	add_image(b, item, version);
	if (version != 0) {
		buf_add_str(b, ",\"OldImage\":");
		add_image(b, item, version - 1);
	}
	buf_addf(b,
	    ",\"SequenceNumber\":\"%025u\",\"SizeBytes\":512,"
	    "\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}",
	    n + 1);
}

void
drive_body(struct buf *out, unsigned first, unsigned count, unsigned keys)
{
	buf_add_str(out, "{\"Records\":[");
	for (unsigned i = 0; i < count; i++) {
		if (i != 0)
			buf_add_char(out, ',');
		add_record(out, first + i, keys);
	}
	buf_add_str(out, "],\"NextShardIterator\":\"next\"}");
	if (out->failed)
		die("records", "out of memory");
}

/* ---- the run ---- */

static void
take_more(void *arg)
{
	struct driving *g = arg;

	while (g->next < g->limit) {
		size_t bytes = g->bodies[g->next].n * 2;
		struct page *page;
		struct err e;

		if (!lane_reserve(g->lane, bytes))
			return;
		lane_reserve_undo(g->lane, bytes);
		if (page_parse(&page, &g->bodies[g->next++], &e) != 0)
			die("records", e.text);
		(void)lane_take(&g->window, page, &(struct seq){.n = 0}, 0);
		page_unref(page);
	}
}

static void
on_moved(void *ctx, struct window *w)
{
	struct driving *g = ctx;

	(void)w;
	if (lane_stats_get(g->lane)->acked != g->wanted)
		return;
	if (g->limit == g->body_count) {
		loop_stop(g->loop);
		return;
	}
	g->limit = g->body_count;
	g->wanted = g->all;
	g->begun = drive_now();
	g->cpu = cpu_now();
	loop_timer_arm(g->timer, 0);
}

static void
on_room(void *ctx, struct lane *ln)
{
	(void)ln;
	take_more(ctx);
}

static void
on_dropped(void *ctx, struct lane *ln)
{
	(void)ctx;
	die("the target", lane_stats_get(ln)->last_error);
}

static void
on_bury(void *ctx, struct lane *ln, struct reject *rj)
{
	(void)ctx;
	(void)ln;
	die("a record was refused", rj->reason);
}

static void
open_all(struct driving *g, const struct drive *d)
{
	const struct lane_host host = {
	    .ctx = g, .moved = on_moved, .room = on_room, .dropped = on_dropped, .bury = on_bury};
	struct lane_conf lane;
	struct err e;

	drive_lane_conf(&lane, "{}");
	log_set(LOG_WARN, LOG_LOGFMT);
	if (loop_new(&g->loop, 1, &e) != 0 ||
	    lane_new(&g->lane, g->loop, "bench", d->ops, d->conf, d->lane != NULL ? d->lane : &lane,
		&host, &e) != 0)
		die(d->ops->type, e.text);
	lane_set_share(g->lane, d->share != 0 ? d->share : INT64_C(32) << 20);
	window_init(&g->window, g->lane, &drive_origin);
	g->timer = loop_timer_new(g->loop, take_more, g);
}

/* The first page is the warm-up. Returns the bytes of the others. */
static int64_t
make_bodies(struct driving *g, const struct drive *d, unsigned first)
{
	unsigned all = d->records + PAGE;
	int64_t bytes = 0;

	g->all = all;
	g->wanted = PAGE;
	g->limit = 1;
	g->body_count = (all + PAGE - 1) / PAGE;
	g->bodies = mem_array(g->body_count, sizeof *g->bodies);
	for (unsigned i = 0; i < g->body_count; i++) {
		unsigned at = i * PAGE, n = all - at < PAGE ? all - at : PAGE;

		g->bodies[i] = BUF_INIT(LIMIT_PAGE_BODY);
		drive_body(&g->bodies[i], first + at, n, d->keys);
		if (i != 0)
			bytes += (int64_t)g->bodies[i].n;
	}
	return bytes;
}

void
drive_run(const struct drive *d, unsigned first, struct drive_result *out)
{
	struct driving g = {.next = 0};
	struct err e;

	out->bytes = make_bodies(&g, d, first);
	open_all(&g, d);
	loop_timer_arm(g.timer, 0);
	if (loop_run(g.loop, &e) != 0)
		die("loop", e.text);
	out->seconds = drive_now() - g.begun;
	out->cpu_seconds = cpu_now() - g.cpu;
	out->batches = lane_stats_get(g.lane)->batches;
	loop_timer_close(g.timer);
	lane_close_sink(g.lane);
	window_close(&g.window);
	lane_close(g.lane);
	loop_close(g.loop);
	free(g.bodies);
}
