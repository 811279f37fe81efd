/* tests/emulator/model.h - tables, their streams, shards and events.
 *
 * A write to an item becomes a record once, as the JSON bytes that every
 * reader gets: a shard keeps them one behind the other in large chunks, each
 * with a comma in front, so that a page is a range of memory and not work.
 * With each event goes the CRC-32 of all bytes before it; from two of those
 * the checksum of any page follows without reading the page again.
 *
 *     table --items--> image --model_write()--> open shard of the key's hash
 *       `--streams (one live, the others disabled)--> shards --> events
 *
 * The open shards of a stream share the 32-bit hash space without a hole or
 * an overlap; a split halves a range, a rotation hands it on. So the records
 * of one item always follow one lineage. Numbers rise along a lineage only.
 *
 * Nothing is freed before model_close(): trimming and forgetting are marks, so
 * pages on their way out may point into chunks.
 */
#ifndef EMULATOR_MODEL_H
#define EMULATOR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/random.h"
#include "base/slice.h"
#include "tests/emulator/map.h"
#include "tests/emulator/window.h"

/* counter * 10^20 + tail, the shape that real numbers show. Order is that of
 * the pair. */
struct seqno {
	uint64_t counter, tail;
};

enum view { VIEW_IS_KEYS, VIEW_IS_NEW, VIEW_IS_OLD, VIEW_IS_BOTH };
extern const char *const view_words[]; /* NULL-terminated, in the order of the enum */
enum status { STATUS_ENABLING, STATUS_ENABLED, STATUS_DISABLING, STATUS_DISABLED };
extern const char *const status_words[];

struct event {
	const char *p;	     /* ",{...}" in a chunk of its shard */
	uint32_t n;	     /* bytes of it, comma included */
	uint32_t data;	     /* SizeBytes: what the 1 MB limit of a page counts */
	uint32_t crc_before; /* of every byte of the shard before p */
	struct seqno no;
};

struct shard {
	char id[66];
	uint32_t index; /* in its stream */
	struct stream *stream;
	struct shard *parent; /* NULL: none */
	uint32_t lo, hi;      /* hashes lo..hi, both included */
	struct event *events; /* owned */
	size_t count, cap;
	size_t trimmed; /* events[0..trimmed) are gone */
	struct seqno start, end, last;
	bool start_is_record; /* the first record gets the number `start` itself */
	bool closed, forgotten, unlisted;
	int64_t created_ms, closed_ms;
	uint32_t crc;	      /* of all its bytes */
	uint64_t order;	      /* place in an unordered listing */
	struct chunk *chunks; /* owned */
	struct window asked, admitted;
};

struct stream {
	uint32_t index; /* in the model */
	struct table *table;
	char *arn, *label; /* owned */
	enum view view;
	enum status status;
	int64_t created_ms;
	struct shard **shards; /* owned, oldest first */
	size_t count, cap;
	struct shard **open; /* owned array, by hash range */
	size_t open_count, open_cap;
	struct map by_id;
};

struct item {
	char *key;   /* owned; {"pk":{"S":"a"}}, attributes in schema order */
	char *image; /* owned; NULL: there is no such item now */
	size_t image_n;
	uint32_t key_bytes, image_bytes; /* as DynamoDB counts them */
	uint32_t id;			 /* generated items: number and versions, history.c */
	uint16_t versions[16];
};

struct table {
	char *name;	    /* owned */
	char *key_names[2]; /* owned; [1] NULL: no sort key */
	char key_types[2];  /* 'S', 'N', 'B' */
	int64_t created_ms;
	struct map items;      /* of struct item */
	struct stream *live;   /* borrowed; NULL: no stream takes writes */
	struct stream *latest; /* borrowed; the youngest, live or not */
};

struct model {
	struct rng rng;		  /* numbers, ids, bounds */
	char *region, *account;	  /* owned */
	bool lower_case_identity; /* userIdentity as Lambda's documents spell it */
	struct table **tables;	  /* owned */
	size_t table_count;
	struct map by_name;
	struct stream **streams; /* owned; all tables' */
	size_t stream_count;
	uint64_t events;
	struct buf scratch;
};

void model_open(struct model *m, uint64_t seed, const char *region, const char *account);
void model_close(struct model *m);

/* range_name NULL: no sort key. */
struct table *model_new_table(struct model *m, const char *name, const char *hash_name,
    char hash_type, const char *range_name, char range_type, int64_t now_ms);
struct table *model_table(const struct model *m, struct slice name);
struct stream *model_stream(const struct model *m, struct slice arn);

/* A new stream of `shards` open shards; the table has no live one. */
struct stream *
model_enable(struct model *m, struct table *t, enum view view, size_t shards, int64_t now_ms);
/* Closes all open shards; what was written stays readable. */
void model_disable(struct model *m, struct table *t, int64_t now_ms);

struct shard *stream_shard(const struct stream *st, struct slice id);
struct shard *stream_shard_of(const struct stream *st, struct slice key);
/* Closes an open shard and opens its 1 or 2 children. False if the range is
 * too narrow to be halved. */
bool model_succeed(struct model *m, struct shard *sh, unsigned children, int64_t now_ms);
void shard_trim(struct shard *sh, size_t count); /* the oldest `count` still there */

/* The item of that key, made if there is none. key and its size are copied. */
struct item *model_item(struct table *t, struct slice key, uint32_t key_bytes);
/* Puts (image: owned, taken over) or deletes (image NULL). A write that
 * changes nothing makes no record. Returns true if it made one. */
bool model_write(struct model *m, struct table *t, struct item *it, char *image, uint32_t bytes,
    bool ttl, int64_t now_ms);

int seqno_cmp(struct seqno a, struct seqno b);
/* 21..40 digits; what is larger than any of ours saturates, in order. */
bool seqno_parse(struct slice text, struct seqno *out);
void seqno_write(struct buf *out, struct seqno no);
/* The oldest event whose number is >= no (or > no); count if none is. */
size_t shard_find(const struct shard *sh, struct seqno no, bool after);
/* The number that a reader may name at most. */
struct seqno shard_newest(const struct shard *sh);
/* CRC-32 of the records first..end as a page shows them, commas between. */
uint32_t shard_crc(const struct shard *sh, size_t first, size_t end, size_t *bytes);

#endif
