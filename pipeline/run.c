/* pipeline/run.c - a shard of a feed: its rows, its state, where a sink begins
 * in it, and when it may be forgotten.
 */
#include "pipeline/pipeline_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* A finished shard that left the listing is remembered that long if it has no
 * child: a late listing must not make it new (Flink keeps 48 h). */
#define REMEMBER (48 * 3600 * USEC_SEC)

static void
run_write(struct keep_item *it, struct txn *t)
{
	struct run *rn = CONTAINER_OF(it, struct run, keep);
	struct shard_row row = {
	    .arn = rn->feed->arn,
	    .shard = rn->shard->id,
	    .parent = rn->shard->parent_id,
	    .start = rn->shard->start,
	    .first_seen_us = rn->first_seen_us,
	};

	if (rn->forgetting)
		txn_forget_shard(t, row.arn, row.shard);
	else
		txn_shard(t, &row);
}

static void
track_write(struct keep_item *it, struct txn *t)
{
	struct track *tr = CONTAINER_OF(it, struct track, keep);
	struct pipeline *pl = tr->run->feed->pl;
	struct position_row row = {
	    .arn = tr->run->feed->arn,
	    .shard = tr->run->shard->id,
	    .sink = lane_name(tr->sub->slot->lane),
	    .pos = track_position(tr),
	    .updated_us = loop_wall(pl->loop),
	};

	txn_position(t, &row);
}

static void
track_durable(struct keep_item *it)
{
	struct track *t = CONTAINER_OF(it, struct track, keep);

	if (t->state != TRACK_COMPLETE || t->keep.state != KEEP_CLEAN)
		return;
	t->kept_complete = true;
	run_changed(t->run, "COMPLETE is durable");
}

void
run_free(struct run *rn)
{
	struct keeper *k = rn->feed->pl->keeper;

	run_close_lines(rn);
	for (size_t i = 0; i < rn->feed->sub_count; i++) {
		struct track *t = &rn->tracks[i];

		window_close(&t->window);
		if (t->state == TRACK_READY)
			track_set_state(t, TRACK_COMPLETE, "closed");
		keeper_forget(k, &t->keep);
	}
	keeper_forget(k, &rn->keep);
	rate_close(rn->calls);
	rn->shard->user = NULL;
	free(rn);
}

static void
run_durable(struct keep_item *it)
{
	struct run *rn = CONTAINER_OF(it, struct run, keep);
	struct shard *sh = rn->shard;
	struct feed *fd = rn->feed;

	if (!rn->forgetting || rn->keep.state != KEEP_CLEAN)
		return;
	run_free(rn);
	lineage_forget(fd->lineage, sh);
}

struct run *
run_new(struct feed *fd, struct shard *sh)
{
	struct run *rn = mem_new(sizeof *rn + fd->sub_count * sizeof(struct track));

	rn->feed = fd;
	rn->shard = sh;
	rn->origin = (struct origin){
	    .stream = fd->name,
	    .table = fd->table,
	    .arn = fd->arn,
	    .label = fd->label,
	    .shard = sh->id,
	    .schema = &fd->schema,
	};
	rn->keep.write = run_write;
	rn->keep.durable = run_durable;
	rn->first_seen_us = loop_wall(fd->pl->loop);
	rn->line[0].run = rn->line[1].run = rn;
	for (size_t i = 0; i < fd->sub_count; i++) {
		struct track *t = &rn->tracks[i];

		t->run = rn;
		t->sub = &fd->subs[i];
		window_init(&t->window, t->sub->slot->lane, &rn->origin);
		t->keep.write = track_write;
		t->keep.durable = track_durable;
	}
	sh->user = rn;
	return rn;
}

static bool
all_tracks(const struct run *rn, enum track_state s)
{
	for (size_t i = 0; i < rn->feed->sub_count; i++)
		if (rn->tracks[i].state != s)
			return false;
	return true;
}

static bool
any_track(const struct run *rn, enum track_state s)
{
	for (size_t i = 0; i < rn->feed->sub_count; i++)
		if (rn->tracks[i].state == s)
			return true;
	return false;
}

void
run_forget_if_over(struct run *rn)
{
	struct feed *fd = rn->feed;

	if (!rn->unlisted || rn->forgetting)
		return;
	for (size_t i = 0; i < fd->sub_count; i++)
		if (!rn->tracks[i].kept_complete)
			return;
	if (!rn->had_child && rn->shard->children == NULL && !lineage_disabled(fd->lineage) &&
	    loop_wall(fd->pl->loop) - rn->first_seen_us < REMEMBER)
		return;
	rn->forgetting = true;
	keeper_mark(fd->pl->keeper, &rn->keep, false);
}

void
run_changed(struct run *rn, const char *why)
{
	struct shard *sh = rn->shard;
	enum shard_state to = SHARD_READING;

	if (any_track(rn, TRACK_NEW))
		return;
	if (all_tracks(rn, TRACK_COMPLETE))
		to = SHARD_COMPLETE;
	else if (any_track(rn, TRACK_GAP))
		to = SHARD_GAP;
	else if (rn->ended)
		to = SHARD_DRAINING;
	else if (all_tracks(rn, TRACK_WAITING))
		to = SHARD_WAITING_PARENT;
	shard_set_state(sh, to, why);
	if (to != SHARD_COMPLETE)
		return;
	run_forget_if_over(rn);
	feed_check_end(rn->feed);
}

struct pos
run_first_position(const struct feed *fd, const struct shard *sh, const struct subscriber *sub)
{
	struct pos at = {.kind = POS_TRIM_HORIZON};
	bool parent_done = sh->parent == NULL;

	/* One that another sink has finished and that is not listed is gone: a
	 * sink that is added begins with what there is. */
	if (!sh->listed && any_track(sh->user, TRACK_COMPLETE))
		return (struct pos){.kind = POS_COMPLETE};

	if (fd->conf->start == FEED_LATEST && !fd->successor) {
		if (sh->closed)
			return (struct pos){.kind = POS_COMPLETE};
		parent_done = parent_done || sh->parent->closed;
		at.kind = parent_done ? POS_LATEST : POS_AT_START;
		/* The service floors creation times to the second, DynamoDB Local
		 * to the minute; rather a record too many than one too few. */
		at.since_us = sub->begun_us - sub->begun_us % (60 * USEC_SEC) - USEC_SEC;
		return at;
	}
	/* A listed parent still has its records, so its child has all of its own:
	 * if they are gone by the time we get there, that is a gap. */
	if (!parent_done)
		at.kind = POS_AT_START;
	return at;
}

/* Positions are given in no particular order: a child may have been looked at
 * before its parent. */
void
run_wake_waiting(struct run *rn)
{
	struct shard *parent = rn->shard->parent;
	struct run *up = parent != NULL ? parent->user : NULL;

	for (size_t i = 0; i < rn->feed->sub_count; i++)
		if (rn->tracks[i].state == TRACK_WAITING &&
		    (up == NULL || up->tracks[i].state == TRACK_COMPLETE))
			track_set_state(&rn->tracks[i], TRACK_READY, "its parent is finished");
}
