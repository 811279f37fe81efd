/* tests/sim/store_sim.h - the durable state of the daemon, in memory.
 *
 * One store_sim lives as long as the world; each life of the process opens it
 * as a struct store of checkpoint/store.h.
 */
#ifndef SIM_STORE_SIM_H
#define SIM_STORE_SIM_H

#include "checkpoint/store.h"
#include "tests/sim/sim.h"

struct store_sim *store_sim_new(struct world *w);
void store_sim_free(struct store_sim *ss);
struct store *store_sim_open(struct store_sim *ss);
/* `slipring gaps accept ID` on a stopped daemon. */
void store_sim_accept(struct store_sim *ss, uint64_t gap);
bool store_sim_has_shard(const struct store_sim *ss, const struct h_shard *sh);

#endif
