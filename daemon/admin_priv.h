/* daemon/admin_priv.h - what the admin port lends to whoever answers on it.
 *
 *   admin.c    socket, the Host header, methods, the guard of what changes something
 *   routes.c   the table of paths, and the small answers
 *   others     an answer of some size has a file of its own, and a line in the table
 *
 * A route's fn answers exactly once, by admin_answer(), admin_refuse() or
 * evhttp_send_reply(); at once, or later if it keeps rq (libevent then ends rq with its
 * connection: evhttp_connection_set_closecb() tells). Threading: loop thread.
 */
#ifndef DAEMON_ADMIN_PRIV_H
#define DAEMON_ADMIN_PRIV_H

#include <event2/http.h>
#include <jansson.h>

#include "daemon/admin.h"
#include "daemon/loop_lag.h"

#define ADMIN_MAGIC 0x61646d6eu

struct admin {
	uint32_t magic;
	const struct wiring *w;	   /* borrowed */
	const struct config *conf; /* borrowed */
	struct evhttp *http;	   /* owned */
	struct mount *mounts;	   /* owned array; one per route */
	struct loop_lag *lag;	   /* owned */
	uint16_t port;
	int64_t started_us; /* monotonic */
};

struct admin_route {
	const char *path;
	/* POST, for what changes something: wants the header X-Slipring as well. Else GET. */
	bool post;
	void (*fn)(struct admin *a, struct evhttp_request *rq);
};

/* Ends with .path == NULL. */
extern const struct admin_route admin_routes[];

/* metrics.c */
void admin_get_metrics(struct admin *a, struct evhttp_request *rq);
int64_t process_resident_bytes(void);

/* Takes the reference on body. */
void admin_answer(struct evhttp_request *rq, int status, json_t *body);
/* {"error": why} */
void admin_refuse(struct evhttp_request *rq, int status, const char *why);
/* The same, with the status that fits e->code: 404 for NOT_FOUND, 409 for REFUSED,
 * 400 for USAGE, else 500. */
void admin_refuse_err(struct evhttp_request *rq, const struct err *e);
/* A parameter of the query, decoded, cut to room: 0, or -1 if it is missing, empty or too long. */
int admin_param(struct evhttp_request *rq, const char *name, char *out, size_t room) MUST_CHECK;

#endif
