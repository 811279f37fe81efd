/* daemon/columns.h - a table of text for people: cells as wide as the widest
 * of their column, nothing that could drive the terminal. */
#ifndef DAEMON_COLUMNS_H
#define DAEMON_COLUMNS_H

#include "base/buf.h"

#define COLUMNS_MAX 12

struct columns {
	char **cells; /* owned; rows of `count` */
	size_t n, cap;
	size_t count;
};

/* heads: NULL-terminated; they are the first row. */
void columns_begin(struct columns *c, const char *const *heads);
void columns_add(struct columns *c, const char *text); /* next cell; NULL: "-" */
void columns_addf(struct columns *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t columns_rows(const struct columns *c); /* without the heads */
/* To stdout, unless there are no rows; frees. */
void columns_end(struct columns *c);

/* "3s", "4m 10s", "2h 5m", "1d 4h" */
void age_write(struct buf *out, double seconds);

#endif
