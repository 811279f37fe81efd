/* tests/unit/log_test.c - lines as they are written: fields, escapes, folding,
 * the journal, many threads. stderr is a file while a test looks at it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static int saved_stderr, file;
static char text[1 << 20];
static off_t at; /* read so far */
static int64_t now_us = 1;

static int64_t
fake_clock(void)
{
	return now_us;
}

static int
begin(void **state)
{
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	file = dup(fileno(f));
	(void)fclose(f);
	at = 0;
	saved_stderr = dup(2);
	assert_int_equal(dup2(file, 2), 2);
	log_set_clock(fake_clock);
	now_us += 60 * INT64_C(1000000); /* what an earlier test printed is forgotten */
	return 0;
}

static int
end(void **state)
{
	(void)state;
	(void)dup2(saved_stderr, 2);
	(void)close(saved_stderr);
	(void)close(file);
	log_flush();
	log_set(LOG_INFO, LOG_LOGFMT);
	(void)unsetenv("JOURNAL_STREAM");
	return 0;
}

/* What was written since the last call. */
static const char *
written(void)
{
	ssize_t n = pread(file, text, sizeof text - 1, at);

	assert_true(n >= 0);
	at += n;
	text[n] = '\0';
	return text;
}

/* The line without its time, which is checked for its form. */
static const char *
untimed(const char *line)
{
	int y, mo, d, h, mi, s, ms, used = 0;

	assert_int_equal(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &y, &mo, &d, &h, &mi,
			     &s, &ms, &used),
	    7);
	assert_int_equal(used, 30);
	return line + used;
}

static void
logfmt(void **state)
{
	(void)state;
	log_set(LOG_INFO, LOG_LOGFMT);
	log_info("lane", "trail", "breaker open failures=%d why=%s", 5, "refused");
	assert_string_equal(untimed(written()),
	    "level=info module=lane object=trail msg=\"breaker open\" failures=5 why=refused\n");
	log_warn("daemon", "", "started");
	assert_string_equal(untimed(written()), "level=warn module=daemon msg=started\n");
	log_debug("daemon", "", "not shown");
	assert_string_equal(written(), "");
	log_set(LOG_DEBUG, LOG_LOGFMT);
	log_debug("daemon", "", "shown");
	assert_string_equal(untimed(written()), "level=debug module=daemon msg=shown\n");
}

static void
only_the_tail_becomes_fields(void **state)
{
	(void)state;
	log_error("a", "", "x=1 is not y=2 but z=3");
	assert_string_equal(
	    untimed(written()), "level=error module=a msg=\"x=1 is not y=2 but\" z=3\n");
	log_error("a", "", "forged level=info");
	assert_string_equal(untimed(written()), "level=error module=a msg=\"forged level=info\"\n");
	log_error("a", "", "twice k=1 k=2");
	assert_string_equal(untimed(written()), "level=error module=a msg=\"twice k=1\" k=2\n");
	log_error("a", "", "k=1");
	assert_string_equal(untimed(written()), "level=error module=a msg=\"k=1\"\n");
	log_error("a", "", "empty k=");
	assert_string_equal(untimed(written()), "level=error module=a msg=empty k=\"\"\n");
}

static void
control_characters_are_escaped(void **state)
{
	(void)state;
	log_error("a", "o\nx", "line\nbreak \033[31m \xff k=\"q\"");
	assert_string_equal(untimed(written()),
	    "level=error module=a object=\"o\\nx\" "
	    "msg=\"line\\nbreak \\u001b[31m \xef\xbf\xbd\" "
	    "k=\"\\\"q\\\"\"\n");
}

static void
json(void **state)
{
	json_t *j;

	(void)state;
	log_set(LOG_INFO, LOG_JSON);
	log_warn("lane", "trail", "said \"no\"\n code=7");
	j = json_loads(written(), JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_int_equal(json_object_size(j), 6);
	assert_int_equal(strlen(json_string_value(json_object_get(j, "time"))), 24);
	assert_string_equal(json_string_value(json_object_get(j, "level")), "warn");
	assert_string_equal(json_string_value(json_object_get(j, "module")), "lane");
	assert_string_equal(json_string_value(json_object_get(j, "object")), "trail");
	assert_string_equal(json_string_value(json_object_get(j, "msg")), "said \"no\"\n");
	assert_string_equal(json_string_value(json_object_get(j, "code")), "7");
	json_decref(j);
}

static void
repeats_are_folded(void **state)
{
	(void)state;
	for (int i = 0; i < 13; i++)
		log_warn("reader", "s1", "call failed n=%d", i);
	log_warn("reader", "s2", "call failed n=%d", 100); /* another object is another line */
	assert_string_equal(untimed(strchr(written(), '\n') + 1),
	    "level=warn module=reader object=s2 msg=\"call failed\" n=100\n");
	now_us += 9999999;
	log_warn("reader", "s1", "call failed n=%d", 13);
	assert_string_equal(written(), "");
	now_us += 1;
	log_warn("reader", "s1", "call failed n=%d", 14);
	assert_string_equal(untimed(written()),
	    "level=warn module=reader object=s1 msg=\"call failed\" n=14 repeated=13\n");
	log_warn("reader", "s1", "call failed n=%d", 15);
	assert_string_equal(written(), "");
	log_flush();
	assert_string_equal(untimed(written()),
	    "level=warn module=reader object=s1 msg=\"call failed\" n=15 repeated=1\n");
	log_flush();
	assert_string_equal(written(), "");
}

static void
different_texts_and_debug_are_not_folded(void **state)
{
	(void)state;
	log_set(LOG_DEBUG, LOG_LOGFMT);
	log_error("d", "", "%s", "one");
	log_error("d", "", "%s", "two");
	log_error("d", "", "%s", "one");
	log_debug("d", "", "x");
	log_debug("d", "", "x");
	(void)written();
	assert_non_null(strstr(text, "msg=one\n"));
	assert_non_null(strstr(text, "msg=two\n"));
	assert_null(strstr(strstr(text, "msg=one\n") + 1, "msg=one\n"));
	assert_non_null(strstr(strstr(text, "msg=x\n") + 1, "msg=x\n"));
}

/* More kinds than there are slots: nothing held back is lost. */
static void
a_full_table_prints_what_it_drops(void **state)
{
	unsigned lines = 0, repeated = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		char object[16];

		(void)snprintf(object, sizeof object, "o%d", i);
		now_us++;
		log_warn("m", object, "again i=%d", i);
		log_warn("m", object, "again i=%d", i);
	}
	log_flush();
	for (const char *p = strstr(written(), "msg="); p != NULL; p = strstr(p + 1, "msg="))
		lines++;
	for (const char *p = strstr(text, "repeated=1\n"); p != NULL;
	     p = strstr(p + 1, "repeated=1\n"))
		repeated++;
	assert_int_equal(lines, 400);
	assert_int_equal(repeated, 200);
}

static void
journal_priorities(void **state)
{
	char id[64];
	struct stat st;

	(void)state;
	assert_int_equal(fstat(2, &st), 0);
	(void)snprintf(id, sizeof id, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", id, 1), 0);
	log_set(LOG_DEBUG, LOG_LOGFMT);
	log_error("j", "", "e");
	log_warn("j", "", "w");
	log_info("j", "", "i");
	log_debug("j", "", "d");
	assert_string_equal(written(),
	    "<3>level=error module=j msg=e\n<4>level=warn module=j msg=w\n"
	    "<6>level=info module=j msg=i\n<7>level=debug module=j msg=d\n");
	/* Inherited from a parent, but our stderr is something else. */
	(void)snprintf(id, sizeof id, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
	assert_int_equal(setenv("JOURNAL_STREAM", id, 1), 0);
	log_set(LOG_DEBUG, LOG_LOGFMT);
	log_debug("j", "", "d");
	assert_string_equal(untimed(written()), "level=debug module=j msg=d\n");
}

static void
a_long_message_is_cut_and_says_so(void **state)
{
	char big[3000];

	(void)state;
	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	log_error("m", "", "%s", big);
	(void)written();
	assert_true(strlen(text) < 1200);
	assert_string_equal(text + strlen(text) - 5, "x...\n");
}

static char captured[256];

static void
capture(void *ctx, enum log_level level, const char *line)
{
	*(int *)ctx = *(int *)ctx + 1;
	(void)snprintf(captured, sizeof captured, "%d %s", (int)level, line);
}

static void
a_sink_gets_every_line_without_time(void **state)
{
	int calls = 0;

	(void)state;
	log_set_sink(capture, &calls);
	log_warn("m", "o", "same");
	log_warn("m", "o", "same");
	log_set_sink(NULL, NULL);
	assert_int_equal(calls, 2);
	assert_string_equal(captured, "1 level=warn module=m object=o msg=same");
	assert_string_equal(written(), "");
}

static void *
chatter(void *arg)
{
	char name[2] = {(char)('a' + *(int *)arg), '\0'};

	for (int i = 0; i < 500; i++)
		log_debug("thread", name, "line of some length, so that a torn one shows n=%d", i);
	return NULL;
}

static void
lines_of_threads_do_not_mix(void **state)
{
	pthread_t t[4];
	int id[4], lines = 0, next[4] = {0};
	char *save = NULL;

	(void)state;
	log_set(LOG_DEBUG, LOG_LOGFMT);
	for (int i = 0; i < 4; i++) {
		id[i] = i;
		assert_int_equal(pthread_create(&t[i], NULL, chatter, &id[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	(void)written();
	for (char *l = strtok_r(text, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save)) {
		char who;
		int n;

		assert_int_equal(
		    sscanf(untimed(l),
			"level=debug module=thread object=%c msg=\"line of some length, so that a "
			"torn one shows\" n=%d",
			&who, &n),
		    2);
		assert_in_range(who, 'a', 'd');
		assert_int_equal(n, next[who - 'a']++);
		lines++;
	}
	assert_int_equal(lines, 2000);
}

static void
levels(void **state)
{
	enum log_level l;
	struct err e;

	(void)state;
	assert_int_equal(log_level_parse("debug", &l, &e), 0);
	assert_int_equal(l, LOG_DEBUG);
	assert_int_equal(log_level_parse("eror", &l, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	assert_non_null(strstr(e.text, "\"error\""));
	assert_int_equal(log_level_parse("loud", &l, &e), -1);
	assert_non_null(strstr(e.text, "error, warn, info or debug"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(logfmt),
	    T(only_the_tail_becomes_fields),
	    T(control_characters_are_escaped),
	    T(json),
	    T(repeats_are_folded),
	    T(different_texts_and_debug_are_not_folded),
	    T(a_full_table_prints_what_it_drops),
	    T(journal_priorities),
	    T(a_long_message_is_cut_and_says_so),
	    T(a_sink_gets_every_line_without_time),
	    T(lines_of_threads_do_not_mix),
	    T(levels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
