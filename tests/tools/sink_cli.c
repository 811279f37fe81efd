/* tests/tools/sink_cli.c - a sink by itself, for scripts that play the lane.
 *
 * usage: sink_cli TYPE YAML
 *        sink_cli --probe TYPE YAML STREAM TABLE
 *
 * Each line of standard input is one batch: STREAM TABLE LABEL BODY, BODY a GetRecords
 * answer. When all of it has been reported, a line comes out: a JSON array with a
 * [verdict, why] for each record, in the batch's order. Nothing is ever tried again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "record/key.h"
#include "sinks/sink.h"

static const char *const verdict_words[] = {"ack", "retry", "reject", "halt", "split"};

struct one {
	struct delivery d;
	int verdict; /* -1: none yet */
	char why[512];
};

static struct loop *loop;
static struct one *batch;
static size_t left;

static NORETURN void
die(const char *text)
{
	(void)fprintf(stderr, "sink_cli: %s\n", text);
	exit(1);
}

static void
report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct one *o = CONTAINER_OF(d, struct one, d);

	(void)host;
	if (o->verdict != -1)
		die("a record was reported twice");
	o->verdict = (int)v;
	(void)snprintf(o->why, sizeof o->why, "%s", why != NULL ? why->text : "");
	if (--left == 0)
		loop_stop(loop);
}

static void
ready(void *host)
{
	(void)host;
}

static const struct sink_ops *
find(const char *type)
{
	for (int i = 0; sink_registry[i] != NULL; i++)
		if (strcmp(sink_registry[i]->type, type) == 0)
			return sink_registry[i];
	die("no such sink");
}

static void *
configure(const struct sink_ops *ops, const char *yaml)
{
	void *conf = mem_new(ops->conf_size);
	struct conf_doc *doc;
	struct err e;

	if (conf_parse(&doc, slice_of(yaml), "conf", &e) != 0 ||
	    conf_fill(conf_root(doc), ops->keys, NULL, conf, &e) != 0 ||
	    (ops->check != NULL && ops->check(conf, &e) != 0))
		die(e.text);
	conf_close(doc);
	return conf;
}

static void
print_reports(size_t n)
{
	struct buf out = BUF_INIT(64u << 20);

	for (size_t i = 0; i < n; i++) {
		buf_addf(&out, "%s[\"%s\",", i == 0 ? "[" : ",", verdict_words[batch[i].verdict]);
		buf_add_json_string(&out, slice_of(batch[i].why));
		buf_add_char(&out, ']');
	}
	(void)printf("%s]\n", buf_cstr(&out));
	(void)fflush(stdout);
	buf_close(&out);
}

static void
submit(const struct sink_ops *ops, struct sink *s, struct page *page, const struct origin *o)
{
	struct delivery **v = mem_array(page->count, sizeof *v);
	struct buf key = BUF_INIT(1u << 20);
	struct err e;

	batch = mem_array(page->count, sizeof *batch);
	for (size_t i = 0; i < page->count; i++) {
		buf_reset(&key);
		key_write(&page->records[i], o->schema, &key);
		batch[i].verdict = -1;
		batch[i].d = (struct delivery){
		    .rec = &page->records[i], .origin = o, .key_hash = key_hash(buf_slice(&key))};
		v[i] = &batch[i].d;
	}
	left = page->count;
	if (ops->submit(s, v, page->count) == SINK_FULL)
		die("full, with nothing out");
	if (left != 0 && loop_run(loop, &e) != 0)
		die(e.text);
	print_reports(page->count);
	free(batch);
	free(v);
	buf_close(&key);
}

/* STREAM TABLE LABEL BODY; cut in place. */
static void
take_line(const struct sink_ops *ops, struct sink *s, char *line)
{
	static const struct key_schema schema;
	struct origin o = {.arn = "arn:aws:dynamodb:eu-west-1:1:table/t/stream/l",
	    .shard = "shardId-1",
	    .schema = &schema};
	char *rest = line;
	struct page *page;
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY);
	struct err e;

	o.stream = strsep(&rest, " ");
	o.table = strsep(&rest, " ");
	o.label = strsep(&rest, " ");
	if (rest == NULL)
		die("a line is STREAM TABLE LABEL BODY");
	buf_add_str(&body, rest);
	if (page_parse(&page, &body, &e) != 0)
		die(e.text);
	submit(ops, s, page, &o);
	page_unref(page);
}

static void
say(void *ctx, enum sink_finding f, const char *text)
{
	static const char *const words[] = {"ok", "note", "bad"};

	(void)ctx;
	(void)printf("%s: %s\n", words[f], text);
}

static int
probe(char **argv)
{
	static const struct key_schema schema;
	const struct sink_ops *ops = find(argv[2]);
	struct origin o = {.stream = argv[4], .table = argv[5], .shard = "", .schema = &schema};
	struct sink_probe p = {.name = "trail", .origins = &o, .origin_count = 1, .say = say};
	void *conf = configure(ops, argv[3]);
	struct err e;
	int r = ops->probe(conf, &p, &e);

	if (r != 0)
		(void)printf("failed: %s\n", e.text);
	conf_wipe(ops->keys, conf);
	free(conf);
	return r == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	struct sink_env env = {.name = "trail", .report = report, .ready = ready};
	const struct sink_ops *ops;
	struct sink *s;
	void *conf;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	struct err e;

	if (argc == 6 && strcmp(argv[1], "--probe") == 0)
		return probe(argv);
	if (argc != 3)
		die("usage: sink_cli TYPE YAML");
	ops = find(argv[1]);
	conf = configure(ops, argv[2]);
	if (loop_new(&loop, 1, &e) != 0)
		die(e.text);
	env.loop = loop;
	if (ops->open(&s, &env, conf, &e) != 0)
		die(e.text);
	while ((n = getline(&line, &cap, stdin)) > 0) {
		line[n - 1] = '\0';
		take_line(ops, s, line);
	}
	free(line);
	ops->close(s);
	loop_close(loop);
	conf_wipe(ops->keys, conf);
	free(conf);
	return 0;
}
