/* pipeline/lane.c - see lane.h.
 *
 * An entry is one record in one lane. Its life:
 *
 *   QUEUED -> (may it go?) -> READY -> OUT -> done
 *                \-> BLOCKED -^         |-> WAITING (retry) -> READY or BLOCKED
 *                                       '-> REJECTED (until the dead letter is durable) -> done
 *
 * Entries of one page and window are allocated together (a parcel), which
 * holds the page; the parcel goes when its last entry is done. Lists are
 * touched in report(), the sink only from pump(), so a sink may report from
 * inside submit().
 */
#include "pipeline/lane.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mem.h"
#include "pipeline/key_order.h"
#include "record/key.h"

enum entry_state {
	ENTRY_QUEUED,
	ENTRY_BLOCKED,
	ENTRY_READY,
	ENTRY_OUT,
	ENTRY_WAITING,
	ENTRY_REJECTED,
	ENTRY_DONE,
};

struct batch { /* what one submit() took */
	size_t left;
	size_t acked;
	size_t retried;
	int64_t due; /* when what came back is tried again, all of it at once: a
	              * target that is down is asked with few batches, not many */
};

struct entry {
	struct delivery d;
	struct key_link key;
	struct parcel *parcel; /* its owner */
	struct entry *next;    /* in the list its state says */
	struct batch *batch;   /* OUT */
	uint64_t ticket;
	int64_t due;	  /* WAITING: monotonic */
	int64_t first_us; /* wall clock of the first submit; 0: never out */
	unsigned attempts;
	enum entry_state state;
};

struct parcel {
	struct window *window;
	struct page *page; /* owned reference */
	struct parcel *next, *prev;
	size_t bytes;
	size_t left; /* entries not done */
	size_t count;
	struct entry entries[];
};

struct list {
	struct entry *first, *last;
};

struct lane {
	struct loop *loop;
	const char *name;
	const struct sink_ops *ops;
	struct sink *sink; /* owned */
	struct lane_conf conf;
	struct lane_host host;
	enum lane_state state;
	struct breaker breaker;
	struct key_order keys;
	struct window *ring; /* windows with queued entries, taken from in turn */
	struct list ready;
	struct list waiting;
	struct delivery **staged; /* owned; batch_count long */
	struct buf key;
	int64_t share, held, reserved;
	int64_t queued, queued_bytes; /* QUEUED and READY */
	int64_t queued_since;	      /* monotonic: when the oldest began to linger */
	int64_t out, rejects;
	bool wanted;		       /* somebody was refused room */
	bool full;		       /* the sink said FULL and owes ready() */
	bool stopped;		       /* drain: submit nothing more */
	bool halting;		       /* the sink said HALT */
	bool closing;		       /* the sink reports what it held, for the last time */
	struct loop_timer *pump_timer; /* next pass, end of linger, next retry */
	struct loop_timer *room_timer;
	struct loop_timer *breaker_timer;
	struct lane_stats stats;
};

static void pump(void *arg);
static void settle_break(struct lane *ln);

const char *
lane_state_name(enum lane_state s)
{
	static const char *const names[] = {"running", "breaking", "broken", "probing", "halted"};

	return names[s];
}

static void
lane_set_state(struct lane *ln, enum lane_state to, const char *why)
{
	if (ln->state == to)
		return;
	assert(ln->state != LANE_HALTED);
	log_debug("lane", ln->name, "%s -> %s (%s)", lane_state_name(ln->state),
	    lane_state_name(to), why);
	ln->state = to;
}

static void
list_add(struct list *l, struct entry *en)
{
	en->next = NULL;
	if (l->last != NULL)
		l->last->next = en;
	else
		l->first = en;
	l->last = en;
}

static void
list_add_front(struct list *l, struct entry *en)
{
	en->next = l->first;
	l->first = en;
	if (l->last == NULL)
		l->last = en;
}

static struct entry *
list_take(struct list *l)
{
	struct entry *en = l->first;

	if (en == NULL)
		return NULL;
	l->first = en->next;
	if (l->first == NULL)
		l->last = NULL;
	en->next = NULL;
	return en;
}

static struct entry *
entry_of_link(struct key_link *l)
{
	return l != NULL ? CONTAINER_OF(l, struct entry, key) : NULL;
}

static void
pump_soon(struct lane *ln)
{
	loop_timer_arm(ln->pump_timer, 0);
}

/* ---- windows: the ring of those that have something queued ---- */

static void
ring_add(struct window *w)
{
	struct lane *ln = w->lane;

	if (w->queued)
		return;
	w->queued = true;
	if (ln->ring == NULL) {
		w->next = w->prev = w;
		ln->ring = w;
		return;
	}
	w->next = ln->ring;
	w->prev = ln->ring->prev;
	w->prev->next = w;
	w->next->prev = w;
}

static void
ring_remove(struct window *w)
{
	struct lane *ln = w->lane;

	if (!w->queued)
		return;
	w->queued = false;
	if (w->next == w) {
		ln->ring = NULL;
	} else {
		w->prev->next = w->next;
		w->next->prev = w->prev;
		if (ln->ring == w)
			ln->ring = w->next;
	}
	w->next = w->prev = NULL;
}

void
window_init(struct window *w, struct lane *ln, const struct origin *origin)
{
	*w = (struct window){.lane = ln, .origin = origin};
	frontier_init(&w->frontier);
}

int64_t
window_oldest(const struct window *w)
{
	for (const struct parcel *pc = w->parcels; pc != NULL; pc = pc->next)
		for (size_t i = 0; i < pc->count; i++)
			if (pc->entries[i].state != ENTRY_DONE)
				return pc->entries[i].d.rec->created_us;
	return 0;
}

/* ---- memory ---- */

static void
told_room(void *arg)
{
	struct lane *ln = arg;

	ln->host.room(ln->host.ctx, ln);
}

static void
give_back(struct lane *ln)
{
	if (!ln->wanted)
		return;
	ln->wanted = false;
	loop_timer_arm(ln->room_timer, 0);
}

bool
lane_wants(struct lane *ln)
{
	if (lane_usable(ln) && ln->held + ln->reserved <= ln->share / 2)
		return true;
	ln->wanted = true;
	return false;
}

bool
lane_reserve(struct lane *ln, size_t bytes)
{
	int64_t now = ln->held + ln->reserved;

	if (!lane_usable(ln) || (now != 0 && now + (int64_t)bytes > ln->share)) {
		ln->wanted = true;
		return false;
	}
	ln->reserved += (int64_t)bytes;
	return true;
}

void
lane_unreserve(struct lane *ln, size_t bytes)
{
	assert(ln->reserved >= (int64_t)bytes);
	ln->reserved -= (int64_t)bytes;
	give_back(ln);
}

static void
parcel_close(struct parcel *pc)
{
	struct window *w = pc->window;

	if (pc->prev != NULL)
		pc->prev->next = pc->next;
	else
		w->parcels = pc->next;
	if (pc->next != NULL)
		pc->next->prev = pc->prev;
	else
		w->last_parcel = pc->prev;
	w->lane->held -= (int64_t)pc->bytes;
	page_unref(pc->page);
	free(pc);
}

/* ---- taking ---- */

static struct parcel *
parcel_new(struct window *w, struct page *page, size_t count)
{
	size_t size = sizeof(struct parcel) + count * sizeof(struct entry);
	struct parcel *pc = mem_new(size);

	pc->window = w;
	pc->page = page_ref(page);
	pc->bytes = page->bytes + size;
	pc->prev = w->last_parcel;
	if (pc->prev != NULL)
		pc->prev->next = pc;
	else
		w->parcels = pc;
	w->last_parcel = pc;
	w->lane->held += (int64_t)pc->bytes;
	return pc;
}

static void
entry_queue(struct window *w, struct parcel *pc, const struct record *r)
{
	struct lane *ln = w->lane;
	struct entry *en = &pc->entries[pc->count++];

	buf_reset(&ln->key);
	key_write(r, w->origin->schema, &ln->key);
	en->d = (struct delivery){
	    .rec = r, .origin = w->origin, .key_hash = key_hash(buf_slice(&ln->key))};
	en->parcel = pc;
	en->ticket = frontier_push(&w->frontier, &r->seq);
	en->state = ENTRY_QUEUED;
	pc->left++;
	key_order_enter(&ln->keys, &en->key, en->d.key_hash);
	if (w->last != NULL)
		w->last->next = en;
	else
		w->first = en;
	w->last = en;
	if (ln->queued++ == 0)
		ln->queued_since = loop_now(ln->loop);
	ln->queued_bytes += (int64_t)r->raw.n;
	ln->stats.taken++;
}

static void
pass_over(struct window *w, const struct record *r)
{
	uint64_t ticket = frontier_push(&w->frontier, &r->seq);

	w->lane->stats.skipped++;
	if (frontier_done(&w->frontier, ticket))
		w->lane->host.moved(w->lane->host.ctx, w);
}

size_t
lane_take(struct window *w, struct page *page, const struct seq *after, int64_t since_us)
{
	struct lane *ln = w->lane;
	struct parcel *pc = NULL;
	struct seq last = *after;
	size_t wanted = 0;

	for (size_t i = 0; i < page->count; i++) {
		const struct record *r = &page->records[i];

		if (seq_is_set(&last) && seq_cmp(&r->seq, &last) <= 0)
			continue;
		last = r->seq;
		wanted++;
		if (r->created_us < since_us && (r->flags & RECORD_NO_TIME) == 0) {
			pass_over(w, r);
			continue;
		}
		if (pc == NULL)
			pc = parcel_new(w, page, page->count - i);
		entry_queue(w, pc, r);
	}
	if (pc != NULL) {
		ring_add(w);
		pump_soon(ln);
	}
	return wanted;
}

/* ---- done, one way or the other ---- */

static void
make_ready(struct lane *ln, struct entry *en)
{
	if (en == NULL || en->state != ENTRY_BLOCKED)
		return;
	en->state = ENTRY_READY;
	list_add(&ln->ready, en);
	if (ln->queued++ == 0)
		ln->queued_since = loop_now(ln->loop);
	ln->queued_bytes += (int64_t)en->d.rec->raw.n;
}

static void
entry_done(struct lane *ln, struct entry *en)
{
	struct parcel *pc = en->parcel;
	struct window *w = pc->window;
	bool moved;

	en->state = ENTRY_DONE;
	make_ready(ln, entry_of_link(key_order_leave(&ln->keys, &en->key)));
	moved = frontier_done(&w->frontier, en->ticket);
	if (--pc->left == 0) {
		parcel_close(pc);
		give_back(ln);
	}
	if (moved)
		ln->host.moved(ln->host.ctx, w);
}

static void
entry_acked(struct lane *ln, struct entry *en)
{
	ln->stats.acked++;
	ln->stats.bytes_acked += en->d.rec->raw.n;
	ln->stats.acked_at = loop_now(ln->loop);
	if (en->d.rec->created_us > 0)
		ln->stats.last_created_us = en->d.rec->created_us;
	entry_done(ln, en);
}

static void
entry_retry(struct lane *ln, struct entry *en, struct batch *b)
{
	if (b->due == 0) {
		struct backoff bo = {.base_us = ln->conf.retry_base_us,
		    .cap_us = ln->conf.retry_cap_us,
		    .attempt = en->attempts - 1};

		b->due = loop_now(ln->loop) + backoff_next(&bo, ln->loop);
	}
	b->retried++;
	ln->stats.retried++;
	en->state = ENTRY_WAITING;
	en->due = b->due;
	list_add(&ln->waiting, en);
}

static void
entry_reject(struct lane *ln, struct entry *en, const struct err *why)
{
	struct reject *rj = mem_new(sizeof *rj);

	ln->stats.rejected++;
	ln->rejects++;
	en->state = ENTRY_REJECTED;
	*rj = (struct reject){
	    .lane = ln,
	    .entry = en,
	    .rec = en->d.rec,
	    .origin = en->d.origin,
	    .reason = mem_strdup(why != NULL ? why->text : "no reason given"),
	    .attempts = en->attempts,
	    .first_us = en->first_us,
	    .last_us = loop_wall(ln->loop),
	};
	log_warn("lane", ln->name,
	    "record refused, kept as a dead letter stream=%s shard=%s why=\"%s\"",
	    rj->origin->stream, rj->origin->shard, rj->reason);
	ln->host.bury(ln->host.ctx, ln, rj);
}

static struct lane *
reject_over(struct reject *rj)
{
	struct lane *ln = rj->lane;

	assert(rj->entry->state == ENTRY_REJECTED);
	ln->rejects--;
	free(rj->reason);
	free(rj);
	return ln;
}

void
lane_buried(struct reject *rj)
{
	struct entry *en = rj->entry;
	struct lane *ln = reject_over(rj);

	entry_done(ln, en);
	settle_break(ln);
	pump_soon(ln);
}

void
lane_unbury(struct reject *rj)
{
	struct entry *en = rj->entry;

	(void)reject_over(rj);
	en->state = ENTRY_WAITING;
}

/* ---- breaker and halt: let go of everything once nothing is out ---- */

void
lane_drop_window(struct window *w)
{
	struct lane *ln = w->lane;

	while (w->parcels != NULL) {
		struct parcel *pc = w->parcels;

		for (size_t i = 0; i < pc->count; i++) {
			struct entry *en = &pc->entries[i];

			assert(en->state != ENTRY_OUT && en->state != ENTRY_REJECTED);
			if (en->state != ENTRY_DONE)
				(void)key_order_leave(&ln->keys, &en->key);
		}
		parcel_close(pc);
	}
	w->first = w->last = NULL;
	ring_remove(w);
	frontier_drop(&w->frontier);
}

/* The lists go first; the host then lets go of each window's entries. */
static void
drop_all(struct lane *ln)
{
	ln->ready = ln->waiting = (struct list){NULL, NULL};
	ln->queued = ln->queued_bytes = 0;
	ln->stats.drops++;
	ln->wanted = false;
	ln->host.dropped(ln->host.ctx, ln);
}

void
window_close(struct window *w)
{
	lane_drop_window(w);
	frontier_close(&w->frontier);
}

static void
settle_break(struct lane *ln)
{
	if (ln->state != LANE_BREAKING || ln->out != 0 || ln->rejects != 0)
		return;
	if (ln->halting) {
		lane_set_state(ln, LANE_HALTED, "the sink cannot go on");
	} else {
		lane_set_state(ln, LANE_BROKEN, "failures in a row");
		loop_timer_arm(ln->breaker_timer, ln->breaker.until - loop_now(ln->loop));
	}
	drop_all(ln);
}

static void
begin_break(struct lane *ln, const char *why)
{
	if (ln->state == LANE_HALTED || ln->state == LANE_BREAKING)
		return;
	lane_set_state(ln, LANE_BREAKING, why);
	pump_soon(ln); /* settles there, not inside a report */
}

static void
breaker_over(void *arg)
{
	struct lane *ln = arg;

	if (ln->state != LANE_BROKEN)
		return;
	if (!breaker_due(&ln->breaker, loop_now(ln->loop))) {
		loop_timer_arm(ln->breaker_timer, ln->breaker.until - loop_now(ln->loop));
		return;
	}
	lane_set_state(ln, LANE_PROBING, "time for a probe");
	ln->host.room(ln->host.ctx, ln);
}

static void
batch_settled(struct lane *ln, const struct batch *b)
{
	if (b->acked != 0 || b->retried == 0) {
		if (breaker_succeeded(&ln->breaker)) {
			log_info("lane", ln->name, "the sink works again");
			if (ln->state == LANE_PROBING)
				lane_set_state(ln, LANE_RUNNING, "the probe was answered");
			ln->host.room(ln->host.ctx, ln);
		}
		if (b->retried == 0)
			ln->stats.last_error[0] = '\0';
		return;
	}
	if (breaker_failed(&ln->breaker, loop_now(ln->loop))) {
		log_warn("lane", ln->name,
		    "%lld batches failed in a row; nothing is sent for %lld s why=\"%s\"",
		    (long long)ln->breaker.failures, (long long)(ln->breaker.open_us / USEC_SEC),
		    ln->stats.last_error);
		begin_break(ln, "breaker open");
	}
}

/* ---- reports ---- */

static void
note_error(struct lane *ln, const struct err *why)
{
	if (why != NULL)
		(void)snprintf(
		    ln->stats.last_error, sizeof ln->stats.last_error, "%.255s", why->text);
}

static void
on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct lane *ln = host;
	struct entry *en = CONTAINER_OF(d, struct entry, d);
	struct batch *b = en->batch;

	assert(en->state == ENTRY_OUT);
	en->batch = NULL;
	ln->out--;
	b->left--;
	key_order_back(&ln->keys, &en->key);
	if (ln->closing) {
		en->state = ENTRY_WAITING;
		if (b->left == 0)
			free(b);
		return;
	}
	switch (v) {
	case SINK_ACK:
		b->acked++;
		entry_acked(ln, en);
		break;
	case SINK_RETRY:
		note_error(ln, why);
		log_debug("lane", ln->name, "retry attempt=%u why=\"%s\"", en->attempts,
		    ln->stats.last_error);
		entry_retry(ln, en, b);
		break;
	case SINK_REJECT:
		entry_reject(ln, en, why);
		break;
	case SINK_HALT:
		note_error(ln, why);
		entry_retry(ln, en, b);
		if (!ln->halting)
			log_error("lane", ln->name, "stopped: %s", ln->stats.last_error);
		ln->halting = true;
		begin_break(ln, "the sink said halt");
		break;
	}
	if (b->left == 0) {
		if (!ln->halting)
			batch_settled(ln, b);
		free(b);
	}
	pump_soon(ln);
}

static void
on_ready(void *host)
{
	struct lane *ln = host;

	ln->full = false;
	pump_soon(ln);
}

/* ---- submitting ---- */

/* Retries that are due become ready, or blocked behind an earlier one of
 * their key. Returns when the next is due; 0: none waits. */
static int64_t
release_waiting(struct lane *ln)
{
	int64_t now = loop_now(ln->loop), next = 0;
	struct entry *en, *rest = ln->waiting.first;

	ln->waiting = (struct list){NULL, NULL};
	while ((en = rest) != NULL) {
		rest = en->next;
		if (en->due > now) {
			if (next == 0 || en->due < next)
				next = en->due;
			list_add(&ln->waiting, en);
			continue;
		}
		en->state = ENTRY_BLOCKED;
		if (key_order_may(&ln->keys, &en->key))
			make_ready(ln, en);
	}
	return next;
}

static struct entry *
take_queued(struct lane *ln)
{
	struct window *w = ln->ring;
	struct entry *en;

	if (w == NULL)
		return NULL;
	en = w->first;
	w->first = en->next;
	en->next = NULL;
	if (w->first == NULL) {
		w->last = NULL;
		ring_remove(w);
	} else {
		ln->ring = w->next;
	}
	return en;
}

static struct entry *
take_candidate(struct lane *ln)
{
	struct entry *en;

	while ((en = list_take(&ln->ready)) != NULL || (en = take_queued(ln)) != NULL) {
		ln->queued--;
		ln->queued_bytes -= (int64_t)en->d.rec->raw.n;
		if (key_order_may(&ln->keys, &en->key))
			return en;
		en->state = ENTRY_BLOCKED;
	}
	return NULL;
}

static size_t
batch_limit(const struct lane *ln)
{
	int64_t n = ln->conf.in_flight - ln->out;

	if (ln->state == LANE_PROBING)
		return ln->out == 0 ? 1 : 0;
	if (n > ln->conf.batch_count)
		n = ln->conf.batch_count;
	return n > 0 ? (size_t)n : 0;
}

static size_t
stage(struct lane *ln, size_t limit, struct batch *b)
{
	int64_t bytes = 0, wall = loop_wall(ln->loop);
	struct entry *en;
	size_t n = 0;

	while (n < limit && bytes < ln->conf.batch_bytes && (en = take_candidate(ln)) != NULL) {
		en->state = ENTRY_OUT;
		en->batch = b;
		en->attempts++;
		if (en->first_us == 0)
			en->first_us = wall;
		make_ready(ln, entry_of_link(key_order_out(&ln->keys, &en->key)));
		bytes += (int64_t)en->d.rec->raw.n;
		ln->staged[n++] = &en->d;
	}
	return n;
}

/* The sink took nothing: back to where they were, in order. */
static void
unstage(struct lane *ln, size_t n)
{
	while (n-- > 0) {
		struct entry *en = CONTAINER_OF(ln->staged[n], struct entry, d);

		key_order_back(&ln->keys, &en->key);
		en->attempts--;
		en->batch = NULL;
		en->state = ENTRY_READY;
		list_add_front(&ln->ready, en);
		ln->queued++;
		ln->queued_bytes += (int64_t)en->d.rec->raw.n;
	}
	ln->full = true;
}

/* How long the batch may still fill; 0: it goes now. */
static int64_t
linger_left(struct lane *ln)
{
	int64_t over = ln->queued_since + ln->conf.linger_us;
	int64_t now = loop_now(ln->loop);

	if (ln->queued >= ln->conf.batch_count || ln->queued_bytes >= ln->conf.batch_bytes ||
	    ln->state == LANE_PROBING)
		return 0;
	return over > now ? over - now : 0;
}

static bool
submit_one(struct lane *ln)
{
	size_t limit = batch_limit(ln), n;
	struct batch *b;

	if (limit == 0)
		return false;
	b = mem_new(sizeof *b);
	n = stage(ln, limit, b);
	if (n == 0) {
		free(b);
		return false;
	}
	b->left = n;
	ln->out += (int64_t)n;
	if (ln->ops->submit(ln->sink, ln->staged, n) == SINK_FULL) {
		ln->out -= (int64_t)n;
		unstage(ln, n);
		free(b);
		return false;
	}
	ln->stats.batches++;
	ln->queued_since = loop_now(ln->loop);
	return true;
}

static void
pump(void *arg)
{
	struct lane *ln = arg;
	int64_t next = 0, linger = 0;

	settle_break(ln);
	if (!lane_usable(ln))
		return;
	next = release_waiting(ln);
	while (!ln->full && ln->queued > 0) {
		linger = linger_left(ln);
		if (linger > 0 || !submit_one(ln))
			break;
		if (ln->state == LANE_BREAKING)
			return;
	}
	if (next != 0)
		next = next > loop_now(ln->loop) ? next - loop_now(ln->loop) : 1;
	if (linger > 0 && (next == 0 || linger < next))
		next = linger;
	/* A report during submit() has armed the timer for the next pass. */
	if (next != 0 && !loop_timer_armed(ln->pump_timer))
		loop_timer_arm(ln->pump_timer, next);
}

/* ---- the rest ---- */

bool
lane_usable(const struct lane *ln)
{
	return (ln->state == LANE_RUNNING || ln->state == LANE_PROBING) && !ln->stopped;
}

void
lane_stop(struct lane *ln)
{
	ln->stopped = true;
	loop_timer_disarm(ln->breaker_timer);
	if (ln->ops->flush != NULL)
		ln->ops->flush(ln->sink);
}

bool
lane_quiet(const struct lane *ln)
{
	return ln->out == 0 && ln->rejects == 0;
}

bool
lane_empty(const struct lane *ln)
{
	return ln->held == 0;
}

void
lane_set_share(struct lane *ln, int64_t bytes)
{
	ln->share = bytes;
}

enum lane_state
lane_state_get(const struct lane *ln)
{
	return ln->state;
}

const struct lane_stats *
lane_stats_get(const struct lane *ln)
{
	return &ln->stats;
}

const char *
lane_name(const struct lane *ln)
{
	return ln->name;
}

const struct sink_ops *
lane_ops(const struct lane *ln)
{
	return ln->ops;
}

int64_t
lane_held(const struct lane *ln)
{
	return ln->held;
}

int64_t
lane_out(const struct lane *ln)
{
	return ln->out;
}

struct breaker
lane_breaker(const struct lane *ln)
{
	return ln->breaker;
}

void
lane_sink_status(const struct lane *ln, struct buf *out)
{
	if (ln->ops->status != NULL && ln->sink != NULL)
		ln->ops->status(ln->sink, out);
}

int
lane_new(struct lane **out, struct loop *lp, const char *name, const struct sink_ops *ops,
    const void *sink_conf, const struct lane_conf *conf, const struct lane_host *host,
    struct err *e)
{
	struct lane *ln = mem_new(sizeof *ln);
	struct sink_env env = {
	    .loop = lp, .name = name, .host = ln, .report = on_report, .ready = on_ready};

	ln->loop = lp;
	ln->name = name;
	ln->ops = ops;
	ln->conf = *conf;
	ln->host = *host;
	ln->key = BUF_INIT(LIMIT_PAGE_BODY);
	ln->staged = mem_array((size_t)conf->batch_count, sizeof(struct delivery *));
	key_order_init(&ln->keys, (ops->caps & SINK_CAP_KEY_ORDER) != 0);
	breaker_init(&ln->breaker, conf->breaker_failures, conf->breaker_open_us);
	ln->pump_timer = loop_timer_new(lp, pump, ln);
	ln->room_timer = loop_timer_new(lp, told_room, ln);
	ln->breaker_timer = loop_timer_new(lp, breaker_over, ln);
	if (ops->open(&ln->sink, &env, sink_conf, e) != 0) {
		lane_close(ln);
		return -1;
	}
	*out = ln;
	return 0;
}

void
lane_close_sink(struct lane *ln)
{
	ln->closing = ln->stopped = true;
	if (ln->sink != NULL)
		ln->ops->close(ln->sink);
	ln->sink = NULL;
	assert(ln->out == 0);
}

void
lane_close(struct lane *ln)
{
	if (ln == NULL)
		return;
	if (ln->sink != NULL)
		lane_close_sink(ln);
	loop_timer_close(ln->pump_timer);
	loop_timer_close(ln->room_timer);
	loop_timer_close(ln->breaker_timer);
	key_order_close(&ln->keys);
	buf_close(&ln->key);
	free(ln->staged);
	free(ln);
}
