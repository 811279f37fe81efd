/* sinks/postgres_dial.h - a connection to PostgreSQL, made on a thread of its own.
 *
 *   dial_start -> thread: look up, connect, TLS, log in -> wake -> dial_take
 *
 * Apart from the loop, since most of it would block there: names are looked up,
 * .pgpass, service and certificate files are read, a handshake is computed. An attempt
 * is made once; when to make another is the lane's. Every host of the connection
 * string gets its own time, so that one which is dead does not hide the next.
 *
 * Threading: the loop's thread, but pg_dial_now(), which blocks its caller.
 * Secrets: the connection string is in no message.
 */
#ifndef SINKS_POSTGRES_DIAL_H
#define SINKS_POSTGRES_DIAL_H

#include <libpq-fe.h>

#include "base/err.h"
#include "base/loop.h"
#include "sinks/postgres_state.h"

struct pg_dial;

struct pg_dialed {
	PGconn *conn; /* owned by who asked; NULL: it failed */
	struct err why;
	char state[SQLSTATE_LENGTH + 1]; /* of the failure; "": the network's */
};

/* conninfo is copied. wake is kicked when it is over, unless it was abandoned.
 * NULL with e: no thread could be begun. */
struct pg_dial *
pg_dial_start(const char *conninfo, const char *sink, struct loop_wake *wake, struct err *e);
/* False: not over yet. Else *out is filled and d gone. */
bool pg_dial_take(struct pg_dial *d, struct pg_dialed *out);
/* Nobody waits for it any more; it ends by itself, soon. NULL allowed. */
void pg_dial_abandon(struct pg_dial *d);

/* The same in the caller's thread. */
void pg_dial_now(const char *conninfo, const char *sink, struct pg_dialed *out);

#endif
