/* checkpoint/store_tables.c - the tables of the SQLite store, in SQL.
 *
 * Names, units and texts are chosen for the operator who looks in with the
 * sqlite3 shell: words instead of numbers, sequence numbers as text, times in
 * microseconds with a *_readable view beside each table that has some.
 *
 * A change here is a new format: raise FORMAT in store_file.c and say there
 * how an older file is brought up to it.
 */
#include "checkpoint/store_priv.h"

const char *const store_table_names[ROWS_TABLES] = {
    [ROWS_STREAM] = "streams",
    [ROWS_SUBSCRIPTION] = "subscriptions",
    [ROWS_SHARD] = "shards",
    [ROWS_POSITION] = "positions",
    [ROWS_GAP] = "gaps",
    [ROWS_DEAD_LETTER] = "dead_letters",
};

#define READABLE(column) "strftime('%Y-%m-%dT%H:%M:%fZ', " column " / 1e6, 'unixepoch')"

const char store_schema[] =
    "CREATE TABLE streams ("
    "arn TEXT NOT NULL, stream TEXT NOT NULL, table_name TEXT NOT NULL,"
    "first_seen_us INTEGER NOT NULL, ended INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "PRIMARY KEY (arn)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE subscriptions ("
    "arn TEXT NOT NULL, sink TEXT NOT NULL, begun_us INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "PRIMARY KEY (arn, sink)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE shards ("
    "arn TEXT NOT NULL, shard TEXT NOT NULL, parent TEXT NOT NULL, start_sequence TEXT,"
    "first_seen_us INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "PRIMARY KEY (arn, shard)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE positions ("
    "arn TEXT NOT NULL, shard TEXT NOT NULL, sink TEXT NOT NULL, kind TEXT NOT NULL,"
    "sequence TEXT, since_us INTEGER NOT NULL, updated_us INTEGER NOT NULL, crc INTEGER NOT NULL,"
    "PRIMARY KEY (arn, shard, sink)) STRICT, WITHOUT ROWID;"

    "CREATE TABLE gaps ("
    "id INTEGER PRIMARY KEY, arn TEXT NOT NULL, shard TEXT NOT NULL, sink TEXT NOT NULL,"
    "reason TEXT NOT NULL, state TEXT NOT NULL, last_acked_kind TEXT NOT NULL,"
    "last_acked_sequence TEXT, last_acked_since_us INTEGER NOT NULL, first_available TEXT,"
    "found_us INTEGER NOT NULL, settled_us INTEGER NOT NULL, crc INTEGER NOT NULL) STRICT;"

    "CREATE VIEW positions_readable AS SELECT arn, shard, sink, kind, sequence,"
    "CASE since_us WHEN 0 THEN NULL ELSE " READABLE("since_us") " END AS since," READABLE(
	"updated_us") " AS updated FROM positions;"

		      "CREATE VIEW gaps_readable AS SELECT id, arn, shard, sink, reason, state, "
		      "last_acked_kind,"
		      "last_acked_sequence, first_available, " READABLE(
			  "found_us") " AS found,"
				      "CASE settled_us WHEN 0 THEN NULL ELSE " READABLE(
					  "settled_us") " END AS settled FROM gaps;"

							"";

/* The record comes last: SQLite then reads the other columns without
 * following the pages that it fills. */
const char store_schema_letters[] =
    "CREATE TABLE dead_letters ("
    "id INTEGER PRIMARY KEY AUTOINCREMENT, arn TEXT NOT NULL, shard TEXT NOT NULL,"
    "sink TEXT NOT NULL, sequence TEXT NOT NULL, stream TEXT NOT NULL, event_id TEXT,"
    "key TEXT NOT NULL, key_hash INTEGER NOT NULL, hash_key TEXT NOT NULL,"
    "range_key TEXT NOT NULL, record_crc INTEGER NOT NULL, unfiltered INTEGER NOT NULL,"
    "reason TEXT NOT NULL,"
    "first_us INTEGER NOT NULL, attempts INTEGER NOT NULL, last_us INTEGER NOT NULL,"
    "superseded TEXT NOT NULL, crc INTEGER NOT NULL, record TEXT,"
    "UNIQUE (arn, shard, sink, sequence)) STRICT;"

    "CREATE VIEW dead_letters_readable AS SELECT id, stream, shard, sink, sequence, event_id,"
    "key, reason, unfiltered, attempts," READABLE("first_us") " AS first," READABLE(
	"last_us") " AS last, superseded, length(CAST(record AS BLOB)) AS record_bytes"
		   " FROM dead_letters;";

const struct store_table store_tables[ROWS_TABLES] = {
    [ROWS_STREAM] =
	{
	    .select = "SELECT arn, stream, table_name, first_seen_us, ended, crc FROM streams",
	    .upsert = "INSERT OR REPLACE INTO streams VALUES (?,?,?,?,?,?)",
	    .types = "TTTII",
	    .guarded = 5,
	},
    [ROWS_SUBSCRIPTION] =
	{
	    .select = "SELECT arn, sink, begun_us, crc FROM subscriptions",
	    .upsert = "INSERT OR REPLACE INTO subscriptions VALUES (?,?,?,?)",
	    .types = "TTI",
	    .guarded = 3,
	},
    [ROWS_SHARD] =
	{
	    .select = "SELECT arn, shard, parent, start_sequence, first_seen_us, crc FROM shards",
	    .upsert = "INSERT OR REPLACE INTO shards VALUES (?,?,?,?,?,?)",
	    .types = "TTTtI",
	    .guarded = 5,
	},
    [ROWS_POSITION] =
	{
	    .select = "SELECT arn, shard, sink, kind, sequence, since_us, updated_us, crc"
		      " FROM positions",
	    .upsert = "INSERT OR REPLACE INTO positions VALUES (?,?,?,?,?,?,?,?)",
	    .types = "TTTTtII",
	    .guarded = 7,
	},
    [ROWS_GAP] =
	{
	    .select = "SELECT id, arn, shard, sink, reason, state, last_acked_kind,"
		      " last_acked_sequence, last_acked_since_us, first_available, found_us,"
		      " settled_us, crc FROM gaps ORDER BY id",
	    .upsert = "INSERT OR REPLACE INTO gaps VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
	    .types = "ITTTTTTtItII",
	    .guarded = 12,
	},
    /* A letter that comes again changes nothing that is under its crc. The record is not
     * under it but has its own, so that heads can be checked without reading records.
     * `unfiltered` is when it is set (store_guarded()): rows of format 2 had none. */
    [ROWS_DEAD_LETTER] =
	{
	    .select = "SELECT arn, shard, sink, sequence, stream, event_id, key, key_hash,"
		      " hash_key, range_key, record_crc, unfiltered, reason, first_us, attempts,"
		      " last_us, superseded, crc, id FROM dead_letters ORDER BY id",
	    .upsert = "INSERT INTO dead_letters (arn, shard, sink, sequence, stream, event_id,"
		      " key, key_hash, hash_key, range_key, record_crc, unfiltered, reason,"
		      " first_us, attempts, last_us, superseded, crc, id, record)"
		      " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
		      " ON CONFLICT (arn, shard, sink, sequence) DO UPDATE SET"
		      " attempts = attempts + excluded.attempts, reason = excluded.reason,"
		      " last_us = excluded.last_us",
	    .types = "TTTTTtTITTIITIIIT",
	    .guarded = 11,
	},
};

const char *const store_others[STMT_COUNT - ROWS_TABLES] = {
    [STMT_DELETE_SHARD - ROWS_TABLES] = "DELETE FROM shards WHERE arn = ? AND shard = ?",
    [STMT_DELETE_SHARD_POSITIONS - ROWS_TABLES] = "DELETE FROM positions"
						  " WHERE arn = ? AND shard = ?",
    [STMT_DELETE_POSITION - ROWS_TABLES] = "DELETE FROM positions"
					   " WHERE arn = ? AND shard = ? AND sink = ?",
    [STMT_DELETE_SUBSCRIPTION - ROWS_TABLES] = "DELETE FROM subscriptions"
					       " WHERE arn = ? AND sink = ?",
    [STMT_DROP_LETTER - ROWS_TABLES] = "DELETE FROM dead_letters WHERE id = ?",
    [STMT_SUPERSEDE - ROWS_TABLES] = "UPDATE dead_letters SET superseded = ?2 WHERE id = ?1",
};
