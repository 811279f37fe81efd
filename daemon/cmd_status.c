/* daemon/cmd_status.c - `slipring status`: asks the running daemon. Everything
 * comes from GET /status; --json prints that as it is, status_text.c as tables.
 */
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "daemon/admin_client.h"
#include "daemon/command.h"
#include "daemon/config.h"
#include "daemon/paint.h"
#include "daemon/status_text.h"

/* From --admin, else from the configuration. */
static int
find_daemon(const struct args *a, struct listen_address *where, struct err *e)
{
	const char *admin = args_get(a, "admin");
	struct config *c;

	if (admin != NULL)
		return admin_option(admin, where, e);
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
		status_print(doc, paint_wanted(NULL, isatty(STDOUT_FILENO) == 1));
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
    .help = "Which sink of which stream lags and why, the worst first, then streams, sinks and\n"
	    "gaps. BEHIND is the age of what was delivered last, OLDEST that of the oldest\n"
	    "record known not to be delivered, TRIM IN how long the service keeps it still.\n"
	    "Exit code 1 if no daemon answers.",
    .options = options,
    .run = run,
};
