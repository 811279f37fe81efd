/* pipeline/gaps.c - data that is gone: noted durably, then halt or go on.
 *
 *   reader: lost -> what is held gets delivered -> gap row -> durable
 *                                                      |-- continue: goes on behind it
 *                                                      '-- halt: the stream stops until accepted
 *
 * A settled gap and the position behind it are one transaction
 * (txn_gap_settle), so the same loss is never noted twice.
 */
#include "pipeline/pipeline_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

/* From the first gap to the stop; every shard's first answer is there by then. */
#define HALT_AFTER (5 * USEC_SEC)

static void
gap_write(struct keep_item *it, struct txn *t)
{
	struct gap_item *gi = CONTAINER_OF(it, struct gap_item, keep);

	/* Once records behind the gap were read, the position is the track's own. */
	if (seq_is_set(&gi->gap.first_available))
		txn_gap(t, &gi->gap);
	else
		txn_gap_settle(t, &gi->gap, loop_wall(gi->feed->pl->loop));
}

static void
track_pass_gap(struct track *t)
{
	struct pos at;

	if (!gap_position(&t->gap->gap, &at)) { /* an orphan begins at its own start */
		t->gap = NULL;
		track_make_ready(t, "its gap is settled");
		return;
	}
	if (at.kind == POS_COMPLETE) {
		t->gap = NULL;
		track_complete(t, "lost, and the gap is settled");
		return;
	}
	frontier_close(&t->window.frontier);
	frontier_init(&t->window.frontier);
	t->last.n = 0;
	t->owed_us = 0;
	t->base = at;
	keeper_mark(t->run->feed->pl->keeper, &t->keep, false);
	track_make_ready(t, "its gap is settled");
}

static void
each_waiting(struct gap_item *gi, void (*fn)(struct track *t))
{
	struct feed *fd = gi->feed;

	if (fd->lineage == NULL)
		return;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		struct run *rn = sh->user;

		for (size_t i = 0; rn != NULL && i < fd->sub_count; i++)
			if (rn->tracks[i].gap == gi && rn->tracks[i].state == TRACK_GAP)
				fn(&rn->tracks[i]);
	}
}

static void
gap_durable(struct keep_item *it)
{
	struct gap_item *gi = CONTAINER_OF(it, struct gap_item, keep);
	struct feed *fd = gi->feed;

	if (gi->keep.state != KEEP_CLEAN)
		return; /* what is durable is older than what is to be passed */
	gi->durable = true;
	if (gi->gap.state == GAP_OPEN)
		return;
	if (fd->open_gaps == 0 && fd->state == FEED_GAP)
		feed_resume(fd);
	each_waiting(gi, track_pass_gap);
}

static struct gap_item *
gap_new(struct feed *fd, const struct gap *from)
{
	struct gap_item *gi = mem_new(sizeof *gi);

	gi->feed = fd;
	gi->gap = *from;
	gi->gap.arn = mem_strdup(from->arn);
	gi->gap.shard = mem_strdup(from->shard);
	gi->gap.sink = mem_strdup(from->sink);
	gi->keep.write = gap_write;
	gi->keep.durable = gap_durable;
	gi->next = fd->gaps;
	fd->gaps = gi;
	if (gi->gap.state == GAP_OPEN)
		fd->open_gaps++;
	return gi;
}

void
feed_halt(struct feed *fd)
{
	if (fd->open_gaps == 0)
		return;
	feed_close_lines(fd);
	if (fd->state != FEED_GAP)
		feed_set_state(fd, FEED_GAP, "on-gap: halt");
}

/* A table that was left alone for a day has lost something in many shards. The
 * others are read on for a moment, so that the operator sees all gaps at once and
 * not one a restart. */
static void
gap_halt(struct feed *fd, const struct gap *g)
{
	if (fd->state != FEED_RUNNING || g->shard[0] == '\0')
		feed_halt(fd);
	else if (!loop_timer_armed(fd->halt_timer))
		loop_timer_arm(fd->halt_timer, HALT_AFTER);
}

/* Each is said, however many there are: the text as a whole is what log.h tells
 * repeats by. */
static void
say_gap(const struct feed *fd, const struct gap *g)
{
	struct slice last = seq_text(&g->last_acked.seq);
	struct buf text = BUF_INIT(4096);

	buf_addf(&text, "data was lost at the source: %s gap=%llu shard=%s sink=%s last=",
	    gap_reason_name(g->reason), (unsigned long long)g->id,
	    g->shard[0] != '\0' ? g->shard : "all", g->sink);
	buf_add_slice(&text, last.n != 0 ? last : SLICE_LIT("none"));
	if (g->state == GAP_OPEN)
		buf_addf(&text,
		    " action=\"this stream stops until `slipring gaps accept %llu` (on-gap: "
		    "halt)\"",
		    (unsigned long long)g->id);
	else
		buf_add_str(&text, " action=\"goes on behind it (on-gap: continue)\"");
	log_error("gap", fd->name, "%s", buf_cstr(&text));
	buf_close(&text);
}

static struct gap_item *
gap_note(struct feed *fd, struct subscriber *sub, enum gap_reason reason, const char *shard,
    const struct pos *at)
{
	bool halt = fd->conf->on_gap == FEED_HALT;
	int64_t now = loop_wall(fd->pl->loop);
	struct gap g = {
	    .id = ++fd->pl->last_gap_id,
	    .arn = fd->arn,
	    .shard = shard,
	    .sink = lane_name(sub->slot->lane),
	    .reason = reason,
	    .state = halt ? GAP_OPEN : GAP_CONTINUED,
	    .last_acked = *at,
	    .found_us = now,
	    .settled_us = halt ? 0 : now,
	};
	struct gap_item *gi = gap_new(fd, &g);

	say_gap(fd, &gi->gap);
	keeper_mark(fd->pl->keeper, &gi->keep, true);
	if (halt)
		gap_halt(fd, &gi->gap);
	return gi;
}

/* Two children of one parent that is gone are one gap. */
static struct gap_item *
gap_find(struct feed *fd, enum gap_reason reason, const char *shard, const char *sink)
{
	for (struct gap_item *gi = fd->gaps; gi != NULL; gi = gi->next)
		if (gi->gap.reason == reason && strcmp(gi->gap.shard, shard) == 0 &&
		    strcmp(gi->gap.sink, sink) == 0)
			return gi;
	return NULL;
}

void
track_gap(struct track *t, enum gap_reason reason, const char *shard)
{
	struct feed *fd = t->run->feed;
	struct pos at = track_position(t);
	struct gap_item *gi = NULL;

	if (reason == GAP_ORPHAN) {
		gi = gap_find(fd, reason, shard, lane_name(t->sub->slot->lane));
		at = (struct pos){.kind = POS_NONE};
	}
	track_set_state(t, TRACK_GAP, gap_reason_name(reason));
	t->gap = gi != NULL ? gi : gap_note(fd, t->sub, reason, shard, &at);
	if (t->gap->durable && t->gap->gap.state != GAP_OPEN)
		track_pass_gap(t);
	run_changed(t->run, gap_reason_name(reason));
}

void
track_first_after_gap(struct track *t, const struct seq *first)
{
	t->gap->gap.first_available = *first;
	keeper_mark(t->run->feed->pl->keeper, &t->gap->keep, false);
	t->gap = NULL;
}

void
track_find_gap(struct track *t)
{
	struct feed *fd = t->run->feed;

	if (t->base.kind != POS_TRIM_HORIZON)
		return;
	for (struct gap_item *gi = fd->gaps; gi != NULL; gi = gi->next)
		if ((gi->gap.reason == GAP_TRIMMED || gi->gap.reason == GAP_REFUSED) &&
		    gi->gap.state != GAP_OPEN && !seq_is_set(&gi->gap.first_available) &&
		    strcmp(gi->gap.shard, t->run->shard->id) == 0 &&
		    strcmp(gi->gap.sink, lane_name(t->sub->slot->lane)) == 0)
			t->gap = gi;
}

/* Lost again before a record behind its last gap was taken: that gap is still
 * open-ended and covers this too. */
static bool
covered(struct track *t)
{
	if (t->gap == NULL || !t->gap->durable || t->gap->gap.state == GAP_OPEN)
		return false;
	track_set_state(t, TRACK_GAP, "its gap is still open-ended");
	track_pass_gap(t);
	return true;
}

void
track_settle_lost(struct track *t)
{
	struct run *rn = t->run;

	switch (t->loss) {
	case READER_TRIMMED:
	case READER_REFUSED:
		if (!covered(t))
			track_gap(t, t->loss == READER_TRIMMED ? GAP_TRIMMED : GAP_REFUSED,
			    rn->shard->id);
		return;
	case READER_GONE:
		if (rn->unlisted)
			track_gap(t, GAP_SHARD_GONE, rn->shard->id);
		return;
	}
}

/* The end is a bound: who has taken a record at it has taken all. */
static bool
has_all(const struct track *t)
{
	const struct seq *end = &t->run->shard->end;

	return seq_is_set(end) && seq_is_set(&t->last) && seq_cmp(&t->last, end) >= 0;
}

void
track_lost(struct track *t, enum reader_loss loss)
{
	struct run *rn = t->run;
	bool idle = frontier_empty(&t->window.frontier);

	t->loss = loss;
	if (loss == READER_GONE && has_all(t)) {
		track_set_state(t, TRACK_DRAINING, "gone, but its end was read");
		if (idle)
			track_complete(t, "all acked");
		return;
	}
	if (loss == READER_GONE && !rn->unlisted) {
		/* Only the listing can tell a shard that is gone from a service
		 * that errs; asked at once the first time, then at its own pace. */
		if (rn->gone_tries++ == 0)
			lineage_refresh(rn->feed->lineage);
		return;
	}
	if (idle)
		track_settle_lost(t);
}

void
feed_gap(struct feed *fd, struct subscriber *sub, enum gap_reason reason)
{
	struct pos none = {.kind = POS_NONE};

	(void)gap_note(fd, sub, reason, "", &none);
}

/* One found in the store. Under `continue` an open one is settled now. */
void
feed_gap_loaded(struct feed *fd, const struct gap *g)
{
	struct gap_item *gi = gap_new(fd, g);
	struct err e;

	gi->durable = true;
	if (g->state != GAP_OPEN)
		return;
	if (fd->conf->on_gap == FEED_CONTINUE) {
		if (feed_gap_accept(fd, gi, &e) == 0)
			gi->gap.state = GAP_CONTINUED;
		return;
	}
	say_gap(fd, g);
}

int
feed_gap_accept(struct feed *fd, struct gap_item *gi, struct err *e)
{
	struct pos at;

	if (gi->gap.state != GAP_OPEN)
		return err_set(e, ERR_REFUSED, "gap %llu is not open: it is %s",
		    (unsigned long long)gi->gap.id, gap_state_name(gi->gap.state));
	gi->gap.state = GAP_ACCEPTED;
	gi->gap.settled_us = loop_wall(fd->pl->loop);
	gi->durable = false;
	fd->open_gaps--;
	if (fd->lineage == NULL && gap_position(&gi->gap, &at))
		loaded_set_position(fd->pl->loaded, gi->gap.arn, gi->gap.shard, gi->gap.sink, &at);
	log_info("gap", fd->name, "settled gap=%llu", (unsigned long long)gi->gap.id);
	keeper_mark(fd->pl->keeper, &gi->keep, true);
	return 0;
}

void
feed_gaps_close(struct feed *fd)
{
	while (fd->gaps != NULL) {
		struct gap_item *gi = fd->gaps;

		fd->gaps = gi->next;
		keeper_forget(fd->pl->keeper, &gi->keep);
		free((void *)(uintptr_t)gi->gap.arn);
		free((void *)(uintptr_t)gi->gap.shard);
		free((void *)(uintptr_t)gi->gap.sink);
		free(gi);
	}
	fd->open_gaps = 0;
}
