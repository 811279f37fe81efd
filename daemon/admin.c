/* daemon/admin.c - see admin.h. */
#include "daemon/admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "base/log.h"
#include "base/mem.h"

#define ADMIN_MAGIC 0x61646d6eu
#define HEADERS_MAX 8192
#define BODY_MAX 1024
#define TIMEOUT_S 10

struct admin {
	uint32_t magic;
	struct loop *lp;
	const struct config *conf; /* borrowed */
	struct pipeline *pl;	   /* borrowed */
	struct evhttp *http;	   /* owned */
	uint16_t port;
	int64_t started_us; /* monotonic */
};

static int64_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long long total, resident = 0;

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lld %lld", &total, &resident) != 2)
		resident = 0;
	(void)fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static void
answer(struct evhttp_request *rq, int status, json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);

	evhttp_add_header(
	    evhttp_request_get_output_headers(rq), "Content-Type", "application/json");
	evhttp_add_header(evhttp_request_get_output_headers(rq), "Cache-Control", "no-store");
	if (text != NULL)
		evbuffer_add_printf(evhttp_request_get_output_buffer(rq), "%s\n", text);
	free(text);
	json_decref(body);
	evhttp_send_reply(rq, status, NULL, NULL);
}

static void
refuse(struct evhttp_request *rq, int status, const char *why)
{
	answer(rq, status, json_pack("{s:s}", "error", why));
}

/* A page on another host name that resolves to 127.0.0.1 is not us. */
static bool
names_loopback(struct evhttp_request *rq)
{
	const char *host = evhttp_request_get_host(rq); /* without the port */
	struct in_addr v4;

	if (host == NULL)
		return false;
	if (strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	    strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

static bool
allowed(struct evhttp_request *rq, enum evhttp_cmd_type method, const char *method_name)
{
	if (!names_loopback(rq)) {
		refuse(rq, 403, "the Host header does not name this machine");
		return false;
	}
	if (evhttp_request_get_command(rq) != method) {
		evhttp_add_header(evhttp_request_get_output_headers(rq), "Allow", method_name);
		refuse(rq, HTTP_BADMETHOD, "another method is wanted here");
		return false;
	}
	return true;
}

static void
on_status(struct evhttp_request *rq, void *arg)
{
	struct admin *a = magic_check(arg, ADMIN_MAGIC);
	json_t *doc, *process, *store;

	if (!allowed(rq, EVHTTP_REQ_GET, "GET"))
		return;
	doc = pipeline_status(a->pl);
	process = json_pack("{s:s, s:i, s:I, s:I, s:I}", "version", SLIPRING_VERSION, "pid",
	    (int)getpid(), "uptime_seconds",
	    (json_int_t)((loop_now(a->lp) - a->started_us) / USEC_SEC), "resident_bytes",
	    (json_int_t)resident_bytes(), "loop_passes", (json_int_t)loop_passes(a->lp));
	store = json_object_get(doc, "store");
	if (json_object_set_new(doc, "process", process) != 0 ||
	    json_object_set_new(store, "type", json_string("sqlite")) != 0 ||
	    json_object_set_new(store, "path", json_string(a->conf->store_path)) != 0) {
		json_decref(doc);
		refuse(rq, HTTP_INTERNAL, "out of memory");
		return;
	}
	answer(rq, HTTP_OK, doc);
}

static void
on_healthz(struct evhttp_request *rq, void *arg)
{
	(void)magic_check(arg, ADMIN_MAGIC);
	if (allowed(rq, EVHTTP_REQ_GET, "GET"))
		answer(rq, HTTP_OK, json_pack("{s:s}", "status", "ok"));
}

static int
query_id(struct evhttp_request *rq, uint64_t *out)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(rq));
	struct evkeyvalq params = {0};
	const char *text;
	int64_t id = -1;

	if (query == NULL || evhttp_parse_query_str(query, &params) != 0)
		return -1;
	text = evhttp_find_header(&params, "id");
	if (text == NULL || conf_parse_int(text, 1, INT64_MAX, &id, NULL) != 0)
		id = -1;
	evhttp_clear_headers(&params);
	*out = (uint64_t)id;
	return id > 0 ? 0 : -1;
}

static void
on_gap_accept(struct evhttp_request *rq, void *arg)
{
	struct admin *a = magic_check(arg, ADMIN_MAGIC);
	uint64_t id;
	struct err e;

	if (!allowed(rq, EVHTTP_REQ_POST, "POST"))
		return;
	if (evhttp_find_header(evhttp_request_get_input_headers(rq), "X-Slipring") == NULL) {
		refuse(rq, 403, "the header X-Slipring: 1 is missing");
		return;
	}
	if (query_id(rq, &id) != 0) {
		refuse(
		    rq, HTTP_BADREQUEST, "id must be the number of a gap, as in /gaps/accept?id=3");
		return;
	}
	if (pipeline_gap_accept(a->pl, id, &e) != 0) {
		refuse(rq,
		    e.code == ERR_NOT_FOUND	? HTTP_NOTFOUND
			: e.code == ERR_REFUSED ? 409
						: 500,
		    e.text);
		return;
	}
	log_info("admin", "", "gap accepted id=%llu", (unsigned long long)id);
	answer(rq, HTTP_OK, json_pack("{s:I}", "accepted", (json_int_t)id));
}

static void
on_other(struct evhttp_request *rq, void *arg)
{
	(void)magic_check(arg, ADMIN_MAGIC);
	refuse(rq, HTTP_NOTFOUND, "there are /status, /healthz and /gaps/accept");
}

/* What the kernel gave us for port 0. */
static uint16_t
bound_port(evutil_socket_t fd)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof ss;

	if (getsockname(fd, (struct sockaddr *)&ss, &n) != 0)
		return 0;
	if (ss.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&ss)->sin6_port);
	return ntohs(((const struct sockaddr_in *)&ss)->sin_port);
}

static int
bind_port(struct admin *a, struct err *e)
{
	const struct listen_address *l = &a->conf->admin;
	struct evhttp_bound_socket *bound;

	errno = 0;
	bound = evhttp_bind_socket_with_handle(a->http, l->host, l->port);
	if (bound == NULL)
		return err_set(e, ERR_IO,
		    "admin: cannot listen on %s port %u: %s; is another slipring running? "
		    "\"admin: {listen: ...}\" names another port, or off",
		    l->host, l->port, strerror(errno != 0 ? errno : EADDRINUSE));
	a->port = bound_port(evhttp_bound_socket_get_fd(bound));
	return 0;
}

int
admin_new(struct admin **out, struct loop *lp, const struct config *conf, struct pipeline *pl,
    struct err *e)
{
	struct admin *a;

	*out = NULL;
	if (conf->admin.off)
		return 0;
	a = mem_new(sizeof *a);
	a->magic = ADMIN_MAGIC;
	a->lp = lp;
	a->conf = conf;
	a->pl = pl;
	a->started_us = loop_now(lp);
	a->http = evhttp_new(loop_native(lp));
	if (a->http == NULL) {
		err_set(e, ERR_NOMEM, "admin: out of memory");
		goto fail;
	}
	evhttp_set_max_headers_size(a->http, HEADERS_MAX);
	evhttp_set_max_body_size(a->http, BODY_MAX);
	evhttp_set_timeout(a->http, TIMEOUT_S);
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_gencb(a->http, on_other, a);
	(void)evhttp_set_cb(a->http, "/status", on_status, a);
	(void)evhttp_set_cb(a->http, "/healthz", on_healthz, a);
	(void)evhttp_set_cb(a->http, "/gaps/accept", on_gap_accept, a);
	if (bind_port(a, e) != 0)
		goto fail;
	log_info("admin", "", "listening address=%s port=%u", conf->admin.host, a->port);
	*out = a;
	return 0;
fail:
	admin_close(a);
	return -1;
}

void
admin_close(struct admin *a)
{
	if (a == NULL)
		return;
	if (a->http != NULL)
		evhttp_free(a->http);
	free(a);
}
