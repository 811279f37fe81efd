/* record/set.h - private to record/: the elements of SS, NS and BS in order.
 *
 * DynamoDB sets have no order of their own, so every place that shows or
 * compares one sorts it first: SS by unescaped bytes, NS by value, BS by
 * decoded bytes. Small sets need no allocation.
 */
#ifndef RECORD_SET_H
#define RECORD_SET_H

#include "base/buf.h"
#include "record/lex.h"
#include "record/value.h"

#define SET_SMALL 8

struct set_item {
	struct slice raw; /* between the quotes, as it came */
	bool escaped;
	struct slice text; /* NS, BS: unescaped; raw itself where it holds no escape */
};

struct set {
	size_t n;
	struct set_item *v; /* small, or owned */
	struct buf texts;   /* owned; what had to be unescaped */
	struct set_item small[SET_SMALL];
};

enum set_status {
	SET_OK,
	SET_INVALID, /* not an array of strings of that kind */
	SET_NOMEM,
};

/* l is at the inner value of a VALUE_SS, VALUE_NS or VALUE_BS, and behind it
 * afterwards. set_close() follows whatever was returned. */
enum set_status set_sort(struct set *s, struct lex *l, enum value_type type) MUST_CHECK;
void set_close(struct set *s);
/* The same elements? */
bool set_eq(const struct set *a, const struct set *b, enum value_type type);

#endif
