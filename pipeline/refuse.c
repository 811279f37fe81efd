/* pipeline/refuse.c - what the target will never take (see lane_priv.h).
 *
 *   SPLIT -> suspects in halves -> ... -> one alone -\
 *   RETRY for longer than retry.give-up-after --------+-> on-reject -> brake
 *   REJECT -------------------------------------------|
 *   refused by a filter, when its turn comes ---------/
 *
 * A batch that is refused as a whole is a group of suspects. The group goes
 * again in submits of at most half its size, before everything else and
 * without back-off, since the target does answer; what is refused again is a
 * group of its own, half as large. So one poison among n costs about 2 log2 n
 * submits, and no memory but two numbers in each entry.
 */
#include "pipeline/lane_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

/* ---- suspects ---- */

void
lane_suspect(struct entry *en, struct batch *b)
{
	b->split++;
	en->state = ENTRY_WAITING;
	lane_list_add(&b->suspects, en);
}

void
lane_halve(struct lane *ln, struct batch *b)
{
	size_t most = (b->split + 1) / 2;
	struct entry *en, *rest = b->suspects.first;

	if (rest == NULL)
		return;
	if (rest->group == 0)
		log_info("lane", ln->name,
		    "a batch was refused as a whole; it is sent again in halves records=%zu "
		    "why=\"%s\"",
		    b->split, ln->stats.last_error);
	ln->last_group++;
	while ((en = rest) != NULL) {
		rest = en->next;
		en->group = ln->last_group;
		en->most = most;
		en->state = ENTRY_BLOCKED;
		if (key_order_may(&ln->keys, &en->key))
			lane_make_ready(ln, en);
	}
}

/* ---- refused ---- */

/* Nobody will hear of it again before the lane has let go of it. */
static void
leave_undone(struct entry *en)
{
	en->state = ENTRY_WAITING;
}

static void
bury(struct lane *ln, struct entry *en, const char *why)
{
	struct reject *rj = mem_new(sizeof *rj);
	int64_t wall = loop_wall(ln->loop);

	ln->rejects++;
	en->state = ENTRY_REJECTED;
	*rj = (struct reject){
	    .lane = ln,
	    .entry = en,
	    .rec = en->d.rec,
	    .origin = en->d.origin,
	    .reason = mem_strdup(why),
	    .attempts = en->attempts,
	    .first_us = wall - (loop_now(ln->loop) - en->first_at),
	    .last_us = wall,
	    .unfiltered = en->refusal != NULL,
	};
	log_warn("lane", ln->name,
	    "record refused, kept as a dead letter stream=%s shard=%s why=\"%s\"",
	    rj->origin->stream, rj->origin->shard, rj->reason);
	ln->host.bury(ln->host.ctx, ln, rj);
}

/* A sink that knows replays by their number may have written what follows it, and
 * would take it for one. What never went to the sink has let nothing past it. */
static bool
written_behind(const struct lane *ln, const struct entry *en)
{
	return ln->by_shard && en->refusal == NULL;
}

static void
halt_at(struct lane *ln, struct entry *en, const char *why)
{
	const struct slice seq = seq_text(&en->d.rec->seq);
	char text[1024];

	(void)snprintf(text, sizeof text,
	    "a record was refused (on-reject: halt) stream=%s shard=%s sequence=%.*s; when that is "
	    "mended: slipring resume %s; why=\"%.300s\"",
	    en->d.origin->stream, en->d.origin->shard, (int)seq.n, seq.p, ln->name, why);
	if (written_behind(ln, en))
		bury(ln, en, why);
	else
		leave_undone(en);
	lane_halt(ln, LANE_HALT_REJECT, text);
}

static void
discard(struct lane *ln, struct entry *en, const char *why)
{
	const struct slice seq = seq_text(&en->d.rec->seq);

	ln->stats.discarded++;
	log_warn("lane", ln->name,
	    "record refused and left out (on-reject: skip) stream=%s shard=%s sequence=%.*s "
	    "why=\"%s\"",
	    en->d.origin->stream, en->d.origin->shard, (int)seq.n, seq.p, why);
	lane_done(ln, en);
}

static bool
braked(const struct lane *ln)
{
	return ln->conf.brake != 0 && ln->stats.rejected_in_row >= (uint64_t)ln->conf.brake;
}

static void
brake(struct lane *ln, bool kept, const char *why)
{
	char text[1024];

	(void)snprintf(text, sizeof text,
	    "%" PRIu64
	    " records in a row were refused (dead-letters.brake)%s; when that is mended: "
	    "slipring resume %s%s%s; why=\"%.300s\"",
	    ln->stats.rejected_in_row, kept ? ", they are dead letters" : " and left out", ln->name,
	    kept ? ", then slipring dlq replay --sink " : "", kept ? ln->name : "", why);
	lane_halt(ln, LANE_HALT_BRAKE, text);
}

void
lane_refuse(struct lane *ln, struct entry *en, const char *why)
{
	char reason[512]; /* the entry may take its own with it */
	bool kept;

	/* It is asked again after the resume. */
	if (ln->halt != LANE_HALT_NONE && !written_behind(ln, en)) {
		leave_undone(en);
		return;
	}
	(void)snprintf(reason, sizeof reason, "%.511s", why);
	utf8_mend(reason);
	ln->stats.rejected++;
	ln->stats.rejected_in_row++;
	if (en->refusal != NULL)
		ln->stats.unfiltered++;
	else
		ln->failing_since = 0;
	/* A replay is a dead letter already, and stays one. */
	kept = en->d.replayed || ln->conf.on_reject == LANE_DEAD_LETTER;
	switch (kept ? LANE_DEAD_LETTER : ln->conf.on_reject) {
	case LANE_HALT:
		halt_at(ln, en, reason);
		return;
	case LANE_SKIP:
		discard(ln, en, reason);
		break;
	default:
		bury(ln, en, reason);
		break;
	}
	if (braked(ln))
		brake(ln, kept, reason);
}

static struct lane *
reject_over(struct reject *rj)
{
	struct lane *ln = rj->lane;

	assert(rj->entry->state == ENTRY_REJECTED);
	ln->rejects--;
	free(rj->reason);
	free(rj);
	return ln;
}

void
lane_buried(struct reject *rj)
{
	struct entry *en = rj->entry;
	struct lane *ln = reject_over(rj);

	ln->stats.buried++;
	en->fate = LANE_FATE_REFUSED;
	lane_done(ln, en);
	lane_settle_break(ln);
	lane_pump_soon(ln);
}

void
lane_unbury(struct reject *rj)
{
	struct entry *en = rj->entry;

	(void)reject_over(rj);
	en->state = ENTRY_WAITING;
}

/* ---- giving up ---- */

/* The clock runs while the record is held. A breaker that opens lets go of it, so
 * a probe looks at how long nothing at all got through: of a target that is
 * down, one record each time. What waits behind an earlier one of its key is not to
 * blame. */
bool
lane_gives_up(const struct lane *ln, const struct entry *en)
{
	int64_t since = en->first_at, now = loop_now(ln->loop);

	if (ln->conf.give_up_us == 0 || !lane_usable(ln) || !key_order_first(&en->key))
		return false;
	/* Nothing got through since the last: it is the target, and not all that is held. */
	if (ln->gave_up_at != 0 && ln->stats.acked_at < ln->gave_up_at &&
	    now - ln->gave_up_at < ln->conf.give_up_us)
		return false;
	if (ln->state == LANE_PROBING && ln->failing_since != 0 && ln->failing_since < since)
		since = ln->failing_since;
	return now - since >= ln->conf.give_up_us;
}

void
lane_give_up(struct lane *ln, struct entry *en)
{
	char text[512];

	(void)snprintf(text, sizeof text, "gave up after %" PRId64 " s of retries: %.400s",
	    ln->conf.give_up_us / USEC_SEC, ln->stats.last_error);
	ln->stats.gave_up++;
	ln->gave_up_at = loop_now(ln->loop);
	lane_refuse(ln, en, text);
}
