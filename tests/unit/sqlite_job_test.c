/* tests/unit/sqlite_job_test.c - what the loop prepares for the SQLite copy's thread, where that is
 * not the end of it: rows that SQLite refuses, rows without room, batches that fail before
 * their turn; and how far each shard goes in a transaction.
 */
#include "tests/unit/sqlite_support.h"

#include "sinks/shard_marks.h"

/* Refused by SQLite, refused for its values, and other keys between them. */
static void
the_one_before_is_written(void **state)
{
	static const char *const columns[] = {"v", "numeric", "w", "text", NULL};
	struct copy x;
	struct change v[8];

	(void)state;
	copy_open(&x, columns);
	run_sql(&x,
	    "CREATE TABLE orders (pk TEXT PRIMARY KEY NOT NULL, v CHECK (v < 10), w TEXT,"
	    " slipring_version TEXT NOT NULL)");
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "a", "{\"N\":\"2\"},\"w\":{\"S\":\"a text of its own\"}");
	change_put(&v[2], 3, "b", "{\"N\":\"3\"}");
	change_put(&v[3], 4, "a", "{\"BOOL\":true}");
	change_put(&v[4], 5, "a", "{\"N\":\"11\"},\"w\":{\"S\":\"another\"}");
	change_put(&v[5], 6, "b", "{\"N\":\"12\"}");
	change_put(&v[6], 7, "c", "{\"N\":\"13\"}");
	change_remove(&v[7], 8, "d");
	copy_write(&x, v, 8);
	assert_acked(v, 3);
	assert_verdict(&v[3], SINK_REJECT, "column \"v\", path v");
	for (int i = 4; i < 7; i++)
		assert_verdict(&v[i], SINK_REJECT, "CHECK constraint failed");
	assert_acked(v + 7, 1);
	assert_rows(
	    &x, "SELECT pk, v, w FROM orders ORDER BY pk", "a|2|a text of its own;b|3|NULL");
	assert_rows(&x, "SELECT key FROM orders_slipring_deleted", "[\"d\"]");
	/* The positions are those of all that were settled. */
	assert_rows(&x, "SELECT max(sequence) = sequence, count(*) FROM slipring_position", "1|1");
	assert_rows(&x, "SELECT substr(sequence, -3) FROM slipring_position", "008");
	changes_close(v, 8);
	copy_close(&x);
}

/* The one before can be a delete: a tombstone, no row. */
static void
the_one_before_may_be_a_delete(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, columns);
	run_sql(&x,
	    "CREATE TABLE orders (pk TEXT PRIMARY KEY NOT NULL, v CHECK (v < 10),"
	    " slipring_version TEXT NOT NULL)");
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	copy_write(&x, v, 1);
	change_remove(&v[1], 2, "a");
	change_put(&v[2], 3, "a", "{\"N\":\"11\"}");
	copy_write(&x, v + 1, 2);
	assert_acked(v, 2);
	assert_verdict(&v[2], SINK_REJECT, "CHECK constraint failed");
	assert_rows(&x, "SELECT count(*) FROM orders", "0");
	assert_rows(&x, "SELECT key FROM orders_slipring_deleted", "[\"a\"]");
	changes_close(v, 3);
	copy_close(&x);
}

#define WIDE 700u
#define WIDE_TEXT 9000u

/* Seven columns of the whole item: 700 records of 9 kB are 44 MB of cells, and a job
 * has 32 MiB for them. */
static void
rows_without_room_are_written_too(void **state)
{
	static const char *const columns[] = {"v", "numeric", "c1", "jsonb .", "c2", "jsonb .",
	    "c3", "jsonb .", "c4", "jsonb .", "c5", "jsonb .", "c6", "jsonb .", "c7", "jsonb .",
	    NULL};
	struct change *v = mem_array(WIDE, sizeof *v);
	char *item = mem_new(WIDE_TEXT + 200), keys[64], want[64];
	struct copy x;

	(void)state;
	copy_open(&x, columns);
	copy_start(&x);
	for (unsigned i = 0; i < WIDE; i++) {
		/* The last but one is of the first item, the last is no row of the second. */
		unsigned key = i == WIDE - 2 ? 0 : i == WIDE - 1 ? 1 : i;
		int n = snprintf(item, 100, "\"v\":{\"%s\":\"%u\"},\"t\":{\"S\":\"",
		    i == WIDE - 1 ? "S" : "N", i);

		memset(item + n, 'a' + (int)(i % 26), WIDE_TEXT);
		memcpy(item + n + WIDE_TEXT, "\"}", sizeof "\"}");
		(void)snprintf(keys, sizeof keys, "\"pk\":{\"S\":\"k%u\"}", key);
		change_make(&v[i], i + 1, "MODIFY", keys, item, &orders);
	}
	copy_write(&x, v, WIDE);
	assert_acked(v, WIDE - 1);
	assert_verdict(&v[WIDE - 1], SINK_REJECT, "column \"v\", path v");
	(void)snprintf(want, sizeof want, "%u|%u", WIDE - 2, (WIDE - 1) * (WIDE - 2) / 2);
	assert_rows(&x,
	    "SELECT count(*), sum(v) FROM orders WHERE c1 = c2 AND c1 = c3 AND c1 = c4 AND"
	    " c1 = c5 AND c1 = c6 AND c1 = c7 AND c1 ->> 'v' = v AND length(c1 ->> 't') = 9000"
	    " AND substr(c1 ->> 't', 1, 1) = char(97 + v % 26) AND c1 ->> 'pk' = pk",
	    want);
	assert_rows(&x, "SELECT pk, v FROM orders WHERE pk IN ('k0', 'k1')", "k0|698;k1|1");
	changes_close(v, WIDE);
	free(v);
	free(item);
	copy_close(&x);
}

/* What is found wrong when a batch comes must not be told before, nor spoil, what waits. */
static void
a_batch_that_fails_takes_its_turn(void **state)
{
	struct origin users = orders;
	struct copy x;
	struct change v[4];
	sqlite3 *peer;

	(void)state;
	users.stream = users.table = "users";
	users.arn = "arn:aws:dynamodb:eu-west-1:1:table/users/stream/" LABEL;
	copy_open(&x, NULL);
	x.conf.table = (char[]){"orders"};
	copy_start(&x);
	peer = peer_open(&x);
	peer_exec(peer, "BEGIN IMMEDIATE");
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "b", "{\"N\":\"2\"}");
	change_make(&v[2], 3, "MODIFY", "\"pk\":{\"S\":\"a\"}", "\"v\":{\"N\":\"3\"}", &users);
	change_put(&v[3], 4, "a", "{\"N\":\"4\"}");
	for (int i = 0; i < 4; i++)
		copy_submit(&x, v + i, 1);
	assert_int_equal(x.reports, 0);
	peer_exec(peer, "ROLLBACK");
	(void)sqlite3_close(peer);
	copy_wait(&x, 4);
	assert_acked(v, 2);
	assert_verdict(&v[2], SINK_HALT, "both go to table orders");
	assert_verdict(&v[3], SINK_RETRY, "both go to table orders");
	copy_write(&x, v + 3, 1);
	assert_acked(v + 3, 1);
	assert_rows(&x, "SELECT document FROM orders ORDER BY pk",
	    "{\"pk\":\"a\",\"v\":4};{\"pk\":\"b\",\"v\":2}");
	changes_close(v, 4);
	copy_close(&x);
}

/* Refused while it was built, and then the transaction failed: all of it comes again. */
static void
a_refusal_waits_for_the_transaction(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[2];
	sqlite3 *peer;

	(void)state;
	copy_open(&x, columns);
	x.conf.busy_us = 0;
	copy_start(&x);
	peer = peer_open(&x);
	peer_exec(peer, "BEGIN IMMEDIATE");
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "a", "{\"BOOL\":true}");
	copy_write(&x, v, 2);
	for (int i = 0; i < 2; i++)
		assert_verdict(&v[i], SINK_RETRY, "another program holds its write lock");
	peer_exec(peer, "ROLLBACK");
	(void)sqlite3_close(peer);
	copy_write(&x, v, 2);
	assert_acked(v, 1);
	assert_verdict(&v[1], SINK_REJECT, "column \"v\", path v");
	changes_close(v, 2);
	copy_close(&x);
}

static struct seq
seq_from(unsigned n)
{
	char text[32];
	struct seq s;

	(void)snprintf(text, sizeof text, "%021u", n);
	assert_true(seq_parse(slice_of(text), &s));
	return s;
}

static void
marks_are_one_for_each_shard(void **state)
{
	struct origin again = orders, other = orders, unnamed = orders;
	const struct origin *noted[] = {&orders, &again, &other, &unnamed, &again, &orders};
	static const unsigned numbers[] = {5, 7, 3, 4, 6, 2};
	static const unsigned want[] = {7, 3, 4};
	struct shard_marks m = {.n = 0};

	(void)state;
	/* Another pointer, the same shard; another shard; the same name, but no ARN. */
	other.shard = "shardId-2";
	again.shard = (char[]){"shardId-1"};
	unnamed.arn = NULL;
	for (int round = 0; round < 2; round++) {
		shard_marks_reset(&m);
		for (size_t i = 0; i < ARRAY_LEN(noted); i++) {
			struct seq s = seq_from(numbers[i]);

			shard_marks_note(&m, noted[i], &s);
		}
		assert_int_equal(m.n, ARRAY_LEN(want));
		for (size_t i = 0; i < m.n; i++) {
			struct seq s = seq_from(want[i]);

			assert_int_equal(seq_cmp(&m.v[i].seq, &s), 0);
		}
	}
	shard_marks_close(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_one_before_is_written),
	    cmocka_unit_test(the_one_before_may_be_a_delete),
	    cmocka_unit_test(rows_without_room_are_written_too),
	    cmocka_unit_test(a_batch_that_fails_takes_its_turn),
	    cmocka_unit_test(a_refusal_waits_for_the_transaction),
	    cmocka_unit_test(marks_are_one_for_each_shard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
