/* record/path.h - where in an item: attribute paths as an operator writes them.
 *
 *   a.b[3].c      member c of the fourth element of list b of map a
 *   a."b.c"       a name that holds one of . [ ] " \ * as a JSON string
 *   a.*.c         of any member of a; lines[*].sku: of any element; aws:rep:*: of any
 *                 attribute whose name begins so (one star a name, anywhere in it)
 *   .             the whole item
 *
 * The same as the envelope shows in `changed` (value.h), but for the stars. One
 * mechanism for sinks and filters; docs/transforms.md and docs/columns.md are what a user reads.
 *
 * Ownership: path_parse() makes, path_close() frees. Threading: constant once made.
 */
#ifndef RECORD_PATH_H
#define RECORD_PATH_H

#include "base/err.h"
#include "base/slice.h"

/* DynamoDB nests attributes 32 levels deep. */
#define PATH_STEPS_MAX 32u
/* An element of an item of 400 KB cannot have a larger index. */
#define PATH_INDEX_MAX 400000u

enum path_kind {
	PATH_NAME,
	PATH_INDEX,
	PATH_LIKE, /* any name that begins and ends so */
	PATH_EACH, /* any element */
};

struct path_step {
	enum path_kind kind;
	char *name;    /* owned, unescaped; NAME. LIKE: what is before the star */
	char *tail;    /* owned; LIKE: what is behind it */
	size_t name_n; /* bytes of name */
	size_t tail_n;
	size_t index; /* INDEX */
};

struct path {
	char *text;   /* owned; as the operator wrote it, for messages */
	size_t count; /* 0: the whole item */
	struct path_step steps[];
};

enum {
	PATH_WILD = 1u << 0,  /* stars may be in there */
	PATH_WHOLE = 1u << 1, /* "." is allowed */
	PATH_EMPTY = 1u << 2, /* and an empty name, which DynamoDB refuses and look-alikes have */
};

/* ERR_CONFIG for what is no path, and for one that no item can have: more than 32
 * steps, an empty name. */
int path_parse(struct path **out, const char *text, unsigned flags, struct err *e) MUST_CHECK;
/* Of one plain name, which is not parsed. */
struct path *path_of_name(const char *name);
void path_close(struct path *p); /* NULL allowed */

/* From the value of the path's first attribute on; SLICE_NONE: not there. For paths
 * without stars. */
struct slice path_walk(const struct path *p, struct slice value);
/* The same from the image on; for a path without stars that is not ".". */
struct slice path_find(const struct path *p, struct slice image);
/* Could the first n steps of both lead to one place? n is at most both counts. */
bool path_meet(const struct path *a, const struct path *b, size_t n);

/* For transforms that set or rename at both: could one be the other, or be inside of
 * it? */
bool path_overlap(const struct path *a, const struct path *b);

/* Is a raw JSON string (between its quotes) this name? */
bool path_name_is(struct slice raw, struct slice name);
/* Does a raw name fit a NAME or LIKE, an index an INDEX or EACH? */
bool path_step_takes_name(const struct path_step *s, struct slice raw);
static inline bool
path_step_takes_index(const struct path_step *s, size_t index)
{
	return s->kind == PATH_EACH || (s->kind == PATH_INDEX && s->index == index);
}

#endif
