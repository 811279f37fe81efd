/* filters/pattern_place.c - what the path of a list means in a record.
 *
 * dynamodb.NewImage.card.M.number.S leads to the attribute card.number of the new
 * image, seen as a text. A plain pattern calls it new.card.number. Conditions about
 * both sides of a change need to know, and so does whoever wrote a list where no value
 * can ever be.
 */
#include "filters/pattern_priv.h"

#include "base/conf.h"

static const char *const plain_names[] = {"event", "keys", "new", "old", "ttl", "user", "id", NULL};

static enum value_type
type_named(struct slice name)
{
	static const struct {
		const char *tag;
		enum value_type type;
	} types[] = {{"S", VALUE_S}, {"N", VALUE_N}, {"B", VALUE_B}, {"BOOL", VALUE_BOOL},
	    {"NULL", VALUE_NULL}, {"M", VALUE_M}, {"L", VALUE_L}, {"SS", VALUE_SS},
	    {"NS", VALUE_NS}, {"BS", VALUE_BS}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (slice_is(name, types[i].tag))
			return types[i].type;
	return VALUE_INVALID;
}

static enum image
image_named(struct slice name, bool plain)
{
	if (slice_is(name, plain ? "keys" : "Keys"))
		return IMAGE_KEYS;
	if (slice_is(name, plain ? "new" : "NewImage"))
		return IMAGE_NEW;
	return slice_is(name, plain ? "old" : "OldImage") ? IMAGE_OLD : IMAGE_NONE;
}

/* Attribute, type, attribute, type: below an L types follow at once. */
static bool
walk_typed(struct place *pl, const struct slice *names, size_t n)
{
	bool attribute = true;

	pl->tag = VALUE_INVALID;
	for (size_t i = 0; i < n; i++) {
		if (attribute) {
			pl->steps[pl->count++] = names[i];
			pl->tag = VALUE_INVALID;
			attribute = false;
			continue;
		}
		if (pl->tag != VALUE_INVALID && pl->tag != VALUE_L)
			return false; /* nothing is below an S */
		pl->in_list = pl->in_list || pl->tag == VALUE_L;
		pl->tag = type_named(names[i]);
		if (pl->tag == VALUE_INVALID)
			return false;
		attribute = pl->tag == VALUE_M && i + 1 < n;
	}
	return true;
}

void
place_find(struct compiling *c)
{
	struct place pl = {.tag = VALUE_INVALID};
	size_t root = c->p->plain ? 1 : 2;

	c->place = pl;
	if (c->name_count <= root || (!c->p->plain && !slice_is(c->names[0], "dynamodb")))
		return;
	pl.image = image_named(c->names[root - 1], c->p->plain);
	if (pl.image == IMAGE_NONE)
		return;
	pl.steps = pool_alloc(&c->p->pool, c->name_count * sizeof *pl.steps);
	if (c->p->plain) {
		pl.count = c->name_count - root;
		memcpy(pl.steps, c->names + root, pl.count * sizeof *pl.steps);
	} else if (!walk_typed(&pl, c->names + root, c->name_count - root)) {
		return;
	}
	c->place = pl;
}

int
place_check_plain(struct compiling *c, bool list)
{
	struct slice name = c->names[0];
	const char *near;

	if (c->name_count != 1)
		return 0;
	for (size_t i = 0; plain_names[i] != NULL; i++) {
		bool object = image_named(name, true) != IMAGE_NONE || slice_is(name, "user");

		if (!slice_is(name, plain_names[i]))
			continue;
		if (object && list)
			return pattern_fail(c,
			    "it holds attributes and is no value; name one of them, as in {\"%s\": "
			    "{\"pk\": [{\"exists\": false}]}}",
			    name.p);
		if (!object && !list)
			return pattern_fail(
			    c, "it is a value and holds nothing; a list must be here");
		return 0;
	}
	near = conf_nearest(name.p, plain_names);
	return pattern_fail(c,
	    "a change has no such member; plain patterns know event, keys, new, old, ttl, user "
	    "and id%s%s%s",
	    near != NULL ? ". Did you mean \"" : "", near != NULL ? near : "",
	    near != NULL ? "\"?" : "");
}

/* ---- remarks ---- */

static bool
is_image(const struct compiling *c)
{
	return !c->p->plain && c->name_count == 2 && slice_is(c->names[0], "dynamodb") &&
	    image_named(c->names[1], false) != IMAGE_NONE;
}

void
place_remark(struct compiling *c, const struct leaf *lf)
{
	struct buf *out = &c->p->remark;
	bool image = is_image(c);
	bool attribute =
	    !c->p->plain && lf->place.image != IMAGE_NONE && lf->place.tag == VALUE_INVALID;

	/* Sizes and changes are asked of attributes as such. */
	if (out->n != 0 || lf->whole || (!image && !attribute))
		return;
	buf_add_slice(out, lf->path);
	buf_addf(out, ": this list %s matches", lf->absent_ok ? "always" : "never");
	if (image) {
		buf_addf(out,
		    ", because an image is an object and no value; write a leaf of it, such as an "
		    "attribute of the table's key: {\"%s\": {\"pk\": {\"S\": [{\"exists\": %s}]}}}",
		    c->names[1].p, lf->absent_ok ? "false" : "true");
	} else {
		buf_add_str(out,
		    ", because an attribute is an object, {\"S\": ...}, and no value; write its "
		    "type, too: {\"");
		buf_add_visible(out, c->names[c->name_count - 1]);
		buf_add_str(out, "\": {\"S\": [...]}}");
	}
}
