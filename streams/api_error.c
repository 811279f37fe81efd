/* streams/api_error.c - what an error answer means (streams/api_http.h).
 *
 * Pure. The name decides, where there is one: it comes from the JSON body or
 * the x-amzn-ErrorType header, with any prefix ("com.amazon.coral.service#"),
 * any suffix (":http://...") and with or without "Exception" at its end.
 *
 * The codes that can end a shard or open a gap (not found, trimmed, expired)
 * are only given for a 4xx that names them: a proxy's 404 must never look like
 * a shard that is gone. A 5xx is the server's trouble, whatever it is called.
 */
#include "streams/api_http.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/utf8.h"

enum { NAME_MAX_BYTES = 80, MESSAGE_MAX_BYTES = 256 };

static const struct {
	const char *name; /* without "Exception" */
	enum api_code code;
} names[] = {
    {"ExpiredIterator", API_EXPIRED_ITERATOR},
    {"TrimmedDataAccess", API_TRIMMED},
    {"ResourceNotFound", API_NOT_FOUND},
    {"LimitExceeded", API_LIMIT_EXCEEDED},
    {"Throttling", API_THROTTLED},
    {"Throttled", API_THROTTLED},
    {"RequestThrottled", API_THROTTLED},
    {"ProvisionedThroughputExceeded", API_THROTTLED},
    {"RequestLimitExceeded", API_THROTTLED},
    {"TooManyRequests", API_THROTTLED},
    {"SlowDown", API_THROTTLED},
    {"Validation", API_VALIDATION},
    {"Serialization", API_VALIDATION},
    {"UnknownOperation", API_VALIDATION},
    {"InvalidAction", API_VALIDATION},
    {"InvalidParameterValue", API_VALIDATION},
    {"UnrecognizedClient", API_AUTH},
    {"InvalidSignature", API_AUTH},
    {"SignatureDoesNotMatch", API_AUTH},
    {"IncompleteSignature", API_AUTH},
    {"MissingAuthenticationToken", API_AUTH},
    {"ExpiredToken", API_AUTH},
    {"InvalidToken", API_AUTH},
    {"InvalidClientTokenId", API_AUTH},
    {"InvalidAccessKeyId", API_AUTH},
    {"AccessDenied", API_AUTH},
    {"NotAuthorized", API_AUTH},
    {"OptInRequired", API_AUTH},
    {"RequestTimeTooSkewed", API_AUTH},
    {"RequestExpired", API_AUTH},
    {"InternalServerError", API_SERVER},
    {"InternalServer", API_SERVER},
    {"InternalFailure", API_SERVER},
    {"InternalError", API_SERVER},
    {"ServiceUnavailable", API_SERVER},
};

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	    c == '.' || c == '_';
}

/* "prefix#Name:rest" -> "Name"; "" if that is no name. */
static void
take_name(struct slice s, char out[NAME_MAX_BYTES])
{
	const char *hash = s.n != 0 ? memrchr(s.p, '#', s.n) : NULL;
	size_t n = 0;

	out[0] = '\0';
	if (hash != NULL)
		s = (struct slice){hash + 1, s.n - (size_t)(hash + 1 - s.p)};
	while (n < s.n && is_name_char(s.p[n]))
		n++;
	if (n == 0 || n >= NAME_MAX_BYTES || (n < s.n && s.p[n] != ':'))
		return;
	memcpy(out, s.p, n);
	out[n] = '\0';
}

/* One line of text that fits; whole characters only. */
static void
take_message(const char *s, char out[MESSAGE_MAX_BYTES])
{
	size_t left = strlen(s), n = 0;

	while (left > 0) {
		size_t k = utf8_length(s, left);

		if (k == 0 || n + k >= MESSAGE_MAX_BYTES)
			break;
		memcpy(out + n, s, k);
		if (k == 1 && (unsigned char)out[n] < ' ')
			out[n] = ' ';
		n += k;
		s += k;
		left -= k;
	}
	out[n] = '\0';
}

static void
read_body(struct slice body, char out_name[NAME_MAX_BYTES], char out_message[MESSAGE_MAX_BYTES])
{
	json_t *o = NULL;
	const char *s;

	if (body.n != 0 && body.n <= LIMIT_CONTROL_BODY)
		o = json_loadb(body.p, body.n, JSON_DECODE_INT_AS_REAL, NULL);
	s = json_string_value(json_object_get(o, "__type"));
	if (s != NULL)
		take_name(slice_of(s), out_name);
	s = json_string_value(json_object_get(o, "message"));
	if (s == NULL)
		s = json_string_value(json_object_get(o, "Message"));
	if (s != NULL)
		take_message(s, out_message);
	json_decref(o);
}

static enum api_code
code_of_name(const char *name)
{
	size_t n = strlen(name);
	static const char suffix[] = "Exception";

	if (n > sizeof suffix - 1 && strcmp(name + n - (sizeof suffix - 1), suffix) == 0)
		n -= sizeof suffix - 1;
	for (size_t i = 0; n != 0 && i < sizeof names / sizeof names[0]; i++)
		if (strlen(names[i].name) == n && memcmp(names[i].name, name, n) == 0)
			return names[i].code;
	return API_OTHER;
}

static enum api_code
code_of_status(int status)
{
	if (status == 401 || status == 403)
		return API_AUTH;
	if (status == 429)
		return API_THROTTLED;
	return API_OTHER;
}

enum api_code
api_error_code(int http_status, struct slice body, struct slice error_type, char out_name[80],
    char out_message[256])
{
	enum api_code code;

	out_name[0] = '\0';
	out_message[0] = '\0';
	read_body(body, out_name, out_message);
	if (out_name[0] == '\0' && error_type.p != NULL)
		take_name(error_type, out_name);
	code = code_of_name(out_name);
	if (http_status >= 500)
		return code == API_THROTTLED ? API_THROTTLED : API_SERVER;
	if (http_status < 400)
		return API_MALFORMED; /* nothing of the service: a portal, a redirect */
	return code != API_OTHER ? code : code_of_status(http_status);
}
