/* filters/lua_work.c - how much work one call into C may be (see lua_priv.h).
 *
 * A call is one instruction to the hook, however long it takes. Most functions of the
 * libraries are bounded by the memory there is, which makes them a matter of
 * milliseconds, but of many when a loop calls them a thousand times before the hook looks at
 * the CPU time: those that walk a text or a table are charged for its length. These are
 * not bounded at all:
 *
 *   rep          of an empty string, a billion billion times
 *   move         of nil, as far as an integer goes
 *   sort         n log n of half a million, each a comparison of two megabytes
 *   patterns     repetitions that can take turns: n to the power of their number; sets of a
 *                million characters
 *   gsub         a million %0 in the place of a million matches, all of them empty
 *
 * They are charged before they begin, by what they can cost at worst.
 */
#include <ctype.h>
#include <lauxlib.h>

#include "base/compiler.h"
#include "filters/lua_priv.h"

#define TOO_MUCH ((double)(1ULL << 62))

/* The function that is guarded is the first upvalue. */
static int
go_on(lua_State *L)
{
	return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

static void
charge(lua_State *L, double work)
{
	sandbox_charge(L, work < TOO_MUCH ? (size_t)work : (size_t)TOO_MUCH);
}

static int
guard_rep(lua_State *L)
{
	size_t n, sep = 0;
	lua_Integer times;

	(void)luaL_checklstring(L, 1, &n);
	times = luaL_checkinteger(L, 2);
	(void)luaL_optlstring(L, 3, "", &sep);
	if (times > 0)
		charge(L, (double)times * ((double)n + (double)sep + 1) / 8);
	return go_on(L);
}

static int
guard_range(lua_State *L, int from, int to)
{
	double n = (double)luaL_optinteger(L, to, 0) - (double)luaL_optinteger(L, from, 1);

	if (n > 0)
		charge(L, n);
	return go_on(L);
}

static int
guard_move(lua_State *L)
{
	return guard_range(L, 2, 3);
}

/* What stands behind the position moves; without one it is the end, and nothing does. */
static int
guard_position(lua_State *L, int at)
{
	lua_Integer position = lua_tointeger(L, at), n;

	luaL_checktype(L, 1, LUA_TTABLE);
	n = (lua_Integer)lua_rawlen(L, 1);
	if (position > 0 && position <= n)
		charge(L, (double)(n - position + 1));
	return go_on(L);
}

static int
guard_insert(lua_State *L)
{
	return guard_position(L, lua_gettop(L) >= 3 ? 2 : 4);
}

static int
guard_remove(lua_State *L)
{
	return guard_position(L, 2);
}

/* The lengths of the longest text in a table and of the next: one string may be in there
 * many times. */
static void
longest_of(lua_State *L, size_t n, size_t longest[2])
{
	longest[0] = longest[1] = 0;
	for (size_t i = 1; i <= n; i++, lua_pop(L, 1)) {
		size_t len =
		    lua_rawgeti(L, 1, (lua_Integer)i) == LUA_TSTRING ? lua_rawlen(L, -1) : 0;

		if (len > longest[0]) {
			longest[1] = longest[0];
			longest[0] = len;
		} else if (len > longest[1]) {
			longest[1] = len;
		}
	}
}

static int
guard_sort(lua_State *L)
{
	size_t n, longest[2];
	double each = 4;

	luaL_checktype(L, 1, LUA_TTABLE);
	n = lua_rawlen(L, 1);
	charge(L, (double)n);
	longest_of(L, n, longest);
	/* Two texts are compared to the end of the shorter one at most. What another
	 * function of C makes of one of them, nobody knows; one of Lua's is counted. */
	if (lua_iscfunction(L, 2))
		each += (double)longest[0] * 2;
	else if (!lua_isfunction(L, 2))
		each += (double)longest[1] / 8;
	/* 2^19 fit into the default memory; a comparison costs a few steps. */
	charge(L, (double)n * 20 * each);
	return go_on(L);
}

/* A number is written out, which takes as long as several instructions. */
static int
guard_concat(lua_State *L)
{
	lua_Integer from, to;
	size_t numbers = 0;

	luaL_checktype(L, 1, LUA_TTABLE);
	from = luaL_optinteger(L, 3, 1);
	to = luaL_optinteger(L, 4, (lua_Integer)lua_rawlen(L, 1));
	if (to >= from)
		charge(L, 32 * ((double)to - (double)from + 1));
	for (lua_Integer i = from; i <= to && i < LUA_MAXINTEGER; i++, lua_pop(L, 1))
		numbers += lua_rawgeti(L, 1, i) == LUA_TNUMBER;
	charge(L, 256 * (double)numbers);
	return go_on(L);
}

/* Walks the texts it is given. */
static int
guard_texts(lua_State *L)
{
	double n = 0;

	for (int i = lua_gettop(L); i > 0; i--)
		if (lua_type(L, i) == LUA_TSTRING)
			n += (double)lua_rawlen(L, i);
	charge(L, 2 * n);
	return go_on(L);
}

/* ---- patterns ---- */

struct pattern {
	const char *p, *end;
};

static bool
in_class(char class, char c)
{
	unsigned char u = (unsigned char)c;
	int in;

	switch (tolower((unsigned char)class)) {
	case 'a':
		in = isalpha(u);
		break;
	case 'd':
		in = isdigit(u);
		break;
	case 'l':
		in = islower(u);
		break;
	case 's':
		in = isspace(u);
		break;
	case 'w':
		in = isalnum(u);
		break;
	case 'x':
		in = isxdigit(u);
		break;
	default:
		return true; /* not looked into */
	}
	return isupper((unsigned char)class) ? !in : in != 0;
}

/* Behind the single-character item at p. */
static const char *
item_end(const struct pattern *pt, const char *p)
{
	if (*p == '%')
		return p + 2 <= pt->end ? p + 2 : pt->end;
	if (*p != '[')
		return p + 1;
	p++;
	if (p < pt->end && *p == '^')
		p++;
	do {
		if (p >= pt->end)
			return pt->end;
		p += *p == '%' ? 2 : 1;
	} while (p < pt->end && *p != ']');
	return p < pt->end ? p + 1 : pt->end;
}

/* Behind what is not one character and cannot be repeated: %bxy, %f[set], %1. NULL: it is no
 * such. */
static const char *
special_end(const struct pattern *pt, const char *p)
{
	if (*p != '%' || p + 1 >= pt->end)
		return NULL;
	if (p[1] == 'b')
		return pt->end - p > 4 ? p + 4 : pt->end;
	if (p[1] == 'f')
		return p + 2 < pt->end ? item_end(pt, p + 2) : pt->end;
	return isdigit((unsigned char)p[1]) ? p + 2 : NULL;
}

static const char *
behind_captures(const struct pattern *pt, const char *p)
{
	while (p < pt->end && (*p == '(' || *p == ')'))
		p++;
	return p;
}

/* Could the rest begin at several places of the run that the item at p repeats over? Only
 * what is obvious is seen: the end, or a plain letter that the item does not take. */
static bool
takes_turns(const struct pattern *pt, const char *p, const char *rest)
{
	if (*rest == '$' && rest + 1 == pt->end)
		return false;
	if (rest + 1 < pt->end && strchr("*-?", rest[1]) != NULL)
		return true;
	if (*rest == '%' && rest + 1 < pt->end && ispunct((unsigned char)rest[1]))
		rest++;
	else if (strchr("^$%.[", *rest) != NULL)
		return true;
	if (*p == '%' && p + 1 < pt->end && isalpha((unsigned char)p[1]))
		return in_class(p[1], *rest);
	if (*p == '[' || *p == '.' || *p == '%')
		return true;
	return *p == *rest;
}

/* At worst. A repetition runs over n for each of the ways that lead to it, and multiplies the
 * ways when the rest could begin anywhere in its run; since repetitions share the
 * subject, k of them make n to the k over k factorial. One that ends the pattern is
 * entered once: nothing behind it fails. A set is walked for each character. */
static double
pattern_work(const char *pattern, size_t pattern_n, size_t subject_n, bool anchors)
{
	struct pattern pt = {pattern, pattern + pattern_n};
	double n = (double)subject_n + 1, work = n + (double)pattern_n, ways = n, turns = 2;
	const char *p = pattern;

	if (anchors && p < pt.end && *p == '^') {
		p++;
		ways = turns = 1;
	}
	while ((p = behind_captures(&pt, p)) < pt.end) {
		const char *special = special_end(&pt, p);
		const char *next = special != NULL ? special : item_end(&pt, p);
		bool repeats = special == NULL && next < pt.end && strchr("*+-", *next) != NULL;
		const char *rest = behind_captures(&pt, repeats ? next + 1 : next);
		double each = 1 + (double)(next - p) / 4;

		work += ways * each;
		if (special != NULL) {
			if (p[1] != 'f')
				work += ways * n; /* balance and back references walk */
			p = special;
			continue;
		}
		if (repeats && rest == pt.end)
			work += n * each;
		if (repeats && rest < pt.end) {
			work += ways * n * each / turns;
			if (takes_turns(&pt, p, rest))
				ways *= n / turns++;
		}
		if (next < pt.end && *next == '?')
			ways *= 2;
		p = repeats || (next < pt.end && *next == '?') ? next + 1 : next;
	}
	return work;
}

static void
charge_pattern(lua_State *L, bool anchors)
{
	size_t subject_n, pattern_n;
	const char *pattern;

	(void)luaL_checklstring(L, 1, &subject_n);
	pattern = luaL_checklstring(L, 2, &pattern_n);
	charge(L, pattern_work(pattern, pattern_n, subject_n, anchors));
}

static int
guard_pattern(lua_State *L)
{
	charge_pattern(L, true);
	return go_on(L);
}

/* How many things in the text that stands for a match may come to nothing: with the others
 * the answer grows, until memory ends it. */
static size_t
escapes_in(lua_State *L, int at)
{
	size_t n, escapes = 0;
	const char *p = lua_tolstring(L, at, &n), *end = p + n;

	while (p < end && (p = memchr(p, '%', (size_t)(end - p))) != NULL) {
		escapes++;
		p++;
	}
	return escapes;
}

static int
guard_gsub(lua_State *L)
{
	lua_Integer most;
	size_t n;

	charge_pattern(L, true);
	(void)luaL_checklstring(L, 1, &n);
	most = luaL_optinteger(L, 4, (lua_Integer)n + 1);
	if (most > (lua_Integer)n + 1)
		most = (lua_Integer)n + 1;
	if (most > 0 && lua_type(L, 3) == LUA_TSTRING)
		charge(L, (double)most * (double)escapes_in(L, 3));
	return go_on(L);
}

/* The library's iterator searches all of the rest anew when it is called after its end. */
static int
iterate(lua_State *L)
{
	int n = lua_gettop(L);

	if (lua_toboolean(L, lua_upvalueindex(2)))
		return 0;
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, LUA_MULTRET);
	if (lua_gettop(L) == 0 || lua_isnil(L, 1)) {
		lua_pushboolean(L, true);
		lua_replace(L, lua_upvalueindex(2));
	}
	return lua_gettop(L);
}

static int
guard_gmatch(lua_State *L)
{
	charge_pattern(L, false);
	(void)go_on(L);
	lua_pushboolean(L, false);
	lua_pushcclosure(L, iterate, 2);
	return 1;
}

static int
guard_find(lua_State *L)
{
	size_t n, m;

	if (!lua_toboolean(L, 4))
		return guard_pattern(L);
	(void)luaL_checklstring(L, 1, &n);
	(void)luaL_checklstring(L, 2, &m);
	charge(L, (double)n * ((double)m + 1) / 8);
	return go_on(L);
}

/* ---- */

static void
guard(lua_State *L, const char *name, lua_CFunction by)
{
	if (lua_getfield(L, -1, name) != LUA_TFUNCTION)
		(void)luaL_error(L, "there is no function %s", name);
	lua_pushcclosure(L, by, 1);
	lua_setfield(L, -2, name);
}

void
work_guard_string(lua_State *L)
{
	guard(L, "rep", guard_rep);
	guard(L, "find", guard_find);
	guard(L, "match", guard_pattern);
	guard(L, "gmatch", guard_gmatch);
	guard(L, "gsub", guard_gsub);
	guard(L, "format", guard_texts);
	guard(L, "lower", guard_texts);
	guard(L, "upper", guard_texts);
	guard(L, "reverse", guard_texts);
}

void
work_guard_table(lua_State *L)
{
	guard(L, "concat", guard_concat);
	guard(L, "move", guard_move);
	guard(L, "insert", guard_insert);
	guard(L, "remove", guard_remove);
	guard(L, "sort", guard_sort);
}

void
work_guard_utf8(lua_State *L)
{
	guard(L, "len", guard_texts);
	guard(L, "offset", guard_texts);
}
