/* filters/lua_in.c - DynamoDB JSON to Lua values (see lua_priv.h for which).
 *
 * A string with half a surrogate pair, which JSON can say ("\ud800") and UTF-8 cannot, is
 * held as the three bytes that UTF-8 would have for it; lua_out.c writes it as it was.
 */
#include <lauxlib.h>
#include <string.h>

#include "base/compiler.h"
#include "filters/lua_priv.h"
#include "record/base64.h"
#include "record/number.h"
#include "record/value.h"

static void push_value(lua_State *L, struct slice value, unsigned depth);

/* ---- strings ---- */

static unsigned
unit_of(const char *p)
{
	unsigned u = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];

		u = u << 4 | (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return u;
}

static void
add_code(struct buf *out, unsigned c)
{
	if (c < 0x80) {
		buf_add_char(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_add_char(out, (char)(0xc0 | c >> 6));
	} else if (c < 0x10000) {
		buf_add_char(out, (char)(0xe0 | c >> 12));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	} else {
		buf_add_char(out, (char)(0xf0 | c >> 18));
		buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_add_char(out, (char)(0x80 | (c & 0x3f)));
}

/* At a backslash; the scanner has seen that what follows is right. */
static const char *
add_escaped(struct buf *out, const char *p, const char *end)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *at;
	unsigned u;

	if (p[1] != 'u') {
		at = strchr(from, p[1]);
		buf_add_char(out, at != NULL ? to[at - from] : p[1]);
		return p + 2;
	}
	u = unit_of(p + 2);
	p += 6;
	if (u >= 0xd800 && u < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
		unsigned low = unit_of(p + 2);

		if (low >= 0xdc00 && low < 0xe000) {
			add_code(out, 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00));
			return p + 6;
		}
	}
	add_code(out, u);
	return p;
}

static void
push_string(lua_State *L, struct slice raw)
{
	const char *p = raw.p, *end = raw.p + raw.n, *next;
	struct buf *out = &sandbox_of(L)->scratch;

	if (raw.n == 0 || memchr(p, '\\', raw.n) == NULL) {
		(void)lua_pushlstring(L, raw.n != 0 ? p : "", raw.n);
		return;
	}
	buf_reset(out);
	while (p < end) {
		next = memchr(p, '\\', (size_t)(end - p));
		if (next == NULL)
			next = end;
		buf_add(out, p, (size_t)(next - p));
		p = next < end ? add_escaped(out, next, end) : end;
	}
	(void)lua_pushlstring(L, out->p, out->n);
}

/* ---- values ---- */

/* Raises when text is not what that type holds; JSON is all that was seen to. */
static void
push_scalar(lua_State *L, enum value_type type, struct slice text)
{
	struct buf *out = &sandbox_of(L)->scratch;
	struct slice plain = text;
	struct number number;
	size_t digits;

	if (type == VALUE_S) {
		push_string(L, text);
		return;
	}
	if (text.n != 0 && memchr(text.p, '\\', text.n) != NULL) {
		buf_reset(out);
		json_unescape(text, out);
		plain = buf_slice(out);
	}
	if (type == VALUE_N) {
		if (!number_parse(plain, &number))
			(void)path_error(L, "an N that is no number");
		number_push(L, plain);
		return;
	}
	if (!base64_measure(plain, &digits))
		(void)path_error(L, "a B that is not base64");
	bytes_push(L, plain);
}

static struct slice
inside(struct slice quoted)
{
	if (quoted.n < 2 || quoted.p[0] != '"')
		return SLICE_NONE;
	return (struct slice){quoted.p + 1, quoted.n - 2};
}

static void
push_set(lua_State *L, enum value_type type, struct slice elements)
{
	static const enum value_type of[] = {
	    [VALUE_SS] = VALUE_S, [VALUE_NS] = VALUE_N, [VALUE_BS] = VALUE_B};
	struct json_iter it = json_iter(elements);
	struct slice name, value, text;
	lua_Integer n = 0;

	lua_newtable(L);
	while (json_next(&it, &name, &value)) {
		text = inside(value);
		if (text.p == NULL)
			(void)path_error(L, "an element of a set that is no string");
		push_scalar(L, of[type], text);
		lua_rawseti(L, -2, ++n);
	}
	luaL_setmetatable(L, type == VALUE_SS ? MARK_SS : type == VALUE_NS ? MARK_NS : MARK_BS);
}

static void
push_list(lua_State *L, struct slice elements, unsigned depth)
{
	struct json_iter it = json_iter(elements);
	struct slice name, value;
	lua_Integer n = 0;

	lua_newtable(L);
	path_enter(L, SLICE_NONE);
	while (json_next(&it, &name, &value)) {
		path_index(L, (size_t)n + 1);
		push_value(L, value, depth + 1);
		lua_rawseti(L, -2, ++n);
	}
	path_leave(L);
	luaL_setmetatable(L, MARK_LIST);
}

static void
push_map(lua_State *L, struct slice members, unsigned depth)
{
	struct json_iter it = json_iter(members);
	struct slice name, value;

	lua_newtable(L);
	while (json_next(&it, &name, &value)) {
		path_enter(L, name);
		push_string(L, name);
		push_value(L, value, depth + 1);
		lua_rawset(L, -3);
		path_leave(L);
	}
	luaL_setmetatable(L, MARK_MAP);
}

static void
push_value(lua_State *L, struct slice value, unsigned depth)
{
	struct slice inner;
	enum value_type type = value_of(value, &inner);

	if (depth > SCRIPT_DEPTH)
		(void)path_error(L, "it is nested deeper than 32 levels");
	luaL_checkstack(L, 8, "nested too deep");
	switch (type) {
	case VALUE_INVALID:
		(void)path_error(L, "what came is no DynamoDB value");
		break;
	case VALUE_S:
	case VALUE_N:
	case VALUE_B:
		push_scalar(L, type, inner);
		break;
	case VALUE_BOOL:
		lua_pushboolean(L, slice_is(inner, "true"));
		break;
	case VALUE_NULL:
		null_push(L);
		break;
	case VALUE_M:
		push_map(L, inner, depth);
		break;
	case VALUE_L:
		push_list(L, inner, depth);
		break;
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
		push_set(L, type, inner);
		break;
	}
}

void
value_push_image(lua_State *L, struct slice image)
{
	luaL_checkstack(L, 8, "nested too deep");
	push_map(L, image, 0);
}
