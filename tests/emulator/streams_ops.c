/* tests/emulator/streams_ops.c - the four calls of DynamoDB Streams, as
 * streams.md 1.4 has them and with the oddities that options ask for.
 */
#include <stdlib.h>
#include <zlib.h>

#include "base/mem.h"
#include "tests/emulator/emulator.h"

enum { LIST_MOST = 100, RECORDS_MOST = 1000, SHARD_ID_LEAST = 28, SHARD_ID_MOST = 65 };

static bool
refuse_length(struct call *c, const char *member, struct slice s, size_t least, size_t most)
{
	if (s.n >= least && s.n <= most)
		return true;
	answer_error(c->out, "ValidationException",
	    "1 validation error detected: Value '%.*s' at '%s' failed to satisfy constraint: "
	    "Member "
	    "must have length %s than or equal to %zu",
	    (int)(s.n < 100 ? s.n : 100), s.p != NULL ? s.p : "", member,
	    s.n < least ? "greater" : "less", s.n < least ? least : most);
	return false;
}

static bool
read_limit(struct call *c, int64_t def, int64_t *out)
{
	if (!call_number(c, "Limit", def, out))
		return false;
	if (*out >= 1)
		return true;
	answer_error(c->out, "ValidationException",
	    "1 validation error detected: Value '%lld' at 'limit' failed to satisfy constraint: "
	    "Member must have value greater than or equal to 1",
	    (long long)*out);
	return false;
}

static struct stream *
read_stream(struct call *c)
{
	struct slice arn = call_text(c, "StreamArn");
	struct stream *st;

	if (!refuse_length(c, "streamArn", arn, 37, 1024))
		return NULL;
	st = model_stream(&c->em->model, arn);
	if (st == NULL)
		answer_error(c->out, "ResourceNotFoundException",
		    "Requested resource not found: Stream: %.*s not found", (int)arn.n, arn.p);
	return st;
}

/* ---- ListStreams ------------------------------------------------------- */

static void
list_streams(struct call *c)
{
	const struct model *m = &c->em->model;
	struct slice table = call_text(c, "TableName");
	struct slice after = call_text(c, "ExclusiveStartStreamArn");
	bool started = after.p == NULL;
	const struct stream *last = NULL;
	json_t *list, *out;
	int64_t limit;

	if (!read_limit(c, LIST_MOST, &limit))
		return;
	if (limit > LIST_MOST)
		limit = LIST_MOST;
	list = json_array();
	out = json_pack("{s:o}", "Streams", list);
	for (size_t i = 0; i < m->stream_count; i++) {
		const struct stream *st = m->streams[i];

		if (started && (table.p == NULL || slice_is(table, st->table->name))) {
			if ((int64_t)json_array_size(list) == limit) {
				json_object_set_new(
				    out, "LastEvaluatedStreamArn", json_string(last->arn));
				break;
			}
			json_array_append_new(list,
			    json_pack("{s:s, s:s, s:s}", "StreamArn", st->arn, "TableName",
				st->table->name, "StreamLabel", st->label));
			last = st;
		}
		started = started || slice_is(after, st->arn);
	}
	answer_json(c->out, out);
}

/* ---- DescribeStream ---------------------------------------------------- */

struct listing {
	struct emulator *em;
	int64_t now_ms;
	const struct shard **v; /* owned array */
	size_t n;
};

static bool
is_listed(const struct listing *ls, const struct shard *sh)
{
	return !sh->unlisted &&
	    (sh->parent == NULL ||
		sh->created_ms + (int64_t)ls->em->o.listing_lag_ms <= ls->now_ms);
}

static int
by_order(const void *a, const void *b)
{
	const struct shard *x = *(const struct shard *const *)a;
	const struct shard *y = *(const struct shard *const *)b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* All shards in the order of the listing, forgotten ones too: a cursor may
 * name one that has gone since. */
static void
listing_build(struct listing *ls, const struct stream *st)
{
	ls->v = mem_array(st->count, sizeof *ls->v);
	ls->n = st->count;
	for (size_t i = 0; i < st->count; i++)
		ls->v[ls->em->o.order == ORDER_NEWEST ? st->count - 1 - i : i] = st->shards[i];
	if (ls->em->o.order == ORDER_SHUFFLED)
		qsort(ls->v, ls->n, sizeof *ls->v, by_order);
}

static json_t *
number_json(struct seqno no)
{
	struct buf b = BUF_INIT(64);
	json_t *j;

	seqno_write(&b, no);
	j = json_stringn(b.p, b.n);
	buf_close(&b);
	return j;
}

static json_t *
shard_json(const struct listing *ls, const struct shard *sh)
{
	json_t *range = json_pack("{s:o}", "StartingSequenceNumber", number_json(sh->start));
	json_t *out = json_pack("{s:s, s:o}", "ShardId", sh->id, "SequenceNumberRange", range);

	if (sh->parent != NULL)
		json_object_set_new(out, "ParentShardId", json_string(sh->parent->id));
	if (sh->closed && sh->closed_ms + (int64_t)ls->em->o.listing_lag_ms <= ls->now_ms)
		json_object_set_new(range, "EndingSequenceNumber", number_json(sh->end));
	return out;
}

static json_t *
key_schema_json(const struct table *t)
{
	json_t *out = json_array();

	for (size_t i = 0; i < 2 && t->key_names[i] != NULL; i++)
		json_array_append_new(out,
		    json_pack("{s:s, s:s}", "AttributeName", t->key_names[i], "KeyType",
			i == 0 ? "HASH" : "RANGE"));
	return out;
}

static json_t *
stream_json(const struct stream *st)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:f, s:s, s:o, s:[]}", "StreamArn", st->arn,
	    "StreamLabel", st->label, "StreamStatus", status_words[st->status], "StreamViewType",
	    view_words[st->view], "CreationRequestDateTime", (double)st->created_ms / 1000,
	    "TableName", st->table->name, "KeySchema", key_schema_json(st->table), "Shards");
}

static void
fill_page(const struct listing *ls, size_t from, size_t most, json_t *out)
{
	json_t *shards = json_object_get(out, "Shards");
	enum cursor_form form = (enum cursor_form)ls->em->o.cursor;
	const struct shard *last = NULL;
	bool more = false;

	for (size_t i = from; i < ls->n && !more; i++) {
		if (!is_listed(ls, ls->v[i]))
			continue;
		more = json_array_size(shards) == most;
		if (!more)
			json_array_append_new(shards, shard_json(ls, last = ls->v[i]));
	}
	if (more || (form == CURSOR_EXTRA_PAGE && last != NULL))
		json_object_set_new(out, "LastEvaluatedShardId", json_string(last->id));
	else if (form == CURSOR_EMPTY)
		json_object_set_new(out, "LastEvaluatedShardId", json_string(""));
}

static void
fill_children(const struct listing *ls, const struct shard *parent, json_t *out)
{
	json_t *shards = json_object_get(out, "Shards");

	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i]->parent == parent && is_listed(ls, ls->v[i]))
			json_array_append_new(shards, shard_json(ls, ls->v[i]));
}

/* True: answered, with the children or a refusal. */
static bool
describe_children(struct call *c, const struct listing *ls, struct stream *st)
{
	const json_t *filter = json_object_get(c->in, "ShardFilter");
	const char *type = json_string_value(json_object_get(filter, "Type"));
	const char *id = json_string_value(json_object_get(filter, "ShardId"));
	const struct shard *parent;
	json_t *out;

	if (filter == NULL || c->em->o.filter == FILTER_IGNORE)
		return false;
	if (c->em->o.filter == FILTER_REFUSE || type == NULL || id == NULL ||
	    strcmp(type, "CHILD_SHARDS") != 0) {
		answer_error(c->out, "ValidationException", "ShardFilter is not valid");
		return true;
	}
	if (!refuse_length(c, "shardFilter.shardId", slice_of(id), SHARD_ID_LEAST, SHARD_ID_MOST))
		return true;
	parent = stream_shard(st, slice_of(id));
	if (parent == NULL || parent->forgotten) {
		answer_error(c->out, "ResourceNotFoundException",
		    "Requested resource not found: Shard %s", id);
		return true;
	}
	out = stream_json(st);
	fill_children(ls, parent, out);
	answer_json(c->out, json_pack("{s:o}", "StreamDescription", out));
	return true;
}

/* Where the page begins; false with a refusal for a cursor never given out. */
static bool
find_cursor(struct call *c, const struct listing *ls, size_t *from)
{
	struct slice after = call_text(c, "ExclusiveStartShardId");

	*from = 0;
	if (after.p == NULL)
		return true;
	while (*from < ls->n && !slice_is(after, ls->v[*from]->id))
		++*from;
	if (*from < ls->n) {
		++*from;
		return true;
	}
	answer_error(c->out, "ValidationException", "Invalid ExclusiveStartShardId");
	return false;
}

static void
describe_stream(struct call *c)
{
	struct emulator *em = c->em;
	struct listing ls = {.em = em, .now_ms = emulator_now_ms(em)};
	struct stream *st;
	int64_t limit;
	size_t from;
	json_t *out;

	if (!call_admit(c, &em->describe_asked, &em->describe_admitted, em->o.describe_rate) ||
	    !read_limit(c, LIST_MOST, &limit) || (st = read_stream(c)) == NULL)
		return;
	if (limit > LIST_MOST)
		limit = LIST_MOST;
	if ((uint64_t)limit > em->o.page_shards)
		limit = (int64_t)em->o.page_shards;
	listing_build(&ls, st);
	if (!describe_children(c, &ls, st) && find_cursor(c, &ls, &from)) {
		out = stream_json(st);
		fill_page(&ls, from, (size_t)limit, out);
		answer_json(c->out, json_pack("{s:o}", "StreamDescription", out));
	}
	free(ls.v);
}

/* ---- GetShardIterator -------------------------------------------------- */

/* AT and AFTER: inside the shard's range, and not where data has been cut. */
static bool
number_position(struct call *c, const struct shard *sh, bool after, uint64_t *position)
{
	struct slice text = call_text(c, "SequenceNumber");
	struct seqno no;

	if (!refuse_length(c, "sequenceNumber", text, 21, 40))
		return false;
	if (!seqno_parse(text, &no) || seqno_cmp(no, sh->start) < 0 ||
	    seqno_cmp(no, shard_newest(sh)) > 0) {
		answer_error(c->out, "ValidationException",
		    "Invalid SequenceNumber: %.*s is not in the range of shard %s", (int)text.n,
		    text.p, sh->id);
		return false;
	}
	*position = shard_find(sh, no, after);
	if (sh->trimmed != 0 && seqno_cmp(no, sh->events[sh->trimmed - 1].no) <= 0) {
		answer_error(c->out, "TrimmedDataAccessException",
		    "The operation attempted to read past the oldest stream record in a shard.");
		return false;
	}
	return true;
}

static bool
read_position(struct call *c, const struct shard *sh, uint64_t *position)
{
	struct slice type = call_text(c, "ShardIteratorType");
	bool numbered =
	    slice_is(type, "AT_SEQUENCE_NUMBER") || slice_is(type, "AFTER_SEQUENCE_NUMBER");

	if (numbered)
		return number_position(c, sh, slice_is(type, "AFTER_SEQUENCE_NUMBER"), position);
	if (json_object_get(c->in, "SequenceNumber") != NULL) {
		answer_error(c->out, "ValidationException",
		    "SequenceNumber must not be given for iterator type %.*s", (int)type.n,
		    type.p != NULL ? type.p : "");
		return false;
	}
	*position = slice_is(type, "LATEST") ? sh->count : sh->trimmed;
	if (slice_is(type, "LATEST") || slice_is(type, "TRIM_HORIZON"))
		return true;
	answer_error(c->out, "ValidationException",
	    "1 validation error detected: Value '%.*s' at 'shardIteratorType' failed to satisfy "
	    "constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, "
	    "AT_SEQUENCE_NUMBER, TRIM_HORIZON]",
	    (int)type.n, type.p != NULL ? type.p : "");
	return false;
}

static void
write_iterator(struct emulator *em, const struct shard *sh, uint64_t position, uint32_t empty_left,
    struct buf *out)
{
	struct token tk = {.stream = sh->stream->index,
	    .shard = sh->index,
	    .position = position,
	    .issued_ms = emulator_now_ms(em),
	    .empty_left = empty_left};

	token_write(&em->token_key, &em->model, &tk, out);
}

static void
get_shard_iterator(struct call *c)
{
	struct slice id = call_text(c, "ShardId");
	struct stream *st = read_stream(c);
	struct buf text = BUF_INIT(2048);
	const struct shard *sh;
	uint64_t position;

	if (st == NULL || !refuse_length(c, "shardId", id, SHARD_ID_LEAST, SHARD_ID_MOST))
		return;
	sh = stream_shard(st, id);
	if (sh == NULL || sh->forgotten) {
		answer_error(c->out, "ResourceNotFoundException",
		    "Requested resource not found: Shard does not exist");
		return;
	}
	if (!read_position(c, sh, &position))
		return;
	write_iterator(c->em, sh, position, (uint32_t)c->em->o.empty_pages, &text);
	answer_json(c->out, json_pack("{s:s%}", "ShardIterator", text.p, text.n));
	buf_close(&text);
}

/* ---- GetRecords -------------------------------------------------------- */

static size_t
page_end(const struct emulator *em, const struct shard *sh, size_t first, size_t limit)
{
	uint64_t data = 0;
	size_t i = first;

	if (limit > em->o.page_records)
		limit = em->o.page_records;
	while (i < sh->count && i - first < limit) {
		data += sh->events[i].data;
		if (data > em->o.page_bytes && i != first)
			break;
		i++;
	}
	return i;
}

static void
add_head(struct emulator *em, const struct shard *sh, size_t next, uint32_t empty_left, bool last,
    struct buf *out)
{
	static const char *const forms[] = {"{\"Records\":[",
	    "{\"NextShardIterator\":null,\"Records\":[",
	    "{\"NextShardIterator\":\"\",\"Records\":["};

	if (last) {
		buf_add_str(out, forms[em->o.end]);
		return;
	}
	buf_add_str(out, "{\"NextShardIterator\":\"");
	write_iterator(em, sh, next, empty_left, out);
	buf_add_str(out, "\",\"Records\":[");
}

/* Records lie one behind the other but for the seams between chunks. */
static void
add_records(const struct shard *sh, size_t first, size_t end, struct evbuffer *body)
{
	const char *p = sh->events[first].p + 1;
	size_t n = sh->events[first].n - 1;

	for (size_t i = first + 1; i < end; i++) {
		if (sh->events[i].p != p + n) {
			evbuffer_add_reference(body, p, n, NULL, NULL);
			p = sh->events[i].p;
			n = 0;
		}
		n += sh->events[i].n;
	}
	evbuffer_add_reference(body, p, n, NULL, NULL);
}

static void
answer_page(
    struct answer *an, const struct shard *sh, size_t first, size_t end, const struct buf *head)
{
	size_t bytes;
	uint32_t records = shard_crc(sh, first, end, &bytes);
	uLong crc = crc32(0, (const Bytef *)head->p, (uInt)head->n);

	evbuffer_add(an->body, head->p, head->n);
	if (first != end)
		add_records(sh, first, end, an->body);
	evbuffer_add(an->body, "]}", 2);
	crc = crc32_combine(crc, records, (z_off_t)bytes);
	an->crc = (uint32_t)crc32(crc, (const Bytef *)"]}", 2);
	an->crc_known = true;
}

/* The shard an iterator leads into; NULL with the refusal. */
static struct shard *
follow_iterator(struct call *c, struct token *tk)
{
	struct emulator *em = c->em;
	struct slice text = call_text(c, "ShardIterator");
	struct shard *sh;

	if (!refuse_length(c, "shardIterator", text, 1, 2048))
		return NULL;
	if (!token_read(&em->token_key, &em->model, text, tk)) {
		answer_error(c->out, "ValidationException", "Invalid ShardIterator");
		return NULL;
	}
	sh = em->model.streams[tk->stream]->shards[tk->shard];
	if (!call_admit(c, &sh->asked, &sh->admitted, em->o.shard_rate))
		return NULL;
	if (emulator_now_ms(em) - tk->issued_ms > (int64_t)em->o.iterator_life_s * 1000) {
		answer_error(c->out, "ExpiredIteratorException",
		    "The shard iterator has expired. Shard iterators are only valid for 15 minutes "
		    "after they are issued.");
		return NULL;
	}
	if (sh->forgotten) {
		answer_error(c->out, "ResourceNotFoundException",
		    "Requested resource not found: Invalid ShardId in ShardIterator");
		return NULL;
	}
	if (tk->position < sh->trimmed) {
		answer_error(c->out, "TrimmedDataAccessException",
		    "The operation attempted to read past the oldest stream record in a shard.");
		return NULL;
	}
	return sh;
}

static void
get_records(struct call *c)
{
	struct emulator *em = c->em;
	struct buf head = BUF_INIT(4096);
	struct token tk;
	const struct shard *sh;
	int64_t limit;
	size_t end;
	bool empty, last;

	if (!read_limit(c, RECORDS_MOST, &limit))
		return;
	if (limit > RECORDS_MOST) {
		answer_error(c->out, "LimitExceededException", "Limit must be at most 1000");
		return;
	}
	sh = follow_iterator(c, &tk);
	if (sh == NULL)
		return;
	empty = tk.empty_left != 0 && tk.position < sh->count;
	end = empty ? tk.position : page_end(em, sh, tk.position, (size_t)limit);
	last = sh->closed && end == sh->count && !empty && !c->again;
	add_head(em, sh, c->again ? tk.position : end,
	    empty ? tk.empty_left - 1 : (uint32_t)em->o.empty_pages, last, &head);
	answer_page(c->out, sh, tk.position, end, &head);
	buf_close(&head);
}

const struct operation streams_ops[] = {
    {"GetRecords", get_records},
    {"GetShardIterator", get_shard_iterator},
    {"DescribeStream", describe_stream},
    {"ListStreams", list_streams},
    {NULL, NULL},
};
