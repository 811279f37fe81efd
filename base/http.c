/* base/http.c - base/http.h on libcurl's multi interface.
 *
 *   http_send --> multi --(socket and timer callbacks: only re-arm)--> loop
 *   loop --> pump(): curl_multi_socket_action, then collect() what is done
 *                    into the done list, then deliver() it
 *
 * The owners' callbacks run from deliver() only, when libcurl is not on the
 * stack: they may send, cancel and even close the whole client. libcurl's own
 * callbacks touch our buffers and the loop, never libcurl and never an owner.
 *
 * Easy handles are pooled, since making one costs more than a request. Name
 * lookups run on libcurl's resolver thread (http_new() refuses a libcurl that
 * would block); QUICK_EXIT keeps a cancelled or timed out call from waiting
 * for that thread.
 *
 * Does not do: retries (beyond libcurl's own one when a kept connection turns
 * out dead before any byte came), redirects, cookies, proxies, HTTP/2.
 */
#include "base/http_priv.h"

#include <stdlib.h>

#include "base/compiler.h"
#include "base/mem.h"

enum {
	HTTP_MAGIC = 0x68747470,
	SOCK_MAGIC = 0x68736f63,
	POOL_MAX = 64,	       /* idle easy handles; one a call under way is usual */
	CONNECTIONS_MAX = 256, /* kept alive; libcurl's default follows the calls
				* of the moment and would drop them when idle */
};

struct sock { /* one descriptor of libcurl's */
	uint32_t magic;
	struct http *h;	    /* borrowed */
	struct loop_io *io; /* owned */
	struct sock *next, **prev;
};

struct http {
	uint32_t magic;
	struct loop *lp;		     /* borrowed */
	CURLM *multi;			     /* owned */
	struct loop_timer *timer;	     /* owned */
	struct http_call *active;	     /* owned: in the multi handle */
	struct http_call *done, **done_tail; /* owned: awaiting their callbacks */
	struct sock *socks;		     /* owned */
	CURL *pool[POOL_MAX];		     /* owned: idle easy handles */
	size_t pool_n;
	bool drop_capath; /* the bundle file says it all: see set_tls() */
	bool delivering;
	bool closed; /* closed by a callback: deliver() frees */
};

/* ---- lists ---- */

static void
call_link(struct http_call **head, struct http_call *c)
{
	c->next = *head;
	c->prev = head;
	if (c->next != NULL)
		c->next->prev = &c->next;
	*head = c;
}

static void
call_unlink(struct http_call *c)
{
	if (c->prev == NULL)
		return;
	*c->prev = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else if (c->h->done_tail == &c->next)
		c->h->done_tail = c->prev;
	c->next = NULL;
	c->prev = NULL;
}

static void
call_queue(struct http *h, struct http_call *c)
{
	c->next = NULL;
	c->prev = h->done_tail;
	*h->done_tail = c;
	h->done_tail = &c->next;
}

/* ---- a call's life ---- */

static CURL *
take_easy(struct http *h)
{
	return h->pool_n > 0 ? h->pool[--h->pool_n] : curl_easy_init();
}

/* Only one that has carried a request to its end is used again: libcurl may keep something in
 * others (7.88 the receive buffer, after a name that was not found), and then refuses options
 * for as long as the handle lives, which as the top of the pool would be every request's. */
static void
give_easy(struct http *h, CURL *easy, bool good)
{
	if (!good || h->pool_n == POOL_MAX) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	h->pool[h->pool_n++] = easy;
}

/* Everything of a call that libcurl may look at goes only after this. */
static void
detach_easy(struct http_call *c)
{
	if (c->easy == NULL)
		return;
	(void)curl_multi_remove_handle(c->h->multi, c->easy);
	give_easy(c->h, c->easy, c->r.status != 0);
	c->easy = NULL;
}

static void
call_free(struct http_call *c)
{
	call_unlink(c);
	curl_slist_free_all(c->list);
	free(c->body);
	buf_close(&c->headers);
	buf_close(&c->r.body);
	c->magic = 0;
	free(c);
}

void
http_cancel(struct http_call *c)
{
	detach_easy(c);
	call_free(c);
}

/* ---- libcurl's wishes of the loop; libcurl is never called from here ---- */

static void pump(struct http *h, curl_socket_t fd, int what);

static void
on_io(void *arg, int fd, unsigned events)
{
	struct sock *s = magic_check(arg, SOCK_MAGIC);

	pump(s->h, fd,
	    ((events & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) |
		((events & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static void
on_timer(void *arg)
{
	pump(magic_check(arg, HTTP_MAGIC), CURL_SOCKET_TIMEOUT, 0);
}

static void
sock_close(struct sock *s)
{
	loop_io_close(s->io);
	*s->prev = s->next;
	if (s->next != NULL)
		s->next->prev = s->prev;
	s->magic = 0;
	free(s);
}

static struct sock *
sock_new(struct http *h, int fd, unsigned events)
{
	struct sock *s = mem_new(sizeof *s);

	*s = (struct sock){.magic = SOCK_MAGIC, .h = h, .next = h->socks, .prev = &h->socks};
	if (s->next != NULL)
		s->next->prev = &s->next;
	h->socks = s;
	s->io = loop_io_new(h->lp, fd, events, on_io, s);
	return s;
}

static int
on_socket_wish(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock)
{
	struct http *h = magic_check(arg, HTTP_MAGIC);
	unsigned events = ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) |
	    ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (sock != NULL)
			sock_close(magic_check(sock, SOCK_MAGIC));
		(void)curl_multi_assign(h->multi, fd, NULL);
	} else if (sock != NULL) {
		loop_io_set(((struct sock *)magic_check(sock, SOCK_MAGIC))->io, events);
	} else {
		(void)curl_multi_assign(h->multi, fd, sock_new(h, fd, events));
	}
	return 0;
}

static int
on_timer_wish(CURLM *multi, long ms, void *arg)
{
	struct http *h = magic_check(arg, HTTP_MAGIC);

	(void)multi;
	if (ms < 0)
		loop_timer_disarm(h->timer);
	else
		loop_timer_arm(h->timer, (int64_t)ms * USEC_MS);
	return 0;
}

/* ---- what became of a call ---- */

static void
finish(struct http *h, struct http_call *c, CURLcode code)
{
	long status = 0;

	if (code == CURLE_OK) {
		(void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
		c->r.status = (int)status;
		c->r.headers = buf_slice(&c->headers);
	} else {
		c->failed = true;
		http_call_explain(c, code);
	}
	call_unlink(c);
	detach_easy(c);
	call_queue(h, c);
}

static void
collect(struct http *h)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		CURLcode code = m->data.result;
		char *call = NULL;

		if (m->msg != CURLMSG_DONE)
			continue;
		(void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
		/* m dies with the removal of its handle */
		finish(h, magic_check(call, CALL_MAGIC), code);
	}
}

static void
deliver(struct http *h)
{
	struct http_call *c;

	h->delivering = true;
	while (!h->closed && (c = h->done) != NULL) {
		call_unlink(c);
		c->fn(c->arg, c->failed ? NULL : &c->r, c->failed ? &c->e : NULL);
		call_free(c);
	}
	h->delivering = false;
	if (h->closed)
		free(h);
}

static void
pump(struct http *h, curl_socket_t fd, int what)
{
	int running;

	/* The other codes tell of calls this file does not make. */
	if (curl_multi_socket_action(h->multi, fd, what, &running) == CURLM_OUT_OF_MEMORY)
		abort();
	collect(h);
	deliver(h);
}

/* ---- sending ---- */

static int
start(struct http *h, struct http_call *c, const struct http_request *rq, struct err *e)
{
	CURL *easy = take_easy(h);

	if (easy == NULL)
		return err_retry(e, ERR_NOMEM, "http: out of memory for a request");
	if (!http_call_describe(c, easy, rq, h->drop_capath) ||
	    curl_multi_add_handle(h->multi, easy) != CURLM_OK) {
		give_easy(h, easy, false);
		return err_retry(
		    e, ERR_NOMEM, "http: libcurl did not take the request for %s", c->peer);
	}
	c->easy = easy;
	call_link(&h->active, c);
	return 0;
}

struct http_call *
http_send(struct http *h, const struct http_request *rq,
    void (*fn)(void *arg, struct http_response *r, const struct err *e), void *arg, struct err *e)
{
	struct http_call *c = mem_new(sizeof *c);

	c->h = h;
	c->fn = fn;
	c->arg = arg;
	if (http_call_init(c, rq, e) == -1 || start(h, c, rq, e) == -1)
		goto fail;
	return c;
fail:
	call_free(c);
	return NULL;
}

/* ---- the client ---- */

static int
set_multi(struct http *h, struct err *e)
{
	const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);

	if ((v->features & CURL_VERSION_ASYNCHDNS) == 0)
		return err_set(e, ERR_VERSION,
		    "http: this libcurl (%s) blocks while it looks up names; one with the threaded "
		    "resolver or c-ares is needed",
		    v->version);
	h->drop_capath = v->cainfo != NULL;
	h->multi = curl_multi_init();
	if (h->multi == NULL ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wish) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer_wish) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) != CURLM_OK ||
	    curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_MAX) != CURLM_OK)
		return err_set(e, ERR_NOMEM, "http: cannot start libcurl");
	return 0;
}

int
http_new(struct http **out, struct loop *lp, struct err *e)
{
	struct http *h;

	*out = NULL;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_NOMEM, "http: cannot start libcurl");
	h = mem_new(sizeof *h);
	h->magic = HTTP_MAGIC;
	h->lp = lp;
	h->done_tail = &h->done;
	h->timer = loop_timer_new(lp, on_timer, h);
	if (set_multi(h, e) == -1) {
		http_close(h);
		return -1;
	}
	*out = h;
	return 0;
}

void
http_close(struct http *h)
{
	if (h == NULL)
		return;
	while (h->active != NULL)
		http_cancel(h->active);
	while (h->done != NULL)
		http_cancel(h->done);
	while (h->pool_n > 0)
		curl_easy_cleanup(h->pool[--h->pool_n]);
	(void)curl_multi_cleanup(h->multi);
	/* libcurl takes its sockets back on the way; none should be left. */
	while (h->socks != NULL)
		sock_close(h->socks);
	loop_timer_close(h->timer);
	curl_global_cleanup();
	h->magic = 0;
	if (h->delivering)
		h->closed = true;
	else
		free(h);
}
