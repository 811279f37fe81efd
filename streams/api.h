/* streams/api.h - the calls we make of DynamoDB and DynamoDB Streams.
 *
 * Asynchronous, one callback each, never from inside the call that started
 * it. Replaceable at link time: api_http.c over base/http, tests/sim/api_sim.c
 * over a made-up shard history. One struct api per stream (endpoint, region,
 * credentials); calls beyond its concurrency limit wait inside, first come
 * first served.
 *
 * An api call is tried once here (beside one re-sign after a clock correction
 * and one after a credentials refresh); retrying is for reader.c and
 * lineage.c, who know the budget.
 */
#ifndef STREAMS_API_H
#define STREAMS_API_H

#include "base/err.h"
#include "base/histogram.h"
#include "base/limits.h"
#include "base/loop.h"
#include "record/position.h"
#include "record/record.h"

struct api;
struct api_call;

enum api_code {
	API_OK,
	API_EXPIRED_ITERATOR,
	API_TRIMMED,	    /* TrimmedDataAccessException */
	API_NOT_FOUND,	    /* ResourceNotFoundException */
	API_LIMIT_EXCEEDED, /* LimitExceededException: a third reader, usually */
	API_THROTTLED,	    /* ThrottlingException and its kin, HTTP 429 */
	API_VALIDATION,	    /* ValidationException, SerializationException, unknown operation */
	API_AUTH,	    /* credentials, signature, permission */
	API_SERVER,	    /* 5xx, InternalServerError */
	API_TRANSPORT,	    /* no answer: refused, reset, timed out, TLS */
	API_MALFORMED,	    /* an answer that cannot be read: cut, wrong crc32, not JSON */
	API_OTHER,	    /* a 4xx we do not know; retried slowly */
};
#define API_CODES (API_OTHER + 1)
const char *api_code_name(enum api_code c);

enum api_op {
	API_DESCRIBE_TABLE,
	API_LIST_STREAMS,
	API_DESCRIBE_STREAM,
	API_GET_SHARD_ITERATOR,
	API_GET_RECORDS,
};
#define API_OPS (API_GET_RECORDS + 1)
const char *api_op_name(enum api_op op); /* "GetRecords" */

struct api_op_stats {
	uint64_t requests;	   /* sent, those sent again included */
	uint64_t ended[API_CODES]; /* calls by what they ended with; [API_OK]: good ones */
	struct histogram latency;  /* request to whole answer, the network's failures included */
};

struct api_stats {
	struct api_op_stats ops[API_OPS];
	uint64_t calls, errors, throttles; /* over all */
	uint64_t retransmits, bytes_in;
	int64_t clock_skew_us; /* service minus ours, as last corrected */
};

struct api_result {
	enum api_code code;
	struct err err;	     /* text says call, peer, HTTP status, AWS code, request id */
	char request_id[80]; /* "" if none */
	char name[80];	     /* AWS's own for what was wrong: "AccessDeniedException"; "" if none */
};

struct api_keys {		    /* of a table. Service: key names up to 255 */
	char hash[256], range[256]; /* "" if not given */
	char hash_type, range_type; /* 'S', 'N', 'B'; 0 if not given: DescribeStream does not say */
};

struct api_shard {
	char id[LIMIT_SHARD_ID + 1];
	char parent[LIMIT_SHARD_ID + 1]; /* "": none named */
	struct seq start;		 /* not set if the listing had none */
	struct seq end;			 /* set: closed */
};

enum stream_status { STREAM_ENABLING, STREAM_ENABLED, STREAM_DISABLING, STREAM_DISABLED };
enum stream_view { VIEW_UNKNOWN, VIEW_KEYS_ONLY, VIEW_NEW_IMAGE, VIEW_OLD_IMAGE, VIEW_NEW_AND_OLD };

struct api_stream { /* one DescribeStream page; valid during the callback */
	char arn[LIMIT_STREAM_ARN + 1];
	char label[128];
	char table[LIMIT_TABLE_NAME + 1];
	enum stream_status status;
	enum stream_view view;
	struct api_keys key;
	const struct api_shard *shards;
	size_t shard_count;
	char last_shard[LIMIT_SHARD_ID + 1]; /* "": last page */
};

struct api_table { /* DescribeTable */
	char table[LIMIT_TABLE_NAME + 1];
	char arn[LIMIT_STREAM_ARN + 1];
	char latest_stream[LIMIT_STREAM_ARN + 1]; /* "": no stream was ever enabled */
	bool stream_enabled;
	enum stream_view view;
	struct api_keys key;
};

struct api_stream_ref { /* one entry of ListStreams */
	char arn[LIMIT_STREAM_ARN + 1];
	char label[128];
};

/* Each returns a handle for api_cancel(); after the callback began or after
 * api_cancel() the handle is gone. rs is valid during the callback; the
 * payload is NULL unless rs->code is API_OK. */
struct api_call *api_describe_table(struct api *a, const char *table,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_table *t), void *arg);
/* All pages of a table's streams, put together. */
struct api_call *api_list_streams(struct api *a, const char *table,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream_ref *v, size_t n),
    void *arg);
/* start_after: shard id or NULL; children_of: shard id for ShardFilter
 * CHILD_SHARDS or NULL. One page. */
struct api_call *api_describe_stream(struct api *a, const char *arn, const char *start_after,
    const char *children_of,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream *s), void *arg);

enum iterator_type { ITER_TRIM_HORIZON, ITER_LATEST, ITER_AT, ITER_AFTER };
/* seq: AT and AFTER only, else NULL. iterator: NUL-terminated. */
struct api_call *api_get_shard_iterator(struct api *a, const char *arn, const char *shard,
    enum iterator_type type, const struct seq *seq,
    void (*fn)(void *arg, const struct api_result *rs, const char *iterator), void *arg);
/* limit 1..1000. page: given to the callback, who unrefs it. */
struct api_call *api_get_records(struct api *a, const char *iterator, unsigned limit,
    void (*fn)(void *arg, const struct api_result *rs, struct page *page), void *arg);
/* The service's clock minus ours by its last answer, to the second; 0 before
 * the first. */
int64_t api_clock_skew(const struct api *a);
/* NULL from one that does not count (a made-up service). */
const struct api_stats *api_stats_get(const struct api *a);
void api_cancel(struct api_call *c);
void api_close(struct api *a); /* cancels everything */

#endif
