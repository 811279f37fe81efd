/* streams/listing.c - see listing.h. */
#include "streams/listing.h"

#include <string.h>

/* Tries of one page before the listing is given up. */
#define PAGE_TRIES 8u

static void
ask_page(void *arg)
{
	struct listing *l = arg;

	rate_take(l->budget, &l->turn);
}

static void
give_up(struct listing *l, const struct api_result *rs)
{
	struct api_result cursor_gone = *rs;

	/* After the first page it is the cursor's shard that was not found, and
	 * not the stream, as the owner would read it. */
	if (rs->code == API_NOT_FOUND && l->pages > 0) {
		cursor_gone.code = API_OTHER;
		rs = &cursor_gone;
	}
	l->active = false;
	l->host.trouble(l->host.ctx, rs, true);
}

static bool
worth_another_try(const struct listing *l, enum api_code code)
{
	switch (code) {
	case API_THROTTLED:
	case API_LIMIT_EXCEEDED:
	case API_AUTH:
	case API_SERVER:
	case API_TRANSPORT:
	case API_MALFORMED:
		return l->retry.attempt < PAGE_TRIES;
	case API_OK:
	case API_EXPIRED_ITERATOR:
	case API_TRIMMED:
	case API_NOT_FOUND:
	case API_VALIDATION:
	case API_OTHER:
		break; /* the cursor, or the stream itself, is refused */
	}
	return false;
}

static void
contradiction(struct listing *l, const char *what)
{
	struct api_result rs = {.code = API_MALFORMED};

	(void)err_retry(&rs.err, ERR_PROTOCOL, "lineage: listing of %s given up on page %u: %s",
	    l->arn, l->pages, what);
	give_up(l, &rs);
}

/* Cursors that go round in a circle of any length meet the mark, which is set
 * anew at every power of two (Brent). */
static bool
cursor_repeats(struct listing *l, const char *next)
{
	if (strcmp(next, l->cursor) == 0 || (l->pages > 1 && strcmp(next, l->mark) == 0))
		return true;
	if (l->pages == l->mark_page) {
		memcpy(l->mark, next, sizeof l->mark);
		l->mark_page *= 2;
	}
	return false;
}

static void
take_page(struct listing *l, const struct api_stream *s)
{
	const char *wrong;

	l->pages++;
	backoff_reset(&l->retry);
	wrong = l->host.page(l->host.ctx, s);
	if (wrong == NULL && s->last_shard[0] == '\0') {
		l->active = false;
		l->host.done(l->host.ctx, s);
		return;
	}
	if (wrong == NULL && cursor_repeats(l, s->last_shard))
		wrong = "the same cursor twice";
	if (wrong == NULL && l->pages >= LIMIT_LIST_PAGES)
		wrong = "no end in sight";
	if (wrong != NULL) {
		contradiction(l, wrong);
		return;
	}
	memcpy(l->cursor, s->last_shard, sizeof l->cursor);
	ask_page(l);
}

static void
on_page(void *arg, const struct api_result *rs, const struct api_stream *s)
{
	struct listing *l = arg;

	l->call = NULL;
	if (rs->code == API_OK) {
		take_page(l, s);
	} else if (worth_another_try(l, rs->code)) {
		loop_timer_arm(l->timer, backoff_next(&l->retry, l->loop));
		l->host.trouble(l->host.ctx, rs, false);
	} else
		give_up(l, rs);
}

static void
on_turn(void *arg)
{
	struct listing *l = arg;
	const char *after = l->cursor[0] != '\0' ? l->cursor : NULL;

	l->call = api_describe_stream(l->api, l->arn, after, NULL, on_page, l);
}

void
listing_init(struct listing *l, struct loop *lp, struct api *api, struct rate *budget,
    const char *arn, const struct listing_host *host)
{
	*l = (struct listing){
	    .loop = lp,
	    .api = api,
	    .budget = budget,
	    .arn = arn,
	    .host = *host,
	    .timer = loop_timer_new(lp, ask_page, l),
	    .turn = {.fn = on_turn, .arg = l},
	    .retry = {.base_us = USEC_SEC, .cap_us = 60 * USEC_SEC},
	};
}

void
listing_close(struct listing *l)
{
	rate_cancel(l->budget, &l->turn);
	if (l->call != NULL)
		api_cancel(l->call);
	loop_timer_close(l->timer);
	l->call = NULL;
	l->timer = NULL;
}

void
listing_begin(struct listing *l)
{
	assert(!l->active);
	l->active = true;
	l->pages = 0;
	l->mark_page = 1;
	l->cursor[0] = l->mark[0] = '\0';
	backoff_reset(&l->retry);
	ask_page(l);
}
