/* sinks/opensearch_answer.c - what the cluster says, as verdicts.
 *
 * An item's fate is in its own status, whatever the others' is; only an answer
 * that is none about items speaks of the whole request. The bytes are walked in place:
 * no tree is built of an answer that has an item a record.
 *
 * Reasons are for the log and the dead letters, and OpenSearch quotes in them what it
 * could not read: os_reason_write() keeps words, and names in brackets where a
 * name is expected, and nothing else.
 */
#include "sinks/opensearch_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "record/value.h"

#define REASON_MAX 200u

/* ---- reasons ---- */

/* Are these the last words of the text? */
static bool
ends_in(struct slice text, const char *words)
{
	size_t n = strlen(words);

	while (text.n > 0 && text.p[text.n - 1] == ' ')
		text.n--;
	return text.n >= n && strncasecmp(text.p + text.n - n, words, n) == 0 &&
	    (text.n == n || text.p[text.n - n - 1] == ' ');
}

static bool
names_follow(struct slice text)
{
	static const char *const words[] = {"field", "fields", "type", "index", "mapper", "within",
	    "mapping for", "introduction of", "setting"};

	/* "failed to parse date field [2026-13-01]": its value, not its name. */
	if (ends_in(text, "date field"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (ends_in(text, words[i]))
			return true;
	return false;
}

static bool
only_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p == end;
}

/* A limit or a count ("[1000] has been exceeded"), but "Value [40000] is out of range". */
static bool
is_count(struct slice text, const char *from, const char *close)
{
	return close - from < 8 && only_digits(from + 1, close) && !ends_in(text, "value");
}

static void
trim_tail(struct buf *out, size_t start)
{
	static const char tail[] = " in document with id";
	size_t n = sizeof tail - 1;

	while (out->n > start && strchr(" :.=,", out->p[out->n - 1]) != NULL)
		out->n--;
	if (out->n - start >= n && memcmp(out->p + out->n - n, tail, n) == 0)
		out->n -= n;
}

void
os_reason_write(struct slice raw, struct buf *out)
{
	struct buf plain = BUF_INIT(1u << 20);
	struct slice text;
	size_t start = out->n;

	json_unescape(raw, &plain);
	text = buf_slice(&plain);
	for (size_t i = 0; i < text.n && out->n - start < REASON_MAX; i++) {
		const char *close;

		if (strchr("'\"(\n", text.p[i]) != NULL)
			break;
		if (text.p[i] != '[') {
			buf_add_printable(out, (struct slice){text.p + i, 1});
			continue;
		}
		close = memchr(text.p + i, ']', text.n - i);
		if (close == NULL || close - (text.p + i) > 120)
			break;
		if (names_follow((struct slice){text.p, i}) ||
		    is_count((struct slice){text.p, i}, text.p + i, close))
			buf_add_printable(
			    out, (struct slice){text.p + i, (size_t)(close - text.p) + 1 - i});
		else
			buf_add_str(out, "[...]");
		i = (size_t)(close - text.p);
	}
	trim_tail(out, start);
	buf_close(&plain);
}

static void
say(struct err *why, bool retriable, enum err_code code, const struct os_item *it, const char *what)
{
	struct buf b = BUF_INIT(2048);
	int n = (int)(it->type.n > 80 ? 80 : it->type.n);

	if (it->reason.p != NULL)
		os_reason_write(it->reason, &b);
	if (it->cause.p != NULL && b.n < REASON_MAX) {
		buf_add_str(&b, b.n != 0 ? ": " : "");
		os_reason_write(it->cause, &b);
	}
	if (it->type.p == NULL)
		(void)err_set(why, code, "opensearch: %sstatus %d", what, it->status);
	else
		(void)err_set(why, code, "opensearch: %sstatus %d %.*s: %.400s", what, it->status,
		    n, it->type.p, buf_cstr(&b));
	why->retriable = retriable;
	buf_close(&b);
}

/* ---- walking ---- */

static struct slice
inside(struct slice quoted)
{
	if (quoted.p == NULL || quoted.n < 2 || quoted.p[0] != '"')
		return SLICE_NONE;
	return (struct slice){quoted.p + 1, quoted.n - 2};
}

static int
number_of(struct slice s)
{
	int v = 0;

	for (size_t i = 0; i < s.n && i < 4; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return 0;
		v = v * 10 + (s.p[i] - '0');
	}
	return v;
}

static bool
is_object(struct slice s)
{
	return s.p != NULL && s.n > 1 && s.p[0] == '{';
}

/* {"type":...,"reason":...,"caused_by":{...}} */
static void
read_error(struct slice error, struct os_item *it)
{
	struct slice inner = error;

	it->type = inside(value_member(error, "type"));
	it->reason = inside(value_member(error, "reason"));
	if (it->type.p == NULL)
		it->type = SLICE_LIT("error");
	for (int depth = 0; depth < 16; depth++) {
		struct slice next = value_member(inner, "caused_by");

		if (!is_object(next))
			break;
		inner = next;
		it->cause = inside(value_member(inner, "reason"));
	}
}

static bool
read_item(struct slice item, struct os_item *it)
{
	struct json_iter ops = json_iter(item), members;
	struct slice name, value;

	*it = (struct os_item){.status = 0};
	if (!is_object(item) || !json_next(&ops, &name, &value) || !is_object(value))
		return false;
	members = json_iter(value);
	while (json_next(&members, &name, &value)) {
		if (slice_is(name, "status"))
			it->status = number_of(value);
		else if (slice_is(name, "error") && is_object(value))
			read_error(value, it);
	}
	return it->status != 0;
}

int
os_answer_each(struct slice body, size_t count,
    void (*fn)(void *arg, size_t i, const struct os_item *it), void *arg, struct err *e)
{
	struct slice items, value, name;
	struct json_iter at;
	struct os_item it;
	size_t n = 0;

	if (!json_check(body) || !is_object(body))
		return err_retry(e, ERR_PROTOCOL,
		    "opensearch: the answer is no JSON object: is it OpenSearch that answers "
		    "there?");
	items = value_member(body, "items");
	if (items.p == NULL || items.p[0] != '[')
		return err_retry(e, ERR_PROTOCOL, "opensearch: the answer has no items");
	at = json_iter(items);
	while (json_next(&at, &name, &value)) {
		if (!read_item(value, &it))
			return err_retry(
			    e, ERR_PROTOCOL, "opensearch: item %zu of the answer has no status", n);
		n++;
	}
	if (n != count)
		return err_retry(e, ERR_PROTOCOL,
		    "opensearch: %zu documents were sent and %zu answered", count, n);
	at = json_iter(items);
	for (n = 0; json_next(&at, &name, &value); n++) {
		(void)read_item(value, &it);
		fn(arg, n, &it);
	}
	return 0;
}

/* ---- verdicts ---- */

struct rule {
	int from, to;	  /* status */
	const char *type; /* of the error; NULL: any, or none */
	enum sink_verdict verdict;
};

/* The type that we give to the cluster's "no handler found for uri", which has none: it
 * answers a wrong path with 400, and not a document's fault is it. */
#define NO_HANDLER "no_handler"

/* The first that fits decides. docs/opensearch.md shows the same table. */
static const struct rule item_rules[] = {
    {200, 299, NULL, SINK_ACK},
    /* Permission for an index, withheld item by item. */
    {403, 403, "security_exception", SINK_HALT},
    /* Read-only for a full disk or by the operator's hand; both pass. */
    {403, 403, "cluster_block_exception", SINK_RETRY},
    {401, 403, NULL, SINK_HALT},
    {400, 404, "index_not_found_exception", SINK_HALT},
    {400, 400, "index_closed_exception", SINK_HALT},
    {400, 400, "invalid_index_name_exception", SINK_HALT},
    /* The index would be made now, and the cluster has as many shards as it may: not the
     * document's fault, and it passes. */
    {400, 400, "validation_exception", SINK_RETRY},
    {404, 404, NULL, SINK_RETRY},
    /* Another writer came between a script's reading and its writing, four times: that
     * does not say which of the two is newer. The script will. */
    {409, 409, NULL, SINK_RETRY},
    {408, 408, NULL, SINK_RETRY},
    {429, 429, NULL, SINK_RETRY},
    {400, 499, NULL, SINK_REJECT},
    {0, 9999, NULL, SINK_RETRY},
};

static const struct rule whole_rules[] = {
    {403, 403, "cluster_block_exception", SINK_RETRY},
    {401, 401, NULL, SINK_HALT},
    {403, 403, NULL, SINK_HALT},
    {400, 400, "index_not_found_exception", SINK_HALT},
    {400, 400, "invalid_index_name_exception", SINK_HALT},
    {400, 400, NO_HANDLER, SINK_HALT},
    /* Some document in it cannot even be read, or is too much. */
    {400, 400, NULL, SINK_SPLIT},
    {413, 413, NULL, SINK_SPLIT},
    {422, 422, NULL, SINK_SPLIT},
    {408, 409, NULL, SINK_RETRY},
    {425, 425, NULL, SINK_RETRY},
    {429, 429, NULL, SINK_RETRY},
    /* Redirects, wrong paths, proxies that want something: not what url should name. */
    {300, 499, NULL, SINK_HALT},
    {0, 9999, NULL, SINK_RETRY},
};

static enum sink_verdict
rule_find(const struct rule *r, const struct os_item *it)
{
	while (it->status < r->from || it->status > r->to ||
	    (r->type != NULL && !slice_is(it->type, r->type)))
		r++;
	return r->verdict;
}

static bool
begins(struct slice text, const char *words)
{
	size_t n = strlen(words);

	return text.n >= n && memcmp(text.p, words, n) == 0;
}

/* Said of every guarded document where scripts are switched off. */
static bool
scripts_forbidden(const struct os_item *it)
{
	static const char words[] = "cannot execute [";

	return it->status == 400 && (begins(it->cause, words) || begins(it->reason, words));
}

/* Said of every document for that index alike, under a type that single documents have too. */
static const struct {
	const char *words, *name, *mend;
} index_faults[] = {
    {"no write index is defined for alias", "alias",
	"does not say to which index its documents go: give it one (is_write_index)"},
    {"only write ops with an op_type of create are allowed in data streams", "data stream",
	"takes no changes of its documents: name an index instead"},
};

/* Which of them; -1: none. */
static int
index_fault(const struct os_item *it)
{
	for (int i = 0; it->status == 400 && i < (int)ARRAY_LEN(index_faults); i++)
		if (begins(it->reason, index_faults[i].words))
			return i;
	return -1;
}

static void
say_halt(struct err *why, const struct os_item *it, const struct os_target *t, const char *name)
{
	int fault = index_fault(it);

	if (fault >= 0)
		(void)err_set(why, ERR_REFUSED, "opensearch: %s %s %s, then: slipring resume %s",
		    index_faults[fault].name, t->index, index_faults[fault].mend, name);
	else if (scripts_forbidden(it))
		(void)err_set(why, ERR_REFUSED,
		    "opensearch: the cluster runs no inline scripts, which mode: guarded needs: "
		    "allow "
		    "them (script.allowed_types, script.allowed_contexts), or set mode: overwrite; "
		    "then: slipring resume %s",
		    name);
	else if (slice_is(it->type, "index_not_found_exception"))
		(void)err_set(why, ERR_NOT_FOUND,
		    "opensearch: there is no index %s, and the cluster does not create it "
		    "(action.auto_create_index): create it, then: slipring resume %s",
		    t->index, name);
	else if (slice_is(it->type, "index_closed_exception"))
		(void)err_set(why, ERR_REFUSED,
		    "opensearch: index %s is closed: open it, then: slipring resume %s", t->index,
		    name);
	else
		say(why, false, it->status <= 403 ? ERR_AUTH : ERR_REFUSED, it, "");
}

/* Of a name that a record chose: that record's trouble, and nobody else's. */
static bool
is_about_index(const struct os_item *it)
{
	return slice_is(it->type, "index_not_found_exception") ||
	    slice_is(it->type, "index_closed_exception") ||
	    slice_is(it->type, "invalid_index_name_exception") || index_fault(it) >= 0;
}

enum sink_verdict
os_item_verdict(const struct os_item *it, bool removal, const struct os_target *t, const char *name,
    struct err *why)
{
	enum sink_verdict v = rule_find(item_rules, it);

	/* What is to be gone is gone. An index that was never there holds no document either;
	 * one that was there a moment ago, and is missed now, is somebody's mistake. */
	if (removal && it->status == 404 && (it->type.p == NULL || (v == SINK_HALT && !t->seen)))
		return SINK_ACK;
	if (scripts_forbidden(it) || index_fault(it) >= 0)
		v = SINK_HALT;
	if (v == SINK_HALT && t->routed && is_about_index(it)) {
		(void)err_set(why, ERR_REFUSED,
		    "opensearch: index %s, to which a filter routed this record, is not there, "
		    "closed, or none that documents can be written to; create or open it, then "
		    "replay",
		    t->index);
		return SINK_REJECT;
	}
	if (v == SINK_HALT)
		say_halt(why, it, t, name);
	else if (v != SINK_ACK)
		say(why, v == SINK_RETRY, ERR_REFUSED, it, "");
	return v;
}

/* A setting of the cluster: no request of ours will ever pass. */
static bool
indices_forbidden(const struct os_item *it)
{
	return it->status == 400 && begins(it->reason, "explicit index in bulk is not allowed");
}

static void
say_whole(enum sink_verdict v, const struct os_item *it, const char *name, struct err *why)
{
	if (it->status == 401 || it->status == 403) {
		say(why, v == SINK_RETRY, ERR_AUTH, it, "the cluster refuses us: ");
		return;
	}
	if (indices_forbidden(it))
		(void)err_set(why, ERR_REFUSED,
		    "opensearch: the cluster takes no bulk requests that name an index, as ours "
		    "do; allow them (rest.action.multi.allow_explicit_index), then: slipring "
		    "resume %s",
		    name);
	else if (it->status >= 300 && it->status < 400)
		(void)err_set(why, ERR_REFUSED,
		    "opensearch: status %d, a redirect: name the cluster itself in url, then: "
		    "slipring resume %s",
		    it->status, name);
	else if (it->status == 404 || it->status == 405 || slice_is(it->type, NO_HANDLER))
		(void)err_set(why, ERR_NOT_FOUND,
		    "opensearch: status %d for _bulk: url does not name a cluster, or its path is "
		    "wrong; mend it, then: slipring resume %s",
		    it->status, name);
	else if (it->status == 413)
		(void)err_set(why, ERR_LIMIT,
		    "opensearch: status 413, the request is larger than the cluster takes "
		    "(http.max_content_length); bulk.size is better below that");
	else
		say(why, v == SINK_RETRY, ERR_REFUSED, it, "");
}

enum sink_verdict
os_whole_verdict(int status, struct slice body, const char *name, struct err *why)
{
	struct os_item it = {.status = status};
	enum sink_verdict v;

	if (json_check(body) && is_object(body)) {
		struct slice error = value_member(body, "error");

		if (is_object(error)) {
			read_error(error, &it);
		} else {
			if (error.p == NULL)
				error = value_member(body, "message");
			if (error.p == NULL)
				error = value_member(body, "Message");
			it.reason = inside(error);
			it.type = it.reason.p != NULL ? SLICE_LIT("error") : SLICE_NONE;
			if (it.reason.n >= 16 && memcmp(it.reason.p, "no handler found", 16) == 0)
				it.type = SLICE_LIT(NO_HANDLER);
		}
	}
	v = indices_forbidden(&it) ? SINK_HALT : rule_find(whole_rules, &it);
	say_whole(v, &it, name, why);
	return v;
}
