/* daemon/columns.h - a table of text for people: cells as wide as the widest
 * of their column, nothing that could drive the terminal. */
#ifndef DAEMON_COLUMNS_H
#define DAEMON_COLUMNS_H

#include "base/buf.h"
#include "daemon/paint.h"

#define COLUMNS_MAX 12

struct cell {
	char *text; /* owned */
	enum paint paint;
};

struct columns {
	struct cell *cells; /* owned; rows of `count` */
	size_t n, cap;
	size_t count;
	size_t most[COLUMNS_MAX]; /* characters shown of a column; 0: all */
	size_t width;		  /* of a whole line, for the last column to keep to; 0: any */
	bool color;
};

/* heads: NULL-terminated; they are the first row. */
void columns_begin(struct columns *c, const char *const *heads);
void columns_add(struct columns *c, const char *text); /* next cell; NULL: "-" */
void columns_addf(struct columns *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Of the cell added last; shown where c->color is set. */
void columns_paint(struct columns *c, enum paint p);
size_t columns_rows(const struct columns *c); /* without the heads */
/* To stdout, unless there are no rows; frees. */
void columns_end(struct columns *c);

/* "3s", "4m 10s", "2h 5m", "1d 4h" */
void age_write(struct buf *out, double seconds);

#endif
