/* tests/unit/route_test.c - names that records are sent to: how they travel with a record,
 * and that a bad one is the fault of its record alone.
 */
#include "tests/unit/sqlite_support.h"

#include "record/format.h"
#include "record/rewrite.h"
#include "sinks/opensearch_priv.h"
#include "sinks/postgres_batch.h"
#include "sinks/route.h"

#define RAW(more)                                                                                  \
	"{\"eventID\":\"e\",\"eventName\":\"INSERT\"" more ",\"dynamodb\":{\"SequenceNumber\":"    \
	"\"300000000000000499659\",\"Keys\":{\"pk\":{\"S\":\"a\"}},"                               \
	"\"NewImage\":{\"pk\":{\"S\":\"a\"}}}}"

/* ---- with the record ---- */

static struct page *
ours(const char *raw)
{
	struct slice s = slice_of(raw);
	struct page *p;
	struct err e;

	if (page_of_records(&p, &s, 1, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(p->count, 1);
	return p;
}

static void
it_travels_with_the_record(void **state)
{
	struct buf out = BUF_INIT(1u << 16), again = BUF_INIT(1u << 16);
	struct page *p = ours(RAW(""));
	struct record r = p->records[0];
	struct err e;

	(void)state;
	assert_null(r.route.p);
	r.route = SLICE_LIT("tenant-a");
	record_write(&r, &out);
	page_unref(p);
	p = ours(buf_cstr(&out));
	assert_true(slice_is(p->records[0].route, "tenant-a"));
	/* Another filter rewrites it again; a dead letter has it once. */
	record_write(&p->records[0], &again);
	assert_string_equal(buf_cstr(&again), buf_cstr(&out));
	/* What is written for others has only what the service's records have. */
	buf_reset(&again);
	assert_int_equal(format_write(FORMAT_DYNAMODB, &p->records[0], &orders, &again, &e), 0);
	assert_string_equal(buf_cstr(&again), RAW(""));
	page_unref(p);
	buf_close(&out);
	buf_close(&again);
}

static void
the_service_does_not_set_it(void **state)
{
	struct buf body = BUF_INIT(1u << 16);
	struct page *p;
	struct err e;

	(void)state;
	buf_add_str(&body, "{\"Records\":[" RAW(",\"slipringRoute\":\"x\"") "]}");
	assert_int_equal(page_parse(&p, &body, &e), 0);
	assert_null(p->records[0].route.p);
	page_unref(p);
	p = ours(RAW(",\"slipringRoute\":\"x\""));
	assert_true(slice_is(p->records[0].route, "x"));
	page_unref(p);
}

/* ---- names ---- */

static void
names(void **state)
{
	static const char *const bad[] = {"", "a\\\"b", "a\\u0000", "0123456789abcdef"};
	static const char *const taken[] = {
	    "slipring_writer", "Slipring_position", "orders_SLIPRING_deleted"};
	struct err e;

	(void)state;
	assert_int_equal(route_check(SLICE_LIT("Z\xc3\xbcrich 1"), 15, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(route_check(slice_of(bad[i]), 15, &e), -1);
		assert_int_equal(e.code, ERR_REFUSED);
	}
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		assert_int_equal(route_check_table(slice_of(taken[i]), 63, &e), -1);
	assert_int_equal(route_check_table(SLICE_LIT("slipring"), 63, &e), 0);
}

/* ---- SQLite ---- */

static void
routed(struct change *c, unsigned seq, const char *pk, const char *route)
{
	change_put(c, seq, pk, "{\"N\":\"1\"}");
	c->d.route = slice_of(route);
}

static void
each_to_its_own_table(void **state)
{
	struct copy x;
	struct change v[9];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	routed(&v[0], 1, "a", "acme");
	routed(&v[1], 2, "b", "globex");
	routed(&v[2], 3, "c", "acme");
	change_put(&v[3], 4, "d", "{\"N\":\"1\"}");
	routed(&v[4], 5, "e", "slipring_position");
	routed(&v[5], 6, "f", "SQLITE_master");
	routed(&v[6], 7, "g", "");
	routed(&v[7], 8, "h", "a\\\"b");
	routed(&v[8], 9, "i", "Robert'); DROP TABLE acme;--");
	copy_write(&x, v, 9);
	for (int i = 0; i < 9; i++)
		assert_int_equal(v[i].verdict, i >= 4 && i < 8 ? SINK_REJECT : SINK_ACK);
	assert_verdict(&v[4], SINK_REJECT, "sqlite: the route of this record is a name with slip");
	assert_rows(&x, "SELECT pk FROM acme ORDER BY pk", "a;c");
	assert_rows(&x, "SELECT pk FROM globex", "b");
	assert_rows(&x, "SELECT pk FROM orders", "d");
	assert_rows(&x, "SELECT pk FROM \"Robert'); DROP TABLE acme;--\"", "i");
	changes_close(v, 9);
	/* Of the same key in another table, nothing is taken for a repeat. */
	routed(&v[0], 10, "k", "acme");
	routed(&v[1], 11, "k", "globex");
	copy_write(&x, v, 2);
	assert_acked(v, 2);
	assert_rows(&x, "SELECT pk FROM acme UNION ALL SELECT pk FROM globex", "a;c;k;b;k");
	changes_close(v, 2);
	copy_close(&x);
}

static void
a_table_that_does_not_fit(void **state)
{
	struct copy x;
	struct change v[3];
	sqlite3 *db;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	db = peer_open(&x);
	assert_int_equal(
	    sqlite3_exec(db, "CREATE TABLE mine (x INTEGER); CREATE INDEX idx ON mine (x)", NULL,
		NULL, NULL),
	    SQLITE_OK);
	(void)sqlite3_close(db);
	routed(&v[0], 1, "a", "mine");
	routed(&v[1], 2, "b", "acme");
	routed(&v[2], 3, "c", "idx");
	copy_write(&x, v, 3);
	assert_verdict(&v[0], SINK_REJECT, "does not fit");
	assert_verdict(&v[2], SINK_REJECT, "idx");
	assert_acked(&v[1], 1);
	assert_rows(&x, "SELECT pk FROM acme", "b");
	changes_close(v, 3);
	copy_close(&x);
}

/* Whoever comes second would overwrite the first: a matter of the configuration. */
static void
two_sources_never_share_a_table(void **state)
{
	static const struct origin users = {.stream = "users",
	    .table = "users",
	    .arn = "arn:aws:dynamodb:eu-west-1:1:table/users/stream/" LABEL,
	    .label = LABEL,
	    .shard = "shardId-1",
	    .schema = &pk_schema};
	struct copy x;
	struct change v[2];

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	routed(&v[0], 1, "a", "acme");
	copy_write(&x, v, 1);
	assert_acked(v, 1);
	change_make(&v[1], 2, "MODIFY", "\"pk\":{\"S\":\"a\"}", "", &users);
	v[1].d.route = SLICE_LIT("ACME");
	copy_write(&x, &v[1], 1);
	assert_verdict(&v[1], SINK_HALT, "would overwrite each other");
	changes_close(v, 2);
	copy_close(&x);
}

/* ---- PostgreSQL ---- */

static unsigned refused;

static void
on_reject(void *ctx, struct delivery *d, const struct err *why)
{
	(void)ctx;
	(void)d;
	assert_int_equal(why->code, ERR_REFUSED);
	refused++;
}

static void
targets_of_a_request(void **state)
{
	static char table[] = "w.{table}";
	static const char *const routes[] = {"acme", NULL, "globex", "acme", "slipring_writer",
	    "0123456789012345678901234567890123456789012345678901234567890123", "a.b\"c"};
	struct pg_conf conf = {.mode = ROWS_TABLE, .table = table};
	struct pg_request rq = {.n = 0};
	struct change v[ARRAY_LEN(routes)];
	struct pg_builder b;
	struct err e;

	(void)state;
	refused = 0;
	pg_builder_init(&b, &conf);
	b.reject = on_reject;
	pg_request_begin(&rq);
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		char pk[8];

		(void)snprintf(pk, sizeof pk, "k%zu", i);
		change_put(&v[i], (unsigned)i + 1, pk, "{\"N\":\"1\"}");
		if (routes[i] != NULL)
			v[i].d.route = slice_of(routes[i]);
		pg_request_add(&rq, &v[i].d);
	}
	if (pg_build(&b, &rq, &e) != 0)
		fail_msg("%s", e.text);
	assert_int_equal(refused, 2);
	assert_int_equal(rq.n, 5);
	assert_int_equal(rq.part_count, 4);
	for (size_t i = 0; i < rq.part_count; i++) {
		const struct pg_part *p = &rq.parts[i];
		bool acme = strcmp(p->target->name, "\"w\".\"acme\"") == 0;

		assert_int_equal(p->puts, acme ? 2 : 1);
		assert_int_equal(p->target->routed, strcmp(p->target->table, "orders") != 0);
	}
	changes_close(v, ARRAY_LEN(routes));
	pg_request_close(&rq);
	pg_builder_close(&b);
}

/* ---- OpenSearch ---- */

static void
indices(void **state)
{
	static char index[] = "{table}";
	struct os_conf conf = {.index = index};
	struct os_item missing = {.status = 404, .type = SLICE_LIT("index_not_found_exception")};
	struct os_target *acme, *own;
	struct os_bulk b;
	struct err e;

	(void)state;
	os_bulk_init(&b, &conf);
	acme = os_target_of(&b, &orders, SLICE_LIT("Acme"), &e);
	assert_string_equal(acme->index, "acme");
	own = os_target_of(&b, &orders, SLICE_NONE, &e);
	assert_string_equal(own->index, "orders");
	assert_ptr_equal(os_target_of(&b, &orders, SLICE_LIT("acme"), &e), acme);
	assert_ptr_equal(os_target_of(&b, &orders, SLICE_NONE, &e), own);
	assert_null(os_target_of(&b, &orders, SLICE_LIT("_x"), &e));
	assert_int_equal(e.code, ERR_REFUSED);
	assert_null(os_target_of(&b, &orders, SLICE_LIT("a b"), &e));
	assert_int_equal(e.code, ERR_REFUSED);
	assert_int_equal(os_item_verdict(&missing, false, acme, "s", &e), SINK_REJECT);
	assert_int_equal(os_item_verdict(&missing, false, own, "s", &e), SINK_HALT);
	os_bulk_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_travels_with_the_record),
	    cmocka_unit_test(the_service_does_not_set_it),
	    cmocka_unit_test(names),
	    cmocka_unit_test(each_to_its_own_table),
	    cmocka_unit_test(a_table_that_does_not_fit),
	    cmocka_unit_test(two_sources_never_share_a_table),
	    cmocka_unit_test(targets_of_a_request),
	    cmocka_unit_test(indices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
