/* pipeline/metrics.c - the pipeline as GET /metrics shows it. docs/metrics.md
 * says what each means; tests/system/metrics_test.py that none is missing there.
 *
 * Nothing is counted here: these are the numbers that feeds, lanes, keeper and
 * apis have anyway. The number of series depends on the configuration and on `worst`,
 * never on the number of shards.
 */
#include "pipeline/lag.h"
#include "pipeline/dead_letter.h"

#include <stdlib.h>

#include "base/mem.h"

static const char *
sink_of(const struct feed *fd, size_t i)
{
	return lane_name(fd->subs[i].slot->lane);
}

/* ---- streams ---- */

static void
add_stream_state(const struct feed *fd, struct metrics *m)
{
	for (size_t s = 0; s <= FEED_STOPPED; s++)
		metrics_gauge(m, "slipring_stream_state",
		    "1 for the state the stream is in, 0 for the others.", (size_t)fd->state == s,
		    "stream", fd->name, "state", feed_state_name((enum feed_state)s), NULL);
	metrics_gauge(m, "slipring_stream_trouble",
	    "1 while the last call for the stream failed and is tried again.",
	    fd->trouble[0] != '\0', "stream", fd->name, NULL);
	metrics_gauge(m, "slipring_gaps_open",
	    "Losses of data that wait for the operator (slipring gaps list).",
	    (double)fd->open_gaps, "stream", fd->name, NULL);
}

static void
add_stream_counts(const struct feed *fd, struct metrics *m)
{
	metrics_counter(m, "slipring_stream_pages", "Answers with records or without, read.",
	    (double)fd->pages, "stream", fd->name, NULL);
	metrics_counter(m, "slipring_stream_records",
	    "Records read; by both of a shard's readers, so one may count twice.",
	    (double)fd->records, "stream", fd->name, NULL);
	metrics_counter(m, "slipring_stream_bytes", "Bytes of the answers read, uncompressed.",
	    (double)fd->bytes, "stream", fd->name, NULL);
	metrics_counter(m, "slipring_stream_detached",
	    "Times that a sink was let go of a shard's leading reader for lack of room.",
	    (double)fd->detaches, "stream", fd->name, NULL);
}

static void
add_shards(const struct feed *fd, struct metrics *m)
{
	size_t by_state[SHARD_FORGOTTEN + 1] = {0};

	if (fd->lineage != NULL)
		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
			by_state[sh->state]++;
	for (size_t s = 0; s < SHARD_FORGOTTEN; s++)
		metrics_gauge(m, "slipring_shards", "Shards by state.", (double)by_state[s],
		    "stream", fd->name, "state", shard_state_name((enum shard_state)s), NULL);
}

/* ---- the service's API ---- */

static void
add_call(const struct feed *fd, enum api_op op, const struct api_op_stats *st, struct metrics *m)
{
	const char *name = api_op_name(op);

	metrics_counter(m, "slipring_api_requests", "Requests sent, repeats included.",
	    (double)st->requests, "stream", fd->name, "call", name, NULL);
	/* Throttling is looked for even where there is none yet. */
	for (size_t c = API_OK + 1; c < API_CODES; c++)
		if (st->ended[c] != 0 || c == API_THROTTLED)
			metrics_counter(m, "slipring_api_errors",
			    "Calls that failed, by kind (throttled, auth, transport, ...).",
			    (double)st->ended[c], "stream", fd->name, "call", name, "code",
			    api_code_name((enum api_code)c), NULL);
	if (st->latency.count != 0)
		metrics_histogram(m, "slipring_api_request_seconds",
		    "From a request to its whole answer.", &st->latency, "stream", fd->name, "call",
		    name, NULL);
}

static void
add_api(const struct feed *fd, struct metrics *m)
{
	const struct api_stats *st = api_stats_get(fd->api);

	if (st == NULL)
		return;
	for (size_t op = 0; op < API_OPS; op++)
		add_call(fd, (enum api_op)op, &st->ops[op], m);
	metrics_counter(m, "slipring_api_resent",
	    "Requests sent again at once, for the clock or for credentials.",
	    (double)st->retransmits, "stream", fd->name, NULL);
	metrics_counter(m, "slipring_api_received_bytes", "Bytes of answers, as they came.",
	    (double)st->bytes_in, "stream", fd->name, NULL);
	metrics_gauge(m, "slipring_api_clock_skew_seconds",
	    "The service's clock less ours, by its last good answer; to the second.",
	    (double)api_clock_skew(fd->api) / 1e6, "stream", fd->name, NULL);
}

/* ---- lag ---- */

static void
add_lag(const struct feed *fd, size_t i, struct metrics *m)
{
	struct lag_sum sum = lag_of_sink(fd, i);
	const char *sink = sink_of(fd, i);

	if (!sum.known)
		return; /* no figure is better than a good one that is not true */
	metrics_gauge(m, "slipring_iterator_age_seconds",
	    "Age of what was delivered last, of the shard furthest behind; 0 at the end of all.",
	    sum.worst.iterator_age, "stream", fd->name, "sink", sink, NULL);
	metrics_gauge(m, "slipring_delivery_age_seconds",
	    "Age of the oldest record known not to be delivered; 0 if there is none.",
	    sum.worst.delivery_age, "stream", fd->name, "sink", sink, NULL);
	metrics_gauge(m, "slipring_until_trim_seconds",
	    "Until the service may trim the first record that is not delivered.",
	    sum.worst.until_trim, "stream", fd->name, "sink", sink, NULL);
}

static void
add_tracks(const struct feed *fd, size_t i, struct metrics *m)
{
	size_t by_state[TRACK_COMPLETE + 1] = {0}, held = 0;

	if (fd->lineage != NULL)
		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
			const struct run *rn = sh->user;

			if (rn == NULL)
				continue;
			by_state[rn->tracks[i].state]++;
			held += (size_t)(rn->tracks[i].window.frontier.tail -
			    rn->tracks[i].window.frontier.head);
		}
	metrics_gauge(m, "slipring_unacked_records", "Records held and not done.", (double)held,
	    "stream", fd->name, "sink", sink_of(fd, i), NULL);
	for (size_t s = 0; s <= TRACK_COMPLETE; s++)
		metrics_gauge(m, "slipring_sink_shards",
		    "A sink's shards by what it does with them.", (double)by_state[s], "stream",
		    fd->name, "sink", sink_of(fd, i), "state",
		    track_state_name((enum track_state)s), NULL);
}

static void
add_worst(const struct pipeline *pl, struct metrics *m, size_t worst)
{
	struct lag_row *rows = mem_array(worst != 0 ? worst : 1, sizeof *rows);
	size_t n = lag_worst(pl, rows, worst);

	for (size_t i = 0; i < n; i++) {
		const struct track *t = rows[i].track;
		const char *stream = t->run->feed->name, *sink = lane_name(t->sub->slot->lane);

		metrics_gauge(m, "slipring_shard_iterator_age_seconds",
		    "As slipring_iterator_age_seconds, of the shards with the least time left.",
		    rows[i].lag.iterator_age, "stream", stream, "sink", sink, "shard",
		    t->run->shard->id, NULL);
		metrics_gauge(m, "slipring_shard_delivery_age_seconds",
		    "As slipring_delivery_age_seconds, of the shards with the least time left.",
		    rows[i].lag.delivery_age, "stream", stream, "sink", sink, "shard",
		    t->run->shard->id, NULL);
		metrics_gauge(m, "slipring_shard_until_trim_seconds",
		    "As slipring_until_trim_seconds, of the shards with the least time left.",
		    rows[i].lag.until_trim, "stream", stream, "sink", sink, "shard",
		    t->run->shard->id, NULL);
	}
	free(rows);
}

/* ---- sinks ---- */

static void
add_sink_state(const struct lane *ln, struct metrics *m)
{
	const char *sink = lane_name(ln);

	for (size_t s = 0; s <= LANE_HALTED; s++)
		metrics_gauge(m, "slipring_sink_state",
		    "1 for the state the sink is in, 0 for the others.",
		    (size_t)lane_state_get(ln) == s, "sink", sink, "state",
		    lane_state_name((enum lane_state)s), NULL);
	for (size_t s = 0; s <= BREAKER_PROBING; s++)
		metrics_gauge(m, "slipring_sink_breaker_state",
		    "1 for the state the circuit breaker is in, 0 for the others.",
		    (size_t)lane_breaker(ln).state == s, "sink", sink, "state",
		    breaker_state_name((enum breaker_state)s), NULL);
	metrics_gauge(m, "slipring_sink_in_flight", "Records submitted and not reported.",
	    (double)lane_out(ln), "sink", sink, NULL);
	metrics_gauge(m, "slipring_sink_held_bytes", "Memory held for records not done.",
	    (double)lane_held(ln), "sink", sink, NULL);
	metrics_gauge(m, "slipring_sink_rejected_in_row",
	    "Records refused since one was accepted; the brake looks at it.",
	    (double)lane_stats_get(ln)->rejected_in_row, "sink", sink, NULL);
}

static void
add_sink_counts(const struct lane *ln, struct metrics *m)
{
	const struct lane_stats *st = lane_stats_get(ln);
	const struct {
		const char *name, *help;
		uint64_t value;
	} counts[] = {
	    {"slipring_sink_taken", "Records taken from pages, to be delivered.", st->taken},
	    {"slipring_sink_acked", "Records delivered, repeats included.", st->acked},
	    {"slipring_sink_retried", "Reports that a record is to be tried again.", st->retried},
	    {"slipring_sink_split", "Of the retried, those whose whole request was refused.",
		st->split},
	    {"slipring_sink_rejected", "Records refused for good.", st->rejected},
	    {"slipring_sink_gave_up", "Of the rejected, those tried for too long.", st->gave_up},
	    {"slipring_sink_dead_letters", "Of the rejected, those kept as dead letters.",
		st->buried},
	    {"slipring_sink_discarded", "Of the rejected, those left out (on-reject: skip).",
		st->discarded},
	    {"slipring_sink_unfiltered", "Of the rejected, those that a filter refused.",
		st->unfiltered},
	    {"slipring_sink_filtered", "Records left out by filters.", st->filtered},
	    {"slipring_sink_passed", "Records older than the sink's beginning, left out.",
		st->skipped},
	    {"slipring_sink_batches", "Batches submitted.", st->batches},
	    {"slipring_sink_drops", "Times that all that was held was let go of, to be read again.",
		st->drops},
	    {"slipring_sink_halts", "Times that the sink was halted.", st->halts},
	    {"slipring_sink_taken_bytes", "Bytes of the records taken.", st->bytes_taken},
	    {"slipring_sink_acked_bytes", "Bytes of the records delivered.", st->bytes_acked},
	};

	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		metrics_counter(m, counts[i].name, counts[i].help, (double)counts[i].value, "sink",
		    lane_name(ln), NULL);
}

static void
add_sink(const struct lane *ln, struct metrics *m)
{
	const struct lane_stats *st = lane_stats_get(ln);

	add_sink_state(ln, m);
	add_sink_counts(ln, m);
	metrics_histogram(m, "slipring_sink_batch_records", "Records a batch.", &st->batch_records,
	    "sink", lane_name(ln), NULL);
	metrics_histogram(m, "slipring_sink_delivery_seconds",
	    "From a record's submit to the sink's report.", &st->latency, "sink", lane_name(ln),
	    NULL);
	lane_sink_metrics(ln, m);
}

/* ---- the whole ---- */

static void
add_own(struct pipeline *pl, struct metrics *m)
{
	int64_t peak, held = pipeline_bytes(pl, &peak);

	metrics_gauge(m, "slipring_memory_budget_bytes", "memory.budget.",
	    (double)pl->conf.memory_budget, NULL);
	metrics_gauge(
	    m, "slipring_memory_held_bytes", "Of it, held for records now.", (double)held, NULL);
	metrics_gauge(m, "slipring_memory_peak_bytes", "Of it, the most that ever was held.",
	    (double)peak, NULL);
	metrics_gauge(m, "slipring_store_trouble", "1 while positions cannot be saved.",
	    keeper_trouble(pl->keeper)[0] != '\0', NULL);
	metrics_counter(m, "slipring_store_failures", "Transactions of the store that failed.",
	    (double)keeper_failures(pl->keeper), NULL);
	metrics_histogram(m, "slipring_store_commit_seconds",
	    "From handing a transaction to the store to its being durable.",
	    keeper_latencies(pl->keeper), NULL);
}

void
pipeline_metrics(struct pipeline *pl, struct metrics *m, size_t worst)
{
	for (const struct feed *fd = pl->feeds; fd != NULL; fd = fd->next) {
		add_stream_state(fd, m);
		add_stream_counts(fd, m);
		add_shards(fd, m);
		add_api(fd, m);
		for (size_t i = 0; i < fd->sub_count; i++) {
			add_lag(fd, i, m);
			add_tracks(fd, i, m);
		}
	}
	add_worst(pl, m, worst);
	for (const struct slot *sl = pl->slots; sl != NULL; sl = sl->next) {
		add_sink(sl->lane, m);
		slot_letters_metrics(sl, m);
	}
	add_own(pl, m);
}
