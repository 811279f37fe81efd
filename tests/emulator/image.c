/* tests/emulator/image.c - see image.h. */
#include "tests/emulator/image.h"

#include <inttypes.h>
#include <stdio.h>

struct text {
	const char *json; /* inside the quotes */
	uint32_t bytes;	  /* of the text it means, in UTF-8 */
};

static const struct text texts[] = {
    {"", 0},
    {"paid", 4},
    {"Grüße aus Köln", 17},
    {"\\u65e5\\u672c\\u8a9e", 9},
    {"\\ud83d\\ude00 and \xf0\x9f\x9a\x80", 13},
    {"a\\u0000b", 3},
    {"line\\nbreak\\ttab\\r\\b\\f", 18},
    {"quote \\\" back \\\\ slash \\/", 22},
    {"}],{\\\"Records\\\":[", 15},
    {"\\u0001\\u001f\x7f", 3},
    {"the quick brown fox jumps over the lazy dog", 43},
};

static const char *const numbers[] = {"0", "-1", "1", "1.0", "12.50", "-0.001", "1E-130",
    "-9.9999999999999999999999999999999999999E+125", "12345678901234567890123456789012345678",
    "0.1234567890123456789012345678901234567"};

static uint32_t
write_text(struct buf *out, struct rng *r)
{
	const struct text *t = &texts[rng_below(r, ARRAY_LEN(texts))];

	buf_addf(out, "{\"S\":\"%s\"}", t->json);
	return t->bytes;
}

static uint32_t
write_number(struct buf *out, struct rng *r)
{
	if (rng_below(r, 3) != 0)
		buf_addf(out, "{\"N\":\"%" PRIu64 ".%02" PRIu64 "\"}", rng_below(r, 100000),
		    rng_below(r, 100));
	else
		buf_addf(out, "{\"N\":\"%s\"}", numbers[rng_below(r, ARRAY_LEN(numbers))]);
	return 6;
}

static uint32_t
write_binary_text(struct buf *out, struct rng *r, size_t least)
{
	uint64_t bytes[8];
	size_t n = least + rng_below(r, sizeof bytes - least);

	for (size_t i = 0; i < ARRAY_LEN(bytes); i++)
		bytes[i] = rng_next(r);
	buf_add_char(out, '"');
	buf_add_base64(out, bytes, n);
	buf_add_char(out, '"');
	return (uint32_t)n;
}

static uint32_t
write_lines(struct buf *out, struct rng *r)
{
	uint32_t bytes = 3;
	size_t n = rng_below(r, 4);

	buf_add_str(out, "{\"L\":[");
	for (size_t i = 0; i < n; i++) {
		buf_addf(out, "%s{\"M\":{\"sku\":", i != 0 ? "," : "");
		bytes += write_text(out, r) + 3;
		buf_add_str(out, ",\"qty\":");
		bytes += write_number(out, r) + 3;
		buf_add_str(out, "}}");
	}
	buf_add_str(out, "]}");
	return bytes;
}

/* M and L by turns, most of the time shallow, now and then the 32 levels that
 * the service allows at most. */
static uint32_t
write_nested(struct buf *out, struct rng *r)
{
	unsigned depth = rng_below(r, 32) == 0 ? 31 : (unsigned)rng_below(r, 4);
	uint32_t bytes = 0;

	for (unsigned i = 0; i < depth; i++)
		buf_add_str(out, i % 2 == 0 ? "{\"M\":{\"in\":" : "{\"L\":[");
	bytes = write_text(out, r) + depth * 4;
	for (unsigned i = depth; i-- > 0;)
		buf_add_str(out, i % 2 == 0 ? "}}" : "]}");
	return bytes;
}

static uint32_t
write_set(struct buf *out, struct rng *r, char kind)
{
	size_t n = 1 + rng_below(r, 4);
	uint32_t bytes = 0;

	buf_addf(out, "{\"%cS\":[", kind);
	for (size_t i = 0; i < n; i++) {
		if (i != 0)
			buf_add_char(out, ',');
		if (kind == 'S')
			buf_addf(out, "\"t%zu-%u\"", n - i, (unsigned)rng_below(r, 100));
		else if (kind == 'N')
			buf_addf(out, "\"%u\"", (unsigned)((n - i) * 1000 + rng_below(r, 1000)));
		else
			bytes += write_binary_text(out, r, 16);
		bytes += 6;
	}
	buf_add_str(out, "]}");
	return bytes;
}

static uint32_t
write_kind(struct buf *out, struct rng *r, unsigned kind)
{
	uint32_t n;

	switch (kind) {
	case 0:
	case 1:
		return write_text(out, r);
	case 2:
	case 3:
		return write_number(out, r);
	case 4:
		buf_addf(out, "{\"BOOL\":%s}", rng_below(r, 2) != 0 ? "true" : "false");
		return 1;
	case 5:
		buf_add_str(out, "{\"NULL\":true}");
		return 1;
	case 6:
		buf_add_str(out, "{\"B\":");
		n = write_binary_text(out, r, 0);
		buf_add_char(out, '}');
		return n;
	case 7:
		return write_lines(out, r);
	case 8:
		return write_nested(out, r);
	case 9:
		return write_set(out, r, 'S');
	case 10:
		return write_set(out, r, 'N');
	default:
		return write_set(out, r, 'B');
	}
}

static uint32_t
write_attribute(const struct image_maker *mk, const struct item *it, unsigned kind, struct buf *out)
{
	static const char *const names[IMAGE_ATTRIBUTES] = {"status", "note", "total", "weight",
	    "open", "gone", "blob", "lines", "address.street", "tags", "scores",
	    "Pr\303\274fsummen"};
	struct rng r;

	rng_seed(&r, mk->seed ^ (uint64_t)it->id << 24 ^ (uint64_t)kind << 16 ^ it->versions[kind]);
	if (rng_below(&r, 8) == 0)
		return 0; /* not every item has every attribute */
	buf_addf(out, ",\"%s\":", names[kind]);
	return (uint32_t)strlen(names[kind]) + write_kind(out, &r, kind);
}

static uint32_t
write_key_attribute(const struct table *t, unsigned which, uint32_t id, struct buf *out)
{
	char text[32];
	uint32_t n = (uint32_t)snprintf(text, sizeof text, which == 0 ? "o-%u" : "%u", id);

	buf_addf(out, "%s\"%s\":{\"%c\":", which != 0 ? "," : "", t->key_names[which],
	    t->key_types[which]);
	if (t->key_types[which] == 'B') {
		buf_add_char(out, '"');
		buf_add_base64(out, text, n);
		buf_add_str(out, "\"}");
	} else {
		buf_addf(
		    out, "\"%s\"}", t->key_types[which] == 'N' && which == 0 ? text + 2 : text);
	}
	return (uint32_t)strlen(t->key_names[which]) + n;
}

static uint32_t
write_keys(const struct table *t, uint32_t id, struct buf *out)
{
	uint32_t bytes = write_key_attribute(t, 0, id, out);

	if (t->key_names[1] != NULL)
		bytes += write_key_attribute(t, 1, id, out);
	return bytes;
}

uint32_t
image_key(const struct table *t, uint32_t id, struct buf *out)
{
	uint32_t bytes;

	buf_add_char(out, '{');
	bytes = write_keys(t, id, out);
	buf_add_char(out, '}');
	return bytes;
}

/* As long in JSON and in bytes. */
static void
leave_nul_out(char *p, const char *end)
{
	while ((p = memmem(p, (size_t)(end - p), "\\u0000", 6)) != NULL)
		memcpy(p, "\\u0020", 6);
}

uint32_t
image_write(const struct image_maker *mk, const struct table *t, const struct item *it,
    uint32_t revision, struct buf *out)
{
	size_t start = out->n;
	uint32_t bytes;

	buf_add_char(out, '{');
	bytes = write_keys(t, it->id, out) + 4;
	/* Differs in every version: a put that changes nothing makes no record. */
	buf_addf(out, ",\"v\":{\"N\":\"%u\"}", revision);
	for (unsigned kind = 0; kind < IMAGE_ATTRIBUTES; kind++)
		bytes += write_attribute(mk, it, kind, out);
	if (mk->pad != 0) {
		buf_add_str(out, ",\"pad\":{\"S\":\"");
		for (uint32_t i = 0; i < mk->pad; i++)
			buf_add_char(out, (char)('a' + (i + revision) % 26));
		buf_add_str(out, "\"}");
		bytes += 3 + mk->pad;
	}
	buf_add_char(out, '}');
	if (mk->no_nul && !out->failed)
		leave_nul_out(out->p + start, out->p + out->n);
	return bytes;
}
