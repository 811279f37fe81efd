/* daemon/admin_client.c - see admin_client.h. */
#include "daemon/admin_client.h"

#include <stdio.h>
#include <string.h>

#include "base/http.h"
#include "base/loop.h"

/* The status of 10,000 shards is a few megabytes. */
#define ANSWER_MAX (64u << 20)

struct asking {
	struct loop *lp;
	json_t **out;
	struct err *e;
	int result;
};

static void
read_answer(struct asking *q, const struct http_response *r)
{
	json_t *doc = json_loadb(r->body.p != NULL ? r->body.p : "", r->body.n, 0, NULL);
	const char *error = json_string_value(json_object_get(doc, "error"));

	if (r->status == 200 && json_is_object(doc)) {
		*q->out = doc;
		q->result = 0;
		return;
	}
	if (error != NULL)
		err_set(q->e, r->status == 404 ? ERR_NOT_FOUND : ERR_REFUSED, "%s", error);
	else
		err_set(q->e, ERR_PROTOCOL, "what answers there is no slipring (HTTP status %d)",
		    r->status);
	json_decref(doc);
}

static void
on_answer(void *arg, struct http_response *r, const struct err *e)
{
	struct asking *q = arg;

	if (r != NULL)
		read_answer(q, r);
	else
		*q->e = *e;
	loop_stop(q->lp);
}

static int
ask(const struct listen_address *where, bool post, const char *path, struct slice body,
    json_t **out, struct err *e)
{
	static const struct http_header headers[] = {{"X-Slipring", "1"}};
	bool v6 = strchr(where->host, ':') != NULL;
	struct asking q = {.out = out, .e = e, .result = -1};
	struct http *http = NULL;
	char url[256];
	struct http_request rq = {.method = post ? "POST" : "GET",
	    .url = url,
	    .headers = headers,
	    .header_count = ARRAY_LEN(headers),
	    .body = body,
	    .connect_timeout_us = 2 * USEC_SEC,
	    .total_timeout_us = 10 * USEC_SEC,
	    .max_body = ANSWER_MAX};

	*out = NULL;
	(void)snprintf(url, sizeof url, "http://%s%s%s:%u%s", v6 ? "[" : "", where->host,
	    v6 ? "]" : "", where->port, path);
	if (loop_new(&q.lp, 0, e) != 0)
		return -1;
	if (http_new(&http, q.lp, e) == 0 && http_send(http, &rq, on_answer, &q, e) != NULL &&
	    loop_run(q.lp, e) != 0)
		q.result = -1;
	if (http != NULL)
		http_close(http);
	loop_close(q.lp);
	return q.result;
}

int
admin_ask(
    const struct listen_address *where, bool post, const char *path, json_t **out, struct err *e)
{
	return ask(where, post, path, SLICE_LIT(""), out, e);
}

int
admin_post(const struct listen_address *where, const char *path, struct slice body, json_t **out,
    struct err *e)
{
	return ask(where, true, path, body, out, e);
}

int
admin_option(const char *text, struct listen_address *out, struct err *e)
{
	int r = listen_parse(text, out, e);

	if (r == 0 && (out->off || out->port == 0))
		r = err_set(e, ERR_CONFIG,
		    "\"%.60s\" is nowhere to ask; write for example 127.0.0.1:9464", text);
	if (r != 0) {
		(void)err_prefix(e, "--admin");
		e->code = ERR_USAGE;
	}
	return r;
}
