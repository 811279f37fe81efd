/* sinks/audit_resume.c - see audit_resume.h.
 *
 * Only the newest file is read at start: its header has the marks of all shards
 * as they stood when it was begun, and its entries the rest. The whole trail is
 * `slipring audit verify`'s business, which takes as long as it is big.
 *
 * A torn tail (audit_chain.c says what that is) is copied to a file of its own
 * beside the trail before it is cut, and a note in the trail names it.
 */
#include "sinks/audit_resume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "record/format.h"

#define LOCK "audit.lock"

/* "dir/sub//" -> "dir"; "sub" -> "." */
static char *
parent_of(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	while (n > 1 && path[n - 1] == '/')
		n--;
	return n == 0 ? mem_strdup(".") : mem_slicedup((struct slice){path, n});
}

static int
make_dir(const char *path, struct err *e)
{
	char *parent = parent_of(path);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = 0;

	if (fd < 0)
		r = err_set(e, ERR_CONFIG,
		    "audit: directory %s does not exist, and %s, to create it in, cannot be "
		    "opened: %s",
		    path, parent, strerror(errno));
	else if (mkdir(path, 0750) != 0 && errno != EEXIST)
		r = err_errno(e, errno, "audit: cannot create directory %s", path);
	else if (fsync(fd) != 0)
		r = err_errno(e, errno, "audit: cannot sync directory %s", parent);
	if (fd >= 0)
		(void)close(fd);
	free(parent);
	return r;
}

static int
lock_dir(struct audit_file *f, struct err *e)
{
	const char *dir = f->conf->directory;
	char pid[32] = "";
	ssize_t n;

	f->lock_fd = openat(f->dir_fd, LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (f->lock_fd < 0)
		return err_errno(e, errno, "audit: cannot write in directory %s", dir);
	if (flock(f->lock_fd, LOCK_EX | LOCK_NB) != 0) {
		int errnum = errno;

		n = pread(f->lock_fd, pid, sizeof pid - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		(void)close(f->lock_fd);
		f->lock_fd = -1;
		if (errnum != EWOULDBLOCK)
			return err_errno(e, errnum, "audit: cannot lock %s/" LOCK, dir);
		return err_set(e, ERR_LOCKED,
		    "audit: directory %s is in use by another process (pid %s)", dir,
		    pid[0] != '\0' ? pid : "unknown");
	}
	/* For people; the lock is what counts, and a full disk does not matter here. */
	n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
	if (ftruncate(f->lock_fd, 0) != 0 || pwrite(f->lock_fd, pid, (size_t)n, 0) != n)
		log_debug("audit", f->name, "pid not written to %s/" LOCK, dir);
	return 0;
}

int
audit_dir_open(struct audit_file *f, struct err *e)
{
	const char *dir = f->conf->directory;

	f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->dir_fd < 0 && errno == ENOENT) {
		if (make_dir(dir, e) != 0)
			return -1;
		f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (f->dir_fd < 0 && errno == ENOTDIR)
		return err_set(e, ERR_CONFIG, "audit: %s is not a directory", dir);
	if (f->dir_fd < 0)
		return err_errno(e, errno, "audit: cannot open directory %s", dir);
	return lock_dir(f, e);
}

static bool
is_temporary(const char *name)
{
	size_t n = strlen(name);

	return strncmp(name, AUDIT_TMP_PREFIX, sizeof AUDIT_TMP_PREFIX - 1) == 0 && n > 4 &&
	    strcmp(name + n - 4, ".tmp") == 0;
}

/* What a crash left of files that were being made. */
static void
remove_temporary(struct audit_file *f)
{
	DIR *d = opendir(f->conf->directory);
	struct dirent *de;

	if (d == NULL)
		return;
	while ((de = readdir(d)) != NULL)
		if (is_temporary(de->d_name))
			(void)unlinkat(f->dir_fd, de->d_name, 0);
	(void)closedir(d);
}

static char *
path_of(const char *dir, const char *name)
{
	struct buf path = BUF_INIT(1u << 16);
	char *copy;

	buf_addf(&path, "%s/%s", dir, name);
	copy = mem_strdup(buf_cstr(&path));
	buf_close(&path);
	return copy;
}

struct loading {
	struct audit_marks *marks;
	int64_t now_s;
};

static int
load_line(void *arg, const struct audit_line *l, struct err *e)
{
	struct loading *ld = arg;

	switch (l->kind) {
	case AUDIT_HEADER:
		return audit_marks_load_header(ld->marks, l->whole, e);
	case AUDIT_ENTRY:
		return audit_marks_load_entry(ld->marks, l->whole, ld->now_s, e);
	case AUDIT_NOTE:
		break;
	}
	return 0;
}

static int
walk_newest(struct audit_chain *c, struct audit_hash *h, const char *dir,
    const struct audit_names *names, bool torn_allowed, struct audit_walk *w, struct loading *ld,
    struct err *e)
{
	char *path = path_of(dir, names->v[names->n - 1].name);
	int r;

	audit_chain_begin(c);
	r = audit_walk_file(c, h, path, torn_allowed, w, ld != NULL ? load_line : NULL, ld, e);
	free(path);
	if (r == 0 && names->v[0].first > c->kept_from)
		return err_set(e, ERR_CORRUPT,
		    "audit: %s/%s: line 1: entries %" PRIu64 " to %" PRIu64
		    " are missing before this "
		    "file, and the trail does not say that retention removed them",
		    dir, names->v[0].name, c->kept_from, names->v[0].first - 1);
	return r;
}

/* ---- torn tails ---- */

static int
copy_tail(int from, int to, uint64_t ofs, uint64_t *bytes)
{
	char part[16384];
	ssize_t n;

	*bytes = 0;
	while ((n = pread(from, part, sizeof part, (off_t)(ofs + *bytes))) > 0) {
		if (write(to, part, (size_t)n) != n) {
			errno = errno != 0 ? errno : ENOSPC;
			return -1;
		}
		*bytes += (uint64_t)n;
	}
	return n == 0 ? fsync(to) : -1;
}

static int
save_tail(struct audit_file *f, const char *saved, uint64_t ofs, uint64_t *bytes, struct err *e)
{
	int fd, r;

	fd = openat(f->dir_fd, saved, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_errno(e, errno, "audit: cannot create %s/%s", f->conf->directory, saved);
	errno = 0;
	r = copy_tail(f->fd, fd, ofs, bytes);
	if (r == 0)
		r = fsync(f->dir_fd);
	if (r != 0)
		(void)err_errno(e, errno, "audit: cannot save the torn end of %s to %s/%s", f->file,
		    f->conf->directory, saved);
	(void)close(fd);
	return r;
}

static int
cut_tail(struct audit_file *f, uint64_t line, int64_t now_us, struct err *e)
{
	struct buf note = BUF_INIT(512);
	char saved[AUDIT_NAME_MAX + 32];
	uint64_t bytes;
	int r;

	(void)snprintf(saved, sizeof saved, "torn-%s-%" PRIu64, f->file, f->safe_size);
	if (save_tail(f, saved, f->safe_size, &bytes, e) != 0)
		return -1;
	if (ftruncate(f->fd, (off_t)f->safe_size) != 0 || fdatasync(f->fd) != 0)
		return err_errno(e, errno, "audit: cannot cut the torn end of %s/%s",
		    f->conf->directory, f->file);
	log_warn("audit", f->name,
	    "torn end cut: a crash left %" PRIu64
	    " bytes of unacked entries file=%s/%s line=%" PRIu64 " saved=%s",
	    bytes, f->conf->directory, f->file, line, saved);
	buf_addf(&note, "\"cut\",\"bytes\":%" PRIu64 ",\"saved\":\"%s\",\"time\":\"", bytes, saved);
	format_time(now_us / USEC_SEC * USEC_SEC, &note);
	buf_add_char(&note, '"');
	r = audit_file_note(f, buf_cstr(&note), e);
	buf_close(&note);
	return r;
}

/* ---- taking up ---- */

static int
open_newest(struct audit_file *f, const struct audit_name *newest, const struct audit_walk *w,
    struct err *e)
{
	struct stat st;

	(void)snprintf(f->file, sizeof f->file, "%.*s", (int)sizeof f->file - 1, newest->name);
	f->created_us = newest->created_s * USEC_SEC;
	f->fd = openat(f->dir_fd, f->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0 || fstat(f->fd, &st) != 0)
		return err_errno(e, errno, "audit: cannot open %s/%s", f->conf->directory, f->file);
	if (!w->torn && (uint64_t)st.st_size != w->end)
		return err_set(e, ERR_CORRUPT, "audit: %s/%s: somebody else writes to it",
		    f->conf->directory, f->file);
	return 0;
}

static void
stand_at(struct audit_file *f, const struct audit_chain *c, const struct audit_walk *w)
{
	f->now = f->safe = *c;
	f->size = f->safe_size = w->end;
	f->entries = f->safe_entries = w->entries;
	buf_reset(&f->out);
}

static void
close_fd(struct audit_file *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
}

static int
take_up(struct audit_file *f, const struct audit_names *names, int64_t now_us, struct err *e)
{
	const struct audit_name *newest = &names->v[names->n - 1];
	struct loading ld = {&f->marks, now_us / USEC_SEC};
	struct audit_chain c;
	struct audit_walk w;

	if (walk_newest(&c, &f->hash, f->conf->directory, names, !newest->gz, &w, &ld, e) != 0)
		return -1;
	if (newest->gz) {
		/* Compressed by hand: nothing is appended to it. */
		stand_at(f, &c, &w);
		f->size = f->safe_size = 0;
		return audit_file_rotate(f, now_us, e);
	}
	if (open_newest(f, newest, &w, e) != 0)
		return -1;
	stand_at(f, &c, &w);
	return w.torn ? cut_tail(f, w.lines + 1, now_us, e) : 0;
}

int
audit_resume(struct audit_file *f, int64_t now_us, struct err *e)
{
	struct audit_names names;
	int r;

	close_fd(f);
	remove_temporary(f);
	if (audit_names_list(&names, f->conf->directory, e) != 0)
		return -1;
	if (names.n > 0) {
		r = take_up(f, &names, now_us, e);
	} else {
		audit_chain_begin(&f->now);
		f->now.next = f->now.first = 1;
		f->safe = f->now;
		r = audit_file_rotate(f, now_us, e);
	}
	audit_names_close(&names);
	return r;
}

/* Only what was durable stays; then the page cache is emptied of the rest, so
 * that what is verified next comes from the disk. */
static int
cut_to_safe(struct audit_file *f, struct err *e)
{
	const char *dir = f->conf->directory;
	struct stat st;

	close_fd(f);
	f->fd = openat(f->dir_fd, f->file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (f->fd < 0 || fstat(f->fd, &st) != 0)
		return err_errno(e, errno, "audit: cannot open %s/%s again", dir, f->file);
	if ((uint64_t)st.st_size < f->safe_size)
		return err_set(e, ERR_CORRUPT, "audit: %s/%s: acked entries are gone from its end",
		    dir, f->file);
	if (ftruncate(f->fd, (off_t)f->safe_size) != 0 || fdatasync(f->fd) != 0 ||
	    fsync(f->dir_fd) != 0)
		return err_errno(
		    e, errno, "audit: cannot cut %s/%s to what is durable", dir, f->file);
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	close_fd(f);
	return 0;
}

static int
verify_again(struct audit_file *f, const struct audit_names *names, struct err *e)
{
	const struct audit_name *newest = &names->v[names->n - 1];
	struct audit_chain c;
	struct audit_walk w;

	if (walk_newest(&c, &f->hash, f->conf->directory, names, false, &w, NULL, e) != 0)
		return -1;
	/* A file begun right before the trouble is newer and has its header only. */
	if (c.next != f->safe.next ||
	    (strcmp(newest->name, f->file) == 0 && strcmp(c.head, f->safe.head) != 0))
		return err_set(e, ERR_CORRUPT,
		    "audit: %s/%s: acked entries are gone or were replaced", f->conf->directory,
		    newest->name);
	if (open_newest(f, newest, &w, e) != 0)
		return -1;
	stand_at(f, &c, &w);
	return 0;
}

int
audit_resume_again(struct audit_file *f, int64_t now_us, struct err *e)
{
	struct audit_names names;
	int r;

	(void)now_us;
	if (cut_to_safe(f, e) != 0 || audit_names_list(&names, f->conf->directory, e) != 0)
		return -1;
	if (names.n > 0)
		r = verify_again(f, &names, e);
	else
		r = err_set(e, ERR_CORRUPT, "audit: %s: the trail is gone", f->conf->directory);
	audit_names_close(&names);
	return r;
}

/* ---- check ---- */

static int
probe_trail(const char *dir, const struct audit_names *names, struct err *e)
{
	struct audit_hash hash;
	struct audit_chain c;
	struct audit_walk w;
	int r;

	if (audit_hash_open(&hash, e) != 0)
		return -1;
	r = walk_newest(&c, &hash, dir, names, !names->v[names->n - 1].gz, &w, NULL, e);
	audit_hash_close(&hash);
	return r;
}

int
audit_resume_probe(const struct audit_conf *conf, struct err *e)
{
	const char *dir = conf->directory;
	struct audit_names names;
	struct stat st;
	int r = 0;

	if (stat(dir, &st) != 0 && errno == ENOENT) {
		char *parent = parent_of(dir);

		if (faccessat(AT_FDCWD, parent, W_OK | X_OK, AT_EACCESS) != 0)
			r = err_errno(
			    e, errno, "audit: directory %s cannot be created in %s", dir, parent);
		free(parent);
		return r;
	}
	if (faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS) != 0)
		return err_errno(e, errno, "audit: cannot write in directory %s", dir);
	if (audit_names_list(&names, dir, e) != 0)
		return -1;
	if (names.n > 0)
		r = probe_trail(dir, &names, e);
	audit_names_close(&names);
	return r;
}
