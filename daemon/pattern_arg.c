/* daemon/pattern_arg.c - see pattern_arg.h. */
#include "daemon/pattern_arg.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

/* As much as a pattern may be, and room to notice that it is more. */
#define TEXT_MAX (2u << 20)

static int
read_text(const char *arg, struct buf *out, struct err *e)
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

static int
compile(struct slice text, bool plain, struct pattern **out, struct err *e)
{
	int r = plain ? pattern_compile_plain(out, text, e) : pattern_compile(out, text, e);

	if (r == 0 && pattern_remark(*out) != NULL)
		command_note("%s", pattern_remark(*out));
	return r;
}

/* Reads and compiles; the text stays in the buffer. */
static int
take(const struct args *a, struct buf *text, struct pattern **out, struct err *e)
{
	const char *typed = args_get(a, "pattern"), *plain = args_get(a, "plain-pattern");

	*out = NULL;
	if (typed != NULL && plain != NULL)
		return err_set(e, ERR_USAGE, "--pattern and --plain-pattern exclude each other");
	if (typed == NULL && plain == NULL)
		return 0;
	if (read_text(typed != NULL ? typed : plain, text, e) != 0)
		return -1;
	return compile(buf_slice(text), plain != NULL, out, e);
}

int
pattern_arg_compile(const struct args *a, struct pattern **out, struct err *e)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	int r = take(a, &text, out, e);

	buf_close(&text);
	return r;
}

/* The filter's own table fills its own struct. */
static int
fill(struct pattern_arg *p, struct slice text, bool plain, struct err *e)
{
	struct buf yaml = BUF_INIT((size_t)6 * TEXT_MAX);
	struct conf_doc *doc;
	int r;

	buf_addf(&yaml, "plain: %s\npattern: ", plain ? "yes" : "no");
	buf_add_json_string(&yaml, text);
	r = conf_parse(&doc, buf_slice(&yaml), "--pattern", e);
	if (r == 0) {
		p->conf = mem_new(filter_pattern.conf_size);
		r = conf_fill(conf_root(doc), filter_pattern.keys, NULL, p->conf, e);
		conf_close(doc);
	}
	buf_close(&yaml);
	return r;
}

int
pattern_arg_open(struct pattern_arg *p, const struct args *a, struct err *e)
{
	struct buf text = BUF_INIT(TEXT_MAX);
	struct pattern *compiled;
	int r = take(a, &text, &compiled, e);

	*p = (struct pattern_arg){.chain = NULL};
	if (r == 0 && compiled != NULL) {
		r = fill(p, buf_slice(&text), args_get(a, "plain-pattern") != NULL, e);
		if (r == 0) {
			p->chain = chain_new();
			r = chain_add(p->chain, "pattern", &filter_pattern, p->conf, e);
		}
		pattern_close(compiled);
	}
	buf_close(&text);
	return r;
}

void
pattern_arg_close(struct pattern_arg *p)
{
	chain_close(p->chain);
	if (p->conf != NULL) {
		conf_wipe(filter_pattern.keys, p->conf);
		free(p->conf);
	}
	*p = (struct pattern_arg){.chain = NULL};
}
