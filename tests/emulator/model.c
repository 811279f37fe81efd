/* tests/emulator/model.c - see model.h. */
#include "tests/emulator/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "tests/emulator/shard.h"

const char *const view_words[] = {
    "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", NULL};
const char *const status_words[] = {"ENABLING", "ENABLED", "DISABLING", "DISABLED", NULL};

void
model_open(struct model *m, uint64_t seed, const char *region, const char *account)
{
	*m = (struct model){.scratch = BUF_INIT(64u << 20)};
	rng_seed(&m->rng, seed);
	m->region = mem_strdup(region);
	m->account = mem_strdup(account);
}

static void
stream_close(struct stream *st)
{
	for (size_t i = 0; i < st->count; i++)
		shard_close(st->shards[i]);
	map_close(&st->by_id);
	free(st->shards);
	free(st->open);
	free(st->arn);
	free(st->label);
	free(st);
}

static void
table_close(struct table *t)
{
	for (size_t i = 0; i < t->items.cap; i++) {
		struct item *it = t->items.slots[i].value;

		if (it == NULL)
			continue;
		free(it->key);
		free(it->image);
		free(it);
	}
	map_close(&t->items);
	free(t->key_names[0]);
	free(t->key_names[1]);
	free(t->name);
	free(t);
}

void
model_close(struct model *m)
{
	for (size_t i = 0; i < m->stream_count; i++)
		stream_close(m->streams[i]);
	for (size_t i = 0; i < m->table_count; i++)
		table_close(m->tables[i]);
	map_close(&m->by_name);
	free(m->streams);
	free(m->tables);
	free(m->region);
	free(m->account);
	buf_close(&m->scratch);
}

struct table *
model_new_table(struct model *m, const char *name, const char *hash_name, char hash_type,
    const char *range_name, char range_type, int64_t now_ms)
{
	struct table *t = mem_new(sizeof *t);

	t->name = mem_strdup(name);
	t->key_names[0] = mem_strdup(hash_name);
	t->key_names[1] = mem_strdup(range_name);
	t->key_types[0] = hash_type;
	t->key_types[1] = range_type;
	t->created_ms = now_ms;
	m->tables = mem_grow(m->tables, m->table_count + 1, sizeof *m->tables);
	m->tables[m->table_count++] = t;
	map_put(&m->by_name, slice_of(t->name), t);
	return t;
}

struct table *
model_table(const struct model *m, struct slice name)
{
	return map_get(&m->by_name, name);
}

struct stream *
model_stream(const struct model *m, struct slice arn)
{
	for (size_t i = m->stream_count; i-- > 0;)
		if (slice_is(arn, m->streams[i]->arn))
			return m->streams[i];
	return NULL;
}

static void
set_names(const struct model *m, struct stream *st)
{
	char label[64], arn[512];
	time_t s = (time_t)(st->created_ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(label, sizeof label, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(label + n, sizeof label - n, ".%03d", (int)(st->created_ms % 1000));
	(void)snprintf(arn, sizeof arn, "arn:aws:dynamodb:%s:%s:table/%s/stream/%s", m->region,
	    m->account, st->table->name, label);
	st->label = mem_strdup(label);
	st->arn = mem_strdup(arn);
}

struct stream *
model_enable(struct model *m, struct table *t, enum view view, size_t shards, int64_t now_ms)
{
	struct stream *st = mem_new(sizeof *st);
	uint64_t width = ((uint64_t)1 << 32) / shards;

	assert(t->live == NULL && shards != 0);
	st->index = (uint32_t)m->stream_count;
	st->table = t;
	st->view = view;
	st->status = STATUS_ENABLED;
	/* Two streams of a table never share a label. */
	st->created_ms = t->latest != NULL && t->latest->created_ms >= now_ms
	    ? t->latest->created_ms + 1
	    : now_ms;
	set_names(m, st);
	m->streams = mem_grow(m->streams, m->stream_count + 1, sizeof *m->streams);
	m->streams[m->stream_count++] = st;
	t->live = t->latest = st;
	for (size_t i = 0; i < shards; i++) {
		uint32_t hi = i + 1 == shards ? UINT32_MAX : (uint32_t)(width * (i + 1) - 1);

		shard_add(m, st, NULL, (uint32_t)(width * i), hi, now_ms);
	}
	return st;
}

void
model_disable(struct model *m, struct table *t, int64_t now_ms)
{
	struct stream *st = t->live;

	if (st == NULL)
		return;
	for (size_t i = 0; i < st->open_count; i++)
		shard_end(m, st->open[i], now_ms);
	st->open_count = 0;
	st->status = STATUS_DISABLED;
	t->live = NULL;
}

struct shard *
stream_shard(const struct stream *st, struct slice id)
{
	return map_get(&st->by_id, id);
}

/* Index of the open shard whose range holds the hash. */
static size_t
open_index(const struct stream *st, uint32_t hash)
{
	size_t lo = 0, hi = st->open_count;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (st->open[mid]->lo <= hash)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

struct shard *
stream_shard_of(const struct stream *st, struct slice key)
{
	return st->open[open_index(st, (uint32_t)(map_hash(key) >> 32))];
}

bool
model_succeed(struct model *m, struct shard *sh, unsigned children, int64_t now_ms)
{
	struct stream *st = sh->stream;
	size_t at = open_index(st, sh->lo);
	uint32_t mid = sh->lo + (sh->hi - sh->lo) / 2;

	assert(!sh->closed && st->open[at] == sh);
	if (children == 2 && sh->lo == sh->hi)
		return false;
	shard_end(m, sh, now_ms);
	memmove(st->open + at, st->open + at + 1, (st->open_count - at - 1) * sizeof *st->open);
	st->open_count--;
	if (children == 1) {
		shard_add(m, st, sh, sh->lo, sh->hi, now_ms);
	} else {
		shard_add(m, st, sh, sh->lo, mid, now_ms);
		shard_add(m, st, sh, mid + 1, sh->hi, now_ms);
	}
	return true;
}

struct item *
model_item(struct table *t, struct slice key, uint32_t key_bytes)
{
	struct item *it = map_get(&t->items, key);

	if (it != NULL)
		return it;
	it = mem_new(sizeof *it);
	it->key = mem_slicedup(key);
	it->key_bytes = key_bytes;
	map_put(&t->items, (struct slice){it->key, key.n}, it);
	return it;
}

bool
model_write(struct model *m, struct table *t, struct item *it, char *image, uint32_t bytes,
    bool ttl, int64_t now_ms)
{
	struct slice now = image != NULL ? slice_of(image) : SLICE_NONE;
	struct slice before =
	    it->image != NULL ? (struct slice){it->image, it->image_n} : SLICE_NONE;
	bool changed = (now.p != NULL || before.p != NULL) &&
	    (now.p == NULL || before.p == NULL || !slice_eq(now, before));

	if (changed && t->live != NULL) {
		struct slice key = slice_of(it->key);
		struct change c = {
		    .key = key, .before = before, .now = now, .ttl = ttl, .time_s = now_ms / 1000};

		c.data = it->key_bytes + (now.p != NULL ? bytes : 0) +
		    (before.p != NULL ? it->image_bytes : 0);
		shard_append(m, stream_shard_of(t->live, key), &c);
	}
	free(it->image);
	it->image = image;
	it->image_n = now.n;
	it->image_bytes = bytes;
	return changed;
}
