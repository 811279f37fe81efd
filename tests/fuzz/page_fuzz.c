/* tests/fuzz/page_fuzz.c - any bytes as a GetRecords answer (libFuzzer).
 *
 * What page_parse() takes is then walked, unmarshalled, compared and keyed, and
 * what comes out must hold together: slices inside the body, plain and envelope
 * output that is JSON and that jansson reads wherever it reads the record at
 * all, a value equal to itself, no changes between an image and itself.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/limits.h"
#include "record/format.h"
#include "record/key.h"
#include "record/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool ok, const char *what)
{
	if (!ok) {
		(void)fprintf(stderr, "page_fuzz: %s\n", what);
		abort();
	}
}

static bool
jansson_reads(struct slice s)
{
	json_error_t e;
	json_t *j =
	    json_loadb(s.p, s.n, JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &e);
	/* A double cannot hold it; nothing is wrong with the text. */
	bool ok = j != NULL || json_error_code(&e) == json_error_numeric_overflow;

	json_decref(j);
	return ok;
}

static void
check_inside(const struct page *p, struct slice s)
{
	check(s.p == NULL || (s.p >= p->body.p && s.p + s.n <= p->body.p + p->body.n),
	    "a slice points outside the body");
}

static void
on_same(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct slice inner;

	(void)arg;
	(void)path;
	/* A name that is there twice is found once. */
	check(value_of(old_value, &inner) == VALUE_INVALID || !value_eq(old_value, new_value),
	    "a change between equal values");
}

static void
on_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	size_t *n = arg;

	check(path.p != NULL, "no path");
	check(old_value.p != NULL || new_value.p != NULL, "a change from nothing to nothing");
	check(old_value.p == NULL || new_value.p == NULL || !value_eq(old_value, new_value),
	    "a change between equal values");
	++*n;
}

static void
walk(struct slice image)
{
	struct json_iter it = json_iter(image);
	struct buf text = BUF_INIT(LIMIT_PAGE_BODY);
	struct slice name, value, inner;

	while (json_next(&it, &name, &value)) {
		check(json_check(value), "a value that is no JSON");
		check(value_eq(value, value), "a value unequal to itself");
		if (value_of(value, &inner) == VALUE_N)
			(void)number_canonical(inner, &text);
		buf_reset(&text);
		json_unescape(name, &text);
		check(text.n <= name.n, "unescaping made a name longer");
		check(json_string_eq(name, name), "a name unequal to itself");
	}
	buf_close(&text);
}

static void
check_formats(const struct record *r, struct buf *out)
{
	bool readable = jansson_reads(r->raw);

	for (int f = FORMAT_DYNAMODB; f <= FORMAT_DEBEZIUM; f++) {
		struct err e;

		buf_reset(out);
		if (format_write((enum format)f, r, NULL, out, &e) != 0) {
			check(f != FORMAT_DYNAMODB && e.code == ERR_PROTOCOL,
			    "a format failed oddly");
			check(out->n == 0, "a format left half a record");
			continue;
		}
		check(json_check(buf_slice(out)), "a format wrote no JSON");
		check(!readable || jansson_reads(buf_slice(out)),
		    "a format wrote what jansson refuses");
	}
}

static void
check_record(const struct page *p, const struct record *r, struct buf *out)
{
	size_t changes = 0;

	check_inside(p, r->raw);
	check_inside(p, r->event_id);
	check_inside(p, r->event_name);
	check_inside(p, r->keys);
	check_inside(p, r->new_image);
	check_inside(p, r->old_image);
	check_inside(p, r->user_identity);
	check_inside(p, r->view_type);
	check(r->keys.p != NULL && seq_is_set(&r->seq), "a record without keys or number");
	check(json_check(r->raw), "a record that is no JSON");
	walk(r->keys);
	walk(r->new_image);
	walk(r->old_image);
	changes_each(r->old_image, r->new_image, on_change, &changes);
	changes_each(r->new_image, r->new_image, on_same, NULL);
	check_formats(r, out);
	buf_reset(out);
	key_write(r, NULL, out);
	check(!out->failed && json_check(buf_slice(out)), "a key that is no JSON");
	(void)key_hash(buf_slice(out));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY);
	struct buf out = BUF_INIT(LIMIT_PAGE_BODY);
	struct slice given = {(const char *)data, size};
	struct page *p;
	struct err e = {.code = ERR_NONE};

	body.p = malloc(size != 0 ? size : 1);
	check(body.p != NULL, "out of memory");
	memcpy(body.p, data, size);
	body.n = body.cap = size;
	if (page_parse(&p, &body, &e) != 0) {
		check(e.code == ERR_PROTOCOL || e.code == ERR_LIMIT, "refused for another reason");
		check(e.retriable && p == NULL, "refused for good");
	} else {
		check(json_check(given), "a page that is no JSON");
		for (size_t i = 0; i < p->count; i++)
			check_record(p, &p->records[i], &out);
		page_unref(p);
	}
	/* The walkers stand bytes that no scanner has seen. */
	walk(given);
	(void)plain_write_image(given, &out, &e);
	buf_close(&out);
	return 0;
}
