/* tests/unit/command_test.c - the command line: words, options, suggestions, help. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "daemon/command.h"

static int
run_nothing(const struct args *a)
{
	(void)a;
	return 0;
}

static const char *const from_words[] = {"trim-horizon", "latest", NULL};
static const struct option_def options[] = {
    {.name = "config", .letter = 'c', .value = "FILE", .doc = "the file"},
    {.name = "json", .letter = 'j', .doc = "print JSON"},
    {.name = "from", .value = "WHERE", .words = from_words, .doc = "where to begin"},
    {.name = NULL},
};
static const struct command status = {.name = "status",
    .operands = "",
    .summary = "what it does",
    .options = options,
    .run = run_nothing};
static const struct command tail = {.name = "tail",
    .operands = "TABLE",
    .summary = "follow",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run_nothing};
static const struct command list = {
    .name = "positions list", .operands = "", .summary = "where they stand", .run = run_nothing};
static const struct command set = {.name = "positions set",
    .operands = "STREAM SEQUENCE",
    .summary = "move one",
    .help = "Carefully.",
    .min_words = 2,
    .max_words = 2,
    .run = run_nothing};
static const struct command *const commands[] = {&status, &tail, &list, &set, NULL};

static struct args a;
static struct err e;

#define MAX_WORDS 16

static int
parse(const char *line)
{
	static char text[256];
	const char *argv[MAX_WORDS] = {"slipring"};
	char *save = NULL;
	int argc = 1;

	(void)snprintf(text, sizeof text, "%s", line);
	for (char *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return command_parse(commands, argc, argv, &a, &e);
}

static void
refused(const char *line, const char *message)
{
	assert_int_equal(parse(line), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_string_equal(e.text, message);
	assert_null(a.words);
}

static void
accepted(const char *line)
{
	if (parse(line) != 0)
		fail_msg("%s: %s", line, e.text);
}

static void
options_in_every_spelling(void **state)
{
	static const char *const lines[] = {"tail orders --config x.yaml --json",
	    "tail --config=x.yaml -j orders", "tail -c x.yaml orders -j", "tail -jcx.yaml orders",
	    "tail -jc x.yaml -- orders"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		accepted(lines[i]);
		assert_ptr_equal(a.cmd, &tail);
		assert_string_equal(args_get(&a, "config"), "x.yaml");
		assert_string_equal(args_get(&a, "json"), "");
		assert_null(args_get(&a, "from"));
		assert_int_equal(a.count, 1);
		assert_string_equal(a.words[0], "orders");
		args_close(&a);
	}
	accepted("tail -- --json");
	assert_string_equal(a.words[0], "--json");
	assert_null(args_get(&a, "json"));
	args_close(&a);
	accepted("tail t --from latest");
	assert_string_equal(args_get(&a, "from"), "latest");
	args_close(&a);
	accepted("tail -");
	assert_string_equal(a.words[0], "-");
	args_close(&a);
}

static void
commands_of_two_words(void **state)
{
	(void)state;
	accepted("positions set orders 12");
	assert_ptr_equal(a.cmd, &set);
	assert_int_equal(a.count, 2);
	args_close(&a);
	refused("positions", "positions wants one of its commands; see slipring positions --help");
	refused("positions sett a b",
	    "unknown command \"positions sett\"; did you mean \"positions set\"?");
	refused("positions set orders",
	    "positions set wants STREAM SEQUENCE; see slipring positions set --help");
	refused("positions set a b c",
	    "positions set wants STREAM SEQUENCE; see slipring positions set --help");
}

static void
mistakes_get_a_suggestion(void **state)
{
	(void)state;
	refused("", "a command is missing; see slipring --help");
	refused("statsu", "unknown command \"statsu\"; did you mean \"status\"?");
	refused("frobnicate", "unknown command \"frobnicate\"; see slipring --help");
	refused("--json status",
	    "unknown option \"--json\"; a command comes first, see slipring --help");
	refused("status --jsno", "unknown option \"--jsno\"; did you mean --json?");
	refused("status --xyzzy", "unknown option \"--xyzzy\"; see slipring status --help");
	refused("status -x", "unknown option \"-x\"; see slipring status --help");
	refused("status --json=yes", "--json takes no value");
	refused("status --json -j", "--json is given twice");
	refused("status --config", "--config wants a value: --config FILE");
	refused("status -c", "--config wants a value: --config FILE");
	refused("status orders", "status takes no \"orders\"; see slipring status --help");
	refused("tail", "tail wants TABLE; see slipring tail --help");
	refused("tail t --from latset", "--from cannot be \"latset\"; did you mean latest?");
	refused("tail t --from zzz", "--from cannot be \"zzz\"; it is one of trim-horizon, latest");
}

static void
help_and_version(void **state)
{
	static const char *const lines[] = {"--help", "-h", "help", "status --help", "status -h",
	    "help status", "tail --help", "positions set --help", "help positions set"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		accepted(lines[i]);
		assert_true(a.help);
		args_close(&a);
	}
	accepted("positions --help");
	assert_true(a.help);
	assert_string_equal(a.group, "positions");
	accepted("help positions");
	assert_string_equal(a.group, "positions");
	accepted("--version");
	assert_true(a.version);
	accepted("-V");
	assert_true(a.version);
}

static void
help_says_everything(void **state)
{
	struct buf out = BUF_INIT(1 << 16);

	(void)state;
	command_help(&set, &out);
	assert_string_equal(buf_cstr(&out),
	    "usage: slipring positions set STREAM SEQUENCE\n\nMove one.\n\nCarefully.\n\noptions\n"
	    "  -h, --help              this text\n"
	    "\nexit codes: 0 done, 1 failed, 3 stopped by a gap, 64 usage, 78 configuration\n");
	buf_reset(&out);
	command_help(&tail, &out);
	assert_non_null(strstr(buf_cstr(&out), "usage: slipring tail [OPTION]... TABLE\n"));
	assert_non_null(strstr(buf_cstr(&out), "  -c, --config FILE       the file\n"));
	assert_non_null(strstr(buf_cstr(&out), "      --from WHERE        where to begin\n"));
	buf_reset(&out);
	command_overview(commands, NULL, &out);
	for (size_t i = 0; commands[i] != NULL; i++) {
		assert_non_null(strstr(buf_cstr(&out), commands[i]->name));
		assert_non_null(strstr(buf_cstr(&out), commands[i]->summary));
	}
	buf_reset(&out);
	command_overview(commands, "positions", &out);
	assert_non_null(strstr(buf_cstr(&out), "positions set"));
	assert_null(strstr(buf_cstr(&out), "tail"));
	buf_close(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(options_in_every_spelling),
	    cmocka_unit_test(commands_of_two_words),
	    cmocka_unit_test(mistakes_get_a_suggestion),
	    cmocka_unit_test(help_and_version),
	    cmocka_unit_test(help_says_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
