/* sinks/audit_marks.h - what the trail already holds, per shard.
 *
 * A record is a replay if its number is at or below its shard's mark as it was
 * found at start, or if it is among the last AUDIT_RECENT numbers written since.
 * Within a run a number below the mark that is not among those is written all
 * the same: a second entry can be seen in the trail, a missing one cannot.
 *
 * Marks go into each file's header, so that the newest file alone tells them.
 * One is dropped 48 h after its shard's last entry, when the service has long
 * forgotten what could be replayed.
 *
 * Threading: one owner, one thread.
 */
#ifndef SINKS_AUDIT_MARKS_H
#define SINKS_AUDIT_MARKS_H

#include "base/buf.h"
#include "base/err.h"
#include "record/record.h"

/* More than a lane may have in flight: what was written and not yet reported
 * is all that can come again within a run. */
#define AUDIT_RECENT 32768u

struct audit_mark {
	char *arn, *shard;   /* owned */
	struct seq at_start; /* everything up to here is in the trail; may be unset */
	struct seq seq;	     /* highest number written */
	int64_t seen_s;	     /* wall clock of its last entry, seconds */
};

struct audit_recent {
	struct audit_mark *mark; /* NULL: nothing */
	struct seq seq, before;	 /* before: the mark's seq until then */
};

struct audit_marks {
	struct audit_mark **v; /* owned, each owned */
	size_t n, cap;
	uint32_t *index; /* owned; open addressing, position in v + 1, 0 free */
	size_t index_cap;
	struct audit_recent *recent; /* owned; a ring */
	uint64_t added;		     /* ever */
	struct audit_mark *last;     /* found last: records come in runs of a shard */
};

void audit_marks_open(struct audit_marks *m);
void audit_marks_close(struct audit_marks *m);
struct audit_mark *audit_marks_get(struct audit_marks *m, struct slice arn, struct slice shard);
bool audit_marks_is_replay(
    const struct audit_marks *m, const struct audit_mark *k, const struct seq *seq);
void
audit_marks_add(struct audit_marks *m, struct audit_mark *k, const struct seq *seq, int64_t now_s);
/* Takes the last `count` additions back. */
void audit_marks_undo(struct audit_marks *m, size_t count);
/* Start-up: an entry or a header that was read from the trail. */
int audit_marks_load_entry(
    struct audit_marks *m, struct slice line, int64_t now_s, struct err *e) MUST_CHECK;
int audit_marks_load_header(struct audit_marks *m, struct slice line, struct err *e) MUST_CHECK;
/* {"<arn>":{"<shard>":["<sequence>",<seen>],...},...}, leaving out the old. */
void audit_marks_write(const struct audit_marks *m, int64_t now_s, struct buf *out);

#endif
