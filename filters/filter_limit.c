/* filters/filter_limit.c - `type: limit`: a token bucket for each tenant.
 *
 *   record --tenant's value--> hash --> bucket: a token for it?  yes KEEP, no: `over`
 *
 * The clock is the records' own creation time, so that the same records read again
 * get the same answer; a time before one that was seen fills nothing. Buckets are found by
 * hash and lie in the order in which they were asked last: where all are taken, a new tenant
 * gets that of the one that was quiet for the longest, who finds a full one on coming back.
 */
#include "filters/filter.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "record/key.h"
#include "record/path.h"

#define NONE UINT32_MAX
#define TELL_EVERY_US (60 * INT64_C(1000000))

enum over { OVER_DROP, OVER_REJECT };
static const char *const over_words[] = {"drop", "reject", NULL};

struct limit_conf {
	char *tenant;
	int64_t records, per_us, burst, tenants;
	int over; /* enum over */
};

/* A token costs `per` and a microsecond brings `records`, so all is whole numbers. */
struct bucket {
	uint64_t hash;
	int64_t level; /* up to burst * per */
	int64_t seen_us;
	uint32_t next;	       /* of the same head */
	uint32_t newer, older; /* in the order of use */
};

struct filter {
	const struct limit_conf *conf; /* borrowed */
	const char *name;	       /* borrowed */
	struct path *tenant;	       /* owned; NULL: one bucket for all */
	struct bucket *buckets;	       /* owned */
	uint32_t room, used;	       /* of buckets */
	uint32_t *heads;	       /* owned; by hash; NONE: empty */
	size_t head_count;	       /* a power of two */
	uint32_t newest, oldest;
	struct buf value, key;
	int64_t told_us; /* creation time of the record that was logged last */
	bool told;
	uint64_t untold; /* over the limit since then */
};

#define CONF(member) .ofs = offsetof(struct limit_conf, member)
static const struct conf_key keys[] = {
    {.name = "tenant",
	.type = CONF_STR,
	CONF(tenant),
	.doc = "Path of the attribute whose value is the tenant; by default all share one bucket."},
    {.name = "records",
	.type = CONF_INT,
	.flags = CONF_REQUIRED,
	CONF(records),
	.min = 1,
	.max = 1000000,
	.doc = "How many records of a tenant may pass, on average, in each \"per\"."},
    {.name = "per",
	.type = CONF_DURATION,
	CONF(per_us),
	.def = "1s",
	.min = 1000000, /* the service tells times in whole seconds */
	.max = 86400 * INT64_C(1000000),
	.doc = "The time in which \"records\" may pass, by the records' creation times."},
    {.name = "burst",
	.type = CONF_INT,
	CONF(burst),
	.def = "0",
	.min = 0,
	.max = 1000000,
	.doc = "How many may pass at once after a quiet time; 0: as many as \"records\"."},
    {.name = "over",
	.type = CONF_ENUM,
	CONF(over),
	.def = "drop",
	.words = over_words,
	.doc = "What becomes of a record over the limit: it is filtered out, or refused."},
    {.name = "tenants",
	.type = CONF_INT,
	CONF(tenants),
	.def = "10000",
	.min = 1,
	.max = 1000000,
	.doc = "How many tenants are remembered; of more, the quiet ones are forgotten."},
    {.name = NULL},
};

static int
check(const void *conf, struct err *e)
{
	const struct limit_conf *c = conf;
	struct path *p;

	if (c->tenant == NULL)
		return 0;
	if (path_parse(&p, c->tenant, 0, e) != 0)
		return err_prefix(e, "tenant");
	path_close(p);
	return 0;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	path_close(f->tenant);
	free(f->buckets);
	free(f->heads);
	buf_close(&f->value);
	buf_close(&f->key);
	free(f);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	const struct limit_conf *c = conf;
	struct filter *f = mem_new(sizeof *f);

	f->conf = c;
	f->name = name;
	f->value = f->key = BUF_INIT(LIMIT_PAGE_BODY);
	f->room = c->tenant != NULL ? (uint32_t)c->tenants : 1;
	f->head_count = 1;
	while (f->head_count < f->room)
		f->head_count *= 2;
	f->buckets = mem_array(f->room, sizeof *f->buckets);
	f->heads = mem_array(f->head_count, sizeof *f->heads);
	for (size_t i = 0; i < f->head_count; i++)
		f->heads[i] = NONE;
	f->newest = f->oldest = NONE;
	if (c->tenant != NULL && path_parse(&f->tenant, c->tenant, 0, e) != 0) {
		close_filter(f);
		return -1;
	}
	*out = f;
	return 0;
}

/* Where it is: the image that a target would have afterwards, the one that it had, the
 * keys. SLICE_NONE: nowhere. */
static struct slice
tenant_of(const struct filter *f, const struct record *r)
{
	const struct slice places[] = {r->new_image, r->old_image, r->keys};
	struct slice value = SLICE_NONE;

	for (size_t i = 0; f->tenant != NULL && value.p == NULL && i < ARRAY_LEN(places); i++)
		if (places[i].p != NULL)
			value = path_find(f->tenant, places[i]);
	return value;
}

/* Of equal values the same, however they are written: that of a key of this one value. */
static uint64_t
hash_of(struct filter *f, struct slice value)
{
	struct record r = {.keys = SLICE_NONE};

	if (value.p == NULL)
		return 0;
	buf_reset(&f->value);
	buf_reset(&f->key);
	buf_add_str(&f->value, "{\"t\":");
	buf_add_slice(&f->value, value);
	buf_add_char(&f->value, '}');
	r.keys = buf_slice(&f->value);
	key_write(&r, NULL, &f->key);
	return key_hash(buf_slice(&f->key));
}

static int64_t
full(const struct filter *f)
{
	int64_t burst = f->conf->burst != 0 ? f->conf->burst : f->conf->records;

	return burst * f->conf->per_us;
}

/* ---- buckets ---- */

static uint32_t *
head_of(const struct filter *f, uint64_t hash)
{
	return &f->heads[hash & (f->head_count - 1)];
}

static void
leave_order(struct filter *f, const struct bucket *b)
{
	*(b->newer != NONE ? &f->buckets[b->newer].older : &f->newest) = b->older;
	*(b->older != NONE ? &f->buckets[b->older].newer : &f->oldest) = b->newer;
}

static void
enter_order(struct filter *f, uint32_t i)
{
	f->buckets[i].newer = NONE;
	f->buckets[i].older = f->newest;
	*(f->newest != NONE ? &f->buckets[f->newest].newer : &f->oldest) = i;
	f->newest = i;
}

/* A bucket that is nobody's any more. */
static uint32_t
free_bucket(struct filter *f)
{
	uint32_t i = f->oldest, *at;

	if (f->used < f->room)
		return f->used++;
	leave_order(f, &f->buckets[i]);
	for (at = head_of(f, f->buckets[i].hash); *at != i;)
		at = &f->buckets[*at].next;
	*at = f->buckets[i].next;
	return i;
}

static struct bucket *
bucket_of(struct filter *f, uint64_t hash, int64_t now_us)
{
	uint32_t *head = head_of(f, hash), i = *head;

	while (i != NONE && f->buckets[i].hash != hash)
		i = f->buckets[i].next;
	if (i != NONE) {
		leave_order(f, &f->buckets[i]);
	} else {
		i = free_bucket(f);
		f->buckets[i] = (struct bucket){
		    .hash = hash, .level = full(f), .seen_us = now_us, .next = *head};
		*head = i;
	}
	enter_order(f, i);
	return &f->buckets[i];
}

static bool
take_token(struct filter *f, struct bucket *b, int64_t now_us)
{
	int64_t most = full(f), more;

	if (now_us > b->seen_us) {
		if (__builtin_mul_overflow(now_us - b->seen_us, f->conf->records, &more) ||
		    more > most - b->level)
			more = most - b->level;
		b->level += more;
		b->seen_us = now_us;
	}
	if (b->level < f->conf->per_us)
		return false;
	b->level -= f->conf->per_us;
	return true;
}

/* At most once a minute of the records' time. */
static void
tell(struct filter *f, uint64_t hash, int64_t now_us)
{
	f->untold++;
	if (f->told && now_us < f->told_us + TELL_EVERY_US && now_us >= f->told_us - TELL_EVERY_US)
		return;
	log_warn("filter", f->name,
	    "leaves out what is over the limit tenant=%016" PRIx64 " left_out=%" PRIu64, hash,
	    f->untold);
	f->told = true;
	f->told_us = now_us;
	f->untold = 0;
}

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	uint64_t hash = hash_of(f, tenant_of(f, r));
	struct bucket *b = bucket_of(f, hash, r->created_us);

	(void)o;
	if (take_token(f, b, r->created_us))
		return FILTER_KEEP;
	if (f->conf->over == OVER_DROP) {
		tell(f, hash, r->created_us);
		return FILTER_DROP;
	}
	(void)err_set(why, ERR_REFUSED, "tenant %016" PRIx64 " is over its limit", hash);
	return FILTER_REJECT;
}

const struct filter_ops filter_limit = {
    .api = FILTER_API,
    .type = "limit",
    .help = "Lets so many records of each tenant pass in a time, and no more.",
    .conf_size = sizeof(struct limit_conf),
    .keys = keys,
    .check = check,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
