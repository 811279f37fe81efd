/* tests/sim/totals.h - what a run met, counted, so that "20,000 seeds passed"
 * also says how many splits, trims and crashes that was. One line a counter.
 */
#ifndef SIM_TOTALS_H
#define SIM_TOTALS_H

#include <stdint.h>

#define TOTALS(X)                                                                                  \
	X(SEEDS, "seeds")                                                                          \
	X(EVENTS, "events")                                                                        \
	X(DELIVERIES, "deliveries")                                                                \
	X(REPEATS, "repeats")                                                                      \
	X(SHARDS, "shards")                                                                        \
	X(SPLITS, "splits")                                                                        \
	X(ROTATIONS, "rotations")                                                                  \
	X(REPLACED, "streams replaced")                                                            \
	X(TRIMS, "trims")                                                                          \
	X(GONE, "shards gone")                                                                     \
	X(EXPIRIES, "expired iterators")                                                           \
	X(CRASHES, "crashes")                                                                      \
	X(DRAINS, "drains")                                                                        \
	X(THROTTLED, "throttled")                                                                  \
	X(LIMITED, "limit exceeded")                                                               \
	X(SERVER, "server errors")                                                                 \
	X(TRANSPORT, "transport errors")                                                           \
	X(MALFORMED, "malformed answers")                                                          \
	X(AUTH, "auth errors")                                                                     \
	X(NOT_FOUND, "false not-founds")                                                           \
	X(EMPTY, "empty pages before data")                                                        \
	X(SERVED_TWICE, "records served twice")                                                    \
	X(OMITTED, "shards left out of a listing")                                                 \
	X(LISTED_LATE, "shards listed late")                                                       \
	X(FILTER_ODD, "CHILD_SHARDS refused, ignored or empty")                                    \
	X(CURSORS, "listing cursors that stood still")                                             \
	X(SINK_RETRIES, "sink retries")                                                            \
	X(SINK_REJECTS, "sink rejects")                                                            \
	X(SINK_SPLITS, "requests' records refused as a whole")                                     \
	X(SINK_BRAKES, "sinks halted for what they refused")                                       \
	X(RESUMES, "resumes")                                                                      \
	X(SKIPPED, "refused and left out")                                                         \
	X(FILTERED, "left out by filters")                                                         \
	X(FILTER_REFUSED, "refused by filters")                                                    \
	X(GIVEN_UP, "given up")                                                                    \
	X(SINK_HALTS, "sink halts")                                                                \
	X(SINK_FULLS, "sink full")                                                                 \
	X(OUTAGES, "sink outages")                                                                 \
	X(STORE_COMMITS, "commits")                                                                \
	X(STORE_FAILURES, "failed commits")                                                        \
	X(CLOCK_JUMPS, "clock jumps")                                                              \
	X(GAPS, "gaps")                                                                            \
	X(GAPS_ACCEPTED, "gaps accepted")                                                          \
	X(DEAD_LETTERS, "dead letters")                                                            \
	X(REPLAYS, "replays")                                                                      \
	X(DETACHES, "detaches")                                                                    \
	X(EXCUSED, "events under a gap")                                                           \
	X(UNSEEN, "events nobody could know of")                                                   \
	X(READS, "GetRecords")                                                                     \
	X(DESCRIBES, "DescribeStream")                                                             \
	X(STEPS, "steps")                                                                          \
	X(VIRTUAL_S, "virtual seconds")                                                            \
	X(LOST, "lost")                                                                            \
	X(REORDERED, "reordered")                                                                  \
	X(EARLY, "acked early")                                                                    \
	X(OTHER, "other violations")

enum total {
#define X(name, text) T_##name,
	TOTALS(X)
#undef X
	    T_COUNT
};

struct totals {
	uint64_t n[T_COUNT];
};

#endif
