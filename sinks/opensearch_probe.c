/* sinks/opensearch_probe.c - would it work? Asked by `slipring check --connect`.
 *
 * One question after the other, each only if the one before was answered, on a
 * loop of its own. Nothing is written: the index is looked at, not made.
 */
#include "sinks/opensearch_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "record/value.h"

#define ANSWER_US (8 * USEC_SEC) /* sink.h allows a probe some ten seconds */

struct probing {
	const struct sink_probe *p;
	const struct os_conf *conf;
	struct loop *loop;
	struct os_conf patient; /* conf with our time limit */
	struct os_link link;
	const struct os_ask *ask;
	int status; /* 0: no answer, e says why */
	struct buf body;
	struct err e;
};

static void PRINTF_LIKE(3, 4) tell(struct probing *pr, enum sink_finding f, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	pr->p->say(pr->p->ctx, f, text);
}

static void
on_answer(void *arg, struct http_response *r, const struct err *e)
{
	struct probing *pr = arg;

	if (e != NULL) {
		pr->e = *e;
	} else {
		pr->status = r->status;
		buf_add_slice(&pr->body, buf_slice(&r->body));
	}
	loop_stop(pr->loop);
}

static void
on_keys(void *arg, const struct sigv4_keys *keys, const struct err *e)
{
	struct probing *pr = arg;

	if (e != NULL)
		pr->e = *e;
	else if (keys == NULL)
		(void)err_set(
		    &pr->e, ERR_AUTH, "opensearch: auth: sigv4 found no keys to sign with");
	else if (os_link_send(&pr->link, pr->ask, keys, on_answer, pr, &pr->e) != NULL)
		return;
	loop_stop(pr->loop);
}

/* False: no answer at all. */
static bool
ask_now(struct probing *pr, const struct os_ask *ask)
{
	struct err e;

	pr->ask = ask;
	pr->status = 0;
	pr->e = (struct err){.code = ERR_NONE};
	buf_reset(&pr->body);
	if (pr->link.creds != NULL)
		(void)creds_get(pr->link.creds, on_keys, pr);
	else if (os_link_send(&pr->link, ask, NULL, on_answer, pr, &pr->e) == NULL)
		return false;
	if (loop_run(pr->loop, &e) != 0)
		pr->e = e;
	return pr->status != 0;
}

static bool
ask_get(struct probing *pr, const char *path, const char *query)
{
	return ask_now(pr,
	    &(struct os_ask){
		.method = "GET", .path = path, .query = query, .max_answer = LIMIT_CONTROL_BODY});
}

/* A string member of an object, or "". */
static void
text_of(struct slice object, const char *member, struct buf *out)
{
	struct slice v = value_member(object, member);

	buf_reset(out);
	if (v.n > 2 && v.n < 200 && v.p[0] == '"')
		buf_add_printable(out, (struct slice){v.p + 1, v.n - 2});
}

static void
say_version(struct probing *pr)
{
	struct buf a = BUF_INIT(1024), b = BUF_INIT(1024);
	struct slice version = SLICE_NONE;

	if (json_check(buf_slice(&pr->body)))
		version = value_member(buf_slice(&pr->body), "version");
	if (version.p != NULL && version.p[0] == '{') {
		text_of(version, "number", &a);
		text_of(version, "distribution", &b);
		tell(pr, SINK_FOUND_OK, "%s answers: %s %s", pr->link.urls[pr->link.url].url,
		    b.n != 0 ? buf_cstr(&b) : "a relative of OpenSearch,", buf_cstr(&a));
	} else {
		tell(pr, SINK_FOUND_NOTE, "%s answers, but does not say that it is OpenSearch",
		    pr->link.urls[pr->link.url].url);
	}
	buf_close(&a);
	buf_close(&b);
}

/* Any address that answers will do; -1: none did, or we are refused. */
static int
find_cluster(struct probing *pr, struct err *e)
{
	struct err why;

	for (size_t i = 0; i < pr->link.url_count; i++) {
		pr->link.url = i;
		if (ask_get(pr, "/", NULL))
			break;
		tell(pr, SINK_FOUND_BAD, "%s", pr->e.text);
	}
	if (pr->status == 0)
		return err_set(e, ERR_NETWORK, "opensearch: the cluster cannot be reached");
	if (pr->status == 200) {
		say_version(pr);
		return 0;
	}
	/* The serverless form has nothing to say at "/". */
	if (pr->conf->service == OS_AOSS && pr->conf->auth == OS_AUTH_SIGV4 && pr->status == 404)
		return 0;
	(void)os_whole_verdict(pr->status, buf_slice(&pr->body), pr->p->name, &why);
	*e = why;
	return -1;
}

/* ---- the index ---- */

static bool
may_create(struct probing *pr, const char *index)
{
	struct buf text = BUF_INIT(LIMIT_CONTROL_BODY);
	bool never;

	if (!ask_get(pr, "/_cluster/settings",
		"include_defaults=true&filter_path=%2A.action.auto_create_"
		"index") ||
	    pr->status != 200) {
		tell(pr, SINK_FOUND_NOTE,
		    "index %s does not exist, and we may not ask whether the cluster creates it",
		    index);
		return true;
	}
	buf_add_slice(&text, buf_slice(&pr->body));
	never = strstr(buf_cstr(&text), "\"auto_create_index\":\"false\"") != NULL;
	buf_close(&text);
	return !never;
}

static void
look_at_index(struct probing *pr, const char *index)
{
	struct buf path = BUF_INIT(1024);
	struct err why;

	buf_addf(&path, "/%s/_mapping", index);
	if (!ask_get(pr, buf_cstr(&path), NULL)) {
		tell(pr, SINK_FOUND_BAD, "%s", pr->e.text);
	} else if (pr->status == 200) {
		tell(pr, SINK_FOUND_OK, "index %s is there, its mapping can be read", index);
	} else if (pr->status == 404) {
		if (may_create(pr, index))
			tell(pr, SINK_FOUND_NOTE,
			    "index %s will be made by the first document, and its mapping by what "
			    "the "
			    "documents are like; a mapping of your own is better made before",
			    index);
		else
			tell(pr, SINK_FOUND_BAD,
			    "index %s does not exist and the cluster does not create it "
			    "(action.auto_create_index is false): create it",
			    index);
	} else {
		(void)os_whole_verdict(pr->status, buf_slice(&pr->body), pr->p->name, &why);
		tell(pr, SINK_FOUND_BAD, "index %s: %s", index, why.text);
	}
	buf_close(&path);
}

static void
look_at_indices(struct probing *pr)
{
	struct os_bulk b;
	struct err e;

	os_bulk_init(&b, pr->conf);
	for (size_t i = 0; i < pr->p->origin_count; i++) {
		const struct os_target *before = b.targets;
		struct os_target *t = os_target_of(&b, &pr->p->origins[i], SLICE_NONE, &e);
		bool told = false;

		if (t == NULL) {
			tell(pr, SINK_FOUND_BAD, "%s", e.text);
			continue;
		}
		for (; before != NULL; before = before->next)
			told = told || strcmp(before->index, t->index) == 0;
		if (!told)
			look_at_index(pr, t->index);
	}
	os_bulk_close(&b);
}

/* ---- scripts ---- */

static void
try_script(struct probing *pr)
{
	static const char body[] =
	    "{\"script\":{\"lang\":\"painless\",\"source\":\"return 'yes'\"}}";
	struct os_ask ask = {.method = "POST",
	    .path = "/_scripts/painless/_execute",
	    .type = "application/json",
	    .body = SLICE_LIT(body),
	    .max_answer = LIMIT_CONTROL_BODY};
	struct buf text = BUF_INIT(LIMIT_CONTROL_BODY);

	if (!ask_now(pr, &ask)) {
		tell(pr, SINK_FOUND_BAD, "%s", pr->e.text);
		return;
	}
	buf_add_slice(&text, buf_slice(&pr->body));
	if (pr->status == 200)
		tell(pr, SINK_FOUND_OK, "the cluster runs inline scripts, as mode: guarded needs");
	else if (strstr(buf_cstr(&text), "cannot execute [") != NULL)
		tell(pr, SINK_FOUND_BAD,
		    "the cluster runs no inline scripts, which mode: guarded needs: allow them "
		    "(script.allowed_types, script.allowed_contexts), or set mode: overwrite");
	else
		tell(pr, SINK_FOUND_NOTE,
		    "we may not try a script here (status %d); mode: guarded needs inline painless "
		    "scripts in updates",
		    pr->status);
	buf_close(&text);
}

int
os_probe(const void *conf, const struct sink_probe *p, struct err *e)
{
	struct probing pr = {.p = p, .conf = conf, .body = BUF_INIT(LIMIT_CONTROL_BODY)};
	int r;

	pr.patient = *pr.conf; /* borrows what conf owns */
	if (pr.patient.timeout_us > ANSWER_US)
		pr.patient.timeout_us = ANSWER_US;
	if (loop_new(&pr.loop, 0, e) != 0)
		return -1;
	r = os_link_open(&pr.link, pr.loop, &pr.patient, e);
	if (r == 0)
		r = find_cluster(&pr, e);
	if (r == 0) {
		look_at_indices(&pr);
		if (pr.conf->mode == OS_GUARDED)
			try_script(&pr);
	}
	os_link_close(&pr.link);
	loop_close(pr.loop);
	buf_close(&pr.body);
	return r;
}
