/* daemon/help.c - usage and --help, from the tables the parser reads. */
#include "daemon/command.h"

#include <ctype.h>
#include <string.h>

#define DOC_COLUMN 26

static void
add_column(struct buf *out, size_t from, size_t column)
{
	size_t used = out->n - from;

	if (used + 2 > column) {
		buf_add_char(out, '\n');
		used = 0;
	}
	for (; used < column; used++)
		buf_add_char(out, ' ');
}

static void
add_option(struct buf *out, const char *name, char letter, const char *value, const char *doc)
{
	size_t from = out->n;

	if (letter != 0)
		buf_addf(out, "  -%c, --%s", letter, name);
	else
		buf_addf(out, "      --%s", name);
	if (value != NULL)
		buf_addf(out, " %s", value);
	add_column(out, from, DOC_COLUMN);
	buf_addf(out, "%s\n", doc);
}

void
command_help(const struct command *c, struct buf *out)
{
	buf_addf(out, "usage: slipring %s%s%s%s\n\n", c->name,
	    c->options != NULL ? " [OPTION]..." : "", c->operands[0] != '\0' ? " " : "",
	    c->operands);
	buf_addf(out, "%c%s.\n", toupper((unsigned char)c->summary[0]), c->summary + 1);
	if (c->help != NULL)
		buf_addf(out, "\n%s\n", c->help);
	buf_add_str(out, "\noptions\n");
	for (const struct option_def *o = c->options; o != NULL && o->name != NULL; o++)
		add_option(out, o->name, o->letter, o->value, o->doc);
	add_option(out, "help", 'h', NULL, "this text");
	buf_add_str(out,
	    "\nexit codes: 0 done, 1 failed, 3 stopped by a gap, 64 usage, "
	    "78 configuration\n");
}

void
command_overview(const struct command *const *commands, const char *group, struct buf *out)
{
	size_t n = group != NULL ? strlen(group) : 0;

	buf_addf(out, "usage: slipring %s [OPTION]...\n\n", group != NULL ? group : "COMMAND");
	if (group == NULL)
		buf_add_str(
		    out, "Follows DynamoDB Streams and delivers every change to sinks.\n\n");
	buf_add_str(out, "commands\n");
	for (; *commands != NULL; commands++) {
		size_t from = out->n;

		if (group != NULL &&
		    (strncmp((*commands)->name, group, n) != 0 || (*commands)->name[n] != ' '))
			continue;
		buf_addf(out, "  %s", (*commands)->name);
		add_column(out, from, DOC_COLUMN);
		buf_addf(out, "%s\n", (*commands)->summary);
	}
	buf_add_str(out,
	    "\nslipring COMMAND --help says more about a command; slipring --version "
	    "the version.\n");
}
