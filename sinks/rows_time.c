/* sinks/rows_time.c - points in time as people write them into attributes.
 *
 * 2026-11-21, 2026-11-21T07:29, 2026-11-21 07:29:37.123456789+01:00: ISO 8601's
 * extended form, in the years 1 to 9999. No zone means UTC. Digits below a microsecond
 * are dropped; a leap second is the second after it.
 */
#include "sinks/rows_priv.h"

#define USEC INT64_C(1000000)
#define FIRST INT64_C(-62135596800000000) /* 0001-01-01T00:00:00Z */
#define LAST INT64_C(253402300799999999)  /* 9999-12-31T23:59:59.999999Z */

struct cursor {
	const char *p, *end;
};

static bool
take(struct cursor *c, char what)
{
	if (c->p == c->end || *c->p != what)
		return false;
	c->p++;
	return true;
}

/* Exactly that many digits, in min..max. */
static bool
take_number(struct cursor *c, int digits, int min, int max, int *out)
{
	int v = 0;

	for (; digits > 0; digits--, c->p++) {
		if (c->p == c->end || *c->p < '0' || *c->p > '9')
			return false;
		v = v * 10 + (*c->p - '0');
	}
	*out = v;
	return v >= min && v <= max;
}

static int
days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01; years begin in March, so that the leap day is the last. */
static int64_t
days_of(int year, int month, int day)
{
	int y = month <= 2 ? year - 1 : year;
	int era = y / 400, yoe = y % 400;
	int doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (int64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static bool
take_date(struct cursor *c, int64_t *us)
{
	int year, month, day;

	if (!take_number(c, 4, 1, 9999, &year) || !take(c, '-') ||
	    !take_number(c, 2, 1, 12, &month) || !take(c, '-') ||
	    !take_number(c, 2, 1, days_in(year, month), &day))
		return false;
	*us = days_of(year, month, day) * 86400 * USEC;
	return true;
}

static bool
take_fraction(struct cursor *c, int64_t *us)
{
	int64_t unit = USEC / 10;
	const char *start = c->p;

	for (; c->p < c->end && *c->p >= '0' && *c->p <= '9'; c->p++, unit /= 10)
		*us += unit * (*c->p - '0');
	return c->p > start;
}

static bool
take_clock(struct cursor *c, int64_t *us)
{
	int hour, minute, second = 0;

	if (!take_number(c, 2, 0, 23, &hour) || !take(c, ':') || !take_number(c, 2, 0, 59, &minute))
		return false;
	if (take(c, ':')) {
		if (!take_number(c, 2, 0, 60, &second))
			return false;
		if ((take(c, '.') || take(c, ',')) && !take_fraction(c, us))
			return false;
	}
	*us += ((hour * 60 + minute) * 60 + second) * USEC;
	return true;
}

static bool
take_zone(struct cursor *c, int64_t *us)
{
	bool west;
	int hour, minute = 0;

	if (c->p == c->end || take(c, 'Z') || take(c, 'z'))
		return true;
	west = *c->p == '-';
	if (!take(c, '+') && !take(c, '-'))
		return false;
	if (!take_number(c, 2, 0, 23, &hour))
		return false;
	(void)take(c, ':');
	if (c->p != c->end && !take_number(c, 2, 0, 59, &minute))
		return false;
	*us += (west ? 1 : -1) * (hour * 60 + minute) * 60 * USEC;
	return true;
}

bool
rows_time_parse(struct slice text, int64_t *us)
{
	struct cursor c = {text.p, text.p + text.n};

	if (!take_date(&c, us))
		return false;
	if (c.p == c.end)
		return true;
	if (!take(&c, 'T') && !take(&c, ' ') && !take(&c, 't'))
		return false;
	return take_clock(&c, us) && take_zone(&c, us) && c.p == c.end && *us >= FIRST &&
	    *us <= LAST;
}
