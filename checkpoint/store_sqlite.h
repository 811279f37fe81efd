/* checkpoint/store_sqlite.h - the embedded store: one SQLite file.
 *
 * WAL, synchronous=FULL; its own thread does all commits, several
 * transactions at a time (group commit), and wakes the loop. application_id and
 * user_version guard against foreign and newer files: ERR_VERSION, never a
 * fresh start. An exclusive lock (flock on PATH.lock) keeps a second daemon out:
 * ERR_LOCKED names the pid. Readers such as the sqlite3 shell are welcome; rows
 * carry a crc, and one that was changed by hand is ERR_CORRUPT.
 */
#ifndef CHECKPOINT_STORE_SQLITE_H
#define CHECKPOINT_STORE_SQLITE_H

#include "checkpoint/store.h"

enum store_open {
	STORE_OWN,  /* create if missing, take the lock; needs the loop */
	STORE_EDIT, /* as OWN, but the file must exist; without a loop (lp NULL):
	             * commits are carried out and reported before store_commit() returns. For
	             * `positions` and `gaps` on a stopped daemon */
	STORE_READ, /* read only, no lock, load only; for `status`, `gaps list` while the
	             * daemon runs */
};

/* lp may be NULL but for OWN. ERR_LOCKED, ERR_VERSION, ERR_CORRUPT, ERR_IO,
 * ERR_NOSPACE, ERR_NOT_FOUND (EDIT and READ: no such file), each with a line that
 * names the file and says how to mend it. */
int store_sqlite_open(struct store **out, struct loop *lp, const char *path, enum store_open how,
    struct err *e) MUST_CHECK;

struct store_sqlite_counts {
	uint64_t transactions; /* durable */
	uint64_t groups;       /* SQLite transactions, and so syncs, that it took */
	uint64_t failed;       /* transactions reported with an error */
};
/* Any thread. */
struct store_sqlite_counts store_sqlite_counts(struct store *s);

#endif
