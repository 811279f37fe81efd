/* daemon/status_ways.c - which sink of which stream lags, and why: the part of
 * `slipring status` that is looked at first. See status_priv.h.
 */
#include "daemon/status_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Creation times are to the minute in DynamoDB Local: less than two is no lag to speak of. */
#define BEHIND_S 120
/* The alarm of docs/metrics.md. */
#define TRIM_SOON_S (6 * 3600)
#define SHARDS_SHOWN 10

enum grade { GRADE_OK, GRADE_STARTING, GRADE_BEHIND, GRADE_DOWN, GRADE_STOPPED };

struct way {				   /* a sink on a stream */
	const json_t *stream, *sub, *sink; /* borrowed; sink may be NULL */
	const char *word;
	enum grade grade;
	double trim;
};

static const json_t *
find_sink(const json_t *doc, const char *name)
{
	const json_t *list = json_object_get(doc, "sinks");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		if (strcmp(status_text(o, "name"), name) == 0)
			return o;
	}
	return NULL;
}

static bool
is(const json_t *o, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && strcmp(s, value) == 0;
}

static bool
has_age(const json_t *sub)
{
	return json_is_number(json_object_get(sub, "iterator_age_seconds"));
}

static void
set(struct way *w, enum grade grade, const char *word)
{
	w->grade = grade;
	w->word = word;
}

static void
judge(struct way *w)
{
	double trim = status_number(w->sub, "seconds_until_trim");

	w->trim = has_age(w->sub) ? trim : 86400;
	if (is(w->stream, "state", "gap"))
		set(w, GRADE_STOPPED, "gap");
	else if (is(w->stream, "state", "failed"))
		set(w, GRADE_STOPPED, "failed");
	else if (is(w->sink, "state", "halted"))
		set(w, GRADE_STOPPED, "halted");
	else if (is(w->sink, "state", "probing"))
		set(w, GRADE_DOWN, "trying");
	else if (w->sink != NULL && !is(w->sink, "state", "running"))
		set(w, GRADE_DOWN, "down");
	else if (!has_age(w->sub))
		set(w, GRADE_STARTING, "starting");
	else if (json_is_true(json_object_get(w->sub, "caught_up")))
		set(w, GRADE_OK, "ok");
	else if (status_number(w->sub, "iterator_age_seconds") >= BEHIND_S ||
	    status_int(w->sub, "detached") != 0)
		set(w, GRADE_BEHIND, "behind");
	else
		set(w, GRADE_OK, "ok");
}

static int
worst_first(const void *a, const void *b)
{
	const struct way *x = a, *y = b;
	int r;

	if (x->grade != y->grade)
		return x->grade > y->grade ? -1 : 1;
	if (x->trim != y->trim)
		return x->trim < y->trim ? -1 : 1;
	r = strcmp(status_text(x->stream, "name"), status_text(y->stream, "name"));
	return r != 0 ? r : strcmp(status_text(x->sub, "sink"), status_text(y->sub, "sink"));
}

static struct way *
collect(const json_t *doc, size_t *count)
{
	struct way *v = NULL;
	json_t *stream, *sub;
	size_t i, j, n = 0;

	json_array_foreach(json_object_get(doc, "streams"), i, stream)
	{
		json_array_foreach(json_object_get(stream, "sinks"), j, sub)
		{
			v = mem_grow(v, n + 1, sizeof *v);
			v[n] = (struct way){.stream = stream,
			    .sub = sub,
			    .sink = find_sink(doc, status_text(sub, "sink"))};
			judge(&v[n++]);
		}
	}
	if (n != 0)
		qsort(v, n, sizeof *v, worst_first);
	*count = n;
	return v;
}

/* ---- why ---- */

static void
add_count(struct buf *out, const json_t *o, const char *key, const char *what)
{
	json_int_t n = status_int(o, key);

	if (n != 0)
		buf_addf(out, "%s%lld shard%s %s", out->n != 0 ? ", " : "", (long long)n,
		    n == 1 ? "" : "s", what);
}

static void
add_behind(struct buf *out, const struct way *w)
{
	const char *trouble = status_text(w->stream, "trouble");

	if (trouble[0] != '\0' && strcmp(trouble, "-") != 0)
		buf_add_str(out, "calls for the stream fail");
	add_count(out, w->sub, "detached", "detached for lack of room");
	add_count(out, w->sub, "catching_up", "catching up");
	if (out->n == 0 && status_int(w->sub, "unacked") != 0)
		buf_add_str(out, "waits for the sink");
	else if (out->n == 0 && w->grade == GRADE_BEHIND)
		buf_add_str(out, "reading on");
}

static void
add_down(struct buf *out, const json_t *sink)
{
	double wait = status_number(sink, "breaker_seconds");

	if (is(sink, "state", "probing")) {
		buf_add_str(out, "one record is out, to see");
		return;
	}
	buf_add_str(out, "breaker open");
	if (wait > 0) {
		buf_add_str(out, ", next try in ");
		age_write(out, wait + 0.5);
	}
}

static void
why(struct buf *out, const struct way *w)
{
	json_int_t dead = status_int(json_object_get(w->sink, "dead_letters"), "count");

	switch (w->grade) {
	case GRADE_STOPPED:
		if (is(w->stream, "state", "gap"))
			buf_add_str(out, "data was lost: slipring gaps list");
		else if (is(w->stream, "state", "failed"))
			buf_add_str(out, "the stream cannot be read");
		else
			buf_addf(
			    out, "mend it, then: slipring resume %s", status_text(w->sub, "sink"));
		return;
	case GRADE_DOWN:
		add_down(out, w->sink);
		break;
	case GRADE_STARTING:
		buf_addf(out, "stream is %s", status_text(w->stream, "state"));
		break;
	case GRADE_OK:
	case GRADE_BEHIND:
		add_behind(out, w);
		break;
	}
	if (dead != 0)
		buf_addf(out, "%s%lld dead letter%s", out->n != 0 ? ", " : "", (long long)dead,
		    dead == 1 ? "" : "s");
}

/* ---- the tables ---- */

static enum paint
paint_of(enum grade g)
{
	static const enum paint paints[] = {
	    PAINT_GREEN, PAINT_DIM, PAINT_YELLOW, PAINT_RED, PAINT_RED};

	return paints[g];
}

static void
add_ages(struct columns *c, const json_t *o)
{
	double trim = status_number(o, "seconds_until_trim");

	if (!has_age(o)) {
		columns_add(c, NULL);
		columns_add(c, NULL);
		columns_add(c, NULL);
		return;
	}
	status_add_age(c, status_number(o, "iterator_age_seconds"));
	status_add_age(c, status_number(o, "delivery_age_seconds"));
	status_add_age(c, trim);
	if (trim < TRIM_SOON_S)
		columns_paint(c, PAINT_RED);
}

static void
add_way(struct columns *c, const struct way *w)
{
	struct buf b = BUF_INIT(512);

	columns_add(c, w->word);
	columns_paint(c, paint_of(w->grade));
	columns_add(c, status_text(w->stream, "name"));
	columns_add(c, status_text(w->sub, "sink"));
	add_ages(c, w->sub);
	columns_addf(c, "%lld", (long long)status_int(w->sub, "unacked"));
	why(&b, w);
	columns_add(c, buf_cstr(&b));
	buf_close(&b);
}

/* What the sinks and streams said themselves, whole. */
static void
print_errors(const json_t *doc)
{
	static const char *const lists[] = {"sinks", "streams"}, *const keys[] = {"why", "trouble"};
	json_t *o;
	size_t i;

	for (size_t k = 0; k < 2; k++)
		json_array_foreach(json_object_get(doc, lists[k]), i, o)
		{
			const char *text = json_string_value(json_object_get(o, keys[k]));

			if (text != NULL && text[0] != '\0')
				status_print_wrapped(status_text(o, "name"), text);
		}
}

static void
print_shards(const json_t *doc, bool color)
{
	static const char *const heads[] = {
	    "SHARD", "STREAM", "SINK", "BEHIND", "OLDEST", "TRIM IN", "STATE", NULL};
	struct columns c;
	json_t *o;
	size_t i;

	columns_begin(&c, heads);
	c.color = color;
	c.width = STATUS_WIDTH;
	c.most[0] = 38;
	c.most[1] = c.most[2] = 12;
	json_array_foreach(json_object_get(doc, "worst"), i, o)
	{
		if (i == SHARDS_SHOWN)
			break;
		columns_add(&c, status_text(o, "shard"));
		columns_add(&c, status_text(o, "stream"));
		columns_add(&c, status_text(o, "sink"));
		add_ages(&c, o);
		columns_add(&c, status_text(o, "way"));
	}
	if (columns_rows(&c) != 0)
		(void)putchar('\n');
	columns_end(&c);
}

void
status_print_ways(const json_t *doc, bool color)
{
	static const char *const heads[] = {
	    "LAG", "STREAM", "SINK", "BEHIND", "OLDEST", "TRIM IN", "UNACKED", "WHY", NULL};
	struct columns c;
	size_t n;
	struct way *v = collect(doc, &n);

	columns_begin(&c, heads);
	c.color = color;
	c.width = STATUS_WIDTH;
	c.most[1] = c.most[2] = 12;
	for (size_t i = 0; i < n; i++)
		add_way(&c, &v[i]);
	(void)putchar('\n');
	columns_end(&c);
	print_errors(doc);
	print_shards(doc, color);
	free(v);
}
