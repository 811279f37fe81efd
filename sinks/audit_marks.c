/* sinks/audit_marks.c - see audit_marks.h. */
#include "sinks/audit_marks.h"

#include <stdlib.h>

#include "base/mem.h"
#include "record/value.h"

#define KEEP_S (48 * 3600)

void
audit_marks_open(struct audit_marks *m)
{
	*m = (struct audit_marks){.index_cap = 64};
	m->index = mem_array(m->index_cap, sizeof *m->index);
	m->recent = mem_array(AUDIT_RECENT, sizeof *m->recent);
}

void
audit_marks_close(struct audit_marks *m)
{
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i]->arn);
		free(m->v[i]->shard);
		free(m->v[i]);
	}
	free(m->v);
	free(m->index);
	free(m->recent);
	*m = (struct audit_marks){0};
}

static uint64_t
hash_bytes(uint64_t h, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
	return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

static uint64_t
hash_names(struct slice arn, struct slice shard)
{
	return hash_bytes(hash_bytes(UINT64_C(0xcbf29ce484222325), shard), arn);
}

static bool
is_mark(const struct audit_mark *k, struct slice arn, struct slice shard)
{
	return slice_is(shard, k->shard) && slice_is(arn, k->arn);
}

/* The slot where the names are, or would be. */
static uint32_t *
find_slot(const struct audit_marks *m, struct slice arn, struct slice shard)
{
	size_t at = hash_names(arn, shard) & (m->index_cap - 1);

	while (m->index[at] != 0 && !is_mark(m->v[m->index[at] - 1], arn, shard))
		at = (at + 1) & (m->index_cap - 1);
	return &m->index[at];
}

static void
grow(struct audit_marks *m)
{
	free(m->index);
	m->index_cap *= 2;
	m->index = mem_array(m->index_cap, sizeof *m->index);
	for (size_t i = 0; i < m->n; i++)
		*find_slot(m, slice_of(m->v[i]->arn), slice_of(m->v[i]->shard)) = (uint32_t)i + 1;
}

struct audit_mark *
audit_marks_get(struct audit_marks *m, struct slice arn, struct slice shard)
{
	uint32_t *slot;

	if (m->last != NULL && is_mark(m->last, arn, shard))
		return m->last;
	slot = find_slot(m, arn, shard);
	if (*slot == 0) {
		if (m->n == m->cap) {
			m->cap = m->cap == 0 ? 16 : m->cap * 2;
			m->v = mem_grow(m->v, m->cap, sizeof(struct audit_mark *));
		}
		m->v[m->n] = mem_new(sizeof *m->v[0]);
		m->v[m->n]->arn = mem_slicedup(arn);
		m->v[m->n]->shard = mem_slicedup(shard);
		*slot = (uint32_t)++m->n;
		if (m->n * 2 > m->index_cap) {
			grow(m);
			slot = find_slot(m, arn, shard);
		}
	}
	m->last = m->v[*slot - 1];
	return m->last;
}

bool
audit_marks_is_replay(
    const struct audit_marks *m, const struct audit_mark *k, const struct seq *seq)
{
	if (seq_is_set(&k->at_start) && seq_cmp(seq, &k->at_start) <= 0)
		return true;
	if (!seq_is_set(&k->seq) || seq_cmp(seq, &k->seq) > 0)
		return false;
	for (uint64_t i = m->added; i > 0 && m->added - i < AUDIT_RECENT; i--) {
		const struct audit_recent *r = &m->recent[(i - 1) % AUDIT_RECENT];

		if (r->mark == k && seq_cmp(&r->seq, seq) == 0)
			return true;
	}
	return false;
}

void
audit_marks_add(struct audit_marks *m, struct audit_mark *k, const struct seq *seq, int64_t now_s)
{
	m->recent[m->added++ % AUDIT_RECENT] = (struct audit_recent){k, *seq, k->seq};
	if (!seq_is_set(&k->seq) || seq_cmp(seq, &k->seq) > 0)
		k->seq = *seq;
	k->seen_s = now_s;
}

void
audit_marks_undo(struct audit_marks *m, size_t count)
{
	for (; count > 0 && m->added > 0; count--) {
		struct audit_recent *r = &m->recent[--m->added % AUDIT_RECENT];

		if (r->mark != NULL)
			r->mark->seq = r->before;
		r->mark = NULL;
	}
}

static int
load(struct audit_marks *m, struct slice arn, struct slice shard, struct slice seq_text_raw,
    int64_t seen_s, struct err *e)
{
	struct buf names = BUF_INIT(2 * (LIMIT_STREAM_ARN + LIMIT_SHARD_ID) + 64);
	struct audit_mark *k;
	struct seq seq;
	size_t arn_n;

	if (!seq_parse(seq_text_raw, &seq))
		return err_set(e, ERR_CORRUPT, "holds a sequence number that is none");
	json_unescape(arn, &names);
	arn_n = names.n;
	json_unescape(shard, &names);
	if (names.failed) {
		buf_close(&names);
		return err_set(e, ERR_CORRUPT, "holds a stream or shard name that is too long");
	}
	k = audit_marks_get(m, (struct slice){buf_slice(&names).p, arn_n},
	    (struct slice){buf_slice(&names).p + arn_n, names.n - arn_n});
	if (!seq_is_set(&k->seq) || seq_cmp(&seq, &k->seq) > 0)
		k->seq = k->at_start = seq;
	if (seen_s > k->seen_s)
		k->seen_s = seen_s;
	buf_close(&names);
	return 0;
}

static struct slice
unquote(struct slice v)
{
	if (v.n < 2 || v.p[0] != '"')
		return SLICE_NONE;
	return (struct slice){v.p + 1, v.n - 2};
}

int
audit_marks_load_entry(struct audit_marks *m, struct slice line, int64_t now_s, struct err *e)
{
	struct json_iter it = json_iter(line);
	struct slice name, value, arn = SLICE_NONE, shard = SLICE_NONE;

	while (json_next(&it, &name, &value)) {
		if (slice_is(name, "stream"))
			arn = unquote(value);
		else if (slice_is(name, "shard"))
			shard = unquote(value);
		else if (slice_is(name, "sequence") && arn.p != NULL && shard.p != NULL)
			return load(m, arn, shard, unquote(value), now_s, e);
	}
	return err_set(e, ERR_CORRUPT, "is an entry without stream, shard or sequence");
}

static int
load_shards(struct audit_marks *m, struct slice arn, struct slice shards, struct err *e)
{
	struct json_iter it = json_iter(shards), pair;
	struct slice shard, value, none, seq, seen;
	int64_t seen_s;

	while (json_next(&it, &shard, &value)) {
		pair = json_iter(value);
		if (!json_next(&pair, &none, &seq) || !json_next(&pair, &none, &seen))
			return err_set(e, ERR_CORRUPT, "is a header with a broken mark");
		seen_s = 0;
		for (size_t i = 0; i < seen.n && i < 18 && seen.p[i] >= '0' && seen.p[i] <= '9';
		     i++)
			seen_s = seen_s * 10 + (seen.p[i] - '0');
		if (load(m, arn, shard, unquote(seq), seen_s, e) != 0)
			return -1;
	}
	return 0;
}

int
audit_marks_load_header(struct audit_marks *m, struct slice line, struct err *e)
{
	struct slice marks = value_member(line, "marks");
	struct slice arn, shards;
	struct json_iter it;

	if (marks.p == NULL)
		return err_set(e, ERR_CORRUPT, "is a header without marks");
	it = json_iter(marks);
	while (json_next(&it, &arn, &shards))
		if (load_shards(m, arn, shards, e) != 0)
			return -1;
	return 0;
}

static bool
is_due(const struct audit_mark *k, int64_t now_s)
{
	return seq_is_set(&k->seq) && now_s - k->seen_s < KEEP_S;
}

static int
by_stream(const void *a, const void *b)
{
	const struct audit_mark *x = *(struct audit_mark *const *)a;
	const struct audit_mark *y = *(struct audit_mark *const *)b;
	int r = strcmp(x->arn, y->arn);

	return r != 0 ? r : strcmp(x->shard, y->shard);
}

void
audit_marks_write(const struct audit_marks *m, int64_t now_s, struct buf *out)
{
	struct audit_mark **v = mem_array(m->n + 1, sizeof(struct audit_mark *));
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		if (is_due(m->v[i], now_s))
			v[n++] = m->v[i];
	qsort(v, n, sizeof(struct audit_mark *), by_stream);
	buf_add_char(out, '{');
	for (size_t i = 0; i < n; i++) {
		bool same = i > 0 && strcmp(v[i]->arn, v[i - 1]->arn) == 0;

		if (!same) {
			buf_add_str(out, i > 0 ? "}," : "");
			buf_add_json_string(out, slice_of(v[i]->arn));
		}
		buf_add_str(out, same ? "," : ":{");
		buf_add_json_string(out, slice_of(v[i]->shard));
		buf_add_str(out, ":[\"");
		buf_add_slice(out, seq_text(&v[i]->seq));
		buf_addf(out, "\",%lld]", (long long)v[i]->seen_s);
	}
	buf_add_str(out, n > 0 ? "}}" : "}");
	free(v);
}
