/* sinks/sqlite_batch.h - the rows of some jobs in one transaction.
 *
 * What sqlite_writer.c's thread does between two looks at its queue: connection,
 * tables by name, last write per key, positions, verdicts, old tombstones.
 *
 * Threading: the writer's thread; opened and closed when there is none.
 */
#ifndef SINKS_SQLITE_BATCH_H
#define SINKS_SQLITE_BATCH_H

#include "sinks/last_key.h"
#include "sinks/sqlite_table.h"
#include "sinks/sqlite_writer.h"

struct sqlite_mark { /* how far a shard was written in this transaction */
	const struct origin *origin;
	struct seq seq;
};

struct sqlite_batch {
	struct sqlite_file file;
	const struct sqlite_conf *conf; /* borrowed */
	const char *name;		/* the sink's; borrowed */
	struct sqlite_table *tables;	/* owned */
	struct rows_owner *owners;	/* owned */
	struct sqlite_table **of;	/* owned; of_cap long: the table of each item of a job */
	size_t of_cap;
	sqlite3_stmt *begin, *commit, *mark; /* owned */
	struct last_key keys;
	struct buf key, arena, table_name;
	struct sqlite_mark *marks; /* owned */
	size_t mark_count, mark_cap;
	const struct origin *last_origin; /* within a job: the table of it is known */
	struct sqlite_table *last_table;
	struct sqlite_stats stats;
};

int sqlite_batch_open(struct sqlite_batch *b, const struct sqlite_conf *conf, const char *name,
    struct err *e) MUST_CHECK;
void sqlite_batch_close(struct sqlite_batch *b);
/* All jobs of the list in one transaction: the items' verdicts, ACK or REJECT; or -1 with nothing
 * written and nothing settled. */
int sqlite_batch_write(struct sqlite_batch *b, struct sqlite_job *jobs, struct err *e) MUST_CHECK;
/* Removes tombstones and positions that are too old, some at a time: *more if there are
 * others. -1 does no harm. */
int
sqlite_batch_purge(struct sqlite_batch *b, int64_t now_us, bool *more, struct err *e) MUST_CHECK;

#endif
