/* tests/unit/transform_test.c - each transform by example; then all of them over random
 * records with random configurations (transform_gen.h).
 */
#include "tests/unit/record_support.h"

#include "base/log.h"
#include "tests/unit/page_gen.h"
#include "tests/unit/transform_gen.h"

#define KEYS ",\"Keys\":{\"pk\":{\"S\":\"1\"}}"
#define PK "\"pk\":{\"S\":\"1\"}"

static struct transform
open_yaml(const char *yaml)
{
	struct transform t;
	struct err e;

	if (transform_open(&t, yaml, &e) != 0)
		fail_msg("%s\n%s", yaml, e.text);
	return t;
}

static void
assert_refused(const char *yaml, const char *why)
{
	struct transform t;
	struct err e;

	if (transform_open(&t, yaml, &e) == 0)
		fail_msg("taken: %s", yaml);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, why) == NULL)
		fail_msg("have: %s\nwant: %s", e.text, why);
}

static char refusal[512];

/* A MODIFY of an item with these attributes (without the key's) before and after; NULL:
 * no such image. */
static enum filter_verdict
apply(struct transform *t, const char *event, const char *old_image, const char *new_image,
    struct record *after, struct page **page)
{
	struct buf b = BUF_INIT(1 << 20);
	char outside[64];
	struct err why = {.text = ""};
	enum filter_verdict v;

	buf_add_str(&b, KEYS);
	if (old_image != NULL)
		buf_addf(
		    &b, ",\"OldImage\":{" PK "%s%s}", old_image[0] != '\0' ? "," : "", old_image);
	if (new_image != NULL)
		buf_addf(
		    &b, ",\"NewImage\":{" PK "%s%s}", new_image[0] != '\0' ? "," : "", new_image);
	(void)snprintf(outside, sizeof outside, ",\"eventName\":\"%s\"", event);
	*page = page_with(buf_cstr(&b), outside);
	buf_close(&b);
	*after = (*page)->records[0];
	v = t->ops->apply(t->filter, after, NULL, &why);
	(void)snprintf(refusal, sizeof refusal, "%s", why.text);
	return v;
}

static void
assert_image(struct slice have, const char *want)
{
	char text[8192];

	(void)snprintf(text, sizeof text, "{" PK "%s%s}", want[0] != '\0' ? "," : "", want);
	assert_slice(have, text);
}

/* Both images alike; want NULL: nothing changes. */
static void
makes(const char *yaml, const char *from, const char *want)
{
	struct transform t = open_yaml(yaml);
	struct record after;
	struct page *p;

	assert_int_equal(apply(&t, "MODIFY", from, from, &after, &p),
	    want != NULL ? FILTER_REWRITE : FILTER_KEEP);
	assert_image(after.new_image, want != NULL ? want : from);
	assert_image(after.old_image, want != NULL ? want : from);
	page_unref(p);
	/* A removal has the old image alone, and no images means nothing to do. */
	assert_int_equal(apply(&t, "REMOVE", from, NULL, &after, &p),
	    want != NULL ? FILTER_REWRITE : FILTER_KEEP);
	assert_image(after.old_image, want != NULL ? want : from);
	assert_null(after.new_image.p);
	page_unref(p);
	assert_int_equal(apply(&t, "MODIFY", NULL, NULL, &after, &p), FILTER_KEEP);
	page_unref(p);
	transform_close(&t);
}

static void
rejects(const char *yaml, const char *from, const char *why)
{
	struct transform t = open_yaml(yaml);
	struct record after;
	struct page *p;

	assert_int_equal(apply(&t, "MODIFY", from, from, &after, &p), FILTER_REJECT);
	if (strstr(refusal, why) == NULL)
		fail_msg("have: %s\nwant: %s", refusal, why);
	page_unref(p);
	transform_close(&t);
}

#define A "\"a\":{\"S\":\"x\"}"
#define B "\"b\":{\"N\":\"12345678901234567890123456789012345678\"}"
#define M "\"m\":{\"M\":{\"c\":{\"SS\":[\"q\",\"p\"]},\"d\":{\"B\":\"AA==\"}}}"
#define L "\"l\":{\"L\":[{\"M\":{" A "," B "}},{\"M\":{" A "}}]}"

static void
projections(void **state)
{
	(void)state;
	makes("type: project\ninclude: [a, m.c]", A "," B "," M,
	    A ",\"m\":{\"M\":{\"c\":{\"SS\":[\"q\",\"p\"]}}}");
	makes("type: project\nexclude: [a, m.d]", A "," B "," M,
	    B ",\"m\":{\"M\":{\"c\":{\"SS\":[\"q\",\"p\"]}}}");
	makes("type: project\ninclude: [m]\nexclude: [m.c]", A "," M,
	    "\"m\":{\"M\":{\"d\":{\"B\":\"AA==\"}}}");
	makes("type: project\nexclude: ['l[*].b']", A "," L,
	    A ",\"l\":{\"L\":[{\"M\":{" A "}},{\"M\":{" A "}}]}");
	makes("type: project\nexclude: [none, a.b]", A "," L, NULL);
	makes("type: project\ninclude: [none]", A, "");
	makes("type: project\nexclude: [pk, '*']", A "," B, "");
	makes("type: project\nexclude: [pk]", A, NULL);
	assert_refused("type: project", "needs \"include\", \"exclude\" or both");
	assert_refused("type: project\ninclude: ['a..b']", "include: \"a..b\" is no path");
	assert_refused("type: project\nexclude: ['\"\"']", "empty name");
}

static void
renames(void **state)
{
	(void)state;
	makes("type: rename\nattributes: {a: z}", A "," B, "\"z\":{\"S\":\"x\"}," B);
	makes("type: rename\nattributes: {m.c: 'q\"'}", M,
	    "\"m\":{\"M\":{\"q\\\"\":{\"SS\":[\"q\",\"p\"]},\"d\":{\"B\":\"AA==\"}}}");
	makes("type: rename\nattributes: {'l[*].a': a.b}", L,
	    "\"l\":{\"L\":[{\"M\":{\"a.b\":{\"S\":\"x\"}," B
	    "}},{\"M\":{\"a.b\":{\"S\":\"x\"}}}]}");
	makes("type: rename\nattributes: {m: n, m.c: e}", M,
	    "\"n\":{\"M\":{\"e\":{\"SS\":[\"q\",\"p\"]},\"d\":{\"B\":\"AA==\"}}}");
	/* A name that is taken is not overwritten... */
	makes("type: rename\nattributes: {a: b}", A "," B, NULL);
	makes("type: rename\nattributes: {a: c, b: a}", A "," B ",\"c\":{\"S\":\"\"}", NULL);
	makes("type: rename\nattributes: {a: pk}", A, NULL);
	makes("type: rename\nattributes: {a: b}", A ",\"\\u0062\":{\"S\":\"y\"}", NULL);
	/* ... unless it goes away itself. */
	makes("type: rename\nattributes: {a: b, b: a}", A "," B,
	    "\"b\":{\"S\":\"x\"},\"a\":{\"N\":\"12345678901234567890123456789012345678\"}");
	makes("type: rename\nattributes: {a: b, b: c}", A "," B,
	    "\"b\":{\"S\":\"x\"},\"c\":{\"N\":\"12345678901234567890123456789012345678\"}");
	makes("type: rename\nattributes: {a: b, b: a}", A, "\"b\":{\"S\":\"x\"}");
	rejects("type: rename\nattributes: {pk: id}", A, "pk is a key attribute");
	assert_refused("type: rename", "\"attributes\" is missing");
	assert_refused("type: rename\nattributes: {'a.*': b}", "ends with no plain name");
	assert_refused("type: rename\nattributes: {'a[0]': b}", "ends with no plain name");
	assert_refused("type: rename\nattributes: {a: ''}", "1 to 65535 bytes");
	assert_refused("type: rename\nattributes: {a: c, b: c}", "may both become \"c\"");
	assert_refused("type: rename\nattributes: {'*.a': c, x.b: c}", "may both become \"c\"");
	assert_refused("type: rename\nattributes: {'*.a': c, x.a: d}", "may lead to one place");
	assert_refused("type: rename\nattributes: {a..b: c}", "is no path");
}

static void
constants(void **state)
{
	(void)state;
	makes("type: set\nattributes: {\"s\": {\"S\": \"t\"}}", A, A ",\"s\":{\"S\": \"t\"}");
	makes("type: set\nattributes: {\"a\": {\"N\":\"1.50\"}}", A "," B,
	    "\"a\":{\"N\":\"1.50\"}," B);
	makes("type: set\nreplace: false\nattributes: {\"a\": {\"N\":\"1\"}}", A, NULL);
	makes("type: set\nattributes: {\"a\":{\"S\":\"x\"}}", A, NULL);
	makes("type: set\nattributes: {\"l[*].b\":{\"NULL\":true},\"m.x.y\":{\"S\":\"\"}}", L "," M,
	    "\"l\":{\"L\":[{\"M\":{" A ",\"b\":{\"NULL\":true}}},{\"M\":{" A
	    ",\"b\":{\"NULL\":true}}}]}," M);
	makes(
	    "type: set\nattributes: {\"\\\"a.b\\\"\":{\"S\":\"\"}}", A, A ",\"a.b\":{\"S\":\"\"}");
	makes("type: set\nattributes: {\"*\":{\"S\":\"\"}}", A, "\"a\":{\"S\":\"\"}");
	rejects("type: set\nattributes: {\"pk\":{\"S\":\"2\"}}", A, "pk is a key attribute");
	assert_refused("type: set\nattributes: {\"a\": 5}", "no DynamoDB JSON");
	assert_refused("type: set\nattributes: {\"a\": {\"N\":\"x\"}}", "no DynamoDB JSON");
	assert_refused("type: set\nattributes: {\"a\": {\"M\":{\"b\":1}}}", "no DynamoDB JSON");
	assert_refused("type: set\nattributes: {\"a\": {\"S\":\"\"}, \"a.b\": {\"S\":\"\"}}",
	    "may lead to one place");
	assert_refused("type: set\nattributes: {\"a\": {\"S\":\"\"}, \"*\": {\"S\":\"\"}}",
	    "may lead to one place");
	assert_refused("type: set\nattributes: {}", "at least one");
	assert_refused("type: set\nattributes: []", "JSON object");
	assert_refused("type: set\nattributes: {\"a..b\": {\"S\":\"\"}}", "is no path");
	assert_refused(
	    "type: set\nattributes: {\"a[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
	    "[0][0][0][0][0][0][0][0][0][0][0][0][0][0]\": {\"L\":[{\"L\":[{\"L\":[]}]}]}}",
	    "nest deeper than the 32");
}

static void
flattenings(void **state)
{
	(void)state;
	makes(
	    "type: flatten", A "," M, A ",\"m.c\":{\"SS\":[\"q\",\"p\"]},\"m.d\":{\"B\":\"AA==\"}");
	makes("type: flatten\nseparator: '\"'", M,
	    "\"m\\\"c\":{\"SS\":[\"q\",\"p\"]},\"m\\\"d\":{\"B\":\"AA==\"}");
	makes("type: flatten", "\"m\":{\"M\":{\"n\":{\"M\":{" A "}},\"e\":{\"M\":{}}}}",
	    "\"m.n.a\":{\"S\":\"x\"},\"m.e\":{\"M\":{}}");
	makes("type: flatten\ndepth: 1", "\"m\":{\"M\":{\"n\":{\"M\":{" A "}}}}",
	    "\"m.n\":{\"M\":{" A "}}");
	makes("type: flatten\nattributes: [x*]", M ",\"xy\":{\"M\":{" A "}}",
	    M ",\"xy.a\":{\"S\":\"x\"}");
	makes("type: flatten", A "," L ",\"m\":{\"M\":{}}", NULL);
	/* Two of one name: the maps that would make it stay. */
	makes("type: flatten", "\"m\":{\"M\":{" A "," B "}},\"m.a\":{\"S\":\"\"}", NULL);
	makes("type: flatten", "\"m.\\u0061\":{\"S\":\"\"},\"m\":{\"M\":{" A "}}", NULL);
	makes("type: flatten",
	    "\"m\":{\"M\":{\"n.a\":{\"S\":\"\"}}},\"m.n\":{\"M\":{" A "}},\"o\":{\"M\":{" B "}}",
	    "\"m\":{\"M\":{\"n.a\":{\"S\":\"\"}}},\"m.n\":{\"M\":{" A
	    "}},\"o.b\":{\"N\":\"12345678901234567890123456789012345678\"}");
	makes("type: flatten", "\"m\":{\"M\":{\"n.a\":{\"S\":\"\"},\"n\":{\"M\":{" A "}}}}", NULL);
	makes("type: flatten\nseparator: _",
	    "\"a_\":{\"M\":{\"b\":{\"S\":\"\"}}},\"a\":{\"M\":{\"_b\":{\"S\":\"\"}}}", NULL);
	assert_refused("type: flatten\nseparator: ''", "1 to 16 bytes");
	assert_refused("type: flatten\nattributes: [a.b]", "inside of an attribute");
}

/* An item of 400 KB whose names would multiply to gigabytes. */
static void
what_would_grow_without_bound_is_refused(void **state)
{
	struct transform t = open_yaml("type: flatten");
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);
	struct record after;
	struct page *p;

	(void)state;
	buf_add_char(&b, '"');
	for (int i = 0; i < 60000; i++)
		buf_add_char(&b, 'n');
	buf_add_str(&b, "\":{\"M\":{");
	for (int i = 0; i < 20000; i++)
		buf_addf(&b, "%s\"%d\":{\"NULL\":true}", i != 0 ? "," : "", i);
	buf_add_str(&b, "}}");
	assert_int_equal(apply(&t, "INSERT", NULL, buf_cstr(&b), &after, &p), FILTER_REJECT);
	assert_non_null(strstr(refusal, "too large"));
	page_unref(p);
	buf_close(&b);
	transform_close(&t);
}

/* ---- sample ---- */

static bool
is_in(struct transform *t, const char *keys)
{
	struct page *p = page_with(keys, "");
	struct record r = p->records[0];
	struct err why;
	bool in = t->ops->apply(t->filter, &r, NULL, &why) == FILTER_KEEP;

	page_unref(p);
	return in;
}

static unsigned
count_in(const char *percent, unsigned of)
{
	char text[80];
	struct transform t;
	unsigned n = 0;

	(void)snprintf(text, sizeof text, "type: sample\npercent: %s\n", percent);
	t = open_yaml(text);
	for (unsigned i = 0; i < of; i++) {
		(void)snprintf(text, sizeof text, ",\"Keys\":{\"pk\":{\"S\":\"customer-%u\"}}", i);
		n += is_in(&t, text);
	}
	transform_close(&t);
	return n;
}

static void
samples(void **state)
{
	struct transform t = open_yaml("type: sample\npercent: 50");

	(void)state;
	assert_int_equal(count_in("0", 1000), 0);
	assert_int_equal(count_in("100", 1000), 1000);
	assert_int_equal(count_in("100.000000", 1000), 1000);
	/* Four standard deviations. */
	assert_in_range(count_in("10", 100000), 10000 - 380, 10000 + 380);
	assert_in_range(count_in("0.25", 100000), 250 - 63, 250 + 63);
	/* One spelling or another, one order or another. */
	for (int i = 0; i < 50; i++) {
		char a[128], b[128];

		(void)snprintf(
		    a, sizeof a, ",\"Keys\":{\"p\":{\"S\":\"a\"},\"s\":{\"N\":\"%d\"}}", i);
		(void)snprintf(b, sizeof b,
		    ",\"Keys\":{\"s\":{\"N\":\"%d.0E0\"},\"p\":{\"S\":\"\\u0061\"}}", i);
		assert_int_equal(is_in(&t, a), is_in(&t, b));
	}
	transform_close(&t);
	assert_refused("type: sample\npercent: 101", "0 to 100");
	assert_refused("type: sample\npercent: 100.000001", "0 to 100");
	assert_refused("type: sample\npercent: 1.0000001", "six decimals");
	assert_refused("type: sample\npercent: -1", "0 to 100");
	assert_refused("type: sample\npercent: 1.", "0 to 100");
	assert_refused("type: sample\npercent: .5", "0 to 100");
	assert_refused("type: sample\npercent: 99999999999999999999", "0 to 100");
}

/* The hash is a promise of the manual: these are in at 12.5 percent for ever. */
static void
the_same_items_for_ever(void **state)
{
	struct transform t = open_yaml("type: sample\npercent: 12.5");
	char have[65] = "", keys_[80];

	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		(void)snprintf(
		    keys_, sizeof keys_, ",\"Keys\":{\"pk\":{\"S\":\"customer-%u\"}}", i);
		have[i] = is_in(&t, keys_) ? '1' : '.';
	}
	assert_string_equal(
	    have, "........1............1........................1......1.....1....");
	transform_close(&t);
}

/* ---- dedupe-unchanged ---- */

static unsigned warnings;
static char warning[512];

static void
on_log(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	warnings++;
	(void)snprintf(warning, sizeof warning, "%s", line);
}

static void
decides(const char *yaml, const char *event, const char *old_image, const char *new_image,
    enum filter_verdict want)
{
	struct transform t = open_yaml(yaml);
	struct record after;
	struct page *p;

	assert_int_equal(apply(&t, event, old_image, new_image, &after, &p), want);
	page_unref(p);
	transform_close(&t);
}

static void
changes_that_change_nothing(void **state)
{
	static const char plain[] = "type: dedupe-unchanged";
	static const char some[] = "type: dedupe-unchanged\nignore: [b, 'm.*_at', 'l[*].a']";

	(void)state;
	decides(plain, "MODIFY", A "," B, A "," B, FILTER_DROP);
	decides(plain, "MODIFY", A "," B, B ", " A, FILTER_DROP);
	decides(plain, "MODIFY", "\"n\":{\"N\":\"100\"}", "\"n\":{\"N\":\"1E2\"}", FILTER_DROP);
	decides(plain, "MODIFY", "\"n\":{\"NS\":[\"1\",\"2\"]}", "\"n\":{\"NS\":[\"2.0\",\"1\"]}",
	    FILTER_DROP);
	decides(plain, "MODIFY", "\"n\":{\"N\":\"12345678901234567890123456789012345678\"}",
	    "\"n\":{\"N\":\"12345678901234567890123456789012345679\"}", FILTER_KEEP);
	decides(plain, "MODIFY", "\"n\":{\"S\":\"1\"}", "\"n\":{\"N\":\"1\"}", FILTER_KEEP);
	decides(plain, "MODIFY", A, A "," B, FILTER_KEEP);
	decides(plain, "MODIFY", A "," B, A, FILTER_KEEP);
	decides(some, "MODIFY", A "," B, A, FILTER_DROP);
	decides(some, "MODIFY", A ",\"b\":{\"S\":\"1\"}", A ",\"b\":{\"S\":\"2\"}", FILTER_DROP);
	decides(some, "MODIFY", A "," B, "\"a\":{\"S\":\"y\"}", FILTER_KEEP);
	decides(some, "MODIFY", "\"m\":{\"M\":{\"x_at\":{\"N\":\"1\"},\"y\":{\"N\":\"1\"}}}",
	    "\"m\":{\"M\":{\"y\":{\"N\":\"1\"},\"x_at\":{\"N\":\"2\"},\"z_at\":{\"N\":\"2\"}}}",
	    FILTER_DROP);
	decides(some, "MODIFY", "\"l\":{\"L\":[{\"M\":{" A "}}]}",
	    "\"l\":{\"L\":[{\"M\":{\"a\":{\"S\":\"\"}}}]}", FILTER_DROP);
	decides(some, "MODIFY", "\"l\":{\"L\":[{\"M\":{" A "}}]}",
	    "\"l\":{\"L\":[{\"M\":{" A "}},{\"M\":{}}]}", FILTER_KEEP);
	decides(plain, "INSERT", NULL, A, FILTER_KEEP);
	decides(plain, "REMOVE", A, NULL, FILTER_KEEP);
	decides(plain, "OTHER", A, A, FILTER_KEEP);
	assert_refused("type: dedupe-unchanged\nignore: [a.]", "ignore: \"a.\" is no path");
}

static void
what_cannot_be_compared_is_kept_and_said_once(void **state)
{
	struct transform t = open_yaml("type: dedupe-unchanged");
	struct record after;
	struct page *p;

	(void)state;
	warnings = 0;
	log_set_sink(on_log, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(apply(&t, "MODIFY", NULL, A, &after, &p), FILTER_KEEP);
		page_unref(p);
	}
	log_set_sink(NULL, NULL);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warning, "records have no old image"));
	assert_non_null(strstr(warning, "NEW_AND_OLD_IMAGES"));
	transform_close(&t);
}

/* ---- limit ---- */

static enum filter_verdict
at_time(struct transform *t, const char *tenant, unsigned second)
{
	struct buf b = BUF_INIT(4096);
	struct err why = {.text = ""};
	enum filter_verdict v;
	struct record r;
	struct page *p;

	buf_addf(&b, KEYS ",\"NewImage\":{" PK "%s%s},\"ApproximateCreationDateTime\":%u",
	    tenant[0] != '\0' ? "," : "", tenant, 1000000000 + second);
	p = page_with(buf_cstr(&b), ",\"eventName\":\"INSERT\"");
	r = p->records[0];
	v = t->ops->apply(t->filter, &r, NULL, &why);
	(void)snprintf(refusal, sizeof refusal, "%s", why.text);
	page_unref(p);
	buf_close(&b);
	return v;
}

static void
assert_passes(struct transform *t, const char *tenant, unsigned second, unsigned want)
{
	unsigned n = 0;

	while (n < 1000 && at_time(t, tenant, second) == FILTER_KEEP)
		n++;
	assert_int_equal(n, want);
}

#define T1 "\"t\":{\"M\":{\"id\":{\"S\":\"one\"}}}"
#define T2 "\"t\":{\"M\":{\"id\":{\"N\":\"2\"}}}"
#define T2_TOO "\"t\":{\"M\":{\"id\":{\"N\":\"2.0\"}}}"

static void
limits(void **state)
{
	struct transform t = open_yaml("type: limit\ntenant: t.id\nrecords: 3\nburst: 5");

	(void)state;
	log_set_sink(on_log, NULL);
	warnings = 0;
	assert_passes(&t, T1, 10, 5);
	assert_passes(&t, T2, 10, 5);
	assert_passes(&t, T2_TOO, 10, 0);
	assert_passes(&t, "", 10, 5);
	assert_passes(&t, A, 10, 0);
	assert_passes(&t, T1, 11, 3);
	assert_passes(&t, T1, 9, 0);
	assert_passes(&t, T1, 11, 0);
	assert_passes(&t, T1, 100, 5);
	assert_int_equal(at_time(&t, T1, 200), FILTER_KEEP);
	assert_passes(&t, T1, 190, 4);
	transform_close(&t);
	/* Six of the first minute were told as one, the others a minute later each. */
	assert_int_equal(warnings, 3);
	assert_non_null(strstr(warning, "tenant="));
	assert_null(strstr(warning, "one"));
	t = open_yaml("type: limit\nrecords: 1\nper: 10s\nover: reject");
	assert_passes(&t, T1, 10, 1);
	assert_passes(&t, T2, 19, 0);
	assert_passes(&t, T2, 20, 1);
	assert_int_equal(at_time(&t, T1, 20), FILTER_REJECT);
	assert_non_null(strstr(refusal, "over its limit"));
	transform_close(&t);
	/* The tenant may be the key. */
	t = open_yaml("type: limit\nrecords: 1\ntenant: pk");
	decides("type: limit\nrecords: 1\ntenant: pk", "REMOVE", NULL, NULL, FILTER_KEEP);
	transform_close(&t);
	log_set_sink(NULL, NULL);
	assert_refused("type: limit\nrecords: 1\ntenant: 'a.*'", "a star would stand for");
	assert_refused("type: limit\nrecords: 0", "1 to 1000000");
	assert_refused("type: limit\nrecords: 1\nper: 10ms", "1s to 1d");
}

/* More tenants than there is room for: who is still busy keeps its bucket. */
static void
tenants_are_bounded(void **state)
{
	struct transform t = open_yaml("type: limit\ntenant: t\nrecords: 1\nper: 1d\ntenants: 64");
	unsigned kept = 0;
	char text[64];

	(void)state;
	log_set_sink(on_log, NULL);
	for (unsigned i = 0; i < 2000; i++) {
		(void)snprintf(text, sizeof text, "\"t\":{\"S\":\"tenant-%u\"}", i);
		assert_int_equal(at_time(&t, text, i), FILTER_KEEP);
		kept += at_time(&t, "\"t\":{\"S\":\"busy\"}", i) == FILTER_KEEP;
	}
	log_set_sink(NULL, NULL);
	transform_close(&t);
	assert_int_equal(kept, 1);
}

/* As many as there is room for, each has its own bucket and keeps it. */
static void
tenants_are_all_remembered(void **state)
{
	struct transform t =
	    open_yaml("type: limit\ntenant: t\nrecords: 1\nper: 1d\ntenants: 1000");
	unsigned kept = 0;
	char text[64];

	(void)state;
	log_set_sink(on_log, NULL);
	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(text, sizeof text, "\"t\":{\"S\":\"tenant-%u\"}", i % 1000);
		kept += at_time(&t, text, i) == FILTER_KEEP;
	}
	assert_int_equal(kept, 1000);
	/* One more, and the one that was quiet for the longest begins anew; no other does. */
	assert_int_equal(at_time(&t, "\"t\":{\"S\":\"one more\"}", 5000), FILTER_KEEP);
	for (unsigned i = 1; i < 1000; i++) {
		(void)snprintf(text, sizeof text, "\"t\":{\"S\":\"tenant-%u\"}", i);
		assert_int_equal(at_time(&t, text, 5000), FILTER_DROP);
	}
	assert_int_equal(at_time(&t, "\"t\":{\"S\":\"tenant-0\"}", 5000), FILTER_KEEP);
	log_set_sink(NULL, NULL);
	transform_close(&t);
}

/* ---- all of them ---- */

static void
any_transform_of_any_record(void **state)
{
	struct buf yaml = BUF_INIT(1 << 20), tmp = BUF_INIT(LIMIT_PAGE_BODY);
	unsigned opened = 0, counts[4] = {0};

	(void)state;
	log_set_sink(on_log, NULL);
	for (uint64_t seed = 0; seed < 3000; seed++) {
		struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY),
		    .spaces = seed & 1,
		    .escapes = seed & 2,
		    .odd_text = seed & 4};
		struct transform t;
		struct page *p;
		struct rng r;
		struct err e;

		rng_seed(&r, seed);
		buf_reset(&yaml);
		transform_yaml(&r, &yaml);
		if (transform_open(&t, buf_cstr(&yaml), &e) != 0)
			continue;
		opened++;
		rng_seed(&g.sp, seed);
		gen_page(&g, seed, 12);
		p = page_of(buf_cstr(&g.out));
		for (size_t i = 0; i < p->count; i++) {
			enum filter_verdict v;
			struct record after;
			const char *fault = transform_fault(&t, &p->records[i], &after, &v, &tmp);

			if (fault != NULL)
				fail_msg("%s: record %zu of seed %u\n%s\n%.*s", fault, i,
				    (unsigned)seed, buf_cstr(&yaml), (int)p->records[i].raw.n,
				    p->records[i].raw.p);
			counts[v]++;
		}
		page_unref(p);
		transform_close(&t);
		buf_close(&g.out);
	}
	log_set_sink(NULL, NULL);
	buf_close(&yaml);
	buf_close(&tmp);
	assert_in_range(opened, 1500, 3000);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		assert_in_range(counts[i], 100, 1000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(projections),
	    cmocka_unit_test(renames),
	    cmocka_unit_test(constants),
	    cmocka_unit_test(flattenings),
	    cmocka_unit_test(what_would_grow_without_bound_is_refused),
	    cmocka_unit_test(samples),
	    cmocka_unit_test(the_same_items_for_ever),
	    cmocka_unit_test(changes_that_change_nothing),
	    cmocka_unit_test(what_cannot_be_compared_is_kept_and_said_once),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(tenants_are_bounded),
	    cmocka_unit_test(tenants_are_all_remembered),
	    cmocka_unit_test(any_transform_of_any_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
