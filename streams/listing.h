/* streams/listing.h - one complete DescribeStream listing, page by page.
 *
 *   begin -> budget -> page() -> budget -> page() -> ... -> done()
 *
 * Private to streams/: part of lineage.c. A page that fails is asked for again
 * with back-off, so that a long listing gets done although one call in ten fails; a listing
 * is given up when its cursor is refused, when it contradicts itself (the same
 * cursor twice, pages without end) or when one page fails for minutes, since
 * its first pages are old by then.
 *
 * Knows nothing of graphs. Embedded in its owner; callbacks come from the loop
 * and are the last thing done, so the owner may close it from done() and
 * trouble(), but not from page().
 */
#ifndef STREAMS_LISTING_H
#define STREAMS_LISTING_H

#include "base/backoff.h"
#include "streams/api.h"
#include "streams/rate.h"

struct listing_host {
	void *ctx;
	/* NULL, or what is wrong with the page. */
	const char *(*page)(void *ctx, const struct api_stream *s);
	void (*done)(void *ctx, const struct api_stream *last_page);
	/* given_up: the listing is over; else the page is tried again. */
	void (*trouble)(void *ctx, const struct api_result *rs, bool given_up);
};

struct listing {	   /* private but for pages */
	struct loop *loop; /* borrowed, as the next three */
	struct api *api;
	struct rate *budget;
	const char *arn;
	struct listing_host host;
	struct loop_timer *timer; /* next try of a page */
	struct rate_wait turn;
	struct api_call *call;
	struct backoff retry;
	unsigned pages;	    /* read so far */
	unsigned mark_page; /* page whose cursor is in mark */
	char cursor[LIMIT_SHARD_ID + 1];
	char mark[LIMIT_SHARD_ID + 1];
	bool active;
};

void listing_init(struct listing *l, struct loop *lp, struct api *api, struct rate *budget,
    const char *arn, const struct listing_host *host);
void listing_close(struct listing *l);
void listing_begin(struct listing *l); /* not while one is active */

#endif
