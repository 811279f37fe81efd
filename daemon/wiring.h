/* daemon/wiring.h - from configuration to running objects, in the order they
 * need each other, and back.
 *
 *   loop -> http -> source (creds, api) per stream
 *        -> store -> pipeline (lanes and sinks, feeds)
 *
 * Used by run, tail, check --connect and positions set, which differ in how
 * far they go. Members are NULL until they are there; wiring_close() takes
 * down what there is.
 */
#ifndef DAEMON_WIRING_H
#define DAEMON_WIRING_H

#include "base/http.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "pipeline/pipeline.h"
#include "streams/api_http.h"
#include "base/creds.h"

struct source { /* a place to ask for streams */
	struct creds *creds;
	struct api *api;
	char region[64];    /* signed for */
	char endpoint[256]; /* as people know it: the URL, or the region's host */
};

struct source_conf {
	const char *arn; /* of a stream, if that is how it is named; NULL otherwise */
	const char *region, *endpoint, *ca_file, *profile; /* NULL: not set */
	int credentials;				   /* enum creds_source */
	bool gzip;
};

struct wiring {
	struct loop *loop;
	struct http *http;
	struct source *sources; /* owned array; a configuration's in the order of its streams */
	size_t source_count;
	struct store *store;
	struct pipeline *pipeline;
};

/* Loop and HTTP client; w zeroed before. */
int wiring_open(struct wiring *w, struct err *e) MUST_CHECK;
/* Appends one; earlier pointers into sources become invalid. Region: given, else the ARN's, else
 * AWS_REGION, else the profile's, else us-east-1 for an endpoint on this
 * machine, else ERR_CONFIG. */
int wiring_add_source(struct wiring *w, const struct source_conf *c, struct err *e) MUST_CHECK;
/* One per stream of the configuration. */
int wiring_add_sources(struct wiring *w, const struct config *c, struct err *e) MUST_CHECK;
int wiring_open_store(struct wiring *w, const struct config *c, struct err *e) MUST_CHECK;
/* The pipeline with all sinks and streams, not started. */
int wiring_add_pipeline(struct wiring *w, const struct config *c, const struct pipeline_host *host,
    struct err *e) MUST_CHECK;
void wiring_close(struct wiring *w);

void source_conf_of(struct source_conf *out, const struct stream_config *s);

#endif
