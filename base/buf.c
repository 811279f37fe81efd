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

static void
add_escape(struct buf *b, unsigned code)
{
	static const char hex[] = "0123456789abcdef";
	static const char letters[] = "btn_fr"; /* \b is 8, \r is 13; \v has no letter in JSON */

	buf_add_char(b, '\\');
	if (code == '"' || code == '\\') {
		buf_add_char(b, (char)code);
	} else if (code >= '\b' && code <= '\r' && code != '\v') {
		buf_add_char(b, letters[code - '\b']);
	} else {
		buf_add_char(b, 'u');
		for (int shift = 12; shift >= 0; shift -= 4)
			buf_add_char(b, hex[code >> shift & 15]);
	}
}

/* The code point of a two or three byte sequence; 0 for one of four. */
static unsigned
code_of(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n == 2)
		return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	if (n == 3)
		return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	return 0;
}

/* C1 controls, line and paragraph separators, bidirectional marks. */
static bool
is_deceptive(unsigned code)
{
	return (code >= 0x80 && code <= 0x9f) || code == 0x61c || code == 0x200e ||
	    code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

/* One character that is not plain ASCII text; returns its length in s. */
static size_t
add_special(struct buf *b, struct slice s, bool visible)
{
	unsigned char c = (unsigned char)s.p[0];
	size_t len;

	if (c < 0x80) {
		add_escape(b, c);
		return 1;
	}
	len = utf8_length(s.p, s.n);
	if (len == 0) {
		buf_add(b, "\xef\xbf\xbd", 3);
		return 1;
	}
	if (visible && is_deceptive(code_of(s.p, len)))
		add_escape(b, code_of(s.p, len));
	else
		buf_add(b, s.p, len);
	return len;
}

static void
add_escaped(struct buf *b, struct slice s, bool visible)
{
	unsigned char last = visible ? 0x7e : 0x7f;
	size_t i = 0;

	while (i < s.n) {
		size_t start = i;

		for (; i < s.n; i++) {
			unsigned char c = (unsigned char)s.p[i];

			if (c < 0x20 || c > last || c == '"' || c == '\\')
				break;
		}
		buf_add(b, s.p + start, i - start);
		if (i < s.n)
			i += add_special(b, (struct slice){s.p + i, s.n - i}, visible);
	}
}

void
buf_add_json_string(struct buf *b, struct slice s)
{
	buf_add_char(b, '"');
	add_escaped(b, s, false);
	buf_add_char(b, '"');
}

void
buf_add_visible(struct buf *b, struct slice s)
{
	add_escaped(b, s, true);
}

void
buf_add_printable(struct buf *b, struct slice s)
{
	while (s.n != 0) {
		size_t n = 0;

		while (n < s.n && s.p[n] != '"' && s.p[n] != '\\')
			n++;
		add_escaped(b, (struct slice){s.p, n}, true);
		if (n < s.n)
			buf_add_char(b, s.p[n++]);
		s.p += n;
		s.n -= n;
	}
}

void
buf_add_base64(struct buf *b, const void *p, size_t n)
{
	static const char abc[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = p;
	char *out;

	if (n == 0 || n > b->max || !buf_reserve(b, (n + 2) / 3 * 4))
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
