/* tests/unit/sqlite_fault_test.c - the SQLite copy when something goes wrong around it: locks, a
 * full or failing disk, readers that do not end, files that vanish, kill -9.
 *
 * fdatasync() and fsync() are replaced below, so that a sync can fail at will; the disk is really
 * full (a small tmpfs), and the process is really killed.
 */
#include "tests/unit/sqlite_support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/random.h"
#include "sinks/rows.h"

#define COUNT "SELECT count(*) FROM orders"

/* ---- a sync that fails ---- */

static atomic_int fail_wal, fail_db; /* so many of the next */

static int
sync_or_fail(int fd, long number)
{
	char link[64], path[256];
	ssize_t n;
	atomic_int *left;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	path[n > 0 ? n : 0] = '\0';
	left = strstr(path, "-wal") != NULL ? &fail_wal : &fail_db;
	if (strstr(path, "copy.db") != NULL && atomic_load(left) > 0) {
		atomic_fetch_sub(left, 1);
		errno = EIO;
		return -1;
	}
	return (int)syscall(number, fd);
}

int fdatasync(int fd);
int
fdatasync(int fd)
{
	return sync_or_fail(fd, SYS_fdatasync);
}

int fsync(int fd);
int
fsync(int fd)
{
	return sync_or_fail(fd, SYS_fsync);
}

/* ---- a lot of changes ---- */

static struct change *
changes_new(unsigned from, unsigned count, unsigned keys, unsigned bytes)
{
	struct change *v = mem_array(count, sizeof *v);
	char *value = mem_new(bytes + 32);

	for (unsigned i = 0; i < count; i++) {
		char pk[16], keys_text[64], *item = mem_new(bytes + 64);

		(void)snprintf(pk, sizeof pk, "k%u", (from + i) % keys);
		(void)snprintf(keys_text, sizeof keys_text, "\"pk\":{\"S\":\"%s\"}", pk);
		memset(value, 'a' + (int)(i % 26), bytes);
		value[bytes] = '\0';
		(void)snprintf(
		    item, bytes + 64, "\"n\":{\"N\":\"%u\"},\"v\":{\"S\":\"%s\"}", from + i, value);
		if ((from + i) % 17 == 0)
			change_make(&v[i], from + i, "REMOVE", keys_text, NULL, &orders);
		else
			change_make(&v[i], from + i, "MODIFY", keys_text, item, &orders);
		free(item);
	}
	free(value);
	return v;
}

static void
changes_free(struct change *v, size_t n)
{
	changes_close(v, n);
	free(v);
}

static unsigned
count_of(const struct change *v, size_t n, enum sink_verdict want)
{
	unsigned c = 0;

	for (size_t i = 0; i < n; i++)
		c += v[i].verdict == (int)want;
	return c;
}

/* ---- locks ---- */

/* Another process has the write lock: all that was queued is tried again, what was submitted
 * while nobody had heard of the failure too, and then it goes on. */
static void
a_held_lock_is_waited_for(void **state)
{
	struct change *v = changes_new(1, 30, 30, 10);
	struct copy x;
	sqlite3 *peer;

	(void)state;
	copy_open(&x, NULL);
	x.conf.busy_us = 50000;
	copy_start(&x);
	peer = peer_open(&x);
	peer_exec(peer, "BEGIN IMMEDIATE");
	for (unsigned i = 0; i < 3; i++)
		copy_submit(&x, v + i * 10, 10);
	copy_wait(&x, 30);
	assert_int_equal(count_of(v, 30, SINK_RETRY), 30);
	assert_verdict(&v[0], SINK_RETRY, "another program holds its write lock");
	peer_exec(peer, "ROLLBACK");
	copy_write(&x, v, 30);
	assert_acked(v, 30);
	/* Within the time it is given, nobody hears of it. */
	x.conf.busy_us = 30 * USEC_SEC;
	peer_exec(peer, "BEGIN IMMEDIATE");
	copy_submit(&x, v, 10);
	peer_exec(peer, "COMMIT");
	copy_wait(&x, 10);
	assert_acked(v, 10);
	(void)sqlite3_close(peer);
	changes_free(v, 30);
	copy_close(&x);
}

/* Nothing that was queued behind a failure may be written before it: the lock is let go between
 * the first failure and the second group. */
static void
nothing_overtakes_what_failed(void **state)
{
	struct change *v = changes_new(1, 2, 1, 10);
	struct copy x;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	copy_write(&x, v, 1);
	for (int round = 0; round < 50; round++) {
		sqlite3 *peer = peer_open(&x);

		x.conf.busy_us = 0;
		peer_exec(peer, "BEGIN IMMEDIATE");
		copy_submit(&x, v, 1);
		copy_submit(&x, v + 1, 1);
		peer_exec(peer, "ROLLBACK");
		copy_wait(&x, 2);
		if (v[0].verdict == SINK_RETRY)
			assert_int_equal(v[1].verdict, SINK_RETRY);
		(void)sqlite3_close(peer);
	}
	changes_free(v, 2);
	copy_close(&x);
}

static void
a_stop_does_not_wait_for_a_lock(void **state)
{
	struct change *v = changes_new(1, 40, 40, 10);
	struct copy x;
	sqlite3 *peer;

	(void)state;
	copy_open(&x, NULL);
	x.conf.busy_us = 600 * USEC_SEC;
	copy_start(&x);
	copy_write(&x, v, 10);
	peer = peer_open(&x);
	peer_exec(peer, "BEGIN IMMEDIATE");
	copy_submit(&x, v + 10, 10);
	copy_submit(&x, v + 20, 20);
	copy_stop(&x);
	assert_int_equal(count_of(v + 10, 30, SINK_RETRY), 30);
	peer_exec(peer, "ROLLBACK");
	(void)sqlite3_close(peer);
	changes_free(v, 40);
	copy_close(&x);
}

static void
readers_and_the_writer_do_not_meet(void **state)
{
	struct change *v = changes_new(18, 4000, 1000000, 500);
	struct buf status = BUF_INIT(4096);
	struct copy x;
	sqlite3 *reader;
	char *before, *now;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	copy_write(&x, v, 100);
	reader = peer_open(&x);
	peer_exec(reader, "BEGIN");
	before = peer_ask(reader, COUNT);
	for (unsigned i = 100; i < 4000; i += 100)
		copy_write(&x, v + i, 100);
	assert_acked(v, 4000);
	/* It sees what it saw, and the log has all of it. */
	now = peer_ask(reader, COUNT);
	assert_string_equal(now, before);
	free(now);
	sink_sqlite.status(x.sink, &status);
	assert_true(strtol(strstr(buf_cstr(&status), "\"wal_bytes\":") + 12, NULL, 10) > 2000000);
	peer_exec(reader, "COMMIT");
	now = peer_ask(reader, COUNT);
	assert_string_not_equal(now, before);
	free(now);
	free(before);
	(void)sqlite3_close(reader);
	buf_close(&status);
	changes_free(v, 4000);
	copy_close(&x);
}

/* ---- the disk ---- */

static void
a_failed_sync_is_tried_again(void **state)
{
	struct change *v = changes_new(1, 40, 40, 10);
	struct copy x;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	copy_write(&x, v, 10);
	atomic_store(&fail_wal, 1);
	copy_write(&x, v + 10, 10);
	assert_int_equal(atomic_load(&fail_wal), 0);
	assert_int_equal(count_of(v + 10, 10, SINK_RETRY), 10);
	assert_verdict(&v[10], SINK_RETRY, "disk I/O error");
	copy_write(&x, v + 10, 30);
	assert_acked(v, 40);
	copy_stop(&x);
	assert_rows(&x, COUNT, "38"); /* 17 and 34 were removed */
	assert_rows(&x, "PRAGMA integrity_check", "ok");
	changes_free(v, 40);
	copy_close(&x);
}

/* The commit is in the log when the checkpoint behind it fails. */
static void
a_failed_checkpoint_loses_nothing(void **state)
{
	struct change *v = changes_new(1, 6000, 1000000, 1000);
	struct copy x;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	copy_write(&x, v, 100);
	atomic_store(&fail_db, 1000000);
	for (unsigned i = 100; i < 6000; i += 500)
		copy_write(&x, v + i, 500 < 6000 - i ? 500 : 6000 - i);
	assert_true(atomic_load(&fail_db) < 1000000);
	assert_acked(v, 6000);
	assert_rows(&x, COUNT, "5648");
	atomic_store(&fail_db, 0);
	copy_stop(&x);
	assert_rows(&x, COUNT, "5648");
	assert_rows(&x, "PRAGMA integrity_check", "ok");
	changes_free(v, 6000);
	copy_close(&x);
}

/* A file system of our own: as root, or in a user namespace. */
static bool
mount_small(const char *dir)
{
	if (geteuid() != 0) {
		unsigned uid = geteuid();
		FILE *f;

		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
			return false;
		f = fopen("/proc/self/uid_map", "w");
		if (f == NULL || fprintf(f, "0 %u 1", uid) < 0 || fclose(f) != 0)
			return false;
	} else if (unshare(CLONE_NEWNS) != 0) {
		return false;
	}
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("none", dir, "tmpfs", 0, "size=2m") == 0;
}

static void
add_ballast(const char *path)
{
	static const char block[4096] = {1};
	FILE *f = fopen(path, "wb");

	for (int i = 0; i < 200 && f != NULL; i++)
		(void)fwrite(block, 1, sizeof block, f);
	if (f != NULL)
		(void)fclose(f);
}

/* In a child, whose mount goes with it. Exit 0: seen; 9: no mount to be had. */
static void NORETURN
fill_small(struct copy *x)
{
	struct change *v = changes_new(18, 4000, 1000000, 500);
	char ballast[200];
	unsigned at = 0, refused = 0;
	sqlite3 *db;
	char want[32], *have;

	if (!mount_small(x->dir))
		_exit(9);
	(void)snprintf(ballast, sizeof ballast, "%s/ballast", x->dir);
	add_ballast(ballast);
	copy_start(x);
	for (; refused == 0 && at + 100 <= 4000; at += 100) {
		copy_write(x, v + at, 100);
		refused = count_of(v + at, 100, SINK_RETRY);
	}
	at -= 100;
	if (refused != 100 || v[at].why.code != ERR_NOSPACE)
		_exit(11);
	/* All that was acked can be read on the full disk, and nothing else. */
	db = peer_open(x);
	have = peer_ask(db, COUNT " UNION ALL SELECT count(*) FROM orders_slipring_deleted");
	(void)snprintf(want, sizeof want, "%u;%u", at - (at + 17) / 17 + 1, (at + 17) / 17 - 1);
	if (strcmp(have, want) != 0) {
		(void)fprintf(stderr, "have %s want %s\n", have, want);
		_exit(12);
	}
	copy_write(x, v + at, 100);
	if (count_of(v + at, 100, SINK_RETRY) != 100 || unlink(ballast) != 0)
		_exit(13);
	copy_write(x, v + at, 100);
	if (count_of(v, at + 100, SINK_ACK) != at + 100)
		_exit(14);
	have = peer_ask(db, "PRAGMA integrity_check");
	_exit(strcmp(have, "ok") == 0 ? 0 : 15);
}

static void
a_full_disk_is_waited_for(void **state)
{
	struct copy x;
	pid_t pid;
	int status;

	(void)state;
	copy_open(&x, NULL);
	pid = fork();
	if (pid == 0)
		fill_small(&x);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 9)
		print_message("no small file system to be had here\n");
	else
		assert_int_equal(WEXITSTATUS(status), 0);
	copy_close(&x);
}

/* The same everywhere: a bound on the size of files, which writes run into. */
static void
a_bound_on_files_is_a_full_disk(void **state)
{
	struct change *v = changes_new(18, 4000, 1000000, 500);
	struct rlimit was, small;
	struct copy x;
	unsigned at = 0;

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	small = was;
	small.rlim_cur = 400000;
	copy_open(&x, NULL);
	copy_start(&x);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	do {
		copy_write(&x, v + at, 100);
		at += 100;
	} while (count_of(v, at, SINK_RETRY) == 0 && at < 4000);
	assert_int_equal(count_of(v + at - 100, 100, SINK_RETRY), 100);
	assert_verdict(&v[at - 1], SINK_RETRY, "File too large");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	copy_write(&x, v + at - 100, 100);
	assert_acked(v, at);
	assert_rows(&x, "PRAGMA integrity_check", "ok");
	changes_free(v, 4000);
	copy_close(&x);
}

/* ---- the file ---- */

static void
a_file_that_vanishes_halts(void **state)
{
	struct change *v = changes_new(1, 10, 10, 10);
	char away[160];
	struct copy x;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	copy_write(&x, v, 10);
	(void)snprintf(away, sizeof away, "%s.away", x.path);
	assert_int_equal(rename(x.path, away), 0);
	copy_write(&x, v, 10);
	assert_verdict(&v[0], SINK_HALT, "was removed or replaced while in use");
	copy_write(&x, v, 10);
	assert_verdict(&v[0], SINK_HALT, "was removed while in use; put it back");
	assert_int_equal(access(x.path, F_OK), -1);
	assert_int_equal(rename(away, x.path), 0);
	copy_write(&x, v, 10);
	assert_acked(v, 10);
	changes_free(v, 10);
	copy_close(&x);
}

static void
a_damaged_file_halts(void **state)
{
	struct change *v = changes_new(1, 3000, 3000, 100);
	char zeros[4096] = {0};
	struct stat st;
	struct copy x;
	int fd;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	for (unsigned i = 0; i < 3000; i += 500)
		copy_write(&x, v + i, 500);
	copy_stop(&x);
	fd = open(x.path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 4096; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, zeros, sizeof zeros, at), sizeof zeros);
	(void)close(fd);
	copy_start(&x);
	copy_write(&x, v, 500);
	assert_verdict(&v[0], SINK_HALT, "malformed");
	changes_free(v, 3000);
	copy_close(&x);
}

/* ---- the queue ---- */

static void
a_full_queue_says_so(void **state)
{
	struct change *v = changes_new(1, 20000, 1000, 10);
	struct delivery *batch[500];
	enum sink_admit a = SINK_TAKEN;
	struct copy x;
	sqlite3 *peer;
	unsigned at = 0;

	(void)state;
	copy_open(&x, NULL);
	copy_start(&x);
	peer = peer_open(&x);
	peer_exec(peer, "BEGIN IMMEDIATE");
	while (a == SINK_TAKEN && at < 20000) {
		for (unsigned i = 0; i < 500; i++)
			batch[i] = &v[at + i].d;
		a = sink_sqlite.submit(x.sink, batch, 500);
		at += a == SINK_TAKEN ? 500 : 0;
	}
	assert_int_equal(a, SINK_FULL);
	assert_in_range(at, 16000, 16384);
	peer_exec(peer, "ROLLBACK");
	copy_wait(&x, at);
	assert_acked(v, at);
	assert_int_equal(x.readies, 1);
	(void)sqlite3_close(peer);
	changes_free(v, 20000);
	copy_close(&x);
}

/* ---- kill -9 ---- */

/* Writes changes from..from+count, each acked one's number into fd. */
static void NORETURN
write_until_killed(struct copy *x, unsigned from, unsigned count, int fd)
{
	struct change *v = changes_new(from, count, 50, 200);
	unsigned out = 0;

	x->ack_fd = fd;
	copy_start(x);
	for (unsigned i = 0; i < count;) {
		unsigned n = 1 + i * 7919 % 60;

		n = n < count - i ? n : count - i;
		copy_submit(x, v + i, n);
		i += n;
		out += n;
		if (i % 3 != 0 && i < count)
			continue;
		copy_wait(x, out);
		out = 0;
	}
	_exit(0);
}

/* The highest number acked before it died, as it told. */
static unsigned
kill_after(pid_t pid, int fd, unsigned acks)
{
	unsigned last = 0;
	char text[21];
	bool killed = false;

	for (unsigned n = 0; read(fd, text, sizeof text) == (ssize_t)sizeof text; n++) {
		last = (unsigned)strtoul(text + 11, NULL, 10);
		if (n >= acks && !killed) {
			assert_int_equal(kill(pid, SIGKILL), 0);
			killed = true;
		}
	}
	return last;
}

static void
check_killed(const struct copy *x, bool log, unsigned acked)
{
	char want[128];

	assert_rows(x, "PRAGMA integrity_check", "ok");
	if (acked == 0)
		return;
	/* Rows and position are of one transaction. */
	assert_rows(x,
	    log ? "SELECT (SELECT max(sequence) FROM orders) = (SELECT sequence FROM"
		  " slipring_position)"
		: "SELECT (SELECT max(v) FROM (SELECT max(slipring_version) v FROM orders UNION ALL"
		  " SELECT max(version) FROM orders_slipring_deleted)) = '" LABEL
		  "/' || (SELECT sequence FROM slipring_position)",
	    "1");
	(void)snprintf(want, sizeof want,
	    "SELECT CAST(sequence AS INTEGER) >= %u FROM slipring_position", acked);
	assert_rows(x, want, "1");
	if (log)
		assert_rows(x, "SELECT count(*) = CAST(max(sequence) AS INTEGER) FROM orders", "1");
}

/* Every key has its last change, whichever rounds wrote what twice. */
static void
check_items(const struct copy *x, unsigned last)
{
	struct buf want = BUF_INIT(1u << 20);

	for (unsigned key = 0; key < 50; key++) {
		unsigned n = last - (last + 50 - key) % 50;

		if (n % 17 != 0)
			buf_addf(&want, "%sk%u|%u", want.n != 0 ? ";" : "", key, n);
	}
	assert_rows(x,
	    "SELECT pk, json_extract(document, '$.n') FROM orders"
	    " ORDER BY CAST(substr(pk, 2) AS INTEGER)",
	    buf_cstr(&want));
	buf_close(&want);
}

static void
kill_again_and_again(bool log)
{
	struct rng r;
	unsigned acked = 0, last = 0, kills = 0;
	struct copy x;

	rng_seed(&r, log ? 7 : 8);
	copy_open(&x, NULL);
	x.conf.mode = log ? ROWS_LOG : ROWS_TABLE;
	while (last < 6000) {
		/* From before what was acked: some of it comes again. */
		unsigned from = acked > 40 ? acked - (unsigned)rng_below(&r, 40) : 1;
		unsigned left = 6000 - from + 1, told;
		int ends[2], status;
		pid_t pid;

		assert_int_equal(pipe(ends), 0);
		/* Small, so that it is killed soon after what was read. */
		assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4096) > 0);
		pid = fork();
		if (pid == 0) {
			(void)close(ends[0]);
			write_until_killed(&x, from, left, ends[1]);
		}
		(void)close(ends[1]);
		told = kill_after(pid, ends[0], (unsigned)rng_below(&r, 600));
		(void)close(ends[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		kills += WIFSIGNALED(status);
		acked = told > acked ? told : acked;
		check_killed(&x, log, acked);
		last = WIFEXITED(status) ? 6000 : acked;
	}
	assert_true(kills >= 8);
	if (log)
		assert_rows(
		    &x, "SELECT count(*), max(CAST(sequence AS INTEGER)) FROM orders", "6000|6000");
	else
		check_items(&x, 6000);
	copy_close(&x);
}

static void
killed_in_mode_table(void **state)
{
	(void)state;
	kill_again_and_again(false);
}

static void
killed_in_mode_log(void **state)
{
	(void)state;
	kill_again_and_again(true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_held_lock_is_waited_for),
	    cmocka_unit_test(nothing_overtakes_what_failed),
	    cmocka_unit_test(a_stop_does_not_wait_for_a_lock),
	    cmocka_unit_test(readers_and_the_writer_do_not_meet),
	    cmocka_unit_test(a_failed_sync_is_tried_again),
	    cmocka_unit_test(a_failed_checkpoint_loses_nothing),
	    cmocka_unit_test(a_full_disk_is_waited_for),
	    cmocka_unit_test(a_bound_on_files_is_a_full_disk),
	    cmocka_unit_test(a_file_that_vanishes_halts),
	    cmocka_unit_test(a_damaged_file_halts),
	    cmocka_unit_test(a_full_queue_says_so),
	    cmocka_unit_test(killed_in_mode_table),
	    cmocka_unit_test(killed_in_mode_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
