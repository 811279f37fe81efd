/* daemon/paint.h - colours for people who look at a terminal. */
#ifndef DAEMON_PAINT_H
#define DAEMON_PAINT_H

#include <stdbool.h>

enum paint { PAINT_NONE, PAINT_GREEN, PAINT_YELLOW, PAINT_RED, PAINT_BOLD, PAINT_DIM };

/* choice: of --color; NULL or "auto": on a terminal that is not dumb, unless
 * NO_COLOR is set and not empty (no-color.org). */
bool paint_wanted(const char *choice, bool terminal);
/* The sequences around painted text; "" where no colour is wanted. */
const char *paint_on(bool color, enum paint p);
const char *paint_off(bool color, enum paint p);

#endif
