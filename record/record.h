/* record/record.h - a change, and the page of changes it came in.
 *
 * A page owns the bytes of one GetRecords answer and an array of records,
 * each a handful of slices into those bytes; nothing is allocated per record.
 * Slices of JSON values include their braces or quotes and are raw: escapes
 * are as they came. Every slice has been bounds-checked and is well-formed
 * JSON (depth, UTF-8, escapes), so that the walkers in value.h need not fail.
 *
 * Ownership: reference counted, one reference to the caller of page_parse().
 * Threading: built and counted on the loop thread; a sink's own thread may
 * read while it holds a reference taken for it.
 */
#ifndef RECORD_RECORD_H
#define RECORD_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "record/sequence.h"

enum record_event { RECORD_UNKNOWN, RECORD_INSERT, RECORD_MODIFY, RECORD_REMOVE };

enum {
	RECORD_TTL = 1u << 0,	  /* userIdentity is Service / dynamodb.amazonaws.com */
	RECORD_NO_TIME = 1u << 1, /* ApproximateCreationDateTime absent or unreadable */
};

struct page;

struct record {
	const struct page *page; /* borrowed */
	struct slice raw;	 /* the whole object */
	struct slice event_id;	 /* between the quotes, raw; absent: p == NULL */
	struct slice event_name; /* between the quotes, raw */
	struct slice keys;	 /* {"pk":{"S":"a"}}; always there */
	struct slice new_image;	 /* absent: p == NULL */
	struct slice old_image;
	struct slice user_identity; /* the object; absent or null: p == NULL */
	struct slice view_type;	    /* between the quotes */
	/* Where filters send it: a name of the sink's, raw, from a member of ours that record_write()
	 * puts behind the service's own. Absent: where the sink says. */
	struct slice route;
	struct seq seq;
	int64_t created_us; /* since 1970; 0 with RECORD_NO_TIME */
	enum record_event event;
	unsigned flags;
	bool seek; /* keys and images may be searched while they lie in raw: seek.h */
};

struct page {
	uint32_t refs;
	size_t count;
	struct record *records;	    /* owned */
	struct buf body;	    /* owned; what the slices point into */
	bool ours;		    /* of page_of_records(): the service does not set routes */
	bool has_next;		    /* false: the shard is closed and read to its end */
	struct slice next_iterator; /* unescaped; in body or in scratch */
	char *scratch;		    /* owned; unescaped iterator when it had escapes */
	size_t bytes;		    /* what the page costs in memory, for credit */
	int64_t read_us;	    /* wall clock when it was read; set by the reader */
};

/* Takes over body (*body is reset, its maximum kept) whether it succeeds or
 * not. ERR_PROTOCOL with the byte offset if the body is not a GetRecords
 * answer by the rules of scan.c; ERR_LIMIT over depth or record count;
 * both retriable (a cut or mangled answer is asked for again). */
int page_parse(struct page **out, struct buf *body, struct err *e) MUST_CHECK;
/* A page of whole records (struct record's raw) that were kept elsewhere, in that order; with
 * their routes. */
int
page_of_records(struct page **out, const struct slice *raw, size_t count, struct err *e) MUST_CHECK;
struct page *page_ref(struct page *p);
void page_unref(struct page *p); /* NULL allowed */

/* Where a record came from: what formats, keys and sinks want to know beside
 * the record itself. Borrowed strings; lives as long as its feed. */
struct key_schema {
	char *names[2]; /* hash, range or NULL; owned by the feed */
	char types[2];	/* 'S', 'N', 'B'; 0: not known (DescribeStream does not say) */
};

struct origin {
	const char *stream; /* our name for it, from the configuration */
	const char *table;
	const char *arn;
	const char *label;
	const char *shard;
	const struct key_schema *schema;
};

#endif
