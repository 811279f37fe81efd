/* tests/unit/conf_test.c - values, tables, places in messages, hostile YAML,
 * and that what is written can be read back.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/secret.h"

struct sample {
	char *table, *arn;
	struct secret password;
	bool gzip;
	int64_t records, idle, memory;
	int start;
	struct conf_list from;
	struct conf_map properties;
};

static const char *const start_words[] = {"trim-horizon", "latest", NULL};

#define AT(member) .ofs = offsetof(struct sample, member)
static const struct conf_key keys[] = {
    {.name = "table", .type = CONF_STR, AT(table), .doc = "The table."},
    {.name = "arn", .type = CONF_STR, AT(arn), .doc = "Or the stream."},
    {.name = "password", .type = CONF_SECRET, AT(password), .doc = "Not shown."},
    {.name = "gzip", .type = CONF_BOOL, AT(gzip), .def = "yes", .doc = "Smaller answers."},
    {.name = "poll.records",
	.type = CONF_INT,
	AT(records),
	.def = "1000",
	.min = 1,
	.max = 1000,
	.doc = "Records a page."},
    {.name = "poll.idle",
	.type = CONF_DURATION,
	AT(idle),
	.def = "1s",
	.min = 50000,
	.max = 3600000000,
	.doc = "Wait when idle."},
    {.name = "memory", .type = CONF_SIZE, AT(memory), .def = "64MiB", .doc = "Bytes held."},
    {.name = "start",
	.type = CONF_ENUM,
	AT(start),
	.def = "latest",
	.words = start_words,
	.doc = "Where to begin."},
    {.name = "from", .type = CONF_LIST, AT(from), .flags = CONF_REQUIRED, .doc = "Streams."},
    {.name = "properties",
	.type = CONF_MAP,
	AT(properties),
	.flags = CONF_HIDE,
	.doc = "Any of the library's."},
    {.name = NULL},
};
static const char *const elsewhere[] = {"type", "filters", NULL};

static struct sample s;
static struct err e;

static int
fill(const char *yaml)
{
	struct conf_doc *d;
	int r;

	memset(&e, 0, sizeof e);
	memset(&s, 0, sizeof s);
	if (conf_parse(&d, slice_of(yaml), "t.yaml", &e) != 0)
		return -1;
	r = conf_fill(conf_root(d), keys, elsewhere, &s, &e);
	conf_close(d);
	return r;
}

static void
refused(const char *yaml, const char *message)
{
	static const struct sample empty;

	assert_int_equal(fill(yaml), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	assert_string_equal(e.text, message);
	assert_memory_equal(&s, &empty, sizeof s);
}

static void
accepted(const char *yaml)
{
	if (fill(yaml) != 0)
		fail_msg("%s", e.text);
}

static void
fills_every_type(void **state)
{
	(void)state;
	accepted("table: orders\npassword: 'p w'\ngzip: Off\npoll.records: 10\npoll.idle: 250ms\n"
		 "memory: 16K\nstart: trim-horizon\nfrom: [a, b]\ntype: audit\n");
	assert_string_equal(s.table, "orders");
	assert_null(s.arn);
	assert_string_equal(s.password.bytes, "p w");
	assert_false(s.gzip);
	assert_int_equal(s.records, 10);
	assert_int_equal(s.idle, 250000);
	assert_int_equal(s.memory, 16384);
	assert_int_equal(s.start, 0);
	assert_int_equal(s.from.n, 2);
	assert_string_equal(s.from.v[1], "b");
	conf_wipe(keys, &s);
	assert_null(s.table);
	assert_null(s.password.bytes);
	assert_null(s.from.v);
}

static void
a_byte_order_mark_is_passed_over(void **state)
{
	(void)state;
	accepted("\xef\xbb\xbf"
		 "from: [a]\ntable: orders\n");
	assert_string_equal(s.table, "orders");
	conf_wipe(keys, &s);
	refused("\xef\xbb\xbf"
		"from: a\ntabel: x\n",
	    "t.yaml:2:1: unknown key \"tabel\"; did you mean \"table\"?");
}

static void
defaults_and_single_item_list(void **state)
{
	(void)state;
	accepted("from: orders");
	assert_true(s.gzip);
	assert_int_equal(s.records, 1000);
	assert_int_equal(s.idle, 1000000);
	assert_int_equal(s.memory, 64 << 20);
	assert_int_equal(s.start, 1);
	assert_int_equal(s.from.n, 1);
	conf_wipe(keys, &s);
}

static void
dotted_and_nested(void **state)
{
	(void)state;
	accepted("from: a\npoll:\n  idle: 2s\n  records: 5\n");
	assert_int_equal(s.idle, 2000000);
	assert_int_equal(s.records, 5);
	conf_wipe(keys, &s);
	accepted("from: a\npoll: {idle: 2s}\npoll.records: 5\n");
	assert_int_equal(s.records, 5);
	conf_wipe(keys, &s);
	refused("from: a\npoll:\n  idel: 2s\n",
	    "t.yaml:3:3: unknown key \"idel\"; did you mean \"idle\"?");
	refused("from: a\npoll:\n  type: x\n",
	    "t.yaml:3:3: unknown key \"type\"; known here: records "
	    "or idle");
	refused("from: a\npoll.idle: 1s\npoll:\n  idle: 2s\n",
	    "t.yaml:4:3: \"poll.idle\" is set twice, first on line 2; remove one of them");
	refused(
	    "from: a\npoll: 5s\n", "t.yaml:2:7: \"poll\" groups other keys; indent them below it");
}

static void
unknown_and_duplicate_keys(void **state)
{
	(void)state;
	refused(
	    "from: a\ntabel: x\n", "t.yaml:2:1: unknown key \"tabel\"; did you mean \"table\"?");
	refused("from: a\n  \nfilter: x\n",
	    "t.yaml:3:1: unknown key \"filter\"; did you mean \"filters\"?");
	refused("from: a\npoll.idel: 1s\n",
	    "t.yaml:2:1: unknown key \"poll.idel\"; did you mean \"poll.idle\"?");
	refused("from: a\nplol: {idle: 1s}\n",
	    "t.yaml:2:1: unknown key \"plol\"; did you mean \"poll\"?");
	refused("from: a\nzzzzzzzz: x\n",
	    "t.yaml:2:1: unknown key \"zzzzzzzz\"; known here: table, arn, password, gzip, "
	    "poll.records, poll.idle, memory, start, from, properties, type or filters");
	refused("from: a\n\"z\\e[2J\": x\n",
	    "t.yaml:2:1: unknown key \"z\\u001b[2J\"; known here: table, arn, password, gzip, "
	    "poll.records, poll.idle, memory, start, from, properties, type or filters");
	refused("from: a\ngzip: on\nfrom: b\n",
	    "t.yaml:3:1: duplicate key \"from\", first on line 1; remove one of them");
	refused("gzip: on\n", "t.yaml:1:1: \"from\" is missing; it must be a list, such as [a, b]");
}

static void
bad_values(void **state)
{
	(void)state;
	refused("from: a\nstart: latst\n",
	    "t.yaml:2:8: \"start\" cannot be \"latst\"; it is trim-horizon or latest");
	refused("from: a\ngzip: 1\n", "t.yaml:2:7: \"gzip\" cannot be \"1\"; it is true or false");
	refused("from: a\npoll.records: 0\n",
	    "t.yaml:2:15: \"poll.records\" is 0; it must be 1 to 1000");
	refused("from: a\npoll.records: 1e3\n",
	    "t.yaml:2:15: \"poll.records\": \"1e3\" is not a whole number");
	refused("from: a\npoll.idle: 5\n",
	    "t.yaml:2:12: \"poll.idle\": \"5\" has no unit; write for example 5s or 5ms");
	refused(
	    "from: a\npoll.idle: 2h\n", "t.yaml:2:12: \"poll.idle\" is 2h; it must be 50ms to 1h");
	refused("from: a\nmemory: 64MB\n",
	    "t.yaml:2:9: \"memory\": \"64MB\" is not a size; write a whole number of bytes, or one "
	    "with KiB, MiB or GiB, for example 64MiB");
	refused("from: a\nmemory: -1\n",
	    "t.yaml:2:9: \"memory\": \"-1\" is not a size; write a whole number of bytes, or one "
	    "with KiB, MiB or GiB, for example 64MiB");
	refused("from: a\ntable:\n",
	    "t.yaml:2:7: \"table\" has no value; write a text, or leave the key out");
	refused("from: a\ntable: ~\n",
	    "t.yaml:2:8: \"table\" has no value; write a text, or leave the key out");
	refused("from: a\ntable: [x]\n", "t.yaml:2:8: \"table\" is a list; it must be a text");
	refused("from: {a: b}\n",
	    "t.yaml:1:7: \"from\" is a mapping; it must be a list, such as "
	    "[a, b]");
	refused(
	    "from: [a, [b]]\n", "t.yaml:1:11: \"from\" is a list of single values, such as [a, b]");
	refused("from: []\n", "t.yaml:1:7: \"from\" must name at least one");
}

/* A wrong secret is not shown in the message. */
static void
secrets_stay_out_of_messages(void **state)
{
	(void)state;
	assert_int_equal(fill("from: a\npassword: [hush]\n"), -1);
	assert_null(strstr(e.text, "hush"));
	assert_int_equal(fill("password: hush\nfrom: []\n"), -1);
	assert_null(strstr(e.text, "hush"));
	assert_null(s.password.bytes);
}

static void
refused_yaml(const char *yaml, const char *part)
{
	struct conf_doc *d;

	memset(&e, 0, sizeof e);
	assert_int_equal(conf_parse(&d, slice_of(yaml), "t.yaml", &e), -1);
	assert_null(d);
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, e.text);
}

static void
yaml_that_surprises_is_refused(void **state)
{
	(void)state;
	refused_yaml("a: &x 1\n", "t.yaml:1:4: anchors (&name) are not accepted");
	refused_yaml("a: 1\nb: *x\n", "t.yaml:2:4: aliases (*name) are not accepted");
	refused_yaml("a: &x [1]\n", "t.yaml:1:4: anchors");
	refused_yaml("a: &x {b: 1}\n", "t.yaml:1:4: anchors");
	refused_yaml("a: !!str 1\n", "t.yaml:1:4: tags");
	refused_yaml("a: ! 1\n", "t.yaml:1:4: tags");
	refused_yaml("a: !x {b: c}\n", "t.yaml:1:4: tags");
	refused_yaml("a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document");
	refused_yaml("%YAML 1.1\n---\na: 1\n", "directives");
	refused_yaml("[a, b]: 1\n", "t.yaml:1:1: a key must be a word");
	refused_yaml("- a\n- b\n", "t.yaml:1:1: a configuration is a mapping");
	refused_yaml("just text\n", "t.yaml:1:1: a configuration is a mapping");
	refused_yaml("a: \"x\\0y\"\n", "t.yaml:1:4: the value holds a NUL character");
}

static void
broken_yaml_is_placed_and_explained(void **state)
{
	(void)state;
	refused_yaml("a:\n\tb: 1\n", "t.yaml:2:1: ");
	refused_yaml("a:\n\tb: 1\n", "; indent with spaces, not tabs");
	refused_yaml("a: 1\n  b: 2\n", "t.yaml:2:4: mapping values are not allowed");
	refused_yaml("a: [1, 2\nb: 3\n", "t.yaml:2:");
	refused_yaml("a: 'x\n", "t.yaml:2:1: ");
	refused_yaml("a: 1\nb: x\xff\n", "t.yaml:2:5: not UTF-8 text");
	refused_yaml("a: x\x01\n", "t.yaml:1:5: not UTF-8 text");
	refused_yaml("a: @x\n", "t.yaml:1:4: ");
}

static void
an_empty_file_is_an_empty_mapping(void **state)
{
	static const char *const empty[] = {
	    "", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "\xef\xbb\xbf"};
	struct conf_doc *d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(empty); i++) {
		assert_int_equal(conf_parse(&d, slice_of(empty[i]), "t", &e), 0);
		assert_int_equal(conf_root(d)->kind, CONF_MAPPING);
		assert_int_equal(conf_root(d)->count, 0);
		assert_null(conf_get(conf_root(d), "a"));
		conf_close(d);
	}
	conf_close(NULL);
}

static void
nodes_know_their_place(void **state)
{
	const struct conf_node *n;
	struct conf_doc *d;

	(void)state;
	assert_int_equal(
	    conf_parse(&d, SLICE_LIT("a: 1\n\xc3\xa9: x\nb:\n  - c\n  - 'd'\n"), "t", &e), 0);
	n = conf_get(conf_root(d), "\xc3\xa9");
	assert_int_equal(n->line, 2);
	assert_int_equal(n->column, 4); /* characters, not bytes */
	n = conf_get(conf_root(d), "b");
	assert_int_equal(n->kind, CONF_SEQUENCE);
	assert_int_equal(n->count, 2);
	assert_int_equal(n->values[1]->line, 5);
	assert_int_equal(n->values[1]->column, 5);
	assert_true(n->values[1]->quoted);
	assert_false(n->values[0]->quoted);
	assert_int_equal(conf_err(&e, n->values[1], "bad %d", 7), -1);
	assert_string_equal(e.text, "t:5:5: bad 7");
	conf_close(d);
}

static void
size_depth_and_count_are_bounded(void **state)
{
	struct buf b = BUF_INIT(4u << 20);
	struct conf_doc *d;

	(void)state;
	for (int i = 0; i < 1000; i++)
		buf_add_str(&b, "a: [");
	refused_yaml(buf_cstr(&b), "t.yaml:1:");
	buf_reset(&b);
	buf_add_str(&b, "a: ");
	for (unsigned i = 0; i < LIMIT_CONFIG_DEPTH + 1; i++)
		buf_add_char(&b, '[');
	for (unsigned i = 0; i < LIMIT_CONFIG_DEPTH + 1; i++)
		buf_add_char(&b, ']');
	refused_yaml(buf_cstr(&b), "nested too deeply");
	buf_reset(&b);
	buf_add_str(&b, "a: [");
	for (unsigned i = 0; i < LIMIT_CONFIG_NODES; i++)
		buf_add_str(&b, "1,");
	buf_add_str(&b, "1]\n");
	refused_yaml(buf_cstr(&b), "more keys and values");
	buf_reset(&b);
	while (b.n <= LIMIT_CONFIG_FILE)
		buf_add_str(&b, "# a comment that fills the file with nothing at all\n");
	refused_yaml(buf_cstr(&b), "t.yaml: larger than 1024 KiB");
	assert_int_equal(conf_parse(&d, (struct slice){b.p, LIMIT_CONFIG_FILE - 25}, "t", &e), 0);
	conf_close(d);
	buf_close(&b);
}

static void
files(void **state)
{
	char path[] = "/tmp/conf_test.XXXXXX";
	struct conf_doc *d;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "a: 1\n", 5), 5);
	assert_int_equal(conf_load(&d, path, &e), 0);
	assert_string_equal(conf_get(conf_root(d), "a")->text, "1");
	conf_close(d);
	assert_int_equal(ftruncate(fd, LIMIT_CONFIG_FILE + 10), 0);
	assert_int_equal(conf_load(&d, path, &e), -1);
	assert_non_null(strstr(e.text, "larger than"));
	(void)close(fd);
	(void)unlink(path);
	assert_int_equal(conf_load(&d, "/nonexistent/slipring.yaml", &e), -1);
	assert_null(d);
	assert_int_equal(e.code, ERR_CONFIG);
	assert_string_equal(e.text,
	    "/nonexistent/slipring.yaml: cannot be read: No such file or "
	    "directory");
	assert_int_equal(conf_load(&d, "/tmp", &e), -1);
	assert_string_equal(e.text, "/tmp: cannot be read: Is a directory");
}

static void
durations_and_sizes(void **state)
{
	static const struct {
		const char *text;
		int64_t duration, size; /* -1: refused */
	} t[] = {
	    {"0", 0, 0},
	    {"250ms", 250000, -1},
	    {"5s", 5000000, -1},
	    {"10m", 600000000, -1},
	    {"4h", INT64_C(14400000000), -1},
	    {"7d", INT64_C(604800000000), -1},
	    {"512", -1, 512},
	    {"64KiB", -1, 65536},
	    {"16MiB", -1, 16777216},
	    {"1GiB", -1, 1073741824},
	    {"1K", -1, 1024},
	    {"1M", -1, 1048576},
	    {"2G", -1, INT64_C(2147483648)},
	    {"", -1, -1},
	    {"ms", -1, -1},
	    {"-5s", -1, -1},
	    {"+5s", -1, -1},
	    {" 5s", -1, -1},
	    {"5 s", -1, -1},
	    {"1.5s", -1, -1},
	    {"5sx", -1, -1},
	    {"5S", -1, -1},
	    {"1kib", -1, -1},
	    {"0x10", -1, -1},
	    {"9223372036854775807", -1, INT64_MAX},
	    {"9223372036854775808", -1, -1},
	    {"9223372036854775807ms", -1, -1},
	    {"9223372036854775807K", -1, -1},
	    {"99999999999999999999999999s", -1, -1},
	};
	int64_t v;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		int r = conf_parse_duration(t[i].text, &v, &e);

		assert_int_equal(r, t[i].duration < 0 ? -1 : 0);
		if (r == 0)
			assert_int_equal(v, t[i].duration);
		r = conf_parse_size(t[i].text, &v, &e);
		assert_int_equal(r, t[i].size < 0 ? -1 : 0);
		if (r == 0)
			assert_int_equal(v, t[i].size);
	}
}

static void
integers(void **state)
{
	int64_t v;

	(void)state;
	assert_int_equal(conf_parse_int("-5", -5, 5, &v, &e), 0);
	assert_int_equal(v, -5);
	assert_int_equal(conf_parse_int("007", 0, 10, &v, &e), 0);
	assert_int_equal(v, 7);
	assert_int_equal(conf_parse_int("6", -5, 5, &v, &e), -1);
	assert_string_equal(e.text, "6 is out of range; it must be -5 to 5");
	assert_int_equal(conf_parse_int("", 0, 5, &v, &e), -1);
	assert_int_equal(conf_parse_int("-", 0, 5, &v, &e), -1);
	assert_int_equal(conf_parse_int("5x", 0, 5, &v, &e), -1);
	assert_int_equal(conf_parse_int("18446744073709551617", 0, 5, &v, &e), -1);
}

static void
nearest(void **state)
{
	static const char *const words[] = {
	    "table", "arn", "endpoint", "region", "poll.idle", NULL};
	char big[200];

	(void)state;
	memset(big, 'a', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	assert_string_equal(conf_nearest("tabel", words), "table");
	assert_string_equal(conf_nearest("tables", words), "table");
	assert_string_equal(conf_nearest("ednpiont", words), "endpoint");
	assert_string_equal(conf_nearest("ar", words), "arn");
	assert_string_equal(conf_nearest("regoin", words), "region");
	assert_null(conf_nearest("zzz", words));
	assert_null(conf_nearest("", words));
	assert_null(conf_nearest("x", words));
	assert_null(conf_nearest(big, words));
}

static void
a_dump_reads_back(void **state)
{
	static const char *const texts[] = {"plain", "with space", "null", "~", "", "-dash", "a: b",
	    "a #b", "quote\"d", "line\nbreak", "*star", "{x}", "\xc3\xa9",
	    "end:", "http://x:1/y?z=%20", "'", "@at", "!bang", "[l]", "true", "12", "C:\\dir",
	    "\x7f"};
	struct buf out = BUF_INIT(4096);
	struct buf yaml = BUF_INIT(4096);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct sample in = {.table = strdup(texts[i]),
		    .idle = 90000000,
		    .records = 3,
		    .memory = 3 << 20,
		    .start = 1,
		    .gzip = true};

		in.from.n = 2;
		in.from.v = calloc(2, sizeof *in.from.v);
		in.from.v[0] = strdup(texts[i]);
		in.from.v[1] = strdup("other");
		buf_reset(&out);
		conf_dump(&out, keys, &in, 0);
		accepted(buf_cstr(&out));
		assert_string_equal(s.table, texts[i]);
		assert_string_equal(s.from.v[0], texts[i]);
		assert_string_equal(s.from.v[1], "other");
		assert_int_equal(s.idle, 90000000);
		assert_int_equal(s.memory, 3 << 20);
		conf_wipe(keys, &in);
		conf_wipe(keys, &s);
	}
	accepted("from: [a]\npassword: hush\npoll.idle: 90s\nmemory: 2G\n");
	buf_reset(&out);
	conf_dump(&out, keys, &s, 2);
	assert_string_equal(buf_cstr(&out),
	    "  password: \"****\"\n  gzip: true\n  poll.records: 1000\n"
	    "  poll.idle: 90s\n  memory: 2GiB\n  start: latest\n"
	    "  from: [a]\n");
	conf_wipe(keys, &s);
	buf_close(&out);
	buf_close(&yaml);
}

static void
reference_and_schema(void **state)
{
	struct buf out = BUF_INIT(1 << 16);
	json_t *j, *poll;

	(void)state;
	conf_reference(&out, keys, 2);
	assert_non_null(strstr(buf_cstr(&out),
	    "  poll.idle (duration, 50ms to 1h, default 1s)\n"
	    "      Wait when idle.\n"));
	assert_non_null(strstr(buf_cstr(&out),
	    "  start (one of trim-horizon or latest, default "
	    "latest)\n"));
	assert_non_null(strstr(buf_cstr(&out), "  from (list, required)\n"));
	buf_reset(&out);
	buf_add_char(&out, '{');
	conf_schema(&out, keys);
	buf_add_char(&out, '}');
	j = json_loads(buf_cstr(&out), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_int_equal(json_object_size(j), 11); /* the ten keys and the group "poll" */
	poll = json_object_get(json_object_get(j, "poll"), "properties");
	assert_int_equal(json_object_size(poll), 2);
	assert_true(json_equal(json_object_get(poll, "idle"), json_object_get(j, "poll.idle")));
	assert_int_equal(
	    json_integer_value(json_object_get(json_object_get(j, "poll.records"), "default")),
	    1000);
	json_decref(j);
	buf_close(&out);
}

static void
names_only(void **state)
{
	static const char *const sections[] = {"streams", "sinks", NULL};
	struct conf_doc *d;

	(void)state;
	assert_int_equal(conf_parse(&d, SLICE_LIT("streams: 1\nsniks: 2\n"), "t", &e), 0);
	assert_int_equal(conf_check_names(conf_root(d), sections, &e), -1);
	assert_string_equal(e.text, "t:2:1: unknown key \"sniks\"; did you mean \"sinks\"?");
	assert_int_equal(conf_check_names(conf_get(conf_root(d), "streams"), sections, &e), -1);
	assert_string_equal(
	    e.text, "t:1:10: expected keys and values here, indented below the name");
	conf_close(d);
}

/* Any bytes at all end in nodes or a message, never in a crash or a leak. */
static void
mangled_text_is_survived(void **state)
{
	static const char good[] =
	    "streams:\n  a:\n    table: \"o\\u00e9\"\n    poll: {idle: 5s}\n"
	    "sinks:\n  t: {from: [a, b], x: 'y'}\n  u:\n    - |\n      text\n";
	char text[sizeof good];
	struct rng r;
	unsigned parsed = 0;

	(void)state;
	rng_seed(&r, 1);
	for (int i = 0; i < 20000; i++) {
		struct conf_doc *d;
		size_t n = rng_below(&r, sizeof good);

		memcpy(text, good, sizeof good);
		for (uint64_t k = rng_below(&r, 6); k-- > 0;)
			text[rng_below(&r, sizeof good)] =
			    "\t\n :-[]{}'\"&*!|>%@#,?a\xff\x01\0"[rng_below(&r, 26)];
		if (conf_parse(&d, (struct slice){text, n}, "t", &e) == 0) {
			parsed++;
			if (conf_fill(conf_root(d), keys, elsewhere, &s, &e) == 0)
				conf_wipe(keys, &s);
			conf_close(d);
		} else {
			assert_int_equal(e.code, ERR_CONFIG);
			assert_memory_equal(e.text, "t:", 2);
		}
	}
	assert_in_range(parsed, 1000, 19000); /* both ways were taken */
}

static void
test_map(void **state)
{
	struct buf out = BUF_INIT(8192);

	(void)state;
	assert_int_equal(
	    fill("from: a\nproperties:\n  compression.type: lz4\n  sasl.password: \"se cret\"\n"),
	    0);
	assert_int_equal(s.properties.n, 2);
	assert_string_equal(s.properties.names[0], "compression.type");
	assert_string_equal(s.properties.values[0], "lz4");
	assert_string_equal(s.properties.values[1], "se cret");
	conf_dump(&out, keys, &s, 0);
	assert_non_null(
	    strstr(buf_cstr(&out), "properties: {compression.type: lz4, sasl.password: \"****\"}"));
	conf_wipe(keys, &s);
	assert_null(s.properties.names);
	assert_int_equal(fill("from: a\nproperties: lz4\n"), -1);
	assert_non_null(strstr(e.text, "t.yaml:2:13: \"properties\" is not names with values"));
	assert_int_equal(fill("from: a\nproperties: {a: [1]}\n"), -1);
	assert_non_null(
	    strstr(e.text, "t.yaml:2:17: \"a\" of \"properties\" must be a single value"));
	assert_int_equal(fill("from: a\nproperties: {a: 1, a: 2}\n"), -1);
	buf_close(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_map),
	    cmocka_unit_test(fills_every_type),
	    cmocka_unit_test(a_byte_order_mark_is_passed_over),
	    cmocka_unit_test(defaults_and_single_item_list),
	    cmocka_unit_test(dotted_and_nested),
	    cmocka_unit_test(unknown_and_duplicate_keys),
	    cmocka_unit_test(bad_values),
	    cmocka_unit_test(secrets_stay_out_of_messages),
	    cmocka_unit_test(yaml_that_surprises_is_refused),
	    cmocka_unit_test(broken_yaml_is_placed_and_explained),
	    cmocka_unit_test(an_empty_file_is_an_empty_mapping),
	    cmocka_unit_test(nodes_know_their_place),
	    cmocka_unit_test(size_depth_and_count_are_bounded),
	    cmocka_unit_test(files),
	    cmocka_unit_test(durations_and_sizes),
	    cmocka_unit_test(integers),
	    cmocka_unit_test(nearest),
	    cmocka_unit_test(a_dump_reads_back),
	    cmocka_unit_test(reference_and_schema),
	    cmocka_unit_test(names_only),
	    cmocka_unit_test(mangled_text_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
