/* record/format.c - see format.h. Which writer, and what its failures mean. */
#include "record/format.h"

#include "record/format_priv.h"
#include "record/rewrite.h"

const char *const format_words[] = {
    [FORMAT_DYNAMODB] = "dynamodb",
    [FORMAT_PLAIN] = "plain",
    [FORMAT_ENVELOPE] = "envelope",
    [FORMAT_DEBEZIUM] = "debezium",
    NULL,
};

/* Half a record helps nobody: what was written is taken back. */
static int
finish(struct buf *out, size_t start, const char *fault, struct err *e)
{
	if (fault == NULL && !out->failed)
		return 0;
	out->n = start;
	if (fault != NULL)
		return err_set(e, ERR_PROTOCOL, "format: %s", fault);
	return err_set(e, ERR_LIMIT, "format: the record does not fit into %zu bytes", out->max);
}

int
format_write(
    enum format f, const struct record *r, const struct origin *o, struct buf *out, struct err *e)
{
	const char *fault = NULL;
	size_t start = out->n;

	switch (f) {
	case FORMAT_DYNAMODB:
		record_write_plain(r, out);
		break;
	case FORMAT_PLAIN:
		fault = plain_add_record(r, out);
		break;
	case FORMAT_ENVELOPE:
		fault = envelope_add_record(r, o, out);
		break;
	case FORMAT_DEBEZIUM:
		fault = debezium_add_record(r, o, out);
		break;
	}
	return finish(out, start, fault, e);
}

int
plain_write_image(struct slice image, struct buf *out, struct err *e)
{
	size_t start = out->n;

	return finish(out, start, plain_add_image(image, out), e);
}

int
plain_write_value(struct slice value, struct buf *out, struct err *e)
{
	size_t start = out->n;

	return finish(out, start, plain_add_value(value, out), e);
}

/* Days since 1970-01-01 to a date of the proleptic Gregorian calendar. Years
 * are counted from March, so that the leap day comes last. */
static void
civil_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468; /* since 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned march = (5 * doy + 2) / 153;

	*day = doy - (153 * march + 2) / 5 + 1;
	*month = march < 10 ? march + 3 : march - 9;
	*year = (int64_t)yoe + era * 400 + (*month <= 2);
}

static void
add_digits(struct buf *out, uint64_t v, int width)
{
	char digits[20];

	for (int i = width; i-- > 0; v /= 10)
		digits[i] = (char)('0' + v % 10);
	buf_add(out, digits, (size_t)width);
}

void
format_time(int64_t us, struct buf *out)
{
	int64_t sec = us / 1000000 - (us % 1000000 < 0);
	int64_t days = sec / 86400 - (sec % 86400 < 0);
	uint64_t fraction = (uint64_t)(us % 1000000 + (us % 1000000 < 0 ? 1000000 : 0));
	uint64_t second = (uint64_t)(sec - days * 86400);
	unsigned month, day;
	int64_t year;

	civil_of(days, &year, &month, &day);
	if (year < 0) {
		buf_add_char(out, '-');
		year = -year;
	}
	add_digits(out, (uint64_t)year, year > 9999 ? 6 : 4);
	buf_add_char(out, '-');
	add_digits(out, month, 2);
	buf_add_char(out, '-');
	add_digits(out, day, 2);
	buf_add_char(out, 'T');
	add_digits(out, second / 3600, 2);
	buf_add_char(out, ':');
	add_digits(out, second / 60 % 60, 2);
	buf_add_char(out, ':');
	add_digits(out, second % 60, 2);
	if (fraction != 0) {
		bool micros = fraction % 1000 != 0;

		buf_add_char(out, '.');
		add_digits(out, micros ? fraction : fraction / 1000, micros ? 6 : 3);
	}
	buf_add_char(out, 'Z');
}
