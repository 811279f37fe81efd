/* filters/lua_library.c - what a script may call (see lua_priv.h).
 *
 * A list of what there is, not of what there is not: a function that a later Lua adds is
 * not there before somebody has thought about it.
 */
#include <lauxlib.h>
#include <lualib.h>

#include "base/compiler.h"
#include "filters/lua_priv.h"

/* No metatables: nothing that runs by itself. No print: it would show what records hold. */
static const char *const base_names[] = {"_VERSION", "assert", "error", "ipairs", "next", "pairs",
    "pcall", "select", "tonumber", "tostring", "type", NULL};
static const char *const string_names[] = {"byte", "char", "find", "format", "gmatch", "gsub",
    "len", "lower", "match", "rep", "reverse", "sub", "upper", NULL};
static const char *const table_names[] = {
    "concat", "insert", "move", "pack", "remove", "sort", "unpack", NULL};
/* No random: a record that is read again must come out the same. */
static const char *const math_names[] = {"abs", "maxinteger", "mininteger", "max", "min",
    "tointeger", "type", "ult", "floor", "ceil", NULL};
static const char *const utf8_names[] = {
    "char", "charpattern", "codepoint", "codes", "len", "offset", NULL};

static bool
is_listed(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

/* Takes everything else out of the table on top. */
static void
keep_only(lua_State *L, const char *const *names)
{
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TSTRING && is_listed(names, lua_tostring(L, -1)))
			continue;
		/* Clearing a field is allowed during a traversal. */
		lua_pushvalue(L, -1);
		lua_pushnil(L);
		lua_rawset(L, -4);
	}
}

static void
open_one(lua_State *L, const char *name, lua_CFunction open, const char *const *names)
{
	luaL_requiref(L, name, open, 0);
	keep_only(L, names);
	lua_pushvalue(L, -1);
	lua_setglobal(L, name);
}

void
library_open(lua_State *L)
{
	luaL_requiref(L, LUA_GNAME, luaopen_base, 0);
	keep_only(L, base_names);
	lua_pop(L, 1);
	open_one(L, LUA_STRLIBNAME, luaopen_string, string_names);
	work_guard_string(L);
	lua_pop(L, 1);
	open_one(L, LUA_TABLIBNAME, luaopen_table, table_names);
	work_guard_table(L);
	lua_pop(L, 1);
	open_one(L, LUA_MATHLIBNAME, luaopen_math, math_names);
	open_one(L, LUA_UTF8LIBNAME, luaopen_utf8, utf8_names);
	work_guard_utf8(L);
	lua_pop(L, 2);
	number_library(L, sandbox_of(L)->conf.decimal);
	lua_newtable(L);
	types_library(L);
	lua_pushcfunction(L, number_new);
	lua_setfield(L, -2, "number");
	lua_setglobal(L, "slipring");
}
