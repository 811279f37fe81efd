/* daemon/find.h - the stream behind a table's name or an ARN, or one line that
 * says why there is none and how to mend it. Shared by tail, check --connect
 * and positions set. Runs the loop (see ask.h). */
#ifndef DAEMON_FIND_H
#define DAEMON_FIND_H

#include "daemon/wiring.h"

struct found {
	char arn[LIMIT_STREAM_ARN + 1];
	char table[LIMIT_TABLE_NAME + 1];
	struct api_keys key; /* types only where the table itself was asked */
	enum stream_view view;
	bool enabled; /* false: disabled, but what it holds can still be read for a day */
};

/* One of table and arn. ERR_CONFIG: no such table or stream, or a table without one. */
int find_stream(struct wiring *w, const struct source *s, const char *table, const char *arn,
    struct found *out, struct err *e) MUST_CHECK;
/* Fills in the types of the keys, where the table may be described; else they stay as they are. */
void find_key_types(struct wiring *w, const struct source *s, struct found *f);
/* An answer that is no good, in words with the mending step; returns -1. */
int find_explain(const struct source *s, const struct api_result *rs, struct err *e);
/* The same; where a permission is missing, it is named with the pattern of what it must be
 * allowed on: "dynamodb:GetRecords on arn:aws:dynamodb:...:table/orders/stream/...". op: the call that
 * was answered; arn: a table's or stream's, or NULL; table: its name. */
int find_denied(const struct source *s, const struct api_result *rs, enum api_op op,
    const char *arn, const char *table, struct err *e);
/* What a view leaves out; NULL: nothing. */
const char *view_remark(enum stream_view v);
const char *view_word(enum stream_view v);

#endif
