/* filters/image.h - an image with values at some paths left out, replaced or renamed, in
 * one walk.
 *
 *   paths --image_add()--> struct image --image_record(record, fn)--> both images anew
 *
 * What no path leads to is copied as it stands, in runs as long as they come; nothing
 * is written while nothing changes. No allocation per record: buffers are kept.
 *
 * Key attributes stay as they are, whatever the paths say: fn is told (image_at.key) and
 * its answer is ignored. fn never sees what is inside of a value that it dropped or replaced.
 *
 * Ownership: image_new() makes, image_close() frees. Threading: loop thread.
 */
#ifndef FILTERS_IMAGE_H
#define FILTERS_IMAGE_H

#include "filters/filter.h"
#include "record/path.h"

struct image;

enum image_mode {
	IMAGE_EDIT, /* what no path leads to stays */
	IMAGE_PICK, /* only what a path leads to stays, and what is around it; fn is not asked */
};

enum image_act {
	IMAGE_KEEP, /* and go on to what paths lead to inside of it */
	IMAGE_DROP, /* elements behind it move up */
	IMAGE_REPLACE,
};

struct image_at {
	size_t rule;	     /* which path, counted from 0 in the order of image_add() */
	bool key;	     /* a key attribute, which stays */
	struct slice name;   /* raw, between its quotes; SLICE_NONE: an element of a list. fn may
	                      * set another raw name, which lives until it is called again */
	struct slice value;  /* {"S":"x"}; of an IMAGE_ADD that is not there: SLICE_NONE */
	struct slice around; /* the JSON object or array that it is in */
	struct slice with;   /* REPLACE: set by fn to DynamoDB JSON of one value, which lives
	                      * until fn is called again */
};

enum {
	/* Where the map is there and the member is not, fn is asked at its end: REPLACE adds
	 * it. The path's last step must be a plain name. */
	IMAGE_ADD = 1u << 0,
};

typedef enum image_act image_fn(void *arg, struct image_at *at);

enum image_result {
	IMAGE_SAME,
	IMAGE_CHANGED,
	IMAGE_TOO_LARGE, /* or out of memory */
};

struct image *image_new(enum image_mode mode);
void image_close(struct image *im); /* NULL allowed */
/* Stars allowed. Where several paths lead to one value, the earlier is asked first, and the
 * next only after KEEP without another name. ERR_CONFIG. */
int image_add(struct image *im, const char *path, unsigned flags, struct err *e) MUST_CHECK;
/* All of a list in that order; `key` is said in front of errors. */
int image_add_list(
    struct image *im, const char *key, const struct conf_list *paths, struct err *e) MUST_CHECK;
size_t image_count(const struct image *im);
const struct path *image_path(const struct image *im, size_t rule);

/* The path among them that names exactly one of these key attributes; NULL: none does. */
const struct path *image_key_path(const struct image *im, const struct key_schema *schema);

/* Appends to out if and only if the answer is IMAGE_CHANGED. keys: the record's Keys, or
 * SLICE_NONE: nothing is a key attribute. image may be SLICE_NONE: IMAGE_SAME. */
enum image_result image_apply(struct image *im, struct slice image, struct slice keys, image_fn *fn,
    void *arg, struct buf *out);
/* Both images of r. CHANGED: they lie in memory of im's until the next call; otherwise r is
 * as it was. */
enum image_result image_record(struct image *im, struct record *r, image_fn *fn, void *arg);
/* The same as what a filter answers: KEEP, REWRITE or REJECT. */
enum filter_verdict
image_filter(struct image *im, struct record *r, image_fn *fn, void *arg, struct err *why);
enum filter_verdict image_verdict(enum image_result result, struct err *why);

#endif
