/* tests/emulator/shard.c - see shard.h. */
#include "tests/emulator/shard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"

#define CHUNK_FIRST 4096u
#define CHUNK_MOST (4u << 20)

struct chunk {
	struct chunk *next;
	size_t n, cap;
	char p[];
};

int
seqno_cmp(struct seqno a, struct seqno b)
{
	if (a.counter != b.counter)
		return a.counter < b.counter ? -1 : 1;
	return a.tail < b.tail ? -1 : a.tail > b.tail;
}

/* Decimal digits; UINT64_MAX when they do not fit, which is above any number
 * of ours. False if one is no digit. */
static bool
digits(struct slice s, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(*out, (uint64_t)10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(s.p[i] - '0'), out))
			*out = UINT64_MAX;
	}
	return true;
}

bool
seqno_parse(struct slice text, struct seqno *out)
{
	if (text.n < 21 || text.n > 40)
		return false;
	return digits((struct slice){text.p, text.n - 20}, &out->counter) &&
	    digits((struct slice){text.p + text.n - 20, 20}, &out->tail);
}

void
seqno_write(struct buf *out, struct seqno no)
{
	buf_addf(out, "%" PRIu64 "%020" PRIu64, no.counter, no.tail);
}

static struct seqno
seqno_after(struct rng *r, struct seqno no)
{
	/* Two records of a transaction have been seen to share the counter. */
	if (rng_below(r, 8) != 0)
		no.counter += 1 + rng_below(r, 900);
	no.tail += 1 + rng_below(r, 10000000);
	return no;
}

/* Roots begin small, so that numbers change their length while they rise. */
static struct seqno
first_number(struct rng *r, const struct shard *parent)
{
	struct seqno no;

	if (parent == NULL) {
		no.counter = 1 + rng_below(r, rng_below(r, 2) != 0 ? 9 : 1000000);
		no.tail = rng_below(r, 1000000000);
		return no;
	}
	no = parent->end;
	no.counter += 1 + rng_below(r, 1000);
	no.tail += rng_below(r, 1000000);
	return no;
}

static void
open_insert(struct stream *st, struct shard *sh)
{
	size_t at = st->open_count;

	if (st->open_count == st->open_cap) {
		st->open_cap = st->open_cap == 0 ? 8 : st->open_cap * 2;
		st->open = mem_grow(st->open, st->open_cap, sizeof(struct shard *));
	}
	while (at > 0 && st->open[at - 1]->lo > sh->lo)
		at--;
	memmove(st->open + at + 1, st->open + at, (st->open_count - at) * sizeof *st->open);
	st->open[at] = sh;
	st->open_count++;
}

struct shard *
shard_add(struct model *m, struct stream *st, struct shard *parent, uint32_t lo, uint32_t hi,
    int64_t now_ms)
{
	struct shard *sh = mem_new(sizeof *sh);

	sh->stream = st;
	sh->index = (uint32_t)st->count;
	sh->parent = parent;
	sh->lo = lo;
	sh->hi = hi;
	sh->start = sh->last = first_number(&m->rng, parent);
	sh->start_is_record = rng_below(&m->rng, 2) != 0;
	sh->created_ms = now_ms;
	sh->order = rng_next(&m->rng);
	do
		(void)snprintf(sh->id, sizeof sh->id, "shardId-%020" PRId64 "-%08x", now_ms,
		    (unsigned)(rng_next(&m->rng) & 0xffffffffu));
	while (stream_shard(st, slice_of(sh->id)) != NULL);
	if (st->count == st->cap) {
		st->cap = st->cap == 0 ? 8 : st->cap * 2;
		st->shards = mem_grow(st->shards, st->cap, sizeof(struct shard *));
	}
	st->shards[st->count++] = sh;
	map_put(&st->by_id, slice_of(sh->id), sh);
	open_insert(st, sh);
	return sh;
}

/* The end is a bound: there is a record at it only sometimes. */
void
shard_end(struct model *m, struct shard *sh, int64_t now_ms)
{
	sh->end = rng_below(&m->rng, 2) != 0 ? sh->last : seqno_after(&m->rng, sh->last);
	sh->closed = true;
	sh->closed_ms = now_ms;
}

/* Room for n bytes in one piece. */
static char *
chunk_room(struct shard *sh, size_t n)
{
	struct chunk *c = sh->chunks;
	size_t cap;

	if (c != NULL && c->cap - c->n >= n) {
		c->n += n;
		return c->p + c->n - n;
	}
	cap = c == NULL ? CHUNK_FIRST : c->cap * 2;
	if (cap > CHUNK_MOST)
		cap = CHUNK_MOST;
	if (cap < n)
		cap = n;
	c = mem_new(sizeof *c + cap);
	c->next = sh->chunks;
	c->cap = cap;
	c->n = n;
	sh->chunks = c;
	return c->p;
}

/* The service shows the same second in several forms of a JSON number. */
static void
write_time(struct buf *out, int64_t s, uint64_t form)
{
	char text[32];
	int n;

	if (form == 0 || s < 1000000000 || s > 9999999999) {
		buf_addf(out, "%" PRId64, s);
		return;
	}
	if (form == 1) {
		buf_addf(out, "%" PRId64 ".0", s);
		return;
	}
	n = snprintf(text, sizeof text, "%" PRId64, s);
	while (n > 2 && text[n - 1] == '0')
		n--;
	buf_addf(out, "%c.%.*sE9", text[0], n - 1, text + 1);
}

static void
write_data(struct model *m, const struct stream *st, struct seqno no, const struct change *c)
{
	struct buf *out = &m->scratch;

	buf_add_str(out, "\"dynamodb\":{\"ApproximateCreationDateTime\":");
	write_time(out, c->time_s, rng_below(&m->rng, 3));
	buf_add_str(out, ",\"Keys\":");
	buf_add_slice(out, c->key);
	if (c->now.p != NULL && (st->view == VIEW_IS_NEW || st->view == VIEW_IS_BOTH)) {
		buf_add_str(out, ",\"NewImage\":");
		buf_add_slice(out, c->now);
	}
	if (c->before.p != NULL && (st->view == VIEW_IS_OLD || st->view == VIEW_IS_BOTH)) {
		buf_add_str(out, ",\"OldImage\":");
		buf_add_slice(out, c->before);
	}
	buf_add_str(out, ",\"SequenceNumber\":\"");
	seqno_write(out, no);
	buf_addf(
	    out, "\",\"SizeBytes\":%u,\"StreamViewType\":\"%s\"}", c->data, view_words[st->view]);
}

static void
write_record(struct model *m, const struct stream *st, struct seqno no, const struct change *c)
{
	struct buf *out = &m->scratch;
	const char *name = c->before.p == NULL ? "INSERT" : c->now.p == NULL ? "REMOVE" : "MODIFY";

	buf_reset(out);
	buf_addf(out, ",{\"eventID\":\"%016" PRIx64 "%016" PRIx64 "\",\"eventName\":\"%s\",",
	    rng_next(&m->rng), ++m->events, name);
	buf_addf(out,
	    "\"eventVersion\":\"1.1\",\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"%s\",",
	    m->region);
	write_data(m, st, no, c);
	if (c->ttl)
		buf_add_str(out,
		    m->lower_case_identity
			? ",\"userIdentity\":{\"principalId\":\"dynamodb.amazonaws.com\","
			  "\"type\":\"Service\"}"
			: ",\"userIdentity\":{\"PrincipalId\":\"dynamodb.amazonaws.com\","
			  "\"Type\":\"Service\"}");
	buf_add_char(out, '}');
	assert(!out->failed);
}

void
shard_append(struct model *m, struct shard *sh, const struct change *c)
{
	struct event ev = {.data = c->data, .crc_before = sh->crc};
	char *p;

	if (sh->count == sh->cap) {
		sh->cap = sh->cap == 0 ? 8 : sh->cap * 2;
		sh->events = mem_grow(sh->events, sh->cap, sizeof *sh->events);
	}
	ev.no = sh->count == 0 && sh->start_is_record ? sh->start : seqno_after(&m->rng, sh->last);
	write_record(m, sh->stream, ev.no, c);
	p = chunk_room(sh, m->scratch.n);
	memcpy(p, m->scratch.p, m->scratch.n);
	ev.p = p;
	ev.n = (uint32_t)m->scratch.n;
	sh->crc = (uint32_t)crc32(sh->crc, (const Bytef *)p, ev.n);
	sh->last = ev.no;
	sh->events[sh->count++] = ev;
}

void
shard_trim(struct shard *sh, size_t count)
{
	size_t left = sh->count - sh->trimmed;

	sh->trimmed += count < left ? count : left;
}

size_t
shard_find(const struct shard *sh, struct seqno no, bool after)
{
	size_t lo = 0, hi = sh->count;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int r = seqno_cmp(sh->events[mid].no, no);

		if (r < 0 || (after && r == 0))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct seqno
shard_newest(const struct shard *sh)
{
	return sh->closed ? sh->end : sh->last;
}

uint32_t
shard_crc(const struct shard *sh, size_t first, size_t end, size_t *bytes)
{
	uint32_t before, after;

	*bytes = 0;
	if (first == end)
		return 0;
	for (size_t i = first; i < end; i++)
		*bytes += sh->events[i].n;
	*bytes -= 1;
	/* crc(AB) = shift(crc(A), |B|) ^ crc(B); zlib's combine with 0 is the shift. */
	before = (uint32_t)crc32(sh->events[first].crc_before, (const Bytef *)",", 1);
	after = end < sh->count ? sh->events[end].crc_before : sh->crc;
	return after ^ (uint32_t)crc32_combine(before, 0, (z_off_t)*bytes);
}

void
shard_close(struct shard *sh)
{
	while (sh->chunks != NULL) {
		struct chunk *c = sh->chunks;

		sh->chunks = c->next;
		free(c);
	}
	window_close(&sh->asked);
	window_close(&sh->admitted);
	free(sh->events);
	free(sh);
}
