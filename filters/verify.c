/* filters/verify.c - see verify.h.
 *
 * json_check() first, so that the walk over types can trust the grammar; then one walk
 * down the values. The names of a map (and the elements of a set) are gathered on a stack,
 * to be sorted when it ends: what lies below them belongs to the maps around it.
 */
#include "filters/verify.h"

#include <stdlib.h>

#include "record/base64.h"
#include "record/value.h"

/* AWS's limit: "up to 32 levels deep". */
#define DEPTH_MAX 32u

#define NUMBER_ROOM 64u /* a canonical number: 40 digits, sign, point, exponent */

struct verify_text {
	size_t at, n; /* in text */
};

struct walk {
	struct verify *v;
	const char *from; /* the image's first byte */
	struct err *e;
};

void
verify_init(struct verify *v, size_t maximum)
{
	*v = (struct verify){.text = BUF_INIT(8 * maximum), .maximum = maximum};
}

void
verify_close(struct verify *v)
{
	buf_close(&v->text);
	free(v->stack);
	*v = (struct verify){.stack = NULL};
}

static int
fault(const struct walk *w, struct slice at, const char *what)
{
	return err_set(w->e, ERR_PROTOCOL, "byte %zu: %s", (size_t)(at.p - w->from), what);
}

static int
no_memory(const struct walk *w)
{
	return err_set(w->e, ERR_NOMEM, "no memory to look at it");
}

/* ---- names, and the elements of sets ---- */

static int
compare(const void *a, const void *b, void *text)
{
	const struct verify_text *x = a, *y = b;
	const char *p = text;

	return slice_cmp((struct slice){p + x->at, x->n}, (struct slice){p + y->at, y->n});
}

/* What was appended to text since `at` goes on the stack. */
static int
push(struct walk *w, size_t at)
{
	struct verify *v = w->v;

	if (v->text.failed)
		return no_memory(w);
	if (v->n == v->cap) {
		size_t cap = v->cap != 0 ? v->cap * 2 : 64;
		struct verify_text *p = reallocarray(v->stack, cap, sizeof *p);

		if (p == NULL)
			return no_memory(w);
		v->stack = p;
		v->cap = cap;
	}
	v->stack[v->n++] = (struct verify_text){at, v->text.n - at};
	return 0;
}

/* Takes off the stack what is on it from `base` on, and its texts from `at` on. Is one
 * of them there twice? */
static bool
pop_has_twin(struct walk *w, size_t base, size_t at)
{
	struct verify *v = w->v;
	bool twice = false;

	if (v->n - base > 1)
		qsort_r(v->stack + base, v->n - base, sizeof *v->stack, compare, v->text.p);
	for (size_t i = base + 1; i < v->n && !twice; i++)
		twice = compare(&v->stack[i - 1], &v->stack[i], v->text.p) == 0;
	v->n = base;
	v->text.n = at;
	return twice;
}

/* ---- values ---- */

/* Appends to text what the raw text between quotes means: a number in its canonical
 * form, other text without escapes. */
static int
append_scalar(struct walk *w, enum value_type type, struct slice raw)
{
	struct buf *b = &w->v->text;
	size_t at = b->n, digits;
	struct slice text;

	json_unescape(raw, b);
	if (b->failed || !buf_reserve(b, 2 * raw.n + NUMBER_ROOM))
		return no_memory(w);
	text = (struct slice){b->p + at, b->n - at};
	if (type == VALUE_B && !base64_measure(text, &digits))
		return fault(w, raw, "B holds no base64");
	if (type != VALUE_N)
		return 0;
	if (!number_canonical(text, b))
		return fault(w, raw, "N holds no number");
	memmove(b->p + at, b->p + at + text.n, b->n - at - text.n);
	b->n -= text.n;
	return 0;
}

static int
check_scalar(struct walk *w, enum value_type type, struct slice raw)
{
	size_t at = w->v->text.n;

	if (type == VALUE_S)
		return 0;
	if (append_scalar(w, type, raw) != 0)
		return -1;
	w->v->text.n = at;
	return 0;
}

static int
check_set(struct walk *w, enum value_type type, struct slice inner)
{
	enum value_type of = type == VALUE_NS ? VALUE_N : (type == VALUE_BS ? VALUE_B : VALUE_S);
	size_t base = w->v->n, text = w->v->text.n;
	struct json_iter it = json_iter(inner);
	struct slice name, value;

	while (json_next(&it, &name, &value)) {
		size_t at = w->v->text.n;

		if (value.p[0] != '"')
			return fault(w, value, "a set holds something that is no text");
		value = (struct slice){value.p + 1, value.n - 2};
		if (append_scalar(w, of, value) != 0 || push(w, at) != 0)
			return -1;
	}
	if (w->v->n == base)
		return fault(w, inner, "a set is empty");
	if (pop_has_twin(w, base, text))
		return fault(w, inner, "a set has an element twice");
	return 0;
}

static int check_map(struct walk *w, struct slice map, unsigned depth);

static int
check_value(struct walk *w, struct slice value, unsigned depth)
{
	struct slice inner, name, item;
	enum value_type type = value_of(value, &inner);
	struct json_iter it;

	if (depth > DEPTH_MAX)
		return fault(w, value, "nested deeper than 32 levels");
	switch (type) {
	case VALUE_S:
	case VALUE_N:
	case VALUE_B:
		return check_scalar(w, type, inner);
	case VALUE_BOOL:
		return 0;
	case VALUE_NULL:
		return inner.p[0] == 't' ? 0 : fault(w, inner, "NULL is not true");
	case VALUE_M:
		return check_map(w, inner, depth + 1);
	case VALUE_L:
		it = json_iter(inner);
		while (json_next(&it, &name, &item))
			if (check_value(w, item, depth + 1) != 0)
				return -1;
		return 0;
	case VALUE_SS:
	case VALUE_NS:
	case VALUE_BS:
		return check_set(w, type, inner);
	case VALUE_INVALID:
		break;
	}
	return fault(w, value, "not a value with one type, such as {\"S\":\"text\"}");
}

static int
check_map(struct walk *w, struct slice map, unsigned depth)
{
	struct json_iter it = json_iter(map);
	size_t base = w->v->n, text = w->v->text.n;
	struct slice name, value;

	while (json_next(&it, &name, &value)) {
		size_t at = w->v->text.n;

		json_unescape(name, &w->v->text);
		if (push(w, at) != 0 || check_value(w, value, depth) != 0)
			return -1;
	}
	if (pop_has_twin(w, base, text))
		return fault(w, map, "an attribute is in there twice");
	return 0;
}

/* ---- the whole ---- */

static struct slice
find(struct slice image, struct slice raw_name)
{
	struct json_iter it = json_iter(image);
	struct slice name, value;

	while (json_next(&it, &name, &value))
		if (json_string_eq(name, raw_name))
			return value;
	return SLICE_NONE;
}

static int
check_keys(struct slice image, struct slice keys, struct err *e)
{
	struct json_iter it = json_iter(keys);
	struct slice name, value, mine;

	while (json_next(&it, &name, &value)) {
		mine = find(image, name);
		if (mine.p == NULL || !value_eq(mine, value))
			return err_set(e, ERR_PROTOCOL, "the key attribute \"%.*s\" %s",
			    (int)(name.n < 60 ? name.n : 60), name.p,
			    mine.p == NULL ? "is missing" : "has another value");
	}
	return 0;
}

int
verify_image(struct verify *v, struct slice image, struct slice keys, struct err *e)
{
	struct walk w = {.v = v, .from = image.p, .e = e};

	if (image.n > v->maximum)
		return err_set(
		    e, ERR_LIMIT, "%zu bytes; at most %zu are allowed", image.n, v->maximum);
	if (!json_check(image))
		return err_set(e, ERR_PROTOCOL, "not well-formed JSON");
	if (image.p[0] != '{')
		return err_set(e, ERR_PROTOCOL, "does not begin with {");
	buf_reset(&v->text);
	v->n = 0;
	if (check_map(&w, image, 1) != 0)
		return -1;
	return check_keys(image, keys, e);
}
