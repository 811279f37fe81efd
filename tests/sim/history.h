/* tests/sim/history.h - what the service would know: tables, their streams,
 * shards and records, with the time of everything.
 *
 *   scenario --history_new()--> all of it, made beforehand
 *   api_sim asks: what is there, listed, trimmed, gone at `now`?
 *
 * The whole history is drawn before the run and never depends on what the core
 * does: a seed's events are the same with a mended and with a broken core, and
 * "evolving in time" is a comparison of stamps. Keys live on a ring of slots;
 * a shard owns a range of it, a split halves the range, so every change of a
 * key is in one lineage, in order.
 *
 * Ownership: all of it belongs to the history; nothing changes after
 * history_new() but `frozen_at`.
 */
#ifndef SIM_HISTORY_H
#define SIM_HISTORY_H

#include "streams/api.h"
#include "tests/sim/scenario.h"

struct h_shard;

struct h_event {
	struct h_shard *shard;
	int64_t at;	    /* virtual time of the write */
	int64_t created_us; /* wall, floored to the second, as the record says */
	unsigned id;	    /* over the whole history */
	unsigned index;	    /* in its shard */
	unsigned key;	    /* in its table */
	unsigned key_index; /* the how-manieth change of that key */
	struct seq seq;
	size_t json_at, json_n; /* in history.text */
};

struct h_stream;

struct h_shard {
	unsigned number; /* over the whole history; the end of its id */
	char id[LIMIT_SHARD_ID + 1];
	struct h_stream *stream;
	struct h_shard *parent;
	struct h_shard *child[2];
	int64_t born, closed; /* closed: SIM_FOREVER while it stays open */
	int64_t listed_from;  /* a listing may show it */
	int64_t end_shown;    /* a listing shows that it is closed */
	int64_t gone_at;      /* no listing shows it, no call knows it */
	struct seq start, end;
	uint64_t counter; /* last number given out, without its tail */
	unsigned slot_low, slot_high;
	int64_t life_ends; /* when it is due to give way */
	uint64_t list_order;
	unsigned *events; /* owned: ids */
	unsigned count, cap;
};

struct h_table;

struct h_stream {
	unsigned number;
	struct h_table *table;
	unsigned turn; /* 0: the table's first */
	char arn[160];
	char label[40];
	int64_t created, disabled, gone_at;
};

struct h_table {
	unsigned number;
	char name[16];
	bool sort_key;
	unsigned first_key, keys; /* in the numbering of all keys */
	unsigned first_stream, streams;
};

struct history {
	const struct scenario *sc;
	int64_t start;	   /* virtual time of the beginning of the run */
	int64_t frozen_at; /* nothing is trimmed any more after it; the calm part */
	struct h_table table[SIM_TABLES];
	struct h_stream *stream; /* owned arrays, sized beforehand: nothing moves */
	struct h_shard *shard;
	struct h_event *event;
	unsigned streams, shards, events, keys;
	struct buf text; /* owned: the records' JSON */
	unsigned splits, rotations;
};

struct history *history_new(const struct scenario *sc, int64_t start);
void history_close(struct history *h);

/* Looks a shard up by its whole id; NULL if the history has none such. */
struct h_shard *history_shard(struct history *h, const char *id);
struct h_stream *history_stream(struct history *h, const char *arn);
/* Exact number; NULL if the shard never had it. */
struct h_event *history_event(struct history *h, const struct h_shard *sh, const struct seq *seq);
/* How many of the shard's events have a number at or below seq. */
unsigned history_rank(const struct history *h, const struct h_shard *sh, const struct seq *seq);
/* The same by time: written at or before `when`. */
unsigned history_written(const struct history *h, const struct h_shard *sh, int64_t when);
/* Index of the oldest event that is not trimmed; count if all are. */
unsigned history_horizon(const struct history *h, const struct h_shard *sh, int64_t now);

static inline struct h_event *
history_at(const struct history *h, const struct h_shard *sh, unsigned index)
{
	return &h->event[sh->events[index]];
}

static inline struct slice
history_json(const struct history *h, const struct h_event *ev)
{
	return (struct slice){h->text.p + ev->json_at, ev->json_n};
}

static inline int64_t
history_trim_clock(const struct history *h, int64_t now)
{
	return now < h->frozen_at ? now : h->frozen_at;
}

static inline bool
history_trimmed(const struct history *h, const struct h_event *ev, int64_t now)
{
	return ev->at + h->sc->retention_us <= history_trim_clock(h, now);
}

static inline bool
history_gone(const struct history *h, const struct h_shard *sh, int64_t now)
{
	return sh->gone_at <= history_trim_clock(h, now);
}

#endif
