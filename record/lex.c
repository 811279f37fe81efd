/* record/lex.c - see lex.h.
 *
 * Most bytes of a page are inside strings, so that is where speed is decided:
 * sixteen bytes at a time with SSE2, which every x86-64 has, until one of them
 * ends the string or wants a closer look (backslash, control character, not
 * ASCII). Other machines, and tests that define LEX_PORTABLE, go byte by byte.
 * Structure is read by a loop with one bit per open container, never by
 * recursion: nesting is the peer's to choose, our stack is not.
 */
#include "record/lex.h"

#include "base/limits.h"
#include "base/utf8.h"

#if defined(__SSE2__) && !defined(LEX_PORTABLE)
#include <emmintrin.h>
#define LEX_SSE2 1
#else
#define LEX_SSE2 0
#endif

static_assert(LIMIT_JSON_DEPTH % 64 == 0, "struct nest has one bit per level");

/* The first byte from p that is not plain string content, or end. */
static inline const char *
skip_plain(const char *p, const char *end)
{
#if LEX_SSE2
	const __m128i quote = _mm_set1_epi8('"');
	const __m128i backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* Signed: bytes from 0x80 up count as below a space, too. */
		__m128i stop = _mm_or_si128(_mm_cmplt_epi8(v, space),
		    _mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash)));
		int mask = _mm_movemask_epi8(stop);

		if (mask != 0)
			return p + __builtin_ctz((unsigned)mask);
	}
#endif
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\')
			break;
	}
	return p;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* p is at a backslash. */
static bool
skip_escape(struct lex *l)
{
	const char *p = l->p;

	l->escaped = true;
	if (l->end - p < 2)
		return lex_fail(l, "string cut short");
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		l->p += 2;
		return true;
	case 'u':
		if (l->end - p >= 6 && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) &&
		    is_hex(p[5])) {
			l->p += 6;
			return true;
		}
		return lex_fail(l, "bad \\u escape");
	default:
		return lex_fail(l, "unknown escape");
	}
}

static bool
skip_utf8(struct lex *l)
{
	do {
		size_t n = utf8_length(l->p, (size_t)(l->end - l->p));

		if (n == 0)
			return lex_fail(l, "not UTF-8");
		l->p += n;
	} while (l->p < l->end && (unsigned char)*l->p >= 0x80);
	return true;
}

/* p is at the opening quote. */
static inline bool
skip_string(struct lex *l)
{
	l->escaped = false;
	l->p++;
	for (;;) {
		unsigned char c;

		l->p = skip_plain(l->p, l->end);
		if (UNLIKELY(l->p == l->end))
			return lex_fail(l, "string cut short");
		c = (unsigned char)*l->p;
		if (LIKELY(c == '"')) {
			l->p++;
			return true;
		}
		if (c == '\\') {
			if (!skip_escape(l))
				return false;
		} else if (c < 0x20) {
			return lex_fail(l, "control character in a string");
		} else if (!skip_utf8(l)) {
			return false;
		}
	}
}

bool
lex_string(struct lex *l, struct slice *raw)
{
	const char *start;

	if (lex_peek(l) != '"')
		return lex_fail(l, "expected a string");
	start = l->p + 1;
	if (!skip_string(l))
		return false;
	*raw = (struct slice){start, (size_t)(l->p - 1 - start)};
	return true;
}

static bool
skip_digits(struct lex *l)
{
	const char *start = l->p;

	while (l->p < l->end && *l->p >= '0' && *l->p <= '9')
		l->p++;
	return l->p > start || lex_fail(l, "bad number");
}

static bool
skip_number(struct lex *l)
{
	if (l->p < l->end && *l->p == '-')
		l->p++;
	if (l->p < l->end && *l->p == '0')
		l->p++;
	else if (!skip_digits(l))
		return false;
	if (l->p < l->end && *l->p == '.') {
		l->p++;
		if (!skip_digits(l))
			return false;
	}
	if (l->p < l->end && (*l->p == 'e' || *l->p == 'E')) {
		l->p++;
		if (l->p < l->end && (*l->p == '+' || *l->p == '-'))
			l->p++;
		if (!skip_digits(l))
			return false;
	}
	return true;
}

bool
lex_number(struct lex *l, struct slice *text)
{
	const char *start;

	lex_peek(l);
	start = l->p;
	if (!skip_number(l))
		return false;
	*text = (struct slice){start, (size_t)(l->p - start)};
	return true;
}

static bool
skip_word(struct lex *l, const char *word, size_t n)
{
	if ((size_t)(l->end - l->p) < n || memcmp(l->p, word, n) != 0)
		return lex_fail(l, "expected a value");
	l->p += n;
	return true;
}

/* c is at p and begins neither a string nor a container. */
static bool
skip_scalar(struct lex *l, int c)
{
	switch (c) {
	case 't':
		return skip_word(l, "true", 4);
	case 'f':
		return skip_word(l, "false", 5);
	case 'n':
		return skip_word(l, "null", 4);
	case -1:
		return lex_fail(l, "cut short");
	default:
		if (c != '-' && (c < '0' || c > '9'))
			return lex_fail(l, "expected a value");
		return skip_number(l);
	}
}

static inline bool
skip_name(struct lex *l)
{
	if (UNLIKELY(lex_peek(l) != '"'))
		return lex_fail(l, "expected a member name");
	if (!skip_string(l))
		return false;
	return lex_take(l, ':') || lex_fail(l, "expected ':'");
}

/* The containers that are open inside one lex_value(), and which are objects:
 * bit i of the levels, the outermost first. */
struct nest {
	unsigned open;
	unsigned room;
	uint64_t objects[LIMIT_JSON_DEPTH / 64];
};

static bool
nest_push(struct lex *l, struct nest *ns, bool object)
{
	if (UNLIKELY(ns->open >= ns->room)) {
		l->too_deep = true;
		return lex_fail(l, "nested too deeply");
	}
	ns->objects[ns->open / 64] &= ~(UINT64_C(1) << ns->open % 64);
	ns->objects[ns->open / 64] |= (uint64_t)object << ns->open % 64;
	ns->open++;
	return true;
}

/* After a value: closes what closes here. True with the cursor at the next
 * value, or with nothing left open. */
static bool
nest_advance(struct lex *l, struct nest *ns)
{
	while (ns->open != 0) {
		unsigned inner = ns->open - 1;
		bool object = ns->objects[inner / 64] >> inner % 64 & 1;
		int c = lex_peek(l);

		if (c == ',') {
			l->p++;
			return !object || skip_name(l);
		}
		if (c != (object ? '}' : ']'))
			return lex_fail(l, object ? "expected ',' or '}'" : "expected ',' or ']'");
		l->p++;
		ns->open--;
	}
	return true;
}

bool
lex_value(struct lex *l, unsigned depth, struct slice *value)
{
	struct nest ns = {.room = depth < LIMIT_JSON_DEPTH ? LIMIT_JSON_DEPTH - depth : 0};
	int c = lex_peek(l);
	const char *start = l->p;

	for (;; c = lex_peek(l)) {
		if (c == '"') {
			if (!skip_string(l))
				return false;
		} else if (c == '{' || c == '[') {
			if (!nest_push(l, &ns, c == '{'))
				return false;
			l->p++;
			if (lex_peek(l) != (c == '{' ? '}' : ']')) {
				if (c == '{' && !skip_name(l))
					return false;
				continue;
			}
		} else if (!skip_scalar(l, c)) {
			return false;
		}
		if (!nest_advance(l, &ns))
			return false;
		if (ns.open == 0)
			break;
	}
	*value = (struct slice){start, (size_t)(l->p - start)};
	return true;
}

bool
lex_end(struct lex *l)
{
	return lex_peek(l) == -1 || lex_fail(l, "something follows the document");
}

bool
lex_member(struct lex *l, bool *first, struct slice *name)
{
	if (lex_take(l, '}'))
		return false;
	if (!*first && !lex_take(l, ','))
		return lex_fail(l, "expected ',' or '}'");
	*first = false;
	if (!lex_string(l, name))
		return false;
	return lex_take(l, ':') || lex_fail(l, "expected ':'");
}

bool
lex_element(struct lex *l, bool *first)
{
	if (lex_take(l, ']'))
		return false;
	if (!*first && !lex_take(l, ','))
		return lex_fail(l, "expected ',' or ']'");
	*first = false;
	return true;
}
