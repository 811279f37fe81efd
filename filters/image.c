/* filters/image.c - see image.h.
 *
 * The paths are a tree of steps. The walk goes down with the set of steps that what
 * it has met so far could have been (several only where stars are), and looks into a value only
 * if a step goes on there. Sets of different depths never share a step, so one array as
 * long as the tree holds them all.
 *
 * What comes out is the input with edits: `cursor` is how far the input has been
 * written or left out, and each edit first writes up to where it begins. Commas go with
 * the member that leaves: the one before it, or the one behind it as long as nothing
 * before it stayed.
 */
#include "filters/image.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "record/value.h"

#define NO_RULE SIZE_MAX

struct node {			      /* a step of one path or of several that begin alike */
	const struct path_step *step; /* borrowed from one of them */
	unsigned *children;	      /* owned; indices of nodes */
	unsigned count;
	bool adds;   /* some child is to be added where it is missing */
	char *add;   /* owned; this is, by this raw name; NULL: it is not */
	bool seen;   /* it was there, in the map that is being walked */
	size_t rule; /* of the path that ends here, or NO_RULE */
};

struct image {
	enum image_mode mode;
	struct path **paths; /* owned */
	size_t count;
	struct node *nodes; /* owned; the first is the image itself */
	unsigned node_count;
	unsigned *sets; /* owned; node_count long */
	struct buf new_image, old_image;
};

struct walk {
	struct image *im;
	struct buf *out;
	image_fn *fn;
	void *arg;
	const char *cursor;
	bool changed;
	size_t top; /* of im->sets */
	struct slice keys[LIMIT_KEY_ATTRIBUTES];
	size_t key_count;
};

struct place {		     /* in one object or array */
	const char *end;     /* of the last member, or of the opening bracket */
	bool kept, left_out; /* some member was */
	bool root;
};

struct set { /* of nodes, in im->sets */
	size_t at, n;
};

/* ---- paths ---- */

struct image *
image_new(enum image_mode mode)
{
	struct image *im = mem_new(sizeof *im);

	im->mode = mode;
	im->nodes = mem_new(sizeof *im->nodes);
	im->nodes[0].rule = NO_RULE;
	im->node_count = 1;
	im->sets = mem_array(1, sizeof *im->sets);
	im->new_image = BUF_INIT(LIMIT_PAGE_BODY);
	im->old_image = BUF_INIT(LIMIT_PAGE_BODY);
	return im;
}

void
image_close(struct image *im)
{
	if (im == NULL)
		return;
	for (size_t i = 0; i < im->count; i++)
		path_close(im->paths[i]);
	for (unsigned i = 0; i < im->node_count; i++) {
		free(im->nodes[i].children);
		free(im->nodes[i].add);
	}
	free(im->paths);
	free(im->nodes);
	free(im->sets);
	buf_close(&im->new_image);
	buf_close(&im->old_image);
	free(im);
}

size_t
image_count(const struct image *im)
{
	return im->count;
}

const struct path *
image_path(const struct image *im, size_t rule)
{
	return im->paths[rule];
}

static bool
same_step(const struct path_step *a, const struct path_step *b)
{
	return a->kind == b->kind && a->index == b->index && a->name_n == b->name_n &&
	    a->tail_n == b->tail_n &&
	    (a->name_n == 0 || memcmp(a->name, b->name, a->name_n) == 0) &&
	    (a->tail_n == 0 || memcmp(a->tail, b->tail, a->tail_n) == 0);
}

static unsigned
child_for(struct image *im, unsigned parent, const struct path_step *step)
{
	struct node *nd = &im->nodes[parent];
	unsigned i = im->node_count;

	for (unsigned k = 0; k < nd->count; k++)
		if (same_step(im->nodes[nd->children[k]].step, step))
			return nd->children[k];
	nd->children = mem_grow(nd->children, nd->count + 1, sizeof *nd->children);
	nd->children[nd->count++] = i;
	im->nodes = mem_grow(im->nodes, i + 1, sizeof *im->nodes);
	im->sets = mem_grow(im->sets, i + 1, sizeof *im->sets);
	im->nodes[i] = (struct node){.step = step, .rule = NO_RULE};
	im->node_count++;
	return i;
}

const struct path *
image_key_path(const struct image *im, const struct key_schema *schema)
{
	for (size_t i = 0; i < im->count; i++) {
		const struct path_step *s = &im->paths[i]->steps[0];

		for (size_t k = 0; k < ARRAY_LEN(schema->names) && schema->names[k] != NULL; k++)
			if (im->paths[i]->count == 1 && s->kind == PATH_NAME &&
			    strcmp(s->name, schema->names[k]) == 0)
				return im->paths[i];
	}
	return NULL;
}

static char *
raw_name(const struct path_step *step)
{
	struct buf b = BUF_INIT(6 * step->name_n + 2);
	char *raw;

	buf_add_json_string(&b, (struct slice){step->name, step->name_n});
	raw = mem_slicedup((struct slice){b.p + 1, b.n - 2});
	buf_close(&b);
	return raw;
}

int
image_add(struct image *im, const char *text, unsigned flags, struct err *e)
{
	unsigned at = 0, parent = 0;
	struct path *p;

	if (path_parse(&p, text, PATH_WILD, e) != 0)
		return -1;
	for (size_t i = 0; i < p->count; i++) {
		parent = at;
		at = child_for(im, at, &p->steps[i]);
	}
	im->paths = mem_grow(im->paths, im->count + 1, sizeof(struct path *));
	im->paths[im->count++] = p;
	if (im->nodes[at].rule != NO_RULE)
		return err_set(e, ERR_CONFIG, "path %.120s is there twice", text);
	im->nodes[at].rule = im->count - 1;
	if ((flags & IMAGE_ADD) != 0 && im->nodes[at].step->kind == PATH_NAME) {
		im->nodes[at].add = raw_name(im->nodes[at].step);
		im->nodes[parent].adds = true;
	}
	return 0;
}

int
image_add_list(struct image *im, const char *key, const struct conf_list *paths, struct err *e)
{
	for (size_t i = 0; i < paths->n; i++)
		if (image_add(im, paths->v[i], 0, e) != 0)
			return err_prefix(e, "%s", key);
	return 0;
}

/* ---- edits ---- */

static void
write_to(struct walk *w, const char *to)
{
	if (to > w->cursor)
		buf_add(w->out, w->cursor, (size_t)(to - w->cursor));
	w->cursor = to;
}

static void
leave_out(struct walk *w, const char *from, const char *to)
{
	write_to(w, from);
	w->cursor = to;
	w->changed = true;
}

static void
replace(struct walk *w, struct slice what, struct slice with)
{
	leave_out(w, what.p, what.p + what.n);
	buf_add_slice(w->out, with);
}

/* Before any edit inside of it. */
static void
member_stays(struct walk *w, struct place *pl, const char *start, const char *end)
{
	if (!pl->kept && pl->left_out)
		leave_out(w, pl->end, start);
	pl->kept = true;
	pl->end = end;
}

static void
member_leaves(struct walk *w, struct place *pl, const char *end)
{
	leave_out(w, pl->end, end);
	pl->left_out = true;
	pl->end = end;
}

static void
member_comes(struct walk *w, struct place *pl, struct slice name, struct slice value)
{
	write_to(w, pl->end);
	w->changed = true;
	buf_add_str(w->out, pl->kept ? ",\"" : "\"");
	buf_add_slice(w->out, name);
	buf_add_str(w->out, "\":");
	buf_add_slice(w->out, value);
	pl->kept = true;
}

/* ---- what leads where ---- */

static void
set_push(struct walk *w, struct set *to, unsigned node)
{
	struct image *im = w->im;

	im->sets[w->top++] = node;
	im->nodes[node].seen = true;
	to->n++;
}

static struct set
steps_to_name(struct walk *w, struct set from, struct slice name)
{
	const struct image *im = w->im;
	bool escaped = memchr(name.p, '\\', name.n) != NULL;
	struct set to = {.at = w->top};

	for (size_t i = 0; i < from.n; i++) {
		const struct node *nd = &im->nodes[im->sets[from.at + i]];

		for (unsigned k = 0; k < nd->count; k++) {
			const struct path_step *s = im->nodes[nd->children[k]].step;
			bool yes;

			if (!escaped && s->kind == PATH_NAME)
				yes = s->name_n == name.n && memcmp(s->name, name.p, name.n) == 0;
			else
				yes = path_step_takes_name(s, name);
			if (yes)
				set_push(w, &to, nd->children[k]);
		}
	}
	return to;
}

static struct set
steps_to_index(struct walk *w, struct set from, size_t index)
{
	const struct image *im = w->im;
	struct set to = {.at = w->top};

	for (size_t i = 0; i < from.n; i++) {
		const struct node *nd = &im->nodes[im->sets[from.at + i]];

		for (unsigned k = 0; k < nd->count; k++)
			if (path_step_takes_index(im->nodes[nd->children[k]].step, index))
				set_push(w, &to, nd->children[k]);
	}
	return to;
}

/* The lowest rule of the set that is not below `from`. */
static size_t
next_rule(const struct walk *w, struct set s, size_t from)
{
	size_t best = NO_RULE;

	for (size_t i = 0; i < s.n; i++) {
		size_t rule = w->im->nodes[w->im->sets[s.at + i]].rule;

		if (rule >= from && rule < best)
			best = rule;
	}
	return best;
}

static bool
goes_on(const struct walk *w, struct set s)
{
	for (size_t i = 0; i < s.n; i++)
		if (w->im->nodes[w->im->sets[s.at + i]].count != 0)
			return true;
	return false;
}

static bool
is_key(const struct walk *w, const struct place *pl, struct slice name)
{
	for (size_t i = 0; pl->root && i < w->key_count; i++)
		if (json_string_eq(w->keys[i], name))
			return true;
	return false;
}

/* ---- the walk ---- */

/* These answer whether something in there stayed. */
static bool walk_map(struct walk *w, struct slice object, struct set s, bool root);
static bool walk_list(struct walk *w, struct slice array, struct set s);

static bool
walk_value(struct walk *w, struct slice value, struct set s)
{
	struct slice inner;

	if (!goes_on(w, s))
		return false;
	switch (value_of(value, &inner)) {
	case VALUE_M:
		return walk_map(w, inner, s, false);
	case VALUE_L:
		return walk_list(w, inner, s);
	default:
		return false;
	}
}

static enum image_act
ask(struct walk *w, struct image_at *at, struct set s)
{
	const char *name = at->name.p;
	enum image_act act = IMAGE_KEEP;

	for (size_t rule = next_rule(w, s, 0); rule != NO_RULE && act == IMAGE_KEEP;
	     rule = next_rule(w, s, rule + 1)) {
		at->rule = rule;
		act = w->fn(w->arg, at);
		if (at->name.p != name)
			break;
	}
	return act;
}

static void
edit(struct walk *w, struct place *pl, struct slice around, struct slice name, struct slice value,
    struct set s)
{
	struct image_at at = {.name = name, .value = value, .around = around};
	const char *start = name.p != NULL ? name.p - 1 : value.p;
	const char *end = value.p + value.n;
	enum image_act act = IMAGE_KEEP;

	if (s.n != 0) {
		at.key = is_key(w, pl, name);
		act = ask(w, &at, s);
	}
	if (at.key) {
		act = IMAGE_KEEP;
		at.name = name;
	}
	if (act == IMAGE_DROP) {
		member_leaves(w, pl, end);
		return;
	}
	member_stays(w, pl, start, end);
	if (name.p != NULL && at.name.p != name.p)
		replace(w, name, at.name);
	if (act == IMAGE_REPLACE)
		replace(w, value, at.with);
	else if (s.n != 0 && !at.key)
		(void)walk_value(w, value, s);
}

static void
pick(struct walk *w, struct place *pl, struct slice name, struct slice value, struct set s)
{
	const struct walk before = *w;
	const struct place place = *pl;
	const char *start = name.p != NULL ? name.p - 1 : value.p;
	const char *end = value.p + value.n;
	size_t n = w->out->n;

	member_stays(w, pl, start, end);
	if ((s.n != 0 && next_rule(w, s, 0) != NO_RULE) || is_key(w, pl, name) ||
	    (s.n != 0 && walk_value(w, value, s)))
		return;
	*w = before;
	*pl = place;
	w->out->n = n;
	member_leaves(w, pl, end);
}

static void
each(struct walk *w, struct place *pl, struct slice around, struct slice name, struct slice value,
    struct set s)
{
	if (w->im->mode == IMAGE_PICK)
		pick(w, pl, name, value, s);
	else
		edit(w, pl, around, name, value, s);
	w->top = s.at;
}

/* What is to be added to the map of this set: first nothing of it was seen. */
static void
forget_seen(struct walk *w, struct set s)
{
	struct node *nodes = w->im->nodes;

	for (size_t i = 0; i < s.n; i++) {
		const struct node *nd = &nodes[w->im->sets[s.at + i]];

		for (unsigned k = 0; nd->adds && k < nd->count; k++)
			nodes[nd->children[k]].seen = false;
	}
}

static void
add_missing(struct walk *w, struct place *pl, struct slice around, const struct node *nd)
{
	struct image_at at = {.rule = nd->rule, .name = slice_of(nd->add), .around = around};

	at.key = is_key(w, pl, at.name);
	if (w->fn(w->arg, &at) == IMAGE_REPLACE && !at.key)
		member_comes(w, pl, at.name, at.with);
}

static void
add_all_missing(struct walk *w, struct place *pl, struct slice around, struct set s)
{
	const struct node *nodes = w->im->nodes;

	for (size_t i = 0; i < s.n; i++) {
		const struct node *nd = &nodes[w->im->sets[s.at + i]];

		for (unsigned k = 0; nd->adds && k < nd->count; k++)
			if (nodes[nd->children[k]].add != NULL && !nodes[nd->children[k]].seen)
				add_missing(w, pl, around, &nodes[nd->children[k]]);
	}
}

static bool
walk_map(struct walk *w, struct slice object, struct set s, bool root)
{
	struct json_iter it = json_iter(object);
	struct place pl = {.end = it.p, .root = root};
	struct slice name, value;

	forget_seen(w, s);
	while (json_next(&it, &name, &value)) {
		struct set to = steps_to_name(w, s, name);

		if (to.n == 0 && w->im->mode == IMAGE_EDIT)
			member_stays(w, &pl, name.p - 1, value.p + value.n);
		else
			each(w, &pl, object, name, value, to);
	}
	add_all_missing(w, &pl, object, s);
	return pl.kept;
}

static bool
walk_list(struct walk *w, struct slice array, struct set s)
{
	struct json_iter it = json_iter(array);
	struct place pl = {.end = it.p};
	struct slice name, value;

	for (size_t i = 0; json_next(&it, &name, &value); i++)
		each(w, &pl, array, SLICE_NONE, value, steps_to_index(w, s, i));
	return pl.kept;
}

enum image_result
image_apply(struct image *im, struct slice image, struct slice keys, image_fn *fn, void *arg,
    struct buf *out)
{
	struct walk w = {.im = im, .out = out, .fn = fn, .arg = arg, .cursor = image.p, .top = 1};
	struct json_iter it = json_iter(keys);
	struct slice value;

	if (image.p == NULL || !json_iter(image).object)
		return IMAGE_SAME;
	while (w.key_count < LIMIT_KEY_ATTRIBUTES && keys.p != NULL &&
	    json_next(&it, &w.keys[w.key_count], &value))
		w.key_count++;
	(void)walk_map(&w, image, (struct set){.at = 0, .n = 1}, true);
	if (!w.changed)
		return IMAGE_SAME;
	write_to(&w, image.p + image.n);
	return out->failed ? IMAGE_TOO_LARGE : IMAGE_CHANGED;
}

enum image_result
image_record(struct image *im, struct record *r, image_fn *fn, void *arg)
{
	enum image_result first, second;

	buf_reset(&im->new_image);
	buf_reset(&im->old_image);
	first = image_apply(im, r->new_image, r->keys, fn, arg, &im->new_image);
	second = image_apply(im, r->old_image, r->keys, fn, arg, &im->old_image);
	if (first == IMAGE_TOO_LARGE || second == IMAGE_TOO_LARGE)
		return IMAGE_TOO_LARGE;
	if (first == IMAGE_CHANGED)
		r->new_image = buf_slice(&im->new_image);
	if (second == IMAGE_CHANGED)
		r->old_image = buf_slice(&im->old_image);
	return first == IMAGE_CHANGED || second == IMAGE_CHANGED ? IMAGE_CHANGED : IMAGE_SAME;
}

enum filter_verdict
image_verdict(enum image_result result, struct err *why)
{
	switch (result) {
	case IMAGE_SAME:
		return FILTER_KEEP;
	case IMAGE_CHANGED:
		return FILTER_REWRITE;
	case IMAGE_TOO_LARGE:
		break;
	}
	(void)err_set(why, ERR_LIMIT,
	    "an image is or would become too large (32 MiB), or there is no memory for it");
	return FILTER_REJECT;
}

enum filter_verdict
image_filter(struct image *im, struct record *r, image_fn *fn, void *arg, struct err *why)
{
	return image_verdict(image_record(im, r, fn, arg), why);
}
