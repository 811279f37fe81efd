/* tests/sim/api_sim.c - see api_sim.h: calls, latency, faults, limits.
 *
 * Linked before libslipring.a, it takes the place of streams/api_http.c.
 */
#include "tests/sim/api_sim.h"

#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/oracle.h"

/* The service's limit. With `readers: 1` the two take turns, which
 * check_records_rate() sees. */
#define READERS_MAX 2u

bool
api_sim_chance(struct api *a, unsigned of_1000)
{
	return !a->w->calm && chance(&a->rng, of_1000);
}

int64_t
api_sim_as_of(const struct api_call *c)
{
	return c->as_of != 0 ? c->as_of : world_now(c->api->w);
}

void
api_sim_result(struct api_result *rs, enum api_code code, const char *what)
{
	rs->code = code;
	rs->err.retriable = true;
	(void)snprintf(rs->err.text, sizeof rs->err.text, "api: %s: %s", what, api_code_name(code));
}

/* Throttles and errors that any call may meet; API_OK for none. */
static enum api_code
draw_fault(struct api *a)
{
	const struct api_faults *f = &a->w->sc.faults;
	static const enum api_code storm[] = {
	    API_THROTTLED, API_SERVER, API_TRANSPORT, API_LIMIT_EXCEEDED};

	if (a->w->calm)
		return API_OK;
	for (unsigned i = 0; i < a->w->sc.storm_count; i++)
		if (span_has(&a->w->sc.storms[i], a->w) && rng_below(&a->rng, 20) != 0)
			return storm[i % ARRAY_LEN(storm)];
	if (chance(&a->rng, f->throttled))
		return API_THROTTLED;
	if (chance(&a->rng, f->server))
		return API_SERVER;
	if (chance(&a->rng, f->transport))
		return API_TRANSPORT;
	if (chance(&a->rng, f->malformed))
		return API_MALFORMED;
	return chance(&a->rng, f->auth) ? API_AUTH : API_OK;
}

static void
count_fault(struct api *a, enum api_code code)
{
	static const enum total counts[] = {[API_THROTTLED] = T_THROTTLED,
	    [API_LIMIT_EXCEEDED] = T_LIMITED,
	    [API_SERVER] = T_SERVER,
	    [API_TRANSPORT] = T_TRANSPORT,
	    [API_MALFORMED] = T_MALFORMED,
	    [API_AUTH] = T_AUTH,
	    [API_TRIMMED] = T_TRIMS,
	    [API_EXPIRED_ITERATOR] = T_EXPIRIES,
	    [API_OTHER] = T_SEEDS};

	if (code < ARRAY_LEN(counts) && counts[code] != T_SEEDS)
		count(a->w, counts[code]);
}

static void
unlink_call(struct api_call *c)
{
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	if (c->kind == CALL_RECORDS) {
		c->api->watches[c->token.shard].outstanding--;
		c->api->limits->flying--;
	}
}

static void
free_call(struct api_call *c)
{
	loop_timer_close(c->timer);
	free(c);
}

static void
answer_table(struct api_call *c, struct api_result *rs)
{
	const struct h_table *t = c->api->table;
	const struct history *h = c->api->w->hist;
	struct api_table out = {.view = VIEW_NEW_AND_OLD};
	int64_t at = api_sim_as_of(c);

	(void)snprintf(out.table, sizeof out.table, "%s", t->name);
	(void)snprintf(
	    out.arn, sizeof out.arn, "arn:aws:dynamodb:ddblocal:000000000000:table/%s", t->name);
	for (unsigned i = 0; i < t->streams; i++) {
		const struct h_stream *st = &h->stream[t->first_stream + i];

		if (st->created > at)
			break;
		(void)snprintf(out.latest_stream, sizeof out.latest_stream, "%s", st->arn);
		out.stream_enabled = st->disabled > at;
	}
	c->fn.table(c->arg, rs, rs->code == API_OK ? &out : NULL);
}

static void
answer_streams(struct api_call *c, struct api_result *rs)
{
	const struct h_table *t = c->api->table;
	const struct history *h = c->api->w->hist;
	struct api_stream_ref v[4];
	size_t n = 0;
	int64_t at = api_sim_as_of(c);

	for (unsigned i = 0; i < t->streams && n < ARRAY_LEN(v); i++) {
		const struct h_stream *st = &h->stream[t->first_stream + i];

		if (st->created > at || st->gone_at <= history_trim_clock(h, at))
			continue;
		(void)snprintf(v[n].arn, sizeof v[n].arn, "%s", st->arn);
		(void)snprintf(v[n].label, sizeof v[n].label, "%s", st->label);
		n++;
	}
	c->fn.streams(c->arg, rs, rs->code == API_OK ? v : NULL, rs->code == API_OK ? n : 0);
}

static void
on_timer(void *arg)
{
	static const char *const names[] = {
	    "DescribeTable", "ListStreams", "DescribeStream", "GetShardIterator", "GetRecords"};
	struct api_call *c = arg;
	struct api_result rs = {.code = API_OK};
	enum api_code fault = draw_fault(c->api);

	unlink_call(c);
	if (fault == API_LIMIT_EXCEEDED && c->kind != CALL_RECORDS)
		fault = API_THROTTLED;
	if (fault != API_OK)
		api_sim_result(&rs, fault, names[c->kind]);
	if (fault != API_OK)
		TRACE(&c->api->w->trace, 10 + c->kind, fault, "api: %s %s -> %s", names[c->kind],
		    c->shard, api_code_name(fault));
	switch (c->kind) {
	case CALL_TABLE:
		answer_table(c, &rs);
		break;
	case CALL_STREAMS:
		answer_streams(c, &rs);
		break;
	case CALL_DESCRIBE:
		api_sim_describe(c, &rs);
		break;
	case CALL_ITERATOR:
		api_sim_iterator(c, &rs);
		break;
	case CALL_RECORDS:
		api_sim_records(c, &rs);
		break;
	}
	count_fault(c->api, rs.code);
	free_call(c);
}

static struct api_call *
begin(struct api *a, enum call_kind kind, const char *arn, void *arg)
{
	struct api_call *c = mem_new(sizeof *c);
	int64_t wait = between(&a->rng, USEC_MS, 30 * USEC_MS);

	if (api_sim_chance(a, a->w->sc.faults.late))
		wait = between(&a->rng, 0, a->w->sc.faults.late_us);
	*c = (struct api_call){.api = a, .kind = kind, .arg = arg};
	(void)snprintf(c->arn, sizeof c->arn, "%s", arn);
	if (rng_below(&a->rng, 2) == 0)
		c->as_of = world_now(a->w);
	c->timer = loop_timer_new(a->w->loop, on_timer, c);
	loop_timer_arm(c->timer, wait);
	c->next = a->calls;
	c->prev = &a->calls;
	if (c->next != NULL)
		c->next->prev = &c->next;
	a->calls = c;
	return c;
}

struct api_call *
api_describe_table(struct api *a, const char *table,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_table *t), void *arg)
{
	struct api_call *c = begin(a, CALL_TABLE, table, arg);

	c->fn.table = fn;
	return c;
}

struct api_call *
api_list_streams(struct api *a, const char *table,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream_ref *v, size_t n),
    void *arg)
{
	struct api_call *c = begin(a, CALL_STREAMS, table, arg);

	c->fn.streams = fn;
	return c;
}

/* Five a second in any second (design.md 5, rule 6). */
static void
check_describe_rate(struct api *a)
{
	struct api_limits *l = a->limits;
	int64_t *slot = &l->describes[l->next_describe++ % ARRAY_LEN(l->describes)];

	if (*slot != 0 && world_now(a->w) - *slot < USEC_SEC)
		oracle_fail(a->w->oracle, T_OTHER, "six DescribeStream within %lld us",
		    (long long)(world_now(a->w) - *slot));
	*slot = world_now(a->w);
}

struct api_call *
api_describe_stream(struct api *a, const char *arn, const char *start_after,
    const char *children_of,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream *s), void *arg)
{
	struct api_call *c = begin(a, CALL_DESCRIBE, arn, arg);

	count(a->w, T_DESCRIBES);
	check_describe_rate(a);
	c->fn.describe = fn;
	(void)snprintf(c->shard, sizeof c->shard, "%s", start_after != NULL ? start_after : "");
	(void)snprintf(c->parent, sizeof c->parent, "%s", children_of != NULL ? children_of : "");
	return c;
}

struct api_call *
api_get_shard_iterator(struct api *a, const char *arn, const char *shard, enum iterator_type type,
    const struct seq *seq, void (*fn)(void *arg, const struct api_result *rs, const char *iterator),
    void *arg)
{
	struct api_call *c = begin(a, CALL_ITERATOR, arn, arg);
	struct h_shard *sh = history_shard(a->w->hist, shard);

	c->fn.iterator = fn;
	c->type = type;
	if (seq != NULL)
		c->seq = *seq;
	(void)snprintf(c->shard, sizeof c->shard, "%s", shard);
	if ((seq != NULL) != (type == ITER_AT || type == ITER_AFTER))
		oracle_fail(a->w->oracle, T_OTHER, "GetShardIterator: number and type do not fit");
	if (sh == NULL || strcmp(sh->stream->arn, arn) != 0)
		oracle_fail(
		    a->w->oracle, T_OTHER, "GetShardIterator for shard \"%s\" of %s", shard, arn);
	else
		oracle_read(a->w->oracle, sh);
	return c;
}

/* In any second at most the configured calls (and one, of the bucket's burst);
 * never more at once than there may be readers. */
static void
check_records_rate(struct api *a, const struct token *t)
{
	const struct feed_conf *f = &a->w->sc.table[a->table->number].feed;
	struct watch *wa = &a->watches[t->shard];
	unsigned rate = (unsigned)f->calls_per_second + 1;
	int64_t now = world_now(a->w);
	int64_t *slot = &wa->calls[wa->next_call++ % rate];

	if (*slot != 0 && now - *slot < USEC_SEC)
		oracle_fail(a->w->oracle, T_OTHER, "%u GetRecords of one shard within %lld us",
		    rate + 1, (long long)(now - *slot));
	*slot = now;
	if (++wa->outstanding > f->readers)
		oracle_fail(
		    a->w->oracle, T_OTHER, "%u GetRecords of one shard at a time", wa->outstanding);
	if (++a->limits->flying > a->limits->most_flying)
		a->limits->most_flying = a->limits->flying;
}

static void
use_chain(struct api *a, const struct token *t)
{
	struct watch *wa = &a->watches[t->shard];
	struct chain *ch = &wa->chains[t->chain];

	if (ch->first == 0)
		ch->first = world_now(a->w);
	ch->last = world_now(a->w);
}

struct api_call *
api_get_records(struct api *a, const char *iterator, unsigned limit,
    void (*fn)(void *arg, const struct api_result *rs, struct page *page), void *arg)
{
	struct api_call *c = begin(a, CALL_RECORDS, "", arg);
	struct h_shard *sh;

	count(a->w, T_READS);
	c->fn.records = fn;
	c->limit = limit;
	if (!api_sim_token(iterator, &c->token) || c->token.life != a->w->life ||
	    c->token.shard >= a->w->hist->shards) {
		(void)fprintf(stderr, "sim: GetRecords with a foreign iterator \"%s\"\n", iterator);
		abort();
	}
	sh = &a->w->hist->shard[c->token.shard];
	(void)snprintf(c->shard, sizeof c->shard, "%s", sh->id);
	if (limit < 1 || limit > 1000)
		oracle_fail(a->w->oracle, T_OTHER, "GetRecords with limit %u", limit);
	oracle_read(a->w->oracle, sh);
	check_records_rate(a, &c->token);
	use_chain(a, &c->token);
	return c;
}

void
api_cancel(struct api_call *c)
{
	if (c == NULL)
		return;
	unlink_call(c);
	free_call(c);
}

static int
by_list_order(const void *x, const void *y)
{
	const struct h_shard *a = *(struct h_shard *const *)x, *b = *(struct h_shard *const *)y;

	if (a->list_order != b->list_order)
		return a->list_order < b->list_order ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

struct api *
api_sim_new(struct world *w, unsigned table, struct api_limits *limits)
{
	struct api *a = mem_new(sizeof *a);

	*a = (struct api){.w = w, .table = &w->hist->table[table], .limits = limits};
	rng_seed(&a->rng, w->sc.seed ^ UINT64_C(0x617069) << 16 ^ (uint64_t)w->life << 8 ^ table);
	a->order = mem_array(w->hist->shards, sizeof(struct h_shard *));
	a->watches = mem_array(w->hist->shards, sizeof *a->watches);
	for (unsigned i = 0; i < w->hist->shards; i++)
		if (w->hist->shard[i].stream->table == a->table)
			a->order[a->order_count++] = &w->hist->shard[i];
	qsort(a->order, a->order_count, sizeof(struct h_shard *), by_list_order);
	return a;
}

/* The most iterators that were in use over the same time. */
static unsigned
interleaved(const struct watch *wa)
{
	unsigned most = 0;

	for (unsigned i = 0; i < wa->chain_count; i++) {
		unsigned at_once = 0;

		for (unsigned k = 0; k < wa->chain_count && wa->chains[i].first != 0; k++)
			at_once += wa->chains[k].first != 0 &&
			    wa->chains[k].first <= wa->chains[i].first &&
			    wa->chains[k].last >= wa->chains[i].first;
		if (at_once > most)
			most = at_once;
	}
	return most;
}

void
api_sim_check(struct api *a)
{
	if (a->calls != NULL)
		oracle_fail(a->w->oracle, T_OTHER, "the pipeline was closed and a call goes on");
	for (unsigned i = 0; i < a->w->hist->shards; i++)
		if (interleaved(&a->watches[i]) > READERS_MAX)
			oracle_fail(a->w->oracle, T_OTHER,
			    "%u iterators of %s were in use at a time", interleaved(&a->watches[i]),
			    a->w->hist->shard[i].id);
}

int64_t
api_clock_skew(const struct api *a)
{
	return loop_sim_true_wall(loop_now(a->w->loop)) - loop_wall(a->w->loop);
}

const struct api_stats *
api_stats_get(const struct api *a)
{
	(void)a;
	return NULL;
}

void
api_close(struct api *a)
{
	if (a == NULL)
		return;
	while (a->calls != NULL)
		api_cancel(a->calls);
	for (unsigned i = 0; i < a->w->hist->shards; i++)
		free(a->watches[i].chains);
	free(a->watches);
	free(a->order);
	free(a);
}
