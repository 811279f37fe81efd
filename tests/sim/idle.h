/* tests/sim/idle.h - many idle shards: what they cost in calls and memory. */
#ifndef SIM_IDLE_H
#define SIM_IDLE_H

int idle(unsigned shards, unsigned minutes); /* exit code */

#endif
