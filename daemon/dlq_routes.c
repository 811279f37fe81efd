/* daemon/dlq_routes.c - the daemon's side of `slipring dlq` (see dlq.h).
 *
 *   POST /dlq/replay   {"sink": ..., "reason": ..., ..., "rate": 50}
 *   POST /dlq/drop     the same, without rate; {"all": true} where nothing else is said
 *        -> {"jobs": [{"sink": "search"}, {"sink": "copy", "refused": "why"}]}
 *   GET  /dlq/jobs     the last job of each sink, running or over
 */
#include "daemon/dlq_routes.h"

#include <stdlib.h>

#include <event2/buffer.h>

#include "base/mem.h"
#include "daemon/dlq.h"

static json_t *
read_body(struct evhttp_request *rq)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(rq);
	size_t n = evbuffer_get_length(in);

	return json_loadb(
	    n != 0 ? (const char *)evbuffer_pullup(in, -1) : "", n, JSON_REJECT_DUPLICATES, NULL);
}

static int
start(struct admin *a, bool replay, const json_t *doc, json_t **out, struct err *e)
{
	const json_t *rate = json_object_get(doc, "rate");
	struct dlq_select s;
	int r;

	if (rate != NULL && (!json_is_integer(rate) || json_integer_value(rate) < 0))
		return err_set(e, ERR_USAGE, "\"rate\" must be a number of letters a second");
	if (dlq_select_parse(&s, doc, e) != 0)
		return -1;
	if (replay)
		r = pipeline_replay(a->w->pipeline, &s.query, json_integer_value(rate), out, e);
	else
		r = pipeline_drop(a->w->pipeline, &s.query, out, e);
	dlq_select_close(&s);
	return r;
}

static void
post(struct admin *a, struct evhttp_request *rq, bool replay)
{
	json_t *doc = read_body(rq), *jobs = NULL;
	struct err e;

	if (start(a, replay, doc, &jobs, &e) == 0)
		admin_answer(rq, HTTP_OK, json_pack("{s:o}", "jobs", jobs));
	else
		admin_refuse_err(rq, &e);
	json_decref(doc);
}

void
post_dlq_replay(struct admin *a, struct evhttp_request *rq)
{
	post(a, rq, true);
}

void
post_dlq_drop(struct admin *a, struct evhttp_request *rq)
{
	post(a, rq, false);
}

void
get_dlq_jobs(struct admin *a, struct evhttp_request *rq)
{
	admin_answer(rq, HTTP_OK, json_pack("{s:o}", "jobs", pipeline_jobs(a->w->pipeline)));
}
