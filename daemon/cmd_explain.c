/* daemon/cmd_explain.c - `slipring explain`: would this pattern let it through?
 *
 * One JSON document a line on standard input; per line `match`, or
 * `no match: PATH: why`. What is no JSON is said on standard error with its line and
 * counts as no match.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "daemon/command.h"
#include "filters/pattern.h"
#include "record/value.h"

/* "@FILE", or the pattern itself. */
static int
read_pattern(const char *arg, struct buf *out, struct err *e)
{
	char chunk[8192];
	size_t n;
	FILE *f;

	if (arg[0] != '@') {
		buf_add_str(out, arg);
		return 0;
	}
	f = fopen(arg + 1, "re");
	if (f == NULL) {
		err_errno(e, errno, "cannot open the pattern %s", arg + 1);
		e->code = ERR_CONFIG;
		return -1;
	}
	while ((n = fread(chunk, 1, sizeof chunk, f)) != 0)
		buf_add(out, chunk, n);
	n = (size_t)ferror(f);
	(void)fclose(f);
	if (n != 0 || out->failed)
		return err_set(e, ERR_CONFIG, "cannot read the pattern %s", arg + 1);
	return 0;
}

static bool
is_blank(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > ' ')
			return false;
	return true;
}

/* Returns whether it matched. */
static bool
explain_line(struct pattern *p, struct slice line, unsigned long number, struct buf *out)
{
	if (!json_check(line)) {
		command_note("line %lu is not JSON", number);
		(void)puts("no match: not JSON");
		return false;
	}
	if (pattern_match(p, line)) {
		(void)puts("match");
		return true;
	}
	buf_reset(out);
	pattern_explain(p, line, out);
	(void)printf("no match: %s\n", buf_cstr(out));
	return false;
}

static int
explain_input(struct pattern *p)
{
	struct buf out = BUF_INIT(1 << 20);
	unsigned long number = 0;
	char *line = NULL;
	size_t room = 0;
	bool all = true;
	ssize_t n;

	while ((n = getline(&line, &room, stdin)) >= 0) {
		struct slice s = {line, (size_t)n};

		number++;
		if (!is_blank(s))
			all = explain_line(p, s, number, &out) && all;
	}
	free(line);
	buf_close(&out);
	return all ? EXIT_DONE : EXIT_FAILED;
}

static int
run(const struct args *a)
{
	const char *arg = args_get(a, "pattern");
	struct buf text = BUF_INIT(2 << 20);
	struct pattern *p;
	struct err e;
	int code;

	if (arg == NULL) {
		err_set(&e, ERR_USAGE, "explain wants --pattern JSON or --pattern @FILE");
		return command_fail(&e);
	}
	if (read_pattern(arg, &text, &e) == 0 && pattern_compile(&p, buf_slice(&text), &e) == 0) {
		code = explain_input(p);
		pattern_close(p);
	} else {
		code = command_fail(&e);
	}
	buf_close(&text);
	return code;
}

static const struct option_def options[] = {
    {.name = "pattern",
	.value = "JSON|@FILE",
	.doc = "a Lambda event filter or EventBridge pattern"},
    {.name = NULL},
};

const struct command cmd_explain = {
    .name = "explain",
    .operands = "",
    .summary = "say which documents a pattern matches, and why not",
    .help = "Reads one JSON document a line from standard input and prints for each\n"
	    "\"match\" or \"no match: PATH: why\". Exit code 0: all matched, 1: some did not,\n"
	    "78: the pattern is invalid.",
    .options = options,
    .run = run,
};
