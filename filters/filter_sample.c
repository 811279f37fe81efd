/* filters/filter_sample.c - `type: sample`: all changes of a share of the items.
 *
 * By a hash of the key alone, so that an item is in or out for good: after a restart,
 * on another host, in a later version. docs/transforms.md says which hash, and a test pins it.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "record/key.h"

/* Of a percent: six decimals. */
#define SCALE 1000000u
#define DECIMALS 6

struct sample_conf {
	char *percent;
};

struct filter {
	uint64_t share; /* of the hundred million that keys fall into */
	struct buf key;
};

#define CONF(member) .ofs = offsetof(struct sample_conf, member)
static const struct conf_key keys[] = {
    {.name = "percent",
	.type = CONF_STR,
	.flags = CONF_REQUIRED,
	CONF(percent),
	.doc = "How many of a hundred items are kept, with up to six decimals: 0.5."},
    {.name = NULL},
};

/* In millionths of a percent. */
static int
parse_percent(const char *text, uint64_t *out, struct err *e)
{
	const char *p = text;
	unsigned decimals = 0;
	uint64_t v = 0;

	for (; *p >= '0' && *p <= '9' && v <= 100; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	v *= SCALE;
	if (p != text && *p == '.' && p[1] != '\0') {
		uint64_t unit = SCALE / 10;

		for (p++; *p >= '0' && *p <= '9' && decimals < DECIMALS; p++, decimals++) {
			v += unit * (uint64_t)(*p - '0');
			unit /= 10;
		}
	}
	if (p == text || *p != '\0' || v > 100 * (uint64_t)SCALE)
		return err_set(e, ERR_CONFIG,
		    "percent is \"%.40s\"; it must be 0 to 100 with at most six decimals, such as "
		    "0.5",
		    text);
	*out = v;
	return 0;
}

static int
check(const void *conf, struct err *e)
{
	const struct sample_conf *c = conf;
	uint64_t v;

	return parse_percent(c->percent, &v, e);
}

static void
remark(const void *conf, struct buf *out)
{
	const struct sample_conf *c = conf;
	uint64_t v;

	if (parse_percent(c->percent, &v, NULL) == 0 && v == 0)
		buf_add_str(out, "0 percent keeps nothing");
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	buf_close(&f->key);
	free(f);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct sample_conf *c = conf;
	struct filter *f;
	uint64_t v;

	(void)name;
	if (parse_percent(c->percent, &v, e) != 0)
		return -1;
	f = mem_new(sizeof *f);
	f->share = v;
	f->key = BUF_INIT(LIMIT_PAGE_BODY);
	*out = f;
	return 0;
}

/* The schema is not asked: the same item is in for a reader that does not know it. */
static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	uint64_t place;

	(void)o;
	buf_reset(&f->key);
	key_write(r, NULL, &f->key);
	if (f->key.failed) {
		(void)err_set(why, ERR_LIMIT, "the key is too large, or there is no memory for it");
		return FILTER_REJECT;
	}
	place = (key_hash(buf_slice(&f->key)) >> 32) * (100 * (uint64_t)SCALE) >> 32;
	return place < f->share ? FILTER_KEEP : FILTER_DROP;
}

const struct filter_ops filter_sample = {
    .api = FILTER_API,
    .type = "sample",
    .help = "Keeps all changes of a share of the items, by their keys; always the same ones.",
    .conf_size = sizeof(struct sample_conf),
    .keys = keys,
    .check = check,
    .remark = remark,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
