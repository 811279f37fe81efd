/* daemon/admin_client.h - asks the running daemon, for status and gaps accept. */
#ifndef DAEMON_ADMIN_CLIENT_H
#define DAEMON_ADMIN_CLIENT_H

#include <jansson.h>

#include "daemon/config.h"

/* One request, waited for; at most a few seconds. path: "/status". *out: the
 * answer, the caller's reference. ERR_NETWORK: nobody listens there. ERR_REFUSED,
 * ERR_NOT_FOUND: the daemon's own words. ERR_PROTOCOL: it is no slipring. */
int admin_ask(const struct listen_address *where, bool post, const char *path, json_t **out,
    struct err *e) MUST_CHECK;
/* POST with a JSON body. */
int admin_post(const struct listen_address *where, const char *path, struct slice body,
    json_t **out, struct err *e) MUST_CHECK;
/* What --admin says. ERR_USAGE: it is nothing that could be asked. */
int admin_option(const char *text, struct listen_address *out, struct err *e) MUST_CHECK;

#endif
