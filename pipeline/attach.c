/* pipeline/attach.c - which track rides which line (see pipeline_priv.h).
 *
 * A track that could be fed joins a line that has not read past it. Where there is
 * none, a line is begun: the leading one at the highest of the waiting
 * positions, the catching one at the lowest, so that who is far behind never
 * holds back who is not. After each page of the catching line its tracks move over to the
 * leading one as soon as that has not read past them: there the two meet.
 *
 * Before each read every track's lane is asked for room. On the leading line a
 * lane without room is let go (it catches up later) while others have some; if
 * none has, the reader is parked: back-pressure, nothing is dropped. On the catching
 * line all wait for the slowest, for PATIENCE at most.
 */
#include "pipeline/pipeline_priv.h"

#include <stdio.h>

#include "base/log.h"
#include "base/utf8.h"

/* How long catching tracks wait for one of theirs without room. */
#define PATIENCE (5 * USEC_SEC)
/* A track further behind than the catching line waits that long before the
 * line begins again from it. */
#define RESTART_AFTER (30 * USEC_SEC)
/* Tracks with a backlog that are read again for a breaker's probe. */
#define PROBE_TRACKS 4

static bool line_credit(void *ctx, struct reader *rd, size_t bytes);
static void line_refund(void *ctx, struct reader *rd, size_t bytes);
static void line_page(void *ctx, struct reader *rd, struct page *page, size_t credited);
static void line_end(void *ctx, struct reader *rd);
static void
line_lost(void *ctx, struct reader *rd, enum reader_loss loss, const struct api_result *rs);
static void line_trouble(void *ctx, struct reader *rd, const struct api_result *rs);

/* ---- lines ---- */

static struct line *
line_leading(struct run *rn)
{
	for (size_t i = 0; i < 2; i++)
		if (rn->line[i].reader != NULL && !rn->line[i].catching)
			return &rn->line[i];
	return NULL;
}

static struct line *
line_catching(struct run *rn)
{
	for (size_t i = 0; i < 2; i++)
		if (rn->line[i].reader != NULL && rn->line[i].catching)
			return &rn->line[i];
	return NULL;
}

/* Has the line not read past the track? */
static bool
line_covers(const struct line *l, const struct track *t)
{
	const struct seq *read;

	if (l == NULL || l->reader == NULL)
		return false;
	read = reader_last(l->reader);
	if (!seq_is_set(&t->last))
		return !seq_is_set(read) && l->from.kind == t->base.kind &&
		    l->from.seq.n == t->base.seq.n &&
		    (t->base.seq.n == 0 || seq_cmp(&l->from.seq, &t->base.seq) == 0);
	if (seq_is_set(read))
		return seq_cmp(read, &t->last) <= 0;
	/* Nothing read yet. Only AFTER a number is exact: TRIM_HORIZON, which a
	 * refused start falls back to, may begin anywhere. */
	return l->from.kind == POS_AFTER && seq_cmp(&l->from.seq, &t->last) <= 0;
}

static void
line_unpark(struct line *l)
{
	struct pipeline *pl = l->run->feed->pl;

	if (!l->parked)
		return;
	l->parked = false;
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	else
		pl->parked_tail = l->prev;
	l->next = NULL;
	l->prev = NULL;
}

static void
line_park(struct line *l)
{
	struct pipeline *pl = l->run->feed->pl;

	if (l->parked)
		return;
	l->parked = true;
	if (l->parked_at == 0)
		l->parked_at = loop_now(pl->loop);
	l->next = NULL;
	l->prev = pl->parked_tail;
	*pl->parked_tail = l;
	pl->parked_tail = &l->next;
	if (!loop_timer_armed(pl->tick))
		loop_timer_arm(pl->tick, USEC_SEC);
}

/* Kicks those that feed this sink: others would be refused again, and the sink
 * would wait behind them. */
void
slot_kick(struct slot *sl, size_t most)
{
	struct line *l = sl->pl->parked, *next;

	for (; l != NULL && most > 0; l = next) {
		const struct track *t = l->tracks;

		next = l->next;
		while (t != NULL && t->sub->slot != sl)
			t = t->next;
		if (t == NULL)
			continue;
		most--;
		line_unpark(l);
		reader_kick(l->reader);
	}
}

void
parked_kick(struct pipeline *pl, size_t most)
{
	/* Who is refused again parks at the tail, so `most` bounds the work
	 * and nobody waits behind somebody who cannot go. */
	while (most-- > 0 && pl->parked != NULL) {
		struct line *l = pl->parked;

		line_unpark(l);
		reader_kick(l->reader);
	}
}

static void
line_close(struct line *l)
{
	struct reader *rd = l->reader;

	line_unpark(l);
	l->reader = NULL;
	l->busy = false;
	l->parked_at = 0;
	reader_close(rd);
}

void
run_close_lines(struct run *rn)
{
	for (size_t i = 0; i < 2; i++) {
		struct line *l = &rn->line[i];

		while (l->tracks != NULL) {
			struct track *t = l->tracks;

			track_leave(t);
			track_set_state(t, TRACK_READY, "reading stops");
		}
		if (l->reader != NULL)
			line_close(l);
	}
}

static struct line *
line_open(struct run *rn, bool catching, const struct pos *from)
{
	struct feed *fd = rn->feed;
	struct pipeline *pl = fd->pl;
	struct line *l = rn->line[0].reader == NULL ? &rn->line[0] : &rn->line[1];
	const struct seq *start = seq_is_set(&from->seq) ? &from->seq : &rn->shard->start;
	struct reader_host host = {
	    .ctx = l,
	    .credit = line_credit,
	    .refund = line_refund,
	    .page = line_page,
	    .end = line_end,
	    .lost = line_lost,
	    .trouble = line_trouble,
	};

	assert(l->reader == NULL && l->tracks == NULL);
	if (rn->calls == NULL)
		rn->calls = rate_new(pl->loop, (unsigned)fd->conf->calls_per_second, 1);
	l->run = rn;
	l->from = *from;
	l->read = from->kind == POS_AFTER ? from->seq : (struct seq){0};
	l->catching = catching;
	l->started_at = loop_now(pl->loop);
	l->reader = reader_new(pl->loop, fd->api, rn->calls, !catching, &fd->reader_conf, fd->arn,
	    rn->shard->id, start, from, &host);
	if (rn->shard->closed)
		reader_set_closed(l->reader);
	return l;
}

/* ---- assigning ---- */

static bool
track_may_be_fed(const struct track *t)
{
	struct slot *sl = t->sub->slot;

	if (t->state != TRACK_READY || !lane_wants(sl->lane))
		return false;
	return lane_state_get(sl->lane) != LANE_PROBING || t->had_backlog || sl->backlog == 0;
}

/* Positions in the order of the shard; LATEST never meets another kind here. */
static int
pos_cmp(const struct pos *a, const struct pos *b)
{
	if (!seq_is_set(&a->seq) || !seq_is_set(&b->seq))
		return (int)seq_is_set(&a->seq) - (int)seq_is_set(&b->seq);
	if (seq_cmp(&a->seq, &b->seq) != 0)
		return seq_cmp(&a->seq, &b->seq);
	/* AT a number is before AFTER it. */
	return (int)(a->kind == POS_AFTER) - (int)(b->kind == POS_AFTER);
}

static size_t
join_covered(struct run *rn)
{
	struct line *lead = line_leading(rn), *catching = line_catching(rn);
	size_t left = 0;

	for (size_t i = 0; i < rn->feed->sub_count; i++) {
		struct track *t = &rn->tracks[i];

		if (!track_may_be_fed(t))
			continue;
		if (line_covers(lead, t))
			track_join(t, lead);
		else if (line_covers(catching, t))
			track_join(t, catching);
		else
			left++;
	}
	return left;
}

/* The lowest (or highest) position of those that wait. */
static struct pos
find_pos(struct run *rn, bool highest)
{
	struct pos best = {.kind = POS_NONE};

	for (size_t i = 0; i < rn->feed->sub_count; i++) {
		const struct track *t = &rn->tracks[i];
		struct pos at = track_next(t);
		int r;

		if (!track_may_be_fed(t))
			continue;
		r = best.kind == POS_NONE ? 0 : pos_cmp(&at, &best);
		if (best.kind == POS_NONE || (highest ? r > 0 : r < 0))
			best = at;
	}
	return best;
}

/* LATEST can only be begun by a leading line. A track that missed it is read
 * from the shard's start, leaving out what is older. */
void
run_give_up_latest(struct run *rn)
{
	for (size_t i = 0; i < rn->feed->sub_count; i++) {
		struct track *t = &rn->tracks[i];

		if (t->state == TRACK_READY && t->base.kind == POS_LATEST)
			t->base.kind = POS_AT_START;
	}
}

/* For those who wait behind it. Who rides it now joins again or, if it was no
 * further than they are, waits for the next turn. */
static void
restart_catching(struct run *rn, struct line *l)
{
	struct pos from = find_pos(rn, false);

	if (loop_now(rn->feed->pl->loop) - l->started_at < RESTART_AFTER)
		return;
	while (l->tracks != NULL) {
		struct track *t = l->tracks;

		t->rested = reader_caught_up_at(l->reader) != 0;
		track_leave(t);
		track_set_state(t, TRACK_READY, "somebody waits further back");
	}
	line_close(l);
	(void)line_open(rn, true, &from);
}

static void
close_unused(struct run *rn)
{
	struct line *catching;

	for (size_t i = 0; i < 2; i++)
		if (rn->line[i].reader != NULL && rn->line[i].track_count == 0)
			line_close(&rn->line[i]);
	catching = line_catching(rn);
	if (catching != NULL && line_leading(rn) == NULL)
		catching->catching = false;
}

void
run_assign(struct run *rn)
{
	struct pos from;

	if (rn->feed->state != FEED_RUNNING)
		return;
	if (join_covered(rn) > 0 && line_leading(rn) == NULL) {
		if (line_catching(rn) != NULL)
			run_give_up_latest(rn);
		from = find_pos(rn, true);
		(void)line_open(rn, false, &from);
		(void)join_covered(rn);
	}
	if (join_covered(rn) > 0) {
		run_give_up_latest(rn);
		if (line_catching(rn) == NULL) {
			from = find_pos(rn, false);
			(void)line_open(rn, true, &from);
		} else {
			restart_catching(rn, line_catching(rn));
		}
		(void)join_covered(rn);
	}
	close_unused(rn);
	run_give_up_latest(rn); /* a lane that cannot read now has missed it */
	run_changed(rn, "readers changed");
}

void
slot_offer(struct slot *sl)
{
	struct track *t = sl->ready, *next;
	bool probing = lane_state_get(sl->lane) == LANE_PROBING;
	size_t probes = 0;

	if (!lane_wants(sl->lane))
		return;
	for (; t != NULL; t = next) {
		next = t->next;
		if (probing && sl->backlog != 0 && (!t->had_backlog || probes++ >= PROBE_TRACKS))
			continue;
		run_assign(t->run);
		/* run_assign() may have taken `next` off this list too only if it
		 * belongs to the same shard, and one sink has one track a shard. */
	}
}

/* ---- what a reader says ---- */

static bool
line_waits_turn(struct line *l)
{
	struct run *rn = l->run;
	const struct line *other = l == &rn->line[0] ? &rn->line[1] : &rn->line[0];

	return rn->feed->conf->readers == 1 && other->reader != NULL && other->busy;
}

static void
line_turn_over(struct line *l)
{
	struct run *rn = l->run;
	struct line *other = l == &rn->line[0] ? &rn->line[1] : &rn->line[0];

	l->busy = false;
	if (rn->feed->conf->readers == 1 && other->reader != NULL && other->parked) {
		line_unpark(other);
		reader_kick(other->reader);
	}
}

/* Lets go of the tracks whose lanes had no room for this read. */
static void
line_cut(struct line *l)
{
	struct track *t = l->tracks, *next;

	for (; t != NULL; t = next) {
		next = t->next;
		if (t->reserved != 0)
			continue;
		track_leave(t);
		track_set_state(t, TRACK_READY, "its lane has no room");
		l->run->feed->detaches++;
	}
}

static bool
line_credit(void *ctx, struct reader *rd, size_t bytes)
{
	struct line *l = ctx;
	int64_t now = loop_now(l->run->feed->pl->loop);
	size_t granted = 0;

	(void)rd;
	if (line_waits_turn(l)) {
		line_park(l);
		return false;
	}
	for (struct track *t = l->tracks; t != NULL; t = t->next) {
		assert(t->reserved == 0);
		if (!lane_reserve(t->sub->slot->lane, bytes))
			continue;
		t->reserved = bytes;
		granted++;
	}
	if (granted < l->track_count && granted > 0 &&
	    (!l->catching || (l->parked_at != 0 && now - l->parked_at >= PATIENCE)))
		line_cut(l);
	if (granted == 0 || granted < l->track_count) {
		for (struct track *t = l->tracks; t != NULL; t = t->next) {
			lane_reserve_undo(t->sub->slot->lane, t->reserved);
			t->reserved = 0;
		}
		line_park(l);
		return false;
	}
	l->parked_at = 0;
	l->busy = true;
	return true;
}

static void
line_refund(void *ctx, struct reader *rd, size_t bytes)
{
	struct line *l = ctx;

	(void)rd;
	(void)bytes;
	for (struct track *t = l->tracks; t != NULL; t = t->next)
		track_unreserve(t);
	line_turn_over(l);
}

static bool
track_pinned(const struct track *t)
{
	return t->base.kind == POS_AT_START && seq_is_set(&t->base.seq);
}

/* Acked before the gap: a page that the service made before it trimmed may
 * bring it again. */
static bool
before_gap(const struct track *t, const struct seq *seq)
{
	return t->gap != NULL && t->gap->gap.last_acked.kind == POS_AFTER &&
	    seq_cmp(seq, &t->gap->gap.last_acked.seq) <= 0;
}

/* As soon as a record was read, the position is that record. */
static void
track_pin_base(struct track *t, const struct page *page)
{
	size_t i = 0;

	if (t->gap == NULL && (seq_is_set(&t->last) || track_pinned(t)))
		return;
	while (i < page->count && before_gap(t, &page->records[i].seq))
		i++;
	if (i == page->count)
		return;
	if (t->gap != NULL)
		track_first_after_gap(t, &page->records[i].seq);
	t->base.kind = POS_AT_START;
	t->base.seq = page->records[i].seq;
	keeper_mark(t->run->feed->pl->keeper, &t->keep, false);
}

static void
note_last(struct track *t, const struct seq *seq)
{
	if (!seq_is_set(&t->last) || seq_cmp(seq, &t->last) > 0)
		t->last = *seq;
}

static void
track_take(struct track *t, struct page *page)
{
	track_unreserve(t);
	track_note_clear(t);
	for (size_t i = 0; i < page->count; i++)
		if (before_gap(t, &page->records[i].seq))
			note_last(t, &page->records[i].seq);
	track_pin_base(t, page);
	/* A service that refuses numbers was read from further back. */
	for (size_t i = 0; i < page->count && track_pinned(t); i++)
		if (seq_cmp(&page->records[i].seq, &t->base.seq) < 0)
			note_last(t, &page->records[i].seq);
	track_use_shared(t);
	if (lane_take(&t->window, page, &t->last, t->base.since_us) != 0)
		t->owed_us = 0;
	for (size_t i = 0; i < page->count; i++)
		note_last(t, &page->records[i].seq);
}

/* Tracks that the leading line has not read past move over to it. */
static void
line_meet(struct line *l)
{
	struct line *lead = line_leading(l->run);
	struct track *t = l->tracks, *next;

	for (; t != NULL; t = next) {
		next = t->next;
		if (!line_covers(lead, t))
			continue;
		track_leave(t);
		track_set_state(t, TRACK_READY, "has caught up");
		track_join(t, lead);
	}
}

/* Somebody may be able to join now that a line has moved. */
static bool
any_ready(const struct run *rn)
{
	for (size_t i = 0; i < rn->feed->sub_count; i++)
		if (rn->tracks[i].state == TRACK_READY)
			return true;
	return false;
}

static void
line_page(void *ctx, struct reader *rd, struct page *page, size_t credited)
{
	struct line *l = ctx;
	struct run *rn = l->run;
	struct feed *fd = rn->feed;

	(void)credited;
	fd->pages++;
	fd->records += page->count;
	fd->bytes += page->body.n;
	fd->trouble[0] = '\0';
	rn->gone_tries = 0;
	for (size_t i = 0; i < fd->sub_count && page->count != 0; i++)
		rn->tracks[i].rested = false;
	line_ask_shared(l, page);
	for (struct track *t = l->tracks; t != NULL; t = t->next)
		track_take(t, page);
	line_forget_shared(l);
	for (size_t i = 0; i < fd->sub_count && page->count != 0; i++)
		track_note_owed(&rn->tracks[i], page, &l->read);
	if (seq_is_set(reader_last(rd)))
		l->read = *reader_last(rd);
	(void)pipeline_bytes(fd->pl, &fd->pl->peak);
	line_turn_over(l);
	if (l->catching)
		line_meet(l);
	if (l->track_count == 0 || any_ready(rn))
		run_assign(rn);
}

static void
line_end(void *ctx, struct reader *rd)
{
	struct line *l = ctx;
	struct run *rn = l->run;
	bool first = !rn->ended;

	(void)rd;
	rn->ended = true;
	while (l->tracks != NULL) {
		struct track *t = l->tracks;

		track_leave(t);
		track_set_state(t, TRACK_DRAINING, "null iterator");
		if (frontier_empty(&t->window.frontier))
			track_complete(t, "read to its end");
	}
	if (l->reader != NULL)
		line_close(l);
	run_assign(rn);
	if (first)
		lineage_shard_ended(rn->feed->lineage, rn->shard);
}

/* Where the line's reader stands: what was lost lies right behind it. */
static struct pos
line_pos(const struct line *l)
{
	const struct seq *read = reader_last(l->reader);

	if (seq_is_set(read))
		return (struct pos){.kind = POS_AFTER, .seq = *read};
	return l->from;
}

/* A number that is trimmed or refused is lost for those who stand at it; who
 * rides along from further on asks for his own. */
static bool
loses(const struct track *t, const struct pos *at, enum reader_loss loss)
{
	struct pos next = track_next(t);

	return loss == READER_GONE || pos_cmp(&next, at) <= 0;
}

static void
line_lost(void *ctx, struct reader *rd, enum reader_loss loss, const struct api_result *rs)
{
	struct line *l = ctx;
	struct run *rn = l->run;
	struct pos at = line_pos(l);
	struct track *lost = NULL;

	(void)rd;
	log_warn(
	    "reader", rn->shard->id, "cannot go on stream=%s: %s", rn->feed->name, rs->err.text);
	while (l->tracks != NULL) {
		struct track *t = l->tracks;

		track_leave(t);
		if (loses(t, &at, loss)) {
			track_set_state(t, TRACK_LOST, "the service has no such position");
			track_link_in(&lost, t);
		} else {
			track_set_state(t, TRACK_READY, "its line was lost further back");
		}
	}
	line_close(l);
	while (lost != NULL) {
		struct track *t = lost;

		track_link_out(t);
		track_lost(t, loss);
	}
	run_assign(rn);
}

static void
line_trouble(void *ctx, struct reader *rd, const struct api_result *rs)
{
	struct line *l = ctx;
	struct feed *fd = l->run->feed;

	(void)rd;
	fd->call_errors++;
	(void)snprintf(fd->trouble, sizeof fd->trouble, "%.255s", rs->err.text);
	utf8_mend(fd->trouble);
}
