/* streams/lineage.c - see lineage.h.
 *
 * Two activities, each with at most one call under way:
 *
 *   listing  timer -> pages (listing.c) -> finish -> tell the host
 *   lookup   shard ended -> queue -> budget (urgent) -> CHILD_SHARDS -> tell
 *
 * `due` is when the next listing begins; whoever wants one earlier moves it
 * forward (schedule()), so that any number of wishes is one listing.
 *
 * Ownership: nodes belong to the graph. The host may close us from any of its
 * callbacks: `busy` counts the depth, and the memory goes when it is back to 0.
 */
#include "streams/lineage.h"

#include <stdlib.h>
#include <string.h>

#include "base/backoff.h"
#include "base/log.h"
#include "base/mem.h"
#include "streams/graph.h"
#include "streams/listing.h"

#define NEVER INT64_MAX
#define LIST_INTERVAL (60 * USEC_SEC)
/* A listing costs at least 200 ms of budget a page (5 calls a second). Listings
 * that are wanted take at most half of it, periodic ones a tenth. */
#define PAGE_COST (200 * USEC_MS)
#define PERIODIC_SHARE 10
/* How far apart two listings must be to confirm each other, and how long a
 * finished shard is remembered after the listing lost it. */
#define CONFIRM (10 * USEC_SEC)
#define REMEMBER (600 * USEC_SEC)
/* A service that refused CHILD_SHARDS is asked again after this. */
#define FILTER_OFF (3600 * USEC_SEC)
static const struct backoff backoff_lists = {.base_us = USEC_SEC, .cap_us = 60 * USEC_SEC};

struct lineage {
	struct loop *loop; /* borrowed, as the next two */
	struct api *api;
	struct rate *describe;
	struct lineage_host host;
	char *arn; /* owned */
	int64_t interval_us;
	struct graph graph;
	struct loop_timer *timer;
	struct node *walk; /* the next node of a walk that the host may disturb */

	int64_t due;	   /* of the next listing */
	int64_t listed_at; /* end of the last complete one */
	struct listing listing;
	struct backoff list_retry; /* listings in a row that were given up */
	struct backoff relist;	   /* listings in a row that did not find what is wanted */
	uint32_t generation;	   /* of the listing under way or, between, of the last */
	unsigned last_pages;	   /* of the last complete one */
	bool retell;		   /* the host asks: what is gone is said once more */
	bool again;		   /* another is wanted right after the one under way */

	struct node *queue, *queue_last; /* WANT_LOOKUP, by node->link */
	struct node *asked;		 /* whose children are being looked up */
	struct rate_wait child_wait;
	struct api_call *child_call;
	int64_t filter_off_until;
	unsigned queued;
	unsigned waiting; /* nodes that WANT_LISTING */

	unsigned busy;
	bool fresh;
	bool listed_once;
	bool disabled;
	bool dead;
};

/* The last thing a callback does that calls the host. */
static void
leave(struct lineage *ln)
{
	if (--ln->busy == 0 && ln->dead)
		free(ln);
}

static int64_t
list_gap(const struct lineage *ln)
{
	int64_t gap = PAGE_COST * ln->last_pages;

	return gap > USEC_SEC ? gap : USEC_SEC;
}

static void
schedule(struct lineage *ln, int64_t delay)
{
	int64_t now = loop_now(ln->loop);

	if (ln->listing.active) {
		ln->again = true;
		return;
	}
	if (now + delay >= ln->due)
		return;
	ln->due = now + delay;
	loop_timer_arm(ln->timer, delay);
}

/* A listing is wanted now: as soon as the last one is far enough back. */
static void
schedule_soon(struct lineage *ln)
{
	int64_t delay = 0;

	if (ln->listed_once)
		delay = ln->listed_at + list_gap(ln) - loop_now(ln->loop);
	schedule(ln, delay > 0 ? delay : 0);
}

/* A listing was in vain; the next comes with back-off. */
static void
schedule_relist(struct lineage *ln)
{
	int64_t delay = backoff_next(&ln->relist, ln->loop), gap = list_gap(ln);

	schedule(ln, delay > gap ? delay : gap);
}

/* Ten per cent either way, so that many streams do not list in step. */
static int64_t
interval(struct lineage *ln)
{
	int64_t us = (int64_t)ln->last_pages * PAGE_COST * PERIODIC_SHARE;

	if (us < ln->interval_us)
		us = ln->interval_us;
	return us - us / 10 + (int64_t)loop_random_below(ln->loop, (uint64_t)us / 5 + 1);
}

/* --- children that are wanted --- */

static void
want_nothing(struct lineage *ln, struct node *n)
{
	if (n->want == WANT_LISTING)
		ln->waiting--;
	n->want = WANT_NOTHING; /* a queued lookup is skipped when its turn comes */
}

static void
want_listing(struct lineage *ln, struct node *n)
{
	if (n->want != WANT_LISTING)
		ln->waiting++;
	n->want = WANT_LISTING;
}

static struct node *
queue_take(struct lineage *ln)
{
	struct node *n = ln->queue;

	if (n == NULL)
		return NULL;
	ln->queue = n->link;
	if (ln->queue == NULL)
		ln->queue_last = NULL;
	n->link = NULL;
	ln->queued--;
	return n;
}

static void
queue_add(struct lineage *ln, struct node *n)
{
	if (ln->queue_last != NULL)
		ln->queue_last->link = n;
	else
		ln->queue = n;
	ln->queue_last = n;
	ln->queued++;
}

static void
queue_drop(struct lineage *ln, const struct node *n)
{
	struct node *before = NULL;

	for (struct node *it = ln->queue; it != NULL; before = it, it = it->link) {
		if (it != n)
			continue;
		if (before != NULL)
			before->link = it->link;
		else
			ln->queue = it->link;
		if (ln->queue_last == it)
			ln->queue_last = before;
		ln->queued--;
		return;
	}
}

static void
lookup_next(struct lineage *ln)
{
	while (ln->asked == NULL && ln->queue != NULL) {
		struct node *n = queue_take(ln);

		if (n->want != WANT_LOOKUP)
			continue;
		ln->asked = n;
		rate_take(ln->describe, &ln->child_wait);
	}
}

/* --- merging --- */

static void
learn_bounds(struct node *n, const struct api_shard *as)
{
	if (!seq_is_set(&n->sh.start) && seq_is_set(&as->start))
		n->sh.start = as->start;
	if (!n->sh.closed && seq_is_set(&as->end)) {
		n->sh.end = as->end; /* a late listing may show it open again: it is not */
		n->sh.closed = true;
	}
}

static void
learn_parent(struct node *n, const struct api_shard *as)
{
	if (as->parent[0] == '\0' || strcmp(n->sh.parent_id, as->parent) == 0)
		return;
	if (n->sh.parent_id[0] == '\0')
		memcpy(n->sh.parent_id, as->parent, sizeof n->sh.parent_id);
	else
		log_warn("lineage", n->sh.id, "listed under parent %s, earlier under %s: ignored",
		    as->parent, n->sh.parent_id);
}

/* NULL if it cannot be. */
static struct node *
merge(struct lineage *ln, const struct api_shard *as)
{
	struct node *n;

	if (as->id[0] == '\0')
		return NULL;
	n = graph_find(&ln->graph, as->id);
	if (n == NULL && ln->graph.count >= GRAPH_MAX)
		return NULL;
	if (n == NULL)
		n = graph_add(&ln->graph, as->id, as->parent);
	learn_bounds(n, as);
	learn_parent(n, as);
	n->seen = ln->generation;
	n->missing = false;
	n->told = false;
	n->sh.listed = true;
	return n;
}

static enum shard_birth
birth_of(const struct lineage *ln, const struct node *n)
{
	if (ln->fresh && !ln->listed_once)
		return SHARD_FIRST;
	if (n->sh.parent == NULL && n->sh.parent_id[0] != '\0' && !n->rooted)
		return SHARD_ORPHAN;
	return SHARD_CHILD;
}

/* False if the host closed us. */
static bool
announce(struct lineage *ln, struct node *n)
{
	graph_announce(&ln->graph, n);
	n->sh.birth = birth_of(ln, n);
	n->sh.state = SHARD_DISCOVERED;
	if (n->sh.parent != NULL)
		want_nothing(ln, node_of(n->sh.parent));
	log_debug("lineage", n->sh.id, "found parent=%s closed=%d birth=%d", n->sh.parent_id,
	    n->sh.closed, (int)n->sh.birth);
	ln->host.found(ln->host.ctx, &n->sh);
	return !ln->dead;
}

/* --- the end of a listing --- */

static bool
tell_found(struct lineage *ln)
{
	struct node **ready;
	size_t n = graph_ready(&ln->graph, ln->fresh && !ln->listed_once, &ready);
	bool alive = true;

	for (size_t i = 0; i < n && alive; i++)
		alive = announce(ln, ready[i]);
	free(ready);
	if (alive)
		graph_relink(&ln->graph);
	return alive;
}

/* Whether a node that this listing lacks is gone; `confirm` asks for a second
 * listing soon. */
static bool
missed(struct lineage *ln, struct node *n, bool retell, bool *confirm)
{
	int64_t now = loop_now(ln->loop);
	bool complete = n->sh.state == SHARD_COMPLETE;

	n->sh.listed = false;
	if (!n->missing)
		n->missed_at = now;
	n->missing = true;
	if (n->told)
		return retell;
	if (now - n->missed_at >= (complete ? REMEMBER : CONFIRM))
		return true;
	*confirm = *confirm || !complete;
	return false;
}

static bool
tell_unlisted(struct lineage *ln, bool retell, bool *confirm)
{
	for (struct node *n = ln->graph.first; n != NULL; n = ln->walk) {
		ln->walk = node_next(n);
		if (n->seen == ln->generation || !missed(ln, n, retell, confirm))
			continue;
		n->told = true;
		want_nothing(ln, n);
		ln->host.unlisted(ln->host.ctx, &n->sh);
		if (ln->dead)
			return false;
	}
	return true;
}

static void
take_status(struct lineage *ln, const struct api_stream *info)
{
	ln->disabled = info->status == STREAM_DISABLED || info->status == STREAM_DISABLING;
	/* Nothing is born in it any more: a closed leaf is an end. And a child
	 * may have been linked late. */
	for (struct node *n = ln->graph.first; n != NULL; n = node_next(n))
		if (ln->disabled || n->sh.children != NULL)
			want_nothing(ln, n);
}

static void
schedule_next(struct lineage *ln, bool confirm, bool again)
{
	schedule(ln, interval(ln));
	if (ln->waiting > 0)
		schedule_relist(ln);
	else if (!confirm && !again)
		backoff_reset(&ln->relist);
	if (confirm)
		schedule(ln, list_gap(ln) > CONFIRM ? list_gap(ln) : CONFIRM);
	if (again)
		schedule_soon(ln);
}

static void
finish_listing(struct lineage *ln, const struct api_stream *info)
{
	bool first = !ln->listed_once, again = ln->again, retell = ln->retell, confirm = false;

	ln->again = ln->retell = false;
	ln->last_pages = ln->listing.pages;
	ln->listed_at = loop_now(ln->loop);
	backoff_reset(&ln->list_retry);
	if (!tell_found(ln))
		return;
	ln->listed_once = true;
	take_status(ln, info);
	if (!tell_unlisted(ln, retell, &confirm))
		return;
	ln->host.listed(ln->host.ctx, first, info);
	if (!ln->dead)
		schedule_next(ln, confirm || ln->graph.pending_count > 0, again);
}

/* --- a listing --- */

static void
on_timer(void *arg)
{
	struct lineage *ln = arg;

	ln->again = false;
	ln->due = NEVER;
	ln->generation++;
	listing_begin(&ln->listing);
}

static const char *
on_page(void *ctx, const struct api_stream *s)
{
	struct lineage *ln = ctx;

	for (size_t i = 0; i < s->shard_count; i++)
		if (merge(ln, &s->shards[i]) == NULL)
			return "a shard without an id, or more shards than can be";
	return NULL;
}

static void
on_listed(void *ctx, const struct api_stream *last_page)
{
	struct lineage *ln = ctx;

	ln->busy++;
	finish_listing(ln, last_page);
	leave(ln);
}

static void
on_listing_trouble(void *ctx, const struct api_result *rs, bool given_up)
{
	struct lineage *ln = ctx;

	if (given_up) {
		ln->again = false;
		schedule(ln, backoff_next(&ln->list_retry, ln->loop));
	}
	ln->busy++;
	ln->host.trouble(ln->host.ctx, rs);
	leave(ln);
}

/* --- a lookup --- */

/* The filter was refused or ignored: the whole list instead, for this shard
 * and for a while for all. */
static void
filter_is_off(struct lineage *ln, struct node *n)
{
	ln->filter_off_until = loop_now(ln->loop) + FILTER_OFF;
	want_listing(ln, n);
	schedule_soon(ln);
}

static bool
only_children(const struct node *n, const struct api_stream *s)
{
	for (size_t i = 0; i < s->shard_count; i++)
		if (strcmp(s->shards[i].parent, n->sh.id) != 0 || s->shards[i].id[0] == '\0')
			return false;
	return true;
}

static void
take_children(struct lineage *ln, struct node *n, const struct api_stream *s)
{
	if (!only_children(n, s)) {
		filter_is_off(ln, n);
		return;
	}
	for (size_t i = 0; i < s->shard_count; i++) {
		struct node *child = merge(ln, &s->shards[i]);

		if (child != NULL && !child->announced && !announce(ln, child))
			return;
	}
	/* The host may have forgotten n; but then nobody wants its children. */
	if (ln->asked == n && n->sh.children == NULL && n->want != WANT_NOTHING) {
		want_listing(ln, n);
		schedule_relist(ln);
	}
}

static void
on_children(void *arg, const struct api_result *rs, const struct api_stream *s)
{
	struct lineage *ln = arg;
	struct node *n = ln->asked;

	ln->child_call = NULL;
	ln->busy++;
	if (n->want == WANT_NOTHING)
		; /* a listing was quicker */
	else if (rs->code == API_OK)
		take_children(ln, n, s);
	else if (rs->code == API_VALIDATION)
		filter_is_off(ln, n);
	else {
		struct api_result told = *rs;

		/* Only a listing says that the stream is gone: here it may be
		 * the shard. */
		if (told.code == API_NOT_FOUND)
			told.code = API_OTHER;
		want_listing(ln, n);
		schedule_relist(ln);
		ln->host.trouble(ln->host.ctx, &told);
	}
	if (!ln->dead && ln->asked == n) { /* else the host has forgotten it */
		ln->asked = NULL;
		lookup_next(ln);
	}
	leave(ln);
}

static void
on_child_token(void *arg)
{
	struct lineage *ln = arg;

	ln->child_call =
	    api_describe_stream(ln->api, ln->arn, NULL, ln->asked->sh.id, on_children, ln);
}

/* --- for the host --- */

static void
add_known(struct lineage *ln, const struct lineage_known *known, size_t count)
{
	struct node **ready;
	size_t n;

	for (size_t i = 0; i < count; i++) {
		const struct lineage_known *k = &known[i];
		const char *parent = k->parent != NULL ? k->parent : "";
		struct node *node;

		if (k->id[0] == '\0' || strlen(k->id) > LIMIT_SHARD_ID ||
		    strlen(parent) > LIMIT_SHARD_ID || graph_find(&ln->graph, k->id) != NULL) {
			log_warn("lineage", ln->arn, "a stored shard is unreadable or twice there");
			continue;
		}
		node = graph_add(&ln->graph, k->id, parent);
		node->sh.start = k->start;
		node->sh.birth = SHARD_KNOWN;
		node->sh.state = k->complete ? SHARD_COMPLETE : SHARD_DISCOVERED;
	}
	n = graph_ready(&ln->graph, true, &ready);
	for (size_t i = 0; i < n; i++)
		graph_announce(&ln->graph, ready[i]);
	free(ready);
}

struct lineage *
lineage_new(struct loop *lp, struct api *api, struct rate *describe,
    const struct lineage_conf *conf, const char *arn, bool fresh, const struct lineage_known *known,
    size_t known_count, const struct lineage_host *host)
{
	struct lineage *ln = mem_new(sizeof *ln);

	ln->loop = lp;
	ln->api = api;
	ln->describe = describe;
	ln->host = *host;
	ln->arn = mem_strdup(arn);
	ln->interval_us = conf->list_interval_us > 0 ? conf->list_interval_us : LIST_INTERVAL;
	ln->fresh = fresh;
	ln->due = NEVER;
	ln->list_retry = ln->relist = backoff_lists;
	ln->child_wait = (struct rate_wait){.fn = on_child_token, .arg = ln, .urgent = true};
	ln->timer = loop_timer_new(lp, on_timer, ln);
	listing_init(&ln->listing, lp, api, describe, ln->arn,
	    &(struct listing_host){
		.ctx = ln, .page = on_page, .done = on_listed, .trouble = on_listing_trouble});
	graph_init(&ln->graph, loop_random(lp));
	add_known(ln, known, known_count);
	return ln;
}

void
lineage_close(struct lineage *ln)
{
	if (ln == NULL)
		return;
	listing_close(&ln->listing);
	rate_cancel(ln->describe, &ln->child_wait);
	if (ln->child_call != NULL)
		api_cancel(ln->child_call);
	loop_timer_close(ln->timer);
	graph_close(&ln->graph);
	free(ln->arn);
	ln->dead = true;
	if (ln->busy == 0)
		free(ln);
}

void
lineage_start(struct lineage *ln)
{
	schedule(ln, 0);
}

void
lineage_shard_ended(struct lineage *ln, struct shard *sh)
{
	struct node *n = node_of(sh);

	if (sh->children != NULL || ln->disabled || n->want != WANT_NOTHING || n->told)
		return;
	backoff_reset(&ln->relist);
	/* Where many end at once, one listing is cheaper than all their lookups. */
	if (loop_now(ln->loop) < ln->filter_off_until ||
	    ln->queued + (ln->asked != NULL) >= (ln->last_pages > 1 ? ln->last_pages : 1)) {
		want_listing(ln, n);
		schedule_soon(ln);
		return;
	}
	n->want = WANT_LOOKUP;
	if (n != ln->asked) {
		queue_drop(ln, n);
		queue_add(ln, n);
	}
	lookup_next(ln);
}

void
lineage_refresh(struct lineage *ln)
{
	ln->retell = true;
	schedule_soon(ln);
}

void
lineage_forget(struct lineage *ln, struct shard *sh)
{
	struct node *n = node_of(sh);

	assert(n->announced);
	shard_set_state(sh, SHARD_FORGOTTEN, "gone from the listing");
	want_nothing(ln, n);
	queue_drop(ln, n);
	if (ln->walk == n)
		ln->walk = node_next(n);
	if (ln->asked == n) {
		rate_cancel(ln->describe, &ln->child_wait);
		if (ln->child_call != NULL)
			api_cancel(ln->child_call);
		ln->child_call = NULL;
		ln->asked = NULL;
		lookup_next(ln);
	}
	graph_remove(&ln->graph, n);
}

struct shard *
lineage_first(struct lineage *ln)
{
	return ln->graph.first != NULL ? &ln->graph.first->sh : NULL;
}

struct shard *
lineage_find(struct lineage *ln, const char *id)
{
	struct node *n = graph_find(&ln->graph, id);

	return n != NULL && n->announced ? &n->sh : NULL;
}

bool
lineage_listed_once(const struct lineage *ln)
{
	return ln->listed_once;
}

bool
lineage_disabled(const struct lineage *ln)
{
	return ln->disabled;
}
