/* sinks/postgres_array.c - see postgres_array.h. */
#include "sinks/postgres_array.h"

#include <endian.h>
#include <string.h>

/* Dimensions, flags, element type, length, lower bound: 4 bytes each. */
#define HEADER 20u
#define NUMERIC_NEGATIVE 0x4000u
/* The server's clock begins at 2000-01-01. */
#define EPOCH_US INT64_C(946684800000000)
/* DynamoDB ends at 125 and -130. */
#define EXPONENT_MAX 1000

static const struct {
	unsigned type, array;
} types[COLUMN_TYPES] = {
    [COLUMN_TEXT] = {PG_TEXT, PG_TEXT_ARRAY},
    [COLUMN_NUMERIC] = {PG_NUMERIC, 1231},
    [COLUMN_BIGINT] = {PG_INT8, 1016},
    [COLUMN_BOOLEAN] = {PG_BOOL, 1000},
    [COLUMN_TIMESTAMPTZ] = {PG_TIMESTAMPTZ, 1185},
    [COLUMN_BYTEA] = {PG_BYTEA, 1001},
    [COLUMN_JSONB] = {PG_JSONB, 3807},
};

unsigned
pg_type_of(enum column_type t)
{
	return types[t].type;
}

unsigned
pg_array_type_of(enum column_type t)
{
	return types[t].array;
}

static void
add16(struct buf *b, unsigned v)
{
	uint16_t be = htobe16((uint16_t)v);

	buf_add(b, &be, sizeof be);
}

static void
add32(struct buf *b, uint32_t v)
{
	uint32_t be = htobe32(v);

	buf_add(b, &be, sizeof be);
}

static void
add64(struct buf *b, int64_t v)
{
	uint64_t be = htobe64((uint64_t)v);

	buf_add(b, &be, sizeof be);
}

static void
put32(struct buf *b, size_t at, uint32_t v)
{
	uint32_t be = htobe32(v);

	if (!b->failed)
		memcpy(b->p + at, &be, sizeof be);
}

/* ---- numeric ---- */

struct decimal {
	bool negative;
	struct slice digits; /* a point may be among them; neither end is a zero */
	long point;	     /* how many digits stand before it */
	long count;
};

static bool
parse_exponent(const char *p, const char *end, long *out)
{
	bool negative = p < end && *p == '-';
	long v = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	if (p == end)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9' || v > EXPONENT_MAX)
			return false;
		v = v * 10 + (*p - '0');
	}
	*out = negative ? -v : v;
	return v <= EXPONENT_MAX;
}

static bool
parse_decimal(struct slice text, struct decimal *d)
{
	const char *p = text.p, *end = p + text.n, *first = NULL, *last = NULL;
	long before = 0, exponent = 0, at = 0, first_at = 0, last_at = 0;
	bool point = false;

	d->negative = p < end && *p == '-';
	p += d->negative;
	for (; p < end && *p != 'E' && *p != 'e'; p++) {
		if (*p == '.' && !point) {
			point = true;
			before = at;
			continue;
		}
		if (*p < '0' || *p > '9')
			return false;
		if (*p != '0') {
			first_at = first == NULL ? at : first_at;
			first = first == NULL ? p : first;
			last_at = at;
			last = p;
		}
		at++;
	}
	if (at == 0 || at > EXPONENT_MAX || (p < end && !parse_exponent(p + 1, end, &exponent)))
		return false;
	before = point ? before : at;
	d->digits =
	    first != NULL ? (struct slice){first, (size_t)(last - first) + 1} : SLICE_LIT("");
	d->count = first != NULL ? last_at - first_at + 1 : 0;
	d->point = before - first_at + exponent;
	return true;
}

/* Rounded down, for negative numbers too. */
static long
floor4(long v)
{
	return v >= 0 ? v / 4 : -((3 - v) / 4);
}

bool
pg_numeric(struct slice text, struct buf *out)
{
	static const unsigned power[4] = {1, 10, 100, 1000};
	struct decimal d;
	long at, weight, last;
	unsigned group = 0;

	if (!parse_decimal(text, &d))
		return false;
	at = d.point - 1; /* the power of ten of the digit in hand */
	weight = d.count > 0 ? floor4(at) : 0;
	last = floor4(d.point - d.count);
	add16(out, d.count > 0 ? (unsigned)(weight - last + 1) : 0);
	add16(out, (unsigned)weight & 0xffffu);
	add16(out, d.negative && d.count > 0 ? NUMERIC_NEGATIVE : 0);
	add16(out, d.count > d.point ? (unsigned)(d.count - d.point) : 0);
	for (size_t i = 0; i < d.digits.n; i++) {
		if (d.digits.p[i] == '.')
			continue;
		group += (unsigned)(d.digits.p[i] - '0') * power[at - floor4(at) * 4];
		if (at-- % 4 == 0) { /* of a negative power, too */
			add16(out, group);
			group = 0;
		}
	}
	if (d.count > 0 && (d.point - d.count) - last * 4 != 0)
		add16(out, group);
	return true;
}

/* ---- arrays ---- */

void
pg_array_begin(struct pg_array *a, enum column_type t)
{
	static const char header[HEADER];

	a->buf.max = PG_ARRAY_MAX;
	buf_reset(&a->buf);
	buf_add(&a->buf, header, sizeof header);
	a->type = t;
	a->count = 0;
	a->has_null = false;
}

static bool
add_numeric(struct buf *b, struct slice text)
{
	size_t at = b->n;

	add32(b, 0);
	if (!pg_numeric(text, b)) {
		b->n = at;
		return false;
	}
	put32(b, at, (uint32_t)(b->n - at - 4));
	return true;
}

bool
pg_array_add(struct pg_array *a, const struct rows_cell *c, const struct buf *arena)
{
	struct buf *b = &a->buf;
	struct slice s;

	a->before = b->n;
	a->count++;
	if (c->null) {
		a->has_null = true;
		add32(b, UINT32_MAX);
		return true;
	}
	switch (a->type) {
	case COLUMN_BOOLEAN:
		add32(b, 1);
		buf_add_char(b, c->number != 0);
		return true;
	case COLUMN_BIGINT:
	case COLUMN_TIMESTAMPTZ:
		add32(b, 8);
		add64(b, c->number - (a->type == COLUMN_TIMESTAMPTZ ? EPOCH_US : 0));
		return true;
	case COLUMN_NUMERIC:
		if (add_numeric(b, rows_cell_bytes(c, arena)))
			return true;
		a->count--;
		return false;
	case COLUMN_TEXT:
	case COLUMN_BYTEA:
	case COLUMN_JSONB:
	case COLUMN_TYPES:
		break;
	}
	s = rows_cell_bytes(c, arena);
	add32(b, (uint32_t)s.n + (a->type == COLUMN_JSONB));
	if (a->type == COLUMN_JSONB)
		buf_add_char(b, 1); /* the version of the form */
	buf_add_slice(b, s);
	return true;
}

void
pg_array_undo(struct pg_array *a)
{
	a->buf.n = a->before;
	a->count--;
}

void
pg_array_text(struct pg_array *a, struct slice text)
{
	a->before = a->buf.n;
	a->count++;
	add32(&a->buf, (uint32_t)text.n);
	buf_add_slice(&a->buf, text);
}

void
pg_array_end(struct pg_array *a)
{
	put32(&a->buf, 0, a->count > 0 ? 1 : 0);
	put32(&a->buf, 4, a->has_null);
	put32(&a->buf, 8, types[a->type].type);
	put32(&a->buf, 12, a->count);
	put32(&a->buf, 16, 1);
	if (a->count == 0 && !a->buf.failed)
		a->buf.n = 12; /* an empty array has no dimension */
}

void
pg_array_close(struct pg_array *a)
{
	buf_close(&a->buf);
}
