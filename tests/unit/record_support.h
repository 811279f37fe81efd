/* tests/unit/record_support.h - what the tests of record/ share. */
#ifndef TESTS_RECORD_SUPPORT_H
#define TESTS_RECORD_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "record/record.h"

#define SEQ21 "300000000000000499659"

/* A body in memory of exactly its size, so that ASan sees one byte too many. */
static inline struct buf
exact_body(struct slice s)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);

	b.p = malloc(s.n != 0 ? s.n : 1);
	assert_non_null(b.p);
	if (s.n != 0)
		memcpy(b.p, s.p, s.n);
	b.n = b.cap = s.n;
	return b;
}

static inline int
parse_slice(struct slice s, struct page **out, struct err *e)
{
	struct buf body = exact_body(s);
	int r = page_parse(out, &body, e);

	assert_null(body.p);
	assert_int_equal(body.n, 0);
	assert_int_equal(body.max, LIMIT_PAGE_BODY);
	return r;
}

static inline struct page *
page_of(const char *json)
{
	struct page *p;
	struct err e;

	if (parse_slice(slice_of(json), &p, &e) != 0)
		fail_msg("%s\nin: %.300s", e.text, json);
	return p;
}

/* A page of one record with these members in dynamodb, beside the number. */
static inline struct page *
page_with(const char *dynamodb, const char *outside)
{
	struct buf b = BUF_INIT(LIMIT_PAGE_BODY);
	struct page *p;

	buf_add_str(&b, "{\"Records\":[{\"dynamodb\":{\"SequenceNumber\":\"" SEQ21 "\"");
	buf_add_str(&b, dynamodb);
	buf_add_str(&b, "}");
	buf_add_str(&b, outside);
	buf_add_str(&b, "}]}");
	p = page_of(buf_cstr(&b));
	assert_int_equal(p->count, 1);
	buf_close(&b);
	return p;
}

static inline void
assert_slice(struct slice s, const char *want)
{
	if (want == NULL) {
		assert_null(s.p);
		return;
	}
	if (!slice_is(s, want))
		fail_msg("have: %.*s\nwant: %s", (int)s.n, s.p != NULL ? s.p : "", want);
}

#endif
