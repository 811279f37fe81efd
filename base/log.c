/* base/log.c - see log.h.
 *
 *   format (caller's stack) -> fold -> assemble (one buffer, locked) -> write()
 *
 * A message is written as "text key=value key=value"; the pairs at its end
 * become fields of their own in both formats, so that a collector need not take
 * messages apart. Everything that comes out has been through
 * buf_add_visible(): a name chosen by a peer cannot forge a line.
 *
 * Folding keeps the last message of each recent kind, for the count to be
 * printed with; when more kinds are about than there are slots, the oldest gives
 * its slot up and is printed if it held something back.
 */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/limits.h"

#define MESSAGE_MAX 1024 /* longer ones are cut and say so */
#define LINE_MAX_BYTES (64u << 10)
#define PAIRS_MAX 24
#define TIME_ROOM 40
#define FOLD_SLOTS 64
#define FOLD_US (10 * INT64_C(1000000)) /* log.h */

struct pair {
	struct slice name, value;
};

struct entry { /* one message, before it is a line */
	enum log_level level;
	const char *module;
	const char *object;
	const char *text;
	uint64_t repeated;
};

struct slot {
	bool used;
	enum log_level level;
	uint64_t held; /* lines not printed */
	int64_t printed_us;
	char kind[128]; /* format string, or the text if that says it all */
	char module[32];
	char object[LIMIT_NAME + 1];
	char text[MESSAGE_MAX]; /* the last one held back */
};

static struct {
	pthread_mutex_t lock;
	enum log_format format;
	int journal; /* -1: not looked yet */
	void (*sink)(void *ctx, enum log_level level, const char *line);
	void *sink_ctx;
	int64_t (*clock)(void);
	struct buf line; /* being assembled */
	unsigned fields; /* in it so far */
	struct slot slots[FOLD_SLOTS];
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .journal = -1, .line = {.max = LINE_MAX_BYTES}};

static atomic_int threshold = LOG_INFO;

static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char journal_priority[] = "3467"; /* syslog's err, warning, info, debug */

static int64_t
monotonic_us(void)
{
	struct timespec ts;

	/* banned-ok: clock_gettime: lines come from any thread, and without a loop */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

/* Does JOURNAL_STREAM ("device:inode") name what is our stderr now? It is
 * inherited by processes whose stderr was sent elsewhere since. */
static bool
stderr_is_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;
	char rest;

	if (text == NULL || sscanf(text, "%llu:%llu%c", &device, &inode, &rest) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static bool
under_journal(void)
{
	if (logger.journal < 0)
		logger.journal = stderr_is_journal() ? 1 : 0;
	return logger.journal == 1;
}

static void
write_time(char out[TIME_ROOM])
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	/* banned-ok: clock_gettime: as in monotonic_us() */
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, TIME_ROOM, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out + n, TIME_ROOM - n, ".%03dZ", (int)(ts.tv_nsec / 1000000));
}

static bool
is_bare(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c <= ' ' || c > '~' || c == '"' || c == '\\' || c == '=')
			return false;
	}
	return s.n != 0;
}

static void
add_field(struct buf *b, struct slice name, struct slice value)
{
	bool json = logger.format == LOG_JSON;

	if (logger.fields++ != 0)
		buf_add_char(b, json ? ',' : ' ');
	buf_addf(b, json ? "\"%.*s\":" : "%.*s=", (int)name.n, name.p);
	if (!json && is_bare(value)) {
		buf_add_slice(b, value);
		return;
	}
	buf_add_char(b, '"');
	buf_add_visible(b, value);
	buf_add_char(b, '"');
}

static bool
is_name(struct slice s)
{
	static const char *const ours[] = {
	    "time", "level", "module", "object", "msg", "repeated", NULL};

	for (size_t i = 0; ours[i] != NULL; i++)
		if (slice_is(s, ours[i]))
			return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '_' || s.p[i] == '.' ||
			s.p[i] == '-' || (i != 0 && s.p[i] >= '0' && s.p[i] <= '9')))
			return false;
	return s.n != 0;
}

static bool
is_pair(struct slice word, struct pair *out)
{
	const char *eq = memchr(word.p, '=', word.n);

	if (eq == NULL)
		return false;
	out->name = (struct slice){word.p, (size_t)(eq - word.p)};
	out->value = (struct slice){eq + 1, word.n - out->name.n - 1};
	return is_name(out->name);
}

/* Takes "key=value" words off the end of text, last first; stops at the first
 * word that is none, or whose name was there already. */
static size_t
split_pairs(struct slice *text, struct pair pairs[PAIRS_MAX])
{
	size_t n = 0;

	while (n < PAIRS_MAX) {
		const char *space = memrchr(text->p, ' ', text->n);
		struct slice word = *text;

		if (space == NULL)
			break; /* the message keeps its first word */
		word.p = space + 1;
		word.n = text->n - (size_t)(word.p - text->p);
		if (!is_pair(word, &pairs[n]))
			break;
		for (size_t i = 0; i < n; i++)
			if (slice_eq(pairs[i].name, pairs[n].name))
				return n;
		text->n = (size_t)(space - text->p);
		n++;
	}
	return n;
}

/* Everything behind time and level. */
static void
add_body(struct buf *b, const struct entry *en)
{
	struct slice text = slice_of(en->text);
	struct pair pairs[PAIRS_MAX];
	size_t n = split_pairs(&text, pairs);
	char number[24];

	add_field(b, SLICE_LIT("module"), slice_of(en->module));
	if (en->object[0] != '\0')
		add_field(b, SLICE_LIT("object"), slice_of(en->object));
	add_field(b, SLICE_LIT("msg"), text);
	while (n-- > 0)
		add_field(b, pairs[n].name, pairs[n].value);
	if (en->repeated != 0) {
		(void)snprintf(number, sizeof number, "%llu", (unsigned long long)en->repeated);
		add_field(b, SLICE_LIT("repeated"), slice_of(number));
	}
}

static void
write_line(const struct buf *b)
{
	const char *p = b->p;
	size_t left = b->n;

	while (left != 0) {
		ssize_t n = write(STDERR_FILENO, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nowhere to say it */
		p += n;
		left -= (size_t)n;
	}
}

/* Locked. */
static void
emit(const struct entry *en)
{
	struct buf *b = &logger.line;
	bool journal = logger.sink == NULL && under_journal();
	char now[TIME_ROOM];

	buf_reset(b);
	logger.fields = 0;
	if (journal)
		buf_addf(b, "<%c>", journal_priority[en->level]);
	if (logger.format == LOG_JSON)
		buf_add_char(b, '{');
	if (!journal && logger.sink == NULL) {
		write_time(now);
		add_field(b, SLICE_LIT("time"), slice_of(now));
	}
	add_field(b, SLICE_LIT("level"), slice_of(level_words[en->level]));
	add_body(b, en);
	if (logger.format == LOG_JSON)
		buf_add_char(b, '}');
	if (logger.sink != NULL) {
		logger.sink(logger.sink_ctx, en->level, buf_cstr(b));
		return;
	}
	buf_add_char(b, '\n');
	write_line(b);
}

static void
emit_held(struct slot *sl)
{
	struct entry en = {.level = sl->level,
	    .module = sl->module,
	    .object = sl->object,
	    .text = sl->text,
	    .repeated = sl->held};

	if (sl->used && sl->held != 0)
		emit(&en);
	sl->held = 0;
}

static void
copy(char *to, size_t room, const char *from)
{
	size_t n = strnlen(from, room - 1);

	memcpy(to, from, n);
	to[n] = '\0';
}

/* The slot of this kind of line: the one it has, a free one, or the oldest. */
static struct slot *
find_slot(const char *kind, const char *module, const char *object)
{
	struct slot *oldest = &logger.slots[0];

	for (size_t i = 0; i < FOLD_SLOTS; i++) {
		struct slot *sl = &logger.slots[i];

		if (sl->used && strncmp(sl->kind, kind, sizeof sl->kind - 1) == 0 &&
		    strncmp(sl->module, module, sizeof sl->module - 1) == 0 &&
		    strncmp(sl->object, object, sizeof sl->object - 1) == 0)
			return sl;
		if (oldest->used && (!sl->used || sl->printed_us < oldest->printed_us))
			oldest = sl;
	}
	emit_held(oldest);
	oldest->used = false;
	return oldest;
}

/* True if the line was held back; else en->repeated is what it stands for. */
static bool
fold(struct entry *en, const char *kind)
{
	struct slot *sl = find_slot(kind, en->module, en->object);
	int64_t now = logger.clock != NULL ? logger.clock() : monotonic_us();

	if (sl->used && now - sl->printed_us < FOLD_US) {
		sl->held++;
		sl->level = en->level;
		copy(sl->text, sizeof sl->text, en->text);
		return true;
	}
	en->repeated = sl->used ? sl->held : 0;
	if (!sl->used) {
		sl->used = true;
		copy(sl->kind, sizeof sl->kind, kind);
		copy(sl->module, sizeof sl->module, en->module);
		copy(sl->object, sizeof sl->object, en->object);
	}
	sl->held = 0;
	sl->printed_us = now;
	return false;
}

void
log_line(enum log_level level, const char *module, const char *object, const char *fmt, ...)
{
	char text[MESSAGE_MAX];
	struct entry en = {.level = level, .module = module, .object = object, .text = text};
	va_list ap;
	int n;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof text)
		memcpy(text + sizeof text - 4, "...", 4);
	(void)pthread_mutex_lock(&logger.lock);
	if (level == LOG_DEBUG || logger.sink != NULL ||
	    !fold(&en, strcmp(fmt, "%s") == 0 ? text : fmt))
		emit(&en);
	(void)pthread_mutex_unlock(&logger.lock);
}

void
log_flush(void)
{
	(void)pthread_mutex_lock(&logger.lock);
	for (size_t i = 0; i < FOLD_SLOTS; i++)
		emit_held(&logger.slots[i]);
	(void)pthread_mutex_unlock(&logger.lock);
}

void
log_set(enum log_level level, enum log_format format)
{
	atomic_store(&threshold, (int)level);
	(void)pthread_mutex_lock(&logger.lock);
	logger.format = format;
	logger.journal = -1;
	(void)pthread_mutex_unlock(&logger.lock);
}

void
log_set_sink(void (*fn)(void *ctx, enum log_level level, const char *line), void *ctx)
{
	(void)pthread_mutex_lock(&logger.lock);
	logger.sink = fn;
	logger.sink_ctx = ctx;
	(void)pthread_mutex_unlock(&logger.lock);
}

void
log_set_clock(int64_t (*now_us)(void))
{
	(void)pthread_mutex_lock(&logger.lock);
	logger.clock = now_us;
	(void)pthread_mutex_unlock(&logger.lock);
}

bool
log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

int
log_level_parse(const char *word, enum log_level *out, struct err *e)
{
	const char *near;

	for (int i = 0; level_words[i] != NULL; i++) {
		if (strcmp(level_words[i], word) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	near = conf_nearest(word, level_words);
	return err_set(e, ERR_CONFIG, "log level \"%.40s\" is not known; it is %s%s%s", word,
	    near != NULL ? "perhaps \"" : "error, warn, info or debug", near != NULL ? near : "",
	    near != NULL ? "\"" : "");
}
