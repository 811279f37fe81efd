/* filters/filter_set.c - `type: set`: constants at paths, in both images. */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "filters/image.h"
#include "record/format.h"
#include "record/value.h"

struct set_conf {
	char *attributes;
	bool replace;
};

struct filter {
	const struct set_conf *conf; /* borrowed */
	struct image *image;	     /* owned */
	struct slice *values;	     /* owned; of each rule, in the configuration's text */
	const struct path *key;	     /* that a rule wants to set, in this record */
};

#define CONF(member) .ofs = offsetof(struct set_conf, member)
static const struct conf_key keys[] = {
    {.name = "attributes",
	.type = CONF_JSON,
	.flags = CONF_REQUIRED,
	CONF(attributes),
	.doc = "Paths with values in DynamoDB JSON: {\"source\": {\"S\": \"orders\"}}."},
    {.name = "replace",
	.type = CONF_BOOL,
	CONF(replace),
	.def = "true",
	.doc = "Whether what is there is replaced; false: only what is missing is added."},
    {.name = NULL},
};

/* Levels of M and L, the value itself not counted. */
static size_t
depth_of(struct slice value)
{
	struct slice inner, name, v;
	enum value_type type = value_of(value, &inner);
	size_t deepest = 0;
	struct json_iter it;

	if (type != VALUE_M && type != VALUE_L)
		return 0;
	for (it = json_iter(inner); json_next(&it, &name, &v);) {
		size_t d = depth_of(v) + 1;

		deepest = d > deepest ? d : deepest;
	}
	return deepest;
}

static int
check_value(const struct path *p, struct slice value, struct err *e)
{
	struct buf plain = BUF_INIT(LIMIT_PAGE_BODY);
	struct slice inner;
	bool bad =
	    value_of(value, &inner) == VALUE_INVALID || plain_write_value(value, &plain, NULL) != 0;

	buf_close(&plain);
	if (bad)
		return err_set(e, ERR_CONFIG,
		    "attributes: the value of %.120s is no DynamoDB JSON, such as {\"S\": "
		    "\"text\"} or {\"N\": \"12.5\"}",
		    p->text);
	if (p->count + depth_of(value) > PATH_STEPS_MAX)
		return err_set(e, ERR_CONFIG,
		    "attributes: with the value of %.120s an item would nest deeper than the %u "
		    "levels of DynamoDB",
		    p->text, PATH_STEPS_MAX);
	return 0;
}

static int
add_rule(struct filter *f, struct slice raw_path, struct slice value, struct err *e)
{
	struct buf text = BUF_INIT(LIMIT_CONFIG_FILE);
	size_t n = image_count(f->image);
	const struct path *p;
	int r;

	json_unescape(raw_path, &text);
	r = image_add(f->image, buf_cstr(&text), IMAGE_ADD, e);
	buf_close(&text);
	if (r != 0)
		return err_prefix(e, "attributes");
	p = image_path(f->image, n);
	for (size_t i = 0; i < n; i++)
		if (path_overlap(p, image_path(f->image, i)))
			return err_set(e, ERR_CONFIG,
			    "attributes: %.120s and %.120s may lead to one place; name it once",
			    image_path(f->image, i)->text, p->text);
	f->values = mem_grow(f->values, n + 1, sizeof *f->values);
	f->values[n] = value;
	return check_value(p, value, e);
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	image_close(f->image);
	free(f->values);
	free(f);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct set_conf *c = conf;
	struct slice json = slice_of(c->attributes), raw, value;
	struct filter *f = mem_new(sizeof *f);
	struct json_iter it = json_iter(json);

	(void)name;
	f->conf = c;
	f->image = image_new(IMAGE_EDIT);
	if (!json_check(json) || !it.object) {
		err_set(e, ERR_CONFIG,
		    "attributes must be a JSON object of paths and values, such as {\"source\": "
		    "{\"S\": \"orders\"}}");
		goto fail;
	}
	while (json_next(&it, &raw, &value))
		if (add_rule(f, raw, value, e) != 0)
			goto fail;
	if (image_count(f->image) == 0) {
		err_set(e, ERR_CONFIG, "attributes must name at least one");
		goto fail;
	}
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
	    "%.120s is a key attribute, which cannot be set: it says which item this is", p->text);
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

/* A star at the end of the path means what else there is beside the key; a name means this one. */
static enum image_act
set_at(void *arg, struct image_at *at)
{
	struct filter *f = arg;
	const struct path *p = image_path(f->image, at->rule);

	if (at->key && p->steps[0].kind == PATH_NAME)
		f->key = p;
	at->with = f->values[at->rule];
	if (at->value.p == NULL)
		return IMAGE_REPLACE;
	return f->conf->replace && !slice_eq(at->value, at->with) ? IMAGE_REPLACE : IMAGE_KEEP;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	enum filter_verdict verdict;

	(void)o;
	f->key = NULL;
	verdict = image_filter(f->image, r, set_at, f, why);
	if (f->key == NULL)
		return verdict;
	(void)refuse_key(f->key, why);
	return FILTER_REJECT;
}

const struct filter_ops filter_set = {
    .api = FILTER_API,
    .type = "set",
    .help = "Sets attributes and members of maps to constants, in both images.",
    .conf_size = sizeof(struct set_conf),
    .keys = keys,
    .check = check,
    .suits = suits,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
