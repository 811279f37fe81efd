/* tests/emulator/answer.c - see answer.h. */
#include "tests/emulator/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/mem.h"

#define JSON_TYPE "application/x-amz-json-1.0"
#define MIB (1u << 20)

void
answer_init(struct answer *an)
{
	*an = (struct answer){.status = 200, .type = JSON_TYPE, .body = evbuffer_new()};
}

static void
clear(struct answer *an, int status, const char *type)
{
	evbuffer_drain(an->body, evbuffer_get_length(an->body));
	an->status = status;
	an->type = type;
	an->encoding = NULL;
	an->crc_known = false;
	an->error = NULL;
}

static int
add_bytes(const char *p, size_t n, void *arg)
{
	return evbuffer_add(arg, p, n);
}

void
answer_json(struct answer *an, json_t *j)
{
	clear(an, 200, JSON_TYPE);
	(void)json_dump_callback(j, add_bytes, an->body, JSON_COMPACT | JSON_REAL_PRECISION(13));
	json_decref(j);
}

/* Where the service takes its error types from: three families, and the text
 * member is spelled in two ways. */
static const char *
error_family(const char *code)
{
	static const char *const coral[] = {"UnrecognizedClientException",
	    "InvalidSignatureException", "MissingAuthenticationTokenException",
	    "IncompleteSignatureException", "ExpiredTokenException", "AccessDeniedException",
	    "UnknownOperationException", "SerializationException", "ThrottlingException"};

	if (strcmp(code, "ValidationException") == 0)
		return "com.amazon.coral.validate#";
	for (size_t i = 0; i < ARRAY_LEN(coral); i++)
		if (strcmp(code, coral[i]) == 0)
			return "com.amazon.coral.service#";
	return "com.amazonaws.dynamodb.v20120810#";
}

void
answer_error(struct answer *an, const char *code, const char *fmt, ...)
{
	char text[600], type[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	(void)snprintf(type, sizeof type, "%s%s", error_family(code), code);
	answer_json(an,
	    json_pack("{s:s, s:s}", "__type", type,
		strcmp(code, "AccessDeniedException") == 0 ? "Message" : "message", text));
	an->status = strcmp(code, "InternalServerError") == 0 ? 500 : 400;
	an->error = code;
}

void
answer_text(struct answer *an, int status, const char *type, const char *text)
{
	clear(an, status, type);
	evbuffer_add(an->body, text, strlen(text));
}

void
answer_gzip(struct answer *an)
{
	size_t n = evbuffer_get_length(an->body);
	z_stream z = {0};
	unsigned char *out;

	if (deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	z.avail_out = (uInt)deflateBound(&z, (uLong)n);
	out = mem_array(1, z.avail_out);
	z.next_in = evbuffer_pullup(an->body, -1);
	z.avail_in = (uInt)n;
	z.next_out = out;
	(void)deflate(&z, Z_FINISH);
	evbuffer_drain(an->body, n);
	evbuffer_add(an->body, out, z.total_out);
	deflateEnd(&z);
	free(out);
	an->encoding = "gzip";
	an->crc_known = false;
}

/* One MiB of spaces as deflate blocks that may be repeated: a full flush
 * leaves no reference to what came before. */
static size_t
flushed_mib(unsigned char *out, size_t cap, uint32_t *crc)
{
	unsigned char *spaces = mem_array(1, MIB);
	z_stream z = {0};
	size_t n;

	memset(spaces, ' ', MIB);
	if (deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort();
	z.next_in = spaces;
	z.avail_in = MIB;
	z.next_out = out;
	z.avail_out = (uInt)cap;
	(void)deflate(&z, Z_FULL_FLUSH);
	n = z.total_out;
	deflateEnd(&z);
	*crc = (uint32_t)crc32(0, spaces, MIB);
	free(spaces);
	return n;
}

void
answer_gzip_bomb(struct answer *an, size_t bytes)
{
	static const unsigned char head[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	static const unsigned char last[] = {3, 0};
	unsigned char block[8192], tail[8];
	uint32_t crc, all = 0;
	size_t n = flushed_mib(block, sizeof block, &crc);
	size_t mib = bytes / MIB != 0 ? bytes / MIB : 1;

	clear(an, 200, JSON_TYPE);
	evbuffer_add(an->body, head, sizeof head);
	for (size_t i = 0; i < mib; i++) {
		evbuffer_add(an->body, block, n);
		all = (uint32_t)crc32_combine(all, crc, MIB);
	}
	evbuffer_add(an->body, last, sizeof last);
	for (unsigned i = 0; i < 4; i++) {
		tail[i] = (unsigned char)(all >> (8 * i));
		tail[4 + i] = (unsigned char)((mib * MIB) >> (8 * i));
	}
	evbuffer_add(an->body, tail, sizeof tail);
	an->encoding = "gzip";
}

uint32_t
answer_crc(struct answer *an)
{
	struct evbuffer_iovec *v;
	uLong crc = 0;
	int n;

	if (an->crc_known)
		return an->crc;
	n = evbuffer_peek(an->body, -1, NULL, NULL, 0);
	v = mem_array((size_t)n, sizeof *v);
	n = evbuffer_peek(an->body, -1, NULL, v, n);
	for (int i = 0; i < n; i++)
		crc = crc32(crc, v[i].iov_base, (uInt)v[i].iov_len);
	free(v);
	an->crc = (uint32_t)crc;
	an->crc_known = true;
	return an->crc;
}

static const char *
reason(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 503:
		return "Service Unavailable";
	default:
		return "Internal Server Error";
	}
}

static void
add_head(struct answer *an, struct evbuffer *out, struct rng *r, int64_t date_s)
{
	static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	char id[53] = "", date[40];
	time_t t = (time_t)date_s;
	struct tm tm;

	for (size_t i = 0; i < sizeof id - 1; i++)
		id[i] = abc[rng_below(r, sizeof abc - 1)];
	gmtime_r(&t, &tm);
	(void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	evbuffer_add_printf(out,
	    "HTTP/1.1 %d %s\r\nServer: Server\r\nDate: %s\r\nContent-Type: %s\r\n"
	    "Connection: %s\r\nx-amzn-RequestId: %s\r\n",
	    an->status, reason(an->status), date, an->type, an->closing ? "close" : "keep-alive",
	    id);
	if (!an->no_crc)
		evbuffer_add_printf(out, "x-amz-crc32: %u\r\n", answer_crc(an));
	if (an->encoding != NULL)
		evbuffer_add_printf(out, "Content-Encoding: %s\r\n", an->encoding);
}

struct evbuffer *
answer_bytes(struct answer *an, struct rng *r, int64_t date_s, size_t chunk)
{
	struct evbuffer *out = evbuffer_new();
	size_t left = evbuffer_get_length(an->body);

	add_head(an, out, r, date_s);
	if (chunk == 0) {
		evbuffer_add_printf(out, "Content-Length: %zu\r\n\r\n", left);
		evbuffer_add_buffer(out, an->body);
		return out;
	}
	evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n\r\n");
	for (; left != 0; left -= chunk < left ? chunk : left) {
		size_t n = chunk < left ? chunk : left;

		evbuffer_add_printf(out, "%zx\r\n", n);
		evbuffer_remove_buffer(an->body, out, n);
		evbuffer_add(out, "\r\n", 2);
	}
	evbuffer_add(out, "0\r\n\r\n", 5);
	return out;
}

void
answer_close(struct answer *an)
{
	if (an->body != NULL)
		evbuffer_free(an->body);
	an->body = NULL;
}
