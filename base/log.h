/* base/log.h - one event, one line, on stderr.
 *
 * A line is: time, level, module, object, message with key=value tail. Under
 * the journal (JOURNAL_STREAM set) each line begins with its syslog priority
 * "<3>".."<7>" and carries no time. Format logfmt or JSON. Values are escaped;
 * callers never pass record contents or secrets.
 *
 * A message ends in " key=value" words without spaces in the values; they come
 * out as fields of their own.
 *
 * Repeats: a line with the same format string (the same text if that is "%s"),
 * module and object as one of the last ten seconds is held back and counted; the
 * count is printed with the next one let through ("repeated=12"). debug lines
 * are never held back.
 *
 * Threading: any thread; a line is one write().
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* Level and format may be set again at any time; the default is info, logfmt,
 * file descriptor 2. */
void log_set(enum log_level level, enum log_format format);
/* For tests and the simulator: lines go to fn (without newline and time, and
 * none is held back) instead; NULL restores stderr. fn must not log. */
void log_set_sink(void (*fn)(void *ctx, enum log_level level, const char *line), void *ctx);
/* For tests of folding: monotonic microseconds; NULL restores the real clock. */
void log_set_clock(int64_t (*now_us)(void));
int log_level_parse(const char *word, enum log_level *out, struct err *e) MUST_CHECK;
bool log_enabled(enum log_level level);

/* module: "lane"; object: which one ("trail"), or "". */
void log_line(enum log_level level, const char *module, const char *object, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* Prints what is still held back; at exit. */
void log_flush(void);

#define log_error(module, object, ...) log_line(LOG_ERROR, module, object, __VA_ARGS__)
#define log_warn(module, object, ...) log_line(LOG_WARN, module, object, __VA_ARGS__)
#define log_info(module, object, ...) log_line(LOG_INFO, module, object, __VA_ARGS__)
#define log_debug(module, object, ...)                                                             \
	do {                                                                                       \
		if (log_enabled(LOG_DEBUG))                                                        \
			log_line(LOG_DEBUG, module, object, __VA_ARGS__);                          \
	} while (0)

#endif
