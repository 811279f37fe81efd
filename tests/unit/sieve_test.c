/* tests/unit/sieve_test.c - a lane behind filters: what they keep, drop and rewrite,
 * and what becomes of a record that they refuse or make nonsense of.
 */
#include "filters/chain.h"
#include "tests/unit/lane_support.h"

enum act { KEEP, DROP, REWRITE, REJECT, NONSENSE, TOO_MUCH, TWO, KEYLESS };

struct filter {
	struct buf image;
	unsigned seen;
};

static enum act (*plan)(unsigned number); /* of the filter under test */
static unsigned given_rewritten, given_plain, buried_whole, filter_seen;

static void
write_image(struct filter *f, enum act act, unsigned number)
{
	buf_reset(&f->image);
	switch (act) {
	case NONSENSE:
		buf_add_str(&f->image, "{\"x\":{\"S\":\"");
		break;
	case TOO_MUCH:
		buf_add_str(&f->image, "{\"x\":{\"S\":\"");
		for (size_t i = 0; i < 33; i++) {
			assert_true(buf_reserve(&f->image, 1 << 20));
			memset(f->image.p + f->image.n, 'a', 1 << 20);
			f->image.n += 1 << 20;
		}
		buf_add_str(&f->image, "\"}}");
		break;
	case TWO:
		buf_addf(&f->image,
		    "{}}},{\"eventID\":\"forged\",\"dynamodb\":{\"Keys\":{\"k\":{\"S\":\"1\"}},"
		    "\"SequenceNumber\":\"7%u\",\"NewImage\":{}",
		    number);
		break;
	default:
		buf_addf(&f->image, "{\"made\":{\"N\":\"%u\"}}", number);
		break;
	}
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	unsigned number = number_of(r);
	enum act act = plan(number);

	assert_string_equal(o->shard, "shardId-1");
	filter_seen++;
	switch (act) {
	case KEEP:
		return FILTER_KEEP;
	case DROP:
		return FILTER_DROP;
	case REJECT:
		if (number % 2 == 0)
			(void)err_set(why, ERR_REFUSED, "no sense in it");
		return FILTER_REJECT;
	default:
		break;
	}
	write_image(f, act, number);
	r->new_image = buf_slice(&f->image);
	if (act == KEYLESS)
		r->keys = SLICE_NONE;
	return FILTER_REWRITE;
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	(void)name;
	(void)conf;
	(void)e;
	*out = mem_new(sizeof **out);
	(*out)->image = BUF_INIT(64 << 20);
	return 0;
}

static void
close_filter(struct filter *f)
{
	buf_close(&f->image);
	free(f);
}

static const struct filter_ops planned = {.api = FILTER_API,
    .type = "planned",
    .open = open_filter,
    .apply = apply,
    .close = close_filter};

static void
on_given(struct fixture *fx, const struct delivery *d)
{
	char made[64];

	(void)fx;
	(void)snprintf(made, sizeof made, "{\"made\":{\"N\":\"%u\"}}", number_of(d->rec));
	if (d->rec->new_image.p == NULL)
		given_plain++;
	else if (slice_is(d->rec->new_image, made))
		given_rewritten++;
}

static void
on_buried(struct fixture *fx, const struct reject *rj)
{
	const struct record *r = &fx->page->records[number_of(rj->rec)];

	buried_whole += rj->unfiltered && rj->rec == r && rj->attempts == 0 &&
	    rj->first_us == rj->last_us && rj->last_us == loop_wall(fx->loop);
}

static enum sink_verdict
ack(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)fx;
	(void)number;
	(void)batch;
	return SINK_ACK;
}

static enum sink_verdict
retry(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)batch;
	return is_poison(fx, number) ? SINK_RETRY : SINK_ACK;
}

static void
set_chain(struct fixture *fx, enum act (*how)(unsigned))
{
	struct chain *c = chain_new();
	struct err e;

	plan = how;
	given_rewritten = given_plain = buried_whole = filter_seen = 0;
	assert_int_equal(chain_add(c, "first", &planned, NULL, &e), 0);
	lane_set_chain(fx->lane, c);
}

static struct fixture *
filtered(unsigned records, unsigned keys, unsigned caps, enum lane_on_reject on_reject,
    int64_t brake, enum act (*how)(unsigned))
{
	struct fixture *fx = fixture_new(records, keys);

	fx->judge = ack;
	fx->caps = caps;
	fx->conf.on_reject = (int)on_reject;
	fx->conf.brake = brake;
	fx->given = on_given;
	fx->buried = on_buried;
	open_lane(fx);
	set_chain(fx, how);
	return fx;
}

static const unsigned all_caps[] = {
    0, SINK_CAP_KEY_ORDER, SINK_CAP_KEY_ORDER | SINK_CAP_SHARD_ORDER};

/* ---- each verdict ---- */

static enum act
in_turn(unsigned number)
{
	static const enum act acts[] = {KEEP, DROP, REWRITE, REJECT};

	return acts[number % 4];
}

static void
test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_caps); i++) {
		struct fixture *fx = filtered(1000, 7, all_caps[i], LANE_DEAD_LETTER, 0, in_turn);
		const struct lane_stats *st = lane_stats_get(fx->lane);
		struct chain_counts c = chain_counts_of(lane_chain(fx->lane), 0);

		run_for(fx, 5 * USEC_SEC);
		assert_true(all_done(fx));
		assert_int_equal(given_plain, 250);
		assert_int_equal(given_rewritten, 250);
		assert_int_equal(fx->dead_count, 250);
		assert_int_equal(buried_whole, 250);
		assert_order(fx, 7);
		for (unsigned n = 0; n < 1000; n++) {
			assert_int_equal(fx->dead[n], n % 4 == 3);
			assert_int_equal(fx->acked[n], n % 4 == 0 || n % 4 == 2);
		}
		assert_string_equal(fx->reason, "filter first: no reason given");
		assert_int_equal(st->filtered, 250);
		assert_int_equal(st->rejected, 250);
		assert_int_equal(st->unfiltered, 250);
		assert_int_equal(st->buried, 250);
		assert_int_equal(lane_held(fx->lane), 0);
		c = chain_counts_of(lane_chain(fx->lane), 0);
		assert_int_equal(c.seen, 1000);
		assert_int_equal(c.dropped, 250);
		assert_int_equal(c.rewritten, 250);
		assert_int_equal(c.rejected, 250);
		fixture_close(fx);
	}
}

static enum act
reject_all(unsigned number)
{
	(void)number;
	return REJECT;
}

static void
test_nothing_left(void **state)
{
	struct fixture *fx = filtered(50, 5, 0, LANE_DEAD_LETTER, 0, reject_all);

	(void)state;
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 50);
	assert_int_equal(fx->submit_count, 0);
	assert_int_equal(lane_breaker(fx->lane).failures, 0);
	fixture_close(fx);
}

/* ---- nonsense ---- */

static enum act
some_nonsense(unsigned number)
{
	static const enum act acts[] = {REWRITE, NONSENSE, REWRITE, TWO, KEEP, KEYLESS, REWRITE};

	return acts[number % 7];
}

/* What cannot be read costs its own record, not its page. */
static void
test_nonsense(void **state)
{
	struct fixture *fx = filtered(70, 7, 0, LANE_DEAD_LETTER, 0, some_nonsense);

	(void)state;
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 30);
	assert_int_equal(buried_whole, 30);
	assert_int_equal(given_rewritten, 30);
	assert_int_equal(given_plain, 10);
	assert_non_null(strstr(fx->reason, "filters: what they made of it is no record: page: "));
	fixture_close(fx);
}

static enum act
second_too_much(unsigned number)
{
	return number == 1 ? TOO_MUCH : REWRITE;
}

static void
test_too_much(void **state)
{
	struct fixture *fx = filtered(5, 5, 0, LANE_DEAD_LETTER, 0, second_too_much);

	(void)state;
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 1);
	assert_true(fx->dead[1]);
	assert_int_equal(given_rewritten, 4);
	assert_string_equal(fx->reason, "filters: what they made of its page is too large");
	fixture_close(fx);
}

/* ---- in its turn ---- */

static enum act
fourth(unsigned number)
{
	return number == 3 ? REJECT : KEEP;
}

/* A refusal waits for what is before it of its key, as a submit would. */
static void
test_in_order(void **state)
{
	struct fixture *fx = filtered(6, 1, 0, LANE_DEAD_LETTER, 0, fourth);

	(void)state;
	fx->judge = retry;
	fx->until = RECORDS_MAX;
	run_for(fx, USEC_SEC);
	assert_int_equal(fx->dead_count, 0);
	fx->mended = true;
	run_for(fx, 60 * USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 1);
	assert_int_equal(fx->order_count, 5);
	fixture_close(fx);
}

/* The breaker lets go of it as of the others, and its reason with it. */
static void
test_let_go(void **state)
{
	struct fixture *fx = filtered(100, 3, 0, LANE_DEAD_LETTER, 0, in_turn);

	(void)state;
	fx->judge = retry;
	fx->until = RECORDS_MAX;
	run_for(fx, 100 * USEC_SEC);
	assert_true(lane_stats_get(fx->lane)->drops > 0);
	fx->mended = true;
	run_for(fx, 200 * USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 25);
	assert_order(fx, 3);
	fixture_close(fx);
}

/* ---- on-reject and the brake ---- */

static enum act
keep_all(unsigned number)
{
	(void)number;
	return KEEP;
}

static void
test_halt(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all_caps); i++) {
		struct fixture *fx = filtered(10, 1, all_caps[i], LANE_HALT, 0, fourth);

		run_for(fx, USEC_SEC);
		assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
		assert_int_equal(lane_halt_cause(fx->lane), LANE_HALT_REJECT);
		assert_non_null(strstr(fx->log, "sequence=1000000000000000000003"));
		assert_non_null(strstr(fx->log, "filter first: no reason given"));
		assert_int_equal(fx->dead_count, 0);
		assert_int_equal(fx->order_count, 3);
		assert_true(lane_resume(fx->lane)); /* too early */
		run_for(fx, USEC_SEC);
		assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
		assert_int_equal(fx->order_count, 3);
		plan = keep_all;
		assert_true(lane_resume(fx->lane));
		run_for(fx, USEC_SEC);
		assert_true(all_done(fx));
		assert_int_equal(fx->order_count, 10);
		assert_order(fx, 1);
		fixture_close(fx);
	}
}

static void
test_skip(void **state)
{
	struct fixture *fx = filtered(100, 4, 0, LANE_SKIP, 0, in_turn);

	(void)state;
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 0);
	assert_int_equal(lane_stats_get(fx->lane)->discarded, 25);
	fixture_close(fx);
}

/* The record that brakes is the last one that is buried. */
static void
test_brake(void **state)
{
	struct fixture *fx = filtered(100, 1, 0, LANE_DEAD_LETTER, 10, reject_all);

	(void)state;
	run_for(fx, USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(lane_halt_cause(fx->lane), LANE_HALT_BRAKE);
	assert_int_equal(fx->dead_count, 10);
	assert_true(lane_resume(fx->lane));
	run_for(fx, USEC_SEC);
	assert_int_equal(fx->dead_count, 11);
	plan = keep_all;
	assert_true(lane_resume(fx->lane));
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->order_count, 89);
	fixture_close(fx);
}

/* ---- replay ---- */

static struct {
	enum lane_fate fate[16];
	unsigned calls;
} told;

static void
on_replayed(void *ctx, struct window *w, uint64_t ticket, enum lane_fate fate)
{
	(void)ctx;
	(void)w;
	told.fate[ticket] = fate;
	told.calls++;
}

/* Those that a filter refused pass it again; what a sink refused has passed it. */
static void
test_replay(void **state)
{
	struct fixture *fx = fixture_new(8, 8);
	struct replayed from[8];
	struct window w;

	(void)state;
	memset(&told, 0, sizeof told);
	fx->judge = ack;
	fx->given = on_given;
	fx->buried = on_buried;
	fx->replayed = on_replayed;
	open_lane(fx);
	set_chain(fx, in_turn);
	window_init_replay(&w, fx->lane);
	for (unsigned i = 0; i < 8; i++)
		from[i] = (struct replayed){.origin = &origin, .ticket = i, .unfiltered = i >= 4};
	fx->w.frontier.acked = fx->page->records[7].seq; /* nothing comes from the shard */
	lane_take_replay(&w, fx->page, from);
	assert_int_equal(filter_seen, 4);
	assert_int_equal(told.calls, 1);
	assert_int_equal(told.fate[5], LANE_FATE_FILTERED);
	run_for(fx, USEC_SEC);
	assert_int_equal(told.calls, 8);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(told.fate[i], LANE_FATE_ACKED);
	assert_int_equal(told.fate[6], LANE_FATE_ACKED);
	assert_int_equal(told.fate[7], LANE_FATE_REFUSED);
	assert_int_equal(given_rewritten, 1);
	assert_int_equal(given_plain, 5);
	assert_int_equal(fx->dead_count, 1);
	assert_true(fx->dead[7]);
	assert_int_equal(buried_whole, 1);
	window_close(&w);
	fixture_close(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_nothing_left),
	    cmocka_unit_test(test_nonsense),
	    cmocka_unit_test(test_too_much),
	    cmocka_unit_test(test_in_order),
	    cmocka_unit_test(test_let_go),
	    cmocka_unit_test(test_halt),
	    cmocka_unit_test(test_skip),
	    cmocka_unit_test(test_brake),
	    cmocka_unit_test(test_replay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
