/* sinks/audit_verify.h - proves an audit trail untouched, from its files alone.
 *
 * Shared by the sink (resume), `slipring audit verify` and the tests. See
 * docs/audit.md for the line and the chain.
 */
#ifndef SINKS_AUDIT_VERIFY_H
#define SINKS_AUDIT_VERIFY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct audit_report {
	uint64_t files, entries;
	uint64_t first_entry, last_entry;
	char head_hash[65]; /* hash of the last line: note it elsewhere to show later that
	                      * the tail was not cut */
	bool pruned;	    /* the trail begins after entry 1 (retention) */
	bool torn_tail;	    /* the last file ends in an unfinished line: a crash, not tampering;
	                      * the daemon cuts it at its next start */
};

/* paths: directories (all their trail files, in order) or files. ERR_CORRUPT
 * names file and line of the first thing that is wrong, and what. */
int audit_verify(
    const char *const *paths, size_t count, struct audit_report *out, struct err *e) MUST_CHECK;

#endif
