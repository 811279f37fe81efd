/* checkpoint/letters.c - see letters.h. */
#include "checkpoint/letters.h"

#include <stdlib.h>

#include "base/mem.h"

static int
cmp_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
is_text(const char *want, const char *have)
{
	return want == NULL || (have != NULL && strcmp(want, have) == 0);
}

static bool
key_fits(const struct letter_query *q, const struct dead_letter *d)
{
	if (q->key != NULL && q->swapped != NULL && d->hash_key[0] != '\0' &&
	    strcmp(d->hash_key, q->hash_key) != 0)
		return strcmp(d->key, q->swapped) == 0;
	return is_text(q->key, d->key);
}

bool
letter_fits(const struct letter_query *q, const struct dead_letter *d)
{
	if (d->id <= q->after || (q->upto != 0 && d->id > q->upto))
		return false;
	if (q->ids != NULL && bsearch(&d->id, q->ids, q->id_count, sizeof *q->ids, cmp_id) == NULL)
		return false;
	if (!is_text(q->sink, d->sink) || !key_fits(q, d))
		return false;
	if (q->reason != NULL && strstr(d->reason, q->reason) == NULL)
		return false;
	if (d->first_us < q->from_us || (q->to_us != 0 && d->first_us >= q->to_us))
		return false;
	if (q->fresh && d->superseded[0] != '\0')
		return false;
	return !q->superseded || d->superseded[0] != '\0';
}

static char *
dup_text(const char *s)
{
	return s != NULL ? mem_strdup(s) : NULL;
}

struct letter_query *
letter_query_dup(const struct letter_query *q)
{
	struct letter_query *own = mem_new(sizeof *own);
	uint64_t *ids = NULL;

	*own = *q;
	own->sink = dup_text(q->sink);
	own->reason = dup_text(q->reason);
	own->key = dup_text(q->key);
	own->hash_key = dup_text(q->hash_key);
	own->swapped = dup_text(q->swapped);
	if (q->ids != NULL) {
		ids = mem_array(q->id_count + 1, sizeof *ids);
		memcpy(ids, q->ids, q->id_count * sizeof *ids);
	}
	own->ids = ids;
	return own;
}

void
letter_query_free(struct letter_query *q)
{
	if (q == NULL)
		return;
	free((void *)(uintptr_t)q->sink);
	free((void *)(uintptr_t)q->reason);
	free((void *)(uintptr_t)q->key);
	free((void *)(uintptr_t)q->hash_key);
	free((void *)(uintptr_t)q->swapped);
	free((void *)(uintptr_t)q->ids);
	free(q);
}

struct slice
arn_table_part(const char *arn)
{
	const char *at = strstr(arn, "/stream/");

	return (struct slice){arn, at != NULL ? (size_t)(at - arn) : strlen(arn)};
}

struct slice
arn_table_name(const char *arn)
{
	struct slice part = arn_table_part(arn);
	const char *at = strstr(arn, ":table/");

	if (at == NULL || at + 7 > part.p + part.n)
		return (struct slice){"", 0};
	at += 7;
	return (struct slice){at, (size_t)(part.p + part.n - at)};
}

const char *
arn_label(const char *arn)
{
	const char *at = strrchr(arn, '/');

	return at != NULL ? at + 1 : arn;
}

bool
version_valid(struct slice text)
{
	size_t n = LIMIT_SEQUENCE_DIGITS;

	if (text.n < n + 1 || text.p[text.n - n - 1] != '/')
		return false;
	for (size_t i = text.n - n; i < text.n; i++)
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
	return true;
}
