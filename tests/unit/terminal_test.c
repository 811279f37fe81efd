/* tests/unit/terminal_test.c - what tail shows: the line for the eye, its
 * width, and that no data can drive the terminal.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "daemon/sink_terminal.h"
#include "record/format.h"

#define PAGE(event, rest)                                                                          \
	"{\"Records\":[{\"eventID\":\"e1\",\"eventName\":\"" event                                 \
	"\",\"dynamodb\":{\"ApproximateCreationDateTime\":1700000000,\"Keys\":{\"pk\":{\"S\":"     \
	"\"o-1\"}},\"SequenceNumber\":\"100000000000000000001\"" rest "}}]}"
#define OLD ",\"OldImage\":{\"pk\":{\"S\":\"o-1\"},\"status\":{\"S\":\"new\"},\"n\":{\"N\":\"10\"}}"
#define NEW                                                                                        \
	",\"NewImage\":{\"pk\":{\"S\":\"o-1\"},\"status\":{\"S\":\"paid\"},\"tags\":{\"SS\":["     \
	"\"b\","                                                                                   \
	"\"a\"]}}"

static struct key_schema schema;
static const struct origin origin = {.stream = "orders",
    .table = "orders",
    .arn = "a",
    .label = "l",
    .shard = "s",
    .schema = &schema};

static struct page *
page_of(const char *text)
{
	struct buf body = BUF_INIT(1 << 20);
	struct page *p;
	struct err e;

	buf_add_str(&body, text);
	if (page_parse(&p, &body, &e) != 0)
		fail_msg("%s", e.text);
	return p;
}

static void
expect(const char *text, bool color, size_t columns, const char *line)
{
	struct buf out = BUF_INIT(1 << 20);
	struct page *p = page_of(text);

	terminal_write(&p->records[0], &origin, color, columns, &out);
	assert_string_equal(buf_cstr(&out), line);
	page_unref(p);
	buf_close(&out);
}

static void
each_event(void **state)
{
	(void)state;
	expect(PAGE("INSERT", NEW), false, 0,
	    "22:13:20 INSERT [\"o-1\"]  status: \"paid\", tags: [\"a\",\"b\"]");
	expect(PAGE("MODIFY", OLD NEW), false, 0,
	    "22:13:20 MODIFY [\"o-1\"]  status: \"new\" -> \"paid\", n: 10 -> (gone), tags: -> "
	    "[\"a\",\"b\"]");
	expect(PAGE("REMOVE", OLD), false, 0, "22:13:20 REMOVE [\"o-1\"]  status: \"new\", n: 10");
	expect(PAGE("MODIFY", ""), false, 0, "22:13:20 MODIFY [\"o-1\"]");
	expect(PAGE("MODIFY", NEW), false, 0,
	    "22:13:20 MODIFY [\"o-1\"]  status: -> \"paid\", tags: -> [\"a\",\"b\"]");
}

static void
an_expiry_says_so(void **state)
{
	(void)state;
	expect(
	    "{\"Records\":[{\"eventID\":\"e\",\"eventName\":\"REMOVE\",\"userIdentity\":{\"type\":"
	    "\"Service\",\"principalId\":\"dynamodb.amazonaws.com\"},\"dynamodb\":{\"Keys\":{"
	    "\"pk\":"
	    "{\"N\":\"1\"}},\"SequenceNumber\":\"1\"}}]}",
	    false, 0, "--:--:-- REMOVE [1] (expired)");
}

static void
colors(void **state)
{
	(void)state;
	expect(PAGE("REMOVE", ""), true, 0,
	    "\033[2m22:13:20\033[0m \033[31mREMOVE\033[0m \033[1m[\"o-1\"]\033[0m");
}

static size_t
characters(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void
lines_fit(void **state)
{
	struct page *p = page_of(PAGE("MODIFY", OLD NEW));
	struct buf whole = BUF_INIT(4096), out = BUF_INIT(4096);

	(void)state;
	terminal_write(&p->records[0], &origin, false, 0, &whole);
	for (size_t columns = 1; columns < 120; columns++) {
		buf_reset(&out);
		terminal_write(&p->records[0], &origin, false, columns, &out);
		assert_true(characters(buf_cstr(&out)) <= columns);
		if (columns <= whole.n)
			assert_non_null(strstr(buf_cstr(&out), "\xe2\x80\xa6"));
		else
			assert_true(slice_eq(buf_slice(&out), buf_slice(&whole)));
	}
	page_unref(p);
	buf_close(&whole);
	buf_close(&out);
	/* A long value leaves room for the next; wide characters count twice. */
	expect(PAGE("INSERT",
		   ",\"NewImage\":{\"a\":{\"S\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		   "xxxxxxxx\"},\"b\":{\"N\":\"1\"}}"),
	    false, 100,
	    "22:13:20 INSERT [\"o-1\"]  a: \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xe2\x80\xa6, "
	    "b: 1");
	expect(PAGE("INSERT", ",\"NewImage\":{\"a\":{\"S\":\"\xe6\x9d\xb1\xe6\x9d\xb1\"}}"), false,
	    32, "22:13:20 INSERT [\"o-1\"]  a: \"\xe6\x9d\xb1\xe2\x80\xa6");
}

/* Nothing that comes out may be a control character, whatever came in. */
static void
data_cannot_drive_the_terminal(void **state)
{
	static const char csi[] = {'\xc2', '\x9b', '2', 'J', '\0'};
	const char *const evil[] = {
	    "\\u001b[2J", "\\u009b2J", csi, "\x7f", "\\r\\n", "\xe2\x80\xae", "\\u202e", "\\u0007"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(evil); i++) {
		struct buf text = BUF_INIT(4096), out = BUF_INIT(4096);
		struct page *p;

		buf_addf(&text,
		    "{\"Records\":[{\"eventID\":\"e\",\"eventName\":\"INSERT\",\"dynamodb\":{"
		    "\"Keys\":{\"pk\":"
		    "{\"S\":\"%s\"}},\"NewImage\":{\"%s\":{\"S\":\"%s\"}},\"SequenceNumber\":\"1\"}"
		    "}]}",
		    evil[i], evil[i], evil[i]);
		p = page_of(buf_cstr(&text));
		terminal_write(&p->records[0], &origin, false, 0, &out);
		for (size_t k = 0; k < out.n; k++) {
			assert_true((unsigned char)out.p[k] >= ' ' && out.p[k] != 0x7f);
			assert_false(
			    (unsigned char)out.p[k] == 0xc2 && (unsigned char)out.p[k + 1] < 0xa0);
		}
		assert_null(strstr(buf_cstr(&out), "\xe2\x80\xae"));
		page_unref(p);
		buf_close(&text);
		buf_close(&out);
	}
}

struct host {
	int acks, halts;
};

static void
on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct host *h = host;

	(void)d;
	h->acks += v == SINK_ACK;
	h->halts += v == SINK_HALT && why != NULL;
}

static void
submit(int fd, int format, struct host *h, const char *text)
{
	const struct terminal_conf conf = {.fd = fd, .format = format};
	const struct sink_env env = {.name = "t", .host = h, .report = on_report};
	struct page *p = page_of(text);
	struct delivery d = {.rec = &p->records[0], .origin = &origin};
	struct delivery *batch[] = {&d};
	struct sink *s;
	struct err e;

	assert_int_equal(sink_terminal.open(&s, &env, &conf, &e), 0);
	assert_int_equal(sink_terminal.submit(s, batch, 1), SINK_TAKEN);
	sink_terminal.close(s);
	page_unref(p);
}

static void
a_format_keeps_its_meaning_and_is_harmless(void **state)
{
	struct host h = {0};
	char got[4096];
	int fds[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	submit(fds[1], FORMAT_PLAIN, &h,
	    PAGE("INSERT", ",\"NewImage\":{\"a\":{\"S\":\"\xc2\x9b\xc3\xa9\\\"\"}}"));
	assert_int_equal(h.acks, 1);
	n = read(fds[0], got, sizeof got - 1);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got,
	    "{\"key\":{\"pk\":\"o-1\"},\"new\":{\"a\":\"\\u009b\xc3\xa9\\\"\"},"
	    "\"old\":null}\n");
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
a_terminal_that_is_gone_halts(void **state)
{
	struct host h = {0};
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	submit(fd, -1, &h, PAGE("INSERT", NEW));
	assert_int_equal(h.acks, 0);
	assert_int_equal(h.halts, 1);
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_event),
	    cmocka_unit_test(an_expiry_says_so),
	    cmocka_unit_test(colors),
	    cmocka_unit_test(lines_fit),
	    cmocka_unit_test(data_cannot_drive_the_terminal),
	    cmocka_unit_test(a_format_keeps_its_meaning_and_is_harmless),
	    cmocka_unit_test(a_terminal_that_is_gone_halts),
	};

	(void)setenv("TZ", "UTC", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
