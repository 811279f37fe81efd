/* record/envelope.c - a change with all that is known about it, as one JSON
 * object (docs/formats.md). Members are always there and always in the same
 * order, null where there is nothing to say; only ttl comes and goes.
 */
#include "record/format.h"
#include "record/format_priv.h"
#include "record/text.h"
#include "record/value.h"

struct paths {
	struct buf *out;
	size_t count;
};

static void
add_name(struct buf *out, const char *member, const char *text)
{
	buf_add_str(out, member);
	if (text != NULL)
		buf_add_json_string(out, slice_of(text));
	else
		buf_add(out, "null", 4);
}

/* raw: between its quotes, with its escapes, so it goes back between quotes. */
static void
add_raw(struct buf *out, const char *member, struct slice raw)
{
	buf_add_str(out, member);
	if (raw.p == NULL) {
		buf_add(out, "null", 4);
		return;
	}
	buf_add_char(out, '"');
	buf_add_slice(out, raw);
	buf_add_char(out, '"');
}

static void
add_time(struct buf *out, const struct record *r)
{
	if (r->flags & RECORD_NO_TIME) {
		buf_add_str(out, ",\"time\":null");
		return;
	}
	buf_add_str(out, ",\"time\":\"");
	format_time(r->created_us, out);
	buf_add_char(out, '"');
}

static void
add_path(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct paths *ps = arg;

	(void)old_value;
	(void)new_value;
	if (path.p == NULL)
		ps->out->failed = true;
	if (ps->count++ != 0)
		buf_add_char(ps->out, ',');
	buf_add_json_string(ps->out, path);
}

static void
add_changed(struct buf *out, const struct record *r)
{
	struct paths ps = {.out = out};

	buf_add_str(out, ",\"changed\":");
	if (r->old_image.p == NULL || r->new_image.p == NULL) {
		buf_add(out, "null", 4);
		return;
	}
	buf_add_char(out, '[');
	changes_each(r->old_image, r->new_image, add_path, &ps);
	buf_add_char(out, ']');
}

static const char *
add_images(struct buf *out, const struct record *r)
{
	const char *fault;

	buf_add_str(out, ",\"keys\":");
	fault = plain_add_image(r->keys, out);
	if (fault != NULL)
		return fault;
	buf_add_str(out, ",\"new\":");
	fault = plain_add_image(r->new_image, out);
	if (fault != NULL)
		return fault;
	buf_add_str(out, ",\"old\":");
	return plain_add_image(r->old_image, out);
}

const char *
envelope_add_record(const struct record *r, const struct origin *o, struct buf *out)
{
	static const struct origin nowhere;
	const char *fault;

	if (o == NULL)
		o = &nowhere;
	add_raw(out, "{\"id\":", r->event_id);
	add_raw(out, ",\"event\":", r->event_name);
	add_name(out, ",\"stream\":", o->stream);
	add_name(out, ",\"table\":", o->table);
	add_name(out, ",\"shard\":", o->shard);
	add_raw(out, ",\"sequence\":", seq_text(&r->seq));
	add_time(out, r);
	if (r->flags & RECORD_TTL)
		buf_add_str(out, ",\"ttl\":true");
	fault = add_images(out, r);
	if (fault != NULL)
		return fault;
	add_changed(out, r);
	buf_add_char(out, '}');
	return NULL;
}
