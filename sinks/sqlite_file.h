/* sinks/sqlite_file.h - the file of one SQLite copy: its lock, its connection, and what
 * SQLite's result codes mean to the lane.
 *
 *   open (lock, create, recognise) -> drop/connect as failures demand -> close
 *
 * The lock is a file beside it, PATH.lock: one writer, also across two daemons and while
 * one of them is stopped. Readers need nothing of it.
 *
 * An error's verdict (sqlite_verdict_of) is in its fields: retriable is RETRY,
 * ERR_REFUSED is REJECT, everything else HALT.
 *
 * Threading: one thread at a time; `stop` may be set by any.
 */
#ifndef SINKS_SQLITE_FILE_H
#define SINKS_SQLITE_FILE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/conf.h"
#include "sinks/sink.h"

struct sqlite_conf {
	char *path;
	int mode; /* enum rows_mode */
	char *table;
	struct conf_map columns;
	bool create;
	int64_t busy_us;
	int64_t keep_us; /* tombstones.keep */
};

struct sqlite_file {
	const struct sqlite_conf *conf; /* borrowed */
	char *lock_path;		/* owned */
	int lock_fd;			/* owned; -1: none */
	sqlite3 *db;			/* owned; NULL: to be connected again */
	int waited_ms;			/* by the busy handler, for one lock */
	atomic_bool stop;		/* waits for no lock any more */
};

/* ERR_LOCKED, ERR_NOT_FOUND, ERR_VERSION (no copy of ours could be in there), ERR_IO,
 * ERR_CORRUPT; nothing is left open. */
int
sqlite_file_open(struct sqlite_file *f, const struct sqlite_conf *conf, struct err *e) MUST_CHECK;
void sqlite_file_close(struct sqlite_file *f);
/* After a failure: the connection anew. Never creates the file: one that has gone is HALT. */
int sqlite_file_connect(struct sqlite_file *f, struct err *e) MUST_CHECK;
void sqlite_file_drop(struct sqlite_file *f);
/* HALT if the file was removed or replaced under us: what is written would be lost. */
int sqlite_file_check_place(const struct sqlite_file *f, struct err *e) MUST_CHECK;
/* Read-only, without lock: for looking. NULL in *out with 0: there is no file. */
int sqlite_file_look(sqlite3 **out, const struct sqlite_conf *conf, struct err *e) MUST_CHECK;
/* Bytes of the write-ahead log; 0: none. */
int64_t sqlite_file_wal_bytes(const struct sqlite_file *f);

/* What a result code (extended or not) means to the lane. */
enum sink_verdict sqlite_verdict(int rc);
enum sink_verdict sqlite_verdict_of(const struct err *e);
/* "sqlite: PATH: what: why", with the code and retriable of that verdict. db may be NULL. errno
 * is that of the call, or 0. -1. */
int sqlite_err(sqlite3 *db, const char *path, int rc, const char *what, struct err *e);
/* One or more statements without results. */
int sqlite_run(
    sqlite3 *db, const char *path, const char *sql, const char *what, struct err *e) MUST_CHECK;

#endif
