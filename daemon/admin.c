/* daemon/admin.c - see admin.h: the socket, and who may ask what.
 *
 *   request -> known path? -> Host names loopback? -> method? -> X-Slipring? -> the route's fn
 *
 * What is answered is in routes.c and the files it names.
 */
#include "daemon/admin_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>

#include "base/log.h"
#include "base/mem.h"

#define MOUNT_MAGIC 0x6d6f756eu
#define HEADERS_MAX 8192
#define BODY_MAX (256 << 10) /* `dlq drop --id` with thousands of numbers */
#define TIMEOUT_S 10

struct mount { /* a route in this admin */
	uint32_t magic;
	struct admin *a;
	const struct admin_route *route;
};

/* ---- answers ---- */

void
admin_answer(struct evhttp_request *rq, int status, json_t *body)
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

void
admin_refuse(struct evhttp_request *rq, int status, const char *why)
{
	admin_answer(rq, status, json_pack("{s:s}", "error", why));
}

void
admin_refuse_err(struct evhttp_request *rq, const struct err *e)
{
	int status = e->code == ERR_NOT_FOUND ? HTTP_NOTFOUND
	    : e->code == ERR_REFUSED	      ? 409
	    : e->code == ERR_USAGE	      ? HTTP_BADREQUEST
					      : HTTP_INTERNAL;

	admin_refuse(rq, status, e->text);
}

int
admin_param(struct evhttp_request *rq, const char *name, char *out, size_t room)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(rq));
	struct evkeyvalq params = {0};
	const char *text;
	size_t n;

	if (query == NULL || evhttp_parse_query_str(query, &params) != 0)
		return -1;
	text = evhttp_find_header(&params, name);
	n = text != NULL ? strlen(text) : 0;
	if (n != 0 && n < room)
		memcpy(out, text, n + 1);
	evhttp_clear_headers(&params);
	return n != 0 && n < room ? 0 : -1;
}

/* ---- who may ask ---- */

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

static void
on_request(struct evhttp_request *rq, void *arg)
{
	struct mount *m = magic_check(arg, MOUNT_MAGIC);
	bool post = m->route->post;

	if (!names_loopback(rq)) {
		admin_refuse(rq, 403, "the Host header does not name this machine");
		return;
	}
	if (evhttp_request_get_command(rq) != (post ? EVHTTP_REQ_POST : EVHTTP_REQ_GET)) {
		evhttp_add_header(
		    evhttp_request_get_output_headers(rq), "Allow", post ? "POST" : "GET");
		admin_refuse(rq, HTTP_BADMETHOD, "another method is wanted here");
		return;
	}
	if (post &&
	    evhttp_find_header(evhttp_request_get_input_headers(rq), "X-Slipring") == NULL) {
		admin_refuse(rq, 403, "the header X-Slipring: 1 is missing");
		return;
	}
	m->route->fn(m->a, rq);
}

static void
on_other(struct evhttp_request *rq, void *arg)
{
	struct buf b = BUF_INIT(4096);

	(void)magic_check(arg, ADMIN_MAGIC);
	buf_add_str(&b, "there are");
	for (const struct admin_route *r = admin_routes; r->path != NULL; r++)
		buf_addf(&b, "%s %s", r == admin_routes ? "" : ",", r->path);
	admin_refuse(rq, HTTP_NOTFOUND, buf_cstr(&b));
	buf_close(&b);
}

static void
mount_routes(struct admin *a)
{
	size_t n = 0;

	while (admin_routes[n].path != NULL)
		n++;
	a->mounts = mem_array(n, sizeof *a->mounts);
	for (size_t i = 0; i < n; i++) {
		a->mounts[i] =
		    (struct mount){.magic = MOUNT_MAGIC, .a = a, .route = &admin_routes[i]};
		(void)evhttp_set_cb(a->http, admin_routes[i].path, on_request, &a->mounts[i]);
	}
}

/* ---- the socket ---- */

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
admin_new(struct admin **out, const struct wiring *w, const struct config *conf, struct err *e)
{
	struct admin *a;

	*out = NULL;
	if (conf->admin.off)
		return 0;
	a = mem_new(sizeof *a);
	a->magic = ADMIN_MAGIC;
	a->w = w;
	a->conf = conf;
	a->started_us = loop_now(w->loop);
	a->lag = loop_lag_new(w->loop);
	a->http = evhttp_new(loop_native(w->loop));
	if (a->http == NULL) {
		err_set(e, ERR_NOMEM, "admin: out of memory");
		goto fail;
	}
	evhttp_set_max_headers_size(a->http, HEADERS_MAX);
	evhttp_set_max_body_size(a->http, BODY_MAX);
	evhttp_set_timeout(a->http, TIMEOUT_S);
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_gencb(a->http, on_other, a);
	mount_routes(a);
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
	loop_lag_close(a->lag);
	free(a->mounts);
	free(a);
}
