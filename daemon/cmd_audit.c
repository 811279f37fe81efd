/* daemon/cmd_audit.c - `slipring audit verify`. */
#include <stdio.h>

#include <jansson.h>

#include "daemon/command.h"
#include "sinks/audit_verify.h"

static void
print_json(const struct audit_report *r)
{
	json_t *o = json_pack("{s:I, s:I, s:I, s:I, s:s, s:b, s:b}", "files", (json_int_t)r->files,
	    "entries", (json_int_t)r->entries, "first_entry", (json_int_t)r->first_entry,
	    "last_entry", (json_int_t)r->last_entry, "head_hash", r->head_hash, "pruned", r->pruned,
	    "torn_tail", r->torn_tail);

	(void)json_dumpf(o, stdout, JSON_INDENT(2));
	(void)putchar('\n');
	json_decref(o);
}

static void
print_text(const struct audit_report *r)
{
	if (r->entries == 0)
		(void)printf("ok: no entries in %llu files\n", (unsigned long long)r->files);
	else
		(void)printf(
		    "ok: %llu entries, %llu to %llu, in %llu files\nhash of the last: %s\n",
		    (unsigned long long)r->entries, (unsigned long long)r->first_entry,
		    (unsigned long long)r->last_entry, (unsigned long long)r->files, r->head_hash);
	if (r->pruned)
		(void)puts("earlier entries were removed by retention; the chain holds from the "
			   "first that "
			   "is left");
	if (r->torn_tail)
		(void)puts(
		    "the last line is unfinished, as after a crash; the daemon cuts it at its next "
		    "start");
}

static int
run(const struct args *a)
{
	struct audit_report r;
	struct err e;

	if (audit_verify((const char *const *)a->words, a->count, &r, &e) != 0)
		return command_fail(&e);
	if (args_get(a, "json") != NULL)
		print_json(&r);
	else
		print_text(&r);
	return EXIT_DONE;
}

static const struct option_def options[] = {OPTION_JSON, {.name = NULL}};

const struct command cmd_audit_verify = {
    .name = "audit verify",
    .operands = "PATH...",
    .summary = "prove an audit trail untouched",
    .help = "PATH is a trail's directory or one of its files. What was changed, removed or put\n"
	    "in another order is named with file and line, and the exit code is 1. A tail that\n"
	    "was cut off whole shows only against a hash noted elsewhere.",
    .options = options,
    .min_words = 1,
    .max_words = 10000,
    .run = run,
};
