/* tests/unit/scan_differential_test.c - the scanner, the walkers, the formats
 * and the key against jansson.
 *
 * Pages are made up (page_gen.h), some are then mutated byte by byte, and both
 * readers get them. They must agree on which are GetRecords answers, on every
 * field, on every plain value, on which attributes changed, on which values are
 * equal. Where jansson cannot say (see the top of record/scan.c) it is either
 * given the same page with those things replaced (U+0000, half surrogate
 * pairs), or the page does not count, and few may be like that.
 *
 * PAGES=n sets how many (100,000), SEED=n where they begin; a failure names the
 * seed of its page.
 */
#include "tests/unit/record_support.h"

#include <math.h>

#include <jansson.h>

#include "record/format.h"
#include "record/key.h"
#include "record/value.h"
#include "tests/unit/page_gen.h"

#ifndef PAGES_DEFAULT
#define PAGES_DEFAULT 100000
#endif

enum answer { REFUSED, TAKEN, UNSURE };

struct counts {
	unsigned taken, refused, unsure, records, values, refused_values, changes, equal, bytes_cut;
};

static struct counts counts;
static uint64_t page_seed; /* for messages */

/* --- jansson's side ------------------------------------------------------- */

/* The text with what jansson does not take replaced by what it does: \u0000 by
 * \u0001, which no page holds otherwise, half surrogate pairs by \ufffd. Outside
 * strings a backslash is wrong before and after. With numbers set, numbers are
 * turned into strings "#text", since jansson would round them. */
/* The code unit of a whole \uXXXX at p, or -1. */
static int
unit_at(const char *p, const char *end)
{
	int v = 0;

	if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++) {
		const char *at = p[i] != '\0' ? strchr("0123456789abcdef", p[i] | 0x20) : NULL;

		if (at == NULL || (p[i] < 'A' && p[i] > '9'))
			return -1;
		v = v * 16 + (int)(at - "0123456789abcdef");
	}
	return v;
}

/* *p is at a backslash inside a string. */
static void
copy_escape(const char **p, const char *end, struct buf *out)
{
	int unit = unit_at(*p, end);
	int low = unit >= 0xd800 && unit < 0xdc00 ? unit_at(*p + 6, end) : -1;
	size_t n = unit >= 0 ? 6 : end - *p >= 2 ? 2 : 1;

	if (low >= 0xdc00 && low <= 0xdfff)
		n = 12;
	else if (unit >= 0xd800 && unit <= 0xdfff)
		buf_add_str(out, "\\ufffd");
	else if (unit == 0)
		buf_add_str(out, "\\u0001");
	if (n != 6 || (unit != 0 && (unit < 0xd800 || unit > 0xdfff)))
		buf_add(out, *p, n);
	*p += n;
}

static struct buf
for_jansson(struct slice s, bool numbers)
{
	struct buf out = BUF_INIT(SIZE_MAX / 4);
	const char *end = s.p + s.n;
	bool inside = false;

	(void)buf_reserve(&out, s.n + s.n / 4);
	for (const char *p = s.p; p < end;) {
		if (*p == '\\') {
			copy_escape(&p, end, &out);
		} else if (!inside && numbers && (*p == '-' || (*p >= '0' && *p <= '9'))) {
			buf_add_str(&out, "\"#");
			while (p < end && *p != '\0' && strchr("+-.0123456789eE", *p) != NULL)
				buf_add_char(&out, *p++);
			buf_add_char(&out, '"');
		} else {
			inside ^= *p == '"';
			buf_add_char(&out, *p++);
		}
	}
	return out;
}

static json_t *
load(struct slice s, bool numbers, json_error_t *je)
{
	struct buf b = for_jansson(s, numbers);
	json_t *j = json_loadb(b.p != NULL ? b.p : "", b.n,
	    JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY | JSON_ALLOW_NUL, je);

	buf_close(&b);
	return j;
}

static unsigned
depth_of(const json_t *j)
{
	unsigned deepest = 0;
	const char *key;
	json_t *v;
	size_t i;

	if (!json_is_object(j) && !json_is_array(j))
		return 0;
	json_object_foreach((json_t *)(uintptr_t)j, key, v)
	{
		unsigned d = depth_of(v);

		deepest = d > deepest ? d : deepest;
	}
	json_array_foreach(j, i, v)
	{
		unsigned d = depth_of(v);

		deepest = d > deepest ? d : deepest;
	}
	return deepest + 1;
}

static bool
is_or_absent(const json_t *v, json_type type)
{
	return v == NULL || json_is_null(v) || json_typeof(v) == type;
}

static bool
digits_1_to_40(const json_t *v)
{
	const char *s = json_string_value(v);
	size_t n = s != NULL ? strlen(s) : 0;

	return n >= 1 && n <= 40 && json_string_length(v) == n && strspn(s, "0123456789") == n;
}

static bool
record_is_right(const json_t *r)
{
	const json_t *d = json_object_get(r, "dynamodb");
	const json_t *u = json_object_get(r, "userIdentity");

	if (json_object_get(u, "type") && json_object_get(u, "Type"))
		return false;
	if (json_object_get(u, "principalId") && json_object_get(u, "PrincipalId"))
		return false;
	return json_is_object(r) && is_or_absent(json_object_get(r, "eventID"), JSON_STRING) &&
	    is_or_absent(json_object_get(r, "eventName"), JSON_STRING) &&
	    is_or_absent(u, JSON_OBJECT) && json_is_object(d) &&
	    json_is_object(json_object_get(d, "Keys")) &&
	    digits_1_to_40(json_object_get(d, "SequenceNumber")) &&
	    is_or_absent(json_object_get(d, "NewImage"), JSON_OBJECT) &&
	    is_or_absent(json_object_get(d, "OldImage"), JSON_OBJECT) &&
	    is_or_absent(json_object_get(d, "StreamViewType"), JSON_STRING);
}

static bool
answer_is_right(const json_t *root)
{
	const json_t *records = json_object_get(root, "Records");
	json_t *r;
	size_t i;

	if (!json_is_array(records) || depth_of(root) > LIMIT_JSON_DEPTH ||
	    !is_or_absent(json_object_get(root, "NextShardIterator"), JSON_STRING))
		return false;
	json_array_foreach(records, i, r) if (!record_is_right(r)) return false;
	return true;
}

/* Members given twice that jansson cannot see: it keeps the last one. */
static bool
has_repeats(struct slice s)
{
	struct buf b = for_jansson(s, false);
	json_error_t je;
	json_t *j = json_loadb(
	    b.p, b.n, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &je);

	json_decref(j);
	buf_close(&b);
	return j == NULL;
}

/* --- what attribute values mean ------------------------------------------- */

/* "-", digits without zeros at either end, "e", exponent; or false. */
static bool
number_meaning(const char *s, size_t n, char *out, size_t room)
{
	bool negative = n > 0 && s[0] == '-';
	char digits[200];
	size_t count = 0, i = negative, first;
	long exponent = 0;
	bool point = false;

	if (strlen(s) != n || n > 190)
		return false;
	for (; i < n && s[i] != 'e' && s[i] != 'E'; i++) {
		if (s[i] == '.' && !point && count != 0) {
			point = true;
			continue;
		}
		if (s[i] < '0' || s[i] > '9')
			return false;
		digits[count++] = s[i];
		exponent -= point;
	}
	if (count == 0 || s[i - 1] == '.' ||
	    (digits[0] == '0' && s[negative + 1] >= '0' && s[negative + 1] <= '9'))
		return false;
	if (i < n) {
		char *end;

		if (strcspn(s + i + 1, " \t\n\r\v\f") != n - i - 1 || i + 1 == n)
			return false;
		exponent += strtol(s + i + 1, &end, 10);
		if (*end != '\0' || labs(exponent) > 100000000)
			return false;
	}
	for (; count > 0 && digits[count - 1] == '0'; count--)
		exponent++;
	for (first = 0; first < count && digits[first] == '0'; first++)
		;
	if (first == count)
		(void)snprintf(out, room, "0");
	else
		(void)snprintf(out, room, "%s%.*se%ld", negative ? "-" : "", (int)(count - first),
		    digits + first, exponent);
	return true;
}

static const char base64_abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool
decode_base64(const json_t *v, struct buf *out)
{
	const char *s = json_string_value(v);
	size_t n = json_string_length(v);
	unsigned bits = 0, have = 0;

	if (n % 4 != 0)
		return false;
	for (int pad = 0; pad < 2 && n != 0 && s[n - 1] == '='; pad++)
		n--;
	for (size_t i = 0; i < n; i++) {
		const char *at = s[i] != '\0' ? strchr(base64_abc, s[i]) : NULL;

		if (at == NULL)
			return false;
		bits = (bits << 6 | (unsigned)(at - base64_abc)) & 0xffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			buf_add_char(out, (char)(bits >> have));
		}
	}
	return true;
}

static int
cmp_bytes(const void *a, size_t n, const void *b, size_t m)
{
	int r = memcmp(a, b, n < m ? n : m);

	return r != 0 ? r : (n > m) - (n < m);
}

static int
cmp_text(const json_t *a, const json_t *b)
{
	return cmp_bytes(json_string_value(a), json_string_length(a), json_string_value(b),
	    json_string_length(b));
}

static int
cmp_as(char kind, const json_t *a, const json_t *b)
{
	struct buf x = BUF_INIT(1u << 20), y = BUF_INIT(1u << 20);
	int r = 0;

	if (kind == 'N') {
		long double p = strtold(json_string_value(a), NULL);
		long double q = strtold(json_string_value(b), NULL);

		r = (p > q) - (p < q);
	} else if (kind == 'B') {
		buf_add_str(&x, "");
		(void)decode_base64(a, &x);
		(void)decode_base64(b, &y);
		r = cmp_bytes(buf_slice(&x).p, x.n, buf_slice(&y).p, y.n);
		buf_close(&x);
		buf_close(&y);
	}
	return r != 0 ? r : cmp_text(a, b);
}

/* A sorted copy; NULL if an element is not of its kind. */
static json_t *
sorted_set(const json_t *array, char kind)
{
	json_t *out = json_array();
	char meaning[256];
	json_t *v;
	size_t i, k;

	json_array_foreach(array, i, v)
	{
		struct buf bytes = BUF_INIT(1u << 20);
		bool ok = json_is_string(v);

		if (ok && kind == 'N')
			ok = number_meaning(
			    json_string_value(v), json_string_length(v), meaning, sizeof meaning);
		if (ok && kind == 'B')
			ok = decode_base64(v, &bytes);
		buf_close(&bytes);
		if (!ok) {
			json_decref(out);
			return NULL;
		}
		for (k = json_array_size(out);
		     k > 0 && cmp_as(kind, json_array_get(out, k - 1), v) > 0; k--)
			;
		json_array_insert(out, k, v);
	}
	return out;
}

static json_t *
as_number(const json_t *v)
{
	return json_sprintf("#%s", json_string_value(v));
}

static json_t *oracle_plain(const json_t *typed);

static json_t *
plain_image(const json_t *image)
{
	json_t *out = json_object();
	const char *key;
	json_t *v;

	if (!json_is_object(image)) {
		json_decref(out);
		return NULL;
	}
	json_object_foreach((json_t *)(uintptr_t)image, key, v)
	{
		if (json_object_set_new(out, key, oracle_plain(v)) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

static json_t *
plain_list(const json_t *list)
{
	json_t *out = json_array();
	json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		if (json_array_append_new(out, oracle_plain(v)) != 0) {
			json_decref(out);
			return NULL;
		}
	}
	return out;
}

static json_t *
plain_set(const json_t *array, char kind)
{
	json_t *out = json_is_array(array) ? sorted_set(array, kind) : NULL;
	json_t *v;
	size_t i;

	if (out != NULL && kind == 'N')
		json_array_foreach(out, i, v) json_array_set_new(out, i, as_number(v));
	return out;
}

/* What `plain` should say, numbers as "#text"; NULL: no attribute value. */
static json_t *
oracle_plain(const json_t *typed)
{
	const char *tag = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)typed));
	json_t *v = tag != NULL ? json_object_get(typed, tag) : NULL;
	char meaning[256];

	if (json_object_size(typed) != 1)
		return NULL;
	if (strcmp(tag, "S") == 0 || strcmp(tag, "B") == 0)
		return json_is_string(v) ? json_incref(v) : NULL;
	if (strcmp(tag, "N") == 0)
		return json_is_string(v) &&
			number_meaning(
			    json_string_value(v), json_string_length(v), meaning, sizeof meaning)
		    ? as_number(v)
		    : NULL;
	if (strcmp(tag, "BOOL") == 0)
		return json_is_boolean(v) ? json_incref(v) : NULL;
	if (strcmp(tag, "NULL") == 0)
		return json_is_boolean(v) ? json_null() : NULL;
	if (strcmp(tag, "M") == 0)
		return plain_image(v);
	if (strcmp(tag, "L") == 0)
		return json_is_array(v) ? plain_list(v) : NULL;
	if (strlen(tag) == 2 && tag[1] == 'S' && strchr("SNB", tag[0]) != NULL)
		return plain_set(v, tag[0]);
	return NULL;
}

/* A form in which equal values are equal trees. */
static json_t *
oracle_meaning(const json_t *typed)
{
	const char *tag = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)typed));
	json_t *v = json_object_get(typed, tag);
	json_t *out = json_object();
	json_t *inner = NULL;
	const char *key;
	char text[256];
	json_t *x;
	size_t i;

	if (tag[0] == 'M' || tag[0] == 'L') {
		inner = tag[0] == 'M' ? json_object() : json_array();
		if (tag[0] == 'M')
			json_object_foreach(v, key, x)
			    json_object_set_new(inner, key, oracle_meaning(x));
		else
			json_array_foreach(v, i, x) json_array_append_new(inner, oracle_meaning(x));
	} else if (tag[1] == 'S') {
		json_t *sorted = sorted_set(v, tag[0]);
		const char one[2] = {tag[0], '\0'};

		inner = json_array();
		json_array_foreach(sorted, i, x)
		{
			json_t *element = json_pack("{s:O}", one, x);
			json_t *m = oracle_meaning(element);

			if (i == 0 ||
			    !json_equal(json_array_get(inner, json_array_size(inner) - 1), m))
				json_array_append(inner, m);
			json_decref(m);
			json_decref(element);
		}
		json_decref(sorted);
	} else if (tag[0] == 'N' && tag[1] == '\0') {
		assert_true(
		    number_meaning(json_string_value(v), json_string_length(v), text, sizeof text));
		inner = json_string(text);
	} else if (tag[0] == 'B' && tag[1] == '\0') {
		struct buf bytes = BUF_INIT(1u << 20);

		assert_true(decode_base64(v, &bytes));
		inner = json_array();
		for (i = 0; i < bytes.n; i++)
			json_array_append_new(inner, json_integer(bytes.p[i]));
		buf_close(&bytes);
	} else {
		inner = tag[0] == 'N' ? json_null() : json_incref(v);
	}
	json_object_set_new(out, tag, inner);
	return out;
}

/* --- comparing ------------------------------------------------------------ */

#define WRONG(...)                                                                                 \
	do {                                                                                       \
		print_error("page seed %" PRIu64 ": ", page_seed);                                 \
		fail_msg(__VA_ARGS__);                                                             \
	} while (0)

static void
same_string(const char *what, struct slice raw, const json_t *want)
{
	struct buf wrapped = BUF_INIT(SIZE_MAX / 4);
	json_error_t je;
	json_t *have;

	if (want == NULL || json_is_null(want)) {
		if (raw.p != NULL)
			WRONG("%s is there", what);
		return;
	}
	if (raw.p == NULL)
		WRONG("%s is not there", what);
	buf_add_char(&wrapped, '"');
	buf_add_slice(&wrapped, raw);
	buf_add_char(&wrapped, '"');
	have = load(buf_slice(&wrapped), false, &je);
	if (!json_equal(have, want))
		WRONG("%s: %.*s", what, (int)raw.n, raw.p);
	json_decref(have);
	buf_close(&wrapped);
}

static void
same_tree(const char *what, struct slice s, const json_t *want)
{
	json_error_t je;
	json_t *have;

	if (want == NULL || json_is_null(want)) {
		if (s.p != NULL)
			WRONG("%s is there", what);
		return;
	}
	have = load(s, false, &je);
	if (have == NULL || !json_equal(have, want))
		WRONG("%s differs: %.*s", what, (int)s.n, s.p);
	json_decref(have);
}

static void
same_time(const struct record *r, const json_t *want, int64_t exact)
{
	double us = json_is_real(want) ? json_real_value(want) * 1e6 : NAN;
	bool none = (r->flags & RECORD_NO_TIME) != 0;

	if (exact >= 0 && (none || r->created_us != exact))
		WRONG("time %" PRId64 ", not %" PRId64, r->created_us, exact);
	if (none) {
		if (us > -6.2135596e16 && us < 2.53402300e17)
			WRONG("a time was not read: %f", us);
		return;
	}
	if (!(fabs((double)r->created_us - us) <= 2 + fabs(us) * 1e-15))
		WRONG("time %" PRId64 ", jansson %f", r->created_us, us);
}

static const json_t *
either(const json_t *o, const char *a, const char *b)
{
	const json_t *v = json_object_get(o, a);

	return v != NULL ? v : json_object_get(o, b);
}

static bool
string_is(const json_t *v, const char *text)
{
	return json_is_string(v) && strcmp(json_string_value(v), text) == 0 &&
	    json_string_length(v) == strlen(text);
}

static enum record_event
event_of(const json_t *name)
{
	if (string_is(name, "INSERT"))
		return RECORD_INSERT;
	if (string_is(name, "MODIFY"))
		return RECORD_MODIFY;
	return string_is(name, "REMOVE") ? RECORD_REMOVE : RECORD_UNKNOWN;
}

/* Returns whether the image could be unmarshalled. */
static bool
same_plain(const char *what, struct slice image, const json_t *typed, bool loose)
{
	struct buf out = BUF_INIT(SIZE_MAX / 4);
	json_t *want, *have;
	json_error_t je;
	struct err e;
	bool ok;

	if (image.p == NULL)
		return true;
	ok = plain_write_image(image, &out, &e) == 0;
	want = plain_image(typed);
	counts.values++;
	counts.refused_values += !ok;
	if (loose) {
		/* A mutated number may be one that we understand and JSON does not. */
		if (ok && !json_check(buf_slice(&out)))
			WRONG("%s: plain is no JSON", what);
		ok = ok && want != NULL;
	} else {
		if (ok != (want != NULL))
			WRONG("%s: plain %s", what, ok ? "taken" : e.text);
		have = ok ? load(buf_slice(&out), true, &je) : NULL;
		if (ok && (have == NULL || !json_equal(have, want)))
			WRONG("%s: plain is %.*s", what, (int)out.n, out.p);
		json_decref(have);
	}
	json_decref(want);
	buf_close(&out);
	return ok;
}

/* Paths as changes_each() writes them. */
static void
add_path(json_t *paths, const char *prefix, const char *name)
{
	bool quote = name[0] == '\0' || strpbrk(name, ".[]\"\\\t\1") != NULL;
	json_t *text = json_string(name);
	char *quoted = json_dumps(text, JSON_ENCODE_ANY);
	json_t *path = json_sprintf("%s%s", prefix, quote ? quoted : name);

	json_object_set_new(paths, json_string_value(path), json_true());
	json_decref(path);
	json_decref(text);
	free(quoted);
}

static void
oracle_changes(json_t *paths, const char *prefix, const json_t *old_map, const json_t *new_map)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)old_map, key, v)
	{
		const json_t *w = json_object_get(new_map, key);
		json_t *x = oracle_meaning(v);
		json_t *y = w != NULL ? oracle_meaning(w) : NULL;
		json_t *inner = json_object_get(v, "M"), *other = json_object_get(w, "M");

		if (inner != NULL && other != NULL) {
			json_t *one = json_object();
			const char *path;

			add_path(one, prefix, key);
			path = json_object_iter_key(json_object_iter(one));
			{
				json_t *deeper = json_sprintf("%s.", path);

				oracle_changes(paths, json_string_value(deeper), inner, other);
				json_decref(deeper);
			}
			json_decref(one);
		} else if (y == NULL || !json_equal(x, y)) {
			add_path(paths, prefix, key);
		}
		counts.equal += json_equal(x, y) != 0;
		json_decref(x);
		json_decref(y);
	}
	json_object_foreach((json_t *)(uintptr_t)new_map, key,
	    v) if (json_object_get(old_map, key) == NULL) add_path(paths, prefix, key);
}

static void
note_path(void *arg, struct slice path, struct slice old_value, struct slice new_value)
{
	json_t *paths = arg;
	struct buf name = BUF_INIT(1u << 20);

	(void)old_value;
	(void)new_value;
	for (size_t i = 0; i < path.n; i++)
		buf_add_char(&name, path.p[i]);
	if (json_object_get(paths, buf_cstr(&name)) != NULL)
		WRONG("%s was told twice", name.p);
	json_object_set_new(paths, buf_cstr(&name), json_true());
	buf_close(&name);
}

static void
same_changes(const struct record *r, const json_t *d)
{
	json_t *have = json_object(), *want = json_object();

	changes_each(r->old_image, r->new_image, note_path, have);
	oracle_changes(want, "", json_object_get(d, "OldImage"), json_object_get(d, "NewImage"));
	counts.changes += (unsigned)json_object_size(have);
	if (!json_equal(have, want)) {
		char *x = json_dumps(have, 0), *y = json_dumps(want, 0);

		WRONG("changed: %s\nnot: %s", x, y);
	}
	json_decref(have);
	json_decref(want);
}

static void
same_record(const struct record *r, const json_t *j, int64_t exact_time, bool mutated)
{
	const json_t *d = json_object_get(j, "dynamodb");
	const json_t *u = json_object_get(j, "userIdentity");
	bool ttl = string_is(either(u, "type", "Type"), "Service") &&
	    string_is(either(u, "principalId", "PrincipalId"), "dynamodb.amazonaws.com");
	bool old_ok, new_ok;

	counts.records++;
	same_string("eventID", r->event_id, json_object_get(j, "eventID"));
	same_string("eventName", r->event_name, json_object_get(j, "eventName"));
	same_string("StreamViewType", r->view_type, json_object_get(d, "StreamViewType"));
	same_string("SequenceNumber", seq_text(&r->seq), json_object_get(d, "SequenceNumber"));
	if (r->event != event_of(json_object_get(j, "eventName")))
		WRONG("event %d", r->event);
	if (((r->flags & RECORD_TTL) != 0) != ttl)
		WRONG("ttl %d", ttl);
	same_time(r, json_object_get(d, "ApproximateCreationDateTime"), exact_time);
	same_tree("userIdentity", r->user_identity, u);
	if (page_seed % 4 == 0)
		same_tree("record", r->raw, j);
	(void)same_plain("Keys", r->keys, json_object_get(d, "Keys"), mutated);
	new_ok = same_plain("NewImage", r->new_image, json_object_get(d, "NewImage"), mutated);
	old_ok = same_plain("OldImage", r->old_image, json_object_get(d, "OldImage"), mutated);
	if (!mutated && new_ok && old_ok && r->new_image.p != NULL && r->old_image.p != NULL)
		same_changes(r, d);
}

/* Everything that can be asked of a page, for what it may trip over. */
static void
walk_everything(const struct page *p)
{
	struct buf out = BUF_INIT(SIZE_MAX / 4);
	struct err e;

	for (size_t i = 0; i < p->count; i++) {
		const struct record *r = &p->records[i];

		key_write(r, NULL, &out);
		if (!json_check(buf_slice(&out)))
			WRONG("key is no JSON: %.*s", (int)out.n, out.p);
		buf_reset(&out);
		if (format_write(FORMAT_ENVELOPE, r, NULL, &out, &e) == 0 &&
		    !json_check(buf_slice(&out)))
			WRONG("envelope is no JSON: %.*s", (int)out.n, out.p);
		buf_reset(&out);
	}
	buf_close(&out);
}

/* One page to both. */
static enum answer
compare(struct slice body, const struct gen *g, bool mutated)
{
	enum answer want = REFUSED;
	json_error_t je;
	json_t *root = load(body, false, &je);
	struct page *p;
	struct err e;
	bool taken;

	if (root != NULL)
		want = answer_is_right(root) ? TAKEN : REFUSED;
	else if (json_error_code(&je) == json_error_numeric_overflow)
		want = UNSURE;
	if (want != REFUSED && mutated && has_repeats(body))
		want = UNSURE;
	if (!mutated && g->twice)
		want = REFUSED;
	taken = parse_slice(body, &p, &e) == 0;
	if (want != UNSURE && taken != (want == TAKEN))
		WRONG("%s, jansson: %s\n%.*s", taken ? "taken" : e.text,
		    root != NULL ? "a tree" : je.text, (int)body.n, body.p);
	if (taken)
		walk_everything(p);
	for (size_t i = 0; taken && want == TAKEN && i < p->count; i++)
		same_record(&p->records[i], json_array_get(json_object_get(root, "Records"), i),
		    mutated ? -1 : g->created[i], mutated);
	if (taken && want == TAKEN) {
		const json_t *next = json_object_get(root, "NextShardIterator");

		if (p->count != json_array_size(json_object_get(root, "Records")))
			WRONG("%zu records", p->count);
		if (p->has_next != (json_string_length(next) != 0))
			WRONG("has_next %d", p->has_next);
		/* The page gives it unescaped, so it is compared as text. */
		if (p->has_next && memchr(p->next_iterator.p, '\0', p->next_iterator.n) == NULL &&
		    (p->next_iterator.n != json_string_length(next) ||
			memcmp(p->next_iterator.p, json_string_value(next), p->next_iterator.n) !=
			    0))
			WRONG("iterator %.*s", (int)p->next_iterator.n, p->next_iterator.p);
	}
	page_unref(taken ? p : NULL);
	json_decref(root);
	return want;
}

/* A few bytes changed, removed, doubled, or the end cut off. */
static void
mutate(struct buf *b, struct rng *r)
{
	static const char likely[] = "\"\\{}[]:,0-e.\x01\x80\xc3\xed u/tn ";
	unsigned times = 1 + (unsigned)rng_below(r, 3);

	while (times-- > 0 && b->n > 1) {
		size_t at = rng_below(r, b->n);

		switch (rng_below(r, 5)) {
		case 0:
			b->p[at] = (char)rng_next(r);
			break;
		case 1:
			b->p[at] = likely[rng_below(r, sizeof likely - 1)];
			break;
		case 2:
			memmove(b->p + at, b->p + at + 1, b->n - at - 1);
			b->n--;
			break;
		case 3:
			if (!buf_reserve(b, 1))
				break;
			memmove(b->p + at + 1, b->p + at, b->n - at);
			b->n++;
			break;
		default:
			if (rng_below(r, 4) == 0)
				b->n = at;
			else
				b->p[at] = b->p[rng_below(r, b->n)];
		}
	}
}

static void
spell(struct gen *g, uint64_t seed)
{
	rng_seed(&g->sp, seed);
	g->spaces = gen_maybe(g, 3);
	g->escapes = gen_maybe(g, 3);
}

static unsigned
record_count(struct rng *r)
{
	if (rng_below(r, 400) == 0)
		return 40;
	return rng_below(r, 8) == 0 ? (unsigned)rng_below(r, 8) : (unsigned)rng_below(r, 2);
}

static uint64_t
setting(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void
agrees_with_jansson(void **state)
{
	uint64_t pages = setting("PAGES", PAGES_DEFAULT);
	uint64_t first = setting("SEED", 1);
	struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY)};

	(void)state;
	for (page_seed = first; page_seed < first + pages; page_seed++) {
		enum answer a;
		bool mutated;
		struct rng r;

		rng_seed(&r, page_seed);
		spell(&g, rng_next(&r));
		g.odd_text = rng_below(&r, 4) == 0;
		g.spoil = rng_below(&r, 3) == 0;
		gen_page(&g, rng_next(&r), record_count(&r));
		mutated = rng_below(&r, 3) == 0;
		if (mutated)
			mutate(&g.out, &r);
		a = compare(buf_slice(&g.out), &g, mutated);
		counts.taken += a == TAKEN;
		counts.refused += a == REFUSED;
		counts.unsure += a == UNSURE;
	}
	print_message(
	    "%u taken, %u refused, %u not for jansson to say; %u records, %u images, %u of them "
	    "refused, %u changes, %u values equal\n",
	    counts.taken, counts.refused, counts.unsure, counts.records, counts.values,
	    counts.refused_values, counts.changes, counts.equal);
	buf_close(&g.out);
	if (pages < 10000)
		return;
	/* The generator reaches what it is for. */
	assert_true(counts.taken > pages / 2 && counts.refused > pages / 8);
	assert_true(counts.unsure < pages / 50);
	assert_true(counts.changes > pages / 20 && counts.equal > pages / 20);
	assert_true(counts.refused_values > pages / 500);
}

/* The same page spelled in two ways: same keys, no changes, equal values. */
static void
spelling_does_not_matter(void **state)
{
	uint64_t pages = setting("PAGES", PAGES_DEFAULT) / 10;
	uint64_t first = setting("SEED", 1);
	struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY), .odd_text = true};
	struct buf x = BUF_INIT(1u << 20), y = BUF_INIT(1u << 20);
	unsigned records = 0, different = 0;

	(void)state;
	for (page_seed = first; page_seed < first + pages; page_seed++) {
		struct page *pages_of[2];
		struct err e;

		for (uint64_t i = 0; i < 2; i++) {
			spell(&g, gen_mix(page_seed, i));
			gen_page(&g, page_seed, 2);
			if (parse_slice(buf_slice(&g.out), &pages_of[i], &e) != 0)
				WRONG("%s", e.text);
		}
		for (size_t i = 0; i < 2; i++) {
			const struct record *a = &pages_of[0]->records[i],
					    *b = &pages_of[1]->records[i];
			json_t *told = json_object();

			buf_reset(&x);
			buf_reset(&y);
			key_write(a, NULL, &x);
			key_write(b, NULL, &y);
			if (!slice_eq(buf_slice(&x), buf_slice(&y)))
				WRONG("keys: %.*s and %.*s", (int)x.n, x.p, (int)y.n, y.p);
			changes_each(a->old_image, b->old_image, note_path, told);
			changes_each(b->new_image, a->new_image, note_path, told);
			changes_each(a->keys, b->keys, note_path, told);
			if (json_object_size(told) != 0)
				WRONG("changed: %s", json_dumps(told, 0));
			json_decref(told);
			if (a->created_us != b->created_us || seq_cmp(&a->seq, &b->seq) != 0 ||
			    a->flags != b->flags || a->event != b->event)
				WRONG("fields differ");
			records++;
			different += !slice_eq(a->raw, b->raw);
		}
		page_unref(pages_of[0]);
		page_unref(pages_of[1]);
	}
	assert_true(different > records * 9 / 10);
	buf_close(&g.out);
	buf_close(&x);
	buf_close(&y);
}

/* Cut after every byte, in memory that ends there: never taken. */
static void
cut_at_every_byte(void **state)
{
	struct gen g = {.out = BUF_INIT(LIMIT_PAGE_BODY), .odd_text = true};
	struct page *p;
	struct err e;

	(void)state;
	for (page_seed = 1; page_seed <= 12; page_seed++) {
		size_t end;

		spell(&g, page_seed);
		gen_page(&g, page_seed, page_seed == 12 ? 8 : 2);
		page_unref(page_of(buf_cstr(&g.out)));
		/* White space at the end is not missed. */
		for (end = g.out.n; g.out.p[end - 1] != '}'; end--)
			;
		for (size_t n = 0; n < end; n++) {
			if (parse_slice((struct slice){g.out.p, n}, &p, &e) == 0)
				WRONG("taken after %zu of %zu bytes", n, end);
			if (e.code != ERR_PROTOCOL || !e.retriable)
				WRONG("%s", e.text);
			counts.bytes_cut++;
		}
	}
	assert_true(counts.bytes_cut > 10000);
	buf_close(&g.out);
}

/* Every string position across the sixteen bytes that SSE2 looks at at once. */
static void
every_alignment(void **state)
{
	static const char *const ends[] = {
	    "", "\\n", "\xc3\xa9", "\x1f", "\\", "\xff", "\\u00e9", "\x7f"};
	struct buf b = BUF_INIT(1000);

	(void)state;
	page_seed = 0;
	for (unsigned lead = 0; lead < 20; lead++) {
		for (unsigned len = 0; len < 40; len++) {
			for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
				struct gen none = {.twice = false};

				buf_reset(&b);
				buf_addf(&b, "{\"Records\":[],%*s\"%.*s%s%.*s\":0}", (int)lead, "",
				    (int)len, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnop", ends[i],
				    (int)(len % 7), "vwxyzab");
				(void)compare(buf_slice(&b), &none, true);
			}
		}
	}
	buf_close(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cut_at_every_byte),
	    cmocka_unit_test(every_alignment),
	    cmocka_unit_test(spelling_does_not_matter),
	    cmocka_unit_test(agrees_with_jansson),
	};

	return cmocka_run_group_tests_name("scan_differential", tests, NULL, NULL);
}
