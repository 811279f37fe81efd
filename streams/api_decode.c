/* streams/api_decode.c - see api_decode.h.
 *
 * jansson builds a tree here, which is fine: these answers are small, rare
 * and not on the way of a record. What is copied out is fixed in size, so the
 * tree is gone before anybody uses the result.
 */
#include "streams/api_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "streams/api_http.h"

enum {
	SHARDS_MAX = 10000, /* service: 100 a page; look-alikes send all of them */
	REFS_MAX = 10000,   /* streams of one table: a handful */
	/* Keys of the table and of its indexes: 2, and 2 for each of at most 25. */
	DEFINITIONS_MAX = 100,
};

static int
malformed(struct err *e, const char *member, const char *what)
{
	return err_retry(e, ERR_PROTOCOL, "answer: %s %s", member, what);
}

static json_t *
load(struct slice body, struct err *e)
{
	json_error_t why;
	json_t *o;

	if (body.n > LIMIT_CONTROL_BODY) {
		(void)err_retry(e, ERR_PROTOCOL, "answer: %zu bytes are too many", body.n);
		return NULL;
	}
	/* No integer is of interest, and one too large for jansson is no reason
	 * to refuse an answer. */
	o = json_loadb(body.n != 0 ? body.p : "", body.n,
	    JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &why);
	if (o == NULL)
		(void)err_retry(
		    e, ERR_PROTOCOL, "answer: not JSON at byte %d of %zu", why.position, body.n);
	else if (!json_is_object(o))
		(void)malformed(e, "", "is no JSON object");
	if (json_is_object(o))
		return o;
	json_decref(o);
	return NULL;
}

/* Our own ids: printable, without blanks. They end in logs, the store and
 * further requests. */
static bool
is_plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f)
			return false;
	return true;
}

enum { OPTIONAL, REQUIRED };

/* A string of at most size - 1 plain bytes. Absent, null or "": "" if it is
 * optional. */
static int
get_text(const json_t *o, const char *key, int need, char *out, size_t size, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	out[0] = '\0';
	if (v == NULL || json_is_null(v))
		return need == REQUIRED ? malformed(e, key, "is missing") : 0;
	if (!json_is_string(v))
		return malformed(e, key, "is not a string");
	if (n >= size)
		return malformed(e, key, "is too long");
	if (n == 0 && need == REQUIRED)
		return malformed(e, key, "is empty");
	if (!is_plain(json_string_value(v), n))
		return malformed(e, key, "has blanks or unprintable characters");
	memcpy(out, json_string_value(v), n + 1);
	return 0;
}

/* Attribute names may hold anything. */
static int
get_name(const json_t *o, const char *key, char *out, size_t size, struct err *e)
{
	const json_t *v = json_object_get(o, key);
	size_t n = json_string_length(v);

	if (!json_is_string(v) || n == 0 || n >= size)
		return malformed(e, key, "is not a string of 1 to 255 bytes");
	memcpy(out, json_string_value(v), n + 1);
	return 0;
}

static int
get_object(const json_t *o, const char *key, int need, const json_t **out, struct err *e)
{
	*out = json_object_get(o, key);
	if (*out == NULL || json_is_null(*out)) {
		*out = NULL;
		return need == REQUIRED ? malformed(e, key, "is missing") : 0;
	}
	return json_is_object(*out) ? 0 : malformed(e, key, "is not an object");
}

/* Absent or null: NULL, which has no elements. */
static int
get_array(const json_t *o, const char *key, size_t max, const json_t **out, struct err *e)
{
	*out = json_object_get(o, key);
	if (*out == NULL || json_is_null(*out)) {
		*out = NULL;
		return 0;
	}
	if (!json_is_array(*out))
		return malformed(e, key, "is not an array");
	return json_array_size(*out) <= max ? 0 : malformed(e, key, "has too many elements");
}

static int
get_sequence(const json_t *o, const char *key, struct seq *out, struct err *e)
{
	const json_t *v = json_object_get(o, key);

	*out = (struct seq){.n = 0};
	if (v == NULL || json_is_null(v))
		return 0;
	if (!json_is_string(v) ||
	    !seq_parse((struct slice){json_string_value(v), json_string_length(v)}, out))
		return malformed(e, key, "is not a number of 1 to 40 digits");
	return 0;
}

static enum stream_view
view_of(const json_t *o)
{
	const char *s = json_string_value(json_object_get(o, "StreamViewType"));

	if (s == NULL)
		return VIEW_UNKNOWN;
	if (strcmp(s, "KEYS_ONLY") == 0)
		return VIEW_KEYS_ONLY;
	if (strcmp(s, "NEW_IMAGE") == 0)
		return VIEW_NEW_IMAGE;
	if (strcmp(s, "OLD_IMAGE") == 0)
		return VIEW_OLD_IMAGE;
	if (strcmp(s, "NEW_AND_OLD_IMAGES") == 0)
		return VIEW_NEW_AND_OLD;
	return VIEW_UNKNOWN;
}

/* ---- keys ---- */

static int
read_keys(const json_t *list, struct api_keys *out, struct err *e)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);
		const char *type = json_string_value(json_object_get(o, "KeyType"));
		char *to = type == NULL		 ? NULL
		    : strcmp(type, "HASH") == 0	 ? out->hash
		    : strcmp(type, "RANGE") == 0 ? out->range
						 : NULL;

		if (to == NULL || to[0] != '\0')
			return malformed(e, "KeySchema", "is not one HASH and at most one RANGE");
		if (get_name(o, "AttributeName", to, sizeof out->hash, e) == -1)
			return -1;
	}
	return 0;
}

/* 'S', 'N' or 'B' of an attribute; 0 if it is not defined so. */
static char
type_of(const json_t *definitions, const char *name)
{
	for (size_t i = 0; name[0] != '\0' && i < json_array_size(definitions); i++) {
		const json_t *o = json_array_get(definitions, i);
		const char *n = json_string_value(json_object_get(o, "AttributeName"));
		const char *t = json_string_value(json_object_get(o, "AttributeType"));

		if (n != NULL && t != NULL && strcmp(n, name) == 0 && t[0] != '\0' &&
		    t[1] == '\0' && strchr("SNB", t[0]) != NULL)
			return t[0];
	}
	return 0;
}

/* ---- DescribeTable ---- */

static int
read_table_keys(const json_t *o, struct api_keys *out, struct err *e)
{
	const json_t *schema, *definitions;

	if (get_array(o, "KeySchema", LIMIT_KEY_ATTRIBUTES, &schema, e) == -1 ||
	    get_array(o, "AttributeDefinitions", DEFINITIONS_MAX, &definitions, e) == -1 ||
	    read_keys(schema, out, e) == -1)
		return -1;
	out->hash_type = type_of(definitions, out->hash);
	out->range_type = type_of(definitions, out->range);
	return 0;
}

static int
read_table(const json_t *root, struct api_table *out, struct err *e)
{
	const json_t *o, *spec;

	if (get_object(root, "Table", REQUIRED, &o, e) == -1 ||
	    get_text(o, "TableName", REQUIRED, out->table, sizeof out->table, e) == -1 ||
	    get_text(o, "TableArn", OPTIONAL, out->arn, sizeof out->arn, e) == -1 ||
	    get_text(o, "LatestStreamArn", OPTIONAL, out->latest_stream, sizeof out->latest_stream,
		e) == -1 ||
	    get_object(o, "StreamSpecification", OPTIONAL, &spec, e) == -1 ||
	    read_table_keys(o, &out->key, e) == -1)
		return -1;
	out->stream_enabled = json_is_true(json_object_get(spec, "StreamEnabled"));
	out->view = view_of(spec);
	return 0;
}

int
decode_table(struct slice body, struct api_table *out, struct err *e)
{
	json_t *root = load(body, e);
	int r;

	*out = (struct api_table){.view = VIEW_UNKNOWN};
	if (root == NULL)
		return -1;
	r = read_table(root, out, e);
	json_decref(root);
	return r;
}

/* ---- ListStreams ---- */

static int
read_refs(const json_t *list, struct api_stream_ref *v, struct err *e)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		if (!json_is_object(o))
			return malformed(e, "Streams", "holds something that is no object");
		if (get_text(o, "StreamArn", REQUIRED, v[i].arn, sizeof v[i].arn, e) == -1 ||
		    get_text(o, "StreamLabel", REQUIRED, v[i].label, sizeof v[i].label, e) == -1)
			return -1;
	}
	return 0;
}

static int
append_refs(const json_t *root, struct api_stream_ref **v, size_t *n, char *last, struct err *e)
{
	struct api_stream_ref *grown;
	const json_t *list;
	size_t more;

	if (get_array(root, "Streams", REFS_MAX, &list, e) == -1 ||
	    get_text(root, "LastEvaluatedStreamArn", OPTIONAL, last, LIMIT_STREAM_ARN + 1, e) == -1)
		return -1;
	if (list == NULL)
		return malformed(e, "Streams", "is missing");
	more = json_array_size(list);
	if (*n + more > REFS_MAX)
		return malformed(e, "Streams", "has too many elements");
	grown = reallocarray(*v, *n + more + 1, sizeof **v);
	if (grown == NULL)
		return err_retry(e, ERR_NOMEM, "answer: out of memory for %zu streams", *n + more);
	*v = grown;
	if (read_refs(list, grown + *n, e) == -1)
		return -1;
	*n += more;
	return 0;
}

int
decode_stream_refs(struct slice body, struct api_stream_ref **v, size_t *n,
    char last[LIMIT_STREAM_ARN + 1], struct err *e)
{
	json_t *root = load(body, e);
	int r;

	if (root == NULL)
		return -1;
	r = append_refs(root, v, n, last, e);
	json_decref(root);
	return r;
}

/* ---- DescribeStream ---- */

static int
read_status(const json_t *o, enum stream_status *out, struct err *e)
{
	char text[32];

	if (get_text(o, "StreamStatus", REQUIRED, text, sizeof text, e) == -1)
		return -1;
	*out = strcmp(text, "ENABLING") == 0 ? STREAM_ENABLING
	    : strcmp(text, "DISABLING") == 0 ? STREAM_DISABLING
	    : strcmp(text, "DISABLED") == 0  ? STREAM_DISABLED
					     : STREAM_ENABLED;
	return 0;
}

static int
read_shard(const json_t *o, struct api_shard *sh, struct err *e)
{
	const json_t *range;

	if (get_text(o, "ShardId", REQUIRED, sh->id, sizeof sh->id, e) == -1 ||
	    get_text(o, "ParentShardId", OPTIONAL, sh->parent, sizeof sh->parent, e) == -1 ||
	    get_object(o, "SequenceNumberRange", OPTIONAL, &range, e) == -1 ||
	    get_sequence(range, "StartingSequenceNumber", &sh->start, e) == -1 ||
	    get_sequence(range, "EndingSequenceNumber", &sh->end, e) == -1)
		return -1;
	if (strcmp(sh->id, sh->parent) == 0)
		return malformed(e, "ParentShardId", "names the shard itself");
	return 0;
}

static int
read_shards(const json_t *list, struct api_stream *out, struct err *e)
{
	size_t n = json_array_size(list);
	struct api_shard *v = calloc(n + 1, sizeof *v);

	if (v == NULL)
		return err_retry(e, ERR_NOMEM, "answer: out of memory for %zu shards", n);
	out->shards = v;
	out->shard_count = n;
	for (size_t i = 0; i < n; i++) {
		const json_t *o = json_array_get(list, i);

		if (!json_is_object(o))
			return malformed(e, "Shards", "holds something that is no object");
		if (read_shard(o, &v[i], e) == -1)
			return err_prefix(e, "shard %zu of %zu", i + 1, n);
	}
	return 0;
}

static int
read_stream(const json_t *root, struct api_stream *out, struct err *e)
{
	const json_t *o, *keys, *shards;

	if (get_object(root, "StreamDescription", REQUIRED, &o, e) == -1 ||
	    get_text(o, "StreamArn", REQUIRED, out->arn, sizeof out->arn, e) == -1 ||
	    get_text(o, "StreamLabel", REQUIRED, out->label, sizeof out->label, e) == -1 ||
	    get_text(o, "TableName", OPTIONAL, out->table, sizeof out->table, e) == -1 ||
	    read_status(o, &out->status, e) == -1 ||
	    get_array(o, "KeySchema", LIMIT_KEY_ATTRIBUTES, &keys, e) == -1 ||
	    read_keys(keys, &out->key, e) == -1 ||
	    get_array(o, "Shards", SHARDS_MAX, &shards, e) == -1 ||
	    get_text(o, "LastEvaluatedShardId", OPTIONAL, out->last_shard, sizeof out->last_shard,
		e) == -1)
		return -1;
	out->view = view_of(o);
	return read_shards(shards, out, e);
}

int
decode_stream(struct slice body, struct api_stream *out, struct err *e)
{
	json_t *root = load(body, e);
	int r;

	*out = (struct api_stream){.shards = NULL};
	if (root == NULL)
		return -1;
	r = read_stream(root, out, e);
	json_decref(root);
	if (r == -1)
		decode_stream_clear(out);
	return r;
}

void
decode_stream_clear(struct api_stream *s)
{
	/* ours, const only for the readers of api.h */
	free((void *)(uintptr_t)s->shards);
	s->shards = NULL;
	s->shard_count = 0;
}

/* ---- GetShardIterator ---- */

int
decode_iterator(struct slice body, char out[LIMIT_ITERATOR + 1], struct err *e)
{
	json_t *root = load(body, e);
	int r;

	if (root == NULL)
		return -1;
	r = get_text(root, "ShardIterator", REQUIRED, out, LIMIT_ITERATOR + 1, e);
	json_decref(root);
	return r;
}
