/* pipeline/feed.c - a stream being read: opened, listed, subscribed to, stopped.
 *
 *   RESOLVING -> LISTING -> SUBSCRIBING -> RUNNING -> DRAINED -> (next stream) LISTING
 *                                  any of them -> GAP -> (accepted) where it was
 *
 * A stream we have rows for is opened without asking which is the table's
 * newest, so that one that was replaced while we were away is read to its end
 * first. What comes after a stream is follow.c's, a shard run.c's, who reads it attach.c's.
 */
#include "pipeline/pipeline_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Date is to the second, and the answer was under way. */
#define SKEW_SEEN (2 * USEC_SEC)
/* So long after its beginning a sink may still ask for LATEST. */
#define LATEST_IS_NOW (5 * USEC_SEC)

const char *
feed_state_name(enum feed_state s)
{
	static const char *const names[] = {"resolving", "listing", "subscribing", "running",
	    "drained", "gap", "failed", "stopped"};

	return names[s];
}

void
feed_set_state(struct feed *fd, enum feed_state to, const char *why)
{
	if (fd->state == to)
		return;
	log_debug("feed", fd->name, "%s -> %s (%s)", feed_state_name(fd->state),
	    feed_state_name(to), why);
	if (fd->state == FEED_RUNNING)
		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
			if (sh->user != NULL)
				run_forget_backlog(sh->user);
	fd->state = to;
	pipeline_check(fd->pl);
}

/* ---- rows ---- */

/* An ended stream keeps its own row and its gaps, nothing else. */
static void
row_write(struct keep_item *it, struct txn *t)
{
	struct feed *fd = CONTAINER_OF(it, struct feed, keep);
	struct stream_row row = {
	    .arn = fd->arn,
	    .stream = fd->name,
	    .table = fd->table,
	    .first_seen_us = fd->first_seen_us,
	    .ended = fd->row_ended,
	};

	txn_stream(t, &row);
	if (!fd->row_ended)
		return;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		txn_forget_shard(t, fd->arn, sh->id);
	for (size_t i = 0; i < fd->sub_count; i++)
		txn_delete_subscription(t, fd->arn, lane_name(fd->subs[i].slot->lane));
}

static void
forget_old_shard(void *arg, const struct shard_row *r)
{
	txn_forget_shard(arg, r->arn, r->shard);
}

static void
old_write(struct keep_item *it, struct txn *t)
{
	struct feed *fd = CONTAINER_OF(it, struct feed, old_keep);
	struct stream_row row = *fd->old;

	row.ended = true;
	txn_stream(t, &row);
	loaded_each_shard(fd->pl->loaded, row.arn, forget_old_shard, t);
	for (size_t i = 0; i < fd->sub_count; i++)
		txn_delete_subscription(t, row.arn, lane_name(fd->subs[i].slot->lane));
}

static void
subscriber_write(struct keep_item *it, struct txn *t)
{
	struct subscriber *sub = CONTAINER_OF(it, struct subscriber, keep);
	struct subscription_row row = {
	    .arn = sub->feed->arn,
	    .sink = lane_name(sub->slot->lane),
	    .begun_us = sub->begun_us,
	};

	txn_subscription(t, &row);
}

/* ---- where a sink begins ---- */

int64_t
feed_wall(const struct feed *fd)
{
	int64_t skew = api_clock_skew(fd->api);

	return loop_wall(fd->pl->loop) + (skew > SKEW_SEEN || skew < -SKEW_SEEN ? skew : 0);
}

/* Has it taken long to make the beginning durable? LATEST would begin now. */
static bool
late(const struct feed *fd, int64_t now)
{
	for (size_t i = 0; i < fd->sub_count; i++)
		if (now - fd->subs[i].begun_us > LATEST_IS_NOW)
			return true;
	return false;
}

void
feed_enter_running(struct feed *fd)
{
	int64_t now = feed_wall(fd);

	feed_set_state(fd, FEED_RUNNING, "positions are durable");
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		if (sh->user != NULL)
			run_wake_waiting(sh->user);
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		if (sh->user != NULL) {
			if (late(fd, now))
				run_give_up_latest(sh->user);
			run_assign(sh->user);
		}
	feed_check_end(fd);
}

static void
subscriber_durable(struct keep_item *it)
{
	struct subscriber *sub = CONTAINER_OF(it, struct subscriber, keep);
	struct feed *fd = sub->feed;

	if (--fd->rows_pending == 0 && fd->state == FEED_SUBSCRIBING)
		feed_enter_running(fd);
}

static void
subscribe_shards(struct feed *fd, size_t i)
{
	struct keeper *k = fd->pl->keeper;

	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		struct run *rn = sh->user;
		struct pos at;

		if (rn == NULL || rn->tracks[i].state != TRACK_NEW)
			continue;
		at = run_first_position(fd, sh, &fd->subs[i]);
		track_begin(&rn->tracks[i], &at);
		keeper_mark(k, &rn->keep, true);
		keeper_mark(k, &rn->tracks[i].keep, true);
	}
}

/* The first complete listing: sinks that are new to the stream begin, by
 * `start`. Nothing is read for them before that is durable, or a crash would
 * begin them a second time, later. */
static void
subscribe(struct feed *fd)
{
	struct keeper *k = fd->pl->keeper;

	feed_set_state(fd, FEED_SUBSCRIBING, "listed");
	keeper_mark(k, &fd->keep, true);
	for (size_t i = 0; i < fd->sub_count; i++) {
		struct subscriber *sub = &fd->subs[i];

		if (sub->subscribed)
			continue;
		sub->subscribed = true;
		sub->begun_us = feed_wall(fd);
		fd->rows_pending++;
		subscribe_shards(fd, i);
		keeper_mark(k, &sub->keep, true);
		log_info("feed", lane_name(sub->slot->lane), "begins stream=%s at=%s", fd->name,
		    fd->conf->start == FEED_LATEST && !fd->successor ? "latest" : "trim-horizon");
	}
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		if (sh->user != NULL)
			run_changed(sh->user, "subscribed");
	if (fd->rows_pending == 0)
		feed_enter_running(fd);
}

/* ---- what lineage says ---- */

static void
on_found(void *ctx, struct shard *sh)
{
	struct feed *fd = ctx;
	struct run *rn = run_new(fd, sh);
	struct pos at = {.kind = POS_AT_START};

	fd->complete_since = 0;
	if (sh->parent != NULL && sh->parent->user != NULL)
		((struct run *)sh->parent->user)->had_child = true;
	keeper_mark(fd->pl->keeper, &rn->keep, false);
	for (size_t i = 0; i < fd->sub_count; i++) {
		if (!fd->subs[i].subscribed)
			continue;
		if (sh->birth == SHARD_ORPHAN) {
			rn->tracks[i].base = at;
			track_gap(&rn->tracks[i], GAP_ORPHAN, sh->parent_id);
		} else {
			track_begin(&rn->tracks[i], &at);
		}
	}
	run_assign(rn);
	run_changed(rn, "found");
}

static void
take_schema(struct feed *fd, const struct api_stream *info)
{
	if (fd->schema.names[0] == NULL && info->key.hash[0] != '\0') {
		fd->schema.names[0] = mem_strdup(info->key.hash);
		if (info->key.range[0] != '\0')
			fd->schema.names[1] = mem_strdup(info->key.range);
	}
	if (fd->view == info->view)
		return;
	fd->view = info->view;
	if (info->view == VIEW_KEYS_ONLY)
		log_warn("feed", fd->name,
		    "the stream's view type is KEYS_ONLY: records carry no images, only keys");
	else if (info->view == VIEW_NEW_IMAGE)
		log_warn("feed", fd->name,
		    "the stream's view type is NEW_IMAGE: records carry no old image, so changed "
		    "attributes are not known and deletes have only their key");
	else if (info->view == VIEW_OLD_IMAGE)
		log_warn("feed", fd->name,
		    "the stream's view type is OLD_IMAGE: records carry no new image, so inserts "
		    "and updates do not show what was written");
}

static void
retry_gone(struct run *rn)
{
	if (!rn->shard->listed)
		return;
	for (size_t i = 0; i < rn->feed->sub_count; i++)
		if (rn->tracks[i].state == TRACK_LOST && rn->tracks[i].loss == READER_GONE)
			track_make_ready(&rn->tracks[i], "it is listed all the same");
}

static void
on_listed(void *ctx, bool first, const struct api_stream *info)
{
	struct feed *fd = ctx;

	(void)first;
	fd->not_found = 0;
	fd->trouble[0] = '\0';
	take_schema(fd, info);
	if (fd->state == FEED_LISTING) {
		subscribe(fd);
		return;
	}
	/* It was said to be gone, and is there. */
	if (fd->state == FEED_DRAINED && !fd->row_ended && fd->next_arn == NULL &&
	    !lineage_disabled(fd->lineage))
		feed_enter_running(fd);
	if (fd->state != FEED_RUNNING)
		return;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		struct run *rn = sh->user;

		if (rn == NULL)
			continue;
		rn->unlisted = rn->unlisted && !sh->listed;
		retry_gone(rn);
		if (sh->closed)
			for (size_t i = 0; i < 2; i++)
				if (rn->line[i].reader != NULL)
					reader_set_closed(rn->line[i].reader);
		run_forget_if_over(rn);
	}
	fd->listings_since++;
	feed_check_end(fd);
}

static void
on_unlisted(void *ctx, struct shard *sh)
{
	struct feed *fd = ctx;
	struct run *rn = sh->user;

	if (rn == NULL)
		return;
	rn->unlisted = true;
	for (size_t i = 0; i < fd->sub_count; i++)
		if (rn->tracks[i].state == TRACK_LOST &&
		    frontier_empty(&rn->tracks[i].window.frontier))
			track_settle_lost(&rn->tracks[i]);
	run_forget_if_over(rn);
}

void
feed_note_trouble(struct feed *fd, const struct api_result *rs)
{
	struct pipeline *pl = fd->pl;
	bool listed = fd->lineage != NULL && lineage_listed_once(fd->lineage);

	fd->call_errors++;
	(void)snprintf(fd->trouble, sizeof fd->trouble, "%.255s", rs->err.text);
	utf8_mend(fd->trouble);
	log_warn("feed", fd->name, "%s", rs->err.text);
	if (pl->host.trouble != NULL)
		pl->host.trouble(pl->host.ctx, fd->name, listed, &rs->err);
}

bool
feed_end_noted(const struct feed *fd)
{
	for (const struct gap_item *gi = fd->gaps; gi != NULL; gi = gi->next)
		if (gi->gap.shard[0] == '\0')
			return true;
	return false;
}

/* Whoever had not finished has lost the rest; the others, what was written
 * since the stream was disabled. */
static void
note_end(struct feed *fd)
{
	for (size_t i = 0; i < fd->sub_count; i++) {
		bool all = true;

		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
			if (sh->user != NULL &&
			    ((struct run *)sh->user)->tracks[i].state != TRACK_COMPLETE)
				all = false;
		if (!fd->subs[i].subscribed)
			continue;
		/* Of one stream alone it cannot be told what came after the
		 * shards we know. */
		feed_gap(fd, &fd->subs[i],
		    all && fd->conf->table != NULL ? GAP_STREAM_REPLACED : GAP_SHARD_GONE);
	}
}

void
feed_close_lines(struct feed *fd)
{
	if (fd->lineage == NULL)
		return;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		if (sh->user != NULL)
			run_close_lines(sh->user);
}

void
feed_stream_is_gone(struct feed *fd)
{
	if (!feed_end_noted(fd))
		note_end(fd);
	if (fd->open_gaps != 0)
		return;
	feed_close_lines(fd);
	feed_set_state(fd, FEED_DRAINED, "the stream is gone");
	loop_timer_arm(fd->timer, 0);
}

static void
on_trouble(void *ctx, const struct api_result *rs)
{
	struct feed *fd = ctx;

	feed_note_trouble(fd, rs);
	if (rs->code != API_NOT_FOUND) {
		fd->not_found = 0;
		return;
	}
	/* A table may have got another stream between two of our calls. */
	if (fd->fresh && fd->state == FEED_LISTING &&
	    (fd->conf->arn != NULL || fd->not_found + 1 >= GONE_ANSWERS)) {
		feed_set_state(fd, FEED_FAILED, "no such stream");
		pipeline_fail(fd->pl, PIPELINE_CONFIG, &rs->err);
		return;
	}
	if (++fd->not_found >= GONE_ANSWERS &&
	    (fd->state == FEED_RUNNING || fd->state == FEED_LISTING))
		feed_stream_is_gone(fd);
}

/* ---- opening a stream ---- */

struct known {
	struct lineage_known *v;
	size_t n, cap;
	struct feed *fd;
};

static bool
complete_for_all(const struct feed *fd, const char *shard)
{
	for (size_t i = 0; i < fd->sub_count; i++) {
		const struct position_row *row = loaded_position(
		    fd->pl->loaded, fd->arn, shard, lane_name(fd->subs[i].slot->lane));

		if (row == NULL || row->pos.kind != POS_COMPLETE)
			return false;
	}
	return true;
}

static void
know_shard(void *arg, const struct shard_row *r)
{
	struct known *kn = arg;

	if (kn->n == kn->cap) {
		kn->cap = kn->cap != 0 ? kn->cap * 2 : 64;
		kn->v = mem_grow(kn->v, kn->cap, sizeof *kn->v);
	}
	kn->v[kn->n++] = (struct lineage_known){
	    .id = r->shard,
	    .parent = r->parent,
	    .start = r->start,
	    .complete = complete_for_all(kn->fd, r->shard),
	};
}

static void
begin_known(struct feed *fd)
{
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		struct run *rn = run_new(fd, sh);

		for (size_t i = 0; i < fd->sub_count; i++) {
			const char *sink = lane_name(fd->subs[i].slot->lane);
			const struct position_row *row =
			    loaded_position(fd->pl->loaded, fd->arn, sh->id, sink);
			struct pos at = {.kind = POS_AT_START};

			if (row != NULL)
				at = row->pos;
			if (!fd->subs[i].subscribed)
				continue;
			track_begin(&rn->tracks[i], &at);
			track_asked_before(&rn->tracks[i]);
		}
		run_changed(rn, "known");
	}
}

/* "orders" of "orders", of the table's ARN and of its stream's ARN. */
static char *
table_name(const char *text)
{
	const char *p = strncmp(text, "arn:", 4) == 0 ? strstr(text, ":table/") : NULL;
	const char *end;

	if (p == NULL)
		return mem_strdup(text);
	p += strlen(":table/");
	end = strchr(p, '/');
	return mem_slicedup((struct slice){p, end != NULL ? (size_t)(end - p) : strlen(p)});
}

static const char *
label_of(const char *arn)
{
	const char *slash = strrchr(arn, '/');

	return slash != NULL ? slash + 1 : arn;
}

void
feed_open_stream(struct feed *fd, const char *arn)
{
	char *own = mem_strdup(arn); /* arn may be fd->arn */
	struct lineage_host host = {
	    .ctx = fd,
	    .found = on_found,
	    .listed = on_listed,
	    .unlisted = on_unlisted,
	    .trouble = on_trouble,
	};
	struct lineage_conf conf = {.list_interval_us = fd->conf->list_interval_us};
	struct known kn = {.fd = fd};

	free(fd->arn);
	fd->arn = own;
	free(fd->table);
	fd->table = table_name(own);
	fd->label = label_of(fd->arn);
	fd->first_seen_us = loop_wall(fd->pl->loop);
	fd->row_ended = false;
	fd->complete_since = 0;
	fd->not_found = 0;
	fd->fresh = true;
	for (size_t i = 0; i < fd->sub_count; i++) {
		const struct subscription_row *row =
		    loaded_subscription(fd->pl->loaded, fd->arn, lane_name(fd->subs[i].slot->lane));

		fd->subs[i].subscribed = row != NULL;
		fd->subs[i].begun_us = row != NULL ? row->begun_us : 0;
		fd->fresh = fd->fresh && row == NULL;
	}
	loaded_each_shard(fd->pl->loaded, fd->arn, know_shard, &kn);
	fd->lineage = lineage_new(
	    fd->pl->loop, fd->api, fd->pl->describe, &conf, fd->arn, fd->fresh, kn.v, kn.n, &host);
	free(kn.v);
	begin_known(fd);
	log_info("feed", fd->name, "opening stream label=%s known-shards=%zu", fd->label, kn.n);
	feed_set_state(fd, FEED_LISTING, "stream known");
	lineage_start(fd->lineage);
}

void
feed_close_stream(struct feed *fd)
{
	struct shard *sh;

	if (fd->lineage == NULL)
		return;
	for (sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		if (sh->user != NULL)
			run_free(sh->user);
	lineage_close(fd->lineage);
	fd->lineage = NULL;
	feed_gaps_close(fd);
	for (size_t i = 0; i < fd->sub_count; i++)
		keeper_forget(fd->pl->keeper, &fd->subs[i].keep);
	fd->rows_pending = 0;
	keeper_forget(fd->pl->keeper, &fd->keep);
	for (size_t i = 0; i < 2; i++) {
		free(fd->schema.names[i]);
		fd->schema.names[i] = NULL;
	}
}

/* ---- from outside ---- */

static void
load_gap(void *arg, const struct gap *g)
{
	feed_gap_loaded(arg, g);
}

void
feed_start(struct feed *fd)
{
	const struct stream_row *row = loaded_stream(fd->pl->loaded, fd->name, fd->table);
	const struct stream_row *before = loaded_predecessor(fd->pl->loaded, fd->name, fd->table);
	const char *arn = fd->conf->arn;

	feed_share_patterns(fd);
	fd->old = loaded_replaced(fd->pl->loaded, fd->name, fd->table);
	if (fd->old != NULL)
		keeper_mark(fd->pl->keeper, &fd->old_keep, false);
	/* What follows a stream that is over is read from its beginning. */
	fd->successor = arn == NULL && row == NULL && before != NULL;
	if (fd->successor) {
		fd->after = label_of(before->arn);
		feed_set_state(fd, FEED_DRAINED, "the stream before is over");
	}
	if (arn == NULL && row != NULL)
		arn = row->arn;
	if (arn == NULL) {
		loop_timer_arm(fd->timer, 0);
		return;
	}
	if (loaded_stream_over(fd->pl->loaded, arn)) {
		log_warn("feed", fd->name, "this stream is over, as was accepted; nothing is read");
		feed_set_state(fd, FEED_DRAINED, "over");
		return;
	}
	fd->arn = mem_strdup(arn);
	loaded_each_gap(fd->pl->loaded, fd->arn, load_gap, fd);
	if (fd->open_gaps != 0) {
		feed_set_state(fd, FEED_GAP, "open gaps in the store");
		return;
	}
	feed_open_stream(fd, fd->arn);
}

void
feed_stop(struct feed *fd)
{
	if (fd->call != NULL)
		api_cancel(fd->call);
	fd->call = NULL;
	loop_timer_disarm(fd->timer);
	loop_timer_disarm(fd->halt_timer);
	if (fd->state != FEED_GAP && fd->state != FEED_FAILED)
		feed_set_state(fd, FEED_STOPPED, "drain");
	feed_close_lines(fd);
}

bool
feed_idle(const struct feed *fd)
{
	if (fd->state == FEED_DRAINED)
		return true;
	if (fd->state != FEED_RUNNING || !lineage_listed_once(fd->lineage))
		return false;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		const struct run *rn = sh->user;

		for (size_t i = 0; rn != NULL && i < fd->sub_count; i++) {
			const struct track *t = &rn->tracks[i];

			if (t->state == TRACK_COMPLETE)
				continue;
			/* Three that begin differently at a shard's end take turns on
			 * two lines until a record tells where they are. */
			if (t->state == TRACK_READY && t->rested &&
			    frontier_empty(&t->window.frontier))
				continue;
			if (t->state != TRACK_FED || !frontier_empty(&t->window.frontier) ||
			    reader_caught_up_at(t->line->reader) == 0)
				return false;
		}
	}
	return true;
}

static void
on_halt(void *arg)
{
	feed_halt(arg);
}

struct feed *
feed_new(struct pipeline *pl, const char *name, struct api *api, const struct feed_conf *conf,
    struct slot *const *slots, size_t count)
{
	struct feed *fd = mem_new(sizeof *fd);

	fd->pl = pl;
	fd->name = name;
	fd->api = api;
	fd->conf = conf;
	fd->reader_conf =
	    (struct reader_conf){.idle_us = conf->idle_us, .limit = (unsigned)conf->page_limit};
	fd->table = table_name(conf->table != NULL ? conf->table : conf->arn);
	fd->subs = mem_array(count, sizeof *fd->subs);
	fd->sub_count = count;
	for (size_t i = 0; i < count; i++) {
		fd->subs[i].feed = fd;
		fd->subs[i].slot = slots[i];
		fd->subs[i].keep.write = subscriber_write;
		fd->subs[i].keep.durable = subscriber_durable;
	}
	fd->keep.write = row_write;
	fd->keep.durable = feed_row_durable;
	fd->old_keep.write = old_write;
	/* 500 ms to 30 s: a table that cannot be described yet is no hurry. */
	fd->backoff = (struct backoff){.base_us = 500 * USEC_MS, .cap_us = 30 * USEC_SEC};
	fd->timer = loop_timer_new(pl->loop, feed_resolve, fd);
	fd->halt_timer = loop_timer_new(pl->loop, on_halt, fd);
	return fd;
}

void
feed_close(struct feed *fd)
{
	if (fd->call != NULL)
		api_cancel(fd->call);
	feed_close_stream(fd);
	feed_gaps_close(fd);
	keeper_forget(fd->pl->keeper, &fd->old_keep);
	loop_timer_close(fd->timer);
	loop_timer_close(fd->halt_timer);
	pattern_set_close(fd->shared);
	free(fd->subs);
	free(fd->next_arn);
	free(fd->table);
	free(fd->arn);
	free(fd);
}
