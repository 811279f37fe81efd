/* filters/pattern_match.c - a compiled pattern against a document, in place.
 *
 * An object of the pattern asks each of its fields of the same object of the
 * document; where the document has an array there, some element must satisfy all of
 * them together. A leaf asks any of the values there: the value itself, or the elements
 * of (nested) arrays; objects and empty arrays are no values.
 */
#include "filters/pattern_priv.h"

#include "record/value.h"

struct matching {
	struct pattern *p;
	bool explaining;
	size_t satisfied; /* leaves, in this alternative */
	size_t best;
	const struct leaf *failed; /* the leaf that stopped the best alternative */
	struct slice found;	   /* its value; SLICE_NONE: nothing there */
};

/* userIdentity of the document itself has members in two spellings. */
enum place { PLACE_ROOT, PLACE_IDENTITY, PLACE_OTHER };

/* Fields of one object asked in one pass; more are looked up one by one. */
#define FIELDS_SMALL 16

static bool
match_node(struct matching *m, const struct node *nd, struct slice value, enum place place);

/* ---- conditions ---- */

static bool
number_within(const struct cond *c, const struct number *n)
{
	int r;

	if (c->low.set) {
		r = number_cmp(n, &c->low.value);
		if (r < 0 || (r == 0 && !c->low.inclusive))
			return false;
	}
	if (c->high.set) {
		r = number_cmp(n, &c->high.value);
		if (r > 0 || (r == 0 && !c->high.inclusive))
			return false;
	}
	return true;
}

static bool
in_network(const struct cond *c, struct slice text)
{
	unsigned char a[16];
	unsigned whole = c->net_bits / 8, rest = c->net_bits % 8;

	if (text_address(text, a) != c->net_bytes || memcmp(a, c->net, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ c->net[whole]) >> (8 - rest) == 0;
}

static bool
starts_with(struct slice s, struct slice with)
{
	return s.n >= with.n && memcmp(s.p, with.p, with.n) == 0;
}

static bool
ends_with(struct slice s, struct slice with)
{
	return s.n >= with.n && memcmp(s.p + s.n - with.n, with.p, with.n) == 0;
}

static bool
match_text(const struct cond *c, struct slice text, locale_t utf8)
{
	switch (c->kind) {
	case COND_STRING:
		return slice_eq(text, c->text);
	case COND_PREFIX:
		return starts_with(text, c->text);
	case COND_SUFFIX:
		return ends_with(text, c->text);
	case COND_FOLDED:
		return text_is_folded(text, c->text, utf8);
	case COND_PREFIX_FOLDED:
		return text_starts_folded(text, c->text, utf8);
	case COND_SUFFIX_FOLDED:
		return text_ends_folded(text, c->text, utf8);
	case COND_WILDCARD:
		return text_is_like(text, c->text);
	case COND_CIDR:
		return in_network(c, text);
	default:
		return false;
	}
}

bool
cond_match(const struct cond *c, const struct scalar *v, locale_t utf8)
{
	switch (c->kind) {
	case COND_EXISTS:
		return true;
	case COND_ABSENT:
		return false;
	case COND_LITERAL:
		return v->kind == SCALAR_LITERAL && slice_eq(v->text, c->text);
	case COND_NUMBER:
		return v->has_number && number_cmp(&v->number, &c->number) == 0;
	case COND_NUMERIC:
		return v->has_number && number_within(c, &v->number);
	case COND_ANYTHING_BUT:
		for (size_t i = 0; i < c->but_count; i++)
			if (cond_match(&c->but[i], v, utf8))
				return false;
		return true;
	default:
		return v->kind == SCALAR_STRING && match_text(c, v->text, utf8);
	}
}

/* ---- leaves ---- */

enum found { FOUND_NOTHING, FOUND_OTHER, FOUND_MATCH };

static void
scalar_of(struct pattern *p, struct slice value, bool decimal, struct scalar *v)
{
	*v = (struct scalar){.kind = SCALAR_LITERAL, .text = value};
	if (value.p[0] == '"') {
		v->kind = SCALAR_STRING;
		v->text = (struct slice){value.p + 1, value.n - 2};
		if (memchr(v->text.p, '\\', v->text.n) != NULL) {
			buf_reset(&p->scratch);
			json_unescape(v->text, &p->scratch);
			v->text = buf_slice(&p->scratch);
		}
		v->has_number = decimal && number_parse(v->text, &v->number);
	} else if (value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9')) {
		v->kind = SCALAR_NUMBER;
		v->has_number = number_parse(value, &v->number);
	}
}

static enum found
leaf_find(struct pattern *p, const struct leaf *lf, struct slice value)
{
	enum found best = FOUND_NOTHING;
	struct scalar v;

	if (value.p == NULL || value.n == 0 || value.p[0] == '{')
		return FOUND_NOTHING;
	if (value.p[0] == '[') {
		struct json_iter it = json_iter(value);
		struct slice name, item;

		while (best != FOUND_MATCH && json_next(&it, &name, &item)) {
			enum found f = leaf_find(p, lf, item);

			best = f > best ? f : best;
		}
		return best;
	}
	scalar_of(p, value, lf->decimal, &v);
	for (size_t i = 0; i < lf->count; i++)
		if (cond_match(&lf->conds[i], &v, p->utf8))
			return FOUND_MATCH;
	return FOUND_OTHER;
}

static bool
match_leaf(struct matching *m, const struct leaf *lf, struct slice value)
{
	enum found f = leaf_find(m->p, lf, value);

	if (f == FOUND_MATCH || (f == FOUND_NOTHING && lf->absent_ok)) {
		m->satisfied++;
		return true;
	}
	if (m->explaining && (m->failed == NULL || m->satisfied > m->best)) {
		m->best = m->satisfied;
		m->failed = lf;
		m->found = f == FOUND_NOTHING ? SLICE_NONE : value;
	}
	return false;
}

/* ---- objects ---- */

static bool
match_field(struct matching *m, const struct field *f, struct slice value, enum place place)
{
	for (size_t i = 0; i < f->leaf_count; i++)
		if (!match_leaf(m, f->leaves[i], value))
			return false;
	return f->node == NULL || match_node(m, f->node, value, place);
}

/* DynamoDB writes userIdentity's members with a capital, Lambda's pages without;
 * patterns in both spellings are about. */
static bool
is_name(struct slice raw, const struct field *f, enum place place)
{
	if (raw.n == f->name.n && memcmp(raw.p, f->name.p, raw.n) == 0)
		return true;
	if (memchr(raw.p, '\\', raw.n) != NULL)
		return json_string_is(raw, f->name.p);
	return place == PLACE_IDENTITY && raw.n == f->name.n && raw.n != 0 &&
	    (raw.p[0] | 0x20) == (f->name.p[0] | 0x20) &&
	    memcmp(raw.p + 1, f->name.p + 1, raw.n - 1) == 0;
}

static struct slice
member_of(struct slice object, const struct field *f, enum place place)
{
	struct json_iter it = json_iter(object);
	struct slice name, value;

	while (json_next(&it, &name, &value))
		if (name.p != NULL && is_name(name, f, place))
			return value;
	return SLICE_NONE;
}

/* The members that the fields name, in one pass that ends when all are found. */
static void
members_of(struct slice object, const struct node *nd, enum place place, struct slice *values)
{
	struct json_iter it = json_iter(object);
	size_t missing = nd->count;
	struct slice name, value;

	while (missing != 0 && json_next(&it, &name, &value))
		for (size_t i = 0; i < nd->count; i++)
			if (values[i].p == NULL && is_name(name, &nd->fields[i], place)) {
				values[i] = value;
				missing--;
				break;
			}
}

static bool
match_object(struct matching *m, const struct node *nd, struct slice object, enum place place)
{
	struct slice values[FIELDS_SMALL] = {{NULL, 0}};
	bool small = nd->count <= FIELDS_SMALL;

	if (small)
		members_of(object, nd, place, values);
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *f = &nd->fields[i];
		struct slice v = small ? values[i] : member_of(object, f, place);
		enum place next = place == PLACE_ROOT && slice_is(f->name, "userIdentity")
		    ? PLACE_IDENTITY
		    : PLACE_OTHER;

		if (!match_field(m, f, v, next))
			return false;
	}
	return true;
}

static bool
match_array(struct matching *m, const struct node *nd, struct slice array)
{
	struct json_iter it = json_iter(array);
	struct slice name, item;
	bool objects = false;

	while (json_next(&it, &name, &item)) {
		size_t before = m->satisfied;

		if (item.p[0] != '{' && item.p[0] != '[')
			continue;
		objects = true;
		if (match_node(m, nd, item, PLACE_OTHER))
			return true;
		m->satisfied = before;
	}
	return !objects && match_node(m, nd, SLICE_NONE, PLACE_OTHER);
}

static bool
match_node(struct matching *m, const struct node *nd, struct slice value, enum place place)
{
	if (value.p != NULL && value.p[0] == '[')
		return match_array(m, nd, value);
	if (value.p != NULL && value.p[0] == '{')
		return match_object(m, nd, value, place);
	for (size_t i = 0; i < nd->count; i++)
		if (!match_field(m, &nd->fields[i], SLICE_NONE, PLACE_OTHER))
			return false;
	return true;
}

static struct slice
trimmed(struct slice s)
{
	while (s.n != 0 && (unsigned char)s.p[0] <= ' ') {
		s.p++;
		s.n--;
	}
	return s;
}

bool
pattern_match(struct pattern *p, struct slice document)
{
	struct matching m = {.p = p};

	document = trimmed(document);
	for (size_t i = 0; i < p->count; i++)
		if (match_node(&m, p->alternatives[i], document, PLACE_ROOT))
			return true;
	return false;
}

void
pattern_explain(struct pattern *p, struct slice document, struct buf *out)
{
	struct matching m = {.p = p, .explaining = true};

	document = trimmed(document);
	for (size_t i = 0; i < p->count; i++) {
		m.satisfied = 0;
		if (match_node(&m, p->alternatives[i], document, PLACE_ROOT))
			return;
	}
	if (m.failed == NULL)
		return;
	buf_add_slice(out, m.failed->path);
	if (m.found.p == NULL) {
		buf_add_str(out, ": nothing is there");
	} else {
		struct slice shown = m.found;

		if (shown.n > 60)
			shown.n = 60;
		buf_add_str(out, ": ");
		buf_add_printable(out, shown);
		buf_add_str(out, shown.n < m.found.n ? "... does" : " does");
		buf_add_str(out, " not match");
	}
}
