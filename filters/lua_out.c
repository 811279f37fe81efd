/* filters/lua_out.c - Lua values to DynamoDB JSON (see lua_priv.h for which).
 *
 * A table that a script made without a mark is a list if it has elements 1..n and nothing
 * else, a map if all its keys are strings.
 */
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "filters/lua_priv.h"

static void write_value(lua_State *L, struct buf *out, unsigned depth);

/* ---- texts ---- */

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

static void
write_text(struct buf *out, const char *tag, struct slice text)
{
	buf_addf(out, "{\"%s\":\"", tag);
	buf_add_slice(out, text);
	buf_add_str(out, "\"}");
}

/* ---- tables ---- */

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
	return list ? MARK_LIST : MARK_MAP;
}

static void
write_table(lua_State *L, struct buf *out, unsigned depth)
{
	const char *mark = mark_of(L);

	if (*mark == '\0')
		mark = guess_mark(L);
	if (strcmp(mark, MARK_LIST) == 0) {
		write_list(L, out, depth);
	} else if (strcmp(mark, MARK_MAP) == 0) {
		buf_add_str(out, "{\"M\":");
		write_members(L, out, depth);
		buf_add_char(out, '}');
	} else {
		write_set(L, mark[strlen(mark) - 2], out);
	}
}

/* ---- values ---- */

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
	else if (null_is(L, -1))
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
	if (lua_type(L, -1) != LUA_TTABLE || (*mark != '\0' && strcmp(mark, MARK_MAP) != 0))
		(void)path_error(L, "a map of attributes is wanted");
	write_members(L, out, 0);
	if (out->failed)
		(void)path_error(L, "the image is too large");
}
