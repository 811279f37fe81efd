/* streams/api_http.h - the real struct api: HTTP, SigV4, credentials.
 *
 * Threading: loop thread. Ownership: http and creds are borrowed and outlive
 * the api; strings in api_conf are copied.
 */
#ifndef STREAMS_API_HTTP_H
#define STREAMS_API_HTTP_H

#include "base/http.h"
#include "streams/api.h"
#include "base/creds.h"

struct api_conf {
	const char *region;   /* signing region; NULL: from the ARN or endpoint not possible */
	const char *endpoint; /* URL for both services, or NULL: from the region */
	const char *ca_file;  /* or NULL */
	int64_t connect_timeout_us; /* 0: 3 s */
	int64_t total_timeout_us;   /* 0: 30 s */
	unsigned concurrency;	    /* 0: 64 */
	bool gzip;		    /* ask for gzip answers */
};

int api_http_new(struct api **out, struct loop *lp, struct http *http, struct creds *creds,
    const struct api_conf *conf, struct err *e) MUST_CHECK;

/* "https://streams.dynamodb.eu-west-1.amazonaws.com" by streams.md 1.1: the
 * partitions, GovCloud, China, ISO. table_api: the host of DescribeTable
 * instead. Appends to out. */
int api_endpoint(const char *region, bool table_api, struct buf *out, struct err *e) MUST_CHECK;
/* Takes an ARN apart: arn:PARTITION:dynamodb:REGION:ACCOUNT:table/NAME[/stream/LABEL].
 * label empty if it is a table's. ERR_CONFIG says which part is wrong. */
struct arn_parts {
	struct slice partition, region, account, table, label;
};
int api_arn_parse(const char *arn, struct arn_parts *out, struct err *e) MUST_CHECK;

/* An error answer to a code; pure, with a table test. error_type: the
 * x-amzn-ErrorType header or SLICE_NONE. out_name: AWS's name, "" if none. */
enum api_code api_error_code(int http_status, struct slice body, struct slice error_type,
    char out_name[80], char out_message[256]);

#endif
