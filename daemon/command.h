/* daemon/command.h - subcommands as constant objects, and the command line
 * that chooses among them.
 *
 *   argv --command_parse(table)--> struct args --> run() --> exit code
 *
 * Each cmd_*.c defines its commands; main.c lists them. Usage lines and
 * --help come from the same tables that the parser reads. A command's name may be
 * two words ("positions list"). run() prints its own errors through
 * command_fail() and returns the exit code.
 */
#ifndef DAEMON_COMMAND_H
#define DAEMON_COMMAND_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_GAP = 3,
	EXIT_USAGE = 64,
	EXIT_CONFIG = 78,
};

#define COMMAND_OPTIONS 16 /* most options of one command */

struct option_def {
	const char *name;	  /* "config"; NULL ends the table */
	char letter;		  /* 'c', or 0 */
	const char *value;	  /* "FILE"; NULL: the option takes no value */
	const char *const *words; /* the values there are; NULL: any */
	bool many;		  /* may be given again; one such option a command */
	const char *doc;
};

struct args;

struct command {
	const char *name;
	const char *operands; /* "STREAM [SHARD]"; "" for none */
	const char *summary;  /* one line, no full stop */
	const char *help;     /* more about it, lines of at most 79 characters; may be NULL */
	const struct option_def *options; /* may be NULL */
	unsigned min_words, max_words;	  /* operands */
	int (*run)(const struct args *a);
};

struct args {
	const struct command *cmd;	     /* NULL: help was asked for in general */
	const char *values[COMMAND_OPTIONS]; /* by place in the table; NULL: not given */
	const char **many;		     /* of the option that is `many`; owned array */
	size_t many_count;
	const char **words; /* operands, borrowed from argv; owned array */
	size_t count;
	bool help, version;
	const char *group; /* help: only commands that begin with this word; or NULL */
};

/* ERR_USAGE with the nearest known word. commands ends with NULL. */
int command_parse(const struct command *const *commands, int argc, const char *const *argv,
    struct args *out, struct err *e) MUST_CHECK;
void args_close(struct args *a);
/* The option must be in the command's table. NULL: not given; "": given, without value. */
const char *args_get(const struct args *a, const char *option);
/* Parses, runs or prints help; returns the exit code. */
int command_main(const struct command *const *commands, int argc, const char *const *argv);

void command_help(const struct command *c, struct buf *out);
void command_overview(const struct command *const *commands, const char *group, struct buf *out);

/* "slipring: text" on stderr; returns the exit code of the error. */
int command_fail(const struct err *e);
/* When no more lines of standard input are read: code, at its end or when nobody takes the
 * output; where it could not be read that is said, and its exit code returned, since what
 * was not read was not judged. */
int command_input_end(int code);
/* A remark on stderr that ends nothing. */
void command_note(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The option most commands have. */
#define OPTION_CONFIG                                                                              \
	{                                                                                          \
		.name = "config", .letter = 'c', .value = "FILE",                                  \
		.doc = "configuration file (default " CONFIG_DEFAULT_PATH ")",                     \
	}
#define OPTION_JSON                                                                                \
	{                                                                                          \
		.name = "json", .doc = "print JSON"                                                \
	}
#define CONFIG_DEFAULT_PATH "/etc/slipring/slipring.yaml"

extern const struct command cmd_run, cmd_check, cmd_tail, cmd_status, cmd_resume,
    cmd_positions_list, cmd_positions_set, cmd_positions_reset, cmd_gaps_list, cmd_gaps_accept,
    cmd_dlq_list, cmd_dlq_show, cmd_dlq_replay, cmd_dlq_drop, cmd_audit_verify, cmd_config,
    cmd_explain, cmd_decrypt;

#endif
