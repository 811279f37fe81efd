/* base/creds.c - where the keys for signing come from (base/creds.h).
 *
 *   creds_get() --next pass--> load(), if nothing is loaded --> fn(keys)
 *
 * load() walks the sources in their order; the first that has something to
 * say decides, also when what it says is an error: a profile that wants a
 * role, single sign-on or a helper program is refused by name, since going on
 * to another source would sign as somebody else. Only AUTO with allow_none
 * (a loopback endpoint) goes on unsigned, and then says so.
 *
 * Answers are kept until creds_refresh(); failures for RETRY_US, so that a
 * mended file is found without a restart and a missing one costs nothing.
 *
 * Does not do: asking the network (STS, IMDS, containers). Such a provider
 * would keep the calls queued until its answer and has its place in load().
 */
#include "base/creds.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/creds_priv.h"

enum { CREDS_MAGIC = 0x63726564 };

#define RETRY_US (10 * USEC_SEC)

struct creds_call {
	struct creds_call *next, **prev;
	struct creds *c; /* borrowed */
	void (*fn)(void *arg, const struct sigv4_keys *keys, const struct err *e);
	void *arg;
};

struct creds {
	uint32_t magic;
	struct loop *lp; /* borrowed */
	enum creds_source source;
	bool allow_none;
	char *profile; /* owned; NULL: from the environment */
	const char *(*env)(const char *name);
	struct loop_timer *timer;	  /* owned: delivers in the next pass */
	struct creds_call *first, **last; /* owned: waiting */

	bool loaded; /* keys, unsigned_ok or failed is the answer */
	bool failed;
	bool unsigned_ok;
	int64_t read_at; /* monotonic */
	struct sigv4_keys keys;
	struct err e;
	char describe[128];
	char logged[128]; /* what was said last, so that it is said once */
	char *region;	  /* owned */
	bool delivering;
	bool closed; /* by a callback: deliver() frees */
};

static const char *
process_env(const char *name)
{
	return getenv(name);
}

static void deliver(void *arg);

struct creds *
creds_new(struct loop *lp, const struct creds_conf *conf)
{
	struct creds *c = mem_new(sizeof *c);

	c->magic = CREDS_MAGIC;
	c->lp = lp;
	c->source = conf->source;
	c->allow_none = conf->allow_none;
	c->profile = mem_strdup(conf->profile);
	c->env = conf->getenv != NULL ? conf->getenv : process_env;
	c->last = &c->first;
	c->timer = loop_timer_new(lp, deliver, c);
	(void)snprintf(c->describe, sizeof c->describe, "not read yet");
	return c;
}

void
creds_close(struct creds *c)
{
	if (c == NULL)
		return;
	while (c->first != NULL)
		creds_cancel(c->first);
	loop_timer_close(c->timer);
	creds_keys_clear(&c->keys);
	free(c->profile);
	free(c->region);
	c->magic = 0;
	if (c->delivering)
		c->closed = true;
	else
		free(c);
}

const char *
creds_describe(const struct creds *c)
{
	return c->describe;
}

/* ---- the sources ---- */

/* Set and not empty, else NULL. */
static const char *
env_text(const struct creds *c, const char *name)
{
	const char *s = c->env(name);

	return s != NULL && s[0] != '\0' ? s : NULL;
}

static const char *
profile_name(const struct creds *c)
{
	const char *s = c->profile;

	if (s == NULL)
		s = env_text(c, "AWS_PROFILE");
	return s != NULL ? s : "default";
}

static int
env_key(const struct creds *c, const char *name, struct secret *out, struct err *e)
{
	struct slice value = slice_of(env_text(c, name));

	if (value.p == NULL)
		return 0;
	if (creds_value_check(value, name, e) == -1)
		return -1;
	secret_set(out, value);
	return 0;
}

/* 1: keys; 0: it says nothing; -1: it is wrong. */
static int
load_environment(struct creds *c)
{
	const char *id = env_text(c, "AWS_ACCESS_KEY_ID");
	const char *key = env_text(c, "AWS_SECRET_ACCESS_KEY");

	if (id == NULL && key == NULL)
		return 0;
	if (id == NULL || key == NULL)
		return err_set(&c->e, ERR_AUTH, "creds: the environment has %s but no %s",
		    id != NULL ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
		    id != NULL ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
	if (env_key(c, "AWS_ACCESS_KEY_ID", &c->keys.access_key_id, &c->e) == -1 ||
	    env_key(c, "AWS_SECRET_ACCESS_KEY", &c->keys.secret_access_key, &c->e) == -1 ||
	    env_key(c, "AWS_SESSION_TOKEN", &c->keys.session_token, &c->e) == -1)
		return -1;
	(void)snprintf(c->describe, sizeof c->describe, "environment");
	return 1;
}

static int
refuse_provider(struct creds *c, enum creds_missing m)
{
	static const char *const wants[] = {
	    [CREDS_MISSING_WEB_IDENTITY] = "a web identity (web_identity_token_file)",
	    [CREDS_MISSING_ROLE] = "to assume a role (role_arn)",
	    [CREDS_MISSING_SSO] = "single sign-on (sso_session or sso_start_url)",
	    [CREDS_MISSING_LOGIN] = "a console login (login_session)",
	    [CREDS_MISSING_PROCESS] = "a helper program (credential_process)",
	};

	return err_set(&c->e, ERR_AUTH,
	    "creds: profile %.100s wants %s, which is not supported; give aws_access_key_id and "
	    "aws_secret_access_key in another profile, or in the environment",
	    profile_name(c), wants[m]);
}

static int
take_file_keys(struct creds *c, struct creds_file *f)
{
	bool id = f->keys.access_key_id.n != 0, key = f->keys.secret_access_key.n != 0;

	if (!id && !key)
		return 0;
	if (!id || !key)
		return err_set(&c->e, ERR_AUTH, "creds: profile %.100s in %.250s has %s but no %s",
		    profile_name(c), f->path, id ? "aws_access_key_id" : "aws_secret_access_key",
		    id ? "aws_secret_access_key" : "aws_access_key_id");
	c->keys = f->keys;
	f->keys = (struct sigv4_keys){.access_key_id = {NULL, 0}};
	(void)snprintf(c->describe, sizeof c->describe, "profile %.100s", profile_name(c));
	return 1;
}

/* The order of botocore: what needs a provider goes before keys at hand, but a
 * helper program goes after the keys of the credentials file. */
static int
choose_in_profile(struct creds *c, struct creds_profile *p)
{
	int r;

	for (int m = CREDS_MISSING_NONE + 1; m < CREDS_MISSING_PROCESS; m++)
		if (p->names[m])
			return refuse_provider(c, (enum creds_missing)m);
	r = take_file_keys(c, &p->credentials);
	if (r != 0)
		return r;
	if (p->names[CREDS_MISSING_PROCESS])
		return refuse_provider(c, CREDS_MISSING_PROCESS);
	return take_file_keys(c, &p->config);
}

static const char *
why_not(const struct creds_file *f)
{
	return f->why[0] != '\0' ? f->why : "no keys in it";
}

/* As load_environment(); 0 leaves in e where it was looked. */
static int
load_profile(struct creds *c)
{
	struct creds_profile p;
	int r = creds_profile_read(&p, profile_name(c), c->env, &c->e);

	if (r == 0) {
		r = choose_in_profile(c, &p);
		if (p.region != NULL) {
			free(c->region);
			c->region = mem_strdup(p.region);
		}
	}
	if (r == 0)
		(void)err_set(&c->e, ERR_AUTH, "profile %.60s: %.120s (%s), %.120s (%s)",
		    profile_name(c),
		    p.credentials.path != NULL ? p.credentials.path : "credentials",
		    why_not(&p.credentials), p.config.path != NULL ? p.config.path : "config",
		    why_not(&p.config));
	creds_profile_clear(&p);
	return r;
}

/* Variables that make AWS's tools ask somebody we cannot ask. */
static int
check_unasked(struct creds *c)
{
	static const char *const names[] = {"AWS_WEB_IDENTITY_TOKEN_FILE",
	    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (env_text(c, names[i]) != NULL)
			return err_set(&c->e, ERR_AUTH,
			    "creds: the environment has %s, which is not supported; give "
			    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile",
			    names[i]);
	return 0;
}

static int
load_auto(struct creds *c)
{
	char where[sizeof c->e.text];
	/* A profile that was asked for by name goes before the environment. */
	int r = c->profile == NULL ? load_environment(c) : 0;

	if (r == 0)
		r = load_profile(c);
	if (r != 0)
		return r;
	memcpy(where, c->e.text, sizeof where);
	if (check_unasked(c) == -1)
		return -1;
	return err_set(&c->e, ERR_AUTH, "creds: no credentials: %s%.400s",
	    c->profile == NULL ? "AWS_ACCESS_KEY_ID is not set; " : "", where);
}

static int
load_source(struct creds *c)
{
	int r = 0;

	switch (c->source) {
	case CREDS_NONE:
		c->unsigned_ok = true;
		return 1;
	case CREDS_ENVIRONMENT:
		r = load_environment(c);
		if (r == 0)
			r = err_set(&c->e, ERR_AUTH,
			    "creds: no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
			    "are "
			    "not set");
		return r;
	case CREDS_PROFILE:
		r = load_profile(c);
		if (r == 0)
			r = err_prefix(&c->e, "creds: no credentials");
		return r;
	case CREDS_AUTO:
		return load_auto(c);
	}
	return r;
}

static void
say_once(struct creds *c, bool fallen)
{
	if (strcmp(c->logged, c->describe) == 0)
		return;
	(void)snprintf(c->logged, sizeof c->logged, "%s", c->describe);
	if (fallen)
		log_info("creds", "", "requests to this local endpoint carry no real signature: %s",
		    c->e.text);
	else
		log_info("creds", "", "credentials come from: %s", c->describe);
}

static void
load(struct creds *c)
{
	bool fallen = false;

	c->loaded = true;
	c->failed = c->unsigned_ok = false;
	c->read_at = loop_now(c->lp);
	creds_keys_clear(&c->keys);
	if (load_source(c) == -1) {
		creds_keys_clear(&c->keys);
		fallen = c->source == CREDS_AUTO && c->allow_none && c->profile == NULL;
		c->unsigned_ok = fallen;
		c->failed = !fallen;
	}
	if (c->failed) {
		(void)snprintf(c->describe, sizeof c->describe, "no credentials");
		return;
	}
	if (c->unsigned_ok)
		(void)snprintf(c->describe, sizeof c->describe, "none");
	say_once(c, fallen);
}

/* ---- asking ---- */

static void
call_free(struct creds_call *call)
{
	*call->prev = call->next;
	if (call->next != NULL)
		call->next->prev = call->prev;
	else
		call->c->last = call->prev;
	free(call);
}

void
creds_cancel(struct creds_call *call)
{
	call_free(call);
}

struct creds_call *
creds_get(struct creds *c,
    void (*fn)(void *arg, const struct sigv4_keys *keys, const struct err *e), void *arg)
{
	struct creds_call *call = mem_new(sizeof *call);

	*call = (struct creds_call){.prev = c->last, .c = c, .fn = fn, .arg = arg};
	*c->last = call;
	c->last = &call->next;
	loop_timer_arm(c->timer, 0);
	return call;
}

static void
answer_first(struct creds *c)
{
	struct creds_call *call = c->first;
	void (*fn)(void *, const struct sigv4_keys *, const struct err *) = call->fn;
	void *arg = call->arg;

	call_free(call);
	if (c->failed)
		fn(arg, NULL, &c->e);
	else
		fn(arg, c->unsigned_ok ? NULL : &c->keys, NULL);
}

/* Answers as many as wait now: a callback that asks again and again cannot
 * keep the loop here. */
static void
deliver(void *arg)
{
	struct creds *c = magic_check(arg, CREDS_MAGIC);
	size_t n = 0;

	for (struct creds_call *call = c->first; call != NULL; call = call->next)
		n++;
	if (n == 0)
		return;
	if (c->failed && loop_now(c->lp) - c->read_at >= RETRY_US)
		c->loaded = false;
	if (!c->loaded)
		load(c);
	c->delivering = true;
	while (n-- > 0 && !c->closed && c->first != NULL)
		answer_first(c);
	c->delivering = false;
	if (c->closed)
		free(c);
}

void
creds_refresh(struct creds *c)
{
	if (c->loaded && loop_now(c->lp) - c->read_at >= RETRY_US)
		c->loaded = false;
}

const char *
creds_region(struct creds *c)
{
	const char *s = env_text(c, "AWS_REGION");
	struct creds_profile p;
	struct err e;

	if (s == NULL)
		s = env_text(c, "AWS_DEFAULT_REGION");
	if (s != NULL)
		return s;
	if (c->region == NULL) {
		if (creds_profile_read(&p, profile_name(c), c->env, &e) == -1)
			log_warn("creds", "", "no region from the profile: %s", e.text);
		c->region = mem_strdup(p.region);
		creds_profile_clear(&p);
	}
	return c->region;
}
