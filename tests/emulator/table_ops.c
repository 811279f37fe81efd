/* tests/emulator/table_ops.c - as much of the table API as a writer needs that
 * was made for DynamoDB Local: tables, whole items, and updates of the form
 * "SET a = :a, #b = :b REMOVE c". No conditions, no secondary indexes.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "tests/emulator/attr.h"
#include "tests/emulator/emulator.h"

enum { ITEM_MOST = 400 << 10, TEXT_MOST = 1 << 20 };

static void
refuse(struct call *c, const char *why)
{
	answer_error(c->out, "ValidationException", "%s", why);
}

struct table *
call_table(struct call *c)
{
	struct slice name = call_text(c, "TableName");
	struct table *t = model_table(&c->em->model, name);

	if (t == NULL)
		answer_error(c->out, "ResourceNotFoundException",
		    "Requested resource not found: Table: %.*s not found", (int)name.n,
		    name.p != NULL ? name.p : "");
	return t;
}

static struct item *
find_item(struct call *c, struct table *t, const json_t *key, bool exact)
{
	struct buf text = BUF_INIT(TEXT_MOST);
	struct item *it = NULL;
	const char *why;
	uint32_t bytes;

	if (attr_key(t, key, exact, &text, &bytes, &why))
		it = model_item(t, buf_slice(&text), bytes);
	else
		refuse(c, why);
	buf_close(&text);
	return it;
}

static bool
put(struct call *c, struct table *t, struct item *it, const json_t *item)
{
	const char *why;
	int64_t bytes = attr_map_size(item, &why);

	if (bytes < 0 || bytes > ITEM_MOST) {
		refuse(c, bytes < 0 ? why : "Item size has exceeded the maximum allowed size");
		return false;
	}
	model_write(
	    &c->em->model, t, it, attr_text(item), (uint32_t)bytes, false, emulator_now_ms(c->em));
	return true;
}

bool
call_put(struct call *c, struct table *t, const json_t *item)
{
	struct item *it = find_item(c, t, item, false);

	return it != NULL && put(c, t, it, item);
}

bool
call_delete(struct call *c, struct table *t, const json_t *key, bool ttl)
{
	struct item *it = find_item(c, t, key, true);

	if (it == NULL)
		return false;
	model_write(&c->em->model, t, it, NULL, 0, ttl, emulator_now_ms(c->em));
	return true;
}

/* ---- items ------------------------------------------------------------- */

static void
put_item(struct call *c)
{
	struct table *t = call_table(c);

	if (t != NULL && call_put(c, t, json_object_get(c->in, "Item")))
		call_empty(c);
}

static void
delete_item(struct call *c)
{
	struct table *t = call_table(c);

	if (t != NULL && call_delete(c, t, json_object_get(c->in, "Key"), false))
		call_empty(c);
}

static void
get_item(struct call *c)
{
	struct table *t = call_table(c);
	struct item *it = t != NULL ? find_item(c, t, json_object_get(c->in, "Key"), true) : NULL;
	json_t *out;

	if (it == NULL)
		return;
	out = json_object();
	if (it->image != NULL)
		json_object_set_new(
		    out, "Item", json_loadb(it->image, it->image_n, JSON_ALLOW_NUL, NULL));
	answer_json(c->out, out);
}

/* ---- UpdateItem -------------------------------------------------------- */

struct expression {
	const json_t *names, *values; /* borrowed; may be NULL */
	const char *p;
	char word[256];
};

/* Names, :values, #names, '=' and ','. False at the end. */
static bool
next_word(struct expression *ex)
{
	size_t n;

	ex->p += strspn(ex->p, " \t\r\n");
	n = strcspn(ex->p, " \t\r\n=,");
	if (n == 0 && *ex->p != '\0')
		n = 1;
	if (n == 0 || n >= sizeof ex->word)
		return false;
	memcpy(ex->word, ex->p, n);
	ex->word[n] = '\0';
	ex->p += n;
	return true;
}

static bool
set_one(struct expression *ex, json_t *item, const char *name)
{
	json_t *v;

	if (!next_word(ex) || strcmp(ex->word, "=") != 0 || !next_word(ex))
		return false;
	v = json_object_get(ex->values, ex->word);
	return v != NULL && json_object_set(item, name, v) == 0;
}

/* ex->word as a plain top-level name, resolved and copied out. */
static bool
read_name(const struct expression *ex, char out[256])
{
	const char *name =
	    ex->word[0] == '#' ? json_string_value(json_object_get(ex->names, ex->word)) : ex->word;
	size_t n = name != NULL ? strlen(name) : 0;

	if (n == 0 || n > 255 || (ex->word[0] != '#' && strpbrk(name, ".[(") != NULL))
		return false;
	memcpy(out, name, n + 1);
	return true;
}

static bool
apply(struct expression *ex, json_t *item)
{
	enum { NEITHER, SET, REMOVE } clause = NEITHER;
	char name[256];

	while (next_word(ex)) {
		if (strcmp(ex->word, "SET") == 0 || strcmp(ex->word, "REMOVE") == 0) {
			clause = ex->word[0] == 'S' ? SET : REMOVE;
			continue;
		}
		if (strcmp(ex->word, ",") == 0)
			continue;
		if (clause == NEITHER || !read_name(ex, name))
			return false;
		if (clause == REMOVE)
			(void)json_object_del(item, name);
		else if (!set_one(ex, item, name))
			return false;
	}
	return *ex->p == '\0';
}

static void
update_item(struct call *c)
{
	const json_t *key = json_object_get(c->in, "Key");
	struct slice text = call_text(c, "UpdateExpression");
	struct expression ex = {.names = json_object_get(c->in, "ExpressionAttributeNames"),
	    .values = json_object_get(c->in, "ExpressionAttributeValues"),
	    .p = text.p != NULL ? text.p : ""};
	struct table *t = call_table(c);
	struct item *it = t != NULL ? find_item(c, t, key, true) : NULL;
	json_t *item;

	if (it == NULL)
		return;
	item = it->image != NULL ? json_loadb(it->image, it->image_n, JSON_ALLOW_NUL, NULL)
				 : json_deep_copy(key);
	if (!apply(&ex, item))
		refuse(c,
		    "Invalid UpdateExpression: the emulator knows SET name = :value and "
		    "REMOVE name");
	else if (find_item(c, t, item, false) != it)
		refuse(c, "Cannot update attribute: it is part of the key");
	else if (put(c, t, it, item))
		call_empty(c);
	json_decref(item);
}

/* ---- tables ------------------------------------------------------------ */

static json_t *
table_json(const struct model *m, const struct table *t)
{
	json_t *defs = json_array(), *schema = json_array(), *out;
	size_t items = 0;

	for (size_t i = 0; i < 2 && t->key_names[i] != NULL; i++) {
		char type[2] = {t->key_types[i], '\0'};

		json_array_append_new(defs,
		    json_pack(
			"{s:s, s:s}", "AttributeName", t->key_names[i], "AttributeType", type));
		json_array_append_new(schema,
		    json_pack("{s:s, s:s}", "AttributeName", t->key_names[i], "KeyType",
			i == 0 ? "HASH" : "RANGE"));
	}
	for (size_t i = 0; i < t->items.cap; i++) {
		const struct item *it = t->items.slots[i].value;

		items += it != NULL && it->image != NULL;
	}
	out = json_pack("{s:s, s:s, s:o, s:o, s:f, s:I, s:I}", "TableName", t->name, "TableStatus",
	    "ACTIVE", "AttributeDefinitions", defs, "KeySchema", schema, "CreationDateTime",
	    (double)t->created_ms / 1000, "ItemCount", (json_int_t)items, "TableSizeBytes",
	    (json_int_t)0);
	json_object_set_new(out, "TableArn",
	    json_sprintf("arn:aws:dynamodb:%s:%s:table/%s", m->region, m->account, t->name));
	if (t->latest != NULL) {
		json_object_set_new(out, "LatestStreamArn", json_string(t->latest->arn));
		json_object_set_new(out, "LatestStreamLabel", json_string(t->latest->label));
	}
	if (t->live != NULL)
		json_object_set_new(out, "StreamSpecification",
		    json_pack("{s:b, s:s}", "StreamEnabled", 1, "StreamViewType",
			view_words[t->live->view]));
	return out;
}

static void
describe_table(struct call *c)
{
	struct table *t = call_table(c);

	if (t != NULL)
		answer_json(c->out, json_pack("{s:o}", "Table", table_json(&c->em->model, t)));
}

static void
list_tables(struct call *c)
{
	const struct model *m = &c->em->model;
	json_t *names = json_array();

	for (size_t i = 0; i < m->table_count; i++)
		json_array_append_new(names, json_string(m->tables[i]->name));
	answer_json(c->out, json_pack("{s:o}", "TableNames", names));
}

/* Type letter of a key attribute; 0 if it is not defined. */
static char
defined_type(const json_t *defs, const char *name)
{
	const json_t *d;
	size_t i;

	json_array_foreach(defs, i, d)
	{
		const char *n = json_string_value(json_object_get(d, "AttributeName"));
		const char *type = json_string_value(json_object_get(d, "AttributeType"));

		if (n != NULL && type != NULL && strcmp(n, name) == 0 && strlen(type) == 1 &&
		    strchr("SNB", type[0]) != NULL)
			return type[0];
	}
	return 0;
}

bool
call_view(struct call *c, const char *word, enum view *out)
{
	for (int i = 0; view_words[i] != NULL; i++) {
		if (word != NULL && strcmp(word, view_words[i]) == 0) {
			*out = (enum view)i;
			return true;
		}
	}
	refuse(c, "StreamViewType is not valid");
	return false;
}

static struct table *
new_table(struct call *c)
{
	const json_t *schema = json_object_get(c->in, "KeySchema"), *k;
	const json_t *defs = json_object_get(c->in, "AttributeDefinitions");
	struct slice name = call_text(c, "TableName");
	const char *names[2] = {NULL, NULL};
	char types[2] = {0, 0};
	size_t i;

	json_array_foreach(schema, i, k)
	{
		const char *type = json_string_value(json_object_get(k, "KeyType"));
		const char *n = json_string_value(json_object_get(k, "AttributeName"));
		size_t at = type != NULL && strcmp(type, "RANGE") == 0;

		if (n != NULL && (types[at] = defined_type(defs, n)) != 0)
			names[at] = n;
	}
	if (name.n < 3 || name.n > 255 || names[0] == NULL ||
	    (json_array_size(schema) == 2) != (names[1] != NULL)) {
		refuse(c, "TableName, KeySchema and AttributeDefinitions do not make a table");
		return NULL;
	}
	return model_new_table(
	    &c->em->model, name.p, names[0], types[0], names[1], types[1], emulator_now_ms(c->em));
}

static void
create_table(struct call *c)
{
	struct slice name = call_text(c, "TableName");
	const json_t *spec = json_object_get(c->in, "StreamSpecification");
	bool streams = json_is_true(json_object_get(spec, "StreamEnabled"));
	enum view view = VIEW_IS_KEYS;
	struct table *t;

	if (name.p != NULL && model_table(&c->em->model, name) != NULL) {
		answer_error(c->out, "ResourceInUseException", "Table already exists: %s", name.p);
		return;
	}
	if (streams &&
	    !call_view(c, json_string_value(json_object_get(spec, "StreamViewType")), &view))
		return;
	t = new_table(c);
	if (t == NULL)
		return;
	if (streams)
		model_enable(&c->em->model, t, view, c->em->o.shards, emulator_now_ms(c->em));
	answer_json(c->out, json_pack("{s:o}", "TableDescription", table_json(&c->em->model, t)));
}

const struct operation table_ops[] = {
    {"PutItem", put_item},
    {"UpdateItem", update_item},
    {"DeleteItem", delete_item},
    {"GetItem", get_item},
    {"CreateTable", create_table},
    {"DescribeTable", describe_table},
    {"ListTables", list_tables},
    {NULL, NULL},
};
