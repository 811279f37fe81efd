/* streams/graph.h - the shards of one stream, found by id and linked.
 *
 * Private to streams/: lineage.c fills it from listings. A node is pending
 * from the moment a page names it until its parents are sorted out, then
 * announced: only announced nodes are linked and visible to the host.
 *
 *   page -> graph_add() -> pending -> graph_ready() -> graph_announce() -> linked
 *
 * Parents come before children in what graph_ready() gives, whatever the order
 * of the listing; the rest of the order is by id, which begins with the
 * creation time. Edges that would close a circle are cut. Everything is linear
 * in the number of shards (beside one sort of the new ones), also against a
 * listing made up to be slow.
 */
#ifndef STREAMS_GRAPH_H
#define STREAMS_GRAPH_H

#include "streams/shard.h"

/* 100 a page, as the service has it: about 40 MB of nodes. */
#define GRAPH_MAX ((size_t)LIMIT_LIST_PAGES * 100)

enum node_mark { NODE_NEW, NODE_ON_PATH, NODE_READY, NODE_HELD };
enum node_want { WANT_NOTHING, WANT_LOOKUP, WANT_LISTING };

struct node {
	struct shard sh;    /* first: a shard of ours is its node */
	struct node *prev;  /* with sh.next: the announced or the pending list */
	struct node *chain; /* of its hash bucket */
	struct node *last_child;
	struct node *link; /* lineage: queue of lookups; graph_ready(): path */
	int64_t missed_at; /* missing: when a complete listing first lacked it */
	uint32_t seen;	   /* generation of the last listing that had it */
	uint8_t mark;	   /* enum node_mark; pending only */
	uint8_t want;	   /* enum node_want: its children are looked for */
	bool announced;
	bool held;    /* pending over one listing already, since its parent was in none */
	bool rooted;  /* the parent it names is not to be believed */
	bool missing; /* from the last complete listing */
	bool told;    /* the host heard that it is gone */
};

struct graph {
	struct node **buckets; /* owned; mask + 1 of them */
	size_t mask;
	size_t count; /* nodes of both lists */
	size_t pending_count;
	uint64_t seed;	    /* so that ids cannot be chosen to collide */
	struct node *first; /* announced, in that order */
	struct node *last;
	struct node *pending;
	struct node *pending_last;
};

void graph_init(struct graph *g, uint64_t seed);
void graph_close(struct graph *g);
struct node *graph_find(const struct graph *g, const char *id);
/* A pending node; id is not there yet and fits. parent may be NULL. */
struct node *graph_add(struct graph *g, const char *id, const char *parent);
/* The pending nodes that can be announced, in an order to announce them in;
 * *out is the caller's to free. first: no parent needs to be known. Otherwise
 * a node whose parent is in no listing is held back until the next call, and
 * its descendants with it. */
size_t graph_ready(struct graph *g, bool first, struct node ***out);
void graph_announce(struct graph *g, struct node *n);
/* Links announced nodes whose parent came to be known after them. */
void graph_relink(struct graph *g);
void graph_remove(struct graph *g, struct node *n);

static inline struct node *
node_of(struct shard *sh)
{
	return (struct node *)(void *)sh;
}

/* The node's next in its list. */
static inline struct node *
node_next(const struct node *n)
{
	return n->sh.next != NULL ? node_of(n->sh.next) : NULL;
}

#endif
