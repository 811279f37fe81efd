/* tests/unit/transform_image_test.c - images rewritten at paths, beside the same work
 * done on jansson's trees.
 */
#include "tests/unit/record_support.h"

#include <jansson.h>

#include "filters/image.h"
#include "record/format.h"
#include "record/value.h"
#include "tests/unit/page_gen.h"

struct want {
	enum image_act acts[8];
	const char *name; /* the new one of what is kept; NULL: its own */
	const char *with;
	unsigned calls, keys;
};

static enum image_act
answer(void *arg, struct image_at *at)
{
	struct want *w = arg;

	w->calls++;
	w->keys += at->key;
	assert_true(at->value.p == NULL || json_check(at->value));
	assert_true(json_check(at->around));
	if (w->name != NULL && w->acts[at->rule] == IMAGE_KEEP)
		at->name = slice_of(w->name);
	at->with = slice_of(w->with != NULL ? w->with : "{\"S\":\"new\"}");
	return w->acts[at->rule];
}

static struct image *
image_of(enum image_mode mode, const char *const *paths, unsigned flags)
{
	struct image *im = image_new(mode);
	struct err e;

	for (; *paths != NULL; paths++)
		if (image_add(im, *paths, flags, &e) != 0)
			fail_msg("%s", e.text);
	return im;
}

#define PATHS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void
assert_image(struct image *im, const char *from, struct want *w, const char *to)
{
	struct buf out = BUF_INIT(1 << 20);
	enum image_result r =
	    image_apply(im, slice_of(from), SLICE_LIT("{\"pk\":{\"S\":\"1\"}}"), answer, w, &out);

	assert_int_equal(r, strcmp(from, to) == 0 ? IMAGE_SAME : IMAGE_CHANGED);
	assert_slice(r == IMAGE_SAME ? slice_of(from) : buf_slice(&out), to);
	assert_true(r == IMAGE_CHANGED || out.n == 0);
	buf_close(&out);
	image_close(im);
}

static void
drops(const char *const *paths, const char *from, const char *to)
{
	struct want w = {.acts = {1, 1, 1, 1, 1, 1, 1, 1}};

	assert_image(image_of(IMAGE_EDIT, paths, 0), from, &w, to);
}

static void
picks(const char *const *paths, const char *from, const char *to)
{
	struct want w = {.calls = 0};

	assert_image(image_of(IMAGE_PICK, paths, 0), from, &w, to);
	assert_int_equal(w.calls, 0);
}

#define A "\"a\":{\"S\":\"x\"}"
#define B "\"b\":{\"N\":\"1\"}"
#define C "\"c\":{\"M\":{\"d\":{\"S\":\"y\"},\"e\":{\"BOOL\":true}}}"
#define L "\"l\":{\"L\":[{\"S\":\"0\"},{\"M\":{" A "," B "}},{\"S\":\"2\"}]}"
#define L2 "\"l\":{\"L\":[{\"M\":{" A "," B "}},{\"M\":{" A "}}]}"
#define PK "\"pk\":{\"S\":\"1\"}"

static void
what_leaves_takes_its_comma_along(void **state)
{
	(void)state;
	drops(PATHS("a"), "{" A "," B "," C "}", "{" B "," C "}");
	drops(PATHS("b"), "{" A "," B "," C "}", "{" A "," C "}");
	drops(PATHS("c"), "{" A "," B "," C "}", "{" A "," B "}");
	drops(PATHS("a", "b"), "{" A "," B "," C "}", "{" C "}");
	drops(PATHS("b", "c"), "{" A "," B "," C "}", "{" A "}");
	drops(PATHS("a", "c"), "{" A "," B "," C "}", "{" B "}");
	drops(PATHS("*"), "{" A "," B "," C "}", "{}");
	drops(PATHS("a"), "{" A "}", "{}");
	drops(PATHS("a"), "{ " A " , " B " }", "{" B " }");
	drops(PATHS("b"), "{ " A " , " B " }", "{ " A " }");
	drops(PATHS("x"), "{ " A " , " B " }", "{ " A " , " B " }");
	drops(PATHS("a"), "{}", "{}");
	drops(PATHS("l[0]", "l[2]"), "{" L "}", "{\"l\":{\"L\":[{\"M\":{" A "," B "}}]}}");
	drops(PATHS("l[*]"), "{" L "," A "}", "{\"l\":{\"L\":[]}," A "}");
	drops(PATHS("l[*].a"), "{" A "," L "}",
	    "{" A ",\"l\":{\"L\":[{\"S\":\"0\"},{\"M\":{" B "}},{\"S\":\"2\"}]}}");
	drops(PATHS("c.*"), "{" C "}", "{\"c\":{\"M\":{}}}");
	drops(PATHS("c.d", "c.e.f", "a.x", "b[0]", "l.a"), "{" A "," B "," C "," L "}",
	    "{" A "," B ",\"c\":{\"M\":{\"e\":{\"BOOL\":true}}}," L "}");
	drops(PATHS("\"\\u0061\""), "{\"\\u0061\":{\"S\":\"\"}," B "}", "{" B "}");
}

static void
only_what_is_picked_stays(void **state)
{
	(void)state;
	picks(PATHS("a"), "{" A "," B "," C "}", "{" A "}");
	picks(PATHS("b"), "{" A "," B "," C "}", "{" B "}");
	picks(PATHS("c.e"), "{" A "," B "," C "}", "{\"c\":{\"M\":{\"e\":{\"BOOL\":true}}}}");
	picks(PATHS("c.x"), "{" A "," B "," C "}", "{}");
	picks(PATHS("c.x", "b"), "{" A "," B "," C "}", "{" B "}");
	picks(PATHS("a", "c.d", "c.e"), "{" A "," C "}", "{" A "," C "}");
	picks(PATHS("l[1].b", "l[2]"), "{" A "," L "}",
	    "{\"l\":{\"L\":[{\"M\":{" B "}},{\"S\":\"2\"}]}}");
	picks(PATHS("l[*].z"), "{" A "," L "}", "{}");
	picks(PATHS("*.d"), "{" A "," L "," C "}", "{\"c\":{\"M\":{\"d\":{\"S\":\"y\"}}}}");
	/* The key is always there. */
	picks(PATHS("b"), "{" A "," PK "," B "}", "{" PK "," B "}");
	picks(PATHS("x"), "{" A "," PK "," B "}", "{" PK "}");
	picks(PATHS("pk.x"), "{" PK "}", "{" PK "}");
}

static void
keys_stay(void **state)
{
	struct want w = {.acts = {IMAGE_DROP}};

	(void)state;
	assert_image(image_of(IMAGE_EDIT, PATHS("*"), 0), "{" A "," PK "," B "}", &w, "{" PK "}");
	assert_int_equal(w.keys, 1);
	w = (struct want){.acts = {IMAGE_REPLACE}};
	assert_image(image_of(IMAGE_EDIT, PATHS("pk"), 0), "{" PK "," B "}", &w, "{" PK "," B "}");
	w = (struct want){.name = "other"};
	assert_image(image_of(IMAGE_EDIT, PATHS("pk"), 0), "{" PK "," B "}", &w, "{" PK "," B "}");
	/* Further down it is a name like any other. */
	w = (struct want){.acts = {IMAGE_DROP}};
	assert_image(image_of(IMAGE_EDIT, PATHS("m.pk"), 0), "{\"m\":{\"M\":{" PK "}}}", &w,
	    "{\"m\":{\"M\":{}}}");
	/* An image without its key does not get one. */
	w = (struct want){.acts = {IMAGE_REPLACE}};
	assert_image(image_of(IMAGE_EDIT, PATHS("pk"), IMAGE_ADD), "{" A "}", &w, "{" A "}");
	assert_int_equal(w.keys, 1);
}

static void
values_are_replaced_renamed_and_added(void **state)
{
	struct want w = {.acts = {IMAGE_REPLACE, IMAGE_REPLACE}};

	(void)state;
	assert_image(image_of(IMAGE_EDIT, PATHS("c.d", "l[1]"), 0), "{" C "," L "}", &w,
	    "{\"c\":{\"M\":{\"d\":{\"S\":\"new\"},\"e\":{\"BOOL\":true}}},"
	    "\"l\":{\"L\":[{\"S\":\"0\"},{\"S\":\"new\"},{\"S\":\"2\"}]}}");
	assert_image(image_of(IMAGE_EDIT, PATHS("z", "\"q\\\"\""), IMAGE_ADD), "{" A "}", &w,
	    "{" A ",\"z\":{\"S\":\"new\"},\"q\\\"\":{\"S\":\"new\"}}");
	assert_image(
	    image_of(IMAGE_EDIT, PATHS("z"), IMAGE_ADD), "{ }", &w, "{\"z\":{\"S\":\"new\"} }");
	assert_image(image_of(IMAGE_EDIT, PATHS("a", "l[*].z"), IMAGE_ADD), "{" A "," L "}", &w,
	    "{\"a\":{\"S\":\"new\"},\"l\":{\"L\":[{\"S\":\"0\"},{\"M\":{" A "," B
	    ",\"z\":{\"S\":\"new\"}}},{\"S\":\"2\"}]}}");
	assert_image(image_of(IMAGE_EDIT, PATHS("l[*].b"), IMAGE_ADD), "{" L2 "}", &w,
	    "{\"l\":{\"L\":[{\"M\":{" A ",\"b\":{\"S\":\"new\"}}},{\"M\":{" A
	    ",\"b\":{\"S\":\"new\"}}}]}}");
	/* What is around it is not made up. */
	assert_image(
	    image_of(IMAGE_EDIT, PATHS("x.z", "a.z"), IMAGE_ADD), "{" A "}", &w, "{" A "}");
	w = (struct want){.acts = {IMAGE_DROP, IMAGE_REPLACE}};
	assert_image(image_of(IMAGE_EDIT, PATHS("a", "z"), IMAGE_ADD), "{" A "}", &w,
	    "{\"z\":{\"S\":\"new\"}}");
	w = (struct want){.acts = {IMAGE_KEEP, IMAGE_DROP}, .name = "k"};
	assert_image(image_of(IMAGE_EDIT, PATHS("c", "c.d"), 0), "{" A "," C "}", &w,
	    "{" A ",\"k\":{\"M\":{\"e\":{\"BOOL\":true}}}}");
	w.name = NULL;
	assert_image(
	    image_of(IMAGE_EDIT, PATHS("c", "c.*"), 0), "{" C "}", &w, "{\"c\":{\"M\":{}}}");
}

/* Of several paths to one value the earlier has the say; behind its KEEP the next. */
static void
the_earlier_path_is_asked_first(void **state)
{
	struct want w = {.acts = {IMAGE_KEEP, IMAGE_DROP}};

	(void)state;
	assert_image(image_of(IMAGE_EDIT, PATHS("a", "*"), 0), "{" A "," B "}", &w, "{}");
	assert_int_equal(w.calls, 3);
	w = (struct want){.acts = {IMAGE_REPLACE, IMAGE_DROP}};
	assert_image(image_of(IMAGE_EDIT, PATHS("a", "*"), 0), "{" A "," B "}", &w,
	    "{\"a\":{\"S\":\"new\"}}");
	w = (struct want){.acts = {IMAGE_DROP, IMAGE_REPLACE}};
	assert_image(image_of(IMAGE_EDIT, PATHS("*", "a"), 0), "{" A "," B "}", &w, "{}");
	w = (struct want){.acts = {IMAGE_KEEP, IMAGE_DROP}, .name = "n"};
	assert_image(
	    image_of(IMAGE_EDIT, PATHS("a", "*"), 0), "{" A "," B "}", &w, "{\"n\":{\"S\":\"x\"}}");
}

static void
a_path_twice_is_refused(void **state)
{
	struct image *im = image_of(IMAGE_EDIT, PATHS("a.b"), 0);
	char c[] = "c", bad[] = "a.";
	char *paths[] = {c, bad, NULL};
	struct conf_list list = {.v = paths, .n = 2};
	struct err e;

	(void)state;
	assert_int_equal(image_add(im, "\"a\".b", 0, &e), -1);
	assert_non_null(strstr(e.text, "path \"a\".b is there twice"));
	assert_int_equal(image_add_list(im, "attributes", &list, &e), -1);
	assert_non_null(strstr(e.text, "attributes: \"a.\" is no path: a name is missing"));
	image_close(im);
	image_close(NULL);
}

static void
a_record_has_both_images_changed(void **state)
{
	struct page *p = page_with(
	    ",\"Keys\":{" PK "},\"NewImage\":{" PK "," A "},\"OldImage\":{" PK "," B "," A "}", "");
	struct image *im = image_of(IMAGE_EDIT, PATHS("a"), 0);
	struct want w = {.acts = {IMAGE_DROP}};
	struct record r = p->records[0];

	(void)state;
	assert_int_equal(image_record(im, &r, answer, &w), IMAGE_CHANGED);
	assert_slice(r.new_image, "{" PK "}");
	assert_slice(r.old_image, "{" PK "," B "}");
	r = p->records[0];
	r.old_image = SLICE_NONE;
	assert_int_equal(image_record(im, &r, answer, &w), IMAGE_CHANGED);
	assert_slice(r.new_image, "{" PK "}");
	assert_null(r.old_image.p);
	r.new_image = SLICE_NONE;
	assert_int_equal(image_record(im, &r, answer, &w), IMAGE_SAME);
	page_unref(p);
	image_close(im);
}

static void
what_is_too_large_is_told(void **state)
{
	struct image *im = image_of(IMAGE_EDIT, PATHS("l[*]"), 0);
	struct want w = {.acts = {IMAGE_REPLACE}};
	struct buf out = BUF_INIT(40);

	(void)state;
	assert_int_equal(
	    image_apply(im, SLICE_LIT("{" L "}"), SLICE_NONE, answer, &w, &out), IMAGE_TOO_LARGE);
	buf_close(&out);
	image_close(im);
}

/* ---- the same on trees ---- */

/* Of the names that page_gen.h makes, nested and not. */
static void
random_path(struct rng *r, struct buf *out)
{
	static const char *const steps[] = {"id", "total", "status", "\"a.b\"", "\"list[0]\"",
	    "caf\xc3\xa9", "with space", "\"q\\\"uote12\"", "\"back\\\\slash\"", "\"tab\\t\"", "*",
	    "s*", "*1"};
	unsigned n = 1 + (unsigned)rng_below(r, 3);

	buf_reset(out);
	for (unsigned i = 0; i < n; i++) {
		if (i != 0 && rng_below(r, 4) == 0) {
			buf_add_str(out, rng_below(r, 2) ? "[*]" : rng_below(r, 2) ? "[0]" : "[1]");
			continue;
		}
		if (i != 0)
			buf_add_char(out, '.');
		buf_add_str(out, steps[rng_below(r, ARRAY_LEN(steps))]);
	}
}

/* Do the steps from i on lead to (or through) this place? */
static json_t *tree_value(json_t *value, struct path **paths, size_t n, size_t depth,
    const bool *alive, enum image_mode mode, bool *kept);

static bool
step_takes(const struct path *p, size_t depth, const char *name, size_t index)
{
	if (depth >= p->count)
		return false;
	if (name == NULL)
		return path_step_takes_index(&p->steps[depth], index);
	if (p->steps[depth].kind == PATH_NAME)
		return strcmp(p->steps[depth].name, name) == 0;
	return p->steps[depth].kind == PATH_LIKE &&
	    strlen(name) >= p->steps[depth].name_n + p->steps[depth].tail_n &&
	    strncmp(name, p->steps[depth].name, p->steps[depth].name_n) == 0 &&
	    strcmp(name + strlen(name) - p->steps[depth].tail_n, p->steps[depth].tail) == 0;
}

/* What becomes of one member; NULL: it goes. */
static json_t *
tree_member(const char *name, size_t index, json_t *value, struct path **paths, size_t n,
    size_t depth, const bool *alive, enum image_mode mode)
{
	bool still[8] = {false}, any = false, hit = false, kept = false;
	json_t *v;

	for (size_t i = 0; i < n; i++) {
		still[i] = alive[i] && step_takes(paths[i], depth, name, index);
		any |= still[i];
		hit |= still[i] && depth + 1 == paths[i]->count;
	}
	if (hit)
		return mode == IMAGE_PICK ? json_incref(value) : NULL;
	if (!any)
		return mode == IMAGE_PICK ? NULL : json_incref(value);
	v = tree_value(value, paths, n, depth + 1, still, mode, &kept);
	if (mode == IMAGE_EDIT || kept)
		return v;
	json_decref(v);
	return NULL;
}

static json_t *
tree_map(json_t *map, struct path **paths, size_t n, size_t depth, const bool *alive,
    enum image_mode mode, bool *kept, const char *const *keys)
{
	json_t *out = json_object(), *value, *v;
	const char *name;

	json_object_foreach(map, name, value)
	{
		bool key =
		    keys != NULL && (strcmp(name, keys[0]) == 0 || strcmp(name, keys[1]) == 0);

		v = key ? json_incref(value)
			: tree_member(name, 0, value, paths, n, depth, alive, mode);
		if (v != NULL) {
			json_object_set_new(out, name, v);
			*kept = true;
		}
	}
	return out;
}

static json_t *
tree_value(json_t *value, struct path **paths, size_t n, size_t depth, const bool *alive,
    enum image_mode mode, bool *kept)
{
	json_t *m = json_object_get(value, "M"), *l = json_object_get(value, "L"), *list, *v;
	json_t *element;
	size_t i;

	if (m != NULL)
		return json_pack(
		    "{s:o}", "M", tree_map(m, paths, n, depth, alive, mode, kept, NULL));
	if (l == NULL)
		return json_incref(value);
	list = json_array();
	json_array_foreach(l, i, element)
	{
		v = tree_member(NULL, i, element, paths, n, depth, alive, mode);
		if (v != NULL) {
			json_array_append_new(list, v);
			*kept = true;
		}
	}
	return json_pack("{s:o}", "L", list);
}

static void
assert_like_tree(struct slice image, struct slice have, struct image *im, enum image_mode mode)
{
	static const char *const keys[] = {"id", "total"};
	bool alive[8] = {true, true, true, true, true, true, true, true}, kept = false;
	struct path *paths[8];
	json_error_t je;
	json_t *from = json_loadb(image.p, image.n, JSON_ALLOW_NUL, &je), *want;
	json_t *got = json_loadb(have.p, have.n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &je);
	struct buf plain = BUF_INIT(LIMIT_PAGE_BODY);
	struct err e;

	assert_non_null(from);
	if (got == NULL)
		fail_msg("%s in %.*s", je.text, (int)have.n, have.p);
	for (size_t i = 0; i < image_count(im); i++)
		if (path_parse(&paths[i], image_path(im, i)->text, PATH_WILD, &e) != 0)
			fail_msg("%s", e.text);
	want = tree_map(from, paths, image_count(im), 0, alive, mode, &kept, keys);
	if (!json_equal(want, got)) {
		char *w = json_dumps(want, 0);

		fail_msg("path %s ...\nof %.*s\nwant %s\nhave %.*s", paths[0]->text, (int)image.n,
		    image.p, w, (int)have.n, have.p);
	}
	if (plain_write_image(have, &plain, &e) != 0)
		fail_msg("%s", e.text);
	for (size_t i = 0; i < image_count(im); i++)
		path_close(paths[i]);
	json_decref(from);
	json_decref(want);
	json_decref(got);
	buf_close(&plain);
}

static void
random_images_become_what_trees_say(void **state)
{
	struct want w = {.acts = {1, 1, 1, 1, 1, 1, 1, 1}};
	struct buf path = BUF_INIT(1000), out = BUF_INIT(LIMIT_PAGE_BODY);
	unsigned changed = 0, walked = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 6000; seed++) {
		enum image_mode mode = seed % 2 ? IMAGE_PICK : IMAGE_EDIT;
		struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY),
		    .spaces = seed % 3 == 0,
		    .escapes = seed % 5 < 2};
		struct image *im = image_new(mode);
		enum image_result result;
		struct rng r;
		struct err e = {.text = ""};

		rng_seed(&r, seed);
		rng_seed(&g.sp, seed);
		for (uint64_t i = 0, n = 1 + rng_below(&r, 8); i < n; i++) {
			random_path(&r, &path);
			if (image_add(im, buf_cstr(&path), 0, &e) != 0)
				break;
		}
		if (image_count(im) > 0 && strstr(e.text, "twice") == NULL) {
			gen_map(&g, seed, (unsigned)rng_below(&r, 20), 0);
			/* Space around an image is the scanner's. */
			while (g.out.n != 0 && g.out.p[g.out.n - 1] != '}')
				g.out.n--;
			size_t skip = 0;
			while (g.out.p[skip] != '{')
				skip++;
			struct slice image = {g.out.p + skip, g.out.n - skip};

			buf_reset(&out);
			result = image_apply(im, image,
			    SLICE_LIT("{\"id\":{\"S\":\"\"},\"t\\u006ftal\":{\"N\":\"1\"}}"),
			    answer, &w, &out);
			assert_int_not_equal(result, IMAGE_TOO_LARGE);
			changed += result == IMAGE_CHANGED;
			walked++;
			assert_like_tree(
			    image, result == IMAGE_CHANGED ? buf_slice(&out) : image, im, mode);
		}
		image_close(im);
		buf_close(&g.out);
	}
	buf_close(&path);
	buf_close(&out);
	assert_in_range(walked, 3000, 6000);
	assert_in_range(changed, walked / 3, walked);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_leaves_takes_its_comma_along),
	    cmocka_unit_test(only_what_is_picked_stays),
	    cmocka_unit_test(keys_stay),
	    cmocka_unit_test(values_are_replaced_renamed_and_added),
	    cmocka_unit_test(the_earlier_path_is_asked_first),
	    cmocka_unit_test(a_path_twice_is_refused),
	    cmocka_unit_test(a_record_has_both_images_changed),
	    cmocka_unit_test(what_is_too_large_is_told),
	    cmocka_unit_test(random_images_become_what_trees_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
