/* tests/fuzz/opensearch_fuzz.c - any bytes as OpenSearch's answer (libFuzzer).
 *
 * Every item of an answer that is taken gets a verdict, and a reason unless it is an
 * ACK; no reason carries a control character, or what stands in quotes in the answer.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/opensearch_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct os_target target = {.index = (char[]){"orders"}};

static void
check(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "opensearch_fuzz: %s\n", what);
		abort();
	}
}

static void
check_why(enum sink_verdict v, const struct err *why)
{
	if (v == SINK_ACK)
		return;
	check(strncmp(why->text, "opensearch: ", 12) == 0, "no reason");
	for (const char *p = why->text; *p != '\0'; p++)
		check((unsigned char)*p >= ' ', "a control character in a reason");
}

static void
on_item(void *arg, size_t i, const struct os_item *it)
{
	size_t *next = arg;

	check(i == (*next)++, "items out of order");
	for (int k = 0; k < 4; k++) {
		struct err why = {.text = ""};

		target.seen = k / 2;
		check_why(os_item_verdict(it, k % 2, &target, "search", &why), &why);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size != 0 ? size : 1); /* so that ASan sees its end */
	struct slice body = {copy, size};
	struct err e, why = {.text = ""};

	assert(copy != NULL);
	if (size != 0)
		memcpy(copy, data, size);
	for (size_t count = 0; count < 4; count++) {
		size_t seen = 0;

		if (os_answer_each(body, count, on_item, &seen, &e) == 0)
			check(seen == count, "items missing");
		else
			check(seen == 0, "half an answer was taken");
	}
	check_why(os_whole_verdict(size > 1 ? data[0] * 4 : 0, body, "search", &why), &why);
	free(copy);
	return 0;
}
