/* record/rewrite.h - a record whose keys or images were replaced, as the JSON of
 * a record again.
 *
 * Everything that was not replaced stays byte for byte as it came, unknown
 * members too. Threading: pure.
 */
#ifndef RECORD_REWRITE_H
#define RECORD_REWRITE_H

#include "record/record.h"

/* The member beside eventID that holds a record's route. */
#define RECORD_ROUTE "slipringRoute"

/* Do keys or images lie outside the raw record? */
bool record_is_rewritten(const struct record *r);
/* Appends raw with the present keys, new_image, old_image and route; one whose p is
 * NULL is left out. out->failed tells of its maximum. */
void record_write(const struct record *r, struct buf *out);
/* The raw record as the service would have written it: without our member. */
void record_write_plain(const struct record *r, struct buf *out);

#endif
