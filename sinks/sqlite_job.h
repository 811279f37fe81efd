/* sinks/sqlite_job.h - the deliveries of one submit as rows for the writer.
 *
 *   loop:    build(batch) -> job: tables, last write of each key, cells, positions
 *   thread:  binds and steps, settles what SQLite refuses
 *   loop:    reports, give_back(job)
 *
 * All that needs no SQLite is done here, on the loop: the thread is what bounds the sink.
 * A record that has no row is rejected alone, and the one before it of its key is
 * the row then. Records stay where they are until their report, so cells may point into them.
 *
 * Memory: the cells of a job have at most 32 MiB; what does not fit is left to the thread, one row
 * at a time (SQLITE_NO_CELLS). `out` counts cells and keys of all jobs that are out, for the
 * queue's bound; beside them an item has some 100 bytes. Up to 16 jobs of together 16 MiB
 * are kept and used again, so that they stop allocating.
 *
 * Threading: the builder is the loop's; a job is the thread's from give to take_done (sqlite_writer.h).
 * Tables are made here and closed after the thread has ended.
 */
#ifndef SINKS_SQLITE_JOB_H
#define SINKS_SQLITE_JOB_H

#include "sinks/last_key.h"
#include "sinks/shard_marks.h"
#include "sinks/sqlite_table.h"

#define SQLITE_NO_CELLS SIZE_MAX

struct sqlite_item {
	struct delivery *d;
	struct sqlite_table *table; /* borrowed; NULL: rejected */
	size_t cells;		    /* of its row, in the job's arena; SQLITE_NO_CELLS: not there */
	struct err *why;	    /* owned; REJECT. Others: the job's */
	enum sink_verdict verdict;
	enum rows_op op;  /* if it has cells */
	bool chosen;	  /* the row of its key; a log: always */
	bool was_deleted; /* see struct sqlite_row */
};

struct sqlite_job {
	struct sqlite_job *next;
	int64_t now_us; /* wall clock */
	uint64_t epoch; /* rises with every failure the loop has seen */
	bool failed;	/* all of it, with why: the loop begins a new epoch */
	struct err why;
	size_t bytes; /* raw, for the queue's bound */
	size_t count; /* 0: housekeeping only */
	size_t cap;
	struct sqlite_item *items; /* owned */
	struct last_key keys;	   /* mode table; a log has none */
	struct buf arena;
	struct shard_marks marks;
};

struct sqlite_builder {
	const struct sqlite_conf *conf; /* borrowed */
	struct sqlite_table *tables;	/* owned */
	struct rows_owner *owners;	/* owned */
	struct rows_cell *cells;	/* owned; of the row that is being made */
	size_t cell_cap;
	struct buf text;
	struct sqlite_job *spare; /* owned */
	unsigned spare_count;
	size_t out; /* bytes of cells and keys, of jobs that were not given back */
};

void sqlite_builder_init(struct sqlite_builder *bd, const struct sqlite_conf *conf);
/* All jobs were given back. */
void sqlite_builder_close(struct sqlite_builder *bd);

/* NULL: memory is out. count 0: housekeeping. A job may have failed already, and takes its turn
 * behind what was queued before it. The caller fills in now_us and epoch. */
struct sqlite_job *
sqlite_job_build(struct sqlite_builder *bd, struct delivery *const *batch, size_t count);
void sqlite_job_give_back(struct sqlite_builder *bd, struct sqlite_job *j);

/* ---- on the loop or the thread, whoever has the job ---- */

/* All of it; verdicts of single items are void. */
void sqlite_job_fail(struct sqlite_job *j, enum sink_verdict v, const struct err *why);
/* One item alone. -1 with e: no memory to say why. */
int
sqlite_job_reject(struct sqlite_job *j, size_t i, const struct err *why, struct err *e) MUST_CHECK;
/* Canonical; of a log: SLICE_NONE. */
struct slice sqlite_job_key(const struct sqlite_job *j, size_t i);
/* The one before i that has the same key and is not rejected; SIZE_MAX: none, as in a log. */
size_t sqlite_job_before(const struct sqlite_job *j, size_t i);

#endif
