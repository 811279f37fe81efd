/* sinks/postgres_batch.h - deliveries of one submit as the parameters of a transaction.
 *
 *   begin -> add(delivery) ... -> build: rows by target, last write per key, positions
 *
 * In table mode what a later record of the same request overwrites is not sent; its
 * fate is that of the request. A record that has no row in its table is rejected
 * by itself, and an earlier one of its key takes its place.
 *
 * Threading: none. Requests and the builder are kept and used again, so that they stop
 * allocating.
 */
#ifndef SINKS_POSTGRES_BATCH_H
#define SINKS_POSTGRES_BATCH_H

#include "sinks/last_key.h"
#include "sinks/postgres_array.h"
#include "sinks/postgres_sql.h"
#include "sinks/shard_marks.h"
#include "sinks/sink.h"

struct pg_part {			/* what goes to one target */
	const struct pg_target *target; /* borrowed */
	struct pg_array *put;		/* owned; one of each column */
	struct pg_array *gone;		/* owned; keys and version of what is deleted */
	size_t puts, dels;
};

struct pg_request {
	struct delivery **d; /* owned array; of what is not reported yet */
	size_t n, cap;
	struct pg_part *parts; /* owned; those without rows are from earlier requests */
	size_t part_count;
	struct shard_marks marks;
	struct pg_array arns, shards, numbers;
	size_t rows;
};

struct pg_builder {
	const struct pg_conf *conf; /* borrowed */
	struct pg_target *targets;  /* owned */
	unsigned target_count;
	struct rows_owner *owners; /* owned */
	struct last_key last;
	struct buf arena, text;
	struct rows_cell *cells; /* owned */
	size_t cell_cap;
	bool *taken;		     /* owned; a write of this key is in */
	const struct pg_target **of; /* owned; of each delivery */
	size_t cap;
	/* Says that one record is refused for good. */
	void (*reject)(void *ctx, struct delivery *d, const struct err *why);
	void *ctx;
};

void pg_builder_init(struct pg_builder *b, const struct pg_conf *conf);
void pg_builder_close(struct pg_builder *b);

void pg_request_begin(struct pg_request *rq);
void pg_request_add(struct pg_request *rq, struct delivery *d);
void pg_request_close(struct pg_request *rq);
/* Afterwards rq->d has what was not rejected. ERR_CONFIG: the sink cannot work as it
 * is configured, say HALT for rq->d; ERR_NOMEM: RETRY. */
int pg_build(struct pg_builder *b, struct pg_request *rq, struct err *e) MUST_CHECK;

#endif
