/* sinks/stdout.c - one line a record on standard output.
 *
 * The loop must never wait for whoever reads there. A flag O_NONBLOCK on descriptor
 * 1 would be everybody's who shares it (the shell, a child, stderr on the same
 * terminal), so a pipe or terminal is opened once more through /proc/self/fd/1: an
 * open file description of our own, whose flag is ours alone. A socket is asked
 * call by call (MSG_DONTWAIT). Files and /dev/null never wait and are written to
 * directly. Where a pipe or terminal cannot be opened again (it belongs to another
 * user), poll says when at least PIPE_BUF bytes fit, and no more are written at once.
 *
 *   submit() -> line into `out`, end remembered -> write what fits -> report those
 *   whose end was passed -> the rest when the descriptor is writable
 *
 * ACK: write() took the line's last byte. Not more: a pipe's reader may still lose it.
 * EPIPE or a terminal that went away: HALT. A full disk: RETRY; a line that was cut by it
 * is ended first when there is space again, so that no two lines become one.
 * Threading: loop thread only.
 */
#include "sinks/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "record/format.h"

/* Enough to keep a fast reader busy; beyond it the lane waits. */
#define FULL_BYTES (1u << 20)
/* A page as it came and the line of its largest record. */
#define OUT_BYTES (4u * LIMIT_PAGE_BODY)

struct stdout_conf {
	int format; /* enum format */
};

enum stdout_way { WAY_DIRECT, WAY_OWN, WAY_SOCKET, WAY_POLL };

struct line { /* accepted and not reported */
	struct delivery *d;
	uint64_t end; /* offset behind its newline, of all bytes ever */
};

struct sink {
	struct sink_env env;
	const struct stdout_conf *conf; /* borrowed */
	enum stdout_way way;
	int fd;		    /* owned with WAY_OWN, else 1 */
	struct loop_io *io; /* owned; NULL: WAY_DIRECT */
	struct buf out;	    /* from `sent` on to be written */
	size_t sent;
	uint64_t written;   /* ever */
	uint64_t formed;    /* ever: written + what is in out */
	struct line *lines; /* owned; a ring */
	size_t head, count, cap;
	bool torn;   /* a line was cut: end it before the next */
	bool ending; /* the newline for that stands first in out */
	bool halted;
	bool full; /* said SINK_FULL; owes ready() */
	uint64_t acked;
	struct err why;
};

static const struct conf_key stdout_keys[] = {
    {.name = "format",
	.type = CONF_ENUM,
	.ofs = offsetof(struct stdout_conf, format),
	.def = "envelope",
	.words = format_words,
	.doc = "How a record is written: as it came (dynamodb), its plain values, or an envelope."},
    {.name = NULL},
};

/* ---- the queue of lines ---- */

static void
line_add(struct sink *s, struct delivery *d)
{
	if (s->count == s->cap) {
		size_t cap = s->cap == 0 ? 256 : s->cap * 2;
		struct line *v = mem_array(cap, sizeof *v);

		for (size_t i = 0; i < s->count; i++)
			v[i] = s->lines[(s->head + i) % s->cap];
		free(s->lines);
		s->lines = v;
		s->head = 0;
		s->cap = cap;
	}
	s->lines[(s->head + s->count++) % s->cap] = (struct line){d, s->formed};
}

static struct delivery *
line_take(struct sink *s)
{
	struct delivery *d = s->lines[s->head].d;

	s->head = (s->head + 1) % s->cap;
	s->count--;
	return d;
}

static void
report_written(struct sink *s)
{
	while (s->count > 0 && s->lines[s->head].end <= s->written) {
		s->acked++;
		s->env.report(s->env.host, line_take(s), SINK_ACK, NULL);
	}
}

/* Everything unwritten goes back; a line that was begun stays begun. */
static void
give_up(struct sink *s, enum sink_verdict v)
{
	size_t left = s->count;

	s->torn = s->sent > 0 ? s->out.p[s->sent - 1] != '\n' : s->torn || s->ending;
	s->ending = false;
	buf_reset(&s->out);
	s->sent = 0;
	s->formed = s->written;
	if (s->io != NULL)
		loop_io_set(s->io, 0);
	while (left-- > 0)
		s->env.report(s->env.host, line_take(s), v, &s->why);
}

/* ---- writing ---- */

static ssize_t
write_some(struct sink *s, const char *p, size_t n)
{
	switch (s->way) {
	case WAY_SOCKET:
		return send(s->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	case WAY_POLL:
		return write(s->fd, p, n < PIPE_BUF ? n : PIPE_BUF);
	case WAY_DIRECT:
	case WAY_OWN:
		break;
	}
	return write(s->fd, p, n);
}

static void
fail(struct sink *s, int errnum)
{
	if (errnum == ENOSPC || errnum == EDQUOT) {
		(void)err_errno(&s->why, errnum, "stdout: cannot write");
		give_up(s, SINK_RETRY);
		return;
	}
	s->halted = true;
	if (errnum == EPIPE)
		(void)err_set(&s->why, ERR_IO, "stdout: nobody reads standard output any more");
	else
		(void)err_errno(&s->why, errnum, "stdout: cannot write");
	give_up(s, SINK_HALT);
}

/* True: it may go on at once. */
static bool
write_once(struct sink *s)
{
	ssize_t n = write_some(s, s->out.p + s->sent, s->out.n - s->sent);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0) {
		if (errno != EAGAIN)
			fail(s, errno);
		return false;
	}
	s->sent += (size_t)n;
	s->written += (uint64_t)n;
	return s->sent < s->out.n && s->way != WAY_POLL;
}

static void
write_on(struct sink *s)
{
	while (s->sent < s->out.n && write_once(s))
		;
	report_written(s);
	if (s->sent == s->out.n) {
		buf_reset(&s->out);
		s->sent = 0;
		if (s->out.cap > 4 * FULL_BYTES)
			buf_close(&s->out);
	}
	if (s->io != NULL)
		loop_io_set(s->io, s->out.n > s->sent ? LOOP_WRITE : 0);
	if (s->full && s->out.n - s->sent < FULL_BYTES / 2) {
		s->full = false;
		s->env.ready(s->env.host);
	}
}

static void
on_writable(void *arg, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	write_on(arg);
}

/* ---- taking records ---- */

/* False: there was no room for it now; nothing behind it may be taken. */
static bool
add_record(struct sink *s, struct delivery *d)
{
	size_t start = s->out.n;
	struct err why;
	bool retry;

	if (format_write((enum format)s->conf->format, d->rec, d->origin, &s->out, &why) == 0) {
		buf_add_char(&s->out, '\n');
		if (!s->out.failed) {
			s->formed += s->out.n - start;
			line_add(s, d);
			return true;
		}
		(void)err_set(&why, ERR_LIMIT, "its line is longer than %u bytes", OUT_BYTES);
	}
	s->out.n = start;
	s->out.failed = false;
	(void)err_prefix(&why, "stdout");
	/* With other lines before it, room was short and the line perhaps not too long. */
	retry = why.code == ERR_NOMEM || (why.code == ERR_LIMIT && start > 0);
	if (retry)
		s->why = why;
	s->env.report(s->env.host, d, retry ? SINK_RETRY : SINK_REJECT, &why);
	return !retry;
}

static void
make_room(struct sink *s)
{
	if (s->sent < FULL_BYTES)
		return;
	memmove(s->out.p, s->out.p + s->sent, s->out.n - s->sent);
	s->out.n -= s->sent;
	s->sent = 0;
	s->ending = false;
}

static enum sink_admit
stdout_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	bool retry = false;

	if (s->halted) {
		for (size_t i = 0; i < count; i++)
			s->env.report(s->env.host, batch[i], SINK_HALT, &s->why);
		return SINK_TAKEN;
	}
	if (s->out.n - s->sent >= FULL_BYTES) {
		s->full = true;
		return SINK_FULL;
	}
	if (s->torn) {
		s->torn = false;
		s->ending = true;
		buf_add_char(&s->out, '\n');
		s->formed++;
	}
	make_room(s);
	for (size_t i = 0; i < count; i++)
		if (retry)
			s->env.report(s->env.host, batch[i], SINK_RETRY, &s->why);
		else
			retry = !add_record(s, batch[i]);
	if (s->way == WAY_POLL)
		loop_io_set(s->io, LOOP_WRITE);
	else
		write_on(s);
	return SINK_TAKEN;
}

/* ---- the life of it ---- */

static int
find_way(struct sink *s, struct err *e)
{
	struct stat st;

	s->fd = STDOUT_FILENO;
	if (fstat(s->fd, &st) != 0)
		return err_errno(e, errno, "stdout: standard output is closed");
	s->way = WAY_DIRECT;
	if (S_ISSOCK(st.st_mode)) {
		s->way = WAY_SOCKET;
	} else if (S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(s->fd))) {
		s->fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		s->way = s->fd >= 0 ? WAY_OWN : WAY_POLL;
		if (s->fd < 0)
			s->fd = STDOUT_FILENO;
	}
	return 0;
}

static void
stdout_close(struct sink *s)
{
	if (s == NULL)
		return;
	if (s->out.n > s->sent && !s->halted && s->way != WAY_POLL)
		write_on(s);
	(void)err_retry(&s->why, ERR_CANCELLED, "stdout: closed before it was written");
	give_up(s, SINK_RETRY);
	if (s->io != NULL)
		loop_io_close(s->io);
	if (s->way == WAY_OWN)
		(void)close(s->fd);
	buf_close(&s->out);
	free(s->lines);
	free(s);
}

static int
stdout_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);
	struct sigaction sa;

	*out = NULL;
	s->env = *env;
	s->conf = conf;
	s->out = BUF_INIT(OUT_BYTES);
	if (find_way(s, e) != 0) {
		free(s);
		return -1;
	}
	/* A reader that goes away is an error to report, not a death. */
	if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
		(void)signal(SIGPIPE, SIG_IGN);
	if (s->way != WAY_DIRECT)
		s->io = loop_io_new(env->loop, s->fd, 0, on_writable, s);
	*out = s;
	return 0;
}

static void
stdout_status(const struct sink *s, struct buf *out)
{
	buf_addf(out, "\"lines\":%llu,\"bytes_waiting\":%zu", (unsigned long long)s->acked,
	    s->out.n - s->sent);
}

const struct sink_ops sink_stdout = {
    .api = SINK_API,
    .type = "stdout",
    .help = "one line a record on standard output",
    .caps = SINK_CAP_KEY_ORDER,
    .conf_size = sizeof(struct stdout_conf),
    .keys = stdout_keys,
    .open = stdout_open,
    .submit = stdout_submit,
    .close = stdout_close,
    .status = stdout_status,
};
