/* checkpoint/store_letters.c - the dead letters that somebody asks for.
 *
 * A scan by id over the heads of rows; letter_fits() decides, and only then is
 * the record read, which may lie on many pages of its own. 100,000 heads, what
 * `dead-letters.max-count` lets a sink have, are a matter of a tenth of a second
 * on the store's thread: no index is kept for questions that few ask.
 *
 * Threading: whoever holds the connection.
 */
#include "checkpoint/store_priv.h"

#include <stdio.h>

#include "checkpoint/letters.h"

#define HEAD_CELLS 18 /* up to the crc */
#define COLUMN_ID 18
#define COLUMN_RECORD 19

struct scan {
	struct store_rows *rows;
	const struct letter_query *q;
	void (*each)(void *ctx, const struct dead_letter *d);
	void *ctx;
	size_t count, bytes;
};

static int
read_record(struct scan *sc, sqlite3_stmt *st, const struct cell *cells, struct dead_letter *d,
    struct err *e)
{
	const unsigned char *p = sqlite3_column_text(st, COLUMN_RECORD);
	int n = sqlite3_column_bytes(st, COLUMN_RECORD);

	if (p == NULL && sqlite3_errcode(sc->rows->db) == SQLITE_NOMEM)
		return store_file_err(
		    sc->rows->db, sc->rows->path, SQLITE_NOMEM, "cannot read rows", e);
	d->record = (struct slice){(const char *)p, p != NULL ? (size_t)n : 0};
	if (store_record_crc(d->record) != cells[10].num)
		return store_row_damaged(sc->rows, ROWS_DEAD_LETTER, cells, e);
	return 0;
}

static int
look_at(struct scan *sc, sqlite3_stmt *st, struct err *e)
{
	struct cell cells[STORE_CELLS];
	struct dead_letter d;

	store_cells_read(st, cells, HEAD_CELLS);
	if (store_cells_crc(cells, store_guarded(ROWS_DEAD_LETTER, cells)) !=
		cells[HEAD_CELLS - 1].num ||
	    !store_letter_of(cells, (uint64_t)sqlite3_column_int64(st, COLUMN_ID), &d))
		return store_row_damaged(sc->rows, ROWS_DEAD_LETTER, cells, e);
	if (!letter_fits(sc->q, &d))
		return 0;
	if (!sc->q->heads && read_record(sc, st, cells, &d, e) != 0)
		return -1;
	sc->count++;
	sc->bytes += d.record.n;
	sc->each(sc->ctx, &d);
	return 0;
}

static bool
enough(const struct scan *sc)
{
	return (sc->q->limit != 0 && sc->count >= sc->q->limit) ||
	    (sc->q->bytes != 0 && sc->bytes >= sc->q->bytes);
}

int
store_rows_letters(struct store_rows *r, const struct letter_query *q,
    void (*each)(void *ctx, const struct dead_letter *d), void *ctx, struct err *e)
{
	static const char sql[] =
	    "SELECT arn, shard, sink, sequence, stream, event_id, key, key_hash, hash_key,"
	    " range_key, record_crc, unfiltered, reason, first_us, attempts, last_us,"
	    " superseded, crc, id, record FROM dead_letters WHERE id > ?1 AND id <= ?2 ORDER BY id";
	struct scan sc = {.rows = r, .q = q, .each = each, .ctx = ctx};
	sqlite3_stmt *st = NULL;
	int ret = 0;
	int rc = sqlite3_prepare_v2(r->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, (sqlite3_int64)q->after);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, q->upto != 0 ? (sqlite3_int64)q->upto : INT64_MAX);
	if (rc == SQLITE_OK) {
		while (ret == 0 && !enough(&sc) && (rc = sqlite3_step(st)) == SQLITE_ROW)
			ret = look_at(&sc, st, e);
		if (rc == SQLITE_DONE || rc == SQLITE_ROW)
			rc = SQLITE_OK;
	}
	if (ret == 0 && rc != SQLITE_OK)
		ret = store_file_err(r->db, r->path, rc, "cannot read rows", e);
	(void)sqlite3_finalize(st);
	return ret;
}
