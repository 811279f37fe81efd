/* streams/reader.c - see reader.h.
 *
 *   ITERATE --GetShardIterator--> TURN --token--> ASKING --credit--> READING
 *      ^                           ^  ^              |                 |
 *      |  expired, refused         |  +----- kick -- PARKED            |
 *      +---------------------------+------------ PAUSED <--------------+
 *
 * PAUSED is the one state with a timer: idle polling and back-off both lead
 * there, and go() leaves it by what is at hand (an iterator or none). ENDED
 * and STOPPED are final.
 *
 * Ownership: the host may close us from any of its callbacks; `busy` marks
 * them, and the memory goes when the outermost returns.
 */
#include "streams/reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mem.h"

/* Iterators live 15 minutes from issue; half a minute is for the call itself. */
#define ITERATOR_STALE (870 * USEC_SEC)
/* Expired when younger than this, it is not the age: that counts as a failure. */
#define ITERATOR_YOUNG (300 * USEC_SEC)

#define POLL_FIRST (250 * USEC_MS)
#define POLL_IDLE USEC_SEC
#define EMPTY_ENOUGH 5u /* an empty 4-hour shard was seen to take about 5 calls to cross */

#define RETRY_BASE (100 * USEC_MS)
#define RETRY_CAP (10 * USEC_SEC)
#define RETRY_SLOW_BASE USEC_SEC
#define RETRY_SLOW_CAP (60 * USEC_SEC)
/* Failures in a row to get one page across, after which less of it is asked
 * for each time: the page may be too large for the line or for us. */
#define SHRINK_AFTER 3u

/* What to ask credit for: a guess from the last page, small for idle shards so
 * that 10,000 of them fit in a small budget. */
#define CREDIT_FIRST ((size_t)256 << 10)
#define CREDIT_MIN ((size_t)16 << 10)
#define CREDIT_MAX ((size_t)8 << 20)

#define PAGE_LIMIT 1000u

enum state { ITERATE, TURN, ASKING, PARKED, READING, PAUSED, ENDED, STOPPED };

struct reader {
	struct loop *loop; /* borrowed, as the next two */
	struct api *api;
	struct rate *calls;
	struct reader_host host;
	struct loop_timer *timer;
	struct api_call *call; /* under way */
	struct rate_wait turn;
	struct backoff retry;
	char *arn;	     /* owned */
	char *shard;	     /* owned */
	char *iterator;	     /* owned; NULL: none */
	int64_t iterator_at; /* when it was asked for: its life may have begun then */
	int64_t called_at;   /* the call under way */
	int64_t idle_us;
	int64_t caught_up_at, quiet_at;
	size_t estimate; /* bytes to ask credit for */
	size_t credited; /* READING only */
	struct seq start;
	struct seq after; /* the saved number; the last read one once there is one */
	struct seq last;  /* read by us */
	enum pos_kind from;
	enum state state;
	uint16_t limit;	     /* records to ask for now */
	uint16_t limit_conf; /* and at most */
	uint16_t empty;	     /* empty pages in a row */
	uint8_t busy;
	bool dead;
	bool closed;	 /* by the listing */
	bool crossing;	 /* no records since the last iterator was asked for */
	bool renewed;	 /* NotFound on GetRecords: a new iterator was tried */
	bool horizon;	 /* AT_START is not to be had: TRIM_HORIZON */
	bool kicked;	 /* while ASKING */
	bool disordered; /* said so */
};

static void on_iterator(void *arg, const struct api_result *rs, const char *iterator);
static void on_records(void *arg, const struct api_result *rs, struct page *page);

/* Around every call of the host. leave() is false if we were closed meanwhile. */
static struct reader_host *
enter(struct reader *rd)
{
	rd->busy++;
	return &rd->host;
}

static bool
leave(struct reader *rd)
{
	bool dead = rd->dead;

	if (--rd->busy == 0 && dead)
		free(rd);
	return !dead;
}

/* --- moving on --- */

static void
drop_iterator(struct reader *rd)
{
	free(rd->iterator);
	rd->iterator = NULL;
}

/* It is spent before a record came of it. LATEST cannot be asked for again:
 * what was written since is owed. Nor can TRIM_HORIZON, if it was had AT the
 * start: the shard was whole then, and is owed from there. */
static void
spend_iterator(struct reader *rd)
{
	bool whole = rd->from == POS_TRIM_HORIZON && !rd->horizon && seq_is_set(&rd->start) &&
	    rd->iterator != NULL;

	drop_iterator(rd);
	if (rd->from == POS_LATEST || whole)
		rd->from = POS_AT_START;
}

static bool
nothing_read(const struct reader *rd)
{
	return !seq_is_set(&rd->last);
}

static enum iterator_type
iterator_type(const struct reader *rd)
{
	if (seq_is_set(&rd->after))
		return ITER_AFTER;
	if (rd->from == POS_LATEST)
		return ITER_LATEST;
	return rd->horizon || !seq_is_set(&rd->start) ? ITER_TRIM_HORIZON : ITER_AT;
}

static void
ask_iterator(struct reader *rd)
{
	enum iterator_type type = iterator_type(rd);
	const struct seq *seq = NULL;

	if (type == ITER_AFTER)
		seq = &rd->after;
	else if (type == ITER_AT)
		seq = &rd->start;
	rd->state = ITERATE;
	rd->crossing = type != ITER_LATEST;
	rd->empty = 0;
	rd->called_at = loop_now(rd->loop);
	rd->call = api_get_shard_iterator(rd->api, rd->arn, rd->shard, type, seq, on_iterator, rd);
}

static bool
is_stale(const struct reader *rd)
{
	return loop_now(rd->loop) - rd->iterator_at > ITERATOR_STALE;
}

static void
go(struct reader *rd)
{
	if (rd->iterator != NULL && is_stale(rd))
		spend_iterator(rd);
	if (rd->iterator == NULL) {
		ask_iterator(rd);
		return;
	}
	rd->state = TURN;
	rate_take(rd->calls, &rd->turn);
}

static void
pause_for(struct reader *rd, int64_t delay)
{
	rd->state = PAUSED;
	loop_timer_arm(rd->timer, delay);
}

static void
on_timer(void *arg)
{
	go(arg);
}

static void
on_turn(void *arg)
{
	struct reader *rd = arg;
	bool granted;

	if (is_stale(rd)) {
		go(rd);
		return;
	}
	rd->state = ASKING;
	rd->kicked = false;
	granted = enter(rd)->credit(rd->host.ctx, rd, rd->estimate);
	if (!leave(rd))
		return;
	if (granted) {
		rd->state = READING;
		rd->credited = rd->estimate;
		rd->called_at = loop_now(rd->loop);
		rd->call = api_get_records(rd->api, rd->iterator, rd->limit, on_records, rd);
	} else if (rd->kicked) {
		go(rd); /* with another turn: a host that always kicks is slowed down */
	} else {
		rate_return(rd->calls);
		rd->state = PARKED;
	}
}

/* --- failures --- */

/* Last thing a callback does: the host may close us. */
static void
retry_later(struct reader *rd, const struct api_result *rs, bool slow)
{
	rd->retry.base_us = slow ? RETRY_SLOW_BASE : RETRY_BASE;
	rd->retry.cap_us = slow ? RETRY_SLOW_CAP : RETRY_CAP;
	pause_for(rd, backoff_next(&rd->retry, rd->loop));
	enter(rd)->trouble(rd->host.ctx, rd, rs);
	(void)leave(rd);
}

static void
lose(struct reader *rd, enum reader_loss loss, const struct api_result *rs)
{
	rd->state = STOPPED;
	drop_iterator(rd);
	enter(rd)->lost(rd->host.ctx, rd, loss, rs);
	(void)leave(rd);
}

/* LATEST once and TRIM_HORIZON always can be asked for otherwise without a loss
 * of what we owe: records that the horizon passed before the first was read were asked
 * for by nobody. */
static void
trimmed(struct reader *rd, const struct api_result *rs)
{
	bool first = !rd->horizon;

	drop_iterator(rd);
	if (seq_is_set(&rd->after) || rd->from == POS_AT_START) {
		lose(rd, READER_TRIMMED, rs);
		return;
	}
	if (rd->from == POS_LATEST)
		rd->from = POS_AT_START;
	else
		rd->horizon = true;
	if (first)
		ask_iterator(rd);
	else
		retry_later(rd, rs, false);
}

static void
iterator_refused(struct reader *rd, const struct api_result *rs)
{
	switch (iterator_type(rd)) {
	case ITER_AFTER:
		lose(rd, READER_REFUSED, rs);
		return;
	case ITER_AT:
		rd->horizon = true;
		ask_iterator(rd);
		return;
	case ITER_LATEST:
	case ITER_TRIM_HORIZON:
		break; /* no number of ours that could be refused */
	}
	spend_iterator(rd);
	retry_later(rd, rs, true);
}

static void
iterator_failed(struct reader *rd, const struct api_result *rs)
{
	switch (rs->code) {
	case API_TRIMMED:
		trimmed(rd, rs);
		return;
	case API_NOT_FOUND:
		lose(rd, READER_GONE, rs);
		return;
	case API_VALIDATION:
		iterator_refused(rd, rs);
		return;
	case API_OK:
	case API_EXPIRED_ITERATOR:
	case API_LIMIT_EXCEEDED:
	case API_THROTTLED:
	case API_SERVER:
	case API_TRANSPORT:
	case API_MALFORMED:
	case API_AUTH:
	case API_OTHER:
		break;
	}
	spend_iterator(rd);
	retry_later(rd, rs, rs->code == API_AUTH || rs->code == API_OTHER);
}

static void
on_iterator(void *arg, const struct api_result *rs, const char *iterator)
{
	struct reader *rd = arg;

	rd->call = NULL;
	if (rs->code != API_OK) {
		iterator_failed(rd, rs);
		return;
	}
	drop_iterator(rd);
	rd->iterator = mem_strdup(iterator);
	rd->iterator_at = rd->called_at;
	go(rd);
}

/* The same token never works again. */
static void
expired(struct reader *rd, const struct api_result *rs)
{
	bool young = loop_now(rd->loop) - rd->iterator_at < ITERATOR_YOUNG;

	spend_iterator(rd);
	if (young)
		retry_later(rd, rs, false);
	else
		ask_iterator(rd);
}

static void
shard_not_found(struct reader *rd, const struct api_result *rs)
{
	if (rd->renewed) {
		lose(rd, READER_GONE, rs);
		return;
	}
	rd->renewed = true;
	spend_iterator(rd);
	ask_iterator(rd);
}

static void
ask_for_less(struct reader *rd)
{
	if (rd->retry.attempt >= SHRINK_AFTER && rd->limit > 1)
		rd->limit /= 2;
}

static void
records_failed(struct reader *rd, const struct api_result *rs)
{
	switch (rs->code) {
	case API_EXPIRED_ITERATOR:
		expired(rd, rs);
		return;
	case API_TRIMMED:
		trimmed(rd, rs);
		return;
	case API_NOT_FOUND:
		shard_not_found(rd, rs);
		return;
	case API_VALIDATION: /* our token is not to its liking; another may be */
		spend_iterator(rd);
		retry_later(rd, rs, true);
		return;
	case API_AUTH:
	case API_OTHER:
		retry_later(rd, rs, true);
		return;
	case API_TRANSPORT:
	case API_MALFORMED:
		ask_for_less(rd);
		FALLTHROUGH;
	case API_OK:
	case API_LIMIT_EXCEEDED:
	case API_THROTTLED:
	case API_SERVER:
		break;
	}
	retry_later(rd, rs, false);
}

/* --- pages --- */

static void
say_disorder(struct reader *rd, const struct seq *seq)
{
	struct slice a = seq_text(seq), b = seq_text(&rd->last);

	if (rd->disordered)
		return;
	rd->disordered = true;
	log_warn("reader", rd->shard,
	    "the service sent record %.*s after %.*s: repeated or out of order; further cases of "
	    "this shard are not reported",
	    (int)a.n, a.p, (int)b.n, b.p);
}

static void
take_numbers(struct reader *rd, const struct page *page)
{
	for (size_t i = 0; i < page->count; i++) {
		const struct seq *seq = &page->records[i].seq;

		if (!seq_is_set(seq))
			continue;
		if (nothing_read(rd) || seq_cmp(seq, &rd->last) > 0)
			rd->last = *seq;
		else
			say_disorder(rd, seq);
	}
	if (!nothing_read(rd))
		rd->after = rd->last;
}

static void
take_quiet(struct reader *rd, const struct page *page)
{
	if (page->count > 0) {
		rd->empty = 0;
		rd->crossing = false;
		rd->caught_up_at = 0;
		return;
	}
	if (rd->empty < UINT16_MAX)
		rd->empty++;
	if (!rd->closed && (!rd->crossing || rd->empty >= EMPTY_ENOUGH))
		rd->caught_up_at = loop_now(rd->loop);
	if (reader_quiet(rd))
		rd->quiet_at = rd->called_at; /* the answer may have been long under way */
}

static int64_t
poll_delay(struct reader *rd)
{
	int64_t us = POLL_FIRST;

	if (rd->empty == 0 || rd->closed)
		return 0;
	for (unsigned i = 1; i < rd->empty && us < rd->idle_us; i++)
		us *= 2;
	if (us > rd->idle_us)
		us = rd->idle_us;
	return us - us / 10 + (int64_t)loop_random_below(rd->loop, (uint64_t)us / 5 + 1);
}

static void
remember_page(struct reader *rd, struct page *page)
{
	size_t twice = page->bytes < CREDIT_MAX / 2 ? 2 * page->bytes : CREDIT_MAX;

	page->read_us = loop_wall(rd->loop);
	rd->estimate = twice > CREDIT_MIN ? twice : CREDIT_MIN;
	rd->renewed = false;
	rd->limit = rd->limit < rd->limit_conf / 2 ? (uint16_t)(2 * rd->limit) : rd->limit_conf;
	backoff_reset(&rd->retry);
	take_numbers(rd, page);
	take_quiet(rd, page);
}

static void
finish(struct reader *rd)
{
	rd->state = ENDED;
	rd->caught_up_at = loop_now(rd->loop);
	enter(rd)->end(rd->host.ctx, rd);
	(void)leave(rd);
}

static void
take_page(struct reader *rd, struct page *page)
{
	bool more = page->has_next && page->next_iterator.n > 0;
	size_t credited = rd->credited;
	int64_t delay;

	drop_iterator(rd);
	if (more) {
		rd->iterator = mem_slicedup(page->next_iterator);
		rd->iterator_at = rd->called_at;
	}
	rd->credited = 0;
	remember_page(rd, page);
	/* The state is still READING: kick and set_closed start nothing from
	 * inside page(). */
	enter(rd)->page(rd->host.ctx, rd, page, credited);
	if (!leave(rd))
		return;
	if (!more) {
		finish(rd);
		return;
	}
	delay = poll_delay(rd);
	if (delay > 0)
		pause_for(rd, delay);
	else
		go(rd);
}

static bool
token_is_usable(struct slice s)
{
	return s.n <= LIMIT_ITERATOR && (s.n == 0 || memchr(s.p, '\0', s.n) == NULL);
}

static void
give_back(struct reader *rd)
{
	size_t credited = rd->credited;

	rd->credited = 0;
	rd->host.refund(rd->host.ctx, rd, credited);
}

static void
on_records(void *arg, const struct api_result *rs, struct page *page)
{
	struct reader *rd = arg;
	struct api_result bad = {.code = API_MALFORMED};

	rd->call = NULL;
	if (rs->code == API_OK && token_is_usable(page->next_iterator)) {
		take_page(rd, page);
		page_unref(page);
		return;
	}
	if (rs->code == API_OK) {
		(void)err_retry(&bad.err, ERR_PROTOCOL,
		    "reader: %s: the next iterator is longer than can be, or no text", rd->shard);
		rs = &bad;
	}
	page_unref(page);
	(void)enter(rd);
	give_back(rd);
	if (leave(rd))
		records_failed(rd, rs);
}

/* --- for the host --- */

struct reader *
reader_new(struct loop *lp, struct api *api, struct rate *calls, bool urgent,
    const struct reader_conf *conf, const char *arn, const char *shard, const struct seq *start,
    const struct pos *from, const struct reader_host *host)
{
	struct reader *rd = mem_new(sizeof *rd);

	assert(from->kind != POS_NONE && from->kind != POS_COMPLETE);
	assert(from->kind != POS_AFTER || seq_is_set(&from->seq));
	rd->loop = lp;
	rd->api = api;
	rd->calls = calls;
	rd->host = *host;
	rd->timer = loop_timer_new(lp, on_timer, rd);
	rd->turn = (struct rate_wait){.fn = on_turn, .arg = rd, .urgent = urgent};
	rd->arn = mem_strdup(arn);
	rd->shard = mem_strdup(shard);
	rd->idle_us = conf->idle_us > 0 ? conf->idle_us : POLL_IDLE;
	rd->limit_conf = conf->limit > 0 && conf->limit < PAGE_LIMIT ? (uint16_t)conf->limit
								     : (uint16_t)PAGE_LIMIT;
	rd->limit = rd->limit_conf;
	rd->estimate = CREDIT_FIRST;
	if (start != NULL)
		rd->start = *start;
	rd->from = from->kind;
	if (from->kind == POS_AFTER)
		rd->after = from->seq;
	pause_for(rd, 0);
	return rd;
}

void
reader_close(struct reader *rd)
{
	if (rd == NULL)
		return;
	assert(!rd->dead);
	rd->dead = true;
	if (rd->call != NULL)
		api_cancel(rd->call);
	rate_cancel(rd->calls, &rd->turn);
	loop_timer_close(rd->timer);
	if (rd->credited > 0)
		give_back(rd);
	drop_iterator(rd);
	free(rd->shard);
	free(rd->arn);
	if (rd->busy == 0)
		free(rd);
}

void
reader_kick(struct reader *rd)
{
	if (rd->state == PARKED)
		go(rd);
	else if (rd->state == ASKING)
		rd->kicked = true;
}

void
reader_set_closed(struct reader *rd)
{
	rd->closed = true;
	/* Idling is over; back-off is not. */
	if (rd->state == PAUSED && rd->retry.attempt == 0)
		loop_timer_arm(rd->timer, 0);
}

const struct seq *
reader_last(const struct reader *rd)
{
	return &rd->last;
}

int64_t
reader_caught_up_at(const struct reader *rd)
{
	return rd->caught_up_at;
}

bool
reader_quiet(const struct reader *rd)
{
	return !rd->closed && rd->empty >= EMPTY_ENOUGH;
}

int64_t
reader_quiet_at(const struct reader *rd)
{
	return rd->quiet_at;
}

bool
reader_ended(const struct reader *rd)
{
	return rd->state == ENDED;
}
