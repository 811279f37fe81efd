/* daemon/paint.c - see paint.h. */
#include "daemon/paint.h"

#include <stdlib.h>
#include <string.h>

bool
paint_wanted(const char *choice, bool terminal)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (choice != NULL && strcmp(choice, "auto") != 0)
		return strcmp(choice, "always") == 0;
	return terminal && (no_color == NULL || no_color[0] == '\0') &&
	    (term == NULL || strcmp(term, "dumb") != 0);
}

const char *
paint_on(bool color, enum paint p)
{
	static const char *const on[] = {
	    "", "\033[32m", "\033[33m", "\033[31m", "\033[1m", "\033[2m"};

	return color ? on[p] : "";
}

const char *
paint_off(bool color, enum paint p)
{
	return color && p != PAINT_NONE ? "\033[0m" : "";
}
