/* bench/script_bench.c - what a script costs a record, beside the same decision without one.
 *
 * Medium records (12 attributes, both images), one core, processor time, the median of the
 * rounds. Both images become tables before the script runs, whatever it looks at, so the
 * first row is the price of having one. ROUNDS=n sets the rounds (11).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/conf.h"
#include "base/mem.h"
#include "filters/filter.h"

#define RECORDS 1000
#define ROUNDS_MAX 101

static const struct origin origin = {
    .stream = "bench", .table = "bench", .arn = "arn:x", .label = "l", .shard = "shardId-1"};

static const struct {
	const char *name, *options, *body;
	enum filter_verdict verdict;
} rows[] = {
    {"identity", "", "return record", FILTER_KEEP},
    {"a field changed", "", "record.new.attr_04 = 'x' return record", FILTER_REWRITE},
    {"numbers added", "numbers: decimal\n",
	"record.new.attr_03 = record.new.attr_03 + record.new.attr_08 return record",
	FILTER_REWRITE},
    {"old image left out", "", "record.old = nil return record", FILTER_REWRITE},
    {"dropped", "", "return nil", FILTER_DROP},
    {"refused by error()", "", "error('no')", FILTER_REJECT},
};

static void
add_image(struct buf *b, unsigned item, unsigned version)
{
	buf_addf(b, "{\"pk\":{\"S\":\"customer-%u\"},\"sk\":{\"N\":\"%u\"}", item, item * 7);
	for (unsigned i = 2; i < 12; i++) {
		buf_addf(b, ",\"attr_%02u\":", i);
		if (i == 3 || i == 8)
			buf_addf(b, "{\"N\":\"%u.%02u\"}", item * i, version % 100);
		else if (i == 5)
			buf_addf(b, "{\"BOOL\":%s}", item % 2 ? "true" : "false");
		else if (i == 9)
			buf_addf(b, "{\"SS\":[\"red\",\"green\",\"blue-%u\"]}", item % 10);
		else
			buf_addf(b, "{\"S\":\"abcdefghij klm %u\"}", item + (i == 4 ? version : 0));
	}
	buf_add_char(b, '}');
}

static struct page *
make_page(void)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);
	struct page *p;
	struct err e;

	buf_add_str(&b, "{\"Records\":[");
	for (unsigned i = 0; i < RECORDS; i++) {
		buf_addf(&b,
		    "%s{\"eventID\":\"%032x\",\"eventName\":\"MODIFY\",\"dynamodb\":{\"Keys\":{"
		    "\"pk\":"
		    "{\"S\":\"customer-%u\"},\"sk\":{\"N\":\"%u\"}},\"SequenceNumber\":"
		    "\"3000000000000004%05u\",\"ApproximateCreationDateTime\":1766000000,"
		    "\"NewImage\":",
		    i != 0 ? "," : "", i, i, i * 7, i);
		add_image(&b, i, 2);
		buf_add_str(&b, ",\"OldImage\":");
		add_image(&b, i, 1);
		buf_add_str(&b, "}}");
	}
	buf_add_str(&b, "]}");
	if (page_parse(&p, &b, &e) != 0) {
		(void)fprintf(stderr, "script_bench: %s\n", e.text);
		exit(1);
	}
	return p;
}

static struct filter *
open_script(size_t row, void **conf)
{
	struct buf yaml = BUF_INIT(1 << 16), lua = BUF_INIT(1 << 16);
	struct conf_doc *doc;
	struct filter *f;
	struct err e;

	buf_addf(&lua, "function change(record) %s end", rows[row].body);
	buf_addf(&yaml, "%stext: ", rows[row].options);
	buf_add_json_string(&yaml, buf_slice(&lua));
	buf_add_char(&yaml, '\n');
	*conf = mem_new(filter_script.conf_size);
	if (conf_parse(&doc, buf_slice(&yaml), "bench", &e) != 0 ||
	    conf_fill(conf_root(doc), filter_script.keys, NULL, *conf, &e) != 0 ||
	    filter_script.open(&f, "bench", *conf, &e) != 0) {
		(void)fprintf(stderr, "script_bench: %s\n", e.text);
		exit(1);
	}
	conf_close(doc);
	buf_close(&yaml);
	buf_close(&lua);
	return f;
}

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
round_of(struct filter *f, const struct page *p, size_t row)
{
	double begun = seconds();
	struct err why;

	for (size_t i = 0; i < p->count; i++) {
		struct record r = p->records[i];

		if (filter_script.apply(f, &r, &origin, &why) != rows[row].verdict) {
			(void)fprintf(
			    stderr, "script_bench: %s: another verdict\n", rows[row].name);
			exit(1);
		}
	}
	return (double)p->count / (seconds() - begun);
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(void)
{
	const char *text = getenv("ROUNDS");
	long rounds = text != NULL ? strtol(text, NULL, 10) : 11;
	struct page *p = make_page();
	double rates[ROUNDS_MAX];

	if (rounds < 1 || rounds > ROUNDS_MAX)
		rounds = 11;
	(void)printf(
	    "script: %d medium records a round, %ld rounds, processor time\n", RECORDS, rounds);
	for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
		void *conf;
		struct filter *f = open_script(row, &conf);

		(void)round_of(f, p, row);
		for (long i = 0; i < rounds; i++)
			rates[i] = round_of(f, p, row);
		qsort(rates, (size_t)rounds, sizeof *rates, by_value);
		(void)printf("  %-20s %8.0f records/s\n", rows[row].name, rates[rounds / 2]);
		filter_script.close(f);
		conf_wipe(filter_script.keys, conf);
		free(conf);
	}
	page_unref(p);
	return 0;
}
