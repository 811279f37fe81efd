/* tests/sim/history.c - see history.h.
 *
 * One table at a time, one stream after the other: time runs from its start to
 * its end in drawn steps; at each step the shards whose time is up give way to
 * one child or two, then a key changes.
 */
#include "tests/sim/history.h"

#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/loop_sim.h"

#define SLOTS 1024u

struct making { /* a table on its way into the history */
	struct history *h;
	const struct table_scenario *ts;
	struct h_table *table;
	struct h_stream *stream;
	struct rng rng;
	struct h_shard *slot[SLOTS]; /* who owns it now */
	unsigned *key_slot;	     /* owned; by key of the table */
	unsigned *key_count;	     /* owned; changes so far */
	unsigned made;		     /* shards of this stream */
};

/* counter and tail as text: the step from 9|... to 10|... makes a number
 * longer, which is where a comparison of texts goes wrong. */
static void
number(const struct making *m, uint64_t counter, uint64_t tail, struct seq *out)
{
	char text[LIMIT_SEQUENCE_DIGITS + 1];
	int n;

	if (m->ts->small_numbers)
		n = snprintf(text, sizeof text, "%021llu", (unsigned long long)counter);
	else
		n = snprintf(text, sizeof text, "%llu%020llu", (unsigned long long)counter,
		    (unsigned long long)tail);
	if (!seq_parse((struct slice){text, (size_t)n}, out))
		abort();
}

static void
begin_numbers(struct making *m, struct h_shard *sh)
{
	if (sh->parent != NULL)
		sh->counter = sh->parent->counter + 1 + rng_below(&m->rng, 1000);
	else
		sh->counter = (uint64_t)log_between(&m->rng, 1, INT64_C(1) << 30);
	number(m, sh->counter, rng_below(&m->rng, 1000), &sh->start);
}

static void
begin_listing(struct making *m, struct h_shard *sh)
{
	sh->list_order = m->h->sc->seed % 3 == 0 ? sh->number : rng_next(&m->rng);
	sh->listed_from = sh->born;
	if (sh->parent == NULL)
		return;
	sh->listed_from += between(&m->rng, 0, m->ts->child_late_us);
	if (sh->listed_from < sh->parent->listed_from)
		sh->listed_from = sh->parent->listed_from;
}

static struct h_shard *
add_shard(struct making *m, struct h_shard *parent, unsigned low, unsigned high, int64_t born)
{
	struct history *h = m->h;
	struct h_shard *sh = &h->shard[h->shards];
	long long ms = (long long)(loop_sim_true_wall(born) / USEC_MS);

	*sh = (struct h_shard){.number = h->shards++, .stream = m->stream, .parent = parent};
	sh->born = born;
	sh->closed = sh->end_shown = sh->gone_at = SIM_FOREVER;
	sh->life_ends = born + between(&m->rng, m->ts->shard_life_us / 4, m->ts->shard_life_us * 2);
	sh->slot_low = low;
	sh->slot_high = high;
	(void)snprintf(sh->id, sizeof sh->id, "shardId-%020lld-%08x", ms, sh->number);
	begin_numbers(m, sh);
	begin_listing(m, sh);
	if (parent != NULL)
		parent->child[parent->child[0] != NULL] = sh;
	for (unsigned i = low; i < high; i++)
		m->slot[i] = sh;
	m->made++;
	return sh;
}

static void
close_shard(struct making *m, struct h_shard *sh, int64_t when)
{
	int64_t retention = m->h->sc->retention_us;

	sh->closed = when;
	sh->end_shown = when + between(&m->rng, 0, m->ts->end_late_us);
	sh->counter += 1 + rng_below(&m->rng, 3); /* a bound: no record has it */
	number(m, sh->counter, rng_below(&m->rng, 1000), &sh->end);
	sh->gone_at = when + retention + between(&m->rng, 0, retention / 4);
}

static void
succeed(struct making *m, struct h_shard *sh, int64_t when)
{
	unsigned middle = sh->slot_low + (sh->slot_high - sh->slot_low) / 2;

	close_shard(m, sh, when);
	if (middle > sh->slot_low && rng_below(&m->rng, 100) < m->ts->split) {
		(void)add_shard(m, sh, sh->slot_low, middle, when);
		(void)add_shard(m, sh, middle, sh->slot_high, when);
		m->h->splits++;
	} else {
		(void)add_shard(m, sh, sh->slot_low, sh->slot_high, when);
		m->h->rotations++;
	}
}

/* Parents stand before their children, so a chain of short lives is walked in
 * one go. */
static void
rotate(struct making *m, unsigned first, int64_t now)
{
	for (unsigned n = first; n < m->h->shards && m->made < m->ts->max_shards; n++) {
		struct h_shard *sh = &m->h->shard[n];

		if (sh->closed == SIM_FOREVER && sh->life_ends <= now)
			succeed(m, sh, sh->life_ends);
	}
}

static void
add_keys(const struct making *m, const struct h_event *ev, struct buf *b)
{
	/* One number in several spellings is one key (value.h). */
	static const char *const same[] = {"7", "7.0", "70e-1", "07"};

	buf_addf(b, "\"Keys\":{\"pk\":{\"S\":\"k\\u002d%u\"}", ev->key);
	if (m->table->sort_key)
		buf_addf(b, ",\"sk\":{\"N\":\"%s\"}", same[ev->id % ARRAY_LEN(same)]);
	buf_add_char(b, '}');
}

static void
add_json(struct making *m, struct h_event *ev)
{
	static const char *const names[] = {"INSERT", "MODIFY", "REMOVE"};
	struct buf *b = &m->h->text;
	long long s = (long long)(ev->created_us / USEC_SEC);
	char filler[600];
	unsigned pad = (unsigned)log_between(&m->rng, 1, (int64_t)sizeof filler);
	struct slice seq = seq_text(&ev->seq);

	memset(filler, 'x', sizeof filler);
	ev->json_at = b->n;
	buf_add_str(
	    b, "{\"awsRegion\":\"ddblocal\",\"dynamodb\":{\"ApproximateCreationDateTime\":");
	buf_addf(b, ev->id % 3 == 0 ? "%lld.0," : "%lld,", s);
	add_keys(m, ev, b);
	buf_add_str(b, ",\"NewImage\":{\"v\":{\"S\":\"");
	buf_add(b, filler, pad);
	buf_addf(b, "\"}},\"SequenceNumber\":\"%.*s\",\"SizeBytes\":%u,", (int)seq.n, seq.p, pad);
	buf_addf(b, "\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"},\"eventID\":\"%032x\",", ev->id);
	buf_addf(b,
	    "\"eventName\":\"%s\",\"eventSource\":\"aws:dynamodb\",\"eventVersion\":\"1.1\"}",
	    names[ev->key_index == 0 ? 0 : 1 + ev->id % 2]);
	ev->json_n = b->n - ev->json_at;
}

static void
write_one(struct making *m, int64_t at)
{
	struct history *h = m->h;
	unsigned key = (unsigned)rng_below(&m->rng, m->ts->keys);
	struct h_shard *sh = m->slot[m->key_slot[key]];
	struct h_event *ev = &h->event[h->events];

	*ev = (struct h_event){.shard = sh, .at = at, .id = h->events, .index = sh->count};
	ev->key = m->table->first_key + key;
	ev->key_index = m->key_count[key]++;
	ev->created_us = loop_sim_true_wall(at);
	ev->created_us -= ev->created_us % USEC_SEC;
	sh->counter += 1 + rng_below(&m->rng, 3);
	number(m, sh->counter, rng_below(&m->rng, 1000000000), &ev->seq);
	if (sh->count == sh->cap)
		sh->events = mem_grow(sh->events, sh->cap = 2 * sh->cap + 8, sizeof *sh->events);
	sh->events[sh->count++] = h->events++;
	add_json(m, ev);
}

static void
begin_stream(struct making *m, unsigned turn, int64_t from, int64_t disabled)
{
	struct history *h = m->h;
	struct h_stream *st = &h->stream[h->streams];
	unsigned s = (unsigned)((from - h->start) / USEC_SEC);

	*st = (struct h_stream){.number = h->streams++, .table = m->table, .turn = turn};
	st->created = from;
	st->disabled = disabled;
	st->gone_at = disabled < SIM_FOREVER ? disabled + h->sc->retention_us * 5 / 4 : SIM_FOREVER;
	(void)snprintf(st->label, sizeof st->label, "2026-11-21T%02u:%02u:%02u.%03u", s / 3600 % 24,
	    s / 60 % 60, s % 60, st->number);
	(void)snprintf(st->arn, sizeof st->arn,
	    "arn:aws:dynamodb:ddblocal:000000000000:table/%s/stream/%s", m->table->name, st->label);
	m->stream = st;
	m->made = 0;
}

static void
make_stream(struct making *m, int64_t from, int64_t to, unsigned writes)
{
	unsigned first = m->h->shards, width = SLOTS / m->ts->roots;
	int64_t at = from + m->ts->enabling_us, step = (to - at) / (writes + 1);

	for (unsigned i = 0; i < m->ts->roots; i++)
		(void)add_shard(
		    m, NULL, i * width, i + 1 == m->ts->roots ? SLOTS : (i + 1) * width, at);
	for (unsigned i = 0; i < writes; i++) {
		/* Bursts within a millisecond, and silences of many steps. */
		at += rng_below(&m->rng, 3) != 0 ? between(&m->rng, 0, USEC_MS)
						 : between(&m->rng, 0, step * 6);
		if (at >= to)
			break;
		rotate(m, first, at);
		write_one(m, at);
	}
	rotate(m, first, to);
	for (unsigned n = first; m->stream->disabled < SIM_FOREVER && n < m->h->shards; n++) {
		struct h_shard *sh = &m->h->shard[n];

		if (sh->closed == SIM_FOREVER)
			close_shard(m, sh, to);
		/* When a listing says DISABLED, it shows all there is: a closed
		 * leaf is the end then (streams.md 1.8). */
		if (sh->listed_from > to)
			sh->listed_from = to;
	}
}

static void
make_streams(struct making *m, int64_t from, int64_t to)
{
	unsigned turns = m->ts->replaced + 1;
	int64_t length = (to - from) / turns;

	for (unsigned turn = 0; turn < turns; turn++) {
		bool ends = turn + 1 < turns || m->ts->disabled_at_end;
		int64_t begin = from + turn * length, end = begin + length - USEC_SEC;

		begin_stream(m, turn, begin, ends ? end : SIM_FOREVER);
		make_stream(m, begin, end, m->ts->writes / turns);
	}
}

static void
make_table(struct history *h, unsigned i, int64_t from, int64_t to)
{
	struct making *m = mem_new(sizeof *m);

	*m = (struct making){.h = h, .ts = &h->sc->table[i], .table = &h->table[i]};
	rng_seed(&m->rng, h->sc->seed * 31 + i);
	*m->table = (struct h_table){.number = i, .first_key = h->keys, .keys = m->ts->keys};
	(void)snprintf(m->table->name, sizeof m->table->name, "table%u", i);
	m->table->sort_key = rng_below(&m->rng, 2) == 0;
	m->table->first_stream = h->streams;
	m->table->streams = m->ts->replaced + 1;
	h->keys += m->ts->keys;
	m->key_slot = mem_array(m->ts->keys, sizeof *m->key_slot);
	m->key_count = mem_array(m->ts->keys, sizeof *m->key_count);
	for (unsigned k = 0; k < m->ts->keys; k++)
		m->key_slot[k] = (unsigned)rng_below(&m->rng, SLOTS);
	make_streams(m, from, to);
	free(m->key_slot);
	free(m->key_count);
	free(m);
}

struct history *
history_new(const struct scenario *sc, int64_t start)
{
	struct history *h = mem_new(sizeof *h);
	unsigned shards = 0, events = 0, streams = 0;

	h->sc = sc;
	h->start = start;
	h->frozen_at = SIM_FOREVER;
	h->text = BUF_INIT(64u << 20);
	for (unsigned i = 0; i < sc->tables; i++) {
		const struct table_scenario *ts = &sc->table[i];

		/* max_shards may be passed by the second half of a split. */
		shards += (ts->replaced + 1) * (ts->roots + ts->max_shards + 1);
		streams += ts->replaced + 1;
		events += ts->writes;
	}
	h->shard = mem_array(shards, sizeof *h->shard);
	h->stream = mem_array(streams, sizeof *h->stream);
	h->event = mem_array(events, sizeof *h->event);
	for (unsigned i = 0; i < sc->tables; i++)
		make_table(h, i, start, start + sc->length_us);
	return h;
}

void
history_close(struct history *h)
{
	if (h == NULL)
		return;
	for (unsigned n = 0; n < h->shards; n++)
		free(h->shard[n].events);
	free(h->shard);
	free(h->stream);
	free(h->event);
	buf_close(&h->text);
	free(h);
}

struct h_shard *
history_shard(struct history *h, const char *id)
{
	const char *dash = strrchr(id, '-');
	unsigned long n = dash != NULL ? strtoul(dash + 1, NULL, 16) : h->shards;

	return n < h->shards && strcmp(h->shard[n].id, id) == 0 ? &h->shard[n] : NULL;
}

struct h_stream *
history_stream(struct history *h, const char *arn)
{
	for (unsigned i = 0; i < h->streams; i++)
		if (strcmp(h->stream[i].arn, arn) == 0)
			return &h->stream[i];
	return NULL;
}

unsigned
history_rank(const struct history *h, const struct h_shard *sh, const struct seq *seq)
{
	unsigned low = 0, high = sh->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (seq_cmp(&history_at(h, sh, middle)->seq, seq) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct h_event *
history_event(struct history *h, const struct h_shard *sh, const struct seq *seq)
{
	unsigned rank = history_rank(h, sh, seq);

	if (rank == 0 || seq_cmp(&history_at(h, sh, rank - 1)->seq, seq) != 0)
		return NULL;
	return history_at(h, sh, rank - 1);
}

unsigned
history_written(const struct history *h, const struct h_shard *sh, int64_t when)
{
	unsigned low = 0, high = sh->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (history_at(h, sh, middle)->at <= when)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

unsigned
history_horizon(const struct history *h, const struct h_shard *sh, int64_t now)
{
	return history_written(h, sh, history_trim_clock(h, now) - h->sc->retention_us);
}
