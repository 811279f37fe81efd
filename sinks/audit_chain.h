/* sinks/audit_chain.h - checks lines against the chain, one after the other.
 *
 * Used by the sink when it resumes (newest file) and by audit_verify() (all of
 * them), so that both mean the same by "intact". What can be told apart, each
 * by file and line: a changed line, one that is missing, repeated, moved or put
 * in, a file that is missing, repeated, renamed or cut, and a crash's torn tail.
 *
 * Threading: one owner, one thread.
 */
#ifndef SINKS_AUDIT_CHAIN_H
#define SINKS_AUDIT_CHAIN_H

#include "sinks/audit_line.h"

/* What a crash can leave unfinished at most: what is written before one fdatasync. */
#define AUDIT_GROUP_BYTES (8u << 20)

struct audit_chain {
	char head[AUDIT_HEX + 1]; /* hash of the last line */
	uint64_t next;		  /* number of the next entry; 0: no line yet */
	uint64_t first;		  /* of the first file seen */
	uint64_t kept_from;	  /* retention has removed what is before this entry */
};

void audit_chain_begin(struct audit_chain *c);

struct audit_walk {
	uint64_t entries; /* in this file */
	uint64_t lines;	  /* good ones */
	uint64_t end;	  /* offset behind the last good line */
	bool torn;	  /* the file ends in what a crash left there, at `end` */
};

/* One whole file. newest: it may end torn. seen: each good line, may be NULL;
 * what it returns -1 for is put behind "file: line n: ". ERR_CORRUPT,
 * ERR_VERSION, ERR_IO. */
int audit_walk_file(struct audit_chain *c, struct audit_hash *h, const char *path, bool newest,
    struct audit_walk *w, int (*seen)(void *arg, const struct audit_line *l, struct err *e),
    void *arg, struct err *e) MUST_CHECK;

#endif
