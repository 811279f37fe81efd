/* daemon/command.c - the command line: which command, which options, or which
 * word was probably meant.
 *
 * Options may stand before and after operands, as --name value, --name=value,
 * -n value or -nvalue; "--" ends them. An option is given once. Nothing is
 * abbreviated: what works today keeps its meaning when options are added.
 */
#include "daemon/command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"

#define NAMES_MAX 64

struct cursor {
	int argc;
	const char *const *argv;
	int at;
};

static const struct option_def *
find_option(const struct command *c, struct slice name, char letter)
{
	for (const struct option_def *o = c->options; o != NULL && o->name != NULL; o++)
		if (letter != 0 ? o->letter == letter : slice_is(name, o->name))
			return o;
	return NULL;
}

static int
fail_option(const struct command *c, struct slice given, struct err *e)
{
	const char *names[COMMAND_OPTIONS + 2] = {"help"};
	char *text = mem_slicedup(given);
	const char *near;
	size_t n = 1;

	for (const struct option_def *o = c->options; o != NULL && o->name != NULL; o++)
		names[n++] = o->name;
	near = conf_nearest(text, names);
	err_set(e, ERR_USAGE, "unknown option \"--%.60s\"; %s%s%s", text,
	    near != NULL ? "did you mean --" : "see slipring ", near != NULL ? near : c->name,
	    near != NULL ? "?" : " --help");
	free(text);
	return -1;
}

static int
fail_word(const struct option_def *o, const char *value, struct err *e)
{
	const char *near = conf_nearest(value, o->words);
	struct buf all = BUF_INIT(256);

	if (near != NULL)
		return err_set(e, ERR_USAGE, "--%s cannot be \"%.60s\"; did you mean %s?", o->name,
		    value, near);
	for (size_t i = 0; o->words[i] != NULL; i++)
		buf_addf(&all, "%s%s", i != 0 ? ", " : "", o->words[i]);
	err_set(e, ERR_USAGE, "--%s cannot be \"%.60s\"; it is one of %s", o->name, value,
	    buf_cstr(&all));
	buf_close(&all);
	return -1;
}

static int
check_word(const struct option_def *o, const char *value, struct err *e)
{
	if (o->words == NULL)
		return 0;
	for (size_t i = 0; o->words[i] != NULL; i++)
		if (strcmp(o->words[i], value) == 0)
			return 0;
	return fail_word(o, value, e);
}

/* value: what stood in the same word, or NULL. */
static int
set_option(
    struct args *a, const struct option_def *o, const char *value, struct cursor *cu, struct err *e)
{
	size_t i = (size_t)(o - a->cmd->options);

	if (a->values[i] != NULL && !o->many)
		return err_set(e, ERR_USAGE, "--%s is given twice", o->name);
	if (o->value == NULL) {
		if (value != NULL)
			return err_set(e, ERR_USAGE, "--%s takes no value", o->name);
		a->values[i] = "";
		return 0;
	}
	if (value == NULL && cu->at >= cu->argc)
		return err_set(
		    e, ERR_USAGE, "--%s wants a value: --%s %s", o->name, o->name, o->value);
	if (value == NULL)
		value = cu->argv[cu->at++];
	a->values[i] = value;
	if (o->many) {
		a->many = mem_grow(a->many, a->many_count + 1, sizeof *a->many);
		a->many[a->many_count++] = value;
	}
	return check_word(o, value, e);
}

static int
parse_long(struct args *a, const char *word, struct cursor *cu, struct err *e)
{
	const char *eq = strchr(word, '=');
	struct slice name = {word, eq != NULL ? (size_t)(eq - word) : strlen(word)};
	const struct option_def *o;

	if (slice_is(name, "help") && eq == NULL) {
		a->help = true;
		return 0;
	}
	o = find_option(a->cmd, name, 0);
	if (o == NULL)
		return fail_option(a->cmd, name, e);
	return set_option(a, o, eq != NULL ? eq + 1 : NULL, cu, e);
}

static int
parse_short(struct args *a, const char *word, struct cursor *cu, struct err *e)
{
	for (; *word != '\0'; word++) {
		const struct option_def *o = find_option(a->cmd, SLICE_NONE, *word);

		if (*word == 'h') {
			a->help = true;
			continue;
		}
		if (o == NULL)
			return err_set(e, ERR_USAGE,
			    "unknown option \"-%.1s\"; see slipring %s --help", word, a->cmd->name);
		if (o->value != NULL)
			return set_option(a, o, word[1] != '\0' ? word + 1 : NULL, cu, e);
		if (set_option(a, o, NULL, cu, e) != 0)
			return -1;
	}
	return 0;
}

static int
parse_rest(struct args *a, struct cursor *cu, struct err *e)
{
	bool options = true;

	a->words = mem_array((size_t)cu->argc, sizeof *a->words);
	while (cu->at < cu->argc) {
		const char *word = cu->argv[cu->at++];
		int r = 0;

		if (options && strcmp(word, "--") == 0)
			options = false;
		else if (options && strncmp(word, "--", 2) == 0)
			r = parse_long(a, word + 2, cu, e);
		else if (options && word[0] == '-' && word[1] != '\0')
			r = parse_short(a, word + 1, cu, e);
		else
			a->words[a->count++] = word;
		if (r != 0)
			return -1;
	}
	return 0;
}

static int
check_count(const struct args *a, struct err *e)
{
	const struct command *c = a->cmd;

	if (a->help || (a->count >= c->min_words && a->count <= c->max_words))
		return 0;
	if (c->max_words == 0)
		return err_set(e, ERR_USAGE, "%s takes no \"%.60s\"; see slipring %s --help",
		    c->name, a->words[0], c->name);
	return err_set(
	    e, ERR_USAGE, "%s wants %s; see slipring %s --help", c->name, c->operands, c->name);
}

/* Is name the first word of a command of two? */
static bool
is_group(const struct command *c, const char *name)
{
	size_t n = strlen(name);

	return strncmp(c->name, name, n) == 0 && c->name[n] == ' ';
}

static const struct command *
find_command(const struct command *const *commands, struct cursor *cu, bool *group)
{
	const char *first = cu->argv[cu->at];
	const char *second = cu->at + 1 < cu->argc ? cu->argv[cu->at + 1] : NULL;

	*group = false;
	for (; *commands != NULL; commands++) {
		const struct command *c = *commands;

		if (strcmp(c->name, first) == 0) {
			cu->at++;
			return c;
		}
		if (!is_group(c, first))
			continue;
		*group = true;
		if (second != NULL && strcmp(c->name + strlen(first) + 1, second) == 0) {
			cu->at += 2;
			return c;
		}
	}
	return NULL;
}

/* "positions" alone, or with a second word that is none of its. */
static int
fail_group(const struct command *const *commands, struct cursor *cu, struct args *a, struct err *e)
{
	const char *first = cu->argv[cu->at];
	const char *second = cu->at + 1 < cu->argc ? cu->argv[cu->at + 1] : "";
	const char *names[NAMES_MAX + 1];
	const char *near;
	size_t n = 0;

	if (strcmp(second, "--help") == 0 || strcmp(second, "-h") == 0) {
		a->help = true;
		a->group = first;
		return 0;
	}
	for (; *commands != NULL && n < NAMES_MAX; commands++)
		if (is_group(*commands, first))
			names[n++] = (*commands)->name + strlen(first) + 1;
	names[n] = NULL;
	near = conf_nearest(second, names);
	if (near != NULL)
		return err_set(e, ERR_USAGE,
		    "unknown command \"%.40s %.40s\"; did you mean \"%.40s %s\"?", first, second,
		    first, near);
	return err_set(e, ERR_USAGE, "%.40s wants one of its commands; see slipring %.40s --help",
	    first, first);
}

static int
fail_command(const struct command *const *commands, const char *given, struct err *e)
{
	const char *names[NAMES_MAX + 1];
	const char *near;
	size_t n = 0;

	for (; *commands != NULL && n < NAMES_MAX; commands++)
		names[n++] = (*commands)->name;
	names[n] = NULL;
	near = conf_nearest(given, names);
	if (near != NULL)
		return err_set(
		    e, ERR_USAGE, "unknown command \"%.60s\"; did you mean \"%s\"?", given, near);
	return err_set(e, ERR_USAGE, "unknown command \"%.60s\"; see slipring --help", given);
}

static int
parse_global(const char *word, struct args *a, struct err *e)
{
	a->help =
	    strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
	a->version = strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0;
	if (a->help || a->version)
		return 0;
	return err_set(e, ERR_USAGE,
	    "unknown option \"%.60s\"; a command comes first, see slipring --help", word);
}

int
command_parse(const struct command *const *commands, int argc, const char *const *argv,
    struct args *out, struct err *e)
{
	struct cursor cu = {argc, argv, 1};
	bool group;

	memset(out, 0, sizeof *out);
	if (argc < 2)
		return err_set(e, ERR_USAGE, "a command is missing; see slipring --help");
	if (strcmp(argv[1], "help") == 0 && argc > 2) {
		out->help = true;
		cu.at = 2;
	} else if (argv[1][0] == '-' || strcmp(argv[1], "help") == 0) {
		return parse_global(argv[1], out, e);
	}
	out->cmd = find_command(commands, &cu, &group);
	if (out->cmd != NULL) {
		if (parse_rest(out, &cu, e) == 0 && check_count(out, e) == 0)
			return 0;
		args_close(out);
		return -1;
	}
	if (group && out->help) {
		out->group = argv[cu.at];
		return 0;
	}
	if (group)
		return fail_group(commands, &cu, out, e);
	return fail_command(commands, argv[cu.at], e);
}

void
args_close(struct args *a)
{
	free(a->words);
	free(a->many);
	memset(a, 0, sizeof *a);
}

const char *
args_get(const struct args *a, const char *option)
{
	const struct option_def *o = find_option(a->cmd, slice_of(option), 0);

	assert(o != NULL);
	return a->values[o - a->cmd->options];
}

int
command_fail(const struct err *e)
{
	struct buf b = BUF_INIT(4096);

	/* Names from the command line, files and peers are in the text. */
	buf_add_printable(&b, slice_of(e->text));
	(void)fflush(stdout);
	(void)fprintf(stderr, "slipring: %s\n", buf_cstr(&b));
	buf_close(&b);
	return err_exit_code(e);
}

void
command_note(const char *fmt, ...)
{
	char text[2048];
	struct buf b = BUF_INIT(6 * sizeof text);
	va_list ap;

	(void)fflush(stdout);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_add_printable(&b, slice_of(text));
	(void)fprintf(stderr, "slipring: %s\n", buf_cstr(&b));
	buf_close(&b);
}

int
command_input_end(int code)
{
	int why = errno;
	struct err e;

	if (feof(stdin) != 0 || ferror(stdout) != 0)
		return code;
	err_errno(&e, why, "cannot read standard input");
	return command_fail(&e);
}

static int
print_help(const struct command *const *commands, const struct args *a)
{
	struct buf out = BUF_INIT(1u << 16);

	if (a->version)
		buf_add_str(&out, "slipring " SLIPRING_VERSION "\n");
	else if (a->cmd != NULL)
		command_help(a->cmd, &out);
	else
		command_overview(commands, a->group, &out);
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_close(&out);
	return EXIT_DONE;
}

/* A reader that went away is its own business; a full disk is not. */
static int
finish_output(int code)
{
	struct err e;

	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	if (errno == EPIPE)
		return code;
	err_errno(&e, errno, "cannot write to standard output");
	(void)command_fail(&e);
	return code != EXIT_DONE ? code : EXIT_FAILED;
}

/* Where whoever started us has closed 0, 1 or 2, the next file or socket would be given
 * that number, and what is said on standard error would be written into it. Reading from
 * and writing to what stands in goes on failing. */
static void
hold_standard(void)
{
	static const int modes[] = {O_WRONLY, O_RDONLY, O_RDONLY};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1)
			(void)open("/dev/null", modes[fd] | O_NOCTTY);
}

int
command_main(const struct command *const *commands, int argc, const char *const *argv)
{
	struct args a;
	struct err e;
	int code;

	hold_standard();
	(void)signal(SIGPIPE, SIG_IGN);
	if (command_parse(commands, argc, argv, &a, &e) != 0)
		return command_fail(&e);
	log_set(LOG_WARN, LOG_LOGFMT); /* run has a level of its own */
	code = a.help || a.version ? print_help(commands, &a) : a.cmd->run(&a);
	args_close(&a);
	log_flush();
	return finish_output(code);
}
