/* filters/pattern_text.c - text comparisons of patterns, over plain UTF-8. */
#include "filters/pattern_priv.h"

#include <arpa/inet.h>
#include <wctype.h>

#include "base/utf8.h"

/* ---- case ---- */

static uint32_t
code_at(const char *p, size_t *length, size_t room)
{
	const unsigned char *u = (const unsigned char *)p;

	*length = utf8_length(p, room);
	switch (*length) {
	case 2:
		return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	case 3:
		return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	case 4:
		return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 |
		    (u[3] & 0x3fu);
	default: /* ASCII, or a byte that is no UTF-8 and stands for itself */
		*length = 1;
		return u[0];
	}
}

/* Upper case first: letters such as the two small sigmas share one. */
static uint32_t
fold(uint32_t c, locale_t utf8)
{
	if (c < 0x80)
		return c >= 'A' && c <= 'Z' ? c + 32 : c;
	return (uint32_t)towlower_l((wint_t)towupper_l((wint_t)c, utf8), utf8);
}

static size_t
encode(char out[4], uint32_t c)
{
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

void
text_fold(struct slice plain, locale_t utf8, struct buf *out)
{
	for (size_t i = 0, n; i < plain.n; i += n) {
		char bytes[4];

		buf_add(
		    out, bytes, encode(bytes, fold(code_at(plain.p + i, &n, plain.n - i), utf8)));
	}
}

/* How many bytes of plain, from its beginning, fold to `folded`; SIZE_MAX: it
 * does not begin with that. */
static size_t
folded_prefix(struct slice plain, struct slice folded, locale_t utf8)
{
	size_t i = 0, j = 0, n, m;

	while (j < folded.n) {
		if (i == plain.n)
			return SIZE_MAX;
		if (fold(code_at(plain.p + i, &n, plain.n - i), utf8) !=
		    code_at(folded.p + j, &m, folded.n - j))
			return SIZE_MAX;
		i += n;
		j += m;
	}
	return i;
}

bool
text_is_folded(struct slice plain, struct slice folded, locale_t utf8)
{
	return folded_prefix(plain, folded, utf8) == plain.n;
}

bool
text_starts_folded(struct slice plain, struct slice folded, locale_t utf8)
{
	return folded_prefix(plain, folded, utf8) != SIZE_MAX;
}

/* The first byte of the code point before p. */
static const char *
step_back(const char *p, const char *begin)
{
	do
		p--;
	while (p > begin && (*p & 0xc0) == 0x80);
	return p;
}

/* From the ends: a letter and its other case may differ in length. */
bool
text_ends_folded(struct slice plain, struct slice folded, locale_t utf8)
{
	const char *p = plain.p + plain.n, *q = folded.p + folded.n;
	size_t ignored;

	while (q > folded.p) {
		const char *p_end = p, *q_end = q;

		if (p == plain.p)
			return false;
		p = step_back(p, plain.p);
		q = step_back(q, folded.p);
		if (fold(code_at(p, &ignored, (size_t)(p_end - p)), utf8) !=
		    code_at(q, &ignored, (size_t)(q_end - q)))
			return false;
	}
	return true;
}

/* ---- wildcards ---- */

/* Greedy with one place to come back to: after a later star no earlier one
 * need ever take more. */
bool
text_is_like(struct slice plain, struct slice wildcard)
{
	size_t i = 0, j = 0, star = SIZE_MAX, mark = 0;

	while (i < plain.n) {
		if (j < wildcard.n && wildcard.p[j] == WILDCARD_STAR) {
			star = j++;
			mark = i;
		} else if (j < wildcard.n && wildcard.p[j] == plain.p[i]) {
			i++;
			j++;
		} else if (star != SIZE_MAX) {
			j = star + 1;
			i = ++mark;
		} else {
			return false;
		}
	}
	while (j < wildcard.n && wildcard.p[j] == WILDCARD_STAR)
		j++;
	return j == wildcard.n;
}

/* ---- addresses ---- */

unsigned
text_address(struct slice plain, unsigned char out[16])
{
	char text[INET6_ADDRSTRLEN];

	if (plain.n == 0 || plain.n >= sizeof text || memchr(plain.p, '\0', plain.n) != NULL)
		return 0;
	memcpy(text, plain.p, plain.n);
	text[plain.n] = '\0';
	if (inet_pton(AF_INET, text, out) == 1)
		return 4;
	return inet_pton(AF_INET6, text, out) == 1 ? 16 : 0;
}
