/* sinks/rows.c - see rows.h: layouts, and the SQL that is made from them.
 *
 * Columns of a log, in this order: stream (the stream's ARN), shard, sequence (40
 * digits), which are its key; event_id, event, created_at, keys, new, old; then those of
 * `columns:`.
 */
#include "sinks/rows_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "record/key.h"
#include "record/value.h"

/* Names that slipring gives itself begin so (docs/columns.md). */
#define OUR_PREFIX "slipring_"

const char *const rows_mode_words[] = {[ROWS_TABLE] = "table", [ROWS_LOG] = "log", NULL};
const char *const column_type_words[] = {
    [COLUMN_TEXT] = "text",
    [COLUMN_NUMERIC] = "numeric",
    [COLUMN_BIGINT] = "bigint",
    [COLUMN_BOOLEAN] = "boolean",
    [COLUMN_TIMESTAMPTZ] = "timestamptz",
    [COLUMN_BYTEA] = "bytea",
    [COLUMN_JSONB] = "jsonb",
    [COLUMN_TYPES] = NULL,
};

static const struct fixed {
	const char *name;
	enum rows_source source;
	enum column_type type;
	bool key, ordered;
} log_columns[] = {
    {"stream", FROM_STREAM, COLUMN_TEXT, true, false},
    {"shard", FROM_SHARD, COLUMN_TEXT, true, false},
    {"sequence", FROM_SEQUENCE, COLUMN_TEXT, true, true},
    {"event_id", FROM_EVENT_ID, COLUMN_TEXT, false, false},
    {"event", FROM_EVENT, COLUMN_TEXT, false, false},
    {"created_at", FROM_CREATED, COLUMN_TIMESTAMPTZ, false, false},
    {"keys", FROM_KEYS, COLUMN_JSONB, false, false},
    {"new", FROM_NEW, COLUMN_JSONB, false, false},
    {"old", FROM_OLD, COLUMN_JSONB, false, false},
};

/* ---- the mapping by itself ---- */

static int
check_name(const char *name, enum rows_mode mode, struct err *e)
{
	if (name[0] == '\0')
		return err_set(e, ERR_CONFIG, "columns: a column's name is empty");
	if (strncasecmp(name, OUR_PREFIX, sizeof OUR_PREFIX - 1) == 0)
		return err_set(e, ERR_CONFIG,
		    "columns: %.60s: names that begin with " OUR_PREFIX " are our own", name);
	for (size_t i = 0; mode == ROWS_LOG && i < ARRAY_LEN(log_columns); i++)
		if (strcasecmp(name, log_columns[i].name) == 0)
			return err_set(e, ERR_CONFIG,
			    "columns: %.60s: a log has a column of that name already", name);
	return 0;
}

int
rows_check(const struct conf_map *m, enum rows_mode mode, struct err *e)
{
	for (size_t i = 0; i < m->n; i++) {
		enum column_type type;
		struct path *path;

		if (check_name(m->names[i], mode, e) != 0)
			return -1;
		/* Quoted or not, SQLite does not tell "Id" from "id". */
		for (size_t j = 0; j < i; j++)
			if (strcasecmp(m->names[i], m->names[j]) == 0)
				return err_set(
				    e, ERR_CONFIG, "columns: %.60s is there twice", m->names[i]);
		if (rows_mapping_parse(m->names[i], m->values[i], &type, &path, e) != 0)
			return err_prefix(e, "columns: %.60s", m->names[i]);
		path_close(path);
	}
	return 0;
}

/* ---- keys ---- */

void
rows_keys_close(struct rows_keys *k)
{
	free(k->names[0]);
	free(k->names[1]);
	*k = (struct rows_keys){.count = 0};
}

bool
rows_keys_of_schema(const struct key_schema *s, struct rows_keys *out)
{
	*out = (struct rows_keys){.count = 0};
	if (s == NULL || s->names[0] == NULL || s->types[0] == 0 ||
	    (s->names[1] != NULL && s->types[1] == 0))
		return false;
	for (; out->count < 2 && s->names[out->count] != NULL; out->count++) {
		out->names[out->count] = mem_strdup(s->names[out->count]);
		out->types[out->count] = s->types[out->count];
	}
	return true;
}

static int
refuse_key(struct err *e)
{
	return err_set(
	    e, ERR_REFUSED, "the record's key is not one or two attributes of S, N or B");
}

static int
take_key(struct rows_keys *k, struct slice raw, struct slice value, struct err *e)
{
	struct buf name = BUF_INIT(raw.n + 1);
	struct slice inner;
	enum value_type type = value_of(value, &inner);
	bool fits;

	json_unescape(raw, &name);
	fits = !name.failed && memchr(buf_slice(&name).p, '\0', name.n) == NULL && k->count < 2 &&
	    (type == VALUE_S || type == VALUE_N || type == VALUE_B);
	if (fits) {
		k->names[k->count] = mem_slicedup(buf_slice(&name));
		k->types[k->count++] = type == VALUE_S ? 'S' : type == VALUE_N ? 'N' : 'B';
	}
	buf_close(&name);
	return fits ? 0 : refuse_key(e);
}

static void
swap_keys(struct rows_keys *k)
{
	*k = (struct rows_keys){
	    .names = {k->names[1], k->names[0]}, .types = {k->types[1], k->types[0]}, .count = 2};
}

static void
order_keys(struct rows_keys *k, const struct key_schema *s)
{
	if (k->count < 2)
		return;
	if (s != NULL && s->names[0] != NULL && s->names[1] != NULL &&
	    strcmp(s->names[0], k->names[0]) == 0 && strcmp(s->names[1], k->names[1]) == 0)
		return;
	if (s != NULL && s->names[0] != NULL && s->names[1] != NULL &&
	    strcmp(s->names[0], k->names[1]) == 0 && strcmp(s->names[1], k->names[0]) == 0)
		swap_keys(k);
	else if (strcmp(k->names[0], k->names[1]) > 0)
		swap_keys(k);
}

int
rows_keys_of(const struct record *r, const struct origin *o, struct rows_keys *out, struct err *e)
{
	struct json_iter it = json_iter(r->keys);
	struct slice raw, value;

	*out = (struct rows_keys){.count = 0};
	while (json_next(&it, &raw, &value))
		if (take_key(out, raw, value, e) != 0) {
			rows_keys_close(out);
			return -1;
		}
	if (out->count == 0)
		return refuse_key(e);
	order_keys(out, o->schema);
	return 0;
}

/* ---- layouts ---- */

void
rows_layout_close(struct rows_layout *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++) {
		free(l->columns[i].name);
		path_close(l->columns[i].path);
	}
	free(l->columns);
	free(l->roots);
	free(l);
}

/* path is taken; NULL: none. */
static struct rows_column *
add_column(struct rows_layout *l, const char *name, enum rows_source source, enum column_type type,
    struct path *path)
{
	struct rows_column *c = &l->columns[l->count++];

	*c = (struct rows_column){.name = mem_strdup(name),
	    .type = type,
	    .source = source,
	    .path = path,
	    .next = SIZE_MAX};
	return c;
}

static void
add_log_columns(struct rows_layout *l)
{
	for (size_t i = 0; i < ARRAY_LEN(log_columns); i++) {
		const struct fixed *f = &log_columns[i];
		struct rows_column *c = add_column(l, f->name, f->source, f->type, NULL);

		c->key = f->key;
		c->ordered = f->ordered;
		l->key_count += f->key;
	}
}

static bool
path_is(const struct path *p, const char *name)
{
	return p->count == 1 && strcmp(p->steps[0].name, name) == 0;
}

/* The mapping of exactly this attribute, which then names the key's column: its
 * index; SIZE_MAX: none. */
static size_t
mapping_of(const struct conf_map *m, const char *attribute, enum column_type *type)
{
	for (size_t i = 0; i < m->n; i++) {
		struct path *path;
		struct err e;
		bool hit;

		if (rows_mapping_parse(m->names[i], m->values[i], type, &path, &e) != 0)
			continue;
		hit = path_is(path, attribute);
		path_close(path);
		if (hit)
			return i;
	}
	return SIZE_MAX;
}

static enum column_type
type_of_key(char type)
{
	return type == 'S' ? COLUMN_TEXT : type == 'N' ? COLUMN_NUMERIC : COLUMN_BYTEA;
}

/* Only types in which different keys stay different. */
static int
add_key(struct rows_layout *l, const struct conf_map *m, const char *attribute, char key_type,
    struct err *e)
{
	enum column_type own = type_of_key(key_type), type = own;
	size_t i = mapping_of(m, attribute, &type);
	const char *name = i != SIZE_MAX ? m->names[i] : attribute;

	if (i == SIZE_MAX)
		type = own;
	if (type != own && !(key_type == 'N' && type == COLUMN_BIGINT))
		return err_set(e, ERR_CONFIG,
		    "columns: %.60s: the key attribute %.60s is of type %c, so its column is %s%s",
		    name, attribute, key_type, column_type_words[own],
		    key_type == 'N' ? " or bigint" : "");
	if (i == SIZE_MAX && strncasecmp(name, OUR_PREFIX, sizeof OUR_PREFIX - 1) == 0)
		return err_set(e, ERR_CONFIG,
		    "columns: the key attribute %.60s has a name of our own; rename it: "
		    "NAME: %s %.60s",
		    name, column_type_words[own], attribute);
	add_column(l, name, FROM_KEY, type, path_of_name(attribute))->key = true;
	l->key_count++;
	return 0;
}

static bool
is_key_path(const struct rows_layout *l, const struct path *p)
{
	for (size_t i = 0; l->mode == ROWS_TABLE && i < l->key_count; i++)
		if (path_is(p, l->columns[i].path->steps[0].name))
			return true;
	return false;
}

static int
add_mapped(struct rows_layout *l, const struct conf_map *m, struct err *e)
{
	for (size_t i = 0; i < m->n; i++) {
		enum column_type type, of_key;
		struct path *path;

		if (rows_mapping_parse(m->names[i], m->values[i], &type, &path, e) != 0)
			return err_prefix(e, "columns: %.60s", m->names[i]);
		if (is_key_path(l, path) && mapping_of(m, path->steps[0].name, &of_key) == i) {
			path_close(path);
			continue;
		}
		(void)add_column(
		    l, m->names[i], path->count == 0 ? FROM_IMAGE : FROM_PATH, type, path);
	}
	return 0;
}

static int
check_twice(const struct rows_layout *l, struct err *e)
{
	for (size_t i = 0; i < l->count; i++)
		for (size_t j = 0; j < i; j++)
			if (strcasecmp(l->columns[i].name, l->columns[j].name) == 0)
				return err_set(e, ERR_CONFIG,
				    "columns: two columns would be called %.60s; map the key "
				    "attribute or the other one to another name",
				    l->columns[i].name);
	return 0;
}

/* Groups the mapped columns by the attribute their paths begin with, so that
 * one walk over an image finds them all. */
static void
add_roots(struct rows_layout *l)
{
	for (size_t i = l->count; i-- > 0;) {
		struct rows_column *c = &l->columns[i];
		struct slice name;
		size_t r = 0;

		if (c->source != FROM_PATH)
			continue;
		name = slice_of(c->path->steps[0].name);
		while (r < l->root_count && !slice_eq(l->roots[r].name, name))
			r++;
		if (r == l->root_count)
			l->roots[l->root_count++] = (struct rows_root){name, SIZE_MAX};
		c->next = l->roots[r].first;
		l->roots[r].first = i;
	}
}

static int
fill_layout(
    struct rows_layout *l, const struct conf_map *m, const struct rows_keys *keys, struct err *e)
{
	if (l->mode == ROWS_LOG)
		add_log_columns(l);
	else
		for (size_t i = 0; i < keys->count; i++)
			if (add_key(l, m, keys->names[i], keys->types[i], e) != 0)
				return -1;
	if (add_mapped(l, m, e) != 0)
		return -1;
	if (l->mode == ROWS_TABLE) {
		if (m->n == 0)
			(void)add_column(l, ROWS_DOCUMENT, FROM_IMAGE, COLUMN_JSONB, NULL);
		add_column(l, ROWS_VERSION, FROM_VERSION, COLUMN_TEXT, NULL)->ordered = true;
	}
	add_roots(l);
	return check_twice(l, e);
}

int
rows_layout_new(struct rows_layout **out, enum rows_mode mode, unsigned flags,
    const struct conf_map *columns, const struct rows_keys *keys, struct err *e)
{
	struct rows_layout *l = mem_new(sizeof *l);
	size_t most = columns->n + ARRAY_LEN(log_columns) + 4;

	*out = NULL;
	l->mode = mode;
	l->flags = flags;
	l->columns = mem_array(most, sizeof *l->columns);
	l->roots = mem_array(most, sizeof *l->roots);
	if (fill_layout(l, columns, keys, e) != 0) {
		rows_layout_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

/* ---- SQL ---- */

void
rows_add_name(struct buf *out, const char *name)
{
	buf_add_char(out, '"');
	for (; *name != '\0'; name++) {
		if (*name == '"')
			buf_add_char(out, '"');
		buf_add_char(out, *name);
	}
	buf_add_char(out, '"');
}

void
rows_add_columns(struct buf *out, const struct rows_layout *l, const char *prefix, bool key_only)
{
	size_t n = key_only ? l->key_count : l->count;

	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			buf_add_str(out, ", ");
		buf_add_str(out, prefix);
		rows_add_name(out, l->columns[i].name);
	}
}

void
rows_add_assignments(struct buf *out, const struct rows_layout *l)
{
	for (size_t i = l->key_count; i < l->count; i++) {
		if (i != l->key_count)
			buf_add_str(out, ", ");
		rows_add_name(out, l->columns[i].name);
		buf_add_str(out, " = excluded.");
		rows_add_name(out, l->columns[i].name);
	}
}

void
rows_add_create(
    struct buf *out, const struct rows_layout *l, const char *table, const struct rows_dialect *d)
{
	buf_add_str(out, "CREATE TABLE IF NOT EXISTS ");
	buf_add_str(out, table);
	buf_add_str(out, " (\n");
	for (size_t i = 0; i < l->count; i++) {
		const struct rows_column *c = &l->columns[i];
		const char *type = c->ordered ? d->ordered : d->types[c->type];

		buf_add_char(out, '\t');
		rows_add_name(out, c->name);
		if (type[0] != '\0')
			buf_add_char(out, ' ');
		buf_add_str(out, type);
		if (c->key || c->source == FROM_VERSION)
			buf_add_str(out, " NOT NULL");
		buf_add_str(out, ",\n");
	}
	buf_add_str(out, "\tPRIMARY KEY (");
	rows_add_columns(out, l, "", true);
	buf_add_str(out, ")\n)");
}

void
rows_side_name(struct buf *out, const char *table, const char *suffix, size_t max)
{
	size_t n = strlen(table), room = max - strlen(suffix) - 1;

	if (max != 0 && n > room) {
		n = room - 9; /* "_" and eight digits of the hash */
		/* Not in the middle of a character. */
		while (n > 0 && ((unsigned char)table[n] & 0xc0) == 0x80)
			n--;
		buf_add(out, table, n);
		buf_addf(out, "_%08x", (unsigned)(key_hash(slice_of(table)) & 0xffffffff));
	} else {
		buf_add(out, table, n);
	}
	buf_add_char(out, '_');
	buf_add_str(out, suffix);
}
