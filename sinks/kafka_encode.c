/* sinks/kafka_encode.c - a record as the bytes of its message: key, value, headers.
 * Knows nothing of brokers.
 *
 *   format     INSERT, MODIFY   REMOVE with tombstones   REMOVE without
 *   plain      value            null                     value
 *   others     value            value, then null         value
 */
#include "record/format.h"
#include "record/key.h"
#include "sinks/kafka_priv.h"

bool
kafka_tombstones(const struct kafka_conf *c)
{
	if (c->tombstones == TOMBSTONES_AUTO)
		return c->format == FORMAT_PLAIN || c->format == FORMAT_DEBEZIUM;
	return c->tombstones == TOMBSTONES_TRUE;
}

unsigned
kafka_messages_of(const struct kafka_conf *c, const struct record *r)
{
	if (r->event != RECORD_REMOVE || !kafka_tombstones(c))
		return KAFKA_EVENT;
	return c->format == FORMAT_PLAIN ? KAFKA_TOMBSTONE : KAFKA_EVENT | KAFKA_TOMBSTONE;
}

int
kafka_encode(const struct kafka_conf *c, const struct delivery *d, struct buf *bytes,
    struct kafka_text *key, struct kafka_text *value, struct err *e)
{
	size_t start = bytes->n;

	key_write(d->rec, d->origin->schema, bytes);
	*key = (struct kafka_text){start, bytes->n - start};
	value->at = bytes->n;
	value->n = 0;
	if (bytes->failed) {
		bytes->n = start;
		bytes->failed = false;
		return err_retry(e, ERR_NOMEM, "kafka: no memory for a record's key");
	}
	if ((kafka_messages_of(c, d->rec) & KAFKA_EVENT) == 0)
		return 0;
	if (format_write((enum format)c->format, d->rec, d->origin, bytes, e) != 0) {
		bytes->n = start;
		bytes->failed = false;
		return err_prefix(e, "kafka");
	}
	value->n = bytes->n - value->at;
	return 0;
}

static void
add(rd_kafka_headers_t *h, const char *name, size_t name_n, struct slice value)
{
	/* Only out of memory can fail here, and then librdkafka has ended the program. */
	(void)rd_kafka_header_add(h, name, (ssize_t)name_n, value.p, (ssize_t)value.n);
}

#define ADD(h, name, value) add(h, name, sizeof name - 1, value)

rd_kafka_headers_t *
kafka_headers(const struct delivery *d)
{
	rd_kafka_headers_t *h = rd_kafka_headers_new(6);
	const struct record *r = d->rec;
	char room[40];
	struct buf time = {.p = room, .cap = sizeof room, .max = sizeof room};

	if (r->event_id.p != NULL)
		ADD(h, "slipring-event-id", r->event_id);
	ADD(h, "slipring-sequence", seq_text(&r->seq));
	ADD(h, "slipring-shard", slice_of(d->origin->shard));
	ADD(h, "slipring-stream", slice_of(d->origin->arn));
	if ((r->flags & RECORD_NO_TIME) == 0) {
		format_time(r->created_us, &time);
		ADD(h, "slipring-time", buf_slice(&time));
	}
	if (d->replayed)
		ADD(h, "slipring-replayed", SLICE_LIT("true"));
	return h;
}
