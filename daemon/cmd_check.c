/* daemon/cmd_check.c - `slipring check`: would it run?
 *
 * Without --connect nothing but the file is looked at. With it, every stream
 * is asked for and every sink and the store look at their places, without
 * changing anything; all that is wrong is said, not only the first thing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "checkpoint/store_sqlite.h"
#include "daemon/command.h"
#include "daemon/find.h"
#include "daemon/wiring.h"

static int
check_stream(struct wiring *w, const struct stream_config *s, const struct source *src)
{
	struct found f;
	struct err e;

	if (find_stream(w, src, s->feed.table, s->feed.arn, &f, &e) != 0) {
		err_prefix(&e, "stream \"%s\"", s->name);
		return command_fail(&e);
	}
	(void)printf("stream %s: table %s, view %s%s\n", s->name, f.table, view_word(f.view),
	    f.enabled ? "" : ", disabled");
	if (view_remark(f.view) != NULL)
		command_note("stream \"%s\": %s", s->name, view_remark(f.view));
	return EXIT_DONE;
}

static void
say_finding(void *ctx, enum sink_finding f, const char *text)
{
	int *code = ctx;

	(void)printf("  %s%s\n",
	    f == SINK_FOUND_BAD	       ? "bad: "
		: f == SINK_FOUND_NOTE ? "note: "
				       : "",
	    text);
	if (f == SINK_FOUND_BAD)
		*code = EXIT_FAILED;
}

static int
check_sink(const struct sink_config *s)
{
	int code = EXIT_DONE;
	struct sink_probe p = {.name = s->name, .ctx = &code, .say = say_finding};
	struct err e;

	if (s->ops->probe != NULL && s->ops->probe(s->conf, &p, &e) != 0) {
		err_prefix(&e, "sink \"%s\"", s->name);
		return command_fail(&e);
	}
	if (code == EXIT_DONE)
		(void)printf("sink %s: type %s, ok\n", s->name, s->ops->type);
	return code;
}

/* The store that is there can be read, or one could be created. */
static int
check_store(const struct config *c)
{
	char *dir = mem_strdup(c->store_path);
	char *slash = strrchr(dir, '/');
	struct store *store = NULL;
	struct err e;
	int r = 0;

	if (access(c->store_path, F_OK) == 0) {
		r = store_sqlite_open(&store, NULL, c->store_path, STORE_READ, &e);
		store_close(store);
	} else {
		if (slash != NULL)
			slash[slash == dir ? 1 : 0] = '\0';
		if (access(slash != NULL ? dir : ".", W_OK | X_OK) != 0)
			r = err_errno(&e, errno, "store: cannot create a file in %s",
			    slash != NULL ? dir : "this directory");
	}
	free(dir);
	if (r != 0)
		return command_fail(&e);
	(void)printf("store %s: ok\n", c->store_path);
	return EXIT_DONE;
}

static int
worse(int a, int b)
{
	return a != EXIT_DONE ? a : b;
}

static int
connect_all(const struct config *c)
{
	struct wiring w = {0};
	struct err e;
	int code = EXIT_DONE;

	if (wiring_open(&w, &e) != 0 || wiring_add_sources(&w, c, &e) != 0) {
		code = command_fail(&e);
	} else {
		for (size_t i = 0; i < c->stream_count; i++)
			code = worse(code, check_stream(&w, &c->streams[i], &w.sources[i]));
	}
	wiring_close(&w);
	for (size_t i = 0; i < c->sink_count; i++)
		code = worse(code, check_sink(&c->sinks[i]));
	return worse(code, check_store(c));
}

static int
run(const struct args *a)
{
	const char *path = args_get(a, "config");
	struct config *c;
	struct err e;
	int code = EXIT_DONE;

	if (config_load(&c, path, &e) != 0)
		return command_fail(&e);
	if (args_get(a, "connect") != NULL)
		code = connect_all(c);
	if (code == EXIT_DONE)
		(void)printf("%s: ok, %zu stream%s, %zu sink%s\n",
		    path != NULL ? path : CONFIG_DEFAULT_PATH, c->stream_count,
		    c->stream_count == 1 ? "" : "s", c->sink_count, c->sink_count == 1 ? "" : "s");
	config_close(c);
	return code;
}

static const struct option_def options[] = {
    OPTION_CONFIG,
    {.name = "connect", .doc = "also ask for the streams, and look at sinks and store"},
    {.name = NULL},
};

const struct command cmd_check = {
    .name = "check",
    .operands = "",
    .summary = "validate the configuration",
    .help = "Says what is wrong with file, line and column. With --connect it also tries the\n"
	    "credentials, finds each stream and its view type, and lets each sink and the\n"
	    "store look at their places. Nothing is changed.",
    .options = options,
    .run = run,
};
