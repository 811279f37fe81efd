/* daemon/findings.h - what `check --connect` finds, one line each:
 *
 *   ok    stream orders: table orders, view NEW_AND_OLD_IMAGES
 *   note  sink copy: table "orders" is not there; with create: true it will be made
 *   bad   store: cannot create a file in /var/lib/slipring: Permission denied
 */
#ifndef DAEMON_FINDINGS_H
#define DAEMON_FINDINGS_H

#include "base/err.h"
#include "daemon/command.h"
#include "sinks/sink.h"

struct findings {
	bool color;
	size_t count[SINK_FOUND_BAD + 1];
	int code; /* EXIT_DONE while nothing is bad */
};

void findings_begin(struct findings *f);
/* about: "stream orders". What is bad ends in exit code 1. text of several lines is indented. */
void findings_say(struct findings *f, enum sink_finding kind, const char *about, const char *text);
void findings_sayf(struct findings *f, enum sink_finding kind, const char *about, const char *fmt,
    ...) PRINTF_LIKE(4, 5);
/* Bad; the exit code is the error's. */
void findings_fail(struct findings *f, const char *about, const struct err *e);

#endif
