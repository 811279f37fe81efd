/* filters/pattern_index.c - see pattern_index.h.
 *
 * A list is satisfied by a value if one of its conditions is, so rows are ORed into
 * what is satisfied; of an array any element counts, so elements are, too.
 */
#include "filters/pattern_index.h"

#include <stdlib.h>

#include "base/mem.h"

/* Rows of bounds may take that much of one index; beyond it ranges are asked one by one.
 * 1,000 patterns with two bounds each: 4,001 rows of 128 bytes. */
#define BOUNDS_BYTES_MAX (4u << 20)

enum text_kind { TEXT_IS, TEXT_PREFIX, TEXT_NOT, TEXT_KINDS };

struct text { /* a text, and who wants it */
	uint64_t hash;
	struct slice text;
	enum text_kind kind;
	uint32_t first, count; /* in bits */
	uint64_t *words;       /* instead, if that is less; NULL: not so */
};

struct want {
	struct slice text;
	enum text_kind kind;
	uint32_t bit;
};

struct other {
	uint32_t bit;
	const struct leaf *leaf;
	const struct cond *cond;
	struct pattern *pattern;
};

struct pattern_index {
	size_t low, n; /* words: the first, and how many */
	uint64_t *have;
	uint64_t *absent_ok; /* satisfied where nothing is */
	uint64_t *any;	     /* by any value */
	uint64_t *literal[3];
	uint64_t *but;	   /* by any value that is none of TEXT_NOT */
	uint64_t *decimal; /* takes text for a number */
	uint64_t *satisfied;
	bool some_but, some_decimal;
	/* texts */
	uint32_t *table; /* of texts, by hash; 0: free, else number + 1 */
	size_t table_mask;
	struct text *texts;
	size_t text_count, longest;
	uint32_t *bits;
	size_t *lengths; /* of prefixes, ascending */
	size_t length_count;
	/* numbers */
	struct number *bounds; /* ascending */
	int64_t *keys;	       /* of the bounds: see key_of() */
	size_t bound_count;
	uint64_t *stretches; /* 2 * bound_count + 1 rows: before, at, behind each */
	struct other *others;
	size_t other_count;
};

/* While it is built. */
struct building {
	struct pattern_index *ix;
	struct pool **pool;
	struct want *wants;
	size_t want_count;
	const struct other *ranges; /* NUMBER and NUMERIC */
	size_t range_count;
};

/* ---- bits ---- */

static void
set_bit(uint64_t *words, uint32_t bit)
{
	words[bit / 64] |= UINT64_C(1) << bit % 64;
}

static bool
has_bit(const uint64_t *words, uint32_t bit)
{
	return (words[bit / 64] >> bit % 64 & 1) != 0;
}

static void
or_words(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] |= from[i];
}

static uint64_t *
new_words(struct building *b)
{
	return pool_alloc(b->pool, b->ix->n * sizeof(uint64_t));
}

/* ---- texts ---- */

static uint64_t
hash_on(uint64_t h, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
	return h;
}

#define HASH_BEGIN UINT64_C(0xcbf29ce484222325)

static size_t
slot_of(const struct pattern_index *ix, uint64_t hash, enum text_kind kind)
{
	return (size_t)(hash >> 20 ^ hash ^ (uint64_t)kind * 0x9e3779b9u) & ix->table_mask;
}

static const struct text *
find_text(const struct pattern_index *ix, enum text_kind kind, uint64_t hash, struct slice text)
{
	for (size_t at = slot_of(ix, hash, kind); ix->table[at] != 0;
	     at = (at + 1) & ix->table_mask) {
		const struct text *t = &ix->texts[ix->table[at] - 1];

		if (t->hash == hash && t->kind == kind && slice_eq(t->text, text))
			return t;
	}
	return NULL;
}

static int
cmp_wants(const void *a, const void *b)
{
	const struct want *x = a, *y = b;
	int r = (int)x->kind - (int)y->kind;

	if (r == 0)
		r = slice_cmp(x->text, y->text);
	return r != 0 ? r : (x->bit > y->bit) - (x->bit < y->bit);
}

/* Wants i to j are of one text. */
static void
add_text(struct building *b, size_t i, size_t j)
{
	struct pattern_index *ix = b->ix;
	const struct want *w = &b->wants[i];
	struct text *t = &ix->texts[ix->text_count++];
	size_t at;

	*t = (struct text){.text = w->text,
	    .kind = w->kind,
	    .hash = hash_on(HASH_BEGIN, w->text.p, w->text.n),
	    .first = (uint32_t)i,
	    .count = (uint32_t)(j - i)};
	for (size_t k = i; k < j; k++)
		ix->bits[k] = b->wants[k].bit;
	if ((j - i) * sizeof(uint32_t) > ix->n * sizeof(uint64_t)) {
		t->words = new_words(b);
		for (size_t k = i; k < j; k++)
			set_bit(t->words, b->wants[k].bit);
	}
	if (t->kind == TEXT_PREFIX &&
	    (ix->length_count == 0 || ix->lengths[ix->length_count - 1] != t->text.n))
		ix->lengths[ix->length_count++] = t->text.n;
	else if (t->kind != TEXT_PREFIX && t->text.n > ix->longest)
		ix->longest = t->text.n;
	for (at = slot_of(ix, t->hash, t->kind); ix->table[at] != 0;)
		at = (at + 1) & ix->table_mask;
	ix->table[at] = (uint32_t)ix->text_count;
}

static int
cmp_sizes(const void *a, const void *b)
{
	const size_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void
build_texts(struct building *b)
{
	struct pattern_index *ix = b->ix;
	size_t n = b->want_count, size = 4, kept = 0;

	if (n == 0)
		return;
	while (size < 2 * n)
		size *= 2;
	ix->table = pool_alloc(b->pool, size * sizeof *ix->table);
	ix->table_mask = size - 1;
	ix->texts = pool_alloc(b->pool, n * sizeof *ix->texts);
	ix->bits = pool_alloc(b->pool, n * sizeof *ix->bits);
	ix->lengths = pool_alloc(b->pool, n * sizeof *ix->lengths);
	qsort(b->wants, n, sizeof *b->wants, cmp_wants);
	for (size_t i = 0, j; i < n; i = j) {
		for (j = i + 1; j < n && b->wants[j].kind == b->wants[i].kind &&
		     slice_eq(b->wants[j].text, b->wants[i].text);)
			j++;
		add_text(b, i, j);
	}
	qsort(ix->lengths, ix->length_count, sizeof *ix->lengths, cmp_sizes);
	for (size_t i = 0; i < ix->length_count; i++)
		if (kept == 0 || ix->lengths[i] != ix->lengths[kept - 1])
			ix->lengths[kept++] = ix->lengths[i];
	ix->length_count = kept;
}

static void
or_text(const struct pattern_index *ix, const struct text *t, uint64_t *to)
{
	if (t == NULL)
		return;
	if (t->words != NULL) {
		or_words(to, t->words, ix->n);
		return;
	}
	for (uint32_t k = 0; k < t->count; k++)
		set_bit(to, ix->bits[t->first + k]);
}

/* Satisfied by any text but those that are not wanted. */
static void
or_but(const struct pattern_index *ix, const struct text * not )
{
	for (size_t i = 0; i < ix->n; i++) {
		uint64_t bits = ix->but[i];

		if (not != NULL && not ->words != NULL)
			bits &= ~not ->words[i];
		for (uint32_t k = 0; not != NULL && not ->words == NULL && k < not ->count; k++)
			if (ix->bits[not ->first + k] / 64 == i)
				bits &= ~(UINT64_C(1) << ix->bits[not ->first + k] % 64);
		ix->satisfied[i] |= bits;
	}
}

static void
ask_text(const struct pattern_index *ix, struct slice text)
{
	const struct text *not = NULL;
	uint64_t h = HASH_BEGIN;
	size_t at = 0;

	for (size_t i = 0; i < ix->length_count && ix->lengths[i] <= text.n; i++) {
		size_t n = ix->lengths[i];

		h = hash_on(h, text.p + at, n - at);
		at = n;
		or_text(
		    ix, find_text(ix, TEXT_PREFIX, h, (struct slice){text.p, n}), ix->satisfied);
	}
	if (ix->text_count != 0 && text.n <= ix->longest) {
		h = hash_on(h, text.p + at, text.n - at);
		or_text(ix, find_text(ix, TEXT_IS, h, text), ix->satisfied);
		if (ix->some_but)
			not = find_text(ix, TEXT_NOT, h, text);
	}
	if (ix->some_but)
		or_but(ix, not );
}

/* ---- numbers ---- */

static int
cmp_bounds(const void *a, const void *b)
{
	return number_cmp(a, b);
}

/* Orders as number_cmp() does but for what agrees in sign, point and twelve digits, which
 * is equal here. Nearly every comparison of a search ends with it. */
#define KEY_DIGITS 12
#define KEY_POINT_MAX 4000 /* DynamoDB ends at 126 */
static int64_t
key_of(const struct number *x)
{
	const char *p = x->digits.p, *end = p + x->digits.n;
	int64_t point = x->point, digits = 0;
	int n = 0;

	if (x->count == 0)
		return 0;
	for (; p < end && n < KEY_DIGITS; p++)
		if (*p != '.') {
			digits = digits * 10 + (*p - '0');
			n++;
		}
	for (; n < KEY_DIGITS; n++)
		digits *= 10;
	if (point > KEY_POINT_MAX || point < -KEY_POINT_MAX) {
		point = point < 0 ? -KEY_POINT_MAX - 1 : KEY_POINT_MAX + 1;
		digits = 0;
	}
	/* 10^12 is below 2^40. */
	digits += (point + 2 * KEY_POINT_MAX) * (INT64_C(1) << 40);
	return x->negative ? -digits : digits;
}

/* How many bounds are below x; equal: the next one is x. */
static size_t
bounds_below(const struct pattern_index *ix, const struct number *x, bool *equal)
{
	size_t low = 0, high = ix->bound_count;
	int64_t key = key_of(x);

	*equal = false;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int r = ix->keys[middle] < key ? -1 : 1;

		if (ix->keys[middle] == key)
			r = number_cmp(&ix->bounds[middle], x);
		if (r == 0) {
			*equal = true;
			return middle;
		}
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t
stretch_of(const struct pattern_index *ix, const struct number *x)
{
	bool equal;
	size_t below = bounds_below(ix, x, &equal);

	return 2 * below + equal;
}

static void
fill_range(const struct pattern_index *ix, const struct other *o)
{
	size_t from = 0, to = 2 * ix->bound_count;

	if (o->cond->kind == COND_NUMBER)
		from = to = stretch_of(ix, &o->cond->number);
	if (o->cond->low.set)
		from = stretch_of(ix, &o->cond->low.value) + !o->cond->low.inclusive;
	if (o->cond->high.set)
		to = stretch_of(ix, &o->cond->high.value) - !o->cond->high.inclusive;
	for (size_t i = from; i <= to; i++)
		set_bit(ix->stretches + i * ix->n, o->bit);
}

static void
build_bounds(struct building *b)
{
	struct pattern_index *ix = b->ix;
	size_t n = 0, kept = 0;

	if (b->range_count == 0)
		return;
	ix->bounds = pool_alloc(b->pool, 2 * b->range_count * sizeof *ix->bounds);
	for (size_t i = 0; i < b->range_count; i++) {
		const struct cond *c = b->ranges[i].cond;

		if (c->kind == COND_NUMBER)
			ix->bounds[n++] = c->number;
		if (c->low.set)
			ix->bounds[n++] = c->low.value;
		if (c->high.set)
			ix->bounds[n++] = c->high.value;
	}
	qsort(ix->bounds, n, sizeof *ix->bounds, cmp_bounds);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || number_cmp(&ix->bounds[i], &ix->bounds[kept - 1]) != 0)
			ix->bounds[kept++] = ix->bounds[i];
	ix->bound_count = kept;
	ix->keys = pool_alloc(b->pool, kept * sizeof *ix->keys);
	for (size_t i = 0; i < kept; i++)
		ix->keys[i] = key_of(&ix->bounds[i]);
	ix->stretches = pool_alloc(b->pool, (2 * kept + 1) * ix->n * sizeof(uint64_t));
	for (size_t i = 0; i < b->range_count; i++)
		fill_range(ix, &b->ranges[i]);
}

static void
ask_number(const struct pattern_index *ix, const struct number *x, bool text)
{
	const uint64_t *row = ix->stretches + stretch_of(ix, x) * ix->n;

	for (size_t i = 0; i < ix->n; i++)
		ix->satisfied[i] |= text ? row[i] & ix->decimal[i] : row[i];
}

/* ---- one list ---- */

/* true, false, null */
static size_t
literal_of(struct slice token)
{
	if (token.p[0] == 't')
		return 0;
	return token.p[0] == 'f' ? 1 : 2;
}

static bool
is_but_of_texts(const struct cond *c)
{
	return c->kind == COND_ANYTHING_BUT && c->but[0].kind == COND_STRING;
}

/* Two of them would be an OR of what each leaves. */
static bool
has_one_but(const struct leaf *lf)
{
	size_t n = 0;

	for (size_t i = 0; i < lf->count; i++)
		n += is_but_of_texts(&lf->conds[i]);
	return n == 1;
}

static void
add_want(struct building *b, enum text_kind kind, struct slice text, uint32_t bit)
{
	b->wants[b->want_count++] = (struct want){text, kind, bit};
}

/* False: it must be asked one by one. */
static bool
add_indexed(struct building *b, const struct cond *c, const struct leaf *lf, uint32_t bit)
{
	struct pattern_index *ix = b->ix;

	switch (c->kind) {
	case COND_STRING:
		add_want(b, TEXT_IS, c->text, bit);
		return true;
	case COND_PREFIX:
		add_want(b, TEXT_PREFIX, c->text, bit);
		return true;
	case COND_LITERAL:
		set_bit(ix->literal[literal_of(c->text)], bit);
		return true;
	case COND_EXISTS:
		set_bit(ix->any, bit);
		return true;
	case COND_ABSENT: /* lf->absent_ok says so */
		return true;
	case COND_ANYTHING_BUT:
		if (!is_but_of_texts(c) || !has_one_but(lf))
			return false;
		set_bit(ix->but, bit);
		ix->some_but = true;
		for (size_t i = 0; i < c->but_count; i++)
			add_want(b, TEXT_NOT, c->but[i].text, bit);
		return true;
	default:
		return false;
	}
}

static size_t
wants_of(const struct leaf *lf)
{
	size_t n = lf->count;

	for (size_t i = 0; i < lf->count; i++)
		n += lf->conds[i].but_count;
	return n;
}

static void
add_ask(struct building *b, const struct ask *a, bool index_numbers, struct other *ranges)
{
	struct pattern_index *ix = b->ix;
	uint32_t bit = a->bit - (uint32_t)ix->low * 64;
	const struct leaf *lf = a->leaf;

	set_bit(ix->have, bit);
	if (lf->absent_ok)
		set_bit(ix->absent_ok, bit);
	if (lf->decimal) {
		set_bit(ix->decimal, bit);
		ix->some_decimal = true;
	}
	for (size_t i = 0; i < lf->count; i++) {
		const struct cond *c = &lf->conds[i];
		struct other o = {bit, lf, c, a->pattern};

		if (index_numbers && (c->kind == COND_NUMBER || c->kind == COND_NUMERIC))
			ranges[b->range_count++] = o;
		else if (!add_indexed(b, c, lf, bit))
			ix->others[ix->other_count++] = o;
	}
}

static int
cmp_asks(const void *a, const void *b)
{
	const struct ask *x = a, *y = b;

	return (x->bit > y->bit) - (x->bit < y->bit);
}

static void
alloc_words(struct building *b)
{
	struct pattern_index *ix = b->ix;
	uint64_t **const all[] = {&ix->have, &ix->absent_ok, &ix->any, &ix->literal[0],
	    &ix->literal[1], &ix->literal[2], &ix->but, &ix->decimal, &ix->satisfied};

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		*all[i] = new_words(b);
}

struct pattern_index *
index_new(struct pool **pool, struct ask *asks, size_t count)
{
	struct building b = {.pool = pool};
	struct pattern_index *ix = b.ix = pool_alloc(pool, sizeof *ix);
	size_t conds = 0, wants = 0, numbers = 0;
	struct other *ranges;

	qsort(asks, count, sizeof *asks, cmp_asks);
	ix->low = asks[0].bit / 64;
	ix->n = asks[count - 1].bit / 64 + 1 - ix->low;
	alloc_words(&b);
	for (size_t i = 0; i < count; i++) {
		conds += asks[i].leaf->count;
		wants += wants_of(asks[i].leaf);
		for (size_t k = 0; k < asks[i].leaf->count; k++)
			numbers += asks[i].leaf->conds[k].kind == COND_NUMBER ||
			    asks[i].leaf->conds[k].kind == COND_NUMERIC;
	}
	b.wants = mem_array(wants, sizeof *b.wants);
	b.ranges = ranges = mem_array(conds, sizeof *ranges);
	ix->others = pool_alloc(pool, conds * sizeof *ix->others);
	for (size_t i = 0; i < count; i++)
		add_ask(&b, &asks[i],
		    (4 * numbers + 1) * ix->n * sizeof(uint64_t) <= BOUNDS_BYTES_MAX, ranges);
	build_texts(&b);
	build_bounds(&b);
	free(b.wants);
	free(ranges);
	return ix;
}

/* ---- asking ---- */

static void
ask_others(const struct pattern_index *ix, const struct scalar *v, const uint64_t *mask)
{
	for (size_t i = 0; i < ix->other_count; i++) {
		const struct other *o = &ix->others[i];
		struct scalar own = *v;

		if (!has_bit(mask, o->bit) || has_bit(ix->satisfied, o->bit))
			continue;
		own.has_number = v->has_number && (v->kind == SCALAR_NUMBER || o->leaf->decimal);
		if (cond_match(o->cond, &own, o->pattern->utf8))
			set_bit(ix->satisfied, o->bit);
	}
}

static void
ask_scalar(const struct pattern_index *ix, const struct scalar *v, const uint64_t *mask)
{
	or_words(ix->satisfied, ix->any, ix->n);
	if (v->kind == SCALAR_STRING)
		ask_text(ix, v->text);
	else if (ix->some_but)
		or_but(ix, NULL);
	if (v->kind == SCALAR_LITERAL)
		or_words(ix->satisfied, ix->literal[literal_of(v->text)], ix->n);
	if (v->has_number && ix->stretches != NULL)
		ask_number(ix, &v->number, v->kind == SCALAR_STRING);
	if (ix->other_count != 0)
		ask_others(ix, v, mask);
}

/* Is any value there? */
static bool
ask_value(struct pattern_index *ix, struct slice value, const uint64_t *mask, struct buf *scratch)
{
	struct scalar v;
	bool found = false;

	if (value.p == NULL || value.n == 0 || value.p[0] == '{')
		return false;
	if (value.p[0] == '[') {
		struct json_iter it = json_iter(value);
		struct slice name, item;

		while (json_next(&it, &name, &item))
			found = ask_value(ix, item, mask, scratch) || found;
		return found;
	}
	spot_scalar((struct spot){value, FORM_JSON}, ix->some_decimal, scratch, &v);
	ask_scalar(ix, &v, mask);
	return true;
}

bool
index_ask(struct pattern_index *ix, struct slice value, uint64_t *mask, struct buf *scratch)
{
	uint64_t taken = 0;

	mask += ix->low;
	memset(ix->satisfied, 0, ix->n * sizeof *ix->satisfied);
	if (!ask_value(ix, value, mask, scratch))
		or_words(ix->satisfied, ix->absent_ok, ix->n);
	for (size_t i = 0; i < ix->n; i++) {
		uint64_t gone = mask[i] & ix->have[i] & ~ix->satisfied[i];

		mask[i] ^= gone;
		taken |= gone;
	}
	return taken != 0;
}
