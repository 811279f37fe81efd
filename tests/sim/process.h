/* tests/sim/process.h - one life of the process: a pipeline on the durable
 * state, with an api and sinks of its own.
 */
#ifndef SIM_PROCESS_H
#define SIM_PROCESS_H

#include "tests/sim/api_sim.h"
#include "tests/sim/sim.h"

struct life {
	struct world *w;
	struct pipeline *pl;
	struct store *store; /* borrowed from the store_sim */
	struct api_limits limits;
	size_t live_before;
	uint64_t steps;
	int64_t pace_from; /* see check_pace() in life.c */
	unsigned pace_steps;
	bool ended;
	enum pipeline_end how;
	struct err why;
	int64_t gap_seen_at; /* an open gap was first noticed; 0: none */
};

/* From w->sc, which the caller has filled. */
void world_open(struct world *w, enum trace_level level);
void world_close(struct world *w);

/* False, with a violation, if the pipeline does not start; life_end() all the
 * same. */
bool life_begin(struct life *l, struct world *w);
/* crash: what is under way is lost, as far as chance has it. */
void life_end(struct life *l, bool crash);

#endif
