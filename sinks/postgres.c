/* sinks/postgres.c - changes into tables of PostgreSQL.
 *
 *   submit() -> a request for each worker (key_hash) -> postgres_batch.c: parameters
 *            -> postgres_worker.c: a transaction on its connection -> report()
 *
 * Table mode keeps one row an item, guarded by version; log mode appends one row a
 * change. Both are effectively once: what comes again changes nothing. What was written
 * is noted in the same transaction, under an epoch that fences off a second daemon.
 * docs/postgres.md is what an operator reads.
 *
 * Threading: loop thread; connecting has threads of its own (postgres_dial.c).
 * Not here: when to try again, and the position, which are the lane's.
 */
#include "sinks/sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "sinks/postgres_priv.h"
#include "sinks/postgres_probe.h"

#define CONF(member) offsetof(struct pg_conf, member)
#define DAY (INT64_C(24) * 3600 * USEC_SEC)
/* Old tombstones are looked for some times within their age, and not all the time. */
#define PURGE_PARTS 24
#define PURGE_LONGEST (3600 * USEC_SEC)
#define PURGE_SHORTEST USEC_SEC
#define SQL_KEEP ((size_t)1 << 20)

static const struct conf_key postgres_keys[] = {
    {.name = "conninfo",
	.type = CONF_SECRET,
	.flags = CONF_REQUIRED,
	.ofs = CONF(conninfo),
	.doc =
	    "Connection string of libpq, as key=value words or a URI; several hosts are tried in "
	    "turn. target_session_attrs is read-write unless it says otherwise."},
    {.name = "mode",
	.type = CONF_ENUM,
	.ofs = CONF(mode),
	.def = "table",
	.words = rows_mode_words,
	.doc = "One row an item as it is now (table), or one row a change (log)."},
    {.name = "table",
	.type = CONF_STR,
	.ofs = CONF(table),
	.def = "{table}",
	.doc = "The table, or SCHEMA.TABLE; {table} and {stream} stand for the source's names."},
    {.name = "columns",
	.type = CONF_MAP,
	.ofs = CONF(columns),
	.doc = "COLUMN: TYPE [PATH] for attributes that have columns of their own; without it, the "
	       "key and the whole item as \"document\"."},
    {.name = "create",
	.type = CONF_BOOL,
	.ofs = CONF(create),
	.def = "false",
	.doc = "Tables that are missing are created; one that is there is never changed."},
    {.name = "connections",
	.type = CONF_INT,
	.ofs = CONF(connections),
	.def = "2",
	.min = 1,
	.max = PG_CONNECTIONS_MAX,
	.doc = "Connections that write at the same time, each with its own share of the keys."},
    {.name = "statement-timeout",
	.type = CONF_DURATION,
	.ofs = CONF(statement_timeout_us),
	.def = "30s",
	.min = USEC_SEC,
	.max = 3600 * USEC_SEC,
	.doc =
	    "The server cancels a statement that takes longer, and a server that says nothing for "
	    "a little more than that is given up; what was sent is tried again."},
    {.name = "tombstones.keep",
	.type = CONF_DURATION,
	.ofs = CONF(tombstones_keep_us),
	.def = "30d",
	.min = USEC_SEC,
	.max = 3660 * DAY,
	.doc = "How long it is remembered that an item was deleted, so that an older write which "
	       "comes late (out of the dead letters) does not bring it back."},
    {.name = NULL},
};

static int
postgres_check(const void *conf, struct err *e)
{
	const struct pg_conf *c = conf;
	PQconninfoOption *v = PQconninfoParse(c->conninfo.bytes, NULL);

	/* libpq's words would quote what may be the password. */
	if (v == NULL)
		return err_set(e, ERR_CONFIG,
		    "conninfo is no connection string that libpq reads (its words are not shown, "
		    "they "
		    "may quote a password)");
	PQconninfoFree(v);
	if (pg_table_check(c->table, e) != 0)
		return -1;
	return rows_check(&c->columns, (enum rows_mode)c->mode, e);
}

/* ---- reports ---- */

void
pg_sink_report(struct sink *s, struct pg_request *rq, enum sink_verdict v, const struct err *why)
{
	size_t n = rq->n;

	rq->n = 0;
	for (size_t i = 0; i < n; i++)
		s->env.report(s->env.host, rq->d[i], v, v == SINK_ACK ? NULL : why);
}

static void
on_reject(void *ctx, struct delivery *d, const struct err *why)
{
	struct sink *s = ctx;

	s->env.report(s->env.host, d, SINK_REJECT, why);
}

/* ---- purging ---- */

void
pg_sink_purged(struct sink *s, bool more)
{
	int64_t t = s->conf->tombstones_keep_us / PURGE_PARTS;

	if (more || t < PURGE_SHORTEST)
		t = PURGE_SHORTEST;
	loop_timer_arm(s->purge_timer, t > PURGE_LONGEST ? PURGE_LONGEST : t);
}

static void
on_purge(void *arg)
{
	struct sink *s = arg;

	s->purge_due = true;
	pg_worker_go(&s->workers[0]);
}

/* ---- taking records ---- */

static struct pg_worker *
worker_of(struct sink *s, const struct delivery *d)
{
	return &s->workers[d->key_hash % s->count];
}

static bool
is_busy(const struct sink *s)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->workers[i].count != 0)
			return true;
	return false;
}

static void
build_and_push(struct sink *s, struct pg_worker *w, struct pg_request *rq)
{
	struct err why;

	if (pg_build(&s->builder, rq, &why) == 0) {
		if (rq->n != 0)
			pg_worker_push(w);
		return;
	}
	(void)snprintf(s->trouble, sizeof s->trouble, "%.255s", why.text);
	pg_sink_report(s, rq, why.retriable ? SINK_RETRY : SINK_HALT, &why);
}

static enum sink_admit
postgres_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	struct pg_request *rq[PG_CONNECTIONS_MAX] = {NULL};

	for (size_t i = 0; i < count; i++) {
		struct pg_worker *w = worker_of(s, batch[i]);

		if (w->count == PG_QUEUE) {
			s->full = w;
			return SINK_FULL;
		}
	}
	if (s->fenced)
		s->fenced = is_busy(s);
	for (size_t i = 0; i < count; i++) {
		struct pg_worker *w = worker_of(s, batch[i]);

		if (rq[w->index] == NULL)
			rq[w->index] = pg_worker_room(w);
		pg_request_add(rq[w->index], batch[i]);
	}
	for (unsigned i = 0; i < s->count; i++)
		if (rq[i] != NULL)
			build_and_push(s, &s->workers[i], rq[i]);
	return SINK_TAKEN;
}

/* ---- the life of it ---- */

static void
postgres_close(struct sink *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->count; i++)
		pg_worker_close(&s->workers[i]);
	loop_timer_close(s->purge_timer);
	pg_builder_close(&s->builder);
	buf_close(&s->sql);
	free(s->workers);
	free(s->schema);
	free(s->lock_name);
	free(s);
}

static char *
lock_name_dup(const struct sink *s)
{
	struct buf b = BUF_INIT(SQL_KEEP);
	char *text;

	buf_addf(&b, "slipring/%s/%s", s->schema != NULL ? s->schema : "", s->env.name);
	text = mem_strdup(buf_cstr(&b));
	buf_close(&b);
	return text;
}

static int
postgres_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	(void)e;
	s->env = *env;
	s->conf = conf;
	s->schema = pg_schema_dup(s->conf);
	s->lock_name = lock_name_dup(s);
	if (gethostname(s->host, sizeof s->host - 1) != 0)
		s->host[0] = '\0';
	s->sql = BUF_INIT(PG_SQL_MAX);
	s->transaction_us.shape = &histogram_latency;
	pg_builder_init(&s->builder, s->conf);
	s->builder.reject = on_reject;
	s->builder.ctx = s;
	s->purge_timer = loop_timer_new(env->loop, on_purge, s);
	s->count = (unsigned)s->conf->connections;
	s->workers = mem_array(s->count, sizeof *s->workers);
	for (unsigned i = 0; i < s->count; i++)
		pg_worker_init(&s->workers[i], s, i);
	if (s->conf->mode == ROWS_TABLE)
		pg_sink_purged(s, false);
	*out = s;
	return 0;
}

/* ---- what is shown ---- */

static unsigned
connections_up(const struct sink *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->count; i++)
		n += s->workers[i].state > PG_CONNECTING;
	return n;
}

static void
postgres_status(const struct sink *s, struct buf *out)
{
	buf_addf(out,
	    "\"server\":\"%d.%d\",\"connections\":%u,\"connections_up\":%u,\"epoch\":%lld,"
	    "\"transactions\":%llu,\"rows\":%llu,\"superseded\":%llu,\"trouble\":",
	    s->server_version / 10000, s->server_version % 10000, s->count, connections_up(s),
	    (long long)s->epoch, (unsigned long long)s->counts.transactions,
	    (unsigned long long)s->counts.rows, (unsigned long long)s->counts.superseded);
	if (s->trouble[0] != '\0')
		buf_add_json_string(out, slice_of(s->trouble));
	else
		buf_add_str(out, "null");
}

static void
postgres_metrics(const struct sink *s, struct metrics *m)
{
	const struct pg_counts *c = &s->counts;
	const char *name = s->env.name;

	metrics_gauge(m, "slipring_postgres_connections", "Connections that are up.",
	    connections_up(s), "sink", name, NULL);
	metrics_counter(m, "slipring_postgres_connects", "Connections made.", (double)c->connects,
	    "sink", name, NULL);
	metrics_counter(m, "slipring_postgres_transactions", "Transactions committed.",
	    (double)c->transactions, "sink", name, NULL);
	metrics_counter(m, "slipring_postgres_failures", "Requests that were not committed.",
	    (double)c->failures, "sink", name, NULL);
	metrics_counter(m, "slipring_postgres_rows", "Rows sent in committed transactions.",
	    (double)c->rows, "sink", name, NULL);
	metrics_counter(m, "slipring_postgres_superseded",
	    "Records not sent, since a later one of the same item was in their batch.",
	    (double)c->superseded, "sink", name, NULL);
	metrics_counter(m, "slipring_postgres_tombstones_purged",
	    "Tombstones and positions removed for their age.", (double)c->purged, "sink", name,
	    NULL);
	metrics_histogram(m, "slipring_postgres_transaction_seconds",
	    "From sending a transaction to the answer of its commit.", &s->transaction_us, "sink",
	    name, NULL);
}

const struct sink_ops sink_postgres = {
    .api = SINK_API,
    .type = "postgres",
    .help = "tables of PostgreSQL: one row an item (guarded by version), or one row a change",
    .caps = SINK_CAP_KEY_ORDER | SINK_CAP_IDEMPOTENT,
    .conf_size = sizeof(struct pg_conf),
    .keys = postgres_keys,
    .check = postgres_check,
    .probe = pg_probe,
    .open = postgres_open,
    .submit = postgres_submit,
    .close = postgres_close,
    .status = postgres_status,
    .metrics = postgres_metrics,
};
