/* daemon/sink_terminal.c - see sink_terminal.h. */
#include "daemon/sink_terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "record/format.h"
#include "record/key.h"
#include "record/value.h"

/* A value longer than this is never seen whole on a screen. */
#define VALUE_SHOWN 4096
/* Where lines are cut, no value may take what the others need. */
#define VALUE_COLUMNS 40

struct sink {
	struct sink_env env;
	const struct terminal_conf *conf; /* borrowed */
	struct buf out;
	struct buf json; /* a record in its format, before it is made harmless */
};

struct line {
	struct buf *out;
	size_t left; /* columns; SIZE_MAX: any */
	bool full;
	bool color;
	bool first; /* no change written yet */
	const struct record *r;
};

static const char color_off[] = "\033[0m";
static const char bold[] = "\033[1m";
static const char dim[] = "\033[2m";
static const char red[] = "\033[31m";
static const char green[] = "\033[32m";
static const char yellow[] = "\033[33m";

/* Characters from U+1100 on may be two columns wide; counting them so never
 * lets a line wrap. */
static size_t
columns_of(const char *p, size_t n)
{
	return n >= 3 && (unsigned char)p[0] >= 0xe1 ? 2 : 1;
}

/* text has no control characters left. Cut at the line's end or after `most`
 * columns, and marked there. */
static void
line_cut(struct line *l, const char *color, struct slice text, size_t most)
{
	size_t i = 0, used = 0;

	if (l->full || text.n == 0)
		return;
	if (l->color && color != NULL)
		buf_add_str(l->out, color);
	while (i < text.n) {
		size_t n = utf8_length(text.p + i, text.n - i);
		size_t wide = columns_of(text.p + i, n);

		if (n == 0)
			break;
		l->full = l->left < wide + 1; /* one stays for the mark */
		if (l->full || used + wide > most) {
			buf_add_str(l->out, "\xe2\x80\xa6");
			l->left -= l->left != SIZE_MAX ? 1 : 0;
			break;
		}
		l->left -= l->left != SIZE_MAX ? wide : 0;
		used += wide;
		buf_add(l->out, text.p + i, n);
		i += n;
	}
	if (l->color && color != NULL)
		buf_add_str(l->out, color_off);
}

static void
line_add(struct line *l, const char *color, struct slice text)
{
	line_cut(l, color, text, SIZE_MAX);
}

static void
line_str(struct line *l, const char *color, const char *text)
{
	line_add(l, color, slice_of(text));
}

static void
line_data(struct line *l, const char *color, struct slice text, size_t most)
{
	struct buf safe = BUF_INIT(VALUE_SHOWN * 6);

	if (text.n > VALUE_SHOWN)
		text.n = VALUE_SHOWN;
	buf_add_printable(&safe, text);
	line_cut(l, color, buf_slice(&safe), l->left != SIZE_MAX ? most : SIZE_MAX);
	buf_close(&safe);
}

static void
line_value(struct line *l, const char *color, struct slice value)
{
	struct buf plain = BUF_INIT(LIMIT_PAGE_BODY);
	struct err e;

	if (plain_write_value(value, &plain, &e) != 0) {
		buf_reset(&plain);
		buf_add_slice(&plain, value);
	}
	line_data(l, color, buf_slice(&plain), VALUE_COLUMNS);
	buf_close(&plain);
}

/* Key attributes are in front of the line already. */
static bool
is_key(const struct record *r, struct slice path)
{
	struct json_iter it = json_iter(r->keys);
	struct slice name, value;

	while (json_next(&it, &name, &value))
		if (slice_eq(name, path))
			return true;
	return false;
}

static void
on_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct line *l = arg;

	if (l->full || is_key(l->r, path))
		return;
	line_str(l, NULL, l->first ? "  " : ", ");
	l->first = false;
	line_data(l, dim, path, SIZE_MAX);
	line_str(l, NULL, ": ");
	if (l->r->event == RECORD_INSERT) {
		line_value(l, NULL, new_value);
		return;
	}
	if (old_value.p != NULL)
		line_value(l, l->r->event == RECORD_REMOVE ? dim : red, old_value);
	if (l->r->event == RECORD_REMOVE)
		return;
	line_str(l, NULL, old_value.p != NULL ? " -> " : "-> ");
	if (new_value.p != NULL)
		line_value(l, green, new_value);
	else
		line_str(l, dim, "(gone)");
}

static void
line_time(struct line *l, const struct record *r)
{
	time_t t = (time_t)(r->created_us / 1000000);
	char text[32] = "--:--:--";
	struct tm tm;

	if ((r->flags & RECORD_NO_TIME) == 0 && localtime_r(&t, &tm) != NULL)
		(void)strftime(text, sizeof text, "%H:%M:%S", &tm);
	line_str(l, dim, text);
}

static void
line_event(struct line *l, const struct record *r)
{
	static const struct {
		const char *name, *color;
	} events[] = {[RECORD_UNKNOWN] = {"CHANGE", NULL},
	    [RECORD_INSERT] = {"INSERT", green},
	    [RECORD_MODIFY] = {"MODIFY", yellow},
	    [RECORD_REMOVE] = {"REMOVE", red}};

	line_str(l, NULL, " ");
	line_str(l, events[r->event].color, events[r->event].name);
	line_str(l, NULL, " ");
}

void
terminal_write(
    const struct record *r, const struct origin *o, bool color, size_t columns, struct buf *out)
{
	struct line l = {.out = out,
	    .left = columns != 0 ? columns : SIZE_MAX,
	    .color = color,
	    .first = true,
	    .r = r};
	struct buf key = BUF_INIT(64u << 10);
	/* A view without old images says nothing about what changed: what the
	 * item is now is shown instead, by comparing with nothing. */
	struct slice old_image = r->event == RECORD_INSERT ? SLICE_NONE : r->old_image;

	line_time(&l, r);
	line_event(&l, r);
	key_write(r, o->schema, &key);
	line_data(&l, bold, buf_slice(&key), SIZE_MAX);
	if ((r->flags & RECORD_TTL) != 0)
		line_str(&l, dim, " (expired)");
	changes_each(old_image, r->new_image, on_change, &l);
	buf_close(&key);
}

static size_t
terminal_columns(const struct terminal_conf *c)
{
	struct winsize ws;

	if (!c->fit || ioctl(c->fd, TIOCGWINSZ, &ws) != 0)
		return 0;
	return ws.ws_col;
}

static int
write_all(int fd, const struct buf *b)
{
	const char *p = b->p;
	size_t left = b->n;

	while (left != 0) {
		ssize_t n = write(fd, p, left);

		if (n < 0 && errno == EAGAIN) {
			/* Somebody else made it non-blocking; a terminal is waited for. */
			struct pollfd pfd = {.fd = fd, .events = POLLOUT};

			(void)poll(&pfd, 1, -1);
			continue;
		}
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			p += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

static int
terminal_open(struct sink **out, const struct sink_env *env, const void *conf, struct err *e)
{
	struct sink *s = mem_new(sizeof *s);

	(void)e;
	s->env = *env;
	s->conf = conf;
	s->out = BUF_INIT(8u * LIMIT_PAGE_BODY);
	s->json = BUF_INIT(4u * LIMIT_PAGE_BODY);
	*out = s;
	return 0;
}

/* Outside of strings JSON has no characters to escape, and inside them the
 * escape means the same. */
static void
write_format(struct sink *s, const struct delivery *d)
{
	struct err e;

	buf_reset(&s->json);
	if (format_write((enum format)s->conf->format, d->rec, d->origin, &s->json, &e) != 0) {
		buf_reset(&s->json);
		buf_add_slice(&s->json, d->rec->raw);
	}
	buf_add_printable(&s->out, buf_slice(&s->json));
}

static enum sink_admit
terminal_submit(struct sink *s, struct delivery *const *batch, size_t count)
{
	size_t columns = terminal_columns(s->conf);
	enum sink_verdict v = SINK_ACK;
	struct err why;

	buf_reset(&s->out);
	for (size_t i = 0; i < count; i++) {
		if (s->conf->format >= 0)
			write_format(s, batch[i]);
		else
			terminal_write(
			    batch[i]->rec, batch[i]->origin, s->conf->color, columns, &s->out);
		buf_add_char(&s->out, '\n');
	}
	if (write_all(s->conf->fd, &s->out) != 0) {
		err_errno(&why, errno, "terminal: cannot write");
		v = SINK_HALT;
	}
	for (size_t i = 0; i < count; i++)
		s->env.report(s->env.host, batch[i], v, v == SINK_ACK ? NULL : &why);
	return SINK_TAKEN;
}

static void
terminal_close(struct sink *s)
{
	buf_close(&s->out);
	buf_close(&s->json);
	free(s);
}

static const struct conf_key terminal_keys[] = {{.name = NULL}};

const struct sink_ops sink_terminal = {
    .api = SINK_API,
    .type = "terminal",
    .help = "one line per change, for people",
    .caps = SINK_CAP_KEY_ORDER,
    .conf_size = sizeof(struct terminal_conf),
    .keys = terminal_keys,
    .open = terminal_open,
    .submit = terminal_submit,
    .close = terminal_close,
};
