/* sinks/sqlite_ddl.c - see sqlite_table.h: names, CREATE statements, and whether
 * a table that is there fits.
 *
 * numeric has no declared type. Every type that speaks of numbers gives a column
 * an affinity that turns a text of 38 digits into a double, and TEXT sorts 10 before 9;
 * without a type SQLite keeps what it is given: an integer, a double where that
 * is exact, else the text (sqlite_table.c).
 */
#include "sinks/sqlite_table.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "sinks/route.h"
#include "sinks/template.h"

static const struct rows_dialect dialect = {
    .types =
	{
	    [COLUMN_TEXT] = "TEXT",
	    [COLUMN_NUMERIC] = "",
	    [COLUMN_BIGINT] = "INTEGER",
	    [COLUMN_BOOLEAN] = "INTEGER",
	    [COLUMN_TIMESTAMPTZ] = "TEXT",
	    [COLUMN_BYTEA] = "BLOB",
	    [COLUMN_JSONB] = "TEXT",
	},
    .ordered = "TEXT",
};

/* What SQLite does to a value on its way into a column; by the declared type
 * ("Datatypes In SQLite", section 3.1). */
enum affinity { AFFINITY_TEXT, AFFINITY_BLOB, AFFINITY_INTEGER, AFFINITY_REAL, AFFINITY_NUMERIC };
#define BIT(a) (1u << (a))

static const unsigned fitting[COLUMN_TYPES] = {
    [COLUMN_TEXT] = BIT(AFFINITY_TEXT) | BIT(AFFINITY_BLOB),
    [COLUMN_NUMERIC] = BIT(AFFINITY_BLOB) | BIT(AFFINITY_TEXT),
    [COLUMN_BIGINT] = BIT(AFFINITY_INTEGER) | BIT(AFFINITY_NUMERIC) | BIT(AFFINITY_BLOB),
    [COLUMN_BOOLEAN] = BIT(AFFINITY_INTEGER) | BIT(AFFINITY_NUMERIC) | BIT(AFFINITY_BLOB),
    [COLUMN_TIMESTAMPTZ] = BIT(AFFINITY_TEXT) | BIT(AFFINITY_BLOB),
    [COLUMN_BYTEA] = BIT(AFFINITY_BLOB) | BIT(AFFINITY_TEXT) | BIT(AFFINITY_NUMERIC),
    [COLUMN_JSONB] = BIT(AFFINITY_TEXT) | BIT(AFFINITY_BLOB),
};

/* ---- names ---- */

void
sqlite_table_name(const struct sqlite_conf *conf, const struct origin *o, struct buf *out)
{
	template_write(conf->table, NULL, o, out);
}

int
sqlite_table_check_name(const char *text, struct err *e)
{
	if (template_check(text, e) != 0)
		return err_prefix(e, "table");
	if (template_varies(text))
		return err_set(e, ERR_CONFIG,
		    "table: {event} would spread one item over several tables; {table} and "
		    "{stream} may"
		    " be used");
	if (strncasecmp(text, "sqlite_", 7) == 0 || strncasecmp(text, "slipring_", 9) == 0)
		return err_set(
		    e, ERR_CONFIG, "table: names that begin with sqlite_ or slipring_ are taken");
	return 0;
}

int
sqlite_table_check_route(struct slice route, struct err *e)
{
	if (route_check_table(route, SQLITE_NAME_MAX, e) != 0)
		return -1;
	if (route.n >= 7 && strncasecmp(route.p, "sqlite_", 7) == 0)
		return err_set(e, ERR_REFUSED,
		    "the route of this record begins with sqlite_, which SQLite keeps for itself");
	return 0;
}

static void
add_side(const struct sqlite_table *t, const char *tail, struct buf *out)
{
	struct buf name = BUF_INIT(4096);

	rows_side_name(&name, t->name, SQLITE_TOMBSTONES, 0);
	buf_add_str(&name, tail);
	rows_add_name(out, buf_cstr(&name));
	buf_close(&name);
}

/* ---- CREATE ---- */

static void
add_tombstones(const struct sqlite_table *t, struct buf *out)
{
	buf_add_str(out, "CREATE TABLE IF NOT EXISTS ");
	add_side(t, "", out);
	buf_add_str(out,
	    " (\n\t\"key\" TEXT NOT NULL PRIMARY KEY,\n\t\"version\" TEXT NOT NULL,\n"
	    "\t\"deleted_at\" TEXT NOT NULL\n) WITHOUT ROWID;\nCREATE INDEX IF NOT EXISTS ");
	add_side(t, "_at", out);
	buf_add_str(out, " ON ");
	add_side(t, "", out);
	buf_add_str(out, " (\"deleted_at\");\n");
}

void
sqlite_table_ddl(const struct sqlite_table *t, struct buf *out)
{
	struct buf name = BUF_INIT(4096);

	rows_add_name(&name, t->name);
	rows_add_create(out, t->layout, buf_cstr(&name), &dialect);
	buf_add_str(out, ";\n");
	buf_close(&name);
	if (t->layout->mode == ROWS_TABLE)
		add_tombstones(t, out);
	buf_add_str(out,
	    "CREATE TABLE IF NOT EXISTS \"slipring_position\" (\n"
	    "\t\"sink\" TEXT NOT NULL,\n\t\"stream\" TEXT NOT NULL,\n\t\"shard\" TEXT NOT NULL,\n"
	    "\t\"sequence\" TEXT NOT NULL,\n\t\"written_at\" TEXT NOT NULL,\n"
	    "\tPRIMARY KEY (\"sink\", \"stream\", \"shard\")\n) WITHOUT ROWID;\n");
}

bool
sqlite_table_exists(sqlite3 *db, const char *name)
{
	return sqlite3_table_column_metadata(
		   db, "main", name, NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* ---- does it fit? ---- */

static bool
says(const char *type, const char *word)
{
	return strcasestr(type, word) != NULL;
}

static enum affinity
affinity_of(const char *type)
{
	if (type == NULL || type[0] == '\0')
		return AFFINITY_BLOB;
	if (says(type, "INT"))
		return AFFINITY_INTEGER;
	if (says(type, "CHAR") || says(type, "CLOB") || says(type, "TEXT"))
		return AFFINITY_TEXT;
	if (says(type, "BLOB"))
		return AFFINITY_BLOB;
	if (says(type, "REAL") || says(type, "FLOA") || says(type, "DOUB"))
		return AFFINITY_REAL;
	return AFFINITY_NUMERIC;
}

static void
complain(struct buf *why, const struct rows_column *c, const char *text)
{
	if (why->n != 0)
		buf_add_str(why, "; ");
	buf_addf(why, "column \"%.60s\" %s", c->name, text);
}

static void
check_column(struct sqlite_table *t, sqlite3 *db, size_t i, struct buf *why)
{
	const struct rows_column *c = &t->layout->columns[i];
	const char *type = NULL, *collation = NULL;
	enum affinity a;
	int pk = 0;

	if (sqlite3_table_column_metadata(
		db, "main", t->name, c->name, &type, &collation, NULL, &pk, NULL) != SQLITE_OK) {
		complain(why, c, "is missing");
		return;
	}
	a = affinity_of(type);
	t->number_as_text[i] = a == AFFINITY_TEXT;
	if ((fitting[c->type] & BIT(a)) == 0) {
		complain(why, c, "is ");
		buf_addf(why, "%.30s, which cannot hold %s", type, column_type_words[c->type]);
	}
	if (c->key && pk == 0)
		complain(why, c, "is not in the primary key");
	if ((c->key || c->ordered) && collation != NULL && strcasecmp(collation, "BINARY") != 0)
		complain(why, c, "does not compare as BINARY");
}

int
sqlite_table_fits(struct sqlite_table *t, sqlite3 *db, const char *path, struct err *e)
{
	struct buf why = BUF_INIT(4096);
	int r = 0;

	for (size_t i = 0; i < t->layout->count; i++)
		check_column(t, db, i, &why);
	if (why.n != 0)
		r = err_set(e, ERR_CONFIG, "sqlite: %.150s: table \"%.60s\" does not fit: %.240s",
		    path, t->name, buf_cstr(&why));
	buf_close(&why);
	return r;
}
