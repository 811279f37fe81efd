/* tests/unit/fake_api.h - streams/api.h answered by the test itself.
 *
 * A call is answered `latency_us` later by the hook of its kind, which sees
 * the world as it is then. Hooks fill what they are given: rs->code is API_OK
 * and everything else zero before. Linked before the archive, so that
 * streams/api_http.c and record/page.c stay out.
 */
#ifndef TESTS_FAKE_API_H
#define TESTS_FAKE_API_H

#include "streams/api.h"

struct api {
	struct loop *loop;
	void *ctx;
	int64_t latency_us;
	void (*describe)(void *ctx, const char *after, const char *children_of,
	    struct api_result *rs, struct api_stream *s);
	void (*iterator)(void *ctx, const char *shard, enum iterator_type type,
	    const struct seq *seq, struct api_result *rs, char out[LIMIT_ITERATOR + 1]);
	/* The page is given away. */
	void (*records)(void *ctx, const char *iterator, unsigned limit, struct api_result *rs,
	    struct page **out);
	unsigned describes, iterators, gets; /* calls made so far */
	unsigned flying;		     /* calls not answered yet */
	int64_t *describe_at;		     /* when each was made */
	int64_t *get_at;
};

void fake_api_init(struct api *a, struct loop *lp, void *ctx);
void fake_api_close(struct api *a);
/* The most entries of `at` that lie within any second. */
unsigned fake_most_in_a_second(const int64_t *at, unsigned n);
/* A page of n records with these numbers; next NULL: the last page. */
struct page *fake_page(const uint64_t *numbers, size_t n, const char *next);
struct seq fake_seq(uint64_t number);
uint64_t fake_number(const struct seq *s);

#endif
