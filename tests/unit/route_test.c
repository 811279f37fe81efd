/* tests/unit/route_test.c - names that records are sent to: how they travel with a record,
 * and that a bad one is the fault of its record alone.
 */
#include "tests/unit/sqlite_support.h"

#include "filters/filter.h"
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

/* ---- the filter ---- */

struct setup {
	struct filter *f;
	void *conf; /* owned */
	char why[600];
};

static bool
try_setup(struct setup *x, const char *yaml, struct err *e)
{
	struct conf_doc *doc;
	bool ok;

	memset(x, 0, sizeof *x);
	x->conf = mem_new(filter_route.conf_size);
	if (conf_parse(&doc, slice_of(yaml), "test", e) != 0)
		fail_msg("%s", e->text);
	ok = conf_fill(conf_root(doc), filter_route.keys, NULL, x->conf, e) == 0 &&
	    filter_route.check(x->conf, e) == 0 && filter_route.open(&x->f, "to", x->conf, e) == 0;
	conf_close(doc);
	return ok;
}

static void
setup_close(struct setup *x)
{
	filter_route.close(x->f);
	conf_wipe(filter_route.keys, x->conf);
	free(x->conf);
}

static void
begin(struct setup *x, const char *yaml)
{
	struct err e;

	if (!try_setup(x, yaml, &e))
		fail_msg("%s", e.text);
}

/* want: NULL: refused, saying why. images: members of dynamodb. */
static void
assert_route(
    struct setup *x, const char *event, const char *images, const char *want, const char *why)
{
	struct buf raw = BUF_INIT(1u << 20);
	enum filter_verdict v;
	struct record r;
	struct page *p;
	struct err e;

	buf_addf(&raw,
	    "{\"eventID\":\"e\",\"eventName\":\"%s\",\"dynamodb\":{\"SequenceNumber\":"
	    "\"300000000000000499659\",%s}}",
	    event, images);
	p = ours(buf_cstr(&raw));
	r = p->records[0];
	v = filter_route.apply(x->f, &r, &orders, &e);
	if (want == NULL) {
		assert_int_equal(v, FILTER_REJECT);
		if (strstr(e.text, why) == NULL)
			fail_msg("%s", e.text);
	} else {
		if (v != FILTER_REWRITE)
			fail_msg("%s: %s", images, e.text);
		if (!slice_is(r.route, want))
			fail_msg("%.*s, not %s", (int)r.route.n, r.route.p, want);
	}
	page_unref(p);
	buf_close(&raw);
}

#define KEY(pk) "\"Keys\":{\"pk\":{\"S\":\"" pk "\"}}"

static void
templates(void **state)
{
	struct setup x;

	(void)state;
	begin(&x, "to: 't_{new.tenant.id}'\ndefault: 'rest_{stream}_{table}_{event}'\n");
	assert_route(&x, "INSERT",
	    KEY("a") ",\"NewImage\":{\"tenant\":{\"M\":{\"id\":{\"S\":\"acme\"}}}}", "t_acme", "");
	/* An old name does not count while there is a new one; of a removal it does. */
	assert_route(&x, "MODIFY",
	    KEY("a") ",\"NewImage\":{\"tenant\":{\"M\":{\"id\":{\"N\":\"007.50\"}}}},\"OldImage\":{"
		     "\"tenant\":{\"M\":{\"id\":{\"S\":\"old\"}}}}",
	    "t_7.5", "");
	assert_route(&x, "REMOVE",
	    KEY("a") ",\"OldImage\":{\"tenant\":{\"M\":{\"id\":{\"S\":\"\\u0061\\\"\"}}}}",
	    "t_a\\\"", "");
	assert_route(&x, "REMOVE", KEY("a"), "rest_orders_orders_remove", "");
	assert_route(&x, "INSERT", KEY("a") ",\"NewImage\":{\"tenant\":{\"L\":[]}}",
	    "rest_orders_orders_insert", "");
	assert_route(&x, "INSERT",
	    KEY("a") ",\"NewImage\":{\"tenant\":{\"M\":{\"id\":{\"S\":\"\"}}}}",
	    "rest_orders_orders_insert", "");
	setup_close(&x);
}

static void
pieces_of_keys(void **state)
{
	struct setup x;

	(void)state;
	begin(&x, "to: '{keys.pk#2}.{keys.pk}'\n");
	assert_route(&x, "INSERT", KEY("TENANT#a#b"), "a.TENANT#a#b", "");
	assert_route(&x, "INSERT", KEY("TENANT#a"), "a.TENANT#a", "");
	assert_route(&x, "INSERT", KEY("TENANT"), NULL, "is not in the record");
	assert_route(&x, "INSERT", KEY("TENANT##x"), NULL, "is not in the record");
	setup_close(&x);
}

static void
prefixes(void **state)
{
	struct setup x;

	(void)state;
	begin(
	    &x, "rules:\n  'TENANT#a': acme\n  'TENANT#': 'tenant_{keys.pk#2}'\n  '12': numbers\n");
	assert_route(&x, "INSERT", KEY("TENANT#a1"), "acme", "");
	assert_route(&x, "REMOVE", KEY("TENANT#b"), "tenant_b", "");
	assert_route(&x, "INSERT", "\"Keys\":{\"pk\":{\"N\":\"0012.0\"}}", "numbers", "");
	assert_route(&x, "INSERT", KEY("TENANT"), NULL, "no rule fits");
	assert_route(&x, "INSERT", "\"Keys\":{\"pk\":{\"B\":\"MTI=\"}}", NULL, "no rule fits");
	setup_close(&x);
	begin(&x, "rules: {ORDER: orders}\nkey: sk\nto: other\n");
	assert_route(&x, "INSERT", "\"Keys\":{\"pk\":{\"S\":\"ORDER\"},\"sk\":{\"S\":\"ORDER#1\"}}",
	    "orders", "");
	assert_route(
	    &x, "INSERT", "\"Keys\":{\"sk\":{\"S\":\"X\"},\"pk\":{\"S\":\"ORDER\"}}", "other", "");
	setup_close(&x);
}

/* As `explain` asks: a record by itself. */
static void
a_key_that_is_not_known(void **state)
{
	static const struct origin nowhere = {.stream = "s", .table = "t"};
	struct page *one = ours(RAW("")), *two;
	struct record r = one->records[0];
	struct setup x;
	struct err e;

	(void)state;
	two = ours("{\"eventName\":\"INSERT\",\"dynamodb\":{\"SequenceNumber\":\"1\",\"Keys\":"
		   "{\"sk\":{\"S\":\"b\"},\"pk\":{\"S\":\"a\"}}}}");
	begin(&x, "rules: {a: first}\nto: other\ndefault: rest\n");
	assert_int_equal(filter_route.apply(x.f, &r, &nowhere, &e), FILTER_REWRITE);
	assert_true(slice_is(r.route, "first"));
	r = two->records[0];
	assert_int_equal(filter_route.apply(x.f, &r, &nowhere, &e), FILTER_REJECT);
	assert_non_null(strstr(e.text, "two key attributes"));
	setup_close(&x);
	begin(&x, "rules: {a: first}\nkey: pk\nto: other\n");
	assert_int_equal(filter_route.apply(x.f, &r, &nowhere, &e), FILTER_REWRITE);
	assert_true(slice_is(r.route, "first"));
	setup_close(&x);
	begin(&x, "to: 'to_{keys.pk}'\n");
	assert_int_equal(filter_route.apply(x.f, &r, &nowhere, &e), FILTER_REWRITE);
	assert_true(slice_is(r.route, "to_a"));
	setup_close(&x);
	page_unref(one);
	page_unref(two);
}

static void
not_too_many(void **state)
{
	struct setup x;
	char keys[64], name[16];

	(void)state;
	begin(&x, "to: '{keys.pk}'\nmax: 300\n");
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++) {
			(void)snprintf(name, sizeof name, "n%d", i);
			(void)snprintf(keys, sizeof keys, "\"Keys\":{\"pk\":{\"S\":\"%s\"}}", name);
			assert_route(&x, "INSERT", keys, name, "");
		}
	assert_route(&x, "INSERT", KEY("n300"), NULL, "one name more than `max` allows (300)");
	assert_route(&x, "INSERT", KEY("n7"), "n7", "");
	setup_close(&x);
}

static void
a_long_name(void **state)
{
	struct setup x;
	struct buf keys = BUF_INIT(1u << 16);

	(void)state;
	begin(&x, "to: '{keys.pk}'\n");
	buf_addf(&keys, "\"Keys\":{\"pk\":{\"S\":\"%02000d\"}}", 0);
	assert_route(&x, "INSERT", buf_cstr(&keys), NULL, "longer than 1024");
	buf_close(&keys);
	setup_close(&x);
}

static void
what_is_no_route(void **state)
{
	static const char *const bad[][2] = {
	    {"max: 3\n", "needs \"to\", \"rules\" or both"},
	    {"to: ''\n", "the name is empty"},
	    {"to: 'a{tabel}'\n", "unknown placeholder {tabel}"},
	    {"to: '{old.x}'\n", "write {new.x}"},
	    {"to: '{new.a'\n", "a { without its }"},
	    {"to: 'a}'\n", "a } without its {"},
	    {"to: '{new.}'\n", "to:"},
	    {"to: '{new.a[*]}'\n", "to:"},
	    {"to: '{keys.a.b}'\n", "an attribute by itself"},
	    {"to: '{keys.pk#0}'\n", "behind # stands which part"},
	    {"to: x\ndefault: '{new.a}'\n", "nothing of the record"},
	    {"to: x\nkey: sk\n", "\"key\" is for \"rules\""},
	    {"rules: {'': x}\n", "an empty prefix"},
	    {"rules: {'A': x, 'AB': y}\n", "\"AB\" is never looked at"},
	    {"rules: {'A': '{x}'}\n", "rules: A: unknown placeholder"},
	};
	struct setup x;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (try_setup(&x, bad[i][0], &e))
			fail_msg("taken: %s", bad[i][0]);
		assert_int_equal(e.code, ERR_CONFIG);
		if (strstr(e.text, bad[i][1]) == NULL)
			fail_msg("%s does not say %s", e.text, bad[i][1]);
		setup_close(&x);
	}
	begin(&x, "to: '{new.\"a}b#c\"}{keys.\"p#k\"#1}'\n");
	setup_close(&x);
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
	    cmocka_unit_test(what_is_no_route),
	    cmocka_unit_test(a_long_name),
	    cmocka_unit_test(a_key_that_is_not_known),
	    cmocka_unit_test(not_too_many),
	    cmocka_unit_test(prefixes),
	    cmocka_unit_test(pieces_of_keys),
	    cmocka_unit_test(templates),
	    cmocka_unit_test(names),
	    cmocka_unit_test(each_to_its_own_table),
	    cmocka_unit_test(a_table_that_does_not_fit),
	    cmocka_unit_test(two_sources_never_share_a_table),
	    cmocka_unit_test(targets_of_a_request),
	    cmocka_unit_test(indices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
