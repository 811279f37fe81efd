/* daemon/rows.h - what a store holds, as arrays, for commands that look at it.
 *
 * The store hands out rows one by one, in no particular order and with
 * borrowed strings; positions and gaps are shown by the name of their stream, so all of it
 * is needed first. Owned strings throughout.
 */
#ifndef DAEMON_ROWS_H
#define DAEMON_ROWS_H

#include "checkpoint/store.h"
#include "daemon/command.h"

struct rows_of_stream {
	char *arn, *stream;
	bool ended;
};

struct rows_of_shard {
	char *arn, *shard;
	struct seq start;
};

struct rows_of_position { /* also subscriptions: shard NULL */
	char *arn, *shard, *sink;
	struct pos pos;
	int64_t updated_us;
};

struct rows {
	struct rows_of_stream *streams;
	size_t stream_count;
	struct rows_of_shard *shards;
	size_t shard_count;
	struct rows_of_position *positions; /* sorted by stream, shard, sink */
	size_t position_count;
	struct rows_of_position *subscriptions;
	size_t subscription_count;
	struct gap *gaps; /* sorted by id */
	size_t gap_count;
	size_t dead_letters;
};

int rows_load(struct rows *r, struct store *s, struct err *e) MUST_CHECK;
void rows_close(struct rows *r);
/* A `list` command: the store of --config, read only, by json() with --json, else by
 * text(). Returns the exit code; what failed was said. */
int rows_list(
    const struct args *a, void (*json)(const struct rows *r), void (*text)(const struct rows *r));
/* Our name for the stream; its ARN if the store knows none. */
const char *rows_stream(const struct rows *r, const char *arn);
bool rows_subscribed(const struct rows *r, const char *arn, const char *sink);
const struct rows_of_position *
rows_position(const struct rows *r, const char *arn, const char *shard, const char *sink);
/* Wall clock, for rows written by a command, which has no loop. */
int64_t rows_now(void);
/* "after", "complete", ... */
const char *pos_word(enum pos_kind k);

#endif
