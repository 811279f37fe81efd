/* daemon/dlq.h - what the files of `slipring dlq` share: which letters are
 * meant, as options, as a query and as the body of a request to the daemon.
 *
 *   cmd_dlq.c        list, show
 *   cmd_dlq_work.c   replay, drop
 *   dlq_select.c     options <-> query <-> JSON
 *   dlq_routes.c     the daemon's side: POST /dlq/replay, POST /dlq/drop, GET /dlq/jobs
 */
#ifndef DAEMON_DLQ_H
#define DAEMON_DLQ_H

#include <jansson.h>

#include "checkpoint/letters.h"
#include "daemon/command.h"
#include "daemon/config.h"

struct dlq_select {
	struct letter_query query;	/* strings borrowed from args or JSON; ids owned */
	uint64_t *ids;			/* owned */
	char *key, *hash_key, *swapped; /* owned; see struct letter_query */
	bool any;			/* some selector was given */
};

/* ERR_USAGE. The options that a command does not have are not asked for. */
int dlq_select_args(struct dlq_select *s, const struct args *a, struct err *e) MUST_CHECK;
/* Where nothing was found: a sink that is not configured may be a slip of the pen. It is no
 * error, since letters outlive their sink. */
void dlq_select_remark(const struct dlq_select *s, const struct config *c);
json_t *dlq_select_json(const struct dlq_select *s); /* new reference; NULL: no UTF-8 */
/* Borrows from doc. ERR_USAGE says which member is wrong. */
int dlq_select_parse(struct dlq_select *s, const json_t *doc, struct err *e) MUST_CHECK;
void dlq_select_close(struct dlq_select *s);

/* Options of selection, for tables. */
#define DLQ_OPTIONS                                                                                \
	{.name = "sink", .value = "SINK", .doc = "those of this sink"},                            \
	    {.name = "reason", .value = "TEXT", .doc = "whose reason has this in it"},             \
	    {.name = "key",                                                                        \
		.value = "KEY",                                                                    \
		.doc =                                                                             \
		    "of one item: [\"o-1\",7], or {\"pk\":{\"S\":\"o-1\"},\"sk\":{\"N\":\"7\"}}"}, \
	    {.name = "older-than", .value = "AGE", .doc = "first refused longer ago, as in 2h"},   \
	    {.name = "younger-than", .value = "AGE", .doc = "first refused since then"},           \
	    {.name = "id", .value = "ID,...", .doc = "of these numbers: 3 or 3,5,9-12"},           \
	    {.name = "superseded", .doc = "whose item the sink has a newer change of"},            \
	{                                                                                          \
		.name = "limit", .value = "N", .doc = "the N oldest of them"                       \
	}

#endif
