/* tests/emulator/verify.h - is this request signed as Signature Version 4 says?
 *
 * A second opinion: written against the specification and the service's
 * refusals (streams.md 1.2, 1.9), sharing no line with the program's signer.
 */
#ifndef EMULATOR_VERIFY_H
#define EMULATOR_VERIFY_H

#include "base/slice.h"
#include "tests/emulator/wire.h"

struct verify_conf {
	char *access_key, *secret, *token; /* owned; token NULL: long-lived keys */
	const char *region;		   /* borrowed */
	bool expired;			   /* the session token has had its time */
};

struct refusal {
	const char *code; /* ExpiredTokenException, ... */
	char text[512];
};

/* now_s: the service's idea of the time. False with *why filled. */
bool verify_request(const struct verify_conf *vc, const struct wire_request *rq, int64_t now_s,
    struct refusal *why);

#endif
