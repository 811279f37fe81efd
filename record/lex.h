/* record/lex.h - JSON read byte by byte in place; private to record/.
 *
 * A cursor over borrowed bytes that checks as it goes: UTF-8, escapes, number
 * grammar, nesting. Everything in this room that reads JSON reads it through
 * here, so the bounds are checked in one place.
 *
 * The first thing that is wrong sets `fault` and leaves p where it is; every
 * function then returns false. Threading: pure.
 */
#ifndef RECORD_LEX_H
#define RECORD_LEX_H

#include "base/compiler.h"
#include "base/slice.h"

struct lex {
	const char *p; /* the next byte */
	const char *end;
	const char *fault; /* NULL, or what is wrong at p; static text */
	bool too_deep;	   /* the fault is LIMIT_JSON_DEPTH */
	bool escaped;	   /* the string read last holds a backslash */
	/* lex_value(): a name was escaped, or one below the outermost object is no type tag
	 * ("S", "BOOL", any capital). Set, never reset. */
	bool odd_names;
};

static inline struct lex
lex_of(struct slice s)
{
	const char *p = s.p != NULL ? s.p : "";

	return (struct lex){.p = p, .end = p + s.n};
}

/* For `return lex_fail(...)`; the first fault stays. */
static inline bool
lex_fail(struct lex *l, const char *fault)
{
	if (l->fault == NULL)
		l->fault = fault;
	return false;
}

/* The next byte that is not white space, not taken; -1 at the end. */
static inline int
lex_peek(struct lex *l)
{
	while (l->p < l->end) {
		unsigned char c = (unsigned char)*l->p;

		if (LIKELY(c > ' '))
			return c;
		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return c;
		l->p++;
	}
	return -1;
}

/* Takes c if it is what comes next. */
static inline bool
lex_take(struct lex *l, char c)
{
	if (lex_peek(l) != (unsigned char)c)
		return false;
	l->p++;
	return true;
}

/* A string; raw is what is between its quotes, as it came. */
bool lex_string(struct lex *l, struct slice *raw);
bool lex_number(struct lex *l, struct slice *text);
/* Any value, whole. depth: how many containers are open around it. */
bool lex_value(struct lex *l, unsigned depth, struct slice *value);
/* Nothing but white space is left. */
bool lex_end(struct lex *l);

/* After an opening brace has been taken: the next member's name, with l at its
 * value; or false with the closing brace taken, or false with a fault. */
bool lex_member(struct lex *l, bool *first, struct slice *name);
/* The whole next member when it is "name":{"X":"text"} with no space and nothing
 * escaped, as nearly all attributes are: answers X. Otherwise '\0', with nothing
 * taken, and lex_member() goes on from there. */
char lex_attribute(struct lex *l, bool *first, struct slice *name, struct slice *text);
/* The whole next value when it is {"X":"text"} in that way: answers X. */
char lex_typed(struct lex *l, struct slice *text);
/* lex_member() for an array: at the next element, or false. */
bool lex_element(struct lex *l, bool *first);

#endif
