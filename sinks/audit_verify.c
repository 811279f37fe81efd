/* sinks/audit_verify.c - see audit_verify.h.
 *
 * A directory is a trail of its own: all of its files must be there, from entry
 * 1 or from where the trail itself says that retention has removed the rest.
 * Files given by name are checked as far as they go.
 */
#include "sinks/audit_verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sinks/audit_chain.h"
#include "sinks/audit_dir.h"

struct verifier {
	struct audit_hash hash;
	struct audit_chain chain;
	struct audit_report *out;
};

/* The daemon may have compressed it since it was listed. */
static int
walk_either(struct verifier *v, const char *path, bool newest, struct audit_walk *w, struct err *e)
{
	struct audit_chain before = v->chain;
	struct buf gz = BUF_INIT(8192);
	int r = audit_walk_file(&v->chain, &v->hash, path, newest, w, NULL, NULL, e);
	struct stat st;

	if (r == 0 || e->code != ERR_IO || stat(path, &st) == 0)
		return r;
	buf_addf(&gz, "%s" AUDIT_GZ, path);
	if (stat(buf_cstr(&gz), &st) == 0) {
		v->chain = before;
		r = audit_walk_file(&v->chain, &v->hash, buf_cstr(&gz), newest, w, NULL, NULL, e);
	}
	buf_close(&gz);
	return r;
}

static int
verify_file(struct verifier *v, const char *path, bool newest, struct err *e)
{
	struct audit_report *out = v->out;
	struct audit_walk w;

	if (walk_either(v, path, newest, &w, e) != 0)
		return -1;
	out->files++;
	out->entries += w.entries;
	out->torn_tail |= w.torn;
	memcpy(out->head_hash, v->chain.head, sizeof out->head_hash);
	if (w.entries == 0)
		return 0;
	if (out->first_entry == 0)
		out->first_entry = v->chain.next - w.entries;
	out->last_entry = v->chain.next - 1;
	return 0;
}

/* Files before the first one: removed by retention, by the trail's own word? */
static int
check_beginning(struct verifier *v, const char *path, struct err *e)
{
	if (v->chain.first > 1)
		v->out->pruned = true;
	if (v->chain.first <= v->chain.kept_from)
		return 0;
	return err_set(e, ERR_CORRUPT,
	    "audit: %s: line 1: entries %" PRIu64 " to %" PRIu64
	    " are missing before this file, and the trail does not say that retention removed them",
	    path, v->chain.kept_from, v->chain.first - 1);
}

static int
verify_dir(struct verifier *v, const char *dir, struct err *e)
{
	struct buf path = BUF_INIT(8192), first = BUF_INIT(8192);
	struct audit_names names;
	int r = 0;

	if (audit_names_list(&names, dir, e) != 0)
		return -1;
	if (names.n == 0)
		r = err_set(e, ERR_NOT_FOUND, "audit: %s holds no audit-*.ndjson file", dir);
	audit_chain_begin(&v->chain);
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		buf_reset(&path);
		buf_addf(&path, "%s/%s", dir, names.v[i].name);
		if (i == 0)
			buf_add_slice(&first, buf_slice(&path));
		r = verify_file(v, buf_cstr(&path), i + 1 == names.n, e);
	}
	if (r == 0)
		r = check_beginning(v, buf_cstr(&first), e);
	buf_close(&path);
	buf_close(&first);
	audit_names_close(&names);
	return r;
}

static bool
is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int
by_base(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	const char *bx = strrchr(x, '/'), *by = strrchr(y, '/');
	int r = strcmp(bx != NULL ? bx + 1 : x, by != NULL ? by + 1 : y);

	return r != 0 ? r : strcmp(x, y);
}

static int
verify_files(struct verifier *v, const char **paths, size_t n, struct err *e)
{
	if (n == 0)
		return 0;
	qsort(paths, n, sizeof *paths, by_base);
	audit_chain_begin(&v->chain);
	for (size_t i = 0; i < n; i++)
		if (verify_file(v, paths[i], i + 1 == n, e) != 0)
			return -1;
	if (v->chain.first > 1)
		v->out->pruned = true;
	return 0;
}

int
audit_verify(const char *const *paths, size_t count, struct audit_report *out, struct err *e)
{
	const char **files = calloc(count + 1, sizeof *files);
	struct verifier v = {.out = out};
	size_t n = 0;
	int r;

	*out = (struct audit_report){0};
	if (files == NULL)
		return err_set(e, ERR_NOMEM, "audit: no memory for %zu paths", count);
	r = audit_hash_open(&v.hash, e);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (is_dir(paths[i]))
			r = verify_dir(&v, paths[i], e);
		else
			files[n++] = paths[i];
	}
	if (r == 0)
		r = verify_files(&v, files, n, e);
	audit_hash_close(&v.hash);
	free(files);
	return r;
}
