/* tests/unit/page_gen.h - GetRecords answers made up from two seeds.
 *
 * What a page says comes from the value seed, how it is written (white space,
 * escapes, order of members and set elements, spelling of numbers) from the
 * spelling seed: two pages that share the first mean the same. Text is kept as
 * UTF-8 that may hold half surrogate pairs (ED A0..BF xx), which can only be
 * written as escapes.
 */
#ifndef TESTS_PAGE_GEN_H
#define TESTS_PAGE_GEN_H

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/random.h"
#include "base/utf8.h"

#define GEN_RECORDS_MAX 64

struct gen {
	struct buf out;
	struct rng sp; /* spelling */
	bool spaces;   /* white space between tokens */
	bool escapes;  /* needless escapes */
	bool odd_text; /* U+0000 and half surrogate pairs */
	bool spoil;    /* now and then something that is against the rules */
	bool twice;    /* a member that matters was given twice */
	size_t records;
	int64_t created[GEN_RECORDS_MAX]; /* of each record; -1: none given */
};

static inline uint64_t
gen_mix(uint64_t seed, uint64_t n)
{
	uint64_t z = seed + (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline bool
gen_maybe(struct gen *g, unsigned one_in)
{
	return rng_below(&g->sp, one_in) == 0;
}

static inline void
gen_space(struct gen *g)
{
	static const char kinds[] = " \n\t\r";

	while (g->spaces && gen_maybe(g, 3))
		buf_add_char(&g->out, kinds[rng_below(&g->sp, 4)]);
}

static inline void
gen_token(struct gen *g, char c)
{
	gen_space(g);
	buf_add_char(&g->out, c);
	gen_space(g);
}

static inline void
gen_unit(struct gen *g, unsigned unit)
{
	buf_addf(&g->out, gen_maybe(g, 2) ? "\\u%04x" : "\\u%04X", unit);
}

static inline void
gen_escape(struct gen *g, uint32_t c)
{
	static const char named[] = "\"\"\\\\//\bb\ff\nn\rr\tt";

	for (size_t i = 0; i + 1 < sizeof named; i += 2) {
		if ((uint32_t)named[i] == c && !gen_maybe(g, 4)) {
			buf_add_char(&g->out, '\\');
			buf_add_char(&g->out, named[i + 1]);
			return;
		}
	}
	if (c < 0x10000) {
		gen_unit(g, c);
		return;
	}
	gen_unit(g, 0xd800 + ((c - 0x10000) >> 10));
	gen_unit(g, 0xdc00 + ((c - 0x10000) & 0x3ff));
}

static inline uint32_t
gen_code(const char *p, size_t n)
{
	uint32_t c = (unsigned char)p[0];

	if (n == 1)
		return c;
	c &= 0xffu >> (n + 1);
	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3fu);
	return c;
}

static inline void
gen_string(struct gen *g, const char *p, size_t n)
{
	buf_add_char(&g->out, '"');
	while (n != 0) {
		size_t len = utf8_length(p, n);
		bool half = len == 0;
		uint32_t c;

		len = half ? 3 : len;
		c = gen_code(p, len);
		if (half || c < 0x20 || c == '"' || c == '\\' || (g->escapes && gen_maybe(g, 12)))
			gen_escape(g, c);
		else
			buf_add(&g->out, p, len);
		p += len;
		n -= len;
	}
	buf_add_char(&g->out, '"');
}

static inline void
gen_text(struct gen *g, const char *text)
{
	gen_string(g, text, strlen(text));
}

static inline void
gen_name(struct gen *g, const char *text)
{
	gen_space(g);
	gen_text(g, text);
	gen_token(g, ':');
}

/* Up to a hundred bytes or so; now and then over a kilobyte. Never U+0001,
 * which the oracle uses to stand for U+0000. */
static inline size_t
gen_words(const struct gen *g, uint64_t seed, char *out, size_t room)
{
	static const char *const words[] = {"a", "order", "0123456789abcdef", "\xc3\xa9",
	    "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\"", "\\", "/", "\n", "\x1f", "\x7f", " ",
	    "{\"S\":", "]}", "\xef\xbf\xbf", "customer-number", "stra\xc3\x9funs", ",", ":"};
	struct rng r;
	size_t n = 0, count;

	rng_seed(&r, seed);
	count = rng_below(&r, 50) == 0 ? 200 : rng_below(&r, 7);
	for (size_t i = 0; i < count; i++) {
		const char *w = words[rng_below(&r, sizeof words / sizeof *words)];
		size_t len = strlen(w);
		uint64_t odd = g->odd_text ? rng_below(&r, 12) : 99;

		if (odd == 0)
			w = "\0", len = 1;
		else if (odd == 1)
			w = "\xed\xa0\x80", len = 3;
		else if (odd == 2)
			w = "\xed\xb3\xbf", len = 3;
		/* Two halves side by side would be a pair. */
		if (odd == 2 && n >= 3 && (unsigned char)out[n - 3] == 0xed)
			continue;
		if (n + len > room)
			break;
		memcpy(out + n, w, len);
		n += len;
	}
	return n;
}

static inline void
gen_shuffle(struct gen *g, unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		order[i] = i;
	for (unsigned i = n; i > 1; i--) {
		unsigned j = (unsigned)rng_below(&g->sp, i), t = order[i - 1];

		order[i - 1] = order[j];
		order[j] = t;
	}
}

/* digits * 10^exponent in one of its many spellings, all of them JSON. */
static inline void
gen_number_text(
    struct gen *g, bool negative, const char *digits, int exponent, char *out, size_t room)
{
	int n = (int)strlen(digits);
	int before = gen_maybe(g, 2) ? n : (int)rng_below(&g->sp, (uint64_t)n + 1);
	int e = exponent + n - before;
	int k = snprintf(out, room, "%s%.*s", negative ? "-" : "", before, before ? digits : "0");

	if (before == 0)
		k = snprintf(out, room, "%s0", negative ? "-" : "");
	if (before < n || gen_maybe(g, 4))
		k += snprintf(out + k, room - (size_t)k, ".%s%s", digits + before,
		    before == n		  ? "00"
			: gen_maybe(g, 3) ? "0"
					  : "");
	if (e != 0 || gen_maybe(g, 6))
		(void)snprintf(out + k, room - (size_t)k, gen_maybe(g, 2) ? "e%d" : "E%+03d", e);
}

static inline void
gen_number(struct gen *g, uint64_t seed, unsigned max_digits)
{
	char digits[48], text[128];
	struct rng r;
	unsigned n;

	rng_seed(&r, seed);
	n = 1 + (unsigned)rng_below(&r, rng_below(&r, 4) == 0 ? max_digits : 4);
	for (unsigned i = 0; i < n; i++)
		digits[i] = (char)('0' + rng_below(&r, 10));
	digits[0] = (char)(n > 1 || rng_below(&r, 4) != 0 ? '1' + rng_below(&r, 9) : '0');
	digits[n] = '\0';
	gen_number_text(
	    g, rng_below(&r, 4) == 0, digits, (int)rng_below(&r, 9) - 4, text, sizeof text);
	gen_text(g, text);
}

static inline void
gen_base64(struct gen *g, uint64_t seed)
{
	struct buf b = BUF_INIT(4096);
	unsigned char bytes[64];
	struct rng r;
	size_t n;

	rng_seed(&r, seed);
	n = rng_below(&r, rng_below(&r, 8) == 0 ? sizeof bytes : 5);
	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(rng_below(&r, 3) ? rng_next(&r) : 0xff);
	buf_add_base64(&b, bytes, n);
	/* Bits of the last digit that no byte uses. */
	if (b.n != 0 && b.p[b.n - 1] == '=' && gen_maybe(g, 3)) {
		char *last = &b.p[b.n - (b.p[b.n - 2] == '=' ? 3 : 2)];

		if (*last != '9' && *last != 'Z' && *last != 'z' && *last != '+' && *last != '/')
			++*last;
	}
	gen_string(g, b.p != NULL ? b.p : "", b.n);
	buf_close(&b);
}

static inline void
gen_set(struct gen *g, uint64_t seed, char kind)
{
	unsigned order[40];
	unsigned n = 1 + (unsigned)(gen_mix(seed, 7) % (gen_mix(seed, 8) % 16 == 0 ? 39 : 4));

	gen_shuffle(g, order, n);
	gen_token(g, '[');
	for (unsigned i = 0; i < n; i++) {
		uint64_t s = gen_mix(seed, 100 + order[i]);
		char text[160];
		size_t len;

		if (i != 0)
			gen_token(g, ',');
		if (kind == 'N') {
			gen_number(g, s, 15);
		} else if (kind == 'B') {
			gen_base64(g, s);
		} else {
			bool odd = g->odd_text;

			g->odd_text = false; /* the oracle could not order it */
			len = gen_words(g, s, text, sizeof text);
			g->odd_text = odd;
			gen_string(g, text, len);
		}
	}
	gen_token(g, ']');
}

static inline void gen_map(struct gen *g, uint64_t seed, unsigned count, unsigned depth);

static inline void gen_list(struct gen *g, uint64_t seed, unsigned count, unsigned depth);

/* What no attribute value may be, though it is JSON. */
static inline void
gen_untyped(struct gen *g, uint64_t seed)
{
	static const char *const odd[] = {"{}", "1", "null", "[]", "{\"X\":1}", "{\"S\":1}",
	    "{\"N\":\"abc\"}", "{\"N\":\"\"}", "{\"N\":5}", "{\"BOOL\":\"true\"}",
	    "{\"NULL\":null}", "{\"M\":[]}", "{\"L\":{}}", "{\"SS\":[1]}", "{\"NS\":[\"x\"]}",
	    "{\"BS\":[\"=\"]}", "{\"S\":\"a\",\"N\":\"1\"}", "\"a\"", "{\"SS\":\"a\"}",
	    "{\"L\":[1]}", "{\"M\":{\"a\":1}}"};

	buf_add_str(&g->out, odd[seed % (sizeof odd / sizeof *odd)]);
}

static inline void
gen_value(struct gen *g, uint64_t seed, unsigned depth)
{
	char text[1500];
	unsigned kind = (unsigned)(gen_mix(seed, 1) % (depth < 4 ? 16 : 12));

	if (g->spoil && gen_mix(seed, 2) % 150 == 0) {
		gen_untyped(g, gen_mix(seed, 3));
		return;
	}
	gen_token(g, '{');
	if (kind < 5) {
		gen_name(g, "S");
		gen_string(g, text, gen_words(g, gen_mix(seed, 4), text, sizeof text));
	} else if (kind < 7) {
		gen_name(g, "N");
		gen_number(g, gen_mix(seed, 4), 38);
	} else if (kind == 7) {
		gen_name(g, "B");
		gen_base64(g, gen_mix(seed, 4));
	} else if (kind == 8) {
		gen_name(g, "BOOL");
		buf_add_str(&g->out, gen_mix(seed, 4) % 2 ? "true" : "false");
	} else if (kind == 9) {
		gen_name(g, "NULL");
		buf_add_str(&g->out, "true");
	} else if (kind < 12) {
		char set = "SNB"[gen_mix(seed, 5) % 3];

		gen_name(g, set == 'S' ? "SS" : set == 'N' ? "NS" : "BS");
		gen_set(g, seed, set);
	} else if (kind < 14) {
		gen_name(g, "M");
		gen_map(g, gen_mix(seed, 4), (unsigned)(gen_mix(seed, 6) % 4), depth + 1);
	} else {
		gen_name(g, "L");
		gen_list(g, gen_mix(seed, 4), (unsigned)(gen_mix(seed, 6) % 4), depth + 1);
	}
	gen_token(g, '}');
}

static inline void
gen_list(struct gen *g, uint64_t seed, unsigned count, unsigned depth)
{
	gen_token(g, '[');
	for (unsigned i = 0; i < count; i++) {
		if (i != 0)
			gen_token(g, ',');
		gen_value(g, gen_mix(seed, i), depth);
	}
	gen_token(g, ']');
}

static inline void
gen_attribute_name(uint64_t n, char *out, size_t room)
{
	static const char *const names[] = {"id", "total", "status", "a.b", "list[0]",
	    "caf\xc3\xa9", "with space", "q\"uote", "back\\slash", "tab\t", "\xf0\x9f\x98\x80",
	    "customer_reference_number"};

	(void)snprintf(out, room, "%s", names[n % 12]);
	if (n >= 12)
		(void)snprintf(out, room, "%s%u", names[n % 12], (unsigned)(n / 12));
	else if (n == 7 && room > 0)
		out[0] = '\0'; /* a name may even be empty, further down in a document */
}

static inline void
gen_map(struct gen *g, uint64_t seed, unsigned count, unsigned depth)
{
	unsigned order[64];

	count = count < 64 ? count : 64;
	gen_shuffle(g, order, count);
	gen_token(g, '{');
	for (unsigned i = 0; i < count; i++) {
		char name[64];

		if (i != 0)
			gen_token(g, ',');
		gen_attribute_name((order[i] + seed / 8 % 5) % 64, name, sizeof name);
		gen_name(g, name);
		/* Two maps whose seeds differ in the lowest bits only share names and
		 * most values, and so do maps inside them. */
		if (order[i] % 4 == 2 && depth < 3) {
			gen_token(g, '{');
			gen_name(g, "M");
			gen_map(g, seed, 3, depth + 1);
			gen_token(g, '}');
		} else {
			gen_value(g, gen_mix(order[i] % 3 == 0 ? seed : seed / 8, order[i]), depth);
		}
	}
	gen_token(g, '}');
}

static inline void
gen_junk(struct gen *g, uint64_t seed, unsigned depth)
{
	static const char *const scalars[] = {"0", "-1.5e+10", "true", "false", "null", "1E5", "-0",
	    "123456789012345678901234567890", "\"\"", "0.000001"};
	unsigned kind = (unsigned)(gen_mix(seed, 1) % (depth < 6 ? 6 : 4));

	if (kind < 3) {
		buf_add_str(
		    &g->out, scalars[gen_mix(seed, 2) % (sizeof scalars / sizeof *scalars)]);
	} else if (kind == 3) {
		char text[1500];

		gen_string(g, text, gen_words(g, seed, text, sizeof text));
	} else {
		unsigned count = (unsigned)(gen_mix(seed, 3) % 4);

		gen_token(g, kind == 4 ? '[' : '{');
		for (unsigned i = 0; i < count; i++) {
			if (i != 0)
				gen_token(g, ',');
			/* The same name twice is allowed where nobody looks. */
			if (kind == 5)
				gen_name(g, gen_mix(seed, 10 + i) % 4 ? "Records" : "x");
			gen_junk(g, gen_mix(seed, 20 + i), depth + 1);
		}
		gen_token(g, kind == 4 ? ']' : '}');
	}
}

/* Of a type that the member must not have. */
static inline void
gen_wrong_type(struct gen *g)
{
	static const char *const any[] = {"1", "true", "[]", "null", "\"\"", "{}"};

	buf_add_str(&g->out, any[rng_below(&g->sp, 6)]);
}

/* A creation time, exactly, in one of its spellings. */
static inline void
gen_time(struct gen *g, uint64_t seed)
{
	static const int64_t units[] = {1000000, 1000000, 1000, 1};
	int64_t unit = units[gen_mix(seed, 1) % 4];
	int64_t us = (int64_t)(gen_mix(seed, 2) % UINT64_C(4000000000000000)) / unit * unit;
	char digits[32], text[128];

	(void)snprintf(digits, sizeof digits, "%" PRId64, us);
	gen_number_text(g, false, digits, -6, text, sizeof text);
	buf_add_str(&g->out, text);
	if (g->records < GEN_RECORDS_MAX)
		g->created[g->records] = us;
}

/* One or two attributes of the types that keys may have. */
static inline void
gen_keys(struct gen *g, uint64_t seed)
{
	unsigned count = 1 + (unsigned)(gen_mix(seed, 1) % 2);
	unsigned order[2];
	char text[1500];

	gen_shuffle(g, order, count);
	gen_token(g, '{');
	for (unsigned i = 0; i < count; i++) {
		uint64_t s = gen_mix(seed, 10 + order[i]);

		if (i != 0)
			gen_token(g, ',');
		gen_name(g, order[i] ? "s.k" : "caf\xc3\xa9");
		gen_token(g, '{');
		if (s % 3 == 0) {
			gen_name(g, "S");
			gen_string(g, text, gen_words(g, s, text, sizeof text));
		} else if (s % 3 == 1) {
			gen_name(g, "N");
			gen_number(g, s, 38);
		} else {
			gen_name(g, "B");
			gen_base64(g, s);
		}
		gen_token(g, '}');
	}
	gen_token(g, '}');
}

enum { GEN_DDB = 9, GEN_REC = 8 };

/* One member of dynamodb; false when this record has none of it. */
static inline bool
gen_dynamodb_member(struct gen *g, uint64_t seed, unsigned which)
{
	static const char *const names[GEN_DDB] = {"ApproximateCreationDateTime", "Keys",
	    "NewImage", "OldImage", "SequenceNumber", "StreamViewType", "SizeBytes", "newimage",
	    "Keys2"};
	unsigned shape = (unsigned)(gen_mix(seed, 1) % 8); /* which images */
	char digits[48];

	if ((which == 2 && shape == 1) || (which == 3 && shape == 2) ||
	    (which == 0 && shape == 3) || (which == 5 && shape == 4) || (which >= 7 && shape != 5))
		return false;
	if (g->spoil && (which == 1 || which == 4) && gen_maybe(g, 150)) {
		return false;
	}
	gen_name(g, names[which]);
	if (g->spoil && which < 6 && gen_maybe(g, 150)) {
		if (which == 0)
			g->created[g->records] = -2;
		gen_wrong_type(g);
		return true;
	}
	switch (which) {
	case 0:
		gen_time(g, gen_mix(seed, 2));
		break;
	case 1:
		gen_keys(g, gen_mix(seed, 3));
		break;
	case 2:
	case 3:
		/* Nearly the same images, so that most attributes are unchanged. */
		gen_map(g, gen_mix(seed, 5) * 8 + (which == 2 ? gen_mix(seed, 6) % 2 : 0),
		    (unsigned)(gen_mix(seed, 7) % (gen_mix(seed, 8) % 24 == 0 ? 60 : 6)) +
			(which == 2 ? (unsigned)gen_mix(seed, 9) % 2 : 0),
		    0);
		break;
	case 4:
		(void)snprintf(digits, sizeof digits, "%020" PRIu64 "%020" PRIu64, gen_mix(seed, 9),
		    gen_mix(seed, 10));
		gen_string(g, digits, 1 + gen_mix(seed, 11) % 40);
		break;
	case 5:
		gen_text(g, "NEW_AND_OLD_IMAGES");
		break;
	default:
		gen_junk(g, gen_mix(seed, 12), 0);
	}
	return true;
}

static inline void
gen_dynamodb(struct gen *g, uint64_t seed)
{
	unsigned order[GEN_DDB];
	bool any = false;

	gen_shuffle(g, order, GEN_DDB);
	gen_token(g, '{');
	for (unsigned i = 0; i < GEN_DDB; i++) {
		size_t comma = g->out.n;

		if (any)
			gen_token(g, ',');
		if (!gen_dynamodb_member(g, seed, order[i])) {
			g->out.n = comma;
			continue;
		}
		any = true;
		if (g->spoil && order[i] < 6 && gen_maybe(g, 300)) {
			comma = g->out.n;
			gen_token(g, ',');
			if (gen_dynamodb_member(g, seed, order[i]))
				g->twice = true;
			else
				g->out.n = comma;
		}
	}
	gen_token(g, '}');
}

static inline bool
gen_identity(struct gen *g, uint64_t seed)
{
	bool capitals = gen_maybe(g, 2);
	bool turned = gen_maybe(g, 2);

	if (gen_mix(seed, 1) % 4 != 0)
		return false;
	gen_name(g, "userIdentity");
	if (gen_mix(seed, 2) % 8 == 0) {
		buf_add_str(&g->out, "null");
		return true;
	}
	gen_token(g, '{');
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			gen_token(g, ',');
		if ((i == 0) == turned) {
			gen_name(g, capitals ? "Type" : "type");
			gen_text(g, gen_mix(seed, 3) % 3 ? "Service" : "User");
		} else {
			gen_name(g, capitals ? "PrincipalId" : "principalId");
			gen_text(g, gen_mix(seed, 4) % 3 ? "dynamodb.amazonaws.com" : "someone");
		}
	}
	if (g->spoil && gen_maybe(g, 30)) {
		gen_token(g, ',');
		gen_name(g, capitals ? "type" : "principalId");
		buf_add_str(&g->out, "{}");
		g->twice |= !capitals; /* else jansson sees it, too: by another name */
	}
	gen_token(g, '}');
	return true;
}

static inline bool
gen_record_member(struct gen *g, uint64_t seed, unsigned which)
{
	static const char *const names[GEN_REC] = {"eventID", "eventName", "dynamodb",
	    "userIdentity", "awsRegion", "eventSource", "eventVersion", "future"};
	static const char *const events[] = {
	    "INSERT", "MODIFY", "REMOVE", "MODIFY", "insert", "SPLIT"};
	char text[64];

	if (which == 3 && !(g->spoil && gen_maybe(g, 200)))
		return gen_identity(g, gen_mix(seed, 5));
	if ((which == 7 && gen_mix(seed, 6) % 4 != 0) || (which == 0 && gen_mix(seed, 7) % 16 == 0))
		return false;
	gen_name(g, names[which]);
	if (g->spoil && which < 4 && (which == 3 || gen_maybe(g, 300))) {
		gen_wrong_type(g);
		return true;
	}
	switch (which) {
	case 0:
		(void)snprintf(text, sizeof text, "%016" PRIx64, gen_mix(seed, 1));
		gen_text(g, text);
		break;
	case 1:
		gen_text(g, events[gen_mix(seed, 2) % 6]);
		break;
	case 2:
		gen_dynamodb(g, gen_mix(seed, 3));
		break;
	case 7:
		gen_junk(g, gen_mix(seed, 4), 0);
		break;
	default:
		gen_text(g, "aws:dynamodb");
	}
	return true;
}

static inline void
gen_record(struct gen *g, uint64_t seed)
{
	unsigned order[GEN_REC];
	bool any = false;

	g->created[g->records] = -1;
	gen_shuffle(g, order, GEN_REC);
	gen_token(g, '{');
	for (unsigned i = 0; i < GEN_REC; i++) {
		size_t comma = g->out.n;

		if (any)
			gen_token(g, ',');
		if (!gen_record_member(g, seed, order[i])) {
			g->out.n = comma;
			continue;
		}
		any = true;
	}
	if (g->spoil && gen_maybe(g, 400)) {
		gen_token(g, ',');
		gen_name(g, "eventName");
		gen_text(g, "INSERT");
		g->twice = true;
	}
	gen_token(g, '}');
	g->records++;
}

/* The whole answer, into g->out. The flags and g->sp are the caller's. */
static inline void
gen_page(struct gen *g, uint64_t seed, unsigned records)
{
	bool iterator_first = gen_maybe(g, 2);
	uint64_t next = gen_mix(seed, 1) % 4;

	g->records = 0;
	g->twice = false;
	buf_reset(&g->out);
	gen_token(g, '{');
	for (int i = 0; i < 2; i++) {
		if (i == 1)
			gen_token(g, ',');
		if ((i == 0) == iterator_first) {
			gen_name(g, next == 3 ? "Unknown" : "NextShardIterator");
			if (g->spoil && next != 3 && gen_maybe(g, 300))
				gen_wrong_type(g);
			else if (next == 2)
				buf_add_str(&g->out, "null");
			else
				gen_text(g, next == 0 ? "arn:aws:x|1|AA+/==" : "");
			continue;
		}
		gen_name(g, "Records");
		gen_token(g, '[');
		for (unsigned k = 0; k < records && k < GEN_RECORDS_MAX; k++) {
			if (k != 0)
				gen_token(g, ',');
			gen_record(g, gen_mix(seed, 10 + k));
		}
		gen_token(g, ']');
	}
	if (g->spoil && gen_maybe(g, 500)) {
		gen_token(g, ',');
		gen_name(g, "Records");
		buf_add_str(&g->out, "[]");
		g->twice = true;
	}
	gen_token(g, '}');
}

#endif
