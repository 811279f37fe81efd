/* tests/sim/oracle.h - what must hold, checked at every edge as it happens.
 *
 * The oracle knows the history and hears of each submission, each record that
 * became durable at a sink, each verdict, each operation that became durable
 * in the store and each call to the service. It never looks into the core.
 *
 *   oracle.c        order: at submission, at the target, parents first
 *   oracle_saved.c  the durable state: never ahead, gaps true, rejects kept
 *   oracle_replay.c dead letters that are delivered again
 *   oracle_end.c    what a sink may have missed, and the reckoning at the end
 *
 * The first violation is kept as text; the run stops there.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "checkpoint/store.h"
#include "tests/sim/sim.h"

struct mark {	       /* one event at one sink */
	bool durable;  /* the target has it */
	bool acked;    /* the sink said so */
	bool rejected; /* the sink said REJECT, and the lane was not halted */
	bool refused;  /* the sink said REJECT, ever, if only when it died */
	bool dead;     /* its dead letter is durable */
	bool skipped;  /* rejected under on-reject: skip */
	bool retried;  /* in this life */
	bool left;     /* a filter has left it out */
	bool unmade;   /* a filter has refused it, ever */
	uint16_t in_flight;
	int64_t acked_at; /* the last time */
	int64_t sent_at;  /* the first time in this life; 0: not yet */
};

struct refusals { /* of one sink, as its lane should count them */
	int64_t in_row;
	bool halted; /* until resumed: the brake, on-reject: halt, or its own word */
	int64_t halted_at;
	int64_t through_at; /* the last ACK or REJECT, or the life began */
	unsigned event;	    /* refused last */
};

struct place {		/* one shard at one sink */
	bool have;	/* the store has a position */
	bool whole;	/* all of the shard's events were seen done or excused */
	bool touched;	/* submitted something in this life */
	bool completed; /* was ever durably COMPLETE */
	struct pos pos;
	unsigned saved;		       /* events at or below the durable position */
	unsigned after;		       /* the same, by the last position of kind AFTER */
	unsigned ordered;	       /* below: done, when the order of the shard is asked for */
	int last;		       /* newest event that the target has; -1: none */
	unsigned swept;		       /* below: done or excused, need not be looked at again */
	unsigned front;		       /* contiguous done prefix as this life can know it */
	int64_t latest_at, horizon_at; /* an iterator of that kind was handed out, in the
	                                * life in which the sink began; 0: no */
};

struct beginning {	   /* one stream at one sink */
	bool subscribed;   /* durably */
	bool fresh;	   /* was not when this life began */
	int64_t listed_at; /* first complete listing of the last fresh life; 0: none */
	bool replaced;	   /* a STREAM_REPLACED gap is durable */
};

struct gap_seen {
	uint64_t id;
	struct h_stream *stream;
	struct h_shard *shard; /* NULL: the whole stream */
	unsigned sink;
	enum gap_reason reason;
	enum gap_state state;
	unsigned after;		    /* rank of last_acked */
	unsigned until;		    /* index of first_available; count if unset */
	struct gap row;		    /* strings not kept */
	int64_t found_at, saved_at; /* first and last time that it was made durable */
};

struct oracle {
	struct world *w;
	bool failed;
	int64_t life_at; /* this life began */
	char failure[512];
	struct mark *mark;	 /* [sink][event] */
	struct place *place;	 /* [sink][shard] */
	struct beginning *begun; /* [sink][stream] */
	struct refusals refusals[SIM_SINKS];
	unsigned *key_event;  /* events by key, in order; see key_first */
	unsigned *key_first;  /* [key + 1] */
	int *key_last;	      /* [sink][key] newest change the target has ever had */
	int *key_state;	      /* [sink][key] change that was applied last */
	unsigned *key_front;  /* [sink][key] changes before it are done or excused */
	unsigned *key_flying; /* [sink][key] */
	uint64_t *key_hash;   /* [key]; 0: not seen */
	bool *ended;	      /* [stream] its row says so */
	int64_t *emptied_at;  /* [shard] it had records, and an empty page was served; 0: never */
	bool *seen;	      /* [shard] a listing of this life showed it, or a row was kept */
	bool *kept;	      /* [shard] its row was durable, ever */
	unsigned *trims;      /* [shard] TrimmedDataAccess answers in this life */
	struct gap_seen *gaps;
	size_t gap_count, gap_cap;
	unsigned open_gaps;
};

struct oracle *oracle_new(struct world *w);
void oracle_close(struct oracle *o);
void oracle_fail(struct oracle *o, enum total kind, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Before the pipeline of a new life loads the store. */
void oracle_life(struct oracle *o);

/* oracle.c: sinks */
void oracle_submit(struct oracle *o, unsigned sink, struct h_event *ev, uint64_t key_hash);
void oracle_durable(struct oracle *o, unsigned sink, struct h_event *ev);
/* REJECT: a SPLIT of one record alone, too. */
void oracle_report(struct oracle *o, unsigned sink, struct h_event *ev, enum sink_verdict v);
/* What the sink's filter said, which the lane does not act upon before its turn comes. */
void oracle_filtered(struct oracle *o, unsigned sink, struct h_event *ev);
void oracle_filter_refused(struct oracle *o, unsigned sink, struct h_event *ev);
void oracle_resumed(struct oracle *o, unsigned sink);
/* oracle_replay.c: submitted from the dead letters, and what the sink said */
void oracle_replay(struct oracle *o, unsigned sink, struct h_event *ev);
void oracle_replayed(struct oracle *o, unsigned sink, struct h_event *ev, enum sink_verdict v);
/* A letter's removal, its mark, became durable. */
void oracle_letter_gone(struct oracle *o, unsigned sink, struct h_event *ev);
void oracle_superseded(struct oracle *o, unsigned sink, const struct h_event *ev);
/* oracle.c: the service */
void oracle_seen(struct oracle *o, const struct h_shard *sh);
void oracle_listed(struct oracle *o, struct h_stream *st); /* a complete listing */
void oracle_iterator(struct oracle *o, struct h_shard *sh, enum iterator_type type);
void oracle_read(struct oracle *o, struct h_shard *sh);

/* oracle_saved.c: one transaction that became durable */
void oracle_saved(struct oracle *o, const struct txn *t);
/* A graceful drain ended: everything contiguous is saved. */
void oracle_drained(struct oracle *o);

/* oracle_end.c */
/* Need the sink not have it? True for what a start position left out and for
 * what a durable gap covers. */
bool oracle_excused(const struct oracle *o, unsigned sink, const struct h_event *ev);
/* Every event that is neither durable nor excused is counted; text of the first. */
size_t oracle_missing(const struct oracle *o, char *text, size_t n);
void oracle_end(struct oracle *o);
/* No row for a shard that is gone long since, but for the last of a lineage. */
void oracle_pruned(struct oracle *o);

static inline struct mark *
mark_of(const struct oracle *o, unsigned sink, const struct h_event *ev)
{
	return &o->mark[(size_t)sink * o->w->hist->events + ev->id];
}

static inline struct place *
place_of(const struct oracle *o, unsigned sink, const struct h_shard *sh)
{
	return &o->place[(size_t)sink * o->w->hist->shards + sh->number];
}

static inline struct beginning *
begun_of(const struct oracle *o, unsigned sink, const struct h_stream *st)
{
	return &o->begun[(size_t)sink * o->w->hist->streams + st->number];
}

static inline bool
feeds(const struct oracle *o, const struct h_table *table, unsigned sink)
{
	return (o->w->sc.sink[sink].tables >> table->number & 1) != 0;
}

/* Acked, refused for good or given up, in any life. */
static inline bool
mark_done(const struct mark *m)
{
	return m->acked || m->rejected || m->dead || m->left;
}

#endif
