/* streams/api_calls.c - the five calls of streams/api.h: what is asked, how the
 * answer is read, who gets it. How a call gets there is api_http.c.
 */
#include "streams/api_http_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "streams/api_decode.h"

static void
add_member(struct buf *b, const char *key, const char *value)
{
	buf_addf(b, "%c\"%s\":", b->n == 0 ? '{' : ',', key);
	buf_add_json_string(b, slice_of(value));
}

/* ---- DescribeTable ---- */

static int
table_decode(struct api_call *c, struct buf *body, struct err *e)
{
	c->answer.table = mem_new(sizeof *c->answer.table);
	return decode_table(buf_slice(body), c->answer.table, e);
}

static void
table_deliver(struct api_call *c, const struct api_result *rs)
{
	c->fn.table(c->arg, rs, rs->code == API_OK ? c->answer.table : NULL);
}

static void
table_clear(struct api_call *c)
{
	free(c->answer.table);
}

static const struct api_op_def describe_table = {
    .op = API_DESCRIBE_TABLE,
    .target = "DynamoDB_20120810.DescribeTable",
    .table_api = true,
    .max_body = LIMIT_CONTROL_BODY,
    .decode = table_decode,
    .deliver = table_deliver,
    .clear = table_clear,
};

struct api_call *
api_describe_table(struct api *a, const char *table,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_table *t), void *arg)
{
	struct api_call *c = api_call_new(a, &describe_table, arg);

	c->fn.table = fn;
	add_member(&c->body, "TableName", table);
	buf_add_char(&c->body, '}');
	api_call_start(c);
	return c;
}

/* ---- ListStreams: all pages ---- */

static void
refs_ask(struct api_call *c)
{
	buf_reset(&c->body);
	add_member(&c->body, "TableName", c->text);
	if (c->cursor[0] != '\0')
		add_member(&c->body, "ExclusiveStartStreamArn", c->cursor);
	buf_add_char(&c->body, '}');
}

static int
refs_decode(struct api_call *c, struct buf *body, struct err *e)
{
	char last[LIMIT_STREAM_ARN + 1];

	if (decode_stream_refs(buf_slice(body), &c->answer.refs, &c->refs_n, last, e) == -1)
		return -1;
	if (last[0] == '\0')
		return 0;
	if (strcmp(last, c->cursor) == 0 || ++c->pages == LIMIT_LIST_PAGES)
		return err_retry(e, ERR_PROTOCOL,
		    "answer: the listing goes round in circles after %zu "
		    "pages",
		    c->pages);
	memcpy(c->cursor, last, sizeof last);
	refs_ask(c);
	return 1;
}

static void
refs_deliver(struct api_call *c, const struct api_result *rs)
{
	bool ok = rs->code == API_OK;

	c->fn.refs(c->arg, rs, ok ? c->answer.refs : NULL, ok ? c->refs_n : 0);
}

static void
refs_clear(struct api_call *c)
{
	free(c->answer.refs);
}

static const struct api_op_def list_streams = {
    .op = API_LIST_STREAMS,
    .target = "DynamoDBStreams_20120810.ListStreams",
    .max_body = LIMIT_CONTROL_BODY,
    .decode = refs_decode,
    .deliver = refs_deliver,
    .clear = refs_clear,
};

struct api_call *
api_list_streams(struct api *a, const char *table,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream_ref *v, size_t n),
    void *arg)
{
	struct api_call *c = api_call_new(a, &list_streams, arg);

	c->fn.refs = fn;
	c->text = mem_strdup(table);
	refs_ask(c);
	api_call_start(c);
	return c;
}

/* ---- DescribeStream: one page ---- */

static int
stream_decode(struct api_call *c, struct buf *body, struct err *e)
{
	c->answer.stream = mem_new(sizeof *c->answer.stream);
	return decode_stream(buf_slice(body), c->answer.stream, e);
}

static void
stream_deliver(struct api_call *c, const struct api_result *rs)
{
	c->fn.stream(c->arg, rs, rs->code == API_OK ? c->answer.stream : NULL);
}

static void
stream_clear(struct api_call *c)
{
	if (c->answer.stream != NULL)
		decode_stream_clear(c->answer.stream);
	free(c->answer.stream);
}

static const struct api_op_def describe_stream = {
    .op = API_DESCRIBE_STREAM,
    .target = "DynamoDBStreams_20120810.DescribeStream",
    .max_body = LIMIT_CONTROL_BODY,
    .decode = stream_decode,
    .deliver = stream_deliver,
    .clear = stream_clear,
};

struct api_call *
api_describe_stream(struct api *a, const char *arn, const char *start_after,
    const char *children_of,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream *s), void *arg)
{
	struct api_call *c = api_call_new(a, &describe_stream, arg);

	c->fn.stream = fn;
	add_member(&c->body, "StreamArn", arn);
	if (start_after != NULL)
		add_member(&c->body, "ExclusiveStartShardId", start_after);
	if (children_of != NULL) {
		buf_add_str(&c->body, ",\"ShardFilter\":{\"Type\":\"CHILD_SHARDS\",\"ShardId\":");
		buf_add_json_string(&c->body, slice_of(children_of));
		buf_add_char(&c->body, '}');
	}
	buf_add_char(&c->body, '}');
	api_call_start(c);
	return c;
}

/* ---- GetShardIterator ---- */

static int
iterator_decode(struct api_call *c, struct buf *body, struct err *e)
{
	c->answer.iterator = mem_new(LIMIT_ITERATOR + 1);
	return decode_iterator(buf_slice(body), c->answer.iterator, e);
}

static void
iterator_deliver(struct api_call *c, const struct api_result *rs)
{
	c->fn.iterator(c->arg, rs, rs->code == API_OK ? c->answer.iterator : NULL);
}

static void
iterator_clear(struct api_call *c)
{
	free(c->answer.iterator);
}

static const struct api_op_def get_shard_iterator = {
    .op = API_GET_SHARD_ITERATOR,
    .target = "DynamoDBStreams_20120810.GetShardIterator",
    .max_body = LIMIT_CONTROL_BODY,
    .decode = iterator_decode,
    .deliver = iterator_deliver,
    .clear = iterator_clear,
};

struct api_call *
api_get_shard_iterator(struct api *a, const char *arn, const char *shard, enum iterator_type type,
    const struct seq *seq, void (*fn)(void *arg, const struct api_result *rs, const char *iterator),
    void *arg)
{
	static const char *const types[] = {
	    [ITER_TRIM_HORIZON] = "TRIM_HORIZON",
	    [ITER_LATEST] = "LATEST",
	    [ITER_AT] = "AT_SEQUENCE_NUMBER",
	    [ITER_AFTER] = "AFTER_SEQUENCE_NUMBER",
	};
	struct api_call *c = api_call_new(a, &get_shard_iterator, arg);

	/* the service wants a number for exactly these two */
	assert((seq != NULL) == (type == ITER_AT || type == ITER_AFTER));
	c->fn.iterator = fn;
	add_member(&c->body, "StreamArn", arn);
	add_member(&c->body, "ShardId", shard);
	add_member(&c->body, "ShardIteratorType", types[type]);
	if (seq != NULL) {
		buf_add_str(&c->body, ",\"SequenceNumber\":");
		buf_add_json_string(&c->body, seq_text(seq));
	}
	buf_add_char(&c->body, '}');
	api_call_start(c);
	return c;
}

/* ---- GetRecords ---- */

static int
records_decode(struct api_call *c, struct buf *body, struct err *e)
{
	return page_parse(&c->answer.page, body, e);
}

static void
records_deliver(struct api_call *c, const struct api_result *rs)
{
	struct page *page = rs->code == API_OK ? c->answer.page : NULL;

	if (page != NULL)
		c->answer.page = NULL; /* given */
	c->fn.records(c->arg, rs, page);
}

static void
records_clear(struct api_call *c)
{
	page_unref(c->answer.page);
}

static const struct api_op_def get_records = {
    .op = API_GET_RECORDS,
    .target = "DynamoDBStreams_20120810.GetRecords",
    .gzip = true,
    .max_body = LIMIT_PAGE_BODY,
    .decode = records_decode,
    .deliver = records_deliver,
    .clear = records_clear,
};

struct api_call *
api_get_records(struct api *a, const char *iterator, unsigned limit,
    void (*fn)(void *arg, const struct api_result *rs, struct page *page), void *arg)
{
	struct api_call *c = api_call_new(a, &get_records, arg);

	c->fn.records = fn;
	add_member(&c->body, "ShardIterator", iterator);
	buf_addf(&c->body, ",\"Limit\":%u}", limit);
	api_call_start(c);
	return c;
}
