/* sinks/sqlite_writer.h - the thread that writes one SQLite copy.
 *
 *   loop:   job -> give() ------> queue
 *   thread:        some jobs -> BEGIN IMMEDIATE, rows, positions, COMMIT -> done
 *   loop:   wake -> take_done() -> reports
 *
 * While one transaction is synced the next jobs queue, so a slow disk means larger transactions.
 *
 * After a failure everything in the queue fails with it, up to the first job given after the loop has
 * seen the failure (epoch): nothing overtakes. A job that failed while it was built fails when
 * its turn comes, in the same way. A record that is refused by itself does not
 * fail its transaction; the one before it of its key is then written in its place.
 *
 * Threading: give, take_done, take_queued, stats on the loop thread; wake is called on
 * the writer's.
 */
#ifndef SINKS_SQLITE_WRITER_H
#define SINKS_SQLITE_WRITER_H

#include "sinks/sqlite_file.h"

struct sqlite_job;
struct sqlite_writer;

struct sqlite_stats {
	uint64_t transactions, written, deleted, old, rejected, failures, purged;
	int64_t wal_bytes;
	bool waiting; /* cannot write now: `why` */
	char why[256];
};

/* Opens the file, then starts the thread. name: the sink's, borrowed. */
int sqlite_writer_new(struct sqlite_writer **out, const struct sqlite_conf *conf, const char *name,
    void (*wake)(void *arg), void *arg, struct err *e) MUST_CHECK;
void sqlite_writer_give(struct sqlite_writer *w, struct sqlite_job *j);
struct sqlite_job *sqlite_writer_take_done(struct sqlite_writer *w); /* a list, in order */
void sqlite_writer_stats(struct sqlite_writer *w, struct sqlite_stats *out);
/* Lets the transaction under way end, no more. */
void sqlite_writer_stop(struct sqlite_writer *w);
struct sqlite_job *sqlite_writer_take_queued(struct sqlite_writer *w); /* after stop */
void sqlite_writer_close(struct sqlite_writer *w); /* everything taken; NULL allowed */

#endif
