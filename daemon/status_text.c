/* daemon/status_text.c - see status_text.h: the process, streams, sinks, gaps.
 *
 * What everything costs and counts is in the metrics; here is what a person
 * wants to see at once. Which sink lags and why is status_ways.c's.
 */
#include "daemon/status_priv.h"

#include <stdio.h>
#include <string.h>

const char *
status_text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "-";
}

json_int_t
status_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

double
status_number(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

void
status_add_age(struct columns *c, double seconds)
{
	struct buf b = BUF_INIT(64);

	age_write(&b, seconds);
	columns_add(c, buf_cstr(&b));
	buf_close(&b);
}

/* Bytes up to a blank at or before `room`, or `room` if there is none. Bytes for
 * columns: no line gets too long for it. */
static size_t
break_at(const char *s, size_t room)
{
	size_t n = strlen(s), i = room;

	if (n <= room)
		return n;
	while (i > room / 2 && s[i] != ' ')
		i--;
	if (s[i] == ' ')
		return i;
	/* Not inside a character. */
	for (i = room; i > 1 && ((unsigned char)s[i] & 0xc0) == 0x80; i--)
		continue;
	return i;
}

void
status_print_wrapped(const char *name, const char *text)
{
	struct buf b = BUF_INIT(4096);
	const char *s;

	buf_addf(&b, "%s: ", name);
	buf_add_printable(&b, slice_of(text));
	for (s = buf_cstr(&b); *s != '\0';) {
		bool first = s == b.p;
		size_t n = break_at(s, first ? STATUS_WIDTH : STATUS_WIDTH - 4);

		(void)printf("%s%.*s\n", first ? "" : "    ", (int)n, s);
		for (s += n; *s == ' '; s++)
			continue;
	}
	buf_close(&b);
}

/* {"reading": 3, "complete": 2} -> "3 reading, 2 complete" */
static void
add_counts(struct columns *c, json_t *counts)
{
	struct buf b = BUF_INIT(512);
	const char *key;
	json_t *v;

	json_object_foreach(counts, key, v)
	    buf_addf(&b, "%s%lld %s", b.n != 0 ? ", " : "", (long long)json_integer_value(v), key);
	columns_add(c, buf_cstr(&b));
	buf_close(&b);
}

static void
print_process(const json_t *doc, bool color)
{
	const json_t *p = json_object_get(doc, "process"), *m = json_object_get(doc, "memory");
	const json_t *s = json_object_get(doc, "store");
	const char *trouble = json_string_value(json_object_get(s, "trouble"));
	struct buf up = BUF_INIT(64);

	age_write(&up, status_number(p, "uptime_seconds"));
	(void)printf("slipring %s, pid %lld, up %s, %.1f MiB resident, %.1f MiB of records held\n",
	    status_text(p, "version"), (long long)status_int(p, "pid"), buf_cstr(&up),
	    status_number(p, "resident_bytes") / 1048576.0,
	    status_number(m, "held_bytes") / 1048576.0);
	(void)printf("store %s, dead letters: %lld\n", status_text(s, "path"),
	    (long long)status_int(doc, "dead_letters"));
	if (trouble != NULL && trouble[0] != '\0') {
		(void)fputs(paint_on(color, PAINT_RED), stdout);
		status_print_wrapped("positions cannot be saved", trouble);
		(void)fputs(paint_off(color, PAINT_RED), stdout);
	}
	buf_close(&up);
}

static void
print_streams(const json_t *doc, bool color)
{
	static const char *const heads[] = {
	    "STREAM", "TABLE", "STATE", "RECORDS", "GAPS", "SHARDS", NULL};
	struct columns c;
	json_t *o;
	size_t i;

	columns_begin(&c, heads);
	c.color = color;
	c.width = STATUS_WIDTH;
	c.most[0] = c.most[1] = 16;
	json_array_foreach(json_object_get(doc, "streams"), i, o)
	{
		columns_add(&c, status_text(o, "name"));
		columns_add(&c, status_text(o, "table"));
		columns_add(&c, status_text(o, "state"));
		columns_addf(&c, "%lld", (long long)status_int(o, "records"));
		columns_addf(&c, "%lld", (long long)status_int(o, "open_gaps"));
		if (status_int(o, "open_gaps") != 0)
			columns_paint(&c, PAINT_RED);
		add_counts(&c, json_object_get(o, "shards"));
	}
	(void)putchar('\n');
	columns_end(&c);
}

static void
print_sinks(const json_t *doc, bool color)
{
	static const char *const heads[] = {
	    "SINK", "TYPE", "STATE", "ACKED", "IN FLIGHT", "RETRIED", "REFUSED", NULL};
	struct columns c;
	json_t *o;
	size_t i;

	columns_begin(&c, heads);
	c.color = color;
	c.width = STATUS_WIDTH;
	c.most[0] = 16;
	json_array_foreach(json_object_get(doc, "sinks"), i, o)
	{
		columns_add(&c, status_text(o, "name"));
		columns_add(&c, status_text(o, "type"));
		columns_add(&c, status_text(o, "state"));
		columns_addf(&c, "%lld", (long long)status_int(o, "acked"));
		columns_addf(&c, "%lld", (long long)status_int(o, "in_flight"));
		columns_addf(&c, "%lld", (long long)status_int(o, "retried"));
		columns_addf(&c, "%lld", (long long)status_int(o, "rejected"));
		if (status_int(o, "rejected") != 0)
			columns_paint(&c, PAINT_YELLOW);
	}
	(void)putchar('\n');
	columns_end(&c);
}

static void
print_gaps(const json_t *doc, bool color)
{
	static const char *const heads[] = {
	    "GAP", "STATE", "REASON", "STREAM", "SHARD", "SINK", NULL};
	struct columns c;
	json_t *stream, *o;
	size_t i, j;

	columns_begin(&c, heads);
	c.color = color;
	c.width = STATUS_WIDTH;
	c.most[3] = c.most[5] = 12;
	c.most[4] = 38;
	json_array_foreach(json_object_get(doc, "streams"), i, stream)
	{
		json_array_foreach(json_object_get(stream, "gaps"), j, o)
		{
			columns_addf(&c, "%lld", (long long)status_int(o, "id"));
			columns_add(&c, status_text(o, "state"));
			columns_add(&c, status_text(o, "reason"));
			columns_add(&c, status_text(stream, "name"));
			columns_add(&c, status_text(o, "shard"));
			columns_add(&c, status_text(o, "sink"));
		}
	}
	if (columns_rows(&c) != 0)
		(void)putchar('\n');
	columns_end(&c);
}

void
status_print(const json_t *doc, bool color)
{
	print_process(doc, color);
	status_print_ways(doc, color);
	print_streams(doc, color);
	print_sinks(doc, color);
	print_gaps(doc, color);
}
