/* tests/unit/sqlite_support.h - what the tests of the SQLite copy share: changes
 * made by hand, a host that counts verdicts, the sink in a temporary directory, and
 * the file as another program sees it.
 */
#ifndef TESTS_UNIT_SQLITE_SUPPORT_H
#define TESTS_UNIT_SQLITE_SUPPORT_H

/* clang-format off: cmocka wants these first, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "record/key.h"
#include "sinks/sqlite_file.h"

#define LABEL "2026-11-21T07:29:37.000"
#define ARN "arn:aws:dynamodb:eu-west-1:1:table/orders/stream/" LABEL

static struct key_schema pk_schema = {.names = {(char[]){"pk"}, NULL}};
static const struct origin orders = {.stream = "orders",
    .table = "orders",
    .arn = ARN,
    .label = LABEL,
    .shard = "shardId-1",
    .schema = &pk_schema};

/* ---- changes ---- */

struct change {
	struct page *page;
	struct delivery d;
	int verdict; /* -1: none yet */
	struct err why;
};

/* item: the attributes of the new image as DynamoDB JSON members, with or without "pk"
 * between them; NULL: REMOVE. */
static inline void
change_make(struct change *c, unsigned seq, const char *event, const char *keys, const char *item,
    const struct origin *o)
{
	struct buf body = BUF_INIT(1u << 20), key = BUF_INIT(1u << 16);
	struct err e;

	buf_addf(&body,
	    "{\"Records\":[{\"eventID\":\"e%u\",\"eventName\":\"%s\",\"dynamodb\":{"
	    "\"ApproximateCreationDateTime\":1795246177,\"SequenceNumber\":\"%021u\",\"Keys\":{%s}",
	    seq, event, seq, keys);
	if (item != NULL)
		buf_addf(&body, ",\"NewImage\":{%s%s%s}", keys, item[0] != '\0' ? "," : "", item);
	buf_addf(&body, "}}]}");
	memset(c, 0, sizeof *c);
	if (page_parse(&c->page, &body, &e) != 0)
		fail_msg("%s", e.text);
	key_write(&c->page->records[0], o->schema, &key);
	c->d = (struct delivery){
	    .rec = c->page->records, .origin = o, .key_hash = key_hash(buf_slice(&key))};
	c->verdict = -1;
	buf_close(&key);
}

/* pk is a string; the item has one attribute v. */
static inline void
change_put(struct change *c, unsigned seq, const char *pk, const char *v)
{
	char keys[128], item[512];

	(void)snprintf(keys, sizeof keys, "\"pk\":{\"S\":\"%s\"}", pk);
	(void)snprintf(item, sizeof item, "\"v\":%s", v);
	change_make(c, seq, "MODIFY", keys, item, &orders);
}

static inline void
change_remove(struct change *c, unsigned seq, const char *pk)
{
	char keys[128];

	(void)snprintf(keys, sizeof keys, "\"pk\":{\"S\":\"%s\"}", pk);
	change_make(c, seq, "REMOVE", keys, NULL, &orders);
}

static inline void
changes_close(struct change *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		page_unref(v[i].page);
}

/* ---- the sink ---- */

struct copy {
	struct loop *loop;
	struct loop_timer *bound;
	char *dir, *path; /* owned */
	char *names[8], *values[8];
	struct sqlite_conf conf;
	struct sink *sink;
	unsigned reports, until, verdicts[5], readies;
	bool late;
	int ack_fd; /* -1, or where each acked sequence number is written */
};

static inline void
copy_report(void *host, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct copy *x = host;
	struct change *c = CONTAINER_OF(d, struct change, d);

	assert_int_equal(c->verdict, -1);
	c->verdict = (int)v;
	assert_true((v == SINK_ACK) == (why == NULL));
	if (why != NULL)
		c->why = *why;
	x->verdicts[v]++;
	if (v == SINK_ACK && x->ack_fd >= 0) {
		struct slice s = seq_text(&d->rec->seq);

		assert_int_equal(write(x->ack_fd, s.p, s.n), s.n);
	}
	if (++x->reports >= x->until)
		loop_stop(x->loop);
}

static inline void
copy_ready(void *host)
{
	struct copy *x = host;

	x->readies++;
}

static inline void
copy_late(void *arg)
{
	struct copy *x = arg;

	x->late = true;
	loop_stop(x->loop);
}

static inline int
copy_try_start(struct copy *x, struct err *e)
{
	struct sink_env env = {
	    .loop = x->loop, .name = "copy", .host = x, .report = copy_report, .ready = copy_ready};

	return sink_sqlite.open(&x->sink, &env, &x->conf, e);
}

static inline void
copy_start(struct copy *x)
{
	struct err e;

	if (copy_try_start(x, &e) != 0)
		fail_msg("%s", e.text);
}

static inline void
copy_stop(struct copy *x)
{
	sink_sqlite.close(x->sink);
	x->sink = NULL;
}

static inline void
copy_quiet(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

/* Without starting. columns: pairs, or NULL. */
static inline void
copy_open(struct copy *x, const char *const *columns)
{
	static char table[] = "{table}";
	struct err e;

	memset(x, 0, sizeof *x);
	log_set_sink(copy_quiet, NULL);
	x->ack_fd = -1;
	x->dir = mem_strdup("/tmp/slipring-sqlite-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	x->path = mem_new(128);
	(void)snprintf(x->path, 128, "%s/copy.db", x->dir);
	x->conf = (struct sqlite_conf){.path = x->path,
	    .table = table,
	    .columns = {x->names, x->values, 0},
	    .create = true,
	    .busy_us = 5 * USEC_SEC,
	    .keep_us = INT64_C(30) * 24 * 3600 * USEC_SEC};
	for (; columns != NULL && columns[0] != NULL; columns += 2) {
		x->names[x->conf.columns.n] = mem_strdup(columns[0]);
		x->values[x->conf.columns.n++] = mem_strdup(columns[1]);
	}
	assert_int_equal(loop_new(&x->loop, 1, &e), 0);
	x->bound = loop_timer_new(x->loop, copy_late, x);
}

static inline void
copy_close(struct copy *x)
{
	DIR *d = opendir(x->dir);
	struct dirent *de;

	copy_stop(x);
	loop_timer_close(x->bound);
	loop_close(x->loop);
	while (d != NULL && (de = readdir(d)) != NULL)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), de->d_name, 0);
	(void)closedir(d);
	(void)rmdir(x->dir);
	for (size_t i = 0; i < x->conf.columns.n; i++) {
		free(x->names[i]);
		free(x->values[i]);
	}
	free(x->dir);
	free(x->path);
}

static inline void
copy_submit(struct copy *x, struct change *v, size_t n)
{
	struct delivery **batch = mem_array(n, sizeof(struct delivery *));

	for (size_t i = 0; i < n; i++) {
		v[i].verdict = -1;
		batch[i] = &v[i].d;
	}
	assert_int_equal(sink_sqlite.submit(x->sink, batch, n), SINK_TAKEN);
	free(batch);
}

/* Until so many reports more, or fail. */
static inline void
copy_wait(struct copy *x, unsigned reports)
{
	struct err e;

	x->until = reports;
	loop_timer_arm(x->bound, 60 * USEC_SEC);
	while (x->reports < reports && !x->late)
		assert_int_equal(loop_run(x->loop, &e), 0);
	loop_timer_disarm(x->bound);
	if (x->late)
		fail_msg("%u reports of %u within 60 s", x->reports, reports);
	x->reports -= reports;
	x->until = 0;
}

static inline void
copy_write(struct copy *x, struct change *v, size_t n)
{
	copy_submit(x, v, n);
	copy_wait(x, (unsigned)n);
}

static inline void
assert_acked(const struct change *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].verdict != SINK_ACK)
			fail_msg("%zu: verdict %d: %s", i, v[i].verdict, v[i].why.text);
}

static inline void
assert_verdict(const struct change *c, enum sink_verdict want, const char *why)
{
	if (c->verdict != (int)want || strstr(c->why.text, why) == NULL)
		fail_msg(
		    "verdict %d, why: %s\nwant: %d, %s", c->verdict, c->why.text, (int)want, why);
}

/* ---- the file, as somebody else sees it ---- */

static inline sqlite3 *
peer_open(const struct copy *x)
{
	sqlite3 *db;

	assert_int_equal(
	    sqlite3_open_v2(x->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
	    SQLITE_OK);
	(void)sqlite3_busy_timeout(db, 10000);
	return db;
}

static inline void
peer_exec(sqlite3 *db, const char *sql)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s\nin: %s", sqlite3_errmsg(db), sql);
}

/* All rows, columns by "|", rows by ";", as the shell shows them. */
static inline char *
peer_ask(sqlite3 *db, const char *sql)
{
	struct buf out = BUF_INIT(1u << 22);
	sqlite3_stmt *st;
	char *text;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s\nin: %s", sqlite3_errmsg(db), sql);
	while (sqlite3_step(st) == SQLITE_ROW) {
		if (out.n != 0)
			buf_add_char(&out, ';');
		for (int i = 0; i < sqlite3_column_count(st); i++) {
			const char *s = (const char *)sqlite3_column_text(st, i);

			if (i != 0)
				buf_add_char(&out, '|');
			buf_add_str(&out, s != NULL ? s : "NULL");
		}
	}
	(void)sqlite3_finalize(st);
	text = mem_strdup(buf_cstr(&out));
	buf_close(&out);
	return text;
}

static inline void
assert_rows(const struct copy *x, const char *sql, const char *want)
{
	sqlite3 *db = peer_open(x);
	char *have = peer_ask(db, sql);

	if (strcmp(have, want) != 0)
		fail_msg("%s\nhave: %s\nwant: %s", sql, have, want);
	free(have);
	(void)sqlite3_close(db);
}

static inline void
run_sql(const struct copy *x, const char *sql)
{
	sqlite3 *db = peer_open(x);

	peer_exec(db, sql);
	(void)sqlite3_close(db);
}

#endif
