/* pipeline/lane.c - see lane.h: the lane as a whole: its state, breaker and
 * halt, opening and closing.
 */
#include "pipeline/lane_priv.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"

const char *
lane_state_name(enum lane_state s)
{
	static const char *const names[] = {"running", "breaking", "broken", "probing", "halted"};

	return names[s];
}

void
lane_set_state(struct lane *ln, enum lane_state to, const char *why)
{
	if (ln->state == to)
		return;
	assert(ln->state != LANE_HALTED || to == LANE_PROBING);
	log_debug("lane", ln->name, "%s -> %s (%s)", lane_state_name(ln->state),
	    lane_state_name(to), why);
	ln->state = to;
}

static void
told_room(void *arg)
{
	struct lane *ln = arg;

	ln->host.room(ln->host.ctx, ln);
}
/* ---- breaker and halt: let go of everything once nothing is out ---- */

static void
drop_all(struct lane *ln)
{
	ln->ready = ln->waiting = ln->suspects = (struct list){NULL, NULL};
	ln->queued = ln->queued_bytes = 0;
	ln->stats.drops++;
	ln->wanted = false;
	ln->host.dropped(ln->host.ctx, ln);
}

void
lane_settle_break(struct lane *ln)
{
	if (ln->state != LANE_BREAKING || ln->out != 0 || ln->rejects != 0)
		return;
	if (ln->halt != LANE_HALT_NONE) {
		ln->stats.halts++;
		lane_set_state(ln, LANE_HALTED, "until resumed");
	} else {
		lane_set_state(ln, LANE_BROKEN, "failures in a row");
		loop_timer_arm(ln->breaker_timer, ln->breaker.until - loop_now(ln->loop));
	}
	drop_all(ln);
}

void
lane_begin_break(struct lane *ln, const char *why)
{
	if (ln->state == LANE_HALTED || ln->state == LANE_BREAKING)
		return;
	lane_set_state(ln, LANE_BREAKING, why);
	lane_pump_soon(ln); /* settles there, not inside a report */
}

void
lane_halt(struct lane *ln, enum lane_halt cause, const char *why)
{
	if (ln->halt != LANE_HALT_NONE)
		return;
	ln->halt = cause;
	log_error("lane", ln->name, "stopped: %s", why);
	(void)snprintf(ln->stats.last_error, sizeof ln->stats.last_error, "%.511s", why);
	utf8_mend(ln->stats.last_error);
	lane_begin_break(ln, "halted");
}

bool
lane_resume(struct lane *ln)
{
	uint64_t brake = (uint64_t)ln->conf.brake;

	if (ln->state != LANE_HALTED || ln->stopped)
		return false;
	ln->halt = LANE_HALT_NONE;
	/* The next refusal, with no ACK before it, brakes again: one dead letter
	 * for a resume that came too early, not as many as before. */
	if (brake != 0 && ln->stats.rejected_in_row >= brake)
		ln->stats.rejected_in_row = brake - 1;
	/* The time it was halted is no retry's. */
	ln->failing_since = 0;
	breaker_probe(&ln->breaker);
	lane_set_state(ln, LANE_PROBING, "resumed");
	lane_ask_room(ln);
	return true;
}

enum lane_halt
lane_halt_cause(const struct lane *ln)
{
	return ln->halt;
}

static void
breaker_over(void *arg)
{
	struct lane *ln = arg;

	if (ln->state != LANE_BROKEN)
		return;
	if (!breaker_due(&ln->breaker, loop_now(ln->loop))) {
		loop_timer_arm(ln->breaker_timer, ln->breaker.until - loop_now(ln->loop));
		return;
	}
	lane_set_state(ln, LANE_PROBING, "time for a probe");
	ln->host.room(ln->host.ctx, ln);
}

/* ---- the rest ---- */

bool
lane_usable(const struct lane *ln)
{
	return (ln->state == LANE_RUNNING || ln->state == LANE_PROBING) && !ln->stopped;
}

void
lane_stop(struct lane *ln)
{
	ln->stopped = true;
	loop_timer_disarm(ln->breaker_timer);
	if (ln->ops->flush != NULL)
		ln->ops->flush(ln->sink);
}

bool
lane_quiet(const struct lane *ln)
{
	return ln->out == 0 && ln->rejects == 0;
}

void
lane_set_chain(struct lane *ln, struct chain *chain)
{
	chain_close(ln->chain);
	ln->chain = chain;
}

const struct chain *
lane_chain(const struct lane *ln)
{
	return ln->chain;
}

void
lane_set_share(struct lane *ln, int64_t bytes)
{
	ln->share = bytes;
}

enum lane_state
lane_state_get(const struct lane *ln)
{
	return ln->state;
}

const struct lane_stats *
lane_stats_get(const struct lane *ln)
{
	return &ln->stats;
}

const char *
lane_name(const struct lane *ln)
{
	return ln->name;
}

const struct sink_ops *
lane_ops(const struct lane *ln)
{
	return ln->ops;
}

int64_t
lane_held(const struct lane *ln)
{
	return ln->held;
}

int64_t
lane_out(const struct lane *ln)
{
	return ln->out;
}

struct breaker
lane_breaker(const struct lane *ln)
{
	return ln->breaker;
}

void
lane_sink_status(const struct lane *ln, struct buf *out)
{
	if (ln->ops->status != NULL && ln->sink != NULL)
		ln->ops->status(ln->sink, out);
}

void
lane_sink_metrics(const struct lane *ln, struct metrics *m)
{
	if (ln->ops->metrics != NULL && ln->sink != NULL)
		ln->ops->metrics(ln->sink, m);
}

/* May more than one record of a key be out? Where a refused record is left undone (on-reject:
 * halt), and comes again after the resume, what followed it must not have been delivered before;
 * unless that changes nothing (IDEMPOTENT), or the refused record is kept (SHARD_ORDER). */
static bool
may_pipeline(const struct sink_ops *ops, const struct lane_conf *conf)
{
	return (ops->caps & SINK_CAP_KEY_ORDER) != 0 &&
	    (conf->on_reject != LANE_HALT ||
		(ops->caps & (SINK_CAP_IDEMPOTENT | SINK_CAP_SHARD_ORDER)) != 0);
}

int
lane_new(struct lane **out, struct loop *lp, const char *name, const struct sink_ops *ops,
    const void *sink_conf, const struct lane_conf *conf, const struct lane_host *host,
    struct err *e)
{
	struct lane *ln = mem_new(sizeof *ln);
	struct sink_env env = {
	    .loop = lp, .name = name, .host = ln, .report = lane_on_report, .ready = lane_on_ready};

	ln->loop = lp;
	ln->name = name;
	ln->ops = ops;
	ln->conf = *conf;
	ln->host = *host;
	ln->key = BUF_INIT(LIMIT_PAGE_BODY);
	ln->made = BUF_INIT(LIMIT_MADE);
	ln->stats.batch_records.shape = &histogram_count;
	ln->stats.latency.shape = &histogram_latency;
	ln->staged = mem_array((size_t)conf->batch_count, sizeof(struct delivery *));
	ln->by_shard = (ops->caps & SINK_CAP_SHARD_ORDER) != 0;
	key_order_init(&ln->keys, may_pipeline(ops, conf));
	breaker_init(&ln->breaker, conf->breaker_failures, conf->breaker_open_us);
	ln->pump_timer = loop_timer_new(lp, lane_pump, ln);
	ln->room_timer = loop_timer_new(lp, told_room, ln);
	ln->breaker_timer = loop_timer_new(lp, breaker_over, ln);
	if (ops->open(&ln->sink, &env, sink_conf, e) != 0) {
		lane_close(ln);
		return -1;
	}
	*out = ln;
	return 0;
}

void
lane_close_sink(struct lane *ln)
{
	ln->closing = ln->stopped = true;
	if (ln->sink != NULL)
		ln->ops->close(ln->sink);
	ln->sink = NULL;
	assert(ln->out == 0);
}

void
lane_close(struct lane *ln)
{
	if (ln == NULL)
		return;
	if (ln->sink != NULL)
		lane_close_sink(ln);
	loop_timer_close(ln->pump_timer);
	loop_timer_close(ln->room_timer);
	loop_timer_close(ln->breaker_timer);
	chain_close(ln->chain);
	key_order_close(&ln->keys);
	buf_close(&ln->key);
	free(ln->staged);
	free(ln->sifted);
	buf_close(&ln->made);
	free(ln);
}
