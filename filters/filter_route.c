/* filters/filter_route.c - `type: route`: where the sink puts a change, by what is in it.
 *
 *   key prefix --rules--> template --+--> name -> record.route -> the sink's topic, table, index
 *          no rule fits: to ---------'--> default, if a part of it is not there
 *
 * The images are not touched. An item's route must not change during its life, or it ends
 * up in two tables: docs/transforms.md says so to who writes templates.
 */
#include "filters/filter.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "filters/seen.h"
#include "record/key.h"
#include "record/path.h"
#include "record/value.h"

/* No topic, table or index has a name of more than 290 bytes; templates put some together. */
#define NAME_BYTES 1024u
#define KEY_PART_MAX 99
/* Each is a table, topic or index that the sink keeps something of. */
#define NAMES_MOST 10000

enum part_kind { PART_TEXT, PART_TABLE, PART_STREAM, PART_EVENT, PART_KEY, PART_IMAGE };

struct part {
	struct part *next;
	enum part_kind kind;
	char *text;	   /* owned; TEXT */
	struct path *path; /* owned; KEY, IMAGE */
	int piece;	   /* KEY: from 1, what stands between two #; 0: all of it */
};

struct rule {
	struct slice prefix; /* borrowed from conf */
	struct part *name;   /* owned */
};

struct route_conf {
	struct conf_map rules;
	char *key, *to, *fallback;
	int64_t most;
};

struct filter {
	const struct route_conf *conf; /* borrowed */
	struct rule *rules;	       /* owned */
	size_t rule_count;
	struct part *to, *fallback; /* owned; NULL: none */
	struct buf name;	    /* plain text */
	struct buf value;	    /* of one part, plain */
	struct buf route;	    /* name with escapes */
	struct seen known;	    /* the names so far */
};

#define CONF(member) .ofs = offsetof(struct route_conf, member)
static const struct conf_key keys[] = {
    {.name = "rules",
	.type = CONF_MAP,
	CONF(rules),
	.doc = "PREFIX: NAME; the first prefix with which the key begins decides. A name may hold "
	       "placeholders, as in `to`."},
    {.name = "key",
	.type = CONF_STR,
	CONF(key),
	.doc = "The key attribute whose prefix `rules` look at; by default the partition key."},
    {.name = "to",
	.type = CONF_STR,
	CONF(to),
	.doc =
	    "The name where no rule fits; {table}, {stream}, {event}, {keys.NAME}, {keys.NAME#2} "
	    "(what is behind its first #) and {new.PATH} are filled in."},
    {.name = "default",
	.type = CONF_STR,
	CONF(fallback),
	.doc = "The name when neither fits or a part of it is not in the record; without it such a "
	       "record is refused."},
    {.name = "max",
	.type = CONF_INT,
	CONF(most),
	.def = "1000",
	.min = 1,
	.max = NAMES_MOST,
	.doc = "Different names at most, since the start; a record with one more is refused."},
    {.name = NULL},
};

/* ---- templates ---- */

static void
parts_close(struct part *p)
{
	struct part *next;

	for (; p != NULL; p = next) {
		next = p->next;
		free(p->text);
		path_close(p->path);
		free(p);
	}
}

/* The brace that ends a placeholder: outside of quotes. NULL: none. */
static const char *
end_of(const char *p)
{
	bool quoted = false;

	for (; *p != '\0' && (quoted || *p != '}'); p++) {
		if (quoted && *p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
	}
	return *p == '}' ? p : NULL;
}

/* "NAME" or "NAME#2": the number goes from the text. */
static int
take_piece(char *text, int *piece, struct err *e)
{
	char *mark = strrchr(text, '#');
	const char *quote = strrchr(text, '"');
	int64_t n;

	*piece = 0;
	if (mark == NULL || (quote != NULL && quote > mark))
		return 0;
	if (conf_parse_int(mark + 1, 1, KEY_PART_MAX, &n, e) != 0)
		return err_prefix(e, "behind # stands which part of the key, from 1");
	*mark = '\0';
	*piece = (int)n;
	return 0;
}

static int
parse_path(struct part *p, char *text, struct err *e)
{
	if (p->kind == PART_KEY && take_piece(text, &p->piece, e) != 0)
		return -1;
	if (path_parse(&p->path, text, 0, e) != 0)
		return -1;
	if (p->kind == PART_KEY && p->path->count != 1)
		return err_set(e, ERR_CONFIG, "a key is an attribute by itself, not a path");
	return 0;
}

static int
parse_word(struct part *p, char *word, struct err *e)
{
	static const struct {
		const char *word;
		enum part_kind kind;
	} words[] = {{"table", PART_TABLE}, {"stream", PART_STREAM}, {"event", PART_EVENT}};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(word, words[i].word) == 0) {
			p->kind = words[i].kind;
			return 0;
		}
	p->kind = PART_IMAGE;
	if (strncmp(word, "new.", 4) == 0)
		return parse_path(p, word + 4, e);
	p->kind = PART_KEY;
	if (strncmp(word, "keys.", 5) == 0)
		return parse_path(p, word + 5, e);
	if (strncmp(word, "old.", 4) == 0)
		return err_set(e, ERR_CONFIG,
		    "{%.60s}: write {new.%.60s}; of a removal that is the old image", word,
		    word + 4);
	return err_set(e, ERR_CONFIG,
	    "unknown placeholder {%.60s}; there are {table}, {stream}, {event}, {keys.NAME} and "
	    "{new.PATH}",
	    word);
}

static int
parse_one(struct part *p, const char **at, struct err *e)
{
	const char *text = *at, *end;
	char *word;
	int r;

	if (*text != '{') {
		*at += strcspn(text, "{}");
		p->text = mem_slicedup((struct slice){text, (size_t)(*at - text)});
		return **at == '}' ? err_set(e, ERR_CONFIG, "a } without its {") : 0;
	}
	end = end_of(text + 1);
	if (end == NULL)
		return err_set(e, ERR_CONFIG, "a { without its }");
	*at = end + 1;
	word = mem_slicedup((struct slice){text + 1, (size_t)(end - text - 1)});
	r = parse_word(p, word, e);
	free(word);
	return r;
}

static int
parse(struct part **out, const char *text, struct err *e)
{
	struct part **end = out;

	*out = NULL;
	if (text[0] == '\0')
		return err_set(e, ERR_CONFIG, "the name is empty");
	while (*text != '\0') {
		struct part *p = mem_new(sizeof *p);

		*end = p;
		end = &p->next;
		if (parse_one(p, &text, e) != 0) {
			parts_close(*out);
			*out = NULL;
			return -1;
		}
	}
	return 0;
}

/* ---- what a record says ---- */

/* A value as a piece of a name; false: it is none. */
static bool
plain(struct slice value, struct buf *out)
{
	struct slice inner;

	switch (value_of(value, &inner)) {
	case VALUE_S:
		json_unescape(inner, out);
		break;
	case VALUE_N:
		if (!number_canonical(inner, out))
			return false;
		break;
	case VALUE_BOOL:
		buf_add_slice(out, inner);
		break;
	default:
		return false;
	}
	return out->n != 0;
}

/* The n-th of what # divides; absent: there are fewer. */
static struct slice
piece_of(struct slice s, int n)
{
	const char *end = s.p + s.n, *mark;

	while (n-- > 1) {
		mark = memchr(s.p, '#', (size_t)(end - s.p));
		if (mark == NULL)
			return SLICE_NONE;
		s.p = mark + 1;
	}
	mark = memchr(s.p, '#', (size_t)(end - s.p));
	s.n = (size_t)((mark != NULL ? mark : end) - s.p);
	return s;
}

static bool
add_value(struct filter *f, struct slice value, int piece)
{
	struct slice s;

	buf_reset(&f->value);
	if (value.p == NULL || !plain(value, &f->value))
		return false;
	s = buf_slice(&f->value);
	if (piece != 0)
		s = piece_of(s, piece);
	if (s.n == 0)
		return false;
	buf_add_slice(&f->name, s);
	f->name.failed |= f->value.failed;
	return true;
}

static const char *
event_word(const struct record *r)
{
	static const char *const words[] = {[RECORD_UNKNOWN] = "change",
	    [RECORD_INSERT] = "insert",
	    [RECORD_MODIFY] = "modify",
	    [RECORD_REMOVE] = "remove"};

	return words[r->event];
}

static bool
add_part(struct filter *f, const struct part *p, const struct record *r, const struct origin *o)
{
	struct slice image = r->new_image.p != NULL ? r->new_image : r->old_image;

	switch (p->kind) {
	case PART_TEXT:
		buf_add_str(&f->name, p->text);
		break;
	case PART_TABLE:
		buf_add_str(&f->name, o->table);
		break;
	case PART_STREAM:
		buf_add_str(&f->name, o->stream);
		break;
	case PART_EVENT:
		buf_add_str(&f->name, event_word(r));
		break;
	case PART_KEY:
		return add_value(f, path_find(p->path, r->keys), p->piece);
	case PART_IMAGE:
		return image.p != NULL && add_value(f, path_find(p->path, image), 0);
	}
	return true;
}

static bool
write_name(struct filter *f, const struct part *p, const struct record *r, const struct origin *o)
{
	buf_reset(&f->name);
	for (; p != NULL; p = p->next)
		if (!add_part(f, p, r, o))
			return false;
	return true;
}

/* The value of the key attribute that rules look at, into *out. False: of two it is not known
 * which is the partition key; a record does not say. */
static bool
key_value(const struct filter *f, const struct record *r, const struct origin *o, struct slice *out)
{
	const char *name = f->conf->key;
	struct json_iter it = json_iter(r->keys);
	struct slice raw, second;

	*out = SLICE_NONE;
	if (name == NULL && o->schema != NULL)
		name = o->schema->names[0];
	if (name == NULL)
		return !json_next(&it, &raw, out) || !json_next(&it, &raw, &second);
	*out = value_member(r->keys, name);
	return true;
}

static const struct part *
rule_find(struct filter *f, struct slice value)
{
	struct slice key;

	buf_reset(&f->value);
	if (value.p == NULL || !plain(value, &f->value))
		return f->to;
	key = buf_slice(&f->value);
	for (size_t i = 0; i < f->rule_count; i++) {
		struct slice prefix = f->rules[i].prefix;

		if (prefix.n <= key.n && memcmp(prefix.p, key.p, prefix.n) == 0)
			return f->rules[i].name;
	}
	return f->to;
}

/* ---- not too many ---- */

static bool
may_have(struct filter *f)
{
	uint64_t hash = key_hash(buf_slice(&f->name));

	if (seen_has(&f->known, hash))
		return true;
	return f->known.count < (size_t)f->conf->most && seen_add(&f->known, hash);
}

/* ---- the filter ---- */

static enum filter_verdict
apply(struct filter *f, struct record *r, const struct origin *o, struct err *why)
{
	const struct part *p = f->to;
	struct slice key, quoted;

	if (f->rule_count != 0) {
		if (!key_value(f, r, o, &key)) {
			(void)err_set(why, ERR_REFUSED,
			    "it has two key attributes, and which of them is the partition key is "
			    "not known here: name it with `key`");
			return FILTER_REJECT;
		}
		p = rule_find(f, key);
	}
	if (p == NULL || !write_name(f, p, r, o)) {
		if (f->fallback == NULL) {
			(void)err_set(why, ERR_REFUSED,
			    p == NULL ? "no rule fits the record's key, and there is no default"
				      : "what its name is made of is not in the record, and there "
					"is no default");
			return FILTER_REJECT;
		}
		(void)write_name(f, f->fallback, r, o);
	}
	buf_reset(&f->route);
	buf_add_json_string(&f->route, buf_slice(&f->name));
	if (f->name.failed || f->route.failed) {
		(void)err_set(why, ERR_REFUSED, "the name is longer than %u bytes", NAME_BYTES);
		return FILTER_REJECT;
	}
	if (!may_have(f)) {
		(void)err_set(why, ERR_REFUSED,
		    "the record would be sent to one name more than `max` allows (%lld)",
		    (long long)f->conf->most);
		return FILTER_REJECT;
	}
	quoted = buf_slice(&f->route);
	r->route = (struct slice){quoted.p + 1, quoted.n - 2};
	return FILTER_REWRITE;
}

static void
close_filter(struct filter *f)
{
	if (f == NULL)
		return;
	for (size_t i = 0; i < f->rule_count; i++)
		parts_close(f->rules[i].name);
	free(f->rules);
	parts_close(f->to);
	parts_close(f->fallback);
	buf_close(&f->name);
	buf_close(&f->value);
	buf_close(&f->route);
	seen_close(&f->known);
	free(f);
}

static int
parse_key(struct part **out, const char *text, const char *key, struct err *e)
{
	if (text == NULL || parse(out, text, e) == 0)
		return 0;
	return err_prefix(e, "%s", key);
}

static int
open_filter(struct filter **out, const char *name, const void *conf, struct err *e)
{
	struct filter *f = mem_new(sizeof *f);
	const struct conf_map *m;

	(void)name;
	f->conf = conf;
	m = &f->conf->rules;
	f->name = BUF_INIT(NAME_BYTES);
	f->value = BUF_INIT(LIMIT_PAGE_BODY);
	f->route = BUF_INIT((size_t)6 * NAME_BYTES + 2);
	f->rules = mem_array(m->n + 1, sizeof *f->rules);
	if (parse_key(&f->to, f->conf->to, "to", e) != 0 ||
	    parse_key(&f->fallback, f->conf->fallback, "default", e) != 0)
		goto fail;
	for (; f->rule_count < m->n; f->rule_count++) {
		struct rule *rl = &f->rules[f->rule_count];

		rl->prefix = slice_of(m->names[f->rule_count]);
		if (parse(&rl->name, m->values[f->rule_count], e) != 0) {
			(void)err_prefix(e, "rules: %.60s", m->names[f->rule_count]);
			goto fail;
		}
	}
	*out = f;
	return 0;
fail:
	close_filter(f);
	return -1;
}

static int
check_prefixes(const struct conf_map *m, struct err *e)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->names[i][0] == '\0')
			return err_set(e, ERR_CONFIG,
			    "rules: an empty prefix fits every key: that is what `to` is for");
		for (size_t k = 0; k < i; k++)
			if (strncmp(m->names[i], m->names[k], strlen(m->names[k])) == 0)
				return err_set(e, ERR_CONFIG,
				    "rules: \"%.60s\" is never looked at, since \"%.60s\" before "
				    "it "
				    "fits first: write it before that",
				    m->names[i], m->names[k]);
	}
	return 0;
}

/* A default that depends on the record would need another. */
static int
check_default(const struct filter *f, struct err *e)
{
	for (const struct part *p = f->fallback; p != NULL; p = p->next)
		if (p->kind == PART_KEY || p->kind == PART_IMAGE)
			return err_set(e, ERR_CONFIG,
			    "default: it may hold {table}, {stream} and {event}, nothing of the "
			    "record");
	return 0;
}

static int
check(const void *conf, struct err *e)
{
	const struct route_conf *c = conf;
	struct filter *f;
	int r;

	if (c->to == NULL && c->rules.n == 0)
		return err_set(e, ERR_CONFIG, "a route filter needs \"to\", \"rules\" or both");
	if (c->key != NULL && c->rules.n == 0)
		return err_set(e, ERR_CONFIG, "\"key\" is for \"rules\", and there are none");
	if (check_prefixes(&c->rules, e) != 0 || open_filter(&f, "", conf, e) != 0)
		return -1;
	r = check_default(f, e);
	close_filter(f);
	return r;
}

const struct filter_ops filter_route = {
    .api = FILTER_API,
    .type = "route",
    .help = "Names the topic, table or index that a change goes to, by its key or attributes.",
    .conf_size = sizeof(struct route_conf),
    .keys = keys,
    .check = check,
    .open = open_filter,
    .apply = apply,
    .close = close_filter,
};
