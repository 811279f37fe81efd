/* tests/emulator/wire.c - see wire.h. */
#include "tests/emulator/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"

#define CONN_MAGIC 0x776972c0u
#define HEAD_MOST (64u << 10)
#define BODY_MOST (32u << 20)
#define WRITE_MOST (4u << 20) /* libevent's own default is 16 KiB a call */

enum conn_state { CONN_READING, CONN_DELAYED, CONN_TRICKLING, CONN_HUNG, CONN_ENDING };

struct wire {
	struct event_base *base; /* borrowed */
	struct evconnlistener *listener;
	struct wire_layer layer;
	void (*handle)(void *arg, struct wire_conn *wc, const struct wire_request *rq);
	void *arg;
	struct wire_conn *conns;
	struct wire_stats stats;
	uint16_t port;
};

struct wire_conn {
	uint32_t magic;
	struct wire *w;
	struct wire_conn *next, **link;
	struct bufferevent *bev;
	struct event *timer;
	enum conn_state state;
	struct buf head; /* the request's, once it is whole */
	bool head_whole, continued, answered;
	size_t body_n;
	struct wire_request rq;
	struct wire_plan plan; /* bytes: what has not gone to bev yet */
};

static void
conn_close(struct wire_conn *wc)
{
	*wc->link = wc->next;
	if (wc->next != NULL)
		wc->next->link = wc->link;
	if (wc->plan.bytes != NULL)
		evbuffer_free(wc->plan.bytes);
	event_free(wc->timer);
	bufferevent_free(wc->bev);
	buf_close(&wc->head);
	wc->magic = 0;
	free(wc);
}

static void
conn_finish(struct wire_conn *wc)
{
	struct linger now = {.l_onoff = 1, .l_linger = 0};

	if (wc->plan.end == WIRE_RESET)
		(void)setsockopt(
		    bufferevent_getfd(wc->bev), SOL_SOCKET, SO_LINGER, &now, sizeof now);
	else if (wc->plan.end == WIRE_CLOSE && wc->w->layer.goodbye != NULL)
		wc->w->layer.goodbye(wc->bev);
	conn_close(wc);
}

static void
arm(struct wire_conn *wc, unsigned ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

	evtimer_add(wc->timer, &tv);
}

/* The last byte is with the bufferevent. */
static void
conn_sent(struct wire_conn *wc)
{
	evbuffer_free(wc->plan.bytes);
	wc->plan.bytes = NULL;
	if (wc->plan.end == WIRE_KEEP) {
		wc->state = CONN_READING;
		return;
	}
	wc->state = CONN_ENDING;
	bufferevent_disable(wc->bev, EV_READ);
	/* Nothing under way: no write callback will come. */
	if (evbuffer_get_length(bufferevent_get_output(wc->bev)) == 0)
		arm(wc, 0);
}

static void
conn_transmit(struct wire_conn *wc)
{
	struct evbuffer *out = bufferevent_get_output(wc->bev);

	if (wc->plan.slow_bytes == 0) {
		bufferevent_write_buffer(wc->bev, wc->plan.bytes);
		conn_sent(wc);
		return;
	}
	wc->state = CONN_TRICKLING;
	evbuffer_remove_buffer(wc->plan.bytes, out, wc->plan.slow_bytes);
	if (evbuffer_get_length(wc->plan.bytes) == 0)
		conn_sent(wc);
	else
		arm(wc, wc->plan.slow_ms);
}

void
wire_send(struct wire_conn *wc, const struct wire_plan *plan)
{
	size_t n = evbuffer_get_length(plan->bytes);

	assert(!wc->answered);
	wc->answered = true;
	wc->plan = *plan;
	if (plan->cut < n) {
		wc->plan.bytes = evbuffer_new();
		evbuffer_remove_buffer(plan->bytes, wc->plan.bytes, plan->cut);
		evbuffer_free(plan->bytes);
		n = plan->cut;
	}
	if (plan->hang) {
		wc->state = CONN_HUNG;
		return;
	}
	wc->w->stats.bytes_out += n;
	if (plan->delay_ms != 0) {
		wc->state = CONN_DELAYED;
		arm(wc, plan->delay_ms);
		return;
	}
	conn_transmit(wc);
}

static void
refuse(struct wire_conn *wc, const char *status)
{
	struct wire_plan plan = {.bytes = evbuffer_new(), .cut = SIZE_MAX, .end = WIRE_CLOSE};

	evbuffer_add_printf(
	    plan.bytes, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status);
	wc->answered = false;
	wire_send(wc, &plan);
}

struct slice
wire_header(const struct wire_request *rq, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < rq->header_count; i++)
		if (rq->headers[i].name.n == n && strncasecmp(rq->headers[i].name.p, name, n) == 0)
			return rq->headers[i].value;
	return SLICE_NONE;
}

/* One line without its CRLF; the head ends with an empty one. */
static struct slice
next_line(const char **p, const char *end)
{
	const char *at = memmem(*p, (size_t)(end - *p), "\r\n", 2);
	struct slice s = {*p, (size_t)(at - *p)};

	*p = at + 2;
	return s;
}

static bool
parse_field(struct wire_request *rq, struct slice line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct wire_field *f = &rq->headers[rq->header_count];

	if (colon == NULL || colon == line.p || rq->header_count == WIRE_FIELDS)
		return false;
	f->name = (struct slice){line.p, (size_t)(colon - line.p)};
	f->value = (struct slice){colon + 1, line.n - f->name.n - 1};
	while (f->value.n != 0 && (f->value.p[0] == ' ' || f->value.p[0] == '\t'))
		f->value.p++, f->value.n--;
	rq->header_count++;
	return true;
}

static bool
parse_request_line(struct wire_request *rq, struct slice line)
{
	const char *end = line.p + line.n, *sp = memchr(line.p, ' ', line.n), *sp2;

	if (sp == NULL)
		return false;
	sp2 = memchr(sp + 1, ' ', (size_t)(end - sp - 1));
	if (sp2 == NULL || !slice_is((struct slice){sp2 + 1, (size_t)(end - sp2 - 1)}, "HTTP/1.1"))
		return false;
	rq->method = (struct slice){line.p, (size_t)(sp - line.p)};
	rq->path = (struct slice){sp + 1, (size_t)(sp2 - sp - 1)};
	return true;
}

/* NULL if it is fine, else the status line to refuse it with. */
static const char *
parse_head(struct wire_conn *wc)
{
	const char *p = wc->head.p, *end = p + wc->head.n;
	struct slice line, length;

	wc->rq = (struct wire_request){0};
	wc->body_n = 0;
	if (!parse_request_line(&wc->rq, next_line(&p, end)))
		return "400 Bad Request";
	while ((line = next_line(&p, end)).n != 0)
		if (!parse_field(&wc->rq, line))
			return "400 Bad Request";
	if (wire_header(&wc->rq, "transfer-encoding").p != NULL)
		return "501 Not Implemented";
	length = wire_header(&wc->rq, "content-length");
	for (size_t i = 0; i < length.n; i++) {
		if (length.p[i] < '0' || length.p[i] > '9')
			return "400 Bad Request";
		wc->body_n = wc->body_n * 10 + (size_t)(length.p[i] - '0');
		if (wc->body_n > BODY_MOST)
			return "413 Payload Too Large";
	}
	return NULL;
}

/* False: more bytes are needed, or the connection is lost to us. */
static bool
take_head(struct wire_conn *wc, struct evbuffer *in)
{
	struct evbuffer_ptr at = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	const char *refusal;
	size_t n;

	if (at.pos < 0) {
		if (evbuffer_get_length(in) > HEAD_MOST)
			refuse(wc, "431 Request Header Fields Too Large");
		return false;
	}
	n = (size_t)at.pos + 4;
	buf_reset(&wc->head);
	if (!buf_reserve(&wc->head, n)) {
		refuse(wc, "431 Request Header Fields Too Large");
		return false;
	}
	evbuffer_remove(in, wc->head.p, n);
	wc->head.n = n;
	wc->w->stats.bytes_in += n;
	refusal = parse_head(wc);
	if (refusal != NULL) {
		refuse(wc, refusal);
		return false;
	}
	wc->head_whole = true;
	wc->continued = false;
	return true;
}

static bool
take_request(struct wire_conn *wc)
{
	struct evbuffer *in = bufferevent_get_input(wc->bev);

	if (!wc->head_whole && !take_head(wc, in))
		return false;
	if (evbuffer_get_length(in) < wc->body_n) {
		if (!wc->continued && wire_header(&wc->rq, "expect").p != NULL)
			evbuffer_add_printf(
			    bufferevent_get_output(wc->bev), "HTTP/1.1 100 Continue\r\n\r\n");
		wc->continued = true;
		return false;
	}
	wc->head_whole = false;
	wc->answered = false;
	wc->rq.body = (struct slice){
	    wc->body_n != 0 ? (const char *)evbuffer_pullup(in, (ssize_t)wc->body_n) : "",
	    wc->body_n};
	wc->w->stats.requests++;
	wc->w->stats.bytes_in += wc->body_n;
	wc->w->handle(wc->w->arg, wc, &wc->rq);
	assert(wc->answered);
	evbuffer_drain(in, wc->body_n);
	return true;
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct wire_conn *wc = magic_check(arg, CONN_MAGIC);

	(void)bev;
	while (wc->state == CONN_READING && take_request(wc))
		;
}

static void
on_write(struct bufferevent *bev, void *arg)
{
	struct wire_conn *wc = magic_check(arg, CONN_MAGIC);

	if (wc->state == CONN_ENDING && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
		conn_finish(wc);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct wire_conn *wc = magic_check(arg, CONN_MAGIC);

	(void)bev;
	if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0)
		conn_close(wc);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct wire_conn *wc = magic_check(arg, CONN_MAGIC);

	(void)fd;
	(void)what;
	if (wc->state == CONN_ENDING) {
		conn_finish(wc);
		return;
	}
	conn_transmit(wc);
	/* The next request may have come meanwhile. */
	on_read(wc->bev, wc);
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int n, void *arg)
{
	struct wire *w = arg;
	struct wire_conn *wc = mem_new(sizeof *wc);
	int one = 1;

	(void)l;
	(void)sa;
	(void)n;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	w->stats.accepted++;
	wc->magic = CONN_MAGIC;
	wc->w = w;
	wc->head = BUF_INIT(HEAD_MOST + 4);
	wc->timer = evtimer_new(w->base, on_timer, wc);
	wc->bev = w->layer.wrap != NULL
	    ? w->layer.wrap(w->layer.arg, w->base, fd)
	    : bufferevent_socket_new(w->base, fd, BEV_OPT_CLOSE_ON_FREE);
	assert(wc->bev != NULL && wc->timer != NULL);
	wc->next = w->conns;
	wc->link = &w->conns;
	if (w->conns != NULL)
		w->conns->link = &wc->next;
	w->conns = wc;
	bufferevent_set_max_single_write(wc->bev, WRITE_MOST);
	bufferevent_setcb(wc->bev, on_read, on_write, on_event, wc);
	bufferevent_enable(wc->bev, EV_READ | EV_WRITE);
}

int
wire_open(struct wire **out, struct event_base *base, const char *address, uint16_t port,
    const struct wire_layer *layer,
    void (*handle)(void *arg, struct wire_conn *wc, const struct wire_request *rq), void *arg,
    struct err *e)
{
	struct wire *w = mem_new(sizeof *w);
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons(port)};
	socklen_t n = sizeof sin;

	w->base = base;
	w->layer = *layer;
	w->handle = handle;
	w->arg = arg;
	*out = w;
	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		return err_set(e, ERR_USAGE, "wire: %s is no IPv4 address", address);
	w->listener = evconnlistener_new_bind(base, on_accept, w,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 1024,
	    (struct sockaddr *)&sin, sizeof sin);
	if (w->listener == NULL)
		return err_errno(e, errno, "wire: cannot listen on %s port %u", address, port);
	if (getsockname(evconnlistener_get_fd(w->listener), (struct sockaddr *)&sin, &n) != 0)
		return err_errno(e, errno, "wire: cannot read the port");
	w->port = ntohs(sin.sin_port);
	return 0;
}

uint16_t
wire_port(const struct wire *w)
{
	return w->port;
}

const struct wire_stats *
wire_get_stats(const struct wire *w)
{
	return &w->stats;
}

void
wire_close(struct wire *w)
{
	if (w == NULL)
		return;
	while (w->conns != NULL)
		conn_close(w->conns);
	if (w->listener != NULL)
		evconnlistener_free(w->listener);
	free(w);
}
