/* streams/lineage.h - the shard graph of one stream, kept up to date.
 *
 *    DescribeStream pages --merge--> graph --found()/unlisted()/listed()--> host
 *
 * Lists on start, every `list_interval`, and when a shard's end was reached
 * without a child being known: first CHILD_SHARDS for that shard; on any error, an answer
 * without children, or one that ignores the filter (shards that are no children of
 * it), the full paged list, again with back-off until a child appears or the
 * stream is DISABLED. All shards that wait so share one listing. Listings are
 * paged, unordered, late and inconsistent: nothing is told before a listing is
 * complete, a page that fails is asked for again, a listing that contradicts itself is begun
 * again later, and neither removes anything. All calls go through the
 * DescribeStream budget given.
 *
 * Absence is believed slowly. A shard is `unlisted` after it was missing from two complete
 * listings in a row, at least 10 s apart, and for 10 minutes if it is COMPLETE: forgetting a
 * finished shard that then comes back in a late listing would read it again. A
 * shard whose named parent is in no listing is held back for one more listing
 * before it is found() as SHARD_ORPHAN.
 *
 * Does not read records, and does not know sinks or positions.
 * Threading: loop thread. Callbacks come from the loop, never from inside a
 * call into lineage; the host may call anything here from them, lineage_close()
 * included.
 */
#ifndef STREAMS_LINEAGE_H
#define STREAMS_LINEAGE_H

#include "streams/api.h"
#include "streams/rate.h"
#include "streams/shard.h"

struct lineage;

struct lineage_known { /* a shard from the store */
	const char *id;
	const char *parent; /* "" or NULL: none */
	struct seq start;   /* may be unset */
	bool complete;	    /* every sink is done: state COMPLETE, not announced as readable */
};

struct lineage_host {
	void *ctx;
	/* A shard is in the graph; parents before children (a parent that was
	 * listed only after its child comes after it). Not called for shards
	 * that were known: those are there from lineage_new() on, COMPLETE or
	 * DISCOVERED, in lineage_first(). */
	void (*found)(void *ctx, struct shard *sh);
	/* A complete listing was merged, and what it found and lacked was told.
	 * first: of this run. info: stream view, key schema, status (of its last page). */
	void (*listed)(void *ctx, bool first, const struct api_stream *info);
	/* Was listed, or known from the store, and is not in a complete listing
	 * (confirmed by a second one, since listings are eventually consistent). */
	void (*unlisted)(void *ctx, struct shard *sh);
	/* A call failed; retried by lineage itself, with back-off (rs says why).
	 * API_NOT_FOUND: the stream itself is not there (any more). */
	void (*trouble)(void *ctx, const struct api_result *rs);
};

struct lineage_conf {
	int64_t list_interval_us; /* full re-list; default 60 s, longer for many shards:
	                           * at least pages/5 s * 10 */
};

/* fresh: nothing is known of this stream; the first listing's shards get
 * SHARD_FIRST. arn and known are copied; api, describe (the shared budget)
 * and loop borrowed. */
struct lineage *lineage_new(struct loop *lp, struct api *api, struct rate *describe,
    const struct lineage_conf *conf, const char *arn, bool fresh, const struct lineage_known *known,
    size_t known_count, const struct lineage_host *host);
void lineage_close(struct lineage *ln);
void lineage_start(struct lineage *ln);
/* A reader reached the shard's null iterator: its children are wanted. */
void lineage_shard_ended(struct lineage *ln, struct shard *sh);
/* List again soon (a reader was told the shard is gone). The host hears
 * `unlisted` (also for what was unlisted before) or that it is `listed`. */
void lineage_refresh(struct lineage *ln);
/* Takes a COMPLETE (or GAP-passed) and unlisted shard out of the graph and
 * frees it. Its children stay, without a parent. */
void lineage_forget(struct lineage *ln, struct shard *sh);
struct shard *lineage_first(struct lineage *ln); /* walk with ->next */
struct shard *lineage_find(struct lineage *ln, const char *id);
bool lineage_listed_once(const struct lineage *ln);
/* DISABLED (or DISABLING) at the last listing: a closed leaf is the end. */
bool lineage_disabled(const struct lineage *ln);

#endif
