/* tests/unit/pattern_set_test.c - patterns and records made up together from a seed: the
 * answer for a record of a page is that for its JSON, and a set of patterns answers as
 * each of them alone.
 *
 * Records have everything that a search by name could trip over: names that are type
 * tags, or escaped, or stand in nested maps and in texts, spaces, null for absent, values
 * that are no DynamoDB JSON. SEEDS=n runs seeds 1 to n (2,000).
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "filters/pattern_set.h"
#include "record/rewrite.h"

static struct err e;

/* ---- made up ---- */

struct gen {
	struct rng r;
	struct buf out;
	bool odd; /* escaped names, spaces, nonsense for values */
};

static unsigned
below(struct gen *g, unsigned n)
{
	return (unsigned)rng_below(&g->r, n);
}

static const char *
pick(struct gen *g, const char *const *words, size_t n)
{
	return words[below(g, (unsigned)n)];
}
#define PICK(g, words) pick(g, words, ARRAY_LEN(words))

/* As they stand in JSON. */
static const char *const names[] = {"status", "tenant", "us", "total", "sta", "S", "SS", "SKU",
    "a b", ":", ", ", "\xc3\xa9t\xc3\xa9", "q\\\"status", "M", "x-status", "type"};
static const char *const texts[] = {"paid", "open", "Paid", "t-1", "t-12", "t-123", "", "10.1.2.3",
    "x*y", "\xc3\xa9", "\xc3\x89", "a\\\"status\\\":b", "status", "5", "10", "p\\u0061id", "{\\\\",
    "},", ":{"};
static const char *const numbers[] = {"0", "1", "5", "5.0", "-3", "1e1", "10", "0.1", "007",
    "99999999999999999999999999999999999999", "99999999999999999999999999999999999998", "2", "3",
    "7"};

/* Mostly one of few, so that patterns and records meet. */
static const char *
a_name(struct gen *g)
{
	return names[below(g, below(g, 3) ? 3 : ARRAY_LEN(names))];
}

static void
add_space(struct gen *g)
{
	if (g->odd && below(g, 12) == 0)
		buf_add_char(&g->out, " \n\t"[below(g, 3)]);
}

/* A name whose first letter may be written as an escape. */
static void
add_name(struct gen *g, const char *name)
{
	add_space(g);
	if (g->odd && below(g, 20) == 0 && (unsigned char)*name < 0x80 && *name != '\\')
		buf_addf(&g->out, "\"\\u%04x%s\"", (unsigned)*name, name + 1);
	else
		buf_addf(&g->out, "\"%s\"", name);
	add_space(g);
	buf_add_char(&g->out, ':');
	add_space(g);
}

static void add_value(struct gen *g, unsigned depth);

static void
add_map(struct gen *g, unsigned depth, unsigned most)
{
	bool first = true;

	buf_add_char(&g->out, '{');
	for (unsigned n = below(g, most + 1); n != 0; n--) {
		if (!first)
			buf_add_char(&g->out, ',');
		first = false;
		add_name(g, a_name(g));
		add_value(g, depth);
	}
	add_space(g);
	buf_add_char(&g->out, '}');
}

static void
add_list(struct gen *g, unsigned depth, const char *of)
{
	unsigned n = below(g, 4);

	buf_add_char(&g->out, '[');
	for (unsigned i = 0; i < n; i++) {
		if (i != 0)
			buf_add_char(&g->out, ',');
		if (of == NULL)
			add_value(g, depth);
		else if (*of == 'N')
			buf_addf(&g->out, "\"%s\"", PICK(g, numbers));
		else
			buf_addf(&g->out, "\"%s\"", PICK(g, texts));
	}
	buf_add_char(&g->out, ']');
}

static void
add_nonsense(struct gen *g, unsigned depth)
{
	switch (below(g, 5)) {
	case 0:
		buf_addf(&g->out, "\"%s\"", PICK(g, texts));
		break;
	case 1:
		buf_add_str(&g->out, "null");
		break;
	case 2:
		add_map(g, depth + 1, 3);
		break;
	case 3:
		buf_addf(&g->out, "{\"N\":\"5\",\"status\":{\"S\":\"%s\"}}", PICK(g, texts));
		break;
	default:
		buf_addf(&g->out, "[%u,[{\"S\":\"paid\"}],[]]", below(g, 9));
	}
}

static void
add_value(struct gen *g, unsigned depth)
{
	unsigned kind = below(g, depth < 4 && below(g, 2) ? 12 : 6);

	if (g->odd && below(g, 15) == 0 && depth < 4) {
		add_nonsense(g, depth);
		return;
	}
	buf_add_char(&g->out, '{');
	if (kind < 3) {
		add_name(g, "S");
		buf_addf(&g->out, "\"%s\"", PICK(g, texts));
	} else if (kind < 5) {
		add_name(g, "N");
		buf_addf(&g->out, "\"%s\"", PICK(g, numbers));
	} else if (kind == 5) {
		add_name(g, "BOOL");
		buf_add_str(&g->out, below(g, 2) ? "true" : "false");
	} else if (kind == 6) {
		add_name(g, "NULL");
		buf_add_str(&g->out, "true");
	} else if (kind < 9) {
		add_name(g, kind == 7 ? "SS" : "NS");
		add_list(g, depth, kind == 7 ? "S" : "N");
	} else if (kind < 11) {
		add_name(g, "M");
		add_map(g, depth + 1, 3);
	} else {
		add_name(g, "L");
		add_list(g, depth + 1, NULL);
	}
	buf_add_char(&g->out, '}');
}

static void
add_image(struct gen *g, const char *name)
{
	buf_add_char(&g->out, ',');
	add_name(g, name);
	if (below(g, 10) == 0)
		buf_add_str(&g->out, "null");
	else
		add_map(g, 0, 12);
}

static void
add_record(struct gen *g, unsigned n)
{
	static const char *const events[] = {"\"INSERT\"", "\"MODIFY\"", "\"REMOVE\"", "null"};
	static const char *const identities[] = {
	    ",\"userIdentity\":{\"type\":\"Service\",\"principalId\":\"dynamodb.amazonaws.com\"}",
	    ",\"userIdentity\":{\"PrincipalId\":\"dynamodb.amazonaws.com\",\"Type\":\"Service\"}",
	    ",\"userIdentity\":null", ",\"userIdentity\":{\"type\":\"other\"}", "", "", ""};

	buf_add_char(&g->out, '{');
	add_name(g, "eventName");
	buf_addf(
	    &g->out, "%s%s,\"awsRegion\":\"eu-west-1\",", PICK(g, events), PICK(g, identities));
	add_name(g, "dynamodb");
	buf_addf(
	    &g->out, "{\"SequenceNumber\":\"%u\",\"SizeBytes\":%u,\"Keys\":", n + 1, below(g, 9));
	add_map(g, 0, 2);
	if (below(g, 4) != 0)
		add_image(g, "NewImage");
	if (below(g, 3) != 0)
		add_image(g, "OldImage");
	if (below(g, 3) == 0)
		buf_add_str(&g->out, ",\"StreamViewType\":\"NEW_AND_OLD_IMAGES\"");
	if (g->odd && below(g, 5) == 0) {
		buf_add_str(&g->out, ",\"Other\":");
		add_list(g, 1, NULL);
	}
	buf_add_str(&g->out, "}}");
}

static struct page *
made_page(struct gen *g, unsigned records)
{
	struct page *page;

	buf_reset(&g->out);
	buf_add_str(&g->out, "{\"Records\":[");
	for (unsigned i = 0; i < records; i++) {
		if (i != 0)
			buf_add_char(&g->out, ',');
		add_record(g, i);
	}
	buf_add_str(&g->out, "]}");
	if (page_parse(&page, &g->out, &e) != 0)
		fail_msg("%s", e.text);
	g->out = BUF_INIT(1 << 20);
	return page;
}

/* ---- patterns ---- */

static void
add_operator(struct gen *g)
{
	static const char *const with_text[] = {"{\"prefix\":\"%s\"}", "{\"suffix\":\"%s\"}",
	    "{\"equals-ignore-case\":\"%s\"}", "{\"prefix\":{\"equals-ignore-case\":\"%s\"}}",
	    "{\"suffix\":{\"equals-ignore-case\":\"%s\"}}", "{\"wildcard\":\"*%s\"}",
	    "{\"anything-but\":\"%s\"}", "{\"anything-but\":[\"%s\",\"open\"]}",
	    "{\"anything-but\":{\"prefix\":\"%s\"}}", "{\"anything-but\":{\"suffix\":\"p%s\"}}"};
	static const char *const with_number[] = {"{\"numeric\":[\">\",%s]}",
	    "{\"numeric\":[\"<\",%s]}", "{\"numeric\":[\">=\",%s]}", "{\"numeric\":[\"<=\",%s]}",
	    "{\"numeric\":[\"=\",%s]}", "{\"numeric\":[\">\",-2,\"<=\",%s]}",
	    "{\"numeric\":[\">=\",%s,\"<\",1000]}", "{\"anything-but\":%s}",
	    "{\"anything-but\":[%s,1]}"};
	static const char *const others[] = {"{\"exists\":true}", "{\"exists\":false}",
	    "{\"cidr\":\"10.0.0.0/8\"}", "true", "false", "null", "{\"size\":[\">\",1]}",
	    "{\"changed\":true}"};

	switch (below(g, 4)) {
	case 0:
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		buf_addf(&g->out, PICK(g, with_text), PICK(g, texts));
		break;
	case 1:
	case 2:
		buf_addf(&g->out, PICK(g, with_number), PICK(g, numbers));
#pragma GCC diagnostic pop
		break;
	default:
		buf_add_str(&g->out, PICK(g, others));
	}
}

static void
add_conditions(struct gen *g)
{
	unsigned n = 1 + below(g, 4);

	buf_add_char(&g->out, '[');
	for (unsigned i = 0; i < n; i++) {
		if (i != 0)
			buf_add_char(&g->out, ',');
		switch (below(g, 5)) {
		case 0:
			buf_add_str(&g->out, PICK(g, numbers));
			break;
		case 1:
		case 2:
			buf_addf(&g->out, "\"%s\"", PICK(g, texts));
			break;
		default:
			add_operator(g);
		}
	}
	buf_add_char(&g->out, ']');
}

static void add_fields(struct gen *g, unsigned depth, unsigned most);

static void
add_typed(struct gen *g, unsigned depth)
{
	static const char *const scalars[] = {
	    "S", "N", "N", "S", "N", "S", "BOOL", "NULL", "SS", "NS", "L"};

	if (below(g, 12) == 0) {
		add_conditions(g);
	} else if (depth < 2 && below(g, 5) == 0) {
		buf_add_str(&g->out, below(g, 3) ? "{\"M\":" : "{\"L\":{\"M\":");
		add_fields(g, depth + 1, 2);
		buf_add_str(&g->out, g->out.n > 0 ? "}" : "");
	} else {
		buf_addf(&g->out, "{\"%s\":", PICK(g, scalars));
		add_conditions(g);
		buf_add_char(&g->out, '}');
	}
}

static void
add_fields(struct gen *g, unsigned depth, unsigned most)
{
	unsigned n = below(g, 2) ? 1 : 1 + below(g, most);

	buf_add_char(&g->out, '{');
	for (unsigned i = 0; i < n; i++) {
		if (i != 0)
			buf_add_char(&g->out, ',');
		if (depth < 2 && below(g, 14) == 0) {
			buf_add_str(&g->out, "\"$or\":[");
			add_fields(g, depth + 1, 2);
			buf_add_char(&g->out, ',');
			add_fields(g, depth + 1, 2);
			buf_add_char(&g->out, ']');
			continue;
		}
		buf_addf(&g->out, "\"%s\":", a_name(g));
		add_typed(g, depth);
	}
	buf_add_char(&g->out, '}');
}

static void
add_event_fields(struct gen *g)
{
	static const char *const images[] = {"NewImage", "OldImage", "Keys", "NewImage"};
	static const char *const plain[] = {"\"eventName\":[\"MODIFY\"]",
	    "\"eventName\":[\"INSERT\",\"MODIFY\"]", "\"awsRegion\":[{\"prefix\":\"eu\"}]",
	    "\"userIdentity\":{\"type\":[\"Service\"]}",
	    "\"dynamodb\":{\"SizeBytes\":[{\"numeric\":[\"<\",5]}]}", "\"eventName\":[null]",
	    "\"userIdentity\":{\"Type\":[{\"exists\":false}]}",
	    "\"dynamodb\":{\"OldImage\":[null]}", "\"userIdentity\":[null]",
	    "\"dynamodb\":{\"StreamViewType\":[{\"suffix\":\"IMAGES\"}]}",
	    "\"dynamodb\":[{\"exists\":false}]",
	    "\"userIdentity\":{\"type\":[\"other\"],\"Type\":[\"other\"]}",
	    "\"eventName\":{\"x\":[5]}",
	    "\"dynamodb\":{\"Other\":{\"M\":{\"status\":{\"S\":[\"paid\"]}}}}"};

	if (below(g, 3) == 0) {
		buf_add_str(&g->out, PICK(g, plain));
		buf_add_char(&g->out, ',');
	}
	buf_addf(&g->out, "\"dynamodb\":{\"%s\":", PICK(g, images));
	add_fields(g, 0, 3);
	buf_add_char(&g->out, '}');
	if (below(g, 4) == 0) {
		buf_addf(&g->out, ",\"dynamodb\":{\"%s\":", PICK(g, images));
		add_fields(g, 0, 6);
		buf_add_char(&g->out, '}');
	}
}

static void
add_pattern(struct gen *g)
{
	buf_add_char(&g->out, '{');
	add_event_fields(g);
	if (below(g, 8) == 0) {
		buf_add_str(&g->out, ",\"$or\":[{");
		add_event_fields(g);
		buf_add_str(&g->out, "},{");
		add_event_fields(g);
		buf_add_str(&g->out, "}]");
	}
	buf_add_char(&g->out, '}');
}

/* Of what comes out some is no pattern: a range that is none, a text that no wildcard takes. */
static struct pattern *
made_pattern(struct gen *g)
{
	for (int tries = 0; tries < 200; tries++) {
		struct pattern *p;

		buf_reset(&g->out);
		add_pattern(g);
		if (pattern_compile(&p, buf_slice(&g->out), &e) == 0)
			return p;
	}
	fail_msg("no pattern: %s: %s", buf_cstr(&g->out), e.text);
	return NULL;
}

/* ---- tests ---- */

#define PATTERNS_MAX 300
#define RECORDS 12

static unsigned yes, no, searched, alone;

static unsigned long
seeds_wanted(unsigned long usual)
{
	const char *text = getenv("SEEDS");

	return text != NULL ? strtoul(text, NULL, 10) : usual;
}

/* As a filter leaves a record: with another new image, and perhaps no old one. */
static void
rewritten(struct pattern *p, const struct record *r, const struct record *other)
{
	struct record made = *r;
	struct buf document = BUF_INIT(1 << 20);

	made.new_image = other->keys;
	if (other->old_image.p == NULL)
		made.old_image = SLICE_NONE;
	record_write(&made, &document);
	if (pattern_match_record(p, &made) != pattern_match(p, buf_slice(&document)))
		fail_msg("rewritten: %s", buf_cstr(&document));
	buf_close(&document);
}

static void
one_by_one(uint64_t seed)
{
	struct gen g = {.out = BUF_INIT(1 << 20), .odd = seed % 2 == 0};
	struct page *page;

	rng_seed(&g.r, seed);
	page = made_page(&g, RECORDS);
	for (size_t k = 0; k < 40; k++) {
		struct pattern *p = made_pattern(&g);

		for (size_t i = 0; i < page->count; i++) {
			struct record *r = &page->records[i];
			bool want = pattern_match(p, r->raw);

			searched += r->seek;
			yes += want;
			no += !want;
			if (pattern_match_record(p, r) != want)
				fail_msg("seed %u: %s is %d for %.*s", (unsigned)seed,
				    buf_cstr(&g.out), !want, (int)r->raw.n, r->raw.p);
			if (i != 0)
				rewritten(p, r, &page->records[i - 1]);
		}
		pattern_close(p);
	}
	page_unref(page);
	buf_close(&g.out);
}

static void
a_record_of_a_page_is_its_json(void **state)
{
	unsigned long seeds = seeds_wanted(500);

	(void)state;
	yes = no = searched = 0;
	for (unsigned long s = 1; s <= seeds; s++)
		one_by_one(s);
	(void)printf("%u matched, %u not, %u searched\n", yes, no, searched);
	assert_true(yes > 10 * seeds && no > 10 * seeds && searched > 50 * seeds);
}

/* From a few to several words of bits, so that indexes begin and end anywhere. */
static void
together(uint64_t seed)
{
	struct gen g = {.out = BUF_INIT(1 << 20), .odd = seed % 2 == 0};
	struct pattern *p[PATTERNS_MAX];
	struct pattern_set *set;
	size_t n;

	rng_seed(&g.r, seed);
	n = 1 + below(&g, below(&g, 4) ? 30 : PATTERNS_MAX);
	for (size_t k = 0; k < n; k++)
		p[k] = made_pattern(&g);
	set = pattern_set_new(p, n);
	for (size_t k = 0; k < n; k++)
		alone += !pattern_set_takes(set, k);
	for (int pages = 0; pages < 2; pages++) {
		struct page *page = made_page(&g, 1 + below(&g, RECORDS));

		struct pattern_answers a = pattern_set_ask(set, page);

		for (size_t i = 0; i < page->count; i++)
			for (size_t k = 0; k < n; k++) {
				const struct record *r = &page->records[i];
				bool want = pattern_match(p[k], r->raw);

				yes += want;
				no += !want;
				if (pattern_answer(&a, i, k) != (want && pattern_set_takes(set, k)))
					fail_msg("seed %u: pattern %zu of %zu is %d for %.*s",
					    (unsigned)seed, k, n, !want, (int)r->raw.n, r->raw.p);
			}
		page_unref(page);
	}
	pattern_set_close(set);
	for (size_t k = 0; k < n; k++)
		pattern_close(p[k]);
	buf_close(&g.out);
}

static void
a_set_answers_as_each_of_its_patterns(void **state)
{
	unsigned long seeds = seeds_wanted(500);

	(void)state;
	yes = no = alone = 0;
	for (unsigned long s = 1; s <= seeds; s++)
		together(s);
	(void)printf("%u matched, %u not, %u patterns alone\n", yes, no, alone);
	assert_true(yes > 10 * seeds && no > 10 * seeds);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_record_of_a_page_is_its_json),
	    cmocka_unit_test(a_set_answers_as_each_of_its_patterns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
