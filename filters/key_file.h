/* filters/key_file.h - a secret key of 256 bits, out of a file of its own.
 *
 * 32 bytes as they are, or 64 hexadecimal digits with or without a line end. A file that
 * everybody may read or write is refused: whoever can read it can undo what it is for.
 *
 * Threading: none. It reads a file: open() of a filter, and commands.
 */
#ifndef FILTERS_KEY_FILE_H
#define FILTERS_KEY_FILE_H

#include "base/err.h"
#include "base/secret.h"

#define KEY_BYTES 32u

/* ERR_CONFIG with the path, what is wrong and how to mend it. out is left alone then; else
 * it has KEY_BYTES bytes and is the caller's to clear. */
int key_file_read(const char *path, struct secret *out, struct err *e) MUST_CHECK;

#endif
