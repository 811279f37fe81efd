/* tests/unit/shared_support.h - fixtures that lie beside the tree.
 *
 * $SLIPRING_SHARED, or ../shared from the root of the repository. A test that
 * needs them begins with SHARED_OR_SKIP().
 */
#ifndef TESTS_SHARED_SUPPORT_H
#define TESTS_SHARED_SUPPORT_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

static inline const char *
shared_dir(void)
{
	const char *dir = getenv("SLIPRING_SHARED");

	return dir != NULL && dir[0] != '\0' ? dir : "../shared";
}

static inline const char *
shared_path(const char *below)
{
	static char path[1024];

	(void)snprintf(path, sizeof path, "%s/%s", shared_dir(), below);
	return path;
}

#define SHARED_OR_SKIP(below)                                                                      \
	do {                                                                                       \
		DIR *dir_ = opendir(shared_path(below));                                           \
                                                                                                   \
		if (dir_ == NULL) {                                                                \
			print_message("skipped: %s is not there (%s); set SLIPRING_SHARED\n",      \
			    shared_path(below), strerror(errno));                                  \
			skip();                                                                    \
		}                                                                                  \
		(void)closedir(dir_);                                                              \
	} while (0)

/* The whole file, NUL-terminated; valid until the next call. */
static inline char *
shared_read(const char *below, size_t *n)
{
	static char text[1 << 20];
	FILE *f = fopen(shared_path(below), "rb");

	if (f == NULL)
		fail_msg("cannot open %s: %s", shared_path(below), strerror(errno));
	*n = fread(text, 1, sizeof text - 1, f);
	(void)fclose(f);
	text[*n] = '\0';
	return text;
}

#endif
