/* record/version.c - see version.h. */
#include "record/version.h"

void
version_write(const struct record *r, const struct origin *o, struct buf *out)
{
	buf_add_str(out, o->label);
	buf_add_char(out, '/');
	buf_add(out, r->seq.digits, sizeof r->seq.digits);
}
