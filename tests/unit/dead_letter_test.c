/* tests/unit/dead_letter_test.c - dead letters, superseded marks and replays
 * between a lane with a sink that does as it is told and a store in memory, on virtual time.
 *
 * The host is what pipeline.c is to a lane, without streams: records of one shard
 * are given to the lane by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checkpoint/letters.h"
#include "pipeline/dead_letter.h"
#include "pipeline/replay.h"
#include "record/key.h"
#include "tests/unit/fake_loop.h"

#define ARN_A "arn:aws:dynamodb:eu-west-1:0:table/orders/stream/2026-01-01T00:00:00.000"
#define ARN_B "arn:aws:dynamodb:eu-west-1:0:table/orders/stream/2026-02-01T00:00:00.000"
#define ARN_C "arn:aws:dynamodb:eu-west-1:0:table/others/stream/2026-02-01T00:00:00.000"
#define ROWS_MAX 300

/* ---- a store: transactions and fetches are carried out 1 ms later, in order ---- */

struct row {
	bool there;
	char *arn, *sink, *record, *key, *hash_key, *reason, *superseded;
	struct dead_letter d;
};

struct job_kept {
	struct txn *txn;
	struct letter_query *q;
	void (*done)(void *arg, const struct err *e);
	void (*fetched)(void *arg, struct txn *rows, const struct err *e);
	void *arg;
};

struct store_kept {
	struct store store;
	struct loop_timer *timer;
	struct row rows[ROWS_MAX];
	struct job_kept queue[64];
	size_t count;
	bool stuck, full;
};

static struct row *
row_of(struct store_kept *s, uint64_t id)
{
	assert_true(id > 0 && id < ROWS_MAX);
	return &s->rows[id];
}

static void
put_row(struct store_kept *s, const struct dead_letter *d)
{
	struct row *r = NULL;

	for (size_t i = 1; i < ROWS_MAX && r == NULL; i++)
		if (s->rows[i].there && seq_cmp(&s->rows[i].d.seq, &d->seq) == 0 &&
		    strcmp(s->rows[i].arn, d->arn) == 0 && strcmp(s->rows[i].sink, d->sink) == 0)
			r = &s->rows[i];
	if (r != NULL) {
		r->d.attempts += d->attempts;
		free(r->reason);
		r->d.reason = r->reason = mem_strdup(d->reason);
		return;
	}
	r = row_of(s, d->id);
	assert_false(r->there);
	r->there = true;
	r->d = *d;
	r->d.arn = r->arn = mem_strdup(d->arn);
	r->d.sink = r->sink = mem_strdup(d->sink);
	r->d.shard = "s1";
	r->d.stream = "orders";
	r->d.key = r->key = mem_strdup(d->key);
	r->d.hash_key = r->hash_key = mem_strdup(d->hash_key);
	r->d.range_key = "";
	r->d.reason = r->reason = mem_strdup(d->reason);
	r->d.superseded = r->superseded = mem_strdup(d->superseded);
	r->record = mem_slicedup(d->record);
	r->d.record = slice_of(r->record);
	r->d.event_id = SLICE_NONE;
}

static void
drop_row(struct row *r)
{
	if (!r->there)
		return;
	free(r->arn);
	free(r->sink);
	free(r->record);
	free(r->key);
	free(r->hash_key);
	free(r->reason);
	free(r->superseded);
	*r = (struct row){.there = false};
}

static void
apply(struct store_kept *s, const struct txn *t)
{
	for (const struct txn_op *op = txn_first(t); op != NULL; op = op->next) {
		const struct dead_letter *d = &op->u.dead_letter;

		if (op->kind == TXN_DEAD_LETTER)
			put_row(s, d);
		if (op->kind == TXN_DROP_LETTER)
			drop_row(row_of(s, d->id));
		if (op->kind == TXN_SUPERSEDE && row_of(s, d->id)->there) {
			free(row_of(s, d->id)->superseded);
			row_of(s, d->id)->d.superseded = row_of(s, d->id)->superseded =
			    mem_strdup(d->superseded);
		}
	}
}

static struct txn *
rows_that_fit(struct store_kept *s, const struct letter_query *q)
{
	struct txn *rows = txn_new();

	for (size_t i = 1; i < ROWS_MAX; i++)
		if (s->rows[i].there && letter_fits(q, &s->rows[i].d) &&
		    (q->limit == 0 || txn_count(rows) < q->limit))
			txn_dead_letter(rows, &s->rows[i].d);
	return rows;
}

static void
on_store_timer(void *arg)
{
	struct store_kept *s = arg;
	struct err e;

	(void)err_retry(&e, ERR_NOSPACE, "store: full");
	while (s->count != 0 && !s->stuck) {
		struct job_kept j = s->queue[0];

		memmove(s->queue, s->queue + 1, --s->count * sizeof *s->queue);
		if (j.q != NULL) {
			struct txn *rows = rows_that_fit(s, j.q);

			letter_query_free(j.q);
			j.fetched(j.arg, rows, NULL);
			continue;
		}
		if (!s->full)
			apply(s, j.txn);
		txn_close(j.txn);
		j.done(j.arg, s->full ? &e : NULL);
	}
}

static void
enqueue(struct store *base, struct job_kept j)
{
	struct store_kept *s = CONTAINER_OF(base, struct store_kept, store);

	assert_true(s->count < ARRAY_LEN(s->queue));
	s->queue[s->count++] = j;
	loop_timer_arm(s->timer, USEC_MS);
}

static void
kept_commit(struct store *s, struct txn *t, void (*done)(void *arg, const struct err *e), void *arg)
{
	enqueue(s, (struct job_kept){.txn = t, .done = done, .arg = arg});
}

static void
kept_fetch(struct store *s, const struct letter_query *q,
    void (*done)(void *arg, struct txn *rows, const struct err *e), void *arg)
{
	enqueue(s, (struct job_kept){.q = letter_query_dup(q), .fetched = done, .arg = arg});
}

static const struct store_ops kept_ops = {
    .name = "kept", .commit = kept_commit, .fetch = kept_fetch};

/* ---- a sink ---- */

struct sink {
	struct sink_env env;
	struct loop_timer *answer;
	struct delivery *held[ROWS_MAX];
	size_t count;
};

struct fixture {
	struct loop *loop;
	struct store_kept kept;
	struct pipeline pl;
	struct slot slot;
	struct lane_conf conf;
	struct sink *sink;
	struct sink_ops ops;
	struct window live;
	struct page *pages[8];
	size_t page_count;
	enum sink_verdict verdict; /* of numbers in from..to; ACK for the others */
	unsigned from, to;
	bool silent;
	char label[64];	 /* of the last delivery */
	char said[8192]; /* what reached the target, in order: "3 " live, "3r " replayed */
};

static struct fixture *now_testing;

static unsigned
number_of(const struct record *r)
{
	struct slice s = seq_text(&r->seq);

	return (unsigned)strtoul(s.p + s.n - 6, NULL, 10);
}

static void
say(char *text, size_t room, unsigned n, bool replayed)
{
	size_t at = strlen(text);

	assert_true(at + 16 < room);
	(void)snprintf(text + at, room - at, "%u%s ", n, replayed ? "r" : "");
}

static void
answer(void *arg)
{
	struct sink *s = arg;
	struct fixture *fx = now_testing;
	size_t n = s->count;
	struct err why;

	if (fx->silent)
		return;
	s->count = 0;
	(void)err_set(&why, ERR_REFUSED, "does not fit");
	for (size_t i = 0; i < n; i++) {
		struct delivery *d = s->held[i];
		unsigned number = number_of(d->rec);
		bool bad;

		(void)snprintf(fx->label, sizeof fx->label, "%s", d->origin->label);
		bad = number >= fx->from && number <= fx->to;

		if (!bad || fx->verdict == SINK_ACK)
			say(fx->said, sizeof fx->said, number, d->replayed);
		s->env.report(s->env.host, d, bad ? fx->verdict : SINK_ACK, bad ? &why : NULL);
	}
}

static int
sink_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	(void)conf;
	(void)e;
	s->env = *env;
	s->answer = loop_timer_new(env->loop, answer, s);
	*out = now_testing->sink = s;
	return 0;
}

static enum sink_admit
sink_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	for (size_t i = 0; i < count; i++)
		s->held[s->count++] = batch[i];
	loop_timer_arm(s->answer, USEC_MS);
	return SINK_TAKEN;
}

static void
sink_close(struct sink *s)
{
	for (size_t i = 0; i < s->count; i++)
		s->env.report(s->env.host, s->held[i], SINK_RETRY, NULL);
	loop_timer_close(s->answer);
	free(s);
}

/* ---- the host ---- */

void /* pipeline.c would bring the streams along */
pipeline_check(struct pipeline *pl)
{
	(void)pl;
}

static void
on_moved(void *ctx, struct window *w)
{
	(void)ctx;
	(void)w;
}

static void
on_room(void *ctx, struct lane *ln)
{
	(void)ln;
	replay_poke(ctx);
}

static void
on_dropped(void *ctx, struct lane *ln)
{
	struct slot *sl = ctx;

	lane_drop_window(&now_testing->live);
	replay_dropped(sl);
	if (lane_state_get(ln) == LANE_HALTED)
		replay_halted(sl);
}

static void
on_bury(void *ctx, struct lane *ln, struct reject *rj)
{
	(void)ln;
	slot_bury(ctx, rj);
}

static void
on_acked(void *ctx, const struct delivery *d)
{
	slot_acked(ctx, d);
}

static bool
on_stale(void *ctx, const struct delivery *d)
{
	return slot_stale(ctx, d);
}

static void
on_replayed(void *ctx, struct window *w, uint64_t ticket, enum lane_fate fate)
{
	replay_done(ctx, w, ticket, fate);
}

static const struct key_schema schema = {.names = {(char *)(uintptr_t) "k", NULL}};
static const struct origin origin = {.stream = "orders",
    .table = "orders",
    .arn = ARN_B,
    .label = "2026-02-01T00:00:00.000",
    .shard = "s1",
    .schema = &schema};

static void
pipeline_up(struct fixture *fx)
{
	struct lane_host host = {.ctx = &fx->slot,
	    .moved = on_moved,
	    .room = on_room,
	    .dropped = on_dropped,
	    .bury = on_bury,
	    .acked = on_acked,
	    .stale = on_stale,
	    .replayed = on_replayed};
	struct err e;

	fx->pl = (struct pipeline){.loop = fx->loop, .store = &fx->kept.store};
	fx->pl.keeper = keeper_new(fx->loop, fx->pl.store, 100 * USEC_MS);
	fx->pl.graves = graves_new(&fx->pl);
	fx->pl.slots = &fx->slot;
	fx->slot = (struct slot){.pl = &fx->pl, .conf = &fx->conf};
	letters_init(&fx->slot.letters);
	assert_int_equal(
	    lane_new(&fx->slot.lane, fx->loop, "out", &fx->ops, NULL, &fx->conf, &host, &e), 0);
	lane_set_share(fx->slot.lane, 1 << 20);
	window_init(&fx->live, fx->slot.lane, &origin);
	for (size_t i = 1; i < ROWS_MAX; i++)
		if (fx->kept.rows[i].there) {
			graves_load(fx->pl.graves, &fx->kept.rows[i].d);
			fx->pl.last_letter_id = i;
		}
	graves_start(fx->pl.graves);
}

static void
pipeline_down(struct fixture *fx)
{
	lane_close_sink(fx->slot.lane);
	graves_close(fx->pl.graves);
	job_close(&fx->slot);
	window_close(&fx->live);
	lane_close(fx->slot.lane);
	letters_close(&fx->slot.letters);
	/* What the process never heard of is not durable. */
	for (size_t i = 0; i < fx->kept.count; i++) {
		struct job_kept *j = &fx->kept.queue[i];
		struct err gone = {.code = ERR_CANCELLED};

		if (j->q != NULL) {
			letter_query_free(j->q);
			j->fetched(j->arg, NULL, &gone);
		}
	}
	keeper_close(fx->pl.keeper);
	for (size_t i = 0; i < fx->kept.count; i++) {
		struct job_kept *j = &fx->kept.queue[i];
		struct err gone = {.code = ERR_CANCELLED};

		if (j->q == NULL) {
			txn_close(j->txn);
			j->done(j->arg, &gone);
		}
	}
	fx->kept.count = 0;
}

static struct fixture *
fixture_new(unsigned caps)
{
	struct fixture *fx = mem_new(sizeof *fx);

	now_testing = fx;
	fx->loop = fake_loop_new(1);
	fx->kept.store.ops = &kept_ops;
	fx->kept.timer = loop_timer_new(fx->loop, on_store_timer, &fx->kept);
	fx->ops = (struct sink_ops){.api = SINK_API,
	    .type = "told",
	    .caps = caps,
	    .open = sink_open,
	    .submit = sink_submit,
	    .close = sink_close};
	fx->conf = (struct lane_conf){.batch_count = 100,
	    .batch_bytes = 1 << 20,
	    .in_flight = 100,
	    .retry_base_us = 100 * USEC_MS,
	    .retry_cap_us = USEC_SEC,
	    .breaker_failures = 3,
	    .breaker_open_us = 60 * USEC_SEC};
	fx->verdict = SINK_REJECT;
	fx->from = 1;
	fx->to = 0;
	pipeline_up(fx);
	return fx;
}

static void
fixture_close(struct fixture *fx)
{
	pipeline_down(fx);
	for (size_t i = 0; i < fx->page_count; i++)
		page_unref(fx->pages[i]);
	for (size_t i = 0; i < ROWS_MAX; i++)
		drop_row(&fx->kept.rows[i]);
	loop_timer_close(fx->kept.timer);
	loop_close(fx->loop);
	free(fx);
}

/* Records from..to of the live shard; their keys are number % keys. */
static void
deliver(struct fixture *fx, unsigned from, unsigned to, unsigned keys)
{
	struct buf b = BUF_INIT(1 << 20);
	struct page *p;
	struct err e;

	buf_add_str(&b, "{\"Records\":[");
	for (unsigned i = from; i <= to; i++)
		buf_addf(&b,
		    "%s{\"eventID\":\"e%u\",\"eventName\":\"INSERT\",\"dynamodb\":{\"Keys\":{\"k\":"
		    "{\"S\":\"%u\"}},\"SequenceNumber\":\"1000000000000000%06u\"}}",
		    i != from ? "," : "", i, i % keys, i);
	buf_add_str(&b, "]}");
	assert_int_equal(page_parse(&p, &b, &e), 0);
	fx->pages[fx->page_count++] = p;
	assert_int_equal(lane_take(&fx->live, p, &(struct seq){.n = 0}, 0), to - from + 1);
}

static void
refuse(struct fixture *fx, unsigned from, unsigned to)
{
	fx->from = from;
	fx->to = to;
}

static size_t
letters_kept(const struct fixture *fx)
{
	size_t n = 0;

	for (size_t i = 0; i < ROWS_MAX; i++)
		n += fx->kept.rows[i].there;
	assert_int_equal(n, fx->slot.letters.count);
	return n;
}

static void
replay(struct fixture *fx, int64_t rate)
{
	struct err e;

	fx->said[0] = '\0';
	if (job_start(&fx->slot, JOB_REPLAY, &(struct letter_query){.sink = "out"}, rate, &e) != 0)
		fail_msg("%s", e.text);
}

static long long
count_of(struct fixture *fx, const char *name)
{
	json_t *o = job_json(&fx->slot);
	long long n = (long long)json_integer_value(json_object_get(o, name));

	json_decref(o);
	return n;
}

/* ---- tests ---- */

static void
letters_are_delivered_in_order_and_go(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 3, 252);
	deliver(fx, 1, 260, 50);
	fake_run(fx->loop, 20 * USEC_SEC);
	assert_int_equal(letters_kept(fx), 250);
	assert_string_equal(fx->said, "1 2 253 254 255 256 257 258 259 260 ");
	assert_true(fx->kept.rows[1].d.hash_key[0] == 'k');
	refuse(fx, 1, 0);
	replay(fx, 0);
	fake_run(fx->loop, 20 * USEC_SEC);
	assert_false(job_running(&fx->slot));
	assert_int_equal(count_of(fx, "delivered"), 250);
	assert_int_equal(letters_kept(fx), 0);
	assert_memory_equal(fx->said, "3r 4r 5r 6r ", 12);
	assert_non_null(strstr(fx->said, " 51r 52r 53r 54r "));
	assert_non_null(strstr(fx->said, " 251r 252r "));
	/* Positions are none of a replay's business. */
	assert_true(frontier_empty(&fx->live.frontier));
	assert_int_equal(lane_held(fx->slot.lane), 0);
	fixture_close(fx);
}

static void
what_is_refused_again_stays(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 4);
	deliver(fx, 1, 4, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 2, 2);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_false(job_running(&fx->slot));
	assert_int_equal(count_of(fx, "delivered"), 3);
	assert_int_equal(count_of(fx, "refused"), 1);
	assert_int_equal(letters_kept(fx), 1);
	assert_true(fx->kept.rows[2].there);
	assert_int_equal(fx->kept.rows[2].d.attempts, 2);
	fixture_close(fx);
}

/* on-reject: halt and skip are for what has no letter yet. */
static void
what_is_refused_again_stays_whatever_on_reject_says(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	pipeline_down(fx);
	fx->conf.on_reject = LANE_SKIP;
	pipeline_up(fx);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(count_of(fx, "refused"), 1);
	assert_int_equal(letters_kept(fx), 1);
	fixture_close(fx);
}

static void
newer_changes_supersede(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_OVERWRITES);

	(void)state;
	refuse(fx, 11, 12); /* keys 1 and 2 */
	deliver(fx, 1, 15, 10);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 2);
	assert_int_equal(fx->slot.letters.superseded, 0);
	deliver(fx, 21, 21, 10); /* key 1 again */
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(fx->slot.letters.superseded, 1);
	assert_string_equal(fx->kept.rows[1].d.superseded,
	    "2026-02-01T00:00:00.000/0000000000000000001000000000000000000021");
	assert_string_equal(fx->kept.rows[2].d.superseded, "");
	/* Through a restart as well. */
	pipeline_down(fx);
	pipeline_up(fx);
	assert_int_equal(fx->slot.letters.superseded, 1);
	refuse(fx, 1, 0);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "12r ");
	assert_int_equal(count_of(fx, "superseded"), 1);
	assert_int_equal(letters_kept(fx), 1);
	fixture_close(fx);
}

/* A sink that keeps a history, or compares versions, gets it all the same. */
static void
superseded_ones_go_where_they_do_no_harm(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_KEY_ORDER);
	struct err e;

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	deliver(fx, 11, 11, 10);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(fx->slot.letters.superseded, 1);
	refuse(fx, 1, 0);
	/* Unless it is asked not to: a compacted topic. */
	fx->said[0] = '\0';
	assert_int_equal(job_start(&fx->slot, JOB_REPLAY,
			     &(struct letter_query){.sink = "out", .fresh = true}, 0, &e),
	    0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "");
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "1r ");
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

/* Older ones that come again after a crash supersede nothing, and the
 * very record, accepted now, takes its letter away. */
static void
repeats_supersede_nothing(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_OVERWRITES);

	(void)state;
	refuse(fx, 11, 11);
	deliver(fx, 1, 11, 10);
	fake_run(fx->loop, USEC_SEC);
	pipeline_down(fx);
	pipeline_up(fx);
	refuse(fx, 1, 0);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(fx->slot.letters.superseded, 0);
	assert_int_equal(letters_kept(fx), 1);
	deliver(fx, 11, 11, 10);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

/* Read again after a crash: the record itself, and then a newer one, are ahead
 * of the replay, and take its letter away. */
static void
a_replay_of_what_was_delivered_meanwhile_is_stale(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_OVERWRITES);

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	pipeline_down(fx);
	pipeline_up(fx);
	refuse(fx, 1, 0);
	fx->said[0] = '\0';
	fx->silent = true;
	deliver(fx, 1, 1, 10);
	deliver(fx, 11, 11, 10);
	fake_run(fx->loop, 100 * USEC_MS);
	assert_int_equal(job_start(&fx->slot, JOB_REPLAY, &(struct letter_query){.sink = "out"}, 0,
			     &(struct err){0}),
	    0);
	fake_run(fx->loop, 100 * USEC_MS);
	fx->silent = false;
	loop_timer_arm(fx->sink->answer, 1);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "1 11 ");
	assert_int_equal(letters_kept(fx), 0);
	assert_int_equal(count_of(fx, "superseded"), 0);
	assert_false(job_running(&fx->slot));
	fixture_close(fx);
}

/* The newer change is with the target when the replay begins. */
static void
a_replay_waits_for_what_is_out_and_is_stale_then(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_OVERWRITES);

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	fx->silent = true;
	deliver(fx, 11, 11, 10);
	fake_run(fx->loop, 100 * USEC_MS);
	assert_int_equal(lane_out(fx->slot.lane), 1);
	replay(fx, 0);
	fake_run(fx->loop, 100 * USEC_MS);
	assert_int_equal(lane_out(fx->slot.lane), 1);
	fx->silent = false;
	loop_timer_arm(fx->sink->answer, 1);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "11 ");
	assert_int_equal(count_of(fx, "superseded"), 1);
	assert_int_equal(letters_kept(fx), 1);
	assert_false(job_running(&fx->slot));
	fixture_close(fx);
}

/* So too where many of an item may be out: in a compacted topic the older would stay. */
static void
a_fresh_replay_is_not_sent_behind_what_is_out(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_KEY_ORDER);
	struct err e;

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 2, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	fx->said[0] = '\0';
	fx->silent = true;
	deliver(fx, 11, 11, 10);
	fake_run(fx->loop, 100 * USEC_MS);
	assert_int_equal(job_start(&fx->slot, JOB_REPLAY,
			     &(struct letter_query){.sink = "out", .fresh = true}, 0, &e),
	    0);
	fake_run(fx->loop, 100 * USEC_MS);
	/* What comes behind the replay waits with it. */
	deliver(fx, 21, 22, 10);
	fake_run(fx->loop, 100 * USEC_MS);
	assert_int_equal(lane_out(fx->slot.lane), 2);
	fx->silent = false;
	loop_timer_arm(fx->sink->answer, 1);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "11 22 21 ");
	assert_int_equal(count_of(fx, "superseded"), 1);
	assert_int_equal(letters_kept(fx), 1);
	assert_false(job_running(&fx->slot));
	fixture_close(fx);
}

/* The replay is with the target when a newer change arrives. */
static void
newer_changes_wait_for_a_replay(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_OVERWRITES);

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	fx->silent = true;
	replay(fx, 0);
	fake_run(fx->loop, 100 * USEC_MS);
	deliver(fx, 11, 12, 10);
	fake_run(fx->loop, 100 * USEC_MS);
	assert_int_equal(lane_out(fx->slot.lane), 2); /* the replay, and 12 */
	fx->silent = false;
	loop_timer_arm(fx->sink->answer, 1);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "1r 12 11 ");
	fixture_close(fx);
}

/* Of two letters of an item the newer one is delivered first, by its number. */
static void
a_replay_supersedes_older_letters(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_OVERWRITES);
	struct err e;
	const uint64_t second[] = {2};

	(void)state;
	refuse(fx, 1, 11);
	deliver(fx, 1, 1, 10);
	deliver(fx, 11, 11, 10);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 2);
	refuse(fx, 1, 0);
	assert_int_equal(
	    job_start(&fx->slot, JOB_REPLAY,
		&(struct letter_query){.sink = "out", .ids = second, .id_count = 1}, 0, &e),
	    0);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 1);
	assert_true(fx->kept.rows[1].there);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "");
	assert_int_equal(count_of(fx, "superseded"), 1);
	fixture_close(fx);
}

/* Replaced meanwhile by another stream of the table: its version stays its own. */
static void
a_letter_keeps_its_stream(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->label, "2026-02-01T00:00:00.000");
	pipeline_down(fx);
	free(fx->kept.rows[1].arn);
	fx->kept.rows[1].d.arn = fx->kept.rows[1].arn = mem_strdup(ARN_A);
	pipeline_up(fx);
	refuse(fx, 1, 0);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "1r ");
	assert_string_equal(fx->label, "2026-01-01T00:00:00.000");
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

static void
tables_are_told_apart_and_streams_are_not(void **state)
{
	struct record r = {.created_us = 0};
	struct letters ls;
	struct dead_letter d = {.id = 1, .arn = ARN_A, .shard = "s1", .sink = "out"};
	struct origin o = origin;
	struct letter *lt;
	bool known;
	int order;

	(void)state;
	letters_init(&ls);
	assert_true(seq_parse(SLICE_LIT("900"), &d.seq));
	assert_true(seq_parse(SLICE_LIT("5"), &r.seq));
	lt = letters_add(&ls, &d, &known);
	assert_false(known);
	/* The stream that followed has small numbers again. */
	assert_true(letter_same_item(lt, &r, &o, &order));
	assert_true(order < 0);
	o.arn = ARN_A;
	assert_true(letter_same_item(lt, &r, &o, &order));
	assert_true(order > 0);
	o.arn = ARN_C;
	assert_false(letter_same_item(lt, &r, &o, &order));
	assert_ptr_equal(letters_add(&ls, &d, &known), lt);
	assert_true(known);
	letters_close(&ls);
}

static void
a_broken_sink_is_waited_for(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 150);
	deliver(fx, 1, 150, 200);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 150);
	fx->verdict = SINK_RETRY;
	replay(fx, 0);
	fake_run(fx->loop, 30 * USEC_SEC);
	assert_int_equal(lane_state_get(fx->slot.lane), LANE_BROKEN);
	assert_int_equal(lane_held(fx->slot.lane), 0);
	assert_true(job_running(&fx->slot));
	assert_int_equal(letters_kept(fx), 150);
	refuse(fx, 1, 0);
	fake_run(fx->loop, 90 * USEC_SEC);
	assert_false(job_running(&fx->slot));
	assert_int_equal(count_of(fx, "delivered"), 150);
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

static void
a_halt_ends_it_and_is_not_begun_against(void **state)
{
	struct fixture *fx = fixture_new(0);
	struct err e;

	(void)state;
	refuse(fx, 1, 5);
	deliver(fx, 1, 5, 200);
	fake_run(fx->loop, USEC_SEC);
	fx->verdict = SINK_HALT;
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(lane_state_get(fx->slot.lane), LANE_HALTED);
	assert_false(job_running(&fx->slot));
	assert_int_equal(letters_kept(fx), 5);
	assert_int_equal(
	    job_start(&fx->slot, JOB_REPLAY, &(struct letter_query){.sink = "out"}, 0, &e), -1);
	assert_non_null(strstr(e.text, "slipring resume out"));
	refuse(fx, 1, 0);
	assert_true(lane_resume(fx->slot.lane));
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

static void
the_brake_holds_for_replays_too(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 50);
	deliver(fx, 1, 50, 200);
	fake_run(fx->loop, USEC_SEC);
	pipeline_down(fx);
	fx->conf.brake = 10;
	pipeline_up(fx);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(lane_state_get(fx->slot.lane), LANE_HALTED);
	assert_false(job_running(&fx->slot));
	assert_int_equal(letters_kept(fx), 50);
	fixture_close(fx);
}

static void
full_letters_halt(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	fx->conf.letters_max = 7;
	refuse(fx, 1, 50);
	deliver(fx, 1, 50, 200);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(lane_state_get(fx->slot.lane), LANE_HALTED);
	assert_int_equal(lane_halt_cause(fx->slot.lane), LANE_HALT_HOST);
	assert_int_equal(letters_kept(fx), 7);
	assert_true(slot_letter_counts(&fx->slot).full);
	fixture_close(fx);
}

/* The target has it, and the process dies before the letter is gone. */
static void
a_crash_before_the_letter_is_gone_repeats_it(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 1);
	deliver(fx, 1, 1, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	replay(fx, 0);
	fake_run(fx->loop, USEC_MS); /* the fetch */
	fx->kept.stuck = true;
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "1r ");
	assert_true(job_running(&fx->slot)); /* not before it is durable */
	pipeline_down(fx);
	fx->kept.stuck = false;
	pipeline_up(fx);
	assert_int_equal(letters_kept(fx), 1);
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "1r ");
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

static void
a_full_disk_delays_and_loses_nothing(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 3);
	deliver(fx, 1, 3, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 2, 2);
	fx->kept.full = true;
	replay(fx, 0);
	fake_run(fx->loop, 10 * USEC_SEC);
	assert_true(job_running(&fx->slot));
	fx->kept.full = false;
	fake_run(fx->loop, 20 * USEC_SEC);
	assert_false(job_running(&fx->slot));
	assert_int_equal(letters_kept(fx), 1);
	assert_true(fx->kept.rows[2].there);
	assert_int_equal(fx->kept.rows[2].d.attempts, 2);
	fixture_close(fx);
}

/* Delivered, and nobody is told before the letters are gone for good. */
static void
it_ends_when_letters_are_gone_for_good(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 3);
	deliver(fx, 1, 3, 10);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	fx->kept.full = true;
	replay(fx, 0);
	fake_run(fx->loop, 10 * USEC_SEC);
	assert_int_equal(count_of(fx, "delivered"), 3);
	assert_true(job_running(&fx->slot));
	fx->kept.full = false;
	fake_run(fx->loop, 20 * USEC_SEC);
	assert_false(job_running(&fx->slot));
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

static void
a_rate_is_kept(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 100);
	deliver(fx, 1, 100, 200);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	replay(fx, 20);
	fake_run(fx->loop, 2 * USEC_SEC);
	assert_true(count_of(fx, "delivered") >= 36 && count_of(fx, "delivered") <= 42);
	fake_run(fx->loop, 4 * USEC_SEC);
	assert_int_equal(count_of(fx, "delivered"), 100);
	fixture_close(fx);
}

/* The second portion cannot be read while the first is still with the sink: what it has is
 * borrowed from the job, so no other may take its place. */
static void
one_that_ends_early_keeps_its_place(void **state)
{
	struct fixture *fx = fixture_new(0);
	struct err e;

	(void)state;
	refuse(fx, 1, 10);
	deliver(fx, 1, 10, 200);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	fx->kept.rows[3].d.record = SLICE_LIT("{");
	fx->silent = true;
	replay(fx, 20);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(lane_out(fx->slot.lane), 2);
	assert_true(job_running(&fx->slot));
	assert_int_equal(
	    job_start(&fx->slot, JOB_REPLAY, &(struct letter_query){.sink = "out"}, 0, &e), -1);
	fx->silent = false;
	loop_timer_arm(fx->sink->answer, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_false(job_running(&fx->slot));
	assert_int_equal(letters_kept(fx), 8);
	fixture_close(fx);
}

static void
memory_is_asked_for(void **state)
{
	struct fixture *fx = fixture_new(0);

	(void)state;
	refuse(fx, 1, 100);
	deliver(fx, 1, 100, 200);
	fake_run(fx->loop, USEC_SEC);
	refuse(fx, 1, 0);
	assert_true(lane_reserve(fx->slot.lane, 1 << 20));
	replay(fx, 0);
	fake_run(fx->loop, USEC_SEC);
	assert_string_equal(fx->said, "");
	lane_unreserve(fx->slot.lane, 1 << 20);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 0);
	fixture_close(fx);
}

static void
letters_are_dropped(void **state)
{
	struct fixture *fx = fixture_new(0);
	struct err e;

	(void)state;
	refuse(fx, 1, 100);
	deliver(fx, 1, 100, 200);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(job_start(&fx->slot, JOB_DROP,
			     &(struct letter_query){.sink = "out", .key = "[\"17\"]"}, 0, &e),
	    0);
	assert_int_equal(
	    job_start(&fx->slot, JOB_DROP, &(struct letter_query){.sink = "out"}, 0, &e), -1);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 99);
	assert_false(fx->kept.rows[17].there);
	assert_int_equal(job_start(&fx->slot, JOB_DROP,
			     &(struct letter_query){.sink = "out", .limit = 40}, 0, &e),
	    0);
	fake_run(fx->loop, USEC_SEC);
	assert_int_equal(letters_kept(fx), 59);
	assert_int_equal(count_of(fx, "dropped"), 40);
	fixture_close(fx);
}

static void
sinks_of_shard_order_take_nothing_late(void **state)
{
	struct fixture *fx = fixture_new(SINK_CAP_KEY_ORDER | SINK_CAP_SHARD_ORDER);
	struct err e;

	(void)state;
	assert_int_equal(
	    job_start(&fx->slot, JOB_REPLAY, &(struct letter_query){.sink = "out"}, 0, &e), -1);
	assert_non_null(strstr(e.text, "order of a shard"));
	fixture_close(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(letters_are_delivered_in_order_and_go),
	    cmocka_unit_test(what_is_refused_again_stays),
	    cmocka_unit_test(what_is_refused_again_stays_whatever_on_reject_says),
	    cmocka_unit_test(newer_changes_supersede),
	    cmocka_unit_test(superseded_ones_go_where_they_do_no_harm),
	    cmocka_unit_test(repeats_supersede_nothing),
	    cmocka_unit_test(a_replay_of_what_was_delivered_meanwhile_is_stale),
	    cmocka_unit_test(a_replay_waits_for_what_is_out_and_is_stale_then),
	    cmocka_unit_test(a_fresh_replay_is_not_sent_behind_what_is_out),
	    cmocka_unit_test(newer_changes_wait_for_a_replay),
	    cmocka_unit_test(a_replay_supersedes_older_letters),
	    cmocka_unit_test(a_letter_keeps_its_stream),
	    cmocka_unit_test(tables_are_told_apart_and_streams_are_not),
	    cmocka_unit_test(a_broken_sink_is_waited_for),
	    cmocka_unit_test(a_halt_ends_it_and_is_not_begun_against),
	    cmocka_unit_test(the_brake_holds_for_replays_too),
	    cmocka_unit_test(full_letters_halt),
	    cmocka_unit_test(a_crash_before_the_letter_is_gone_repeats_it),
	    cmocka_unit_test(a_full_disk_delays_and_loses_nothing),
	    cmocka_unit_test(it_ends_when_letters_are_gone_for_good),
	    cmocka_unit_test(a_rate_is_kept),
	    cmocka_unit_test(one_that_ends_early_keeps_its_place),
	    cmocka_unit_test(memory_is_asked_for),
	    cmocka_unit_test(letters_are_dropped),
	    cmocka_unit_test(sinks_of_shard_order_take_nothing_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
