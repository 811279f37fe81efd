/* sinks/sqlite.c - a copy of tables, or a log of their changes, in one SQLite file.
 *
 *   submit() -> job of rows -> the writer's thread (sqlite_writer.c) -> wake -> report()
 *
 * This file is the loop's side: it bounds the queue, passes the time in, and reports. sqlite_job.c
 * makes the rows, on the loop too; the thread writes and commits them: sqlite_batch.c has the
 * transaction, sqlite_table.c the statements, sqlite_file.c file, lock and verdicts;
 * docs/sqlite.md what a user sees.
 *
 * Verdicts: ACK after COMMIT, also for what the file has already; RETRY when the disk is full,
 * failing, or another program holds the write lock, for the transaction and all behind it; REJECT
 * for a value that does not fit its column; HALT for a file or table that is not what it should be.
 *
 * Not here: when to try again, and the position, which are the lane's.
 */
#include "sinks/sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sinks/sqlite_job.h"
#include "sinks/sqlite_probe.h"
#include "sinks/sqlite_writer.h"

/* Enough for the thread never to wait for the loop; one batch always fits. Bytes of the
 * records as they came, and as many again of their rows. */
#define QUEUE_RECORDS 16384u
#define QUEUE_BYTES (32u << 20)
/* Tombstones are kept for days; looking for old ones once in ten minutes is often. */
#define TICK_US (600 * USEC_SEC)
#define DAY (INT64_C(24) * 3600 * USEC_SEC)

struct sink {
	struct sink_env env;
	const struct sqlite_conf *conf; /* borrowed */
	struct sqlite_builder builder;
	struct sqlite_writer *writer; /* owned */
	struct loop_wake *wake;	      /* owned */
	struct loop_timer *tick;      /* owned */
	uint64_t epoch;
	size_t queued, queued_bytes;
	bool full; /* said SINK_FULL; owes ready() */
};

static const struct conf_key sqlite_keys[] = {
    {.name = "path",
	.type = CONF_STR,
	.flags = CONF_REQUIRED | CONF_NO_RELOAD,
	.ofs = offsetof(struct sqlite_conf, path),
	.doc = "The file of the copy, of this sink alone; PATH-wal, PATH-shm and PATH.lock are "
	       "beside it."},
    {.name = "mode",
	.type = CONF_ENUM,
	.ofs = offsetof(struct sqlite_conf, mode),
	.def = "table",
	.words = rows_mode_words,
	.doc = "table: the items as they are now; log: every change, appended."},
    {.name = "table",
	.type = CONF_STR,
	.ofs = offsetof(struct sqlite_conf, table),
	.def = "{table}",
	.doc = "The table's name; {table} and {stream} stand for those of the record."},
    {.name = "columns",
	.type = CONF_MAP,
	.ofs = offsetof(struct sqlite_conf, columns),
	.doc = "COLUMN: TYPE or TYPE PATH (docs/columns.md); without it the whole item is in one"
	       " column, document."},
    {.name = "create",
	.type = CONF_BOOL,
	.ofs = offsetof(struct sqlite_conf, create),
	.def = "true",
	.doc =
	    "File and tables that are missing are made; tables that are there are never altered."},
    {.name = "busy-timeout",
	.type = CONF_DURATION,
	.ofs = offsetof(struct sqlite_conf, busy_us),
	.def = "5s",
	.max = 600 * USEC_SEC,
	.doc = "How long to wait for the write lock when another program holds it, before trying"
	       " again later."},
    {.name = "tombstones.keep",
	.type = CONF_DURATION,
	.ofs = offsetof(struct sqlite_conf, keep_us),
	.def = "30d",
	.min = 2 * DAY,
	.max = 36600 * DAY,
	.doc =
	    "How long a deleted item is remembered, so that an older change of it that comes again"
	    " does not bring it back."},
    {.name = NULL},
};

static int
sqlite_check(const void *conf, struct err *e)
{
	const struct sqlite_conf *c = conf;

	if (c->path == NULL || c->path[0] == '\0')
		return err_set(e, ERR_CONFIG, "sqlite: path is empty");
	if (strcmp(c->path, ":memory:") == 0 || strncmp(c->path, "file:", 5) == 0)
		return err_set(
		    e, ERR_CONFIG, "sqlite: path is the name of a file, not \"%.60s\"", c->path);
	if (sqlite_table_check_name(c->table, e) != 0 ||
	    rows_check(&c->columns, (enum rows_mode)c->mode, e) != 0)
		return err_prefix(e, "sqlite");
	return 0;
}

/* ---- reports ---- */

static void
report_job(struct sink *s, struct sqlite_job *j)
{
	if (j->failed && j->epoch == s->epoch)
		s->epoch++;
	s->queued -= j->count;
	s->queued_bytes -= j->bytes;
	for (size_t i = 0; i < j->count; i++) {
		struct sqlite_item *it = &j->items[i];

		s->env.report(s->env.host, it->d, it->verdict,
		    it->verdict == SINK_ACK ? NULL
			: it->why != NULL   ? it->why
					    : &j->why);
	}
	sqlite_job_give_back(&s->builder, j);
}

static void
report_list(struct sink *s, struct sqlite_job *j)
{
	struct sqlite_job *next;

	for (; j != NULL; j = next) {
		next = j->next;
		report_job(s, j);
	}
}

static void
on_wake(void *arg)
{
	struct sink *s = arg;

	report_list(s, sqlite_writer_take_done(s->writer));
	if (s->full && s->queued <= QUEUE_RECORDS / 2 && s->queued_bytes <= QUEUE_BYTES / 2 &&
	    s->builder.out <= QUEUE_BYTES / 2) {
		s->full = false;
		s->env.ready(s->env.host);
	}
}

/* From the writer's thread. */
static void
kick(void *arg)
{
	struct sink *s = arg;

	loop_wake_kick(s->wake);
}

/* ---- jobs ---- */

static void
give(struct sink *s, struct sqlite_job *j)
{
	j->now_us = loop_wall(s->env.loop);
	j->epoch = s->epoch;
	s->queued += j->count;
	s->queued_bytes += j->bytes;
	sqlite_writer_give(s->writer, j);
}

static void
on_tick(void *arg)
{
	struct sink *s = arg;
	struct sqlite_job *j = sqlite_job_build(&s->builder, NULL, 0);

	if (j != NULL)
		give(s, j);
	loop_timer_arm(s->tick, TICK_US);
}

static enum sink_admit
sqlite_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	struct sqlite_job *j;

	if (s->queued > 0 &&
	    (s->queued + count > QUEUE_RECORDS || s->queued_bytes > QUEUE_BYTES ||
		s->builder.out > QUEUE_BYTES)) {
		s->full = true;
		return SINK_FULL;
	}
	j = sqlite_job_build(&s->builder, batch, count);
	if (j == NULL) {
		struct err why;

		(void)err_retry(&why, ERR_NOMEM, "sqlite: no memory for a batch");
		for (size_t i = 0; i < count; i++)
			s->env.report(s->env.host, batch[i], SINK_RETRY, &why);
		return SINK_TAKEN;
	}
	give(s, j);
	return SINK_TAKEN;
}

/* ---- the life of it ---- */

static void
sqlite_close(struct sink *s)
{
	struct err why;

	if (s == NULL)
		return;
	loop_timer_close(s->tick);
	if (s->writer != NULL) {
		sqlite_writer_stop(s->writer);
		report_list(s, sqlite_writer_take_done(s->writer));
		(void)err_retry(&why, ERR_CANCELLED, "sqlite: closed before it was written");
		for (struct sqlite_job *j = sqlite_writer_take_queued(s->writer), *next; j != NULL;
		     j = next) {
			next = j->next;
			sqlite_job_fail(j, SINK_RETRY, &why);
			report_job(s, j);
		}
		sqlite_writer_close(s->writer);
	}
	sqlite_builder_close(&s->builder);
	loop_wake_close(s->wake);
	free(s);
}

static int
sqlite_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	*out = NULL;
	s->env = *env;
	s->conf = conf;
	s->epoch = 1;
	sqlite_builder_init(&s->builder, s->conf);
	s->wake = loop_wake_new(env->loop, on_wake, s);
	s->tick = loop_timer_new(env->loop, on_tick, s);
	if (sqlite_writer_new(&s->writer, s->conf, env->name, kick, s, e) != 0) {
		sqlite_close(s);
		return -1;
	}
	loop_timer_arm(s->tick, TICK_US);
	*out = s;
	return 0;
}

/* ---- what can be seen ---- */

static void
sqlite_status(const struct sink *s, struct buf *out)
{
	struct sqlite_stats st;

	sqlite_writer_stats(s->writer, &st);
	buf_add_str(out, "\"path\":");
	buf_add_json_string(out, slice_of(s->conf->path));
	buf_addf(out,
	    ",\"mode\":\"%s\",\"written\":%llu,\"deleted\":%llu,\"not_newer\":%llu,"
	    "\"rejected\":%llu,\"transactions\":%llu,\"failures\":%llu,\"tombstones_removed\":%llu,"
	    "\"wal_bytes\":%lld,\"trouble\":",
	    rows_mode_words[s->conf->mode], (unsigned long long)st.written,
	    (unsigned long long)st.deleted, (unsigned long long)st.old,
	    (unsigned long long)st.rejected, (unsigned long long)st.transactions,
	    (unsigned long long)st.failures, (unsigned long long)st.purged,
	    (long long)st.wal_bytes);
	if (st.waiting)
		buf_add_json_string(out, slice_of(st.why));
	else
		buf_add_str(out, "null");
}

static void
sqlite_metrics(const struct sink *s, struct metrics *m)
{
	struct sqlite_stats st;
	const char *name = s->env.name;

	sqlite_writer_stats(s->writer, &st);
	metrics_counter(m, "slipring_sqlite_rows_written", "Rows inserted or replaced in the file.",
	    (double)st.written, "sink", name, NULL);
	metrics_counter(m, "slipring_sqlite_rows_deleted", "Items deleted from the file.",
	    (double)st.deleted, "sink", name, NULL);
	metrics_counter(m, "slipring_sqlite_not_newer",
	    "Changes that the file had already, or a newer one of their item.", (double)st.old,
	    "sink", name, NULL);
	metrics_counter(m, "slipring_sqlite_transactions", "Transactions committed.",
	    (double)st.transactions, "sink", name, NULL);
	metrics_gauge(m, "slipring_sqlite_wal_bytes",
	    "Size of the write-ahead log; it grows while a reader keeps a transaction open.",
	    (double)st.wal_bytes, "sink", name, NULL);
	metrics_gauge(m, "slipring_sqlite_queued_records", "Records that wait for the writer.",
	    (double)s->queued, "sink", name, NULL);
}

const struct sink_ops sink_sqlite = {
    .api = SINK_API,
    .type = "sqlite",
    .help = "a copy of tables, or a log of changes, in one SQLite file",
    .caps = SINK_CAP_KEY_ORDER | SINK_CAP_IDEMPOTENT,
    .conf_size = sizeof(struct sqlite_conf),
    .keys = sqlite_keys,
    .check = sqlite_check,
    .probe = sqlite_probe,
    .open = sqlite_open,
    .submit = sqlite_submit,
    .close = sqlite_close,
    .status = sqlite_status,
    .metrics = sqlite_metrics,
};
