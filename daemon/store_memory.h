/* daemon/store_memory.h - a store that keeps nothing: every transaction is
 * "durable" in the next pass of the loop. For tail, which has no past and no
 * future. Not for anything that must survive its process. */
#ifndef DAEMON_STORE_MEMORY_H
#define DAEMON_STORE_MEMORY_H

#include "checkpoint/store.h"

struct store *store_memory_new(struct loop *lp);

#endif
