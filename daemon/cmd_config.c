/* daemon/cmd_config.c - `slipring config`: what can be set, what is set. */
#include <stdio.h>

#include "daemon/command.h"
#include "daemon/config.h"

static int
dump(const char *path, struct buf *out)
{
	struct config *c;
	struct err e;

	if (config_load(&c, path, &e) != 0)
		return command_fail(&e);
	config_dump(c, out);
	config_close(c);
	return EXIT_DONE;
}

static int
run(const struct args *a)
{
	bool reference = args_get(a, "reference") != NULL;
	bool schema = args_get(a, "schema") != NULL;
	bool effective = args_get(a, "dump") != NULL;
	struct buf out = BUF_INIT(16u << 20);
	int code = EXIT_DONE;
	struct err e;

	if (reference + schema + effective != 1) {
		err_set(&e, ERR_USAGE, "config wants one of --reference, --schema and --dump");
		return command_fail(&e);
	}
	if (reference)
		config_reference(&out);
	else if (schema)
		config_schema(&out);
	else
		code = dump(args_get(a, "config"), &out);
	(void)fwrite(buf_slice(&out).p, 1, out.n, stdout);
	buf_close(&out);
	return code;
}

static const struct option_def options[] = {
    OPTION_CONFIG,
    {.name = "reference", .doc = "every key with its type, default and meaning"},
    {.name = "schema", .doc = "a JSON Schema of the file, for editors"},
    {.name = "dump", .doc = "the effective values of a file; secrets as stars"},
    {.name = NULL},
};

const struct command cmd_config = {
    .name = "config",
    .operands = "",
    .summary = "show what can be set and what is set",
    .options = options,
    .run = run,
};
