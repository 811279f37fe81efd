/* tests/sim/loop_sim.h - what the simulator may do with its loop beyond
 * base/loop.h: turn it by hand, let time pass, jump the wall clock.
 */
#ifndef SIM_LOOP_SIM_H
#define SIM_LOOP_SIM_H

#include <stddef.h>

#include "base/loop.h"

/* Virtual monotonic time at birth; any number but zero, which means "never"
 * in several places of the core. */
#define LOOP_SIM_EPOCH (INT64_C(1000) * USEC_SEC)
/* 2026-11-21T00:00:00Z: wall = monotonic - EPOCH + this + jumps. */
#define LOOP_SIM_WALL INT64_C(1795219200000000)

/* Runs the next callback that is due by `until`; false, with the clock at
 * `until`, when there is none. */
bool loop_sim_step(struct loop *lp, int64_t until);
/* Time passes and nothing runs: the process is not there. */
void loop_sim_sleep(struct loop *lp, int64_t us);
void loop_sim_jump_wall(struct loop *lp, int64_t us);
const int64_t *loop_sim_clock(const struct loop *lp);
/* Timers and wakes that have not been closed. */
size_t loop_sim_live(const struct loop *lp);

/* The service's clock, which nobody jumps. */
static inline int64_t
loop_sim_true_wall(int64_t monotonic)
{
	return monotonic - LOOP_SIM_EPOCH + LOOP_SIM_WALL;
}

#endif
