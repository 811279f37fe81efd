/* tests/fuzz/script_fuzz.c - the script filter (libFuzzer): any bytes as a page of
 * records, or as the text of a script.
 *
 * First byte even: the rest is a GetRecords answer. A script that takes every value apart
 * and puts it together again must keep the record, or refuse it and say so; what it
 * adds is all that changes. Odd: the rest is a script, within narrow bounds; whatever it
 * does, the filter stays whole and serves the next record.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "filters/filter.h"
#include "record/rewrite.h"
#include "record/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rebuild[] =
    "local make = {M = slipring.map, L = slipring.list, SS = slipring.ss, NS = slipring.ns,"
    " BS = slipring.bs}\n"
    "local function copy(v)\n"
    "  local t = slipring.type(v)\n"
    "  assert(t)\n"
    "  if not make[t] then\n"
    "    if t == 'N' then return slipring.number(tostring(v)) end\n"
    "    if t == 'B' then return slipring.bytes(tostring(v)) end\n"
    "    return v\n"
    "  end\n"
    "  local c = {}\n"
    "  for k, e in pairs(v) do c[k] = copy(e) end\n"
    "  return make[t](c)\n"
    "end\n"
    "function change(record)\n"
    "  record.keys = copy(record.keys)\n"
    "  if record.new then record.new = copy(record.new) end\n"
    "  if record.old then record.old = copy(record.old) end\n"
    "  return record\n"
    "end\n";

static const char article[] =
    "{\"Records\":[{\"eventName\":\"MODIFY\",\"dynamodb\":{\"Keys\":{\"id\":{\"S\":\"a\"}},"
    "\"NewImage\":{\"id\":{\"S\":\"a\"},\"n\":{\"N\":\"12.50\"},\"l\":{\"L\":[{\"M\":{}},"
    "{\"SS\":[\"x\"]}]},\"b\":{\"B\":\"AAH/\"}},\"SequenceNumber\":\"300000000000000499659\"}}]}";

static const struct key_schema schema;
static const struct origin origin = {.stream = "s",
    .table = "t",
    .arn = "arn:x",
    .label = "l",
    .shard = "shardId-1",
    .schema = &schema};

static void
check(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "script_fuzz: %s\n", what);
		abort();
	}
}

/* NULL: it is no script. */
static struct filter *
open_script(const char *options, struct slice lua, void **conf, struct err *e)
{
	struct buf yaml = BUF_INIT(4u << 20);
	struct conf_doc *doc = NULL;
	struct filter *f = NULL;

	*conf = mem_new(filter_script.conf_size);
	buf_addf(&yaml, "%stext: ", options);
	buf_add_json_string(&yaml, lua);
	buf_add_char(&yaml, '\n');
	if (conf_parse(&doc, buf_slice(&yaml), "fuzz.yaml", e) != 0 ||
	    conf_fill(conf_root(doc), filter_script.keys, NULL, *conf, e) != 0 ||
	    filter_script.check(*conf, e) != 0 || filter_script.open(&f, "fuzz", *conf, e) != 0)
		f = NULL;
	buf_close(&yaml);
	conf_close(doc);
	return f;
}

static struct page *
parse(const void *p, size_t n)
{
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY);
	struct page *page;
	struct err e;

	buf_add(&body, p, n);
	return page_parse(&page, &body, &e) == 0 ? page : NULL;
}

static enum filter_verdict
apply(struct filter *f, const struct record *from, struct record *r)
{
	struct buf out = BUF_INIT(LIMIT_PAGE_BODY);
	struct err why = {.text = ""};
	enum filter_verdict v;
	struct page *again;
	struct slice raw;

	*r = *from;
	v = filter_script.apply(f, r, &origin, &why);
	check(v != FILTER_REJECT || why.text[0] != '\0', "refused without a word");
	if (v != FILTER_REWRITE)
		return v;
	record_write(r, &out);
	raw = buf_slice(&out);
	check(page_of_records(&again, &raw, 1, &why) == 0 && again->count == 1,
	    "what it made is no record");
	page_unref(again);
	buf_close(&out);
	return v;
}

static void
on_records(const uint8_t *data, size_t size)
{
	static struct filter *f;
	struct page *page = parse(data, size);
	struct record r;

	if (f == NULL) {
		void *conf; /* lives as long as the filter: for ever */
		struct err e;

		f = open_script("memory: 64MiB\n", slice_of(rebuild), &conf, &e);
		check(f != NULL, "the script does not open");
	}
	for (size_t i = 0; page != NULL && i < page->count && i < 50; i++)
		check(apply(f, &page->records[i], &r) != FILTER_DROP, "dropped");
	page_unref(page);
}

static void
on_script(const uint8_t *data, size_t size)
{
	static struct page *page;
	struct record r;
	struct err e;
	void *conf;
	struct filter *f = open_script("memory: 512KiB\ninstructions: 5000\n",
	    (struct slice){(const char *)data, size}, &conf, &e);

	if (page == NULL)
		page = parse(article, sizeof article - 1);
	for (int i = 0; f != NULL && i < 3; i++)
		(void)apply(f, &page->records[0], &r);
	filter_script.close(f);
	conf_wipe(filter_script.keys, conf);
	free(conf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] % 2 == 0)
		on_records(data + 1, size - 1);
	else
		on_script(data + 1, size - 1);
	return 0;
}
