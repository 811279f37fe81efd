/* pipeline/status.c - the pipeline as `slipring status --json` shows it. */
#include "pipeline/pipeline_priv.h"

#include "base/log.h"

static json_t *
text(struct slice s)
{
	return json_stringn(s.p, s.n);
}

static const char *
breaker_name(enum breaker_state s)
{
	static const char *const names[] = {"closed", "open", "probing"};

	return names[s];
}

/* Seconds between a record's creation and now; 0 when there is none. */
static double
age(struct pipeline *pl, int64_t created_us)
{
	int64_t now = loop_wall(pl->loop);

	return created_us > 0 && now > created_us ? (double)(now - created_us) / 1e6 : 0;
}

struct lag { /* of one sink on one stream */
	size_t by_state[TRACK_COMPLETE + 1];
	int64_t oldest; /* creation time of the oldest record that is not acked */
	size_t held;
	bool caught_up;
};

static struct lag
lag_of(struct feed *fd, size_t i)
{
	struct lag lag = {.caught_up = fd->state == FEED_RUNNING || fd->state == FEED_DRAINED};

	if (fd->lineage == NULL)
		return lag;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		const struct track *t;
		int64_t oldest;

		if (sh->user == NULL)
			continue;
		t = &((struct run *)sh->user)->tracks[i];
		lag.by_state[t->state]++;
		lag.held += (size_t)(t->window.frontier.tail - t->window.frontier.head);
		oldest = window_oldest(&t->window);
		if (oldest != 0 && (lag.oldest == 0 || oldest < lag.oldest))
			lag.oldest = oldest;
		if (t->state == TRACK_COMPLETE)
			continue;
		if (t->state != TRACK_FED || oldest != 0 ||
		    reader_caught_up_at(t->line->reader) == 0)
			lag.caught_up = false;
	}
	return lag;
}

static json_t *
tracks_json(const struct lag *lag)
{
	json_t *o = json_object();

	for (size_t s = 0; s <= TRACK_COMPLETE; s++)
		if (lag->by_state[s] != 0)
			json_object_set_new(o, track_state_name((enum track_state)s),
			    json_integer((json_int_t)lag->by_state[s]));
	return o;
}

static json_t *
subscribers_json(struct feed *fd)
{
	json_t *list = json_array();

	for (size_t i = 0; i < fd->sub_count; i++) {
		struct lag lag = lag_of(fd, i);

		json_array_append_new(list,
		    json_pack("{s:s, s:b, s:f, s:I, s:o}", "sink",
			lane_name(fd->subs[i].slot->lane), "caught_up", lag.caught_up,
			"oldest_unacked_seconds", age(fd->pl, lag.oldest), "unacked",
			(json_int_t)lag.held, "shards", tracks_json(&lag)));
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
	struct buf extra = BUF_INIT(64 << 10);
	json_t *o, *more;

	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}",
	    "name", lane_name(ln), "type", lane_ops(ln)->type, "state",
	    lane_state_name(lane_state_get(ln)), "why", st->last_error, "breaker",
	    breaker_name(lane_breaker(ln).state), "held_bytes", (json_int_t)lane_held(ln),
	    "in_flight", (json_int_t)lane_out(ln), "taken", (json_int_t)st->taken, "acked",
	    (json_int_t)st->acked, "acked_bytes", (json_int_t)st->bytes_acked, "retried",
	    (json_int_t)st->retried, "rejected", (json_int_t)st->rejected, "batches",
	    (json_int_t)st->batches, "drops", (json_int_t)st->drops, "last_delivered_age_seconds",
	    age(pl, st->last_created_us));
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
	for (struct slot *sl = pl->slots; sl != NULL; sl = sl->next)
		json_array_append_new(sinks, lane_json(pl, sl->lane));
	return json_pack("{s:o, s:o, s:{s:I, s:I, s:I}, s:I, s:{s:s, s:f}}", "streams", streams,
	    "sinks", sinks, "memory", "budget_bytes", (json_int_t)pl->conf.memory_budget,
	    "held_bytes", (json_int_t)held, "peak_bytes", (json_int_t)peak, "dead_letters",
	    (json_int_t)pl->dead_letters, "store", "trouble", keeper_trouble(pl->keeper),
	    "commit_seconds", (double)keeper_latency(pl->keeper) / 1e6);
}
