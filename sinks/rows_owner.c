/* sinks/rows_owner.c - whose items a table holds (see rows.h). */
#include "sinks/rows.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

struct rows_owner {
	struct rows_owner *next;
	char *table, *stream; /* owned */
};

static const struct rows_owner *
owner_of(const struct rows_owner *o, const char *table, bool fold)
{
	while (o != NULL && (fold ? strcasecmp : strcmp)(o->table, table) != 0)
		o = o->next;
	return o;
}

int
rows_own(struct rows_owner **list, const char *table, const char *stream, bool fold, struct err *e)
{
	const struct rows_owner *o = owner_of(*list, table, fold);
	struct rows_owner *new;

	if (o != NULL && strcmp(o->stream, stream) == 0)
		return 0;
	if (o != NULL)
		return err_set(e, ERR_CONFIG,
		    "streams %.60s and %.60s both go to table %.100s, where items of one key would "
		    "overwrite each other: put {table} or {stream} into `table`, or use mode: log",
		    o->stream, stream, table);
	new = mem_new(sizeof *new);
	*new = (struct rows_owner){
	    .next = *list, .table = mem_strdup(table), .stream = mem_strdup(stream)};
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
		free(o->stream);
		free(o);
	}
}
