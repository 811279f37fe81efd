/* bench/postgres_bench.c - the PostgreSQL sink beside bare libpq.
 *
 * The same rows by the same statements, in transactions of the same size on as many
 * connections, into fresh tables of the same server, in turns. Bare: the parameters
 * are made in advance, and a loop sends a transaction on each connection as soon as the
 * one before was answered; no fence and no position. The sink: pages are
 * parsed, ordered, sorted out by key, encoded, sent, fenced, and every record is reported.
 *
 * Each connection keeps a server's process busy. With as many as there are cores less one the
 * sink has a core to itself, and the ratio says whether it keeps the server waiting; with
 * one for every core what the sink computes is taken from the server.
 *
 * usage: postgres_bench [CONNINFO]; or SLIPRING_BENCH_POSTGRES has it.
 */
#include "bench/drive.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "base/mem.h"
#include "record/key.h"
#include "sinks/postgres_batch.h"

enum { RECORDS = 50000, KEYS = 37500, BATCH = 500, CONNECTIONS_MAX = 2, ROUNDS = 5 };

static const char *conninfo;
static int connections; /* of this run */

static NORETURN void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: %s: %s\n", what, why);
	exit(1);
}

/* Blocks; nothing else runs here. */
static void
run_sql(PGconn *conn, const char *sql, size_t n, const char *const *values)
{
	/* banned-ok: PQexecParams: nothing else runs here */
	PGresult *res = PQexecParams(conn, sql, (int)n, NULL, values, NULL, NULL, 0);

	if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
		die(sql, PQerrorMessage(conn));
	PQclear(res);
}

static PGconn *
connect_bare(void)
{
	/* banned-ok: PQconnectdb: nothing else runs here */
	PGconn *conn = PQconnectdb(conninfo);
	const char *timeout[] = {"30000"};

	if (PQstatus(conn) != CONNECTION_OK)
		die("connect", PQerrorMessage(conn));
	run_sql(conn, pg_session_sql, 1, timeout);
	run_sql(conn, "SET client_min_messages = warning", 0, NULL);
	return conn;
}

/* ---- bare ---- */

struct bare {
	PGconn *conn;
	struct pg_request *requests; /* one a transaction */
	size_t n, next;
	bool busy;
};

static void
refuse(void *ctx, struct delivery *d, const struct err *why)
{
	(void)ctx;
	(void)d;
	die("a record was refused", why->text);
}

/* The requests that the sink would make of the records, for each connection. */
static void
make_requests(struct pg_builder *b, struct bare v[CONNECTIONS_MAX], size_t *pages)
{
	*pages = RECORDS / BATCH + 1;
	for (int c = 0; c < connections; c++)
		v[c].requests = mem_array(*pages, sizeof *v[c].requests);
	for (size_t i = 0; i < *pages; i++) {
		struct buf raw = BUF_INIT(LIMIT_PAGE_BODY), key = BUF_INIT(LIMIT_PAGE_BODY);
		struct delivery *d = mem_array(BATCH, sizeof *d);
		struct page *page;
		struct err e;

		drive_body(&raw, (unsigned)(i * BATCH), BATCH, KEYS);
		if (page_parse(&page, &raw, &e) != 0)
			die("records", e.text);
		for (int c = 0; c < connections; c++)
			pg_request_begin(&v[c].requests[i]);
		for (size_t k = 0; k < page->count; k++) {
			buf_reset(&key);
			key_write(&page->records[k], drive_origin.schema, &key);
			d[k] = (struct delivery){.rec = &page->records[k],
			    .origin = &drive_origin,
			    .key_hash = key_hash(buf_slice(&key))};
			pg_request_add(
			    &v[d[k].key_hash % (unsigned)connections].requests[i], &d[k]);
		}
		for (int c = 0; c < connections; c++)
			if (pg_build(b, &v[c].requests[i], &e) != 0)
				die("records", e.text);
		page_unref(page);
		buf_close(&key);
		free(d);
	}
}

static void
send_statement(PGconn *conn, const char *name, const struct pg_array *v, size_t n, size_t last)
{
	const char *values[64];
	int lengths[64], formats[64];

	for (size_t i = 0; i < n; i++) {
		const struct pg_array *a = &v[i + 1 == n ? last : i];

		values[i] = a->buf.p;
		lengths[i] = (int)a->buf.n;
		formats[i] = 1;
	}
	if (PQsendQueryPrepared(conn, name, (int)n, values, lengths, formats, 0) == 0)
		die(name, PQerrorMessage(conn));
}

static void
send_next(struct bare *b)
{
	const struct pg_part *p = &b->requests[b->next++].parts[0];
	const struct rows_layout *l = p->target->layout;

	send_statement(b->conn, "begin", NULL, 0, 0);
	send_statement(b->conn, "revive0", p->put, l->key_count + 1, l->count - 1);
	send_statement(b->conn, "put0", p->put, l->count, l->count - 1);
	send_statement(b->conn, "commit", NULL, 0, 0);
	if (PQpipelineSync(b->conn) == 0)
		die("sync", PQerrorMessage(b->conn));
	b->busy = true;
}

/* True: the transaction was answered to its end. */
static bool
read_some(struct bare *b)
{
	PGresult *res;
	bool done = false;

	if (PQconsumeInput(b->conn) == 0)
		die("read", PQerrorMessage(b->conn));
	while (!done && PQisBusy(b->conn) == 0) {
		res = PQgetResult(b->conn);
		if (res != NULL && PQresultStatus(res) != PGRES_COMMAND_OK &&
		    PQresultStatus(res) != PGRES_PIPELINE_SYNC)
			die("refused", PQerrorMessage(b->conn));
		done = res != NULL && PQresultStatus(res) == PGRES_PIPELINE_SYNC;
		PQclear(res);
	}
	return done;
}

static void
run_pages(struct bare v[CONNECTIONS_MAX], size_t until)
{
	for (int left = connections; left > 0;) {
		struct pollfd fds[CONNECTIONS_MAX];

		left = 0;
		for (int c = 0; c < connections; c++) {
			if (!v[c].busy && v[c].next < until)
				send_next(&v[c]);
			fds[c] = (struct pollfd){.fd = PQsocket(v[c].conn),
			    .events = (short)(POLLIN | (PQflush(v[c].conn) == 1 ? POLLOUT : 0))};
			left += v[c].busy;
		}
		if (left > 0 && poll(fds, (nfds_t)connections, -1) < 0)
			die("poll", "failed");
		for (int c = 0; c < connections; c++)
			if (v[c].busy && (fds[c].revents & POLLIN) != 0 && read_some(&v[c]))
				v[c].busy = false;
	}
}

static void
prepare(PGconn *conn, const char *name, const char *sql, size_t n, const Oid *types)
{
	PGresult *res = PQprepare(conn, name, sql, (int)n, types);

	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		die(name, PQerrorMessage(conn));
	PQclear(res);
}

static void
prepare_all(PGconn *conn, const struct pg_target *t)
{
	const enum pg_statement statements[] = {PG_REVIVE, PG_PUT};
	struct buf sql = BUF_INIT(PG_SQL_MAX);
	Oid types[64];

	for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
		char name[32];

		buf_reset(&sql);
		pg_target_sql(t, statements[i], &sql);
		pg_target_statement(t, statements[i], name, sizeof name);
		prepare(
		    conn, name, buf_cstr(&sql), pg_target_types(t, statements[i], types), types);
	}
	prepare(conn, "begin", "BEGIN ISOLATION LEVEL READ COMMITTED", 0, NULL);
	prepare(conn, "commit", "COMMIT", 0, NULL);
	buf_close(&sql);
	if (PQsetnonblocking(conn, 1) != 0 || PQenterPipelineMode(conn) == 0)
		die("pipeline", PQerrorMessage(conn));
}

/* requests[0] are the warm-up's, as the sink has one page to itself before the clock starts. */
static double
run_bare(struct bare v[CONNECTIONS_MAX], const struct pg_target *t, size_t pages)
{
	double begun;

	for (int c = 0; c < connections; c++) {
		v[c].conn = connect_bare();
		v[c].next = 0;
		prepare_all(v[c].conn, t);
	}
	run_pages(v, 1);
	begun = drive_now();
	run_pages(v, pages);
	begun = drive_now() - begun;
	for (int c = 0; c < connections; c++)
		PQfinish(v[c].conn);
	return begun;
}

/* ---- both ---- */

/* Fresh tables, and nothing of the run before left to be written. */
static void
begin_round(const struct pg_builder *b)
{
	PGconn *conn = connect_bare();
	struct buf sql = BUF_INIT(PG_SQL_MAX);

	run_sql(conn, "DROP TABLE IF EXISTS bench, bench_slipring_deleted", 0, NULL);
	for (unsigned i = 0;; i++) {
		buf_reset(&sql);
		if (!pg_target_ddl(b->targets, i, &sql))
			break;
		run_sql(conn, buf_cstr(&sql), 0, NULL);
	}
	run_sql(conn, "CHECKPOINT", 0, NULL);
	buf_close(&sql);
	PQfinish(conn);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double
median(double *v)
{
	qsort(v, ROUNDS, sizeof *v, compare);
	return v[ROUNDS / 2];
}

static void
bench_table(const struct pg_conf *conf)
{
	struct drive d = {.ops = &sink_postgres, .conf = conf, .records = RECORDS, .keys = KEYS};
	double bare[ROUNDS], sink[ROUNDS], a, b;
	struct bare v[CONNECTIONS_MAX] = {{.n = 0}};
	struct drive_result r = {0};
	struct pg_builder builder;
	size_t pages;

	pg_builder_init(&builder, conf);
	builder.reject = refuse;
	make_requests(&builder, v, &pages);
	for (int i = 0; i < ROUNDS; i++) {
		begin_round(&builder);
		bare[i] = run_bare(v, builder.targets, pages);
		begin_round(&builder);
		drive_run(&d, 0, &r);
		sink[i] = r.seconds;
	}
	a = median(bare);
	b = median(sink);
	(void)printf("  prepared parameters by libpq   %8.0f records/s\n", RECORDS / a);
	(void)printf("  the sink                       %8.0f records/s, %.1f us of CPU each, %llu "
		     "batches\n",
	    RECORDS / b, r.cpu_seconds / RECORDS * 1e6, (unsigned long long)r.batches);
	(void)printf("  sink / libpq                   %8.2f\n", a / b);
	for (int c = 0; c < connections; c++) {
		for (size_t i = 0; i < pages; i++)
			pg_request_close(&v[c].requests[i]);
		free(v[c].requests);
	}
	pg_builder_close(&builder);
}

static void
bench_with(int count)
{
	struct buf yaml = BUF_INIT(2000);
	struct pg_conf *conf;

	connections = count;
	buf_addf(&yaml, "conninfo: %s\nconnections: %d\ncreate: true\n", conninfo, count);
	conf = drive_conf(&sink_postgres, buf_cstr(&yaml));
	(void)printf(" %d connection%s\n", count, count == 1 ? "" : "s");
	bench_table(conf);
	conf_wipe(sink_postgres.keys, conf);
	free(conf);
	buf_close(&yaml);
}

int
main(int argc, char **argv)
{
	conninfo = argc > 1 ? argv[1] : getenv("SLIPRING_BENCH_POSTGRES");
	if (conninfo == NULL) {
		(void)printf("postgres: left out, no connection string was given\n");
		return 0;
	}
	(void)printf("postgres: table mode, %d records of %d items, %d a page, median of %d\n",
	    RECORDS, KEYS, BATCH, ROUNDS);
	for (int c = 1; c <= CONNECTIONS_MAX; c++)
		bench_with(c);
	(void)printf("  peak resident memory %.0f MiB (prepared parameters among it)\n",
	    (double)drive_peak_resident() / 1048576);
	return 0;
}
