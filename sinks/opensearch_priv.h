/* sinks/opensearch_priv.h - what the files of the OpenSearch sink share.
 *
 *   opensearch.c         submitting, requests under way, reports
 *   opensearch_conf.c    keys and their check (pure)
 *   opensearch_bulk.c    a record as lines of a _bulk body (pure)
 *   opensearch_answer.c  an answer as verdicts (pure)
 *   opensearch_auth.c    addresses, headers and signatures
 *   opensearch_probe.c   `slipring check --connect`
 *
 * Threading: loop thread.
 */
#ifndef SINKS_OPENSEARCH_PRIV_H
#define SINKS_OPENSEARCH_PRIV_H

#include "base/creds.h"
#include "base/http.h"
#include "sinks/sink.h"

enum os_mode { OS_OVERWRITE, OS_GUARDED };
enum os_documents { OS_PLAIN, OS_ENVELOPE };
enum os_id { OS_ID_KEY, OS_ID_STREAM_KEY };
enum os_auth_kind { OS_AUTH_NONE, OS_AUTH_BASIC, OS_AUTH_SIGV4 };
enum os_service { OS_ES, OS_AOSS };

struct os_conf {
	struct conf_list urls;
	char *index;
	int mode, documents, id;
	int64_t bulk_bytes, workers, timeout_us;
	bool gzip;
	int auth; /* enum os_auth_kind */
	char *user;
	struct secret password;
	int service;
	char *region, *profile;
	char *ca_file, *cert_file, *key_file;
	struct secret key_passphrase;
};

/* ---- opensearch_conf.c ---- */

extern const struct conf_key os_keys[];
extern const char *const os_mode_words[];
int os_check(const void *conf, struct err *e) MUST_CHECK;

/* ---- opensearch_bulk.c ---- */

/* Lucene's limit on an _id, in bytes. */
#define OS_ID_MAX 512u
#define OS_INDEX_MAX 255u

struct os_target { /* where a stream's documents go */
	struct os_target *next;
	char *stream, *table; /* owned */
	char *index;	      /* owned */
	bool routed;	      /* a filter chose it, not the configuration */
	bool seen;	      /* the cluster has had it since we started */
};

struct os_bulk {
	const struct os_conf *conf; /* borrowed */
	struct os_target *targets;  /* owned */
	struct buf key, id, doc;    /* owned; scratch */
};

void os_bulk_init(struct os_bulk *b, const struct os_conf *conf);
void os_bulk_close(struct os_bulk *b);
/* The index of an origin's records; route: of one that is sent elsewhere, or absent. NULL:
 * ERR_CONFIG, its name is not allowed or another stream's documents go there and the ids would
 * not tell them apart; ERR_REFUSED: the route is none. */
struct os_target *
os_target_of(struct os_bulk *b, const struct origin *o, struct slice route, struct err *e);
/* ERR_CONFIG if no index may be called so. */
int os_index_check(struct slice name, struct err *e) MUST_CHECK;
/* Appends the _id of a record. */
void
os_id_write(struct os_bulk *b, const struct record *r, const struct origin *o, struct buf *out);
/* Appends a record's lines to a bulk body. Anything but ACK: nothing was appended, and e
 * says why (REJECT: this record never will; HALT: none of its like will; RETRY: memory). */
enum sink_verdict os_bulk_add(struct os_bulk *b, const struct record *r, const struct origin *o,
    const struct os_target *t, int64_t now_us, struct buf *out, struct err *e);

/* Fractions that a double would change, as JSON strings: what a script is given goes
 * through doubles. From offset `from` of out to its end. */
void os_quote_fractions(struct buf *out, size_t from, struct buf *scratch);
extern const char os_script[];

/* ---- opensearch_answer.c ---- */

struct os_item { /* what the cluster says of one document */
	int status;
	struct slice type, reason; /* between the quotes, raw; SLICE_NONE: no error */
	struct slice cause;	   /* the innermost reason, if it is another */
};

/* Does the answer hold as many items as were sent? ERR_PROTOCOL. Then fn of each, in order. */
int os_answer_each(struct slice body, size_t count,
    void (*fn)(void *arg, size_t i, const struct os_item *it), void *arg, struct err *e) MUST_CHECK;
/* removal: it was to delete. seen: the index has been there. why is filled unless ACK. */
enum sink_verdict os_item_verdict(const struct os_item *it, bool removal, const struct os_target *t,
    const char *name, struct err *why);
/* An answer that is none about items: status is not 200. */
enum sink_verdict
os_whole_verdict(int status, struct slice body, const char *name, struct err *why);
/* A reason without what it may quote of a document. */
void os_reason_write(struct slice raw, struct buf *out);

/* ---- opensearch_auth.c ---- */

struct os_url {
	char *url;  /* owned; scheme://host:port/path, for messages and to build on */
	char *host; /* owned; as in the Host header */
	char *path; /* owned; without the slash at the end */
};

#define OS_HEADERS_MAX 8u

struct os_link {		    /* how to talk to the cluster */
	const struct os_conf *conf; /* borrowed */
	struct loop *loop;	    /* borrowed */
	struct http *http;	    /* owned */
	struct creds *creds;	    /* owned; SigV4 only */
	struct sigv4 *signer;	    /* owned */
	struct sigv4_result signature;
	struct os_url *urls;   /* owned */
	size_t url_count, url; /* url: the one in use */
	struct secret basic;   /* the whole Authorization header */
	int64_t skew_us;       /* the service's clock minus ours, once it mattered */
	unsigned refused;      /* 401 and 403 in a row */
	uint64_t failovers;
};

struct os_ask {
	const char *method;
	const char *path;  /* behind the url's own */
	const char *query; /* NULL: none; percent-encoded */
	const char *type;  /* Content-Type; NULL: no body */
	struct slice body; /* kept by the caller until the answer */
	bool gzipped;
	size_t max_answer;
};

int os_link_open(
    struct os_link *l, struct loop *lp, const struct os_conf *conf, struct err *e) MUST_CHECK;
void os_link_close(struct os_link *l);
int os_url_check(const char *url, struct err *e) MUST_CHECK;
/* keys: NULL unless SigV4. As http_send(). */
struct http_call *os_link_send(struct os_link *l, const struct os_ask *ask,
    const struct sigv4_keys *keys, void (*fn)(void *, struct http_response *, const struct err *),
    void *arg, struct err *e) MUST_CHECK;
/* A request to urls[url] got no answer: the next one from now on. */
void os_link_failed(struct os_link *l, size_t url);
/* What a refusal (401, 403) means here: with SigV4, keys and clock are looked at again
 * first, and only a second refusal is one. True: try again. */
bool os_link_refused(struct os_link *l, const struct http_response *r);

/* ---- opensearch_probe.c ---- */

int os_probe(const void *conf, const struct sink_probe *p, struct err *e) MUST_CHECK;

#endif
