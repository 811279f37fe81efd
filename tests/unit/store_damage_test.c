/* tests/unit/store_damage_test.c - the SQLite store after kill -9, and on files
 * that somebody or something has changed.
 *
 * The rule under test: what was reported durable is there, and a file that is
 * not ours or not whole is refused with a line that names it, or gives back
 * exactly what was in it. Never an empty start.
 */
#include "tests/unit/store_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "base/random.h"

/* --- kill -9 --- */

struct reporter {
	struct fixture f;
	struct store *s;
	int fd;
	uint64_t next, reported;
};

/* In the child: tells the parent, then keeps eight in the queue. */
static void
on_durable(void *arg, const struct err *e)
{
	struct reporter *r = arg;

	if (e != NULL)
		_exit(3);
	r->reported++;
	if (write(r->fd, &r->reported, sizeof r->reported) != sizeof r->reported)
		_exit(4);
	store_commit(r->s, numbered_txn(++r->next), on_durable, r);
}

static void
child(const char *path, int fd)
{
	static struct reporter r;

	r.fd = fd;
	if (loop_new(&r.f.lp, 1, &r.f.e) != 0 ||
	    store_sqlite_open(&r.s, r.f.lp, path, STORE_OWN, &r.f.e) != 0)
		_exit(2);
	r.next = r.reported = load_numbered(r.s);
	for (int i = 0; i < 8; i++)
		store_commit(r.s, numbered_txn(++r.next), on_durable, &r);
	_exit(loop_run(r.f.lp, &r.f.e) == 0 ? 5 : 6);
}

/* Kills the child after some reports and some turns of the scheduler more; the last
 * report it made. */
static uint64_t
run_and_kill(const struct fixture *f, uint64_t reports, unsigned more)
{
	uint64_t n, last = 0, seen = 0;
	int fd[2], status;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(fd[0]);
		child(f->path, fd[1]);
	}
	(void)close(fd[1]);
	while (seen < reports && read(fd[0], &n, sizeof n) == sizeof n) {
		last = n;
		seen++;
	}
	for (unsigned i = 0; i < more; i++)
		(void)sched_yield();
	assert_int_equal(kill(pid, SIGKILL), 0);
	while (read(fd[0], &n, sizeof n) == sizeof n)
		last = n;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	(void)close(fd[0]);
	assert_true(seen == reports);
	return last;
}

static void
kill_loses_nothing_that_was_reported(void **state)
{
	struct fixture *f = *state;
	uint64_t there = 0, reported;
	struct rng rng;

	rng_seed(&rng, 7);
	for (unsigned round = 0; round < 40; round++) {
		struct store *s;

		reported =
		    run_and_kill(f, 1 + rng_below(&rng, 60), (unsigned)rng_below(&rng, 3000));
		/* What a reader sees beside a dead daemon, and the next daemon. */
		s = open_store(f, round % 2 == 0 ? STORE_READ : STORE_OWN);
		there = load_numbered(s);
		assert_true(there >= reported);
		close_store(f, s);
	}
	assert_true(there >= 40);
}

/* --- files that are not what they were --- */

static void
fill(struct fixture *f, unsigned n)
{
	struct store *s = open_store(f, STORE_OWN);

	for (unsigned i = 1; i <= n; i++)
		store_commit(s, numbered_txn(i), on_done, f);
	close_store(f, s);
	assert_int_equal(f->failed, 0);
}

static char *
read_file(const char *path, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	char *p;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*n = (size_t)st.st_size;
	p = mem_new(*n);
	assert_int_equal(read(fd, p, *n), (ssize_t)*n);
	(void)close(fd);
	return p;
}

static void
write_file(const char *path, const char *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	(void)close(fd);
}

/* Opens in every way; each must refuse with that code and name the file, and
 * leave the bytes alone. */
static void
assert_refused(struct fixture *f, enum err_code code)
{
	size_t before_n, after_n;
	char *before = read_file(f->path, &before_n);
	char *after;
	struct store *s;

	for (int how = STORE_OWN; how <= STORE_READ; how++) {
		f->e.text[0] = '\0';
		assert_int_equal(
		    store_sqlite_open(&s, f->lp, f->path, (enum store_open)how, &f->e), -1);
		assert_null(s);
		if (f->e.code != code)
			fail_msg("code %d: %s", (int)f->e.code, f->e.text);
		assert_non_null(strstr(f->e.text, f->path));
		assert_null(strchr(f->e.text, '\n'));
	}
	after = read_file(f->path, &after_n);
	assert_int_equal(before_n, after_n);
	assert_memory_equal(before, after, before_n);
	free(before);
	free(after);
}

static void
sql(const char *path, const char *text)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(db));
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
foreign_files_are_refused(void **state)
{
	struct fixture *f = *state;
	char zeros[8192] = {0};

	write_file(f->path, "", 0);
	assert_refused(f, ERR_CORRUPT);
	write_file(f->path, zeros, sizeof zeros);
	assert_refused(f, ERR_VERSION);
	write_file(f->path, "streams:\n  orders:\n", 19);
	assert_refused(f, ERR_VERSION);
	assert_int_equal(unlink(f->path), 0);
	sql(f->path, "CREATE TABLE t (x)");
	assert_refused(f, ERR_VERSION);
}

static void
newer_and_unknown_formats_are_refused(void **state)
{
	struct fixture *f = *state;

	fill(f, 20);
	sql(f->path, "PRAGMA user_version = 4");
	assert_refused(f, ERR_VERSION);
	assert_non_null(strstr(f->e.text, "format 4"));
	sql(f->path, "PRAGMA user_version = 0");
	assert_refused(f, ERR_CORRUPT);
	sql(f->path, "PRAGMA user_version = 3; DROP TABLE gaps");
	assert_refused(f, ERR_CORRUPT);
}

static void
missing_file_with_a_journal_is_refused(void **state)
{
	struct fixture *f = *state;
	char wal[128];
	struct store *s;

	(void)run_and_kill(f, 20, 0);
	(void)snprintf(wal, sizeof wal, "%s-wal", f->path);
	assert_int_equal(access(wal, F_OK), 0);
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(store_sqlite_open(&s, f->lp, f->path, STORE_OWN, &f->e), -1);
	assert_int_equal(f->e.code, ERR_CORRUPT);
	assert_non_null(strstr(f->e.text, "-wal"));
	assert_int_equal(access(f->path, F_OK), -1);
}

static void
half_made_file_of_a_crash_is_made_anew(void **state)
{
	struct fixture *f = *state;
	char fresh[128];
	struct store *s;

	(void)snprintf(fresh, sizeof fresh, "%s.new", f->path);
	write_file(fresh, "SQLite format 3", 15);
	s = open_store(f, STORE_OWN);
	assert_int_equal(load_numbered(s), 0);
	close_store(f, s);
	assert_int_equal(access(fresh, F_OK), -1);
}

static void
missing_file_and_directory_are_named(void **state)
{
	struct fixture *f = *state;
	char nowhere[160];
	struct store *s;

	assert_int_equal(store_sqlite_open(&s, NULL, f->path, STORE_READ, &f->e), -1);
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
	assert_int_equal(store_sqlite_open(&s, NULL, f->path, STORE_EDIT, &f->e), -1);
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
	(void)snprintf(nowhere, sizeof nowhere, "%s/nowhere/state.db", f->dir);
	assert_int_equal(store_sqlite_open(&s, f->lp, nowhere, STORE_OWN, &f->e), -1);
	assert_int_equal(f->e.code, ERR_IO);
	assert_non_null(strstr(f->e.text, nowhere));
	assert_int_equal(store_sqlite_open(&s, f->lp, f->dir, STORE_READ, &f->e), -1);
	assert_int_equal(f->e.code, ERR_IO);
}

/* In a child, so that the test proves it when it is run by root, too. */
static void
unwritable_directory_is_named(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid;

	assert_int_equal(chmod(f->dir, 0555), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct store *s;

		if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
			_exit(2);
		if (store_sqlite_open(&s, f->lp, f->path, STORE_OWN, &f->e) != -1)
			_exit(3);
		_exit(f->e.code == ERR_IO && strstr(f->e.text, f->path) != NULL &&
			    strstr(f->e.text, "writable") != NULL
			? 0
			: 4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(chmod(f->dir, 0700), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
row_changed_by_hand_is_refused(void **state)
{
	static const char *const changes[] = {
	    "UPDATE positions SET sequence = '000000000000000000099' WHERE shard LIKE '%3'",
	    "UPDATE gaps SET state = 'accepted' WHERE id = 5",
	    "UPDATE gaps SET id = 1000 WHERE id = 5",
	};
	struct fixture *f = *state;
	struct numbered n = {0};
	struct store_visitor v = {.ctx = &n, .gap = see_gap, .position = see_position};
	size_t size;
	char *good;

	fill(f, 30);
	good = read_file(f->path, &size);
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct store *s;

		write_file(f->path, good, size);
		sql(f->path, changes[i]);
		s = open_store(f, STORE_READ);
		assert_int_equal(store_load(s, &v, &f->e), -1);
		assert_int_equal(f->e.code, ERR_CORRUPT);
		assert_non_null(strstr(f->e.text, i == 0 ? "table positions" : "table gaps"));
		close_store(f, s);
	}
	free(good);
}

/* True if the store opens and gives back all of it; false if it refuses. */
static bool
whole_or_refused(struct fixture *f, uint64_t want, enum store_open how)
{
	struct numbered n = {0};
	struct store_visitor v = {.ctx = &n, .gap = see_gap, .position = see_position};
	struct store *s;
	int ret;

	f->e = (struct err){.code = ERR_NONE};
	if (store_sqlite_open(&s, NULL, f->path, how, &f->e) != 0)
		goto refused;
	ret = store_load(s, &v, &f->e);
	if (ret == 0)
		assert_int_equal(load_numbered(s), want);
	store_close(s);
	if (ret == 0)
		return true;
refused:
	assert_true(f->e.code == ERR_CORRUPT || f->e.code == ERR_VERSION);
	assert_non_null(strstr(f->e.text, f->path));
	return false;
}

static void
flipped_bits_are_refused_or_harmless(void **state)
{
	struct fixture *f = *state;
	unsigned refused = 0, rounds = 1000;
	struct rng rng;
	size_t n;
	char *good;

	fill(f, 200);
	good = read_file(f->path, &n);
	rng_seed(&rng, 11);
	for (unsigned i = 0; i < rounds; i++) {
		/* Every other one in the header and schema, where it is most cunning. */
		size_t at = rng_below(&rng, i % 2 == 0 ? n : 4096);
		char bit = (char)(1 << rng_below(&rng, 8));

		good[at] ^= bit;
		write_file(f->path, good, n);
		good[at] ^= bit;
		refused += !whole_or_refused(f, 200, i % 4 == 0 ? STORE_EDIT : STORE_READ);
	}
	assert_true(refused > rounds / 10 && refused < rounds);
	free(good);
}

static void
torn_files_are_refused(void **state)
{
	struct fixture *f = *state;
	unsigned whole = 0;
	struct rng rng;
	size_t n;
	char *good;

	fill(f, 200);
	good = read_file(f->path, &n);
	rng_seed(&rng, 12);
	for (unsigned i = 0; i < 200; i++) {
		size_t at = 1 + rng_below(&rng, n - 1);
		char *torn = mem_new(n);

		/* A file that ends early, and one whose end is zeros. */
		memcpy(torn, good, at);
		write_file(f->path, torn, i % 2 == 0 ? at : n);
		free(torn);
		whole += whole_or_refused(f, 200, STORE_READ);
	}
	/* Only where nothing but unused bytes of the last page was lost. */
	assert_true(whole < 40);
	free(good);
}

/* SQLite's own checksums end the journal at the first bad frame: what is left
 * is a state that once was, of transactions in order. */
static void
damaged_journal_gives_an_earlier_state(void **state)
{
	struct fixture *f = *state;
	uint64_t reported = run_and_kill(f, 60, 0);
	char wal[128], shm[128];
	size_t wal_n, db_n;
	char *journal, *db;
	struct rng rng;

	(void)snprintf(wal, sizeof wal, "%s-wal", f->path);
	(void)snprintf(shm, sizeof shm, "%s-shm", f->path);
	journal = read_file(wal, &wal_n);
	db = read_file(f->path, &db_n);
	assert_true(reported >= 60 && wal_n > 4096);
	rng_seed(&rng, 13);
	for (unsigned i = 0; i < 100; i++) {
		size_t at = rng_below(&rng, wal_n);
		struct store *s;

		write_file(f->path, db, db_n);
		(void)unlink(shm);
		if (i % 2 == 0) {
			write_file(wal, journal, at);
		} else {
			journal[at] ^= 4;
			write_file(wal, journal, wal_n);
			journal[at] ^= 4;
		}
		s = open_store(f, STORE_READ);
		(void)load_numbered(s);
		close_store(f, s);
	}
	free(journal);
	free(db);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
	const struct CMUnitTest tests[] = {
	    T(kill_loses_nothing_that_was_reported),
	    T(foreign_files_are_refused),
	    T(newer_and_unknown_formats_are_refused),
	    T(missing_file_with_a_journal_is_refused),
	    T(half_made_file_of_a_crash_is_made_anew),
	    T(missing_file_and_directory_are_named),
	    T(unwritable_directory_is_named),
	    T(row_changed_by_hand_is_refused),
	    T(flipped_bits_are_refused_or_harmless),
	    T(torn_files_are_refused),
	    T(damaged_journal_gives_an_earlier_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
