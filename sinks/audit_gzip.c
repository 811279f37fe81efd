/* sinks/audit_gzip.c - see audit_gzip.h. */
#include "sinks/audit_gzip.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "sinks/audit_dir.h"

#define SLICE_BYTES (64u << 10)
/* Trails repeat themselves so much that a higher level gains little. */
#define LEVEL "wb4"

void
audit_gzip_init(struct audit_gzip *g)
{
	*g = (struct audit_gzip){.in = -1, .tmp = -1};
}

bool
audit_gzip_busy(const struct audit_gzip *g)
{
	return g->in >= 0;
}

void
audit_gzip_cancel(struct audit_gzip *g, int dir_fd)
{
	if (!audit_gzip_busy(g))
		return;
	if (g->z != NULL)
		(void)gzclose(g->z);
	if (g->tmp >= 0) {
		(void)close(g->tmp);
		(void)unlinkat(dir_fd, g->tmp_name, 0);
	}
	(void)close(g->in);
	audit_gzip_init(g);
}

/* gzclose() closes its descriptor; ours stays for fsync. */
static int
open_stream(struct audit_gzip *g)
{
	int fd = fcntl(g->tmp, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	g->z = gzdopen(fd, LEVEL);
	if (g->z != NULL)
		return gzbuffer(g->z, SLICE_BYTES);
	(void)close(fd);
	errno = ENOMEM;
	return -1;
}

int
audit_gzip_begin(struct audit_gzip *g, int dir_fd, const char *name, struct err *e)
{
	audit_gzip_init(g);
	(void)snprintf(g->name, sizeof g->name, "%s", name);
	(void)snprintf(g->tmp_name, sizeof g->tmp_name, ".%s" AUDIT_GZ ".tmp", name);
	g->in = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (g->in < 0)
		return err_errno(e, errno, "audit: cannot open %s to compress it", name);
	g->tmp = openat(
	    dir_fd, g->tmp_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (g->tmp >= 0 && open_stream(g) == 0)
		return 0;
	(void)err_errno(e, errno, "audit: cannot create %s", g->tmp_name);
	audit_gzip_cancel(g, dir_fd);
	return -1;
}

static int
finish(struct audit_gzip *g, int dir_fd, struct err *e)
{
	char gz[AUDIT_NAME_MAX + 8];
	int r;

	errno = 0;
	r = gzclose(g->z);
	g->z = NULL;
	if (r != Z_OK || fsync(g->tmp) != 0)
		return err_errno(
		    e, errno != 0 ? errno : EIO, "audit: cannot write %s", g->tmp_name);
	(void)snprintf(gz, sizeof gz, "%s" AUDIT_GZ, g->name);
	if (renameat(dir_fd, g->tmp_name, dir_fd, gz) != 0)
		return err_errno(e, errno, "audit: cannot rename %s to %s", g->tmp_name, gz);
	(void)close(g->tmp);
	g->tmp = -1;
	if (fsync(dir_fd) != 0 || unlinkat(dir_fd, g->name, 0) != 0)
		return err_errno(e, errno, "audit: cannot remove %s, which is compressed", g->name);
	return 0;
}

static int
copy_slice(struct audit_gzip *g, size_t *done, struct err *e)
{
	char bytes[SLICE_BYTES];
	ssize_t n = read(g->in, bytes, sizeof bytes);

	if (n < 0)
		return err_errno(e, errno, "audit: cannot read %s", g->name);
	errno = 0;
	if (n > 0 && gzwrite(g->z, bytes, (unsigned)n) != n)
		return err_errno(
		    e, errno != 0 ? errno : EIO, "audit: cannot write %s", g->tmp_name);
	*done = (size_t)n;
	return 0;
}

int
audit_gzip_step(struct audit_gzip *g, int dir_fd, uint64_t bytes, struct err *e)
{
	size_t n = 1;
	int r = 0;

	for (uint64_t sum = 0; r == 0 && n > 0 && sum < bytes; sum += n)
		r = copy_slice(g, &n, e);
	if (r == 0 && n > 0)
		return 0;
	if (r == 0)
		r = finish(g, dir_fd, e);
	audit_gzip_cancel(g, dir_fd);
	return r == 0 ? 1 : -1;
}
