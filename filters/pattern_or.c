/* filters/pattern_or.c - $or multiplied out: from one tree with groups of
 * alternatives to a list of trees without.
 *
 * {"a": [1], "$or": [{"b": [2]}, {"c": [3]}]}  ->  {"a": [1], "b": [2]} or {"a": [1], "c": [3]}
 *
 * Trees share their leaves. Merging two trees ANDs what stands at one path.
 */
#include "filters/pattern_priv.h"

struct trees {
	struct node **v;
	size_t n;
};

static void
leaves_add(struct compiling *c, struct field *f, struct leaf *const *leaves, size_t n)
{
	struct leaf **v;

	if (n == 0)
		return;
	v = pool_alloc(&c->p->pool, (f->leaf_count + n) * sizeof(struct leaf *));
	if (f->leaf_count != 0)
		memcpy(v, f->leaves, f->leaf_count * sizeof(struct leaf *));
	memcpy(v + f->leaf_count, leaves, n * sizeof(struct leaf *));
	f->leaves = v;
	f->leaf_count += n;
}

static struct node *merge(struct compiling *c, const struct node *a, const struct node *b);

/* What is below a field of out may be another tree's as well, and is not changed. */
static void
merge_into(struct compiling *c, struct node *out, const struct node *nd)
{
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *from = &nd->fields[i];
		struct field *to = field_of(c, out, from->name);

		leaves_add(c, to, from->leaves, from->leaf_count);
		if (from->node != NULL)
			to->node = to->node != NULL ? merge(c, to->node, from->node) : from->node;
	}
}

/* A new tree: both of a and b. Depth is bounded where the text was read. */
static struct node *
merge(struct compiling *c, const struct node *a, const struct node *b)
{
	struct node *out = pool_alloc(&c->p->pool, sizeof *out);

	merge_into(c, out, a);
	merge_into(c, out, b);
	return out;
}

static int
multiply(struct compiling *c, struct trees *a, const struct trees *b)
{
	struct trees out;

	if (a->n * b->n > PATTERN_ALTERNATIVES_MAX)
		return pattern_fail(c, "the $or in it multiply out to more than %d alternatives",
		    PATTERN_ALTERNATIVES_MAX);
	/* Field after field, as most are: what is in a is nobody else's, and a new tree for each
	 * would make them cost their number cubed. */
	if (b->n == 1) {
		for (size_t i = 0; i < a->n; i++)
			merge_into(c, a->v[i], b->v[0]);
		return 0;
	}
	out.n = a->n * b->n;
	out.v = pool_alloc(&c->p->pool, out.n * sizeof(struct node *));
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			out.v[i * b->n + j] = merge(c, a->v[i], b->v[j]);
	*a = out;
	return 0;
}

static int expand(struct compiling *c, const struct node *nd, struct trees *out);

/* The trees of one field: its leaves, and each alternative of what is below. */
static int
expand_field(struct compiling *c, const struct field *f, struct trees *out)
{
	struct trees below = {.n = 1};

	if (f->node != NULL && expand(c, f->node, &below) != 0)
		return -1;
	out->n = below.n;
	out->v = pool_alloc(&c->p->pool, out->n * sizeof(struct node *));
	for (size_t i = 0; i < out->n; i++) {
		struct node *nd = pool_alloc(&c->p->pool, sizeof *nd);
		struct field *copy = field_of(c, nd, f->name);

		leaves_add(c, copy, f->leaves, f->leaf_count);
		copy->node = f->node != NULL ? below.v[i] : NULL;
		out->v[i] = nd;
	}
	return 0;
}

static int
expand_group(struct compiling *c, struct node *const *group, struct trees *out)
{
	out->v = pool_alloc(&c->p->pool, PATTERN_ALTERNATIVES_MAX * sizeof(struct node *));
	out->n = 0;
	for (; *group != NULL; group++) {
		struct trees one;

		if (expand(c, *group, &one) != 0)
			return -1;
		if (out->n + one.n > PATTERN_ALTERNATIVES_MAX)
			return pattern_fail(c,
			    "the $or in it multiply out to more than %d alternatives",
			    PATTERN_ALTERNATIVES_MAX);
		memcpy(out->v + out->n, one.v, one.n * sizeof(struct node *));
		out->n += one.n;
	}
	return 0;
}

static int
expand(struct compiling *c, const struct node *nd, struct trees *out)
{
	struct trees part;

	out->n = 1;
	out->v = pool_alloc(&c->p->pool, sizeof(struct node *));
	out->v[0] = pool_alloc(&c->p->pool, sizeof(struct node));
	for (size_t i = 0; i < nd->count; i++)
		if (expand_field(c, &nd->fields[i], &part) != 0 || multiply(c, out, &part) != 0)
			return -1;
	for (size_t i = 0; i < nd->group_count; i++)
		if (expand_group(c, nd->groups[i], &part) != 0 || multiply(c, out, &part) != 0)
			return -1;
	return 0;
}

int
pattern_expand(struct compiling *c, struct node *root)
{
	struct trees all;

	buf_reset(&c->path);
	if (expand(c, root, &all) != 0)
		return -1;
	c->p->alternatives = all.v;
	c->p->count = all.n;
	return 0;
}
