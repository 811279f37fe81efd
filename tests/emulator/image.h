/* tests/emulator/image.h - made-up items with every attribute type.
 *
 * An image is a function of (seed, item number, versions of its attributes),
 * so an update re-draws a few attributes and leaves the others byte for byte
 * as they were. Texts hold what breaks encoders: escapes in several
 * spellings, U+0000, surrogate pairs, empty values, numbers at both ends of
 * the range, sets, 32 levels.
 */
#ifndef EMULATOR_IMAGE_H
#define EMULATOR_IMAGE_H

#include "tests/emulator/model.h"

enum { IMAGE_ATTRIBUTES = 12 };

struct image_maker {
	uint64_t seed;
	uint32_t pad; /* bytes of an extra text attribute; 0: none */
	bool no_nul;  /* a space instead: some targets' texts cannot have it */
};

/* {"pk":{"S":"o-12"}} in schema order; returns its size as DynamoDB counts. */
uint32_t image_key(const struct table *t, uint32_t id, struct buf *out);
/* The whole image with `revision` as attribute "v"; returns its size. */
uint32_t image_write(const struct image_maker *mk, const struct table *t, const struct item *it,
    uint32_t revision, struct buf *out);

#endif
