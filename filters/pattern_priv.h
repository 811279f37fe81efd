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
 * A plain pattern names attributes (new.status) where another names what stands in the
 * record (dynamodb.NewImage.status.S). Its tree is the same; only the walk differs: a
 * spot is a place of the document and how its bytes are to be read.
 *
 * Everything is allocated from the pattern's pool and goes with it.
 */
#ifndef FILTERS_PATTERN_PRIV_H
#define FILTERS_PATTERN_PRIV_H

#include <locale.h>

#include "filters/pattern.h"
#include "record/number.h"
#include "record/value.h"

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
	/* From here on about a value as a whole, or both sides of the change, and not for
	 * cond_match(): leaf->whole. */
	COND_SIZE,
	COND_CHANGED,
	COND_CHANGED_FROM,
	COND_CROSSED,
	COND_NUMERIC_OLD, /* a bound is {"old": true} */
};

struct bound {
	struct number value;
	bool set, inclusive;
	bool old; /* NUMERIC_OLD: the value on the other side */
};

struct cond {
	enum cond_kind kind;
	struct slice text; /* STRING to WILDCARD: plain bytes; FOLDED: folded; LITERAL: the word */
	struct number number;
	struct bound low, high; /* NUMERIC, SIZE, CROSSED, NUMERIC_OLD; "=" is both */
	unsigned char net[16];
	unsigned net_bytes, net_bits; /* CIDR */
	struct cond *but;	      /* ANYTHING_BUT: none of these */
	size_t but_count;
	bool want;	   /* CHANGED: true or false */
	struct leaf *from; /* CHANGED_FROM: what the old value was */
};

/* What a path means in a record, by its names. */
enum image { IMAGE_NONE, IMAGE_KEYS, IMAGE_NEW, IMAGE_OLD };
struct place {
	enum image image;    /* NONE: no path of DynamoDB JSON below an image */
	enum value_type tag; /* the type that it ends with; INVALID: an attribute itself */
	bool in_list;	     /* it leads through elements of an L */
	struct slice *steps; /* names of attributes, from the image down */
	size_t count;
};

struct leaf {
	struct cond *conds;
	size_t count;
	struct slice path; /* as people write it, for explain */
	struct place place;
	bool decimal;	/* under N or NS of a record: strings are numbers, too */
	bool absent_ok; /* {"exists": false} is one of the conditions */
	bool whole;	/* a condition of COND_SIZE or behind it is among them */
	bool two_sided; /* one that looks at the old image, too */
};

/* Members of a record, and of its dynamodb, that struct record has. */
enum known {
	KNOWN_NOT,
	KNOWN_EVENT_NAME,
	KNOWN_EVENT_ID,
	KNOWN_IDENTITY,
	KNOWN_DYNAMODB,
	KNOWN_NEW,
	KNOWN_OLD,
	KNOWN_KEYS,
	KNOWN_VIEW,
};

struct field {
	struct slice name; /* plain bytes */
	struct node *node; /* may be NULL */
	struct leaf **leaves;
	size_t leaf_count;
	bool seek; /* seek_suits() */
	enum known known;
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
	bool plain;	      /* names attributes */
	bool whole;	      /* some leaf is: the document must be at hand to ask it */
	locale_t utf8;	      /* owned; for case folding */
	struct buf scratch;   /* decoded text of a string with escapes */
	struct buf scratch_2; /* of another one at the same time */
	struct buf remark;    /* see pattern_remark() */
};

void *pool_alloc(struct pool **pl, size_t size); /* zeroed */
struct slice pool_copy(struct pool **pl, struct slice s);
void pool_close(struct pool *pl);

/* pattern_compile.c */
struct compiling {
	struct pattern *p;
	struct buf path; /* of what is being read, as people write it */
	struct buf text; /* scratch */
	/* The same path name by name; $or is none. */
	struct slice names[PATTERN_DEPTH_MAX + 2];
	size_t name_count;
	struct place place; /* of the list that is being read */
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

/* One comparison list, ["<", 10] or [">", 0, "<=", 5], into low and high; for messages
 * it is called by its operator. old_ok: {"old": true} may stand for a number. */
int cond_parse_bounds(struct compiling *c, const char *op, struct slice value, bool old_ok,
    struct cond *out) MUST_CHECK;
/* The field of that name, added if it is not there. The node's own: no other has its fields. */
struct field *field_of(struct compiling *c, struct node *nd, struct slice name);
/* The list of a leaf or of changed-from; NULL: it is refused. */
struct leaf *pattern_leaf(struct compiling *c, struct slice list);

/* pattern_beyond.c: what Lambda has not. -1 with ERR_CONFIG. */
int cond_parse_size(struct compiling *c, struct slice value, struct cond *out) MUST_CHECK;
int cond_parse_changed(struct compiling *c, struct slice value, struct cond *out) MUST_CHECK;
int cond_parse_changed_from(struct compiling *c, struct slice value, struct cond *out) MUST_CHECK;
int cond_parse_crossed(struct compiling *c, struct slice value, struct cond *out) MUST_CHECK;
/* After a numeric with {"old": true} was read. */
int cond_check_old(struct compiling *c, const char *op) MUST_CHECK;

/* pattern_place.c */
/* Fills c->place from c->names; steps are in the pool. */
void place_find(struct compiling *c);
/* Plain: is the first name one that a change has, and not asked for as a value? */
int place_check_plain(struct compiling *c, bool list) MUST_CHECK;
/* Does a leaf ask what can never or must always be so? Adds to the pattern's remark. */
void place_remark(struct compiling *c, const struct leaf *lf);

/* A leaf of a document, decoded once for all conditions. */
struct scalar {
	enum { SCALAR_STRING, SCALAR_NUMBER, SCALAR_LITERAL } kind;
	struct slice text;    /* plain bytes of a STRING; the token of the others */
	struct number number; /* NUMBER, and a STRING under N or NS that is one */
	bool has_number;
};

/* A place in a document: json.p is NULL where nothing is. */
enum form {
	FORM_JSON,    /* means what it says */
	FORM_IMAGE,   /* {"a": {"S": "x"}}: image or M */
	FORM_ITEMS,   /* [{"S": "x"}]: L */
	FORM_BINARY,  /* "AQI=": B */
	FORM_NUMBER,  /* "5": N */
	FORM_NUMBERS, /* ["5"]: NS */
	FORM_NULL,    /* true: NULL */
};
struct spot {
	struct slice json;
	enum form form;
};

/* pattern_view.c: DynamoDB JSON in place, seen as the plain values that it holds. */
/* {"S": "x"} -> "x". Nothing, if it is no attribute value. */
struct spot spot_open(struct slice attribute, enum value_type *type);
/* How elements and members of it are to be read: by itself for JSON. */
struct spot spot_inside(struct spot outer, struct slice value);
void spot_scalar(struct spot s, bool decimal, struct buf *scratch, struct scalar *out);
bool spot_size(struct spot s, struct buf *scratch, size_t *out);

/* pattern_match.c */
/* Does a raw name of the document mean the field's? either: in userIdentity, where the
 * first letter may be of either case. */
bool pattern_name_is(struct slice raw, const struct field *f, bool either);
/* SLICE_NONE: the object has no such member. */
struct slice pattern_member(struct slice object, const struct field *f);
bool cond_match(const struct cond *c, const struct scalar *v, locale_t utf8);
bool number_within(const struct cond *c, const struct number *n);
enum found { FOUND_NOTHING, FOUND_OTHER, FOUND_MATCH };
/* Does any value at the spot satisfy one of the conditions that are not whole? */
enum found leaf_find(struct pattern *p, const struct leaf *lf, struct spot s);

/* What is being matched. */
struct subject {
	struct slice document;
	const struct record *record; /* instead of the document; NULL: not so */
};

/* pattern_sides.c: conditions about values as a whole and both sides of a change. */
struct slice side_attribute(const struct leaf *lf, const struct subject *su, enum image image);
bool leaf_whole(struct pattern *p, const struct leaf *lf, struct spot s, const struct subject *su);

/* pattern_record.c */
void field_init(struct field *f, struct slice name); /* all that follows from its name */
/* A member of a record, or of its dynamodb, as it stands now. */
enum event_part { EVENT_ITSELF, EVENT_DYNAMODB };
struct slice event_member(const struct record *r, enum event_part part, const struct field *f);
/* An image, or eventName and its kin, by their plain names. */
struct spot spot_of_change(const struct subject *su, struct slice plain_name);

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
