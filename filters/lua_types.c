/* filters/lua_types.c - what Lua has no type for: the marks of tables, bytes, null; and the
 * global table `slipring` that makes them (see lua_priv.h).
 */
#include <lauxlib.h>
#include <string.h>

#include "base/compiler.h"
#include "filters/lua_priv.h"
#include "record/base64.h"

#define BYTES "slipring.bytes"
#define NOTHING "slipring.null"

static const char null_key; /* its address: in the registry */

struct bytes_object { /* base64 as it came */
	size_t n;
	char text[];
};

/* ---- bytes ---- */

void
bytes_push(lua_State *L, struct slice base64)
{
	struct bytes_object *o = lua_newuserdatauv(L, sizeof *o + base64.n, 0);

	o->n = base64.n;
	if (base64.n != 0)
		memcpy(o->text, base64.p, base64.n);
	luaL_setmetatable(L, BYTES);
}

struct slice
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
	bytes_push(L, buf_slice(out));
	return 1;
}

/* ---- null ---- */

void
null_push(lua_State *L)
{
	(void)lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key);
}

bool
null_is(lua_State *L, int index)
{
	return luaL_testudata(L, index, NOTHING) != NULL;
}

static int
null_tostring(lua_State *L)
{
	lua_pushliteral(L, "null");
	return 1;
}

/* ---- marks ---- */

const char *
mark_of(lua_State *L)
{
	static const char *const marks[] = {MARK_MAP, MARK_LIST, MARK_SS, MARK_NS, MARK_BS};

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
	return mark_as(L, MARK_MAP);
}

static int
make_list(lua_State *L)
{
	return mark_as(L, MARK_LIST);
}

static int
make_ss(lua_State *L)
{
	return mark_as(L, MARK_SS);
}

static int
make_ns(lua_State *L)
{
	return mark_as(L, MARK_NS);
}

static int
make_bs(lua_State *L)
{
	return mark_as(L, MARK_BS);
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
	    {MARK_MAP, "M"}, {MARK_LIST, "L"}, {MARK_SS, "SS"}, {MARK_NS, "NS"}, {MARK_BS, "BS"}};
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

void
types_library(lua_State *L)
{
	static const luaL_Reg functions[] = {{"map", make_map}, {"list", make_list},
	    {"ss", make_ss}, {"ns", make_ns}, {"bs", make_bs}, {"bytes", bytes_new},
	    {"type", type_of}, {NULL, NULL}};
	static const luaL_Reg of_bytes[] = {
	    {"__tostring", bytes_tostring}, {"__eq", bytes_equal}, {NULL, NULL}};
	static const char *const marks[] = {MARK_MAP, MARK_LIST, MARK_SS, MARK_NS, MARK_BS};

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
