/* checkpoint/store.h - what must survive: streams, shards, positions, gaps,
 * dead letters.
 *
 *   txn_new() txn_position() ... store_commit(txn, done) --> durable --> done(NULL)
 *
 * A transaction is all or nothing, and transactions become durable in the
 * order they were committed; a store may make several durable at once (group
 * commit). A failure (disk full) is reported to that transaction's done with
 * e->retriable; nothing of it was kept, and the host commits again. Whatever was
 * committed after it and before that report fails with it, so that nothing
 * becomes durable that was built on what did not.
 *
 * Threading: loop thread. done comes from the loop, never from inside
 * store_commit(). Loading is synchronous, before the loop runs.
 * Ownership: store_commit() takes the transaction; all strings are copied into it.
 */
#ifndef CHECKPOINT_STORE_H
#define CHECKPOINT_STORE_H

#include "base/err.h"
#include "base/loop.h"
#include "base/slice.h"
#include "record/position.h"

struct store;
struct txn;

enum gap_reason {
	GAP_TRIMMED,	     /* the service trimmed what we had not read */
	GAP_SHARD_GONE,	     /* a shard vanished before it was finished */
	GAP_ORPHAN,	     /* a parent was born and trimmed while we were away */
	GAP_STREAM_REPLACED, /* writes between two streams of a table are in neither */
	GAP_REFUSED,	     /* the service does not know our number */
};
const char *gap_reason_name(enum gap_reason r);

enum gap_state {
	GAP_OPEN,      /* on-gap: halt; waits for `slipring gaps accept` */
	GAP_CONTINUED, /* on-gap: continue */
	GAP_ACCEPTED,
};
const char *gap_state_name(enum gap_state s);

struct gap {
	uint64_t id; /* given by the host: last id + 1 */
	const char *arn;
	const char *shard; /* "" for the stream as a whole */
	const char *sink;
	enum gap_reason reason;
	enum gap_state state;
	struct pos last_acked;	    /* where the sink stood */
	struct seq first_available; /* first record taken behind it; unset: none yet, and
	                             * the gap is open-ended: it covers all up to there */
	int64_t found_us;	    /* wall clock */
	int64_t settled_us;	    /* 0 while open */
};

struct dead_letter { /* a record that its sink refused */
	/* Given by the host: last id + 1. One that comes again (same arn, shard, sink, seq)
	 * keeps its first. */
	uint64_t id;
	const char *arn, *shard, *sink, *stream;
	struct seq seq;
	struct slice event_id;
	struct slice record; /* whole, as its sink was given it, or as it came if unfiltered;
	                      * absent where only heads are handed out */
	bool unfiltered;     /* a filter refused it: a replay passes the filters first */
	const char *key;     /* canonical (record/key.h) */
	uint64_t key_hash;
	const char *hash_key, *range_key; /* names of its attributes; "" where not known, or none */
	const char *reason;		  /* the last one */
	unsigned attempts;		  /* submissions; those of one that comes again are added;
	                                   * 0: a filter refused it */
	int64_t first_us, last_us;	  /* wall clock: first submission, last refusal */
	/* Version (record/version.h) of the first newer change of that item that the sink has
	 * acknowledged; "": none. */
	const char *superseded;
};

struct stream_row {
	const char *arn;
	const char *stream; /* our name */
	const char *table;
	int64_t first_seen_us;
	bool ended; /* drained to its end: a later stream of the table took over */
};

struct subscription_row { /* a sink has begun on a stream: `start` no longer applies to it */
	const char *arn, *sink;
	int64_t begun_us;
};

struct shard_row {
	const char *arn, *shard, *parent; /* parent "": none */
	struct seq start;		  /* may be unset */
	int64_t first_seen_us;
};

struct position_row {
	const char *arn, *shard, *sink;
	struct pos pos;
	int64_t updated_us;
};

/* Called once per row during load; strings valid during the call. Every
 * member may be NULL. */
struct store_visitor {
	void *ctx;
	void (*stream)(void *ctx, const struct stream_row *r);
	void (*subscription)(void *ctx, const struct subscription_row *r);
	void (*shard)(void *ctx, const struct shard_row *r);
	void (*position)(void *ctx, const struct position_row *r);
	void (*gap)(void *ctx, const struct gap *g);
	/* Heads only, in the order of ids. A start must not read gigabytes of records. */
	void (*dead_letter)(void *ctx, const struct dead_letter *d);
	void (*last_dead_letter)(void *ctx, uint64_t id); /* the highest ever given; 0: none */
};

struct txn *txn_new(void);
void txn_close(struct txn *t); /* by the host only one that was not committed;
                                * by a store after it was carried out */
void txn_stream(struct txn *t, const struct stream_row *r);		/* upsert by arn */
void txn_subscription(struct txn *t, const struct subscription_row *r); /* upsert */
void txn_shard(struct txn *t, const struct shard_row *r);		/* upsert */
void txn_position(struct txn *t, const struct position_row *r);		/* upsert */
void txn_gap(struct txn *t, const struct gap *g);			/* upsert by id */
void txn_dead_letter(struct txn *t, const struct dead_letter *d);	/* append; same
                * (arn, shard, sink, seq) again: attempts added, reason and last_us replaced, never a
                * second row */
void txn_drop_letter(struct txn *t, uint64_t id);			/* delivered, or given up */
void txn_supersede(struct txn *t, uint64_t id, const char *version);
void txn_forget_shard(struct txn *t, const char *arn, const char *shard); /* row and positions */
void txn_delete_position(struct txn *t, const char *arn, const char *shard, const char *sink);
void txn_delete_subscription(struct txn *t, const char *arn, const char *sink);
size_t txn_count(const struct txn *t);
/* Writes the gap and, if it is settled (not OPEN), the position that lets its
 * sink go on: the trim horizon after TRIMMED and REFUSED, COMPLETE after
 * SHARD_GONE. One transaction, so that a settled gap is never found again.
 * (checkpoint/settle.c) */
void txn_gap_settle(struct txn *t, const struct gap *g, int64_t now_us);
/* That position; false if the gap moves none. */
bool gap_position(const struct gap *g, struct pos *out);
/* Memory for a copy could not be had: the store reports ERR_NOMEM, retriable. */
bool txn_failed(const struct txn *t);

/* The operations in order, for a store to carry out. */
enum txn_kind {
	TXN_STREAM,
	TXN_SUBSCRIPTION,
	TXN_SHARD,
	TXN_POSITION,
	TXN_GAP,
	TXN_DEAD_LETTER,
	TXN_FORGET_SHARD,
	TXN_DELETE_POSITION,
	TXN_DELETE_SUBSCRIPTION,
	TXN_DROP_LETTER,
	TXN_SUPERSEDE,
};
struct txn_op {
	enum txn_kind kind;
	struct txn_op *next;
	union {
		struct stream_row stream;
		struct subscription_row subscription;
		struct shard_row shard; /* also FORGET_SHARD: arn, shard */
		struct position_row
		    position; /* also DELETE_POSITION; DELETE_SUBSCRIPTION: arn, sink */
		struct gap gap;
		struct dead_letter
		    dead_letter; /* also DROP_LETTER: id; SUPERSEDE: id, superseded */
	} u;
};
const struct txn_op *txn_first(const struct txn *t);

struct letter_query;

struct store_ops {
	const char *name;
	/* ERR_IO, ERR_CORRUPT, ERR_VERSION; rows in no particular order except
	 * that shards come before positions. */
	int (*load)(struct store *s, const struct store_visitor *v, struct err *e) MUST_CHECK;
	void (*commit)(struct store *s, struct txn *t, void (*done)(void *arg, const struct err *e),
	    void *arg);
	/* Dead letters that q wants, in the order of ids; each: borrowed, for the call. Blocks:
	 * for commands. Optional. */
	int (*letters)(struct store *s, const struct letter_query *q,
	    void (*each)(void *ctx, const struct dead_letter *d), void *ctx,
	    struct err *e) MUST_CHECK;
	/* The same off the loop, of what was committed before: as the TXN_DEAD_LETTER
	 * operations of a transaction, which is done's to close (NULL with e). Optional. */
	void (*fetch)(struct store *s, const struct letter_query *q,
	    void (*done)(void *arg, struct txn *rows, const struct err *e), void *arg);
	/* Waits for what is under way (its done calls are still made, from here),
	 * then frees. */
	void (*close)(struct store *s);
};
struct store { /* first member of every store */
	const struct store_ops *ops;
};

static inline int
store_load(struct store *s, const struct store_visitor *v, struct err *e)
{
	return s->ops->load(s, v, e);
}
static inline void
store_commit(
    struct store *s, struct txn *t, void (*done)(void *arg, const struct err *e), void *arg)
{
	s->ops->commit(s, t, done, arg);
}
static inline int
store_letters(struct store *s, const struct letter_query *q,
    void (*each)(void *ctx, const struct dead_letter *d), void *ctx, struct err *e)
{
	return s->ops->letters(s, q, each, ctx, e);
}
static inline void
store_fetch(struct store *s, const struct letter_query *q,
    void (*done)(void *arg, struct txn *rows, const struct err *e), void *arg)
{
	s->ops->fetch(s, q, done, arg);
}
static inline void
store_close(struct store *s)
{
	if (s != NULL)
		s->ops->close(s);
}

#endif
