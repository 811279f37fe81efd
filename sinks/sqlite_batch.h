/* sinks/sqlite_batch.h - the rows of some jobs in one transaction.
 *
 * What sqlite_writer.c's thread does between two looks at its queue: connection,
 * statements, rows, positions, verdicts, old tombstones.
 *
 * Threading: the writer's thread; opened and closed when there is none.
 */
#ifndef SINKS_SQLITE_BATCH_H
#define SINKS_SQLITE_BATCH_H

#include "sinks/sqlite_job.h"
#include "sinks/sqlite_writer.h"

struct sqlite_batch {
	struct sqlite_file file;
	const struct sqlite_conf *conf;	     /* borrowed */
	const char *name;		     /* the sink's; borrowed */
	struct sqlite_table *ready;	     /* borrowed; their statements are owned */
	sqlite3_stmt *begin, *commit, *mark; /* owned */
	struct shard_marks marks;
	struct rows_cell *cells; /* owned; of a row that has none in its job */
	size_t cell_cap;
	struct buf arena;
	struct sqlite_stats stats;
};

int sqlite_batch_open(struct sqlite_batch *b, const struct sqlite_conf *conf, const char *name,
    struct err *e) MUST_CHECK;
void sqlite_batch_close(struct sqlite_batch *b);
/* All jobs of the list in one transaction: the items' verdicts, ACK or REJECT; or -1 with nothing
 * written and the items' verdicts void. */
int sqlite_batch_write(struct sqlite_batch *b, struct sqlite_job *jobs, struct err *e) MUST_CHECK;
/* Removes tombstones and positions that are too old, some at a time: *more if there are
 * others. -1 does no harm. */
int
sqlite_batch_purge(struct sqlite_batch *b, int64_t now_us, bool *more, struct err *e) MUST_CHECK;

#endif
