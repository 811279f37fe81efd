/* daemon/position_check.h - does a shard have a record with that number? */
#ifndef DAEMON_POSITION_CHECK_H
#define DAEMON_POSITION_CHECK_H

#include "daemon/config.h"

/* Asks the service. ERR_REFUSED: it does not, with what it has instead where
 * that is known. Other codes: it could not be asked. */
int position_check(const struct stream_config *s, const char *arn, const char *shard,
    const struct seq *seq, struct err *e) MUST_CHECK;

#endif
