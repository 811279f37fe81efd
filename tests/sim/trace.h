/* tests/sim/trace.h - what happened, in order: a hash always, text on request.
 *
 * Two runs of a seed must give the same hash, or the seed cannot be replayed.
 * Text lines are formatted only when verbose and kept in a ring, of which a
 * failure prints the end.
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"

#define TRACE_LINES 600u
#define TRACE_WIDTH 220u

struct trace {
	uint64_t hash;
	uint64_t lines;		   /* ever written */
	const int64_t *clock;	   /* borrowed: virtual time for the stamps */
	char (*ring)[TRACE_WIDTH]; /* owned; NULL: hash only */
	bool all;
};

enum trace_level { TRACE_HASH, TRACE_RING, TRACE_ALL /* each line as it comes, on stdout */ };

void trace_open(struct trace *t, const int64_t *clock, enum trace_level level);
void trace_close(struct trace *t);
void trace_line(struct trace *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void trace_print(const struct trace *t, FILE *to);

static inline void
trace_mix(struct trace *t, uint64_t v)
{
	t->hash = (t->hash ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	t->hash ^= t->hash >> 29;
}

/* a and b go into the hash, the rest into the text. */
#define TRACE(t, a, b, ...)                                                                        \
	do {                                                                                       \
		trace_mix((t), (uint64_t) * (t)->clock);                                           \
		trace_mix((t), (uint64_t)(a) << 32 ^ (uint64_t)(b));                               \
		if ((t)->ring != NULL)                                                             \
			trace_line((t), __VA_ARGS__);                                              \
	} while (0)

#endif
