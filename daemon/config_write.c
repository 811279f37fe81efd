/* daemon/config_write.c - the whole configuration as --dump, --reference and
 * --schema print it; each table writes itself. */
#include "daemon/config_priv.h"

static void
dump_stream(struct buf *out, const struct stream_config *s)
{
	buf_addf(out, "  %s:\n", s->name);
	conf_dump(out, feed_keys, &s->feed, 4);
	conf_dump(out, stream_own_keys, s, 4);
}

static void
dump_filter(struct buf *out, const struct filter_config *f)
{
	buf_addf(out, "  %s:\n    type: %s\n", f->name, f->ops->type);
	conf_dump(out, f->ops->keys, f->conf, 4);
}

static void
dump_sink(struct buf *out, const struct sink_config *s)
{
	buf_addf(out, "  %s:\n    type: %s\n", s->name, s->ops->type);
	conf_dump(out, sink_own_keys, s, 4);
	conf_dump(out, s->ops->keys, s->conf, 4);
	conf_dump(out, lane_keys, &s->lane, 4);
}

void
config_dump(const struct config *c, struct buf *out)
{
	buf_add_str(out, "streams:\n");
	for (size_t i = 0; i < c->stream_count; i++)
		dump_stream(out, &c->streams[i]);
	if (c->filter_count != 0)
		buf_add_str(out, "filters:\n");
	for (size_t i = 0; i < c->filter_count; i++)
		dump_filter(out, &c->filters[i]);
	buf_add_str(out, "sinks:\n");
	for (size_t i = 0; i < c->sink_count; i++)
		dump_sink(out, &c->sinks[i]);
	conf_dump(out, config_keys, c, 0);
}

void
config_reference(struct buf *out)
{
	buf_add_str(out,
	    "Durations are whole numbers with ms, s, m, h or d; sizes are bytes, or with "
	    "KiB, MiB or GiB.\nA key with a dot may also be written nested: poll.idle is "
	    "idle of a mapping poll.\n\n"
	    "streams: a mapping of names, each with\n");
	conf_reference(out, feed_keys, 4);
	conf_reference(out, stream_own_keys, 4);
	buf_add_str(out,
	    "\nfilters: a mapping of names, each with\n    type (one of the below, required)\n");
	for (size_t i = 0; filter_registry[i] != NULL; i++) {
		buf_addf(
		    out, "\n  type: %s - %s\n", filter_registry[i]->type, filter_registry[i]->help);
		conf_reference(out, filter_registry[i]->keys, 4);
	}
	buf_add_str(
	    out, "\nsinks: a mapping of names, each with\n    type (one of the below, required)\n");
	conf_reference(out, sink_own_keys, 4);
	for (size_t i = 0; sink_registry[i] != NULL; i++) {
		buf_addf(
		    out, "\n  type: %s - %s\n", sink_registry[i]->type, sink_registry[i]->help);
		conf_reference(out, sink_registry[i]->keys, 4);
	}
	buf_add_str(out, "\n  and of every type\n");
	conf_reference(out, lane_keys, 4);
	buf_add_str(out, "\nand once, at the top\n");
	conf_reference(out, config_keys, 4);
}

/* The members of one properties object from several tables. */
static void
add_properties(struct buf *out, const struct conf_key *const *tables, size_t count)
{
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		if (tables[i]->name == NULL)
			continue;
		if (!first)
			buf_add_char(out, ',');
		conf_schema(out, tables[i]);
		first = false;
	}
}

static void
add_type_schema(
    struct buf *out, const char *type, const struct conf_key *const *tables, size_t count)
{
	buf_addf(out,
	    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
	    "\"type\":{\"const\":\"%s\"},",
	    type);
	add_properties(out, tables, count);
	buf_add_str(out, "},\"required\":[\"type\"");
	for (size_t i = 0; i < count; i++)
		for (const struct conf_key *k = tables[i]; k->name != NULL; k++)
			if ((k->flags & CONF_REQUIRED) != 0)
				buf_addf(out, ",\"%s\"", k->name);
	buf_add_str(out, "]}");
}

static void
add_sink_schema(struct buf *out, const struct sink_ops *ops)
{
	const struct conf_key *const tables[] = {sink_own_keys, ops->keys, lane_keys};

	add_type_schema(out, ops->type, tables, ARRAY_LEN(tables));
}

void
config_schema(struct buf *out)
{
	const struct conf_key *const stream_tables[] = {feed_keys, stream_own_keys};

	buf_add_str(out,
	    "{\"$schema\":\"http://json-schema.org/draft-07/schema#\","
	    "\"title\":\"slipring.yaml\",\"type\":\"object\","
	    "\"additionalProperties\":false,\"required\":[\"streams\",\"sinks\"],"
	    "\"properties\":{\"streams\":{\"type\":\"object\",\"minProperties\":1,"
	    "\"additionalProperties\":{\"type\":\"object\","
	    "\"additionalProperties\":false,\"properties\":{");
	add_properties(out, stream_tables, ARRAY_LEN(stream_tables));
	buf_add_str(out,
	    "},\"oneOf\":[{\"required\":[\"table\"]},{\"required\":[\"arn\"]}]}},"
	    "\"filters\":{\"type\":\"object\",\"additionalProperties\":{\"oneOf\":[");
	for (size_t i = 0; filter_registry[i] != NULL; i++) {
		const struct conf_key *const tables[] = {filter_registry[i]->keys};

		if (i != 0)
			buf_add_char(out, ',');
		add_type_schema(out, filter_registry[i]->type, tables, 1);
	}
	buf_add_str(out,
	    "]}},"
	    "\"sinks\":{\"type\":\"object\",\"minProperties\":1,"
	    "\"additionalProperties\":{\"oneOf\":[");
	for (size_t i = 0; sink_registry[i] != NULL; i++) {
		if (i != 0)
			buf_add_char(out, ',');
		add_sink_schema(out, sink_registry[i]);
	}
	buf_add_str(out, "]}}");
	buf_add_char(out, ',');
	conf_schema(out, config_keys);
	buf_add_str(out, "}}\n");
}
