/* record/version.h - which of two writes of an item is the newer one, as text.
 *
 * LABEL/SEQUENCE, the stream's label (its time of creation, of fixed width) and the
 * sequence number padded to 40 digits, the most there are: byte order is the order of the
 * changes of one item, over shards and over streams that replace each other.
 * Targets keep it beside what they store and refuse what is not newer.
 */
#ifndef RECORD_VERSION_H
#define RECORD_VERSION_H

#include "record/record.h"

/* Appends it; out->failed tells of its maximum. */
void version_write(const struct record *r, const struct origin *o, struct buf *out);

#endif
