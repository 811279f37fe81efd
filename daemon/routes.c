/* daemon/routes.c - what the admin port answers: the table, and what is small
 * enough to be answered here.
 */
#include "daemon/admin_priv.h"
#include "daemon/dlq_routes.h"

#include <unistd.h>

#include "base/log.h"

static json_t *
process_json(const struct admin *a)
{
	struct loop *lp = a->w->loop;

	return json_pack("{s:s, s:i, s:I, s:I, s:I}", "version", SLIPRING_VERSION, "pid",
	    (int)getpid(), "uptime_seconds",
	    (json_int_t)((loop_now(lp) - a->started_us) / USEC_SEC), "resident_bytes",
	    (json_int_t)process_resident_bytes(), "loop_passes", (json_int_t)loop_passes(lp));
}

static void
get_status(struct admin *a, struct evhttp_request *rq)
{
	json_t *doc = pipeline_status(a->w->pipeline);
	json_t *store = json_object_get(doc, "store");

	if (json_object_set_new(doc, "process", process_json(a)) != 0 ||
	    json_object_set_new(store, "type", json_string("sqlite")) != 0 ||
	    json_object_set_new(store, "path", json_string(a->conf->store_path)) != 0) {
		json_decref(doc);
		admin_refuse(rq, HTTP_INTERNAL, "out of memory");
		return;
	}
	admin_answer(rq, HTTP_OK, doc);
}

static void
get_healthz(struct admin *a, struct evhttp_request *rq)
{
	(void)a;
	admin_answer(rq, HTTP_OK, json_pack("{s:s}", "status", "ok"));
}

static void
get_readyz(struct admin *a, struct evhttp_request *rq)
{
	json_t *why = pipeline_unready(a->w->pipeline);
	bool ready = json_array_size(why) == 0;

	admin_answer(rq, ready ? HTTP_OK : HTTP_SERVUNAVAIL,
	    json_pack("{s:s, s:o}", "status", ready ? "ready" : "not ready", "reasons", why));
}

static void
post_gap_accept(struct admin *a, struct evhttp_request *rq)
{
	char text[24];
	int64_t id;
	struct err e;

	if (admin_param(rq, "id", text, sizeof text) != 0 ||
	    conf_parse_int(text, 1, INT64_MAX, &id, NULL) != 0) {
		admin_refuse(
		    rq, HTTP_BADREQUEST, "id must be the number of a gap, as in /gaps/accept?id=3");
		return;
	}
	if (pipeline_gap_accept(a->w->pipeline, (uint64_t)id, &e) != 0) {
		admin_refuse_err(rq, &e);
		return;
	}
	log_info("admin", "", "gap accepted id=%lld", (long long)id);
	admin_answer(rq, HTTP_OK, json_pack("{s:I}", "accepted", (json_int_t)id));
}

static void
post_sink_resume(struct admin *a, struct evhttp_request *rq)
{
	const char *state;
	char name[256];
	struct err e;

	if (admin_param(rq, "name", name, sizeof name) != 0) {
		admin_refuse(rq, HTTP_BADREQUEST,
		    "name must be the name of a sink, as in /sinks/resume?name=search");
		return;
	}
	if (pipeline_sink_resume(a->w->pipeline, name, &state, &e) != 0) {
		admin_refuse_err(rq, &e);
		return;
	}
	admin_answer(rq, HTTP_OK, json_pack("{s:s, s:s}", "sink", name, "was", state));
}

const struct admin_route admin_routes[] = {
    {.path = "/status", .fn = get_status},
    {.path = "/metrics", .fn = admin_get_metrics},
    {.path = "/healthz", .fn = get_healthz},
    {.path = "/readyz", .fn = get_readyz},
    {.path = "/gaps/accept", .post = true, .fn = post_gap_accept},
    {.path = "/sinks/resume", .post = true, .fn = post_sink_resume},
    {.path = "/dlq/jobs", .fn = get_dlq_jobs},
    {.path = "/dlq/replay", .post = true, .fn = post_dlq_replay},
    {.path = "/dlq/drop", .post = true, .fn = post_dlq_drop},
    {.path = NULL},
};
