/* tests/emulator/verify.c - see verify.h. */
#include "tests/emulator/verify.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

#include "base/buf.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SKEW_S 300

enum { SHA_BYTES = 32, CANONICAL_MOST = 256 << 10 };

struct authorization {
	struct slice access_key, date, region, service, terminator; /* of the credential */
	struct slice scope; /* date/region/service/aws4_request */
	struct slice signed_headers, signature;
};

static bool refuse(struct refusal *why, const char *code, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool
refuse(struct refusal *why, const char *code, const char *fmt, ...)
{
	va_list ap;

	why->code = code;
	va_start(ap, fmt);
	(void)vsnprintf(why->text, sizeof why->text, fmt, ap);
	va_end(ap);
	return false;
}

static struct slice
trim(struct slice s)
{
	while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n != 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* What comes before the separator; *rest goes on behind it, and is
 * SLICE_NONE when there was no separator. */
static struct slice
cut(struct slice *rest, char separator)
{
	struct slice s = *rest;
	const char *at = s.n != 0 ? memchr(s.p, separator, s.n) : NULL;

	if (at == NULL) {
		*rest = SLICE_NONE;
		return s;
	}
	*rest = (struct slice){at + 1, s.n - (size_t)(at + 1 - s.p)};
	return (struct slice){s.p, (size_t)(at - s.p)};
}

static bool
read_credential(struct slice c, struct authorization *au)
{
	au->access_key = cut(&c, '/');
	au->scope = c;
	au->date = cut(&c, '/');
	au->region = cut(&c, '/');
	au->service = cut(&c, '/');
	au->terminator = c;
	return slice_is(au->terminator, "aws4_request");
}

static bool
read_authorization(struct slice h, struct authorization *au, struct refusal *why)
{
	struct slice credential = SLICE_NONE;

	*au = (struct authorization){0};
	if (!slice_is(cut(&h, ' '), ALGORITHM))
		return refuse(why, "IncompleteSignatureException",
		    "Unsupported AWS 'algorithm' in the Authorization header.");
	while (h.p != NULL) {
		struct slice value = trim(cut(&h, ','));
		struct slice name = cut(&value, '=');

		if (slice_is(name, "Credential"))
			credential = value;
		else if (slice_is(name, "SignedHeaders"))
			au->signed_headers = value;
		else if (slice_is(name, "Signature"))
			au->signature = value;
	}
	if (credential.n == 0 || au->signed_headers.n == 0 || au->signature.n == 0)
		return refuse(why, "IncompleteSignatureException",
		    "Authorization header requires existence of '%s' parameter.",
		    credential.n == 0	       ? "Credential"
			: au->signature.n == 0 ? "Signature"
					       : "SignedHeaders");
	if (!read_credential(credential, au))
		return refuse(why, "IncompleteSignatureException",
		    "Credential must have exactly 5 slash-delimited elements.");
	return true;
}

static bool
is_signed(const struct authorization *au, struct slice name)
{
	struct slice rest = au->signed_headers;

	while (rest.p != NULL) {
		struct slice s = cut(&rest, ';');

		if (s.n == name.n && strncasecmp(s.p, name.p, s.n) == 0)
			return true;
	}
	return false;
}

/* Host, and whatever AWS would read, must be under the signature. */
static bool
check_signed_headers(
    const struct wire_request *rq, const struct authorization *au, struct refusal *why)
{
	struct slice rest = au->signed_headers, last = SLICE_NONE;

	while (rest.p != NULL) {
		struct slice s = cut(&rest, ';');

		if (last.p != NULL && slice_cmp(last, s) >= 0)
			return refuse(why, "InvalidSignatureException",
			    "SignedHeaders must be sorted and unique.");
		for (size_t i = 0; i < s.n; i++)
			if (isupper((unsigned char)s.p[i]))
				return refuse(why, "InvalidSignatureException",
				    "SignedHeaders must be in lower case.");
		last = s;
	}
	if (!is_signed(au, SLICE_LIT("host")))
		return refuse(why, "InvalidSignatureException",
		    "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
	for (size_t i = 0; i < rq->header_count; i++) {
		struct slice name = rq->headers[i].name;

		if (name.n > 6 && strncasecmp(name.p, "x-amz-", 6) == 0 && !is_signed(au, name))
			return refuse(why, "InvalidSignatureException",
			    "'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
			    (int)name.n, name.p);
	}
	return true;
}

static int64_t
stamp_seconds(struct slice s)
{
	char text[32];
	struct tm tm = {0};
	const char *end;

	if (s.n != 16)
		return -1;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	end = strptime(text, "%Y%m%dT%H%M%SZ", &tm);
	return end != NULL && *end == '\0' ? (int64_t)timegm(&tm) : -1;
}

static const char *
stamp_text(int64_t s, char out[32])
{
	time_t t = (time_t)s;
	struct tm tm;

	gmtime_r(&t, &tm);
	(void)strftime(out, 32, "%Y%m%dT%H%M%SZ", &tm);
	return out;
}

static bool
check_time(struct slice stamp, const struct authorization *au, int64_t now_s, struct refusal *why)
{
	int64_t at = stamp_seconds(stamp);
	char now[32], edge[32];

	if (at < 0)
		return refuse(why, "IncompleteSignatureException",
		    "Date must be in ISO-8601 'basic format'. Got '%.*s'.", (int)stamp.n, stamp.p);
	if (au->date.n != 8 || memcmp(au->date.p, stamp.p, 8) != 0)
		return refuse(why, "InvalidSignatureException",
		    "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of "
		    "date "
		    "from HTTP: '%.*s' != '%.8s', from '%.*s'.",
		    (int)au->date.n, au->date.p, stamp.p, (int)stamp.n, stamp.p);
	if (at < now_s - SKEW_S)
		return refuse(why, "InvalidSignatureException",
		    "Signature expired: %.*s is now earlier than %s (%s - 5 min.)", (int)stamp.n,
		    stamp.p, stamp_text(now_s - SKEW_S, edge), stamp_text(now_s, now));
	if (at > now_s + SKEW_S)
		return refuse(why, "InvalidSignatureException",
		    "Signature not yet current: %.*s is still later than %s (%s + 5 min.)",
		    (int)stamp.n, stamp.p, stamp_text(now_s + SKEW_S, edge),
		    stamp_text(now_s, now));
	return true;
}

static bool
check_credential(const struct verify_conf *vc, const struct wire_request *rq,
    const struct authorization *au, struct refusal *why)
{
	struct slice token = wire_header(rq, "x-amz-security-token");

	if (!slice_is(au->access_key, vc->access_key) || (token.p != NULL) != (vc->token != NULL) ||
	    (vc->token != NULL && !slice_is(token, vc->token)))
		return refuse(why, "UnrecognizedClientException",
		    "The security token included in the request is invalid.");
	if (vc->expired)
		return refuse(why, "ExpiredTokenException",
		    "The security token included in the request is expired");
	if (!slice_is(au->region, vc->region))
		return refuse(why, "InvalidSignatureException",
		    "Credential should be scoped to a valid region, not '%.*s'. ",
		    (int)au->region.n, au->region.p);
	if (!slice_is(au->service, "dynamodb"))
		return refuse(why, "InvalidSignatureException",
		    "Credential should be scoped to correct service: 'dynamodb'. ");
	return true;
}

static void
add_hash(struct buf *out, struct slice bytes)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	EVP_Digest(bytes.p != NULL ? bytes.p : "", bytes.n, md, &n, EVP_sha256(), NULL);
	for (unsigned i = 0; i < n; i++)
		buf_addf(out, "%02x", md[i]);
}

/* Inner runs of blanks become one; repeated headers are joined by commas. */
static void
add_header(struct buf *out, const struct wire_request *rq, struct slice name)
{
	bool first = true;

	buf_add_slice(out, name);
	buf_add_char(out, ':');
	for (size_t i = 0; i < rq->header_count; i++) {
		struct slice v = trim(rq->headers[i].value);

		if (rq->headers[i].name.n != name.n ||
		    strncasecmp(rq->headers[i].name.p, name.p, name.n) != 0)
			continue;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		for (size_t k = 0; k < v.n; k++)
			if (v.p[k] != ' ' || v.p[k - 1] != ' ')
				buf_add_char(out, v.p[k]);
	}
	buf_add_char(out, '\n');
}

/* Every call of the service is POST / without a query (streams.md 1.2). */
static void
write_canonical(struct buf *out, const struct wire_request *rq, const struct authorization *au)
{
	struct slice rest = au->signed_headers;

	buf_add_str(out, "POST\n/\n\n");
	while (rest.p != NULL)
		add_header(out, rq, cut(&rest, ';'));
	buf_add_char(out, '\n');
	buf_add_slice(out, au->signed_headers);
	buf_add_char(out, '\n');
	add_hash(out, rq->body);
}

static void
mac(const void *key, size_t key_n, struct slice text, unsigned char out[SHA_BYTES])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)text.p, text.n, md, &n);
	memcpy(out, md, SHA_BYTES);
}

static void
signing_key(
    const struct verify_conf *vc, const struct authorization *au, unsigned char out[SHA_BYTES])
{
	char first[256];
	int n = snprintf(first, sizeof first, "AWS4%s", vc->secret);

	mac(first, (size_t)n, au->date, out);
	mac(out, SHA_BYTES, au->region, out);
	mac(out, SHA_BYTES, au->service, out);
	mac(out, SHA_BYTES, SLICE_LIT("aws4_request"), out);
}

static bool
signature_matches(const struct verify_conf *vc, const struct wire_request *rq,
    const struct authorization *au, struct slice stamp)
{
	struct buf canonical = BUF_INIT(CANONICAL_MOST), text = BUF_INIT(4096);
	unsigned char key[SHA_BYTES], sig[SHA_BYTES];
	char hex[2 * SHA_BYTES + 1];
	bool same;

	write_canonical(&canonical, rq, au);
	buf_add_str(&text, ALGORITHM "\n");
	buf_add_slice(&text, stamp);
	buf_add_char(&text, '\n');
	buf_add_slice(&text, au->scope);
	buf_add_char(&text, '\n');
	add_hash(&text, buf_slice(&canonical));
	signing_key(vc, au, key);
	mac(key, SHA_BYTES, buf_slice(&text), sig);
	for (size_t i = 0; i < SHA_BYTES; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sig[i]);
	same = !canonical.failed && !text.failed && au->signature.n == 2 * SHA_BYTES &&
	    CRYPTO_memcmp(au->signature.p, hex, 2 * SHA_BYTES) == 0;
	buf_close(&canonical);
	buf_close(&text);
	return same;
}

bool
verify_request(
    const struct verify_conf *vc, const struct wire_request *rq, int64_t now_s, struct refusal *why)
{
	struct slice header = wire_header(rq, "authorization");
	struct slice stamp = wire_header(rq, "x-amz-date");
	struct authorization au;

	if (header.p == NULL)
		return refuse(why, "MissingAuthenticationTokenException",
		    "Request is missing Authentication Token");
	if (!read_authorization(header, &au, why))
		return false;
	if (stamp.p == NULL)
		return refuse(why, "IncompleteSignatureException",
		    "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' "
		    "header.");
	if (!check_signed_headers(rq, &au, why) || !check_credential(vc, rq, &au, why) ||
	    !check_time(stamp, &au, now_s, why))
		return false;
	if (!signature_matches(vc, rq, &au, stamp))
		return refuse(why, "InvalidSignatureException",
		    "The request signature we calculated does not match the signature you "
		    "provided. "
		    "Check your AWS Secret Access Key and signing method. Consult the service "
		    "documentation for details.");
	return true;
}
