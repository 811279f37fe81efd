/* base/buf.c - see buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

bool
buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap;
	char *p;

	if (b->failed)
		return false;
	if (__builtin_add_overflow(b->n, more, &need) || need > b->max) {
		b->failed = true;
		return false;
	}
	if (need <= b->cap)
		return true;
	cap = b->cap < 256 ? 256 : b->cap * 2;
	if (cap < need)
		cap = need;
	if (cap > b->max)
		cap = b->max;
	p = realloc(b->p, cap);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0 || !buf_reserve(b, n))
		return;
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0) {
		b->failed = true;
		return;
	}
	/* One more byte for vsnprintf's NUL, which does not count. */
	if (!buf_reserve(b, (size_t)n + 1))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->n += (size_t)n;
}

void
buf_add_json_string(struct buf *b, struct slice s)
{
	static const char hex[] = "0123456789abcdef";
	size_t i = 0;

	buf_add_char(b, '"');
	while (i < s.n) {
		unsigned char c = (unsigned char)s.p[i];
		size_t start = i;
		size_t len;

		while (i < s.n && (c = (unsigned char)s.p[i]) >= 0x20 && c < 0x80 && c != '"' && c != '\\')
			i++;
		buf_add(b, s.p + start, i - start);
		if (i == s.n)
			break;
		if (c >= 0x80) {
			len = utf8_length(s.p + i, s.n - i);
			if (len != 0)
				buf_add(b, s.p + i, len);
			else
				buf_add(b, "\xef\xbf\xbd", 3);
			i += len != 0 ? len : 1;
			continue;
		}
		i++;
		switch (c) {
		case '"':
		case '\\':
			buf_add_char(b, '\\');
			buf_add_char(b, (char)c);
			break;
		case '\b':
			buf_add(b, "\\b", 2);
			break;
		case '\f':
			buf_add(b, "\\f", 2);
			break;
		case '\n':
			buf_add(b, "\\n", 2);
			break;
		case '\r':
			buf_add(b, "\\r", 2);
			break;
		case '\t':
			buf_add(b, "\\t", 2);
			break;
		default:
			buf_add(b, "\\u00", 4);
			buf_add_char(b, hex[c >> 4]);
			buf_add_char(b, hex[c & 15]);
		}
	}
	buf_add_char(b, '"');
}

void
buf_add_base64(struct buf *b, const void *p, size_t n)
{
	static const char abc[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = p;
	char *out;

	if (n > b->max || !buf_reserve(b, (n + 2) / 3 * 4))
		return;
	out = b->p + b->n;
	for (; n >= 3; n -= 3, in += 3) {
		*out++ = abc[in[0] >> 2];
		*out++ = abc[(in[0] & 3) << 4 | in[1] >> 4];
		*out++ = abc[(in[1] & 15) << 2 | in[2] >> 6];
		*out++ = abc[in[2] & 63];
	}
	if (n != 0) {
		unsigned second = n == 2 ? in[1] : 0u;

		*out++ = abc[in[0] >> 2];
		*out++ = abc[(in[0] & 3u) << 4 | second >> 4];
		*out++ = n == 2 ? abc[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	b->n = (size_t)(out - b->p);
}

const char *
buf_cstr(struct buf *b)
{
	if (!buf_reserve(b, 1))
		return "";
	b->p[b->n] = '\0';
	return b->p;
}

void
buf_close(struct buf *b)
{
	free(b->p);
	b->p = NULL;
	b->n = b->cap = 0;
	b->failed = false;
}
