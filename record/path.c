/* record/path.c - see path.h. */
#include "record/path.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "record/text.h"
#include "record/value.h"

struct parsing {
	const char *p;
	unsigned flags;
	const char *why; /* what is wrong beyond that it is no path; static text */
	struct path_step steps[PATH_STEPS_MAX];
	size_t n;
};

static void
steps_close(struct path_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(steps[i].name);
		free(steps[i].tail);
	}
}

void
path_close(struct path *p)
{
	if (p == NULL)
		return;
	steps_close(p->steps, p->count);
	free(p->text);
	free(p);
}

static struct path *
path_new(const char *text, const struct path_step *steps, size_t n)
{
	struct path *p = mem_new(sizeof *p + n * sizeof *steps);

	p->text = mem_strdup(text);
	p->count = n;
	if (n != 0)
		memcpy(p->steps, steps, n * sizeof *steps);
	return p;
}

struct path *
path_of_name(const char *name)
{
	struct path_step step = {.name = mem_strdup(name), .name_n = strlen(name)};

	return path_new(name, &step, 1);
}

/* ---- what an operator writes ---- */

static bool
fail(struct parsing *ps, const char *why)
{
	ps->why = why;
	return false;
}

/* Between quotes nothing is a star. */
static bool
parse_quoted(struct parsing *ps, struct path_step *step)
{
	const char *p = ps->p + 1;
	struct slice raw;
	struct buf name;

	while (*p != '"' && *p != '\0')
		p += *p == '\\' && p[1] != '\0' ? 2 : 1;
	if (*p == '\0')
		return fail(ps, "a quote is open");
	raw = (struct slice){ps->p + 1, (size_t)(p - ps->p - 1)};
	ps->p = p + 1;
	if (!json_check((struct slice){raw.p - 1, raw.n + 2}))
		return fail(ps, "what is in double quotes must be a JSON string");
	if (raw.n == 0 && (ps->flags & PATH_EMPTY) == 0)
		return fail(ps, "no attribute has an empty name");
	name = BUF_INIT(raw.n + 1);
	json_unescape(raw, &name);
	/* A name with U+0000 could not be kept as a string; nobody has one. */
	if (!name.failed && memchr(buf_slice(&name).p, '\0', name.n) == NULL)
		step->name = mem_slicedup(buf_slice(&name));
	step->name_n = name.n;
	buf_close(&name);
	return step->name != NULL || fail(ps, "no name may hold U+0000");
}

static bool
parse_like(struct parsing *ps, struct slice word, const char *star, struct path_step *step)
{
	size_t before = (size_t)(star - word.p), behind = word.n - before - 1;

	if ((ps->flags & PATH_WILD) == 0)
		return fail(ps,
		    "a star would stand for any name, which cannot be here; a name that holds one "
		    "is written in double quotes");
	if (memchr(star + 1, '*', behind) != NULL)
		return fail(ps,
		    "a name has at most one star; one that holds stars is written in "
		    "double quotes");
	step->kind = PATH_LIKE;
	step->name = mem_slicedup((struct slice){word.p, before});
	step->name_n = before;
	step->tail = mem_slicedup((struct slice){star + 1, behind});
	step->tail_n = behind;
	return true;
}

static bool
parse_name(struct parsing *ps)
{
	struct path_step *step = &ps->steps[ps->n++];
	struct slice word = {ps->p, strcspn(ps->p, ".[]\"\\")};
	const char *star;

	if (*ps->p == '"')
		return parse_quoted(ps, step);
	if (word.n == 0)
		return fail(ps, "a name is missing");
	ps->p += word.n;
	star = memchr(word.p, '*', word.n);
	if (star != NULL)
		return parse_like(ps, word, star, step);
	step->name = mem_slicedup(word);
	step->name_n = word.n;
	return true;
}

/* p is at the bracket. */
static bool
parse_index(struct parsing *ps)
{
	struct path_step *step = &ps->steps[ps->n++];
	const char *p = ps->p + 1;
	size_t v = 0;

	if (strncmp(p, "*]", 2) == 0) {
		if ((ps->flags & PATH_WILD) == 0)
			return fail(ps, "[*] would be every element, which cannot be here");
		step->kind = PATH_EACH;
		ps->p = p + 2;
		return true;
	}
	if (*p < '0' || *p > '9')
		return fail(ps, "[ is followed by the number of an element, from 0");
	for (; *p >= '0' && *p <= '9' && v <= PATH_INDEX_MAX; p++)
		v = v * 10 + (size_t)(*p - '0');
	if (*p != ']' || v > PATH_INDEX_MAX)
		return fail(ps, "no list has an element of that number");
	step->kind = PATH_INDEX;
	step->index = v;
	ps->p = p + 1;
	return true;
}

static bool
parse_steps(struct parsing *ps)
{
	if (!parse_name(ps))
		return false;
	while (*ps->p != '\0') {
		if (ps->n == PATH_STEPS_MAX)
			return fail(ps, "no item of DynamoDB nests deeper than 32 levels");
		if (*ps->p == '[') {
			if (!parse_index(ps))
				return false;
		} else if (*ps->p++ != '.') {
			return fail(ps, "a name is followed by a dot or [");
		} else if (!parse_name(ps)) {
			return false;
		}
	}
	return true;
}

int
path_parse(struct path **out, const char *text, unsigned flags, struct err *e)
{
	struct parsing ps = {.p = text, .flags = flags};

	*out = NULL;
	if (strcmp(text, ".") == 0 && (flags & PATH_WHOLE) != 0) {
		*out = path_new(text, NULL, 0);
		return 0;
	}
	if (!parse_steps(&ps)) {
		steps_close(ps.steps, ps.n);
		return err_set(e, ERR_CONFIG,
		    "\"%.120s\" is no path: %s. Names are joined by dots, [n] is an element of a "
		    "list, a name that holds a dot is in double quotes: a.\"b.c\"[0]",
		    text, ps.why);
	}
	*out = path_new(text, ps.steps, ps.n);
	return 0;
}

/* ---- what is in an item ---- */

bool
path_name_is(struct slice raw, struct slice name)
{
	if (slice_eq(raw, name))
		return !text_has_escape(raw);
	return raw.n > name.n && text_has_escape(raw) && json_string_is(raw, name.p);
}

static bool
starts_and_ends(struct slice s, const struct path_step *step)
{
	return s.n >= step->name_n + step->tail_n && memcmp(s.p, step->name, step->name_n) == 0 &&
	    memcmp(s.p + s.n - step->tail_n, step->tail, step->tail_n) == 0;
}

static bool
like_escaped(struct slice raw, const struct path_step *step)
{
	struct buf text = BUF_INIT(raw.n);
	bool yes;

	json_unescape(raw, &text);
	yes = !text.failed && starts_and_ends(buf_slice(&text), step);
	buf_close(&text);
	return yes;
}

bool
path_step_takes_name(const struct path_step *s, struct slice raw)
{
	if (s->kind == PATH_NAME)
		return path_name_is(raw, (struct slice){s->name, s->name_n});
	if (s->kind != PATH_LIKE)
		return false;
	if (s->name_n + s->tail_n == 0)
		return true;
	return text_has_escape(raw) ? like_escaped(raw, s) : starts_and_ends(raw, s);
}

static struct slice
member_of(struct slice object, const struct path_step *step)
{
	struct json_iter it = json_iter(object);
	struct slice raw, value;

	while (it.object && json_next(&it, &raw, &value))
		if (path_step_takes_name(step, raw))
			return value;
	return SLICE_NONE;
}

static struct slice
element_of(struct slice array, size_t index)
{
	struct json_iter it = json_iter(array);
	struct slice raw, value;

	while (!it.object && json_next(&it, &raw, &value))
		if (index-- == 0)
			return value;
	return SLICE_NONE;
}

struct slice
path_walk(const struct path *p, struct slice value)
{
	struct slice inner;

	for (size_t i = 1; i < p->count && value.p != NULL; i++) {
		enum value_type type = value_of(value, &inner);

		if (p->steps[i].kind == PATH_NAME && type == VALUE_M)
			value = member_of(inner, &p->steps[i]);
		else if (p->steps[i].kind == PATH_INDEX && type == VALUE_L)
			value = element_of(inner, p->steps[i].index);
		else
			return SLICE_NONE;
	}
	return value;
}

struct slice
path_find(const struct path *p, struct slice image)
{
	return path_walk(p, member_of(image, &p->steps[0]));
}

/* ---- paths against each other ---- */

/* Texts of which each begins, or ends, with the shorter one. */
static bool
overlap(const char *a, size_t n, const char *b, size_t m, bool at_end)
{
	size_t shared = n < m ? n : m;

	return memcmp(a + (at_end ? n - shared : 0), b + (at_end ? m - shared : 0), shared) == 0;
}

static bool
steps_meet(const struct path_step *a, const struct path_step *b)
{
	bool a_element = a->kind == PATH_INDEX || a->kind == PATH_EACH;
	bool b_element = b->kind == PATH_INDEX || b->kind == PATH_EACH;

	if (a_element || b_element)
		return a_element == b_element &&
		    (a->kind == PATH_EACH || b->kind == PATH_EACH || a->index == b->index);
	if (a->kind == PATH_NAME && b->kind == PATH_NAME)
		return a->name_n == b->name_n && memcmp(a->name, b->name, a->name_n) == 0;
	if (a->kind == PATH_NAME)
		return starts_and_ends((struct slice){a->name, a->name_n}, b);
	if (b->kind == PATH_NAME)
		return starts_and_ends((struct slice){b->name, b->name_n}, a);
	return overlap(a->name, a->name_n, b->name, b->name_n, false) &&
	    overlap(a->tail, a->tail_n, b->tail, b->tail_n, true);
}

bool
path_meet(const struct path *a, const struct path *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!steps_meet(&a->steps[i], &b->steps[i]))
			return false;
	return true;
}

bool
path_overlap(const struct path *a, const struct path *b)
{
	return path_meet(a, b, a->count < b->count ? a->count : b->count);
}
