/* filters/verify.h - could this JSON be an image that DynamoDB sent?
 *
 * For images that come from code of others. What passes here every format and
 * sink can work with as if it had come from the service: well-formed, typed, no
 * name twice, nested no deeper than the service allows, and with the key attributes of its
 * record, by value. Errors say where by byte and never quote contents.
 *
 * Threading: none. Nothing is allocated once it has grown to the largest image.
 */
#ifndef FILTERS_VERIFY_H
#define FILTERS_VERIFY_H

#include "base/buf.h"
#include "base/err.h"

struct verify {
	struct buf text;	   /* of what is on the stack */
	struct verify_text *stack; /* owned */
	size_t n, cap;
	size_t maximum;
};

/* maximum: of one image, in bytes. */
void verify_init(struct verify *v, size_t maximum);
void verify_close(struct verify *v);
/* ERR_PROTOCOL, ERR_LIMIT, ERR_NOMEM. keys: {"pk":{"S":"a"}}. */
int verify_image(struct verify *v, struct slice image, struct slice keys, struct err *e) MUST_CHECK;

#endif
