/* tests/unit/store_test.c - the SQLite store on a file that nobody damages:
 * rows, order, groups, failures of the disk, other openers.
 */
#include "checkpoint/letters.h"
#include "tests/unit/store_support.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <errno.h>
#include <sched.h>

/* --- every kind of row comes back as it went in --- */

struct dump {
	char text[8192];
	size_t n;
};

static void say(struct dump *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void
say(struct dump *d, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(d->text + d->n, sizeof d->text - d->n, fmt, ap);
	va_end(ap);
	assert_true(n >= 0 && (size_t)n < sizeof d->text - d->n);
	d->n += (size_t)n;
}

static void
say_pos(struct dump *d, const struct pos *p)
{
	say(d, "%d/%.*s/%lld", p->kind, (int)p->seq.n,
	    seq_is_set(&p->seq) ? seq_text(&p->seq).p : "", (long long)p->since_us);
}

static void
dump_stream(void *ctx, const struct stream_row *r)
{
	say(ctx, "stream %s %s %s %lld %d\n", r->arn, r->stream, r->table,
	    (long long)r->first_seen_us, r->ended);
}

static void
dump_subscription(void *ctx, const struct subscription_row *r)
{
	say(ctx, "subscription %s %s %lld\n", r->arn, r->sink, (long long)r->begun_us);
}

static void
dump_shard(void *ctx, const struct shard_row *r)
{
	say(ctx, "shard %s %s [%s] %.*s %lld\n", r->arn, r->shard, r->parent, (int)r->start.n,
	    seq_is_set(&r->start) ? seq_text(&r->start).p : "", (long long)r->first_seen_us);
}

static void
dump_position(void *ctx, const struct position_row *r)
{
	say(ctx, "position %s %s %s ", r->arn, r->shard, r->sink);
	say_pos(ctx, &r->pos);
	say(ctx, " %lld\n", (long long)r->updated_us);
}

static void
dump_gap(void *ctx, const struct gap *g)
{
	say(ctx, "gap %llu %s [%s] %s %s %s ", (unsigned long long)g->id, g->arn, g->shard, g->sink,
	    gap_reason_name(g->reason), gap_state_name(g->state));
	say_pos(ctx, &g->last_acked);
	say(ctx, " %.*s %lld %lld\n", (int)g->first_available.n,
	    seq_is_set(&g->first_available) ? seq_text(&g->first_available).p : "",
	    (long long)g->found_us, (long long)g->settled_us);
}

static void
dump_dead_letter(void *ctx, const struct dead_letter *d)
{
	say(ctx, "dead %llu %s %s %s %s %.*s %s%.*s %zu:%.*s %s %s %u %lld %lld%s%s%s\n",
	    (unsigned long long)d->id, d->arn, d->shard, d->sink, d->stream, (int)d->seq.n,
	    seq_text(&d->seq).p, d->event_id.p == NULL ? "absent" : "", (int)d->event_id.n,
	    d->event_id.p != NULL ? d->event_id.p : "", d->record.n, (int)d->record.n,
	    d->record.p != NULL ? d->record.p : "", d->key, d->reason, d->attempts,
	    (long long)d->first_us, (long long)d->last_us, d->superseded[0] != '\0' ? " by " : "",
	    d->superseded, d->unfiltered ? " unfiltered" : "");
}

static void
dump_store(struct store *s, struct dump *d)
{
	struct store_visitor v = {
	    d, dump_stream, dump_subscription, dump_shard, dump_position, dump_gap, NULL, NULL};
	struct letter_query q = {0};
	struct err e;

	d->n = 0;
	if (store_load(s, &v, &e) != 0 || store_letters(s, &q, dump_dead_letter, d, &e) != 0)
		fail_msg("%s", e.text);
}

static void
commit_and_wait(struct fixture *f, struct store *s, struct txn *t)
{
	unsigned failed = f->failed;

	store_commit(s, t, on_done, f);
	wait_for(f, f->done + 1);
	if (f->failed != failed)
		fail_msg("%s", f->e.text);
}

/* Strings live on the stack of the caller and are overwritten afterwards: the
 * transaction must hold copies. */
static struct txn *
every_kind(void)
{
	struct txn *t = txn_new();
	char name[] = "orders", sink[] = "trail", shard[] = "shardId-1",
	     record[] = "{\"a\":\"\xc3\xa9\"}";
	struct gap g = {.id = 7, .arn = name, .shard = NULL, .sink = sink};
	struct dead_letter d = {.arn = name, .shard = shard, .sink = sink, .stream = name};

	txn_stream(t, &(struct stream_row){name, name, "t", 5, true});
	txn_subscription(t, &(struct subscription_row){name, sink, -6});
	txn_shard(t, &(struct shard_row){name, shard, NULL, {.n = 0}, 8});
	txn_shard(t, &(struct shard_row){name, "shardId-2", shard, seq_of_number(44), 9});
	for (int kind = POS_NONE; kind <= POS_COMPLETE; kind++) {
		char other[] = "sink-0";
		struct position_row p = {
		    .arn = name, .shard = shard, .sink = other, .updated_us = INT64_MAX};

		other[5] = (char)('0' + kind);
		p.pos.kind = (enum pos_kind)kind;
		p.pos.since_us = kind == POS_LATEST ? 12345 : 0;
		if (kind == POS_AFTER)
			(void)seq_parse(
			    SLICE_LIT("0000000000000000000000000000000000000009"), &p.pos.seq);
		txn_position(t, &p);
	}
	for (int reason = GAP_TRIMMED; reason <= GAP_REFUSED; reason++, g.id++) {
		g.reason = (enum gap_reason)reason;
		g.state = (enum gap_state)(reason % (GAP_ACCEPTED + 1));
		g.last_acked.kind = POS_AT_START;
		g.first_available = reason == GAP_TRIMMED ? seq_of_number(3) : (struct seq){.n = 0};
		txn_gap(t, &g);
	}
	d.id = 1;
	d.key = "[\"k\"]";
	d.seq = seq_of_number(77);
	d.record = slice_of(record);
	d.reason = "mapping: no";
	d.attempts = 3;
	d.first_us = 1;
	d.last_us = 2;
	txn_dead_letter(t, &d);
	assert_int_equal(txn_count(t), 4 + 6 + 5 + 1);
	memset(name, 'x', sizeof name - 1);
	memset(sink, 'x', sizeof sink - 1);
	memset(shard, 'x', sizeof shard - 1);
	memset(record, 'x', sizeof record - 1);
	return t;
}

static void
rows_come_back_as_they_went_in(void **state)
{
	static const char want[] =
	    "stream orders orders t 5 1\n"
	    "subscription orders trail -6\n"
	    "shard orders shardId-1 []  8\n"
	    "shard orders shardId-2 [shardId-1] 000000000000000000044 9\n"
	    "position orders shardId-1 sink-0 0//0 9223372036854775807\n"
	    "position orders shardId-1 sink-1 1//0 9223372036854775807\n"
	    "position orders shardId-1 sink-2 2//0 9223372036854775807\n"
	    "position orders shardId-1 sink-3 3//12345 9223372036854775807\n"
	    "position orders shardId-1 sink-4 4/0000000000000000000000000000000000000009/0"
	    " 9223372036854775807\n"
	    "position orders shardId-1 sink-5 5//0 9223372036854775807\n"
	    "gap 7 orders [] trail trimmed open 2//0 000000000000000000003 0 0\n"
	    "gap 8 orders [] trail shard-gone continued 2//0  0 0\n"
	    "gap 9 orders [] trail orphan accepted 2//0  0 0\n"
	    "gap 10 orders [] trail stream-replaced open 2//0  0 0\n"
	    "gap 11 orders [] trail refused continued 2//0  0 0\n"
	    "dead 1 orders shardId-1 trail orders 000000000000000000077 absent"
	    " 10:{\"a\":\"\xc3\xa9\"} [\"k\"] mapping: no 3 1 2\n";
	struct fixture *f = *state;
	struct dump d;
	struct store *s = open_store(f, STORE_OWN);

	commit_and_wait(f, s, every_kind());
	dump_store(s, &d);
	assert_string_equal(d.text, want);
	close_store(f, s);
	/* Once more through the file, and through an upsert of everything. */
	s = open_store(f, STORE_OWN);
	dump_store(s, &d);
	assert_string_equal(d.text, want);
	commit_and_wait(f, s, every_kind());
	dump_store(s, &d);
	/* A letter that came again has been submitted so many times more. */
	*strstr(d.text, "no 6") = 'n', *(strstr(d.text, "no 6") + 3) = '3';
	assert_string_equal(d.text, want);
	close_store(f, s);
}

static void
deletes_take_what_they_name_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);
	struct txn *t = every_kind();
	struct dump d;

	txn_delete_subscription(t, "orders", "trail");
	txn_delete_subscription(t, "orders", "other");
	txn_delete_position(t, "orders", "shardId-1", "sink-5");
	txn_delete_position(t, "orders", "shardId-9", "sink-4");
	commit_and_wait(f, s, t);
	dump_store(s, &d);
	assert_null(strstr(d.text, "subscription"));
	assert_null(strstr(d.text, "sink-5"));
	assert_non_null(strstr(d.text, "sink-4"));
	t = txn_new();
	txn_forget_shard(t, "orders", "shardId-1");
	commit_and_wait(f, s, t);
	dump_store(s, &d);
	assert_null(strstr(d.text, "position"));
	assert_null(strstr(d.text, "shard orders shardId-1 "));
	assert_non_null(strstr(d.text, "shard orders shardId-2 "));
	assert_non_null(strstr(d.text, "dead 1 "));
	close_store(f, s);
}

static void
run_sql(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void
dead_letter_again_is_one_row(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);
	struct dead_letter d = {.arn = "a",
	    .shard = "s",
	    .sink = "k",
	    .stream = "orders",
	    .event_id = SLICE_LIT("e"),
	    .record = SLICE_LIT("{}"),
	    .key = "[1]",
	    .reason = "first"};
	struct txn *t = txn_new();
	struct dump out;

	d.seq = seq_of_number(1);
	d.id = 1;
	d.attempts = 1;
	d.first_us = d.last_us = 10;
	txn_dead_letter(t, &d);
	d.id = 2;
	d.reason = "second";
	d.attempts = 2;
	d.first_us = d.last_us = 20;
	txn_dead_letter(t, &d);
	d.id = 3;
	d.sink = "other";
	d.unfiltered = true;
	txn_dead_letter(t, &d);
	/* The mark goes with the record, and that is the first one. */
	d.id = 4;
	d.unfiltered = false;
	d.record = SLICE_LIT("{\"made\":1}");
	txn_dead_letter(t, &d);
	commit_and_wait(f, s, t);
	dump_store(s, &out);
	assert_string_equal(out.text,
	    "dead 1 a s k orders 000000000000000000001 e 2:{} [1] second 3 10 20\n"
	    "dead 3 a s other orders 000000000000000000001 e 2:{} [1] second 4 20 20 unfiltered\n");
	close_store(f, s);
	run_sql(f->path, "UPDATE dead_letters SET unfiltered = 0 WHERE id = 3");
	s = open_store(f, STORE_OWN);
	assert_int_equal(
	    store_letters(s, &(struct letter_query){.heads = true}, dump_dead_letter, &out, &f->e),
	    -1);
	assert_int_equal(f->e.code, ERR_CORRUPT);
	close_store(f, s);
}

static void
note_id(void *ctx, uint64_t id)
{
	*(uint64_t *)ctx = id;
}

/* --- dead letters: marks, selectors, fetching --- */

#define RECORD_E1                                                                                  \
	"{\"eventID\":\"e1\",\"eventName\":\"INSERT\",\"dynamodb\":{"                              \
	"\"ApproximateCreationDateTime\":"                                                         \
	"1732170000,\"Keys\":{\"pk\":{\"S\":\"a\"}},\"NewImage\":{\"pk\":{\"S\":\"a\"}},"          \
	"\"SequenceNumber\":\"70\",\"SizeBytes\":4,\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}"
#define RECORD_E2                                                                                  \
	"{\"eventID\":\"e2\",\"eventName\":\"REMOVE\",\"dynamodb\":{"                              \
	"\"ApproximateCreationDateTime\":"                                                         \
	"1732170001,\"Keys\":{\"sk\":{\"N\":\"12.50\"},\"pk\":{\"S\":\"b\"}},"                     \
	"\"SequenceNumber\":\"71\",\"SizeBytes\":4,\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"}}"
#define VERSION_9 "2026-11-21T07:29:37.000/0000000000000000000000000000000000000009"

static void
letter(struct txn *t, uint64_t id, const char *sink, const char *key, const char *reason)
{
	struct dead_letter d = {.id = id,
	    .arn = ARN,
	    .shard = "s",
	    .sink = sink,
	    .stream = "orders",
	    .record = SLICE_LIT("{\"a\":1}"),
	    .key = key,
	    .key_hash = UINT64_C(0xfedcba9876543210) + id,
	    .hash_key = "pk",
	    .range_key = "",
	    .reason = reason,
	    .attempts = 1,
	    .first_us = (int64_t)id * 10,
	    .last_us = (int64_t)id * 10};

	d.seq = seq_of_number(id);
	txn_dead_letter(t, &d);
}

static void
gather_id(void *ctx, const struct dead_letter *d)
{
	struct dump *out = ctx;

	say(out, "%s%llu", out->n != 0 ? " " : "", (unsigned long long)d->id);
	assert_true(d->key_hash == UINT64_C(0xfedcba9876543210) + d->id);
	assert_string_equal(d->hash_key, "pk");
}

static const char *
ids_of(struct store *s, const struct letter_query *q)
{
	static struct dump out;
	struct err e;

	out.n = 0;
	out.text[0] = '\0';
	if (store_letters(s, q, gather_id, &out, &e) != 0)
		fail_msg("%s", e.text);
	return out.text;
}

static void
some_letters(struct fixture *f, struct store *s)
{
	struct txn *t = txn_new();

	letter(t, 1, "a", "[1]", "column n does not fit");
	letter(t, 2, "b", "[1]", "column n does not fit");
	letter(t, 3, "a", "[2]", "too large");
	letter(t, 4, "a", "[1]", "too large");
	letter(t, 7, "b", "[2]", "too large");
	txn_supersede(t, 3, VERSION_9);
	commit_and_wait(f, s, t);
}

static void
letters_are_selected(void **state)
{
	static const uint64_t some[] = {1, 4, 5, 7};
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);

	some_letters(f, s);
#define IDS(...) ids_of(s, &(struct letter_query){__VA_ARGS__})
	assert_string_equal(IDS(.limit = 0), "1 2 3 4 7");
	assert_string_equal(IDS(.sink = "a"), "1 3 4");
	assert_string_equal(IDS(.sink = "a", .key = "[1]"), "1 4");
	assert_string_equal(IDS(.reason = "large"), "3 4 7");
	assert_string_equal(IDS(.from_us = 20, .to_us = 40), "2 3");
	assert_string_equal(IDS(.ids = some, .id_count = 4), "1 4 7");
	assert_string_equal(IDS(.ids = some, .id_count = 4, .sink = "b", .heads = true), "7");
	assert_string_equal(IDS(.after = 2, .upto = 4), "3 4");
	assert_string_equal(IDS(.limit = 2), "1 2");
	assert_string_equal(IDS(.bytes = 7), "1");
	assert_string_equal(IDS(.bytes = 8), "1 2");
	assert_string_equal(IDS(.superseded = true), "3");
	assert_string_equal(IDS(.sink = "c"), "");
	close_store(f, s);
}

static void
letters_are_dropped_and_ids_not_given_again(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);
	struct txn *t = txn_new();
	uint64_t last = 0;

	some_letters(f, s);
	txn_drop_letter(t, 7);
	txn_drop_letter(t, 1);
	txn_drop_letter(t, 99);
	commit_and_wait(f, s, t);
	assert_string_equal(IDS(.limit = 0), "2 3 4");
	close_store(f, s);
	s = open_store(f, STORE_OWN);
	assert_int_equal(
	    store_load(
		s, &(struct store_visitor){.ctx = &last, .last_dead_letter = note_id}, &f->e),
	    0);
	assert_int_equal(last, 7);
	close_store(f, s);
}

struct fetched {
	struct fixture *f;
	struct dump text;
	bool failed;
};

static void
on_fetched(void *arg, struct txn *rows, const struct err *e)
{
	struct fetched *got = arg;

	got->failed = e != NULL;
	assert_true((rows != NULL) == (e == NULL));
	for (const struct txn_op *op = rows != NULL ? txn_first(rows) : NULL; op != NULL;
	     op = op->next) {
		assert_int_equal(op->kind, TXN_DEAD_LETTER);
		dump_dead_letter(&got->text, &op->u.dead_letter);
	}
	txn_close(rows);
	on_done(got->f, NULL);
}

/* A fetch sees what was committed before it, though that is not durable yet. */
static void
letters_are_fetched_in_turn(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);
	struct fetched got = {.f = f}, heads = {.f = f};
	struct txn *t = txn_new();
	unsigned before = f->done;

	letter(t, 1, "a", "[1]", "no");
	letter(t, 2, "a", "[2]", "no");
	txn_supersede(t, 2, VERSION_9);
	store_commit(s, t, on_done, f);
	store_fetch(s, &(struct letter_query){.sink = "a"}, on_fetched, &got);
	t = txn_new();
	txn_drop_letter(t, 1);
	store_commit(s, t, on_done, f);
	store_fetch(s, &(struct letter_query){.sink = "a", .heads = true}, on_fetched, &heads);
	wait_for(f, before + 4);
	assert_string_equal(got.text.text,
	    "dead 1 " ARN " s a orders 000000000000000000001 absent 7:{\"a\":1} [1] no 1 10 10\n"
	    "dead 2 " ARN " s a orders 000000000000000000002 absent 7:{\"a\":1} [2] no 1 20 20"
	    " by " VERSION_9 "\n");
	assert_string_equal(heads.text.text,
	    "dead 2 " ARN " s a orders 000000000000000000002 absent 0: [2] no 1 20 20"
	    " by " VERSION_9 "\n");
	close_store(f, s);
}

/* A digit changed by hand, in the head and in the record. */
static void
changed_letters_are_not_replayed(void **state)
{
	static const char *const changes[] = {
	    "UPDATE dead_letters SET record = '{\"a\":2}' WHERE id = 4",
	    "UPDATE dead_letters SET key_hash = key_hash + 1 WHERE id = 4",
	    "UPDATE dead_letters SET unfiltered = 1 WHERE id = 4",
	    "UPDATE dead_letters SET unfiltered = 2 WHERE id = 4",
	    "UPDATE dead_letters SET superseded = '9' WHERE id = 4"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		struct store *s = open_store(f, STORE_OWN);
		struct fetched got = {.f = f};
		struct txn *t = txn_new();
		char undo[64];

		letter(t, 4, "a", "[1]", "no");
		commit_and_wait(f, s, t);
		close_store(f, s);
		run_sql(f->path, changes[i]);
		s = open_store(f, STORE_OWN);
		store_fetch(s, &(struct letter_query){.sink = "a"}, on_fetched, &got);
		wait_for(f, f->done + 1);
		assert_true(got.failed);
		close_store(f, s);
		(void)snprintf(undo, sizeof undo, "DELETE FROM dead_letters");
		run_sql(f->path, undo);
	}
}

/* As format 1 left it: `sqlite3 FILE .dump` of one with two letters. */
static const char format_1[] =
    "PRAGMA application_id = 1399615602; PRAGMA user_version = 1;"
    "CREATE TABLE streams (arn TEXT NOT NULL, stream TEXT NOT NULL, table_name TEXT NOT NULL,"
    "first_seen_us INTEGER NOT NULL, ended INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "PRIMARY KEY (arn)) STRICT, WITHOUT ROWID;"
    "INSERT INTO streams VALUES('" ARN "','orders','orders',5,0,2629726274);"
    "CREATE TABLE subscriptions (arn TEXT NOT NULL, sink TEXT NOT NULL, begun_us INTEGER NOT NULL,"
    " crc INTEGER NOT NULL,PRIMARY KEY (arn, sink)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE shards (arn TEXT NOT NULL, shard TEXT NOT NULL, parent TEXT NOT NULL,"
    " start_sequence TEXT,first_seen_us INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "PRIMARY KEY (arn, shard)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE positions (arn TEXT NOT NULL, shard TEXT NOT NULL, sink TEXT NOT NULL,"
    " kind TEXT NOT NULL,sequence TEXT, since_us INTEGER NOT NULL, updated_us INTEGER NOT NULL,"
    " crc INTEGER NOT NULL,PRIMARY KEY (arn, shard, sink)) STRICT, WITHOUT ROWID;"
    "INSERT INTO positions VALUES('" ARN "','shardId-1','out','after','77',0,7,2058966248);"
    "CREATE TABLE gaps (id INTEGER PRIMARY KEY, arn TEXT NOT NULL, shard TEXT NOT NULL,"
    " sink TEXT NOT NULL,reason TEXT NOT NULL, state TEXT NOT NULL, last_acked_kind TEXT NOT NULL,"
    "last_acked_sequence TEXT, last_acked_since_us INTEGER NOT NULL, first_available TEXT,"
    "found_us INTEGER NOT NULL, settled_us INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;"
    "CREATE TABLE dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL,"
    " shard TEXT NOT NULL,sink TEXT NOT NULL, sequence TEXT NOT NULL, stream TEXT NOT NULL,"
    " event_id TEXT,record TEXT,reason TEXT NOT NULL, first_us INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL,last_us INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "UNIQUE (arn, shard, sink, sequence)) STRICT;"
    "INSERT INTO dead_letters VALUES(1,'" ARN "','shardId-1','out','70','orders','e1','" RECORD_E1
    "','column \"n\" does not fit',100,1,200,3802854019);"
    "INSERT INTO dead_letters VALUES(2,'" ARN "','shardId-1','out','71','orders','e2','" RECORD_E2
    "','column \"n\" does not fit',101,2,201,416257585);"
    "UPDATE sqlite_sequence SET seq = 5;"
    "CREATE VIEW dead_letters_readable AS SELECT id FROM dead_letters;";

/* The letters of format 2, as it made them of those. */
static const char format_2[] =
    "DROP VIEW dead_letters_readable; DROP TABLE dead_letters; PRAGMA user_version = 2;"
    "CREATE TABLE dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL,"
    " shard TEXT NOT NULL,sink TEXT NOT NULL, sequence TEXT NOT NULL, stream TEXT NOT NULL,"
    " event_id TEXT,key TEXT NOT NULL, key_hash INTEGER NOT NULL, hash_key TEXT NOT NULL,"
    "range_key TEXT NOT NULL, record_crc INTEGER NOT NULL, reason TEXT NOT NULL,"
    "first_us INTEGER NOT NULL, attempts INTEGER NOT NULL, last_us INTEGER NOT NULL,"
    "superseded TEXT NOT NULL, crc INTEGER NOT NULL, record TEXT,"
    "UNIQUE (arn, shard, sink, sequence)) STRICT;"
    "INSERT INTO dead_letters VALUES(1,'" ARN "','shardId-1','out','70','orders','e1','[\"a\"]',"
    "1537210189211372420,'','',1202649537,'column \"n\" does not "
    "fit',100,1,200,'',1140806672,'" RECORD_E1 "');"
    "INSERT INTO dead_letters VALUES(2,'" ARN "','shardId-1','out','71','orders','e2',"
    "'[\"b\",12.5]',1415577955775392505,'','',2488684965,'column \"n\" does not fit',101,2,201,'',"
    "2700948097,'" RECORD_E2 "');"
    "UPDATE sqlite_sequence SET seq = 5;"
    "CREATE VIEW dead_letters_readable AS SELECT id FROM dead_letters;";

static void
brought_up(struct fixture *f, bool from_2)
{
	static const char want[] = "stream " ARN " orders orders 5 0\n"
				   "position " ARN " shardId-1 out 4/77/0 7\n"
				   "dead 1 " ARN " shardId-1 out orders 70 e1 217:" RECORD_E1
				   " [\"a\"] column \"n\" does not fit 1 100 200\n"
				   "dead 2 " ARN " shardId-1 out orders 71 e2 208:" RECORD_E2
				   " [\"b\",12.5] column \"n\" does not fit 2 101 201\n";
	struct store *s;
	struct dump d;
	uint64_t last = 0;
	struct store_visitor v = {.ctx = &last, .last_dead_letter = note_id};

	run_sql(f->path, format_1);
	if (from_2)
		run_sql(f->path, format_2);
	/* A reader cannot, and says who can. */
	assert_int_equal(store_sqlite_open(&s, NULL, f->path, STORE_READ, &f->e), -1);
	assert_int_equal(f->e.code, ERR_VERSION);
	assert_non_null(strstr(f->e.text, "the next start of the daemon"));
	for (unsigned i = 0; i < 2; i++) {
		s = open_store(f, STORE_OWN);
		dump_store(s, &d);
		assert_string_equal(d.text, want);
		assert_int_equal(store_load(s, &v, &f->e), 0);
		assert_int_equal(last, 5);
		close_store(f, s);
	}
	s = open_store(f, STORE_READ);
	dump_store(s, &d);
	assert_string_equal(d.text, want);
	close_store(f, s);
}

static void
format_1_is_brought_up(void **state)
{
	brought_up(*state, false);
}

static void
format_2_is_brought_up(void **state)
{
	brought_up(*state, true);
}

/* What it cannot read it leaves as it is. */
static void
damaged_format_1_stays_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct store *s;
	struct dump d;
	uint64_t last = 0;

	run_sql(f->path, format_1);
	run_sql(f->path, "UPDATE dead_letters SET reason = 'another' WHERE id = 2");
	assert_int_equal(store_sqlite_open(&s, f->lp, f->path, STORE_OWN, &f->e), -1);
	assert_int_equal(f->e.code, ERR_CORRUPT);
	run_sql(
	    f->path, "UPDATE dead_letters SET reason = 'column \"n\" does not fit' WHERE id = 2");
	s = open_store(f, STORE_OWN);
	assert_int_equal(
	    store_load(
		s, &(struct store_visitor){.ctx = &last, .last_dead_letter = note_id}, &f->e),
	    0);
	assert_int_equal(last, 5);
	dump_store(s, &d);
	assert_non_null(strstr(d.text, "dead 2 "));
	close_store(f, s);
}

/* --- SQLite's writes, in our hands --- */

static _Atomic bool disk_full;
static _Atomic bool gate_shut, at_the_gate;

static ssize_t
full_pwrite(int fd, const void *p, size_t n, off64_t at)
{
	while (gate_shut) {
		at_the_gate = true;
		(void)sched_yield();
	}
	if (disk_full) {
		errno = ENOSPC;
		return -1;
	}
	return pwrite64(fd, p, n, at);
}

/* Through the door SQLite has for it: its table of system calls. */
static void
hook_writes(bool on)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	sqlite3_syscall_ptr fn = on ? (sqlite3_syscall_ptr)full_pwrite : NULL;

	if (vfs->xSetSystemCall(vfs, "pwrite64", fn) != SQLITE_OK)
		fail_msg("SQLite has no pwrite64 to replace");
	assert_int_equal(vfs->xSetSystemCall(vfs, "pwrite", fn), SQLITE_OK);
}

/* A transaction that the store's thread is held up in; what is committed
 * before gate_shut is reset becomes one group. */
static void
hold_up(struct fixture *f, struct store *s, struct txn *t)
{
	gate_shut = true;
	at_the_gate = false;
	store_commit(s, t, on_done, f);
	while (!at_the_gate)
		(void)sched_yield(); /* the test runner bounds it */
}

/* --- order and groups --- */

/* Counts syncs: SQLite's calls end here, and so does what done() may claim. */
static _Atomic unsigned syncs;
static _Atomic bool sync_fails;

int fdatasync(int fd);

int
fdatasync(int fd)
{
	syncs++;
	if (sync_fails) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

struct ordered {
	struct fixture *f;
	unsigned next;
};

struct ordered_arg {
	struct ordered *o;
	unsigned n;
};

static void
on_ordered(void *arg, const struct err *e)
{
	struct ordered_arg *a = arg;

	assert_int_equal(a->n, a->o->next);
	a->o->next++;
	on_done(a->o->f, e);
}

static void
what_gathers_during_a_commit_is_one_group_done_in_order(void **state)
{
	enum { N = 2000 };
	static struct ordered_arg args[N];
	struct fixture *f = *state;
	struct ordered o = {.f = f};
	struct store_sqlite_counts c;
	struct store *s;
	unsigned before;

	hook_writes(true);
	s = open_store(f, STORE_OWN);
	hold_up(f, s, numbered_txn(1));
	for (unsigned i = 0; i < N; i++) {
		args[i] = (struct ordered_arg){&o, i};
		store_commit(s, numbered_txn(i + 2), on_ordered, &args[i]);
		assert_int_equal(f->done, 0); /* never from inside */
	}
	before = syncs;
	gate_shut = false;
	wait_for(f, N + 1);
	assert_int_equal(f->failed, 0);
	c = store_sqlite_counts(s);
	assert_int_equal(c.transactions, N + 1);
	assert_int_equal(c.failed, 0);
	assert_int_equal(c.groups, 2);
	assert_true(syncs - before >= 1);
	assert_int_equal(load_numbered(s), N + 1);
	close_store(f, s);
	hook_writes(false);
}

static void
each_report_comes_after_a_sync(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);

	for (unsigned i = 1; i <= 20; i++) {
		unsigned before = syncs;

		commit_and_wait(f, s, numbered_txn(i));
		assert_true(syncs > before);
	}
	assert_int_equal(store_sqlite_counts(s).groups, 20);
	close_store(f, s);
}

static void
close_waits_and_reports(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);

	for (unsigned i = 1; i <= 300; i++)
		store_commit(s, numbered_txn(i), on_done, f);
	close_store(f, s);
	assert_int_equal(f->done, 300);
	assert_int_equal(f->failed, 0);
	s = open_store(f, STORE_READ);
	assert_int_equal(load_numbered(s), 300);
	close_store(f, s);
}

struct closer {
	struct fixture *f;
	struct store *s;
};

static void
on_done_close(void *arg, const struct err *e)
{
	struct closer *c = arg;
	struct fixture *f = c->f;

	close_store(f, c->s);
	on_done(f, e);
	loop_stop(f->lp);
}

static void
store_may_be_closed_by_a_report(void **state)
{
	struct fixture *f = *state;
	struct closer c = {f, open_store(f, STORE_OWN)};

	store_commit(c.s, numbered_txn(1), on_done_close, &c);
	for (unsigned i = 2; i <= 50; i++)
		store_commit(c.s, numbered_txn(i), on_done, f);
	wait_for(f, 50);
	assert_int_equal(f->done, 50);
	assert_int_equal(f->failed, 0);
}

/* --- a disk that fails --- */

static void
full_disk_keeps_nothing_and_mends(void **state)
{
	struct fixture *f = *state;
	struct store *s;

	hook_writes(true);
	s = open_store(f, STORE_OWN);
	commit_and_wait(f, s, numbered_txn(1));
	disk_full = true;
	store_commit(s, numbered_txn(2), on_done, f);
	store_commit(s, numbered_txn(3), on_done, f);
	wait_for(f, 3);
	assert_int_equal(f->failed, 2);
	assert_int_equal(f->e.code, ERR_NOSPACE);
	assert_true(f->e.retriable);
	assert_non_null(strstr(f->e.text, f->path));
	disk_full = false;
	assert_int_equal(load_numbered(s), 1);
	commit_and_wait(f, s, numbered_txn(2));
	commit_and_wait(f, s, numbered_txn(3));
	assert_int_equal(load_numbered(s), 3);
	close_store(f, s);
	hook_writes(false);
	s = open_store(f, STORE_OWN);
	assert_int_equal(load_numbered(s), 3);
	close_store(f, s);
}

/* A dead letter too large to copy, between two good transactions. */
static void
group_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct dead_letter d = {.arn = "a",
	    .shard = "s",
	    .sink = "k",
	    .stream = "orders",
	    .record = {"", SIZE_MAX / 4},
	    .reason = "too large"};
	struct txn *t = txn_new();
	struct store *s;

	txn_dead_letter(t, &d);
	assert_true(txn_failed(t));
	hook_writes(true);
	s = open_store(f, STORE_OWN);
	hold_up(f, s, numbered_txn(1));
	store_commit(s, numbered_txn(2), on_done, f);
	store_commit(s, t, on_done, f);
	store_commit(s, numbered_txn(3), on_done, f);
	gate_shut = false;
	wait_for(f, 4);
	assert_int_equal(f->failed, 3);
	assert_int_equal(f->e.code, ERR_NOMEM);
	assert_true(f->e.retriable);
	assert_int_equal(load_numbered(s), 1);
	commit_and_wait(f, s, numbered_txn(2));
	assert_int_equal(load_numbered(s), 2);
	close_store(f, s);
	hook_writes(false);
}

static void
failed_sync_is_a_failed_commit(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);

	commit_and_wait(f, s, numbered_txn(1));
	sync_fails = true;
	store_commit(s, numbered_txn(2), on_done, f);
	wait_for(f, 2);
	assert_int_equal(f->failed, 1);
	assert_int_equal(f->e.code, ERR_IO);
	assert_true(f->e.retriable);
	sync_fails = false;
	assert_int_equal(load_numbered(s), 1);
	commit_and_wait(f, s, numbered_txn(2));
	assert_int_equal(load_numbered(s), 2);
	close_store(f, s);
}

/* The one behind must not become durable before the failure of the one in
 * front is known: it may be a position, and that a dead letter. */
static void
failure_takes_down_what_was_committed_behind_it(void **state)
{
	struct fixture *f = *state;
	struct store *s;

	hook_writes(true);
	s = open_store(f, STORE_OWN);
	commit_and_wait(f, s, numbered_txn(1));
	disk_full = true;
	store_commit(s, numbered_txn(2), on_done, f);
	while (store_sqlite_counts(s).failed == 0)
		(void)sched_yield(); /* the test runner bounds it */
	disk_full = false;
	store_commit(s, numbered_txn(3), on_done, f);
	wait_for(f, 3);
	assert_int_equal(f->failed, 2);
	assert_true(f->e.retriable);
	assert_int_equal(load_numbered(s), 1);
	commit_and_wait(f, s, numbered_txn(2));
	assert_int_equal(load_numbered(s), 2);
	close_store(f, s);
	hook_writes(false);
}

static void
removed_file_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);

	commit_and_wait(f, s, numbered_txn(1));
	assert_int_equal(unlink(f->path), 0);
	store_commit(s, numbered_txn(2), on_done, f);
	wait_for(f, 2);
	assert_int_equal(f->failed, 1);
	assert_int_equal(f->e.code, ERR_IO);
	assert_false(f->e.retriable);
	close_store(f, s);
}

/* --- other openers --- */

static void
second_opener_is_locked_out_and_told_by_whom(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);
	struct store *second;
	char pid[32];

	(void)snprintf(pid, sizeof pid, "process %ld;", (long)getpid());
	for (int how = STORE_OWN; how <= STORE_EDIT; how++) {
		assert_int_equal(
		    store_sqlite_open(&second, f->lp, f->path, (enum store_open)how, &f->e), -1);
		assert_null(second);
		assert_int_equal(f->e.code, ERR_LOCKED);
		assert_non_null(strstr(f->e.text, pid));
	}
	commit_and_wait(f, s, numbered_txn(1));
	close_store(f, s);
	s = open_store(f, STORE_EDIT);
	close_store(f, s);
}

static void
reads_while_a_daemon_writes(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);
	uint64_t seen = 0, last = 0;

	for (unsigned i = 1; i <= 400; i++)
		store_commit(s, numbered_txn(i), on_done, f);
	while (seen < 400) {
		struct store *r = open_store(f, STORE_READ);

		seen = load_numbered(r); /* each a state that once was */
		assert_true(seen >= last);
		last = seen;
		store_close(r);
		if (f->done < 400)
			wait_for(f, f->done + 1);
	}
	wait_for(f, 400);
	assert_int_equal(f->failed, 0);
	close_store(f, s);
}

static void
edit_reports_before_it_returns(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f, STORE_OWN);

	close_store(f, s);
	s = open_store(f, STORE_EDIT);
	store_commit(s, numbered_txn(1), on_done, f);
	assert_int_equal(f->done, 1);
	assert_int_equal(f->failed, 0);
	close_store(f, s);
	s = open_store(f, STORE_READ);
	assert_int_equal(load_numbered(s), 1);
	close_store(f, s);
}

static void
files_are_for_the_owner_only(void **state)
{
	static const char *const files[] = {"", "-wal", "-shm", ".lock"};
	struct fixture *f = *state;
	mode_t before = umask(0);
	struct store *s = open_store(f, STORE_OWN);
	char path[128];
	struct stat st;

	commit_and_wait(f, s, numbered_txn(1));
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		(void)snprintf(path, sizeof path, "%s%s", f->path, files[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
	}
	(void)umask(before);
	close_store(f, s);
}

/* The sanitizers' malloc gives up otherwise, where the real one says no. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

const char *
__tsan_default_options(void)
{
	return "allocator_may_return_null=1";
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
	const struct CMUnitTest tests[] = {
	    T(rows_come_back_as_they_went_in),
	    T(deletes_take_what_they_name_and_nothing_else),
	    T(dead_letter_again_is_one_row),
	    T(letters_are_selected),
	    T(letters_are_dropped_and_ids_not_given_again),
	    T(letters_are_fetched_in_turn),
	    T(changed_letters_are_not_replayed),
	    T(format_1_is_brought_up),
	    T(format_2_is_brought_up),
	    T(damaged_format_1_stays_as_it_was),
	    T(what_gathers_during_a_commit_is_one_group_done_in_order),
	    T(each_report_comes_after_a_sync),
	    T(close_waits_and_reports),
	    T(store_may_be_closed_by_a_report),
	    T(full_disk_keeps_nothing_and_mends),
	    T(group_is_all_or_nothing),
	    T(failed_sync_is_a_failed_commit),
	    T(failure_takes_down_what_was_committed_behind_it),
	    T(removed_file_is_noticed),
	    T(second_opener_is_locked_out_and_told_by_whom),
	    T(reads_while_a_daemon_writes),
	    T(edit_reports_before_it_returns),
	    T(files_are_for_the_owner_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
