/* tests/unit/lane_support.h - a lane between a sink that does as it is told and a
 * host that plays one shard: what the lane let go of is given to it again from
 * the frontier. Included by one test; everything is static.
 */
#ifndef TESTS_LANE_SUPPORT_H
#define TESTS_LANE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "pipeline/lane.h"
#include "tests/unit/fake_loop.h"

#define RECORDS_MAX 2600
#define SUBMITS_MAX 8000

struct submit { /* one that the sink was given */
	size_t n;
	unsigned *number; /* owned; of the records */
};

struct sink {
	struct sink_env env;
	struct loop_timer *answer;
	struct delivery *held[RECORDS_MAX]; /* of the submits that are not answered yet */
	size_t held_count;
	size_t size[RECORDS_MAX]; /* of each of those submits */
	size_t size_first, size_count;
	struct fixture *fx;
};

struct fixture {
	struct loop *loop;
	struct lane *lane;
	struct sink *sink;
	struct window w;
	struct page *page;
	struct lane_conf conf;
	unsigned caps;
	enum sink_verdict (*judge)(const struct fixture *fx, unsigned number, size_t batch);
	int64_t answer_us;
	unsigned poison, until; /* numbers poison..until are refused */
	bool mended;
	char more[300]; /* of the sink's words */
	struct submit submits[SUBMITS_MAX];
	size_t submit_count, answered;
	unsigned acked[RECORDS_MAX], order[RECORDS_MAX * 4];
	size_t order_count;
	bool dead[RECORDS_MAX];
	size_t dead_count;
	char reason[512]; /* of the last dead letter */
	unsigned attempts;
	struct reject *burying;
	/* Each optional. */
	void (*given)(struct fixture *fx, const struct delivery *d);
	void (*buried)(struct fixture *fx, const struct reject *rj);
	void (*replayed)(void *fx, struct window *w, uint64_t ticket, enum lane_fate fate);
	char log[4096];
};

static struct fixture *now_testing; /* sink_ops->open has no other way to it */

static const struct key_schema schema = {.names = {(char *)(uintptr_t) "k", NULL}};
static const struct origin origin = {.stream = "orders",
    .table = "orders",
    .arn = "arn:x",
    .label = "2026",
    .shard = "shardId-1",
    .schema = &schema};

static unsigned
number_of(const struct record *r)
{
	struct slice s = seq_text(&r->seq);

	return (unsigned)strtoul(s.p + s.n - 6, NULL, 10);
}

/* ---- the sink ---- */

static int
sink_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	(void)conf;
	(void)e;
	s->env = *env;
	s->fx = now_testing;
	*out = s->fx->sink = s;
	return 0;
}

static void
answer(void *arg)
{
	struct sink *s = arg;
	struct fixture *fx = s->fx;
	bool failed = false; /* one worker: what is queued behind a failure comes back */
	struct err why;

	while (s->size_first < s->size_count) {
		size_t n = s->size[s->size_first++];
		bool behind = failed && (fx->caps & SINK_CAP_KEY_ORDER) != 0;

		for (size_t i = 0; i < n; i++) {
			struct delivery *d = s->held[i];
			unsigned number = number_of(d->rec);
			enum sink_verdict v = behind ? SINK_RETRY : fx->judge(fx, number, n);

			failed = failed || v == SINK_SPLIT || v == SINK_RETRY;
			(void)err_set(&why, ERR_REFUSED, "test: mapping of field%s", fx->more);
			if (v == SINK_ACK) {
				fx->acked[number]++;
				fx->order[fx->order_count++] = number;
			}
			s->env.report(s->env.host, d, v, v == SINK_ACK ? NULL : &why);
		}
		fx->answered++;
		s->held_count -= n;
		memmove(s->held, s->held + n, s->held_count * sizeof(struct delivery *));
	}
	s->size_first = s->size_count = 0;
}

static enum sink_admit
sink_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	struct submit *sm = &s->fx->submits[s->fx->submit_count++];

	assert_true(s->fx->submit_count < SUBMITS_MAX);
	*sm = (struct submit){.n = count, .number = mem_array(count, sizeof(unsigned))};
	for (size_t i = 0; i < count; i++) {
		sm->number[i] = number_of(batch[i]->rec);
		if (s->fx->given != NULL)
			s->fx->given(s->fx, batch[i]);
		s->held[s->held_count++] = batch[i];
	}
	s->size[s->size_count++] = count;
	if (s->answer == NULL)
		s->answer = loop_timer_new(s->fx->loop, answer, s);
	if (!loop_timer_armed(s->answer))
		loop_timer_arm(s->answer, s->fx->answer_us);
	return SINK_TAKEN;
}

static void
sink_close(struct sink *s)
{
	for (size_t i = 0; i < s->held_count; i++)
		s->env.report(s->env.host, s->held[i], SINK_RETRY, NULL);
	loop_timer_close(s->answer);
	free(s);
}

/* ---- the host ---- */

static void
on_moved(void *ctx, struct window *w)
{
	(void)ctx;
	(void)w;
}

static void
on_room(void *ctx, struct lane *ln)
{
	(void)ctx;
	(void)ln;
}

static void
on_dropped(void *ctx, struct lane *ln)
{
	struct fixture *fx = ctx;

	(void)ln;
	lane_drop_window(&fx->w);
}

static void
on_bury(void *ctx, struct lane *ln, struct reject *rj)
{
	struct fixture *fx = ctx;
	unsigned number = number_of(rj->rec);

	(void)ln;
	fx->dead_count += !fx->dead[number];
	fx->dead[number] = true;
	(void)snprintf(fx->reason, sizeof fx->reason, "%s", rj->reason);
	fx->attempts = rj->attempts;
	if (fx->buried != NULL)
		fx->buried(fx, rj);
	rj->next = fx->burying;
	fx->burying = rj;
}

static void
take_log(void *ctx, enum log_level level, const char *line)
{
	struct fixture *fx = ctx;
	size_t n = strlen(fx->log);

	if (level <= LOG_ERROR)
		(void)snprintf(fx->log + n, sizeof fx->log - n, "%s\n", line);
}

static struct page *
make_page(unsigned records, unsigned keys)
{
	struct buf b = BUF_INIT(1 << 20);
	struct page *p;
	struct err e;

	buf_add_str(&b, "{\"Records\":[");
	for (unsigned i = 0; i < records; i++)
		buf_addf(&b,
		    "%s{\"eventID\":\"e%u\",\"eventName\":\"INSERT\",\"dynamodb\":{\"Keys\":{\"k\":"
		    "{\"S\":\"%u\"}},\"SequenceNumber\":\"1000000000000000%06u\","
		    "\"ApproximateCreationDateTime\":1766000000}}",
		    i != 0 ? "," : "", i, i % keys, i);
	buf_add_str(&b, "]}");
	assert_int_equal(page_parse(&p, &b, &e), 0);
	return p;
}

static struct fixture *
fixture_new(unsigned records, unsigned keys)
{
	struct fixture *fx = mem_new(sizeof *fx);

	fx->loop = fake_loop_new(1);
	fx->page = make_page(records, keys);
	fx->answer_us = USEC_MS;
	fx->conf = (struct lane_conf){.batch_count = 500,
	    .batch_bytes = 4 << 20,
	    .linger_us = USEC_MS,
	    .in_flight = 5000,
	    .retry_base_us = 100 * USEC_MS,
	    .retry_cap_us = 20 * USEC_SEC,
	    .breaker_failures = 5,
	    .breaker_open_us = 60 * USEC_SEC};
	log_set(LOG_ERROR, LOG_LOGFMT);
	log_set_sink(take_log, fx);
	return fx;
}

static void
open_lane(struct fixture *fx)
{
	static struct sink_ops ops;
	struct lane_host host = {.ctx = fx,
	    .moved = on_moved,
	    .room = on_room,
	    .dropped = on_dropped,
	    .bury = on_bury,
	    .replayed = fx->replayed};
	struct err e;

	ops = (struct sink_ops){.api = SINK_API,
	    .type = "scripted",
	    .caps = fx->caps,
	    .open = sink_open,
	    .submit = sink_submit,
	    .close = sink_close};
	now_testing = fx;
	assert_int_equal(lane_new(&fx->lane, fx->loop, "s", &ops, NULL, &fx->conf, &host, &e), 0);
	lane_set_share(fx->lane, 64 << 20);
	window_init(&fx->w, fx->lane, &origin);
}

/* Gives the lane what it has let go of, and makes its dead letters durable. */
static void
turn(struct fixture *fx)
{
	if (lane_usable(fx->lane) && fx->w.parcels == NULL)
		(void)lane_take(&fx->w, fx->page, &fx->w.frontier.acked, 0);
	fake_run(fx->loop, 10 * USEC_MS);
	while (fx->burying != NULL) {
		struct reject *rj = fx->burying;

		fx->burying = rj->next;
		lane_buried(rj);
	}
}

static void
run_for(struct fixture *fx, int64_t us)
{
	for (int64_t done = 0; done < us; done += 10 * USEC_MS)
		turn(fx);
}

static void
fixture_close(struct fixture *fx)
{
	lane_close_sink(fx->lane);
	window_close(&fx->w);
	lane_close(fx->lane);
	page_unref(fx->page);
	for (size_t i = 0; i < fx->submit_count; i++)
		free(fx->submits[i].number);
	log_set_sink(NULL, NULL);
	loop_close(fx->loop);
	free(fx);
}

static bool
all_done(const struct fixture *fx)
{
	const struct seq *last = &fx->page->records[fx->page->count - 1].seq;

	return seq_is_set(&fx->w.frontier.acked) && seq_cmp(&fx->w.frontier.acked, last) == 0;
}

static void
assert_order(const struct fixture *fx, unsigned keys)
{
	long last[RECORDS_MAX];

	for (size_t i = 0; i < RECORDS_MAX; i++)
		last[i] = -1;
	for (size_t i = 0; i < fx->order_count; i++) {
		unsigned number = fx->order[i];

		assert_true((long)number > last[number % keys]);
		last[number % keys] = number;
	}
}

static bool
is_poison(const struct fixture *fx, unsigned number)
{
	return !fx->mended && number >= fx->poison && number <= fx->until;
}

#endif
