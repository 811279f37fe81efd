/* sinks/shard_marks.c - see shard_marks.h. */
#include "sinks/shard_marks.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool
same_shard(const struct origin *a, const struct origin *b)
{
	return strcmp(a->shard, b->shard) == 0 && strcmp(origin_stream(a), origin_stream(b)) == 0;
}

/* By pointer first, which is nearly always that of the last. */
static struct shard_mark *
find(const struct shard_marks *m, const struct origin *o)
{
	for (size_t i = m->n; i-- > 0;)
		if (m->v[i].origin == o)
			return &m->v[i];
	for (size_t i = m->n; i-- > 0;)
		if (same_shard(m->v[i].origin, o))
			return &m->v[i];
	return NULL;
}

void
shard_marks_note(struct shard_marks *m, const struct origin *o, const struct seq *seq)
{
	struct shard_mark *k = find(m, o);

	if (k != NULL) {
		if (seq_cmp(&k->seq, seq) < 0)
			k->seq = *seq;
		return;
	}
	if (m->n == m->cap) {
		m->cap = m->cap == 0 ? 16 : 2 * m->cap;
		m->v = mem_grow(m->v, m->cap, sizeof *m->v);
	}
	m->v[m->n++] = (struct shard_mark){o, *seq};
}

void
shard_marks_close(struct shard_marks *m)
{
	free(m->v);
	*m = (struct shard_marks){.n = 0};
}
