/* slipring/plugin.h - a filter in a shared object of your own, `type: plugin`.
 *
 *   Slipring --dlopen--> your.so: slipring_plugin --open()--> state
 *   for each change: apply(state, record) -> KEEP, DROP or REJECT
 *
 * This file is all that is needed to build one; it includes nothing of Slipring's
 * and nothing with a size of its own (no FILE, no errno, no malloc across the border).
 * The manual is docs/plugin.md.
 *
 * Texts: bytes with a length are UTF-8 JSON that is not NUL-terminated; `const char *`
 * is NUL-terminated UTF-8.
 * Ownership: whoever allocated a thing frees it. What the host hands out is borrowed,
 * until apply() (or open()) returns, and an image only until it is replaced. What the
 * host is given it has copied when the call returns.
 * Threading: all calls come from one thread, the only one that may call the host, and
 * only from inside open() and apply(). That thread does all of the daemon's work:
 * nothing may block in it.
 *
 * Versions: `abi` changes when a plug-in has to be built anew. Members are added at the
 * end of a struct without that; its `size` tells what is there (SLIPRING_HAS).
 */
#ifndef SLIPRING_PLUGIN_H
#define SLIPRING_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SLIPRING_PLUGIN_ABI 1u

/* Does the other side know this member? Only needed for members of a later release than
 * the oldest one a plug-in wants to run in; those below are all of release 0.1. */
#define SLIPRING_HAS(table, member)                                                                \
	((size_t)(table)->size >=                                                                  \
	    (size_t)((const char *)&(table)->member - (const char *)(table)) +                     \
		sizeof((table)->member))

/* The answers of apply(). Zero is none of them. */
#define SLIPRING_KEEP 1u   /* with the images that were replaced, if any */
#define SLIPRING_DROP 2u   /* the sink does not get it */
#define SLIPRING_REJECT 3u /* a dead letter; the answer of reject() */

#define SLIPRING_UNKNOWN 0u /* an event of a name that is none of these */
#define SLIPRING_INSERT 1u
#define SLIPRING_MODIFY 2u
#define SLIPRING_REMOVE 3u

/* The parts of a record. */
#define SLIPRING_KEYS 0u
#define SLIPRING_NEW 1u
#define SLIPRING_OLD 2u

/* Levels of log(). */
#define SLIPRING_ERROR 0u
#define SLIPRING_WARN 1u
#define SLIPRING_INFO 2u
#define SLIPRING_DEBUG 3u

/* Borrowed bytes. Absent: p is NULL. */
struct slipring_text {
	const char *p;
	size_t n;
};

struct slipring_record; /* one change; valid during apply() */
struct slipring_filter; /* this filter of one sink */

/* What the host does for a plug-in. No function fails by anything but its result. */
struct slipring_host {
	uint32_t abi;  /* the host's SLIPRING_PLUGIN_ABI */
	uint32_t size; /* of this struct in the host */

	uint32_t (*event)(const struct slipring_record *r);
	/* Microseconds since 1970, as the service says; 0: it did not. */
	int64_t (*time_us)(const struct slipring_record *r);
	/* 1: removed by time to live; 0: not. */
	int (*expired)(const struct slipring_record *r);
	/* Decimal, up to 40 digits; in one shard later changes have larger numbers. */
	struct slipring_text (*sequence)(const struct slipring_record *r);
	/* The configuration's name for the stream, and the table's. */
	struct slipring_text (*stream)(const struct slipring_record *r);
	struct slipring_text (*table)(const struct slipring_record *r);

	/* SLIPRING_KEYS, _NEW or _OLD as DynamoDB JSON: {"id":{"S":"a"},...}. */
	struct slipring_text (*image)(const struct slipring_record *r, uint32_t which);
	/* One attribute of it by its name: {"S":"a"}. Dots are part of the name. */
	struct slipring_text (*attribute)(
	    const struct slipring_record *r, uint32_t which, const char *name);
	/* Further down from such a value: of an M by name, of an L from 0. */
	struct slipring_text (*member)(struct slipring_text value, const char *name);
	struct slipring_text (*element)(struct slipring_text value, size_t index);
	/* The text of an S, N or B ({"S":"a\u0062"} is ab; B stays base64), not terminated.
	 * -1: the value is none of these. More than room: nothing to be relied on was
	 * written, and that much room is enough. */
	int64_t (*string)(struct slipring_text value, char *out, size_t room);

	/* Another image (_NEW or _OLD) in the place of one that is there: DynamoDB JSON with
	 * the key attributes as they were. 0, or -1 if it is not that: the record is then
	 * rejected, whatever apply() answers. */
	int (*replace)(struct slipring_record *r, uint32_t which, struct slipring_text json);
	/* return host->reject(r, "why"): the reason stands in the dead letter. */
	uint32_t (*reject)(struct slipring_record *r, const char *why);
	/* One line of the daemon's log. No contents of records, no secrets. */
	void (*log)(struct slipring_filter *f, uint32_t level, const char *line);
};

/* What open() is given; valid until it returns, but for host and filter, which stay
 * until close(). */
struct slipring_setup {
	uint32_t size;
	const struct slipring_host *host;
	struct slipring_filter *filter; /* for log() */
	const char *name;		/* of the filter in the configuration */
	/* `options:` of the configuration, in the order written. */
	size_t option_count;
	const char *const *option_names;
	const char *const *option_values;
	/* Where to say why open() failed: one line, NUL-terminated, why_room bytes. */
	char *why;
	size_t why_room;
};

/* The one symbol: `const struct slipring_plugin slipring_plugin = {...};` */
struct slipring_plugin {
	uint32_t abi;	     /* SLIPRING_PLUGIN_ABI */
	uint32_t size;	     /* sizeof(struct slipring_plugin) */
	const char *release; /* name and version for the log: "mask 1.2" */
	/* 0 with *state set to anything, or not 0. Once for each sink that names the filter;
	 * may read files. */
	int (*open)(const struct slipring_setup *setup, void **state);
	uint32_t (*apply)(void *state, struct slipring_record *r);
	/* Once for each open() that returned 0. */
	void (*close)(void *state);
};

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const struct slipring_plugin slipring_plugin;

#ifdef __cplusplus
}
#endif

#endif
