/* tests/tools/postgres_drive.c - the PostgreSQL sink without a lane, for a script.
 *
 * usage: postgres_drive CONFIG NAME, where CONFIG is the sink's YAML. Then on standard
 * input, a line each:
 *
 *   TABLE SHARD BODY     submits the records of a GetRecords answer, waits for what is out
 *   + TABLE SHARD BODY   submits and does not wait
 *   probe TABLE TYPE     what check --connect says; TYPE: of the key attribute pk
 *   status               what `slipring status` shows of it
 *
 * Of the shard "replayed" each record has an origin of its own, as dead letters have.
 * On standard output, for each line but those with +, one JSON object: the verdicts of all
 * records since the last, in the order of submission, and the last reason. A script sees so what
 * the sink does by itself: the lane would try again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/key.h"
#include "sinks/sink.h"

#define BOUND (60 * USEC_SEC)
#define RECORDS_MAX 100000u

struct item {
	struct delivery d;
	int verdict; /* -1: none yet */
};

struct drive {
	struct loop *loop;
	struct loop_timer *bound;
	struct sink *sink;
	void *conf;
	struct item *items;
	size_t n, open;
	struct page *pages[1000];
	size_t page_count;
	struct origin origins[1000];
	struct key_schema schema;
	struct origin *copies; /* owned; of each item, as replayed dead letters have them */
	struct err why;
	bool ready, late;
	bool own_origins; /* a shard called "replayed" */
};

static const char *const words[] = {"ACK", "RETRY", "REJECT", "HALT", "SPLIT"};

static NORETURN void
die(const char *what)
{
	(void)fprintf(stderr, "postgres_drive: %s\n", what);
	exit(1);
}

static void
on_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct drive *g = host;
	struct item *it = CONTAINER_OF(d, struct item, d);

	if (it->verdict >= 0)
		die("a record was reported twice");
	it->verdict = (int)v;
	if (why != NULL && (why->code != ERR_CANCELLED || g->why.text[0] == '\0'))
		g->why = *why;
	g->open--;
	loop_stop(g->loop);
}

static void
on_ready(void *host)
{
	struct drive *g = host;

	g->ready = true;
	loop_stop(g->loop);
}

static void
on_bound(void *arg)
{
	struct drive *g = arg;

	g->late = true;
	loop_stop(g->loop);
}

static void
turn(struct drive *g)
{
	struct err e;

	loop_timer_arm(g->bound, BOUND);
	if (loop_run(g->loop, &e) != 0 || g->late)
		die(g->late ? "nothing happened for a minute" : e.text);
}

static void
say(void *ctx, enum sink_finding f, const char *text)
{
	struct buf *out = ctx;

	buf_add_str(out, out->n > 1 ? "," : "");
	buf_addf(out, "[\"%s\",",
	    f == SINK_FOUND_OK	       ? "ok"
		: f == SINK_FOUND_NOTE ? "note"
				       : "bad");
	buf_add_json_string(out, slice_of(text));
	buf_add_char(out, ']');
}

static void
probe(struct drive *g, const char *table, const char *type)
{
	struct buf out = BUF_INIT(1u << 20);
	struct origin o = g->origins[0];
	struct sink_probe p = {
	    .name = "copy", .origins = &o, .origin_count = 1, .ctx = &out, .say = say};
	struct err e;

	g->schema.types[0] = type[0];
	o.schema = &g->schema;
	o.table = o.stream = table;
	buf_add_char(&out, '[');
	if (sink_postgres.probe(g->conf, &p, &e) != 0)
		say(&out, SINK_FOUND_BAD, e.text);
	(void)printf("%s]\n", buf_cstr(&out));
	buf_close(&out);
}

static void
print_results(struct drive *g)
{
	struct buf why = BUF_INIT(4096);

	(void)printf("{\"verdicts\":[");
	for (size_t i = 0; i < g->n; i++)
		(void)printf("%s\"%s\"", i != 0 ? "," : "", words[g->items[i].verdict]);
	buf_add_json_string(&why, slice_of(g->why.text));
	(void)printf("],\"why\":%s}\n", buf_cstr(&why));
	buf_close(&why);
	for (size_t i = 0; i < g->page_count; i++) {
		page_unref(g->pages[i]);
		free((char *)(uintptr_t)g->origins[i].table);
		free((char *)(uintptr_t)g->origins[i].arn);
		free((char *)(uintptr_t)g->origins[i].shard);
	}
	g->n = g->page_count = 0;
	g->why.text[0] = '\0';
}

static char *
arn_dup(const char *table)
{
	struct buf b = BUF_INIT(4096);
	char *text;

	buf_addf(&b, "arn:aws:dynamodb:eu-west-1:1:table/%s/stream/2026-11-21T07:29:37.000", table);
	text = mem_strdup(buf_cstr(&b));
	buf_close(&b);
	return text;
}

static void
submit(struct drive *g, char *table, char *shard, const char *body)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY), key = BUF_INIT(LIMIT_PAGE_BODY);
	struct origin *o = &g->origins[g->page_count];
	struct delivery **batch;
	struct page *page;
	struct err e;

	buf_add_str(&b, body);
	if (g->page_count == 999 || page_parse(&page, &b, &e) != 0)
		die("no page");
	*o = (struct origin){.table = mem_strdup(table),
	    .arn = arn_dup(table),
	    .label = "2026-11-21T07:29:37.000",
	    .shard = mem_strdup(shard),
	    .schema = &g->schema};
	o->stream = o->table;
	g->own_origins = strcmp(shard, "replayed") == 0;
	g->pages[g->page_count++] = page;
	batch = mem_array(page->count + 1, sizeof(struct delivery *));
	for (size_t i = 0; i < page->count; i++) {
		struct item *it = &g->items[g->n++];

		if (g->n > RECORDS_MAX)
			die("too many records");
		buf_reset(&key);
		key_write(&page->records[i], NULL, &key);
		g->copies[g->n - 1] = *o;
		*it = (struct item){.d = {.rec = &page->records[i],
					.origin = g->own_origins ? &g->copies[g->n - 1] : o,
					.key_hash = key_hash(buf_slice(&key))},
		    .verdict = -1};
		batch[i] = &it->d;
	}
	g->open += page->count;
	while (g->ready = false, sink_postgres.submit(g->sink, batch, page->count) == SINK_FULL)
		while (!g->ready)
			turn(g);
	free(batch);
	buf_close(&key);
}

static void
obey(struct drive *g, char *line)
{
	bool wait = line[0] != '+';
	char *rest = wait ? line : line + 2, *table = strsep(&rest, " "), *shard;

	if (strcmp(table, "status") == 0) {
		struct buf out = BUF_INIT(65536);

		sink_postgres.status(g->sink, &out);
		(void)printf("{%s}\n", buf_cstr(&out));
		buf_close(&out);
		return;
	}
	shard = strsep(&rest, " ");
	if (strcmp(table, "probe") == 0) {
		probe(g, shard, rest);
		return;
	}
	if (rest == NULL)
		die("a line is TABLE SHARD BODY");
	submit(g, table, shard, rest);
	if (!wait)
		return;
	while (g->open > 0)
		turn(g);
	print_results(g);
}

int
main(int argc, char **argv)
{
	struct drive g = {.schema = {.names = {(char[]){"pk"}, NULL}}};
	struct sink_env env = {
	    .name = argc == 3 ? argv[2] : "", .host = &g, .report = on_report, .ready = on_ready};
	struct conf_doc *doc;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;
	struct err e;

	g.conf = mem_new(sink_postgres.conf_size);
	g.items = mem_array(RECORDS_MAX, sizeof *g.items);
	g.copies = mem_array(RECORDS_MAX, sizeof *g.copies);
	if (argc != 3)
		die("usage: postgres_drive CONFIG NAME");
	if (conf_parse(&doc, slice_of(argv[1]), "drive", &e) != 0 ||
	    conf_fill(conf_root(doc), sink_postgres.keys, NULL, g.conf, &e) != 0 ||
	    sink_postgres.check(g.conf, &e) != 0 || loop_new(&g.loop, 1, &e) != 0)
		die(e.text);
	conf_close(doc);
	env.loop = g.loop;
	g.bound = loop_timer_new(g.loop, on_bound, &g);
	if (sink_postgres.open(&g.sink, &env, g.conf, &e) != 0)
		die(e.text);
	while ((n = getline(&line, &room, stdin)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		obey(&g, line);
		(void)fflush(stdout);
	}
	sink_postgres.close(g.sink);
	if (g.open != 0)
		die("close() left records without a report");
	print_results(&g);
	loop_timer_close(g.bound);
	loop_close(g.loop);
	conf_wipe(sink_postgres.keys, g.conf);
	free(g.conf);
	free(g.items);
	free(g.copies);
	free(line);
	return 0;
}
