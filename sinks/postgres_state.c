/* sinks/postgres_state.c - see postgres_state.h. */
#include "sinks/postgres_state.h"

#include <stdio.h>
#include <string.h>

static const struct pg_fault faults[] = {
    /* Single codes before their class. */
    {"25006", SINK_RETRY, PG_DROP,
	"the server is read-only (a standby, or default_transaction_read_only is on)"},
    {"53100", SINK_RETRY, 0, "the server's disk is full"},
    {"53300", SINK_RETRY, PG_DROP, "the server has too many connections"},
    {"54011", SINK_HALT, 0, NULL}, /* too many columns: of a table we create */
    {"55P03", SINK_RETRY, 0, "somebody else holds a lock"},
    {"55006", SINK_RETRY, 0, NULL}, /* object in use */
    {"55000", SINK_HALT, 0, NULL},  /* not in the state it must be in */
    {"57014", SINK_RETRY, 0, "canceled, or longer than statement-timeout"},
    {"57P04", SINK_HALT, PG_DROP, "the database was dropped"},
    {"26000", SINK_RETRY, PG_DROP,
	"a prepared statement is gone; a pooler must pool sessions, or know prepared statements"},
    {"42P05", SINK_RETRY, PG_DROP,
	"a prepared statement is there already; a pooler must pool sessions"},
    {"42501", SINK_HALT, 0, NULL}, /* permission */
    {"42P01", SINK_HALT, 0,
	"a table is missing (`slipring check --connect` prints how to create it, `create: true` "
	"does so)"},
    {"42P10", SINK_HALT, 0,
	"the table has no primary key or unique index on just the key's columns"},
    {"XX001", SINK_HALT, 0, "the server found its own data damaged"},
    {"XX002", SINK_HALT, 0, "the server found an index of its own damaged"},
    {"22P02", SINK_SPLIT, PG_QUIET, "a value that its type does not take"},
    {"22P05", SINK_SPLIT, PG_QUIET, "a character that text of the server cannot hold"},
    {"22021", SINK_SPLIT, PG_QUIET, "a character that the server's encoding does not have"},
    {"22007", SINK_SPLIT, PG_QUIET, "a time that is none"},
    {"22008", SINK_SPLIT, PG_QUIET, "a time out of range"},
    {"54000", SINK_SPLIT, 0, NULL}, /* an index row of more than 2704 bytes */

    {"08", SINK_RETRY, PG_DROP, NULL}, /* connection */
    {"0A", SINK_HALT, PG_DROP, NULL},  /* not supported: the table is of a kind that cannot do it */
    {"21", SINK_SPLIT, 0, NULL},       /* cardinality: one row twice */
    {"22", SINK_SPLIT, 0, NULL},       /* data */
    {"23", SINK_SPLIT, 0, NULL},       /* constraint; its words name it, the detail has the row */
    {"24", SINK_RETRY, PG_DROP, NULL}, /* cursor state */
    {"25", SINK_RETRY, PG_DROP, NULL}, /* transaction state, time-outs of idle sessions */
    {"27", SINK_SPLIT, 0, NULL},       /* a trigger changed the row itself */
    {"28", SINK_HALT, PG_DROP, NULL},  /* password, role, pg_hba.conf */
    {"2B", SINK_HALT, 0, NULL},
    {"2D", SINK_RETRY, PG_DROP, NULL},
    {"2F", SINK_SPLIT, PG_QUIET, "a function of the database failed"},
    {"38", SINK_SPLIT, PG_QUIET, "a function of the database failed"},
    {"39", SINK_SPLIT, PG_QUIET, "a function of the database failed"},
    {"3D", SINK_HALT, PG_DROP, NULL}, /* no such database */
    {"3F", SINK_HALT, 0, NULL},	      /* no such schema */
    {"40", SINK_RETRY, 0, "a deadlock, or a serialization failure"},
    {"42", SINK_HALT, 0, NULL},	 /* table, column, type, permission */
    {"44", SINK_SPLIT, 0, NULL}, /* WITH CHECK OPTION of a view */
    {"53", SINK_RETRY, 0, NULL}, /* resources */
    {"54", SINK_SPLIT, 0, NULL}, /* limits of the server that a row passes */
    {"55", SINK_RETRY, 0, NULL},
    {"57", SINK_RETRY, PG_DROP, NULL}, /* shut down, starting, ended by an administrator */
    {"58", SINK_RETRY, 0, NULL},       /* files of the server */
    {"F0", SINK_RETRY, 0, NULL},
    {"P0", SINK_SPLIT, PG_QUIET, "a trigger or a function of the database refused it"},
    {"XX", SINK_RETRY, PG_DROP, NULL},
};

#define OF_A_FUNCTION "P0001"

static const struct pg_fault unknown = {"", SINK_RETRY, PG_DROP, NULL};

const struct pg_fault *
pg_fault_of(const char *state)
{
	size_t n = strlen(state);

	for (size_t i = 0; n == SQLSTATE_LENGTH && i < ARRAY_LEN(faults); i++)
		if (strncmp(faults[i].state, state, strlen(faults[i].state)) == 0)
			return &faults[i];
	return &unknown;
}

void
pg_words(const char *words, char *out, size_t room)
{
	/* Where in the server's source it came from: of no use to anybody here. */
	const char *end = strstr(words, "\nLOCATION:");
	size_t n = 0;

	for (const char *p = words; *p != '\0' && p != end && n + 1 < room; p++) {
		bool blank = *p == '\n' || *p == '\t' || *p == ' ';

		if (blank && (n == 0 || out[n - 1] == ' '))
			continue;
		out[n++] = (char)(blank ? ' ' : *p);
	}
	while (n > 0 && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

/* A value stands behind the colon in what class 22 says: `invalid ...: "value"`. */
static void
cut_value(char *words)
{
	char *at = strstr(words, ": \"");

	if (at != NULL)
		*at = '\0';
}

const struct pg_fault *
pg_fault_say(const PGresult *res, const char *what, struct err *why)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *said = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	bool nested = PQresultErrorField(res, PG_DIAG_CONTEXT) != NULL;
	const struct pg_fault *f = pg_fault_of(state != NULL ? state : "");
	char words[256] = "";

	/* A code that a function of the database made up: it will say so again. */
	if (f == &unknown && nested)
		f = pg_fault_of(OF_A_FUNCTION);

	/* Without a code it is libpq itself that speaks: the connection. */
	if (said == NULL)
		said = PQresultErrorMessage(res);
	/* Said inside of something, it may be RAISE with any code and any words. */
	if (nested && f->what == NULL)
		said = "said by a function or trigger of the database; its words are not shown";
	if ((f->flags & PG_QUIET) == 0 && !(nested && f->what != NULL))
		pg_words(said, words, sizeof words);
	if (strncmp(f->state, "22", 2) == 0)
		cut_value(words);
	(void)err_set(why, f->verdict == SINK_RETRY ? ERR_NETWORK : ERR_REFUSED,
	    "postgres: %s: %s%s%s%s%s%s", what, f->what != NULL ? f->what : "",
	    f->what != NULL && words[0] != '\0' ? ": " : "", words,
	    state != NULL ? " (SQLSTATE " : "", state != NULL ? state : "",
	    state != NULL ? ")" : "");
	why->retriable = f->verdict == SINK_RETRY;
	return f;
}

static bool
is_state(const char *p)
{
	for (int i = 0; i < SQLSTATE_LENGTH; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z')))
			return false;
	return true;
}

/* "FATAL:  28P01: password authentication failed ...": libpq writes the severity, two
 * spaces and the code, whatever the language. */
void
pg_state_of_connection(const char *words, char state[SQLSTATE_LENGTH + 1])
{
	state[0] = '\0';
	for (const char *p = words; (p = strstr(p, ":  ")) != NULL; p += 3) {
		if (strlen(p) < 3 + SQLSTATE_LENGTH + 1 || !is_state(p + 3) ||
		    p[3 + SQLSTATE_LENGTH] != ':')
			continue;
		memcpy(state, p + 3, SQLSTATE_LENGTH);
		state[SQLSTATE_LENGTH] = '\0';
	}
}
