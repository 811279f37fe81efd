/* record/set.c - see set.h. */
#include "record/set.h"

#include "record/base64.h"
#include "record/number.h"
#include "record/text.h"

typedef int (*set_order)(const void *, const void *);

static int
cmp_string(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;

	if (x->escaped || y->escaped)
		return text_cmp(x->raw, y->raw);
	return slice_cmp(x->raw, y->raw);
}

/* Both are known to be numbers, or base64: check_items(). */
static int
cmp_numbers(const struct set_item *x, const struct set_item *y)
{
	struct number a, b;

	(void)number_parse(x->text, &a);
	(void)number_parse(y->text, &b);
	return number_cmp(&a, &b);
}

static int
cmp_base64(const struct set_item *x, const struct set_item *y)
{
	size_t n = 0, m = 0;

	(void)base64_measure(x->text, &n);
	(void)base64_measure(y->text, &m);
	return base64_cmp(x->text, n, y->text, m);
}

/* Elements of equal meaning stay in one order, too, so that the same set always
 * gives the same bytes. */
static int
cmp_number(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;
	int r = cmp_numbers(x, y);

	return r != 0 ? r : slice_cmp(x->text, y->text);
}

static int
cmp_binary(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;
	int r = cmp_base64(x, y);

	return r != 0 ? r : slice_cmp(x->text, y->text);
}

static set_order
order_of(enum value_type type)
{
	if (type == VALUE_NS)
		return cmp_number;
	return type == VALUE_BS ? cmp_binary : cmp_string;
}

static bool
same_element(const struct set_item *x, const struct set_item *y, enum value_type type)
{
	if (type == VALUE_NS)
		return cmp_numbers(x, y) == 0;
	if (type == VALUE_BS)
		return cmp_base64(x, y) == 0;
	return json_string_eq(x->raw, y->raw);
}

static bool
grow(struct set *s, size_t room)
{
	bool was_small = s->v == s->small;
	struct set_item *v = reallocarray(was_small ? NULL : s->v, room, sizeof *v);

	if (v == NULL)
		return false;
	if (was_small)
		memcpy(v, s->small, sizeof s->small);
	s->v = v;
	return true;
}

static enum set_status
collect(struct set *s, struct lex *l)
{
	size_t room = SET_SMALL;
	bool first = true;

	if (!lex_take(l, '['))
		return SET_INVALID;
	while (lex_element(l, &first)) {
		struct set_item *it;
		struct slice raw;

		if (!lex_string(l, &raw))
			return SET_INVALID;
		if (s->n == room && !grow(s, room *= 2))
			return SET_NOMEM;
		it = &s->v[s->n++];
		it->raw = it->text = raw;
		it->escaped = l->escaped;
	}
	return l->fault == NULL ? SET_OK : SET_INVALID;
}

/* Unescaped text is never longer than raw, so with room for all of it made
 * first, texts does not move under the slices. */
static bool
unescape(struct set *s)
{
	size_t room = 0;

	for (size_t i = 0; i < s->n; i++)
		room += s->v[i].escaped ? s->v[i].raw.n : 0;
	if (room == 0)
		return true;
	s->texts = BUF_INIT(room);
	if (!buf_reserve(&s->texts, room))
		return false;
	for (size_t i = 0; i < s->n; i++) {
		size_t start = s->texts.n;

		if (!s->v[i].escaped)
			continue;
		json_unescape(s->v[i].raw, &s->texts);
		s->v[i].text = (struct slice){s->texts.p + start, s->texts.n - start};
	}
	return true;
}

static bool
check_items(const struct set *s, enum value_type type)
{
	for (size_t i = 0; i < s->n; i++) {
		struct number number;
		size_t digits;

		if (type == VALUE_NS && !number_parse(s->v[i].text, &number))
			return false;
		if (type == VALUE_BS && !base64_measure(s->v[i].text, &digits))
			return false;
	}
	return true;
}

static void
insertion_sort(struct set_item *v, size_t n, set_order order)
{
	for (size_t i = 1; i < n; i++) {
		struct set_item it = v[i];
		size_t k = i;

		for (; k > 0 && order(&v[k - 1], &it) > 0; k--)
			v[k] = v[k - 1];
		v[k] = it;
	}
}

enum set_status
set_sort(struct set *s, struct lex *l, enum value_type type)
{
	set_order order = order_of(type);
	enum set_status st;

	s->n = 0;
	s->v = s->small;
	s->texts = BUF_INIT(0);
	st = collect(s, l);
	if (st != SET_OK)
		return st;
	if (type != VALUE_SS && !unescape(s))
		return SET_NOMEM;
	if (type != VALUE_SS && !check_items(s, type))
		return SET_INVALID;
	/* libc's qsort() may allocate, which small sets do not deserve. */
	if (s->n <= SET_SMALL)
		insertion_sort(s->v, s->n, order);
	else
		qsort(s->v, s->n, sizeof *s->v, order);
	return SET_OK;
}

void
set_close(struct set *s)
{
	if (s->v != s->small)
		free(s->v);
	s->v = s->small;
	buf_close(&s->texts);
}

/* Past every element that means the same as element i. */
static size_t
next_distinct(const struct set *s, size_t i, enum value_type type)
{
	size_t j = i + 1;

	while (j < s->n && same_element(&s->v[i], &s->v[j], type))
		j++;
	return j;
}

bool
set_eq(const struct set *a, const struct set *b, enum value_type type)
{
	size_t i = 0, j = 0;

	while (i < a->n && j < b->n) {
		if (!same_element(&a->v[i], &b->v[j], type))
			return false;
		i = next_distinct(a, i, type);
		j = next_distinct(b, j, type);
	}
	return i == a->n && j == b->n;
}
