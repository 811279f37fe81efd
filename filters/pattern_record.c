/* filters/pattern_record.c - where the parts of a record stand that patterns ask for.
 *
 * The page's scan has found keys, images and names already; walking the raw record
 * again to reach them would cost more than the rest of a match. What the
 * scan does not keep (awsRegion, SizeBytes, ...) is looked up in the raw record.
 */
#include "filters/pattern_priv.h"

#include "record/rewrite.h"
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
	if (is_kept && part == EVENT_DYNAMODB && record_is_rewritten(r))
		return SLICE_NONE;
	v = r->raw;
	if (part == EVENT_DYNAMODB)
		v = value_member(v, "dynamodb");
	v = pattern_member(v, f);
	/* A filter took the image away. */
	return is_kept && v.n != 0 && v.p[0] == '{' ? SLICE_NONE : v;
}

/* ---- by plain names ---- */

static bool
is_text(struct slice value, const char *text)
{
	return value.n >= 2 && value.p[0] == '"' &&
	    json_string_is((struct slice){value.p + 1, value.n - 2}, text);
}

/* What page_parse() calls RECORD_TTL. */
static bool
is_ttl(struct slice identity)
{
	static const char *const types[] = {"type", "Type"};
	static const char *const principals[] = {"principalId", "PrincipalId"};
	bool service = false, dynamodb = false;

	for (size_t i = 0; identity.p != NULL && i < 2; i++) {
		service = service || is_text(value_member(identity, types[i]), "Service");
		dynamodb = dynamodb ||
		    is_text(value_member(identity, principals[i]), "dynamodb.amazonaws.com");
	}
	return service && dynamodb;
}

static struct spot
in_document(struct slice document, const char *name, enum form form)
{
	return (struct spot){value_member(document, name), form};
}

static struct spot
flag_spot(bool yes)
{
	return (struct spot){yes ? SLICE_LIT("true") : SLICE_LIT("false"), FORM_JSON};
}

static struct spot
spot_of_record(const struct record *r, struct slice name)
{
	if (slice_is(name, "new"))
		return (struct spot){r->new_image, FORM_IMAGE};
	if (slice_is(name, "old"))
		return (struct spot){r->old_image, FORM_IMAGE};
	if (slice_is(name, "keys"))
		return (struct spot){r->keys, FORM_IMAGE};
	if (slice_is(name, "event"))
		return (struct spot){quoted(r, r->event_name), FORM_JSON};
	if (slice_is(name, "id"))
		return (struct spot){quoted(r, r->event_id), FORM_JSON};
	if (slice_is(name, "user"))
		return (struct spot){r->user_identity, FORM_JSON};
	return flag_spot((r->flags & RECORD_TTL) != 0);
}

static struct spot
spot_of_document(struct slice document, struct slice name)
{
	struct slice inner = SLICE_NONE;

	if (slice_is(name, "new") || slice_is(name, "old") || slice_is(name, "keys"))
		inner = value_member(document, "dynamodb");
	if (slice_is(name, "new"))
		return in_document(inner, "NewImage", FORM_IMAGE);
	if (slice_is(name, "old"))
		return in_document(inner, "OldImage", FORM_IMAGE);
	if (slice_is(name, "keys"))
		return in_document(inner, "Keys", FORM_IMAGE);
	if (slice_is(name, "event"))
		return in_document(document, "eventName", FORM_JSON);
	if (slice_is(name, "id"))
		return in_document(document, "eventID", FORM_JSON);
	if (slice_is(name, "user"))
		return in_document(document, "userIdentity", FORM_JSON);
	return flag_spot(is_ttl(value_member(document, "userIdentity")));
}

struct spot
spot_of_change(const struct subject *su, struct slice name)
{
	return su->record != NULL ? spot_of_record(su->record, name)
				  : spot_of_document(su->document, name);
}
