/* base/limits.h - every maximum of the program, with its reason.
 *
 * Sizes are bytes. "streams.md" facts: GetRecords answers at most 1000 records
 * or 1 MB of record data, but JSON wrapping (base64, \u00xx escapes, type
 * tags) inflates that several times.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

/* 1 MB of data inflated at worst about 20 times; above that it is no answer
 * of the service. Also the limit for what gzip may inflate to. */
#define LIMIT_PAGE_BODY (32u << 20)
/* Control-plane answers: 100 shards of under 300 bytes, with room to spare. */
#define LIMIT_CONTROL_BODY (4u << 20)
/* What filters make of a page's records: a page again, less its brackets and commas. */
#define LIMIT_MADE (LIMIT_PAGE_BODY - (64u << 10))
#define LIMIT_PAGE_RECORDS 10000u /* service: 1000; look-alikes have sent more */
/* 32 levels of values cost two JSON levels each, plus five of the envelope. */
#define LIMIT_JSON_DEPTH 128u
#define LIMIT_SEQUENCE_DIGITS 40u   /* service model: 21..40 */
#define LIMIT_SHARD_ID 65u	    /* service model: 28..65 */
#define LIMIT_STREAM_ARN 1024u	    /* service model: 37..1024 */
#define LIMIT_TABLE_NAME 1024u	    /* model: 255, or a table ARN up to 1024 */
#define LIMIT_ITERATOR 2048u	    /* service model: 1..2048 */
#define LIMIT_NAME 64u		    /* our own names of streams and sinks */
#define LIMIT_ATTRIBUTE_NAME 65535u /* service model */
#define LIMIT_KEY_ATTRIBUTES 2u
/* 100,000 shards at 100 a page; a listing beyond that is a loop (hazard 2). */
#define LIMIT_LIST_PAGES 1000u
#define LIMIT_CONFIG_FILE (1u << 20)
#define LIMIT_CONFIG_DEPTH 16u /* ours needs 5; keeps hostile nesting off the stack */
/* A thousand streams and sinks of ten keys each; duplicate keys are found by comparing. */
#define LIMIT_CONFIG_NODES 40000u
#define LIMIT_HTTP_HEADERS (64u << 10)

#endif
