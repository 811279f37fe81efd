/* pipeline/pipeline.h - from streams to sinks: everything between the loop
 * and the configuration.
 *
 *   feed (one per stream)  lineage, readers, who is attached to which reader
 *   lane (one per sink)    order, batches, retry, breaker, dead letters
 *   positions              frontier per shard and sink -> store
 *
 * A pipeline owns its feeds, lanes and sinks; it borrows loop, store and the
 * apis. Threading: loop thread. host calls come from the loop.
 */
#ifndef PIPELINE_PIPELINE_H
#define PIPELINE_PIPELINE_H

#include <jansson.h>

#include "checkpoint/store.h"
#include "filters/chain.h"
#include "sinks/sink.h"
#include "streams/api.h"
#include "streams/lineage.h"
#include "streams/reader.h"

struct pipeline;
struct letter_query;

struct pipeline_conf {
	int64_t memory_budget;		/* bytes of pages held, over all lanes */
	int64_t checkpoint_interval_us; /* least time between two saves of positions */
};

enum pipeline_end {
	PIPELINE_DRAINED, /* pipeline_drain() is done: frontiers saved */
	PIPELINE_GAP,	  /* every stream is stopped by a gap: exit 3 */
	PIPELINE_HALTED,  /* nothing is left running, and at least one stop was no gap: exit 1 */
	PIPELINE_CONFIG,  /* a stream cannot be: no such table, no stream (why): exit 78 */
};

struct pipeline_host {
	void *ctx;
	/* Once. The host closes the pipeline later, not from inside. */
	void (*ended)(void *ctx, enum pipeline_end how, const struct err *why);
	/* The end has begun (asked for, or because nothing is left running):
	 * ended() follows when the sinks have answered and the store has
	 * saved. The host may set a limit. Optional. */
	void (*draining)(void *ctx, enum pipeline_end how);
	/* A call of that stream failed and will be tried again. listed: the stream has
	 * been listed before, so this is an interruption and not a mistake. Optional. */
	void (*trouble)(void *ctx, const char *stream, bool listed, const struct err *why);
};

enum lane_on_reject { LANE_DEAD_LETTER, LANE_HALT, LANE_SKIP };

struct lane_conf {
	int64_t batch_count;   /* records a batch */
	int64_t batch_bytes;   /* raw record bytes a batch; one record may exceed it */
	int64_t linger_us;     /* how long a batch waits to fill */
	int64_t in_flight;     /* records submitted and not reported */
	int64_t retry_base_us; /* full jitter between 0 and base*2^n, at most cap */
	int64_t retry_cap_us;
	int64_t give_up_us;	  /* retried for longer than this: refused; 0: never */
	int64_t breaker_failures; /* batches in a row without an ACK that open it */
	int64_t breaker_open_us;  /* until the probe */
	int on_reject;		  /* enum lane_on_reject */
	int64_t brake;		  /* refusals in a row that halt it; 0: off */
	int64_t letters_max;	  /* so many dead letters halt it */
	int64_t letters_age_us;	  /* older ones are an alarm */
};
/* base 100 ms, cap 20 s, 5 failures, 60 s; keys "batch.count" and so on. */
extern const struct conf_key lane_keys[];

enum feed_start { FEED_TRIM_HORIZON, FEED_LATEST };
enum feed_on_gap { FEED_HALT, FEED_CONTINUE };

struct feed_conf {
	char *table; /* either table or arn */
	char *arn;
	int start;		  /* enum feed_start; only the first time */
	int on_gap;		  /* enum feed_on_gap */
	int64_t idle_us;	  /* "poll.idle" */
	int64_t page_limit;	  /* "poll.records" */
	int64_t calls_per_second; /* "poll.calls", per shard */
	int64_t readers;	  /* 1 or 2 a shard */
	int64_t list_interval_us; /* "discovery.interval" */
	int64_t settle_us;	  /* "discovery.settle" */
};
extern const struct conf_key feed_keys[];

int pipeline_new(struct pipeline **out, struct loop *lp, struct store *store,
    const struct pipeline_conf *conf, const struct pipeline_host *host, struct err *e) MUST_CHECK;
/* Opens the sink. name and conf outlive the pipeline. */
int pipeline_add_sink(struct pipeline *pl, const char *name, const struct sink_ops *ops,
    const void *sink_conf, const struct lane_conf *conf, struct err *e) MUST_CHECK;
/* What the sink is given passes through the chain first; the pipeline owns it. The sink
 * was added before. */
void pipeline_set_chain(struct pipeline *pl, const char *sink, struct chain *chain);
/* sinks: names added before. api, name and conf outlive the pipeline. */
int pipeline_add_stream(struct pipeline *pl, const char *name, struct api *api,
    const struct feed_conf *conf, const char *const *sinks, size_t sink_count,
    struct err *e) MUST_CHECK;
/* Loads the store and starts everything. Nothing is sent before the loop runs. */
int pipeline_start(struct pipeline *pl, struct err *e) MUST_CHECK;
/* Stops reading, lets what is in flight be reported, saves the frontiers,
 * then ended(DRAINED). Records that were read but not submitted are read again next time. */
void pipeline_drain(struct pipeline *pl);
/* NULL allowed. Without a drain first this is a crash as far as the store is
 * concerned: what was not saved is read again. */
void pipeline_close(struct pipeline *pl);

/* ERR_NOT_FOUND, ERR_REFUSED (not open). The stream goes on once durable. */
int pipeline_gap_accept(struct pipeline *pl, uint64_t id, struct err *e) MUST_CHECK;
/* A halted sink tries one record and, if that is taken, goes on. *state: what the sink
 * was found in, "halted" if this has made it go on; static text. ERR_NOT_FOUND with the
 * nearest name, ERR_REFUSED (stopping). */
int pipeline_sink_resume(
    struct pipeline *pl, const char *name, const char **state, struct err *e) MUST_CHECK;
/* Dead letters that q wants are delivered again, rate a second (0: as fast as it goes), or
 * dropped: one job a sink. *out: a list of {"sink": NAME}, with "refused": WHY where none
 * was begun; a new reference. ERR_NOT_FOUND: no such sink. */
int pipeline_replay(struct pipeline *pl, const struct letter_query *q, int64_t rate, json_t **out,
    struct err *e) MUST_CHECK;
int pipeline_drop(
    struct pipeline *pl, const struct letter_query *q, json_t **out, struct err *e) MUST_CHECK;
/* The last job of each sink, whether it is running and what became of its letters. */
json_t *pipeline_jobs(struct pipeline *pl);
/* What `slipring status --json` prints under "streams" and "sinks"; a new reference. */
json_t *pipeline_status(struct pipeline *pl);
/* Adds what there is to count; per shard only of the `worst` shards with the least time
 * until the trim. */
void pipeline_metrics(struct pipeline *pl, struct metrics *m, size_t worst);
/* Why it does not do yet, or any more, all it was told to: an array of sentences,
 * empty if it does. A sink that is tried again (breaker) and a store that is full are lag, not
 * in here. A new reference. */
json_t *pipeline_unready(const struct pipeline *pl);
/* Bytes of pages held now, and the most there ever were. */
int64_t pipeline_bytes(const struct pipeline *pl, int64_t *peak);
/* Everything readable has been read, delivered and acked (tail --until-idle,
 * the simulator). */
bool pipeline_idle(struct pipeline *pl);

#endif
