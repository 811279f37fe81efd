/* base/conf_write.c - tables of keys as YAML, as text for people and as JSON
 * Schema for editors.
 *
 * One source, so that the manual, the schema and the program cannot disagree.
 * A dump is itself a configuration, except that secrets are stars. The schema
 * offers "poll.idle" both dotted and nested, as conf_fill() does.
 */
#include "base/conf.h"

#include <string.h>
#include <strings.h>

#include "base/conf_priv.h"
#include "base/secret.h"

static void
add_indent(struct buf *out, unsigned indent)
{
	for (unsigned i = 0; i < indent; i++)
		buf_add_char(out, ' ');
}

/* Would YAML read it back as this text without quotes? */
static bool
is_plain(const char *s)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_./:-+@%=";
	size_t n = strlen(s);

	if (n == 0 || strcasecmp(s, "null") == 0 || strchr("-:+@%=.", s[0]) != NULL)
		return false;
	return s[n - 1] != ':' && strspn(s, safe) == n;
}

static void
add_text(struct buf *out, const char *s)
{
	if (is_plain(s)) {
		buf_add_str(out, s);
		return;
	}
	buf_add_char(out, '"');
	buf_add_visible(out, slice_of(s));
	buf_add_char(out, '"');
}

static bool
is_set(const struct conf_key *k, const void *obj)
{
	const void *field = conf_field_const(k, obj);

	switch (k->type) {
	case CONF_STR:
	case CONF_JSON:
		return *(char *const *)field != NULL;
	case CONF_SECRET:
		return ((const struct secret *)field)->bytes != NULL;
	case CONF_LIST:
		return ((const struct conf_list *)field)->v != NULL;
	case CONF_MAP:
		return ((const struct conf_map *)field)->names != NULL;
	case CONF_BOOL:
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
	case CONF_ENUM:
		return true;
	}
	return true;
}

static void
add_list(struct buf *out, const struct conf_list *l)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < l->n; i++) {
		if (i != 0)
			buf_add_str(out, ", ");
		add_text(out, l->v[i]);
	}
	buf_add_char(out, ']');
}

static bool
is_secret_name(const char *name)
{
	static const char *const words[] = {"password", "secret", "token", "pem", "jaas"};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcasestr(name, words[i]) != NULL)
			return true;
	return false;
}

static void
add_map(struct buf *out, const struct conf_map *m, bool hide)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < m->n; i++) {
		if (i != 0)
			buf_add_str(out, ", ");
		add_text(out, m->names[i]);
		buf_add_str(out, ": ");
		if (hide && is_secret_name(m->names[i]))
			buf_add_str(out, "\"****\"");
		else
			add_text(out, m->values[i]);
	}
	buf_add_char(out, '}');
}

static void
add_value(struct buf *out, const struct conf_key *k, const void *obj)
{
	const void *field = conf_field_const(k, obj);

	switch (k->type) {
	case CONF_STR:
	case CONF_JSON:
		add_text(out, *(char *const *)field);
		break;
	case CONF_SECRET:
		buf_add_str(out, "\"****\"");
		break;
	case CONF_BOOL:
		buf_add_str(out, *(const bool *)field ? "true" : "false");
		break;
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		conf_write_number(out, k->type, *(const int64_t *)field);
		break;
	case CONF_ENUM:
		buf_add_str(out, k->words[*(const int *)field]);
		break;
	case CONF_LIST:
		add_list(out, field);
		break;
	case CONF_MAP:
		add_map(out, field, (k->flags & CONF_HIDE) != 0);
		break;
	}
}

void
conf_dump(struct buf *out, const struct conf_key *keys, const void *obj, unsigned indent)
{
	for (const struct conf_key *k = keys; k->name != NULL; k++) {
		if (!is_set(k, obj))
			continue;
		add_indent(out, indent);
		buf_addf(out, "%s: ", k->name);
		add_value(out, k, obj);
		buf_add_char(out, '\n');
	}
}

static const char *
type_name(enum conf_type t)
{
	switch (t) {
	case CONF_STR:
		return "text";
	case CONF_SECRET:
		return "secret text";
	case CONF_BOOL:
		return "true or false";
	case CONF_INT:
		return "number";
	case CONF_DURATION:
		return "duration";
	case CONF_SIZE:
		return "size";
	case CONF_ENUM:
		return "one of";
	case CONF_LIST:
		return "list";
	case CONF_JSON:
		return "JSON";
	case CONF_MAP:
		return "names with values";
	}
	return "";
}

/* Words of text as lines of at most 79 columns. */
static void
add_wrapped(struct buf *out, const char *text, unsigned indent)
{
	size_t column = 80;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (column + 1 + n > 79) {
			if (column != 80)
				buf_add_char(out, '\n');
			add_indent(out, indent);
			column = indent;
		} else {
			buf_add_char(out, ' ');
			column++;
		}
		buf_add(out, text, n);
		column += n;
		text += n;
		text += strspn(text, " ");
	}
	buf_add_char(out, '\n');
}

void
conf_reference(struct buf *out, const struct conf_key *keys, unsigned indent)
{
	for (const struct conf_key *k = keys; k->name != NULL; k++) {
		add_indent(out, indent);
		buf_addf(out, "%s (%s", k->name, type_name(k->type));
		if (k->type == CONF_ENUM) {
			buf_add_char(out, ' ');
			conf_write_words(out, k->words);
		}
		if (k->min != 0 || k->max != 0) {
			buf_add_str(out, ", ");
			conf_write_number(out, k->type, k->min);
			buf_add_str(out, " to ");
			conf_write_number(out, k->type, k->max);
		}
		if ((k->flags & CONF_REQUIRED) != 0)
			buf_add_str(out, ", required");
		else if (k->def != NULL)
			buf_addf(out, ", default %s", k->def);
		buf_add_str(out, ")\n");
		add_wrapped(out, k->doc, indent + 4);
	}
}

/* What stands there without quotes, as in `percent: 0.5`, is a number to an editor. */
#define TEXT_SCHEMA "[\"string\",\"number\"]"

static void
add_number_schema(struct buf *out, const struct conf_key *k)
{
	if (k->type == CONF_DURATION) {
		buf_add_str(out,
		    "\"anyOf\":[{\"const\":0},{\"type\":\"string\","
		    "\"pattern\":\"^[0-9]+(ms|s|m|h|d)$\"}]");
	} else if (k->type == CONF_SIZE) {
		buf_add_str(out,
		    "\"anyOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"string\","
		    "\"pattern\":\"^[0-9]+([KMG](iB)?)?$\"}]");
	} else {
		buf_addf(out, "\"type\":\"integer\",\"minimum\":%lld", (long long)k->min);
		if (k->max != 0)
			buf_addf(out, ",\"maximum\":%lld", (long long)k->max);
	}
}

static void
add_enum_schema(struct buf *out, const char *const *words)
{
	buf_add_str(out, "\"enum\":[");
	for (size_t i = 0; words[i] != NULL; i++) {
		if (i != 0)
			buf_add_char(out, ',');
		buf_add_json_string(out, slice_of(words[i]));
		if (strcmp(words[i], "true") == 0 || strcmp(words[i], "false") == 0)
			buf_addf(out, ",%s", words[i]);
	}
	buf_add_char(out, ']');
}

static void
add_default_schema(struct buf *out, const struct conf_key *k)
{
	bool on = false;

	buf_add_str(out, ",\"default\":");
	if (k->type == CONF_BOOL && conf_parse_bool(k->def, &on))
		buf_add_str(out, on ? "true" : "false");
	else if (k->type == CONF_INT || strcmp(k->def, "0") == 0)
		buf_add_str(out, k->def);
	else
		buf_add_json_string(out, slice_of(k->def));
}

static void
add_key_schema(struct buf *out, const struct conf_key *k)
{
	buf_add_char(out, '{');
	switch (k->type) {
	case CONF_STR:
	case CONF_SECRET:
		buf_add_str(out, "\"type\":" TEXT_SCHEMA);
		break;
	case CONF_JSON:
		buf_add_str(out, "\"type\":[\"object\",\"array\",\"string\"]");
		break;
	case CONF_BOOL:
		buf_add_str(out, "\"enum\":[true,false,\"yes\",\"no\",\"on\",\"off\"]");
		break;
	case CONF_INT:
	case CONF_DURATION:
	case CONF_SIZE:
		add_number_schema(out, k);
		break;
	case CONF_ENUM:
		add_enum_schema(out, k->words);
		break;
	case CONF_LIST:
		buf_add_str(out,
		    "\"anyOf\":[{\"type\":" TEXT_SCHEMA "},{\"type\":\"array\","
		    "\"items\":{\"type\":" TEXT_SCHEMA "}}]");
		break;
	case CONF_MAP:
		buf_add_str(out,
		    "\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\","
		    "\"number\",\"boolean\"]}");
		break;
	}
	if (k->def != NULL)
		add_default_schema(out, k);
	buf_add_str(out, ",\"description\":");
	buf_add_json_string(out, slice_of(k->doc));
	buf_add_char(out, '}');
}

/* Length of the group's name in "poll.idle"; 0: no group. */
static size_t
group_length(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot != NULL ? (size_t)(dot - name) : 0;
}

static bool
same_group(const struct conf_key *a, const struct conf_key *b)
{
	size_t n = group_length(a->name);

	return n != 0 && n == group_length(b->name) && strncmp(a->name, b->name, n) == 0;
}

/* The nested spelling: written where the group's first key stands. */
static void
add_group_schema(struct buf *out, const struct conf_key *keys, const struct conf_key *first)
{
	size_t n = group_length(first->name);
	const char *comma = "";

	for (const struct conf_key *k = keys; k < first; k++)
		if (same_group(k, first))
			return;
	buf_add_char(out, ',');
	buf_add_json_string(out, (struct slice){first->name, n});
	buf_add_str(out, ":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
	for (const struct conf_key *k = first; k->name != NULL; k++) {
		if (!same_group(k, first))
			continue;
		buf_add_str(out, comma);
		buf_add_json_string(out, slice_of(k->name + n + 1));
		buf_add_char(out, ':');
		add_key_schema(out, k);
		comma = ",";
	}
	buf_add_str(out, "}}");
}

void
conf_schema(struct buf *out, const struct conf_key *keys)
{
	for (const struct conf_key *k = keys; k->name != NULL; k++) {
		if (k != keys)
			buf_add_char(out, ',');
		buf_add_json_string(out, slice_of(k->name));
		buf_add_char(out, ':');
		add_key_schema(out, k);
		if (group_length(k->name) != 0)
			add_group_schema(out, keys, k);
	}
}
