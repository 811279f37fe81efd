/* sinks/audit_gzip.h - compresses one closed file, a slice at a time.
 *
 * The storage thread does it between two commits, so that no commit waits for
 * 256 MiB to be compressed, and no second thread touches the directory.
 *
 *   X.ndjson -> .X.ndjson.gz.tmp, fsync, rename to X.ndjson.gz, fsync of the
 *   directory, X.ndjson removed. A crash leaves X.ndjson or both.
 */
#ifndef SINKS_AUDIT_GZIP_H
#define SINKS_AUDIT_GZIP_H

#include "base/err.h"
#include "sinks/audit_line.h"

struct audit_gzip {
	int in, tmp; /* owned; -1: idle */
	void *z;     /* owned */
	char name[AUDIT_NAME_MAX];
	char tmp_name[AUDIT_NAME_MAX + 8];
};

#define AUDIT_TMP_PREFIX ".audit-"

void audit_gzip_init(struct audit_gzip *g);
bool audit_gzip_busy(const struct audit_gzip *g);
int audit_gzip_begin(struct audit_gzip *g, int dir_fd, const char *name, struct err *e) MUST_CHECK;
/* About `bytes` of input. 1: finished, 0: more to do, -1: given up and cleaned up. */
int audit_gzip_step(struct audit_gzip *g, int dir_fd, uint64_t bytes, struct err *e) MUST_CHECK;
void audit_gzip_cancel(struct audit_gzip *g, int dir_fd); /* idle: no-op */

#endif
