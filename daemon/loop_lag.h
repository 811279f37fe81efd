/* daemon/loop_lag.h - how late the loop is: a timer that compares when it fired
 * with when it was due. A stall longer than its period is always seen.
 * Threading: loop thread. */
#ifndef DAEMON_LOOP_LAG_H
#define DAEMON_LOOP_LAG_H

#include "base/histogram.h"
#include "base/loop.h"

struct loop_lag;

struct loop_lag *loop_lag_new(struct loop *lp);
void loop_lag_close(struct loop_lag *l);			/* NULL allowed */
const struct histogram *loop_lag_get(const struct loop_lag *l); /* histogram_latency */

#endif
