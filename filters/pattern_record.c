/* filters/pattern_record.c - where the parts of a record stand that patterns ask for.
 *
 * The page's scan has found keys, images and names already; walking the raw record
 * again to reach them would cost more than the rest of a match. What the
 * scan does not keep (awsRegion, SizeBytes, ...) is looked up in the raw record.
 */
#include "filters/pattern_priv.h"

#include "record/seek.h"
#include "record/value.h"

/* A string with its quotes, if it lies in the raw record as page_parse() left it. */
static struct slice
quoted(const struct record *r, struct slice text)
{
	if (text.p == NULL || (uintptr_t)text.p <= (uintptr_t)r->raw.p ||
	    (uintptr_t)text.p + text.n >= (uintptr_t)r->raw.p + r->raw.n)
		return SLICE_NONE;
	return (struct slice){text.p - 1, text.n + 2};
}

void
field_init(struct field *f, struct slice name)
{
	static const char *const names[] = {
	    [KNOWN_EVENT_NAME] = "eventName",
	    [KNOWN_EVENT_ID] = "eventID",
	    [KNOWN_IDENTITY] = "userIdentity",
	    [KNOWN_DYNAMODB] = "dynamodb",
	    [KNOWN_NEW] = "NewImage",
	    [KNOWN_OLD] = "OldImage",
	    [KNOWN_KEYS] = "Keys",
	    [KNOWN_VIEW] = "StreamViewType",
	};

	*f = (struct field){.name = name, .seek = seek_suits(name)};
	for (size_t i = KNOWN_EVENT_NAME; i < ARRAY_LEN(names); i++)
		if (slice_is(name, names[i]))
			f->known = (enum known)i;
}

/* False: struct record does not have it. */
static bool
kept(const struct record *r, enum event_part part, enum known known, struct slice *out)
{
	if ((known >= KNOWN_NEW) != (part == EVENT_DYNAMODB))
		return false;
	switch (known) {
	case KNOWN_EVENT_NAME:
		*out = quoted(r, r->event_name);
		return true;
	case KNOWN_EVENT_ID:
		*out = quoted(r, r->event_id);
		return true;
	case KNOWN_IDENTITY:
		*out = r->user_identity;
		return true;
	case KNOWN_NEW:
		*out = r->new_image;
		return true;
	case KNOWN_OLD:
		*out = r->old_image;
		return true;
	case KNOWN_KEYS:
		*out = r->keys;
		return true;
	case KNOWN_VIEW:
		*out = quoted(r, r->view_type);
		return true;
	case KNOWN_NOT:
	case KNOWN_DYNAMODB:
		break;
	}
	return false;
}

struct slice
event_member(const struct record *r, enum event_part part, const struct field *f)
{
	struct slice v = SLICE_NONE;
	bool is_kept = kept(r, part, f->known, &v);

	/* What is null in the raw record is absent in ours; only a leaf can tell. */
	if (v.p != NULL || (is_kept && f->leaf_count == 0))
		return v;
	v = r->raw;
	if (part == EVENT_DYNAMODB)
		v = value_member(v, "dynamodb");
	v = pattern_member(v, f);
	/* A filter took the image away. */
	return is_kept && v.n != 0 && v.p[0] == '{' ? SLICE_NONE : v;
}
