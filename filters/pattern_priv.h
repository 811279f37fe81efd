/* filters/pattern_priv.h - the compiled form that pattern_*.c share.
 *
 *   pattern
 *     alternatives: node   AND over its fields
 *       field "dynamodb" -> node
 *         field "NewImage" -> node
 *           field "status" -> node -> field "S" -> leaf [cond, cond]   OR over its conditions
 *
 * A field may have both a node (deeper names) and leaves; all must hold. $or is
 * multiplied out into alternatives while compiling, because the fields of one array of
 * objects must be found in one element, wherever in the pattern they are written.
 *
 * Everything is allocated from the pattern's pool and goes with it.
 */
#ifndef FILTERS_PATTERN_PRIV_H
#define FILTERS_PATTERN_PRIV_H

#include <locale.h>

#include "filters/pattern.h"
#include "record/number.h"

/* EventBridge's own bound on what $or may multiply out to. */
#define PATTERN_ALTERNATIVES_MAX 1000
/* Deeper than any record: 32 levels of attributes and the event around them. */
#define PATTERN_DEPTH_MAX 72
/* Longer than what a configuration would hold; Lambda takes 4,096 characters. */
#define PATTERN_TEXT_MAX (1u << 20)

enum cond_kind {
	COND_STRING,
	COND_NUMBER,
	COND_LITERAL, /* true, false, null */
	COND_PREFIX,
	COND_SUFFIX,
	COND_FOLDED, /* equals-ignore-case */
	COND_PREFIX_FOLDED,
	COND_SUFFIX_FOLDED,
	COND_WILDCARD,
	COND_NUMERIC,
	COND_CIDR,
	COND_EXISTS,
	COND_ABSENT,
	COND_ANYTHING_BUT,
};

struct bound {
	struct number value;
	bool set, inclusive;
};

struct cond {
	enum cond_kind kind;
	struct slice text; /* STRING to WILDCARD: plain bytes; FOLDED: folded; LITERAL: the word */
	struct number number;
	struct bound low, high; /* NUMERIC; "=" is both */
	unsigned char net[16];
	unsigned net_bytes, net_bits; /* CIDR */
	struct cond *but;	      /* ANYTHING_BUT: none of these */
	size_t but_count;
};

struct leaf {
	struct cond *conds;
	size_t count;
	struct slice path; /* as people write it, for explain */
	bool decimal;	   /* under N or NS of a record: strings are numbers, too */
	bool absent_ok;	   /* {"exists": false} is one of the conditions */
};

struct field {
	struct slice name; /* plain bytes */
	struct node *node; /* may be NULL */
	struct leaf **leaves;
	size_t leaf_count;
};

struct node {
	struct field *fields;
	size_t count;
	struct node ***groups; /* $or: per group a NULL-terminated list; none in an alternative */
	size_t group_count;
};

struct pool;

struct pattern {
	struct pool *pool;
	struct node **alternatives;
	size_t count;
	locale_t utf8;	    /* owned; for case folding */
	struct buf scratch; /* decoded text of a string with escapes */
};

void *pool_alloc(struct pool **pl, size_t size); /* zeroed */
struct slice pool_copy(struct pool **pl, struct slice s);
void pool_close(struct pool *pl);

/* pattern_compile.c */
struct compiling {
	struct pattern *p;
	struct buf path; /* of what is being read, as people write it */
	struct buf text; /* scratch */
	struct err *e;
};
/* -1 with ERR_CONFIG "PATH: what". */
int pattern_fail(struct compiling *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* The bytes that a raw JSON string means, in the pool. */
struct slice pattern_string(struct compiling *c, struct slice raw);
/* A JSON string without its quotes; false if the value is none. */
bool pattern_raw_string(struct slice value, struct slice *raw);

/* pattern_cond.c: one element of a value list. */
int cond_parse(struct compiling *c, struct slice value, struct cond *out) MUST_CHECK;

/* A leaf of a document, decoded once for all conditions. */
struct scalar {
	enum { SCALAR_STRING, SCALAR_NUMBER, SCALAR_LITERAL } kind;
	struct slice text;    /* plain bytes of a STRING; the token of the others */
	struct number number; /* NUMBER, and a STRING under N or NS that is one */
	bool has_number;
};
/* pattern_match.c */
bool cond_match(const struct cond *c, const struct scalar *v, locale_t utf8);

/* pattern_or.c: multiplies the tree out. */
int pattern_expand(struct compiling *c, struct node *root) MUST_CHECK;

/* pattern_text.c: plain UTF-8 */
/* Simple case folding, code point by code point; appended to out. */
void text_fold(struct slice plain, locale_t utf8, struct buf *out);
/* Does the text, folded, begin or end with (or equal) what is folded already? */
bool text_is_folded(struct slice plain, struct slice folded, locale_t utf8);
bool text_starts_folded(struct slice plain, struct slice folded, locale_t utf8);
bool text_ends_folded(struct slice plain, struct slice folded, locale_t utf8);
/* In a compiled wildcard a star is the byte 0xff, which no UTF-8 has. */
#define WILDCARD_STAR '\xff'
bool text_is_like(struct slice plain, struct slice wildcard);
/* An IPv4 (4 bytes) or IPv6 (16 bytes) address; 0: none. */
unsigned text_address(struct slice plain, unsigned char out[16]);

#endif
