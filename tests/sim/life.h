/* tests/sim/life.h - one seed from its first life to its last. */
#ifndef SIM_LIFE_H
#define SIM_LIFE_H

#include "tests/sim/totals.h"
#include "tests/sim/trace.h"

/* Adds to totals; false if something was violated (said on stdout, with a
 * trace if one was kept). hash: of the trace, may be NULL. */
bool life_seed(uint64_t seed, enum trace_level level, struct totals *totals, uint64_t *hash);

#endif
