/* sinks/sink.h - contract between the pipeline and one delivery target.
 *
 * A sink writes batches somewhere and reports, record by record, what became
 * of each. It never retries, never sleeps, never touches a position: those are
 * the lane's job (pipeline/report.c), so that they are written and tested once.
 *
 *   lane --submit(batch)--> sink --> target
 *        <--report(delivery, verdict)-- exactly one per delivery submitted
 *
 * Threading: every call below and every report is on the loop thread. A sink
 * with its own thread bridges with loop_wake. report() and ready() may be
 * called from inside submit(); from inside them the host never calls back
 * into the sink.
 * Ownership: the batch array is borrowed during submit() only; each delivery
 * stays valid until its report, and so does its record and its page.
 * conf outlives the sink.
 */
#ifndef SINKS_SINK_H
#define SINKS_SINK_H

#include "base/conf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "record/record.h"

#define SINK_API 2u

enum sink_verdict {
	SINK_ACK,    /* durable at the target, by the target's own word */
	SINK_RETRY,  /* the same bytes may pass later: timeout, throttle, 5xx, full disk */
	SINK_REJECT, /* these bytes never will: mapping, size, constraint */
	/* The sink cannot go on: credentials, missing topic or table. It takes
	 * submissions again when the operator has had the cause mended (`slipring resume`),
	 * and says HALT again if it was not. */
	SINK_HALT,
	/* The target refused a request as a whole and did not say for which record's
	 * sake: all of that request are reported so, and the lane submits them again in
	 * halves, until one that is refused alone is the poison (REJECT). A request
	 * never holds deliveries of two submits. */
	SINK_SPLIT,
};

enum sink_admit {
	SINK_TAKEN, /* a report will follow for every delivery */
	SINK_FULL,  /* nothing taken; ready() says when to offer again */
};

enum {
	/* Keeps the order of submission per key, in failure too: after RETRY
	 * for a record, no record of that key that was submitted before its
	 * resubmission is acked. Without it the lane has at most one record
	 * of a key in flight. */
	SINK_CAP_KEY_ORDER = 1u << 0,
	/* Resending a batch changes nothing; with KEY_ORDER, nor does an older write of a key
	 * that comes behind a newer one. */
	SINK_CAP_IDEMPOTENT = 1u << 1,
	/* Needs and keeps the order of a shard, not only of a key: with
	 * KEY_ORDER, read "shard" for "key" above, in both directions. For a
	 * sink that knows a replay by its number being at or below the highest
	 * it has written: a record that overtook an older one of its shard would, after a
	 * crash, make that older one look delivered. */
	SINK_CAP_SHARD_ORDER = 1u << 2,
	/* The target holds a state and lets the later request win, so a dead letter
	 * that is replayed after a newer write of its item was delivered would overwrite
	 * that. The lane then does not submit it. Not together with KEY_ORDER. Targets that
	 * compare versions themselves, or keep a history, do without. */
	SINK_CAP_OVERWRITES = 1u << 3,
};

/* One record on its way to one sink. Embedded in the lane's own entry. */
struct delivery {
	const struct record *rec;
	const struct origin *origin;
	uint64_t key_hash; /* of the canonical key */
	void *sink_data;   /* the sink's, between submit and report */
	/* A name for it that filters chose: the topic, table or index, instead of what the
	 * configuration says; absent: what that says. Raw inside of a JSON string (sinks/route.h).
	 * A target that has no such names ignores it. In the record's page. */
	struct slice route;
	bool replayed; /* from the dead letters: say so where the target has a place for it */
};

struct sink;

struct sink_env { /* what the host lends a sink; copied by open() */
	struct loop *loop;
	const char *name; /* the sink's name in the configuration; borrowed for life */
	void *host;
	/* why: NULL for ACK. Copied if kept. */
	void (*report)(void *host, struct delivery *d, enum sink_verdict v, const struct err *why);
	void (*ready)(void *host);
};

enum sink_finding { SINK_FOUND_OK, SINK_FOUND_NOTE, SINK_FOUND_BAD };

/* What `slipring check --connect` lends a sink that looks at its target. */
struct sink_probe {
	const char *name;	      /* the sink's */
	const struct origin *origins; /* of the streams it takes from; shard is "" */
	size_t origin_count;	      /* key types are set where the table could be asked */
	void *ctx;
	/* One line for people: what was found, and how to mend it if it is bad.
	 * A text of several lines (DDL) is printed indented. */
	void (*say)(void *ctx, enum sink_finding f, const char *text);
};

struct sink_ops {
	unsigned api;	  /* SINK_API it was built against */
	const char *type; /* the word used in conf/: "audit" */
	const char *help; /* one line for slipring config --reference */
	unsigned caps;
	size_t conf_size;
	const struct conf_key *keys;

	/* Pure, no I/O: cross-key checks for `slipring check`. Optional. */
	int (*check)(const void *conf, struct err *e) MUST_CHECK;
	/* Looks, without changing anything, whether it could work (directory
	 * writable, trail intact; credentials, topic, table and columns). May block, at most
	 * some 10 s: for `check --connect` only. -1 with e: it could not. Optional. */
	int (*probe)(const void *conf, const struct sink_probe *p, struct err *e) MUST_CHECK;
	/* Allocate and arm. May do local file work (it runs before READY), never
	 * waits for a network. ERR_CONFIG, ERR_IO, ERR_CORRUPT: the daemon does not start. */
	int (*open)(struct sink **out, const struct sink_env *env, const void *conf,
	    struct err *e) MUST_CHECK;
	enum sink_admit (*submit)(
	    struct sink *s, struct delivery *const *batch, size_t count) MUST_CHECK;
	/* Send what is buffered now; reports still come one by one. Optional. */
	void (*flush)(struct sink *s);
	/* Reports SINK_RETRY for everything unfinished, then frees. */
	void (*close)(struct sink *s);
	/* Appends JSON members ("\"files\":3,...") for `slipring status`. Optional. */
	void (*status)(const struct sink *s, struct buf *out);
	/* Adds what only this sink knows (queue lengths, connections, broker round
	 * trips), as slipring_TYPE_..., with the label sink. Optional. */
	void (*metrics)(const struct sink *s, struct metrics *m);
};

extern const struct sink_ops sink_audit, sink_kafka, sink_opensearch, sink_postgres, sink_sqlite,
    sink_stdout;
/* All of the program, NULL-terminated (sinks/registry.c). */
extern const struct sink_ops *const sink_registry[];

#endif
