/* tests/unit/rows_test.c - records as rows of typed columns (sinks/rows.h). */
#include "tests/unit/record_support.h"

#include "base/mem.h"
#include "sinks/rows.h"

#define ARN "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/2026-11-21T07:29:37.000"
#define MAX_CELLS 32

static struct key_schema schema = {.names = {(char[]){"pk"}, NULL}, .types = {0, 0}};
static const struct origin origin = {.stream = "orders",
    .table = "orders",
    .arn = ARN,
    .label = "2026-11-21T07:29:37.000",
    .shard = "shardId-1",
    .schema = &schema};

/* ---- a mapping, a layout and the cells of one record ---- */

struct columns {
	struct conf_map map;
	char *names[16], *values[16];
};

static struct conf_map *
columns_of(struct columns *c, const char *const *pairs)
{
	*c = (struct columns){.map = {c->names, c->values, 0}};
	for (; pairs != NULL && pairs[0] != NULL; pairs += 2, c->map.n++) {
		c->names[c->map.n] = mem_strdup(pairs[0]);
		c->values[c->map.n] = mem_strdup(pairs[1]);
	}
	return &c->map;
}

static void
columns_close(struct columns *c)
{
	for (size_t i = 0; i < c->map.n; i++) {
		free(c->names[i]);
		free(c->values[i]);
	}
}

struct row {
	struct page *page;
	struct rows_keys keys;
	struct rows_layout *layout;
	struct buf arena;
	struct rows_cell cells[MAX_CELLS];
	enum rows_op op;
	struct err e;
	int r;
};

static void
row_close(struct row *w)
{
	rows_layout_close(w->layout);
	rows_keys_close(&w->keys);
	buf_close(&w->arena);
	page_unref(w->page);
}

/* keys and images as DynamoDB JSON; pairs: NULL for no columns. */
static void
row_make(struct row *w, enum rows_mode mode, unsigned flags, const char *const *pairs,
    const char *body, const char *event)
{
	struct columns c;
	char outside[64] = "";

	memset(w, 0, sizeof *w);
	if (event != NULL)
		(void)snprintf(outside, sizeof outside, ",\"eventName\":\"%s\"", event);
	w->page = page_with(body, outside);
	w->arena = BUF_INIT(1u << 20);
	if (rows_check(columns_of(&c, pairs), mode, &w->e) != 0 ||
	    rows_keys_of(&w->page->records[0], &origin, &w->keys, &w->e) != 0 ||
	    rows_layout_new(&w->layout, mode, flags, &c.map, &w->keys, &w->e) != 0)
		fail_msg("%s", w->e.text);
	assert_in_range(w->layout->count, 1, MAX_CELLS);
	w->r = rows_cells(
	    w->layout, &w->page->records[0], &origin, &w->op, &w->arena, w->cells, &w->e);
	columns_close(&c);
}

static size_t
column_at(const struct row *w, const char *name)
{
	for (size_t i = 0; i < w->layout->count; i++)
		if (strcmp(w->layout->columns[i].name, name) == 0)
			return i;
	fail_msg("no column %s", name);
	return 0;
}

static void
assert_text(const struct row *w, const char *name, const char *want)
{
	const struct rows_cell *c = &w->cells[column_at(w, name)];

	if (w->r != 0)
		fail_msg("%s", w->e.text);
	if (want == NULL) {
		assert_true(c->null);
		return;
	}
	assert_false(c->null);
	assert_slice(rows_cell_bytes(c, &w->arena), want);
}

/* One mapped attribute "a" with this value into a column of this type; what came of it. */
static void
one_value(struct row *w, const char *type, const char *value, unsigned flags)
{
	const char *const pairs[] = {"col", type, NULL};
	char body[2048];

	(void)snprintf(body, sizeof body,
	    ",\"Keys\":{\"pk\":{\"S\":\"k\"}},\"NewImage\":{\"pk\":{\"S\":\"k\"}%s%s}",
	    value[0] != '\0' ? ",\"a\":" : "", value);
	row_make(w, ROWS_TABLE, flags, pairs, body, "INSERT");
}

static void
assert_fits(const char *type, const char *value, const char *want)
{
	struct row w;

	one_value(&w, type, value, 0);
	assert_text(&w, "col", want);
	row_close(&w);
}

static void
assert_number(const char *type, const char *value, int64_t want)
{
	struct row w;

	one_value(&w, type, value, 0);
	if (w.r != 0)
		fail_msg("%s: %s", value, w.e.text);
	assert_false(w.cells[1].null);
	assert_int_equal(w.cells[1].number, want);
	row_close(&w);
}

static void
assert_refused_with(const char *type, const char *value, unsigned flags, const char *why)
{
	struct row w;

	one_value(&w, type, value, flags);
	assert_int_equal(w.r, -1);
	assert_int_equal(w.e.code, ERR_REFUSED);
	assert_non_null(strstr(w.e.text, "column \"col\", path a"));
	if (strstr(w.e.text, why) == NULL)
		fail_msg("have: %s\nwant: %s", w.e.text, why);
	/* Never the value. */
	assert_null(strstr(w.e.text, "SECRET"));
	assert_int_equal(w.arena.n, 0);
	row_close(&w);
}

static void
assert_refused(const char *type, const char *value, const char *why)
{
	assert_refused_with(type, value, 0, why);
}

/* ---- values ---- */

static void
text_takes_strings_and_numbers(void **state)
{
	(void)state;
	assert_fits("text a", "{\"S\":\"caf\\u00e9 \\ud83d\\ude00\"}", "café 😀");
	assert_fits("text a", "{\"S\":\"\"}", "");
	assert_fits("text a", "{\"N\":\"12.50\"}", "12.5");
	assert_fits("text a", "", NULL);
	assert_fits("text a", "{\"NULL\":true}", NULL);
	assert_refused("text a", "{\"BOOL\":true}", "a BOOL, which does not fit text");
	assert_refused("text a", "{\"SS\":[\"SECRET\"]}", "a set of strings");
	assert_refused("text a", "{\"S\":\"SECRET\\ud800x\"}", "half of a surrogate pair");
	assert_refused("text a", "{\"S\":\"SECRET\\udc00\"}", "half of a surrogate pair");
	assert_refused("text a", "{\"S\":\"\\ud800\\ud800\"}", "half of a surrogate pair");
}

static void
nul_is_refused_where_the_target_cannot_hold_it(void **state)
{
	struct row w;

	(void)state;
	one_value(&w, "text a", "{\"S\":\"x\\u0000y\"}", 0);
	assert_int_equal(w.r, 0);
	assert_int_equal(w.cells[1].n, 3);
	assert_memory_equal(rows_cell_bytes(&w.cells[1], &w.arena).p, "x\0y", 3);
	row_close(&w);
	assert_refused_with("text a", "{\"S\":\"SECRET\\u0000y\"}", ROWS_STRICT_TEXT, "U+0000");
	assert_refused_with(
	    "jsonb a", "{\"M\":{\"n\\u0000\":{\"S\":\"SECRET\"}}}", ROWS_STRICT_TEXT, "U+0000");
	assert_refused_with("jsonb a", "{\"S\":\"\\ud800\"}", ROWS_STRICT_TEXT, "half of a");
	/* An escaped backslash before u0000 is no escape. */
	one_value(&w, "jsonb a", "{\"S\":\"\\\\u0000 \\\\\\\\ud800\"}", ROWS_STRICT_TEXT);
	assert_text(&w, "col", "\"\\\\u0000 \\\\\\\\ud800\"");
	row_close(&w);
	one_value(&w, "jsonb a", "{\"S\":\"\\ud83d\\ude00\"}", ROWS_STRICT_TEXT);
	assert_int_equal(w.r, 0);
	row_close(&w);
	/* Where JSON is text, its escapes stay escapes. */
	assert_fits("jsonb a", "{\"S\":\"x\\u0000\\ud800\"}", "\"x\\u0000\\ud800\"");
}

static void
numeric_is_the_canonical_text(void **state)
{
	(void)state;
	assert_fits("numeric a", "{\"N\":\"0\"}", "0");
	assert_fits("numeric a", "{\"N\":\"-0\"}", "0");
	assert_fits("numeric a", "{\"N\":\"007\"}", "7");
	assert_fits("numeric a", "{\"N\":\"-42\"}", "-42");
	assert_fits("numeric a", "{\"N\":\"120\"}", "120");
	assert_fits("numeric a", "{\"N\":\"1.20\"}", "1.2");
	assert_fits("numeric a", "{\"N\":\"99999999999999999999999999999999999999\"}",
	    "99999999999999999999999999999999999999");
	assert_fits("numeric a", "{\"N\":\"-9.9999999999999999999999999999999999999E+125\"}",
	    "-9.9999999999999999999999999999999999999E+125");
	assert_fits("numeric a", "{\"N\":\"1E-130\"}", "1E-130");
	assert_refused(
	    "numeric a", "{\"S\":\"SECRET\"}", "a string (S), which does not fit numeric");
	assert_refused("numeric a", "{\"N\":\"SECRET\"}", "no number");
	assert_refused("numeric a", "{\"N\":\"1\\u0030\"}", "no number");
	assert_refused("numeric a", "{\"N\":\"\"}", "no number");
}

static void
bigint_is_exact_or_refused(void **state)
{
	(void)state;
	assert_number("bigint a", "{\"N\":\"0\"}", 0);
	assert_number("bigint a", "{\"N\":\"-17\"}", -17);
	assert_number("bigint a", "{\"N\":\"1E3\"}", 1000);
	assert_number("bigint a", "{\"N\":\"12.0\"}", 12);
	assert_number("bigint a", "{\"N\":\"9223372036854775807\"}", INT64_MAX);
	assert_number("bigint a", "{\"N\":\"-9223372036854775808\"}", INT64_MIN);
	assert_refused("bigint a", "{\"N\":\"9223372036854775808\"}", "more than 64 bits");
	assert_refused("bigint a", "{\"N\":\"-9223372036854775809\"}", "more than 64 bits");
	assert_refused("bigint a", "{\"N\":\"1.5\"}", "fraction");
	assert_refused("bigint a", "{\"N\":\"1E50\"}", "more than 64 bits");
	assert_refused("bigint a", "{\"S\":\"1\"}", "does not fit bigint");
}

static void
times_are_microseconds(void **state)
{
	(void)state;
	assert_number("timestamptz a", "{\"N\":\"0\"}", 0);
	assert_number("timestamptz a", "{\"N\":\"1795246177.25\"}", INT64_C(1795246177250000));
	assert_number("timestamptz a", "{\"N\":\"-1.5\"}", -1500000);
	assert_number("timestamptz a", "{\"S\":\"1970-01-01\"}", 0);
	assert_number(
	    "timestamptz a", "{\"S\":\"2026-11-21T07:29:37Z\"}", INT64_C(1795246177000000));
	assert_number("timestamptz a", "{\"S\":\"2026-11-21 08:29:37.250+01:00\"}",
	    INT64_C(1795246177250000));
	assert_number("timestamptz a", "{\"S\":\"2026-11-21T05:59:37,1234567-0130\"}",
	    INT64_C(1795246177123456));
	assert_number("timestamptz a", "{\"S\":\"2026-11-21T07:29\"}", INT64_C(1795246140000000));
	assert_number(
	    "timestamptz a", "{\"S\":\"2024-02-29T23:59:60Z\"}", INT64_C(1709251200000000));
	assert_number("timestamptz a", "{\"S\":\"0001-01-01\"}", INT64_C(-62135596800000000));
	assert_number("timestamptz a", "{\"S\":\"1969-12-31T23:59:59.999999Z\"}", -1);
	assert_refused("timestamptz a", "{\"S\":\"2023-02-29\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"1900-02-29\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"2023-13-01\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"2023-1-1\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"2023-01-01T24:00Z\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"2023-01-01T10:00:00.Z\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"2023-01-01T10:00:00Zx\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"0001-01-01T00:00:00+01:00\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"\"}", "ISO 8601");
	assert_refused("timestamptz a", "{\"S\":\"SECRET\"}", "ISO 8601");
	/* Milliseconds taken for seconds. */
	assert_refused("timestamptz a", "{\"N\":\"1795246177000000\"}", "milliseconds?");
	assert_refused("timestamptz a", "{\"BOOL\":true}", "does not fit timestamptz");
}

static void
every_day_is_the_one_after_the_day_before(void **state)
{
	int64_t want = 0;

	(void)state;
	for (int year = 1970; year < 2101; year++)
		for (int month = 1; month <= 12; month++)
			for (int day = 1; day <= 31; day++) {
				char value[64];
				struct row w;

				(void)snprintf(value, sizeof value, "{\"S\":\"%04d-%02d-%02d\"}",
				    year, month, day);
				one_value(&w, "timestamptz a", value, 0);
				if (w.r == 0) {
					assert_int_equal(w.cells[1].number, want);
					want += INT64_C(86400000000);
				}
				row_close(&w);
			}
	assert_int_equal(want, INT64_C(4133980800000000)); /* 2101-01-01 */
}

static void
boolean_binary_and_json(void **state)
{
	(void)state;
	assert_number("boolean a", "{\"BOOL\":true}", 1);
	assert_number("boolean a", "{\"BOOL\":false}", 0);
	assert_refused("boolean a", "{\"N\":\"1\"}", "a number (N), which does not fit boolean");
	assert_fits("bytea a", "{\"B\":\"aGVsbG8=\"}", "hello");
	assert_fits("bytea a", "{\"B\":\"aGVsbG8\\u003d\"}", "hello");
	assert_fits("bytea a", "{\"B\":\"\"}", "");
	assert_refused("bytea a", "{\"B\":\"SECRET\"}", "no base64");
	assert_refused("bytea a", "{\"S\":\"SECRET\"}", "does not fit bytea");
	assert_fits("jsonb a", "{\"NULL\":true}", "null");
	assert_fits("jsonb a", "{\"N\":\"12345678901234567890123456789012345678\"}",
	    "12345678901234567890123456789012345678");
	assert_fits("jsonb a", "{\"M\":{\"x\":{\"L\":[{\"S\":\"y\"},{\"NS\":[\"10\",\"9\"]}]}}}",
	    "{\"x\":[\"y\",[9,10]]}");
	assert_refused("jsonb a", "{\"S\":1}", "no DynamoDB JSON");
}

/* ---- paths ---- */

static void
paths_reach_into_documents(void **state)
{
	static const char doc[] =
	    "{\"M\":{\"b\":{\"L\":[{\"S\":\"zero\"},{\"M\":{\"c.d\":{\"S\":\"deep\"},"
	    "\"\\u0065\":{\"S\":\"esc\"}}}]},\"\":{\"S\":\"empty\"},\"q\\\"\":{\"S\":\"quote\"}}}";

	(void)state;
	assert_fits("text a.b[0]", doc, "zero");
	assert_fits("text a.b[1].\"c.d\"", doc, "deep");
	assert_fits("text \"a\".b[1].e", doc, "esc");
	assert_fits("text a.\"\"", doc, "empty");
	assert_fits("text a.\"q\\\"\"", doc, "quote");
	/* What is not there is NULL, whatever stands in the way. */
	assert_fits("text a.b[2]", doc, NULL);
	assert_fits("text a.b.c", doc, NULL);
	assert_fits("text a[0]", doc, NULL);
	assert_fits("text a.b[0].x", doc, NULL);
	assert_fits("text b", doc, NULL);
	assert_fits("text a b", doc, NULL);
	assert_refused("text a.b", doc, "a list (L)");
}

static void
several_columns_of_one_attribute(void **state)
{
	const char *const pairs[] = {"x", "text m.x", "whole", "jsonb m", "y", "numeric m.y", "all",
	    "jsonb .", "other", "bigint", NULL};
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, pairs,
	    ",\"Keys\":{\"pk\":{\"S\":\"k\"}},\"NewImage\":{\"other\":{\"N\":\"5\"},"
	    "\"m\":{\"M\":{\"y\":{\"N\":\"2\"},\"x\":{\"S\":\"1\"}}},\"pk\":{\"S\":\"k\"}}",
	    "MODIFY");
	assert_text(&w, "x", "1");
	assert_text(&w, "y", "2");
	assert_text(&w, "whole", "{\"y\":2,\"x\":\"1\"}");
	assert_text(&w, "all", "{\"other\":5,\"m\":{\"y\":2,\"x\":\"1\"},\"pk\":\"k\"}");
	assert_int_equal(w.cells[column_at(&w, "other")].number, 5);
	row_close(&w);
}

/* ---- configuration ---- */

static void
assert_config_error(enum rows_mode mode, const char *const *pairs, const char *want)
{
	struct columns c;
	struct err e = {.text = "(none)"};

	assert_int_equal(rows_check(columns_of(&c, pairs), mode, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, want) == NULL)
		fail_msg("have: %s\nwant: %s", e.text, want);
	columns_close(&c);
}

static void
mistakes_in_columns_are_named(void **state)
{
	static const char *const bad_paths[] = {"text .a", "text a.", "text a..b", "text a[",
	    "text a[]", "text a[x]", "text a]", "text a[-1]", "text a[99999999999999999999]",
	    "text \"a", "text \"a\"b", "text a\"b", "text [0]", "text a[0]b", "text a\\b",
	    "text \"\\x\"", "text \"\\u0000\""};

	(void)state;
	assert_config_error(ROWS_TABLE, (const char *[]){"total", "nummeric total", NULL},
	    "columns: total: unknown type \"nummeric\"; did you mean \"numeric\"?");
	assert_config_error(ROWS_TABLE, (const char *[]){"total", "xyz", NULL}, "there are text,");
	assert_config_error(ROWS_TABLE, (const char *[]){"total", "", NULL}, "unknown type \"\"");
	assert_config_error(ROWS_TABLE, (const char *[]){"a", "text", "A", "text b", NULL},
	    "columns: A is there twice");
	assert_config_error(
	    ROWS_TABLE, (const char *[]){"Slipring_version", "text", NULL}, "are our own");
	assert_config_error(ROWS_TABLE, (const char *[]){"", "text a", NULL}, "name is empty");
	assert_config_error(ROWS_TABLE, (const char *[]){"a", "text .", NULL}, "only jsonb");
	assert_config_error(
	    ROWS_LOG, (const char *[]){"Shard", "text a", NULL}, "a log has a column");
	for (size_t i = 0; i < ARRAY_LEN(bad_paths); i++)
		assert_config_error(
		    ROWS_TABLE, (const char *[]){"a", bad_paths[i], NULL}, "is no path");
}

static void
assert_layout_error(char key_type, const char *const *pairs, const char *key, const char *want)
{
	struct rows_keys k = {.names = {mem_strdup(key), NULL}, .types = {key_type}, .count = 1};
	struct rows_layout *l;
	struct columns c;
	struct err e = {.text = "(none)"};

	assert_int_equal(rows_layout_new(&l, ROWS_TABLE, 0, columns_of(&c, pairs), &k, &e), -1);
	assert_null(l);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, want) == NULL)
		fail_msg("have: %s\nwant: %s", e.text, want);
	columns_close(&c);
	rows_keys_close(&k);
}

static void
mappings_that_do_not_go_with_the_key(void **state)
{
	(void)state;
	assert_layout_error('N', (const char *[]){"id", "text pk", NULL}, "pk",
	    "the key attribute pk is of type N, so its column is numeric or bigint");
	assert_layout_error('S', (const char *[]){"id", "timestamptz pk", NULL}, "pk", "is text");
	assert_layout_error('S', (const char *[]){"id", "jsonb pk", NULL}, "pk", "is text");
	assert_layout_error('B', (const char *[]){"id", "text pk", NULL}, "pk", "is bytea");
	assert_layout_error(
	    'S', (const char *[]){"PK", "text other", NULL}, "pk", "would be called");
	assert_layout_error('S', NULL, "document", "would be called document");
	assert_layout_error('S', NULL, "slipring_version", "name of our own");
}

/* ---- layouts ---- */

static void
assert_ddl(const struct row *w, const char *want)
{
	static const struct rows_dialect d = {
	    .types = {"text", "numeric", "bigint", "boolean", "timestamptz", "bytea", ""},
	    .ordered = "text COLLATE \"C\""};
	struct buf out = BUF_INIT(1u << 16);

	rows_add_create(&out, w->layout, "\"t\"", &d);
	assert_slice(buf_slice(&out), want);
	buf_close(&out);
}

static void
the_default_is_keys_and_document(void **state)
{
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, NULL,
	    ",\"Keys\":{\"sk\":{\"N\":\"7.50\"},\"p\\u006b\":{\"B\":\"AAE=\"}},"
	    "\"NewImage\":{\"pk\":{\"B\":\"AAE=\"},\"sk\":{\"N\":\"7.50\"},\"v\":{\"BOOL\":true}}",
	    "INSERT");
	assert_int_equal(w.op, ROWS_UPSERT);
	assert_int_equal(w.layout->key_count, 2);
	assert_ddl(&w,
	    "CREATE TABLE IF NOT EXISTS \"t\" (\n"
	    "\t\"pk\" bytea NOT NULL,\n"
	    "\t\"sk\" numeric NOT NULL,\n"
	    "\t\"document\",\n"
	    "\t\"slipring_version\" text COLLATE \"C\" NOT NULL,\n"
	    "\tPRIMARY KEY (\"pk\", \"sk\")\n"
	    ")");
	assert_int_equal(w.cells[0].n, 2);
	assert_memory_equal(rows_cell_bytes(&w.cells[0], &w.arena).p, "\0\1", 2);
	assert_text(&w, "sk", "7.5");
	assert_text(&w, "document", "{\"pk\":\"AAE=\",\"sk\":7.50,\"v\":true}");
	assert_text(&w, "slipring_version", "2026-11-21T07:29:37.000/0000000000000000000" SEQ21);
	row_close(&w);
}

static void
a_mapping_of_the_key_renames_it(void **state)
{
	const char *const pairs[] = {"id", "bigint pk", "note", "text", "again", "text pk", NULL};
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, pairs,
	    ",\"Keys\":{\"pk\":{\"N\":\"12\"}},\"NewImage\":{\"pk\":{\"N\":\"12\"},\"note\":{\"S\":"
	    "\"n\"}}",
	    "INSERT");
	assert_ddl(&w,
	    "CREATE TABLE IF NOT EXISTS \"t\" (\n"
	    "\t\"id\" bigint NOT NULL,\n"
	    "\t\"note\" text,\n"
	    "\t\"again\" text,\n"
	    "\t\"slipring_version\" text COLLATE \"C\" NOT NULL,\n"
	    "\tPRIMARY KEY (\"id\")\n"
	    ")");
	assert_int_equal(w.cells[0].number, 12);
	assert_text(&w, "again", "12");
	row_close(&w);
}

static void
a_delete_needs_only_the_key(void **state)
{
	const char *const pairs[] = {"col", "numeric a", NULL};
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, pairs,
	    ",\"Keys\":{\"pk\":{\"S\":\"k\"}},\"OldImage\":{\"pk\":{\"S\":\"k\"},\"a\":{\"S\":"
	    "\"x\"}}",
	    "REMOVE");
	assert_int_equal(w.op, ROWS_DELETE);
	assert_text(&w, "pk", "k");
	assert_text(&w, "col", NULL);
	assert_false(w.cells[2].null);
	row_close(&w);
}

static void
a_log_has_the_change(void **state)
{
	const char *const pairs[] = {"total", "numeric a.total", NULL};
	struct row w;

	(void)state;
	row_make(&w, ROWS_LOG, 0, pairs,
	    ",\"ApproximateCreationDateTime\":1.5,\"Keys\":{\"pk\":{\"S\":\"k\"}},"
	    "\"OldImage\":{\"pk\":{\"S\":\"k\"},\"a\":{\"M\":{\"total\":{\"N\":\"9\"}}}}",
	    "REMOVE");
	assert_int_equal(w.op, ROWS_UPSERT);
	assert_int_equal(w.layout->key_count, 3);
	assert_text(&w, "stream", ARN);
	assert_text(&w, "shard", "shardId-1");
	assert_text(&w, "sequence", "0000000000000000000" SEQ21);
	assert_text(&w, "event_id", NULL);
	assert_text(&w, "event", "REMOVE");
	assert_int_equal(w.cells[column_at(&w, "created_at")].number, 1500000);
	assert_text(&w, "keys", "{\"pk\":\"k\"}");
	assert_text(&w, "new", NULL);
	assert_text(&w, "old", "{\"pk\":\"k\",\"a\":{\"total\":9}}");
	assert_text(&w, "total", "9");
	row_close(&w);
}

/* ---- records that are no rows ---- */

static void
a_stream_without_new_images_cannot_be_a_table(void **state)
{
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, NULL, ",\"Keys\":{\"pk\":{\"S\":\"k\"}}", "MODIFY");
	assert_int_equal(w.r, -1);
	assert_int_equal(w.e.code, ERR_CONFIG);
	assert_non_null(strstr(w.e.text, "NEW_AND_OLD_IMAGES"));
	row_close(&w);
	row_make(&w, ROWS_TABLE, 0, NULL, ",\"Keys\":{\"pk\":{\"S\":\"k\"}}", "ARCHIVE");
	assert_int_equal(w.e.code, ERR_REFUSED);
	row_close(&w);
}

static void
another_key_is_refused(void **state)
{
	static const char *const bodies[] = {
	    ",\"Keys\":{\"other\":{\"S\":\"k\"}},\"NewImage\":{}",
	    ",\"Keys\":{\"pk\":{\"N\":\"1\"}},\"NewImage\":{}",
	    ",\"Keys\":{\"pk\":{\"NULL\":true}},\"NewImage\":{}",
	    ",\"Keys\":{\"pk\":{\"S\":\"k\"},\"sk\":{\"S\":\"k\"}},\"NewImage\":{}",
	    ",\"Keys\":{},\"NewImage\":{}",
	};
	struct rows_cell cells[MAX_CELLS];
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, NULL,
	    ",\"Keys\":{\"pk\":{\"S\":\"1\"}},\"NewImage\":{\"pk\":{\"S\":\"1\"}}", "INSERT");
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		struct page *p = page_with(bodies[i], ",\"eventName\":\"INSERT\"");

		w.r = rows_cells(w.layout, &p->records[0], &origin, &w.op, &w.arena, cells, &w.e);
		assert_int_equal(w.r, -1);
		assert_int_equal(w.e.code, ERR_REFUSED);
		page_unref(p);
	}
	row_close(&w);
}

static void
keys_without_a_schema_are_in_byte_order(void **state)
{
	struct key_schema both = {.names = {(char[]){"zz"}, (char[]){"aa"}}, .types = {'S', 'N'}};
	struct origin o = origin;
	struct rows_keys k;
	struct page *p = page_with(",\"Keys\":{\"zz\":{\"S\":\"k\"},\"aa\":{\"N\":\"1\"}}", "");
	struct err e;

	(void)state;
	o.schema = NULL;
	assert_int_equal(rows_keys_of(&p->records[0], &o, &k, &e), 0);
	assert_string_equal(k.names[0], "aa");
	assert_int_equal(k.types[0], 'N');
	assert_int_equal(k.types[1], 'S');
	rows_keys_close(&k);
	o.schema = &both;
	assert_int_equal(rows_keys_of(&p->records[0], &o, &k, &e), 0);
	assert_string_equal(k.names[0], "zz");
	rows_keys_close(&k);
	assert_true(rows_keys_of_schema(&both, &k));
	assert_string_equal(k.names[1], "aa");
	rows_keys_close(&k);
	assert_false(rows_keys_of_schema(&schema, &k));
	page_unref(p);
	for (size_t i = 0; i < 2; i++) {
		p = page_with(i == 0 ? ",\"Keys\":{\"m\":{\"M\":{}}}"
				     : ",\"Keys\":{\"a\":{\"S\":\"\"},\"b\":{\"S\":\"\"},\"c\":{"
				       "\"S\":\"\"}}",
		    "");
		assert_int_equal(rows_keys_of(&p->records[0], &o, &k, &e), -1);
		assert_int_equal(e.code, ERR_REFUSED);
		page_unref(p);
	}
}

static void
a_full_arena_is_said(void **state)
{
	struct rows_cell cells[MAX_CELLS];
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, NULL,
	    ",\"Keys\":{\"pk\":{\"S\":\"k\"}},\"NewImage\":{\"pk\":{\"S\":\"k\"}}", "INSERT");
	assert_int_equal(w.r, 0);
	for (size_t max = 0; max < w.arena.n; max++) {
		struct buf small = BUF_INIT(max);

		assert_int_equal(
		    rows_cells(w.layout, &w.page->records[0], &origin, &w.op, &small, cells, &w.e),
		    -1);
		assert_int_equal(w.e.code, ERR_LIMIT);
		assert_int_equal(small.n, 0);
		buf_close(&small);
	}
	row_close(&w);
}

/* ---- SQL ---- */

static void
names_are_quoted_and_bounded(void **state)
{
	struct buf out = BUF_INIT(4096);
	char longest[128];

	(void)state;
	rows_add_name(&out, "or\"der; DROP");
	assert_slice(buf_slice(&out), "\"or\"\"der; DROP\"");
	buf_reset(&out);
	rows_side_name(&out, "orders", "slipring_deleted", 63);
	assert_slice(buf_slice(&out), "orders_slipring_deleted");
	memset(longest, 'x', sizeof longest);
	longest[sizeof longest - 1] = '\0';
	buf_reset(&out);
	rows_side_name(&out, longest, "slipring_deleted", 63);
	assert_int_equal(out.n, 63);
	buf_reset(&out);
	rows_side_name(&out, longest, "s", 0);
	assert_int_equal(out.n, 129);
	buf_close(&out);
}

static void
lists_of_columns(void **state)
{
	struct buf out = BUF_INIT(4096);
	struct row w;

	(void)state;
	row_make(&w, ROWS_TABLE, 0, NULL,
	    ",\"Keys\":{\"pk\":{\"S\":\"k\"}},\"NewImage\":{\"pk\":{\"S\":\"k\"}}", "INSERT");
	rows_add_columns(&out, w.layout, "t.", false);
	assert_slice(buf_slice(&out), "t.\"pk\", t.\"document\", t.\"slipring_version\"");
	buf_reset(&out);
	rows_add_columns(&out, w.layout, "", true);
	assert_slice(buf_slice(&out), "\"pk\"");
	buf_reset(&out);
	rows_add_assignments(&out, w.layout);
	assert_slice(buf_slice(&out),
	    "\"document\" = excluded.\"document\", "
	    "\"slipring_version\" = excluded.\"slipring_version\"");
	buf_close(&out);
	row_close(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_takes_strings_and_numbers),
	    cmocka_unit_test(nul_is_refused_where_the_target_cannot_hold_it),
	    cmocka_unit_test(numeric_is_the_canonical_text),
	    cmocka_unit_test(bigint_is_exact_or_refused),
	    cmocka_unit_test(times_are_microseconds),
	    cmocka_unit_test(every_day_is_the_one_after_the_day_before),
	    cmocka_unit_test(boolean_binary_and_json),
	    cmocka_unit_test(paths_reach_into_documents),
	    cmocka_unit_test(several_columns_of_one_attribute),
	    cmocka_unit_test(mistakes_in_columns_are_named),
	    cmocka_unit_test(mappings_that_do_not_go_with_the_key),
	    cmocka_unit_test(the_default_is_keys_and_document),
	    cmocka_unit_test(a_mapping_of_the_key_renames_it),
	    cmocka_unit_test(a_delete_needs_only_the_key),
	    cmocka_unit_test(a_log_has_the_change),
	    cmocka_unit_test(a_stream_without_new_images_cannot_be_a_table),
	    cmocka_unit_test(another_key_is_refused),
	    cmocka_unit_test(keys_without_a_schema_are_in_byte_order),
	    cmocka_unit_test(a_full_arena_is_said),
	    cmocka_unit_test(names_are_quoted_and_bounded),
	    cmocka_unit_test(lists_of_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
