/* daemon/cmd_positions.c - `slipring positions list|set|reset`.
 *
 * list reads the store beside a running daemon. set and reset write, so they
 * take the daemon's lock: a daemon has its positions in memory and would write
 * them over ours.
 *
 * A position that is set wrongly loses records without a trace, so set takes
 * nothing on trust: position_check.c asks the service.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "checkpoint/store_sqlite.h"
#include "daemon/columns.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/position_check.h"
#include "daemon/rows.h"
#include "record/format.h"

/* ---- list ---- */

static void
print_json(const struct rows *r)
{
	struct buf when = BUF_INIT(64);
	json_t *list = json_array();

	for (size_t i = 0; i < r->position_count; i++) {
		const struct rows_of_position *p = &r->positions[i];
		struct slice seq = seq_text(&p->pos.seq);

		buf_reset(&when);
		format_time(p->updated_us, &when);
		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:s, s:s, s:s, s:s%, s:s}", "stream",
			rows_stream(r, p->arn), "arn", p->arn, "shard", p->shard, "sink", p->sink,
			"position", pos_word(p->pos.kind), "sequence", seq.p, seq.n, "updated",
			buf_cstr(&when)));
	}
	(void)json_dumpf(list, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(list);
	buf_close(&when);
}

static void
print_text(const struct rows *r)
{
	static const char *const heads[] = {
	    "STREAM", "SHARD", "SINK", "POSITION", "SEQUENCE", "UPDATED", NULL};
	struct buf when = BUF_INIT(64);
	struct columns c;

	if (r->position_count == 0) {
		(void)puts("no positions yet");
		return;
	}
	columns_begin(&c, heads);
	for (size_t i = 0; i < r->position_count; i++) {
		const struct rows_of_position *p = &r->positions[i];
		struct slice seq = seq_text(&p->pos.seq);

		buf_reset(&when);
		format_time(p->updated_us, &when);
		columns_add(&c, rows_stream(r, p->arn));
		columns_add(&c, p->shard);
		columns_add(&c, p->sink);
		columns_add(&c, pos_word(p->pos.kind));
		columns_addf(&c, "%.*s", (int)seq.n, seq.p);
		columns_add(&c, buf_cstr(&when));
	}
	columns_end(&c);
	buf_close(&when);
}

static int
run_list(const struct args *a)
{
	return rows_list(a, print_json, print_text);
}

/* ---- set and reset ---- */

struct edit { /* a store open for writing, with what is in it */
	struct config *conf;
	struct store *store;
	struct rows rows;
	const struct stream_config *stream;
};

static void
edit_close(struct edit *ed)
{
	rows_close(&ed->rows);
	store_close(ed->store);
	config_close(ed->conf);
	memset(ed, 0, sizeof *ed);
}

static int
edit_open(struct edit *ed, const struct args *a, struct err *e)
{
	memset(ed, 0, sizeof *ed);
	if (config_load(&ed->conf, args_get(a, "config"), e) != 0)
		return -1;
	ed->stream = config_stream(ed->conf, a->words[0]);
	if (ed->stream == NULL)
		return err_set(
		    e, ERR_USAGE, "there is no stream \"%.64s\" in the configuration", a->words[0]);
	if (store_sqlite_open(&ed->store, NULL, ed->conf->store_path, STORE_EDIT, e) != 0) {
		struct err why = *e;

		if (why.code != ERR_LOCKED)
			return -1;
		return err_set(e, ERR_LOCKED, "%.400s; stop the daemon first", why.text);
	}
	return rows_load(&ed->rows, ed->store, e);
}

static int
check_sink(const struct edit *ed, const char *name, struct err *e)
{
	const struct sink_config *s = config_sink(ed->conf, name);

	for (size_t i = 0; s != NULL && i < s->from.n; i++)
		if (strcmp(s->from.v[i], ed->stream->name) == 0)
			return 0;
	return err_set(e, ERR_USAGE, "there is no sink \"%.64s\" that takes from stream \"%s\"",
	    name, ed->stream->name);
}

/* Of the streams the table has had, the one with that shard. */
static const char *
arn_of_shard(const struct edit *ed, const char *shard)
{
	for (size_t i = 0; i < ed->rows.shard_count; i++)
		if (strcmp(ed->rows.shards[i].shard, shard) == 0 &&
		    strcmp(rows_stream(&ed->rows, ed->rows.shards[i].arn), ed->stream->name) == 0)
			return ed->rows.shards[i].arn;
	return NULL;
}

static int
fail_shard(const struct edit *ed, const char *shard, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND,
	    "stream \"%s\" has no shard \"%.70s\" in the store; see slipring positions list",
	    ed->stream->name, shard);
}

static void
on_committed(void *arg, const struct err *e)
{
	if (e != NULL)
		*(struct err *)arg = *e;
}

static int
commit(struct edit *ed, struct txn *t, struct err *e)
{
	e->code = ERR_NONE;
	store_commit(ed->store, t, on_committed, e);
	return e->code == ERR_NONE ? 0 : -1;
}

static int
set_position(struct edit *ed, const struct args *a, struct err *e)
{
	struct position_row row = {
	    .shard = a->words[1], .sink = a->words[2], .updated_us = rows_now()};
	struct txn *t;

	row.pos.kind = POS_AFTER;
	if (!seq_parse(slice_of(a->words[3]), &row.pos.seq))
		return err_set(e, ERR_USAGE,
		    "\"%.60s\" is no sequence number; it has 1 to %u digits", a->words[3],
		    LIMIT_SEQUENCE_DIGITS);
	if (edit_open(ed, a, e) != 0 || check_sink(ed, row.sink, e) != 0)
		return -1;
	row.arn = arn_of_shard(ed, row.shard);
	if (row.arn == NULL)
		return fail_shard(ed, row.shard, e);
	if (!rows_subscribed(&ed->rows, row.arn, row.sink))
		return err_set(e, ERR_REFUSED,
		    "sink \"%.64s\" has not begun on stream \"%s\" yet; run the daemon once first",
		    row.sink, ed->stream->name);
	if (args_get(a, "offline") != NULL)
		command_note(
		    "not checked with the service; a wrong number loses or repeats records");
	else if (position_check(ed->stream, row.arn, row.shard, &row.pos.seq, e) != 0)
		return -1;
	t = txn_new();
	txn_position(t, &row);
	return commit(ed, t, e);
}

static int
run_set(const struct args *a)
{
	struct edit ed = {0};
	struct err e;
	int code = EXIT_DONE;

	if (set_position(&ed, a, &e) != 0)
		code = command_fail(&e);
	else
		(void)printf("stream %s, shard %s, sink %s: the next record is the one after %s\n",
		    a->words[0], a->words[1], a->words[2], a->words[3]);
	edit_close(&ed);
	return code;
}

struct reset {
	const char *shard, *sink; /* NULL: all */
	enum feed_start to;
	bool forget; /* `start` says the same: as if the sink had never been there */
	size_t count;
};

/* A shard from where --to says. What is finished already is not read again
 * for "latest". */
static void
reset_shard(struct edit *ed, struct reset *rs, struct txn *t, const struct rows_of_shard *sh,
    const char *sink)
{
	const struct rows_of_position *p = rows_position(&ed->rows, sh->arn, sh->shard, sink);
	struct position_row row = {
	    .arn = sh->arn, .shard = sh->shard, .sink = sink, .updated_us = rows_now()};

	if (rs->forget) {
		txn_delete_position(t, sh->arn, sh->shard, sink);
	} else if (rs->to == FEED_TRIM_HORIZON) {
		row.pos.kind = POS_TRIM_HORIZON;
		txn_position(t, &row);
	} else if (p == NULL || p->pos.kind != POS_COMPLETE) {
		row.pos.kind = POS_AT_START;
		/* DynamoDB Local cuts creation times to the minute: rather a
		 * record too many. */
		row.pos.since_us = row.updated_us - row.updated_us % (60 * USEC_SEC);
		txn_position(t, &row);
	}
}

static void
reset_sink(struct edit *ed, struct reset *rs, struct txn *t, const char *sink)
{
	for (size_t i = 0; i < ed->rows.shard_count; i++) {
		const struct rows_of_shard *sh = &ed->rows.shards[i];

		if (strcmp(rows_stream(&ed->rows, sh->arn), ed->stream->name) != 0 ||
		    !rows_subscribed(&ed->rows, sh->arn, sink) ||
		    (rs->shard != NULL && strcmp(rs->shard, sh->shard) != 0))
			continue;
		reset_shard(ed, rs, t, sh, sink);
		rs->count++;
	}
	for (size_t i = 0; rs->forget && i < ed->rows.stream_count; i++)
		if (strcmp(ed->rows.streams[i].stream, ed->stream->name) == 0)
			txn_delete_subscription(t, ed->rows.streams[i].arn, sink);
}

static void
reset_parse(struct reset *rs, const struct edit *ed, const struct args *a)
{
	const char *to = args_get(a, "to");

	rs->shard = a->count > 1 ? a->words[1] : NULL;
	rs->sink = a->count > 2 ? a->words[2] : NULL;
	rs->to = (enum feed_start)ed->stream->feed.start;
	if (to != NULL)
		rs->to = strcmp(to, "latest") == 0 ? FEED_LATEST : FEED_TRIM_HORIZON;
	rs->forget = rs->shard == NULL && (int)rs->to == ed->stream->feed.start;
}

static int
reset_positions(struct edit *ed, struct reset *rs, const struct args *a, struct err *e)
{
	struct txn *t;

	if (edit_open(ed, a, e) != 0)
		return -1;
	reset_parse(rs, ed, a);
	/* "-" stands for all shards when only a sink is to be named. */
	if (rs->shard != NULL && strcmp(rs->shard, "-") == 0) {
		rs->shard = NULL;
		rs->forget = (int)rs->to == ed->stream->feed.start;
	}
	if (rs->sink != NULL && check_sink(ed, rs->sink, e) != 0)
		return -1;
	if (rs->shard != NULL && arn_of_shard(ed, rs->shard) == NULL)
		return fail_shard(ed, rs->shard, e);
	t = txn_new();
	for (size_t i = 0; i < ed->conf->sink_count; i++)
		if (rs->sink == NULL ? check_sink(ed, ed->conf->sinks[i].name, NULL) == 0
				     : strcmp(rs->sink, ed->conf->sinks[i].name) == 0)
			reset_sink(ed, rs, t, ed->conf->sinks[i].name);
	if (rs->count != 0)
		return commit(ed, t, e);
	txn_close(t);
	return 0;
}

static int
run_reset(const struct args *a)
{
	struct reset rs = {0};
	struct edit ed = {0};
	struct err e;
	int code = EXIT_DONE;

	if (reset_positions(&ed, &rs, a, &e) != 0)
		code = command_fail(&e);
	else if (rs.count == 0)
		(void)puts("nothing to reset: no sink has begun there");
	else
		(void)printf("%zu position%s of stream %s: next start begins at %s\n", rs.count,
		    rs.count == 1 ? "" : "s", a->words[0],
		    rs.to == FEED_LATEST ? "latest" : "trim-horizon");
	edit_close(&ed);
	return code;
}

static const struct option_def list_options[] = {OPTION_CONFIG, OPTION_JSON, {.name = NULL}};

const struct command cmd_positions_list = {
    .name = "positions list",
    .operands = "",
    .summary = "where each sink stands in each shard",
    .help = "Reads the store; works while the daemon runs.",
    .options = list_options,
    .run = run_list,
};

static const struct option_def set_options[] = {
    OPTION_CONFIG,
    {.name = "offline", .doc = "do not ask the service whether the number exists"},
    {.name = NULL},
};

const struct command cmd_positions_set = {
    .name = "positions set",
    .operands = "STREAM SHARD SINK SEQUENCE",
    .summary = "let a sink go on after a given record",
    .help = "The daemon must be stopped. The shard is asked whether it has a record with that\n"
	    "number; if not, nothing is changed. Records between the old and the new position are\n"
	    "delivered again, or never.",
    .options = set_options,
    .min_words = 4,
    .max_words = 4,
    .run = run_set,
};

static const char *const to_words[] = {"trim-horizon", "latest", NULL};

static const struct option_def reset_options[] = {
    OPTION_CONFIG,
    {.name = "to",
	.value = "WHERE",
	.words = to_words,
	.doc = "trim-horizon or latest (default: the stream's start)"},
    {.name = NULL},
};

const struct command cmd_positions_reset = {
    .name = "positions reset",
    .operands = "STREAM [SHARD|- [SINK]]",
    .summary = "begin again, for a stream, a shard or a sink",
    .help =
	"The daemon must be stopped. \"-\" stands for all shards, so that a sink can be named.\n"
	"From trim-horizon everything the stream still holds is delivered again; from latest\n"
	"everything before now is left out.",
    .options = reset_options,
    .min_words = 1,
    .max_words = 3,
    .run = run_reset,
};
