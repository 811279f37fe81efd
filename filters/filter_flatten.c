/* filters/filter_flatten.c - `type: flatten`: members of maps become attributes a.b.
 *
 * Two passes over an image. The first makes every name that there would be and looks for
 * two that are the same: a map of which that is true stays a map, whole, whatever the
 * order of attributes, so that nothing is lost. The second writes.
 *
 * An empty map has no members to stand for it and stays as well. Lists and sets
 * are values. Key attributes stay, and nothing gets their names.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "filters/image.h"
#include "record/key.h"
#include "record/value.h"

/* An item of 400 KB has fewer: a name and a value are two bytes at least. */
#define NAMES_MAX 200000u

struct flatten_conf {
	char *separator;
	struct conf_list attributes;
	int64_t depth;
};

struct top { /* an attribute of the image */
	struct slice name, value;
	struct slice map; /* its members, to be lifted; SLICE_NONE: it stays */
};

struct name { /* one that there would be */
	uint64_t hash;
	size_t at, n; /* in texts */
	size_t top;
};

struct filter {
	const struct flatten_conf *conf; /* borrowed */
	struct path **only;		 /* owned; NULL: every attribute */
	size_t only_count;
	struct buf separator; /* as in a JSON string */
	struct top *tops;     /* owned */
	size_t top_count, top_cap;
	struct name *names; /* owned */
	size_t name_count, name_cap;
	uint32_t *slots; /* owned; index of a name + 1; 0: free */
	size_t slot_count;
	bool too_many;	   /* of either */
	struct buf texts;  /* the names, unescaped */
	struct buf prefix; /* of the map that is being lifted, raw, separator at the end */
	struct buf new_image, old_image;
};

#define CONF(member) .ofs = offsetof(struct flatten_conf, member)
static const struct conf_key keys[] = {
    {.name = "separator",
	.type = CONF_STR,
	CONF(separator),
	.def = ".",
	.doc = "What stands between the names of a map and its member."},
    {.name = "attributes",
	.type = CONF_LIST,
	CONF(attributes),
	.doc = "The attributes that are flattened, if they are maps; by default all."},
    {.name = "depth",
	.type = CONF_INT,
	CONF(depth),
	.def = "32",
	.min = 1,
	.max = 32,
	.doc = "How many levels of maps are taken apart; what is deeper stays a map."},
    {.name = NULL},
};

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->only_count; i++)
		path_close(f->only[i]);
	free(f->only);
	free(f->tops);
	free(f->names);
	free(f->slots);
	buf_close(&f->separator);
	buf_close(&f->texts);
	buf_close(&f->prefix);
	buf_close(&f->new_image);
	buf_close(&f->old_image);
	free(f);
}

static int
open_only(struct filter *f, const struct conf_list *list, struct err *e)
{
	f->only = list->n != 0 ? mem_array(list->n, sizeof(struct path *)) : NULL;
	for (size_t i = 0; i < list->n; i++) {
		if (path_parse(&f->only[i], list->v[i], PATH_WILD, e) != 0)
			return err_prefix(e, "attributes");
		f->only_count++;
		if (f->only[i]->count != 1)
			return err_set(e, ERR_CONFIG,
			    "attributes: %.120s is inside of an attribute; name the attribute",
			    list->v[i]);
	}
	return 0;
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct flatten_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);
	struct buf quoted = BUF_INIT(LIMIT_CONFIG_FILE * 6u);

	(void)name;
	f->conf = c;
	f->separator = BUF_INIT(LIMIT_CONFIG_FILE * 6u);
	f->texts = f->prefix = BUF_INIT(LIMIT_PAGE_BODY);
	f->new_image = f->old_image = BUF_INIT(LIMIT_PAGE_BODY);
	buf_add_json_string(&quoted, slice_of(c->separator));
	buf_add(&f->separator, quoted.p + 1, quoted.n - 2);
	buf_close(&quoted);
	if (open_only(f, &c->attributes, e) != 0) {
		close_filter(f);
		return -1;
	}
	*out = f;
	return 0;
}

static int
check(const void *conf, struct err *e)
{
	const struct flatten_conf *c = conf;
	struct filter *f;

	if (c->separator[0] == '\0' || strlen(c->separator) > 16)
		return err_set(e, ERR_CONFIG, "the separator has 1 to 16 bytes, such as . or __");
	if (open_filter(&f, "", conf, e) != 0)
		return -1;
	close_filter(f);
	return 0;
}

/* ---- what there would be ---- */

static bool
is_asked_for(const struct filter *f, struct slice name)
{
	for (size_t i = 0; i < f->only_count; i++)
		if (path_step_takes_name(&f->only[i]->steps[0], name))
			return true;
	return f->only_count == 0;
}

static struct slice
members_of(struct slice value)
{
	struct slice inner, name, v;
	struct json_iter it;

	if (value_of(value, &inner) != VALUE_M)
		return SLICE_NONE;
	it = json_iter(inner);
	return json_next(&it, &name, &v) ? inner : SLICE_NONE;
}

/* Answers whether there is anything to take apart. */
static bool
read_tops(struct filter *f, struct slice image)
{
	struct json_iter it = json_iter(image);
	struct slice name, value;
	bool any = false;

	f->top_count = 0;
	f->too_many = false;
	while (json_next(&it, &name, &value)) {
		struct top *t;

		if (f->top_count == NAMES_MAX) {
			f->too_many = true;
			break;
		}
		if (f->top_count == f->top_cap) {
			f->top_cap = f->top_cap != 0 ? 2 * f->top_cap : 64;
			f->tops = mem_grow(f->tops, f->top_cap, sizeof *f->tops);
		}
		t = &f->tops[f->top_count++];
		*t = (struct top){.name = name, .value = value};
		if (is_asked_for(f, name))
			t->map = members_of(value);
		any = any || t->map.p != NULL;
	}
	return any;
}

static void
note_name(struct filter *f, size_t top, struct slice prefix, struct slice raw)
{
	struct name *nm;

	if (f->name_count == NAMES_MAX) {
		f->too_many = true;
		return;
	}
	if (f->name_count == f->name_cap) {
		f->name_cap = f->name_cap != 0 ? 2 * f->name_cap : 64;
		f->names = mem_grow(f->names, f->name_cap, sizeof *f->names);
	}
	nm = &f->names[f->name_count++];
	nm->top = top;
	nm->at = f->texts.n;
	json_unescape(prefix, &f->texts);
	json_unescape(raw, &f->texts);
	nm->n = f->texts.n - nm->at;
}

static void
add_member(struct buf *out, struct slice prefix, struct slice name, struct slice value)
{
	buf_add_str(out, out->n == 1 ? "\"" : ",\"");
	buf_add_slice(out, prefix);
	buf_add_slice(out, name);
	buf_add_str(out, "\":");
	buf_add_slice(out, value);
}

/* Each member down to `depth` levels: its name noted, or written where there is an out. */
static void
lift(struct filter *f, size_t top, struct slice map, int64_t depth, struct buf *out)
{
	struct json_iter it = json_iter(map);
	struct slice name, value;

	while (json_next(&it, &name, &value)) {
		struct slice inner = depth > 1 ? members_of(value) : SLICE_NONE;
		size_t n = f->prefix.n;

		if (inner.p != NULL) {
			buf_add_slice(&f->prefix, name);
			buf_add_slice(&f->prefix, buf_slice(&f->separator));
			lift(f, top, inner, depth - 1, out);
			f->prefix.n = n;
		} else if (out == NULL) {
			note_name(f, top, buf_slice(&f->prefix), name);
		} else {
			add_member(out, buf_slice(&f->prefix), name, value);
		}
	}
}

static void
lift_top(struct filter *f, size_t top, struct buf *out)
{
	buf_reset(&f->prefix);
	buf_add_slice(&f->prefix, f->tops[top].name);
	buf_add_slice(&f->prefix, buf_slice(&f->separator));
	lift(f, top, f->tops[top].map, f->conf->depth, out);
}

static bool
is_same(const struct filter *f, const struct name *a, const struct name *b)
{
	return a->hash == b->hash && a->n == b->n &&
	    memcmp(f->texts.p + a->at, f->texts.p + b->at, a->n) == 0;
}

static void
drop_map(struct filter *f, size_t top)
{
	if (top < f->top_count)
		f->tops[top].map = SLICE_NONE;
}

/* The maps of two equal names stay; those whose `map` is gone afterwards. */
static void
find_doubles(struct filter *f)
{
	size_t room = 64;

	while (room < 2 * f->name_count)
		room *= 2;
	if (room > f->slot_count) {
		f->slots = mem_grow(f->slots, room, sizeof *f->slots);
		f->slot_count = room;
	}
	memset(f->slots, 0, room * sizeof *f->slots);
	for (size_t i = 0; i < f->name_count; i++) {
		struct name *nm = &f->names[i];
		size_t s;

		nm->hash = key_hash((struct slice){f->texts.p + nm->at, nm->n});
		for (s = nm->hash & (room - 1); f->slots[s] != 0; s = (s + 1) & (room - 1)) {
			const struct name *other = &f->names[f->slots[s] - 1];

			if (!is_same(f, nm, other))
				continue;
			drop_map(f, nm->top);
			drop_map(f, other->top);
			break;
		}
		if (f->slots[s] == 0)
			f->slots[s] = (uint32_t)i + 1;
	}
}

/* ---- writing ---- */

/* Whether something is left to be taken apart. */
static bool
note_all(struct filter *f, struct slice keys_)
{
	struct json_iter it = json_iter(keys_);
	struct slice name, value;

	f->name_count = 0;
	buf_reset(&f->texts);
	for (size_t i = 0; i < f->top_count; i++) {
		note_name(f, i, SLICE_NONE, f->tops[i].name);
		if (f->tops[i].map.p != NULL)
			lift_top(f, i, NULL);
	}
	/* A second time, so that nothing else gets their names, and they stay themselves. */
	while (json_next(&it, &name, &value))
		note_name(f, f->top_count, SLICE_NONE, name);
	f->too_many = f->too_many || f->texts.failed || f->prefix.failed;
	if (f->too_many)
		return true;
	find_doubles(f);
	for (size_t i = 0; i < f->top_count; i++)
		if (f->tops[i].map.p != NULL)
			return true;
	return false;
}

static enum image_result
flatten(struct filter *f, struct slice image, struct slice keys_, struct buf *out)
{
	buf_reset(out);
	if (image.p == NULL || !read_tops(f, image) || !note_all(f, keys_))
		return IMAGE_SAME;
	if (f->too_many)
		return IMAGE_TOO_LARGE;
	buf_add_char(out, '{');
	for (size_t i = 0; i < f->top_count; i++) {
		const struct top *t = &f->tops[i];

		if (t->map.p != NULL)
			lift_top(f, i, out);
		else
			add_member(out, SLICE_NONE, t->name, t->value);
	}
	buf_add_char(out, '}');
	return out->failed ? IMAGE_TOO_LARGE : IMAGE_CHANGED;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	enum image_result first = flatten(f, r->new_image, r->keys, &f->new_image);
	enum image_result second = flatten(f, r->old_image, r->keys, &f->old_image);

	(void)o;
	if (first == IMAGE_TOO_LARGE || second == IMAGE_TOO_LARGE)
		return image_verdict(IMAGE_TOO_LARGE, why);
	if (first == IMAGE_CHANGED)
		r->new_image = buf_slice(&f->new_image);
	if (second == IMAGE_CHANGED)
		r->old_image = buf_slice(&f->old_image);
	return first == IMAGE_CHANGED || second == IMAGE_CHANGED ? FILTER_REWRITE : FILTER_KEEP;
}

const struct filter_ops filter_flatten = {
    .api = FILTER_API,
    .type = "flatten",
    .help = "Takes maps apart: member b of map a becomes the attribute a.b.",
    .conf_size = sizeof(struct flatten_conf),
    .keys = keys,
    .check = check,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
