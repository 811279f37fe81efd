/* filters/lua_value.c - DynamoDB JSON to Lua values and back (see lua_priv.h).
 *
 *   S     string                       M          table marked as a map
 *   N     number object                L          table marked as a list
 *   B     bytes object                 SS NS BS   list of its elements, marked as that set
 *   BOOL  boolean                      NULL       slipring.null
 *
 * The marks (metatables) tell an empty list from an empty map, and a set from a list. A
 * table that a script made without one is a list if it has elements 1..n and nothing else,
 * a map if all its keys are strings.
 *
 * A string with half a surrogate pair, which JSON can say ("\ud800") and UTF-8 cannot, is
 * held as the three bytes that UTF-8 would have for it, and written as it was.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/utf8.h"
#include "filters/lua_priv.h"
#include "record/base64.h"
#include "record/number.h"
#include "record/value.h"

#define MAP "slipring.map"
#define LIST "slipring.list"
#define SET_S "slipring.SS"
#define SET_N "slipring.NS"
#define SET_B "slipring.BS"
#define BYTES "slipring.bytes"
#define NOTHING "slipring.null"

static const char null_key; /* its address: in the registry */

struct bytes_object { /* base64 as it came */
	size_t n;
	char text[];
};

static void push_value(lua_State *L, struct slice value, unsigned depth);
static void write_value(lua_State *L, struct buf *out, unsigned depth);

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

/* ED A0..BF xx: half of a surrogate pair. */
static bool
is_half(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	return n >= 3 && u[0] == 0xed && (u[1] & 0xe0) == 0xa0 && (u[2] & 0xc0) == 0x80;
}

static void
write_string(lua_State *L, const char *p, size_t n, struct buf *out)
{
	const char *end = p + n, *from = p;

	buf_add_char(out, '"');
	while (p < end) {
		unsigned char c = (unsigned char)*p;
		size_t len = c < 0x80 ? 1 : utf8_length(p, (size_t)(end - p));

		if (len > 1 || (len == 1 && c >= 0x20 && c != '"' && c != '\\')) {
			p += len;
			continue;
		}
		buf_add(out, from, (size_t)(p - from));
		if (len == 0 && !is_half(p, (size_t)(end - p)))
			(void)path_error(L, "a string is not UTF-8 (use slipring.bytes for bytes)");
		if (len == 0)
			buf_addf(out, "\\u%04x",
			    0xd000u | ((unsigned char)p[1] & 0x3fu) << 6 |
				((unsigned char)p[2] & 0x3fu));
		else if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else
			buf_addf(out, "\\u%04x", c);
		p += len == 0 ? 3 : 1;
		from = p;
	}
	buf_add(out, from, (size_t)(p - from));
	buf_add_char(out, '"');
}

/* ---- bytes ---- */

static void
push_bytes(lua_State *L, struct slice base64)
{
	struct bytes_object *o = lua_newuserdatauv(L, sizeof *o + base64.n, 0);

	o->n = base64.n;
	if (base64.n != 0)
		memcpy(o->text, base64.p, base64.n);
	luaL_setmetatable(L, BYTES);
}

static struct slice
bytes_text(lua_State *L, int index)
{
	const struct bytes_object *o = luaL_testudata(L, index, BYTES);

	return o != NULL ? (struct slice){o->text, o->n} : SLICE_NONE;
}

/* The bytes themselves, as a string. */
static int
bytes_tostring(lua_State *L)
{
	struct slice text = bytes_text(L, 1);
	size_t digits, n;
	luaL_Buffer b;
	unsigned bits = 0, have = 0;

	if (text.p == NULL || !base64_measure(text, &digits))
		return luaL_error(L, "no bytes");
	sandbox_charge(L, 2 * digits);
	n = digits * 6 / 8;
	(void)luaL_buffinitsize(L, &b, n);
	for (size_t i = 0; i < digits; i++) {
		bits = bits << 6 | (unsigned)base64_digit(text.p[i]);
		have += 6;
		if (have >= 8) {
			have -= 8;
			luaL_addchar(&b, (char)(bits >> have & 0xff));
		}
	}
	luaL_pushresult(&b);
	return 1;
}

static int
bytes_equal(lua_State *L)
{
	struct slice a = bytes_text(L, 1), b = bytes_text(L, 2);
	size_t n, m;

	sandbox_charge(L, 2 * (a.n + b.n));
	lua_pushboolean(L,
	    a.p != NULL && b.p != NULL && base64_measure(a, &n) && base64_measure(b, &m) &&
		base64_cmp(a, n, b, m) == 0);
	return 1;
}

static int
bytes_new(lua_State *L)
{
	struct buf *out = &sandbox_of(L)->scratch;
	struct slice s;

	s.p = luaL_checklstring(L, 1, &s.n);
	sandbox_charge(L, 2 * s.n);
	buf_reset(out);
	buf_add_base64(out, s.p, s.n);
	push_bytes(L, buf_slice(out));
	return 1;
}

/* ---- in ---- */

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
	push_bytes(L, plain);
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
	luaL_setmetatable(L, type == VALUE_SS ? SET_S : type == VALUE_NS ? SET_N : SET_B);
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
	luaL_setmetatable(L, LIST);
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
	luaL_setmetatable(L, MAP);
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
		(void)lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key);
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

/* ---- out ---- */

static void
write_text(struct buf *out, const char *tag, struct slice text)
{
	buf_addf(out, "{\"%s\":\"", tag);
	buf_add_slice(out, text);
	buf_add_str(out, "\"}");
}

/* One table may stand in many places, and is written as often. */
static void
charge_table(lua_State *L, size_t elements)
{
	sandbox_charge(L, 16 + elements * 4);
}

struct name {
	const char *p;
	size_t n;
};

static int
by_bytes(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return slice_cmp((struct slice){x->p, x->n}, (struct slice){y->p, y->n});
}

/* Pushes the names of the table on top, sorted: the order in a Lua table is chance, and a
 * record that is read again must come out the same. */
static struct name *
push_names(lua_State *L, size_t *count)
{
	int table = lua_gettop(L);
	struct name *names;
	size_t n = 0;

	for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			(void)path_error(
			    L, "a map has a key that is a %s, not a string", luaL_typename(L, -2));
		n++;
	}
	charge_table(L, n);
	names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
	*count = n;
	n = 0;
	for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1), n++)
		names[n].p = lua_tolstring(L, -2, &names[n].n);
	qsort(names, n, sizeof *names, by_bytes);
	return names;
}

/* The members of the map on top, in braces. The names stay in the table. */
static void
write_members(lua_State *L, struct buf *out, unsigned depth)
{
	int table = lua_gettop(L);
	size_t count;
	struct name *names = push_names(L, &count);

	buf_add_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		if (i != 0)
			buf_add_char(out, ',');
		path_enter(L, (struct slice){names[i].p, names[i].n});
		write_string(L, names[i].p, names[i].n, out);
		buf_add_char(out, ':');
		lua_pushlstring(L, names[i].p, names[i].n);
		(void)lua_rawget(L, table);
		write_value(L, out, depth + 1);
		lua_pop(L, 1);
		path_leave(L);
	}
	buf_add_char(out, '}');
	lua_settop(L, table);
}

/* Elements 1..n and nothing else? */
static size_t
check_elements(lua_State *L, const char *what)
{
	size_t n = lua_rawlen(L, -1), count = 0;

	for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1)) {
		lua_Integer at = lua_isinteger(L, -2) ? lua_tointeger(L, -2) : 0;

		if (at < 1 || (size_t)at > n)
			(void)path_error(L, "a %s has a key that is none of its elements", what);
		count++;
	}
	charge_table(L, n);
	if (count != n)
		(void)path_error(L, "a %s has a hole (nil); use slipring.null", what);
	return n;
}

static void
write_list(lua_State *L, struct buf *out, unsigned depth)
{
	size_t n = check_elements(L, "list");

	buf_add_str(out, "{\"L\":[");
	path_enter(L, SLICE_NONE);
	for (size_t i = 1; i <= n; i++) {
		if (i != 1)
			buf_add_char(out, ',');
		path_index(L, i);
		(void)lua_rawgeti(L, -1, (lua_Integer)i);
		write_value(L, out, depth + 1);
		lua_pop(L, 1);
	}
	path_leave(L);
	buf_add_str(out, "]}");
}

static bool
write_element(lua_State *L, char kind, struct buf *out)
{
	struct slice text = kind == 'N' ? number_text(L, -1) : bytes_text(L, -1);
	size_t n;
	const char *p;

	if (kind == 'S' && lua_type(L, -1) == LUA_TSTRING) {
		p = lua_tolstring(L, -1, &n);
		write_string(L, p, n, out);
		return true;
	}
	if (kind == 'N' && lua_isinteger(L, -1)) {
		buf_addf(out, "\"%lld\"", (long long)lua_tointeger(L, -1));
		return true;
	}
	if (kind == 'S' || text.p == NULL)
		return false;
	buf_add_char(out, '"');
	buf_add_slice(out, text);
	buf_add_char(out, '"');
	return true;
}

static void
write_set(lua_State *L, char kind, struct buf *out)
{
	size_t n = check_elements(L, "set");

	buf_addf(out, "{\"%cS\":[", kind);
	for (size_t i = 1; i <= n; i++) {
		if (i != 1)
			buf_add_char(out, ',');
		/* One long text may stand in it many times. */
		if (out->failed)
			(void)path_error(L, "the image is too large");
		(void)lua_rawgeti(L, -1, (lua_Integer)i);
		if (!write_element(L, kind, out))
			(void)path_error(
			    L, "element %zu of a set %cS is a %s", i, kind, luaL_typename(L, -1));
		lua_pop(L, 1);
	}
	if (n == 0)
		(void)path_error(L, "an empty set, which DynamoDB does not have");
	buf_add_str(out, "]}");
}

/* The mark of the table on top; "" when it has none. */
static const char *
mark_of(lua_State *L)
{
	static const char *const marks[] = {MAP, LIST, SET_S, SET_N, SET_B};

	if (!lua_getmetatable(L, -1))
		return "";
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		bool is;

		(void)luaL_getmetatable(L, marks[i]);
		is = lua_rawequal(L, -1, -2);
		lua_pop(L, 1);
		if (is) {
			lua_pop(L, 1);
			return marks[i];
		}
	}
	lua_pop(L, 1);
	return "";
}

static const char *
guess_mark(lua_State *L)
{
	bool list;

	lua_pushnil(L);
	if (lua_next(L, -2) == 0)
		(void)path_error(
		    L, "an empty table is a list or a map: slipring.list({}) or slipring.map({})");
	list = lua_type(L, -2) == LUA_TNUMBER;
	lua_pop(L, 2);
	return list ? LIST : MAP;
}

static void
write_table(lua_State *L, struct buf *out, unsigned depth)
{
	const char *mark = mark_of(L);

	if (*mark == '\0')
		mark = guess_mark(L);
	if (strcmp(mark, LIST) == 0) {
		write_list(L, out, depth);
	} else if (strcmp(mark, MAP) == 0) {
		buf_add_str(out, "{\"M\":");
		write_members(L, out, depth);
		buf_add_char(out, '}');
	} else {
		write_set(L, mark[strlen(mark) - 2], out);
	}
}

static void
write_number(lua_State *L, struct buf *out)
{
	if (!lua_isinteger(L, -1))
		(void)path_error(L,
		    "a Lua float, which is not exact: make it slipring.number(\"...\") or an "
		    "integer");
	buf_addf(out, "{\"N\":\"%lld\"}", (long long)lua_tointeger(L, -1));
}

static void
write_object(lua_State *L, struct buf *out)
{
	struct slice number = number_text(L, -1), bytes = bytes_text(L, -1);

	if (number.p != NULL)
		write_text(out, "N", number);
	else if (bytes.p != NULL)
		write_text(out, "B", bytes);
	else if (luaL_testudata(L, -1, NOTHING) != NULL)
		buf_add_str(out, "{\"NULL\":true}");
	else
		(void)path_error(L, "an object that is no value");
}

/* What is on top. */
static void
write_value(lua_State *L, struct buf *out, unsigned depth)
{
	const char *p;
	size_t n;

	if (depth > SCRIPT_DEPTH)
		(void)path_error(L, "it is nested deeper than 32 levels, or holds itself");
	if (out->failed)
		(void)path_error(L, "the image is too large");
	luaL_checkstack(L, 8, "nested too deep");
	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		p = lua_tolstring(L, -1, &n);
		buf_add_str(out, "{\"S\":");
		write_string(L, p, n, out);
		buf_add_char(out, '}');
		break;
	case LUA_TNUMBER:
		write_number(L, out);
		break;
	case LUA_TBOOLEAN:
		buf_add_str(out, lua_toboolean(L, -1) ? "{\"BOOL\":true}" : "{\"BOOL\":false}");
		break;
	case LUA_TTABLE:
		write_table(L, out, depth);
		break;
	case LUA_TUSERDATA:
		write_object(L, out);
		break;
	default:
		(void)path_error(L, "a %s is no attribute value", luaL_typename(L, -1));
	}
}

void
value_write_image(lua_State *L, struct buf *out)
{
	const char *mark = "";

	if (lua_type(L, -1) == LUA_TTABLE)
		mark = mark_of(L);
	if (lua_type(L, -1) != LUA_TTABLE || (*mark != '\0' && strcmp(mark, MAP) != 0))
		(void)path_error(L, "a map of attributes is wanted");
	write_members(L, out, 0);
	if (out->failed)
		(void)path_error(L, "the image is too large");
}

/* ---- the table `slipring` ---- */

static int
mark_as(lua_State *L, const char *mark)
{
	if (lua_isnoneornil(L, 1))
		lua_newtable(L);
	else
		luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_setmetatable(L, mark);
	return 1;
}

static int
make_map(lua_State *L)
{
	return mark_as(L, MAP);
}

static int
make_list(lua_State *L)
{
	return mark_as(L, LIST);
}

static int
make_ss(lua_State *L)
{
	return mark_as(L, SET_S);
}

static int
make_ns(lua_State *L)
{
	return mark_as(L, SET_N);
}

static int
make_bs(lua_State *L)
{
	return mark_as(L, SET_B);
}

static const char *
type_of_object(lua_State *L)
{
	if (number_text(L, 1).p != NULL)
		return "N";
	if (bytes_text(L, 1).p != NULL)
		return "B";
	return "NULL";
}

/* slipring.type(value): "S", "N", ... as DynamoDB names it; nil for what is no value. */
static int
type_of(lua_State *L)
{
	static const char *const words[][2] = {
	    {MAP, "M"}, {LIST, "L"}, {SET_S, "SS"}, {SET_N, "NS"}, {SET_B, "BS"}};
	const char *mark;

	luaL_checkany(L, 1);
	lua_settop(L, 1);
	switch (lua_type(L, 1)) {
	case LUA_TSTRING:
		lua_pushliteral(L, "S");
		return 1;
	case LUA_TBOOLEAN:
		lua_pushliteral(L, "BOOL");
		return 1;
	case LUA_TNUMBER:
		if (!lua_isinteger(L, 1))
			break;
		lua_pushliteral(L, "N");
		return 1;
	case LUA_TUSERDATA:
		(void)lua_pushstring(L, type_of_object(L));
		return 1;
	case LUA_TTABLE:
		mark = mark_of(L);
		for (size_t i = 0; i < ARRAY_LEN(words); i++)
			if (strcmp(mark, words[i][0]) == 0) {
				(void)lua_pushstring(L, words[i][1]);
				return 1;
			}
		break;
	default:
		break;
	}
	lua_pushnil(L);
	return 1;
}

static int
null_tostring(lua_State *L)
{
	lua_pushliteral(L, "null");
	return 1;
}

void
value_library(lua_State *L)
{
	static const luaL_Reg functions[] = {{"map", make_map}, {"list", make_list},
	    {"ss", make_ss}, {"ns", make_ns}, {"bs", make_bs}, {"bytes", bytes_new},
	    {"type", type_of}, {NULL, NULL}};
	static const luaL_Reg of_bytes[] = {
	    {"__tostring", bytes_tostring}, {"__eq", bytes_equal}, {NULL, NULL}};
	static const char *const marks[] = {MAP, LIST, SET_S, SET_N, SET_B};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		(void)luaL_newmetatable(L, marks[i]);
		lua_pop(L, 1);
	}
	(void)luaL_newmetatable(L, BYTES);
	luaL_setfuncs(L, of_bytes, 0);
	lua_pop(L, 1);
	(void)luaL_newmetatable(L, NOTHING);
	lua_pushcfunction(L, null_tostring);
	lua_setfield(L, -2, "__tostring");
	lua_pop(L, 1);
	luaL_setfuncs(L, functions, 0);
	(void)lua_newuserdatauv(L, 1, 0);
	luaL_setmetatable(L, NOTHING);
	lua_pushvalue(L, -1);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
	lua_setfield(L, -2, "null");
}
