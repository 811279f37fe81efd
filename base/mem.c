/* base/mem.c - see mem.h. */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>

static void *
checked(void *p)
{
	if (p == NULL) {
		(void)fputs("slipring: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *
mem_new(size_t size)
{
	return checked(calloc(1, size != 0 ? size : 1));
}

void *
mem_array(size_t count, size_t size)
{
	return checked(calloc(count != 0 ? count : 1, size));
}

void *
mem_grow(void *p, size_t count, size_t size)
{
	return checked(reallocarray(p, count != 0 ? count : 1, size));
}

char *
mem_strdup(const char *s)
{
	return s != NULL ? checked(strdup(s)) : NULL;
}

char *
mem_slicedup(struct slice s)
{
	char *p = checked(malloc(s.n + 1));

	if (s.n != 0)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p;
}
