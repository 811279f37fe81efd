/* pipeline/report.c - what a sink said of each record (see lane_priv.h):
 * done, again, or never.
 *
 * Lists are touched here, the sink only from submit.c, so a sink may report
 * from inside submit().
 */
#include "pipeline/lane_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mem.h"

/* ---- done, one way or the other ---- */

static void
entry_done(struct lane *ln, struct entry *en)
{
	struct parcel *pc = en->parcel;
	struct window *w = pc->window;
	bool moved;

	en->state = ENTRY_DONE;
	lane_make_ready(ln, entry_of_link(key_order_leave(&ln->keys, &en->key)));
	moved = frontier_done(&w->frontier, en->ticket);
	if (--pc->left == 0) {
		parcel_close(pc);
		lane_gave_back(ln);
	}
	if (moved)
		ln->host.moved(ln->host.ctx, w);
}

static void
entry_acked(struct lane *ln, struct entry *en)
{
	ln->stats.acked++;
	ln->stats.bytes_acked += en->d.rec->raw.n;
	ln->stats.acked_at = loop_now(ln->loop);
	ln->stats.rejected_in_row = 0;
	if (en->d.rec->created_us > 0)
		ln->stats.last_created_us = en->d.rec->created_us;
	entry_done(ln, en);
}

static void
entry_retry(struct lane *ln, struct entry *en, struct batch *b)
{
	if (b->due == 0) {
		struct backoff bo = {.base_us = ln->conf.retry_base_us,
		    .cap_us = ln->conf.retry_cap_us,
		    .attempt = en->attempts - 1};

		b->due = loop_now(ln->loop) + backoff_next(&bo, ln->loop);
	}
	b->retried++;
	ln->stats.retried++;
	en->state = ENTRY_WAITING;
	en->due = b->due;
	lane_list_add(&ln->waiting, en);
}

static void
entry_reject(struct lane *ln, struct entry *en, const struct err *why)
{
	struct reject *rj = mem_new(sizeof *rj);

	ln->stats.rejected++;
	ln->stats.rejected_in_row++;
	ln->rejects++;
	en->state = ENTRY_REJECTED;
	*rj = (struct reject){
	    .lane = ln,
	    .entry = en,
	    .rec = en->d.rec,
	    .origin = en->d.origin,
	    .reason = mem_strdup(why != NULL ? why->text : "no reason given"),
	    .attempts = en->attempts,
	    .first_us = en->first_us,
	    .last_us = loop_wall(ln->loop),
	};
	log_warn("lane", ln->name,
	    "record refused, kept as a dead letter stream=%s shard=%s why=\"%s\"",
	    rj->origin->stream, rj->origin->shard, rj->reason);
	ln->host.bury(ln->host.ctx, ln, rj);
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
	entry_done(ln, en);
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

static void
batch_settled(struct lane *ln, const struct batch *b)
{
	/* What was out when it broke decides nothing any more: the probe will. */
	if (ln->state == LANE_BREAKING)
		return;
	if (b->acked != 0 || b->retried == 0) {
		if (breaker_succeeded(&ln->breaker)) {
			log_info("lane", ln->name, "the sink works again");
			if (ln->state == LANE_PROBING)
				lane_set_state(ln, LANE_RUNNING, "the probe was answered");
			ln->host.room(ln->host.ctx, ln);
		}
		if (b->retried == 0)
			ln->stats.last_error[0] = '\0';
		return;
	}
	if (breaker_failed(&ln->breaker, loop_now(ln->loop))) {
		log_warn("lane", ln->name,
		    "%lld batches failed in a row; nothing is sent for %lld s why=\"%s\"",
		    (long long)ln->breaker.failures, (long long)(ln->breaker.open_us / USEC_SEC),
		    ln->stats.last_error);
		lane_begin_break(ln, "breaker open");
	}
}

/* ---- reports ---- */

static void
note_error(struct lane *ln, const struct err *why)
{
	if (why != NULL)
		(void)snprintf(
		    ln->stats.last_error, sizeof ln->stats.last_error, "%.255s", why->text);
}

void
lane_on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct lane *ln = host;
	struct entry *en = CONTAINER_OF(d, struct entry, d);
	struct batch *b = en->batch;

	assert(en->state == ENTRY_OUT);
	en->batch = NULL;
	ln->out--;
	b->left--;
	histogram_add(&ln->stats.latency, loop_now(ln->loop) - b->sent_at);
	if (v != SINK_ACK || ln->closing)
		key_order_back(&ln->keys, &en->key);
	if (ln->closing) {
		en->state = ENTRY_WAITING;
		if (b->left == 0)
			free(b);
		return;
	}
	switch (v) {
	case SINK_ACK:
		b->acked++;
		entry_acked(ln, en);
		break;
	case SINK_SPLIT:
	case SINK_RETRY:
		ln->stats.split += v == SINK_SPLIT;
		note_error(ln, why);
		log_debug("lane", ln->name, "retry attempt=%u why=\"%s\"", en->attempts,
		    ln->stats.last_error);
		entry_retry(ln, en, b);
		break;
	case SINK_REJECT:
		entry_reject(ln, en, why);
		break;
	case SINK_HALT:
		note_error(ln, why);
		entry_retry(ln, en, b);
		if (!ln->halting)
			log_error("lane", ln->name, "stopped: %s", ln->stats.last_error);
		ln->halting = true;
		lane_begin_break(ln, "the sink said halt");
		break;
	}
	if (b->left == 0) {
		if (!ln->halting)
			batch_settled(ln, b);
		free(b);
	}
	lane_pump_soon(ln);
}

void
lane_on_ready(void *host)
{
	struct lane *ln = host;

	ln->full = false;
	lane_pump_soon(ln);
}
