/* pipeline/track.c - one sink's way through one shard: its state, its position,
 * and what both mean to the children.
 *
 *   NEW -> WAITING -> READY <-> FED -> DRAINING -> COMPLETE
 *                       ^        '-> LOST -> GAP -'
 *                       '-----------------------'
 */
#include "pipeline/pipeline_priv.h"

#include "base/log.h"

const char *
track_state_name(enum track_state s)
{
	static const char *const names[] = {
	    "new", "waiting", "ready", "fed", "lost", "gap", "draining", "complete"};

	return names[s];
}

void
track_link_in(struct track **list, struct track *t)
{
	t->next = *list;
	t->prev = list;
	if (t->next != NULL)
		t->next->prev = &t->next;
	*list = t;
}

void
track_link_out(struct track *t)
{
	*t->prev = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	t->next = NULL;
	t->prev = NULL;
}

/* The one place that changes a track's state; keeps it on the list its state
 * says. FED is entered by track_join(), which sets the line first. */
void
track_set_state(struct track *t, enum track_state to, const char *why)
{
	struct slot *sl = t->sub->slot;

	if (t->state == to)
		return;
	log_debug("track", t->run->shard->id, "%s -> %s (%s) sink=%s", track_state_name(t->state),
	    track_state_name(to), why, lane_name(sl->lane));
	if (t->state == TRACK_READY || t->state == TRACK_FED)
		track_link_out(t);
	if (t->state == TRACK_READY && t->had_backlog)
		sl->backlog--;
	/* It may have been read for a probe and ended without a record: others
	 * are to be asked, or the lane waits for ever. */
	if (t->state == TRACK_FED && lane_state_get(sl->lane) == LANE_PROBING)
		lane_ask_room(sl->lane);
	t->state = to;
	if (to == TRACK_READY) {
		track_link_in(&sl->ready, t);
		sl->backlog += t->had_backlog;
	} else if (to == TRACK_FED) {
		t->had_backlog = false;
		track_link_in(&t->line->tracks, t);
	}
}

struct pos
track_position(const struct track *t)
{
	const struct seq *acked = &t->window.frontier.acked;
	struct pos settled;

	if (t->state == TRACK_COMPLETE)
		return (struct pos){.kind = POS_COMPLETE};
	/* A settled gap was written with the position behind it; nothing older
	 * may overwrite that before we hear that it is durable. */
	if (t->state == TRACK_GAP && gap_position(&t->gap->gap, &settled))
		return settled;
	if (seq_is_set(acked))
		return (struct pos){.kind = POS_AFTER, .seq = *acked};
	return t->base;
}

/* Where a reader must begin to feed it. */
struct pos
track_next(const struct track *t)
{
	if (seq_is_set(&t->last))
		return (struct pos){.kind = POS_AFTER, .seq = t->last};
	return t->base;
}

void
track_unreserve(struct track *t)
{
	if (t->reserved == 0)
		return;
	lane_unreserve(t->sub->slot->lane, t->reserved);
	t->reserved = 0;
}

/* LATEST and TRIM_HORIZON mean something else each time they are asked for, so
 * they are asked for once: whoever must ask again does so from the start, where
 * what was trimmed meanwhile is an error and not a jump. Only behind a gap that
 * is still open-ended the horizon may move: the gap covers it. */
void
track_asked_before(struct track *t)
{
	if (t->base.kind == POS_LATEST || (t->base.kind == POS_TRIM_HORIZON && t->gap == NULL))
		t->base.kind = POS_AT_START;
}

void
track_join(struct track *t, struct line *l)
{
	t->line = l;
	l->track_count++;
	track_set_state(t, TRACK_FED, l->catching ? "catches up" : "leading");
	track_asked_before(t);
}

void
track_note_clear(struct track *t)
{
	struct feed *fd = t->run->feed;
	int64_t at, now;

	if (t->state != TRACK_FED || t->owed_us != 0 || !frontier_empty(&t->window.frontier) ||
	    t->line->reader == NULL)
		return;
	at = reader_quiet_at(t->line->reader);
	now = loop_now(fd->pl->loop);
	if (at != 0 && feed_wall(fd) - (now - at) > t->clear_us)
		t->clear_us = feed_wall(fd) - (now - at);
}

void
track_note_owed(struct track *t, const struct page *page, const struct seq *before)
{
	if (t->state != TRACK_READY || t->owed_us != 0 || !seq_is_set(before) ||
	    !seq_is_set(&t->last) || seq_cmp(before, &t->last) > 0)
		return;
	for (size_t i = 0; i < page->count; i++)
		if (seq_cmp(&page->records[i].seq, &t->last) > 0) {
			t->owed_us = page->records[i].created_us;
			return;
		}
}

/* What it held it must be given again, the oldest of it first. */
static void
note_dropped(struct track *t)
{
	const struct frontier *f = &t->window.frontier;

	if (frontier_empty(f))
		track_note_clear(t);
	else if (frontier_oldest(f) != 0)
		t->owed_us = frontier_oldest(f);
	else /* it does not say: no earlier than what came before it */
		t->owed_us = f->acked_us != 0 ? f->acked_us : feed_wall(t->run->feed);
}

/* Off its line; the caller sets the next state and, after the last of its
 * tracks, closes the line. */
void
track_leave(struct track *t)
{
	track_unreserve(t);
	track_note_clear(t);
	t->line->track_count--;
	t->line = NULL;
}

void
track_begin(struct track *t, const struct pos *at)
{
	struct run *rn = t->run;
	struct track *up = NULL;

	if (at->kind == POS_AFTER) {
		t->window.frontier.acked = at->seq;
		t->last = at->seq;
		t->base = *at;
	} else {
		t->base = *at;
		track_find_gap(t);
	}
	if (at->kind == POS_COMPLETE) {
		t->kept_complete = true;
		track_set_state(t, TRACK_COMPLETE, "from the store");
		return;
	}
	if (rn->shard->parent != NULL && rn->shard->parent->user != NULL)
		up = &((struct run *)rn->shard->parent->user)->tracks[t - rn->tracks];
	if (rn->shard->parent != NULL && (up == NULL || up->state != TRACK_COMPLETE))
		track_set_state(t, TRACK_WAITING, "its parent is not finished");
	else
		track_set_state(t, TRACK_READY, "nothing before it");
}

void
run_forget_backlog(struct run *rn)
{
	for (size_t i = 0; i < rn->feed->sub_count; i++) {
		struct track *t = &rn->tracks[i];
		struct slot *sl = t->sub->slot;

		if (t->state != TRACK_READY || !t->had_backlog)
			continue;
		t->had_backlog = false;
		if (--sl->backlog == 0 && lane_state_get(sl->lane) == LANE_PROBING)
			lane_ask_room(sl->lane);
	}
}

void
track_make_ready(struct track *t, const char *why)
{
	track_set_state(t, TRACK_READY, why);
	run_assign(t->run);
}

void
track_complete(struct track *t, const char *why)
{
	struct run *rn = t->run;
	size_t i = (size_t)(t - rn->tracks);

	track_set_state(t, TRACK_COMPLETE, why);
	frontier_shrink(&t->window.frontier);
	keeper_mark(rn->feed->pl->keeper, &t->keep, false);
	for (struct shard *c = rn->shard->children; c != NULL; c = c->sibling) {
		struct run *child = c->user;

		if (child == NULL || child->tracks[i].state != TRACK_WAITING)
			continue;
		track_make_ready(&child->tracks[i], "its parent is finished");
		run_changed(child, "parent finished");
	}
	run_changed(rn, why);
}

void
track_moved(struct track *t)
{
	keeper_mark(t->run->feed->pl->keeper, &t->keep, false);
	if (!frontier_empty(&t->window.frontier))
		return;
	if (t->state == TRACK_DRAINING)
		track_complete(t, "all acked");
	else if (t->state == TRACK_LOST)
		track_settle_lost(t);
}

void
track_dropped(struct track *t)
{
	/* Of a stream that stands still nothing can be read for a probe. */
	bool held = !frontier_empty(&t->window.frontier) && t->run->feed->state == FEED_RUNNING;
	struct line *l = t->line;

	note_dropped(t);
	lane_drop_window(&t->window);
	t->last = t->window.frontier.acked;
	switch (t->state) {
	case TRACK_FED:
		track_leave(t);
		t->had_backlog = held;
		track_set_state(t, TRACK_READY, "its lane let go");
		if (l->track_count == 0)
			run_assign(t->run); /* closes what feeds nobody */
		break;
	case TRACK_DRAINING:
		t->had_backlog = held;
		track_set_state(t, TRACK_READY, "its lane let go");
		break;
	case TRACK_READY:
		if (held && !t->had_backlog) {
			t->had_backlog = true;
			t->sub->slot->backlog++;
		}
		break;
	case TRACK_LOST:
		track_settle_lost(t);
		break;
	case TRACK_NEW:
	case TRACK_WAITING:
	case TRACK_GAP:
	case TRACK_COMPLETE:
		break;
	}
}
