/* base/metrics.c - see metrics.h. */
#include "base/metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct sample {
	struct sample *next;
	double value;
	struct histogram h; /* HISTOGRAM: a copy */
	char labels[];	    /* a="b",c="d" */
};

struct family {
	struct family *next;
	const char *name, *help; /* borrowed */
	enum metric_type type;
	struct sample *first, **tail;
};

struct metrics {
	struct family *first, **tail;
	struct buf labels; /* of the sample being added */
	bool failed;
};

/* Label sets are a few names of the configuration's; a shard id is the longest part. */
#define LABELS_MAX 4096

const struct histogram_shape histogram_latency = {
    .n = 16,
    .bounds = {500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000,
	5000000, 10000000, 30000000, 60000000},
    .unit = 1e-6,
};
const struct histogram_shape histogram_count = {
    .n = 13,
    .bounds = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000},
    .unit = 1,
};

struct metrics *
metrics_new(void)
{
	struct metrics *m = mem_new(sizeof *m);

	m->tail = &m->first;
	m->labels = BUF_INIT(LABELS_MAX);
	return m;
}

void
metrics_close(struct metrics *m)
{
	if (m == NULL)
		return;
	while (m->first != NULL) {
		struct family *f = m->first;

		m->first = f->next;
		while (f->first != NULL) {
			struct sample *s = f->first;

			f->first = s->next;
			free(s);
		}
		free(f);
	}
	buf_close(&m->labels);
	free(m);
}

static struct family *
family_of(struct metrics *m, const char *name, const char *help, enum metric_type type)
{
	struct family *f;

	for (f = m->first; f != NULL; f = f->next)
		if (strcmp(f->name, name) == 0) {
			assert(f->type == type);
			return f;
		}
	f = mem_new(sizeof *f);
	f->name = name;
	f->help = help;
	f->type = type;
	f->tail = &f->first;
	*m->tail = f;
	m->tail = &f->next;
	return f;
}

/* Label values know three escapes. */
static void
add_escaped(struct buf *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '\n') {
			buf_add_str(out, "\\n");
			continue;
		}
		if (*s == '\\' || *s == '"')
			buf_add_char(out, '\\');
		buf_add_char(out, *s);
	}
}

static struct sample *
sample_new(struct metrics *m, struct family *f, va_list ap)
{
	struct buf *b = &m->labels;
	const char *name, *value;
	struct sample *s;

	buf_reset(b);
	while ((name = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		buf_addf(b, "%s%s=\"", b->n != 0 ? "," : "", name);
		add_escaped(b, value != NULL ? value : "");
		buf_add_char(b, '"');
	}
	s = b->failed ? NULL : calloc(1, sizeof *s + b->n + 1);
	if (s == NULL) {
		m->failed = true;
		return NULL;
	}
	if (b->n != 0)
		memcpy(s->labels, b->p, b->n);
	*f->tail = s;
	f->tail = &s->next;
	return s;
}

void
metrics_counter(struct metrics *m, const char *name, const char *help, double value, ...)
{
	struct sample *s;
	va_list ap;

	va_start(ap, value);
	s = sample_new(m, family_of(m, name, help, METRIC_COUNTER), ap);
	va_end(ap);
	if (s != NULL)
		s->value = value;
}

void
metrics_gauge(struct metrics *m, const char *name, const char *help, double value, ...)
{
	struct sample *s;
	va_list ap;

	va_start(ap, value);
	s = sample_new(m, family_of(m, name, help, METRIC_GAUGE), ap);
	va_end(ap);
	if (s != NULL)
		s->value = value;
}

void
metrics_histogram(
    struct metrics *m, const char *name, const char *help, const struct histogram *h, ...)
{
	struct sample *s;
	va_list ap;

	if (h->shape == NULL)
		return;
	va_start(ap, h);
	s = sample_new(m, family_of(m, name, help, METRIC_HISTOGRAM), ap);
	va_end(ap);
	if (s != NULL)
		s->h = *h;
}

/* Counters stay whole numbers as far as a double can count. */
static void
add_number(struct buf *out, double v)
{
	if (v == floor(v) && fabs(v) < 9007199254740992.0)
		buf_addf(out, "%.0f", v);
	else
		buf_addf(out, "%.17g", v);
}

static void
add_line(struct buf *out, const char *name, const char *suffix, const char *labels,
    const char *bound, double v)
{
	buf_add_str(out, name);
	buf_add_str(out, suffix);
	if (labels[0] != '\0' || bound != NULL) {
		buf_addf(out, "{%s", labels);
		if (bound != NULL)
			buf_addf(out, "%sle=\"%s\"", labels[0] != '\0' ? "," : "", bound);
		buf_add_char(out, '}');
	}
	buf_add_char(out, ' ');
	add_number(out, v);
	buf_add_char(out, '\n');
}

static void
add_histogram(struct buf *out, const char *name, const struct sample *s)
{
	const struct histogram *h = &s->h;
	uint64_t below = 0;
	char bound[32];
	int n;

	for (size_t i = 0; i < h->shape->n; i++) {
		below += h->buckets[i];
		n = snprintf(
		    bound, sizeof bound, "%.10g", (double)h->shape->bounds[i] * h->shape->unit);
		/* Always with a point: OpenMetrics wants floats here. */
		if (strpbrk(bound, ".e") == NULL)
			(void)snprintf(bound + n, sizeof bound - (size_t)n, ".0");
		add_line(out, name, "_bucket", s->labels, bound, (double)below);
	}
	add_line(out, name, "_bucket", s->labels, "+Inf", (double)h->count);
	add_line(out, name, "_sum", s->labels, NULL, (double)h->sum * h->shape->unit);
	add_line(out, name, "_count", s->labels, NULL, (double)h->count);
}

static void
add_head(struct buf *out, const struct family *f, enum metrics_form form)
{
	static const char *const types[] = {"counter", "gauge", "histogram"};
	const char *suffix = form == METRICS_TEXT && f->type == METRIC_COUNTER ? "_total" : "";

	buf_addf(out, "# HELP %s%s ", f->name, suffix);
	/* The two forms escape these differently, and a sentence does without. */
	for (const char *s = f->help; *s != '\0'; s++)
		buf_add_char(out, *s == '"' || *s == '\\' || *s == '\n' ? '\'' : *s);
	buf_addf(out, "\n# TYPE %s%s %s\n", f->name, suffix, types[f->type]);
}

void
metrics_write(const struct metrics *m, enum metrics_form form, struct buf *out)
{
	for (const struct family *f = m->first; f != NULL; f = f->next) {
		add_head(out, f, form);
		for (const struct sample *s = f->first; s != NULL; s = s->next) {
			if (f->type == METRIC_HISTOGRAM)
				add_histogram(out, f->name, s);
			else
				add_line(out, f->name, f->type == METRIC_COUNTER ? "_total" : "",
				    s->labels, NULL, s->value);
		}
	}
	if (form == METRICS_OPEN)
		buf_add_str(out, "# EOF\n");
	if (m->failed)
		out->failed = true;
}
