/* base/secret.h - bytes that must not be printed, wiped when they go.
 *
 * There is deliberately no function that formats a secret. Owner: whoever
 * called secret_set(); secret_clear() wipes and frees.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/slice.h"

struct secret {
	char *bytes; /* owned, NUL-terminated for libraries; NULL when unset */
	size_t n;
};

void secret_set(struct secret *s, struct slice value); /* copies; wipes what was there */
void secret_clear(struct secret *s);

#endif
