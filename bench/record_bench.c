/* bench/record_bench.c - what reading and writing a record costs, beside the
 * same work done on jansson's trees.
 *
 * Each row does one job in two ways on the same bytes: ours in place, jansson's
 * by parsing into a tree first. Rounds alternate between the two, so that a
 * busy machine slows both, and time is processor time; the figures are medians
 * over the rounds, the ratio is the median of the rounds' ratios. Rows marked "alone" leave scan and parse
 * out: the tree is there already and only the work on it counts.
 *
 * Allocations are counted by this program's own malloc, calloc, realloc and
 * reallocarray, which stand in front of libc's for jansson as well. ROUNDS=n
 * sets the rounds (11).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/limits.h"
#include "base/random.h"
#include "record/format.h"
#include "record/key.h"
#include "record/value.h"

#define ROUNDS_MAX 101
#define SLICE_NS 15000000.0 /* how long our side of a round runs, at least */

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

/* --- pages ---------------------------------------------------------------- */

struct shape {
	const char *name;
	unsigned records;
	unsigned attributes;
	unsigned text; /* length of a string attribute, about */
	bool nested;
};

static const struct shape shapes[] = {
    {"small", 1000, 3, 8, false},
    {"medium", 1000, 12, 14, false},
    {"large", 200, 48, 160, true},
};

static void
add_words(struct buf *b, struct rng *r, unsigned n)
{
	static const char abc[] = "abcdefghij klmnopqrst uvwxyz-0123456789";

	for (unsigned i = 0; i < n; i++)
		buf_add_char(b, abc[rng_below(r, sizeof abc - 1)]);
}

static void
add_value(struct buf *b, struct rng *r, const struct shape *sh, unsigned n)
{
	if (n % 12 == 3 || n % 12 == 8) {
		buf_addf(b, "{\"N\":\"%llu.%02u\"}", (unsigned long long)rng_below(r, 1000000),
		    (unsigned)rng_below(r, 100));
	} else if (n % 12 == 5) {
		buf_addf(b, "{\"BOOL\":%s}", rng_below(r, 2) ? "true" : "false");
	} else if (n % 12 == 9) {
		buf_addf(b, "{\"SS\":[\"red\",\"green\",\"blue-%u\"]}", (unsigned)rng_below(r, 10));
	} else if (n % 12 == 11 && sh->nested) {
		buf_addf(b, "{\"M\":{\"street\":{\"S\":\"Caf\\u00e9 %u\"},\"lines\":{\"L\":[", n);
		for (int i = 0; i < 8; i++)
			buf_addf(b,
			    "%s{\"M\":{\"sku\":{\"S\":\"sku-%u\"},\"count\":{\"N\":\"%d\"}}}",
			    i ? "," : "", (unsigned)rng_below(r, 100000), i);
		buf_add_str(b, "]}}}");
	} else {
		buf_add_str(b, "{\"S\":\"");
		add_words(b, r, sh->text / 2 + (unsigned)rng_below(r, sh->text));
		buf_add_str(b, "\"}");
	}
}

/* The new image is the old one with every sixth attribute or so made anew. */
static void
add_image(struct buf *b, const struct shape *sh, uint64_t item, bool is_new)
{
	buf_addf(b, "{\"pk\":{\"S\":\"customer-%llu\"},\"sk\":{\"N\":\"%llu\"}",
	    (unsigned long long)item, (unsigned long long)item * 7);
	for (unsigned i = 2; i < sh->attributes; i++) {
		struct rng r;

		rng_seed(&r, item * 1000 + i + (is_new && i % 6 == 3 ? 500 : 0));
		buf_addf(b, ",\"attr_%02u\":", i);
		add_value(b, &r, sh, i);
	}
	buf_add_char(b, '}');
}

static void
add_record(struct buf *b, const struct shape *sh, uint64_t item)
{
	buf_addf(b,
	    "{\"eventID\":\"%032llx\",\"eventName\":\"MODIFY\",\"eventVersion\":\"1.1\","
	    "\"eventSource\":\"aws:dynamodb\",\"awsRegion\":\"eu-west-1\",\"dynamodb\":{"
	    "\"ApproximateCreationDateTime\":1.795216740E9,\"Keys\":{\"pk\":{\"S\":\"customer-%"
	    "llu\"},"
	    "\"sk\":{\"N\":\"%llu\"}},\"NewImage\":",
	    (unsigned long long)item, (unsigned long long)item, (unsigned long long)item * 7);
	add_image(b, sh, item, true);
	buf_add_str(b, ",\"OldImage\":");
	add_image(b, sh, item, false);
	buf_addf(b,
	    ",\"SequenceNumber\":\"2125880000000000%011llu\",\"SizeBytes\":512,"
	    "\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}",
	    (unsigned long long)item);
}

static void
make_page(struct buf *b, const struct shape *sh)
{
	buf_add_str(b,
	    "{\"NextShardIterator\":\"arn:aws:dynamodb:eu-west-1:1:table/t|1|AAAA\",\"Records\":[");
	for (unsigned i = 0; i < sh->records; i++) {
		if (i != 0)
			buf_add_char(b, ',');
		add_record(b, sh, i + 1000);
	}
	buf_add_str(b, "]}");
}

/* --- the work, ours and jansson's ----------------------------------------- */

struct work {
	struct buf body; /* lent to page_parse() and taken back */
	struct buf out;
	struct page *page; /* for the rows without scan */
	json_t *tree;
	size_t sink; /* so that nothing is optimised away */
};

static char pk[] = "pk", sk[] = "sk";
static const struct key_schema schema = {.names = {pk, sk}};

static void
die(const char *what)
{
	(void)fprintf(stderr, "record_bench: %s\n", what);
	exit(1);
}

static struct page *
scan(struct work *w)
{
	struct page *p;
	struct err e;

	if (page_parse(&p, &w->body, &e) != 0)
		die(e.text);
	return p;
}

static void
drop(struct work *w, struct page *p)
{
	w->sink += p->count;
	w->body = p->body;
	p->body = BUF_INIT(0);
	page_unref(p);
}

static void
our_scan(struct work *w)
{
	drop(w, scan(w));
}

static void
our_plain(struct work *w)
{
	struct page *p = scan(w);
	struct err e;

	buf_reset(&w->out);
	for (size_t i = 0; i < p->count; i++)
		if (format_write(FORMAT_PLAIN, &p->records[i], NULL, &w->out, &e) != 0)
			die(e.text);
	w->sink += w->out.n;
	drop(w, p);
}

static void
on_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct work *w = arg;

	w->sink += path.n + old_value.n + new_value.n;
}

static void
changes_of(struct work *w, const struct page *p)
{
	for (size_t i = 0; i < p->count; i++)
		changes_each(p->records[i].old_image, p->records[i].new_image, on_change, w);
}

static void
our_changes(struct work *w)
{
	struct page *p = scan(w);

	changes_of(w, p);
	drop(w, p);
}

static void
our_changes_alone(struct work *w)
{
	changes_of(w, w->page);
}

static void
keys_of(struct work *w, const struct page *p)
{
	for (size_t i = 0; i < p->count; i++) {
		buf_reset(&w->out);
		key_write(&p->records[i], &schema, &w->out);
		w->sink += key_hash(buf_slice(&w->out)) & 1;
	}
}

static void
our_keys(struct work *w)
{
	struct page *p = scan(w);

	keys_of(w, p);
	drop(w, p);
}

static void
our_keys_alone(struct work *w)
{
	keys_of(w, w->page);
}

static json_t *
parse(struct work *w)
{
	json_error_t e;
	json_t *j = json_loadb(w->body.p, w->body.n, 0, &e);

	if (j == NULL)
		die(e.text);
	return j;
}

static void
tree_parse(struct work *w)
{
	json_decref(parse(w));
}

static int
to_buf(const char *p, size_t n, void *arg)
{
	buf_add(arg, p, n);
	return 0;
}

static void
tree_dump(struct work *w)
{
	json_t *j = parse(w);

	buf_reset(&w->out);
	if (json_dump_callback(j, to_buf, &w->out, JSON_COMPACT) != 0)
		die("dump");
	w->sink += w->out.n;
	json_decref(j);
}

static void
tree_changes_of(struct work *w, const json_t *root)
{
	const char *name;
	json_t *r, *v;
	size_t i;

	json_array_foreach(json_object_get(root, "Records"), i, r)
	{
		json_t *d = json_object_get(r, "dynamodb");
		json_t *old_image = json_object_get(d, "OldImage");
		json_t *new_image = json_object_get(d, "NewImage");

		json_object_foreach(old_image, name, v)
		{
			if (!json_equal(v, json_object_get(new_image, name)))
				w->sink += strlen(name);
		}
		json_object_foreach(new_image, name, v)
		{
			if (json_object_get(old_image, name) == NULL)
				w->sink += strlen(name);
		}
	}
}

static void
tree_changes(struct work *w)
{
	json_t *j = parse(w);

	tree_changes_of(w, j);
	json_decref(j);
}

static void
tree_changes_alone(struct work *w)
{
	tree_changes_of(w, w->tree);
}

/* Without making numbers canonical, which is to jansson's favour. */
static void
tree_keys_of(struct work *w, const json_t *root)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(root, "Records"), i, r)
	{
		json_t *keys = json_object_get(json_object_get(r, "dynamodb"), "Keys");
		json_t *key = json_array();

		for (int k = 0; k < 2; k++) {
			json_t *v = json_object_get(keys, schema.names[k]);

			json_array_append(key, json_object_iter_value(json_object_iter(v)));
		}
		buf_reset(&w->out);
		if (json_dump_callback(key, to_buf, &w->out, JSON_COMPACT) != 0)
			die("dump");
		w->sink += key_hash(buf_slice(&w->out)) & 1;
		json_decref(key);
	}
}

static void
tree_keys(struct work *w)
{
	json_t *j = parse(w);

	tree_keys_of(w, j);
	json_decref(j);
}

static void
tree_keys_alone(struct work *w)
{
	tree_keys_of(w, w->tree);
}

static const struct row {
	const char *name;
	void (*ours)(struct work *w);
	void (*trees)(struct work *w);
} rows[] = {
    {"scan", our_scan, tree_parse},
    {"scan + plain", our_plain, tree_dump},
    {"scan + changed paths", our_changes, tree_changes},
    {"scan + canonical key", our_keys, tree_keys},
    {"changed paths, alone", our_changes_alone, tree_changes_alone},
    {"canonical key, alone", our_keys_alone, tree_keys_alone},
};

/* --- measuring ------------------------------------------------------------ */

static double
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds a page, over as many pages as fill at_least. One page before that
 * is not counted: it pays for tidying up what the other side left in the heap. */
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

static double
count_allocations(void (*fn)(struct work *w), struct work *w)
{
	unsigned long before;

	fn(w); /* buffers that are kept have grown now */
	before = allocations;
	fn(w);
	return (double)(allocations - before);
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

static void
run_row(const struct row *row, struct work *w, const struct shape *sh, unsigned rounds)
{
	double ours[ROUNDS_MAX], trees[ROUNDS_MAX], ratio[ROUNDS_MAX];
	double mb = (double)w->body.n / 1e6, a, b;

	for (unsigned i = 0; i < rounds; i++) {
		ours[i] = measure(row->ours, w, SLICE_NS);
		trees[i] = measure(row->trees, w, 0);
		ratio[i] = trees[i] / ours[i];
	}
	a = median(ours, rounds);
	b = median(trees, rounds);
	(void)printf("%-22s %8.0f %10.0f %9.3f | %8.1f %10.0f %9.1f | %6.1fx\n", row->name,
	    mb / a * 1e9, sh->records / a * 1e6, count_allocations(row->ours, w) / sh->records,
	    mb / b * 1e9, sh->records / b * 1e6, count_allocations(row->trees, w) / sh->records,
	    median(ratio, rounds));
	(void)fflush(stdout);
}

static void
run_shape(const struct shape *sh, unsigned rounds)
{
	struct work w = {.body = BUF_INIT(LIMIT_PAGE_BODY), .out = BUF_INIT(LIMIT_PAGE_BODY)};
	struct buf copy = BUF_INIT(LIMIT_PAGE_BODY);
	struct err e;

	make_page(&w.body, sh);
	buf_add_slice(&copy, buf_slice(&w.body));
	if (w.body.failed || page_parse(&w.page, &copy, &e) != 0)
		die("cannot make the page");
	w.tree = parse(&w);
	(void)printf("\n%s: %u records, %u attributes in each of two images, %zu bytes a record, "
		     "%.2f MB a page\n",
	    sh->name, sh->records, sh->attributes, w.body.n / sh->records, (double)w.body.n / 1e6);
	(void)printf("%-22s %8s %10s %9s | %8s %10s %9s |\n", "", "MB/s", "krecords/s", "allocs/r",
	    "jansson", "krecords/s", "allocs/r");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		run_row(&rows[i], &w, sh, rounds);
	json_decref(w.tree);
	page_unref(w.page);
	buf_close(&w.body);
	buf_close(&w.out);
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
	const char *text = getenv("ROUNDS");
	unsigned long rounds = text != NULL ? strtoul(text, NULL, 10) : 11;

	if (rounds < 1 || rounds > ROUNDS_MAX)
		die("ROUNDS must be 1 to 101");
	print_hardware();
	(void)printf("one thread; medians of %lu rounds, ours and jansson's in turn\n", rounds);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		run_shape(&shapes[i], (unsigned)rounds);
	return 0;
}
