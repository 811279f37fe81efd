/* filters/registry.c - the filters this program was built with. */
#include "filters/filter.h"

const struct filter_ops *const filter_registry[] = {
    &filter_pattern,
    &filter_project,
    &filter_rename,
    &filter_set,
    &filter_flatten,
    &filter_encrypt,
    &filter_redact,
    &filter_route,
    &filter_sample,
    &filter_dedupe,
    &filter_limit,
    &filter_plugin,
    &filter_script,
    NULL,
};
