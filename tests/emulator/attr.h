/* tests/emulator/attr.h - attribute values that clients send: checked, counted,
 * and brought into one form.
 */
#ifndef EMULATOR_ATTR_H
#define EMULATOR_ATTR_H

#include <jansson.h>

#include "base/buf.h"
#include "tests/emulator/model.h"

/* Bytes of all attributes as DynamoDB counts them, roughly; -1 with what is
 * wrong in *why. */
int64_t attr_map_size(const json_t *item, const char **why);
/* The key of an item or of a key map, as model_item() wants it, and its size.
 * exact: no other attribute may be there. False with *why. */
bool attr_key(const struct table *t, const json_t *item, bool exact, struct buf *out,
    uint32_t *bytes, const char **why);
/* Compact, names sorted: equal items give equal text. malloc'ed. */
char *attr_text(const json_t *item);

#endif
