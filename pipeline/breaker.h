/* pipeline/breaker.h - stops asking a target that does not answer.
 *
 *   CLOSED --failures in a row--> OPEN --open_us--> PROBING --ACK--> CLOSED
 *                                   ^------------------'  (failure)
 *
 * Pure: told what happened and what time it is. Times in microseconds,
 * monotonic.
 */
#ifndef PIPELINE_BREAKER_H
#define PIPELINE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

const char *breaker_state_name(enum breaker_state s);

struct breaker {
	enum breaker_state state;
	int64_t limit;	 /* failures in a row that open it */
	int64_t open_us; /* from opening to the probe */
	int64_t failures;
	int64_t until; /* OPEN: when it may be probed */
};

void breaker_init(struct breaker *br, int64_t limit, int64_t open_us);
/* True if this opened it. */
bool breaker_failed(struct breaker *br, int64_t now);
/* True if this closed it. */
bool breaker_succeeded(struct breaker *br);
/* OPEN and its time is over -> PROBING, true. */
bool breaker_due(struct breaker *br, int64_t now);
/* Somebody knows better: -> PROBING. */
void breaker_probe(struct breaker *br);

#endif
