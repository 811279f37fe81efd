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
#include "base/utf8.h"

/* ---- done, one way or the other ---- */

void
lane_done(struct lane *ln, struct entry *en)
{
	struct parcel *pc = en->parcel;
	struct window *w = pc->window;
	bool moved = false;

	en->state = ENTRY_DONE;
	lane_make_ready(ln, entry_of_link(key_order_leave(&ln->keys, &en->key)));
	if (w->replay)
		ln->host.replayed(ln->host.ctx, w, en->ticket, en->fate);
	else
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
	ln->stats.rejected_in_row = 0;
	ln->failing_since = 0;
	if (en->d.rec->created_us > 0 && !en->d.replayed)
		ln->stats.last_created_us = en->d.rec->created_us;
	if (ln->host.acked != NULL)
		ln->host.acked(ln->host.ctx, &en->d);
	en->fate = LANE_FATE_ACKED;
	lane_done(ln, en);
}

/* A sink that keeps order gives back what it holds behind a refused request. That
 * was never tried, and waits for nothing but its turn. */
static bool
only_behind(const struct lane *ln, const struct batch *b)
{
	return (ln->ops->caps & SINK_CAP_KEY_ORDER) != 0 && b->splits_before != ln->stats.split;
}

static void
entry_retry(struct lane *ln, struct entry *en, struct batch *b)
{
	int64_t now = loop_now(ln->loop);

	b->retried++;
	ln->stats.retried++;
	if (ln->failing_since == 0)
		ln->failing_since = now;
	if (only_behind(ln, b)) {
		en->attempts--;
		en->due = now;
	} else if (lane_gives_up(ln, en)) {
		lane_give_up(ln, en);
		return;
	} else {
		struct backoff bo = {.base_us = ln->conf.retry_base_us,
		    .cap_us = ln->conf.retry_cap_us,
		    .attempt = en->attempts - 1};

		if (b->due == 0)
			b->due = now + backoff_next(&bo, ln->loop);
		en->due = b->due;
	}
	en->state = ENTRY_WAITING;
	lane_list_add(&ln->waiting, en);
}

static void
batch_failed(struct lane *ln, const struct batch *b)
{
	/* What was out together when the target failed is one failure. */
	if (b->sent_at < ln->failed_at)
		return;
	ln->failed_at = loop_now(ln->loop);
	if (!breaker_failed(&ln->breaker, ln->failed_at))
		return;
	log_warn("lane", ln->name,
	    "%lld batches failed in a row; nothing is sent for %lld s why=\"%s\"",
	    (long long)ln->breaker.failures, (long long)(ln->breaker.open_us / USEC_SEC),
	    ln->stats.last_error);
	lane_begin_break(ln, "breaker open");
}

static void
batch_succeeded(struct lane *ln)
{
	if (!breaker_succeeded(&ln->breaker))
		return;
	log_info("lane", ln->name, "the sink works again");
	if (ln->state == LANE_PROBING)
		lane_set_state(ln, LANE_RUNNING, "the probe was answered");
	ln->host.room(ln->host.ctx, ln);
}

static void
batch_settled(struct lane *ln, struct batch *b)
{
	lane_halve(ln, b);
	/* What was out when it broke decides nothing any more: the probe will. */
	if (ln->state == LANE_BREAKING || ln->halt != LANE_HALT_NONE)
		return;
	if (b->acked != 0 || (b->retried == 0 && b->split == 0))
		batch_succeeded(ln);
	else if (b->split == 0 && !only_behind(ln, b))
		batch_failed(ln, b);
	/* else the target answers, and it ends when the suspects are alone */
	if (b->retried == 0 && b->split == 0)
		ln->stats.last_error[0] = '\0';
}

/* ---- reports ---- */

static void
note_error(struct lane *ln, const struct err *why)
{
	/* How to go on after a halt is not overwritten by what was out beside it. */
	if (why == NULL || ln->halt != LANE_HALT_NONE)
		return;
	(void)snprintf(ln->stats.last_error, sizeof ln->stats.last_error, "%.255s", why->text);
	utf8_mend(ln->stats.last_error);
}

static void
halt_by_sink(struct lane *ln)
{
	char text[1024];

	(void)snprintf(text, sizeof text, "%s; when that is mended: slipring resume %s",
	    ln->stats.last_error, ln->name);
	lane_halt(ln, LANE_HALT_SINK, text);
}

static void
entry_reported(
    struct lane *ln, struct entry *en, struct batch *b, enum sink_verdict v, const struct err *why)
{
	if (v == SINK_SPLIT) {
		ln->stats.split++;
		if (b->count == 1)
			v = SINK_REJECT; /* refused alone */
	}
	if (v != SINK_ACK)
		note_error(ln, why);
	switch (v) {
	case SINK_ACK:
		b->acked++;
		entry_acked(ln, en);
		break;
	case SINK_SPLIT:
		ln->stats.retried++;
		lane_suspect(en, b);
		break;
	case SINK_RETRY:
		log_debug("lane", ln->name, "retry attempt=%u why=\"%s\"", en->attempts,
		    ln->stats.last_error);
		entry_retry(ln, en, b);
		break;
	case SINK_REJECT:
		lane_refuse(ln, en, why != NULL ? why->text : "no reason given");
		break;
	case SINK_HALT:
		b->retried++;
		ln->stats.retried++;
		en->state = ENTRY_WAITING; /* let go of with the rest */
		halt_by_sink(ln);
		break;
	}
}

void
lane_on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct lane *ln = host;
	struct entry *en = CONTAINER_OF(d, struct entry, d);
	struct batch *b = en->batch;
	int64_t now = loop_now(ln->loop);

	assert(en->state == ENTRY_OUT);
	en->batch = NULL;
	ln->out--;
	b->left--;
	histogram_add(&ln->stats.latency, now - b->sent_at);
	if (v != SINK_ACK || ln->closing)
		key_order_back(&ln->keys, &en->key);
	if (ln->closing) {
		en->state = ENTRY_WAITING;
		if (b->left == 0)
			free(b);
		return;
	}
	if (v == SINK_ACK)
		ln->stats.acked_at = now;
	entry_reported(ln, en, b, v, why);
	if (b->left == 0) {
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
