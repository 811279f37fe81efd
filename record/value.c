/* record/value.c - see value.h.
 *
 * The walkers read through lex.h, which checks as it goes; so on bytes that
 * were never scanned they stop where those stop making sense. Comparison
 * recurses, one level for each level of M or L, and lex_value() ends both at
 * LIMIT_JSON_DEPTH. It looks at the bytes first: equal bytes mean equal
 * values, and that is what nearly every attribute of an update is.
 */
#include "record/value.h"

#include "base/limits.h"
#include "record/base64.h"
#include "record/lex.h"
#include "record/members.h"
#include "record/number.h"
#include "record/set.h"
#include "record/text.h"
#include "record/value_priv.h"

bool
json_check(struct slice s)
{
	struct lex l = lex_of(s);
	struct slice v;

	return lex_value(&l, 0, &v) && lex_end(&l);
}

struct json_iter
json_iter(struct slice container)
{
	struct lex l = lex_of(container);
	int c = lex_peek(&l);

	if (c != '{' && c != '[')
		return (struct json_iter){.p = l.end, .end = l.end};
	return (struct json_iter){.p = l.p + 1, .end = l.end, .object = c == '{'};
}

bool
json_next(struct json_iter *it, struct slice *name, struct slice *value)
{
	struct lex l = lex_of((struct slice){it->p, (size_t)(it->end - it->p)});
	bool first = true;
	bool more;

	(void)lex_take(&l, ',');
	if (it->object) {
		more = lex_member(&l, &first, name);
	} else {
		more = lex_element(&l, &first);
		*name = SLICE_NONE;
	}
	if (!more || !lex_value(&l, 1, value)) {
		it->p = it->end;
		return false;
	}
	it->p = l.p;
	return true;
}

enum value_type
value_type_of_letter(char c)
{
	switch (c) {
	case 'S':
		return VALUE_S;
	case 'N':
		return VALUE_N;
	case 'B':
		return VALUE_B;
	case 'M':
		return VALUE_M;
	case 'L':
		return VALUE_L;
	default:
		return VALUE_INVALID;
	}
}

static enum value_type
type_of_set(char c)
{
	switch (c) {
	case 'S':
		return VALUE_SS;
	case 'N':
		return VALUE_NS;
	case 'B':
		return VALUE_BS;
	default:
		return VALUE_INVALID;
	}
}

static enum value_type
type_of_escaped(struct slice tag)
{
	char bytes[24]; /* four letters, each as \u0041 */
	struct buf text = {.p = bytes, .cap = sizeof bytes, .max = sizeof bytes};

	json_unescape(tag, &text);
	return text.failed || memchr(bytes, '\\', text.n) != NULL ? VALUE_INVALID
								  : value_type_of(buf_slice(&text));
}

enum value_type
value_type_of(struct slice tag)
{
	if (tag.n == 1)
		return value_type_of_letter(tag.p[0]);
	if (tag.n == 2 && tag.p[1] == 'S')
		return type_of_set(tag.p[0]);
	if (tag.n == 4 && memcmp(tag.p, "BOOL", 4) == 0)
		return VALUE_BOOL;
	if (tag.n == 4 && memcmp(tag.p, "NULL", 4) == 0)
		return VALUE_NULL;
	return text_has_escape(tag) ? type_of_escaped(tag) : VALUE_INVALID;
}

static bool
starts_right(enum value_type type, int c)
{
	switch (type) {
	case VALUE_S:
	case VALUE_N:
	case VALUE_B:
		return c == '"';
	case VALUE_BOOL:
	case VALUE_NULL:
		return c == 't' || c == 'f';
	case VALUE_M:
		return c == '{';
	case VALUE_L:
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
		return c == '[';
	case VALUE_INVALID:
		break;
	}
	return false;
}

enum value_type
value_of(struct slice value, struct slice *inner)
{
	struct lex l = lex_of(value);
	enum value_type type;
	struct slice tag;
	bool first = true;

	if (!lex_take(&l, '{') || !lex_member(&l, &first, &tag))
		return VALUE_INVALID;
	type = value_type_of(tag);
	if (!starts_right(type, lex_peek(&l)) || !lex_value(&l, 1, inner) || !lex_take(&l, '}'))
		return VALUE_INVALID;
	if (type == VALUE_S || type == VALUE_N || type == VALUE_B)
		*inner = (struct slice){inner->p + 1, inner->n - 2};
	return type;
}

struct slice
value_member(struct slice object, const char *name)
{
	struct json_iter it = json_iter(object);
	struct slice raw, value;

	while (json_next(&it, &raw, &value))
		if (raw.p != NULL && json_string_is(raw, name))
			return value;
	return SLICE_NONE;
}

static bool
number_eq(struct slice a, struct slice b)
{
	struct number x, y;

	return number_parse(a, &x) && number_parse(b, &y) && number_cmp(&x, &y) == 0;
}

static bool
binary_eq(struct slice a, struct slice b)
{
	size_t n, m;

	return base64_measure(a, &n) && base64_measure(b, &m) && base64_cmp(a, n, b, m) == 0;
}

/* Numbers and base64 whose text is escaped, which no known writer does to the
 * one and a few do to the '/' and '=' of the other. */
static bool
unescaped_eq(struct slice a, struct slice b, bool (*eq)(struct slice, struct slice))
{
	struct buf x = BUF_INIT(a.n), y = BUF_INIT(b.n);
	bool same;

	if (!text_has_escape(a) && !text_has_escape(b))
		return eq(a, b);
	json_unescape(a, &x);
	json_unescape(b, &y);
	same = !x.failed && !y.failed && eq(buf_slice(&x), buf_slice(&y));
	buf_close(&x);
	buf_close(&y);
	return same;
}

static bool
sets_eq(struct slice a, struct slice b, enum value_type type)
{
	struct lex l = lex_of(a), m = lex_of(b);
	struct set x, y;
	enum set_status first = set_sort(&x, &l, type);
	enum set_status second = set_sort(&y, &m, type);
	bool same = first == SET_OK && second == SET_OK && set_eq(&x, &y, type);

	set_close(&x);
	set_close(&y);
	return same;
}

static bool
lists_eq(struct slice a, struct slice b)
{
	struct json_iter i = json_iter(a), j = json_iter(b);
	struct slice name, x, y;

	while (json_next(&i, &name, &x))
		if (!json_next(&j, &name, &y) || !value_eq(x, y))
			return false;
	return !json_next(&j, &name, &y);
}

static bool
maps_eq(struct slice a, struct slice b)
{
	struct json_iter it = json_iter(a);
	struct slice name, x, y;
	struct members m;
	size_t n = 0;
	bool same = true;

	members_open(&m, b);
	for (; same && json_next(&it, &name, &x); n++)
		same = members_find(&m, name, &y) && value_eq(x, y);
	same = same && n == m.n;
	members_close(&m);
	return same;
}

bool
value_eq(struct slice a, struct slice b)
{
	enum value_type type;
	struct slice x, y;

	if (slice_eq(a, b))
		return true;
	type = value_of(a, &x);
	if (type != value_of(b, &y))
		return false;
	switch (type) {
	case VALUE_S:
		return json_string_eq(x, y);
	case VALUE_N:
		return json_string_eq(x, y) || unescaped_eq(x, y, number_eq);
	case VALUE_B:
		return json_string_eq(x, y) || unescaped_eq(x, y, binary_eq);
	case VALUE_BOOL:
		return slice_eq(x, y);
	case VALUE_NULL:
		return true;
	case VALUE_M:
		return maps_eq(x, y);
	case VALUE_L:
		return lists_eq(x, y);
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
		return sets_eq(x, y, type);
	case VALUE_INVALID:
		break;
	}
	return false;
}
