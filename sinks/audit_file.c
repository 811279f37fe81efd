/* sinks/audit_file.c - see audit_file.h.
 *
 * Why a failed fdatasync is final for a file (Linux): the kernel reports a failed
 * write-back once and then counts those pages as clean. A second fdatasync has
 * nothing to write and succeeds, and reading gives the lost bytes back from
 * memory. So the entries since the last good fdatasync are cut off (they were
 * not acked), the cut is synced, the cache is told to let go of the file, and what
 * the disk then gives is verified from line 1. The entries come again as new bytes.
 *
 * A new file appears whole or not at all: written under a temporary name, synced,
 * renamed, and the directory synced. So a file of the trail always has its header.
 */
#include "sinks/audit_file.h"

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
#include "sinks/audit_resume.h"

/* A commit is due at this much; half of what the verifier takes for one. */
#define LOADED_BYTES (AUDIT_GROUP_BYTES / 2)
/* The buffer of a giant line is not kept. */
#define KEEP_BYTES AUDIT_GROUP_BYTES

static int
bad_errno(struct audit_file *f, struct err *e, const char *what)
{
	int errnum = errno;

	if (errnum != ENOSPC && errnum != EDQUOT)
		f->broken = true;
	return err_errno(e, errnum, "audit: cannot %s %s/%s", what, f->conf->directory, f->file);
}

static int
write_at(struct audit_file *f, int fd, const char *p, size_t n, uint64_t *ofs, struct err *e)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, (off_t)*ofs);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			if (done == 0)
				errno = ENOSPC;
			return bad_errno(f, e, "write to");
		}
		p += done;
		n -= (size_t)done;
		*ofs += (uint64_t)done;
	}
	return 0;
}

static int
flush_out(struct audit_file *f, struct err *e)
{
	if (write_at(f, f->fd, buf_slice(&f->out).p, f->out.n, &f->size, e) != 0)
		return -1;
	buf_reset(&f->out);
	if (f->out.cap > KEEP_BYTES)
		buf_close(&f->out);
	return 0;
}

/* Back to the last commit, in memory and, if it can be, in the file. */
static void
roll_back(struct audit_file *f)
{
	buf_reset(&f->out);
	audit_marks_undo(&f->marks, f->pending);
	f->pending = 0;
	f->now = f->safe;
	f->entries = f->safe_entries;
	if (f->size != f->safe_size && f->fd >= 0 && ftruncate(f->fd, (off_t)f->safe_size) != 0)
		f->broken = true;
	f->size = f->safe_size;
}

int
audit_file_commit(struct audit_file *f, struct err *e)
{
	if (flush_out(f, e) != 0) {
		roll_back(f);
		return -1;
	}
	if (f->size == f->safe_size)
		return 0;
	if (fdatasync(f->fd) != 0) {
		(void)bad_errno(f, e, "sync");
		f->broken = true;
		roll_back(f);
		return -1;
	}
	f->safe = f->now;
	f->safe_size = f->size;
	f->safe_entries = f->entries;
	f->pending = 0;
	f->syncs++;
	return 0;
}

bool
audit_file_is_loaded(const struct audit_file *f)
{
	return f->out.n >= LOADED_BYTES || f->pending >= AUDIT_RECENT / 2;
}

static int
seal(struct audit_file *f, size_t start, struct err *e)
{
	return audit_seal(&f->hash, &f->out, start, f->now.head, e);
}

enum audit_added
audit_file_add(struct audit_file *f, const struct record *r, const struct origin *o, int64_t now_us)
{
	struct audit_mark *k = audit_marks_get(&f->marks, slice_of(o->arn), slice_of(o->shard));
	struct err e;
	size_t start;

	if (audit_marks_is_replay(&f->marks, k, &r->seq))
		return AUDIT_REPLAY;
	start = f->out.n;
	f->out.max = start + AUDIT_LINE_MAX;
	audit_write_entry(&f->out, f->now.next, r, o);
	if (f->out.failed || seal(f, start, &e) != 0) {
		bool too_long =
		    f->out.n - start > AUDIT_LINE_MAX / 2 || r->raw.n > AUDIT_LINE_MAX / 4;

		f->out.n = start;
		f->out.failed = false;
		return too_long ? AUDIT_TOO_LONG : AUDIT_NO_MEMORY;
	}
	f->now.next++;
	f->entries++;
	audit_marks_add(&f->marks, k, &r->seq, now_us / USEC_SEC);
	f->pending++;
	return AUDIT_ADDED;
}

bool
audit_file_is_full(const struct audit_file *f, int64_t now_us)
{
	return f->entries > 0 &&
	    (f->size + f->out.n >= (uint64_t)f->conf->rotate_size ||
		now_us - f->created_us >= f->conf->rotate_age_us);
}

/* ---- files ---- */

static int
write_header(struct audit_file *f, const char *name, int64_t now_us, struct err *e)
{
	f->out.max = AUDIT_LINE_MAX;
	buf_addf(&f->out,
	    "{\"trail\":%u,\"first\":%" PRIu64 ",\"kept_from\":%" PRIu64
	    ",\"file\":\"%s\",\"created\":\"",
	    AUDIT_FORMAT, f->now.next, f->now.kept_from, name);
	format_time(now_us / USEC_SEC * USEC_SEC, &f->out);
	buf_add_str(&f->out, "\",\"marks\":");
	audit_marks_write(&f->marks, now_us / USEC_SEC, &f->out);
	return seal(f, 0, e);
}

/* Never over another file. Some network file systems know no NOREPLACE: there
 * the lock on the directory has to do. */
static int
rename_new(int dir_fd, const char *from, const char *to)
{
	if (renameat2(dir_fd, from, dir_fd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (faccessat(dir_fd, to, F_OK, 0) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(dir_fd, from, dir_fd, to);
}

/* A file with its header, durable, under its name. The descriptor, or -1. */
static int
create(struct audit_file *f, const char *name, int64_t now_us, uint64_t *size, struct err *e)
{
	char tmp[AUDIT_NAME_MAX + 8];
	int fd;

	(void)snprintf(tmp, sizeof tmp, ".%s.tmp", name);
	*size = 0;
	if (write_header(f, name, now_us, e) != 0)
		return -1;
	fd = openat(f->dir_fd, tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_errno(e, errno, "audit: cannot create %s/%s", f->conf->directory, name);
	if (write_at(f, fd, f->out.p, f->out.n, size, e) != 0)
		goto fail;
	if (fsync(fd) != 0 || rename_new(f->dir_fd, tmp, name) != 0) {
		(void)err_errno(e, errno, "audit: cannot create %s/%s", f->conf->directory, name);
		goto fail;
	}
	if (fsync(f->dir_fd) == 0)
		return fd;
	/* There, but perhaps not after a power failure: look again before using it. */
	(void)err_errno(e, errno, "audit: cannot sync directory %s", f->conf->directory);
	f->broken = true;
	(void)close(fd);
	return -1;
fail:
	(void)unlinkat(f->dir_fd, tmp, 0);
	(void)close(fd);
	return -1;
}

int
audit_file_rotate(struct audit_file *f, int64_t now_us, struct err *e)
{
	char name[AUDIT_NAME_MAX];
	uint64_t size;
	int fd;

	if (audit_file_commit(f, e) != 0)
		return -1;
	audit_name_make(name, f->now.next, now_us);
	fd = create(f, name, now_us, &size, e);
	buf_reset(&f->out);
	if (fd < 0) {
		f->now = f->safe;
		return -1;
	}
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = fd;
	memcpy(f->file, name, sizeof name);
	f->created_us = now_us;
	f->size = f->safe_size = size;
	f->entries = f->safe_entries = 0;
	f->safe = f->now;
	f->gzip_scan = f->conf->compress;
	log_info("audit", f->name, "new file file=%s/%s", f->conf->directory, f->file);
	return 0;
}

/* ---- retention ---- */

/* How many of the oldest files were closed (that is, followed by another) long enough ago. */
static size_t
count_due(const struct audit_file *f, const struct audit_names *l, int64_t now_us)
{
	size_t n = 0;

	while (n + 1 < l->n &&
	    now_us / USEC_SEC - l->v[n + 1].created_s >= f->conf->retention_us / USEC_SEC)
		n++;
	return n;
}

int
audit_file_note(struct audit_file *f, const char *members, struct err *e)
{
	if (audit_file_commit(f, e) != 0)
		return -1;
	f->out.max = AUDIT_LINE_MAX;
	buf_addf(&f->out, "{\"note\":%s", members);
	if (seal(f, 0, e) == 0)
		return audit_file_commit(f, e);
	roll_back(f);
	return -1;
}

static int
note_pruned(struct audit_file *f, uint64_t kept_from, size_t files, int64_t now_us, struct err *e)
{
	struct buf members = BUF_INIT(256);
	uint64_t before = f->now.kept_from;
	int r;

	buf_addf(&members, "\"pruned\",\"kept_from\":%" PRIu64 ",\"files\":%zu,\"time\":\"",
	    kept_from, files);
	format_time(now_us / USEC_SEC * USEC_SEC, &members);
	buf_add_char(&members, '"');
	r = audit_file_note(f, buf_cstr(&members), e);
	f->now.kept_from = f->safe.kept_from = r == 0 ? kept_from : before;
	buf_close(&members);
	return r;
}

static int
remove_file(struct audit_file *f, const char *name, struct err *e)
{
	char gz[AUDIT_NAME_MAX + 8];

	(void)snprintf(gz, sizeof gz, "%s" AUDIT_GZ, name);
	if ((unlinkat(f->dir_fd, name, 0) == 0 || errno == ENOENT) &&
	    (unlinkat(f->dir_fd, gz, 0) == 0 || errno == ENOENT))
		return 0;
	return err_errno(e, errno, "audit: cannot remove %s/%s", f->conf->directory, name);
}

static int
prune_names(
    struct audit_file *f, const struct audit_names *l, size_t due, int64_t now_us, struct err *e)
{
	uint64_t kept_from = l->v[due].first;

	if (kept_from > f->now.kept_from && note_pruned(f, kept_from, due, now_us, e) != 0)
		return -1;
	/* Oldest first: a crash in between leaves a trail without holes. */
	for (size_t i = 0; i < due; i++) {
		if (audit_gzip_busy(&f->gzip) && strcmp(f->gzip.name, l->v[i].name) == 0)
			audit_gzip_cancel(&f->gzip, f->dir_fd);
		if (remove_file(f, l->v[i].name, e) != 0)
			return -1;
		log_info("audit", f->name, "removed by retention file=%s/%s", f->conf->directory,
		    l->v[i].name);
	}
	if (fsync(f->dir_fd) != 0)
		return err_errno(e, errno, "audit: cannot sync directory %s", f->conf->directory);
	return 0;
}

int
audit_file_prune(struct audit_file *f, int64_t now_us, struct err *e)
{
	struct audit_names l;
	size_t due;
	int r = 0;

	if (f->conf->retention_us == 0)
		return 0;
	if (audit_names_list(&l, f->conf->directory, e) != 0)
		return -1;
	due = count_due(f, &l, now_us);
	if (due > 0)
		r = prune_names(f, &l, due, now_us, e);
	audit_names_close(&l);
	return r;
}

/* ---- compression ---- */

static bool
begin_next(struct audit_file *f, struct err *e)
{
	struct audit_names l;
	bool begun = false;
	size_t i = 0;

	if (audit_names_list(&l, f->conf->directory, e) != 0)
		return false;
	while (i + 1 < l.n && l.v[i].gz)
		i++;
	if (i + 1 < l.n)
		begun = audit_gzip_begin(&f->gzip, f->dir_fd, l.v[i].name, e) == 0;
	audit_names_close(&l);
	return begun;
}

bool
audit_file_compress(struct audit_file *f, uint64_t bytes)
{
	struct err e = {.code = ERR_NONE};
	int r;

	if (!audit_gzip_busy(&f->gzip)) {
		if (!f->gzip_scan || f->broken)
			return false;
		f->gzip_scan = begin_next(f, &e);
		if (e.code != ERR_NONE)
			log_warn("audit", f->name, "not compressed: %s", e.text);
		return f->gzip_scan;
	}
	r = audit_gzip_step(&f->gzip, f->dir_fd, bytes, &e);
	if (r < 0) {
		/* The next rotation or start tries again. */
		f->gzip_scan = false;
		log_warn("audit", f->name, "not compressed: %s", e.text);
	}
	return r >= 0;
}

/* ---- the life of it ---- */

int
audit_file_mend(struct audit_file *f, int64_t now_us, struct err *e)
{
	bool again = f->started;

	if (!f->broken)
		return 0;
	if ((again ? audit_resume_again : audit_resume)(f, now_us, e) != 0)
		return -1;
	f->broken = false;
	f->started = true;
	log_info("audit", f->name, "%s entry=%" PRIu64 " file=%s/%s",
	    again ? "opened again and verified" : "open", f->now.next, f->conf->directory, f->file);
	return 0;
}

int
audit_file_open(struct audit_file *f, const struct audit_conf *conf, const char *name,
    int64_t now_us, struct err *e)
{
	*f = (struct audit_file){.conf = conf, .name = name, .dir_fd = -1, .lock_fd = -1, .fd = -1};
	audit_gzip_init(&f->gzip);
	audit_marks_open(&f->marks);
	audit_chain_begin(&f->now);
	f->gzip_scan = conf->compress;
	f->broken = true;
	if (audit_hash_open(&f->hash, e) == 0 && audit_dir_open(f, e) == 0 &&
	    audit_file_mend(f, now_us, e) == 0)
		return 0;
	/* A full disk is no reason not to start: it is waited for, as later. */
	if (e->code == ERR_NOSPACE && f->lock_fd >= 0) {
		f->broken = true;
		log_error(
		    "audit", f->name, "%s; nothing is recorded until there is space", e->text);
		return 0;
	}
	audit_file_close(f);
	return -1;
}

void
audit_file_close(struct audit_file *f)
{
	if (f->dir_fd >= 0)
		audit_gzip_cancel(&f->gzip, f->dir_fd);
	if (f->fd >= 0)
		(void)close(f->fd);
	if (f->lock_fd >= 0)
		(void)close(f->lock_fd);
	if (f->dir_fd >= 0)
		(void)close(f->dir_fd);
	f->fd = f->lock_fd = f->dir_fd = -1;
	buf_close(&f->out);
	audit_marks_close(&f->marks);
	audit_hash_close(&f->hash);
}
