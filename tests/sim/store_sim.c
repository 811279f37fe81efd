/* tests/sim/store_sim.c - see store_sim.h.
 *
 *   commit -> queue -> (a while later) some of it at a time: durable, done()
 *
 * Transactions become durable in the order of their commits, several at a
 * time, or all that wait fail together, as on a full disk. When the process dies, a drawn number of the queued transactions
 * is durable although nobody was told, and the rest never was.
 */
#include "tests/sim/store_sim.h"

#include "base/mem.h"
#include "checkpoint/letters.h"
#include "tests/sim/oracle.h"

struct queued {
	struct txn *txn;	    /* owned */
	struct letter_query *query; /* owned; NULL: a commit */
	void (*done)(void *arg, const struct err *e);
	void (*fetched)(void *arg, struct txn *rows, const struct err *e);
	void *arg;
};

struct kept_shard {
	bool there;
	struct seq start;
	int64_t first_seen_us;
};

struct kept_position {
	bool there;
	struct pos pos;
	int64_t updated_us;
};

struct kept_letter {
	struct dead_letter row; /* key, hash_key, range_key owned */
	struct h_event *ev;
	unsigned sink;
};

struct kept_stream {
	bool there, ended;
	int64_t first_seen_us;
	int64_t begun_us[SIM_SINKS]; /* 0: no subscription */
};

struct store_sim {
	struct store store; /* first: what the pipeline sees */
	struct world *w;
	struct rng rng;
	struct loop_timer *timer; /* owned; while open */
	struct queued *queue;	  /* owned */
	size_t count, cap;
	struct kept_letter *letters; /* owned; in the order of ids */
	size_t letter_count, letter_cap;
	uint64_t last_letter;
	struct kept_stream *streams;	 /* owned; by number in the history */
	struct kept_shard *shards;	 /* owned */
	struct kept_position *positions; /* owned; [sink][shard] */
};

static const char *const sink_names[] = {"s0", "s1", "s2", "s3"};
static_assert(ARRAY_LEN(sink_names) == SIM_SINKS, "a name for each sink");

static unsigned
sink_of(const char *name)
{
	return (unsigned)strtoul(name + 1, NULL, 10);
}

static struct kept_position *
position_of(struct store_sim *ss, const char *shard, const char *sink)
{
	const struct h_shard *sh = history_shard(ss->w->hist, shard);

	return &ss->positions[(size_t)sink_of(sink) * ss->w->hist->shards + sh->number];
}

static void
forget(struct store_sim *ss, const char *shard)
{
	const struct h_shard *sh = history_shard(ss->w->hist, shard);

	ss->shards[sh->number].there = false;
	for (unsigned s = 0; s < ss->w->sc.sinks; s++)
		ss->positions[(size_t)s * ss->w->hist->shards + sh->number].there = false;
}

/* ---- dead letters ---- */

static char *
keep_text(const char *text)
{
	return mem_strdup(text != NULL ? text : "");
}

static void
free_letter(struct kept_letter *k)
{
	free((void *)(uintptr_t)k->row.record.p);
	free((void *)(uintptr_t)k->row.key);
	free((void *)(uintptr_t)k->row.hash_key);
	free((void *)(uintptr_t)k->row.range_key);
}

static void
keep_letter(struct store_sim *ss, const struct dead_letter *d)
{
	struct h_shard *sh = history_shard(ss->w->hist, d->shard);
	struct h_event *ev = history_event(ss->w->hist, sh, &d->seq);
	struct kept_letter *k;

	for (size_t i = 0; i < ss->letter_count; i++)
		if (ss->letters[i].ev == ev && ss->letters[i].sink == sink_of(d->sink)) {
			ss->letters[i].row.attempts += d->attempts;
			return;
		}
	if (d->id <= ss->last_letter)
		oracle_fail(
		    ss->w->oracle, T_OTHER, "dead letter %u was given twice", (unsigned)d->id);
	ss->last_letter = d->id;
	if (ss->letter_count == ss->letter_cap)
		ss->letters = mem_grow(
		    ss->letters, ss->letter_cap = 2 * ss->letter_cap + 8, sizeof *ss->letters);
	k = &ss->letters[ss->letter_count++];
	*k = (struct kept_letter){.row = *d, .ev = ev, .sink = sink_of(d->sink)};
	k->row.arn = sh->stream->arn;
	k->row.shard = sh->id;
	k->row.sink = sink_names[k->sink];
	k->row.stream = sh->stream->table->name;
	k->row.reason = "poison";
	k->row.superseded = "";
	k->row.event_id = SLICE_NONE;
	k->row.record = (struct slice){mem_slicedup(d->record), d->record.n};
	k->row.key = keep_text(d->key);
	k->row.hash_key = keep_text(d->hash_key);
	k->row.range_key = keep_text(d->range_key);
}

static void
change_letter(struct store_sim *ss, const struct txn_op *op)
{
	size_t i = 0;

	while (i < ss->letter_count && ss->letters[i].row.id != op->u.dead_letter.id)
		i++;
	if (i == ss->letter_count)
		return;
	if (op->kind == TXN_SUPERSEDE) {
		oracle_superseded(ss->w->oracle, ss->letters[i].sink, ss->letters[i].ev);
		ss->letters[i].row.superseded = "newer";
		return;
	}
	oracle_letter_gone(ss->w->oracle, ss->letters[i].sink, ss->letters[i].ev);
	free_letter(&ss->letters[i]);
	ss->letter_count--;
	memmove(ss->letters + i, ss->letters + i + 1, (ss->letter_count - i) * sizeof *ss->letters);
}

static void
answer_query(struct store_sim *ss, const struct queued *q, bool fails)
{
	struct txn *rows = fails ? NULL : txn_new();
	struct err e;

	(void)err_retry(&e, ERR_IO, "store: cannot read rows");
	for (size_t i = 0; i < ss->letter_count && !fails; i++)
		if (letter_fits(q->query, &ss->letters[i].row) &&
		    (q->query->limit == 0 || txn_count(rows) < q->query->limit))
			txn_dead_letter(rows, &ss->letters[i].row);
	letter_query_free(q->query);
	q->fetched(q->arg, rows, fails ? &e : NULL);
}

/* The oracle has seen that every name is one of the history. */
static void
apply(struct store_sim *ss, const struct txn_op *op)
{
	struct history *h = ss->w->hist;

	switch (op->kind) {
	case TXN_STREAM:
		ss->streams[history_stream(h, op->u.stream.arn)->number].there = true;
		ss->streams[history_stream(h, op->u.stream.arn)->number].ended = op->u.stream.ended;
		ss->streams[history_stream(h, op->u.stream.arn)->number].first_seen_us =
		    op->u.stream.first_seen_us;
		break;
	case TXN_SUBSCRIPTION:
		ss->streams[history_stream(h, op->u.subscription.arn)->number]
		    .begun_us[sink_of(op->u.subscription.sink)] = op->u.subscription.begun_us;
		break;
	case TXN_SHARD:
		ss->shards[history_shard(h, op->u.shard.shard)->number] =
		    (struct kept_shard){true, op->u.shard.start, op->u.shard.first_seen_us};
		break;
	case TXN_POSITION:
		*position_of(ss, op->u.position.shard, op->u.position.sink) =
		    (struct kept_position){true, op->u.position.pos, op->u.position.updated_us};
		break;
	case TXN_FORGET_SHARD:
		forget(ss, op->u.shard.shard);
		break;
	case TXN_DELETE_POSITION:
		position_of(ss, op->u.position.shard, op->u.position.sink)->there = false;
		break;
	case TXN_DELETE_SUBSCRIPTION:
		ss->streams[history_stream(h, op->u.subscription.arn)->number]
		    .begun_us[sink_of(op->u.subscription.sink)] = 0;
		break;
	case TXN_DEAD_LETTER:
		keep_letter(ss, &op->u.dead_letter);
		break;
	case TXN_DROP_LETTER:
	case TXN_SUPERSEDE:
		change_letter(ss, op);
		break;
	case TXN_GAP: /* kept by the oracle */
		break;
	}
}

static void
make_durable(struct store_sim *ss, const struct txn *t)
{
	oracle_saved(ss->w->oracle, t);
	if (ss->w->oracle->failed)
		return;
	for (const struct txn_op *op = txn_first(t); op != NULL; op = op->next)
		apply(ss, op);
	count(ss->w, T_STORE_COMMITS);
}

static struct queued
shift(struct store_sim *ss)
{
	struct queued q = ss->queue[0];

	ss->count--;
	memmove(ss->queue, ss->queue + 1, ss->count * sizeof *ss->queue);
	return q;
}

static void
wait_more(struct store_sim *ss)
{
	if (ss->count != 0 && !loop_timer_armed(ss->timer))
		loop_timer_arm(ss->timer, between(&ss->rng, 0, 2 * ss->w->sc.commit_us));
}

static void
on_timer(void *arg)
{
	struct store_sim *ss = arg;
	bool fails = !ss->w->calm && chance(&ss->rng, ss->w->sc.store_failures);
	size_t group = fails ? ss->count : (size_t)between(&ss->rng, 1, (int64_t)ss->count);
	struct err full;

	(void)err_retry(&full, ERR_NOSPACE, "store: cannot commit: no space left on device");
	TRACE(&ss->w->trace, 52, group, "store: %zu of %zu transactions %s", group, ss->count,
	    fails ? "fail" : "durable");
	for (; group > 0; group--) {
		struct queued q = shift(ss);

		if (q.query != NULL) {
			answer_query(ss, &q, fails);
			continue;
		}
		if (fails)
			count(ss->w, T_STORE_FAILURES);
		else
			make_durable(ss, q.txn);
		txn_close(q.txn);
		q.done(q.arg, fails ? &full : NULL);
	}
	wait_more(ss);
}

static void
enqueue(struct store_sim *ss, struct queued q)
{
	if (ss->count == ss->cap)
		ss->queue = mem_grow(ss->queue, ss->cap = 2 * ss->cap + 8, sizeof *ss->queue);
	ss->queue[ss->count++] = q;
	wait_more(ss);
}

static void
store_sim_commit(
    struct store *s, struct txn *t, void (*done)(void *arg, const struct err *e), void *arg)
{
	enqueue(CONTAINER_OF(s, struct store_sim, store),
	    (struct queued){.txn = t, .done = done, .arg = arg});
}

static void
store_sim_fetch(struct store *s, const struct letter_query *q,
    void (*done)(void *arg, struct txn *rows, const struct err *e), void *arg)
{
	enqueue(CONTAINER_OF(s, struct store_sim, store),
	    (struct queued){.query = letter_query_dup(q), .fetched = done, .arg = arg});
}

static void
store_sim_close(struct store *s)
{
	struct store_sim *ss = CONTAINER_OF(s, struct store_sim, store);
	size_t lucky = ss->w->dead ? (size_t)rng_below(&ss->rng, ss->count + 1) : ss->count;
	struct err gone;

	(void)err_set(&gone, ERR_CANCELLED, "store: closed");
	for (size_t i = 0; ss->count > 0; i++) {
		struct queued q = shift(ss);

		if (q.query != NULL) {
			answer_query(ss, &q, true);
			continue;
		}
		if (i < lucky)
			make_durable(ss, q.txn);
		txn_close(q.txn);
		q.done(q.arg, ss->w->dead ? &gone : NULL);
	}
	loop_timer_close(ss->timer);
	ss->timer = NULL;
}

static void
load_stream(const struct store_sim *ss, const struct store_visitor *v, const struct h_stream *st)
{
	const struct kept_stream *k = &ss->streams[st->number];
	const struct stream_row row = {.arn = st->arn,
	    .stream = st->table->name,
	    .table = st->table->name,
	    .first_seen_us = k->first_seen_us,
	    .ended = k->ended};

	if (k->there && v->stream != NULL)
		v->stream(v->ctx, &row);
	for (unsigned s = 0; s < ss->w->sc.sinks; s++)
		if (k->begun_us[s] != 0 && v->subscription != NULL)
			v->subscription(v->ctx,
			    &(struct subscription_row){st->arn, sink_names[s], k->begun_us[s]});
}

static void
load_positions(const struct store_sim *ss, const struct store_visitor *v, const struct h_shard *sh)
{
	for (unsigned s = 0; s < ss->w->sc.sinks; s++) {
		const struct kept_position *k =
		    &ss->positions[(size_t)s * ss->w->hist->shards + sh->number];
		const struct position_row row = {
		    sh->stream->arn, sh->id, sink_names[s], k->pos, k->updated_us};

		if (k->there && v->position != NULL)
			v->position(v->ctx, &row);
	}
}

static void
gap_row(const struct gap_seen *g, struct gap *row)
{
	*row = g->row;
	row->arn = g->stream->arn;
	row->shard = g->shard != NULL ? g->shard->id : "";
	row->sink = sink_names[g->sink];
	row->state = g->state;
}

static void
load_ledgers(const struct store_sim *ss, const struct store_visitor *v)
{
	const struct oracle *o = ss->w->oracle;

	for (size_t i = 0; i < o->gap_count && v->gap != NULL; i++) {
		struct gap row;

		gap_row(&o->gaps[i], &row);
		v->gap(v->ctx, &row);
	}
	if (v->last_dead_letter != NULL)
		v->last_dead_letter(v->ctx, ss->last_letter);
	for (size_t i = 0; i < ss->letter_count && v->dead_letter != NULL; i++)
		v->dead_letter(v->ctx, &ss->letters[i].row);
}

static int
store_sim_load(struct store *s, const struct store_visitor *v, struct err *e)
{
	struct store_sim *ss = CONTAINER_OF(s, struct store_sim, store);
	const struct history *h = ss->w->hist;

	(void)e;
	for (unsigned i = 0; i < h->streams; i++)
		load_stream(ss, v, &h->stream[i]);
	for (unsigned i = h->shards; i-- > 0;) { /* children first: no order is promised */
		const struct h_shard *sh = &h->shard[i];
		const struct shard_row row = {sh->stream->arn, sh->id,
		    sh->parent != NULL ? sh->parent->id : "", ss->shards[i].start,
		    ss->shards[i].first_seen_us};

		if (ss->shards[i].there && v->shard != NULL)
			v->shard(v->ctx, &row);
	}
	for (unsigned i = 0; i < h->shards; i++)
		load_positions(ss, v, &h->shard[i]);
	load_ledgers(ss, v);
	return 0;
}

static const struct store_ops store_sim_ops = {
    .name = "sim",
    .load = store_sim_load,
    .commit = store_sim_commit,
    .fetch = store_sim_fetch,
    .close = store_sim_close,
};

struct store_sim *
store_sim_new(struct world *w)
{
	struct store_sim *ss = mem_new(sizeof *ss);

	ss->store.ops = &store_sim_ops;
	ss->w = w;
	rng_seed(&ss->rng, w->sc.seed ^ UINT64_C(0x73746f7265));
	ss->streams = mem_array(w->hist->streams, sizeof *ss->streams);
	ss->shards = mem_array(w->hist->shards, sizeof *ss->shards);
	ss->positions = mem_array((size_t)w->sc.sinks * w->hist->shards, sizeof *ss->positions);
	return ss;
}

void
store_sim_free(struct store_sim *ss)
{
	if (ss == NULL)
		return;
	for (size_t i = 0; i < ss->letter_count; i++)
		free_letter(&ss->letters[i]);
	free(ss->letters);
	free(ss->queue);
	free(ss->streams);
	free(ss->shards);
	free(ss->positions);
	free(ss);
}

struct store *
store_sim_open(struct store_sim *ss)
{
	ss->timer = loop_timer_new(ss->w->loop, on_timer, ss);
	return &ss->store;
}

void
store_sim_accept(struct store_sim *ss, uint64_t gap)
{
	struct oracle *o = ss->w->oracle;
	struct txn *t = txn_new();
	struct gap row;

	for (size_t i = 0; i < o->gap_count; i++) {
		if (o->gaps[i].id != gap)
			continue;
		gap_row(&o->gaps[i], &row);
		row.state = GAP_ACCEPTED;
		row.settled_us = loop_wall(ss->w->loop);
		txn_gap_settle(t, &row, row.settled_us);
	}
	make_durable(ss, t);
	txn_close(t);
}

bool
store_sim_has_shard(const struct store_sim *ss, const struct h_shard *sh)
{
	return ss->shards[sh->number].there;
}
