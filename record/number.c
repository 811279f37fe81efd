/* record/number.c - see number.h. */
#include "record/number.h"

#include <stdio.h>

#include "record/lex.h"
#include "record/value.h"

/* Digits of an exponent, leading zeros aside. The service ends at 130; nine
 * leave every sum far inside an int64_t. */
#define EXPONENT_DIGITS 9
/* As wide as a plain form may be before an exponent reads better. */
#define PLAIN_DIGITS 40

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
read_exponent(const char *p, const char *end, int64_t *out)
{
	bool negative = p < end && *p == '-';
	const char *start;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	start = p;
	while (p < end && *p == '0')
		p++;
	if (start == end || end - p > EXPONENT_DIGITS)
		return false;
	for (*out = 0; p < end; p++) {
		if (!is_digit(*p))
			return false;
		*out = *out * 10 + (*p - '0');
	}
	if (negative)
		*out = -*out;
	return true;
}

/* The mantissa: digits with at most one point. point becomes the number of
 * digits before it, less the zeros in front. */
static bool
read_mantissa(const char *p, const char *end, struct number *out)
{
	const char *first = NULL, *last = NULL, *dot = NULL;
	size_t digits = 0;
	int64_t before = 0; /* digits before the point, from the first that is not 0 */
	int64_t zeros = 0;  /* zeros between the point and that digit */

	for (; p < end; p++) {
		if (*p == '.' && dot == NULL) {
			dot = p;
			continue;
		}
		if (!is_digit(*p))
			return false;
		digits++;
		if (*p != '0') {
			first = first != NULL ? first : p;
			last = p;
		}
		if (first == NULL)
			zeros += dot != NULL;
		else
			before += dot == NULL;
	}
	if (digits == 0)
		return false;
	out->point = before != 0 ? before : -zeros;
	if (first == NULL)
		return true;
	out->digits = (struct slice){first, (size_t)(last - first) + 1};
	out->count = out->digits.n - (dot != NULL && dot > first && dot < last);
	return true;
}

bool
number_parse(struct slice text, struct number *out)
{
	const char *p = text.p;
	const char *end = text.p + text.n;
	const char *e;
	int64_t exponent = 0;

	*out = (struct number){.digits = {"", 0}};
	if (text.n == 0)
		return false;
	out->negative = *p == '-';
	if (*p == '-' || *p == '+')
		p++;
	for (e = p; e < end && *e != 'e' && *e != 'E'; e++)
		;
	if (e < end && !read_exponent(e + 1, end, &exponent))
		return false;
	if (!read_mantissa(p, e, out))
		return false;
	out->point += exponent;
	if (out->count == 0) {
		out->negative = false;
		out->point = 0;
	}
	return true;
}

static char
next_digit(const char **p, const char *end)
{
	if (*p < end && **p == '.')
		(*p)++;
	return *p < end ? *(*p)++ : '0';
}

/* Both above zero. */
static int
cmp_magnitude(const struct number *a, const struct number *b)
{
	const char *p = a->digits.p, *q = b->digits.p;
	const char *p_end = p + a->digits.n, *q_end = q + b->digits.n;

	if (a->point != b->point)
		return a->point < b->point ? -1 : 1;
	while (p < p_end || q < q_end) {
		char c = next_digit(&p, p_end);
		char d = next_digit(&q, q_end);

		if (c != d)
			return c < d ? -1 : 1;
	}
	return 0;
}

static int
sign_of(const struct number *x)
{
	if (x->count == 0)
		return 0;
	return x->negative ? -1 : 1;
}

int
number_cmp(const struct number *a, const struct number *b)
{
	int s = sign_of(a), t = sign_of(b);

	if (s != t)
		return s < t ? -1 : 1;
	return s == 0 ? 0 : s * cmp_magnitude(a, b);
}

bool
number_is_json(struct slice text)
{
	struct lex l = lex_of(text);
	struct slice whole;

	return lex_number(&l, &whole) && whole.n == text.n;
}

static void
write_digits(const char **p, const char *end, int64_t count, struct buf *out)
{
	for (; count > 0; count--)
		buf_add_char(out, next_digit(p, end));
}

static void
write_plain(const struct number *x, struct buf *out)
{
	const char *p = x->digits.p;
	const char *end = p + x->digits.n;
	int64_t count = (int64_t)x->count;

	if (x->point <= 0) {
		buf_add(out, "0.", 2);
		for (int64_t i = x->point; i < 0; i++)
			buf_add_char(out, '0');
		write_digits(&p, end, count, out);
		return;
	}
	write_digits(&p, end, x->point, out);
	if (count > x->point) {
		buf_add_char(out, '.');
		write_digits(&p, end, count - x->point, out);
	}
}

static void
write_scientific(const struct number *x, struct buf *out)
{
	const char *p = x->digits.p;
	const char *end = p + x->digits.n;
	char exponent[24];
	int n;

	write_digits(&p, end, 1, out);
	if (x->count > 1) {
		buf_add_char(out, '.');
		write_digits(&p, end, (int64_t)x->count - 1, out);
	}
	n = snprintf(exponent, sizeof exponent, "E%+lld", (long long)(x->point - 1));
	buf_add(out, exponent, (size_t)n);
}

bool
number_canonical(struct slice text, struct buf *out)
{
	struct number x;
	int64_t width;

	if (!number_parse(text, &x)) {
		buf_add_slice(out, text);
		return false;
	}
	if (x.count == 0) {
		buf_add_char(out, '0');
		return true;
	}
	if (x.negative)
		buf_add_char(out, '-');
	width = x.point <= 0 ? 1 - x.point + (int64_t)x.count : (int64_t)x.count;
	if (width < x.point)
		width = x.point;
	if (width <= PLAIN_DIGITS)
		write_plain(&x, out);
	else
		write_scientific(&x, out);
	return true;
}
