/* base/err.c - see err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void set_text(struct err *, enum err_code, bool, const char *, va_list) PRINTF_LIKE(4, 0);

static void
set_text(struct err *e, enum err_code code, bool retriable, const char *fmt, va_list ap)
{
	e->code = code;
	e->retriable = retriable;
	(void)vsnprintf(e->text, sizeof e->text, fmt, ap);
	utf8_mend(e->text);
}

int
err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	set_text(e, code, false, fmt, ap);
	va_end(ap);
	return -1;
}

int
err_retry(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	set_text(e, code, true, fmt, ap);
	va_end(ap);
	return -1;
}

int
err_prefix(struct err *e, const char *fmt, ...)
{
	char head[sizeof e->text];
	char tail[sizeof e->text];
	va_list ap;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof head, fmt, ap);
	va_end(ap);
	memcpy(tail, e->text, sizeof tail);
	(void)snprintf(e->text, sizeof e->text, "%.200s: %.300s", head, tail);
	utf8_mend(e->text);
	return -1;
}

int
err_errno(struct err *e, int errnum, const char *fmt, ...)
{
	char head[400];
	va_list ap;
	enum err_code code = ERR_IO;
	bool retriable = false;

	if (e == NULL)
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(head, sizeof head, fmt, ap);
	va_end(ap);
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		code = ERR_NOSPACE;
		retriable = true;
		break;
	case ENOMEM:
		code = ERR_NOMEM;
		retriable = true;
		break;
	case EMFILE:
	case ENFILE:
	case EINTR:
	case EAGAIN:
		retriable = true;
		break;
	}
	e->code = code;
	e->retriable = retriable;
	(void)snprintf(e->text, sizeof e->text, "%s: %s", head, strerror(errnum));
	utf8_mend(e->text);
	return -1;
}

int
err_exit_code(const struct err *e)
{
	switch (e->code) {
	case ERR_CONFIG:
		return 78;
	case ERR_USAGE:
		return 64;
	case ERR_NONE:
	case ERR_IO:
	case ERR_NOSPACE:
	case ERR_LOCKED:
	case ERR_VERSION:
	case ERR_CORRUPT:
	case ERR_NETWORK:
	case ERR_PROTOCOL:
	case ERR_AUTH:
	case ERR_NOT_FOUND:
	case ERR_REFUSED:
	case ERR_LIMIT:
	case ERR_NOMEM:
	case ERR_CANCELLED:
		return 1;
	}
	return 1;
}
