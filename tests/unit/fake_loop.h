/* tests/unit/fake_loop.h - virtual time for tests of the core's state machines.
 *
 * Implements the timers, clocks and randomness of base/loop.h. Time stands
 * still but for fake_run(), which jumps from timer to timer; a day takes as
 * long as its events. The wall clock starts at a fixed date. Linked before the
 * archive, so base/loop_event.c stays out.
 */
#ifndef TESTS_FAKE_LOOP_H
#define TESTS_FAKE_LOOP_H

#include "base/loop.h"

struct loop *fake_loop_new(uint64_t seed);
/* Runs everything that is due within the next `us`, and lets them pass. */
void fake_run(struct loop *lp, int64_t us);
/* Timers that are armed: 0 means that nothing will ever happen again. */
size_t fake_armed(const struct loop *lp);
uint64_t fake_events(const struct loop *lp);

#endif
