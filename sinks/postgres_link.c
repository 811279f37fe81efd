/* sinks/postgres_link.c - see postgres_link.h. */
#include "sinks/postgres_link.h"

#include <string.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "sinks/postgres_dial.h"

#define LINK_MAGIC 0x70676c6bu

struct pg_link {
	uint32_t magic;
	struct loop *loop;
	const char *sink, *conninfo; /* borrowed */
	int64_t answer_us;
	struct pg_link_host host;
	struct loop_wake *wake;	  /* owned */
	struct loop_timer *limit; /* owned: until the server must have said something */
	struct loop_timer *soon;  /* owned: a failure that was seen while sending */
	struct pg_dial *dial;	  /* owned; NULL: not connecting */
	PGconn *conn;		  /* owned; NULL: down */
	struct loop_io *io;	  /* owned, while conn is */
	unsigned queued;	  /* commands of the segment */
	unsigned at;		  /* the one whose result is awaited */
	bool waiting;		  /* a sync is out */
	bool broken;		  /* sending failed */
	struct err no_thread;	  /* with `soon` and no conn */
	const char **values;	  /* owned; for PQsend...(): PG_PARAMS_MAX long */
	int *lengths, *formats;	  /* owned */
};

/* ---- ends ---- */

static void
let_go(struct pg_link *l)
{
	if (l->io != NULL)
		loop_io_close(l->io);
	l->io = NULL;
	PQfinish(l->conn);
	l->conn = NULL;
	pg_dial_abandon(l->dial);
	l->dial = NULL;
	l->queued = l->at = 0;
	l->waiting = l->broken = false;
	loop_timer_disarm(l->limit);
	loop_timer_disarm(l->soon);
}

void
pg_link_drop(struct pg_link *l)
{
	let_go(l);
}

static void
go_down(struct pg_link *l, const struct err *why, const char *state)
{
	let_go(l);
	l->host.down(l->host.ctx, why, state);
}

static void
lost(struct pg_link *l)
{
	struct err why;
	char words[256];

	pg_words(PQerrorMessage(l->conn), words, sizeof words);
	(void)err_retry(&why, ERR_NETWORK, "postgres: connection lost%s%s",
	    words[0] != '\0' ? ": " : "", words);
	go_down(l, &why, "");
}

static void
on_limit(void *arg)
{
	struct pg_link *l = magic_check(arg, LINK_MAGIC);
	struct err why;

	(void)err_retry(&why, ERR_NETWORK, "postgres: no answer within %lld s; connection dropped",
	    (long long)(l->answer_us / USEC_SEC));
	go_down(l, &why, "");
}

static void
on_soon(void *arg)
{
	struct pg_link *l = magic_check(arg, LINK_MAGIC);

	if (l->conn != NULL)
		lost(l);
	else
		go_down(l, &l->no_thread, "");
}

/* ---- reading ---- */

/* False: the host has let go of the connection, or it is lost. */
static bool
hand_on(struct pg_link *l, PGresult *res)
{
	const PGconn *before = l->conn;

	if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
		l->queued = l->at = 0;
		l->waiting = false;
		loop_timer_disarm(l->limit);
		l->host.synced(l->host.ctx);
	} else {
		l->host.result(l->host.ctx, l->at++, res);
	}
	return l->conn == before;
}

/* Every command has one result and then a NULL; a sync has a result alone. */
static void
drain(struct pg_link *l)
{
	unsigned nothing = 0;

	while (l->conn != NULL && PQisBusy(l->conn) == 0 && l->waiting && nothing < 2) {
		PGresult *res = PQgetResult(l->conn);
		bool on;

		nothing = res == NULL ? nothing + 1 : 0;
		if (res == NULL)
			continue;
		on = hand_on(l, res);
		PQclear(res);
		if (!on)
			return;
	}
	if (l->conn != NULL && PQstatus(l->conn) == CONNECTION_BAD)
		lost(l);
}

static bool
flush(struct pg_link *l)
{
	int r = PQflush(l->conn);

	if (r < 0) {
		/* What the server said before it hung up is worth more than a broken pipe. */
		if (PQconsumeInput(l->conn) == 0)
			l->broken = true;
		return false;
	}
	loop_io_set(l->io, r > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
	return true;
}

static void
on_io(void *arg, int fd, unsigned events)
{
	struct pg_link *l = magic_check(arg, LINK_MAGIC);
	bool eof;

	(void)fd;
	if ((events & LOOP_WRITE) != 0 && l->waiting) {
		/* A large batch on a slow line: what was taken off us is a sign of life too. */
		if (flush(l))
			loop_timer_arm(l->limit, l->answer_us);
		else if (l->broken)
			loop_timer_arm(l->soon, 0);
	}
	if ((events & LOOP_READ) == 0)
		return;
	eof = PQconsumeInput(l->conn) == 0;
	if (l->waiting)
		loop_timer_arm(l->limit, l->answer_us);
	drain(l);
	if (eof && l->conn != NULL)
		lost(l);
}

/* The words of RAISE may hold what a record holds; only the server's own are shown. */
static void
on_notice(void *arg, const PGresult *res)
{
	struct pg_link *l = magic_check(arg, LINK_MAGIC);
	const char *severity = PQresultErrorField(res, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *said = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	bool warning = severity != NULL && strcmp(severity, "NOTICE") != 0 &&
	    strcmp(severity, "INFO") != 0 && strcmp(severity, "DEBUG") != 0;

	if (state != NULL && strcmp(state, "42P07") == 0) /* IF NOT EXISTS: it exists */
		return;
	if (PQresultErrorField(res, PG_DIAG_CONTEXT) != NULL || said == NULL)
		said = "from a function of the database; its words are not shown";
	log_line(warning ? LOG_WARN : LOG_INFO, "postgres", l->sink,
	    "the server says: %s sqlstate=%s", said, state != NULL ? state : "");
}

/* ---- connecting ---- */

static void
begin_session(struct pg_link *l)
{
	PQsetNoticeReceiver(l->conn, on_notice, l);
	if (PQsetnonblocking(l->conn, 1) != 0 || PQenterPipelineMode(l->conn) == 0) {
		lost(l);
		return;
	}
	l->io = loop_io_new(l->loop, PQsocket(l->conn), LOOP_READ, on_io, l);
	l->host.up(l->host.ctx);
}

static void
on_dialed(void *arg)
{
	struct pg_link *l = magic_check(arg, LINK_MAGIC);
	struct pg_dialed got;

	if (l->dial == NULL || !pg_dial_take(l->dial, &got))
		return;
	l->dial = NULL;
	l->conn = got.conn;
	if (l->conn != NULL)
		begin_session(l);
	else
		go_down(l, &got.why, got.state);
}

void
pg_link_connect(struct pg_link *l)
{
	assert(l->conn == NULL && l->dial == NULL);
	l->dial = pg_dial_start(l->conninfo, l->sink, l->wake, &l->no_thread);
	if (l->dial == NULL)
		loop_timer_arm(l->soon, 0);
}

/* ---- sending ---- */

static void
sent(struct pg_link *l, int ok)
{
	l->queued++;
	l->broken = l->broken || ok == 0;
}

static bool
spread(struct pg_link *l, size_t n, const struct pg_param *v)
{
	assert(l->conn != NULL && !l->waiting && n <= PG_PARAMS_MAX);
	for (size_t i = 0; i < n; i++) {
		l->values[i] = v[i].p;
		l->lengths[i] = (int)v[i].n;
		l->formats[i] = v[i].binary;
	}
	return !l->broken;
}

void
pg_link_prepare(struct pg_link *l, const char *name, const char *sql, size_t n, const Oid *types)
{
	if (spread(l, 0, NULL))
		sent(l, PQsendPrepare(l->conn, name, sql, (int)n, types));
}

void
pg_link_query(struct pg_link *l, const char *sql, size_t n, const struct pg_param *v)
{
	if (spread(l, n, v))
		sent(l,
		    PQsendQueryParams(
			l->conn, sql, (int)n, NULL, l->values, l->lengths, l->formats, 0));
}

void
pg_link_execute(struct pg_link *l, const char *name, size_t n, const struct pg_param *v)
{
	if (spread(l, n, v))
		sent(l,
		    PQsendQueryPrepared(
			l->conn, name, (int)n, l->values, l->lengths, l->formats, 0));
}

void
pg_link_sync(struct pg_link *l)
{
	assert(!l->waiting);
	if (!l->broken && PQpipelineSync(l->conn) == 0)
		l->broken = true;
	l->waiting = true;
	if (!l->broken)
		(void)flush(l);
	if (l->broken)
		loop_timer_arm(l->soon, 0);
	else
		loop_timer_arm(l->limit, l->answer_us);
}

bool
pg_link_is_idle(const struct pg_link *l)
{
	return l->conn != NULL && PQtransactionStatus(l->conn) == PQTRANS_IDLE;
}

const PGconn *
pg_link_conn(const struct pg_link *l)
{
	return l->conn;
}

/* ---- the life of it ---- */

struct pg_link *
pg_link_new(struct loop *loop, const char *sink, const char *conninfo, int64_t answer_us,
    const struct pg_link_host *host)
{
	struct pg_link *l = mem_new(sizeof *l);

	l->magic = LINK_MAGIC;
	l->loop = loop;
	l->sink = sink;
	l->conninfo = conninfo;
	l->answer_us = answer_us;
	l->host = *host;
	l->wake = loop_wake_new(loop, on_dialed, l);
	l->limit = loop_timer_new(loop, on_limit, l);
	l->soon = loop_timer_new(loop, on_soon, l);
	l->values = mem_array(PG_PARAMS_MAX, sizeof *l->values);
	l->lengths = mem_array(PG_PARAMS_MAX, sizeof *l->lengths);
	l->formats = mem_array(PG_PARAMS_MAX, sizeof *l->formats);
	return l;
}

void
pg_link_close(struct pg_link *l)
{
	if (l == NULL)
		return;
	let_go(l);
	loop_wake_close(l->wake);
	loop_timer_close(l->limit);
	loop_timer_close(l->soon);
	free(l->values);
	free(l->lengths);
	free(l->formats);
	free(l);
}
