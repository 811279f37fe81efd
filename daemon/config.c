/* daemon/config.c - see config.h: the daemon's own keys, and the file read
 * into them.
 *
 * A stream's mapping is filled by two tables and a sink's by three; each is
 * told the names of the others, so that an unknown key is found by whichever
 * comes first and the guess is made among all of them.
 */
#include "daemon/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/command.h"
#include "daemon/config_priv.h"

#define NAMES_MAX 128

static const char *const credentials_words[] = {"auto", "environment", "profile", "none", NULL};
static const char *const store_words[] = {"sqlite", NULL};
static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_words_log[] = {"logfmt", "json", NULL};

#define STREAM(member) .ofs = offsetof(struct stream_config, member)
const struct conf_key stream_own_keys[] = {
    {.name = "region",
	.type = CONF_STR,
	STREAM(region),
	.doc = "The region; by default that of the ARN, then AWS_REGION, then the profile's."},
    {.name = "endpoint",
	.type = CONF_STR,
	STREAM(endpoint),
	.doc = "URL of the service; by default the region's."},
    {.name = "ca-file",
	.type = CONF_STR,
	STREAM(ca_file),
	.doc = "Certificates to trust instead of the system's, PEM."},
    {.name = "profile",
	.type = CONF_STR,
	STREAM(profile),
	.doc = "Profile of the shared credentials and config files; by default AWS_PROFILE, then "
	       "default."},
    {.name = "credentials",
	.type = CONF_ENUM,
	STREAM(credentials),
	.def = "auto",
	.words = credentials_words,
	.doc = "Where the keys come from; auto tries the environment, then the profile. none does "
	       "not sign, for an endpoint on this machine."},
    {.name = "gzip",
	.type = CONF_BOOL,
	STREAM(gzip),
	.def = "no",
	.doc = "Ask for compressed answers: less traffic, more work."},
    {.name = NULL},
};

#define SINK(member) .ofs = offsetof(struct sink_config, member)
const struct conf_key sink_own_keys[] = {
    {.name = "from",
	.type = CONF_LIST,
	.flags = CONF_REQUIRED,
	SINK(from),
	.doc = "The streams whose changes the sink is given."},
    {.name = "filters",
	.type = CONF_LIST,
	SINK(filters),
	.doc = "The filters a change passes first, in this order; by default none."},
    {.name = NULL},
};

#define CONFIG(member) .ofs = offsetof(struct config, member)
const struct conf_key config_keys[] = {
    {.name = "checkpoint.type",
	.type = CONF_ENUM,
	CONFIG(store_type),
	.def = "sqlite",
	.words = store_words,
	.doc = "What keeps positions, gaps and dead letters."},
    {.name = "checkpoint.path",
	.type = CONF_STR,
	CONFIG(store_path),
	.def = "/var/lib/slipring/slipring.db",
	.doc = "Its file."},
    {.name = "checkpoint.interval",
	.type = CONF_DURATION,
	CONFIG(store_interval_us),
	.def = "1s",
	.min = 10 * USEC_MS,
	.max = 60 * USEC_SEC,
	.doc = "The least time between two saves of positions; what was acked in between may be "
	       "delivered again after a crash."},
    {.name = "admin.listen",
	.type = CONF_STR,
	CONFIG(admin_listen),
	.def = "127.0.0.1:9464",
	.doc = "Address and port of status and gap commands, on this machine only; port 0 takes "
	       "any free one; off turns it off."},
    {.name = "admin.shards",
	.type = CONF_INT,
	CONFIG(admin_shards),
	.def = "20",
	.min = 0,
	.max = 1000,
	.doc = "How many shards are in the metrics one by one, those with the least time until the "
	       "service trims what was not delivered."},
    {.name = "memory.budget",
	.type = CONF_SIZE,
	CONFIG(memory_budget),
	.def = "64MiB",
	.min = 16 << 20,
	.max = INT64_C(1) << 40,
	.doc = "Most memory for records that were read and not acked, over all sinks."},
    {.name = "log.level",
	.type = CONF_ENUM,
	CONFIG(log_level),
	.def = "info",
	.words = level_words,
	.doc = "The least important lines that are written."},
    {.name = "log.format",
	.type = CONF_ENUM,
	CONFIG(log_format),
	.def = "logfmt",
	.words = format_words_log,
	.doc = "How lines are written."},
    {.name = "shutdown.timeout",
	.type = CONF_DURATION,
	CONFIG(shutdown_timeout_us),
	.def = "20s",
	.min = 0,
	.max = 3600 * USEC_SEC,
	.doc = "How long SIGTERM waits for what is in flight; the rest is delivered again after "
	       "the next start."},
    {.name = NULL},
};

/* Names of keys known to other tables, with the groups of dotted ones. */
struct names {
	char *v[NAMES_MAX + 1]; /* owned */
	size_t n;
};

static void
names_add(struct names *ns, struct slice name)
{
	for (size_t i = 0; i < ns->n; i++)
		if (slice_is(name, ns->v[i]))
			return;
	if (ns->n < NAMES_MAX)
		ns->v[ns->n++] = mem_slicedup(name);
}

static void
names_add_keys(struct names *ns, const struct conf_key *keys)
{
	for (; keys->name != NULL; keys++) {
		const char *dot = strchr(keys->name, '.');

		names_add(ns, slice_of(keys->name));
		if (dot != NULL)
			names_add(ns, (struct slice){keys->name, (size_t)(dot - keys->name)});
	}
}

static void
names_close(struct names *ns)
{
	for (size_t i = 0; i < ns->n; i++)
		free(ns->v[i]);
	ns->n = 0;
}

struct part { /* a table and what it fills */
	const struct conf_key *keys;
	void *obj;
};

/* One mapping into several structs. What failed is wiped; what was filled
 * before it is left for config_close(). */
static int
fill_parts(const struct conf_node *map, const struct part *parts, size_t count, const char *extra,
    struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < count && r == 0; i++) {
		struct names others = {.n = 0};

		if (extra != NULL)
			names_add(&others, slice_of(extra));
		for (size_t j = 0; j < count; j++)
			if (j != i)
				names_add_keys(&others, parts[j].keys);
		r = conf_fill(map, parts[i].keys, (const char *const *)others.v, parts[i].obj, e);
		names_close(&others);
	}
	return r;
}

static int
check_name(const struct conf_node *key, struct err *e)
{
	size_t n = strlen(key->text);

	if (n == 0 || n > LIMIT_NAME ||
	    strspn(key->text,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n)
		return conf_err(e, key,
		    "a name is 1 to %u letters, digits, dots, dashes and underscores", LIMIT_NAME);
	return 0;
}

/* The mapping of names under "streams" or "sinks". */
static int
get_names(const struct config *c, const char *section, const char *example,
    const struct conf_node **out, struct err *e)
{
	const struct conf_node *n = conf_get(conf_root(c->doc), section);

	if (n == NULL)
		return conf_err(e, conf_root(c->doc), "there are no %s; write for example  %s",
		    section, example);
	if (n->kind != CONF_MAPPING || n->count == 0)
		return conf_err(
		    e, n, "\"%s\" names at least one; write for example  %s", section, example);
	if (conf_check_duplicates(n, e) != 0)
		return -1;
	for (size_t i = 0; i < n->count; i++)
		if (check_name(n->keys[i], e) != 0)
			return -1;
	*out = n;
	return 0;
}

static int
read_streams(struct config *c, struct err *e)
{
	const struct conf_node *map;

	if (get_names(c, "streams", "streams: {orders: {table: orders}}", &map, e) != 0)
		return -1;
	c->streams = mem_array(map->count, sizeof *c->streams);
	for (; c->stream_count < map->count; c->stream_count++) {
		struct stream_config *s = &c->streams[c->stream_count];
		const struct part parts[] = {{feed_keys, &s->feed}, {stream_own_keys, s}};

		s->name = map->keys[c->stream_count]->text;
		s->at = map->values[c->stream_count];
		if (fill_parts(s->at, parts, ARRAY_LEN(parts), NULL, e) != 0) {
			c->stream_count++; /* so that config_close() sees it */
			return -1;
		}
	}
	return 0;
}

/* The place of the mapping's "type" in words, which ends with NULL; -1 with what
 * is wrong. */
static int
find_type(const struct conf_node *at, const char *kind, const char *const *words, struct err *e)
{
	const struct conf_node *type;
	const char *near;

	if (at->kind != CONF_MAPPING)
		return conf_err(e, at, "expected keys and values here, indented below the name");
	type = conf_get(at, "type");
	if (type == NULL || type->kind != CONF_SCALAR)
		return conf_err(e, type != NULL ? type : at,
		    "\"type\" is missing; it names the kind of %s, such as %s", kind, words[0]);
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], type->text) == 0)
			return i;
	near = conf_nearest(type->text, words);
	return conf_err(e, type, "unknown %s type \"%.60s\"; %s%s%s", kind, type->text,
	    near != NULL ? "did you mean \"" : "see slipring config --reference",
	    near != NULL ? near : "", near != NULL ? "\"?" : "");
}

static int
find_sink_type(const struct conf_node *at, const struct sink_ops **out, struct err *e)
{
	const char *words[NAMES_MAX + 1] = {NULL};
	int i;

	for (size_t n = 0; sink_registry[n] != NULL && n < NAMES_MAX; n++)
		words[n] = sink_registry[n]->type;
	i = find_type(at, "sink", words, e);
	if (i < 0)
		return -1;
	*out = sink_registry[i];
	return 0;
}

static int
find_filter_type(const struct conf_node *at, const struct filter_ops **out, struct err *e)
{
	const char *words[NAMES_MAX + 1] = {NULL};
	int i;

	for (size_t n = 0; filter_registry[n] != NULL && n < NAMES_MAX; n++)
		words[n] = filter_registry[n]->type;
	i = find_type(at, "filter", words, e);
	if (i < 0)
		return -1;
	*out = filter_registry[i];
	return 0;
}

static int
read_filter(struct filter_config *f, struct err *e)
{
	static const char *const elsewhere[] = {"type", NULL};
	struct err why;

	if (find_filter_type(f->at, &f->ops, e) != 0)
		return -1;
	f->conf = mem_new(f->ops->conf_size);
	if (conf_fill(f->at, f->ops->keys, elsewhere, f->conf, e) != 0)
		return -1;
	if (f->ops->check != NULL && f->ops->check(f->conf, &why) != 0)
		return conf_err(e, f->at, "filter \"%s\": %s", f->name, why.text);
	return 0;
}

static int
read_filters(struct config *c, struct err *e)
{
	const struct conf_node *map = conf_get(conf_root(c->doc), "filters");

	if (map == NULL)
		return 0;
	if (get_names(c, "filters", "filters: {paid: {type: pattern, pattern: {...}}}", &map, e) !=
	    0)
		return -1;
	c->filters = mem_array(map->count, sizeof *c->filters);
	while (c->filter_count < map->count) {
		struct filter_config *f = &c->filters[c->filter_count];

		f->name = map->keys[c->filter_count]->text;
		f->at = map->values[c->filter_count++];
		if (read_filter(f, e) != 0)
			return -1;
	}
	return 0;
}

static int
read_sink(struct sink_config *s, struct err *e)
{
	struct err why;

	if (find_sink_type(s->at, &s->ops, e) != 0)
		return -1;
	s->conf = mem_new(s->ops->conf_size);
	{
		const struct part parts[] = {
		    {sink_own_keys, s}, {s->ops->keys, s->conf}, {lane_keys, &s->lane}};

		if (fill_parts(s->at, parts, ARRAY_LEN(parts), "type", e) != 0)
			return -1;
	}
	if (s->ops->check != NULL && s->ops->check(s->conf, &why) != 0)
		return conf_err(e, s->at, "%s", why.text);
	return 0;
}

static int
read_sinks(struct config *c, struct err *e)
{
	const struct conf_node *map;

	if (get_names(c, "sinks", "sinks: {screen: {type: stdout, from: [orders]}}", &map, e) != 0)
		return -1;
	c->sinks = mem_array(map->count, sizeof *c->sinks);
	while (c->sink_count < map->count) {
		struct sink_config *s = &c->sinks[c->sink_count];

		s->name = map->keys[c->sink_count]->text;
		s->at = map->values[c->sink_count++];
		if (read_sink(s, e) != 0)
			return -1;
	}
	return 0;
}

static int
read_own(struct config *c, struct err *e)
{
	static const char *const elsewhere[] = {"streams", "filters", "sinks", NULL};

	return conf_fill(conf_root(c->doc), config_keys, elsewhere, c, e);
}

/* Takes the document. */
static int
config_read(struct config **out, struct conf_doc *doc, struct err *e)
{
	struct config *c = mem_new(sizeof *c);

	*out = NULL;
	c->doc = doc;
	if (read_own(c, e) != 0 || read_streams(c, e) != 0 || read_filters(c, e) != 0 ||
	    read_sinks(c, e) != 0 || config_check(c, e) != 0) {
		config_close(c);
		return -1;
	}
	*out = c;
	return 0;
}

int
config_load(struct config **out, const char *path, struct err *e)
{
	struct conf_doc *doc;

	*out = NULL;
	if (conf_load(&doc, path != NULL ? path : CONFIG_DEFAULT_PATH, e) != 0)
		return -1;
	return config_read(out, doc, e);
}

int
config_parse(struct config **out, struct slice text, const char *name, struct err *e)
{
	struct conf_doc *doc;

	*out = NULL;
	if (conf_parse(&doc, text, name, e) != 0)
		return -1;
	return config_read(out, doc, e);
}

void
config_close(struct config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->stream_count; i++) {
		conf_wipe(feed_keys, &c->streams[i].feed);
		conf_wipe(stream_own_keys, &c->streams[i]);
	}
	for (size_t i = 0; i < c->filter_count; i++) {
		struct filter_config *f = &c->filters[i];

		if (f->conf != NULL) {
			conf_wipe(f->ops->keys, f->conf);
			free(f->conf);
		}
	}
	for (size_t i = 0; i < c->sink_count; i++) {
		struct sink_config *s = &c->sinks[i];

		if (s->conf != NULL) {
			conf_wipe(s->ops->keys, s->conf);
			free(s->conf);
		}
		conf_wipe(lane_keys, &s->lane);
		conf_wipe(sink_own_keys, s);
	}
	conf_wipe(config_keys, c);
	free(c->streams);
	free(c->filters);
	free(c->sinks);
	conf_close(c->doc);
	free(c);
}

const struct stream_config *
config_stream(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->stream_count; i++)
		if (strcmp(c->streams[i].name, name) == 0)
			return &c->streams[i];
	return NULL;
}

const struct filter_config *
config_filter(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->filter_count; i++)
		if (strcmp(c->filters[i].name, name) == 0)
			return &c->filters[i];
	return NULL;
}

const struct sink_config *
config_sink(const struct config *c, const char *name)
{
	for (size_t i = 0; i < c->sink_count; i++)
		if (strcmp(c->sinks[i].name, name) == 0)
			return &c->sinks[i];
	return NULL;
}
