/* tests/sim/filter_sim.h - a filter before a sink, which keeps, drops, rewrites, refuses and
 * spoils: what it does to an event hangs on seed, sink and event alone, but for what it
 * refuses until somebody mends that.
 */
#ifndef SIM_FILTER_SIM_H
#define SIM_FILTER_SIM_H

#include "filters/chain.h"
#include "tests/sim/history.h"
#include "tests/sim/sink_sim.h"

/* NULL: that sink has none. */
struct chain *filter_sim_chain(struct sink_target *t);
/* Does it refuse the event (or make nonsense of it) as things stand? */
bool filter_sim_refuses(const struct sink_target *t, const struct h_event *ev);
bool filter_sim_drops(const struct sink_target *t, const struct h_event *ev);
/* Is that what the sink should be given of the event? */
bool filter_sim_right(const struct sink_target *t, const struct h_event *ev, struct slice raw);

#endif
