/* base/buf.h - a growing byte buffer with a hard maximum.
 *
 * Appending past the maximum, or out of memory, sets `failed` and leaves the
 * bytes that are there alone; every later append is then a no-op, so a writer
 * checks once at the end. buf_reset() clears `failed`. Capacity is kept
 * across resets: a buffer that is reused stops allocating.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "base/slice.h"

struct buf {
	char *p; /* owned; not NUL-terminated unless buf_cstr() was called */
	size_t n;
	size_t cap;
	size_t max;
	bool failed;
};

#define BUF_INIT(maximum) ((struct buf){.max = (maximum)})

/* Room for `more` bytes after n: false (and failed) if that breaks the
 * maximum or memory is out. */
bool buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The bytes as a JSON string with its quotes. Control characters, '"' and
 * '\\' are escaped; other bytes pass as they are (UTF-8 in, UTF-8 out; bytes
 * that are not UTF-8 become U+FFFD). */
void buf_add_json_string(struct buf *b, struct slice s);
/* As the inside of a JSON string, and fit to be shown: DEL, C1 controls and
 * the marks that turn the direction of text are escaped too, so that no bytes can
 * drive a terminal or forge a line. */
void buf_add_visible(struct buf *b, struct slice s);
/* The same with '"' and '\\' left as they are: for text that people read. */
void buf_add_printable(struct buf *b, struct slice s);
/* Standard base64 with padding. */
void buf_add_base64(struct buf *b, const void *p, size_t n);
/* Appends a NUL that does not count in n, and returns p; "" if failed. */
const char *buf_cstr(struct buf *b);
void buf_close(struct buf *b); /* frees; the struct may be used again */

static inline void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

static inline void
buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

static inline void
buf_add_str(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

static inline void
buf_add_char(struct buf *b, char c)
{
	if (LIKELY(b->n < b->cap) && !b->failed)
		b->p[b->n++] = c;
	else
		buf_add(b, &c, 1);
}

static inline struct slice
buf_slice(const struct buf *b)
{
	return (struct slice){b->p != NULL ? b->p : "", b->n};
}

#endif
