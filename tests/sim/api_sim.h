/* tests/sim/api_sim.h - the service, as streams/api.h sees it.
 *
 *   api_sim.c       the calls: when they are answered, and with which fault
 *   api_list_sim.c  listings: late, incomplete, unordered
 *   api_read_sim.c  iterators and pages of real bytes
 *
 * The history never changes, so an answer is a question about it at the time
 * the service looked (`as_of`), which lies between the call and its answer.
 */
#ifndef SIM_API_SIM_H
#define SIM_API_SIM_H

#include "tests/sim/sim.h"

#define API_SIM_CALLS 8u /* start times remembered per shard; at least the rate tested */

struct chain {		     /* iterators that follow from one GetShardIterator */
	int64_t first, last; /* use in a GetRecords */
	bool served;	     /* has given a page */
};

struct watch { /* what this life asked of one shard */
	int64_t calls[API_SIM_CALLS];
	unsigned next_call;
	unsigned outstanding;
	unsigned omitted_in;  /* listing session that left it out */
	unsigned shown_in;    /* listing session that showed it */
	bool listed;	      /* a complete listing of this life had it */
	bool missed;	      /* the last complete listing left it out */
	struct chain *chains; /* owned */
	unsigned chain_count, chain_cap;
};

enum call_kind { CALL_TABLE, CALL_STREAMS, CALL_DESCRIBE, CALL_ITERATOR, CALL_RECORDS };

struct token { /* what an iterator's text says */
	unsigned shard, index, first, chain, life;
	int64_t issued;
};

struct api_call {
	struct api *api;
	struct api_call *next, **prev;
	struct loop_timer *timer; /* owned */
	enum call_kind kind;
	int64_t as_of; /* 0: when it is answered */
	char arn[160];
	char shard[LIMIT_SHARD_ID + 1];	 /* ITERATOR; DESCRIBE: start after */
	char parent[LIMIT_SHARD_ID + 1]; /* DESCRIBE: children of; "" for none */
	struct token token;
	enum iterator_type type;
	struct seq seq;
	unsigned limit;
	void *arg;
	union {
		void (*table)(void *arg, const struct api_result *rs, const struct api_table *t);
		void (*streams)(void *arg, const struct api_result *rs,
		    const struct api_stream_ref *v, size_t n);
		void (*describe)(
		    void *arg, const struct api_result *rs, const struct api_stream *s);
		void (*iterator)(void *arg, const struct api_result *rs, const char *iterator);
		void (*records)(void *arg, const struct api_result *rs, struct page *page);
	} fn;
};

/* Over all apis of this life. */
struct api_limits {
	int64_t describes[5]; /* start times: no second may hold six */
	unsigned next_describe;
	unsigned flying, most_flying;
	size_t largest_page;
};

struct api {
	struct world *w;
	struct h_table *table;
	struct rng rng;
	struct api_call *calls; /* under way */
	struct h_shard **order; /* owned: the table's shards as listings order them */
	unsigned order_count;
	unsigned session;	   /* of listing */
	int64_t session_at;	   /* when it began */
	struct watch *watches;	   /* owned: by number of shard */
	struct api_limits *limits; /* borrowed: shared by the apis of a life */
};

struct api *api_sim_new(struct world *w, unsigned table, struct api_limits *limits);
/* After the pipeline is gone: were the calls cancelled, the readers few? */
void api_sim_check(struct api *a);

/* Shared by the three files. */
int64_t api_sim_as_of(const struct api_call *c);
bool api_sim_chance(struct api *a, unsigned of_1000);
void api_sim_result(struct api_result *rs, enum api_code code, const char *what);
void api_sim_describe(struct api_call *c, struct api_result *rs);
void api_sim_iterator(struct api_call *c, struct api_result *rs);
void api_sim_records(struct api_call *c, struct api_result *rs);
bool api_sim_token(const char *text, struct token *out);

#endif
