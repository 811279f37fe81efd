/* sinks/template.c - see template.h. */
#include "sinks/template.h"

#include "base/conf.h"
#include "base/mem.h"

#include <stdlib.h>

static const char *const words[] = {"table", "stream", "event", NULL};
enum { WORD_TABLE, WORD_STREAM, WORD_EVENT };

static int
word_find(struct slice s)
{
	for (int i = 0; words[i] != NULL; i++)
		if (slice_is(s, words[i]))
			return i;
	return -1;
}

static int
refuse_word(struct slice word, struct err *e)
{
	char *text = mem_slicedup(word);
	const char *near = conf_nearest(text, words);

	if (near != NULL)
		err_set(
		    e, ERR_CONFIG, "unknown placeholder {%.60s}; did you mean {%s}?", text, near);
	else
		err_set(e, ERR_CONFIG,
		    "unknown placeholder {%.60s}; there are {table}, {stream} and {event}", text);
	free(text);
	return -1;
}

int
template_check(const char *text, struct err *e)
{
	if (text[0] == '\0')
		return err_set(e, ERR_CONFIG, "the name is empty");
	for (const char *p = text; *p != '\0'; p++) {
		const char *end;

		if (*p == '}')
			return err_set(e, ERR_CONFIG, "\"%.100s\" has a } without its {", text);
		if (*p != '{')
			continue;
		end = strchr(p, '}');
		if (end == NULL)
			return err_set(e, ERR_CONFIG, "\"%.100s\" has a { without its }", text);
		if (word_find((struct slice){p + 1, (size_t)(end - p - 1)}) < 0)
			return refuse_word((struct slice){p + 1, (size_t)(end - p - 1)}, e);
		p = end;
	}
	return 0;
}

bool
template_varies(const char *text)
{
	return strstr(text, "{event}") != NULL;
}

static const char *
event_word(const struct record *r)
{
	switch (r->event) {
	case RECORD_INSERT:
		return "insert";
	case RECORD_MODIFY:
		return "modify";
	case RECORD_REMOVE:
		return "remove";
	case RECORD_UNKNOWN:
		break;
	}
	return "change";
}

void
template_write(const char *text, const struct record *r, const struct origin *o, struct buf *out)
{
	const char *p = text, *open;

	while ((open = strchr(p, '{')) != NULL) {
		const char *end = strchr(open, '}');

		buf_add(out, p, (size_t)(open - p));
		switch (word_find((struct slice){open + 1, (size_t)(end - open - 1)})) {
		case WORD_TABLE:
			buf_add_str(out, o->table);
			break;
		case WORD_STREAM:
			buf_add_str(out, o->stream);
			break;
		case WORD_EVENT:
			buf_add_str(out, event_word(r));
			break;
		}
		p = end + 1;
	}
	buf_add_str(out, p);
}
