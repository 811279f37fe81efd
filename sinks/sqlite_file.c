/* sinks/sqlite_file.c - see sqlite_file.h.
 *
 * WAL, so that readers go on while we write; synchronous=FULL, so that a commit is on the disk when
 * it returns. Checkpoints are SQLite's own, after a commit; one that fails is tried again after a
 * later commit, and the log keeps what it could not move.
 */
#include "sinks/sqlite_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* application_id of slipring's own store (checkpoint/store_file.c), "Slpr": no place
 * for a copy. */
#define STORE_ID 0x536c7072
/* The log is cut to this when a checkpoint has emptied it. */
#define WAL_LIMIT "67108864"
/* Between two tries for a lock. */
#define BUSY_STEP_MS 10

/* ---- what went wrong ---- */

enum sink_verdict
sqlite_verdict(int rc)
{
	if (rc == SQLITE_READONLY_DBMOVED)
		return SINK_HALT;
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return SINK_ACK;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
	case SQLITE_IOERR:
	case SQLITE_FULL:
	case SQLITE_CANTOPEN:
	case SQLITE_READONLY: /* a disk that was remounted so, or a permission: mended in place */
	case SQLITE_PROTOCOL:
	case SQLITE_INTERRUPT:
	case SQLITE_ABORT:
	case SQLITE_SCHEMA:
		return SINK_RETRY;
	case SQLITE_CONSTRAINT: /* of the user's own making: ours are satisfied */
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return SINK_REJECT;
	default: /* ERROR (no such table), CORRUPT, NOTADB, PERM, AUTH, MISUSE ... */
		return SINK_HALT;
	}
}

enum sink_verdict
sqlite_verdict_of(const struct err *e)
{
	if (e->retriable)
		return SINK_RETRY;
	return e->code == ERR_REFUSED ? SINK_REJECT : SINK_HALT;
}

static enum err_code
code_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_LOCKED;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_FULL:
		return ERR_NOSPACE;
	case SQLITE_CORRUPT:
		return ERR_CORRUPT;
	case SQLITE_NOTADB:
		return ERR_VERSION;
	case SQLITE_ERROR:
		return ERR_NOT_FOUND;
	case SQLITE_CONSTRAINT:
	case SQLITE_MISMATCH:
	case SQLITE_TOOBIG:
		return ERR_REFUSED;
	default:
		return ERR_IO;
	}
}

static const char *
advice_of(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "; another program holds its write lock";
	case SQLITE_NOTADB:
		return "; set another path";
	case SQLITE_CORRUPT:
		return "; restore it from a backup, or remove it and begin anew";
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return "; slipring must be able to write the file and its directory";
	default:
		return "";
	}
}

int
sqlite_err(sqlite3 *db, const char *path, int rc, const char *what, struct err *e)
{
	int system_errno = errno;
	const char *why = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
	bool of_system = (rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN;
	bool full;

	/* SQLite does not note it for a COMMIT. */
	if (db != NULL && sqlite3_system_errno(db) != 0)
		system_errno = sqlite3_system_errno(db);
	full = of_system && (system_errno == ENOSPC || system_errno == EDQUOT);
	err_set(e, full ? ERR_NOSPACE : code_of(rc), "sqlite: %.200s: %s: %.120s%s%s%s", path, what,
	    why, of_system && system_errno != 0 ? ": " : "",
	    of_system && system_errno != 0 ? strerror(system_errno) : "", advice_of(rc));
	e->retriable = sqlite_verdict(rc) == SINK_RETRY;
	return -1;
}

int
sqlite_run(sqlite3 *db, const char *path, const char *sql, const char *what, struct err *e)
{
	int rc;

	errno = 0;
	rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : sqlite_err(db, path, rc, what, e);
}

static char *
join(const char *path, const char *tail)
{
	struct buf b = BUF_INIT(strlen(path) + strlen(tail) + 1);
	char *text;

	buf_add_str(&b, path);
	buf_add_str(&b, tail);
	text = mem_slicedup(buf_slice(&b));
	buf_close(&b);
	return text;
}

/* ---- the lock ---- */

/* Two names of one file must meet at one lock. */
static char *
lock_path_of(const char *path)
{
	char *real = realpath(path, NULL);
	char *lock = join(real != NULL ? real : path, ".lock");

	free(real);
	return lock;
}

static int
lock_refused(const struct sqlite_file *f, struct err *e)
{
	char pid[16];
	ssize_t n = pread(f->lock_fd, pid, sizeof pid - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strcspn(pid, "\n")] = '\0';
	return err_set(e, ERR_LOCKED,
	    "sqlite: %.300s is held by %s%s; one file, one sink: stop the other, or set another "
	    "path",
	    f->lock_path, pid[0] != '\0' ? "process " : "another sink", pid);
}

/* The lock file stays when the lock is let go: removing it would let two
 * writers hold two files of one name. */
static int
lock_take(struct sqlite_file *f, struct err *e)
{
	char pid[32];
	int n;

	f->lock_path = lock_path_of(f->conf->path);
	f->lock_fd = open(f->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (f->lock_fd < 0)
		return err_errno(e, errno,
		    "sqlite: cannot create %.300s (the directory must exist and be writable)",
		    f->lock_path);
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return lock_refused(f, e);
		return err_errno(e, errno, "sqlite: cannot lock %.300s", f->lock_path);
	}
	/* For people only: on a full disk the lock holds without it. */
	n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(f->lock_fd, 0) == 0 && pwrite(f->lock_fd, pid, (size_t)n, 0) != n)
		errno = 0;
	return 0;
}

/* ---- the file ---- */

static int
create(const struct sqlite_file *f, struct err *e)
{
	const char *path = f->conf->path;
	char *wal = join(path, "-wal");
	struct stat st;
	bool left = stat(wal, &st) == 0 && st.st_size != 0;
	int fd;

	free(wal);
	/* SQLite would remove it. */
	if (left)
		return err_set(e, ERR_CORRUPT,
		    "sqlite: %.200s is missing but its journal %.200s-wal is there; put the file "
		    "back,"
		    " or remove the journal too to begin anew",
		    path, path);
	/* Before SQLite does it, with the umask's mode. Its journals follow. */
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd < 0)
		return err_errno(e, errno, "sqlite: cannot create %.300s", path);
	(void)close(fd);
	return 0;
}

/* 1: there; 0: not there. */
static int
is_there(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return err_set(e, ERR_IO, "sqlite: %.300s is not a regular file", path);
		return 1;
	}
	if (errno == ENOENT)
		return 0;
	return err_errno(e, errno, "sqlite: cannot look at %.300s", path);
}

/* ---- the connection ---- */

/* On the writer's thread. SQLite asks again and again while a lock is held. */
static int
wait_for_lock(void *arg, int tries)
{
	struct sqlite_file *f = arg;

	if (tries == 0)
		f->waited_ms = 0;
	if (atomic_load(&f->stop) || f->waited_ms >= f->conf->busy_us / 1000)
		return 0;
	f->waited_ms += sqlite3_sleep(BUSY_STEP_MS);
	return 1;
}

/* One value of the first row, as text of at most n bytes. */
static int
ask(sqlite3 *db, const char *path, const char *sql, char *out, size_t n, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc;

	errno = 0;
	rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		const unsigned char *text = sqlite3_column_text(st, 0);

		(void)snprintf(out, n, "%s", text != NULL ? (const char *)text : "");
	} else {
		(void)sqlite_err(db, path, rc, "cannot be opened", e);
	}
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : -1;
}

/* Reads the first page, too: what is no database is found here. */
static int
recognise(sqlite3 *db, const char *path, struct err *e)
{
	char id[32];

	if (ask(db, path, "PRAGMA schema_version", id, sizeof id, e) != 0 ||
	    ask(db, path, "PRAGMA application_id", id, sizeof id, e) != 0)
		return -1;
	if (strtol(id, NULL, 10) == STORE_ID)
		return err_set(e, ERR_VERSION,
		    "sqlite: %.300s is slipring's own store; set another path", path);
	return 0;
}

static int
open_db(sqlite3 **out, const char *path, int flags, struct err *e)
{
	int rc;

	errno = 0;
	rc = sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return sqlite_err(*out, path, rc, "cannot be opened", e);
	(void)sqlite3_extended_result_codes(*out, 1);
	/* Triggers and indices of the user's work; functions with side effects, in a
	 * schema that somebody else may have written, do not. */
	(void)sqlite3_db_config(*out, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(*out, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return 0;
}

static int
set_up(struct sqlite_file *f, struct err *e)
{
	const char *path = f->conf->path;
	char mode[16];

	(void)sqlite3_busy_handler(f->db, wait_for_lock, f);
	if (recognise(f->db, path, e) != 0)
		return -1;
	if (sqlite3_db_readonly(f->db, "main") != 0)
		return err_retry(e, ERR_IO, "sqlite: %.300s cannot be written%s", path,
		    advice_of(SQLITE_READONLY));
	if (ask(f->db, path, "PRAGMA journal_mode = WAL", mode, sizeof mode, e) != 0)
		return -1;
	if (strcmp(mode, "wal") != 0)
		return err_set(e, ERR_IO,
		    "sqlite: %.300s cannot have a write-ahead log there (journal mode stays %s); "
		    "use a"
		    " local file system",
		    path, mode);
	return sqlite_run(f->db, path,
	    "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON;"
	    "PRAGMA journal_size_limit = " WAL_LIMIT,
	    "cannot be opened for writing", e);
}

void
sqlite_file_drop(struct sqlite_file *f)
{
	(void)sqlite3_close(f->db);
	f->db = NULL;
}

static int
connect_now(struct sqlite_file *f, struct err *e)
{
	if (open_db(&f->db, f->conf->path, SQLITE_OPEN_READWRITE, e) == 0 && set_up(f, e) == 0)
		return 0;
	sqlite_file_drop(f);
	return -1;
}

int
sqlite_file_connect(struct sqlite_file *f, struct err *e)
{
	int there;

	if (f->db != NULL)
		return 0;
	there = is_there(f->conf->path, e);
	if (there == 0)
		return err_set(e, ERR_NOT_FOUND,
		    "sqlite: %.300s was removed while in use; put it back, or restart slipring to"
		    " begin anew",
		    f->conf->path);
	return there < 0 ? -1 : connect_now(f, e);
}

int
sqlite_file_open(struct sqlite_file *f, const struct sqlite_conf *conf, struct err *e)
{
	int there;

	*f = (struct sqlite_file){.conf = conf, .lock_fd = -1};
	there = is_there(conf->path, e);
	if (there == 0 && !conf->create)
		(void)err_set(e, ERR_NOT_FOUND,
		    "sqlite: %.300s does not exist, and create is false", conf->path);
	if (there < 0 || (there == 0 && !conf->create) || lock_take(f, e) != 0 ||
	    (there == 0 && create(f, e) != 0) || connect_now(f, e) != 0) {
		sqlite_file_close(f);
		return -1;
	}
	return 0;
}

void
sqlite_file_close(struct sqlite_file *f)
{
	sqlite_file_drop(f);
	if (f->lock_fd >= 0)
		(void)close(f->lock_fd);
	f->lock_fd = -1;
	free(f->lock_path);
	f->lock_path = NULL;
}

int
sqlite_file_check_place(const struct sqlite_file *f, struct err *e)
{
	int moved = 0;

	if (sqlite3_file_control(f->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	    moved != 0)
		return err_set(e, ERR_IO,
		    "sqlite: %.300s was removed or replaced while in use; put it back and resume, "
		    "or"
		    " restart slipring to begin anew",
		    f->conf->path);
	return 0;
}

int
sqlite_file_look(sqlite3 **out, const struct sqlite_conf *conf, struct err *e)
{
	int there = is_there(conf->path, e);

	*out = NULL;
	if (there <= 0)
		return there;
	if (open_db(out, conf->path, SQLITE_OPEN_READONLY, e) == 0 &&
	    recognise(*out, conf->path, e) == 0)
		return 0;
	(void)sqlite3_close(*out);
	*out = NULL;
	return -1;
}

int64_t
sqlite_file_wal_bytes(const struct sqlite_file *f)
{
	char *wal = join(f->conf->path, "-wal");
	struct stat st;
	int64_t n = stat(wal, &st) == 0 ? (int64_t)st.st_size : 0;

	free(wal);
	return n;
}
