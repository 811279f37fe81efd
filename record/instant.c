/* record/instant.c - see instant.h. */
#include "record/instant.h"

#define INSTANT_MIN INT64_C(-62135596800000000) /* 0001-01-01T00:00:00Z */
#define INSTANT_MAX INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */
/* Far beyond what can matter, and safe to add to any length of text. */
#define EXPONENT_CAP 1000000000

static int64_t
read_exponent(const char *p, const char *end)
{
	bool negative = p < end && *p == '-';
	int64_t x = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end; p++)
		if (x < EXPONENT_CAP)
			x = x * 10 + (*p - '0');
	return negative ? -x : x;
}

static bool
push_digit(int64_t *us, int digit)
{
	*us = *us * 10 + digit;
	return *us <= INSTANT_MAX;
}

bool
instant_parse(struct slice number, int64_t *us)
{
	const char *end = number.p + number.n;
	const char *p = number.p;
	bool negative = p < end && *p == '-';
	const char *mantissa = p + negative;
	int64_t weight = -1; /* power of ten of the next digit */
	const char *e;
	int64_t sum = 0;

	for (e = mantissa; e < end && *e != 'e' && *e != 'E'; e++)
		;
	for (p = mantissa; p < e && *p != '.'; p++)
		weight++;
	if (e < end)
		weight += read_exponent(e + 1, end);
	for (p = mantissa; p < e && weight >= -6; p++) {
		if (*p == '.')
			continue;
		if (!push_digit(&sum, *p - '0'))
			return false;
		weight--;
	}
	for (; sum != 0 && weight >= -6; weight--)
		if (!push_digit(&sum, 0))
			return false;
	*us = negative ? -sum : sum;
	return *us >= INSTANT_MIN && *us <= INSTANT_MAX;
}
