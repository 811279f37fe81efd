/* base/http_util.c - the parts of base/http.h that need no network: headers
 * of an answer, HTTP dates, gzip.
 *
 * Everything here reads bytes a peer chose. Threading: pure.
 */
#include "base/http.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ZLIB_CONST
#include <zlib.h>

#include "base/compiler.h"

static struct slice
trim(struct slice s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = (struct slice){s.p + 1, s.n - 1};
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\r'))
		s.n--;
	return s;
}

struct slice
http_header_get(const struct http_response *r, const char *name)
{
	const char *p = r->headers.p;
	const char *end = p + r->headers.n;
	size_t name_n = strlen(name);

	while (p != NULL && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl != NULL ? nl : end) - p);

		if (n > name_n && p[name_n] == ':' && strncasecmp(p, name, name_n) == 0)
			return trim((struct slice){p + name_n + 1, n - name_n - 1});
		p += n + 1;
	}
	return SLICE_NONE;
}

static int
month_of(const char *name)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (int i = 0; i < 12; i++)
		if (memcmp(months + 3 * i, name, 3) == 0)
			return i;
	return -1;
}

/* "Sat, 21 Nov 2026 07:29:37 GMT": the one form HTTP lets servers send. */
int64_t
http_date_parse(struct slice date)
{
	char text[30], month[4];
	struct tm tm = {0};
	int used = 0;
	time_t t;

	if (date.n != sizeof text - 1)
		return -1;
	memcpy(text, date.p, date.n);
	text[date.n] = '\0';
	if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
		&tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &used) != 6 ||
	    used != (int)date.n || strlen(month) != 3)
		return -1;
	tm.tm_mon = month_of(month);
	if (tm.tm_mon < 0 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_year < 1970 ||
	    tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
	    tm.tm_sec > 60)
		return -1;
	tm.tm_year -= 1900;
	t = timegm(&tm);
	return (int64_t)t * USEC_SEC;
}

/* One step of inflating into the free end of out; false: no room is left and
 * there is more to come. */
static bool
inflate_some(z_stream *z, struct buf *out, int *ret, struct err *e)
{
	unsigned char spill; /* tells a stream that ends at the maximum from a longer one */
	size_t room;

	if (out->n == out->cap && out->n < out->max) {
		size_t more = out->n < 4096 ? 4096 : out->n;

		if (!buf_reserve(out, more < out->max - out->n ? more : out->max - out->n)) {
			(void)err_retry(e, ERR_NOMEM, "http: out of memory for a gzip answer");
			return false;
		}
	}
	room = out->cap < out->max ? out->cap - out->n : out->max - out->n;
	z->next_out = room != 0 ? (unsigned char *)out->p + out->n : &spill;
	z->avail_out = room == 0 ? 1 : room < UINT_MAX ? (unsigned)room : UINT_MAX;
	*ret = inflate(z, Z_NO_FLUSH);
	if (room == 0 && z->avail_out == 0) {
		(void)err_set(
		    e, ERR_LIMIT, "http: a gzip answer inflates to more than %zu bytes", out->max);
		return false;
	}
	if (room != 0)
		out->n = (size_t)((char *)z->next_out - out->p);
	return true;
}

static int
inflate_all(z_stream *z, struct slice in, struct buf *out, struct err *e)
{
	size_t given = 0;
	int ret;

	for (;;) {
		if (z->avail_in == 0) {
			size_t left = in.n - given;

			z->next_in = (z_const unsigned char *)in.p + given;
			z->avail_in = left < UINT_MAX ? (unsigned)left : UINT_MAX;
			given += z->avail_in;
		}
		if (!inflate_some(z, out, &ret, e))
			return -1;
		if (ret == Z_STREAM_END) {
			if (z->avail_in == 0 && given == in.n)
				return 0;
			if (inflateReset(z) != Z_OK) /* the next member */
				return err_set(e, ERR_PROTOCOL, "http: gzip stream cannot be read");
		} else if (ret == Z_BUF_ERROR && z->avail_in == 0 && given == in.n) {
			return err_retry(e, ERR_PROTOCOL, "http: the gzip answer was cut");
		} else if (ret != Z_OK && ret != Z_BUF_ERROR) {
			return err_retry(e, ERR_PROTOCOL, "http: the gzip answer is broken: %s",
			    z->msg != NULL ? z->msg : "bad data");
		}
	}
}

int
http_inflate(struct slice in, struct buf *out, struct err *e)
{
	z_stream z = {0};
	int r;

	if (in.n == 0)
		return err_retry(e, ERR_PROTOCOL, "http: the gzip answer is empty");
	if (inflateInit2(&z, 15 + 16) != Z_OK) /* 32 KiB window, gzip wrapping only */
		return err_retry(e, ERR_NOMEM, "http: out of memory for a gzip answer");
	r = inflate_all(&z, in, out, e);
	(void)inflateEnd(&z);
	return r;
}

int
http_deflate(struct slice in, struct buf *out, struct err *e)
{
	z_stream z = {.next_in = (z_const unsigned char *)in.p, .avail_in = (unsigned)in.n};
	size_t start = out->n, bound;
	int r;

	/* Level 1: JSON still shrinks to a fifth, at three times the speed of the default. */
	if (in.n > UINT_MAX ||
	    deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return err_retry(e, ERR_NOMEM, "http: out of memory for a gzip request");
	bound = deflateBound(&z, (uLong)in.n);
	if (!buf_reserve(out, bound)) {
		(void)deflateEnd(&z);
		return err_retry(
		    e, ERR_NOMEM, "http: no room for a gzip request of %zu bytes", bound);
	}
	z.next_out = (unsigned char *)out->p + start;
	z.avail_out = (unsigned)bound;
	r = deflate(&z, Z_FINISH); /* one step: the bound is what it can need at most */
	out->n = start + bound - z.avail_out;
	(void)deflateEnd(&z);
	assert(r == Z_STREAM_END);
	return 0;
}

static bool
is_url_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("@?#\"<>\\^`{|}", c) == NULL;
}

int
http_url_parse(const char *url, struct http_url *out, struct err *e)
{
	bool https = strncasecmp(url, "https://", 8) == 0;
	const char *host = url + (https ? 8 : 7);
	const char *usual = https ? ":443" : ":80";
	size_t n, k = strlen(usual), path_n;

	if (!https && strncasecmp(url, "http://", 7) != 0)
		return err_set(e, ERR_CONFIG, "url must begin with http:// or https://");
	for (const char *p = host; *p != '\0'; p++)
		if (!is_url_char(*p))
			return err_set(e, ERR_CONFIG,
			    "url may have a host, a port and a path, and nothing more");
	n = strcspn(host, "/");
	path_n = strlen(host + n);
	while (path_n > 0 && host[n + path_n - 1] == '/')
		path_n--;
	*out = (struct http_url){.https = https, .path = {host + n, path_n}};
	if (n > k && strncmp(host + n - k, usual, k) == 0)
		n -= k;
	if (n == 0 || *host == ':')
		return err_set(e, ERR_CONFIG, "url names no host");
	out->host = (struct slice){host, n};
	return 0;
}
