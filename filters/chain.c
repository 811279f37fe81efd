/* filters/chain.c - see chain.h. */
#include "filters/chain.h"

#include <stdlib.h>

#include "base/mem.h"

struct link {
	const struct filter_ops *ops;
	struct filter *filter; /* owned */
	struct chain_counts counts;
};

struct chain {
	struct link *links; /* owned */
	size_t n;
};

struct chain *
chain_new(void)
{
	return mem_new(sizeof(struct chain));
}

void
chain_close(struct chain *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++)
		c->links[i].ops->close(c->links[i].filter);
	free(c->links);
	free(c);
}

int
chain_add(struct chain *c, const char *name, const struct filter_ops *ops, const void *conf,
    struct err *e)
{
	struct filter *f;

	if (ops->open(&f, name, conf, e) != 0)
		return err_prefix(e, "filter %s", name);
	c->links = mem_grow(c->links, c->n + 1, sizeof *c->links);
	c->links[c->n++] = (struct link){.ops = ops, .filter = f, .counts = {.name = name}};
	return 0;
}

struct pattern *
chain_pattern(const struct chain *c)
{
	const struct link *l = c != NULL && c->n != 0 ? &c->links[0] : NULL;

	return l != NULL && l->ops->pattern != NULL ? l->ops->pattern(l->filter) : NULL;
}

static enum filter_verdict
apply_from(struct chain *c, size_t i, struct record *r, const struct origin *o, struct err *why)
{
	enum filter_verdict all = FILTER_KEEP;

	for (; i < c->n; i++) {
		struct link *l = &c->links[i];

		l->counts.seen++;
		why->text[0] = '\0';
		switch (l->ops->apply(l->filter, r, o, why)) {
		case FILTER_KEEP:
			break;
		case FILTER_DROP:
			l->counts.dropped++;
			return FILTER_DROP;
		case FILTER_REWRITE:
			l->counts.rewritten++;
			all = FILTER_REWRITE;
			break;
		case FILTER_REJECT:
			l->counts.rejected++;
			if (why->text[0] == '\0')
				(void)err_set(why, ERR_REFUSED, "no reason given");
			(void)err_prefix(why, "filter %s", l->counts.name);
			return FILTER_REJECT;
		}
	}
	return all;
}

enum filter_verdict
chain_apply(struct chain *c, struct record *r, const struct origin *o, struct err *why)
{
	return apply_from(c, 0, r, o, why);
}

enum filter_verdict
chain_apply_known(
    struct chain *c, bool matches, struct record *r, const struct origin *o, struct err *why)
{
	c->links[0].counts.seen++;
	if (matches)
		return apply_from(c, 1, r, o, why);
	c->links[0].counts.dropped++;
	return FILTER_DROP;
}

size_t
chain_length(const struct chain *c)
{
	return c != NULL ? c->n : 0;
}

struct chain_counts
chain_counts_of(const struct chain *c, size_t i)
{
	return c->links[i].counts;
}
