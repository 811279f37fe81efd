/* filters/unseal.c - see unseal.h.
 *
 * The shape of a line is told by members that only that shape has; what is not an image
 * is copied. In typed images (DynamoDB JSON) a sealed text becomes the value it was; in
 * plain ones that value unmarshalled, as the format would have written it.
 */
#include "filters/unseal.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "filters/crypt.h"
#include "filters/crypt_path.h"
#include "record/format.h"
#include "record/key.h"
#include "record/value.h"

#define KEYS_MAX 2
/* As deep as JSON that json_check() lets pass. */
#define DEPTH_MAX LIMIT_JSON_DEPTH

struct unseal {
	struct crypt **crypts; /* owned */
	size_t crypt_count;
	char *table;	       /* owned; NULL */
	char *names[KEYS_MAX]; /* owned */
	size_t name_count;
	struct buf table_of, key, keys, path, text, plain; /* of one line; scratch */
};

struct walk {
	struct unseal *u;
	struct buf *out;
	struct unseal_count *count;
	struct err *e;
	const char *missing; /* of the place: what is not known; NULL: all is */
};

/* ---- keys ---- */

int
unseal_new(struct unseal **out, const char *table, const char *keys, struct err *e)
{
	struct unseal *u = mem_new(sizeof *u);
	const char *comma;

	*u = (struct unseal){.table_of = BUF_INIT(LIMIT_PAGE_BODY),
	    .key = BUF_INIT(LIMIT_PAGE_BODY),
	    .keys = BUF_INIT(LIMIT_PAGE_BODY),
	    .path = BUF_INIT(LIMIT_PAGE_BODY),
	    .text = BUF_INIT(LIMIT_PAGE_BODY),
	    .plain = BUF_INIT(LIMIT_PAGE_BODY)};
	u->table = mem_strdup(table);
	for (; keys != NULL; keys = comma != NULL ? comma + 1 : NULL) {
		comma = strchr(keys, ',');
		if (u->name_count == KEYS_MAX || keys[0] == '\0' || comma == keys) {
			unseal_close(u);
			return err_set(
			    e, ERR_USAGE, "--keys names one or two attributes: --keys pk,sk");
		}
		u->names[u->name_count++] = mem_slicedup(
		    (struct slice){keys, comma != NULL ? (size_t)(comma - keys) : strlen(keys)});
	}
	*out = u;
	return 0;
}

static void
wipe(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->cap);
	buf_close(b);
}

void
unseal_close(struct unseal *u)
{
	if (u == NULL)
		return;
	for (size_t i = 0; i < u->crypt_count; i++)
		crypt_close(u->crypts[i]);
	free(u->crypts);
	free(u->table);
	for (size_t i = 0; i < u->name_count; i++)
		free(u->names[i]);
	buf_close(&u->table_of);
	buf_close(&u->key);
	buf_close(&u->keys);
	buf_close(&u->path);
	buf_close(&u->text);
	wipe(&u->plain);
	free(u);
}

int
unseal_add_key(struct unseal *u, const struct secret *key, struct err *e)
{
	struct crypt *c;

	if (crypt_new(&c, key, e) != 0)
		return -1;
	u->crypts = mem_grow(u->crypts, u->crypt_count + 1, sizeof(struct crypt *));
	u->crypts[u->crypt_count++] = c;
	return 0;
}

/* ---- one text ---- */

/* "ship.city", for people. */
static void
write_where(struct slice path, struct buf *out)
{
	const char *p = path.p, *end = p + path.n;

	while (p < end) {
		size_t n = 0;

		if (*p++ == 'e') {
			buf_add_str(out, "[]");
			continue;
		}
		while (*p != ':')
			n = n * 10 + (size_t)(*p++ - '0');
		if (out->n != 0)
			buf_add_char(out, '.');
		buf_add_printable(out, (struct slice){p + 1, n});
		p += 1 + n;
	}
}

static void
complain(struct walk *w, const struct err *why)
{
	char text[200];
	struct buf where = {.p = text, .cap = sizeof text, .max = sizeof text};

	if (w->count->failed++ != 0)
		return;
	write_where(buf_slice(&w->u->path), &where);
	*w->e = *why;
	(void)err_prefix(w->e, "%.*s", (int)where.n, text);
}

static int
find_crypt(struct unseal *u, struct slice text, struct crypt **out, struct err *e)
{
	struct slice id = crypt_key_of(text);

	if (id.p == NULL)
		return err_set(e, ERR_CORRUPT, "it is cut or changed: it names no key");
	for (size_t i = 0; i < u->crypt_count; i++)
		if (slice_is(id, crypt_id(u->crypts[i]))) {
			*out = u->crypts[i];
			return 0;
		}
	for (size_t i = 0; i < CRYPT_ID; i++)
		if (strchr("0123456789abcdef", id.p[i]) == NULL || id.p[i] == '\0')
			return err_set(e, ERR_CORRUPT, "it is changed: it names no key");
	return err_set(
	    e, ERR_AUTH, "it was encrypted with key %.*s, which is not given", (int)CRYPT_ID, id.p);
}

/* Into u->plain: one DynamoDB value. */
static int
open_text(struct walk *w, struct slice text, struct err *e)
{
	struct unseal *u = w->u;
	struct crypt_place at = {.table = buf_slice(&u->table_of),
	    .key = buf_slice(&u->key),
	    .path = buf_slice(&u->path)};
	struct slice inner;
	struct crypt *c;

	if (w->missing != NULL)
		return err_set(e, ERR_USAGE, "%s", w->missing);
	if (find_crypt(u, text, &c, e) != 0)
		return -1;
	buf_reset(&u->plain);
	if (crypt_open(c, &at, text, &u->plain, e) != 0)
		return -1;
	if (!json_check(buf_slice(&u->plain)) ||
	    value_of(buf_slice(&u->plain), &inner) == VALUE_INVALID)
		return err_set(e, ERR_CORRUPT, "what was encrypted is no attribute value");
	return 0;
}

/* raw: a JSON string without quotes. False: it is not sealed, or stays so. */
static bool
opens(struct walk *w, struct slice raw)
{
	struct unseal *u = w->u;
	struct slice text = raw;
	struct err why;

	if (memchr(raw.p, '\\', raw.n) != NULL) {
		buf_reset(&u->text);
		json_unescape(raw, &u->text);
		text = buf_slice(&u->text);
	}
	if (!crypt_is_sealed(text))
		return false;
	if (open_text(w, text, &why) == 0) {
		w->count->opened++;
		return true;
	}
	complain(w, &why);
	return false;
}

/* ---- images ---- */

static void
step_name(struct unseal *u, struct slice raw)
{
	buf_reset(&u->text);
	json_unescape(raw, &u->text);
	crypt_path_name(&u->path, buf_slice(&u->text));
}

typedef void each_fn(struct walk *w, struct slice value, unsigned depth);

/* Members or elements, each through fn with its step on the path. */
static void
walk_inside(struct walk *w, struct slice container, each_fn *fn, unsigned depth)
{
	struct json_iter it = json_iter(container);
	size_t before = w->u->path.n;
	struct slice name, value;
	bool first = true;

	buf_add_char(w->out, it.object ? '{' : '[');
	while (json_next(&it, &name, &value)) {
		if (!first)
			buf_add_char(w->out, ',');
		first = false;
		w->u->path.n = before;
		if (it.object) {
			step_name(w->u, name);
			buf_add_char(w->out, '"');
			buf_add_slice(w->out, name);
			buf_add_str(w->out, "\":");
		} else {
			crypt_path_element(&w->u->path);
		}
		fn(w, value, depth + 1);
	}
	w->u->path.n = before;
	buf_add_char(w->out, it.object ? '}' : ']');
}

static void
plain_value(struct walk *w, struct slice value, unsigned depth)
{
	struct err e;

	if (depth < DEPTH_MAX && (value.p[0] == '{' || value.p[0] == '['))
		walk_inside(w, value, plain_value, depth);
	else if (value.p[0] == '"' && opens(w, (struct slice){value.p + 1, value.n - 2}) &&
	    plain_write_value(buf_slice(&w->u->plain), w->out, &e) == 0)
		return;
	else
		buf_add_slice(w->out, value);
}

static void
typed_value(struct walk *w, struct slice value, unsigned depth)
{
	struct slice inner;
	enum value_type type = value_of(value, &inner);

	if (depth < DEPTH_MAX && (type == VALUE_M || type == VALUE_L)) {
		buf_add_str(w->out, type == VALUE_M ? "{\"M\":" : "{\"L\":");
		walk_inside(w, inner, typed_value, depth);
		buf_add_char(w->out, '}');
	} else if (type == VALUE_S && opens(w, inner)) {
		buf_add_slice(w->out, buf_slice(&w->u->plain));
	} else {
		buf_add_slice(w->out, value);
	}
}

static void
put_image(struct walk *w, struct slice image, each_fn *fn)
{
	buf_reset(&w->u->path);
	if (image.p[0] == '{')
		walk_inside(w, image, fn, 0);
	else
		buf_add_slice(w->out, image);
}

/* ---- where a line is from ---- */

static bool
is_object(struct slice s)
{
	return s.p != NULL && s.p[0] == '{';
}

static void
write_typed_key(struct buf *out, struct slice name, struct slice value)
{
	bool text = value.p[0] == '"';

	buf_add_str(out, out->n == 0 ? "{\"" : ",\"");
	buf_add_slice(out, name);
	buf_add_str(out, text ? "\":{\"S\":" : "\":{\"N\":\"");
	buf_add_slice(out, value);
	buf_add_str(out, text ? "}" : "\"}");
}

/* Plain key attributes: S and B give the same canonical key, N is a number. wanted: only these
 * names. Returns how many. */
static size_t
type_keys(struct unseal *u, struct slice object, bool wanted)
{
	struct json_iter it = json_iter(object);
	struct slice name, value;
	size_t n = 0;

	buf_reset(&u->keys);
	while (json_next(&it, &name, &value)) {
		bool ours = !wanted;

		for (size_t i = 0; wanted && i < u->name_count; i++)
			ours = ours || json_string_is(name, u->names[i]);
		if (!ours)
			continue;
		write_typed_key(&u->keys, name, value);
		n++;
	}
	buf_add_char(&u->keys, '}');
	return n;
}

static void
set_key(struct unseal *u, struct slice typed)
{
	const struct record r = {.keys = typed};

	buf_reset(&u->key);
	key_write(&r, NULL, &u->key);
}

/* image: where key attributes are when the line has no keys of its own. */
static void
set_place(struct walk *w, struct slice table, struct slice keys, bool typed, struct slice image)
{
	struct unseal *u = w->u;

	buf_reset(&u->table_of);
	if (u->table != NULL)
		buf_add_str(&u->table_of, u->table);
	else if (table.p != NULL && table.p[0] == '"')
		json_unescape((struct slice){table.p + 1, table.n - 2}, &u->table_of);
	else
		w->missing = "the line does not say which table it is from; say it with --table";
	if (is_object(keys) && typed) {
		set_key(u, keys);
	} else if (is_object(keys)) {
		(void)type_keys(u, keys, false);
		set_key(u, buf_slice(&u->keys));
	} else if (u->name_count == 0 || !is_object(image) ||
	    type_keys(u, image, true) != u->name_count) {
		w->missing = "the line does not say the item's key; name its key attributes with "
			     "--keys";
	} else {
		set_key(u, buf_slice(&u->keys));
	}
}

/* ---- shapes ---- */

static void
copy_member(struct walk *w, bool *first, struct slice name)
{
	buf_add_str(w->out, *first ? "\"" : ",\"");
	*first = false;
	buf_add_slice(w->out, name);
	buf_add_str(w->out, "\":");
}

/* The object with the members of these names as images. */
static void
put_object(struct walk *w, struct slice object, const char *one, const char *other, each_fn *fn)
{
	struct json_iter it = json_iter(object);
	struct slice name, value;
	bool first = true;

	buf_add_char(w->out, '{');
	while (json_next(&it, &name, &value)) {
		copy_member(w, &first, name);
		if (json_string_is(name, one) || json_string_is(name, other))
			put_image(w, value, fn);
		else
			buf_add_slice(w->out, value);
	}
	buf_add_char(w->out, '}');
}

static void
put_record(struct walk *w, struct slice line)
{
	struct json_iter it = json_iter(line);
	struct slice name, value;
	bool first = true;

	buf_add_char(w->out, '{');
	while (json_next(&it, &name, &value)) {
		copy_member(w, &first, name);
		if (json_string_is(name, "dynamodb"))
			put_object(w, value, "NewImage", "OldImage", typed_value);
		else
			buf_add_slice(w->out, value);
	}
	buf_add_char(w->out, '}');
}

/* {"path":"a.b","old":{..},"new":{..}} */
static void
put_change(struct walk *w, struct slice change)
{
	struct slice text = value_member(change, "path"), name, value;
	struct json_iter it = json_iter(change);
	struct buf plain = BUF_INIT(LIMIT_PAGE_BODY);
	struct path *p = NULL;
	bool first = true;

	if (text.p != NULL && text.p[0] == '"')
		json_unescape((struct slice){text.p + 1, text.n - 2}, &plain);
	if (path_parse(&p, buf_cstr(&plain), PATH_EMPTY, NULL) != 0)
		p = NULL;
	buf_add_char(w->out, '{');
	while (json_next(&it, &name, &value)) {
		copy_member(w, &first, name);
		buf_reset(&w->u->path);
		if (p != NULL)
			crypt_path_steps(&w->u->path, p, p->count);
		if (p != NULL && (json_string_is(name, "old") || json_string_is(name, "new")))
			typed_value(w, value, 0);
		else
			buf_add_slice(w->out, value);
	}
	buf_add_char(w->out, '}');
	path_close(p);
	buf_close(&plain);
}

static void
put_changes(struct walk *w, struct slice changes)
{
	struct json_iter it = json_iter(changes);
	struct slice name, value;
	bool first = true;

	buf_add_char(w->out, '[');
	while (json_next(&it, &name, &value)) {
		if (!first)
			buf_add_char(w->out, ',');
		first = false;
		if (is_object(value))
			put_change(w, value);
		else
			buf_add_slice(w->out, value);
	}
	buf_add_char(w->out, ']');
}

static void
put_entry(struct walk *w, struct slice line)
{
	struct json_iter it = json_iter(line);
	struct slice name, value;
	bool first = true;

	buf_add_char(w->out, '{');
	while (json_next(&it, &name, &value)) {
		copy_member(w, &first, name);
		if (json_string_is(name, "old") || json_string_is(name, "new"))
			put_image(w, value, typed_value);
		else if (json_string_is(name, "changed") && value.p[0] == '[')
			put_changes(w, value);
		else
			buf_add_slice(w->out, value);
	}
	buf_add_char(w->out, '}');
}

static void
put_line(struct walk *w, struct slice line)
{
	struct slice dynamodb = value_member(line, "dynamodb");
	struct slice table = value_member(line, "table"), keys = value_member(line, "keys");
	struct slice key = value_member(line, "key"), source = value_member(line, "source");
	struct slice after = value_member(line, "after"), before = value_member(line, "before");
	bool images = value_member(line, "new").p != NULL && value_member(line, "old").p != NULL;

	if (is_object(dynamodb)) {
		set_place(w, SLICE_NONE, value_member(dynamodb, "Keys"), true, SLICE_NONE);
		put_record(w, line);
	} else if (value_member(line, "entry").p != NULL && is_object(keys)) {
		set_place(w, table, keys, true, SLICE_NONE);
		put_entry(w, line);
	} else if (images && is_object(keys)) {
		set_place(w, table, keys, false, SLICE_NONE);
		put_object(w, line, "new", "old", plain_value);
	} else if (images && is_object(key)) {
		set_place(w, SLICE_NONE, key, false, SLICE_NONE);
		put_object(w, line, "new", "old", plain_value);
	} else if (is_object(source) && (is_object(after) || is_object(before))) {
		set_place(w, value_member(source, "table"), SLICE_NONE, false,
		    is_object(after) ? after : before);
		put_object(w, line, "after", "before", plain_value);
	} else {
		set_place(w, SLICE_NONE, SLICE_NONE, false, line);
		put_image(w, line, plain_value);
	}
}

int
unseal_line(
    struct unseal *u, struct slice line, struct buf *out, struct unseal_count *count, struct err *e)
{
	struct walk w = {.u = u, .out = out, .count = count, .e = e};

	*count = (struct unseal_count){.opened = 0};
	if (!is_object(line))
		return err_set(e, ERR_PROTOCOL, "it is no JSON object");
	put_line(&w, line);
	if (out->failed)
		return err_set(e, ERR_LIMIT, "it is too large");
	return count->failed != 0 ? -1 : 0;
}
