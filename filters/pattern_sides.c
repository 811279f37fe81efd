/* filters/pattern_sides.c - conditions about a value as a whole, and about both
 * sides of a change.
 *
 *   document --steps of the leaf--> attribute of the new image --.
 *                                   attribute of the old image --+--> condition
 *
 * Both are looked up from the record again, because the tree's walk is at one of them
 * only. An image that is not there (INSERT has no old, REMOVE no new) has no
 * attributes.
 */
#include "filters/pattern_priv.h"

#include <stdio.h>

struct side {
	struct slice attribute; /* {"N": "5"}; SLICE_NONE: not there, or of another type */
	struct spot value;
};

static struct slice
member_named(struct slice object, struct slice plain)
{
	struct json_iter it = json_iter(object);
	struct slice name, value;

	while (json_next(&it, &name, &value))
		if (name.p != NULL &&
		    (memchr(name.p, '\\', name.n) != NULL ? json_string_is(name, plain.p)
							  : slice_eq(name, plain)))
			return value;
	return SLICE_NONE;
}

static struct side
side_of(const struct leaf *lf, const struct subject *su, enum image image)
{
	const struct place *pl = &lf->place;
	struct spot at = spot_of_change(su, slice_of(image == IMAGE_OLD ? "old" : "new"));
	struct side out = {SLICE_NONE, {SLICE_NONE, FORM_JSON}};
	struct slice attribute = SLICE_NONE;
	enum value_type type = VALUE_INVALID;

	for (size_t i = 0; i < pl->count; i++) {
		if (at.form != FORM_IMAGE || at.json.n == 0 || at.json.p[0] != '{')
			return out;
		attribute = member_named(at.json, pl->steps[i]);
		at = spot_open(attribute, &type);
	}
	if (type == VALUE_INVALID || (pl->tag != VALUE_INVALID && pl->tag != type))
		return out;
	return (struct side){attribute, at};
}

struct slice
side_attribute(const struct leaf *lf, const struct subject *su, enum image image)
{
	return side_of(lf, su, image).attribute;
}

static bool
differ(const struct side *a, const struct side *b)
{
	if (a->attribute.p == NULL || b->attribute.p == NULL)
		return a->attribute.p != b->attribute.p;
	return !value_eq(a->attribute, b->attribute);
}

/* ---- numbers ---- */

static bool
number_of(const struct side *s, struct buf *scratch, struct number *out)
{
	struct scalar v;

	if (s->value.form != FORM_NUMBER)
		return false;
	spot_scalar(s->value, true, scratch, &v);
	*out = v.number;
	return v.has_number;
}

static bool
numeric_old(const struct cond *c, const struct number *is, const struct number *was)
{
	struct cond with = *c;

	if (with.low.old)
		with.low.value = *was;
	if (with.high.old)
		with.high.value = *was;
	return number_within(&with, is);
}

static bool
match_numbers(
    struct pattern *p, const struct cond *c, const struct side *old, const struct side *new)
{
	struct number is, was;

	if (!number_of(new, &p->scratch, &is) || !number_of(old, &p->scratch_2, &was))
		return false;
	if (c->kind == COND_NUMERIC_OLD)
		return numeric_old(c, &is, &was);
	return number_within(c, &is) && !number_within(c, &was);
}

/* ---- size, changed-from ---- */

/* The value that a leaf was found at, opened if it is an attribute. */
static struct spot
opened(const struct pattern *p, const struct leaf *lf, struct spot s)
{
	enum value_type type;

	if (p->plain || s.json.p == NULL || lf->place.image == IMAGE_NONE)
		return s;
	if (lf->place.tag == VALUE_INVALID)
		return spot_open(s.json, &type);
	if (lf->place.tag == VALUE_B)
		s.form = FORM_BINARY;
	return s;
}

static bool
match_size(struct pattern *p, const struct cond *c, struct spot s)
{
	struct number number;
	char digits[24];
	size_t n;

	if (s.json.p == NULL || !spot_size(s, &p->scratch, &n))
		return false;
	(void)snprintf(digits, sizeof digits, "%zu", n);
	return number_parse(slice_of(digits), &number) && number_within(c, &number);
}

/* exists asks for the attribute here, and not for a value: a map was there, too. */
static bool
was_there(const struct leaf *from, bool there)
{
	for (size_t i = 0; i < from->count; i++)
		if (from->conds[i].kind == (there ? COND_EXISTS : COND_ABSENT))
			return true;
	return false;
}

/* The old value by the rules of a list of its own. Under a type tag it is seen as
 * a list there sees it: a list of texts under N compares texts. */
static bool
was(struct pattern *p, const struct leaf *from, struct spot old)
{
	if (was_there(from, old.json.p != NULL))
		return true;
	if (!p->plain && from->place.tag == VALUE_N)
		old.form = FORM_JSON;
	if (!p->plain && from->place.tag == VALUE_NS)
		old.form = FORM_JSON;
	if (leaf_find(p, from, old) == FOUND_MATCH)
		return true;
	for (size_t i = 0; i < from->count; i++)
		if (from->conds[i].kind == COND_SIZE && match_size(p, &from->conds[i], old))
			return true;
	return false;
}

bool
leaf_whole(struct pattern *p, const struct leaf *lf, struct spot s, const struct subject *su)
{
	struct side old = {SLICE_NONE, {SLICE_NONE, FORM_JSON}}, new = old;

	if (lf->two_sided) {
		old = side_of(lf, su, IMAGE_OLD);
		new = side_of(lf, su, IMAGE_NEW);
	}
	for (size_t i = 0; i < lf->count; i++) {
		const struct cond *c = &lf->conds[i];
		bool yes = false;

		switch (c->kind) {
		case COND_SIZE:
			yes = match_size(p, c, opened(p, lf, s));
			break;
		case COND_CHANGED:
			yes = differ(&old, &new) == c->want;
			break;
		case COND_CHANGED_FROM:
			yes = differ(&old, &new) && was(p, c->from, old.value);
			break;
		case COND_CROSSED:
		case COND_NUMERIC_OLD:
			yes = match_numbers(p, c, &old, &new);
			break;
		default:
			break;
		}
		if (yes)
			return true;
	}
	return false;
}
