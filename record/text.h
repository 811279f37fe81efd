/* record/text.h - private to record/: raw JSON strings as the text they mean.
 * The public half is in value.h. */
#ifndef RECORD_TEXT_H
#define RECORD_TEXT_H

#include "base/buf.h"
#include "base/slice.h"

static inline bool
text_has_escape(struct slice raw)
{
	return raw.n != 0 && memchr(raw.p, '\\', raw.n) != NULL;
}

/* Order of the unescaped bytes; a lone surrogate counts as its code point. */
int text_cmp(struct slice raw_a, struct slice raw_b);
/* The string with its quotes, in the one spelling that all equal strings share:
 * only what must be escaped is (and a lone surrogate, which has no other form). */
void text_write_canonical(struct slice raw, struct buf *out);

#endif
