/* pipeline/follow.c - one stream of a table after the other: which is read, when it
 * is over, and what comes next.
 *
 *   table --DescribeTable--> its stream, the first time
 *   disabled and read to its end --ListStreams--> the next by label; the interval is a gap
 *
 * The old stream's end is durable before the next is opened.
 */
#include "pipeline/pipeline_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

/* Complete listings that show no child of a disabled stream's finished shards,
 * before it counts as read to its end. */
#define END_LISTINGS 2

static bool
all_complete(const struct feed *fd)
{
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
		if (sh->state != SHARD_COMPLETE)
			return false;
	return true;
}

/* Disabled, and everything that is listed was read. Listings are late, so that
 * must hold for a while before it is the end. */
void
feed_check_end(struct feed *fd)
{
	int64_t now = loop_now(fd->pl->loop);

	if (fd->state != FEED_RUNNING || !lineage_listed_once(fd->lineage) ||
	    !lineage_disabled(fd->lineage) || !all_complete(fd)) {
		fd->complete_since = 0;
		return;
	}
	if (fd->complete_since == 0) {
		fd->complete_since = now;
		fd->listings_since = 0;
	}
	if (now - fd->complete_since < fd->conf->settle_us) {
		loop_timer_arm(fd->timer, fd->complete_since + fd->conf->settle_us - now);
		return;
	}
	/* Not by the clock alone: a child may be missing from one listing, and
	 * listings may have failed all the while. */
	if (fd->listings_since < END_LISTINGS) {
		lineage_refresh(fd->lineage);
		return;
	}
	log_info(
	    "feed", fd->name, "the stream is disabled and read to its end label=%s", fd->label);
	feed_set_state(fd, FEED_DRAINED, "disabled and fully read");
	loop_timer_arm(fd->timer, 0);
}

/* The next transaction says that the old stream is over; the new one is opened
 * when that is durable. */
void
feed_row_durable(struct keep_item *it)
{
	struct feed *fd = CONTAINER_OF(it, struct feed, keep);
	char *next = fd->next_arn;

	if (!fd->row_ended || fd->keep.state != KEEP_CLEAN || next == NULL || fd->open_gaps != 0)
		return;
	fd->next_arn = NULL;
	feed_close_stream(fd);
	fd->successor = true;
	feed_open_stream(fd, next);
	free(next);
}

/* Is nothing of the old stream held by a lane any more? */
static bool
delivered(const struct feed *fd)
{
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		const struct run *rn = sh->user;

		for (size_t i = 0; rn != NULL && i < fd->sub_count; i++)
			if (!frontier_empty(&rn->tracks[i].window.frontier))
				return false;
	}
	return true;
}

static void
follow(struct feed *fd, const char *next)
{
	free(fd->next_arn);
	fd->next_arn = mem_strdup(next);
	/* What was written between the two streams is in neither. */
	if (!feed_end_noted(fd))
		for (size_t i = 0; i < fd->sub_count; i++)
			feed_gap(fd, &fd->subs[i], GAP_STREAM_REPLACED);
	if (fd->open_gaps != 0)
		return;
	fd->row_ended = true;
	keeper_mark(fd->pl->keeper, &fd->keep, true);
}

static void
resolved(struct feed *fd, const struct api_table *tb)
{
	struct err e;

	fd->trouble[0] = '\0';
	backoff_reset(&fd->backoff);
	if (tb->latest_stream[0] != '\0') {
		feed_open_stream(fd, tb->latest_stream);
		return;
	}
	(void)err_set(&e, ERR_NOT_FOUND,
	    "stream %s: table %.200s has no stream; enable one: aws dynamodb update-table "
	    "--table-name %.200s --stream-specification "
	    "StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES",
	    fd->name, tb->table, tb->table);
	feed_set_state(fd, FEED_FAILED, "no stream");
	pipeline_fail(fd->pl, PIPELINE_CONFIG, &e);
}

static void
on_table(void *arg, const struct api_result *rs, const struct api_table *tb)
{
	struct feed *fd = arg;

	fd->call = NULL;
	if (rs->code == API_OK) {
		resolved(fd, tb);
		return;
	}
	feed_note_trouble(fd, rs);
	if (rs->code == API_NOT_FOUND || rs->code == API_VALIDATION) {
		feed_set_state(fd, FEED_FAILED, "no such table");
		pipeline_fail(fd->pl, PIPELINE_CONFIG, &rs->err);
		return;
	}
	loop_timer_arm(fd->timer, backoff_next(&fd->backoff, fd->pl->loop));
}

/* The oldest stream that is younger than that label: a stream may have been
 * replaced more than once while we were away or behind, and the ones between
 * hold a day of data too. Labels are creation times. */
static const struct api_stream_ref *
next_stream(const struct api_stream_ref *v, size_t n, const char *label)
{
	const struct api_stream_ref *next = NULL;

	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].label, label) > 0 &&
		    (next == NULL || strcmp(v[i].label, next->label) < 0))
			next = &v[i];
	return next;
}

static void
on_streams(void *arg, const struct api_result *rs, const struct api_stream_ref *v, size_t n)
{
	struct feed *fd = arg;
	const struct api_stream_ref *next;

	fd->call = NULL;
	if (fd->state == FEED_RUNNING)
		return; /* it was said to be gone, and is there */
	if (rs->code != API_OK) {
		feed_note_trouble(fd, rs);
		loop_timer_arm(fd->timer, backoff_next(&fd->backoff, fd->pl->loop));
		return;
	}
	fd->trouble[0] = '\0';
	backoff_reset(&fd->backoff);
	next = next_stream(v, n, fd->arn != NULL ? fd->label : fd->after);
	if (next == NULL)
		loop_timer_arm(fd->timer, 60 * USEC_SEC);
	else if (fd->arn == NULL)
		feed_open_stream(fd, next->arn);
	else if (!delivered(fd))
		loop_timer_arm(fd->timer, USEC_SEC);
	else
		follow(fd, next->arn);
}

/* The feed's timer. */
void
feed_resolve(void *arg)
{
	struct feed *fd = arg;

	if (fd->state == FEED_RUNNING)
		feed_check_end(fd);
	if (fd->call != NULL || fd->conf->table == NULL ||
	    (fd->state != FEED_RESOLVING && fd->state != FEED_DRAINED))
		return;
	if (fd->arn != NULL || fd->after != NULL)
		fd->call = api_list_streams(fd->api, fd->conf->table, on_streams, fd);
	else
		fd->call = api_describe_table(fd->api, fd->conf->table, on_table, fd);
}

void
feed_resume(struct feed *fd)
{
	if (fd->lineage == NULL) {
		feed_open_stream(fd, fd->arn);
		return;
	}
	if (fd->next_arn != NULL) {
		feed_set_state(fd, FEED_DRAINED, "the gap between two streams is accepted");
		fd->row_ended = true;
		keeper_mark(fd->pl->keeper, &fd->keep, true);
		return;
	}
	/* Once noted it is over, whatever calls have said since. */
	if (fd->not_found >= GONE_ANSWERS || feed_end_noted(fd)) {
		feed_stream_is_gone(fd);
		return;
	}
	for (size_t i = 0; i < fd->sub_count; i++)
		if (!fd->subs[i].subscribed || !lineage_listed_once(fd->lineage)) {
			feed_set_state(fd, FEED_LISTING, "gaps are accepted");
			lineage_refresh(fd->lineage);
			return;
		}
	feed_enter_running(fd);
}
