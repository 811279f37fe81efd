/* filters/filter_pattern.c - `type: pattern`: keeps what an event pattern matches.
 *
 * The pattern sees the record as Lambda would: the record's own JSON; a plain one, its
 * attributes without their types. When an earlier filter has rewritten it, it sees that.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "filters/pattern.h"

enum ttl { TTL_ANY, TTL_ONLY, TTL_NEVER };
static const char *const ttl_words[] = {"any", "only", "never", NULL};

struct pattern_conf {
	char *pattern;
	bool plain;
	int ttl; /* enum ttl */
};

struct filter {
	const struct pattern_conf *conf; /* borrowed */
	struct pattern *pattern;	 /* owned; NULL: anything */
};

#define CONF(member) .ofs = offsetof(struct pattern_conf, member)
static const struct conf_key keys[] = {
    {.name = "pattern",
	.type = CONF_JSON,
	CONF(pattern),
	.doc = "The JSON of a Lambda event filter or EventBridge pattern, pasted as it is."},
    {.name = "plain",
	.type = CONF_BOOL,
	CONF(plain),
	.def = "no",
	.doc = "The pattern names attributes without their types: {\"new\": {\"status\": "
	       "[\"paid\"]}}."},
    {.name = "ttl",
	.type = CONF_ENUM,
	CONF(ttl),
	.def = "any",
	.words = ttl_words,
	.doc = "Whether removals by time to live are kept: any, only them, or never."},
    {.name = NULL},
};

static int
compile(struct pattern **out, const struct pattern_conf *c, struct err *e)
{
	return c->plain ? pattern_compile_plain(out, slice_of(c->pattern), e)
			: pattern_compile(out, slice_of(c->pattern), e);
}

static int
check(const void *conf, struct err *e)
{
	const struct pattern_conf *c = conf;
	struct pattern *p;

	if (c->pattern == NULL && c->ttl == TTL_ANY)
		return err_set(
		    e, ERR_CONFIG, "a pattern filter needs \"pattern\", \"ttl\" or both");
	if (c->pattern == NULL)
		return c->plain
		    ? err_set(e, ERR_CONFIG, "\"plain\" is about a \"pattern\"; there is none")
		    : 0;
	if (compile(&p, c, e) != 0)
		return -1;
	pattern_close(p);
	return 0;
}

static void
remark(const void *conf, struct buf *out)
{
	const struct pattern_conf *c = conf;
	struct pattern *p;
	struct err e;

	if (c->pattern == NULL || compile(&p, c, &e) != 0)
		return;
	if (pattern_remark(p) != NULL)
		buf_add_str(out, pattern_remark(p));
	pattern_close(p);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);

	(void)name;
	f->conf = conf;
	if (f->conf->pattern != NULL && compile(&f->pattern, f->conf, e) != 0) {
		free(f);
		return -1;
	}
	*out = f;
	return 0;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	pattern_close(f->pattern);
	free(f);
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	bool by_ttl = (r->flags & RECORD_TTL) != 0;

	(void)o;
	(void)why;
	if ((f->conf->ttl == TTL_ONLY && !by_ttl) || (f->conf->ttl == TTL_NEVER && by_ttl))
		return FILTER_DROP;
	if (f->pattern == NULL)
		return FILTER_KEEP;
	return pattern_match_record(f->pattern, r) ? FILTER_KEEP : FILTER_DROP;
}

static struct pattern *
pattern_of(const struct filter *f)
{
	return f->conf->ttl == TTL_ANY ? f->pattern : NULL;
}

const struct filter_ops filter_pattern = {
    .api = FILTER_API,
    .type = "pattern",
    .help = "Keeps the changes that an event pattern matches; drops the others.",
    .conf_size = sizeof(struct pattern_conf),
    .keys = keys,
    .check = check,
    .remark = remark,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
    .pattern = pattern_of,
};
