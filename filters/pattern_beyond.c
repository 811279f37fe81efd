/* filters/pattern_beyond.c - operators that Lambda has not, read: size, changed,
 * changed-from, crossed and numeric with {"old": true}.
 *
 * All but size look at an attribute of the new image and the same one of the old, so
 * they are refused wherever there is no such pair: anywhere but below NewImage, and
 * in elements of a list, which have no counterpart.
 */
#include "filters/pattern_priv.h"

static int
check_two_sided(struct compiling *c, const char *op)
{
	if (c->place.image != IMAGE_NEW)
		return pattern_fail(c,
		    "\"%s\" compares an attribute of the new image with the old one; it stands at "
		    "%s",
		    op, c->p->plain ? "new.ATTRIBUTE" : "dynamodb.NewImage.ATTRIBUTE, or its type");
	if (c->place.in_list)
		return pattern_fail(c,
		    "\"%s\" cannot stand in elements of a list (L): they have no counterpart in "
		    "the "
		    "old image",
		    op);
	return 0;
}

int
cond_check_old(struct compiling *c, const char *op)
{
	if (check_two_sided(c, op) != 0)
		return -1;
	if (c->place.tag != VALUE_INVALID && c->place.tag != VALUE_N)
		return pattern_fail(
		    c, "\"%s\" compares numbers; of the types it stands under N only", op);
	return 0;
}

int
cond_parse_size(struct compiling *c, struct slice value, struct cond *out)
{
	enum value_type tag = c->place.tag;

	out->kind = COND_SIZE;
	if (tag == VALUE_N || tag == VALUE_BOOL || tag == VALUE_NULL)
		return pattern_fail(c,
		    "\"size\": a number, BOOL or NULL has none; strings, binaries, sets, lists and "
		    "maps do");
	return cond_parse_bounds(c, "size", value, false, out);
}

int
cond_parse_changed(struct compiling *c, struct slice value, struct cond *out)
{
	out->kind = COND_CHANGED;
	out->want = slice_is(value, "true");
	if (!out->want && !slice_is(value, "false"))
		return pattern_fail(c, "\"changed\" wants true or false");
	return check_two_sided(c, "changed");
}

int
cond_parse_changed_from(struct compiling *c, struct slice value, struct cond *out)
{
	out->kind = COND_CHANGED_FROM;
	if (check_two_sided(c, "changed-from") != 0)
		return -1;
	if (value.p[0] != '[')
		return pattern_fail(
		    c, "\"changed-from\" wants a list of what the value was before");
	out->from = pattern_leaf(c, value);
	if (out->from == NULL)
		return -1;
	if (out->from->two_sided)
		return pattern_fail(
		    c, "\"changed-from\" looks at the old value alone; nothing in it compares");
	return 0;
}

int
cond_parse_crossed(struct compiling *c, struct slice value, struct cond *out)
{
	out->kind = COND_CROSSED;
	if (cond_check_old(c, "crossed") != 0)
		return -1;
	return cond_parse_bounds(c, "crossed", value, false, out);
}
