/* The shard graph against listings as the service gives them: paged, in any
 * order, late, inconsistent, failing, and made up to hurt.
 *
 * One fake stream at a time: shards with the time at which the listing begins
 * and ends to show them, and knobs for what goes wrong. The host checks on
 * every found() that the parent came first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "streams/lineage.h"
#include "tests/unit/fake_api.h"
#include "tests/unit/fake_loop.h"

#define ARN "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000"
#define MINUTE (60 * USEC_SEC)
#define HOUR (60 * MINUTE)
#define FOREVER INT64_MAX

enum filter { FILTER_WORKS, FILTER_REFUSED, FILTER_IGNORED, FILTER_EMPTY, FILTER_FAILS };
enum closing { CLOSE_NEVER, CLOSE_FOUND, CLOSE_UNLISTED, CLOSE_LISTED, CLOSE_TROUBLE };

struct made {
	struct api_shard as;
	int64_t from, until; /* shown by the listing in [from, until) */
};

struct world {
	struct loop *loop;
	struct api api;
	struct rate *rate;
	struct lineage *ln;
	struct rng rng;
	/* the stream */
	struct made *made;
	size_t count;
	size_t page;
	enum stream_status status;
	enum filter filter;
	enum api_code down;    /* every call fails so; API_OK: none */
	unsigned fail_percent; /* of pages, with API_SERVER */
	bool no_end;	       /* every page gives a cursor nobody saw before */
	unsigned cursor_ring;  /* cursors go round in so many */
	unsigned stuck_at;     /* from this page on, the same cursor again and again */
	bool empty_last;       /* a cursor after the last shard, then a page of nothing */
	unsigned lookups;
	/* the host */
	char (*found)[LIMIT_SHARD_ID + 1];
	size_t found_n;
	size_t unlisted_n;
	char unlisted[LIMIT_SHARD_ID + 1];
	unsigned listed, trouble, trouble_of[API_OTHER + 1];
	bool forget;	  /* what is unlisted */
	bool forget_next; /* and the one after it */
	enum closing closing;
};

static struct made *
make(struct world *w, const char *id, const char *parent)
{
	struct made *m;

	w->made = mem_grow(w->made, w->count + 1, sizeof *w->made);
	m = &w->made[w->count++];
	*m = (struct made){.from = 0, .until = FOREVER};
	(void)snprintf(m->as.id, sizeof m->as.id, "%s", id);
	(void)snprintf(m->as.parent, sizeof m->as.parent, "%s", parent);
	m->as.start = fake_seq(100 * w->count);
	return m;
}

static struct made *
make_numbered(struct world *w, unsigned id, unsigned parent)
{
	char a[LIMIT_SHARD_ID + 1], b[LIMIT_SHARD_ID + 1] = "";

	(void)snprintf(a, sizeof a, "shardId-%020u-%08x", id, id * 2654435761u);
	if (parent != 0)
		(void)snprintf(b, sizeof b, "shardId-%020u-%08x", parent, parent * 2654435761u);
	return make(w, a, b);
}

static bool
visible(const struct world *w, const struct made *m)
{
	int64_t now = loop_now(w->loop);

	return now >= m->from && now < m->until;
}

static size_t
index_after(const struct world *w, const char *after)
{
	for (size_t i = 0; after != NULL && i < w->count; i++)
		if (strcmp(w->made[i].as.id, after) == 0)
			return i + 1;
	return 0;
}

static void
answer_page(struct world *w, const char *after, struct api_stream *s, struct api_shard *out)
{
	size_t i = index_after(w, after), n = 0;

	for (; i < w->count && n < w->page; i++)
		if (visible(w, &w->made[i]))
			out[n++] = w->made[i].as;
	s->shards = out;
	s->shard_count = n;
	if ((i < w->count || w->empty_last) && n > 0)
		memcpy(s->last_shard, w->made[i - 1].as.id, sizeof s->last_shard);
	if (w->stuck_at != 0 && w->api.describes >= w->stuck_at)
		(void)snprintf(s->last_shard, sizeof s->last_shard, "cursor");
	if (w->no_end)
		(void)snprintf(s->last_shard, sizeof s->last_shard, "cursor-%u", w->api.describes);
	if (w->cursor_ring != 0)
		(void)snprintf(s->last_shard, sizeof s->last_shard, "cursor-%u",
		    w->api.describes % w->cursor_ring);
}

static void
answer_children(struct world *w, const char *of, struct api_result *rs, struct api_stream *s,
    struct api_shard *out)
{
	w->lookups++;
	if (w->filter == FILTER_REFUSED)
		rs->code = API_VALIDATION;
	else if (w->filter == FILTER_FAILS)
		rs->code = API_SERVER;
	else if (w->filter == FILTER_IGNORED)
		answer_page(w, NULL, s, out);
	else if (w->filter == FILTER_WORKS)
		for (size_t i = 0; i < w->count; i++)
			if (visible(w, &w->made[i]) && strcmp(w->made[i].as.parent, of) == 0)
				out[s->shard_count++] = w->made[i].as;
	s->shards = out;
}

static void
on_describe(void *ctx, const char *after, const char *children_of, struct api_result *rs,
    struct api_stream *s)
{
	static struct api_shard out[1000];
	struct world *w = ctx;

	rs->code = w->down;
	if (rs->code == API_OK && rng_below(&w->rng, 100) < w->fail_percent)
		rs->code = API_SERVER;
	if (rs->code != API_OK)
		return;
	s->status = w->status;
	if (children_of != NULL)
		answer_children(w, children_of, rs, s, out);
	else
		answer_page(w, after, s, out);
}

static bool
close_if(struct world *w, enum closing at)
{
	if (w->closing != at)
		return false;
	lineage_close(w->ln);
	w->ln = NULL;
	return true;
}

static void
on_found(void *ctx, struct shard *sh)
{
	struct world *w = ctx;

	assert_int_equal(sh->state, SHARD_DISCOVERED);
	assert_ptr_equal(lineage_find(w->ln, sh->id), sh);
	for (size_t i = 0; i < w->found_n && w->count < 200; i++)
		assert_string_not_equal(w->found[i], sh->id);
	w->found = mem_grow(w->found, w->found_n + 1, sizeof *w->found);
	memcpy(w->found[w->found_n++], sh->id, sizeof sh->id);
	(void)close_if(w, CLOSE_FOUND);
}

static void
on_listed(void *ctx, bool first, const struct api_stream *info)
{
	struct world *w = ctx;

	assert_int_equal(first, w->listed == 0);
	assert_int_equal(info->status, w->status);
	w->listed++;
	(void)close_if(w, CLOSE_LISTED);
}

static void
on_unlisted(void *ctx, struct shard *sh)
{
	struct world *w = ctx;

	assert_false(sh->listed);
	w->unlisted_n++;
	memcpy(w->unlisted, sh->id, sizeof sh->id);
	if (close_if(w, CLOSE_UNLISTED) || !w->forget)
		return;
	if (w->forget_next && sh->next != NULL)
		lineage_forget(w->ln, sh->next);
	lineage_forget(w->ln, sh);
}

static void
on_trouble(void *ctx, const struct api_result *rs)
{
	struct world *w = ctx;

	assert_int_not_equal(rs->code, API_OK);
	w->trouble++;
	w->trouble_of[rs->code]++;
	(void)close_if(w, CLOSE_TROUBLE);
}

static const struct lineage_host host_of = {
    .found = on_found, .listed = on_listed, .unlisted = on_unlisted, .trouble = on_trouble};

static struct lineage *
open_lineage(struct world *w, bool fresh, const struct lineage_known *known, size_t n)
{
	struct lineage_host host = host_of;
	struct lineage_conf conf = {.list_interval_us = 60 * USEC_SEC};

	host.ctx = w;
	return lineage_new(w->loop, &w->api, w->rate, &conf, ARN, fresh, known, n, &host);
}

static void
world_init(struct world *w)
{
	*w = (struct world){.page = 100, .status = STREAM_ENABLED};
	w->loop = fake_loop_new(11);
	rng_seed(&w->rng, 12);
	fake_api_init(&w->api, w->loop, w);
	w->api.describe = on_describe;
	w->rate = rate_new(w->loop, 5, 3);
}

static void
world_start(struct world *w, bool fresh)
{
	w->ln = open_lineage(w, fresh, NULL, 0);
	lineage_start(w->ln);
}

static void
world_close(struct world *w)
{
	assert_true(fake_most_in_a_second(w->api.describe_at, w->api.describes) <= 5);
	lineage_close(w->ln);
	rate_close(w->rate);
	fake_api_close(&w->api);
	assert_int_equal(fake_armed(w->loop), 0);
	loop_close(w->loop);
	free(w->made);
	free(w->found);
}

static struct shard *
get(struct world *w, unsigned number)
{
	char id[LIMIT_SHARD_ID + 1];

	(void)snprintf(id, sizeof id, "shardId-%020u-%08x", number, number * 2654435761u);
	return lineage_find(w->ln, id);
}

static void
end_shard(struct world *w, unsigned number)
{
	struct shard *sh = get(w, number);

	assert_non_null(sh);
	if (sh->state == SHARD_DISCOVERED)
		shard_set_state(sh, SHARD_READING, "test");
	lineage_shard_ended(w->ln, sh);
}

static void
complete(struct world *w, unsigned number)
{
	shard_set_state(get(w, number), SHARD_COMPLETE, "test");
}

/* Everything that has a parent in the graph is after it, and linked both ways. */
static void
check_graph(struct world *w)
{
	size_t n = 0, linked = 0, children = 0;

	for (struct shard *sh = lineage_first(w->ln); sh != NULL; sh = sh->next) {
		n++;
		sh->user = w;
		if (sh->parent != NULL) {
			assert_string_equal(sh->parent->id, sh->parent_id);
			assert_ptr_equal(sh->parent->user, w);
			linked++;
		}
		for (struct shard *c = sh->children; c != NULL; c = c->sibling) {
			assert_ptr_equal(c->parent, sh);
			children++;
		}
	}
	assert_int_equal(linked, children);
	for (struct shard *sh = lineage_first(w->ln); sh != NULL; sh = sh->next)
		sh->user = NULL;
}

static void
shuffle(struct world *w)
{
	for (size_t i = w->count; i > 1; i--) {
		size_t j = (size_t)rng_below(&w->rng, i);
		struct made m = w->made[i - 1];

		w->made[i - 1] = w->made[j];
		w->made[j] = m;
	}
}

/* Hazards 1 and 16: all pages are read, within the budget. */
static void
test_ten_thousand(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned i = 1; i <= 10000; i++)
		make_numbered(&w, i, i > 100 ? i - 100 : 0)->as.end =
		    i <= 9950 ? fake_seq(1000000) : (struct seq){.n = 0};
	world_start(&w, true);
	fake_run(w.loop, 25 * USEC_SEC);
	assert_int_equal(w.found_n, 10000);
	assert_int_equal(w.listed, 1);
	assert_int_equal(w.api.describes, 100);
	assert_false(get(&w, 9999)->closed);
	assert_true(get(&w, 9950)->closed);
	check_graph(&w);
	fake_run(w.loop, HOUR);
	/* 100 pages: a tenth of the budget at most, so one listing in 200 s and not in 60. */
	assert_in_range(w.api.describes, 1400, 2000);
	world_close(&w);
}

/* Hazard 2. */
static void
test_cursor_rings(void **state)
{
	(void)state;
	for (unsigned ring = 1; ring <= 40; ring += ring < 5 ? 1 : 7) {
		struct world w;

		world_init(&w);
		make_numbered(&w, 1, 0);
		w.cursor_ring = ring;
		world_start(&w, true);
		fake_run(w.loop, 3 * ring * USEC_SEC / 5 + 2 * USEC_SEC);
		assert_true(w.trouble_of[API_MALFORMED] >= 1);
		fake_run(w.loop, HOUR);
		assert_int_equal(w.listed, 0);
		assert_int_equal(w.found_n, 0);
		/* Backed off to a minute, and 3 rings of calls each at most. */
		assert_in_range(w.trouble, 50, 150);
		assert_true(w.api.describes <= w.trouble * (3 * ring + 3));
		w.cursor_ring = 0; /* mended at last */
		fake_run(w.loop, 2 * MINUTE);
		assert_int_equal(w.found_n, 1);
		world_close(&w);
	}
}

/* Seen at once, also late in a listing. */
static void
test_cursor_stuck(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.page = 1;
	w.stuck_at = 70;
	for (unsigned i = 1; i <= 100; i++)
		make_numbered(&w, i, 0);
	world_start(&w, true);
	while (w.trouble == 0)
		fake_run(w.loop, 100 * USEC_MS);
	assert_int_equal(w.trouble_of[API_MALFORMED], 1);
	assert_int_equal(w.api.describes, 71);
	world_close(&w);
}

static void
test_no_end_of_pages(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	w.no_end = true;
	world_start(&w, true);
	fake_run(w.loop, 201 * USEC_SEC);
	assert_int_equal(w.trouble_of[API_MALFORMED], 1);
	assert_int_equal(w.found_n, 0);
	world_close(&w);
}

/* Hazard 3, and an exact multiple of the page. */
static void
test_empty_last_page(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.empty_last = true;
	w.page = 5;
	for (unsigned i = 1; i <= 10; i++)
		make_numbered(&w, i, i - 1);
	world_start(&w, true);
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.found_n, 10);
	assert_int_equal(w.listed, 1);
	assert_int_equal(w.trouble, 0);
	assert_int_equal(w.api.describes, 3);
	world_close(&w);
}

/* Hazard 4: a forest of splits and rotations, in 1,000 orders. */
static void
test_any_order(void **state)
{
	struct world sorted, w;

	(void)state;
	world_init(&sorted);
	for (unsigned i = 1; i <= 40; i++)
		make_numbered(&sorted, i, i <= 3 ? (i == 2 ? 99 : 0) : i / 2);
	world_start(&sorted, true);
	fake_run(sorted.loop, 10 * USEC_SEC);
	assert_int_equal(sorted.found_n, 40);
	for (unsigned round = 0; round < 1000; round++) {
		world_init(&w);
		rng_seed(&w.rng, round);
		for (size_t i = 0; i < sorted.count; i++) {
			make(&w, "x", "");
			w.made[i] = sorted.made[i];
		}
		shuffle(&w);
		w.page = 1 + (size_t)rng_below(&w.rng, 9);
		world_start(&w, true);
		fake_run(w.loop, 15 * USEC_SEC);
		assert_int_equal(w.found_n, 40);
		for (size_t i = 0; i < 40; i++)
			assert_string_equal(w.found[i], sorted.found[i]);
		assert_int_equal(get(&w, 2)->birth, SHARD_FIRST);
		check_graph(&w);
		world_close(&w);
	}
	world_close(&sorted);
}

/* Hazard 6: however the filter behaves, a late child is found within a
 * discovery period of its appearance, at a modest price. */
static void
test_late_child(void **state)
{
	static const int late[] = {0, 1, 10, 60, 600};

	(void)state;
	for (unsigned f = FILTER_WORKS; f <= FILTER_FAILS; f++) {
		for (size_t i = 0; i < ARRAY_LEN(late); i++) {
			struct world w;
			unsigned before;

			world_init(&w);
			make_numbered(&w, 1, 0);
			w.filter = f;
			world_start(&w, true);
			fake_run(w.loop, 30 * USEC_SEC);
			before = w.api.describes;
			make_numbered(&w, 2, 1)->from = loop_now(w.loop) + late[i] * USEC_SEC;
			end_shard(&w, 1);
			end_shard(&w, 1); /* said twice is said once */
			fake_run(w.loop, (late[i] < 2 ? 3 : late[i]) * USEC_SEC);
			if (late[i] >= 2)
				fake_run(w.loop, 60 * USEC_SEC);
			assert_non_null(get(&w, 2));
			assert_int_equal(get(&w, 2)->birth, SHARD_CHILD);
			assert_ptr_equal(get(&w, 2)->parent, get(&w, 1));
			assert_true(w.lookups <= 1);
			assert_true(w.api.describes - before <= 20 + (unsigned)late[i] / 20);
			world_close(&w);
		}
	}
}

/* A working filter finds a child that is there in one call. */
static void
test_lookup_is_one_call(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	world_start(&w, true);
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(w.api.describes, 1);
	make_numbered(&w, 2, 1);
	make_numbered(&w, 3, 1);
	end_shard(&w, 1);
	fake_run(w.loop, USEC_SEC);
	assert_int_equal(w.api.describes, 2);
	assert_int_equal(w.lookups, 1);
	assert_int_equal(w.found_n, 3);
	end_shard(&w, 1); /* children are known: nothing to ask */
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(w.api.describes, 2);
	world_close(&w);
}

/* Hazard 13: once refused, the filter is left alone; results are the same. */
static void
test_filter_refused_is_remembered(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.filter = FILTER_REFUSED;
	make_numbered(&w, 1, 0);
	world_start(&w, true);
	fake_run(w.loop, 10 * USEC_SEC);
	for (unsigned i = 2; i <= 20; i++) {
		make_numbered(&w, i, i - 1);
		end_shard(&w, i - 1);
		fake_run(w.loop, 2 * USEC_SEC);
		assert_non_null(get(&w, i));
	}
	assert_int_equal(w.lookups, 1);
	assert_int_equal(w.trouble, 0); /* a refusal of the filter is no trouble */
	world_close(&w);
}

/* Hazards 12 and 16: a leaf that never has a child costs a call a minute, a
 * thousand of them no more, and the others are served. */
static void
test_childless_leaves(void **state)
{
	struct world w;
	unsigned before;

	(void)state;
	world_init(&w);
	for (unsigned i = 1; i <= 1000; i++)
		make_numbered(&w, i, 0)->as.end = fake_seq(9000000);
	world_start(&w, true);
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.found_n, 1000);
	for (unsigned i = 1; i <= 999; i++)
		end_shard(&w, i);
	fake_run(w.loop, 10 * MINUTE);
	before = w.api.describes;
	fake_run(w.loop, HOUR);
	assert_true(w.lookups <= 10); /* pages of a listing: then the listing is cheaper */
	/* 10 pages, at most every minute by back-off and every minute by the clock. */
	assert_in_range(w.api.describes - before, 10 * 30, 10 * 130);
	make_numbered(&w, 2000, 1000);
	end_shard(&w, 1000);
	fake_run(w.loop, 3 * USEC_SEC);
	assert_non_null(get(&w, 2000));
	world_close(&w);
}

static void
count_found(void *ctx, struct shard *sh)
{
	struct world *w = ctx;

	(void)sh;
	w->found_n++;
}

static void
count_listed(void *ctx, bool first, const struct api_stream *info)
{
	struct world *w = ctx;

	(void)first;
	(void)info;
	w->listed++;
}

/* Hazard 16: 50 tables with 200 shards each share one budget, also while all
 * shards end at once (world_close() measures every second). */
static void
test_fifty_tables(void **state)
{
	enum { TABLES = 50, SHARDS = 200 };
	struct lineage_conf conf = {.list_interval_us = 60 * USEC_SEC};
	struct lineage *ln[TABLES];
	struct lineage_host host = host_of;
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned i = 1; i <= SHARDS; i++)
		make_numbered(&w, i, 0);
	host.ctx = &w;
	host.found = count_found;
	host.listed = count_listed;
	for (unsigned i = 0; i < TABLES; i++) {
		ln[i] = lineage_new(w.loop, &w.api, w.rate, &conf, ARN, true, NULL, 0, &host);
		lineage_start(ln[i]);
	}
	fake_run(w.loop, 21 * USEC_SEC); /* 100 pages at 5 a second */
	assert_int_equal(w.found_n, TABLES * SHARDS);
	for (unsigned i = 1; i <= SHARDS; i++)
		make_numbered(&w, SHARDS + i, i);
	for (unsigned i = 0; i < TABLES; i++) {
		for (struct shard *sh = lineage_first(ln[i]); sh != NULL; sh = sh->next) {
			shard_set_state(sh, SHARD_READING, "test");
			lineage_shard_ended(ln[i], sh);
		}
	}
	fake_run(w.loop, 75 * USEC_SEC); /* twice as many pages, and a few lookups */
	assert_int_equal(w.found_n, 2 * TABLES * SHARDS);
	fake_run(w.loop, 10 * MINUTE);
	for (unsigned i = 0; i < TABLES; i++)
		lineage_close(ln[i]);
	world_close(&w);
}

/* Hazard 7, and bounds that come and go: closed stays closed. */
static void
test_parent_shown_open(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	make_numbered(&w, 2, 1);
	world_start(&w, true);
	fake_run(w.loop, USEC_SEC);
	assert_int_equal(w.found_n, 2);
	assert_ptr_equal(lineage_first(w.ln), get(&w, 1));
	assert_false(get(&w, 1)->closed);
	w.made[0].as.end = fake_seq(150);
	fake_run(w.loop, 70 * USEC_SEC);
	assert_true(get(&w, 1)->closed);
	assert_int_equal(fake_number(&get(&w, 1)->end), 150);
	w.made[0].as.end.n = 0; /* a late listing */
	fake_run(w.loop, 70 * USEC_SEC);
	assert_true(get(&w, 1)->closed);
	world_close(&w);
}

/* Births: FIRST at the very first listing only, ORPHAN only when a second
 * listing lacks the parent too, and its descendants are no orphans. */
static void
test_orphans(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	make_numbered(&w, 2, 50); /* trimmed long ago */
	world_start(&w, true);
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(get(&w, 2)->birth, SHARD_FIRST);
	make_numbered(&w, 4, 3);
	make_numbered(&w, 3, 60); /* 60 is nowhere */
	make_numbered(&w, 5, 0);
	lineage_refresh(w.ln);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_int_equal(get(&w, 5)->birth, SHARD_CHILD);
	assert_null(get(&w, 3)); /* held back */
	assert_null(get(&w, 4));
	fake_run(w.loop, 15 * USEC_SEC);
	assert_int_equal(get(&w, 3)->birth, SHARD_ORPHAN);
	assert_int_equal(get(&w, 4)->birth, SHARD_CHILD);
	check_graph(&w);
	world_close(&w);
}

static void
test_parent_a_listing_late(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	world_start(&w, true);
	fake_run(w.loop, 10 * USEC_SEC);
	make_numbered(&w, 3, 2);
	make_numbered(&w, 2, 1)->from = loop_now(w.loop) + 5 * USEC_SEC;
	lineage_refresh(w.ln);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_null(get(&w, 3));
	fake_run(w.loop, 15 * USEC_SEC);
	assert_int_equal(get(&w, 3)->birth, SHARD_CHILD);
	assert_string_equal(w.found[1], get(&w, 2)->id);
	check_graph(&w);
	world_close(&w);
}

/* A parent that comes after its child was announced (first listing) is linked
 * all the same. */
static void
test_parent_after_its_child(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 2, 1);
	make_numbered(&w, 1, 0)->from = loop_now(w.loop) + 5 * USEC_SEC;
	world_start(&w, true);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_null(get(&w, 2)->parent);
	fake_run(w.loop, 70 * USEC_SEC);
	assert_ptr_equal(get(&w, 2)->parent, get(&w, 1));
	assert_ptr_equal(get(&w, 1)->children, get(&w, 2));
	world_close(&w);
}

/* What the store knows is in the graph from the start, linked, not found
 * again, and never an orphan. */
static void
test_known(void **state)
{
	char id[6][LIMIT_SHARD_ID + 1];
	struct lineage_known known[5];
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned i = 1; i <= 5; i++)
		make_numbered(&w, i, i == 1 ? 77 : i - 1);
	for (size_t i = 0; i < 5; i++)
		memcpy(id[i], w.made[i].as.id, sizeof id[i]);
	memcpy(id[5], w.made[0].as.parent, sizeof id[5]);
	/* 3 <- 2 <- 1 <- 77, youngest first; once twice; one that cannot be */
	known[0] = (struct lineage_known){.id = id[2], .parent = id[1]};
	known[1] = (struct lineage_known){.id = id[1], .parent = id[0], .complete = true};
	known[2] = (struct lineage_known){.id = id[0], .parent = id[5], .complete = true};
	known[3] = (struct lineage_known){.id = id[0], .parent = NULL};
	known[4] = (struct lineage_known){.id = "", .parent = NULL};
	w.ln = open_lineage(&w, false, known, 5);
	assert_ptr_equal(lineage_first(w.ln), get(&w, 1));
	assert_ptr_equal(get(&w, 1)->next, get(&w, 2));
	assert_int_equal(get(&w, 1)->state, SHARD_COMPLETE);
	assert_int_equal(get(&w, 3)->state, SHARD_DISCOVERED);
	assert_int_equal(get(&w, 3)->birth, SHARD_KNOWN);
	assert_false(get(&w, 3)->listed);
	check_graph(&w);
	lineage_start(w.ln);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_int_equal(w.found_n, 2);
	assert_string_equal(w.found[0], id[3]);
	assert_int_equal(get(&w, 4)->birth, SHARD_CHILD);
	assert_ptr_equal(get(&w, 4)->parent, get(&w, 3));
	assert_true(get(&w, 3)->listed);
	world_close(&w);
}

/* Hazard 11: a finished shard flickers in the listing for hours; it is not
 * found again. Gone for good, it is unlisted, forgotten, and leaves nothing. */
static void
test_finished_flickers(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.forget = true;
	make_numbered(&w, 1, 0)->as.end = fake_seq(500);
	make_numbered(&w, 2, 1);
	world_start(&w, true);
	fake_run(w.loop, 2 * USEC_SEC);
	complete(&w, 1);
	for (int i = 0; i < 40; i++) {
		int64_t now = loop_now(w.loop);

		w.made[0].from = now + 4 * MINUTE;
		w.made[0].until = now + 6 * MINUTE;
		fake_run(w.loop, 6 * MINUTE);
	}
	assert_int_equal(w.found_n, 2);
	assert_int_equal(w.unlisted_n, 0);
	fake_run(w.loop, 15 * MINUTE);
	assert_int_equal(w.unlisted_n, 1);
	assert_null(get(&w, 1));
	assert_null(get(&w, 2)->parent);
	assert_ptr_equal(lineage_first(w.ln), get(&w, 2));
	world_close(&w);
}

/* Not finished and gone: told after two listings at least 10 s apart, once. */
static void
test_unlisted_is_confirmed(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	make_numbered(&w, 2, 0);
	world_start(&w, true);
	fake_run(w.loop, 30 * USEC_SEC);
	w.made[0].until = loop_now(w.loop);
	lineage_refresh(w.ln);
	lineage_refresh(w.ln);
	fake_run(w.loop, 9 * USEC_SEC);
	assert_int_equal(w.listed, 2);
	assert_int_equal(w.unlisted_n, 0);
	assert_false(get(&w, 1)->listed);
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.listed, 3);
	assert_int_equal(w.unlisted_n, 1);
	assert_string_equal(w.unlisted, get(&w, 1)->id);
	fake_run(w.loop, HOUR);
	assert_int_equal(w.unlisted_n, 1);
	assert_in_range(w.listed, 55, 75); /* and nothing hurries any more */
	lineage_refresh(w.ln); /* a reader was told only now: the host waits for a word */
	fake_run(w.loop, 2 * USEC_SEC);
	assert_int_equal(w.unlisted_n, 2);
	fake_run(w.loop, HOUR);
	assert_int_equal(w.unlisted_n, 2);
	world_close(&w);
}

/* A host that asks again and again gets what half of the budget allows. */
static void
test_refresh_is_paced(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned i = 1; i <= 1000; i++)
		make_numbered(&w, i, 0);
	world_start(&w, true);
	for (unsigned i = 0; i < 600; i++) {
		lineage_refresh(w.ln);
		fake_run(w.loop, 100 * USEC_MS);
	}
	assert_in_range(w.api.describes, 100, 180); /* of 300 */
	world_close(&w);
}

/* The host may forget others than the one it is told of. */
static void
test_forgets_neighbours(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.forget = w.forget_next = true;
	for (unsigned i = 1; i <= 9; i++)
		make_numbered(&w, i, i - 1);
	world_start(&w, true);
	fake_run(w.loop, 5 * USEC_SEC);
	for (size_t i = 0; i < 8; i++)
		w.made[i].until = loop_now(w.loop);
	fake_run(w.loop, 5 * MINUTE);
	assert_int_equal(w.unlisted_n, 4);
	assert_ptr_equal(lineage_first(w.ln), get(&w, 9));
	assert_null(get(&w, 9)->next);
	check_graph(&w);
	world_close(&w);
}

static void
test_missing_once_is_nothing(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	world_start(&w, true);
	fake_run(w.loop, 30 * USEC_SEC);
	for (int i = 0; i < 20; i++) {
		w.made[0].until = loop_now(w.loop);
		lineage_refresh(w.ln);
		fake_run(w.loop, 5 * USEC_SEC);
		assert_false(get(&w, 1)->listed);
		w.made[0].until = FOREVER;
		fake_run(w.loop, 10 * USEC_SEC);
		assert_true(get(&w, 1)->listed);
	}
	assert_int_equal(w.unlisted_n, 0);
	assert_int_equal(w.found_n, 1);
	world_close(&w);
}

/* Calls fail, one in three: long listings get done, and no failure is taken
 * for an absence. */
static void
test_failing_pages(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.fail_percent = 30;
	w.page = 10;
	for (unsigned i = 1; i <= 500; i++)
		make_numbered(&w, i, i > 5 ? i - 5 : 0);
	shuffle(&w);
	world_start(&w, true);
	fake_run(w.loop, 3 * MINUTE);
	assert_int_equal(w.found_n, 500);
	assert_true(w.trouble > 5);
	fake_run(w.loop, 24 * HOUR);
	assert_int_equal(w.unlisted_n, 0);
	assert_int_equal(w.found_n, 500);
	check_graph(&w);
	world_close(&w);
}

/* Hazard 25: ten minutes of throttling, or of anything else. */
static void
test_storm(void **state)
{
	static const enum api_code codes[] = {API_THROTTLED, API_LIMIT_EXCEEDED, API_AUTH,
	    API_SERVER, API_TRANSPORT, API_MALFORMED, API_NOT_FOUND, API_VALIDATION, API_OTHER};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct world w;

		world_init(&w);
		make_numbered(&w, 1, 0);
		w.down = codes[i];
		world_start(&w, true);
		fake_run(w.loop, 10 * MINUTE);
		assert_in_range(w.trouble_of[codes[i]], 8, 100);
		assert_int_equal(w.trouble, w.trouble_of[codes[i]]);
		assert_int_equal(w.listed, 0);
		w.down = API_OK;
		fake_run(w.loop, MINUTE);
		assert_int_equal(w.found_n, 1);
		world_close(&w);
	}
}

/* Hazard 14. */
static void
test_enabling_and_disabled(void **state)
{
	struct world w;
	unsigned before;

	(void)state;
	world_init(&w);
	w.status = STREAM_ENABLING;
	make_numbered(&w, 1, 0)->from = loop_now(w.loop) + 5 * MINUTE;
	world_start(&w, true);
	fake_run(w.loop, 4 * MINUTE);
	assert_true(lineage_listed_once(w.ln));
	assert_int_equal(w.found_n, 0);
	assert_in_range(w.api.describes, 4, 6);
	w.status = STREAM_ENABLED;
	fake_run(w.loop, 3 * MINUTE);
	assert_int_equal(get(&w, 1)->birth, SHARD_CHILD); /* begun at its start, not LATEST */
	assert_false(lineage_disabled(w.ln));
	w.made[0].as.end = fake_seq(150);
	end_shard(&w, 1); /* before we hear that it is disabled */
	w.status = STREAM_DISABLED;
	fake_run(w.loop, 2 * MINUTE);
	assert_true(lineage_disabled(w.ln));
	before = w.api.describes;
	lineage_shard_ended(w.ln, get(&w, 1));
	fake_run(w.loop, HOUR);
	assert_in_range(w.api.describes - before, 54, 68); /* the clock alone */
	world_close(&w);
}

/* Parents that are their own descendants: read, told, and no endless loop. */
static void
test_circles(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 1);
	make_numbered(&w, 2, 3);
	make_numbered(&w, 3, 2);
	for (unsigned i = 100; i < 3100; i++)
		make_numbered(&w, i, i == 100 ? 3099 : i - 1);
	for (unsigned i = 4000; i < 4010; i++)
		make_numbered(&w, i, i == 4000 ? 500 : i - 1);
	shuffle(&w);
	world_start(&w, false);
	fake_run(w.loop, 20 * USEC_SEC);
	assert_int_equal(w.found_n, w.count);
	check_graph(&w);
	for (struct shard *sh = lineage_first(w.ln); sh != NULL; sh = sh->next) {
		assert_int_equal(sh->birth, SHARD_CHILD);
		shard_set_state(sh, SHARD_READING, "test");
		lineage_shard_ended(w.ln, sh);
	}
	fake_run(w.loop, 10 * MINUTE);
	check_graph(&w);
	world_close(&w);
}

/* A circle that closes only later, and a parent that changes its name. */
static void
test_late_circle(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	make_numbered(&w, 1, 0);
	make_numbered(&w, 2, 1);
	world_start(&w, true);
	fake_run(w.loop, 2 * USEC_SEC);
	memcpy(w.made[0].as.parent, w.made[1].as.id, sizeof w.made[0].as.parent);
	fake_run(w.loop, 70 * USEC_SEC);
	assert_null(get(&w, 1)->parent);
	make_numbered(&w, 3, 0);
	memcpy(w.made[1].as.parent, w.made[2].as.id, sizeof w.made[1].as.parent);
	fake_run(w.loop, 70 * USEC_SEC);
	assert_ptr_equal(get(&w, 2)->parent, get(&w, 1));
	check_graph(&w);
	world_close(&w);
}

/* Time is linear also where a listing is made up to be slow. */
static void
test_deep_chain_and_wide_fan(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned i = 1; i <= 5000; i++)
		make_numbered(&w, 10001 - i, 10000 - i);
	for (unsigned i = 20000; i < 25000; i++)
		make_numbered(&w, i, 10000);
	w.page = 1000;
	world_start(&w, true);
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(w.found_n, 10000);
	check_graph(&w);
	world_close(&w);
}

/* Hazard 10: fifty rotations while we were away, children first. */
static void
test_chain_while_away(void **state)
{
	struct lineage_known known = {0};
	char id[LIMIT_SHARD_ID + 1];
	struct world w;

	(void)state;
	world_init(&w);
	for (unsigned i = 51; i >= 1; i--)
		make_numbered(&w, i, i - 1);
	w.page = 7;
	memcpy(id, w.made[50].as.id, sizeof id);
	known.id = id;
	w.ln = open_lineage(&w, false, &known, 1);
	lineage_start(w.ln);
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.found_n, 50);
	for (unsigned i = 2; i <= 51; i++) {
		assert_int_equal(get(&w, i)->birth, SHARD_CHILD);
		assert_ptr_equal(get(&w, i)->parent, get(&w, i - 1));
	}
	world_close(&w);
}

static void
test_forgotten_while_asked_for(void **state)
{
	(void)state;
	for (int64_t after = 0; after < 30 * USEC_MS; after += USEC_MS) {
		struct world w;

		world_init(&w);
		w.page = 2;
		for (unsigned i = 1; i <= 8; i++)
			make_numbered(&w, i, 0);
		world_start(&w, true);
		fake_run(w.loop, 2 * USEC_SEC);
		for (unsigned i = 1; i <= 4; i++)
			end_shard(&w, i);
		fake_run(w.loop, after);
		for (unsigned i = 1; i <= 3; i += 2) {
			complete(&w, i);
			lineage_forget(w.ln, get(&w, i));
		}
		make_numbered(&w, 20, 2);
		make_numbered(&w, 40, 4);
		w.made[0].until = w.made[2].until = 0;
		fake_run(w.loop, 3 * USEC_SEC);
		assert_non_null(get(&w, 20));
		assert_non_null(get(&w, 40));
		world_close(&w);
	}
}

/* The host closes us from each of its callbacks. */
static void
test_closed_from_inside(void **state)
{
	(void)state;
	for (unsigned at = CLOSE_FOUND; at <= CLOSE_TROUBLE; at++) {
		struct lineage_known known = {.id = "shardId-gone"};
		struct world w;

		world_init(&w);
		make_numbered(&w, 1, 0);
		make_numbered(&w, 2, 1);
		w.closing = at;
		w.fail_percent = at == CLOSE_TROUBLE ? 100 : 0;
		w.ln = open_lineage(&w, true, &known, 1);
		lineage_start(w.ln);
		fake_run(w.loop, 2 * MINUTE);
		assert_null(w.ln);
		world_close(&w);
	}
}

/* A day of rotations, births at every moment, failures and flickering: every
 * shard is found once and parents first; what is trimmed is forgotten. */
static void
test_a_day(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 20; seed++) {
		struct world w;
		unsigned next = 6;
		size_t kept = 0;

		world_init(&w);
		rng_seed(&w.rng, seed);
		w.forget = true;
		w.fail_percent = 10;
		w.page = 3;
		w.filter = seed % 5;
		for (unsigned i = 1; i <= 5; i++)
			make_numbered(&w, i, 0);
		world_start(&w, true);
		fake_run(w.loop, MINUTE);
		for (unsigned turn = 0; turn < 100; turn++) {
			unsigned end = next - 5;
			int64_t now = loop_now(w.loop);
			struct made *m = make_numbered(&w, next, end);

			m->from = now + (int64_t)rng_below(&w.rng, 120) * USEC_SEC;
			w.made[end - 1].as.end = fake_seq(1000000);
			w.made[end - 1].until = now + 4 * HOUR;
			end_shard(&w, end);
			fake_run(w.loop, 4 * MINUTE);
			assert_non_null(get(&w, next));
			complete(&w, end);
			next++;
			fake_run(w.loop, (int64_t)rng_below(&w.rng, 16) * MINUTE);
		}
		fake_run(w.loop, 5 * HOUR);
		assert_int_equal(w.found_n, 105);
		for (struct shard *sh = lineage_first(w.ln); sh != NULL; sh = sh->next)
			kept++;
		assert_int_equal(kept, 5);
		world_close(&w);
	}
}

static void
quiet(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ten_thousand),
	    cmocka_unit_test(test_cursor_rings),
	    cmocka_unit_test(test_cursor_stuck),
	    cmocka_unit_test(test_no_end_of_pages),
	    cmocka_unit_test(test_empty_last_page),
	    cmocka_unit_test(test_any_order),
	    cmocka_unit_test(test_late_child),
	    cmocka_unit_test(test_lookup_is_one_call),
	    cmocka_unit_test(test_filter_refused_is_remembered),
	    cmocka_unit_test(test_childless_leaves),
	    cmocka_unit_test(test_fifty_tables),
	    cmocka_unit_test(test_parent_shown_open),
	    cmocka_unit_test(test_orphans),
	    cmocka_unit_test(test_parent_a_listing_late),
	    cmocka_unit_test(test_parent_after_its_child),
	    cmocka_unit_test(test_known),
	    cmocka_unit_test(test_finished_flickers),
	    cmocka_unit_test(test_unlisted_is_confirmed),
	    cmocka_unit_test(test_refresh_is_paced),
	    cmocka_unit_test(test_forgets_neighbours),
	    cmocka_unit_test(test_missing_once_is_nothing),
	    cmocka_unit_test(test_failing_pages),
	    cmocka_unit_test(test_storm),
	    cmocka_unit_test(test_enabling_and_disabled),
	    cmocka_unit_test(test_circles),
	    cmocka_unit_test(test_late_circle),
	    cmocka_unit_test(test_deep_chain_and_wide_fan),
	    cmocka_unit_test(test_chain_while_away),
	    cmocka_unit_test(test_forgotten_while_asked_for),
	    cmocka_unit_test(test_closed_from_inside),
	    cmocka_unit_test(test_a_day),
	};

	log_set_sink(quiet, NULL);
	return cmocka_run_group_tests_name("lineage", tests, NULL, NULL);
}
