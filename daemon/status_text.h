/* daemon/status_text.h - the daemon's status as tables for people, the worst first. */
#ifndef DAEMON_STATUS_TEXT_H
#define DAEMON_STATUS_TEXT_H

#include <jansson.h>
#include <stdbool.h>

/* doc: what GET /status answered. At most 100 columns wide. What the daemon
 * does not say (an older or newer one) is shown as "-". */
void status_print(const json_t *doc, bool color);

#endif
