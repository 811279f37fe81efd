/* tests/unit/lag_test.c - the three figures of a shard's lag, from facts. */
#include "pipeline/lag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/loop.h"

#define NOW (INT64_C(1700000000) * USEC_SEC)
#define AGO(s) (NOW - INT64_C(s) * USEC_SEC)

static struct lag
lag(const struct lag_facts *f)
{
	struct lag l;

	lag_of(f, &l);
	return l;
}

static void
assert_lag(const struct lag_facts *f, long iterator, long delivery, long trim)
{
	struct lag l = lag(f);

	assert_int_equal((long)l.iterator_age, iterator);
	assert_int_equal((long)l.delivery_age, delivery);
	assert_int_equal((long)l.until_trim, trim);
	assert_int_equal(l.clear, f->clear);
}

static void
idle_is_no_lag_however_old_the_last_record(void **state)
{
	(void)state;
	assert_lag(&(struct lag_facts){.now_us = NOW, .delivered_us = AGO(80000), .clear = true}, 0,
	    0, 86400);
}

static void
lagging_counts_from_what_is_owed(void **state)
{
	(void)state;
	assert_lag(
	    &(struct lag_facts){.now_us = NOW, .delivered_us = AGO(7200), .owed_us = AGO(7100)},
	    7200, 7100, 86400 - 7100);
}

/* Nothing is held and nothing known to be owed: the alarm is early. */
static void
blocked_counts_from_what_was_delivered(void **state)
{
	(void)state;
	assert_lag(&(struct lag_facts){.now_us = NOW, .delivered_us = AGO(3600)}, 3600, 0, 82800);
}

static void
overdue_is_zero_and_the_future_no_age(void **state)
{
	(void)state;
	assert_lag(
	    &(struct lag_facts){.now_us = NOW, .delivered_us = AGO(90001), .owed_us = AGO(90000)},
	    90001, 90000, 0);
	assert_lag(&(struct lag_facts){.now_us = NOW, .delivered_us = AGO(-5), .owed_us = AGO(-3)},
	    0, 0, 86400);
}

static void
a_sum_has_the_worst_of_each(void **state)
{
	struct lag_sum sum = LAG_SUM_INIT;
	struct lag a = lag(&(struct lag_facts){.now_us = NOW, .delivered_us = AGO(100)});
	struct lag b =
	    lag(&(struct lag_facts){.now_us = NOW, .delivered_us = AGO(90), .owed_us = AGO(80)});
	struct lag idle = lag(&(struct lag_facts){.now_us = NOW, .clear = true});

	(void)state;
	assert_true(sum.worst.clear);
	assert_int_equal((long)sum.worst.until_trim, 86400);
	lag_add(&sum, &idle);
	assert_true(sum.worst.clear);
	lag_add(&sum, &a);
	lag_add(&sum, &b);
	assert_int_equal((long)sum.worst.iterator_age, 100);
	assert_int_equal((long)sum.worst.delivery_age, 80);
	assert_int_equal((long)sum.worst.until_trim, 86300);
	assert_false(sum.worst.clear);
	assert_int_equal(sum.shards, 3);
	assert_true(sum.known);
}

static void
a_shard_is_as_old_as_its_id_says(void **state)
{
	(void)state;
	assert_int_equal(lag_shard_birth("shardId-00000001414562045508-2bac9cd2", NOW),
	    INT64_C(1414562045508) * USEC_MS);
	assert_int_equal(lag_shard_birth("shardId-1414562045508-000000000001", NOW),
	    INT64_C(1414562045508) * USEC_MS);
	/* Kinesis numbers its shards; after now; no number; not one of the service's. */
	assert_int_equal(lag_shard_birth("shardId-000000000000", NOW), 0);
	assert_int_equal(lag_shard_birth("shardId-00000001800000000000-2bac9cd2", NOW), 0);
	assert_int_equal(lag_shard_birth("shardId-99999999999999999999999999999999-a", NOW), 0);
	assert_int_equal(lag_shard_birth("shardId-", NOW), 0);
	assert_int_equal(lag_shard_birth("shardId-x-a", NOW), 0);
	assert_int_equal(lag_shard_birth("orders-17", NOW), 0);
	assert_int_equal(lag_shard_birth("", NOW), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(idle_is_no_lag_however_old_the_last_record),
	    cmocka_unit_test(lagging_counts_from_what_is_owed),
	    cmocka_unit_test(blocked_counts_from_what_was_delivered),
	    cmocka_unit_test(overdue_is_zero_and_the_future_no_age),
	    cmocka_unit_test(a_sum_has_the_worst_of_each),
	    cmocka_unit_test(a_shard_is_as_old_as_its_id_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
