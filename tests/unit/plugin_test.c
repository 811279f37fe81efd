/* tests/unit/plugin_test.c - plug-ins as strangers build them: plugin.h and one source
 * file in a directory of their own, a compiler, nothing else. What is wrong with a file
 * is said before it runs; what it answers costs a record at most.
 */
#include "tests/unit/record_support.h"

#include <errno.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/filter.h"
#include "filters/plugin.h"
#include "filters/verify.h"

static char dir[64];
static struct err e;
static struct buf lines = {.max = 1 << 20}; /* of the log */

static const struct key_schema schema = {.names = {NULL, NULL}};
static const struct origin origin = {
    .stream = "orders", .table = "the-orders", .shard = "s", .schema = &schema};

#define KEYS ",\"Keys\":{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1.0\"}}"
#define ITEM(more) "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1.0\"}" more "}"
#define MODIFY ",\"eventName\":\"MODIFY\""

/* ---- building ---- */

static void
copy_file(const char *from, const char *to)
{
	struct buf b = BUF_INIT(1 << 20);
	FILE *f = fopen(from, "re");
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		buf_add_char(&b, (char)c);
	(void)fclose(f);
	f = fopen(to, "we");
	assert_non_null(f);
	assert_int_equal(fwrite(b.p, 1, b.n, f), b.n);
	assert_int_equal(fclose(f), 0);
	buf_close(&b);
}

static const char *
in_dir(const char *name)
{
	static char path[4][128];
	static unsigned turn;

	turn = (turn + 1) % 4;
	(void)snprintf(path[turn], sizeof path[0], "%s/%s", dir, name);
	return path[turn];
}

static int
spawn(const char *const *argv)
{
	int status = -1;
	pid_t pid;

	assert_int_equal(
	    posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)(uintptr_t)argv, environ), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* source.c of tests/plugin/ becomes as.so; its path. */
static const char *
build(const char *source, const char *as, const char *flag)
{
	char from[128], object[64], c[64];
	const char *cc = "gcc", *so;

	(void)snprintf(from, sizeof from, "tests/plugin/%s.c", source);
	(void)snprintf(c, sizeof c, "%s.c", source);
	(void)snprintf(object, sizeof object, "%s.so", as);
	copy_file(from, in_dir(c));
	so = in_dir(object);
	if (spawn((const char *const[]){cc, "-std=c99", "-O2", "-Wall", "-Wextra", "-Wpedantic",
		"-Werror", "-Wno-unused-function", "-fPIC", "-fvisibility=hidden", "-shared", "-I",
		dir, flag, "-o", so, in_dir(c), NULL}) != 0)
		fail_msg("%s %s does not build", source, flag);
	assert_int_equal(chmod(so, 0755), 0);
	return so;
}

static int
begin(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/slipring-plugin-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	assert_int_equal(mkdir(in_dir("slipring"), 0700), 0);
	copy_file("filters/plugin.h", in_dir("slipring/plugin.h"));
	(void)build("mask", "mask", "-DNDEBUG");
	(void)build("bad_record", "bad", "-DNDEBUG");
	return 0;
}

static int
end(void **state)
{
	(void)state;
	buf_close(&lines);
	return spawn((const char *const[]){"rm", "-r", dir, NULL});
}

/* ---- one filter ---- */

struct fixture {
	void *conf;
	struct filter *filter;
	struct page *page;
	struct record r;
	struct err why;
};

/* Text of a line alone; not to fail here, within the logger's lock. */
static void
on_line(void *ctx, enum log_level level, const char *line)
{
	const char *text = strstr(line, "msg=");
	bool quotes;

	(void)ctx;
	(void)level;
	text = text != NULL ? text + 4 : line;
	quotes = *text == '"';
	for (text += quotes; *text != '\0' && *text != (quotes ? '"' : ' '); text++) {
		text += *text == '\\';
		buf_add_char(&lines, *text);
	}
	buf_add_char(&lines, '\n');
}

/* more: YAML behind the path. */
static int
try_open(struct fixture *x, const char *path, const char *more)
{
	struct buf yaml = BUF_INIT(8192);
	struct conf_doc *doc;
	int r;

	*x = (struct fixture){.conf = mem_new(filter_plugin.conf_size)};
	buf_addf(&yaml, "path: %s\n%s", path, more);
	if (conf_parse(&doc, buf_slice(&yaml), "test.yaml", &e) != 0 ||
	    conf_fill(conf_root(doc), filter_plugin.keys, NULL, x->conf, &e) != 0)
		fail_msg("%s", e.text);
	conf_close(doc);
	buf_close(&yaml);
	log_set_sink(on_line, NULL);
	buf_reset(&lines);
	r = filter_plugin.check(x->conf, &e);
	return r != 0 ? r : filter_plugin.open(&x->filter, "mine", x->conf, &e);
}

static void
finish(struct fixture *x)
{
	filter_plugin.close(x->filter);
	if (x->page != NULL)
		page_unref(x->page);
	conf_wipe(filter_plugin.keys, x->conf);
	free(x->conf);
	log_set_sink(NULL, NULL);
}

static void
start(struct fixture *x, const char *object, const char *more)
{
	if (try_open(x, in_dir(object), more) != 0)
		fail_msg("%s", e.text);
}

static enum filter_verdict
apply(struct fixture *x, const char *dynamodb, const char *outside)
{
	if (x->page != NULL)
		page_unref(x->page);
	x->page = page_with(dynamodb, outside);
	x->r = x->page->records[0];
	x->why.text[0] = '\0';
	return filter_plugin.apply(x->filter, &x->r, &origin, &x->why);
}

static void
says(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("have: %s\nwant: %s", text, part);
}

static void
refused(const char *path, const char *more, enum err_code code, const char *part)
{
	struct fixture x;

	if (try_open(&x, path, more) == 0)
		fail_msg("%s was taken; it should be: %s", path, part);
	says(e.text, part);
	assert_null(strchr(e.text, '\n'));
	assert_int_equal(e.code, code);
	finish(&x);
}

/* ---- loading ---- */

static void
what_is_no_plugin_is_refused(void **state)
{
	char path[128];

	(void)state;
	refused("mask.so", "", ERR_CONFIG, "path \"mask.so\" must be absolute");
	refused("./mask.so", "", ERR_CONFIG, "must be absolute");
	refused("/usr/$LIB/mask.so", "", ERR_CONFIG, "holds a $");
	refused(in_dir("none.so"), "", ERR_CONFIG, "none.so: No such file or directory");
	refused(dir, "", ERR_CONFIG, "is no regular file");
	copy_file("filters/plugin.h", in_dir("text.so"));
	assert_int_equal(chmod(in_dir("text.so"), 0644), 0);
	refused(in_dir("text.so"), "", ERR_CONFIG, "text.so: invalid ELF header");
	/* Cut in the middle. */
	copy_file(in_dir("mask.so"), in_dir("cut.so"));
	assert_int_equal(truncate(in_dir("cut.so"), 100), 0);
	assert_int_equal(chmod(in_dir("cut.so"), 0755), 0);
	refused(in_dir("cut.so"), "", ERR_CONFIG, "cut.so: ");
	(void)snprintf(path, sizeof path, "%s", build("bad_symbol", "undefined", "-DUNDEFINED"));
	refused(path, "", ERR_CONFIG, "undefined symbol: slipring_no_such_function");
}

static void
who_may_write_it_may_run_here(void **state)
{
	static const mode_t modes[] = {0775, 0757, 0666};
	const char *so = in_dir("open.so");
	struct fixture x;

	(void)state;
	copy_file(in_dir("mask.so"), so);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		assert_int_equal(chmod(so, modes[i]), 0);
		refused(so, "", ERR_CONFIG, "may be written by others than its owner");
	}
	assert_int_equal(chmod(so, 0755), 0);
	start(&x, "open.so", "options: {attribute: mail}");
	finish(&x);
}

static void
the_struct_is_looked_at_before_it_is_used(void **state)
{
	static const struct {
		const char *flag, *part;
		enum err_code code;
	} cases[] = {
	    {"-DNO_SYMBOL", "has no symbol slipring_plugin", ERR_CONFIG},
	    {"-DA_FUNCTION", "slipring_plugin is not a struct slipring_plugin", ERR_CONFIG},
	    {"-DSMALL", "slipring_plugin is not a struct slipring_plugin", ERR_CONFIG},
	    {"-DABI=7", "was built for ABI 7, this program has ABI 1: build it anew", ERR_CONFIG},
	    {"-DABI=0", "was built for ABI 0, this program has ABI 1", ERR_CONFIG},
	    {"-DSIZE=12", "slipring_plugin.size is 12, at least", ERR_CONFIG},
	    {"-DSIZE=4000", "slipring_plugin.size is 4000, at least", ERR_CONFIG},
	    {"-DNO_OPEN", ": open is NULL", ERR_CONFIG},
	    {"-DNO_APPLY", ": apply is NULL", ERR_CONFIG},
	    {"-DNO_CLOSE", ": close is NULL", ERR_CONFIG},
	};
	char as[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		(void)snprintf(as, sizeof as, "symbol%zu", i);
		refused(build("bad_symbol", as, cases[i].flag), "", cases[i].code, cases[i].part);
	}
}

static void
open_may_fail_and_say_why(void **state)
{
	const char *so = in_dir("bad.so");

	(void)state;
	refused(so, "options: {do: fail}", ERR_CONFIG, "does not open: no licence for \"mine\"");
	says(e.text, "second");
	assert_null(strchr(e.text, '\x1b'));
	refused(
	    so, "options: {do: fail-silently}", ERR_CONFIG, "does not open: it does not say why");
	refused(so, "options: {do: fail-unterminated}", ERR_CONFIG, "does not open: xxx");
	refused(in_dir("mask.so"), "", ERR_CONFIG, "option \"attribute\" is missing");
	refused(in_dir("mask.so"), "options: {attribute: a, hide: b}", ERR_CONFIG,
	    "option \"hide\" is not known");
}

/* ---- what the host says ---- */

static void
a_plugin_sees_the_record(void **state)
{
	static const char want[] =
	    "event 2, time 1700000000000000, expired 0\nsequence: " SEQ21 "\n"
	    "stream: orders\ntable: the-orders\n"
	    "keys: {\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1.0\"}}\n"
	    "new: {\"pk\":{\"S\":\"a\"},\"a.b\":{\"BOOL\":true},\"m\":{\"M\":{\"s\":{\"S\":\"x"
	    "\\u0062c\"},\"n\":{\"N\":\"1.50\"},\"l\":{\"L\":[{\"N\":\"1\"},{\"S\":\"z\"}]}}}}\n"
	    "old: absent\npart 7: absent\npk: {\"S\":\"a\"}\na.b: {\"BOOL\":true}\n"
	    "old pk: absent\nm.l[1]: {\"S\":\"z\"}\nm.l[2]: absent\nm.x: absent\n"
	    "of nothing: absent\nof no map: absent\nof no list: absent\n"
	    "s: 3 xbc\ns in 2: 8 \nn: 4 1.50\nl: -1 \nnothing: -1 \nlevel 99\n";
	/* The handle that it kept says nothing any more. */
	static const char after[] =
	    "event 0, time 0, expired 0\nsequence: absent\nstream: absent\ntable: absent\n"
	    "keys: absent\nnew: absent\nold: absent\npart 7: absent\npk: absent\na.b: absent\n"
	    "old pk: absent\nkept: absent\n";
	struct fixture x;

	(void)state;
	start(&x, "bad.so", "options: {do: print}");
	says(buf_cstr(&lines), "bad record 0.1 from ");
	buf_reset(&lines);
	assert_int_equal(
	    apply(&x,
		",\"ApproximateCreationDateTime\":1700000000" KEYS
		",\"NewImage\":{\"pk\":{\"S\":\"a\"},\"a.b\":{\"BOOL\":true},\"m\":{\"M\":{\"s\":"
		"{\"S\":\"x\\u0062c\"},\"n\":{\"N\":\"1.50\"},\"l\":{\"L\":[{\"N\":\"1\"},"
		"{\"S\":\"z\"}]}}}}",
		MODIFY),
	    FILTER_KEEP);
	assert_string_equal(buf_cstr(&lines), want);
	buf_reset(&lines);
	finish(&x);
	assert_string_equal(buf_cstr(&lines), after);
}

/* ---- what a plug-in answers ---- */

static void
verdicts(void **state)
{
	static const struct {
		const char *what;
		enum filter_verdict verdict;
		const char *why;
	} cases[] = {
	    {"keep", FILTER_KEEP, NULL},
	    {"drop", FILTER_DROP, NULL},
	    {"nonsense", FILTER_REJECT, "the plug-in answered 42, which is no verdict"},
	    {"zero", FILTER_REJECT, "the plug-in answered 0, which is no verdict"},
	    {"reject", FILTER_REJECT, "the plug-in rejects it and does not say why"},
	    {"reject-null", FILTER_REJECT, "the plug-in rejects it and does not say why"},
	    {"reject-and-keep", FILTER_REJECT, "first"},
	    {"large", FILTER_REJECT, "5242880 bytes; 2 to 4194304 are allowed"},
	    {"none", FILTER_REJECT, "0 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char more[64];
		struct fixture x;

		(void)snprintf(more, sizeof more, "options: {do: %s}", cases[i].what);
		start(&x, "bad.so", more);
		for (int twice = 0; twice < 2; twice++) {
			assert_int_equal(
			    apply(&x, KEYS ",\"NewImage\":" ITEM(""), MODIFY), cases[i].verdict);
			if (cases[i].why != NULL)
				says(x.why.text, cases[i].why);
			assert_null(strstr(x.why.text, "second"));
			assert_null(strchr(x.why.text, '\n'));
		}
		finish(&x);
	}
}

/* Replaces by `json`; what became of it is in x. */
static enum filter_verdict
replace(struct fixture *x, const char *what, const char *json)
{
	struct buf more = BUF_INIT(8192);
	enum filter_verdict v;

	buf_addf(&more, "options:\n  do: %s\n  json: ", what);
	buf_add_json_string(&more, slice_of(json));
	buf_add_str(&more, "\n");
	start(x, "bad.so", buf_cstr(&more));
	buf_close(&more);
	v = apply(x, KEYS ",\"NewImage\":" ITEM("") ",\"OldImage\":" ITEM(",\"o\":{\"S\":\"o\"}"),
	    MODIFY);
	return v;
}

static void
images_are_replaced(void **state)
{
	static const char json[] = ITEM(",\"x\":{\"NS\":[\"1\",\"2\"]},\"\":{\"S\":\"\"}");
	/* The same key, otherwise written. */
	static const char other[] = "{\"\\u0070k\":{\"S\":\"\\u0061\"},\"sk\":{\"N\":\"1\"}}";
	struct fixture x;

	(void)state;
	assert_int_equal(replace(&x, "new", json), FILTER_REWRITE);
	assert_slice(x.r.new_image, json);
	assert_slice(x.r.old_image, ITEM(",\"o\":{\"S\":\"o\"}"));
	finish(&x);
	assert_int_equal(replace(&x, "old", json), FILTER_REWRITE);
	assert_slice(x.r.old_image, json);
	assert_slice(x.r.new_image, ITEM(""));
	finish(&x);
	assert_int_equal(replace(&x, "both", other), FILTER_REWRITE);
	assert_slice(x.r.new_image, other);
	assert_slice(x.r.old_image, other);
	assert_slice(x.r.keys, "{\"pk\":{\"S\":\"a\"},\"sk\":{\"N\":\"1.0\"}}");
	finish(&x);
	assert_int_equal(replace(&x, "thrice", json), FILTER_REWRITE);
	assert_slice(x.r.new_image, json);
	/* What was said of one record is not said of the next. */
	assert_int_equal(apply(&x, KEYS, MODIFY), FILTER_REJECT);
	says(x.why.text, "an image that the record does not have");
	assert_int_equal(apply(&x, KEYS ",\"NewImage\":" ITEM(""), MODIFY), FILTER_REWRITE);
	finish(&x);
}

static void
an_image_that_is_none_is_refused(void **state)
{
	static const char *const cases[][2] = {
	    {"", "not well-formed JSON"},
	    {"{", "not well-formed JSON"},
	    {"[]", "does not begin with {"},
	    {" {}", "does not begin with {"},
	    {ITEM("") "x", "not well-formed"},
	    {ITEM(",\"x\":1"), "byte 37: not a value with one type"},
	    {ITEM(",\"x\":{}"), "not a value with one type"},
	    {ITEM(",\"x\":{\"Q\":\"1\"}"), "not a value with one type"},
	    {ITEM(",\"x\":{\"S\":1}"), "not a value with one type"},
	    {ITEM(",\"x\":{\"S\":\"1\",\"N\":\"1\"}"), "not a value with one type"},
	    {ITEM(",\"x\":{\"N\":\"one\"}"), "N holds no number"},
	    {ITEM(",\"x\":{\"N\":\"\"}"), "N holds no number"},
	    {ITEM(",\"x\":{\"B\":\"a\"}"), "B holds no base64"},
	    {ITEM(",\"x\":{\"NULL\":false}"), "NULL is not true"},
	    {ITEM(",\"x\":{\"SS\":[]}"), "a set is empty"},
	    {ITEM(",\"x\":{\"SS\":[1]}"), "a set holds something that is no text"},
	    {ITEM(",\"x\":{\"SS\":[\"a\",\"\\u0061\"]}"), "a set has an element twice"},
	    {ITEM(",\"x\":{\"NS\":[\"1\",\"2\",\"1.0\"]}"), "a set has an element twice"},
	    {ITEM(",\"x\":{\"NS\":[\"x\"]}"), "N holds no number"},
	    {ITEM(",\"x\":{\"BS\":[\"x\"]}"), "B holds no base64"},
	    {ITEM(",\"x\":{\"L\":[{\"S\":\"\"},{\"M\":{\"y\":{\"N\":\"z\"}}}]}"),
		"N holds no number"},
	    {ITEM(
		 ",\"x\":{\"M\":{\"y\":{\"S\":\"\"},\"z\":{\"S\":\"\"},\"\\u0079\":{\"S\":\"\"}}}"),
		"an attribute is in there twice"},
	    {ITEM(",\"pk\":{\"S\":\"a\"}"), "an attribute is in there twice"},
	    {"{\"sk\":{\"N\":\"1\"}}", "the key attribute \"pk\" is missing"},
	    {"{\"pk\":{\"S\":\"b\"},\"sk\":{\"N\":\"1\"}}",
		"the key attribute \"pk\" has another value"},
	    {"{\"pk\":{\"S\":\"a\"},\"sk\":{\"S\":\"1.0\"}}",
		"the key attribute \"sk\" has another value"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture x;

		if (replace(&x, "new", cases[i][0]) != FILTER_REJECT)
			fail_msg("%s was taken", cases[i][0]);
		says(x.why.text, "it replaced the new image by what is none: ");
		says(x.why.text, cases[i][1]);
		finish(&x);
	}
}

/* x is L in L in L ... in an image: levels of them. */
static int
nested(unsigned levels)
{
	struct buf b = BUF_INIT(1 << 16);
	struct verify v;
	int r;

	verify_init(&v, 1 << 16);
	buf_add_str(&b, "{\"x\":");
	for (unsigned i = 1; i < levels; i++)
		buf_add_str(&b, "{\"L\":[");
	buf_add_str(&b, "{\"S\":\"\"}");
	for (unsigned i = 1; i < levels; i++)
		buf_add_str(&b, "]}");
	buf_add_str(&b, "}");
	r = verify_image(&v, buf_slice(&b), SLICE_LIT("{}"), &e);
	verify_close(&v);
	buf_close(&b);
	return r;
}

static void
what_the_verifier_bounds(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	struct verify v;

	(void)state;
	assert_int_equal(nested(32), 0);
	assert_int_equal(nested(33), -1);
	says(e.text, "nested deeper than 32 levels");
	assert_int_equal(nested(5000), -1);
	verify_init(&v, 1 << 20);
	assert_int_equal(
	    verify_image(&v, SLICE_LIT("{\"x\":{\"S\":\"\xff\"}}"), SLICE_LIT("{}"), &e), -1);
	says(e.text, "not well-formed JSON");
	/* Short to write, long in canonical form; and many of them. */
	buf_add_str(&b, "{\"x\":{\"NS\":[\"0\"");
	for (unsigned i = 1; i < 20000; i++)
		buf_addf(&b, ",\"%ue20\"", i);
	buf_add_str(&b, "]}");
	for (unsigned i = 0; i < 5000; i++)
		buf_addf(&b, ",\"a%u\":{\"N\":\"\\u0031e30\"}", i);
	buf_add_str(&b, "}");
	if (verify_image(&v, buf_slice(&b), SLICE_LIT("{}"), &e) != 0)
		fail_msg("%s", e.text);
	verify_close(&v);
	verify_init(&v, b.n - 1);
	assert_int_equal(verify_image(&v, buf_slice(&b), SLICE_LIT("{}"), &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	verify_close(&v);
	buf_close(&b);
}

static void
an_image_that_is_not_there_cannot_be_replaced(void **state)
{
	struct fixture x;

	(void)state;
	assert_int_equal(replace(&x, "keys", "{\"pk\":{\"S\":\"b\"}}"), FILTER_REJECT);
	says(x.why.text, "it replaced an image that the record does not have");
	finish(&x);
	assert_int_equal(replace(&x, "old", ITEM("")), FILTER_REWRITE);
	assert_int_equal(apply(&x, KEYS ",\"NewImage\":" ITEM(""), MODIFY), FILTER_REJECT);
	says(x.why.text, "it replaced an image that the record does not have");
	finish(&x);
}

/* ---- the sample ---- */

static void
the_sample_does_what_it_says(void **state)
{
	struct fixture x, y;

	(void)state;
	start(&x, "mask.so", "options: {attribute: mail, show: 4, unless: internal}");
	/* Another sink's: a state of its own. */
	start(&y, "mask.so", "options: {attribute: mail}");
	assert_int_equal(
	    apply(&x, KEYS ",\"NewImage\":" ITEM(",\"mail\":{\"S\":\"joe@x.org\"}"), MODIFY),
	    FILTER_REWRITE);
	assert_slice(x.r.new_image, ITEM(",\"mail\":{\"S\":\"*****.org\"}"));
	assert_int_equal(
	    apply(&y, KEYS ",\"NewImage\":" ITEM(",\"mail\":{\"S\":\"joe@x.org\"}"), MODIFY),
	    FILTER_REWRITE);
	assert_slice(y.r.new_image, ITEM(",\"mail\":{\"S\":\"*********\"}"));
	assert_int_equal(
	    apply(&x, KEYS ",\"OldImage\":" ITEM(",\"mail\":{\"S\":\"abcd\"}"), MODIFY),
	    FILTER_REWRITE);
	assert_slice(x.r.old_image, ITEM(",\"mail\":{\"S\":\"abcd\"}"));
	assert_int_equal(apply(&x, KEYS ",\"NewImage\":" ITEM(""), MODIFY), FILTER_KEEP);
	assert_int_equal(
	    apply(&x, KEYS ",\"NewImage\":" ITEM(",\"internal\":{\"BOOL\":true}"), MODIFY),
	    FILTER_DROP);
	assert_int_equal(
	    apply(&x, KEYS ",\"NewImage\":" ITEM(",\"mail\":{\"L\":[]}"), MODIFY), FILTER_REJECT);
	says(x.why.text, "the attribute to mask is no text");
	finish(&y);
	finish(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_no_plugin_is_refused),
	    cmocka_unit_test(who_may_write_it_may_run_here),
	    cmocka_unit_test(the_struct_is_looked_at_before_it_is_used),
	    cmocka_unit_test(open_may_fail_and_say_why),
	    cmocka_unit_test(a_plugin_sees_the_record),
	    cmocka_unit_test(verdicts),
	    cmocka_unit_test(images_are_replaced),
	    cmocka_unit_test(an_image_that_is_none_is_refused),
	    cmocka_unit_test(what_the_verifier_bounds),
	    cmocka_unit_test(an_image_that_is_not_there_cannot_be_replaced),
	    cmocka_unit_test(the_sample_does_what_it_says),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
