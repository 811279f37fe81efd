/* sinks/postgres_dial.c - see postgres_dial.h.
 *
 * libpq's own way of connecting without blocking (PQconnectPoll) is used for the sake
 * of two things that PQconnectdb() cannot: the SQLSTATE of a refusal, which is only in the
 * words when they are verbose, and an end at any moment. What it lacks is a limit of time
 * a host, so when one does not answer, the connection is begun again with the hosts
 * behind it.
 */
#include "sinks/postgres_dial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

/* A host, unless connect_timeout says otherwise. */
#define HOST_SECONDS 10
/* How long a close waits for the thread: it ends at once, unless it is looking up a name. */
#define END_SECONDS 1

struct hosts { /* comma-separated lists as libpq wants them; all owned, NULL: as given */
	char *host, *hostaddr, *port;
};

struct pg_dial {
	char *conninfo; /* owned, wiped */
	char *sink;	/* owned */
	pthread_t thread;
	int cancel;		/* owned: an eventfd */
	pthread_mutex_t lock;	/* for all below */
	struct loop_wake *wake; /* NULL: abandoned */
	bool done;
	struct pg_dialed result;
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	/* banned-ok: clock_gettime: a thread without a loop */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- hosts ---- */

static void
hosts_close(struct hosts *h)
{
	free(h->host);
	free(h->hostaddr);
	free(h->port);
	*h = (struct hosts){NULL, NULL, NULL};
}

/* Element n of a list of that kind; an empty slice behind its end. */
static struct slice
element(const char *list, size_t n)
{
	const char *p = list != NULL ? list : "", *end;

	for (; n > 0 && *p != '\0'; n--) {
		p = strchr(p, ',');
		if (p == NULL)
			return SLICE_LIT("");
		p++;
	}
	end = strchr(p, ',');
	return (struct slice){p, end != NULL ? (size_t)(end - p) : strlen(p)};
}

static size_t
elements(const char *list)
{
	size_t n = list != NULL && *list != '\0';

	for (const char *p = list; n != 0 && *p != '\0'; p++)
		n += *p == ',';
	return n;
}

static char *
behind(const char *list, size_t n)
{
	struct slice s = element(list, n);

	if (elements(list) == 0)
		return NULL;
	return elements(list) == 1 ? mem_strdup(list) : mem_strdup(s.p);
}

static const char *
option(const PQconninfoOption *v, const char *name)
{
	for (; v->keyword != NULL; v++)
		if (strcmp(v->keyword, name) == 0)
			return v->val;
	return NULL;
}

static bool
is_current(const PQconninfoOption *v, const PGconn *conn, size_t n)
{
	const char *host = option(v, "host"), *addr = option(v, "hostaddr");
	const char *port = option(v, "port");

	return (elements(host) == 0 || slice_is(element(host, n), PQhost(conn))) &&
	    (element(addr, n).n == 0 || slice_is(element(addr, n), PQhostaddr(conn))) &&
	    (elements(port) < 2 || slice_is(element(port, n), PQport(conn)));
}

/* The hosts behind the one that conn is trying; false: there is none. */
static bool
hosts_behind(PGconn *conn, struct hosts *out)
{
	PQconninfoOption *v = PQconninfo(conn);
	size_t n = 0, count;

	if (v == NULL)
		return false;
	count = elements(option(v, "host"));
	if (elements(option(v, "hostaddr")) > count)
		count = elements(option(v, "hostaddr"));
	while (n < count && !is_current(v, conn, n))
		n++;
	if (n + 1 < count) {
		hosts_close(out);
		out->host = behind(option(v, "host"), n + 1);
		out->hostaddr = behind(option(v, "hostaddr"), n + 1);
		out->port = behind(option(v, "port"), n + 1);
	}
	PQconninfoFree(v);
	return n + 1 < count;
}

/* ---- an attempt ---- */

static int64_t
host_patience(PGconn *conn)
{
	PQconninfoOption *v = PQconninfo(conn);
	const char *text = v != NULL ? option(v, "connect_timeout") : NULL;
	long seconds = text != NULL ? strtol(text, NULL, 10) : 0;

	PQconninfoFree(v);
	if (seconds <= 0)
		seconds = HOST_SECONDS;
	return (seconds < 2 ? 2 : seconds > 3600 ? 3600 : seconds) * 1000; /* as libpq bounds it */
}

static PGconn *
begin(const char *conninfo, const char *sink, const struct hosts *h)
{
	char name[80];
	/* What stands before dbname is a default, what stands behind it holds. */
	const char *keys[9] = {
	    "target_session_attrs", "fallback_application_name", "dbname", "client_encoding", NULL};
	const char *values[9] = {"read-write", name, conninfo, "UTF8", NULL};
	size_t n = 4;
	PGconn *conn;

	(void)snprintf(name, sizeof name, "slipring %.64s", sink);
	if (h->host != NULL) {
		keys[n] = "host";
		values[n++] = h->host;
	}
	if (h->hostaddr != NULL) {
		keys[n] = "hostaddr";
		values[n++] = h->hostaddr;
	}
	if (h->port != NULL) {
		keys[n] = "port";
		values[n++] = h->port;
	}
	conn = PQconnectStartParams(keys, values, 1);
	if (conn != NULL)
		(void)PQsetErrorVerbosity(conn, PQERRORS_VERBOSE);
	return conn;
}

enum outcome { UP, REFUSED, SILENT, CANCELED };

/* Until libpq may go on; false: time is over or nobody wants it any more. */
static bool
await(
    const PGconn *conn, PostgresPollingStatusType st, int cancel, int64_t until, enum outcome *why)
{
	struct pollfd fds[2] = {
	    {.fd = PQsocket(conn),
		.events = (short)(st == PGRES_POLLING_READING ? POLLIN : POLLOUT)},
	    {.fd = cancel, .events = POLLIN}};
	int64_t left = until - now_ms();

	if (left > 0 && poll(fds, 2, (int)left) < 0)
		return true;
	if ((fds[1].revents & POLLIN) != 0)
		*why = CANCELED;
	else if (left <= 0 || fds[0].revents == 0)
		*why = SILENT;
	else
		return true;
	return false;
}

/* Which of the hosts, as a text to compare. */
static void
name_host(const PGconn *conn, char *out, size_t room)
{
	const char *addr = PQhostaddr(conn), *host = PQhost(conn), *port = PQport(conn);

	(void)snprintf(out, room, "%s %s %s", host != NULL ? host : "", addr != NULL ? addr : "",
	    port != NULL ? port : "");
}

static enum outcome
wait_for(PGconn *conn, int cancel)
{
	PostgresPollingStatusType st = PGRES_POLLING_WRITING;
	int64_t patience = host_patience(conn), until = 0;
	char before[300] = "", now[300];
	enum outcome why;

	while (PQstatus(conn) != CONNECTION_BAD) {
		name_host(conn, now, sizeof now);
		if (until == 0 || strcmp(before, now) != 0)
			until = now_ms() + patience;
		memcpy(before, now, sizeof before);
		if (!await(conn, st, cancel, until, &why))
			return why;
		st = PQconnectPoll(conn);
		if (st == PGRES_POLLING_OK)
			return UP;
		if (st == PGRES_POLLING_FAILED)
			return REFUSED;
	}
	return REFUSED;
}

static void
say_refusal(const PGconn *conn, struct pg_dialed *out)
{
	const char *said = PQerrorMessage(conn);
	const struct pg_fault *f;
	char words[400];

	pg_words(said, words, sizeof words);
	pg_state_of_connection(said, out->state);
	f = pg_fault_of(out->state);
	(void)err_set(&out->why, f->verdict == SINK_HALT ? ERR_AUTH : ERR_NETWORK,
	    "postgres: cannot connect: %s", words);
	out->why.retriable = f->verdict == SINK_RETRY;
}

static void
dial(const char *conninfo, const char *sink, int cancel, struct pg_dialed *out)
{
	struct hosts rest = {NULL, NULL, NULL};
	enum outcome got = CANCELED;
	bool more = true;

	*out = (struct pg_dialed){.conn = NULL};
	while (more) {
		PGconn *conn = begin(conninfo, sink, &rest);

		more = false;
		got = conn != NULL ? wait_for(conn, cancel) : REFUSED;
		if (got == UP) {
			/* What the connection itself says, later, goes on after what a
			 * statement was refused for: without the row in its DETAIL. */
			(void)PQsetErrorVerbosity(conn, PQERRORS_SQLSTATE);
			out->conn = conn;
			break;
		}
		if (conn == NULL)
			(void)err_retry(&out->why, ERR_NOMEM, "postgres: no memory to connect");
		else if (got == REFUSED)
			say_refusal(conn, out);
		else
			(void)err_retry(&out->why, ERR_NETWORK,
			    "postgres: cannot connect: no answer from \"%.100s\", port %.20s",
			    PQhost(conn), PQport(conn));
		if (got == SILENT)
			more = hosts_behind(conn, &rest);
		PQfinish(conn);
	}
	hosts_close(&rest);
}

void
pg_dial_now(const char *conninfo, const char *sink, struct pg_dialed *out)
{
	dial(conninfo, sink, -1, out);
}

/* ---- the thread ---- */

static void
dial_free(struct pg_dial *d)
{
	explicit_bzero(d->conninfo, strlen(d->conninfo));
	free(d->conninfo);
	free(d->sink);
	(void)close(d->cancel);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

static void *
thread_main(void *arg)
{
	struct pg_dial *d = arg;
	struct pg_dialed result;
	bool abandoned;

	dial(d->conninfo, d->sink, d->cancel, &result);
	(void)pthread_mutex_lock(&d->lock);
	d->result = result;
	d->done = true;
	abandoned = d->wake == NULL;
	if (!abandoned)
		loop_wake_kick(d->wake);
	(void)pthread_mutex_unlock(&d->lock);
	if (abandoned) {
		PQfinish(result.conn);
		dial_free(d);
	}
	return NULL;
}

static int
run_thread(struct pg_dial *d)
{
	sigset_t all, before;
	int r;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&d->thread, NULL, thread_main, d);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

struct pg_dial *
pg_dial_start(const char *conninfo, const char *sink, struct loop_wake *wake, struct err *e)
{
	struct pg_dial *d = mem_new(sizeof *d);
	int r;

	d->conninfo = mem_strdup(conninfo);
	d->sink = mem_strdup(sink);
	d->wake = wake;
	d->cancel = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	(void)pthread_mutex_init(&d->lock, NULL);
	r = d->cancel >= 0 ? run_thread(d) : EMFILE;
	if (r == 0)
		return d;
	(void)err_errno(e, r, "postgres: no thread to connect on");
	dial_free(d);
	return NULL;
}

bool
pg_dial_take(struct pg_dial *d, struct pg_dialed *out)
{
	bool done;

	(void)pthread_mutex_lock(&d->lock);
	done = d->done;
	*out = d->result;
	(void)pthread_mutex_unlock(&d->lock);
	if (done) {
		(void)pthread_join(d->thread, NULL);
		dial_free(d);
	}
	return done;
}

/* True: the thread is gone. */
static bool
join_soon(struct pg_dial *d)
{
	struct timespec until;

	(void)eventfd_write(d->cancel, 1);
	/* banned-ok: clock_gettime: pthread_timedjoin_np() wants it */
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += END_SECONDS;
	return pthread_timedjoin_np(d->thread, NULL, &until) == 0;
}

void
pg_dial_abandon(struct pg_dial *d)
{
	bool done;

	if (d == NULL)
		return;
	done = join_soon(d);
	if (!done) {
		(void)pthread_detach(d->thread);
		(void)pthread_mutex_lock(&d->lock);
		d->wake = NULL;
		done = d->done;
		(void)pthread_mutex_unlock(&d->lock);
	}
	if (done) {
		PQfinish(d->result.conn);
		dial_free(d);
	}
}
