/* sinks/postgres_probe.h - what `slipring check --connect` asks the server.
 *
 * Blocks its caller, for some seconds at most; changes nothing: its transaction is read-only, and
 * statements are planned (EXPLAIN), which looks at columns, indexes and privileges, but not run.
 */
#ifndef SINKS_POSTGRES_PROBE_H
#define SINKS_POSTGRES_PROBE_H

#include "sinks/sink.h"

int pg_probe(const void *conf, const struct sink_probe *p, struct err *e) MUST_CHECK;

#endif
