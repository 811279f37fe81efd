/* tests/sim/operator.h - what people do to a running daemon, some time after there
 * is a reason: accept gaps, resume halted sinks.
 */
#ifndef SIM_OPERATOR_H
#define SIM_OPERATOR_H

#include "tests/sim/process.h"

void operator_look(struct life *l); /* every few steps */
void operator_accepts_offline(struct world *w);

#endif
