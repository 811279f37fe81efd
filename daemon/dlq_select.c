/* daemon/dlq_select.c - see dlq.h. */
#include "daemon/dlq.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/rows.h"
#include "record/key.h"
#include "record/members.h"
#include "record/value.h"

/* A list that is longer is a selector by age, reason or sink. */
#define IDS_MAX 10000
#define KEY_MAX (64u << 10)

/* ---- from the command line ---- */

static int
cmp_id(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int
id_range(struct dlq_select *s, char *word, struct err *e)
{
	char *dash = strchr(word, '-');
	int64_t from, to;

	if (dash != NULL)
		*dash = '\0';
	if (conf_parse_int(word, 1, INT64_MAX, &from, e) != 0)
		return err_prefix(e, "--id");
	to = from;
	if (dash != NULL && conf_parse_int(dash + 1, from, INT64_MAX, &to, e) != 0)
		return err_prefix(e, "--id");
	if (to - from >= (int64_t)(IDS_MAX - s->query.id_count))
		return err_set(e, ERR_USAGE, "--id: %d at most", IDS_MAX);
	for (int64_t id = from; id <= to; id++)
		s->ids[s->query.id_count++] = (uint64_t)id;
	return 0;
}

static int
parse_ids(struct dlq_select *s, const char *text, struct err *e)
{
	char *copy = mem_strdup(text), *rest = copy, *word;
	int r = 0;

	s->ids = mem_array(IDS_MAX, sizeof *s->ids);
	while (r == 0 && (word = strsep(&rest, ",")) != NULL)
		r = id_range(s, word, e);
	free(copy);
	qsort(s->ids, s->query.id_count, sizeof *s->ids, cmp_id);
	s->query.ids = s->ids;
	return r;
}

static char *
canonical(struct slice keys, const char *first, const char *second)
{
	struct record r = {.keys = keys};
	struct key_schema ks = {.names = {(char *)(uintptr_t)first, (char *)(uintptr_t)second}};
	struct buf out = BUF_INIT(KEY_MAX);
	char *text;

	key_write(&r, &ks, &out);
	text = mem_strdup(buf_cstr(&out));
	buf_close(&out);
	return text;
}

/* {"pk":{"S":"a"},"sk":{"N":"1"}}: both orders, unless there is one attribute. */
static int
parse_attributes(struct dlq_select *s, struct slice keys, struct err *e)
{
	struct buf names[2] = {BUF_INIT(LIMIT_ATTRIBUTE_NAME), BUF_INIT(LIMIT_ATTRIBUTE_NAME)};
	struct json_iter it = json_iter(keys);
	struct slice name, value, inner;
	size_t n = 0;
	int r = 0;

	for (; json_next(&it, &name, &value); n++)
		if (n < 2 && value_of(value, &inner) != VALUE_INVALID)
			json_unescape(name, &names[n]);
		else
			r = -1;
	if (r != 0 || n == 0) {
		r = err_set(e, ERR_USAGE,
		    "--key: one or two attributes with their types, as {\"pk\":{\"S\":\"a\"}}");
	} else if (n == 1) {
		s->key = canonical(keys, buf_cstr(&names[0]), NULL);
	} else {
		/* A letter without names has its key in their order. */
		size_t low = strcmp(buf_cstr(&names[0]), buf_cstr(&names[1])) > 0;

		s->hash_key = mem_strdup(buf_cstr(&names[low]));
		s->key = canonical(keys, s->hash_key, buf_cstr(&names[!low]));
		s->swapped = canonical(keys, buf_cstr(&names[!low]), s->hash_key);
	}
	buf_close(&names[0]);
	buf_close(&names[1]);
	return r;
}

static int
fail_key(struct err *e)
{
	return err_set(e, ERR_USAGE,
	    "--key: wanted is the key as `dlq list --keys` prints it, [\"a\",1], or its "
	    "attributes, {\"pk\":{\"S\":\"a\"}}");
}

/* ["a", 1.0]: as people write it, or another program, is ["a",1] in the letters. Through
 * attributes, which key_write() knows how to spell. */
static int
parse_array(struct dlq_select *s, struct slice in, struct err *e)
{
	static const char *const names[] = {"a", "b"};
	struct buf keys = BUF_INIT(KEY_MAX);
	struct json_iter it = json_iter(in);
	struct slice name, value;
	size_t n = 0;

	buf_add_char(&keys, '{');
	for (; json_next(&it, &name, &value); n++) {
		bool text = value.p[0] == '"';

		if (n == ARRAY_LEN(names))
			break;
		buf_addf(&keys, "%s\"%s\":{\"%s\":", n != 0 ? "," : "", names[n], text ? "S" : "N");
		buf_add_str(&keys, text ? "" : "\"");
		buf_add_slice(&keys, value);
		buf_add_str(&keys, text ? "}" : "\"}");
	}
	buf_add_char(&keys, '}');
	if (n != 0 && it.p == it.end && !keys.failed && json_check(buf_slice(&keys)))
		s->key = canonical(buf_slice(&keys), names[0], n > 1 ? names[1] : NULL);
	buf_close(&keys);
	return s->key != NULL ? 0 : fail_key(e);
}

static int
parse_key(struct dlq_select *s, const char *text, struct err *e)
{
	struct slice in = slice_of(text);

	if (!json_check(in) || (text[0] != '[' && text[0] != '{'))
		return fail_key(e);
	return text[0] == '{' ? parse_attributes(s, in, e) : parse_array(s, in, e);
}

/* NULL: not given, or no option of this command. */
static const char *
option(struct dlq_select *s, const struct args *a, const char *name)
{
	const char *v = NULL;

	for (const struct option_def *o = a->cmd->options; o->name != NULL; o++)
		if (strcmp(o->name, name) == 0)
			v = args_get(a, name);
	s->any = s->any || v != NULL;
	return v;
}

static int
age_option(
    struct dlq_select *s, const struct args *a, const char *name, int64_t *out, struct err *e)
{
	const char *text = option(s, a, name);
	int64_t age;

	if (text == NULL)
		return 0;
	if (conf_parse_duration(text, &age, e) != 0)
		return err_prefix(e, "--%s", name);
	*out = rows_now() - age;
	return 0;
}

static int
parse_limit(struct dlq_select *s, const struct args *a, struct err *e)
{
	bool any = s->any;
	const char *text = option(s, a, "limit");
	int64_t n;

	s->any = any; /* it says how many, not which */
	if (text == NULL)
		return 0;
	if (conf_parse_int(text, 1, INT64_MAX, &n, e) != 0)
		return err_prefix(e, "--limit");
	s->query.limit = (size_t)n;
	return 0;
}

void
dlq_select_remark(const struct dlq_select *s, const struct config *c)
{
	if (s->query.sink != NULL && config_sink(c, s->query.sink) == NULL)
		command_note("there is no sink \"%.64s\" in the configuration", s->query.sink);
}

int
dlq_select_args(struct dlq_select *s, const struct args *a, struct err *e)
{
	const char *text;

	*s = (struct dlq_select){.any = false};
	s->query.sink = option(s, a, "sink");
	s->query.reason = option(s, a, "reason");
	s->query.superseded = option(s, a, "superseded") != NULL;
	s->query.fresh = option(s, a, "not-superseded") != NULL;
	if (age_option(s, a, "older-than", &s->query.to_us, e) != 0 ||
	    age_option(s, a, "younger-than", &s->query.from_us, e) != 0 ||
	    parse_limit(s, a, e) != 0 ||
	    ((text = option(s, a, "id")) != NULL && parse_ids(s, text, e) != 0) ||
	    ((text = option(s, a, "key")) != NULL && parse_key(s, text, e) != 0)) {
		e->code = ERR_USAGE;
		dlq_select_close(s);
		return -1;
	}
	s->query.key = s->key;
	s->query.hash_key = s->hash_key;
	s->query.swapped = s->swapped;
	return 0;
}

/* ---- as JSON, and back ---- */

/* False: it is no UTF-8. */
static bool
set_text(json_t *o, const char *name, const char *v)
{
	return v == NULL || json_object_set_new(o, name, json_string(v)) == 0;
}

json_t *
dlq_select_json(const struct dlq_select *s)
{
	const struct letter_query *q = &s->query;
	json_t *o = json_pack("{s:I, s:I, s:I, s:b, s:b, s:b}", "from_us", (json_int_t)q->from_us,
	    "to_us", (json_int_t)q->to_us, "limit", (json_int_t)q->limit, "superseded",
	    q->superseded, "fresh", q->fresh, "all", !s->any);
	json_t *ids;

	/* One that is left out would mean more letters. */
	if (!set_text(o, "sink", q->sink) || !set_text(o, "reason", q->reason) ||
	    !set_text(o, "key", q->key) || !set_text(o, "hash_key", q->hash_key) ||
	    !set_text(o, "swapped", q->swapped)) {
		json_decref(o);
		return NULL;
	}
	if (q->ids != NULL) {
		ids = json_array();
		for (size_t i = 0; i < q->id_count; i++)
			json_array_append_new(ids, json_integer((json_int_t)q->ids[i]));
		json_object_set_new(o, "ids", ids);
	}
	return o;
}

/* What is absent stays as it is. */
static int
get_int(const json_t *doc, const char *name, int64_t *out, struct err *e)
{
	const json_t *v = json_object_get(doc, name);

	if (v == NULL)
		return 0;
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return err_set(e, ERR_USAGE, "\"%s\" must be a number, not below 0", name);
	*out = json_integer_value(v);
	return 0;
}

static int
get_text(const json_t *doc, const char *name, const char **out, struct err *e)
{
	const json_t *v = json_object_get(doc, name);

	if (v == NULL)
		return 0;
	*out = json_string_value(v);
	return *out != NULL ? 0 : err_set(e, ERR_USAGE, "\"%s\" must be a text", name);
}

static int
get_ids(struct dlq_select *s, const json_t *doc, struct err *e)
{
	const json_t *v = json_object_get(doc, "ids"), *id;
	size_t i;

	if (v == NULL)
		return 0;
	if (!json_is_array(v) || json_array_size(v) > IDS_MAX)
		return err_set(e, ERR_USAGE, "\"ids\" must be a list of at most %d", IDS_MAX);
	s->ids = mem_array(json_array_size(v) + 1, sizeof *s->ids);
	json_array_foreach(v, i, id)
	{
		if (!json_is_integer(id) || json_integer_value(id) < 1)
			return err_set(e, ERR_USAGE, "\"ids\" must hold numbers of letters");
		s->ids[s->query.id_count++] = (uint64_t)json_integer_value(id);
	}
	qsort(s->ids, s->query.id_count, sizeof *s->ids, cmp_id);
	s->query.ids = s->ids;
	return 0;
}

static int
get_flag(const json_t *doc, const char *name, bool *out, struct err *e)
{
	const json_t *v = json_object_get(doc, name);

	*out = json_is_true(v);
	return v == NULL || json_is_boolean(v)
	    ? 0
	    : err_set(e, ERR_USAGE, "\"%s\" must be true or false", name);
}

/* A selector that nobody here understands must not mean everything. */
static int
know_all(json_t *doc, struct err *e)
{
	static const char *const known[] = {"sink", "reason", "key", "hash_key", "swapped", "ids",
	    "from_us", "to_us", "limit", "superseded", "fresh", "rate", "all"};
	const char *name;
	json_t *v;

	json_object_foreach(doc, name, v)
	{
		size_t i = 0;

		while (i < ARRAY_LEN(known) && strcmp(name, known[i]) != 0)
			i++;
		if (i == ARRAY_LEN(known))
			return err_set(e, ERR_USAGE, "\"%.100s\" is not known", name);
	}
	return 0;
}

int
dlq_select_parse(struct dlq_select *s, const json_t *doc, struct err *e)
{
	struct letter_query *q = &s->query;
	int64_t limit = 0;
	bool all;

	*s = (struct dlq_select){.any = false};
	if (!json_is_object(doc))
		return err_set(e, ERR_USAGE, "the body must be a JSON object");
	if (know_all((json_t *)(uintptr_t)doc, e) != 0 ||
	    get_flag(doc, "superseded", &q->superseded, e) != 0 ||
	    get_flag(doc, "fresh", &q->fresh, e) != 0 || get_flag(doc, "all", &all, e) != 0 ||
	    get_text(doc, "sink", &q->sink, e) != 0 ||
	    get_text(doc, "reason", &q->reason, e) != 0 || get_text(doc, "key", &q->key, e) != 0 ||
	    get_text(doc, "hash_key", &q->hash_key, e) != 0 ||
	    get_text(doc, "swapped", &q->swapped, e) != 0 ||
	    get_int(doc, "from_us", &q->from_us, e) != 0 ||
	    get_int(doc, "to_us", &q->to_us, e) != 0 || get_int(doc, "limit", &limit, e) != 0 ||
	    get_ids(s, doc, e) != 0) {
		dlq_select_close(s);
		return -1;
	}
	q->limit = (size_t)limit;
	s->any = q->sink != NULL || q->reason != NULL || q->key != NULL || q->ids != NULL ||
	    q->from_us != 0 || q->to_us != 0 || q->superseded || q->fresh;
	if (!s->any && !all)
		return err_set(e, ERR_USAGE,
		    "nothing says which letters are meant; all of them: \"all\": true");
	if ((q->hash_key == NULL) != (q->swapped == NULL))
		return err_set(e, ERR_USAGE, "\"hash_key\" and \"swapped\" go together");
	return 0;
}

void
dlq_select_close(struct dlq_select *s)
{
	free(s->ids);
	free(s->key);
	free(s->hash_key);
	free(s->swapped);
	*s = (struct dlq_select){.any = false};
}
