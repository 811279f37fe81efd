/* tests/emulator/control_ops.c - what a test does behind the service's back.
 *
 * POST /control/NAME with a small JSON object; README.md lists the calls. A
 * call that cannot be done answers 400 with the service's kind of error body.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "tests/emulator/emulator.h"

static void
refuse(struct call *c, const char *why)
{
	answer_error(c->out, "ControlException", "%s", why);
}

/* "table", or the only one; NULL with a refusal. */
static struct table *
which_table(struct call *c)
{
	const struct model *m = &c->em->model;
	struct slice name = call_text(c, "table");
	struct table *t = name.p != NULL ? model_table(m, name)
	    : m->table_count != 0	 ? m->tables[0]
					 : NULL;

	if (t == NULL)
		refuse(c, "no such table");
	return t;
}

/* "shard" of any stream; absent: the oldest open one of the table's. */
static struct shard *
which_shard(struct call *c, bool must_be_open)
{
	const struct model *m = &c->em->model;
	struct slice id = call_text(c, "shard");
	struct shard *sh = NULL;

	if (id.p == NULL) {
		struct table *t = which_table(c);

		if (t == NULL)
			return NULL;
		for (size_t i = 0; t->live != NULL && sh == NULL && i < t->live->count; i++)
			sh = t->live->shards[i]->closed ? NULL : t->live->shards[i];
	}
	for (size_t i = 0; id.p != NULL && sh == NULL && i < m->stream_count; i++)
		sh = stream_shard(m->streams[i], id);
	if (sh != NULL && !(must_be_open && sh->closed))
		return sh;
	refuse(c, sh == NULL ? "no such shard" : "the shard is closed");
	return NULL;
}

/* ---- items ------------------------------------------------------------- */

static void
control_put(struct call *c)
{
	const json_t *items = json_object_get(c->in, "items"), *item;
	struct table *t = which_table(c);
	size_t i;

	if (t == NULL)
		return;
	json_array_foreach(items, i, item)
	{
		if (!call_put(c, t, item))
			return;
	}
	item = json_object_get(c->in, "item");
	if (item == NULL || call_put(c, t, item))
		call_empty(c);
}

static void
delete_with(struct call *c, bool ttl)
{
	struct table *t = which_table(c);

	if (t != NULL && call_delete(c, t, json_object_get(c->in, "key"), ttl))
		call_empty(c);
}

static void
control_delete(struct call *c)
{
	delete_with(c, false);
}

static void
control_ttl_delete(struct call *c)
{
	delete_with(c, true);
}

/* ---- shards ------------------------------------------------------------ */

static void
succeed(struct call *c, unsigned children)
{
	struct shard *sh = which_shard(c, true);
	json_t *ids;
	struct stream *st;

	if (sh == NULL)
		return;
	st = sh->stream;
	if (!model_succeed(&c->em->model, sh, children, emulator_now_ms(c->em))) {
		refuse(c, "the shard is too narrow to be split");
		return;
	}
	ids = json_array();
	for (size_t i = st->count - children; i < st->count; i++)
		json_array_append_new(ids, json_string(st->shards[i]->id));
	answer_json(c->out, json_pack("{s:s, s:o}", "parent", sh->id, "children", ids));
}

static void
control_split(struct call *c)
{
	succeed(c, 2);
}

static void
control_rotate(struct call *c)
{
	succeed(c, 1);
}

static void
control_trim(struct call *c)
{
	struct shard *sh = which_shard(c, false);
	int64_t n;

	if (sh == NULL || !call_number(c, "count", INT64_MAX, &n))
		return;
	if (n < 0) {
		refuse(c, "count is negative");
		return;
	}
	shard_trim(sh, (size_t)n);
	answer_json(c->out,
	    json_pack("{s:I, s:I}", "trimmed", (json_int_t)sh->trimmed, "left",
		(json_int_t)(sh->count - sh->trimmed)));
}

static void
control_forget(struct call *c)
{
	struct shard *sh = which_shard(c, false);

	if (sh == NULL)
		return;
	sh->forgotten = true;
	sh->unlisted = !json_is_true(json_object_get(c->in, "listed"));
	call_empty(c);
}

/* ---- streams ----------------------------------------------------------- */

static void
control_disable(struct call *c)
{
	struct table *t = which_table(c);

	if (t == NULL)
		return;
	model_disable(&c->em->model, t, emulator_now_ms(c->em));
	call_empty(c);
}

static void
control_enable(struct call *c)
{
	const char *word = json_string_value(json_object_get(c->in, "view"));
	struct table *t = which_table(c);
	enum view view = (enum view)c->em->o.view;
	int64_t shards;
	struct stream *st;

	if (t == NULL || (word != NULL && !call_view(c, word, &view)) ||
	    !call_number(c, "shards", (int64_t)c->em->o.shards, &shards))
		return;
	if (t->live != NULL || shards < 1 || shards > 100000) {
		refuse(c, t->live != NULL ? "the table has a live stream" : "shards: 1 to 100000");
		return;
	}
	st = model_enable(&c->em->model, t, view, (size_t)shards, emulator_now_ms(c->em));
	answer_json(c->out, json_pack("{s:s}", "stream", st->arn));
}

/* What DescribeStream says; nothing else changes. */
static void
control_status(struct call *c)
{
	struct slice word = call_text(c, "status");
	struct table *t = which_table(c);

	if (t == NULL)
		return;
	for (int i = 0; status_words[i] != NULL; i++) {
		if (t->latest != NULL && slice_is(word, status_words[i])) {
			t->latest->status = (enum status)i;
			call_empty(c);
			return;
		}
	}
	refuse(c, "no such status, or no stream");
}

/* ---- the server -------------------------------------------------------- */

static void
control_fault(struct call *c)
{
	struct err e;

	if (faults_add(&c->em->faults, c->in, &e) != 0)
		refuse(c, e.text);
	else
		call_empty(c);
}

static void
control_clock(struct call *c)
{
	int64_t offset, advance;

	if (!call_number(c, "offset", c->em->skew_s, &offset) ||
	    !call_number(c, "advance", 0, &advance))
		return;
	c->em->skew_s = offset;
	c->em->advance_ms += advance * 1000;
	answer_json(c->out,
	    json_pack("{s:I, s:I}", "offset", (json_int_t)offset, "now_ms",
		(json_int_t)emulator_now_ms(c->em)));
}

static void
replace(struct call *c, const char *name, char **owned)
{
	struct slice s = call_text(c, name);

	if (s.p == NULL && json_object_get(c->in, name) == NULL)
		return;
	free(*owned);
	*owned = s.p != NULL ? mem_slicedup(s) : NULL;
}

static void
control_credentials(struct call *c)
{
	struct verify_conf *vc = &c->em->verify;
	const json_t *expired = json_object_get(c->in, "expired");

	replace(c, "access-key", &vc->access_key);
	replace(c, "secret", &vc->secret);
	replace(c, "session-token", &vc->token);
	if (expired != NULL)
		vc->expired = json_is_true(expired);
	if (vc->access_key != NULL && vc->secret == NULL)
		vc->secret = mem_strdup("");
	call_empty(c);
}

static json_t *
ops_json(const struct emulator *em)
{
	json_t *out = json_object();

	for (size_t i = 0; em->ops[i].name != NULL; i++)
		json_object_set_new(out, em->ops[i].name,
		    json_pack("{s:I, s:I}", "calls", (json_int_t)em->ops[i].calls, "errors",
			(json_int_t)em->ops[i].errors));
	return out;
}

static json_t *
faults_json(const struct emulator *em)
{
	json_t *out = json_array();

	for (size_t i = 0; i < em->faults.n; i++)
		json_array_append_new(out,
		    json_pack("{s:s, s:I}", "kind", fault_words[em->faults.v[i].kind], "met",
			(json_int_t)em->faults.v[i].met));
	return out;
}

static json_t *
shards_json(const struct emulator *em, size_t *most)
{
	json_t *out = json_object();

	*most = 0;
	for (size_t i = 0; i < em->model.stream_count; i++) {
		const struct stream *st = em->model.streams[i];

		for (size_t k = 0; k < st->count; k++) {
			size_t max = st->shards[k]->asked.max;

			if (max != 0)
				json_object_set_new(
				    out, st->shards[k]->id, json_integer((json_int_t)max));
			*most = max > *most ? max : *most;
		}
	}
	return out;
}

static void
control_stats(struct call *c)
{
	struct emulator *em = c->em;
	const struct wire_stats *ws = wire_get_stats(em->wire);
	size_t most;
	json_t *shards = shards_json(em, &most);

	answer_json(c->out,
	    json_pack("{s:o, s:O, s:o, s:{s:I, s:I, s:o}, s:I, s:I, s:I, s:I, s:I}", "operations",
		ops_json(em), "errors", em->error_counts, "faults", faults_json(em),
		"max_calls_per_second", "DescribeStream", (json_int_t)em->describe_asked.max,
		"GetRecords", (json_int_t)most, "shards", shards, "connections",
		(json_int_t)ws->accepted, "requests", (json_int_t)ws->requests, "bytes_in",
		(json_int_t)ws->bytes_in, "bytes_out", (json_int_t)ws->bytes_out, "events",
		(json_int_t)em->model.events));
}

/* ---- dump -------------------------------------------------------------- */

static void
dump_shard(const struct shard *sh, struct evbuffer *out, struct buf *text)
{
	buf_reset(text);
	buf_addf(text, "{\"id\":\"%s\",\"parent\":", sh->id);
	buf_addf(
	    text, sh->parent != NULL ? "\"%s\"" : "null", sh->parent != NULL ? sh->parent->id : "");
	buf_add_str(text, ",\"start\":\"");
	seqno_write(text, sh->start);
	buf_add_str(text, "\",\"end\":");
	if (sh->closed) {
		buf_add_char(text, '"');
		seqno_write(text, sh->end);
		buf_add_char(text, '"');
	} else {
		buf_add_str(text, "null");
	}
	buf_addf(text, ",\"trimmed\":%zu,\"forgotten\":%s,\"events\":[", sh->trimmed,
	    sh->forgotten ? "true" : "false");
	evbuffer_add(out, text->p, text->n);
	for (size_t i = 0; i < sh->count; i++)
		evbuffer_add(out, sh->events[i].p + (i == 0), sh->events[i].n - (i == 0));
	evbuffer_add(out, "]}", 2);
}

static void
control_dump(struct call *c)
{
	const struct model *m = &c->em->model;
	struct evbuffer *out = c->out->body;
	struct buf text = BUF_INIT(4096);

	evbuffer_add_printf(out, "{\"streams\":[");
	for (size_t i = 0; i < m->stream_count; i++) {
		const struct stream *st = m->streams[i];

		evbuffer_add_printf(out,
		    "%s{\"arn\":\"%s\",\"label\":\"%s\",\"table\":\"%s\",\"status\":\"%s\","
		    "\"shards\":[",
		    i != 0 ? "," : "", st->arn, st->label, st->table->name,
		    status_words[st->status]);
		for (size_t k = 0; k < st->count; k++) {
			evbuffer_add(out, ",", k != 0);
			dump_shard(st->shards[k], out, &text);
		}
		evbuffer_add(out, "]}", 2);
	}
	evbuffer_add(out, "]}", 2);
	buf_close(&text);
}

const struct operation control_ops[] = {
    {"put", control_put},
    {"delete", control_delete},
    {"ttl-delete", control_ttl_delete},
    {"split", control_split},
    {"rotate", control_rotate},
    {"trim", control_trim},
    {"forget", control_forget},
    {"disable", control_disable},
    {"enable", control_enable},
    {"status", control_status},
    {"fault", control_fault},
    {"clock", control_clock},
    {"credentials", control_credentials},
    {"stats", control_stats},
    {"dump", control_dump},
    {NULL, NULL},
};
