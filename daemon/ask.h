/* daemon/ask.h - one API call at a time, waited for.
 *
 * For commands that ask the service a few questions and end: check, tail's
 * start, positions set. Each call runs the loop until its answer is there; the
 * HTTP timeouts bound the wait. Nothing else should be due on that loop. The
 * daemon itself never uses these.
 */
#ifndef DAEMON_ASK_H
#define DAEMON_ASK_H

#include "streams/api.h"

/* 0: *out is filled. -1: rs says why (and out is untouched). */
int ask_table(struct loop *lp, struct api *a, const char *table, struct api_table *out,
    struct api_result *rs) MUST_CHECK;
/* info: of the first page, without shards; may be NULL. each is called per
 * shard of every page; may be NULL, and then one page is asked for. */
int ask_stream(struct loop *lp, struct api *a, const char *arn, struct api_stream *info,
    void (*each)(void *arg, const struct api_shard *sh), void *arg,
    struct api_result *rs) MUST_CHECK;
/* count: how many streams the table has; may be NULL. */
int ask_list(struct loop *lp, struct api *a, const char *table, size_t *count,
    struct api_result *rs) MUST_CHECK;
int ask_iterator(struct loop *lp, struct api *a, const char *arn, const char *shard,
    enum iterator_type type, const struct seq *seq, char out[LIMIT_ITERATOR + 1],
    struct api_result *rs) MUST_CHECK;
/* The page is the caller's to unref. */
int ask_records(struct loop *lp, struct api *a, const char *iterator, unsigned limit,
    struct page **out, struct api_result *rs) MUST_CHECK;

#endif
