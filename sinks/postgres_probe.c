/* sinks/postgres_probe.c - see postgres_probe.h. */
#include "sinks/postgres_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sinks/postgres_dial.h"
#include "sinks/postgres_sql.h"

struct probe {
	const struct pg_conf *conf;
	const struct sink_probe *p;
	PGconn *conn;
	struct buf sql, text;
	struct rows_owner *owners; /* owned */
	bool schema_seen;	   /* look_schema() was here */
};

static void
say(const struct probe *b, enum sink_finding f, const char *text)
{
	b->p->say(b->p->ctx, f, text);
}

/* NULL: it was refused, and has been said. */
static PGresult *
ask(struct probe *b, const char *sql, size_t n, const char *const *values)
{
	PGresult *res = PQexecParams(/* banned-ok: PQexecParams: check --connect may block */
	    b->conn, sql, (int)n, NULL, values, NULL, NULL, 0);
	ExecStatusType st = PQresultStatus(res);
	struct err why;

	if (st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK)
		return res;
	(void)pg_fault_say(res, "refused", &why);
	say(b, SINK_FOUND_BAD, why.text);
	PQclear(res);
	return NULL;
}

static bool
run(struct probe *b, const char *sql)
{
	PGresult *res = ask(b, sql, 0, NULL);

	PQclear(res);
	return res != NULL;
}

static void
say_server(struct probe *b)
{
	PGresult *res = ask(b,
	    "SELECT current_setting('server_version'), current_database(), current_user, "
	    "pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'",
	    0, NULL);

	if (res == NULL)
		return;
	buf_reset(&b->text);
	buf_addf(&b->text, "PostgreSQL %s at %s, database %s, as %s", PQgetvalue(res, 0, 0),
	    PQhost(b->conn), PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 2));
	say(b, SINK_FOUND_OK, buf_cstr(&b->text));
	if (PQgetvalue(res, 0, 3)[0] == 't')
		say(b, SINK_FOUND_BAD,
		    "the server is read-only: a standby, or default_transaction_read_only is on");
	PQclear(res);
}

/* The DDL in text, with semicolons. */
static void
add_ddl(struct probe *b, const struct pg_target *t, const char *schema)
{
	for (unsigned i = 0;; i++) {
		size_t before = b->text.n;

		buf_add_char(&b->text, '\n');
		if (!(t != NULL ? pg_target_ddl(t, i, &b->text)
				: pg_sink_ddl(schema, i, &b->text))) {
			b->text.n = before;
			return;
		}
		buf_add_char(&b->text, ';');
	}
}

static void
say_missing(struct probe *b, const struct pg_target *t, const char *schema, const char *what)
{
	bool create = b->conf->create;

	buf_reset(&b->text);
	buf_addf(&b->text, "%s missing; %s:", what,
	    create ? "the sink will create it" : "create it, or set `create: true`");
	add_ddl(b, t, schema);
	say(b, create ? SINK_FOUND_NOTE : SINK_FOUND_BAD, buf_cstr(&b->text));
}

/* What is missing goes into a schema, which is never created: it must be there, and who is
 * to create tables must be allowed to. (Since PostgreSQL 15 not everybody may in public.) */
static void
look_schema(struct probe *b, const char *schema)
{
	const char *values[] = {schema};
	PGresult *res;

	if (b->schema_seen)
		return;
	b->schema_seen = true;
	res = ask(b,
	    "SELECT nspname, current_user, has_schema_privilege(oid, 'CREATE') "
	    "FROM pg_catalog.pg_namespace WHERE nspname = coalesce($1, current_schema())",
	    1, values);
	if (res == NULL)
		return;
	buf_reset(&b->text);
	if (PQntuples(res) == 0 && schema == NULL) {
		buf_add_str(&b->text,
		    "no schema of search_path exists; name one in `table`, as SCHEMA.TABLE");
	} else if (PQntuples(res) == 0) {
		buf_addf(&b->text, "schema %s does not exist; create it:\nCREATE SCHEMA ", schema);
		rows_add_name(&b->text, schema);
		buf_add_char(&b->text, ';');
	} else if (b->conf->create && PQgetvalue(res, 0, 2)[0] != 't') {
		buf_addf(&b->text,
		    "%s may not create tables in schema %s; allow it:\nGRANT CREATE ON SCHEMA ",
		    PQgetvalue(res, 0, 1), PQgetvalue(res, 0, 0));
		rows_add_name(&b->text, PQgetvalue(res, 0, 0));
		buf_add_str(&b->text, " TO ");
		rows_add_name(&b->text, PQgetvalue(res, 0, 1));
		buf_add_char(&b->text, ';');
	}
	if (b->text.n != 0)
		say(b, SINK_FOUND_BAD, buf_cstr(&b->text));
	PQclear(res);
}

/* Is what stands in b->sql (quoted) the name of a table? */
static bool
exists(struct probe *b)
{
	const char *values[] = {buf_cstr(&b->sql)};
	PGresult *res = ask(b, "SELECT pg_catalog.to_regclass($1) IS NOT NULL", 1, values);
	bool yes = res != NULL && PQgetvalue(res, 0, 0)[0] == 't';

	PQclear(res);
	return yes;
}

/* Plans the statement, with its parameters' types and no values. */
static bool
plan(struct probe *b, const char *name, size_t n)
{
	buf_reset(&b->text);
	buf_addf(&b->text, "EXPLAIN EXECUTE %s", name);
	for (size_t i = 0; i < n; i++)
		buf_add_str(&b->text, i == 0 ? "(NULL" : ", NULL");
	if (n != 0)
		buf_add_char(&b->text, ')');
	return run(b, buf_cstr(&b->text));
}

static bool
prepare_and_plan(struct probe *b, const char *name, size_t n, const Oid *types)
{
	PGresult *res = PQprepare(b->conn, name, buf_cstr(&b->sql), (int)n, types);
	bool ok = PQresultStatus(res) == PGRES_COMMAND_OK;
	struct err why;

	if (!ok) {
		(void)pg_fault_say(res, "refused", &why);
		say(b, SINK_FOUND_BAD, why.text);
	}
	PQclear(res);
	return ok && plan(b, name, n);
}

static void
look_side(struct probe *b)
{
	char *schema = pg_schema_dup(b->conf);
	bool there = true;

	for (int i = 0; i < 2; i++) {
		buf_reset(&b->sql);
		pg_add_side(&b->sql, schema, i == 0 ? "slipring_writer" : "slipring_position");
		there = exists(b) && there;
	}
	if (!there) {
		look_schema(b, schema);
		say_missing(b, NULL, schema, "slipring_writer or slipring_position is");
	}
	for (int i = 0; there && i < 2; i++) {
		enum pg_fixed f = i == 0 ? PG_FIX_FENCE : PG_FIX_POSITION;

		buf_reset(&b->sql);
		pg_fixed_sql(schema, f, &b->sql);
		there = prepare_and_plan(b, pg_fixed_names[f], i == 0 ? 2 : 6, NULL);
	}
	free(schema);
}

static bool
look_table(struct probe *b, const struct pg_target *t, bool tombs, bool *missing)
{
	const char *values[] = {tombs ? t->tombs : t->name};
	PGresult *res = ask(b, pg_describe_sql, 1, values);
	struct err why;
	bool ok = false;

	if (res == NULL)
		return false;
	if (pg_target_fits(t, tombs, res, &why) == 0)
		ok = true;
	else if (why.code == ERR_NOT_FOUND)
		*missing = true;
	else
		say(b, SINK_FOUND_BAD, why.text);
	PQclear(res);
	return ok;
}

static bool
look_statements(struct probe *b, const struct pg_target *t)
{
	Oid *types = calloc(t->layout->count + 1, sizeof *types);
	bool ok = types != NULL;

	for (int i = 0; ok && i < PG_STATEMENTS; i++) {
		char name[32];
		size_t n;

		if (!pg_target_uses(t, (enum pg_statement)i))
			continue;
		buf_reset(&b->sql);
		pg_target_sql(t, (enum pg_statement)i, &b->sql);
		pg_target_statement(t, (enum pg_statement)i, name, sizeof name);
		n = pg_target_types(t, (enum pg_statement)i, types);
		ok = prepare_and_plan(b, name, n, types);
	}
	free(types);
	return ok;
}

static void
look_target(struct probe *b, const struct pg_target *t)
{
	bool missing = false, ok = look_table(b, t, false, &missing);

	if (t->tombs != NULL)
		ok = look_table(b, t, true, &missing) && ok;
	if (missing) {
		look_schema(b, t->schema);
		buf_reset(&b->sql);
		buf_addf(&b->sql, "table %s%s%s is", t->name, t->tombs != NULL ? " or its " : "",
		    t->tombs != NULL ? t->tombs : "");
		say_missing(b, t, NULL, buf_cstr(&b->sql));
		return;
	}
	if (!ok || !look_statements(b, t))
		return;
	buf_reset(&b->text);
	buf_addf(&b->text, "table %s fits and may be written", t->name);
	say(b, SINK_FOUND_OK, buf_cstr(&b->text));
}

/* Its table's name is in text, then. */
static bool
owns_table(struct probe *b, const struct origin *o)
{
	struct err why;

	buf_reset(&b->text);
	pg_table_write(b->conf, o, &b->text);
	if (b->conf->mode == ROWS_LOG ||
	    rows_own(&b->owners, buf_cstr(&b->text), o, false, &why) == 0)
		return true;
	say(b, SINK_FOUND_BAD, why.text);
	return false;
}

static void
look_origin(struct probe *b, const struct origin *o, unsigned id)
{
	struct rows_keys keys = {.count = 0};
	struct pg_target *t;
	struct err why;

	if (b->conf->mode == ROWS_TABLE && !rows_keys_of_schema(o->schema, &keys)) {
		buf_reset(&b->text);
		buf_addf(&b->text,
		    "stream %s: the types of its table's key are not known, so its table was not "
		    "looked "
		    "at",
		    o->stream);
		say(b, SINK_FOUND_NOTE, buf_cstr(&b->text));
		return;
	}
	if (!owns_table(b, o)) {
		rows_keys_close(&keys);
		return;
	}
	if (pg_target_new(&t, b->conf, id, buf_slice(&b->text), &keys, &why) != 0) {
		say(b, SINK_FOUND_BAD, why.text);
		return;
	}
	look_target(b, t);
	pg_target_close(t);
}

static void
ignore_notice(void *arg, const PGresult *res)
{
	(void)arg;
	(void)res;
}

int
pg_probe(const void *conf, const struct sink_probe *p, struct err *e)
{
	struct probe b = {
	    .conf = conf, .p = p, .sql = BUF_INIT(PG_SQL_MAX), .text = BUF_INIT(PG_SQL_MAX)};
	struct pg_dialed got;

	pg_dial_now(b.conf->conninfo.bytes, p->name, &got);
	if (got.conn == NULL) {
		*e = got.why;
		return -1;
	}
	b.conn = got.conn;
	PQsetNoticeReceiver(b.conn, ignore_notice, NULL);
	if (run(&b, "SET statement_timeout = '5s'") &&
	    run(&b,
		"SET plan_cache_mode = "
		"force_generic_plan")) {
		say_server(&b);
		if (run(&b, "SET default_transaction_read_only = on"))
			look_side(&b);
		for (size_t i = 0; i < p->origin_count; i++)
			look_origin(&b, &p->origins[i], (unsigned)i);
	}
	PQfinish(b.conn);
	rows_owners_close(&b.owners);
	buf_close(&b.sql);
	buf_close(&b.text);
	return 0;
}
