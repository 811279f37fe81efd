/* sinks/sqlite_probe.c - see sqlite_probe.h. */
#include "sinks/sqlite_probe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "sinks/sqlite_table.h"

struct look {
	const struct sqlite_conf *conf;
	const struct sink_probe *p;
	sqlite3 *db;		   /* owned; NULL: no file yet */
	struct rows_owner *owners; /* owned */
};

static void say(const struct look *k, enum sink_finding f, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void
say(const struct look *k, enum sink_finding f, const char *fmt, ...)
{
	char text[8192];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	k->p->say(k->p->ctx, f, text);
}

/* ---- the file ---- */

static char *
directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return mem_strdup(".");
	return mem_slicedup((struct slice){path, slash == path ? 1 : (size_t)(slash - path)});
}

static void
look_at_place(const struct look *k)
{
	const char *path = k->conf->path;
	char *dir = directory_of(path);

	if (access(dir, W_OK | X_OK) != 0)
		say(k, SINK_FOUND_BAD, "sqlite: cannot write in directory %s: %s", dir,
		    strerror(errno));
	else if (k->db == NULL && !k->conf->create)
		say(k, SINK_FOUND_BAD, "sqlite: %s does not exist, and create is false", path);
	else if (k->db == NULL)
		say(k, SINK_FOUND_NOTE, "sqlite: %s does not exist and will be made", path);
	else if (access(path, W_OK) != 0)
		say(k, SINK_FOUND_BAD, "sqlite: cannot write %s: %s", path, strerror(errno));
	free(dir);
}

/* ---- its tables ---- */

static void
say_missing(const struct look *k, const struct sqlite_table *t)
{
	struct buf ddl = BUF_INIT(1u << 20);

	sqlite_table_ddl(t, &ddl);
	if (k->conf->create)
		say(k, SINK_FOUND_NOTE, "table \"%s\" does not exist and will be made:\n%s",
		    t->name, buf_cstr(&ddl));
	else
		say(k, SINK_FOUND_BAD,
		    "table \"%s\" does not exist, and create is false; make it, or set create:\n%s",
		    t->name, buf_cstr(&ddl));
	buf_close(&ddl);
}

/* Prepared against the file as it is, which finds a missing index or side table, too. */
static void
look_at_existing(const struct look *k, struct sqlite_table *t)
{
	struct sqlite_conf as_it_is = *k->conf;
	struct err e;

	as_it_is.create = false;
	if (sqlite_table_prepare(t, &as_it_is, k->db, &e) == 0)
		say(k, SINK_FOUND_OK, "table \"%s\" fits", t->name);
	else if (k->conf->create && sqlite_table_fits(t, k->db, k->conf->path, &e) == 0)
		say(k, SINK_FOUND_OK, "table \"%s\" fits; its tombstones will be made", t->name);
	else
		say(k, SINK_FOUND_BAD, "%s", e.text);
}

static void
look_at_table(struct look *k, const struct origin *o, const char *name)
{
	struct rows_keys keys = {.count = 0};
	struct sqlite_table *t;
	struct err e;

	if (k->conf->mode == ROWS_TABLE && rows_own(&k->owners, name, o, true, &e) != 0) {
		say(k, SINK_FOUND_BAD, "sqlite: %s", e.text);
		return;
	}
	if (k->conf->mode == ROWS_TABLE && !rows_keys_of_schema(o->schema, &keys)) {
		say(k, SINK_FOUND_NOTE,
		    "table \"%s\": the types of the key of %s are not known, so its columns were "
		    "not"
		    " looked at",
		    name, o->table);
		return;
	}
	if (sqlite_table_new(&t, k->conf, name, &keys, &e) != 0)
		say(k, SINK_FOUND_BAD, "%s", e.text);
	else if (k->db != NULL && sqlite_table_exists(k->db, name))
		look_at_existing(k, t);
	else
		say_missing(k, t);
	sqlite_table_close(t);
	rows_keys_close(&keys);
}

int
sqlite_probe(const void *sink_conf, const struct sink_probe *p, struct err *e)
{
	const struct sqlite_conf *conf = sink_conf;
	struct look k = {.conf = conf, .p = p};
	struct buf name = BUF_INIT(4096);

	if (sqlite_file_look(&k.db, conf, e) != 0)
		return -1;
	look_at_place(&k);
	for (size_t i = 0; i < p->origin_count; i++) {
		buf_reset(&name);
		sqlite_table_name(conf, &p->origins[i], &name);
		look_at_table(&k, &p->origins[i], buf_cstr(&name));
	}
	buf_close(&name);
	rows_owners_close(&k.owners);
	(void)sqlite3_close(k.db);
	return 0;
}
