/* tests/unit/sigv4_test.c - base/sigv4.c against the published vectors.
 *
 * The 38 cases lie outside the tree ($SLIPRING_SHARED/sigv4, ../shared/sigv4
 * by default); without them that test is skipped, and says so. Agreement with
 * botocore on random requests is tests/tools/sigv4_botocore.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "base/mem.h"
#include "base/sigv4.h"
#include "tests/unit/shared_support.h"

#define VECTORS 38

struct vector {
	char *request; /* owned; cut up in place */
	json_t *context;
	struct http_header headers[16];
	struct sigv4_request rq;
	struct sigv4_keys keys;
};

static char *
read_text(const char *name, const char *file)
{
	char path[512];
	size_t n;

	(void)snprintf(path, sizeof path, "sigv4/%s/%s", name, file);
	return shared_read(path, &n);
}

/* A header goes on while the next line begins with white space. */
static char *
cut_header(char *line)
{
	char *end = strchr(line, '\n');

	while (end != NULL && (end[1] == ' ' || end[1] == '\t'))
		end = strchr(end + 1, '\n');
	if (end == NULL)
		return line + strlen(line);
	*end = '\0';
	return end + 1;
}

static void
parse_target(struct sigv4_request *rq, char *target)
{
	char *query = strchr(target, '?');

	if (query != NULL)
		*query++ = '\0';
	rq->path = slice_of(target);
	rq->query = slice_of(query);
}

static void
parse_request(struct vector *v)
{
	char *line = v->request;
	char *rest = cut_header(line);
	char *space = strchr(line, ' ');
	char *proto = strstr(line, " HTTP/1.1");

	assert_non_null(space);
	assert_non_null(proto);
	*space = *proto = '\0';
	v->rq.method = line;
	parse_target(&v->rq, space + 1);
	while (*rest != '\0' && *rest != '\n') {
		char *colon;

		line = rest;
		rest = cut_header(line);
		colon = strchr(line, ':');
		assert_non_null(colon);
		*colon = '\0';
		assert_true(v->rq.header_count < 16);
		v->headers[v->rq.header_count++] = (struct http_header){line, colon + 1};
	}
	v->rq.headers = v->headers;
	v->rq.body = slice_of(*rest == '\n' ? rest + 1 : rest);
}

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void
parse_context(struct vector *v)
{
	json_t *keys = json_object_get(v->context, "credentials");
	struct tm tm = {0};

	assert_non_null(strptime(text_of(v->context, "timestamp"), "%Y-%m-%dT%H:%M:%SZ", &tm));
	v->rq.when_us = (int64_t)timegm(&tm) * USEC_SEC;
	v->rq.region = text_of(v->context, "region");
	v->rq.service = text_of(v->context, "service");
	v->rq.normalize_path = json_is_true(json_object_get(v->context, "normalize"));
	v->rq.sign_body = json_is_true(json_object_get(v->context, "sign_body"));
	v->rq.omit_session_token = json_is_true(json_object_get(v->context, "omit_session_token"));
	v->rq.double_encode_path = true;
	secret_set(&v->keys.access_key_id, slice_of(text_of(keys, "access_key_id")));
	secret_set(&v->keys.secret_access_key, slice_of(text_of(keys, "secret_access_key")));
	if (text_of(keys, "token") != NULL)
		secret_set(&v->keys.session_token, slice_of(text_of(keys, "token")));
}

static void
keys_clear(struct sigv4_keys *keys)
{
	secret_clear(&keys->access_key_id);
	secret_clear(&keys->secret_access_key);
	secret_clear(&keys->session_token);
}

static void
expect_file(const char *name, const char *file, const char *got)
{
	char *want = read_text(name, file);
	size_t n = strlen(want);

	while (n > 0 && want[n - 1] == '\n')
		want[--n] = '\0';
	if (strcmp(want, got) != 0)
		fail_msg("%s/%s\nwant:\n%s\ngot:\n%s", name, file, want, got);
}

static void
run_vector(struct sigv4 *s, struct sigv4_result *r, const char *name)
{
	struct vector v = {.request = mem_strdup(read_text(name, "request.txt"))};
	struct err e;
	char line[4096];

	v.context = json_loads(read_text(name, "context.json"), 0, NULL);
	assert_non_null(v.context);
	parse_request(&v);
	parse_context(&v);
	if (sigv4_sign(s, &v.keys, &v.rq, r, &e) == -1)
		fail_msg("%s: %s", name, e.text);
	expect_file(name, "header-canonical-request.txt", buf_cstr(&r->canonical_request));
	expect_file(name, "header-string-to-sign.txt", buf_cstr(&r->string_to_sign));
	expect_file(name, "header-signature.txt", r->signature);
	(void)snprintf(line, sizeof line, "\nAuthorization:%s\n", buf_cstr(&r->authorization));
	assert_non_null(strstr(read_text(name, "header-signed-request.txt"), line));
	(void)snprintf(line, sizeof line, "\nX-Amz-Date:%s\n", r->date);
	assert_non_null(strstr(read_text(name, "header-signed-request.txt"), line));
	keys_clear(&v.keys);
	json_decref(v.context);
	free(v.request);
}

static void
test_vectors(void **state)
{
	struct sigv4_result r = {.date = ""};
	struct sigv4 *s;
	struct dirent *d;
	DIR *dir;
	int n = 0;

	(void)state;
	SHARED_OR_SKIP("sigv4");
	dir = opendir(shared_path("sigv4"));
	assert_non_null(dir);
	s = sigv4_new();
	while ((d = readdir(dir)) != NULL) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		run_vector(s, &r, d->d_name);
		n++;
	}
	(void)closedir(dir);
	sigv4_result_close(&r);
	sigv4_close(s);
	assert_int_equal(n, VECTORS);
}

/* ---- without the vectors: the cached key, limits, bad input ---- */

static const struct http_header only_host[] = {{"Host", "example.amazonaws.com"}};

static void
example(struct sigv4_keys *keys, struct sigv4_request *rq)
{
	*keys = (struct sigv4_keys){.access_key_id = {NULL, 0}};
	secret_set(&keys->access_key_id, SLICE_LIT("AKIDEXAMPLE"));
	secret_set(&keys->secret_access_key, SLICE_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"));
	*rq = (struct sigv4_request){.method = "GET",
	    .path = SLICE_LIT("/"),
	    .headers = only_host,
	    .header_count = 1,
	    .region = "us-east-1",
	    .service = "service",
	    .when_us = INT64_C(1440938160) * USEC_SEC,
	    .normalize_path = true,
	    .double_encode_path = true};
}

static void
sign_ok(
    struct sigv4 *s, const struct sigv4_keys *keys, const struct sigv4_request *rq, char out[65])
{
	struct sigv4_result r = {.date = ""};
	struct err e = {.text = ""};

	if (sigv4_sign(s, keys, rq, &r, &e) == -1)
		fail_msg("%s", e.text);
	memcpy(out, r.signature, 65);
	sigv4_result_close(&r);
}

/* Each part of the scope in turn changes; an old signer must answer as a new
 * one does, and as it did before when the part is back. */
static void
test_cached_key_follows_its_scope(void **state)
{
	struct sigv4 *old = sigv4_new();
	struct sigv4_keys keys;
	struct sigv4_request rq;
	char first[65], seen[5][65];

	(void)state;
	example(&keys, &rq);
	sign_ok(old, &keys, &rq, first);
	keys_clear(&keys);
	/* the vector get-vanilla */
	assert_string_equal(
	    first, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
	for (int i = 0; i < 5; i++) {
		struct sigv4 *fresh = sigv4_new();
		char a[65], b[65];

		example(&keys, &rq);
		if (i == 0)
			rq.region = "us-west-1";
		else if (i == 1)
			rq.service = "other";
		else if (i == 2)
			rq.when_us += 86400 * USEC_SEC;
		else if (i == 3)
			secret_set(&keys.secret_access_key,
			    SLICE_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEX"));
		else
			rq.method = "POST";
		sign_ok(old, &keys, &rq, a);
		sign_ok(fresh, &keys, &rq, b);
		assert_string_equal(a, b);
		assert_string_not_equal(a, first);
		memcpy(seen[i], a, 65);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(seen[j], a);
		sigv4_close(fresh);
		keys_clear(&keys);
		example(&keys, &rq);
		sign_ok(old, &keys, &rq, a);
		assert_string_equal(a, first);
		keys_clear(&keys);
	}
	sigv4_close(old);
}

static void
refused(struct sigv4 *s, const struct sigv4_request *rq, enum err_code code, const char *text)
{
	struct sigv4_result r = {.date = ""};
	struct sigv4_keys keys;
	struct sigv4_request unused;
	struct err e = {.text = ""};

	example(&keys, &unused);
	assert_int_equal(sigv4_sign(s, &keys, rq, &r, &e), -1);
	assert_int_equal(e.code, code);
	if (strstr(e.text, text) == NULL)
		fail_msg("'%s' not in '%s'", text, e.text);
	sigv4_result_close(&r);
	keys_clear(&keys);
}

static void
test_limits_are_errors(void **state)
{
	struct sigv4 *s = sigv4_new();
	struct http_header many[80];
	struct sigv4_keys keys;
	struct sigv4_request rq;
	char *big = mem_array(300001, 1);

	(void)state;
	memset(big, '&', 300000);
	for (int i = 0; i < 80; i++)
		many[i] = only_host[0];
	example(&keys, &rq);
	keys_clear(&keys);
	rq.header_count = 80;
	rq.headers = many;
	refused(s, &rq, ERR_LIMIT, "headers are too many");
	rq.header_count = 0;
	refused(s, &rq, ERR_CONFIG, "no Host");
	rq.header_count = 1;
	rq.query = (struct slice){big, 300000};
	refused(s, &rq, ERR_LIMIT, "query has");
	for (int i = 0; i < 1000; i++)
		big[2 * i] = 'a';
	rq.query = (struct slice){big, 2000};
	refused(s, &rq, ERR_LIMIT, "query parameters");
	rq.query = SLICE_NONE;
	rq.path = (struct slice){big, 300000};
	refused(s, &rq, ERR_LIMIT, "too long");
	rq.path = SLICE_LIT("/");
	rq.when_us = -1;
	refused(s, &rq, ERR_LIMIT, "clock");
	rq.when_us = INT64_C(300000000000) * USEC_SEC;
	refused(s, &rq, ERR_LIMIT, "clock");
	rq.when_us = 0;
	big[100] = '\0';
	rq.region = big;
	refused(s, &rq, ERR_CONFIG, "longer than");
	sigv4_close(s);
	sigv4_close(NULL);
	free(big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_vectors),
	    cmocka_unit_test(test_cached_key_follows_its_scope),
	    cmocka_unit_test(test_limits_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
