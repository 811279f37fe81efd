/* daemon/cmd_dlq_work.c - `slipring dlq replay|drop`.
 *
 *   select -> --dry-run: say so
 *          -> daemon: POST, then ask until its jobs are over
 *          -> drop without a daemon: in the store itself, under its lock
 *
 * Only a daemon has lanes, so only a daemon replays.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/loop.h"
#include "checkpoint/store_sqlite.h"
#include "daemon/admin_client.h"
#include "daemon/dlq.h"

/* How often a running job is asked for. */
#define ASK_US (200 * USEC_MS)

struct work {
	const struct args *args;
	bool replay;
	struct config *conf;
	struct dlq_select select;
};

static void
on_pause_over(void *arg)
{
	loop_stop(arg);
}

/* A command has no loop of its own. */
static int
pause_us(int64_t us, struct err *e)
{
	struct loop_timer *timer;
	struct loop *lp;
	int r;

	if (loop_new(&lp, 0, e) != 0)
		return -1;
	timer = loop_timer_new(lp, on_pause_over, lp);
	loop_timer_arm(timer, us);
	r = loop_run(lp, e);
	loop_timer_close(timer);
	loop_close(lp);
	return r;
}

static void
print_json(const json_t *o)
{
	(void)json_dumpf(o, stdout, JSON_INDENT(2));
	(void)putchar('\n');
}

/* What was, or would be, without the daemon: {NAME: count}; superseded: -1 if nothing is to be
 * said of that. */
static void
print_counts(const char *name, size_t count, int64_t superseded)
{
	json_t *o = json_pack("{s:I}", name, (json_int_t)count);

	if (superseded >= 0)
		json_object_set_new(o, "superseded", json_integer((json_int_t)superseded));
	print_json(o);
	json_decref(o);
}

/* ---- without the daemon ---- */

struct found {
	struct txn *txn; /* NULL: only counted */
	size_t count, superseded;
};

static void
on_found(void *ctx, const struct dead_letter *d)
{
	struct found *f = ctx;

	f->count++;
	f->superseded += d->superseded[0] != '\0';
	if (f->txn != NULL)
		txn_drop_letter(f->txn, d->id);
}

static int
dry_run(const struct work *w, struct err *e)
{
	struct letter_query q = w->select.query;
	struct found f = {.txn = NULL};
	struct store *store;
	int r;

	if (store_sqlite_open(&store, NULL, w->conf->store_path, STORE_READ, e) != 0)
		return -1;
	q.heads = true;
	r = store_letters(store, &q, on_found, &f, e);
	store_close(store);
	if (r == 0 && f.count == 0)
		dlq_select_remark(&w->select, w->conf);
	if (r != 0)
		return -1;
	if (args_get(w->args, "json") != NULL)
		print_counts(
		    w->replay ? "would_replay" : "would_drop", f.count, (int64_t)f.superseded);
	else
		(void)printf("%zu dead letter%s would be %s, %zu of them superseded by a newer "
			     "change\n",
		    f.count, f.count == 1 ? "" : "s", w->replay ? "replayed" : "dropped",
		    f.superseded);
	return 0;
}

static void
on_committed(void *arg, const struct err *e)
{
	if (e != NULL)
		*(struct err *)arg = *e;
}

static int
drop_here(const struct work *w, struct store *store, struct err *e)
{
	struct letter_query q = w->select.query;
	struct found f = {.txn = txn_new()};

	q.heads = true;
	if (store_letters(store, &q, on_found, &f, e) != 0) {
		txn_close(f.txn);
		return -1;
	}
	e->code = ERR_NONE;
	store_commit(store, f.txn, on_committed, e);
	if (e->code != ERR_NONE)
		return -1;
	if (f.count == 0)
		dlq_select_remark(&w->select, w->conf);
	if (args_get(w->args, "json") != NULL)
		print_counts("dropped", f.count, -1);
	else
		(void)printf("%zu dead letter%s dropped\n", f.count, f.count == 1 ? "" : "s");
	return 0;
}

/* ---- with the daemon ---- */

static int
find_daemon(const struct work *w, struct listen_address *where, struct err *e)
{
	const char *admin = args_get(w->args, "admin");

	*where = w->conf->admin;
	if (admin != NULL && admin_option(admin, where, e) != 0)
		return -1;
	if (where->off || where->port == 0)
		return err_set(e, ERR_REFUSED,
		    "the daemon's admin port is not known (admin.listen); name it with --admin");
	return 0;
}

static int
post(const struct work *w, const struct listen_address *where, json_t **out, struct err *e)
{
	json_t *body = dlq_select_json(&w->select);
	const char *rate = w->replay ? args_get(w->args, "rate") : NULL;
	int64_t n = 0;
	char *text;
	int r = 0;

	if (rate != NULL && conf_parse_int(rate, 1, 1000000, &n, e) != 0) {
		json_decref(body);
		(void)err_prefix(e, "--rate: letters a second");
		e->code = ERR_USAGE;
		return -1;
	}
	json_object_set_new(body, "rate", json_integer((json_int_t)n));
	text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	if (text == NULL)
		return err_set(e, ERR_USAGE, "--key, --reason, --sink: that is no UTF-8");
	r = admin_post(where, w->replay ? "/dlq/replay" : "/dlq/drop", slice_of(text), out, e);
	free(text);
	if (r != 0 && e->code == ERR_NETWORK)
		return err_set(e, ERR_NETWORK,
		    "the daemon is not running, or not with this configuration: nothing answers on "
		    "%s port %u; replaying needs it, so start it first",
		    where->host, where->port);
	return r;
}

static const json_t *
job_of(const json_t *answer, const char *sink)
{
	const json_t *job;
	size_t i;

	json_array_foreach(json_object_get(answer, "jobs"), i, job)
	{
		const char *name = json_string_value(json_object_get(job, "sink"));

		if (name != NULL && strcmp(name, sink) == 0)
			return job;
	}
	return NULL;
}

static long long
count_of(const json_t *job, const char *name)
{
	return (long long)json_integer_value(json_object_get(job, name));
}

/* False: not all of it came to its end. */
static bool
say_job(const json_t *job)
{
	const char *sink = json_string_value(json_object_get(job, "sink"));
	const char *kind = json_string_value(json_object_get(job, "kind"));
	const char *why = json_string_value(json_object_get(job, "why"));

	if (kind != NULL && strcmp(kind, "drop") == 0) {
		(void)printf("%s: %lld dropped", sink, count_of(job, "dropped"));
	} else {
		(void)printf("%s: %lld delivered, %lld refused again", sink,
		    count_of(job, "delivered"), count_of(job, "refused"));
		if (count_of(job, "filtered") != 0)
			(void)printf(", %lld left out by filters", count_of(job, "filtered"));
		if (count_of(job, "superseded") != 0)
			(void)printf(", %lld superseded, left (drop them with: slipring dlq drop "
				     "--superseded --sink %s)",
			    count_of(job, "superseded"), sink);
	}
	(void)printf("%s%s\n", why != NULL && why[0] != '\0' ? "; " : "", why != NULL ? why : "");
	return (why == NULL || why[0] == '\0') && count_of(job, "refused") == 0;
}

/* Waits for the jobs that were begun. */
static int
wait_for(const struct listen_address *where, const json_t *begun, json_t **out, struct err *e)
{
	for (;;) {
		const json_t *job;
		bool running = false;
		json_t *now;
		size_t i;

		if (admin_ask(where, false, "/dlq/jobs", &now, e) != 0)
			return err_prefix(e, "the work was begun, and then");
		json_array_foreach(json_object_get(begun, "jobs"), i, job)
		{
			const char *sink = json_string_value(json_object_get(job, "sink"));
			const json_t *is = sink != NULL ? job_of(now, sink) : NULL;

			running = running || json_is_true(json_object_get(is, "running"));
		}
		if (!running) {
			*out = now;
			return 0;
		}
		json_decref(now);
		if (pause_us(ASK_US, e) != 0)
			return -1;
	}
}

/* Returns the exit code. */
static int
say_all(const struct work *w, const json_t *begun, const json_t *over)
{
	int code = EXIT_DONE;
	const json_t *job;
	size_t i;

	if (args_get(w->args, "json") != NULL)
		print_json(over != NULL ? over : begun);
	json_array_foreach(json_object_get(begun, "jobs"), i, job)
	{
		const char *sink = json_string_value(json_object_get(job, "sink"));
		const char *refused = json_string_value(json_object_get(job, "refused"));
		const json_t *is = sink != NULL ? job_of(over, sink) : NULL;

		if (refused != NULL) {
			command_note("%s", refused);
			code = EXIT_FAILED;
		} else if (args_get(w->args, "json") != NULL) {
			continue;
		} else if (is == NULL) {
			(void)printf("%s: begun; see `slipring status`\n", sink);
		} else if (!say_job(is)) {
			code = EXIT_FAILED;
		}
	}
	if (i == 0 && args_get(w->args, "json") == NULL)
		(void)puts("no dead letters");
	return code;
}

static int
work_there(const struct work *w, struct err *e)
{
	struct listen_address where;
	json_t *begun = NULL, *over = NULL;
	int code = -1;

	if (find_daemon(w, &where, e) != 0 || post(w, &where, &begun, e) != 0)
		return -1;
	if ((w->replay && args_get(w->args, "no-wait") != NULL) ||
	    wait_for(&where, begun, &over, e) == 0)
		code = say_all(w, begun, over);
	json_decref(begun);
	json_decref(over);
	return code;
}

/* ---- either way ---- */

static int
do_work(struct work *w, struct err *e)
{
	struct store *store;
	int r;

	if (!w->select.any && args_get(w->args, "all") == NULL)
		return err_set(e, ERR_USAGE,
		    "which ones? name a sink, a reason, a key, an age or numbers, or --all");
	if (args_get(w->args, "dry-run") != NULL)
		return dry_run(w, e);
	if (w->replay)
		return work_there(w, e);
	if (store_sqlite_open(&store, NULL, w->conf->store_path, STORE_EDIT, e) == 0) {
		r = drop_here(w, store, e);
		store_close(store);
		return r;
	}
	return e->code == ERR_LOCKED ? work_there(w, e) : -1;
}

static int
run_work(const struct args *a, bool replay)
{
	struct work w = {.args = a, .replay = replay};
	struct err e;
	int code;

	if (config_load(&w.conf, args_get(a, "config"), &e) != 0)
		return command_fail(&e);
	code = dlq_select_args(&w.select, a, &e);
	if (code == 0) {
		code = do_work(&w, &e);
		dlq_select_close(&w.select);
	}
	config_close(w.conf);
	return code < 0 ? command_fail(&e) : code;
}

static int
run_replay(const struct args *a)
{
	return run_work(a, true);
}

static int
run_drop(const struct args *a)
{
	return run_work(a, false);
}

#define OPTION_ADMIN                                                                               \
	{                                                                                          \
		.name = "admin", .value = "ADDRESS", .doc = "admin port of the running daemon"     \
	}

static const struct option_def replay_options[] = {
    OPTION_CONFIG,
    OPTION_JSON,
    OPTION_ADMIN,
    DLQ_OPTIONS,
    {.name = "not-superseded", .doc = "whose item has no newer change at the sink"},
    {.name = "all", .doc = "all there are"},
    {.name = "dry-run", .doc = "say how many it would be, and change nothing"},
    {.name = "rate", .value = "N", .doc = "N letters a second at most"},
    {.name = "no-wait", .doc = "do not wait for the end"},
    {.name = NULL},
};

const struct command cmd_dlq_replay = {
    .name = "dlq replay",
    .operands = "",
    .summary = "deliver them again",
    .help = "Through the running daemon, in order with what else it delivers. What is delivered\n"
	    "leaves the dead letters, what is refused again stays with its new reason. What would\n"
	    "overwrite a newer change of its item is left. Ends with 1 if any was refused.",
    .options = replay_options,
    .run = run_replay,
};

static const struct option_def drop_options[] = {
    OPTION_CONFIG,
    OPTION_JSON,
    OPTION_ADMIN,
    DLQ_OPTIONS,
    {.name = "all", .doc = "all there are"},
    {.name = "dry-run", .doc = "say how many it would be, and change nothing"},
    {.name = NULL},
};

const struct command cmd_dlq_drop = {
    .name = "dlq drop",
    .operands = "",
    .summary = "give them up",
    .help = "Their records are gone then. Through the daemon if one runs, else in the store.",
    .options = drop_options,
    .run = run_drop,
};
