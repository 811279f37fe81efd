/* Standard output: whole lines, in order, never waited for, and what happens
 * when the reader is slow, gone, or a full disk. */
#include "tests/unit/audit_support.h"

#include <errno.h>
#include <sys/socket.h>

#include "record/format.h"

static int real_stdout;

/* fd takes descriptor 1's place; cmocka's own lines wait in stdio's buffer. */
static void
redirect(int fd)
{
	(void)fflush(stdout);
	assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
}

static void
restore(void)
{
	(void)dup2(real_stdout, STDOUT_FILENO);
}

struct fixture {
	struct host host;
	int format; /* as in the sink's own configuration, which is this one key */
	struct sink *sink;
};

static void
sink_start(struct fixture *x, enum format f)
{
	struct sink_env env;
	struct err e;

	memset(x, 0, sizeof *x);
	host_open(&x->host);
	env = host_env(&x->host);
	x->format = (int)f;
	assert_int_equal(sink_stdout.conf_size, sizeof x->format);
	assert_int_equal(sink_stdout.open(&x->sink, &env, &x->format, &e), 0);
}

static void
sink_stop(struct fixture *x)
{
	sink_stdout.close(x->sink);
	host_close(&x->host);
	restore();
}

/* What the sink should have written of them. */
static struct buf
expected(const struct sample *v, unsigned n, enum format f)
{
	struct buf b = BUF_INIT(64u << 20);
	struct err e;

	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(format_write(f, &v[i].rec, v[i].d.origin, &b, &e), 0);
		buf_add_char(&b, '\n');
	}
	return b;
}

static void
expect_bytes(const struct buf *got, const struct sample *v, unsigned n, enum format f)
{
	struct buf want = expected(v, n, f);

	assert_int_equal(got->n, want.n);
	assert_memory_equal(got->p, want.p, want.n);
	buf_close(&want);
}

/* Each record's raw is what `dynamodb` writes. */
static void
lines_to_a_file(void **state)
{
	struct sample *v = samples_new(1, 100, &sample_origin);
	char path[] = "/tmp/slipring-stdout-XXXXXX";
	int fd = mkstemp(path);
	struct fixture x;
	struct buf got;

	(void)state;
	for (int f = FORMAT_DYNAMODB; f <= FORMAT_DEBEZIUM; f++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		redirect(fd);
		sink_start(&x, (enum format)f);
		assert_int_equal(host_submit(&sink_stdout, x.sink, v, 100), SINK_TAKEN);
		assert_int_equal(x.host.verdicts[SINK_ACK], 100); /* no loop needed */
		sink_stop(&x);
		got = file_read(path);
		expect_bytes(&got, v, 100, (enum format)f);
		buf_close(&got);
	}
	(void)close(fd);
	(void)unlink(path);
	free(v);
}

static void
read_some(int fd, struct buf *into, size_t most)
{
	char part[65536];
	ssize_t n = read(fd, part, most < sizeof part ? most : sizeof part);

	assert_true(n >= 0 || errno == EAGAIN);
	if (n > 0)
		buf_add(into, part, (size_t)n);
}

/* A reader that does not read: the loop goes on, the sink fills up and says so;
 * then everything arrives, whole and in order, acked no sooner than written. */
static void
slow_reader(int rd, int wr)
{
	unsigned total = 20000, at = 0, at_full;
	struct sample *v = samples_new(1, total, &sample_origin);
	struct buf got = BUF_INIT(64u << 20), want = expected(v, total, FORMAT_ENVELOPE);
	struct fixture x;

	assert_int_equal(fcntl(rd, F_SETFL, O_NONBLOCK), 0);
	redirect(wr);
	sink_start(&x, FORMAT_ENVELOPE);
	/* Nobody else's descriptor has become non-blocking. */
	assert_int_equal(fcntl(wr, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
	while (host_submit(&sink_stdout, x.sink, v + at, 500) == SINK_TAKEN)
		at += 500;
	at_full = at;
	assert_in_range(at, 1000, total - 1000);
	host_run_for(&x.host, 20 * USEC_MS);
	assert_true(x.host.late);
	assert_true(x.host.reports < at);
	assert_int_equal(x.host.readies, 0);
	for (int turns = 0; x.host.reports < total && turns < 100000; turns++) {
		size_t acked = x.host.reports;

		/* No ack for a line that has not been written: at most a pipe's worth ahead. */
		assert_true(acked * 300 <= got.n + (1u << 22));
		read_some(rd, &got, 65536);
		host_run_for(&x.host, turns % 16 == 0 ? USEC_MS : 0);
		if (at < total && x.host.readies > 0 &&
		    host_submit(&sink_stdout, x.sink, v + at, 500) == SINK_TAKEN)
			at += 500;
	}
	assert_true(x.host.readies > 0);
	assert_int_equal(x.host.verdicts[SINK_ACK], total);
	sink_stop(&x);
	for (int turns = 0; got.n < want.n && turns < 10000; turns++)
		read_some(rd, &got, 65536);
	assert_int_equal(got.n, want.n);
	assert_memory_equal(got.p, want.p, want.n);
	assert_true(at_full < total);
	buf_close(&got);
	buf_close(&want);
	free(v);
}

static void
slow_pipe(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	slow_reader(fds[0], fds[1]);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
slow_socket(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	slow_reader(fds[0], fds[1]);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void
ack_is_not_given_before_the_last_byte(void **state)
{
	struct sample *v = samples_new(1, 1, &sample_origin);
	size_t n = 200000; /* more than a pipe holds */
	char *text = malloc(n);
	struct buf got = BUF_INIT(1u << 20);
	struct fixture x;
	int fds[2];

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n);
	memcpy(text, "{\"a\":\"", 6);
	memcpy(text + n - 2, "\"}", 2);
	v[0].rec.raw = (struct slice){text, n};
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	redirect(fds[1]);
	sink_start(&x, FORMAT_DYNAMODB);
	assert_int_equal(host_submit(&sink_stdout, x.sink, v, 1), SINK_TAKEN);
	for (int turns = 0; got.n < 100000 && turns < 1000; turns++) {
		read_some(fds[0], &got, 4096);
		host_run_for(&x.host, 0);
	}
	assert_in_range(got.n, 100000, 110000);
	host_run_for(&x.host, 10 * USEC_MS);
	assert_int_equal(x.host.reports, 0);
	for (int turns = 0; x.host.reports == 0 && turns < 1000; turns++) {
		read_some(fds[0], &got, 4096);
		host_run_for(&x.host, 0);
	}
	assert_int_equal(x.host.verdicts[SINK_ACK], 1);
	sink_stop(&x);
	(void)close(fds[0]);
	(void)close(fds[1]);
	buf_close(&got);
	free(text);
	free(v);
}

static void
reader_gone(void **state)
{
	struct sample *v = samples_new(1, 30, &sample_origin);
	struct fixture x;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	redirect(fds[1]);
	sink_start(&x, FORMAT_ENVELOPE);
	(void)close(fds[0]);
	assert_int_equal(host_submit(&sink_stdout, x.sink, v, 10), SINK_TAKEN);
	host_wait(&x.host, 10);
	assert_int_equal(x.host.verdicts[SINK_HALT], 10);
	assert_non_null(strstr(x.host.why.text, "nobody reads standard output any more"));
	assert_int_equal(host_submit(&sink_stdout, x.sink, v + 10, 20), SINK_TAKEN);
	assert_int_equal(x.host.verdicts[SINK_HALT], 30);
	sink_stop(&x);
	(void)close(fds[1]);
	free(v);
}

static void
closed_with_lines_unwritten(void **state)
{
	struct sample *v = samples_new(1, 2000, &sample_origin);
	struct fixture x;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	redirect(fds[1]);
	sink_start(&x, FORMAT_ENVELOPE);
	assert_int_equal(host_submit(&sink_stdout, x.sink, v, 2000), SINK_TAKEN);
	sink_stdout.close(x.sink);
	assert_int_equal(x.host.reports, 2000);
	assert_in_range(x.host.verdicts[SINK_ACK], 10, 1000);
	assert_int_equal(x.host.verdicts[SINK_ACK] + x.host.verdicts[SINK_RETRY], 2000);
	host_close(&x.host);
	restore();
	(void)close(fds[0]);
	(void)close(fds[1]);
	free(v);
}

static void
full_device(void **state)
{
	struct sample *v = samples_new(1, 10, &sample_origin);
	int fd = open("/dev/full", O_WRONLY);
	struct fixture x;

	(void)state;
	assert_true(fd >= 0);
	redirect(fd);
	sink_start(&x, FORMAT_ENVELOPE);
	assert_int_equal(host_submit(&sink_stdout, x.sink, v, 10), SINK_TAKEN);
	assert_int_equal(x.host.verdicts[SINK_RETRY], 10);
	assert_int_equal(x.host.why.code, ERR_NOSPACE);
	sink_stop(&x);
	(void)close(fd);
	free(v);
}

/* /dev/null takes all; without a descriptor 1 there is nothing to start. */
static void
device_null_and_closed(void **state)
{
	struct sample *v = samples_new(1, 10, &sample_origin);
	int fd = open("/dev/null", O_WRONLY);
	struct sink_env env;
	struct fixture x;
	struct host h;
	struct err e;
	int conf = FORMAT_ENVELOPE, r;

	(void)state;
	redirect(fd);
	sink_start(&x, FORMAT_ENVELOPE);
	assert_int_equal(host_submit(&sink_stdout, x.sink, v, 10), SINK_TAKEN);
	assert_int_equal(x.host.verdicts[SINK_ACK], 10);
	sink_stop(&x);
	host_open(&h);
	env = host_env(&h);
	(void)fflush(stdout);
	(void)close(STDOUT_FILENO);
	r = sink_stdout.open(&x.sink, &env, &conf, &e);
	restore();
	assert_int_equal(r, -1);
	assert_non_null(strstr(e.text, "standard output is closed"));
	host_close(&h);
	(void)close(fd);
	free(v);
}

static void
not_json_is_rejected(void **state)
{
	struct sample *v = samples_new(1, 3, &sample_origin);
	int fd = open("/dev/null", O_WRONLY);
	struct fixture x;

	(void)state;
	v[1].rec.new_image = SLICE_LIT("{\"n\":{\"Q\":\"1\"}}");
	redirect(fd);
	sink_start(&x, FORMAT_ENVELOPE);
	assert_int_equal(host_submit(&sink_stdout, x.sink, v, 3), SINK_TAKEN);
	assert_int_equal(v[0].verdict, SINK_ACK);
	assert_int_equal(v[1].verdict, SINK_REJECT);
	assert_int_equal(v[2].verdict, SINK_ACK);
	assert_int_equal(strncmp(x.host.why.text, "stdout: ", 8), 0);
	sink_stop(&x);
	(void)close(fd);
	free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_to_a_file),
	    cmocka_unit_test(slow_pipe),
	    cmocka_unit_test(slow_socket),
	    cmocka_unit_test(ack_is_not_given_before_the_last_byte),
	    cmocka_unit_test(reader_gone),
	    cmocka_unit_test(closed_with_lines_unwritten),
	    cmocka_unit_test(full_device),
	    cmocka_unit_test(device_null_and_closed),
	    cmocka_unit_test(not_json_is_rejected),
	};

	log_set_sink(no_log, NULL);
	real_stdout = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
