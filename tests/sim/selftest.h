/* tests/sim/selftest.h - the simulator's own parts, without the pipeline. */
#ifndef SIM_SELFTEST_H
#define SIM_SELFTEST_H

int selftest(void); /* exit code */

#endif
