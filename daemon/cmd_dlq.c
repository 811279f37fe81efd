/* daemon/cmd_dlq.c - `slipring dlq list|show`: dead letters as the store has
 * them, beside a running daemon or without one.
 *
 * list never prints what a record holds, and keys only when it is asked to; show
 * is there to print all of it.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "checkpoint/store_sqlite.h"
#include "daemon/columns.h"
#include "daemon/dlq.h"
#include "daemon/rows.h"
#include "record/format.h"

static int
read_letters(const char *path, const struct letter_query *q,
    void (*each)(void *ctx, const struct dead_letter *d), void *ctx, struct err *e)
{
	struct store *store;
	int r;

	if (store_sqlite_open(&store, NULL, path, STORE_READ, e) != 0)
		return -1;
	r = store_letters(store, q, each, ctx, e);
	store_close(store);
	return r;
}

/* ---- list ---- */

struct listing {
	struct columns columns;
	json_t *list; /* owned; NULL: columns */
	size_t count;
	bool keys;
	struct buf when;
};

static const char *
time_text(struct listing *l, int64_t us)
{
	buf_reset(&l->when);
	format_time(us, &l->when);
	return buf_cstr(&l->when);
}

static json_t *
head_json(struct listing *l, const struct dead_letter *d)
{
	struct slice seq = seq_text(&d->seq);
	json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:s, s:s%, s:s, s:i, s:s}", "id",
	    (json_int_t)d->id, "sink", d->sink, "stream", d->stream, "arn", d->arn, "shard",
	    d->shard, "sequence", seq.p, seq.n, "reason", d->reason, "attempts", (int)d->attempts,
	    "superseded", d->superseded);

	json_object_set_new(o, "event_id",
	    d->event_id.p != NULL ? json_stringn(d->event_id.p, d->event_id.n) : json_null());
	json_object_set_new(o, "unfiltered", json_boolean(d->unfiltered));
	json_object_set_new(o, "first", json_string(time_text(l, d->first_us)));
	json_object_set_new(o, "last", json_string(time_text(l, d->last_us)));
	if (l->keys)
		json_object_set_new(o, "key", json_string(d->key));
	return o;
}

static void
add_columns(struct listing *l, const struct dead_letter *d)
{
	struct columns *c = &l->columns;

	columns_addf(c, "%llu", (unsigned long long)d->id);
	columns_add(c, d->sink);
	columns_add(c, d->stream);
	columns_add(c, time_text(l, d->last_us));
	columns_addf(c, "%u", d->attempts);
	columns_add(c, d->superseded[0] != '\0' ? "yes" : "no");
	if (l->keys)
		columns_add(c, d->key);
	columns_add(c, d->reason);
}

static void
on_head(void *ctx, const struct dead_letter *d)
{
	struct listing *l = ctx;

	l->count++;
	if (l->list != NULL)
		json_array_append_new(l->list, head_json(l, d));
	else
		add_columns(l, d);
}

static void
print_list(struct listing *l)
{
	if (l->list != NULL) {
		(void)json_dumpf(l->list, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	} else if (columns_rows(&l->columns) == 0) {
		(void)puts("no dead letters");
	}
	if (l->list == NULL)
		columns_end(&l->columns);
	json_decref(l->list);
	buf_close(&l->when);
}

static int
run_list(const struct args *a)
{
	static const char *const heads[] = {
	    "ID", "SINK", "STREAM", "REFUSED", "ATTEMPTS", "SUPERSEDED", "REASON", NULL};
	static const char *const heads_keys[] = {
	    "ID", "SINK", "STREAM", "REFUSED", "ATTEMPTS", "SUPERSEDED", "KEY", "REASON", NULL};
	struct listing l = {.keys = args_get(a, "keys") != NULL, .when = BUF_INIT(64)};
	struct dlq_select s;
	struct config *c;
	struct err e;
	int r;

	if (config_load(&c, args_get(a, "config"), &e) != 0)
		return command_fail(&e);
	if (dlq_select_args(&s, a, &e) != 0) {
		config_close(c);
		return command_fail(&e);
	}
	if (args_get(a, "json") != NULL)
		l.list = json_array();
	else
		columns_begin(&l.columns, l.keys ? heads_keys : heads);
	s.query.heads = true;
	r = read_letters(c->store_path, &s.query, on_head, &l, &e);
	if (r == 0 && l.count == 0)
		dlq_select_remark(&s, c);
	dlq_select_close(&s);
	config_close(c);
	if (r != 0)
		return command_fail(&e);
	print_list(&l);
	return EXIT_DONE;
}

/* ---- show ---- */

static void
show_json(struct listing *l, const struct dead_letter *d)
{
	json_t *o = head_json(l, d);
	json_t *record =
	    json_loadb(d->record.p != NULL ? d->record.p : "", d->record.n, JSON_DECODE_ANY, NULL);

	if (record == NULL)
		record = json_stringn_nocheck(d->record.p != NULL ? d->record.p : "", d->record.n);
	json_object_set_new(o, "record", record);
	(void)json_dumpf(o, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(o);
}

/* Whatever writes to the table has chosen the text. An escape in a string of JSON means the
 * same, and outside of strings JSON has nothing to escape. */
static void
show_line(const char *name, struct slice text)
{
	struct buf b = BUF_INIT((size_t)6 * LIMIT_PAGE_BODY);

	buf_add_printable(&b, text);
	(void)printf("%-12s", name);
	(void)fwrite(b.p != NULL ? b.p : "", 1, b.n, stdout);
	(void)putchar('\n');
	buf_close(&b);
}

static void
show_text(struct listing *l, const struct dead_letter *d)
{
	(void)printf("%-12s%llu\n", "id", (unsigned long long)d->id);
	show_line("sink", slice_of(d->sink));
	show_line("stream", slice_of(d->stream));
	show_line("arn", slice_of(d->arn));
	show_line("shard", slice_of(d->shard));
	show_line("sequence", seq_text(&d->seq));
	show_line("event id", d->event_id);
	show_line("key", slice_of(d->key));
	show_line("reason", slice_of(d->reason));
	(void)printf("%-12s%u\n", "attempts", d->attempts);
	if (d->unfiltered)
		(void)puts("refused by  a filter; the record is as it came, a replay passes the "
			   "filters again");
	(void)printf("%-12s%s\n", "first", time_text(l, d->first_us));
	(void)printf("%-12s%s\n", "last", time_text(l, d->last_us));
	show_line("superseded", slice_of(d->superseded[0] != '\0' ? d->superseded : "no"));
	show_line("record", d->record);
}

static void
on_shown(void *ctx, const struct dead_letter *d)
{
	struct listing *l = ctx;

	if (l->list != NULL)
		show_json(l, d);
	else
		show_text(l, d);
	l->keys = false; /* found */
}

static int
run_show(const struct args *a)
{
	struct listing l = {.keys = true, .when = BUF_INIT(64)};
	struct letter_query q = {.id_count = 1};
	uint64_t want;
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
	want = (uint64_t)id;
	q.ids = &want;
	q.after = want - 1;
	q.upto = want;
	if (args_get(a, "json") != NULL)
		l.list = json_array();
	r = read_letters(c->store_path, &q, on_shown, &l, &e);
	config_close(c);
	if (r == 0 && l.keys)
		r = err_set(&e, ERR_NOT_FOUND,
		    "there is no dead letter %lld; see slipring dlq list", (long long)id);
	json_decref(l.list);
	buf_close(&l.when);
	return r != 0 ? command_fail(&e) : EXIT_DONE;
}

static const struct option_def list_options[] = {
    OPTION_CONFIG,
    OPTION_JSON,
    DLQ_OPTIONS,
    {.name = "not-superseded", .doc = "whose item has no newer change at the sink"},
    {.name = "keys", .doc = "print the items' keys too"},
    {.name = NULL},
};

const struct command cmd_dlq_list = {
    .name = "dlq list",
    .operands = "",
    .summary = "records that a sink refused",
    .help = "Reads the store; works while the daemon runs. What the records hold is not printed;\n"
	    "`dlq show` does that.",
    .options = list_options,
    .run = run_list,
};

static const struct option_def show_options[] = {OPTION_CONFIG, OPTION_JSON, {.name = NULL}};

const struct command cmd_dlq_show = {
    .name = "dlq show",
    .operands = "ID",
    .summary = "one of them, with its whole record",
    .help = "Reads the store; works while the daemon runs.",
    .options = show_options,
    .min_words = 1,
    .max_words = 1,
    .run = run_show,
};
