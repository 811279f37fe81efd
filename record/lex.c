/* record/lex.c - see lex.h.
 *
 * Most bytes of a page are inside strings, so their ends are looked for sixteen
 * bytes at a time with SSE2, which every x86-64 has; other machines, and tests
 * that define LEX_PORTABLE, go byte by byte. Most values are {"S":"text"} and the
 * like, written without space and without escapes: skip_attribute() knows that
 * one shape and spares it the general way, which is there for everything else.
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

static inline bool
is_special(char c)
{
	return (unsigned char)c < 0x20 || (unsigned char)c >= 0x80 || c == '"' || c == '\\';
}

/* The first byte from p that is not plain string content, or end. */
static inline const char *
skip_plain(const char *p, const char *end)
{
#if LEX_SSE2
	for (; LIKELY(end - p >= 16); p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
		__m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
		/* Signed: bytes from 0x80 up count as below a space, too. */
		__m128i below = _mm_cmplt_epi8(v, _mm_set1_epi8(' '));
		__m128i special = _mm_or_si128(below, _mm_or_si128(quote, backslash));
		unsigned mask = (unsigned)_mm_movemask_epi8(special);

		if (LIKELY(mask != 0))
			return p + __builtin_ctz(mask);
	}
#endif
	while (p < end && !is_special(*p))
		p++;
	return p;
}

/* Faults inside a string or a value: p is where, and the functions that take
 * and return a cursor of their own answer NULL. The loops below keep it in a
 * register that way. */
static const char *
fail_at(struct lex *l, const char *p, const char *fault)
{
	l->p = p;
	(void)lex_fail(l, fault);
	return NULL;
}

static inline const char *
skip_space(const char *p, const char *end)
{
	while (p < end && UNLIKELY((unsigned char)*p <= ' ') &&
	    (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* p is at a backslash. */
static const char *
skip_escape(struct lex *l, const char *p)
{
	l->escaped = true;
	if (l->end - p < 2)
		return fail_at(l, p, "string cut short");
	switch (p[1]) {
	case '"':
	case '\\':
	case '/':
	case 'b':
	case 'f':
	case 'n':
	case 'r':
	case 't':
		return p + 2;
	case 'u':
		if (l->end - p >= 6 && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]))
			return p + 6;
		return fail_at(l, p, "bad \\u escape");
	default:
		return fail_at(l, p, "unknown escape");
	}
}

static const char *
skip_utf8(struct lex *l, const char *p)
{
	do {
		size_t n = utf8_length(p, (size_t)(l->end - p));

		if (n == 0)
			return fail_at(l, p, "not UTF-8");
		p += n;
	} while (p < l->end && (unsigned char)*p >= 0x80);
	return p;
}

/* Something other than plain content at p: the closing quote ends the loop. */
static const char *
skip_special(struct lex *l, const char *p)
{
	while (p != NULL && p < l->end && *p != '"') {
		unsigned char c = (unsigned char)*p;

		if (c == '\\')
			p = skip_escape(l, p);
		else if (c < 0x20)
			return fail_at(l, p, "control character in a string");
		else if (c >= 0x80)
			p = skip_utf8(l, p);
		else
			p = skip_plain(p, l->end);
	}
	if (p == l->end)
		return fail_at(l, p, "string cut short");
	return p;
}

/* p is at the opening quote; the answer is behind the closing one. */
static inline const char *
skip_string(struct lex *l, const char *p)
{
	l->escaped = false;
	p = skip_plain(p + 1, l->end);
	if (UNLIKELY(p == l->end || *p != '"')) {
		p = skip_special(l, p);
		if (p == NULL)
			return NULL;
	}
	return p + 1;
}

bool
lex_string(struct lex *l, struct slice *raw)
{
	const char *p = skip_space(l->p, l->end);
	const char *behind;

	l->p = p;
	if (UNLIKELY(p == l->end || *p != '"'))
		return lex_fail(l, "expected a string");
	behind = skip_string(l, p);
	if (behind == NULL)
		return false;
	l->p = behind;
	*raw = (struct slice){p + 1, (size_t)(behind - p) - 2};
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

/* p is at a member's name; the answer is behind the colon and space after it.
 * behind: what is behind the name. */
static inline const char *
skip_name(struct lex *l, const char *p, const char **behind)
{
	if (UNLIKELY(p == l->end || *p != '"'))
		return fail_at(l, p, "expected a member name");
	p = *behind = skip_string(l, p);
	if (UNLIKELY(p == NULL))
		return NULL;
	if (UNLIKELY(l->escaped))
		l->odd_names = true;
	p = skip_space(p, l->end);
	if (UNLIKELY(p == l->end || *p != ':'))
		return fail_at(l, p, "expected ':'");
	return skip_space(p + 1, l->end);
}

/* {"X":"plain text"} with nothing out of the ordinary in it: the answer is behind
 * it. NULL: not that, which is no fault. */
static inline const char *
skip_attribute(const char *p, const char *end)
{
	if (end - p < 8 || memcmp(p, "{\"", 2) != 0 || memcmp(p + 3, "\":\"", 3) != 0)
		return NULL;
	if (UNLIKELY(p[2] < 'A' || p[2] > 'Z'))
		return NULL;
	p = skip_plain(p + 6, end);
	return LIKELY(end - p >= 2 && p[0] == '"' && p[1] == '}') ? p + 2 : NULL;
}

/* The containers that are open inside one lex_value(), as what closes them. */
struct nest {
	unsigned open;
	unsigned room;
	char closer[LIMIT_JSON_DEPTH];
};

/* p is at a name. */
static bool
is_tag(const char *p, const char *end)
{
	if (end - p < 6)
		return false;
	if (p[2] == '"')
		return p[1] >= 'A' && p[1] <= 'Z';
	return memcmp(p, "\"SS\"", 4) == 0 || memcmp(p, "\"NS\"", 4) == 0 ||
	    memcmp(p, "\"BS\"", 4) == 0 || memcmp(p, "\"BOOL\"", 6) == 0 ||
	    memcmp(p, "\"NULL\"", 6) == 0;
}

/* p is at a member's name in the innermost object. The answer is at a value:
 * that member's, or that of a later one when those before were attributes of
 * the common shape, which are stepped over here without further ado. */
static inline const char *
skip_members(struct lex *l, const struct nest *ns, const char *p)
{
	bool room = ns->open < ns->room;
	bool inner = ns->open > 1;

	for (;;) {
		const char *behind;

		if (inner && !is_tag(p, l->end))
			l->odd_names = true;
		p = skip_name(l, p, &behind);
		if (UNLIKELY(p == NULL || !room))
			return p;
		behind = skip_attribute(p, l->end);
		if (behind == NULL || behind == l->end || *behind != ',')
			return p;
		p = skip_space(behind + 1, l->end);
	}
}

/* p is at the opening bracket; the answer is behind it. */
static inline const char *
nest_open(struct lex *l, struct nest *ns, const char *p)
{
	if (UNLIKELY(ns->open >= ns->room)) {
		l->too_deep = true;
		return fail_at(l, p, "nested too deeply");
	}
	ns->closer[ns->open++] = *p == '{' ? '}' : ']';
	return skip_space(p + 1, l->end);
}

/* After a value: closes what closes here. The answer is behind the comma before
 * the next value or name, or behind everything with nothing left open. */
static inline const char *
nest_advance(struct lex *l, struct nest *ns, const char *p)
{
	while (ns->open != 0) {
		p = skip_space(p, l->end);
		if (UNLIKELY(p == l->end))
			return fail_at(l, p, "cut short");
		if (*p == ',')
			return skip_space(p + 1, l->end);
		if (UNLIKELY(*p != ns->closer[ns->open - 1]))
			return fail_at(l, p, "expected ',' or the end of what is open");
		p++;
		ns->open--;
	}
	return p;
}

static const char *
skip_scalar_at(struct lex *l, const char *p)
{
	l->p = p;
	return skip_scalar(l, p < l->end ? (unsigned char)*p : -1) ? l->p : NULL;
}

/* p is at the opening bracket; the answer is behind the closing one. */
static const char *
skip_container(struct lex *l, unsigned depth, const char *p)
{
	struct nest ns;

	ns.open = 0;
	ns.room = depth < LIMIT_JSON_DEPTH ? LIMIT_JSON_DEPTH - depth : 0;
	do {
		char c = p < l->end ? *p : '\0';
		const char *behind = ns.open < ns.room ? skip_attribute(p, l->end) : NULL;

		if (LIKELY(behind != NULL)) {
			p = behind;
		} else if (c == '"') {
			p = skip_string(l, p);
		} else if (c == '{' || c == '[') {
			p = nest_open(l, &ns, p);
			if (p == NULL)
				return NULL;
			if (p == l->end || *p != ns.closer[ns.open - 1]) {
				p = c == '{' ? skip_members(l, &ns, p) : p;
				continue;
			}
		} else {
			p = skip_scalar_at(l, p);
		}
		if (UNLIKELY(p == NULL))
			return NULL;
		p = nest_advance(l, &ns, p);
		if (p != NULL && ns.open != 0 && ns.closer[ns.open - 1] == '}')
			p = skip_members(l, &ns, p);
	} while (p != NULL && ns.open != 0);
	return p;
}

bool
lex_value(struct lex *l, unsigned depth, struct slice *value)
{
	const char *start = skip_space(l->p, l->end);
	char c = start < l->end ? *start : '\0';
	const char *p;

	p = depth < LIMIT_JSON_DEPTH ? skip_attribute(start, l->end) : NULL;
	if (p != NULL)
		;
	else if (c == '{' || c == '[')
		p = skip_container(l, depth, start);
	else if (c == '"')
		p = skip_string(l, start);
	else
		p = skip_scalar_at(l, start);
	if (UNLIKELY(p == NULL))
		return false;
	l->p = p;
	*value = (struct slice){start, (size_t)(p - start)};
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
	const char *p = skip_space(l->p, l->end);
	const char *value, *behind;

	l->p = p;
	if (UNLIKELY(p == l->end))
		return lex_fail(l, "cut short");
	if (*p == '}') {
		l->p++;
		return false;
	}
	if (!*first) {
		if (UNLIKELY(*p != ','))
			return lex_fail(l, "expected ',' or '}'");
		p = skip_space(p + 1, l->end);
	}
	*first = false;
	value = skip_name(l, p, &behind);
	if (UNLIKELY(value == NULL))
		return false;
	l->p = value;
	*name = (struct slice){p + 1, (size_t)(behind - p) - 2};
	return true;
}

char
lex_attribute(struct lex *l, bool *first, struct slice *name, struct slice *text)
{
	const char *p = l->p;
	const char *quote, *behind;

	if (!*first && p < l->end && *p == ',')
		p++;
	else if (!*first)
		return '\0';
	if (p == l->end || *p != '"')
		return '\0';
	quote = skip_plain(p + 1, l->end);
	if (l->end - quote < 2 || quote[0] != '"' || quote[1] != ':')
		return '\0';
	behind = skip_attribute(quote + 2, l->end);
	if (behind == NULL)
		return '\0';
	*first = false;
	*name = (struct slice){p + 1, (size_t)(quote - p) - 1};
	*text = (struct slice){quote + 8, (size_t)(behind - quote) - 10};
	l->p = behind;
	return quote[4];
}

char
lex_typed(struct lex *l, struct slice *text)
{
	const char *p = l->p;
	const char *behind = skip_attribute(p, l->end);

	if (behind == NULL)
		return '\0';
	*text = (struct slice){p + 6, (size_t)(behind - p) - 8};
	l->p = behind;
	return p[2];
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
