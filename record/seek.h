/* record/seek.h - an attribute of an image by searching for its name.
 *
 * Walking an image steps over every attribute before the one that is wanted; this looks
 * for the bytes `"name"` and a colon, many at a time. In a well-formed image those
 * are a member of that name, at some depth. page_parse() says of a record whether it can be
 * no other than an attribute (its `seek`): nothing in keys and images is nested but what
 * has type tags for names, and no name has escapes.
 *
 * Threading: pure.
 */
#ifndef RECORD_SEEK_H
#define RECORD_SEEK_H

#include "record/record.h"

/* Can it be searched for? Not a name that needs escapes, could be a type tag, or
 * looks like what stands between two strings. */
bool seek_suits(struct slice name);
/* May this image, or the keys, be searched? Not when a filter has replaced it. */
bool seek_may(const struct record *r, struct slice image);
struct attribute {
	struct slice value; /* SLICE_NONE: there is none */
	char type;	    /* X of {"X":"text"}; '\0': in another way */
	struct slice text;  /* with its quotes; nothing in it is escaped */
};

struct attribute seek_attribute(struct slice image, struct slice name);

#endif
