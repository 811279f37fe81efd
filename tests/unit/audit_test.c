/* The audit sink: what a line holds, when a record counts as written, and what
 * happens when the process, the disk or the operator fails it.
 *
 * pwrite() and fdatasync() are replaced below, so that a full or failing disk can
 * be had at will; a real full file system is tried as well.
 */
#include "tests/unit/audit_support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <zlib.h>

#include "base/random.h"
#include "sinks/audit_resume.h"
#include "sinks/audit_verify.h"
#include "sinks/audit_writer.h"

#define DAY (INT64_C(24) * 3600 * USEC_SEC)
#define NOW (INT64_C(1795246177) * USEC_SEC)

/* ---- the disk ---- */

static struct disk {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int64_t room;	    /* bytes that still fit; -1: any */
	unsigned fail_sync; /* so many of the next fdatasync fail with EIO */
	bool hold;	    /* fdatasync waits */
	unsigned held, syncs;
	unsigned die_in; /* in so many pwrites the process dies within one; 0: never */
	unsigned die_at; /* after so many of its bytes */
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .room = -1};

static void
disk_set(int64_t room, unsigned fail_sync, bool hold)
{
	pthread_mutex_lock(&disk.lock);
	disk.room = room;
	disk.fail_sync = fail_sync;
	disk.hold = hold;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.lock);
}

static unsigned
disk_syncs(void)
{
	unsigned n;

	pthread_mutex_lock(&disk.lock);
	n = disk.syncs;
	pthread_mutex_unlock(&disk.lock);
	return n;
}

/* Until the storage thread stands in fdatasync. */
static void
disk_wait_held(void)
{
	struct timespec until;

	/* banned-ok: clock_gettime: pthread_cond_timedwait() wants it so */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&disk.lock);
	while (disk.held == 0)
		assert_int_equal(pthread_cond_timedwait(&disk.changed, &disk.lock, &until), 0);
	pthread_mutex_unlock(&disk.lock);
}

int
fdatasync(int fd)
{
	bool fails;

	pthread_mutex_lock(&disk.lock);
	disk.held++;
	pthread_cond_broadcast(&disk.changed);
	while (disk.hold)
		pthread_cond_wait(&disk.changed, &disk.lock);
	disk.held--;
	disk.syncs++;
	fails = disk.fail_sync > 0;
	if (fails)
		disk.fail_sync--;
	pthread_mutex_unlock(&disk.lock);
	if (fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t ofs)
{
	bool full, dies;

	pthread_mutex_lock(&disk.lock);
	dies = disk.die_in > 0 && --disk.die_in == 0;
	if (dies && n > disk.die_at)
		n = disk.die_at;
	full = disk.room == 0;
	if (disk.room > 0) {
		if (n > (size_t)disk.room)
			n = (size_t)disk.room;
		disk.room -= (int64_t)n;
	}
	pthread_mutex_unlock(&disk.lock);
	if (full) {
		errno = ENOSPC;
		return -1;
	}
	if (dies) {
		(void)syscall(SYS_pwrite64, fd, p, n, ofs);
		(void)kill(getpid(), SIGKILL);
	}
	return syscall(SYS_pwrite64, fd, p, n, ofs);
}

/* ---- a sink in a directory of its own ---- */

struct fixture {
	struct host host;
	struct audit_conf conf;
	struct sink *sink;
};

static void
sink_start(struct fixture *x)
{
	struct sink_env env;
	struct err e;

	host_open(&x->host);
	env = host_env(&x->host);
	if (sink_audit.open(&x->sink, &env, &x->conf, &e) != 0)
		fail_msg("open: %s", e.text);
}

static void
sink_stop(struct fixture *x)
{
	sink_audit.close(x->sink);
	host_close(&x->host);
	x->sink = NULL;
}

static void
fixture_open(struct fixture *x)
{
	*x = (struct fixture){
	    .conf = {.directory = dir_new(), .rotate_size = 1 << 28, .rotate_age_us = DAY}};
	sink_start(x);
}

static void
fixture_close(struct fixture *x)
{
	if (x->sink != NULL)
		sink_stop(x);
	dir_close(x->conf.directory);
}

static void
write_all(struct fixture *x, struct sample *v, unsigned n)
{
	unsigned before = x->host.reports;

	assert_int_equal(host_submit(&sink_audit, x->sink, v, n), SINK_TAKEN);
	host_wait(&x->host, before + n);
}

static void
expect_all(const struct sample *v, unsigned n, enum sink_verdict verdict)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(v[i].reports, 1);
		assert_int_equal(v[i].verdict, (int)verdict);
	}
}

static struct audit_report
verified(const char *dir)
{
	struct audit_report r;
	struct err e;

	if (audit_verify(&dir, 1, &r, &e) != 0)
		fail_msg("does not verify: %s", e.text);
	return r;
}

/* All files of the trail, compressed or not, one after the other. */
static struct buf
trail_text(const char *dir)
{
	struct buf all = BUF_INIT(256u << 20);
	size_t count;
	char **names = dir_names(dir, "audit-0", &count);

	for (size_t i = 0; i < count; i++) {
		char *path = path_in(dir, names[i]);
		gzFile f = gzopen(path, "rb");
		int n;

		assert_non_null(f);
		while (buf_reserve(&all, 65536) && (n = gzread(f, all.p + all.n, 65536)) > 0)
			all.n += (size_t)n;
		assert_int_equal(gzclose(f), Z_OK);
		free(path);
	}
	names_close(names);
	(void)buf_cstr(&all);
	return all;
}

static unsigned
occurrences(const struct buf *text, const char *what)
{
	unsigned n = 0;

	for (const char *p = text->p; (p = strstr(p, what)) != NULL; p++)
		n++;
	return n;
}

static unsigned
times_recorded(const struct buf *text, const struct sample *s)
{
	char what[96];

	(void)snprintf(
	    what, sizeof what, "\"shard\":\"%s\",\"sequence\":\"%s\"", s->d.origin->shard, s->seq);
	return occurrences(text, what);
}

/* ---- the line ---- */

/* Byte for byte, images with odd escapes and spaces included. */
static void
line_holds_what_came(void **state)
{
	static const char want[] =
	    "{\"entry\":7,\"stream\":\"" ARN "\",\"table\":\"orders\",\"shard\":\"shardId-1\","
	    "\"sequence\":\"000000000000000000042\",\"eventID\":\"e\\u0031\",\"eventName\":"
	    "\"MODIFY\","
	    "\"time\":\"2026-11-21T07:29:37Z\",\"keys\":{ \"pk\" : {\"S\":\"\\u00e9\\/\"}},"
	    "\"old\":{\"n\":{\"N\":\"1.0\"},\"gone\":{\"S\":\"x\"}},"
	    "\"new\":{\"n\":{\"N\":\"2\"},  \"b\":{\"B\":\"AA==\"}},"
	    "\"userIdentity\":{\"Type\":\"Service\",\"PrincipalId\":\"dynamodb.amazonaws.com\"},"
	    "\"changed\":[{\"path\":\"n\",\"old\":{\"N\":\"1.0\"},\"new\":{\"N\":\"2\"}},"
	    "{\"path\":\"gone\",\"old\":{\"S\":\"x\"}},{\"path\":\"b\",\"new\":{\"B\":\"AA==\"}}]";
	struct record r = {
	    .event_id = SLICE_LIT("e\\u0031"),
	    .event_name = SLICE_LIT("MODIFY"),
	    .keys = SLICE_LIT("{ \"pk\" : {\"S\":\"\\u00e9\\/\"}}"),
	    .old_image = SLICE_LIT("{\"n\":{\"N\":\"1.0\"},\"gone\":{\"S\":\"x\"}}"),
	    /* A line break between tokens is all that is ever changed. */
	    .new_image = SLICE_LIT("{\"n\":{\"N\":\"2\"},\r\n\"b\":{\"B\":\"AA==\"}}"),
	    .user_identity =
		SLICE_LIT("{\"Type\":\"Service\",\"PrincipalId\":\"dynamodb.amazonaws.com\"}"),
	    .view_type = SLICE_LIT("NEW_AND_OLD_IMAGES"),
	    .created_us = NOW,
	};
	struct buf out = BUF_INIT(1u << 16);

	(void)state;
	assert_true(seq_parse(SLICE_LIT("000000000000000000042"), &r.seq));
	audit_write_entry(&out, 7, &r, &sample_origin);
	assert_string_equal(buf_cstr(&out), want);
	/* What is absent is left out; of one image alone nothing is said to have changed. */
	buf_reset(&out);
	r.old_image = r.user_identity = r.event_id = SLICE_NONE;
	r.view_type = SLICE_LIT("NEW_IMAGE");
	r.flags = RECORD_NO_TIME;
	audit_write_entry(&out, 8, &r, &sample_origin);
	assert_null(strstr(buf_cstr(&out), "\"old\""));
	assert_null(strstr(buf_cstr(&out), "\"changed\""));
	assert_null(strstr(buf_cstr(&out), "\"userIdentity\""));
	assert_null(strstr(buf_cstr(&out), "\"eventID\""));
	assert_null(strstr(buf_cstr(&out), "\"time\""));
	buf_close(&out);
}

/* The recipe of docs/audit.md, with libcrypto in the place of sha256sum. */
static void
line_seals_as_documented(void **state)
{
	char head[65] = "1111111111111111111111111111111111111111111111111111111111111111";
	static const char sealed[] =
	    "{\"entry\":1,\"x\":1,\"prev\":"
	    "\"1111111111111111111111111111111111111111111111111111111111111111\"";
	struct buf out = BUF_INIT(4096);
	unsigned char digest[32];
	char hex[65];
	struct audit_hash h;
	struct audit_line l;
	struct err e;

	(void)state;
	assert_int_equal(audit_hash_open(&h, &e), 0);
	buf_add_str(&out, "{\"entry\":1,\"x\":1");
	assert_int_equal(audit_seal(&h, &out, 0, head, &e), 0);
	assert_int_equal(
	    EVP_Digest(sealed, sizeof sealed - 1, digest, NULL, EVP_sha256(), NULL), 1);
	for (size_t i = 0; i < 32; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	assert_string_equal(head, hex);
	assert_int_equal(out.p[out.n - 1], '\n');
	assert_true(audit_line_parse((struct slice){out.p, out.n - 1}, &l));
	assert_memory_equal(l.hash.p, hex, 64);
	assert_int_equal(l.number, 1);
	audit_hash_close(&h);
	buf_close(&out);
}

/* ---- acks ---- */

static void
writes_and_verifies(void **state)
{
	struct sample *v = samples_new(1, 1000, &sample_origin);
	struct audit_report r;
	struct fixture x;
	struct buf text;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 1000);
	expect_all(v, 1000, SINK_ACK);
	r = verified(x.conf.directory);
	assert_int_equal(r.entries, 1000);
	text = trail_text(x.conf.directory);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(times_recorded(&text, &v[i]), 1);
	buf_close(&text);
	free(v);
	fixture_close(&x);
}

static void
no_ack_before_fdatasync(void **state)
{
	struct sample *v = samples_new(1, 200, &sample_origin);
	struct fixture x;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 10);
	disk_set(-1, 0, true);
	assert_int_equal(host_submit(&sink_audit, x.sink, v + 10, 90), SINK_TAKEN);
	disk_wait_held();
	/* A later batch queues meanwhile, and neither is acked. */
	assert_int_equal(host_submit(&sink_audit, x.sink, v + 100, 100), SINK_TAKEN);
	host_run_for(&x.host, 50 * USEC_MS);
	assert_int_equal(x.host.reports, 10);
	disk_set(-1, 0, false);
	host_wait(&x.host, 200);
	expect_all(v, 200, SINK_ACK);
	free(v);
	fixture_close(&x);
}

/* Many batches, few syncs: what queues while one is synced shares the next. */
static void
groups_share_a_sync(void **state)
{
	struct sample *v = samples_new(1, 100, &sample_origin);
	struct fixture x;
	unsigned before;

	(void)state;
	fixture_open(&x);
	disk_set(-1, 0, true);
	assert_int_equal(host_submit(&sink_audit, x.sink, v, 1), SINK_TAKEN);
	disk_wait_held();
	before = disk_syncs();
	for (unsigned i = 1; i < 100; i++)
		assert_int_equal(host_submit(&sink_audit, x.sink, v + i, 1), SINK_TAKEN);
	disk_set(-1, 0, false);
	host_wait(&x.host, 100);
	assert_int_equal(disk_syncs() - before, 2);
	free(v);
	fixture_close(&x);
}

static void
full_queue_says_so(void **state)
{
	struct sample *v = samples_new(1, 40000, &sample_origin);
	struct fixture x;
	unsigned at = 0;

	(void)state;
	fixture_open(&x);
	disk_set(-1, 0, true);
	while (at < 40000 && host_submit(&sink_audit, x.sink, v + at, 500) == SINK_TAKEN)
		at += 500;
	assert_in_range(at, 1000, 20000);
	assert_int_equal(x.host.readies, 0);
	disk_set(-1, 0, false);
	host_wait(&x.host, at);
	assert_int_equal(x.host.readies, 1);
	write_all(&x, v + at, 500);
	expect_all(v, at + 500, SINK_ACK);
	free(v);
	fixture_close(&x);
}

static void
close_gives_back_what_is_unfinished(void **state)
{
	struct sample *v = samples_new(1, 20, &sample_origin);
	struct fixture x;
	unsigned acked = 0;
	struct buf text;

	(void)state;
	fixture_open(&x);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(host_submit(&sink_audit, x.sink, v + i, 1), SINK_TAKEN);
	sink_stop(&x);
	assert_int_equal(x.host.reports, 20);
	text = trail_text(x.conf.directory);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(v[i].reports, 1);
		if (v[i].verdict == SINK_ACK)
			acked++;
		else
			assert_int_equal(v[i].verdict, SINK_RETRY);
		assert_int_equal(times_recorded(&text, &v[i]), v[i].verdict == SINK_ACK);
	}
	assert_int_equal(verified(x.conf.directory).entries, acked);
	buf_close(&text);
	free(v);
	fixture_close(&x);
}

static void
rejects_what_is_no_line(void **state)
{
	struct sample *v = samples_new(1, 3, &sample_origin);
	size_t n = (size_t)AUDIT_LINE_MAX + 1;
	struct fixture x;
	char *giant = calloc(1, n); /* never touched: too long to be copied */

	(void)state;
	assert_non_null(giant);
	fixture_open(&x);
	v[1].rec.keys = v[1].rec.raw = (struct slice){giant, n};
	write_all(&x, v, 3);
	assert_int_equal(v[0].verdict, SINK_ACK);
	assert_int_equal(v[1].verdict, SINK_REJECT);
	assert_non_null(strstr(x.host.why.text, "would pass"));
	assert_int_equal(v[2].verdict, SINK_ACK);
	assert_int_equal(verified(x.conf.directory).entries, 2);
	free(giant);
	free(v);
	fixture_close(&x);
}

/* ---- rotation and resume ---- */

static void
chain_runs_over_files(void **state)
{
	struct sample *v = samples_new(1, 500, &sample_origin);
	struct audit_report r;
	struct fixture x;

	(void)state;
	fixture_open(&x);
	sink_stop(&x);
	x.conf.rotate_size = 8192;
	sink_start(&x);
	write_all(&x, v, 500);
	sink_stop(&x);
	r = verified(x.conf.directory);
	assert_int_equal(r.entries, 500);
	assert_in_range(r.files, 20, 500);
	free(v);
	fixture_close(&x);
}

static void
replays_are_not_written_again(void **state)
{
	struct sample *v = samples_new(1, 300, &sample_origin);
	struct sample *o = samples_new(1, 50, &other_origin);
	struct fixture x;
	struct buf text;

	(void)state;
	fixture_open(&x);
	sink_stop(&x);
	x.conf.rotate_size = 20000;
	sink_start(&x);
	write_all(&x, v, 200);
	write_all(&x, v + 150, 50); /* within a run */
	sink_stop(&x);
	sink_start(&x);
	write_all(&x, v, 300); /* after a start: 1..200 again, then new ones */
	write_all(&x, o, 50);  /* same numbers, another shard */
	sink_stop(&x);
	sink_start(&x); /* marks of files before the newest come from its header */
	write_all(&x, o, 50);
	write_all(&x, v, 300);
	expect_all(v, 300, SINK_ACK);
	text = trail_text(x.conf.directory);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(times_recorded(&text, &v[i]), 1);
	assert_int_equal(verified(x.conf.directory).entries, 350);
	buf_close(&text);
	free(v);
	free(o);
	fixture_close(&x);
}

/* Out of order within a run is written, not taken for a replay. */
static void
overtaken_record_is_written(void **state)
{
	struct sample *v = samples_new(1, 10, &sample_origin);
	struct fixture x;

	(void)state;
	fixture_open(&x);
	write_all(&x, v + 5, 5);
	write_all(&x, v, 5);
	assert_int_equal(verified(x.conf.directory).entries, 10);
	free(v);
	fixture_close(&x);
}

static void
append_to_newest(const char *dir, const char *p, size_t n)
{
	size_t count;
	char **names = dir_names(dir, "audit-0", &count);
	char *path = path_in(dir, names[count - 1]);
	int fd = open(path, O_WRONLY | O_APPEND);

	assert_int_equal(write(fd, p, n), (ssize_t)n);
	(void)close(fd);
	free(path);
	names_close(names);
}

static void
torn_tail_is_cut_and_kept(void **state)
{
	static const char torn[] = "{\"entry\":21,\"stream\":\"arn:a";
	struct sample *v = samples_new(1, 40, &sample_origin);
	struct fixture x;
	struct buf text;
	char **names, *path;
	size_t n;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 20);
	sink_stop(&x);
	append_to_newest(x.conf.directory, torn, sizeof torn - 1);
	assert_true(verified(x.conf.directory).torn_tail);
	sink_start(&x);
	write_all(&x, v + 20, 20);
	sink_stop(&x);
	assert_false(verified(x.conf.directory).torn_tail);
	assert_int_equal(verified(x.conf.directory).entries, 40);
	names = dir_names(x.conf.directory, "torn-", &n);
	assert_int_equal(n, 1);
	path = path_in(x.conf.directory, names[0]);
	text = file_read(path);
	assert_true(slice_is(buf_slice(&text), torn));
	buf_close(&text);
	text = trail_text(x.conf.directory);
	assert_non_null(strstr(text.p, "{\"note\":\"cut\",\"bytes\":27,\"saved\":\"torn-"));
	buf_close(&text);
	names_close(names);
	free(path);
	free(v);
	fixture_close(&x);
}

static void
expect_open_fails(struct fixture *x, enum err_code code, const char *what)
{
	struct sink_env env;
	struct sink *s;
	struct host h;
	struct err e;

	host_open(&h);
	env = host_env(&h);
	assert_int_equal(sink_audit.open(&s, &env, &x->conf, &e), -1);
	assert_null(s);
	if (e.code != code || strstr(e.text, what) == NULL)
		fail_msg("code %d \"%s\" lacks \"%s\"", (int)e.code, e.text, what);
	host_close(&h);
}

static void
does_not_start_on_a_tampered_trail(void **state)
{
	struct sample *v = samples_new(1, 20, &sample_origin);
	char place[512], **names, *path, *at;
	struct fixture x;
	struct buf b;
	struct err e;
	size_t n;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 20);
	sink_stop(&x);
	names = dir_names(x.conf.directory, "audit-0", &n);
	path = path_in(x.conf.directory, names[0]);
	b = file_read(path);
	(void)buf_cstr(&b);
	at = strstr(b.p, "\"entry\":12,");
	assert_non_null(at);
	at = strstr(at, "MODIFY");
	assert_non_null(at);
	at[0] = 'N';
	file_write(path, b.p, b.n);
	(void)snprintf(place, sizeof place, "%s: line 13: was changed", path);
	expect_open_fails(&x, ERR_CORRUPT, place);
	assert_int_equal(sink_audit.probe(&x.conf, NULL, &e), -1);
	assert_non_null(strstr(e.text, place));
	buf_close(&b);
	b = file_read(path); /* and left it as it was */
	assert_null(memmem(b.p, b.n, "note", 4));
	buf_close(&b);
	names_close(names);
	free(path);
	free(v);
	fixture_close(&x);
}

/* ---- kill -9 ---- */

static int ack_pipe;

static void
tell_parent(struct sample *s)
{
	unsigned n = (unsigned)strtoul(s->seq, NULL, 10);

	if (write(ack_pipe, &n, sizeof n) != sizeof n)
		_exit(3);
}

/* Writes from `from` on until it is killed, in batches, several in flight. */
static void NORETURN
victim(struct audit_conf *conf, unsigned from)
{
	struct sample *v = samples_new(from, 20000, &sample_origin);
	struct fixture x = {.conf = *conf};
	unsigned at = 0;

	sink_start(&x);
	x.host.on_ack = tell_parent;
	while (at + 40 <= 20000) {
		for (int i = 0; i < 4; i++, at += 10)
			if (host_submit(&sink_audit, x.sink, v + at, 10) != SINK_TAKEN)
				_exit(4);
		host_wait(&x.host, at - 20);
	}
	_exit(5);
}

/* The last number that the victim saw acked before it died: at an instant, or
 * (die_at > 0) within a write. */
static unsigned
run_victim(struct audit_conf *conf, unsigned from, useconds_t us, unsigned die_at)
{
	unsigned n, last = 0, count = 0;
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(fds[0]);
		ack_pipe = fds[1];
		if (die_at > 0) {
			disk.die_in = 8;
			disk.die_at = die_at;
		}
		victim(conf, from);
	}
	(void)close(fds[1]);
	/* After the first acks, at a random instant. */
	while (read(fds[0], &n, sizeof n) == sizeof n) {
		assert_true(n > last);
		last = n;
		if (++count == 30 && die_at == 0) {
			/* banned-ok: usleep: the random instant, not a wait for something */
			(void)usleep(us);
			assert_int_equal(kill(pid, SIGKILL), 0);
		}
	}
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return last;
}

static void
survives_kill_9(void **state)
{
	struct audit_conf conf = {
	    .directory = dir_new(), .rotate_size = 100000, .rotate_age_us = DAY, .compress = true};
	unsigned acked = 0, torn = 0;
	struct fixture x = {.conf = conf};
	struct audit_report r;
	struct rng rng;
	struct buf text;
	struct err e;
	size_t n;

	(void)state;
	rng_seed(&rng, 9);
	for (unsigned round = 0; round < 16; round++) {
		/* Positions are saved after acks: some of what is acked comes again. */
		unsigned from = acked > 40 ? acked - (unsigned)rng_below(&rng, 40) : 1;
		unsigned last = run_victim(&conf, from, (useconds_t)rng_below(&rng, 20000),
		    round % 2 != 0 ? 1 + (unsigned)rng_below(&rng, 3000) : 0);
		const char *dir = conf.directory;

		assert_true(last > acked);
		acked = last;
		if (audit_verify(&dir, 1, &r, &e) != 0)
			fail_msg("round %u: %s", round, e.text);
		assert_true(r.last_entry >= acked);
		torn += r.torn_tail;
	}
	conf.compress = x.conf.compress = false;
	sink_start(&x);
	sink_stop(&x);
	r = verified(conf.directory);
	/* Numbers were given in order, so each is there once if entry n is number n. */
	assert_true(r.entries >= acked);
	assert_int_equal(r.first_entry, 1);
	text = trail_text(conf.directory);
	for (const char *p = text.p; (p = strstr(p, "{\"entry\":")) != NULL;) {
		unsigned entry = (unsigned)strtoul(p + 9, NULL, 10);

		p = strstr(p, "\"sequence\":\"");
		assert_non_null(p);
		assert_int_equal(strtoul(p + 12, NULL, 10), entry);
	}
	buf_close(&text);
	names_close(dir_names(conf.directory, "audit-0", &n));
	assert_in_range(torn, 1, 16);
	print_message("  %u entries acked, %zu files, %u torn tails in 16 kills\n", acked, n, torn);
	dir_close(conf.directory);
}

/* ---- a full disk ---- */

static char logged[4096];

static void
keep_log(void *ctx, enum log_level level, const char *line)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	size_t n;

	(void)ctx;
	(void)level;
	pthread_mutex_lock(&lock);
	n = strlen(logged);
	(void)snprintf(logged + n, sizeof logged - n, "%s\n", line);
	pthread_mutex_unlock(&lock);
}

static void
full_disk(struct fixture *x, struct sample *v)
{
	write_all(x, v, 100);
	expect_all(v, 100, SINK_ACK);
	disk_set(1500, 0, false); /* some of it fits, mid-line */
	write_all(x, v + 100, 100);
	expect_all(v + 100, 100, SINK_RETRY);
	assert_int_equal(x->host.why.code, ERR_NOSPACE);
	assert_true(x->host.why.retriable);
	/* The partial line is gone already. */
	assert_false(verified(x->conf.directory).torn_tail);
	assert_int_equal(verified(x->conf.directory).entries, 100);
	write_all(x, v + 100, 100);
	expect_all(v + 100, 100, SINK_RETRY);
	disk_set(-1, 0, false);
	write_all(x, v + 100, 100);
	expect_all(v + 100, 100, SINK_ACK);
	assert_int_equal(verified(x->conf.directory).entries, 200);
}

static void
full_disk_is_retry(void **state)
{
	struct sample *v = samples_new(1, 200, &sample_origin);
	struct fixture x;
	struct buf text;

	(void)state;
	fixture_open(&x);
	logged[0] = '\0';
	log_set_sink(keep_log, NULL);
	full_disk(&x, v);
	log_set_sink(no_log, NULL);
	assert_non_null(strstr(logged, "No space left on device"));
	assert_non_null(strstr(logged, x.conf.directory));
	assert_non_null(strstr(logged, "records again"));
	text = trail_text(x.conf.directory);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(times_recorded(&text, &v[i]), 1);
	buf_close(&text);
	free(v);
	fixture_close(&x);
}

static void
starts_on_a_full_disk(void **state)
{
	struct sample *v = samples_new(1, 10, &sample_origin);
	struct fixture x = {
	    .conf = {.directory = dir_new(), .rotate_size = 1 << 28, .rotate_age_us = DAY}};

	(void)state;
	disk_set(0, 0, false);
	sink_start(&x);
	write_all(&x, v, 10);
	expect_all(v, 10, SINK_RETRY);
	assert_int_equal(x.host.why.code, ERR_NOSPACE);
	disk_set(-1, 0, false);
	write_all(&x, v, 10);
	expect_all(v, 10, SINK_ACK);
	assert_int_equal(verified(x.conf.directory).entries, 10);
	free(v);
	fixture_close(&x);
}

static void
write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		(void)close(fd);
	}
}

/* A file system of 1 MB of our own: as root, or in a user namespace. */
static bool
mount_small(const char *dir)
{
	char map[64];

	if (geteuid() != 0) {
		unsigned uid = geteuid(), gid = getegid();

		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
			return false;
		write_text("/proc/self/setgroups", "deny");
		(void)snprintf(map, sizeof map, "0 %u 1", uid);
		write_text("/proc/self/uid_map", map);
		(void)snprintf(map, sizeof map, "0 %u 1", gid);
		write_text("/proc/self/gid_map", map);
	} else if (unshare(CLONE_NEWNS) != 0) {
		return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("none", dir, "tmpfs", 0, "size=1m") == 0;
}

/* In a child, whose mount goes with it. Exit 0: seen; 9: no mount to be had. */
static void NORETURN
fill_small(char *dir)
{
	struct fixture x = {
	    .conf = {
		.directory = path_in(dir, "trail"), .rotate_size = 100000, .rotate_age_us = DAY}};
	struct sample *v = samples_new(1, 4000, &sample_origin);
	char *ballast = path_in(dir, "ballast");
	char block[4096] = {1};
	unsigned at = 0, refused = 0;
	int fd;

	if (!mount_small(dir))
		_exit(9);
	fd = open(ballast, O_WRONLY | O_CREAT, 0600);
	for (int i = 0; i < 100; i++)
		if (write(fd, block, sizeof block) != sizeof block)
			_exit(10);
	(void)close(fd);
	sink_start(&x);
	for (; refused == 0 && at + 100 <= 4000; at += 100) {
		write_all(&x, v + at, 100);
		refused = x.host.verdicts[SINK_RETRY];
	}
	if (refused == 0 || x.host.why.code != ERR_NOSPACE)
		_exit(11);
	/* Every ack is there, and the trail is whole, on the full disk. */
	if (verified(x.conf.directory).entries != x.host.verdicts[SINK_ACK])
		_exit(12);
	if (unlink(ballast) != 0)
		_exit(13);
	at -= 100;
	write_all(&x, v + at, 100);
	sink_stop(&x);
	_exit(verified(x.conf.directory).entries == at + 100 ? 0 : 14);
}

static void
real_full_disk(void **state)
{
	char *dir = dir_new();
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		fill_small(dir);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 9)
		print_message("  NO SMALL FILE SYSTEM HERE (neither root nor user namespaces): "
			      "only the replaced pwrite() was tried\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	dir_close(dir);
}

/* ---- a failing disk ---- */

static void
failed_sync_is_never_an_ack(void **state)
{
	struct sample *v = samples_new(1, 300, &sample_origin);
	struct fixture x;
	struct buf text;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 100);
	/* The first batch meets the error; the one queued behind it must not pass. */
	disk_set(-1, 1, true);
	assert_int_equal(host_submit(&sink_audit, x.sink, v + 100, 100), SINK_TAKEN);
	disk_wait_held();
	assert_int_equal(host_submit(&sink_audit, x.sink, v + 200, 100), SINK_TAKEN);
	disk_set(-1, 1, false);
	host_wait(&x.host, 300);
	expect_all(v, 100, SINK_ACK);
	expect_all(v + 100, 200, SINK_RETRY);
	assert_int_equal(x.host.why.code, ERR_IO);
	/* The cut is synced before anything else: that failing keeps it closed. */
	disk_set(-1, 1, false);
	write_all(&x, v + 100, 100);
	expect_all(v + 100, 100, SINK_RETRY);
	write_all(&x, v + 100, 200);
	expect_all(v + 100, 200, SINK_ACK);
	text = trail_text(x.conf.directory);
	for (unsigned i = 0; i < 300; i++)
		assert_int_equal(times_recorded(&text, &v[i]), 1);
	assert_int_equal(verified(x.conf.directory).entries, 300);
	buf_close(&text);
	free(v);
	fixture_close(&x);
}

/* The disk fails, and what was acked is not there when it is looked at again. */
static void
lost_entries_halt(void **state)
{
	struct sample *v = samples_new(1, 30, &sample_origin);
	struct fixture x;
	char **names, *path;
	struct stat st;
	size_t n;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 10);
	disk_set(-1, 1, false);
	write_all(&x, v + 10, 10);
	expect_all(v + 10, 10, SINK_RETRY);
	names = dir_names(x.conf.directory, "audit-0", &n);
	path = path_in(x.conf.directory, names[0]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2), 0);
	write_all(&x, v + 10, 10);
	expect_all(v + 10, 10, SINK_HALT);
	assert_int_equal(x.host.why.code, ERR_CORRUPT);
	write_all(&x, v + 10, 20);
	expect_all(v + 10, 20, SINK_HALT);
	names_close(names);
	free(path);
	free(v);
	fixture_close(&x);
}

/* ---- files that go ---- */

static void
closed_files_are_compressed(void **state)
{
	struct sample *v = samples_new(1, 2000, &sample_origin);
	struct fixture x;
	char **names;
	size_t n, gz = 0;

	(void)state;
	fixture_open(&x);
	sink_stop(&x);
	x.conf.rotate_size = 200000;
	x.conf.compress = true;
	sink_start(&x);
	write_all(&x, v, 2000);
	/* Compression goes on when there is nothing to write. */
	for (int tries = 0; tries < 1000; tries++) {
		names = dir_names(x.conf.directory, "audit-0", &n);
		gz = 0;
		for (size_t i = 0; i < n; i++)
			gz += strstr(names[i], ".ndjson.gz") != NULL;
		names_close(names);
		if (n > 3 && gz == n - 1)
			break;
		host_run_for(&x.host, 10 * USEC_MS);
	}
	assert_int_equal(gz, n - 1);
	sink_stop(&x);
	assert_int_equal(verified(x.conf.directory).entries, 2000);
	/* And is taken up again: the newest is plain, its header has all marks. */
	sink_start(&x);
	write_all(&x, v, 2000);
	sink_stop(&x);
	assert_int_equal(verified(x.conf.directory).entries, 2000);
	free(v);
	fixture_close(&x);
}

static void
retention_and_age(void **state)
{
	struct audit_conf c = {.directory = dir_new(),
	    .rotate_size = 1 << 28,
	    .rotate_age_us = DAY,
	    .retention_us = 3 * DAY,
	    .compress = true};
	struct sample *v = samples_new(1, 100, &sample_origin);
	struct audit_report r;
	struct audit_file f;
	struct err e;

	(void)state;
	assert_int_equal(audit_file_open(&f, &c, "trail", NOW, &e), 0);
	assert_false(audit_file_is_full(&f, NOW + 9 * DAY)); /* empty: nothing to close */
	for (unsigned i = 0; i < 100; i++) {
		int64_t now = NOW + (int64_t)i * DAY / 10;

		if (audit_file_is_full(&f, now))
			assert_int_equal(audit_file_rotate(&f, now, &e), 0);
		assert_int_equal(audit_file_add(&f, &v[i].rec, &sample_origin, now), AUDIT_ADDED);
		assert_int_equal(audit_file_commit(&f, &e), 0);
		assert_int_equal(audit_file_prune(&f, now, &e), 0);
		while (audit_file_compress(&f, 1u << 20))
			;
	}
	audit_file_close(&f);
	r = verified(c.directory);
	assert_true(r.pruned);
	assert_int_equal(r.last_entry, 100);
	assert_int_equal(r.files, 4); /* today's, and what was closed less than three days ago */
	assert_int_equal(r.first_entry, 61);
	free(v);
	dir_close(c.directory);
}

static void
old_marks_are_let_go(void **state)
{
	struct audit_conf c = {
	    .directory = dir_new(), .rotate_size = 1 << 28, .rotate_age_us = DAY};
	struct sample a, b;
	struct audit_file f;
	struct buf text;
	struct err e;
	const char *header;

	(void)state;
	sample_init(&a, 1, &sample_origin);
	sample_init(&b, 1, &other_origin);
	assert_int_equal(audit_file_open(&f, &c, "trail", NOW, &e), 0);
	assert_int_equal(audit_file_add(&f, &a.rec, &sample_origin, NOW), AUDIT_ADDED);
	assert_int_equal(audit_file_add(&f, &b.rec, &other_origin, NOW + DAY), AUDIT_ADDED);
	assert_int_equal(audit_file_rotate(&f, NOW + 2 * DAY, &e), 0);
	audit_file_close(&f);
	text = trail_text(c.directory);
	header = strstr(text.p, "{\"trail\":1,\"first\":3,");
	assert_non_null(header);
	assert_null(strstr(header, "shardId-1"));
	assert_non_null(strstr(header, "\"shardId-2\":[\"000000000000000000001\","));
	buf_close(&text);
	dir_close(c.directory);
}

/* ---- directories ---- */

static void
directory_is_created(void **state)
{
	struct fixture x;
	struct stat st;
	struct err e;
	char *dir = dir_new();

	(void)state;
	x = (struct fixture){
	    .conf = {
		.directory = path_in(dir, "trail"), .rotate_size = 1 << 28, .rotate_age_us = DAY}};
	assert_int_equal(sink_audit.probe(&x.conf, NULL, &e), 0);
	assert_int_equal(stat(x.conf.directory, &st), -1); /* probe changes nothing */
	sink_start(&x);
	assert_int_equal(stat(x.conf.directory, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0750);
	sink_stop(&x);
	dir_empty(x.conf.directory);
	assert_int_equal(rmdir(x.conf.directory), 0);
	free(x.conf.directory);
	x.conf.directory = path_in(dir, "no/such");
	expect_open_fails(&x, ERR_CONFIG, "no/such does not exist");
	assert_int_equal(sink_audit.probe(&x.conf, NULL, &e), -1);
	free(x.conf.directory);
	x.conf.directory = mem_strdup("/dev/null");
	expect_open_fails(&x, ERR_CONFIG, "/dev/null is not a directory");
	free(x.conf.directory);
	dir_close(dir);
}

/* /proc refuses new files even to root; for others a read-only directory does. */
static void
directory_is_not_writable(void **state)
{
	struct fixture x = {.conf = {.rotate_size = 1 << 28, .rotate_age_us = DAY}};
	char *dir = dir_new();

	(void)state;
	x.conf.directory = mem_strdup("/proc/self");
	expect_open_fails(&x, ERR_IO, "/proc/self");
	free(x.conf.directory);
	x.conf.directory = mem_strdup(dir);
	assert_int_equal(chmod(dir, 0500), 0);
	if (geteuid() != 0)
		expect_open_fails(&x, ERR_IO, dir);
	assert_int_equal(chmod(dir, 0700), 0);
	free(x.conf.directory);
	dir_close(dir);
}

static void
second_process_is_kept_out(void **state)
{
	struct fixture x;
	char pid[64];

	(void)state;
	fixture_open(&x);
	(void)snprintf(pid, sizeof pid, "in use by another process (pid %ld)", (long)getpid());
	expect_open_fails(&x, ERR_LOCKED, pid);
	sink_stop(&x);
	sink_start(&x);
	fixture_close(&x);
}

static void
configuration_is_checked(void **state)
{
	struct audit_conf c = {.directory = (char[]){"/x"},
	    .rotate_size = 1 << 28,
	    .rotate_age_us = DAY,
	    .retention_us = DAY / 2};
	struct err e;

	(void)state;
	assert_int_equal(sink_audit.check(&c, &e), -1);
	assert_int_equal(e.code, ERR_CONFIG);
	c.retention_us = 30 * DAY;
	assert_int_equal(sink_audit.check(&c, &e), 0);
	c.directory = (char[]){""};
	assert_int_equal(sink_audit.check(&c, &e), -1);
}

static void
status_tells_the_head(void **state)
{
	struct sample *v = samples_new(1, 10, &sample_origin);
	struct buf out = BUF_INIT(4096);
	struct fixture x;
	struct audit_report r;

	(void)state;
	fixture_open(&x);
	write_all(&x, v, 10);
	sink_audit.status(x.sink, &out);
	r = verified(x.conf.directory);
	assert_non_null(strstr(buf_cstr(&out), r.head_hash));
	assert_non_null(strstr(buf_cstr(&out), "\"last_entry\":10,"));
	assert_non_null(strstr(buf_cstr(&out), "\"trouble\":null"));
	buf_close(&out);
	free(v);
	fixture_close(&x);
}

static int
whole_disk(void **state)
{
	(void)state;
	disk_set(-1, 0, false);
	return 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, whole_disk)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(line_holds_what_came),
	    TEST(line_seals_as_documented),
	    TEST(writes_and_verifies),
	    TEST(no_ack_before_fdatasync),
	    TEST(groups_share_a_sync),
	    TEST(full_queue_says_so),
	    TEST(close_gives_back_what_is_unfinished),
	    TEST(rejects_what_is_no_line),
	    TEST(chain_runs_over_files),
	    TEST(replays_are_not_written_again),
	    TEST(overtaken_record_is_written),
	    TEST(torn_tail_is_cut_and_kept),
	    TEST(does_not_start_on_a_tampered_trail),
	    TEST(survives_kill_9),
	    TEST(full_disk_is_retry),
	    TEST(starts_on_a_full_disk),
	    TEST(real_full_disk),
	    TEST(failed_sync_is_never_an_ack),
	    TEST(lost_entries_halt),
	    TEST(closed_files_are_compressed),
	    TEST(retention_and_age),
	    TEST(old_marks_are_let_go),
	    TEST(directory_is_created),
	    TEST(directory_is_not_writable),
	    TEST(second_process_is_kept_out),
	    TEST(configuration_is_checked),
	    TEST(status_tells_the_head),
	};

	log_set_sink(no_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
