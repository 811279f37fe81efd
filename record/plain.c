/* record/plain.c - attribute values without their type tags (docs/formats.md).
 *
 * One pass: the cursor goes over the DynamoDB JSON and what it finds is copied
 * out, mostly as it stands. Strings keep their escapes, numbers their text (one
 * that JSON would not take, such as "+1" or ".5", gets its canonical form).
 * Only sets are gathered first, to be sorted. Nesting recurses, two levels of
 * JSON at a time, to LIMIT_JSON_DEPTH at most.
 */
#include "record/format_priv.h"

#include "base/limits.h"
#include "record/lex.h"
#include "record/number.h"
#include "record/set.h"
#include "record/text.h"
#include "record/value_priv.h"

static bool write_map(struct lex *l, struct buf *out, unsigned depth);

static inline void
put(struct buf *out, const char *p, size_t n)
{
	if (LIKELY(n <= out->cap - out->n && !out->failed)) {
		memcpy(out->p + out->n, p, n);
		out->n += n;
	} else {
		buf_add(out, p, n);
	}
}

/* put() for bytes of l's input, most of them short strings: sixteen at a time, past
 * n where both sides have room for it, is faster than memcpy() of an odd length. */
static inline void
put_input(struct buf *out, const struct lex *l, const char *p, size_t n)
{
	size_t wide = n + 15;

	if (n > 64 || (size_t)(l->end - p) < wide || out->cap - out->n < wide || out->failed) {
		put(out, p, n);
		return;
	}
	for (size_t i = 0; i < n; i += 16)
		memcpy(out->p + out->n + i, p + i, 16);
	out->n += n;
}

static bool
write_string(struct lex *l, struct buf *out)
{
	struct slice raw;

	if (!lex_string(l, &raw))
		return false;
	put_input(out, l, raw.p - 1, raw.n + 2);
	return true;
}

static bool
write_number_text(struct lex *l, struct slice text, struct buf *out)
{
	if (LIKELY(number_is_json(text))) {
		put(out, text.p, text.n);
		return true;
	}
	return number_canonical(text, out) || lex_fail(l, "N holds no number");
}

static bool
write_number(struct lex *l, struct buf *out)
{
	struct slice raw;
	struct buf text;
	bool ok;

	if (!lex_string(l, &raw))
		return false;
	if (LIKELY(!l->escaped))
		return write_number_text(l, raw, out);
	text = BUF_INIT(raw.n);
	json_unescape(raw, &text);
	out->failed |= text.failed;
	ok = write_number_text(l, buf_slice(&text), out);
	buf_close(&text);
	return ok;
}

static bool
write_set(struct lex *l, enum value_type type, struct buf *out)
{
	struct set s;
	enum set_status st = set_sort(&s, l, type);

	buf_add_char(out, '[');
	for (size_t i = 0; st == SET_OK && i < s.n; i++) {
		if (i != 0)
			buf_add_char(out, ',');
		if (type == VALUE_NS)
			(void)write_number_text(l, s.v[i].text, out);
		else
			put_input(out, l, s.v[i].raw.p - 1, s.v[i].raw.n + 2);
	}
	buf_add_char(out, ']');
	set_close(&s);
	out->failed |= st == SET_NOMEM;
	return st != SET_INVALID ||
	    lex_fail(l, "a set holds something that its type does not allow");
}

static bool
write_bool(struct lex *l, struct buf *out, bool null)
{
	int c = lex_peek(l);
	struct slice word;

	if ((c != 't' && c != 'f') || !lex_value(l, 1, &word))
		return lex_fail(l, "BOOL or NULL is neither true nor false");
	if (null)
		put(out, "null", 4);
	else
		put(out, word.p, word.n);
	return true;
}

static bool write_value(struct lex *l, struct buf *out, unsigned depth);

static bool
write_list(struct lex *l, struct buf *out, unsigned depth)
{
	bool first = true;
	char before = '[';

	if (!lex_take(l, '['))
		return lex_fail(l, "L holds no array");
	while (lex_element(l, &first)) {
		buf_add_char(out, before);
		before = ',';
		if (!write_value(l, out, depth))
			return false;
	}
	if (first)
		buf_add_char(out, '[');
	buf_add_char(out, ']');
	return l->fault == NULL;
}

static bool
write_typed(struct lex *l, enum value_type type, struct buf *out, unsigned depth)
{
	switch (type) {
	case VALUE_S:
	case VALUE_B:
		return write_string(l, out);
	case VALUE_N:
		return write_number(l, out);
	case VALUE_BOOL:
		return write_bool(l, out, false);
	case VALUE_NULL:
		return write_bool(l, out, true);
	case VALUE_M:
		return write_map(l, out, depth);
	case VALUE_L:
		return write_list(l, out, depth);
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
		return write_set(l, type, out);
	case VALUE_INVALID:
		break;
	}
	return lex_fail(l, "unknown attribute type");
}

static bool
write_value(struct lex *l, struct buf *out, unsigned depth)
{
	struct slice tag;
	bool first = true;

	if (depth > LIMIT_JSON_DEPTH)
		return lex_fail(l, "nested too deeply");
	if (!lex_take(l, '{') || !lex_member(l, &first, &tag))
		return lex_fail(l, "an attribute value is not an object with one type");
	if (!write_typed(l, value_type_of(tag), out, depth + 2))
		return false;
	return lex_take(l, '}') || lex_fail(l, "an attribute value has more than one type");
}

/* What is before a member, '{' or ',', its name and its colon; together they are
 * what the input says, unless there is space between them. */
static inline void
put_name(struct buf *out, const struct lex *l, char before, struct slice name)
{
	if (LIKELY(name.p[-2] == before && name.p[name.n + 1] == ':')) {
		put_input(out, l, name.p - 2, name.n + 4);
	} else {
		buf_add_char(out, before);
		put(out, name.p - 1, name.n + 2);
		buf_add_char(out, ':');
	}
}

/* The inner text of an S, B or N that lex_attribute() has taken. */
static bool
write_text(struct lex *l, enum value_type type, struct slice text, struct buf *out)
{
	if (type == VALUE_N)
		return write_number_text(l, text, out);
	put_input(out, l, text.p - 1, text.n + 2);
	return type == VALUE_S || type == VALUE_B || lex_fail(l, "an attribute value is no text");
}

static bool
write_map(struct lex *l, struct buf *out, unsigned depth)
{
	struct slice name, text;
	bool first = true;
	char before = '{';

	if (!lex_take(l, '{'))
		return lex_fail(l, "an image or M is not an object");
	for (;;) {
		char tag = lex_attribute(l, &first, &name, &text);

		if (tag == '\0' && !lex_member(l, &first, &name))
			break;
		put_name(out, l, before, name);
		before = ',';
		if (tag != '\0' ? !write_text(l, value_type_of_letter(tag), text, out)
				: !write_value(l, out, depth))
			return false;
	}
	if (first)
		buf_add_char(out, '{');
	buf_add_char(out, '}');
	return l->fault == NULL;
}

/* The plain form is hardly ever longer than what it is made from, so room for
 * that much makes the copies below it cheap. */
static void
make_room(struct slice from, struct buf *out)
{
	size_t room = from.n + 16; /* see put_input() */

	if (room <= out->max - out->n)
		(void)buf_reserve(out, room);
}

const char *
plain_add_image(struct slice image, struct buf *out)
{
	struct lex l = lex_of(image);

	if (image.p == NULL) {
		put(out, "null", 4);
		return NULL;
	}
	make_room(image, out);
	(void)(write_map(&l, out, 1) && lex_end(&l));
	return l.fault;
}

const char *
plain_add_value(struct slice value, struct buf *out)
{
	struct lex l = lex_of(value);

	make_room(value, out);
	(void)(write_value(&l, out, 1) && lex_end(&l));
	return l.fault;
}

const char *
plain_add_record(const struct record *r, struct buf *out)
{
	const char *fault;

	put(out, "{\"key\":", 7);
	fault = plain_add_image(r->keys, out);
	if (fault != NULL)
		return fault;
	put(out, ",\"new\":", 7);
	fault = plain_add_image(r->new_image, out);
	if (fault != NULL)
		return fault;
	put(out, ",\"old\":", 7);
	fault = plain_add_image(r->old_image, out);
	buf_add_char(out, '}');
	return fault;
}
