/* pipeline/submit.c - which records go to the sink, and when (see lane_priv.h):
 * the lists, order per key, batches.
 */
#include "pipeline/lane_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* ---- lists ---- */

void
lane_list_add(struct list *l, struct entry *en)
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

void
lane_pump_soon(struct lane *ln)
{
	/* Said with each report; to arm the timer each time would read the clock as often. */
	if (ln->pumping)
		return;
	ln->pumping = true;
	loop_timer_arm(ln->pump_timer, 0);
}

void
lane_make_ready(struct lane *ln, struct entry *en)
{
	if (en == NULL || en->state != ENTRY_BLOCKED)
		return;
	en->state = ENTRY_READY;
	lane_list_add(en->group != 0 ? &ln->suspects : &ln->ready, en);
	if (ln->queued++ == 0)
		ln->queued_since = loop_now(ln->loop);
	ln->queued_bytes += (int64_t)en->d.rec->raw.n;
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
			lane_list_add(&ln->waiting, en);
			continue;
		}
		en->state = ENTRY_BLOCKED;
		if (key_order_may(&ln->keys, &en->key))
			lane_make_ready(ln, en);
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
		window_unring(w);
	} else {
		ln->ring = w->next;
	}
	return en;
}

/* May it go, now that it is its turn? */
static bool
unqueue(struct lane *ln, struct entry *en)
{
	ln->queued--;
	ln->queued_bytes -= (int64_t)en->d.rec->raw.n;
	/* Whether a replay is stale is known when everything of its key before it is done. */
	if (!key_order_may(&ln->keys, &en->key) || (en->d.replayed && !key_order_first(&en->key))) {
		en->state = ENTRY_BLOCKED;
		return false;
	}
	if (en->d.replayed && ln->host.stale != NULL && ln->host.stale(ln->host.ctx, &en->d)) {
		en->fate = LANE_FATE_STALE;
		lane_done(ln, en);
		return false;
	}
	if (en->refusal == NULL)
		return true;
	en->first_at = loop_now(ln->loop);
	lane_refuse(ln, en, en->refusal);
	return false;
}

static struct entry *
take_candidate(struct lane *ln)
{
	struct entry *en;

	/* A refusal may halt it. */
	while (lane_usable(ln) &&
	    ((en = list_take(&ln->ready)) != NULL || (en = take_queued(ln)) != NULL))
		if (unqueue(ln, en))
			return en;
	return NULL;
}

/* Of that group; 0: of the next one. */
static struct entry *
take_suspect(struct lane *ln, uint64_t group)
{
	struct entry *en;

	while ((en = ln->suspects.first) != NULL && (group == 0 || en->group == group)) {
		(void)list_take(&ln->suspects);
		if (unqueue(ln, en))
			return en;
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
	int64_t bytes = 0, now = loop_now(ln->loop);
	struct entry *en = take_suspect(ln, 0);
	uint64_t group = en != NULL ? en->group : 0;
	size_t n = 0;

	if (en != NULL && limit > en->most)
		limit = en->most;
	else if (en == NULL)
		en = take_candidate(ln);
	while (en != NULL) {
		en->state = ENTRY_OUT;
		en->batch = b;
		en->attempts++;
		if (en->first_at == 0)
			en->first_at = now;
		lane_make_ready(ln, entry_of_link(key_order_out(&ln->keys, &en->key)));
		bytes += (int64_t)en->d.rec->raw.n;
		ln->staged[n++] = &en->d;
		if (n == limit || bytes >= ln->conf.batch_bytes)
			break;
		en = group != 0 ? take_suspect(ln, group) : take_candidate(ln);
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
		if (--en->attempts == 0)
			en->first_at = 0;
		en->batch = NULL;
		en->state = ENTRY_READY;
		list_add_front(en->group != 0 ? &ln->suspects : &ln->ready, en);
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
	    ln->suspects.first != NULL || ln->state == LANE_PROBING)
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
	b->count = b->left = n;
	b->splits_before = ln->stats.split;
	b->sent_at = loop_now(ln->loop);
	ln->out += (int64_t)n;
	if (ln->ops->submit(ln->sink, ln->staged, n) == SINK_FULL) {
		ln->out -= (int64_t)n;
		unstage(ln, n);
		free(b);
		return false;
	}
	ln->stats.batches++;
	histogram_add(&ln->stats.batch_records, (int64_t)n);
	ln->queued_since = loop_now(ln->loop);
	return true;
}

void
lane_pump(void *arg)
{
	struct lane *ln = arg;
	int64_t next = 0, linger = 0;

	ln->pumping = false;
	lane_settle_break(ln);
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
