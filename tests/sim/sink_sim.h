/* tests/sim/sink_sim.h - a target and the sink before it. The target outlives
 * the process; the sink is opened by each life's pipeline.
 */
#ifndef SIM_SINK_SIM_H
#define SIM_SINK_SIM_H

#include "sinks/sink.h"
#include "tests/sim/sim.h"

struct sink_target {
	struct world *w;
	unsigned number;
	char name[8]; /* "s0" */
	const struct sink_scenario *sc;
	struct rng rng;
	bool halted;  /* said HALT in this life */
	bool *mended; /* owned; [event] it is poison no more */
};

/* What a lane is given; the configuration is the struct sink_target itself. */
extern const struct sink_ops sink_sim_shard, sink_sim_ordered, sink_sim_loose;

/* Is everything it refuses waited for until somebody resumes it? */
bool sink_sim_needs_people(const struct sink_target *t);

void sink_target_init(struct sink_target *t, struct world *w, unsigned number);
void sink_target_close(struct sink_target *t);

#endif
