/* streams/api_http.c - struct api over HTTP: how a call gets there and back.
 *
 *   waiting --turn--> credentials --> sign --> http --> answer --> owner
 *                         ^                               |
 *                         +--- once after a clock correction, once after a
 *                              credentials refresh, once a page of a listing
 *
 * At most `concurrency` calls are active; the others wait in the order they
 * came. Each step comes from the loop, so that the owner is never called from
 * inside his own call, and may close the api in the callback: by then the call
 * has left all lists, and nothing here is touched afterwards.
 *
 * What an answer means is api_answer.c; what the five calls ask is api_calls.c.
 * Does not do: retries, call budgets (reader.c, lineage.c, rate.c).
 */
#include "streams/api_http_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum {
	REQUEST_MAX = 64 * 1024, /* an iterator of 2 KiB, every byte escaped, and room */
	HEADERS_MAX = 7,
};

static const int64_t default_connect_us = 3 * USEC_SEC;
static const int64_t default_total_us = 30 * USEC_SEC;
static const unsigned default_concurrency = 64;

static void on_keys(void *arg, const struct sigv4_keys *keys, const struct err *e);

/* ---- a call's turn ---- */

struct api_call *
api_call_new(struct api *a, const struct api_op_def *op, void *arg)
{
	struct api_call *c = mem_new(sizeof *c);

	c->magic = API_CALL_MAGIC;
	c->a = a;
	c->op = op;
	c->arg = arg;
	c->body = BUF_INIT(REQUEST_MAX);
	return c;
}

void
api_call_unlink(struct api_call *c)
{
	struct api *a = c->a;

	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else if (!c->active)
		a->last = c->prev;
	if (c->active)
		a->active_n--;
	c->next = NULL;
	c->prev = NULL;
}

void
api_call_free(struct api_call *c)
{
	c->op->clear(c);
	buf_close(&c->body);
	free(c->text);
	c->magic = 0;
	free(c);
}

const struct service *
api_call_service(const struct api_call *c)
{
	return c->op->table_api ? &c->a->table : &c->a->streams;
}

void
api_call_ask(struct api_call *c)
{
	c->creds = creds_get(c->a->creds, on_keys, c);
}

void
api_start_waiting(struct api *a)
{
	while (a->waiting != NULL && a->active_n < a->concurrency) {
		struct api_call *c = a->waiting;

		api_call_unlink(c);
		c->active = true;
		c->next = a->active;
		c->prev = &a->active;
		if (c->next != NULL)
			c->next->prev = &c->next;
		a->active = c;
		a->active_n++;
		api_call_ask(c);
	}
}

void
api_call_start(struct api_call *c)
{
	struct api *a = c->a;

	c->prev = a->last;
	*a->last = c;
	a->last = &c->next;
	api_start_waiting(a);
}

static void
call_drop(struct api_call *c)
{
	if (c->creds != NULL)
		creds_cancel(c->creds);
	if (c->http != NULL)
		http_cancel(c->http);
	api_call_unlink(c);
	api_call_free(c);
}

void
api_cancel(struct api_call *c)
{
	struct api *a = c->a;

	call_drop(c);
	api_start_waiting(a);
}

/* ---- signing and sending ---- */

static void
fill_sigv4(
    const struct api_call *c, const struct http_header *headers, size_t n, struct sigv4_request *rq)
{
	const struct api *a = c->a;

	*rq = (struct sigv4_request){
	    .method = "POST",
	    .path = slice_of(api_call_service(c)->path),
	    .headers = headers,
	    .header_count = n,
	    .body = buf_slice(&c->body),
	    .region = a->signing_region,
	    .service = "dynamodb",
	    .when_us = loop_wall(a->lp) + a->stats.clock_skew_us,
	    .normalize_path = true,
	    .double_encode_path = true,
	};
}

static int
send_signed(struct api_call *c, const struct sigv4_keys *keys, struct err *e)
{
	struct api *a = c->a;
	const struct service *s = api_call_service(c);
	struct http_header v[HEADERS_MAX] = {
	    {"Host", s->host}, /* signed; libcurl sends its own, the same */
	    {"Content-Type", "application/x-amz-json-1.0"},
	    {"X-Amz-Target", c->op->target},
	};
	struct sigv4_request sign;
	size_t n = 3;

	fill_sigv4(c, v, n, &sign);
	if (sigv4_sign(a->signer, keys, &sign, &a->signature, e) == -1)
		return -1;
	v[n++] = (struct http_header){"X-Amz-Date", a->signature.date};
	v[n++] = (struct http_header){"Authorization", buf_cstr(&a->signature.authorization)};
	v[n++] =
	    (struct http_header){"Accept-Encoding", a->gzip && c->op->gzip ? "gzip" : "identity"};
	if (keys->session_token.n != 0)
		v[n++] = (struct http_header){"X-Amz-Security-Token", keys->session_token.bytes};
	c->signed_skew_us = a->stats.clock_skew_us;
	a->stats.calls++;
	a->stats.ops[c->op->op].requests++;
	c->sent_us = loop_now(a->lp);
	c->http = http_send(a->http,
	    &(struct http_request){
		.method = "POST",
		.url = s->url,
		.headers = v + 1,
		.header_count = n - 1,
		.body = buf_slice(&c->body),
		.ca_file = a->ca_file,
		.connect_timeout_us = a->connect_us,
		.total_timeout_us = a->total_us,
		.max_body = c->op->max_body,
	    },
	    api_call_answer, c, e);
	return c->http != NULL ? 0 : -1;
}

static void
on_keys(void *arg, const struct sigv4_keys *keys, const struct err *e)
{
	struct api_call *c = magic_check(arg, API_CALL_MAGIC);
	struct err why;

	c->creds = NULL;
	if (e != NULL) {
		api_call_fail(c, API_AUTH, e, "");
		return;
	}
	if (c->body.failed) {
		(void)err_set(&why, ERR_LIMIT, "the request is longer than %d bytes", REQUEST_MAX);
		api_call_fail(c, API_VALIDATION, &why, "");
		return;
	}
	/* DynamoDB Local and its like check no signature, but refuse a request
	 * without one: made-up keys stand in. */
	if (send_signed(c, keys != NULL ? keys : &c->a->no_keys, &why) == -1)
		api_call_fail(c, API_TRANSPORT, &why, "");
}

/* ---- the api ---- */

static bool
is_url_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("@?#\"<>\\^`{|}", c) == NULL;
}

/* scheme://host[:port][/path], and nothing else. */
static int
service_set(struct service *s, const char *url, struct err *e)
{
	bool https = strncasecmp(url, "https://", 8) == 0;
	const char *host = url + (https ? 8 : 7);
	const char *usual = https ? ":443" : ":80";
	size_t n = 0, k = strlen(usual);

	if (!https && strncasecmp(url, "http://", 7) != 0)
		return err_set(e, ERR_CONFIG,
		    "api: endpoint '%.200s' is no URL: it must begin with http:// or https://",
		    url);
	for (const char *p = host; *p != '\0'; p++)
		if (!is_url_char(*p))
			return err_set(e, ERR_CONFIG,
			    "api: endpoint '%.200s' may have a host, a port and a path, nothing "
			    "more",
			    url);
	n = strcspn(host, "/");
	s->url = mem_strdup(url);
	s->path = mem_strdup(host[n] != '\0' ? host + n : "/");
	/* libcurl leaves the usual port out of Host */
	if (n > k && strncmp(host + n - k, usual, k) == 0)
		n -= k;
	if (n == 0)
		return err_set(e, ERR_CONFIG, "api: endpoint '%.200s' names no host", url);
	s->host = mem_slicedup((struct slice){host, n});
	return 0;
}

static int
service_from_region(struct service *s, const char *region, bool table_api, struct err *e)
{
	struct buf url = BUF_INIT(512);
	int r = api_endpoint(region, table_api, &url, e);

	if (r == 0)
		r = service_set(s, buf_cstr(&url), e);
	buf_close(&url);
	return r;
}

static void
service_clear(struct service *s)
{
	free(s->url);
	free(s->host);
	free(s->path);
}

static bool
is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strncasecmp(host, "localhost", 9) == 0 ||
	    strncmp(host, "[::1]", 5) == 0;
}

/* What local look-alikes call their region is signed as us-east-1. */
static int
set_region(struct api *a, const char *region, struct err *e)
{
	if (region == NULL && (!a->own_endpoint || !is_loopback(a->streams.host)))
		return err_set(e, ERR_CONFIG,
		    "api: no region: set `region`, AWS_REGION, or the region of the profile");
	if (region == NULL)
		region = "local";
	a->region = mem_strdup(region);
	a->signing_region = strcmp(region, "local") == 0 || strcmp(region, "ddblocal") == 0
	    ? "us-east-1"
	    : a->region;
	return 0;
}

static int
set_endpoints(struct api *a, const struct api_conf *conf, struct err *e)
{
	a->own_endpoint = conf->endpoint != NULL;
	if (a->own_endpoint &&
	    (service_set(&a->streams, conf->endpoint, e) == -1 ||
		service_set(&a->table, conf->endpoint, e) == -1))
		return -1;
	if (set_region(a, conf->region, e) == -1)
		return -1;
	if (a->own_endpoint)
		return 0;
	if (service_from_region(&a->streams, conf->region, false, e) == -1)
		return -1;
	return service_from_region(&a->table, conf->region, true, e);
}

int
api_http_new(struct api **out, struct loop *lp, struct http *http, struct creds *creds,
    const struct api_conf *conf, struct err *e)
{
	struct api *a = mem_new(sizeof *a);

	*out = NULL;
	a->lp = lp;
	a->http = http;
	a->creds = creds;
	a->last = &a->waiting;
	for (size_t i = 0; i < API_OPS; i++)
		a->stats.ops[i].latency.shape = &histogram_latency;
	a->ca_file = mem_strdup(conf->ca_file);
	a->connect_us =
	    conf->connect_timeout_us > 0 ? conf->connect_timeout_us : default_connect_us;
	a->total_us = conf->total_timeout_us > 0 ? conf->total_timeout_us : default_total_us;
	a->concurrency = conf->concurrency > 0 ? conf->concurrency : default_concurrency;
	a->gzip = conf->gzip;
	a->signer = sigv4_new();
	secret_set(&a->no_keys.access_key_id, SLICE_LIT("slipring"));
	secret_set(&a->no_keys.secret_access_key, SLICE_LIT("slipring"));
	if (set_endpoints(a, conf, e) == -1) {
		api_close(a);
		return -1;
	}
	*out = a;
	return 0;
}

int64_t
api_clock_skew(const struct api *a)
{
	return a->seen_skew_us;
}

const struct api_stats *
api_stats_get(const struct api *a)
{
	return &a->stats;
}

void
api_close(struct api *a)
{
	if (a == NULL)
		return;
	while (a->active != NULL)
		call_drop(a->active);
	while (a->waiting != NULL)
		call_drop(a->waiting);
	service_clear(&a->streams);
	service_clear(&a->table);
	sigv4_close(a->signer);
	sigv4_result_close(&a->signature);
	secret_clear(&a->no_keys.access_key_id);
	secret_clear(&a->no_keys.secret_access_key);
	free(a->region);
	free(a->ca_file);
	free(a);
}
