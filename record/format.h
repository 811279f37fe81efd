/* record/format.h - the forms in which a record leaves, written straight from
 * its DynamoDB JSON bytes.
 *
 *   dynamodb  the record exactly as it came
 *   plain     {"key":{..},"new":{..},"old":{..}} with attribute values unmarshalled:
 *             S string, N the number's own text, B base64 string, BOOL, null,
 *             M object, L array, SS/NS/BS arrays sorted (NS by value)
 *   envelope  one JSON object: id, event, stream, table, shard, sequence, time,
 *             ttl, keys, new, old (plain values), changed (array of paths)
 *   debezium  one JSON object as Debezium's without schema: before, after, source, op, ts_ms
 *
 * docs/formats.md has the exact rules and an example of each. An image that is
 * absent is null. No newline at the end. Threading: pure. Errors: ERR_LIMIT when
 * out's maximum is reached or memory is out, ERR_PROTOCOL for values that are no
 * DynamoDB JSON; out is then as long as it was before.
 */
#ifndef RECORD_FORMAT_H
#define RECORD_FORMAT_H

#include "record/record.h"

enum format { FORMAT_DYNAMODB, FORMAT_PLAIN, FORMAT_ENVELOPE, FORMAT_DEBEZIUM };
extern const char *const format_words[]; /* the words of the configuration, NULL-terminated */

int format_write(enum format f, const struct record *r, const struct origin *o, struct buf *out,
    struct err *e) MUST_CHECK;
/* One attribute map or value unmarshalled, as `plain` does. */
int plain_write_image(struct slice image, struct buf *out, struct err *e) MUST_CHECK;
int plain_write_value(struct slice value, struct buf *out, struct err *e) MUST_CHECK;
/* "2026-11-21T07:29:37Z", with .123 when there are milliseconds and .123456 when
 * there are microseconds. */
void format_time(int64_t us, struct buf *out);

#endif
