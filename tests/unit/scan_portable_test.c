/* tests/unit/scan_portable_test.c - the differential test once more, over the
 * byte-by-byte lexer that machines without SSE2 get. This program brings its
 * own copy of lex.c, so the linker leaves the library's out. */
#define LEX_PORTABLE 1
#include "record/lex.c"

static_assert(LEX_SSE2 == 0, "this is the portable lexer");

#define PAGES_DEFAULT 20000
#include "tests/unit/scan_differential_test.c"
