/* checkpoint/store_file.c - the file of the SQLite store: who may have it, how
 * it comes into being, and whether it is ours and whole.
 *
 *   lock PATH.lock -> create PATH.new, fsync, rename -> open -> recognise -> upgrade -> verify
 *
 * Apart from the rest because this is where a wrong guess loses data: a store
 * that is started afresh forgets every position. So a file is created only
 * where there is none at all, it appears under its name complete or not at
 * all, and whatever else is found there is refused with one line that names it
 * and says how to mend it.
 *
 * The path is never opened here by open(): closing such a descriptor would
 * release the POSIX locks of every SQLite connection of this process to it.
 *
 * Threading: called from the loop thread before the store's thread exists, and
 * store_file_check_place() and store_file_err() from whoever holds the connection.
 */
#include "checkpoint/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define APPLICATION_ID 0x536c7072 /* "Slpr" */
#define FORMAT 3		  /* PRAGMA user_version */
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* A sqlite3 shell with an open transaction is waited for this long. */
#define BUSY_MS 5000
/* The WAL is cut back to this after a long reader has let it grow. */
#define WAL_LIMIT "67108864"

static char *
join(const char *path, const char *suffix)
{
	size_t n = strlen(path), m = strlen(suffix);
	char *s = mem_new(n + m + 1);

	memcpy(s, path, n);
	memcpy(s + n, suffix, m);
	return s;
}

static void
free_text(char **s)
{
	free(*s);
}

int
store_file_err(sqlite3 *db, const char *path, int rc, const char *what, struct err *e)
{
	int sys = db != NULL ? sqlite3_system_errno(db) : 0;
	const char *why = db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return err_retry(e, ERR_NOSPACE, "store: %.200s: %s: no space left", path, what);
	case SQLITE_IOERR:
		/* EFBIG: a file size limit of the service manager. */
		if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG)
			return err_retry(
			    e, ERR_NOSPACE, "store: %.200s: %s: %s", path, what, strerror(sys));
		return err_retry(e, ERR_IO, "store: %.200s: %s: %s (%s)", path, what, why,
		    sys != 0 ? strerror(sys) : sqlite3_errstr(rc));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_retry(e, ERR_LOCKED,
		    "store: %.200s: %s: another program holds it, perhaps a sqlite3 shell with an"
		    " open transaction",
		    path, what);
	case SQLITE_NOMEM:
		return err_retry(e, ERR_NOMEM, "store: %.200s: %s: out of memory", path, what);
	case SQLITE_CANTOPEN:
		err_set(
		    e, ERR_IO, "store: %.200s: %s: %s", path, what, sys != 0 ? strerror(sys) : why);
		if (e != NULL)
			e->retriable = sys == EMFILE || sys == ENFILE || sys == ENOSPC;
		return -1;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return err_set(e, ERR_IO,
		    "store: %.200s: %s: it may not be written; give the file and its directory to"
		    " the user that slipring runs as",
		    path, what);
	case SQLITE_NOTADB:
		return err_set(e, ERR_VERSION,
		    "store: %.200s is not a slipring store (no SQLite file); set another"
		    " checkpoint path, or restore the file from a backup",
		    path);
	default:
		return err_set(e, ERR_CORRUPT,
		    "store: %.200s is damaged: %s: %.120s; restore it from a backup", path, what,
		    why);
	}
}

/* --- the lock --- */

static int
lock_refused(int fd, const char *lock, struct err *e)
{
	char pid[16];
	ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

	while (n > 0 && (pid[n - 1] < '0' || pid[n - 1] > '9'))
		n--;
	if (n <= 0)
		return err_set(e, ERR_LOCKED,
		    "store: %.300s is held by another slipring; stop that one first", lock);
	return err_set(e, ERR_LOCKED,
	    "store: %.300s is held by another slipring, process %.*s; stop that one first", lock,
	    (int)n, pid);
}

/* For people only: the lock holds without it, on a full disk too. */
static void
lock_say(int fd, const char *text)
{
	size_t n = strlen(text);

	if (ftruncate(fd, 0) == 0 && pwrite(fd, text, n, 0) != (ssize_t)n)
		errno = 0;
}

/* The lock file stays when the lock is let go: removing it would let two
 * daemons hold two files of one name. */
static int
lock_take(struct store_file *f, struct err *e)
{
	CLEANUP(free_text) char *lock = join(f->path, ".lock");
	char pid[16];
	struct stat st;

	f->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->lock_fd < 0)
		return err_errno(e, errno,
		    "store: cannot create %.300s (the directory must exist and be writable)", lock);
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return lock_refused(f->lock_fd, lock, e);
		return err_errno(e, errno, "store: cannot lock %.300s", lock);
	}
	/* Root mending positions must not lock the daemon's user out. */
	if (geteuid() == 0 && stat(f->path, &st) == 0 &&
	    fchown(f->lock_fd, st.st_uid, st.st_gid) != 0)
		return err_errno(e, errno, "store: cannot hand over %.300s", lock);
	(void)snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	lock_say(f->lock_fd, pid);
	return 0;
}

/* --- creation --- */

static int
sync_directory(const char *path, struct err *e)
{
	CLEANUP(free_text) char *copy = mem_strdup(path);
	const char *dir = dirname(copy);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int saved;

	if (fd < 0)
		return err_errno(e, errno, "store: cannot open directory %.300s", dir);
	if (fsync(fd) != 0) {
		saved = errno;
		(void)close(fd);
		return err_errno(e, saved, "store: cannot sync directory %.300s", dir);
	}
	(void)close(fd);
	return 0;
}

static int
exec(sqlite3 *db, const char *path, const char *sql, const char *what, struct err *e)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_file_err(db, path, rc, what, e);
}

/* An empty store under a name nobody reads, synced and closed. */
static int
create_at(const char *fresh, struct err *e)
{
	sqlite3 *db = NULL;
	int fd, ret, rc;

	if (unlink(fresh) != 0 && errno != ENOENT)
		return err_errno(e, errno, "store: cannot remove the remains of %.300s", fresh);
	/* Before SQLite does it, with the umask's mode. Its journals follow. */
	fd = open(fresh, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(e, errno, "store: cannot create %.300s", fresh);
	(void)close(fd);
	rc = sqlite3_open_v2(fresh, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		ret = store_file_err(db, fresh, rc, "cannot create it", e);
	else if ((ret = exec(db, fresh,
		      "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL; BEGIN;"
		      "PRAGMA application_id = " TEXT(APPLICATION_ID) ";"
								      "PRAGMA user_version = " TEXT(
									  FORMAT) ";",
		      "cannot create it", e)) == 0 &&
	    (ret = exec(db, fresh, store_schema, "cannot create its tables", e)) == 0 &&
	    (ret = exec(db, fresh, store_schema_letters, "cannot create its tables", e)) == 0)
		ret = exec(db, fresh, "COMMIT; PRAGMA journal_mode = WAL;", "cannot create it", e);
	rc = sqlite3_close(db);
	if (ret == 0 && rc != SQLITE_OK)
		ret = store_file_err(NULL, fresh, rc, "cannot close it", e);
	return ret;
}

static int
create(const struct store_file *f, struct err *e)
{
	CLEANUP(free_text) char *wal = join(f->path, "-wal");
	CLEANUP(free_text) char *fresh = join(f->path, ".new");
	struct stat st;
	int ret;

	/* SQLite would play the old journal into the new file. */
	if (stat(wal, &st) == 0 && st.st_size != 0)
		return err_set(e, ERR_CORRUPT,
		    "store: %.200s is missing but its journal %.200s is there; put the file back,"
		    " or remove the journal too to begin anew",
		    f->path, wal);
	ret = create_at(fresh, e);
	if (ret == 0 && rename(fresh, f->path) != 0)
		ret = err_errno(e, errno, "store: cannot rename %.200s to %.200s", fresh, f->path);
	if (ret != 0) {
		(void)unlink(fresh);
		return ret;
	}
	return sync_directory(f->path, e);
}

/* --- recognition --- */

static int
number(const struct store_file *f, const char *sql, int64_t *out, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(f->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	else
		(void)store_file_err(f->db, f->path, rc, "cannot be read", e);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : -1;
}

static int
recognise(const struct store_file *f, enum store_open how, int64_t *out, struct err *e)
{
	int64_t id, version;

	if (number(f, "PRAGMA application_id", &id, e) != 0 ||
	    number(f, "PRAGMA user_version", &version, e) != 0)
		return -1;
	if (id != APPLICATION_ID)
		return err_set(e, ERR_VERSION,
		    "store: %.200s is a SQLite file of another program (application_id %#" PRIx64
		    ", ours is %#x); set another checkpoint path",
		    f->path, (uint64_t)id, APPLICATION_ID);
	if (version > FORMAT)
		return err_set(e, ERR_VERSION,
		    "store: %.200s was written by a newer slipring (format %" PRId64
		    ", this one knows %d); run that version, or set another checkpoint path",
		    f->path, version, FORMAT);
	if (version < 1)
		return err_set(e, ERR_CORRUPT,
		    "store: %.200s is damaged: format %" PRId64 "; restore it from a backup",
		    f->path, version);
	if (version < FORMAT && how == STORE_READ)
		return err_set(e, ERR_VERSION,
		    "store: %.200s was written by an older slipring (format %" PRId64
		    "); the next start of the daemon brings it up to this one's",
		    f->path, version);
	*out = version;
	return 0;
}

/* Structure only; what is in a row is the crc's affair (store_rows.c). */
static int
verify_table(const struct store_file *f, const char *table, struct err *e)
{
	char sql[64];
	sqlite3_stmt *st = NULL;
	const unsigned char *say;
	int rc, ret = -1;

	(void)snprintf(sql, sizeof sql, "PRAGMA integrity_check('%s')", table);
	rc = sqlite3_prepare_v2(f->db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW) {
		ret = store_file_err(f->db, f->path, rc, table, e);
	} else {
		say = sqlite3_column_text(st, 0);
		if (say != NULL && strcmp((const char *)say, "ok") == 0)
			ret = 0;
		else
			err_set(e, ERR_CORRUPT,
			    "store: %.200s is damaged: table %s: %.120s; restore it from a backup",
			    f->path, table, say != NULL ? (const char *)say : "unreadable");
	}
	(void)sqlite3_finalize(st);
	return ret;
}

/* Dead letters are left to the crc: they may be gigabytes, and a start must
 * not wait for them. */
static int
verify(const struct store_file *f, struct err *e)
{
	for (unsigned i = 0; i < ROWS_TABLES; i++)
		if (i != ROWS_DEAD_LETTER && verify_table(f, store_table_names[i], e) != 0)
			return -1;
	return 0;
}

static int
open_db(struct store_file *f, enum store_open how, struct err *e)
{
	int flags = how == STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int rc = sqlite3_open_v2(f->path, &f->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	int64_t version = FORMAT;

	if (rc != SQLITE_OK)
		return store_file_err(f->db, f->path, rc, "cannot be opened", e);
	(void)sqlite3_extended_result_codes(f->db, 1);
	(void)sqlite3_busy_timeout(f->db, BUSY_MS);
	/* The file may have been prepared by somebody who wishes us ill. */
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	(void)sqlite3_db_config(f->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	if (exec(f->db, f->path, "PRAGMA cell_size_check = ON", "cannot be opened", e) != 0 ||
	    recognise(f, how, &version, e) != 0)
		return -1;
	if (how != STORE_READ &&
	    exec(f->db, f->path,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		"PRAGMA journal_size_limit = " WAL_LIMIT,
		"cannot be opened for writing", e) != 0)
		return -1;
	if (version < FORMAT && store_upgrade(f->db, f->path, version, e) != 0)
		return -1;
	return verify(f, e);
}

static int
look(const struct store_file *f, enum store_open how, struct err *e)
{
	struct stat st;

	if (stat(f->path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return err_set(e, ERR_IO, "store: %.300s is not a regular file", f->path);
		/* SQLite would take it for a new database and remove its journal. */
		if (st.st_size == 0)
			return err_set(e, ERR_CORRUPT,
			    "store: %.300s is empty, which slipring never leaves behind; restore it"
			    " from a backup, or remove it to begin anew",
			    f->path);
		return 0;
	}
	if (errno != ENOENT)
		return err_errno(e, errno, "store: cannot look at %.300s", f->path);
	if (how == STORE_OWN)
		return create(f, e);
	return err_set(e, ERR_NOT_FOUND,
	    "store: %.300s does not exist; has `slipring run` been started with this "
	    "configuration?",
	    f->path);
}

int
store_file_open(struct store_file *f, const char *path, enum store_open how, struct err *e)
{
	*f = (struct store_file){.path = mem_strdup(path), .lock_fd = -1};
	/* EDIT must not leave a lock file where there is no store. */
	if (how == STORE_EDIT && look(f, how, e) != 0)
		goto fail;
	if (how != STORE_READ && lock_take(f, e) != 0)
		goto fail;
	if (look(f, how, e) != 0 || open_db(f, how, e) != 0)
		goto fail;
	return 0;
fail:
	store_file_close(f);
	return -1;
}

void
store_file_close(struct store_file *f)
{
	(void)sqlite3_close(f->db);
	if (f->lock_fd >= 0) {
		/* Only the holder's own pid is removed: a refused opener has a
		 * descriptor but no lock. */
		if (f->db != NULL)
			lock_say(f->lock_fd, "");
		(void)close(f->lock_fd);
	}
	free(f->path);
	*f = (struct store_file){.lock_fd = -1};
}

int
store_file_check_place(const struct store_file *f, struct err *e)
{
	int moved = 0;

	if (sqlite3_file_control(f->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
	    moved != 0)
		return err_set(e, ERR_IO,
		    "store: %.300s was removed or replaced while in use; put it back and restart",
		    f->path);
	return 0;
}
