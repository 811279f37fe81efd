/* filters/lua_sandbox.c - see lua_priv.h: an interpreter that cannot eat the daemon.
 *
 *   memory        the allocator says no
 *   instructions  a hook every STEP of them. From the first refusal on it fires at every
 *                 single one, so that pcall() leads nowhere
 *   time          the same hook looks at the thread's CPU time: for instructions that
 *                 take long, as comparing two strings of megabytes does
 *   calls in C    lua_work.c
 *
 * There are no coroutines (each would have a hook and a count of its own), no __gc (it runs
 * without the hook), no bytecode (it is not checked by anybody).
 *
 * Errors: the text of an error that Lua or Slipring makes names types, variables of the
 * script and attribute paths. The text that a script gives to error() could be anything the
 * record holds, so it is shown only if it stands in the script, word for word, as a string.
 */
#include "filters/lua_priv.h"

#include <assert.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"

#define STEP 1000
/* 1,000,000 instructions take some 10 ms; a loop thread that stands still longer than
 * this is worth a dead letter. */
#define CPU_NS INT64_C(1000000000)
/* Work done in C that counts as one instruction. */
#define WORK_STEPS 16u

static const char thrown_key; /* its address: in the registry, what error() threw last */

struct sandbox *
sandbox_of(lua_State *L)
{
	struct sandbox *s;

	memcpy(&s, lua_getextraspace(L), sizeof s);
	return s;
}

/* ---- bounds ---- */

static void *
allocate(void *arg, void *p, size_t had, size_t want)
{
	struct sandbox *s = arg;
	void *fresh;

	if (p == NULL)
		had = 0; /* it is a type then */
	if (want == 0) {
		free(p);
		s->used -= had;
		return NULL;
	}
	if (want > had && s->used - had + want > (size_t)s->conf.memory) {
		s->starved = true;
		return NULL;
	}
	fresh = realloc(p, want);
	if (fresh != NULL)
		s->used += want - had;
	return fresh;
}

static int64_t
cpu_now(void)
{
	struct timespec t;

	/* banned-ok: clock_gettime: work done, not time; nothing but stopping a script hangs on it */
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void hook(lua_State *L, lua_Debug *ar);

/* level: of the function of the script that runs, as luaL_where() counts. Does not return. */
static void
stop(lua_State *L, int level)
{
	struct sandbox *s = sandbox_of(L);

	if (!s->spent)
		lua_sethook(L, hook, LUA_MASKCOUNT, 1);
	s->spent = true;
	luaL_where(L, level);
	if (s->left < 0)
		lua_pushfstring(L,
		    "it took more than %I instructions for one record (key instructions)",
		    (LUAI_UACINT)s->conf.instructions);
	else
		lua_pushliteral(L, "it took more than a second for one record");
	lua_concat(L, 2);
	(void)lua_error(L);
}

static void
hook(lua_State *L, lua_Debug *ar)
{
	struct sandbox *s = sandbox_of(L);

	(void)ar;
	s->left -= s->spent ? 1 : STEP;
	if (s->spent || s->left < 0 || cpu_now() > s->cpu_until)
		stop(L, 0);
}

void
sandbox_charge(lua_State *L, size_t work)
{
	struct sandbox *s = sandbox_of(L);
	size_t cost = work / WORK_STEPS;

	if (s->spent || cost > (size_t)(s->left > 0 ? s->left : 0)) {
		s->left = -1;
		stop(L, 1);
	}
	s->left -= (int64_t)cost;
	/* As long as the instructions after which the hook would look. */
	if (cost >= STEP && cpu_now() > s->cpu_until)
		stop(L, 1);
}

/* ---- errors ---- */

static void
add_step(struct buf *out, const struct script_step *st)
{
	if (st->name == NULL) {
		buf_addf(out, "[%zu]", st->n);
		return;
	}
	if (out->n != 0)
		buf_add_char(out, '.');
	buf_add_visible(out, (struct slice){st->name, st->n < 60 ? st->n : 60});
}

void
path_enter(lua_State *L, struct slice name)
{
	struct sandbox *s = sandbox_of(L);

	assert(s->depth < SCRIPT_PATH);
	s->path[s->depth++] = (struct script_step){name.p, name.n};
}

void
path_index(lua_State *L, size_t index)
{
	struct sandbox *s = sandbox_of(L);

	s->path[s->depth - 1].n = index;
}

void
path_leave(lua_State *L)
{
	struct sandbox *s = sandbox_of(L);

	s->depth--;
}

int
path_error(lua_State *L, const char *fmt, ...)
{
	struct sandbox *s = sandbox_of(L);
	char text[200];
	va_list ap;

	buf_reset(&s->scratch);
	for (size_t i = 0; i < s->depth && s->scratch.n < 150; i++)
		add_step(&s->scratch, &s->path[i]);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return luaL_error(L, "%s: %s", buf_cstr(&s->scratch), text);
}

/* Does the script hold it as a string? */
static bool
is_literal(const struct sandbox *s, const char *text, size_t n)
{
	const char *p = s->text.p, *end = p + s->text.n;

	while (n != 0 && (p = memmem(p, (size_t)(end - p), text, n)) != NULL) {
		if (p > s->text.p && p + n < end && p[-1] == p[n] && (*p != '\0') &&
		    (p[-1] == '"' || p[-1] == '\''))
			return true;
		p++;
	}
	return false;
}

/* error(value, level), as in Lua; what it throws is remembered. */
static int throw(lua_State * L)
{
	lua_Integer level = luaL_optinteger(L, 2, 1);

	lua_settop(L, 1);
	if (lua_type(L, 1) == LUA_TSTRING && level > 0) {
		luaL_where(L, (int)(level < 100 ? level : 100));
		lua_pushvalue(L, 1);
		lua_concat(L, 2);
	} else {
		lua_pushvalue(L, 1);
	}
	lua_createtable(L, 2, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	lua_pushvalue(L, 2);
	lua_rawseti(L, -2, 2);
	lua_rawsetp(L, LUA_REGISTRYINDEX, &thrown_key);
	return lua_error(L);
}

static int
assert_true(lua_State *L)
{
	if (lua_toboolean(L, 1))
		return lua_gettop(L);
	luaL_checkany(L, 1);
	lua_remove(L, 1);
	lua_settop(L, 1);
	if (lua_isnil(L, 1))
		return luaL_error(L, "assertion failed");
	lua_pushinteger(L, 0);
	return throw(L);
}

/* On top: what was thrown. Pushes the text of it that may be shown. */
static void
push_shown(lua_State *L)
{
	const struct sandbox *s = sandbox_of(L);
	const char *text, *all;
	size_t n, whole;
	bool own = false;

	if (lua_rawgetp(L, LUA_REGISTRYINDEX, &thrown_key) == LUA_TTABLE) {
		(void)lua_rawgeti(L, -1, 2);
		own = lua_rawequal(L, -1, 1);
		(void)lua_rawgeti(L, -2, 1);
	}
	/* A number is no text yet, and lua_tostring() would make it one. */
	if (!own) {
		all = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
		if (all == NULL)
			lua_pushfstring(L, "an error that is a %s", luaL_typename(L, 1));
		else if (strstr(all, "to 'format'") != NULL && strstr(all, "invalid") != NULL)
			lua_pushliteral(L, "string.format: no such format");
		else
			lua_pushvalue(L, 1);
		return;
	}
	if (lua_type(L, -1) != LUA_TSTRING) {
		lua_pushfstring(L, "error() with a %s", luaL_typename(L, -1));
		return;
	}
	text = lua_tolstring(L, -1, &n);
	if (is_literal(s, text, n)) {
		lua_pushvalue(L, 1);
		return;
	}
	all = lua_tolstring(L, 1, &whole);
	(void)lua_pushlstring(L, all, whole - n);
	lua_pushliteral(
	    L, "error() with a text that is not shown: it may hold what the record holds");
	lua_concat(L, 2);
}

/* "\n\tFILE:3: in function 'f'" and so on, in one line, without what is in C. One value is on
 * the stack. */
static void
push_trace(lua_State *L)
{
	const char *p, *next;
	luaL_Buffer b;
	bool first = true;

	luaL_traceback(L, L, NULL, 1);
	p = lua_tostring(L, -1);
	luaL_buffinit(L, &b);
	for (; p != NULL && *p != '\0'; p = next) {
		next = strchr(p, '\n');
		next = next != NULL ? next + 1 : p + strlen(p);
		if (*p != '\t' || strncmp(p, "\t[C]", 4) == 0)
			continue;
		luaL_addstring(&b, first ? " (" : "; ");
		first = false;
		luaL_addlstring(&b, p + 1, (size_t)(next - p) - 1 - (next[-1] == '\n'));
	}
	if (!first)
		luaL_addchar(&b, ')');
	luaL_pushresult(&b);
	lua_remove(L, 2);
}

static int
on_error(lua_State *L)
{
	push_shown(L);
	lua_replace(L, 1);
	lua_settop(L, 1);
	push_trace(L);
	lua_concat(L, lua_gettop(L));
	return 1;
}

/* ---- running ---- */

static void
refill(struct sandbox *s)
{
	int64_t n = s->conf.instructions;

	s->left = n;
	s->spent = s->starved = false;
	s->depth = 0;
	s->cpu_until = cpu_now() + CPU_NS;
	lua_sethook(s->L, hook, LUA_MASKCOUNT, (int)(n < STEP ? n : STEP));
}

/* Puts the error on the stack into e and takes it off. */
static int
fail(struct sandbox *s, int status, enum err_code code, struct err *e)
{
	const char *text = lua_type(s->L, -1) == LUA_TSTRING ? lua_tostring(s->L, -1) : "unknown";

	if (status == LUA_ERRMEM)
		(void)err_set(e, code, "it wants more than %lld bytes of memory (key memory)",
		    (long long)s->conf.memory);
	else
		(void)err_set(e, code, "%s", text);
	for (char *p = e->text; *p != '\0'; p++)
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	lua_settop(s->L, 0);
	return -1;
}

int
sandbox_run(struct sandbox *s, lua_CFunction fn, void *arg, struct err *e)
{
	int status;

	refill(s);
	lua_settop(s->L, 0);
	lua_pushcfunction(s->L, on_error);
	lua_pushcfunction(s->L, fn);
	lua_pushlightuserdata(s->L, arg);
	status = lua_pcall(s->L, 1, 0, 1);
	if (status != LUA_OK)
		return fail(s, status, ERR_REFUSED, e);
	lua_settop(s->L, 0);
	return 0;
}

void
sandbox_push_change(lua_State *L)
{
	(void)lua_rawgetp(L, LUA_REGISTRYINDEX, sandbox_of(L));
}

/* ---- opening ---- */

struct loading {
	struct slice text;
	const char *name;
};

static int
load(lua_State *L)
{
	const struct loading *ld = lua_touserdata(L, 1);
	struct sandbox *s = sandbox_of(L);

	library_open(L);
	lua_pushcfunction(L, throw);
	lua_setglobal(L, "error");
	lua_pushcfunction(L, assert_true);
	lua_setglobal(L, "assert");
	/* "t": text only. */
	if (luaL_loadbufferx(L, ld->text.p, ld->text.n, ld->name, "t") != LUA_OK)
		return lua_error(L);
	lua_call(L, 0, 0);
	if (lua_getglobal(L, "change") != LUA_TFUNCTION)
		return luaL_error(L, "there is no function change(record)");
	lua_rawsetp(L, LUA_REGISTRYINDEX, s);
	return 0;
}

int
sandbox_open(struct sandbox *s, const struct sandbox_conf *conf, struct slice text,
    const char *name, struct err *e)
{
	struct loading ld = {text, name};

	*s = (struct sandbox){.conf = *conf, .text = text, .scratch = BUF_INIT(LIMIT_MADE)};
	s->L = lua_newstate(allocate, s);
	if (s->L == NULL)
		return err_set(e, ERR_CONFIG, "memory: too little to begin with");
	memcpy(lua_getextraspace(s->L), &s, sizeof s);
	if (sandbox_run(s, load, &ld, e) == 0)
		return 0;
	e->code = ERR_CONFIG;
	sandbox_close(s);
	return -1;
}

void
sandbox_close(struct sandbox *s)
{
	if (s->L != NULL)
		lua_close(s->L);
	s->L = NULL;
	buf_close(&s->scratch);
}
