/* pipeline/lane.h - one sink's way of getting its records delivered.
 *
 *   take(page) -> window (per shard) -> order per key -> batch -> submit
 *                    ^                                              |
 *                 frontier <-- ACK, or REJECT once it is a durable dead letter
 *                              RETRY -> wait (full jitter) -> again
 *
 * The only place for retry, order, batching, breaker and poison. A lane serves
 * all shards of all streams its sink takes from, in turn. What it holds is
 * bounded by its share of the memory budget: the host asks for room before it
 * reads, and is told when there is some again.
 *
 * A lane whose breaker opens, or whose sink halts, waits for what is out to be
 * reported and then lets go of everything (`dropped`): every window's position falls
 * back to its frontier, and nothing is held for the length of the outage. From a halt
 * an operator leads back (lane_resume), as from an open breaker the time.
 *
 * Threading: loop thread. Host calls come from the loop, never from inside a
 * call into the lane, except moved(), bury(), acked(), stale() and replayed().
 * Ownership: a lane owns its sink; a window belongs to its shard's track and
 * is closed before its lane.
 */
#ifndef PIPELINE_LANE_H
#define PIPELINE_LANE_H

#include "checkpoint/frontier.h"
#include "filters/pattern_set.h"
#include "pipeline/breaker.h"
#include "pipeline/pipeline.h"

struct lane;
struct entry;
struct parcel;

struct window { /* one shard's records in one lane */
	struct lane *lane;
	const struct origin *origin; /* borrowed from the shard */
	struct frontier frontier;
	struct entry *first, *last; /* taken and not yet looked at, in order */
	struct parcel *parcels;	    /* everything held, oldest first */
	struct parcel *last_parcel;
	struct window *next, *prev; /* in the lane's ring, while first != NULL */
	bool queued;
	uint64_t shard_hash; /* the order key of sinks that need a shard's order */
	/* For the page that is taken next: what the patterns that chains begin with say of its records,
	 * and which of them is this lane's. NULL: the chain is asked for all. */
	const struct pattern_answers *answers; /* borrowed */
	size_t pattern;
	bool replay; /* of dead letters, not of a shard: no frontier */
};

struct reject { /* a record on its way to the dead letters; valid until lane_buried() */
	struct lane *lane;
	struct entry *entry;
	struct reject *next; /* for the host */
	const struct record *rec;
	const struct origin *origin;
	char *reason;		   /* owned by the lane */
	unsigned attempts;	   /* 0: a filter refused it */
	int64_t first_us, last_us; /* wall clock */
	bool unfiltered;	   /* a filter refused it: rec is as it came */
};

enum lane_fate {
	LANE_FATE_ACKED,
	LANE_FATE_REFUSED,
	LANE_FATE_STALE,
	LANE_FATE_FILTERED, /* its filters do not want it any more */
};

struct replayed {		     /* where a replayed record comes from */
	const struct origin *origin; /* lives until replayed() was called, or the window dropped */
	uint64_t ticket;
	bool unfiltered; /* it passes the filters first */
};

struct lane_host {
	void *ctx;
	void (*moved)(void *ctx, struct window *w); /* its frontier moved */
	void (*room)(
	    void *ctx, struct lane *ln); /* held bytes fell, or the breaker wants a probe */
	/* The host calls lane_drop_window() for every window of the lane before it
	 * does anything else with it. */
	void (*dropped)(void *ctx, struct lane *ln);
	/* Make it durable, then lane_buried(). */
	void (*bury)(void *ctx, struct lane *ln, struct reject *rj);
	/* The sink has it; its window's frontier moves after this. */
	void (*acked)(void *ctx, const struct delivery *d);
	/* Asked of a replay before each submit: is it not to be delivered any more? */
	bool (*stale)(void *ctx, const struct delivery *d);
	/* A replay is done; refused: when it is durable again. May be called from
	 * lane_take_replay(). */
	void (*replayed)(void *ctx, struct window *w, uint64_t ticket, enum lane_fate fate);
};

enum lane_state {
	LANE_RUNNING,
	LANE_BREAKING, /* waits for reports before it lets go */
	LANE_BROKEN,   /* breaker open, nothing held */
	LANE_PROBING,  /* one record out, to see */
	LANE_HALTED,   /* nothing held; until lane_resume() or restart */
};
const char *lane_state_name(enum lane_state s);

enum lane_halt {
	LANE_HALT_NONE,
	LANE_HALT_SINK,	  /* its own word: a restart asks it again */
	LANE_HALT_REJECT, /* on-reject: halt */
	LANE_HALT_BRAKE,  /* too many refusals in a row */
	LANE_HALT_HOST,	  /* lane_halt() */
};

struct lane_stats {	   /* since the start; counters are of records unless they say otherwise */
	uint64_t taken;	   /* from pages, to be delivered */
	uint64_t acked;	   /* repeats included */
	uint64_t retried;  /* reports of RETRY, HALT and SPLIT */
	uint64_t split;	   /* of those, SPLIT */
	uint64_t rejected; /* refused for good: by the sink, alone after SPLIT, given up, or by a
	                     * filter */
	uint64_t gave_up;  /* of those, after retry.give-up-after */
	uint64_t unfiltered; /* of those, by a filter */
	uint64_t buried;     /* of those, durable as dead letters */
	uint64_t discarded;  /* of those, left out by on-reject: skip */
	uint64_t skipped;    /* older than the sink's beginning, never to be delivered */
	uint64_t filtered;   /* left out by filters */
	uint64_t batches;    /* submits that were taken */
	uint64_t drops;	     /* times that everything held was let go of */
	uint64_t halts;	     /* times that it was halted */
	uint64_t bytes_taken, bytes_acked; /* of records as they came */
	uint64_t rejected_in_row;	   /* refused since the last ACK; a gauge */
	struct histogram batch_records;	   /* records a batch */
	struct histogram latency;	   /* submit to report, each record */
	int64_t acked_at;		   /* monotonic; 0: never */
	int64_t last_created_us;	   /* of the last acked record, replays apart; 0: none */
	char last_error[512];		   /* "" while all is well; 255 of the sink's own */
};

int lane_new(struct lane **out, struct loop *lp, const char *name, const struct sink_ops *ops,
    const void *sink_conf, const struct lane_conf *conf, const struct lane_host *host,
    struct err *e) MUST_CHECK;
void lane_close(struct lane *ln);      /* windows have been closed before */
void lane_close_sink(struct lane *ln); /* first step of a close: the sink reports what it holds */
/* Before the first record. The lane owns it. */
void lane_set_chain(struct lane *ln, struct chain *chain);
const struct chain *lane_chain(const struct lane *ln); /* NULL: none */
void lane_set_share(struct lane *ln, int64_t bytes);

void window_init(struct window *w, struct lane *ln, const struct origin *origin);
void window_init_replay(struct window *w, struct lane *ln);
/* From dropped(): lets go of all records; the frontier stays. */
void lane_drop_window(struct window *w);
/* Lets go of everything; nothing of it may be out (lane_close_sink() first). */
void window_close(struct window *w);

/* Takes a reference on the page if any record is wanted: those above `after`
 * (unset: all). Records created before since_us are passed as done without being
 * delivered. Returns how many were wanted or passed. */
size_t lane_take(struct window *w, struct page *page, const struct seq *after, int64_t since_us);

/* All records of the page; from: of each of them. */
void lane_take_replay(struct window *w, struct page *page, const struct replayed *from);

bool lane_usable(const struct lane *ln); /* RUNNING or PROBING, and not stopped */
/* May bytes more be held? True for a lane that holds nothing. On false the
 * host hears room() later. */
bool lane_reserve(struct lane *ln, size_t bytes);
/* Is it worth beginning to read for it? Usable, and less than half of its share
 * is held, so that it does not flicker at the edge. On false the host hears room() later. */
bool lane_wants(struct lane *ln);
void lane_unreserve(struct lane *ln, size_t bytes);
/* In the same breath as lane_reserve(): nothing has become free, so nobody
 * hears room(). */
void lane_reserve_undo(struct lane *ln, size_t bytes);
/* room() comes soon. */
void lane_ask_room(struct lane *ln);
void lane_buried(struct reject *rj);
/* It never became durable and the pipeline closes: frees rj. */
void lane_unbury(struct reject *rj);
/* Submits nothing more. */
void lane_stop(struct lane *ln);
/* Takes what is out back, lets go of everything and stays so. why: one line that
 * says how to go on, logged and kept for the status. May be called from bury(): that
 * record is then the last that is buried. */
void lane_halt(struct lane *ln, enum lane_halt cause, const char *why);
/* HALTED -> PROBING, room() follows. False: it is not halted, or stopped. */
bool lane_resume(struct lane *ln);
enum lane_halt lane_halt_cause(const struct lane *ln);
/* Nothing out, nothing on its way to the dead letters. */
bool lane_quiet(const struct lane *ln);

enum lane_state lane_state_get(const struct lane *ln);
const struct lane_stats *lane_stats_get(const struct lane *ln);
const char *lane_name(const struct lane *ln);
const struct sink_ops *lane_ops(const struct lane *ln);
int64_t lane_held(const struct lane *ln);
int64_t lane_out(const struct lane *ln);
struct breaker lane_breaker(const struct lane *ln);
void lane_sink_status(const struct lane *ln, struct buf *out);
void lane_sink_metrics(const struct lane *ln, struct metrics *m);

#endif
