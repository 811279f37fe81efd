/* sinks/kafka_reaper.c - see kafka_reaper.h. */
#include "sinks/kafka_reaper.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

struct kafka_reaper {
	pthread_t thread;
	pthread_mutex_t lock; /* over all below */
	pthread_cond_t given;
	struct kafka_producer *first, *last; /* owned; to be destroyed */
	unsigned busy;
	bool closing;
	bool orphan;		/* nobody waits any more: the thread frees this */
	struct loop_wake *wake; /* owned by the loop's side */
	int ended;		/* owned; eventfd: the thread has nothing left and is closing */
};

static void
reaper_free(struct kafka_reaper *r)
{
	(void)pthread_mutex_destroy(&r->lock);
	(void)pthread_cond_destroy(&r->given);
	(void)close(r->ended);
	free(r);
}

/* NULL: closing, and nothing is left. */
static struct kafka_producer *
take(struct kafka_reaper *r)
{
	struct kafka_producer *p;

	while (r->first == NULL && !r->closing)
		(void)pthread_cond_wait(&r->given, &r->lock);
	p = r->first;
	if (p != NULL)
		r->first = p->next;
	if (r->first == NULL)
		r->last = NULL;
	return p;
}

static void *
reap(void *arg)
{
	static const uint64_t one = 1;
	struct kafka_reaper *r = arg;
	struct kafka_producer *p;
	bool orphan;

	(void)pthread_mutex_lock(&r->lock);
	while ((p = take(r)) != NULL) {
		(void)pthread_mutex_unlock(&r->lock);
		kafka_producer_destroy(p);
		(void)pthread_mutex_lock(&r->lock);
		r->busy--;
		if (!r->closing)
			loop_wake_kick(r->wake);
	}
	orphan = r->orphan;
	if (!orphan)
		(void)!write(r->ended, &one, sizeof one);
	(void)pthread_mutex_unlock(&r->lock);
	if (orphan)
		reaper_free(r);
	return NULL;
}

int
kafka_reaper_open(
    struct kafka_reaper **out, struct loop *lp, void (*done)(void *arg), void *arg, struct err *e)
{
	struct kafka_reaper *r = mem_new(sizeof *r);
	int errnum = 0;

	(void)pthread_mutex_init(&r->lock, NULL);
	(void)pthread_cond_init(&r->given, NULL);
	r->ended = eventfd(0, EFD_CLOEXEC);
	r->wake = loop_wake_new(lp, done, arg);
	errnum = r->ended < 0 ? errno : pthread_create(&r->thread, NULL, reap, r);
	if (errnum != 0) {
		loop_wake_close(r->wake);
		reaper_free(r);
		return err_errno(e, errnum, "kafka: cannot start a thread");
	}
	*out = r;
	return 0;
}

void
kafka_reaper_give(struct kafka_reaper *r, struct kafka_producer *p)
{
	(void)pthread_mutex_lock(&r->lock);
	p->next = NULL;
	if (r->last != NULL)
		r->last->next = p;
	else
		r->first = p;
	r->last = p;
	r->busy++;
	(void)pthread_cond_signal(&r->given);
	(void)pthread_mutex_unlock(&r->lock);
}

unsigned
kafka_reaper_busy(struct kafka_reaper *r)
{
	unsigned n;

	(void)pthread_mutex_lock(&r->lock);
	n = r->busy;
	(void)pthread_mutex_unlock(&r->lock);
	return n;
}

void
kafka_reaper_close(struct kafka_reaper *r, int64_t patience_us)
{
	struct pollfd ended;
	bool over;

	if (r == NULL)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->closing = true;
	(void)pthread_cond_signal(&r->given);
	(void)pthread_mutex_unlock(&r->lock);
	loop_wake_close(r->wake); /* not kicked any more: closing was seen under the lock */
	ended = (struct pollfd){.fd = r->ended, .events = POLLIN};
	over = poll(&ended, 1, (int)(patience_us / USEC_MS)) > 0;
	if (!over) {
		/* It may have ended since. */
		(void)pthread_mutex_lock(&r->lock);
		over = poll(&ended, 1, 0) > 0;
		r->orphan = !over;
		if (!over)
			(void)pthread_detach(r->thread);
		(void)pthread_mutex_unlock(&r->lock);
	}
	if (!over)
		return;
	(void)pthread_join(r->thread, NULL);
	reaper_free(r);
}
