/* sinks/audit_dir.c - see audit_dir.h. */
#include "sinks/audit_dir.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "base/mem.h"
#include "sinks/audit_line.h"

#define READ_BYTES (256u << 10)

static bool
digits(const char **p, size_t n, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9' || __builtin_mul_overflow(*out, 10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(**p - '0'), out))
			return false;
	}
	return true;
}

bool
audit_name_parse(const char *name, struct audit_name *out)
{
	const char *p = name;
	uint64_t date, clock;
	struct tm tm = {0};

	*out = (struct audit_name){0};
	if (strncmp(p, "audit-", 6) != 0)
		return false;
	p += 6;
	if (!digits(&p, 20, &out->first) || *p++ != '-' || !digits(&p, 8, &date) || *p++ != 'T' ||
	    !digits(&p, 6, &clock) || strncmp(p, "Z.ndjson", 8) != 0)
		return false;
	p += 8;
	out->gz = strcmp(p, AUDIT_GZ) == 0;
	tm.tm_year = (int)(date / 10000) - 1900;
	tm.tm_mon = (int)(date / 100 % 100) - 1;
	tm.tm_mday = (int)(date % 100);
	tm.tm_hour = (int)(clock / 10000);
	tm.tm_min = (int)(clock / 100 % 100);
	tm.tm_sec = (int)(clock % 100);
	out->created_s = timegm(&tm);
	return out->first != 0 && (out->gz || *p == '\0');
}

void
audit_name_make(char *out, uint64_t first, int64_t now_us)
{
	time_t t = (time_t)(now_us / 1000000);
	struct tm tm;
	char when[32] = "";

	/* Years of other than four digits would not sort. */
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year < 70 || tm.tm_year > 9999 - 1900)
		tm = (struct tm){.tm_year = 70, .tm_mday = 1};
	(void)strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &tm);
	(void)snprintf(
	    out, AUDIT_NAME_MAX, "audit-%020llu-%s.ndjson", (unsigned long long)first, when);
}

static int
by_first(const void *a, const void *b)
{
	const struct audit_name *x = a, *y = b;

	if (x->first != y->first)
		return x->first < y->first ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Sorted, X.ndjson stands right before X.ndjson.gz. */
static void
drop_halves(struct audit_names *l)
{
	size_t to = 0;

	for (size_t i = 0; i < l->n; i++) {
		size_t n = strlen(l->v[i].name) - (sizeof AUDIT_GZ - 1);

		if (to > 0 && l->v[i].gz && !l->v[to - 1].gz && strlen(l->v[to - 1].name) == n &&
		    strncmp(l->v[to - 1].name, l->v[i].name, n) == 0)
			free(l->v[i].name);
		else
			l->v[to++] = l->v[i];
	}
	l->n = to;
}

int
audit_names_list(struct audit_names *out, const char *dir, struct err *e)
{
	struct dirent *de;
	DIR *d = opendir(dir);
	int errnum;

	*out = (struct audit_names){0};
	if (d == NULL)
		return err_errno(e, errno, "audit: cannot open directory %s", dir);
	while ((errno = 0, de = readdir(d)) != NULL) {
		struct audit_name one;

		if (!audit_name_parse(de->d_name, &one))
			continue;
		one.name = mem_strdup(de->d_name);
		out->v = mem_grow(out->v, out->n + 1, sizeof *out->v);
		out->v[out->n++] = one;
	}
	errnum = errno;
	(void)closedir(d);
	if (errnum != 0) {
		audit_names_close(out);
		return err_errno(e, errnum, "audit: cannot read directory %s", dir);
	}
	if (out->n > 0)
		qsort(out->v, out->n, sizeof *out->v, by_first);
	drop_halves(out);
	return 0;
}

void
audit_names_close(struct audit_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
	*l = (struct audit_names){0};
}

int
audit_reader_open(struct audit_reader *r, const char *path, struct err *e)
{
	size_t n = strlen(path);
	bool gz = n > 3 && strcmp(path + n - 3, AUDIT_GZ) == 0;

	*r = (struct audit_reader){.name = path, .b = BUF_INIT(AUDIT_LINE_MAX + READ_BYTES)};
	r->gz = gzopen(path, "rbe");
	if (r->gz == NULL)
		return err_errno(e, errno != 0 ? errno : ENOMEM, "audit: cannot open %s", path);
	(void)gzbuffer(r->gz, READ_BYTES);
	/* zlib looks at the first bytes, not at the name. */
	if (!gz == gzdirect(r->gz))
		return 0;
	audit_reader_close(r);
	return err_set(e, ERR_CORRUPT,
	    gz ? "audit: %s: line 1: the file is not in gzip format"
	       : "audit: %s: line 1: the file is in gzip format, against its name",
	    path);
}

void
audit_reader_close(struct audit_reader *r)
{
	if (r->gz != NULL)
		(void)gzclose(r->gz);
	r->gz = NULL;
	buf_close(&r->b);
}

/* More bytes behind what is there, or r->end. */
static int
fill(struct audit_reader *r, struct err *e)
{
	int got, code = Z_OK;

	if (r->at > 0) {
		memmove(r->b.p, r->b.p + r->at, r->b.n - r->at);
		r->b.n -= r->at;
		r->at = 0;
	}
	if (!buf_reserve(&r->b, READ_BYTES))
		return err_set(e, ERR_CORRUPT,
		    "audit: %s: line %llu: is longer than any line of a trail", r->name,
		    (unsigned long long)r->line + 1);
	got = gzread(r->gz, r->b.p + r->b.n, READ_BYTES);
	if (got > 0) {
		r->b.n += (size_t)got;
		return 0;
	}
	(void)gzerror(r->gz, &code);
	if (got == 0 && code != Z_BUF_ERROR) {
		r->end = true;
		return 0;
	}
	if (code == Z_ERRNO)
		return err_errno(e, errno, "audit: cannot read %s", r->name);
	return err_set(e, ERR_CORRUPT,
	    "audit: %s: line %llu: its gzip stream is damaged or cut here", r->name,
	    (unsigned long long)r->line + 1);
}

int
audit_reader_next(struct audit_reader *r, struct slice *line, bool *complete, struct err *e)
{
	size_t seen = 0;
	const char *lf = NULL;

	for (;;) {
		size_t have = r->b.n - r->at;

		if (have > seen)
			lf = memchr(r->b.p + r->at + seen, '\n', have - seen);
		if (lf != NULL || r->end)
			break;
		seen = have;
		if (fill(r, e) != 0)
			return -1;
	}
	*complete = lf != NULL;
	*line = (struct slice){r->b.p + r->at, r->b.n - r->at};
	if (lf != NULL)
		line->n = (size_t)(lf - line->p);
	else if (line->n == 0)
		return 0;
	r->at += line->n + *complete;
	r->ofs += line->n + *complete;
	r->line++;
	return 1;
}
