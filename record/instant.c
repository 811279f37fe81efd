/* record/instant.c - see instant.h. */
#include "record/instant.h"

#define INSTANT_MIN INT64_C(-62135596800000000) /* 0001-01-01T00:00:00Z */
#define INSTANT_MAX INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */
/* Far beyond what can matter, and safe to add to any length of text. */
#define EXPONENT_CAP 1000000000
#define SUM_FULL INT64_C(100000000000000000) /* has eighteen digits */

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

bool
instant_parse(struct slice number, int64_t *us)
{
	const char *p = number.p, *end = number.p + number.n;
	bool negative = p < end && *p == '-';
	bool point = false;
	int64_t shift = 6; /* sum * 10^shift is microseconds */
	int64_t sum = 0;

	/* Eighteen digits from the first that is not 0 say it all: what needs more
	 * before the microsecond is out of range, and what comes after is dropped. */
	for (p += negative; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			point = true;
		} else if (sum < SUM_FULL) {
			sum = sum * 10 + (*p - '0');
			shift -= point;
		} else {
			shift += !point;
		}
	}
	if (p < end)
		shift += read_exponent(p + 1, end);
	for (; shift > 0 && sum != 0 && sum <= INSTANT_MAX; shift--)
		sum *= 10;
	for (; shift < 0 && sum != 0; shift++)
		sum /= 10;
	*us = negative ? -sum : sum;
	return *us >= INSTANT_MIN && *us <= INSTANT_MAX;
}
