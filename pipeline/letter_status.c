/* pipeline/letter_status.c - dead letters as status and metrics show them. */
#include "pipeline/dead_letter.h"
#include "pipeline/replay.h"

static double
age_of(const struct slot *sl, const struct letter_counts *c)
{
	int64_t now = loop_wall(sl->pl->loop);

	return c->oldest_us > 0 && now > c->oldest_us ? (double)(now - c->oldest_us) / 1e6 : 0;
}

json_t *
slot_letters_json(const struct slot *sl)
{
	struct letter_counts c = slot_letter_counts(sl);
	json_t *o = json_pack("{s:I, s:I, s:f, s:b, s:b}", "count", (json_int_t)c.count,
	    "superseded", (json_int_t)c.superseded, "oldest_seconds", age_of(sl, &c), "full",
	    c.full, "old", c.old);

	if (sl->job != NULL)
		json_object_set_new(o, "job", job_json(sl));
	return o;
}

void
slot_letters_metrics(const struct slot *sl, struct metrics *m)
{
	struct letter_counts c = slot_letter_counts(sl);
	const char *sink = lane_name(sl->lane);

	metrics_gauge(m, "slipring_dead_letters", "Dead letters there are now.", (double)c.count,
	    "sink", sink, NULL);
	metrics_gauge(m, "slipring_dead_letters_superseded",
	    "Of them, those whose item the sink has a newer change of.", (double)c.superseded,
	    "sink", sink, NULL);
	metrics_gauge(m, "slipring_dead_letters_oldest_seconds",
	    "Since the oldest of them was first submitted.", age_of(sl, &c), "sink", sink, NULL);
	metrics_gauge(m, "slipring_dead_letters_full", "1 at dead-letters.max-count.", c.full,
	    "sink", sink, NULL);
	metrics_gauge(m, "slipring_dead_letters_old",
	    "1 while the oldest is older than dead-letters.max-age.", c.old, "sink", sink, NULL);
	metrics_gauge(m, "slipring_dead_letters_job", "1 while some are replayed or dropped.",
	    job_running(sl), "sink", sink, NULL);
}
