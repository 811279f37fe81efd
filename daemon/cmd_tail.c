/* daemon/cmd_tail.c - `slipring tail`: a table's changes on this terminal.
 *
 * The real pipeline on a store that keeps nothing, with one sink: the eye's
 * (sink_terminal) on a terminal, sink_stdout in a pipe. What is wrong is said
 * before anything is read, in one line; what goes wrong later is tried again,
 * with a note.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/command.h"
#include "daemon/find.h"
#include "daemon/paint.h"
#include "daemon/pattern_arg.h"
#include "daemon/sink_terminal.h"
#include "daemon/store_memory.h"
#include "record/format.h"

/* How soon --until-idle and a reader that went away are noticed. */
#define LOOK_US (200 * USEC_MS)
#define MEMORY_BUDGET (INT64_C(64) << 20)

struct tail {
	struct wiring w;
	struct found found;
	struct feed_conf feed;
	struct lane_conf lane;
	struct terminal_conf terminal;
	struct pattern_arg pattern;
	const struct sink_ops *ops;
	void *sink_conf; /* owned when it is sink_stdout's */
	struct loop_signal *sigterm, *sigint;
	struct loop_timer *look;
	bool until_idle;
	bool ending;
	int code;
};

static bool
reader_is_gone(void)
{
	struct pollfd pfd = {.fd = STDOUT_FILENO, .events = 0};

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & (POLLERR | POLLHUP)) != 0;
}

static void
on_ended(void *ctx, enum pipeline_end how, const struct err *why)
{
	struct tail *t = ctx;

	t->code = how == PIPELINE_DRAINED ? EXIT_DONE
	    : how == PIPELINE_GAP	  ? EXIT_GAP
	    : how == PIPELINE_CONFIG	  ? EXIT_CONFIG
					  : EXIT_FAILED;
	if (how == PIPELINE_HALTED && reader_is_gone())
		t->code = EXIT_DONE;
	else if (why != NULL && t->code != EXIT_DONE)
		(void)command_fail(why);
	loop_stop(t->w.loop);
}

/* The feed tries again and says so itself. What fails before anything was
 * listed will fail again: the services for tables and for streams are two. */
static void
on_trouble(void *ctx, const char *stream, bool listed, const struct err *why)
{
	struct tail *t = ctx;

	(void)stream;
	if (listed ||
	    (why->code != ERR_AUTH && why->code != ERR_NETWORK && why->code != ERR_CONFIG))
		return;
	t->code = command_fail(why);
	loop_stop(t->w.loop);
}

static void
end(struct tail *t)
{
	if (t->ending)
		return;
	t->ending = true;
	pipeline_drain(t->w.pipeline);
}

static void
on_signal(void *arg, int signo)
{
	struct tail *t = arg;

	(void)signal(signo, SIG_DFL); /* the second one ends at once */
	end(t);
}

static void
on_look(void *arg)
{
	struct tail *t = arg;

	if (reader_is_gone()) {
		t->code = EXIT_DONE;
		loop_stop(t->w.loop);
		return;
	}
	if (t->until_idle && pipeline_idle(t->w.pipeline))
		end(t);
	loop_timer_arm(t->look, LOOK_US);
}

/* The operand is a table's name, a table's ARN or a stream's ARN. */
static int
find(struct tail *t, const char *what, struct err *e)
{
	const struct source *s = &t->w.sources[0];
	struct arn_parts p;
	char table[LIMIT_TABLE_NAME + 1];

	if (strncmp(what, "arn:", 4) != 0)
		return find_stream(&t->w, s, what, NULL, &t->found, e);
	if (api_arn_parse(what, &p, e) != 0)
		return -1;
	if (p.label.n != 0)
		return find_stream(&t->w, s, NULL, what, &t->found, e);
	(void)snprintf(table, sizeof table, "%.*s", (int)p.table.n, p.table.p);
	return find_stream(&t->w, s, table, NULL, &t->found, e);
}

static int
open_source(struct tail *t, const struct args *a, struct err *e)
{
	const char *what = a->words[0];
	struct arn_parts p;
	struct source_conf sc = {.region = args_get(a, "region"),
	    .endpoint = args_get(a, "endpoint"),
	    .ca_file = args_get(a, "ca-file"),
	    .profile = args_get(a, "profile"),
	    .credentials = CREDS_AUTO};

	if (strncmp(what, "arn:", 4) == 0) {
		if (api_arn_parse(what, &p, e) != 0)
			return -1;
		sc.arn = what;
	}
	if (sc.endpoint != NULL && endpoint_check(sc.endpoint, e) != 0)
		return -1;
	if (wiring_open(&t->w, e) != 0)
		return -1;
	return wiring_add_source(&t->w, &sc, e);
}

/* sink_stdout's own table fills its own struct. */
static int
use_stdout(struct tail *t, const char *format, struct err *e)
{
	struct conf_doc *doc;
	char yaml[64];
	int r;

	(void)snprintf(yaml, sizeof yaml, "format: %s", format != NULL ? format : "envelope");
	if (conf_parse(&doc, slice_of(yaml), "--format", e) != 0)
		return -1;
	t->ops = &sink_stdout;
	t->sink_conf = mem_new(t->ops->conf_size);
	r = conf_fill(conf_root(doc), t->ops->keys, NULL, t->sink_conf, e);
	conf_close(doc);
	return r;
}

static int
choose_sink(struct tail *t, const struct args *a, struct err *e)
{
	const char *format = args_get(a, "format"), *color = args_get(a, "color");
	bool terminal = isatty(STDOUT_FILENO) == 1;
	bool forced = color != NULL && strcmp(color, "always") == 0;

	if (!terminal && !forced)
		return use_stdout(t, format, e);
	t->ops = &sink_terminal;
	t->terminal = (struct terminal_conf){.fd = STDOUT_FILENO,
	    .color = paint_wanted(color, terminal),
	    .fit = terminal,
	    .format = -1};
	for (int i = 0; format != NULL && format_words[i] != NULL; i++)
		if (strcmp(format_words[i], format) == 0)
			t->terminal.format = i;
	return 0;
}

static int
start_pipeline(struct tail *t, struct err *e)
{
	static const char *const sinks[] = {"screen"};
	const struct pipeline_conf pc = {
	    .memory_budget = MEMORY_BUDGET, .checkpoint_interval_us = USEC_SEC};
	const struct pipeline_host host = {.ctx = t, .ended = on_ended, .trouble = on_trouble};
	const void *conf = t->sink_conf != NULL ? t->sink_conf : &t->terminal;

	t->w.store = store_memory_new(t->w.loop);
	if (pipeline_new(&t->w.pipeline, t->w.loop, t->w.store, &pc, &host, e) != 0 ||
	    pipeline_add_sink(t->w.pipeline, sinks[0], t->ops, conf, &t->lane, e) != 0)
		return -1;
	if (t->pattern.chain != NULL)
		pipeline_set_chain(t->w.pipeline, sinks[0], t->pattern.chain);
	t->pattern.chain = NULL;
	if (pipeline_add_stream(
		t->w.pipeline, t->found.table, t->w.sources[0].api, &t->feed, sinks, 1, e) != 0)
		return -1;
	t->sigterm = loop_signal_new(t->w.loop, SIGTERM, on_signal, t);
	t->sigint = loop_signal_new(t->w.loop, SIGINT, on_signal, t);
	t->look = loop_timer_new(t->w.loop, on_look, t);
	loop_timer_arm(t->look, LOOK_US);
	return pipeline_start(t->w.pipeline, e);
}

/* The default is what is said in the help: like tail -f, but a run that ends
 * by itself has nothing to show from now on. */
static int
fill_conf(struct tail *t, const struct args *a, struct err *e)
{
	const char *from = args_get(a, "from");

	t->until_idle = args_get(a, "until-idle") != NULL;
	if (conf_fill(NULL, feed_keys, NULL, &t->feed, e) != 0 ||
	    conf_fill(NULL, lane_keys, NULL, &t->lane, e) != 0)
		return -1;
	t->feed.start = from != NULL
	    ? (strcmp(from, "latest") == 0 ? FEED_LATEST : FEED_TRIM_HORIZON)
	    : t->until_idle ? FEED_TRIM_HORIZON
			    : FEED_LATEST;
	t->feed.on_gap = FEED_CONTINUE;
	return choose_sink(t, a, e);
}

static int
start(struct tail *t, const struct args *a, struct err *e)
{
	if (fill_conf(t, a, e) != 0 || pattern_arg_open(&t->pattern, a, e) != 0 ||
	    open_source(t, a, e) != 0 || find(t, a->words[0], e) != 0)
		return -1;
	if (view_remark(t->found.view) != NULL)
		command_note("%s", view_remark(t->found.view));
	if (!t->found.enabled)
		command_note("the stream is disabled; what it still holds is shown");
	t->feed.arn = mem_strdup(t->found.arn);
	return start_pipeline(t, e);
}

static void
finish(struct tail *t)
{
	loop_signal_close(t->sigterm);
	loop_signal_close(t->sigint);
	loop_timer_close(t->look);
	wiring_close(&t->w);
	pattern_arg_close(&t->pattern);
	if (t->sink_conf != NULL) {
		conf_wipe(t->ops->keys, t->sink_conf);
		free(t->sink_conf);
	}
	conf_wipe(feed_keys, &t->feed);
	conf_wipe(lane_keys, &t->lane);
}

static int
run(const struct args *a)
{
	struct tail t = {.code = EXIT_FAILED};
	struct err e;

	if (start(&t, a, &e) != 0)
		t.code = command_fail(&e);
	else if (loop_run(t.w.loop, &e) != 0)
		t.code = command_fail(&e);
	finish(&t);
	return t.code;
}

static const char *const from_words[] = {"trim-horizon", "latest", NULL};
static const char *const color_words[] = {"auto", "always", "never", NULL};

static const struct option_def options[] = {
    {.name = "endpoint", .value = "URL", .doc = "of the service (default: the region's)"},
    {.name = "region", .value = "REGION", .doc = "default: the ARN's, AWS_REGION, the profile's"},
    {.name = "profile", .value = "NAME", .doc = "of the shared credentials and config files"},
    {.name = "ca-file", .value = "FILE", .doc = "certificates to trust instead of the system's"},
    {.name = "from",
	.value = "WHERE",
	.words = from_words,
	.doc = "trim-horizon or latest (default latest; see below)"},
    OPTION_PATTERN,
    OPTION_PLAIN_PATTERN,
    {.name = "format",
	.value = "FORMAT",
	.words = format_words,
	.doc = "dynamodb, plain, envelope or debezium, one JSON a line"},
    {.name = "color", .value = "WHEN", .words = color_words, .doc = "auto, always or never"},
    {.name = "until-idle", .doc = "end when everything there is was shown"},
    {.name = NULL},
};

const struct command cmd_tail = {
    .name = "tail",
    .operands = "TABLE|ARN",
    .summary = "follow a table's changes from a terminal",
    .help =
	"Finds the stream of the table and shows each change on a line: time, event, key,\n"
	"and the attributes that changed, old -> new. In a pipe, or with --format, each\n"
	"change is a line of JSON. With a pattern, what does not match is left out (explain says\n"
	"why). Nothing is configured and no position is kept. It begins\n"
	"at what comes from now on; with --until-idle at the oldest record there is.",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
