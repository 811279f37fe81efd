/* streams/reader.h - reads one shard from one position to its end.
 *
 *   start -> iterator -> token -> credit? -> GetRecords -> page() -> ...
 *
 * Owns: the iterator and its age, retries (full jitter, 100 ms to 10 s, up to
 * 60 s where only the operator can help; unlimited), expiry (a new iterator
 * AFTER the last read number; with nothing read yet, the start position again,
 * see below), polling intervals (none while a page had records or the shard is
 * known to be closed; then doubling from 250 ms to idle_us, 10 % either way so that
 * 10,000 shards do not beat in step).
 * Does not own: who gets the records, or what a loss means.
 *
 * Start position -> iterator:
 *   AFTER seq     AFTER. Refused with ValidationException is lost(REFUSED): the
 *                 shard does not have that number.
 *   AT_START      AT the shard's StartingSequenceNumber; TRIM_HORIZON if the listing
 *                 had none, or if the service refuses the number itself with ValidationException.
 *   TRIM_HORIZON  AT_START first, so that what is trimmed from then on is
 *                 noticed; TRIM_HORIZON if the beginning is trimmed already,
 *                 which is what was asked for and no loss.
 *   LATEST        LATEST, once. When that call fails or its iterator is spent
 *                 before a record was read, AT_START, since what came between must not be
 *                 lost; the host leaves out what is older than since_us.
 *
 * The token is taken before credit is asked for, so that no credit is held while
 * waiting for a turn; a reader without credit gives its token back, parks, and
 * takes another when it is kicked. Iterators can be read again: a call that failed is
 * made again with the same one, so nothing is stepped over. One older than 14 min
 * 30 s is replaced without being tried.
 *
 * Threading: loop thread. Callbacks come from the loop, never from inside a
 * call here (but for the refund in reader_close()). The host may close the
 * reader from any of them.
 */
#ifndef STREAMS_READER_H
#define STREAMS_READER_H

#include "streams/api.h"
#include "streams/rate.h"

struct reader;

enum reader_loss {
	READER_TRIMMED, /* TrimmedDataAccess at or after the position */
	READER_GONE,	/* ResourceNotFound: the shard is not there. An emulator
	                 * says it on GetRecords of a listed shard: the reader has then tried one new
	                 * iterator before it says GONE */
	READER_REFUSED, /* ValidationException for the saved number */
};

struct reader_host {
	void *ctx;
	/* Before each GetRecords: may `bytes` (an estimate) be read? False
	 * parks the reader until reader_kick(). True is followed by exactly one
	 * page() or refund() with the same bytes. */
	bool (*credit)(void *ctx, struct reader *rd, size_t bytes);
	void (*refund)(void *ctx, struct reader *rd, size_t bytes);
	/* Records with a number at or below the last read one are repeats of
	 * the service: still in the page; the host skips them by number. page
	 * is borrowed; its reference is dropped afterwards. credited: what was
	 * credited. Called for empty pages too. */
	void (*page)(void *ctx, struct reader *rd, struct page *page, size_t credited);
	/* Null iterator: after the last page(). The reader is then idle for good. */
	void (*end)(void *ctx, struct reader *rd);
	/* The reader has stopped for good; close it. */
	void (*lost)(
	    void *ctx, struct reader *rd, enum reader_loss loss, const struct api_result *rs);
	/* A call failed and will be tried again: for alarms and counters. */
	void (*trouble)(void *ctx, struct reader *rd, const struct api_result *rs);
};

struct reader_conf {
	int64_t idle_us; /* poll interval of an idle shard; default 1 s */
	unsigned limit;	 /* records a page; default 1000 */
};

/* Starts by itself when the loop runs. arn, shard and positions are copied; the
 * rest is borrowed. */
struct reader *reader_new(struct loop *lp, struct api *api, struct rate *calls, bool urgent,
    const struct reader_conf *conf, const char *arn, const char *shard, const struct seq *start,
    const struct pos *from, const struct reader_host *host);
void reader_close(struct reader *rd);	   /* NULL allowed; credit under way is refunded */
void reader_kick(struct reader *rd);	   /* credit may be had again */
void reader_set_closed(struct reader *rd); /* the listing says it is closed: do not idle */
/* Last number read; unset while nothing was. */
const struct seq *reader_last(const struct reader *rd);
/* When (monotonic) an answer last said there was nothing more; 0: never, or
 * data came since. For honest lag. An empty page says so only of an open shard, and
 * after a new iterator only the fifth in a row, since empty pages may lie
 * before the data. */
int64_t reader_caught_up_at(const struct reader *rd);
/* The same, surer: the last answers, five at least, were all empty. Fewer the service may send
 * before any data. */
bool reader_quiet(const struct reader *rd);
/* When that was last asked; 0: never. Kept when data comes: all that was there then has been
 * given to the host. */
int64_t reader_quiet_at(const struct reader *rd);
bool reader_ended(const struct reader *rd);

#endif
