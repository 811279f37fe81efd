/* record/page.c - who owns a page, and when it goes; reading it is scan.c. */
#include "record/record.h"

#include <stdlib.h>

#include "record/scan.h"

static void
page_free(struct page *p)
{
	buf_close(&p->body);
	free(p->records);
	free(p->scratch);
	free(p);
}

static int
parse(struct page **out, struct buf *body, bool ours, struct err *e)
{
	struct page *p = calloc(1, sizeof *p);

	*out = NULL;
	if (p == NULL) {
		buf_close(body);
		return err_retry(e, ERR_NOMEM, "page: out of memory");
	}
	p->refs = 1;
	p->ours = ours;
	p->body = *body;
	*body = BUF_INIT(p->body.max);
	if (p->body.failed) {
		page_free(p);
		return err_retry(e, ERR_LIMIT, "page: the answer did not fit its buffer");
	}
	if (scan_page(p, e) != 0) {
		page_free(p);
		return -1;
	}
	*out = p;
	return 0;
}

int
page_parse(struct page **out, struct buf *body, struct err *e)
{
	return parse(out, body, false, e);
}

int
page_of_records(struct page **out, const struct slice *raw, size_t count, struct err *e)
{
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY);

	buf_add_str(&body, "{\"Records\":[");
	for (size_t i = 0; i < count; i++) {
		if (i != 0)
			buf_add_char(&body, ',');
		buf_add_slice(&body, raw[i]);
	}
	buf_add_str(&body, "]}");
	return parse(out, &body, true, e);
}

struct page *
page_ref(struct page *p)
{
	assert(p->refs > 0 && p->refs < UINT32_MAX);
	p->refs++;
	return p;
}

void
page_unref(struct page *p)
{
	if (p == NULL)
		return;
	assert(p->refs > 0);
	if (--p->refs == 0)
		page_free(p);
}
