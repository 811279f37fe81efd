/* record/changes.c - which attributes differ between two images (value.h).
 *
 * Only M is walked into: an element of a list has no name of its own, and a
 * set is one value. The path of a top-level attribute with an ordinary name is
 * the name itself, in place; longer ones are put together in a buffer, whose
 * memory is only asked for then. Recursion follows M and ends with it, which
 * the scanner's depth limit bounds.
 */
#include "record/value.h"

#include "base/limits.h"
#include "record/members.h"
#include "record/text.h"

struct walk {
	struct buf path; /* names down to the map we are in, each with its '.' */
	unsigned depth;
	void (*fn)(void *arg, struct slice path, struct slice old_value, struct slice new_value);
	void *arg;
};

static void compare_maps(struct walk *w, struct slice old_map, struct slice new_map);

static bool
is_ordinary(struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == '.' || c == '[' || c == ']' || c == '"' || c == '\\' || c < 0x20)
			return false;
	}
	return name.n != 0;
}

/* Appends the name as paths show it: its canonical string form, without the
 * quotes where nothing in there needs them. */
static void
push_name(struct buf *path, struct slice raw)
{
	size_t start = path->n;
	struct slice text;

	if (is_ordinary(raw)) {
		buf_add_slice(path, raw);
		return;
	}
	text_write_canonical(raw, path);
	if (path->failed)
		return;
	text = (struct slice){path->p + start + 1, path->n - start - 2};
	if (is_ordinary(text)) {
		memmove(path->p + start, text.p, text.n);
		path->n -= 2;
	}
}

static void
tell(struct walk *w, struct slice raw_name, struct slice old_value, struct slice new_value)
{
	size_t keep = w->path.n;

	if (keep == 0 && is_ordinary(raw_name)) {
		w->fn(w->arg, raw_name, old_value, new_value);
		return;
	}
	push_name(&w->path, raw_name);
	w->fn(w->arg, w->path.failed ? SLICE_NONE : buf_slice(&w->path), old_value, new_value);
	w->path.n = keep;
}

static void
compare_values(
    struct walk *w, struct slice raw_name, struct slice old_value, struct slice new_value)
{
	size_t keep = w->path.n;
	struct slice x, y;

	if (slice_eq(old_value, new_value))
		return;
	if (w->depth < LIMIT_JSON_DEPTH && value_of(old_value, &x) == VALUE_M &&
	    value_of(new_value, &y) == VALUE_M) {
		push_name(&w->path, raw_name);
		buf_add_char(&w->path, '.');
		w->depth++;
		compare_maps(w, x, y);
		w->depth--;
		w->path.n = keep;
	} else if (!value_eq(old_value, new_value)) {
		tell(w, raw_name, old_value, new_value);
	}
}

static void
compare_maps(struct walk *w, struct slice old_map, struct slice new_map)
{
	struct json_iter it = members_iter(old_map);
	struct slice name, value, other;
	struct members m;
	size_t found = 0;

	members_open(&m, new_map);
	while (json_next(&it, &name, &value)) {
		if (members_find(&m, name, &other)) {
			found++;
			compare_values(w, name, value, other);
		} else {
			tell(w, name, value, SLICE_NONE);
		}
	}
	if (found == m.n) {
		members_close(&m);
		return;
	}
	members_close(&m);
	members_open(&m, old_map);
	it = members_iter(new_map);
	while (json_next(&it, &name, &value))
		if (!members_find(&m, name, &other))
			tell(w, name, SLICE_NONE, value);
	members_close(&m);
}

void
changes_each(struct slice old_image, struct slice new_image,
    void (*fn)(void *arg, struct slice path, struct slice old_value, struct slice new_value),
    void *arg)
{
	/* A path is never longer than the names it is made of, each quoted. */
	struct walk w = {
	    .path = BUF_INIT(2 * (old_image.n + new_image.n) + 64), .fn = fn, .arg = arg};

	compare_maps(&w, old_image, new_image);
	buf_close(&w.path);
}
