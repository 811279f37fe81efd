/* daemon/status_priv.h - for the two files that print the status. */
#ifndef DAEMON_STATUS_PRIV_H
#define DAEMON_STATUS_PRIV_H

#include "daemon/columns.h"
#include "daemon/status_text.h"

#define STATUS_WIDTH 100 /* columns */

/* Members of what the daemon said; "-" and 0 for what it did not. */
const char *status_text(const json_t *o, const char *key);
json_int_t status_int(const json_t *o, const char *key);
double status_number(const json_t *o, const char *key);

void status_add_age(struct columns *c, double seconds);
/* "name: text", at most 100 columns a line, the further ones indented. */
void status_print_wrapped(const char *name, const char *text);

/* status_ways.c */
void status_print_ways(const json_t *doc, bool color);

#endif
