/* filters/pattern_match.c - a compiled pattern against a document, in place.
 *
 * An object of the pattern asks each of its fields of the same object of the
 * document; where the document has an array there, some element must satisfy all of
 * them together. A leaf asks any of the values there: the value itself, or the elements
 * of (nested) arrays; objects and empty arrays are no values. A plain pattern walks
 * the same way over what pattern_view.c makes of the record.
 */
#include "filters/pattern_priv.h"

#include "record/seek.h"
#include "record/value.h"

struct matching {
	struct pattern *p;
	struct subject subject;
	bool explaining;
	size_t satisfied; /* leaves, in this alternative */
	size_t best;
	const struct leaf *failed; /* the leaf that stopped the best alternative */
	struct spot found;	   /* its value; SLICE_NONE: nothing there */
};

/* userIdentity of the document itself has members in two spellings. */
enum spelling { SPELLING_ROOT, SPELLING_EITHER, SPELLING_EXACT };

static const struct spot nowhere;

/* Fields of one object asked in one pass; more are looked up one by one. */
#define FIELDS_SMALL 16

static bool
match_node(struct matching *m, const struct node *nd, struct spot s, enum spelling spelling);

/* ---- conditions ---- */

bool
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

enum found
leaf_find(struct pattern *p, const struct leaf *lf, struct spot s)
{
	enum found best = FOUND_NOTHING;
	struct scalar v;

	if (s.json.p == NULL || s.json.n == 0 || s.json.p[0] == '{')
		return FOUND_NOTHING;
	if (s.json.p[0] == '[') {
		struct json_iter it = json_iter(s.json);
		struct slice name, item;

		while (best != FOUND_MATCH && json_next(&it, &name, &item)) {
			enum found f = leaf_find(p, lf, spot_inside(s, item));

			best = f > best ? f : best;
		}
		return best;
	}
	spot_scalar(s, lf->decimal, &p->scratch, &v);
	for (size_t i = 0; i < lf->count; i++)
		if (cond_match(&lf->conds[i], &v, p->utf8))
			return FOUND_MATCH;
	return FOUND_OTHER;
}

static bool
match_leaf(struct matching *m, const struct leaf *lf, struct spot s)
{
	enum found f = leaf_find(m->p, lf, s);

	if (f == FOUND_MATCH || (f == FOUND_NOTHING && lf->absent_ok) ||
	    (lf->whole && leaf_whole(m->p, lf, s, &m->subject))) {
		m->satisfied++;
		return true;
	}
	if (m->explaining && (m->failed == NULL || m->satisfied > m->best)) {
		m->best = m->satisfied;
		m->failed = lf;
		m->found = f == FOUND_NOTHING && !lf->whole ? nowhere : s;
	}
	return false;
}

/* ---- objects ---- */

static bool
match_field(struct matching *m, const struct field *f, struct spot s, enum spelling spelling)
{
	for (size_t i = 0; i < f->leaf_count; i++)
		if (!match_leaf(m, f->leaves[i], s))
			return false;
	return f->node == NULL || match_node(m, f->node, s, spelling);
}

/* DynamoDB writes userIdentity's members with a capital, Lambda's pages without;
 * patterns in both spellings are about. */
static bool
is_name(struct slice raw, const struct field *f, enum spelling spelling)
{
	bool same = raw.n == f->name.n && memcmp(raw.p, f->name.p, raw.n) == 0;

	/* An escape is longer than what it means. */
	if (!same && raw.n <= f->name.n && spelling != SPELLING_EITHER)
		return false;
	if (memchr(raw.p, '\\', raw.n) != NULL)
		return json_string_is(raw, f->name.p);
	if (same)
		return true;
	return spelling == SPELLING_EITHER && raw.n == f->name.n && raw.n != 0 &&
	    (raw.p[0] | 0x20) == (f->name.p[0] | 0x20) &&
	    memcmp(raw.p + 1, f->name.p + 1, raw.n - 1) == 0;
}

bool
pattern_name_is(struct slice raw, const struct field *f, bool either)
{
	return is_name(raw, f, either ? SPELLING_EITHER : SPELLING_EXACT);
}

static struct slice
member_of(struct slice object, const struct field *f, enum spelling spelling)
{
	struct json_iter it = json_iter(object);
	struct slice name, value;

	while (json_next(&it, &name, &value))
		if (name.p != NULL && is_name(name, f, spelling))
			return value;
	return SLICE_NONE;
}

struct slice
pattern_member(struct slice object, const struct field *f)
{
	return member_of(object, f, SPELLING_EXACT);
}

/* The members that the fields name, in one pass that ends when all are found. */
static void
members_of(struct slice object, const struct node *nd, enum spelling spelling, struct slice *values)
{
	struct json_iter it = json_iter(object);
	size_t missing = nd->count;
	struct slice name, value;

	while (missing != 0 && json_next(&it, &name, &value))
		for (size_t i = 0; i < nd->count; i++)
			if (values[i].p == NULL && is_name(name, &nd->fields[i], spelling)) {
				values[i] = value;
				missing--;
				break;
			}
}

static bool
match_object(struct matching *m, const struct node *nd, struct spot s, enum spelling spelling)
{
	struct slice values[FIELDS_SMALL] = {{NULL, 0}};
	bool small = nd->count <= FIELDS_SMALL;

	if (small)
		members_of(s.json, nd, spelling, values);
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *f = &nd->fields[i];
		struct slice v = small ? values[i] : member_of(s.json, f, spelling);
		enum spelling next = spelling == SPELLING_ROOT && slice_is(f->name, "userIdentity")
		    ? SPELLING_EITHER
		    : SPELLING_EXACT;

		if (!match_field(m, f, v.p != NULL ? spot_inside(s, v) : nowhere, next))
			return false;
	}
	return true;
}

static bool
match_array(struct matching *m, const struct node *nd, struct spot s)
{
	struct json_iter it = json_iter(s.json);
	struct slice name, item;
	bool objects = false;

	while (json_next(&it, &name, &item)) {
		struct spot inside = spot_inside(s, item);
		size_t before = m->satisfied;

		if (inside.json.n == 0 || (inside.json.p[0] != '{' && inside.json.p[0] != '['))
			continue;
		objects = true;
		if (match_node(m, nd, inside, SPELLING_EXACT))
			return true;
		m->satisfied = before;
	}
	return !objects && match_node(m, nd, nowhere, SPELLING_EXACT);
}

static bool
match_node(struct matching *m, const struct node *nd, struct spot s, enum spelling spelling)
{
	if (s.json.p != NULL && s.json.p[0] == '[')
		return match_array(m, nd, s);
	if (s.json.p != NULL && s.json.p[0] == '{')
		return match_object(m, nd, s, spelling);
	for (size_t i = 0; i < nd->count; i++)
		if (!match_field(m, &nd->fields[i], nowhere, SPELLING_EXACT))
			return false;
	return true;
}

/* The compiler saw to it that the fields are names of a change. */
static bool
match_plain(struct matching *m, const struct node *nd)
{
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *f = &nd->fields[i];
		struct spot s = spot_of_change(&m->subject, f->name);

		if (!match_field(
			m, f, s, slice_is(f->name, "user") ? SPELLING_EITHER : SPELLING_EXACT))
			return false;
	}
	return true;
}

static bool
match_alternative(struct matching *m, const struct node *nd)
{
	if (m->p->plain)
		return match_plain(m, nd);
	return match_node(m, nd, (struct spot){m->subject.document, FORM_JSON}, SPELLING_ROOT);
}

/* ---- records ---- */

/* Attributes that are searched for one by one, rather than all found by one walk. */
#define SEEKS_MOST 4

static struct spot
json_spot(struct slice value)
{
	return value.p != NULL ? (struct spot){value, FORM_JSON} : nowhere;
}

static bool
can_seek(const struct matching *m, const struct node *nd, struct slice image)
{
	if (image.n == 0 || image.p[0] != '{' || nd->count > SEEKS_MOST ||
	    !seek_may(m->subject.record, image))
		return false;
	for (size_t i = 0; i < nd->count; i++)
		if (!nd->fields[i].seek)
			return false;
	return true;
}

static bool
match_leaves(struct matching *m, const struct field *f, struct slice value)
{
	for (size_t i = 0; i < f->leaf_count; i++)
		if (!match_leaf(m, f->leaves[i], json_spot(value)))
			return false;
	return true;
}

/* A text in which nothing is escaped, with its quotes. */
static bool
match_bare(struct matching *m, const struct field *f, struct slice quoted)
{
	struct slice text = {quoted.p + 1, quoted.n - 2};

	if (m->p->whole)
		return match_field(m, f, json_spot(quoted), SPELLING_EXACT);
	for (size_t i = 0; i < f->leaf_count; i++) {
		const struct leaf *lf = f->leaves[i];
		struct scalar v = {.kind = SCALAR_STRING, .text = text};
		bool yes = false;

		v.has_number = lf->decimal && number_parse(text, &v.number);
		for (size_t k = 0; k < lf->count && !yes; k++)
			yes = cond_match(&lf->conds[k], &v, m->p->utf8);
		if (!yes)
			return false;
	}
	return f->node == NULL || match_node(m, f->node, nowhere, SPELLING_EXACT);
}

/* An attribute, which may be {"X":"text"} and known to be. */
static bool
match_attribute(struct matching *m, const struct field *f, const struct attribute *a)
{
	if (a->type == '\0')
		return match_field(m, f, json_spot(a->value), SPELLING_EXACT);
	if (!match_leaves(m, f, a->value))
		return false;
	for (size_t i = 0; f->node != NULL && i < f->node->count; i++) {
		const struct field *type = &f->node->fields[i];
		bool same = type->name.n == 1 && type->name.p[0] == a->type;

		if (!(same ? match_bare(m, type, a->text)
			   : match_field(m, type, nowhere, SPELLING_EXACT)))
			return false;
	}
	return true;
}

static bool
match_image(struct matching *m, const struct field *f, struct slice image)
{
	const struct node *nd = f->node;

	if (nd == NULL || !can_seek(m, nd, image))
		return match_field(m, f, json_spot(image), SPELLING_EXACT);
	if (!match_leaves(m, f, image))
		return false;
	for (size_t i = 0; i < nd->count; i++) {
		struct attribute a = seek_attribute(image, nd->fields[i].name);

		if (!match_attribute(m, &nd->fields[i], &a))
			return false;
	}
	return true;
}

static bool
match_change(struct matching *m, const struct node *nd)
{
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *f = &nd->fields[i];

		if (!match_image(m, f, event_member(m->subject.record, EVENT_DYNAMODB, f)))
			return false;
	}
	return true;
}

static bool
match_event(struct matching *m, const struct node *nd)
{
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *f = &nd->fields[i];

		if (f->known != KNOWN_DYNAMODB) {
			struct slice v = event_member(m->subject.record, EVENT_ITSELF, f);

			/* All three names are as long; with an escape it would be longer. */
			if (f->known == KNOWN_EVENT_NAME &&
			    m->subject.record->event != RECORD_UNKNOWN &&
			    v.n == sizeof "\"MODIFY\"" - 1) {
				if (!match_bare(m, f, v))
					return false;
				continue;
			}
			if (!match_field(m, f, json_spot(v),
				f->known == KNOWN_IDENTITY ? SPELLING_EITHER : SPELLING_EXACT))
				return false;
			continue;
		}
		/* An object is no value: for a leaf of dynamodb itself nothing is there. */
		if (!match_leaves(m, f, SLICE_NONE) ||
		    (f->node != NULL && !match_change(m, f->node)))
			return false;
	}
	return true;
}

bool
pattern_match_record(struct pattern *p, const struct record *r)
{
	struct matching m = {.p = p, .subject.record = r};

	for (size_t i = 0; i < p->count; i++)
		if (p->plain ? match_plain(&m, p->alternatives[i])
			     : match_event(&m, p->alternatives[i]))
			return true;
	return false;
}

/* ---- documents ---- */

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
	struct matching m = {.p = p, .subject.document = trimmed(document)};

	for (size_t i = 0; i < p->count; i++)
		if (match_alternative(&m, p->alternatives[i]))
			return true;
	return false;
}

/* ---- why not ---- */

static void
add_value(struct buf *out, struct slice value)
{
	struct slice shown = value;

	if (value.p == NULL) {
		buf_add_str(out, "nothing");
		return;
	}
	if (shown.n > 60)
		shown.n = 60;
	buf_add_printable(out, shown);
	if (shown.n < value.n)
		buf_add_str(out, "...");
}

static void
explain_sides(struct matching *m, struct buf *out)
{
	struct slice now = side_attribute(m->failed, &m->subject, IMAGE_NEW);
	struct slice before = side_attribute(m->failed, &m->subject, IMAGE_OLD);

	add_value(out, now);
	buf_add_str(out, ", before ");
	add_value(out, before);
	buf_add_str(out, ", does not match");
}

void
pattern_explain(struct pattern *p, struct slice document, struct buf *out)
{
	struct matching m = {.p = p, .subject.document = trimmed(document), .explaining = true};

	for (size_t i = 0; i < p->count; i++) {
		m.satisfied = 0;
		if (match_alternative(&m, p->alternatives[i]))
			return;
	}
	if (m.failed == NULL)
		return;
	buf_add_slice(out, m.failed->path);
	buf_add_str(out, ": ");
	if (m.failed->two_sided) {
		explain_sides(&m, out);
	} else if (m.found.json.p == NULL) {
		buf_add_str(out, "nothing is there");
	} else {
		add_value(out, m.found.json);
		buf_add_str(out, " does not match");
	}
}
