/* filters/pattern_compile.c - the pattern's JSON into its compiled form.
 *
 * Read with the walkers of record/value.h and not into a jansson tree, because
 * a name may stand twice in one object and both count: Lambda's own pages write AND
 * that way. Messages begin with the path in the pattern.
 */
#include "filters/pattern_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/mem.h"
#include "record/value.h"

/* ---- the pool ---- */

struct pool {
	struct pool *next;
	max_align_t bytes[];
};

void *
pool_alloc(struct pool **pl, size_t size)
{
	struct pool *block = mem_new(sizeof *block + size);

	block->next = *pl;
	*pl = block;
	return block->bytes;
}

/* NUL-terminated, for messages. */
struct slice
pool_copy(struct pool **pl, struct slice s)
{
	char *p = pool_alloc(pl, s.n + 1);

	if (s.n != 0)
		memcpy(p, s.p, s.n);
	return (struct slice){p, s.n};
}

void
pool_close(struct pool *pl)
{
	while (pl != NULL) {
		struct pool *next = pl->next;

		free(pl);
		pl = next;
	}
}

/* ---- messages and strings ---- */

/* Texts have pieces of the pattern in them, which may be any bytes. */
static int
fail_at(struct err *e, const char *where, const char *why)
{
	struct buf shown = BUF_INIT(4096);

	buf_add_printable(&shown, slice_of(why));
	(void)err_set(e, ERR_CONFIG, "pattern: %s%s%s", where != NULL ? where : "",
	    where != NULL ? ": " : "", buf_cstr(&shown));
	buf_close(&shown);
	return -1;
}

int
pattern_fail(struct compiling *c, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	return fail_at(c->e, c->path.n != 0 ? buf_cstr(&c->path) : NULL, why);
}

bool
pattern_raw_string(struct slice value, struct slice *raw)
{
	if (value.n < 2 || value.p[0] != '"')
		return false;
	*raw = (struct slice){value.p + 1, value.n - 2};
	return true;
}

struct slice
pattern_string(struct compiling *c, struct slice raw)
{
	buf_reset(&c->text);
	json_unescape(raw, &c->text);
	return pool_copy(&c->p->pool, buf_slice(&c->text));
}

/* Returns how long the path was, for path_back(). */
static size_t
path_into(struct compiling *c, struct slice name)
{
	size_t before = c->path.n;

	if (before != 0)
		buf_add_char(&c->path, '.');
	buf_add_visible(&c->path, name);
	if (!slice_is(name, "$or"))
		c->names[c->name_count++] = name;
	return before;
}

static void
path_back(struct compiling *c, size_t before)
{
	c->path.n = before;
	c->path.failed = false;
}

/* ---- the tree ---- */

static bool
is_object(struct slice v)
{
	return v.n != 0 && v.p[0] == '{';
}

struct field *
field_of(struct compiling *c, struct node *nd, struct slice name)
{
	size_t n = nd->count;

	for (size_t i = 0; i < n; i++)
		if (slice_eq(nd->fields[i].name, name))
			return &nd->fields[i];
	/* By doubling: the pool keeps what is left behind. */
	if ((n & (n - 1)) == 0) {
		struct field *v = pool_alloc(&c->p->pool, (n != 0 ? 2 * n : 1) * sizeof *v);

		if (n != 0)
			memcpy(v, nd->fields, n * sizeof *v);
		nd->fields = v;
	}
	field_init(&nd->fields[n], name);
	nd->count++;
	return &nd->fields[n];
}

/* Compares as text, as everything under N does for Lambda. */
static bool
is_textual(const struct cond *c)
{
	switch (c->kind) {
	case COND_NUMBER:
	case COND_NUMERIC:
	case COND_LITERAL:
	case COND_EXISTS:
	case COND_ABSENT:
	case COND_SIZE:
	case COND_CHANGED:
	case COND_CHANGED_FROM:
	case COND_CROSSED:
	case COND_NUMERIC_OLD:
		return false;
	case COND_ANYTHING_BUT:
		return is_textual(&c->but[0]);
	default:
		return true;
	}
}

struct leaf *
pattern_leaf(struct compiling *c, struct slice list)
{
	struct json_iter it = json_iter(list);
	struct leaf *lf = pool_alloc(&c->p->pool, sizeof *lf);
	struct slice name, value;
	size_t n = 0;

	while (json_next(&it, &name, &value))
		n++;
	if (n == 0) {
		(void)pattern_fail(c, "the list is empty; nothing could match");
		return NULL;
	}
	lf->conds = pool_alloc(&c->p->pool, n * sizeof *lf->conds);
	lf->path = pool_copy(&c->p->pool, buf_slice(&c->path));
	lf->place = c->place;
	lf->decimal = c->place.tag == VALUE_N || c->place.tag == VALUE_NS;
	for (it = json_iter(list); json_next(&it, &name, &value);) {
		struct cond *cond = &lf->conds[lf->count++];

		if (cond_parse(c, value, cond) != 0)
			return NULL;
		lf->absent_ok = lf->absent_ok || cond->kind == COND_ABSENT;
		lf->whole = lf->whole || cond->kind >= COND_SIZE;
		lf->two_sided = lf->two_sided || cond->kind > COND_SIZE;
		/* A list that has text in it was written for Lambda, where no number matches. */
		lf->decimal = lf->decimal && !is_textual(cond);
	}
	return lf;
}

static int
parse_leaf(struct compiling *c, struct slice list, struct field *f)
{
	struct leaf *lf;

	place_find(c);
	if (c->p->plain && place_check_plain(c, true) != 0)
		return -1;
	lf = pattern_leaf(c, list);
	if (lf == NULL)
		return -1;
	c->p->whole = c->p->whole || lf->whole;
	place_remark(c, lf);
	/* Of two lists at one path the last counts, as for the service. */
	f->leaves = pool_alloc(&c->p->pool, sizeof(struct leaf *));
	f->leaves[0] = lf;
	f->leaf_count = 1;
	return 0;
}

static int parse_object(struct compiling *c, struct slice object, struct node *nd, unsigned depth);

/* As for the service. Not the operators that it does not have: `size` is a name in patterns
 * that work there. */
static bool
is_reserved(struct slice name)
{
	static const char *const words[] = {"exactly", "prefix", "suffix", "equals-ignore-case",
	    "anything-but", "numeric", "exists", "cidr", "wildcard"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (slice_is(name, words[i]))
			return true;
	return false;
}

static int
parse_branch(struct compiling *c, struct slice branch, struct node **out, unsigned depth)
{
	if (!is_object(branch))
		return pattern_fail(c, "wants a list of objects");
	*out = pool_alloc(&c->p->pool, sizeof **out);
	if (parse_object(c, branch, *out, depth + 1) != 0)
		return -1;
	for (size_t i = 0; i < (*out)->count; i++)
		if (is_reserved((*out)->fields[i].name))
			return pattern_fail(c, "\"%s\" is an operator and cannot be a name here",
			    (*out)->fields[i].name.p);
	return 0;
}

static int
parse_or(struct compiling *c, struct slice value, struct node *nd, unsigned depth)
{
	struct json_iter it = json_iter(value);
	struct slice name, branch;
	struct node **group, ***groups;
	size_t n = 0, before = c->path.n;

	while (value.p[0] == '[' && json_next(&it, &name, &branch))
		n++;
	if (n < 2)
		return pattern_fail(c, "wants a list of at least two objects");
	group = pool_alloc(&c->p->pool, (n + 1) * sizeof *group);
	it = json_iter(value);
	for (size_t i = 0; i < n && json_next(&it, &name, &branch); i++) {
		/* Paths of the document have no $or in them. */
		size_t here = c->path.n;

		if (!is_object(branch))
			return pattern_fail(c, "wants a list of objects");
		c->path.n -= c->path.n > 4 ? strlen(".$or") : strlen("$or");
		if (parse_branch(c, branch, &group[i], depth) != 0)
			return -1;
		c->path.n = here;
	}
	groups = pool_alloc(&c->p->pool, (nd->group_count + 1) * sizeof *groups);
	if (nd->group_count != 0)
		memcpy(groups, nd->groups, nd->group_count * sizeof *groups);
	groups[nd->group_count++] = group;
	nd->groups = groups;
	path_back(c, before);
	return 0;
}

static int
parse_member(
    struct compiling *c, struct slice raw_name, struct slice value, struct node *nd, unsigned depth)
{
	struct slice name = pattern_string(c, raw_name);
	size_t names = c->name_count, before = path_into(c, name);
	struct field *f;
	int r;

	if (slice_is(name, "$or")) {
		r = parse_or(c, value, nd, depth);
	} else if (value.p[0] == '[') {
		f = field_of(c, nd, name);
		r = parse_leaf(c, value, f);
	} else if (is_object(value)) {
		if (c->p->plain && place_check_plain(c, false) != 0)
			return -1;
		f = field_of(c, nd, name);
		if (f->node == NULL)
			f->node = pool_alloc(&c->p->pool, sizeof *f->node);
		r = parse_object(c, value, f->node, depth + 1);
	} else {
		r = pattern_fail(
		    c, "a list must be here, as in [%.40s]", pool_copy(&c->p->pool, value).p);
	}
	if (r == 0)
		path_back(c, before);
	c->name_count = names;
	return r;
}

static int
parse_object(struct compiling *c, struct slice object, struct node *nd, unsigned depth)
{
	struct json_iter it = json_iter(object);
	struct slice name, value;
	bool empty = true;

	if (depth > PATTERN_DEPTH_MAX)
		return pattern_fail(c, "deeper than %d levels", PATTERN_DEPTH_MAX);
	while (json_next(&it, &name, &value)) {
		empty = false;
		if (parse_member(c, name, value, nd, depth) != 0)
			return -1;
	}
	return empty ? pattern_fail(c, "the object is empty; it must name at least one field") : 0;
}

/* ---- the whole ---- */

/* jansson knows the line and column of what is no JSON. */
static int
check_json(struct slice text, struct err *e)
{
	char place[64];
	json_error_t where;
	json_t *tree;

	if (text.n > PATTERN_TEXT_MAX)
		return err_set(e, ERR_CONFIG, "pattern: longer than %u bytes", PATTERN_TEXT_MAX);
	tree = json_loadb(text.p, text.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &where);
	if (tree == NULL && json_error_code(&where) != json_error_numeric_overflow) {
		(void)snprintf(
		    place, sizeof place, "line %d, column %d: not JSON", where.line, where.column);
		return fail_at(e, place, where.text);
	}
	json_decref(tree);
	if (!json_check(text))
		return err_set(e, ERR_CONFIG, "pattern: not JSON, or nested too deeply");
	return 0;
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

static struct pattern *
pattern_new(bool plain)
{
	struct pattern *p = mem_new(sizeof *p);

	p->plain = plain;
	p->scratch = BUF_INIT((size_t)64 << 20);
	p->scratch_2 = BUF_INIT((size_t)64 << 20);
	p->remark = BUF_INIT(16384);
	p->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	return p;
}

static int
compile(struct pattern **out, struct slice text, bool plain, struct err *e)
{
	struct compiling c = {.path = BUF_INIT(4096), .text = BUF_INIT(PATTERN_TEXT_MAX), .e = e};
	struct node root = {.count = 0};
	int r;

	if (check_json(text, e) != 0)
		return -1;
	text = trimmed(text);
	if (!is_object(text))
		return err_set(e, ERR_CONFIG,
		    "pattern: it must be an object, as in {\"%s\": [\"INSERT\"]}",
		    plain ? "event" : "eventName");
	c.p = pattern_new(plain);
	r = c.p->utf8 == (locale_t)0
	    ? err_set(e, ERR_CONFIG,
		  "pattern: this system has no locale C.UTF-8, which letters' cases need")
	    : parse_object(&c, text, &root, 0);
	if (r == 0)
		r = pattern_expand(&c, &root);
	buf_close(&c.path);
	buf_close(&c.text);
	if (r != 0) {
		pattern_close(c.p);
		return -1;
	}
	*out = c.p;
	return 0;
}

int
pattern_compile(struct pattern **out, struct slice text, struct err *e)
{
	return compile(out, text, false, e);
}

int
pattern_compile_plain(struct pattern **out, struct slice text, struct err *e)
{
	return compile(out, text, true, e);
}

const char *
pattern_remark(struct pattern *p)
{
	return p->remark.n != 0 ? buf_cstr(&p->remark) : NULL;
}

void
pattern_close(struct pattern *p)
{
	if (p == NULL)
		return;
	pool_close(p->pool);
	if (p->utf8 != (locale_t)0)
		freelocale(p->utf8);
	buf_close(&p->scratch);
	buf_close(&p->scratch_2);
	buf_close(&p->remark);
	free(p);
}
