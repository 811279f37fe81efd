/* base/utf8.h - well-formed UTF-8 (Unicode 15, table 3-7): no overlong forms,
 * no surrogates, nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <string.h>

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

/* Puts '?' for each byte that is not part of UTF-8: what a cut has left of a letter, or what
 * came like that from outside. JSON takes nothing else. */
static inline void
utf8_mend(char *text)
{
	size_t n = strlen(text);

	for (size_t len; n != 0; text += len, n -= len) {
		len = utf8_length(text, n);
		if (len != 0)
			continue;
		*text = '?';
		len = 1;
	}
}

#endif
