/* tests/unit/transform_gen.h - transforms made up from a seed, as YAML, and what must be
 * true of any of them whatever the record. Shared by the unit test and the fuzzer.
 */
#ifndef TESTS_TRANSFORM_GEN_H
#define TESTS_TRANSFORM_GEN_H

#include <jansson.h>
#include <stdio.h>

#include "base/conf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "filters/filter.h"
#include "record/format.h"
#include "record/rewrite.h"
#include "record/value.h"

struct transform { /* an open filter and what it was made from */
	const struct filter_ops *ops;
	void *conf;
	struct filter *filter;
};

static inline void
transform_close(struct transform *t)
{
	if (t->filter != NULL)
		t->ops->close(t->filter);
	if (t->conf != NULL) {
		conf_wipe(t->ops->keys, t->conf);
		free(t->conf);
	}
	*t = (struct transform){.ops = NULL};
}

/* Everything that the daemon does with one filter's mapping. */
static inline int
transform_open(struct transform *t, const char *yaml, struct err *e)
{
	static const char *const elsewhere[] = {"type", NULL};
	struct conf_doc *doc;
	int r = -1;

	*t = (struct transform){.ops = NULL};
	if (conf_parse(&doc, slice_of(yaml), "test", e) != 0)
		return -1;
	for (size_t i = 0; filter_registry[i] != NULL; i++) {
		const struct conf_node *type = conf_get(conf_root(doc), "type");

		if (type != NULL && type->kind == CONF_SCALAR &&
		    strcmp(filter_registry[i]->type, type->text) == 0)
			t->ops = filter_registry[i];
	}
	if (t->ops == NULL) {
		conf_close(doc);
		return err_set(e, ERR_CONFIG, "no such type");
	}
	t->conf = mem_new(t->ops->conf_size);
	if (conf_fill(conf_root(doc), t->ops->keys, elsewhere, t->conf, e) == 0 &&
	    (t->ops->check == NULL || t->ops->check(t->conf, e) == 0))
		r = t->ops->open(&t->filter, "test", t->conf, e);
	conf_close(doc);
	if (r != 0)
		transform_close(t);
	return r;
}

/* ---- configurations ---- */

/* Of the names that page_gen.h makes, those of its keys ("café", "s.k") among them. */
static inline void
transform_path(struct rng *r, bool stars, struct buf *out)
{
	static const char *const names[] = {"id", "total", "status", "\\\"a.b\\\"",
	    "\\\"list[0]\\\"", "caf\xc3\xa9", "with space", "\\\"q\\\\\\\"uote12\\\"",
	    "\\\"back\\\\\\\\slash\\\"", "\\\"tab\\\\t\\\"", "\\\"s.k\\\"", "id12", "total12"};
	static const char *const stars_[] = {"*", "s*", "*1", "caf*"};
	unsigned n = rng_below(r, 40) == 0 ? 32 : 1 + (unsigned)rng_below(r, 3);

	for (unsigned i = 0; i < n; i++) {
		if (i != 0 && rng_below(r, 4) == 0) {
			buf_add_str(out, stars && rng_below(r, 2) ? "[*]" : "[0]");
			continue;
		}
		if (i != 0)
			buf_add_char(out, '.');
		buf_add_str(out,
		    stars && rng_below(r, 4) == 0 ? stars_[rng_below(r, ARRAY_LEN(stars_))]
						  : names[rng_below(r, ARRAY_LEN(names))]);
	}
}

static inline void
transform_paths(struct rng *r, const char *key, struct buf *out)
{
	unsigned n = 1 + (unsigned)rng_below(r, 4);

	buf_addf(out, "%s: [", key);
	for (unsigned i = 0; i < n; i++) {
		buf_add_str(out, i != 0 ? ", \"" : "\"");
		transform_path(r, true, out);
		buf_add_char(out, '"');
	}
	buf_add_str(out, "]\n");
}

static inline void
transform_map(struct rng *r, const char *const *values, size_t count, struct buf *out)
{
	unsigned n = 1 + (unsigned)rng_below(r, 4);

	buf_add_str(out, "attributes: {");
	for (unsigned i = 0; i < n; i++) {
		buf_add_str(out, i != 0 ? ", \"" : "\"");
		transform_path(r, true, out);
		buf_addf(out, "\": %s", values[rng_below(r, count)]);
	}
	buf_add_str(out, "}\n");
}

/* Most are valid. */
static inline void
transform_yaml(struct rng *r, struct buf *out)
{
	static const char *const names[] = {"id", "total", "status", "\"a.b\"", "new", "\"q\\\"\"",
	    "\"s.k\"", "\"\\u00e9\"", "id12"};
	static const char *const values[] = {"{\"S\": \"x\\u0000\"}", "{\"N\": \"1E5\"}",
	    "{\"SS\": [\"a\", \"b\"]}", "{\"M\": {}}",
	    "{\"M\": {\"id\": {\"L\": [{\"NULL\": true}]}}}", "{\"BOOL\": false}",
	    "{\"B\": \"AA==\"}"};
	static const char *const separators[] = {".", "__", "i", "\"\\\"\"", "\"\\\\\""};

	switch (rng_below(r, 7)) {
	case 0:
		buf_add_str(out, "type: project\n");
		if (rng_below(r, 3) != 0)
			transform_paths(r, "include", out);
		if (rng_below(r, 3) != 0)
			transform_paths(r, "exclude", out);
		break;
	case 1:
		buf_add_str(out, "type: rename\n");
		transform_map(r, names, ARRAY_LEN(names), out);
		break;
	case 2:
		buf_addf(out, "type: set\nreplace: %s\n", rng_below(r, 2) ? "true" : "false");
		transform_map(r, values, ARRAY_LEN(values), out);
		break;
	case 3:
		buf_addf(out, "type: flatten\ndepth: %u\nseparator: %s\n",
		    rng_below(r, 2) ? 32 : 1 + (unsigned)rng_below(r, 3),
		    separators[rng_below(r, ARRAY_LEN(separators))]);
		break;
	case 4:
		buf_addf(out, "type: sample\npercent: %u.%u\n", (unsigned)rng_below(r, 100),
		    (unsigned)rng_below(r, 1000000));
		break;
	case 5:
		buf_add_str(out, "type: dedupe-unchanged\n");
		if (rng_below(r, 4) != 0)
			transform_paths(r, "ignore", out);
		break;
	default:
		buf_addf(out, "type: limit\nrecords: %u\nover: %s\ntenants: 10\n",
		    1 + (unsigned)rng_below(r, 5), rng_below(r, 2) ? "drop" : "reject");
		if (rng_below(r, 4) != 0) {
			buf_add_str(out, "tenant: \"");
			transform_path(r, false, out);
			buf_add_str(out, "\"\n");
		}
	}
}

/* ---- what must be true ---- */

/* No name twice, as jansson sees it. */
static inline bool
transform_single(struct slice s)
{
	json_error_t e;
	json_t *j =
	    json_loadb(s.p, s.n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

	json_decref(j);
	return j != NULL;
}

/* NULL: all is well between an image before and after. */
static inline const char *
transform_image_fault(struct slice keys, struct slice before, struct slice after, struct buf *tmp)
{
	struct json_iter it = json_iter(keys), in;
	struct slice key, name, value, kept;

	if ((before.p == NULL) != (after.p == NULL))
		return "an image came or went";
	if (before.p == NULL)
		return NULL;
	if (!json_check(after) || after.p[0] != '{')
		return "an image is no JSON object";
	buf_reset(tmp);
	if (plain_write_image(before, tmp, NULL) == 0 && plain_write_image(after, tmp, NULL) != 0)
		return "an image is no DynamoDB JSON any more";
	if (!transform_single(before))
		return NULL;
	if (!transform_single(after))
		return "a name is there twice";
	while (json_next(&it, &key, &value)) {
		struct slice was = SLICE_NONE;

		kept = SLICE_NONE;
		for (in = json_iter(before); json_next(&in, &name, &value);)
			was = json_string_eq(name, key) ? value : was;
		for (in = json_iter(after); json_next(&in, &name, &value);)
			kept = json_string_eq(name, key) ? value : kept;
		if ((was.p == NULL) != (kept.p == NULL) || !slice_eq(was, kept))
			return "a key attribute is another one";
	}
	return NULL;
}

static inline bool
transform_same(struct slice a, struct slice b)
{
	return a.p == b.p && a.n == b.n;
}

/* Applies it; NULL: all is well. *after: the record that it makes. */
static inline const char *
transform_fault(struct transform *t, const struct record *r, struct record *after,
    enum filter_verdict *verdict, struct buf *tmp)
{
	struct origin o = {.stream = "s", .table = "t", .shard = "x"};
	struct err why = {.text = ""};
	const char *fault;
	struct page *p;
	struct slice raw;

	*after = *r;
	*verdict = t->ops->apply(t->filter, after, &o, &why);
	if (!transform_same(r->keys, after->keys) || !transform_same(r->raw, after->raw))
		return "keys or the raw record were changed";
	if (*verdict == FILTER_REJECT)
		return why.text[0] != '\0' ? NULL : "refused without a reason";
	if (*verdict != FILTER_REWRITE)
		return transform_same(r->new_image, after->new_image) &&
			transform_same(r->old_image, after->old_image)
		    ? NULL
		    : "changed without saying so";
	fault = transform_image_fault(r->keys, r->new_image, after->new_image, tmp);
	if (fault == NULL)
		fault = transform_image_fault(r->keys, r->old_image, after->old_image, tmp);
	if (fault != NULL)
		return fault;
	buf_reset(tmp);
	record_write(after, tmp);
	raw = buf_slice(tmp);
	if (page_of_records(&p, &raw, 1, &why) != 0)
		return "the record cannot be read again";
	page_unref(p);
	return NULL;
}

#endif
