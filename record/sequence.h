/* record/sequence.h - sequence numbers: decimal, up to 40 digits.
 *
 * Compared as integers: 40 digits need 133 bits, so they are kept as text,
 * right-aligned and padded with zeros, where memcmp is integer order. The
 * original length is kept, because the service wants the text back as it came
 * (DynamoDB Local: 21 digits with leading zeros).
 */
#ifndef RECORD_SEQUENCE_H
#define RECORD_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "base/slice.h"

struct seq {
	char digits[LIMIT_SEQUENCE_DIGITS]; /* '0'-padded on the left */
	uint8_t n;			    /* digits of the original text; 0: no number */
};

/* False, and *out unset (n = 0), unless s is 1..40 decimal digits. */
bool seq_parse(struct slice s, struct seq *out);

static inline bool
seq_is_set(const struct seq *s)
{
	return s->n != 0;
}

/* The text as it came; a view into *s. */
static inline struct slice
seq_text(const struct seq *s)
{
	return (struct slice){s->digits + LIMIT_SEQUENCE_DIGITS - s->n, s->n};
}

/* Integer order; both must be set. */
static inline int
seq_cmp(const struct seq *a, const struct seq *b)
{
	return memcmp(a->digits, b->digits, LIMIT_SEQUENCE_DIGITS);
}

#endif
