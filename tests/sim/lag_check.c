/* tests/sim/lag_check.c - see lag_check.h. */
#include "tests/sim/lag_check.h"

#include <string.h>

#include "pipeline/lag.h"
#include "pipeline/pipeline_priv.h"
#include "tests/sim/oracle.h"

/* Creation times are to the second, the service answers of a moment ago, and a clock
 * that differs by less than two seconds is taken for right. */
#define SLACK_S 8

static double
age_by_figure(const struct lag_sum *sum)
{
	return LAG_RETENTION_S - sum->worst.until_trim;
}

/* Must the sink still be given it, and can the pipeline know? */
static bool
owed(struct life *l, struct feed *fd, unsigned sink, const struct h_event *ev)
{
	const struct oracle *o = l->w->oracle;
	const struct mark *m = mark_of(o, sink, ev);

	/* An empty page before the data is taken for the end, where others were empty before it. */
	return ev->at <= world_now(l->w) && o->emptied_at[ev->shard->number] < ev->at &&
	    !mark_done(m) && strcmp(ev->shard->stream->arn, fd->arn) == 0 &&
	    ev->index >= history_horizon(l->w->hist, ev->shard, world_now(l->w)) &&
	    lineage_find(fd->lineage, ev->shard->id) != NULL && !oracle_excused(o, sink, ev);
}

/* An answer that there is nothing more is believed for that long. */
static int64_t
believed(const struct feed *fd)
{
	return 2 * fd->conf->idle_us + 10 * USEC_SEC;
}

static void
check_one(struct life *l, struct feed *fd, size_t i, unsigned sink)
{
	const struct history *h = l->w->hist;
	struct lag_sum sum = lag_of_sink(fd, i);
	int64_t now = world_now(l->w);

	for (unsigned k = 0; k < h->events && sum.known; k++) {
		const struct h_event *ev = &h->event[k];
		double age = (double)(now - ev->at) / 1e6;

		if (ev->at > now - believed(fd) || age > LAG_RETENTION_S ||
		    age <= age_by_figure(&sum) + SLACK_S || !owed(l, fd, sink, ev))
			continue;
		oracle_fail(l->w->oracle, T_OTHER,
		    "event %u of %s is owed to s%u for %.0f s; the figure says %.0f s", ev->id,
		    ev->shard->id, sink, age, age_by_figure(&sum));
		return;
	}
}

void
lag_check(struct life *l)
{
	for (struct feed *fd = l->pl->feeds; fd != NULL; fd = fd->next) {
		if (fd->state != FEED_RUNNING)
			continue;
		for (size_t i = 0; i < fd->sub_count; i++) {
			const char *name = lane_name(fd->subs[i].slot->lane); /* "s0" */

			check_one(l, fd, i, (unsigned)(name[1] - '0'));
		}
	}
}
