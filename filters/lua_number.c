/* filters/lua_number.c - DynamoDB numbers in a script (see lua_priv.h).
 *
 * A number object is its text, as it came: it goes back as the same text. It is
 * never a double. `==` compares by value; with `numbers: decimal` so do < and <=, and +, -
 * and * are exact or an error. Division is not there: it is not exact.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "filters/lua_priv.h"
#include "record/number.h"
#include "record/value.h"

#define TYPE "slipring.number"
/* Sign, 38 digits, a point, and an exponent; what came may be written longer. */
#define TEXT_MAX 128

struct number_object {
	size_t n;
	char text[];
};

__extension__ typedef unsigned __int128 wide; /* 38 digits fit */

/* mantissa * 10^exponent */
struct decimal {
	wide mantissa;
	int64_t exponent;
	bool negative;
};

void
number_push(lua_State *L, struct slice text)
{
	struct number_object *o = lua_newuserdatauv(L, sizeof *o + text.n, 0);

	o->n = text.n;
	if (text.n != 0)
		memcpy(o->text, text.p, text.n);
	luaL_setmetatable(L, TYPE);
}

struct slice
number_text(lua_State *L, int index)
{
	const struct number_object *o = luaL_testudata(L, index, TYPE);

	return o != NULL ? (struct slice){o->text, o->n} : SLICE_NONE;
}

static bool
fits(const struct number *n)
{
	/* The service's range: 1e-130 to below 1e126. */
	return n->count <= NUMBER_DIGITS && (n->count == 0 || (n->point > -130 && n->point <= 126));
}

int
number_new(lua_State *L)
{
	char text[32];
	struct slice s;
	struct number n;

	luaL_checkany(L, 1);
	if (lua_isinteger(L, 1)) {
		(void)snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, 1));
		number_push(L, slice_of(text));
		return 1;
	}
	if (number_text(L, 1).p != NULL) {
		lua_settop(L, 1);
		return 1;
	}
	if (lua_type(L, 1) != LUA_TSTRING)
		return luaL_argerror(L, 1, "a text or an integer is wanted; a float is not exact");
	s.p = lua_tolstring(L, 1, &s.n);
	if (s.n > TEXT_MAX || !number_parse(s, &n))
		return luaL_argerror(L, 1, "it is no number");
	if (!fits(&n))
		return luaL_argerror(L, 1, "it has more than 38 digits, or too large an exponent");
	number_push(L, s);
	return 1;
}

/* ---- arithmetic ---- */

static struct number
operand(lua_State *L, int index, char *text, size_t room)
{
	struct slice s = number_text(L, index);
	struct number n;

	if (s.p == NULL && lua_isinteger(L, index)) {
		(void)snprintf(text, room, "%lld", (long long)lua_tointeger(L, index));
		s = slice_of(text);
	}
	if (s.p == NULL)
		(void)luaL_error(L,
		    "a number of DynamoDB and a Lua %s: not exact; use slipring.number()",
		    luaL_typename(L, index));
	if (!number_parse(s, &n))
		(void)luaL_error(L, "a number object holds no number");
	return n;
}

static struct decimal
decimal_of(lua_State *L, const struct number *n)
{
	struct decimal d = {.exponent = n->point - (int64_t)n->count, .negative = n->negative};

	if (n->count > NUMBER_DIGITS)
		(void)luaL_error(L, "a number has more than 38 digits");
	for (size_t i = 0; i < n->digits.n; i++)
		if (n->digits.p[i] != '.')
			d.mantissa = d.mantissa * 10 + (unsigned)(n->digits.p[i] - '0');
	return d;
}

static void
push_decimal(lua_State *L, struct decimal d)
{
	char digits[48], *p = digits + sizeof digits;
	char raw[80];
	struct buf out = {.p = (char[96]){0}, .cap = 96, .max = 96};
	struct number n;
	int len;

	do {
		*--p = (char)('0' + (int)(d.mantissa % 10));
		d.mantissa /= 10;
	} while (d.mantissa != 0);
	len = snprintf(raw, sizeof raw, "%s%.*sE%lld", d.negative ? "-" : "",
	    (int)(digits + sizeof digits - p), p, (long long)d.exponent);
	if (!number_parse((struct slice){raw, (size_t)len}, &n) || !fits(&n) ||
	    !number_canonical((struct slice){raw, (size_t)len}, &out) || out.failed)
		(void)luaL_error(L, "the result has more than 38 digits, or too large an exponent");
	number_push(L, buf_slice(&out));
}

/* Brings both to the smaller exponent. */
static void
align(lua_State *L, struct decimal *a, struct decimal *b)
{
	struct decimal *high = a->exponent > b->exponent ? a : b, *low = high == a ? b : a;

	if (high->mantissa == 0)
		high->exponent = low->exponent;
	if (low->mantissa == 0)
		low->exponent = high->exponent;
	for (; high->exponent > low->exponent; high->exponent--)
		if (__builtin_mul_overflow(high->mantissa, 10u, &high->mantissa))
			(void)luaL_error(L, "the result has more than 38 digits");
}

static struct decimal
sum(lua_State *L, struct decimal a, struct decimal b)
{
	align(L, &a, &b);
	if (a.negative == b.negative) {
		if (__builtin_add_overflow(a.mantissa, b.mantissa, &a.mantissa))
			(void)luaL_error(L, "the result has more than 38 digits");
		return a;
	}
	if (a.mantissa >= b.mantissa) {
		a.mantissa -= b.mantissa;
		return a;
	}
	b.mantissa -= a.mantissa;
	return b;
}

static int
add_signed(lua_State *L, bool negate)
{
	char ta[32], tb[32];
	struct number a = operand(L, 1, ta, sizeof ta), b = operand(L, 2, tb, sizeof tb);
	struct decimal x = decimal_of(L, &a), y = decimal_of(L, &b);

	y.negative = y.negative != negate;
	push_decimal(L, sum(L, x, y));
	return 1;
}

static int
number_add(lua_State *L)
{
	return add_signed(L, false);
}

static int
number_sub(lua_State *L)
{
	return add_signed(L, true);
}

static int
number_mul(lua_State *L)
{
	char ta[32], tb[32];
	struct number a = operand(L, 1, ta, sizeof ta), b = operand(L, 2, tb, sizeof tb);
	struct decimal x = decimal_of(L, &a), y = decimal_of(L, &b);

	x.negative = x.negative != y.negative;
	x.exponent += y.exponent;
	if (__builtin_mul_overflow(x.mantissa, y.mantissa, &x.mantissa))
		return luaL_error(L, "the result has more than 38 digits");
	push_decimal(L, x);
	return 1;
}

static int
number_unm(lua_State *L)
{
	char text[32];
	struct number a = operand(L, 1, text, sizeof text);
	struct decimal x = decimal_of(L, &a);

	x.negative = !x.negative;
	push_decimal(L, x);
	return 1;
}

/* ---- comparison, text ---- */

static int
compare(lua_State *L)
{
	char ta[32], tb[32];
	struct number a = operand(L, 1, ta, sizeof ta), b = operand(L, 2, tb, sizeof tb);

	return number_cmp(&a, &b);
}

static int
number_equal(lua_State *L)
{
	lua_pushboolean(
	    L, number_text(L, 1).p != NULL && number_text(L, 2).p != NULL && compare(L) == 0);
	return 1;
}

static int
number_less(lua_State *L)
{
	lua_pushboolean(L, compare(L) < 0);
	return 1;
}

static int
number_at_most(lua_State *L)
{
	lua_pushboolean(L, compare(L) <= 0);
	return 1;
}

static int
number_tostring(lua_State *L)
{
	struct slice s = number_text(L, 1);

	if (s.p == NULL)
		return luaL_error(L, "no number object");
	lua_pushlstring(L, s.p, s.n);
	return 1;
}

static int
number_concat(lua_State *L)
{
	(void)luaL_tolstring(L, 1, NULL);
	(void)luaL_tolstring(L, 2, NULL);
	lua_concat(L, 2);
	return 1;
}

void
number_library(lua_State *L, bool decimal)
{
	static const luaL_Reg always[] = {{"__eq", number_equal}, {"__tostring", number_tostring},
	    {"__concat", number_concat}, {NULL, NULL}};
	static const luaL_Reg computing[] = {{"__lt", number_less}, {"__le", number_at_most},
	    {"__add", number_add}, {"__sub", number_sub}, {"__mul", number_mul},
	    {"__unm", number_unm}, {NULL, NULL}};

	(void)luaL_newmetatable(L, TYPE);
	luaL_setfuncs(L, always, 0);
	if (decimal)
		luaL_setfuncs(L, computing, 0);
	lua_pop(L, 1);
}
