/* sinks/sqlite_probe.h - `slipring check --connect` of a SQLite copy: looks at the file
 * and its tables, changes nothing, and prints the statements that make what is missing.
 */
#ifndef SINKS_SQLITE_PROBE_H
#define SINKS_SQLITE_PROBE_H

#include "sinks/sqlite_file.h"

/* As sink_ops.probe; conf is a struct sqlite_conf. */
int sqlite_probe(const void *conf, const struct sink_probe *p, struct err *e) MUST_CHECK;

#endif
