/* pipeline/window.c - what a lane holds of each shard: taking pages, memory,
 * letting go (see lane_priv.h).
 */
#include "pipeline/lane_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "record/key.h"
#include "record/rewrite.h"

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

void
window_unring(struct window *w)
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
	*w = (struct window){
	    .lane = ln, .origin = origin, .shard_hash = key_hash(slice_of(origin->shard))};
	frontier_init(&w->frontier);
}

void
window_init_replay(struct window *w, struct lane *ln)
{
	*w = (struct window){.lane = ln, .replay = true};
	frontier_init(&w->frontier);
}

/* ---- memory ---- */

void
lane_gave_back(struct lane *ln)
{
	if (!ln->wanted)
		return;
	ln->wanted = false;
	loop_timer_arm(ln->room_timer, 0);
}

void
lane_ask_room(struct lane *ln)
{
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
lane_reserve_undo(struct lane *ln, size_t bytes)
{
	assert(ln->reserved >= (int64_t)bytes);
	ln->reserved -= (int64_t)bytes;
}

void
lane_unreserve(struct lane *ln, size_t bytes)
{
	lane_reserve_undo(ln, bytes);
	lane_gave_back(ln);
}

void
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
	for (size_t i = 0; pc->refusals && i < pc->count; i++)
		free(pc->entries[i].refusal);
	page_unref(pc->page);
	page_unref(pc->rewritten);
	free(pc);
}

/* ---- taking ---- */

/* Takes the reference on rewritten, which may be NULL. */
static struct parcel *
parcel_new(struct window *w, struct page *page, struct page *rewritten, size_t count)
{
	size_t size = sizeof(struct parcel) + count * sizeof(struct entry);
	struct parcel *pc = mem_new(size);

	pc->window = w;
	pc->page = page_ref(page);
	pc->rewritten = rewritten;
	pc->bytes = page->bytes + (rewritten != NULL ? rewritten->bytes : 0) + size;
	pc->prev = w->last_parcel;
	if (pc->prev != NULL)
		pc->prev->next = pc;
	else
		w->parcels = pc;
	w->last_parcel = pc;
	w->lane->held += (int64_t)pc->bytes;
	return pc;
}

/* r: as it goes to the sink. keyed: the one whose keys count. */
static struct entry *
entry_queue(struct window *w, struct parcel *pc, const struct record *r, const struct record *keyed,
    const struct origin *o, uint64_t ticket)
{
	struct lane *ln = w->lane;
	struct entry *en = &pc->entries[pc->count++];

	buf_reset(&ln->key);
	key_write(keyed, o->schema, &ln->key);
	en->d = (struct delivery){.rec = r,
	    .origin = o,
	    .key_hash = key_hash(buf_slice(&ln->key)),
	    .route = r->route,
	    .replayed = w->replay};
	en->parcel = pc;
	en->ticket = ticket;
	en->state = ENTRY_QUEUED;
	pc->left++;
	key_order_enter(&ln->keys, &en->key, ln->by_shard ? w->shard_hash : en->d.key_hash);
	if (w->last != NULL)
		w->last->next = en;
	else
		w->first = en;
	w->last = en;
	if (ln->queued++ == 0)
		ln->queued_since = loop_now(ln->loop);
	ln->queued_bytes += (int64_t)r->raw.n;
	ln->stats.taken++;
	ln->stats.bytes_taken += r->raw.n;
	return en;
}

/* Its filters refused it: it goes no further than to its turn. */
static void
entry_refused(struct entry *en, struct sifted *s)
{
	en->refusal = s->why;
	s->why = NULL;
	en->parcel->refusals = true;
}

static void
pass_over(struct window *w, const struct record *r)
{
	uint64_t ticket = frontier_push(&w->frontier, &r->seq, r->created_us);

	if (frontier_done(&w->frontier, ticket))
		w->lane->host.moved(w->lane->host.ctx, w);
}

/* Queues what the sieve left of the page; returns how many were wanted or passed. */
static size_t
queue_sifted(struct window *w, struct parcel *pc, const struct page *page)
{
	struct lane *ln = w->lane;
	size_t wanted = 0, made = 0;

	for (size_t i = 0; i < page->count; i++) {
		const struct record *r = &page->records[i];
		struct sifted *s = &ln->sifted[i];
		struct entry *en;

		switch (s->fate) {
		case FATE_NOT_WANTED:
			continue;
		case FATE_TOO_OLD:
			ln->stats.skipped++;
			pass_over(w, r);
			break;
		case FATE_DROPPED:
			ln->stats.filtered++;
			pass_over(w, r);
			break;
		case FATE_REWRITTEN:
			r = &pc->rewritten->records[made++];
			FALLTHROUGH;
		case FATE_KEPT:
		case FATE_REFUSED:
			en = entry_queue(w, pc, r, r, w->origin,
			    frontier_push(&w->frontier, &r->seq, r->created_us));
			if (s->fate == FATE_REFUSED)
				entry_refused(en, s);
			break;
		}
		wanted++;
	}
	return wanted;
}

size_t
lane_take(struct window *w, struct page *page, const struct seq *after, int64_t since_us)
{
	struct page *rewritten;
	size_t kept = lane_sieve(w, page, after, since_us, &rewritten);
	struct parcel *pc = kept != 0 ? parcel_new(w, page, rewritten, kept) : NULL;
	size_t wanted = queue_sifted(w, pc, page);

	if (pc != NULL) {
		ring_add(w);
		lane_pump_soon(w->lane);
	}
	return wanted;
}

/* The keys that count are those of the letter, or it would not be found again. */
static void
queue_replay(
    struct window *w, struct parcel *pc, const struct page *page, const struct replayed *from)
{
	struct lane *ln = w->lane;
	size_t made = 0;

	for (size_t i = 0; i < page->count; i++) {
		const struct record *r = &page->records[i], *keyed = r;
		struct sifted *s = &ln->sifted[i];
		struct entry *en;

		if (s->fate == FATE_DROPPED) {
			ln->stats.filtered++;
			ln->host.replayed(ln->host.ctx, w, from[i].ticket, LANE_FATE_FILTERED);
			continue;
		}
		if (s->fate == FATE_REWRITTEN)
			r = &pc->rewritten->records[made++];
		en = entry_queue(w, pc, r, keyed, from[i].origin, from[i].ticket);
		if (s->fate == FATE_REFUSED)
			entry_refused(en, s);
	}
}

void
lane_take_replay(struct window *w, struct page *page, const struct replayed *from)
{
	struct page *rewritten;
	size_t kept = lane_sieve_replay(w->lane, page, from, &rewritten);
	struct parcel *pc = kept != 0 ? parcel_new(w, page, rewritten, kept) : NULL;

	queue_replay(w, pc, page, from);
	if (pc != NULL) {
		ring_add(w);
		lane_pump_soon(w->lane);
	}
}

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
	window_unring(w);
	frontier_drop(&w->frontier);
}

/* The lists go first; the host then lets go of each window's entries. */

void
window_close(struct window *w)
{
	lane_drop_window(w);
	frontier_close(&w->frontier);
}
