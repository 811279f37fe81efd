/* tests/unit/creds_test.c - base/creds.c and creds_file.c on files in a
 * temporary directory and an environment of our own.
 *
 * clock_gettime() is replaced, so that the ten seconds between two reads of a
 * refused source can pass at once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/creds.h"

static int64_t clock_ahead; /* seconds */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	long r = syscall(SYS_clock_gettime, id, ts);

	ts->tv_sec += clock_ahead;
	return (int)r;
}

enum { ENV_MAX = 16 };

static struct world {
	struct loop *lp;
	struct loop_timer *guard;
	struct creds *c;
	char dir[64], credentials[96], config[96];
	int answers;
	char id[256], key[256], token[256];
	bool none;
	struct err e;
	char log[4096];
	int log_lines;
	bool hung;
} world;

static struct {
	const char *name, *value;
} env[ENV_MAX];

static const char *
test_env(const char *name)
{
	for (int i = 0; i < ENV_MAX; i++)
		if (env[i].name != NULL && strcmp(env[i].name, name) == 0)
			return env[i].value;
	return NULL;
}

static void
set_env(const char *name, const char *value)
{
	for (int i = 0; i < ENV_MAX; i++) {
		if (env[i].name == NULL || strcmp(env[i].name, name) == 0) {
			env[i].name = name;
			env[i].value = value;
			return;
		}
	}
	fail_msg("ENV_MAX");
}

static void
on_log(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;
	size_t n = strlen(w->log);

	(void)level;
	w->log_lines++;
	(void)snprintf(w->log + n, sizeof w->log - n, "%s\n", line);
}

static void
on_guard(void *arg)
{
	struct world *w = arg;

	w->hung = true;
	loop_stop(w->lp);
}

static int
setup(void **state)
{
	struct world *w = &world;
	struct err e;

	*w = (struct world){.answers = 0};
	memset(env, 0, sizeof env);
	(void)snprintf(w->dir, sizeof w->dir, "/tmp/slipring-creds-XXXXXX");
	if (mkdtemp(w->dir) == NULL || loop_new(&w->lp, 1, &e) == -1)
		return -1;
	(void)snprintf(w->credentials, sizeof w->credentials, "%.60s/credentials", w->dir);
	(void)snprintf(w->config, sizeof w->config, "%.60s/config", w->dir);
	set_env("AWS_SHARED_CREDENTIALS_FILE", w->credentials);
	set_env("AWS_CONFIG_FILE", w->config);
	w->guard = loop_timer_new(w->lp, on_guard, w);
	loop_timer_arm(w->guard, 3600 * USEC_SEC);
	log_set_sink(on_log, w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	creds_close(w->c);
	loop_timer_close(w->guard);
	loop_close(w->lp);
	(void)unlink(w->credentials);
	(void)rmdir(w->credentials);
	(void)unlink(w->config);
	(void)rmdir(w->dir);
	log_set_sink(NULL, NULL);
	return 0;
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
}

static void
keep(char *out, size_t size, const struct secret *s)
{
	(void)snprintf(out, size, "%s", s->bytes != NULL ? s->bytes : "-");
}

static void
on_keys(void *arg, const struct sigv4_keys *keys, const struct err *e)
{
	struct world *w = arg;

	w->answers++;
	w->none = keys == NULL && e == NULL;
	w->e = (struct err){.text = ""};
	w->id[0] = w->key[0] = w->token[0] = '\0';
	if (e != NULL)
		w->e = *e;
	if (keys != NULL) {
		assert_null(e);
		keep(w->id, sizeof w->id, &keys->access_key_id);
		keep(w->key, sizeof w->key, &keys->secret_access_key);
		keep(w->token, sizeof w->token, &keys->session_token);
	}
	loop_stop(w->lp);
}

static void
start(struct world *w, struct creds_conf conf)
{
	conf.getenv = test_env;
	creds_close(w->c);
	w->c = creds_new(w->lp, &conf);
}

static void
ask(struct world *w)
{
	struct err e;
	int before = w->answers;

	assert_non_null(creds_get(w->c, on_keys, w));
	assert_int_equal(w->answers, before); /* never from inside */
	assert_int_equal(loop_run(w->lp, &e), 0);
	assert_int_equal(w->answers, before + 1);
}

static void
expect_keys(struct world *w, const char *id, const char *key, const char *token)
{
	if (w->e.text[0] != '\0')
		fail_msg("%s", w->e.text);
	assert_false(w->none);
	assert_string_equal(w->id, id);
	assert_string_equal(w->key, key);
	assert_string_equal(w->token, token);
}

static void
expect_refused(struct world *w, const char *text)
{
	assert_string_equal(w->id, "");
	assert_false(w->none);
	assert_int_equal(w->e.code, ERR_AUTH);
	if (strstr(w->e.text, text) == NULL)
		fail_msg("'%s' not in '%s'", text, w->e.text);
}

static void
use_files(struct world *w, const char *credentials, const char *config)
{
	if (credentials != NULL)
		write_text(w->credentials, credentials);
	if (config != NULL)
		write_text(w->config, config);
}

/* ---- tests ---- */

static void
test_environment(void **state)
{
	struct world *w = *state;

	set_env("AWS_ACCESS_KEY_ID", "AKIDENV");
	set_env("AWS_SECRET_ACCESS_KEY", "secret/env");
	use_files(w, "[default]\naws_access_key_id=AKIDFILE\naws_secret_access_key=s\n", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_keys(w, "AKIDENV", "secret/env", "-");
	assert_string_equal(creds_describe(w->c), "environment");
	set_env("AWS_SESSION_TOKEN", "tok==");
	start(w, (struct creds_conf){.source = CREDS_ENVIRONMENT});
	ask(w);
	expect_keys(w, "AKIDENV", "secret/env", "tok==");
	set_env("AWS_SECRET_ACCESS_KEY", "");
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "has AWS_ACCESS_KEY_ID but no AWS_SECRET_ACCESS_KEY");
	set_env("AWS_ACCESS_KEY_ID", NULL);
	start(w, (struct creds_conf){.source = CREDS_ENVIRONMENT});
	ask(w);
	expect_refused(w, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
}

static void
test_environment_values_are_checked(void **state)
{
	struct world *w = *state;
	char *big = mem_array(10001, 1);

	set_env("AWS_ACCESS_KEY_ID", "AKID");
	set_env("AWS_SECRET_ACCESS_KEY", "s3cr3t");
	set_env("AWS_SESSION_TOKEN", "tok\r\nX-Evil: 1");
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "AWS_SESSION_TOKEN holds a blank or an unprintable character at byte 4");
	memset(big, 'x', 10000);
	set_env("AWS_SESSION_TOKEN", big);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "AWS_SESSION_TOKEN is longer than 8192 bytes");
	free(big);
}

static const char two_profiles[] = "# a comment\n"
				   "; another\n"
				   "[default]\r\n"
				   "aws_access_key_id = AKIDDEFAULT\r\n"
				   "aws_secret_access_key=abc/def+ghi=\r\n"
				   "\r\n"
				   "[ work ] # with a comment\n"
				   "  AWS_Access_Key_Id\t=\tAKIDWORK   # mine\n"
				   "  aws_secret_access_key = sec#ret;x ; a comment\n"
				   "  aws_session_token = tok/en==\n"
				   "  s3 =\n"
				   "    aws_secret_access_key = nested\n"
				   "[last]\n"
				   "aws_access_key_id=AKIDLAST\n"
				   "aws_secret_access_key=z";

static void
test_credentials_file(void **state)
{
	struct world *w = *state;

	use_files(w, two_profiles, NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_keys(w, "AKIDDEFAULT", "abc/def+ghi=", "-");
	assert_string_equal(creds_describe(w->c), "profile default");
	start(w, (struct creds_conf){.source = CREDS_PROFILE, .profile = "work"});
	ask(w);
	expect_keys(w, "AKIDWORK", "sec#ret;x", "tok/en==");
	set_env("AWS_PROFILE", "last");
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_keys(w, "AKIDLAST", "z", "-");
	assert_string_equal(creds_describe(w->c), "profile last");
}

static void
test_named_profile_goes_before_the_environment(void **state)
{
	struct world *w = *state;

	set_env("AWS_ACCESS_KEY_ID", "AKIDENV");
	set_env("AWS_SECRET_ACCESS_KEY", "env");
	use_files(w, two_profiles, NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO, .profile = "work"});
	ask(w);
	expect_keys(w, "AKIDWORK", "sec#ret;x", "tok/en==");
	/* and is not made up for by anything else */
	start(w, (struct creds_conf){.source = CREDS_AUTO, .profile = "nope", .allow_none = true});
	ask(w);
	expect_refused(w, "no credentials: profile nope");
}

static void
test_config_file(void **state)
{
	struct world *w = *state;

	use_files(w, NULL,
	    "\xef\xbb\xbf[default]\nregion = eu-west-1\n"
	    "aws_access_key_id = AKIDCONF\naws_secret_access_key = c\n"
	    "[profile \"two words\"]\nregion=us-east-2\n"
	    "[two]\naws_access_key_id = NOTME\n"
	    "[profile two]\naws_access_key_id = AKIDTWO\naws_secret_access_key = t\n");
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_keys(w, "AKIDCONF", "c", "-");
	assert_string_equal(creds_region(w->c), "eu-west-1");
	start(w, (struct creds_conf){.profile = "two"});
	ask(w);
	expect_keys(w, "AKIDTWO", "t", "-");
	assert_null(creds_region(w->c));
	start(w, (struct creds_conf){.profile = "two words"});
	assert_string_equal(creds_region(w->c), "us-east-2");
	set_env("AWS_DEFAULT_REGION", "sa-east-1");
	assert_string_equal(creds_region(w->c), "sa-east-1");
	set_env("AWS_REGION", "ap-south-1");
	assert_string_equal(creds_region(w->c), "ap-south-1");
}

static void
test_files_below_home(void **state)
{
	struct world *w = *state;
	char dir[128], path[160];

	(void)snprintf(dir, sizeof dir, "%s/.aws", w->dir);
	(void)snprintf(path, sizeof path, "%s/credentials", dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	write_text(path, two_profiles);
	set_env("AWS_SHARED_CREDENTIALS_FILE", NULL);
	set_env("HOME", w->dir);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_keys(w, "AKIDDEFAULT", "abc/def+ghi=", "-");
	set_env("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_keys(w, "AKIDDEFAULT", "abc/def+ghi=", "-");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	set_env("AWS_SHARED_CREDENTIALS_FILE", NULL);
	set_env("HOME", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "neither AWS_SHARED_CREDENTIALS_FILE nor HOME is set");
}

static void
test_nothing_anywhere(void **state)
{
	struct world *w = *state;

	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "AWS_ACCESS_KEY_ID is not set; profile default: ");
	expect_refused(w, w->credentials);
	expect_refused(w, w->config);
	expect_refused(w, "no such file");
	use_files(w, two_profiles, "[default]\nregion=eu-west-1\n");
	set_env("AWS_PROFILE", "nope");
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "profile nope: ");
	expect_refused(w, "no such profile in it");
	start(w, (struct creds_conf){.source = CREDS_PROFILE, .profile = "x"});
	ask(w);
	expect_refused(w, "creds: no credentials: profile x: ");
}

static void
test_none(void **state)
{
	struct world *w = *state;

	set_env("AWS_ACCESS_KEY_ID", "AKIDENV");
	set_env("AWS_SECRET_ACCESS_KEY", "env");
	start(w, (struct creds_conf){.source = CREDS_NONE});
	ask(w);
	assert_true(w->none);
	assert_string_equal(creds_describe(w->c), "none");
	start(w, (struct creds_conf){.source = CREDS_AUTO, .allow_none = true});
	ask(w);
	expect_keys(w, "AKIDENV", "env", "-");
	set_env("AWS_ACCESS_KEY_ID", NULL);
	set_env("AWS_SECRET_ACCESS_KEY", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO, .allow_none = true});
	ask(w);
	assert_true(w->none);
	assert_string_equal(creds_describe(w->c), "none");
	assert_non_null(strstr(w->log, "no real signature"));
}

static void
test_providers_we_lack_are_named(void **state)
{
	static const struct {
		const char *config, *text;
	} cases[] = {
	    {"[profile p]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n",
		"role_arn"},
	    {"[profile p]\nrole_arn = a\nweb_identity_token_file = /t\n",
		"web_identity_token_file"},
	    {"[profile p]\nsso_session = corp\nsso_account_id = 1\n", "sso_session"},
	    {"[profile p]\nsso_start_url = https://x\n", "single sign-on"},
	    {"[profile p]\nlogin_session = x\n", "login_session"},
	    {"[profile p]\nCREDENTIAL_PROCESS = /bin/x\n", "credential_process"},
	    /* not skipped because keys are at hand, either */
	    {"[profile p]\nrole_arn = a\naws_access_key_id = A\naws_secret_access_key = B\n",
		"role_arn"},
	    {"[profile p]\ncredential_process = a\naws_access_key_id = A\naws_secret_access_key = "
	     "B\n",
		"credential_process"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		use_files(w, "[default]\naws_access_key_id=A\naws_secret_access_key=B\n",
		    cases[i].config);
		start(w, (struct creds_conf){.profile = "p"});
		ask(w);
		expect_refused(w, cases[i].text);
		expect_refused(w, "profile p wants");
	}
	/* botocore: keys of the credentials file go before the program */
	use_files(w, "[p]\naws_access_key_id=A\naws_secret_access_key=B\n", cases[5].config);
	start(w, (struct creds_conf){.profile = "p"});
	ask(w);
	expect_keys(w, "A", "B", "-");
	use_files(w, "[p]\naws_access_key_id=A\naws_secret_access_key=B\n", cases[0].config);
	start(w, (struct creds_conf){.profile = "p"});
	ask(w);
	expect_refused(w, "role_arn");
}

static void
test_environment_providers_we_lack_are_named(void **state)
{
	static const char *const names[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
	    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		set_env(names[i], "x");
		start(w, (struct creds_conf){.source = CREDS_AUTO});
		ask(w);
		expect_refused(w, names[i]);
		set_env(names[i], NULL);
	}
}

static void
test_half_a_pair(void **state)
{
	struct world *w = *state;

	use_files(w, "[default]\naws_access_key_id=AKIDHALF\n", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "has aws_access_key_id but no aws_secret_access_key");
	use_files(w, "[default]\naws_secret_access_key=x\naws_access_key_id=\n", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "has aws_secret_access_key but no aws_access_key_id");
}

static void
test_malformed_files_say_where(void **state)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
	    {"[default]\nnonsense\n", "credentials:2: neither [section] nor key = value"},
	    {"\n\n[default\n", "credentials:3: a section without"},
	    {"[default]\n= x\n", "credentials:2: neither"},
	    {"[other]\n\nwhat is this\n", "credentials:3: neither"},
	    {"[default]\naws_access_key_id = A B\n",
		"credentials:2 holds a blank or an unprintable character at byte 2"},
	    {"[default]\naws_secret_access_key = \xc3\xa4\n", "credentials:2 holds a blank"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		use_files(w, cases[i].text, NULL);
		start(w, (struct creds_conf){.source = CREDS_AUTO});
		ask(w);
		expect_refused(w, cases[i].want);
	}
}

static void
test_hostile_sizes(void **state)
{
	struct world *w = *state;
	char *big = mem_array(2 << 20, 1);
	size_t n = (size_t)snprintf(big, 64, "[default]\naws_access_key_id = ");

	memset(big + n, 'A', 9000);
	write_text(w->credentials, big);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "is longer than 8192 bytes");
	memset(big, '\n', (2 << 20) - 1);
	write_text(w->credentials, big);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "is larger than 1048576 bytes");
	memset(big, '[', 1 << 20); /* one line, no end */
	big[1 << 20] = '\0';
	write_text(w->credentials, big);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "a section without");
	free(big);
}

static void
test_unreadable_files(void **state)
{
	struct world *w = *state;

	assert_int_equal(mkdir(w->credentials, 0700), 0);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "is not a regular file");
	assert_int_equal(rmdir(w->credentials), 0);
	assert_int_equal(mkfifo(w->credentials, 0600), 0); /* must not block */
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "is not a regular file");
	assert_int_equal(unlink(w->credentials), 0);
	use_files(w, two_profiles, NULL);
	assert_int_equal(chmod(w->credentials, 0), 0);
	if (geteuid() == 0) { /* root reads everything: be nobody for a moment */
		assert_int_equal(chmod(w->dir, 0755), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	expect_refused(w, "creds: cannot open ");
	expect_refused(w, "Permission denied");
}

static void
test_refresh_reads_again_but_not_at_once(void **state)
{
	struct world *w = *state;

	use_files(w, "[default]\naws_access_key_id=A1\naws_secret_access_key=B1\n", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	use_files(w, "[default]\naws_access_key_id=A2\naws_secret_access_key=B2\n", NULL);
	ask(w);
	expect_keys(w, "A1", "B1", "-"); /* nobody asked for a refresh */
	creds_refresh(w->c);
	ask(w);
	expect_keys(w, "A1", "B1", "-"); /* too soon */
	clock_ahead += 11;
	ask(w);
	expect_keys(w, "A1", "B1", "-");
	creds_refresh(w->c);
	ask(w);
	expect_keys(w, "A2", "B2", "-");
}

static void
test_failure_is_not_for_ever(void **state)
{
	struct world *w = *state;

	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	expect_refused(w, "no credentials");
	use_files(w, two_profiles, NULL);
	ask(w);
	expect_refused(w, "no credentials");
	clock_ahead += 11;
	ask(w);
	expect_keys(w, "AKIDDEFAULT", "abc/def+ghi=", "-");
}

static void
test_log_says_the_source_once_and_no_secret(void **state)
{
	struct world *w = *state;

	use_files(w, two_profiles, NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO, .profile = "work"});
	for (int i = 0; i < 3; i++) {
		ask(w);
		clock_ahead += 11;
		creds_refresh(w->c);
	}
	assert_int_equal(w->log_lines, 1);
	assert_non_null(strstr(w->log, "profile work"));
	assert_null(strstr(w->log, "AKIDWORK"));
	assert_null(strstr(w->log, "sec#ret"));
	assert_null(strstr(w->log, "tok/en"));
	use_files(
	    w, "[default]\naws_access_key_id=AKIDX\naws_secret_access_key = hush hush\n", NULL);
	start(w, (struct creds_conf){.source = CREDS_AUTO});
	ask(w);
	assert_null(strstr(w->e.text, "hush"));
}

static void
on_never(void *arg, const struct sigv4_keys *keys, const struct err *e)
{
	(void)arg;
	(void)keys;
	(void)e;
	fail_msg("cancelled");
}

static void
on_close(void *arg, const struct sigv4_keys *keys, const struct err *e)
{
	struct world *w = arg;

	(void)keys;
	(void)e;
	creds_close(w->c);
	w->c = NULL;
	loop_stop(w->lp);
}

static void
test_cancel_and_close(void **state)
{
	struct world *w = *state;
	struct creds_call *a, *b;
	struct err e;

	start(w, (struct creds_conf){.source = CREDS_NONE});
	a = creds_get(w->c, on_never, w);
	b = creds_get(w->c, on_never, w);
	creds_cancel(b);
	creds_cancel(a);
	ask(w);
	(void)creds_get(w->c, on_close, w);
	(void)creds_get(w->c, on_never, w);
	assert_int_equal(loop_run(w->lp, &e), 0);
	assert_null(w->c);
	start(w, (struct creds_conf){.source = CREDS_NONE});
	(void)creds_get(w->c, on_never, w);
	creds_close(w->c);
	w->c = NULL;
	creds_close(NULL);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_environment),
	    T(test_environment_values_are_checked),
	    T(test_credentials_file),
	    T(test_named_profile_goes_before_the_environment),
	    T(test_config_file),
	    T(test_files_below_home),
	    T(test_nothing_anywhere),
	    T(test_none),
	    T(test_providers_we_lack_are_named),
	    T(test_environment_providers_we_lack_are_named),
	    T(test_half_a_pair),
	    T(test_malformed_files_say_where),
	    T(test_hostile_sizes),
	    T(test_unreadable_files),
	    T(test_refresh_reads_again_but_not_at_once),
	    T(test_failure_is_not_for_ever),
	    T(test_log_says_the_source_once_and_no_secret),
	    T(test_cancel_and_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
