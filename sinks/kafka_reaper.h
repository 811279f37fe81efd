/* sinks/kafka_reaper.h - where producers go to end: rd_kafka_destroy() waits for
 * librdkafka's threads, the loop must not.
 *
 * One thread, one producer after the other. A producer that is given belongs
 * to the thread: nothing of it may be touched any more.
 * Threading: calls on the loop thread; `done` is called there, too.
 */
#ifndef SINKS_KAFKA_REAPER_H
#define SINKS_KAFKA_REAPER_H

#include "sinks/kafka_priv.h"

struct kafka_reaper;

int kafka_reaper_open(struct kafka_reaper **out, struct loop *lp, void (*done)(void *arg),
    void *arg, struct err *e) MUST_CHECK;
void kafka_reaper_give(struct kafka_reaper *r, struct kafka_producer *p);
/* Producers that were given and are not gone yet. */
unsigned kafka_reaper_busy(struct kafka_reaper *r);
/* Waits at most that long for the rest to end, then leaves the thread to itself. NULL allowed. */
void kafka_reaper_close(struct kafka_reaper *r, int64_t patience_us);

#endif
