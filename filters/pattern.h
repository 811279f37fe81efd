/* filters/pattern.h - AWS event patterns: the JSON of a Lambda event filter or
 * an EventBridge rule, compiled once and matched without a tree or allocation.
 *
 *   text --pattern_compile()--> alternatives ($or multiplied out), each a tree of
 *                               names with value lists at its leaves
 *   record or JSON document --pattern_match()--> yes or no
 *
 * docs/filters.md has every operator with examples, and where this goes beyond
 * Lambda. Threading: one thread at a time; matching uses a
 * buffer of the pattern's for strings with escapes.
 */
#ifndef FILTERS_PATTERN_H
#define FILTERS_PATTERN_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "record/record.h"

struct pattern;

/* ERR_CONFIG: the JSON path and what is wrong there. */
int pattern_compile(struct pattern **out, struct slice text, struct err *e) MUST_CHECK;
/* Against unmarshalled attributes: {"event": ..., "keys": ..., "new": ..., "old": ...,
 * "ttl": ..., "user": ..., "id": ...}. Documents are still raw records. */
int pattern_compile_plain(struct pattern **out, struct slice text, struct err *e) MUST_CHECK;
void pattern_close(struct pattern *p); /* NULL allowed */
/* What the author of the pattern should know: a list that always or never
 * matches where it stands, and what to write instead. NULL: nothing. The pattern's. */
const char *pattern_remark(struct pattern *p);

/* document: well-formed JSON (json_check() or page_parse() found it so): the
 * raw record, or (not for a plain pattern) anything. */
bool pattern_match(struct pattern *p, struct slice document);
/* The same answer for a record of a page, without walking all of it; images and keys
 * are those that r has, which a filter may have replaced. */
bool pattern_match_record(struct pattern *p, const struct record *r);
/* Appends "PATH: why" for a document that does not match: the first leaf of the
 * pattern that is not satisfied, in the alternative that came furthest. */
void pattern_explain(struct pattern *p, struct slice document, struct buf *out);

#endif
