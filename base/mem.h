/* base/mem.h - allocation of small things whose size we choose ourselves.
 *
 * These abort on exhaustion: a daemon that cannot get a hundred bytes cannot
 * do its work, and every acked record is already durable. Whatever is sized
 * by a peer, a file or the operator goes through malloc and returns an error.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

#include "base/slice.h"

void *mem_new(size_t size);			    /* zeroed */
void *mem_array(size_t count, size_t size);	    /* zeroed, overflow-checked */
void *mem_grow(void *p, size_t count, size_t size); /* realloc, overflow-checked */
char *mem_strdup(const char *s);		    /* NULL stays NULL */
char *mem_slicedup(struct slice s);		    /* NUL-terminated copy */

#endif
