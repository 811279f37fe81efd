/* tests/sim/api_list_sim.c - see api_sim.h: DescribeStream.
 *
 * Eventually consistent in the ways that were seen in the field (streams.md
 * 1.4): a child shows late, a closed shard shows as open, a shard is missing
 * from one listing (never from two in a row), a page is in any order, the last
 * page may be empty, a cursor may stand still.
 */
#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/api_sim.h"
#include "tests/sim/oracle.h"

static bool
visible(const struct api *a, const struct h_shard *sh, int64_t at)
{
	return sh->listed_from <= at && !history_gone(a->w->hist, sh, at);
}

/* May a listing leave it out without the core having to take its children for
 * roots or orphans? Only when this life has seen it, or nothing will ever hang
 * on it. */
static bool
may_omit(const struct api *a, const struct h_shard *sh)
{
	return a->watches[sh->number].listed || sh->child[0] == NULL;
}

/* No shard lives and dies within one listing: what is new shows only if its
 * parent was there when the listing began. */
static bool
in_session(const struct api *a, const struct h_shard *sh, int64_t at)
{
	return visible(a, sh, at) &&
	    (sh->parent == NULL || sh->parent->listed_from <= a->session_at);
}

static void
begin_session(struct api *a, const struct h_stream *st, int64_t at)
{
	unsigned chance_of = a->w->sc.faults.omitted;

	a->session++;
	a->session_at = at;
	for (unsigned i = 0; i < a->order_count && chance_of != 0; i++) {
		struct h_shard *sh = a->order[i];
		struct watch *wa = &a->watches[sh->number];

		if (sh->stream != st || !visible(a, sh, at) || !may_omit(a, sh))
			continue;
		if (wa->missed || !api_sim_chance(a, chance_of))
			continue;
		wa->omitted_in = a->session;
		count(a->w, T_OMITTED);
	}
}

static void
fill_shard(struct api_shard *out, const struct h_shard *sh, int64_t at)
{
	*out = (struct api_shard){.start = sh->start};
	(void)snprintf(out->id, sizeof out->id, "%s", sh->id);
	if (sh->parent != NULL)
		(void)snprintf(out->parent, sizeof out->parent, "%s", sh->parent->id);
	if (sh->end_shown <= at)
		out->end = sh->end;
}

static size_t
collect_children(const struct api_call *c, struct api_shard *v)
{
	struct h_shard *parent = history_shard(c->api->w->hist, c->parent);
	int64_t at = api_sim_as_of(c);
	size_t n = 0;

	for (unsigned i = 0; i < 2 && parent != NULL; i++)
		if (parent->child[i] != NULL && visible(c->api, parent->child[i], at))
			fill_shard(&v[n++], parent->child[i], at);
	return n;
}

static size_t
collect_page(const struct api_call *c, const struct h_stream *st, struct api_shard *v, bool *more)
{
	struct api *a = c->api;
	const struct h_shard *after = history_shard(a->w->hist, c->shard);
	int64_t at = api_sim_as_of(c);
	bool begun = c->shard[0] == '\0';
	size_t n = 0;

	*more = false;
	for (unsigned i = 0; i < a->order_count; i++) {
		struct h_shard *sh = a->order[i];

		if (!begun) {
			begun = sh == after;
			continue;
		}
		if (sh->stream != st || !in_session(a, sh, at))
			continue;
		if (n == a->w->sc.list_page) {
			*more = true;
			break;
		}
		if (a->watches[sh->number].omitted_in == a->session && !a->w->calm)
			continue;
		fill_shard(&v[n++], sh, at);
		a->watches[sh->number].shown_in = a->session;
	}
	return n;
}

static void
set_cursor(struct api_call *c, struct api_stream *s, const struct api_shard *v, size_t n, bool more)
{
	const char *last = n != 0 ? v[n - 1].id : "";

	/* A cursor does not promise that there is more. */
	if (!more && (n == 0 || !api_sim_chance(c->api, 100)))
		last = "";
	if (more && c->shard[0] != '\0' && api_sim_chance(c->api, c->api->w->sc.faults.cursor)) {
		last = c->shard;
		count(c->api->w, T_CURSORS);
	}
	(void)snprintf(s->last_shard, sizeof s->last_shard, "%s", last);
}

static void
shuffle(struct api *a, struct api_shard *v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = (size_t)rng_below(&a->rng, i);
		struct api_shard t = v[i - 1];

		v[i - 1] = v[k];
		v[k] = t;
	}
}

static void
fill_stream(const struct api_call *c, const struct h_stream *st, struct api_stream *s)
{
	int64_t at = api_sim_as_of(c);
	int64_t enabling = c->api->w->sc.table[st->table->number].enabling_us;

	(void)snprintf(s->arn, sizeof s->arn, "%s", st->arn);
	(void)snprintf(s->label, sizeof s->label, "%s", st->label);
	(void)snprintf(s->table, sizeof s->table, "%s", st->table->name);
	s->view = VIEW_NEW_AND_OLD;
	s->status = STREAM_ENABLED;
	if (at < st->created + enabling)
		s->status = STREAM_ENABLING;
	if (st->disabled <= at)
		s->status = at < st->disabled + 2 * USEC_SEC ? STREAM_DISABLING : STREAM_DISABLED;
	(void)snprintf(s->key.hash, sizeof s->key.hash, "pk");
	if (st->table->sort_key)
		(void)snprintf(s->key.range, sizeof s->key.range, "sk");
}

enum shard_filter { FILTER_NONE, FILTER_WORKS, FILTER_REFUSED, FILTER_IGNORED, FILTER_EMPTY };

static enum shard_filter
draw_filter(struct api_call *c)
{
	const struct api_faults *f = &c->api->w->sc.faults;

	if (c->parent[0] == '\0')
		return FILTER_NONE;
	if (api_sim_chance(c->api, f->refused))
		return FILTER_REFUSED;
	if (api_sim_chance(c->api, f->ignored))
		return FILTER_IGNORED;
	return api_sim_chance(c->api, f->childless) ? FILTER_EMPTY : FILTER_WORKS;
}

/* A listing that went through: everything it showed is known to this life. */
static void
complete_session(struct api *a)
{
	for (unsigned i = 0; i < a->order_count; i++) {
		struct watch *wa = &a->watches[a->order[i]->number];

		wa->missed = wa->omitted_in == a->session;
		wa->listed = wa->listed || wa->shown_in == a->session;
		if (wa->shown_in == a->session)
			oracle_seen(a->w->oracle, a->order[i]);
	}
}

static void
answer(struct api_call *c, struct api_result *rs, struct h_stream *st)
{
	struct api *a = c->api;
	enum shard_filter filter = draw_filter(c);
	struct api_stream s = {.shard_count = 0};
	struct api_shard *v = mem_array(a->w->sc.list_page + 2, sizeof *v);
	bool more = false;

	if (filter > FILTER_WORKS)
		count(a->w, T_FILTER_ODD);
	fill_stream(c, st, &s);
	if (filter == FILTER_NONE && c->shard[0] == '\0')
		begin_session(a, st, api_sim_as_of(c));
	if (filter == FILTER_WORKS)
		s.shard_count = collect_children(c, v);
	else if (filter == FILTER_NONE || filter == FILTER_IGNORED)
		s.shard_count = collect_page(c, st, v, &more);
	set_cursor(c, &s, v, s.shard_count, more);
	shuffle(a, v, s.shard_count);
	s.shards = v;
	if (filter == FILTER_REFUSED)
		api_sim_result(rs, API_VALIDATION, "DescribeStream");
	TRACE(&a->w->trace, 20, s.shard_count,
	    "api: DescribeStream after=%s children=%s -> %s, %zu%s", c->shard, c->parent,
	    api_code_name(rs->code), s.shard_count, s.last_shard[0] != '\0' ? ", more" : "");
	if (rs->code == API_OK) {
		if (filter == FILTER_NONE && s.last_shard[0] == '\0') {
			complete_session(a);
			oracle_listed(a->w->oracle, st);
		}
		for (size_t i = 0; filter == FILTER_WORKS && i < s.shard_count; i++)
			oracle_seen(a->w->oracle, history_shard(a->w->hist, v[i].id));
	}
	c->fn.describe(c->arg, rs, rs->code == API_OK ? &s : NULL);
	free(v);
}

void
api_sim_describe(struct api_call *c, struct api_result *rs)
{
	struct h_stream *st = history_stream(c->api->w->hist, c->arn);

	if (rs->code != API_OK) {
		c->fn.describe(c->arg, rs, NULL);
		return;
	}
	if (st == NULL || st->table != c->api->table)
		oracle_fail(c->api->w->oracle, T_OTHER, "DescribeStream of \"%s\"", c->arn);
	if (st == NULL || st->gone_at <= history_trim_clock(c->api->w->hist, api_sim_as_of(c))) {
		api_sim_result(rs, API_NOT_FOUND, "DescribeStream");
		TRACE(&c->api->w->trace, 24, 0, "api: DescribeStream %s -> not found", c->arn);
		c->fn.describe(c->arg, rs, NULL);
		return;
	}
	answer(c, rs, st);
}
