/* bench/drive.h - pages from memory through a lane into a sink, as fast as it goes.
 *
 *   bodies of GetRecords answers -> page_parse() -> lane -> sink -> target
 *
 * Everything that the daemon does but the reading from the network: scanning,
 * keys, order, batches, encoding, delivery, reports. Bodies are made before the
 * clock starts. Any refusal, halt or open breaker ends the program: a bench
 * that retries measures something else.
 */
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include "pipeline/pipeline.h"

struct drive {
	const struct sink_ops *ops;
	const void *conf;	      /* filled by ops->keys; see drive_conf() */
	unsigned records;	      /* all in all, and one page more to warm up: connections,
				       * prepared statements and metadata are not timed */
	unsigned keys;		      /* items they belong to, in turn: the first round inserts */
	int64_t share;		      /* bytes of pages held; 0: 32 MiB */
	const struct lane_conf *lane; /* NULL: the defaults */
};

struct drive_result {
	double seconds;	    /* from the first page behind the warm-up to the last ACK */
	double cpu_seconds; /* of this process, all threads */
	uint64_t batches;
	int64_t bytes; /* of records as they came */
};

/* The origin of all records: stream and table "bench", key attribute "pk" of type S. */
extern const struct origin drive_origin;

/* A sink's configuration from YAML text ("brokers: ...\ntopic: t\n"). The caller
 * frees with conf_wipe() and free(). Ends the program on an error. */
void *drive_conf(const struct sink_ops *ops, const char *yaml);
void drive_lane_conf(struct lane_conf *out, const char *yaml);

/* Medium records: some 1 kB on the wire, 12 attributes, both images, about two
 * attributes changed; numbered from first on. One GetRecords body of count. */
void drive_body(struct buf *out, unsigned first, unsigned count, unsigned keys);

/* The numbers after `first` must not have been used at a target that remembers them.
 * Ends the program on a failure. */
void drive_run(const struct drive *d, unsigned first, struct drive_result *out);

double drive_now(void);		   /* monotonic seconds */
int64_t drive_peak_resident(void); /* bytes, VmHWM of this process */

#endif
