/* base/compiler.h - the GNU C features we use, under one name each.
 *
 * gcc 12 and clang 14 are the floor; nothing else in the tree spells
 * __attribute__ itself.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define FALLTHROUGH __attribute__((fallthrough))
#define NULL_ENDED __attribute__((sentinel)) /* the variable arguments end with NULL */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define UNUSED __attribute__((unused))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A pointer that comes back through a library's void * is checked before it
 * is used: every such struct begins with `uint32_t magic`. */
static inline void *
magic_check(void *p, uint32_t magic)
{
	assert(p != NULL && *(const uint32_t *)p == magic);
	return p;
}

#endif
