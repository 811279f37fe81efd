/* The reader against one shard of a made-up service.
 *
 * The shard holds records 1, 2, 3 ... with numbers as the service gives them;
 * an iterator is a text "type|position|issued at", good for 15 minutes, and
 * answers as the world is when it is used: horizon, faults, empty pages. The
 * host keeps the sum of credit and the numbers it was given; the oracle is
 * that it got first .. last without a hole.
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
#include "streams/reader.h"
#include "tests/unit/fake_api.h"
#include "tests/unit/fake_loop.h"

#define ARN "arn:aws:dynamodb:eu-west-1:111122223333:table/orders/stream/2026-01-01T00:00:00.000"
#define SHARD "shardId-00000001414562045508-2bac9cd2"
#define MINUTE (60 * USEC_SEC)
#define HOUR (60 * MINUTE)
#define START 10 /* StartingSequenceNumber; the first record may be later */

enum closing {
	CLOSE_NEVER,
	CLOSE_CREDIT,
	CLOSE_REFUND,
	CLOSE_PAGE,
	CLOSE_END,
	CLOSE_LOST,
	CLOSE_TROUBLE
};

struct world {
	struct loop *loop;
	struct api api;
	struct rate *rate;
	struct reader *rd;
	struct rng rng;
	/* the shard: records START .. newest */
	uint64_t newest, horizon; /* records below horizon are trimmed */
	bool closed;
	unsigned page;
	unsigned empty;	       /* pages still to come without records */
	bool end_on_empty;     /* the null iterator comes on a page of its own */
	bool empty_string_end; /* has_next with "" */
	bool gone;
	bool rejects_start; /* ValidationException for AT and AFTER */
	/* faults */
	enum api_code iterator_down, records_down;
	unsigned fail_percent;
	unsigned fail_next; /* so many GetRecords fail with fail_code */
	enum api_code fail_code;
	bool forget_iterators; /* NotFound on GetRecords until a new one was asked for */
	unsigned too_large;    /* more records than this on a page cannot be read */
	const char *token;     /* what to give as the next iterator */
	uint64_t *script;      /* numbers to send instead, a page each */
	size_t script_n, script_at;
	/* seen by the service */
	char last_iterator[64];
	enum iterator_type types[64];
	uint64_t numbers[64];
	unsigned types_n;
	unsigned stale_tries; /* iterators used that had expired */
	unsigned least_limit;
	/* the host */
	int64_t budget, held, most_held;
	size_t credits, refunds, pages, records;
	size_t last_credit;
	uint64_t first, last;
	unsigned holes, repeats;
	unsigned ended, lost, trouble, trouble_of[API_OTHER + 1];
	enum reader_loss loss;
	unsigned warnings;
	enum closing closing;
	bool kick_in_credit;
};

static struct world *logged; /* whose warnings are counted */

static void
on_iterator(void *ctx, const char *shard, enum iterator_type type, const struct seq *seq,
    struct api_result *rs, char out[LIMIT_ITERATOR + 1])
{
	struct world *w = ctx;
	uint64_t number = seq != NULL ? fake_number(seq) : 0, at = 0;

	assert_string_equal(shard, SHARD);
	if (w->types_n < ARRAY_LEN(w->types)) {
		w->types[w->types_n] = type;
		w->numbers[w->types_n] = number;
	}
	w->types_n++;
	rs->code = w->iterator_down;
	if (rs->code == API_OK && w->gone)
		rs->code = API_NOT_FOUND;
	if (rs->code == API_OK && w->rejects_start && seq != NULL)
		rs->code = API_VALIDATION;
	if (type == ITER_TRIM_HORIZON)
		at = w->horizon;
	else if (type == ITER_LATEST)
		at = w->newest + 1;
	else if (type == ITER_AT)
		at = number;
	else
		at = number + 1;
	if (rs->code == API_OK && seq != NULL && at < w->horizon)
		rs->code = API_TRIMMED;
	if (rs->code == API_OK)
		w->forget_iterators = false;
	(void)snprintf(out, LIMIT_ITERATOR, "T|%llu|%lld", (unsigned long long)at,
	    (long long)loop_now(w->loop));
}

static enum api_code
fault(struct world *w, uint64_t at, int64_t issued)
{
	if (w->records_down != API_OK)
		return w->records_down;
	if (loop_now(w->loop) - issued > 15 * MINUTE) {
		w->stale_tries++;
		return API_EXPIRED_ITERATOR;
	}
	if (w->gone || w->forget_iterators)
		return API_NOT_FOUND;
	if (w->fail_next > 0) {
		w->fail_next--;
		return w->fail_code;
	}
	if (rng_below(&w->rng, 100) < w->fail_percent)
		return w->fail_code;
	return at < w->horizon ? API_TRIMMED : API_OK;
}

static void
on_records(
    void *ctx, const char *iterator, unsigned limit, struct api_result *rs, struct page **out)
{
	struct world *w = ctx;
	uint64_t numbers[1000];
	unsigned long long at;
	long long issued;
	char next[LIMIT_ITERATOR + 1];
	size_t n = 0;
	bool end;

	assert_int_equal(sscanf(iterator, "T|%llu|%lld", &at, &issued), 2);
	(void)snprintf(w->last_iterator, sizeof w->last_iterator, "%s", iterator);
	w->least_limit = limit < w->least_limit ? limit : w->least_limit;
	rs->code = fault(w, at, issued);
	if (rs->code != API_OK)
		return;
	if (w->empty > 0)
		w->empty--;
	else
		for (; n < w->page && n < limit && at <= w->newest; at++)
			numbers[n++] = at;
	if (w->script_at < w->script_n)
		numbers[n++] = w->script[w->script_at++];
	if (n > w->too_large) {
		rs->code = API_MALFORMED;
		return;
	}
	end = w->closed && at > w->newest && w->empty == 0 && (!w->end_on_empty || n == 0);
	(void)snprintf(next, sizeof next, "T|%llu|%lld", at, (long long)loop_now(w->loop));
	if (w->token != NULL)
		*out = fake_page(numbers, n, w->token);
	else if (end)
		*out = fake_page(numbers, n, w->empty_string_end ? "" : NULL);
	else
		*out = fake_page(numbers, n, next);
}

static void
close_if(struct world *w, enum closing at)
{
	if (w->closing != at || w->rd == NULL)
		return;
	reader_close(w->rd);
	w->rd = NULL;
}

static bool
on_credit(void *ctx, struct reader *rd, size_t bytes)
{
	struct world *w = ctx;

	assert_ptr_equal(rd, w->rd);
	w->credits++;
	w->last_credit = bytes;
	if (w->closing == CLOSE_CREDIT) {
		close_if(w, CLOSE_CREDIT);
		return false;
	}
	if (w->kick_in_credit && w->held + (int64_t)bytes > w->budget) {
		w->kick_in_credit = false;
		w->budget = INT64_MAX;
		reader_kick(rd);
		return false;
	}
	if (w->held + (int64_t)bytes > w->budget)
		return false;
	w->held += (int64_t)bytes;
	w->most_held = w->held > w->most_held ? w->held : w->most_held;
	return true;
}

static void
on_refund(void *ctx, struct reader *rd, size_t bytes)
{
	struct world *w = ctx;

	(void)rd;
	w->held -= (int64_t)bytes;
	w->refunds++;
	close_if(w, CLOSE_REFUND);
}

static void
on_page(void *ctx, struct reader *rd, struct page *page, size_t credited)
{
	struct world *w = ctx;

	assert_int_equal(w->ended + w->lost, 0);
	assert_false(reader_ended(rd));
	assert_true(page->read_us != 0);
	w->held -= (int64_t)credited;
	w->pages++;
	for (size_t i = 0; i < page->count; i++) {
		uint64_t number = fake_number(&page->records[i].seq);

		if (w->records++ == 0)
			w->first = number;
		else if (number <= w->last)
			w->repeats++;
		else if (number != w->last + 1)
			w->holes++;
		if (number > w->last)
			w->last = number;
	}
	if (page->count > 0)
		assert_int_equal(fake_number(reader_last(rd)), w->last);
	reader_kick(rd); /* says nothing while it is at work */
	close_if(w, CLOSE_PAGE);
}

static void
on_end(void *ctx, struct reader *rd)
{
	struct world *w = ctx;

	assert_true(reader_ended(rd));
	w->ended++;
	close_if(w, CLOSE_END);
}

static void
on_lost(void *ctx, struct reader *rd, enum reader_loss loss, const struct api_result *rs)
{
	struct world *w = ctx;

	(void)rd;
	assert_int_not_equal(rs->code, API_OK);
	w->lost++;
	w->loss = loss;
	close_if(w, CLOSE_LOST);
}

static void
on_trouble(void *ctx, struct reader *rd, const struct api_result *rs)
{
	struct world *w = ctx;

	(void)rd;
	assert_int_not_equal(rs->code, API_OK);
	w->trouble++;
	w->trouble_of[rs->code]++;
	close_if(w, CLOSE_TROUBLE);
}

static const struct reader_host host_of = {
    .credit = on_credit,
    .refund = on_refund,
    .page = on_page,
    .end = on_end,
    .lost = on_lost,
    .trouble = on_trouble,
};

static void
world_init(struct world *w)
{
	*w = (struct world){.newest = 0,
	    .horizon = START,
	    .page = 1000,
	    .budget = INT64_MAX,
	    .least_limit = 1000,
	    .too_large = 1000};
	w->newest = START - 1;
	w->loop = fake_loop_new(21);
	rng_seed(&w->rng, 22);
	fake_api_init(&w->api, w->loop, w);
	w->api.iterator = on_iterator;
	w->api.records = on_records;
	w->rate = rate_new(w->loop, 4, 1);
	logged = w;
}

static void
world_open(struct world *w, enum pos_kind kind, uint64_t after)
{
	struct reader_conf conf = {.idle_us = USEC_SEC, .limit = 1000};
	struct reader_host host = host_of;
	struct seq start = fake_seq(START);
	struct pos from = {.kind = kind};

	if (kind == POS_AFTER)
		from.seq = fake_seq(after);
	host.ctx = w;
	w->rd =
	    reader_new(w->loop, &w->api, w->rate, true, &conf, ARN, SHARD, &start, &from, &host);
}

static void
world_close(struct world *w)
{
	assert_true(fake_most_in_a_second(w->api.get_at, w->api.gets) <= 4);
	assert_int_equal(w->holes, 0);
	reader_close(w->rd);
	assert_int_equal(w->held, 0);
	rate_close(w->rate);
	fake_api_close(&w->api);
	assert_int_equal(fake_armed(w->loop), 0);
	loop_close(w->loop);
	logged = NULL;
}

static void
assert_read(const struct world *w, uint64_t first, uint64_t last)
{
	assert_int_equal(w->holes, 0);
	assert_int_equal(w->first, first);
	assert_int_equal(w->last, last);
	assert_int_equal(w->records, last - first + 1);
}

/* Hazard 18 and 19: the last page's records come before the end, whatever the
 * end looks like. */
static void
test_to_the_end(void **state)
{
	(void)state;
	for (unsigned form = 0; form < 4; form++) {
		struct world w;

		world_init(&w);
		w.newest = 5509; /* 5,500 records: the last page is half full */
		w.closed = true;
		w.end_on_empty = form & 1;
		w.empty_string_end = form & 2;
		world_open(&w, POS_AT_START, 0);
		fake_run(w.loop, 10 * USEC_SEC);
		assert_read(&w, START, 5509);
		assert_int_equal(w.ended, 1);
		assert_true(reader_ended(w.rd));
		assert_int_equal(w.pages, form & 1 ? 7 : 6);
		assert_int_equal(w.types_n, 1);
		assert_int_equal(fake_armed(w.loop), 0); /* idle for good */
		world_close(&w);
	}
}

static void
test_empty_shard_ends_at_once(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.closed = true;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, USEC_SEC);
	assert_int_equal(w.ended, 1);
	assert_int_equal(w.records, 0);
	assert_false(seq_is_set(reader_last(w.rd)));
	world_close(&w);
}

static void
test_start_positions(void **state)
{
	struct world w;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		static const enum pos_kind kinds[] = {
		    POS_AT_START, POS_TRIM_HORIZON, POS_LATEST, POS_AFTER};
		static const enum iterator_type types[] = {
		    ITER_AT, ITER_AT, ITER_LATEST, ITER_AFTER};
		static const uint64_t numbers[] = {START, START, 0, 50};
		static const uint64_t first[] = {START, START, 101, 51};

		world_init(&w);
		w.newest = 100;
		world_open(&w, kinds[i], 50);
		fake_run(w.loop, 2 * USEC_SEC);
		w.newest = 200;
		fake_run(w.loop, 2 * USEC_SEC);
		assert_int_equal(w.types_n, 1);
		assert_int_equal(w.types[0], types[i]);
		assert_int_equal(w.numbers[0], numbers[i]);
		assert_read(&w, first[i], 200);
		world_close(&w);
	}
}

/* A later shard whose beginning was trimmed is a loss and never a jump
 * (design.md 5, rule 3); at trim-horizon it is what was asked for. */
static void
test_trimmed_start(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 100;
	w.horizon = 40;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.loss, READER_TRIMMED);
	assert_int_equal(w.records, 0);
	assert_int_equal(w.types_n, 1);
	assert_int_equal(fake_armed(w.loop), 0);
	world_close(&w);

	world_init(&w);
	w.newest = 100;
	w.horizon = 40;
	world_open(&w, POS_TRIM_HORIZON, 0);
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(w.lost, 0);
	assert_int_equal(w.types[1], ITER_TRIM_HORIZON);
	assert_read(&w, 40, 100);
	world_close(&w);
}

static void
test_start_refused(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 100;
	w.rejects_start = true;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_int_equal(w.types[0], ITER_AT);
	assert_int_equal(w.types[1], ITER_TRIM_HORIZON);
	assert_read(&w, START, 100);
	world_close(&w);

	world_init(&w);
	w.newest = 100;
	w.rejects_start = true;
	world_open(&w, POS_AFTER, 50);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.loss, READER_REFUSED);
	assert_int_equal(w.records, 0);
	world_close(&w);
}

/* Hazard 21: nothing between the start and the first record is lost, whether
 * the first iterator is never had, expires, or is not known any more. */
static void
test_latest_is_asked_for_once(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 5; how++) {
		struct world w;

		world_init(&w);
		w.newest = 100;
		w.iterator_down = how == 0 ? API_SERVER : API_OK;
		w.budget = how == 1 || how == 4 ? 0 : INT64_MAX;
		world_open(&w, POS_LATEST, 0);
		fake_run(w.loop, USEC_SEC);
		if (how == 2)
			w.forget_iterators = true;
		if (how == 3)
			w.records_down = API_EXPIRED_ITERATOR;
		w.newest = 150; /* written after the start, and before it could be read */
		fake_run(w.loop, how == 1 ? 16 * MINUTE : 3 * USEC_SEC);
		if (how == 4)
			w.fail_next = 1, w.fail_code = API_TRIMMED; /* an emulator on a new table */
		w.iterator_down = w.records_down = API_OK;
		w.budget = INT64_MAX;
		reader_kick(w.rd);
		fake_run(w.loop, 15 * USEC_SEC);
		assert_int_equal(w.types[0], ITER_LATEST);
		for (unsigned i = 1; i < w.types_n; i++)
			assert_int_equal(w.types[i], ITER_AT);
		assert_true(w.types_n >= 2);
		assert_int_equal(w.lost, 0);
		assert_read(&w, START, 150);
		world_close(&w);
	}
}

/* A shard that was whole when trim-horizon was asked for is not stepped over
 * when it is trimmed while the sink is down. */
static void
test_horizon_passes_a_blocked_reader(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 100;
	w.budget = 0;
	world_open(&w, POS_TRIM_HORIZON, 0);
	fake_run(w.loop, 25 * HOUR);
	w.newest = 200;
	w.horizon = 90;
	w.budget = INT64_MAX;
	reader_kick(w.rd);
	fake_run(w.loop, 5 * USEC_SEC);
	/* First asked AT its start, so we know that it was whole. */
	assert_int_equal(w.types[0], ITER_AT);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.loss, READER_TRIMMED);
	assert_int_equal(w.records, 0);
	world_close(&w);
}

/* Hazard 20: a sink blocks for 16 min, 2 h, 20 h. */
static void
test_expiry_under_backpressure(void **state)
{
	static const int64_t blocks[] = {16 * MINUTE, 2 * HOUR, 20 * HOUR};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(blocks); i++) {
		struct world w;
		uint64_t events;

		world_init(&w);
		w.newest = 3000;
		w.page = 500;
		world_open(&w, POS_AT_START, 0);
		fake_run(w.loop, USEC_SEC);
		assert_in_range(w.records, 1500, 2500);
		w.budget = 0;
		fake_run(w.loop, USEC_SEC);
		events = fake_events(w.loop);
		fake_run(w.loop, blocks[i]);
		assert_int_equal(fake_events(w.loop), events); /* parked, without a timer */
		assert_int_equal(w.types_n, 1);
		w.budget = INT64_MAX;
		reader_kick(w.rd);
		reader_kick(w.rd);
		fake_run(w.loop, 10 * USEC_SEC);
		assert_int_equal(w.types_n, 2); /* one re-issue a block */
		assert_int_equal(w.types[1], ITER_AFTER);
		assert_int_equal(w.stale_tries, 0); /* known to be old: not tried */
		assert_int_equal(w.repeats, 0);
		assert_int_equal(w.trouble, 0);
		assert_read(&w, START, 3000);
		world_close(&w);
	}
}

/* An old iterator that expires early is no failure; a new one that does is. */
static void
test_expired_early(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 100;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, USEC_SEC);
	w.budget = 0;
	fake_run(w.loop, 6 * MINUTE);
	w.budget = INT64_MAX;
	w.newest = 200;
	w.fail_next = 1;
	w.fail_code = API_EXPIRED_ITERATOR;
	reader_kick(w.rd);
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.trouble, 0);
	assert_int_equal(w.types_n, 2);
	assert_read(&w, START, 200);

	w.records_down = API_EXPIRED_ITERATOR; /* for ten minutes, all of them */
	fake_run(w.loop, 10 * MINUTE);
	assert_in_range(w.trouble, 60, 300); /* backed off to 5 s on average */
	w.records_down = API_OK;
	w.newest = 300;
	fake_run(w.loop, 12 * USEC_SEC);
	assert_read(&w, START, 300);
	assert_int_equal(w.repeats, 0);
	world_close(&w);
}

/* Hazard 22. */
static void
test_trim_while_lagging(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 100;
	w.page = 20;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 500 * USEC_MS);
	w.budget = 0;
	fake_run(w.loop, 25 * HOUR);
	w.horizon = 95;
	w.budget = INT64_MAX;
	reader_kick(w.rd);
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.loss, READER_TRIMMED);
	assert_in_range(w.last, 20, 80);
	assert_int_equal(w.types[w.types_n - 1], ITER_AFTER);
	assert_int_equal(fake_number(reader_last(w.rd)), w.last);
	world_close(&w);

	world_init(&w); /* and while the iterator is good */
	w.newest = 100;
	w.page = 20;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 500 * USEC_MS);
	w.horizon = 95;
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.loss, READER_TRIMMED);
	assert_int_equal(w.lost, 1);
	world_close(&w);
}

/* Hazard 23. */
static void
test_not_found(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 100;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 2 * USEC_SEC);
	for (unsigned i = 0; i < 5; i++) { /* an emulator: each time a new one helps */
		w.forget_iterators = true;
		w.newest += 10;
		fake_run(w.loop, 3 * USEC_SEC);
		assert_int_equal(w.types_n, 2 + i);
	}
	assert_int_equal(w.lost, 0);
	assert_read(&w, START, 150);
	w.gone = true;
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.lost, 1);
	assert_int_equal(w.loss, READER_GONE);
	world_close(&w);

	world_init(&w);
	w.newest = 100;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 2 * USEC_SEC);
	w.records_down = API_NOT_FOUND; /* the new iterator is had, and no use */
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.types_n, 2);
	assert_int_equal(w.loss, READER_GONE);
	assert_int_equal(w.lost, 1);
	world_close(&w);

	world_init(&w);
	w.gone = true;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.loss, READER_GONE);
	assert_int_equal(w.types_n, 1);
	world_close(&w);
}

/* Hazards 24 and 25: ten minutes of each failure, of either call. Few calls,
 * then all that was written meanwhile, from the same place. */
static void
test_storms(void **state)
{
	static const struct {
		enum api_code code;
		unsigned most; /* calls in ten minutes */
		int64_t recovers;
	} storms[] = {
	    {API_LIMIT_EXCEEDED, 200, 11 * USEC_SEC},
	    {API_THROTTLED, 200, 11 * USEC_SEC},
	    {API_SERVER, 200, 11 * USEC_SEC},
	    {API_TRANSPORT, 200, 11 * USEC_SEC},
	    {API_MALFORMED, 200, 11 * USEC_SEC},
	    {API_AUTH, 50, 61 * USEC_SEC},
	    {API_OTHER, 50, 61 * USEC_SEC},
	    {API_VALIDATION, 100, 61 * USEC_SEC},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(storms); i++) {
		struct world w;
		unsigned before;

		world_init(&w);
		w.newest = 100;
		world_open(&w, POS_AT_START, 0);
		fake_run(w.loop, 2 * USEC_SEC);
		before = w.api.gets + w.api.iterators;
		w.records_down = storms[i].code;
		fake_run(w.loop, 10 * MINUTE);
		assert_in_range(w.api.gets + w.api.iterators - before, 10, storms[i].most);
		assert_int_equal(w.trouble, w.trouble_of[storms[i].code]);
		assert_true(w.trouble >= 10);
		assert_int_equal(w.held, 0);
		w.records_down = API_OK;
		w.newest = 500;
		fake_run(w.loop, storms[i].recovers + USEC_SEC);
		assert_read(&w, START, 500);
		assert_int_equal(w.repeats, 0);
		world_close(&w);
	}
	for (size_t i = 0; i + 1 < ARRAY_LEN(storms); i++) {
		struct world w;

		world_init(&w);
		w.newest = 100;
		w.iterator_down = storms[i].code;
		world_open(&w, POS_AFTER, 50);
		fake_run(w.loop, 10 * MINUTE);
		assert_in_range(w.api.iterators, 10, storms[i].most);
		assert_int_equal(w.lost, 0);
		w.iterator_down = API_OK;
		fake_run(w.loop, storms[i].recovers + USEC_SEC);
		assert_read(&w, 51, 100);
		world_close(&w);
	}
}

/* A call that failed is made again with the same iterator. */
static void
test_one_in_three_fails(void **state)
{
	static const enum api_code codes[] = {API_SERVER, API_TRANSPORT, API_MALFORMED,
	    API_THROTTLED, API_LIMIT_EXCEEDED, API_EXPIRED_ITERATOR, API_VALIDATION};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct world w;

		world_init(&w);
		w.newest = 4009;
		w.page = 40;
		w.closed = true;
		w.fail_percent = 33;
		w.fail_code = codes[i];
		world_open(&w, POS_AT_START, 0);
		fake_run(w.loop, 10 * MINUTE);
		assert_int_equal(w.ended, 1);
		assert_int_equal(w.repeats, 0);
		assert_read(&w, START, 4009);
		if (codes[i] != API_EXPIRED_ITERATOR && codes[i] != API_VALIDATION)
			assert_int_equal(w.types_n, 1);
		world_close(&w);
	}
}

/* A page that never gets across whole is asked for in parts. */
static void
test_page_too_large(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 2009;
	w.closed = true;
	w.too_large = 10;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 6 * HOUR);
	assert_read(&w, START, 2009);
	assert_int_equal(w.ended, 1);
	assert_true(w.least_limit <= 10);
	world_close(&w);
}

/* Hazard 17. */
static void
test_empty_pages(void **state)
{
	struct world w;

	(void)state;
	world_init(&w); /* closed: no sleep, the call budget alone */
	w.newest = 100;
	w.closed = true;
	w.empty = 500;
	world_open(&w, POS_AT_START, 0);
	reader_set_closed(w.rd);
	fake_run(w.loop, 127 * USEC_SEC);
	assert_read(&w, START, 100);
	assert_int_equal(w.ended, 1);
	world_close(&w);

	world_init(&w); /* open: slower, and reached all the same */
	w.newest = 100;
	w.empty = 500;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 560 * USEC_SEC);
	assert_read(&w, START, 100);
	world_close(&w);
}

static void
test_idle_interval(void **state)
{
	struct world w;
	int64_t least = INT64_MAX, most = 0;
	unsigned before;

	(void)state;
	world_init(&w);
	world_open(&w, POS_LATEST, 0);
	fake_run(w.loop, 10 * USEC_SEC);
	before = w.api.gets;
	fake_run(w.loop, HOUR);
	for (unsigned i = before; i < w.api.gets; i++) {
		int64_t gap = w.api.get_at[i] - w.api.get_at[i - 1];

		least = gap < least ? gap : least;
		most = gap > most ? gap : most;
	}
	assert_in_range(least, 900 * USEC_MS, 925 * USEC_MS);
	assert_in_range(most, 1085 * USEC_MS, 1110 * USEC_MS);
	assert_int_equal(w.types_n, 1); /* an idle shard lives on its next iterators */
	w.newest = 3009;		/* data: as fast as the call budget allows, at once */
	before = w.api.gets;
	fake_run(w.loop, 2 * USEC_SEC);
	assert_true(w.api.gets - before >= 5);
	assert_read(&w, START, 3009);
	before = w.api.gets;
	fake_run(w.loop, 8 * USEC_SEC);
	reader_set_closed(w.rd); /* from idling, at once and without sleep */
	before = w.api.gets;
	fake_run(w.loop, 5 * USEC_SEC);
	assert_in_range(w.api.gets - before, 19, 21);
	world_close(&w);
}

/* Hot shards use all of the call budget and no more (world_close() measures). */
static void
test_hot_shard(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 1000000;
	w.page = 100;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 100 * USEC_SEC);
	assert_in_range(w.api.gets, 398, 402);
	world_close(&w);
}

static void
test_caught_up(void **state)
{
	struct world w;
	int64_t at;

	(void)state;
	world_init(&w);
	w.newest = 100;
	w.empty = 4; /* before the data: an open shard is not known to be read */
	world_open(&w, POS_AT_START, 0);
	while (w.empty > 0) {
		fake_run(w.loop, 50 * USEC_MS);
		assert_int_equal(reader_caught_up_at(w.rd), 0);
	}
	fake_run(w.loop, 1200 * USEC_MS);
	assert_int_equal(w.records, 91);
	fake_run(w.loop, 2 * USEC_SEC);
	at = reader_caught_up_at(w.rd);
	assert_true(at != 0 && at <= loop_now(w.loop));
	fake_run(w.loop, 2 * USEC_SEC);
	assert_true(reader_caught_up_at(w.rd) > at);
	w.newest = 200000;
	fake_run(w.loop, 2 * USEC_SEC);
	assert_int_equal(reader_caught_up_at(w.rd), 0);
	assert_true(reader_quiet_at(w.rd) > at); /* kept */
	world_close(&w);
}

/* Credit: refused parks without a timer, kick resumes, failures give back. */
static void
test_credit(void **state)
{
	struct world w;

	(void)state;
	world_init(&w);
	w.newest = 50;
	w.budget = 0;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.credits, 1);
	assert_int_equal(w.last_credit, 256 << 10);
	assert_int_equal(w.api.gets, 0);
	assert_int_equal(fake_armed(w.loop), 0);
	reader_kick(w.rd); /* in vain */
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.credits, 2);
	w.kick_in_credit = true; /* room is made while we ask */
	reader_kick(w.rd);
	fake_run(w.loop, 2 * USEC_SEC);
	assert_read(&w, START, 50);
	fake_run(w.loop, 10 * USEC_SEC);
	assert_int_equal(w.last_credit, 16 << 10); /* idle: little */
	w.page = 400;
	w.newest = 100000;
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.last_credit, 2 * (200 + 400 * 1000)); /* twice the last page */
	w.fail_next = 3;
	w.fail_code = API_SERVER;
	fake_run(w.loop, 3 * USEC_SEC);
	assert_int_equal(w.refunds, 3);
	assert_true(w.most_held <= 2 * (200 + 400 * 1000));
	world_close(&w);
}

static void
test_close_gives_back(void **state)
{
	(void)state;
	for (int64_t us = 0; us < 300 * USEC_MS; us += 2 * USEC_MS) {
		struct world w;

		world_init(&w);
		w.newest = 5000;
		world_open(&w, POS_AT_START, 0);
		fake_run(w.loop, us);
		reader_close(w.rd); /* at any moment; world_close() sees held == 0 */
		w.rd = NULL;
		world_close(&w);
	}
}

/* Hazard 28. */
static void
test_disorder(void **state)
{
	static uint64_t numbers[] = {50, 51, 51, 49, 52, 50};
	struct world w;

	(void)state;
	world_init(&w);
	w.script = numbers;
	w.script_n = ARRAY_LEN(numbers);
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, 5 * USEC_SEC);
	assert_int_equal(w.records, 6); /* all handed on: the host skips by number */
	assert_int_equal(w.repeats, 3);
	assert_int_equal(fake_number(reader_last(w.rd)), 52);
	assert_int_equal(w.warnings, 1);
	w.budget = 0;
	fake_run(w.loop, 20 * MINUTE);
	w.budget = INT64_MAX;
	reader_kick(w.rd);
	fake_run(w.loop, USEC_SEC);
	assert_int_equal(w.numbers[w.types_n - 1], 52); /* resumed after the highest */
	world_close(&w);
}

static void
test_token_not_to_be_believed(void **state)
{
	char *huge = mem_new(LIMIT_ITERATOR + 2);
	struct world w;

	(void)state;
	memset(huge, 'x', LIMIT_ITERATOR + 1);
	world_init(&w);
	w.newest = 100;
	w.token = huge;
	world_open(&w, POS_AT_START, 0);
	fake_run(w.loop, MINUTE);
	assert_true(w.trouble_of[API_MALFORMED] > 3);
	assert_int_equal(w.pages, 0);
	w.token = NULL;
	fake_run(w.loop, 12 * USEC_SEC);
	assert_read(&w, START, 100);
	world_close(&w);
	free(huge);
}

/* Two readers of a shard: one budget, the leading one first, the other not
 * shut out. */
static void
test_two_readers(void **state)
{
	struct reader_conf conf = {.idle_us = USEC_SEC, .limit = 1000};
	struct seq start = fake_seq(START);
	struct pos from = {.kind = POS_AT_START};
	struct reader_host host = host_of;
	struct world w, second;
	struct reader *rd;

	(void)state;
	world_init(&second);
	world_init(&w);
	w.newest = 1000000;
	w.page = 10;
	world_open(&w, POS_AT_START, 0);
	host.ctx = &second;
	rd = reader_new(w.loop, &w.api, w.rate, false, &conf, ARN, SHARD, &start, &from, &host);
	second.rd = rd;
	fake_run(w.loop, 100 * USEC_SEC);
	assert_in_range(w.pages, 290, 305);
	assert_in_range(second.pages, 95, 105);
	reader_close(rd);
	second.rd = NULL;
	world_close(&w);
	world_close(&second);
}

static void
test_closed_from_inside(void **state)
{
	(void)state;
	for (unsigned at = CLOSE_CREDIT; at <= CLOSE_TROUBLE; at++) {
		for (unsigned variant = 0; variant < 2; variant++) {
			struct world w;

			world_init(&w);
			w.newest = 100;
			w.closed = at == CLOSE_END || variant != 0;
			w.closing = at;
			if (at == CLOSE_REFUND || at == CLOSE_TROUBLE)
				w.records_down = variant != 0 ? API_AUTH : API_SERVER;
			if (at == CLOSE_LOST)
				w.horizon = 50;
			if (at == CLOSE_LOST && variant != 0)
				w.gone = true;
			world_open(&w, POS_AT_START, 0);
			fake_run(w.loop, 5 * USEC_SEC);
			assert_null(w.rd);
			world_close(&w);
		}
	}
}

/* --- many shards --- */

enum { MANY = 10000 };

struct many {
	struct reader *rd;
	struct rate *rate;
	int64_t asked_at, worst;
};

static struct many many[MANY];
static struct loop *many_loop;
static unsigned many_parked, many_held;

static void
many_iterator(void *ctx, const char *shard, enum iterator_type type, const struct seq *seq,
    struct api_result *rs, char out[LIMIT_ITERATOR + 1])
{
	(void)ctx;
	(void)type;
	(void)seq;
	(void)rs;
	(void)snprintf(out, LIMIT_ITERATOR, "%s|%0200d", shard, 1);
}

static void
many_records(
    void *ctx, const char *iterator, unsigned limit, struct api_result *rs, struct page **out)
{
	static uint64_t numbers[1000];
	static uint64_t next;
	int i = atoi(iterator);
	int64_t now = loop_now(many_loop);

	(void)ctx;
	(void)rs;
	for (size_t n = 0; i == 0 && n < limit; n++)
		numbers[n] = ++next;
	if (many[i].asked_at != 0 && now - many[i].asked_at > many[i].worst)
		many[i].worst = now - many[i].asked_at;
	many[i].asked_at = now;
	*out = fake_page(numbers, i == 0 ? limit : 0, iterator);
}

static bool
many_credit(void *ctx, struct reader *rd, size_t bytes)
{
	(void)ctx;
	(void)rd;
	if (many_held + bytes > 64u << 20) {
		many_parked++;
		return false;
	}
	many_held += (unsigned)bytes;
	return true;
}

static void
many_back(void *ctx, struct reader *rd, size_t bytes)
{
	(void)ctx;
	(void)rd;
	many_held -= (unsigned)bytes;
}

static void
many_page(void *ctx, struct reader *rd, struct page *page, size_t credited)
{
	(void)page;
	many_back(ctx, rd, credited);
	for (unsigned i = 0; many_parked > 0 && i < MANY; i++)
		reader_kick(many[i].rd);
	many_parked = 0;
}

static void
many_end(void *ctx, struct reader *rd)
{
	(void)ctx;
	(void)rd;
	fail();
}

/* Hazard 27: one hot shard, 9,999 idle, a budget of 64 MiB. Idle shards are
 * polled within twice their interval, and do not beat in step. */
static void
test_many(void **state)
{
	struct reader_host host = {
	    .credit = many_credit, .refund = many_back, .page = many_page, .end = many_end};
	struct reader_conf conf = {.idle_us = USEC_SEC};
	struct pos from = {.kind = POS_LATEST};
	unsigned gets, per_50ms, most = 0;
	struct api api;

	(void)state;
	many_loop = fake_loop_new(5);
	fake_api_init(&api, many_loop, NULL);
	api.iterator = many_iterator;
	api.records = many_records;
	for (unsigned i = 0; i < MANY; i++) {
		char id[32];

		(void)snprintf(id, sizeof id, "%u-shard", i);
		many[i].rate = rate_new(many_loop, 4, 1);
		many[i].rd = reader_new(
		    many_loop, &api, many[i].rate, true, &conf, ARN, id, NULL, &from, &host);
	}
	fake_run(many_loop, 10 * USEC_SEC);
	for (unsigned i = 0; i < MANY; i++)
		many[i].worst = 0;
	for (unsigned i = 0; i < 400; i++) { /* 20 s in slices */
		gets = api.gets;
		fake_run(many_loop, 50 * USEC_MS);
		per_50ms = api.gets - gets;
		most = per_50ms > most ? per_50ms : most;
	}
	for (unsigned i = 1; i < MANY; i++)
		assert_in_range(many[i].worst, 1, 2 * USEC_SEC);
	assert_in_range(many[0].worst, 1, 500 * USEC_MS);
	assert_true(most < 2000); /* in step it would be 10,000 */
	for (unsigned i = 0; i < MANY; i++) {
		reader_close(many[i].rd);
		rate_close(many[i].rate);
	}
	assert_int_equal(many_held, 0);
	fake_api_close(&api);
	loop_close(many_loop);
}

static void
count_warnings(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)line;
	if (logged != NULL && level == LOG_WARN)
		logged->warnings++;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_to_the_end),
	    cmocka_unit_test(test_empty_shard_ends_at_once),
	    cmocka_unit_test(test_start_positions),
	    cmocka_unit_test(test_trimmed_start),
	    cmocka_unit_test(test_start_refused),
	    cmocka_unit_test(test_latest_is_asked_for_once),
	    cmocka_unit_test(test_horizon_passes_a_blocked_reader),
	    cmocka_unit_test(test_expiry_under_backpressure),
	    cmocka_unit_test(test_expired_early),
	    cmocka_unit_test(test_trim_while_lagging),
	    cmocka_unit_test(test_not_found),
	    cmocka_unit_test(test_storms),
	    cmocka_unit_test(test_one_in_three_fails),
	    cmocka_unit_test(test_page_too_large),
	    cmocka_unit_test(test_empty_pages),
	    cmocka_unit_test(test_idle_interval),
	    cmocka_unit_test(test_hot_shard),
	    cmocka_unit_test(test_caught_up),
	    cmocka_unit_test(test_credit),
	    cmocka_unit_test(test_close_gives_back),
	    cmocka_unit_test(test_disorder),
	    cmocka_unit_test(test_token_not_to_be_believed),
	    cmocka_unit_test(test_two_readers),
	    cmocka_unit_test(test_closed_from_inside),
	    cmocka_unit_test(test_many),
	};

	log_set_sink(count_warnings, NULL);
	return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
