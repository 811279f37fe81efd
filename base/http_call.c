/* base/http_call.c - a request in libcurl's words, and libcurl's failures in ours.
 *
 * Everything that decides how we behave on the wire is in the set_*()
 * functions: no redirects, no proxy, no decoding of bodies, no headers of
 * libcurl's own making, TLS always verified. What comes in is bounded by
 * on_header() and on_body(), which touch the call's buffers and nothing else.
 */
#include "base/http_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/compiler.h"
#include "base/limits.h"

enum {
	RECEIVE_BUFFER = 64 * 1024, /* libcurl's default is 16 KiB; pages are up to MBs */
	KEEPALIVE_SECONDS = 60,
};

static const int64_t default_connect_us = 10 * USEC_SEC;
static const int64_t default_total_us = 60 * USEC_SEC;

/* ---- libcurl's callbacks with bytes ---- */

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *c = magic_check(arg, CALL_MAGIC);

	n *= size;
	/* A new status line: what came before was an interim answer. */
	if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_reset(&c->headers);
	buf_add(&c->headers, p, n);
	c->headers_too_long = c->headers.failed;
	return c->headers.failed ? 0 : n;
}

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct http_call *c = magic_check(arg, CALL_MAGIC);
	struct buf *b = &c->r.body;

	n *= size;
	if (n > b->max - b->n)
		c->too_long = true;
	else
		buf_add(b, p, n);
	c->no_memory = b->failed;
	return c->too_long || c->no_memory ? n + 1 : n; /* anything but n stops it */
}

static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
	(void)arg;
	(void)purpose;
	return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* ---- what is asked ---- */

static bool
is_token(const char *s)
{
	if (*s == '\0')
		return false;
	for (; *s != '\0'; s++)
		if (*s <= ' ' || *s >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *s) != NULL)
			return false;
	return true;
}

/* Host and scheme for messages; never the path or query. */
static int
check_url(struct http_call *c, const char *url, struct err *e)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL, *port = NULL;
	CURLUcode r = u == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(u, CURLUPART_URL, url, 0);
	int ret = 0;

	if (r == CURLUE_OK)
		r = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
	if (r == CURLUE_OK)
		r = curl_url_get(u, CURLUPART_HOST, &host, 0);
	if (r == CURLUE_OK)
		r = curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
	if (r != CURLUE_OK)
		ret = err_set(e, ERR_CONFIG, "http: bad URL: %s", curl_url_strerror(r));
	else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
		ret = err_set(e, ERR_CONFIG,
		    "http: bad URL: the scheme must be http or https, not %s", scheme);
	else
		(void)snprintf(c->peer, sizeof c->peer, "%s://%s:%s", scheme, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return ret;
}

static bool
add_line(struct http_call *c, const char *line)
{
	struct curl_slist *list = curl_slist_append(c->list, line);

	if (list == NULL)
		return false;
	c->list = list;
	return true;
}

static bool
add_header(struct http_call *c, const struct http_header *hd)
{
	struct buf line = BUF_INIT(LIMIT_HTTP_HEADERS);
	bool ok;

	/* libcurl: "Name;" is how an empty header is sent. */
	if (hd->value[0] == '\0')
		buf_addf(&line, "%s;", hd->name);
	else
		buf_addf(&line, "%s: %s", hd->name, hd->value);
	ok = add_line(c, buf_cstr(&line)) && !line.failed;
	buf_close(&line);
	return ok;
}

static bool
has_header(const struct http_request *rq, const char *name)
{
	for (size_t i = 0; i < rq->header_count; i++)
		if (strcasecmp(rq->headers[i].name, name) == 0)
			return true;
	return false;
}

static int
add_headers(struct http_call *c, const struct http_request *rq, struct err *e)
{
	/* What libcurl would otherwise add of its own. */
	static const char *const unwanted[] = {"Expect", "Accept", "Content-Type"};
	char line[32];
	bool ok = true;

	for (size_t i = 0; i < rq->header_count; i++) {
		if (!is_token(rq->headers[i].name) || strpbrk(rq->headers[i].value, "\r\n") != NULL)
			return err_set(
			    e, ERR_CONFIG, "http: header %zu of the request is malformed", i + 1);
		ok = ok && add_header(c, &rq->headers[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(unwanted); i++) {
		(void)snprintf(line, sizeof line, "%s:", unwanted[i]);
		ok = ok && (has_header(rq, unwanted[i]) || add_line(c, line));
	}
	return ok ? 0 : err_retry(e, ERR_NOMEM, "http: out of memory for the request headers");
}

static int
copy_body(struct http_call *c, struct slice body, struct err *e)
{
	c->body = malloc(body.n + 1);
	if (c->body == NULL)
		return err_retry(
		    e, ERR_NOMEM, "http: out of memory for a request of %zu bytes", body.n);
	if (body.n != 0)
		memcpy(c->body, body.p, body.n);
	c->send = c->body;
	return 0;
}

static long
milliseconds(int64_t us)
{
	int64_t ms = (us + USEC_MS - 1) / USEC_MS;

	return ms > 0x7fffffff ? 0x7fffffff : (long)ms;
}

/* Every option here is known to the libcurl that was linked; what can fail is
 * the copying of strings, and is collected in `bad`. */
#define SET(option, value) (bad |= curl_easy_setopt(easy, option, value) != CURLE_OK)

static bool
set_client_certificate(CURL *easy, const struct http_request *rq)
{
	bool bad = false;

	if (rq->cert_file == NULL)
		return true;
	SET(CURLOPT_SSLCERT, rq->cert_file);
	SET(CURLOPT_SSLKEY, rq->key_file != NULL ? rq->key_file : rq->cert_file);
	/* Never NULL: OpenSSL would ask for one at the terminal. */
	SET(CURLOPT_KEYPASSWD, rq->key_passphrase != NULL ? rq->key_passphrase : "");
	return !bad;
}

static bool
set_tls(CURL *easy, const char *ca_file, bool drop_capath)
{
	bool bad = false;

	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* ca_file replaces the system's authorities. Without the directory of
	 * single certificates libcurl keeps the parsed bundle between
	 * connections; with it, every connection parses everything again. */
	if (ca_file != NULL)
		SET(CURLOPT_CAINFO, ca_file);
	if (ca_file != NULL || drop_capath)
		SET(CURLOPT_CAPATH, NULL);
	return !bad;
}

static bool
set_method(CURL *easy, const struct http_call *c, size_t body_n)
{
	bool post = strcmp(c->method, "POST") == 0;
	bool bad = false;

	if (post || body_n != 0 || strcmp(c->method, "PUT") == 0) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_n);
		SET(CURLOPT_POSTFIELDS, c->send);
	} else if (strcmp(c->method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	}
	if (!post && strcmp(c->method, "HEAD") != 0)
		SET(CURLOPT_CUSTOMREQUEST, c->method);
	return !bad;
}

static bool
set_manners(CURL *easy, const struct http_call *c)
{
	bool bad = false;

	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_HTTP_CONTENT_DECODING, 0L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_SECONDS);
	SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_SECONDS / 2);
	SET(CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
	SET(CURLOPT_USERAGENT, "slipring/" SLIPRING_VERSION);
	SET(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(c->connect_us));
	SET(CURLOPT_TIMEOUT_MS, milliseconds(c->total_us));
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)c->max_body);
	return !bad;
}

static bool
set_callbacks(CURL *easy, struct http_call *c)
{
	bool bad = false;

	SET(CURLOPT_PRIVATE, (char *)c);
	SET(CURLOPT_ERRORBUFFER, c->why);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, c);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, c);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	return !bad;
}

bool
http_call_describe(struct http_call *c, CURL *easy, const struct http_request *rq, bool drop_capath)
{
	return set_manners(easy, c) && set_callbacks(easy, c) &&
	    set_tls(easy, rq->ca_file, drop_capath) && set_client_certificate(easy, rq) &&
	    set_method(easy, c, rq->body.n) &&
	    curl_easy_setopt(easy, CURLOPT_URL, rq->url) == CURLE_OK &&
	    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->list) == CURLE_OK;
}

int
http_call_init(struct http_call *c, const struct http_request *rq, struct err *e)
{
	c->magic = CALL_MAGIC;
	c->max_body = rq->max_body;
	c->r.body = BUF_INIT(rq->max_body);
	c->headers = BUF_INIT(LIMIT_HTTP_HEADERS);
	c->connect_us = rq->connect_timeout_us > 0 ? rq->connect_timeout_us : default_connect_us;
	c->total_us = rq->total_timeout_us > 0 ? rq->total_timeout_us : default_total_us;
	if (!is_token(rq->method) || strlen(rq->method) >= sizeof c->method)
		return err_set(e, ERR_CONFIG, "http: bad method");
	memcpy(c->method, rq->method, strlen(rq->method));
	if (check_url(c, rq->url, e) == -1 || add_headers(c, rq, e) == -1)
		return -1;
	c->send = rq->body.p;
	return rq->body_kept ? 0 : copy_body(c, rq->body, e);
}

/* ---- what went wrong ---- */

static void
explain_connect(struct http_call *c)
{
	long os_errno = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &os_errno);
	if (os_errno == ECONNREFUSED)
		(void)err_retry(&c->e, ERR_NETWORK,
		    "http: %s refused the connection: is the service running there, on that port?",
		    c->peer);
	else if (os_errno != 0)
		(void)err_retry(&c->e, ERR_NETWORK, "http: cannot connect to %s: %s", c->peer,
		    strerror((int)os_errno));
	else
		(void)err_retry(
		    &c->e, ERR_NETWORK, "http: cannot connect to %s: %s", c->peer, c->why);
}

static void
explain_timeout(struct http_call *c)
{
	curl_off_t ready = 0;

	(void)curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &ready);
	if (ready == 0)
		(void)err_retry(&c->e, ERR_NETWORK, "http: no connection to %s within %lld ms",
		    c->peer, (long long)(c->connect_us / USEC_MS));
	else
		(void)err_retry(&c->e, ERR_NETWORK, "http: no complete answer of %s within %lld ms",
		    c->peer, (long long)(c->total_us / USEC_MS));
}

static void
explain_write(struct http_call *c)
{
	if (c->no_memory)
		(void)err_retry(
		    &c->e, ERR_NOMEM, "http: out of memory for the answer of %s", c->peer);
	else if (c->headers_too_long)
		(void)err_set(&c->e, ERR_LIMIT, "http: the headers of %s exceed %u bytes", c->peer,
		    LIMIT_HTTP_HEADERS);
	else
		(void)err_set(&c->e, ERR_LIMIT, "http: the answer of %s exceeds %zu bytes", c->peer,
		    c->max_body);
}

/* The one mapping from libcurl's codes to ours. */
void
http_call_explain(struct http_call *c, CURLcode code)
{
	const char *why = c->why[0] != '\0' ? c->why : curl_easy_strerror(code);

	switch ((int)code) {
	case CURLE_COULDNT_CONNECT:
		explain_connect(c);
		break;
	case CURLE_OPERATION_TIMEDOUT:
		explain_timeout(c);
		break;
	case CURLE_WRITE_ERROR:
	case CURLE_FILESIZE_EXCEEDED:
		explain_write(c);
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
		(void)err_retry(
		    &c->e, ERR_NETWORK, "http: cannot find the address of %s: %s", c->peer, why);
		break;
	case CURLE_PEER_FAILED_VERIFICATION:
		(void)err_set(&c->e, ERR_NETWORK,
		    "http: the TLS certificate of %s is not trusted: %s; a private authority is "
		    "named "
		    "with ca-file",
		    c->peer, why);
		break;
	case CURLE_SSL_CACERT_BADFILE:
		(void)err_set(
		    &c->e, ERR_CONFIG, "http: the ca-file for %s cannot be used: %s", c->peer, why);
		break;
	case CURLE_SSL_CERTPROBLEM:
		(void)err_set(&c->e, ERR_CONFIG,
		    "http: the client certificate for %s cannot be used: %s", c->peer, why);
		break;
	case CURLE_SSL_CONNECT_ERROR:
		(void)err_retry(
		    &c->e, ERR_NETWORK, "http: no TLS connection to %s: %s", c->peer, why);
		break;
	case CURLE_PARTIAL_FILE:
		(void)err_retry(
		    &c->e, ERR_PROTOCOL, "http: the answer of %s was cut: %s", c->peer, why);
		break;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
		(void)err_retry(
		    &c->e, ERR_PROTOCOL, "http: the answer of %s is no HTTP/1.1: %s", c->peer, why);
		break;
	case CURLE_GOT_NOTHING:
		(void)err_retry(&c->e, ERR_NETWORK,
		    "http: %s closed the connection without an answer", c->peer);
		break;
	case CURLE_OUT_OF_MEMORY:
		(void)err_retry(&c->e, ERR_NOMEM, "http: out of memory talking to %s", c->peer);
		break;
	default:
		(void)err_retry(
		    &c->e, ERR_NETWORK, "http: %s %s failed: %s", c->method, c->peer, why);
	}
}
