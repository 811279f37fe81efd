/* record/number.h - private to record/: DynamoDB numbers as decimals. The
 * public half is number_canonical() in value.h.
 *
 * Numbers never pass through a double: they have up to 38 digits. They are
 * taken more loosely than JSON has them ("+1", ".5", "007"), as some writers
 * of DynamoDB JSON are.
 */
#ifndef RECORD_NUMBER_H
#define RECORD_NUMBER_H

#include "base/buf.h"
#include "base/slice.h"

/* 0.d1d2d3... * 10^point; zero has no digits. */
struct number {
	bool negative;
	struct slice
	    digits;   /* from the first to the last that is not 0; a point may be among them */
	size_t count; /* digits in there */
	int64_t point;
};

bool number_parse(struct slice text, struct number *out);
/* By value: -1, 0, 1. */
int number_cmp(const struct number *a, const struct number *b);
/* Could the text stand in JSON as it is? */
bool number_is_json(struct slice text);

#endif
