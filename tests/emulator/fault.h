/* tests/emulator/fault.h - what shall go wrong, how often, and for which call.
 */
#ifndef EMULATOR_FAULT_H
#define EMULATOR_FAULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/random.h"

enum fault_kind {
	FAULT_NONE,
	FAULT_THROTTLE,
	FAULT_LIMIT_EXCEEDED,
	FAULT_SERVER_ERROR,
	FAULT_UNAVAILABLE,
	FAULT_EXPIRED_ITERATOR,
	FAULT_ACCESS_DENIED,
	FAULT_ERROR_200,
	FAULT_HTML_200,
	FAULT_EMPTY_200,
	FAULT_GZIP_BOMB,
	FAULT_DUPLICATE_PAGE,
	FAULT_GZIP_CUT,
	FAULT_WRONG_CRC,
	FAULT_RESET_BEFORE,
	FAULT_RESET_AFTER,
	FAULT_TRUNCATE,
	FAULT_DELAY,
	FAULT_HANG,
	FAULT_SLOW,
};
extern const char *const fault_words[]; /* NULL-terminated, in the order of the enum */

struct fault {
	enum fault_kind kind;
	char target[32]; /* operation; "": any of the service's, never control calls */
	bool counted;
	uint64_t left;	    /* counted: how many times yet */
	double probability; /* 0..1 */
	uint64_t bytes, ms;
	uint64_t met;
};

struct faults {
	struct fault *v; /* owned */
	size_t n;
};

/* {"kind":..,"count":..,"target":..,"probability":..,"bytes":..,"ms":..};
 * kind "none" takes all faults away. */
int faults_add(struct faults *fs, const json_t *spec, struct err *e) MUST_CHECK;
/* The first one that applies to this call, counted down; FAULT_NONE if none. */
struct fault faults_pick(struct faults *fs, const char *target, struct rng *r);
void faults_close(struct faults *fs);

#endif
