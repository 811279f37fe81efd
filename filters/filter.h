/* filters/filter.h - contract between the pipeline and one filter.
 *
 *   record --filter--> filter--> ... --> lane of one sink
 *              |
 *              |-- DROP: done for that sink, counted
 *              '-- REJECT: as if the sink had refused it: `on-reject`, the brake
 *
 * A filter looks at one change and keeps, drops or rewrites it, or cannot. It is synchronous and
 * does no I/O after open(): what it needs (a key file, a script) is read there. Each
 * sink that names a filter has an instance of its own.
 *
 * Threading: loop thread. conf outlives the filter.
 */
#ifndef FILTERS_FILTER_H
#define FILTERS_FILTER_H

#include "base/conf.h"
#include "base/err.h"
#include "record/record.h"

#define FILTER_API 1u

enum filter_verdict {
	FILTER_KEEP,
	FILTER_DROP,
	FILTER_REWRITE, /* kept, with other keys or images */
	/* It cannot be done, and trying again would not help. The lane treats the record as
	 * one that its sink refused, and keeps it as it came, before any filter: a replay
	 * of that dead letter passes the whole chain again. */
	FILTER_REJECT,
};

struct filter;
struct pattern;

struct filter_stream {		  /* what is known of a stream without reading it */
	struct key_schema schema; /* names of the key attributes; NULL: not known */
	const char *view;	  /* "NEW_AND_OLD_IMAGES", ...; "unknown" */
};

struct filter_ops {
	unsigned api;	  /* FILTER_API it was built against */
	const char *type; /* the word used in conf/: "pattern" */
	const char *help; /* one line for slipring config --reference */
	size_t conf_size;
	const struct conf_key *keys;

	/* Pure, no I/O: what one key alone cannot show to be wrong. Optional. */
	int (*check)(const void *conf, struct err *e) MUST_CHECK;
	/* Appends what the operator should know about a configuration that is valid but
	 * hardly meant, for slipring check. Pure, called after check(). Optional. */
	void (*remark)(const void *conf, struct buf *out);
	/* Can this work on the records of that stream? For slipring check --connect; in the
	 * daemon it is for apply() to see. ERR_CONFIG. Pure. Optional. */
	int (*suits)(const void *conf, const struct filter_stream *s, struct err *e) MUST_CHECK;
	/* ERR_CONFIG, ERR_IO: the daemon does not start. */
	int (*open)(
	    struct filter **out, const char *name, const void *conf, struct err *e) MUST_CHECK;
	/* r is the caller's copy. REWRITE: keys, new_image or old_image point to other
	 * DynamoDB JSON, route to the raw inside of a JSON string, in memory of the filter's that
	 * stays until its next apply(). Everything else of r is left alone. What is no DynamoDB JSON, or too large, is found out later
	 * and makes a REJECT of that record. REJECT: *why says what and where, never what the
	 * record holds: it goes to the log. It is not touched otherwise, and never NULL. */
	enum filter_verdict (*apply)(
	    struct filter *f, struct record *r, const struct origin *o, struct err *why);
	void (*close)(struct filter *f); /* NULL allowed */
	/* The pattern that decides alone, KEEP where it matches and else DROP: those of several
	 * sinks are asked together (pattern_set.h). The filter's, until close(). NULL: there is
	 * more to it. Optional. */
	struct pattern *(*pattern)(const struct filter *f);
};

extern const struct filter_ops filter_pattern, filter_project, filter_rename, filter_set,
    filter_flatten, filter_encrypt, filter_redact, filter_route, filter_sample, filter_dedupe,
    filter_limit, filter_plugin, filter_script;
/* All of the program, NULL-terminated (filters/registry.c). */
extern const struct filter_ops *const filter_registry[];

#endif
