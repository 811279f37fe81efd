/* base/conf_values.c - numbers, durations, sizes and words, as people write
 * them, and the guess at what a misspelt word was meant to be.
 *
 * Apart from the tables because command lines use the same parsers. Each
 * parser takes the whole text or refuses it with the spelling it wants;
 * nothing is rounded, wrapped or read up to the first bad character.
 */
#include "base/conf.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/conf_priv.h"

#define NEAREST_MAX 64 /* longer words are not compared: no key is that long */

struct unit {
	const char *name;
	int64_t scale;
};

static const struct unit duration_units[] = {
    {"ms", 1000},
    {"s", 1000000},
    {"m", 60 * INT64_C(1000000)},
    {"h", 3600 * INT64_C(1000000)},
    {"d", 86400 * INT64_C(1000000)},
};

/* The second spelling of a size is accepted and never written. */
static const struct unit size_units[] = {
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"K", INT64_C(1) << 10},
    {"M", INT64_C(1) << 20},
    {"G", INT64_C(1) << 30},
};

struct conf_shown
conf_show(const char *text)
{
	struct conf_shown shown;
	struct buf b = BUF_INIT(4096);
	size_t n = strlen(text);
	bool cut = n > 60;

	buf_add_printable(&b, (struct slice){text, cut ? 60 : n});
	(void)snprintf(shown.s, sizeof shown.s, "%.*s%s", b.n > 90 ? 90 : (int)b.n,
	    b.p != NULL ? b.p : "", cut || b.n > 90 ? "..." : "");
	buf_close(&b);
	return shown;
}

/* Digits up to the first other character; NULL if there are none or they do
 * not fit. */
static const char *
read_digits(const char *p, int64_t *out)
{
	int64_t v = 0;

	if (*p < '0' || *p > '9')
		return NULL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
			return NULL;
	*out = v;
	return p;
}

static const struct unit *
find_unit(const struct unit *units, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(units[i].name, name) == 0)
			return &units[i];
	return NULL;
}

int
conf_parse_duration(const char *text, int64_t *out, struct err *e)
{
	const struct unit *u;
	const char *rest;
	int64_t v;

	rest = read_digits(text, &v);
	if (rest != NULL && *rest == '\0') {
		if (v == 0) {
			*out = 0;
			return 0;
		}
		return err_set(e, ERR_CONFIG, "\"%s\" has no unit; write for example %ss or %sms",
		    conf_show(text).s, conf_show(text).s, conf_show(text).s);
	}
	u = rest != NULL ? find_unit(duration_units, ARRAY_LEN(duration_units), rest) : NULL;
	if (u == NULL)
		return err_set(e, ERR_CONFIG,
		    "\"%s\" is not a duration; write a whole number and ms, s, m, h or d, "
		    "for example 250ms",
		    conf_show(text).s);
	if (__builtin_mul_overflow(v, u->scale, out))
		return err_set(e, ERR_CONFIG, "\"%s\" is too long", conf_show(text).s);
	return 0;
}

int
conf_parse_size(const char *text, int64_t *out, struct err *e)
{
	const struct unit *u;
	const char *rest;
	int64_t v;

	rest = read_digits(text, &v);
	if (rest != NULL && *rest == '\0') {
		*out = v;
		return 0;
	}
	u = rest != NULL ? find_unit(size_units, ARRAY_LEN(size_units), rest) : NULL;
	if (u == NULL)
		return err_set(e, ERR_CONFIG,
		    "\"%s\" is not a size; write a whole number of bytes, or one with KiB, MiB "
		    "or GiB, for example 64MiB",
		    conf_show(text).s);
	if (__builtin_mul_overflow(v, u->scale, out))
		return err_set(e, ERR_CONFIG, "\"%s\" is too large", conf_show(text).s);
	return 0;
}

int
conf_parse_int(const char *text, int64_t min, int64_t max, int64_t *out, struct err *e)
{
	bool negative = text[0] == '-';
	const char *rest;
	int64_t v;

	rest = read_digits(text + (negative ? 1 : 0), &v);
	if (rest == NULL || *rest != '\0')
		return err_set(e, ERR_CONFIG, "\"%s\" is not a whole number", conf_show(text).s);
	if (negative)
		v = -v;
	if (v < min || v > max)
		return err_set(e, ERR_CONFIG, "%lld is out of range; it must be %lld to %lld",
		    (long long)v, (long long)min, (long long)max);
	*out = v;
	return 0;
}

bool
conf_parse_bool(const char *text, bool *out)
{
	static const char *const yes[] = {"true", "yes", "on"};
	static const char *const no[] = {"false", "no", "off"};

	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		*out = strcasecmp(text, yes[i]) == 0;
		if (*out || strcasecmp(text, no[i]) == 0)
			return true;
	}
	return false;
}

/* The largest unit that divides v. */
static void
write_scaled(struct buf *out, int64_t v, const struct unit *units, size_t count)
{
	for (size_t i = count; v != 0 && i-- > 0;) {
		if (v % units[i].scale == 0) {
			buf_addf(out, "%lld%s", (long long)(v / units[i].scale), units[i].name);
			return;
		}
	}
	buf_addf(out, "%lld", (long long)v);
}

void
conf_write_duration(struct buf *out, int64_t us)
{
	write_scaled(out, us, duration_units, ARRAY_LEN(duration_units));
}

void
conf_write_size(struct buf *out, int64_t bytes)
{
	write_scaled(out, bytes, size_units, 3);
}

void
conf_write_number(struct buf *out, enum conf_type type, int64_t v)
{
	if (type == CONF_DURATION)
		conf_write_duration(out, v);
	else if (type == CONF_SIZE)
		conf_write_size(out, v);
	else
		buf_addf(out, "%lld", (long long)v);
}

void
conf_write_words(struct buf *out, const char *const *words)
{
	for (size_t i = 0; words[i] != NULL; i++) {
		if (i != 0)
			buf_add_str(out, words[i + 1] != NULL ? ", " : " or ");
		buf_add_str(out, words[i]);
	}
}

/* Edit distance where a swap of neighbours counts once; both at most
 * NEAREST_MAX long. */
static unsigned
distance(const char *a, size_t an, const char *b, size_t bn)
{
	unsigned rows[3][NEAREST_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];

	for (size_t j = 0; j <= bn; j++)
		last[j] = before[j] = (unsigned)j;
	for (size_t i = 1; i <= an; i++) {
		unsigned *oldest = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= bn; j++) {
			unsigned d = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < d)
				d = last[j] + 1;
			if (row[j - 1] + 1 < d)
				d = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			row[j] = d;
		}
		before = last;
		last = row;
		row = oldest;
	}
	return last[bn];
}

const char *
conf_nearest(const char *text, const char *const *words)
{
	const char *best = NULL;
	size_t n = strlen(text);
	unsigned best_distance = UINT_MAX;

	if (n == 0 || n > NEAREST_MAX)
		return NULL;
	for (; *words != NULL; words++) {
		size_t wn = strlen(*words);
		size_t longer = wn > n ? wn : n;
		unsigned d;

		if (wn > NEAREST_MAX)
			continue;
		d = distance(text, n, *words, wn);
		/* A third of the letters may be wrong: more is another word. */
		if (d <= (longer + 2) / 3 && d < longer && d < best_distance) {
			best_distance = d;
			best = *words;
		}
	}
	return best;
}
