/* filters/lua_priv.h - what the files of the script filter share.
 *
 *   filter_script.c  configuration, the record, what came of it
 *   lua_sandbox.c    an interpreter with bounds: memory, instructions, time; safe errors
 *   lua_library.c    what a script may call
 *   lua_work.c       how much work one call of it may be
 *   lua_in.c         DynamoDB JSON to Lua values
 *   lua_out.c        and back
 *   lua_types.c      what Lua has no type for
 *   lua_number.c     numbers of 38 digits
 *
 *   S     string                       M          table marked as a map
 *   N     number object                L          table marked as a list
 *   B     bytes object                 SS NS BS   list of its elements, marked as that set
 *   BOOL  boolean                      NULL       slipring.null
 *
 * The marks (metatables) tell an empty list from an empty map, and a set from a list.
 *
 * Functions that take a lua_State raise Lua errors (longjmp) and are called only under
 * sandbox_run(). They hold nothing that would have to be freed.
 */
#ifndef FILTERS_LUA_PRIV_H
#define FILTERS_LUA_PRIV_H

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* ---- lua_sandbox.c ---- */

struct sandbox_conf {
	int64_t memory;	      /* bytes */
	int64_t instructions; /* a run */
	bool decimal;	      /* numbers compute */
};

/* An attribute value nests at most so deep (service limit). */
#define SCRIPT_DEPTH 32u
#define SCRIPT_PATH (SCRIPT_DEPTH + 4u)

struct script_step {	  /* of the path to the value at hand, for errors */
	const char *name; /* borrowed; NULL: an index */
	size_t n;	  /* length of the name, or the index from 1 */
};

struct sandbox {
	lua_State *L; /* owned */
	struct sandbox_conf conf;
	struct slice text; /* borrowed: the script */
	size_t used;	   /* bytes */
	int64_t left;	   /* instructions of this run */
	int64_t cpu_until; /* ns of this thread */
	bool spent;	   /* it is being stopped */
	bool starved;	   /* memory ran out: the state may be full of what nobody needs */
	struct script_step path[SCRIPT_PATH];
	size_t depth;
	struct buf scratch; /* text on its way, never across a call */
};

/* Loads and runs the text; it must define a function `change`. ERR_CONFIG. text and name
 * (for errors: "@FILE" or "=NAME") are borrowed. */
int sandbox_open(struct sandbox *s, const struct sandbox_conf *conf, struct slice text,
    const char *name, struct err *e) MUST_CHECK;
void sandbox_close(struct sandbox *s);
/* fn with arg as its light userdata; within the bounds. ERR_REFUSED: an error, with where it
 * came from and nothing of what the record holds. */
int sandbox_run(struct sandbox *s, lua_CFunction fn, void *arg, struct err *e) MUST_CHECK;
struct sandbox *sandbox_of(lua_State *L);
/* Work that the count of instructions does not see; raises when it is too much. */
void sandbox_charge(lua_State *L, size_t work);
/* Pushes the function `change`. */
void sandbox_push_change(lua_State *L);

void path_enter(lua_State *L, struct slice name); /* name.p == NULL: an index follows */
void path_index(lua_State *L, size_t index);
void path_leave(lua_State *L);
/* "PATH: text"; does not return. */
int path_error(lua_State *L, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- lua_library.c ---- */

void library_open(lua_State *L); /* sets the globals */

/* ---- lua_work.c ---- */

/* Replaces those functions of the table on the stack that could run long in C. */
void work_guard_string(lua_State *L);
void work_guard_table(lua_State *L);
void work_guard_utf8(lua_State *L);

/* ---- lua_number.c ---- */

#define NUMBER_DIGITS 38u /* significant ones (service limit) */

void number_library(lua_State *L, bool decimal); /* its metatable */
/* text is a number of DynamoDB's. */
void number_push(lua_State *L, struct slice text);
/* The text of a number object; SLICE_NONE if it is none. */
struct slice number_text(lua_State *L, int index);
/* slipring.number(text or integer) */
int number_new(lua_State *L);

/* ---- lua_types.c ---- */

#define MARK_MAP "slipring.map"
#define MARK_LIST "slipring.list"
#define MARK_SS "slipring.SS"
#define MARK_NS "slipring.NS"
#define MARK_BS "slipring.BS"

void types_library(lua_State *L); /* metatables; adds to the table on the stack */
/* The mark of the table on top, one of the above; "" when it has none. */
const char *mark_of(lua_State *L);
void bytes_push(lua_State *L, struct slice base64);
/* Base64 of a bytes object; SLICE_NONE if it is none. */
struct slice bytes_text(lua_State *L, int index);
void null_push(lua_State *L);
bool null_is(lua_State *L, int index);

/* ---- lua_in.c, lua_out.c ---- */

/* Of an image, or keys: a map of its attributes. */
void value_push_image(lua_State *L, struct slice image);
/* Appends what stands on the top of the stack as an image. */
void value_write_image(lua_State *L, struct buf *out);

#endif
