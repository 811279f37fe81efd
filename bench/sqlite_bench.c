/* bench/sqlite_bench.c - what the SQLite copy costs beyond SQLite's own price.
 *
 *   sqlite_bench [DIRECTORY]      default: a new directory under /tmp
 *
 * In one run, in turn, on new files of one directory: the sink at the end of a lane (pages from memory,
 * scan, order, encode, write, report); and a bare loop of the very same prepared statement
 * with the same pragmas and transactions of the same size, its values prepared before the
 * clock starts. The best of each is compared, since others use the machine, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench/drive.h"
#include "sinks/sqlite_table.h"

#define RECORDS 100000u
#define KEYS 20000u
#define WARM_UP 500u /* drive.h: one page more */
#define ROUNDS 4

static NORETURN void
die(const char *what, const char *why)
{
	(void)fprintf(stderr, "sqlite_bench: %s: %s\n", what, why);
	exit(1);
}

static void
remove_copy(const char *path)
{
	static const char *const tails[] = {"", "-wal", "-shm", ".lock"};

	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		char name[300];

		(void)snprintf(name, sizeof name, "%s%s", path, tails[i]);
		(void)unlink(name);
	}
}

/* ---- the sink ---- */

static unsigned long transactions; /* of the last run */

static void
close_and_count(struct sink *s)
{
	struct buf b = BUF_INIT(65536);
	const char *at;

	sink_sqlite.status(s, &b);
	at = strstr(buf_cstr(&b), "\"transactions\":");
	transactions = at != NULL ? strtoul(at + 15, NULL, 10) : 0;
	buf_close(&b);
	sink_sqlite.close(s);
}

static double
run_sink(const char *path, double *cpu)
{
	struct sink_ops ops = sink_sqlite;
	struct drive d = {.ops = &ops, .records = RECORDS, .keys = KEYS};
	struct drive_result r;
	char yaml[300];
	void *conf;

	remove_copy(path);
	(void)snprintf(yaml, sizeof yaml, "path: %s\n", path);
	conf = drive_conf(&sink_sqlite, yaml);
	ops.close = close_and_count;
	d.conf = conf;
	drive_run(&d, 0, &r);
	conf_wipe(sink_sqlite.keys, conf);
	free(conf);
	*cpu = r.cpu_seconds;
	return r.seconds;
}

/* ---- the bare loop ---- */

struct value {
	size_t at, n;
};

struct bare {
	struct sqlite_conf conf;
	struct sqlite_file file;
	struct sqlite_table *table;
	struct buf text;	 /* of all values */
	struct value (*rows)[4]; /* pk, document, version, canonical key */
};

static void
keep(struct bare *x, struct value *v, struct slice s)
{
	*v = (struct value){x->text.n, s.n};
	buf_add_slice(&x->text, s);
}

static void
prepare_page(struct bare *x, unsigned first, unsigned count)
{
	struct buf body = BUF_INIT(LIMIT_PAGE_BODY), arena = BUF_INIT(1u << 20);
	struct rows_cell cells[3];
	struct page *pg;
	enum rows_op op;
	struct err e;

	drive_body(&body, first, count, KEYS);
	if (page_parse(&pg, &body, &e) != 0)
		die("records", e.text);
	for (unsigned i = 0; i < count; i++) {
		char key[64];

		buf_reset(&arena);
		if (rows_cells(x->table->layout, &pg->records[i], &drive_origin, &op, &arena, cells,
			&e) != 0)
			die("records", e.text);
		for (int c = 0; c < 3; c++)
			keep(x, &x->rows[first + i][c], rows_cell_bytes(&cells[c], &arena));
		(void)snprintf(key, sizeof key, "[\"customer-%u\"]", (first + i) % KEYS);
		keep(x, &x->rows[first + i][3], slice_of(key));
	}
	page_unref(pg);
	buf_close(&arena);
}

static void
open_bare(struct bare *x, char *path)
{
	struct rows_keys keys = {.names = {mem_strdup("pk")}, .types = {'S'}, .count = 1};
	static char table[] = "bench";
	struct err e;

	remove_copy(path);
	*x = (struct bare){.conf = {.path = path, .table = table, .create = true}};
	x->text = BUF_INIT((size_t)1 << 30);
	x->rows = mem_array(RECORDS + WARM_UP, sizeof *x->rows);
	if (sqlite_file_open(&x->file, &x->conf, &e) != 0 ||
	    sqlite_table_new(&x->table, &x->conf, "bench", &keys, &e) != 0 ||
	    sqlite_table_prepare(x->table, &x->conf, x->file.db, &e) != 0)
		die("bare", e.text);
	rows_keys_close(&keys);
	for (unsigned i = 0; i < RECORDS + WARM_UP; i += WARM_UP)
		prepare_page(x, i, WARM_UP);
}

static void
close_bare(struct bare *x)
{
	sqlite_table_close(x->table);
	sqlite_file_close(&x->file);
	buf_close(&x->text);
	free(x->rows);
}

static void
exec(struct bare *x, const char *sql)
{
	if (sqlite3_exec(x->file.db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(sql, sqlite3_errmsg(x->file.db));
}

static void
write_rows(struct bare *x, unsigned from, unsigned to)
{
	sqlite3_stmt *st = x->table->put;

	exec(x, "BEGIN IMMEDIATE");
	for (unsigned i = from; i < to; i++) {
		for (int c = 0; c < 4; c++)
			(void)sqlite3_bind_text64(st, c + 1, x->text.p + x->rows[i][c].at,
			    x->rows[i][c].n, SQLITE_STATIC, SQLITE_UTF8);
		if (sqlite3_step(st) != SQLITE_DONE)
			die("bare", sqlite3_errmsg(x->file.db));
		(void)sqlite3_reset(st);
	}
	exec(x, "COMMIT");
}

static double
run_bare(char *path, unsigned size)
{
	struct bare x;
	double begun, seconds;

	open_bare(&x, path);
	write_rows(&x, 0, WARM_UP);
	begun = drive_now();
	for (unsigned i = WARM_UP; i < RECORDS + WARM_UP; i += size)
		write_rows(&x, i, i + size < RECORDS + WARM_UP ? i + size : RECORDS + WARM_UP);
	seconds = drive_now() - begun;
	close_bare(&x);
	return seconds;
}

int
main(int argc, char **argv)
{
	char dir[200] = "/tmp/slipring-sqlite-bench-XXXXXX", path[256];
	double sink = 1e9, bare = 1e9, cpu = 0;
	unsigned long least = 0;

	if (argc > 1)
		(void)snprintf(dir, sizeof dir, "%s", argv[1]);
	else if (mkdtemp(dir) == NULL)
		die(dir, "cannot be created");
	(void)snprintf(path, sizeof path, "%s/bench.db", dir);
	for (int i = 0; i < ROUNDS; i++) {
		double c, s = run_sink(path, &c);
		unsigned size = RECORDS / (unsigned)(transactions != 0 ? transactions : 1);
		double b = run_bare(path, size);

		(void)printf("  round %d: sink %.2f s in %lu transactions, bare %.2f s\n", i + 1, s,
		    transactions, b);
		if (s < sink) {
			sink = s;
			cpu = c;
			least = transactions;
		}
		bare = b < bare ? b : bare;
	}
	remove_copy(path);
	if (argc <= 1)
		(void)rmdir(dir);
	(void)printf("sqlite: %u changes of %u items, about %lu in a transaction\n", RECORDS, KEYS,
	    RECORDS / (least != 0 ? least : 1));
	(void)printf("  bare loop of the same statement  %8.0f rows/s\n", RECORDS / bare);
	(void)printf(
	    "  sink                             %8.0f rows/s  %.0f %% of the bare loop, %.1f us"
	    " of cpu a record, all threads\n",
	    RECORDS / sink, 100 * bare / sink, cpu * 1e6 / RECORDS);
	return 0;
}
