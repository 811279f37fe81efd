/* record/sequence.c - see sequence.h. */
#include "record/sequence.h"

bool
seq_parse(struct slice s, struct seq *out)
{
	out->n = 0;
	if (s.p == NULL || s.n == 0 || s.n > LIMIT_SEQUENCE_DIGITS)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	memset(out->digits, '0', LIMIT_SEQUENCE_DIGITS - s.n);
	memcpy(out->digits + LIMIT_SEQUENCE_DIGITS - s.n, s.p, s.n);
	out->n = (uint8_t)s.n;
	return true;
}
