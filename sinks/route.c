/* sinks/route.c - see route.h. */
#include "sinks/route.h"

#include <strings.h>

static const char ours[] = "slipring_";

int
route_check(struct slice route, size_t most, struct err *e)
{
	if (route.n == 0)
		return err_set(e, ERR_REFUSED, "the route of this record is an empty name");
	if (route.n > most)
		return err_set(e, ERR_REFUSED,
		    "the route of this record is a name of %zu bytes, and at most %zu are allowed",
		    route.n, most);
	for (size_t i = 0; i < route.n; i++)
		if ((unsigned char)route.p[i] < ' ' || route.p[i] == 0x7f || route.p[i] == '\\')
			return err_set(e, ERR_REFUSED,
			    "the route of this record holds a quote, a backslash or a control "
			    "character");
	return 0;
}

int
route_check_table(struct slice route, size_t most, struct err *e)
{
	if (route_check(route, most, e) != 0)
		return -1;
	for (size_t i = 0; i + sizeof ours - 1 <= route.n; i++)
		if (strncasecmp(route.p + i, ours, sizeof ours - 1) == 0)
			return err_set(e, ERR_REFUSED,
			    "the route of this record is a name with slipring_ in it, as our own "
			    "tables are called");
	return 0;
}
