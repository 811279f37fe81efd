/* pipeline/lag.c - see lag.h. */
#include "pipeline/lag.h"

#include <string.h>

#include "pipeline/pipeline_priv.h"

/* An answer that there is nothing more holds for two polls and the time of a few tries. */
#define CLEAR_SLACK (10 * USEC_SEC)

static double
seconds(int64_t from_us, int64_t to_us)
{
	return to_us > from_us ? (double)(to_us - from_us) / 1e6 : 0;
}

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

void
lag_of(const struct lag_facts *f, struct lag *out)
{
	int64_t suspect = f->owed_us != 0 ? f->owed_us : f->delivered_us;
	double age = seconds(suspect, f->now_us);

	if (f->clear) {
		*out = (struct lag){.until_trim = LAG_RETENTION_S, .clear = true};
		return;
	}
	*out = (struct lag){
	    .iterator_age = seconds(f->delivered_us, f->now_us),
	    .delivery_age = f->owed_us != 0 ? age : 0,
	    .until_trim = age < LAG_RETENTION_S ? LAG_RETENTION_S - age : 0,
	};
}

void
lag_add(struct lag_sum *sum, const struct lag *one)
{
	struct lag *w = &sum->worst;

	if (one->iterator_age > w->iterator_age)
		w->iterator_age = one->iterator_age;
	if (one->delivery_age > w->delivery_age)
		w->delivery_age = one->delivery_age;
	if (one->until_trim < w->until_trim)
		w->until_trim = one->until_trim;
	w->clear = w->clear && one->clear;
	sum->shards++;
	sum->known = true;
}

int64_t
lag_shard_birth(const char *shard, int64_t now_us)
{
	int64_t ms = 0;

	if (strncmp(shard, "shardId-", 8) != 0)
		return 0;
	shard += 8;
	for (; *shard >= '0' && *shard <= '9'; shard++) {
		if (ms > now_us / USEC_MS)
			return 0;
		ms = ms * 10 + (*shard - '0');
	}
	return *shard == '-' && ms <= now_us / USEC_MS ? ms * USEC_MS : 0;
}

static int64_t delivered(const struct track *t, int64_t now);

/* Nothing has been delivered yet: the earliest that what it is owed may have been made. */
static int64_t
began(const struct track *t, int64_t now)
{
	const struct shard *parent = t->run->shard->parent;
	int64_t birth = later(lag_shard_birth(t->run->shard->id, now), t->base.since_us);

	if (birth != 0)
		return birth;
	if (parent != NULL && parent->user != NULL)
		return delivered(&((struct run *)parent->user)->tracks[t - t->run->tracks], now);
	return t->run->first_seen_us;
}

/* Read to the tip, so much as can be known: an answer holds for a while. */
static bool
at_tip(const struct track *t)
{
	struct feed *fd = t->run->feed;
	int64_t at;

	if (t->state != TRACK_FED || t->line->reader == NULL ||
	    !frontier_empty(&t->window.frontier))
		return false;
	at = reader_quiet_at(t->line->reader);
	return reader_quiet(t->line->reader) &&
	    loop_now(fd->pl->loop) - at <= 2 * fd->conf->idle_us + CLEAR_SLACK;
}

/* Looked at between two events, so the reader's last word counts, too. */
static int64_t
delivered(const struct track *t, int64_t now)
{
	const struct frontier *f = &t->window.frontier;
	struct loop *lp = t->run->feed->pl->loop;
	int64_t at = later(f->acked_us, t->clear_us);

	if (t->state == TRACK_FED && frontier_empty(f) && t->owed_us == 0 &&
	    t->line->reader != NULL && reader_quiet_at(t->line->reader) != 0)
		at = later(at, now - (loop_now(lp) - reader_quiet_at(t->line->reader)));
	return at != 0 ? at : began(t, now);
}

/* Read to its end, and what follows it has not been found: there may be something. */
static bool
awaits_child(const struct track *t)
{
	const struct run *rn = t->run;

	const struct lineage *ln = rn->feed->lineage;

	return lineage_listed_once(ln) && !rn->unlisted && !rn->had_child &&
	    rn->shard->children == NULL && !lineage_disabled(ln);
}

/* Is it the one to ask? */
static bool
counts(const struct track *t)
{
	return t->state != TRACK_NEW && (t->state != TRACK_COMPLETE || awaits_child(t));
}

bool
lag_of_track(const struct track *t, struct lag *out)
{
	const struct frontier *f = &t->window.frontier;
	struct lag_facts facts = {.now_us = feed_wall(t->run->feed)};

	if (!counts(t))
		return false;
	facts.clear = at_tip(t);
	facts.delivered_us = delivered(t, facts.now_us);
	facts.owed_us = frontier_oldest(f) != 0 ? frontier_oldest(f) : t->owed_us;
	if (facts.owed_us == 0 &&
	    !frontier_empty(f)) /* the oldest held does not say when it was made */
		facts.owed_us = facts.delivered_us;
	lag_of(&facts, out);
	return true;
}

struct lag_sum
lag_of_sink(const struct feed *fd, size_t i)
{
	struct lag_sum sum = LAG_SUM_INIT;
	struct lag one;

	sum.known = fd->state == FEED_RUNNING || fd->state == FEED_DRAINED;
	if (fd->lineage == NULL)
		return sum;
	for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next) {
		const struct run *rn = sh->user;

		if (rn != NULL && lag_of_track(&rn->tracks[i], &one))
			lag_add(&sum, &one);
	}
	return sum;
}

static bool
worse(const struct lag *a, const struct lag *b)
{
	if (a->until_trim != b->until_trim)
		return a->until_trim < b->until_trim;
	return a->iterator_age > b->iterator_age;
}

static size_t
insert(struct lag_row *rows, size_t n, size_t most, const struct lag_row *one)
{
	size_t at = n;

	if (n == most) {
		if (!worse(&one->lag, &rows[n - 1].lag))
			return n;
		at = --n;
	}
	for (; at > 0 && worse(&one->lag, &rows[at - 1].lag); at--)
		rows[at] = rows[at - 1];
	rows[at] = *one;
	return n + 1;
}

static size_t
insert_run(struct lag_row *rows, size_t n, size_t most, const struct run *rn)
{
	for (size_t i = 0; i < rn->feed->sub_count; i++) {
		struct lag_row one = {.track = &rn->tracks[i]};

		if (lag_of_track(one.track, &one.lag))
			n = insert(rows, n, most, &one);
	}
	return n;
}

size_t
lag_worst(const struct pipeline *pl, struct lag_row *rows, size_t most)
{
	size_t n = 0;

	for (const struct feed *fd = pl->feeds; fd != NULL && most != 0; fd = fd->next) {
		if (fd->lineage == NULL)
			continue;
		for (struct shard *sh = lineage_first(fd->lineage); sh != NULL; sh = sh->next)
			if (sh->user != NULL)
				n = insert_run(rows, n, most, sh->user);
	}
	return n;
}
