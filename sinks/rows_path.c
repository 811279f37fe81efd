/* sinks/rows_path.c - what `columns:` says: a type, and the path of an attribute.
 *
 * Paths are written as the envelope's `changed` shows them: names joined by dots,
 * a name that holds one of . [ ] " \ as a JSON string; [n] is an element of a list. "." is the whole image.
 */
#include "sinks/rows_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "record/value.h"

/* No document nests deeper (base/limits.h: two levels of JSON each). */
#define STEPS_MAX 64u
/* An element of an item of 400 KB cannot have a larger index. */
#define INDEX_MAX 400000u

static void
steps_close(struct rows_step *steps, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(steps[i].name);
}

void
rows_path_close(struct rows_path *p)
{
	if (p == NULL)
		return;
	steps_close(p->steps, p->count);
	free(p->text);
	free(p);
}

static struct rows_path *
path_new(const char *text, const struct rows_step *steps, size_t n)
{
	struct rows_path *p = mem_new(sizeof *p + n * sizeof *steps);

	p->text = mem_strdup(text);
	p->count = n;
	if (n != 0)
		memcpy(p->steps, steps, n * sizeof *steps);
	return p;
}

struct rows_path *
rows_path_of(const char *name)
{
	struct rows_step step = {.name = mem_strdup(name)};

	return path_new(name, &step, 1);
}

/* *at is at the opening quote. */
static bool
parse_quoted(const char **at, struct rows_step *step)
{
	const char *p = *at + 1;
	struct slice raw;
	struct buf name;

	while (*p != '"' && *p != '\0')
		p += *p == '\\' && p[1] != '\0' ? 2 : 1;
	if (*p == '\0')
		return false;
	raw = (struct slice){*at + 1, (size_t)(p - *at - 1)};
	*at = p + 1;
	if (!json_check((struct slice){raw.p - 1, raw.n + 2}))
		return false;
	name = BUF_INIT(raw.n + 1);
	json_unescape(raw, &name);
	/* A name with U+0000 could not be kept as a string; nobody has one. */
	if (!name.failed && memchr(buf_slice(&name).p, '\0', name.n) == NULL)
		step->name = mem_slicedup(buf_slice(&name));
	buf_close(&name);
	return step->name != NULL;
}

static bool
parse_name(const char **at, struct rows_step *step)
{
	size_t n = strcspn(*at, ".[]\"\\");

	if (**at == '"')
		return parse_quoted(at, step);
	if (n == 0)
		return false;
	step->name = mem_slicedup((struct slice){*at, n});
	*at += n;
	return true;
}

/* *at is at the bracket. */
static bool
parse_index(const char **at, struct rows_step *step)
{
	const char *p = *at + 1;
	size_t v = 0;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9' && v <= INDEX_MAX; p++)
		v = v * 10 + (size_t)(*p - '0');
	if (*p != ']' || v > INDEX_MAX)
		return false;
	step->index = v;
	*at = p + 1;
	return true;
}

static bool
parse_steps(const char *p, struct rows_step *steps, size_t *n)
{
	if (!parse_name(&p, &steps[(*n)++]))
		return false;
	while (*p != '\0') {
		if (*n == STEPS_MAX)
			return false;
		if (*p == '[') {
			if (!parse_index(&p, &steps[(*n)++]))
				return false;
		} else if (*p++ != '.' || !parse_name(&p, &steps[(*n)++])) {
			return false;
		}
	}
	return true;
}

int
rows_path_parse(struct rows_path **out, const char *text, struct err *e)
{
	struct rows_step steps[STEPS_MAX] = {{NULL, 0}};
	size_t n = 0;

	*out = NULL;
	if (strcmp(text, ".") == 0) {
		*out = path_new(text, NULL, 0);
		return 0;
	}
	if (!parse_steps(text, steps, &n)) {
		steps_close(steps, n);
		return err_set(e, ERR_CONFIG,
		    "\"%.120s\" is no path: names joined by dots, [n] for an element of a list, a"
		    " name that holds a dot in double quotes: a.\"b.c\"[0]",
		    text);
	}
	*out = path_new(text, steps, n);
	return 0;
}

bool
rows_name_is(struct slice raw, struct slice name)
{
	if (slice_eq(raw, name))
		return memchr(raw.p, '\\', raw.n) == NULL;
	return raw.n > name.n && memchr(raw.p, '\\', raw.n) != NULL && json_string_is(raw, name.p);
}

static struct slice
member_of(struct slice object, const char *name)
{
	struct json_iter it = json_iter(object);
	struct slice raw, value;

	while (it.object && json_next(&it, &raw, &value))
		if (rows_name_is(raw, slice_of(name)))
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
rows_path_walk(const struct rows_path *p, struct slice value)
{
	struct slice inner;

	for (size_t i = 1; i < p->count && value.p != NULL; i++) {
		enum value_type type = value_of(value, &inner);

		if (p->steps[i].name != NULL && type == VALUE_M)
			value = member_of(inner, p->steps[i].name);
		else if (p->steps[i].name == NULL && type == VALUE_L)
			value = element_of(inner, p->steps[i].index);
		else
			return SLICE_NONE;
	}
	return value;
}

static int
type_parse(struct slice word, enum column_type *type, struct err *e)
{
	char *text;
	const char *near;

	for (int i = 0; column_type_words[i] != NULL; i++)
		if (slice_is(word, column_type_words[i])) {
			*type = (enum column_type)i;
			return 0;
		}
	text = mem_slicedup(word);
	near = conf_nearest(text, column_type_words);
	if (near != NULL)
		err_set(e, ERR_CONFIG, "unknown type \"%.60s\"; did you mean \"%s\"?", text, near);
	else
		err_set(e, ERR_CONFIG,
		    "unknown type \"%.60s\"; there are text, numeric, bigint, boolean, timestamptz,"
		    " bytea and jsonb",
		    text);
	free(text);
	return -1;
}

int
rows_mapping_parse(const char *name, const char *text, enum column_type *type,
    struct rows_path **path, struct err *e)
{
	struct slice word = {text, strcspn(text, " \t")};
	const char *rest = text + word.n;

	*path = NULL;
	if (type_parse(word, type, e) != 0)
		return -1;
	rest += strspn(rest, " \t");
	if (*rest == '\0') {
		*path = rows_path_of(name);
		return 0;
	}
	if (rows_path_parse(path, rest, e) != 0)
		return -1;
	if ((*path)->count == 0 && *type != COLUMN_JSONB) {
		rows_path_close(*path);
		*path = NULL;
		return err_set(
		    e, ERR_CONFIG, "\".\" is the whole item, and only jsonb can hold that");
	}
	return 0;
}
