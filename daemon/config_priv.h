/* daemon/config_priv.h - the tables of config.c, for config_write.c, and the
 * checks over several keys, for config.c. */
#ifndef DAEMON_CONFIG_PRIV_H
#define DAEMON_CONFIG_PRIV_H

#include "daemon/config.h"

extern const struct conf_key config_keys[];	/* into struct config */
extern const struct conf_key stream_own_keys[]; /* into struct stream_config */
extern const struct conf_key sink_own_keys[];	/* into struct sink_config */

/* Everything that needs more than one key to see. */
int config_check(struct config *c, struct err *e) MUST_CHECK;

#endif
