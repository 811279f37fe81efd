/* base/http_priv.h - one call of base/http.h; for http.c and http_call.c only.
 *
 * http.c moves calls through libcurl's multi handle and the loop; http_call.c
 * says what is asked (options of the easy handle) and what went wrong.
 */
#ifndef BASE_HTTP_PRIV_H
#define BASE_HTTP_PRIV_H

#include <curl/curl.h>

#include "base/http.h"

enum { CALL_MAGIC = 0x6863616c };

struct http_call {
	uint32_t magic;
	struct http *h;			/* borrowed */
	struct http_call *next, **prev; /* in h->active or h->done */
	CURL *easy;			/* owned while active; NULL once done */
	struct curl_slist *list;	/* owned: request headers */
	char *body;			/* owned: request body, unless it is kept by the caller */
	const char *send;		/* what is sent: body, or the caller's */
	char peer[300];			/* scheme://host:port, for messages */
	char method[16];
	char why[CURL_ERROR_SIZE];
	int64_t connect_us, total_us;
	size_t max_body;
	struct buf headers;
	struct http_response r;
	bool too_long, headers_too_long, no_memory;
	bool failed; /* e holds why */
	struct err e;
	void (*fn)(void *arg, struct http_response *r, const struct err *e);
	void *arg;
};

/* Copies and checks the request; on failure the call is half-built, for the
 * caller to free. */
int http_call_init(struct http_call *c, const struct http_request *rq, struct err *e) MUST_CHECK;
/* Sets every option of a fresh easy handle, libcurl's callbacks included.
 * False: memory is out. drop_capath: see set_tls(). */
bool http_call_describe(
    struct http_call *c, CURL *easy, const struct http_request *rq, bool drop_capath) MUST_CHECK;
/* libcurl's code, the handle and the marks of the callbacks -> c->e. */
void http_call_explain(struct http_call *c, CURLcode code);

#endif
