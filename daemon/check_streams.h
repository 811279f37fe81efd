/* daemon/check_streams.h - would the streams be read? For `check --connect`: finds each,
 * and tries every call that the daemon will make, since each needs a permission of its own.
 */
#ifndef DAEMON_CHECK_STREAMS_H
#define DAEMON_CHECK_STREAMS_H

#include "daemon/find.h"
#include "daemon/findings.h"

struct checked { /* one per stream of the configuration, in its order */
	bool found;
	struct found what;
	struct key_schema schema; /* points into what */
};

/* Runs a loop of its own, gone when it returns. *out: the caller's to free. */
void check_streams(struct findings *f, const struct config *c, struct checked **out);

#endif
