/* checkpoint/store_rows.c - rows to and from the tables of the SQLite store.
 *
 *   txn_op --> cells --> bound statement        column --> cells --> visitor
 *
 * SQLite finds a broken page but not a flipped bit inside a row, and one digit
 * of a position is the difference between reading a record and losing it. So
 * each row ends with a crc over its other columns, checked when it is loaded.
 * It follows that rows changed by hand are refused.
 *
 * Threading: whoever holds the connection.
 */
#include "checkpoint/store_priv.h"

#include <assert.h>
#include <inttypes.h>
#include <zlib.h>

#include "checkpoint/letters.h"

/* "none" is kept too: a store gives back what it was given. */
static const char *const pos_words[] = {
    [POS_NONE] = "none",
    [POS_TRIM_HORIZON] = "trim-horizon",
    [POS_AT_START] = "at-start",
    [POS_LATEST] = "latest",
    [POS_AFTER] = "after",
    [POS_COMPLETE] = "complete",
};

/* --- cells --- */

static struct cell
cell_text(const char *s)
{
	return (struct cell){.type = CELL_TEXT, .text = slice_of(s != NULL ? s : "")};
}

static struct cell
cell_slice(struct slice s)
{
	return (struct cell){.type = s.p != NULL ? CELL_TEXT : CELL_NULL, .text = s};
}

static struct cell
cell_int(int64_t n)
{
	return (struct cell){.type = CELL_INT, .num = n};
}

static struct cell
cell_seq(const struct seq *s)
{
	return seq_is_set(s) ? cell_slice(seq_text(s)) : (struct cell){.type = CELL_NULL};
}

/* Type, length and bytes of each, in one byte order, so that a store may move
 * between machines. */
int64_t
store_cells_crc(const struct cell *cells, unsigned n)
{
	uLong crc = crc32(0, NULL, 0);

	for (unsigned i = 0; i < n; i++) {
		const struct cell *c = &cells[i];
		uint64_t v = c->type == CELL_INT ? (uint64_t)c->num : c->text.n;
		unsigned char head[9] = {(unsigned char)c->type};

		for (unsigned k = 1; k < sizeof head; k++, v >>= 8)
			head[k] = (unsigned char)v;
		crc = crc32(crc, head, sizeof head);
		if (c->type == CELL_TEXT && c->text.n != 0)
			crc = crc32_z(crc, (const Bytef *)c->text.p, c->text.n);
	}
	return (int64_t)crc;
}

unsigned
store_guarded(unsigned table, const struct cell *cells)
{
	unsigned n = store_tables[table].guarded;

	return table == ROWS_DEAD_LETTER && cells[n].num != 0 ? n + 1 : n;
}

int64_t
store_record_crc(struct slice record)
{
	return record.n != 0
	    ? (int64_t)crc32_z(crc32(0, NULL, 0), (const Bytef *)record.p, record.n)
	    : 0;
}

static unsigned
letter_cells(const struct dead_letter *d, struct cell *c)
{
	unsigned n = 0;

	c[n++] = cell_text(d->arn);
	c[n++] = cell_text(d->shard);
	c[n++] = cell_text(d->sink);
	/* "" rather than NULL: part of what makes the row unique. */
	c[n++] = cell_slice(seq_text(&d->seq));
	c[n++] = cell_text(d->stream);
	c[n++] = cell_slice(d->event_id);
	c[n++] = cell_text(d->key);
	c[n++] = cell_int((int64_t)d->key_hash);
	c[n++] = cell_text(d->hash_key);
	c[n++] = cell_text(d->range_key);
	c[n++] = cell_int(store_record_crc(d->record));
	c[n++] = cell_int(d->unfiltered);
	c[n++] = cell_text(d->reason);
	c[n++] = cell_int(d->first_us);
	c[n++] = cell_int(d->attempts);
	c[n++] = cell_int(d->last_us);
	c[n++] = cell_text(d->superseded);
	return n;
}

static unsigned
op_cells(const struct txn_op *op, struct cell *c)
{
	unsigned n = 0;

	switch (op->kind) {
	case TXN_STREAM:
		c[n++] = cell_text(op->u.stream.arn);
		c[n++] = cell_text(op->u.stream.stream);
		c[n++] = cell_text(op->u.stream.table);
		c[n++] = cell_int(op->u.stream.first_seen_us);
		c[n++] = cell_int(op->u.stream.ended);
		return n;
	case TXN_SUBSCRIPTION:
		c[n++] = cell_text(op->u.subscription.arn);
		c[n++] = cell_text(op->u.subscription.sink);
		c[n++] = cell_int(op->u.subscription.begun_us);
		return n;
	case TXN_SHARD:
		c[n++] = cell_text(op->u.shard.arn);
		c[n++] = cell_text(op->u.shard.shard);
		c[n++] = cell_text(op->u.shard.parent);
		c[n++] = cell_seq(&op->u.shard.start);
		c[n++] = cell_int(op->u.shard.first_seen_us);
		return n;
	case TXN_POSITION:
		c[n++] = cell_text(op->u.position.arn);
		c[n++] = cell_text(op->u.position.shard);
		c[n++] = cell_text(op->u.position.sink);
		c[n++] = cell_text(pos_words[op->u.position.pos.kind]);
		c[n++] = cell_seq(&op->u.position.pos.seq);
		c[n++] = cell_int(op->u.position.pos.since_us);
		c[n++] = cell_int(op->u.position.updated_us);
		return n;
	case TXN_GAP:
		assert(op->u.gap.id <= INT64_MAX);
		c[n++] = cell_int((int64_t)op->u.gap.id);
		c[n++] = cell_text(op->u.gap.arn);
		c[n++] = cell_text(op->u.gap.shard);
		c[n++] = cell_text(op->u.gap.sink);
		c[n++] = cell_text(gap_reason_name(op->u.gap.reason));
		c[n++] = cell_text(gap_state_name(op->u.gap.state));
		c[n++] = cell_text(pos_words[op->u.gap.last_acked.kind]);
		c[n++] = cell_seq(&op->u.gap.last_acked.seq);
		c[n++] = cell_int(op->u.gap.last_acked.since_us);
		c[n++] = cell_seq(&op->u.gap.first_available);
		c[n++] = cell_int(op->u.gap.found_us);
		c[n++] = cell_int(op->u.gap.settled_us);
		return n;
	case TXN_DEAD_LETTER:
		return letter_cells(&op->u.dead_letter, c);
	case TXN_DROP_LETTER:
		c[n++] = cell_int((int64_t)op->u.dead_letter.id);
		return n;
	case TXN_SUPERSEDE:
		c[n++] = cell_int((int64_t)op->u.dead_letter.id);
		c[n++] = cell_text(op->u.dead_letter.superseded);
		return n;
	case TXN_FORGET_SHARD:
		c[n++] = cell_text(op->u.shard.arn);
		c[n++] = cell_text(op->u.shard.shard);
		return n;
	case TXN_DELETE_POSITION:
		c[n++] = cell_text(op->u.position.arn);
		c[n++] = cell_text(op->u.position.shard);
		c[n++] = cell_text(op->u.position.sink);
		return n;
	case TXN_DELETE_SUBSCRIPTION:
		c[n++] = cell_text(op->u.position.arn);
		c[n++] = cell_text(op->u.position.sink);
		return n;
	}
	return n;
}

/* --- writing --- */

static int
sql_err(const struct store_rows *r, int rc, const char *what, struct err *e)
{
	return store_file_err(r->db, r->path, rc, what, e);
}

static int
bind_cells(sqlite3_stmt *st, const struct cell *cells, unsigned n)
{
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < n && rc == SQLITE_OK; i++) {
		const struct cell *c = &cells[i];

		if (c->type == CELL_INT)
			rc = sqlite3_bind_int64(st, (int)i + 1, c->num);
		else if (c->type == CELL_TEXT)
			rc = sqlite3_bind_text64(
			    st, (int)i + 1, c->text.p, c->text.n, SQLITE_STATIC, SQLITE_UTF8);
		else
			rc = sqlite3_bind_null(st, (int)i + 1);
	}
	return rc;
}

static int
execute(struct store_rows *r, unsigned which, const struct cell *cells, unsigned n, struct err *e)
{
	const char *sql =
	    which < ROWS_TABLES ? store_tables[which].upsert : store_others[which - ROWS_TABLES];
	sqlite3_stmt **st = &r->stmt[which];
	int rc = SQLITE_OK;

	if (*st == NULL)
		rc = sqlite3_prepare_v3(r->db, sql, -1, SQLITE_PREPARE_PERSISTENT, st, NULL);
	if (rc == SQLITE_OK)
		rc = bind_cells(*st, cells, n);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(*st);
	if (rc != SQLITE_DONE)
		(void)sql_err(r, rc, "cannot write a row", e);
	(void)sqlite3_reset(*st); /* says again what step() said */
	(void)sqlite3_clear_bindings(*st);
	return rc == SQLITE_DONE ? 0 : -1;
}

static unsigned
stmt_of(enum txn_kind kind)
{
	switch (kind) {
	case TXN_STREAM:
		return STMT_UPSERT + ROWS_STREAM;
	case TXN_SUBSCRIPTION:
		return STMT_UPSERT + ROWS_SUBSCRIPTION;
	case TXN_SHARD:
		return STMT_UPSERT + ROWS_SHARD;
	case TXN_POSITION:
		return STMT_UPSERT + ROWS_POSITION;
	case TXN_GAP:
		return STMT_UPSERT + ROWS_GAP;
	case TXN_DEAD_LETTER:
		return STMT_UPSERT + ROWS_DEAD_LETTER;
	case TXN_FORGET_SHARD:
		return STMT_DELETE_SHARD;
	case TXN_DELETE_POSITION:
		return STMT_DELETE_POSITION;
	case TXN_DELETE_SUBSCRIPTION:
		return STMT_DELETE_SUBSCRIPTION;
	case TXN_DROP_LETTER:
		return STMT_DROP_LETTER;
	case TXN_SUPERSEDE:
		return STMT_SUPERSEDE;
	}
	return STMT_COUNT;
}

int
store_rows_write(struct store_rows *r, const struct txn_op *op, struct err *e)
{
	struct cell cells[STORE_CELLS];
	unsigned n = op_cells(op, cells);
	unsigned which = stmt_of(op->kind);

	assert(which < STMT_COUNT && n < STORE_CELLS - 2);
	if (which < ROWS_TABLES) {
		assert(n == strlen(store_tables[which].types));
		cells[n++] = cell_int(store_cells_crc(cells, store_guarded(which, cells)));
	}
	if (which == STMT_UPSERT + ROWS_DEAD_LETTER) {
		assert(op->u.dead_letter.id > 0 && op->u.dead_letter.id <= INT64_MAX);
		cells[n++] = cell_int((int64_t)op->u.dead_letter.id);
		cells[n++] = cell_slice(op->u.dead_letter.record);
	}
	if (which == STMT_DELETE_SHARD && execute(r, STMT_DELETE_SHARD_POSITIONS, cells, n, e) != 0)
		return -1;
	return execute(r, which, cells, n, e);
}

/* --- loading --- */

void
store_cells_read(sqlite3_stmt *st, struct cell *cells, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int col = (int)i;

		switch (sqlite3_column_type(st, col)) {
		case SQLITE_INTEGER:
			cells[i] = cell_int(sqlite3_column_int64(st, col));
			break;
		case SQLITE_TEXT: {
			const unsigned char *p = sqlite3_column_text(st, col);
			int bytes = sqlite3_column_bytes(st, col);

			cells[i] = cell_slice((struct slice){(const char *)p, (size_t)bytes});
			break;
		}
		default:
			cells[i] = (struct cell){.type = CELL_NULL};
		}
	}
}

static bool
word_of(const struct cell *c, const char *const *words, size_t count, unsigned *out)
{
	for (size_t i = 0; i < count; i++) {
		if (c->type == CELL_TEXT && slice_is(c->text, words[i])) {
			*out = (unsigned)i;
			return true;
		}
	}
	return false;
}

static bool
seq_of(const struct cell *c, struct seq *out)
{
	out->n = 0;
	return c->text.n == 0 || seq_parse(c->text, out);
}

static bool
pos_of(const struct cell *kind, const struct cell *seq, const struct cell *since, struct pos *out)
{
	unsigned k;

	*out = (struct pos){0};
	if (!word_of(kind, pos_words, ARRAY_LEN(pos_words), &k) || !seq_of(seq, &out->seq))
		return false;
	out->kind = (enum pos_kind)k;
	out->since_us = since->num;
	return k != POS_AFTER || seq_is_set(&out->seq);
}

static bool
gap_of(const struct cell *c, struct gap *g)
{
	const char *reasons[GAP_REFUSED + 1], *states[GAP_ACCEPTED + 1];
	unsigned reason, state;

	for (unsigned i = 0; i < ARRAY_LEN(reasons); i++)
		reasons[i] = gap_reason_name((enum gap_reason)i);
	for (unsigned i = 0; i < ARRAY_LEN(states); i++)
		states[i] = gap_state_name((enum gap_state)i);
	if (!word_of(&c[4], reasons, ARRAY_LEN(reasons), &reason) ||
	    !word_of(&c[5], states, ARRAY_LEN(states), &state) ||
	    !pos_of(&c[6], &c[7], &c[8], &g->last_acked) || !seq_of(&c[9], &g->first_available))
		return false;
	g->id = (uint64_t)c[0].num;
	g->arn = c[1].text.p;
	g->shard = c[2].text.p;
	g->sink = c[3].text.p;
	g->reason = (enum gap_reason)reason;
	g->state = (enum gap_state)state;
	g->found_us = c[10].num;
	g->settled_us = c[11].num;
	return true;
}

bool
store_letter_of(const struct cell *c, uint64_t id, struct dead_letter *d)
{
	*d = (struct dead_letter){
	    .id = id,
	    .arn = c[0].text.p,
	    .shard = c[1].text.p,
	    .sink = c[2].text.p,
	    .stream = c[4].text.p,
	    .event_id = c[5].text,
	    .key = c[6].text.p,
	    .key_hash = (uint64_t)c[7].num,
	    .hash_key = c[8].text.p,
	    .range_key = c[9].text.p,
	    .unfiltered = c[11].num != 0,
	    .reason = c[12].text.p,
	    .first_us = c[13].num,
	    .attempts = (unsigned)c[14].num,
	    .last_us = c[15].num,
	    .superseded = c[16].text.p,
	};
	return seq_of(&c[3], &d->seq) && (c[11].num == 0 || c[11].num == 1) && c[14].num >= 0 &&
	    c[14].num <= UINT32_MAX && id > 0 && (c[16].text.n == 0 || version_valid(c[16].text));
}

/* False: the row passed its crc and is still not one of ours. */
static bool
visit(const struct store_visitor *v, unsigned table, const struct cell *c, uint64_t id)
{
	switch (table) {
	case ROWS_STREAM:
		v->stream(v->ctx,
		    &(struct stream_row){
			c[0].text.p, c[1].text.p, c[2].text.p, c[3].num, c[4].num != 0});
		return true;
	case ROWS_SUBSCRIPTION:
		v->subscription(
		    v->ctx, &(struct subscription_row){c[0].text.p, c[1].text.p, c[2].num});
		return true;
	case ROWS_SHARD: {
		struct shard_row r = {.arn = c[0].text.p,
		    .shard = c[1].text.p,
		    .parent = c[2].text.p,
		    .first_seen_us = c[4].num};

		if (!seq_of(&c[3], &r.start))
			return false;
		v->shard(v->ctx, &r);
		return true;
	}
	case ROWS_POSITION: {
		struct position_row r = {.arn = c[0].text.p,
		    .shard = c[1].text.p,
		    .sink = c[2].text.p,
		    .updated_us = c[6].num};

		if (!pos_of(&c[3], &c[4], &c[5], &r.pos))
			return false;
		v->position(v->ctx, &r);
		return true;
	}
	case ROWS_GAP: {
		struct gap g;

		if (!gap_of(c, &g))
			return false;
		v->gap(v->ctx, &g);
		return true;
	}
	default: {
		struct dead_letter d;

		if (!store_letter_of(c, id, &d))
			return false;
		v->dead_letter(v->ctx, &d);
		return true;
	}
	}
}

static bool
wanted(const struct store_visitor *v, unsigned table)
{
	const bool has[ROWS_TABLES] = {
	    [ROWS_STREAM] = v->stream != NULL,
	    [ROWS_SUBSCRIPTION] = v->subscription != NULL,
	    [ROWS_SHARD] = v->shard != NULL,
	    [ROWS_POSITION] = v->position != NULL,
	    [ROWS_GAP] = v->gap != NULL,
	    [ROWS_DEAD_LETTER] = v->dead_letter != NULL,
	};

	return has[table];
}

/* Our crc over columns of other types would be no mistake but an attack. */
static bool
types_fit(const struct cell *c, const char *types)
{
	for (; *types != '\0'; types++, c++)
		if (c->type != (*types == 'I' ? CELL_INT : CELL_TEXT) &&
		    (*types != 't' || c->type != CELL_NULL))
			return false;
	return true;
}

int
store_row_damaged(const struct store_rows *r, unsigned table, const struct cell *c, struct err *e)
{
	/* Of (arn, shard, sink), the second tells rows of one file apart best. */
	struct slice name = table == ROWS_GAP ? c[2].text : c[1].text;

	return err_set(e, ERR_CORRUPT,
	    "store: %.200s: a row of table %s is damaged or was changed by hand (the one of"
	    " '%.*s'); restore the file from a backup, or delete that row with sqlite3",
	    r->path, store_table_names[table], (int)(name.n < 65 ? name.n : 65),
	    name.p != NULL ? name.p : "");
}

static int
load_row(struct store_rows *r, unsigned table, sqlite3_stmt *st, const struct store_visitor *v,
    struct err *e)
{
	const struct store_table *t = &store_tables[table];
	unsigned n = (unsigned)strlen(t->types);
	struct cell cells[STORE_CELLS];
	uint64_t id = 0;

	store_cells_read(st, cells, n + 1);
	if (sqlite3_errcode(r->db) == SQLITE_NOMEM)
		return sql_err(r, SQLITE_NOMEM, "cannot read rows", e);
	if (table == ROWS_DEAD_LETTER)
		id = (uint64_t)sqlite3_column_int64(st, (int)n + 1);
	if (store_cells_crc(cells, store_guarded(table, cells)) != cells[n].num ||
	    !types_fit(cells, t->types) || !visit(v, table, cells, id))
		return store_row_damaged(r, table, cells, e);
	return 0;
}

static int
load_table(struct store_rows *r, unsigned table, const struct store_visitor *v, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int ret = 0;
	int rc = sqlite3_prepare_v2(r->db, store_tables[table].select, -1, &st, NULL);

	if (rc == SQLITE_OK) {
		while (ret == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
			ret = load_row(r, table, st, v, e);
		if (ret == 0 && rc == SQLITE_DONE)
			rc = SQLITE_OK;
	}
	if (ret == 0 && rc != SQLITE_OK)
		ret = sql_err(r, rc, "cannot read rows", e);
	(void)sqlite3_finalize(st);
	return ret;
}

static int
load_last_letter(struct store_rows *r, const struct store_visitor *v, struct err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(r->db,
	    "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'dead_letters'", -1,
	    &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		v->last_dead_letter(v->ctx, (uint64_t)sqlite3_column_int64(st, 0));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : sql_err(r, rc, "cannot read rows", e);
}

int
store_rows_load(struct store_rows *r, const struct store_visitor *v, struct err *e)
{
	if (v->last_dead_letter != NULL && load_last_letter(r, v, e) != 0)
		return -1;
	for (unsigned table = 0; table < ROWS_TABLES; table++)
		if (wanted(v, table) && load_table(r, table, v, e) != 0)
			return -1;
	return 0;
}

void
store_rows_close(struct store_rows *r)
{
	for (unsigned i = 0; i < STMT_COUNT; i++)
		(void)sqlite3_finalize(r->stmt[i]);
}
