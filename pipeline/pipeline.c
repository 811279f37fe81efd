/* pipeline/pipeline.c - see pipeline.h: owns feeds, lanes and the keeper, and
 * knows when it is over.
 */
#include "pipeline/pipeline_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "pipeline/dead_letter.h"
#include "pipeline/replay.h"

/* DescribeStream: the service allows 10 a second; we stay under 5 (design.md 5 rule 6). */
#define DESCRIBE_PER_SECOND 4
/* How often a drain looks whether everything has been reported. */
#define DRAIN_LOOK (2 * USEC_MS)
/* Readers woken at once when there is room again. */
#define KICK_MOST 16

static struct track *
track_of_window(struct window *w)
{
	return CONTAINER_OF(w, struct track, window);
}

/* ---- what lanes say ---- */

static void
on_moved(void *ctx, struct window *w)
{
	(void)ctx;
	track_moved(track_of_window(w));
}

static void
on_room(void *ctx, struct lane *ln)
{
	struct slot *sl = ctx;

	(void)ln;
	replay_poke(sl);
	slot_kick(sl, KICK_MOST);
	slot_offer(sl);
}

static void
each_track(struct slot *sl, void (*fn)(struct track *t))
{
	for (struct feed *fd = sl->pl->feeds; fd != NULL; fd = fd->next) {
		size_t i;

		for (i = 0; i < fd->sub_count && fd->subs[i].slot != sl; i++)
			continue;
		if (i == fd->sub_count || fd->lineage == NULL)
			continue;
		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
			if (sh->user != NULL)
				fn(&((struct run *)sh->user)->tracks[i]);
	}
}

static void
on_dropped(void *ctx, struct lane *ln)
{
	struct slot *sl = ctx;

	each_track(sl, track_dropped);
	replay_dropped(sl);
	if (lane_state_get(ln) == LANE_HALTED) {
		replay_halted(sl);
		pipeline_check(sl->pl);
	}
}

static void
on_bury(void *ctx, struct lane *ln, struct reject *rj)
{
	(void)ln;
	slot_bury(ctx, rj);
}

static void
on_acked(void *ctx, const struct delivery *d)
{
	slot_acked(ctx, d);
}

static bool
on_stale(void *ctx, const struct delivery *d)
{
	return slot_stale(ctx, d);
}

static void
on_replayed(void *ctx, struct window *w, uint64_t ticket, enum lane_fate fate)
{
	replay_done(ctx, w, ticket, fate);
}

/* ---- is it over? ---- */

static void
tell_ended(struct pipeline *pl)
{
	struct err none = {.code = ERR_NONE};

	if (pl->ended)
		return;
	pl->ended = true;
	pl->host.ended(
	    pl->host.ctx, pl->end_how, pl->end_why.code != ERR_NONE ? &pl->end_why : &none);
}

static void
on_flushed(void *arg)
{
	tell_ended(arg);
}

static void
drain_look(struct pipeline *pl)
{
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		if (!lane_quiet(sl->lane)) {
			loop_timer_arm(pl->check, DRAIN_LOOK);
			return;
		}
	keeper_flush(pl->keeper, on_flushed, pl);
}

static void
begin_drain(struct pipeline *pl, enum pipeline_end how)
{
	if (pl->draining)
		return;
	pl->draining = true;
	pl->end_how = how;
	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		feed_stop(fd);
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		lane_stop(sl->lane);
	loop_timer_arm(pl->check, 0);
	if (pl->host.draining != NULL)
		pl->host.draining(pl->host.ctx, how);
}

/* A sink that halted by its own word is asked again by whoever starts us again. One
 * that was halted for what it refused waits for `slipring resume`: a restart would count
 * its refusals from nothing, again and again. */
static bool
feed_stuck(const struct feed *fd)
{
	if (fd->state == FEED_GAP)
		return fd->open_gaps != 0; /* else they were just accepted */
	if (fd->state == FEED_FAILED)
		return true;
	for (size_t i = 0; i < fd->sub_count; i++)
		if (lane_state_get(fd->subs[i].slot->lane) != LANE_HALTED ||
		    lane_halt_cause(fd->subs[i].slot->lane) != LANE_HALT_SINK)
			return false;
	return true;
}

/* A stream given by its ARN, read to its end: nothing follows it. */
static bool
feed_over(const struct feed *fd)
{
	return fd->state == FEED_DRAINED && fd->conf->table == NULL;
}

static void
on_check(void *arg)
{
	struct pipeline *pl = arg;
	bool gaps_only = true, stopped = false;

	if (pl->draining) {
		drain_look(pl);
		return;
	}
	if (!pl->started || pl->feeds == NULL)
		return;
	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next) {
		if (feed_over(fd))
			continue;
		if (!feed_stuck(fd))
			return;
		stopped = true;
		gaps_only = gaps_only && fd->state == FEED_GAP;
	}
	if (!stopped)
		return; /* all that there was is read: that is no failure to end with */
	if (pl->end_why.code == ERR_NONE)
		(void)err_set(&pl->end_why, ERR_REFUSED, "%s",
		    gaps_only
			? "every stream is stopped by a gap; see `slipring gaps list`"
			: "nothing is left running: sinks or streams have stopped, see above");
	begin_drain(pl, gaps_only ? PIPELINE_GAP : PIPELINE_HALTED);
}

void
pipeline_check(struct pipeline *pl)
{
	if (!pl->draining)
		loop_timer_arm(pl->check, 0);
}

void
pipeline_fail(struct pipeline *pl, enum pipeline_end how, const struct err *why)
{
	if (pl->draining)
		return;
	pl->end_why = *why;
	begin_drain(pl, how);
}

void
pipeline_drain(struct pipeline *pl)
{
	begin_drain(pl, PIPELINE_DRAINED);
}

static void
on_tick(void *arg)
{
	struct pipeline *pl = arg;

	parked_kick(pl, KICK_MOST);
	if (pl->parked != NULL)
		loop_timer_arm(pl->tick, USEC_SEC);
}

/* ---- making and closing ---- */

int
pipeline_new(struct pipeline **out, struct loop *lp, struct store *store,
    const struct pipeline_conf *conf, const struct pipeline_host *host, struct err *e)
{
	struct pipeline *pl;

	if (conf->memory_budget < (1 << 20))
		return err_set(e, ERR_CONFIG, "memory.budget: at least 1MiB is needed");
	pl = mem_new(sizeof *pl);
	pl->loop = lp;
	pl->store = store;
	pl->conf = *conf;
	pl->host = *host;
	pl->keeper = keeper_new(lp, store, conf->checkpoint_interval_us);
	pl->describe = rate_new(lp, DESCRIBE_PER_SECOND, 1);
	pl->loaded = loaded_new();
	pl->parked_tail = &pl->parked;
	pl->tick = loop_timer_new(lp, on_tick, pl);
	pl->check = loop_timer_new(lp, on_check, pl);
	pl->graves = graves_new(pl);
	*out = pl;
	return 0;
}

static struct slot *
slot_find(struct pipeline *pl, const char *name)
{
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		if (strcmp(lane_name(sl->lane), name) == 0)
			return sl;
	return NULL;
}

int
pipeline_add_sink(struct pipeline *pl, const char *name, const struct sink_ops *ops,
    const void *sink_conf, const struct lane_conf *conf, struct err *e)
{
	struct slot *sl = mem_new(sizeof *sl), **at = &pl->slots;
	struct lane_host host = {.ctx = sl,
	    .moved = on_moved,
	    .room = on_room,
	    .dropped = on_dropped,
	    .bury = on_bury,
	    .acked = on_acked,
	    .stale = on_stale,
	    .replayed = on_replayed};

	sl->pl = pl;
	sl->conf = conf;
	if (lane_new(&sl->lane, pl->loop, name, ops, sink_conf, conf, &host, e) != 0) {
		free(sl);
		return err_prefix(e, "sink %s", name);
	}
	letters_init(&sl->letters);
	while (*at != NULL)
		at = &(*at)->next;
	*at = sl;
	pl->slot_count++;
	for (sl = pl->slots; sl != NULL; sl = sl->next)
		lane_set_share(sl->lane, pl->conf.memory_budget / (int64_t)pl->slot_count);
	return 0;
}

void
pipeline_set_chain(struct pipeline *pl, const char *sink, struct chain *chain)
{
	struct slot *sl = slot_find(pl, sink);

	assert(sl != NULL);
	lane_set_chain(sl->lane, chain);
}

int
pipeline_add_stream(struct pipeline *pl, const char *name, struct api *api,
    const struct feed_conf *conf, const char *const *sinks, size_t sink_count, struct err *e)
{
	struct slot **slots = mem_array(sink_count, sizeof(struct slot *));
	struct feed **at = &pl->feeds;

	for (size_t i = 0; i < sink_count; i++) {
		slots[i] = slot_find(pl, sinks[i]);
		if (slots[i] == NULL) {
			free(slots);
			return err_set(
			    e, ERR_CONFIG, "stream %s: no sink is named \"%s\"", name, sinks[i]);
		}
	}
	while (*at != NULL)
		at = &(*at)->next;
	*at = feed_new(pl, name, api, conf, slots, sink_count);
	free(slots);
	return 0;
}

static void
load_letter(void *arg, const struct dead_letter *d)
{
	struct pipeline *pl = arg;

	graves_load(pl->graves, d);
}

int
pipeline_start(struct pipeline *pl, struct err *e)
{
	if (loaded_read(pl->loaded, pl->store, load_letter, pl, e) != 0)
		return -1;
	pl->last_gap_id = loaded_last_gap(pl->loaded);
	pl->last_letter_id = loaded_last_letter(pl->loaded);
	pl->started = true;
	graves_start(pl->graves);
	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		feed_start(fd);
	return 0;
}

void
pipeline_close(struct pipeline *pl)
{
	if (pl == NULL)
		return;
	pl->draining = true;
	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		feed_stop(fd);
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		lane_close_sink(sl->lane);
	graves_close(pl->graves);
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		job_close(sl);
	while (pl->feeds != NULL) {
		struct feed *fd = pl->feeds;

		pl->feeds = fd->next;
		feed_close(fd);
	}
	while (pl->slots != NULL) {
		struct slot *sl = pl->slots;

		pl->slots = sl->next;
		lane_close(sl->lane);
		letters_close(&sl->letters);
		free(sl);
	}
	keeper_close(pl->keeper);
	rate_close(pl->describe);
	loop_timer_close(pl->tick);
	loop_timer_close(pl->check);
	loaded_close(pl->loaded);
	free(pl);
}

/* ---- asked from outside ---- */

int
pipeline_gap_accept(struct pipeline *pl, uint64_t id, struct err *e)
{
	if (pl->draining)
		return err_retry(e, ERR_REFUSED,
		    "the daemon is just stopping; accept the gap once it has stopped");
	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		for (struct gap_item *gi = fd->gaps; gi != NULL; gi = gi->next)
			if (gi->gap.id == id)
				return feed_gap_accept(fd, gi, e);
	return err_set(e, ERR_NOT_FOUND, "there is no gap %llu; see `slipring gaps list`",
	    (unsigned long long)id);
}

static int
no_such_sink(const struct pipeline *pl, const char *name, struct err *e)
{
	const char **names = mem_array(pl->slot_count + 1, sizeof *names);
	const char *near;
	size_t n = 0;
	int code;

	for (const struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		names[n++] = lane_name(sl->lane);
	near = conf_nearest(name, names);
	if (near != NULL)
		code = err_set(e, ERR_NOT_FOUND,
		    "no sink is named \"%.100s\"; did you mean \"%s\"?", name, near);
	else
		code = err_set(
		    e, ERR_NOT_FOUND, "no sink is named \"%.100s\"; see `slipring status`", name);
	free(names);
	return code;
}

int
pipeline_sink_resume(struct pipeline *pl, const char *name, const char **state, struct err *e)
{
	struct slot *sl = slot_find(pl, name);

	if (sl == NULL)
		return no_such_sink(pl, name, e);
	if (pl->draining)
		return err_retry(e, ERR_REFUSED, "the daemon is just stopping");
	*state = lane_state_name(lane_state_get(sl->lane));
	if (lane_resume(sl->lane))
		log_info("pipeline", name, "resumed; one record is tried first");
	return 0;
}

static int
start_jobs(struct pipeline *pl, enum job_kind kind, const struct letter_query *q, int64_t rate,
    json_t **out)
{
	struct letter_query mine = *q;
	struct err e;

	*out = json_array();
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next) {
		mine.sink = lane_name(sl->lane);
		if (q->sink == NULL && sl->letters.count == 0)
			continue;
		if (q->sink != NULL && strcmp(q->sink, mine.sink) != 0)
			continue;
		if (job_start(sl, kind, &mine, rate, &e) == 0)
			json_array_append_new(*out, json_pack("{s:s}", "sink", mine.sink));
		else
			json_array_append_new(
			    *out, json_pack("{s:s, s:s}", "sink", mine.sink, "refused", e.text));
	}
	return 0;
}

int
pipeline_replay(
    struct pipeline *pl, const struct letter_query *q, int64_t rate, json_t **out, struct err *e)
{
	if (q->sink != NULL && slot_find(pl, q->sink) == NULL)
		return no_such_sink(pl, q->sink, e);
	return start_jobs(pl, JOB_REPLAY, q, rate, out);
}

int
pipeline_drop(struct pipeline *pl, const struct letter_query *q, json_t **out, struct err *e)
{
	if (q->sink != NULL && slot_find(pl, q->sink) == NULL)
		return err_set(e, ERR_NOT_FOUND,
		    "no sink is named \"%.64s\" here; what a former sink has left can be dropped "
		    "while the daemon is stopped",
		    q->sink);
	return start_jobs(pl, JOB_DROP, q, 0, out);
}

json_t *
pipeline_jobs(struct pipeline *pl)
{
	json_t *list = json_array();

	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		if (sl->job != NULL)
			json_array_append_new(list, job_json(sl));
	return list;
}

int64_t
pipeline_bytes(const struct pipeline *pl, int64_t *peak)
{
	int64_t held = 0;

	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		held += lane_held(sl->lane);
	if (peak != NULL)
		*peak = pl->peak > held ? pl->peak : held;
	return held;
}

bool
pipeline_idle(struct pipeline *pl)
{
	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		if (!feed_idle(fd))
			return false;
	return true;
}
