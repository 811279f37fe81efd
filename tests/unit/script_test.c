/* tests/unit/script_test.c - the script filter: values in and out, errors that say
 * where and nothing else, and a sandbox that holds.
 */
#include <time.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/mem.h"
#include "base/random.h"
#include "filters/filter.h"
#include "record/value.h"
#include "tests/unit/page_gen.h"
#include "tests/unit/record_support.h"

#define ARTICLE                                                                                    \
	",\"Keys\":{\"id\":{\"S\":\"a-1\"}},\"NewImage\":{\"id\":{\"S\":\"a-1\"},"                 \
	"\"price\":{\"N\":\"12.50\"},\"stock\":{\"N\":\"7\"},\"tags\":{\"SS\":[\"x\",\"y\"]},"     \
	"\"raw\":{\"B\":\"AAH/\"},\"gone\":{\"NULL\":true},\"on\":{\"BOOL\":true},"                \
	"\"none\":{\"L\":[]},\"bare\":{\"M\":{}},\"secret\":{\"S\":\"hunter2\"},"                  \
	"\"lines\":{\"L\":[{\"M\":{\"sku\":{\"S\":\"s\"},\"n\":{\"N\":\"1\"}}},{\"N\":\"2\"}]}},"  \
	"\"OldImage\":{\"id\":{\"S\":\"a-1\"},\"price\":{\"N\":\"12.5\"}},"                        \
	"\"ApproximateCreationDateTime\":1766000000"
#define MODIFY ",\"eventName\":\"MODIFY\""

static const struct key_schema schema = {.names = {(char *)(uintptr_t) "id", NULL}};
static const struct origin origin = {.stream = "orders",
    .table = "orders",
    .arn = "arn:x",
    .label = "2026",
    .shard = "shardId-1",
    .schema = &schema};

struct script {
	struct conf_doc *doc;
	void *conf;
	struct filter *f;
	struct err e;
};

/* options: more lines of YAML. */
static int
try_open(struct script *s, const char *options, const char *lua)
{
	struct buf yaml = BUF_INIT(1 << 20);
	int ret;

	*s = (struct script){.conf = mem_new(filter_script.conf_size)};
	buf_addf(&yaml, "%stext: ", options);
	buf_add_json_string(&yaml, slice_of(lua));
	buf_add_char(&yaml, '\n');
	assert_int_equal(conf_parse(&s->doc, buf_slice(&yaml), "t.yaml", &s->e), 0);
	buf_close(&yaml);
	assert_int_equal(conf_fill(conf_root(s->doc), filter_script.keys, NULL, s->conf, &s->e), 0);
	ret = filter_script.check(s->conf, &s->e);
	return ret == 0 ? filter_script.open(&s->f, "demo", s->conf, &s->e) : ret;
}

static void
close_script(struct script *s)
{
	filter_script.close(s->f);
	conf_wipe(filter_script.keys, s->conf);
	free(s->conf);
	conf_close(s->doc);
}

static enum filter_verdict
apply(struct script *s, struct record *r)
{
	return filter_script.apply(s->f, r, &origin, &s->e);
}

/* What a body of change(record) makes of the article. */
static void
opened(struct script *s, const char *options, const char *body)
{
	struct buf lua = BUF_INIT(1 << 20);

	buf_addf(&lua, "function change(record)\n%s\nend", body);
	if (try_open(s, options, buf_cstr(&lua)) != 0)
		fail_msg("%s\nin: %s", s->e.text, body);
	buf_close(&lua);
}

static enum filter_verdict
once(const char *options, const char *body, struct err *e)
{
	struct page *p = page_with(ARTICLE, MODIFY);
	struct record r = p->records[0];
	struct script s;
	enum filter_verdict v;

	opened(&s, options, body);
	v = apply(&s, &r);
	*e = s.e;
	close_script(&s);
	page_unref(p);
	return v;
}

static void
keeps(const char *body)
{
	struct err e;

	if (once("numbers: decimal\n", body, &e) != FILTER_KEEP)
		fail_msg("%s\nin: %s", e.text, body);
}

/* Says so, in words that hold `want`. */
static void
rejects_with(const char *options, const char *body, const char *want)
{
	struct err e = {.text = "none"};
	enum filter_verdict v = once(options, body, &e);

	if (v != FILTER_REJECT || strstr(e.text, want) == NULL)
		fail_msg("verdict %d: %s\nwant: %s\nin: %s", v, e.text, want, body);
	assert_null(strstr(e.text, "hunter2"));
	assert_null(strchr(e.text, '\n'));
}

static void
rejects(const char *body, const char *want)
{
	rejects_with("", body, want);
}

/* The new image afterwards. */
static void
makes(const char *body, const char *attribute, const char *want)
{
	struct page *p = page_with(ARTICLE, MODIFY);
	struct record r = p->records[0];
	struct script s;
	enum filter_verdict v;

	opened(&s, "numbers: decimal\n", body);
	v = apply(&s, &r);
	if (v != FILTER_REWRITE)
		fail_msg("verdict %d: %s\nin: %s", v, s.e.text, body);
	assert_slice(value_member(r.new_image, attribute), want);
	assert_true(json_check(r.new_image));
	assert_true(r.keys.p == p->records[0].keys.p);
	close_script(&s);
	page_unref(p);
}

/* ---- verdicts ---- */

static void
test_verdicts(void **state)
{
	struct err e;

	(void)state;
	keeps("return record");
	assert_int_equal(once("", "return nil", &e), FILTER_DROP);
	assert_int_equal(once("", "", &e), FILTER_DROP);
	makes("record.new.stock = 8 return record", "stock", "{\"N\":\"8\"}");
	makes("record.new.stock = nil return record", "stock", NULL);
	makes("record.new.stock = 8 return record", "price", "{\"N\":\"12.50\"}");
	/* The same meaning is the same record. */
	keeps("record.new.price = slipring.number('12.5') return record");
	keeps(
	    "return {keys = record.keys, new = record.new, old = record.old, event = record.event,"
	    " time = record.time, ttl = record.ttl}");
	keeps("assert(record.event == 'MODIFY' and record.time == 1766000000000 and not record.ttl)"
	      " return record");
}

static void
test_old_image(void **state)
{
	struct page *p = page_with(ARTICLE, MODIFY);
	struct record r = p->records[0];
	struct script s;

	(void)state;
	opened(&s, "", "record.old = nil record.new.price = nil return record");
	assert_int_equal(apply(&s, &r), FILTER_REWRITE);
	assert_null(r.old_image.p);
	assert_null(value_member(r.new_image, "price").p);
	close_script(&s);
	page_unref(p);
}

/* ---- values ---- */

static void
test_values(void **state)
{
	(void)state;
	keeps(
	    "local n = record.new\n"
	    "assert(n.id == 'a-1' and tostring(n.price) == '12.50' and n.on == true)\n"
	    "assert(n.gone == slipring.null and tostring(n.gone) == 'null')\n"
	    "assert(#n.none == 0 and next(n.bare) == nil and #n.tags == 2)\n"
	    "assert(tostring(n.raw) == '\\0\\1\\255' and n.raw == slipring.bytes('\\0\\1\\255'))\n"
	    "assert(n.lines[1].sku == 's' and n.lines[2] == slipring.number(2))\n"
	    "local want = {id='S', price='N', on='BOOL', gone='NULL', none='L', bare='M',"
	    " tags='SS', raw='B'}\n"
	    "for k, v in pairs(want) do assert(slipring.type(n[k]) == v) end\n"
	    "assert(slipring.type({}) == nil and slipring.type(1) == 'N' and"
	    " slipring.type(1.5) == nil)\n"
	    "return record");
	makes("record.new.x = {} record.new.x[1] = 'a' return record", "x",
	    "{\"L\":[{\"S\":\"a\"}]}");
	makes("record.new.x = {b = 1, a = true} return record", "x",
	    "{\"M\":{\"a\":{\"BOOL\":true},\"b\":{\"N\":\"1\"}}}");
	makes("record.new.x = slipring.list({}) return record", "x", "{\"L\":[]}");
	makes("record.new.x = slipring.map() return record", "x", "{\"M\":{}}");
	makes("record.new.x = slipring.ss({'b','a'}) return record", "x", "{\"SS\":[\"b\",\"a\"]}");
	makes("record.new.x = slipring.ns({1, slipring.number('2.0')}) return record", "x",
	    "{\"NS\":[\"1\",\"2.0\"]}");
	makes("record.new.x = slipring.bs({slipring.bytes('hi')}) return record", "x",
	    "{\"BS\":[\"aGk=\"]}");
	makes("record.new.x = slipring.null return record", "x", "{\"NULL\":true}");
	makes("record.new.x = 'q\"\\\\\\n\\0\\u{1F600}' return record", "x",
	    "{\"S\":\"q\\\"\\\\\\u000a\\u0000\xf0\x9f\x98\x80\"}");
	makes(
	    "record.new.x = math.maxinteger return record", "x", "{\"N\":\"9223372036854775807\"}");
	makes("table.insert(record.new.lines, slipring.null) return record", "lines",
	    "{\"L\":[{\"M\":{\"n\":{\"N\":\"1\"},\"sku\":{\"S\":\"s\"}}},{\"N\":\"2\"},"
	    "{\"NULL\":true}]}");
	makes("record.new.lines[1].sku = nil record.new.lines[1].n = nil return record", "lines",
	    "{\"L\":[{\"M\":{}},{\"N\":\"2\"}]}");
}

static void
test_wrong_values(void **state)
{
	(void)state;
	rejects("record.new.x = 0.5 return record", "record.new.x: a Lua float");
	rejects("record.new.x = 4 / 2 return record", "record.new.x: a Lua float");
	rejects("record.new.x = 0/0 return record", "record.new.x: a Lua float");
	rejects("record.new.lines[1].n = 1e3 return record", "record.new.lines[1].n: a Lua float");
	rejects("record.new.x = {} return record", "record.new.x: an empty table");
	rejects("record.new.x = change return record", "record.new.x: a function is no attribute");
	rejects("record.new.x = {1, nil, 3} return record", "hole");
	rejects("record.new.x = {1, a = 2} return record", "a list has a key");
	rejects("record.new.lines[4] = 1 return record", "record.new.lines: a list has");
	rejects(
	    "record.new.bare[1] = 1 return record", "record.new.bare: a map has a key that is a");
	rejects("record.new.x = '\\xff' return record", "record.new.x: a string is not UTF-8");
	rejects("record.new.x = slipring.ss({}) return record", "empty set");
	rejects(
	    "record.new.x = slipring.ss({1}) return record", "element 1 of a set SS is a number");
	rejects("record.new.x = slipring.ns({'1'}) return record", "element 1 of a set NS");
	rejects("record.new[1] = 'x' return record", "record.new: a map has a key");
	rejects("record.new = 'x' return record", "record.new: a map of attributes is wanted");
	rejects("record.new = slipring.list({1}) return record", "a map of attributes");
	rejects("return 'x'", "change() returned a string");
	rejects("return {}", "event cannot be changed");
	rejects("record.event = 'INSERT' return record", "event cannot be changed");
	rejects("record.ttl = true return record", "ttl cannot be changed");
	rejects("record.time = 1 return record", "time cannot be changed");
	rejects("record.nwe = record.new return record", "a field that a record has not");
	/* Cycles and depth. */
	rejects("record.new.bare.self = record.new.bare return record", "deeper than 32");
	rejects("local t = {} t[1] = t record.new.x = t return record", "deeper than 32");
	rejects("local t = 'x' for i = 1, 32 do t = {t} end record.new.x = t return record",
	    "deeper than 32");
	makes("local t = 'x' for i = 1, 31 do t = {a=t} end record.new.x = t record.new.y = 1"
	      " return record",
	    "y", "{\"N\":\"1\"}");
	rejects(
	    "local t = 'xxxxxxxx' for i = 1, 30 do t = {t, t} end record.new.x = t return record",
	    "too large");
}

/* ---- keys ---- */

static void
test_keys_stay(void **state)
{
	(void)state;
	rejects("record.keys.id = 'b' return record", "record.keys: the keys must stay");
	rejects("record.keys = nil return record", "record.keys: the keys must stay");
	rejects("record.keys.more = 'b' return record", "record.keys: the keys must stay");
	rejects("record.new.id = 'b' return record", "record.new: a key attribute");
	rejects("record.old.id = nil return record", "record.old: a key attribute");
	makes("record.new = {id = 'a-1'} return record", "price", NULL);
}

static void
test_no_image_appears(void **state)
{
	struct page *p = page_with(",\"Keys\":{\"id\":{\"S\":\"1\"}}", "");
	struct record r = p->records[0];
	struct script s;

	(void)state;
	opened(&s, "", "record.new = {a = 1} return record");
	assert_int_equal(apply(&s, &r), FILTER_REJECT);
	assert_non_null(strstr(s.e.text, "record.new: the change came without it"));
	close_script(&s);
	opened(&s, "", "assert(record.new == nil and record.time == nil) return record");
	assert_int_equal(apply(&s, &r), FILTER_KEEP);
	close_script(&s);
	page_unref(p);
}

/* ---- numbers ---- */

static void
test_decimals(void **state)
{
	(void)state;
	keeps("local n = slipring.number\n"
	      "assert(n('0.1') + n('0.2') == n('0.3'))\n"
	      "assert(n('99999999999999999999999999999999999998') + 1 =="
	      " n('99999999999999999999999999999999999999'))\n"
	      "assert(n('12345678901234567890123456789012345678') <"
	      " n('12345678901234567890123456789012345679'))\n"
	      "assert(not (n('12345678901234567890123456789012345678') =="
	      " n('12345678901234567890123456789012345679')))\n"
	      "assert(n('1.50') == n('15e-1') and n(5) > 4 and n(-1) < n('-0.5') and n(0) <= 0)\n"
	      "assert(tostring(n('1.5') * n('-2.5')) == '-3.75')\n"
	      "assert(tostring(n(1) - n('0.9')) == '0.1' and tostring(-n('0')) == '0')\n"
	      "assert(tostring(n('1e20') + n('1e-5')) == '100000000000000000000.00001')\n"
	      "assert(n(7) .. '' == '7' and 'a' .. n('1.50') == 'a1.50')\n"
	      "assert(record.new.price * 2 == n(25))\n"
	      "return record");
	makes("record.new.price = record.new.price + 1 return record", "price", "{\"N\":\"13.5\"}");
	rejects_with("numbers: decimal\n",
	    "local x = slipring.number('99999999999999999999999999999999999998') + "
	    "slipring.number('0.1')",
	    "more than 38 digits");
	rejects_with("numbers: decimal\n",
	    "local x = slipring.number('12345678901234567890123456789012345678') *"
	    " slipring.number('12345678901234567890123456789012345678')",
	    "more than 38 digits");
	rejects_with("numbers: decimal\n",
	    "local x = slipring.number('1e100') + slipring.number('1e-100')",
	    "more than 38 digits");
	rejects_with("numbers: decimal\n", "local x = record.new.price + 0.1", "not exact");
	rejects_with("numbers: decimal\n", "local x = record.new.price / 2",
	    "attempt to perform arithmetic");
	rejects_with("numbers: decimal\n", "local x = record.new.price < 'a'", "not exact");
	rejects("local x = slipring.number('abc')", "it is no number");
	rejects("local x = slipring.number(1.5)", "a float is not exact");
	rejects("local x = slipring.number('1e126')", "too large an exponent");
	rejects(
	    "local x = slipring.number('123456789012345678901234567890123456789')", "38 digits");
	/* numbers: string */
	rejects("local x = record.new.price + 1", "attempt to perform arithmetic");
	rejects("local x = record.new.price < record.new.price", "attempt to compare");
}

/* 0 <= random decimals: sums and products against 128-bit integers. */
static void
test_decimals_at_random(void **state)
{
	struct buf body = BUF_INIT(1 << 20);
	struct rng r;

	(void)state;
	rng_seed(&r, 7);
	buf_add_str(&body, "local n = slipring.number\n");
	for (int i = 0; i < 300; i++) {
		int64_t a = (int64_t)rng_below(&r, 2000000000000) - 1000000000000;
		int64_t b = (int64_t)rng_below(&r, 2000000) - 1000000;

		buf_addf(&body,
		    "assert(n('%lldE-7') + n('%lldE-7') == n('%lldE-7') and "
		    "n('%lldE3') * n('%lldE-9') == n('%lldE-6') and "
		    "n('%lld') - n('%lld') == n(%lld) and (n('%lldE-3') < n('%lldE-3')) == %s)\n",
		    (long long)a, (long long)b, (long long)(a + b), (long long)a, (long long)b,
		    (long long)(a * b), (long long)a, (long long)b, (long long)(a - b),
		    (long long)a, (long long)b, a < b ? "true" : "false");
	}
	buf_add_str(&body, "return record");
	keeps(buf_cstr(&body));
	buf_close(&body);
}

/* ---- round trip ---- */

static const char rebuild[] =
    "local make = {M = slipring.map, L = slipring.list, SS = slipring.ss, NS = slipring.ns,"
    " BS = slipring.bs}\n"
    "local function copy(v)\n"
    "  local t = slipring.type(v)\n"
    "  assert(t)\n"
    "  if not make[t] then\n"
    "    if t == 'N' then return slipring.number(tostring(v)) end\n"
    "    if t == 'B' then return slipring.bytes(tostring(v)) end\n"
    "    return v\n"
    "  end\n"
    "  local c = {}\n"
    "  for k, e in pairs(v) do c[k] = copy(e) end\n"
    "  return make[t](c)\n"
    "end\n"
    "function change(record)\n"
    "  record.keys = copy(record.keys)\n"
    "  if record.new then record.new = copy(record.new) record.new['\\u{1}extra'] = 1 end\n"
    "  if record.old then record.old = copy(record.old) end\n"
    "  return record\n"
    "end\n";

static void
one_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	(void)path;
	assert_null(old_value.p);
	assert_slice(new_value, "{\"N\":\"1\"}");
	++*(unsigned *)arg;
}

/* Nothing that came is lost or changed, whether it is only handed back or taken apart and
 * put together again. */
static void
test_round_trip(void **state)
{
	struct script same, anew;
	unsigned records = 0, added = 0;

	(void)state;
	assert_int_equal(try_open(&same, "memory: 64MiB\n", "function change(r) return r end"), 0);
	assert_int_equal(try_open(&anew, "memory: 64MiB\ninstructions: 10000000\n", rebuild), 0);
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY)};
		struct page *p;
		struct err e;

		g.odd_text = seed % 4 == 0;
		rng_seed(&g.sp, seed * 3);
		gen_page(&g, seed, 3);
		if (page_parse(&p, &g.out, &e) != 0)
			fail_msg("seed %llu: %s", (unsigned long long)seed, e.text);
		for (size_t i = 0; i < p->count; i++) {
			struct record r = p->records[i];
			enum filter_verdict v = apply(&same, &r);

			if (v != FILTER_KEEP)
				fail_msg("seed %llu record %zu: %d %s", (unsigned long long)seed, i,
				    v, same.e.text);
			v = apply(&anew, &r);
			if (v != (r.new_image.p != NULL ? FILTER_REWRITE : FILTER_KEEP))
				fail_msg("seed %llu record %zu anew: %d %s",
				    (unsigned long long)seed, i, v, anew.e.text);
			records++;
			if (v == FILTER_REWRITE) {
				unsigned n = 0;

				changes_each(p->records[i].new_image, r.new_image, one_change, &n);
				assert_int_equal(n, 1);
				added++;
				assert_true(r.old_image.p == p->records[i].old_image.p);
			}
		}
		page_unref(p);
	}
	assert_true(records > 5000 && added > 3000);
	close_script(&same);
	close_script(&anew);
}

/* ---- errors ---- */

static void
test_errors_say_where(void **state)
{
	(void)state;
	rejects("\n\nlocal x = record.new.nothing.there", "demo:4: attempt to index a nil value");
	rejects("local function deep() error('the status is missing') end deep()",
	    "demo:2: the status is missing");
	rejects("local function deep() error('the status is missing') end deep()", "local 'deep'");
	rejects("error(\"quoted so\", 0)", "quoted so");
	rejects("assert(false, 'never')", "never");
	rejects("assert(nil)", "assertion failed");
	rejects("error({1})", "error() with a table");
	rejects("error()", "error() with a nil");
}

/* Whatever the script does, the log never has what the record holds. */
static void
test_errors_say_no_more(void **state)
{
	static const char *const ways[] = {"error(record.new.secret)",
	    "error(record.new.secret, 0)", "error('bad: ' .. record.new.secret)",
	    "assert(false, record.new.secret)",
	    "local ok, e = pcall(error, record.new.secret) error(e)", "error({record.new.secret})",
	    "local x = string.format('%' .. record.new.secret, 1)",
	    "local x = record.new.secret + 1", "local x = record.new.secret.a.b",
	    "local x = record.new[record.new.secret].b", "record.new.secret()",
	    "local x = {} .. record.new.secret",
	    "record.new.stock = slipring.number(record.new.secret)",
	    "for i = 1, record.new.secret do end",
	    "record.new.x = {[record.new] = 1} return record", "local x = #record.new.secret < {}",
	    "return record.new.secret", "return {[record.new.secret] = 1}",
	    "local x = ('x'):rep(record.new.secret)",
	    "local x = ('x'):find('[' .. record.new.secret)", "goto_ = record.new.secret; goto_()",
	    "local x = table.concat({record.new.secret, {}})"};
	/* The price is 12.50. */
	static const char *const numbers[] = {"error(tonumber(tostring(record.new.price)))",
	    "error(tonumber(tostring(record.new.price)), 0)",
	    "assert(false, tonumber(tostring(record.new.price)))",
	    "error(math.tointeger(tonumber(tostring(record.new.price)) * 100))"};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		enum filter_verdict v = once("", ways[i], &e);

		if (v != FILTER_REJECT || strstr(e.text, "hunter2") != NULL || strlen(e.text) < 5)
			fail_msg("%d %s\nin: %s", v, e.text, ways[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		enum filter_verdict v = once("", numbers[i], &e);

		if (v != FILTER_REJECT || strstr(e.text, "12") != NULL ||
		    strstr(e.text, "error() with a number") == NULL)
			fail_msg("%d %s\nin: %s", v, e.text, numbers[i]);
	}
}

static void
test_refused_at_the_start(void **state)
{
	static const struct {
		const char *lua, *want;
	} bad[] = {{"function change(record)\n  return record +\nend", "text:3: unexpected symbol"},
	    {"change = 1", "there is no function change(record)"},
	    {"x = nil + 1", "text:1: attempt to perform arithmetic"},
	    {"while true do end", "text:1: it took more than 1000000 instructions"},
	    {"\x1bLua", "attempt to load a binary chunk"},
	    {"", "there is no function change(record)"}};
	struct script s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (bad[i].lua[0] == '\x1b') /* no text of YAML */
			continue;
		assert_int_equal(try_open(&s, "", bad[i].lua), -1);
		assert_int_equal(s.e.code, ERR_CONFIG);
		if (strstr(s.e.text, bad[i].want) == NULL)
			fail_msg("%s\nwant: %s", s.e.text, bad[i].want);
		close_script(&s);
	}
}

static void
test_files(void **state)
{
	char path[] = "/tmp/slipring-script-XXXXXX", yaml[200];
	static const char lua[] = "-- a comment\nfunction change(r) return r.x.y end\n";
	int fd = mkstemp(path);
	struct page *p = page_with(ARTICLE, MODIFY);
	struct record r = p->records[0];
	struct script s = {.conf = mem_new(filter_script.conf_size)};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, lua, sizeof lua - 1), sizeof lua - 1);
	(void)snprintf(yaml, sizeof yaml, "file: %s\n", path);
	assert_int_equal(conf_parse(&s.doc, slice_of(yaml), "t.yaml", &s.e), 0);
	assert_int_equal(conf_fill(conf_root(s.doc), filter_script.keys, NULL, s.conf, &s.e), 0);
	assert_int_equal(filter_script.check(s.conf, &s.e), 0);
	assert_int_equal(filter_script.open(&s.f, "demo", s.conf, &s.e), 0);
	assert_int_equal(apply(&s, &r), FILTER_REJECT);
	assert_non_null(strstr(s.e.text, path));
	assert_non_null(strstr(s.e.text, ":2: attempt to index a nil value (field 'x')"));
	filter_script.close(s.f);
	/* Bytecode is no text. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, "\x1bLuaT", 5, 0), 5);
	assert_int_equal(filter_script.open(&s.f, "demo", s.conf, &s.e), -1);
	assert_non_null(strstr(s.e.text, "attempt to load a binary chunk"));
	(void)close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(filter_script.open(&s.f, "demo", s.conf, &s.e), -1);
	assert_int_equal(s.e.code, ERR_CONFIG);
	assert_non_null(strstr(s.e.text, "cannot open the script"));
	s.f = NULL;
	close_script(&s);
	page_unref(p);
}

/* ---- the sandbox ---- */

static void
test_nothing_else_is_there(void **state)
{
	static const char *const gone[] = {"io", "os", "load", "loadstring", "loadfile", "dofile",
	    "require", "package", "debug", "collectgarbage", "coroutine", "print", "warn",
	    "setmetatable", "getmetatable", "rawset", "rawget", "rawequal", "rawlen", "xpcall",
	    "string.dump", "string.pack", "string.unpack", "math.random", "math.randomseed", "_G"};
	struct buf body = BUF_INIT(1 << 16);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		buf_addf(&body, "assert(%s == nil, '%s')\n", gone[i], gone[i]);
	/* Nor through a string, or what a number object lends. */
	buf_add_str(&body,
	    "assert(('').dump == nil)\n"
	    "assert(not pcall(function() return record.new.price.__index end))\n"
	    "assert(not pcall(function() return record.new.price.x end))\n"
	    "local names = {}\n"
	    "for k in pairs(_ENV) do names[#names + 1] = k end\n"
	    "table.sort(names)\n"
	    "assert(table.concat(names, ' ') == '_VERSION assert change error ipairs math next "
	    "pairs pcall select slipring string table tonumber tostring type utf8',"
	    " table.concat(names, ' '))\n"
	    "return record");
	keeps(buf_cstr(&body));
	buf_close(&body);
}

static void
test_loops(void **state)
{
	static const char *const ways[] = {
	    "while true do end",
	    "repeat until false",
	    "local function f() return f() end f()",
	    "for i = 1, math.maxinteger do end",
	    "while true do pcall(function() while true do end end) end",
	    "local function f() while true do pcall(f) end end f()",
	    "for _ in function() return 1 end do end",
	    "table.sort({3, 2, 1, 4, 5}, function() while true do end end)",
	    "('x'):gsub('.', function() while true do end end)",
	    "local t <close> = nil while true do end",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		rejects(ways[i], "it took more than 1000000 instructions for one record (key");
	/* Errors of its own, 2^200 of them: long before they are counted, time is up. */
	rejects("local function f() pcall(f) f() end f()", "it took more than");
	rejects_with("instructions: 1000\n", "while true do end", "more than 1000 instructions");
}

/* One call, or one instruction, that is long. */
static void
test_long_calls(void **state)
{
	static const char *const ways[] = {
	    "local x = (''):rep(math.maxinteger)",
	    "local x = (''):rep(1 << 40, '')",
	    "table.move({}, 1, math.maxinteger - 1, 2, {})",
	    "local s = ('a'):rep(40000) local x = s:find(('a*'):rep(20) .. 'b')",
	    "local s = ('a'):rep(3000) local x = s:match('.-.-.-.-b')",
	    "local s = ('a'):rep(3000) local x = s:gsub('a*a*a*b', '')",
	    "local s = ('a'):rep(3000) for w in s:gmatch('(a*)(a*)(a*)b') do end",
	    "local s = ('('):rep(30000) while true do local x = s:find('%b()') end",
	    "local t = {} for i = 1, 100000 do t[i] = i % 7 end while true do table.sort(t) end",
	    /* What comes instead of a match may be nothing, many times. */
	    "local x = ('a'):rep(200000):gsub('b*', ('%0'):rep(200000))",
	    /* What stands behind %b may look like a set. */
	    "local s = '[]' .. ('a'):rep(3000) local x = s:find('%b[].-.-.-.-.-x]')",
	    "local s = ('a'):rep(200000) local x = s:find('[' .. ('b'):rep(200000) .. ']')",
	    "local s = ('a'):rep(200000) local x = s:match('^[' .. ('b'):rep(200000) .. 'a]*')",
	    /* Few texts, compared often. */
	    "local a = ('x'):rep(1000000) local t = {a .. 'a', a .. 'b'}\n"
	    "for i = 3, 20000 do t[i] = t[i % 2 + 1] end table.sort(t)",
	    "local a = ('x'):rep(1000000) local t = {}\n"
	    "for i = 1, 20000 do t[i] = a end table.sort(t, string.lower)",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++)
		rejects(ways[i], "it took more than");
	rejects("local t = {} for i = 1, 100000 do t[i] = i end "
		"while true do table.insert(t, 1, 0) table.remove(t) end",
	    "it took more than");
	/* One text, many times in a set: it ends where the image does. */
	rejects("local a = ('x'):rep(2000000) local t = {}\n"
		"for i = 1, 20000 do t[i] = a end record.new.x = slipring.ss(t) return record",
	    "record.new.x: the image is too large");
	/* An iterator that has come to its end does not search again. */
	rejects("local s = ('a'):rep(1500) local f = s:gmatch('a-b') while true do f() end",
	    "it took more than 1000000 instructions");
	/* The hook's blindness: an instruction that compares two megabytes. */
	rejects_with("memory: 64MiB\ninstructions: 1000000000\n",
	    "local a, b = ('a'):rep(2000000), ('a'):rep(1999999) .. 'a'\n"
	    "while true do local x = a == b end",
	    "it took more than a second");
}

/* Each is short; a thousand of them, before the hook looks at the clock, are not. */
static void
test_many_long_calls(void **state)
{
	static const char *const ways[] = {
	    "local t = {} for i = 1, 300000 do t[i] = i + 0.1 end\n"
	    "while true do local x = table.concat(t) end",
	    "local s = ('a'):rep(16000000) while true do local x = utf8.len(s) end",
	    "local s = ('a'):rep(8000000) while true do local x = ('%q'):format(s) end",
	    "local a = slipring.bytes(('a'):rep(6000000))\n"
	    "local b = slipring.bytes(('a'):rep(6000000)) while true do local x = a == b end",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		clock_t began = clock();
		long seconds;

		rejects_with("memory: 64MiB\ninstructions: 1000000000\n", ways[i],
		    "it took more than a second");
		seconds = (long)((clock() - began) / CLOCKS_PER_SEC);
		if (seconds > 4)
			fail_msg("%ld s: %s", seconds, ways[i]);
	}
}

static void
test_ordinary_patterns(void **state)
{
	(void)state;
	keeps(
	    "local y, m, d = ('2026-11-21T10:00:00Z'):match('^(%d+)-(%d+)-(%d+)T')\n"
	    "assert(y == '2026' and m == '11' and d == '21')\n"
	    "local long = ('ab cd  '):rep(20000)\n"
	    "assert(#long:gsub(' +', ' ') == 120000)\n"
	    "assert(select(2, long:gsub('%s+', '')) == 40000)\n"
	    "assert(('  trim me '):match('^%s*(.-)%s*$') == 'trim me')\n"
	    "assert(('a@b.example'):find('^[%w.]+@[%w.]+$') == 1)\n"
	    "local n = 0 for w in ('one two  three'):gmatch('%a+') do n = n + 1 end\n"
	    "assert(n == 3)\n"
	    "local it = ('a b'):gmatch('%a') assert(it() == 'a' and it() == 'b' and it() == nil and"
	    " it() == nil)\n"
	    "assert(('k=v; x=y'):gsub('(%w+)=(%w+)', '%2=%1') == 'v=k; y=x')\n"
	    "assert(('a.b'):find('.', 1, true) == 2 and ('a+b'):gsub('%+', '-') == 'a-b')\n"
	    "assert(('f(a(b)c)d'):match('%b()') == '(a(b)c)')\n"
	    "assert(('x'):rep(3, ',') == 'x,x,x' and ('x'):rep(-5) == '')\n"
	    "assert(('THE (quick) fox'):find('%f[%a]%a+%f[%A]', 5) == 6)\n"
	    "assert(('say \"x\" or \\'y\\''):match('([\"\\'])(.-)%1') == '\"')\n"
	    "assert(('a1b22'):gsub('%d+', '<%0>', 1) == 'a<1>b22')\n"
	    "return record");
}

/* Work that is not done is not charged. */
static void
test_ordinary_tables(void **state)
{
	(void)state;
	keeps("local t = {} for i = 1, 20000 do table.insert(t, i) end\n"
	      "assert(#t == 20000)\n"
	      "for i = 1, 20000 do table.remove(t) end\n"
	      "assert(#t == 0)\n"
	      "for i = 1, 2000 do t[i] = 'order#' .. (i * 7919 % 2000) end\n"
	      "table.sort(t)\n"
	      "table.sort(t, function(a, b) return a > b end)\n"
	      "assert(t[1] == 'order#999' and t[2000] == 'order#0')\n"
	      "table.insert(t, 1, 'first') assert(table.remove(t, 1) == 'first')\n"
	      "assert(not pcall(table.insert, t, 5000, 1) and not pcall(table.insert, t))\n"
	      "assert(not pcall(table.remove, t, 5000) and not pcall(table.insert, nil, 1))\n"
	      "return record");
}

static void
test_memory(void **state)
{
	static const char *const ways[] = {
	    "local t = {} for i = 1, 1e9 do t[i] = i end",
	    "local s = 'x' while true do s = s .. s end",
	    "local x = ('x'):rep(100000000)",
	    "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
	    "local function f(n) return 1 + f(n + 1) end f(1)",
	    "local t = table.pack(table.unpack({}, 1, 900000))",
	    "keep = keep or {} while true do keep[#keep + 1] = {keep} end",
	    "while true do pcall(string.rep, 'x', 1 << 30) end",
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		struct page *p = page_with(ARTICLE, MODIFY);
		struct script s;

		opened(&s, "", ways[i]);
		for (int n = 0; n < 3; n++) {
			struct record r = p->records[0];

			assert_int_equal(apply(&s, &r), FILTER_REJECT);
			if (strstr(s.e.text, "memory") == NULL &&
			    strstr(s.e.text, "stack overflow") == NULL &&
			    strstr(s.e.text, "too many results") == NULL &&
			    strstr(s.e.text, "instructions") == NULL)
				fail_msg("%s\nin: %s", s.e.text, ways[i]);
		}
		close_script(&s);
		page_unref(p);
	}
	assert_int_equal(once("", "local x = ('x'):rep(100000000)", &e), FILTER_REJECT);
}

/* What a script keeps for itself cannot lame it for good. */
static void
test_a_full_script_begins_anew(void **state)
{
	struct page *p = page_with(ARTICLE, MODIFY);
	struct script s;
	unsigned refused = 0, kept = 0;

	(void)state;
	assert_int_equal(try_open(&s, "memory: 256KiB\n",
			     "local all = {}\n"
			     "function change(r) all[#all + 1] = r return r end"),
	    0);
	for (int i = 0; i < 2000; i++) {
		struct record r = p->records[0];
		enum filter_verdict v = apply(&s, &r);

		assert_true(v == FILTER_KEEP || v == FILTER_REJECT);
		kept += v == FILTER_KEEP;
		refused += v == FILTER_REJECT;
	}
	assert_true(refused > 2);
	assert_true(kept > 10 * refused);
	close_script(&s);
	page_unref(p);
}

/* After any error the next record is served as ever. */
static void
test_goes_on(void **state)
{
	struct page *p = page_with(ARTICLE, MODIFY);
	struct script s;

	(void)state;
	opened(&s, "instructions: 10000\n",
	    "n = (n or 0) + 1\n"
	    "if n % 4 == 1 then while true do end end\n"
	    "if n % 4 == 2 then error('no') end\n"
	    "if n % 4 == 3 then local x = ('x'):rep(1000) record.new.x = 1.5 end\n"
	    "return record");
	for (int i = 1; i <= 40; i++) {
		struct record r = p->records[0];

		assert_int_equal(apply(&s, &r), i % 4 == 0 ? FILTER_KEEP : FILTER_REJECT);
	}
	close_script(&s);
	page_unref(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_verdicts),
	    cmocka_unit_test(test_old_image),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_wrong_values),
	    cmocka_unit_test(test_keys_stay),
	    cmocka_unit_test(test_no_image_appears),
	    cmocka_unit_test(test_decimals),
	    cmocka_unit_test(test_decimals_at_random),
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_errors_say_where),
	    cmocka_unit_test(test_errors_say_no_more),
	    cmocka_unit_test(test_refused_at_the_start),
	    cmocka_unit_test(test_files),
	    cmocka_unit_test(test_nothing_else_is_there),
	    cmocka_unit_test(test_loops),
	    cmocka_unit_test(test_long_calls),
	    cmocka_unit_test(test_many_long_calls),
	    cmocka_unit_test(test_ordinary_patterns),
	    cmocka_unit_test(test_ordinary_tables),
	    cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_a_full_script_begins_anew),
	    cmocka_unit_test(test_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
