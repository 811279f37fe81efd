/* tests/sim/api_read_sim.c - see api_sim.h: GetShardIterator and GetRecords.
 *
 * An iterator is text that says everything (stateless, as DynamoDB Local's
 * are). A page is written as the JSON the service would send and goes through
 * the real page_parse(), cut short now and then.
 */
#include <stdio.h>

#include "base/mem.h"
#include "tests/sim/api_sim.h"
#include "tests/sim/oracle.h"

static void
write_token(const struct h_shard *sh, const struct token *t, char *out, size_t n)
{
	(void)snprintf(out, n, "%s|1|%x.%x.%x.%x.%x.%llx", sh->stream->arn, t->shard, t->index,
	    t->first, t->chain, t->life, (unsigned long long)t->issued);
}

bool
api_sim_token(const char *text, struct token *out)
{
	const char *bar = strrchr(text, '|');
	unsigned long long issued;

	if (bar == NULL ||
	    sscanf(bar + 1, "%x.%x.%x.%x.%x.%llx", &out->shard, &out->index, &out->first,
		&out->chain, &out->life, &issued) != 6)
		return false;
	out->issued = (int64_t)issued;
	return true;
}

static unsigned
new_chain(struct api *a, const struct h_shard *sh)
{
	struct watch *wa = &a->watches[sh->number];

	if (wa->chain_count == wa->chain_cap) {
		wa->chain_cap = 2 * wa->chain_cap + 4;
		wa->chains = mem_grow(wa->chains, wa->chain_cap, sizeof *wa->chains);
	}
	wa->chains[wa->chain_count] = (struct chain){0, 0, false};
	return wa->chain_count++;
}

/* Where an iterator of that kind begins; API_OK or why there is none. */
static enum api_code
find_index(struct api_call *c, struct h_shard *sh, unsigned *index)
{
	struct history *h = c->api->w->hist;
	int64_t at = api_sim_as_of(c);
	unsigned horizon = history_horizon(h, sh, at);
	bool strict = c->api->w->sc.trim_strict;

	*index = horizon;
	switch (c->type) {
	case ITER_TRIM_HORIZON:
		return API_OK;
	case ITER_LATEST:
		*index = history_written(h, sh, at);
		return API_OK;
	case ITER_AT:
		if (c->api->w->sc.table[c->api->table->number].refuses_at)
			return API_VALIDATION;
		*index = history_rank(h, sh, &c->seq);
		if (history_event(h, sh, &c->seq) != NULL)
			(*index)--;
		break;
	case ITER_AFTER:
		*index = history_rank(h, sh, &c->seq);
		if (history_event(h, sh, &c->seq) == NULL)
			oracle_fail(c->api->w->oracle, T_OTHER,
			    "an iterator AFTER a number that %s does not have", sh->id);
		if (strict && *index == horizon && horizon != 0)
			return API_TRIMMED;
		break;
	}
	/* Told now, or only when the iterator is used. */
	return *index < horizon && rng_below(&c->api->rng, 2) == 0 ? API_TRIMMED : API_OK;
}

void
api_sim_iterator(struct api_call *c, struct api_result *rs)
{
	static const char *const types[] = {"TRIM_HORIZON", "LATEST", "AT", "AFTER"};
	struct api *a = c->api;
	struct h_shard *sh = history_shard(a->w->hist, c->shard);
	struct token t = {.life = a->w->life, .issued = api_sim_as_of(c)};
	char text[320];

	if (rs->code == API_OK && (sh == NULL || history_gone(a->w->hist, sh, t.issued)))
		api_sim_result(rs, API_NOT_FOUND, "GetShardIterator");
	if (rs->code == API_OK) {
		enum api_code code = find_index(c, sh, &t.index);

		if (code != API_OK)
			api_sim_result(rs, code, "GetShardIterator");
	}
	TRACE(&a->w->trace, 21, t.index, "api: GetShardIterator %s %s -> %s index=%u", c->shard,
	    types[c->type], api_code_name(rs->code), t.index);
	if (rs->code == API_TRIMMED)
		a->w->oracle->trims[sh->number]++;
	if (rs->code != API_OK) {
		c->fn.iterator(c->arg, rs, NULL);
		return;
	}
	t.shard = sh->number;
	t.first = t.index;
	t.chain = new_chain(a, sh);
	oracle_iterator(a->w->oracle, sh, c->type);
	write_token(sh, &t, text, sizeof text);
	c->fn.iterator(c->arg, rs, text);
}

static enum api_code
check_token(struct api_call *c, struct h_shard *sh)
{
	struct api *a = c->api;
	struct chain *ch = &a->watches[sh->number].chains[c->token.chain];
	int64_t at = api_sim_as_of(c);

	if (api_sim_chance(a, a->w->sc.faults.limited))
		return API_LIMIT_EXCEEDED;
	if (history_gone(a->w->hist, sh, at))
		return API_NOT_FOUND;
	if (at - c->token.issued > a->w->sc.iterator_us)
		return API_EXPIRED_ITERATOR;
	if (c->token.index < history_horizon(a->w->hist, sh, at)) {
		a->w->oracle->trims[sh->number]++;
		return API_TRIMMED;
	}
	/* As DynamoDB Local does it; a new iterator works at least once. */
	if (ch->served && api_sim_chance(a, a->w->sc.faults.not_found)) {
		count(a->w, T_NOT_FOUND);
		return API_NOT_FOUND;
	}
	ch->served = true;
	return API_OK;
}

struct cut {		   /* what goes into a page */
	unsigned from, to; /* events */
	bool ends;
};

static struct cut
cut_page(struct api_call *c, const struct h_shard *sh)
{
	struct api *a = c->api;
	const struct history *h = a->w->hist;
	int64_t at = api_sim_as_of(c);
	unsigned index = c->token.index, n = history_written(h, sh, at) - index;
	struct cut cut = {index, index, false};

	if (history_written(h, sh, at) < index) /* an older look than the iterator's */
		return cut;
	if (n > c->limit)
		n = c->limit;
	if (n != 0 && api_sim_chance(a, a->w->sc.faults.empty)) {
		count(a->w, T_EMPTY);
		a->w->oracle->emptied_at[sh->number] = world_now(a->w);
		return cut;
	}
	if (n > 1 && api_sim_chance(a, 200))
		n = 1 + (unsigned)rng_below(&a->rng, n);
	cut.to = index + n;
	if (n != 0 && index > c->token.first && api_sim_chance(a, a->w->sc.faults.served_twice)) {
		unsigned back = 1 + (unsigned)rng_below(&a->rng, index - c->token.first);
		unsigned horizon = history_horizon(h, sh, at);

		cut.from = index - back > horizon ? index - back : horizon;
		count(a->w, T_SERVED_TWICE);
	}
	cut.ends = sh->closed <= at && cut.to == sh->count && (n == 0 || a->w->sc.page_end_null) &&
	    !(n == 0 && api_sim_chance(a, 300));
	return cut;
}

static void
write_next(struct api *a, const struct h_shard *sh, const struct token *t, bool ends, struct buf *b)
{
	static const char *const ended[] = {
	    "", "\"NextShardIterator\":null", "\"NextShardIterator\":\"\""};
	char text[320];

	if (ends) {
		buf_add_str(b, ended[rng_below(&a->rng, 3)]);
		return;
	}
	write_token(sh, t, text, sizeof text);
	buf_add_str(b, "\"NextShardIterator\":\"");
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '/' && sh->number % 2 == 0)
			buf_add_char(b, '\\');
		buf_add_char(b, *p);
	}
	buf_add_char(b, '"');
}

static void
write_page(struct api *a, const struct h_shard *sh, const struct token *t, const struct cut *cut,
    struct buf *b)
{
	bool first = rng_below(&a->rng, 2) == 0;
	size_t before;

	buf_add_char(b, '{');
	before = b->n;
	if (first)
		write_next(a, sh, t, cut->ends, b);
	if (b->n != before)
		buf_add_char(b, ',');
	buf_add_str(b, "\"Records\":[");
	for (unsigned i = cut->from; i < cut->to; i++) {
		if (i != cut->from)
			buf_add_char(b, ',');
		buf_add_slice(b, history_json(a->w->hist, history_at(a->w->hist, sh, i)));
	}
	buf_add_char(b, ']');
	before = b->n;
	if (!first) {
		buf_add_char(b, ',');
		write_next(a, sh, t, cut->ends, b);
		if (b->n == before + 1)
			b->n = before;
	}
	buf_add_char(b, '}');
}

/* The answer cut short or spoilt, which the scanner must see. */
static void
answer_spoilt(struct api_call *c, struct api_result *rs, struct buf *b)
{
	struct page *page = NULL;
	struct err e;

	b->n = (size_t)rng_below(&c->api->rng, b->n);
	if (page_parse(&page, b, &e) == 0) {
		oracle_fail(
		    c->api->w->oracle, T_OTHER, "page_parse() took a page that was cut short");
		page_unref(page);
	}
	api_sim_result(rs, API_MALFORMED, "GetRecords");
	c->fn.records(c->arg, rs, NULL);
	buf_close(b);
}

static void
answer_page(struct api_call *c, struct api_result *rs, struct h_shard *sh)
{
	struct api *a = c->api;
	struct cut cut = cut_page(c, sh);
	struct token next = c->token;
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);
	struct page *page;
	struct err e;

	next.index = cut.to;
	next.issued = api_sim_as_of(c);
	write_page(a, sh, &next, &cut, &b);
	TRACE(&a->w->trace, 22, cut.to, "api: GetRecords %s chain %u -> %u..%u of %u%s", sh->id,
	    c->token.chain, cut.from, cut.to, sh->count, cut.ends ? ", end" : "");
	if (api_sim_chance(a, a->w->sc.faults.malformed / 2)) {
		answer_spoilt(c, rs, &b);
		return;
	}
	if (page_parse(&page, &b, &e) != 0) {
		(void)fprintf(stderr, "sim: page_parse: %s\n", e.text);
		abort();
	}
	page->bytes *= a->w->sc.page_weight;
	if (page->bytes > a->limits->largest_page)
		a->limits->largest_page = page->bytes;
	c->fn.records(c->arg, rs, page);
}

void
api_sim_records(struct api_call *c, struct api_result *rs)
{
	struct h_shard *sh = &c->api->w->hist->shard[c->token.shard];

	if (rs->code == API_OK) {
		enum api_code code = check_token(c, sh);

		if (code != API_OK) {
			api_sim_result(rs, code, "GetRecords");
			TRACE(&c->api->w->trace, 23, code,
			    "api: GetRecords %s at %u chain %u -> %s", sh->id, c->token.index,
			    c->token.chain, api_code_name(code));
		}
	}
	if (rs->code == API_OK)
		answer_page(c, rs, sh);
	else
		c->fn.records(c->arg, rs, NULL);
}
