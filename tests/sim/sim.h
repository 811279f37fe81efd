/* tests/sim/sim.h - one seed's world, shared by all of the simulator.
 *
 *   scenario -> history -> api_sim --\                /-- sink_sim
 *                                     real pipeline --
 *               loop_sim (all) ------/                \-- store_sim
 *                                        oracle watches every edge
 *
 * A world lives through several lives of the process: a crash closes the
 * pipeline, and what the store and the sinks had made durable starts the next.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "tests/sim/history.h"
#include "tests/sim/loop_sim.h"
#include "tests/sim/totals.h"
#include "tests/sim/trace.h"

struct oracle;
struct sink_target;
struct store_sim;

struct world {
	struct scenario sc;
	struct totals totals;
	struct trace trace;
	struct rng rng; /* the driver's own */
	struct loop *loop;
	struct history *hist;
	struct oracle *oracle;
	struct store_sim *store;
	struct sink_target *target; /* [sc.sinks] */
	struct api *api[SIM_TABLES];
	int64_t start;
	unsigned life; /* of the process, from 1 */
	bool calm;     /* no more faults */
	bool dead;     /* this life is being ended by a crash: nothing gets durable */
};

static inline int64_t
world_now(const struct world *w)
{
	return *w->trace.clock;
}

static inline void
count(struct world *w, enum total what)
{
	w->totals.n[what]++;
}

static inline bool
span_has(const struct span *s, const struct world *w)
{
	int64_t t = world_now(w) - w->start;

	return t >= s->from && t < s->to;
}

#endif
