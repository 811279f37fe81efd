/* base/conf_fill.c - a mapping's nodes into a struct, by a table of keys.
 *
 * A key "poll.idle" may be written dotted or as key idle of a mapping poll;
 * walk() joins what it meets to the dotted name and looks that up. Every key
 * of the mapping is either in the table, known elsewhere, or an error with
 * its place and the nearest known name. Defaults go through the same parser
 * as the operator's text, so that a default can never be a value that could
 * not have been written.
 *
 * Values of secrets never appear in a message.
 */
#include "base/conf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/conf_priv.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/secret.h"

#define DOTTED_MAX 256
#define WORDS_MAX 128 /* names offered for a misspelt key; the largest table has a third */

struct filling {
	const struct conf_key *keys;
	const char *const *elsewhere; /* may be NULL */
	const struct conf_node **set; /* owned; where each key of the table was set */
	void *obj;
	struct err *e;
};

bool
conf_is_null(const struct conf_node *v)
{
	return v->kind == CONF_SCALAR && !v->quoted &&
	    (v->text_n == 0 || strcmp(v->text, "~") == 0 || strcasecmp(v->text, "null") == 0);
}

const struct conf_node *
conf_get(const struct conf_node *map, const char *key)
{
	if (map == NULL || map->kind != CONF_MAPPING)
		return NULL;
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->keys[i]->text, key) == 0)
			return map->values[i];
	return NULL;
}

/* Integers of all three spellings, with the range said in the same spelling. */
static int
fill_number(const struct conf_key *k, const struct conf_node *v, int64_t *out, struct err *e)
{
	bool unbounded = k->min == 0 && k->max == 0;
	int64_t max = unbounded ? INT64_MAX : k->max;
	struct buf range = BUF_INIT(128);
	int64_t n = 0;
	struct err why;
	int r;

	if (k->type == CONF_DURATION)
		r = conf_parse_duration(v->text, &n, &why);
	else if (k->type == CONF_SIZE)
		r = conf_parse_size(v->text, &n, &why);
	else
		r = conf_parse_int(v->text, INT64_MIN, INT64_MAX, &n, &why);
	if (r != 0)
		return conf_err(e, v, "\"%s\": %s", k->name, why.text);
	if (n >= k->min && n <= max) {
		*out = n;
		return 0;
	}
	if (!unbounded) {
		conf_write_number(&range, k->type, k->min);
		buf_add_str(&range, " to ");
		conf_write_number(&range, k->type, k->max);
	}
	conf_err(e, v, "\"%s\" is %s; it must be %s", k->name, conf_show(v->text).s,
	    unbounded ? "at least 0" : buf_cstr(&range));
	buf_close(&range);
	return -1;
}

static int
fill_enum(const struct conf_key *k, const struct conf_node *v, int *out, struct err *e)
{
	struct buf all = BUF_INIT(512);

	for (int i = 0; k->words[i] != NULL; i++) {
		if (strcmp(k->words[i], v->text) == 0) {
			*out = i;
			return 0;
		}
	}
	conf_write_words(&all, k->words);
	conf_err(e, v, "\"%s\" cannot be \"%s\"; it is %s", k->name, conf_show(v->text).s,
	    buf_cstr(&all));
	buf_close(&all);
	return -1;
}

static int
fill_list(const struct conf_key *k, const struct conf_node *v, struct conf_list *out, struct err *e)
{
	size_t n = v->kind == CONF_SEQUENCE ? v->count : 1;

	if ((k->flags & CONF_REQUIRED) != 0 && n == 0)
		return conf_err(e, v, "\"%s\" must name at least one", k->name);
	out->v = mem_array(n, sizeof *out->v);
	for (size_t i = 0; i < n; i++) {
		const struct conf_node *item = v->kind == CONF_SEQUENCE ? v->values[i] : v;

		if (item->kind != CONF_SCALAR || conf_is_null(item))
			return conf_err(
			    e, item, "\"%s\" is a list of single values, such as [a, b]", k->name);
		out->v[out->n++] = mem_strdup(item->text);
	}
	return 0;
}

static const char *
kind_wanted(enum conf_type t)
{
	switch (t) {
	case CONF_STR:
	case CONF_SECRET:
		return "a text";
	case CONF_BOOL:
		return "true or false";
	case CONF_INT:
		return "a number";
	case CONF_DURATION:
		return "a duration, such as 5s";
	case CONF_SIZE:
		return "a size, such as 64MiB";
	case CONF_ENUM:
		return "a word";
	case CONF_LIST:
		return "a list, such as [a, b]";
	case CONF_JSON:
		return "JSON, pasted as it is";
	case CONF_MAP:
		return "names with values, such as {a: 1, b: 2}";
	}
	return "";
}

/* The names are the operator's own: only that each is there once (the parser
 * sees to it) and has a single value is asked of them here. */
static int
fill_map(const struct conf_key *k, const struct conf_node *v, struct conf_map *out, struct err *e)
{
	if (v->kind != CONF_MAPPING)
		return conf_err(e, v, "\"%s\" is not names with values; it must be %s", k->name,
		    kind_wanted(k->type));
	if (conf_check_duplicates(v, e) != 0)
		return -1;
	if ((k->flags & CONF_REQUIRED) != 0 && v->count == 0)
		return conf_err(e, v, "\"%s\" must name at least one", k->name);
	out->names = mem_array(v->count, sizeof *out->names);
	out->values = mem_array(v->count, sizeof *out->values);
	for (size_t i = 0; i < v->count; i++) {
		const struct conf_node *item = v->values[i];

		if (item->kind != CONF_SCALAR || conf_is_null(item))
			return conf_err(e, item, "\"%s\" of \"%s\" must be a single value",
			    conf_show(v->keys[i]->text).s, k->name);
		out->names[out->n] = mem_strdup(v->keys[i]->text);
		out->values[out->n++] = mem_strdup(item->text);
	}
	return 0;
}

static int
fill_json(const struct conf_key *k, const struct conf_node *v, char **out, struct err *e)
{
	if (v->kind != CONF_SCALAR && v->raw == NULL)
		return conf_err(
		    e, v, "\"%s\" must be JSON in its own braces, not indented YAML", k->name);
	*out = mem_strdup(v->kind == CONF_SCALAR ? v->text : v->raw);
	return 0;
}

static int
fill_text(const struct conf_key *k, const struct conf_node *v, void *field, struct err *e)
{
	if ((k->flags & CONF_REQUIRED) != 0 && v->text_n == 0)
		return conf_err(e, v, "\"%s\" must not be empty", k->name);
	if (k->type == CONF_SECRET)
		secret_set(field, (struct slice){v->text, v->text_n});
	else
		*(char **)field = mem_strdup(v->text);
	return 0;
}

static int
fill_value(const struct conf_key *k, const struct conf_node *v, void *obj, struct err *e)
{
	void *field = conf_field(k, obj);

	if (conf_is_null(v))
		return conf_err(e, v, "\"%s\" has no value; write %s, or leave the key out",
		    k->name, kind_wanted(k->type));
	if (k->type == CONF_MAP)
		return fill_map(k, v, field, e);
	if (k->type == CONF_JSON)
		return fill_json(k, v, field, e);
	if (v->kind == CONF_MAPPING || (v->kind == CONF_SEQUENCE && k->type != CONF_LIST))
		return conf_err(e, v, "\"%s\" is a %s; it must be %s", k->name,
		    v->kind == CONF_MAPPING ? "mapping" : "list", kind_wanted(k->type));
	switch (k->type) {
	case CONF_STR:
	case CONF_SECRET:
		return fill_text(k, v, field, e);
	case CONF_BOOL:
		if (!conf_parse_bool(v->text, field))
			return conf_err(e, v, "\"%s\" cannot be \"%s\"; it is true or false",
			    k->name, conf_show(v->text).s);
		return 0;
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		return fill_number(k, v, field, e);
	case CONF_ENUM:
		return fill_enum(k, v, field, e);
	case CONF_LIST:
		return fill_list(k, v, field, e);
	case CONF_MAP:
	case CONF_JSON:
		break;
	}
	return 0;
}

static void
zero_value(const struct conf_key *k, void *obj)
{
	void *field = conf_field(k, obj);

	switch (k->type) {
	case CONF_STR:
	case CONF_JSON:
		*(char **)field = NULL;
		break;
	case CONF_SECRET:
		*(struct secret *)field = (struct secret){0};
		break;
	case CONF_BOOL:
		*(bool *)field = false;
		break;
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		*(int64_t *)field = 0;
		break;
	case CONF_ENUM:
		*(int *)field = 0;
		break;
	case CONF_LIST:
		*(struct conf_list *)field = (struct conf_list){0};
		break;
	case CONF_MAP:
		*(struct conf_map *)field = (struct conf_map){0};
		break;
	}
}

static void
wipe_value(const struct conf_key *k, void *obj)
{
	void *field = conf_field(k, obj);

	if (k->type == CONF_STR || k->type == CONF_JSON) {
		free(*(char **)field);
	} else if (k->type == CONF_SECRET) {
		secret_clear(field);
	} else if (k->type == CONF_LIST) {
		struct conf_list *l = field;

		for (size_t i = 0; i < l->n; i++)
			free(l->v[i]);
		free(l->v);
	} else if (k->type == CONF_MAP) {
		struct conf_map *m = field;

		for (size_t i = 0; i < m->n; i++) {
			free(m->names[i]);
			free(m->values[i]);
		}
		free(m->names);
		free(m->values);
	}
	zero_value(k, obj);
}

void
conf_wipe(const struct conf_key *keys, void *obj)
{
	for (const struct conf_key *k = keys; k->name != NULL; k++)
		wipe_value(k, obj);
}

static int
find_key(const struct conf_key *keys, const char *name)
{
	for (int i = 0; keys[i].name != NULL; i++)
		if (strcmp(keys[i].name, name) == 0)
			return i;
	return -1;
}

/* Does the table have a key below this name ("poll" of "poll.idle")? */
static bool
is_group(const struct conf_key *keys, const char *name)
{
	size_t n = strlen(name);

	for (; keys->name != NULL; keys++)
		if (strncmp(keys->name, name, n) == 0 && keys->name[n] == '.')
			return true;
	return false;
}

static bool
in_list(const char *const *words, const char *name)
{
	for (; words != NULL && *words != NULL; words++)
		if (strcmp(*words, name) == 0)
			return true;
	return false;
}

static int
fail_unknown(const struct conf_node *key, const char *const *known, struct err *e)
{
	const char *near = conf_nearest(key->text, known);
	struct buf all = BUF_INIT(300);

	if (near != NULL)
		return conf_err(e, key, "unknown key \"%s\"; did you mean \"%s\"?",
		    conf_show(key->text).s, near);
	conf_write_words(&all, known);
	conf_err(e, key, "unknown key \"%s\"; known here: %s", conf_show(key->text).s,
	    all.failed ? "see slipring config --reference" : buf_cstr(&all));
	buf_close(&all);
	return -1;
}

/* "poll" of "poll.idle", if that was meant. */
static bool
nearest_group(const struct filling *f, const char *text, char out[DOTTED_MAX])
{
	for (const struct conf_key *k = f->keys; k->name != NULL; k++) {
		const char *const words[] = {out, NULL};

		(void)snprintf(out, DOTTED_MAX, "%.*s", (int)strcspn(k->name, "."), k->name);
		if (strchr(k->name, '.') != NULL && conf_nearest(text, words) != NULL)
			return true;
	}
	return false;
}

/* What may be written at this level: the rest of every name behind prefix,
 * and what is known elsewhere. */
static int
fail_unknown_in(const struct filling *f, const char *prefix, const struct conf_node *key)
{
	const char *known[WORDS_MAX + 1];
	size_t n = 0, skip = strlen(prefix);
	char group[DOTTED_MAX];

	for (const struct conf_key *k = f->keys; k->name != NULL && n < WORDS_MAX; k++)
		if (strncmp(k->name, prefix, skip) == 0)
			known[n++] = k->name + skip;
	for (size_t i = 0; skip == 0 && f->elsewhere != NULL && f->elsewhere[i] != NULL; i++)
		if (n < WORDS_MAX)
			known[n++] = f->elsewhere[i];
	known[n] = NULL;
	if (skip == 0 && conf_nearest(key->text, known) == NULL &&
	    nearest_group(f, key->text, group))
		return conf_err(f->e, key, "unknown key \"%s\"; did you mean \"%s\"?",
		    conf_show(key->text).s, group);
	return fail_unknown(key, known, f->e);
}

static int
set_key(struct filling *f, int i, const struct conf_node *key, const struct conf_node *value)
{
	if (f->set[i] != NULL)
		return conf_err(f->e, key,
		    "\"%s\" is set twice, first on line %u; remove one of them", f->keys[i].name,
		    f->set[i]->line);
	f->set[i] = key;
	return fill_value(&f->keys[i], value, f->obj, f->e);
}

static int
walk(struct filling *f, const struct conf_node *map, const char *prefix)
{
	if (conf_check_duplicates(map, f->e) != 0)
		return -1;
	for (size_t i = 0; i < map->count; i++) {
		const struct conf_node *key = map->keys[i], *value = map->values[i];
		char name[DOTTED_MAX];
		int n = snprintf(name, sizeof name, "%s%s", prefix, key->text);
		int at = n < (int)sizeof name ? find_key(f->keys, name) : -1;

		if (at >= 0) {
			if (set_key(f, at, key, value) != 0)
				return -1;
		} else if (n + 1 < (int)sizeof name && is_group(f->keys, name)) {
			if (value->kind != CONF_MAPPING)
				return conf_err(f->e, value,
				    "\"%s\" groups other keys; indent them below it", name);
			name[n] = '.';
			name[n + 1] = '\0';
			if (walk(f, value, name) != 0)
				return -1;
		} else if (prefix[0] != '\0' || !in_list(f->elsewhere, key->text)) {
			return fail_unknown_in(f, prefix, key);
		}
	}
	return 0;
}

/* A default the parser refuses is a bug of the table. */
static void
fill_default(const struct conf_key *k, void *obj)
{
	size_t n = strlen(k->def);
	char *text = mem_strdup(k->def);
	struct conf_node v = {
	    .kind = CONF_SCALAR, .file = "default", .text = text, .text_n = n, .quoted = true};
	struct err e;
	int r = fill_value(k, &v, obj, &e);

	assert(r == 0);
	(void)r;
	free(text);
}

static int
fill_missing(const struct filling *f, const struct conf_node *map)
{
	for (int i = 0; f->keys[i].name != NULL; i++) {
		const struct conf_key *k = &f->keys[i];

		if (f->set[i] != NULL)
			continue;
		if ((k->flags & CONF_REQUIRED) != 0)
			return conf_err(f->e, map, "\"%s\" is missing; it must be %s", k->name,
			    kind_wanted(k->type));
		if (k->def != NULL)
			fill_default(k, f->obj);
	}
	return 0;
}

int
conf_fill(const struct conf_node *map, const struct conf_key *keys, const char *const *elsewhere,
    void *obj, struct err *e)
{
	struct filling f = {.keys = keys, .elsewhere = elsewhere, .obj = obj, .e = e};
	size_t count = 0;
	int r = 0;

	for (; keys[count].name != NULL; count++)
		zero_value(&keys[count], obj);
	if (map != NULL && map->kind != CONF_MAPPING)
		return conf_err(e, map, "expected keys and values here, indented below the name");
	f.set = mem_array(count, sizeof(struct conf_node *));
	if (map != NULL)
		r = walk(&f, map, "");
	if (r == 0)
		r = fill_missing(&f, map);
	free(f.set);
	if (r != 0)
		conf_wipe(keys, obj);
	return r;
}

int
conf_check_names(const struct conf_node *map, const char *const *names, struct err *e)
{
	if (map->kind != CONF_MAPPING)
		return conf_err(e, map, "expected keys and values here, indented below the name");
	if (conf_check_duplicates(map, e) != 0)
		return -1;
	for (size_t i = 0; i < map->count; i++)
		if (!in_list(names, map->keys[i]->text))
			return fail_unknown(map->keys[i], names, e);
	return 0;
}
