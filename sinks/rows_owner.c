/* sinks/rows_owner.c - whose items a table holds (see rows.h). */
#include "sinks/rows.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

struct rows_owner {
	struct rows_owner *next;
	char *table; /* owned */
	char *whose; /* owned; the source table's ARN */
};

/* Of the source's table: its streams replace each other, and a stream's name in our
 * configuration may change while dead letters have the old one. */
static struct slice
whose_is(const struct origin *o)
{
	const char *at = o->arn != NULL ? strstr(o->arn, "/stream/") : NULL;

	return at != NULL ? (struct slice){o->arn, (size_t)(at - o->arn)} : slice_of(o->table);
}

static const struct rows_owner *
owner_of(const struct rows_owner *o, const char *table, bool fold)
{
	while (o != NULL && (fold ? strcasecmp : strcmp)(o->table, table) != 0)
		o = o->next;
	return o;
}

int
rows_own(struct rows_owner **list, const char *table, const struct origin *origin, bool fold,
    struct err *e)
{
	const struct rows_owner *o = owner_of(*list, table, fold);
	struct slice whose = whose_is(origin);
	struct rows_owner *new;

	if (o != NULL && slice_is(whose, o->whose))
		return 0;
	if (o != NULL)
		return err_set(e, ERR_CONFIG,
		    "items of %.120s and of %.*s both go to table %.60s, where those of one key "
		    "would "
		    "overwrite each other: put {table} or {stream} into `table`, or use mode: log",
		    o->whose, (int)(whose.n > 120 ? 120 : whose.n), whose.p, table);
	new = mem_new(sizeof *new);
	*new = (struct rows_owner){
	    .next = *list, .table = mem_strdup(table), .whose = mem_slicedup(whose)};
	*list = new;
	return 0;
}

void
rows_owners_close(struct rows_owner **list)
{
	struct rows_owner *o;

	while ((o = *list) != NULL) {
		*list = o->next;
		free(o->table);
		free(o->whose);
		free(o);
	}
}
