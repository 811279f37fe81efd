/* checkpoint/store_sqlite.c - the embedded store: a thread that commits.
 *
 *   loop thread                       store thread
 *   store_commit() -> queued ------>  whole queue as one group
 *                                     BEGIN, rows, COMMIT (one sync)
 *   done() <-- wake <-- finished <--
 *
 * A sync takes milliseconds, and sometimes a hundred: never on the loop. While
 * one is under way the next group gathers by itself; there is no delay to set.
 *
 * Order: queue and finished are first in, first out, and a group is all or
 * nothing. When one fails, everything that was committed before the loop has
 * heard of it fails too (`epoch`), for it may build on what was not kept. A
 * failed sync may still have reached the disk when the machine dies right after:
 * then more is there than was reported, never less.
 *
 * A query for dead letters stands in the same queue, so that it sees what was committed
 * before it, and ends the group. It fails alone.
 *
 * Threading: `mutex` guards the lists and counts; `db_mutex` the connection,
 * held by the thread during a group and by load. Jobs belong to one list at a time.
 * Not here: the file itself (store_file.c), rows (store_rows.c), retrying (the host).
 */
#include "checkpoint/store_sqlite.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"
#include "checkpoint/letters.h"
#include "checkpoint/store_priv.h"

struct job {
	struct job *next;
	struct txn *txn;	    /* owned; of a query: what was found, NULL until then */
	struct letter_query *query; /* owned; NULL: a commit */
	void (*done)(void *arg, const struct err *e);
	void (*fetched)(void *arg, struct txn *rows, const struct err *e); /* of a query */
	void *arg;
	uint64_t epoch;
	bool failed;
	struct err e; /* if failed */
};

struct job_list {
	struct job *first;
	struct job **end;
	size_t count;
};

struct sqlite_store {
	struct store base; /* first: store_ops */
	struct store_file file;
	struct store_rows rows;
	bool read_only;

	struct loop_wake *wake; /* owned; NULL: no loop and no thread */
	pthread_t thread;
	uint64_t epoch;		    /* loop thread: failures heard of */
	bool closing;		    /* loop thread */
	bool *closed_in;	    /* loop thread: set by close() for a deliver() on the stack */
	struct job_list delivering; /* loop thread */

	pthread_mutex_t db_mutex;
	uint64_t failed_epochs; /* db_mutex: epochs below this one fail */
	struct err failure;	/* db_mutex: why */

	pthread_mutex_t mutex;
	pthread_cond_t work; /* queued or stop changed */
	struct job_list queued;
	struct job_list finished;
	bool stop;
	struct store_sqlite_counts counts;
};

static void
list_init(struct job_list *l)
{
	*l = (struct job_list){.end = &l->first};
}

static void
list_push(struct job_list *l, struct job *j)
{
	j->next = NULL;
	*l->end = j;
	l->end = &j->next;
	l->count++;
}

static struct job *
list_pop(struct job_list *l)
{
	struct job *j = l->first;

	if (j == NULL)
		return NULL;
	l->first = j->next;
	if (l->first == NULL)
		l->end = &l->first;
	l->count--;
	return j;
}

/* Everything of from to the end of to. */
static void
list_move(struct job_list *to, struct job_list *from)
{
	if (from->first == NULL)
		return;
	*to->end = from->first;
	to->end = from->end;
	to->count += from->count;
	list_init(from);
}

/* --- carrying out (db_mutex held) --- */

static int
run(struct sqlite_store *s, const char *sql, const char *what, struct err *e)
{
	int rc = sqlite3_exec(s->file.db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_file_err(s->file.db, s->file.path, rc, what, e);
}

static int
write_txn(struct sqlite_store *s, const struct txn *t, struct err *e)
{
	if (txn_failed(t))
		return err_retry(e, ERR_NOMEM, "store: out of memory for a transaction");
	for (const struct txn_op *op = txn_first(t); op != NULL; op = op->next)
		if (store_rows_write(&s->rows, op, e) != 0)
			return -1;
	return 0;
}

/* All of the list in one SQLite transaction; on failure nothing of it. */
static int
write_group(struct sqlite_store *s, const struct job_list *group, struct err *e)
{
	int ret = 0;

	if (store_file_check_place(&s->file, e) != 0 ||
	    run(s, "BEGIN IMMEDIATE", "cannot begin", e) != 0)
		return -1;
	for (const struct job *j = group->first; j != NULL && ret == 0; j = j->next)
		ret = write_txn(s, j->txn, e);
	if (ret == 0)
		ret = run(s, "COMMIT", "cannot commit", e);
	/* Some failures have rolled back already. */
	if (ret != 0 && sqlite3_get_autocommit(s->file.db) == 0)
		(void)sqlite3_exec(s->file.db, "ROLLBACK", NULL, NULL, NULL);
	return ret;
}

/* Marks the whole group failed. Epochs in a queue only grow, so the last
 * job's covers all. */
static void
fail_group(struct sqlite_store *s, struct job_list *group, const struct err *e)
{
	for (struct job *j = group->first; j != NULL; j = j->next) {
		j->failed = true;
		j->e = *e;
		s->failed_epochs = j->epoch + 1;
	}
	if (e != &s->failure)
		s->failure = *e;
}

/* Takes from queue what goes together: the jobs that a failure nobody has
 * heard of yet takes down with it (true), or all that may be written. */
static bool
next_group(struct sqlite_store *s, struct job_list *queue, struct job_list *group)
{
	bool doomed = queue->first->epoch < s->failed_epochs;

	list_init(group);
	while (queue->first != NULL && queue->first->query == NULL &&
	    (queue->first->epoch < s->failed_epochs) == doomed)
		list_push(group, list_pop(queue));
	return doomed;
}

static void
take_letter(void *ctx, const struct dead_letter *d)
{
	txn_dead_letter(ctx, d);
}

static void
carry_out_query(struct sqlite_store *s, struct job *j)
{
	struct txn *rows = txn_new();
	int ret = store_rows_letters(&s->rows, j->query, take_letter, rows, &j->e);

	if (ret == 0 && txn_failed(rows))
		ret = err_retry(&j->e, ERR_NOMEM, "store: out of memory for dead letters");
	if (ret == 0) {
		j->txn = rows;
		return;
	}
	j->failed = true;
	txn_close(rows);
}

/* Carries out the queue; its jobs end up in done_with, in order. */
static struct store_sqlite_counts
carry_out(struct sqlite_store *s, struct job_list *queue, struct job_list *done_with)
{
	struct store_sqlite_counts n = {0};
	struct job_list group;
	struct err e;

	pthread_mutex_lock(&s->db_mutex);
	while (queue->first != NULL) {
		if (queue->first->query != NULL) {
			struct job *j = list_pop(queue);

			carry_out_query(s, j);
			list_push(done_with, j);
			continue;
		}
		if (next_group(s, queue, &group)) {
			fail_group(s, &group, &s->failure);
			n.failed += group.count;
		} else if (write_group(s, &group, &e) != 0) {
			fail_group(s, &group, &e);
			n.failed += group.count;
		} else {
			n.transactions += group.count;
			n.groups++;
		}
		list_move(done_with, &group);
	}
	pthread_mutex_unlock(&s->db_mutex);
	return n;
}

static void
count(struct sqlite_store *s, struct store_sqlite_counts n)
{
	s->counts.transactions += n.transactions;
	s->counts.groups += n.groups;
	s->counts.failed += n.failed;
}

static void *
thread_main(void *arg)
{
	struct sqlite_store *s = arg;
	struct job_list queue, done_with;
	struct store_sqlite_counts n;

	list_init(&queue);
	list_init(&done_with);
	pthread_mutex_lock(&s->mutex);
	for (;;) {
		while (s->queued.first == NULL && !s->stop)
			pthread_cond_wait(&s->work, &s->mutex);
		if (s->queued.first == NULL)
			break;
		list_move(&queue, &s->queued);
		pthread_mutex_unlock(&s->mutex);
		n = carry_out(s, &queue, &done_with);
		pthread_mutex_lock(&s->mutex);
		count(s, n);
		list_move(&s->finished, &done_with);
		loop_wake_kick(s->wake);
	}
	pthread_mutex_unlock(&s->mutex);
	return NULL;
}

/* --- the loop's side --- */

static void
finish(struct job *j)
{
	if (j->query != NULL) {
		letter_query_free(j->query);
		j->fetched(j->arg, j->txn, j->failed ? &j->e : NULL);
	} else {
		txn_close(j->txn);
		j->done(j->arg, j->failed ? &j->e : NULL);
	}
	free(j);
}

/* Calls back, in order. done() may commit, and may close the store, which
 * then delivers the rest from inside. */
static void
deliver(struct sqlite_store *s)
{
	struct job_list fresh;
	struct job *j;
	bool closed = false;

	list_init(&fresh);
	pthread_mutex_lock(&s->mutex);
	list_move(&fresh, &s->finished);
	pthread_mutex_unlock(&s->mutex);
	/* What is committed from here on knows of these failures. */
	for (j = fresh.first; j != NULL; j = j->next)
		if (j->failed && j->query == NULL && j->epoch == s->epoch)
			s->epoch++;
	list_move(&s->delivering, &fresh);
	if (s->closed_in == NULL)
		s->closed_in = &closed;
	while (!closed && (j = list_pop(&s->delivering)) != NULL)
		finish(j);
	if (!closed && s->closed_in == &closed)
		s->closed_in = NULL;
}

static void
on_wake(void *arg)
{
	deliver(arg);
}

static int
sqlite_load(struct store *base, const struct store_visitor *v, struct err *e)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	int ret;

	pthread_mutex_lock(&s->db_mutex);
	/* One snapshot for all tables, also while a daemon writes. */
	ret = run(s, "BEGIN", "cannot begin to read", e);
	if (ret == 0)
		ret = store_rows_load(&s->rows, v, e);
	if (sqlite3_get_autocommit(s->file.db) == 0)
		(void)sqlite3_exec(s->file.db, "ROLLBACK", NULL, NULL, NULL);
	pthread_mutex_unlock(&s->db_mutex);
	return ret;
}

static void
commit_now(struct sqlite_store *s, struct job *j)
{
	struct job_list queue, done_with;

	list_init(&queue);
	list_init(&done_with);
	list_push(&queue, j);
	count(s, carry_out(s, &queue, &done_with));
	if (j->failed)
		s->epoch++;
	finish(j);
}

static void
enqueue(struct sqlite_store *s, struct job *j)
{
	pthread_mutex_lock(&s->mutex);
	if (s->closing) {
		j->failed = true;
		err_set(&j->e, ERR_CANCELLED, "store: closed before this was done");
		list_push(&s->finished, j);
	} else {
		list_push(&s->queued, j);
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->mutex);
}

static void
sqlite_commit(
    struct store *base, struct txn *t, void (*done)(void *arg, const struct err *e), void *arg)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	struct job *j = mem_new(sizeof *j);

	assert(!s->read_only);
	*j = (struct job){.txn = t, .done = done, .arg = arg, .epoch = s->epoch};
	if (s->wake == NULL) {
		commit_now(s, j);
		return;
	}
	enqueue(s, j);
}

static int
sqlite_letters(struct store *base, const struct letter_query *q,
    void (*each)(void *ctx, const struct dead_letter *d), void *ctx, struct err *e)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	int ret;

	pthread_mutex_lock(&s->db_mutex);
	ret = store_rows_letters(&s->rows, q, each, ctx, e);
	pthread_mutex_unlock(&s->db_mutex);
	return ret;
}

static void
sqlite_fetch(struct store *base, const struct letter_query *q,
    void (*done)(void *arg, struct txn *rows, const struct err *e), void *arg)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	struct job *j = mem_new(sizeof *j);

	assert(s->wake != NULL);
	*j = (struct job){
	    .query = letter_query_dup(q), .fetched = done, .arg = arg, .epoch = s->epoch};
	enqueue(s, j);
}

static void
destroy(struct sqlite_store *s)
{
	loop_wake_close(s->wake);
	store_rows_close(&s->rows);
	store_file_close(&s->file);
	pthread_cond_destroy(&s->work);
	pthread_mutex_destroy(&s->mutex);
	pthread_mutex_destroy(&s->db_mutex);
	free(s);
}

static void
sqlite_close(struct store *base)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	bool *closed_in = s->closed_in;

	assert(!s->closing);
	s->closing = true;
	if (s->wake != NULL) {
		pthread_mutex_lock(&s->mutex);
		s->stop = true;
		pthread_cond_signal(&s->work);
		pthread_mutex_unlock(&s->mutex);
		(void)pthread_join(s->thread, NULL);
		/* done() may still commit, and is told ERR_CANCELLED. */
		do
			deliver(s);
		while (s->finished.first != NULL);
	}
	if (closed_in != NULL)
		*closed_in = true;
	destroy(s);
}

static const struct store_ops sqlite_ops = {
    .name = "sqlite",
    .load = sqlite_load,
    .commit = sqlite_commit,
    .letters = sqlite_letters,
    .fetch = sqlite_fetch,
    .close = sqlite_close,
};

/* With all signals blocked: they are the loop's. */
static int
start_thread(struct sqlite_store *s, struct loop *lp, struct err *e)
{
	sigset_t all, before;
	int rc;

	s->wake = loop_wake_new(lp, on_wake, s);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->thread, NULL, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_errno(e, rc, "store: cannot start a thread");
	(void)pthread_setname_np(s->thread, "store");
	return 0;
}

int
store_sqlite_open(
    struct store **out, struct loop *lp, const char *path, enum store_open how, struct err *e)
{
	struct sqlite_store *s = mem_new(sizeof *s);

	assert(lp != NULL || how != STORE_OWN);
	*out = NULL;
	s->base.ops = &sqlite_ops;
	s->read_only = how == STORE_READ;
	pthread_mutex_init(&s->db_mutex, NULL);
	pthread_mutex_init(&s->mutex, NULL);
	pthread_cond_init(&s->work, NULL);
	list_init(&s->queued);
	list_init(&s->finished);
	list_init(&s->delivering);
	if (store_file_open(&s->file, path, how, e) != 0)
		goto fail;
	s->rows.db = s->file.db;
	s->rows.path = s->file.path;
	if (lp != NULL && how != STORE_READ && start_thread(s, lp, e) != 0)
		goto fail;
	*out = &s->base;
	return 0;
fail:
	destroy(s);
	return -1;
}

struct store_sqlite_counts
store_sqlite_counts(struct store *base)
{
	struct sqlite_store *s = CONTAINER_OF(base, struct sqlite_store, base);
	struct store_sqlite_counts n;

	pthread_mutex_lock(&s->mutex);
	n = s->counts;
	pthread_mutex_unlock(&s->mutex);
	return n;
}
