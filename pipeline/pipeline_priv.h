/* pipeline/pipeline_priv.h - what the files of this room share.
 *
 *   pipeline --- slot (one per sink) ------ lane
 *      '------- feed (one per stream) ----- lineage
 *                 |-- subscriber (one per sink that takes from it)
 *                 '-- run (one per shard): line[2], track (one per subscriber)
 *
 * A track is one sink's way through one shard. A line is one reader of the
 * shard and the tracks it feeds: at most two, the leading one and one that
 * catches up (design.md 5 rule 10). A track is fed by a line only if that line
 * has not read past it:
 *
 *   shard:   1 2 3 4 5 6 7 8 9 ...
 *                  ^       ^
 *       catching line      leading line      a track at 3 rides the first until it meets the second
 *
 * A track's records never start before the same sink has finished the parent,
 * so no lane ever has to hold back a child's records.
 */
#ifndef PIPELINE_PIPELINE_PRIV_H
#define PIPELINE_PIPELINE_PRIV_H

#include "base/backoff.h"
#include "pipeline/keeper.h"
#include "pipeline/lane.h"
#include "pipeline/letters.h"
#include "pipeline/pipeline.h"

struct feed;
struct run;
struct line;
struct loaded;

enum track_state {
	TRACK_NEW,	/* its position is not known yet */
	TRACK_WAITING,	/* this sink has not finished the parent */
	TRACK_READY,	/* could be fed; on its slot's list */
	TRACK_FED,	/* on a line */
	TRACK_LOST,	/* data is gone; a gap once what it holds is done */
	TRACK_GAP,	/* the gap waits to be settled */
	TRACK_DRAINING, /* all read, acks outstanding */
	TRACK_COMPLETE,
};

struct slot { /* a sink in the pipeline */
	struct pipeline *pl;
	struct slot *next;
	struct lane *lane;	      /* owned */
	struct track *ready;	      /* tracks that could be fed if the lane had room */
	size_t backlog;		      /* of those: let go of records when the lane broke */
	const struct lane_conf *conf; /* borrowed */
	struct letters letters;
	bool letters_old; /* it was said that they are */
	size_t drops;	  /* letters on their way out of the store */
	struct job *job;  /* owned; replay.h; NULL: there was none */
};

struct subscriber { /* a sink of a feed */
	struct feed *feed;
	struct slot *slot;
	bool subscribed; /* has begun on the stream: `start` is past */
	int64_t begun_us;
	size_t pattern; /* of the feed's shared ones; SIZE_MAX: none */
	struct keep_item keep;
};

struct gap_item { /* a gap of this feed that is not forgotten */
	struct gap_item *next;
	struct feed *feed;
	struct gap gap; /* strings owned */
	struct keep_item keep;
	bool durable; /* in its present state */
};

struct track {
	struct window window;
	struct run *run;
	struct subscriber *sub;
	struct line *line;	    /* FED */
	struct track *next, **prev; /* on its slot's ready list, or on its line's */
	size_t reserved;	    /* bytes asked of the lane for the read under way */
	struct pos base;	    /* where it begins; holds until something was acked */
	struct seq last;	    /* highest number taken; unset: nothing */
	int64_t owed_us;  /* creation of the next record it must be given, when it is not held
	                             * and yet known; 0: not known */
	int64_t clear_us; /* all that was created before this (service's clock) is done */
	enum track_state state;
	enum reader_loss loss; /* LOST */
	struct gap_item *gap;  /* GAP, and until the first record after it */
	bool had_backlog;      /* let go of records when its lane broke */
	bool kept_complete;    /* COMPLETE is durable */
	bool rested; /* had read all there was when it gave its line to another, and nothing
	              * was read since */
	struct keep_item keep;
};

struct line {
	struct run *run;
	struct reader *reader; /* owned; NULL: the line is free */
	struct pos from;       /* where the reader was started */
	struct seq read;       /* up to where pages have been handed on; unset: not known */
	struct track *tracks;
	size_t track_count;
	bool catching; /* else leading */
	bool busy;     /* a GetRecords is under way */
	bool parked;
	int64_t parked_at; /* monotonic */
	int64_t started_at;
	struct line *next, **prev; /* on the pipeline's parked list */
};

struct run { /* a shard of a feed */
	struct feed *feed;
	struct shard *shard; /* borrowed from the lineage; its user is this */
	struct origin origin;
	struct rate *calls; /* owned; NULL until first read */
	struct line line[2];
	struct keep_item keep; /* the shard's row, later its removal */
	bool forgetting;
	bool unlisted;	/* confirmed */
	bool had_child; /* one was found: no late listing will make this one new */
	bool ended;	/* a null iterator was seen */
	unsigned gone_tries;
	int64_t first_seen_us;
	struct track tracks[]; /* one per subscriber, in their order */
};

enum feed_state {
	FEED_RESOLVING,	  /* finding the stream of the table */
	FEED_LISTING,	  /* waiting for the first complete listing */
	FEED_SUBSCRIBING, /* waiting for the first positions to be durable */
	FEED_RUNNING,
	FEED_DRAINED, /* the stream is disabled and fully read; waiting for another */
	FEED_GAP,     /* stopped by a gap under on-gap: halt */
	FEED_FAILED,  /* no such table or stream */
	FEED_STOPPED, /* drain */
};

struct feed {
	struct pipeline *pl;
	struct feed *next;
	const char *name;
	struct api *api;	      /* borrowed */
	const struct feed_conf *conf; /* borrowed */
	struct reader_conf reader_conf;
	enum feed_state state;
	char *arn;		  /* owned; NULL while resolving */
	const char *label;	  /* points into arn */
	char *table;		  /* owned */
	char *next_arn;		  /* owned; the stream that follows this one, or NULL */
	const char *after;	  /* label of the stream that the first one follows, or NULL */
	struct key_schema schema; /* owned names */
	enum stream_view view;
	bool successor; /* follows another stream of the table: read from its beginning */
	bool fresh;
	struct lineage *lineage;
	struct subscriber *subs; /* owned array */
	size_t sub_count;
	struct pattern_set *shared; /* owned; what several chains begin with; NULL: nothing */
	size_t shared_count;
	struct pattern_answers answers; /* to the page that is handed out, while `answered` */
	bool answered;
	struct gap_item *gaps;
	size_t open_gaps;
	struct keep_item keep; /* the stream's row */
	bool row_ended;
	size_t rows_pending; /* subscriptions not durable yet */
	struct api_call *call;
	struct backoff backoff;
	struct loop_timer *timer;
	struct loop_timer *halt_timer;
	int64_t first_seen_us;
	char trouble[256];
	uint64_t pages, records, bytes, detaches, call_errors;
	int64_t complete_since;	      /* monotonic: disabled and all read since then; 0: not so */
	unsigned listings_since;      /* complete listings since then */
	const struct stream_row *old; /* borrowed from loaded: a stream whose end was accepted
	                               * while we were down; its rows go */
	struct keep_item old_keep;
	size_t not_found; /* DescribeStream said NOT_FOUND so often in a row */
};

struct pipeline {
	struct loop *loop;
	struct store *store;
	struct pipeline_conf conf;
	struct pipeline_host host;
	struct keeper *keeper;
	struct rate *describe; /* DescribeStream, over all streams */
	struct slot *slots;
	size_t slot_count;
	struct feed *feeds;
	struct loaded *loaded;
	struct line *parked, **parked_tail;
	struct loop_timer *tick;  /* while something is parked */
	struct loop_timer *check; /* looks whether anything is left running */
	uint64_t last_gap_id, last_letter_id;
	struct graves *graves; /* owned; dead_letter.h */
	bool draining, started, ended;
	enum pipeline_end end_how;
	struct err end_why;
	int64_t peak;
	uint64_t dead_letters;
};

/* DescribeStream must say so often in a row that there is no stream. */
#define GONE_ANSWERS 3

/* feed.c */
struct feed *feed_new(struct pipeline *pl, const char *name, struct api *api,
    const struct feed_conf *conf, struct slot *const *slots, size_t count);
void feed_start(struct feed *fd);
void feed_stop(struct feed *fd);  /* drain: no reads any more */
void feed_close(struct feed *fd); /* lanes' sinks are closed, lanes are not */
void feed_set_state(struct feed *fd, enum feed_state to, const char *why);
const char *feed_state_name(enum feed_state s);
int64_t feed_wall(const struct feed *fd); /* the service's clock: creation times compare with it */
bool feed_idle(const struct feed *fd);
void feed_enter_running(struct feed *fd); /* positions are durable, or gaps settled */
void feed_open_stream(struct feed *fd, const char *arn);
void feed_close_stream(struct feed *fd);
void feed_note_trouble(struct feed *fd, const struct api_result *rs);
void feed_close_lines(struct feed *fd); /* nothing of it is read any more */
void feed_stream_is_gone(struct feed *fd);
bool feed_end_noted(const struct feed *fd); /* a gap of the whole stream is in the ledger */

/* follow.c: one stream of a table after the other */
void feed_check_end(struct feed *fd); /* disabled and everything complete? */
void feed_row_durable(struct keep_item *it);
void feed_resolve(void *fd);	   /* the feed's timer */
void feed_resume(struct feed *fd); /* after its last open gap was settled */

/* run.c: one shard of a feed */
struct run *run_new(struct feed *fd, struct shard *sh);
void run_free(struct run *rn);
/* Settles the shard's state from its tracks'; may end the stream. */
void run_changed(struct run *rn, const char *why);
void run_forget_if_over(struct run *rn);
void run_wake_waiting(struct run *rn);
/* Where a sink begins that is new to the stream. */
struct pos
run_first_position(const struct feed *fd, const struct shard *sh, const struct subscriber *sub);

/* track.c: one sink's way through one shard */
void track_link_in(struct track **list, struct track *t);
void track_link_out(struct track *t);
struct pos track_next(const struct track *t); /* where a reader must begin to feed it */
void track_unreserve(struct track *t);
void track_join(struct track *t, struct line *l);
void track_leave(struct track *t); /* off its line; the caller sets the next state */
void track_set_state(struct track *t, enum track_state to, const char *why);
const char *track_state_name(enum track_state s);
void track_make_ready(struct track *t, const char *why);
void track_begin(struct track *t, const struct pos *at); /* position known: waits or is ready */
void track_asked_before(struct track *t);	  /* LATEST or TRIM_HORIZON were asked for once */
struct pos track_position(const struct track *t); /* what is saved */
void track_moved(struct track *t);		  /* its frontier moved */
void track_complete(struct track *t, const char *why);
void track_dropped(struct track *t); /* its lane let go of its records */
/* Before a page changes that: its reader had nothing more, and all is done. */
void track_note_clear(struct track *t);
/* A page went by that it was not given, beginning right behind `before`. */
void track_note_owed(struct track *t, const struct page *page, const struct seq *before);
/* Its stream stands still: no probe waits for its tracks. */
void run_forget_backlog(struct run *rn);

/* attach.c: who rides which line */
void run_assign(struct run *rn);
void run_close_lines(struct run *rn);
/* What is still to begin at LATEST begins at the start, by time. */
void run_give_up_latest(struct run *rn);
void slot_offer(struct slot *sl);	      /* its lane has room or works again */
void slot_kick(struct slot *sl, size_t most); /* wakes parked lines that feed it */
void parked_kick(struct pipeline *pl, size_t most);

/* share.c: patterns that chains of several sinks begin with */
void feed_share_patterns(struct feed *fd); /* once the sinks have their chains */
/* Before a page is handed to a line's tracks, and after it was. */
void line_ask_shared(struct line *l, const struct page *page);
void line_forget_shared(struct line *l);
/* For the lane_take() that follows, of that page or of one that was not asked about. */
void track_use_shared(struct track *t);

/* gaps.c */
void track_lost(struct track *t, enum reader_loss loss);
void track_settle_lost(struct track *t); /* LOST and nothing held: the gap is written */
void track_gap(struct track *t, enum gap_reason reason, const char *shard);
void track_first_after_gap(struct track *t, const struct seq *first);
/* Begins at the trim horizon because of a gap that was settled in an earlier run? */
void track_find_gap(struct track *t);
void feed_halt(struct feed *fd); /* if gaps are open: on-gap: halt */
/* A gap of a whole stream, for one sink. */
void feed_gap(struct feed *fd, struct subscriber *sub, enum gap_reason reason);
void feed_gap_loaded(struct feed *fd, const struct gap *g);
int feed_gap_accept(struct feed *fd, struct gap_item *gi, struct err *e) MUST_CHECK;
void feed_gaps_close(struct feed *fd);

/* loaded.c: what the store held at start */
struct loaded *loaded_new(void);
void loaded_close(struct loaded *ld);
/* letter: of each dead letter, none of which is kept here. */
int loaded_read(struct loaded *ld, struct store *store,
    void (*letter)(void *arg, const struct dead_letter *d), void *arg, struct err *e) MUST_CHECK;
uint64_t loaded_last_gap(const struct loaded *ld);
uint64_t loaded_last_letter(const struct loaded *ld); /* highest id ever given */
/* The oldest stream of that name and table that is not ended; NULL: none. */
const struct stream_row *
loaded_stream(const struct loaded *ld, const char *name, const char *table);
/* A gap of the whole stream was settled: it was replaced, or is gone. */
bool loaded_stream_over(const struct loaded *ld, const char *arn);
/* One of that name and table whose row does not say yet that it is over. */
const struct stream_row *
loaded_replaced(const struct loaded *ld, const char *name, const char *table);
/* The newest stream of that name and table that is over; NULL: none. */
const struct stream_row *
loaded_predecessor(const struct loaded *ld, const char *name, const char *table);
const struct subscription_row *
loaded_subscription(const struct loaded *ld, const char *arn, const char *sink);
const struct position_row *
loaded_position(const struct loaded *ld, const char *arn, const char *shard, const char *sink);
/* A settled gap has moved a position, or ended a stream, before its feed was opened. */
void loaded_set_position(
    struct loaded *ld, const char *arn, const char *shard, const char *sink, const struct pos *pos);
void loaded_each_shard(const struct loaded *ld, const char *arn,
    void (*fn)(void *arg, const struct shard_row *r), void *arg);
void loaded_each_gap(const struct loaded *ld, const char *arn,
    void (*fn)(void *arg, const struct gap *g), void *arg);

/* pipeline.c */
void pipeline_check(struct pipeline *pl); /* soon: is anything left running? */
void pipeline_fail(struct pipeline *pl, enum pipeline_end how, const struct err *why);

#endif
