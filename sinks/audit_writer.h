/* sinks/audit_writer.h - the storage thread of one audit sink.
 *
 *   loop:   job -> give() ------> queue
 *   thread:        all that is queued -> encode, hash, write, fdatasync -> done
 *   loop:   wake -> take_done() -> reports
 *
 * While one group is synced the next queues, so the slower the disk, the larger
 * the groups. Encoding is on the thread too: it reads records only, which stay
 * where they are until their report.
 *
 * After a failure everything in the queue fails with it, up to the first job
 * given after the loop has seen the failure (epoch): nothing overtakes.
 *
 * Threading: give, take_done, take_queued, stats on the loop thread; wake is
 * called on the storage thread.
 */
#ifndef SINKS_AUDIT_WRITER_H
#define SINKS_AUDIT_WRITER_H

#include "sinks/audit_file.h"
#include "sinks/sink.h"

struct audit_writer;

struct audit_job {
	struct audit_job *next;
	int64_t now_us; /* wall clock */
	uint64_t epoch; /* rises with every failure the loop has seen */
	bool failed;	/* some of it: the loop begins a new epoch */
	struct err why; /* of RETRY and HALT */
	size_t bytes;	/* raw, for the queue's bound */
	size_t count;	/* 0: housekeeping only */
	struct audit_item {
		struct delivery *d;
		bool settled;
		enum sink_verdict verdict;
	} items[];
};

struct audit_stats {
	char file[AUDIT_NAME_MAX];
	char head[AUDIT_HEX + 1];
	uint64_t last_entry;
	uint64_t added, replays, rejected, syncs;
	bool waiting; /* cannot write now: `why` */
	char why[256];
};

/* Opens the trail, then starts the thread. */
int audit_writer_new(struct audit_writer **out, const struct audit_conf *conf, const char *name,
    int64_t now_us, void (*wake)(void *arg), void *arg, struct err *e) MUST_CHECK;
/* NULL if memory is out; the caller fills in items, now_us, epoch, bytes. */
struct audit_job *audit_job_new(size_t count);
void audit_writer_give(struct audit_writer *w, struct audit_job *j);
struct audit_job *audit_writer_take_done(struct audit_writer *w); /* a list, in order */
void audit_writer_stats(struct audit_writer *w, struct audit_stats *out);
/* Lets the group that is being written finish, no more. */
void audit_writer_stop(struct audit_writer *w);
struct audit_job *audit_writer_take_queued(struct audit_writer *w); /* after stop */
void audit_writer_close(struct audit_writer *w); /* stopped, everything taken; NULL allowed */

#endif
