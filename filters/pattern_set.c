/* filters/pattern_set.c - see pattern_set.h.
 *
 * The same walk as pattern_match.c's, with a bit for each alternative instead of a
 * yes or no: an object takes the bits of those whose fields are not satisfied, of an array's
 * objects each leaves some and any will do.
 *
 *     mask 1111 --eventName--> 1011 --NewImage.status.S--> 1001 --NewImage.total.N--> 0001
 *
 * When no bit is left, the walk ends.
 */
#include "filters/pattern_set.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "filters/pattern_index.h"
#include "record/seek.h"

/* Attributes that are searched for one by one, rather than all found by one walk. */
#define SEEKS_MOST 6
/* Up to so many names are compared in turn; more are looked up by hash. */
#define NAMES_FEW 4

struct layer {		  /* lists at one path, one for each alternative */
	struct ask *asks; /* owned; gone once there is the index */
	size_t count;
	struct pattern_index *index;
};

struct edge {
	struct field f;	      /* name and what follows from it; leaf_count: layers */
	struct layer *layers; /* owned; several where $or put a path beside itself */
	struct tree *tree;    /* NULL: nothing deeper */
};

struct tree {
	struct edge *edges; /* owned */
	size_t count;
	struct slice *values; /* of the object at hand, one an edge */
	uint64_t *some, *one; /* bits left by an array, and by the element at hand */
	uint32_t *table;      /* of edges by name; 0: free, else number + 1; NULL: few */
	size_t table_mask;
	bool seek; /* few, and each can be searched for */
};

struct part { /* a pattern's bits */
	uint32_t first, count;
	bool alone; /* none */
};

struct pattern_set {
	struct pool *pool;
	struct part *parts; /* owned; of each pattern */
	size_t count;
	size_t bits, words; /* of alternatives */
	bool direct;	    /* each pattern is one: the same bits */
	struct tree root;
	struct buf scratch;
	uint64_t *mask;	   /* of the alternatives of the record being asked */
	uint64_t *answers; /* owned; of patterns, of each record */
	size_t records_room;
	const struct record *record;
};

/* ---- building ---- */

static struct edge *
edge_of(struct tree *t, const struct field *f)
{
	struct edge *ed;

	for (size_t i = 0; i < t->count; i++)
		if (slice_eq(t->edges[i].f.name, f->name))
			return &t->edges[i];
	t->edges = mem_grow(t->edges, t->count + 1, sizeof *t->edges);
	ed = &t->edges[t->count++];
	*ed = (struct edge){.layers = NULL};
	field_init(&ed->f, f->name);
	return ed;
}

static void
layer_add(struct edge *ed, size_t number, const struct ask *a)
{
	struct layer *ly;

	while (ed->f.leaf_count <= number) {
		ed->layers = mem_grow(ed->layers, ed->f.leaf_count + 1, sizeof *ed->layers);
		ed->layers[ed->f.leaf_count++] = (struct layer){.count = 0};
	}
	ly = &ed->layers[number];
	/* By doubling. */
	if ((ly->count & (ly->count - 1)) == 0)
		ly->asks = mem_grow(ly->asks, ly->count != 0 ? ly->count * 2 : 1, sizeof *ly->asks);
	ly->asks[ly->count++] = *a;
}

static void
tree_add(
    struct pattern_set *s, struct tree *t, const struct node *nd, struct pattern *p, uint32_t bit)
{
	for (size_t i = 0; i < nd->count; i++) {
		const struct field *f = &nd->fields[i];
		struct edge *ed = edge_of(t, f);

		for (size_t k = 0; k < f->leaf_count; k++)
			layer_add(ed, k, &(struct ask){bit, f->leaves[k], p});
		if (f->node == NULL)
			continue;
		if (ed->tree == NULL)
			ed->tree = pool_alloc(&s->pool, sizeof *ed->tree);
		tree_add(s, ed->tree, f->node, p, bit);
	}
}

static uint32_t
name_hash(struct slice name)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * 16777619u;
	return h ^ h >> 15;
}

static void
tree_hash(struct pattern_set *s, struct tree *t)
{
	size_t size = 8;

	if (t->count <= NAMES_FEW)
		return;
	while (size < 2 * t->count)
		size *= 2;
	t->table = pool_alloc(&s->pool, size * sizeof *t->table);
	t->table_mask = size - 1;
	for (size_t i = 0; i < t->count; i++) {
		size_t at = name_hash(t->edges[i].f.name) & t->table_mask;

		while (t->table[at] != 0)
			at = (at + 1) & t->table_mask;
		t->table[at] = (uint32_t)i + 1;
	}
}

static void
tree_finish(struct pattern_set *s, struct tree *t)
{
	t->values = pool_alloc(&s->pool, t->count * sizeof *t->values);
	t->some = pool_alloc(&s->pool, s->words * sizeof *t->some);
	t->one = pool_alloc(&s->pool, s->words * sizeof *t->one);
	t->seek = t->count <= SEEKS_MOST;
	tree_hash(s, t);
	for (size_t i = 0; i < t->count; i++) {
		struct edge *ed = &t->edges[i];

		t->seek = t->seek && ed->f.seek;
		for (size_t k = 0; k < ed->f.leaf_count; k++) {
			struct layer *ly = &ed->layers[k];

			ly->index = index_new(&s->pool, ly->asks, ly->count);
			free(ly->asks);
			ly->asks = NULL;
		}
		if (ed->tree != NULL)
			tree_finish(s, ed->tree);
	}
}

static void
tree_close(struct tree *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->edges[i].layers);
		if (t->edges[i].tree != NULL)
			tree_close(t->edges[i].tree);
	}
	free(t->edges);
}

/* Two fields of userIdentity that one member may mean: the first takes it, which bits
 * side by side cannot say. */
static bool
has_both_spellings(const struct node *event)
{
	for (size_t i = 0; i < event->count; i++) {
		const struct node *nd = event->fields[i].node;

		if (event->fields[i].known != KNOWN_IDENTITY || nd == NULL)
			continue;
		for (size_t k = 0; k < nd->count; k++)
			for (size_t j = 0; j < k; j++)
				if (pattern_name_is(nd->fields[j].name, &nd->fields[k], true))
					return true;
	}
	return false;
}

static bool
is_alone(const struct pattern_set *s, const struct pattern *p)
{
	if (p->plain || p->whole || s->bits + p->count > PATTERN_SET_BITS)
		return true;
	for (size_t i = 0; i < p->count; i++)
		if (has_both_spellings(p->alternatives[i]))
			return true;
	return false;
}

struct pattern_set *
pattern_set_new(struct pattern *const *patterns, size_t count)
{
	struct pattern_set *s = mem_new(sizeof *s);

	s->count = count;
	s->parts = mem_array(count, sizeof *s->parts);
	s->scratch = BUF_INIT((size_t)64 << 20);
	for (size_t i = 0; i < count; i++) {
		struct pattern *p = patterns[i];

		s->parts[i] = (struct part){.first = (uint32_t)s->bits, .alone = is_alone(s, p)};
		if (s->parts[i].alone)
			continue;
		s->parts[i].count = (uint32_t)p->count;
		for (size_t k = 0; k < p->count; k++)
			tree_add(s, &s->root, p->alternatives[k], p, (uint32_t)s->bits++);
	}
	s->words = (s->bits + 63) / 64;
	s->direct = true;
	for (size_t i = 0; i < count; i++)
		s->direct = s->direct && s->parts[i].count == 1;
	s->mask = pool_alloc(&s->pool, s->words * sizeof *s->mask);
	tree_finish(s, &s->root);
	return s;
}

void
pattern_set_close(struct pattern_set *s)
{
	if (s == NULL)
		return;
	tree_close(&s->root);
	pool_close(s->pool);
	buf_close(&s->scratch);
	free(s->parts);
	free(s->answers);
	free(s);
}

/* ---- the walk: each takes bits from the mask; false: none is left ---- */

static bool
any_left(const struct pattern_set *s, const uint64_t *mask)
{
	for (size_t i = 0; i < s->words; i++)
		if (mask[i] != 0)
			return true;
	return false;
}

static bool
ask_layers(struct pattern_set *s, const struct edge *ed, struct slice value, uint64_t *mask)
{
	bool taken = false;

	for (size_t i = 0; i < ed->f.leaf_count; i++)
		taken = index_ask(ed->layers[i].index, value, mask, &s->scratch) || taken;
	return !taken || any_left(s, mask);
}

static bool
ask_tree(struct pattern_set *s, struct tree *t, struct slice value, uint64_t *mask, bool either);

static bool
ask_edge(
    struct pattern_set *s, const struct edge *ed, struct slice value, uint64_t *mask, bool either)
{
	return ask_layers(s, ed, value, mask) &&
	    (ed->tree == NULL || ask_tree(s, ed->tree, value, mask, either));
}

static bool
ask_nothing(struct pattern_set *s, struct tree *t, uint64_t *mask)
{
	for (size_t i = 0; i < t->count; i++)
		if (!ask_edge(s, &t->edges[i], SLICE_NONE, mask, false))
			return false;
	return true;
}

/* A member of the object: the value of the edges that name it, of several the first.
 * Answers how many edges have found theirs. */
static size_t
note_member(struct tree *t, struct slice name, struct slice value, bool either)
{
	size_t found = 0;

	if (t->table != NULL && !either && memchr(name.p, '\\', name.n) == NULL) {
		size_t at = name_hash(name) & t->table_mask;

		for (; t->table[at] != 0; at = (at + 1) & t->table_mask) {
			size_t i = t->table[at] - 1;

			if (!slice_eq(t->edges[i].f.name, name))
				continue;
			if (t->values[i].p != NULL)
				return 0;
			t->values[i] = value;
			return 1;
		}
		return 0;
	}
	for (size_t i = 0; i < t->count; i++)
		if (t->values[i].p == NULL && pattern_name_is(name, &t->edges[i].f, either)) {
			t->values[i] = value;
			found++;
		}
	return found;
}

static bool
ask_object(struct pattern_set *s, struct tree *t, struct slice object, uint64_t *mask, bool either)
{
	struct json_iter it = json_iter(object);
	size_t missing = t->count;
	struct slice name, value;

	memset(t->values, 0, t->count * sizeof *t->values);
	while (missing != 0 && json_next(&it, &name, &value))
		missing -= note_member(t, name, value, either);
	for (size_t i = 0; i < t->count; i++)
		if (!ask_edge(s, &t->edges[i], t->values[i], mask, false))
			return false;
	return true;
}

/* Adds to t->some what any element leaves of the mask. */
static void
ask_elements(struct pattern_set *s, struct tree *t, struct slice array, const uint64_t *mask)
{
	struct json_iter it = json_iter(array);
	struct slice name, item;
	bool objects = false;

	while (json_next(&it, &name, &item)) {
		if (item.n == 0 || (item.p[0] != '{' && item.p[0] != '['))
			continue;
		objects = true;
		if (item.p[0] == '[') {
			ask_elements(s, t, item, mask);
			continue;
		}
		memcpy(t->one, mask, s->words * sizeof *mask);
		if (ask_object(s, t, item, t->one, false))
			for (size_t i = 0; i < s->words; i++)
				t->some[i] |= t->one[i];
	}
	if (objects)
		return;
	memcpy(t->one, mask, s->words * sizeof *mask);
	if (ask_nothing(s, t, t->one))
		for (size_t i = 0; i < s->words; i++)
			t->some[i] |= t->one[i];
}

static bool
ask_tree(struct pattern_set *s, struct tree *t, struct slice value, uint64_t *mask, bool either)
{
	if (value.p != NULL && value.p[0] == '{')
		return ask_object(s, t, value, mask, either);
	if (value.p == NULL || value.p[0] != '[')
		return ask_nothing(s, t, mask);
	memset(t->some, 0, s->words * sizeof *mask);
	ask_elements(s, t, value, mask);
	memcpy(mask, t->some, s->words * sizeof *mask);
	return any_left(s, mask);
}

/* ---- records ---- */

static bool
ask_attribute(
    struct pattern_set *s, const struct edge *ed, const struct attribute *a, uint64_t *mask)
{
	if (a->type == '\0')
		return ask_edge(s, ed, a->value, mask, false);
	if (!ask_layers(s, ed, a->value, mask))
		return false;
	for (size_t i = 0; ed->tree != NULL && i < ed->tree->count; i++) {
		const struct edge *type = &ed->tree->edges[i];
		bool same = type->f.name.n == 1 && type->f.name.p[0] == a->type;

		if (!ask_edge(s, type, same ? a->text : SLICE_NONE, mask, false))
			return false;
	}
	return true;
}

static bool
ask_image(struct pattern_set *s, const struct edge *ed, struct slice image, uint64_t *mask)
{
	struct tree *t = ed->tree;

	if (t == NULL || !t->seek || image.n == 0 || image.p[0] != '{' ||
	    !seek_may(s->record, image))
		return ask_edge(s, ed, image, mask, false);
	if (!ask_layers(s, ed, image, mask))
		return false;
	for (size_t i = 0; i < t->count; i++) {
		struct attribute a = seek_attribute(image, t->edges[i].f.name);

		if (!ask_attribute(s, &t->edges[i], &a, mask))
			return false;
	}
	return true;
}

static bool
ask_change(struct pattern_set *s, const struct edge *ed, uint64_t *mask)
{
	/* An object is no value: for a list at dynamodb itself nothing is there. */
	if (!ask_layers(s, ed, SLICE_NONE, mask))
		return false;
	for (size_t i = 0; ed->tree != NULL && i < ed->tree->count; i++) {
		const struct edge *part = &ed->tree->edges[i];

		if (!ask_image(s, part, event_member(s->record, EVENT_DYNAMODB, &part->f), mask))
			return false;
	}
	return true;
}

static void
ask_record(struct pattern_set *s, const struct record *r, uint64_t *mask)
{
	s->record = r;
	memset(mask, 0xff, s->words * sizeof *mask);
	if (s->bits % 64 != 0)
		mask[s->words - 1] = (UINT64_C(1) << s->bits % 64) - 1;
	for (size_t i = 0; i < s->root.count; i++) {
		const struct edge *ed = &s->root.edges[i];

		if (!(ed->f.known == KNOWN_DYNAMODB
			    ? ask_change(s, ed, mask)
			    : ask_edge(s, ed, event_member(r, EVENT_ITSELF, &ed->f), mask,
				  ed->f.known == KNOWN_IDENTITY)))
			return;
	}
}

/* ---- a page ---- */

bool
pattern_set_takes(const struct pattern_set *s, size_t pattern)
{
	return !s->parts[pattern].alone;
}

/* A pattern matches if one of its alternatives does. */
static void
answer(const struct pattern_set *s, uint64_t *out)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct part *pt = &s->parts[i];

		for (uint32_t bit = pt->first; bit < pt->first + pt->count; bit++)
			out[i / 64] |= (s->mask[bit / 64] >> bit % 64 & 1) << i % 64;
	}
}

struct pattern_answers
pattern_set_ask(struct pattern_set *s, const struct page *page)
{
	size_t words = (s->count + 63) / 64;

	if (page->count > s->records_room) {
		s->answers = mem_grow(s->answers, page->count, words * sizeof *s->answers);
		s->records_room = page->count;
	}
	for (size_t i = 0; i < page->count; i++) {
		uint64_t *out = s->answers + i * words;

		ask_record(s, &page->records[i], s->mask);
		if (s->direct) {
			memcpy(out, s->mask, words * sizeof *out);
			continue;
		}
		memset(out, 0, words * sizeof *out);
		answer(s, out);
	}
	return (struct pattern_answers){s->answers, words};
}
