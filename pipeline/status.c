/* pipeline/status.c - the pipeline as `slipring status --json` shows it. */
#include "pipeline/dead_letter.h"

#include "base/log.h"
#include "pipeline/lag.h"

/* Shards that are listed one by one; the others are in the sums. */
#define WORST_SHOWN 20

static json_t *
text(struct slice s)
{
	return json_stringn(s.p, s.n);
}

/* Seconds between a record's creation and now; 0 when there is none. */
static double
age(struct pipeline *pl, int64_t created_us)
{
	int64_t now = loop_wall(pl->loop);

	return created_us > 0 && now > created_us ? (double)(now - created_us) / 1e6 : 0;
}

struct ways { /* of one sink on one stream */
	size_t by_state[TRACK_COMPLETE + 1];
	size_t held;	 /* records */
	size_t detached; /* shards that it could be given, and has no room for */
	size_t catching; /* shards that it is given behind another reader */
};

static void
count_tracks(const struct feed *fd, size_t i, struct ways *w)
{
	if (fd->lineage == NULL)
		return;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		const struct run *rn = sh->user;
		const struct track *t;

		if (rn == NULL)
			continue;
		t = &rn->tracks[i];
		w->by_state[t->state]++;
		w->held += (size_t)(t->window.frontier.tail - t->window.frontier.head);
		w->detached += t->state == TRACK_READY && lane_usable(t->sub->slot->lane);
		w->catching += t->state == TRACK_FED && t->line->catching;
	}
}

static json_t *
tracks_json(const size_t by_state[TRACK_COMPLETE + 1])
{
	json_t *o = json_object();

	for (size_t s = 0; s <= TRACK_COMPLETE; s++)
		if (by_state[s] != 0)
			json_object_set_new(o, track_state_name((enum track_state)s),
			    json_integer((json_int_t)by_state[s]));
	return o;
}

static json_t *
subscriber_json(struct feed *fd, size_t i)
{
	struct ways ways = {0};
	struct lag_sum sum = lag_of_sink(fd, i);
	json_t *o;

	count_tracks(fd, i, &ways);
	o = json_pack("{s:s, s:b, s:I, s:I, s:I, s:o}", "sink", lane_name(fd->subs[i].slot->lane),
	    "caught_up", sum.known && sum.worst.clear, "unacked", (json_int_t)ways.held, "detached",
	    (json_int_t)ways.detached, "catching_up", (json_int_t)ways.catching, "shards",
	    tracks_json(ways.by_state));
	if (sum.known)
		(void)json_object_update_new(o,
		    json_pack("{s:f, s:f, s:f}", "iterator_age_seconds", sum.worst.iterator_age,
			"delivery_age_seconds", sum.worst.delivery_age, "seconds_until_trim",
			sum.worst.until_trim));
	return o;
}

static json_t *
subscribers_json(struct feed *fd)
{
	json_t *list = json_array();

	for (size_t i = 0; i < fd->sub_count; i++)
		json_array_append_new(list, subscriber_json(fd, i));
	return list;
}

/* What a track is at, beside its state. */
static const char *
track_way(const struct track *t)
{
	if (t->state == TRACK_FED)
		return t->line->catching ? "catching-up" : "leading";
	if (t->state == TRACK_READY && !lane_usable(t->sub->slot->lane))
		return "sink-down";
	return t->state == TRACK_READY ? "detached" : track_state_name(t->state);
}

static json_t *
worst_json(struct pipeline *pl)
{
	struct lag_row rows[WORST_SHOWN];
	size_t n = lag_worst(pl, rows, WORST_SHOWN);
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct track *t = rows[i].track;
		const struct lag *l = &rows[i].lag;

		if (l->clear)
			continue;
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f}", "stream",
			t->run->feed->name, "shard", t->run->shard->id, "sink",
			lane_name(t->sub->slot->lane), "state", track_state_name(t->state), "way",
			track_way(t), "iterator_age_seconds", l->iterator_age,
			"delivery_age_seconds", l->delivery_age, "seconds_until_trim",
			l->until_trim));
	}
	return list;
}

static json_t *
shards_json(const struct feed *fd)
{
	size_t by_state[SHARD_FORGOTTEN + 1] = {0};
	json_t *o = json_object();

	if (fd->lineage != NULL)
		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
			by_state[sh->state]++;
	for (size_t s = 0; s <= SHARD_FORGOTTEN; s++)
		if (by_state[s] != 0)
			json_object_set_new(o, shard_state_name((enum shard_state)s),
			    json_integer((json_int_t)by_state[s]));
	return o;
}

static json_t *
gaps_json(const struct feed *fd)
{
	json_t *list = json_array();

	for (const struct gap_item *gi = fd->gaps; gi != NULL; gi = gi->next) {
		const struct gap *g = &gi->gap;

		json_array_append_new(list,
		    json_pack("{s:I, s:s, s:s, s:s, s:s, s:o}", "id", (json_int_t)g->id, "shard",
			g->shard, "sink", g->sink, "reason", gap_reason_name(g->reason), "state",
			gap_state_name(g->state), "last_acked",
			text(seq_text(&g->last_acked.seq))));
	}
	return list;
}

static json_t *
feed_json(struct feed *fd)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o}",
	    "name", fd->name, "table", fd->table, "arn", fd->arn != NULL ? fd->arn : "", "state",
	    feed_state_name(fd->state), "trouble", fd->trouble, "open_gaps",
	    (json_int_t)fd->open_gaps, "pages", (json_int_t)fd->pages, "records",
	    (json_int_t)fd->records, "bytes", (json_int_t)fd->bytes, "detached",
	    (json_int_t)fd->detaches, "call_errors", (json_int_t)fd->call_errors, "shards",
	    shards_json(fd), "sinks", subscribers_json(fd), "gaps", gaps_json(fd));
}

static json_t *
lane_json(struct pipeline *pl, const struct lane *ln)
{
	const struct lane_stats *st = lane_stats_get(ln);
	const struct breaker br = lane_breaker(ln);
	int64_t wait = br.state == BREAKER_OPEN ? br.until - loop_now(pl->loop) : 0;
	struct buf extra = BUF_INIT(64 << 10);
	json_t *o, *more;

	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		      "s:f, s:f, s:I, s:I, s:I}",
	    "name", lane_name(ln), "type", lane_ops(ln)->type, "state",
	    lane_state_name(lane_state_get(ln)), "why", st->last_error, "breaker",
	    breaker_state_name(br.state), "held_bytes", (json_int_t)lane_held(ln), "in_flight",
	    (json_int_t)lane_out(ln), "taken", (json_int_t)st->taken, "acked",
	    (json_int_t)st->acked, "acked_bytes", (json_int_t)st->bytes_acked, "retried",
	    (json_int_t)st->retried, "rejected", (json_int_t)st->rejected, "filtered",
	    (json_int_t)st->filtered, "batches", (json_int_t)st->batches, "drops",
	    (json_int_t)st->drops, "last_delivered_age_seconds", age(pl, st->last_created_us),
	    "breaker_seconds", wait > 0 ? (double)wait / 1e6 : 0.0, "dead_letters",
	    (json_int_t)st->buried, "discarded", (json_int_t)st->discarded, "rejected_in_row",
	    (json_int_t)st->rejected_in_row);
	buf_add_char(&extra, '{');
	lane_sink_status(ln, &extra);
	buf_add_char(&extra, '}');
	more = extra.failed ? NULL : json_loadb(extra.p, extra.n, 0, NULL);
	if (more != NULL)
		json_object_set_new(o, "sink", more);
	buf_close(&extra);
	return o;
}

json_t *
pipeline_status(struct pipeline *pl)
{
	json_t *streams = json_array(), *sinks = json_array();
	int64_t peak, held = pipeline_bytes(pl, &peak);

	for (struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		json_array_append_new(streams, feed_json(fd));
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next) {
		json_t *o = lane_json(pl, sl->lane);

		json_object_set_new(o, "dead_letters", slot_letters_json(sl));
		json_array_append_new(sinks, o);
	}
	return json_pack("{s:o, s:o, s:o, s:{s:I, s:I, s:I}, s:I, s:{s:s, s:f}}", "streams",
	    streams, "sinks", sinks, "worst", worst_json(pl), "memory", "budget_bytes",
	    (json_int_t)pl->conf.memory_budget, "held_bytes", (json_int_t)held, "peak_bytes",
	    (json_int_t)peak, "dead_letters", (json_int_t)pl->dead_letters, "store", "trouble",
	    keeper_trouble(pl->keeper), "commit_seconds", (double)keeper_latency(pl->keeper) / 1e6);
}

/* ---- ready? ---- */

/* Why a stream is not read as it should be; NULL: it is. */
static const char *
feed_unready(const struct feed *fd)
{
	switch (fd->state) {
	case FEED_RUNNING:
	case FEED_DRAINED:
		return NULL;
	case FEED_RESOLVING:
		return "its table has not been described yet";
	case FEED_LISTING:
		return "its first listing is not complete";
	case FEED_SUBSCRIBING:
		return "where it begins is not saved yet";
	case FEED_GAP:
		return "it is stopped by a gap; see slipring gaps list";
	case FEED_FAILED:
		return "it cannot be read";
	case FEED_STOPPED:
		return "it is being stopped";
	}
	return NULL;
}

json_t *
pipeline_unready(const struct pipeline *pl)
{
	json_t *list = json_array();

	for (const struct feed *fd = pl->feeds; fd != NULL; fd = fd->next)
		if (feed_unready(fd) != NULL)
			json_array_append_new(list,
			    json_sprintf("stream %s: %s%s%s", fd->name, feed_unready(fd),
				fd->trouble[0] != '\0' ? ": " : "", fd->trouble));
	for (const struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		if (lane_state_get(sl->lane) == LANE_HALTED)
			json_array_append_new(list,
			    json_sprintf("sink %s: halted: %s", lane_name(sl->lane),
				lane_stats_get(sl->lane)->last_error));
	return list;
}
