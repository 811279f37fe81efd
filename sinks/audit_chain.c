/* sinks/audit_chain.c - see audit_chain.h.
 *
 * Torn or tampered: only the end of the newest file can be torn. A killed
 * process leaves a line without its newline that is the beginning of the very line
 * that was due. A power failure can leave a hole of zeros as well, since the
 * file may have grown before its blocks were written: from the end of the good
 * lines or a sector boundary, to a sector boundary or the end, within what one
 * fdatasync covers. Anything else is not a crash's work. Whoever forges a torn
 * tail has cut the tail, which no chain can show (docs/audit.md).
 */
#include "sinks/audit_chain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sinks/audit_dir.h"

#define SECTOR 512u
#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"

static_assert(sizeof NO_HASH == AUDIT_HEX + 1, "stands where a hash would");

struct walker {
	struct audit_chain *chain;
	struct audit_hash *hash;
	struct audit_reader rd;
	struct audit_walk *walk;
	const char *base; /* file name without directory and .gz */
	size_t base_n;
};

void
audit_chain_begin(struct audit_chain *c)
{
	*c = (struct audit_chain){.head = NO_HASH, .kept_from = 1};
}

static int PRINTF_LIKE(3, 4) wrong(const struct walker *wk, struct err *e, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return err_set(
	    e, ERR_CORRUPT, "audit: %s: line %" PRIu64 ": %s", wk->rd.name, wk->rd.line, text);
}

static int
check_hash(struct walker *wk, const struct audit_line *l, struct err *e)
{
	char hex[AUDIT_HEX + 1];

	if (audit_hash_hex(wk->hash, audit_line_hashed(l), hex, e) != 0)
		return -1;
	if (memcmp(hex, l->hash.p, AUDIT_HEX) != 0)
		return wrong(
		    wk, e, "was changed after it was written: its bytes do not give its hash");
	return 0;
}

static int
check_prev(struct walker *wk, const struct audit_line *l, const char *before, struct err *e)
{
	if (memcmp(wk->chain->head, l->prev.p, AUDIT_HEX) == 0)
		return 0;
	return wrong(wk, e,
	    "does not follow %s: one of the two was put in or replaced, or a line "
	    "between them removed",
	    before);
}

static int
check_header(struct walker *wk, const struct audit_line *l, struct err *e)
{
	struct audit_chain *c = wk->chain;

	if (wk->rd.line != 1)
		return wrong(wk, e, "is the header of a file, but not its first line");
	if (l->format != AUDIT_FORMAT)
		return err_set(e, ERR_VERSION,
		    "audit: %s: line 1: format %u of the trail is not known to "
		    "this program (it knows %u)",
		    wk->rd.name, l->format, AUDIT_FORMAT);
	if (check_hash(wk, l, e) != 0)
		return -1;
	if (!slice_eq(l->file, (struct slice){wk->base, wk->base_n}))
		return wrong(wk, e, "the file was written as %.*s: it was renamed, or is a copy",
		    (int)(l->file.n < 80 ? l->file.n : 80), l->file.p);
	if (c->next == 0) {
		if (l->number == 1 && memcmp(l->prev.p, NO_HASH, AUDIT_HEX) != 0)
			return wrong(wk, e, "claims to be the first file and to follow another");
		c->first = c->next = l->number;
	} else if (l->number > c->next) {
		return wrong(wk, e,
		    "entries %" PRIu64 " to %" PRIu64 " are missing before this file: "
		    "a file was removed or cut",
		    c->next, l->number - 1);
	} else if (l->number < c->next) {
		return wrong(wk, e,
		    "the file begins at entry %" PRIu64 " again, after entry %" PRIu64, l->number,
		    c->next - 1);
	} else if (check_prev(wk, l, "the last line of the file before", e) != 0) {
		return -1;
	}
	if (l->kept_from < c->kept_from || l->kept_from > l->number)
		return wrong(wk, e, "says of the files that were removed what cannot be");
	c->kept_from = l->kept_from;
	return 0;
}

static int
check_entry(struct walker *wk, const struct audit_line *l, struct err *e)
{
	struct audit_chain *c = wk->chain;

	if (l->number > c->next)
		return wrong(wk, e,
		    "is entry %" PRIu64 " where entry %" PRIu64 " should be: a line "
		    "before it was removed, or it was moved here",
		    l->number, c->next);
	if (l->number < c->next)
		return wrong(wk, e,
		    "is entry %" PRIu64 " after entry %" PRIu64 ": a line was repeated, "
		    "moved or put in",
		    l->number, c->next - 1);
	if (check_prev(wk, l, "the line before", e) != 0)
		return -1;
	c->next++;
	wk->walk->entries++;
	return 0;
}

static int
check_note(struct walker *wk, const struct audit_line *l, struct err *e)
{
	if (check_prev(wk, l, "the line before", e) != 0)
		return -1;
	if (l->kept_from == 0)
		return 0;
	if (l->kept_from < wk->chain->kept_from || l->kept_from > wk->chain->next)
		return wrong(wk, e, "says of the files that were removed what cannot be");
	wk->chain->kept_from = l->kept_from;
	return 0;
}

static int
check_line(struct walker *wk, struct slice line, struct audit_line *l, struct err *e)
{
	if (!audit_line_parse(line, l))
		return wrong(wk, e, "is not a line of a trail: it was changed or put in");
	if (l->kind == AUDIT_HEADER) {
		if (check_header(wk, l, e) != 0)
			return -1;
	} else {
		if (wk->rd.line == 1)
			return wrong(
			    wk, e, "is not a header: the first lines of the file were removed");
		if (check_hash(wk, l, e) != 0)
			return -1;
		if ((l->kind == AUDIT_ENTRY ? check_entry : check_note)(wk, l, e) != 0)
			return -1;
	}
	memcpy(wk->chain->head, l->hash.p, AUDIT_HEX);
	return 0;
}

/* Zeros as a power failure leaves them; see the top. */
static bool
has_hole(struct slice line, uint64_t ofs)
{
	const char *z = memchr(line.p, '\0', line.n);
	size_t from, to;

	if (z == NULL)
		return false;
	from = (size_t)(z - line.p);
	if (from != 0 && (ofs + from) % SECTOR != 0)
		return false;
	to = from + (SECTOR - (size_t)((ofs + from) % SECTOR));
	if (to > line.n)
		to = line.n;
	for (size_t i = from; i < to; i++)
		if (line.p[i] != '\0')
			return false;
	return true;
}

/* How much there is from the line just read to the end, up to a bit above limit. */
static int
measure_rest(struct audit_reader *rd, size_t have, uint64_t *out, struct err *e)
{
	struct slice line;
	bool complete;
	int r = 1;

	*out = have;
	while (*out <= AUDIT_GROUP_BYTES && (r = audit_reader_next(rd, &line, &complete, e)) == 1)
		*out += line.n + complete;
	return r < 0 ? -1 : 0;
}

static int
is_torn(struct walker *wk, struct slice line, bool complete, bool *torn, struct err *e)
{
	uint64_t line_no = wk->rd.line, rest;

	*torn = false;
	if (!complete && memchr(line.p, '\0', line.n) == NULL) {
		*torn = line_no > 1 && audit_line_is_torn(line, wk->chain->next);
		return 0;
	}
	if (line_no == 1 || !has_hole(line, wk->walk->end))
		return 0;
	if (measure_rest(&wk->rd, line.n + complete, &rest, e) != 0)
		return -1;
	wk->rd.line = line_no;
	*torn = rest <= AUDIT_GROUP_BYTES;
	return 0;
}

/* 1: go on, 0: the torn end, -1. */
static int
one_line(struct walker *wk, struct slice line, bool complete, bool newest, struct audit_line *l,
    struct err *e)
{
	if (newest && is_torn(wk, line, complete, &wk->walk->torn, e) != 0)
		return -1;
	if (wk->walk->torn)
		return 0;
	if (check_line(wk, line, l, e) != 0)
		return -1;
	if (!complete)
		return wrong(wk, e, "has lost its end: the file was cut or its last byte changed");
	wk->walk->lines++;
	wk->walk->end = wk->rd.ofs;
	return 1;
}

static int
walk(struct walker *wk, bool newest,
    int (*seen)(void *arg, const struct audit_line *l, struct err *e), void *arg, struct err *e)
{
	struct audit_line l;
	struct slice line;
	bool complete;
	int r;

	while ((r = audit_reader_next(&wk->rd, &line, &complete, e)) == 1) {
		r = one_line(wk, line, complete, newest, &l, e);
		if (r <= 0)
			return r;
		if (seen != NULL && seen(arg, &l, e) != 0)
			return err_prefix(e, "audit: %s: line %" PRIu64, wk->rd.name, wk->rd.line);
	}
	if (r == 0 && wk->rd.line == 0) {
		wk->rd.line = 1;
		return wrong(wk, e, "the file is empty: its lines were removed");
	}
	return r;
}

int
audit_walk_file(struct audit_chain *c, struct audit_hash *h, const char *path, bool newest,
    struct audit_walk *w, int (*seen)(void *arg, const struct audit_line *l, struct err *e),
    void *arg, struct err *e)
{
	const char *slash = strrchr(path, '/');
	struct walker wk = {.chain = c, .hash = h, .walk = w};
	int r;

	*w = (struct audit_walk){0};
	wk.base = slash != NULL ? slash + 1 : path;
	wk.base_n = strlen(wk.base);
	if (wk.base_n > 3 && strcmp(wk.base + wk.base_n - 3, AUDIT_GZ) == 0)
		wk.base_n -= 3;
	if (audit_reader_open(&wk.rd, path, e) != 0)
		return -1;
	r = walk(&wk, newest, seen, arg, e);
	audit_reader_close(&wk.rd);
	return r;
}
