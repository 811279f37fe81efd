/* daemon/cmd_explain.c - `slipring explain`: what would a filter make of this?
 *
 * With a pattern: one JSON document a line on standard input; per line `match`, or
 * `no match: PATH: why`. With the filters of a configuration: one record a line as
 * GetRecords has it; per line what comes out of the chain. What is no JSON, or no
 * record, is said on standard error with its line and counts as no match.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "checkpoint/letters.h"
#include "daemon/config.h"
#include "daemon/pattern_arg.h"
#include "record/rewrite.h"
#include "record/value.h"

/* What answers the lines: a pattern, or a chain. */
struct explaining {
	struct pattern *pattern;
	struct chain *chain;
	struct origin origin;
	struct buf out;
};

static bool
is_blank(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] > ' ')
			return false;
	return true;
}

/* ---- a pattern ---- */

/* Returns whether it matched. */
static bool
explain_pattern(struct explaining *x, struct slice line, unsigned long number)
{
	if (!json_check(line)) {
		command_note("line %lu is not JSON", number);
		(void)puts("no match: not JSON");
		return false;
	}
	if (pattern_match(x->pattern, line)) {
		(void)puts("match");
		return true;
	}
	pattern_explain(x->pattern, line, &x->out);
	(void)printf("no match: %s\n", buf_cstr(&x->out));
	return false;
}

/* ---- a chain ---- */

static struct slice
without_end(struct slice s)
{
	while (s.n != 0 && (unsigned char)s.p[s.n - 1] <= ' ')
		s.n--;
	return s;
}

/* The filter that has dropped one more than `before` says. */
static const char *
dropped_by(const struct chain *c, const uint64_t *before)
{
	for (size_t i = 0; i < chain_length(c); i++)
		if (chain_counts_of(c, i).dropped != before[i])
			return chain_counts_of(c, i).name;
	return "";
}

/* As the lane does: what filters wrote must still be a record. */
static bool
print_rewritten(struct explaining *x, const struct record *r)
{
	struct slice raw;
	struct page *page;
	struct err e;

	record_write(r, &x->out);
	raw = buf_slice(&x->out);
	if (x->out.failed || page_of_records(&page, &raw, 1, &e) != 0) {
		(void)printf("rejected: what the filters wrote is no record: %s\n",
		    x->out.failed ? "too large" : e.text);
		return false;
	}
	page_unref(page);
	(void)printf("rewritten: %s\n", buf_cstr(&x->out));
	return true;
}

static bool
explain_record(struct explaining *x, const struct record *r)
{
	uint64_t *before = mem_array(chain_length(x->chain), sizeof *before);
	struct record changed = *r;
	bool out = false;
	struct err why;

	for (size_t i = 0; i < chain_length(x->chain); i++)
		before[i] = chain_counts_of(x->chain, i).dropped;
	switch (chain_apply(x->chain, &changed, &x->origin, &why)) {
	case FILTER_KEEP:
		(void)printf("kept: %.*s\n", (int)r->raw.n, r->raw.p);
		out = true;
		break;
	case FILTER_REWRITE:
		out = print_rewritten(x, &changed);
		break;
	case FILTER_DROP:
		(void)printf("dropped by %s\n", dropped_by(x->chain, before));
		break;
	case FILTER_REJECT:
		(void)printf("rejected: %s\n", why.text);
		break;
	}
	free(before);
	return out;
}

static bool
explain_chain(struct explaining *x, struct slice line, unsigned long number)
{
	struct slice raw = without_end(line);
	struct page *page;
	struct err e;
	bool out;

	if (!json_check(raw) || page_of_records(&page, &raw, 1, &e) != 0) {
		command_note(
		    "line %lu is not a record: %s", number, json_check(raw) ? e.text : "not JSON");
		(void)puts("not a record");
		return false;
	}
	out = explain_record(x, &page->records[0]);
	page_unref(page);
	return out;
}

/* The chain that --filters names, in that order. */
static int
open_chain(struct explaining *x, const struct config *c, const char *list, struct err *e)
{
	x->chain = chain_new();
	while (*list != '\0') {
		size_t n = strcspn(list, ",");
		char name[LIMIT_NAME + 1];
		const struct filter_config *f;

		(void)snprintf(name, sizeof name, "%.*s", (int)n, list);
		f = config_filter(c, name);
		if (f == NULL)
			return err_set(e, ERR_CONFIG,
			    "there is no filter \"%s\"; --filters takes names from the "
			    "configuration's \"filters\", with commas between them",
			    name);
		if (chain_add(x->chain, f->name, f->ops, f->conf, e) != 0)
			return -1;
		list += n;
		list += *list == ',';
	}
	return 0;
}

/* ---- all lines ---- */

static int
explain_input(struct explaining *x)
{
	unsigned long number = 0;
	char *line = NULL;
	size_t room = 0;
	bool all = true;
	int code;
	ssize_t n;

	/* Without a reader the rest is of no use, and the input may have no end. */
	while (ferror(stdout) == 0 && (n = getline(&line, &room, stdin)) >= 0) {
		struct slice s = {line, (size_t)n};

		number++;
		if (is_blank(s))
			continue;
		buf_reset(&x->out);
		all = (x->pattern != NULL ? explain_pattern(x, s, number)
					  : explain_chain(x, s, number)) &&
		    all;
	}
	code = command_input_end(all ? EXIT_DONE : EXIT_FAILED);
	free(line);
	return code;
}

/* Which stream a record came from is not in it; filters want some name. */
static char *
name_origin(struct explaining *x, const struct config *c)
{
	const struct feed_conf *fc;
	const char *named;
	char *table;

	x->origin = (struct origin){.stream = "", .table = "", .arn = "", .label = "", .shard = ""};
	if (c->stream_count == 0)
		return NULL;
	fc = &c->streams[0].feed;
	named = fc->table != NULL ? fc->table : fc->arn;
	table = strncmp(named, "arn:", 4) == 0 ? mem_slicedup(arn_table_name(named))
					       : mem_strdup(named);
	x->origin.stream = c->streams[0].name;
	x->origin.table = table;
	return table;
}

static int
run_chain(struct explaining *x, const struct args *a)
{
	struct config *c;
	struct err e;
	char *table;
	int code;

	if (config_load(&c, args_get(a, "config"), &e) != 0)
		return command_fail(&e);
	table = name_origin(x, c);
	code =
	    open_chain(x, c, args_get(a, "filters"), &e) == 0 ? explain_input(x) : command_fail(&e);
	chain_close(x->chain);
	free(table);
	config_close(c);
	return code;
}

static int
run(const struct args *a)
{
	struct explaining x = {.out = BUF_INIT((size_t)4 * LIMIT_PAGE_BODY)};
	struct err e;
	int code;

	if (pattern_arg_compile(a, &x.pattern, &e) != 0)
		return command_fail(&e);
	if ((x.pattern != NULL) == (args_get(a, "filters") != NULL)) {
		err_set(&e, ERR_USAGE,
		    "explain wants one of --pattern, --plain-pattern (JSON or @FILE) and "
		    "--filters");
		code = command_fail(&e);
	} else {
		code = x.pattern != NULL ? explain_input(&x) : run_chain(&x, a);
	}
	pattern_close(x.pattern);
	buf_close(&x.out);
	return code;
}

static const struct option_def options[] = {
    OPTION_PATTERN,
    OPTION_PLAIN_PATTERN,
    {.name = "filters", .value = "NAME,NAME", .doc = "filters of the configuration, in this order"},
    OPTION_CONFIG,
    {.name = NULL},
};

const struct command cmd_explain = {
    .name = "explain",
    .operands = "",
    .summary = "say which documents a pattern matches, or what filters make of records",
    .help = "With a pattern: reads one JSON document a line from standard input and prints for\n"
	    "each \"match\" or \"no match: PATH: why\". A plain pattern reads stream records.\n"
	    "With --filters: reads one record of GetRecords a line and prints \"kept: RECORD\",\n"
	    "\"rewritten: RECORD\", \"dropped by NAME\" or \"rejected: why\". Exit code 0: all "
	    "matched\n"
	    "or came out, 1: some did not, 78: the pattern or the configuration is invalid.",
    .options = options,
    .run = run,
};
