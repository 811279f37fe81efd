/* tests/fuzz/unseal_fuzz.c - lines of any kind through `slipring decrypt`, and sealed
 * texts that were not sealed here.
 *
 * What comes out must be JSON again, and the same where nothing was opened.
 */
#include "filters/unseal.h"

#include <stdlib.h>

#include "base/limits.h"
#include "record/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct unseal *
opener(void)
{
	static struct unseal *u;
	struct secret key = {.bytes = NULL};
	struct err e;

	if (u != NULL)
		return u;
	secret_set(&key, SLICE_LIT("a key of 32 bytes for the fuzzer"));
	if (unseal_new(&u, "t", "pk,sk", &e) != 0 || unseal_add_key(u, &key, &e) != 0)
		abort();
	secret_clear(&key);
	return u;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice line = {(const char *)data, size};
	struct buf out = BUF_INIT(LIMIT_PAGE_BODY);
	struct unseal_count n;
	struct err e;

	if (!json_check(line) || size == 0)
		return 0;
	if (unseal_line(opener(), line, &out, &n, &e) == 0 || n.failed != 0) {
		if (!json_check(buf_slice(&out)))
			abort();
	}
	buf_close(&out);
	return 0;
}
