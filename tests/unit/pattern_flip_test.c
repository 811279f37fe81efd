/* tests/unit/pattern_flip_test.c - a pattern and its record, made together and then
 * flipped: what Lambda has not, typed and plain.
 *
 *   seed --> typed pattern, plain pattern, new image, old image      both must match
 *        --> the same, with one leaf's attribute made wrong          neither may
 *
 * Maps nest, attributes stand among others, and the record is asked as JSON and as a
 * record of a page.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "filters/pattern.h"
#include "record/record.h"

#define SEEDS 6000

struct made {
	struct rng rng;
	struct buf typed, plain; /* patterns */
	struct buf new, old;	 /* images */
	unsigned leaves, flipped;
};

static struct err e;

/* One attribute under test: a list in both modes, and its two sides. tag NULL: the list
 * stands at the attribute itself. */
static void
put(struct made *m, const char *tag, const char *list, const char *new, const char *old)
{
	if (tag != NULL && rng_below(&m->rng, 2) != 0)
		buf_addf(&m->typed, "{\"%s\": %s}", tag, list);
	else
		buf_add_str(&m->typed, list);
	buf_add_str(&m->plain, list);
	buf_add_str(&m->new, new);
	buf_add_str(&m->old, old);
}

/* For lists that Lambda has as well: they stand under the type. */
static void
put_under(struct made *m, const char *tag, const char *list, const char *new, const char *old)
{
	buf_addf(&m->typed, "{\"%s\": ", tag);
	buf_add_str(&m->typed, list);
	buf_add_char(&m->typed, '}');
	buf_add_str(&m->plain, list);
	buf_add_str(&m->new, new);
	buf_add_str(&m->old, old);
}

#define TEXT(name, ...)                                                                            \
	char name[256];                                                                            \
	(void)snprintf(name, sizeof name, __VA_ARGS__)

/* 37 digits and one more. */
static void
add_exact(struct made *m, bool flip)
{
	uint64_t a = 100000 + rng_below(&m->rng, 899999);
	unsigned last = 1 + (unsigned)rng_below(&m->rng, 8);
	const char *zeros = rng_below(&m->rng, 2) != 0 ? "" : "0000000000";
	char digits[64];

	(void)snprintf(
	    digits, sizeof digits, "%u%s00000000000000000000000000000000", (unsigned)a, zeros);
	digits[37] = '\0';
	TEXT(list, "[{\"numeric\": [\">\", %s%u, \"<=\", %s%u]}]", digits, last, digits, last + 1);
	TEXT(new, "{\"N\": \"%s%u\"}", digits, flip ? last : last + 1);
	put_under(m, "N", list, new, "{\"N\": \"0\"}");
}

static void
add_changed(struct made *m, bool flip)
{
	bool want = rng_below(&m->rng, 2) != 0;
	unsigned n = (unsigned)rng_below(&m->rng, 1000);
	bool differ = want != flip;

	TEXT(list, "[{\"changed\": %s}]", want ? "true" : "false");
	if (rng_below(&m->rng, 2) != 0) {
		TEXT(new, "{\"N\": \"%u\"}", n);
		TEXT(old, "{\"N\": \"%u.%s0\"}", n, differ ? "1" : "0");
		put(m, "N", list, new, old);
	} else {
		TEXT(new, "{\"SS\": [\"a%u\", \"b\"]}", n);
		TEXT(old, "{\"SS\": [\"b\", \"a%u\"%s]}", n, differ ? ", \"c\"" : "");
		put(m, "SS", list, new, old);
	}
}

static void
add_changed_from(struct made *m, bool flip)
{
	unsigned n = (unsigned)rng_below(&m->rng, 1000);
	bool same = flip && rng_below(&m->rng, 2) != 0;

	TEXT(list, "[{\"changed-from\": [\"other\", {\"prefix\": \"w%u-\"}]}]", n);
	TEXT(old, "{\"S\": \"%sw%u-x\"}", flip && !same ? "x" : "", n);
	TEXT(new, "{\"S\": \"w%u-%s\"}", n, same ? "x" : "y");
	put(m, "S", list, new, old);
}

static void
add_crossed(struct made *m, bool flip)
{
	unsigned n = 1 + (unsigned)rng_below(&m->rng, 1000);
	bool still = flip && rng_below(&m->rng, 2) != 0; /* it was there already */

	TEXT(list, "[{\"crossed\": [\"<\", %u]}]", n);
	TEXT(old, "{\"N\": \"%u%s\"}", still ? n - 1 : n, still ? ".9" : "");
	TEXT(new, "{\"N\": \"%u%s\"}", flip && !still ? n : n - 1, ".0");
	put(m, "N", list, new, old);
}

static void
add_against_old(struct made *m, bool flip)
{
	unsigned n = (unsigned)rng_below(&m->rng, 1000);

	TEXT(list, "[{\"numeric\": [\">\", {\"old\": true}]}]");
	TEXT(old, "{\"N\": \"%u.5\"}", n);
	TEXT(new, "{\"N\": \"%u.5%s\"}", n, flip ? "000" : "0000000000000000000000000000001");
	put(m, "N", list, new, old);
}

static void
add_size(struct made *m, bool flip)
{
	unsigned n = 1 + (unsigned)rng_below(&m->rng, 20);
	struct buf new = BUF_INIT(4096);

	TEXT(list, "[{\"size\": [\">=\", %u, \"<\", %u]}]", n, n + 1);
	buf_add_str(&new, "{\"SS\": [");
	for (unsigned i = 0; i < (flip ? n + 1 : n); i++)
		buf_addf(&new, "%s\"v%u\"", i != 0 ? "," : "", i);
	buf_add_str(&new, "]}");
	put(m, "SS", list, buf_cstr(&new), "{\"NULL\": true}");
	buf_close(&new);
}

static void
add_member(struct made *m, bool flip)
{
	unsigned n = (unsigned)rng_below(&m->rng, 1000);

	TEXT(list, "[%u.5, -1]", n);
	TEXT(new, "{\"NS\": [\"7777\", \"%u.50%s\"]}", n, flip ? "1" : "");
	put_under(m, "NS", list, new, "{\"NS\": [\"1\"]}");
}

static void
add_text(struct made *m, bool flip)
{
	unsigned n = (unsigned)rng_below(&m->rng, 1000);

	TEXT(list, "[{\"suffix\": \"-%u\"}, {\"equals-ignore-case\": \"K\\u00e4%u\"}]", n, n);
	TEXT(new, "{\"S\": \"%s%u%s\"}", rng_below(&m->rng, 2) != 0 ? "x-" : "kÄ", n,
	    flip ? "!" : "");
	put_under(m, "S", list, new, "{\"S\": \"\"}");
}

static void (*const kinds[])(struct made *m, bool flip) = {add_exact, add_changed, add_changed_from,
    add_crossed, add_against_old, add_size, add_member, add_text};

static void
add_attributes(struct made *m, unsigned depth)
{
	unsigned n = 1 + (unsigned)rng_below(&m->rng, 4);
	struct buf *const all[] = {&m->typed, &m->plain, &m->new, &m->old};

	for (size_t i = 0; i < 4; i++)
		buf_add_char(all[i], '{');
	buf_add_str(&m->new, "\"noise\": {\"M\": {\"a0\": {\"N\": \"0\"}}},");
	buf_add_str(&m->old, "\"noise\": {\"S\": \"a0\"},");
	for (unsigned k = 0; k < n; k++) {
		bool map = depth > 0 && rng_below(&m->rng, 4) == 0;

		for (size_t i = 0; i < 4; i++)
			buf_addf(all[i], "%s\"a%u\": %s", k != 0 ? ", " : "", k,
			    map && all[i] != &m->plain ? "{\"M\": " : "");
		if (map)
			add_attributes(m, depth - 1);
		else
			kinds[rng_below(&m->rng, 8)](m, m->leaves++ == m->flipped);
		for (size_t i = 0; map && i < 4; i++)
			buf_add_str(all[i], all[i] != &m->plain ? "}" : "");
	}
	for (size_t i = 0; i < 4; i++)
		buf_add_char(all[i], '}');
}

static void
expect(struct pattern *p, struct slice raw, const struct record *r, bool want, const char *text)
{
	if (pattern_match(p, raw) != want || pattern_match_record(p, r) != want)
		fail_msg("should%s match: %s\n%.*s", want ? "" : " not", text, (int)raw.n, raw.p);
	pattern_close(p);
}

static void
ask(struct made *m, bool want)
{
	struct buf typed = BUF_INIT(1 << 17), plain = BUF_INIT(1 << 17), doc = BUF_INIT(1 << 17);
	struct slice raw;
	struct pattern *p;
	struct page *page;

	buf_addf(&typed, "{\"eventName\": [\"MODIFY\"], \"dynamodb\": {\"NewImage\": %s}}",
	    buf_cstr(&m->typed));
	buf_addf(&plain, "{\"event\": [\"MODIFY\"], \"new\": %s}", buf_cstr(&m->plain));
	buf_addf(&doc,
	    "{\"eventName\": \"MODIFY\", \"dynamodb\": {\"Keys\": {\"pk\": {\"S\": \"a\"}}, "
	    "\"NewImage\": %s, \"OldImage\": ",
	    buf_cstr(&m->new));
	buf_add_slice(&doc, buf_slice(&m->old));
	buf_add_str(&doc, ", \"SequenceNumber\": \"1\"}}");
	raw = buf_slice(&doc);
	if (page_of_records(&page, &raw, 1, &e) != 0)
		fail_msg("%s: %s", e.text, buf_cstr(&doc));
	if (pattern_compile(&p, buf_slice(&typed), &e) != 0)
		fail_msg("%s: %s", e.text, typed.p);
	expect(p, raw, &page->records[0], want, typed.p);
	if (pattern_compile_plain(&p, buf_slice(&plain), &e) != 0)
		fail_msg("%s: %s", e.text, plain.p);
	expect(p, raw, &page->records[0], want, plain.p);
	page_unref(page);
	buf_close(&typed);
	buf_close(&plain);
	buf_close(&doc);
}

static void
make(struct made *m, uint64_t seed, unsigned flipped)
{
	rng_seed(&m->rng, seed);
	buf_reset(&m->typed);
	buf_reset(&m->plain);
	buf_reset(&m->new);
	buf_reset(&m->old);
	m->leaves = 0;
	m->flipped = flipped;
	add_attributes(m, 3);
}

static void
one_flipped_attribute_flips_the_answer(void **state)
{
	struct made m = {.typed = BUF_INIT(1 << 16),
	    .plain = BUF_INIT(1 << 16),
	    .new = BUF_INIT(1 << 16),
	    .old = BUF_INIT(1 << 16)};
	unsigned long leaves = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		make(&m, seed, UINT32_MAX);
		ask(&m, true);
		leaves += m.leaves;
		make(&m, seed, (unsigned)(seed % m.leaves));
		ask(&m, false);
	}
	print_message("%u seeds, %lu leaves\n", SEEDS, leaves);
	buf_close(&m.typed);
	buf_close(&m.plain);
	buf_close(&m.new);
	buf_close(&m.old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_flipped_attribute_flips_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
