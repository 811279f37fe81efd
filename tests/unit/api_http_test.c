/* tests/unit/api_http_test.c - the real api against tests/emulator, and against
 * canned answers for what no service would say.
 *
 * The emulator is $EMULATOR, or build/tests/emulator/emulator next to this
 * binary; without it those tests are skipped, and say so. clock_gettime() is
 * replaced, so that the pause between two reads of credentials can pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "streams/api_http_priv.h"

static int64_t monotonic_ahead; /* seconds */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	long r = syscall(SYS_clock_gettime, id, ts);

	if (id == CLOCK_MONOTONIC)
		ts->tv_sec += monotonic_ahead;
	return (int)r;
}

/* ---- the other side ---- */

struct emulator {
	pid_t pid;
	int stdin_fd; /* its life line */
	int port;
};

/* Answers every request with the same text, then closes. */
struct canned {
	pthread_t thread;
	int fd, port, stop[2];
	const char *answer;
	int requests;
};

static struct world {
	struct loop *lp;
	struct http *http;
	struct creds *creds;
	struct api *api;
	struct loop_timer *guard;
	struct emulator emu;
	struct canned canned;
	char endpoint[64];
	const char *key, *secret, *token; /* the environment */

	int pending, answers;
	int order[64]; /* of callbacks */
	struct api_result rs;
	struct api_table table;
	struct api_stream stream;
	char first_shard[LIMIT_SHARD_ID + 1], shard[4][LIMIT_SHARD_ID + 1];
	size_t shard_count;
	struct api_stream_ref ref;
	size_t refs;
	char iterator[LIMIT_ITERATOR + 1];
	size_t records, page_records;
	bool has_next;
	char control[4096];
	char log[8192];
	int warnings;
	bool hung;
} world;

static const char *
test_env(const char *name)
{
	if (strcmp(name, "AWS_ACCESS_KEY_ID") == 0)
		return world.key;
	if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0)
		return world.secret;
	if (strcmp(name, "AWS_SESSION_TOKEN") == 0)
		return world.token;
	return NULL;
}

static void
on_log(void *ctx, enum log_level level, const char *line)
{
	struct world *w = ctx;
	size_t n = strlen(w->log);

	w->warnings += level == LOG_WARN;
	(void)snprintf(w->log + n, sizeof w->log - n, "%s\n", line);
}

static void
on_guard(void *arg)
{
	((struct world *)arg)->hung = true;
	loop_stop(((struct world *)arg)->lp);
}

static int
setup(void **state)
{
	struct world *w = &world;
	struct err e;

	*w = (struct world){.key = NULL, .emu.stdin_fd = -1, .canned.fd = -1};
	log_set_sink(on_log, w);
	if (loop_new(&w->lp, 1, &e) == -1 || http_new(&w->http, w->lp, &e) == -1)
		return -1;
	w->guard = loop_timer_new(w->lp, on_guard, w);
	*state = w;
	return 0;
}

static void
canned_stop(struct canned *cn)
{
	if (cn->fd == -1)
		return;
	(void)close(cn->stop[1]);
	(void)pthread_join(cn->thread, NULL);
	(void)close(cn->stop[0]);
	(void)close(cn->fd);
	cn->fd = -1;
}

static void
emulator_stop(struct emulator *em)
{
	if (em->pid <= 0)
		return;
	(void)kill(em->pid, SIGTERM);
	(void)close(em->stdin_fd);
	(void)waitpid(em->pid, NULL, 0);
	em->pid = 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	api_close(w->api);
	creds_close(w->creds);
	http_close(w->http);
	loop_timer_close(w->guard);
	loop_close(w->lp);
	emulator_stop(&w->emu);
	canned_stop(&w->canned);
	log_set_sink(NULL, NULL);
	return 0;
}

static const char *
emulator_path(void)
{
	static char path[1024];
	const char *env = getenv("EMULATOR");
	ssize_t n;
	char *dir;

	if (env != NULL && env[0] != '\0')
		return env;
	n = readlink("/proc/self/exe", path, sizeof path - 64);
	assert_true(n > 0);
	path[n] = '\0';
	dir = strstr(path, "/tests/unit/");
	assert_non_null(dir);
	memcpy(dir, "/tests/emulator/emulator", sizeof "/tests/emulator/emulator");
	return path;
}

/* Never comes back without a port: without the program the test is skipped. */
static void
emulator_start(struct world *w, const char *options)
{
	char text[512], *argv[40];
	int in[2], out[2], n = 0;
	char *save = NULL;
	FILE *f;

	if (access(emulator_path(), X_OK) == -1) {
		print_message(
		    "skipped: %s is not there; build it or set EMULATOR\n", emulator_path());
		skip();
	}
	(void)snprintf(text, sizeof text, "emulator --port 0 --stdin-guard %s", options);
	for (char *p = strtok_r(text, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
		argv[n++] = p;
	argv[n] = NULL;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	w->emu.pid = fork();
	if (w->emu.pid == 0) {
		(void)dup2(in[0], 0);
		(void)dup2(out[1], 1);
		execv(emulator_path(), argv);
		_exit(127);
	}
	(void)close(in[0]);
	(void)close(out[1]);
	w->emu.stdin_fd = in[1];
	f = fdopen(out[0], "r");
	assert_non_null(f);
	while (w->emu.port == 0 && fgets(text, sizeof text, f) != NULL)
		(void)sscanf(text, "port %d", &w->emu.port);
	(void)fclose(f);
	assert_int_not_equal(w->emu.port, 0);
	(void)snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%d", w->emu.port);
}

static void *
canned_serve(void *arg)
{
	struct canned *cn = arg;
	struct pollfd pf[2] = {
	    {.fd = cn->fd, .events = POLLIN}, {.fd = cn->stop[0], .events = POLLIN}};
	char text[8192];

	for (;;) {
		int fd;

		while (poll(pf, 2, -1) == -1 && errno == EINTR)
			continue;
		if (pf[1].revents != 0)
			return NULL;
		fd = accept(cn->fd, NULL, NULL);
		if (fd == -1)
			continue;
		/* our requests are small and come in one piece */
		if (recv(fd, text, sizeof text, 0) > 0) {
			__atomic_add_fetch(&cn->requests, 1, __ATOMIC_SEQ_CST);
			(void)send(fd, cn->answer, strlen(cn->answer), MSG_NOSIGNAL);
		}
		(void)shutdown(fd, SHUT_WR);
		(void)recv(fd, text, sizeof text, 0);
		(void)close(fd);
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

static void
canned_start(struct world *w, const char *answer)
{
	struct canned *cn = &w->canned;

	cn->answer = answer;
	cn->requests = 0;
	cn->fd = listen_loopback(&cn->port);
	assert_int_equal(listen(cn->fd, 16), 0);
	assert_int_equal(pipe2(cn->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&cn->thread, NULL, canned_serve, cn), 0);
	(void)snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%d", cn->port);
}

/* ---- our side ---- */

static void
run(struct world *w)
{
	struct err e;

	loop_timer_arm(w->guard, 20 * USEC_SEC);
	assert_int_equal(loop_run(w->lp, &e), 0);
	assert_false(w->hung);
}

static void
open_api(struct world *w, struct api_conf conf)
{
	struct creds_conf keys = {
	    .source = w->key != NULL ? CREDS_ENVIRONMENT : CREDS_NONE, .getenv = test_env};
	struct err e;

	api_close(w->api);
	creds_close(w->creds);
	w->creds = creds_new(w->lp, &keys);
	if (conf.endpoint == NULL)
		conf.endpoint = w->endpoint;
	if (conf.region == NULL)
		conf.region = "us-east-1";
	if (api_http_new(&w->api, w->lp, w->http, w->creds, &conf, &e) == -1)
		fail_msg("%s", e.text);
}

static void
answered(struct world *w, const struct api_result *rs)
{
	w->rs = *rs;
	w->answers++;
	if (--w->pending == 0)
		loop_stop(w->lp);
}

static void
on_control(void *arg, struct http_response *r, const struct err *e)
{
	struct world *w = arg;

	if (e != NULL)
		fail_msg("%s", e->text);
	(void)snprintf(w->control, sizeof w->control, "%.*s", (int)r->body.n, r->body.p);
	if (r->status != 200)
		fail_msg("control: %s", w->control);
	loop_stop(w->lp);
}

static void
control(struct world *w, const char *name, const char *json)
{
	char url[128];
	struct err e;

	(void)snprintf(url, sizeof url, "%s/control/%s", w->endpoint, name);
	assert_non_null(http_send(w->http,
	    &(struct http_request){
		.method = "POST", .url = url, .body = slice_of(json), .max_body = 1u << 24},
	    on_control, w, &e));
	run(w);
}

static void
on_table(void *arg, const struct api_result *rs, const struct api_table *t)
{
	struct world *w = arg;

	assert_int_equal(t != NULL, rs->code == API_OK);
	if (t != NULL)
		w->table = *t;
	answered(w, rs);
}

static void
on_refs(void *arg, const struct api_result *rs, const struct api_stream_ref *v, size_t n)
{
	struct world *w = arg;

	assert_int_equal(v != NULL, rs->code == API_OK);
	w->refs = n;
	if (n > 0)
		w->ref = v[0];
	answered(w, rs);
}

static void
on_stream(void *arg, const struct api_result *rs, const struct api_stream *s)
{
	struct world *w = arg;

	assert_int_equal(s != NULL, rs->code == API_OK);
	w->shard_count = 0;
	if (s != NULL) {
		w->stream = *s;
		w->stream.shards = NULL;
		w->shard_count = s->shard_count;
		for (size_t i = 0; i < 4 && i < s->shard_count; i++)
			memcpy(w->shard[i], s->shards[i].id, sizeof w->shard[i]);
	}
	answered(w, rs);
}

static void
on_iterator(void *arg, const struct api_result *rs, const char *iterator)
{
	struct world *w = arg;

	assert_int_equal(iterator != NULL, rs->code == API_OK);
	if (iterator != NULL)
		(void)snprintf(w->iterator, sizeof w->iterator, "%s", iterator);
	answered(w, rs);
}

static void
on_records(void *arg, const struct api_result *rs, struct page *page)
{
	struct world *w = arg;

	assert_int_equal(page != NULL, rs->code == API_OK);
	if (page != NULL) {
		w->records += page->count;
		w->page_records = page->count;
		w->has_next = page->has_next;
		if (page->has_next)
			(void)snprintf(w->iterator, sizeof w->iterator, "%.*s",
			    (int)page->next_iterator.n, page->next_iterator.p);
	}
	page_unref(page);
	answered(w, rs);
}

static enum api_code
table(struct world *w, const char *name)
{
	w->pending = 1;
	assert_non_null(api_describe_table(w->api, name, on_table, w));
	run(w);
	return w->rs.code;
}

static enum api_code
stream(struct world *w, const char *arn, const char *after, const char *children_of)
{
	w->pending = 1;
	assert_non_null(api_describe_stream(w->api, arn, after, children_of, on_stream, w));
	run(w);
	return w->rs.code;
}

static enum api_code
iterator(struct world *w, const char *arn, const char *shard, enum iterator_type type,
    const struct seq *seq)
{
	w->pending = 1;
	assert_non_null(api_get_shard_iterator(w->api, arn, shard, type, seq, on_iterator, w));
	run(w);
	return w->rs.code;
}

static enum api_code
records(struct world *w, const char *it, unsigned limit)
{
	w->pending = 1;
	assert_non_null(api_get_records(w->api, it, limit, on_records, w));
	run(w);
	return w->rs.code;
}

static void
ok(const struct world *w, enum api_code code)
{
	if (code != API_OK)
		fail_msg("%s: %s", api_code_name(code), w->rs.err.text);
}

static void
expect(const struct world *w, enum api_code got, enum api_code want, const char *text)
{
	if (got != want || strstr(w->rs.err.text, text) == NULL)
		fail_msg("want %s '%s', got %s: %s", api_code_name(want), text, api_code_name(got),
		    w->rs.err.text);
}

/* Finds the stream and an iterator at the start of its first shard. */
static void
find_stream(struct world *w)
{
	ok(w, table(w, "orders"));
	ok(w, stream(w, w->table.latest_stream, NULL, NULL));
	ok(w, iterator(w, w->table.latest_stream, w->shard[0], ITER_TRIM_HORIZON, NULL));
}

static void
set_keys(struct world *w, const char *key, const char *secret, const char *token)
{
	w->key = key;
	w->secret = secret;
	w->token = token;
}

#define SIGNED "--access-key AKIDEMU --secret emu/secret+key "

/* ---- reading ---- */

/* Every record of a past with splits and rotations, over all pages. */
static void
read_all(struct world *w, size_t want)
{
	char after[LIMIT_SHARD_ID + 1] = "", shards[400][LIMIT_SHARD_ID + 1];
	size_t n = 0;

	ok(w, table(w, "orders"));
	assert_true(w->table.stream_enabled);
	assert_int_equal(w->table.view, VIEW_NEW_AND_OLD);
	do {
		ok(w, stream(w, w->table.latest_stream, after[0] != '\0' ? after : NULL, NULL));
		assert_in_range(w->shard_count, 0, 3);
		for (size_t i = 0; i < w->shard_count; i++)
			memcpy(shards[n++], w->shard[i], sizeof shards[0]);
		memcpy(after, w->stream.last_shard, sizeof after);
	} while (after[0] != '\0');
	assert_true(n > 3);
	for (size_t i = 0; i < n; i++) {
		ok(w, iterator(w, w->table.latest_stream, shards[i], ITER_TRIM_HORIZON, NULL));
		do
			ok(w, records(w, w->iterator, 100));
		while (w->has_next && w->page_records > 0);
	}
	assert_int_equal(w->records, want);
}

static void
test_reads_everything_signed(void **state)
{
	struct world *w = *state;

	emulator_start(w,
	    SIGNED "--session-token tok/en+== --shards 2 --records 1500 --split-every 300 "
		   "--rotate-every 400 --page-shards 3");
	set_keys(w, "AKIDEMU", "emu/secret+key", "tok/en+==");
	open_api(w, (struct api_conf){.gzip = false});
	read_all(w, 1500);
	assert_int_equal(api_stats_get(w->api)->errors, 0);
	assert_int_equal(api_stats_get(w->api)->retransmits, 0);
	assert_true(api_stats_get(w->api)->bytes_in > 100000);
}

static void
test_reads_everything_gzip_and_chunked(void **state)
{
	struct world *w = *state;
	uint64_t plain;

	emulator_start(
	    w, "--gzip --chunked --shards 2 --records 1500 --split-every 300 --page-shards 3");
	open_api(w, (struct api_conf){.gzip = false});
	read_all(w, 1500);
	plain = api_stats_get(w->api)->bytes_in;
	w->records = 0;
	open_api(w, (struct api_conf){.gzip = true});
	read_all(w, 1500);
	assert_true(api_stats_get(w->api)->bytes_in < plain / 2); /* it was compressed */
}

static void
test_lists_streams_over_pages(void **state)
{
	struct world *w = *state;

	emulator_start(w, "--records 10");
	open_api(w, (struct api_conf){.gzip = true});
	for (int i = 0; i < 3; i++) {
		control(w, "disable", "{}");
		control(w, "enable", "{}");
	}
	w->pending = 1;
	(void)api_list_streams(w->api, "orders", on_refs, w);
	run(w);
	ok(w, w->rs.code);
	assert_int_equal(w->refs, 4);
	assert_memory_equal(w->ref.arn, "arn:aws:dynamodb:us-east-1:", 27);
	w->pending = 1;
	(void)api_list_streams(w->api, "nobody", on_refs, w);
	run(w);
	if (w->rs.code == API_OK)
		assert_int_equal(w->refs, 0);
	else
		assert_int_equal(w->rs.code, API_NOT_FOUND);
}

static void
test_iterators_and_children(void **state)
{
	struct world *w = *state;
	struct seq seq;
	char parent[LIMIT_SHARD_ID + 1];

	emulator_start(w, "--records 20");
	open_api(w, (struct api_conf){.gzip = true});
	find_stream(w);
	ok(w, records(w, w->iterator, 7));
	assert_int_equal(w->page_records, 7);
	ok(w, iterator(w, w->table.latest_stream, w->shard[0], ITER_LATEST, NULL));
	ok(w, records(w, w->iterator, 1000));
	assert_int_equal(w->page_records, 0);
	assert_true(seq_parse(SLICE_LIT("999999999999999999999999999999999999999"), &seq));
	assert_int_equal(
	    iterator(w, w->table.latest_stream, w->shard[0], ITER_AFTER, &seq), API_VALIDATION);
	memcpy(parent, w->shard[0], sizeof parent);
	control(w, "split", "{}");
	ok(w, stream(w, w->table.latest_stream, NULL, parent));
	assert_int_equal(w->shard_count, 2); /* the children alone */
	assert_string_not_equal(w->shard[0], parent);
}

/* ---- signatures, clocks, credentials ---- */

static void
test_wrong_secret_says_so(void **state)
{
	struct world *w = *state;
	const struct api_op_stats *op;
	enum api_code code;

	emulator_start(w, SIGNED);
	set_keys(w, "AKIDEMU", "another-secret", NULL);
	open_api(w, (struct api_conf){.gzip = true});
	code = table(w, "orders");
	expect(w, code, API_AUTH, "api: DescribeTable at 127.0.0.1:");
	expect(w, code, API_AUTH, "HTTP 400 InvalidSignatureException: ");
	expect(w, code, API_AUTH, ", request ");
	expect(w, code, API_AUTH, "credentials: environment, region us-east-1");
	assert_string_not_equal(w->rs.request_id, "");
	assert_int_equal(w->rs.err.code, ERR_AUTH);
	assert_int_equal(api_stats_get(w->api)->calls, 2); /* once more after a refresh */
	op = &api_stats_get(w->api)->ops[API_DESCRIBE_TABLE];
	assert_int_equal(op->requests, 2);
	assert_int_equal(op->latency.count, 2);
	assert_int_equal(op->ended[API_AUTH], 1);
	assert_int_equal(op->ended[API_OK], 0);
	assert_null(strstr(w->rs.err.text, "another-secret"));
	assert_null(strstr(w->log, "another-secret"));
}

static void
test_wrong_key_and_no_keys(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED);
	set_keys(w, "AKIDOTHER", "x", NULL);
	open_api(w, (struct api_conf){.gzip = true});
	expect(w, table(w, "orders"), API_AUTH, "UnrecognizedClientException");
	set_keys(w, "", "x", NULL);
	open_api(w, (struct api_conf){.gzip = true});
	expect(w, table(w, "orders"), API_AUTH, "api: DescribeTable: creds: ");
	assert_int_equal(api_stats_get(w->api)->calls, 0);
	set_keys(w, NULL, NULL, NULL); /* made-up keys */
	open_api(w, (struct api_conf){.gzip = true});
	expect(w, table(w, "orders"), API_AUTH, "HTTP 400");
}

static void
test_signing_region(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED "--region us-east-1");
	set_keys(w, "AKIDEMU", "emu/secret+key", NULL);
	open_api(w, (struct api_conf){.region = "local"});
	ok(w, table(w, "orders"));
	open_api(w, (struct api_conf){.region = "ddblocal"});
	ok(w, table(w, "orders"));
	open_api(w, (struct api_conf){.region = "eu-west-1"});
	expect(w, table(w, "orders"), API_AUTH, "region eu-west-1");
}

static void
skewed(struct world *w, int64_t offset_s)
{
	int64_t skew;
	int warnings = w->warnings;

	open_api(w, (struct api_conf){.gzip = true});
	ok(w, table(w, "orders"));
	skew = api_stats_get(w->api)->clock_skew_us / USEC_SEC;
	assert_true(skew >= offset_s - 3 && skew <= offset_s + 3);
	assert_int_equal(api_stats_get(w->api)->retransmits, 1);
	for (int i = 0; i < 3; i++)
		ok(w, table(w, "orders"));
	assert_int_equal(api_stats_get(w->api)->retransmits, 1); /* the offset is kept */
	assert_int_equal(w->warnings, warnings + 1);
}

static void
test_skewed_clock_recovers(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED "--clock-offset 3600");
	set_keys(w, "AKIDEMU", "emu/secret+key", NULL);
	skewed(w, 3600);
	assert_non_null(strstr(w->log, "behind that of"));
	/* our clock was set meanwhile */
	control(w, "clock", "{\"offset\":0}");
	ok(w, table(w, "orders"));
	assert_true(api_stats_get(w->api)->clock_skew_us / USEC_SEC < 4);
	assert_int_equal(w->warnings, 1); /* said once */
	control(w, "clock", "{\"offset\":-86400}");
	log_flush();
	w->warnings = 0;
	skewed(w, -86400);
}

static void
test_skew_of_many_calls_at_once(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED "--clock-offset -7200");
	set_keys(w, "AKIDEMU", "emu/secret+key", NULL);
	open_api(w, (struct api_conf){.concurrency = 16});
	w->pending = 16;
	for (int i = 0; i < 16; i++)
		(void)api_describe_table(w->api, "orders", on_table, w);
	run(w);
	assert_int_equal(api_stats_get(w->api)->errors, 0);
	assert_in_range(api_stats_get(w->api)->retransmits, 1, 16);
	assert_int_equal(w->warnings, 1);
}

/* Both at once: each has its own second try. */
static void
test_skew_and_rotated_credentials(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED "--clock-offset 3600");
	set_keys(w, "AKIDOLD", "old", NULL);
	open_api(w, (struct api_conf){.gzip = true});
	expect(w, table(w, "orders"), API_AUTH, "UnrecognizedClient");
	set_keys(w, "AKIDEMU", "emu/secret+key", NULL);
	monotonic_ahead += 11;
	ok(w, table(w, "orders"));
	assert_int_equal(api_stats_get(w->api)->calls, 2 + 3);
}

static void
test_rotated_credentials_are_read_again(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED);
	set_keys(w, "AKIDEMU", "emu/secret+key", NULL);
	open_api(w, (struct api_conf){.gzip = true});
	ok(w, table(w, "orders"));
	control(w, "credentials", "{\"access-key\":\"AKIDNEW\",\"secret\":\"new\"}");
	set_keys(w, "AKIDNEW", "new", NULL);
	monotonic_ahead += 11; /* credentials are not read more often */
	ok(w, table(w, "orders"));
	assert_int_equal(api_stats_get(w->api)->retransmits, 1);
	control(w, "credentials", "{\"expired\":true}");
	expect(w, table(w, "orders"), API_AUTH, "ExpiredToken");
}

/* ---- faults ---- */

static void
test_faults(void **state)
{
	static const struct {
		const char *fault;
		enum api_code code;
		bool retriable;
		const char *text;
	} cases[] = {
	    {"\"throttle\"", API_THROTTLED, true, "HTTP 400 ThrottlingException"},
	    {"\"limit-exceeded\"", API_LIMIT_EXCEEDED, true, "LimitExceededException"},
	    {"\"expired-iterator\"", API_EXPIRED_ITERATOR, false, "ExpiredIteratorException"},
	    {"\"server-error\"", API_SERVER, true, "HTTP 500 InternalServerError"},
	    {"\"unavailable\"", API_SERVER, true, "HTTP 503 (no AWS error)"},
	    {"\"html-200\"", API_MALFORMED, true, "answered HTTP 200 with something else"},
	    {"\"empty-200\"", API_MALFORMED, true, "answered HTTP 200 with something else"},
	    {"\"error-200\"", API_MALFORMED, true, "answered HTTP 200 with something else"},
	    /* twice: libcurl itself tries a kept connection that was dead again */
	    {"\"reset-before\",\"count\":2", API_TRANSPORT, true, "http: "},
	    {"\"reset-after\",\"bytes\":50", API_TRANSPORT, true, "http: "},
	    {"\"truncate\",\"bytes\":50", API_MALFORMED, true, "was cut"},
	    {"\"truncate\",\"bytes\":0", API_MALFORMED, true, "was cut"},
	    {"\"wrong-crc32\"", API_MALFORMED, true, "checksum"},
	    {"\"gzip-cut\"", API_MALFORMED, true, "was cut"},
	    {"\"gzip-bomb\"", API_MALFORMED, true, "inflates to more than"},
	    {"\"hang\"", API_TRANSPORT, true, "no complete answer of http://127.0.0.1:"},
	    {"\"slow\",\"ms\":100", API_TRANSPORT, true, "no complete answer of http://127.0.0.1:"},
	    {"\"delay\",\"ms\":20", API_OK, false, ""},
	};
	struct world *w = *state;
	char json[160], start[LIMIT_ITERATOR + 1];

	emulator_start(w, "--records 50");
	open_api(w, (struct api_conf){.gzip = true, .total_timeout_us = 400 * USEC_MS});
	find_stream(w);
	memcpy(start, w->iterator, sizeof start);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		enum api_code code;

		(void)snprintf(json, sizeof json, "{\"kind\":%s%s,\"target\":\"GetRecords\"}",
		    cases[i].fault, strstr(cases[i].fault, "count") != NULL ? "" : ",\"count\":1");
		control(w, "fault", json);
		code = records(w, start, 1000);
		expect(w, code, cases[i].code, cases[i].text);
		if (code != API_OK) {
			expect(w, code, cases[i].code, "api: GetRecords");
			if (w->rs.err.retriable != cases[i].retriable)
				fail_msg("%s: retriable %d", w->rs.err.text, w->rs.err.retriable);
		}
		ok(w, records(w, start, 1000)); /* and then all is well */
		assert_int_equal(w->page_records, 50);
	}
	assert_int_equal(api_stats_get(w->api)->errors, ARRAY_LEN(cases) - 1);
	assert_int_equal(api_stats_get(w->api)->throttles, 1);
}

static void
test_access_denied(void **state)
{
	struct world *w = *state;

	emulator_start(w, SIGNED);
	set_keys(w, "AKIDEMU", "emu/secret+key", NULL);
	open_api(w, (struct api_conf){.gzip = true});
	control(w, "fault", "{\"kind\":\"access-denied\"}");
	expect(w, table(w, "orders"), API_AUTH, "HTTP 400 AccessDeniedException");
	assert_int_equal(api_stats_get(w->api)->calls, 2);
}

static void
test_not_found_names_the_region(void **state)
{
	struct world *w = *state;

	emulator_start(w, "--records 5");
	open_api(w, (struct api_conf){.region = "eu-west-1"});
	expect(w, table(w, "nobody"), API_NOT_FOUND,
	    "asked in region eu-west-1: is that the right one?");
	assert_int_equal(w->rs.err.code, ERR_NOT_FOUND);
	expect(w,
	    stream(
		w, "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2001", NULL, NULL),
	    API_NOT_FOUND, "ResourceNotFoundException");
	expect(w, records(w, "garbage \" \\ \xc3\xa4", 10), API_VALIDATION, "ValidationException");
}

static void
test_connection_refused(void **state)
{
	struct world *w = *state;
	char want[100];
	int port, fd = listen_loopback(&port); /* bound, not listening */

	(void)snprintf(w->endpoint, sizeof w->endpoint, "http://127.0.0.1:%d", port);
	(void)snprintf(want, sizeof want,
	    "api: DescribeTable: http: http://127.0.0.1:%d refused the connection: is the service "
	    "running there",
	    port);
	open_api(w, (struct api_conf){.gzip = true});
	expect(w, table(w, "orders"), API_TRANSPORT, want);
	assert_true(w->rs.err.retriable);
	assert_int_equal(w->rs.err.code, ERR_NETWORK);
	(void)close(fd);
}

/* ---- turns, cancelling, closing ---- */

static void
on_order(void *arg, const struct api_result *rs, const struct api_table *t)
{
	int *slot = arg;

	(void)t;
	*slot = world.answers;
	answered(&world, rs);
}

static void
test_turns_are_taken_in_order(void **state)
{
	struct world *w = *state;
	const char *p;

	emulator_start(w, "--records 5");
	open_api(w, (struct api_conf){.concurrency = 1});
	w->pending = 30;
	for (int i = 0; i < 30; i++)
		(void)api_describe_table(w->api, "orders", on_order, &w->order[i]);
	assert_int_equal(w->answers, 0); /* never from inside */
	run(w);
	for (int i = 0; i < 30; i++)
		assert_int_equal(w->order[i], i);
	control(w, "stats", "{}");
	p = strstr(w->control, "\"connections\":");
	assert_non_null(p);
	assert_in_range(atoi(p + 14), 1, 2); /* the control call may have its own */
}

static void
on_never(void *arg, const struct api_result *rs, const struct api_table *t)
{
	(void)arg;
	(void)t;
	fail_msg("cancelled, and yet: %s", rs->err.text);
}

/* Until so many calls have met the fault at the service. */
static void
await_hanging(struct world *w, int n)
{
	char want[32];

	(void)snprintf(want, sizeof want, "\"met\":%d", n);
	for (int tries = 0; tries < 100000; tries++) {
		control(w, "stats", "{}");
		if (strstr(w->control, want) != NULL)
			return;
	}
	fail_msg("never %d calls at the service: %s", n, w->control);
}

static void
test_cancel_at_any_time(void **state)
{
	struct world *w = *state;
	struct api_call *c[6];

	emulator_start(w, "--records 5");
	open_api(w, (struct api_conf){.concurrency = 2});
	for (int i = 0; i < 6; i++) /* two with credentials asked for, four waiting */
		c[i] = api_describe_table(w->api, "orders", on_never, w);
	api_cancel(c[3]);
	api_cancel(c[0]);
	api_cancel(c[5]);
	api_cancel(c[1]);
	api_cancel(c[2]);
	api_cancel(c[4]);
	ok(w, table(w, "orders"));
	control(w, "fault", "{\"kind\":\"delay\",\"ms\":150,\"count\":2}");
	c[0] = api_describe_table(w->api, "orders", on_never, w);
	c[1] = api_describe_table(w->api, "orders", on_never, w);
	w->pending = 1;
	(void)api_describe_table(w->api, "orders", on_table, w); /* waits behind the two */
	await_hanging(w, 2);
	assert_int_equal(w->answers, 1);
	api_cancel(c[0]);
	if (w->pending > 0)
		run(w);
	ok(w, w->rs.code);
	api_cancel(c[1]);
	/* until the answers to the two would have come */
	control(w, "fault", "{\"kind\":\"delay\",\"ms\":300,\"count\":1}");
	ok(w, table(w, "orders"));
}

static void
on_close(void *arg, const struct api_result *rs, const struct api_table *t)
{
	struct world *w = arg;

	assert_int_equal(rs->code, API_OK);
	assert_string_equal(t->table, "orders");
	api_close(w->api);
	w->api = NULL;
	assert_string_equal(t->table, "orders"); /* the payload is still ours */
	loop_stop(w->lp);
}

static void
test_close_from_a_callback(void **state)
{
	struct world *w = *state;

	emulator_start(w, "--records 5");
	open_api(w, (struct api_conf){.concurrency = 3});
	(void)api_describe_table(w->api, "orders", on_close, w);
	for (int i = 0; i < 5; i++)
		(void)api_get_records(w->api, "x", 10, on_records, w);
	w->pending = 100;
	run(w);
	assert_null(w->api);
}

static void
test_close_in_the_middle(void **state)
{
	struct world *w = *state;

	emulator_start(w, "--records 5");
	open_api(w, (struct api_conf){.concurrency = 3});
	control(w, "fault", "{\"kind\":\"hang\"}");
	for (int i = 0; i < 8; i++)
		(void)api_describe_table(w->api, "orders", on_never, w);
	await_hanging(w, 3);
	api_close(w->api);
	w->api = NULL;
	api_close(NULL);
	control(w, "stats", "{}"); /* the client goes on */
}

/* ---- canned answers ---- */

static enum api_code
list(struct world *w)
{
	w->pending = 1;
	(void)api_list_streams(w->api, "orders", on_refs, w);
	run(w);
	return w->rs.code;
}

static void
with_answer(struct world *w, const char *answer)
{
	canned_stop(&w->canned);
	canned_start(w, answer);
	open_api(w, (struct api_conf){.gzip = true});
}

#define OK_JSON(headers, body) "HTTP/1.1 200 OK\r\nConnection: close\r\n" headers "\r\n" body

static void
test_listing_in_circles_ends(void **state)
{
	struct world *w = *state;

	with_answer(w,
	    OK_JSON("",
		"{\"Streams\":[{\"StreamArn\":\"a\",\"StreamLabel\":\"l\"}],"
		"\"LastEvaluatedStreamArn\":\"a\"}"));
	expect(w, list(w), API_MALFORMED, "circles");
	assert_int_equal(w->canned.requests, 2);
}

static void
test_strange_answers(void **state)
{
	static const struct {
		const char *answer;
		enum api_code code;
		const char *text;
	} cases[] = {
	    {OK_JSON("", "{\"Streams\":[]}"), API_OK, ""},
	    {OK_JSON("x-amz-crc32: 1490112021\r\n", "{\"Streams\":[]}"), API_OK, ""},
	    {OK_JSON("x-amz-crc32: 1490112020\r\n", "{\"Streams\":[]}"), API_MALFORMED, "checksum"},
	    {OK_JSON("x-amz-crc32: \r\n", "{\"Streams\":[]}"), API_MALFORMED, "checksum"},
	    {OK_JSON("x-amz-crc32: 99999999999999999999\r\n", "{\"Streams\":[]}"), API_MALFORMED,
		"checksum"},
	    {OK_JSON("x-amz-crc32: 5785079317\r\n", "{\"Streams\":[]}"), API_MALFORMED, "checksum"},
	    {OK_JSON("x-amz-crc32: 0x12\r\n", "{\"Streams\":[]}"), API_MALFORMED, "checksum"},
	    {OK_JSON("Content-Encoding: identity\r\n", "{\"Streams\":[]}"), API_OK, ""},
	    {OK_JSON("Content-Encoding: br\r\n", "{\"Streams\":[]}"), API_MALFORMED, "encoding"},
	    {OK_JSON("Content-Encoding: gzip\r\n", "{\"Streams\":[]}"), API_MALFORMED, "gzip"},
	    {OK_JSON("Content-Encoding: gzip\r\n", ""), API_MALFORMED, "gzip"},
	    {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n",
		API_MALFORMED, "HTTP 302"},
	    {"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<html>", API_OTHER, "HTTP 404"},
	    {"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n<html>", API_AUTH, "HTTP 403"},
	    {"HTTP/1.1 400 Bad\r\nConnection: close\r\nx-amz-crc32: 1\r\n\r\n"
	     "{\"__type\":\"ResourceNotFoundException\"}",
		API_MALFORMED, "checksum"}, /* a damaged error ends no shard */
	    {"HTTP/1.1 400 Bad\r\nConnection: close\r\nDate: yesterday\r\n\r\n"
	     "{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired\"}",
		API_AUTH, "Signature expired"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		with_answer(w, cases[i].answer);
		expect(w, list(w), cases[i].code, cases[i].text);
	}
}

static void
test_request_id_is_kept_and_clean(void **state)
{
	struct world *w = *state;

	with_answer(
	    w, "HTTP/1.1 500 Oops\r\nConnection: close\r\nx-amzn-RequestId: ABC-123\x01zz\r\n\r\n");
	expect(w, list(w), API_SERVER, "request ABC-123");
	assert_string_equal(w->rs.request_id, "ABC-123");
}

/* ---- without the network ---- */

static void
test_hosts_by_region(void **state)
{
	struct world *w = *state;
	struct creds_conf keys = {.source = CREDS_NONE};
	struct err e;

	w->creds = creds_new(w->lp, &keys);
	assert_int_equal(api_http_new(&w->api, w->lp, w->http, w->creds,
			     &(struct api_conf){.region = "eu-west-1"}, &e),
	    0);
	assert_string_equal(
	    w->api->streams.url, "https://streams.dynamodb.eu-west-1.amazonaws.com");
	assert_string_equal(w->api->streams.host, "streams.dynamodb.eu-west-1.amazonaws.com");
	assert_string_equal(w->api->table.url, "https://dynamodb.eu-west-1.amazonaws.com");
	assert_string_equal(w->api->table.path, "/");
}

static void
test_endpoints_of_the_operator(void **state)
{
	static const struct {
		const char *endpoint, *region;
		const char *host, *path; /* NULL: refused */
		const char *why;
	} cases[] = {
	    {"http://127.0.0.1:8000", NULL, "127.0.0.1:8000", "/", NULL},
	    {"http://localhost:8000/", NULL, "localhost:8000", "/", NULL},
	    {"http://[::1]:8000", NULL, "[::1]:8000", "/", NULL},
	    {"https://vpce-1.x.amazonaws.com:443", "eu-west-1", "vpce-1.x.amazonaws.com", "/",
		NULL},
	    {"http://proxy:80/a/b", "eu-west-1", "proxy", "/a/b", NULL},
	    {"https://proxy:80", "eu-west-1", "proxy:80", "/", NULL},
	    {"http://ddb:8000", NULL, NULL, NULL, "no region"},
	    {NULL, NULL, NULL, NULL, "no region"},
	    {NULL, "local", NULL, NULL, "no AWS region"},
	    {"127.0.0.1:8000", "eu-west-1", NULL, NULL, "must begin with http:// or https://"},
	    {"ftp://x", "eu-west-1", NULL, NULL, "must begin with http:// or https://"},
	    {"http://", "eu-west-1", NULL, NULL, "names no host"},
	    {"http://u:p@x", "eu-west-1", NULL, NULL, "nothing more"},
	    {"http://x/?a=b", "eu-west-1", NULL, NULL, "nothing more"},
	    {"http://x y", "eu-west-1", NULL, NULL, "nothing more"},
	};
	struct world *w = *state;
	struct creds_conf keys = {.source = CREDS_NONE};

	w->creds = creds_new(w->lp, &keys);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct api_conf conf = {.region = cases[i].region, .endpoint = cases[i].endpoint};
		struct err e;
		int r = api_http_new(&w->api, w->lp, w->http, w->creds, &conf, &e);

		if (cases[i].host == NULL) {
			assert_int_equal(r, -1);
			assert_int_equal(e.code, ERR_CONFIG);
			if (strstr(e.text, cases[i].why) == NULL)
				fail_msg("'%s' not in '%s'", cases[i].why, e.text);
			continue;
		}
		if (r == -1)
			fail_msg("%s", e.text);
		assert_string_equal(w->api->streams.host, cases[i].host);
		assert_string_equal(w->api->table.path, cases[i].path);
		api_close(w->api);
		w->api = NULL;
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(test_reads_everything_signed),
	    T(test_reads_everything_gzip_and_chunked),
	    T(test_lists_streams_over_pages),
	    T(test_iterators_and_children),
	    T(test_wrong_secret_says_so),
	    T(test_wrong_key_and_no_keys),
	    T(test_signing_region),
	    T(test_skewed_clock_recovers),
	    T(test_skew_of_many_calls_at_once),
	    T(test_skew_and_rotated_credentials),
	    T(test_rotated_credentials_are_read_again),
	    T(test_faults),
	    T(test_access_denied),
	    T(test_not_found_names_the_region),
	    T(test_connection_refused),
	    T(test_turns_are_taken_in_order),
	    T(test_cancel_at_any_time),
	    T(test_close_from_a_callback),
	    T(test_close_in_the_middle),
	    T(test_listing_in_circles_ends),
	    T(test_strange_answers),
	    T(test_request_id_is_kept_and_clean),
	    T(test_hosts_by_region),
	    T(test_endpoints_of_the_operator),
	};

	(void)alarm(180);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
