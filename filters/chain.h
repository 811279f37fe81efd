/* filters/chain.h - the filters of one sink, in the order in which they are named.
 *
 * Threading: loop thread. Ownership: a chain owns its filters; names and
 * configurations outlive it.
 */
#ifndef FILTERS_CHAIN_H
#define FILTERS_CHAIN_H

#include "filters/filter.h"

struct chain;

struct chain_counts { /* of one filter of the chain */
	const char *name;
	uint64_t seen, dropped, rewritten, rejected;
};

struct chain *chain_new(void);
void chain_close(struct chain *c); /* NULL allowed */
int chain_add(struct chain *c, const char *name, const struct filter_ops *ops, const void *conf,
    struct err *e) MUST_CHECK;

/* r is the caller's copy; after REWRITE its keys and images are valid until the
 * next apply. The first DROP or REJECT ends it; why begins with that filter's name. */
enum filter_verdict
chain_apply(struct chain *c, struct record *r, const struct origin *o, struct err *why);

/* The pattern that the chain begins with, if its first filter is no more than that; NULL:
 * it is not. The same, where that pattern's answer is known already. */
struct pattern *chain_pattern(const struct chain *c);
enum filter_verdict chain_apply_known(
    struct chain *c, bool matches, struct record *r, const struct origin *o, struct err *why);

size_t chain_length(const struct chain *c);
struct chain_counts chain_counts_of(const struct chain *c, size_t i);

#endif
