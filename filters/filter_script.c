/* filters/filter_script.c - `type: script`: a function in Lua decides and rewrites.
 *
 *   record --> change(record) --> record (changed or not)  KEEP or REWRITE
 *                            '--> nil                      DROP
 *                            '--> error                    REJECT
 *
 * What comes back is written as DynamoDB JSON and compared with what came: an image that means
 * the same stays byte for byte as it was. Keys must come back as they were, in `keys`
 * and in both images.
 *
 * A script that runs out of memory is loaded anew, since what it keeps may be what fills it.
 */
#include "filters/filter.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "filters/lua_priv.h"
#include "record/value.h"

/* A script is some lines; this is a mistake in the path. */
#define SCRIPT_FILE_MAX (1u << 20)
/* An item has at most 400 KB; JSON makes of it at most six times that. */
#define IMAGE_MAX (4u << 20)
/* What the libraries alone take is some 25 KiB. */
#define MEMORY_LEAST (256 << 10)

static const char *const number_words[] = {"string", "decimal", NULL};

struct script_conf {
	char *file;
	char *text;
	int numbers;
	int64_t memory;
	int64_t instructions;
};

enum part { KEYS, NEW, OLD, PARTS };
static const char *const part_names[PARTS] = {"keys", "new", "old"};

struct filter {
	const struct script_conf *conf; /* borrowed */
	struct sandbox sandbox;
	struct buf text;	     /* of the script */
	char name[300];		     /* as Lua wants it: "@FILE" or "=script NAME" */
	struct buf out[PARTS];	     /* what the script made of each */
	struct record *r;	     /* borrowed: of the run under way */
	enum filter_verdict verdict; /* of it */
	bool changed[PARTS];
};

#define CONF(member) .ofs = offsetof(struct script_conf, member)
static const struct conf_key keys[] = {
    {.name = "file",
	.type = CONF_STR,
	CONF(file),
	.doc = "The path of a Lua script that defines function change(record)."},
    {.name = "text", .type = CONF_STR, CONF(text), .doc = "The script itself, instead of a file."},
    {.name = "numbers",
	.type = CONF_ENUM,
	CONF(numbers),
	.def = "string",
	.words = number_words,
	.doc = "What a number of DynamoDB can do in the script: be looked at as text, or be "
	       "compared and reckoned with, as an exact decimal."},
    {.name = "memory",
	.type = CONF_SIZE,
	CONF(memory),
	.def = "8MiB",
	.min = MEMORY_LEAST,
	.max = INT64_C(1) << 30,
	.doc = "What the script may take of memory in all."},
    {.name = "instructions",
	.type = CONF_INT,
	CONF(instructions),
	.def = "1000000",
	.min = 1000,
	.max = INT64_C(1000000000),
	.doc = "How many instructions of Lua's a record may take."},
    {.name = NULL},
};

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	sandbox_close(&f->sandbox);
	buf_close(&f->text);
	for (size_t i = 0; i < PARTS; i++)
		buf_close(&f->out[i]);
	free(f);
}

static int
load(struct filter *f, struct err *e)
{
	struct sandbox_conf c = {.memory = f->conf->memory,
	    .instructions = f->conf->instructions,
	    .decimal = f->conf->numbers == 1};

	return sandbox_open(&f->sandbox, &c, buf_slice(&f->text), f->name, e);
}

static int
read_file(const char *path, struct buf *out, struct err *e)
{
	char chunk[8192];
	size_t n;
	FILE *file = fopen(path, "re");

	if (file == NULL) {
		(void)err_errno(e, errno, "cannot open the script %.200s", path);
		e->code = ERR_CONFIG;
		return -1;
	}
	while ((n = fread(chunk, 1, sizeof chunk, file)) != 0)
		buf_add(out, chunk, n);
	n = (size_t)ferror(file);
	(void)fclose(file);
	if (n != 0)
		return err_set(e, ERR_CONFIG, "cannot read the script %.200s", path);
	if (out->failed)
		return err_set(e, ERR_CONFIG, "the script %.200s is larger than 1 MiB", path);
	return 0;
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);

	f->conf = conf;
	f->text = BUF_INIT(SCRIPT_FILE_MAX);
	for (size_t i = 0; i < PARTS; i++)
		f->out[i] = BUF_INIT(IMAGE_MAX);
	if (f->conf->file != NULL) {
		(void)snprintf(f->name, sizeof f->name, "@%.250s", f->conf->file);
		if (read_file(f->conf->file, &f->text, e) != 0)
			goto fail;
	} else {
		(void)snprintf(f->name, sizeof f->name, "=%.60s", name);
		buf_add_str(&f->text, f->conf->text);
	}
	if (load(f, e) != 0)
		goto fail;
	*out = f;
	return 0;
fail:
	close_filter(f);
	return -1;
}

static int
check(const void *conf, struct err *e)
{
	const struct script_conf *c = conf;
	struct filter *f;

	if ((c->file == NULL) == (c->text == NULL))
		return err_set(e, ERR_CONFIG, "a script filter needs \"file\" or \"text\"%s",
		    c->file != NULL ? ", not both" : "");
	if (c->text == NULL)
		return 0;
	if (open_filter(&f, "text", conf, e) != 0)
		return -1;
	close_filter(f);
	return 0;
}

/* ---- the record as a table ---- */

static struct slice *
slice_of_part(struct record *r, enum part part)
{
	return part == KEYS ? &r->keys : part == NEW ? &r->new_image : &r->old_image;
}

static void
push_head(lua_State *L, const struct record *r)
{
	lua_pushlstring(L, r->event_name.p != NULL ? r->event_name.p : "", r->event_name.n);
	lua_setfield(L, -2, "event");
	if ((r->flags & RECORD_NO_TIME) == 0) {
		lua_pushinteger(L, r->created_us / 1000);
		lua_setfield(L, -2, "time");
	}
	lua_pushboolean(L, (r->flags & RECORD_TTL) != 0);
	lua_setfield(L, -2, "ttl");
}

static void
push_record(lua_State *L, struct record *r)
{
	lua_createtable(L, 0, 6);
	push_head(L, r);
	path_enter(L, SLICE_LIT("record"));
	for (enum part i = 0; i < PARTS; i++) {
		const struct slice *s = slice_of_part(r, i);

		if (s->p == NULL)
			continue;
		path_enter(L, slice_of(part_names[i]));
		value_push_image(L, *s);
		lua_setfield(L, -2, part_names[i]);
		path_leave(L);
	}
	path_leave(L);
}

/* ---- what came back ---- */

/* Fields: known ones, and those that say what happened as they were. */
static void
check_fields(lua_State *L, const struct record *r)
{
	static const char *const known[] = {"event", "keys", "new", "old", "time", "ttl", NULL};
	static const char *const fixed[] = {"event", "time", "ttl"};
	int table = lua_gettop(L);

	for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1)) {
		bool ok = false;

		for (size_t i = 0; lua_type(L, -2) == LUA_TSTRING && known[i] != NULL; i++)
			ok = ok || strcmp(lua_tostring(L, -2), known[i]) == 0;
		if (!ok)
			(void)path_error(L,
			    "it has a field that a record has not (event, keys, new, old, time, "
			    "ttl)");
	}
	lua_createtable(L, 0, 3);
	push_head(L, r);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		(void)lua_getfield(L, table, fixed[i]);
		(void)lua_getfield(L, table + 1, fixed[i]);
		if (!lua_rawequal(L, -1, -2))
			(void)path_error(L, "%s cannot be changed", fixed[i]);
		lua_pop(L, 2);
	}
	lua_settop(L, table);
}

static void
note_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	(void)path;
	(void)old_value;
	(void)new_value;
	*(bool *)arg = true;
}

static bool
differ(struct slice a, struct slice b)
{
	bool changed = false;

	changes_each(a, b, note_change, &changed);
	return changed;
}

/* A key attribute that the image had must be there and mean the same. */
static void
check_keys(lua_State *L, struct slice key_names, struct slice had, struct slice has)
{
	struct json_iter names = json_iter(key_names), it;
	struct slice name, value, member, before, after;

	while (json_next(&names, &name, &value)) {
		before = after = SLICE_NONE;
		for (it = json_iter(had); json_next(&it, &member, &value);)
			if (json_string_eq(member, name))
				before = value;
		for (it = json_iter(has); json_next(&it, &member, &value);)
			if (json_string_eq(member, name))
				after = value;
		if (before.p != NULL && (after.p == NULL || !value_eq(before, after)))
			(void)path_error(L, "a key attribute was changed");
	}
}

/* The record's table is on top. */
static void
take_part(lua_State *L, struct filter *f, enum part part)
{
	const struct slice *had = slice_of_part(f->r, part);
	struct buf *out = &f->out[part];

	buf_reset(out);
	path_enter(L, slice_of(part_names[part]));
	if (lua_getfield(L, -1, part_names[part]) == LUA_TNIL) {
		if (part == KEYS)
			(void)path_error(L, "the keys must stay");
		f->changed[part] = had->p != NULL;
	} else {
		if (had->p == NULL)
			(void)path_error(L, "the change came without it, and it cannot be added");
		value_write_image(L, out);
		f->changed[part] = differ(*had, buf_slice(out));
		if (part == KEYS && f->changed[part])
			(void)path_error(L, "the keys must stay as they are");
		if (part != KEYS && f->changed[part])
			check_keys(L, f->r->keys, *had, buf_slice(out));
	}
	lua_pop(L, 1);
	path_leave(L);
}

static void
take_record(lua_State *L, struct filter *f)
{
	path_enter(L, SLICE_LIT("record"));
	check_fields(L, f->r);
	for (enum part i = 0; i < PARTS; i++)
		take_part(L, f, i);
	path_leave(L);
	f->verdict = f->changed[NEW] || f->changed[OLD] ? FILTER_REWRITE : FILTER_KEEP;
}

static int
run(lua_State *L)
{
	struct filter *f = lua_touserdata(L, 1);

	sandbox_push_change(L);
	push_record(L, f->r);
	lua_call(L, 1, 1);
	if (lua_isnil(L, -1)) {
		f->verdict = FILTER_DROP;
		return 0;
	}
	if (lua_type(L, -1) != LUA_TTABLE)
		return luaL_error(
		    L, "change() returned a %s; the record or nil is wanted", luaL_typename(L, -1));
	take_record(L, f);
	return 0;
}

static enum filter_verdict
refused(struct filter *f, struct err *why)
{
	struct err e;

	if (!f->sandbox.starved)
		return FILTER_REJECT;
	sandbox_close(&f->sandbox);
	if (load(f, &e) != 0)
		*why = e;
	return FILTER_REJECT;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	(void)o;
	if (f->sandbox.L == NULL && load(f, why) != 0)
		return FILTER_REJECT;
	f->r = r;
	if (sandbox_run(&f->sandbox, run, f, why) != 0)
		return refused(f, why);
	for (enum part i = NEW; f->verdict == FILTER_REWRITE && i < PARTS; i++)
		if (f->changed[i])
			*slice_of_part(r, i) =
			    f->out[i].n != 0 ? buf_slice(&f->out[i]) : SLICE_NONE;
	return f->verdict;
}

const struct filter_ops filter_script = {
    .api = FILTER_API,
    .type = "script",
    .help = "A function in Lua that keeps, changes or drops each change.",
    .conf_size = sizeof(struct script_conf),
    .keys = keys,
    .check = check,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
