/* sinks/rows_value.c - one attribute value as one cell.
 *
 * Texts without escapes, and whole numbers, stay where they are in the page; what must be
 * decoded goes to the arena. Nothing is rounded, cut or replaced: what has no
 * exact form in the column's type is refused.
 */
#include "sinks/rows_priv.h"

#include "record/base64.h"
#include "record/format.h"
#include "record/instant.h"
#include "record/value.h"

static const char *const value_words[] = {
    [VALUE_INVALID] = "something that is no attribute value",
    [VALUE_S] = "a string (S)",
    [VALUE_N] = "a number (N)",
    [VALUE_B] = "binary (B)",
    [VALUE_BOOL] = "a BOOL",
    [VALUE_NULL] = "a NULL",
    [VALUE_M] = "a map (M)",
    [VALUE_L] = "a list (L)",
    [VALUE_SS] = "a set of strings (SS)",
    [VALUE_NS] = "a set of numbers (NS)",
    [VALUE_BS] = "a set of binaries (BS)",
};

static int
out_of_room(struct err *e)
{
	return err_set(
	    e, ERR_LIMIT, "the values of the record do not fit into the memory for them");
}

static void
in_arena(struct rows_cell *c, const struct buf *arena, size_t start)
{
	c->null = false;
	c->p = NULL;
	c->at = start;
	c->n = arena->n - start;
}

static void
in_page(struct rows_cell *c, struct slice s)
{
	c->null = false;
	c->p = s.p;
	c->n = s.n;
}

static bool
has_escape(struct slice raw)
{
	return raw.n != 0 && memchr(raw.p, '\\', raw.n) != NULL;
}

/* ---- what text cannot hold ---- */

static unsigned
hex4(const char *p)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v = v << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return v & 0xffff;
}

static bool
is_low_half(const char *p, const char *end)
{
	return end - p >= 6 && p[0] == '\\' && p[1] == 'u' && hex4(p + 2) >> 10 == 0xdc00 >> 10;
}

/* In a raw JSON string or a whole JSON text, which have escapes in strings only. */
static const char *
text_fault(struct slice raw, bool nul, bool halves)
{
	const char *p = raw.p, *end = raw.p + raw.n;

	while ((p = p < end ? memchr(p, '\\', (size_t)(end - p)) : NULL) != NULL) {
		unsigned code;

		if (end - p < 6 || p[1] != 'u') {
			p += 2;
			continue;
		}
		code = hex4(p + 2);
		p += 6;
		if (nul && code == 0)
			return "the character U+0000";
		if (!halves || code < 0xd800 || code > 0xdfff)
			continue;
		if (code >= 0xdc00 || !is_low_half(p, end))
			return "half of a surrogate pair";
		p += 6;
	}
	return NULL;
}

static int
refuse_text(const char *fault, struct err *e)
{
	return err_set(e, ERR_REFUSED, "its text holds %s", fault);
}

/* ---- one type after the other ---- */

int
rows_text(struct slice raw, unsigned flags, struct buf *arena, struct rows_cell *c, struct err *e)
{
	size_t start = arena->n;
	const char *fault;

	if (!has_escape(raw)) {
		in_page(c, raw);
		return 0;
	}
	fault = text_fault(raw, (flags & ROWS_STRICT_TEXT) != 0, true);
	if (fault != NULL)
		return refuse_text(fault, e);
	json_unescape(raw, arena);
	if (arena->failed)
		return out_of_room(e);
	in_arena(c, arena, start);
	return 0;
}

static int
finish_json(int r, unsigned flags, const struct buf *arena, size_t start, struct rows_cell *c,
    struct err *e)
{
	const char *fault = NULL;

	if (r != 0)
		return e->code == ERR_PROTOCOL ? err_set(e, ERR_REFUSED, "it is no DynamoDB JSON")
					       : out_of_room(e);
	in_arena(c, arena, start);
	if (flags & ROWS_STRICT_TEXT)
		fault = text_fault((struct slice){arena->p + start, c->n}, true, true);
	return fault != NULL ? refuse_text(fault, e) : 0;
}

int
rows_json(struct slice image, unsigned flags, struct buf *arena, struct rows_cell *c, struct err *e)
{
	size_t start = arena->n;

	return finish_json(plain_write_image(image, arena, e), flags, arena, start, c, e);
}

static int
jsonb(struct slice value, unsigned flags, struct buf *arena, struct rows_cell *c, struct err *e)
{
	size_t start = arena->n;

	return finish_json(plain_write_value(value, arena, e), flags, arena, start, c, e);
}

/* 1..38 digits that do not begin with 0 are canonical as they are. */
static bool
is_plain_integer(struct slice s)
{
	size_t i = s.n > 1 && s.p[0] == '-';

	if (s.n - i > 38 || i == s.n || s.p[i] < '1' || s.p[i] > '9')
		return false;
	while (++i < s.n)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

static int
numeric(struct slice raw, struct buf *arena, struct rows_cell *c, struct err *e)
{
	size_t start = arena->n;

	if (is_plain_integer(raw)) {
		in_page(c, raw);
		return 0;
	}
	/* An escape in a number is no number to us; the service sends none. */
	if (!number_canonical(raw, arena))
		return err_set(e, ERR_REFUSED, "its N is no number");
	if (arena->failed)
		return out_of_room(e);
	in_arena(c, arena, start);
	return 0;
}

static int
refuse_bigint(struct err *e)
{
	return err_set(
	    e, ERR_REFUSED, "the number has a fraction or more than 64 bits; numeric holds it");
}

/* Canonical text of fewer than 20 digits into 64 bits. */
static int
bigint(struct slice raw, struct buf *arena, struct rows_cell *c, struct err *e)
{
	bool negative;
	struct slice s;
	int64_t v = 0;

	if (numeric(raw, arena, c, e) != 0)
		return -1;
	s = rows_cell_bytes(c, arena);
	negative = s.p[0] == '-';
	for (size_t i = negative; i < s.n; i++) {
		int digit = s.p[i] - '0';

		if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_sub_overflow(v, digit, &v))
			return refuse_bigint(e);
	}
	/* Summed up below zero, where there is one more. */
	if (!negative && __builtin_sub_overflow(0, v, &v))
		return refuse_bigint(e);
	c->number = v;
	return 0;
}

static int
timestamp_of_number(struct slice raw, struct buf *arena, struct rows_cell *c, struct err *e)
{
	if (numeric(raw, arena, c, e) != 0)
		return -1;
	if (!instant_parse(rows_cell_bytes(c, arena), &c->number))
		return err_set(e, ERR_REFUSED,
		    "the number is no time in seconds since 1970 (milliseconds?) between the years "
		    "1"
		    " and 9999");
	return 0;
}

static int
timestamp_of_text(struct slice raw, struct buf *arena, struct rows_cell *c, struct err *e)
{
	if (rows_text(raw, 0, arena, c, e) != 0)
		return -1;
	if (!rows_time_parse(rows_cell_bytes(c, arena), &c->number))
		return err_set(
		    e, ERR_REFUSED, "the text is no ISO 8601 time such as 2026-11-21T07:29:37.5Z");
	return 0;
}

static void
decode_base64(struct slice text, size_t digits, struct buf *out)
{
	unsigned bits = 0, have = 0;

	for (size_t i = 0; i < digits; i++) {
		bits = bits << 6 | (unsigned)base64_digit(text.p[i]);
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_add_char(out, (char)(bits >> have & 0xff));
		}
	}
}

static int
bytea(struct slice raw, struct buf *arena, struct rows_cell *c, struct err *e)
{
	size_t digits, start;
	struct slice text;

	if (rows_text(raw, 0, arena, c, e) != 0)
		return -1;
	text = rows_cell_bytes(c, arena);
	start = arena->n;
	if (!base64_measure(text, &digits))
		return err_set(e, ERR_REFUSED, "its B is no base64");
	/* text may be in the arena itself, which must not move under it. */
	if (!buf_reserve(arena, digits))
		return out_of_room(e);
	text = rows_cell_bytes(c, arena);
	decode_base64(text, digits, arena);
	in_arena(c, arena, start);
	return 0;
}

static int
boolean(struct slice inner, struct rows_cell *c, struct err *e)
{
	c->number = slice_is(inner, "true");
	c->null = false;
	if (!c->number && !slice_is(inner, "false"))
		return err_set(e, ERR_REFUSED, "its BOOL is neither true nor false");
	return 0;
}

static int
misfit(enum value_type have, enum column_type type, struct err *e)
{
	return err_set(e, ERR_REFUSED, "it is %s, which does not fit %s", value_words[have],
	    column_type_words[type]);
}

static int
typed(enum value_type have, struct slice inner, enum column_type type, unsigned flags,
    struct buf *arena, struct rows_cell *c, struct err *e)
{
	if (type == COLUMN_TEXT && have == VALUE_S)
		return rows_text(inner, flags, arena, c, e);
	if (type == COLUMN_TIMESTAMPTZ && have == VALUE_S)
		return timestamp_of_text(inner, arena, c, e);
	if (type == COLUMN_BYTEA && have == VALUE_B)
		return bytea(inner, arena, c, e);
	if (type == COLUMN_BOOLEAN && have == VALUE_BOOL)
		return boolean(inner, c, e);
	if (have != VALUE_N)
		return misfit(have, type, e);
	if (type == COLUMN_NUMERIC || type == COLUMN_TEXT)
		return numeric(inner, arena, c, e);
	if (type == COLUMN_BIGINT)
		return bigint(inner, arena, c, e);
	if (type == COLUMN_TIMESTAMPTZ)
		return timestamp_of_number(inner, arena, c, e);
	return misfit(have, type, e);
}

int
rows_value(struct slice value, enum column_type type, unsigned flags, struct buf *arena,
    struct rows_cell *c, struct err *e)
{
	struct slice inner;
	enum value_type have;

	if (type == COLUMN_JSONB)
		return jsonb(value, flags, arena, c, e);
	have = value_of(value, &inner);
	return have == VALUE_NULL ? 0 : typed(have, inner, type, flags, arena, c, e);
}

/* S "1" and N 1 are two keys. */
int
rows_key_value(struct slice value, enum column_type type, unsigned flags, struct buf *arena,
    struct rows_cell *c, struct err *e)
{
	struct slice inner;
	enum value_type have = value_of(value, &inner);

	if (type == COLUMN_TEXT && have != VALUE_S)
		return misfit(have, type, e);
	return typed(have, inner, type, flags, arena, c, e);
}
