/* base/conf.h - configuration: YAML read into nodes that know their place,
 * and tables of keys that say what may be set.
 *
 *     file --conf_load()--> nodes --conf_fill(table)--> struct
 *                                        |
 *                     --reference, --schema, --dump, manual page
 *
 * Every key comes from a table next to the code that uses it. Unknown and
 * duplicate keys and bad values are ERR_CONFIG with "file:line:column: " and,
 * for an unknown key, the nearest known one. Anchors, aliases, tags and
 * several documents in a file are refused with a message.
 *
 * Threading: none; start-up and reload only.
 */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include "base/buf.h"
#include "base/err.h"

enum conf_type {
	CONF_STR,      /* char *, owned */
	CONF_SECRET,   /* struct secret */
	CONF_BOOL,     /* bool: true false yes no on off */
	CONF_INT,      /* int64_t, min..max */
	CONF_DURATION, /* int64_t microseconds: 250ms 5s 10m 4h 7d; 0; min..max */
	CONF_SIZE,     /* int64_t bytes: 512 64KiB 16MiB 1GiB (also K M G = binary); min..max */
	CONF_ENUM,     /* int, index into words */
	CONF_LIST,     /* struct conf_list: a list of scalars, or one scalar */
	CONF_JSON, /* char *, owned: JSON pasted as it is, {...} or [...], or a scalar that holds it */
	CONF_MAP, /* struct conf_map: a mapping of free names to scalars, in the order written */
};

enum {
	CONF_REQUIRED = 1u << 0,
	CONF_NO_RELOAD = 1u << 1,
	CONF_HIDE = 1u << 2, /* MAP: values of names that speak of a password, secret, token,
	                      * pem or jaas are stars in a dump */
};

struct conf_list {
	char **v; /* owned */
	size_t n;
};

struct conf_map {
	char **names, **values; /* owned */
	size_t n;
};

struct conf_key {
	const char *name; /* NULL ends the table. "poll.idle" is key idle of map poll */
	enum conf_type type;
	unsigned flags;
	size_t ofs;		  /* offsetof in the struct that is filled */
	const char *def;	  /* as it would be written; NULL: zero/unset */
	int64_t min, max;	  /* INT, DURATION, SIZE; both 0: any value >= 0 */
	const char *const *words; /* ENUM: NULL-terminated */
	const char *doc;	  /* one sentence */
};

enum conf_kind { CONF_SCALAR, CONF_SEQUENCE, CONF_MAPPING };

struct conf_node {
	enum conf_kind kind;
	const char *file;      /* borrowed from the document */
	unsigned line, column; /* from 1 */
	char *text;	       /* SCALAR: its value, NUL-terminated */
	size_t text_n;
	bool quoted;		   /* SCALAR: so that "" differs from nothing */
	size_t count;		   /* SEQUENCE, MAPPING */
	struct conf_node **keys;   /* MAPPING */
	struct conf_node **values; /* SEQUENCE, MAPPING */
	char *raw;		   /* in braces or brackets: as it was written; owned */
	/* MAPPING in braces: a key that stands there twice. JSON may do that (and
	 * patterns do); who reads it as keys of ours refuses it. NULL: none */
	const struct conf_node *duplicate;
};

struct conf_doc; /* owns all nodes */

int conf_load(struct conf_doc **out, const char *path, struct err *e) MUST_CHECK;
/* name stands where the file name would in messages. */
int
conf_parse(struct conf_doc **out, struct slice text, const char *name, struct err *e) MUST_CHECK;
void conf_close(struct conf_doc *d);
const struct conf_node *conf_root(const struct conf_doc *d); /* a MAPPING */

/* ERR_CONFIG if a key stands in the mapping twice. The keys of anything that
 * conf_fill() or conf_check_names() reads have been looked at. */
int conf_check_duplicates(const struct conf_node *map, struct err *e) MUST_CHECK;
/* NULL if the mapping has no such key. */
const struct conf_node *conf_get(const struct conf_node *map, const char *key);
/* ERR_CONFIG "file:line:column: ..." at that node; -1. */
int conf_err(struct err *e, const struct conf_node *at, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Fills obj (zeroed first) from a mapping by a table; keys in `elsewhere`
 * (NULL-terminated, may be NULL) are known but not ours. map may be NULL: all
 * defaults. On failure obj is wiped. */
int conf_fill(const struct conf_node *map, const struct conf_key *keys,
    const char *const *elsewhere, void *obj, struct err *e) MUST_CHECK;
/* Checks a mapping's keys against names only. */
int
conf_check_names(const struct conf_node *map, const char *const *names, struct err *e) MUST_CHECK;
/* Frees what conf_fill() allocated, wipes secrets. */
void conf_wipe(const struct conf_key *keys, void *obj);

/* Writers, used by `slipring config`. dump: the effective values as YAML at
 * that indentation, secrets as "****". reference: text, a paragraph a key.
 * schema: the "properties" members of a JSON Schema object, commas between. */
void conf_dump(struct buf *out, const struct conf_key *keys, const void *obj, unsigned indent);
void conf_reference(struct buf *out, const struct conf_key *keys, unsigned indent);
void conf_schema(struct buf *out, const struct conf_key *keys);

/* The value parsers by themselves, for command lines. */
int conf_parse_duration(const char *text, int64_t *out, struct err *e) MUST_CHECK;
int conf_parse_size(const char *text, int64_t *out, struct err *e) MUST_CHECK;
int
conf_parse_int(const char *text, int64_t min, int64_t max, int64_t *out, struct err *e) MUST_CHECK;
/* The word of the NULL-terminated list nearest to text, or NULL when none is
 * near enough to suggest. */
const char *conf_nearest(const char *text, const char *const *words);

#endif
