/* tests/fuzz/transform_fuzz.c - any transform over any record (libFuzzer).
 *
 * The first eight bytes are a seed; it makes a configuration (tests/unit/transform_gen.h), unless
 * its lowest bits say that the input's next line is one. What follows is a page, or where
 * it is none another seed makes one. What must be true of every transform is in
 * transform_gen.h; beside that a projection done twice is the same as once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/unit/page_gen.h"
#include "tests/unit/transform_gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *fault, const char *yaml)
{
	if (fault != NULL) {
		(void)fprintf(stderr, "transform_fuzz: %s\n%s", fault, yaml);
		abort();
	}
}

static void
on_log(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

static void
make_page(struct buf *out, uint64_t seed)
{
	struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY)};

	rng_seed(&g.sp, seed);
	g.spaces = seed & 1;
	g.escapes = seed & 2;
	g.odd_text = seed & 4;
	g.spoil = seed & 8;
	gen_page(&g, seed >> 4, 1 + seed % 7);
	*out = g.out;
}

/* What a projection leaves, it leaves again: unless elements moved up, or what was excluded
 * was all that include had found there. */
static bool
is_stable(const struct transform *t, const char *yaml)
{
	return t->ops == &filter_project && strpbrk(yaml, "0123456789") == NULL &&
	    (strstr(yaml, "include") == NULL || strstr(yaml, "exclude") == NULL);
}

static void
check_again(struct transform *t, const struct record *once, const char *yaml)
{
	struct buf raw = BUF_INIT(LIMIT_PAGE_BODY), tmp = BUF_INIT(LIMIT_PAGE_BODY);
	enum filter_verdict verdict;
	struct record twice;
	struct slice s;
	struct page *p;
	struct err e;

	record_write(once, &raw);
	s = buf_slice(&raw);
	check(page_of_records(&p, &s, 1, &e) == 0 ? NULL : "cannot be read again", yaml);
	check(transform_fault(t, &p->records[0], &twice, &verdict, &tmp), yaml);
	check(verdict == FILTER_KEEP ? NULL : "projected twice", yaml);
	page_unref(p);
	buf_close(&raw);
	buf_close(&tmp);
}

static void
check_page(struct transform *t, const struct page *p, const char *yaml)
{
	struct buf tmp = BUF_INIT(LIMIT_PAGE_BODY);

	for (size_t i = 0; i < p->count; i++) {
		enum filter_verdict verdict;
		struct record after;

		check(transform_fault(t, &p->records[i], &after, &verdict, &tmp), yaml);
		if (verdict == FILTER_REWRITE && is_stable(t, yaml))
			check_again(t, &after, yaml);
	}
	buf_close(&tmp);
}

/* Takes the bytes of the configuration from data. */
static void
read_yaml(struct buf *yaml, uint64_t seed, const uint8_t **data, size_t *size)
{
	const uint8_t *end = memchr(*data, '\0', *size);
	struct rng r;

	if (seed % 4 == 0 && end != NULL) {
		buf_add(yaml, *data, (size_t)(end - *data));
		*size -= (size_t)(end - *data) + 1;
		*data = end + 1;
		return;
	}
	rng_seed(&r, seed);
	transform_yaml(&r, yaml);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf yaml = BUF_INIT(1 << 20), body = BUF_INIT(LIMIT_PAGE_BODY);
	struct transform t;
	uint64_t seed = 0;
	struct page *p;
	struct err e;

	log_set_sink(on_log, NULL);
	if (size < sizeof seed)
		return 0;
	memcpy(&seed, data, sizeof seed);
	data += sizeof seed;
	size -= sizeof seed;
	read_yaml(&yaml, seed, &data, &size);
	if (transform_open(&t, buf_cstr(&yaml), &e) != 0) {
		buf_close(&yaml);
		return 0;
	}
	buf_add(&body, data, size);
	if (page_parse(&p, &body, &e) != 0) {
		make_page(&body, seed ^ gen_mix(size != 0 ? data[0] : 0, seed));
		if (page_parse(&p, &body, &e) != 0)
			p = NULL;
	}
	if (p != NULL)
		check_page(&t, p, buf_cstr(&yaml));
	page_unref(p);
	transform_close(&t);
	buf_close(&yaml);
	buf_close(&body);
	return 0;
}
