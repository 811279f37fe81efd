/* filters/pattern_cond.c - one element of a value list: "paid", 5, null,
 * {"prefix": "x"}, {"numeric": [">", 0]}.
 */
#include "filters/pattern_priv.h"

#include "base/conf.h"
#include "record/value.h"

static const char *const operators[] = {"prefix", "suffix", "equals-ignore-case", "anything-but",
    "numeric", "exists", "cidr", "wildcard", "size", "changed", "changed-from", "crossed", NULL};
enum operator{
	OP_PREFIX,
	OP_SUFFIX,
	OP_IGNORE_CASE,
	OP_ANYTHING_BUT,
	OP_NUMERIC,
	OP_EXISTS,
	OP_CIDR,
	OP_WILDCARD,
	OP_SIZE,
	OP_CHANGED,
	OP_CHANGED_FROM,
	OP_CROSSED,
	OP_NONE = -1
};

static int
operator_of(struct slice raw)
{
	for (int i = 0; operators[i] != NULL; i++)
		if (json_string_is(raw, operators[i]))
			return i;
	return OP_NONE;
}

static int
fail_operator(struct compiling *c, struct slice raw)
{
	struct slice name = pattern_string(c, raw);
	const char *near = conf_nearest(name.p, operators);

	if (near != NULL)
		return pattern_fail(
		    c, "there is no operator \"%.60s\"; did you mean \"%s\"?", name.p, near);
	return pattern_fail(c,
	    "there is no operator \"%.60s\"; known: prefix, suffix, equals-ignore-case, "
	    "anything-but, numeric, exists, cidr, wildcard, size, changed, changed-from, crossed",
	    name.p);
}

/* The only member of an object; -1 if it has none or several. */
static int
only_member(struct slice object, struct slice *name, struct slice *value)
{
	struct json_iter it = json_iter(object);
	struct slice more_name, more_value;

	if (!json_next(&it, name, value))
		return -1;
	return json_next(&it, &more_name, &more_value) ? -1 : 0;
}

static bool
is_object(struct slice v)
{
	return v.n != 0 && v.p[0] == '{';
}

static bool
is_array(struct slice v)
{
	return v.n != 0 && v.p[0] == '[';
}

static bool
is_number(struct slice v)
{
	return v.n != 0 && (v.p[0] == '-' || (v.p[0] >= '0' && v.p[0] <= '9'));
}

/* ---- strings ---- */

static struct slice
folded(struct compiling *c, struct slice plain)
{
	buf_reset(&c->text);
	text_fold(plain, c->p->utf8, &c->text);
	return pool_copy(&c->p->pool, buf_slice(&c->text));
}

static int
want_string(struct compiling *c, const char *op, struct slice value, struct slice *plain)
{
	struct slice raw;

	if (!pattern_raw_string(value, &raw))
		return pattern_fail(c, "\"%s\" wants a string", op);
	*plain = pattern_string(c, raw);
	return 0;
}

/* {"prefix": "x"} and {"prefix": {"equals-ignore-case": "x"}} */
static int
parse_affix(struct compiling *c, bool suffix, struct slice value, struct cond *out)
{
	const char *op = suffix ? "suffix" : "prefix";
	struct slice name, inner;

	out->kind = suffix ? COND_SUFFIX : COND_PREFIX;
	if (!is_object(value))
		return want_string(c, op, value, &out->text);
	if (only_member(value, &name, &inner) != 0 || operator_of(name) != OP_IGNORE_CASE)
		return pattern_fail(
		    c, "\"%s\" wants a string, or {\"equals-ignore-case\": STRING}", op);
	if (want_string(c, "equals-ignore-case", inner, &out->text) != 0)
		return -1;
	out->kind = suffix ? COND_SUFFIX_FOLDED : COND_PREFIX_FOLDED;
	out->text = folded(c, out->text);
	return 0;
}

static int
parse_wildcard(struct compiling *c, struct slice value, struct cond *out)
{
	struct slice plain = SLICE_NONE;

	if (want_string(c, "wildcard", value, &plain) != 0)
		return -1;
	out->kind = COND_WILDCARD;
	buf_reset(&c->text);
	for (size_t i = 0; i < plain.n; i++) {
		char ch = plain.p[i];

		if (ch == '*' && i + 1 < plain.n && plain.p[i + 1] == '*')
			return pattern_fail(c, "a wildcard must not have two stars in a row");
		if (ch == '\\') {
			if (++i == plain.n || (plain.p[i] != '*' && plain.p[i] != '\\'))
				return pattern_fail(c,
				    "in a wildcard a backslash stands before a star or a "
				    "backslash, nothing else");
			buf_add_char(&c->text, plain.p[i]);
		} else {
			buf_add_char(&c->text, ch == '*' ? WILDCARD_STAR : ch);
		}
	}
	out->text = pool_copy(&c->p->pool, buf_slice(&c->text));
	return 0;
}

/* ---- numbers ---- */

/* {"old": true} */
static bool
is_old(struct slice value)
{
	struct slice name, inner;

	return is_object(value) && only_member(value, &name, &inner) == 0 &&
	    json_string_is(name, "old") && slice_is(inner, "true");
}

static int
want_number(struct compiling *c, const char *op, bool old_ok, struct slice value, struct bound *out)
{
	out->old = old_ok && is_old(value);
	if (out->old ||
	    (is_number(value) && number_parse(pool_copy(&c->p->pool, value), &out->value)))
		return 0;
	return pattern_fail(c, "\"%s\" wants numbers, as in [\">\", 0, \"<=\", 5]%s", op,
	    old_ok ? ", or {\"old\": true}" : "");
}

static int
parse_bound(struct compiling *c, const char *name, bool old_ok, struct slice op, struct slice value,
    struct cond *out)
{
	struct bound b = {.set = true};
	struct slice raw;

	if (!pattern_raw_string(op, &raw))
		return pattern_fail(c, "\"%s\" wants =, <, <=, > or >= before each number", name);
	if (want_number(c, name, old_ok, value, &b) != 0)
		return -1;
	b.inclusive = raw.n != 0 && raw.p[raw.n - 1] == '=';
	if (slice_is(raw, "=") && !out->low.set && !out->high.set)
		out->low = out->high = b;
	else if ((slice_is(raw, ">") || slice_is(raw, ">=")) && !out->low.set && !out->high.set)
		out->low = b;
	else if ((slice_is(raw, "<") || slice_is(raw, "<=")) && !out->high.set)
		out->high = b;
	else
		return pattern_fail(c,
		    "\"%s\" is one of =, <, <=, >, >= with a number, or a lower bound "
		    "and then an upper one, as in [\">\", 0, \"<=\", 5]",
		    name);
	return 0;
}

int
cond_parse_bounds(
    struct compiling *c, const char *op, struct slice value, bool old_ok, struct cond *out)
{
	struct json_iter it = json_iter(value);
	struct slice name, sign, number;
	size_t pairs = 0;

	if (!is_array(value))
		return pattern_fail(c, "\"%s\" wants a list, as in [\">\", 0, \"<=\", 5]", op);
	while (json_next(&it, &name, &sign)) {
		if (!json_next(&it, &name, &number) || pairs++ == 2)
			return pattern_fail(
			    c, "\"%s\" wants pairs, as in [\">\", 0, \"<=\", 5]", op);
		if (parse_bound(c, op, old_ok, sign, number, out) != 0)
			return -1;
	}
	if (pairs == 0)
		return pattern_fail(c, "\"%s\" is empty", op);
	if (pairs == 2 && !out->low.old && !out->high.old &&
	    number_cmp(&out->low.value, &out->high.value) >= 0)
		return pattern_fail(c, "\"%s\": the lower bound must be below the upper one", op);
	return 0;
}

static int
parse_numeric(struct compiling *c, struct slice value, struct cond *out)
{
	out->kind = COND_NUMERIC;
	if (cond_parse_bounds(c, "numeric", value, true, out) != 0)
		return -1;
	if (!out->low.old && !out->high.old)
		return 0;
	out->kind = COND_NUMERIC_OLD;
	return cond_check_old(c, "numeric with {\"old\": true}");
}

/* ---- addresses ---- */

static int
parse_cidr(struct compiling *c, struct slice value, struct cond *out)
{
	struct slice plain = SLICE_NONE;
	const char *slash;
	int64_t bits;

	if (want_string(c, "cidr", value, &plain) != 0)
		return -1;
	out->kind = COND_CIDR;
	slash = memchr(plain.p, '/', plain.n);
	if (slash != NULL)
		out->net_bytes =
		    text_address((struct slice){plain.p, (size_t)(slash - plain.p)}, out->net);
	if (out->net_bytes == 0 ||
	    conf_parse_int(slash + 1, 0, out->net_bytes * 8, &bits, NULL) != 0)
		return pattern_fail(c,
		    "\"cidr\" wants an address and its bits, as in \"10.0.0.0/8\" or "
		    "\"2001:db8::/32\"");
	out->net_bits = (unsigned)bits;
	return 0;
}

/* ---- anything-but ---- */

/* One of {"prefix": ...} and its kin inside anything-but. */
static int
parse_but_item(struct compiling *c, int op, struct slice value, struct cond *out)
{
	struct slice raw;

	if (!pattern_raw_string(value, &raw))
		return pattern_fail(c,
		    "\"%s\" inside \"anything-but\" wants a string, or a list of them",
		    operators[op]);
	if (raw.n == 0 && (op == OP_PREFIX || op == OP_SUFFIX))
		return pattern_fail(
		    c, "an empty \"%s\" inside \"anything-but\" leaves nothing", operators[op]);
	if (op == OP_WILDCARD)
		return parse_wildcard(c, value, out);
	out->text = pattern_string(c, raw);
	out->kind = op == OP_PREFIX ? COND_PREFIX : op == OP_SUFFIX ? COND_SUFFIX : COND_FOLDED;
	if (op == OP_IGNORE_CASE)
		out->text = folded(c, out->text);
	return 0;
}

static int
parse_but_value(struct compiling *c, struct slice value, struct cond *out)
{
	struct slice raw;

	if (pattern_raw_string(value, &raw)) {
		out->kind = COND_STRING;
		out->text = pattern_string(c, raw);
		return 0;
	}
	out->kind = COND_NUMBER;
	if (!is_number(value) || !number_parse(pool_copy(&c->p->pool, value), &out->number))
		return pattern_fail(c,
		    "\"anything-but\" wants a string, a number, a list of either, or an object "
		    "with prefix, suffix, equals-ignore-case or wildcard");
	return 0;
}

static int
parse_anything_but(struct compiling *c, struct slice value, struct cond *out)
{
	struct slice name, item, list = value;
	int op = OP_NONE;
	struct json_iter it;
	size_t n = 1;

	out->kind = COND_ANYTHING_BUT;
	if (is_object(value)) {
		if (only_member(value, &name, &list) != 0)
			return pattern_fail(c, "\"anything-but\" wants one operator inside");
		op = operator_of(name);
		if (op != OP_PREFIX && op != OP_SUFFIX && op != OP_IGNORE_CASE && op != OP_WILDCARD)
			return pattern_fail(c,
			    "\"anything-but\" takes prefix, suffix, equals-ignore-case or wildcard "
			    "inside");
	}
	if (is_array(list)) {
		n = 0;
		for (it = json_iter(list); json_next(&it, &name, &item);)
			n++;
		if (n == 0)
			return pattern_fail(c, "\"anything-but\" has an empty list");
	}
	out->but = pool_alloc(&c->p->pool, n * sizeof *out->but);
	it = json_iter(list);
	while (out->but_count < n) {
		struct cond *but = &out->but[out->but_count++];

		item = list;
		if (is_array(list) && !json_next(&it, &name, &item))
			break;
		if ((op != OP_NONE ? parse_but_item(c, op, item, but)
				   : parse_but_value(c, item, but)) != 0)
			return -1;
		if (op == OP_NONE && but->kind != out->but[0].kind)
			return pattern_fail(c, "\"anything-but\" mixes strings and numbers");
	}
	return 0;
}

/* ---- one condition ---- */

static int
parse_operator(struct compiling *c, struct slice value, struct cond *out)
{
	struct slice name, inner;

	if (only_member(value, &name, &inner) != 0)
		return pattern_fail(
		    c, "an operator is an object with one member, as in {\"prefix\": \"x\"}");
	switch (operator_of(name)) {
	case OP_PREFIX:
		return parse_affix(c, false, inner, out);
	case OP_SUFFIX:
		return parse_affix(c, true, inner, out);
	case OP_IGNORE_CASE:
		out->kind = COND_FOLDED;
		if (want_string(c, "equals-ignore-case", inner, &out->text) != 0)
			return -1;
		out->text = folded(c, out->text);
		return 0;
	case OP_ANYTHING_BUT:
		return parse_anything_but(c, inner, out);
	case OP_NUMERIC:
		return parse_numeric(c, inner, out);
	case OP_EXISTS:
		if (!slice_is(inner, "true") && !slice_is(inner, "false"))
			return pattern_fail(c, "\"exists\" wants true or false");
		out->kind = slice_is(inner, "true") ? COND_EXISTS : COND_ABSENT;
		return 0;
	case OP_CIDR:
		return parse_cidr(c, inner, out);
	case OP_WILDCARD:
		return parse_wildcard(c, inner, out);
	case OP_SIZE:
		return cond_parse_size(c, inner, out);
	case OP_CHANGED:
		return cond_parse_changed(c, inner, out);
	case OP_CHANGED_FROM:
		return cond_parse_changed_from(c, inner, out);
	case OP_CROSSED:
		return cond_parse_crossed(c, inner, out);
	default:
		return fail_operator(c, name);
	}
}

int
cond_parse(struct compiling *c, struct slice value, struct cond *out)
{
	struct slice raw;

	if (is_object(value))
		return parse_operator(c, value, out);
	if (is_array(value))
		return pattern_fail(c, "a list inside a value list");
	if (pattern_raw_string(value, &raw)) {
		out->kind = COND_STRING;
		out->text = pattern_string(c, raw);
		return 0;
	}
	out->text = pool_copy(&c->p->pool, value);
	if (!is_number(value)) {
		out->kind = COND_LITERAL;
		return 0;
	}
	out->kind = COND_NUMBER;
	if (!number_parse(out->text, &out->number))
		return pattern_fail(c, "a number whose exponent is out of all bounds");
	return 0;
}
