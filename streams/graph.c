/* streams/graph.c - see graph.h. */
#include "streams/graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/log.h"
#include "base/mem.h"

/* Lineages are as deep as a day has rotations; beyond this an edge that was
 * learnt late is not worth the walk that proves it harmless. */
#define WALK_MAX 4096

static_assert(offsetof(struct node, sh) == 0, "node_of() casts");
static_assert(sizeof(struct node) <= 512, "10,000 shards stay within a few MB");

static size_t
bucket_of(const struct graph *g, const char *id)
{
	uint64_t h = g->seed ^ UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (; *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
	return (size_t)(h ^ h >> 32) & g->mask;
}

static void
bucket_add(struct graph *g, struct node *n)
{
	struct node **head = &g->buckets[bucket_of(g, n->sh.id)];

	n->chain = *head;
	*head = n;
}

static void
bucket_remove(struct graph *g, struct node *n)
{
	struct node **p = &g->buckets[bucket_of(g, n->sh.id)];

	while (*p != n)
		p = &(*p)->chain;
	*p = n->chain;
}

static void
buckets_grow(struct graph *g)
{
	struct node **old = g->buckets;
	size_t n = g->mask + 1;

	g->mask = 2 * n - 1;
	g->buckets = mem_array(2 * n, sizeof *g->buckets);
	for (size_t i = 0; i < n; i++) {
		for (struct node *next, *it = old[i]; it != NULL; it = next) {
			next = it->chain;
			bucket_add(g, it);
		}
	}
	free(old);
}

static void
list_add(struct node **first, struct node **last, struct node *n)
{
	n->sh.next = NULL;
	n->prev = *last;
	if (*last != NULL)
		(*last)->sh.next = &n->sh;
	else
		*first = n;
	*last = n;
}

static void
list_remove(struct node **first, struct node **last, struct node *n)
{
	struct node *next = node_next(n);

	if (n->prev != NULL)
		n->prev->sh.next = n->sh.next;
	else
		*first = next;
	if (next != NULL)
		next->prev = n->prev;
	else
		*last = n->prev;
}

static void
link_parent(struct node *n, struct node *parent)
{
	n->sh.parent = &parent->sh;
	n->sh.sibling = NULL;
	if (parent->last_child != NULL)
		parent->last_child->sh.sibling = &n->sh;
	else
		parent->sh.children = &n->sh;
	parent->last_child = n;
}

static void
unlink_parent(struct node *n)
{
	struct node *parent, *before = NULL;
	struct shard **p;

	if (n->sh.parent == NULL)
		return;
	parent = node_of(n->sh.parent);
	for (p = &parent->sh.children; *p != &n->sh; p = &(*p)->sibling)
		before = node_of(*p);
	*p = n->sh.sibling;
	if (parent->last_child == n)
		parent->last_child = before;
	n->sh.parent = n->sh.sibling = NULL;
}

static void
unlink_children(struct node *n)
{
	struct shard *next;

	for (struct shard *sh = n->sh.children; sh != NULL; sh = next) {
		next = sh->sibling;
		sh->parent = sh->sibling = NULL;
	}
	n->sh.children = NULL;
	n->last_child = NULL;
}

void
graph_init(struct graph *g, uint64_t seed)
{
	*g = (struct graph){.seed = seed, .mask = 63};
	g->buckets = mem_array(g->mask + 1, sizeof *g->buckets);
}

void
graph_close(struct graph *g)
{
	struct node *lists[] = {g->first, g->pending};

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (struct node *next, *n = lists[i]; n != NULL; n = next) {
			next = node_next(n);
			free(n);
		}
	}
	free(g->buckets);
	*g = (struct graph){.mask = 0};
}

struct node *
graph_find(const struct graph *g, const char *id)
{
	struct node *n = g->buckets[bucket_of(g, id)];

	while (n != NULL && strcmp(n->sh.id, id) != 0)
		n = n->chain;
	return n;
}

struct node *
graph_add(struct graph *g, const char *id, const char *parent)
{
	struct node *n = mem_new(sizeof *n);
	size_t id_n = strlen(id), parent_n = parent != NULL ? strlen(parent) : 0;

	assert(id_n > 0 && id_n < sizeof n->sh.id && parent_n < sizeof n->sh.parent_id);
	memcpy(n->sh.id, id, id_n);
	if (parent_n > 0)
		memcpy(n->sh.parent_id, parent, parent_n);
	if (g->count > g->mask)
		buckets_grow(g);
	bucket_add(g, n);
	list_add(&g->pending, &g->pending_last, n);
	g->count++;
	g->pending_count++;
	return n;
}

static struct node *
named_parent(const struct graph *g, const struct node *n)
{
	return n->sh.parent_id[0] != '\0' && !n->rooted ? graph_find(g, n->sh.parent_id) : NULL;
}

static void
cut_edge(struct node *n)
{
	log_warn(
	    "lineage", n->sh.id, "parent %s is its own descendant: edge left out", n->sh.parent_id);
	n->rooted = true;
}

/* From n up to the first ancestor that is decided, announced or unknown; the
 * undecided ones are left marked and linked, youngest last. */
static struct node *
climb(const struct graph *g, struct node *n)
{
	struct node *path = NULL, *parent;

	for (;;) {
		n->mark = NODE_ON_PATH;
		n->link = path;
		path = n;
		parent = named_parent(g, n);
		if (parent != NULL && parent->mark == NODE_ON_PATH)
			cut_edge(n);
		if (parent == NULL || parent->announced || parent->mark != NODE_NEW)
			return path;
		n = parent;
	}
}

static enum node_mark
decide(const struct graph *g, struct node *n, bool first)
{
	struct node *parent = named_parent(g, n);

	if (parent != NULL)
		return !parent->announced && parent->mark == NODE_HELD ? NODE_HELD : NODE_READY;
	if (first || n->sh.parent_id[0] == '\0' || n->rooted || n->held)
		return NODE_READY;
	n->held = true;
	return NODE_HELD;
}

static int
by_id(const void *a, const void *b)
{
	const struct node *const *x = a;
	const struct node *const *y = b;

	return strcmp((*x)->sh.id, (*y)->sh.id);
}

size_t
graph_ready(struct graph *g, bool first, struct node ***out)
{
	struct node **sorted = mem_array(g->pending_count, sizeof(struct node *));
	struct node **ready = mem_array(g->pending_count, sizeof(struct node *));
	size_t n = 0, count = 0;

	for (struct node *it = g->pending; it != NULL; it = node_next(it)) {
		it->mark = NODE_NEW;
		sorted[n++] = it;
	}
	qsort(sorted, n, sizeof(struct node *), by_id);
	for (size_t i = 0; i < n; i++) {
		struct node *path = sorted[i]->mark == NODE_NEW ? climb(g, sorted[i]) : NULL;

		for (; path != NULL; path = path->link) {
			path->mark = (uint8_t)decide(g, path, first);
			if (path->mark == NODE_READY)
				ready[count++] = path;
		}
	}
	free(sorted);
	*out = ready;
	return count;
}

void
graph_announce(struct graph *g, struct node *n)
{
	struct node *parent = named_parent(g, n);

	assert(!n->announced);
	list_remove(&g->pending, &g->pending_last, n);
	g->pending_count--;
	list_add(&g->first, &g->last, n);
	n->announced = true;
	n->held = false;
	n->link = NULL;
	if (parent != NULL && parent->announced)
		link_parent(n, parent);
}

static bool
descends_from(const struct node *n, const struct node *from)
{
	const struct shard *sh = &n->sh;

	for (int i = 0; i < WALK_MAX; i++, sh = sh->parent) {
		if (sh == &from->sh)
			return true;
		if (sh->parent == NULL)
			return false;
	}
	return true;
}

void
graph_relink(struct graph *g)
{
	for (struct node *n = g->first; n != NULL; n = node_next(n)) {
		struct node *parent = n->sh.parent == NULL ? named_parent(g, n) : NULL;

		if (parent == NULL || !parent->announced)
			continue;
		if (descends_from(parent, n))
			cut_edge(n);
		else
			link_parent(n, parent);
	}
}

void
graph_remove(struct graph *g, struct node *n)
{
	unlink_parent(n);
	unlink_children(n);
	if (n->announced)
		list_remove(&g->first, &g->last, n);
	else
		list_remove(&g->pending, &g->pending_last, n);
	g->pending_count -= !n->announced;
	g->count--;
	bucket_remove(g, n);
	free(n);
}
