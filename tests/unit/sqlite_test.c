/* tests/unit/sqlite_test.c - the SQLite copy: what is in the file after which changes, what
 * is refused, and with which words. What goes wrong around it is in sqlite_fault_test.c.
 */
#include "tests/unit/sqlite_support.h"

#include "sinks/sqlite_probe.h"
#include "sinks/sqlite_table.h"

#define DOCUMENTS "SELECT pk, document FROM orders ORDER BY pk"
#define TOMBSTONES "SELECT key, substr(version, -3) FROM orders_slipring_deleted ORDER BY key"

/* ---- mode table ---- */

static void
items_as_they_are_now(void **state)
{
	struct copy x;
	struct change v[4];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "b", "{\"S\":\"x\"}");
	change_put(&v[2], 3, "c", "{\"BOOL\":true}");
	change_remove(&v[3], 4, "b");
	copy_write(&x, v, 4);
	assert_acked(v, 4);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":1};c|{\"pk\":\"c\",\"v\":true}");
	assert_rows(&x, TOMBSTONES, "[\"b\"]|004");
	assert_rows(&x, "SELECT slipring_version FROM orders WHERE pk = 'c'",
	    LABEL "/0000000000000000000000000000000000000003");
	assert_rows(&x, "SELECT sink, stream, shard, sequence FROM slipring_position",
	    "copy|" ARN "|shardId-1|0000000000000000000000000000000000000004");
	assert_rows(&x, "PRAGMA journal_mode", "wal");
	changes_close(v, 4);
	copy_close(&x);
}

static void
the_same_again_changes_nothing(void **state)
{
	struct copy x;
	struct change v[5];
	struct buf status = BUF_INIT(4096);

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "b", "{\"N\":\"2\"}");
	change_remove(&v[2], 3, "b");
	change_remove(&v[3], 4, "never-there");
	change_put(&v[4], 5, "a", "{\"N\":\"5\"}");
	for (int i = 0; i < 3; i++) {
		copy_write(&x, v, 5);
		assert_acked(v, 5);
		assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":5}");
		assert_rows(&x, TOMBSTONES, "[\"b\"]|003;[\"never-there\"]|004");
	}
	sink_sqlite.status(x.sink, &status);
	assert_non_null(strstr(buf_cstr(&status),
	    "\"written\":1,\"deleted\":2,\"not_newer\":6,\"rejected\":0,\"transactions\":3,"));
	assert_non_null(strstr(buf_cstr(&status), "\"trouble\":null"));
	buf_close(&status);
	changes_close(v, 5);
	copy_close(&x);
}

/* Each change alone, in every order that a replay can bring. */
static void
older_changes_never_win(void **state)
{
	struct copy x;
	struct change v[4];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "a", "{\"N\":\"2\"}");
	change_remove(&v[2], 3, "a");
	change_put(&v[3], 4, "a", "{\"N\":\"4\"}");
	/* older after newer */
	copy_write(&x, &v[1], 1);
	copy_write(&x, &v[0], 1);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":2}");
	/* an older upsert does not bring a deleted item back */
	copy_write(&x, &v[2], 1);
	copy_write(&x, &v[0], 1);
	copy_write(&x, &v[1], 1);
	assert_rows(&x, DOCUMENTS, "");
	assert_rows(&x, TOMBSTONES, "[\"a\"]|003");
	/* a newer one does; and an older delete does not take it away again */
	copy_write(&x, &v[3], 1);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":4}");
	copy_write(&x, &v[2], 1);
	copy_write(&x, &v[0], 1);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":4}");
	assert_rows(&x, "SELECT count(*) FROM orders", "1");
	changes_close(v, 4);
	copy_close(&x);
}

/* Rows that somebody loaded before have no version, and are older than any change. */
static void
loaded_rows_are_older_than_any_change(void **state)
{
	struct copy x;
	struct change v[2];

	(void)state;
	copy_open(&x, NULL);
	run_sql(&x,
	    "CREATE TABLE orders (pk TEXT PRIMARY KEY, document TEXT, slipring_version TEXT);"
	    "INSERT INTO orders VALUES ('a', '{}', NULL), ('b', '{}', NULL), ('c', '{}', NULL)");
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_remove(&v[1], 2, "b");
	copy_write(&x, v, 2);
	assert_acked(v, 2);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":1};c|{}");
	assert_rows(&x, TOMBSTONES, "[\"b\"]|002");
	changes_close(v, 2);
	copy_close(&x);
}

static void
a_new_item_removes_the_tombstone(void **state)
{
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_remove(&v[0], 1, "a");
	change_make(&v[1], 2, "INSERT", "\"pk\":{\"S\":\"a\"}", "", &orders);
	copy_write(&x, v, 1);
	assert_rows(&x, TOMBSTONES, "[\"a\"]|001");
	copy_write(&x, v + 1, 1);
	assert_rows(&x, TOMBSTONES, "");
	/* The insert and a change of it in one batch: only the change is written. */
	change_remove(&v[2], 3, "a");
	copy_write(&x, v + 2, 1);
	changes_close(v, 3);
	change_make(&v[0], 4, "INSERT", "\"pk\":{\"S\":\"a\"}", "", &orders);
	change_put(&v[1], 5, "a", "{\"N\":\"5\"}");
	copy_write(&x, v, 2);
	assert_acked(v, 2);
	assert_rows(&x, TOMBSTONES, "");
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":5}");
	changes_close(v, 2);
	copy_close(&x);
}

static void
a_replaced_stream_is_newer(void **state)
{
	struct origin next = orders;
	struct copy x;
	struct change v[2];

	(void)state;
	next.label = "2026-11-22T00:00:00.000";
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 900, "a", "{\"N\":\"1\"}");
	change_make(&v[1], 1, "MODIFY", "\"pk\":{\"S\":\"a\"}", "\"v\":{\"N\":\"2\"}", &next);
	copy_write(&x, v + 1, 1);
	copy_write(&x, v, 1);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":2}");
	changes_close(v, 2);
	copy_close(&x);
}

static void
old_tombstones_go(void **state)
{
	struct copy x;
	struct change v[2];
	struct delivery *none = NULL;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_remove(&v[0], 1, "a");
	change_remove(&v[1], 2, "b");
	copy_write(&x, v, 2);
	run_sql(&x,
	    "UPDATE orders_slipring_deleted SET deleted_at = '2026-01-01T00:00:00.000000Z'"
	    " WHERE key = '[\"a\"]';"
	    "INSERT INTO slipring_position VALUES ('copy', 's', 'gone', '1',"
	    " '2026-01-01T00:00:00.000000Z')");
	/* An empty submit is housekeeping, which the timer asks for otherwise; it comes after
	 * what is with it in the queue. */
	assert_int_equal(sink_sqlite.submit(x.sink, &none, 0), SINK_TAKEN);
	copy_write(&x, v + 1, 1);
	copy_stop(&x);
	assert_rows(&x, "SELECT key FROM orders_slipring_deleted", "[\"b\"]");
	assert_rows(&x, "SELECT shard FROM slipring_position", "shardId-1");
	changes_close(v, 2);
	copy_close(&x);
}

static void
two_tables_in_one_file(void **state)
{
	struct origin users = orders;
	struct copy x;
	struct change v[2];

	(void)state;
	users.table = "us\"ers";
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_make(&v[1], 2, "INSERT", "\"pk\":{\"S\":\"a\"}", "\"v\":{\"N\":\"2\"}", &users);
	copy_write(&x, v, 2);
	assert_acked(v, 2);
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":1}");
	assert_rows(&x, "SELECT document FROM \"us\"\"ers\"", "{\"pk\":\"a\",\"v\":2}");
	assert_rows(&x, "SELECT count(*) FROM \"us\"\"ers_slipring_deleted\"", "0");
	changes_close(v, 2);
	copy_close(&x);
}

/* Items of one key would overwrite each other. */
static void
two_streams_for_one_table_halt(void **state)
{
	struct origin users = orders;
	struct copy x;
	struct change v[2];

	(void)state;
	users.stream = "users";
	users.table = "Orders"; /* to SQLite the same */
	users.arn = "arn:aws:dynamodb:eu-west-1:1:table/Orders/stream/" LABEL;
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_make(&v[1], 2, "MODIFY", "\"pk\":{\"S\":\"a\"}", "\"v\":{\"N\":\"2\"}", &users);
	copy_write(&x, v, 1);
	for (int i = 0; i < 2; i++) {
		copy_write(&x, v + 1, 1);
		assert_verdict(&v[1], SINK_HALT, "both go to table Orders");
	}
	assert_rows(&x, DOCUMENTS, "a|{\"pk\":\"a\",\"v\":1}");
	changes_close(v, 2);
	copy_close(&x);
}

/* ---- values ---- */

static void
every_type_has_its_form(void **state)
{
	static const char *const columns[] = {"t", "text", "n", "numeric", "i", "bigint", "o",
	    "boolean", "w", "timestamptz", "b", "bytea", "j", "jsonb", NULL};
	struct copy x;
	struct change v[2];

	(void)state;
	copy_open(&x, columns);
	copy_start(&x);
	change_make(&v[0], 1, "INSERT", "\"pk\":{\"B\":\"AAEC\"},\"sk\":{\"N\":\"7.50\"}",
	    "\"t\":{\"S\":\"caf\\u00e9\"},\"n\":{\"N\":\"12.50\"},\"i\":{\"N\":\"-5\"},\"o\":{"
	    "\"BOOL\":true},\"w\":{\"N\":\"1.5\"},\"b\":{\"B\":\"/w==\"},\"j\":{\"L\":[{\"N\":"
	    "\"1\"}]}",
	    &orders);
	change_make(&v[1], 2, "INSERT", "\"pk\":{\"B\":\"\"},\"sk\":{\"N\":\"0\"}", "", &orders);
	copy_write(&x, v, 2);
	assert_acked(v, 2);
	assert_rows(&x,
	    "SELECT hex(pk), sk, t, n, i, o, w, hex(b), j, typeof(pk), typeof(sk), typeof(n),"
	    " typeof(i), typeof(o), typeof(w), typeof(b), typeof(j) FROM orders ORDER BY pk",
	    "|0|NULL|NULL|NULL|NULL|NULL||NULL|blob|integer|null|null|null|null|null|null;"
	    "000102|7.5|café|12.5|-5|1|1970-01-01T00:00:01.500000Z|FF|[1]|blob|real|real|integer|"
	    "integer|text|blob|text");
	changes_close(v, 2);
	copy_close(&x);
}

/* Read as text, or by a program that knows integers, doubles and text, each is the number
 * that was written; what fits an integer or a double sorts and adds up. */
static void
numbers_are_whole(void **state)
{
	static const char *const columns[] = {"n", "numeric", NULL};
	static const struct {
		const char *number, *type, *text;
	} cases[] = {
	    {"9", "integer", "9"},
	    {"10", "integer", "10"},
	    {"-1.5", "real", "-1.5"},
	    {"0.1", "real", "0.1"},
	    {"100000000000000000000", "real", "1.0e+20"},
	    {"9223372036854775807", "integer", "9223372036854775807"},
	    {"9223372036854775808", "text", "9223372036854775808"},
	    {"9007199254740993", "integer", "9007199254740993"},
	    {"123456789012345.5", "text", "123456789012345.5"},
	    {"12345678901234.5", "real", "12345678901234.5"},
	    {"12345678901234567890123456789012345678", "text",
		"12345678901234567890123456789012345678"},
	    {"-0.1234567890123456789", "text", "-0.1234567890123456789"},
	    {"9.9999999999999999999999999999999999999E+125", "text",
		"9.9999999999999999999999999999999999999E+125"},
	    {"1E-130", "real", "1.0e-130"},
	    {"9E+125", "real", "9.0e+125"},
	};
	struct change v[ARRAY_LEN(cases)];
	struct copy x;

	(void)state;
	copy_open(&x, columns);
	copy_start(&x);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char keys[64], item[128];

		(void)snprintf(keys, sizeof keys, "\"pk\":{\"N\":\"%u\"}", i);
		(void)snprintf(item, sizeof item, "\"n\":{\"N\":\"%s\"}", cases[i].number);
		change_make(&v[i], i + 1, "INSERT", keys, item, &orders);
	}
	copy_write(&x, v, ARRAY_LEN(cases));
	assert_acked(v, ARRAY_LEN(cases));
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		char sql[128], want[160];

		(void)snprintf(sql, sizeof sql,
		    "SELECT typeof(n), CAST(n AS TEXT) FROM orders WHERE pk = %u", i);
		(void)snprintf(want, sizeof want, "%s|%s", cases[i].type, cases[i].text);
		assert_rows(&x, sql, want);
	}
	assert_rows(&x, "SELECT n FROM orders WHERE n < 11 ORDER BY n", "-1.5;1.0e-130;0.1;9;10");
	/* Texts come behind all of them, whatever their value. */
	assert_rows(&x, "SELECT n FROM orders WHERE typeof(n) = 'text' ORDER BY n LIMIT 1",
	    "-0.1234567890123456789");
	assert_rows(&x, "SELECT pk FROM orders ORDER BY n LIMIT 1 OFFSET 10", "11");
	changes_close(v, ARRAY_LEN(cases));
	copy_close(&x);
}

/* As keys: two spellings of one number are one row, two numbers that one double would hold are two. */
static void
numbers_as_keys(void **state)
{
	static const char *const numbers[] = {"1", "1.0", "1E0", "9007199254740993",
	    "9007199254740992", "12345678901234567890123456789012345678",
	    "12345678901234567890123456789012345679", "0.1", "0.10"};
	struct change v[ARRAY_LEN(numbers)];
	struct copy x;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		char keys[80];

		(void)snprintf(keys, sizeof keys, "\"pk\":{\"N\":\"%s\"}", numbers[i]);
		change_make(&v[i], i + 1, "INSERT", keys, "", &orders);
		copy_write(&x, &v[i], 1);
		assert_acked(&v[i], 1);
	}
	assert_rows(&x, "SELECT pk FROM orders ORDER BY pk",
	    "0.1;1;9007199254740992;9007199254740993;12345678901234567890123456789012345678;"
	    "12345678901234567890123456789012345679");
	changes_close(v, ARRAY_LEN(numbers));
	for (unsigned i = 0; i < ARRAY_LEN(numbers); i++) {
		char keys[80];

		(void)snprintf(keys, sizeof keys, "\"pk\":{\"N\":\"%s\"}", numbers[i]);
		change_make(&v[i], i + 100, "REMOVE", keys, NULL, &orders);
	}
	copy_write(&x, v, ARRAY_LEN(numbers));
	assert_rows(&x, "SELECT pk FROM orders", "");
	changes_close(v, ARRAY_LEN(numbers));
	copy_close(&x);
}

static void
text_is_kept_whole(void **state)
{
	static const char *const columns[] = {"v", "text", "item", "jsonb .", NULL};
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, columns);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"S\":\"x\\u0000y\"}");
	change_put(&v[1], 2, "b", "{\"S\":\"half \\ud800\"}");
	change_put(&v[2], 3, "c", "{\"S\":\"\"}");
	copy_write(&x, v, 3);
	assert_acked(&v[0], 1);
	assert_acked(&v[2], 1);
	assert_verdict(&v[1], SINK_REJECT,
	    "sqlite: table \"orders\": column \"v\", path v: its text holds half of a surrogate "
	    "pair");
	assert_rows(&x, "SELECT pk, hex(v), item FROM orders ORDER BY pk",
	    "a|780079|{\"pk\":\"a\",\"v\":\"x\\u0000y\"};c||{\"pk\":\"c\",\"v\":\"\"}");
	changes_close(v, 3);
	copy_close(&x);
}

/* ---- one record refused ---- */

static void
a_misfit_is_refused_alone(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[7];

	(void)state;
	copy_open(&x, columns);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "b", "{\"N\":\"2\"}");
	change_put(&v[2], 3, "a", "{\"N\":\"3\"}");
	change_put(&v[3], 4, "a", "{\"S\":\"SECRET\"}");
	change_put(&v[4], 5, "c", "{\"S\":\"SECRET\"}");
	change_put(&v[5], 6, "a", "{\"BOOL\":true}");
	change_put(&v[6], 7, "d", "{\"N\":\"7\"}");
	copy_write(&x, v, 7);
	for (int i = 3; i < 6; i++)
		assert_verdict(&v[i], SINK_REJECT, "column \"v\", path v");
	assert_null(strstr(v[3].why.text, "SECRET"));
	assert_acked(&v[0], 3);
	assert_acked(&v[6], 1);
	/* The last of "a" that fits, not what was there before the batch. */
	assert_rows(&x, "SELECT pk, v FROM orders ORDER BY pk", "a|3;b|2;d|7");
	changes_close(v, 7);
	copy_close(&x);
}

static void
constraints_of_the_operator(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, columns);
	run_sql(&x,
	    "CREATE TABLE orders (pk TEXT PRIMARY KEY NOT NULL, v CHECK (v < 10), slipring_version"
	    " TEXT NOT NULL)");
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "b", "{\"N\":\"20\"}");
	change_put(&v[2], 3, "c", "{\"N\":\"3\"}");
	copy_write(&x, v, 3);
	assert_verdict(&v[1], SINK_REJECT, "CHECK constraint failed");
	assert_acked(&v[0], 1);
	assert_acked(&v[2], 1);
	assert_rows(&x, "SELECT pk FROM orders ORDER BY pk", "a;c");
	/* One that rolls everything back cannot be had with other records in the transaction. */
	run_sql(&x,
	    "CREATE TRIGGER t BEFORE UPDATE ON orders WHEN new.v = 7 BEGIN SELECT RAISE(ROLLBACK,"
	    " 'no'); END");
	changes_close(v, 3);
	change_put(&v[0], 4, "a", "{\"N\":\"4\"}");
	change_put(&v[1], 5, "c", "{\"N\":\"7\"}");
	copy_write(&x, v, 2);
	assert_verdict(&v[0], SINK_HALT, "rolls the whole transaction back");
	assert_verdict(&v[1], SINK_HALT, "rolls the whole transaction back");
	assert_rows(&x, "SELECT v FROM orders WHERE pk = 'a'", "1");
	changes_close(v, 2);
	copy_close(&x);
}

/* No table was made yet, nor the one of the positions beside it. */
static void
all_of_the_first_batch_may_be_refused(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[2];

	(void)state;
	copy_open(&x, columns);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"S\":\"text\"}");
	change_put(&v[1], 2, "b", "{\"N\":\"2\"}");
	for (int i = 0; i < 2; i++) {
		copy_write(&x, v, 1);
		assert_verdict(&v[0], SINK_REJECT, "column \"v\", path v");
	}
	copy_write(&x, &v[1], 1);
	assert_acked(&v[1], 1);
	assert_rows(&x, "SELECT pk, v FROM orders", "b|2");
	copy_write(&x, v, 1);
	assert_verdict(&v[0], SINK_REJECT, "column \"v\", path v");
	changes_close(v, 2);
	copy_close(&x);
}

static void
another_key_is_refused(void **state)
{
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_make(&v[1], 2, "INSERT", "\"pk\":{\"N\":\"5\"}", "", &orders);
	change_make(&v[2], 3, "INSERT", "\"pk\":{\"M\":{}}", "", &orders);
	copy_write(&x, v, 3);
	assert_acked(v, 1);
	assert_verdict(&v[1], SINK_REJECT, "a number (N), which does not fit text");
	assert_int_equal(v[2].verdict, SINK_REJECT);
	/* The first record of a table that has no key of ours. */
	copy_stop(&x);
	copy_start(&x);
	copy_write(&x, v + 2, 1);
	assert_verdict(&v[2], SINK_REJECT, "one or two attributes of S, N or B");
	changes_close(v, 3);
	copy_close(&x);
}

/* ---- mode log ---- */

static void
a_log_appends_once(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, columns);
	x.conf.mode = ROWS_LOG;
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "a", "{\"N\":\"2\"}");
	change_remove(&v[2], 3, "a");
	for (int i = 0; i < 2; i++) {
		copy_write(&x, v, 3);
		assert_acked(v, 3);
	}
	assert_rows(&x,
	    "SELECT CAST(sequence AS INTEGER), event_id, event, created_at, keys, new, old, v FROM"
	    " orders ORDER BY sequence",
	    "1|e1|MODIFY|2026-11-21T07:29:37.000000Z|{\"pk\":\"a\"}|{\"pk\":\"a\",\"v\":1}|NULL|1;"
	    "2|e2|MODIFY|2026-11-21T07:29:37.000000Z|{\"pk\":\"a\"}|{\"pk\":\"a\",\"v\":2}|NULL|2;"
	    "3|e3|REMOVE|2026-11-21T07:29:37.000000Z|{\"pk\":\"a\"}|NULL|NULL|NULL");
	assert_rows(
	    &x, "SELECT DISTINCT stream, shard, length(sequence) FROM orders", ARN "|shardId-1|40");
	changes_close(v, 3);
	copy_close(&x);
}

/* Only what is the very same change is left out. */
static void
a_log_with_a_constraint_of_yours_rejects(void **state)
{
	struct copy x;
	struct change v[3];

	(void)state;
	copy_open(&x, NULL);
	x.conf.mode = ROWS_LOG;
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1\"}");
	change_put(&v[1], 2, "a", "{\"N\":\"2\"}");
	change_put(&v[2], 3, "b", "{\"N\":\"3\"}");
	copy_write(&x, v, 1);
	run_sql(&x, "CREATE UNIQUE INDEX one_an_item ON orders (keys)");
	copy_write(&x, v, 3);
	assert_acked(v, 1);
	assert_verdict(&v[1], SINK_REJECT, "UNIQUE constraint failed: orders.keys");
	assert_acked(v + 2, 1);
	assert_rows(&x, "SELECT event_id FROM orders ORDER BY sequence", "e1;e3");
	changes_close(v, 3);
	copy_close(&x);
}

/* ---- tables that are there ---- */

static void
a_table_that_does_not_fit_halts(void **state)
{
	static const char *const columns[] = {
	    "total", "numeric", "note", "text", "at", "timestamptz", NULL};
	struct copy x;
	struct change c;

	(void)state;
	copy_open(&x, columns);
	run_sql(&x,
	    "CREATE TABLE orders (pk TEXT COLLATE NOCASE, total REAL, at INTEGER,"
	    " slipring_version TEXT NOT NULL)");
	copy_start(&x);
	change_put(&c, 1, "a", "{\"N\":\"1\"}");
	copy_write(&x, &c, 1);
	assert_verdict(&c, SINK_HALT,
	    "table \"orders\" does not fit: column \"pk\" is not in the primary key; column \"pk\" "
	    "does"
	    " not compare as BINARY; column \"total\" is REAL, which cannot hold numeric; column"
	    " \"note\" is missing; column \"at\" is INTEGER");
	/* Mended, it goes on without a restart. */
	run_sql(&x,
	    "DROP TABLE orders; CREATE TABLE orders (extra TEXT DEFAULT 'x', slipring_version BLOB,"
	    " at VARCHAR(30), total VARCHAR(40), note, pk TEXT PRIMARY KEY NOT NULL)");
	copy_write(&x, &c, 1);
	assert_acked(&c, 1);
	assert_rows(&x, "SELECT pk, extra FROM orders", "a|x");
	changes_close(&c, 1);
	copy_close(&x);
}

static void
numbers_in_text_columns_stay_text(void **state)
{
	static const char *const columns[] = {"v", "numeric", NULL};
	struct copy x;
	struct change v[2];

	(void)state;
	copy_open(&x, columns);
	run_sql(
	    &x, "CREATE TABLE orders (pk TEXT PRIMARY KEY, v VARCHAR(50), slipring_version TEXT)");
	copy_start(&x);
	change_put(&v[0], 1, "a", "{\"N\":\"1E20\"}");
	change_put(&v[1], 2, "b", "{\"N\":\"12.50\"}");
	copy_write(&x, v, 2);
	assert_acked(v, 2);
	assert_rows(&x, "SELECT v FROM orders ORDER BY pk", "100000000000000000000;12.5");
	changes_close(v, 2);
	copy_close(&x);
}

static void
nothing_is_made_without_create(void **state)
{
	struct copy x;
	struct change c;

	(void)state;
	copy_open(&x, NULL);
	run_sql(&x, "CREATE TABLE other (a)");
	x.conf.create = false;
	copy_start(&x);
	change_put(&c, 1, "a", "{\"N\":\"1\"}");
	copy_write(&x, &c, 1);
	assert_verdict(&c, SINK_HALT, "table \"orders\" does not exist, and create is false");
	run_sql(
	    &x, "CREATE TABLE orders (pk TEXT PRIMARY KEY, document TEXT, slipring_version TEXT)");
	copy_write(&x, &c, 1);
	assert_verdict(&c, SINK_HALT, "no such table: orders_slipring_deleted");
	run_sql(&x,
	    "CREATE TABLE orders_slipring_deleted (key TEXT PRIMARY KEY, version TEXT, deleted_at"
	    " TEXT)");
	copy_write(&x, &c, 1);
	assert_verdict(&c, SINK_HALT, "no such table: slipring_position");
	run_sql(&x,
	    "CREATE TABLE slipring_position (sink, stream, shard, sequence, written_at,"
	    " PRIMARY KEY (sink, stream, shard))");
	copy_write(&x, &c, 1);
	assert_acked(&c, 1);
	assert_rows(&x, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'", "4");
	changes_close(&c, 1);
	copy_close(&x);
}

static void
a_stream_without_images_halts(void **state)
{
	struct copy x;
	struct change c;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	change_remove(&c, 1, "a");
	changes_close(&c, 1);
	change_make(&c, 1, "MODIFY", "\"pk\":{\"S\":\"a\"}", NULL, &orders);
	copy_write(&x, &c, 1);
	assert_verdict(&c, SINK_HALT, "NEW_AND_OLD_IMAGES");
	changes_close(&c, 1);
	copy_close(&x);
}

/* ---- what open refuses ---- */

static void
assert_no_start(struct copy *x, enum err_code code, const char *why)
{
	struct err e = {.text = "(none)"};

	assert_int_equal(copy_try_start(x, &e), -1);
	assert_null(x->sink);
	if (e.code != code || strstr(e.text, why) == NULL || strncmp(e.text, "sqlite: ", 8) != 0)
		fail_msg("%d %s\nwant: %d %s", (int)e.code, e.text, (int)code, why);
	assert_null(strchr(e.text, '\n'));
}

static void
put_file(const struct copy *x, const char *tail, const char *text)
{
	char path[160];
	FILE *f;

	(void)snprintf(path, sizeof path, "%s%s", x->path, tail);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static void
files_that_are_no_copy(void **state)
{
	struct copy x;
	char *path;

	(void)state;
	copy_open(&x, NULL);
	put_file(&x, "-wal", "rest");
	assert_no_start(&x, ERR_CORRUPT, "is missing but its journal");
	put_file(&x, "-wal", "");
	x.conf.create = false;
	assert_no_start(&x, ERR_NOT_FOUND, "does not exist, and create is false");
	x.conf.create = true;
	for (int i = 0; i < 200; i++) {
		char text[2048];

		memset(text, 'x', sizeof text);
		text[sizeof text - 1] = '\0';
		put_file(&x, "", text);
	}
	assert_no_start(&x, ERR_VERSION, "file is not a database; set another path");
	assert_int_equal(unlink(x.path), 0);
	run_sql(&x, "PRAGMA application_id = 1399615602; CREATE TABLE position (a)");
	assert_no_start(&x, ERR_VERSION, "is slipring's own store");
	path = x.conf.path;
	x.conf.path = x.dir;
	assert_no_start(&x, ERR_IO, "is not a regular file");
	x.conf.path = (char[]){"/nonexistent/copy.db"};
	assert_no_start(&x, ERR_IO, "the directory must exist and be writable");
	x.conf.path = path;
	copy_close(&x);
}

static void
a_second_writer_is_refused(void **state)
{
	struct copy x, y;
	char link[160];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	copy_open(&y, NULL);
	y.conf.path = x.path;
	assert_no_start(&y, ERR_LOCKED, "copy.db.lock is held by process");
	/* By another name, too. */
	(void)snprintf(link, sizeof link, "%s/link.db", x.dir);
	assert_int_equal(symlink(x.path, link), 0);
	y.conf.path = link;
	assert_no_start(&y, ERR_LOCKED, "one file, one sink");
	copy_stop(&x);
	copy_start(&y);
	copy_stop(&y);
	copy_close(&y);
	copy_close(&x);
}

static void
assert_bad_conf(const char *path, const char *table, const char *why)
{
	struct sqlite_conf c = {.path = mem_strdup(path), .table = mem_strdup(table)};
	struct err e = {.text = "(none)"};

	assert_int_equal(sink_sqlite.check(&c, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, why) == NULL)
		fail_msg("have: %s\nwant: %s", e.text, why);
	free(c.path);
	free(c.table);
}

static void
mistakes_in_the_configuration(void **state)
{
	struct sqlite_conf ok = {.path = (char[]){"/x"}, .table = (char[]){"{stream}_{table}"}};
	struct err e;

	(void)state;
	assert_int_equal(sink_sqlite.check(&ok, &e), 0);
	assert_bad_conf("", "t", "path is empty");
	assert_bad_conf(":memory:", "t", "name of a file");
	assert_bad_conf("file:x?mode=memory", "t", "name of a file");
	assert_bad_conf("/x", "{tabel}", "did you mean {table}?");
	assert_bad_conf("/x", "{event}", "{event} would spread");
	assert_bad_conf("/x", "slipring_x", "are taken");
	assert_bad_conf("/x", "", "the name is empty");
}

/* ---- result codes ---- */

static void
every_code_has_its_verdict(void **state)
{
	static const struct {
		int rc;
		enum sink_verdict v;
	} cases[] = {
	    {SQLITE_DONE, SINK_ACK},
	    {SQLITE_BUSY, SINK_RETRY},
	    {SQLITE_BUSY_SNAPSHOT, SINK_RETRY},
	    {SQLITE_LOCKED, SINK_RETRY},
	    {SQLITE_NOMEM, SINK_RETRY},
	    {SQLITE_FULL, SINK_RETRY},
	    {SQLITE_IOERR_WRITE, SINK_RETRY},
	    {SQLITE_IOERR_FSYNC, SINK_RETRY},
	    {SQLITE_CANTOPEN, SINK_RETRY},
	    {SQLITE_READONLY, SINK_RETRY},
	    {SQLITE_READONLY_DBMOVED, SINK_HALT},
	    {SQLITE_SCHEMA, SINK_RETRY},
	    {SQLITE_CONSTRAINT_NOTNULL, SINK_REJECT},
	    {SQLITE_CONSTRAINT_UNIQUE, SINK_REJECT},
	    {SQLITE_MISMATCH, SINK_REJECT},
	    {SQLITE_TOOBIG, SINK_REJECT},
	    {SQLITE_ERROR, SINK_HALT},
	    {SQLITE_CORRUPT, SINK_HALT},
	    {SQLITE_NOTADB, SINK_HALT},
	    {SQLITE_PERM, SINK_HALT},
	    {SQLITE_AUTH, SINK_HALT},
	    {SQLITE_MISUSE, SINK_HALT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e;

		assert_int_equal(sqlite_verdict(cases[i].rc), cases[i].v);
		if (cases[i].v == SINK_ACK)
			continue;
		assert_int_equal(sqlite_err(NULL, "/x", cases[i].rc, "what", &e), -1);
		if (sqlite_verdict_of(&e) != cases[i].v)
			fail_msg("%d: %s", cases[i].rc, e.text);
	}
}

/* ---- check --connect ---- */

struct said {
	struct buf text;
	unsigned count[3];
};

static void
note_finding(void *ctx, enum sink_finding f, const char *text)
{
	struct said *s = ctx;

	s->count[f]++;
	buf_add_str(&s->text, text);
	buf_add_char(&s->text, '\n');
}

static void
probe_all(struct copy *x, struct said *s, const struct origin *o, size_t count)
{
	struct sink_probe p = {
	    .name = "copy", .origins = o, .origin_count = count, .ctx = s, .say = note_finding};
	struct err e;

	buf_reset(&s->text);
	memset(s->count, 0, sizeof s->count);
	if (sink_sqlite.probe(&x->conf, &p, &e) != 0)
		fail_msg("%s", e.text);
}

static void
probe(struct copy *x, struct said *s, const struct origin *o)
{
	probe_all(x, s, o, 1);
}

static void
the_probe_finds_two_streams_for_one_table(void **state)
{
	struct key_schema schema = {.names = {(char[]){"pk"}, NULL}, .types = {'S', 0}};
	struct origin o[2] = {orders, orders};
	struct copy x;
	struct said s = {.text = BUF_INIT(1u << 16)};

	(void)state;
	o[0].schema = o[1].schema = &schema;
	o[1].arn = "arn:aws:dynamodb:eu-west-2:1:table/orders/stream/" LABEL;
	copy_open(&x, NULL);
	probe_all(&x, &s, o, 2);
	assert_int_equal(s.count[SINK_FOUND_BAD], 1);
	assert_non_null(strstr(buf_cstr(&s.text), "both go to table"));
	buf_close(&s.text);
	copy_close(&x);
}

static void
the_probe_prints_what_is_missing(void **state)
{
	struct key_schema known = {.names = {(char[]){"pk"}, (char[]){"sk"}}, .types = {'S', 'N'}};
	struct origin o = orders;
	struct said s = {.text = BUF_INIT(1u << 16)};
	struct copy x;

	(void)state;
	o.schema = &known;
	copy_open(&x, NULL);
	probe(&x, &s, &o);
	assert_int_equal(s.count[SINK_FOUND_BAD], 0);
	assert_non_null(strstr(buf_cstr(&s.text),
	    "will be made:\nCREATE TABLE IF NOT EXISTS \"orders\" ("
	    "\n\t\"pk\" TEXT NOT NULL,\n\t\"sk\" NOT NULL,\n"));
	assert_int_equal(access(x.path, F_OK), -1);
	x.conf.create = false;
	probe(&x, &s, &o);
	assert_int_equal(s.count[SINK_FOUND_BAD], 2);
	/* What it prints is what makes it. */
	run_sql(&x, strstr(buf_cstr(&s.text), "CREATE"));
	probe(&x, &s, &o);
	assert_string_equal(buf_cstr(&s.text), "table \"orders\" fits\n");
	run_sql(&x, "DROP TABLE orders_slipring_deleted");
	probe(&x, &s, &o);
	assert_int_equal(s.count[SINK_FOUND_BAD], 1);
	known.types[1] = 'B';
	probe(&x, &s, &o);
	assert_int_equal(s.count[SINK_FOUND_BAD], 1);
	probe(&x, &s, &orders);
	assert_int_equal(s.count[SINK_FOUND_NOTE], 1);
	assert_non_null(strstr(buf_cstr(&s.text), "are not known"));
	buf_close(&s.text);
	copy_close(&x);
}

static void
times_are_of_one_width(void **state)
{
	char text[SQLITE_TIME_LENGTH + 1];

	(void)state;
	sqlite_time_write(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
	sqlite_time_write(1500000, text);
	assert_string_equal(text, "1970-01-01T00:00:01.500000Z");
	sqlite_time_write(INT64_C(1795246177123456), text);
	assert_string_equal(text, "2026-11-21T07:29:37.123456Z");
	sqlite_time_write(INT64_C(-62135596800000000), text);
	assert_string_equal(text, "0001-01-01T00:00:00.000000Z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(items_as_they_are_now),
	    cmocka_unit_test(the_same_again_changes_nothing),
	    cmocka_unit_test(older_changes_never_win),
	    cmocka_unit_test(loaded_rows_are_older_than_any_change),
	    cmocka_unit_test(a_new_item_removes_the_tombstone),
	    cmocka_unit_test(a_replaced_stream_is_newer),
	    cmocka_unit_test(old_tombstones_go),
	    cmocka_unit_test(two_tables_in_one_file),
	    cmocka_unit_test(two_streams_for_one_table_halt),
	    cmocka_unit_test(every_type_has_its_form),
	    cmocka_unit_test(numbers_are_whole),
	    cmocka_unit_test(numbers_as_keys),
	    cmocka_unit_test(text_is_kept_whole),
	    cmocka_unit_test(a_misfit_is_refused_alone),
	    cmocka_unit_test(all_of_the_first_batch_may_be_refused),
	    cmocka_unit_test(constraints_of_the_operator),
	    cmocka_unit_test(another_key_is_refused),
	    cmocka_unit_test(a_log_appends_once),
	    cmocka_unit_test(a_log_with_a_constraint_of_yours_rejects),
	    cmocka_unit_test(a_table_that_does_not_fit_halts),
	    cmocka_unit_test(numbers_in_text_columns_stay_text),
	    cmocka_unit_test(nothing_is_made_without_create),
	    cmocka_unit_test(a_stream_without_images_halts),
	    cmocka_unit_test(files_that_are_no_copy),
	    cmocka_unit_test(a_second_writer_is_refused),
	    cmocka_unit_test(mistakes_in_the_configuration),
	    cmocka_unit_test(every_code_has_its_verdict),
	    cmocka_unit_test(the_probe_prints_what_is_missing),
	    cmocka_unit_test(the_probe_finds_two_streams_for_one_table),
	    cmocka_unit_test(times_are_of_one_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
