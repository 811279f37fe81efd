/* tests/emulator/options.c - see options.h. */
#include "tests/emulator/options.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/emulator/model.h"

enum kind { FLAG, NUMBER, SIGNED, TEXT, WORD };

struct option {
	const char *name;
	enum kind kind;
	size_t ofs;
	const char *def;
	const char *const *words;
	const char *help;
};

static const char *const order_words[] = {"oldest", "newest", "shuffled", NULL};
static const char *const filter_words[] = {"honour", "refuse", "ignore", NULL};
static const char *const end_words[] = {"absent", "null", "empty", NULL};
static const char *const cursor_words[] = {"absent", "empty", "extra-page", NULL};

#define OFS(member) offsetof(struct options, member)

static const struct option table[] = {
    {"port", NUMBER, OFS(port), "0", NULL, "listen there; 0: a free one, printed as 'port N'"},
    {"listen", TEXT, OFS(listen), "127.0.0.1", NULL, "IPv4 address"},
    {"stdin-guard", FLAG, OFS(stdin_guard), NULL, NULL, "end when standard input ends"},
    {"help", FLAG, OFS(help), NULL, NULL, "this text"},
    {"tls-cert", TEXT, OFS(tls_cert), NULL, NULL, "PEM chain; speak TLS (with --tls-key)"},
    {"tls-key", TEXT, OFS(tls_key), NULL, NULL, "PEM private key"},
    {"region", TEXT, OFS(region), "us-east-1", NULL, "in ARNs, records and signatures"},
    {"account", TEXT, OFS(account), "123456789012", NULL, "in ARNs"},
    {"table", TEXT, OFS(table), "orders", NULL, "the table that is there at the start"},
    {"no-table", FLAG, OFS(no_table), NULL, NULL, "begin without a table"},
    {"sort-key", FLAG, OFS(sort_key), NULL, NULL, "key is pk (S) and sk (N), not pk alone"},
    {"view", WORD, OFS(view), "NEW_AND_OLD_IMAGES", view_words, "StreamViewType"},
    {"lower-case-identity", FLAG, OFS(lower_case_identity), NULL, NULL,
	"userIdentity as {\"principalId\",\"type\"}"},
    {"seed", NUMBER, OFS(seed), "1", NULL, "of history, numbers, ids and faults"},
    {"shards", NUMBER, OFS(shards), "1", NULL, "open shards of a new stream"},
    {"records", NUMBER, OFS(records), "0", NULL, "changes made up at the start"},
    {"items", NUMBER, OFS(items), "100", NULL, "items they are made to"},
    {"split-every", NUMBER, OFS(split_every), "0", NULL, "records; 0: never"},
    {"rotate-every", NUMBER, OFS(rotate_every), "0", NULL, "records; 0: never"},
    {"pad", NUMBER, OFS(pad), "0", NULL, "bytes of text to make images larger by"},
    {"no-nul", FLAG, OFS(no_nul), NULL, NULL, "no text has U+0000"},
    {"epoch", NUMBER, OFS(epoch), "1767225600", NULL, "when the history begins, in seconds"},
    {"span", NUMBER, OFS(span_s), "3600", NULL, "seconds the history takes"},
    {"ended", FLAG, OFS(ended), NULL, NULL, "disable the stream after the history"},
    {"page-shards", NUMBER, OFS(page_shards), "100", NULL, "shards a DescribeStream page"},
    {"page-records", NUMBER, OFS(page_records), "1000", NULL, "records a page at most"},
    {"page-bytes", NUMBER, OFS(page_bytes), "1048576", NULL, "SizeBytes a page at most"},
    {"shard-order", WORD, OFS(order), "oldest", order_words, "order of the listing"},
    {"shard-filter", WORD, OFS(filter), "honour", filter_words, "what becomes of CHILD_SHARDS"},
    {"last-cursor", WORD, OFS(cursor), "absent", cursor_words,
	"LastEvaluatedShardId of the last page"},
    {"listing-lag-ms", NUMBER, OFS(listing_lag_ms), "0", NULL,
	"new shards and ends are listed that much later"},
    {"empty-pages", NUMBER, OFS(empty_pages), "0", NULL, "empty pages before each with data"},
    {"end-form", WORD, OFS(end), "absent", end_words, "NextShardIterator of the last page"},
    {"iterator-life", NUMBER, OFS(iterator_life_s), "900", NULL, "seconds"},
    {"shard-rate", NUMBER, OFS(shard_rate), "0", NULL,
	"GetRecords a second and shard, else ThrottlingException; 0: no limit"},
    {"describe-rate", NUMBER, OFS(describe_rate), "0", NULL, "same for all DescribeStream"},
    {"access-key", TEXT, OFS(access_key), NULL, NULL, "check signatures against this key"},
    {"secret", TEXT, OFS(secret), NULL, NULL, "its secret"},
    {"session-token", TEXT, OFS(session_token), NULL, NULL, "its session token, if temporary"},
    {"clock-offset", SIGNED, OFS(clock_offset_s), "0", NULL,
	"seconds the service's clock is ahead of ours"},
    {"no-crc32", FLAG, OFS(no_crc), NULL, NULL,
	"leave x-amz-crc32 out, as proxies and look-alikes do"},
    {"gzip", FLAG, OFS(gzip), NULL, NULL, "compress for clients that ask"},
    {"chunked", FLAG, OFS(chunked), NULL, NULL, "Transfer-Encoding: chunked"},
    {"chunk-bytes", NUMBER, OFS(chunk_bytes), "8192", NULL, "size of a chunk"},
};

static int
bad(struct err *e, const struct option *op, const char *value)
{
	return err_set(e, ERR_USAGE, "--%s: %s is no value for it", op->name, value);
}

static int
set_word(struct options *o, const struct option *op, const char *value, struct err *e)
{
	for (int i = 0; op->words[i] != NULL; i++) {
		if (strcmp(op->words[i], value) == 0) {
			memcpy((char *)o + op->ofs, &i, sizeof i);
			return 0;
		}
	}
	return bad(e, op, value);
}

static int
set_number(struct options *o, const struct option *op, const char *value, struct err *e)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' || (op->kind == NUMBER && n < 0))
		return bad(e, op, value);
	memcpy((char *)o + op->ofs, &n, sizeof n);
	return 0;
}

static int
set(struct options *o, const struct option *op, const char *value, struct err *e)
{
	static const bool yes = true;

	switch (op->kind) {
	case FLAG:
		memcpy((char *)o + op->ofs, &yes, sizeof yes);
		return 0;
	case TEXT:
		memcpy((char *)o + op->ofs, &value, sizeof value);
		return 0;
	case WORD:
		return set_word(o, op, value, e);
	case NUMBER:
	case SIGNED:
		return set_number(o, op, value, e);
	}
	return 0;
}

static int
check(const struct options *o, struct err *e)
{
	if (o->port > UINT16_MAX)
		return err_set(e, ERR_USAGE, "--port: at most 65535");
	if (o->shards == 0 || o->shards > 100000)
		return err_set(e, ERR_USAGE, "--shards: 1 to 100000");
	if (o->items == 0 || o->items > UINT32_MAX || o->pad > (400u << 10))
		return err_set(e, ERR_USAGE, "--items: 1 to 2^32; --pad: at most 400 KiB");
	if (o->page_shards == 0 || o->page_records == 0 || o->chunk_bytes == 0)
		return err_set(e, ERR_USAGE, "pages and chunks hold at least one");
	if ((o->access_key != NULL) != (o->secret != NULL))
		return err_set(e, ERR_USAGE, "--access-key and --secret go together");
	if ((o->tls_cert != NULL) != (o->tls_key != NULL))
		return err_set(e, ERR_USAGE, "--tls-cert and --tls-key go together");
	return 0;
}

int
options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	*o = (struct options){0};
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].def != NULL && set(o, &table[i], table[i].def, e) != 0)
			return -1;
	for (int a = 1; a < argc; a++) {
		const struct option *op = NULL;

		for (size_t i = 0; i < ARRAY_LEN(table); i++)
			if (strncmp(argv[a], "--", 2) == 0 &&
			    strcmp(argv[a] + 2, table[i].name) == 0)
				op = &table[i];
		if (op == NULL)
			return err_set(e, ERR_USAGE, "no option %s; try --help", argv[a]);
		if (op->kind != FLAG && a + 1 == argc)
			return err_set(e, ERR_USAGE, "--%s needs a value", op->name);
		if (set(o, op, op->kind == FLAG ? "" : argv[++a], e) != 0)
			return -1;
	}
	return check(o, e);
}

void
options_help(void)
{
	(void)puts(
	    "emulator - a DynamoDB Streams server for tests; see tests/emulator/README.md\n");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct option *op = &table[i];

		(void)printf("  --%-20s %s", op->name, op->help);
		for (size_t k = 0; op->words != NULL && op->words[k] != NULL; k++)
			(void)printf("%s%s", k == 0 ? ": " : ", ", op->words[k]);
		if (op->def != NULL)
			(void)printf(" [%s]", op->def);
		(void)putchar('\n');
	}
}
