/* record/debezium.c - a change in the shape of Debezium's JSON events without
 * a schema, which Kafka's tools (sinks of Kafka Connect, Flink's debezium-json) read.
 *
 *   {"before":..,"after":..,"source":{..},"op":"c|u|d","ts_ms":..,"transaction":null}
 *
 * op of an event that we do not know follows the images. ts_ms is when the record
 * was read, source.ts_ms when the change was made.
 */
#include "record/format.h"
#include "record/format_priv.h"

static const char *
op_of(const struct record *r)
{
	switch (r->event) {
	case RECORD_INSERT:
		return "c";
	case RECORD_MODIFY:
		return "u";
	case RECORD_REMOVE:
		return "d";
	case RECORD_UNKNOWN:
		break;
	}
	if (r->new_image.p == NULL && r->old_image.p != NULL)
		return "d";
	return "u";
}

static void
add_text(struct buf *out, const char *member, const char *text)
{
	buf_add_str(out, member);
	if (text != NULL)
		buf_add_json_string(out, slice_of(text));
	else
		buf_add(out, "null", 4);
}

static void
add_ms(struct buf *out, const char *member, int64_t us)
{
	if (us != 0)
		buf_addf(out, "%s%lld", member, (long long)(us / 1000));
	else
		buf_addf(out, "%snull", member);
}

static void
add_source(struct buf *out, const struct record *r, const struct origin *o)
{
	buf_add_str(
	    out, ",\"source\":{\"version\":\"" SLIPRING_VERSION "\",\"connector\":\"slipring\"");
	add_text(out, ",\"name\":", o->stream);
	add_ms(out, ",\"ts_ms\":", r->flags & RECORD_NO_TIME ? 0 : r->created_us);
	buf_add_str(out, ",\"snapshot\":\"false\",\"db\":\"dynamodb\",\"sequence\":\"");
	buf_add_slice(out, seq_text(&r->seq));
	buf_add_char(out, '"');
	add_text(out, ",\"table\":", o->table);
	add_text(out, ",\"shard\":", o->shard);
	buf_add_str(out, ",\"event_id\":");
	if (r->event_id.p != NULL) {
		buf_add_char(out, '"');
		buf_add_slice(out, r->event_id);
		buf_add_char(out, '"');
	} else {
		buf_add(out, "null", 4);
	}
	buf_addf(out, ",\"ttl\":%s}", r->flags & RECORD_TTL ? "true" : "false");
}

const char *
debezium_add_record(const struct record *r, const struct origin *o, struct buf *out)
{
	static const struct origin nowhere;
	const char *fault;

	if (o == NULL)
		o = &nowhere;
	buf_add_str(out, "{\"before\":");
	fault = plain_add_image(r->old_image, out);
	if (fault != NULL)
		return fault;
	buf_add_str(out, ",\"after\":");
	fault = plain_add_image(r->new_image, out);
	if (fault != NULL)
		return fault;
	add_source(out, r, o);
	buf_addf(out, ",\"op\":\"%s\"", op_of(r));
	add_ms(out, ",\"ts_ms\":",
	    r->page != NULL && r->page->read_us != 0 ? r->page->read_us : r->created_us);
	buf_add_str(out, ",\"transaction\":null}");
	return NULL;
}
