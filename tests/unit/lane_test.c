/* tests/unit/lane_test.c - one lane with a sink that does as it is told: order
 * through bisecting, how many submits that costs, the brake to the record, giving
 * up, skipping, halting and resuming.
 */
#include "tests/unit/lane_support.h"

/* ---- verdicts ---- */

static enum sink_verdict
ack(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)fx;
	(void)number;
	(void)batch;
	return SINK_ACK;
}

/* As a target that answers a request with one word. */
static enum sink_verdict
split(const struct fixture *fx, unsigned number, size_t batch)
{
	const struct submit *sm = &fx->submits[fx->answered];

	(void)number;
	assert_int_equal(sm->n, batch);
	for (size_t i = 0; i < batch; i++)
		if (is_poison(fx, sm->number[i]))
			return SINK_SPLIT;
	return SINK_ACK;
}

static enum sink_verdict
reject(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)batch;
	return is_poison(fx, number) ? SINK_REJECT : SINK_ACK;
}

static enum sink_verdict
retry(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)batch;
	return is_poison(fx, number) ? SINK_RETRY : SINK_ACK;
}

static enum sink_verdict
halt(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)batch;
	return is_poison(fx, number) ? SINK_HALT : SINK_ACK;
}

/* ---- bisecting ---- */

static void
poison_among(unsigned records, unsigned at, size_t submits)
{
	struct fixture *fx = fixture_new(records, records);

	fx->judge = split;
	fx->poison = fx->until = at;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 1);
	assert_true(fx->dead[at]);
	assert_string_equal(fx->reason, "test: mapping of field");
	assert_int_equal(fx->order_count, records - 1);
	assert_int_equal(fx->submit_count, submits);
	assert_int_equal(lane_breaker(fx->lane).failures, 0);
	fixture_close(fx);
}

/* One whole, then two halves a level. */
static void
test_bisect_steps(void **state)
{
	(void)state;
	poison_among(8, 0, 1 + 2 * 3);
	poison_among(8, 5, 1 + 2 * 3);
	poison_among(8, 7, 1 + 2 * 3);
	poison_among(256, 100, 1 + 2 * 8);
	poison_among(1, 0, 1);
	poison_among(2, 1, 3);
}

/* No suspect is sent with more than half of those that were refused with it. */
static void
test_bisect_halves(void **state)
{
	struct fixture *fx = fixture_new(500, 500);
	size_t most = 500;

	(void)state;
	fx->judge = split;
	fx->poison = fx->until = 321;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	for (size_t i = 0; i < fx->submit_count; i++)
		for (size_t k = 0; k < fx->submits[i].n; k++) {
			if (fx->submits[i].number[k] != 321)
				continue;
			assert_true(fx->submits[i].n <= most);
			most = (fx->submits[i].n + 1) / 2;
		}
	assert_int_equal(fx->attempts, 10); /* 500 250 125 63 32 16 8 4 2 1 */
	assert_true(fx->submit_count <= 1 + 2 * 9);
	fixture_close(fx);
}

/* Two poisons far apart, few keys: order holds, both are found. */
static void
test_bisect_order(void **state)
{
	(void)state;
	for (unsigned caps = 0; caps <= SINK_CAP_KEY_ORDER; caps += SINK_CAP_KEY_ORDER) {
		struct fixture *fx = fixture_new(1000, 7);

		fx->judge = split;
		fx->poison = 300;
		fx->until = 301;
		fx->caps = caps;
		open_lane(fx);
		run_for(fx, USEC_SEC);
		assert_true(all_done(fx));
		assert_int_equal(fx->dead_count, 2);
		assert_int_equal(fx->order_count, 998);
		assert_order(fx, 7);
		assert_int_equal(lane_stats_get(fx->lane)->drops, 0);
		fixture_close(fx);
	}
}

/* Everything is refused as a whole and alone: the brake, not an endless halving. */
static void
test_split_of_everything(void **state)
{
	struct fixture *fx = fixture_new(600, 600);

	(void)state;
	fx->judge = split;
	fx->until = 599;
	fx->conf.brake = 100;
	open_lane(fx);
	run_for(fx, 10 * USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(fx->dead_count, 100);
	fixture_close(fx);
}

/* ---- refusals ---- */

static void
test_skip(void **state)
{
	struct fixture *fx = fixture_new(1000, 10);

	(void)state;
	fx->judge = reject;
	fx->poison = 100;
	fx->until = 104;
	fx->conf.on_reject = LANE_SKIP;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 0);
	assert_int_equal(fx->order_count, 995);
	assert_int_equal(lane_stats_get(fx->lane)->discarded, 5);
	fixture_close(fx);
}

static void
test_halt_on_reject(void **state)
{
	struct fixture *fx = fixture_new(1000, 10);

	(void)state;
	fx->judge = reject;
	fx->poison = fx->until = 100;
	fx->conf.on_reject = LANE_HALT;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(lane_halt_cause(fx->lane), LANE_HALT_REJECT);
	assert_int_equal(lane_held(fx->lane), 0);
	assert_int_equal(seq_cmp(&fx->w.frontier.acked, &fx->page->records[99].seq), 0);
	assert_non_null(
	    strstr(fx->log, "stream=orders shard=shardId-1 sequence=1000000000000000000100"));
	assert_non_null(strstr(fx->log, "slipring resume s"));
	/* not mended: it halts again before the same record */
	assert_true(lane_resume(fx->lane));
	run_for(fx, USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(seq_cmp(&fx->w.frontier.acked, &fx->page->records[99].seq), 0);
	fx->mended = true;
	assert_true(lane_resume(fx->lane));
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 0);
	assert_int_equal(lane_state_get(fx->lane), LANE_RUNNING);
	assert_false(lane_resume(fx->lane));
	fixture_close(fx);
}

/* A sink that keeps a history, and could have several changes of an item out. */
static void
test_halt_on_reject_keeps_order(void **state)
{
	struct fixture *fx = fixture_new(1000, 10);

	(void)state;
	fx->caps = SINK_CAP_KEY_ORDER;
	fx->judge = reject;
	fx->poison = fx->until = 100;
	fx->conf.on_reject = LANE_HALT;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	for (unsigned i = 110; i < 1000; i += 10)
		assert_int_equal(fx->acked[i], 0);
	fx->mended = true;
	assert_true(lane_resume(fx->lane));
	run_for(fx, 2 * USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->acked[100], 1);
	fixture_close(fx);
}

static void
test_brake(void **state)
{
	struct fixture *fx = fixture_new(2500, 2500);

	(void)state;
	fx->judge = reject;
	fx->poison = 200;
	fx->until = 2499;
	fx->conf.brake = 1000;
	open_lane(fx);
	run_for(fx, 2 * USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(lane_halt_cause(fx->lane), LANE_HALT_BRAKE);
	assert_int_equal(fx->dead_count, 1000);
	assert_int_equal(lane_held(fx->lane), 0);
	assert_non_null(strstr(fx->log, "1000 records in a row were refused"));
	assert_non_null(strstr(fx->log, "slipring dlq replay --sink s"));
	assert_ptr_equal(strchr(fx->log, '\n'), fx->log + strlen(fx->log) - 1); /* one line */
	/* too early: one more, not a thousand */
	assert_true(lane_resume(fx->lane));
	run_for(fx, 2 * USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(fx->dead_count, 1001);
	fx->mended = true;
	assert_true(lane_resume(fx->lane));
	run_for(fx, 2 * USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 1001);
	for (unsigned i = 0; i < 2500; i++)
		assert_true(fx->acked[i] != 0 || fx->dead[i]);
	fixture_close(fx);
}

/* One that gets through begins the count again. */
static enum sink_verdict
reject_most(const struct fixture *fx, unsigned number, size_t batch)
{
	(void)fx;
	(void)batch;
	return number % 10 != 9 ? SINK_REJECT : SINK_ACK;
}

static void
test_brake_forgets(void **state)
{
	struct fixture *fx = fixture_new(1000, 1000);

	(void)state;
	fx->judge = reject_most;
	fx->conf.brake = 10;
	open_lane(fx);
	run_for(fx, 2 * USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->dead_count, 900);
	fixture_close(fx);
}

/* ---- halt by the sink's word ---- */

static void
test_halt_and_resume(void **state)
{
	struct fixture *fx = fixture_new(100, 10);

	(void)state;
	fx->judge = halt;
	fx->poison = 50;
	fx->until = 99;
	fx->conf.batch_count = 10;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_int_equal(lane_halt_cause(fx->lane), LANE_HALT_SINK);
	assert_int_equal(lane_stats_get(fx->lane)->halts, 1);
	assert_non_null(strstr(fx->log,
	    "stopped: test: mapping of field; when that is mended: "
	    "slipring resume s"));
	/* Nine more of its batch said the same, and none of them how to go on. */
	assert_non_null(strstr(lane_stats_get(fx->lane)->last_error, "slipring resume s"));
	fx->mended = true;
	run_for(fx, 120 * USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_true(lane_resume(fx->lane));
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	fixture_close(fx);
}

/* However much the target has to say: how to go on is not cut off. */
static void
test_a_long_reason_to_halt(void **state)
{
	struct fixture *fx = fixture_new(1, 1);

	(void)state;
	memset(fx->more, 'x', sizeof fx->more - 1);
	fx->judge = halt;
	open_lane(fx);
	run_for(fx, USEC_SEC);
	assert_int_equal(lane_state_get(fx->lane), LANE_HALTED);
	assert_non_null(strstr(lane_stats_get(fx->lane)->last_error, "slipring resume s"));
	fixture_close(fx);
}

/* ---- giving up ---- */

/* Others get through: the record's own time counts. */
static void
test_gives_up(void **state)
{
	struct fixture *fx = fixture_new(20, 20);
	int64_t from = loop_now(fx->loop);

	(void)state;
	fx->judge = retry;
	fx->poison = fx->until = 3;
	fx->conf.breaker_failures = 1000000;
	fx->conf.give_up_us = 600 * USEC_SEC;
	open_lane(fx);
	while (fx->dead_count == 0)
		run_for(fx, USEC_SEC);
	assert_true(loop_now(fx->loop) - from >= 600 * USEC_SEC);
	assert_true(loop_now(fx->loop) - from < 625 * USEC_SEC);
	assert_true(fx->dead[3]);
	assert_string_equal(fx->reason, "gave up after 600 s of retries: test: mapping of field");
	turn(fx);
	assert_true(all_done(fx));
	assert_int_equal(lane_stats_get(fx->lane)->gave_up, 1);
	fixture_close(fx);
}

/* Nothing gets through and the breaker lets go each time: one record each ten minutes. */
static void
test_gives_up_of_an_outage(void **state)
{
	struct fixture *fx = fixture_new(20, 20);

	(void)state;
	fx->judge = retry;
	fx->until = 19;
	fx->conf.give_up_us = 600 * USEC_SEC;
	open_lane(fx);
	run_for(fx, 3600 * USEC_SEC);
	assert_in_range(fx->dead_count, 5, 6);
	for (unsigned i = 0; i < 5; i++)
		assert_true(fx->dead[i]);
	fx->mended = true;
	run_for(fx, 120 * USEC_SEC);
	assert_true(all_done(fx));
	fixture_close(fx);
}

/* As above, and the breaker holds everything: that is no reason to give up all of it. */
static void
test_gives_up_one_of_what_is_held(void **state)
{
	struct fixture *fx = fixture_new(20, 20);

	(void)state;
	fx->judge = retry;
	fx->until = 19;
	fx->conf.breaker_failures = 1000000;
	fx->conf.give_up_us = 60 * USEC_SEC;
	open_lane(fx);
	run_for(fx, 110 * USEC_SEC);
	assert_int_equal(fx->dead_count, 1);
	run_for(fx, 60 * USEC_SEC);
	assert_int_equal(fx->dead_count, 2);
	fx->mended = true;
	run_for(fx, 60 * USEC_SEC);
	assert_true(all_done(fx));
	assert_int_equal(fx->order_count, 18);
	fixture_close(fx);
}

/* ---- breaker ---- */

/* Ten batches that are out together when the target goes are one failure. */
static void
test_one_failure_at_a_time(void **state)
{
	struct fixture *fx = fixture_new(1000, 1000);

	(void)state;
	fx->judge = retry;
	fx->until = 999;
	fx->conf.batch_count = 100;
	open_lane(fx);
	turn(fx);
	assert_true(fx->submit_count >= 10);
	/* some may have been tried again already */
	assert_in_range(lane_breaker(fx->lane).failures, 1, 2);
	fx->mended = true;
	run_for(fx, USEC_SEC);
	assert_true(all_done(fx));
	fx->judge = ack;
	fixture_close(fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bisect_steps),
	    cmocka_unit_test(test_bisect_halves),
	    cmocka_unit_test(test_bisect_order),
	    cmocka_unit_test(test_split_of_everything),
	    cmocka_unit_test(test_skip),
	    cmocka_unit_test(test_halt_on_reject),
	    cmocka_unit_test(test_halt_on_reject_keeps_order),
	    cmocka_unit_test(test_brake),
	    cmocka_unit_test(test_brake_forgets),
	    cmocka_unit_test(test_halt_and_resume),
	    cmocka_unit_test(test_a_long_reason_to_halt),
	    cmocka_unit_test(test_gives_up),
	    cmocka_unit_test(test_gives_up_of_an_outage),
	    cmocka_unit_test(test_gives_up_one_of_what_is_held),
	    cmocka_unit_test(test_one_failure_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
