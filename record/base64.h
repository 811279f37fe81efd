/* record/base64.h - base64 text, mostly looked at without decoding.
 *
 * The six-bit digits of two texts order as the bytes they encode do, and one
 * text differs from its canonical form in at most the bits of its last digit
 * that no byte uses. So neither order nor identity needs the bytes themselves.
 */
#ifndef RECORD_BASE64_H
#define RECORD_BASE64_H

#include "base/buf.h"
#include "base/slice.h"

/* 0..63, or -1. */
static inline int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/* Digits without the padding; false unless it is padded standard base64. */
static inline bool
base64_measure(struct slice text, size_t *digits)
{
	size_t n = text.n;

	if (n % 4 != 0)
		return false;
	for (int pad = 0; pad < 2 && n != 0 && text.p[n - 1] == '='; pad++)
		n--;
	for (size_t i = 0; i < n; i++)
		if (base64_digit(text.p[i]) < 0)
			return false;
	*digits = n;
	return true;
}

/* The last digit with the bits that no byte uses cleared. */
static inline int
base64_last(struct slice text, size_t digits)
{
	int d = base64_digit(text.p[digits - 1]);

	if (digits % 4 == 2)
		return d & 0x30;
	return digits % 4 == 3 ? d & 0x3c : d;
}

/* Order of the encoded bytes. Both must have been measured. */
static inline int
base64_cmp(struct slice a, size_t a_digits, struct slice b, size_t b_digits)
{
	size_t n = a_digits < b_digits ? a_digits : b_digits;

	for (size_t i = 0; i < n; i++) {
		int x = i + 1 == a_digits ? base64_last(a, a_digits) : base64_digit(a.p[i]);
		int y = i + 1 == b_digits ? base64_last(b, b_digits) : base64_digit(b.p[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a_digits < b_digits ? -1 : a_digits > b_digits;
}

/* Appends the bytes. It must have been measured. */
static inline void
base64_decode(struct slice text, size_t digits, struct buf *out)
{
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < digits; i++) {
		held = (held << 6 | (unsigned)base64_digit(text.p[i])) & 0xfffu;
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		buf_add_char(out, (char)(held >> bits & 0xffu));
	}
}

#endif
