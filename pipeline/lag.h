/* pipeline/lag.h - how far behind a sink is in a shard, and how long that may
 * go on before the service trims what it was not given.
 *
 *   created:  . . . . delivered . . . owed . . . . . now
 *                        '----- iterator age --------'
 *                                      '- delivery --'
 *
 * Three figures, because one cannot be honest: of a sink that is down nothing is
 * held and nothing is read, so the next record it is owed may not be known; then everything
 * behind the last that was delivered is suspect, and the alarm is early rather than late.
 *
 * Times are microseconds of the service's clock since 1970, ages are seconds, never
 * negative. Creation times are to the second at the service, to the minute in DynamoDB
 * Local: ages are right to that. Threading: none.
 */
#ifndef PIPELINE_LAG_H
#define PIPELINE_LAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* DynamoDB Streams keeps a record that long (and some hours more, which nobody promises). */
#define LAG_RETENTION_S 86400

struct lag_facts {
	int64_t now_us;
	/* Everything created before it has been delivered. */
	int64_t delivered_us;
	/* Creation of the oldest record that is known and not delivered; 0: none is known. */
	int64_t owed_us;
	/* The service has just said that there is nothing more, and all is delivered. */
	bool clear;
};

struct lag {
	double iterator_age; /* of all that was delivered; 0: there is nothing more */
	double delivery_age; /* of the oldest record known to be owed; 0: none */
	double until_trim;   /* retention less the age of the oldest that may be owed; 0: overdue */
	bool clear;
};

void lag_of(const struct lag_facts *f, struct lag *out);
/* When a shard was made, by the milliseconds in its id ("shardId-00000001414562045508-..."):
 * nothing in it is older. 0: the id does not say, or what it says is after now. */
int64_t lag_shard_birth(const char *shard, int64_t now_us);

struct lag_sum {	  /* over shards */
	struct lag worst; /* each figure by itself; clear: all are */
	size_t shards;
	bool known; /* else the shards have not been listed yet, and nobody can say */
};
#define LAG_SUM_INIT ((struct lag_sum){.worst = {.until_trim = LAG_RETENTION_S, .clear = true}})
void lag_add(struct lag_sum *sum, const struct lag *one);

struct feed;
struct pipeline;
struct track;

/* False: it is not the one to ask. Its position is not known yet; or it is finished, and what
 * follows it speaks for itself. */
bool lag_of_track(const struct track *t, struct lag *out);
/* Over the shards of a feed's i-th sink. */
struct lag_sum lag_of_sink(const struct feed *fd, size_t i);

struct lag_row {
	const struct track *track; /* borrowed; until the loop turns */
	struct lag lag;
};
/* The shards and sinks with the least time until the trim, worst first; at
 * most `most`. Returns how many. */
size_t lag_worst(const struct pipeline *pl, struct lag_row *rows, size_t most);

#endif
