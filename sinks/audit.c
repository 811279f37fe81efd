/* sinks/audit.c - a tamper-evident trail of every change, in files.
 *
 *   submit() -> job -> storage thread (audit_writer.c) -> wake -> report()
 *
 * This file is the loop's side: it bounds the queue, passes the time in, and
 * reports. The thread encodes, hashes, writes and syncs; audit_file.c has the
 * file, audit_chain.c what is intact, docs/audit.md what a user sees.
 *
 * Verdicts: ACK after fdatasync, or if the trail holds the record already;
 * RETRY when the disk is full or failing, for the batch and all behind it;
 * REJECT for a line beyond any change's size; HALT when acked entries are gone.
 *
 * Not here: when to try again, and the position, which are the lane's.
 */
#include "sinks/sink.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "sinks/audit_resume.h"
#include "sinks/audit_writer.h"

/* Enough for the thread never to wait for the loop; one batch always fits. */
#define QUEUE_RECORDS 16384u
#define QUEUE_BYTES (32u << 20)

static_assert(QUEUE_RECORDS < AUDIT_RECENT, "what is not reported can come again");

struct sink {
	struct sink_env env;
	const struct audit_conf *conf; /* borrowed */
	struct audit_writer *writer;   /* owned */
	struct loop_wake *wake;	       /* owned */
	struct loop_timer *tick;       /* owned */
	int64_t tick_us;
	uint64_t epoch;
	size_t queued, queued_bytes;
	bool full; /* said SINK_FULL; owes ready() */
};

static const struct conf_key audit_keys[] = {
    {.name = "directory",
	.type = CONF_STR,
	.flags = CONF_REQUIRED | CONF_NO_RELOAD,
	.ofs = offsetof(struct audit_conf, directory),
	.doc = "Where the trail's files are; it is created if its parent exists."},
    {.name = "rotate.size",
	.type = CONF_SIZE,
	.ofs = offsetof(struct audit_conf, rotate_size),
	.def = "256MiB",
	.min = 4096,
	.max = INT64_C(1) << 40,
	.doc = "A file that has reached this size is closed and the next one begun."},
    {.name = "rotate.age",
	.type = CONF_DURATION,
	.ofs = offsetof(struct audit_conf, rotate_age_us),
	.def = "24h",
	.min = USEC_SEC,
	.max = INT64_C(366) * 24 * 3600 * USEC_SEC,
	.doc = "A file that was begun this long ago, and is not empty, is closed."},
    {.name = "retention",
	.type = CONF_DURATION,
	.ofs = offsetof(struct audit_conf, retention_us),
	.def = "0",
	.max = INT64_C(36600) * 24 * 3600 * USEC_SEC,
	.doc = "Files closed this long ago are removed, and the trail says so; 0 keeps all."},
    {.name = "compress",
	.type = CONF_BOOL,
	.ofs = offsetof(struct audit_conf, compress),
	.def = "false",
	.doc = "Closed files are compressed with gzip."},
    {.name = NULL},
};

static int
audit_check(const void *conf, struct err *e)
{
	const struct audit_conf *c = conf;

	if (c->directory == NULL || c->directory[0] == '\0')
		return err_set(e, ERR_CONFIG, "audit: directory is empty");
	if (c->retention_us > 0 && c->retention_us < c->rotate_age_us)
		return err_set(e, ERR_CONFIG,
		    "audit: retention is shorter than rotate.age: entries are removed by whole "
		    "files, "
		    "which would be older than that when they are closed");
	return 0;
}

static int
audit_probe(const void *conf, const struct sink_probe *p, struct err *e)
{
	(void)p;
	return audit_resume_probe(conf, e);
}

/* ---- reports ---- */

static void
report_item(struct sink *s, const struct audit_job *j, const struct audit_item *it)
{
	struct err why;

	switch (it->verdict) {
	case SINK_ACK:
		s->env.report(s->env.host, it->d, SINK_ACK, NULL);
		return;
	case SINK_REJECT:
		(void)err_set(&why, ERR_LIMIT, "audit: the line of this record would pass %u bytes",
		    AUDIT_LINE_MAX);
		s->env.report(s->env.host, it->d, SINK_REJECT, &why);
		return;
	case SINK_RETRY:
	case SINK_HALT:
	case SINK_SPLIT: /* never here: a line is refused by itself */
		s->env.report(s->env.host, it->d, it->verdict, &j->why);
	}
}

static void
report_job(struct sink *s, struct audit_job *j)
{
	if (j->failed && j->epoch == s->epoch)
		s->epoch++;
	s->queued -= j->count;
	s->queued_bytes -= j->bytes;
	for (size_t i = 0; i < j->count; i++)
		report_item(s, j, &j->items[i]);
	free(j);
}

static void
report_list(struct sink *s, struct audit_job *j)
{
	struct audit_job *next;

	for (; j != NULL; j = next) {
		next = j->next;
		report_job(s, j);
	}
}

static void
on_wake(void *arg)
{
	struct sink *s = arg;

	report_list(s, audit_writer_take_done(s->writer));
	if (s->full && s->queued <= QUEUE_RECORDS / 2 && s->queued_bytes <= QUEUE_BYTES / 2) {
		s->full = false;
		s->env.ready(s->env.host);
	}
}

/* From the storage thread. */
static void
kick(void *arg)
{
	struct sink *s = arg;

	loop_wake_kick(s->wake);
}

/* ---- jobs ---- */

static void
give(struct sink *s, struct audit_job *j)
{
	j->now_us = loop_wall(s->env.loop);
	j->epoch = s->epoch;
	s->queued += j->count;
	s->queued_bytes += j->bytes;
	audit_writer_give(s->writer, j);
}

/* Age and retention pass without records, too. */
static void
on_tick(void *arg)
{
	struct sink *s = arg;
	struct audit_job *j = audit_job_new(0);

	if (j != NULL)
		give(s, j);
	loop_timer_arm(s->tick, s->tick_us);
}

static enum sink_admit
audit_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	struct audit_job *j;

	if (s->queued > 0 && (s->queued + count > QUEUE_RECORDS || s->queued_bytes > QUEUE_BYTES)) {
		s->full = true;
		return SINK_FULL;
	}
	j = audit_job_new(count);
	if (j == NULL) {
		struct err why;

		(void)err_retry(&why, ERR_NOMEM, "audit: no memory for a batch");
		for (size_t i = 0; i < count; i++)
			s->env.report(s->env.host, batch[i], SINK_RETRY, &why);
		return SINK_TAKEN;
	}
	for (size_t i = 0; i < count; i++) {
		j->items[i].d = batch[i];
		j->bytes += batch[i]->rec->raw.n;
	}
	give(s, j);
	return SINK_TAKEN;
}

/* ---- the life of it ---- */

static void
audit_close(struct sink *s)
{
	struct err why;

	if (s == NULL)
		return;
	loop_timer_close(s->tick);
	if (s->writer != NULL) {
		audit_writer_stop(s->writer);
		report_list(s, audit_writer_take_done(s->writer));
		(void)err_retry(&why, ERR_CANCELLED, "audit: closed before it was written");
		for (struct audit_job *j = audit_writer_take_queued(s->writer), *next; j != NULL;
		     j = next) {
			next = j->next;
			j->why = why;
			for (size_t i = 0; i < j->count; i++)
				j->items[i].verdict = SINK_RETRY;
			report_job(s, j);
		}
		audit_writer_close(s->writer);
	}
	loop_wake_close(s->wake);
	free(s);
}

/* Often enough for the shortest of the ages, at most once a second. */
static int64_t
tick_interval(const struct audit_conf *c)
{
	int64_t t = c->rotate_age_us;

	if (c->retention_us > 0 && c->retention_us < t)
		t = c->retention_us;
	t /= 10;
	return t < USEC_SEC ? USEC_SEC : t > 60 * USEC_SEC ? 60 * USEC_SEC : t;
}

static int
audit_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	*out = NULL;
	s->env = *env;
	s->conf = conf;
	s->epoch = 1;
	s->wake = loop_wake_new(env->loop, on_wake, s);
	s->tick = loop_timer_new(env->loop, on_tick, s);
	s->tick_us = tick_interval(s->conf);
	if (audit_writer_new(&s->writer, s->conf, env->name, loop_wall(env->loop), kick, s, e) !=
	    0) {
		audit_close(s);
		return -1;
	}
	loop_timer_arm(s->tick, 0);
	*out = s;
	return 0;
}

static void
audit_status(const struct sink *s, struct buf *out)
{
	struct audit_stats st;

	audit_writer_stats(s->writer, &st);
	buf_add_str(out, "\"directory\":");
	buf_add_json_string(out, slice_of(s->conf->directory));
	buf_addf(out,
	    ",\"file\":\"%s\",\"last_entry\":%llu,\"head_hash\":\"%s\",\"written\":%llu,"
	    "\"replays_skipped\":%llu,\"rejected\":%llu,\"syncs\":%llu,\"trouble\":",
	    st.file, (unsigned long long)st.last_entry, st.head, (unsigned long long)st.added,
	    (unsigned long long)st.replays, (unsigned long long)st.rejected,
	    (unsigned long long)st.syncs);
	if (st.waiting)
		buf_add_json_string(out, slice_of(st.why));
	else
		buf_add_str(out, "null");
}

const struct sink_ops sink_audit = {
    .api = SINK_API,
    .type = "audit",
    .help = "a tamper-evident trail in files: one line a change, chained by SHA-256",
    .caps = SINK_CAP_KEY_ORDER | SINK_CAP_SHARD_ORDER | SINK_CAP_IDEMPOTENT,
    .conf_size = sizeof(struct audit_conf),
    .keys = audit_keys,
    .check = audit_check,
    .probe = audit_probe,
    .open = audit_open,
    .submit = audit_submit,
    .close = audit_close,
    .status = audit_status,
};
