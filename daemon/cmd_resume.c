/* daemon/cmd_resume.c - `slipring resume SINK`: a halted sink goes on.
 *
 * Asked of the running daemon, since a halt is nothing that is kept: a daemon
 * that is started asks every sink again by itself.
 */
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "daemon/admin_client.h"
#include "daemon/command.h"
#include "daemon/config.h"

static int
find_daemon(const struct args *a, struct listen_address *where, struct err *e)
{
	const char *admin = args_get(a, "admin");
	struct config *c;

	if (admin != NULL) {
		if (admin_option(admin, where, e) != 0)
			return -1;
	} else {
		if (config_load(&c, args_get(a, "config"), e) != 0)
			return -1;
		*where = c->admin;
		config_close(c);
	}
	if (where->off || where->port == 0)
		return err_set(e, ERR_REFUSED,
		    "the daemon's admin port is not known (admin.listen); name it with --admin");
	return 0;
}

static int
ask(const struct listen_address *where, const char *sink, json_t **answer, struct err *e)
{
	struct buf path = BUF_INIT(1024);
	int r;

	buf_add_str(&path, "/sinks/resume?name=");
	for (const char *p = sink; *p != '\0'; p++)
		buf_addf(&path, "%%%02X", (unsigned)(unsigned char)*p);
	r = path.failed ? err_set(e, ERR_USAGE, "SINK: that is no name of a sink")
			: admin_ask(where, true, buf_cstr(&path), answer, e);
	buf_close(&path);
	if (r != 0 && e->code == ERR_NETWORK)
		return err_set(e, ERR_NETWORK,
		    "the daemon is not running, or not with this configuration: nothing answers on "
		    "%s port %u; when it is started, every sink is tried again",
		    where->host, where->port);
	return r;
}

static int
run(const struct args *a)
{
	struct listen_address where;
	const char *state;
	json_t *answer;
	struct err e;

	if (find_daemon(a, &where, &e) != 0 || ask(&where, a->words[0], &answer, &e) != 0)
		return command_fail(&e);
	state = json_string_value(json_object_get(answer, "was"));
	if (state != NULL && strcmp(state, "halted") == 0)
		(void)printf("%s is resumed: it tries one record, and goes on if that is taken\n",
		    a->words[0]);
	else
		(void)printf("%s is not halted, it is %s; nothing was changed\n", a->words[0],
		    state != NULL ? state : "unknown");
	json_decref(answer);
	return EXIT_DONE;
}

static const struct option_def options[] = {
    OPTION_CONFIG,
    {.name = "admin", .value = "ADDRESS", .doc = "admin port, instead of the configuration's"},
    {.name = NULL},
};

const struct command cmd_resume = {
    .name = "resume",
    .operands = "SINK",
    .summary = "let a sink go on that was halted",
    .help = "A sink halts when it cannot go on (credentials, a missing topic or table), when it\n"
	    "refused a record under on-reject: halt, or too many in a row (dead-letters.brake).\n"
	    "`slipring status` says why. Mend that first.",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
