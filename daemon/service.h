/* daemon/service.h - what the service manager is told (sd_notify's protocol).
 *
 * READY=1 once everything is open, STATUS= now and then, WATCHDOG=1 at half
 * of WATCHDOG_USEC but only if the loop has turned since, STOPPING=1 at the end.
 * Without NOTIFY_SOCKET all of it does nothing. Own code because the protocol
 * is one datagram, and libsystemd would be a dependency for thirty lines.
 *
 * Threading: loop thread; the socket never blocks.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "base/buf.h"
#include "base/loop.h"

struct service;

/* status: appends one line for people, without newline. */
struct service *service_new(struct loop *lp, void (*status)(void *arg, struct buf *out), void *arg);
void service_close(struct service *s); /* NULL allowed */
void service_ready(struct service *s);
/* The drain may take this long from now. */
void service_stopping(struct service *s, int64_t timeout_us);

/* One datagram; false if there is no manager or it did not take it. */
bool service_notify(const char *text);

#endif
