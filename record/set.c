/* record/set.c - see set.h. */
#include "record/set.h"

#include "record/base64.h"
#include "record/lex.h"
#include "record/text.h"

typedef int (*set_order)(const void *, const void *);

static int
cmp_string(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;

	return text_cmp(x->raw, y->raw);
}

/* Elements of equal meaning stay in one order, too, so that the same set always
 * gives the same bytes. */
static int
cmp_number(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;
	int r = number_cmp(&x->number, &y->number);

	return r != 0 ? r : slice_cmp(x->text, y->text);
}

static int
cmp_binary(const void *a, const void *b)
{
	const struct set_item *x = a, *y = b;
	int r = base64_cmp(x->text, x->digits, y->text, y->digits);

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
		return number_cmp(&x->number, &y->number) == 0;
	if (type == VALUE_BS)
		return base64_cmp(x->text, x->digits, y->text, y->digits) == 0;
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

/* limit: the length of the whole array, which no unescaped text can exceed; so
 * texts never moves once it is there. */
static enum set_status
fill_item(struct set *s, struct set_item *it, bool escaped, size_t limit, enum value_type type)
{
	it->text = it->raw;
	if (escaped && type != VALUE_SS) {
		size_t start = s->texts.n;

		if (s->texts.p == NULL) {
			s->texts = BUF_INIT(limit);
			if (!buf_reserve(&s->texts, limit))
				return SET_NOMEM;
		}
		json_unescape(it->raw, &s->texts);
		it->text = (struct slice){s->texts.p + start, s->texts.n - start};
	}
	if (type == VALUE_NS && !number_parse(it->text, &it->number))
		return SET_INVALID;
	if (type == VALUE_BS && !base64_measure(it->text, &it->digits))
		return SET_INVALID;
	return SET_OK;
}

static enum set_status
collect(struct set *s, struct slice array, enum value_type type)
{
	struct lex l = lex_of(array);
	size_t room = SET_SMALL;
	bool first = true;

	if (!lex_take(&l, '['))
		return SET_INVALID;
	while (lex_element(&l, &first)) {
		enum set_status st;
		struct slice raw;

		if (!lex_string(&l, &raw))
			return SET_INVALID;
		if (s->n == room && !grow(s, room *= 2))
			return SET_NOMEM;
		s->v[s->n].raw = raw;
		st = fill_item(s, &s->v[s->n], l.escaped, array.n, type);
		if (st != SET_OK)
			return st;
		s->n++;
	}
	return l.fault == NULL ? SET_OK : SET_INVALID;
}

enum set_status
set_sort(struct set *s, struct slice array, enum value_type type)
{
	set_order order = order_of(type);
	enum set_status st;
	size_t i = 1;

	s->n = 0;
	s->v = s->small;
	s->texts = BUF_INIT(0);
	st = collect(s, array, type);
	if (st != SET_OK)
		return st;
	while (i < s->n && order(&s->v[i - 1], &s->v[i]) <= 0)
		i++;
	if (i < s->n)
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
