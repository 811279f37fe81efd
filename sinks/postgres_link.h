/* sinks/postgres_link.h - one connection on the loop, in pipeline mode.
 *
 *   connect -> up() -> prepare, execute ..., sync -> result() of each, synced()
 *                 '--------------- down() at any time -----------------'
 *
 * Knows libpq, descriptors and time limits; what is sent, and what an answer means,
 * is postgres_worker.c's. One segment (up to its sync) is on its way at a time. Sending never fails
 * on the spot: down() comes from the loop.
 *
 * A server that does not answer: after the time given, without a byte from it, the
 * connection is dropped. What it makes of what was sent is then unknown.
 *
 * Threading: loop thread; calls of the host come from the loop only, and from there it
 * may call anything but pg_link_close().
 */
#ifndef SINKS_POSTGRES_LINK_H
#define SINKS_POSTGRES_LINK_H

#include <libpq-fe.h>

#include "base/err.h"
#include "base/loop.h"

struct pg_link;

struct pg_link_host {
	void *ctx;
	void (*up)(void *ctx);
	/* Nothing is left of the connection. state: the SQLSTATE of a refused login, else "". */
	void (*down)(void *ctx, const struct err *why, const char *state);
	/* at: which command of the segment. A command that was skipped because of an error
	 * before it has PGRES_PIPELINE_ABORTED. */
	void (*result)(void *ctx, unsigned at, const PGresult *res);
	void (*synced)(void *ctx);
};

struct pg_param {      /* NULL: p == NULL */
	const char *p; /* borrowed until the call returns; text is NUL-terminated */
	size_t n;
	bool binary;
};

/* sink: its name, conninfo: both borrowed for life. */
struct pg_link *pg_link_new(struct loop *loop, const char *sink, const char *conninfo,
    int64_t answer_us, const struct pg_link_host *host);
void pg_link_close(struct pg_link *l); /* NULL allowed; without down() */

/* Not while it is up or connecting. */
void pg_link_connect(struct pg_link *l);
/* Without down(); the host knows. */
void pg_link_drop(struct pg_link *l);

void
pg_link_prepare(struct pg_link *l, const char *name, const char *sql, size_t n, const Oid *types);
void pg_link_query(struct pg_link *l, const char *sql, size_t n, const struct pg_param *v);
void pg_link_execute(struct pg_link *l, const char *name, size_t n, const struct pg_param *v);
/* Ends the segment and sends it. */
void pg_link_sync(struct pg_link *l);

bool pg_link_is_idle(const struct pg_link *l); /* up, and in no transaction */
/* NULL while it is down. */
const PGconn *pg_link_conn(const struct pg_link *l);

#define PG_PARAMS_MAX 1700 /* the server's own limit is 1,600 columns a table */

#endif
