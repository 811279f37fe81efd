/* daemon/cmd_check.c - `slipring check`: would it run?
 *
 * Without --connect nothing but the file is looked at. With it, every stream
 * is asked for and every sink and the store look at their places, without
 * changing anything; all that is wrong is said, not only the first thing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "checkpoint/store_sqlite.h"
#include "daemon/admin_client.h"
#include "daemon/check_streams.h"

/* ---- sinks ---- */

struct saying { /* ctx of a probe */
	struct findings *f;
	char about[LIMIT_NAME + 16];
	size_t said;
};

static void
say_finding(void *ctx, enum sink_finding kind, const char *text)
{
	struct saying *s = ctx;

	s->said++;
	findings_say(s->f, kind, s->about, text);
}

static bool
takes_from(const struct sink_config *s, const char *stream)
{
	for (size_t k = 0; k < s->from.n; k++)
		if (strcmp(s->from.v[k], stream) == 0)
			return true;
	return false;
}

/* The streams it takes from, as far as they were found. */
static size_t
origins_of(const struct config *c, const struct checked *streams, const struct sink_config *s,
    struct origin *out)
{
	size_t n = 0;

	for (size_t i = 0; i < c->stream_count; i++)
		for (size_t k = 0; k < s->from.n && streams[i].found; k++) {
			const struct found *w = &streams[i].what;
			const char *slash = strrchr(w->arn, '/');

			if (strcmp(s->from.v[k], c->streams[i].name) != 0)
				continue;
			out[n++] = (struct origin){.stream = c->streams[i].name,
			    .table = w->table,
			    .arn = w->arn,
			    .label = slash != NULL ? slash + 1 : "",
			    .shard = "",
			    .schema = &streams[i].schema};
		}
	return n;
}

/* Each filter of a sink, for each stream that it takes from. */
static void
check_filters(struct findings *f, const struct config *c, const struct checked *streams,
    const struct sink_config *s, const char *about)
{
	for (size_t n = 0; n < s->filters.n * c->stream_count; n++) {
		size_t i = n % c->stream_count;
		const struct filter_config *fc =
		    config_filter(c, s->filters.v[n / c->stream_count]);
		struct filter_stream fs = {
		    .schema = streams[i].schema, .view = view_word(streams[i].what.view)};
		struct err e;

		if (fc->ops->suits == NULL || !streams[i].found ||
		    !takes_from(s, c->streams[i].name) || fc->ops->suits(fc->conf, &fs, &e) == 0)
			continue;
		err_prefix(&e, "filter %s, stream %s", fc->name, c->streams[i].name);
		findings_fail(f, about, &e);
	}
}

static void
check_sink(struct findings *f, const struct config *c, const struct checked *streams,
    const struct sink_config *s)
{
	struct origin *origins = mem_array(c->stream_count, sizeof *origins);
	struct saying say = {.f = f};
	struct sink_probe p = {
	    .name = s->name, .origins = origins, .ctx = &say, .say = say_finding};
	size_t bad = f->count[SINK_FOUND_BAD];
	struct err e;

	(void)snprintf(say.about, sizeof say.about, "sink %s", s->name);
	p.origin_count = origins_of(c, streams, s, origins);
	check_filters(f, c, streams, s, say.about);
	if (s->ops->probe != NULL && s->ops->probe(s->conf, &p, &e) != 0)
		findings_fail(f, say.about, &e);
	else if (say.said == 0 || f->count[SINK_FOUND_BAD] == bad)
		findings_sayf(f, SINK_FOUND_OK, say.about, "type %s", s->ops->type);
	free(origins);
}

/* ---- store and admin port ---- */

/* The store that is there can be read, or one could be created. */
static void
check_store(struct findings *f, const struct config *c)
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
		findings_fail(f, "store", &e);
	else
		findings_say(f, SINK_FOUND_OK, "store", c->store_path);
}

/* As evhttp will. 0: free; else errno. */
static int
try_bind(const struct listen_address *l)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(l->port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(l->port)};
	bool is6 = strchr(l->host, ':') != NULL;
	const struct sockaddr *sa = is6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
	int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, r = 0;

	if (fd == -1)
		return errno;
	(void)inet_pton(sa->sa_family, l->host, is6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, sa, is6 ? sizeof v6 : sizeof v4) != 0 || listen(fd, 1) != 0)
		r = errno;
	(void)close(fd);
	return r;
}

static void
check_admin(struct findings *f, const struct config *c)
{
	const struct listen_address *l = &c->admin;
	json_t *doc = NULL;
	struct err e;
	int why;

	if (l->off)
		return;
	why = try_bind(l);
	if (why == 0)
		findings_sayf(
		    f, SINK_FOUND_OK, "admin port", "%s port %u is free", l->host, l->port);
	else if (why == EADDRINUSE && admin_ask(l, false, "/status", &doc, &e) == 0)
		findings_sayf(f, SINK_FOUND_NOTE, "admin port",
		    "%s port %u: a slipring runs there, pid %lld", l->host, l->port,
		    (long long)json_integer_value(
			json_object_get(json_object_get(doc, "process"), "pid")));
	else
		findings_sayf(f, SINK_FOUND_BAD, "admin port",
		    "%s port %u: %s; \"admin: {listen: ...}\" names another port, or off", l->host,
		    l->port, strerror(why));
	json_decref(doc);
}

static int
connect_all(const struct config *c)
{
	struct checked *streams;
	struct findings f;

	findings_begin(&f);
	check_streams(&f, c, &streams);
	for (size_t i = 0; i < c->sink_count; i++)
		check_sink(&f, c, streams, &c->sinks[i]);
	check_store(&f, c);
	check_admin(&f, c);
	free(streams);
	return f.code;
}

/* What is valid but hardly meant. */
static void
remark_filters(const struct config *c)
{
	struct buf text = BUF_INIT(4096);
	struct err e;

	for (size_t i = 0; i < c->filter_count; i++) {
		const struct filter_config *f = &c->filters[i];

		buf_reset(&text);
		if (f->ops->remark != NULL)
			f->ops->remark(f->conf, &text);
		if (text.n == 0)
			continue;
		(void)conf_err(&e, f->at, "filter \"%s\": %s", f->name, buf_cstr(&text));
		command_note("%s", e.text);
	}
	buf_close(&text);
}

/* What a filter reads when it is opened: scripts, keys, plug-ins. */
static int
try_filters(const struct config *c, struct err *e)
{
	for (size_t i = 0; i < c->filter_count; i++) {
		const struct filter_config *f = &c->filters[i];
		struct filter *opened;
		struct err why;

		if (f->ops->open(&opened, f->name, f->conf, &why) != 0)
			return conf_err(e, f->at, "filter \"%s\": %s", f->name, why.text);
		f->ops->close(opened);
	}
	return 0;
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
	if (try_filters(c, &e) != 0) {
		config_close(c);
		return command_fail(&e);
	}
	remark_filters(c);
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
	    "credentials and every call that needs a permission, finds each stream and its view\n"
	    "type, and lets each sink, the store and the admin port look at their places: a\n"
	    "line each, ok, note or bad. Nothing is changed.",
    .options = options,
    .run = run,
};
