/* filters/filter_dedupe.c - `type: dedupe-unchanged`: no changes that change nothing.
 *
 * Images are equal by meaning (record/value.h), not by their bytes. What is to be ignored
 * is left out of both before they are compared.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/image.h"
#include "record/value.h"

struct dedupe_conf {
	struct conf_list ignore;
};

struct filter {
	const char *name;     /* borrowed */
	struct image *image;  /* owned; NULL: nothing is ignored */
	bool told;	      /* that an image is missing */
	struct buf values[2]; /* {"M": ...}: what is compared */
};

#define CONF(member) .ofs = offsetof(struct dedupe_conf, member)
static const struct conf_key keys[] = {
    {.name = "ignore",
	.type = CONF_LIST,
	CONF(ignore),
	.doc = "Paths whose changes do not count, such as updated_at; by default none."},
    {.name = NULL},
};

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	image_close(f->image);
	buf_close(&f->values[0]);
	buf_close(&f->values[1]);
	free(f);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct dedupe_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);

	f->name = name;
	f->values[0] = f->values[1] = BUF_INIT(LIMIT_PAGE_BODY + 16u);
	if (c->ignore.n != 0) {
		f->image = image_new(IMAGE_EDIT);
		if (image_add_list(f->image, "ignore", &c->ignore, e) != 0) {
			close_filter(f);
			return -1;
		}
	}
	*out = f;
	return 0;
}

static int
check(const void *conf, struct err *e)
{
	struct filter *f;

	if (open_filter(&f, "", conf, e) != 0)
		return -1;
	close_filter(f);
	return 0;
}

static int
suits(const void *conf, const struct filter_stream *s, struct err *e)
{
	(void)conf;
	if (strcmp(s->view, "NEW_AND_OLD_IMAGES") == 0 || strcmp(s->view, "unknown") == 0)
		return 0;
	return err_set(e, ERR_CONFIG,
	    "it compares both images, and a stream of view type %s does not have them; it must be "
	    "NEW_AND_OLD_IMAGES",
	    s->view);
}

static enum image_act
leave_out(void *arg, struct image_at *at)
{
	(void)arg;
	(void)at;
	return IMAGE_DROP;
}

/* The image as a map value, without what is ignored. */
static bool
read_value(struct filter *f, struct slice image, struct slice keys_, struct buf *out)
{
	enum image_result result = IMAGE_SAME;

	buf_reset(out);
	buf_add_str(out, "{\"M\":");
	if (f->image != NULL)
		result = image_apply(f->image, image, keys_, leave_out, NULL, out);
	if (result == IMAGE_SAME)
		buf_add_slice(out, image);
	buf_add_char(out, '}');
	return !out->failed;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	(void)o;
	if (r->event != RECORD_MODIFY)
		return FILTER_KEEP;
	if (r->new_image.p == NULL || r->old_image.p == NULL) {
		if (!f->told)
			log_warn("filter", f->name,
			    "keeps what it cannot compare: records have no %s image; the stream's "
			    "view type must be NEW_AND_OLD_IMAGES",
			    r->new_image.p == NULL ? "new" : "old");
		f->told = true;
		return FILTER_KEEP;
	}
	if (slice_eq(r->new_image, r->old_image))
		return FILTER_DROP;
	if (!read_value(f, r->new_image, r->keys, &f->values[0]) ||
	    !read_value(f, r->old_image, r->keys, &f->values[1]))
		return image_verdict(IMAGE_TOO_LARGE, why);
	return value_eq(buf_slice(&f->values[0]), buf_slice(&f->values[1])) ? FILTER_DROP
									    : FILTER_KEEP;
}

const struct filter_ops filter_dedupe = {
    .api = FILTER_API,
    .type = "dedupe-unchanged",
    .help = "Drops updates that change nothing, or only attributes that do not count.",
    .conf_size = sizeof(struct dedupe_conf),
    .keys = keys,
    .check = check,
    .suits = suits,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
