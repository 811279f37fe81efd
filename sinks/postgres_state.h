/* sinks/postgres_state.h - what an SQLSTATE means for the records of a request.
 *
 * One table, by code and then by class, since nobody compares the words of an
 * error: they are translated, and change. The codes are those of the manual's
 * appendix "PostgreSQL Error Codes".
 *
 * Threading: pure.
 */
#ifndef SINKS_POSTGRES_STATE_H
#define SINKS_POSTGRES_STATE_H

#include <libpq-fe.h>

#include "sinks/sink.h"

#define SQLSTATE_LENGTH 5

enum {
	/* The session is of no use any more, or another server may be better. */
	PG_DROP = 1u << 0,
	/* The server's words may quote values; they are not shown. */
	PG_QUIET = 1u << 1,
};

struct pg_fault {
	const char *state; /* five characters, or two: a class */
	enum sink_verdict verdict;
	unsigned flags;
	const char
	    *what; /* for people, what it is and how to mend it; NULL: the server's words do */
};

/* Never NULL: what is in no class that we know is RETRY, which loses nothing. */
const struct pg_fault *pg_fault_of(const char *state);

/* "postgres: WHAT: words (SQLSTATE 22003)", from an error result; what: what was being
 * done. Returns the fault. */
const struct pg_fault *pg_fault_say(const PGresult *res, const char *what, struct err *why);

/* The code in the words of a failed connection, which libpq gives out in no other
 * way; conn had PQERRORS_VERBOSE set. "" if there is none: it was the network. Of several hosts'
 * the last. */
void pg_state_of_connection(const char *words, char state[SQLSTATE_LENGTH + 1]);
/* Copies what an error says, on one line. */
void pg_words(const char *words, char *out, size_t room);

#endif
