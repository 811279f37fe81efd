/* sinks/route.h - names that filters chose for single records (struct delivery, route).
 *
 *   filter route --> delivery.route --> this check --> the target's own rules
 *
 * What is in such a name comes out of somebody's data, so a bad one is the fault of its
 * record alone (REJECT), where a bad name in the configuration stops the sink.
 *
 * Threading: pure.
 */
#ifndef SINKS_ROUTE_H
#define SINKS_ROUTE_H

#include "sinks/sink.h"

static inline bool
route_is_set(const struct delivery *d)
{
	return d->route.p != NULL;
}

static inline bool
route_same(struct slice a, struct slice b)
{
	return (a.p == NULL) == (b.p == NULL) && slice_eq(a, b);
}

/* ERR_REFUSED, without the name: it is data. Not empty, at most `most` bytes, none of quotes, backslashes and
 * control characters; so it is what it says without unescaping. */
int route_check(struct slice route, size_t most, struct err *e) MUST_CHECK;
/* The same for a table beside which we keep tables of our own: none that is called as those
 * are ("slipring_" in it, in any case). */
int route_check_table(struct slice route, size_t most, struct err *e) MUST_CHECK;

#endif
