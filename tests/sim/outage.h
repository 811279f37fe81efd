/* tests/sim/outage.h - hours of outage of three sinks of four: what that costs. */
#ifndef SIM_OUTAGE_H
#define SIM_OUTAGE_H

/* Returns the exit code: 1 if memory or the healthy sink suffered, or anything is missing. */
int outage(unsigned hours);

#endif
