/* streams/api_decode.h - control-plane answers read into the structs of
 * api.h. Pure.
 *
 * The bytes are a peer's: types are strict, sizes bounded, duplicate members
 * refused; unknown members and unknown enumerators pass. Errors are
 * ERR_PROTOCOL, retriable, and name the member. GetRecords answers are read by
 * page_parse().
 */
#ifndef STREAMS_API_DECODE_H
#define STREAMS_API_DECODE_H

#include "streams/api.h"

int decode_table(struct slice body, struct api_table *out, struct err *e) MUST_CHECK;
/* out->shards is allocated: decode_stream_clear(). */
int decode_stream(struct slice body, struct api_stream *out, struct err *e) MUST_CHECK;
void decode_stream_clear(struct api_stream *s);
/* Appends a page to *v (owned by the caller, free()); last: the cursor of the
 * next page or "". */
int decode_stream_refs(struct slice body, struct api_stream_ref **v, size_t *n,
    char last[LIMIT_STREAM_ARN + 1], struct err *e) MUST_CHECK;
int decode_iterator(struct slice body, char out[LIMIT_ITERATOR + 1], struct err *e) MUST_CHECK;

#endif
