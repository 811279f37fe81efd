/* Names of tables, and which ones are refused. The SQL itself is the server's to judge. */
#include "tests/unit/record_support.h"

#include "sinks/postgres_sql.h"

static void
patterns(void **state)
{
	static const char *const good[] = {
	    "orders", "{table}", "{stream}_copy", "w.orders", "w.{table}"};
	static const char *const bad[] = {
	    "", "{event}", "{tabel}", "{table}.x", ".x", "w.", "a.b.c", "a.{table}.c"};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		if (pg_table_check(good[i], &e) != 0)
			fail_msg("%s: %s", good[i], e.text);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (pg_table_check(bad[i], &e) == 0 || e.code != ERR_CONFIG)
			fail_msg("%s is taken", bad[i]);
}

static struct pg_target *
target_of(const char *pattern, const char *table, struct err *e)
{
	struct pg_conf c = {.mode = ROWS_TABLE, .table = (char *)(uintptr_t)pattern};
	const struct key_schema schema = {.names = {(char[]){"pk"}, NULL}, .types = {'S', 0}};
	const struct origin o = {.table = table, .stream = "s"};
	struct buf name = BUF_INIT(4096);
	struct pg_target *t;
	struct rows_keys keys;

	assert_true(rows_keys_of_schema(&schema, &keys));
	pg_table_write(&c, &o, &name);
	if (pg_target_new(&t, &c, 3, buf_slice(&name), &keys, e) != 0)
		t = NULL;
	buf_close(&name);
	return t;
}

static void
names(void **state)
{
	struct err e;
	struct pg_target *t = target_of("w.{table}", "a.\"b", &e);
	char name[32];

	(void)state;
	assert_string_equal(t->name, "\"w\".\"a.\"\"b\"");
	assert_string_equal(t->tombs, "\"w\".\"a.\"\"b_slipring_deleted\"");
	pg_target_statement(t, PG_PUT, name, sizeof name);
	assert_string_equal(name, "put3");
	pg_target_close(t);
}

/* The server would cut it without an error, and two tables might become one. */
static void
long_names(void **state)
{
	char text[65] = {0};
	struct pg_target *t;
	struct err e;

	(void)state;
	memset(text, 'x', 64);
	assert_null(target_of("{table}", text, &e));
	assert_int_equal(e.code, ERR_CONFIG);
	text[63] = '\0';
	t = target_of("{table}", text, &e);
	assert_non_null(t);
	assert_int_equal(strlen(t->name), 63 + 2);
	assert_true(strlen(t->tombs) <= 63 + 2);
	assert_true(strlen(t->tombs_at) <= 63 + 2);
	assert_string_not_equal(t->tombs, t->tombs_at);
	pg_target_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patterns),
	    cmocka_unit_test(names),
	    cmocka_unit_test(long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
