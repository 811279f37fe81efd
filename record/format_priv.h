/* record/format_priv.h - private to record/: one writer per format.
 *
 * Each appends to out and returns NULL, or what is wrong with the record.
 * Running into out's maximum is not said here: out->failed is.
 */
#ifndef RECORD_FORMAT_PRIV_H
#define RECORD_FORMAT_PRIV_H

#include "record/record.h"

/* An image or "null" when it is absent. */
const char *plain_add_image(struct slice image, struct buf *out);
const char *plain_add_value(struct slice value, struct buf *out);
const char *plain_add_record(const struct record *r, struct buf *out);
const char *envelope_add_record(const struct record *r, const struct origin *o, struct buf *out);
const char *debezium_add_record(const struct record *r, const struct origin *o, struct buf *out);

#endif
