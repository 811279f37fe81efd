/* tests/unit/key_order_test.c - random lives of records against a naive model:
 * at no time is a record out that the rule forbids, and nobody is forgotten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "pipeline/key_order.h"

#define LINKS 64
#define KEYS 5
#define STEPS 200000

struct model {
	struct key_link link;
	uint64_t key, order;
	bool used, out;
};

static bool
model_may(const struct model *m, size_t at, bool pipelined)
{
	if (m[at].out)
		return false;
	for (size_t i = 0; i < LINKS; i++) {
		if (!m[i].used || m[i].key != m[at].key || m[i].order >= m[at].order)
			continue;
		if (!pipelined || !m[i].out)
			return false;
	}
	return true;
}

static void
live(bool pipelined, uint64_t seed)
{
	static struct model m[LINKS];
	struct key_order ko;
	struct rng rng;
	uint64_t order = 0;

	for (size_t i = 0; i < LINKS; i++)
		m[i] = (struct model){.used = false};
	rng_seed(&rng, seed);
	key_order_init(&ko, pipelined);
	for (size_t step = 0; step < STEPS; step++) {
		size_t at = rng_below(&rng, LINKS);
		struct model *x = &m[at];

		if (!x->used) {
			*x = (struct model){
			    .used = true, .key = rng_below(&rng, KEYS), .order = ++order};
			key_order_enter(&ko, &x->link, x->key);
		}
		assert_int_equal(key_order_may(&ko, &x->link), model_may(m, at, pipelined));
		if (x->out && rng_below(&rng, 2) == 0) {
			key_order_back(&ko, &x->link);
			x->out = false;
		} else if (x->out) {
			struct key_link *next;

			if (rng_below(&rng, 2) == 0)
				key_order_back(&ko, &x->link);
			x->out = x->used = false;
			next = key_order_leave(&ko, &x->link);
			if (next != NULL && !next->out)
				assert_true(key_order_may(&ko, next));
		} else if (key_order_may(&ko, &x->link)) {
			struct key_link *next = key_order_out(&ko, &x->link);

			x->out = true;
			if (next != NULL)
				assert_true(key_order_may(&ko, next));
		}
	}
	for (size_t i = 0; i < LINKS; i++)
		if (m[i].used)
			(void)key_order_leave(&ko, &m[i].link);
	key_order_close(&ko);
}

static void
one_of_a_key_is_out_without_the_promise(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		live(false, seed);
}

static void
none_overtakes_one_that_came_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++)
		live(true, seed);
}

static void
many_keys_make_the_table_grow(void **state)
{
	enum { MANY = 10000 };
	struct key_link *links = calloc(MANY, sizeof *links);
	struct key_order ko;

	(void)state;
	assert_non_null(links);
	key_order_init(&ko, false);
	for (uint64_t i = 0; i < MANY; i++)
		key_order_enter(&ko, &links[i], i * UINT64_C(0x100000001b3));
	assert_int_equal(ko.count, MANY);
	assert_true(ko.cap >= MANY / 2);
	for (size_t i = 0; i < MANY; i++)
		assert_null(key_order_leave(&ko, &links[i]));
	assert_int_equal(ko.count, 0);
	key_order_close(&ko);
	free(links);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_of_a_key_is_out_without_the_promise),
	    cmocka_unit_test(none_overtakes_one_that_came_back),
	    cmocka_unit_test(many_keys_make_the_table_grow),
	};

	return cmocka_run_group_tests_name("key_order", tests, NULL, NULL);
}
