/* filters/pattern_view.c - DynamoDB JSON read as the plain values that it holds,
 * in place: {"M": {"n": {"N": "5"}}} is an object with a member n that is the number 5.
 *
 * Nothing is written anywhere; a spot says how its bytes are to be taken.
 */
#include "filters/pattern_priv.h"

static const struct spot nowhere;

struct spot
spot_open(struct slice attribute, enum value_type *type)
{
	static const enum form forms[] = {[VALUE_S] = FORM_JSON,
	    [VALUE_N] = FORM_NUMBER,
	    [VALUE_B] = FORM_BINARY,
	    [VALUE_BOOL] = FORM_JSON,
	    [VALUE_NULL] = FORM_NULL,
	    [VALUE_M] = FORM_IMAGE,
	    [VALUE_L] = FORM_ITEMS,
	    [VALUE_SS] = FORM_JSON,
	    [VALUE_NS] = FORM_NUMBERS,
	    [VALUE_BS] = FORM_JSON};
	struct slice inner;

	*type = value_of(attribute, &inner);
	if (*type == VALUE_INVALID)
		return nowhere;
	if (*type == VALUE_S || *type == VALUE_N || *type == VALUE_B)
		inner = (struct slice){inner.p - 1, inner.n + 2}; /* with its quotes */
	return (struct spot){inner, forms[*type]};
}

struct spot
spot_inside(struct spot outer, struct slice value)
{
	enum value_type ignored;

	switch (outer.form) {
	case FORM_IMAGE:
	case FORM_ITEMS:
		return spot_open(value, &ignored);
	case FORM_NUMBERS:
		return (struct spot){value, FORM_NUMBER};
	default:
		return (struct spot){value, FORM_JSON};
	}
}

/* The text that a JSON string means; in scratch if it has escapes. */
static struct slice
plain_text(struct slice string, struct buf *scratch)
{
	struct slice raw = {string.p + 1, string.n - 2};

	if (memchr(raw.p, '\\', raw.n) == NULL)
		return raw;
	buf_reset(scratch);
	json_unescape(raw, scratch);
	return buf_slice(scratch);
}

void
spot_scalar(struct spot s, bool decimal, struct buf *scratch, struct scalar *out)
{
	struct slice value = s.json;

	*out = (struct scalar){.kind = SCALAR_LITERAL, .text = value};
	if (s.form == FORM_NULL) {
		out->text = SLICE_LIT("null");
	} else if (value.p[0] == '"') {
		out->kind = s.form == FORM_NUMBER ? SCALAR_NUMBER : SCALAR_STRING;
		out->text = plain_text(value, scratch);
		if (decimal || s.form == FORM_NUMBER)
			out->has_number = number_parse(out->text, &out->number);
	} else if (value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9')) {
		out->kind = SCALAR_NUMBER;
		out->has_number = number_parse(value, &out->number);
	}
}

/* ---- size ---- */

static size_t
count_elements(struct slice container)
{
	struct json_iter it = json_iter(container);
	struct slice name, value;
	size_t n = 0;

	while (json_next(&it, &name, &value))
		n++;
	return n;
}

/* In UTF-16, as DynamoDB Local's size() counts: 2 for what is outside the BMP. */
static size_t
count_characters(struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		n += (c & 0xc0) != 0x80;
		n += c >= 0xf0;
	}
	return n;
}

/* Of what base64 encodes. */
static size_t
count_bytes(struct slice text)
{
	size_t n = text.n;

	while (n != 0 && text.p[n - 1] == '=')
		n--;
	return n / 4 * 3 + (n % 4 > 1 ? n % 4 - 1 : 0);
}

bool
spot_size(struct spot s, struct buf *scratch, size_t *out)
{
	if (s.json.n == 0 || s.form == FORM_NUMBER || s.form == FORM_NULL)
		return false;
	switch (s.json.p[0]) {
	case '"':
		*out = s.form == FORM_BINARY ? count_bytes(plain_text(s.json, scratch))
					     : count_characters(plain_text(s.json, scratch));
		return true;
	case '[':
	case '{':
		*out = count_elements(s.json);
		return true;
	default:
		return false;
	}
}
