/* record/scan.c - one pass over a GetRecords answer.
 *
 * Known levels (answer, Records, record, dynamodb) are read member by member;
 * everything below is checked and stepped over as one value. Nothing is copied
 * and nothing is allocated per record. The rules, all of them enforced here:
 *
 * - The whole body is one well-formed JSON document: UTF-8 inside strings,
 *   known escapes, the number grammar, at most LIMIT_JSON_DEPTH levels, only
 *   white space after it. A byte-order mark is refused.
 * - A string may hold an escape for half a surrogate pair ("\ud800"), which the
 *   JSON grammar allows; it is kept raw. jansson refuses it, and also "\u0000"
 *   in a member name and numbers outside a double or 64 bits: we do not.
 * - Member names are compared after unescaping. Unknown members are checked
 *   and ignored. A member that matters and is there twice is refused, since
 *   readers disagree about which one counts; both spellings of a member of
 *   userIdentity at once are the same thing. Inside Keys and images repeated
 *   names are not looked for: the service cannot make them.
 * - The answer is an object with an array Records of objects, else it is "not a
 *   GetRecords answer": a 200 that carries an error document ends here.
 * - NextShardIterator absent, null or "": the shard is closed. Not a string:
 *   refused.
 * - A record has dynamodb, with Keys (an object) and SequenceNumber (a string
 *   of 1 to 40 digits). eventID, eventName, StreamViewType: strings; NewImage,
 *   OldImage, userIdentity: objects; each may be null, which is absent.
 * - An unknown eventName is kept as RECORD_UNKNOWN.
 * - ApproximateCreationDateTime that is no number, or outside the years 1 to
 *   9999, is RECORD_NO_TIME: a record is not lost over a date.
 * - Attribute values are checked as JSON only; whether {"S":1} makes sense is
 *   for who reads them (value.h).
 */
#include "record/scan.h"

#include "record/instant.h"
#include "record/lex.h"
#include "record/rewrite.h"
#include "record/value.h"

/* A body of n bytes is first given room for n / BYTES_A_RECORD records, so that an
 * ordinary page asks for memory once. */
#define BYTES_A_RECORD 1024u
#define RECORDS_AT_LEAST 16u
/* Digits, and room to see that there are more than are allowed. */
#define SEQUENCE_RAW_MAX (LIMIT_SEQUENCE_DIGITS + 4u)

struct scan {
	struct lex l;
	struct page *pg;
	size_t room;	  /* records there is memory for */
	const char *what; /* the member the fault is about, or NULL */
	enum err_code code;
};

struct field {
	const char *name;
	size_t n;
};

#define FIELD(text)                                                                                \
	{                                                                                          \
		(text), sizeof(text) - 1                                                           \
	}

enum { ANSWER_RECORDS, ANSWER_NEXT, ANSWER_FIELDS };
static const struct field answer_fields[ANSWER_FIELDS] = {
    [ANSWER_RECORDS] = FIELD("Records"),
    [ANSWER_NEXT] = FIELD("NextShardIterator"),
};

enum { REC_EVENT_ID, REC_EVENT_NAME, REC_DYNAMODB, REC_IDENTITY, REC_ROUTE, REC_FIELDS };
static const struct field record_fields[REC_FIELDS] = {
    [REC_EVENT_ID] = FIELD("eventID"),
    [REC_EVENT_NAME] = FIELD("eventName"),
    [REC_DYNAMODB] = FIELD("dynamodb"),
    [REC_IDENTITY] = FIELD("userIdentity"),
    [REC_ROUTE] = FIELD(RECORD_ROUTE),
};

enum { DDB_TIME, DDB_KEYS, DDB_NEW, DDB_OLD, DDB_SEQUENCE, DDB_VIEW, DDB_FIELDS };
static const struct field dynamodb_fields[DDB_FIELDS] = {
    [DDB_TIME] = FIELD("ApproximateCreationDateTime"),
    [DDB_KEYS] = FIELD("Keys"),
    [DDB_NEW] = FIELD("NewImage"),
    [DDB_OLD] = FIELD("OldImage"),
    [DDB_SEQUENCE] = FIELD("SequenceNumber"),
    [DDB_VIEW] = FIELD("StreamViewType"),
};

static bool
refuse(struct scan *s, const char *what, const char *fault)
{
	s->what = what;
	return lex_fail(&s->l, fault);
}

static int
field_of_escaped(const struct field *f, int count, struct slice name)
{
	for (int i = 0; i < count; i++)
		if (json_string_is(name, f[i].name))
			return i;
	return -1;
}

/* Which of the fields that name is, or -1. */
static inline int
field_of(const struct field *f, int count, struct slice name)
{
	for (int i = 0; i < count; i++)
		if (f[i].n == name.n && f[i].name[0] == name.p[0] &&
		    memcmp(f[i].name, name.p, name.n) == 0)
			return i;
	return -1;
}

/* Steps to the next member. False at the end of the object or with a fault. */
static inline bool
next_field(
    struct scan *s, bool *first, const struct field *f, int count, unsigned *seen, int *which)
{
	struct slice name;

	if (!lex_member(&s->l, first, &name))
		return false;
	if (LIKELY(!s->l.escaped))
		*which = field_of(f, count, name);
	else
		*which = field_of_escaped(f, count, name);
	if (*which < 0)
		return true;
	if (UNLIKELY(*seen & 1u << *which))
		return refuse(s, f[*which].name, "is given twice");
	*seen |= 1u << *which;
	return true;
}

static bool
skip_value(struct scan *s, unsigned depth)
{
	struct slice ignored;

	return lex_value(&s->l, depth, &ignored);
}

/* A value that must begin with `opening`, or be null, which leaves *out alone. */
static bool
take_kind(struct scan *s, char opening, const char *what, unsigned depth, struct slice *out)
{
	int c = lex_peek(&s->l);
	struct slice v;

	if (c == '"' && opening == '"')
		return lex_string(&s->l, out);
	if (c != opening && c != 'n' && c != -1)
		return refuse(s, what, "is of the wrong type");
	if (!lex_value(&s->l, depth, &v))
		return false;
	if (c == opening)
		*out = v;
	return true;
}

static bool
parse_escaped_sequence(struct slice raw, struct seq *out)
{
	char bytes[SEQUENCE_RAW_MAX];
	struct buf text = {.p = bytes, .cap = sizeof bytes, .max = sizeof bytes};

	json_unescape(raw, &text);
	return !text.failed && seq_parse(buf_slice(&text), out);
}

static bool
take_sequence(struct scan *s, struct seq *out)
{
	struct slice raw = SLICE_NONE;
	bool ok;

	if (!take_kind(s, '"', "SequenceNumber", 4, &raw))
		return false;
	if (UNLIKELY(raw.p != NULL && s->l.escaped))
		ok = parse_escaped_sequence(raw, out);
	else
		ok = seq_parse(raw, out);
	return ok || refuse(s, "SequenceNumber", "is not 1 to 40 digits");
}

static bool
take_time(struct scan *s, struct record *r)
{
	int c = lex_peek(&s->l);
	bool number = c == '-' || (c >= '0' && c <= '9');
	struct slice text;

	if (!lex_value(&s->l, 4, &text))
		return false;
	if (number && instant_parse(text, &r->created_us))
		r->flags &= ~(unsigned)RECORD_NO_TIME;
	else
		r->created_us = 0;
	return true;
}

static bool
scan_dynamodb(struct scan *s, struct record *r)
{
	unsigned seen = 0;
	bool first = true;
	bool ok = true;
	int which;

	if (!lex_take(&s->l, '{'))
		return refuse(s, "dynamodb", "is not an object");
	while (ok && next_field(s, &first, dynamodb_fields, DDB_FIELDS, &seen, &which)) {
		switch (which) {
		case DDB_TIME:
			ok = take_time(s, r);
			break;
		case DDB_KEYS:
			ok = take_kind(s, '{', "Keys", 4, &r->keys);
			break;
		case DDB_NEW:
			ok = take_kind(s, '{', "NewImage", 4, &r->new_image);
			break;
		case DDB_OLD:
			ok = take_kind(s, '{', "OldImage", 4, &r->old_image);
			break;
		case DDB_SEQUENCE:
			ok = take_sequence(s, &r->seq);
			break;
		case DDB_VIEW:
			ok = take_kind(s, '"', "StreamViewType", 4, &r->view_type);
			break;
		default:
			ok = skip_value(s, 4);
		}
	}
	if (s->l.fault != NULL)
		return false;
	if (r->keys.p == NULL)
		return refuse(s, "Keys", "is missing");
	return seq_is_set(&r->seq) || refuse(s, "SequenceNumber", "is missing");
}

static enum record_event
event_of(struct slice name)
{
	if (name.p == NULL)
		return RECORD_UNKNOWN;
	if (json_string_is(name, "MODIFY"))
		return RECORD_MODIFY;
	if (json_string_is(name, "INSERT"))
		return RECORD_INSERT;
	if (json_string_is(name, "REMOVE"))
		return RECORD_REMOVE;
	return RECORD_UNKNOWN;
}

static bool
string_value_is(struct slice value, const char *text)
{
	return value.n >= 2 && value.p[0] == '"' &&
	    json_string_is((struct slice){value.p + 1, value.n - 2}, text);
}

/* Ours, in a page of ours; else a member like any that we do not know. */
static bool
take_route(struct scan *s, struct record *r)
{
	if (!s->pg->ours)
		return skip_value(s, 3);
	return take_kind(s, '"', RECORD_ROUTE, 3, &r->route);
}

/* The service's own model and its guide spell the two members differently. */
static bool
scan_identity(struct scan *s, struct record *r)
{
	struct json_iter it;
	struct slice name, value;
	bool service = false, dynamodb = false;
	int types = 0, principals = 0;

	if (!take_kind(s, '{', "userIdentity", 3, &r->user_identity))
		return false;
	it = json_iter(r->user_identity);
	while (json_next(&it, &name, &value)) {
		if (json_string_is(name, "type") || json_string_is(name, "Type")) {
			types++;
			service = string_value_is(value, "Service");
		} else if (json_string_is(name, "principalId") ||
		    json_string_is(name, "PrincipalId")) {
			principals++;
			dynamodb = string_value_is(value, "dynamodb.amazonaws.com");
		}
	}
	if (types > 1 || principals > 1)
		return refuse(s, "userIdentity", "gives the same member twice");
	if (service && dynamodb)
		r->flags |= RECORD_TTL;
	return true;
}

static bool
scan_record(struct scan *s, struct record *r)
{
	const char *start;
	unsigned seen = 0;
	bool first = true;
	bool ok = true;
	int which;

	if (!lex_take(&s->l, '{'))
		return refuse(s, "Records", "holds something that is not an object");
	start = s->l.p - 1;
	s->l.odd_names = false;
	while (ok && next_field(s, &first, record_fields, REC_FIELDS, &seen, &which)) {
		switch (which) {
		case REC_EVENT_ID:
			ok = take_kind(s, '"', "eventID", 3, &r->event_id);
			break;
		case REC_EVENT_NAME:
			ok = take_kind(s, '"', "eventName", 3, &r->event_name);
			break;
		case REC_DYNAMODB:
			ok = scan_dynamodb(s, r);
			break;
		case REC_IDENTITY:
			ok = scan_identity(s, r);
			break;
		case REC_ROUTE:
			ok = take_route(s, r);
			break;
		default:
			ok = skip_value(s, 3);
		}
	}
	if (s->l.fault != NULL)
		return false;
	if (!(seen & 1u << REC_DYNAMODB))
		return refuse(s, "dynamodb", "is missing");
	r->raw = (struct slice){start, (size_t)(s->l.p - start)};
	r->event = event_of(r->event_name);
	r->seek = !s->l.odd_names;
	return true;
}

static bool
make_room(struct scan *s)
{
	size_t guess = s->pg->body.n / BYTES_A_RECORD + RECORDS_AT_LEAST;
	size_t want = s->room != 0 ? s->room * 2 : guess;
	struct record *p;

	if (s->pg->count >= LIMIT_PAGE_RECORDS) {
		s->code = ERR_LIMIT;
		return refuse(s, "Records", "holds more records than any answer may");
	}
	if (s->pg->count < s->room)
		return true;
	if (want > LIMIT_PAGE_RECORDS)
		want = LIMIT_PAGE_RECORDS;
	p = reallocarray(s->pg->records, want, sizeof *p);
	if (p == NULL) {
		s->code = ERR_NOMEM;
		return refuse(s, "Records", "needs more memory than there is");
	}
	s->pg->records = p;
	s->room = want;
	return true;
}

static bool
scan_records(struct scan *s)
{
	bool first = true;

	if (!lex_take(&s->l, '['))
		return refuse(s, "Records", "is not an array: not a GetRecords answer");
	while (lex_element(&s->l, &first)) {
		struct record *r;

		if (!make_room(s))
			return false;
		r = &s->pg->records[s->pg->count];
		*r = (struct record){.page = s->pg, .flags = RECORD_NO_TIME};
		if (!scan_record(s, r))
			return false;
		s->pg->count++;
	}
	return s->l.fault == NULL;
}

static bool
scan_next_iterator(struct scan *s)
{
	struct page *pg = s->pg;
	struct slice raw = SLICE_NONE;
	struct buf text;

	if (!take_kind(s, '"', "NextShardIterator", 1, &raw))
		return false;
	if (raw.n == 0)
		return true;
	pg->has_next = true;
	pg->next_iterator = raw;
	if (memchr(raw.p, '\\', raw.n) == NULL)
		return true;
	text = BUF_INIT(raw.n);
	json_unescape(raw, &text);
	pg->scratch = text.p; /* the page's, whatever became of it */
	pg->next_iterator = buf_slice(&text);
	if (text.failed) {
		s->code = ERR_NOMEM;
		return refuse(s, "NextShardIterator", "needs more memory than there is");
	}
	return true;
}

static bool
scan_answer(struct scan *s)
{
	unsigned seen = 0;
	bool first = true;
	bool ok = true;
	int which;

	if (!lex_take(&s->l, '{'))
		return refuse(s, NULL, "not an object: not a GetRecords answer");
	while (ok && next_field(s, &first, answer_fields, ANSWER_FIELDS, &seen, &which)) {
		switch (which) {
		case ANSWER_RECORDS:
			ok = scan_records(s);
			break;
		case ANSWER_NEXT:
			ok = scan_next_iterator(s);
			break;
		default:
			ok = skip_value(s, 1);
		}
	}
	if (s->l.fault != NULL || !lex_end(&s->l))
		return false;
	return seen & 1u << ANSWER_RECORDS ||
	    refuse(s, "Records", "is missing: not a GetRecords answer");
}

int
scan_page(struct page *pg, struct err *e)
{
	struct scan s = {.l = lex_of(buf_slice(&pg->body)), .pg = pg, .code = ERR_PROTOCOL};

	if (scan_answer(&s)) {
		pg->bytes = sizeof *pg + pg->body.cap + s.room * sizeof *pg->records +
		    (pg->scratch != NULL ? pg->next_iterator.n : 0);
		return 0;
	}
	if (s.l.too_deep)
		s.code = ERR_LIMIT;
	return err_retry(e, s.code, "page: byte %zu: %s%s%s", (size_t)(s.l.p - pg->body.p),
	    s.what != NULL ? s.what : "", s.what != NULL ? " " : "", s.l.fault);
}
