/* sinks/postgres_sql.c - see postgres_sql.h. */
#include "sinks/postgres_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sinks/postgres_array.h"
#include "sinks/template.h"

static const struct rows_dialect dialect = {
    .types = {[COLUMN_TEXT] = "text",
	[COLUMN_NUMERIC] = "numeric",
	[COLUMN_BIGINT] = "bigint",
	[COLUMN_BOOLEAN] = "boolean",
	[COLUMN_TIMESTAMPTZ] = "timestamptz",
	[COLUMN_BYTEA] = "bytea",
	[COLUMN_JSONB] = "jsonb"},
    .ordered = "text COLLATE \"C\"",
};

/* ---- names ---- */

/* The point between schema and table, outside of placeholders; NULL: none. */
static const char *
schema_end(const char *pattern)
{
	for (const char *p = pattern; *p != '\0'; p++) {
		if (*p == '.')
			return p;
		if (*p == '{' && (p = strchr(p, '}')) == NULL)
			return NULL;
	}
	return NULL;
}

static const char *
table_part(const char *pattern)
{
	const char *point = schema_end(pattern);

	return point != NULL ? point + 1 : pattern;
}

int
pg_table_check(const char *pattern, struct err *e)
{
	const char *point;

	if (template_check(pattern, e) != 0)
		return err_prefix(e, "table");
	if (template_varies(pattern))
		return err_set(e, ERR_CONFIG,
		    "table: {event} cannot be in it: all changes of an item go to one table");
	point = schema_end(pattern);
	if (point == NULL)
		return 0;
	if (point == pattern || point[1] == '\0' || memchr(pattern, '{', (size_t)(point - pattern)))
		return err_set(e, ERR_CONFIG,
		    "table: what stands before the point is a schema, and has no placeholders");
	if ((size_t)(point - pattern) > PG_NAME_MAX)
		return err_set(
		    e, ERR_CONFIG, "table: the schema's name is longer than %u bytes", PG_NAME_MAX);
	if (schema_end(point + 1) != NULL)
		return err_set(e, ERR_CONFIG,
		    "table: there is more than one point; it is SCHEMA.TABLE or TABLE");
	return 0;
}

void
pg_table_write(const struct pg_conf *c, const struct origin *o, struct buf *out)
{
	template_write(table_part(c->table), NULL, o, out);
}

char *
pg_schema_dup(const struct pg_conf *c)
{
	const char *point = schema_end(c->table);

	return point == NULL ? NULL
			     : mem_slicedup((struct slice){c->table, (size_t)(point - c->table)});
}

void
pg_add_side(struct buf *out, const char *schema, const char *name)
{
	if (schema != NULL) {
		rows_add_name(out, schema);
		buf_add_char(out, '.');
	}
	rows_add_name(out, name);
}

static char *
side_dup(const char *schema, const char *table, const char *suffix)
{
	struct buf name = BUF_INIT(PG_SQL_MAX), quoted = BUF_INIT(PG_SQL_MAX);
	char *text;

	if (suffix != NULL)
		rows_side_name(&name, table, suffix, PG_NAME_MAX);
	else
		buf_add_str(&name, table);
	pg_add_side(&quoted, schema, buf_cstr(&name));
	text = mem_strdup(buf_cstr(&quoted));
	buf_close(&name);
	buf_close(&quoted);
	return text;
}

/* ---- targets ---- */

void
pg_target_close(struct pg_target *t)
{
	if (t == NULL)
		return;
	rows_layout_close(t->layout);
	rows_keys_close(&t->keys);
	free(t->schema);
	free(t->table);
	free(t->name);
	free(t->tombs);
	free(t->tombs_at);
	free(t);
}

int
pg_target_new(struct pg_target **out, const struct pg_conf *c, unsigned id, struct slice table,
    struct rows_keys *keys, struct err *e)
{
	struct pg_target *t = mem_new(sizeof *t);

	*out = NULL;
	t->keys = *keys;
	*keys = (struct rows_keys){.count = 0};
	if (table.n > PG_NAME_MAX) {
		pg_target_close(t);
		return err_set(e, ERR_CONFIG,
		    "postgres: the name \"%.*s...\" is longer than the %u bytes that a table's can "
		    "have; name it with `table`",
		    (int)PG_NAME_MAX, table.p, PG_NAME_MAX);
	}
	t->id = id;
	t->table = mem_slicedup(table);
	t->schema = pg_schema_dup(c);
	t->name = side_dup(t->schema, t->table, NULL);
	if (c->mode == ROWS_TABLE) {
		t->tombs = side_dup(t->schema, t->table, "slipring_deleted");
		t->tombs_at = side_dup(NULL, t->table, "slipring_deleted_at");
	}
	if (rows_layout_new(&t->layout, (enum rows_mode)c->mode, ROWS_STRICT_TEXT, &c->columns,
		&t->keys, e) != 0) {
		(void)err_prefix(e, "postgres");
		pg_target_close(t);
		return -1;
	}
	*out = t;
	return 0;
}

/* ---- statements ---- */

static const char *const statement_words[PG_STATEMENTS] = {
    [PG_APPEND] = "append",
    [PG_REVIVE] = "revive",
    [PG_PUT] = "put",
    [PG_DELETE] = "delete",
    [PG_BURY] = "bury",
};

bool
pg_target_uses(const struct pg_target *t, enum pg_statement st)
{
	return (st == PG_APPEND) == (t->layout->mode == ROWS_LOG);
}

void
pg_target_statement(const struct pg_target *t, enum pg_statement st, char *out, size_t room)
{
	(void)snprintf(out, room, "%s%u", statement_words[st], t->id);
}

/* Those with whole rows; the others have keys and version, the last column. */
static bool
whole(enum pg_statement st)
{
	return st == PG_APPEND || st == PG_PUT;
}

size_t
pg_target_types(const struct pg_target *t, enum pg_statement st, Oid *types)
{
	size_t n = whole(st) ? t->layout->count : t->layout->key_count + 1;

	for (size_t i = 0; i < n; i++) {
		size_t column = i + 1 == n ? t->layout->count - 1 : i;

		types[i] = pg_array_type_of(t->layout->columns[column].type);
	}
	return n;
}

static void
add_keys_and_version(struct buf *out, const struct rows_layout *l, const char *prefix)
{
	rows_add_columns(out, l, prefix, true);
	buf_addf(out, ", %s\"" ROWS_VERSION "\"", prefix);
}

/* unnest($1::text[], ...) AS n("pk", ...) */
static void
add_unnest(struct buf *out, const struct pg_target *t, enum pg_statement st)
{
	const struct rows_layout *l = t->layout;
	size_t n = whole(st) ? l->count : l->key_count + 1;

	buf_add_str(out, "unnest(");
	for (size_t i = 0; i < n; i++) {
		size_t column = i + 1 == n ? l->count - 1 : i;

		buf_addf(out, "%s$%zu::%s[]", i != 0 ? ", " : "", i + 1,
		    dialect.types[l->columns[column].type]);
	}
	buf_add_str(out, ") AS n(");
	if (whole(st))
		rows_add_columns(out, l, "", false);
	else
		add_keys_and_version(out, l, "");
	buf_add_char(out, ')');
}

/* a."pk" = n."pk" AND ... */
static void
add_same_key(struct buf *out, const struct rows_layout *l, const char *alias)
{
	for (size_t i = 0; i < l->key_count; i++) {
		buf_addf(out, "%s%s.", i != 0 ? " AND " : "", alias);
		rows_add_name(out, l->columns[i].name);
		buf_add_str(out, " = n.");
		rows_add_name(out, l->columns[i].name);
	}
}

static void
add_append(struct buf *out, const struct pg_target *t)
{
	const struct rows_layout *l = t->layout;

	buf_addf(out, "INSERT INTO %s AS t (", t->name);
	rows_add_columns(out, l, "", false);
	buf_add_str(out, ") SELECT ");
	rows_add_columns(out, l, "n.", false);
	buf_add_str(out, " FROM ");
	add_unnest(out, t, PG_APPEND);
	buf_add_str(out, " ON CONFLICT (");
	rows_add_columns(out, l, "", true);
	buf_add_str(out, ") DO NOTHING");
}

static void
add_put(struct buf *out, const struct pg_target *t)
{
	const struct rows_layout *l = t->layout;

	buf_addf(out, "INSERT INTO %s AS t (", t->name);
	rows_add_columns(out, l, "", false);
	buf_add_str(out, ") SELECT ");
	rows_add_columns(out, l, "n.", false);
	buf_add_str(out, " FROM ");
	add_unnest(out, t, PG_PUT);
	buf_addf(out, " WHERE NOT EXISTS (SELECT FROM %s AS d WHERE ", t->tombs);
	add_same_key(out, l, "d");
	buf_add_str(out,
	    " AND d.\"" ROWS_VERSION "\" COLLATE \"C\" >= n.\"" ROWS_VERSION "\") ON CONFLICT (");
	rows_add_columns(out, l, "", true);
	buf_add_str(out, ") DO UPDATE SET ");
	rows_add_assignments(out, l);
	/* A row that somebody loaded has no version, and is older than any change. */
	buf_add_str(out,
	    " WHERE t.\"" ROWS_VERSION "\" IS NULL OR t.\"" ROWS_VERSION
	    "\" COLLATE \"C\" < excluded.\"" ROWS_VERSION "\"");
}

static void
add_revive(struct buf *out, const struct pg_target *t)
{
	buf_addf(out, "DELETE FROM %s AS d USING ", t->tombs);
	add_unnest(out, t, PG_REVIVE);
	buf_add_str(out, " WHERE ");
	add_same_key(out, t->layout, "d");
	buf_add_str(out, " AND d.\"" ROWS_VERSION "\" COLLATE \"C\" < n.\"" ROWS_VERSION "\"");
}

static void
add_delete(struct buf *out, const struct pg_target *t)
{
	buf_addf(out, "DELETE FROM %s AS t USING ", t->name);
	add_unnest(out, t, PG_DELETE);
	buf_add_str(out, " WHERE ");
	add_same_key(out, t->layout, "t");
	buf_add_str(out,
	    " AND (t.\"" ROWS_VERSION "\" IS NULL OR t.\"" ROWS_VERSION
	    "\" COLLATE \"C\" < n.\"" ROWS_VERSION "\")");
}

/* Behind the DELETE: a row that is still there is newer, and needs no tombstone. */
static void
add_bury(struct buf *out, const struct pg_target *t)
{
	const struct rows_layout *l = t->layout;

	buf_addf(out, "INSERT INTO %s AS d (", t->tombs);
	add_keys_and_version(out, l, "");
	buf_add_str(out, ", \"" PG_DELETED_AT "\") SELECT ");
	add_keys_and_version(out, l, "n.");
	buf_add_str(out, ", now() FROM ");
	add_unnest(out, t, PG_BURY);
	buf_addf(out, " WHERE NOT EXISTS (SELECT FROM %s AS t WHERE ", t->name);
	add_same_key(out, l, "t");
	buf_add_str(out, ") ON CONFLICT (");
	rows_add_columns(out, l, "", true);
	buf_add_str(out,
	    ") DO UPDATE SET \"" ROWS_VERSION "\" = excluded.\"" ROWS_VERSION "\", \"" PG_DELETED_AT
	    "\" = excluded.\"" PG_DELETED_AT "\" WHERE d.\"" ROWS_VERSION
	    "\" COLLATE \"C\" < excluded.\"" ROWS_VERSION "\"");
}

void
pg_target_sql(const struct pg_target *t, enum pg_statement st, struct buf *out)
{
	switch (st) {
	case PG_APPEND:
		add_append(out, t);
		break;
	case PG_REVIVE:
		add_revive(out, t);
		break;
	case PG_PUT:
		add_put(out, t);
		break;
	case PG_DELETE:
		add_delete(out, t);
		break;
	case PG_BURY:
		add_bury(out, t);
		break;
	case PG_STATEMENTS:
		break;
	}
}

/* ---- DDL ---- */

static void
add_tombs(struct buf *out, const struct pg_target *t)
{
	const struct rows_layout *l = t->layout;

	buf_addf(out, "CREATE TABLE IF NOT EXISTS %s (\n", t->tombs);
	for (size_t i = 0; i < l->key_count; i++) {
		buf_add_char(out, '\t');
		rows_add_name(out, l->columns[i].name);
		buf_addf(out, " %s NOT NULL,\n", dialect.types[l->columns[i].type]);
	}
	buf_addf(out,
	    "\t\"" ROWS_VERSION "\" %s NOT NULL,\n\t\"" PG_DELETED_AT
	    "\" timestamptz NOT NULL,\n\tPRIMARY KEY (",
	    dialect.ordered);
	rows_add_columns(out, l, "", true);
	buf_add_str(out, ")\n)");
}

bool
pg_target_ddl(const struct pg_target *t, unsigned at, struct buf *out)
{
	if (at == 0)
		rows_add_create(out, t->layout, t->name, &dialect);
	else if (t->tombs == NULL || at > 2)
		return false;
	else if (at == 1)
		add_tombs(out, t);
	else
		buf_addf(out, "CREATE INDEX IF NOT EXISTS %s ON %s (\"" PG_DELETED_AT "\")",
		    t->tombs_at, t->tombs);
	return true;
}

bool
pg_sink_ddl(const char *schema, unsigned at, struct buf *out)
{
	if (at > 1)
		return false;
	buf_add_str(out, "CREATE TABLE IF NOT EXISTS ");
	pg_add_side(out, schema, at == 0 ? "slipring_writer" : "slipring_position");
	if (at == 0)
		buf_add_str(out,
		    " (\n\tsink text PRIMARY KEY,\n\tepoch bigint NOT NULL,\n\thost text NOT "
		    "NULL,\n"
		    "\tpid integer NOT NULL,\n\tsince timestamptz NOT NULL\n)");
	else
		buf_add_str(out,
		    " (\n\tsink text NOT NULL,\n\tstream text NOT NULL,\n\tshard text NOT NULL,\n"
		    "\tworker integer NOT NULL,\n\tepoch bigint NOT NULL,\n\tsequence numeric NOT "
		    "NULL,\n"
		    "\tupdated timestamptz NOT NULL,\n\tPRIMARY KEY (sink, stream, shard, "
		    "worker)\n)");
	return true;
}

/* ---- do the tables that are there fit? ---- */

/* name, type without domains, modifier, "must be given a value" */
const char pg_describe_sql[] =
    "SELECT a.attname, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END::bigint, "
    "CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, a.attnotnull AND NOT "
    "a.atthasdef AND a.attidentity = '', "
    "pg_catalog.format_type(a.atttypid, a.atttypmod) "
    "FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid "
    "WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

static bool
type_fits(enum column_type want, unsigned type, int modifier)
{
	if (type == pg_type_of(want)) /* a scale or precision would round without a word */
		return modifier == -1 || (want != COLUMN_NUMERIC && want != COLUMN_TIMESTAMPTZ);
	return (want == COLUMN_TEXT && type == PG_VARCHAR) ||
	    (want == COLUMN_BIGINT && type == PG_NUMERIC && modifier == -1);
}

static int
row_of(const PGresult *res, const char *name)
{
	for (int i = 0; i < PQntuples(res); i++)
		if (strcmp(PQgetvalue(res, i, 0), name) == 0)
			return i;
	return -1;
}

static void
check_column(const PGresult *res, const char *name, enum column_type want, struct buf *wrong)
{
	int i = row_of(res, name);

	if (i >= 0 &&
	    type_fits(want, (unsigned)strtoul(PQgetvalue(res, i, 1), NULL, 10),
		(int)strtol(PQgetvalue(res, i, 2), NULL, 10)))
		return;
	if (wrong->n != 0)
		buf_add_str(wrong, "; ");
	rows_add_name(wrong, name);
	if (i < 0)
		buf_addf(wrong, " is missing (%s)", dialect.types[want]);
	else
		buf_addf(
		    wrong, " is %s and must be %s", PQgetvalue(res, i, 4), dialect.types[want]);
}

static bool
is_ours(const struct rows_layout *l, bool tombs, const char *name)
{
	if (tombs && strcmp(name, PG_DELETED_AT) == 0)
		return true;
	for (size_t i = 0; i < l->count; i++)
		if (strcmp(l->columns[i].name, name) == 0)
			return true;
	return false;
}

static void
check_others(const PGresult *res, const struct rows_layout *l, bool tombs, struct buf *wrong)
{
	for (int i = 0; i < PQntuples(res); i++) {
		if (PQgetvalue(res, i, 3)[0] != 't' || is_ours(l, tombs, PQgetvalue(res, i, 0)))
			continue;
		if (wrong->n != 0)
			buf_add_str(wrong, "; ");
		rows_add_name(wrong, PQgetvalue(res, i, 0));
		buf_add_str(wrong, " is NOT NULL, and nothing fills it");
	}
}

int
pg_target_fits(const struct pg_target *t, bool tombs, const PGresult *res, struct err *e)
{
	const struct rows_layout *l = t->layout;
	struct buf wrong = BUF_INIT(PG_SQL_MAX);
	int r = 0;

	if (PQntuples(res) == 0)
		return err_set(e, ERR_NOT_FOUND,
		    "postgres: there is no table %s; `slipring check --connect` prints how to "
		    "create "
		    "it, and with `create: true` the sink does so itself",
		    tombs ? t->tombs : t->name);
	for (size_t i = 0; i < l->count; i++)
		if (!tombs || i < l->key_count || i + 1 == l->count)
			check_column(res, l->columns[i].name, l->columns[i].type, &wrong);
	if (tombs)
		check_column(res, PG_DELETED_AT, COLUMN_TIMESTAMPTZ, &wrong);
	check_others(res, l, tombs, &wrong);
	if (wrong.n != 0)
		r = err_set(e, ERR_CONFIG, "postgres: table %s does not fit: %.380s",
		    tombs ? t->tombs : t->name, buf_cstr(&wrong));
	buf_close(&wrong);
	return r;
}

/* ---- of a session and of a sink ---- */

/* Plans are made once, for any number of rows, and by index: the tables grow, and an
 * array's length is not known when a plan is made. synchronous_commit is only ever
 * made stronger. */
const char pg_session_sql[] =
    "SELECT set_config('statement_timeout', $1, false), "
    "set_config('idle_in_transaction_session_timeout', '60s', false), "
    "set_config('plan_cache_mode', 'force_generic_plan', false), "
    "set_config('enable_seqscan', 'off', false), set_config('enable_hashjoin', 'off', false), "
    "set_config('enable_mergejoin', 'off', false), set_config('jit', 'off', false), "
    "CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') "
    "THEN set_config('synchronous_commit', 'on', false) END";

const char *const pg_fixed_names[PG_FIXED] = {
    [PG_FIX_BEGIN] = "begin",
    [PG_FIX_LOCK] = "lock",
    [PG_FIX_FENCE] = "fence",
    [PG_FIX_POSITION] = "position",
    [PG_FIX_COMMIT] = "commit",
};

/* The division makes the server itself refuse what a fenced writer sent along. */
static void
add_fence(struct buf *out, const char *schema)
{
	buf_add_str(out, "SELECT 1 / count(*) FROM ");
	pg_add_side(out, schema, "slipring_writer");
	buf_add_str(out, " WHERE sink = $1::text AND epoch = $2::bigint");
}

static void
add_position(struct buf *out, const char *schema)
{
	buf_add_str(out, "INSERT INTO ");
	pg_add_side(out, schema, "slipring_position");
	buf_add_str(out,
	    " AS p (sink, stream, shard, worker, epoch, sequence, updated) "
	    "SELECT $1::text, n.stream, n.shard, $2::integer, $3::bigint, n.sequence::numeric, "
	    "now() "
	    "FROM unnest($4::text[], $5::text[], $6::text[]) AS n(stream, shard, sequence) "
	    "ON CONFLICT (sink, stream, shard, worker) DO UPDATE SET epoch = excluded.epoch, "
	    "sequence = greatest(p.sequence, excluded.sequence), updated = excluded.updated");
}

void
pg_fixed_sql(const char *schema, enum pg_fixed f, struct buf *out)
{
	switch (f) {
	case PG_FIX_BEGIN:
		buf_add_str(out, "BEGIN ISOLATION LEVEL READ COMMITTED");
		break;
	case PG_FIX_LOCK:
		buf_add_str(
		    out, "SELECT pg_advisory_xact_lock_shared(hashtextextended($1::text, 0))");
		break;
	case PG_FIX_FENCE:
		add_fence(out, schema);
		break;
	case PG_FIX_POSITION:
		add_position(out, schema);
		break;
	case PG_FIX_COMMIT:
		buf_add_str(out, "COMMIT");
		break;
	case PG_FIXED:
		break;
	}
}

const char pg_claim_lock_sql[] = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))";

void
pg_claim_sql(const char *schema, struct buf *out)
{
	buf_add_str(out, "INSERT INTO ");
	pg_add_side(out, schema, "slipring_writer");
	buf_add_str(out,
	    " AS w (sink, epoch, host, pid, since) "
	    "VALUES ($1::text, 1, $2::text, $3::integer, now()) "
	    "ON CONFLICT (sink) DO UPDATE SET epoch = w.epoch + 1, host = excluded.host, "
	    "pid = excluded.pid, since = excluded.since RETURNING epoch");
}

void
pg_purge_sql(const struct pg_target *t, struct buf *out)
{
	buf_addf(out,
	    "DELETE FROM %s WHERE ctid = ANY (ARRAY(SELECT ctid FROM %s "
	    "WHERE \"" PG_DELETED_AT "\" < now() - make_interval(secs => $1::float8) "
	    "ORDER BY \"" PG_DELETED_AT "\" LIMIT %d))",
	    t->tombs, t->tombs, PG_PURGE_ROWS);
}

void
pg_purge_positions_sql(const char *schema, struct buf *out)
{
	buf_add_str(out, "DELETE FROM ");
	pg_add_side(out, schema, "slipring_position");
	buf_add_str(
	    out, " WHERE sink = $2::text AND updated < now() - make_interval(secs => $1::float8)");
}
