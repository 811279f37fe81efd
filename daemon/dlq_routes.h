/* daemon/dlq_routes.h - routes of the admin port for dead letters; see dlq_routes.c. */
#ifndef DAEMON_DLQ_ROUTES_H
#define DAEMON_DLQ_ROUTES_H

#include "daemon/admin_priv.h"

void post_dlq_replay(struct admin *a, struct evhttp_request *rq);
void post_dlq_drop(struct admin *a, struct evhttp_request *rq);
void get_dlq_jobs(struct admin *a, struct evhttp_request *rq);

#endif
