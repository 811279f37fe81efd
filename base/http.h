/* base/http.h - asynchronous HTTP/1.1 client on libcurl multi and our loop.
 *
 * One struct http per process holds the connections (kept alive, reused).
 * A request is described, sent, and answered once through its callback, from
 * the loop, never from inside http_send(). Bodies come back raw: nothing is
 * decoded behind our back, so that x-amz-crc32 can be checked on the bytes as
 * they came; http_inflate() is asked for by hand.
 *
 * Threading: loop thread. No proxies from the environment unless asked for,
 * no redirects, http and https only, TLS always verified.
 */
#ifndef BASE_HTTP_H
#define BASE_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/slice.h"

struct http;
struct http_call;

struct http_header {
	const char *name;
	const char *value;
};

struct http_request {
	const char *method; /* "GET", "POST" */
	const char *url;
	const struct http_header *headers; /* no Host or Content-Length: made from url and body */
	size_t header_count;
	struct slice body;	    /* copied, unless body_kept */
	bool body_kept;		    /* the caller keeps it as it is until the callback */
	const char *ca_file;	    /* trusted instead of the system's; NULL: the system's */
	const char *cert_file;	    /* PEM of a client certificate; NULL: none */
	const char *key_file;	    /* PEM of its key; NULL: in cert_file */
	const char *key_passphrase; /* of an encrypted key; NULL: none */
	int64_t connect_timeout_us; /* name, TCP and TLS; 0: 10 s */
	int64_t total_timeout_us;   /* 0: 60 s */
	size_t max_body;	    /* a longer answer is ERR_LIMIT */
};

struct http_response {
	int status;
	struct slice headers; /* raw lines, CRLF between */
	struct buf body;      /* the callback may take it: copy the struct, then
	                       * set body = BUF_INIT(0) */
};

int http_new(struct http **out, struct loop *lp, struct err *e) MUST_CHECK;
/* Cancels what is under way without callbacks; allowed inside one. */
void http_close(struct http *h);

/* fn gets either a response (any status) with e == NULL, or e with response
 * NULL: ERR_NETWORK (no answer), ERR_PROTOCOL (a cut one, or no HTTP), ERR_LIMIT,
 * ERR_NOMEM, ERR_CONFIG (unusable ca_file, cert_file or key_file); retriable is set where it
 * may help. Everything in the request is copied before this returns, but for a body that is
 * kept. Returns NULL and fills e only if the request cannot be made at all (bad URL). */
struct http_call *http_send(struct http *h, const struct http_request *rq,
    void (*fn)(void *arg, struct http_response *r, const struct err *e), void *arg,
    struct err *e) MUST_CHECK;
/* No callback will follow. Allowed until the callback has begun. */
void http_cancel(struct http_call *c);

/* First header of that name (case-insensitive), trimmed; SLICE_NONE if none. */
struct slice http_header_get(const struct http_response *r, const char *name);
/* "Sat, 21 Nov 2026 07:29:37 GMT" -> microseconds since 1970; -1 if unreadable. */
int64_t http_date_parse(struct slice date);
/* gzip (one or more members) -> out, at most out->max bytes: ERR_LIMIT beyond,
 * ERR_PROTOCOL on a broken or cut stream. */
int http_inflate(struct slice in, struct buf *out, struct err *e) MUST_CHECK;
/* Appends one gzip member, made fast rather than small. -1: out of memory, or out's maximum. */
int http_deflate(struct slice in, struct buf *out, struct err *e) MUST_CHECK;

/* scheme://host[:port][/path] and nothing else: no user, query or fragment. */
struct http_url {
	bool https;
	struct slice host; /* as in the Host header: without a port that is the usual one */
	struct slice path; /* without the slash at its end; may be empty */
};
/* Slices of url. ERR_CONFIG says what it lacks. */
int http_url_parse(const char *url, struct http_url *out, struct err *e) MUST_CHECK;

#endif
