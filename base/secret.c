/* base/secret.c - see secret.h. */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void
secret_set(struct secret *s, struct slice value)
{
	char *bytes = mem_slicedup(value);

	secret_clear(s);
	s->bytes = bytes;
	s->n = value.n;
}

void
secret_clear(struct secret *s)
{
	if (s->bytes != NULL) {
		explicit_bzero(s->bytes, s->n);
		free(s->bytes);
	}
	s->bytes = NULL;
	s->n = 0;
}
