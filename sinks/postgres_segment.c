/* sinks/postgres_segment.c - what a worker sends, segment by segment: see postgres_worker.c,
 * which decides when, and what the answers mean.
 *
 * A segment is sent as a whole, up to its sync. A transaction is
 *
 *   BEGIN, lock, fence, position, { revive, put, delete, bury | append } by target, COMMIT
 *
 * The position comes before the rows: it makes one of our own transactions that was given up on,
 * and that the server is still at, be waited for. A DELETE does not wait for an insert that
 * is not committed yet, nor see it, and would leave that row for ever.
 */
#include "sinks/postgres_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

static const char *const state_names[] = {"down", "connecting", "session", "create", "claim",
    "waiting", "prepare", "idle", "look", "adopt", "transaction", "rollback", "purge"};

void
pg_worker_become(struct pg_worker *w, enum pg_worker_state st)
{
	log_debug("postgres", w->s->env.name, "%s -> %s worker=%u", state_names[w->state],
	    state_names[st], w->index);
	w->state = st;
}

static struct pg_param
text_param(const char *text)
{
	return (struct pg_param){.p = text, .n = strlen(text)};
}

static struct pg_param
array_param(const struct pg_array *a)
{
	return (struct pg_param){.p = a->buf.p, .n = a->buf.n, .binary = true};
}

/* Whatever follows is one segment. */
static void
begin(struct pg_worker *w, enum pg_worker_state st)
{
	pg_worker_become(w, st);
	w->failed = w->drop = w->committed = false;
	w->begun = loop_now(w->s->env.loop);
}

static const char *
sql_text(struct pg_worker *w)
{
	return buf_cstr(&w->s->sql);
}

static struct buf *
sql_begin(struct pg_worker *w)
{
	buf_reset(&w->s->sql);
	return &w->s->sql;
}

/* ---- setting up ---- */

void
pg_begin_session(struct pg_worker *w)
{
	struct buf *sql = sql_begin(w);
	char ms[32], *writer, *position;
	struct pg_param timeout, tables[2];

	(void)snprintf(ms, sizeof ms, "%lld", (long long)(w->s->conf->statement_timeout_us / 1000));
	timeout = text_param(ms);
	pg_add_side(sql, w->s->schema, "slipring_writer");
	writer = mem_strdup(sql_text(w));
	buf_reset(sql);
	pg_add_side(sql, w->s->schema, "slipring_position");
	position = mem_strdup(sql_text(w));
	tables[0] = text_param(writer);
	tables[1] = text_param(position);
	begin(w, PG_SESSION);
	w->epoch = w->s->epoch;
	pg_link_query(w->link, pg_session_sql, 1, &timeout);
	pg_link_query(w->link,
	    "SELECT pg_catalog.to_regclass($1) IS NULL OR pg_catalog.to_regclass($2) IS NULL", 2,
	    tables);
	pg_link_sync(w->link);
	free(writer);
	free(position);
}

/* One after the other, though many may find them missing: IF NOT EXISTS alone races. */
void
pg_begin_create(struct pg_worker *w, const struct pg_target *t)
{
	struct pg_param lock = text_param("slipring/create");
	struct buf *sql;

	begin(w, PG_CREATE);
	w->target = t;
	log_info("postgres", w->s->env.name, "creates %s", t != NULL ? t->name : "its own tables");
	pg_link_query(w->link, "BEGIN", 0, NULL);
	pg_link_query(w->link, pg_claim_lock_sql, 1, &lock);
	for (unsigned i = 0;; i++) {
		sql = sql_begin(w);
		if (!(t != NULL ? pg_target_ddl(t, i, sql) : pg_sink_ddl(w->s->schema, i, sql)))
			break;
		pg_link_query(w->link, sql_text(w), 0, NULL);
	}
	pg_link_query(w->link, "COMMIT", 0, NULL);
	pg_link_sync(w->link);
}

void
pg_begin_claim(struct pg_worker *w)
{
	char pid[16];
	struct pg_param lock = text_param(w->s->lock_name), v[3];

	(void)snprintf(pid, sizeof pid, "%ld", (long)getpid());
	v[0] = text_param(w->s->env.name);
	v[1] = text_param(w->s->host);
	v[2] = text_param(pid);
	begin(w, PG_CLAIM);
	w->epoch = 0;
	pg_link_query(w->link, "BEGIN", 0, NULL);
	pg_link_query(w->link, pg_claim_lock_sql, 1, &lock);
	pg_claim_sql(w->s->schema, sql_begin(w));
	pg_link_query(w->link, sql_text(w), 3, v);
	pg_link_query(w->link, "COMMIT", 0, NULL);
	pg_link_sync(w->link);
	w->last = 3;
}

void
pg_begin_prepare(struct pg_worker *w)
{
	begin(w, PG_PREPARE);
	for (int i = 0; i < PG_FIXED; i++) {
		pg_fixed_sql(w->s->schema, (enum pg_fixed)i, sql_begin(w));
		pg_link_prepare(w->link, pg_fixed_names[i], sql_text(w), 0, NULL);
	}
	pg_link_sync(w->link);
}

void
pg_begin_look(struct pg_worker *w, const struct pg_target *t)
{
	struct pg_param table = text_param(t->name);

	begin(w, PG_LOOK);
	w->target = t;
	w->missing = false;
	pg_link_query(w->link, pg_describe_sql, 1, &table);
	if (t->tombs != NULL) {
		table = text_param(t->tombs);
		pg_link_query(w->link, pg_describe_sql, 1, &table);
	}
	pg_link_sync(w->link);
}

void
pg_begin_adopt(struct pg_worker *w)
{
	const struct pg_target *t = w->target;
	Oid *types = mem_array(t->layout->count + 1, sizeof *types);

	begin(w, PG_ADOPT);
	for (int i = 0; i < PG_STATEMENTS; i++) {
		enum pg_statement st = (enum pg_statement)i;
		char name[32];

		if (!pg_target_uses(t, st))
			continue;
		pg_target_statement(t, st, name, sizeof name);
		pg_target_sql(t, st, sql_begin(w));
		pg_link_prepare(w->link, name, sql_text(w), pg_target_types(t, st, types), types);
	}
	pg_link_sync(w->link);
	free(types);
}

/* ---- a transaction ---- */

static void
execute(struct pg_worker *w, const struct pg_target *t, enum pg_statement st,
    const struct pg_array *v, size_t key_count)
{
	struct pg_param *params = mem_array(t->layout->count + 1, sizeof *params);
	size_t n = st == PG_REVIVE	      ? key_count + 1
	    : st == PG_PUT || st == PG_APPEND ? t->layout->count
					      : key_count + 1;
	char name[32];

	for (size_t i = 0; i < n; i++)
		params[i] = array_param(&v[i]);
	if (st == PG_REVIVE) /* of whole rows: the version is the last */
		params[key_count] = array_param(&v[t->layout->count - 1]);
	pg_target_statement(t, st, name, sizeof name);
	pg_link_execute(w->link, name, n, params);
	w->last++;
	free(params);
}

static void
send_part(struct pg_worker *w, const struct pg_part *p)
{
	const struct pg_target *t = p->target;
	size_t keys = t->layout->key_count;

	if (p->puts != 0 && t->layout->mode == ROWS_LOG)
		execute(w, t, PG_APPEND, p->put, keys);
	if (p->puts != 0 && t->layout->mode == ROWS_TABLE) {
		execute(w, t, PG_REVIVE, p->put, keys);
		execute(w, t, PG_PUT, p->put, keys);
	}
	if (p->dels != 0) {
		execute(w, t, PG_DELETE, p->gone, keys);
		execute(w, t, PG_BURY, p->gone, keys);
	}
}

static void
send_position(struct pg_worker *w, const struct pg_request *rq, const char *epoch)
{
	char index[16];
	struct pg_param v[6];

	(void)snprintf(index, sizeof index, "%u", w->index);
	v[0] = text_param(w->s->env.name);
	v[1] = text_param(index);
	v[2] = text_param(epoch);
	v[3] = array_param(&rq->arns);
	v[4] = array_param(&rq->shards);
	v[5] = array_param(&rq->numbers);
	pg_link_execute(w->link, pg_fixed_names[PG_FIX_POSITION], 6, v);
}

void
pg_begin_txn(struct pg_worker *w)
{
	const struct pg_request *rq = &w->queue[w->head];
	struct pg_param lock = text_param(w->s->lock_name), fence[2];
	char epoch[24];

	begin(w, PG_TXN);
	w->epoch = w->s->epoch;
	(void)snprintf(epoch, sizeof epoch, "%lld", (long long)w->epoch);
	fence[0] = text_param(w->s->env.name);
	fence[1] = text_param(epoch);
	pg_link_execute(w->link, pg_fixed_names[PG_FIX_BEGIN], 0, NULL);
	pg_link_execute(w->link, pg_fixed_names[PG_FIX_LOCK], 1, &lock);
	pg_link_execute(w->link, pg_fixed_names[PG_FIX_FENCE], 2, fence);
	w->last = PG_FENCE_AT;
	send_position(w, rq, epoch);
	for (size_t i = 0; i < rq->part_count; i++)
		send_part(w, &rq->parts[i]);
	pg_link_execute(w->link, pg_fixed_names[PG_FIX_COMMIT], 0, NULL);
	w->last += 2;
	pg_link_sync(w->link);
}

void
pg_begin_rollback(struct pg_worker *w)
{
	begin(w, PG_ROLLBACK);
	pg_link_query(w->link, "ROLLBACK", 0, NULL);
	pg_link_sync(w->link);
}

/* ---- what is old goes, a little at a time ---- */

void
pg_begin_purge(struct pg_worker *w)
{
	char seconds[32];
	struct pg_param v[2];

	(void)snprintf(seconds, sizeof seconds, "%lld",
	    (long long)(w->s->conf->tombstones_keep_us / USEC_SEC));
	v[0] = text_param(seconds);
	v[1] = text_param(w->s->env.name);
	begin(w, PG_PURGE);
	w->s->purge_due = w->purge_more = false;
	for (const struct pg_target *t = w->s->builder.targets; t != NULL; t = t->next) {
		if (t->tombs == NULL || t->id >= w->known_cap || !w->known[t->id])
			continue;
		pg_purge_sql(t, sql_begin(w));
		pg_link_query(w->link, sql_text(w), 1, v);
	}
	pg_purge_positions_sql(w->s->schema, sql_begin(w));
	pg_link_query(w->link, sql_text(w), 2, v);
	pg_link_sync(w->link);
}
