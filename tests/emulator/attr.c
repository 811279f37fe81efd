/* tests/emulator/attr.c - see attr.h. */
#include "tests/emulator/attr.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 32 };

static int64_t value_size(const json_t *value, unsigned depth, const char **why);

static int64_t
list_size(const json_t *list, unsigned depth, const char **why)
{
	int64_t sum = 3;
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		int64_t n = value_size(v, depth, why);

		if (n < 0)
			return -1;
		sum += n + 1;
	}
	return sum;
}

static int64_t
set_size(const json_t *set, const char **why)
{
	int64_t sum = 0;
	const json_t *v, *other;
	size_t i, k;

	json_array_foreach(set, i, v)
	{
		if (!json_is_string(v)) {
			*why = "a set holds strings";
			return -1;
		}
		json_array_foreach(set, k, other)
		{
			if (k < i && json_equal(v, other)) {
				*why = "Input collection contains duplicates.";
				return -1;
			}
		}
		sum += (int64_t)json_string_length(v);
	}
	*why = "An string set  may not be empty";
	return json_array_size(set) != 0 ? sum : -1;
}

static int64_t
map_size(const json_t *map, unsigned depth, const char **why)
{
	int64_t sum = 0;
	const char *name;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)map, name, v)
	{
		int64_t n = value_size(v, depth, why);

		if (n < 0)
			return -1;
		sum += n + (int64_t)strlen(name);
	}
	return sum;
}

static int64_t
value_size(const json_t *value, unsigned depth, const char **why)
{
	void *it = json_object_iter((json_t *)(uintptr_t)value);
	const char *tag = it != NULL ? json_object_iter_key(it) : "";
	const json_t *v = it != NULL ? json_object_iter_value(it) : NULL;

	*why =
	    "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
	if (json_object_size(value) != 1)
		return -1;
	if (depth > DEPTH_MOST) {
		*why = "Nesting Levels have exceeded supported limits";
		return -1;
	}
	if (strcmp(tag, "M") == 0 && json_is_object(v))
		return map_size(v, depth + 1, why) + 3;
	if (strcmp(tag, "L") == 0 && json_is_array(v))
		return list_size(v, depth + 1, why);
	if (strlen(tag) == 2 && strchr("SNB", tag[0]) != NULL && tag[1] == 'S' && json_is_array(v))
		return set_size(v, why);
	if (strlen(tag) == 1 && strchr("SNB", tag[0]) != NULL && json_is_string(v))
		return (int64_t)json_string_length(v);
	if ((strcmp(tag, "BOOL") == 0 && json_is_boolean(v)) ||
	    (strcmp(tag, "NULL") == 0 && json_is_true(v)))
		return 1;
	return -1;
}

int64_t
attr_map_size(const json_t *item, const char **why)
{
	*why = "the item is no object";
	return json_is_object(item) ? map_size(item, 1, why) : -1;
}

bool
attr_key(const struct table *t, const json_t *item, bool exact, struct buf *out, uint32_t *bytes,
    const char **why)
{
	size_t names = t->key_names[1] != NULL ? 2 : 1;

	*bytes = 0;
	*why = "The provided key element does not match the schema";
	if (exact && json_object_size(item) != names)
		return false;
	buf_add_char(out, '{');
	for (size_t i = 0; i < names; i++) {
		const json_t *v = json_object_get(item, t->key_names[i]);
		char tag[2] = {t->key_types[i], '\0'};
		const json_t *inner = json_object_get(v, tag);
		char *text;

		if (json_object_size(v) != 1 || !json_is_string(inner) ||
		    json_string_length(inner) == 0)
			return false;
		text = json_dumps(v, JSON_COMPACT);
		buf_addf(out, "%s\"%s\":%s", i != 0 ? "," : "", t->key_names[i], text);
		free(text);
		*bytes += (uint32_t)(strlen(t->key_names[i]) + json_string_length(inner));
	}
	buf_add_char(out, '}');
	return !out->failed;
}

char *
attr_text(const json_t *item)
{
	return json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS);
}
