/* tests/emulator/history.c - see history.h. */
#include "tests/emulator/history.h"

#include <stdlib.h>

#include "base/mem.h"
#include "tests/emulator/image.h"

struct player {
	struct model *m;
	struct table *t;
	const struct history_conf *hc;
	struct image_maker maker;
	struct rng rng;
	struct item **items; /* owned array; by number, NULL until first used */
	uint32_t revision;
	struct buf text;
};

static struct item *
item_of(struct player *pl, uint32_t id)
{
	uint32_t bytes;

	if (pl->items[id] != NULL)
		return pl->items[id];
	buf_reset(&pl->text);
	bytes = image_key(pl->t, id, &pl->text);
	pl->items[id] = model_item(pl->t, buf_slice(&pl->text), bytes);
	pl->items[id]->id = id;
	return pl->items[id];
}

/* Mostly updates, as tables have it; a third of the deletes are TTL's. */
static void
play_record(struct player *pl, int64_t now_ms)
{
	struct item *it = item_of(pl, (uint32_t)rng_below(&pl->rng, pl->hc->items));
	size_t redraw = 1 + rng_below(&pl->rng, 3);
	uint32_t bytes;

	if (it->image != NULL && rng_below(&pl->rng, 6) == 0) {
		model_write(pl->m, pl->t, it, NULL, 0, rng_below(&pl->rng, 3) == 0, now_ms);
		return;
	}
	for (size_t i = 0; i < redraw; i++)
		it->versions[rng_below(&pl->rng, IMAGE_ATTRIBUTES)]++;
	buf_reset(&pl->text);
	bytes = image_write(&pl->maker, pl->t, it, ++pl->revision, &pl->text);
	model_write(pl->m, pl->t, it, mem_slicedup(buf_slice(&pl->text)), bytes, false, now_ms);
}

static void
succeed_one(struct player *pl, unsigned children, int64_t now_ms)
{
	struct stream *st = pl->t->live;
	struct shard *sh = st->open[rng_below(&pl->rng, st->open_count)];

	if (!model_succeed(pl->m, sh, children, now_ms))
		model_succeed(pl->m, sh, 1, now_ms);
}

int64_t
history_play(struct model *m, struct table *t, const struct history_conf *hc, int64_t start_ms)
{
	struct player pl = {.m = m,
	    .t = t,
	    .hc = hc,
	    .maker = {hc->seed, hc->pad, hc->no_nul},
	    .text = BUF_INIT(8u << 20)};
	int64_t now_ms = start_ms;

	rng_seed(&pl.rng, hc->seed ^ 0x68697374u);
	pl.items = mem_array(hc->items, sizeof(struct item *));
	for (uint64_t i = 1; i <= hc->records; i++) {
		now_ms =
		    start_ms + (int64_t)((double)hc->span_ms / (double)hc->records * (double)i);
		play_record(&pl, now_ms);
		if (hc->split_every != 0 && i % hc->split_every == 0)
			succeed_one(&pl, 2, now_ms);
		if (hc->rotate_every != 0 && i % hc->rotate_every == 0)
			succeed_one(&pl, 1, now_ms);
	}
	free(pl.items);
	buf_close(&pl.text);
	return now_ms;
}
