/* daemon/cmd_decrypt.c - `slipring decrypt`: lines that sinks wrote, with what was
 * encrypted opened again.
 *
 * One JSON line after the other from standard input to standard output. What cannot be
 * opened stays as it is and is said on standard error with its line; the exit code is 1
 * then. Keys come from files and go with the process.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "daemon/command.h"
#include "filters/key_file.h"
#include "filters/unseal.h"
#include "record/value.h"

static int
add_key(struct unseal *u, const char *path, struct err *e)
{
	struct secret key = {.bytes = NULL};
	int r;

	if (key_file_read(path, &key, e) != 0)
		return -1;
	r = unseal_add_key(u, &key, e);
	secret_clear(&key);
	return r;
}

static int
begin(const struct args *a, struct unseal **out, struct err *e)
{
	if (a->many_count == 0)
		return err_set(e, ERR_USAGE, "decrypt wants --key-file FILE");
	if (unseal_new(out, args_get(a, "table"), args_get(a, "keys"), e) != 0)
		return -1;
	for (size_t i = 0; i < a->many_count; i++)
		if (add_key(*out, a->many[i], e) != 0) {
			unseal_close(*out);
			return -1;
		}
	return 0;
}

/* Without its line end and blanks around it. */
static struct slice
trimmed(struct slice s)
{
	while (s.n != 0 && (unsigned char)s.p[s.n - 1] <= ' ')
		s.n--;
	while (s.n != 0 && (unsigned char)*s.p <= ' ') {
		s.p++;
		s.n--;
	}
	return s;
}

/* Returns whether all of it could be opened. */
static bool
decrypt_line(struct unseal *u, struct slice line, unsigned long number, struct buf *out)
{
	struct unseal_count count = {.opened = 0};
	struct err e;
	bool ok = true;

	buf_reset(out);
	if (!json_check(line)) {
		command_note("line %lu: it is not JSON", number);
		ok = false;
	} else if (unseal_line(u, line, out, &count, &e) != 0) {
		if (count.failed > 1)
			command_note(
			    "line %lu: %s (and %zu more)", number, e.text, count.failed - 1);
		else
			command_note("line %lu: %s", number, e.text);
		ok = false;
	} else if (count.opened == 0) {
		command_note("line %lu: nothing in it is encrypted", number);
	}
	if (ok || count.failed != 0)
		line = buf_slice(out);
	(void)fwrite(line.p, 1, line.n, stdout);
	(void)putchar('\n');
	return ok;
}

static int
decrypt_input(struct unseal *u)
{
	struct buf out = BUF_INIT((size_t)4 * LIMIT_PAGE_BODY);
	unsigned long number = 0;
	char *line = NULL;
	size_t room = 0;
	bool all = true;
	int code;
	ssize_t n;

	/* Without a reader the rest is of no use, and the input may have no end. */
	while (ferror(stdout) == 0 && (n = getline(&line, &room, stdin)) >= 0) {
		struct slice s = trimmed((struct slice){line, (size_t)n});

		number++;
		if (s.n != 0)
			all = decrypt_line(u, s, number, &out) && all;
	}
	code = command_input_end(all ? EXIT_DONE : EXIT_FAILED);
	free(line);
	buf_close(&out);
	return code;
}

static int
run(const struct args *a)
{
	struct unseal *u;
	struct err e;
	int code;

	if (begin(a, &u, &e) != 0)
		return command_fail(&e);
	code = decrypt_input(u);
	unseal_close(u);
	return code;
}

static const struct option_def options[] = {
    {.name = "key-file",
	.value = "FILE",
	.many = true,
	.doc = "a key of 32 bytes or 64 hexadecimal digits; again for older keys"},
    {.name = "table", .value = "NAME", .doc = "the source table, where lines do not say it"},
    {.name = "keys",
	.value = "NAME[,NAME]",
	.doc = "the table's key attributes, where lines have them in the item only"},
    {.name = NULL},
};

const struct command cmd_decrypt = {
    .name = "decrypt",
    .operands = "",
    .summary = "open what a filter of type encrypt has encrypted",
    .help = "Reads lines as sinks write them (any format, audit trails, bare items) from\n"
	    "standard input and prints them with their encrypted attributes opened. What\n"
	    "cannot be opened stays and is named on standard error. Exit code 0: nothing\n"
	    "was left, 1: something was, 78: a key file is wrong.",
    .options = options,
    .run = run,
};
