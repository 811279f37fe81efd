/* tests/unit/http_test.c - base/http.c against a server in threads of this
 * process, and against `openssl s_server` for TLS.
 *
 * The server's answer is chosen by the path; see answer(). getaddrinfo() is
 * replaced here so that one name never resolves: the loop must not notice.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zlib.h>

#include "base/http.h"
#include "base/limits.h"
#include "base/mem.h"

/* ---- a name that does not come back ---- */

static pthread_mutex_t dns_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t dns_cond = PTHREAD_COND_INITIALIZER;
static int dns_waiting;
static bool dns_release;

int
getaddrinfo(
    const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	void *sym = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&real, &sym, sizeof real);
	if (node == NULL || strcmp(node, "slow.invalid") != 0)
		return real(node, service, hints, res);
	pthread_mutex_lock(&dns_lock);
	dns_waiting++;
	while (!dns_release)
		pthread_cond_wait(&dns_cond, &dns_lock);
	dns_waiting--;
	pthread_cond_broadcast(&dns_cond);
	pthread_mutex_unlock(&dns_lock);
	return EAI_NONAME;
}

static void
dns_let_go(void)
{
	pthread_mutex_lock(&dns_lock);
	dns_release = true;
	pthread_cond_broadcast(&dns_cond);
	while (dns_waiting > 0)
		pthread_cond_wait(&dns_cond, &dns_lock);
	dns_release = false;
	pthread_mutex_unlock(&dns_lock);
}

/* ---- the server ---- */

enum { CONNS_MAX = 256, TESTS_MAX = 64, REQUEST_MAX = 4 << 20 };

static struct server {
	int fd;
	int port;
	int stop[2]; /* closing the write end ends every thread */
	pthread_t thread;
	pthread_t conns[CONNS_MAX];
	int conn_n;
	atomic_int conns_of[TESTS_MAX]; /* connections that carried a request of that test */
	atomic_int requests;
} sv;

/* 0: the peer closed, or the test is over. */
static ssize_t
wait_read(int fd, char *p, size_t n)
{
	struct pollfd pf[2] = {{.fd = fd, .events = POLLIN}, {.fd = sv.stop[0], .events = POLLIN}};

	while (poll(pf, 2, -1) == -1 && errno == EINTR)
		continue;
	if (pf[1].revents != 0)
		return 0;
	return recv(fd, p, n, 0);
}

static void
put(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k <= 0)
			return;
		p += k;
		n -= (size_t)k;
	}
}

static void
say(int fd, const char *text)
{
	put(fd, text, strlen(text));
}

static void
answer_sized(int fd, const char *extra, const char *body, size_t n)
{
	char head[512];

	(void)snprintf(
	    head, sizeof head, "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", extra, n);
	say(fd, head);
	put(fd, body, n);
}

static void
answer_headers_too_long(int fd)
{
	char line[1100];

	say(fd, "HTTP/1.1 200 OK\r\n");
	memset(line, 'x', sizeof line);
	memcpy(line, "X-Long: ", 8);
	memcpy(line + sizeof line - 2, "\r\n", 2);
	for (int i = 0; i < 100; i++)
		put(fd, line, sizeof line);
	say(fd, "Content-Length: 0\r\n\r\n");
}

static void
answer_big_chunked(int fd)
{
	static const char zeros[4096];

	say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (int i = 0; i < 64; i++) {
		say(fd, "1000\r\n");
		put(fd, zeros, sizeof zeros);
		say(fd, "\r\n");
	}
	say(fd, "0\r\n\r\n");
}

static void
reset_connection(int fd)
{
	struct linger hard = {.l_onoff = 1};

	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

/* False: close the connection. */
static bool
answer(int fd, const char *path, const char *request, size_t n)
{
	char c;

	if (strcmp(path, "/echo") == 0)
		return answer_sized(fd, "X-One:  spaced \t\r\nx-one: second\r\n", request, n), true;
	if (strcmp(path, "/close") == 0)
		return answer_sized(fd, "", "bye", 3), false;
	if (strcmp(path, "/chunked") == 0)
		return say(fd,
			   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			   "3\r\nabc\r\n1\r\nd\r\n5;x=y\r\nefghi\r\n0\r\nX-Trailer: t\r\n\r\n"),
		       true;
	if (strcmp(path, "/encoded") == 0)
		return answer_sized(fd, "Content-Encoding: gzip\r\n", "\x1f\x8b not gzip", 11),
		       true;
	if (strcmp(path, "/interim") == 0)
		return say(fd,
			   "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\n"
			   "HTTP/1.1 200 OK\r\nX-Late: yes\r\nContent-Length: 2\r\n\r\nok"),
		       true;
	if (strcmp(path, "/redirect") == 0)
		return say(fd,
			   "HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n"),
		       true;
	if (strcmp(path, "/500") == 0)
		return say(fd, "HTTP/1.1 500 Oops\r\nContent-Length: 13\r\n\r\n<html>no.</h>"),
		       true;
	if (strcmp(path, "/claims") == 0)
		return say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc"),
		       wait_read(fd, &c, 1) > 0;
	if (strcmp(path, "/bigchunked") == 0)
		return answer_big_chunked(fd), true;
	if (strcmp(path, "/headers") == 0)
		return answer_headers_too_long(fd), true;
	if (strcmp(path, "/cut") == 0)
		return say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"), false;
	if (strcmp(path, "/cutchunk") == 0)
		return say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n0123"),
		       false;
	if (strcmp(path, "/reset") == 0)
		return say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123"),
		       reset_connection(fd), false;
	if (strcmp(path, "/nothing") == 0)
		return false;
	if (strcmp(path, "/garbage") == 0)
		return say(fd, "SSH-2.0-OpenSSH_9.2\r\n"), false;
	/* /hang: until the client goes away */
	return wait_read(fd, &c, 1) > 0;
}

/* One request with its body into text; its length, 0 at the end. */
static size_t
read_request(int fd, char *text, size_t max)
{
	size_t n = 0, need = 0;

	while (need == 0 || n < need) {
		ssize_t k = wait_read(fd, text + n, max - 1 - n);
		char *end, *length;

		if (k <= 0)
			return 0;
		n += (size_t)k;
		text[n] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (end == NULL || need != 0)
			continue;
		length = strcasestr(text, "\r\ncontent-length:");
		need = (size_t)(end + 4 - text) +
		    (length != NULL && length < end ? strtoul(length + 17, NULL, 10) : 0);
	}
	return n;
}

static void *
serve_connection(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char *text = malloc(REQUEST_MAX);
	char path[100];
	int yes = 1;
	bool seen = false;
	size_t n;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	while ((n = read_request(fd, text, REQUEST_MAX)) > 0) {
		int test = 0;

		atomic_fetch_add(&sv.requests, 1);
		if (sscanf(text, "%*s %99[^? ]?%d", path, &test) < 1)
			break;
		if (!seen && test > 0 && test < TESTS_MAX)
			atomic_fetch_add(&sv.conns_of[test], 1);
		seen = true;
		if (!answer(fd, path, text, n))
			break;
	}
	free(text);
	(void)close(fd);
	return NULL;
}

static void *
serve(void *arg)
{
	struct pollfd pf[2] = {
	    {.fd = sv.fd, .events = POLLIN}, {.fd = sv.stop[0], .events = POLLIN}};

	(void)arg;
	for (;;) {
		int fd;

		if (poll(pf, 2, -1) == -1 && errno == EINTR)
			continue;
		if (pf[1].revents != 0 || sv.conn_n == CONNS_MAX)
			return NULL;
		fd = accept(sv.fd, NULL, NULL);
		if (fd == -1)
			continue;
		if (pthread_create(
			&sv.conns[sv.conn_n], NULL, serve_connection, (void *)(intptr_t)fd) == 0)
			sv.conn_n++;
	}
}

static int
listen_loopback(int *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_not_equal(fd, -1);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static int
server_start(void **state)
{
	(void)state;
	sv.fd = listen_loopback(&sv.port);
	if (listen(sv.fd, 64) == -1 || pipe(sv.stop) == -1)
		return -1;
	return pthread_create(&sv.thread, NULL, serve, NULL);
}

static int
server_stop(void **state)
{
	(void)state;
	(void)close(sv.stop[1]);
	(void)pthread_join(sv.thread, NULL);
	for (int i = 0; i < sv.conn_n; i++)
		(void)pthread_join(sv.conns[i], NULL);
	(void)close(sv.stop[0]);
	(void)close(sv.fd);
	return 0;
}

/* ---- the client side of a test ---- */

struct answer_seen {
	struct world *w;
	bool seen;
	int status;
	struct buf body;
	char header[64];
	struct err e;
	void (*then)(struct answer_seen *a);
};

static struct world {
	struct loop *lp;
	struct http *h;
	struct loop_timer *guard, *timer;
	struct answer_seen a[80];
	struct http_call *call[80];
	int pending;
	int64_t started;
	bool hung, fired;
	const char *want_header;
	int number; /* of the test: late connections of the one before do not count */
} world;

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

	*w = (struct world){.number = w->number + 1};
	if (loop_new(&w->lp, 1, &e) == -1 || http_new(&w->h, w->lp, &e) == -1) {
		print_error("%s\n", e.text);
		return -1;
	}
	w->guard = loop_timer_new(w->lp, on_guard, w);
	loop_timer_arm(w->guard, 20 * USEC_SEC);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	http_close(w->h);
	loop_timer_close(w->guard);
	loop_timer_close(w->timer);
	loop_close(w->lp);
	for (size_t i = 0; i < ARRAY_LEN(w->a); i++)
		buf_close(&w->a[i].body);
	return 0;
}

static void
on_answer(void *arg, struct http_response *r, const struct err *e)
{
	struct answer_seen *a = arg;

	assert_false(a->seen);
	assert_true((r == NULL) != (e == NULL));
	a->seen = true;
	if (r != NULL) {
		a->status = r->status;
		a->body = r->body; /* taken */
		r->body = BUF_INIT(0);
		if (a->w->want_header != NULL) {
			struct slice v = http_header_get(r, a->w->want_header);

			(void)snprintf(a->header, sizeof a->header, "%.*s",
			    v.p != NULL ? (int)v.n : 6, v.p != NULL ? v.p : "(none)");
		}
	} else {
		a->e = *e;
	}
	if (a->then != NULL)
		a->then(a);
	if (--a->w->pending == 0)
		loop_stop(a->w->lp);
}

static const char *
url_of(const char *path)
{
	static char url[256];

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d%s?%d", sv.port, path, world.number);
	return url;
}

static void
send_request(struct world *w, int i, struct http_request rq)
{
	struct err e;

	w->a[i] = (struct answer_seen){.w = w, .then = w->a[i].then};
	if (rq.method == NULL)
		rq.method = "GET";
	if (rq.max_body == 0)
		rq.max_body = 1 << 20;
	w->call[i] = http_send(w->h, &rq, on_answer, &w->a[i], &e);
	if (w->call[i] == NULL)
		fail_msg("%s", e.text);
	assert_false(w->a[i].seen); /* never from inside http_send() */
	w->pending++;
}

static void
run(struct world *w)
{
	struct err e;

	w->started = loop_now(w->lp);
	assert_int_equal(loop_run(w->lp, &e), 0);
	assert_false(w->hung);
}

static struct answer_seen *
get(struct world *w, const char *path)
{
	buf_close(&w->a[0].body);
	send_request(w, 0, (struct http_request){.url = url_of(path)});
	run(w);
	return &w->a[0];
}

static void
expect_body(struct answer_seen *a, const char *want)
{
	if (a->status != 200)
		fail_msg("status %d, error '%s'", a->status, a->e.text);
	assert_string_equal(buf_cstr(&a->body), want);
}

static void
expect_error(struct answer_seen *a, enum err_code code, bool retriable, const char *text)
{
	if (a->e.code != code || strstr(a->e.text, text) == NULL)
		fail_msg("want code %d '%s', got %d '%s' (status %d)", code, text, a->e.code,
		    a->e.text, a->status);
	assert_int_equal(a->e.retriable, retriable);
	assert_int_equal(a->status, 0);
}

static int
connections(struct world *w)
{
	return atomic_load(&sv.conns_of[w->number]);
}

/* ---- tests ---- */

static void
test_request_is_sent_as_described(void **state)
{
	static const struct http_header headers[] = {
	    {"Content-Type", "application/x-amz-json-1.0"},
	    {"X-Amz-Target", "A.B"},
	    {"X-Empty", ""},
	};
	struct world *w = *state;
	char want[512];

	w->want_header = "X-ONE";
	send_request(w, 0,
	    (struct http_request){.method = "POST",
		.url = url_of("/echo"),
		.headers = headers,
		.header_count = 3,
		.body = SLICE_LIT("{\"a\":1}")});
	run(w);
	(void)snprintf(want, sizeof want,
	    "POST /echo?%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: slipring/" SLIPRING_VERSION
	    "\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: A.B\r\nX-Empty:\r\n"
	    "Content-Length: 7\r\n\r\n{\"a\":1}",
	    w->number, sv.port);
	expect_body(&w->a[0], want);
	assert_string_equal(w->a[0].header, "spaced");
}

static void
test_body_may_have_any_size_and_no_expect(void **state)
{
	enum { BIG = 1500000 }; /* libcurl would ask above a megabyte */
	struct world *w = *state;
	char *big = mem_array(BIG, 1);

	memset(big, 'z', BIG);
	send_request(w, 0,
	    (struct http_request){.method = "POST",
		.url = url_of("/echo"),
		.body = {big, BIG},
		.max_body = REQUEST_MAX});
	memset(big, 'y', BIG); /* it was copied */
	run(w);
	assert_int_equal(w->a[0].status, 200);
	assert_null(strstr(buf_cstr(&w->a[0].body), "Expect"));
	assert_null(strstr(buf_cstr(&w->a[0].body), "Content-Type"));
	assert_non_null(strstr(buf_cstr(&w->a[0].body), "\r\n\r\nzzzz"));
	assert_null(strchr(strstr(buf_cstr(&w->a[0].body), "\r\n\r\n"), 'y'));
	free(big);
}

static void
test_methods(void **state)
{
	static const char *const methods[] = {"GET", "DELETE", "PUT", "POST", "PATCH"};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		for (int with_body = 0; with_body < 2; with_body++) {
			buf_close(&w->a[0].body);
			send_request(w, 0,
			    (struct http_request){.method = methods[i],
				.url = url_of("/echo"),
				.body = with_body ? SLICE_LIT("xyz") : SLICE_NONE});
			run(w);
			assert_int_equal(w->a[0].status, 200);
			assert_memory_equal(
			    buf_cstr(&w->a[0].body), methods[i], strlen(methods[i]));
			assert_int_equal(with_body,
			    strstr(buf_cstr(&w->a[0].body), "Content-Length: 3\r\n\r\nxyz") !=
				NULL);
		}
	}
	assert_int_equal(connections(w), 1);
}

static void
test_connection_is_reused(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 20; i++)
		assert_int_equal(get(w, "/echo")->status, 200);
	assert_int_equal(connections(w), 1);
}

static void
test_parallel_calls_then_reuse(void **state)
{
	struct world *w = *state;
	int first;

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20; i++) {
			buf_close(&w->a[i].body);
			send_request(w, i, (struct http_request){.url = url_of("/chunked")});
		}
		run(w);
		for (int i = 0; i < 20; i++)
			expect_body(&w->a[i], "abcdefghi");
		if (round == 0)
			first = connections(w);
	}
	assert_in_range(first, 1, 20);
	assert_int_equal(connections(w), first);
}

static void
test_closed_connection_is_replaced(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 5; i++)
		expect_body(get(w, "/close"), "bye");
	assert_int_equal(connections(w), 5);
}

static void
test_answers_come_raw(void **state)
{
	struct world *w = *state;

	expect_body(get(w, "/encoded"), "\x1f\x8b not gzip");
	expect_body(get(w, "/chunked"), "abcdefghi");
	w->want_header = "X-Early";
	assert_string_equal(get(w, "/interim")->header, "(none)");
	w->want_header = "x-late";
	assert_string_equal(get(w, "/interim")->header, "yes");
	assert_string_equal(buf_cstr(&w->a[0].body), "ok");
}

static void
test_any_status_is_an_answer(void **state)
{
	struct world *w = *state;
	int before;

	assert_int_equal(get(w, "/500")->status, 500);
	assert_string_equal(buf_cstr(&w->a[0].body), "<html>no.</h>");
	before = atomic_load(&sv.requests);
	assert_int_equal(get(w, "/redirect")->status, 302);
	assert_int_equal(atomic_load(&sv.requests), before + 1);
}

static void
test_limits(void **state)
{
	struct world *w = *state;

	send_request(w, 0, (struct http_request){.url = url_of("/bigchunked"), .max_body = 100000});
	send_request(w, 1, (struct http_request){.url = url_of("/bigchunked"), .max_body = 262144});
	send_request(w, 2, (struct http_request){.url = url_of("/bigchunked"), .max_body = 262143});
	send_request(w, 3, (struct http_request){.url = url_of("/claims"), .max_body = 100});
	send_request(w, 4, (struct http_request){.url = url_of("/headers")});
	run(w);
	expect_error(&w->a[0], ERR_LIMIT, false, "exceeds 100000 bytes");
	assert_int_equal(w->a[1].status, 200);
	assert_int_equal(w->a[1].body.n, 262144);
	expect_error(&w->a[2], ERR_LIMIT, false, "exceeds 262143 bytes");
	expect_error(&w->a[3], ERR_LIMIT, false, "exceeds 100 bytes");
	expect_error(&w->a[4], ERR_LIMIT, false, "headers of http://127.0.0.1:");
}

static void
test_broken_answers(void **state)
{
	struct world *w = *state;

	expect_error(get(w, "/cut"), ERR_PROTOCOL, true, "was cut");
	expect_error(get(w, "/cutchunk"), ERR_PROTOCOL, true, "was cut");
	expect_error(get(w, "/reset"), ERR_NETWORK, true, "http: ");
	expect_error(get(w, "/nothing"), ERR_NETWORK, true, "without an answer");
	expect_error(get(w, "/garbage"), ERR_PROTOCOL, true, "no HTTP/1.1");
	assert_int_equal(get(w, "/echo")->status, 200);
}

static void
test_connection_refused(void **state)
{
	struct world *w = *state;
	char url[64], want[128];
	int port;
	int fd = listen_loopback(&port); /* bound, not listening: refused */

	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
	(void)snprintf(want, sizeof want, "http://127.0.0.1:%d refused the connection", port);
	send_request(w, 0, (struct http_request){.url = url});
	run(w);
	(void)close(fd);
	expect_error(&w->a[0], ERR_NETWORK, true, want);
}

static void
test_total_timeout(void **state)
{
	struct world *w = *state;
	int64_t took;

	send_request(
	    w, 0, (struct http_request){.url = url_of("/hang"), .total_timeout_us = 60 * USEC_MS});
	run(w);
	took = loop_now(w->lp) - w->started;
	expect_error(&w->a[0], ERR_NETWORK, true, "no complete answer of http://127.0.0.1:");
	assert_true(took >= 55 * USEC_MS && took < 10 * USEC_SEC);
}

/* Nobody accepts, and the queue of connections is full. */
static void
test_connect_timeout(void **state)
{
	struct world *w = *state;
	char url[64];
	int port, fd = listen_loopback(&port);
	int fill[8];
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((uint16_t)port)};

	assert_int_equal(listen(fd, 1), 0);
	for (int i = 0; i < 8; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fill[i], (struct sockaddr *)&a, sizeof a);
	}
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
	send_request(w, 0, (struct http_request){.url = url, .connect_timeout_us = 50 * USEC_MS});
	run(w);
	for (int i = 0; i < 8; i++)
		(void)close(fill[i]);
	(void)close(fd);
	expect_error(&w->a[0], ERR_NETWORK, true, "no connection to http://127.0.0.1:");
}

static void
on_tick(void *arg)
{
	struct world *w = arg;

	w->fired = true;
	loop_stop(w->lp);
}

static void
test_slow_name_blocks_nobody(void **state)
{
	struct world *w = *state;
	int64_t begin = loop_now(w->lp);

	send_request(w, 0,
	    (struct http_request){
		.url = "http://slow.invalid:1/", .connect_timeout_us = 80 * USEC_MS});
	send_request(w, 1, (struct http_request){.url = "http://slow.invalid:1/"});
	w->timer = loop_timer_new(w->lp, on_tick, w);
	loop_timer_arm(w->timer, 10 * USEC_MS);
	run(w);
	assert_true(w->fired);
	assert_false(w->a[0].seen);
	http_cancel(w->call[1]); /* while its lookup hangs */
	w->pending--;
	send_request(w, 2, (struct http_request){.url = url_of("/echo")});
	run(w); /* until both 0 and 2 have answered */
	assert_int_equal(w->a[2].status, 200);
	assert_true(loop_now(w->lp) - begin < 10 * USEC_SEC);
	expect_error(&w->a[0], ERR_NETWORK, true, "no connection to http://slow.invalid:1");
	http_close(w->h); /* with the lookups still hanging */
	w->h = NULL;
	dns_let_go();
}

static void
test_unknown_name(void **state)
{
	struct world *w = *state;

	dns_let_go();
	pthread_mutex_lock(&dns_lock);
	dns_release = true;
	pthread_mutex_unlock(&dns_lock);
	send_request(w, 0, (struct http_request){.url = "http://slow.invalid:1/"});
	run(w);
	pthread_mutex_lock(&dns_lock);
	dns_release = false;
	pthread_mutex_unlock(&dns_lock);
	expect_error(
	    &w->a[0], ERR_NETWORK, true, "cannot find the address of http://slow.invalid:1");
	/* The client is none the worse for it: a handle in which libcurl has kept something
	 * would refuse every request from then on. */
	for (int i = 1; i < 4; i++) {
		send_request(w, i, (struct http_request){.url = url_of("/echo")});
		run(w);
		assert_int_equal(w->a[i].status, 200);
	}
}

static void
test_cancel(void **state)
{
	struct world *w = *state;

	send_request(w, 0, (struct http_request){.url = url_of("/echo")}); /* before the loop ran */
	http_cancel(w->call[0]);
	send_request(w, 1, (struct http_request){.url = url_of("/hang")});
	send_request(w, 2, (struct http_request){.url = url_of("/echo")});
	w->pending = 1;
	run(w);
	assert_true(w->a[2].seen);
	http_cancel(w->call[1]); /* in the middle */
	w->timer = loop_timer_new(w->lp, on_tick, w);
	loop_timer_arm(w->timer, 20 * USEC_MS);
	run(w);
	assert_false(w->a[0].seen);
	assert_false(w->a[1].seen);
}

/* Both calls are complete in the same pass; the first one's callback cancels
 * the second, whichever comes first. */
static void
cancel_others(struct answer_seen *a)
{
	struct world *w = a->w;

	for (int i = 0; i < 2; i++) {
		if (&w->a[i] != a) {
			http_cancel(w->call[i]);
			w->pending--;
		}
	}
}

static void
test_cancel_from_another_callback(void **state)
{
	struct world *w = *state;

	for (int round = 0; round < 30; round++) {
		for (int i = 0; i < 2; i++) {
			buf_close(&w->a[i].body);
			w->a[i].then = cancel_others;
			send_request(w, i, (struct http_request){.url = url_of("/echo")});
		}
		run(w);
		assert_int_equal(w->a[0].seen + w->a[1].seen, 1);
	}
}

static void
send_again(struct answer_seen *a)
{
	struct world *w = a->w;

	w->a[1].then = NULL;
	send_request(w, 1, (struct http_request){.url = url_of("/echo")});
}

static void
test_send_from_a_callback(void **state)
{
	struct world *w = *state;

	w->a[0].then = send_again;
	send_request(w, 0, (struct http_request){.url = url_of("/echo")});
	run(w);
	assert_int_equal(w->a[1].status, 200);
	assert_int_equal(connections(w), 1);
}

static void
close_client(struct answer_seen *a)
{
	http_close(a->w->h);
	a->w->h = NULL;
	a->w->pending = 1;
}

static void
test_close_from_a_callback(void **state)
{
	struct world *w = *state;

	w->a[0].then = close_client;
	send_request(w, 0, (struct http_request){.url = url_of("/echo")});
	for (int i = 1; i < 10; i++)
		send_request(w, i, (struct http_request){.url = url_of(i < 5 ? "/hang" : "/echo")});
	w->a[5].then = w->a[6].then = close_client;
	for (int i = 5; i < 10; i++)
		w->a[i].then = close_client;
	run(w);
	assert_null(w->h);
}

static void
refused(struct world *w, struct http_request rq, const char *text)
{
	struct err e;

	if (rq.method == NULL)
		rq.method = "GET";
	assert_null(http_send(w->h, &rq, on_answer, &w->a[0], &e));
	assert_int_equal(e.code, ERR_CONFIG);
	if (strstr(e.text, text) == NULL)
		fail_msg("'%s' not in '%s'", text, e.text);
}

static void
test_bad_requests(void **state)
{
	static const struct http_header smuggled[] = {{"X-A", "a\r\nX-B: b"}};
	static const struct http_header unnamed[] = {{"X A", "a"}};
	struct world *w = *state;

	refused(w, (struct http_request){.url = ""}, "bad URL");
	refused(w, (struct http_request){.url = "127.0.0.1"}, "bad URL");
	refused(w, (struct http_request){.url = "http://"}, "bad URL");
	refused(w, (struct http_request){.url = "http://127.0.0.1:99999/"}, "bad URL");
	refused(w, (struct http_request){.url = "file:///etc/passwd"}, "bad URL");
	refused(w, (struct http_request){.url = "ftp://127.0.0.1/"}, "http or https");
	refused(w, (struct http_request){.url = url_of("/"), .method = "GET /x"}, "bad method");
	refused(w,
	    (struct http_request){.url = url_of("/"), .headers = smuggled, .header_count = 1},
	    "header 1");
	refused(w, (struct http_request){.url = url_of("/"), .headers = unnamed, .header_count = 1},
	    "header 1");
}

/* ---- TLS: openssl's own little server ---- */

static struct tls {
	char dir[64], cert[96], other[96], key[96], other_key[96];
	pid_t pid;
	FILE *out;
	int port;
} tls;

static int
spawn_wait(char *const argv[])
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		(void)!freopen("/dev/null", "w", stderr);
		(void)!freopen("/dev/null", "w", stdout);
		execvp(argv[0], argv);
		_exit(127);
	}
	(void)waitpid(pid, &status, 0);
	return status;
}

static bool
make_cert(char *cert, char *key)
{
	char *argv[] = {(char[]){"openssl"}, (char[]){"req"}, (char[]){"-x509"},
	    (char[]){"-newkey"}, (char[]){"ec"}, (char[]){"-pkeyopt"},
	    (char[]){"ec_paramgen_curve:prime256v1"}, (char[]){"-nodes"}, (char[]){"-days"},
	    (char[]){"2"}, (char[]){"-subj"}, (char[]){"/CN=slipring test"}, (char[]){"-addext"},
	    (char[]){"subjectAltName=IP:127.0.0.1"}, (char[]){"-keyout"}, key, (char[]){"-out"},
	    cert, NULL};

	return spawn_wait(argv) == 0;
}

static bool
start_tls(void)
{
	char line[200];
	int p[2];
	char *argv[] = {(char[]){"openssl"}, (char[]){"s_server"}, (char[]){"-accept"},
	    (char[]){"127.0.0.1:0"}, (char[]){"-www"}, (char[]){"-cert"}, tls.cert,
	    (char[]){"-key"}, tls.key, NULL};

	if (pipe(p) == -1)
		return false;
	tls.pid = fork();
	if (tls.pid == 0) {
		(void)dup2(p[1], 1);
		(void)close(p[0]);
		(void)!freopen("/dev/null", "w", stderr);
		(void)!freopen("/dev/null", "r", stdin);
		execvp(argv[0], argv);
		_exit(127);
	}
	(void)close(p[1]);
	tls.out = fdopen(p[0], "r");
	while (tls.out != NULL && fgets(line, sizeof line, tls.out) != NULL)
		if (sscanf(line, "ACCEPT 127.0.0.1:%d", &tls.port) == 1)
			return true;
	return false;
}

static void
test_tls(void **state)
{
	struct world *w = *state;
	char url[64], by_name[64];

	(void)snprintf(tls.dir, sizeof tls.dir, "/tmp/slipring-http-XXXXXX");
	assert_non_null(mkdtemp(tls.dir));
	(void)snprintf(tls.cert, sizeof tls.cert, "%s/cert.pem", tls.dir);
	(void)snprintf(tls.key, sizeof tls.key, "%s/key.pem", tls.dir);
	(void)snprintf(tls.other, sizeof tls.other, "%s/other.pem", tls.dir);
	(void)snprintf(tls.other_key, sizeof tls.other_key, "%s/other_key.pem", tls.dir);
	if (!make_cert(tls.cert, tls.key) || !make_cert(tls.other, tls.other_key) || !start_tls()) {
		print_message("skipped: the openssl command is needed to play a TLS server\n");
		skip();
	}
	(void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", tls.port);
	(void)snprintf(by_name, sizeof by_name, "https://localhost:%d/", tls.port);
	send_request(w, 0, (struct http_request){.url = url, .ca_file = tls.cert});
	run(w);
	assert_int_equal(w->a[0].status, 200);
	/* again, in an order that would show a connection reused across authorities */
	send_request(w, 1, (struct http_request){.url = url});
	run(w);
	expect_error(&w->a[1], ERR_NETWORK, false, "not trusted");
	send_request(w, 2, (struct http_request){.url = url, .ca_file = tls.other});
	run(w);
	expect_error(&w->a[2], ERR_NETWORK, false, "not trusted");
	send_request(w, 3, (struct http_request){.url = url, .ca_file = "/nonexistent/ca.pem"});
	run(w);
	expect_error(&w->a[3], ERR_CONFIG, false, "ca-file");
	send_request(w, 4, (struct http_request){.url = by_name, .ca_file = tls.cert});
	run(w);
	expect_error(&w->a[4], ERR_NETWORK, false, "not trusted");
	send_request(w, 5, (struct http_request){.url = url_of("/echo")});
	run(w);
	assert_int_equal(w->a[5].status, 200);
}

/* https to a port that speaks plain http. */
static void
test_tls_to_a_plain_port(void **state)
{
	struct world *w = *state;
	char url[64];

	(void)snprintf(url, sizeof url, "https://127.0.0.1:%d/", sv.port);
	send_request(w, 0, (struct http_request){.url = url, .total_timeout_us = 200 * USEC_MS});
	run(w);
	assert_int_equal(w->a[0].e.code, ERR_NETWORK);
}

static int
teardown_tls(void **state)
{
	if (tls.pid > 0) {
		(void)kill(tls.pid, SIGTERM);
		(void)waitpid(tls.pid, NULL, 0);
	}
	if (tls.out != NULL)
		(void)fclose(tls.out);
	(void)unlink(tls.cert);
	(void)unlink(tls.key);
	(void)unlink(tls.other);
	(void)unlink(tls.other_key);
	(void)rmdir(tls.dir);
	return teardown(state);
}

/* ---- without the network ---- */

static void
test_header_get(void **state)
{
	static const char raw[] =
	    "HTTP/1.1 200 OK\r\nDate: x\r\nX-AB:1\r\nX-A:\t 2 \r\nx-a: 3\r\nX-E:\r\n\r\n";
	struct http_response r = {.headers = SLICE_LIT(raw)};

	(void)state;
	assert_true(slice_is(http_header_get(&r, "x-A"), "2"));
	assert_true(slice_is(http_header_get(&r, "X-AB"), "1"));
	assert_true(slice_is(http_header_get(&r, "date"), "x"));
	assert_non_null(http_header_get(&r, "X-E").p);
	assert_int_equal(http_header_get(&r, "X-E").n, 0);
	assert_null(http_header_get(&r, "X").p);
	assert_null(http_header_get(&r, "HTTP/1.1 200 OK").p);
	r.headers = SLICE_NONE;
	assert_null(http_header_get(&r, "X").p);
}

static void
test_date(void **state)
{
	static const char *const bad[] = {"", "Sat, 21 Nov 2026 07:29:37", "2026-11-21T07:29:37Z",
	    "Sat, 21 Nov 2026 07:29:37 CET", "Sat, 21 Nvo 2026 07:29:37 GMT",
	    "Sat, 32 Nov 2026 07:29:37 GMT", "Sat, 21 Nov 2026 27:29:37 GMT",
	    "Sat, 21 Nov 2026 07:69:37 GMT", "Sat, 21 Nov 2026 07:29:99 GMT",
	    "Sat, 21 Nov 1026 07:29:37 GMT", "Sat, 21 Nov 2026 07:29:37 GMT ",
	    "Sat, -1 Nov 2026 07:29:37 GMT"};

	(void)state;
	assert_int_equal(http_date_parse(SLICE_LIT("Thu, 01 Jan 1970 00:00:00 GMT")), 0);
	assert_true(http_date_parse(SLICE_LIT("Sat, 21 Nov 2026 07:29:37 GMT")) ==
	    INT64_C(1795246177) * USEC_SEC);
	assert_true(http_date_parse(SLICE_LIT("Thu, 29 Feb 2024 23:59:59 GMT")) ==
	    INT64_C(1709251199) * USEC_SEC);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (http_date_parse(slice_of(bad[i])) != -1)
			fail_msg("accepted '%s'", bad[i]);
	assert_int_equal(http_date_parse(SLICE_NONE), -1);
}

static struct buf
gzip(const char *p, size_t n)
{
	struct buf out = BUF_INIT(1 << 24);
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	assert_true(buf_reserve(&out, deflateBound(&z, n)));
	z.next_in = (unsigned char *)(uintptr_t)p;
	z.avail_in = (unsigned)n;
	z.next_out = (unsigned char *)out.p;
	z.avail_out = (unsigned)out.cap;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	out.n = z.total_out;
	(void)deflateEnd(&z);
	return out;
}

static void
test_inflate(void **state)
{
	char *text = mem_array(300000, 1);
	struct buf gz, two = BUF_INIT(1 << 24), out;
	struct err e;

	(void)state;
	for (int i = 0; i < 300000; i++)
		text[i] = (char)('a' + i % 23 + (i / 1000) % 3);
	gz = gzip(text, 300000);
	out = BUF_INIT(300000); /* ends exactly at the maximum */
	assert_int_equal(http_inflate(buf_slice(&gz), &out, &e), 0);
	assert_int_equal(out.n, 300000);
	assert_memory_equal(out.p, text, 300000);
	buf_close(&out);
	out = BUF_INIT(299999);
	assert_int_equal(http_inflate(buf_slice(&gz), &out, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_true(out.n <= out.max);
	buf_close(&out);
	buf_add_slice(&two, buf_slice(&gz));
	buf_add_slice(&two, buf_slice(&gz));
	out = BUF_INIT(1 << 20);
	assert_int_equal(http_inflate(buf_slice(&two), &out, &e), 0); /* two members */
	assert_int_equal(out.n, 600000);
	for (size_t cut = 0; cut < gz.n; cut++) {
		buf_reset(&out);
		assert_int_equal(http_inflate((struct slice){gz.p, cut}, &out, &e), -1);
		assert_int_equal(e.code, ERR_PROTOCOL);
		assert_true(e.retriable);
	}
	for (size_t i = 0; i < gz.n; i++) { /* a bit wrong: never another text */
		buf_reset(&out);
		gz.p[i] = (char)(gz.p[i] ^ 0x40);
		if (http_inflate(buf_slice(&gz), &out, &e) == 0) { /* an unused bit */
			assert_int_equal(out.n, 300000);
			assert_memory_equal(out.p, text, 300000);
		}
		gz.p[i] = (char)(gz.p[i] ^ 0x40);
	}
	buf_reset(&two);
	buf_add_slice(&two, buf_slice(&gz));
	buf_add_str(&two, "junk");
	buf_reset(&out);
	assert_int_equal(http_inflate(buf_slice(&two), &out, &e), -1);
	buf_close(&out);
	buf_close(&two);
	buf_close(&gz);
	free(text);
}

static void
test_inflate_bomb(void **state)
{
	char *zeros = mem_array(8 << 20, 1);
	struct buf gz = gzip(zeros, 8 << 20);
	struct buf out = BUF_INIT(100000);
	struct err e;

	(void)state;
	free(zeros);
	assert_int_equal(http_inflate(buf_slice(&gz), &out, &e), -1);
	assert_int_equal(e.code, ERR_LIMIT);
	assert_true(out.cap <= 100000);
	buf_close(&out);
	buf_close(&gz);
}

static void
test_deflate(void **state)
{
	char *text = mem_array(300000, 1);
	struct buf gz = BUF_INIT(1 << 20), small = BUF_INIT(20), out = BUF_INIT(1 << 20);
	struct err e;

	(void)state;
	for (int i = 0; i < 300000; i++)
		text[i] = (char)('a' + i % 23 + (i / 1000) % 3);
	buf_add_str(&gz, "before");
	assert_int_equal(http_deflate((struct slice){text, 300000}, &gz, &e), 0);
	assert_true(gz.n < 100000);
	assert_int_equal(http_inflate((struct slice){gz.p + 6, gz.n - 6}, &out, &e), 0);
	assert_int_equal(out.n, 300000);
	assert_memory_equal(out.p, text, 300000);
	buf_reset(&gz);
	buf_reset(&out);
	assert_int_equal(http_deflate(SLICE_LIT(""), &gz, &e), 0);
	assert_int_equal(http_inflate(buf_slice(&gz), &out, &e), 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(http_deflate((struct slice){text, 300000}, &small, &e), -1);
	assert_int_equal(small.n, 0);
	buf_close(&gz);
	buf_close(&small);
	buf_close(&out);
	free(text);
}

static void
test_url(void **state)
{
	static const struct {
		const char *url, *host, *path;
	} cases[] = {
	    {"http://a", "a", ""},
	    {"http://a/", "a", ""},
	    {"HTTPS://a:443/x/y//", "a", "/x/y"},
	    {"https://a:80", "a:80", ""},
	    {"http://[::1]:9200/p", "[::1]:9200", "/p"},
	    {"http://a:80/x", "a", "/x"},
	    {"ftp://a", NULL, NULL},
	    {"a:9200", NULL, NULL},
	    {"http://", NULL, NULL},
	    {"http:///x", NULL, NULL},
	    {"http://:9200", NULL, NULL},
	    {"http://u:p@a", NULL, NULL},
	    {"http://a?q", NULL, NULL},
	    {"http://a/#f", NULL, NULL},
	    {"http://a b", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_url u;
		struct err e;
		int r = http_url_parse(cases[i].url, &u, &e);

		if ((r == 0) != (cases[i].host != NULL))
			fail_msg("%s", cases[i].url);
		if (r != 0)
			continue;
		assert_true(slice_is(u.host, cases[i].host));
		assert_true(slice_is(u.path, cases[i].path));
		assert_int_equal(u.https, cases[i].url[4] == 's' || cases[i].url[4] == 'S');
	}
}

/* Not copied: what is there when libcurl comes for it is what goes out. */
static void
test_kept_body(void **state)
{
	struct world *w = *state;
	char body[] = "first";

	send_request(w, 0,
	    (struct http_request){.method = "POST",
		.url = url_of("/echo"),
		.body = {body, sizeof body - 1},
		.body_kept = true});
	memcpy(body, "later", 5);
	run(w);
	assert_int_equal(w->a[0].status, 200);
	assert_true(w->a[0].body.n > 5);
	assert_memory_equal(w->a[0].body.p + w->a[0].body.n - 5, "later", 5);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_request_is_sent_as_described),
	    T(test_body_may_have_any_size_and_no_expect),
	    T(test_methods),
	    T(test_connection_is_reused),
	    T(test_parallel_calls_then_reuse),
	    T(test_closed_connection_is_replaced),
	    T(test_answers_come_raw),
	    T(test_any_status_is_an_answer),
	    T(test_limits),
	    T(test_broken_answers),
	    T(test_connection_refused),
	    T(test_total_timeout),
	    T(test_connect_timeout),
	    T(test_slow_name_blocks_nobody),
	    T(test_unknown_name),
	    T(test_cancel),
	    T(test_cancel_from_another_callback),
	    T(test_send_from_a_callback),
	    T(test_close_from_a_callback),
	    T(test_bad_requests),
	    cmocka_unit_test_setup_teardown(test_tls, setup, teardown_tls),
	    T(test_tls_to_a_plain_port),
	    cmocka_unit_test(test_header_get),
	    cmocka_unit_test(test_date),
	    cmocka_unit_test(test_inflate),
	    cmocka_unit_test(test_deflate),
	    cmocka_unit_test(test_url),
	    cmocka_unit_test_setup_teardown(test_kept_body, setup, teardown),
	    cmocka_unit_test(test_inflate_bomb),
	};

	(void)alarm(120); /* a loop that blocks is a failure, not a wait */
	/* A proxy of the environment must not be used. */
	(void)setenv("http_proxy", "http://127.0.0.1:1", 1);
	(void)setenv("https_proxy", "http://127.0.0.1:1", 1);
	(void)setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	return cmocka_run_group_tests(tests, server_start, server_stop);
}
