/* pipeline/replay.c - see replay.h.
 *
 * A job has a batch of letters in hand: rows as the store gave them, and of each
 * whether it waits, is with the lane, or is over. It asks the store for the next batch
 * when all are over. When the lane lets go of everything, those that were with it
 * wait again. One batch is the most that a job holds beside the lane's share.
 */
#include "pipeline/replay.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "pipeline/dead_letter.h"

#define BATCH_LETTERS 100
#define BATCH_BYTES (1u << 20)
#define DROP_LETTERS 1000 /* heads only */
/* With a rate, letters go in portions of a tenth of a second. */
#define PORTIONS 10

enum piece_state { PIECE_WAITS, PIECE_FED, PIECE_OVER };

struct piece {
	const struct dead_letter *d; /* in rows */
	struct origin origin;	     /* the letter's own: its version is of its own stream */
	struct key_schema schema;
	enum piece_state state;
};

enum job_state { JOB_FETCHING, JOB_FEEDING, JOB_SETTLING, JOB_DONE };

struct fetching { /* outlives its job if that is closed first */
	struct job *job;
};

struct job {
	struct slot *slot;
	enum job_kind kind;
	enum job_state state;
	struct letter_query *query; /* owned; `after` moves */
	size_t limit;		    /* letters in all; 0: all */
	int64_t rate, next_at;
	struct fetching *fetching; /* NULL: none under way */
	struct txn *rows;	   /* owned */
	struct piece *pieces;	   /* owned; BATCH_LETTERS long */
	char **tables;		   /* owned; names in origins */
	size_t count, open;	   /* open: with the lane */
	struct window window;
	struct loop_timer *timer;
	uint64_t looked, delivered, refused, superseded, dropped, filtered;
	char why[256]; /* it ended before its time */
};

static void feed(struct job *jb);

/* ---- the batch in hand ---- */

static void
batch_close(struct job *jb)
{
	for (size_t i = 0; i < jb->count; i++)
		free(jb->tables[i]);
	jb->count = 0;
	txn_close(jb->rows);
	jb->rows = NULL;
}

static void
piece_init(struct job *jb, const struct dead_letter *d)
{
	struct piece *p = &jb->pieces[jb->count];

	jb->tables[jb->count++] = mem_slicedup(arn_table_name(d->arn));
	*p = (struct piece){.d = d};
	/* The lane reads the names and never writes them. */
	p->schema.names[0] = d->hash_key[0] != '\0' ? (char *)(uintptr_t)d->hash_key : NULL;
	p->schema.names[1] = d->range_key[0] != '\0' ? (char *)(uintptr_t)d->range_key : NULL;
	p->origin = (struct origin){.stream = d->stream,
	    .table = jb->tables[jb->count - 1],
	    .arn = d->arn,
	    .label = arn_label(d->arn),
	    .shard = d->shard,
	    .schema = &p->schema};
}

static void
job_end(struct job *jb, const char *why)
{
	const char *name = lane_name(jb->slot->lane);

	if (jb->state == JOB_DONE)
		return;
	jb->state = JOB_DONE;
	(void)snprintf(jb->why, sizeof jb->why, "%s", why);
	utf8_mend(jb->why);
	loop_timer_disarm(jb->timer);
	log_info("dlq", name,
	    "%s ended delivered=%llu refused=%llu superseded=%llu dropped=%llu "
	    "filtered=%llu%s%s%s",
	    jb->kind == JOB_REPLAY ? "replay" : "drop", (unsigned long long)jb->delivered,
	    (unsigned long long)jb->refused, (unsigned long long)jb->superseded,
	    (unsigned long long)jb->dropped, (unsigned long long)jb->filtered,
	    why[0] != '\0' ? " why=\"" : "", why, why[0] != '\0' ? "\"" : "");
}

/* ---- fetching ---- */

static void on_fetched(void *arg, struct txn *rows, const struct err *e);

static void
fetch(struct job *jb)
{
	struct letter_query *q = jb->query;

	batch_close(jb);
	q->heads = jb->kind == JOB_DROP;
	q->bytes = BATCH_BYTES;
	q->limit = q->heads ? DROP_LETTERS : BATCH_LETTERS;
	if (jb->limit != 0 && q->limit > jb->limit - jb->looked)
		q->limit = jb->limit - jb->looked;
	if (jb->limit != 0 && q->limit == 0) {
		jb->state = JOB_SETTLING;
		replay_poke(jb->slot);
		return;
	}
	jb->state = JOB_FETCHING;
	jb->fetching = mem_new(sizeof *jb->fetching);
	jb->fetching->job = jb;
	store_fetch(jb->slot->pl->store, q, on_fetched, jb->fetching);
}

static void
drop_rows(struct job *jb)
{
	for (const struct txn_op *op = txn_first(jb->rows); op != NULL; op = op->next) {
		struct letter *lt = letters_find(&jb->slot->letters, &op->u.dead_letter);

		if (lt == NULL)
			continue;
		slot_drop_letter(jb->slot, lt);
		jb->dropped++;
	}
	fetch(jb);
}

static void
on_fetched(void *arg, struct txn *rows, const struct err *e)
{
	struct fetching *ft = arg;
	struct job *jb = ft->job;

	free(ft);
	if (jb == NULL) {
		txn_close(rows);
		return;
	}
	jb->fetching = NULL;
	jb->rows = rows;
	if (jb->state != JOB_FETCHING)
		return;
	if (e != NULL) {
		job_end(jb, e->text);
		return;
	}
	for (const struct txn_op *op = txn_first(rows); op != NULL; op = op->next) {
		jb->query->after = op->u.dead_letter.id;
		jb->looked++;
		if (jb->kind == JOB_REPLAY)
			piece_init(jb, &op->u.dead_letter);
	}
	if (txn_first(rows) == NULL) {
		jb->state = JOB_SETTLING;
		replay_poke(jb->slot);
	} else if (jb->kind == JOB_DROP) {
		drop_rows(jb);
	} else {
		jb->state = JOB_FEEDING;
		feed(jb);
	}
}

/* ---- feeding the lane ---- */

/* Over without the lane: the letter is gone (a reader delivered it meanwhile, or it
 * was dropped), or replaying it would do harm. */
static bool
piece_over(struct job *jb, struct piece *p)
{
	const struct letter *lt = letters_find(&jb->slot->letters, p->d);

	if (lt == NULL) {
		p->state = PIECE_OVER;
	} else if (lt->superseded && slot_guards(jb->slot)) {
		p->state = PIECE_OVER;
		jb->superseded++;
	}
	return p->state == PIECE_OVER;
}

/* How many may go now; the timer is armed for the rest. */
static size_t
portion(struct job *jb)
{
	int64_t now = loop_now(jb->slot->pl->loop);
	int64_t most = jb->rate / PORTIONS;

	if (jb->rate == 0)
		return BATCH_LETTERS;
	if (now < jb->next_at) {
		loop_timer_arm(jb->timer, jb->next_at - now);
		return 0;
	}
	return most < 1 ? 1 : most < BATCH_LETTERS ? (size_t)most : BATCH_LETTERS;
}

/* True if there is more to feed now. */
static bool
feed_some(struct job *jb)
{
	struct slice raw[BATCH_LETTERS];
	struct replayed from[BATCH_LETTERS];
	struct lane *ln = jb->slot->lane;
	size_t most = portion(jb), n = 0;
	struct page *page;
	struct err e;

	for (size_t i = 0; i < jb->count && n < most; i++) {
		struct piece *p = &jb->pieces[i];

		if (p->state != PIECE_WAITS || piece_over(jb, p))
			continue;
		raw[n] = p->d->record;
		from[n++] = (struct replayed){
		    .origin = &p->origin, .ticket = i, .unfiltered = p->d->unfiltered};
	}
	if (n == 0)
		return false;
	if (page_of_records(&page, raw, n, &e) != 0 || page->count != n) {
		job_end(jb, "a record of the store cannot be read");
		return false;
	}
	if (!lane_reserve(ln, page->bytes)) {
		page_unref(page);
		return false;
	}
	for (size_t i = 0; i < n; i++)
		jb->pieces[from[i].ticket].state = PIECE_FED;
	jb->open += n;
	lane_take_replay(&jb->window, page, from);
	lane_reserve_undo(ln, page->bytes);
	page_unref(page);
	if (jb->rate != 0)
		jb->next_at = loop_now(jb->slot->pl->loop) + (int64_t)n * USEC_SEC / jb->rate;
	return true;
}

static bool
batch_over(const struct job *jb)
{
	for (size_t i = 0; i < jb->count; i++)
		if (jb->pieces[i].state != PIECE_OVER)
			return false;
	return true;
}

static void
feed(struct job *jb)
{
	if (jb->state != JOB_FEEDING || !lane_usable(jb->slot->lane))
		return;
	while (feed_some(jb))
		continue;
	if (jb->state == JOB_FEEDING && batch_over(jb))
		fetch(jb);
}

static void
on_timer(void *arg)
{
	struct job *jb = arg;

	replay_poke(jb->slot);
}

/* ---- what lane and keeper say ---- */

void
replay_poke(struct slot *sl)
{
	struct job *jb = sl->job;

	if (jb == NULL)
		return;
	feed(jb);
	/* What was delivered or dropped is gone for good before anybody is told. */
	if (jb->state == JOB_SETTLING && sl->drops == 0)
		job_end(jb, "");
}

void
replay_done(struct slot *sl, struct window *w, uint64_t ticket, enum lane_fate fate)
{
	struct job *jb = sl->job;

	struct letter *lt;

	assert(jb != NULL && w == &jb->window && jb->pieces[ticket].state == PIECE_FED);
	lt = letters_find(&sl->letters, jb->pieces[ticket].d);
	jb->pieces[ticket].state = PIECE_OVER;
	jb->open--;
	jb->delivered += fate == LANE_FATE_ACKED;
	jb->refused += fate == LANE_FATE_REFUSED;
	/* Its letter is gone if it was delivered meanwhile, by a reader. */
	jb->superseded += fate == LANE_FATE_STALE && lt != NULL;
	jb->filtered += fate == LANE_FATE_FILTERED;
	if (fate == LANE_FATE_FILTERED && lt != NULL)
		slot_drop_letter(sl, lt);
	if (jb->open == 0)
		loop_timer_arm(jb->timer, 0); /* not from inside a report */
}

void
replay_dropped(struct slot *sl)
{
	struct job *jb = sl->job;

	if (jb == NULL)
		return;
	lane_drop_window(&jb->window);
	for (size_t i = 0; i < jb->count; i++)
		if (jb->pieces[i].state == PIECE_FED)
			jb->pieces[i].state = PIECE_WAITS;
	jb->open = 0;
}

void
replay_halted(struct slot *sl)
{
	if (sl->job != NULL && sl->job->state != JOB_SETTLING)
		job_end(sl->job, "the sink was halted; what was not delivered is left");
}

/* ---- jobs ---- */

bool
job_running(const struct slot *sl)
{
	/* What the lane still has of one that ended early is borrowed from it. */
	return sl->job != NULL && (sl->job->state != JOB_DONE || sl->job->open != 0);
}

bool
job_wants_fresh(const struct slot *sl)
{
	return sl->job != NULL && sl->job->query->fresh;
}

static int
may_start(const struct slot *sl, enum job_kind kind, struct err *e)
{
	const char *name = lane_name(sl->lane);

	if (sl->pl->draining)
		return err_retry(e, ERR_REFUSED, "the daemon is just stopping");
	if (sl->pl->store->ops->fetch == NULL)
		return err_set(e, ERR_REFUSED, "no dead letters are kept here");
	if (job_running(sl))
		return err_set(e, ERR_REFUSED,
		    "dead letters of sink %s are being replayed or dropped already; see `slipring "
		    "status`",
		    name);
	if (kind == JOB_DROP)
		return 0;
	if ((lane_ops(sl->lane)->caps & SINK_CAP_SHARD_ORDER) != 0)
		return err_set(e, ERR_REFUSED,
		    "sink %s (%s) keeps the order of a shard and takes nothing late; its dead "
		    "letters can be shown and dropped",
		    name, lane_ops(sl->lane)->type);
	if (lane_state_get(sl->lane) == LANE_HALTED)
		return err_set(e, ERR_REFUSED,
		    "sink %s is halted; mend the cause, then `slipring resume %s`", name, name);
	return 0;
}

int
job_start(
    struct slot *sl, enum job_kind kind, const struct letter_query *q, int64_t rate, struct err *e)
{
	struct job *jb;

	if (may_start(sl, kind, e) != 0)
		return -1;
	job_close(sl);
	jb = mem_new(sizeof *jb);
	jb->slot = sl;
	jb->kind = kind;
	jb->query = letter_query_dup(q);
	jb->query->upto = sl->pl->last_letter_id; /* none that comes back from this very job */
	jb->limit = q->limit;
	jb->rate = rate;
	jb->pieces = mem_array(BATCH_LETTERS, sizeof *jb->pieces);
	jb->tables = mem_array(BATCH_LETTERS, sizeof *jb->tables);
	jb->timer = loop_timer_new(sl->pl->loop, on_timer, jb);
	window_init_replay(&jb->window, sl->lane);
	sl->job = jb;
	log_info("dlq", lane_name(sl->lane), "%s begun", kind == JOB_REPLAY ? "replay" : "drop");
	fetch(jb);
	return 0;
}

json_t *
job_json(const struct slot *sl)
{
	const struct job *jb = sl->job;

	if (jb == NULL)
		return NULL;
	return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "sink",
	    lane_name(sl->lane), "kind", jb->kind == JOB_REPLAY ? "replay" : "drop", "running",
	    job_running(sl), "looked_at", (json_int_t)jb->looked, "delivered",
	    (json_int_t)jb->delivered, "refused", (json_int_t)jb->refused, "superseded",
	    (json_int_t)jb->superseded, "dropped", (json_int_t)jb->dropped, "filtered",
	    (json_int_t)jb->filtered, "why", jb->why);
}

void
job_close(struct slot *sl)
{
	struct job *jb = sl->job;

	if (jb == NULL)
		return;
	sl->job = NULL;
	window_close(&jb->window);
	if (jb->fetching != NULL)
		jb->fetching->job = NULL;
	batch_close(jb);
	loop_timer_close(jb->timer);
	letter_query_free(jb->query);
	free(jb->pieces);
	free(jb->tables);
	free(jb);
}
