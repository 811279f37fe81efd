/* sinks/registry.c - the sinks this program was built with. */
#include "sinks/sink.h"

const struct sink_ops *const sink_registry[] = {
    &sink_audit,
    &sink_kafka,
    &sink_opensearch,
    &sink_postgres,
    &sink_sqlite,
    &sink_stdout,
    NULL,
};
