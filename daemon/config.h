/* daemon/config.h - the configuration file as the daemon sees it.
 *
 *   file -> nodes (base/conf) -> tables of the rooms -> cross-checks -> struct config
 *
 * Every key belongs to a table of the code that uses it (feed_keys, lane_keys, a
 * sink's own keys); the tables here are for what belongs to the daemon as a
 * whole. All of it is checked before anything is opened.
 *
 * Ownership: the config owns everything it points to, the document included
 * (names and places are the document's). It outlives the pipeline built on it.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "base/conf.h"
#include "filters/filter.h"
#include "pipeline/pipeline.h"
#include "base/creds.h"

struct stream_config {
	const char *name;	    /* borrowed from the document */
	const struct conf_node *at; /* its mapping, for messages */
	struct feed_conf feed;
	char *region, *endpoint, *ca_file, *profile; /* owned; NULL: not set */
	int credentials;			     /* enum creds_source */
	bool gzip;
};

struct filter_config {
	const char *name;
	const struct conf_node *at;
	const struct filter_ops *ops;
	void *conf; /* owned; ops->conf_size bytes, filled by ops->keys */
};

struct sink_config {
	const char *name;
	const struct conf_node *at;
	const struct sink_ops *ops;
	void *conf; /* owned; ops->conf_size bytes, filled by ops->keys */
	struct lane_conf lane;
	struct conf_list from;	  /* names of streams */
	struct conf_list filters; /* names of filters, in order */
};

struct listen_address {
	bool off;
	char host[48]; /* an address, no brackets */
	uint16_t port; /* 0: any that is free */
};

struct config {
	struct conf_doc *doc;
	struct stream_config *streams; /* owned array */
	size_t stream_count;
	struct filter_config *filters;
	size_t filter_count;
	struct sink_config *sinks;
	size_t sink_count;
	int store_type;
	char *store_path;
	int64_t store_interval_us;
	char *admin_listen; /* as written */
	struct listen_address admin;
	int64_t admin_shards;
	int64_t memory_budget;
	int log_level;	/* enum log_level */
	int log_format; /* enum log_format */
	int64_t shutdown_timeout_us;
};

/* path NULL: CONFIG_DEFAULT_PATH. ERR_CONFIG with file, line and column. */
int config_load(struct config **out, const char *path, struct err *e) MUST_CHECK;
int
config_parse(struct config **out, struct slice text, const char *name, struct err *e) MUST_CHECK;
void config_close(struct config *c);

const struct stream_config *config_stream(const struct config *c, const char *name);
const struct filter_config *config_filter(const struct config *c, const char *name);
const struct sink_config *config_sink(const struct config *c, const char *name);

/* "127.0.0.1:9464", "[::1]:0", "localhost:9464", "off". Loopback only. */
int listen_parse(const char *text, struct listen_address *out, struct err *e) MUST_CHECK;
/* http:// or https:// and a host; ERR_CONFIG says what is wrong. */
int endpoint_check(const char *url, struct err *e) MUST_CHECK;
/* Does the URL name this machine itself? */
bool endpoint_is_loopback(const char *url);

void config_dump(const struct config *c, struct buf *out);
void config_reference(struct buf *out);
void config_schema(struct buf *out);

#endif
