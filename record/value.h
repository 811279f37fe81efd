/* record/value.h - DynamoDB JSON read in place, without a tree.
 *
 * All functions take slices that page_parse() (or json_check()) has found
 * well-formed; on other bytes they stop early and never read past the slice.
 * Threading: pure.
 */
#ifndef RECORD_VALUE_H
#define RECORD_VALUE_H

#include "base/buf.h"
#include "base/slice.h"

/* Well-formed JSON value, and nothing after it? For bytes that did not come
 * through page_parse(). */
bool json_check(struct slice s);

/* Iterates the members of an object or the elements of an array: begin with
 * json_iter(value), then json_next() until false. name is between the quotes,
 * raw (SLICE_NONE in arrays); value is the whole value. */
struct json_iter {
	const char *p, *end;
	bool object;
};
struct json_iter json_iter(struct slice container);
bool json_next(struct json_iter *it, struct slice *name, struct slice *value);

/* Raw string contents (between the quotes) decoded: appended to out. Lone
 * surrogates become U+FFFD. */
void json_unescape(struct slice raw, struct buf *out);
/* Are two raw strings the same text? */
bool json_string_eq(struct slice raw_a, struct slice raw_b);
/* Does a raw string mean this plain text? */
bool json_string_is(struct slice raw, const char *text);

enum value_type {
	VALUE_INVALID, /* not {"TAG": ...} with a known tag */
	VALUE_S,
	VALUE_N,
	VALUE_B,
	VALUE_BOOL,
	VALUE_NULL,
	VALUE_M,
	VALUE_L,
	VALUE_SS,
	VALUE_NS,
	VALUE_BS,
};

/* {"S":"text"} -> VALUE_S and inner: for S, N, B the text between the quotes,
 * raw; for the others the JSON value. */
enum value_type value_of(struct slice value, struct slice *inner);
/* The member of an image (or any object) by plain name; SLICE_NONE if absent. */
struct slice value_member(struct slice object, const char *name);
/* Equal by meaning: maps without order, sets as sets, N by decimal value,
 * strings after unescaping. */
bool value_eq(struct slice a, struct slice b);

/* A DynamoDB number in canonical form: no exponent while the plain form has
 * at most 40 digits, no leading or trailing zeros, "-0" is "0"; otherwise
 * d.ddE+xx. Equal numbers give equal text. False if it is no number; the text is
 * then appended as it is. */
bool number_canonical(struct slice text, struct buf *out);

/* For each attribute path that differs between two images (either may be
 * absent), in byte order of the old image and then what is only in the new:
 * M is walked into; every other type, L and sets included, changes whole.
 * path: names joined by '.', a name that is empty or holds '.', '[' , ']', '"',
 * '\\' or a control character is written as a JSON string; valid during the call.
 * A value that is absent on one side is SLICE_NONE. Out of memory, a path that
 * had to be put together is SLICE_NONE, too. */
void changes_each(struct slice old_image, struct slice new_image,
    void (*fn)(void *arg, struct slice path, struct slice old_value, struct slice new_value),
    void *arg);

#endif
