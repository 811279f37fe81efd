/* filters/plugin_host.c - the functions that a plug-in may call (plugin.h).
 *
 * A plug-in's own mistakes end here: a record that it kept, an image that is none, an
 * absent part all have an answer. Bad pointers do not; it runs in our process.
 *
 * An image it replaces is copied into `spare`, looked at there and only then put in the
 * place of the former one, so that it may be made from slices of that.
 */
#include "filters/plugin_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "record/value.h"

static struct slipring_text
text_of(struct slice s)
{
	return (struct slipring_text){s.p, s.n};
}

static struct slice
slice_in(struct slipring_text t)
{
	return (struct slice){t.p, t.n};
}

const char *
plugin_line(const char *text, char *out, size_t room)
{
	struct buf b = BUF_INIT(PLUGIN_LINE * 8);

	if (text != NULL)
		buf_add_printable(&b, (struct slice){text, strnlen(text, PLUGIN_LINE)});
	(void)snprintf(out, room, "%s", buf_cstr(&b));
	/* Cut: not within a character. */
	if (b.n >= room) {
		size_t n = room - 1;

		while (n > 0 && ((unsigned char)out[n - 1] & 0xc0) == 0x80)
			n--;
		out[n > 0 && (unsigned char)out[n - 1] >= 0xc0 ? n - 1 : n] = '\0';
	}
	buf_close(&b);
	return out;
}

/* ---- the record ---- */

static uint32_t
event(const struct slipring_record *r)
{
	if (r->r == NULL)
		return SLIPRING_UNKNOWN;
	switch (r->r->event) {
	case RECORD_INSERT:
		return SLIPRING_INSERT;
	case RECORD_MODIFY:
		return SLIPRING_MODIFY;
	case RECORD_REMOVE:
		return SLIPRING_REMOVE;
	case RECORD_UNKNOWN:
		break;
	}
	return SLIPRING_UNKNOWN;
}

static int64_t
time_us(const struct slipring_record *r)
{
	return r->r != NULL ? r->r->created_us : 0;
}

static int
expired(const struct slipring_record *r)
{
	return r->r != NULL && (r->r->flags & RECORD_TTL) != 0;
}

static struct slipring_text
sequence(const struct slipring_record *r)
{
	return text_of(r->r != NULL ? seq_text(&r->r->seq) : SLICE_NONE);
}

static struct slipring_text
stream(const struct slipring_record *r)
{
	return text_of(slice_of(r->r != NULL ? r->o->stream : NULL));
}

static struct slipring_text
table(const struct slipring_record *r)
{
	return text_of(slice_of(r->r != NULL ? r->o->table : NULL));
}

static struct slice
part(const struct slipring_record *r, uint32_t which)
{
	if (r->r == NULL)
		return SLICE_NONE;
	switch (which) {
	case SLIPRING_KEYS:
		return r->r->keys;
	case SLIPRING_NEW:
		return r->r->new_image;
	case SLIPRING_OLD:
		return r->r->old_image;
	default:
		return SLICE_NONE;
	}
}

static struct slipring_text
image(const struct slipring_record *r, uint32_t which)
{
	return text_of(part(r, which));
}

static struct slipring_text
attribute(const struct slipring_record *r, uint32_t which, const char *name)
{
	struct slice whole = part(r, which);

	return text_of(whole.p != NULL ? value_member(whole, name) : SLICE_NONE);
}

/* ---- values ---- */

static struct slipring_text
member(struct slipring_text value, const char *name)
{
	struct slice inner;

	if (value.p == NULL || value_of(slice_in(value), &inner) != VALUE_M)
		return text_of(SLICE_NONE);
	return text_of(value_member(inner, name));
}

static struct slipring_text
element(struct slipring_text value, size_t index)
{
	struct slice inner, name, item;
	struct json_iter it;

	if (value.p == NULL || value_of(slice_in(value), &inner) != VALUE_L)
		return text_of(SLICE_NONE);
	it = json_iter(inner);
	while (json_next(&it, &name, &item))
		if (index-- == 0)
			return text_of(item);
	return text_of(SLICE_NONE);
}

static int64_t
string(struct slipring_text value, char *out, size_t room)
{
	struct buf b = {.p = out, .cap = room, .max = room};
	enum value_type type;
	struct slice raw;

	if (value.p == NULL)
		return -1;
	type = value_of(slice_in(value), &raw);
	if (type != VALUE_S && type != VALUE_N && type != VALUE_B)
		return -1;
	json_unescape(raw, &b);
	/* What an escape stands for is never longer than the escape. */
	return (int64_t)(b.failed ? raw.n : b.n);
}

/* ---- verdicts ---- */

static uint32_t
reject(struct slipring_record *r, const char *why)
{
	if (!r->refused && r->r != NULL) {
		char shown[PLUGIN_LINE];

		(void)err_set(&r->why, ERR_REFUSED, "%s", plugin_line(why, shown, sizeof shown));
		r->refused = true;
	}
	return SLIPRING_REJECT;
}

static int
refuse(struct slipring_record *r, uint32_t which)
{
	const char *what = which == SLIPRING_OLD ? "old" : "new";

	(void)err_prefix(&r->why, "it replaced the %s image by what is none", what);
	r->refused = true;
	return -1;
}

static int
replace(struct slipring_record *r, uint32_t which, struct slipring_text json)
{
	struct slipring_filter *f = r->f;
	bool old = which == SLIPRING_OLD;
	struct buf *mine = old ? &f->old_image : &f->new_image, was = *mine;

	if (r->r == NULL || r->refused)
		return -1;
	if (part(r, which).p == NULL || (which != SLIPRING_NEW && !old)) {
		(void)err_set(
		    &r->why, ERR_REFUSED, "it replaced an image that the record does not have");
		r->refused = true;
		return -1;
	}
	if (json.p == NULL || json.n > PLUGIN_IMAGE_MAX) {
		(void)err_set(
		    &r->why, ERR_LIMIT, "%zu bytes; 2 to %u are allowed", json.n, PLUGIN_IMAGE_MAX);
		return refuse(r, which);
	}
	buf_reset(&f->spare);
	buf_add(&f->spare, json.p, json.n);
	if (f->spare.failed) {
		(void)err_set(&r->why, ERR_NOMEM, "out of memory");
		return refuse(r, which);
	}
	if (verify_image(&f->verify, buf_slice(&f->spare), r->r->keys, &r->why) != 0)
		return refuse(r, which);
	*mine = f->spare;
	f->spare = was;
	*(old ? &r->r->old_image : &r->r->new_image) = buf_slice(mine);
	r->replaced = true;
	return 0;
}

static void
log_for(struct slipring_filter *f, uint32_t level, const char *line)
{
	enum log_level at = level <= SLIPRING_DEBUG ? (enum log_level)level : LOG_ERROR;

	if (log_enabled(at) && line != NULL)
		log_line(at, "plugin", f->name, "%s", line);
}

static_assert((int)LOG_ERROR == SLIPRING_ERROR && (int)LOG_DEBUG == SLIPRING_DEBUG,
    "levels are handed on as they are");

const struct slipring_host plugin_host = {
    .abi = SLIPRING_PLUGIN_ABI,
    .size = sizeof(struct slipring_host),
    .event = event,
    .time_us = time_us,
    .expired = expired,
    .sequence = sequence,
    .stream = stream,
    .table = table,
    .image = image,
    .attribute = attribute,
    .member = member,
    .element = element,
    .string = string,
    .replace = replace,
    .reject = reject,
    .log = log_for,
};

void
plugin_host_open(struct slipring_filter *f, const char *name)
{
	*f = (struct slipring_filter){.name = mem_strdup(name),
	    .spare = BUF_INIT(PLUGIN_IMAGE_MAX),
	    .new_image = BUF_INIT(PLUGIN_IMAGE_MAX),
	    .old_image = BUF_INIT(PLUGIN_IMAGE_MAX)};
	f->record.f = f;
	verify_init(&f->verify, PLUGIN_IMAGE_MAX);
}

void
plugin_host_close(struct slipring_filter *f)
{
	free(f->name);
	buf_close(&f->spare);
	buf_close(&f->new_image);
	buf_close(&f->old_image);
	verify_close(&f->verify);
}
