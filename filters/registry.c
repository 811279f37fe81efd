/* filters/registry.c - the filters this program was built with. */
#include "filters/filter.h"

const struct filter_ops *const filter_registry[] = {
    &filter_pattern, &filter_plugin, &filter_route, &filter_encrypt, NULL};
