/* daemon/wiring.c - see wiring.h. */
#include "daemon/wiring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "checkpoint/store_sqlite.h"

int
wiring_open(struct wiring *w, struct err *e)
{
	if (loop_new(&w->loop, 0, e) != 0)
		return -1;
	if (http_new(&w->http, w->loop, e) != 0)
		return -1;
	return 0;
}

/* The region named by an ARN, unless it is DynamoDB Local's made-up one. */
static bool
arn_region(const char *arn, char *out, size_t room)
{
	struct arn_parts p;
	struct err ignored;

	if (arn == NULL || api_arn_parse(arn, &p, &ignored) != 0 ||
	    slice_is(p.region, "ddblocal") || p.region.n >= room)
		return false;
	memcpy(out, p.region.p, p.region.n);
	out[p.region.n] = '\0';
	return true;
}

static int
choose_region(struct source *s, const struct source_conf *c, bool local, struct err *e)
{
	const char *region = c->region;

	if (region == NULL && arn_region(c->arn, s->region, sizeof s->region))
		return 0;
	if (region == NULL)
		region = creds_region(s->creds);
	if (region == NULL && local)
		region = "us-east-1";
	if (region == NULL)
		return err_set(e, ERR_CONFIG,
		    "no region is known; name one with \"region\" (or --region), AWS_REGION or the "
		    "profile");
	if (strlen(region) >= sizeof s->region)
		return err_set(e, ERR_CONFIG, "\"%.60s...\" is no region", region);
	(void)snprintf(s->region, sizeof s->region, "%s", region);
	return 0;
}

/* For messages: where it is that we ask. */
static void
name_endpoint(struct source *s, const struct source_conf *c)
{
	struct buf b = BUF_INIT(sizeof s->endpoint - 1);
	struct err ignored;

	if (c->endpoint != NULL)
		buf_add(&b, c->endpoint, strnlen(c->endpoint, b.max - 1));
	else if (api_endpoint(s->region, false, &b, &ignored) != 0)
		buf_add_str(&b, "the service");
	(void)snprintf(s->endpoint, sizeof s->endpoint, "%s", buf_cstr(&b));
	buf_close(&b);
}

int
wiring_add_source(struct wiring *w, const struct source_conf *c, struct err *e)
{
	bool local = c->endpoint != NULL && endpoint_is_loopback(c->endpoint);
	const struct creds_conf cc = {.source = (enum creds_source)c->credentials,
	    .allow_none = local,
	    .profile = c->profile};
	struct api_conf ac = {.endpoint = c->endpoint, .ca_file = c->ca_file, .gzip = c->gzip};
	struct source *s;

	w->sources = mem_grow(w->sources, w->source_count + 1, sizeof *w->sources);
	s = &w->sources[w->source_count++];
	memset(s, 0, sizeof *s);
	s->creds = creds_new(w->loop, &cc);
	if (choose_region(s, c, local, e) != 0)
		return -1;
	name_endpoint(s, c);
	ac.region = s->region;
	return api_http_new(&s->api, w->loop, w->http, s->creds, &ac, e);
}

void
source_conf_of(struct source_conf *out, const struct stream_config *s)
{
	*out = (struct source_conf){.arn = s->feed.arn,
	    .region = s->region,
	    .endpoint = s->endpoint,
	    .ca_file = s->ca_file,
	    .profile = s->profile,
	    .credentials = s->credentials,
	    .gzip = s->gzip};
}

int
wiring_add_sources(struct wiring *w, const struct config *c, struct err *e)
{
	for (size_t i = 0; i < c->stream_count; i++) {
		const struct stream_config *s = &c->streams[i];
		struct source_conf sc;
		struct err why;

		source_conf_of(&sc, s);
		if (wiring_add_source(w, &sc, &why) == 0)
			continue;
		if (why.code == ERR_CONFIG)
			return conf_err(e, s->at, "stream \"%s\": %s", s->name, why.text);
		*e = why;
		return err_prefix(e, "stream \"%s\"", s->name);
	}
	return 0;
}

int
wiring_open_store(struct wiring *w, const struct config *c, struct err *e)
{
	return store_sqlite_open(&w->store, w->loop, c->store_path, STORE_OWN, e);
}

static int
add_streams(struct wiring *w, const struct config *c, struct err *e)
{
	const char **sinks = mem_array(c->sink_count, sizeof *sinks);
	int r = 0;

	for (size_t i = 0; i < c->stream_count && r == 0; i++) {
		const struct stream_config *s = &c->streams[i];
		size_t n = 0;

		for (size_t j = 0; j < c->sink_count; j++)
			for (size_t k = 0; k < c->sinks[j].from.n; k++)
				if (strcmp(c->sinks[j].from.v[k], s->name) == 0)
					sinks[n++] = c->sinks[j].name;
		r = pipeline_add_stream(
		    w->pipeline, s->name, w->sources[i].api, &s->feed, sinks, n, e);
	}
	free(sinks);
	return r;
}

static int
add_chain(struct wiring *w, const struct config *c, const struct sink_config *s, struct err *e)
{
	struct chain *chain;

	if (s->filters.n == 0)
		return 0;
	chain = chain_new();
	for (size_t i = 0; i < s->filters.n; i++) {
		const struct filter_config *f = config_filter(c, s->filters.v[i]);

		if (chain_add(chain, f->name, f->ops, f->conf, e) != 0) {
			chain_close(chain);
			return err_prefix(e, "sink %s", s->name);
		}
	}
	pipeline_set_chain(w->pipeline, s->name, chain);
	return 0;
}

int
wiring_add_pipeline(
    struct wiring *w, const struct config *c, const struct pipeline_host *host, struct err *e)
{
	const struct pipeline_conf pc = {
	    .memory_budget = c->memory_budget, .checkpoint_interval_us = c->store_interval_us};

	if (pipeline_new(&w->pipeline, w->loop, w->store, &pc, host, e) != 0)
		return -1;
	for (size_t i = 0; i < c->sink_count; i++) {
		const struct sink_config *s = &c->sinks[i];

		if (pipeline_add_sink(w->pipeline, s->name, s->ops, s->conf, &s->lane, e) != 0 ||
		    add_chain(w, c, s, e) != 0)
			return -1;
	}
	return add_streams(w, c, e);
}

void
wiring_close(struct wiring *w)
{
	pipeline_close(w->pipeline);
	store_close(w->store);
	for (size_t i = 0; i < w->source_count; i++) {
		if (w->sources[i].api != NULL)
			api_close(w->sources[i].api);
		creds_close(w->sources[i].creds);
	}
	free(w->sources);
	if (w->http != NULL)
		http_close(w->http);
	loop_close(w->loop);
	memset(w, 0, sizeof *w);
}
