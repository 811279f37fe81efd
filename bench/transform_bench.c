/* bench/transform_bench.c - records a second through each transform, one core.
 *
 * Medium records (drive.h), 12 attributes, both images. "apply" is the filter alone;
 * "and written" adds the JSON of the record that a sink's page is made from, where the filter
 * changed it. Medians of ROUNDS=n rounds (11), processor time.
 *
 * A new transform is a line in `rows`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/drive.h"
#include "filters/filter.h"
#include "record/rewrite.h"

#define RECORDS 1000u
#define ROUNDS_MAX 101
#define SLICE_S 0.05 /* how long a round runs, at least */

static const struct row {
	const char *name, *type, *yaml; /* KEY_FILE stands for one that is made here */
} rows[] = {
    {"project, 3 of 12 kept", "project", "include: [attr_01, attr_03, attr_08]"},
    {"project, 2 of 12 left out", "project", "exclude: [attr_04, attr_10]"},
    {"project, a star", "project", "exclude: ['attr_1*']"},
    {"rename, 2", "rename", "attributes: {attr_03: total, attr_06: name}"},
    {"set, 1 added", "set", "attributes: {\"source\": {\"S\": \"orders\"}}"},
    {"set, 1 replaced", "set", "attributes: {\"attr_02\": {\"NULL\": true}}"},
    {"flatten, no maps", "flatten", ""},
    {"sample, 10 %", "sample", "percent: 10"},
    {"dedupe-unchanged, a change", "dedupe-unchanged", ""},
    {"dedupe-unchanged, 2 ignored", "dedupe-unchanged", "ignore: [attr_03, attr_09]"},
    {"redact, mask 2", "redact", "attributes: [attr_03, attr_06]\nwith: mask"},
    {"redact, keep-last 2", "redact", "attributes: [attr_03, attr_06]\nwith: keep-last"},
    {"redact, sha256 2", "redact", "attributes: [attr_03, attr_06]\nwith: sha256"},
    {"redact, hmac-sha256 2", "redact",
	"attributes: [attr_03, attr_06]\nwith: hmac-sha256\nkey-file: KEY_FILE"},
    {"encrypt, 2", "encrypt", "attributes: [attr_03, attr_06]\nkey-file: KEY_FILE"},
    {"route, 4 prefixes of the key", "route",
	"rules: {'USER#': a, 'TENANT#': b, 'X': c, 'Y': d}\ndefault: e"},
    {"route, an attribute", "route", "to: 'tenant_{new.attr_05}'\nmax: 10000\ndefault: e"},
    {"limit, by tenant", "limit", "tenant: attr_05\nrecords: 1000000"},
};

static const char *key_path;

static NORETURN void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "transform_bench: %s: %s\n", what, why);
	exit(1);
}

static double
cpu_now(void)
{
	struct rusage ru;

	(void)getrusage(RUSAGE_SELF, &ru);
	return (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6;
}

static const struct filter_ops *
find(const char *type)
{
	for (size_t i = 0; filter_registry[i] != NULL; i++)
		if (strcmp(filter_registry[i]->type, type) == 0)
			return filter_registry[i];
	die(type, "there is no such filter");
}

static const char *
key_file(void)
{
	static char path[] = "/tmp/slipring-bench-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0 || write(fd, "a key of 32 bytes for the bench.", 32) != 32 || close(fd) != 0)
		die(path, "cannot be written");
	return path;
}

static int
parse_yaml(const struct row *row, struct conf_doc **doc, struct err *e)
{
	static const char word[] = "KEY_FILE";
	const char *at = strstr(row->yaml, word);
	struct buf text = BUF_INIT(4096);
	int r;

	if (at != NULL)
		buf_addf(&text, "%.*s%s%s", (int)(at - row->yaml), row->yaml, key_path,
		    at + sizeof word - 1);
	else
		buf_add_str(&text, row->yaml[0] != '\0' ? row->yaml : "{}");
	r = conf_parse(doc, buf_slice(&text), "bench", e);
	buf_close(&text);
	return r;
}

static struct filter *
open_row(const struct filter_ops *ops, const struct row *row, void *conf)
{
	struct conf_doc *doc;
	struct filter *f;
	struct err e;

	if (parse_yaml(row, &doc, &e) != 0 ||
	    conf_fill(conf_root(doc), ops->keys, NULL, conf, &e) != 0 ||
	    (ops->check != NULL && ops->check(conf, &e) != 0) ||
	    ops->open(&f, "bench", conf, &e) != 0)
		die(row->name, e.text);
	conf_close(doc);
	return f;
}

struct counts {
	unsigned verdicts[4];
	size_t bytes;
};

static void
pass(const struct filter_ops *ops, struct filter *f, const struct page *p, struct buf *out,
    struct counts *c)
{
	struct err why;

	for (size_t i = 0; i < p->count; i++) {
		struct record r = p->records[i];
		enum filter_verdict v = ops->apply(f, &r, &drive_origin, &why);

		c->verdicts[v]++;
		if (out == NULL || v != FILTER_REWRITE)
			continue;
		buf_reset(out);
		record_write(&r, out);
		c->bytes += out->n;
	}
}

static double
rate(const struct filter_ops *ops, struct filter *f, const struct page *p, struct buf *out,
    struct counts *c)
{
	double begun = cpu_now(), spent;
	unsigned n = 0;

	do {
		pass(ops, f, p, out, c);
		n++;
		spent = cpu_now() - begun;
	} while (spent < SLICE_S);
	return n * (double)p->count / spent;
}

static int
by_value(const void *a, const void *b)
{
	double x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return x < y ? -1 : x > y;
}

static void
bench(const struct row *row, const struct page *p, unsigned rounds)
{
	const struct filter_ops *ops = find(row->type);
	void *conf = mem_new(ops->conf_size);
	struct filter *f = open_row(ops, row, conf);
	struct buf out = BUF_INIT(LIMIT_PAGE_BODY);
	double alone[ROUNDS_MAX], written[ROUNDS_MAX];
	struct counts c = {.bytes = 0};
	unsigned all;

	pass(ops, f, p, &out, &c); /* buffers find their size */
	memset(&c, 0, sizeof c);
	for (unsigned i = 0; i < rounds; i++) {
		alone[i] = rate(ops, f, p, NULL, &c);
		written[i] = rate(ops, f, p, &out, &c);
	}
	qsort(alone, rounds, sizeof *alone, by_value);
	qsort(written, rounds, sizeof *written, by_value);
	all = c.verdicts[0] + c.verdicts[1] + c.verdicts[2] + c.verdicts[3];
	(void)printf("%-30s %10.0f %12.0f %8.0f %% %6.0f %%\n", row->name, alone[rounds / 2],
	    written[rounds / 2], 100.0 * c.verdicts[FILTER_REWRITE] / all,
	    100.0 * c.verdicts[FILTER_DROP] / all);
	ops->close(f);
	conf_wipe(ops->keys, conf);
	free(conf);
	buf_close(&out);
}

int
main(void)
{
	const char *word = getenv("ROUNDS");
	unsigned rounds = word != NULL ? (unsigned)atoi(word) : 11;
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY);
	struct page *p;
	struct err e;

	if (rounds == 0 || rounds > ROUNDS_MAX)
		die("ROUNDS", "it is 1 to 101");
	log_set(LOG_ERROR, LOG_LOGFMT);
	key_path = key_file();
	drive_body(&body, 10 * RECORDS, RECORDS, RECORDS);
	if (page_parse(&p, &body, &e) != 0)
		die("page", e.text);
	(void)printf("%u medium records, %zu bytes each\n", RECORDS, p->body.n / RECORDS);
	(void)printf("%-30s %10s %12s %10s %8s\n", "records a second", "apply", "and written",
	    "rewritten", "dropped");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		bench(&rows[i], p, rounds);
	page_unref(p);
	(void)unlink(key_path);
	return 0;
}
