/* sinks/postgres_worker.c - one connection of the PostgreSQL sink: what it does next, and what
 * the server's answers mean.
 *
 *   DOWN -> CONNECTING -> SESSION -> CLAIM or WAITING -> PREPARE -> IDLE <-> TXN
 *                            '-> CREATE                              | '-> ROLLBACK
 *                                                                    '-> LOOK, CREATE, ADOPT, PURGE
 *
 * What is sent is postgres_segment.c's. A segment's results are looked at as they come: the
 * first error decides. A transaction's records are acked when the server has answered COMMIT
 * with just that. One is on its way at a time: so nothing of a key overtakes what failed, and
 * what is queued behind a failure goes back with it.
 *
 * Not here: when to try again (pipeline/lane.c), libpq's descriptors (postgres_link.c).
 */
#include "sinks/postgres_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define DIVISION_BY_ZERO "22012"

/* ---- ends ---- */

static void
drop_first(struct pg_worker *w)
{
	w->head = (w->head + 1) % PG_QUEUE;
	w->count--;
}

static void
pop(struct pg_worker *w, enum sink_verdict v, const struct err *why)
{
	struct pg_request *rq = &w->queue[w->head];

	drop_first(w);
	pg_sink_report(w->s, rq, v, why);
}

static void
tell_room(struct pg_worker *w)
{
	struct sink *s = w->s;

	if (s->full != w || w->count == PG_QUEUE)
		return;
	s->full = NULL;
	s->env.ready(s->env.host);
}

/* The first by the verdict, those behind it so that nothing overtakes it. */
static void
give_back(struct pg_worker *w, enum sink_verdict v, const struct err *why)
{
	struct err behind;

	(void)err_retry(
	    &behind, ERR_CANCELLED, "postgres: not sent, since what was before it failed");
	if (w->count > 0) {
		w->s->counts.failures++;
		(void)snprintf(w->s->trouble, sizeof w->s->trouble, "%.255s", why->text);
		if (v == SINK_SPLIT && w->queue[w->head].n == 1)
			v = SINK_REJECT;
		pop(w, v, why);
	}
	while (w->count > 0)
		pop(w, v == SINK_HALT ? SINK_HALT : SINK_RETRY, v == SINK_HALT ? why : &behind);
	tell_room(w);
}

static void
wake_waiting(struct sink *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->workers[i].state == PG_WAITING) {
			pg_worker_become(&s->workers[i], PG_IDLE);
			pg_worker_go(&s->workers[i]);
		}
}

static void
forget_connection(struct pg_worker *w)
{
	pg_worker_become(w, PG_DOWN);
	if (w->known != NULL)
		memset(w->known, 0, w->known_cap * sizeof *w->known);
	w->prepared = false;
}

/* Is what failed a table that single records chose? */
static bool
is_about_route(const struct pg_worker *w)
{
	return (w->state == PG_LOOK || w->state == PG_ADOPT) && w->target->routed;
}

/* The segment came to its end, and something in it had failed. */
static void
end_failed(struct pg_worker *w)
{
	enum pg_worker_state was = w->state;
	enum sink_verdict v = w->verdict;
	struct err why = w->why;

	w->created = false;
	/* Only rows can be refused for what is in them, and for where they want to go. */
	if (was != PG_TXN && v == SINK_SPLIT && !is_about_route(w))
		v = SINK_HALT;
	/* What an operator mends may be anything: then all is looked at again. So are tables
	 * that could not be created. */
	if (w->drop || was == PG_SESSION || was == PG_CREATE || was == PG_ROLLBACK ||
	    (v == SINK_HALT && was != PG_PURGE)) {
		pg_link_drop(w->link);
		forget_connection(w);
	} else if (!pg_link_is_idle(w->link)) {
		pg_begin_rollback(w);
	} else {
		pg_worker_become(w, PG_IDLE);
	}
	if (was == PG_PURGE || was == PG_ROLLBACK) {
		log_warn("postgres", w->s->env.name, "%s", why.text);
		pg_sink_purged(w->s, false);
	} else {
		give_back(w, v, &why);
	}
	if (was == PG_CLAIM)
		wake_waiting(w->s);
	pg_worker_go(w);
}

static void
fail(struct pg_worker *w, enum sink_verdict v, bool drop, const struct err *why)
{
	if (w->failed)
		return;
	w->failed = true;
	w->verdict = v;
	w->drop = drop;
	w->why = *why;
}

static void
say_fenced(const struct sink *s, struct err *why)
{
	(void)err_set(why, ERR_LOCKED,
	    "postgres: another slipring writes as sink \"%s\" to this database (slipring_writer "
	    "says "
	    "which); stop one of them or give one sink another name, then `slipring resume %s`",
	    s->env.name, s->env.name);
}

/* Another one has the epoch: this sink stays away until somebody decides, with all of its
 * connections. */
static void
fail_fenced(struct pg_worker *w)
{
	struct sink *s = w->s;
	struct err why;

	if (s->epoch == w->epoch)
		s->epoch = 0;
	s->fenced = true;
	say_fenced(s, &why);
	fail(w, SINK_HALT, false, &why);
}

static const char *
doing(const struct pg_worker *w)
{
	switch (w->state) {
	case PG_SESSION:
		return "cannot set up a session";
	case PG_CREATE:
		return "cannot create tables";
	case PG_CLAIM:
	case PG_PREPARE:
		return "cannot use slipring_writer and slipring_position";
	case PG_LOOK:
	case PG_ADOPT:
		return w->target->name;
	case PG_PURGE:
		return "cannot remove old tombstones";
	case PG_ROLLBACK:
		return "cannot roll back";
	case PG_DOWN:
	case PG_CONNECTING:
	case PG_WAITING:
	case PG_IDLE:
	case PG_TXN:
		break;
	}
	return "refused";
}

/* ---- what the link says ---- */

static void
on_error(struct pg_worker *w, unsigned at, const PGresult *res)
{
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const struct pg_fault *f;
	struct err why;

	if (w->failed)
		return;
	if (w->state == PG_TXN && at == PG_FENCE_AT && state != NULL &&
	    strcmp(state, DIVISION_BY_ZERO) == 0) {
		fail_fenced(w);
		return;
	}
	f = pg_fault_say(res, doing(w), &why);
	fail(w, f->verdict == SINK_HALT && is_about_route(w) ? SINK_SPLIT : f->verdict,
	    (f->flags & PG_DROP) != 0, &why);
}

static void
on_look(struct pg_worker *w, unsigned at, const PGresult *res)
{
	struct err why;

	if (pg_target_fits(w->target, at == 1, res, &why) == 0)
		return;
	if (why.code == ERR_NOT_FOUND && w->s->conf->create && !w->created)
		w->missing = true;
	else
		fail(w, is_about_route(w) ? SINK_SPLIT : SINK_HALT, false, &why);
}

static void
on_commit(struct pg_worker *w, const PGresult *res)
{
	struct err why;

	/* A transaction that failed answers COMMIT with ROLLBACK, and no error. */
	if (strcmp(PQcmdStatus((PGresult *)(uintptr_t)res), "COMMIT") == 0) {
		w->committed = true;
		return;
	}
	(void)err_retry(
	    &why, ERR_NETWORK, "postgres: the server rolled back instead of committing");
	fail(w, SINK_RETRY, true, &why);
}

static void
on_result(void *ctx, unsigned at, const PGresult *res)
{
	struct pg_worker *w = ctx;
	ExecStatusType status = PQresultStatus(res);

	if (status == PGRES_PIPELINE_ABORTED)
		return;
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		on_error(w, at, res);
		return;
	}
	if (w->state == PG_SESSION && at == 1)
		w->missing = PQgetvalue(res, 0, 0)[0] == 't';
	else if (w->state == PG_LOOK)
		on_look(w, at, res);
	else if (w->state == PG_CLAIM && at + 1 == w->last && PQntuples(res) == 1)
		w->epoch = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
	else if (w->state == PG_PURGE) {
		long n = strtol(PQcmdTuples((PGresult *)(uintptr_t)res), NULL, 10);

		w->s->counts.purged += (uint64_t)n;
		w->purge_more = w->purge_more || n >= PG_PURGE_ROWS;
	} else if ((w->state == PG_TXN || w->state == PG_CLAIM) && at == w->last)
		on_commit(w, res);
}

static const struct pg_target *
unknown_target(const struct pg_worker *w)
{
	const struct pg_request *rq = &w->queue[w->head];

	for (size_t i = 0; i < rq->part_count; i++) {
		const struct pg_part *p = &rq->parts[i];

		if (p->puts + p->dels != 0 &&
		    (p->target->id >= w->known_cap || !w->known[p->target->id]))
			return p->target;
	}
	return NULL;
}

static bool
purge_due(const struct pg_worker *w)
{
	return w->index == 0 && w->s->purge_due && w->prepared && w->s->epoch != 0;
}

/* Nothing is to be seen to before the next transaction. */
static bool
may_begin(const struct pg_worker *w)
{
	return w->count > 0 && !purge_due(w) && !w->s->fenced && w->s->epoch != 0 && w->prepared &&
	    unknown_target(w) == NULL;
}

static void
end_txn(struct pg_worker *w)
{
	struct pg_request *done = &w->queue[w->head];
	struct sink *s = w->s;

	s->counts.transactions++;
	s->counts.rows += done->rows;
	s->counts.superseded += done->n - done->rows;
	histogram_add(&s->transaction_us, loop_now(s->env.loop) - w->begun);
	s->trouble[0] = '\0';
	pg_worker_become(w, PG_IDLE);
	drop_first(w);
	/* The server works while the lane learns of the last. What fails in sending is told
	 * later, so nothing comes back before these ACKs. */
	if (may_begin(w))
		pg_begin_txn(w);
	pg_sink_report(s, done, SINK_ACK, NULL);
	pg_worker_go(w);
	tell_room(w);
}

static void
know(struct pg_worker *w, const struct pg_target *t)
{
	size_t cap = w->known_cap;

	if (t->id >= cap) {
		w->known_cap = t->id + 8;
		w->known = mem_grow(w->known, w->known_cap, sizeof *w->known);
		memset(w->known + cap, 0, (w->known_cap - cap) * sizeof *w->known);
	}
	w->known[t->id] = true;
}

static void
end_session(struct pg_worker *w)
{
	struct err why;

	pg_worker_become(w, PG_IDLE);
	if (!w->missing)
		return;
	/* The epoch is gone with its table, unless another connection has just made both. */
	if (w->s->epoch == w->epoch)
		w->s->epoch = 0;
	if (w->s->conf->create) {
		pg_begin_create(w, NULL);
		return;
	}
	(void)err_set(&why, ERR_NOT_FOUND,
	    "postgres: the tables slipring_writer and slipring_position are missing; `slipring "
	    "check --connect` prints how to create them, `create: true` does so");
	pg_link_drop(w->link);
	forget_connection(w);
	give_back(w, SINK_HALT, &why);
}

static void
end_look(struct pg_worker *w)
{
	if (!w->missing) {
		pg_begin_adopt(w);
		return;
	}
	pg_begin_create(w, w->target);
}

static void
on_synced(void *ctx)
{
	struct pg_worker *w = ctx;
	enum pg_worker_state was = w->state;

	if (w->failed) {
		end_failed(w);
		return;
	}
	switch (was) {
	case PG_SESSION:
		end_session(w);
		break;
	case PG_CREATE: /* a target is looked at again */
		w->created = w->target != NULL;
		pg_worker_become(w, PG_IDLE);
		break;
	case PG_CLAIM:
		w->s->epoch = w->epoch;
		pg_worker_become(w, PG_IDLE);
		log_info("postgres", w->s->env.name,
		    "connected, and the one that writes epoch=%lld", (long long)w->epoch);
		wake_waiting(w->s);
		break;
	case PG_PREPARE:
		w->prepared = true;
		pg_worker_become(w, PG_IDLE);
		break;
	case PG_LOOK:
		end_look(w);
		break;
	case PG_ADOPT:
		w->created = false;
		know(w, w->target);
		pg_worker_become(w, PG_IDLE);
		break;
	case PG_TXN:
		end_txn(w);
		return;
	case PG_PURGE:
		pg_worker_become(w, PG_IDLE);
		pg_sink_purged(w->s, w->purge_more);
		break;
	case PG_ROLLBACK:
		pg_worker_become(w, PG_IDLE);
		break;
	case PG_DOWN:
	case PG_CONNECTING:
	case PG_WAITING:
	case PG_IDLE:
		assert(false);
	}
	pg_worker_go(w);
}

static void
on_up(void *ctx)
{
	struct pg_worker *w = ctx;

	w->s->counts.connects++;
	w->s->server_version = PQserverVersion(pg_link_conn(w->link));
	w->created = false;
	pg_begin_session(w);
}

/* COMMIT was answered: done, whatever became of the connection. Not answered: nobody
 * knows, and the guards make doing it again harmless. */
static void
on_down(void *ctx, const struct err *why, const char *state)
{
	struct pg_worker *w = ctx;
	enum pg_worker_state was = w->state;
	const struct pg_fault *f = pg_fault_of(state);
	enum sink_verdict v = state[0] != '\0' ? f->verdict : SINK_RETRY;

	forget_connection(w);
	if (was == PG_TXN && w->committed && !w->failed)
		pop(w, SINK_ACK, NULL);
	if (was == PG_IDLE || was == PG_WAITING)
		log_info("postgres", w->s->env.name, "%s", why->text);
	/* The server's reason says more than that the connection is lost. */
	if (w->failed && w->verdict != SINK_SPLIT) {
		why = &w->why;
		v = w->verdict;
	}
	give_back(w, v == SINK_HALT ? SINK_HALT : SINK_RETRY, why);
	if (was == PG_CLAIM)
		wake_waiting(w->s);
	if (was == PG_PURGE)
		pg_sink_purged(w->s, false);
}

/* ---- what to do next ---- */

static bool
somebody_claims(const struct sink *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->workers[i].state == PG_CLAIM)
			return true;
	return false;
}

static void
give_back_fenced(struct pg_worker *w)
{
	struct err why;

	say_fenced(w->s, &why);
	give_back(w, SINK_HALT, &why);
}

static void
go_idle(struct pg_worker *w)
{
	const struct pg_target *t;

	if (purge_due(w))
		pg_begin_purge(w);
	else if (w->count == 0)
		return;
	else if (w->s->fenced)
		give_back_fenced(w);
	else if (w->s->epoch == 0 && somebody_claims(w->s))
		pg_worker_become(w, PG_WAITING);
	else if (w->s->epoch == 0)
		pg_begin_claim(w);
	else if (!w->prepared)
		pg_begin_prepare(w);
	else if ((t = unknown_target(w)) != NULL)
		pg_begin_look(w, t);
	else
		pg_begin_txn(w);
}

void
pg_worker_go(struct pg_worker *w)
{
	if (w->state == PG_IDLE) {
		go_idle(w);
	} else if (w->state == PG_DOWN && w->count > 0) {
		w->failed = w->committed = false;
		pg_worker_become(w, PG_CONNECTING);
		pg_link_connect(w->link);
	}
}

/* ---- the queue ---- */

struct pg_request *
pg_worker_room(struct pg_worker *w)
{
	struct pg_request *rq = &w->queue[(w->head + w->count) % PG_QUEUE];

	if (w->count == PG_QUEUE)
		return NULL;
	pg_request_begin(rq);
	return rq;
}

void
pg_worker_push(struct pg_worker *w)
{
	w->count++;
	pg_worker_go(w);
}

/* ---- the life of it ---- */

void
pg_worker_init(struct pg_worker *w, struct sink *s, unsigned index)
{
	const struct pg_link_host host = {
	    .ctx = w, .up = on_up, .down = on_down, .result = on_result, .synced = on_synced};
	int64_t timeout = s->conf->statement_timeout_us;
	/* For what the network adds to the longest statement. */
	int64_t more = timeout < 5 * USEC_SEC ? timeout : 5 * USEC_SEC;

	w->s = s;
	w->index = index;
	w->link =
	    pg_link_new(s->env.loop, s->env.name, s->conf->conninfo.bytes, timeout + more, &host);
}

void
pg_worker_close(struct pg_worker *w)
{
	struct err why;

	(void)err_retry(&why, ERR_CANCELLED, "postgres: closed before it was written");
	pg_link_close(w->link);
	while (w->count > 0)
		pop(w, SINK_RETRY, &why);
	for (unsigned i = 0; i < PG_QUEUE; i++)
		pg_request_close(&w->queue[i]);
	free(w->known);
}
