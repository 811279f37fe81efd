/* tests/fuzz/pattern_compile_fuzz.c - any bytes as a pattern, typed and plain
 * (libFuzzer).
 *
 * What is refused is refused as configuration, with a reason that can be shown; what
 * is taken answers for every change of a table's life, and says why when it is no.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS "\"Keys\":{\"pk\":{\"S\":\"a\"}}"
#define ITEM(n, s)                                                                                 \
	"{\"pk\":{\"S\":\"a\"},\"n\":{\"N\":\"" n "\"},\"s\":{\"S\":\"" s "\"},"                   \
	"\"m\":{\"M\":{\"d\":{\"L\":[{\"N\":\"1\"},{\"M\":{\"x\":{\"BOOL\":true}}}]}}},"           \
	"\"b\":{\"B\":\"AAEC\"},\"z\":{\"NULL\":true},\"ss\":{\"SS\":[\"a\",\"b\"]},"              \
	"\"ns\":{\"NS\":[\"1\",\"2.50\"]},\"bs\":{\"BS\":[\"AA==\"]}}"

static const char *const documents[] = {
    "{\"eventName\":\"INSERT\",\"dynamodb\":{" KEYS ",\"NewImage\":" ITEM("5", "x") "}}",
    "{\"eventName\":\"MODIFY\",\"dynamodb\":{" KEYS
    ",\"NewImage\":" ITEM("9", "y\\u00e4") ",\"OldImage\":" ITEM("12e0", "x") "}}",
    "{\"eventName\":\"REMOVE\",\"userIdentity\":{\"Type\":\"Service\",\"PrincipalId\":"
    "\"dynamodb.amazonaws.com\"},\"dynamodb\":{" KEYS ",\"OldImage\":" ITEM("0", "") "}}",
    "{\"a\":[1,{\"b\":null},[true,\"x\"]],\"c\":{\"d\":\"10.0.0.1\"}}",
    "5",
};

static void
check(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "pattern_compile_fuzz: %s\n", what);
		abort();
	}
}

static void
check_shown(const char *text)
{
	for (; *text != '\0'; text++)
		check((unsigned char)*text >= ' ', "a control character in a message");
}

static void
ask(struct pattern *p)
{
	struct buf why = BUF_INIT(1 << 16);

	for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
		bool yes = pattern_match(p, slice_of(documents[i]));

		buf_reset(&why);
		pattern_explain(p, slice_of(documents[i]), &why);
		check(yes == (why.n == 0), "match and explain disagree");
		check(yes == pattern_match(p, slice_of(documents[i])), "answers differ");
	}
	buf_close(&why);
	if (pattern_remark(p) != NULL)
		check_shown(pattern_remark(p));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size != 0 ? size : 1); /* so that ASan sees its end */
	struct slice text = {copy, size};
	struct pattern *p;
	struct err e;

	assert(copy != NULL);
	if (size != 0)
		memcpy(copy, data, size);
	for (int plain = 0; plain < 2; plain++) {
		int r = plain ? pattern_compile_plain(&p, text, &e) : pattern_compile(&p, text, &e);

		if (r == 0) {
			ask(p);
			pattern_close(p);
			continue;
		}
		check(e.code == ERR_CONFIG, "refused, but not as configuration");
		check(strncmp(e.text, "pattern: ", 9) == 0, "no reason");
		check_shown(e.text);
	}
	free(copy);
	return 0;
}
