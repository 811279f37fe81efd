/* pipeline/lane_priv.h - what the files of a lane share: lane.c (the whole, breaker
 * and halt), window.c (taking, memory), sieve.c (filters), submit.c (order, batches),
 * report.c (verdicts, retry), refuse.c (dead letters).
 *
 * An entry is one record in one lane. Its life:
 *
 *   QUEUED -> (may it go?) -> READY -> OUT -> done
 *                \-> BLOCKED -^         |-> WAITING (retry; or SPLIT, until its batch is whole)
 *                                       |       -> READY or BLOCKED
 *                                       '-> REJECTED (until the dead letter is durable) -> done
 *
 * One that its filters refused goes from (may it go?) to REJECTED, never to the sink.
 *
 * Entries of one page and window are allocated together (a parcel), which
 * holds the page; the parcel goes when its last entry is done.
 */
#ifndef PIPELINE_LANE_PRIV_H
#define PIPELINE_LANE_PRIV_H

#include "pipeline/key_order.h"
#include "pipeline/lane.h"

enum entry_state {
	ENTRY_QUEUED,
	ENTRY_BLOCKED,
	ENTRY_READY,
	ENTRY_OUT,
	ENTRY_WAITING,
	ENTRY_REJECTED,
	ENTRY_DONE,
};

struct list {
	struct entry *first, *last;
};

struct batch {		 /* what one submit() took */
	int64_t sent_at; /* monotonic */
	size_t count;
	size_t left;
	size_t acked;
	size_t retried;
	struct list suspects; /* reported SPLIT so far */
	size_t split;
	uint64_t splits_before; /* reports of SPLIT in the lane when it was sent */
	int64_t due;		/* when what came back is tried again, all of it at once: a
	              * target that is down is asked with few batches, not many */
};

struct entry {
	struct delivery d;
	struct key_link key;
	struct parcel *parcel; /* its owner */
	struct entry *next;    /* in the list its state says */
	struct batch *batch;   /* OUT */
	uint64_t ticket;
	int64_t due;	  /* WAITING: monotonic */
	int64_t first_at; /* monotonic, of the first submit; 0: never out */
	uint64_t group;	  /* of suspects that are sent together; 0: not suspected */
	size_t most;	  /* suspected: sent with at most so many of its group */
	unsigned attempts;
	enum entry_state state;
	enum lane_fate fate; /* of a replay, once done */
	char *refusal;	     /* owned; why its filters refuse it, or NULL */
};

struct parcel {
	struct window *window;
	struct page *page;	/* owned reference */
	struct page *rewritten; /* owned reference: what filters made of some of it; or NULL */
	struct parcel *next, *prev;
	size_t bytes;
	size_t left; /* entries not done */
	size_t count;
	bool refusals; /* some entries have one */
	struct entry entries[];
};

enum fate { /* of a record of the page that is being taken */
	FATE_NOT_WANTED,
	FATE_TOO_OLD,
	FATE_DROPPED,
	FATE_KEPT,
	FATE_REWRITTEN,
	FATE_REFUSED,
};

struct sifted {
	enum fate fate;
	size_t at, n; /* REWRITTEN: in the lane's `made` */
	char *why;    /* REFUSED: owned, until an entry takes it */
};

struct lane {
	struct loop *loop;
	const char *name;
	const struct sink_ops *ops;
	struct sink *sink;   /* owned */
	struct chain *chain; /* owned; NULL: no filters */
	struct lane_conf conf;
	struct lane_host host;
	enum lane_state state;
	struct breaker breaker;
	struct key_order keys;
	bool by_shard;	     /* a whole shard is one queue of `keys` */
	struct window *ring; /* windows with queued entries, taken from in turn */
	struct list ready;
	struct list suspects; /* READY, and go before the others */
	uint64_t last_group;
	struct list waiting;
	struct delivery **staged; /* owned; batch_count long */
	struct buf key;
	struct sifted *sifted; /* owned; of the page being taken */
	size_t sifted_cap;
	struct buf made; /* what filters made of it, record after record */
	int64_t share, held, reserved;
	int64_t queued, queued_bytes; /* QUEUED and READY */
	int64_t queued_since;	      /* monotonic: when the oldest began to linger */
	int64_t out, rejects;
	bool wanted;		       /* somebody was refused room */
	bool full;		       /* the sink said FULL and owes ready() */
	bool stopped;		       /* drain: submit nothing more */
	enum lane_halt halt;	       /* wanted, or done */
	bool closing;		       /* the sink reports what it held, for the last time */
	int64_t failing_since;	       /* monotonic: nothing got through since; 0: something did */
	int64_t gave_up_at;	       /* monotonic; 0: never */
	int64_t failed_at;	       /* monotonic: the breaker counted a failure */
	struct loop_timer *pump_timer; /* next pass, end of linger, next retry */
	bool pumping;		       /* it is armed, for at once */
	struct loop_timer *room_timer;
	struct loop_timer *breaker_timer;
	struct lane_stats stats;
};

/* window.c */
void window_unring(struct window *w); /* nothing of it is queued any more */
void parcel_close(struct parcel *pc);
void lane_gave_back(struct lane *ln); /* held or reserved bytes fell */
/* sieve.c: what becomes of each record, into ln->sifted; they return how many become entries.
 * *rewritten: a page of those that filters made anew, in order; NULL: none. */
size_t lane_sieve(struct window *w, const struct page *page, const struct seq *after,
    int64_t since_us, struct page **rewritten);
size_t lane_sieve_replay(
    struct lane *ln, const struct page *page, const struct replayed *from, struct page **rewritten);
/* submit.c */
void lane_list_add(struct list *l, struct entry *en);
void lane_make_ready(struct lane *ln, struct entry *en); /* BLOCKED -> READY; others as they are */
void lane_pump(void *ln);
void lane_pump_soon(struct lane *ln);
/* report.c */
void lane_on_report(void *ln, struct delivery *d, enum sink_verdict v, const struct err *why);
void lane_on_ready(void *ln);
void lane_done(struct lane *ln, struct entry *en);
/* refuse.c */
/* The target will never take it: `on-reject` and the brake. The entry may be gone afterwards. */
void lane_refuse(struct lane *ln, struct entry *en, const char *why);
bool lane_gives_up(const struct lane *ln, const struct entry *en);
void lane_give_up(struct lane *ln, struct entry *en);
/* Reported SPLIT, together with others. */
void lane_suspect(struct entry *en, struct batch *b);
void lane_halve(struct lane *ln, struct batch *b); /* it is whole: its suspects may go again */
/* lane.c */
void lane_set_state(struct lane *ln, enum lane_state to, const char *why);
void lane_begin_break(struct lane *ln, const char *why); /* settles from the next pump */
void lane_settle_break(struct lane *ln);		 /* once nothing is out */

static inline struct entry *
entry_of_link(struct key_link *l)
{
	return l != NULL ? CONTAINER_OF(l, struct entry, key) : NULL;
}

#endif
