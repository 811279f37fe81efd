/* sinks/rows_priv.h - private to sinks/rows*.c: where a column's value is from. */
#ifndef SINKS_ROWS_PRIV_H
#define SINKS_ROWS_PRIV_H

#include "record/path.h"
#include "sinks/rows.h"

enum rows_source {
	FROM_PATH, /* of the new image; in a log, of the old one when there is no new */
	FROM_KEY,
	FROM_IMAGE, /* the whole of it: path "." */
	FROM_VERSION,
	FROM_STREAM,
	FROM_SHARD,
	FROM_SEQUENCE,
	FROM_EVENT_ID,
	FROM_EVENT,
	FROM_CREATED,
	FROM_KEYS,
	FROM_NEW,
	FROM_OLD,
};

/* "TYPE" or "TYPE PATH" of a column `name`. */
int rows_mapping_parse(const char *name, const char *text, enum column_type *type,
    struct path **path, struct err *e) MUST_CHECK;

/* One attribute value into the cell of a column. ERR_REFUSED with what is wrong, the
 * column not named yet. */
int rows_value(struct slice value, enum column_type type, unsigned flags, struct buf *arena,
    struct rows_cell *c, struct err *e) MUST_CHECK;
/* Of a key attribute: of the one type that its column was made for. */
int rows_key_value(struct slice value, enum column_type type, unsigned flags, struct buf *arena,
    struct rows_cell *c, struct err *e) MUST_CHECK;
/* A raw JSON string, unescaped. */
int rows_text(struct slice raw, unsigned flags, struct buf *arena, struct rows_cell *c,
    struct err *e) MUST_CHECK;
/* An image in the plain form. */
int rows_json(struct slice image, unsigned flags, struct buf *arena, struct rows_cell *c,
    struct err *e) MUST_CHECK;
/* ISO 8601: a date, or date and time with a zone (none: UTC). */
bool rows_time_parse(struct slice text, int64_t *us);

#endif
