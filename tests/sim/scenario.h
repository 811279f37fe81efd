/* tests/sim/scenario.h - everything a seed decides before the first step.
 *
 * Compact on purpose: a day of the service is scaled down to minutes
 * (lifetimes of shards, records and iterators are drawn in proportion to the
 * run), so that trims, expiries and rotations really happen while a seed still
 * costs some tens of milliseconds.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "base/random.h"
#include "pipeline/pipeline.h"

#define SIM_TABLES 2u
#define SIM_SINKS 4u
#define SIM_OUTAGES 4u
#define SIM_CRASHES 6u
#define SIM_STORMS 3u
#define SIM_FOREVER (INT64_C(1) << 60)

/* Chances are out of 1000 answers. */
struct api_faults {
	unsigned throttled, limited, server, transport, malformed, auth, not_found;
	unsigned empty;	       /* a page without records though there are some */
	unsigned served_twice; /* a page that begins with what was served before */
	unsigned late;	       /* an answer that takes seconds, not milliseconds */
	unsigned cursor;       /* a listing page that names the cursor it was asked with */
	unsigned omitted;      /* a shard left out of one listing */
	unsigned refused, ignored, childless; /* CHILD_SHARDS */
	int64_t late_us;
};

enum outage_kind { OUTAGE_RETRY, OUTAGE_FULL, OUTAGE_SILENT, OUTAGE_HALT, OUTAGE_REJECT };

struct span {
	int64_t from, to; /* virtual time since the start of the run */
};

struct outage {
	struct span when;
	enum outage_kind kind;
};

struct sink_scenario {
	unsigned tables; /* bit per table it is fed from */
	bool key_order;
	bool shard_order;			 /* with key_order: of the whole shard */
	bool splits;				 /* refuses requests, not records */
	unsigned request_count;			 /* records a request; a submit may be several */
	int64_t answer_us;			 /* typical time until an answer */
	unsigned capacity;			 /* in flight before FULL */
	unsigned retry, reject, full, ambiguous; /* out of 1000 */
	struct outage outages[SIM_OUTAGES];
	unsigned outage_count;
	struct lane_conf lane;
	struct {
		bool on;
		unsigned drop, rewrite, refuse; /* out of 1000 events */
	} filter;
};

struct table_scenario {
	unsigned roots, keys, writes, max_shards;
	int64_t shard_life_us; /* mean */
	unsigned split;	       /* of 100 shard ends */
	int64_t child_late_us; /* most */
	int64_t end_late_us;   /* most: the listing shows a closed shard as open */
	int64_t enabling_us;
	unsigned replaced; /* streams that follow the first */
	bool disabled_at_end;
	bool small_numbers; /* DynamoDB Local's: 21 digits, zero-padded */
	bool by_arn;
	bool refuses_at; /* AT a shard's start is a ValidationException */
	struct feed_conf feed;
};

struct scenario {
	uint64_t seed;
	int64_t length_us; /* of the writing part */
	int64_t retention_us;
	int64_t iterator_us;
	bool trim_strict;   /* AFTER the last trimmed record is "trimmed" too */
	bool page_end_null; /* the last page of a shard may carry records */
	unsigned list_page;
	unsigned page_weight; /* a page claims so many times its memory: small ones press too */
	unsigned tables, sinks;
	struct table_scenario table[SIM_TABLES];
	struct sink_scenario sink[SIM_SINKS];
	struct api_faults faults;
	struct span storms[SIM_STORMS];
	unsigned storm_count;
	struct pipeline_conf pipeline;
	struct {
		uint64_t steps; /* after so many steps of this life */
		int64_t pause_us;
		bool drain; /* ask nicely first */
	} crash[SIM_CRASHES];
	unsigned crash_count;
	int64_t accept_us; /* how long an operator takes to accept a gap */
	int64_t commit_us;
	unsigned store_failures; /* out of 1000 commits */
	unsigned clock_jumps;	 /* in the run */
	bool aged;		 /* at the end, let everything be trimmed and look at the state */
};

void scenario_draw(struct scenario *sc, uint64_t seed);

/* Out of 1000. */
static inline bool
chance(struct rng *r, unsigned of_1000)
{
	return of_1000 != 0 && rng_below(r, 1000) < of_1000;
}

static inline int64_t
between(struct rng *r, int64_t low, int64_t high)
{
	return high <= low ? low : low + (int64_t)rng_below(r, (uint64_t)(high - low) + 1);
}

/* Evenly over orders of magnitude. */
int64_t log_between(struct rng *r, int64_t low, int64_t high);

#endif
