/* streams/api_answer.c - what comes back to a call, and what becomes of it.
 *
 * An answer counts only after x-amz-crc32 (where it was sent; over the bytes on
 * the wire), gzip and the decoder of the call agree; a 200 that is anything
 * else is API_MALFORMED and asked for again by those who retry. So is an error
 * answer that fails its checksum: an error can end a shard.
 *
 * A refusal that may come from the clock corrects our offset from the Date
 * header; any other that concerns credentials has them read again. Each is
 * tried once a call. The texts are for the operator: call, host, status,
 * AWS's name and message, request id, and what to look at.
 */
#include "streams/api_http_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <zlib.h>

#include "base/log.h"

/* The Date header counts seconds, and answers travel: below this a clock is
 * right. The service accepts five minutes. */
#define SKEW_NOTICED_US (10 * USEC_SEC)

/* The end of every call. The api may be gone when deliver() returns. */
static void
finish(struct api_call *c, const struct api_result *rs)
{
	struct api *a = c->a;

	if (rs->code != API_OK)
		a->stats.errors++;
	if (rs->code == API_THROTTLED)
		a->stats.throttles++;
	a->stats.ops[c->op->op].ended[rs->code]++;
	api_call_unlink(c);
	api_start_waiting(a);
	c->op->deliver(c, rs);
	api_call_free(c);
}

/* ---- what went wrong ---- */

static const struct {
	enum err_code code;
	bool retriable;
} kinds[] = {
    [API_OK] = {ERR_NONE, false},
    [API_EXPIRED_ITERATOR] = {ERR_REFUSED, false},
    [API_TRIMMED] = {ERR_REFUSED, false},
    [API_NOT_FOUND] = {ERR_NOT_FOUND, false},
    [API_LIMIT_EXCEEDED] = {ERR_REFUSED, true},
    [API_THROTTLED] = {ERR_REFUSED, true},
    [API_VALIDATION] = {ERR_REFUSED, false},
    [API_AUTH] = {ERR_AUTH, false},
    [API_SERVER] = {ERR_REFUSED, true},
    [API_TRANSPORT] = {ERR_NETWORK, true},
    [API_MALFORMED] = {ERR_PROTOCOL, true},
    [API_OTHER] = {ERR_REFUSED, true},
};

/* A failure below the service's own words; e is prefixed with the call. */
void
api_call_fail(struct api_call *c, enum api_code code, const struct err *e, const char *request_id)
{
	struct api_result rs = {.code = code, .err = *e};

	(void)snprintf(rs.request_id, sizeof rs.request_id, "%s", request_id);
	/* Whatever broke the answer, another one may be whole. An untrusted
	 * certificate, to the contrary, stays what the transport says it is. */
	if (code == API_MALFORMED)
		rs.err.retriable = true;
	(void)err_prefix(&rs.err, "api: %s", api_op_name(c->op->op));
	finish(c, &rs);
}

/* What the operator should look at. */
static void
add_hint(const struct api_call *c, struct api_result *rs)
{
	char *text = rs->err.text;
	size_t n = strlen(text), left = sizeof rs->err.text - n;

	if (rs->code == API_NOT_FOUND)
		(void)snprintf(text + n, left, "; asked in region %.40s: is that the right one?",
		    c->a->region);
	else if (rs->code == API_AUTH)
		(void)snprintf(text + n, left, "; credentials: %.60s, region %.40s",
		    creds_describe(c->a->creds), c->a->region);
}

static void
fail_refused(struct api_call *c, enum api_code code, int status, const char *name,
    const char *message, const char *request_id)
{
	struct api_result rs = {.code = code};

	(void)snprintf(rs.request_id, sizeof rs.request_id, "%s", request_id);
	(void)snprintf(rs.name, sizeof rs.name, "%s", name);
	rs.err.code = kinds[code].code;
	rs.err.retriable = kinds[code].retriable;
	(void)snprintf(rs.err.text, sizeof rs.err.text,
	    "api: %s at %.90s: HTTP %d %s%s%.160s%s%.60s", api_op_name(c->op->op),
	    api_call_service(c)->host, status, name[0] != '\0' ? name : "(no AWS error)",
	    message[0] != '\0' ? ": " : "", message, request_id[0] != '\0' ? ", request " : "",
	    request_id);
	add_hint(c, &rs);
	finish(c, &rs);
}

/* ---- the answer ---- */

/* Printable, and short enough; it goes to the log. */
static void
take_request_id(const struct http_response *r, char out[80])
{
	struct slice s = http_header_get(r, "x-amzn-RequestId");
	size_t n = 0;

	for (; n < s.n && n < 79 && s.p[n] > ' ' && s.p[n] < 0x7f; n++)
		out[n] = s.p[n];
	out[n] = '\0';
}

static int
check_crc(const struct http_response *r, struct err *e)
{
	struct slice s = http_header_get(r, "x-amz-crc32");
	uint64_t want = 0;
	uLong have;

	if (s.p == NULL)
		return 0;
	for (size_t i = 0; i < s.n && want <= UINT32_MAX; i++)
		want = s.p[i] >= '0' && s.p[i] <= '9' ? want * 10 + (uint64_t)(s.p[i] - '0')
						      : UINT64_C(1) << 40;
	have = crc32_z(crc32_z(0, NULL, 0), (const Bytef *)r->body.p, r->body.n);
	if (s.n == 0 || have != want)
		return err_retry(e, ERR_PROTOCOL,
		    "the checksum of the answer (%zu bytes) is wrong: damaged on the way",
		    r->body.n);
	return 0;
}

/* The body as JSON bytes, in r->body. */
static int
open_body(struct http_response *r, size_t max, struct err *e)
{
	struct slice coding = http_header_get(r, "Content-Encoding");
	struct buf plain = BUF_INIT(max);

	if (check_crc(r, e) == -1)
		return -1;
	if (coding.n == 0 || (coding.n == 8 && strncasecmp(coding.p, "identity", 8) == 0))
		return 0;
	if (coding.n != 4 || strncasecmp(coding.p, "gzip", 4) != 0)
		return err_retry(
		    e, ERR_PROTOCOL, "the answer has an encoding that was not asked for");
	if (http_inflate(buf_slice(&r->body), &plain, e) == -1) {
		buf_close(&plain);
		return -1;
	}
	buf_close(&r->body);
	r->body = plain;
	return 0;
}

static void
send_again(struct api_call *c)
{
	c->a->stats.retransmits++;
	api_call_ask(c);
}

static enum api_code
code_of_transport(const struct err *e)
{
	return e->code == ERR_PROTOCOL || e->code == ERR_LIMIT ? API_MALFORMED : API_TRANSPORT;
}

static bool
may_be_the_clock(const char *name)
{
	return strncmp(name, "InvalidSignature", 16) == 0 ||
	    strncmp(name, "SignatureDoesNotMatch", 21) == 0 ||
	    strncmp(name, "RequestTimeTooSkewed", 20) == 0 ||
	    strncmp(name, "RequestExpired", 14) == 0;
}

static bool
differs(int64_t a, int64_t b)
{
	return a - b >= SKEW_NOTICED_US || b - a >= SKEW_NOTICED_US;
}

/* The service's clock minus ours, by an answer's Date; false if it has none. */
static bool
read_skew(const struct api *a, const struct http_response *r, int64_t *skew)
{
	int64_t date = http_date_parse(http_header_get(r, "Date"));

	*skew = date - loop_wall(a->lp);
	return date != -1;
}

/* Takes the service's clock for ours. True: the call was signed with another
 * time than it would be now (another call may have corrected it meanwhile). */
static bool
correct_clock(struct api_call *c, const struct http_response *r)
{
	struct api *a = c->a;
	int64_t skew;

	if (read_skew(a, r, &skew) && differs(skew, a->stats.clock_skew_us)) {
		a->stats.clock_skew_us = skew;
		if (!a->skew_told)
			log_warn("api", "",
			    "the clock of this machine is %lld s %s that of %s: requests are "
			    "signed with "
			    "its time; please set the clock",
			    (long long)((skew < 0 ? -skew : skew) / USEC_SEC),
			    skew < 0 ? "ahead of" : "behind", api_call_service(c)->host);
		a->skew_told = true;
	}
	return differs(a->stats.clock_skew_us, c->signed_skew_us);
}

static void
on_refusal(struct api_call *c, struct http_response *r, const char *request_id)
{
	char name[80], message[256];
	enum api_code code = api_error_code(
	    r->status, buf_slice(&r->body), http_header_get(r, "x-amzn-ErrorType"), name, message);

	if (code == API_AUTH && !c->resigned && may_be_the_clock(name) && correct_clock(c, r)) {
		c->resigned = true;
		send_again(c);
	} else if (code == API_AUTH && !c->refreshed) {
		c->refreshed = true;
		creds_refresh(c->a->creds);
		send_again(c);
	} else {
		fail_refused(c, code, r->status, name, message, request_id);
	}
}

/* What the service's clock says, whether or not it refused ours. */
static void
note_date(struct api *a, const struct http_response *r)
{
	int64_t skew;

	if (read_skew(a, r, &skew))
		a->seen_skew_us = skew;
}

static void
on_good_status(struct api_call *c, struct http_response *r, const char *request_id)
{
	struct api_result rs = {.code = API_OK};
	struct err e;

	switch (c->op->decode(c, &r->body, &e)) {
	case 0:
		(void)snprintf(rs.request_id, sizeof rs.request_id, "%s", request_id);
		finish(c, &rs);
		break;
	case 1:
		api_call_ask(c);
		break;
	default:
		(void)err_prefix(
		    &e, "%.90s answered HTTP 200 with something else", api_call_service(c)->host);
		e.code = ERR_PROTOCOL;
		api_call_fail(c, API_MALFORMED, &e, request_id);
	}
}

void
api_call_answer(void *arg, struct http_response *r, const struct err *e)
{
	struct api_call *c = magic_check(arg, API_CALL_MAGIC);
	char request_id[80];
	struct err why;

	c->http = NULL;
	histogram_add(&c->a->stats.ops[c->op->op].latency, loop_now(c->a->lp) - c->sent_us);
	if (e != NULL) {
		api_call_fail(c, code_of_transport(e), e, "");
		return;
	}
	c->a->stats.bytes_in += r->body.n;
	take_request_id(r, request_id);
	if (open_body(r, c->op->max_body, &why) == -1) {
		(void)err_prefix(&why, "HTTP %d from %.90s", r->status, api_call_service(c)->host);
		api_call_fail(c, API_MALFORMED, &why, request_id);
	} else if (r->status == 200) {
		note_date(c->a, r);
		on_good_status(c, r, request_id);
	} else {
		on_refusal(c, r, request_id);
	}
}
