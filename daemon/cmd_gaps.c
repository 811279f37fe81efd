/* daemon/cmd_gaps.c - `slipring gaps list|accept`: the ledger of what was lost.
 *
 * A gap is accepted by the daemon if one runs (it holds the store's lock, and
 * the stream goes on at once), else in the store itself; both write the same
 * (checkpoint/settle.c).
 */
#include <stdio.h>

#include <jansson.h>

#include "checkpoint/store_sqlite.h"
#include "daemon/admin_client.h"
#include "daemon/columns.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/rows.h"
#include "record/format.h"

static const char *
time_text(int64_t us, struct buf *b)
{
	buf_reset(b);
	if (us == 0)
		return "";
	format_time(us, b);
	return buf_cstr(b);
}

static void
print_json(const struct rows *r)
{
	struct buf found = BUF_INIT(64), settled = BUF_INIT(64);
	json_t *list = json_array();

	for (size_t i = 0; i < r->gap_count; i++) {
		const struct gap *g = &r->gaps[i];
		struct slice acked = seq_text(&g->last_acked.seq);
		struct slice first = seq_text(&g->first_available);

		json_array_append_new(list,
		    json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s%, s:s%, s:s, s:s}",
			"id", (json_int_t)g->id, "stream", rows_stream(r, g->arn), "arn", g->arn,
			"shard", g->shard, "sink", g->sink, "reason", gap_reason_name(g->reason),
			"state", gap_state_name(g->state), "last_acked_kind",
			pos_word(g->last_acked.kind), "last_acked", acked.p, acked.n,
			"first_available", first.p, first.n, "found",
			time_text(g->found_us, &found), "settled",
			time_text(g->settled_us, &settled)));
	}
	(void)json_dumpf(list, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(list);
	buf_close(&found);
	buf_close(&settled);
}

static void
print_text(const struct rows *r)
{
	static const char *const heads[] = {
	    "ID", "STATE", "REASON", "STREAM", "SHARD", "SINK", "LAST ACKED", "FOUND", NULL};
	struct buf found = BUF_INIT(64);
	struct columns c;

	if (r->gap_count == 0) {
		(void)puts("no gaps");
		return;
	}
	columns_begin(&c, heads);
	for (size_t i = 0; i < r->gap_count; i++) {
		const struct gap *g = &r->gaps[i];
		struct slice acked = seq_text(&g->last_acked.seq);

		columns_addf(&c, "%llu", (unsigned long long)g->id);
		columns_add(&c, gap_state_name(g->state));
		columns_add(&c, gap_reason_name(g->reason));
		columns_add(&c, rows_stream(r, g->arn));
		columns_add(&c, g->shard);
		columns_add(&c, g->sink);
		columns_addf(&c, "%.*s", (int)acked.n, acked.p);
		columns_add(&c, time_text(g->found_us, &found));
	}
	columns_end(&c);
	buf_close(&found);
}

static int
run_list(const struct args *a)
{
	return rows_list(a, print_json, print_text);
}

static void
on_committed(void *arg, const struct err *e)
{
	if (e != NULL)
		*(struct err *)arg = *e;
}

static int
settle(struct store *store, const struct gap *g, struct err *e)
{
	struct gap settled = *g;
	struct txn *t = txn_new();

	settled.state = GAP_ACCEPTED;
	settled.settled_us = rows_now();
	txn_gap_settle(t, &settled, settled.settled_us);
	e->code = ERR_NONE;
	store_commit(store, t, on_committed, e);
	return e->code == ERR_NONE ? 0 : -1;
}

static int
accept_here(struct store *store, uint64_t id, struct err *e)
{
	const struct gap *g = NULL;
	struct rows r;
	int code;

	if (rows_load(&r, store, e) != 0)
		return -1;
	for (size_t i = 0; i < r.gap_count; i++)
		if (r.gaps[i].id == id)
			g = &r.gaps[i];
	if (g == NULL)
		code = err_set(e, ERR_NOT_FOUND, "there is no gap %llu; see slipring gaps list",
		    (unsigned long long)id);
	else if (g->state != GAP_OPEN)
		code = err_set(e, ERR_REFUSED, "gap %llu is not open, it is %s",
		    (unsigned long long)id, gap_state_name(g->state));
	else
		code = settle(store, g, e);
	rows_close(&r);
	return code;
}

static int
accept_there(const struct config *c, const char *admin, uint64_t id, struct err *e)
{
	struct listen_address where = c->admin;
	char path[64];
	json_t *answer;

	if (admin != NULL && admin_option(admin, &where, e) != 0)
		return -1;
	if (where.off || where.port == 0)
		return err_set(e, ERR_REFUSED,
		    "a daemon holds the store, and its admin port is not known; stop it, or name "
		    "the port "
		    "with --admin");
	(void)snprintf(path, sizeof path, "/gaps/accept?id=%llu", (unsigned long long)id);
	if (admin_ask(&where, true, path, &answer, e) != 0)
		return -1;
	json_decref(answer);
	return 0;
}

static int
accept_gap(const struct config *c, const char *admin, uint64_t id, struct err *e)
{
	struct store *store;
	int r;

	if (store_sqlite_open(&store, NULL, c->store_path, STORE_EDIT, e) == 0) {
		r = accept_here(store, id, e);
		store_close(store);
		return r;
	}
	return e->code == ERR_LOCKED ? accept_there(c, admin, id, e) : -1;
}

static int
run_accept(const struct args *a)
{
	struct config *c;
	struct err e, why;
	int64_t id;
	int r;

	if (conf_parse_int(a->words[0], 1, INT64_MAX, &id, &why) != 0) {
		err_set(&e, ERR_USAGE, "ID: %s", why.text);
		return command_fail(&e);
	}
	if (config_load(&c, args_get(a, "config"), &e) != 0)
		return command_fail(&e);
	r = accept_gap(c, args_get(a, "admin"), (uint64_t)id, &e);
	config_close(c);
	if (r != 0)
		return command_fail(&e);
	(void)printf(
	    "gap %lld is accepted; what was lost stays lost, the stream goes on behind it\n",
	    (long long)id);
	return EXIT_DONE;
}

static const struct option_def list_options[] = {OPTION_CONFIG, OPTION_JSON, {.name = NULL}};

const struct command cmd_gaps_list = {
    .name = "gaps list",
    .operands = "",
    .summary = "what was lost before it was read",
    .help = "Reads the store; works while the daemon runs.",
    .options = list_options,
    .run = run_list,
};

static const struct option_def accept_options[] = {
    OPTION_CONFIG,
    {.name = "admin", .value = "ADDRESS", .doc = "admin port of the running daemon"},
    {.name = NULL},
};

const struct command cmd_gaps_accept = {
    .name = "gaps accept",
    .operands = "ID",
    .summary = "let a stream go on behind a gap",
    .help = "The gap stays in the ledger as accepted. A running daemon goes on at once, a\n"
	    "stopped one with its next start.",
    .options = accept_options,
    .min_words = 1,
    .max_words = 1,
    .run = run_accept,
};
