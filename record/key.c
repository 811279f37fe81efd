/* record/key.c - see key.h.
 *
 * Every attribute gets the one spelling that all equal values share, without
 * being decoded on the way: strings with only the escapes they must have,
 * numbers by number_canonical(), base64 with the unused bits of its last digit
 * cleared. What is no such value is written as it came, so that a key is
 * always there and always JSON.
 */
#include "record/key.h"

#include "record/base64.h"
#include "record/members.h"
#include "record/text.h"
#include "record/value.h"

/* text: unescaped base64. */
static void
write_base64(struct slice text, struct buf *out)
{
	static const char abc[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t start = out->n;
	size_t digits;

	if (!base64_measure(text, &digits)) {
		buf_add_json_string(out, text);
		return;
	}
	buf_add_char(out, '"');
	buf_add_slice(out, text);
	buf_add_char(out, '"');
	if (digits != 0 && !out->failed)
		out->p[start + digits] = abc[base64_last(text, digits)];
}

static void
write_number(struct slice text, struct buf *out)
{
	size_t start = out->n;

	if (number_canonical(text, out) || out->failed)
		return;
	out->n = start;
	buf_add_json_string(out, text);
}

static void
write_unescaped(struct slice raw, struct buf *out, void (*write)(struct slice, struct buf *))
{
	struct buf text = BUF_INIT(raw.n);

	if (!text_has_escape(raw)) {
		write(raw, out);
		return;
	}
	json_unescape(raw, &text);
	if (text.failed)
		out->failed = true;
	else
		write(buf_slice(&text), out);
	buf_close(&text);
}

static void
write_part(struct slice value, struct buf *out)
{
	struct slice inner;
	enum value_type type = value_of(value, &inner);

	if (type == VALUE_S)
		text_write_canonical(inner, out);
	else if (type == VALUE_N)
		write_unescaped(inner, out, write_number);
	else if (type == VALUE_B)
		write_unescaped(inner, out, write_base64);
	else
		buf_add_slice(out, value);
}

/* The attributes in the order of the schema; false unless they are exactly
 * those it names. */
static bool
by_schema(struct slice keys, const struct key_schema *schema, struct slice values[2], size_t *count)
{
	struct json_iter it = json_iter(keys);
	struct slice name, value;
	size_t n = 0;

	values[0] = values[1] = SLICE_NONE;
	if (schema == NULL || schema->names[0] == NULL)
		return false;
	for (; json_next(&it, &name, &value); n++) {
		if (json_string_is(name, schema->names[0]))
			values[0] = value;
		else if (schema->names[1] != NULL && json_string_is(name, schema->names[1]))
			values[1] = value;
		else
			return false;
	}
	*count = schema->names[1] != NULL ? 2 : 1;
	return n == *count && values[0].p != NULL && (*count == 1 || values[1].p != NULL);
}

static void
write_by_name(struct slice keys, struct buf *out)
{
	struct members m;

	members_open(&m, keys);
	if (members_sort(&m)) {
		for (size_t i = 0; i < m.n; i++) {
			if (i != 0)
				buf_add_char(out, ',');
			write_part(m.v[i].value, out);
		}
	} else {
		out->failed = true;
	}
	members_close(&m);
}

void
key_write(const struct record *r, const struct key_schema *schema, struct buf *out)
{
	struct slice values[2];
	size_t count;

	buf_add_char(out, '[');
	if (by_schema(r->keys, schema, values, &count)) {
		write_part(values[0], out);
		if (count == 2) {
			buf_add_char(out, ',');
			write_part(values[1], out);
		}
	} else {
		write_by_name(r->keys, out);
	}
	buf_add_char(out, ']');
}

/* FNV-1a, then a round of mixing: its own high bits hardly depend on the last
 * bytes, and callers take whichever bits they like. */
uint64_t
key_hash(struct slice canonical)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < canonical.n; i++) {
		h ^= (unsigned char)canonical.p[i];
		h *= UINT64_C(0x100000001b3);
	}
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}
