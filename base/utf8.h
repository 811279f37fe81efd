/* base/utf8.h - well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms,
 * no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Length in bytes of the sequence at p (1..4), or 0 if it is not well-formed
 * within n bytes. */
static inline size_t
utf8_length(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	if (n == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xc2)
		return 0;
	if (u[0] < 0xe0)
		return n >= 2 && (u[1] & 0xc0) == 0x80 ? 2 : 0;
	if (u[0] < 0xf0) {
		if (n < 3 || (u[1] & 0xc0) != 0x80 || (u[2] & 0xc0) != 0x80)
			return 0;
		if (u[0] == 0xe0 && u[1] < 0xa0)
			return 0;
		if (u[0] == 0xed && u[1] > 0x9f)
			return 0;
		return 3;
	}
	if (u[0] > 0xf4 || n < 4 || (u[1] & 0xc0) != 0x80 || (u[2] & 0xc0) != 0x80 ||
	    (u[3] & 0xc0) != 0x80)
		return 0;
	if (u[0] == 0xf0 && u[1] < 0x90)
		return 0;
	if (u[0] == 0xf4 && u[1] > 0x8f)
		return 0;
	return 4;
}

#endif
