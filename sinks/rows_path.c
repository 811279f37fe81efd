/* sinks/rows_path.c - what `columns:` says: a type, and the path of an attribute
 * (record/path.h). "." is the whole image.
 */
#include "sinks/rows_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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
rows_mapping_parse(
    const char *name, const char *text, enum column_type *type, struct path **path, struct err *e)
{
	struct slice word = {text, strcspn(text, " \t")};
	const char *rest = text + word.n;

	*path = NULL;
	if (type_parse(word, type, e) != 0)
		return -1;
	rest += strspn(rest, " \t");
	if (*rest == '\0') {
		*path = path_of_name(name);
		return 0;
	}
	if (path_parse(path, rest, PATH_WHOLE | PATH_EMPTY, e) != 0)
		return -1;
	if ((*path)->count == 0 && *type != COLUMN_JSONB) {
		path_close(*path);
		*path = NULL;
		return err_set(
		    e, ERR_CONFIG, "\".\" is the whole item, and only jsonb can hold that");
	}
	return 0;
}
