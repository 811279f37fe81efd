/* sinks/postgres_priv.h - what postgres.c (the sink), postgres_worker.c (one
 * connection of it) and postgres_segment.c (what that sends) share.
 *
 *   submit -> requests, by key_hash -> worker: queue -> one transaction at a time
 *                                        | connection lost, refused, fenced
 *                                        '-> the first by its verdict, those behind it RETRY
 */
#ifndef SINKS_POSTGRES_PRIV_H
#define SINKS_POSTGRES_PRIV_H

#include "sinks/postgres_batch.h"
#include "sinks/postgres_link.h"
#include "sinks/postgres_state.h"

/* Requests a worker holds: one on its way, the others ready to follow at once. Few, since
 * all of them come back when the first fails. */
#define PG_QUEUE 3u
#define PG_CONNECTIONS_MAX 64

enum pg_worker_state {
	PG_DOWN,
	PG_CONNECTING,
	PG_SESSION, /* settings; are the sink's own tables there? */
	PG_CREATE,  /* tables that are missing: the sink's own, or a target's */
	PG_CLAIM,   /* takes the next epoch, for all workers */
	PG_WAITING, /* for another worker's claim */
	PG_PREPARE, /* what every transaction has */
	PG_IDLE,
	PG_LOOK,  /* does a target fit? */
	PG_ADOPT, /* its statements are prepared */
	PG_TXN,
	PG_ROLLBACK,
	PG_PURGE,
};

struct pg_counts {
	uint64_t transactions, rows, superseded, failures, connects, purged;
};

struct pg_worker {
	struct sink *s; /* borrowed */
	unsigned index;
	struct pg_link *link; /* owned */
	enum pg_worker_state state;
	struct pg_request queue[PG_QUEUE]; /* a ring; the first is on its way in PG_TXN */
	unsigned head, count;
	bool *known; /* owned; by target id: looked at and prepared on this connection */
	size_t known_cap;
	const struct pg_target *target; /* of PG_CREATE (NULL: the sink's own), PG_LOOK, PG_ADOPT */
	bool missing, created, prepared;
	/* Of the segment that is on its way: */
	bool failed, drop;
	enum sink_verdict verdict;
	struct err why;
	bool committed;
	unsigned last; /* its last command: COMMIT */
	bool purge_more;
	int64_t epoch; /* that it goes under, has claimed, or that its session began with */
	int64_t begun;
};

struct sink {
	struct sink_env env;
	const struct pg_conf *conf; /* borrowed */
	char *schema;		    /* owned; NULL: none was named */
	char *lock_name;	    /* owned; of the advisory lock that guards the epoch */
	char host[65];
	struct pg_builder builder;
	struct pg_worker *workers; /* owned */
	unsigned count;
	struct buf sql;
	int64_t epoch; /* 0: not claimed, or taken from us */
	bool fenced;   /* another has it; until all was given back, and somebody said to go on */
	const struct pg_worker *full;	/* said SINK_FULL for its sake; owes ready() */
	struct loop_timer *purge_timer; /* owned */
	bool purge_due;
	struct pg_counts counts;
	struct histogram transaction_us;
	char trouble[256]; /* the last failure, until a transaction succeeds; "" */
	int server_version;
};

void pg_worker_init(struct pg_worker *w, struct sink *s, unsigned index);
/* The request to be filled next, emptied; NULL: the queue is full. */
struct pg_request *pg_worker_room(struct pg_worker *w);
/* What pg_worker_room() gave has been built and is to be sent. */
void pg_worker_push(struct pg_worker *w);
/* Something has changed: does what can be done now. */
void pg_worker_go(struct pg_worker *w);
/* Reports RETRY for everything and frees. */
void pg_worker_close(struct pg_worker *w);

/* postgres_segment.c: each sends one segment, in the state that is named after it. */
/* Which command of a transaction the fence is. */
#define PG_FENCE_AT 2u
void pg_worker_become(struct pg_worker *w, enum pg_worker_state st);
void pg_begin_session(struct pg_worker *w);
void pg_begin_create(struct pg_worker *w, const struct pg_target *t);
void pg_begin_claim(struct pg_worker *w);
void pg_begin_prepare(struct pg_worker *w);
void pg_begin_look(struct pg_worker *w, const struct pg_target *t);
void pg_begin_adopt(struct pg_worker *w);
void pg_begin_txn(struct pg_worker *w);
void pg_begin_rollback(struct pg_worker *w);
void pg_begin_purge(struct pg_worker *w);

/* postgres.c */
void
pg_sink_report(struct sink *s, struct pg_request *rq, enum sink_verdict v, const struct err *why);
void pg_sink_purged(struct sink *s, bool more);

#endif
