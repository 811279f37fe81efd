/* bench/pattern_bench.c - what deciding by event patterns costs.
 *
 * Medium records of bench/drive.h, all of them updates:
 *
 *   one pattern     three leaves, on what page_parse() left; with page_parse(); and
 *                   jansson, which parses each record and walks its tree
 *   many patterns   1 to 1,000 of them, as so many sinks would have: a set, all of
 *                   whose answers are read for each record; beside it each alone
 *
 * Processor time, one thread. Rounds alternate between the sides, so that a busy
 * machine slows all of them; figures are medians over the rounds, ratios the medians
 * of the rounds' ratios. All sides must decide alike on every record, or the program ends.
 * Allocations are counted by malloc and its kin standing in front of libc's.
 * ROUNDS=n sets the rounds (11).
 */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/limits.h"
#include "bench/drive.h"
#include "filters/pattern_set.h"

#define ROUNDS_MAX 101
#define SLICE_NS 15000000.0 /* how long our side of a round runs, at least */
#define RECORDS 1000
#define PATTERNS_MAX 1000

/* --- allocations ---------------------------------------------------------- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
static unsigned long allocations;

void *
malloc(size_t n)
{
	allocations++;
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	allocations++;
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	allocations++;
	return __libc_realloc(p, n);
}

void *
reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, bytes);
}

/* --- the work ------------------------------------------------------------- */

struct work {
	struct buf body; /* lent to page_parse() and taken back */
	struct page *page;
	struct pattern *p[PATTERNS_MAX];
	size_t patterns;
	struct pattern_set *set;
	size_t matched; /* records x patterns */
};

/* The first two match always; the third, at the end of the image, half of the time. */
static const char three_leaves[] = "{\"eventName\": [\"MODIFY\"], \"dynamodb\": {\"NewImage\": {"
				   "\"attr_06\": {\"S\": [{\"anything-but\": \"none\"}]}, "
				   "\"attr_11\": {\"N\": [{\"numeric\": [\">\", 500000]}]}}}}";

static NORETURN void
die(const char *what)
{
	(void)fprintf(stderr, "pattern_bench: %s\n", what);
	exit(1);
}

static struct pattern *
compiled(const char *text)
{
	struct pattern *p;
	struct err e;

	if (pattern_compile(&p, slice_of(text), &e) != 0)
		die(e.text);
	return p;
}

static void
match_page(struct work *w, const struct page *page)
{
	for (size_t i = 0; i < page->count; i++)
		w->matched += pattern_match_record(w->p[0], &page->records[i]);
}

static void
ours(struct work *w)
{
	match_page(w, w->page);
}

static void
ours_scanned(struct work *w)
{
	struct page *page;
	struct err e;

	if (page_parse(&page, &w->body, &e) != 0)
		die(e.text);
	match_page(w, page);
	w->body = page->body;
	page->body = BUF_INIT(0);
	page_unref(page);
}

/* As one would write it for speed: no copies, the cheapest leaf first, and a double,
 * which the leaf's bound allows. */
static bool
tree_decides(const json_t *r)
{
	const char *name = json_string_value(json_object_get(r, "eventName"));
	const json_t *image;
	const char *text, *number;

	if (name == NULL || strcmp(name, "MODIFY") != 0)
		return false;
	image = json_object_get(json_object_get(r, "dynamodb"), "NewImage");
	text = json_string_value(json_object_get(json_object_get(image, "attr_06"), "S"));
	if (text == NULL || strcmp(text, "none") == 0)
		return false;
	number = json_string_value(json_object_get(json_object_get(image, "attr_11"), "N"));
	return number != NULL && strtod(number, NULL) > 500000;
}

static void
trees(struct work *w)
{
	for (size_t i = 0; i < w->page->count; i++) {
		struct slice raw = w->page->records[i].raw;
		json_t *r = json_loadb(raw.p, raw.n, 0, NULL);

		w->matched += tree_decides(r);
		json_decref(r);
	}
}

/* --- measuring ------------------------------------------------------------ */

static double
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds a page; one before that is not counted. */
static double
measure(void (*fn)(struct work *w), struct work *w, double at_least)
{
	double start, spent;
	unsigned n = 0;

	fn(w);
	start = now_ns();
	do {
		fn(w);
		n++;
		spent = now_ns() - start;
	} while (spent < at_least);
	return spent / n;
}

static int
cmp_double(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof *v, cmp_double);
	return v[n / 2];
}

static double
count_allocations(void (*fn)(struct work *w), struct work *w)
{
	unsigned long before;

	fn(w); /* buffers that are kept have grown now */
	before = allocations;
	fn(w);
	return (double)(allocations - before) / RECORDS;
}

static size_t
matched_by(void (*fn)(struct work *w), struct work *w)
{
	w->matched = 0;
	fn(w);
	return w->matched;
}

/* --- one pattern ---------------------------------------------------------- */

static void
run_one(struct work *w, unsigned rounds)
{
	static const struct {
		const char *name;
		void (*fn)(struct work *w);
	} rows[] = {{"match", ours}, {"scan + match", ours_scanned}, {"jansson", trees}};
	double ns[3][ROUNDS_MAX], ratio[3][ROUNDS_MAX];
	size_t want;

	w->p[0] = compiled(three_leaves);
	want = matched_by(trees, w);
	if (matched_by(ours, w) != want || matched_by(ours_scanned, w) != want)
		die("the sides do not decide alike");
	for (unsigned i = 0; i < rounds; i++)
		for (size_t k = 3; k-- > 0;) {
			ns[k][i] = measure(rows[k].fn, w, SLICE_NS) / RECORDS;
			ratio[k][i] = ns[2][i] / ns[k][i];
		}
	(void)printf("\none pattern of three leaves, %zu of %d records match\n", want, RECORDS);
	(void)printf(
	    "%-14s %12s %10s %10s %10s\n", "", "records/s", "ns/record", "allocs/r", "jansson/");
	for (size_t k = 0; k < 3; k++) {
		double each = median(ns[k], rounds);

		(void)printf("%-14s %12.0f %10.0f %10.3f %9.1fx\n", rows[k].name, 1e9 / each, each,
		    count_allocations(rows[k].fn, w), median(ratio[k], rounds));
	}
	pattern_close(w->p[0]);
}

/* --- many patterns -------------------------------------------------------- */

/* A third each by key, by a word of a set, and by ranges; all with the three leaves that a
 * sink of one tenant or state would have, no two alike. */
static void
many_text(struct buf *out, unsigned n)
{
	unsigned low = n * 7919 % 900000;

	buf_add_str(out, "{\"eventName\": [\"MODIFY\"], \"dynamodb\": {\"NewImage\": {");
	if (n % 3 == 0)
		buf_addf(out, "\"pk\": {\"S\": [\"customer-%u\"]}, ", n);
	else if (n % 3 == 1)
		buf_addf(out, "\"attr_08\": {\"SS\": [\"blue-%u\"]}, ", n / 3 % 10);
	else
		buf_addf(out, "\"attr_07\": {\"N\": [{\"numeric\": [\">\", %u]}]}, ", low);
	buf_addf(out, "\"attr_03\": {\"N\": [{\"numeric\": [\">=\", %u, \"<\", %u]}]}}}}", low,
	    low + 50000 + n);
}

static void
by_set(struct work *w)
{
	struct pattern_answers a = pattern_set_ask(w->set, w->page);

	for (size_t i = 0; i < w->page->count; i++)
		for (size_t k = 0; k < w->patterns; k++)
			w->matched += pattern_answer(&a, i, k);
}

static void
by_each(struct work *w)
{
	for (size_t k = 0; k < w->patterns; k++)
		for (size_t i = 0; i < w->page->count; i++)
			w->matched += pattern_match_record(w->p[k], &w->page->records[i]);
}

/* Bytes in use, large blocks included. */
static size_t
held(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void
run_many(struct work *w, unsigned rounds)
{
	static const size_t counts[] = {1, 10, 100, PATTERNS_MAX};
	double set[ARRAY_LEN(counts)][ROUNDS_MAX], ratio[ARRAY_LEN(counts)][ROUNDS_MAX];
	struct pattern_set *sets[ARRAY_LEN(counts)];
	size_t bytes[ARRAY_LEN(counts)];
	struct buf text = BUF_INIT(4096);

	for (unsigned n = 0; n < PATTERNS_MAX; n++) {
		buf_reset(&text);
		many_text(&text, n);
		w->p[n] = compiled(buf_cstr(&text));
	}
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		size_t before = held();

		sets[k] = pattern_set_new(w->p, counts[k]);
		w->set = sets[k];
		w->patterns = counts[k];
		by_set(w);
		bytes[k] = held() - before;
		if (matched_by(by_set, w) != matched_by(by_each, w))
			die("the set does not decide as its patterns do");
	}
	for (unsigned i = 0; i < rounds; i++)
		for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
			w->set = sets[k];
			w->patterns = counts[k];
			set[k][i] = measure(by_set, w, SLICE_NS) / RECORDS;
			ratio[k][i] = set[k][i] / set[0][i];
		}
	(void)printf(
	    "\nmany patterns, all asked of each record\n%-14s %12s %10s %10s %10s %12s %10s\n", "",
	    "records/s", "ns/record", "allocs/r", "/ one", "each alone", "set, kB");
	for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
		double each = median(set[k], rounds);

		w->set = sets[k];
		w->patterns = counts[k];
		(void)printf("%-14zu %12.0f %10.0f %10.3f %9.1fx %9.0f ns %10zu\n", counts[k],
		    1e9 / each, each, count_allocations(by_set, w), median(ratio[k], rounds),
		    measure(by_each, w, 0) / RECORDS, bytes[k] / 1024);
		pattern_set_close(sets[k]);
	}
	for (unsigned n = 0; n < PATTERNS_MAX; n++)
		pattern_close(w->p[n]);
	buf_close(&text);
}

static void
print_hardware(void)
{
	char line[256];
	unsigned cores = 0;
	char model[256] = "unknown processor\n";
	FILE *f = fopen("/proc/cpuinfo", "r");

	while (f != NULL && fgets(line, sizeof line, f) != NULL) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon != NULL)
			(void)snprintf(model, sizeof model, "%s", colon + 2);
		cores += strncmp(line, "processor", 9) == 0;
	}
	if (f != NULL)
		(void)fclose(f);
	model[strcspn(model, "\n")] = '\0';
	(void)printf("%s, %u cores, %s, jansson %s\n", model, cores, __VERSION__, JANSSON_VERSION);
}

int
main(void)
{
	struct work w = {.body = BUF_INIT(LIMIT_PAGE_BODY)};
	struct buf copy = BUF_INIT(LIMIT_PAGE_BODY);
	const char *text = getenv("ROUNDS");
	unsigned long rounds = text != NULL ? strtoul(text, NULL, 10) : 11;
	struct err e;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		die("ROUNDS must be 1 to 101");
	/* From RECORDS on all are updates, with both images. */
	drive_body(&w.body, RECORDS, RECORDS, RECORDS);
	buf_add_slice(&copy, buf_slice(&w.body));
	if (copy.failed || page_parse(&w.page, &copy, &e) != 0)
		die("cannot make the page");
	print_hardware();
	(void)printf(
	    "one thread; medians of %lu rounds, the sides in turn; %d records of %zu bytes\n",
	    rounds, RECORDS, w.body.n / RECORDS);
	run_one(&w, (unsigned)rounds);
	run_many(&w, (unsigned)rounds);
	page_unref(w.page);
	buf_close(&w.body);
	return 0;
}
