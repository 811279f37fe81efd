/* sinks/opensearch_auth.c - where the cluster is, and how a request proves who
 * we are.
 *
 * Of several addresses one is in use until a request to it gets no answer; then it is
 * the next one's turn. When to send again is the lane's to say.
 * SigV4: `es` is Amazon OpenSearch Service, `aoss` its serverless form, which
 * wants the hash of the body as a signed header too.
 */
#include "sinks/opensearch_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* A service looks at signatures with a tolerance of minutes; less than that is no reason. */
#define SKEW_MIN_US (60 * USEC_SEC)
/* The keys are read again after the first refusal; what is refused after that stays so. */
#define REFUSED_MAX 3u

int
os_url_check(const char *url, struct err *e)
{
	struct http_url u;

	if (http_url_parse(url, &u, e) != 0)
		return err_prefix(e, "opensearch: %.200s", strchr(url, '@') != NULL ? "url" : url);
	return 0;
}

static int
url_open(struct os_url *out, const char *url, struct err *e)
{
	struct http_url u;

	if (os_url_check(url, e) != 0 || http_url_parse(url, &u, e) != 0)
		return -1;
	out->host = mem_slicedup(u.host);
	out->path = mem_slicedup(u.path);
	out->url = mem_slicedup((struct slice){url, (size_t)(u.path.p + u.path.n - url)});
	return 0;
}

static void
make_basic(struct os_link *l)
{
	const struct os_conf *c = l->conf;
	struct buf pair = BUF_INIT(64u << 10), header = BUF_INIT(128u << 10);

	buf_addf(&pair, "%s:", c->user);
	buf_add(&pair, c->password.bytes, c->password.n);
	buf_add_str(&header, "Basic ");
	buf_add_base64(&header, pair.p, pair.n);
	secret_set(&l->basic, buf_slice(&header));
	explicit_bzero(pair.p, pair.n);
	explicit_bzero(header.p, header.n);
	buf_close(&pair);
	buf_close(&header);
}

static void
open_creds(struct os_link *l)
{
	l->creds = creds_new(l->loop, &(struct creds_conf){.profile = l->conf->profile});
	l->signer = sigv4_new();
}

int
os_link_open(struct os_link *l, struct loop *lp, const struct os_conf *conf, struct err *e)
{
	*l = (struct os_link){.conf = conf, .loop = lp};
	l->urls = mem_array(conf->urls.n, sizeof *l->urls);
	for (; l->url_count < conf->urls.n; l->url_count++)
		if (url_open(&l->urls[l->url_count], conf->urls.v[l->url_count], e) != 0)
			return -1;
	if (http_new(&l->http, lp, e) != 0)
		return -1;
	if (conf->auth == OS_AUTH_BASIC)
		make_basic(l);
	if (conf->auth == OS_AUTH_SIGV4)
		open_creds(l);
	return 0;
}

void
os_link_close(struct os_link *l)
{
	http_close(l->http);
	if (l->creds != NULL)
		creds_close(l->creds);
	if (l->signer != NULL)
		sigv4_close(l->signer);
	sigv4_result_close(&l->signature);
	for (size_t i = 0; i < l->url_count; i++) {
		free(l->urls[i].url);
		free(l->urls[i].host);
		free(l->urls[i].path);
	}
	free(l->urls);
	secret_clear(&l->basic);
	*l = (struct os_link){.conf = NULL};
}

/* v[0] is Host, which is signed here and sent by libcurl. Returns how many there are then. */
static int
sign(struct os_link *l, const struct os_ask *ask, const struct sigv4_keys *keys,
    struct http_header *v, size_t *n, struct err *e)
{
	const struct os_conf *c = l->conf;
	const char *region = c->region != NULL ? c->region : creds_region(l->creds);
	struct buf path = BUF_INIT(8192);
	struct sigv4_request rq = {.method = ask->method,
	    .headers = v,
	    .header_count = *n,
	    .body = ask->body,
	    .region = region,
	    .service = c->service == OS_AOSS ? "aoss" : "es",
	    .when_us = loop_wall(l->loop) + l->skew_us,
	    .normalize_path = true,
	    .double_encode_path = true,
	    .sign_body = c->service == OS_AOSS};
	int r;

	if (region == NULL)
		return err_set(e, ERR_CONFIG,
		    "opensearch: no region to sign for: set region, AWS_REGION, or the region of "
		    "the "
		    "profile");
	buf_addf(&path, "%s%s", l->urls[l->url].path, ask->path);
	rq.path = buf_slice(&path);
	rq.query = ask->query != NULL ? slice_of(ask->query) : SLICE_LIT("");
	r = sigv4_sign(l->signer, keys, &rq, &l->signature, e);
	buf_close(&path);
	if (r != 0)
		return -1;
	v[(*n)++] = (struct http_header){"X-Amz-Date", l->signature.date};
	v[(*n)++] = (struct http_header){"Authorization", buf_cstr(&l->signature.authorization)};
	if (rq.sign_body)
		v[(*n)++] =
		    (struct http_header){"x-amz-content-sha256", l->signature.content_sha256};
	if (keys->session_token.n != 0)
		v[(*n)++] = (struct http_header){"X-Amz-Security-Token", keys->session_token.bytes};
	return 0;
}

struct http_call *
os_link_send(struct os_link *l, const struct os_ask *ask, const struct sigv4_keys *keys,
    void (*fn)(void *, struct http_response *, const struct err *), void *arg, struct err *e)
{
	const struct os_conf *c = l->conf;
	struct http_header v[OS_HEADERS_MAX] = {{"Host", l->urls[l->url].host}};
	struct buf url = BUF_INIT(8192);
	struct http_call *call = NULL;
	size_t n = 1;

	if (ask->type != NULL)
		v[n++] = (struct http_header){"Content-Type", ask->type};
	if (ask->gzipped)
		v[n++] = (struct http_header){"Content-Encoding", "gzip"};
	if (keys != NULL && sign(l, ask, keys, v, &n, e) != 0)
		return NULL;
	if (l->basic.n != 0)
		v[n++] = (struct http_header){"Authorization", l->basic.bytes};
	buf_addf(&url, "%s%s%s%s", l->urls[l->url].url, ask->path, ask->query != NULL ? "?" : "",
	    ask->query != NULL ? ask->query : "");
	call = http_send(l->http,
	    &(struct http_request){.method = ask->method,
		.url = buf_cstr(&url),
		.headers = v + 1,
		.header_count = n - 1,
		.body = ask->body,
		.body_kept = true,
		.ca_file = c->ca_file,
		.cert_file = c->cert_file,
		.key_file = c->key_file,
		.key_passphrase = c->key_passphrase.bytes,
		.total_timeout_us = c->timeout_us,
		.max_body = ask->max_answer},
	    fn, arg, e);
	buf_close(&url);
	return call;
}

void
os_link_failed(struct os_link *l, size_t url)
{
	if (url != l->url || l->url_count == 1)
		return;
	l->url = (l->url + 1) % l->url_count;
	l->failovers++;
}

/* Our clock may be what is wrong with a signature: the service says what time it has. */
static bool
correct_clock(struct os_link *l, const struct http_response *r)
{
	int64_t theirs = http_date_parse(http_header_get(r, "Date"));
	int64_t off = theirs - (loop_wall(l->loop) + l->skew_us);

	if (theirs < 0 || (off < SKEW_MIN_US && off > -SKEW_MIN_US))
		return false;
	l->skew_us += off;
	return true;
}

bool
os_link_refused(struct os_link *l, const struct http_response *r)
{
	if (l->creds == NULL)
		return false;
	(void)correct_clock(l, r);
	creds_refresh(l->creds);
	if (++l->refused < REFUSED_MAX)
		return true;
	l->refused = 0;
	return false;
}
