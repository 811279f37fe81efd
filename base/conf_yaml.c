/* base/conf_yaml.c - YAML text to nodes that know their line and column.
 *
 *   file -> text (bounded) -> libyaml events -> conf_node tree
 *
 * The input is hostile: its size, its depth and its nodes are bounded, and what
 * makes YAML surprising (anchors, aliases, tags, directives, several
 * documents, keys that are no scalars) is refused with a message. Duplicate
 * keys are found here, where both places are known.
 *
 * Ownership: the document owns its name and all nodes.
 */
#include "base/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <yaml.h>

#include "base/conf_priv.h"
#include "base/limits.h"
#include "base/mem.h"

struct conf_doc {
	char *name;		/* owned */
	struct conf_node *root; /* owned */
};

struct reading {
	yaml_parser_t parser;
	struct slice text;
	const char *name; /* borrowed from the document */
	size_t nodes;
	struct err *e;
};

static struct conf_node *read_node(struct reading *rd, yaml_event_t *ev, unsigned depth);

/* The end of a long path says more than its beginning. */
static const char *
short_name(const char *name)
{
	size_t n = strlen(name);

	return n > 200 ? name + n - 200 : name;
}

int
conf_err(struct err *e, const struct conf_node *at, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (at == NULL)
		return err_set(e, ERR_CONFIG, "configuration: %s", text);
	return err_set(
	    e, ERR_CONFIG, "%s:%u:%u: %s", short_name(at->file), at->line, at->column, text);
}

static void
node_close(struct conf_node *n)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < n->count; i++) {
		if (n->keys != NULL)
			node_close(n->keys[i]);
		node_close(n->values[i]);
	}
	if (n->text != NULL)
		explicit_bzero(n->text, n->text_n);
	if (n->raw != NULL)
		explicit_bzero(n->raw, strlen(n->raw));
	free(n->text);
	free(n->raw);
	free(n->keys);
	free(n->values);
	free(n);
}

static struct conf_node *
node_new(struct reading *rd, enum conf_kind kind, const yaml_mark_t *at)
{
	struct conf_node *n = mem_new(sizeof *n);

	n->kind = kind;
	n->file = rd->name;
	n->line = (unsigned)at->line + 1;
	n->column = (unsigned)at->column + 1;
	return n;
}

static int
fail_at(struct reading *rd, const yaml_mark_t *at, const char *what)
{
	return err_set(rd->e, ERR_CONFIG, "%s:%zu:%zu: %s", short_name(rd->name), at->line + 1,
	    at->column + 1, what);
}

/* libyaml gives only a byte offset for bytes that are no text. */
static yaml_mark_t
mark_of_offset(struct slice text, size_t offset)
{
	yaml_mark_t m = {0};

	for (size_t i = 0; i < offset && i < text.n; i++) {
		if (text.p[i] == '\n') {
			m.line++;
			m.column = 0;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			m.column++;
		}
	}
	m.index = offset;
	return m;
}

static const char *
hint_for(const struct reading *rd, const char *problem)
{
	size_t at = rd->parser.problem_mark.index;

	if (at < rd->text.n && rd->text.p[at] == '\t')
		return "; indent with spaces, not tabs";
	if (strstr(problem, "expected ':'") != NULL)
		return "; a key is followed by a colon and a space";
	if (strstr(problem, "mapping values are not allowed") != NULL)
		return "; check the indentation, or put the value in quotes if it holds \": \"";
	if (strstr(problem, "cannot start any token") != NULL)
		return "; put the value in quotes";
	if (strstr(problem, "block end") != NULL || strstr(problem, "expected key") != NULL)
		return "; check the indentation and that quotes and brackets are closed";
	return "";
}

static int
fail_syntax(struct reading *rd)
{
	const yaml_parser_t *p = &rd->parser;
	const char *problem = p->problem != NULL ? p->problem : "cannot be read as YAML";
	char text[300];
	yaml_mark_t at = p->problem_mark;

	if (p->error == YAML_MEMORY_ERROR)
		return err_set(rd->e, ERR_NOMEM, "%s: out of memory", short_name(rd->name));
	if (p->error == YAML_READER_ERROR) {
		at = mark_of_offset(rd->text, p->problem_offset);
		(void)snprintf(text, sizeof text,
		    "not UTF-8 text (%s); save the file as UTF-8 without control characters",
		    problem);
	} else if (p->context != NULL && p->context_mark.line != at.line) {
		(void)snprintf(text, sizeof text, "%s, %s that began on line %zu%s", problem,
		    p->context, p->context_mark.line + 1, hint_for(rd, problem));
	} else {
		(void)snprintf(text, sizeof text, "%s%s", problem, hint_for(rd, problem));
	}
	return fail_at(rd, &at, text);
}

static int
next_event(struct reading *rd, yaml_event_t *ev)
{
	if (!yaml_parser_parse(&rd->parser, ev))
		return fail_syntax(rd);
	return 0;
}

/* Anchors and tags of any of the three kinds of node. */
static int
refuse_extras(struct reading *rd, const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	}
	if (anchor != NULL)
		return fail_at(
		    rd, &ev->start_mark, "anchors (&name) are not accepted; write the value out");
	if (tag != NULL)
		return fail_at(rd, &ev->start_mark,
		    "tags (!name) are not accepted; leave the tag out, or put the value in quotes");
	return 0;
}

static struct conf_node *
read_scalar(struct reading *rd, const yaml_event_t *ev)
{
	struct conf_node *n;
	struct slice s = {(const char *)ev->data.scalar.value, ev->data.scalar.length};

	if (memchr(s.p, '\0', s.n) != NULL) {
		fail_at(rd, &ev->start_mark, "the value holds a NUL character; leave out the \\0");
		return NULL;
	}
	n = node_new(rd, CONF_SCALAR, &ev->start_mark);
	n->text = mem_slicedup(s);
	n->text_n = s.n;
	n->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return n;
}

static void
append(struct conf_node *n, struct conf_node *key, struct conf_node *value)
{
	if ((n->count & (n->count - 1)) == 0) {
		size_t cap = n->count == 0 ? 1 : n->count * 2;

		n->values = mem_grow(n->values, cap, sizeof *n->values);
		if (n->kind == CONF_MAPPING)
			n->keys = mem_grow(n->keys, cap, sizeof *n->keys);
	}
	if (n->kind == CONF_MAPPING)
		n->keys[n->count] = key;
	n->values[n->count++] = value;
}

/* libyaml counts characters, a BOM not among them. */
static size_t
offset_of(struct slice text, size_t index)
{
	size_t i = text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	for (; index > 0 && i < text.n; index--)
		do
			i++;
		while (i < text.n && ((unsigned char)text.p[i] & 0xc0) == 0x80);
	return i;
}

static char *
source_between(const struct reading *rd, const yaml_mark_t *from, const yaml_mark_t *to)
{
	size_t a = offset_of(rd->text, from->index), b = offset_of(rd->text, to->index);

	return mem_slicedup((struct slice){rd->text.p + a, b - a});
}

static struct conf_node *
read_sequence(struct reading *rd, const yaml_event_t *start, unsigned depth)
{
	struct conf_node *n = node_new(rd, CONF_SEQUENCE, &start->start_mark);
	bool brackets = start->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
	yaml_mark_t begin = start->start_mark;
	struct conf_node *item;
	yaml_event_t ev;

	for (;;) {
		if (next_event(rd, &ev) != 0)
			break;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			if (brackets)
				n->raw = source_between(rd, &begin, &ev.end_mark);
			yaml_event_delete(&ev);
			return n;
		}
		item = read_node(rd, &ev, depth + 1);
		if (item == NULL)
			break;
		append(n, NULL, item);
	}
	node_close(n);
	return NULL;
}

static const struct conf_node *
find_key(const struct conf_node *map, const char *text)
{
	for (size_t i = 0; i < map->count; i++)
		if (strcmp(map->keys[i]->text, text) == 0)
			return map->keys[i];
	return NULL;
}

int
conf_check_duplicates(const struct conf_node *map, struct err *e)
{
	const struct conf_node *key = map->duplicate;

	if (key == NULL)
		return 0;
	return conf_err(e, key, "duplicate key \"%s\", first on line %u; remove one of them",
	    conf_show(key->text).s, find_key(map, key->text)->line);
}

static int
check_key(struct reading *rd, struct conf_node *map, const struct conf_node *key, bool braces)
{
	if (key->kind != CONF_SCALAR)
		return conf_err(rd->e, key, "a key must be a word, not a list or a mapping");
	if (map->duplicate == NULL && find_key(map, key->text) != NULL)
		map->duplicate = key;
	return braces ? 0 : conf_check_duplicates(map, rd->e);
}

static struct conf_node *
read_mapping(struct reading *rd, const yaml_event_t *start, unsigned depth)
{
	struct conf_node *n = node_new(rd, CONF_MAPPING, &start->start_mark);
	bool braces = start->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE;
	yaml_mark_t begin = start->start_mark;
	struct conf_node *key = NULL, *value;
	yaml_event_t ev;

	for (;;) {
		if (next_event(rd, &ev) != 0)
			break;
		if (ev.type == YAML_MAPPING_END_EVENT) {
			if (braces)
				n->raw = source_between(rd, &begin, &ev.end_mark);
			yaml_event_delete(&ev);
			return n;
		}
		key = read_node(rd, &ev, depth + 1);
		if (key == NULL || check_key(rd, n, key, braces) != 0 || next_event(rd, &ev) != 0)
			break;
		value = read_node(rd, &ev, depth + 1);
		if (value == NULL)
			break;
		append(n, key, value);
		key = NULL;
	}
	node_close(key);
	node_close(n);
	return NULL;
}

/* Takes the event. NULL: rd->e says why. */
static struct conf_node *
read_node(struct reading *rd, yaml_event_t *ev, unsigned depth)
{
	struct conf_node *n = NULL;

	if (ev->type == YAML_ALIAS_EVENT)
		fail_at(rd, &ev->start_mark,
		    "aliases (*name) are not accepted; write the value out, in quotes if it begins "
		    "with *");
	else if (depth > LIMIT_CONFIG_DEPTH)
		fail_at(rd, &ev->start_mark, "nested too deeply");
	else if (++rd->nodes > LIMIT_CONFIG_NODES)
		fail_at(rd, &ev->start_mark, "more keys and values than a configuration may have");
	else if (refuse_extras(rd, ev) != 0)
		n = NULL;
	else if (ev->type == YAML_SCALAR_EVENT)
		n = read_scalar(rd, ev);
	else if (ev->type == YAML_SEQUENCE_START_EVENT)
		n = read_sequence(rd, ev, depth);
	else
		n = read_mapping(rd, ev, depth);
	yaml_event_delete(ev);
	return n;
}

static int
read_root(struct reading *rd, yaml_event_t *ev, struct conf_node **root)
{
	struct conf_node *n = read_node(rd, ev, 0);

	if (n == NULL)
		return -1;
	if (conf_is_null(n)) { /* "---" and nothing after it */
		n->kind = CONF_MAPPING;
	} else if (n->kind != CONF_MAPPING) {
		conf_err(rd->e, n, "a configuration is a mapping: begin with a key and a colon");
		node_close(n);
		return -1;
	}
	*root = n;
	return 0;
}

/* One document, whose root is a mapping; no document at all is an empty one. */
static int
read_stream(struct reading *rd, struct conf_node **root)
{
	yaml_event_t ev;
	yaml_mark_t top = {0};

	for (;;) {
		yaml_event_type_t type;
		int r = 0;

		if (next_event(rd, &ev) != 0)
			return -1;
		type = ev.type;
		if (type == YAML_SCALAR_EVENT || type == YAML_SEQUENCE_START_EVENT ||
		    type == YAML_MAPPING_START_EVENT || type == YAML_ALIAS_EVENT) {
			if (read_root(rd, &ev, root) != 0)
				return -1;
			continue;
		}
		if (type == YAML_DOCUMENT_START_EVENT && *root != NULL)
			r = fail_at(rd, &ev.start_mark,
			    "a second document begins here; a configuration is one document");
		else if (type == YAML_DOCUMENT_START_EVENT &&
		    (ev.data.document_start.version_directive != NULL ||
			ev.data.document_start.tag_directives.start !=
			    ev.data.document_start.tag_directives.end))
			r = fail_at(rd, &ev.start_mark, "directives (%NAME) are not accepted");
		yaml_event_delete(&ev);
		if (r != 0)
			return -1;
		if (type == YAML_STREAM_END_EVENT)
			break;
	}
	if (*root == NULL)
		*root = node_new(rd, CONF_MAPPING, &top);
	return 0;
}

int
conf_parse(struct conf_doc **out, struct slice text, const char *name, struct err *e)
{
	struct reading rd = {.e = e};
	struct conf_doc *d;
	int r;

	*out = NULL;
	if (text.n > LIMIT_CONFIG_FILE)
		return err_set(e, ERR_CONFIG, "%s: larger than %u KiB, which no configuration is",
		    short_name(name), LIMIT_CONFIG_FILE >> 10);
	if (text.n >= 3 &&
	    memcmp(text.p, "\xef\xbb\xbf", 3) == 0) { /* some editors' mark of UTF-8 */
		text.p += 3;
		text.n -= 3;
	}
	if (!yaml_parser_initialize(&rd.parser))
		return err_set(e, ERR_NOMEM, "%s: out of memory", short_name(name));
	d = mem_new(sizeof *d);
	d->name = mem_strdup(name);
	rd.name = d->name;
	rd.text = text;
	yaml_parser_set_encoding(&rd.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&rd.parser, (const unsigned char *)text.p, text.n);
	r = read_stream(&rd, &d->root);
	yaml_parser_delete(&rd.parser);
	if (r != 0) {
		conf_close(d);
		return -1;
	}
	*out = d;
	return 0;
}

/* Reads at most one byte more than a configuration may have, so that
 * conf_parse() sees that it is too long. */
static int
read_file(const char *path, struct buf *b, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = 0;

	if (fd < 0)
		goto fail;
	while (b->n < b->max && buf_reserve(b, 1)) {
		n = read(fd, b->p + b->n, b->cap - b->n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		b->n += (size_t)n;
	}
	if (n < 0)
		goto fail;
	(void)close(fd);
	return 0;
fail:
	err_set(e, ERR_CONFIG, "%s: cannot be read: %s", short_name(path), strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int
conf_load(struct conf_doc **out, const char *path, struct err *e)
{
	struct buf b = BUF_INIT(LIMIT_CONFIG_FILE + 1);
	int r;

	*out = NULL;
	r = read_file(path, &b, e);
	if (r == 0)
		r = conf_parse(out, buf_slice(&b), path, e);
	if (b.p != NULL)
		explicit_bzero(b.p, b.cap);
	buf_close(&b);
	return r;
}

void
conf_close(struct conf_doc *d)
{
	if (d == NULL)
		return;
	node_close(d->root);
	free(d->name);
	free(d);
}

const struct conf_node *
conf_root(const struct conf_doc *d)
{
	return d->root;
}
