/* record/rewrite.c - see rewrite.h. */
#include "record/rewrite.h"

#include "record/value.h"

static bool
lies_in(struct slice part, struct slice whole)
{
	return part.p == NULL ||
	    ((uintptr_t)part.p >= (uintptr_t)whole.p &&
		(uintptr_t)part.p < (uintptr_t)whole.p + whole.n);
}

bool
record_is_rewritten(const struct record *r)
{
	return !lies_in(r->keys, r->raw) || !lies_in(r->new_image, r->raw) ||
	    !lies_in(r->old_image, r->raw);
}

static void
add_member(struct buf *out, bool *first, struct slice raw_name, struct slice value)
{
	if (!*first)
		buf_add_char(out, ',');
	*first = false;
	buf_add_char(out, '"');
	buf_add_slice(out, raw_name);
	buf_add_str(out, "\":");
	buf_add_slice(out, value);
}

static void
add_dynamodb(struct buf *out, const struct record *r, struct slice object)
{
	const struct {
		const char *name;
		struct slice value;
	} parts[] = {{"Keys", r->keys}, {"NewImage", r->new_image}, {"OldImage", r->old_image}};
	struct json_iter it = json_iter(object);
	struct slice name, value;
	bool first = true;

	buf_add_char(out, '{');
	while (json_next(&it, &name, &value)) {
		bool replaced = false;

		for (size_t i = 0; i < ARRAY_LEN(parts); i++)
			replaced = replaced || json_string_is(name, parts[i].name);
		if (!replaced)
			add_member(out, &first, name, value);
	}
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (parts[i].value.p != NULL)
			add_member(out, &first, slice_of(parts[i].name), parts[i].value);
	buf_add_char(out, '}');
}

void
record_write(const struct record *r, struct buf *out)
{
	struct json_iter it = json_iter(r->raw);
	struct slice name, value;
	bool first = true;

	buf_add_char(out, '{');
	while (json_next(&it, &name, &value)) {
		if (json_string_is(name, RECORD_ROUTE))
			continue;
		if (!json_string_is(name, "dynamodb")) {
			add_member(out, &first, name, value);
			continue;
		}
		add_member(out, &first, name, SLICE_LIT(""));
		add_dynamodb(out, r, value);
	}
	if (r->route.p != NULL) {
		buf_add_str(out, first ? "\"" : ",\"");
		buf_add_str(out, RECORD_ROUTE "\":\"");
		buf_add_slice(out, r->route);
		buf_add_char(out, '"');
	}
	buf_add_char(out, '}');
}

void
record_write_plain(const struct record *r, struct buf *out)
{
	struct record bare = *r;

	bare.route = SLICE_NONE;
	if (r->route.p == NULL)
		buf_add_slice(out, r->raw);
	else
		record_write(&bare, out);
}
