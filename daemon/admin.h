/* daemon/admin.h - the daemon's own HTTP port, on this machine only.
 *
 *   GET  /status             what the process is and what the pipeline does, JSON
 *   GET  /metrics            for Prometheus (docs/metrics.md)
 *   GET  /healthz            200 while the loop turns
 *   GET  /readyz             200 while all of it does what it should; 503 with the reasons
 *   GET  /dlq/jobs           what became of dead letters that were replayed or dropped
 *   POST /dlq/replay, /dlq/drop   likewise, with a JSON body (dlq_routes.c)
 *   POST /gaps/accept?id=N   wants the header X-Slipring: 1
 *   POST /sinks/resume?name=SINK   likewise
 *
 * There is no password. What keeps a web page in somebody's browser out: the
 * address is loopback, the Host header must name loopback (or a name that was
 * pointed at 127.0.0.1 would do), and every request that changes something
 * wants a header that a page cannot send elsewhere without being allowed to.
 *
 * Threading: loop thread (libevent's evhttp on the loop's base).
 */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include "daemon/wiring.h"

struct admin;

/* Binds and answers. Logs the address. w and conf outlive it. ERR_IO if the port is taken. */
int admin_new(struct admin **out, const struct wiring *w, const struct config *conf,
    struct err *e) MUST_CHECK;
void admin_close(struct admin *a); /* NULL allowed */

#endif
