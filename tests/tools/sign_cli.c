/* tests/tools/sign_cli.c - signs requests given as JSON lines, for comparison
 * with another signer.
 *
 * In, one object a line: method, path, query, headers [[name, value], ...],
 * body (hex), region, service, time (seconds), access_key, secret_key, token
 * ("" for none), normalize, sign_body. Out, one object a line: signature and
 * canonical_request, or error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/sigv4.h"

enum { HEADERS_MAX = 60 };

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	if (s == NULL) {
		(void)fprintf(stderr, "sign_cli: no string '%s' in the request\n", key);
		exit(64);
	}
	return s;
}

static struct buf
unhex(const char *hex)
{
	struct buf b = BUF_INIT(1u << 20);
	unsigned byte;

	for (; sscanf(hex, "%2x", &byte) == 1; hex += 2)
		buf_add_char(&b, (char)byte);
	return b;
}

static size_t
read_headers(const json_t *list, struct http_header *v)
{
	size_t n = json_array_size(list);

	if (n > HEADERS_MAX)
		n = HEADERS_MAX;
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(list, i);

		v[i] = (struct http_header){json_string_value(json_array_get(pair, 0)),
		    json_string_value(json_array_get(pair, 1))};
	}
	return n;
}

static void
answer(struct sigv4 *s, const struct sigv4_keys *keys, const struct sigv4_request *rq)
{
	static struct sigv4_result r;
	struct err e;
	json_t *out;

	if (sigv4_sign(s, keys, rq, &r, &e) == -1)
		out = json_pack("{s:s}", "error", e.text);
	else
		out = json_pack("{s:s, s:s}", "signature", r.signature, "canonical_request",
		    buf_cstr(&r.canonical_request));
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)putchar('\n');
	json_decref(out);
}

static void
sign_line(struct sigv4 *s, const json_t *o)
{
	struct http_header headers[HEADERS_MAX];
	struct sigv4_keys keys = {.access_key_id = {NULL, 0}};
	struct buf body = unhex(text_of(o, "body"));
	struct sigv4_request rq = {.method = text_of(o, "method"),
	    .path = slice_of(text_of(o, "path")),
	    .query = slice_of(text_of(o, "query")),
	    .headers = headers,
	    .header_count = read_headers(json_object_get(o, "headers"), headers),
	    .body = buf_slice(&body),
	    .region = text_of(o, "region"),
	    .service = text_of(o, "service"),
	    .when_us = (int64_t)json_integer_value(json_object_get(o, "time")) * USEC_SEC,
	    .normalize_path = json_is_true(json_object_get(o, "normalize")),
	    .double_encode_path = true,
	    .sign_body = json_is_true(json_object_get(o, "sign_body"))};

	secret_set(&keys.access_key_id, slice_of(text_of(o, "access_key")));
	secret_set(&keys.secret_access_key, slice_of(text_of(o, "secret_key")));
	secret_set(&keys.session_token, slice_of(text_of(o, "token")));
	answer(s, &keys, &rq);
	secret_clear(&keys.access_key_id);
	secret_clear(&keys.secret_access_key);
	secret_clear(&keys.session_token);
	buf_close(&body);
}

int
main(void)
{
	struct sigv4 *s = sigv4_new();
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0) {
		json_error_t why;
		json_t *o = json_loads(line, 0, &why);

		if (o == NULL) {
			(void)fprintf(stderr, "sign_cli: %s\n", why.text);
			return 64;
		}
		sign_line(s, o);
		json_decref(o);
	}
	free(line);
	sigv4_close(s);
	return 0;
}
