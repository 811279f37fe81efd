/* daemon/findings.c - see findings.h. */
#include "daemon/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/paint.h"

/* DDL for a wide table. */
#define TEXT_MAX (64u << 10)

static const struct {
	const char *word;
	enum paint paint;
} kinds[] = {
    [SINK_FOUND_OK] = {"ok", PAINT_GREEN},
    [SINK_FOUND_NOTE] = {"note", PAINT_YELLOW},
    [SINK_FOUND_BAD] = {"bad", PAINT_RED},
};

void
findings_begin(struct findings *f)
{
	*f = (struct findings){.color = paint_wanted(NULL, isatty(STDOUT_FILENO) == 1)};
}

static void
print_line(const char *p, size_t n)
{
	struct buf b = BUF_INIT(TEXT_MAX);

	/* Names and peers' words are in it. */
	buf_add_printable(&b, (struct slice){p, n});
	(void)printf("%s\n", buf_cstr(&b));
	buf_close(&b);
}

void
findings_say(struct findings *f, enum sink_finding kind, const char *about, const char *text)
{
	enum paint p = kinds[kind].paint;
	size_t n = strcspn(text, "\n");

	f->count[kind]++;
	if (kind == SINK_FOUND_BAD && f->code == EXIT_DONE)
		f->code = EXIT_FAILED;
	(void)printf("%s%-4s%s  %s: ", paint_on(f->color, p), kinds[kind].word,
	    paint_off(f->color, p), about);
	print_line(text, n);
	while (text[n] != '\0') {
		text += n + 1;
		n = strcspn(text, "\n");
		if (n == 0)
			continue;
		(void)printf("        ");
		/* Statements are there to be taken over: a tab would be shown as \t. */
		for (; *text == '\t'; text++, n--)
			(void)printf("    ");
		print_line(text, n);
	}
	(void)fflush(stdout); /* the next question may take seconds */
}

void
findings_sayf(struct findings *f, enum sink_finding kind, const char *about, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	findings_say(f, kind, about, text);
}

void
findings_fail(struct findings *f, const char *about, const struct err *e)
{
	if (f->code == EXIT_DONE)
		f->code = err_exit_code(e);
	findings_say(f, SINK_FOUND_BAD, about, e->text);
}
