/* record/text.c - see text.h and value.h.
 *
 * Raw strings are what stands between two quotes. Nearly all of them hold no
 * backslash and are their own text, so every function first looks for one and
 * only then decodes, code point by code point. Bytes that are not well-formed
 * come out as something or other, but are never read past their end.
 */
#include "record/text.h"

#include "base/utf8.h"
#include "record/value.h"

#define REPLACEMENT 0xfffdu

static bool
is_surrogate(uint32_t c)
{
	return c >= 0xd800 && c <= 0xdfff;
}

static uint32_t
read_hex4(const char *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

		v = v << 4 | ((uint32_t)digit & 15);
	}
	return v;
}

/* *p is behind "\u". A pair of surrogates is one code point; half of one is
 * given as it is. */
static uint32_t
read_unicode_escape(const char **p, const char *end)
{
	uint32_t high, low;

	if (end - *p < 4) {
		*p = end;
		return REPLACEMENT;
	}
	high = read_hex4(*p);
	*p += 4;
	if (high < 0xd800 || high > 0xdbff || end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
		return high;
	low = read_hex4(*p + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return high;
	*p += 6;
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

/* *p is at a backslash. */
static uint32_t
read_escape(const char **p, const char *end)
{
	char c;

	(*p)++;
	if (*p == end)
		return REPLACEMENT;
	c = *(*p)++;
	switch (c) {
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'u':
		return read_unicode_escape(p, end);
	default:
		return (unsigned char)c;
	}
}

static uint32_t
read_code(const char **p, const char *end)
{
	const unsigned char *u = (const unsigned char *)*p;
	size_t n;

	if (u[0] == '\\')
		return read_escape(p, end);
	n = utf8_length(*p, (size_t)(end - *p));
	*p += n != 0 ? n : 1;
	switch (n) {
	case 1:
		return u[0];
	case 2:
		return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	case 3:
		return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	case 4:
		return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 |
		    (u[3] & 0x3fu);
	default:
		return REPLACEMENT;
	}
}

static size_t
encode_utf8(char out[4], uint32_t c)
{
	if (is_surrogate(c))
		c = REPLACEMENT;
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/* Copies up to the next backslash and decodes what it begins. False at the end. */
static bool
next_escape(const char **p, const char *end, struct buf *out, uint32_t *code)
{
	const char *backslash = *p < end ? memchr(*p, '\\', (size_t)(end - *p)) : NULL;

	if (backslash == NULL) {
		buf_add(out, *p, (size_t)(end - *p));
		return false;
	}
	buf_add(out, *p, (size_t)(backslash - *p));
	*p = backslash;
	*code = read_escape(p, end);
	return true;
}

void
json_unescape(struct slice raw, struct buf *out)
{
	const char *p = raw.p;
	uint32_t code;

	if (raw.n == 0)
		return;
	while (next_escape(&p, raw.p + raw.n, out, &code)) {
		char utf8[4];

		buf_add(out, utf8, encode_utf8(utf8, code));
	}
}

static void
write_code(struct buf *out, uint32_t c)
{
	static const char hex[] = "0123456789abcdef";
	static const char named[] = {
	    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
	char utf8[4];

	if (c == '"' || c == '\\') {
		buf_add_char(out, '\\');
		buf_add_char(out, (char)c);
	} else if (c < sizeof named && named[c] != '\0') {
		buf_add_char(out, '\\');
		buf_add_char(out, named[c]);
	} else if (c < 0x20 || is_surrogate(c)) {
		char escape[6] = {
		    '\\', 'u', hex[c >> 12], hex[c >> 8 & 15], hex[c >> 4 & 15], hex[c & 15]};

		buf_add(out, escape, sizeof escape);
	} else {
		buf_add(out, utf8, encode_utf8(utf8, c));
	}
}

void
text_write_canonical(struct slice raw, struct buf *out)
{
	const char *p = raw.p;
	uint32_t code;

	buf_add_char(out, '"');
	if (raw.n != 0)
		while (next_escape(&p, raw.p + raw.n, out, &code))
			write_code(out, code);
	buf_add_char(out, '"');
}

int
text_cmp(struct slice a, struct slice b)
{
	const char *p = a.p, *q = b.p;

	/* UTF-8 bytes sort as their code points do. */
	if (!text_has_escape(a) && !text_has_escape(b))
		return slice_cmp(a, b);
	while (p < a.p + a.n && q < b.p + b.n) {
		uint32_t c = read_code(&p, a.p + a.n);
		uint32_t d = read_code(&q, b.p + b.n);

		if (c != d)
			return c < d ? -1 : 1;
	}
	return (p < a.p + a.n) - (q < b.p + b.n);
}

bool
json_string_eq(struct slice a, struct slice b)
{
	return slice_eq(a, b) || text_cmp(a, b) == 0;
}

bool
json_string_is(struct slice raw, const char *text)
{
	const char *p = raw.p;
	size_t n = strlen(text);

	if (raw.n == n && memcmp(raw.p, text, n) == 0 && memchr(text, '\\', n) == NULL)
		return true;
	if (!text_has_escape(raw))
		return false;
	while (p < raw.p + raw.n) {
		char utf8[4];
		size_t len = encode_utf8(utf8, read_code(&p, raw.p + raw.n));

		if (len > n || memcmp(utf8, text, len) != 0)
			return false;
		text += len;
		n -= len;
	}
	return n == 0;
}
