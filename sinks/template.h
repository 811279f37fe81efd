/* sinks/template.h - names of topics, tables and indices with placeholders:
 *
 *   {table}   the source table
 *   {stream}  its name in our configuration
 *   {event}   insert, modify or remove; "change" for one we do not know
 *
 * Threading: pure.
 */
#ifndef SINKS_TEMPLATE_H
#define SINKS_TEMPLATE_H

#include "record/record.h"

/* ERR_CONFIG: an unknown placeholder (with the nearest), a brace without its
 * partner, nothing at all. */
int template_check(const char *text, struct err *e) MUST_CHECK;
/* Does the outcome depend on the record ({event}), not on its origin alone? */
bool template_varies(const char *text);
/* Appends the name; text has passed template_check(). r may be NULL if it does not vary. */
void
template_write(const char *text, const struct record *r, const struct origin *o, struct buf *out);

#endif
