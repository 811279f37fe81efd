/* base/loop.h - the event loop, timers, clocks and randomness of the core.
 *
 * Replaceable at link time: base/loop_event.c implements it on libevent, the
 * simulator (tests/sim/loop_sim.c) on virtual time from a seed. Nothing else
 * in the core calls libevent, time(), clock_gettime() or random().
 *
 * Threading: everything is for the loop's own thread, except loop_wake_kick().
 * Callbacks run from loop_run() only, never from inside another call here, so
 * a caller is never re-entered. An object may be closed in its own callback.
 * Times are int64_t microseconds.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct loop;
struct loop_timer;
struct loop_io;
struct loop_wake;
struct loop_signal;

#define USEC_MS INT64_C(1000)
#define USEC_SEC INT64_C(1000000)

/* seed 0: taken from the system's randomness. */
int loop_new(struct loop **out, uint64_t seed, struct err *e) MUST_CHECK;
void loop_close(struct loop *lp); /* NULL allowed; all objects closed before */

/* Runs until loop_stop(); a stop that came before is kept. Returns -1 only if
 * the platform's loop failed, or nothing is left that could ever fire. */
int loop_run(struct loop *lp, struct err *e) MUST_CHECK;
void loop_stop(struct loop *lp);
/* Counts passes; the watchdog compares it to see that the loop turns. */
uint64_t loop_passes(const struct loop *lp);

int64_t loop_now(struct loop *lp);  /* monotonic; only differences mean anything */
int64_t loop_wall(struct loop *lp); /* since 1970-01-01 UTC */
uint64_t loop_random(struct loop *lp);
/* Uniform in 0..bound-1; bound > 0. */
uint64_t loop_random_below(struct loop *lp, uint64_t bound);

/* A timer fires once per arming. Arming again moves it; delay <= 0 means in
 * the next pass. close(NULL) is allowed. */
struct loop_timer *loop_timer_new(struct loop *lp, void (*fn)(void *arg), void *arg);
void loop_timer_arm(struct loop_timer *t, int64_t delay_us);
void loop_timer_disarm(struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_close(struct loop_timer *t);

/* The one bridge from other threads: any number of kicks before the loop gets
 * there are one call of fn on the loop thread. */
struct loop_wake *loop_wake_new(struct loop *lp, void (*fn)(void *arg), void *arg);
void loop_wake_kick(struct loop_wake *w); /* any thread, async-signal-safe */
void loop_wake_close(struct loop_wake *w);

/* File descriptors and signals: not implemented by the simulator. */
enum { LOOP_READ = 1u << 0, LOOP_WRITE = 1u << 1 };
struct loop_io *loop_io_new(struct loop *lp, int fd, unsigned events,
    void (*fn)(void *arg, int fd, unsigned events), void *arg);
void loop_io_set(struct loop_io *io, unsigned events);
void loop_io_close(struct loop_io *io); /* does not close fd */
struct loop_signal *
loop_signal_new(struct loop *lp, int signo, void (*fn)(void *arg, int signo), void *arg);
void loop_signal_close(struct loop_signal *s);
/* The struct event_base *, for libevent's own helpers (evhttp); NULL in the
 * simulator. */
void *loop_native(struct loop *lp);

#endif
