/* base/sigv4.h - AWS Signature Version 4 in request headers.
 *
 * Our own because libcurl 7.88's signs suppressed, repeated and empty headers
 * wrongly, cannot correct clock skew, and costs 55 us a call; this one keeps
 * the day key (four HMACs) and costs a tenth. SHA-256 and HMAC are libcrypto's.
 *
 * Threading: one signer, one thread. The signer copies the credentials it is
 * given and wipes them on close.
 */
#ifndef BASE_SIGV4_H
#define BASE_SIGV4_H

#include "base/buf.h"
#include "base/err.h"
#include "base/http.h"
#include "base/secret.h"

struct sigv4_keys {
	struct secret access_key_id;
	struct secret secret_access_key;
	struct secret session_token; /* unset: none */
};

struct sigv4_request {
	const char *method;
	struct slice path;		   /* absolute, as it will be sent, without query */
	struct slice query;		   /* as it will be sent, without '?'; what is not
			     * percent-encoded in it is encoded for the signature */
	const struct http_header *headers; /* all that are to be signed; "Host"
	                                    * must be among them */
	size_t header_count;
	struct slice body;
	const char *region;
	const char *service;
	int64_t when_us;	 /* corrected wall clock */
	bool normalize_path;	 /* resolve . and .. and double slashes (not S3) */
	bool double_encode_path; /* encode the path as it is sent once more: all
				 * services but S3. A '%' in it becomes %25 */
	bool sign_body;		 /* send and sign x-amz-content-sha256 */
	bool omit_session_token; /* send the token but leave it unsigned */
};

struct sigv4; /* caches the day key for (secret, date, region, service) */

struct sigv4_result {		 /* zeroed before its first use */
	char date[17];		 /* 20260822T120000Z */
	char content_sha256[65]; /* hex of the body's hash */
	char signature[65];
	struct buf authorization;
	struct buf canonical_request; /* for tests and error reports */
	struct buf string_to_sign;
};

struct sigv4 *sigv4_new(void);
void sigv4_close(struct sigv4 *s);
/* Fills r (owned by the caller, r may be reused; sigv4_result_close() at the
 * end). The caller then sends: X-Amz-Date, Authorization, X-Amz-Security-Token
 * if there is one, x-amz-content-sha256 if sign_body. These are added to the
 * signed headers here and must not be in rq->headers. */
int sigv4_sign(struct sigv4 *s, const struct sigv4_keys *keys, const struct sigv4_request *rq,
    struct sigv4_result *r, struct err *e) MUST_CHECK;
void sigv4_result_close(struct sigv4_result *r);

#endif
