/* sinks/opensearch.c - documents in OpenSearch through _bulk.
 *
 *   submit() -> waiting --(a request is free)--> body -> keys? -> HTTP -> items -> report()
 *
 * `workers` requests are under way at most. A submit becomes one of them, or
 * several one after the other when its documents outgrow bulk.size; none holds
 * records of two submits. While one waits, the next submit is SINK_FULL.
 *
 * Order: the lane has at most one record of a key out (no KEY_ORDER here), so requests
 * may overtake each other and nothing is ever held back behind a failure. The
 * reason is the dead letters' guard: a target that overwrites must not have an older
 * write of an item beside a newer one (OVERWRITES in sink.h), and the capabilities are
 * the same for both modes.
 *
 * Not here: retries, back-off and order, which are the lane's.
 */
#include "sinks/opensearch_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"

enum { REQUEST_MAGIC = 0x6f737271 };

/* Statuses, and reasons where there are some; percent-encoded as it is signed. */
#define BULK_QUERY "filter_path=errors%2Citems.%2A.status%2Citems.%2A.error"

struct request {
	uint32_t magic;
	struct sink *s;		    /* borrowed */
	struct delivery **v;	    /* owned; in the order of the body's lines */
	struct os_target **targets; /* owned; of each */
	size_t n, cap;		    /* n 0: free */
	struct buf body, zipped;    /* owned */
	struct creds_call *creds;   /* at most one of these two is under way */
	struct http_call *call;
	size_t url; /* of the link's urls */
	int64_t sent_at;
};

struct sink {
	struct sink_env env;
	const struct os_conf *conf; /* borrowed */
	struct os_link link;
	struct os_bulk bulk;
	struct request *requests;  /* owned; conf->workers of them */
	struct delivery **waiting; /* owned; of the one submit that has not gone wholly */
	size_t waiting_at, waiting_n, waiting_cap;
	bool full; /* said SINK_FULL; owes ready() */
	uint64_t sent, bytes, failed;
	struct histogram took;
};

/* ---- reports ---- */

static void send_on(struct sink *s);

static void
request_reset(struct request *q)
{
	q->n = 0;
	buf_reset(&q->body);
	/* One huge document is no reason to keep its room for ever. */
	if (q->body.cap > 2 * (size_t)q->s->conf->bulk_bytes)
		buf_close(&q->body);
	buf_close(&q->zipped);
}

/* All of a request, in one way. */
static void
report_all(struct request *q, enum sink_verdict v, const struct err *why)
{
	struct sink *s = q->s;
	size_t n = q->n;

	s->failed++;
	request_reset(q);
	for (size_t i = 0; i < n; i++)
		s->env.report(s->env.host, q->v[i], v, why);
}

static void
report_item(void *arg, size_t i, const struct os_item *it)
{
	struct request *q = arg;
	struct sink *s = q->s;
	struct err why;
	enum sink_verdict v = os_item_verdict(
	    it, q->v[i]->rec->event == RECORD_REMOVE, q->targets[i], s->env.name, &why);

	if (it->status < 300)
		q->targets[i]->seen = true;
	s->env.report(s->env.host, q->v[i], v, v == SINK_ACK ? NULL : &why);
}

/* ---- answers ---- */

static void
on_no_answer(struct request *q, const struct err *e)
{
	enum sink_verdict v = SINK_RETRY;

	if (e->code == ERR_CONFIG)
		v = SINK_HALT;
	else if (e->code == ERR_LIMIT) /* halves have shorter answers */
		v = SINK_SPLIT;
	else
		os_link_failed(&q->s->link, q->url);
	report_all(q, v, e);
}

static void
on_status(struct request *q, const struct http_response *r)
{
	struct sink *s = q->s;
	struct err why;
	enum sink_verdict v = os_whole_verdict(r->status, buf_slice(&r->body), s->env.name, &why);

	if (r->status >= 502 && r->status <= 504)
		os_link_failed(&s->link, q->url);
	if (v == SINK_HALT && (r->status == 401 || r->status == 403) &&
	    os_link_refused(&s->link, r))
		v = SINK_RETRY;
	report_all(q, v, &why);
}

static void
on_answer(void *arg, struct http_response *r, const struct err *e)
{
	struct request *q = magic_check(arg, REQUEST_MAGIC);
	struct sink *s = q->s;
	struct err why;

	q->call = NULL;
	histogram_add(&s->took, loop_now(s->env.loop) - q->sent_at);
	if (e != NULL) {
		on_no_answer(q, e);
	} else if (r->status != 200) {
		on_status(q, r);
	} else {
		s->link.refused = 0;
		if (os_answer_each(buf_slice(&r->body), q->n, report_item, q, &why) != 0)
			report_all(q, SINK_RETRY, &why);
		else
			request_reset(q);
	}
	send_on(s);
}

/* ---- sending ---- */

static void
request_send(struct request *q, const struct sigv4_keys *keys)
{
	struct sink *s = q->s;
	struct os_ask ask = {.method = "POST",
	    .path = "/_bulk",
	    .query = BULK_QUERY,
	    .type = "application/x-ndjson",
	    .body = buf_slice(&q->body),
	    .max_answer = LIMIT_PAGE_BODY};
	struct err e;

	if (s->conf->gzip) {
		if (http_deflate(ask.body, &q->zipped, &e) != 0) {
			report_all(q, SINK_RETRY, &e);
			return;
		}
		ask.body = buf_slice(&q->zipped);
		ask.gzipped = true;
	}
	q->url = s->link.url;
	q->sent_at = loop_now(s->env.loop);
	q->call = os_link_send(&s->link, &ask, keys, on_answer, q, &e);
	if (q->call == NULL) {
		report_all(q, e.code == ERR_CONFIG ? SINK_HALT : SINK_RETRY, &e);
		return;
	}
	s->sent++;
	s->bytes += ask.body.n;
}

static void
on_keys(void *arg, const struct sigv4_keys *keys, const struct err *e)
{
	struct request *q = magic_check(arg, REQUEST_MAGIC);
	struct sink *s = q->s;
	struct err why;

	q->creds = NULL;
	if (e != NULL || keys == NULL) {
		why = e != NULL ? *e : (struct err){.code = ERR_AUTH};
		(void)err_prefix(&why, "opensearch: auth: sigv4");
		/* A file that is being rotated, or a broken one: the lane tries again, and says. */
		report_all(q, SINK_RETRY, &why);
	} else {
		request_send(q, keys);
	}
	send_on(s);
}

/* One record into the body; false: it is for the next request. */
static bool
request_add(struct request *q, struct delivery *d)
{
	struct sink *s = q->s;
	size_t before = q->body.n;
	struct os_target *t;
	enum sink_verdict v = SINK_HALT;
	struct err e;

	t = os_target_of(&s->bulk, d->origin, d->route, &e);
	if (t != NULL)
		v = os_bulk_add(
		    &s->bulk, d->rec, d->origin, t, loop_wall(s->env.loop), &q->body, &e);
	else if (e.code == ERR_REFUSED)
		v = SINK_REJECT;
	if (v != SINK_ACK) {
		s->env.report(s->env.host, d, v, &e);
		return true;
	}
	if (q->n > 0 && q->body.n > (size_t)s->conf->bulk_bytes) {
		q->body.n = before;
		return false;
	}
	q->targets[q->n] = t;
	q->v[q->n++] = d;
	return true;
}

static void
request_room(struct request *q, size_t n)
{
	if (n <= q->cap)
		return;
	q->v = mem_grow(q->v, n, sizeof(struct delivery *));
	q->targets = mem_grow(q->targets, n, sizeof(struct os_target *));
	q->cap = n;
}

/* What waits, as much of it as fits. */
static void
request_fill(struct request *q)
{
	struct sink *s = q->s;

	request_room(q, s->waiting_n - s->waiting_at);
	while (s->waiting_at < s->waiting_n && request_add(q, s->waiting[s->waiting_at]))
		s->waiting_at++;
	if (q->n == 0)
		return;
	if (s->link.creds != NULL)
		q->creds = creds_get(s->link.creds, on_keys, q);
	else
		request_send(q, NULL);
}

static struct request *
request_free(struct sink *s)
{
	for (int64_t i = 0; i < s->conf->workers; i++)
		if (s->requests[i].n == 0)
			return &s->requests[i];
	return NULL;
}

static void
fill_free(struct sink *s)
{
	struct request *q;

	while (s->waiting_at < s->waiting_n && (q = request_free(s)) != NULL)
		request_fill(q);
}

static void
send_on(struct sink *s)
{
	fill_free(s);
	if (!s->full || s->waiting_at < s->waiting_n || request_free(s) == NULL)
		return;
	s->full = false;
	s->env.ready(s->env.host);
}

static enum sink_admit
os_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	if (s->waiting_at < s->waiting_n || request_free(s) == NULL) {
		s->full = true;
		return SINK_FULL;
	}
	if (count > s->waiting_cap) {
		s->waiting = mem_grow(s->waiting, count, sizeof(struct delivery *));
		s->waiting_cap = count;
	}
	memcpy(s->waiting, batch, count * sizeof(struct delivery *));
	s->waiting_at = 0;
	s->waiting_n = count;
	fill_free(s);
	return SINK_TAKEN;
}

/* ---- open and close ---- */

static void
close_requests(struct sink *s, const struct err *why)
{
	for (int64_t i = 0; s->requests != NULL && i < s->conf->workers; i++) {
		struct request *q = &s->requests[i];

		if (q->call != NULL)
			http_cancel(q->call);
		if (q->creds != NULL)
			creds_cancel(q->creds);
		for (size_t k = 0; k < q->n; k++)
			s->env.report(s->env.host, q->v[k], SINK_RETRY, why);
		buf_close(&q->body);
		buf_close(&q->zipped);
		free(q->v);
		free(q->targets);
	}
	free(s->requests);
}

static void
os_close(struct sink *s)
{
	struct err why;

	if (s == NULL)
		return;
	(void)err_retry(&why, ERR_CANCELLED, "opensearch: closed before the cluster answered");
	close_requests(s, &why);
	while (s->waiting_at < s->waiting_n)
		s->env.report(s->env.host, s->waiting[s->waiting_at++], SINK_RETRY, &why);
	free(s->waiting);
	os_bulk_close(&s->bulk);
	os_link_close(&s->link);
	free(s);
}

static int
os_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	const struct os_conf *c = conf;
	struct sink *s = mem_new(sizeof *s);

	s->env = *env;
	s->conf = c;
	s->took.shape = &histogram_latency;
	os_bulk_init(&s->bulk, c);
	if (os_link_open(&s->link, env->loop, c, e) != 0) {
		os_close(s);
		return -1;
	}
	s->requests = mem_array((size_t)c->workers, sizeof *s->requests);
	for (int64_t i = 0; i < c->workers; i++)
		s->requests[i] = (struct request){.magic = REQUEST_MAGIC,
		    .s = s,
		    /* Full, and one more document of any size. */
		    .body = BUF_INIT((size_t)c->bulk_bytes + 4u * LIMIT_PAGE_BODY),
		    .zipped = BUF_INIT((size_t)c->bulk_bytes + 5u * LIMIT_PAGE_BODY)};
	if (c->auth == OS_AUTH_BASIC && strncmp(s->link.urls[0].url, "https", 5) != 0)
		log_warn("opensearch", env->name, "the password goes over the network unencrypted");
	*out = s;
	return 0;
}

/* ---- what is seen from outside ---- */

static int
under_way(const struct sink *s)
{
	int n = 0;

	for (int64_t i = 0; i < s->conf->workers; i++)
		n += s->requests[i].n != 0;
	return n;
}

static void
os_status(const struct sink *s, struct buf *out)
{
	buf_add_str(out, "\"url\":");
	buf_add_json_string(out, slice_of(s->link.urls[s->link.url].url));
	buf_addf(out,
	    ",\"mode\":\"%s\",\"requests\":%llu,\"requests_failed\":%llu,\"requests_out\":%d,"
	    "\"failovers\":%llu",
	    os_mode_words[s->conf->mode], (unsigned long long)s->sent,
	    (unsigned long long)s->failed, under_way(s), (unsigned long long)s->link.failovers);
}

static void
os_metrics(const struct sink *s, struct metrics *m)
{
	const char *name = s->env.name;

	metrics_counter(m, "slipring_opensearch_requests", "Bulk requests sent.", (double)s->sent,
	    "sink", name, NULL);
	metrics_counter(m, "slipring_opensearch_requests_failed",
	    "Bulk requests that were refused or not answered as a whole.", (double)s->failed,
	    "sink", name, NULL);
	metrics_counter(m, "slipring_opensearch_request_bytes",
	    "Bytes of bulk bodies as they were sent.", (double)s->bytes, "sink", name, NULL);
	metrics_counter(m, "slipring_opensearch_failovers", "Changes to the next url.",
	    (double)s->link.failovers, "sink", name, NULL);
	metrics_gauge(m, "slipring_opensearch_requests_out", "Bulk requests under way.",
	    (double)under_way(s), "sink", name, NULL);
	metrics_histogram(m, "slipring_opensearch_request_seconds",
	    "From sending a bulk request to its answer, or to giving up.", &s->took, "sink", name,
	    NULL);
}

const struct sink_ops sink_opensearch = {
    .api = SINK_API,
    .type = "opensearch",
    .help = "documents in OpenSearch, or Amazon OpenSearch Service",
    .caps = SINK_CAP_OVERWRITES | SINK_CAP_IDEMPOTENT,
    .conf_size = sizeof(struct os_conf),
    .keys = os_keys,
    .check = os_check,
    .probe = os_probe,
    .open = os_open,
    .submit = os_submit,
    .close = os_close,
    .status = os_status,
    .metrics = os_metrics,
};
