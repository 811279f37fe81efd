/* sinks/sqlite_writer.c - see sqlite_writer.h. */
#include "sinks/sqlite_writer.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "sinks/sqlite_batch.h"

/* One transaction: long enough for the sync to be shared by many, short enough for other
 * writers of the file to have a turn within a second. */
#define GROUP_RECORDS 4096u

struct job_list {
	struct sqlite_job *first, *last;
};

struct sqlite_writer {
	struct sqlite_batch batch; /* the thread's */
	const char *name;
	void (*wake)(void *arg);
	void *arg;
	pthread_t thread;
	bool running;

	/* the thread's */
	uint64_t failed_epoch; /* jobs up to it fail with what failed last */
	struct err why;
	bool purging;	/* a tick came, and there may be tombstones that are too old */
	int64_t now_us; /* of the job that came last */

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t more;
	struct job_list queue, done;
	struct sqlite_stats stats;
	bool stop;
};

static void
list_add(struct job_list *l, struct sqlite_job *j)
{
	j->next = NULL;
	if (l->last != NULL)
		l->last->next = j;
	else
		l->first = j;
	l->last = j;
}

/* The first jobs, together at most so many records, or one job; of one epoch, so that they
 * fail or not together; one that failed already alone. */
static struct sqlite_job *
list_take(struct job_list *l, size_t records)
{
	struct sqlite_job *first = l->first, *j = first;
	size_t n = j != NULL ? j->count : 0;

	if (j == NULL)
		return NULL;
	while (j->next != NULL && !first->failed && !j->next->failed &&
	    j->next->epoch == first->epoch && n + j->next->count <= records) {
		j = j->next;
		n += j->count;
	}
	l->first = j->next;
	if (l->first == NULL)
		l->last = NULL;
	j->next = NULL;
	return first;
}

/* ---- on the thread ---- */

static void
fail_all(struct sqlite_job *jobs, enum sink_verdict v, const struct err *why)
{
	for (struct sqlite_job *j = jobs; j != NULL; j = j->next)
		sqlite_job_fail(j, v, why);
}

/* Of a whole transaction: no single record is at fault. */
static enum sink_verdict
verdict_of_all(const struct err *e)
{
	return sqlite_verdict_of(e) == SINK_RETRY ? SINK_RETRY : SINK_HALT;
}

static void
note_trouble(struct sqlite_writer *w, const struct err *e)
{
	struct sqlite_stats *st = &w->batch.stats;

	w->why = *e;
	st->failures++;
	st->waiting = true;
	(void)snprintf(st->why, sizeof st->why, "%.255s", e->text);
	if (verdict_of_all(e) == SINK_HALT)
		log_error("sqlite", w->name, "stopped: %s", e->text);
	else
		log_warn("sqlite", w->name, "nothing is written, trying again: %s", e->text);
}

static void
note_success(struct sqlite_writer *w)
{
	if (w->batch.stats.waiting)
		log_info("sqlite", w->name, "writes again");
	w->batch.stats.waiting = false;
	w->batch.stats.why[0] = '\0';
}

/* One portion; the rest comes after the next group, or at once if there is none. */
static void
keep_house(struct sqlite_writer *w)
{
	struct err e;

	if (!w->purging)
		return;
	if (sqlite_batch_purge(&w->batch, w->now_us, &w->purging, &e) != 0)
		log_warn("sqlite", w->name, "old tombstones stay for now: %s", e.text);
}

static void
run_group(struct sqlite_writer *w, struct sqlite_job *jobs)
{
	struct err e;
	bool records = false;

	/* What failed while these were queued came before them. */
	if (jobs->epoch <= w->failed_epoch) {
		fail_all(jobs, SINK_RETRY, &w->why);
		return;
	}
	for (struct sqlite_job *j = jobs; j != NULL; j = j->next) {
		records = records || j->count != 0;
		w->purging = w->purging || j->count == 0;
		w->now_us = j->now_us;
	}
	if (!records)
		return;
	if (jobs->failed) {
		e = jobs->why;
	} else if (sqlite_batch_write(&w->batch, jobs, &e) == 0) {
		note_success(w);
		return;
	}
	note_trouble(w, &e);
	fail_all(jobs, verdict_of_all(&e), &e);
	w->failed_epoch = jobs->epoch;
}

/* NULL: there is none, but something else to be done. */
static struct sqlite_job *
next_group(struct sqlite_writer *w, bool *stop)
{
	struct sqlite_job *jobs = NULL;

	(void)pthread_mutex_lock(&w->lock);
	while (w->queue.first == NULL && !w->stop && !w->purging)
		(void)pthread_cond_wait(&w->more, &w->lock);
	*stop = w->stop;
	if (!w->stop)
		jobs = list_take(&w->queue, GROUP_RECORDS);
	(void)pthread_mutex_unlock(&w->lock);
	return jobs;
}

static void
hand_back(struct sqlite_writer *w, struct sqlite_job *jobs)
{
	struct sqlite_job *next;

	(void)pthread_mutex_lock(&w->lock);
	for (; jobs != NULL; jobs = next) {
		next = jobs->next;
		list_add(&w->done, jobs);
	}
	w->stats = w->batch.stats;
	(void)pthread_mutex_unlock(&w->lock);
	w->wake(w->arg);
}

static void *
thread_main(void *arg)
{
	struct sqlite_writer *w = arg;
	bool stop;

	for (;;) {
		struct sqlite_job *jobs = next_group(w, &stop);

		if (stop)
			return NULL;
		if (jobs != NULL) {
			run_group(w, jobs);
			hand_back(w, jobs);
		}
		keep_house(w);
	}
}

/* ---- on the loop ---- */

static int
start_thread(struct sqlite_writer *w, struct err *e)
{
	sigset_t all, before;
	int r;

	/* Signals are the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&w->thread, NULL, thread_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return err_errno(e, r, "sqlite: cannot start the writer's thread");
	(void)pthread_setname_np(w->thread, "sqlite");
	w->running = true;
	return 0;
}

int
sqlite_writer_new(struct sqlite_writer **out, const struct sqlite_conf *conf, const char *name,
    void (*wake)(void *arg), void *arg, struct err *e)
{
	struct sqlite_writer *w = mem_new(sizeof *w);

	*out = NULL;
	w->name = name;
	w->wake = wake;
	w->arg = arg;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->more, NULL);
	if (sqlite_batch_open(&w->batch, conf, name, e) != 0 || start_thread(w, e) != 0) {
		sqlite_writer_close(w);
		return -1;
	}
	*out = w;
	return 0;
}

void
sqlite_writer_give(struct sqlite_writer *w, struct sqlite_job *j)
{
	(void)pthread_mutex_lock(&w->lock);
	list_add(&w->queue, j);
	(void)pthread_cond_signal(&w->more);
	(void)pthread_mutex_unlock(&w->lock);
}

struct sqlite_job *
sqlite_writer_take_done(struct sqlite_writer *w)
{
	struct sqlite_job *j;

	(void)pthread_mutex_lock(&w->lock);
	j = w->done.first;
	w->done = (struct job_list){NULL, NULL};
	(void)pthread_mutex_unlock(&w->lock);
	return j;
}

struct sqlite_job *
sqlite_writer_take_queued(struct sqlite_writer *w)
{
	struct sqlite_job *j = w->queue.first;

	w->queue = (struct job_list){NULL, NULL};
	return j;
}

void
sqlite_writer_stats(struct sqlite_writer *w, struct sqlite_stats *out)
{
	(void)pthread_mutex_lock(&w->lock);
	*out = w->stats;
	(void)pthread_mutex_unlock(&w->lock);
}

void
sqlite_writer_stop(struct sqlite_writer *w)
{
	if (!w->running)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->more);
	(void)pthread_mutex_unlock(&w->lock);
	atomic_store(&w->batch.file.stop, true);
	(void)pthread_join(w->thread, NULL);
	w->running = false;
}

void
sqlite_writer_close(struct sqlite_writer *w)
{
	if (w == NULL)
		return;
	sqlite_writer_stop(w);
	sqlite_batch_close(&w->batch);
	(void)pthread_cond_destroy(&w->more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
