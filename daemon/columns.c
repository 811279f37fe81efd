/* daemon/columns.c - see columns.h. */
#include "daemon/columns.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
	c->cells[c->n++] = (struct cell){.text = mem_slicedup(buf_slice(&b))};
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
columns_paint(struct columns *c, enum paint p)
{
	c->cells[c->n - 1].paint = p;
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

/* Bytes of the first `most` characters. */
static size_t
bytes_of(const char *s, size_t most)
{
	size_t i = 0;

	for (; s[i] != '\0'; i++)
		if (((unsigned char)s[i] & 0xc0) != 0x80 && most-- == 0)
			break;
	return i;
}

static void
cut(struct cell *cell, size_t most)
{
	struct buf b = BUF_INIT(4096);

	if (most == 0 || width(cell->text) <= most)
		return;
	buf_add(&b, cell->text, bytes_of(cell->text, most - 1));
	buf_add_str(&b, "\xe2\x80\xa6");
	free(cell->text);
	cell->text = mem_slicedup(buf_slice(&b));
	buf_close(&b);
}

/* The others have their width. */
static void
limit_last(struct columns *c, const size_t widest[COLUMNS_MAX])
{
	size_t last = c->count - 1, used = 0;

	for (size_t k = 0; k < last; k++)
		used += widest[k] + 2;
	if (c->most[last] == 0 || used + c->most[last] > c->width)
		c->most[last] = used + 8 < c->width ? c->width - used : 8;
}

void
columns_end(struct columns *c)
{
	size_t widest[COLUMNS_MAX] = {0};

	assert(c->n % c->count == 0);
	for (size_t k = 0; k < c->count; k++) {
		if (k == c->count - 1 && c->width != 0)
			limit_last(c, widest);
		for (size_t i = k; i < c->n; i += c->count) {
			size_t w;

			cut(&c->cells[i], c->most[k]);
			w = width(c->cells[i].text);
			if (w > widest[k])
				widest[k] = w;
		}
	}
	for (size_t i = 0; i < c->n; i++) {
		const struct cell *cell = &c->cells[i];
		bool last = i % c->count == c->count - 1;
		size_t pad = last ? 0 : widest[i % c->count] + 2 - width(cell->text);

		if (columns_rows(c) != 0)
			(void)printf("%s%s%s%*s%s", paint_on(c->color, cell->paint), cell->text,
			    paint_off(c->color, cell->paint), (int)pad, "", last ? "\n" : "");
		free(cell->text);
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
