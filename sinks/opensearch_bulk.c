/* sinks/opensearch_bulk.c - a record as lines of a _bulk body.
 *
 *   overwrite  {"index":{"_index":"orders","_id":"[\"o-1\"]"}}   the document
 *              {"delete":{"_index":"orders","_id":"[\"o-1\"]"}}
 *   guarded    {"update":{...}}   a script that compares slipring_version
 *
 * _id is the canonical key, so that every version of an item, from every shard and
 * after every restart, meets the same document. Pure: no network, no clock.
 */
#include "sinks/opensearch_priv.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/limits.h"
#include "base/mem.h"
#include "record/format.h"
#include "record/key.h"
#include "record/number.h"
#include "record/version.h"
#include "sinks/route.h"
#include "sinks/template.h"

/* One text for every document, so that the cluster compiles it once. A version that is
 * not newer changes nothing ("none"), whatever became of the one before. */
const char os_script[] = "def o=ctx._source.slipring_version;"
			 "if(o!=null&&o.compareTo(params.v)>=0){ctx.op='none'}"
			 "else{ctx._source.clear();ctx._source.putAll(params.d);"
			 "ctx._source.slipring_version=params.v}";

/* Significant digits that every decimal keeps through an IEEE double. */
#define DOUBLE_DIGITS 15u

void
os_bulk_init(struct os_bulk *b, const struct os_conf *conf)
{
	*b = (struct os_bulk){.conf = conf,
	    .key = BUF_INIT(LIMIT_PAGE_BODY),
	    .id = BUF_INIT(LIMIT_PAGE_BODY),
	    .doc = BUF_INIT(4u * LIMIT_PAGE_BODY)};
}

void
os_bulk_close(struct os_bulk *b)
{
	struct os_target *t, *next;

	for (t = b->targets; t != NULL; t = next) {
		next = t->next;
		free(t->stream);
		free(t->table);
		free(t->index);
		free(t);
	}
	b->targets = NULL;
	buf_close(&b->key);
	buf_close(&b->id);
	buf_close(&b->doc);
}

/* ---- which index ---- */

int
os_index_check(struct slice name, struct err *e)
{
	if (name.n == 0 || name.n > OS_INDEX_MAX)
		return err_set(e, ERR_CONFIG,
		    "opensearch: an index has a name of 1 to %u bytes, not %zu", OS_INDEX_MAX,
		    name.n);
	if (strchr("-_+.", name.p[0]) != NULL)
		return err_set(
		    e, ERR_CONFIG, "opensearch: no index name may begin with '%c'", name.p[0]);
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if ((unsigned char)c <= ' ' || c == 0x7f || strchr("\\/*?\"<>|,#:", c) != NULL ||
		    (c >= 'A' && c <= 'Z'))
			return err_set(e, ERR_CONFIG,
			    "opensearch: an index name is in lower case, without spaces and "
			    "without "
			    "any of \\ / * ? \" < > | , # :");
	}
	return 0;
}

static void
write_index(const char *template, const struct origin *o, struct slice route, struct buf *name)
{
	buf_reset(name);
	if (route.p != NULL)
		buf_add_slice(name, route);
	else
		template_write(template, NULL, o, name);
	/* Tables have capitals, indices may not. */
	for (size_t i = 0; i < name->n; i++)
		if (name->p[i] >= 'A' && name->p[i] <= 'Z')
			name->p[i] = (char)(name->p[i] + 'a' - 'A');
}

static int
refuse_shared(const struct os_target *t, const struct origin *o, const char *index, struct err *e)
{
	return err_set(e, ERR_CONFIG,
	    "opensearch: streams %.60s and %.60s both go to index %.100s, where items of one key "
	    "would overwrite each other: put {stream} or {table} into index, or set id: stream-key",
	    t->stream, o->stream, index);
}

static int
check_name(const struct origin *o, struct slice route, struct slice index, struct err *e)
{
	if (route.p == NULL) {
		if (os_index_check(index, e) == 0)
			return 0;
		return err_prefix(e, "index \"%.*s\" of stream %.60s",
		    (int)(index.n > 100 ? 100 : index.n), index.p, o->stream);
	}
	if (route_check(route, OS_INDEX_MAX, e) != 0)
		return err_prefix(e, "opensearch");
	if (os_index_check(index, e) == 0)
		return 0;
	e->code = ERR_REFUSED;
	return err_prefix(e, "the route of this record");
}

static struct os_target *
target_new(struct os_bulk *b, const struct origin *o, struct slice route, struct err *e)
{
	const char *index = buf_cstr(&b->id);
	struct os_target *t;

	if (check_name(o, route, buf_slice(&b->id), e) != 0)
		return NULL;
	for (t = b->targets; t != NULL && b->conf->id == OS_ID_KEY; t = t->next)
		if (strcmp(t->index, index) == 0 && strcmp(t->stream, o->stream) != 0 &&
		    refuse_shared(t, o, index, e) != 0)
			return NULL;
	t = mem_new(sizeof *t);
	*t = (struct os_target){.next = b->targets,
	    .stream = mem_strdup(o->stream),
	    .table = mem_strdup(o->table),
	    .index = mem_strdup(index),
	    .routed = route.p != NULL};
	b->targets = t;
	return t;
}

struct os_target *
os_target_of(struct os_bulk *b, const struct origin *o, struct slice route, struct err *e)
{
	struct os_target *t;
	bool routed = route.p != NULL;

	if (routed)
		write_index(NULL, o, route, &b->id);
	for (t = b->targets; t != NULL; t = t->next)
		if (t->routed == routed && (!routed || slice_is(buf_slice(&b->id), t->index)) &&
		    strcmp(t->stream, o->stream) == 0 && strcmp(t->table, o->table) == 0)
			return t;
	if (!routed)
		write_index(b->conf->index, o, route, &b->id);
	return target_new(b, o, route, e);
}

/* ---- which document ---- */

/* A key begins with '[', and with a stream's name before it, with that: neither is
 * ever taken for a hash. */
static void
write_hash(struct slice text, struct buf *out)
{
	unsigned char md[SHA256_DIGEST_LENGTH];

	(void)SHA256((const unsigned char *)text.p, text.n, md);
	buf_add_str(out, "sha256:");
	for (size_t i = 0; i < sizeof md; i++)
		buf_addf(out, "%02x", md[i]);
}

void
os_id_write(struct os_bulk *b, const struct record *r, const struct origin *o, struct buf *out)
{
	buf_reset(&b->key);
	if (b->conf->id == OS_ID_STREAM_KEY)
		buf_add_str(&b->key, o->stream);
	key_write(r, o->schema, &b->key);
	if (b->key.failed)
		out->failed = true;
	else if (b->key.n > OS_ID_MAX)
		write_hash(buf_slice(&b->key), out);
	else
		buf_add_slice(out, buf_slice(&b->key));
}

static void
add_action(struct os_bulk *b, const char *op, const struct record *r, const struct origin *o,
    const struct os_target *t, struct buf *out)
{
	buf_reset(&b->id);
	os_id_write(b, r, o, &b->id);
	buf_add_str(out, "{\"");
	buf_add_str(out, op);
	buf_add_str(out, "\":{\"_index\":\"");
	buf_add_str(out, t->index); /* os_index_check() let nothing pass that JSON escapes */
	buf_add_str(out, "\",\"_id\":");
	buf_add_json_string(out, buf_slice(&b->id));
	out->failed |= b->id.failed;
}

/* ---- the document ---- */

static int
add_document(const struct os_conf *conf, const struct record *r, const struct origin *o,
    struct buf *out, struct err *e)
{
	if (conf->documents == OS_ENVELOPE)
		return format_write(FORMAT_ENVELOPE, r, o, out, e);
	return plain_write_image(r->new_image, out, e);
}

/* More digits, or a larger or smaller power of ten, than a double has. */
static bool
outgrows_double(struct slice text)
{
	struct number n;

	if (memchr(text.p, '.', text.n) == NULL && memchr(text.p, 'e', text.n) == NULL &&
	    memchr(text.p, 'E', text.n) == NULL)
		return false; /* whole numbers are kept as such, of any length */
	return number_parse(text, &n) && n.count > DOUBLE_DIGITS;
}

static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end && *p != '"'; p++)
		if (*p == '\\')
			p++;
	return p < end ? p + 1 : end;
}

void
os_quote_fractions(struct buf *out, size_t from, struct buf *scratch)
{
	const char *p, *end;

	buf_reset(scratch);
	buf_add(scratch, out->p + from, out->n - from);
	if (scratch->failed) {
		out->failed = true;
		return;
	}
	out->n = from;
	p = scratch->p;
	end = p + scratch->n;
	while (p < end) {
		const char *q = p;
		struct slice token;

		if (*p == '"') {
			q = skip_string(p, end);
		} else if (*p == '-' || (*p >= '0' && *p <= '9')) {
			while (q < end && strchr("+-.eE0123456789", *q) != NULL)
				q++;
		} else {
			buf_add_char(out, *p++);
			continue;
		}
		token = (struct slice){p, (size_t)(q - p)};
		if (*p != '"' && outgrows_double(token)) {
			buf_add_char(out, '"');
			buf_add_slice(out, token);
			buf_add_char(out, '"');
		} else {
			buf_add_slice(out, token);
		}
		p = q;
	}
}

static void
add_tombstone(const struct record *r, int64_t now_us, struct buf *out)
{
	buf_add_str(out, "{\"slipring_deleted\":true,\"slipring_deleted_at\":\"");
	format_time((r->flags & RECORD_NO_TIME) != 0 ? now_us : r->created_us, out);
	buf_add_str(out, "\"}");
}

static int
add_guarded(struct os_bulk *b, const struct record *r, const struct origin *o, int64_t now_us,
    struct buf *out, struct err *e)
{
	size_t at;

	buf_add_str(out,
	    ",\"retry_on_conflict\":3}}\n"
	    "{\"scripted_upsert\":true,\"upsert\":{},\"script\":{\"lang\":\"painless\","
	    "\"source\":\"");
	buf_add_str(out, os_script);
	buf_add_str(out, "\",\"params\":{\"v\":\"");
	version_write(r, o, out);
	buf_add_str(out, "\",\"d\":");
	at = out->n;
	if (r->event == RECORD_REMOVE)
		add_tombstone(r, now_us, out);
	else if (add_document(b->conf, r, o, out, e) != 0)
		return -1;
	else
		os_quote_fractions(out, at, &b->doc);
	buf_add_str(out, "}}}\n");
	return 0;
}

static int
add_overwrite(struct os_bulk *b, const struct record *r, const struct origin *o, struct buf *out,
    struct err *e)
{
	buf_add_str(out, "}}\n");
	if (r->event == RECORD_REMOVE)
		return 0;
	if (add_document(b->conf, r, o, out, e) != 0)
		return -1;
	buf_add_char(out, '\n');
	return 0;
}

/* A stream that carries no new images has none for any record to come. */
static enum sink_verdict
refuse_imageless(const struct record *r, const struct origin *o, struct err *e)
{
	if (r->event == RECORD_UNKNOWN) {
		(void)err_set(e, ERR_PROTOCOL,
		    "opensearch: a kind of event that is not known, without a new image");
		return SINK_REJECT;
	}
	(void)err_set(e, ERR_CONFIG,
	    "opensearch: records of stream %.60s carry no new image (view type %.*s), so there is "
	    "no "
	    "document to write: set the stream's view type to NEW_AND_OLD_IMAGES or NEW_IMAGE, or "
	    "documents: envelope",
	    o->stream, (int)(r->view_type.n > 30 ? 30 : r->view_type.n),
	    r->view_type.p != NULL ? r->view_type.p : "");
	return SINK_HALT;
}

enum sink_verdict
os_bulk_add(struct os_bulk *b, const struct record *r, const struct origin *o,
    const struct os_target *t, int64_t now_us, struct buf *out, struct err *e)
{
	bool guarded = b->conf->mode == OS_GUARDED;
	size_t start = out->n;
	int bad;

	if (r->event != RECORD_REMOVE && r->new_image.p == NULL && b->conf->documents == OS_PLAIN)
		return refuse_imageless(r, o, e);
	add_action(b,
	    guarded			    ? "update"
		: r->event == RECORD_REMOVE ? "delete"
					    : "index",
	    r, o, t, out);
	bad = guarded ? add_guarded(b, r, o, now_us, out, e) : add_overwrite(b, r, o, out, e);
	if (bad == 0 && !out->failed)
		return SINK_ACK;
	out->n = start;
	if (bad == 0)
		(void)err_retry(e, ERR_NOMEM, "opensearch: no memory for a document");
	else if (e->code == ERR_PROTOCOL)
		return SINK_REJECT;
	out->failed = false;
	return SINK_RETRY;
}
