/* record/members.h - private to record/: an object's members to look things up
 * in, for comparing two maps.
 *
 * Two images of one item nearly always list their attributes in the same
 * order, so a look-up first tries the member behind the one found last. Small
 * maps fit on the stack; large ones are sorted by name when the guess first
 * fails, so that no order of attributes makes a comparison quadratic. Out of
 * memory, look-ups walk the object instead: slower, but right.
 */
#ifndef RECORD_MEMBERS_H
#define RECORD_MEMBERS_H

#include "base/slice.h"
#include "record/value.h"

#define MEMBERS_SMALL 24

struct member {
	struct slice name; /* raw */
	struct slice value;
};

struct members {
	struct slice object;	 /* borrowed */
	size_t n;		 /* members, with or without memory for them */
	size_t next;		 /* the guess */
	struct member *v;	 /* small, or owned, or NULL: out of memory */
	struct member **by_name; /* owned; NULL: not needed so far */
	struct member small[MEMBERS_SMALL];
};

/* json_iter(), but what is no object has no members. */
struct json_iter members_iter(struct slice object);
void members_open(struct members *m, struct slice object);
void members_close(struct members *m);
/* Of several members of one name the first. */
bool members_find(struct members *m, struct slice raw_name, struct slice *value);
/* Puts v itself in byte order of the names; false when it could not be held. */
bool members_sort(struct members *m);

#endif
