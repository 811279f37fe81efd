/* daemon/columns.c - see columns.h. */
#include "daemon/columns.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

/* Characters, for alignment. */
static size_t
width(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void
columns_add(struct columns *c, const char *text)
{
	struct buf b = BUF_INIT(4096);

	if (text == NULL || text[0] == '\0')
		text = "-";
	buf_add_printable(&b, slice_of(text));
	if (c->n == c->cap) {
		c->cap = c->cap != 0 ? c->cap * 2 : 64;
		c->cells = mem_grow(c->cells, c->cap, sizeof *c->cells);
	}
	c->cells[c->n++] = mem_slicedup(buf_slice(&b));
	buf_close(&b);
}

void
columns_addf(struct columns *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	columns_add(c, text);
}

void
columns_begin(struct columns *c, const char *const *heads)
{
	*c = (struct columns){0};
	for (; *heads != NULL; heads++, c->count++)
		columns_add(c, *heads);
	assert(c->count != 0 && c->count <= COLUMNS_MAX);
}

size_t
columns_rows(const struct columns *c)
{
	return c->n / c->count - 1;
}

void
columns_end(struct columns *c)
{
	size_t widest[COLUMNS_MAX] = {0};

	assert(c->n % c->count == 0);
	for (size_t i = 0; i < c->n; i++) {
		size_t w = width(c->cells[i]);

		if (w > widest[i % c->count])
			widest[i % c->count] = w;
	}
	for (size_t i = 0; i < c->n; i++) {
		bool last = i % c->count == c->count - 1;
		size_t pad = last ? 0 : widest[i % c->count] + 2 - width(c->cells[i]);

		if (columns_rows(c) != 0)
			(void)printf("%s%*s%s", c->cells[i], (int)pad, "", last ? "\n" : "");
		free(c->cells[i]);
	}
	free(c->cells);
	*c = (struct columns){0};
}

void
age_write(struct buf *out, double seconds)
{
	int64_t s = seconds > 0 ? (int64_t)seconds : 0;

	if (s >= 86400)
		buf_addf(out, "%lldd %lldh", (long long)(s / 86400), (long long)(s % 86400 / 3600));
	else if (s >= 3600)
		buf_addf(out, "%lldh %lldm", (long long)(s / 3600), (long long)(s % 3600 / 60));
	else if (s >= 60)
		buf_addf(out, "%lldm %llds", (long long)(s / 60), (long long)(s % 60));
	else
		buf_addf(out, "%llds", (long long)s);
}
