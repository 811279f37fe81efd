/* record/instant.h - points in time as text.
 *
 * Microseconds since 1970, in the years 1 to 9999, which is what RFC 3339 can
 * write.
 */
#ifndef RECORD_INSTANT_H
#define RECORD_INSTANT_H

#include <stdint.h>

#include "base/slice.h"

/* A JSON number of seconds ("1.46480431E9", "1568013979.0"), exactly: decimal
 * arithmetic on its text. Digits below a microsecond are dropped. False if it
 * falls outside the years above. */
bool instant_parse(struct slice number, int64_t *us);

#endif
