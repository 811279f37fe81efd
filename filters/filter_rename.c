/* filters/filter_rename.c - `type: rename`: attributes and members of maps under other names.
 *
 * Where the new name is there already, nothing is renamed: two members of one name
 * would be no item, and overwriting would lose a value. A name that is itself renamed at the same
 * place is not in the way: a: b, b: a swaps them. So a rename asks who has its new name,
 * whether that one goes away, and so on along the chain.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "filters/image.h"
#include "record/value.h"

struct rename_conf {
	struct conf_map attributes;
};

struct rule {
	const char *to; /* borrowed from the configuration */
	char *raw;	/* owned; as a JSON string, quotes included */
	size_t next;	/* the rule that renames what is called `to` beside us; SIZE_MAX: none */
};

struct filter {
	struct image *image; /* owned */
	struct rule *rules;  /* owned */
	size_t count;
	const struct path *key; /* that a rule wants to rename, in this record */
	struct slice keys;	/* of this record */
};

#define CONF(member) .ofs = offsetof(struct rename_conf, member)
static const struct conf_key keys[] = {
    {.name = "attributes",
	.type = CONF_MAP,
	.flags = CONF_REQUIRED,
	CONF(attributes),
	.doc = "Paths with the name that the attribute or member there gets."},
    {.name = NULL},
};

static const struct path_step *
last_step(const struct path *p)
{
	return &p->steps[p->count - 1];
}

static bool
is_last(const struct path *p, const char *name)
{
	return slice_is((struct slice){last_step(p)->name, last_step(p)->name_n}, name);
}

static int
add_rule(struct filter *f, const char *path, const char *to, struct err *e)
{
	struct rule *ru = &f->rules[f->count];
	struct buf raw = BUF_INIT(LIMIT_CONFIG_FILE * 6u);

	if (image_add(f->image, path, 0, e) != 0)
		return err_prefix(e, "attributes");
	if (last_step(image_path(f->image, f->count))->kind != PATH_NAME)
		return err_set(e, ERR_CONFIG,
		    "attributes: %.120s ends with no plain name, so there is none to change", path);
	if (to[0] == '\0' || strlen(to) > LIMIT_ATTRIBUTE_NAME)
		return err_set(e, ERR_CONFIG, "attributes: %.120s: a name has 1 to %u bytes", path,
		    LIMIT_ATTRIBUTE_NAME);
	buf_add_json_string(&raw, slice_of(to));
	*ru = (struct rule){.to = to, .raw = mem_slicedup(buf_slice(&raw)), .next = SIZE_MAX};
	buf_close(&raw);
	f->count++;
	return 0;
}

/* In one map no two rules may have the say about one name, or make one. */
static int
check_pair(const struct filter *f, size_t i, size_t j, struct err *e)
{
	const struct path *p = image_path(f->image, i), *q = image_path(f->image, j);

	if (p->count != q->count || !path_meet(p, q, p->count - 1))
		return 0;
	if (path_meet(p, q, p->count))
		return err_set(e, ERR_CONFIG,
		    "attributes: %.120s and %.120s may lead to one place; name it once", p->text,
		    q->text);
	if (strcmp(f->rules[i].to, f->rules[j].to) == 0)
		return err_set(e, ERR_CONFIG,
		    "attributes: %.120s and %.120s may both become \"%.60s\" of one map", p->text,
		    q->text, f->rules[i].to);
	return 0;
}

static bool
same_parent(const struct path *p, const struct path *q)
{
	size_t n = p->count - 1;

	if (p->count != q->count)
		return false;
	for (size_t i = 0; i < n; i++)
		if (p->steps[i].kind != q->steps[i].kind)
			return false;
	/* Of equal kinds, what meets is equal but for names with a star. */
	for (size_t i = 0; i < n; i++)
		if (p->steps[i].kind == PATH_LIKE &&
		    (strcmp(p->steps[i].name, q->steps[i].name) != 0 ||
			strcmp(p->steps[i].tail, q->steps[i].tail) != 0))
			return false;
	return path_meet(p, q, n);
}

static int
link_rules(struct filter *f, struct err *e)
{
	for (size_t i = 0; i < f->count; i++)
		for (size_t j = 0; j < f->count; j++) {
			const struct path *q = image_path(f->image, j);

			if (j < i && check_pair(f, j, i, e) != 0)
				return -1;
			if (same_parent(image_path(f->image, i), q) && is_last(q, f->rules[i].to))
				f->rules[i].next = j;
		}
	return 0;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->count; i++)
		free(f->rules[i].raw);
	free(f->rules);
	image_close(f->image);
	free(f);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct rename_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);

	(void)name;
	f->image = image_new(IMAGE_EDIT);
	f->rules = mem_array(c->attributes.n, sizeof *f->rules);
	for (size_t i = 0; i < c->attributes.n; i++)
		if (add_rule(f, c->attributes.names[i], c->attributes.values[i], e) != 0)
			goto fail;
	if (link_rules(f, e) != 0)
		goto fail;
	*out = f;
	return 0;
fail:
	close_filter(f);
	return -1;
}

static int
refuse_key(const struct path *p, struct err *e)
{
	return err_set(e, ERR_CONFIG,
	    "%.120s is a key attribute, which cannot be renamed: it says which item this is",
	    p->text);
}

static int
suits(const void *conf, const struct filter_stream *s, struct err *e)
{
	const struct path *key;
	struct filter *f;

	if (open_filter(&f, "", conf, e) != 0)
		return -1;
	key = image_key_path(f->image, &s->schema);
	if (key != NULL)
		(void)refuse_key(key, e);
	close_filter(f);
	return key != NULL ? -1 : 0;
}

static int
check(const void *conf, struct err *e)
{
	struct filter *f;

	if (open_filter(&f, "", conf, e) != 0)
		return -1;
	close_filter(f);
	return 0;
}

static bool
has_member(struct slice object, const char *name)
{
	struct json_iter it = json_iter(object);
	struct slice want = slice_of(name), raw, value;

	while (json_next(&it, &raw, &value))
		if (path_name_is(raw, want))
			return true;
	return false;
}

/* Ends: no two rules of one place have one `to`, so a circle comes back to where it began. */
static bool
name_is_free(const struct filter *f, size_t rule, struct slice object)
{
	bool top = image_path(f->image, rule)->count == 1;
	size_t i = rule;

	do {
		if (top && has_member(f->keys, f->rules[i].to))
			return false;
		if (!has_member(object, f->rules[i].to))
			return true;
		i = f->rules[i].next;
	} while (i != SIZE_MAX && i != rule);
	return i == rule;
}

static enum image_act
rename_at(void *arg, struct image_at *at)
{
	struct filter *f = arg;
	const struct rule *ru = &f->rules[at->rule];

	if (at->key)
		f->key = image_path(f->image, at->rule);
	else if (name_is_free(f, at->rule, at->around))
		at->name = (struct slice){ru->raw + 1, strlen(ru->raw) - 2};
	return IMAGE_KEEP;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	enum filter_verdict verdict;

	(void)o;
	f->key = NULL;
	f->keys = r->keys;
	verdict = image_filter(f->image, r, rename_at, f, why);
	if (f->key == NULL)
		return verdict;
	(void)refuse_key(f->key, why);
	return FILTER_REJECT;
}

const struct filter_ops filter_rename = {
    .api = FILTER_API,
    .type = "rename",
    .help = "Gives attributes and members of maps other names, in both images.",
    .conf_size = sizeof(struct rename_conf),
    .keys = keys,
    .check = check,
    .suits = suits,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
