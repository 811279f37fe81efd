/* tests/unit/fake_api.c - see fake_api.h. */
#include "tests/unit/fake_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum kind { DESCRIBE, ITERATOR, RECORDS };

struct api_call {
	struct api *api;
	struct loop_timer *timer;
	enum kind kind;
	char *text[2]; /* arguments, copied: the caller's need not live on */
	enum iterator_type type;
	struct seq seq;
	unsigned limit;
	void (*describe)(void *, const struct api_result *, const struct api_stream *);
	void (*iterator)(void *, const struct api_result *, const char *);
	void (*records)(void *, const struct api_result *, struct page *);
	void *arg;
};

static void
call_free(struct api_call *c)
{
	c->api->flying--;
	loop_timer_close(c->timer);
	free(c->text[0]);
	free(c->text[1]);
	free(c);
}

static void
answer_describe(struct api_call *c, struct api_result *rs)
{
	struct api_stream *s = mem_new(sizeof *s);
	struct api *a = c->api;
	void (*fn)(void *, const struct api_result *, const struct api_stream *) = c->describe;
	void *arg = c->arg;

	a->describe(a->ctx, c->text[0], c->text[1], rs, s);
	call_free(c);
	fn(arg, rs, rs->code == API_OK ? s : NULL);
	free(s);
}

static void
answer_iterator(struct api_call *c, struct api_result *rs)
{
	char out[LIMIT_ITERATOR + 1] = "";
	struct api *a = c->api;
	void (*fn)(void *, const struct api_result *, const char *) = c->iterator;
	void *arg = c->arg;

	a->iterator(a->ctx, c->text[0], c->type, seq_is_set(&c->seq) ? &c->seq : NULL, rs, out);
	call_free(c);
	fn(arg, rs, rs->code == API_OK ? out : NULL);
}

static void
answer_records(struct api_call *c, struct api_result *rs)
{
	struct page *page = NULL;
	struct api *a = c->api;
	void (*fn)(void *, const struct api_result *, struct page *) = c->records;
	void *arg = c->arg;

	a->records(a->ctx, c->text[0], c->limit, rs, &page);
	call_free(c);
	assert((rs->code == API_OK) == (page != NULL));
	fn(arg, rs, page);
}

static void
on_timer(void *arg)
{
	struct api_call *c = arg;
	struct api_result *rs = mem_new(sizeof *rs); /* on the heap: late use is seen */

	switch (c->kind) {
	case DESCRIBE:
		answer_describe(c, rs);
		break;
	case ITERATOR:
		answer_iterator(c, rs);
		break;
	case RECORDS:
		answer_records(c, rs);
		break;
	}
	free(rs);
}

static struct api_call *
call_new(struct api *a, enum kind kind, const char *first, const char *second, void *arg)
{
	struct api_call *c = mem_new(sizeof *c);

	c->api = a;
	c->kind = kind;
	c->text[0] = mem_strdup(first);
	c->text[1] = mem_strdup(second);
	c->arg = arg;
	c->timer = loop_timer_new(a->loop, on_timer, c);
	loop_timer_arm(c->timer, a->latency_us);
	a->flying++;
	return c;
}

static void
note(int64_t **at, unsigned *n, int64_t now)
{
	if ((*n & (*n - 1)) == 0) /* 0 and powers of two: room for as many again */
		*at = mem_grow(*at, *n == 0 ? 1 : 2 * (size_t)*n, sizeof **at);
	(*at)[(*n)++] = now;
}

struct api_call *
api_describe_stream(struct api *a, const char *arn, const char *start_after,
    const char *children_of,
    void (*fn)(void *arg, const struct api_result *rs, const struct api_stream *s), void *arg)
{
	struct api_call *c = call_new(a, DESCRIBE, start_after, children_of, arg);

	(void)arn;
	note(&a->describe_at, &a->describes, loop_now(a->loop));
	c->describe = fn;
	return c;
}

struct api_call *
api_get_shard_iterator(struct api *a, const char *arn, const char *shard, enum iterator_type type,
    const struct seq *seq, void (*fn)(void *arg, const struct api_result *rs, const char *iterator),
    void *arg)
{
	struct api_call *c = call_new(a, ITERATOR, shard, NULL, arg);

	(void)arn;
	assert((seq != NULL) == (type == ITER_AT || type == ITER_AFTER));
	a->iterators++;
	c->type = type;
	if (seq != NULL)
		c->seq = *seq;
	c->iterator = fn;
	return c;
}

struct api_call *
api_get_records(struct api *a, const char *iterator, unsigned limit,
    void (*fn)(void *arg, const struct api_result *rs, struct page *page), void *arg)
{
	struct api_call *c = call_new(a, RECORDS, iterator, NULL, arg);

	assert(limit >= 1 && limit <= 1000);
	note(&a->get_at, &a->gets, loop_now(a->loop));
	c->limit = limit;
	c->records = fn;
	return c;
}

void
api_cancel(struct api_call *c)
{
	call_free(c);
}

void
fake_api_init(struct api *a, struct loop *lp, void *ctx)
{
	*a = (struct api){.loop = lp, .ctx = ctx, .latency_us = 10 * USEC_MS};
}

void
fake_api_close(struct api *a)
{
	assert(a->flying == 0); /* whoever asked has cancelled */
	free(a->describe_at);
	free(a->get_at);
}

unsigned
fake_most_in_a_second(const int64_t *at, unsigned n)
{
	unsigned most = 0;

	for (unsigned first = 0, i = 0; i < n; i++) {
		while (at[i] - at[first] >= USEC_SEC)
			first++;
		if (i - first + 1 > most)
			most = i - first + 1;
	}
	return most;
}

struct seq
fake_seq(uint64_t number)
{
	char text[LIMIT_SEQUENCE_DIGITS + 1];
	struct seq s;
	bool ok;

	(void)snprintf(text, sizeof text, "%021llu", (unsigned long long)number);
	ok = seq_parse(slice_of(text), &s);
	assert(ok);
	return s;
}

uint64_t
fake_number(const struct seq *s)
{
	char text[LIMIT_SEQUENCE_DIGITS + 1] = "";

	memcpy(text, seq_text(s).p, seq_text(s).n);
	return strtoull(text, NULL, 10);
}

struct page *
fake_page(const uint64_t *numbers, size_t n, const char *next)
{
	struct page *p = mem_new(sizeof *p);

	p->refs = 1;
	p->count = n;
	p->records = mem_array(n, sizeof *p->records);
	for (size_t i = 0; i < n; i++) {
		p->records[i].page = p;
		p->records[i].seq = fake_seq(numbers[i]);
	}
	p->bytes = 200 + 1000 * n;
	p->has_next = next != NULL;
	p->scratch = mem_strdup(next);
	p->next_iterator = slice_of(p->scratch);
	return p;
}

struct page *
page_ref(struct page *p)
{
	p->refs++;
	return p;
}

void
page_unref(struct page *p)
{
	if (p == NULL || --p->refs > 0)
		return;
	free(p->records);
	free(p->scratch);
	free(p);
}
