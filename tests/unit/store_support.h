/* tests/unit/store_support.h - what the tests of the SQLite store share: a
 * directory of their own, a loop with a bound, rows made from a number.
 */
#ifndef TESTS_UNIT_STORE_SUPPORT_H
#define TESTS_UNIT_STORE_SUPPORT_H

#include "checkpoint/store_sqlite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ARN "arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-11-21T07:29:37.000"

struct fixture {
	char dir[64];
	char path[96];
	struct loop *lp;
	struct loop_timer *bound;
	unsigned done, failed; /* calls since the fixture was made */
	unsigned want;	       /* stop the loop at that many */
	struct store *own;     /* open on the loop */
	struct err e;	       /* of the last failure */
};

static inline void
out_of_time(void *arg)
{
	(void)arg;
	fail_msg("the store did not answer within 60 s");
}

static inline void
fixture_loop(struct fixture *f)
{
	assert_int_equal(loop_new(&f->lp, 1, &f->e), 0);
	f->bound = loop_timer_new(f->lp, out_of_time, NULL);
}

static inline int
fixture_open(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	const char *base = getenv("TMPDIR");

	(void)snprintf(
	    f->dir, sizeof f->dir, "%.40s/slipring.XXXXXX", base != NULL ? base : "/tmp");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof f->path, "%s/state.db", f->dir);
	fixture_loop(f);
	*state = f;
	return 0;
}

static inline int
fixture_close(void **state)
{
	static const char *const files[] = {"", "-wal", "-shm", ".lock", ".new"};
	struct fixture *f = *state;
	char path[128];

	store_close(f->own); /* the test failed half-way */
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof path, "%s%s", f->path, files[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(f->dir), 0); /* and nothing else was left there */
	loop_timer_close(f->bound);
	loop_close(f->lp);
	free(f);
	return 0;
}

static inline void
on_done(void *arg, const struct err *e)
{
	struct fixture *f = arg;

	f->done++;
	if (e != NULL) {
		f->failed++;
		f->e = *e;
	}
	if (f->done == f->want)
		loop_stop(f->lp);
}

/* Runs the loop until that many done calls in all. */
static inline void
wait_for(struct fixture *f, unsigned done)
{
	if (f->done >= done)
		return;
	f->want = done;
	loop_timer_arm(f->bound, 60 * USEC_SEC);
	assert_int_equal(loop_run(f->lp, &f->e), 0);
	loop_timer_disarm(f->bound);
}

static inline struct store *
open_store(struct fixture *f, enum store_open how)
{
	struct store *s = NULL;

	if (store_sqlite_open(&s, how == STORE_OWN ? f->lp : NULL, f->path, how, &f->e) != 0)
		fail_msg("%s", f->e.text);
	if (how == STORE_OWN)
		f->own = s;
	return s;
}

static inline void
close_store(struct fixture *f, struct store *s)
{
	if (f->own == s)
		f->own = NULL;
	store_close(s);
}

static inline struct seq
seq_of_number(uint64_t n)
{
	char text[32];
	struct seq s;

	(void)snprintf(text, sizeof text, "%021llu", (unsigned long long)n);
	assert_true(seq_parse(slice_of(text), &s));
	return s;
}

/* Eight positions take turns, and a gap a transaction numbers them all. */
static inline struct txn *
numbered_txn(uint64_t n)
{
	struct txn *t = txn_new();
	char shard[40];
	struct position_row p = {.arn = ARN, .shard = shard, .sink = "trail"};
	struct gap g = {.id = n, .arn = ARN, .shard = shard, .sink = "trail"};

	(void)snprintf(shard, sizeof shard, "shardId-%020llu", (unsigned long long)(n % 8));
	p.pos.kind = POS_AFTER;
	p.pos.seq = seq_of_number(n);
	p.updated_us = (int64_t)n;
	g.last_acked = p.pos;
	txn_position(t, &p);
	txn_gap(t, &g);
	return t;
}

/* What is there, checked to be the state after transactions 1..count. */
struct numbered {
	uint64_t gaps, highest;
	uint64_t at[8];
};

static inline void
see_gap(void *ctx, const struct gap *g)
{
	struct numbered *n = ctx;

	n->gaps++;
	if (g->id > n->highest)
		n->highest = g->id;
}

static inline void
see_position(void *ctx, const struct position_row *r)
{
	struct numbered *n = ctx;
	unsigned long shard = strtoul(r->shard + 8, NULL, 10);
	char text[64] = "";

	assert_true(shard < 8);
	memcpy(text, seq_text(&r->pos.seq).p, seq_text(&r->pos.seq).n);
	n->at[shard] = strtoull(text, NULL, 10);
}

static inline uint64_t
load_numbered(struct store *s)
{
	struct numbered n = {0};
	struct store_visitor v = {.ctx = &n, .gap = see_gap, .position = see_position};
	struct err e;

	if (store_load(s, &v, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(n.gaps, n.highest); /* 1..highest: none in between is missing */
	for (uint64_t k = 0; k < 8; k++) {
		uint64_t want = n.highest >= k ? n.highest - (n.highest - k) % 8 : 0;

		assert_int_equal(n.at[k], want);
	}
	return n.highest;
}

#endif
