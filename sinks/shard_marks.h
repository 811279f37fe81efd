/* sinks/shard_marks.h - how far each shard goes in what is written at once.
 *
 * For targets that keep positions beside the rows. By name, not by pointer:
 * dead letters of one shard, when they are replayed, have an origin each, and a
 * statement may not write one row of positions twice.
 *
 * Threading: none. Kept and used again, they stop allocating.
 */
#ifndef SINKS_SHARD_MARKS_H
#define SINKS_SHARD_MARKS_H

#include "record/record.h"

struct shard_mark {
	const struct origin *origin; /* borrowed */
	struct seq seq;		     /* the highest number */
};

struct shard_marks {
	struct shard_mark *v; /* owned */
	size_t n, cap;
};

void shard_marks_note(struct shard_marks *m, const struct origin *o, const struct seq *seq);
void shard_marks_close(struct shard_marks *m);

static inline void
shard_marks_reset(struct shard_marks *m)
{
	m->n = 0;
}

/* The stream's ARN; of one that has none, its label. */
static inline const char *
origin_stream(const struct origin *o)
{
	return o->arn != NULL ? o->arn : o->label;
}

#endif
