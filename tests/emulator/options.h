/* tests/emulator/options.h - the command line; README.md explains the words.
 */
#ifndef EMULATOR_OPTIONS_H
#define EMULATOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum shard_order { ORDER_OLDEST, ORDER_NEWEST, ORDER_SHUFFLED };
enum shard_filter { FILTER_HONOUR, FILTER_REFUSE, FILTER_IGNORE };
enum end_form { END_ABSENT, END_NULL, END_EMPTY };
enum cursor_form { CURSOR_ABSENT, CURSOR_EMPTY, CURSOR_EXTRA_PAGE };

struct options {
	uint64_t port;
	const char *listen;
	bool stdin_guard, help;
	const char *region, *account, *table, *tls_cert, *tls_key;
	bool no_table, sort_key, lower_case_identity, no_nul;
	int view; /* enum view */
	uint64_t seed, shards, records, items, split_every, rotate_every, pad, epoch, span_s;
	bool ended;
	uint64_t page_shards, page_records, page_bytes, empty_pages, iterator_life_s;
	uint64_t listing_lag_ms, shard_rate, describe_rate;
	int order, filter, end, cursor; /* the enums above */
	const char *access_key, *secret, *session_token;
	int64_t clock_offset_s;
	bool gzip, chunked, no_crc;
	uint64_t chunk_bytes;
};

/* Strings are borrowed from argv. ERR_USAGE. */
int options_parse(struct options *o, int argc, char **argv, struct err *e) MUST_CHECK;
void options_help(void);

#endif
