/* daemon/cmd_status.c - `slipring status`: the running daemon as tables.
 *
 * Everything comes from GET /status; --json prints that as it is. What the
 * daemon does not say (an older or newer one) is shown as "-".
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "daemon/admin_client.h"
#include "daemon/columns.h"
#include "daemon/command.h"
#include "daemon/config.h"

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static json_int_t
int_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static double
number_of(const json_t *o, const char *key)
{
	return json_number_value(json_object_get(o, key));
}

/* {"reading": 3, "complete": 2} -> "3 reading, 2 complete" */
static void
add_counts(struct columns *c, json_t *counts)
{
	struct buf b = BUF_INIT(512);
	const char *key;
	json_t *v;

	json_object_foreach(counts, key, v)
	    buf_addf(&b, "%s%lld %s", b.n != 0 ? ", " : "", (long long)json_integer_value(v), key);
	columns_add(c, buf_cstr(&b));
	buf_close(&b);
}

static void
add_age(struct columns *c, double seconds)
{
	struct buf b = BUF_INIT(64);

	age_write(&b, seconds);
	columns_add(c, buf_cstr(&b));
	buf_close(&b);
}

static void
print_process(const json_t *doc)
{
	const json_t *p = json_object_get(doc, "process"), *m = json_object_get(doc, "memory");
	const json_t *s = json_object_get(doc, "store");
	const char *trouble = text_of(s, "trouble"), *path = text_of(s, "path");
	struct buf up = BUF_INIT(64);

	age_write(&up, number_of(p, "uptime_seconds"));
	(void)printf("slipring %s, pid %lld, up %s, %.1f MiB resident, %.1f MiB of records held\n",
	    text_of(p, "version"), (long long)int_of(p, "pid"), buf_cstr(&up),
	    number_of(p, "resident_bytes") / 1048576.0, number_of(m, "held_bytes") / 1048576.0);
	(void)printf("store %s%s%s, dead letters: %lld\n", path != NULL ? path : "-",
	    trouble != NULL && trouble[0] != '\0' ? ", TROUBLE: " : "",
	    trouble != NULL ? trouble : "", (long long)int_of(doc, "dead_letters"));
	buf_close(&up);
}

static void
print_streams(const json_t *doc)
{
	static const char *const heads[] = {
	    "STREAM", "TABLE", "STATE", "SHARDS", "RECORDS", "OPEN GAPS", "TROUBLE", NULL};
	struct columns c;
	json_t *o;
	size_t i;

	columns_begin(&c, heads);
	json_array_foreach(json_object_get(doc, "streams"), i, o)
	{
		columns_add(&c, text_of(o, "name"));
		columns_add(&c, text_of(o, "table"));
		columns_add(&c, text_of(o, "state"));
		add_counts(&c, json_object_get(o, "shards"));
		columns_addf(&c, "%lld", (long long)int_of(o, "records"));
		columns_addf(&c, "%lld", (long long)int_of(o, "open_gaps"));
		columns_add(&c, text_of(o, "trouble"));
	}
	(void)putchar('\n');
	columns_end(&c);
}

static void
print_ways(const json_t *doc)
{
	static const char *const heads[] = {
	    "STREAM", "SINK", "CAUGHT UP", "OLDEST UNACKED", "UNACKED", "SHARDS", NULL};
	struct columns c;
	json_t *stream, *o;
	size_t i, j;

	columns_begin(&c, heads);
	json_array_foreach(json_object_get(doc, "streams"), i, stream){json_array_foreach(
	    json_object_get(stream, "sinks"), j, o){columns_add(&c, text_of(stream, "name"));
	columns_add(&c, text_of(o, "sink"));
	columns_add(&c, json_is_true(json_object_get(o, "caught_up")) ? "yes" : "no");
	add_age(&c, number_of(o, "delivery_age_seconds"));
	columns_addf(&c, "%lld", (long long)int_of(o, "unacked"));
	add_counts(&c, json_object_get(o, "shards"));
}
}
(void)putchar('\n');
columns_end(&c);
}

static void
print_sinks(const json_t *doc)
{
	static const char *const heads[] = {"SINK", "TYPE", "STATE", "BREAKER", "ACKED",
	    "IN FLIGHT", "RETRIED", "REJECTED", "WHY", NULL};
	struct columns c;
	json_t *o;
	size_t i;

	columns_begin(&c, heads);
	json_array_foreach(json_object_get(doc, "sinks"), i, o)
	{
		columns_add(&c, text_of(o, "name"));
		columns_add(&c, text_of(o, "type"));
		columns_add(&c, text_of(o, "state"));
		columns_add(&c, text_of(o, "breaker"));
		columns_addf(&c, "%lld", (long long)int_of(o, "acked"));
		columns_addf(&c, "%lld", (long long)int_of(o, "in_flight"));
		columns_addf(&c, "%lld", (long long)int_of(o, "retried"));
		columns_addf(&c, "%lld", (long long)int_of(o, "rejected"));
		columns_add(&c, text_of(o, "why"));
	}
	(void)putchar('\n');
	columns_end(&c);
}

static void
print_gaps(const json_t *doc)
{
	static const char *const heads[] = {
	    "GAP", "STATE", "REASON", "STREAM", "SHARD", "SINK", NULL};
	struct columns c;
	json_t *stream, *o;
	size_t i, j;

	columns_begin(&c, heads);
	json_array_foreach(json_object_get(doc, "streams"), i, stream)
	{
		json_array_foreach(json_object_get(stream, "gaps"), j, o)
		{
			columns_addf(&c, "%lld", (long long)int_of(o, "id"));
			columns_add(&c, text_of(o, "state"));
			columns_add(&c, text_of(o, "reason"));
			columns_add(&c, text_of(stream, "name"));
			columns_add(&c, text_of(o, "shard"));
			columns_add(&c, text_of(o, "sink"));
		}
	}
	if (columns_rows(&c) != 0)
		(void)putchar('\n');
	columns_end(&c);
}

/* From --admin, else from the configuration. */
static int
find_daemon(const struct args *a, struct listen_address *where, struct err *e)
{
	const char *admin = args_get(a, "admin");
	struct config *c;

	if (admin != NULL)
		return listen_parse(admin, where, e);
	if (config_load(&c, args_get(a, "config"), e) != 0)
		return -1;
	*where = c->admin;
	config_close(c);
	return 0;
}

static int
ask(const struct listen_address *where, json_t **doc, struct err *e)
{
	if (where->off)
		return err_set(e, ERR_REFUSED,
		    "the daemon's admin port is off; set admin.listen in the configuration to ask "
		    "it");
	if (where->port == 0)
		return err_set(e, ERR_REFUSED,
		    "the daemon takes any free port (admin.listen has port 0); name it with "
		    "--admin, "
		    "its log says which");
	if (admin_ask(where, false, "/status", doc, e) == 0)
		return 0;
	if (e->code == ERR_NETWORK)
		return err_set(e, ERR_NETWORK,
		    "the daemon is not running, or not with this configuration: nothing answers on "
		    "%s "
		    "port %u",
		    where->host, where->port);
	return -1;
}

static int
run(const struct args *a)
{
	struct listen_address where;
	struct err e;
	json_t *doc;

	if (find_daemon(a, &where, &e) != 0 || ask(&where, &doc, &e) != 0)
		return command_fail(&e);
	if (args_get(a, "json") != NULL) {
		(void)json_dumpf(doc, stdout, JSON_INDENT(2));
		(void)putchar('\n');
	} else {
		print_process(doc);
		print_streams(doc);
		print_ways(doc);
		print_sinks(doc);
		print_gaps(doc);
	}
	json_decref(doc);
	return EXIT_DONE;
}

static const struct option_def options[] = {
    OPTION_CONFIG,
    OPTION_JSON,
    {.name = "admin", .value = "ADDRESS", .doc = "admin port, instead of the configuration's"},
    {.name = NULL},
};

const struct command cmd_status = {
    .name = "status",
    .operands = "",
    .summary = "what the running daemon does",
    .help = "Streams with their shards, each sink's way through each stream, and each sink's\n"
	    "state. Exit code 1 if no daemon answers.",
    .options = options,
    .run = run,
};
