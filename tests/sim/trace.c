/* tests/sim/trace.c - see trace.h. */
#include "tests/sim/trace.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/mem.h"

void
trace_open(struct trace *t, const int64_t *clock, enum trace_level level)
{
	*t = (struct trace){.hash = UINT64_C(0xcbf29ce484222325), .clock = clock};
	t->all = level == TRACE_ALL;
	if (level != TRACE_HASH)
		t->ring = mem_array(TRACE_LINES, TRACE_WIDTH);
}

void
trace_close(struct trace *t)
{
	free(t->ring);
	t->ring = NULL;
}

void
trace_line(struct trace *t, const char *fmt, ...)
{
	char *line = t->ring[t->lines++ % TRACE_LINES];
	int n = snprintf(line, TRACE_WIDTH, "%12.6f ", (double)*t->clock / 1e6);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line + n, TRACE_WIDTH - (size_t)n, fmt, ap);
	va_end(ap);
	if (t->all)
		(void)puts(line);
}

void
trace_print(const struct trace *t, FILE *to)
{
	uint64_t first = t->lines > TRACE_LINES ? t->lines - TRACE_LINES : 0;

	if (t->ring == NULL || t->all)
		return;
	for (uint64_t i = first; i < t->lines; i++)
		(void)fprintf(to, "%s\n", t->ring[i % TRACE_LINES]);
}
