/* sinks/audit_dir.h - the files of a trail: their names, in order, and their lines.
 *
 *   audit-<number of its first entry, 20 digits>-<UTC time of creation>.ndjson[.gz]
 *
 * so that the order of names is the order of entries. No file is begun while
 * the last one is empty of entries; the number alone tells two files apart.
 *
 * Threading: none; blocking calls, for start-up, commands and the storage thread.
 */
#ifndef SINKS_AUDIT_DIR_H
#define SINKS_AUDIT_DIR_H

#include "base/buf.h"
#include "base/err.h"

#define AUDIT_GZ ".gz"

struct audit_name {
	char *name;	   /* owned; as it is in the directory */
	uint64_t first;	   /* number of its first entry */
	int64_t created_s; /* since 1970 */
	bool gz;
};

struct audit_names {
	struct audit_name *v; /* owned */
	size_t n;
};

bool audit_name_parse(const char *name, struct audit_name *out); /* out->name stays NULL */
/* Name of a file begun now; out has AUDIT_NAME_MAX bytes. */
void audit_name_make(char *out, uint64_t first, int64_t now_us);
/* Of a file there both plain and as .gz, the plain one: a crash came between
 * the two steps of compressing. */
int audit_names_list(struct audit_names *out, const char *dir, struct err *e) MUST_CHECK;
void audit_names_close(struct audit_names *l);

struct audit_reader {
	void *gz; /* owned; reads plain files as well */
	struct buf b;
	size_t at;     /* of the next line in b */
	uint64_t ofs;  /* of the next line in the file */
	uint64_t line; /* number of the line read last, from 1 */
	bool end;
	const char *name; /* borrowed, for messages */
};

int audit_reader_open(struct audit_reader *r, const char *path, struct err *e) MUST_CHECK;
void audit_reader_close(struct audit_reader *r);
/* 1: a line, without its newline; complete: there was one. 0: the end. The
 * slice is valid until the next call. */
int audit_reader_next(
    struct audit_reader *r, struct slice *line, bool *complete, struct err *e) MUST_CHECK;

#endif
