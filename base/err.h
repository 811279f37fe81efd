/* base/err.h - what went wrong, where, and whether trying again may help.
 *
 * Functions that can fail return int 0/-1 and fill a struct err the caller
 * owns (usually on its stack). The text is for people and begins with the
 * module ("store: cannot open /x: ..."); decisions look at code or retriable
 * only. The text never carries record contents or secrets, and is UTF-8 even where
 * it was cut to fit.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#include "base/compiler.h"

enum err_code {
	ERR_NONE,
	ERR_CONFIG,    /* the operator's input: exit 78 */
	ERR_USAGE,     /* the command line: exit 64 */
	ERR_IO,	       /* a file or directory */
	ERR_NOSPACE,   /* ENOSPC or EDQUOT */
	ERR_LOCKED,    /* somebody else holds it */
	ERR_VERSION,   /* written by a newer or a foreign program */
	ERR_CORRUPT,   /* bytes on disk that do not verify */
	ERR_NETWORK,   /* connection refused, reset, timed out, TLS */
	ERR_PROTOCOL,  /* an answer that cannot be understood */
	ERR_AUTH,      /* credentials or permission */
	ERR_NOT_FOUND, /* table, stream, shard, row */
	ERR_REFUSED,   /* the peer understood and said no */
	ERR_LIMIT,     /* one of our own bounds */
	ERR_NOMEM,
	ERR_CANCELLED,
};

struct err {
	enum err_code code;
	bool retriable;
	char text[512];
};

/* Both return -1 so that `return err_set(e, ...)` reads well; e may be NULL. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_retry(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Puts "prefix: " before the text that is there, keeps code and retriable.
 * Returns -1. */
int err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* From errno: ENOSPC/EDQUOT -> ERR_NOSPACE, ENOMEM -> ERR_NOMEM, else ERR_IO;
 * appends ": strerror". Retriable for ENOSPC, EDQUOT, ENOMEM, EMFILE, ENFILE,
 * EINTR, EAGAIN. Returns -1. */
int err_errno(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The process exit code for an error that ends the program: 64, 78 or 1. */
int err_exit_code(const struct err *e);

#endif
