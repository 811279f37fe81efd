/* checkpoint/store_upgrade.c - an older file becomes one of our format, in
 * place and in one transaction: before or after, never between.
 *
 *   1 -> 3   dead letters know their item (canonical key), and what superseded them
 *   2 -> 3   ... and whether a filter refused them, not their sink
 *
 * Format 1 did not keep the key schema. Its keys are written by the names of their
 * attributes, as key_write() does where it knows none; its sinks (audit, stdout) keep a
 * history, so nothing is ever decided by them.
 *
 * Threading: the loop thread, before the store's thread exists.
 */
#include "checkpoint/store_priv.h"

#include <stdio.h>

#include "base/log.h"
#include "record/key.h"

static int
sql_err(sqlite3 *db, const char *path, int rc, struct err *e)
{
	return store_file_err(db, path, rc, "cannot be brought up to this version", e);
}

static int
exec(sqlite3 *db, const char *path, const char *sql, struct err *e)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : sql_err(db, path, rc, e);
}

/* "" when the record is none that can be read. */
static void
key_of(struct slice record, struct buf *out)
{
	struct page *page = NULL;
	struct err e;

	buf_reset(out);
	if (page_of_records(&page, &record, 1, &e) != 0)
		return;
	if (page->count == 1)
		key_write(&page->records[0], NULL, out);
	page_unref(page);
}

/* arn shard sink sequence stream event_id record reason first_us | attempts last_us crc id */
static int
convert(struct store_rows *to, sqlite3_stmt *st, struct err *e)
{
	struct cell c[STORE_CELLS];
	struct buf key = BUF_INIT(1 << 20);
	struct txn *t;
	struct dead_letter d;
	int ret = 0;

	store_cells_read(st, c, 13);
	if (store_cells_crc(c, 9) != c[11].num)
		return store_row_damaged(to, ROWS_DEAD_LETTER, c, e);
	d = (struct dead_letter){.id = (uint64_t)c[12].num,
	    .arn = c[0].text.p,
	    .shard = c[1].text.p,
	    .sink = c[2].text.p,
	    .stream = c[4].text.p,
	    .event_id = c[5].text,
	    .record = c[6].text,
	    .reason = c[7].text.p,
	    .first_us = c[8].num,
	    .attempts = (unsigned)c[9].num,
	    .last_us = c[10].num};
	(void)seq_parse(c[3].text, &d.seq);
	key_of(d.record, &key);
	d.key = buf_cstr(&key);
	d.key_hash = key_hash(buf_slice(&key));
	t = txn_new();
	txn_dead_letter(t, &d);
	ret = txn_failed(t) ? err_retry(e, ERR_NOMEM, "store: out of memory")
			    : store_rows_write(to, txn_first(t), e);
	txn_close(t);
	buf_close(&key);
	return ret;
}

static int
convert_letters(sqlite3 *db, const char *path, struct err *e)
{
	struct store_rows to = {.db = db, .path = path};
	sqlite3_stmt *st = NULL;
	int ret = 0;
	int rc = sqlite3_prepare_v2(db,
	    "SELECT arn, shard, sink, sequence, stream, event_id, record, reason, first_us,"
	    " attempts, last_us, crc, id FROM dead_letters_1 ORDER BY id",
	    -1, &st, NULL);

	if (rc == SQLITE_OK)
		while (ret == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
			ret = convert(&to, st, e);
	if (ret == 0 && rc != SQLITE_DONE)
		ret = sql_err(db, path, rc, e);
	(void)sqlite3_finalize(st);
	store_rows_close(&to);
	return ret;
}

/* The table of letters as it is now, beside the one there was. */
static int
new_letters(sqlite3 *db, const char *path, struct err *e)
{
	if (exec(db, path,
		"DROP VIEW dead_letters_readable;"
		"ALTER TABLE dead_letters RENAME TO dead_letters_1",
		e) != 0 ||
	    exec(db, path, store_schema_letters, e) != 0)
		return -1;
	/* An id that was given is not given again. */
	return exec(db, path,
	    "INSERT INTO sqlite_sequence (name, seq) SELECT 'dead_letters', seq"
	    " FROM sqlite_sequence WHERE name = 'dead_letters_1'",
	    e);
}

/* A column more, before the record: it must be rewritten for that. Checksums hold. */
static int
copy_letters(sqlite3 *db, const char *path, struct err *e)
{
#define HEAD_1                                                                                     \
	"id, arn, shard, sink, sequence, stream, event_id, key, key_hash, hash_key, range_key,"    \
	" record_crc, "
#define HEAD_2 "reason, first_us, attempts, last_us, superseded, crc, record"
	return exec(db, path,
	    "INSERT INTO dead_letters (" HEAD_1 "unfiltered, " HEAD_2 ") SELECT " HEAD_1
	    "0, " HEAD_2 " FROM dead_letters_1 ORDER BY id",
	    e);
}

int
store_upgrade(sqlite3 *db, const char *path, int64_t version, struct err *e)
{
	int ret = exec(db, path, "BEGIN IMMEDIATE", e);

	if (ret == 0)
		ret = new_letters(db, path, e);
	if (ret == 0)
		ret = version == 1 ? convert_letters(db, path, e) : copy_letters(db, path, e);
	if (ret == 0)
		ret = exec(db, path, "DROP TABLE dead_letters_1; PRAGMA user_version = 3", e);
	if (ret == 0)
		ret = exec(db, path, "COMMIT", e);
	if (ret != 0 && sqlite3_get_autocommit(db) == 0)
		(void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	if (ret == 0)
		log_info("store", path, "brought up to this version's format from=%lld",
		    (long long)version);
	return ret;
}
