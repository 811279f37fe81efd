/* streams/api_http_priv.h - a call on its way; for api_http.c, api_answer.c and
 * api_calls.c.
 *
 * api_http.c takes any call through its turn, credentials, signature and HTTP;
 * api_answer.c checks what comes back, sends again where that may help, and
 * ends the call; api_calls.c knows what each of the five asks and how its
 * answer is read and handed over.
 */
#ifndef STREAMS_API_HTTP_PRIV_H
#define STREAMS_API_HTTP_PRIV_H

#include "base/compiler.h"
#include "streams/api_http.h"

enum { API_CALL_MAGIC = 0x61706963 };

struct service {    /* one of the two hosts */
	char *url;  /* owned */
	char *host; /* owned: the Host header, as libcurl makes it from url */
	char *path; /* owned */
};

struct api {
	struct loop *lp;     /* borrowed */
	struct http *http;   /* borrowed */
	struct creds *creds; /* borrowed */
	char *region;	     /* owned; for messages */
	const char *signing_region;
	bool own_endpoint;
	char *ca_file; /* owned or NULL */
	int64_t connect_us, total_us;
	unsigned concurrency;
	bool gzip;
	struct service streams, table;
	struct sigv4 *signer;	       /* owned */
	struct sigv4_result signature; /* owned; reused */
	struct sigv4_keys no_keys;     /* owned; see on_keys() */
	struct api_stats stats;
	bool skew_told;
	int64_t seen_skew_us;		  /* by the Date of the last good answer */
	struct api_call *waiting, **last; /* owned */
	struct api_call *active;	  /* owned */
	unsigned active_n;
};

struct api_op_def {
	enum api_op op;
	const char *target; /* X-Amz-Target */
	bool table_api;	    /* DescribeTable lives at another host */
	bool gzip;	    /* worth compressing */
	size_t max_body;
	/* Reads a good answer; may take the buffer. 0: done; 1: c->body was
	 * rewritten to ask for more; -1: not an answer, e says why. */
	int (*decode)(struct api_call *c, struct buf *body, struct err *e);
	/* Calls the owner. The call has left the api, which may be closed there. */
	void (*deliver)(struct api_call *c, const struct api_result *rs);
	void (*clear)(struct api_call *c); /* frees what decode() left */
};

struct api_call {
	uint32_t magic;
	struct api *a; /* borrowed */
	const struct api_op_def *op;
	struct api_call *next, **prev; /* waiting for its turn, or active */
	bool active;
	struct creds_call *creds; /* at most one of these two is under way */
	struct http_call *http;
	struct buf body; /* the request */
	int64_t sent_us; /* monotonic: the request under way */

	int64_t signed_skew_us;	  /* of the last signature */
	bool resigned, refreshed; /* each at most once */

	union {
		void (*table)(void *arg, const struct api_result *rs, const struct api_table *t);
		void (*refs)(void *arg, const struct api_result *rs, const struct api_stream_ref *v,
		    size_t n);
		void (*stream)(void *arg, const struct api_result *rs, const struct api_stream *s);
		void (*iterator)(void *arg, const struct api_result *rs, const char *iterator);
		void (*records)(void *arg, const struct api_result *rs, struct page *page);
	} fn;
	void *arg;

	union { /* owned; NULL until decoded */
		struct api_table *table;
		struct api_stream *stream;
		char *iterator;
		struct page *page;
		struct api_stream_ref *refs;
	} answer;
	size_t refs_n, pages; /* ListStreams */
	char *text;	      /* owned; ListStreams: the table and the last cursor */
	char cursor[LIMIT_STREAM_ARN + 1];
};

/* The request body is c->body; fn and arg are set by the caller, who then
 * starts it: it waits for its turn. */
struct api_call *api_call_new(struct api *a, const struct api_op_def *op, void *arg);
void api_call_start(struct api_call *c);

/* For api_answer.c. ask: credentials, signature, sending, from the start. */
void api_call_ask(struct api_call *c);
void api_call_unlink(struct api_call *c);
void api_call_free(struct api_call *c);
void api_start_waiting(struct api *a);
const struct service *api_call_service(const struct api_call *c);

/* For api_http.c: what came back (as http_send() has it), or what went wrong
 * before anything could be sent. Either may end the call. */
void api_call_answer(void *arg, struct http_response *r, const struct err *e);
void
api_call_fail(struct api_call *c, enum api_code code, const struct err *e, const char *request_id);

#endif
