/* filters/crypt_path.h - an attribute path as a sealed value is bound to it.
 *
 * Names one after the other, each with its length; an element of a list is an element,
 * whichever it is: lists move when something is taken out, and every copy of the value would
 * be another text. Threading: pure.
 */
#ifndef FILTERS_CRYPT_PATH_H
#define FILTERS_CRYPT_PATH_H

#include "base/buf.h"
#include "record/path.h"

static inline void
crypt_path_name(struct buf *out, struct slice plain)
{
	buf_addf(out, "n%zu:", plain.n);
	buf_add_slice(out, plain);
}

static inline void
crypt_path_element(struct buf *out)
{
	buf_add_char(out, 'e');
}

/* The first n steps, none of which is a name with a star. */
static inline void
crypt_path_steps(struct buf *out, const struct path *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct path_step *s = &p->steps[i];

		if (s->kind == PATH_NAME)
			crypt_path_name(out, (struct slice){s->name, s->name_n});
		else
			crypt_path_element(out);
	}
}

#endif
