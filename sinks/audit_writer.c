/* sinks/audit_writer.c - see audit_writer.h.
 *
 * A verdict is given after the commit that covers it, never before: `from` is
 * the first item that no commit has covered, and settle() moves it on.
 */
#include "sinks/audit_writer.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* Between two groups at least, and when nothing else is to be done. */
#define COMPRESS_BUSY (256u << 10)
#define COMPRESS_IDLE (1u << 20)

struct job_list {
	struct audit_job *first, *last;
};

struct audit_writer {
	struct audit_file file; /* the thread's */
	const char *name;
	void (*wake)(void *arg);
	void *arg;
	pthread_t thread;
	bool running;

	/* the thread's */
	uint64_t failed_epoch; /* jobs up to it fail with what failed last */
	bool halted;
	struct err why;
	struct audit_stats counting;

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t more;
	struct job_list queue, done;
	struct audit_stats stats;
	bool stop;
};

static void
list_add(struct job_list *l, struct audit_job *j)
{
	j->next = NULL;
	if (l->last != NULL)
		l->last->next = j;
	else
		l->first = j;
	l->last = j;
}

static struct audit_job *
list_take_all(struct job_list *l)
{
	struct audit_job *j = l->first;

	*l = (struct job_list){NULL, NULL};
	return j;
}

struct audit_job *
audit_job_new(size_t count)
{
	struct audit_job *j;

	if (count > (SIZE_MAX - sizeof *j) / sizeof j->items[0])
		return NULL;
	j = calloc(1, sizeof *j + count * sizeof j->items[0]);
	if (j != NULL)
		j->count = count;
	return j;
}

/* ---- on the thread ---- */

struct group {
	struct audit_writer *w;
	struct audit_job *from; /* its items from `item` on wait for a verdict */
	size_t item;
};

static void
give_verdict(struct audit_job *j, struct audit_item *it, enum sink_verdict v, const struct err *why)
{
	if (it->settled)
		return;
	it->settled = true;
	it->verdict = v;
	if (v != SINK_ACK) {
		j->failed = true;
		j->why = *why;
	}
}

/* Everything from the group's mark to item `end` of job `to` (NULL: all of the group). */
static void
settle(
    struct group *g, struct audit_job *to, size_t end, enum sink_verdict v, const struct err *why)
{
	while (g->from != NULL) {
		size_t n = g->from == to ? end : g->from->count;

		for (; g->item < n; g->item++)
			give_verdict(g->from, &g->from->items[g->item], v, why);
		if (g->from == to)
			return;
		g->from = g->from->next;
		g->item = 0;
	}
}

static void
note_trouble(struct audit_writer *w, const struct err *e)
{
	w->why = *e;
	w->counting.waiting = true;
	(void)snprintf(w->counting.why, sizeof w->counting.why, "%.255s", e->text);
	w->halted = e->code == ERR_CORRUPT || e->code == ERR_VERSION;
	if (w->halted)
		log_error("audit", w->name, "stopped: %s", e->text);
	else
		log_error("audit", w->name, "nothing is recorded, trying again: %s", e->text);
}

static void
note_success(struct audit_writer *w)
{
	if (w->counting.waiting)
		log_info("audit", w->name, "records again");
	w->counting.waiting = false;
	w->counting.why[0] = '\0';
}

static void
fail_group(struct group *g, const struct audit_job *at, const struct err *e)
{
	struct audit_writer *w = g->w;

	note_trouble(w, e);
	if (at != NULL)
		w->failed_epoch = at->epoch;
	settle(g, NULL, 0, w->halted ? SINK_HALT : SINK_RETRY, e);
}

static int
commit(struct group *g, struct audit_job *at, size_t end, struct err *e)
{
	if (audit_file_commit(&g->w->file, e) != 0)
		return -1;
	settle(g, at, end, SINK_ACK, NULL);
	return 0;
}

/* Before item i: is a commit or a new file due? */
static int
make_way(struct group *g, struct audit_job *j, size_t i, struct err *e)
{
	struct audit_file *f = &g->w->file;
	bool full = audit_file_is_full(f, j->now_us);

	if ((full || audit_file_is_loaded(f)) && commit(g, j, i, e) != 0)
		return -1;
	return full ? audit_file_rotate(f, j->now_us, e) : 0;
}

static int
add_item(struct group *g, struct audit_job *j, size_t i, struct err *e)
{
	const struct delivery *d = j->items[i].d;
	struct audit_writer *w = g->w;

	if (make_way(g, j, i, e) != 0)
		return -1;
	switch (audit_file_add(&w->file, d->rec, d->origin, j->now_us)) {
	case AUDIT_ADDED:
		w->counting.added++;
		break;
	case AUDIT_REPLAY:
		w->counting.replays++;
		break;
	case AUDIT_TOO_LONG:
		w->counting.rejected++;
		j->items[i].settled = true;
		j->items[i].verdict = SINK_REJECT;
		break;
	case AUDIT_NO_MEMORY:
		return err_retry(e, ERR_NOMEM, "audit: no memory for a line");
	}
	return 0;
}

static int
add_job(struct group *g, struct audit_job *j, struct err *e)
{
	/* What failed while this was queued came before it. */
	if (j->epoch <= g->w->failed_epoch) {
		for (size_t i = 0; i < j->count; i++)
			give_verdict(j, &j->items[i], SINK_RETRY, &g->w->why);
		return 0;
	}
	for (size_t i = 0; i < j->count; i++)
		if (add_item(g, j, i, e) != 0)
			return -1;
	return 0;
}

static int
keep_house(struct audit_writer *w, int64_t now_us, struct err *e)
{
	if (audit_file_is_full(&w->file, now_us) && audit_file_rotate(&w->file, now_us, e) != 0)
		return -1;
	return audit_file_prune(&w->file, now_us, e);
}

static void
run_group(struct audit_writer *w, struct audit_job *jobs)
{
	struct group g = {w, jobs, 0};
	struct audit_job *j, *tick = NULL;
	struct err e;

	if (w->halted) {
		settle(&g, NULL, 0, SINK_HALT, &w->why);
		return;
	}
	if (audit_file_mend(&w->file, jobs->now_us, &e) != 0) {
		fail_group(&g, jobs, &e);
		return;
	}
	for (j = jobs; j != NULL; j = j->next) {
		if (j->count == 0)
			tick = j;
		if (add_job(&g, j, &e) != 0) {
			fail_group(&g, j, &e);
			return;
		}
	}
	if (commit(&g, NULL, 0, &e) != 0) {
		fail_group(&g, jobs, &e);
		return;
	}
	note_success(w);
	if (tick != NULL && keep_house(w, tick->now_us, &e) != 0)
		log_warn(
		    "audit", w->name, "rotation or retention failed, trying again: %s", e.text);
}

static void
publish(struct audit_writer *w)
{
	struct audit_stats *st = &w->counting;

	memcpy(st->file, w->file.file, sizeof st->file);
	memcpy(st->head, w->file.safe.head, sizeof st->head);
	st->last_entry = w->file.safe.next > 0 ? w->file.safe.next - 1 : 0;
	st->syncs = w->file.syncs;
	w->stats = *st;
}

/* Waits for jobs; NULL: stop, or only compression to be done. */
static struct audit_job *
next_group(struct audit_writer *w, bool compressing, bool *stop)
{
	struct audit_job *jobs = NULL;

	(void)pthread_mutex_lock(&w->lock);
	while (w->queue.first == NULL && !w->stop && !compressing)
		(void)pthread_cond_wait(&w->more, &w->lock);
	*stop = w->stop;
	if (!w->stop)
		jobs = list_take_all(&w->queue);
	(void)pthread_mutex_unlock(&w->lock);
	return jobs;
}

static void
hand_back(struct audit_writer *w, struct audit_job *jobs)
{
	struct audit_job *next;

	(void)pthread_mutex_lock(&w->lock);
	for (; jobs != NULL; jobs = next) {
		next = jobs->next;
		list_add(&w->done, jobs);
	}
	publish(w);
	(void)pthread_mutex_unlock(&w->lock);
	w->wake(w->arg);
}

static void *
thread_main(void *arg)
{
	struct audit_writer *w = arg;
	bool compressing = true, stop = false;

	for (;;) {
		struct audit_job *jobs = next_group(w, compressing, &stop);
		uint64_t before = w->file.safe_size, work = COMPRESS_IDLE;

		if (stop)
			return NULL;
		if (jobs != NULL) {
			run_group(w, jobs);
			hand_back(w, jobs);
			/* Twice what was written: closed files are done before the
			 * next is closed. */
			work = w->file.safe_size > before ? 2 * (w->file.safe_size - before) : 0;
			if (work < COMPRESS_BUSY)
				work = COMPRESS_BUSY;
		}
		compressing = audit_file_compress(&w->file, work);
	}
}

/* ---- on the loop ---- */

static int
start_thread(struct audit_writer *w, struct err *e)
{
	sigset_t all, before;
	int r;

	/* Signals are the loop's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&w->thread, NULL, thread_main, w);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return err_errno(e, r, "audit: cannot start the storage thread");
	(void)pthread_setname_np(w->thread, "audit");
	w->running = true;
	return 0;
}

int
audit_writer_new(struct audit_writer **out, const struct audit_conf *conf, const char *name,
    int64_t now_us, void (*wake)(void *arg), void *arg, struct err *e)
{
	struct audit_writer *w = mem_new(sizeof *w);

	*out = NULL;
	w->name = name;
	w->wake = wake;
	w->arg = arg;
	if (audit_file_open(&w->file, conf, name, now_us, e) != 0) {
		free(w);
		return -1;
	}
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->more, NULL);
	w->counting.waiting = w->file.broken;
	publish(w);
	if (start_thread(w, e) != 0) {
		audit_writer_close(w);
		return -1;
	}
	*out = w;
	return 0;
}

void
audit_writer_give(struct audit_writer *w, struct audit_job *j)
{
	(void)pthread_mutex_lock(&w->lock);
	list_add(&w->queue, j);
	(void)pthread_cond_signal(&w->more);
	(void)pthread_mutex_unlock(&w->lock);
}

struct audit_job *
audit_writer_take_done(struct audit_writer *w)
{
	struct audit_job *j;

	(void)pthread_mutex_lock(&w->lock);
	j = list_take_all(&w->done);
	(void)pthread_mutex_unlock(&w->lock);
	return j;
}

struct audit_job *
audit_writer_take_queued(struct audit_writer *w)
{
	return list_take_all(&w->queue);
}

void
audit_writer_stats(struct audit_writer *w, struct audit_stats *out)
{
	(void)pthread_mutex_lock(&w->lock);
	*out = w->stats;
	(void)pthread_mutex_unlock(&w->lock);
}

void
audit_writer_stop(struct audit_writer *w)
{
	if (!w->running)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->more);
	(void)pthread_mutex_unlock(&w->lock);
	(void)pthread_join(w->thread, NULL);
	w->running = false;
}

void
audit_writer_close(struct audit_writer *w)
{
	if (w == NULL)
		return;
	audit_writer_stop(w);
	audit_file_close(&w->file);
	(void)pthread_cond_destroy(&w->more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}
