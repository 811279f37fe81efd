/* Every way a trail can be tampered with is named by file and line; what a
 * crash or retention did is not taken for tampering. */
#include "tests/unit/audit_support.h"

#include <zlib.h>

#include "sinks/audit_file.h"
#include "sinks/audit_verify.h"

#define DAY (INT64_C(24) * 3600 * USEC_SEC)
#define NOW (INT64_C(1795246177) * USEC_SEC)
#define FILES 4u
#define PER_FILE 10u

struct trail {
	char *dir;
	char **names;
	size_t n;
};

static void
write_trail(const char *dir, struct audit_conf *c, unsigned files)
{
	struct sample *v = samples_new(1, files * PER_FILE, &sample_origin);
	struct audit_file f;
	struct err e;

	assert_int_equal(audit_file_open(&f, c, "trail", NOW, &e), 0);
	for (unsigned i = 0; i < files * PER_FILE; i++) {
		if (i > 0 && i % PER_FILE == 0)
			assert_int_equal(
			    audit_file_rotate(&f, NOW + (int64_t)(i / PER_FILE) * DAY, &e), 0);
		assert_int_equal(audit_file_add(&f, &v[i].rec, &sample_origin, NOW), AUDIT_ADDED);
	}
	assert_int_equal(audit_file_commit(&f, &e), 0);
	while (audit_file_compress(&f, 1u << 20))
		;
	audit_file_close(&f);
	free(v);
	(void)dir;
}

static void
trail_open(struct trail *t, bool compress)
{
	struct audit_conf c = {
	    .rotate_size = 1 << 30, .rotate_age_us = 365 * DAY, .compress = compress};

	t->dir = dir_new();
	c.directory = t->dir;
	write_trail(t->dir, &c, FILES);
	t->names = dir_names(t->dir, "audit-", &t->n);
	assert_int_equal(t->n, FILES);
}

static void
trail_close(struct trail *t)
{
	names_close(t->names);
	dir_close(t->dir);
}

static int
verify(const char *dir, struct audit_report *r, struct err *e)
{
	return audit_verify(&dir, 1, r, e);
}

static void
expect_ok(const char *dir, uint64_t entries)
{
	struct audit_report r;
	struct err e = {.text = ""};

	if (verify(dir, &r, &e) != 0)
		fail_msg("does not verify: %s", e.text);
	assert_int_equal(r.entries, entries);
	assert_int_equal(strlen(r.head_hash), 64);
}

/* The message names this file, this line and says what. */
static void
expect_wrong(const char *dir, const char *name, unsigned line, const char *what)
{
	struct audit_report r;
	struct err e;
	char place[256];

	if (verify(dir, &r, &e) == 0)
		fail_msg("a tampered trail verifies (%s)", what);
	(void)snprintf(place, sizeof place, "%s/%s: line %u: ", dir, name, line);
	if (e.code != ERR_CORRUPT || strstr(e.text, place) == NULL || strstr(e.text, what) == NULL)
		fail_msg("\"%s\"\n does not say \"%s\" ... \"%s\"", e.text, place, what);
}

/* ---- line surgery ---- */

struct lines {
	struct buf text;
	struct slice v[64]; /* with their newlines */
	size_t n;
};

static struct lines
lines_read(const struct trail *t, size_t file)
{
	char *path = path_in(t->dir, t->names[file]);
	struct lines l = {.text = file_read(path)};
	size_t at = 0;

	while (at < l.text.n) {
		const char *lf = memchr(l.text.p + at, '\n', l.text.n - at);

		assert_non_null(lf);
		l.v[l.n++] = (struct slice){l.text.p + at, (size_t)(lf - l.text.p) - at + 1};
		at += l.v[l.n - 1].n;
	}
	free(path);
	return l;
}

static void
lines_write(const struct trail *t, size_t file, struct lines *l)
{
	char *path = path_in(t->dir, t->names[file]);
	struct buf out = BUF_INIT(1u << 24);

	for (size_t i = 0; i < l->n; i++)
		buf_add_slice(&out, l->v[i]);
	file_write(path, out.p, out.n);
	buf_close(&out);
	buf_close(&l->text);
	free(path);
}

static void
intact(void **state)
{
	struct trail t;
	struct audit_report r;
	struct err e;

	(void)state;
	trail_open(&t, false);
	assert_int_equal(verify(t.dir, &r, &e), 0);
	assert_int_equal(r.files, FILES);
	assert_int_equal(r.entries, FILES * PER_FILE);
	assert_int_equal(r.first_entry, 1);
	assert_int_equal(r.last_entry, FILES * PER_FILE);
	assert_false(r.pruned);
	assert_false(r.torn_tail);
	trail_close(&t);
}

/* Each byte of a whole file, in turn, with one bit turned: never passed over,
 * and the line named is the one hit (or, for its newline, that line too). */
static void
flipped_byte(void **state)
{
	struct trail t;
	struct lines l;
	size_t at = 0;
	char *path;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 1);
	path = path_in(t.dir, t.names[1]);
	for (size_t line = 0; line < l.n; line++) {
		for (size_t i = 0; i < l.v[line].n; i += 1 + i % 3, at++) {
			struct audit_report r;
			size_t pos = (size_t)(l.v[line].p - l.text.p) + i;
			char place[256];
			struct err e;

			l.text.p[pos] = (char)(l.text.p[pos] ^ 1 << (pos % 7));
			file_write(path, l.text.p, l.text.n);
			l.text.p[pos] = (char)(l.text.p[pos] ^ 1 << (pos % 7));
			assert_int_equal(verify(t.dir, &r, &e), -1);
			(void)snprintf(place, sizeof place, "%s: line %zu: ", path, line + 1);
			if (strstr(e.text, place) == NULL && e.code != ERR_VERSION)
				fail_msg(
				    "byte %zu: \"%s\" does not name \"%s\"", pos, e.text, place);
		}
	}
	file_write(path, l.text.p, l.text.n);
	expect_ok(t.dir, FILES * PER_FILE);
	buf_close(&l.text);
	free(path);
	trail_close(&t);
}

/* In the newest file too, where a torn tail is allowed: every byte, the very last too. */
static void
flipped_byte_in_newest(void **state)
{
	struct trail t;
	struct lines l;
	char *path;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, FILES - 1);
	path = path_in(t.dir, t.names[FILES - 1]);
	for (size_t pos = l.text.n - 2 * l.v[l.n - 1].n; pos < l.text.n; pos++) {
		unsigned line = pos < l.text.n - l.v[l.n - 1].n ? PER_FILE : PER_FILE + 1;
		char was = l.text.p[pos];

		l.text.p[pos] = was == 'x' ? 'y' : 'x';
		file_write(path, l.text.p, l.text.n);
		expect_wrong(t.dir, t.names[FILES - 1], line, "");
		l.text.p[pos] = '\0';
		file_write(path, l.text.p, l.text.n);
		expect_wrong(t.dir, t.names[FILES - 1], line, "");
		l.text.p[pos] = was;
	}
	buf_close(&l.text);
	free(path);
	trail_close(&t);
}

static void
removed_line(void **state)
{
	struct trail t;
	struct lines l;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 1);
	memmove(&l.v[4], &l.v[5], (l.n - 5) * sizeof l.v[0]);
	l.n--;
	lines_write(&t, 1, &l);
	expect_wrong(t.dir, t.names[1], 5, "is entry 15 where entry 14 should be");
	trail_close(&t);
}

/* The last line of a file in the middle: seen where the next file begins. */
static void
removed_last_line(void **state)
{
	struct trail t;
	struct lines l;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 1);
	l.n--;
	lines_write(&t, 1, &l);
	expect_wrong(t.dir, t.names[2], 1, "entries 20 to 20 are missing before this file");
	trail_close(&t);
}

static void
removed_header(void **state)
{
	struct trail t;
	struct lines l;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 1);
	memmove(&l.v[0], &l.v[1], (l.n - 1) * sizeof l.v[0]);
	l.n--;
	lines_write(&t, 1, &l);
	expect_wrong(t.dir, t.names[1], 1, "is not a header");
	trail_close(&t);
}

static void
swapped_lines(void **state)
{
	struct trail t;
	struct lines l;
	struct slice was;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 2);
	was = l.v[6];
	l.v[6] = l.v[7];
	l.v[7] = was;
	lines_write(&t, 2, &l);
	expect_wrong(t.dir, t.names[2], 7, "is entry 27 where entry 26 should be");
	trail_close(&t);
}

/* A line forged with a right hash of its own and the right line before: the
 * next one does not follow it. */
static void
inserted_line(void **state)
{
	struct buf forged = BUF_INIT(1u << 16);
	struct audit_hash h;
	struct trail t;
	struct lines l;
	struct sample s;
	char head[65] = "";
	struct err e;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 1);
	/* Line 5 is entry 14; put another in front of it. */
	assert_int_equal(audit_hash_open(&h, &e), 0);
	memcpy(head, l.v[3].p + l.v[3].n - 67, 64);
	sample_init(&s, 999, &sample_origin);
	audit_write_entry(&forged, 14, &s.rec, &sample_origin);
	assert_int_equal(audit_seal(&h, &forged, 0, head, &e), 0);
	memmove(&l.v[5], &l.v[4], (l.n - 4) * sizeof l.v[0]);
	l.v[4] = buf_slice(&forged);
	l.n++;
	lines_write(&t, 1, &l);
	expect_wrong(t.dir, t.names[1], 6, "is entry 14 after entry 14");
	/* In place of entry 14: right number, wrong hash before the next. */
	l = lines_read(&t, 1);
	memmove(&l.v[5], &l.v[6], (l.n - 6) * sizeof l.v[0]);
	l.n--;
	lines_write(&t, 1, &l);
	expect_wrong(t.dir, t.names[1], 6, "does not follow the line before");
	audit_hash_close(&h);
	buf_close(&forged);
	trail_close(&t);
}

static void
foreign_line(void **state)
{
	struct trail t;
	struct lines l;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 1);
	memmove(&l.v[4], &l.v[3], (l.n - 3) * sizeof l.v[0]);
	l.v[3] = SLICE_LIT("\n");
	l.n++;
	lines_write(&t, 1, &l);
	expect_wrong(t.dir, t.names[1], 4, "is not a line of a trail");
	trail_close(&t);
}

static void
removed_file(void **state)
{
	struct trail t;
	char *path;

	(void)state;
	trail_open(&t, false);
	path = path_in(t.dir, t.names[1]);
	assert_int_equal(unlink(path), 0);
	expect_wrong(t.dir, t.names[2], 1, "entries 11 to 20 are missing before this file");
	free(path);
	trail_close(&t);
}

static void
removed_oldest_file(void **state)
{
	struct trail t;
	char *path;

	(void)state;
	trail_open(&t, false);
	path = path_in(t.dir, t.names[0]);
	assert_int_equal(unlink(path), 0);
	expect_wrong(t.dir, t.names[1], 1, "the trail does not say that retention removed them");
	free(path);
	trail_close(&t);
}

static void
emptied_file(void **state)
{
	struct trail t;
	char *path;

	(void)state;
	trail_open(&t, false);
	path = path_in(t.dir, t.names[FILES - 1]);
	file_write(path, "", 0);
	expect_wrong(t.dir, t.names[FILES - 1], 1, "the file is empty");
	free(path);
	trail_close(&t);
}

static void
renamed_file(void **state)
{
	const char *name = "audit-00000000000000000011-20200101T000000Z.ndjson";
	struct trail t;
	char *from, *to;

	(void)state;
	trail_open(&t, false);
	from = path_in(t.dir, t.names[1]);
	to = path_in(t.dir, name);
	assert_int_equal(rename(from, to), 0);
	expect_wrong(t.dir, name, 1, t.names[1]);
	assert_int_equal(rename(to, from), 0);
	free(to);
	/* A copy under another name beside it. */
	to = path_in(t.dir, "audit-00000000000000000015-20300101T000000Z.ndjson");
	assert_int_equal(link(from, to), 0);
	expect_wrong(t.dir, "audit-00000000000000000015-20300101T000000Z.ndjson", 1, "is a copy");
	free(from);
	free(to);
	trail_close(&t);
}

/* Two files whose contents were exchanged. */
static void
exchanged_files(void **state)
{
	struct trail t;
	struct lines a, b;

	(void)state;
	trail_open(&t, false);
	a = lines_read(&t, 1);
	b = lines_read(&t, 2);
	lines_write(&t, 2, &a);
	lines_write(&t, 1, &b);
	expect_wrong(t.dir, t.names[1], 1, "was renamed, or is a copy");
	trail_close(&t);
}

/* A file cut in the middle of a line is torn only at the very end of the trail. */
static void
torn_or_cut(void **state)
{
	struct audit_report r;
	struct trail t;
	struct lines l;
	struct err e;
	char *path;

	(void)state;
	trail_open(&t, false);
	path = path_in(t.dir, t.names[FILES - 1]);
	l = lines_read(&t, FILES - 1);
	for (size_t cut = 1; cut < l.v[l.n - 1].n; cut++) {
		assert_int_equal(truncate(path, (off_t)(l.text.n - cut)), 0);
		assert_int_equal(verify(t.dir, &r, &e), 0);
		assert_true(r.torn_tail);
		assert_int_equal(r.last_entry, FILES * PER_FILE - 1);
	}
	file_write(path, l.text.p, l.text.n);
	free(path);
	buf_close(&l.text);
	path = path_in(t.dir, t.names[1]);
	l = lines_read(&t, 1);
	assert_int_equal(truncate(path, (off_t)l.text.n - 5), 0);
	expect_wrong(t.dir, t.names[1], PER_FILE + 1, "is not a line of a trail");
	assert_int_equal(truncate(path, (off_t)l.text.n), 0);
	l.text.n--;
	file_write(path, l.text.p, l.text.n);
	expect_wrong(t.dir, t.names[1], PER_FILE + 1, "has lost its end");
	buf_close(&l.text);
	free(path);
	trail_close(&t);
}

/* Zeros up to a sector boundary, then the rest of a group that was not synced. */
static void
power_failure_hole(void **state)
{
	struct audit_report r;
	struct trail t;
	struct lines l;
	struct err e;
	char *path;
	size_t from, to;

	(void)state;
	trail_open(&t, false);
	path = path_in(t.dir, t.names[FILES - 1]);
	l = lines_read(&t, FILES - 1);
	from = (size_t)(l.v[5].p - l.text.p);
	to = (from + 512) / 512 * 512;
	memset(l.text.p + from, 0, to - from);
	file_write(path, l.text.p, l.text.n);
	assert_int_equal(verify(t.dir, &r, &e), 0);
	assert_true(r.torn_tail);
	assert_int_equal(r.last_entry, (FILES - 1) * PER_FILE + 4);
	/* One byte short of the sector: nobody's crash. */
	l.text.p[to - 1] = ' ';
	file_write(path, l.text.p, l.text.n);
	expect_wrong(t.dir, t.names[FILES - 1], 6, "is not a line of a trail");
	buf_close(&l.text);
	free(path);
	trail_close(&t);
}

static void
pruned_trail(void **state)
{
	struct audit_conf c = {
	    .rotate_size = 1 << 30, .rotate_age_us = 365 * DAY, .retention_us = 2 * DAY};
	struct audit_report r;
	struct audit_file f;
	struct trail t;
	struct err e;
	char *path;

	(void)state;
	trail_open(&t, false);
	c.directory = t.dir;
	assert_int_equal(audit_file_open(&f, &c, "trail", NOW + 4 * DAY, &e), 0);
	/* Files 1 and 2 were closed 3 and 2 days before. */
	assert_int_equal(audit_file_prune(&f, NOW + 4 * DAY, &e), 0);
	audit_file_close(&f);
	assert_int_equal(verify(t.dir, &r, &e), 0);
	assert_true(r.pruned);
	assert_int_equal(r.files, 2);
	assert_int_equal(r.first_entry, 2 * PER_FILE + 1);
	/* One more than retention took is missed. */
	path = path_in(t.dir, t.names[2]);
	assert_int_equal(unlink(path), 0);
	expect_wrong(t.dir, t.names[3], 1, "entries 21 to 30 are missing before this file");
	free(path);
	trail_close(&t);
}

static void
compressed_trail(void **state)
{
	const char gz_name[] = "audit-00000000000000000001-";
	struct audit_report r;
	struct trail t;
	struct buf b;
	struct err e;
	char *path;

	(void)state;
	trail_open(&t, true);
	for (size_t i = 0; i < FILES; i++) {
		size_t n = strlen(t.names[i]);

		assert_int_equal(strcmp(t.names[i] + n - 3, ".gz") == 0, i + 1 < FILES);
	}
	assert_int_equal(strncmp(t.names[0], gz_name, sizeof gz_name - 1), 0);
	expect_ok(t.dir, FILES * PER_FILE);
	path = path_in(t.dir, t.names[1]);
	b = file_read(path);
	/* Cut, then one byte changed: both are named, wherever inflate notices. */
	assert_int_equal(truncate(path, (off_t)b.n / 2), 0);
	assert_int_equal(verify(t.dir, &r, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_non_null(strstr(e.text, t.names[1]));
	b.p[b.n / 2] ^= 4;
	file_write(path, b.p, b.n);
	assert_int_equal(verify(t.dir, &r, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_non_null(strstr(e.text, t.names[1]));
	buf_close(&b);
	free(path);
	trail_close(&t);
}

/* Both forms of one file: what a crash between rename and unlink leaves. */
static void
compressed_and_plain(void **state)
{
	struct trail t;
	char *path;

	(void)state;
	trail_open(&t, false);
	path = mem_new(512);
	(void)snprintf(path, 512, "%s/%s.gz", t.dir, t.names[1]);
	file_write(path, "half", 4);
	expect_ok(t.dir, FILES * PER_FILE);
	free(path);
	trail_close(&t);
}

static void
files_by_name(void **state)
{
	const char *paths[2];
	struct audit_report r;
	struct trail t;
	struct err e;

	(void)state;
	trail_open(&t, false);
	paths[1] = path_in(t.dir, t.names[1]);
	paths[0] = path_in(t.dir, t.names[2]);
	assert_int_equal(audit_verify(paths, 2, &r, &e), 0);
	assert_true(r.pruned);
	assert_int_equal(r.first_entry, PER_FILE + 1);
	assert_int_equal(r.last_entry, 3 * PER_FILE);
	free((char *)(uintptr_t)paths[0]);
	paths[0] = "/nonexistent/audit";
	assert_int_equal(audit_verify(paths, 1, &r, &e), -1);
	assert_int_equal(e.code, ERR_IO);
	paths[0] = "/";
	assert_int_equal(audit_verify(paths, 1, &r, &e), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	free((char *)(uintptr_t)paths[1]);
	trail_close(&t);
}

static void
newer_format(void **state)
{
	struct audit_report r;
	struct trail t;
	struct lines l;
	struct err e;

	(void)state;
	trail_open(&t, false);
	l = lines_read(&t, 0);
	l.text.p[sizeof "{\"trail\":" - 1] = '2';
	lines_write(&t, 0, &l);
	assert_int_equal(verify(t.dir, &r, &e), -1);
	assert_int_equal(e.code, ERR_VERSION);
	trail_close(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(intact),
	    cmocka_unit_test(flipped_byte),
	    cmocka_unit_test(flipped_byte_in_newest),
	    cmocka_unit_test(removed_line),
	    cmocka_unit_test(removed_last_line),
	    cmocka_unit_test(removed_header),
	    cmocka_unit_test(swapped_lines),
	    cmocka_unit_test(inserted_line),
	    cmocka_unit_test(foreign_line),
	    cmocka_unit_test(removed_file),
	    cmocka_unit_test(removed_oldest_file),
	    cmocka_unit_test(emptied_file),
	    cmocka_unit_test(renamed_file),
	    cmocka_unit_test(exchanged_files),
	    cmocka_unit_test(torn_or_cut),
	    cmocka_unit_test(power_failure_hole),
	    cmocka_unit_test(pruned_trail),
	    cmocka_unit_test(compressed_trail),
	    cmocka_unit_test(compressed_and_plain),
	    cmocka_unit_test(files_by_name),
	    cmocka_unit_test(newer_format),
	};

	log_set_sink(no_log, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
