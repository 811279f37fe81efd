/* sinks/audit_file.h - the writing end of a trail: append, commit, roll back,
 * rotate, remove, compress, resume.
 *
 *   add add add -> commit (write, fdatasync) -> everything added is durable
 *                    '-> failed -> all of it is taken back, from file and memory
 *
 * Two states of the chain are kept: `now` with what was added, `safe` as of the
 * last commit. A failed commit truncates the file to `safe`. If a write or
 * fdatasync failed for any other reason than space, the file is not trusted: it is
 * closed, and the next call opens it again and verifies it (audit_file.c says why
 * a second fdatasync would prove nothing).
 *
 * Threading: one owner, the storage thread (open() and close() before and after
 * it). The time comes in as a parameter: clocks belong to the loop.
 */
#ifndef SINKS_AUDIT_FILE_H
#define SINKS_AUDIT_FILE_H

#include "sinks/audit_chain.h"
#include "sinks/audit_dir.h"
#include "sinks/audit_gzip.h"
#include "sinks/audit_marks.h"

struct audit_conf {
	char *directory;
	int64_t rotate_size;
	int64_t rotate_age_us;
	int64_t retention_us; /* 0: for ever */
	bool compress;
};

struct audit_file {
	const struct audit_conf *conf; /* borrowed */
	const char *name;	       /* borrowed; the sink's, for the log */
	int dir_fd, lock_fd, fd;       /* owned; -1: none */
	char file[AUDIT_NAME_MAX];     /* being written */
	int64_t created_us;
	uint64_t entries; /* in it */
	struct audit_hash hash;
	struct audit_chain now, safe;
	uint64_t size, safe_size; /* written to the file; of it durable */
	uint64_t safe_entries;
	struct buf out; /* added, not yet written */
	size_t pending; /* marks added since the last commit */
	struct audit_marks marks;
	struct audit_gzip gzip;
	bool gzip_scan; /* closed files may wait for compression */
	bool broken;	/* not to be written before it was verified again */
	bool started;	/* resumed once */
	uint64_t syncs;
};

enum audit_added {
	AUDIT_ADDED,
	AUDIT_REPLAY,	/* it is there already */
	AUDIT_TOO_LONG, /* it never will be */
	AUDIT_NO_MEMORY,
};

/* Takes the lock, resumes or begins the trail. ERR_CONFIG, ERR_IO, ERR_LOCKED,
 * ERR_CORRUPT, ERR_VERSION, ERR_NOSPACE. */
int audit_file_open(struct audit_file *f, const struct audit_conf *conf, const char *name,
    int64_t now_us, struct err *e) MUST_CHECK;
void audit_file_close(struct audit_file *f);
/* Makes a broken file whole again. ERR_CORRUPT: acked entries are gone. */
int audit_file_mend(struct audit_file *f, int64_t now_us, struct err *e) MUST_CHECK;
/* Should audit_file_rotate() be called before the next add()? After a commit only. */
bool audit_file_is_full(const struct audit_file *f, int64_t now_us);
int audit_file_rotate(struct audit_file *f, int64_t now_us, struct err *e) MUST_CHECK;
enum audit_added audit_file_add(
    struct audit_file *f, const struct record *r, const struct origin *o, int64_t now_us);
/* So much is waiting that a commit is due. */
bool audit_file_is_loaded(const struct audit_file *f);
int audit_file_commit(struct audit_file *f, struct err *e) MUST_CHECK;
/* Removes what retention no longer keeps, the trail saying so first. */
int audit_file_prune(struct audit_file *f, int64_t now_us, struct err *e) MUST_CHECK;
/* A line about the trail itself, from after {"note": to before the hashes. */
int audit_file_note(struct audit_file *f, const char *members, struct err *e) MUST_CHECK;
/* Compresses about that many bytes of closed files; false: nothing to do. */
bool audit_file_compress(struct audit_file *f, uint64_t bytes);

#endif
