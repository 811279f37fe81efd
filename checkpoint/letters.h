/* checkpoint/letters.h - which dead letters are meant: the selectors of
 * `slipring dlq`, the same for a store, a daemon and a command.
 *
 * Pure. A letter is meant when it fits all that is set.
 */
#ifndef CHECKPOINT_LETTERS_H
#define CHECKPOINT_LETTERS_H

#include "checkpoint/store.h"

struct letter_query {
	const char *sink;   /* NULL: any */
	const char *reason; /* a part of it; NULL: any */
	const char *key;    /* canonical; NULL: any */
	/* The key was given as attributes, whose order only the letter knows: `key` is meant for
	 * those whose hash key is hash_key (or not known), swapped for the others. NULL: not so. */
	const char *hash_key, *swapped;
	int64_t from_us;     /* first submitted at or after; 0: any time */
	int64_t to_us;	     /* first submitted before; 0: any time */
	const uint64_t *ids; /* rising; NULL: any */
	size_t id_count;
	uint64_t after;	 /* ids above this */
	uint64_t upto;	 /* and up to this; 0: all */
	size_t limit;	 /* so many at most; 0: all */
	size_t bytes;	 /* no more once their records have so many; 0: all */
	bool superseded; /* only those */
	bool fresh;	 /* only others */
	bool heads;	 /* without the records */
};

bool letter_fits(const struct letter_query *q, const struct dead_letter *d);
/* With copies of its strings and ids; to letter_query_free(). */
struct letter_query *letter_query_dup(const struct letter_query *q);
void letter_query_free(struct letter_query *q); /* NULL allowed */
/* "table/orders" of an ARN, with all before it: what tells tables apart, and not their
 * streams. The whole ARN if there is no stream in it. */
struct slice arn_table_part(const char *arn);
struct slice arn_table_name(const char *arn); /* "" where there is none */
const char *arn_label(const char *arn);	      /* what is behind the last slash */
/* Is text a version as record/version.h writes it? */
bool version_valid(struct slice text);

#endif
