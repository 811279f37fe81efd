/* tests/emulator/answer.h - an answer while it is made, before faults spoil it.
 *
 * body is wire bytes once answer_gzip() has run; x-amz-crc32 is always over
 * wire bytes. An operation that knows the checksum beforehand (GetRecords)
 * says so, which is what makes large pages cheap.
 */
#ifndef EMULATOR_ANSWER_H
#define EMULATOR_ANSWER_H

#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "base/random.h"

struct answer {
	int status;
	const char *type;      /* Content-Type */
	const char *encoding;  /* Content-Encoding, or NULL */
	struct evbuffer *body; /* owned */
	uint32_t crc;
	bool crc_known;
	bool no_crc;	   /* leave the header out */
	bool closing;	   /* the client wants no other answer on this connection */
	const char *error; /* the AWS code, or NULL; for counting */
};

void answer_init(struct answer *an);
void answer_json(struct answer *an, json_t *j); /* takes the reference */
/* code with a static lifetime. Status 400, or 500 for InternalServerError. */
void answer_error(struct answer *an, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);
void answer_text(struct answer *an, int status, const char *type, const char *text);
void answer_gzip(struct answer *an);
/* A small gzip body that inflates to that many bytes (whole MiB) of spaces. */
void answer_gzip_bomb(struct answer *an, size_t bytes);
uint32_t answer_crc(struct answer *an);
/* Head and body as one; chunk 0: Content-Length. Empties an->body. */
struct evbuffer *answer_bytes(struct answer *an, struct rng *r, int64_t date_s, size_t chunk);
void answer_close(struct answer *an);

#endif
