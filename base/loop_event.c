/* base/loop_event.c - base/loop.h on libevent.
 *
 *     timers, descriptors, signals --> libevent --trampoline--> the owner's fn
 *     other threads --eventfd--------------^
 *
 * Each object wraps one struct event. A trampoline checks the magic, and its
 * call of the owner's function is its last act: nothing of the object is
 * touched afterwards, so the owner may close it right there. An object closed
 * by somebody else's callback in the same pass is taken off libevent's active
 * queue and does not fire any more.
 *
 * Clock: CLOCK_MONOTONIC in microseconds, both for loop_now() and inside
 * libevent (PRECISE_TIMER; the coarse clock is 4 ms off). libevent's cached
 * time is off, since a timer armed late in a long pass would otherwise fire
 * early by the length of that pass.
 *
 * Does not do: work for other threads beyond loop_wake_kick(), priorities.
 */
#include "base/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"

enum {
	TIMER_MAGIC = 0x6c70746d,
	IO_MAGIC = 0x6c70696f,
	WAKE_MAGIC = 0x6c70776b,
	SIGNAL_MAGIC = 0x6c707369,
};

/* Longer waits are cut to this; far below where time_t sums could overflow. */
#define DELAY_MAX (INT64_C(100) * 365 * 86400 * USEC_SEC)

struct loop {
	struct event_base *base; /* owned */
	struct rng rng;
	uint64_t passes;
	size_t objects; /* alive: loop_close() proves that none is left */
	bool stop;
};

struct loop_timer {
	uint32_t magic;
	struct loop *lp;  /* borrowed */
	struct event *ev; /* owned */
	void (*fn)(void *arg);
	void *arg;
};

struct loop_io {
	uint32_t magic;
	struct loop *lp;  /* borrowed */
	struct event *ev; /* owned */
	int fd;		  /* borrowed */
	void (*fn)(void *arg, int fd, unsigned events);
	void *arg;
};

struct loop_wake {
	uint32_t magic;
	struct loop *lp;  /* borrowed */
	struct event *ev; /* owned */
	int fd;		  /* owned: the eventfd */
	void (*fn)(void *arg);
	void *arg;
};

struct loop_signal {
	uint32_t magic;
	struct loop *lp;  /* borrowed */
	struct event *ev; /* owned */
	void (*fn)(void *arg, int signo);
	void *arg;
};

/* ---- the loop itself ---- */

/* libevent's own words, which would go to stderr as they are. */
static void
on_libevent_says(int severity, const char *text)
{
	log_line(severity == EVENT_LOG_DEBUG ? LOG_DEBUG
		: severity == EVENT_LOG_MSG  ? LOG_INFO
		: severity == EVENT_LOG_WARN ? LOG_WARN
					     : LOG_ERROR,
	    "loop", "", "libevent: %s", text);
}

static struct event_base *
new_base(void)
{
	struct event_config *cfg = event_config_new();
	struct event_base *base = NULL;
	int flags = EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV |
	    EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME;

	if (cfg == NULL)
		return NULL;
	if (event_config_set_flag(cfg, flags) == 0)
		base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	return base;
}

static int
system_seed(uint64_t *out, struct err *e)
{
	ssize_t n;

	do
		n = getrandom(out, sizeof *out, 0);
	while (n == -1 && errno == EINTR);
	if (n != (ssize_t)sizeof *out)
		return err_errno(e, errno, "loop: cannot get random bytes from the system");
	return 0;
}

int
loop_new(struct loop **out, uint64_t seed, struct err *e)
{
	struct loop *lp;

	*out = NULL;
	if (seed == 0 && system_seed(&seed, e) == -1)
		return -1;
	event_set_log_callback(on_libevent_says);
	lp = mem_new(sizeof *lp);
	rng_seed(&lp->rng, seed);
	lp->base = new_base();
	if (lp->base == NULL) {
		free(lp);
		return err_errno(e, errno, "loop: cannot start libevent");
	}
	*out = lp;
	return 0;
}

void
loop_close(struct loop *lp)
{
	if (lp == NULL)
		return;
	assert(lp->objects == 0);
	event_base_free(lp->base);
	free(lp);
}

int
loop_run(struct loop *lp, struct err *e)
{
	while (!lp->stop) {
		int r = event_base_loop(lp->base, EVLOOP_ONCE);

		lp->passes++;
		if (r == -1)
			return err_set(e, ERR_IO, "loop: libevent failed while waiting");
		/* Without a single event nobody could ever call loop_stop(). */
		if (r == 1 && !lp->stop)
			return err_set(e, ERR_IO, "loop: nothing is left to wait for");
	}
	lp->stop = false;
	return 0;
}

void
loop_stop(struct loop *lp)
{
	lp->stop = true;
}

uint64_t
loop_passes(const struct loop *lp)
{
	return lp->passes;
}

static int64_t
clock_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * USEC_SEC + ts.tv_nsec / 1000;
}

int64_t
loop_now(struct loop *lp)
{
	(void)lp;
	return clock_us(CLOCK_MONOTONIC);
}

int64_t
loop_wall(struct loop *lp)
{
	(void)lp;
	return clock_us(CLOCK_REALTIME);
}

uint64_t
loop_random(struct loop *lp)
{
	return rng_next(&lp->rng);
}

uint64_t
loop_random_below(struct loop *lp, uint64_t bound)
{
	assert(bound > 0);
	return rng_below(&lp->rng, bound);
}

void *
loop_native(struct loop *lp)
{
	return lp->base;
}

/* libevent fails here only when memory is out or a descriptor is not open:
 * the first is fixed and small, the second a bug of ours. */
static struct event *
new_event(struct loop *lp, int fd, short what, event_callback_fn fn, void *arg)
{
	struct event *ev = event_new(lp->base, fd, what, fn, arg);

	if (ev == NULL)
		abort();
	lp->objects++;
	return ev;
}

static void
free_event(struct loop *lp, struct event *ev)
{
	event_free(ev);
	assert(lp->objects > 0);
	lp->objects--;
}

static void
add_event(struct event *ev, const struct timeval *tv)
{
	if (event_add(ev, tv) == -1)
		abort();
}

/* ---- timers ---- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = magic_check(arg, TIMER_MAGIC);

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

struct loop_timer *
loop_timer_new(struct loop *lp, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = mem_new(sizeof *t);

	*t = (struct loop_timer){.magic = TIMER_MAGIC, .lp = lp, .fn = fn, .arg = arg};
	t->ev = new_event(lp, -1, 0, on_timer, t);
	return t;
}

void
loop_timer_arm(struct loop_timer *t, int64_t delay_us)
{
	struct timeval tv;

	if (delay_us < 0)
		delay_us = 0;
	if (delay_us > DELAY_MAX)
		delay_us = DELAY_MAX;
	tv.tv_sec = (time_t)(delay_us / USEC_SEC);
	tv.tv_usec = (suseconds_t)(delay_us % USEC_SEC);
	/* An event that has expired in this very pass but has not run yet sits on
	 * the active queue; event_add() would move its time and still run it. */
	(void)event_del(t->ev);
	add_event(t->ev, &tv);
}

void
loop_timer_disarm(struct loop_timer *t)
{
	(void)event_del(t->ev);
}

bool
loop_timer_armed(const struct loop_timer *t)
{
	return event_pending(t->ev, EV_TIMEOUT, NULL) != 0;
}

void
loop_timer_close(struct loop_timer *t)
{
	if (t == NULL)
		return;
	free_event(t->lp, t->ev);
	t->magic = 0;
	free(t);
}

/* ---- the bridge from other threads ---- */

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop_wake *w = magic_check(arg, WAKE_MAGIC);
	uint64_t kicks;

	(void)what;
	/* First the descriptor, then the work: a kick that comes meanwhile
	 * makes it readable again. */
	if (read(fd, &kicks, sizeof kicks) != (ssize_t)sizeof kicks)
		return;
	w->fn(w->arg);
}

struct loop_wake *
loop_wake_new(struct loop *lp, void (*fn)(void *arg), void *arg)
{
	struct loop_wake *w = mem_new(sizeof *w);

	*w = (struct loop_wake){.magic = WAKE_MAGIC, .lp = lp, .fn = fn, .arg = arg};
	w->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->fd == -1)
		abort(); /* start-up only, and without it the program cannot work */
	w->ev = new_event(lp, w->fd, EV_READ | EV_PERSIST, on_wake, w);
	add_event(w->ev, NULL);
	return w;
}

void
loop_wake_kick(struct loop_wake *w)
{
	const uint64_t one = 1;
	int saved = errno;

	/* EAGAIN: 2^64-2 kicks are waiting, which is as good as one more. */
	while (write(w->fd, &one, sizeof one) == -1 && errno == EINTR)
		continue;
	errno = saved;
}

void
loop_wake_close(struct loop_wake *w)
{
	if (w == NULL)
		return;
	free_event(w->lp, w->ev);
	(void)close(w->fd);
	w->magic = 0;
	free(w);
}

/* ---- descriptors ---- */

static void
on_io(evutil_socket_t fd, short what, void *arg)
{
	struct loop_io *io = magic_check(arg, IO_MAGIC);
	unsigned events = 0;

	if ((what & EV_READ) != 0)
		events |= LOOP_READ;
	if ((what & EV_WRITE) != 0)
		events |= LOOP_WRITE;
	io->fn(io->arg, fd, events);
}

static short
native_events(unsigned events)
{
	return (short)(EV_PERSIST | ((events & LOOP_READ) != 0 ? EV_READ : 0) |
	    ((events & LOOP_WRITE) != 0 ? EV_WRITE : 0));
}

struct loop_io *
loop_io_new(struct loop *lp, int fd, unsigned events,
    void (*fn)(void *arg, int fd, unsigned events), void *arg)
{
	struct loop_io *io = mem_new(sizeof *io);

	*io = (struct loop_io){.magic = IO_MAGIC, .lp = lp, .fd = fd, .fn = fn, .arg = arg};
	io->ev = new_event(lp, fd, native_events(events), on_io, io);
	if (events != 0)
		add_event(io->ev, NULL);
	return io;
}

void
loop_io_set(struct loop_io *io, unsigned events)
{
	if (event_get_events(io->ev) == native_events(events) &&
	    (events == 0 || event_pending(io->ev, EV_READ | EV_WRITE, NULL) != 0))
		return;
	(void)event_del(io->ev);
	if (event_assign(io->ev, io->lp->base, io->fd, native_events(events), on_io, io) == -1)
		abort();
	if (events != 0)
		add_event(io->ev, NULL);
}

void
loop_io_close(struct loop_io *io)
{
	if (io == NULL)
		return;
	free_event(io->lp, io->ev);
	io->magic = 0;
	free(io);
}

/* ---- signals ---- */

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = magic_check(arg, SIGNAL_MAGIC);

	(void)what;
	s->fn(s->arg, signo);
}

struct loop_signal *
loop_signal_new(struct loop *lp, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	struct loop_signal *s = mem_new(sizeof *s);

	*s = (struct loop_signal){.magic = SIGNAL_MAGIC, .lp = lp, .fn = fn, .arg = arg};
	s->ev = new_event(lp, signo, EV_SIGNAL | EV_PERSIST, on_signal, s);
	add_event(s->ev, NULL);
	return s;
}

void
loop_signal_close(struct loop_signal *s)
{
	if (s == NULL)
		return;
	free_event(s->lp, s->ev);
	s->magic = 0;
	free(s);
}
