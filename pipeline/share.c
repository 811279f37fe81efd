/* pipeline/share.c - what the chains of several sinks begin with, asked once.
 *
 *   page of a line --pattern_set_ask()--> answers --> track: lane_take() --> sieve
 *                                           '------> track: ...
 *
 * Sinks of one stream that begin with a pattern each have one set. Its answers hold
 * for the page that is being handed to a line's tracks, and only while it is; who is not on
 * that line, takes other pages, or replays dead letters asks its own pattern, which says
 * the same.
 */
#include "pipeline/pipeline_priv.h"

#include <stdlib.h>

#include "base/mem.h"

/* A set of n patterns costs less than one after the other from a tenth of them on:
 * bench/pattern_bench.c, 1,000 cost as much as 13. */
#define WORTH_ONE_IN 10

void
feed_share_patterns(struct feed *fd)
{
	struct pattern **v = mem_array(fd->sub_count, sizeof(struct pattern *));
	size_t n = 0;

	for (size_t i = 0; i < fd->sub_count; i++) {
		struct pattern *p = chain_pattern(lane_chain(fd->subs[i].slot->lane));

		fd->subs[i].pattern = p != NULL ? n : SIZE_MAX;
		if (p != NULL)
			v[n++] = p;
	}
	if (n > 1)
		fd->shared = pattern_set_new(v, n);
	fd->shared_count = n;
	for (size_t i = 0; i < fd->sub_count; i++) {
		struct subscriber *sub = &fd->subs[i];

		if (fd->shared == NULL ||
		    (sub->pattern != SIZE_MAX && !pattern_set_takes(fd->shared, sub->pattern)))
			sub->pattern = SIZE_MAX;
	}
	free(v);
}

void
line_ask_shared(struct line *l, const struct page *page)
{
	struct feed *fd = l->run->feed;
	size_t asking = 0;

	if (fd->shared == NULL || page->count == 0)
		return;
	for (const struct track *t = l->tracks; t != NULL; t = t->next)
		asking += t->sub->pattern != SIZE_MAX;
	if (asking < 2 || asking * WORTH_ONE_IN < fd->shared_count)
		return;
	fd->answers = pattern_set_ask(fd->shared, page);
	fd->answered = true;
}

void
line_forget_shared(struct line *l)
{
	l->run->feed->answered = false;
}

void
track_use_shared(struct track *t)
{
	struct feed *fd = t->run->feed;

	t->window.answers = fd->answered && t->sub->pattern != SIZE_MAX ? &fd->answers : NULL;
	t->window.pattern = t->sub->pattern;
}
