/* sinks/audit_line.c - see audit_line.h.
 *
 * An entry is put together from the record's own slices: keys, images and user
 * identity are never decoded, so what the service sent is what is kept. The
 * one liberty is a line break between two JSON tokens (an emulator that
 * pretty-prints): it becomes a space, or the trail would not be one line a change.
 *
 * The reader side trusts nothing: positions are found from the fixed ends of a
 * line, and whatever does not match to the byte is not a line.
 */
#include "sinks/audit_line.h"

#include <openssl/sha.h>
#include <string.h>

#include "record/format.h"
#include "record/value.h"

#define PREV ",\"prev\":\""
#define HASH ",\"hash\":\""

enum {
	PREV_BYTES = sizeof PREV - 1 + AUDIT_HEX + 1,
	HASH_BYTES = sizeof HASH - 1 + AUDIT_HEX + 2,
};

int
audit_hash_open(struct audit_hash *h, struct err *e)
{
	h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	h->ctx = EVP_MD_CTX_new();
	if (h->md != NULL && h->ctx != NULL)
		return 0;
	audit_hash_close(h);
	return err_set(e, ERR_NOMEM, "audit: libcrypto has no SHA-256 to give");
}

void
audit_hash_close(struct audit_hash *h)
{
	EVP_MD_CTX_free(h->ctx);
	EVP_MD_free(h->md);
	h->ctx = NULL;
	h->md = NULL;
}

int
audit_hash_hex(struct audit_hash *h, struct slice bytes, char out[AUDIT_HEX + 1], struct err *e)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char raw[SHA256_DIGEST_LENGTH];
	unsigned n = 0;

	if (EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1 ||
	    EVP_DigestUpdate(h->ctx, bytes.p, bytes.n) != 1 ||
	    EVP_DigestFinal_ex(h->ctx, raw, &n) != 1 || n != sizeof raw)
		return err_retry(e, ERR_NOMEM, "audit: libcrypto failed to hash a line");
	for (size_t i = 0; i < sizeof raw; i++) {
		out[2 * i] = hex[raw[i] >> 4];
		out[2 * i + 1] = hex[raw[i] & 15];
	}
	out[AUDIT_HEX] = '\0';
	return 0;
}

void
audit_write_u64(struct buf *out, uint64_t v)
{
	char digits[20];
	size_t at = sizeof digits;

	do {
		digits[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	buf_add(out, digits + at, sizeof digits - at);
}

static void
add_name(struct buf *out, const char *name)
{
	buf_add_char(out, ',');
	buf_add_char(out, '"');
	buf_add_str(out, name);
	buf_add(out, "\":", 2);
}

/* A raw JSON value. Line breaks in it can only stand between tokens. */
static void
add_value(struct buf *out, struct slice v)
{
	const char *end = v.p + v.n;
	const char *p;
	size_t from = out->n;

	buf_add_slice(out, v);
	if (out->failed || (memchr(v.p, '\n', v.n) == NULL && memchr(v.p, '\r', v.n) == NULL))
		return;
	for (p = v.p; p < end; p++)
		if (*p == '\n' || *p == '\r')
			out->p[from + (size_t)(p - v.p)] = ' ';
}

static void
add_text(struct buf *out, const char *name, const char *text)
{
	add_name(out, name);
	buf_add_json_string(out, slice_of(text));
}

/* raw: between the quotes, as it came. */
static void
add_raw_string(struct buf *out, const char *name, struct slice raw)
{
	if (raw.p == NULL)
		return;
	add_name(out, name);
	buf_add_char(out, '"');
	buf_add_slice(out, raw);
	buf_add_char(out, '"');
}

static void
add_member(struct buf *out, const char *name, struct slice value)
{
	if (value.p == NULL)
		return;
	add_name(out, name);
	add_value(out, value);
}

struct changed {
	struct buf *out;
	bool first;
};

static void
add_change(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	struct changed *c = arg;

	buf_add_str(c->out, c->first ? "{\"path\":" : ",{\"path\":");
	c->first = false;
	buf_add_json_string(c->out, path);
	add_member(c->out, "old", old_value);
	add_member(c->out, "new", new_value);
	buf_add_char(c->out, '}');
}

/* Only where both sides are known: with NEW_IMAGE alone, a MODIFY says nothing
 * about what changed, and a list of everything would be a lie. */
static void
add_changed(struct buf *out, const struct record *r)
{
	struct changed c = {out, true};
	bool whole = slice_is(r->view_type, "NEW_AND_OLD_IMAGES");

	if ((r->old_image.p == NULL || r->new_image.p == NULL) && !whole)
		return;
	add_name(out, "changed");
	buf_add_char(out, '[');
	changes_each(r->old_image, r->new_image, add_change, &c);
	buf_add_char(out, ']');
}

void
audit_write_entry(struct buf *out, uint64_t entry, const struct record *r, const struct origin *o)
{
	buf_add_str(out, "{\"entry\":");
	audit_write_u64(out, entry);
	add_text(out, "stream", o->arn);
	add_text(out, "table", o->table != NULL ? o->table : "");
	add_text(out, "shard", o->shard);
	add_raw_string(out, "sequence", seq_text(&r->seq));
	add_raw_string(out, "eventID", r->event_id);
	add_raw_string(out, "eventName", r->event_name);
	if ((r->flags & RECORD_NO_TIME) == 0) {
		add_name(out, "time");
		buf_add_char(out, '"');
		format_time(r->created_us, out);
		buf_add_char(out, '"');
	}
	add_member(out, "keys", r->keys);
	add_member(out, "old", r->old_image);
	add_member(out, "new", r->new_image);
	add_member(out, "userIdentity", r->user_identity);
	add_changed(out, r);
}

int
audit_seal(
    struct audit_hash *h, struct buf *out, size_t start, char head[AUDIT_HEX + 1], struct err *e)
{
	char hash[AUDIT_HEX + 1];

	buf_add_str(out, PREV);
	buf_add(out, head, AUDIT_HEX);
	buf_add_char(out, '"');
	if (!buf_reserve(out, HASH_BYTES + 1))
		return err_retry(e, ERR_NOMEM, "audit: no memory for a line");
	if (audit_hash_hex(h, (struct slice){out->p + start, out->n - start}, hash, e) != 0)
		return -1;
	buf_add_str(out, HASH);
	buf_add(out, hash, AUDIT_HEX);
	buf_add(out, "\"}\n", 3);
	memcpy(head, hash, sizeof hash);
	return 0;
}

/* The parsers below eat from the left of *s. */
static bool
eat(struct slice *s, const char *lit)
{
	size_t n = strlen(lit);

	if (s->n < n || memcmp(s->p, lit, n) != 0)
		return false;
	s->p += n;
	s->n -= n;
	return true;
}

static bool
eat_u64(struct slice *s, uint64_t *v)
{
	size_t n = 0;
	uint64_t sum = 0;

	for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++)
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(s->p[n] - '0'), &sum))
			return false;
	if (n == 0)
		return false;
	s->p += n;
	s->n -= n;
	*v = sum;
	return true;
}

static bool
is_hex(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

/* Both hashes, from the fixed end of the line. */
static bool
parse_tail(struct slice line, struct audit_line *out)
{
	struct slice prev, hash;

	if (line.n < PREV_BYTES + HASH_BYTES)
		return false;
	prev = (struct slice){line.p + line.n - HASH_BYTES - PREV_BYTES, PREV_BYTES};
	hash = (struct slice){line.p + line.n - HASH_BYTES, HASH_BYTES};
	if (!eat(&prev, PREV) || !eat(&hash, HASH) || prev.p[AUDIT_HEX] != '"' ||
	    memcmp(hash.p + AUDIT_HEX, "\"}", 2) != 0)
		return false;
	out->prev = (struct slice){prev.p, AUDIT_HEX};
	out->hash = (struct slice){hash.p, AUDIT_HEX};
	return is_hex(out->prev) && is_hex(out->hash);
}

static bool
parse_header(struct slice s, struct audit_line *out)
{
	uint64_t format;
	const char *quote;

	if (!eat_u64(&s, &format) || format > UINT32_MAX)
		return false;
	out->kind = AUDIT_HEADER;
	out->format = (unsigned)format;
	if (out->format != AUDIT_FORMAT)
		return true; /* whatever comes next is not ours to understand */
	if (!eat(&s, ",\"first\":") || !eat_u64(&s, &out->number) || out->number == 0 ||
	    !eat(&s, ",\"kept_from\":") || !eat_u64(&s, &out->kept_from) || out->kept_from == 0 ||
	    !eat(&s, ",\"file\":\""))
		return false;
	quote = memchr(s.p, '"', s.n);
	if (quote == NULL)
		return false;
	out->file = (struct slice){s.p, (size_t)(quote - s.p)};
	return true;
}

static bool
parse_note(struct slice s, struct audit_line *out)
{
	out->kind = AUDIT_NOTE;
	if (!eat(&s, "\"pruned\",\"kept_from\":"))
		return true;
	return eat_u64(&s, &out->kept_from) && out->kept_from != 0;
}

bool
audit_line_parse(struct slice line, struct audit_line *out)
{
	struct slice s = line;

	*out = (struct audit_line){.whole = line};
	if (!parse_tail(line, out))
		return false;
	if (eat(&s, "{\"entry\":")) {
		out->kind = AUDIT_ENTRY;
		return eat_u64(&s, &out->number) && eat(&s, ",");
	}
	if (eat(&s, "{\"trail\":"))
		return parse_header(s, out);
	return eat(&s, "{\"note\":") && parse_note(s, out);
}

struct slice
audit_line_hashed(const struct audit_line *l)
{
	return (struct slice){l->whole.p, l->whole.n - HASH_BYTES};
}

static bool
common_prefix(struct slice s, const char *text, size_t n)
{
	return memcmp(s.p, text, s.n < n ? s.n : n) == 0;
}

/* The beginning of one JSON object that is not closed before the last byte. */
static bool
is_open_object(struct slice s)
{
	bool string = false;
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < 0x20)
			return false;
		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
			continue;
		}
		if (c == '"')
			string = true;
		else if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && --depth == 0)
			return i + 1 == s.n;
	}
	return true;
}

bool
audit_line_is_torn(struct slice rest, uint64_t next_entry)
{
	char begin[48];
	int n = snprintf(begin, sizeof begin, "{\"entry\":%llu,", (unsigned long long)next_entry);

	if (rest.n == 0 || n < 0)
		return false;
	if (!common_prefix(rest, begin, (size_t)n) && !common_prefix(rest, "{\"note\":", 8))
		return false;
	return is_open_object(rest);
}
