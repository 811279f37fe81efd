/* tests/fuzz/pattern_match_fuzz.c - a pattern, a line feed, a document (libFuzzer).
 *
 * A record of a page is asked without walking it, and must answer as its JSON does. The
 * answers of the two modes check each other: a plain pattern on a record must say
 * what the same pattern says, as a plain event pattern, about the record's envelope, where
 * attributes have lost their types. Operators that look at values as a whole are not in that
 * comparison, because the envelope does not tell a binary from a text.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filters/pattern_priv.h"
#include "record/format.h"
#include "record/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "pattern_match_fuzz: %s\n", what);
		abort();
	}
}

static bool
ask(struct pattern *p, struct slice document)
{
	struct buf why = BUF_INIT(1 << 20);
	bool yes = pattern_match(p, document);

	pattern_explain(p, document, &why);
	check(yes == (why.n == 0), "match and explain disagree");
	buf_close(&why);
	return yes;
}

/* Names of a change that the envelope has, too, in the same words. */
static bool
is_comparable(const struct pattern *p)
{
	static const char *const names[] = {"event", "keys", "new", "old", "id"};

	for (size_t i = 0; i < p->count; i++)
		for (size_t k = 0; k < p->alternatives[i]->count; k++) {
			bool known = false;

			for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
				known =
				    known || slice_is(p->alternatives[i]->fields[k].name, names[n]);
			if (!known)
				return false;
		}
	return !p->whole;
}

static void
compare_modes(struct pattern *plain, struct pattern *typed, const struct record *r)
{
	struct buf envelope = BUF_INIT((size_t)16 << 20);
	struct err e;

	if (r->event_id.p != NULL && r->event_name.p != NULL && is_comparable(plain) &&
	    format_write(FORMAT_ENVELOPE, r, NULL, &envelope, &e) == 0)
		check(pattern_match(typed, buf_slice(&envelope)) == pattern_match_record(plain, r),
		    "the two modes disagree");
	buf_close(&envelope);
}

/* A record of a page is asked without walking it. */
static void
ask_record(struct pattern *typed, struct pattern *plain, struct slice raw)
{
	struct page *page;
	struct err e;

	if (page_of_records(&page, &raw, 1, &e) != 0)
		return;
	if (typed != NULL)
		check(pattern_match(typed, page->records[0].raw) ==
			pattern_match_record(typed, &page->records[0]),
		    "record and document disagree");
	if (plain != NULL)
		check(pattern_match(plain, page->records[0].raw) ==
			pattern_match_record(plain, &page->records[0]),
		    "record and document disagree, plain");
	if (typed != NULL && plain != NULL)
		compare_modes(plain, typed, &page->records[0]);
	page_unref(page);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *feed = size != 0 ? memchr(data, '\n', size) : NULL;
	struct pattern *typed = NULL, *plain = NULL;
	struct slice text, document;
	char *copy;
	struct err e;

	if (feed == NULL)
		return 0;
	text = (struct slice){(const char *)data, (size_t)(feed - data)};
	document.n = size - text.n - 1;
	copy = malloc(document.n != 0 ? document.n : 1); /* so that ASan sees its end */
	assert(copy != NULL);
	if (document.n != 0)
		memcpy(copy, feed + 1, document.n);
	document.p = copy;
	if (json_check(document)) {
		if (pattern_compile(&typed, text, &e) == 0)
			(void)ask(typed, document);
		if (pattern_compile_plain(&plain, text, &e) == 0)
			(void)ask(plain, document);
		ask_record(typed, plain, document);
	}
	pattern_close(typed);
	pattern_close(plain);
	free(copy);
	return 0;
}
