/* tests/unit/audit_support.h - what the tests of the file sinks share: records made by
 * hand, a host that counts verdicts, a temporary directory, files as strings.
 */
#ifndef TESTS_UNIT_AUDIT_SUPPORT_H
#define TESTS_UNIT_AUDIT_SUPPORT_H

/* clang-format off: cmocka wants these first, in this order */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "sinks/sink.h"

#define ARN "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-21T07:29:37.000"

/* ---- records ---- */

struct sample {
	struct record rec;
	struct delivery d;
	int verdict; /* -1: none yet */
	int reports;
	char seq[48];
	char keys[64], old_image[160], new_image[160], event_id[40];
};

static const struct origin sample_origin = {
    .stream = "orders", .table = "orders", .arn = ARN, .label = "l", .shard = "shardId-1"};
static const struct origin other_origin = {
    .stream = "orders", .table = "orders", .arn = ARN, .label = "l", .shard = "shardId-2"};

static inline void
sample_init(struct sample *s, unsigned n, const struct origin *o)
{
	memset(s, 0, sizeof *s);
	(void)snprintf(s->seq, sizeof s->seq, "%021u", n);
	(void)snprintf(s->event_id, sizeof s->event_id, "event-%u", n);
	(void)snprintf(s->keys, sizeof s->keys, "{\"pk\":{\"S\":\"o-%u\"}}", n % 7);
	(void)snprintf(s->old_image, sizeof s->old_image,
	    "{\"pk\":{\"S\":\"o-%u\"},\"n\":{\"N\":\"%u\"},\"same\":{\"S\":\"caf\\u00e9\"}}", n % 7,
	    n - 1);
	(void)snprintf(s->new_image, sizeof s->new_image,
	    "{\"pk\":{\"S\":\"o-%u\"},\"n\":{\"N\":\"%u\"},\"same\":{\"S\":\"caf\\u00e9\"}}", n % 7,
	    n);
	s->rec = (struct record){.raw = slice_of(s->new_image),
	    .event_id = slice_of(s->event_id),
	    .event_name = SLICE_LIT("MODIFY"),
	    .keys = slice_of(s->keys),
	    .new_image = slice_of(s->new_image),
	    .old_image = slice_of(s->old_image),
	    .view_type = SLICE_LIT("NEW_AND_OLD_IMAGES"),
	    .created_us = INT64_C(1795246177000000) + (int64_t)n * USEC_SEC,
	    .event = RECORD_MODIFY};
	assert_true(seq_parse(slice_of(s->seq), &s->rec.seq));
	s->d = (struct delivery){.rec = &s->rec, .origin = o, .key_hash = n % 7};
	s->verdict = -1;
}

static inline struct sample *
samples_new(unsigned from, unsigned count, const struct origin *o)
{
	struct sample *v = mem_array(count, sizeof *v);

	for (unsigned i = 0; i < count; i++)
		sample_init(&v[i], from + i, o);
	return v;
}

/* ---- the host ---- */

struct host {
	struct loop *loop;
	struct loop_timer *bound;
	unsigned reports, verdicts[4], readies;
	unsigned until; /* reports to stop the loop at; 0: do not */
	bool until_ready, late;
	struct err why; /* of the last verdict that was no ACK */
	void (*on_ack)(struct sample *s);
};

static inline void
host_report(void *ctx, struct delivery *d, enum sink_verdict v, const struct err *why)
{
	struct sample *s = CONTAINER_OF(d, struct sample, d);
	struct host *h = ctx;

	assert_int_equal(s->reports, 0);
	s->reports++;
	s->verdict = (int)v;
	h->verdicts[v]++;
	if (v != SINK_ACK) {
		assert_non_null(why);
		h->why = *why;
	} else if (h->on_ack != NULL) {
		h->on_ack(s);
	}
	if (++h->reports == h->until)
		loop_stop(h->loop);
}

static inline void
host_ready(void *ctx)
{
	struct host *h = ctx;

	h->readies++;
	if (h->until_ready)
		loop_stop(h->loop);
}

static inline void
host_late(void *ctx)
{
	struct host *h = ctx;

	h->late = true;
	loop_stop(h->loop);
}

static inline void
host_open(struct host *h)
{
	struct err e;

	memset(h, 0, sizeof *h);
	assert_int_equal(loop_new(&h->loop, 1, &e), 0);
	h->bound = loop_timer_new(h->loop, host_late, h);
}

static inline void
host_close(struct host *h)
{
	loop_timer_close(h->bound);
	loop_close(h->loop);
}

static inline struct sink_env
host_env(struct host *h)
{
	return (struct sink_env){.loop = h->loop,
	    .name = "trail",
	    .host = h,
	    .report = host_report,
	    .ready = host_ready};
}

static inline void
host_run_for(struct host *h, int64_t us)
{
	struct err e;

	h->late = false;
	loop_timer_arm(h->bound, us);
	assert_int_equal(loop_run(h->loop, &e), 0);
	loop_timer_disarm(h->bound);
}

/* Until so many reports came in all, or fail. */
static inline void
host_wait(struct host *h, unsigned reports)
{
	h->until = reports;
	while (h->reports < reports) {
		host_run_for(h, 20 * USEC_SEC);
		if (h->late)
			fail_msg("%u reports of %u within 20 s", h->reports, reports);
	}
	h->until = 0;
}

static inline enum sink_admit
host_submit(const struct sink_ops *ops, struct sink *s, struct sample *v, unsigned count)
{
	struct delivery **batch = mem_array(count, sizeof(struct delivery *));
	enum sink_admit a;

	for (unsigned i = 0; i < count; i++) {
		v[i].reports = 0;
		v[i].verdict = -1;
		batch[i] = &v[i].d;
	}
	a = ops->submit(s, batch, count);
	free(batch);
	return a;
}

/* ---- files ---- */

static inline char *
dir_new(void)
{
	char *path = mem_strdup("/tmp/slipring-audit-XXXXXX");

	assert_non_null(mkdtemp(path));
	return path;
}

static inline void
dir_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *de;

	assert_non_null(d);
	while ((de = readdir(d)) != NULL)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			(void)unlinkat(dirfd(d), de->d_name, 0);
	(void)closedir(d);
}

static inline void
dir_close(char *path)
{
	dir_empty(path);
	(void)rmdir(path);
	free(path);
}

static inline char *
path_in(const char *dir, const char *name)
{
	char path[512];

	(void)snprintf(path, sizeof path, "%s/%s", dir, name);
	return mem_strdup(path);
}

static inline int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted names that begin with prefix; NULL ends them. */
static inline char **
dir_names(const char *dir, const char *prefix, size_t *n)
{
	DIR *d = opendir(dir);
	char **v = mem_array(4096, sizeof(char *));
	struct dirent *de;

	*n = 0;
	assert_non_null(d);
	while ((de = readdir(d)) != NULL)
		if (strncmp(de->d_name, prefix, strlen(prefix)) == 0) {
			assert_true(*n < 4095);
			v[(*n)++] = mem_strdup(de->d_name);
		}
	(void)closedir(d);
	qsort(v, *n, sizeof(char *), by_text);
	return v;
}

static inline void
names_close(char **v)
{
	for (size_t i = 0; v[i] != NULL; i++)
		free(v[i]);
	free(v);
}

static inline struct buf
file_read(const char *path)
{
	struct buf b = BUF_INIT(64u << 20);
	FILE *f = fopen(path, "rb");
	char part[65536];
	size_t n;

	assert_non_null(f);
	while ((n = fread(part, 1, sizeof part, f)) > 0)
		buf_add(&b, part, n);
	(void)fclose(f);
	return b;
}

static inline void
file_write(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static inline void
no_log(void *ctx, enum log_level level, const char *line)
{
	(void)ctx;
	(void)level;
	(void)line;
}

#endif
